"""End-to-end tests: the real binary between real clients and the mock upstream, on each back end.

    pytest tests/e2e [-k WORD] [--backend io_uring|epoll]
    RINGWAY_BIN=build-asan/ringway pytest tests/e2e       another flavour

A module's tests share one mock and one gateway per back end; a module says what is special about
its configuration in CONFIG (a dict over servers.plain_config, or a function of a scratch folder
that returns one). A test that needs a gateway of its own takes `launch`. After each test the
gateway must be alive and must not have logged a broken invariant or a sanitizer's report.
"""

import ctypes
import os
import pathlib
import resource
import subprocess
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import servers  # noqa: E402  (needs the path above)

# Thousand streams: a thousand descriptors here, two thousand in the gateway.
FILES_WANTED = 8192
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if soft < FILES_WANTED:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_WANTED, hard), hard))

# The machine's proxies are for other traffic.
for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(variable, None)
# Sanitizer flavours: the gateway has signal stacks of its own; what a report says is read from the log.
os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "use_sigaltstack=0"]))
os.environ.setdefault("LSAN_OPTIONS", "exitcode=0")

# Tables printed at the end: (name, back end, expected, seen, good).
tables = {"hostile clients": [], "hostile providers": [], "tls peers": []}


def io_uring_works():
    """True if this kernel lets us set up a ring at all."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(120)
    fd = libc.syscall(425, 4, params)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def pytest_addoption(parser):
    parser.addoption("--backend", choices=["io_uring", "epoll"], help="only this back end")


def pytest_generate_tests(metafunc):
    if "backend" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("backend")
    names = [only] if only else ["io_uring", "epoll"]
    blocked = pytest.mark.skipif(
        not io_uring_works(), reason="io_uring is blocked on this machine: NOT TESTED"
    )
    params = [pytest.param(n, marks=blocked) if n == "io_uring" else n for n in names]
    metafunc.parametrize("backend", params, scope="module")


def pytest_sessionstart(session):
    for binary in (servers.RINGWAY, servers.MOCK):
        if not os.access(binary, os.X_OK):
            pytest.exit(f"{binary} is not there: run make", returncode=4)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """What a process of pytest-xdist has collected for the tables."""
    for title, rows in getattr(node, "workeroutput", {}).get("tables", {}).items():
        tables[title] += [tuple(row) for row in rows]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tables"] = tables


def pytest_terminal_summary(terminalreporter):
    for title, rows in tables.items():
        if not rows:
            continue
        terminalreporter.section(title)
        width = max(len(row[0]) for row in rows)
        for name, backend, wanted, seen, good in sorted(rows):
            verdict = "ok  " if good else "BAD "
            terminalreporter.write_line(
                f"{verdict}{name:<{width}}  {backend:<8}  expected {wanted:<18} seen {seen}"
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="module")
def mock(folder):
    server = servers.Mock(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(request, folder, mock, backend):
    special = getattr(request.module, "CONFIG", {})
    if callable(special):
        special = special(folder)
    config = servers.plain_config(mock.port, backend, **special)
    server = servers.Gateway(folder, config, f"gateway-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def launch(tmp_path, mock):
    """Start a gateway of the test's own: launch(backend, limits={…}, …)."""
    started = []

    def start(backend="auto", name=None, wait=True, prefix=(), env=None, **config):
        full = servers.plain_config(mock.port, backend, **config)
        name = name or f"own{len(started)}"
        server = servers.Gateway(tmp_path, full, name, prefix, env, wait)
        started.append(server)
        return server

    yield start
    complaints = []
    for server in started:
        if server.expect_death:
            server.kill()
            continue
        complaints.append(server.complaint())
        server.stop()
        complaints.append(server.complaint_of_the_end())
    assert not any(complaints), "\n".join(c for c in complaints if c)


@pytest.fixture(autouse=True)
def unharmed(request):
    """After each test: the shared gateway lives and has not complained."""
    yield
    if "gateway" in request.fixturenames and "backend" in request.fixturenames:
        server = request.getfixturevalue("gateway")
        complaint = server.complaint()
        if not server.alive():
            server.restart()
        assert not complaint, complaint


@pytest.fixture
def tag():
    """A word of this test's own, to find its requests in the mock's log."""
    return "t" + uuid.uuid4().hex[:12]


@pytest.fixture
def client(gateway):
    import openai

    with openai.OpenAI(base_url=gateway.url, api_key=servers.KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.fixture(scope="session")
def seccomp_run(tmp_path_factory):
    """The path of the program that refuses io_uring to its child."""
    out = tmp_path_factory.mktemp("seccomp") / "seccomp_run"
    source = HERE.parent / "lib/seccomp_run.c"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c17", "-D_GNU_SOURCE", "-O1", str(source), "-o", str(out)],
        check=True,
    )
    return out
