"""What the lint scripts share: which files there are, C with comments and strings blanked out, functions, exceptions.

The scripts need Python's standard library only. They rely on the layout that clang-format gives the code (the opening brace of a
function alone in column 0), which `make format-check` enforces.
"""

import os
import pathlib
import re
import sys

CODE_FOLDERS = ("src", "io", "tls", "providers", "store", "bench")
# Not ours to judge: fixtures, what tests break on purpose, what is built.
SKIPPED = ("tests/data", "tests/lint/selftest", "build", ".git", "node_modules")
ALLOW = "tests/lint/allow.txt"


class Finding:
    """A broken rule at a place. `text` is the line, which an exception may quote."""

    def __init__(self, rule, path, line, message, text=""):
        self.rule, self.path, self.line, self.message, self.text = rule, path, line, message, text

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


def root_of(arguments):
    """The tree to look at: --root DIR, else the one this script is in."""
    if "--root" in arguments:
        return pathlib.Path(arguments[arguments.index("--root") + 1]).resolve()
    return pathlib.Path(__file__).resolve().parents[2]


def files(root, folders, suffixes):
    """Relative paths (text, with /) of the files below the folders, sorted."""
    found = []
    for folder in folders:
        for where, inner, names in os.walk(root / folder):
            here = pathlib.Path(where).relative_to(root).as_posix()
            if any(here == s or here.startswith(s + "/") for s in SKIPPED) or "__pycache__" in here:
                inner.clear()
                continue
            inner[:] = [d for d in inner if d not in SKIPPED and not d.startswith(".")]
            found += [f"{here}/{n}" for n in names if n.endswith(suffixes)]
    return sorted(found)


def blank(text):
    """The text with comments, strings and characters replaced by spaces; lines keep their numbers and columns."""
    out = []
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    at = 0
    for m in pattern.finditer(text):
        out.append(text[at : m.start()])
        piece = m.group()
        if piece[0] in "\"'":
            out.append(piece[0] + " " * (len(piece) - 2) + piece[0])
        else:
            out.append(re.sub(r"[^\n]", " ", piece))
        at = m.end()
    out.append(text[at:])
    return "".join(out)


class Function:
    def __init__(self, name, signature, first, last):
        self.name, self.signature, self.first, self.last = name, signature, first, last


def functions(lines):
    """The functions of blanked lines: name, signature, the lines of the outer braces (from 1)."""
    found = []
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{" and line[0] == "{":
            start = number
        elif line.startswith("}") and start is not None:
            signature = []
            for above in range(start - 2, -1, -1):
                text = lines[above].strip()
                if not text or text.startswith("#") or text.endswith((";", "}", "\\")):
                    break
                signature.insert(0, text)
            text = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*(?=\w|$)", "", " ".join(signature))
            name = re.search(r"(\w+)\s*\(", text)
            found.append(Function(name.group(1) if name else "?", text, start, number))
            start = None
    return found


class Exceptions:
    """tests/lint/allow.txt: `rule | path | words of the line, or * | reason`. One that allows nothing is a finding itself."""

    def __init__(self, root, rules):
        self.path = ALLOW
        self.entries = []
        self.bad = []
        file = root / ALLOW
        for number, line in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = [f.strip() for f in line.split("|", 3)]
            if len(fields) != 4 or not all(fields):
                self.bad.append(Finding("allow", ALLOW, number, "an exception is: rule | path | words or * | reason"))
            elif fields[0] in rules:
                self.entries.append([number, *fields[:3], 0])

    def allowed(self, finding):
        for entry in self.entries:
            _, rule, path, words, _ = entry
            if rule == finding.rule and path == finding.path and (words == "*" or words in finding.text):
                entry[4] += 1
                return True
        return False

    def stale(self):
        return [
            Finding("allow", ALLOW, number, f"allows nothing any more, remove it: {rule} | {path} | {words}")
            for number, rule, path, words, used in self.entries
            if not used
        ]


def report(title, findings, checked):
    """Print and exit: 1 if there is a finding."""
    for finding in findings:
        print(finding)
    print(f"{title}: {checked}, {len(findings)} findings" if findings else f"{title}: {checked}, clean")
    sys.exit(1 if findings else 0)
