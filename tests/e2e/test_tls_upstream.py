"""Goal: providers are reached over TLS, whole and streamed, and a connection that cannot be trusted is refused with words
that name the mend.

Method: a CA made for the run, a TLS terminator in front of the mock that cuts, spoils and ends what it sends as a
test asks; openssl's own server where another implementation is wanted.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import servers
import tlslab

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = tlslab.Lab(tmp_path_factory.mktemp("tls"))
    made.issue("good", ["localhost", "api.example"])
    made.issue("good-rsa", ["localhost"], kind="rsa")
    return made


@pytest.fixture
def front(lab, mock):
    made = []

    def start(name="good", **more):
        made.append(tlslab.Front(lab, mock.port, lab.path(f"{name}.pem"), lab.path(f"{name}.key"), **more))
        return made[-1]

    yield start
    for f in made:
        f.stop()


@pytest.fixture
def through(launch, lab, backend):
    """A gateway whose provider is behind this front."""

    def start(front, host="localhost", provider=None, **config):
        full = {
            "type": "openai",
            "base_url": f"https://{host}:{front.port}/v1",
            "connect_to": f"127.0.0.1:{front.port}",
            "api_key": servers.UPSTREAM_KEY,
            "ca_file": str(lab.ca),
        }
        full.update(provider or {})
        full = {k: v for k, v in full.items() if v is not None}
        models = [{"name": "m", "targets": [{"provider": "up", "model": "mock"}]}]
        return launch(backend, providers={"up": full}, models=models, workers=1, **config)

    return start


def chat(gateway, model, stream=False):
    body = {"model": model, "messages": [{"role": "user", "content": "a"}]}
    if stream:
        body["stream"] = True
    return gateway.post(CHAT, body)


def words(answer):
    """The text of a stream, and whether it was whole."""
    events = [e[6:] for e in answer.body.decode().split("\n\n") if e.startswith("data: ")]
    deltas = [json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events if e != "[DONE]"]
    return "".join(deltas), events[-1] == "[DONE]"


SUITES = [
    ("good", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("good", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("good", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("good-rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("good-rsa", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("good-rsa", "ECDHE-RSA-CHACHA20-POLY1305"),
]


@pytest.mark.parametrize("name, suite", SUITES)
def test_pass_through__every_suite(through, front, mock, tag, name, suite):
    f = front(name, ciphers=suite)
    gateway = through(f)
    answer = chat(gateway, f"up/mock:chunks=7,tag={tag}")
    assert answer.status == 200, answer
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "t0 t1 t2 t3 t4 t5 t6 "
    streamed = chat(gateway, f"up/mock:chunks=7,tag={tag}", stream=True)
    assert words(streamed) == ("t0 t1 t2 t3 t4 t5 t6 ", True)
    assert {p[0] for p in f.peers} == {suite} and {p[1] for p in f.peers} == {"http/1.1"}
    assert f.names == ["localhost"] and not f.failures
    # Both went over one connection, and the mock saw what it should.
    assert len(f.sessions) == 1
    entry = mock.log(tag)[0]
    assert dict((k.lower(), v) for k, v in entry["headers"])["authorization"] == f"Bearer {servers.UPSTREAM_KEY}"


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1", "X25519"])
def test_handshake__every_curve(through, front, curve):
    gateway = through(front(curve=curve))
    assert chat(gateway, "m").status == 200


@pytest.mark.parametrize("size", [900, 16_000, 16_384, 20_000, 70_000, 5_000_000])
def test_body__any_size_both_ways(through, front, mock, tag, size):
    """Requests of many records, answers that come in records of every length."""
    gateway = through(front())
    body = {"model": f"up/mock:echo-body,tag={tag}", "messages": [{"role": "user", "content": "x" * size}]}
    answer = gateway.post(CHAT, body)
    assert answer.status == 200, answer
    sent = json.dumps({**body, "model": f"mock:echo-body,tag={tag}"}).encode()
    said = json.loads(answer.body)["choices"][0]["message"]["content"]
    assert said == f"sha256={hashlib.sha256(sent).hexdigest()} length={len(sent)}"
    whole = chat(gateway, f"up/mock:bytes={max(size, 1024)}")
    assert whole.status == 200 and len(whole.body) == max(size, 1024)


@pytest.mark.parametrize("record", [1, 100, 16384])
@pytest.mark.parametrize("cut", [1, 2, 5, 7, 100, 1000, 16413])
def test_records__split_anywhere(through, front, record, cut):
    if record == 1 and cut == 1:
        pytest.skip("a write per byte of a record per byte is the test below")
    size = 3000 if record == 1 or cut < 100 else 60_000
    gateway = through(front(cut=cut, record=record))
    answer = chat(gateway, f"up/mock:bytes={size}")
    assert answer.status == 200 and len(answer.body) == size
    text, done = words(chat(gateway, "up/mock:chunks=20", stream=True))
    assert done and text == "".join(f"t{i} " for i in range(20))


def test_records__of_one_byte_in_pieces_of_one(through, front):
    gateway = through(front(cut=1, record=1))
    text, done = words(chat(gateway, "up/mock:chunks=2", stream=True))
    assert done and text == "t0 t1 "


def test_pool__reused_and_resumed(through, front, mock):
    """One connection serves many requests; the next one resumes its session."""
    f = front()
    gateway = through(f)
    for _ in range(5):
        assert chat(gateway, "m").status == 200
    assert f.sessions == [False]
    for _ in range(4):
        assert chat(gateway, "up/mock:close").status == 200
    # The first of the four still went over the first connection.
    assert f.sessions == [False, True, True, True]


def test_resumption__a_server_that_forgot(through, front):
    """A session that the server does not know any more costs a full handshake, not the request."""
    f = front()
    gateway = through(f)
    assert chat(gateway, "up/mock:close").status == 200
    again = front()
    f.context = again.context
    assert chat(gateway, "up/mock:close").status == 200
    assert f.sessions == [False, False]


def refusals(lab):
    lab.root("other")
    lab.issue("foreign", ca="other")
    lab.issue("alone", self_signed=True)
    lab.issue("expired", days=(-20, -1))
    lab.issue("early", days=(2, 20))
    lab.issue("elsewhere", ["api.openai.com"])
    lab.issue("wild", ["*.example"])
    lab.issue("client-only", usage="clientAuth")
    lab.issue("weak", kind="rsa1024")
    lab.issue("sha1", digest="sha1")
    lab.issue("middle", ["Ringway test middle"], is_ca=True, usage=None, extra="keyUsage=keyCertSign")
    lab.issue("leaf", ca="middle")
    lab.issue("constrained", ["c"], is_ca=True, usage=None,
              extra="nameConstraints=critical,permitted;DNS:localhost")  # fmt: skip
    lab.issue("under-constraint", ca="constrained")


@pytest.fixture(scope="module")
def bad_certificates(lab):
    refusals(lab)


REFUSED = {
    # name: (certificate, host, words of the answer)
    "unknown CA": ("foreign", "localhost", "not signed by a known CA"),
    "self-signed": ("alone", "localhost", "self-signed"),
    "expired": ("expired", "localhost", "expired"),
    "not yet valid": ("early", "localhost", "not valid yet"),
    "wrong host": ("elsewhere", "localhost", "another host"),
    "wildcard of another level": ("wild", "a.b.example", "another host"),
    "IP address not in it": ("good", "127.0.0.1", "another host"),
    "for clients only": ("client-only", "localhost", "extended key usage"),
    "RSA with 1024 bits": ("weak", "localhost", "below 2048 bits"),
    "signed with SHA-1": ("sha1", "localhost", "not accepted"),
    "intermediate missing": ("leaf", "localhost", "intermediate certificates are missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused__with_the_mend(through, front, bad_certificates, name):
    certificate, host, expected = REFUSED[name]
    gateway = through(front(certificate), host=host)
    answer = chat(gateway, "m")
    assert answer.status == 502, answer
    error = json.loads(answer.body)["error"]
    assert expected in error["message"], error
    line = gateway.access_line(answer.header("x-request-id"))
    assert line["end"] == "upstream_tls", line


def test_refused__name_constraints(through, front, lab, bad_certificates):
    chain = lab.chain("under-constraint", "constrained")
    f = tlslab.Front(lab, 1, chain, lab.path("under-constraint.key"))
    answer = chat(through(f), "m")
    f.stop()
    assert answer.status == 502 and "critical extension" in answer.body.decode()


def test_accepted__chain_with_intermediate(through, lab, mock, bad_certificates):
    f = tlslab.Front(lab, mock.port, lab.chain("leaf", "middle"), lab.path("leaf.key"))
    answer = chat(through(f), "m")
    f.stop()
    assert answer.status == 200, answer


@pytest.mark.parametrize("host", ["API.Example", "www.example"])
def test_accepted__names(through, front, bad_certificates, host):
    f = front("wild" if host.startswith("www") else "good")
    assert chat(through(f, host=host), "m").status == 200
    assert f.names[0].lower() == host.lower()


def test_accepted__ip_address(through, front, lab):
    """The certificate names the address; an address is never sent as SNI."""
    lab.issue("address", ["127.0.0.1", "::1"])
    f = front("address")
    assert chat(through(f, host="127.0.0.1"), "m").status == 200
    assert f.names == [None]


def test_accepted__self_signed_when_named(through, front, lab, bad_certificates):
    f = front("alone")
    gateway = through(f, provider={"ca_file": str(lab.path("alone.pem"))})
    assert chat(gateway, "m").status == 200


def test_system_store__from_ssl_cert_file(launch, front, lab, backend):
    """Without ca_file the system's store decides; SSL_CERT_FILE is the system's word for where that is."""
    f = front()
    provider = {"type": "openai", "base_url": f"https://localhost:{f.port}/v1", "connect_to": f"127.0.0.1:{f.port}"}
    models = [{"name": "m", "targets": [{"provider": "up", "model": "mock"}]}]
    env = {**os.environ, "SSL_CERT_FILE": str(lab.ca)}
    good = launch(backend, env=env, providers={"up": provider}, models=models, workers=1)
    assert chat(good, "m").status == 200


# --- ringway tls-check


def tls_check(what, *more):
    done = subprocess.run([servers.RINGWAY, "tls-check", what, *more], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


def test_tls_check__what_is_found(front, lab):
    status, said = tls_check(f"localhost:{front().port}", "--ca-file", lab.ca)
    assert status == 0, said
    for words in (
        "TLS 1.2, ECDHE-ECDSA-",
        "issued by Ringway test ca",
        "EC P-256",
        "for localhost, api.example",
        "resumption  yes",
        "expires in less than 30 days",
        "good ",
    ):
        assert words in said, said


def test_tls_check__a_provider_of_the_configuration(front, lab, tmp_path):
    f = front("good-rsa")
    provider = {
        "type": "openai",
        "base_url": "https://localhost:1/v1",
        "connect_to": f"127.0.0.1:{f.port}",
        "ca_file": str(lab.ca),
    }
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"providers": {"up": provider, "plain": {"type": "openai", "base_url": "http://127.0.0.1:1/v1"}}}))
    status, said = tls_check("up", "--config", path)
    assert status == 0 and "RSA 2048 bits" in said and f"127.0.0.1:{f.port}" in said, said
    status, said = tls_check("plain", "--config", path)
    assert status == 2 and "no TLS" in said, said
    status, said = tls_check("nobody:x", "--config", path)
    assert status == 2 and "neither" in said, said


@pytest.mark.parametrize("name", [name for name, case in REFUSED.items() if case[1] == "localhost"])
def test_tls_check__says_what_is_wrong(front, lab, bad_certificates, name):
    certificate, host, expected = REFUSED[name]
    status, said = tls_check(f"{host}:{front(certificate).port}", "--ca-file", lab.ca)
    assert status == 1 and "FAILED" in said and expected in said, said
    assert "chain " in said, said


def test_tls_check__nobody_there_or_no_tls(front, lab):
    status, said = tls_check(f"127.0.0.1:{servers.free_port()}", "--ca-file", lab.ca)
    assert status == 1 and "cannot be connected to: Connection refused" in said, said
    status, said = tls_check(f"localhost:{front(versions=('TLSv1_3', 'TLSv1_3')).port}", "--ca-file", lab.ca)
    assert status == 1 and "TLS 1.3" in said, said


def test_refused__tls_1_3_only(through, front):
    gateway = through(front(versions=("TLSv1_3", "TLSv1_3")))
    answer = chat(gateway, "m")
    assert answer.status == 502 and "TLS 1.3" in answer.body.decode(), answer


def test_refused__no_common_suite(through, front):
    gateway = through(front("good-rsa", ciphers="AES128-SHA:@SECLEVEL=0"))
    answer = chat(gateway, "m")
    assert answer.status == 502 and "cipher suite" in answer.body.decode(), answer


class Peer:
    """A server of bytes: gives every connection to a function of the test."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                self.serve(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def test_refused__not_tls_at_all(through):
    def serve(sock):
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with Peer(serve) as peer:
        answer = chat(through(peer), "m")
        assert answer.status == 502 and "does not speak TLS" in answer.body.decode(), answer


