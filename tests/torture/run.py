#!/usr/bin/env python3
"""Torture: the k-th allocation, the k-th operation given to the io/ driver and the k-th system call fails, for every k.

    tests/torture/run.py BUILD PLAIN [--only WORD] [--kind memory|operation|syscall] [--backend io_uring|epoll] [--from K]

Each scenario (a request to the echo model, a stream of the mock, a reload, a drain, the start, ...) is run with k = 1, 2, 3, ...
until a run in which nothing failed any more because the scenario makes fewer such calls. Whatever fails, the gateway must end
the scenario whole, with a clear error, or with a connection that shows that it broke; it must live, say nothing about a broken
invariant, serve the next request whole, keep no descriptor and, at its end, no memory.

BUILD: folder of torture/ringway and torture/syscalls, with ASan and its search for leaks: allocations and operations fail there.
PLAIN: the same without a sanitizer, for system calls (the sanitizer's own would fail with them).
Progress goes to standard error; a table of scenarios, k reached and outcomes to standard output. Exit 1 if anything is wrong;
each finding names k, the call that failed and who made it, and how to repeat it.
"""

import argparse
import collections
import json
import mmap
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import rawhttp  # noqa: E402  (needs the path above)
import servers  # noqa: E402

KINDS = ("memory", "operation", "syscall")
FRAMES = 8
WORDS = 4 + FRAMES
SEEN, FAIL_AT, FIRED, WHAT, STACK = range(5)
ERROR = WORDS * len(KINDS)
BEGUN = ERROR + 1
PAGE_BYTES = 4096
ENOMEM = 12
# Errors of operations: one that suits each (0), and want of memory for all.
ERRORS = {"memory": (0,), "operation": (0, -ENOMEM), "syscall": (0,)}
OPERATIONS = ("?", "accept", "recv_many", "recv", "recv_into", "send", "connect", "poll")

ANSWER_SECONDS = 15  # longer than anything takes: a scenario that reaches it hangs
AFTER_SECONDS = 5
K_MAX = 20000
FINDINGS_MAX = 40


class Wrong(Exception):
    """What must not happen."""


class Page:
    """The memory of torture.h."""

    def __init__(self, folder):
        self.path = folder / "torture.page"
        self.path.write_bytes(bytes(PAGE_BYTES))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), PAGE_BYTES)

    def word(self, at):
        return struct.unpack_from("q", self.map, 8 * at)[0]

    def put(self, at, value):
        struct.pack_into("q", self.map, 8 * at, value)

    def clear(self):
        for at in range(BEGUN + 1):
            self.put(at, 0)

    def arm(self, kind, k, error):
        """The k-th call of this kind from now on fails."""
        base = WORDS * KINDS.index(kind)
        self.put(ERROR, error)
        self.put(base + FIRED, 0)
        self.put(base + FAIL_AT, self.word(base + SEEN) + k)

    def disarm(self, kind):
        """-> whether it came to that"""
        base = WORDS * KINDS.index(kind)
        self.put(base + FAIL_AT, 0)
        return self.word(base + FIRED) > 0

    def what(self, kind):
        return self.word(WORDS * KINDS.index(kind) + WHAT)

    def frames(self, kind):
        base = WORDS * KINDS.index(kind) + STACK
        found = [self.word(base + i) for i in range(FRAMES)]
        return found[: found.index(0)] if 0 in found else found


class Tortured(servers.Gateway):
    """A gateway whose calls can be made to fail. `wait=False`: it may end before it is ready."""

    def __init__(self, bench, name, wait=True, **config):
        full = servers.plain_config(bench.mock.port, bench.backend, workers=1, **config)
        full["providers"]["own"] = {"type": "echo"}
        full["models"] = [{"name": "m", "targets": [{"provider": "up", "model": "mock:chunks=4"}]}]
        env = {**os.environ, "RINGWAY_TORTURE": str(bench.page.path)}
        env["LSAN_OPTIONS"] = "exitcode=0"
        env["ASAN_OPTIONS"] = "use_sigaltstack=0:detect_leaks=1"
        prefix = [bench.folder_of(bench.kind) / "torture/syscalls"] if bench.kind == "syscall" else []
        self.binary = bench.folder_of(bench.kind) / "torture/ringway"
        servers.RINGWAY = str(self.binary)
        super().__init__(bench.folder, full, name, prefix, env, wait)

    def new_words(self):
        """What it said since the last call, without moving the mark of complaint()."""
        said = self.err()
        return said[self.seen :].decode(errors="replace")


