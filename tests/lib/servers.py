"""Start and stop ringway and ringway-mock for tests: generated configuration, free ports, readiness,
an orderly end by pid.
"""

import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import promtext
import rawhttp

ROOT = pathlib.Path(__file__).resolve().parents[2]
RINGWAY = os.environ.get("RINGWAY_BIN", str(ROOT / "build/ringway"))
MOCK = os.environ.get("RINGWAY_MOCK_BIN", str(ROOT / "build/ringway-mock"))
FIXTURES = ROOT / "tests/data/contracts/openai"
START_SECONDS = 15
STOP_SECONDS = 15

KEY = "rw-test-key-0123456789abcdef0123456789abcdef"
UPSTREAM_KEY = "sk-upstream-secret-0123456789"

# What a gateway's standard error must never say.
BROKEN = re.compile(
    rb"broken invariant|UNREACHABLE| died of SIG|ERROR: AddressSanitizer|ERROR: LeakSanitizer"
    rb"|WARNING: ThreadSanitizer|runtime error:|stack smashing|double free|Segmentation fault"
)


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    """Nobody else's until its server binds it: below the ports that the kernel gives to clients, and at random because
    several test processes draw at the same time."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        if port not in ports_given:
            ports_given.add(port)
            return port


ports_given = set()


def wait_for(test, seconds=5.0, what="condition", pause=0.01):
    """Call until it gives something true and return that; fail with its last value when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s; last: {value!r}")
        time.sleep(pause)


