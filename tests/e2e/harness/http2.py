# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame (RFC 9113), for either end of a connection. What a test does not do itself
is done as a good peer does it, and what comes is judged strictly: windows, states, field names."""

import hashlib
import json
import struct
from typing import NamedTuple

import hpack

from .client import Client

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
 INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings_frame(settings):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", k, v) for k, v in settings.items()))


def window_update(stream, by):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))


def literal(name, value):
    """A header field without any compression (RFC 7541, 6.2.2), whatever its bytes are."""
    def text(data):
        assert len(data) < 127
        return bytes([len(data)]) + data

    return b"\0" + text(name.encode("latin-1")) + text(value.encode("latin-1"))


class Exchange:
    """One stream as this end sees it."""

    def __init__(self, number, send_window):
        self.number = number
        self.send_window = send_window
        self.headers = None  # of the final response, or of the request; without pseudo-headers
        self.pseudo = {}
        self.interim = []  # (status, headers)
        self.body = b""
        self.parts = []
        self.trailers = []
        self.has_ended = False
        self.reset = None  # error code of the peer's RST_STREAM
        self.unacknowledged = 0
        self.receive_window = 0

    @property
    def status(self):
        return int(self.pseudo[":status"])

    @property
    def text(self):
        return self.body.decode(errors="backslashreplace")

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values} in {self.headers}"
        return values[0]

    def __repr__(self):
        return (f"<stream {self.number} {self.pseudo} {self.headers} {self.body[:200]!r} "
                f"ended={self.has_ended} reset={self.reset}>")


class WentAway(EOFError):
    """The peer closed, or said GOAWAY and will not serve this stream."""


class Connection2:
    """Both ends. `settings` are those that are announced. `acknowledges`: gives windows back as
    bytes come; False: only give() does."""

    def __init__(self, stream, is_client, settings=None, acknowledges=True):
        self.stream = stream  # a Stream: buffered reading
        self.sock = stream.sock
        self.is_client = is_client
        self.settings = dict(settings or {})
        self.acknowledges = acknowledges
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self.decoder.max_allowed_table_size = self.settings.get(HEADER_TABLE_SIZE, 4096)
        self.peer = {}
        self.exchanges = {}
        self.next_number = 1
        self.send_window = 65535
        self.receive_window = 65535
        self.unacknowledged = 0
        self.goaway = None  # (last stream, code, debug text)
        self.pongs = []
        self.settings_acknowledged = False
        self.header_block = None
        self.new = []  # numbers of streams that the peer opened

    def start(self):
        self.sock.sendall((PREFACE if self.is_client else b"") + settings_frame(self.settings))
        return self

    def send(self, data):
        self.sock.sendall(data)

    # -- sending --

    def exchange(self, number):
        if number not in self.exchanges:
            one = Exchange(number, self.peer.get(INITIAL_WINDOW_SIZE, 65535))
            one.receive_window = self.settings.get(INITIAL_WINDOW_SIZE, 65535)
            self.exchanges[number] = one
        return self.exchanges[number]

    def send_headers(self, number, headers, end=False):
        """Headers as (name, value); split into CONTINUATION where it must be."""
        block = self.encoder.encode([(k, v) for k, v in headers], huffman=True)
        self.send_block(number, block, end)

    def send_block(self, number, block, end=False, piece=16384):
        parts = [block[i:i + piece] for i in range(0, len(block), piece)] or [b""]
        out = b""
        for i, part in enumerate(parts):
            flags = (END_HEADERS if i + 1 == len(parts) else 0) | (END_STREAM if end and i == 0 else 0)
            out += frame(CONTINUATION if i else HEADERS, flags, number, part)
        self.send(out)

    def send_data(self, number, data, end=True, wait=True):
        """Within the peer's windows; reads frames until there is room."""
        one = self.exchange(number)
        size = self.peer.get(MAX_FRAME_SIZE, 16384)
        while data:
            room = min(one.send_window, self.send_window, size, len(data))
            if room <= 0:
                if not wait:
                    break
                self.read()
                if one.reset is not None:
                    return data
                continue
            part, data = data[:room], data[room:]
            one.send_window -= room
            self.send_window -= room
            self.send(frame(DATA, END_STREAM if end and not data else 0, number, part))
            if not data:
                return data
        if end and not data:
            self.send(frame(DATA, END_STREAM, number))
        return data

    def reset(self, number, code=CANCEL):
        self.send(frame(RST_STREAM, 0, number, struct.pack(">I", code)))

    def ping(self, data=b"12345678"):
        """Everything sent before it was handled once the answer is there."""
        self.send(frame(PING, 0, 0, data))
        self.wait(lambda: data in self.pongs)
        self.pongs.remove(data)

    def say_goaway(self, last, code=NO_ERROR, debug=b""):
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug))

    def give(self, number, by):
        """Window for the stream (0: the connection)."""
        if number:
            self.exchange(number).receive_window += by
        else:
            self.receive_window += by
        self.send(window_update(number, by))

    # -- receiving --

    def read_frame(self):
        head = self.stream.read_exactly(9)
        (length,) = struct.unpack(">I", b"\0" + head[:3])
        kind, flags, number = struct.unpack(">BBI", head[3:])
        assert length <= self.settings.get(MAX_FRAME_SIZE, 16384), f"a frame of {length} bytes"
        return Frame(kind, flags, number, self.stream.read_exactly(length))

    def read(self):
        """Takes up one frame; returns it. WentAway at the end."""
        try:
            one = self.read_frame()
        except (EOFError, ConnectionResetError) as end:
            raise WentAway(f"closed; GOAWAY: {self.goaway}") from end
        if self.header_block is not None:
            assert one.kind == CONTINUATION, one
        handler = {DATA: self._on_data, HEADERS: self._on_headers, CONTINUATION: self._on_headers,
                   RST_STREAM: self._on_reset, SETTINGS: self._on_settings, PING: self._on_ping,
                   GOAWAY: self._on_goaway, WINDOW_UPDATE: self._on_window}.get(one.kind)
        assert one.kind != PUSH_PROMISE, "nobody asked for pushes"
        if handler:
            handler(one)
        return one

    def wait(self, condition):
        """Reads frames until it holds; returns its value."""
        while not (value := condition()):
            self.read()
        return value

    def wait_closed(self):
        """Until the peer closes; the GOAWAY it said, if any."""
        try:
            while True:
                self.read()
        except TimeoutError:
            raise AssertionError("the connection is still open") from None
        except (WentAway, OSError):
            return self.goaway

    def _on_data(self, one):
        exchange = self.exchanges[one.stream]
        assert not exchange.has_ended, f"DATA behind the end: {exchange}"
        assert exchange.headers is not None, "DATA before HEADERS"
        size = len(one.payload)
        exchange.receive_window -= size
        self.receive_window -= size
        assert exchange.receive_window >= 0, "the stream's window was overrun"
        assert self.receive_window >= 0, "the connection's window was overrun"
        data = one.payload
        if one.flags & PADDED:
            data = data[1:len(data) - data[0]]
        exchange.parts.append(data)
        if self.acknowledges:
            self.unacknowledged += size
            exchange.unacknowledged += size
            if self.unacknowledged > 16384 or self.receive_window < 16384:
                self.give(0, self.unacknowledged)
                self.unacknowledged = 0
            limit = min(16384, self.settings.get(INITIAL_WINDOW_SIZE, 65535) // 2)
            if exchange.unacknowledged > limit and not one.flags & END_STREAM:
                self.give(one.stream, exchange.unacknowledged)
                exchange.unacknowledged = 0
        if one.flags & END_STREAM:
            self._end(exchange)

    def _end(self, exchange):
        exchange.has_ended = True
        exchange.body = b"".join(exchange.parts)

    def _on_headers(self, one):
        if one.kind == HEADERS:
            payload = one.payload
            if one.flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if one.flags & 0x20:  # PRIORITY
                payload = payload[5:]
            self.header_block = [one, payload]
        else:
            self.header_block[1] += one.payload
        if not one.flags & END_HEADERS:
            return
        first, block = self.header_block
        self.header_block = None
        fields = [(k.decode("latin-1") if isinstance(k, bytes) else k,
                   v.decode("latin-1") if isinstance(v, bytes) else v)
                  for k, v in self.decoder.decode(block, raw=True)]
        if first.stream not in self.exchanges:
            assert not self.is_client and first.stream % 2 == 1, f"a stream out of nothing: {first}"
            self.new.append(first.stream)
        self._take_fields(self.exchange(first.stream), fields, first.flags & END_STREAM)

    def _take_fields(self, exchange, fields, end):
        for name, value in fields:
            assert name == name.lower() and value == value.strip(" \t"), (name, value)
            assert name not in CONNECTION_SPECIFIC, (name, value)
            assert name != "te" or value == "trailers", (name, value)
            assert not set(value) & set("\r\n\0"), (name, value)
        pseudo = {k: v for k, v in fields if k.startswith(":")}
        names = [k for k, _ in fields]
        assert names[:len(pseudo)] == list(pseudo), f"pseudo-headers not first, or twice: {names}"
        plain = fields[len(pseudo):]
        assert not exchange.has_ended, f"HEADERS behind the end: {exchange}"
        if exchange.headers is not None:
            assert end and not pseudo, "trailers end a stream and have no pseudo-headers"
            exchange.trailers = plain
        elif self.is_client and pseudo[":status"][0] == "1":
            assert not end and pseudo[":status"] != "101"
            exchange.interim.append((int(pseudo[":status"]), plain))
        else:
            exchange.pseudo, exchange.headers = pseudo, plain
        if end:
            self._end(exchange)

    def _on_reset(self, one):
        exchange = self.exchange(one.stream)  # also of one that was sent as mere bytes
        (exchange.reset,) = struct.unpack(">I", one.payload)
        exchange.body = b"".join(exchange.parts)

    def _on_settings(self, one):
        if one.flags & ACK:
            self.settings_acknowledged = True
            return
        old = self.peer.get(INITIAL_WINDOW_SIZE, 65535)
        for i in range(0, len(one.payload), 6):
            key, value = struct.unpack(">HI", one.payload[i:i + 6])
            self.peer[key] = value
        for exchange in self.exchanges.values():
            exchange.send_window += self.peer.get(INITIAL_WINDOW_SIZE, 65535) - old
        if HEADER_TABLE_SIZE in self.peer:
            self.encoder.header_table_size = min(self.peer[HEADER_TABLE_SIZE], 65536)
        self.send(frame(SETTINGS, ACK))

    def _on_ping(self, one):
        if one.flags & ACK:
            self.pongs.append(one.payload)
        else:
            self.send(frame(PING, ACK, 0, one.payload))

    def _on_goaway(self, one):
        last, code = struct.unpack(">II", one.payload[:8])
        self.goaway = (last, code, one.payload[8:])

    def _on_window(self, one):
        (by,) = struct.unpack(">I", one.payload)
        assert by > 0
        if one.stream == 0:
            self.send_window += by
        elif one.stream in self.exchanges:
            self.exchanges[one.stream].send_window += by


class Client2(Connection2):
    """A client's connection, over TLS (ALPN h2) or with prior knowledge."""

    def __init__(self, port, host="127.0.0.1", tls=None, sni=None, settings=None,
                 acknowledges=True, starts=True, **options):
        client = Client(port, host, tls=tls, sni=sni, **options)
        if tls:
            assert client.alpn == "h2", f"ALPN: {client.alpn}"
        super().__init__(client, True, settings, acknowledges)
        if starts:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()

    def pseudo(self, method, target, host, scheme=None):
        scheme = scheme or ("https" if hasattr(self.sock, "cipher") else "http")
        return [(":method", method), (":scheme", scheme), (":authority", host), (":path", target)]

    def begin(self, method, target, host="test.example", headers=(), end=True):
        """Opens a stream; returns its Exchange."""
        number = self.next_number
        self.next_number += 2
        one = self.exchange(number)
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        self.send_headers(number, self.pseudo(method, target, host) + headers, end)
        return one

    def begin_raw(self, block, end=True):
        """The same with a header block made by hand."""
        number = self.next_number
        self.next_number += 2
        one = self.exchange(number)
        self.send_block(number, block, end)
        return one

    def finish(self, *exchanges):
        """Reads until all of them ended or were reset."""
        for one in exchanges:
            while not one.has_ended and one.reset is None:
                if self.goaway and self.goaway[0] < one.number:
                    raise WentAway(f"GOAWAY {self.goaway} before stream {one.number}")
                self.read()
        return exchanges[0] if len(exchanges) == 1 else exchanges

    def request(self, method, target, host="test.example", headers=(), body=None, trailers=()):
        ends_with_head = body is None and not trailers
        one = self.begin(method, target, host, headers, end=ends_with_head)
        if body is not None:
            self.send_data(one.number, body, end=not trailers)
        if trailers and one.reset is None:
            self.send_headers(one.number, trailers, end=True)
        return self.finish(one)


# -- the other end --

class Server2(Connection2):
    """On an accepted connection of an Upstream: prior knowledge, or ALPN has decided."""

    def __init__(self, conn, settings=None, acknowledges=True):
        super().__init__(conn, False, settings, acknowledges)
        self.conn = conn
        assert conn.read_exactly(len(PREFACE)) == PREFACE
        self.start()

    def next_stream(self):
        """The next request whose head is there; its body may still be on its way. None: the
        gateway closed."""
        try:
            self.wait(lambda: self.new)
        except (WentAway, OSError):
            return None
        one = self.exchanges[self.new.pop(0)]
        for name in (":method", ":scheme", ":path"):
            if one.pseudo.get(":method") != "CONNECT":
                assert one.pseudo.get(name), one
        return one

    def next_request(self):
        """The next one that is complete."""
        one = self.next_stream()
        if one:
            self.wait(lambda: one.has_ended or one.reset is not None)
        return one

    def answer(self, one, status=200, body=b"", headers=(), trailers=(), length=True):
        body = body.encode() if isinstance(body, str) else body
        fields = [(":status", str(status))]
        if length:
            fields.append(("content-length", str(len(body))))
        fields += [(k.lower(), v) for k, v in headers]
        self.send_headers(one.number, fields, end=not body and not trailers)
        if body:
            self.send_data(one.number, body, end=not trailers)
        if trailers and one.reset is None:
            self.send_headers(one.number, trailers, end=True)


def echo2(conn, settings=None):
    """As upstream.echo: answers each request with a description of it."""
    server = Server2(conn, settings)
    while one := server.next_request():
        if one.reset is None:
            server.answer(one, 200, describe(one, conn.upstream.name),
                          [("content-type", "application/json")])


def describe(one, name):
    return json.dumps({
        "name": name, "method": one.pseudo[":method"], "target": one.pseudo[":path"],
        "version": "HTTP/2", "scheme": one.pseudo[":scheme"], "host": one.pseudo.get(":authority"),
        "headers": one.headers, "trailers": one.trailers, "body_bytes": len(one.body),
        "body_sha256": hashlib.sha256(one.body).hexdigest(),
    })