class Bench:
    """One kind of failure on one back end: the mock, the page, and the gateway that the next scenario finds."""

    def __init__(self, folder, build, plain, mock, kind, backend, error):
        self.folder, self.build, self.plain = folder, build, plain
        self.mock, self.kind, self.backend, self.error = mock, kind, backend, error
        self.page = Page(folder)
        self.gateway = None
        self.started = 0

    def folder_of(self, kind):
        return self.plain if kind == "syscall" else self.build

    def fresh(self, wait=True, **config):
        self.started += 1
        return Tortured(self, f"g{self.started}", wait, **config)

    def running(self):
        """The shared gateway, warm: an upstream connection is idle, tables have grown."""
        if self.gateway is None:
            self.page.clear()
            self.gateway = self.fresh()
            for _ in range(3):
                whole(self.gateway)
            self.descriptors = self.gateway.descriptors()
        return self.gateway

    def drop(self):
        if self.gateway is not None:
            self.gateway.kill()
        self.gateway = None

    def end(self):
        """The shared gateway's orderly end, which is where leaks show."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            stopped(gateway)


def stopped(gateway):
    try:
        status = gateway.stop()
    except AssertionError as e:
        raise Wrong(str(e)) from None
    if status != 0 or servers.BROKEN.search(gateway.err()):
        raise Wrong(gateway.complaint_of_the_end() or f"exit status {status}")


def body(model, stream):
    words = [{"role": "user", "content": "one two three"}]
    return json.dumps({"model": model, "stream": stream, "messages": words}).encode()


FIELDS = [("authorization", f"Bearer {servers.KEY}"), ("content-type", "application/json")]
EXPECTED = {"own/echo": "one two three", "m": "t0 t1 t2 t3 "}


def text_of(answer, stream):
    """The words of an answer, or None if an event says that it broke."""
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    events = rawhttp.events(answer.body)
    if any(e != "[DONE]" and "error" in json.loads(e) for e in events):
        return None
    if events[-1] != "[DONE]":
        raise Wrong(f"a stream without an end was passed off as whole: {answer.body[-300:]!r}")
    deltas = [json.loads(e)["choices"] for e in events[:-1]]
    return "".join(c["delta"].get("content") or "" for d in deltas for c in d[:1])


def judged(answer, model, stream):
    if answer.status != 200:
        if not answer.json()["error"]["message"]:
            raise Wrong(f"an error without words: {answer}")
        return f"{answer.status}"
    text = text_of(answer, stream)
    if text is None:
        return "in-band error"
    if text != EXPECTED[model]:
        raise Wrong(f"not what was asked for: {answer}")
    return "whole"


class Client(rawhttp.Connection):
    """A connection that knows whether anything came back, and waits as long as nothing takes."""

    def __init__(self, gateway, port=None):
        self.got = 0
        super().__init__((gateway.address[0], port) if port else gateway.address, timeout=ANSWER_SECONDS)

    def fill(self):
        more = super().fill()
        self.got += more
        return more


def talk(gateway, conversation, port=None):
    """`conversation` with a client of its own -> its outcome, or how the connection ended before there was one."""
    client = None
    try:
        with Client(gateway, port) as client:
            return conversation(client)
    except TimeoutError:
        raise Wrong("no answer, and the connection stays open") from None
    except (ConnectionError, rawhttp.BadAnswer):
        return "cut" if client and client.got else "closed"


def chat(c, request, model, stream):
    c.send_some(rawhttp.request("POST", "/v1/chat/completions", FIELDS, request))
    return judged(c.answer(), model, stream)


def ask(gateway, model="m", stream=False):
    """One request on a connection of its own. -> how it ended"""
    return talk(gateway, lambda c: chat(c, body(model, stream), model, stream))


def whole(gateway, seconds=AFTER_SECONDS):
    """An ordinary request, answered whole; where the failure left the gateway a moment to recover."""
    end = time.monotonic() + seconds
    while True:
        seen = ask(gateway)
        if seen == "whole":
            return
        if time.monotonic() > end:
            raise Wrong(f"the next requests were not answered: {seen}")
        time.sleep(0.05)


# --- Scenarios of a running gateway: they find bench.running() and leave it running.


def echo(bench):
    return ask(bench.gateway, "own/echo")


def echo_stream(bench):
    return ask(bench.gateway, "own/echo", True)


def mock_chat(bench):
    return ask(bench.gateway)


def mock_stream(bench):
    return ask(bench.gateway, stream=True)


def large_body(bench):
    """A request that needs memory outside of the pools."""
    request = body("m", False).replace(b"one two three", b"x" * 300000)
    return talk(bench.gateway, lambda c: chat(c, request, "m", False))


def two_in_a_row(bench):
    """Keep-alive: the first answer whole or an error, the second the same or not at all."""
    seen = []

    def both(c):
        for model in ("own/echo", "m"):
            c.got = 0
            seen.append(chat(c, body(model, False), model, False))
        return seen.pop()

    last = talk(bench.gateway, both)
    return " + ".join([*seen, last])


def metrics_page(bench):

    def scrape(c):
        answer = c.ask("GET", "/metrics")
        if answer.status == 200 and b"ringway_build_info" not in answer.body:
            raise Wrong("half a page was passed off as whole")
        return "whole" if answer.status == 200 else f"{answer.status}"

    return talk(bench.gateway, scrape, bench.gateway.metrics_port)


def reload(bench):
    """SIGHUP: the new file is in force, or the old one and a line says so."""
    gateway = bench.gateway
    gateway.signal(signal.SIGHUP)

    def said():
        words = gateway.new_words()
        if "configuration loaded" in words:
            return "loaded"
        return "kept" if "stays in force" in words else None

    end = time.monotonic() + (0.5 if bench.kind == "syscall" else AFTER_SECONDS)
    while time.monotonic() < end and gateway.alive():
        if said():
            return said()
        time.sleep(0.005)
    # The line itself may be what could not be written.
    if bench.kind == "syscall":
        return "no word"
    raise Wrong("neither loaded nor refused")


# --- Scenarios with a gateway of their own.


def drain(bench):
    """SIGTERM while a stream runs: the stream ends whole or shows that it broke; the process ends with 0."""
    gateway = bench.fresh(drain={"idle": "50ms", "timeout": "10s"})
    try:
        whole(gateway)

        def stream(c):
            request = rawhttp.request("POST", "/v1/chat/completions", FIELDS, body("up/mock:chunks=4,pace=10ms", True))
            c.send(request)
            bench.page.arm(bench.kind, bench.k, bench.error)
            gateway.signal(signal.SIGTERM)
            return judged(c.answer(), "m", True)

        seen = talk(gateway, stream)
        gateway.child.wait(ANSWER_SECONDS)
        stopped(gateway)
        return seen
    except subprocess.TimeoutExpired:
        raise Wrong("it did not end") from None
    finally:
        gateway.kill()


def start(bench):
    """It starts and serves, or ends with an error and says why."""
    bench.page.arm(bench.kind, bench.k, bench.error)
    gateway = bench.fresh(wait=False)
    gateway.metrics_port = None  # without its page it serves all the same, and says so
    try:
        end = time.monotonic() + ANSWER_SECONDS
        while gateway.alive() and not gateway.ready_or_dead():
            if time.monotonic() > end:
                raise Wrong("neither ready nor ended")
            time.sleep(0.005)
        if gateway.alive():
            whole(gateway)
            stopped(gateway)
            return "serves"
        status = gateway.child.wait()
        said = gateway.said()
        # What failed to start leaves its memory to the end of the process.
        broken = servers.BROKEN.search(gateway.err().replace(b"ERROR: LeakSanitizer", b""))
        if broken or status not in (1, 2):
            raise Wrong(f"ended with {status}:\n{said[-3000:]}")
        mute = bench.kind == "syscall" and bench.call_name() in ("write", "writev")
        if not mute and not re.search(r"error|ringway:", said):
            raise Wrong(f"ended with {status} without a word:\n{said[-3000:]}")
        return "clear error"
    finally:
        gateway.kill()


def ready_or_dead(gateway):
    try:
        return gateway.ready()
    except AssertionError:
        return True
    except rawhttp.BadAnswer:
        return False


Tortured.ready_or_dead = ready_or_dead

RUNNING = (echo, echo_stream, mock_chat, mock_stream, large_body, two_in_a_row, metrics_page, reload)
ALONE = (start, drain)


# --- The loop over k.


def call_names(plain):
    lines = subprocess.run([plain / "torture/syscalls", "--list"], capture_output=True, text=True, check=True)
    return {int(n): name for n, name, _ in (line.split() for line in lines.stdout.splitlines())}


class Report:
    def __init__(self, names):
        self.names = names
        self.rows, self.findings, self.places = [], [], collections.Counter()

    def failing(self, bench):
        """What was made to fail, and who called it."""
        kind, page = bench.kind, bench.page
        if kind == "syscall":
            return self.names.get(page.what(kind), "?")
        binary = bench.folder_of(kind) / "torture/ringway"
        # Return addresses: the call is in front of them.
        at = [hex(a - 1) for a in page.frames(kind) if a > 0]
        said = subprocess.run(["addr2line", "-fsie", binary, *at], capture_output=True, text=True).stdout.split("\n")
        calls = [f"{f} ({line})" for f, line in zip(said[::2], said[1::2]) if "inject.c" not in line and f != "??"]
        name = OPERATIONS[page.what(kind)] if kind == "operation" else "allocation"
        return f"{name} of {' < '.join(calls[:5])}"

    def finding(self, bench, scenario, k, words, fired):
        what = self.failing(bench) if fired else "nothing was made to fail"
        self.places[what] += 1
        text = (
            f"WRONG  {scenario} {bench.kind} {bench.backend} error {bench.error} k={k}: {what}\n"
            + "\n".join(f"       {line}" for line in str(words).splitlines()[:60])
            + f"\n       again: --only {scenario} --kind {bench.kind} --backend {bench.backend} --from {k}"
        )
        self.findings.append(text)
        print(f"\r\033[K{text}", file=sys.stderr, flush=True)
        if len(self.findings) >= FINDINGS_MAX:
            raise SystemExit(self.print())

    def print(self):
        print(f"{'scenario':<14}{'fails':<11}{'back end':<10}{'error':<8}{'k reached':>9}  outcomes")
        for row in self.rows:
            name, kind, backend, error, k, tally = row
            outcomes = ", ".join(f"{what} {n}" for what, n in tally.most_common())
            print(f"{name:<14}{kind:<11}{backend:<10}{error or 'fitting':<8}{k:>9}  {outcomes}")
        print(f"torture: {sum(r[4] for r in self.rows)} failures injected, {len(self.findings)} findings")
        for what, n in self.places.most_common():
            print(f"  {n} x {what}")
        return 1 if self.findings else 0


def settled(bench, gateway):
    """After a failure: alive, nothing complained of, the next request whole, no descriptor kept."""
    if not gateway.alive():
        raise Wrong(f"the gateway ended with {gateway.child.returncode}:\n{gateway.said()[-3000:]}")
    whole(gateway)
    end = time.monotonic() + AFTER_SECONDS
    while gateway.descriptors() > bench.descriptors:
        if time.monotonic() > end:
            raise Wrong(f"{gateway.descriptors()} descriptors, {bench.descriptors} before")
        time.sleep(0.005)
    complaint = gateway.complaint()
    if complaint:
        raise Wrong(complaint)


def once(bench, scenario):
    """One scenario with one failure. -> (outcome, whether anything was made to fail)"""
    if scenario in ALONE:
        bench.page.clear()
        outcome = scenario(bench)
        return outcome, bench.page.disarm(bench.kind)
    gateway = bench.running()
    bench.page.arm(bench.kind, bench.k, bench.error)
    outcome = scenario(bench)
    fired = bench.page.disarm(bench.kind)
    settled(bench, gateway)
    return outcome, fired


def torture(bench, scenario, report, first):
    tally = collections.Counter()
    name = scenario.__name__
    for k in range(first, K_MAX):
        bench.k = k
        bench.call_name = lambda: report.names.get(bench.page.what(bench.kind), "?")
        try:
            outcome, fired = once(bench, scenario)
            tally[outcome if fired else "(not reached)"] += 1
        except (Wrong, AssertionError, OSError, rawhttp.BadAnswer) as e:
            fired = bench.page.disarm(bench.kind)
            report.finding(bench, name, k, e, fired)
            tally["WRONG"] += 1
            bench.drop()
        if not fired:
            break
        if k % 10 == 0:
            print(f"\r\033[K{name} {bench.kind} {bench.backend} k={k}", end="", file=sys.stderr, flush=True)
    del tally["(not reached)"]
    try:
        bench.end()
    except Wrong as e:
        report.finding(bench, name, k, f"at the gateway's end: {e}", False)
    report.rows.append((name, bench.kind, bench.backend, bench.error, sum(tally.values()), tally))
    print("\r\033[K", end="", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("plain", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--backend", choices=("io_uring", "epoll"))
    parser.add_argument("--from", dest="first", type=int, default=1)
    o = parser.parse_args()
    build, plain = o.build.resolve(), o.plain.resolve()
    servers.MOCK = str(plain / "ringway-mock")
    report = Report(call_names(plain))
    with tempfile.TemporaryDirectory(prefix="torture.") as folder:
        folder = pathlib.Path(folder)
        mock = servers.Mock(folder)
        try:
            for kind in KINDS if not o.kind else (o.kind,):
                for backend in ("io_uring", "epoll") if not o.backend else (o.backend,):
                    for error in ERRORS[kind]:
                        bench = Bench(folder, build, plain, mock, kind, backend, error)
                        for scenario in (*RUNNING, *ALONE):
                            if o.only in scenario.__name__:
                                torture(bench, scenario, report, o.first)
        finally:
            mock.stop()
    return report.print()


if __name__ == "__main__":
    sys.exit(main())
