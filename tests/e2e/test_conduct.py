"""Goal: the rules of conduct for hostile clients and failing providers, one test each, named after
the rule's number.

Method: raw connections on the client's side, options and raw answers of the mock on the provider's;
what reached the provider is read from the mock's log. Rules 19, 20 and 23 are about retries and
breakers, which are not built yet.
"""

import base64
import json
import threading
import time

import pytest

import rawhttp
import servers
from servers import KEY, UPSTREAM_KEY, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]
AUTH = ("authorization", f"Bearer {KEY}")
TYPE = ("content-type", "application/json")
CONFIG = {
    "workers": 1,
    "limits": {"head_timeout": "2s", "body_timeout": "2s", "idle_timeout": "10s", "body": "1MB"},
    "timeouts": {"first_token": "1s", "first_byte": "1s", "idle": "2s", "total": "4s"},
}


def body_of(tag, options="", **more):
    return json.dumps({"model": f"up/mock:tag={tag}{options}", "messages": USER, **more}).encode()


def chat(tag, *fields, data=None, auth=True):
    """A good chat request as bytes, with further fields."""
    data = body_of(tag) if data is None else data
    return rawhttp.request("POST", CHAT, [*([AUTH] if auth else []), TYPE, *fields], data)


def refused(gateway, mock, data, wanted, tag, seconds=1.5):
    """Exactly one answer of this status, at once, then the end; nothing is seen by the provider."""
    begin = time.monotonic()
    with gateway.connect(timeout=8) as c:
        c.send_some(data)
        answer = c.answer()
        rest = c.to_end()
    assert answer.status in wanted, (data[:200], answer)
    assert answer.json()["error"]["message"] and not rest, (data[:200], rest)
    assert mock.log(tag) == [], data[:200]
    assert time.monotonic() - begin < seconds + 2.5, "refused late"


def ask(gateway, options, **more):
    return gateway.post(CHAT, {"model": f"up/mock:{options}", "messages": USER, **more})


def good(gateway):
    answer = ask(gateway, "chunks=1")
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == "t0 "


