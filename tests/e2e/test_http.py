"""Goal: the HTTP a client may rely on (RFC 9110, 9112), on every kind of listener.

Method: raw sockets; each answer is read strictly.
"""

import json
import socket
import struct
import time

import pytest

import rawhttp
from servers import KEY, free_port, wait_for

CHAT = "/v1/chat/completions"
AUTH = ("authorization", f"Bearer {KEY}")
JSON = ("content-type", "application/json")


def CONFIG(folder):
    return {
        "listen": [
            {"address": f"127.0.0.1:{free_port()}"},
            {"address": f"[::1]:{free_port(socket.AF_INET6, '::1')}"},
            {"address": f"unix:{folder}/http.sock"},
            {
                "address": f"127.0.0.1:{free_port()}",
                "proxy_protocol": "any",
                "trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"],
            },
            {
                "address": f"127.0.0.1:{free_port()}",
                "trusted_proxies": ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"],
            },
            {"address": f"127.0.0.1:{free_port()}", "proxy_protocol": "v1"},
            {"address": f"127.0.0.1:{free_port()}", "proxy_protocol": "v2"},
        ],
        "cors": {"origins": ["https://app.example", "https://other.example"], "headers": ["X-Custom"]},
        "limits": {"head_timeout": "1s", "body_timeout": "1s", "idle_timeout": "2s"},
        "service_name": "ringway-e2e",
    }


def listener(gateway, index):
    address = gateway.config["listen"][index]["address"]
    if address.startswith("unix:"):
        return address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def chat(tag=None, **more):
    model = f"up/mock:tag={tag}" if tag else "up/mock"
    return json.dumps({"model": model, "messages": [], **more}).encode()


# ---- routes and methods


def test_health(gateway):
    """All health routes and their aliases answer without a key; /health says who and which version."""
    for route in ("/health", "/health/live", "/health/ready", "/healthz", "/livez", "/readyz"):
        answer = gateway.ask("GET", route, key=None)
        assert answer.status == 200 and answer.header("content-type").startswith("application/json"), route
    health = gateway.ask("GET", "/health", key=None).json()
    assert health["status"] == "healthy" and health["service"] == "ringway-e2e" and health["version"]
    assert health["timestamp"].startswith("20")
    assert gateway.ask("GET", "/health/ready", key=None).json()["status"] == "ready"


def test_head_method(gateway):
    """HEAD is GET without the body, with the same Content-Length; the connection goes on."""
    with gateway.connect() as c:
        get = c.ask("GET", "/v1/models", [AUTH])
        head = c.ask("HEAD", "/v1/models", [AUTH])
        assert (head.status, head.header("content-length"), head.body) == (200, str(len(get.body)), b"")
        assert c.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("GET", CHAT, {"POST"}),
        ("DELETE", CHAT, {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("PUT", "/health", {"GET", "HEAD"}),
        ("PATCH", "/v1/embeddings", {"POST"}),
        ("BREW", "/v1/embeddings", {"POST"}),
    ],
)
def test_wrong_method(gateway, method, path, allow):
    """405 with Allow, in the shape of an OpenAI error; the connection goes on."""
    with gateway.connect() as c:
        answer = c.ask(method, path, [AUTH, ("content-length", "0")])
        assert answer.status == 405 and allow <= {m.strip() for m in answer.header("allow").split(",")}
        assert answer.json()["error"]["message"]
        assert c.ask("GET", "/health").status == 200


def test_not_found(gateway):
    """Unknown paths: 404 naming method and path, with and without a key."""
    for path in (
        "/",
        "/v1/nothing",
        "/v1/chat/completionsx",
        "/v1/chat/completions/",
        "/admin",
        "/metrics",
    ):
        answer = gateway.ask("GET", path)
        assert answer.status == 404, path
        assert f"Not found: GET {path}" in answer.json()["error"]["message"]
        assert gateway.ask("GET", path, key=None).status == 404
    assert "GET /v1/nothing" in gateway.ask("GET", "/v1/nothing").json()["error"]["message"]


