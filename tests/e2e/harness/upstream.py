# SPDX-License-Identifier: Apache-2.0
"""Small servers behind the gateway. A test writes an upstream's behaviour as a function that takes
one accepted connection; what it saw is kept for the test to look at."""

import hashlib
import json
import queue
import socket
import struct
import threading

from .client import Stream, parse_headers
from .patience import DEADLINE_S


class Request:
    def __init__(self, head):
        self.raw = head
        first, *rest = head.split(b"\r\n")
        self.line = first.decode("latin-1")
        self.method, self.target, self.version = self.line.split(" ")
        self.headers = parse_headers(rest)
        self.body = b""
        self.trailers = []

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None


class Connection(Stream):
    def __init__(self, sock, upstream, number):
        sock.settimeout(DEADLINE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        self.alpn = getattr(sock, "selected_alpn_protocol", lambda: None)()
        self.upstream = upstream
        self.number = number  # 0 is the first connection of this upstream

    def read_head(self):
        """The next request without its body, or None when the gateway closed."""
        try:
            request = Request(self.read_until(b"\r\n\r\n"))
        except (EOFError, OSError):
            return None
        self.upstream.requests.put(request)
        return request

    def read_body(self, request):
        if request.all("transfer-encoding"):
            assert request.all("transfer-encoding") == ["chunked"], request.headers
            assert not request.all("content-length"), request.headers
            request.body, request.trailers = self.read_chunked()
        elif request.all("content-length"):
            (length,) = request.all("content-length")
            request.body = self.read_exactly(int(length))
        return request.body

    def read_request(self):
        request = self.read_head()
        if request:
            self.read_body(request)
        return request

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def answer(self, status=200, body=b"", headers=(), reason="OK"):
        body = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def end(self):
        """Says that nothing more comes: close_notify over TLS, FIN."""
        if hasattr(self.sock, "unwrap"):
            self.sock.setblocking(False)
            try:
                self.sock.unwrap()
            except OSError:
                pass  # its answer may come or not
            self.sock.close()
        else:
            self.sock.shutdown(socket.SHUT_WR)

    def wait_closed(self):
        """Blocks until the gateway closes its end."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Upstream:
    """Listens on a port of its own; each connection runs `serve` in a thread. `tls`: an
    ssl.SSLContext; handshakes that failed are kept in `refused`."""

    def __init__(self, serve=None, host="127.0.0.1", port=0, name=None, listener=None, tls=None):
        self.serve = serve or echo
        self.name = name
        self.requests = queue.Queue()
        self.accepted = 0
        self.failures = []
        self.tls = tls
        self.refused = queue.Queue()
        self.open = set()
        self.lock = threading.Lock()
        self.listener = listener or socket.create_server((host, port), backlog=512)
        self.host, self.port = self.listener.getsockname()[:2]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                number, self.accepted = self.accepted, self.accepted + 1
                self.open.add(sock)
            threading.Thread(target=self._run, args=(sock, number), daemon=True).start()

    def _wrap(self, plain):
        """Listed as open before the handshake: the gateway has finished it before we have, and may
        be told to lose the connection in between."""
        plain.settimeout(DEADLINE_S)
        sock = plain
        try:
            with self.lock:
                self.open.discard(plain)
                sock = self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                self.open.add(sock)
            sock.do_handshake()
        except OSError as failure:
            self.refused.put(failure)
            with self.lock:
                self.open.discard(sock)
            sock.close()
            raise
        return sock

    def _run(self, sock, number):
        try:
            if self.tls:
                sock = self._wrap(sock)
            self.serve(Connection(sock, self, number))
        except (OSError, EOFError):
            pass  # the gateway or the test went away first
        except BaseException as failure:  # noqa: BLE001 - shown by the fixture
            self.failures.append(failure)
        finally:
            with self.lock:
                self.open.discard(sock)
            sock.close()

    def next_request(self):
        return self.requests.get(timeout=DEADLINE_S)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(DEADLINE_S)
        self.close_connections()

    def close_connections(self):
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def describe(request, name):
    """What an echo server answers: the request as it arrived."""
    return json.dumps({
        "name": name,
        "method": request.method,
        "target": request.target,
        "version": request.version,
        "headers": request.headers,
        "trailers": request.trailers,
        "body_bytes": len(request.body),
        "body_sha256": hashlib.sha256(request.body).hexdigest(),
    })


def echo(conn):
    while True:
        request = conn.read_request()
        if request is None:
            return
        body = b"" if request.method == "HEAD" else describe(request, conn.upstream.name)
        conn.answer(200, body, [("Content-Type", "application/json")])


def answering(raw):
    """Reads a request, sends these bytes, and again until the gateway closes."""

    def serve(conn):
        while conn.read_request():
            conn.send(raw)

    return serve
