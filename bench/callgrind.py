#!/usr/bin/env python3
"""Instructions per request by function, by callgrind on this machine: the cross-check of bench-instr, and what to optimise.

Warms up, zeroes the counts, sends COUNT requests on one connection, dumps. Ringway runs on epoll here, because Debian's valgrind
hangs when several threads wait in io_uring; the floor has one thread and runs on io_uring, so it shows what the ring costs.
valgrind hides SHA and AES instructions: what stands below crypto_ runs in portable C here and costs a tenth in truth.

    bench/callgrind.py BUILD [--who ringway|floor|nginx] [--count N] [--top N] [--client "body=600 ..."] [--bytes N | --events N]
"""
import argparse
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lib import contestants  # noqa: E402

WARM_UP = 200


# Frames that lie around everything; callgrind counts them oddly when it is zeroed inside them.
AROUND = re.compile(r"^(0x[0-9a-f]+|\(below main\)|__libc_start\S*|_start|clone|start_thread|main|thread_main)$")


def functions(dump, inclusive):
    command = ["callgrind_annotate", "--threshold=100", "--auto=no", "--tree=none", f"--inclusive={'yes' if inclusive else 'no'}",
               str(dump)]
    found = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        match = re.match(r"\s*([\d,]+)\s+\(\s*[\d.]+%\)\s+(\S.*)", line)
        if not match or "PROGRAM TOTALS" in line:
            continue
        count = int(match[1].replace(",", ""))
        name = re.sub(r"\s*\[.*", "", match[2])
        name = re.sub(r"^.*:", "", re.sub(r"(\.\w+\.\d+|'\d+)+$", "", name))
        if AROUND.match(name):
            continue
        # A function's inlined parts are listed by their files: its own cost is their sum, what it includes the largest.
        found[name] = max(found.get(name, 0), count) if inclusive else found.get(name, 0) + count
    return found


def total(dump):
    return int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)[1])


def control(pid, *what):
    # It reports failures on stdout and exits 0.
    out = subprocess.run(["callgrind_control", *what, str(pid)], capture_output=True, text=True, timeout=60).stdout
    if "OK" not in out:
        sys.exit(f"callgrind: {out}")


def wait_for_dump(folder, port):
    for _ in range(50):
        for dump in folder.glob("callgrind.out.*"):
            if re.search(r"^totals: [1-9]", dump.read_text(), re.M):
                return dump
        # Whoever sleeps in a system call is asked to look.
        socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.2)
    sys.exit("callgrind: no dump came")


def stage_of(options, folder):
    model = f"mock:lean,chunks={options.events}" if options.events else f"mock:lean,bytes={options.bytes}"
    return contestants.Stage(options.build, folder, [model], cores=None), model


def ask(options, it, model, count):
    arguments = options.client.split() + (["stream=1"] if options.events else [])
    subprocess.run([options.build / "instr/client", str(it.port), str(count), f"model={it.model(model)}", *arguments],
                   check=True, timeout=300)


def valgrind(folder):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out", "-q"]


def measure(options, folder):
    """Zeroes the counts when it is warm, dumps them after the requests: for those who hear callgrind_control."""
    stage, model = stage_of(options, folder)
    with stage.upstream(), stage.contestant(options.who, wrapper=valgrind(folder), io="epoll") as it:
        ask(options, it, model, WARM_UP)
        control(it.pid, "-z")
        ask(options, it, model, options.count)
        control(it.pid, "-d")
        dump = wait_for_dump(folder, it.port)
        it.kill()
    return total(dump), functions(dump, False), functions(dump, True)


def measure_slope(options, folder):
    """The difference of two whole runs: for the others, which hear SIGTERM."""
    runs = []
    for count in (WARM_UP, WARM_UP + options.count):
        stage, model = stage_of(options, folder)
        with stage.upstream(), stage.contestant(options.who, wrapper=valgrind(folder)) as it:
            ask(options, it, model, count)
        dump = folder / "callgrind.out"
        runs.append((total(dump), functions(dump, False), functions(dump, True)))
        dump.unlink()
    (low, *low_tables), (high, *high_tables) = runs
    return high - low, *({name: n - before.get(name, 0) for name, n in after.items()}
                         for before, after in zip(low_tables, high_tables))


def table(title, found, options):
    print(title)
    for name, count in sorted(found.items(), key=lambda item: -item[1])[:options.top]:
        print(f"{count / options.count:10,.1f}  {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--who", default="ringway")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument("--client", default="body=600")
    parser.add_argument("--bytes", type=int, default=700)
    parser.add_argument("--events", type=int, default=0)
    options = parser.parse_args()
    options.build = options.build.resolve()
    with tempfile.TemporaryDirectory(prefix="bench-callgrind.") as folder:
        how = measure_slope if options.who == "nginx" else measure
        count, own, inclusive = how(options, pathlib.Path(folder))
    crypto = inclusive.get("crypto_hmac", 0)
    print(f"{options.who}: {count / options.count:,.0f} instructions per request"
          + (f", of which {crypto / options.count:,.0f} in crypto_hmac (portable here)" if crypto else ""))
    table("\nof its own, per request", own, options)
    table("\nwith what it calls (not across a switch of fibers)", inclusive, options)


if __name__ == "__main__":
    main()