def test_query_strings_do_not_matter(gateway):
    assert gateway.post(CHAT + "?beta=true&x=%2F", chat()).status == 200


def test_base_path(launch, backend):
    """base_path puts everything for clients below it."""
    own = launch(backend, base_path="/api", wait=False)
    wait_for(lambda: own.alive() and _answers(own, "/api/health"), 10, "ready below /api")
    assert own.post("/api/v1/chat/completions", chat()).status == 200
    assert own.post(CHAT, chat()).status == 404


def _answers(gateway, path):
    try:
        return gateway.ask("GET", path, key=None).status == 200
    except OSError:
        return False


# ---- CORS


def test_cors__preflight(gateway):
    """OPTIONS from an allowed origin: 204 or 200 without a key, with methods, headers (ours and
    configured) and max-age.
    """
    fields = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,x-custom"),
    ]
    answer = gateway.ask("OPTIONS", CHAT, fields, key=None)
    assert answer.status in (200, 204)
    assert answer.header("access-control-allow-origin") == "https://app.example"
    assert {"OPTIONS", "POST", "GET"} <= {
        m.strip() for m in answer.header("access-control-allow-methods").split(",")
    }
    allowed = {h.strip().lower() for h in answer.header("access-control-allow-headers").split(",")}
    assert {
        "content-type",
        "authorization",
        "x-api-key",
        "x-amz-date",
        "x-amz-security-token",
        "x-custom",
    } <= allowed
    assert answer.header("access-control-max-age") == "86400"
    assert "origin" in (answer.header("vary") or "").lower()


def test_cors__origins(gateway):
    """An allowed origin is repeated on every kind of answer; another one gets no Allow-Origin."""
    other = [("origin", "https://other.example")]
    for answer in (
        gateway.post(CHAT, chat(), other),
        gateway.post(CHAT, chat(stream=True), other),
        gateway.ask("GET", "/v1/models", other),
        gateway.post(CHAT, b"{", other),
        gateway.post(CHAT, chat(), other, key="rw-" + "x" * 30),
        gateway.ask("GET", "/v1/nothing", other),
    ):
        assert answer.header("access-control-allow-origin") == "https://other.example", answer
    evil = gateway.post(CHAT, chat(), [("origin", "https://evil.example")])
    assert evil.header("access-control-allow-origin") is None


def test_cors__default_is_any(launch, backend):
    own = launch(backend)
    assert (
        own.post(CHAT, chat(), [("origin", "https://any.example")]).header("access-control-allow-origin")
        == "*"
    )


# ---- connections


def test_keep_alive(gateway):
    """One connection, many requests of all kinds; HTTP/1.1 stays open, `connection: close` ends it."""
    with gateway.connect() as c:
        for _ in range(20):
            assert c.ask("POST", CHAT, [AUTH, JSON], chat()).status == 200
            assert c.ask("GET", "/health").status == 200
            assert rawhttp.events(c.ask("POST", CHAT, [AUTH, JSON], chat(stream=True)).body)[-1] == "[DONE]"
            assert c.ask("POST", CHAT, [JSON], chat()).status == 401
        assert c.ask("GET", "/health", [("connection", "close")]).status == 200
        assert c.is_closed()


def test_http_1_0(gateway):
    """HTTP/1.0: no chunked answer, closed unless keep-alive is asked for."""
    with gateway.connect() as c:
        answer = c.ask("GET", "/health", version="HTTP/1.0", host=None)
        assert answer.status == 200 and answer.header("transfer-encoding") is None and c.is_closed()
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, [AUTH, JSON], chat(stream=True), version="HTTP/1.0"))
        answer = c.answer()
        assert answer.header("transfer-encoding") is None and rawhttp.events(answer.body)[-1] == "[DONE]"
    with gateway.connect() as c:
        keep = [("connection", "keep-alive")]
        assert c.ask("GET", "/health", keep, version="HTTP/1.0").status == 200
        assert c.ask("GET", "/health", keep, version="HTTP/1.0").status == 200