class Process:
    """A child with its output in files."""

    def __init__(self, argv, folder, name, env=None):
        self.argv = [str(a) for a in argv]
        self.out_path = folder / f"{name}.out"
        self.err_path = folder / f"{name}.err"
        self.env = env
        self.start()

    def start(self):
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.child = subprocess.Popen(
                self.argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=self.env
            )
        self.pid = self.child.pid

    def out(self):
        return self.out_path.read_bytes()

    def err(self):
        return self.err_path.read_bytes()

    def said(self):
        return (self.out() + self.err()).decode(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM, wait, and SIGKILL if that is not enough. Returns the exit status; raises if it had
        to be killed.
        """
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(
                f"{self.argv[0]} did not end within {seconds} s of SIGTERM:\n{self.said()[-3000:]}"
            )

    def kill(self):
        if self.alive():
            self.child.kill()
        self.child.wait()


class Mock(Process):
    """The upstream. Its contract is MOCK.md."""

    def __init__(self, folder, name="mock"):
        self.port = free_port()
        fixtures = folder / f"{name}-fixtures"
        shutil.copytree(FIXTURES, fixtures)
        self.fixtures = fixtures
        for path in FIXTURES.glob("error_*.json"):
            self.tell_raw(path.stem, error_story(json.loads(path.read_text())))
        listen = f"127.0.0.1:{self.port}"
        super().__init__([MOCK, "--listen", listen, "--fixtures", fixtures], folder, name)
        self.control = None
        wait_for(lambda: self.ready(), START_SECONDS, f"{name} listening")

    def ready(self):
        if not self.alive():
            raise AssertionError(f"the mock ended with {self.child.returncode}:\n{self.said()}")
        return b"listening" in self.out()

    def tell_raw(self, name, data):
        """Make `mock:raw=NAME` answer with these bytes."""
        (self.fixtures / f"{name}.http").write_bytes(data)

    def ask(self, method, path):
        for attempt in (1, 2):
            if self.control is None:
                self.control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                self.control.request(method, path)
                answer = self.control.getresponse()
                body = answer.read()
                assert answer.status in (200, 204), f"mock: {method} {path}: {answer.status} {body!r}"
                return json.loads(body) if body else None
            except (http.client.HTTPException, ConnectionError):
                self.control.close()
                self.control = None
                if attempt == 2:
                    raise

    def log(self, tag=None):
        return self.ask("GET", "/__log" + (f"?tag={tag}" if tag else ""))["requests"]

    def one(self, tag):
        """The only request with this tag, when it has ended."""

        def ended():
            found = self.log(tag)
            return len(found) == 1 and found[0]["ended"] != "open" and found

        return wait_for(ended, 5, f"one ended request tagged {tag}")[0]

    def stats(self):
        return self.ask("GET", "/__stats")

    def step(self, token, k):
        self.ask("GET", f"/__step/{token}?k={k}")

    def reset(self):
        self.ask("POST", "/__reset")


def error_story(story):
    """A fixture {status, headers, body} as the bytes of an answer."""
    body = json.dumps(story["body"]).encode()
    head = [f"HTTP/1.1 {story['status']} Mock"] + [f"{n}: {v}" for n, v in story["headers"].items()]
    return "\r\n".join(head + [f"content-length: {len(body)}", "connection: close", "", ""]).encode() + body


def plain_config(mock_port, backend="auto", **more):
    """The configuration most tests use. JSON is YAML."""
    url = f"http://127.0.0.1:{mock_port}/v1"
    config = {
        "listen": [{"address": f"127.0.0.1:{free_port()}"}],
        "metrics": {"address": f"127.0.0.1:{free_port()}"},
        "workers": 2,
        "io": backend,
        "providers": {"up": {"type": "openai", "base_url": url, "api_key": UPSTREAM_KEY}},
        "models": [
            {"name": "gpt-4o-mini", "targets": [{"provider": "up", "model": "mock"}]},
            {"name": "text-embedding-3-small", "targets": [{"provider": "up", "model": "mock-embed"}]},
        ],
        "keys": [{"name": "ci", "key": KEY}],
        "drain": {"idle": "300ms", "timeout": "20s"},
    }
    config.update(more)
    return config


class Gateway(Process):
    """Ringway itself, ready to serve. `config` is a dict; the access log goes to a file of its own."""

    def __init__(self, folder, config, name="gateway", prefix=(), env=None, wait=True):
        self.folder = folder
        self.config = config
        self.config_path = folder / f"{name}.yaml"
        self.access_path = folder / f"{name}.access.log"
        config.setdefault("log", {"access": str(self.access_path)})
        config.setdefault("data_dir", str(folder / f"{name}-data"))
        config.setdefault("pepper_file", str(folder / f"{name}-pepper"))
        # A socket's path has 107 characters at most; pytest's folders have long names.
        admin = config.setdefault("admin", {})
        admin.setdefault("socket", f"{tempfile.mkdtemp(prefix='rw-')}/admin.sock")
        admin.setdefault("address", "off")
        self.write_config()
        host, _, port = config["listen"][0]["address"].rpartition(":")
        self.address = (
            (host.strip("[]"), int(port))
            if port.isdigit()
            else config["listen"][0]["address"].removeprefix("unix:")
        )
        self.metrics_port = (
            int(config["metrics"]["address"].rpartition(":")[2]) if "metrics" in config else None
        )
        self.seen = 0
        self.expect_death = False  # a test that ends the process itself says so
        super().__init__([*prefix, RINGWAY, "serve", "--config", self.config_path], folder, name, env)
        if wait:
            wait_for(self.ready, START_SECONDS, "gateway ready")

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}/v1"

    def write_config(self, text=None):
        self.config_path.write_text(text if text is not None else json.dumps(self.config, indent=2) + "\n")

    def ready(self):
        if not self.alive():
            raise AssertionError(f"the gateway ended with {self.child.returncode}:\n{self.said()[-4000:]}")
        try:
            with self.connect(timeout=2) as c:
                if c.ask("GET", "/health/ready").status != 200:
                    return False
            if self.metrics_port:
                rawhttp.Connection(("127.0.0.1", self.metrics_port), timeout=2).close()
            admin = self.config.get("admin", {}).get("address", "off")
            if admin != "off":  # opened last
                host, _, port = admin.rpartition(":")
                rawhttp.Connection((host, int(port)), timeout=2).close()
            return True
        except OSError:
            return False

    def connect(self, **more):
        return rawhttp.Connection(self.address, **more)

    def ask(self, method, target, headers=(), body=b"", key=KEY):
        """One request on a connection of its own."""
        fields = [*headers, ("authorization", f"Bearer {key}")] if key else list(headers)
        with self.connect() as c:
            return c.ask(method, target, fields, body)

    def post(self, target, value, headers=(), key=KEY):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", target, [("content-type", "application/json"), *headers], body, key)

    def metrics_text(self):
        with rawhttp.Connection(("127.0.0.1", self.metrics_port)) as c:
            answer = c.ask("GET", "/metrics")
        assert answer.status == 200, answer
        return answer

    def metrics(self):
        return promtext.parse(self.metrics_text().body.decode())

    def access_line(self, request_id):
        """The access log's line of this request."""

        def found():
            if not self.access_path.exists():
                return None
            for line in self.access_path.read_text().splitlines():
                if request_id in line and json.loads(line).get("request_id") == request_id:
                    return json.loads(line)
            return None

        return wait_for(found, 3, f"access log line of {request_id}")

    def restart(self):
        """After a crash, so that the next test is about itself."""
        self.start()
        self.seen = len(self.err())
        wait_for(self.ready, START_SECONDS, "gateway ready again")

    def descriptors(self):
        """How many descriptors are open: sockets that were forgotten show here at once."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """(resident, highest resident) in bytes; the mark is reset by reset_peak()."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return tuple(int(re.search(rf"{k}:\s+(\d+) kB", text)[1]) * 1024 for k in ("VmRSS", "VmHWM"))

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def complaint(self):
        """What is wrong with the process or new in its standard error; None if all is well."""
        said = self.err()
        new, self.seen = said[self.seen :], len(said)
        found = BROKEN.search(new)
        if found:
            start = max(0, found.start() - 500)
            return f"the gateway's log says:\n{new[start : found.start() + 4000].decode(errors='replace')}"
        if not self.alive() and not self.expect_death:
            return f"the gateway ended with {self.child.returncode}:\n{said[-4000:].decode(errors='replace')}"
        return None

    def complaint_of_the_end(self):
        """The same after stop(): the last words, and the exit status."""
        found = BROKEN.search(self.err(), self.seen)
        if found or self.child.returncode != 0:
            return f"exit status {self.child.returncode}; its last words:\n{self.said()[-4000:]}"
        return None


def sanitised():
    """True when the binary under test is a sanitizer flavour: memory figures mean nothing there."""
    binary = pathlib.Path(RINGWAY).read_bytes()
    return b"__asan_init" in binary or b"__tsan_init" in binary
