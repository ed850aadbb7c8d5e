"""Goal: clients speak TLS with the gateway: the certificate fits the name they ask for, follows its file, and a client
certificate is asked for where that is configured.

Method: Python's ssl (OpenSSL) and the official SDK as clients; raw sockets for what is no TLS at all.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import servers
import tlslab

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = tlslab.Lab(tmp_path_factory.mktemp("tls-clients"))
    made.issue("gate", ["gate.example", "localhost"])
    made.issue("gate-rsa", ["gate.example"], kind="rsa")
    made.issue("other", ["other.example", "*.wild.example"])
    made.root("client-ca")
    made.issue("person", ["person"], ca="client-ca", usage="clientAuth")
    made.issue("stranger", ["stranger"], usage="clientAuth")
    made.issue("server-only", ["server"], ca="client-ca", usage="serverAuth")
    return made


def pair(lab, name):
    return {"certificate": str(lab.path(f"{name}.pem")), "key": str(lab.path(f"{name}.key"))}


class Gate:
    """A gateway with a listener that speaks TLS beside a plain one."""

    def __init__(self, launch, lab, backend, tls, **config):
        self.lab = lab
        self.port = servers.free_port()
        plain = f"127.0.0.1:{servers.free_port()}"
        listen = [{"address": plain}, {"address": f"127.0.0.1:{self.port}", "tls": tls}]
        self.gateway = launch(backend, listen=listen, workers=1, **config)

    def context(self, identity=None, ca=None, **more):
        context = ssl.create_default_context(cafile=ca or self.lab.ca)
        context.maximum_version = more.get("version", ssl.TLSVersion.TLSv1_2)
        if "ciphers" in more:
            context.set_ciphers(more["ciphers"])
        if "alpn" in more:
            context.set_alpn_protocols(more["alpn"])
        if identity:
            context.load_cert_chain(self.lab.path(f"{identity}.pem"), self.lab.path(f"{identity}.key"))
        return context

    def connect(self, name="gate.example", context=None, session=None):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (context or self.context()).wrap_socket(sock, server_hostname=name, session=session)


@pytest.fixture
def gate(launch, lab, backend):
    def start(tls=None, **config):
        return Gate(launch, lab, backend, tls or pair(lab, "gate"), **config)

    return start


def ask(tls, model="up/mock", body=None, stream=False):
    """One request; the whole answer as (status, body), read to its end."""
    if body is None:
        body = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
    tls.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (servers.KEY.encode(), len(body)) + body
    )
    return read_answer(tls)


def read_answer(tls):
    data = b""
    while b"\r\n\r\n" not in data:
        got = tls.recv(65536)
        if not got:
            return None, data
        data += got
    head, data = data.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    status = int(head.split()[1])
    if b"content-length" in fields:
        while len(data) < int(fields[b"content-length"]):
            data += tls.recv(65536)
    else:
        while not data.endswith(b"0\r\n\r\n"):
            data += tls.recv(65536)
    return status, data


SUITES = [
    ("gate", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("gate", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("gate", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("gate-rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("gate-rsa", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("gate-rsa", "ECDHE-RSA-CHACHA20-POLY1305"),
]


def test_suites__all_of_them(gate, lab):
    """EC and RSA stand for the same name: a client gets the one it can use."""
    g = gate({**pair(lab, "gate"), "certificates": [pair(lab, "gate-rsa")]})
    for _, suite in SUITES:
        with g.connect(context=g.context(ciphers=suite)) as tls:
            assert tls.cipher()[0] == suite
            for _ in range(3):
                status, body = ask(tls, "up/mock:chunks=3")
                assert status == 200 and b"t0 t1 t2 " in body


def test_suites__only_those_that_are_named(gate, lab, tmp_path):
    g = gate({**pair(lab, "gate"), "suites": ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]})
    for suite in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        with g.connect(context=g.context(ciphers=suite)) as tls:
            assert tls.cipher()[0] == suite
    with pytest.raises(ssl.SSLError):
        g.connect(context=g.context(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    bad = {
        "ECDHE-ECDSA-AES256-GCM-SHA256": 'did you mean "ECDHE-ECDSA-AES',
        "AES128-SHA": "no cipher suite",
        "ECDHE-RSA-AES128-GCM-SHA256": "can be used with none",
    }
    for suite, word in bad.items():
        path = tmp_path / "c.yaml"
        path.write_text(json.dumps({"listen": [{"address": "127.0.0.1:1", "tls": {**pair(lab, "gate"), "suites": [suite]}}]}))
        done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
        assert done.returncode == 2 and word in done.stderr, done.stderr


def test_streams_and_bodies(gate):
    g = gate()
    with g.connect() as tls:
        status, body = ask(tls, "up/mock:chunks=50", stream=True)
        assert status == 200 and body.count(b"data: ") >= 51 and b"[DONE]" in body
        for size in (100, 16_384, 40_000, 3_000_000):
            big = json.dumps({"model": "up/mock", "messages": [{"role": "user", "content": "x" * size}]}).encode()
            assert ask(tls, body=big)[0] == 200
        status, body = ask(tls, "up/mock:bytes=2000000")
        assert status == 200 and len(body) == 2_000_000


def test_request__a_byte_at_a_time(gate):
    g = gate()
    with g.connect() as tls:
        body = b'{"model":"up/mock","messages":[]}'
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (servers.KEY.encode(), len(body)) + body
        )
        for i in range(len(request)):
            tls.sendall(request[i : i + 1])
        assert read_answer(tls)[0] == 200


def test_records__cut_anywhere(gate):
    """The client's TLS leaves in pieces of every size."""
    g = gate()
    for cut in (1, 3, 5, 6, 29, 100):
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = g.context().wrap_bio(inward, outward, server_hostname="gate.example")
        with socket.create_connection(("127.0.0.1", g.port), timeout=10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def put():
                data = outward.read()
                for at in range(0, len(data), cut):
                    sock.sendall(data[at : at + cut])

            def until(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        put()
                        inward.write(sock.recv(65536))

            until(tls.do_handshake)
            put()
            tls.write(
                b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n" % servers.KEY.encode()
            )
            put()
            assert until(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")


def test_sdk(gate):
    import openai

    g = gate()
    with openai.DefaultHttpxClient(verify=g.context()) as http, openai.OpenAI(
        base_url=f"https://localhost:{g.port}/v1", api_key=servers.KEY, http_client=http, max_retries=0
    ) as sdk:
        stream = sdk.chat.completions.create(model="up/mock:chunks=4", messages=[], stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "t0 t1 t2 t3 "


def test_names__choose_the_certificate(gate, lab):
    g = gate({**pair(lab, "gate"), "certificates": [pair(lab, "other")]})
    for name in ("gate.example", "other.example", "a.wild.example", "OTHER.example"):
        with g.connect(name) as tls:
            assert ask(tls)[0] == 200
    # A name that nobody has gets the first; whether that will do is the client's to say.
    with pytest.raises(ssl.SSLCertVerificationError):
        g.connect("unknown.example")
    context = g.context()
    context.check_hostname = False
    with g.connect("unknown.example", context) as tls:
        assert ("DNS", "gate.example") in tls.getpeercert()["subjectAltName"]


def test_strict_sni__another_name_or_none_is_refused(gate, lab):
    g = gate({**pair(lab, "gate"), "certificates": [pair(lab, "other")], "strict_sni": True})
    for name in ("gate.example", "a.wild.example"):
        with g.connect(name) as tls:
            assert ask(tls)[0] == 200
    context = g.context()
    context.check_hostname = False
    for name in ("stranger.example", None):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            g.connect(name, context=context)
    with g.connect("other.example") as tls:
        assert ask(tls)[0] == 200


def test_passphrase__of_an_encrypted_key(gate, lab, tmp_path):
    key, words = tmp_path / "sealed.key", tmp_path / "passphrase"
    tlslab.openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", lab.path("gate.key"), "-out", key, "-passout", "pass:open sesame")
    words.write_text("open sesame\nnot this\n")
    g = gate({"certificate": str(lab.path("gate.pem")), "key": str(key), "passphrase_file": str(words)})
    with g.connect() as tls:
        assert ask(tls)[0] == 200


def test_hsts__only_where_it_is_set(gate, lab):
    g = gate({**pair(lab, "gate"), "hsts": "365d"})
    for path in (CHAT, "/nowhere"):
        with g.connect() as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\n\r\n".encode())
            head = b"".join(iter(lambda: tls.recv(4096), b"")).split(b"\r\n\r\n")[0].lower()
        assert head.count(b"\r\nstrict-transport-security: max-age=31536000") == 1, head
    plain = g.gateway.ask("GET", "/nowhere")
    assert plain.header("strict-transport-security") is None, plain
    with gate().connect() as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\n\r\n")
        assert b"strict-transport" not in b"".join(iter(lambda: tls.recv(4096), b"")).lower()


def test_expiry__in_the_metrics_and_a_warning(gate, lab):
    g = gate({**pair(lab, "gate"), "certificates": [pair(lab, "other"), pair(lab, "gate-rsa")]})
    text = g.gateway.metrics_text().body.decode()
    for name in ("gate", "other", "gate-rsa"):
        end = subprocess.run(
            ["openssl", "x509", "-in", lab.path(f"{name}.pem"), "-noout", "-enddate"], capture_output=True, text=True, check=True
        ).stdout.strip()
        expires = int(ssl.cert_time_to_seconds(end.removeprefix("notAfter=")))
        path = str(lab.path(f"{name}.pem"))[-128:]
        assert f'ringway_certificate_expires_timestamp_seconds{{file="{path}"}} {expires}\n' in text, text
        # The lab's certificates are made for thirty days.
        servers.wait_for(lambda: f"{name}.pem expires in 29 days" in g.gateway.said(), 10, "a warning")
    assert g.gateway.said().count("gate.pem expires in") == 1


def test_alpn(gate):
    g = gate()
    with g.connect(context=g.context(alpn=["h2", "http/1.1"])) as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        g.connect(context=g.context(alpn=["h2"]))


def test_sessions__resumed(gate):
    g = gate()
    context = g.context()
    context.options |= ssl.OP_NO_TICKET
    with g.connect(context=context) as first:
        assert ask(first)[0] == 200
        session = first.session
    for _ in range(3):
        with g.connect(context=context, session=session) as again:
            assert again.session_reused and ask(again)[0] == 200


def test_client_certificates(gate, lab):
    g = gate({**pair(lab, "gate"), "client_ca": str(lab.path("client-ca.pem"))})
    with g.connect(context=g.context("person")) as tls:
        assert ask(tls)[0] == 200
    for who in (None, "stranger", "server-only"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with g.connect(context=g.context(who)) as tls:
                ask(tls)


def test_certificate__follows_its_file(gate, lab, tmp_path):
    """A renewed certificate is taken without a word in the configuration; connections that are open stay."""
    for end in ("pem", "key"):
        shutil.copy(lab.path(f"gate.{end}"), tmp_path / f"now.{end}")
    g = gate({"certificate": str(tmp_path / "now.pem"), "key": str(tmp_path / "now.key")})
    with g.connect() as old:
        assert ask(old)[0] == 200
        # cert-manager puts new files in the place of the old ones; between the two they do not fit together.
        for end in ("pem", "key"):
            shutil.copy(lab.path(f"other.{end}"), tmp_path / f"new.{end}")
            os.replace(tmp_path / f"new.{end}", tmp_path / f"now.{end}")

        def renewed():
            try:
                with g.connect("other.example") as tls:
                    return ask(tls)[0] == 200
            except ssl.SSLError:
                return False

        servers.wait_for(renewed, 10, "the new certificate", pause=0.2)
        assert ask(old)[0] == 200


def test_not_tls__is_closed(gate):
    g = gate()
    with socket.create_connection(("127.0.0.1", g.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP" not in sock.recv(1000)
    with socket.create_connection(("127.0.0.1", g.port), timeout=10) as sock:
        sock.sendall(os.urandom(3000))
        try:
            sock.recv(1000)
        except ConnectionError:
            pass
    with g.connect() as tls:
        assert ask(tls)[0] == 200


def test_tls_1_3_only__is_refused(gate):
    g = gate()
    context = ssl.create_default_context(cafile=g.lab.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises((ssl.SSLError, ConnectionError)):
        g.connect(context=context)


def test_client_gone__cancels_upstream(gate, mock, tag):
    """close_notify and a reset in the middle of a stream end the provider's work."""
    g = gate()
    for end in ("notify", "close"):
        model = f"up/mock:chunks=1000,pace=20ms,tag={tag}{end}"
        tls = g.connect()
        body = json.dumps({"model": model, "stream": True, "messages": []}).encode()
        tls.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (servers.KEY.encode(), len(body)) + body
        )
        assert tls.recv(1000)
        if end == "notify":
            tls.settimeout(0.2)
            try:
                tls.unwrap()
            except (OSError, ssl.SSLError):
                pass
        tls.close()
        entry = mock.one(f"{tag}{end}")
        assert entry["ended"] != "complete", entry


def test_answer__ends_with_close_notify(gate):
    """`connection: close` is followed by close_notify, so that the client knows it has all."""
    g = gate()
    context = g.context()
    with g.connect(context=context) as tls:
        tls.suppress_ragged_eofs = False
        tls.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        data = b""
        while got := tls.recv(65536):
            data += got
        assert data.startswith(b"HTTP/1.1 200")


def test_storm__a_running_stream_goes_on(gate):
    """Fifty handshakes at once delay nobody for long."""
    g = gate()
    gaps = []
    with g.connect() as tls:
        body = json.dumps({"model": "up/mock:chunks=100,pace=10ms", "stream": True, "messages": []}).encode()
        tls.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (servers.KEY.encode(), len(body)) + body
        )

        def knock():
            with g.connect() as one:
                assert ask(one)[0] == 200

        threads = [threading.Thread(target=knock) for _ in range(50)]
        for t in threads:
            t.start()
        data, last = b"", time.monotonic()
        while b"[DONE]" not in data:
            data += tls.recv(65536)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
        for t in threads:
            t.join()
    assert max(gaps) < 2, max(gaps)


BAD = [
    ({"certificate": "gate.pem"}, '"key" is missing'),
    ({"client_ca": "ca.pem"}, '"certificate" is missing'),
    ({"certificate": "gate.pem", "key": "other.key"}, "do not belong together"),
    ({"certificate": "/nowhere", "key": "gate.key"}, "No such file"),
    ({"certificate": "gate.pem", "key": "gate.key", "client_ca": "gate.key"}, "holds no certificate"),
]


@pytest.mark.parametrize("tls, word", BAD)
def test_check__says_what_is_wrong(lab, tmp_path, tls, word):
    tls = {k: v if v.startswith("/") else str(lab.path(v)) for k, v in tls.items()}
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"listen": [{"address": "127.0.0.1:1234", "tls": tls}]}))
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr, done.stderr


# --- Whose certificate it is.

SPIFFE = "spiffe://corp.example/research/notebook"


@pytest.fixture
def known(gate, lab):
    """A gate where certificates stand for keys."""
    lab.issue("notebook", [], ca="client-ca", usage="clientAuth", extra=f"subjectAltName=URI:{SPIFFE}")
    lab.issue("batch", ["batch.example"], ca="client-ca", usage="clientAuth")

    def start(identities, **config):
        return gate({**pair(lab, "gate"), "client_ca": str(lab.path("client-ca.pem")), "identities": identities}, **config)

    return start


IDENTITIES = [{"san": SPIFFE, "team": "research"}, {"subject": "CN=batch.example", "key": "ci"}]


def keyless(tls, fields=b"", target=b"/v1/chat/completions"):
    """(status, body, request id) of a request without a key."""
    body = json.dumps({"model": "up/mock", "messages": []}).encode()
    tls.sendall(
        b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-id: %s\r\n%scontent-length: %d\r\n\r\n"
        % (target, (rid := os.urandom(8).hex()).encode(), fields, len(body)) + body
    )  # fmt: skip
    return (*read_answer(tls), rid)


def logged(g, rid):
    def found():
        lines = g.gateway.access_path.read_text().splitlines() if g.gateway.access_path.exists() else []
        return next((json.loads(line) for line in lines if rid in line), None)

    return servers.wait_for(found, 3, "access log line")


def test_identity__a_certificate_stands_for_a_key(known):
    g = known(IDENTITIES)
    for name, team, key in (("notebook", "research", "cert-"), ("batch", "default", "ci")):
        with g.connect(context=g.context(name)) as tls:
            status, body, rid = keyless(tls)
            assert status == 200, body
            line = logged(g, rid)
            assert line["team"] == team and line["key"].startswith(key), line
            # A key that is sent counts, good or bad.
            assert keyless(tls, b"authorization: Bearer %s\r\n" % servers.KEY.encode())[0] == 200
            assert keyless(tls, b"x-api-key: sk-no-such-key-at-all\r\n")[0] == 401
    # Whom nobody knows, and who comes by the other door.
    with g.connect(context=g.context("person")) as tls:
        assert keyless(tls)[0] == 401
    assert g.gateway.post(CHAT, {"model": "up/mock", "messages": []}, key=None).status == 401


def test_identity__a_resumed_session_keeps_it(known):
    g = known(IDENTITIES)
    context = g.context("notebook")
    with g.connect(context=context) as tls:
        assert keyless(tls)[0] == 200
        session = tls.session
    with g.connect(context=context, session=session) as tls:
        assert tls.session_reused
        status, _, rid = keyless(tls)
        assert status == 200 and logged(g, rid)["team"] == "research"


def test_identity__its_key_cannot_be_sent(known):
    g = known(IDENTITIES)
    text = f"certificate:san:{SPIFFE}:research".encode()
    with g.connect(context=g.context("person")) as tls:
        assert keyless(tls, target=b"/v1/chat/completions?key=%01" + text)[0] == 401
        assert keyless(tls, b"authorization: Bearer " + text + b"\r\n")[0] == 401
        assert keyless(tls, b"authorization: Bearer \x01" + text + b"\r\n")[0] == 400


def test_identity__follows_the_configuration(known, lab):
    """What is taken away is gone from the next request on, also on connections that are open."""
    g = known(IDENTITIES)

    def reload():
        seen = g.gateway.err().count(b"configuration loaded")
        g.gateway.write_config()
        g.gateway.signal(signal.SIGHUP)
        servers.wait_for(lambda: g.gateway.err().count(b"configuration loaded") > seen, 5, "reload")

    tls_of = g.gateway.config["listen"][1]["tls"]
    with g.connect(context=g.context("notebook")) as tls:
        assert keyless(tls)[0] == 200
        tls_of["identities"] = [{**IDENTITIES[0], "team": "other"}]
        reload()
        status, _, rid = keyless(tls)
        assert status == 200 and logged(g, rid)["team"] == "other"
        tls_of["client_ca"] = str(lab.chain("client-ca", "ca"))
        reload()
        assert keyless(tls)[0] == 401
        tls_of["identities"] = []
        reload()
        assert keyless(tls)[0] == 401


BAD_IDENTITIES = [
    ({"san": "x", "team": "t"}, None, "need a client_ca"),
    ({"san": "x", "subject": "CN=x", "team": "t"}, "client-ca.pem", "one of san and subject"),
    ({"san": "x"}, "client-ca.pem", "one of key and team"),
    ({"subject": "app", "team": "t"}, "client-ca.pem", "CN=app"),
    ({"san": "x", "key": "nobody"}, "client-ca.pem", 'no key "nobody"'),
]


@pytest.mark.parametrize("identity, ca, word", BAD_IDENTITIES)
def test_identity__check_says_what_is_wrong(lab, tmp_path, identity, ca, word):
    tls = {**pair(lab, "gate"), "identities": [identity], **({"client_ca": str(lab.path(ca))} if ca else {})}
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"listen": [{"address": "127.0.0.1:1", "tls": tls}]}))
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr, done.stderr
