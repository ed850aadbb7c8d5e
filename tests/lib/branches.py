#!/usr/bin/env python3
"""Branch coverage of some folders, from the notes and counts that a coverage build leaves.

    branches.py BUILD FOLDER... [--least PERCENT] [--missing FILE] [--apart FILE]

--apart names a file that is shown and not added up, because what runs here cannot reach it.

Not counted, since no run may take them: the arms of MUST, IMPLIES, UNREACHABLE, COUNT_IF and FAULT (every branch on a line that
lies within one of them), and the arm of a switch that leads to the UNREACHABLE behind it. Prints a table, the worst file first;
writes the arms that were never taken to FILE as path:line, with the line; exit 1 below PERCENT.
"""

import json
import pathlib
import re
import subprocess
import sys

ASSERTION = re.compile(r"\b(MUST|IMPLIES|UNREACHABLE|COUNT_IF|FAULT|static_assert)\s*\(")


def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def end_of_call(text, at):
    """The place behind the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return len(text)


def asserted(text):
    """The lines of a source on which branches are not counted, and those of a switch with one arm too many."""
    lines, switches = set(), {}
    for found in ASSERTION.finditer(text):
        first = text.count("\n", 0, found.start()) + 1
        last = text.count("\n", 0, end_of_call(text, found.end() - 1)) + 1
        lines.update(range(first, last + 1))
        if found.group(1) == "UNREACHABLE":
            switch = text.rfind("switch (", text.rfind("\n}\n", 0, found.start()) + 1, found.start())
            if switch >= 0:
                switches[text.count("\n", 0, switch) + 1] = 1
    return lines, switches


def arms_of(note, folders):
    """{path: {line: [count of each arm]}} of one object; its own file only."""
    done = subprocess.run(
        ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(note)], capture_output=True, text=True
    )
    found = {}
    for text in done.stdout.splitlines():
        for file in json.loads(text)["files"] if text.startswith("{") else []:
            path = str(pathlib.PurePosixPath(file["file"]))
            if str(pathlib.PurePosixPath(path).parent) not in folders:
                continue
            lines = found.setdefault(path, {})
            for line in file["lines"]:
                counts = [arm["count"] for arm in line["branches"]]
                have = lines.get(line["line_number"], [])
                # A function inlined twice, or a header: an arm was taken if any copy took it.
                if len(have) == len(counts):
                    counts = [a + b for a, b in zip(have, counts)]
                lines[line["line_number"]] = counts
    return found


def main():
    build = pathlib.Path(sys.argv[1])
    folders = []
    for word in sys.argv[2:]:
        if word.startswith("--"):
            break
        folders.append(word)
    total = {}
    for folder in folders:
        for source in sorted(pathlib.Path(folder).glob("*.c")):
            note = build / "obj" / f"{source}.gcno"
            for path, lines in arms_of(note, folders).items():
                if not path.endswith(".h"):
                    total[path] = lines
    rows, missing = [], []
    for path, lines in total.items():
        text = pathlib.Path(path).read_text()
        source = text.splitlines()
        skip, switches = asserted(text)
        arms = never = 0
        for number, counts in sorted(lines.items()):
            if number in skip:
                continue
            zero = max(counts.count(0) - switches.get(number, 0), 0)
            arms += len(counts) - (counts.count(0) - zero)
            never += zero
            if zero:
                missing.append(f"{path}:{number}: {counts} {source[number - 1].strip()}")
        rows.append((100 * (1 - never / arms) if arms else 100.0, path, arms, never))
    for percent, path, arms, never in sorted(rows):
        apart = "  (apart)" if path == option("--apart", None) else ""
        print(f"{percent:6.1f} %  {arms:5} arms  {never:4} never taken  {path}{apart}")
    counted = [r for r in rows if r[1] != option("--apart", None)]
    arms = sum(r[2] for r in counted)
    never = sum(r[3] for r in counted)
    percent = 100 * (1 - never / arms) if arms else 0
    least = float(option("--least", "0"))
    print(f"branches taken: {percent:.1f} % of {arms} in {len(counted)} files (at least {least:.0f} % wanted)")
    if option("--missing", None):
        pathlib.Path(option("--missing", None)).write_text("\n".join(missing) + "\n")
    sys.exit(0 if percent >= least else 1)


main()
