#!/usr/bin/env python3
"""Ringway, nginx, HAProxy and the floor side by side on the same work: `make bench` (QUICK=1: in a minute).

Every contestant proxies POST /v1/chat/completions to ringway-mock, alone on one core; the load and the mock share the other one.
Windows are interleaved in random order, figures are medians. Access logs are on (to /dev/null); Ringway also checks a key, scans
the JSON and counts. Prints a table and a line per gate, writes JSON and SVG. Exit status 1 if a gate failed (GATES=no: 0).

    bench/run.py BUILD [--quick] [--only PART,...] [--out FOLDER] [--cores CONTESTANT,OTHERS] [--with NAME,...]
"""
import argparse
import atexit
import contextlib
import os
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lib import cases, contestants, measure, report  # noqa: E402

QUICK_PARTS = "answers,streams,latency,cached,memory"
FULL_NAMES = "ringway,nginx,haproxy,floor" + (",envoy" if contestants.is_there("envoy") else "")
PARTS = ["answers", "requests", "sdk", "streams", "delays", "latency", "rate", "cached", "memory", "unread", "balance"]
# Each of these starts fresh contestants of its own.
ALONE = {"cached", "memory", "unread", "balance"}
FILES_WANTED = 65536


def raise_file_limit():
    """-> how many idle connections a contestant can hold that wants two descriptors for each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, FILES_WANTED), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 512


def go_first():
    """Before whatever else runs on this machine, where that is allowed: noise would be charged to nobody, but be seen in all."""
    group = pathlib.Path("/proc/self/autogroup")  # where sessions share the processor, nice counts within one only
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        if not sys.stdin.isatty():
            os.setsid()
        group.write_text("-20")
        atexit.register(group.write_text, "0")


class Progress:
    """A line that is overwritten on a terminal; elsewhere one line for each case that is done."""

    def __init__(self):
        self.live, self.begun = sys.stderr.isatty(), time.monotonic()

    def __call__(self, case, turn, turns, what):
        clock = f"[{time.monotonic() - self.begun:5.0f} s]"
        if turn is None:
            text = "  ".join(f"{name} {report.number(f['value'])}" for name, f in what.items())
            print(("\r\033[K" if self.live else "") + f"{clock} {case}: {text}", file=sys.stderr, flush=True)
        elif self.live:
            print(f"\r\033[K{clock} {case}: window {turn + 1} of {turns}, {what}", end="", file=sys.stderr, flush=True)


def run_parts(runner, stage, parts, plan):
    full = not plan.quick
    steps = {
        "answers": lambda: runner.answers(cases.SIZES if full else ["1 KiB", "16 KiB"]),
        "requests": lambda: runner.requests(["16 KiB", "256 KiB", "1 MiB"] if full else ["16 KiB"]),
        "sdk": runner.sdk_head,
        "streams": runner.streams,
        "delays": lambda: runner.delays([200, 1000] if full else [200]),
        "latency": runner.unloaded,
        "rate": runner.equal_rate,
    }
    for part in parts:
        if part not in ALONE:
            steps[part]()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK") == "1")
    parser.add_argument("--only", default=os.environ.get("ONLY"), help="parts: " + " ".join(PARTS))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--cores", default=os.environ.get("CORES", "1,0"))
    parser.add_argument("--with", dest="names", default=os.environ.get("WITH"))
    options = parser.parse_args()
    options.build = options.build.resolve()
    plan = cases.Plan.of(options.quick)
    plan.idle_connections = min(plan.idle_connections, raise_file_limit())
    go_first()
    parts = [part for part in PARTS if part in (options.only or (QUICK_PARTS if plan.quick else ",".join(PARTS))).split(",")]
    names = (options.names or ("ringway,nginx,floor" if plan.quick else FULL_NAMES)).split(",")
    out = options.out or (options.build / "bench" if plan.quick else contestants.ROOT / "bench/results")
    cores = tuple(int(core) for core in options.cores.split(","))
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: two cores are needed, one for the contestant, one for the load")
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        stage = contestants.Stage(options.build, folder, cases.MODELS, cores)
        with stage.upstream() as mock:
            bench = measure.Bench(stage, mock)
            with contextlib.ExitStack() as stack:
                running = [stack.enter_context(stage.contestant(name)) for name in names]
                runner = cases.Runner(bench, running, plan, Progress())
                run_parts(runner, stage, parts, plan)
            for part in parts:
                if part in ALONE:
                    getattr(runner, part)(stage)
    gates = report.Gates(runner.rows)
    lines = gates.all(plan, names)
    print(report.table(runner.rows))
    print("\n" + "\n".join(lines))
    stem = report.write(out, runner.rows, lines, plan)
    print(f"\n{stem}.json and .svg" + ("" if not plan.quick else " (QUICK: 64 connections only, short windows; no proof)"))
    return 1 if gates.failed and os.environ.get("GATES") != "no" else 0


if __name__ == "__main__":
    sys.exit(main())
