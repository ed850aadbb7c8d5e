"""Goal: large bodies pass through a bounded window.

Method: 100 MB to a streamed route with the SDK and raw; length and SHA-256 at the provider; the
gateway's resident memory, with its high-water mark reset before.
"""

import base64
import concurrent.futures
import hashlib
import io
import json
import random
import socket
import threading
import time

import pytest

import rawhttp
from servers import KEY, sanitised

MIB = 1 << 20
SIZE = 100 * 1000 * 1000
AUTH = ("authorization", f"Bearer {KEY}")


def warm(gateway):
    """A small upload on each worker, so that what exists once exists."""
    for _ in range(8):
        with gateway.connect() as c:
            c.send(
                rawhttp.request(
                    "POST",
                    "/v1/files",
                    [AUTH, ("content-type", "multipart/form-data; boundary=b")],
                    b"x" * 300_000,
                )
            )
            assert c.answer().status == 200


def grown(gateway, before):
    return gateway.memory()[1] - before


@pytest.mark.slow
def test_upload__100_mb_with_the_sdk(gateway, client, mock):
    """files.create with 100 MB: the provider counts all of it, the gateway grows by at most 4 MiB."""
    data = random.Random(1).randbytes(SIZE)
    warm(gateway)
    mock.reset()
    gateway.reset_peak()
    before = gateway.memory()[0]
    made = client.with_options(timeout=50).files.create(file=("big.jsonl", io.BytesIO(data)), purpose="batch")
    growth = grown(gateway, before)
    assert made.id.startswith("file-mock-") and SIZE < made.bytes < SIZE + 1000
    assert mock.log()[-1]["body_complete"]
    assert sanitised() or growth <= 4 * MIB, f"grew by {growth / MIB:.1f} MiB"


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_upload__100_mb_raw(gateway, mock, coding):
    """The same with both framings of the request; every byte arrives (SHA-256)."""
    warm(gateway)
    mock.reset()
    block = random.Random(2).randbytes(1_000_000)
    digest = hashlib.sha256()
    gateway.reset_peak()
    before = gateway.memory()[0]
    fields = [AUTH, ("content-type", "multipart/form-data; boundary=b")]
    fields.append(("content-length", str(SIZE)) if coding == "length" else ("transfer-encoding", "chunked"))
    with gateway.connect(timeout=30) as c:
        c.send(rawhttp.request("POST", "/v1/files", fields))
        for i in range(100):
            part = i.to_bytes(4, "big") + block[4:]
            digest.update(part)
            c.send(part if coding == "length" else b"%x\r\n%s\r\n" % (len(part), part))
        if coding == "chunked":
            c.send(b"0\r\n\r\n")
        answer = c.answer()
        growth = grown(gateway, before)
        assert (
            answer.status == 200
            and answer.json()["bytes"] == SIZE
            and answer.json()["sha256"] == digest.hexdigest()
        )
        assert c.ask("GET", "/v1/models", [AUTH]).status == 200
    assert sanitised() or growth <= 4 * MIB, f"grew by {growth / MIB:.1f} MiB"


def test_download__30_mb(gateway):
    """A large binary answer passes with bounded memory, every byte."""
    warm(gateway)
    gateway.reset_peak()
    before = gateway.memory()[0]
    answer = gateway.post("/v1/audio/speech", {"model": "up/mock:bytes=30000000", "input": "x", "voice": "a"})
    growth = grown(gateway, before)
    assert answer.status == 200 and len(answer.body) == 30_000_000
    pattern = bytes(range(251))
    assert answer.body == (pattern * (30_000_000 // 251 + 1))[:30_000_000]
    assert sanitised() or growth <= 4 * MIB, f"grew by {growth / MIB:.1f} MiB"


def test_upload__over_the_limit(launch, backend):
    """limits.upload: 413 from the Content-Length before the body is read; a chunked one is cut at the
    limit.
    """
    own = launch(backend, limits={"upload": "1MB"})
    with own.connect() as c:
        c.send(
            rawhttp.request(
                "POST",
                "/v1/files",
                [AUTH, ("content-type", "multipart/form-data; boundary=b"), ("content-length", str(2 * MIB))],
            )
        )
        assert c.answer().status == 413
    with own.connect() as c:
        c.send(
            rawhttp.request(
                "POST",
                "/v1/files",
                [AUTH, ("content-type", "multipart/form-data; boundary=b"), ("transfer-encoding", "chunked")],
            )
        )
        c.send_some(rawhttp.chunked([b"x" * 100_000] * 15))
        try:
            assert c.answer().status == 413
        except ConnectionResetError:
            pass  # the answer may be lost with a body that is still on its way
    with own.connect() as c:
        c.send(
            rawhttp.request(
                "POST", "/v1/files", [AUTH, ("content-type", "multipart/form-data; boundary=b")], b"x" * MIB
            )
        )
        assert c.answer().status == 200


def test_upload__several_at_once(gateway, mock):
    """Eight uploads of 5 MB at once, each whole."""
    mock.reset()

    def one(i):
        data = random.Random(i).randbytes(5_000_000)
        with gateway.connect(timeout=30) as c:
            answer = c.ask(
                "POST", "/v1/files", [AUTH, ("content-type", "multipart/form-data; boundary=b")], data
            )
        return answer.json()["sha256"] == hashlib.sha256(data).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(8)))


