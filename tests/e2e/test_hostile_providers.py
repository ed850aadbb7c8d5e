"""Goal: whatever a provider sends, the client gets 502 (504) or an error in the stream, in its own
dialect; never a truncated answer passed off as whole, never memory that grows with the attack.

Method: one table of answers, whole and streamed; after each row the same gateway serves a good
request. The table with what was seen is printed at the end of the run.
"""

import concurrent.futures
import gzip
import json
import socket
import threading
import time
import zlib

import pytest

import conftest
import rawhttp
from servers import KEY, sanitised

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]
CONFIG = {"workers": 1, "timeouts": {"connect": "1s", "idle": "2s", "total": "8s"}}
MEMORY_MAX = 8 << 20
LATE = "[DONE], then an error"

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"content-type: application/json\r\n"
SSE = OK + b"content-type: text/event-stream\r\n"
GZ = b"content-encoding: gzip\r\n"
NO = b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def body(text="fine", finish="stop"):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()


def event(text=None, finish=None):
    delta = {"content": text} if text is not None else {}
    return b"data: " + json.dumps({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


STREAM = event("a") + event("b") + event(finish="stop") + b"data: [DONE]\n\n"


def sized(head, data):
    return head + b"content-length: %d\r\n\r\n" % len(data) + data


def chunks(head, *parts, end=b"0\r\n\r\n"):
    return head + CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + end


def bomb(megabytes):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = packer.compress(b'{"id":"')
    for _ in range(megabytes):
        out += packer.compress(b"x" * (1 << 20))
    return out + packer.compress(b'"}') + packer.flush()


def bomb_stream(megabytes):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = packer.compress(event("a"))
    for _ in range(megabytes):
        out += packer.compress(b"data: " + b"x" * (1 << 20))
    return out + packer.flush()


GZIPPED = gzip.compress(body())
GZIPPED_STREAM = gzip.compress(STREAM)

# 40 MB of JSON, above limits.body, at an honest ratio.
LARGE = gzip.compress(json.dumps({"id": [i * 7919 for i in range(4_000_000)]}).encode(), 1)

# name: (an option of the mock's, or raw bytes; streamed; what may be seen)
# A status: an error of ours with it. "in-band": a stream whose last event is an error, without [DONE]. "good": a good answer.
ANSWERS = {
    "endless head": ("endless-head", False, {502}),
    "endless head, streamed": ("endless-head", True, {502}),
    "line of 100 MB": ("longline", True, {"in-band"}),
    "line of 40 MB in a body": (chunks(JSON, b'{"id":"' + b"x" * (40 << 20) + b'"}'), False, {502}),
    "two Content-Lengths": ("doublelength", False, {502}),
    "two Content-Lengths, streamed": (SSE + b"content-length: 9\r\n" + sized(b"", STREAM), True, {502}),
    "two equal Content-Lengths": (JSON + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", False, {502}),
    "Content-Length and chunked": ("bothlengths", False, {502}),
    "bad chunk": ("badchunk", True, {502, "in-band"}),
    "bad first chunk": (JSON + CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", False, {502}),
    "bad first chunk, streamed": (SSE + CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", True, {502}),
    "signed chunk": (JSON + CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n", False, {502}),
    "wrapping chunk": (JSON + CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n", False, {502}),
    "chunk without its end": (JSON + CHUNKED + b"2\r\n{}0\r\n\r\n", False, {502}),
    "no last chunk": (chunks(JSON, body(), end=b""), False, {502}),
    "no last chunk, streamed": (chunks(SSE, event("a"), end=b""), True, {"in-band"}),
    "no last chunk behind [DONE]": (chunks(SSE, STREAM, end=b""), True, {LATE}),
    "endless chunk extension": (JSON + CHUNKED + b"2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n", False, {502}),
    "endless trailers": (chunks(JSON, body(), end=b"0\r\n" + b"x: y\r\n" * 50_000), False, {502}),
    "obs-fold": (JSON + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}", False, {502}),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}", False, {502}),
    "NUL in a field": (JSON + b"x-a: b\0c\r\ncontent-length: 2\r\n\r\n{}", False, {502}),
    "space before a colon": (JSON + b"content-length : 2\r\n\r\n{}", False, {502}),
    "10,000 fields": (OK + b"".join(b"x-%d: 1\r\n" % i for i in range(10000)) + b"\r\n{}", False, {502}),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", False, {502}),
    "HTTP/2 settings": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18, False, {502}),
    "HTTP/2.0 status line": (b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", False, {502}),
    "101 unasked": (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", False, {502}),
    "1,000 interim answers": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + sized(JSON, body()), False, {"good", 502}),
    "answer before the request was sent": ("early", False, {413}),
    "answer before the request was sent, streamed": ("early", True, {413}),
    "HTTP/1.0": ("http10", False, {"good"}),
    "HTTP/1.0, streamed": ("http10", True, {"good"}),
    "HTTP/1.0, cut": (b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + body()[:-9], False, {502}),
    "HTTP/1.0, cut stream": (b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event("a"), True, {"in-band"}),
    "HTTP/1.0 with chunks": (b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", False, {502}),
    "length too long": (JSON + b"content-length: 5000\r\n\r\n" + body(), False, {502}),
    "length too long, streamed": (SSE + b"content-length: 5000\r\n\r\n" + event("a"), True, {"in-band"}),
    "length of 2^63": (JSON + b"content-length: 9223372036854775808\r\n\r\n{}", False, {502}),
    "length of 40 GB": (JSON + b"content-length: 40000000000\r\n\r\n{}", False, {502}),
    "stream without an event": (chunks(SSE), True, {502}),
    "stream of comments": (chunks(SSE, b": ping\n\n" * 100), True, {502, "in-band"}),
    "stream of [DONE]": (chunks(SSE, b"data: [DONE]\n\n"), True, {502, "in-band"}),
    "stream of rubbish": (chunks(SSE, b"data: \xff\xfe{{{\n\n" * 100), True, {502, "in-band"}),
    "stream without finish": ("nofinish", True, {"in-band"}),
    "half of an event": (chunks(SSE, event("a"), b'data: {"id":"x","choi'), True, {"in-band"}),
    "error instead of a stream": (chunks(SSE, b"data: %s\n\n" % NO), True, {502, "in-band"}),
    "10,000-deep JSON": (sized(JSON, b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), False, {502}),
    "invalid UTF-8": (sized(JSON, b'{"id":"\xff"}'), False, {502}),
    "rubbish behind the JSON": (sized(JSON, body() + b"x"), False, {502}),
    "gzip": ("gzip", False, {"good"}),
    "gzip, streamed": ("gzip", True, {"good"}),
    "gzip in chunks": (chunks(JSON + GZ, GZIPPED[:9], GZIPPED[9:50], GZIPPED[50:]), False, {"good"}),
    "gzip stream in bytes": (chunks(SSE + GZ, *[bytes([b]) for b in GZIPPED_STREAM]), True, {"good"}),
    "x-gzip": (sized(JSON + b"Content-Encoding: X-Gzip\r\n", GZIPPED), False, {"good"}),
    "gzip in two members": (sized(JSON + GZ, gzip.compress(body()[:20]) + gzip.compress(body()[20:])), False, {"good"}),
    "gzip until the close": (JSON + GZ + b"connection: close\r\n\r\n" + GZIPPED, False, {"good"}),
    "gzip bomb": (sized(JSON + GZ, bomb(200)), False, {502}),
    "gzip bomb, streamed": (chunks(SSE + GZ, bomb_stream(200)), True, {"in-band"}),
    "gzip larger than limits.body": (sized(JSON + GZ, LARGE), False, {502}),
    "gzip without its end": (sized(JSON + GZ, GZIPPED[:-1]), False, {502}),
    "gzip stream without its end": (chunks(SSE + GZ, gzip.compress(event("a"))[:-8]), True, {"in-band"}),
    "gzip that is none": (sized(JSON + GZ, body()), False, {502}),
    "gzip of a wrong sum": (sized(JSON + GZ, GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:]), False, {502}),
    "rubbish behind the gzip": (sized(JSON + GZ, GZIPPED + b"rubbish"), False, {502}),
    "empty body called gzip": (sized(JSON + GZ, b""), False, {502}),
    "gzip twice": (sized(JSON + b"content-encoding: gzip, gzip\r\n", gzip.compress(GZIPPED)), False, {502}),
    "gzip in two fields": (sized(JSON + GZ + GZ, gzip.compress(GZIPPED)), False, {502}),
    "deflate": (sized(JSON + b"content-encoding: deflate\r\n", zlib.compress(body())), False, {502}),
    "brotli": (sized(JSON + b"content-encoding: br\r\n", b"\x0b\x02\x80{}\x03"), False, {502}),
    "identity, said aloud": (sized(JSON + b"content-encoding: identity\r\n", body()), False, {"good"}),
}  # fmt: skip


def verdict(answer, stream):
    """What the client was given: a status, "in-band", "good", or what is wrong with it."""
    if answer.status != 200:
        error = answer.json()["error"]
        words = {"message", "type", "param", "code"} <= set(error) and error["message"]
        return answer.status if words else f"{answer.status} without words"
    if not stream:
        return "good" if answer.json()["choices"][0]["finish_reason"] == "stop" else "a wrong 200"
    found = rawhttp.events(answer.body)
    last = found[-1] if found else ""
    if last == "[DONE]":
        return "good" if any('"stop"' in e for e in found) else "[DONE] without a finish"
    try:
        error = json.loads(last)["error"]
        return "in-band" if error["message"] and "[DONE]" not in found else LATE
    except (ValueError, KeyError, TypeError):
        return f"a stream that ends with {last[:60]!r}"


def ask(gateway, model, stream, text="a"):
    """The verdict, and the answer if there was a well-formed one."""
    value = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    try:
        answer = gateway.post(CHAT, value)
    except (rawhttp.BadAnswer, ConnectionResetError) as e:
        return f"broken off: {e}"[:80], None
    try:
        return verdict(answer, stream), answer
    except (ValueError, KeyError, IndexError, TypeError) as e:
        return f"{answer.status}, {type(e).__name__}: {answer.body[:60]!r}", answer


def good(gateway):
    assert ask(gateway, "up/mock", False)[0] == "good"


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(gateway, mock, backend, name):
    """The row's answer is what it should be made into, in OpenAI's dialect; memory stays; the next is served."""
    made, stream, wanted = ANSWERS[name]
    if isinstance(made, bytes):
        story = name.replace(" ", "_").replace(",", "").replace("/", "")
        mock.tell_raw(story, made)
        model = f"up/mock:raw={story}"
    else:
        model = f"up/mock:{made}"
    good(gateway)
    before = gateway.memory()[0]
    gateway.reset_peak()
    text = "x" * 2_000_000 if made == "early" else "a"
    seen, _ = ask(gateway, model, stream, text)
    grown = gateway.memory()[1] - before
    most = MEMORY_MAX + (80 << 20 if "limits.body" in name or "in a body" in name else 0)
    fine = seen in wanted and (sanitised() or grown <= most)
    conftest.tables["hostile providers"].append(
        (name, backend, "|".join(sorted(map(str, wanted))), f"{seen}, +{grown / 2**20:.1f} MiB", fine)
    )
    assert fine, (seen, grown)
    good(gateway)


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_close_at_every_byte(gateway, mock, backend, stream, coded):
    """The provider closes after 0, 1, 2 … bytes of its answer, through the whole head and body: the error is
    there each time, behind [DONE], too, when only the framing is cut.
    """
    data = STREAM if stream else body()
    head = (SSE if stream else JSON) + (GZ if coded else b"")
    data = gzip.compress(data) if coded else data
    whole = chunks(head, data[:70], data[70:]) if stream else sized(head, data)

    def complete(at):
        """All events of the stream are in the first `at` bytes, or all bytes of a whole answer."""
        if not stream:
            return at == len(whole)
        first = len(head + CHUNKED) + len(b"%x\r\n" % 70)
        second = first + 70 + len(b"\r\n%x\r\n" % (len(data) - 70))
        part = data[: min(max(at - first, 0), 70) + max(at - second, 0)]
        text = zlib.decompressobj(31).decompress(part) if coded else part
        return text.startswith(STREAM)

    def one(at):
        story = f"cut_{stream}_{coded}_{at}"
        mock.tell_raw(story, whole[:at])
        return ask(gateway, f"up/mock:raw={story}", stream)[0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(one, range(len(whole) + 1)))
    allowed = {502, "in-band"} if stream else {502}
    bad = {at: s for at, s in enumerate(seen[:-1]) if s not in (allowed | {LATE} if complete(at) else allowed)}
    name = f"close at every byte{', gzip' if coded else ''}{', streamed' if stream else ''}"
    fine = not bad and seen[-1] == "good"
    conftest.tables["hostile providers"].append(
        (name, backend, "|".join(sorted(map(str, allowed))), f"{len(whole)} cuts, {len(bad)} bad", fine)
    )
    assert fine, (bad, seen[-1])
    good(gateway)


class Speaker:
    """A provider that speaks before it is asked: its answer is sent as soon as somebody connects."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with s:
                s.sendall(self.answer)
                s.settimeout(0.3)
                try:
                    self.asked.append(s.recv(65536))
                    while s.recv(65536):
                        pass
                except OSError:
                    pass

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("keep", [False, True], ids=["once", "two answers"])
def test_answer_before_the_request(launch, backend, keep):
    """An answer that comes unasked belongs to no request: at worst the one that opened the connection gets it,
    never the next one.
    """
    speaker = Speaker(sized(JSON, body("first")) + (sized(JSON, body("second")) if keep else b""))
    try:
        url = f"http://127.0.0.1:{speaker.port}/v1"
        own = launch(backend, workers=1, providers={"up": {"type": "openai", "base_url": url}}, models=[])
        for _ in range(4):
            answer = own.post(CHAT, {"model": "up/x", "messages": USER})
            assert answer.status == 502 or b"first" in answer.body, answer
            assert b"second" not in answer.body
            time.sleep(0.05)
    finally:
        speaker.close()


def test_an_error_that_is_gzip(gateway, mock):
    """A refusal that comes compressed is read: the client sees its words."""
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n" + GZ
    mock.tell_raw("gzip_error", sized(head, gzip.compress(NO)))
    answer = gateway.post(CHAT, {"model": "up/mock:raw=gzip_error", "messages": USER})
    assert (answer.status, answer.body) == (400, NO)
    assert answer.header("content-encoding") is None


def test_a_file_that_is_gzip(gateway, mock):
    """A streamed answer that is neither JSON nor events is decoded, too, and its length said by chunks."""
    data = bytes(i * i % 251 for i in range(300_000))
    head = OK + b"content-type: audio/mpeg\r\n" + GZ
    mock.tell_raw("gzip_audio", sized(head, gzip.compress(data)))
    answer = gateway.post("/v1/audio/speech", {"model": "up/mock:raw=gzip_audio", "input": "a", "voice": "b"})
    assert answer.status == 200 and answer.body == data and answer.header("content-encoding") is None
    mock.tell_raw("gzip_audio_cut", sized(head, gzip.compress(data)[:-1]))
    with gateway.connect() as c:
        value = json.dumps({"model": "up/mock:raw=gzip_audio_cut", "input": "a", "voice": "b"}).encode()
        fields = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
        c.send(rawhttp.request("POST", "/v1/audio/speech", fields, value))
        with pytest.raises(rawhttp.BadAnswer):
            c.answer()
