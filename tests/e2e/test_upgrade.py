# SPDX-License-Identifier: Apache-2.0
"""Upgraded connections are tunnels: WebSocket with real peers, then the edges byte by byte."""

import asyncio
import threading

import pytest
import websockets
from harness.manifests import one_route
from harness.patience import DEADLINE_S

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
SWITCHING = ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


@pytest.fixture
def websocket_echo():
    """A websockets server that returns each message; yields its address."""
    loop = asyncio.new_event_loop()

    async def echo(websocket, *_):
        async for message in websocket:
            await websocket.send(message)

    async def listen():
        return await websockets.serve(echo, "127.0.0.1", 0, max_size=None)

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


def test_websocket_messages_pass_both_ways(gateway, websocket_echo):
    served = gateway(one_route(websocket_echo))
    messages = ["hello", "", "\u00e4\u20ac", b"\x00\xff" * 1000, b"x" * 1_000_000]

    async def talk():
        url = f"ws://test.example:{served.port}/chat"
        async with websockets.connect(url, host="127.0.0.1", max_size=None) as websocket:
            for message in messages:
                await websocket.send(message)
                assert await asyncio.wait_for(websocket.recv(), DEADLINE_S) == message

    asyncio.run(talk())
    line = served.access_log.wait_for(r'"GET /chat HTTP/1.1" (\d+) (\S+) (\S+)')[0]
    assert line.group(1, 2, 3) == ("101", "-", "via_upstream")


def test_many_websockets_at_once(gateway, websocket_echo):
    served = gateway(one_route(websocket_echo))

    async def one(i):
        url = f"ws://test.example:{served.port}/{i}"
        async with websockets.connect(url, host="127.0.0.1") as websocket:
            for j in range(10):
                await websocket.send(f"{i}:{j}")
                assert await websocket.recv() == f"{i}:{j}"

    async def all_of_them():
        await asyncio.wait_for(asyncio.gather(*(one(i) for i in range(30))), DEADLINE_S)

    asyncio.run(all_of_them())


def test_the_upstream_sees_the_upgrade_and_bytes_behind_it(gateway, upstream):
    def serve(conn):
        request = conn.read_request()
        assert [v.lower() for v in request.all("connection")] == ["upgrade"]
        assert request.all("upgrade") == ["websocket"]
        conn.send(SWITCHING + "early")
        assert conn.read_exactly(4) == b"ping"
        conn.send("pong")
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.send_head("GET", "/", headers=UPGRADE)
        client.send("ping")  # before the answer is there
        answer = client.read_response()
        assert answer.status == 101 and answer["upgrade"] == "websocket"
        assert client.read_exactly(9) == b"earlypong"


def test_a_refused_upgrade_is_an_ordinary_answer(gateway, upstream):
    def serve(conn):
        while conn.read_request():
            conn.answer(403, "no", reason="Forbidden")

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        for _ in range(2):
            answer = client.request("GET", "/", headers=UPGRADE)
            assert (answer.status, answer.text) == (403, "no")


def test_an_unasked_101_is_no_tunnel(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.send(SWITCHING)
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)))
    assert served.request("POST", "/", body=b"x").status in (502, 503)


def test_either_end_closes_the_tunnel(gateway, upstream):
    closed = threading.Event()

    def serve(conn):
        conn.read_request()
        conn.send(SWITCHING)
        if conn.number == 0:
            conn.wait_closed()
            closed.set()

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.request("GET", "/", headers=UPGRADE)
    assert closed.wait(DEADLINE_S)
    with served.client() as client:
        client.request("GET", "/", headers=UPGRADE)
        assert client.at_eof()


def test_a_tunnel_that_is_silent_too_long_ends(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.send(SWITCHING)
        while data := conn.sock.recv(100):
            conn.send(data)

    served = gateway(one_route(upstream(serve)), "--tunnel-timeout", "400ms")
    with served.client() as client:
        client.request("GET", "/", headers=UPGRADE)
        for _ in range(5):
            client.send("x")
            assert client.read_exactly(1) == b"x"
        assert client.at_eof()


def test_a_slow_tunnel_reader_costs_a_bounded_buffer(gateway, upstream):
    stalled = threading.Event()

    def serve(conn):
        conn.read_request()
        conn.send(SWITCHING)
        conn.sock.settimeout(1)
        try:
            while True:
                conn.sock.send(b"x" * 65536)
        except TimeoutError:
            stalled.set()
            conn.wait_closed()

    served = gateway(one_route(upstream(serve)), workers=1)
    served.get("/", host="nobody.example")
    before = served.resident_kib()
    with served.client(receive_buffer=65536) as client:
        client.request("GET", "/", headers=UPGRADE)
        assert stalled.wait(DEADLINE_S)
        assert served.resident_kib() - before < 4096
