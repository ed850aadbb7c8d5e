"""Goal: hostile clients get the right refusal and nothing else: one answer in OpenAI's error shape,
closed where the framing is broken, nothing smuggled to the provider, everybody else unharmed,
memory flat.

Method: one table of raw requests. Behind each broken one stands a second,
well-formed request that names a tag; if the gateway reads it as a request, the provider's log shows
it. The table with what was seen is printed at the end of the run.
"""

import json
import time

import pytest

import conftest
import rawhttp
from servers import KEY, sanitised

CHAT = b"/v1/chat/completions"
CONFIG = {
    "limits": {"head_timeout": "3s", "body_timeout": "3s", "idle_timeout": "10s"},
    "timeouts": {"total": "10s"},
}

AUTH = b"authorization: Bearer " + KEY.encode() + b"\r\n"
FIELDS = b"host: gateway.test\r\n" + AUTH + b"content-type: application/json\r\n"


def good_body(tag):
    return b'{"model":"up/mock:tag=%s","messages":[]}' % tag


def second(tag):
    """The request that must not be read as one."""
    body = good_body(tag)
    return b"POST " + CHAT + b" HTTP/1.1\r\n" + FIELDS + b"content-length: %d\r\n\r\n" % len(body) + body


def head(*lines, fields=FIELDS):
    """A chat request's head with these further lines."""
    return b"POST " + CHAT + b" HTTP/1.1\r\n" + fields + b"".join(l + b"\r\n" for l in lines) + b"\r\n"


def lengths(*lines, body=None):
    def make(tag):
        data = good_body(tag) if body is None else body
        return head(*[l.replace(b"N", b"%d" % len(data)) for l in lines]) + data + second(tag)

    return make


def coded(coding, body=None):
    """A chunked body under this Transfer-Encoding line."""

    def make(tag):
        data = good_body(tag) if body is None else body
        return head(coding) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) + second(tag)

    return make


def chunks(pattern):
    """A chunked body written by hand: SIZE and BODY are put in."""

    def make(tag):
        data = good_body(tag)
        written = pattern.replace(b"SIZE", b"%x" % len(data)).replace(b"BODY", data)
        return head(b"transfer-encoding: chunked") + written + second(tag)

    return make


def line(text):
    """A further line in an otherwise good head."""
    return lengths(b"content-length: N", text)


def start(text, fields=FIELDS):
    """Another request line."""

    def make(tag):
        data = good_body(tag)
        return text + fields + b"content-length: %d\r\n\r\n" % len(data) + data + second(tag)

    return make


