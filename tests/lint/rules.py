#!/usr/bin/env python3
"""The house rules a compiler does not know (packaging/doc/rules.md), each with the mend in its message.

    rules.py [--root DIR] [--list]

C in src, io, tls, providers, store and bench is held to all of them; tests, scripts and pages to line lengths and words.
Exceptions stand in tests/lint/allow.txt, each with its reason; one that is no longer needed is a finding.
"""

import re
import sys

import source

LINE_COLUMNS = 130  # code is formatted to 110; prose in comments may be a little wider
SCRIPT_COLUMNS = 150  # Python, shell, JavaScript, make
FUNCTION_LINES = 70
FILE_LINES = 800

# name: what to use
BANNED = {
    "strcpy": "span and memcpy with a checked length",
    "stpcpy": "span and memcpy with a checked length",
    "strcat": "span and memcpy with a checked length",
    "strncpy": "span and memcpy with a checked length",
    "strncat": "span and memcpy with a checked length",
    "sprintf": "fmt_* of base/fmt.h; snprintf in control",
    "vsprintf": "fmt_* of base/fmt.h; vsnprintf in control",
    "atoi": "a parser that sees the end and overflow (base/fmt.h)",
    "atol": "a parser that sees the end and overflow (base/fmt.h)",
    "atoll": "a parser that sees the end and overflow (base/fmt.h)",
    "atof": "a parser that sees the end (strtod with its end pointer)",
    "strtol": "a parser over spans that sees overflow (base/fmt.h)",
    "strtoul": "a parser over spans that sees overflow (base/fmt.h)",
    "strtok": "spans",
    "strtok_r": "spans",
    "gets": "read with a length",
    "alloca": "the exchange's arena; a fiber's stack is 64 KiB",
    "rand": "prng of base/prng.h, or crypto_random for secrets",
    "random": "prng of base/prng.h, or crypto_random for secrets",
    "srand": "prng of base/prng.h",
    "assert": "MUST of base/check.h: checks stay on in production",
    "localtime": "the wall clock passed in, in UTC",
    "gethostbyname": "the resolver of io/",
    "signal": "sigaction, or signalfd on the control thread",
    "system": "nothing: no shell in a gateway",
    "popen": "nothing: no shell in a gateway",
    "sleep": "io_sleep",
    "usleep": "io_sleep",
}
# Benchmarks read their own options, and some are plain programs without a loop.
BANNED_NOT_IN_BENCH = {"strtol", "strtoul", "signal", "sleep", "usleep"}
# Where text is formatted per request: snprintf costs thousands of instructions a line.
HOT_FOLDERS = ("src/base/", "src/wire/", "src/net/", "src/gateway/")
FORMATTING = "snprintf vsnprintf fprintf dprintf asprintf"
CLOCKS = "time clock_gettime clock gettimeofday ftime"
HEAP = "malloc calloc realloc reallocarray strdup strndup aligned_alloc posix_memalign"
COMPARE = "memcmp bcmp strcmp strncmp strcasecmp span_eq span_eq_nocase"
SECRET_WORDS = {"key", "secret", "token", "mac", "hmac", "digest", "password", "pepper", "signature"}
# "key" there is a JSON or a configuration key, compared with a name of ours.
KEY_IS_A_NAME = ("src/wire/", "src/base/", "src/control/")

UNFINISHED = re.compile(r"\b(FIXME|TODO|XXX|HACK|TBD)\b")
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/|\.\./(?:shared|\.library)\b|\bafbcd31b\b")
AUTHORSHIP = re.compile(
    r"\b(as an AI|AI[- ](?:generated|assisted)|generated (?:by|with) (?:an? )?(?:AI|LLM|model|assistant|Claude|GPT|Copilot)|sub-?agents?|"
    r"co-?authored-by|colleagues?|(?:the|this|my|your) (?:brief|task description)|(?:this|previous|last|next) session of work|"
    r"(?:DESIGN|STYLE|BRIEF)\.md|DESIGN §|DESIGN \d|STYLE \d+)\b"
)
CODE_COMMENT = re.compile(r"^\s*//\s*(?:[\w>.\[\]*-]+\s*[-+|&]?=\s*[^=].*;|(?:\w+(?:->|\.))*\w+\(.*\);|(?:if|for|while) \(.*\)\s*\{?|return\b.*;)\s*$")

