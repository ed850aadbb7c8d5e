"""Goal: more than there is room for ends in clear 503s with Retry-After, in the client's dialect, at
once and for everybody alike; memory stays under its ceiling; and when the flood is over everything is
as before.

Method: gateways with little memory, few fibers or few connections, and floods of large bodies,
requests that hang, connections, and clients that do not read.
"""

import concurrent.futures
import json
import threading
import time

import pytest

import rawhttp
from servers import KEY, sanitised, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]
FIELDS = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
MIB = 1 << 20


def chat(model="up/mock", **more):
    return json.dumps({"model": model, "messages": USER, **more}).encode()


def good(gateway, seconds=1.0):
    begin = time.monotonic()
    answer = gateway.post(CHAT, {"model": "up/mock", "messages": USER})
    assert answer.status == 200, answer
    assert time.monotonic() - begin < seconds


def is_overloaded(answer):
    """503 in OpenAI's shape, with Retry-After, that ends the connection and has a request id."""
    error = answer.json()["error"]
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1, answer
    assert {"message", "type", "param", "code"} <= set(error) and error["code"] == "overloaded", answer
    assert "out of room" in error["message"] and error["type"] == "server_error", answer
    assert answer.closes and len(answer.header("x-request-id")) == 26, answer
    return True


def test_bodies__500_of_32_mb_under_256_mib(launch, backend):
    """500 clients send 32 MB each: some are served, all others read a 503; the process never grows beyond
    256 MiB, and the next request is served at once.
    """
    own = launch(backend, memory="128MB")
    good(own)
    own.reset_peak()
    size = 32_000_000
    head = rawhttp.request("POST", CHAT, [*FIELDS, ("content-length", str(size))])
    start = b'{"model":"none/x","pad":"' + b"y" * (MIB // 2)
    seen = []

    def one(_):
        with own.connect(timeout=60) as c:
            more = c.send_some(head + start)
            left = size - len(start)
            while more and left > 0:
                n = min(left, MIB)
                left -= n
                more = c.send_some(b"y" * n if left else b"y" * (n - 2) + b'"}')
            try:
                return c.answer()
            except (rawhttp.BadAnswer, ConnectionResetError):
                return None

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        seen = list(pool.map(one, range(500)))
    peak = own.memory()[1]
    good(own)
    refused = [a for a in seen if a and a.status == 503]
    served = [a for a in seen if a and a.status == 404]
    assert all(is_overloaded(a) for a in refused)
    assert len(refused) + len(served) == 500, {a.status if a else None: 1 for a in seen}
    assert len(refused) >= 100 and len(served) >= 3, (len(refused), len(served))
    assert sanitised() or peak < 256 * MIB, f"{peak / MIB:.0f} MiB"
    wait_for(lambda: own.metrics().value("ringway_budget_bytes") < 2 * MIB, 5, "the budget is given back")


def test_bodies__a_large_one_at_a_time_fits(launch, backend):
    """What was refused is served when there is room again: nothing of the budget was lost on the way."""
    own = launch(backend, memory="64MB", workers=1)
    body = chat("none/x", pad="y" * 31_000_000)
    for _ in range(3):
        with own.connect() as a, own.connect() as b:
            for c in (a, b):
                c.send_some(rawhttp.request("POST", CHAT, [*FIELDS, ("content-length", str(len(body)))]) + body[:1000])
            # The third does not fit beside the two.
            with own.connect() as c:
                c.send_some(rawhttp.request("POST", CHAT, FIELDS, body))
                assert is_overloaded(c.answer())
        wait_for(lambda: own.post(CHAT, body).status == 404, 5, "room again")




def test_budget__used_up_by_streams(launch, backend, mock):
    """A budget so small that a hundred requests at once do not fit: each is answered, by 200 or by 503, none
    by a closed connection.
    """
    own = launch(backend, memory="16MB", workers=1)
    clients = [own.connect(timeout=20) for _ in range(600)]
    for c in clients:
        c.send(rawhttp.request("POST", CHAT, FIELDS, chat("up/mock:delay=1500ms", pad="y" * 60_000)))
    statuses = {}
    for c in clients:
        answer = c.answer()
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if answer.status == 503:
            is_overloaded(answer)
        c.close()
    assert statuses.keys() == {200, 503} and statuses[200] >= 20, statuses
    good(own)


def test_connections__accept_pauses_at_the_limit(launch, backend):
    """With limits.connections reached, others wait in the kernel's queue and are served as soon as one leaves."""
    own = launch(backend, workers=1, limits={"connections": 20})
    held = [own.connect() for _ in range(20)]
    for c in held:
        assert c.ask("GET", "/health").status == 200
    late = own.connect()
    late.send(rawhttp.request("GET", "/health"))
    late.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        late.answer()
    held[0].close()
    late.sock.settimeout(5)
    assert late.answer().status == 200
    wait_for(lambda: own.metrics_text().body.find(b"ringway_accept_paused") >= 0, 2)
    for c in [*held, late]:
        c.close()


def test_slow_reader__holds_little_and_slows_the_provider(launch, backend, mock, tag):
    """A client that stops reading a stream of 400 MB: the gateway holds at most 128 KiB for it beyond what the
    kernel's sockets take, the provider stands still, and others are served as before.
    """
    own = launch(backend, workers=1)
    # What is used for the first time is not held: the buffers of both rings are touched once.
    assert len(own.post(CHAT, {"model": "up/mock:chunks=20000,size=1000", "messages": USER, "stream": True}).body) > 20_000_000
    time.sleep(1.1)
    budget = own.metrics().value("ringway_budget_bytes")
    before = own.memory()[0]
    slow = own.connect()
    slow.send(rawhttp.request("POST", CHAT, FIELDS, chat(f"up/mock:chunks=400000,size=1000,tag={tag}", stream=True)))
    slow.head()

    def sent():
        return mock.log(tag)[0]["bytes_sent"]

    def stands_still():
        first = sent()
        time.sleep(0.3)
        return sent() == first

    wait_for(stands_still, 10, "the provider stands still")
    time.sleep(1.1)
    held = own.metrics().value("ringway_budget_bytes") - budget
    grown = own.memory()[0] - before
    assert held <= 128 * 1024, held
    assert sanitised() or grown <= 512 * 1024, grown
    assert sent() < 20 * MIB
    good(own, 0.5)
    # It reads again, and everything comes.
    at, got = sent(), 0
    while got < 40 * MIB:
        assert slow.fill()
        got += len(slow.unread)
        slow.unread = b""
    assert sent() >= at + 10 * MIB
    slow.close()
    wait_for(lambda: mock.log(tag)[0]["ended"] == "client_gone", 5, "the provider is told")


def test_other_clients__are_served_during_a_flood(launch, backend):
    """While 60 clients send large bodies as fast as they can, a small request of another one takes no longer
    than half a second.
    """
    own = launch(backend, memory="96MB")
    body = chat("none/x", pad="y" * 16_000_000)
    head = rawhttp.request("POST", CHAT, [*FIELDS, ("content-length", str(len(body)))])
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            with own.connect(timeout=30) as c:
                if c.send_some(head):
                    c.send_some(body)

    threads = [threading.Thread(target=flood, daemon=True) for _ in range(20)]
    for t in threads:
        t.start()
    try:
        time.sleep(0.5)
        slowest = 0
        for _ in range(20):
            begin = time.monotonic()
            answer = own.post(CHAT, {"model": "up/mock", "messages": USER})
            assert answer.status in (200, 503), answer
            slowest = max(slowest, time.monotonic() - begin)
    finally:
        stop.set()
        for t in threads:
            t.join(40)
    assert sanitised() or slowest < 2, slowest
    good(own)