# Framing and heads: one answer with this status, then the connection is closed.
REFUSED = {
    # -- which length?
    "CL and TE": (400, lengths(b"content-length: N", b"transfer-encoding: chunked")),
    "TE and CL": (400, lengths(b"transfer-encoding: chunked", b"content-length: N")),
    "CL 0 and TE": (400, lengths(b"content-length: 0", b"transfer-encoding: chunked")),
    "two CL, equal": (400, lengths(b"content-length: N", b"content-length: N")),
    "two CL, different": (400, lengths(b"content-length: N", b"content-length: 1")),
    "CL list": (400, lengths(b"content-length: N, N")),
    "CL signed": (400, lengths(b"content-length: +N")),
    "CL negative": (400, lengths(b"content-length: -1")),
    "CL hex": (400, lengths(b"content-length: 0x2a")),
    "CL overflow": (400, lengths(b"content-length: 18446744073709551658")),
    "CL 2^64": (400, lengths(b"content-length: 18446744073709551616")),
    "CL a hundred digits": (400, lengths(b"content-length: " + b"9" * 100)),
    "CL empty": (400, lengths(b"content-length:")),
    "CL with a space inside": (400, lengths(b"content-length: 4 2")),
    "CL with text": (400, lengths(b"content-length: 42abc")),
    "CL quoted": (400, lengths(b'content-length: "42"')),
    "CL decimal point": (400, lengths(b"content-length: 42.0")),
    "CL underscore": (400, lengths(b"content-length: 4_2")),
    # -- transfer codings
    "TE gzip, chunked": (400, coded(b"transfer-encoding: gzip, chunked")),
    "TE chunked, identity": (400, coded(b"transfer-encoding: chunked, identity")),
    "TE chunked, chunked": (400, coded(b"transfer-encoding: chunked, chunked")),
    "TE identity": (400, coded(b"transfer-encoding: identity")),
    "TE xchunked": (400, coded(b"transfer-encoding: xchunked")),
    "TE chunked;q=1": (400, coded(b"transfer-encoding: chunked;q=1")),
    "TE quoted": (400, coded(b'transfer-encoding: "chunked"')),
    "TE with a vertical tab": (400, coded(b"transfer-encoding: \x0bchunked")),
    "TE space before the colon": (400, coded(b"transfer-encoding : chunked")),
    "TE twice": (
        400,
        lambda tag: head(b"transfer-encoding: chunked", b"transfer-encoding: chunked")
        + b"0\r\n\r\n"
        + second(tag),
    ),
    "TE twice, one other": (
        400,
        lambda tag: head(b"transfer-encoding: identity", b"transfer-encoding: chunked")
        + b"0\r\n\r\n"
        + second(tag),
    ),
    "TE on a folded line": (400, coded(b"transfer-encoding:\r\n chunked")),
    "TE empty": (400, coded(b"transfer-encoding:")),
    "TE in HTTP/1.0": (
        400,
        lambda tag: coded(b"transfer-encoding: chunked")(tag).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    ),
    # -- chunks
    "chunk size signed": (400, chunks(b"+SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size negative": (400, chunks(b"-SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size 0x": (400, chunks(b"0xSIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size underscore": (400, chunks(b"0_SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size after a space": (400, chunks(b" SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size empty": (400, chunks(b"\r\nBODY\r\n0\r\n\r\n")),
    "chunk size only an extension": (400, chunks(b";a=b\r\nBODY\r\n0\r\n\r\n")),
    "chunk size wraps 2^64": (400, chunks(b"1000000000000000SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size wraps 2^32": ({400, 408, 413}, chunks(b"1000000SIZE\r\nBODY\r\n0\r\n\r\n")),
    "chunk size with NUL": (400, chunks(b"SIZE\0\r\nBODY\r\n0\r\n\r\n")),
    "chunk line ends with LF": (400, chunks(b"SIZE\nBODY\r\n0\r\n\r\n")),
    "chunk data ends with LF": (400, chunks(b"SIZE\r\nBODY\n0\r\n\r\n")),
    "chunk data too long": (400, chunks(b"SIZE\r\nBODYx\r\n0\r\n\r\n")),
    "chunk line ends with CR": (400, chunks(b"SIZE\rBODY\r\n0\r\n\r\n")),
    "last chunk with LF": (400, chunks(b"SIZE\r\nBODY\r\n0\n\r\n")),
    "end with LF": (400, chunks(b"SIZE\r\nBODY\r\n0\r\n\n")),
    "chunk extension with LF": (400, chunks(b"SIZE;a=\nb\r\nBODY\r\n0\r\n\r\n")),
    "chunk extensions without end": (400, chunks(b"SIZE;a=" + b"b" * 20000 + b"\r\nBODY\r\n0\r\n\r\n")),
    "trailer with a space before the colon": (400, chunks(b"SIZE\r\nBODY\r\n0\r\nx : 1\r\n\r\n")),
    "trailer folded": (400, chunks(b"SIZE\r\nBODY\r\n0\r\nx: 1\r\n y\r\n\r\n")),
    "trailers without end": ({400, 431}, chunks(b"SIZE\r\nBODY\r\n0\r\n" + b"x: 1\r\n" * 20000 + b"\r\n")),
    # -- lines and bytes of the head
    "bare LF everywhere": (
        400,
        lambda tag: start(b"POST %s HTTP/1.1\r\n" % CHAT)(tag).replace(b"\r\n", b"\n"),
    ),
    "bare LF after the request line": (400, start(b"POST %s HTTP/1.1\n" % CHAT)),
    "bare LF in a field": (400, line(b"x-a: b\nx-c: d")),
    "bare CR in a field": (400, line(b"x-a: b\rc")),
    "CR CR LF": (400, line(b"x-a: b\r")),
    "obs-fold": (400, line(b"x-a: b\r\n c")),
    "obs-fold by a tab": (400, line(b"x-a: b\r\n\tc")),
    "fold before the first field": (400, start(b"POST %s HTTP/1.1\r\n x: y\r\n" % CHAT)),
    "NUL in a value": (400, line(b"x-a: b\0c")),
    "NUL in a name": (400, line(b"x-\0a: b")),
    "control byte in a value": (400, line(b"x-a: b\x01c")),
    "DEL in a value": (400, line(b"x-a: b\x7fc")),
    "space before the colon": (400, line(b"x-a : b")),
    "space in a name": (400, line(b"x a: b")),
    "empty name": (400, line(b": b")),
    "no colon": (400, line(b"x-a")),
    "non-ASCII in a name": (400, line("x-ä: b".encode())),
    "NUL in the target": (400, start(b"POST /v1/chat\0 HTTP/1.1\r\n")),
    "space in the target": (400, start(b"POST /v1/chat/ completions HTTP/1.1\r\n")),
    "two spaces in the request line": (400, start(b"POST  %s HTTP/1.1\r\n" % CHAT)),
    "tab in the request line": (400, start(b"POST\t%s HTTP/1.1\r\n" % CHAT)),
    "method with a bracket": (400, start(b"PO(ST %s HTTP/1.1\r\n" % CHAT)),
    "target without a slash": (400, start(b"POST v1/chat/completions HTTP/1.1\r\n")),
    "empty lines without end": (400, lambda tag: b"\r\n" * 100 + second(tag)),
    # -- versions
    "HTTP/0.9": (400, lambda tag: b"GET /v1/models\r\n" + second(tag)),
    "HTTP/1.10": (400, start(b"POST %s HTTP/1.10\r\n" % CHAT)),
    "HTTP/1": (400, start(b"POST %s HTTP/1\r\n" % CHAT)),
    "HTTP/11": (400, start(b"POST %s HTTP/11\r\n" % CHAT)),
    "http/1.1 in lower case": (400, start(b"POST %s http/1.1\r\n" % CHAT)),
    "HTTP/2.0": (505, start(b"POST %s HTTP/2.0\r\n" % CHAT)),
    "HTTP/3.7": (505, start(b"POST %s HTTP/3.7\r\n" % CHAT)),
    "HTTP/2 preface": (505, lambda tag: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + second(tag)),
    "a TLS hello": (400, lambda tag: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    "random bytes": (400, lambda tag: bytes((i * 7919 + 13) & 255 | 0x80 for i in range(500))),
    # -- host and target forms
    "no Host": (400, start(b"POST %s HTTP/1.1\r\n" % CHAT, FIELDS.replace(b"host: gateway.test\r\n", b""))),
    "two Hosts": (400, line(b"host: other.test")),
    "two equal Hosts": (400, line(b"host: gateway.test")),
    "Host with a path": (400, start(b"POST %s HTTP/1.1\r\n" % CHAT, FIELDS.replace(b"gateway.test", b"a/b"))),
    "Host with userinfo": (
        400,
        start(b"POST %s HTTP/1.1\r\n" % CHAT, FIELDS.replace(b"gateway.test", b"a@b")),
    ),
    "Host with a space": (
        400,
        start(b"POST %s HTTP/1.1\r\n" % CHAT, FIELDS.replace(b"gateway.test", b"a b")),
    ),
    "Host with two ports": (
        400,
        start(b"POST %s HTTP/1.1\r\n" % CHAT, FIELDS.replace(b"gateway.test", b"a:1:2")),
    ),
    "absolute form with userinfo": (400, start(b"POST http://a@gateway.test%s HTTP/1.1\r\n" % CHAT)),
    "absolute form without a host": (400, start(b"POST http://%s HTTP/1.1\r\n" % CHAT)),
    "absolute form of another scheme": (400, start(b"POST ftp://gateway.test%s HTTP/1.1\r\n" % CHAT)),
    "authority form": ({400, 405}, start(b"CONNECT gateway.test:443 HTTP/1.1\r\n")),
    "authority form by GET": (400, start(b"GET gateway.test:443 HTTP/1.1\r\n")),
    "asterisk by POST": (400, start(b"POST * HTTP/1.1\r\n")),
    "two Authorization fields": ({400, 401}, line(b"authorization: Bearer rw-another-key-0123456789")),
    # -- sizes
    "head of 1 MiB": (431, line(b"x-a: " + b"b" * 1048576)),
    "10,000 fields": (431, line(b"\r\n".join(b"x-%d: y" % i for i in range(10000)))),
    "500 small fields": (431, line(b"\r\n".join(b"x: y" for _ in range(500)))),
    "target of 30 KB": ({414, 431}, start(b"POST %s?%s HTTP/1.1\r\n" % (CHAT, b"a" * 30000))),
    "endless method": ({400, 431}, lambda tag: b"A" * 100000),
    "64 MiB body": (413, lambda tag: head(b"content-length: 67108864") + b"x" * 100000),
    "a body of 2^62": (413, lambda tag: head(b"content-length: 4611686018427387904") + b"x" * 1000),
    "64 MiB body in chunks": (
        413,
        lambda tag: head(b"transfer-encoding: chunked")
        + b"".join(b"100000\r\n%s\r\n" % (b" " * 1048576) for _ in range(40)),
    ),
    "unknown expectation": (417, lengths(b"content-length: N", b"expect: magic")),
    # -- time (limits.head_timeout and limits.body_timeout are 3 s here: 40 MiB must arrive before)
    "half a head, then silence": (408, lambda tag: head()[:60]),
    "half a body, then silence": (408, lambda tag: head(b"content-length: 100") + b"{"),
    "a chunk, then silence": (408, lambda tag: head(b"transfer-encoding: chunked") + b"1\r\n{\r\n"),
}


def accepted_line(text):
    return lambda tag: head(b"content-length: %d" % len(good_body(tag)), text) + good_body(tag)


# Odd, but right: one 200, and the connection goes on.
ACCEPTED = {
    "tabs and spaces around a value": accepted_line(b"x-a: \t b \t "),
    "empty value": accepted_line(b"x-a:"),
    "high bytes in a value": accepted_line("x-a: ä€".encode()),
    "header names in capitals": lambda tag: second(tag)
    .replace(b"content-length", b"CONTENT-LENGTH")
    .replace(b"host", b"HOST"),
    "leading zeros in CL": lambda tag: second(tag).replace(b"content-length: ", b"content-length: 000"),
    "one empty line before": lambda tag: b"\r\n" + second(tag),
    "absolute form": lambda tag: second(tag).replace(b"POST /", b"POST http://gateway.test/"),
    "Host with a port": lambda tag: second(tag).replace(b"gateway.test", b"gateway.test:8080"),
    "Host IPv6": lambda tag: second(tag).replace(b"gateway.test", b"[::1]:8080"),
    "chunks with extensions and trailers": lambda tag: head(b"transfer-encoding: chunked")
    + b"1;a=b\r\n{\r\n%X;c\r\n%s\r\n000\r\nx-t: 1\r\n\r\n" % (len(good_body(tag)) - 1, good_body(tag)[1:]),
    "TE in capitals": lambda tag: head(b"transfer-encoding: Chunked")
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(good_body(tag)), good_body(tag)),
    "one-byte chunks": lambda tag: head(b"transfer-encoding: chunked")
    + b"".join(b"1\r\n%c\r\n" % b for b in good_body(tag))
    + b"0\r\n\r\n",
    "100 fields": accepted_line(b"\r\n".join(b"x-%d: y" % i for i in range(100))),
    "connection names a field": accepted_line(b"connection: keep-alive, x-hop\r\nx-hop: 1"),
}

DEEP = 10_000

# Whole requests with bodies that are not what they should be: this status, in OpenAI's shape; the
# connection goes on or is closed.
BODIES = {
    "empty body": (400, b""),
    "not JSON": (400, b"hello"),
    "half an object": (400, b'{"model":"M"'),
    "trailing bytes": (400, b'{"model":"M","messages":[]} x'),
    "two objects": (400, b'{"model":"M","messages":[]}{"model":"M","messages":[]}'),
    "a BOM": (400, b'\xef\xbb\xbf{"model":"M","messages":[]}'),
    "UTF-16": (400, '{"model":"M","messages":[]}'.encode("utf-16")),
    "an array": (400, b'[{"model":"M"}]'),
    "a string": (400, b'"model"'),
    "null": (400, b"null"),
    "NaN": (400, b'{"model":"M","messages":[],"x":NaN}'),
    "Infinity": (400, b'{"model":"M","messages":[],"x":-Infinity}'),
    "leading zero": (400, b'{"model":"M","messages":[],"x":01}'),
    "a number with a plus": (400, b'{"model":"M","messages":[],"x":+1}'),
    "a comment": (400, b'{"model":"M",/* */"messages":[]}'),
    "trailing comma": (400, b'{"model":"M","messages":[],}'),
    "single quotes": (400, b"{'model':'M','messages':[]}"),
    "unquoted key": (400, b'{model:"M","messages":[]}'),
    "raw newline in a string": (400, b'{"model":"M","messages":[],"x":"a\nb"}'),
    "raw NUL in a string": (400, b'{"model":"M","messages":[],"x":"a\0b"}'),
    "NUL after the object": (400, b'{"model":"M","messages":[]}\0'),
    "bad escape": (400, b'{"model":"M","messages":[],"x":"\\q"}'),
    "short \\u": (400, b'{"model":"M","messages":[],"x":"\\u12"}'),
    "invalid UTF-8": (400, b'{"model":"M","messages":[],"x":"\xff\xfe"}'),
    "overlong UTF-8": (400, b'{"model":"M","messages":[],"x":"\xc0\xaf"}'),
    "UTF-8 surrogate": (400, b'{"model":"M","messages":[],"x":"\xed\xa0\x80"}'),
    "cut UTF-8": (400, b'{"model":"M","messages":[],"x":"\xe2\x82"}'),
    "lone surrogate escape": ({200, 400}, b'{"model":"M","messages":[],"x":"\\ud800"}'),
    "lone surrogate in the model": ({400, 404}, b'{"model":"\\udc00","messages":[]}'),
    "10,000 deep arrays": (400, b'{"model":"M","messages":[],"x":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "10,000 deep objects": (
        400,
        b'{"model":"M","messages":[],"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    ),
    "10,000 open brackets": (400, b"[" * DEEP),
    "a number of 10,000 digits": (200, b'{"model":"M","messages":[],"x":' + b"9" * DEEP + b"}"),
    "an exponent of 10,000 digits": (200, b'{"model":"M","messages":[],"x":1e' + b"9" * DEEP + b"}"),
    "100,000 keys": (
        200,
        b'{"model":"M","messages":[]' + b"".join(b',"k%d":1' % i for i in range(100_000)) + b"}",
    ),
    "model twice": (400, b'{"model":"M","messages":[],"model":"M"}'),
    "model twice, one escaped": (400, b'{"model":"M","messages":[],"mod\\u0065l":"M"}'),
    "model escaped": (200, b'{"\\u006dod\\u0065l":"M","messages":[]}'),
    "stream twice": (400, b'{"model":"M","stream":false,"messages":[],"stream":true}'),
    "stream_options twice": (
        400,
        b'{"model":"M","stream":true,"stream_options":{},"messages":[],"stream_options":{}}',
    ),
    "include_usage twice": (
        400,
        b'{"model":"M","stream":true,"messages":[],"stream_options":'
        b'{"include_usage":true,"include_usage":false}}',
    ),
    "unknown key twice": (200, b'{"model":"M","x":1,"messages":[],"x":2}'),
    "no model": (400, b'{"messages":[]}'),
    "model only inside": (400, b'{"messages":[{"model":"M"}],"x":{"model":"M"}}'),
    "model is a number": (400, b'{"model":1,"messages":[]}'),
    "model is null": (400, b'{"model":null,"messages":[]}'),
    "model is empty": ({400, 404}, b'{"model":"","messages":[]}'),
    "model of 100 KB": ({400, 404}, b'{"model":"' + b"m" * 100_000 + b'","messages":[]}'),
    "model with NUL": ({400, 404}, b'{"model":"a\\u0000b","messages":[]}'),
    "model with a line break": ({400, 404}, b'{"model":"a\\r\\nx-evil: 1","messages":[]}'),
    "a provider's model with a line break": (400, b'{"model":"up/a\\r\\nx-evil: 1","messages":[]}'),
    "a provider's model with a control": (400, b'{"model":"up/a\\u0001b","messages":[]}'),
    "a provider's model with DEL": (400, b'{"model":"up/a\\u007fb","messages":[]}'),
    "stream is a string": (400, b'{"model":"M","stream":"yes","messages":[]}'),
    "stream_options is a list": (400, b'{"model":"M","stream":true,"stream_options":[],"messages":[]}'),
}


def seen_by_provider(mock, tag):
    return mock.log(tag.decode())


def note(name, backend, wanted, seen, good):
    wanted = "|".join(map(str, sorted(wanted)))
    conftest.tables["hostile clients"].append((name, backend, wanted, seen, good))


def worded(answer):
    """An error object with words in it. Where the head is broken nobody knows which dialect the client speaks."""
    error = answer.json()["error"]
    return bool(error["message"] and error["type"])


def openai_error(answer):
    return worded(answer) and set(answer.json()["error"]) >= {"message", "type", "param", "code"}


@pytest.fixture
def btag(tag):
    return tag.encode()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gateway, mock, backend, btag, name):
    """One error of the expected status, in the client's shape, then the end of the connection; nothing
    reaches the provider.
    """
    wanted, make = REFUSED[name]
    wanted = wanted if isinstance(wanted, set) else {wanted}
    seen, good = "nothing", False
    try:
        with gateway.connect(timeout=5) as c:
            c.send_some(make(btag))
            answer = c.answer()
            rest = c.to_end()
        smuggled = len(seen_by_provider(mock, btag))
        seen = f"{answer.status}, " + (f"then {rest[:40]!r}" if rest else "closed")
        seen += f", {smuggled} SMUGGLED" if smuggled else ""
        good = answer.status in wanted and worded(answer) and not rest and not smuggled
        assert good, f"{seen}: {answer}"
    except (TimeoutError, rawhttp.BadAnswer, ConnectionError, ValueError, KeyError) as e:
        seen = f"{type(e).__name__}: {str(e)[:80]}"
        raise
    finally:
        note(name, backend, wanted, seen, good)
    assert gateway.ask("GET", "/health", key=None).status == 200


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(gateway, mock, backend, btag, name):
    """Odd but legal: answered, exactly one request at the provider, the connection goes on."""
    with gateway.connect() as c:
        answer = c.send(ACCEPTED[name](btag)).answer()
        good = answer.status == 200 and len(seen_by_provider(mock, btag)) == 1
        note(name, backend, {200}, str(answer.status), good)
        assert good, answer
        assert c.ask("GET", "/v1/models", [("authorization", f"Bearer {KEY}")]).status == 200


@pytest.mark.parametrize("name", BODIES)
def test_body(gateway, mock, backend, btag, name):
    """Bodies: the expected status in OpenAI's shape; what is refused never reaches the provider; the
    next request is unharmed.
    """
    wanted, body = BODIES[name]
    wanted = wanted if isinstance(wanted, set) else {wanted}
    body = body.replace(b'"M"', b'"up/mock:tag=%s"' % btag)
    data = head(b"content-length: %d" % len(body)) + body
    with gateway.connect() as c:
        answer = c.send(data).answer()
        good = answer.status in wanted and len(seen_by_provider(mock, btag)) == (answer.status == 200)
        good = good and (answer.status == 200 or openai_error(answer))
        note("body: " + name, backend, wanted, str(answer.status), good)
        assert good, answer
        if not answer.closes:
            next_one = c.send(second(btag + b"next")).answer()
            assert next_one.status == 200 and len(seen_by_provider(mock, btag + b"next")) == 1


@pytest.mark.parametrize(
    "name", ["not JSON", "invalid UTF-8", "10,000 deep arrays", "model twice, one escaped", "trailing bytes"]
)
def test_body__split_anywhere(gateway, btag, name):
    """The verdict does not depend on how the bytes arrive: a few sizes of pieces give the same status."""
    wanted, body = BODIES[name]
    body = body.replace(b'"M"', b'"up/mock:tag=%s"' % btag)
    data = head(b"content-length: %d" % len(body)) + body
    for step in (7, 64, 1000):
        with gateway.connect() as c:
            for i in range(0, len(data), step):
                if not c.send_some(data[i : i + step]):
                    break
            assert c.answer().status == wanted, step


def test_one_byte_a_second(gateway, backend):
    """A head that drips is ended by the total time limit (1 s), not by an idle time."""
    begin = time.monotonic()
    with gateway.connect() as c:
        for byte in head()[:20]:
            if not c.send_some(bytes([byte])):
                break
            time.sleep(0.15)
        status = c.answer().status
    note("a head that drips", backend, {408}, str(status), status == 408)
    assert status == 408 and time.monotonic() - begin < 5


def test_many_slow_clients_do_not_stop_others(gateway):
    """300 clients with half a head: a good request is served at once."""
    slow = [gateway.connect().send(head()[:40]) for _ in range(300)]
    begin = time.monotonic()
    assert gateway.ask("GET", "/v1/models").status == 200
    assert time.monotonic() - begin < (5 if sanitised() else 0.5)
    for c in slow:
        c.close()


def test_path_tricks(gateway, mock):
    """Encoded slashes, dots, double slashes and NUL in paths reach no route they should not."""
    for path in (
        "/v1/../v1/models",
        "/v1//models",
        "/v1/models%00",
        "/%76%31/models",
        "/v1/models/..%2f..%2fadmin",
        "//evil/v1/models",
        "/v1/files/../../admin",
        "/v1/files/%2e%2e/models",
        "/v1/files/a%0d%0ax-evil:1",
    ):
        mock.reset()
        answer = gateway.ask("GET", path)
        assert answer.status in (400, 404) or (answer.status == 200 and path == "/%76%31/models"), (
            path,
            answer,
        )
        for r in mock.log():
            assert (
                r["path"].startswith("/v1/files/") and ".." not in r["path"] and "\r" not in json.dumps(r)
            ), (path, r["path"])


def test_memory_is_flat(gateway):
    """After two rounds that fill pools, two more rounds of the whole table leave the gateway as large as it
    was (within 4 MiB).
    """

    def one_round():
        for name, (_, make) in REFUSED.items():
            if "silence" in name:
                continue
            with gateway.connect() as c:
                c.send_some(make(b"memory"))
                c.to_end()
        for _, body in BODIES.values():
            with gateway.connect() as c:
                c.send_some(
                    head(b"connection: close", b"content-length: %d" % len(body)) + body.replace(b"M", b"m")
                )
                c.to_end()

    one_round()
    one_round()
    before = gateway.memory()[0]
    one_round()
    one_round()
    growth = gateway.memory()[0] - before
    assert sanitised() or growth < 4 << 20, f"grew by {growth / 2**20:.1f} MiB"


def test_memory_is_given_back(launch, backend):
    """Bodies of 31 MB, refused and gone: the process is as small as before (within 8 MiB), not as large as
    its largest hour.
    """
    own = launch(backend, workers=1)
    assert own.post("/v1/chat/completions", good_body(b"x")).status == 200
    before = own.memory()[0]
    for _ in range(4):
        body = b'{"model":"none","x":"' + b"y" * 31_000_000 + b'"}'
        assert own.post("/v1/chat/completions", body).status == 404
        with own.connect() as c:
            c.send_some(head(b"transfer-encoding: chunked") + b"1e00000\r\n" + b" " * 31_000_000)
    time.sleep(0.2)
    growth = own.memory()[0] - before
    assert sanitised() or growth < 8 << 20, f"still larger by {growth / 2**20:.1f} MiB"
