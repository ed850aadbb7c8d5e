#!/usr/bin/env python3
"""Counts user instructions per request in an emulated AArch64 machine that counts exactly (tests/lib/arm64-vm --icount).

The slope between N and 2 N requests, so that start and stop cancel, for Ringway (one worker, all its threads), the floor and
nginx alike: one connection, one request after the other, access log on. Repeatable to a fraction of a per cent on any machine,
which no clock is. Exit status 1 if Ringway is above a ceiling of bench/instr/ceiling.txt.

    bench/instr/run.py BUILD [--gate] [--out FILE.json]

BUILD: folder of the cross-compiled programs. --gate: only what has a ceiling, only Ringway, fewer requests: seconds, for CI.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from lib.contestants import PRICES, ROOT, TEAM_LIMITS, books, fill  # noqa: E402

VM = ROOT / "tests/lib/arm64-vm"
OURS = ("ringway", "accounts")
CONTESTANTS = (*OURS, "floor", "nginx")

# name: (N, N for --gate or 0, arguments of the client, model as the mock knows it)
CASES = {
    "chat": (500, 200, "body=600", "mock:lean,bytes=700"),
    "sdk-head": (500, 0, "body=600 head=sdk", "mock:lean,bytes=700"),
    "answer-1k": (100, 40, "body=600", "mock:lean,bytes=1024"),
    "answer-256k": (20, 10, "body=600", "mock:lean,bytes=262144"),
    "request-1k": (100, 40, "body=1024", "mock:lean,bytes=700"),
    "request-256k": (20, 10, "body=262144", "mock:lean,bytes=700"),
    "stream-50": (50, 20, "body=600 stream=1", "mock:lean,chunks=50"),
}
STREAM_EVENTS = 52
BODY_STEP = 262144 - 1024


class Plan:
    def __init__(self, gate):
        self.contestants = OURS if gate else CONTESTANTS
        self.cases = {name: (quick if gate else n, args, model) for name, (n, quick, args, model) in CASES.items()
                      if not gate or quick}

    def jobs(self):
        return [(who, case, count, args, alias(case) if who in OURS else model)
                for case, (n, args, model) in self.cases.items() for who in self.contestants if self.has(who, case) for count in (n, 2 * n)]

    @staticmethod
    def has(who, case):
        """With accounts only the plain chat is counted."""
        return who != "accounts" or case == "chat"


def alias(case):
    return f"gpt-{case}"


def prepare(job, build, plan):
    for program in ("ringway", "ringway-floor", "ringway-mock", "instr/client", "instr/insn"):
        shutil.copy(build / program, job)
    shutil.copy(HERE / "guest.sh", job)
    models = ", ".join('{ name: "%s", targets: [{ provider: mock, model: "%s" }] }' % (alias(c), case[-1])
                       for c, case in CASES.items())
    for who, data_dir in (("ringway", None), ("accounts", "/tmp/books/data")):
        (job / f"{who}.yaml").write_text(fill("ringway.yaml", LISTEN="127.0.0.1:8001", METRICS="127.0.0.1:9464",
                                              UPSTREAM="127.0.0.1:9001", ACCESS="/dev/null", WORKERS=1, MODELS=models,
                                              **books(data_dir, "/tmp/books/admin.sock")))
    (job / "prices").write_text(PRICES)
    (job / "team-limits").write_text(" ".join(TEAM_LIMITS))
    (job / "nginx.conf").write_text(fill("nginx.conf", DIR="/job/nginx", LISTEN="127.0.0.1:8003", STREAMS="127.0.0.1:8004",
                                         CACHED="127.0.0.1:8005", UPSTREAM="127.0.0.1:9001"))
    (job / "jobs").write_text("".join(f"{who} {case} {count} {args} model={model}\n" for who, case, count, args, model in plan.jobs()))


def read_counts(lines, found, total):
    done, show = 0, sys.stderr.isatty()
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[0] == "counted":
            found.setdefault((words[1], words[2]), {})[int(words[3])] = int(words[4])
            done += 1
            if show:
                print(f"\r\033[K{done}/{total} {words[1]} {words[2]}", end="", file=sys.stderr, flush=True)
        elif words:
            print(line.rstrip(), file=sys.stderr)
    if show:
        print("\r\033[K", end="", file=sys.stderr)


def run(build, plan):
    """-> {(who, case): {count: instructions}}"""
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-instr.") as folder:
        job = pathlib.Path(folder)
        prepare(job, build, plan)
        nginx = ["--pkg", "nginx"] if "nginx" in plan.contestants else []
        vm = subprocess.Popen([VM, "--icount", "--quiet", *nginx, "--timeout", "900", job, "--", "sh", "guest.sh"],
                              stdout=subprocess.PIPE, text=True)
        try:
            read_counts(vm.stdout, found, len(plan.jobs()))
        except BaseException:
            vm.terminate()
            raise
        if vm.wait() != 0:
            sys.exit("bench-instr: the run in the emulated machine failed")
    return found


def slopes(found, plan):
    return {who: {case: (found[who, case][2 * n] - found[who, case][n]) / n for case, (n, _, _) in plan.cases.items() if plan.has(who, case)}
            for who in plan.contestants}


def figures(slope):
    """The figures that are printed, by name."""
    s = dict(slope)
    if "answer-256k" not in slope:
        return s
    s["per-answer-byte"] = (slope["answer-256k"] - slope["answer-1k"]) / BODY_STEP
    s["per-request-byte"] = (slope["request-256k"] - slope["request-1k"]) / BODY_STEP
    if "stream-50" in slope:
        s["per-stream-event"] = slope["stream-50"] / STREAM_EVENTS
    return s


def ceilings():
    read = {}
    for line in (HERE / "ceiling.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            read[words[0]] = float(words[1])
    return read


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    plan = Plan(options.gate)
    results = {who: figures(s) for who, s in slopes(run(options.build.resolve(), plan), plan).items()}
    limits, failed = ceilings(), []
    shown = [who for who in plan.contestants if who != "accounts"]
    print(f"{'user instructions per request':32}" + "".join(f"{who:>12}" for who in shown) + f"{'ceiling':>12}")
    # With accounts there is a ceiling of its own.
    results["ringway"]["accounts-chat"] = results["accounts"].pop("chat")
    for name in results["ringway"]:
        counts = [results[who].get(name) for who in shown]
        row = f"{name:32}" + "".join(f"{'' if n is None else number(n):>12}" for n in counts)
        if name in limits:
            good = results["ringway"][name] <= limits[name]
            row += f"{number(limits[name]):>12}  {'pass' if good else 'FAIL'}"
            if not good:
                failed.append(name)
        print(row)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    if failed:
        print("bench-instr: above the ceiling: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
