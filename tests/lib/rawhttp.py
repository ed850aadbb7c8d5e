"""HTTP/1.1 over plain sockets for tests that must see, send or break single bytes.

Nothing here is lenient: an answer that is not well-formed raises BadAnswer, and bytes behind an
answer stay in the connection.
"""

import json
import socket
import struct

TIMEOUT_SECONDS = 10.0


class BadAnswer(Exception):
    """What came back is not a well-formed, complete HTTP/1.1 answer."""


class Answer:
    def __init__(self, version, status, headers, body, head):
        self.version = version
        self.status = status
        self.headers = headers  # [(name in lower case, value)]
        self.body = body
        self.head = head  # as received

    def header(self, name):
        values = [v for n, v in self.headers if n == name.lower()]
        if len(values) > 1:
            raise BadAnswer(f"{len(values)} fields {name}: {values}")
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def closes(self):
        return "close" in (self.header("connection") or "").lower()

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


def request(method, target, headers=(), body=b"", host="gateway.test", version="HTTP/1.1"):
    """The bytes of a request. A Content-Length is added when there is a body and no framing field."""
    lines = [f"{method} {target} {version}"]
    names = {name.lower() for name, _ in headers}
    if host is not None and "host" not in names:
        lines.append(f"host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(parts, trailers=()):
    """A chunked body of these parts."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts if p)
    return out + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n"


class Connection:
    """One client connection. `address` is (host, port) or a path of a unix socket."""

    def __init__(self, address, timeout=TIMEOUT_SECONDS, bind=None):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout, source_address=bind)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending and leaving

    def send(self, data):
        self.sock.sendall(data)
        return self

    def send_some(self, data):
        """Send what the other side takes; True if all of it went. For peers that answer and close early."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        """FIN, but go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    # ---- receiving

    def fill(self):
        """Receive once; False at the end."""
        data = self.sock.recv(65536)
        self.unread += data
        return bool(data)

    def until(self, mark):
        """Everything up to and including `mark`."""
        while mark not in self.unread:
            if not self.fill():
                raise BadAnswer(f"closed before {mark!r}; received {self.unread[-300:]!r}")
        at = self.unread.index(mark) + len(mark)
        out, self.unread = self.unread[:at], self.unread[at:]
        return out

    def exactly(self, count):
        while len(self.unread) < count:
            if not self.fill():
                raise BadAnswer(f"closed after {len(self.unread)} of {count} bytes")
        out, self.unread = self.unread[:count], self.unread[count:]
        return out

    def to_end(self):
        """Everything until the other side closes (a reset counts as an end)."""
        try:
            while self.fill():
                pass
        except ConnectionResetError:
            pass
        out, self.unread = self.unread, b""
        return out

    def head(self):
        """An answer without its body."""
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if (
            len(parts) != 3
            or not parts[0].startswith("HTTP/1.")
            or not parts[1].isdigit()
            or len(parts[1]) != 3
        ):
            raise BadAnswer(f"status line {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
                raise BadAnswer(f"header line {line!r}")
            headers.append((name.lower(), value.strip()))
        return Answer(parts[0], int(parts[1]), headers, b"", raw)

    def chunks(self):
        """The chunks of a chunked body, as they arrive, without the framing; ends after the last chunk."""
        while True:
            size = self.until(b"\r\n")[:-2]
            if not size or size.strip(b"0123456789abcdefABCDEF"):
                raise BadAnswer(f"chunk size {size!r}")
            count = int(size, 16)
            if count == 0:
                while self.until(b"\r\n") != b"\r\n":
                    pass
                return
            data = self.exactly(count + 2)
            if data[-2:] != b"\r\n":
                raise BadAnswer(f"chunk of {count} bytes ends with {data[-2:]!r}")
            yield data[:-2]

    def answer(self, method="GET"):
        """One whole final answer; interim ones are skipped."""
        while True:
            found = self.head()
            if found.status >= 200:
                break
        lengths = {v for n, v in found.headers if n == "content-length"}
        coding = found.header("transfer-encoding")
        if len(lengths) > 1 or (lengths and coding):
            raise BadAnswer(f"ambiguous framing: {found.headers}")
        if method == "HEAD" or found.status in (204, 304):
            pass
        elif coding:
            if coding.lower() != "chunked":
                raise BadAnswer(f"transfer-encoding {coding!r}")
            found.body = b"".join(self.chunks())
        elif lengths:
            found.body = self.exactly(int(lengths.pop()))
        else:
            found.body = self.to_end()
        return found

    def ask(self, method, target, headers=(), body=b"", **more):
        """Send a request and read its answer."""
        self.send(request(method, target, headers, body, **more))
        return self.answer(method)

    def is_closed(self, timeout=2.0):
        """True if the other side closes within the time without sending anything more."""
        if self.unread:
            return False
        self.sock.settimeout(timeout)
        try:
            return not self.fill()
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(TIMEOUT_SECONDS)


def events(body):
    """The data of each server-sent event, decoded as the official SDKs do: an unterminated last event
    is dropped.
    """
    out, data = [], []
    text = body.decode().replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    for line in lines[:-1]:
        if not line:
            if data:
                out.append("\n".join(data))
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    return out
