"""A test CA with certificates of every kind, made by openssl, and a TLS terminator in front of the mock that
misbehaves on request.
"""

import ctypes
import datetime
import ipaddress
import socket
import ssl
import subprocess
import threading

DAY = datetime.timedelta(days=1)


def openssl(*args, text=None):
    done = subprocess.run(["openssl", *map(str, args)], input=text, capture_output=True)
    assert done.returncode == 0, f"openssl {args[0]}: {done.stderr.decode()}"
    return done.stdout


def stamp(days):
    return (datetime.datetime.now(datetime.timezone.utc) + days * DAY).strftime("%Y%m%d%H%M%SZ")


class Lab:
    """Certificates in a folder. A certificate NAME has NAME.pem (its chain) and NAME.key."""

    def __init__(self, folder):
        self.folder = folder
        self.serial = 0
        self.ca = self.root("ca")

    def path(self, name):
        return self.folder / name

    def key(self, name, kind="ec"):
        path = self.path(f"{name}.key")
        if kind == "rsa":
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        elif kind == "rsa1024":
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", path)
        else:
            curve = {"ec": "P-256"}.get(kind, kind)
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", path)
        return path

    def root(self, name, kind="ec"):
        key = self.key(name, kind)
        openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN=Ringway test {name}", "-days", "30", "-sha256",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-out", self.path(f"{name}.pem"))  # fmt: skip
        return self.path(f"{name}.pem")

    def issue(self, name, hosts=("localhost",), ca="ca", kind="ec", days=(-1, 30), extra="", digest="sha256",
              is_ca=False, self_signed=False, usage="serverAuth"):  # fmt: skip
        """Returns (chain, key); a name that is there already stays what it is."""
        if self.path(f"{name}.pem").exists():
            return self.path(f"{name}.pem"), self.path(f"{name}.key")
        key, request = self.key(name, kind), self.path(f"{name}.csr")
        openssl("req", "-new", "-key", key, "-subj", f"/CN={hosts[0] if hosts else name}", "-out", request)
        names = []
        for host in hosts:
            try:
                ipaddress.ip_address(host)
                names.append(f"IP:{host}")
            except ValueError:
                names.append(f"DNS:{host}")
        section = ["[v3]", "basicConstraints=CA:" + ("TRUE" if is_ca else "FALSE")]
        if names:
            section.append("subjectAltName=" + ",".join(names))
        if usage and not is_ca:
            section.append("extendedKeyUsage=" + usage)
        section.append(extra)
        config, state = self.path(f"{name}.cnf"), self.path(f"{name}.state")
        state.mkdir()
        (state / "index.txt").write_text("")
        self.serial += 1
        (state / "serial").write_text(f"{self.serial:04x}\n")
        config.write_text(
            "[ca]\ndefault_ca=d\n[d]\n"
            f"database={state}/index.txt\nserial={state}/serial\nnew_certs_dir={state}\n"
            f"policy=p\ndefault_md={digest}\n[p]\ncommonName=supplied\n" + "\n".join(section) + "\n"
        )
        signer = ["-selfsign", "-keyfile", key] if self_signed else [
            "-cert", self.path(f"{ca}.pem"), "-keyfile", self.path(f"{ca}.key")]  # fmt: skip
        chain = self.path(f"{name}.pem")
        openssl("ca", "-batch", "-config", config, "-extensions", "v3", "-in", request, "-out", chain, "-notext",
                "-startdate", stamp(days[0]), "-enddate", stamp(days[1]), *signer)  # fmt: skip
        return chain, key

    def chain(self, name, *more):
        """A file with the certificates of several names, one behind the other."""
        path = self.path(f"{name}.chain.pem")
        path.write_text("".join(self.path(f"{n}.pem").read_text() for n in (name, *more)))
        return path


