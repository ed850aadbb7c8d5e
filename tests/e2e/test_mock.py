"""Goal: the mock keeps the contract of tests/lib/MOCK.md, on which all other tests stand.

Method: raw requests straight to it, without a gateway.
"""

import base64
import gzip
import hashlib
import json
import struct
import time

import pytest

import rawhttp
from servers import FIXTURES, wait_for

CHAT = "/v1/chat/completions"


def connect(mock):
    return rawhttp.Connection(("127.0.0.1", mock.port))


def chat(options="", **more):
    body = {"model": "mock" + (":" + options if options else ""), "messages": [], **more}
    return rawhttp.request("POST", CHAT, [("content-type", "application/json")], json.dumps(body).encode())


def ask(mock, options="", **more):
    with connect(mock) as c:
        return c.send(chat(options, **more)).answer()


def raw(mock, options, **more):
    """Everything the mock sends until it closes."""
    with connect(mock) as c:
        return c.send(chat(options, **more)).to_end()


def values(answer):
    return [json.loads(e) if e != "[DONE]" else e for e in rawhttp.events(answer.body)]


def test_answer__shape(mock):
    answer = ask(mock, "usage=120/90/20")
    value = answer.json()
    choice = value["choices"][0]
    assert answer.header("content-type") == "application/json" and answer.header("content-length")
    assert choice["message"] == {"role": "assistant", "content": "t0 t1 t2 t3 t4 ", "refusal": None}
    assert choice["finish_reason"] == "stop" and choice["logprobs"] is None and choice["index"] == 0
    assert value["model"] == "mock:usage=120/90/20" and value["id"].startswith("chatcmpl-mock-")
    usage = value["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (120, 90, 210)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 20
    for name in ("x-request-id", "openai-processing-ms", "set-cookie", "x-ratelimit-limit-requests"):
        assert answer.header(name), name


def test_stream__shape(mock):
    events = values(ask(mock, "chunks=3", stream=True))
    assert events[-1] == "[DONE]" and len(events) == 6
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [e["choices"][0]["delta"] for e in events[1:4]] == [{"content": f"t{k} "} for k in range(3)]
    assert events[4]["choices"][0] | {"logprobs": None} == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert not any("usage" in e for e in events[:-1]) and len({e["id"] for e in events[:-1]}) == 1


def test_stream__usage(mock):
    events = values(ask(mock, "usage=7/9", stream=True, stream_options={"include_usage": True}))
    assert events[-2]["choices"] == [] and events[-2]["usage"]["total_tokens"] == 16
    assert all(e["usage"] is None for e in events[:-2])


def test_choices_tools_logprobs(mock):
    assert [c["message"]["content"] for c in ask(mock, "chunks=2", n=2).json()["choices"]] == [
        "c0t0 c0t1 ",
        "c1t0 c1t1 ",
    ]
    events = values(ask(mock, "chunks=2,n2", stream=True))
    texts = {0: "", 1: ""}
    for e in events[:-1]:
        for c in e["choices"]:
            texts[c["index"]] += c["delta"].get("content") or ""
    assert texts == {0: "c0t0 c0t1 ", 1: "c1t0 c1t1 "}
    calls = ask(mock, "tools=2").json()["choices"][0]["message"]["tool_calls"]
    assert [json.loads(c["function"]["arguments"]) for c in calls] == [
        {"city": "Paris", "i": 0},
        {"city": "Paris", "i": 1},
    ]
    logprobs = ask(mock, "chunks=1", logprobs=True).json()["choices"][0]["logprobs"]["content"]
    assert logprobs == [{"token": "t0 ", "logprob": -0.5, "bytes": [116, 48, 32], "top_logprobs": []}]


@pytest.mark.parametrize("size", [1024, 16384, 1048576])
def test_bytes(mock, size):
    answer = ask(mock, f"bytes={size}")
    assert len(answer.body) == size and answer.json()["object"] == "chat.completion"


def test_size_pace_delay(mock):
    begin = time.monotonic()
    events = values(ask(mock, "chunks=4,size=100,pace=50ms,delay=100ms", stream=True))
    assert 0.24 < time.monotonic() - begin < 1
    assert [len(e["choices"][0]["delta"]["content"]) for e in events[1:5]] == [100] * 4


def test_lockstep(mock, tag):
    with connect(mock) as c:
        c.send(chat(f"chunks=3,lockstep={tag}", stream=True))
        c.until(b'"content":"t0 "')
        time.sleep(0.1)
        c.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            while c.fill():
                assert b"t1 " not in c.unread
        c.sock.settimeout(5)
        mock.step(tag, 0)
        c.until(b'"content":"t1 "')
        mock.step(tag, 2)
        c.until(b"data: [DONE]")


def test_fixtures(mock):
    assert ask(mock, "fixture=text").body == (FIXTURES / "text.response.json").read_bytes()
    for split in ("", ",split=1", ",split=7"):
        assert (
            ask(mock, f"fixture=text{split}", stream=True).body == (FIXTURES / "text.stream.sse").read_bytes()
        )
    error = json.loads((FIXTURES / "error_429.json").read_text())
    answer = ask(mock, "raw=error_429")
    assert answer.status == 429 and answer.json() == error["body"]


def test_status(mock):
    answer = ask(
        mock, "status=429,retry-after=2,retry-after-ms=1500,should-retry=true,code=insufficient_quota"
    )
    error = answer.json()["error"]
    assert (answer.status, answer.header("retry-after"), answer.header("retry-after-ms")) == (
        429,
        "2",
        "1500",
    )
    assert (error["message"], error["type"], error["code"]) == (
        "mock status 429",
        "requests",
        "insufficient_quota",
    )
    assert answer.header("x-should-retry") == "true"
    assert len(ask(mock, "status=500,errbytes=100000").body) > 100000


def test_fail_first(mock, tag):
    assert [ask(mock, f"status=503,fail=2,tag={tag}").status for _ in range(4)] == [503, 503, 200, 200]


def test_unknown_option(mock):
    answer = ask(mock, "chnuks=5")
    assert answer.status == 400 and "chnuks" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "options, stream, begins, ends",
    [
        ("badjson,close", False, b"HTTP/1.1 200", b'{"id":"x","choices":[{'),
        ("html,close", False, b"HTTP/1.1 200", b"<html><body>mock</body></html>"),
        ("empty,close", False, b"HTTP/1.1 200", b"\r\n\r\n"),
        ("chunks=9,cut@2", True, b"HTTP/1.1 200", b"\n\n\r\n"),
        ("close@20", False, b"HTTP/1.1 200", b""),
        ("http10", True, b"HTTP/1.0 200", b"data: [DONE]\n\n"),
        ("early", False, b"HTTP/1.1 413", b"}"),
        ("badchunk,chunks=9,pace=1ms,close", True, b"HTTP/1.1 200", b""),
        ("extra,close", False, b"HTTP/1.1 200", b""),
    ],
)
def test_fault(mock, options, stream, begins, ends):
    data = raw(mock, options, stream=stream)
    assert data.startswith(begins) and data.endswith(ends)
    if options == "close@20":
        assert len(data) == 20
    if options.startswith("badchunk"):
        assert b"\r\nzz\r\n" in data
    if options.startswith("chunks=9,cut") and stream:
        assert data.count(b'"content":"t') == 2 and b"0\r\n\r\n" not in data


