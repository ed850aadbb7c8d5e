"""Goal: a hostile or failing provider is a clear 502 (504) in the client's dialect, never a hang,
never a wrong 200.

Method: one fault of the mock per case, whole and streamed; after each the same gateway must serve a
good request at once.
"""

import json
import socket
import threading
import time

import pytest

import rawhttp
from servers import free_port, sanitised, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]
# 100 MiB have to pass within the total time, also through a sanitizer.
SLOW = 5 if sanitised() else 1
CONFIG = {"timeouts": {"connect": "1s", "idle": "1s", "total": f"{2 * SLOW}s"}}


def good(gateway):
    answer = gateway.post(CHAT, {"model": "up/mock", "messages": USER})
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == "t0 t1 t2 t3 t4 "


REFUSED = {
    "bad json": ("badjson", False, {502}),
    "html with 200": ("html", False, {502}),
    "html with 200, streamed": ("html", True, {502}),
    "empty body": ("empty", False, {502}),
    "empty body, streamed": ("empty", True, {502}),
    "error object with 200": ("errorbody", False, {502, 500}),
    "error object with 200, streamed": ("errorbody", True, {502, 500}),
    "two lengths": ("doublelength", False, {502}),
    "length and chunked": ("bothlengths", False, {502}),
    "endless head": ("endless-head", False, {502}),
    "endless head, streamed": ("endless-head", True, {502}),
    "closes before the head": ("close@0", False, {502}),
    "closes in the status line": ("close@9", False, {502}),
    "closes in the head": ("close@60", False, {502}),
    "redirect": ("redirect", False, {502}),
    "redirect, streamed": ("redirect", True, {502}),
    "silent": ("silent", False, {504, 502}),
    "silent, streamed": ("silent", True, {504, 502}),
    "status 500 without a shape": ("html,status=500", False, {500, 502}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fault(gateway, name):
    """The status is one of those expected, the body an OpenAI error object; the gateway serves on."""
    option, stream, wanted = REFUSED[name]
    answer = gateway.post(CHAT, {"model": "up/mock:" + option, "messages": USER, "stream": stream})
    assert answer.status in wanted, answer
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    assert "127.0.0.1:1" not in answer.body.decode(), "a redirect's target is shown"
    good(gateway)


# The beginnings of answers that go wrong later.
OK = b"HTTP/1.1 200 OK\r\n"
TYPED = OK + b"content-type: application/json\r\n"
CODED = TYPED + b"transfer-encoding: chunked\r\n\r\n"

RAW = {
    "no http": b"hello world, this is no HTTP at all\r\n\r\n",
    "http 0.9": b"<html>hi</html>",
    "bad status": b"HTTP/1.1 2x0 OK\r\ncontent-length: 2\r\n\r\n{}",
    "two-digit status": b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\n{}",
    "negative length": TYPED + b"content-length: -2\r\n\r\n{}",
    "hex length": TYPED + b"content-length: 0x2\r\n\r\n{}",
    "huge length": TYPED + b"content-length: 99999999999999999999\r\n\r\n{}",
    "length list": TYPED + b"content-length: 2, 2\r\n\r\n{}",
    "folded field": TYPED + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}",
    "nul in a field": TYPED + b"x-a: b\0c\r\ncontent-length: 2\r\n\r\n{}",
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: 2\n\n{}",
    "unknown coding": TYPED + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "negative chunk": CODED + b"-2\r\n{}\r\n0\r\n\r\n",
    "wrapping chunk": CODED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "chunk without its end": CODED + b"2\r\n{}0\r\n\r\n",
    "line feed in a chunk line": CODED + b"2\n{}\r\n0\r\n\r\n",
    "ten thousand fields": b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"x-%d: 1\r\n" % i for i in range(10000))
    + b"content-length: 2\r\n\r\n{}",
    "101 nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "204 to a chat": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": b"HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", RAW)
def test_raw_fault(gateway, mock, name):
    """Answers that no provider should send: 502 in OpenAI's shape, and the gateway serves on."""
    story = name.replace(" ", "_")
    mock.tell_raw(story, RAW[name])
    answer = gateway.post(CHAT, {"model": f"up/mock:raw={story}", "messages": USER})
    assert answer.status == 502, answer
    assert answer.json()["error"]["message"]
    good(gateway)


def test_interim_answers_are_skipped(gateway, mock):
    """100 and 103 before the final answer are not the answer."""
    message = b'{"role":"assistant","content":"late"}'
    body = b'{"id":"x","choices":[{"index":0,"message":%s,"finish_reason":"stop"}]}' % message
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    mock.tell_raw("interim", interim + TYPED + b"content-length: %d\r\n\r\n" % len(body) + body)
    answer = gateway.post(CHAT, {"model": "up/mock:raw=interim", "messages": USER})
    assert (answer.status, answer.body) == (200, body)