@pytest.mark.parametrize("step", [0, 1, 13])
def test_pipelining(gateway, step):
    """Eight requests at once (slow one first), sent whole or in pieces of any size: eight answers in
    order.
    """
    bodies = [
        json.dumps(
            {"model": f"up/mock:chunks={n},delay={10 * (9 - n)}ms", "messages": [], "stream": n % 2 == 0}
        )
        for n in range(1, 9)
    ]
    data = b"".join(rawhttp.request("POST", CHAT, [AUTH, JSON], b.encode()) for b in bodies)
    with gateway.connect() as c:
        if step:
            for i in range(0, len(data), step):
                c.send(data[i : i + step])
        else:
            c.send(data)
        for n in range(1, 9):
            answer = c.answer()
            if n % 2 == 0:
                texts = [
                    json.loads(e)["choices"][0]["delta"].get("content")
                    for e in rawhttp.events(answer.body)[:-1]
                ]
                assert [t for t in texts if t] == [f"t{k} " for k in range(n)]
            else:
                assert answer.json()["choices"][0]["message"]["content"] == "".join(
                    f"t{k} " for k in range(n)
                )


def test_split_at_every_byte(gateway, mock, tag):
    """One request sent in two parts, split at each byte in turn on one connection: always the same answer."""
    data = rawhttp.request("POST", CHAT, [AUTH, JSON], chat(tag))
    with gateway.connect(timeout=20) as c:
        for at in range(1, len(data)):
            c.send(data[:at])
            time.sleep(0.0005)
            c.send(data[at:])
            answer = c.answer()
            assert (
                answer.status == 200
                and answer.json()["choices"][0]["message"]["content"] == "t0 t1 t2 t3 t4 "
            ), at
    assert len({r["body_sha256"] for r in mock.log(tag)}) == 1


def test_byte_by_byte(gateway):
    data = rawhttp.request("POST", CHAT, [AUTH, JSON], chat())
    with gateway.connect() as c:
        for i in range(len(data)):
            c.send(data[i : i + 1])
        assert c.answer().status == 200


def test_expect_continue(gateway, mock, tag):
    """100 is sent when the body is wanted; without waiting for it the answer is the same; refused
    requests get no 100.
    """
    body = chat(tag)
    fields = [AUTH, JSON, ("expect", "100-continue"), ("content-length", str(len(body)))]
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, fields))
        assert c.head().status == 100
        c.send(body)
        assert c.answer().status == 200
        c.send(rawhttp.request("POST", CHAT, fields) + body)
        assert c.answer().status == 200
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, fields[1:]))
        assert c.head().status == 401
    with gateway.connect() as c:
        big = [AUTH, JSON, ("expect", "100-continue"), ("content-length", str(1 << 40))]
        c.send(rawhttp.request("POST", CHAT, big))
        assert c.head().status == 413
    with gateway.connect() as c:
        c.send(
            rawhttp.request(
                "POST", CHAT, [AUTH, JSON, ("expect", "200-ok"), ("content-length", str(len(body)))]
            )
        )
        assert c.head().status == 417
    with gateway.connect() as c:
        c.send(rawhttp.request("POST", CHAT, fields, version="HTTP/1.0") + body)
        assert c.head().status == 200  # HTTP/1.0 knows no 100
    assert all("expect" not in {n.lower() for n, _ in r["headers"]} for r in mock.log(tag))


def test_refused_body_is_not_read_as_a_request(gateway, mock, tag):
    """A 401 or 404 whose body looks like a request: the body is skipped, the next request on the
    connection is the right one.
    """
    inner = rawhttp.request("POST", CHAT, [AUTH, JSON], chat(tag))
    for target, fields, status in ((CHAT, [JSON], 401), ("/v1/nothing", [AUTH], 404), ("/health", [], 405)):
        with gateway.connect() as c:
            answer = c.ask("POST", target, fields, inner)
            assert answer.status == status
            if not answer.closes:
                assert c.ask("GET", "/v1/models", [AUTH]).json()["object"] == "list"
    assert mock.log(tag) == []