RULES = {}  # name: (function, what it is for)


def rule(name, why):
    def put(function):
        RULES[name] = (function, why)
        return function

    return put


class File:
    def __init__(self, root, path):
        self.path = path
        self.raw = (root / path).read_text(errors="replace")
        self.lines = self.raw.splitlines()
        self.is_c = path.endswith((".c", ".h"))
        self.is_code = self.is_c and path.startswith(tuple(f + "/" for f in source.CODE_FOLDERS))
        self.is_native = self.is_c or path.endswith(".S")
        self.blank = source.blank(self.raw).splitlines() if self.is_c else []
        self.functions = source.functions(self.blank) if self.is_code else []

    def finding(self, name, number, message):
        text = self.lines[number - 1] if 0 < number <= len(self.lines) else ""
        return source.Finding(name, self.path, number, message, text)

    def function_at(self, number):
        return next((f.name for f in self.functions if f.first <= number <= f.last), "")

    def calls(self, names):
        """Line number and name of each call of one of the names that is not a member (x->time(), x.free())."""
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
        for number, line in enumerate(self.blank, 1):
            for m in pattern.finditer(line):
                yield number, m.group(1)


@rule("banned-call", "calls that cannot be used safely")
def banned_call(f):
    names = BANNED.keys() - (BANNED_NOT_IN_BENCH if f.path.startswith("bench/") else set())
    found = [f.finding("banned-call", n, f"{name}: use {BANNED[name]}") for n, name in f.calls(sorted(names))] if f.is_code else []
    return [x for x in found if not re.search(r"\bsignal\(\w+, SIG_(IGN|DFL)\)", x.text)]


@rule("hot-format", "no printf family where requests are served")
def hot_format(f):
    if not f.is_code or not f.path.startswith(HOT_FOLDERS):
        return []
    return [f.finding("hot-format", n, f"{name}: use fmt_* of base/fmt.h") for n, name in f.calls(FORMATTING.split())]


@rule("secret-compare", "secrets are compared in constant time")
def secret_compare(f):
    found = []
    words = SECRET_WORDS - ({"key"} if f.path.startswith(KEY_IS_A_NAME) else set())
    for number, name in f.calls(COMPARE.split()) if f.is_code and not f.path.startswith("bench/") else []:
        line = f.blank[number - 1]
        # Of key->models only "models" is compared.
        arguments = re.findall(r"[A-Za-z_]\w*(?!\w*(?:\[\w+\])?(?:->|\.))", line[line.index(name + "(") + len(name) :])
        secret = next((a for a in arguments if words & set(a.lower().split("_"))), None)
        if secret:
            found.append(f.finding("secret-compare", number, f"{name} on {secret}: use crypto_equal of tls/crypto.h"))
    return found


@rule("clock", "time comes from the clock that is passed in")
def clock(f):
    if not f.is_code or f.path == "io/clock.c" or f.path.startswith("bench/"):
        return []
    return [f.finding("clock", n, f"{name}: take now_ns from the caller; only io/clock.c asks") for n, name in f.calls(CLOCKS.split())]


@rule("heap", "malloc only at start and in the control plane")
def heap(f):
    if not f.is_code or f.path.startswith(("src/control/", "bench/")) or f.path == "src/main.c":
        return []
    return [
        f.finding("heap", n, f"{name}: use an arena or a pool; if this runs at start only, say so in {source.ALLOW}")
        for n, name in f.calls(HEAP.split())
    ]


@rule("state-assign", "a state changes in its transition function only")
def state_assign(f):
    # A parser's place in the bytes is no life-cycle: its tests split the input at every byte.
    if not f.is_code or f.path.startswith("src/wire/"):
        return []
    found = []
    for number, line in enumerate(f.blank, 1):
        if re.search(r"(->|\w\.)state\s*=[^=]", line) and not f.function_at(number).endswith("_to"):
            found.append(f.finding("state-assign", number, "assign ->state in a function named ..._to, which checks the transition"))
    return found


