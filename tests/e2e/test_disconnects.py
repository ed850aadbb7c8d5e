"""Goal: a client that goes away costs nothing from that moment on, and leaves nothing behind.

Method: 100 clients at once, in each phase of a request, leave by RST, by FIN (close) and by
half-close. The mock's log says how many chunks it still sent and whether its connection was closed;
the gateway's own gauges must return to where they were.
"""

import json
import re
import time

import pytest

import rawhttp
from servers import KEY, wait_for

COUNT = 100
GAUGES_SECONDS = 1.1  # the workers publish their gauges every second
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]
FIELDS = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
CONFIG = {"workers": 2}
MUST_HAVE = [
    "ringway_fibers",
    "ringway_client_connections",
    "ringway_upstream_connections",
    "ringway_exchanges",
    "ringway_buffers",
]
# Gauges that say nothing about what is in use.
OTHERS = re.compile(r"process_|ringway_build_info|ringway_buffers$")


def in_use(gateway):
    """Gauges that count things in use; of the buffers, those that the kernel or the pool does not have."""
    metrics = gateway.metrics()
    gauges = metrics.gauges()
    missing = [name for name in MUST_HAVE if name not in gauges]
    assert not missing, f"no such gauge: {missing}"
    out = {name: value for name, value in gauges.items() if not OTHERS.match(name)}
    out["ringway_upstream_connections"] = metrics.value("ringway_upstream_connections", state="active") or 0
    out["ringway_buffers held"] = metrics.value("ringway_buffers", state="held") or 0
    return out


def leave(connection, how):
    if how == "rst":
        connection.reset()
    elif how == "fin":
        connection.close()
    else:
        connection.half_close()


def chat(tag, options, **more):
    body = {"model": f"up/mock:tag={tag},{options}", "messages": USER, **more}
    return rawhttp.request("POST", CHAT, FIELDS, json.dumps(body).encode())


class Watch:
    """Before and after: gauges and descriptors of the gateway, open connections at the mock."""

    def __init__(self, gateway, mock):
        self.gateway, self.mock = gateway, mock
        if not hasattr(gateway, "at_rest"):
            # Some good requests, so that pools and arenas that exist once per worker exist already.
            for _ in range(8):
                assert gateway.post(CHAT, {"model": "up/mock", "messages": USER}).status == 200
            time.sleep(GAUGES_SECONDS)
            gateway.at_rest = in_use(gateway)
        self.before = gateway.at_rest
        self.open_before = mock.stats()["connections_open"]
        self.descriptors_before = gateway.descriptors()

    def nothing_left(self):
        wait_for(lambda: self.mock.stats()["requests_active"] == 0, 5, "no request is left at the provider")
        wait_for(
            lambda: self.mock.stats()["connections_open"] <= self.open_before,
            3,
            "no upstream connection survives",
        )

        wait_for(
            lambda: self.gateway.descriptors() <= self.descriptors_before, 3, "no descriptor is left", 0.05
        )

        def same():
            now = in_use(self.gateway)
            return not any(now.get(n, 0) > self.before.get(n, 0) for n in now) or None

        try:
            wait_for(same, 5, "gauges return to the start")
        except AssertionError:
            now = in_use(self.gateway)
            raise AssertionError(
                {n: (self.before.get(n, 0), now[n]) for n in now if now[n] > self.before.get(n, 0)}
            ) from None


HOWS = ["rst", "fin", "half"]


@pytest.mark.parametrize("how", HOWS)
def test_leave__while_sending_a_whole_body(gateway, mock, tag, how):
    """The body is not whole: the provider was never asked."""
    watch = Watch(gateway, mock)
    body = json.dumps({"model": f"up/mock:tag={tag}", "messages": USER, "x": "y" * 100_000}).encode()
    clients = [gateway.connect() for _ in range(COUNT)]
    for i, c in enumerate(clients):
        c.send(rawhttp.request("POST", CHAT, [*FIELDS, ("content-length", str(len(body)))]) + body[: i * 997])
    wait_for(lambda: gateway.descriptors() >= watch.descriptors_before + COUNT - 5, 5, "all are connected")
    for c in clients:
        leave(c, how)
    watch.nothing_left()
    assert mock.log(tag) == []
    for c in clients:
        c.close()


@pytest.mark.parametrize("how", HOWS)
def test_leave__while_streaming_a_body_up(gateway, mock, how):
    """A streamed route: the provider has a part of the body; its connection is broken off, it never
    gets an end.
    """
    mock.reset()
    watch = Watch(gateway, mock)
    clients = [gateway.connect() for _ in range(COUNT)]
    fields = [
        ("authorization", f"Bearer {KEY}"),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-length", "1000000"),
    ]
    for c in clients:
        c.send(
            rawhttp.request("POST", "/v1/files", fields)
            + b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\n'
            + b"z" * 50_000
        )
    wait_for(lambda: mock.stats()["requests_active"] >= COUNT, 5, "all uploads have reached the provider")
    for c in clients:
        leave(c, how)
    watch.nothing_left()
    entries = [r for r in mock.log() if r["path"] == "/v1/files"]
    assert len(entries) == COUNT and all(
        not r["body_complete"] and r["ended"] == "client_gone" for r in entries
    )
    for c in clients:
        c.close()