def test_faults_that_keep_on(mock):
    """silent sends nothing; stall stops after k chunks; endless-head and longline go on until the peer leaves."""
    with connect(mock) as c:
        c.send(chat("silent"))
        c.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            c.fill()
    with connect(mock) as c:
        c.send(chat("chunks=5,stall@2", stream=True)).until(b'"content":"t1 "')
        c.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while c.fill():
                assert b"t2 " not in c.unread
    with connect(mock) as c:
        c.send(chat("endless-head"))
        while len(c.unread) < 200_000:
            assert c.fill() and b"\r\n\r\n" not in c.unread
    with connect(mock) as c:
        c.send(chat("longline", stream=True)).until(b"data: ")
        while len(c.unread) < 200_000:
            assert c.fill() and b"\n\n" not in c.unread


def test_midstream_error_nofinish_nodone(mock):
    events = values(ask(mock, "error=midstream@2", stream=True))
    assert "error" in events[-1] and sum("content" in e["choices"][0]["delta"] for e in events[1:-1]) == 2
    assert not any(
        c["finish_reason"] for e in values(ask(mock, "nofinish", stream=True))[:-1] for c in e["choices"]
    )
    assert values(ask(mock, "nodone", stream=True))[-1] != "[DONE]"


def test_two_lengths(mock):
    head = raw(mock, "doublelength,close").split(b"\r\n\r\n")[0].lower()
    assert head.count(b"content-length:") == 2
    head = raw(mock, "bothlengths,close").split(b"\r\n\r\n")[0].lower()
    assert head.count(b"content-length:") == 1 and head.count(b"transfer-encoding:") == 1


def test_gzip(mock):
    answer = ask(mock, "gzip")
    assert answer.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(answer.body))["choices"][0]["message"]["content"] == "t0 t1 t2 t3 t4 "


def test_stale_and_idle_close(mock):
    with connect(mock) as c:
        assert c.send(chat("stale")).answer().status == 200
        assert not c.is_closed(0.2)
        c.send(chat())
        assert c.to_end() == b""
    with connect(mock) as c:
        assert c.send(chat("idle-close=50ms")).answer().status == 200
        assert c.is_closed(1)


