"""The contestants of a benchmark: started as configured in bench/conf, found by port, their CPU time read.

A Stage is one set-up: the mock as upstream and, in front of it, contestants, each of which knows the same models. Ports are taken
from a range (BENCH_PORTS, default 18300). Everything is on loopback and ended by process id.
"""
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = "rw-bench-key-0123456789abcdef"
# Ringway with accounts: the key, its team, its tenant and all requests have limits that are never reached, each in requests, tokens
# and concurrency, the key a budget, and each request leaves a record.
LIMITS = "{ rpm: 100000000, tpm: 500000000, concurrency: 100000, usd_per_month: 1000000, usd_per_day: 100000 }"
TEAM_LIMITS = ["--rpm", "100000000", "--tpm", "500000000", "--concurrency", "100000", "--usd-per-month", "1000000"]
PORTS = int(os.environ.get("BENCH_PORTS", "18300"))
OFFSET = {"mock": 0, "nginx": 1, "floor": 2, "ringway": 3, "haproxy": 4, "envoy": 5, "nginx-streams": 6, "metrics": 7,
          "accounts": 8, "accounts-metrics": 9, "nginx-cache": 10, "cached": 11, "cached-metrics": 12}
START_SECONDS = 30


def port_of(name):
    return PORTS + OFFSET[name]


def books(data_dir, socket_path):
    """What the configuration says of accounts; data_dir None: nothing is kept."""
    if not data_dir:
        return {"LIMITS": "", "BOOKS": "data_dir: off"}
    return {
        "LIMITS": f", limits: {LIMITS}",
        "BOOKS": f"data_dir: {data_dir}\npepper_file: {data_dir}.pepper\nadmin: {{ socket: {socket_path} }}\n"
                 f"global: {{ limits: {LIMITS} }}\nprices_file: {data_dir}.prices",
    }


# So that money flows: the mock's models have a price.
PRICES = '{"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": 0.15, "output": 0.6}]}'