def test_get_with_a_body(gateway, mock, tag):
    """A body on GET is skipped, never read as the next request."""
    inner = rawhttp.request("POST", CHAT, [AUTH, JSON], chat(tag))
    with gateway.connect() as c:
        answer = c.ask("GET", "/v1/models", [AUTH], inner)
        assert answer.status in (200, 400)
        if not answer.closes:
            assert c.ask("GET", "/health").json()["status"] == "healthy"
    assert mock.log(tag) == []


def test_absolute_form(gateway):
    """http://host/path is accepted."""
    with gateway.connect() as c:
        assert c.ask("GET", "http://gateway.test/health").status == 200
        assert c.ask("GET", "HTTP://gateway.test:80/health?x=1").status == 200


def test_chunked_answers_are_framed_right(gateway):
    """Streams to HTTP/1.1 clients are chunked, without a Content-Length, uncached and with the right type."""
    answer = gateway.post(CHAT, chat(stream=True))
    assert answer.header("transfer-encoding") == "chunked" and answer.header("content-length") is None
    assert answer.header("content-type").split(";")[0] == "text/event-stream"


def test_time_limits(gateway):
    """Half a head: 408 or a close after head_timeout; half a body: 408 after body_timeout; idle: a
    plain close after idle_timeout.
    """
    start = time.monotonic()
    half_head, half_body, idle, dripping = (gateway.connect() for _ in range(4))
    half_head.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
    half_body.send(rawhttp.request("POST", CHAT, [AUTH, JSON, ("content-length", "1000")]) + b"{")
    assert idle.ask("GET", "/health").status == 200
    body = chat()
    dripping.send(rawhttp.request("POST", CHAT, [AUTH, JSON, ("content-length", "10000")]))
    for byte in body[:25]:
        time.sleep(0.1)
        if not dripping.send_some(bytes([byte])):
            break
    assert half_head.answer().status == 408
    assert half_body.answer().status == 408
    # The limit of a whole body is a total, not an idle time: dripping does not help.
    assert dripping.answer().status == 408
    assert idle.is_closed(5)
    assert time.monotonic() - start < 8
    for c in (half_head, half_body, idle, dripping):
        c.close()


def test_upgrade_and_h2(gateway):
    """WebSocket: 501; HTTP/2's cleartext preface: 505 with a text naming the mend; h2c upgrade headers
    are ignored.
    """
    websocket = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
    assert gateway.ask("GET", "/v1/models", websocket).status == 501
    with gateway.connect() as c:
        c.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        refused = c.answer()
        assert refused.status == 505 and b"HTTP/1.1" in refused.body and c.is_closed()
    h2c = [
        ("upgrade", "h2c"),
        ("connection", "Upgrade, HTTP2-Settings"),
        ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
    ]
    assert gateway.ask("GET", "/health", h2c, key=None).status == 200


# ---- listeners and client addresses


def served(gateway, address, tag, prefix=b"", fields=()):
    """The client address that the access log has for a request over this listener."""
    with rawhttp.Connection(address) as c:
        c.send(prefix)
        answer = c.ask("POST", CHAT, [AUTH, JSON, *fields], chat(tag))
        assert answer.status == 200
    return gateway.access_line(answer.header("x-request-id")).get("client")


def test_listener__ipv4_ipv6_unix(gateway, tag):
    assert served(gateway, listener(gateway, 0), tag) == "127.0.0.1"
    assert served(gateway, listener(gateway, 1), tag) == "::1"
    served(gateway, listener(gateway, 2), tag)


def test_forwarded_for__only_from_trusted(gateway, tag):
    """The right-most address that is not a trusted proxy is the client; an untrusted peer's field says
    nothing.
    """
    forged = [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1")]
    assert served(gateway, listener(gateway, 0), tag, fields=forged) == "127.0.0.1"
    trusted = listener(gateway, 4)
    assert served(gateway, trusted, tag, fields=forged) == "203.0.113.9"
    assert served(gateway, trusted, tag) == "127.0.0.1"
    two = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "2001:db8::1,198.51.100.7 , 2001:db8::2")]
    assert served(gateway, trusted, tag, fields=two) == "198.51.100.7"
    broken = [("x-forwarded-for", "not an address")]
    assert served(gateway, trusted, tag, fields=broken) == "127.0.0.1"


