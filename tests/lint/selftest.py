#!/usr/bin/env python3
"""Proves that each rule of the lint catches its breaker and lets the clean tree pass.

tests/lint/selftest/NAME/ is a small tree that breaks the one rule NAME, and nothing else:
  layers-*          layers.py must fail, with the words of the tree's file `expect`
  prefixes, tidy, cppcheck, format    the tool must fail on the tree's C file
  anything else     rules.py must report that rule, and only that
tests/lint/selftest/clean/ must pass everything. Every rule of rules.py must have a breaker.
"""

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE / "selftest"
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra"]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=HERE.parents[1])
    return done.returncode, done.stdout + done.stderr


def python(script, root):
    return run(sys.executable, HERE / script, "--root", root)


def rules_named(output):
    """The rules that rules.py reported."""
    return {line.split(": ")[1] for line in output.splitlines() if line.count(": ") >= 2}


def archive(root):
    """Compile the tree's src/base into libbase.a and look at its symbols."""
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted((root / "src/base").glob("*.c"))
        objects = []
        for source in sources:
            objects.append(f"{folder}/{source.stem}.c.o")
            status, output = run("gcc", *FLAGS, f"-I{root}/src", "-c", source, "-o", objects[-1])
            if status:
                return 99, output
        run("ar", "rcs", f"{folder}/libbase.a", *objects)
        return run(sys.executable, HERE / "prefixes.py", f"{folder}/libbase.a")


def tool(name, root):
    source = sorted(root.rglob("*.c"))
    if name == "format":
        return run("clang-format-14", f"--style=file:{HERE.parents[1]}/.clang-format", "--dry-run", "-Werror", *source)
    if name == "cppcheck":
        return run(*(HERE / "cppcheck.flags").read_text().split(), f"-I{root}/src", *source)
    return run("clang-tidy-14", "--quiet", f"--config-file={HERE.parents[1]}/.clang-tidy", *source, "--", *FLAGS, f"-I{root}/src")


def judge(case):
    """None if the case does what it should, else why not."""
    name, root = case.name, case
    if name == "clean":
        steps = [python("layers.py", root), python("rules.py", root), archive(root)]
        steps += [tool(t, root) for t in ("format", "cppcheck", "tidy")]
        return next((output for status, output in steps if status), None)
    if name.startswith("layers"):
        status, output = python("layers.py", root)
        wanted = (root / "expect").read_text().strip()
        return None if status == 1 and wanted in output else f"wanted: {wanted}\ngot: {output}"
    if name == "prefixes":
        status, output = archive(root)
        return None if status == 1 and "not one of" in output else output
    if name in ("format", "cppcheck", "tidy"):
        status, output = tool(name, root)
        return None if status and "error:" in output else f"not caught: {output}"
    status, output = python("rules.py", root)
    got = rules_named(output)
    return None if status == 1 and got == {name} else f"wanted only {name}, got {sorted(got)}\n{output}"


def main():
    cases = sorted(p for p in CASES.iterdir() if p.is_dir())
    failed = 0
    for case in cases:
        why = judge(case)
        print(f"{'ok    ' if why is None else 'FAILED'} {case.name}")
        if why is not None:
            failed += 1
            print("    " + why.strip().replace("\n", "\n    "))
    listed = {line.split()[0] for line in run(sys.executable, HERE / "rules.py", "--list")[1].splitlines()}
    untested = listed - {c.name for c in cases}
    if untested:
        print(f"rules without a breaker: {' '.join(sorted(untested))}")
    print(f"lint self-test: {len(cases)} cases, {failed} failed, {len(untested)} rules without a breaker")
    sys.exit(1 if failed or untested else 0)


main()