def test_rule_01__a_framing_error_is_400_once_and_at_once(gateway, mock, tag):
    """Bytes that cannot become a request are refused before the head is whole, with one answer, then closed."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00",
        b"GET\r",
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\rb",
        b"GET / HTTP/1.1\r\nno colon here\r\n",
        b"(GET / HTTP/1.1",
    ):
        begin = time.monotonic()
        with gateway.connect(timeout=5) as c:
            c.send(data)
            assert c.answer().status == 400, data
            # At once: the limit for heads is 2 s.
            assert time.monotonic() - begin < 1, data
            assert c.to_end() == b""


def test_rule_02__ambiguous_length(gateway, mock, tag):
    data = body_of(tag)
    n = str(len(data))
    coded = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    smuggled = chat(tag)
    for fields in (
        [("content-length", n), ("transfer-encoding", "chunked")],
        [("content-length", n), ("content-length", n)],
        [("content-length", f"{n}, {n}")],
        [("transfer-encoding", "chunked, chunked")],
        [("transfer-encoding", "gzip, chunked")],
        [("transfer-encoding", "identity")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
    ):
        is_coded = any(name == "transfer-encoding" for name, _ in fields)
        request = rawhttp.request("POST", CHAT, [AUTH, TYPE, *fields]) + (coded if is_coded else data)
        refused(gateway, mock, request + smuggled, {400}, tag)
    old = rawhttp.request("POST", CHAT, [AUTH, TYPE, ("transfer-encoding", "chunked")], version="HTTP/1.0")
    refused(gateway, mock, old + coded, {400}, tag)


def test_rule_03__crlf_only(gateway, mock, tag):
    data = body_of(tag)
    head = rawhttp.request("POST", CHAT, [AUTH, TYPE, ("transfer-encoding", "chunked")])
    good_one = b"%x\r\n%s\r\n0\r\nx: y\r\n\r\n" % (len(data), data)
    with gateway.connect() as c:
        assert c.send(head + good_one).answer().status == 200
    mock.reset()
    for broken in (
        good_one.replace(b"\r\n", b"\n", 1),
        good_one.replace(data + b"\r\n", data + b"\n"),
        good_one.replace(b"0\r\n", b"0\n"),
        good_one.replace(b"x: y\r\n", b"x: y\n"),
        good_one[:-2] + b"\n",
    ):
        refused(gateway, mock, head + broken + chat(tag), {400}, tag)
    refused(gateway, mock, chat(tag).replace(b"\r\n", b"\n"), {400}, tag)
    refused(gateway, mock, chat(tag).replace(b"\r\nauth", b"\nauth"), {400}, tag)


def test_rule_04__chunk_sizes(gateway, mock, tag):
    data = body_of(tag)
    n = len(data)
    head = rawhttp.request("POST", CHAT, [AUTH, TYPE, ("transfer-encoding", "chunked")])
    behind = b"\r\n%s\r\n0\r\n\r\n" % data + chat(tag)
    for size in (b"+%x", b"-%x", b"0x%x", b" %x", b"%x ", b"%x_", b"1000000000000000%x"):
        refused(gateway, mock, head + size % n + behind, {400}, tag)
    # 2^32 + n: more than a body may be, and never n.
    refused(gateway, mock, head + b"1000000%02x" % n + behind, {400, 408, 413}, tag, seconds=4)
    refused(gateway, mock, head + b"%x;%s" % (n, b"a" * 6000) + behind, {400, 413, 431}, tag)
    trailers = b"".join(b"x-%d: y\r\n" % i for i in range(2000))
    refused(gateway, mock, head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (n, data, trailers), {400, 413, 431}, tag)
    # A trailer is no header: this one does not authenticate.
    bare = rawhttp.request("POST", CHAT, [TYPE, ("transfer-encoding", "chunked")])
    with gateway.connect() as c:
        c.send(bare + b"%x\r\n%s\r\n0\r\nauthorization: Bearer %s\r\n\r\n" % (n, data, KEY.encode()))
        assert c.answer().status == 401
    assert mock.log(tag) == []


def test_rule_05__field_lines(gateway, mock, tag):
    with gateway.connect() as c:
        c.send(chat(tag, ("x-a", " \t b\tc \t ")))
        assert c.answer().status == 200
    mock.reset()
    whole = chat(tag, ("x-a", "b"))
    for line in (b"x-a : b", b" x-a: b", b"x-a: b\r\n folded", b"x a: b", b"x-a: b\0c", b"x-a: b\x01", b"x-a", b": b"):
        refused(gateway, mock, whole.replace(b"x-a: b", line), {400}, tag)


def test_rule_06__host(gateway, mock, tag):
    one = b"host: gateway.test\r\n"
    for line in (b"", one + one, b"host: \r\n", b"host: a b\r\n", b"host: a/b\r\n", b"host: u@a\r\n", b"host: a:b\r\n"):
        refused(gateway, mock, chat(tag).replace(one, line), {400}, tag)
    for target in (b"http:///v1/models", b"http://u@a/v1/models"):
        refused(gateway, mock, b"GET %s HTTP/1.1\r\n%s\r\n" % (target, one), {400}, tag)
    with gateway.connect() as c:
        c.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert c.answer().status == 200
    with gateway.connect() as c:
        c.send(b"\r\n\r\nGET http://gateway.test/health HTTP/1.1\r\n" + one + b"\r\n")
        assert c.answer().status == 200
    refused(gateway, mock, b"\r\n" * 50 + chat(tag), {400}, tag)


def test_rule_07__versions(gateway, mock, tag):
    for first, wanted in (
        (b"GET /v1/models\r\n", {400, 505}),
        (b"GET /v1/models HTTP/1.10\r\n", {400}),
        (b"GET /v1/models HTTP/2.0\r\n", {505}),
        (b"GET /v1/models HTTP/0.9\r\n", {400, 505}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}),
    ):
        refused(gateway, mock, first + b"host: a\r\n\r\n", wanted, tag)


@pytest.mark.parametrize("what", ["401", "404", "GET", "HEAD", "405"])
def test_rule_08__a_request_is_never_read_out_of_a_body(gateway, mock, tag, what):
    """The body of a refused or body-less route is itself a request: it is dropped, or the connection ends."""
    inner = chat(tag)
    length = ("content-length", str(len(inner)))
    first = {
        "401": rawhttp.request("POST", CHAT, [TYPE, length]),
        "404": rawhttp.request("POST", "/v1/nothing", [AUTH, length]),
        "GET": rawhttp.request("GET", "/health", [length]),
        "HEAD": rawhttp.request("HEAD", "/health", [length]),
        "405": rawhttp.request("PUT", CHAT, [AUTH, length]),
    }[what]
    status = {"401": 401, "404": 404, "GET": 200, "HEAD": 200, "405": 405}[what]
    with gateway.connect() as c:
        c.send_some(first + inner + rawhttp.request("GET", "/v1/models", [AUTH]))
        answer = c.answer("HEAD" if what == "HEAD" else "GET")
        assert answer.status == status
        if answer.closes:
            assert c.to_end() == b""
        else:
            assert c.answer().json()["object"] == "list"
    assert mock.log(tag) == []


def test_rule_09__413_before_the_body_and_no_needless_interim(gateway, mock, tag):
    with gateway.connect() as c:
        begin = time.monotonic()
        c.send(rawhttp.request("POST", CHAT, [AUTH, TYPE, ("content-length", "2000000")]))
        assert c.answer().status == 413 and time.monotonic() - begin < 1
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, [AUTH, TYPE, ("content-length", "2000000"), ("expect", "100-continue")]))
        assert c.head().status == 413, "not asked to send what is refused"
    with gateway.connect() as c:
        c.send_some(rawhttp.request("POST", CHAT, [AUTH, TYPE, ("transfer-encoding", "chunked")]))
        c.send_some(b"".join(b"40000\r\n%s\r\n" % (b" " * 0x40000) for _ in range(8)))
        assert c.answer().status == 413
    data = body_of(tag)
    length = ("content-length", str(len(data)))
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, [AUTH, TYPE, length, ("expect", "100-continue")], version="HTTP/1.0"))
        c.send(data)
        assert c.head().status == 200, "no 100 to HTTP/1.0"
    with gateway.connect() as c:
        upgrade = [("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")]
        c.send(rawhttp.request("GET", "/health", upgrade))
        assert c.head().status == 200, "no 101 where nothing is upgraded"


def test_rule_10__what_never_goes_up(gateway, mock, tag):
    refused_ones = [AUTH, ("authorization", "Bearer rw-another-key-0123456789")]
    with gateway.connect() as c:
        assert c.ask("POST", CHAT, [*refused_ones, TYPE], body_of(tag)).status in (400, 401)
    assert mock.log(tag) == []
    mine = {
        "cookie": "a=b",
        "x-api-key": KEY,
        "keep-alive": "timeout=5",
        "te": "trailers",
        "proxy-connection": "keep-alive",
        "proxy-authorization": "Basic eDp5",
        "x-forwarded-for": "1.2.3.4",
        "x-hop": "1",
        "openai-beta": "named by Connection",
        "x-stainless-lang": "python",
        "connection": "keep-alive, x-hop, OpenAI-Beta",
    }
    with gateway.connect() as c:
        assert c.ask("POST", CHAT, [AUTH, TYPE, *mine.items()], body_of(tag)).status == 200
    up = {n.lower(): v for n, v in mock.one(tag)["headers"]}
    assert up["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert not up.keys() & (mine.keys() - {"connection"}), up
    assert "x-hop" not in up.get("connection", "") and KEY not in json.dumps(up)


def test_rule_11__limits_are_total_times(gateway, mock, tag):
    def drip(head, piece, seconds):
        begin = time.monotonic()
        with gateway.connect(timeout=8) as c:
            c.send(head)
            while time.monotonic() - begin < seconds and c.send_some(piece):
                time.sleep(0.2)
            return c.answer().status, time.monotonic() - begin

    status, took = drip(b"GET /health HTTP/1.1\r\nx: ", b"y", 3)
    assert status == 408 and 1.5 < took < 4.5
    length = ("content-length", "100000")
    status, took = drip(rawhttp.request("POST", CHAT, [AUTH, TYPE, length]) + body_of(tag)[:-1], b" ", 3)
    assert status == 408 and 1.5 < took < 4.5
    assert mock.log(tag) == [], "a provider was asked before the body was whole"
    # A streamed body: an idle time. This one takes longer than body_timeout, but is never silent for so long.
    boundary = b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    data = boundary + b"z" * 14 + b"\r\n--b--\r\n"
    fields = [AUTH, ("content-type", "multipart/form-data; boundary=b"), ("content-length", str(len(data)))]
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", "/v1/files", fields) + boundary)
        for _ in range(14):
            time.sleep(0.2)
            c.send(b"z")
        assert c.send(b"\r\n--b--\r\n").answer().status == 200


def test_rule_12__a_bare_fin_is_leaving(gateway, mock, tag):
    with gateway.connect(timeout=5) as c:
        c.send(chat(tag, data=body_of(tag, ",silent")))
        wait_for(lambda: len(mock.log(tag)) == 1, 3, "the provider is asked")
        c.half_close()
        assert c.is_closed(2)
    assert mock.one(tag)["ended"] == "client_gone"
    with gateway.connect(timeout=5) as c:
        c.half_close()
        assert c.is_closed(2), "an idle connection is left open"


def test_rule_13__json_goes_up_as_it_came(gateway, mock, tag):
    name = f"mock:tag={tag}"
    odd = (
        ' { "model" : "up/%s" ,\t"x":1.0E+2, "big": 12345678901234567890123, "y":"\\u00e9\\/é", '
        '"dup":1,\r\n"dup":2, "messages" : [ ], "e":{ } } ' % name
    ).encode()
    with gateway.connect() as c:
        assert c.send(chat(tag, data=odd)).answer().status == 200
    assert base64.b64decode(mock.one(tag)["body"]) == odd.replace(b"up/" + name.encode(), name.encode())
    mock.reset()
    fine = '{"model":"up/%s","messages":[]' % name
    for bad in (
        (fine + ',"model":"x"}').encode(),
        (fine + ',"mod\\u0065l":"x"}').encode(),
        (fine + ',"stream":true,"stream":false}').encode(),
        fine.encode() + b',"x":"\xff"}',
        (fine + ',"x":NaN}').encode(),
        (fine + "} x").encode(),
        b"\xef\xbb\xbf" + fine.encode() + b"}",
        b"[" + fine.encode() + b"}]",
        b'"text"',
    ):
        with gateway.connect() as c:
            answer = c.send(chat(tag, data=bad)).answer()
        assert answer.status == 400 and answer.json()["error"]["type"] == "invalid_request_error", (bad, answer)
    assert mock.log(tag) == []


def sse(*texts):
    data = b"".join(b"data: %s\n\n" % t for t in texts)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def test_rule_14__a_200_is_looked_at(gateway, mock):
    for option in ("errorbody", "html", "empty", "badjson"):
        for stream in (False, True):
            answer = ask(gateway, option, stream=stream)
            assert answer.status in (500, 502), (option, stream, answer)
            assert answer.json()["error"]["message"]
    before = gateway.metrics_text().body
    answer = ask(gateway, "badevent", stream=True)
    found = rawhttp.events(answer.body)
    assert found[-1] == "[DONE]" and not any("not json" in e for e in found)
    assert gateway.metrics_text().body != before, "counted nowhere"
    # Comments are not progress: first_token is 1 s.
    begin = time.monotonic()
    answer = ask(gateway, "gap=3s", stream=True)
    assert time.monotonic() - begin < 2.5
    assert answer.status == 504 or "error" in json.loads(rawhttp.events(answer.body)[-1])


def test_rule_15__without_a_finish_reason_it_is_not_complete(gateway):
    for option in ("nofinish", "cut@2", "reset@2", "chunks=3,close@900"):
        answer = ask(gateway, option, stream=True)
        found = rawhttp.events(answer.body) if answer.status == 200 else []
        assert answer.status == 502 or "error" in json.loads(found[-1]), option
        assert "[DONE]" not in found, option
        assert not any('"finish_reason":"' in e for e in found), f"{option}: invented"


def test_rule_16__the_first_token_is_content(gateway):
    for option in ("gap=3s", "delay=3s", "drip=30ms", "silent"):
        begin = time.monotonic()
        answer = ask(gateway, option, stream=True)
        took = time.monotonic() - begin
        assert took < 2.5, (option, took)
        assert answer.status == 504 or "error" in json.loads(rawhttp.events(answer.body)[-1]), option


def test_rule_17__providers_are_bounded(gateway, mock, tag):
    assert ask(gateway, "endless-head").status == 502
    assert ask(gateway, "doublelength").status == 502
    assert ask(gateway, "bothlengths").status == 502
    big = ask(gateway, "status=500,errbytes=5000000")
    assert big.status in (500, 502) and len(big.body) < 80_000
    many = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"content-length: 2\r\n\r\n{}"
    mock.tell_raw("rule17", many)
    assert ask(gateway, "raw=rule17").status == 502
    redirect = ask(gateway, "redirect")
    assert redirect.status == 502 and redirect.header("location") is None and b"127.0.0.1:1/" not in redirect.body
    for _ in range(3):
        assert ask(gateway, f"extra,tag={tag}").status == 200
    assert len({r["connection"] for r in mock.log(tag)}) == 3, "used again behind rubbish"


def test_rule_18__a_stale_connection_costs_one_retry(gateway, mock, tag):
    for i in range(5):
        assert ask(gateway, "stale").status == 200
        assert ask(gateway, f"chunks=1,tag={tag}{i}").status == 200
    # Not when an answer had begun, and not twice.
    assert ask(gateway, f"close@40,tag={tag}x").status == 502
    assert len(mock.log(tag + "x")) == 1


def test_rule_21__the_model_upstream_is_the_target(gateway, mock):
    mock.reset()
    assert gateway.post(CHAT, {"model": "gpt-4o-mini", "messages": USER}).status == 200
    assert [r["model"] for r in mock.log() if r["path"] == CHAT] == ["mock"]


@pytest.mark.parametrize("option", ["delay=3s", "silent", "stall@1", "gap=3s"])
def test_rule_22__a_client_that_left_costs_nothing_more(gateway, mock, tag, option):
    stream = option in ("stall@1", "gap=3s")
    c = gateway.connect()
    c.send(chat(tag, data=body_of(tag, "," + option, stream=stream)))
    wait_for(lambda: len(mock.log(tag)) == 1, 3, "the provider is asked")
    begin = time.monotonic()
    c.reset()
    assert mock.one(tag)["ended"] == "client_gone" and time.monotonic() - begin < 1
    time.sleep(0.2)
    assert len(mock.log(tag)) == 1, "asked again for nobody"


def test_rule_24__one_does_not_delay_another(launch, mock, backend, tmp_path):
    """While 30 MB error bodies, events of 2 MB and readers that stopped are under way at one provider, a small
    call of another client to another provider is as quick as ever.
    """
    calm = servers.Mock(tmp_path, "calm")
    url = {"up": mock.port, "calm": calm.port}
    own = launch(
        backend,
        workers=1,
        providers={n: {"type": "openai", "base_url": f"http://127.0.0.1:{p}/v1"} for n, p in url.items()},
    )
    stop = threading.Event()

    def busy(options, stream):
        while not stop.is_set():
            ask(own, options, stream=stream)

    slow = []
    for _ in range(20):
        c = own.connect()
        c.send(chat("slow", data=body_of("slow", ",chunks=100000,size=1000", stream=True)))
        slow.append(c)
    threads = [
        threading.Thread(target=busy, args=a, daemon=True)
        for a in (("status=500,errbytes=30000000", False), ("chunks=2,size=2000000", True))
    ]
    for t in threads:
        t.start()
    took = []
    try:
        for _ in range(30):
            begin = time.monotonic()
            assert own.post(CHAT, {"model": "calm/mock", "messages": USER}).status == 200
            took.append(time.monotonic() - begin)
            time.sleep(0.02)
    finally:
        stop.set()
        for t in threads:
            t.join(20)
        for c in slow:
            c.close()
        calm.stop()
    assert sorted(took)[len(took) // 2] < 0.25 and max(took) < 1.5, sorted(took)[-5:]
