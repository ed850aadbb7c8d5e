#!/usr/bin/env python3
"""Line coverage of the gateway's own code, from the notes and counts that a coverage build leaves.

    coverage.py BUILD [--least PERCENT] [--missing FILE]

Every object counts, run or not, so that a file without a test is seen. A line of a header that several objects include (the
templates of the SIMD code) is covered if any of them ran it. Prints a table, the worst file first; writes the lines that never
ran to FILE; exit 1 below PERCENT. (gcovr 5.2 fails on templates: it wants a function's name to stand on one line only.)
"""

import json
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FOLDERS = ("src/", "io/", "tls/", "store/", "providers/")


def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def counts_of(note):
    """{path: {line: count}} of one object."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", str(note)], capture_output=True, text=True)
    found = {}
    for text in done.stdout.splitlines():
        for file in json.loads(text)["files"] if text.startswith("{") else []:
            path = str(pathlib.PurePosixPath(file["file"]))
            if path.startswith(FOLDERS):
                lines = found.setdefault(path, {})
                for line in file["lines"]:
                    lines[line["line_number"]] = max(lines.get(line["line_number"], 0), line["count"])
    return found


def ranges(numbers):
    """1-3 7 9-10"""
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}-{b}" if b > a else str(a) for a, b in out)


def main():
    build = pathlib.Path(sys.argv[1])
    # Of files that are gone, objects may be left.
    notes = sorted(build.glob("obj/**/*.gcno"))
    notes = [n for n in notes if n.relative_to(build / "obj").with_suffix("").exists()]
    total = {}
    with ThreadPoolExecutor() as pool:
        for found in pool.map(counts_of, notes):
            for path, lines in found.items():
                into = total.setdefault(path, {})
                for number, count in lines.items():
                    into[number] = max(into.get(number, 0), count)
    rows, missing = [], []
    for path, lines in total.items():
        never = sorted(n for n, count in lines.items() if count == 0)
        rows.append((100 * (1 - len(never) / len(lines)), path, len(lines), len(never)))
        if never:
            missing.append(f"{path}: {ranges(never)}")
    for percent, path, lines, never in sorted(rows):
        print(f"{percent:6.1f} %  {lines:5} lines  {never:4} never run  {path}")
    lines = sum(r[2] for r in rows)
    never = sum(r[3] for r in rows)
    percent = 100 * (1 - never / lines) if lines else 0
    least = float(option("--least", "0"))
    print(f"lines covered: {percent:.1f} % of {lines} in {len(rows)} files (at least {least:.0f} % wanted)")
    if option("--missing", None):
        pathlib.Path(option("--missing", None)).write_text("\n".join(sorted(missing)) + "\n")
    sys.exit(0 if percent >= least else 1)


if __name__ == "__main__":
    main()