def test_timeout__a_peer_that_says_nothing(through):
    with socket.create_server(("127.0.0.1", 0)) as s:

        class Silent:
            port = s.getsockname()[1]

        gateway = through(Silent, timeouts={"tls": "300ms"})
        started = time.monotonic()
        answer = chat(gateway, "m")
        assert answer.status == 502 and "timeouts.tls" in answer.body.decode(), answer
        assert time.monotonic() - started < 3


def test_cut__a_peer_that_closes_in_the_handshake(through):
    with Peer(lambda sock: sock.recv(1000)) as peer:
        answer = chat(through(peer), "m")
        assert answer.status == 502 and "during the TLS handshake" in answer.body.decode(), answer


def test_client_certificate__shown_when_asked(through, front, lab):
    for kind in ("ec", "rsa"):
        chain, key = lab.issue(f"client-{kind}", [f"client-{kind}"], kind=kind, usage="clientAuth")
        f = front(client_ca=lab.ca)
        gateway = through(f, provider={"client_certificate": str(chain), "client_key": str(key)})
        assert chat(gateway, "m").status == 200
        assert f.peers[0][2]["subject"] == ((("commonName", f"client-{kind}"),),)


def test_client_certificate__missing_is_said(through, front, lab):
    gateway = through(front(client_ca=lab.ca))
    answer = chat(gateway, "m")
    assert answer.status == 502 and "client_certificate" in answer.body.decode(), answer


