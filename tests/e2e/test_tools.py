"""Goal: the tools of these tests can say no.

Method: pages and answers with one mistake each; a judge that lets them pass would make other tests worthless.
"""

import socket
import subprocess

import pytest

import promtext
import rawhttp

GOOD = """# HELP a_total Things.
# TYPE a_total counter
a_total{x="1"} 2
a_total{x="2"} 3
# HELP h_seconds Times.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.5"} 1
h_seconds_bucket{le="+Inf"} 2
h_seconds_sum 3.5
h_seconds_count 2
"""


def test_promtext__reads():
    metrics = promtext.parse(GOOD)
    assert (
        metrics.value("a_total") == 5 and metrics.value("a_total", x="2") == 3 and metrics.value("b") is None
    )


@pytest.mark.parametrize(
    "was, mistake",
    [
        ("# HELP a_total Things.\n", ""),
        ("# TYPE a_total counter\n", ""),
        ("counter", "count"),
        ('a_total{x="2"}', 'a_total{x="1"}'),
        ("a_total", "a"),
        ('{x="1"}', "{x=1}"),
        ('{x="1"}', '{x="1",x="2"}'),
        ('{x="1"} 2', '{x="1"}'),
        ('a_total{x="2"} 3\n', ""),
        ("+Inf", "1"),
        ('le="+Inf"} 2', 'le="+Inf"} 0'),
        ("h_seconds_count 2", "h_seconds_count 3"),
        ("h_seconds_sum 3.5\n", ""),
        ("h_seconds_count 2\n", "h_seconds_count 2"),
        ("h_seconds_count 2\n", 'h_seconds_count 2\na_total{x="3"} 1\n'),
    ],
)
def test_promtext__refuses(was, mistake):
    text = GOOD.replace(was, mistake)
    if was.startswith('a_total{x="2"} 3'):
        promtext.parse(text)  # the shorter page is good: the replacement above works
        return
    with pytest.raises((promtext.BadMetrics, ValueError)):
        promtext.parse(text)


def answer_of(data):
    """What rawhttp makes of these bytes from a server that then closes."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    connection = rawhttp.Connection.__new__(rawhttp.Connection)
    connection.sock, connection.unread = ours, b""
    with connection:
        return connection.answer()


def test_rawhttp__reads():
    assert answer_of(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").body == b"hi"
    assert (
        answer_of(
            b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        ).body
        == b"a"
    )
    assert answer_of(b"HTTP/1.0 200 OK\r\n\r\nto the end").body == b"to the end"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"",
    ],
)
def test_rawhttp__refuses(data):
    with pytest.raises(rawhttp.BadAnswer):
        answer_of(data)


def test_rawhttp__events():
    """As the official SDKs read them; an unterminated last event is dropped."""
    assert rawhttp.events(b": c\n\ndata: a\ndata:b\r\n\r\nevent: x\rdata: c\r\rdata: lost") == ["a\nb", "c"]


@pytest.mark.parametrize(
    "error, text", [("EPERM", "Operation not permitted"), ("ENOSYS", "Function not implemented")]
)
def test_seccomp_run(seccomp_run, error, text):
    """The three io_uring calls fail with the errno asked for; everything else works; wrong use is refused."""
    program = (
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); print(sorted({(l.syscall(n, 0, 0, 0, 0, 0, 0), "
        "os.strerror(ctypes.get_errno())) for n in (425, 426, 427)}))"
    )
    done = subprocess.run(
        [seccomp_run, f"--io-uring={error}", "python3", "-c", program], capture_output=True, text=True
    )
    assert done.stdout.strip() == str([(-1, text)]), done
    assert subprocess.run([seccomp_run, "--io-uring=EIO", "true"], capture_output=True).returncode == 2