def proxy_v2(command, source=None):
    head = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command])
    if source is None:
        return head + b"\0\0\0"
    host, port = source
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = "::1" if ":" in host else "127.0.0.1"
    body = socket.inet_pton(family, host) + socket.inet_pton(family, end) + struct.pack(">HH", port, 8080)
    body += b"\x04\x00\x03abc"  # a TLV that nobody knows
    return head + bytes([0x21 if ":" in host else 0x11]) + struct.pack(">H", len(body)) + body


def test_proxy_protocol__v1_and_v2(gateway, tag):
    """The address of the header is the client's; LOCAL and UNKNOWN leave the peer's; IPv6 and TLVs too."""
    either, v1, v2 = (listener(gateway, i) for i in (3, 5, 6))
    line = b"PROXY TCP4 203.0.113.5 127.0.0.1 4711 8080\r\n"
    assert served(gateway, either, tag, line) == "203.0.113.5"
    assert served(gateway, v1, tag, line) == "203.0.113.5"
    assert served(gateway, v1, tag, b"PROXY TCP6 2001:db8::5 ::1 4711 8080\r\n") == "2001:db8::5"
    assert served(gateway, v1, tag, b"PROXY UNKNOWN\r\n") == "127.0.0.1"
    assert served(gateway, either, tag, proxy_v2(1, ("203.0.113.6", 4711))) == "203.0.113.6"
    assert served(gateway, v2, tag, proxy_v2(1, ("2001:db8::6", 4711))) == "2001:db8::6"
    assert served(gateway, v2, tag, proxy_v2(0)) == "127.0.0.1"


def test_proxy_protocol__in_pieces(gateway, tag):
    """The header may arrive byte by byte."""
    with rawhttp.Connection(listener(gateway, 6)) as c:
        for byte in proxy_v2(1, ("203.0.113.7", 1)):
            c.send(bytes([byte]))
        answer = c.ask("POST", CHAT, [AUTH, JSON], chat(tag))
    assert gateway.access_line(answer.header("x-request-id"))["client"] == "203.0.113.7"


@pytest.mark.parametrize(
    "index, prefix",
    [
        (5, b""),
        (6, b""),
        (5, b"PROXY TCP4 1.2.3 127.0.0.1 1 2\r\n"),
        (5, b"PROXY TCP4 " + b"1" * 120),
        (5, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)),
        (6, b"PROXY TCP4 203.0.113.5 127.0.0.1 4711 8080\r\n"),
        (6, b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + bytes(12)),
    ],
)
def test_proxy_protocol__missing_or_bad(gateway, index, prefix):
    """Without a good header a connection is closed unserved: nobody can pretend to have come through
    the proxy.
    """
    with rawhttp.Connection(listener(gateway, index)) as c:
        c.send_some(prefix + rawhttp.request("GET", "/v1/models", [AUTH]))
        assert not c.to_end().startswith(b"HTTP/1.1 200")


def test_two_workers_share_the_listeners(gateway):
    """40 connections at once are all served (each worker accepts from its own listener or is handed
    connections).
    """
    clients = [gateway.connect() for _ in range(40)]
    for c in clients:
        c.send(rawhttp.request("GET", "/v1/models", [AUTH]))
    assert [c.answer().status for c in clients] == [200] * 40
    for c in clients:
        c.close()


def test_connection_limit(launch, backend):
    """limits.connections: those beyond wait in the kernel's queue and are served when others leave."""
    own = launch(backend, limits={"connections": 10}, workers=1)
    first = [own.connect() for _ in range(10)]
    for c in first:
        assert c.ask("GET", "/health").status == 200
    late = own.connect(timeout=5)
    late.send(rawhttp.request("GET", "/health"))
    time.sleep(0.3)
    for c in first:
        c.close()
    assert late.answer().status in (200, 503)
    late.close()
