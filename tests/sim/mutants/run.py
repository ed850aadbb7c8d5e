#!/usr/bin/env python3
"""Breaks the gateway on purpose, one plausible bug at a time, and looks who notices.

    run.py [NAME...] [--seeds N]

Each patch of this folder is applied to a copy of the tree (build-mutants/), built, and must be caught: by the simulator, else by
the simulator under AddressSanitizer, else by the unit tests. The first line of a patch says what is wrong. Prints a table; exit 1 if
a mutant survives, does not apply or does not build.
"""

import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TREE = ROOT / "build-mutants" / "tree"
SECONDS = 600


def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def run(*command, seconds=SECONDS, stdin=None):
    """(exit status, output); a time limit counts as a failure of its own."""
    try:
        done = subprocess.run(
            command, cwd=TREE, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "it hangs"
    return done.returncode, done.stdout.decode(errors="replace")


def copy_tree():
    """What is in the index or new, so that work that is not committed is tested as well; unchanged files keep their times."""
    TREE.mkdir(parents=True, exist_ok=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.split(b"\0")
    for name in filter(None, names):
        source, to = ROOT / name.decode(), TREE / name.decode()
        if not source.is_file():
            continue
        data = source.read_bytes()
        if to.is_file() and to.read_bytes() == data:
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(data)
        to.chmod(source.stat().st_mode)


def build(flavour, target):
    status, output = run("make", "-s", f"FLAVOUR={flavour}", target)
    return status == 0, output


def why(output):
    """The line that says what was noticed."""
    for mark in ("sim: FAILED:", "MUST", "check failed", "ERROR: AddressSanitizer", "runtime error"):
        for line in output.splitlines():
            if mark in line:
                return line.strip()[:90]
    return (output.strip().splitlines() or ["?"])[-1][:90]


def caught(seeds):
    """(by whom, what was said), or (None, why it was not)."""
    built, output = build("release", "build/ringway-sim")
    if not built:
        return None, "it does not build: " + output.strip().splitlines()[-1]
    status, output = run("build/ringway-sim", "--seeds", seeds)
    if status:
        return "sim", why(output)
    built, output = build("asan", "build-asan/ringway-sim")
    if not built:
        return None, "it does not build under ASan"
    status, output = run("build-asan/ringway-sim", "--seeds", "60")
    if status:
        return "asan", why(output)
    status, output = run("make", "-s", "unit")
    if status:
        return "unit", why(output)
    return None, "it survives"


def main():
    seeds = option("--seeds", "600")
    names = [word for word in sys.argv[1:] if not word.startswith("--") and word != seeds]
    patches = [p for p in sorted(HERE.glob("*.patch")) if not names or p.stem in names]
    copy_tree()
    built, output = build("release", "build/ringway-sim")
    if not built:
        sys.exit("mutants: the tree itself does not build:\n" + output)
    survived = 0
    print(f"{'mutant':24} {'caught by':10} {'seconds':>7}  what was said")
    for patch in patches:
        begun = time.monotonic()
        with patch.open("rb") as text:
            status, output = run("patch", "-p1", "--forward", "--fuzz=0", stdin=text)
        if status:
            by, said = None, "it does not apply: " + output.strip().splitlines()[-1]
            copy_tree()
        else:
            by, said = caught(seeds)
            copy_tree()
        survived += by is None
        print(f"{patch.stem:24} {by or 'NOBODY':10} {time.monotonic() - begun:7.0f}  {said}", flush=True)
    print(f"{len(patches)} mutants, {survived} not caught")
    sys.exit(1 if survived or not patches else 0)


main()