@rule("function-lines", f"a function is at most {FUNCTION_LINES} lines")
def function_lines(f):
    return [
        f.finding("function-lines", g.first, f"{g.name} has {g.last - g.first + 1} lines, {FUNCTION_LINES} are the limit")
        for g in f.functions
        if g.last - g.first + 1 > FUNCTION_LINES
    ]


@rule("file-lines", f"a file is at most {FILE_LINES} lines")
def file_lines(f):
    if f.is_native and f.path.startswith(source.CODE_FOLDERS) and len(f.lines) > FILE_LINES:
        return [f.finding("file-lines", 1, f"{len(f.lines)} lines, {FILE_LINES} are the limit: split it by job")]
    return []


@rule("line-columns", f"a line is at most {LINE_COLUMNS} columns ({SCRIPT_COLUMNS} in scripts)")
def line_columns(f):
    if f.path.endswith(".md"):
        return []
    limit = LINE_COLUMNS if f.is_native else SCRIPT_COLUMNS
    return [f.finding("line-columns", n, f"{len(line)} columns, {limit} are the limit") for n, line in enumerate(f.lines, 1) if len(line) > limit]


@rule("unfinished", "what is not finished is not committed")
def unfinished(f):
    return [f.finding("unfinished", n, f"{m.group()}: finish it") for n, line in enumerate(f.lines, 1) if (m := UNFINISHED.search(line))]


@rule("machine-path", "nothing refers to one person's machine")
def machine_path(f):
    return [
        f.finding("machine-path", n, f"{m.group().strip()}: a path of one machine") for n, line in enumerate(f.lines, 1) if (m := MACHINE.search(line))
    ]


@rule("authorship", "text is about the code, not about how it came to be")
def authorship(f):
    return [
        f.finding("authorship", n, f'"{m.group()}": readers have the tree, nothing else')
        for n, line in enumerate(f.lines, 1)
        if (m := AUTHORSHIP.search(line))
    ]


@rule("include-guard", "a header can be included twice")
def include_guard(f):
    if not f.path.endswith(".h"):
        return []
    stem = re.sub(r"\W", "_", f.path.rsplit("/", 1)[-1]).upper()
    code = [line for line in f.blank if line.strip()]
    m = re.match(rf"#ifndef (RINGWAY_(?:\w+_)?{stem})$", code[0]) if code else None
    if m and code[1:2] == [f"#define {m.group(1)}"]:
        return []
    # A list or a template that is meant to be included several times says so.
    if re.search(r"\b[Ii]ncluded (once )?by\b", "\n".join(f.lines[:12])):
        return []
    return [f.finding("include-guard", 1, f"begin with #ifndef RINGWAY_..._{stem} and its #define")]


@rule("opening-comment", "a file opens by saying what it is")
def opening_comment(f):
    if f.path.endswith((".md", "module.mk")) or not f.lines:
        return []
    first = f.lines[0] if not f.lines[0].startswith("#!") else (f.lines[1:] or [""])[0]
    if re.match(r"//|/\*|#(?!\s*(include|if|define|pragma)\b)|\"\"\"|'''", first):
        return []
    return [f.finding("opening-comment", 1, "open with a comment: job, place, thread, ownership")]


