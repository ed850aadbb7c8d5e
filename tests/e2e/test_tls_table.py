"""Goal: one table of what every kind of bad TLS peer gives, printed at the end of the run, with what is accepted although it
should not be.

Method: each peer is a provider of one gateway: certificates made for the run behind a terminator, and openssl's own s_server
and s_client for renegotiation. The words of the answer have to name what is wrong.
"""

import select
import socket
import subprocess
import threading
import time

import pytest

import conftest
import servers
import tlslab

CHAT = "/v1/chat/completions"
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
CHAIN = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = tlslab.Lab(tmp_path_factory.mktemp("tls-table"))
    made.issue("good")
    made.issue("good-rsa", kind="rsa")
    made.root("other")
    made.issue("foreign", ca="other")
    made.issue("alone", self_signed=True)
    made.issue("expired", days=(-20, -1))
    made.issue("early", days=(2, 20))
    made.issue("elsewhere", ["api.openai.com"])
    made.issue("client-only", usage="clientAuth")
    made.issue("critical-use", usage="critical,serverAuth")
    made.issue("weak", kind="rsa1024")
    made.issue("sha1", digest="sha1")
    made.issue("no-ca", ["Ringway test no-ca"])
    made.issue("under-no-ca", ca="no-ca")
    ca = "ca"
    for i in range(CHAIN):
        name = f"middle{i}"
        made.issue(name, [f"Ringway test {name}"], ca=ca, is_ca=True, usage=None, extra="keyUsage=keyCertSign")
        ca = name
    made.issue("deep", ca=ca)
    made.chain("deep", *(f"middle{i}" for i in reversed(range(CHAIN))))
    made.chain("under-no-ca", "no-ca")
    made.issue("under-middle0", ca="middle0")
    made.chain("under-middle0", "middle0")
    wrong = [made.path(f"{n}.pem").read_text() for n in ("under-middle0", "middle1", "middle0")]
    made.path("wrong-order.pem").write_text("".join(wrong))
    made.issue("constrained", ["c"], is_ca=True, usage=None, extra="nameConstraints=critical,permitted;DNS:localhost")
    made.issue("under-constraint", ca="constrained")
    made.chain("under-constraint", "constrained")
    return made


