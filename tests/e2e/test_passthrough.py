"""Goal: what the gateway does not have to change, it does not change; of the headers only a list crosses.

Method: raw requests; the mock's log holds the bytes and headers that arrived at the provider, raw
answers those that came back.
"""

import base64
import hashlib
import json

import pytest

import rawhttp
from servers import KEY, UPSTREAM_KEY

CHAT = "/v1/chat/completions"
USAGE_ASKED = b'"stream_options":{"include_usage":true}'


def arrived(mock, tag):
    entry = mock.one(tag)
    assert entry["body_complete"]
    return base64.b64decode(entry["body"])


def headers_of(entry):
    return {name.lower(): value for name, value in entry["headers"]}


ODD_BODIES = {
    "spaces": b' {\r\n\t"model" :  "MODEL" ,\n "messages":[ {"role":"user","content":"a"} ] } \r\n',
    "numbers": b'{"seed":12345678901234567890,"x":1.0,"y":1E+2,"z":-0,"t":0.10,"model":"MODEL","messages":[]}',
    "escapes": b'{"messages":[{"content":"\\u00e9\\/\\ud83d\\ude00\\n\\"\\\\"}],"mo\\u0064el":"MODEL"}',
    "unknown fields": b'{"model":"MODEL","future":{"a":[1,{"b":null}],"model":"inner"},"messages":[],"z":[]}',
    "duplicates": b'{"x":1,"model":"MODEL","x":2,"messages":[{"content":"a"}],"x":{"x":3,"x":4}}',
    "model last": b'{"messages":[{"role":"user","content":"{\\"model\\":\\"fake\\"}"}],"model":"MODEL"}',
    "utf-8": '{"model":"MODEL","messages":[{"content":"Grüße ☀️ 😀"}],"ключ":"значение"}'.encode(),
    "nulls": b'{"model":"MODEL","stream":null,"stream_options":null,"n":null,"messages":[{"content":null}]}',
    "not streaming": b'{"model":"MODEL","stream":false,"messages":[{"content":"a"}]}',
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_body__byte_for_byte(gateway, mock, tag, name):
    """Only the value of `model` differs between what the client sent and what the provider got."""
    ours, theirs = f"up/mock:tag={tag}".encode(), f"mock:tag={tag}".encode()
    answer = gateway.post(CHAT, ODD_BODIES[name].replace(b"MODEL", ours))
    assert answer.status == 200, answer
    assert arrived(mock, tag) == ODD_BODIES[name].replace(b"MODEL", theirs)


def test_body__model_in_escapes(gateway, mock, tag):
    """A model name written with escapes is understood and replaced."""
    body = b'{"model":"up\\/mock\\u003atag=%s","messages":[]}' % tag.encode()
    assert gateway.post(CHAT, body).status == 200
    assert json.loads(arrived(mock, tag)) == {"model": f"mock:tag={tag}", "messages": []}


@pytest.mark.parametrize("size", [1_000, 20_000, 70_000, 300_000, 5_000_000])
def test_body__any_size(gateway, mock, tag, size):
    """Bodies within one receive buffer and far beyond arrive whole (hash over the expected bytes)."""
    text = ("é\\n" * size)[:size].rstrip("\\").encode()
    shape = b'{"model":"%s","messages":[{"role":"user","content":"%s"}]}'
    answer = gateway.post(CHAT, shape % (b"up/mock:tag=" + tag.encode(), text))
    assert answer.status == 200, answer
    entry, wanted = mock.one(tag), shape % (b"mock:tag=" + tag.encode(), text)
    assert (entry["body_length"], entry["body_sha256"]) == (len(wanted), hashlib.sha256(wanted).hexdigest())


def test_body__chunked_from_the_client(gateway, mock, tag):
    """A chunked request body in odd pieces, with trailers, is the same body to the provider."""
    body = b'{"model":"up/mock:tag=%s","messages":[{"role":"user","content":"chunked"}]}' % tag.encode()
    parts = [body[:1], body[1:17], body[17:18], body[18:]]
    fields = [
        ("authorization", f"Bearer {KEY}"),
        ("content-type", "application/json"),
        ("transfer-encoding", "chunked"),
    ]
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, fields))
        for piece in parts:
            c.send(b"%x;ext=1\r\n" % len(piece))
            c.send(piece + b"\r\n")
        c.send(b"0\r\nx-trailer: 1\r\n\r\n")
        assert c.answer().status == 200
    assert arrived(mock, tag) == body.replace(b"up/mock", b"mock")
    assert "x-trailer" not in headers_of(mock.one(tag))