def test_close__without_notify_ends_no_body(through, front, lab):
    """A body that lasts until the end of the connection is whole only if TLS says so."""
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"a\":1}"

    def serve(sock):
        sock.recv(65536)
        sock.sendall(raw)

    for end, status in (("orderly", 200), ("abrupt", 502)):
        with Peer(serve) as peer:
            f = front(end=end)
            f.mock_port = peer.port
            answer = chat(through(f), "m")
            assert answer.status == status, (end, answer)


def test_close__in_the_middle_of_a_stream(through, front):
    """A cut stream is an error in the stream, never its end, notified or not."""
    for end in ("orderly", "abrupt"):
        gateway = through(front(end=end))
        answer = chat(gateway, "up/mock:chunks=9,cut@4", stream=True)
        assert b"[DONE]" not in answer.body and b"error" in answer.body, answer.body


def test_close__both_say_goodbye(through, front, launch):
    f = front()
    gateway = through(f)
    assert chat(gateway, "m").status == 200
    gateway.expect_death = True
    gateway.stop()
    servers.wait_for(lambda: f.closed_orderly, 3, "close_notify from the gateway")


@pytest.mark.parametrize("at", [0, 1, 3, 4, 5, 9, 13, 40, 200])
def test_spoilt__one_bit(through, front, at):
    """No byte of a damaged record is passed on."""
    gateway = through(front(spoil=at), timeouts={"total": "3s"})
    answer = chat(gateway, "up/mock:bytes=1024")
    assert answer.status in (502, 504), answer
    assert b"t0" not in answer.body