@rule("warn-unused", "no result of type enum rw_err is dropped")
def warn_unused(f):
    found = []
    text = "\n".join(f.blank)
    if not f.is_code:
        return []
    # Declarations, in headers and of what is exported: [RW_WARN_UNUSED] enum rw_err name(...) [RW_WARN_UNUSED] ; or {
    for m in re.finditer(r"^((?:\w+ )*)enum rw_err (\w+)\(", text, re.M):
        end = re.search(r"[;{]", text[m.end() :])
        whole = text[m.start() : m.end() + (end.start() if end else 0)]
        is_declaration = f.path.endswith(".h") or (end and end.group() == ";" and "static" in m.group(1))
        if is_declaration and "RW_WARN_UNUSED" not in whole and "rw_errno" != m.group(2):
            number = text.count("\n", 0, m.start()) + 1
            found.append(f.finding("warn-unused", number, f"{m.group(2)}: declare it RW_WARN_UNUSED"))
    # What only this file sees has no declaration: look at the calls.
    own = {m.group(1) for m in re.finditer(r"^static (?:\w+ )*enum rw_err (\w+)\(", text, re.M)}
    for number, line in enumerate(f.blank, 1):
        m = re.match(r"\s+(\w+)\(", line)
        if m and m.group(1) in own and f.blank[number - 2].rstrip().endswith((";", "{", "}", ":", ")", "")) and starts_statement(f, number):
            found.append(f.finding("warn-unused", number, f"the result of {m.group(1)} is dropped"))
    return found


def starts_statement(f, number):
    """True if the line begins a statement: what stands before it ends one, or is the head of one."""
    for above in range(number - 2, -1, -1):
        text = f.blank[above].rstrip()
        if text and not text.lstrip().startswith("#"):
            return text.endswith((";", "{", "}", ":", "else")) or bool(re.match(r"\s*(if|for|while) \(.*\)$", text))
    return False


@rule("old-code", "code that is not run is not kept")
def old_code(f):
    found = []
    for number, line in enumerate(f.lines if f.is_code and f.path.endswith(".c") else [], 1):
        if CODE_COMMENT.match(line) and f.function_at(number):
            found.append(f.finding("old-code", number, "code in a comment: remove it, git keeps it"))
    if f.is_code:
        found += [f.finding("old-code", n, "#if 0: remove it, git keeps it") for n, t in enumerate(f.blank, 1) if re.match(r"\s*#\s*if 0\b", t)]
    return found


@rule("typedef-struct", "a struct is called struct")
def typedef_struct(f):
    if not f.is_code:
        return []
    return [
        f.finding("typedef-struct", n, "say struct x: no typedef of structs, unions and enums")
        for n, line in enumerate(f.blank, 1)
        if re.match(r"\s*typedef\s+(struct|union|enum)\b[^()]*$", line)
    ]


@rule("whitespace", "no space at the end of a line, no tab in C, a newline at the end of a file")
def whitespace(f):
    found = [f.finding("whitespace", n, "space at the end of the line") for n, line in enumerate(f.lines, 1) if line != line.rstrip()]
    if f.is_native:
        found += [f.finding("whitespace", n, "tab") for n, line in enumerate(f.lines, 1) if "\t" in line]
    if f.raw and not f.raw.endswith("\n"):
        found.append(f.finding("whitespace", len(f.lines), "no newline at the end of the file"))
    return found


TEXTS = (".c", ".h", ".S", ".py", ".sh", ".mjs", ".md", ".mk", ".yaml")


def is_script(path):
    """A program without an ending in its name."""
    if "." in path.name:
        return False
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def main():
    if "--list" in sys.argv:
        print("\n".join(f"{name:<16} {why}" for name, (_, why) in RULES.items()))
        return
    root = source.root_of(sys.argv)
    paths = source.files(root, source.CODE_FOLDERS, TEXTS)
    paths += source.files(root, ("tests", ".ci", "packaging"), TEXTS)
    paths += [p for p in source.files(root, ("tests", ".ci", "packaging", "bench"), ("",)) if is_script(root / p) and p not in paths]
    paths += [p for p in ("Makefile", "README.md") if (root / p).exists()]
    # These name what they forbid.
    paths = [p for p in paths if p not in ("tests/lint/rules.py", source.ALLOW)]
    exceptions = source.Exceptions(root, RULES)
    findings = exceptions.bad
    for path in paths:
        file = File(root, path)
        for check, _ in RULES.values():
            findings += [found for found in check(file) if not exceptions.allowed(found)]
    findings += exceptions.stale()
    source.report("rules", findings, f"{len(paths)} files, {len(RULES)} rules")


main()
