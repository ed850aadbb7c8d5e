"""An HTTP proxy for tests: CONNECT, and requests with a whole address in their first line. It knows the hosts it is
told about and nobody else; it notes what it was asked; it refuses, stalls or talks nonsense on request.
"""

import base64
import contextlib
import socket
import threading


class Proxy:
    """hosts: {"name:port": port on this machine}. user: "name:password" that it wants.

    refuse=N: answers N to everything. how: "silent" says nothing, "close" closes, "garbage" speaks no HTTP, "slow" sends
    its answer to CONNECT byte by byte.
    """

    def __init__(self, hosts, user=None, refuse=None, how=None):
        self.hosts, self.refuse, self.how = hosts, refuse, how
        self.wanted = user and "Basic " + base64.b64encode(user.encode()).decode()
        self.asked = []  # (method, target, {field: value})
        self.carried = b""  # from the gateway, behind the heads
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(sock)
            threading.Thread(target=self.guarded, args=(sock,), daemon=True).start()

    def guarded(self, sock):
        with contextlib.suppress(OSError), sock:
            self.serve(sock)
        self.open.discard(sock)

    @staticmethod
    def read_head(sock, data):
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None, b""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        return head.decode("latin-1"), rest

    def note(self, head):
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        self.asked.append((method, target, fields))
        return method, target, fields

    def refusal(self, fields):
        """A status, or None."""
        if self.refuse:
            return self.refuse
        if self.wanted and fields.get("proxy-authorization") != self.wanted:
            return 407
        return None

    def serve(self, sock):
        head, rest = self.read_head(sock, b"")
        if head is None or self.how == "close":
            return
        method, target, fields = self.note(head)
        if self.how == "silent":
            sock.recv(1)
            return
        if self.how == "garbage":
            sock.sendall(b"\x05\xff what is it you want\r\n\r\n")
            return
        status = self.refusal(fields)
        place = target if method == "CONNECT" else target.split("/")[2]
        if not status and place not in self.hosts:
            status = 502
        if status:
            sock.sendall(
                b"HTTP/1.1 %d No\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 5\r\n\r\nsorry" % status
            )
            sock.shutdown(socket.SHUT_WR)
            sock.recv(65536)
            return
        with socket.create_connection(("127.0.0.1", self.hosts[place])) as up:
            if method == "CONNECT":
                words = b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n"
                for piece in [words[i : i + 1] for i in range(len(words))] if self.how == "slow" else [words]:
                    sock.sendall(piece)
                self.pump_back(up, sock)
                self.pump(sock, up, rest)
            else:
                self.pump_back(up, sock)
                self.requests(sock, up, head, rest, method, target, fields)

    def pump(self, source, to, first=b""):
        data = first
        try:
            while True:
                if data:
                    self.carried += data
                    to.sendall(data)
                data = source.recv(65536)
                if not data:
                    break
        finally:
            with contextlib.suppress(OSError):
                to.shutdown(socket.SHUT_WR)

    def pump_back(self, up, sock):
        def run():
            with contextlib.suppress(OSError):
                while data := up.recv(65536):
                    sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)

        threading.Thread(target=run, daemon=True).start()

    def requests(self, sock, up, head, rest, method, target, fields):
        """One request after the other, each first line with the whole address."""
        while True:
            path = "/" + "/".join(target.split("/")[3:])
            lines = [f"{method} {path} HTTP/1.1", *head.split("\r\n")[1:]]
            lines = [line for line in lines if not line.lower().startswith("proxy-")]
            size = int(fields.get("content-length", 0))
            while len(rest) < size:
                rest += sock.recv(65536)
            up.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + rest[:size])
            head, rest = self.read_head(sock, rest[size:])
            if head is None:
                with contextlib.suppress(OSError):
                    up.shutdown(socket.SHUT_WR)
                return
            method, target, fields = self.note(head)

    def stop(self):
        self.listener.close()
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