def test_embeddings(mock):
    def embed(**body):
        return connect(mock).ask("POST", "/v1/embeddings", [], json.dumps(body).encode()).json()["data"]

    assert [d["embedding"] for d in embed(model="mock", input=["a", "b"])] == [
        [(8 * j + i) / 4 for i in range(8)] for j in (0, 1)
    ]
    coded = embed(model="mock:dims=3", input="a", encoding_format="base64")[0]["embedding"]
    assert struct.unpack("<3f", base64.b64decode(coded)) == (0, 0.25, 0.5)
    assert (
        len(embed(model="mock", input=[1, 2, 3])) == 1 and len(embed(model="mock", input=[[1, 2], [3]])) == 2
    )


def test_uploads_and_downloads(mock):
    data = bytes(range(256)) * 20000
    with connect(mock) as c:
        made = c.ask("POST", "/v1/files", [("content-type", "multipart/form-data; boundary=b")], data).json()
        assert (made["bytes"], made["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        said = c.send(
            rawhttp.request("POST", "/v1/audio/transcriptions", [("transfer-encoding", "chunked")])
            + rawhttp.chunked([data[:100], data[100:]])
        ).answer()
        assert said.json()["text"] == f"sha256={hashlib.sha256(data).hexdigest()} length={len(data)}"
        speech = c.ask("POST", "/v1/audio/speech", [], b'{"model":"mock:bytes=5000"}')
        assert (
            speech.body == bytes(i % 251 for i in range(5000))
            and speech.header("content-type") == "audio/mpeg"
        )
        assert c.ask("GET", "/v1/nothing").status == 404


def test_log(mock, tag):
    """Everything of a request is there: bytes, headers in order and case, what was sent, how it ended."""
    body = b'{ "model":"mock:chunks=2,tag=%s","x":"\xc3\xa9" }' % tag.encode()
    head = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: X\r\nX-Two: 1\r\nx-two: 2\r\n"
    with connect(mock) as c:
        c.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert c.answer().status == 200
    entry = mock.one(tag)
    assert (
        base64.b64decode(entry["body"]) == body
        and entry["body_length"] == len(body)
        and entry["body_complete"]
    )
    assert entry["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert entry["headers"][:3] == [["Host", "X"], ["X-Two", "1"], ["x-two", "2"]]
    assert (entry["method"], entry["path"], entry["query"]) == ("POST", "/v1/chat/completions", "a=b")
    assert (entry["status"], entry["ended"], entry["model"]) == (200, "complete", f"mock:chunks=2,tag={tag}")
    assert 0 < entry["head_ns"] <= entry["body_ns"] <= entry["first_ns"] <= entry["end_ns"]


@pytest.mark.parametrize(
    "body", [b' {"model":"M"}', b'\n{"model" :\t"M" } ', b'{"a":{"model":"x"},"model":"M"}']
)
def test_log__finds_the_model_in_any_json(mock, tag, body):
    """White space before, between and behind; a model further in is not the model."""
    with connect(mock) as c:
        c.ask("POST", CHAT, [], body.replace(b"M", b"mock:tag=" + tag.encode()))
    assert len(mock.log(tag)) == 1


@pytest.mark.parametrize("how", ["rst", "fin", "half"])
@pytest.mark.parametrize(
    "options", ["delay=60s", "silent", "chunks=100,pace=100ms", "chunks=5,stall@1", "drip=100ms"]
)
def test_log__of_a_client_that_leaves(mock, tag, options, how):
    """Whatever the mock is waiting for, it notices at once that the client has gone."""
    c = connect(mock).send(chat(f"{options},tag={tag}", stream=True))
    wait_for(lambda: mock.log(tag))
    {"rst": c.reset, "fin": c.close, "half": c.half_close}[how]()
    wait_for(lambda: mock.log(tag)[0]["ended"] == "client_gone", 1)
    assert options.startswith("drip") or mock.log(tag)[0]["chunks_sent"] <= 2
    c.close()
    wait_for(lambda: mock.stats()["requests_active"] == 0, 1)


def test_log__of_half_a_body(mock, tag):
    c = connect(mock).send(rawhttp.request("POST", "/v1/files", [("content-length", "100000")]) + b"x" * 5000)
    wait_for(lambda: mock.stats()["requests_active"] == 1)
    c.reset()
    wait_for(lambda: mock.log()[-1]["ended"] == "client_gone", 1)
    assert not mock.log()[-1]["body_complete"]


def test_stats_and_reset(mock):
    before = mock.stats()["connections_open"]
    held = [connect(mock) for _ in range(10)]
    for c in held:
        assert c.send(chat()).answer().status == 200
    assert mock.stats()["connections_open"] == before + 10
    for c in held:
        c.close()
    wait_for(lambda: mock.stats()["connections_open"] == before, 1)
    mock.reset()
    assert mock.log() == [] and mock.stats()["requests_total"] == 0