def test_stream__events_come_as_they_are_made(through, front):
    """Nothing waits for a fuller record."""
    gateway = through(front())
    started = time.monotonic()
    with gateway.connect() as c:
        body = json.dumps({"model": "up/mock:chunks=5,pace=100ms", "stream": True, "messages": []}).encode()
        c.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
            + servers.KEY.encode()
            + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        c.sock.settimeout(5)
        first = c.sock.recv(65536)
        assert first and time.monotonic() - started < 0.4


def test_uploads__stream_through(through, front, mock, tag):
    """A body that is passed on piece by piece, chunked."""
    gateway = through(front())
    data = b"x" * 700_000
    form = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nmock:tag=%s\r\n' % tag.encode()
        + b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + data + b"\r\n--b--\r\n"
    )
    answer = gateway.ask("POST", "/v1/audio/transcriptions", [("content-type", "multipart/form-data; boundary=b")], form)
    assert answer.status == 200, answer
    assert mock.one(tag)["body_complete"]


def test_reload__other_ca(through, front, lab):
    """A reload with a CA that does not know the provider refuses the next connection; back again, it is taken."""
    f = front()
    gateway = through(f)
    assert chat(gateway, "up/mock:close").status == 200
    lab.root("unrelated")
    gateway.config["providers"]["up"]["ca_file"] = str(lab.path("unrelated.pem"))
    gateway.write_config()
    gateway.signal(signal.SIGHUP)
    servers.wait_for(lambda: b"configuration loaded" in gateway.err(), 5, "reload")
    answer = chat(gateway, "m")
    assert answer.status == 502 and "known CA" in answer.body.decode()


BAD_FILES = [
    ({"ca_file": "/nowhere/ca.pem"}, "No such file"),
    ({"ca_file": "EMPTY"}, "holds no certificate"),
    ({"client_certificate": "good.pem", "client_key": "good-rsa.key"}, "do not belong together"),
    ({"client_certificate": "good.pem", "client_key": "good.pem"}, "no private key"),
    ({"client_certificate": "good.pem"}, '"client_key" is missing'),
]


@pytest.mark.parametrize("more, word", BAD_FILES)
def test_check__says_what_is_wrong_with_files(lab, tmp_path, more, word):
    (tmp_path / "empty.pem").write_text("nothing here\n")
    places = {"EMPTY": tmp_path / "empty.pem"}
    more = {k: v if v.startswith("/") else str(places.get(v, lab.path(v))) for k, v in more.items()}
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"providers": {"up": {"type": "openai", "ca_file": str(lab.ca), **more}}}))
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr, done.stderr