def test_http10_provider(gateway):
    """HTTP/1.0 without a length: the body ends with the connection; whole and streamed."""
    whole = gateway.post(CHAT, {"model": "up/mock:http10", "messages": USER})
    assert whole.status == 200 and whole.json()["choices"][0]["message"]["content"] == "t0 t1 t2 t3 t4 "
    stream = gateway.post(CHAT, {"model": "up/mock:http10", "messages": USER, "stream": True})
    assert rawhttp.events(stream.body)[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_early_answer__is_read_not_lost(gateway, stream):
    """The provider answers 413 and closes without reading a 20 MB body: the client gets that 413, not
    an EPIPE made into 502.
    """
    body = {
        "model": "up/mock:early",
        "stream": stream,
        "messages": [{"role": "user", "content": "x" * 20_000_000}],
    }
    answer = gateway.post(CHAT, body)
    assert answer.status == 413 and "mock status 413" in answer.json()["error"]["message"]


def test_big_error_body__is_bounded(gateway):
    """A provider's error of 30 MB: the client gets the status and a body of at most 64 KiB and a little."""
    answer = gateway.post(CHAT, {"model": "up/mock:status=500,errbytes=30000000", "messages": USER})
    assert answer.status in (500, 502) and len(answer.body) <= 80 * 1024 and answer.json()["error"]["message"]
    good(gateway)


def test_long_line__is_not_held(gateway):
    """A stream whose first event never ends (100 MiB): memory does not grow with it, and the client reads an
    error event at its end, on a line of its own.
    """
    before = gateway.memory()[0]
    answer = gateway.post(CHAT, {"model": "up/mock:longline", "messages": USER, "stream": True})
    assert sanitised() or gateway.memory()[0] - before < 8 << 20
    assert answer.status == 502 or "error" in json.loads(rawhttp.events(answer.body)[-1])
    good(gateway)


def test_cut_inside_a_large_event(gateway):
    """An event of 200 KB, more than is held back, that is cut in the middle: the error event stands apart."""
    body = {"model": "up/mock:chunks=3,size=200000,close@300000", "messages": USER, "stream": True}
    answer = gateway.post(CHAT, body)
    assert "error" in json.loads(rawhttp.events(answer.body)[-1]) and b"[DONE]" not in answer.body


def test_extra_bytes__end_the_connection(gateway, mock, tag):
    """Bytes behind an answer: the answer is good, its connection is not used again."""
    for _ in range(3):
        assert gateway.post(CHAT, {"model": f"up/mock:extra,tag={tag}", "messages": USER}).status == 200
    good(gateway)
    assert len({r["connection"] for r in mock.log(tag)}) == 3


def test_stale_connection__one_retry(gateway, mock, tag):
    """The provider closes a pooled connection as the next request arrives: one retry on a fresh one,
    the client notices nothing.
    """
    for i in range(10):
        first = gateway.post(CHAT, {"model": f"up/mock:stale,tag={tag}", "messages": USER})
        assert first.status == 200
        second = gateway.post(CHAT, {"model": f"up/mock:chunks=2,tag={tag}b{i}", "messages": USER})
        assert second.status == 200 and second.json()["choices"][0]["message"]["content"] == "t0 t1 "


def test_idle_close__is_noticed(gateway, tag):
    """The provider closes idle connections: they leave the pool, no request is lost."""
    for _ in range(5):
        assert gateway.post(CHAT, {"model": "up/mock:idle-close=10ms", "messages": USER}).status == 200
        time.sleep(0.05)
        good(gateway)


def test_no_retry_after_an_answer_began(gateway, mock, tag):
    """Once bytes of an answer came, the request is not sent a second time."""
    answer = gateway.post(CHAT, {"model": f"up/mock:close@60,tag={tag}", "messages": USER})
    assert answer.status == 502 and len(mock.log(tag)) == 1


def test_upstream_connections_are_reused(gateway, mock, tag):
    """20 calls one after the other need at most one upstream connection per worker."""
    for _ in range(20):
        assert gateway.post(CHAT, {"model": f"up/mock:tag={tag}", "messages": USER}).status == 200
    assert len({r["connection"] for r in mock.log(tag)}) <= 2


def test_connection_close__is_not_pooled(gateway, mock, tag):
    for _ in range(4):
        assert gateway.post(CHAT, {"model": f"up/mock:close,tag={tag}", "messages": USER}).status == 200
    assert len({r["connection"] for r in mock.log(tag)}) == 4


def test_connect_refused(launch, backend):
    """Nobody listens: 502 at once, in OpenAI's shape, naming the provider's failure and not our insides."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    own = launch(backend, providers={"up": {"type": "openai", "base_url": url}}, models=[])
    answer = own.post(CHAT, {"model": "up/x", "messages": USER})
    assert answer.status == 502 and answer.json()["error"]["message"]


def test_unknown_host(launch, backend):
    """A name that does not resolve: 502, not a hang."""
    provider = {"type": "openai", "base_url": "http://no-such-host.invalid/v1"}
    own = launch(backend, providers={"up": provider}, models=[], timeouts={"connect": "2s"})
    assert own.post(CHAT, {"model": "up/x", "messages": USER}).status in (502, 504)


def test_connect_to(launch, mock, backend, tag):
    """connect_to replaces the address, not the Host field; localhost resolves too."""
    provider = {
        "type": "openai",
        "base_url": "http://models.example/v1",
        "connect_to": f"127.0.0.1:{mock.port}",
    }
    named = {"type": "openai", "base_url": f"http://localhost:{mock.port}/v1"}
    own = launch(backend, providers={"up": provider, "named": named}, models=[], default_provider="up")
    assert own.post(CHAT, {"model": f"up/mock:tag={tag}", "messages": USER}).status == 200
    assert dict((n.lower(), v) for n, v in mock.one(tag)["headers"])["host"] == "models.example"
    assert own.post(CHAT, {"model": "named/mock", "messages": USER}).status == 200


def test_time_limit__total(gateway):
    """A call that does not stream is ended at timeouts.total with 504."""
    start = time.monotonic()
    answer = gateway.post(CHAT, {"model": "up/mock:drip=100ms", "messages": USER})
    assert answer.status in (502, 504) and 0.8 < time.monotonic() - start < 6 * SLOW


def test_time_limit__idle_in_a_stream(gateway):
    """A stream that stalls for timeouts.idle ends with an error event."""
    answer = gateway.post(CHAT, {"model": "up/mock:stall@2", "stream": True, "messages": USER})
    found = rawhttp.events(answer.body)
    assert "error" in json.loads(found[-1]) and "[DONE]" not in found


class BlackHole:
    """A listener whose accept queue is full: connecting to it hangs."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fill = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))
            self.fill.append(s)
        return self

    def __exit__(self, *_):
        for s in (*self.fill, self.listener):
            s.close()


def test_time_limit__connect(launch, backend):
    """A provider that does not take the connection: 502 or 504 after timeouts.connect."""
    with BlackHole() as hole:
        provider = {"type": "openai", "base_url": f"http://127.0.0.1:{hole.port}/v1"}
        own = launch(backend, providers={"up": provider}, models=[], timeouts={"connect": "500ms"})
        start = time.monotonic()
        assert own.post(CHAT, {"model": "up/x", "messages": USER}).status in (502, 504)
        assert 0.3 < time.monotonic() - start < 4


def test_one_bad_provider_does_not_slow_others(gateway):
    """While 50 calls hang at a silent provider, a good call is as quick as ever."""
    threads = [
        threading.Thread(
            target=lambda: gateway.post(CHAT, {"model": "up/mock:silent", "messages": USER}), daemon=True
        )
        for _ in range(50)
    ]
    for t in threads:
        t.start()
    wait_for(lambda: gateway.metrics().value("ringway_exchanges") >= 40, 3, "the silent calls are under way")
    start = time.monotonic()
    good(gateway)
    assert time.monotonic() - start < 0.5
    for t in threads:
        t.join(10)


def test_time_limit__first_byte_and_first_token(launch, backend):
    """Streams only: no head within first_byte is 504; a head and a role event, but no content within first_token,
    ends with an error too. A call that does not stream is not held to them.
    """
    limits = {"first_byte": "300ms", "first_token": "600ms", "idle": "10s", "total": "10s"}
    own = launch(backend, timeouts=limits)
    begin = time.monotonic()
    late_head = own.post(CHAT, {"model": "up/mock:delay=5s", "messages": USER, "stream": True})
    assert late_head.status == 504 and time.monotonic() - begin < 2
    late_token = own.post(CHAT, {"model": "up/mock:gap=5s", "messages": USER, "stream": True})
    assert time.monotonic() - begin < 4
    assert late_token.status == 504 or "error" in json.loads(rawhttp.events(late_token.body)[-1])
    assert own.post(CHAT, {"model": "up/mock:delay=900ms", "messages": USER}).status == 200


def test_credentials_refused__is_said_once_per_provider(launch, mock, backend):
    """A provider that refuses our key: clients read 502, and the process log names the provider and the mend,
    once and not at every request.
    """
    url = f"http://127.0.0.1:{mock.port}/v1"
    key = {"type": "openai", "base_url": url, "api_key": "sk-not-to-be-seen"}
    own = launch(backend, providers={"first": key, "second": key}, models=[])
    for name, status in (("first", 401), ("first", 401), ("second", 403), ("first", 403), ("second", 401)):
        answer = own.post(CHAT, {"model": f"{name}/mock:status={status}", "messages": USER})
        assert answer.status == 502 and answer.json()["error"]["code"] == "upstream_auth", answer
    wait_for(lambda: own.err().count(b"refuses this gateway's credentials") >= 2, 3, "it is said")
    said = own.err().decode()
    assert said.count("refuses this gateway's credentials") == 2, said
    assert said.count("Mend what providers.first says of its key") == said.count("Mend what providers.second says of its key") == 1
    assert "sk-not-to-be-seen" not in said
