# SPDX-License-Identifier: Apache-2.0
"""WebSocket where HTTP/2 is spoken (RFC 8441): either side may, or both; and over TLS."""

import asyncio
import base64
import hashlib
import os
import queue
import socket
import struct
import threading

import pytest
import websockets
from harness import http2
from harness.http2 import Server2
from harness.manifests import documents, https_route, ingress, one_route, path, service
from harness.patience import DEADLINE_S, wait_until

H2C = "kubernetes.io/h2c"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = [("sec-websocket-version", "13")]


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def message(data, opcode=1):
    """A masked frame, as clients send them."""
    mask = os.urandom(4)
    size = len(data)
    head = (bytes([0x80 | opcode, 0x80 | size]) if size < 126 else
            bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", size) if size < 65536 else
            bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", size))
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    return head + mask + masked


def unmasked(data, opcode=1):
    size = len(data)
    head = (bytes([0x80 | opcode, size]) if size < 126 else
            bytes([0x80 | opcode, 126]) + struct.pack(">H", size) if size < 65536 else
            bytes([0x80 | opcode, 127]) + struct.pack(">Q", size))
    return head + data


def begin(client, target="/chat", headers=(), protocol="websocket"):
    number = client.next_number
    client.next_number += 2
    one = client.exchange(number)
    client.send_headers(number, [
        (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", target),
        (":authority", "test.example"), *VERSION, *headers])
    return one


def received(one):
    return b"".join(one.parts)


def wait_bytes(client, one, count):
    client.wait(lambda: len(received(one)) >= count or one.reset is not None or one.has_ended)
    return received(one)


@pytest.fixture
def websocket_echo():
    """A websockets server that returns each message; yields its address."""
    loop = asyncio.new_event_loop()

    async def echo(websocket, *_):
        async for data in websocket:
            await websocket.send(data)

    async def listen():
        return await websockets.serve(echo, "127.0.0.1", 0, max_size=None, compression=None,
                                      subprotocols=["chat"])

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server.sockets[0].getsockname()

    async def stop():
        server.close()
        await server.wait_closed()

    asyncio.run_coroutine_threadsafe(stop(), loop).result(DEADLINE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def tunnel_echo(conn):
    """An HTTP/2 server that takes extended CONNECT and returns each stream's bytes."""
    server = Server2(conn, {http2.ENABLE_CONNECT_PROTOCOL: 1})
    while one := server.next_stream():
        conn.upstream.requests.put(one)
        server.send_headers(one.number, [(":status", "200")])
        sent = 0
        while not one.has_ended and one.reset is None:
            data = received(one)[sent:]
            if data:
                server.send_data(one.number, data, end=False)
                sent += len(data)
            else:
                server.read()
        if one.reset is None:
            server.send_data(one.number, received(one)[sent:], end=True)


# -- HTTP/2 in front --

def test_it_is_announced(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.h2_client() as client:
        client.ping()
        assert client.peer[http2.ENABLE_CONNECT_PROTOCOL] == 1


def test_over_h2_to_a_server_of_http1(gateway, websocket_echo):
    served = gateway(one_route(websocket_echo))
    with served.h2_client() as client:
        one = begin(client, headers=[("sec-websocket-protocol", "chat")])
        client.wait(lambda: one.headers is not None)
        assert one.status == 200 and one["sec-websocket-protocol"] == "chat"
        for name in ("sec-websocket-accept", "upgrade", "connection"):
            assert not one.all(name), name
        want = b""
        for data in (b"hello", b"", b"x" * 1000, b"y" * 300_000):
            client.send_data(one.number, message(data), end=False)
            want += unmasked(data)
            assert wait_bytes(client, one, len(want)) == want
        # Other streams go on beside it.
        assert client.request("GET", "/", host="nobody.example").status == 404
        client.send_data(one.number, message(struct.pack(">H", 1000), 8), end=True)
        client.finish(one)
        assert received(one)[len(want):] == unmasked(struct.pack(">H", 1000), 8)
    line = served.access_log.wait_for(r'/chat HTTP/2" (\d+) (\S+) (\S+)')[0]
    assert line.group(1) in ("200", "101") and line.group(3) == "via_upstream"


def test_the_server_of_http1_sees_an_ordinary_upgrade(gateway, upstream):
    def serve(conn):
        request = conn.read_request()
        assert request.line == "GET /chat?x=y HTTP/1.1"
        assert [v.lower() for v in request.all("connection")] == ["upgrade"]
        assert [v.lower() for v in request.all("upgrade")] == ["websocket"]
        (key,) = request.all("sec-websocket-key")
        assert len(base64.b64decode(key)) == 16 and request.all("sec-websocket-version") == ["13"]
        assert not request.all("content-length") and not request.all("transfer-encoding")
        accept = accept_of(key) if request.get("x-case") == "right" else "wrong"
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\n\r\nearly")
        conn.send(conn.read_exactly(4))
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = begin(client, "/chat?x=y", [("x-case", "right")])
        client.send_data(one.number, b"ping", end=False)
        assert wait_bytes(client, one, 9) == b"earlyping"
        client.reset(one.number)
        wrong = begin(client, "/chat?x=y", [("x-case", "wrong")])
        client.wait(lambda: wrong.headers is not None or wrong.reset is not None)
        assert wrong.reset is not None or wrong.status in (502, 503)
        if wrong.reset is None and not wrong.has_ended:
            client.reset(wrong.number)


def test_a_refusal_is_an_ordinary_answer(gateway, upstream):
    def serve(conn):
        while conn.read_request():
            conn.answer(403, "no", reason="Forbidden")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        for _ in range(2):
            one = begin(client)
            client.finish(one)
            assert (one.status, one.text) == (403, "no")


def test_either_end_ends_it(gateway, upstream):
    closed = queue.Queue()

    def serve(conn):
        request = conn.read_request()
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept_of(request.get('sec-websocket-key'))}\r\n\r\n")
        if request.target == "/server":
            return
        conn.wait_closed()
        closed.put(request.target)

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = begin(client, "/server")
        client.finish(one)
        assert one.status == 200 and one.body == b""
        for target in ("/reset", "/end", "/leave"):
            one = begin(client, target)
            client.wait(lambda x=one: x.headers is not None)
            if target == "/reset":
                client.reset(one.number)
            elif target == "/end":
                client.send_data(one.number, b"", end=True)
            else:
                client.close()
            assert closed.get(timeout=DEADLINE_S) == target
    wait_until(lambda: served.metric("sluicegate_tunnels_active") == 0, "no tunnel is left")


def test_many_tunnels_share_a_connection(gateway, websocket_echo):
    served = gateway(one_route(websocket_echo))
    with served.h2_client() as client:
        streams = [begin(client, f"/{i}") for i in range(30)]
        for i, one in enumerate(streams):
            client.send_data(one.number, message(b"%d" % i), end=False)
        for i, one in enumerate(streams):
            want = unmasked(b"%d" % i)
            assert wait_bytes(client, one, len(want)) == want


def test_a_slow_reader_holds_up_its_own_stream_alone(gateway, upstream):
    def serve(conn):
        request = conn.read_request()
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept_of(request.get('sec-websocket-key'))}\r\n\r\n")
        if request.target == "/pour":
            conn.send(b"x" * (32 << 20))
        else:
            conn.send(b"small")
            conn.wait_closed()

    served = gateway(one_route(upstream(serve)), workers=1)
    with served.h2_client(acknowledges=False) as client:
        client.give(0, 1 << 24)
        before = served.resident_kib()
        large = begin(client, "/pour")
        client.wait(lambda: large.receive_window == 0)
        assert wait_bytes(client, begin(client, "/small"), 5) == b"small"
        assert served.resident_kib() - before < 16_000


@pytest.mark.parametrize("case, headers", [
    ("no-protocol", [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"),
                     (":authority", "test.example")]),
    ("protocol-with-get", [(":method", "GET"), (":protocol", "websocket"), (":scheme", "http"),
                           (":path", "/"), (":authority", "test.example")]),
    ("no-path", [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                 (":authority", "test.example")])])
def test_what_is_no_extended_connect_is_refused(gateway, upstream, case, headers):
    backend = upstream()
    served = gateway(one_route(backend))
    with served.h2_client() as client:
        one = client.exchange(1)
        client.next_number = 3
        client.send_headers(1, headers, True)
        client.finish(one)
        assert one.reset is not None or 400 <= one.status < 600
        assert client.request("GET", "/").status == 200
    assert backend.requests.qsize() == 1


@pytest.mark.parametrize("protocol", ["websocket", "connect-udp"])
def test_an_upgrade_that_is_passed_over_is_no_tunnel(gateway, upstream, protocol):
    """A 200 of a server that knows no upgrades would mean success to the client (RFC 8441, 5)."""
    served = gateway(one_route(upstream()))
    with served.h2_client() as client:
        one = begin(client, protocol=protocol)
        client.finish(one)
        assert one.status == 502
        assert client.request("GET", "/").status == 200


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "TLS/1.2", "websocket, h2c"])
def test_no_upgrade_leads_past_the_routes(gateway, upstream, protocol):
    """To another version of HTTP: what is said in it nobody here would see."""
    backend = upstream()
    served = gateway(one_route(backend))
    with served.h2_client() as client:
        one = begin(client, protocol=protocol)
        client.finish(one)
        assert one.reset is not None or one.status in (400, 501)
    assert backend.requests.empty()