# name: (chain, key, what else of the front, "refused" or "accepted", words of the answer)
PEERS = {
    "good": ("good.pem", "good", {}, "accepted", ""),
    "good, RSA": ("good-rsa.pem", "good-rsa", {}, "accepted", ""),
    "unknown CA": ("foreign.pem", "foreign", {}, "refused", "known CA"),
    "self-signed": ("alone.pem", "alone", {}, "refused", "self-signed"),
    "expired": ("expired.pem", "expired", {}, "refused", "expired"),
    "not yet valid": ("early.pem", "early", {}, "refused", "not valid yet"),
    "wrong host": ("elsewhere.pem", "elsewhere", {}, "refused", "another host"),
    "EKU: clients only": ("client-only.pem", "client-only", {}, "refused", "extended key usage"),
    "EKU critical, though right": ("critical-use.pem", "critical-use", {}, "refused", "critical extension"),
    "RSA of 1024 bits": ("weak.pem", "weak", {}, "refused", "2048 bits"),
    "signed with SHA-1": ("sha1.pem", "sha1", {}, "refused", "not accepted"),
    "intermediate missing": ("under-middle0.pem", "under-middle0", {}, "refused", "intermediate certificates"),
    "issuer is no CA": ("under-no-ca.chain.pem", "under-no-ca", {}, "refused", "chain"),
    "a chain of 6 certificates": ("deep.chain.pem", "deep", {}, "accepted", ""),
    "chain in the wrong order": ("wrong-order.pem", "under-middle0", {}, "refused", "wrong order"),
    "name constraints, though kept": ("under-constraint.chain.pem", "under-constraint", {}, "refused", "critical"),
    "TLS 1.3 only": ("good.pem", "good", {"versions": ("TLSv1_3", "TLSv1_3")}, "refused", "TLS 1.3"),
    "TLS 1.1 at most": ("good.pem", "good", {"versions": ("TLSv1_1", "TLSv1_1")}, "refused", "suite"),
    "no forward secrecy": ("good-rsa.pem", "good-rsa", {"ciphers": "AES128-SHA:@SECLEVEL=0"}, "refused", "suite"),
    "CBC suites": ("good.pem", "good", {"ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"}, "refused", "suite"),
    "wants a certificate": ("good.pem", "good", {"client_ca": "ca.pem"}, "refused", "client_certificate"),
    "records of one byte": ("good.pem", "good", {"record": 1}, "accepted", ""),
    "cut behind every byte": ("good.pem", "good", {"cut": 1}, "accepted", ""),
    "revoked (there is no CRL, no OCSP)": ("good.pem", "good", {}, "ACCEPTED", ""),
}
# What is no TLS server at all: what each does with a connection.
RAW = {
    "no TLS on that port": (lambda s: s.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n"), "does not speak TLS"),
    "closes in the handshake": (lambda s: s.recv(1000), "during the TLS handshake"),
    "says nothing": (lambda s: s.recv(1000) and s.recv(1000), "timeouts.tls"),
}
SPOILT = [0, 1, 2, 3, 4, 5, 12, 13, 14, 60, 200]


@pytest.fixture(scope="module")
def fronts(lab, mock):
    made = {}
    for name, (chain, key, more, *_) in PEERS.items():
        more = {k: str(lab.path(v)) if k == "client_ca" else v for k, v in more.items()}
        made[name] = tlslab.Front(lab, mock.port, lab.path(chain), lab.path(f"{key}.key"), **more)
    for at in SPOILT:
        made[f"spoilt {at}"] = tlslab.Front(lab, mock.port, lab.path("good.pem"), lab.path("good.key"), spoil=at)
    yield made
    for front in made.values():
        front.stop()


class Raw:
    """Gives every connection to a function."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(sock,), daemon=True).start()

    def guarded(self, sock):
        try:
            with sock:
                self.serve(sock)
        except OSError:
            pass

    def stop(self):
        self.listener.close()


def endless(sock):
    """An answer that lasts until the connection ends."""
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"a\":1}")


@pytest.fixture(scope="module")
def odd(lab):
    made = {name: Raw(serve) for name, (serve, _) in RAW.items()}
    behind = Raw(endless)
    pair = (lab.path("good.pem"), lab.path("good.key"))
    made["ends with close_notify"] = tlslab.Front(lab, behind.port, *pair)
    made["ends without close_notify"] = tlslab.Front(lab, behind.port, *pair, end="abrupt")
    yield made
    for one in (*made.values(), behind):
        one.stop()


@pytest.fixture(scope="module")
def renegotiating(lab):
    """openssl's own server, which renegotiates when it is told so."""
    port = servers.free_port()
    argv = ["openssl", "s_server", "-accept", str(port), "-cert", lab.path("good.pem"), "-key", lab.path("good.key"),
            "-tls1_2", "-legacy_renegotiation", "-naccept", "40"]  # fmt: skip
    child = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    yield port, child
    child.kill()
    child.wait()


@pytest.fixture(scope="module")
def asked(fronts, odd, renegotiating, lab, backend, folder, mock):
    """The gateway that has all of them as providers, and a door with TLS of its own."""
    providers = {}
    ports = {name: f.port for name, f in (fronts | odd).items()} | {"renegotiating": renegotiating[0]}
    for i, (name, port) in enumerate(ports.items()):
        providers[f"p{i}"] = {
            "type": "openai",
            "base_url": f"https://localhost:{port}/v1",
            "connect_to": f"127.0.0.1:{port}",
            "ca_file": str(lab.ca),
            "timeouts": {"total": "5s", "tls": "1s" if name == "says nothing" else "5s"},
        }
    door = servers.free_port()
    listen = [
        {"address": f"127.0.0.1:{servers.free_port()}"},
        {
            "address": f"127.0.0.1:{door}",
            "tls": {"certificate": str(lab.path("good.pem")), "key": str(lab.path("good.key"))},
        },
    ]
    config = servers.plain_config(mock.port, backend, providers=providers, models=[], listen=listen, workers=1)
    server = servers.Gateway(folder, config, f"table-{backend}")

    def ask(name, model="mock"):
        at = list(ports).index(name)
        return server.post(CHAT, {"model": f"p{at}/{model}", "messages": []})

    yield ask, door
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


def row(name, backend, wanted, seen, good):
    conftest.tables["tls peers"].append((name, backend, wanted, seen, good))
    assert good, (name, wanted, seen)


def words_of(answer):
    try:
        return answer.json()["error"]["message"]
    except (ValueError, KeyError):
        return answer.body[:100].decode(errors="replace")


@pytest.mark.parametrize("name", PEERS)
def test_peer(asked, backend, name):
    *_, wanted, words = PEERS[name]
    answer = asked[0](name)
    if wanted.lower() == "accepted":
        row(name, backend, wanted, f"{answer.status}", answer.status == 200)
    else:
        said = words_of(answer)
        row(name, backend, wanted, f"{answer.status} {said[:150]}", answer.status == 502 and words in said)


@pytest.mark.parametrize("name", RAW)
def test_peer__that_is_no_tls_server(asked, backend, name):
    answer = asked[0](name)
    said = words_of(answer)
    row(name, backend, "refused", f"{answer.status} {said[:150]}", answer.status == 502 and RAW[name][1] in said)


@pytest.mark.parametrize("name, status", [("ends with close_notify", 200), ("ends without close_notify", 502)])
def test_peer__end_of_a_body(asked, backend, name, status):
    """Of a body that lasts until the connection ends."""
    answer = asked[0](name)
    wanted = "accepted" if status == 200 else "refused"
    row(name, backend, wanted, f"{answer.status} {words_of(answer)[:150]}", answer.status == status)


def test_peer__a_bit_flipped_in_a_record(asked, backend):
    """Header, nonce, text, tag: nothing of it is passed on."""
    seen = [asked[0](f"spoilt {at}", "mock:bytes=1024") for at in SPOILT]
    good = all(a.status in (502, 504) and b"t0" not in a.body for a in seen)
    row(f"a bit flipped in a record, at {len(SPOILT)} places", backend, "refused", f"{[a.status for a in seen]}", good)


def read_until(child, word, seconds=5):
    """What the child says until that word is in it."""
    data, end = b"", time.monotonic() + seconds
    while word not in data and time.monotonic() < end:
        if select.select([child.stdout], [], [], 0.1)[0]:
            more = child.stdout.read1(65536)
            if not more:
                break
            data += more
    return data


def test_peer__a_server_that_renegotiates(asked, renegotiating, backend):
    _, child = renegotiating
    answers = []
    asking = threading.Thread(target=lambda: answers.append(asked[0]("renegotiating")))
    asking.start()
    assert b"messages" in read_until(child, b"messages")
    child.stdin.write(b"r\n")
    child.stdin.flush()
    asking.join(10)
    said = words_of(answers[0])
    row("server renegotiates", backend, "refused", f"{answers[0].status} {said[:150]}", answers[0].status == 502)
    assert "renegotiat" in said


def test_peer__a_client_that_renegotiates(asked, lab, backend):
    child = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{asked[1]}", "-tls1_2", "-CAfile", str(lab.ca)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert b"Verify return code: 0" in read_until(child, b"Extended master")
    child.stdin.write(b"R\n")
    child.stdin.flush()
    said = read_until(child, b"closed", 3)
    child.kill()
    child.wait()
    refused = b"handshake failure" in said or b"no renegotiation" in said or b"alert" in said or b"closed" in said
    row("client renegotiates", backend, "refused", said.decode(errors="replace").strip().splitlines()[-1][:100], refused)