def test_stream_options__asked_for_upstream(gateway, mock, tag):
    """A stream without stream_options: include_usage is added for the provider, everything else is as
    sent.
    """
    body = (
        b'{ "model":"up/mock:tag=%s","stream" : true, "messages":[{"role":"user","content":"a"}], "n":1 }'
        % tag.encode()
    )
    answer = gateway.post(CHAT, body)
    assert answer.status == 200
    got = arrived(mock, tag)
    assert got.count(USAGE_ASKED) == 1
    rest = [got.replace(b"," + USAGE_ASKED, b""), got.replace(USAGE_ASKED + b",", b"")]
    assert body.replace(b"up/mock", b"mock") in rest, got


@pytest.mark.parametrize(
    "options, wanted",
    [
        (b'{"include_obfuscation":false}', {"include_obfuscation": False, "include_usage": True}),
        (b'{ "include_usage" : false , "x":[1] }', {"include_usage": True, "x": [1]}),
        (b"{}", {"include_usage": True}),
        (b"null", {"include_usage": True}),
    ],
)
def test_stream_options__edited(gateway, mock, tag, options, wanted):
    """stream_options that do not ask for usage are edited so that they do; the other members stay; no
    usage for the client.
    """
    body = b'{"model":"up/mock:tag=%s","stream_options":%s,"stream":true,"messages":[],"z":1.50}' % (
        tag.encode(),
        options,
    )
    answer = gateway.post(CHAT, body)
    assert answer.status == 200, answer
    got = arrived(mock, tag)
    assert json.loads(got)["stream_options"] == wanted and got.endswith(
        b',"stream":true,"messages":[],"z":1.50}'
    )
    assert all(json.loads(e)["choices"] for e in rawhttp.events(answer.body) if e != "[DONE]")


def test_stream_options__untouched_when_asked(gateway, mock, tag):
    """The client asks for usage itself: its body goes up as it is and the usage chunk comes back."""
    body = (
        b'{"model":"up/mock:tag=%s","stream":true,"stream_options":{ "include_usage":true },"messages":[]}'
        % tag.encode()
    )
    answer = gateway.post(CHAT, body)
    assert arrived(mock, tag) == body.replace(b"up/mock", b"mock")
    usage = [json.loads(e) for e in rawhttp.events(answer.body)[:-1]]
    assert usage[-1]["choices"] == [] and usage[-1]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize("split", [0, 1, 5])
def test_usage_chunk__removed_whatever_the_pieces(gateway, split):
    """The usage chunk that only the gateway asked for never reaches the client, also when it arrives
    byte by byte.
    """
    option = f",split={split}" if split else ""
    answer = gateway.post(CHAT, {"model": f"up/mock:chunks=3{option}", "stream": True, "messages": []})
    found = rawhttp.events(answer.body)
    assert found[-1] == "[DONE]"
    values = [json.loads(e) for e in found[:-1]]
    assert [v["choices"][0]["delta"].get("content") for v in values] == ["", "t0 ", "t1 ", "t2 ", None]
    assert not any(v.get("usage") for v in values)


def test_completions__stream_options_too(gateway, mock, tag):
    """/v1/completions is metered the same way."""
    answer = gateway.post("/v1/completions", {"model": f"up/mock:tag={tag}", "prompt": "a", "stream": True})
    assert json.loads(arrived(mock, tag))["stream_options"] == {"include_usage": True}
    assert all(json.loads(e)["choices"] for e in rawhttp.events(answer.body)[:-1])


def test_answer__bytes_untouched(gateway, mock):
    """An answer that is not streamed comes back byte for byte, the provider's model name and unknown
    fields included.
    """
    odd = (
        b'{ "id":"x", "object":"chat.completion","created":1.0, "model":"real-name-7b","odd":[1,{ }],\n'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"\\u0041"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":1,"completion_tokens":1}} '
    )
    mock.tell_raw(
        "odd",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(odd) + odd,
    )
    answer = gateway.post(CHAT, {"model": "up/mock:raw=odd", "messages": []})
    assert answer.status == 200 and answer.body == odd


@pytest.mark.parametrize("size", [1024, 16384, 262144, 4_000_000])
def test_answer__any_size(gateway, size):
    """Answers of exactly this many bytes arrive with all of them."""
    answer = gateway.post(CHAT, {"model": f"up/mock:bytes={size}", "messages": []})
    assert (
        answer.status == 200
        and len(answer.body) == size
        and json.loads(answer.body)["usage"]["total_tokens"] == 15
    )


