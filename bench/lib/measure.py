"""Windows of load, and what each cost whom.

The contestant has a core to itself, wrk or ringway-load and the mock share the other. CPU is the process's own clock (all its
threads, the kernel's iou-wrk included). What others took on both cores meanwhile is the window's noise.
"""
import contextlib
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass

from lib import contestants

TICK = os.sysconf("SC_CLK_TCK")
# Windows in which others took more of the two cores are left out where enough better ones remain.
NOISE_MAX = 0.05
WINDOWS_MIN = 3


# For what measures time: whoever is due runs at once, whatever else the machine does. Not for saturation: others would starve.
REAL_TIME_PRIORITY = 10


def schedule(process, policy, priority):
    for pid in [process.pid, *contestants.children(process.pid)]:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))


@dataclass
class Window:
    """One contestant under one load."""

    seconds: float
    cpu_seconds: float
    answers: int
    events: int
    noise: float
    seen: dict  # by the client

    @property
    def share(self):
        return self.cpu_seconds / self.seconds


def core_busy_seconds(cores):
    busy = 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in {f"cpu{core}" for core in cores}:
            user, nice, system, _idle, _wait, irq, softirq, steal = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy / TICK


def children_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


class Bench:
    def __init__(self, stage, mock):
        self.stage, self.mock = stage, mock
        self.cores = [stage.core, stage.other_core]
        self.before_client = []

    @contextlib.contextmanager
    def real_time(self, processes):
        """Contestants, mock and load take precedence while it lasts, where that is allowed."""
        try:
            for process in [self.mock, *processes]:
                schedule(process, os.SCHED_FIFO, REAL_TIME_PRIORITY)
            self.before_client = ["chrt", "-f", str(REAL_TIME_PRIORITY)]
        except PermissionError:
            pass
        try:
            yield
        finally:
            if self.before_client:
                for process in [self.mock, *processes]:
                    schedule(process, os.SCHED_OTHER, 0)
            self.before_client = []

    def client(self, words, environment=None):
        command = [*self.before_client, "taskset", "-c", str(self.stage.other_core), *(str(word) for word in words)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        seen = last_json(done.stdout)
        if seen.get("errors"):
            raise RuntimeError(f"{' '.join(command)}: {seen['errors']} errors")
        return seen

    def window(self, who, words, environment=None):
        """who: None for the mock itself."""
        server = who or self.mock
        measured = {server, self.mock}
        time.sleep(0.1)
        before = {p: p.cpu_seconds() for p in measured}
        clients, busy, begun = children_cpu_seconds(), core_busy_seconds(self.cores), time.monotonic()
        seen = self.client(words, environment)
        seconds = time.monotonic() - begun
        spent = {p: p.cpu_seconds() - before[p] for p in measured}
        ours = sum(spent.values()) + children_cpu_seconds() - clients
        noise = max(0.0, (core_busy_seconds(self.cores) - busy - ours) / (seconds * len(self.cores)))
        return Window(seconds, spent[server], seen["answers"], seen.get("events", 0), noise, seen)

    def wrk(self, who, model, connections, seconds, body=600, head="short", stream=False, entries=0):
        environment = {"MODEL": who.model(model), "BODY": str(body), "HEAD": head, "STREAM": str(int(stream)), "KEY": contestants.KEY,
                       "ENTRIES": str(entries)}
        port = who.stream_port if stream else who.cache_port if entries else who.port
        return self.window(who, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", contestants.ROOT / "bench/wrk/chat.lua",
                                 f"http://127.0.0.1:{port}"], environment)

    def load_command(self, mode, who, model, connections, stream=False, **options):
        server = who or self.mock
        port = server.stream_port if stream else server.port
        words = [self.stage.build / "ringway-load", mode, port, f"connections={connections}", f"model={server.model(model)}"]
        return words + [f"stream={int(stream)}"] * stream + [f"{key}={value}" for key, value in options.items()]

    def load(self, mode, who, model, connections, stream=False, **options):
        return self.window(who, self.load_command(mode, who, model, connections, stream, **options))

    def held(self, mode, who, model, connections, settle_seconds):
        """Bytes that each of so many connections adds to a contestant that was just started."""
        start = who.memory_bytes()
        words = [str(word) for word in self.load_command(mode, who, model, connections, stream=True)]
        client = subprocess.Popen(["taskset", "-c", str(self.stage.other_core), *words], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            if client.stdout.readline() != "ready\n":
                raise RuntimeError(f"{' '.join(words)} ended early")
            time.sleep(settle_seconds)
            return (who.memory_bytes() - start) / connections
        finally:
            client.stdin.close()
            client.wait(30)
            client.stdout.close()


    def spread(self, who, model, connections, seconds):
        """CPU of the busiest worker as a multiple of the idlest's under a load."""
        before = who.worker_seconds()
        self.client(self.load_command("closed", who, model, connections, seconds=seconds))
        spent = [seconds - before[name] for name, seconds in who.worker_seconds().items()]
        return max(spent) / min(spent)

    def unread(self, who, model, streams, settle_seconds):
        """Bytes that each of so many fast streams adds to a contestant that was just started when its client stops reading."""
        body = json.dumps({"model": who.model(model), "stream": True, "messages": [{"role": "user", "content": "hello"}]}).encode()
        head = ("POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
                f"authorization: Bearer {contestants.KEY}\r\ncontent-length: {len(body)}\r\n\r\n").encode()
        start = who.memory_bytes()
        with contextlib.ExitStack() as stack:
            for _ in range(streams):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", who.stream_port)))
                client.sendall(head + body)
                if not client.recv(1024).startswith(b"HTTP/1.1 200"):
                    raise RuntimeError("a stream was refused")
            time.sleep(settle_seconds)
            return (who.memory_bytes() - start) / streams


def quiet(windows):
    good = [w for w in windows if w.noise <= NOISE_MAX]
    return good if len(good) >= min(WINDOWS_MIN, len(windows)) else windows


def median(windows, value):
    return statistics.median(value(w) for w in quiet(windows))