# -- HTTP/2 behind --

def test_h2_on_both_sides(gateway, upstream):
    backend = upstream(tunnel_echo)
    served = gateway(one_route(backend, app_protocol=H2C))
    with served.h2_client() as client:
        one = begin(client)
        data = os.urandom(200_000)
        client.send_data(one.number, data, end=True)
        client.finish(one)
        assert one.status == 200 and one.body == data
    request = backend.next_request()
    assert request.pseudo[":method"] == "CONNECT" and request.pseudo[":protocol"] == "websocket"
    assert request.pseudo[":path"] == "/chat" and not request.all("sec-websocket-key")


def test_http1_in_front_of_h2(gateway, upstream):
    backend = upstream(tunnel_echo)
    served = gateway(one_route(backend, app_protocol=H2C))
    key = base64.b64encode(b"k" * 16).decode()
    with served.client() as client:
        client.send_head("GET", "/chat", headers=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13")])
        client.send("early")  # before the answer is there
        answer = client.read_response()
        assert answer.status == 101 and answer["sec-websocket-accept"] == accept_of(key)
        assert client.read_exactly(5) == b"early"
        data = os.urandom(100_000)
        client.send(data)
        assert client.read_exactly(len(data)) == data
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_eof()
    request = backend.next_request()
    assert request.pseudo[":protocol"] == "websocket" and not request.all("sec-websocket-key")


def test_a_tunnel_of_an_ingress_keeps_its_rules_about_headers(gateway, upstream):
    """What the gateway says of the client, the client cannot say itself, by whatever way."""
    backend = upstream(tunnel_echo)
    served = gateway(documents(
        service("test", backend),
        ingress("test", ("test.example", path("/", "test")),
                annotations={"backend-protocol": "GRPC"})))
    with served.client() as client:
        client.send_head("GET", "/chat", headers=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "a" * 22 + "=="),
            ("Sec-WebSocket-Version", "13"), ("ssl-client-verify", "SUCCESS"),
            ("ssl_client_verify", "SUCCESS"), ("x-real-ip", "10.0.0.1")])
        assert client.read_response().status == 101
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_eof()
    request = backend.next_request()
    assert not request.all("ssl-client-verify") and not request.all("ssl_client_verify")
    assert request.all("x-real-ip") == ["127.0.0.1"] and not request.all("sec-websocket-key")


def test_a_server_of_h2_that_does_not_take_it_is_an_answer(gateway, upstream):
    served = gateway(one_route(upstream(http2.echo2), app_protocol=H2C))
    with served.h2_client() as client:
        one = begin(client)
        client.finish(one)
        assert one.reset is None and one.status in (501, 502, 503), one
        assert client.request("GET", "/").status == 200


# -- over TLS, in HTTP/1.1: what browsers do when nothing else is offered --

def test_wss(gateway, websocket_echo, authority, pair):
    served = gateway(https_route(websocket_echo, pair=pair), ports=(80, 443))

    async def talk():
        async with websockets.connect(
                f"wss://test.example:{served.tls_port}/chat", host="127.0.0.1",
                server_hostname="test.example",
                ssl=authority.client_context("http/1.1"), max_size=None) as websocket:
            for data in ("hello", b"\0" * 1000, b"x" * 1_000_000):
                await websocket.send(data)
                assert await asyncio.wait_for(websocket.recv(), DEADLINE_S) == data

    asyncio.run(talk())