def test_headers__up(gateway, mock, tag):
    """Only the allow-list goes up: no client key, cookie, x-stainless, x-forwarded or
    connection-listed field.
    """
    secret = [
        ("cookie", "session=1"),
        ("x-stainless-lang", "python"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "1.2.3.4"),
        ("x-custom", "1"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eDp5"),
        ("keep-alive", "timeout=5"),
        ("accept-encoding", "gzip, deflate"),
        ("x-api-key", KEY),
        ("anthropic-beta", "b1"),
        ("openai-organization", "client-org"),
        ("x-ringway-cache", "bypass"),
    ]
    kept = [
        ("accept", "application/json"),
        ("idempotency-key", "idem-1"),
        ("openai-beta", "assistants=v2"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=1"),
        ("baggage", "k=v"),
    ]
    answer = gateway.post(CHAT, {"model": f"up/mock:tag={tag}", "messages": []}, secret + kept)
    assert answer.status == 200
    entry = mock.one(tag)
    got = headers_of(entry)
    assert len(got) == len(entry["headers"]), "a field twice"
    for name, value in kept:
        if name != "traceparent":
            assert got.get(name) == value, name
    assert got["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert got["authorization"] == f"Bearer {UPSTREAM_KEY}" and got["content-type"] == "application/json"
    assert got["host"] == f"127.0.0.1:{mock.port}"
    assert got.get("accept-encoding", "identity") == "identity"
    for name, _ in secret:
        if name not in ("accept-encoding", "connection", "anthropic-beta"):
            assert name not in got, name
    assert "x-hop" not in got.get("connection", "") and KEY not in json.dumps(entry["headers"])


def test_headers__down(gateway):
    """The provider's cookies, rate limits, server and organisation stay behind; retry hints and timing
    come through.
    """
    answer = gateway.post(
        CHAT,
        {"model": "up/mock:status=429,retry-after=3,retry-after-ms=2500,should-retry=false", "messages": []},
    )
    assert answer.status == 429
    assert answer.header("retry-after") == "3" and answer.header("retry-after-ms") == "2500"
    assert answer.header("x-should-retry") == "false" and answer.header("openai-processing-ms") == "7"
    assert answer.header("x-ringway-upstream-request-id").startswith("mock-") and answer.header(
        "x-request-id"
    )
    names = {n for n, _ in answer.headers}
    assert not names & {
        "set-cookie",
        "openai-organization",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
    }
    assert answer.header("server") != "ringway-mock"


def test_headers__client_request_id(gateway):
    """The client's own x-request-id does not become ours; it is logged as client_request_id."""
    answer = gateway.post(CHAT, {"model": "up/mock", "messages": []}, [("x-request-id", "client-id-1")])
    ours = answer.header("x-request-id")
    assert ours and ours != "client-id-1"
    assert gateway.access_line(ours)["client_request_id"] == "client-id-1"


def test_provider_headers__configured(launch, mock, backend, tag):
    """`headers` of a provider are sent to it; `api_key` absent: no Authorization at all."""
    url = f"http://127.0.0.1:{mock.port}/v1/"
    own = launch(
        backend, providers={"up": {"type": "vllm", "base_url": url, "headers": {"X-Extra": "e1"}}}, models=[]
    )
    assert own.post(CHAT, {"model": f"up/mock:tag={tag}", "messages": []}).status == 200
    got = headers_of(mock.one(tag))
    assert got["x-extra"] == "e1" and "authorization" not in got


def test_response_model__requested(launch, backend):
    """`response_model: requested` puts the name asked for into whole answers and into each chunk."""
    own = launch(backend, response_model="requested")
    whole = own.post(CHAT, {"model": "gpt-4o-mini", "messages": []})
    assert whole.json()["model"] == "gpt-4o-mini"
    stream = own.post(CHAT, {"model": "gpt-4o-mini", "stream": True, "messages": []})
    assert {json.loads(e)["model"] for e in rawhttp.events(stream.body)[:-1]} == {"gpt-4o-mini"}


def test_default_model(launch, mock, backend, tag):
    """default_model serves requests that name none."""
    own = launch(
        backend,
        default_model="gpt-4o-mini",
        models=[
            {"name": "gpt-4o-mini", "targets": [{"provider": "up", "model": f"mock:tag={tag}"}]},
        ],
    )
    assert own.post(CHAT, {"messages": [{"role": "user", "content": "a"}]}).status == 200
    assert json.loads(arrived(mock, tag))["model"] == f"mock:tag={tag}"


def test_key__models_allowed(launch, backend):
    """A key with a list of models: others are 403 or 404, and not in its /v1/models."""
    keys = [
        {"name": "ci", "key": KEY},
        {"name": "few", "key": "rw-few-0123456789abcdef", "models": ["gpt-4o-mini"]},
        {"name": "off", "key": "rw-off-0123456789abcdef", "disabled": True},
    ]
    own = launch(backend, keys=keys)
    assert (
        own.post(CHAT, {"model": "gpt-4o-mini", "messages": []}, key="rw-few-0123456789abcdef").status == 200
    )
    assert own.post(CHAT, {"model": "up/mock", "messages": []}, key="rw-few-0123456789abcdef").status in (
        403,
        404,
    )
    listed = own.ask("GET", "/v1/models", key="rw-few-0123456789abcdef").json()["data"]
    assert [m["id"] for m in listed] == ["gpt-4o-mini"]
    assert (
        own.post(CHAT, {"model": "gpt-4o-mini", "messages": []}, key="rw-off-0123456789abcdef").status == 401
    )