class Impatient(threading.Thread):
    """A provider that refuses an upload as soon as it has the head, and reads nothing more."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        peer, _ = self.listener.accept()
        got = b""
        while b"\r\n\r\n" not in got:
            got += peer.recv(1000)
        error = {"message": "too large for me", "type": "invalid_request_error", "param": None, "code": None}
        body = json.dumps({"error": error}).encode()
        head = b"HTTP/1.1 413 No\r\ncontent-type: application/json\r\nconnection: close\r\n"
        peer.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        peer.shutdown(socket.SHUT_WR)
        time.sleep(3)
        peer.close()


def test_upload__provider_answers_early(launch, backend):
    """The provider refuses an upload after its head: the client gets that answer at once, not an error about a
    broken pipe, and not after the provider's patience.
    """
    provider = Impatient()
    provider.start()
    url = f"http://127.0.0.1:{provider.port}/v1"
    own = launch(backend, providers={"up": {"type": "openai", "base_url": url}}, models=[])
    begin = time.monotonic()
    with own.connect() as c:
        fields = [AUTH, ("content-type", "multipart/form-data; boundary=b"), ("content-length", "50000000")]
        c.send(rawhttp.request("POST", "/v1/files", fields))
        for _ in range(50):
            if not c.send_some(b"z" * 1_000_000):
                break
        answer = c.answer()
    assert answer.status == 413 and answer.json()["error"]["message"] == "too large for me"
    assert time.monotonic() - begin < 2.5


@pytest.mark.xfail(
    strict=True, reason="the model of a multipart body is not read yet: it goes to the default provider"
)
def test_upload__model_field_chooses_and_is_edited(gateway, mock, tag):
    """multipart with `model`: the provider part is taken off, everything else is as sent."""
    body = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nup/mock:tag=%s\r\n--b\r\n'
        b'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\0\1\2\r\n--b--\r\n'
        % tag.encode()
    )
    fields = [AUTH, ("content-type", "multipart/form-data; boundary=b")]
    with gateway.connect() as c:
        assert c.ask("POST", "/v1/audio/transcriptions", fields, body).status == 200
    assert base64.b64decode(mock.one(tag)["body"]) == body.replace(b"up/mock", b"mock")


def test_body__over_the_limit(launch, backend, mock, tag):
    """limits.body on a whole route: 413 with the SDK's error shape, from Content-Length and from
    chunks; at the limit it passes.
    """
    own = launch(backend, limits={"body": "64KB"})
    frame = b'{"model":"up/mock:tag=%s","messages":[],"x":"' % tag.encode()
    exact = frame + b"y" * (65536 - len(frame) - 2) + b'"}'
    assert len(exact) == 65536 and own.post("/v1/chat/completions", exact).status == 200
    over = own.post("/v1/chat/completions", exact[:-2] + b'z"}')
    assert over.status == 413 and over.json()["error"]["type"] == "invalid_request_error"
    with own.connect() as c:
        c.send(rawhttp.request("POST", "/v1/chat/completions", [AUTH, ("transfer-encoding", "chunked")]))
        c.send_some(rawhttp.chunked([exact, b"  "]))
        assert c.answer().status == 413
    assert len(mock.log(tag)) == 1