@pytest.mark.parametrize(
    "stream", [True, False], ids=["before the head of a stream", "waiting without streaming"]
)
@pytest.mark.parametrize("how", HOWS)
def test_leave__before_the_answer(gateway, mock, tag, how, stream):
    """The provider thinks for a minute: its connection is closed as soon as the client has gone."""
    watch = Watch(gateway, mock)
    clients = [gateway.connect().send(chat(tag, "delay=60s", stream=stream)) for _ in range(COUNT)]
    wait_for(lambda: len(mock.log(tag)) == COUNT, 5, "all requests have reached the provider")
    for c in clients:
        leave(c, how)
    wait_for(
        lambda: all(r["ended"] == "client_gone" for r in mock.log(tag)), 3, "the provider was told of all"
    )
    watch.nothing_left()
    assert {r["chunks_sent"] for r in mock.log(tag)} == {0}
    for c in clients:
        c.close()


@pytest.mark.parametrize("how", HOWS)
def test_leave__mid_stream(gateway, mock, tag, how):
    """Paced at 200 ms, the mock sends at most 2 chunks more than the client had seen when it left."""
    watch = Watch(gateway, mock)
    model = "chunks=100,pace=200ms"
    clients = [gateway.connect().send(chat(tag, model, stream=True)) for _ in range(COUNT)]
    for c in clients:
        c.until(b'"content":"t1 ')
    for c in clients:
        leave(c, how)
    wait_for(
        lambda: all(r["ended"] == "client_gone" for r in mock.log(tag)), 3, "the provider was told of all"
    )
    sent = [r["chunks_sent"] for r in mock.log(tag)]
    assert len(sent) == COUNT and max(sent) <= 4, sorted(sent)
    watch.nothing_left()
    for c in clients:
        c.close()


@pytest.mark.parametrize("how", HOWS)
def test_leave__without_reading(gateway, mock, tag, how):
    """Clients that never read a fast, endless stream and leave while the gateway waits to send:
    nothing stays behind.
    """
    watch = Watch(gateway, mock)
    clients = [gateway.connect().send(chat(tag, "chunks=1000000,size=10000", stream=True)) for _ in range(20)]
    for c in clients:
        c.head()
    time.sleep(0.3)
    for c in clients:
        leave(c, how)
    wait_for(
        lambda: all(r["ended"] == "client_gone" for r in mock.log(tag)), 5, "the provider was told of all"
    )
    watch.nothing_left()
    for c in clients:
        c.close()


@pytest.mark.parametrize("how", HOWS)
def test_leave__idle_and_half_a_head(gateway, mock, how):
    """Connections that never asked anything, or only half a head, leave nothing either."""
    watch = Watch(gateway, mock)
    clients = [gateway.connect() for _ in range(COUNT)]
    for i, c in enumerate(clients):
        c.send(chat("x", "delay=1s")[:i])
    wait_for(lambda: gateway.descriptors() >= watch.descriptors_before + COUNT - 5, 5, "all are connected")
    for c in clients:
        leave(c, how)
    watch.nothing_left()
    for c in clients:
        c.close()


def test_leave__after_a_good_answer_the_connection_is_free_again(gateway, mock):
    """An idle keep-alive connection holds no fiber and no buffer."""
    watch = Watch(gateway, mock)
    clients = [gateway.connect() for _ in range(COUNT)]
    for c in clients:
        assert (
            c.ask("POST", CHAT, FIELDS, json.dumps({"model": "up/mock", "messages": USER}).encode()).status
            == 200
        )
    wait_for(lambda: gateway.metrics().value("ringway_exchanges") == 0, 5)
    time.sleep(GAUGES_SECONDS)
    now = in_use(gateway)
    assert now["ringway_client_connections"] >= COUNT
    for name in ("ringway_fibers", "ringway_buffers held", "ringway_upstream_connections"):
        assert now[name] <= watch.before[name], (name, watch.before[name], now[name])
    for c in clients:
        c.close()


def test_access_log__of_a_client_that_left(gateway, mock, tag):
    """The line says client_gone, with what was sent until then."""
    with gateway.connect() as c:
        c.send(chat(tag, "chunks=50,pace=100ms", stream=True))
        request_id = c.head().header("x-request-id")
        c.until(b'"content":"t1 ')
        c.reset()
    line = gateway.access_line(request_id)
    assert (
        line["end"] == "client_gone"
        and line["stream"] is True
        and line["status"] == 200
        and line["bytes_out"] > 0
    )