def only_group(context, name):
    """The one key exchange group that the server takes. The ssl module of Python 3.11 knows curves only, not
    X25519: there the library is asked for it (SSL_CTX_set1_groups_list), by the pointer behind the object's head.
    """
    try:
        context.set_ecdh_curve(name)
    except ssl.SSLError:
        set_groups_list = 92
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        assert ctypes.CDLL("libssl.so.3").SSL_CTX_ctrl(pointer, set_groups_list, ctypes.c_long(0), name.encode()) == 1


class Front:
    """Terminates TLS and passes the bytes on to the mock, over an SSLObject, so that what leaves can be cut as a
    test wants it.

    cut=N: what is sent leaves in writes of N bytes.  record=N: records of at most N bytes of plaintext.
    end="abrupt": FIN without close_notify.  spoil=K: a bit of the K-th byte sent after the handshake is flipped.
    """

    def __init__(self, lab, mock_port, chain, key, versions=("TLSv1_2", "TLSv1_2"), ciphers=None, curve=None,
                 client_ca=None, alpn=("http/1.1",), cut=None, record=16384, end="orderly", spoil=None):  # fmt: skip
        self.mock_port, self.cut, self.record, self.end, self.spoil = mock_port, cut, record, end, spoil
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = getattr(ssl.TLSVersion, versions[0])
        self.context.maximum_version = getattr(ssl.TLSVersion, versions[1])
        self.context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
        if curve:
            only_group(self.context, curve)
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        self.context.load_cert_chain(chain, key)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.context.sni_callback = self.seen_name
        self.names, self.sessions, self.failures, self.peers = [], [], [], []
        self.closed_orderly = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stopping = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def seen_name(self, _object, name, _context):
        self.names.append(name)

    def accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_guarded, args=(sock,), daemon=True).start()

    def serve_guarded(self, sock):
        try:
            self.serve(sock)
        except (OSError, ssl.SSLError) as e:
            self.failures.append(str(e))
        finally:
            sock.close()

    def put(self, sock, data):
        if not self.cut:
            sock.sendall(data)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), self.cut):
            sock.sendall(data[at : at + self.cut])

    def serve(self, sock):
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(inward, outward, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.put(sock, outward.read())
                data = sock.recv(65536)
                if not data:
                    raise OSError("closed during the handshake")
                inward.write(data)
            except ssl.SSLError:
                self.put(sock, outward.read())
                raise
        self.put(sock, outward.read())
        self.sessions.append(tls.session_reused)
        self.peers.append((tls.cipher()[0], tls.selected_alpn_protocol(), tls.getpeercert()))
        with socket.create_connection(("127.0.0.1", self.mock_port)) as mock:
            back = threading.Thread(target=self.answers, args=(tls, outward, sock, mock), daemon=True)
            back.start()
            self.requests(tls, inward, sock, mock)
            back.join()

    def requests(self, tls, inward, sock, mock):
        """From the gateway to the mock, until the gateway ends it."""
        while True:
            try:
                data = tls.read(65536)
                if not data:
                    self.closed_orderly = True  # close_notify came
                    break
                mock.sendall(data)
                continue
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as e:
                self.failures.append(str(e))
                break
            try:
                data = sock.recv(65536)
            except OSError:
                break
            if not data:
                break
            inward.write(data)
        try:
            mock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def answers(self, tls, outward, sock, mock):
        sent = 0
        try:
            while data := mock.recv(65536):
                out = b""
                for at in range(0, len(data), self.record):
                    tls.write(data[at : at + self.record])
                    out += outward.read()
                if self.spoil is not None and sent <= self.spoil < sent + len(out):
                    out = bytearray(out)
                    out[self.spoil - sent] ^= 4
                sent += len(out)
                self.put(sock, bytes(out))
            if self.end == "orderly":
                try:
                    tls.unwrap()
                except ssl.SSLError:
                    pass
                self.put(sock, outward.read())
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def stop(self):
        self.stopping = True
        self.listener.close()