def fill(name, **values):
    text = (ROOT / "bench/conf" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def process_cpu_seconds(pid):
    """Of all threads, ended ones and the kernel's iou-wrk threads included, in nanosecond steps: the process's own CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def memory_bytes(pid):
    """What the process and its children hold alone: private pages, resident or swapped, and page tables."""
    total = 0
    for one in [pid, *children(pid)]:
        text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
        for line in text.splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:", "Swap:")):
                total += int(line.split()[1]) * 1024
        for line in pathlib.Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmPTE:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_for_port(port, process):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with status {process.returncode} before it listened")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not listen on port {port}")


class Process:
    """A program that listens on a port."""

    def __init__(self, name, port, command, folder, core, aliases):
        self.name, self.port, self.aliases = name, port, aliases
        # nginx buffers or streams as its configuration says, so it has a port for each.
        self.stream_port = port_of("nginx-streams") if name == "nginx" else port
        self.cache_port = port_of("nginx-cache") if name == "nginx" else port
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            raise RuntimeError(f"port {port} is in use: set BENCH_PORTS to the first of 20 free ones")
        self.log = open(folder / f"{name}.log", "w")
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=self.log)
        self.pid = self.process.pid
        try:
            wait_for_port(port, self.process)
        except RuntimeError:
            self.stop()
            self.log.close()
            raise RuntimeError((folder / f"{name}.log").read_text()) from None

    def cpu_seconds(self):
        return sum(process_cpu_seconds(pid) for pid in [self.pid, *children(self.pid)])

    def memory_bytes(self):
        return memory_bytes(self.pid)

    def worker_seconds(self):
        """CPU time of each thread that is a worker, by its number."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("worker-"):
                found[name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        return found

    def model(self, mock_name):
        """How a client asks this contestant for a model of the mock."""
        return self.aliases.get(mock_name, mock_name)

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.log.close()


class Stage:
    """cores: (of the contestant, of mock and load), or None to pin nothing."""

    def __init__(self, build, folder, models, cores=(1, 0)):
        self.build, self.folder = pathlib.Path(build), pathlib.Path(folder)
        self.core, self.other_core = cores or (None, None)
        self.workers = 1
        # As clients know models: a name of ours that stands for the provider's.
        self.aliases = {model: f"gpt-bench-{i}" for i, model in enumerate(models)}

    @contextlib.contextmanager
    def running(self, name, port, command, core, aliases=None):
        process = Process(name, port, command, self.folder, core, aliases or {})
        try:
            yield process
        finally:
            process.stop()

    def upstream(self):
        port = port_of("mock")
        return self.running("mock", port, [self.build / "ringway-mock", "--listen", f"127.0.0.1:{port}", "--quick"], self.other_core)

    def contestant(self, name, wrapper=(), io="auto", workers=1):
        """A context manager of a Process. io and workers: of Ringway."""
        self.workers = workers
        command, aliases = getattr(self, f"_{name}")(io)
        if name == "nginx" and wrapper:
            command[-1] += " master_process off;"
        return self.running(name, port_of(name), [*wrapper, *command], self.core, aliases)

    def _write(self, file, text):
        path = self.folder / file
        path.write_text(text)
        return path

    def _ringway(self, io, name="ringway", data_dir=None):
        models = ", ".join('{ name: "%s", targets: [{ provider: mock, model: "%s" }] }' % (alias, model)
                           for model, alias in self.aliases.items())
        metrics = port_of("metrics" if name == "ringway" else f"{name}-metrics")
        text = fill("ringway.yaml", LISTEN=f"127.0.0.1:{port_of(name)}", METRICS=f"127.0.0.1:{metrics}",
                    UPSTREAM=f"127.0.0.1:{port_of('mock')}", ACCESS="/dev/null", MODELS=models, WORKERS=self.workers,
                    **books(data_dir, self.folder / "admin.sock"))
        config = self._write(f"{name}.yaml", text + f"io: {io}\n")
        return [self.build / "ringway", "serve", "--config", config], self.aliases

    def _accounts(self, io, name="accounts"):
        data_dir = self.folder / "books"
        self._write("books.prices", PRICES)
        command, aliases = self._ringway(io, name, data_dir)
        for kind in ("team", "tenant"):
            subprocess.run([self.build / "ringway", kind, "set", "default", *TEAM_LIMITS, "--config", command[-1]], check=True,
                           stdout=subprocess.DEVNULL)
        return command, aliases

    def _cached(self, io):
        """With accounts, limits and the cache."""
        command, aliases = self._accounts(io, "cached")
        config = pathlib.Path(command[-1])
        config.write_text(config.read_text() + "cache: { enabled: true, max_size: 4GB, ttl: 1d }\n")
        return command, aliases

    def _floor(self, _io):
        return [self.build / "ringway-floor", f"127.0.0.1:{port_of('floor')}", f"127.0.0.1:{port_of('mock')}"], {}

    def _nginx(self, _io):
        folder = self.folder / "nginx"
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / "access.log").symlink_to("/dev/null")
        config = self._write("nginx.conf", fill("nginx.conf", DIR=folder, LISTEN=f"127.0.0.1:{port_of('nginx')}",
                                                STREAMS=f"127.0.0.1:{port_of('nginx-streams')}",
                                                CACHED=f"127.0.0.1:{port_of('nginx-cache')}",
                                                UPSTREAM=f"127.0.0.1:{port_of('mock')}"))
        return [find("nginx"), "-c", config, "-g", "daemon off;"], {}

    def _haproxy(self, _io):
        config = self._write("haproxy.cfg", fill("haproxy.cfg", LISTEN=f"127.0.0.1:{port_of('haproxy')}",
                                                 UPSTREAM=f"127.0.0.1:{port_of('mock')}",
                                                 CONNECTIONS=resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 100))
        return [find("haproxy"), "-f", config], {}

    def _envoy(self, _io):
        config = self._write("envoy.yaml", fill("envoy.yaml", LISTEN_PORT=port_of("envoy"), UPSTREAM_PORT=port_of("mock"),
                                                ACCESS="/dev/null"))
        return [find("envoy"), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], {}


# `make bench-envoy` puts it there.
VENV = ROOT / "build/bench-venv"


def find(program):
    path = shutil.which(program) or shutil.which(program, path=f"/usr/sbin:/sbin:{VENV}/bin")
    if not path:
        raise RuntimeError(f"{program} is not installed")
    return path


def is_there(program):
    return shutil.which(program) is not None or shutil.which(program, path=f"/usr/sbin:/sbin:{VENV}/bin") is not None
