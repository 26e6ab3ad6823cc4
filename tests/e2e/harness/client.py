# SPDX-License-Identifier: Apache-2.0
"""A client that sends exactly the bytes it is told to and reads answers strictly (RFC 9112)."""

import socket
import struct

from .patience import DEADLINE_S


class Response:
    def __init__(self, version, status, reason, headers):
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers  # (name in lower case, value), as they came
        self.body = b""
        self.trailers = []
        self.interim = []  # Responses of class 1xx that came before

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values} in {self.headers}"
        return values[0]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def text(self):
        return self.body.decode(errors="backslashreplace")

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


def parse_headers(lines):
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon and name == name.strip(), f"malformed header {line!r}"
        headers.append((name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")))
    return headers


class Stream:
    """Buffered reading of a socket."""

    bytes_per_read = 65536

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def fill(self):
        data = self.sock.recv(self.bytes_per_read)
        self.buffer += data
        return bool(data)

    def read_until(self, mark, limit=1 << 20):
        while mark not in self.buffer:
            assert len(self.buffer) < limit, "head without an end"
            if not self.fill():
                raise EOFError(f"closed after {self.buffer!r}")
        data, _, self.buffer = self.buffer.partition(mark)
        return data

    def read_exactly(self, n):
        parts = []
        while n > 0:
            if not self.buffer and not self.fill():
                raise EOFError(f"closed with {n} bytes missing")
            parts.append(self.buffer[:n])
            self.buffer = self.buffer[n:]
            n -= len(parts[-1])
        return b"".join(parts)

    def read_all(self):
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def read_chunked(self):
        """Body and trailers, in the strict form that a proxy must write."""
        body = []
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body.append(self.read_exactly(size))
            assert self.read_exactly(2) == b"\r\n"
        lines = []
        while True:
            line = self.read_until(b"\r\n")
            if not line:
                return b"".join(body), parse_headers(lines)
            lines.append(line)


class Client(Stream):
    """`tls`: an ssl.SSLContext; `sni`: the name asked for, "" for none; `preamble`: bytes in front of
    everything (a PROXY header)."""

    def __init__(self, port, host="127.0.0.1", timeout=DEADLINE_S, receive_buffer=None, tls=None,
                 sni="test.example", session=None, preamble=b""):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        sock.connect((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if preamble:
            sock.sendall(preamble)
        self.alpn = None
        if tls:
            # A connection that is cut without close_notify is an error, not an end.
            try:
                sock = tls.wrap_socket(sock, server_hostname=sni or None, session=session,
                                       suppress_ragged_eofs=False)
            except BaseException:
                sock.close()
                raise
            self.alpn = sock.selected_alpn_protocol()
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def end_sending(self):
        """FIN, unless the peer has closed already."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        """Closes with RST, as a crashed peer does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def send_head(self, method, target, host="test.example", headers=(), version="HTTP/1.1"):
        lines = [f"{method} {target} {version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def request(self, method, target, host="test.example", headers=(), body=None, **options):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if body is not None:
            headers.append(("Content-Length", str(len(body))))
        self.send_head(method, target, host, headers, **options)
        if body:
            self.send(body)
        return self.read_response(method)

    def read_head(self):
        first, *rest = self.read_until(b"\r\n\r\n").split(b"\r\n")
        version, status, reason = (first + b" ").split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0") and len(status) == 3, first
        return Response(version.decode(), int(status), reason.strip().decode(), parse_headers(rest))

    def read_response(self, method="GET"):
        response = self.read_head()
        interim = []
        while 100 <= response.status < 200 and response.status != 101:
            interim.append(response)
            response = self.read_head()
        response.interim = interim
        if method != "HEAD" and response.status not in (101, 204, 304):
            self.read_body(response)
        return response

    def read_body(self, response):
        encoding, length = response.all("transfer-encoding"), response.all("content-length")
        assert not (encoding and length), response.headers
        if encoding:
            assert encoding == ["chunked"]
            response.body, response.trailers = self.read_chunked()
        elif length:
            assert len(length) == 1
            response.body = self.read_exactly(int(length[0]))
        else:
            response.body = self.read_all()

    def at_eof(self):
        """True when the peer closes without another byte, False when it sends one."""
        assert not self.buffer, self.buffer
        try:
            return not self.sock.recv(1)
        except ConnectionResetError:
            return True
