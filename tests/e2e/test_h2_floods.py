# SPDX-License-Identifier: Apache-2.0
"""Abuse of HTTP/2 costs its sender a connection, and the gateway neither memory nor its other
clients."""

import os
import struct
import threading

import pytest
from harness import http2
from harness.http2 import WentAway, frame
from harness.manifests import one_route
from harness.patience import DEADLINE_S
from harness.upstream import answering

PLAIN = os.environ.get("SLUICEGATE_TEST_PATIENCE", "1") == "1"  # no sanitizer: memory tells
GROWTH_KIB = 8 * 1024
CPU_S = 2
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def serving(conn):
    while conn.read_request():
        conn.send(HELLO)


def withholding(conn):
    """Takes the heads of uploads and no body."""
    while request := conn.read_head():
        if request.all("transfer-encoding"):
            conn.upstream.closing.wait(DEADLINE_S)
            return
        conn.send(HELLO)


class Victim:
    """A gateway of one worker, so that attacker and others share it; what an attack may cost."""

    def __init__(self, gateway, upstream, serve=None, *args, growth_kib=GROWTH_KIB):
        self.backend = upstream(serve or serving)
        self.backend.closing = threading.Event()
        self.served = gateway(one_route(self.backend), *args, workers=1)
        self.served.check_victim = self.check  # while the attack lasts; its end checks once more
        self.growth_kib = growth_kib
        with self.served.h2_client() as client:
            assert client.request("GET", "/").status == 200

    def __enter__(self):
        self.other = self.served.h2_client()
        self.before, self.cpu = self.served.resident_kib(), self.served.cpu_s()
        return self.served

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check()
        finally:
            self.backend.closing.set()
            self.other.close()

    def check(self):
        grown, used = self.served.resident_kib() - self.before, self.served.cpu_s() - self.cpu
        assert not PLAIN or used < CPU_S, f"{used} s of CPU"
        assert not PLAIN or grown < self.growth_kib, f"grown by {grown} KiB"
        assert self.other.request("GET", "/").status == 200
        for client in (self.served.client(), self.served.h2_client()):
            with client:
                assert client.request("GET", "/").status == 200


@pytest.fixture
def victim(gateway, upstream):
    return lambda *args, **options: Victim(gateway, upstream, *args, **options)


def attack(client, pieces):
    """Sends until the gateway has enough of it; the GOAWAY it said. A thread reads meanwhile, so that
    it is not our own silence that stops it."""
    failures = []

    def read():
        try:
            client.wait_closed()
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for piece in pieces:
            client.sock.sendall(piece)
    except OSError:
        pass
    client.stream.end_sending()
    reader.join(DEADLINE_S)
    assert not reader.is_alive() and not failures, failures
    return client.goaway


def requests(client, count, end=True):
    """Heads of `count` requests, a stream each; what they are is the same bytes for all."""
    block = client.encoder.encode(client.pseudo("GET", "/", "test.example"))  # indexed from now on
    again = client.encoder.encode(client.pseudo("GET", "/", "test.example"))
    flags = http2.END_HEADERS | (http2.END_STREAM if end else 0)
    for i in range(count):
        client.exchange(client.next_number)
        yield client.next_number, frame(http2.HEADERS, flags, client.next_number, again if i else block)
        client.next_number += 2


def is_calm(goaway):
    """Ended for abuse, and said so where it could still be said."""
    return goaway is None or goaway[1] in (http2.ENHANCE_YOUR_CALM, http2.PROTOCOL_ERROR,
                                           http2.FLOW_CONTROL_ERROR, http2.INTERNAL_ERROR)


def test_rapid_reset(victim):
    """CVE-2023-44487: each reset makes room for the next stream."""
    with victim(serving) as served, served.h2_client() as client:
        def pieces():
            batch = []
            for number, head in requests(client, 20_000):
                batch.append(head + frame(http2.RST_STREAM, 0, number,
                                          struct.pack(">I", http2.CANCEL)))
                if len(batch) == 100:
                    yield b"".join(batch)
                    batch.clear()

        before = served.metrics()
        goaway = attack(client, pieces())
        assert is_calm(goaway)
        reached = served.metric("sluicegate_downstream_requests_total") - before["sluicegate_downstream_requests_total"]
        assert reached < 5_000, f"{reached} of 20000 were served"


def test_continuation_flood(victim):
    """CVE-2024-27316 and kin: a head without an end."""
    with victim() as served, served.h2_client() as client:
        def pieces():
            yield frame(http2.HEADERS, http2.END_STREAM, 1, client.encoder.encode(
                client.pseudo("GET", "/", "test.example")))
            for i in range(2_000):
                field = http2.literal(f"x-{i}", "y" * 100) * 100
                yield frame(http2.CONTINUATION, 0, 1, field[:16_000])

        assert is_calm(attack(client, pieces()))


def test_empty_continuation_flood(victim):
    with victim() as served, served.h2_client() as client:
        def pieces():
            yield frame(http2.HEADERS, http2.END_STREAM, 1, client.encoder.encode(
                client.pseudo("GET", "/", "test.example")))
            for _ in range(100):
                yield frame(http2.CONTINUATION, 0, 1) * 1_000

        assert is_calm(attack(client, pieces()))


@pytest.mark.parametrize("kind", ["ping", "settings", "priority", "window", "unknown"])
def test_control_frame_flood(victim, kind):
    """Each asks for an answer, or for work; the client never reads."""
    piece = {
        "ping": frame(http2.PING, 0, 0, b"12345678"),
        "settings": http2.settings_frame({http2.INITIAL_WINDOW_SIZE: 65535}),
        "priority": frame(http2.PRIORITY, 0, 1, struct.pack(">IB", 0, 1)),
        "window": http2.window_update(0, 1),
        "unknown": frame(0x42, 0, 0, b"x"),
    }[kind]
    with victim() as served, served.h2_client(receive_buffer=4096) as client:
        client.sock.settimeout(DEADLINE_S)
        try:
            for _ in range(400):
                client.sock.sendall(piece * 1_000)
            client.sock.shutdown(1)
        except TimeoutError as stuck:
            raise AssertionError("the gateway stopped reading, and keeps the connection") from stuck
        except OSError:
            pass
        assert is_calm(client.wait_closed())


@pytest.mark.parametrize("kind", ["data", "headers"])
def test_empty_frame_flood(victim, kind):
    """CVE-2019-9518: frames that carry nothing and end nothing."""
    with victim(serving) as served, served.h2_client() as client:
        def pieces():
            (number, head), = requests(client, 1, end=False)
            yield head
            empty = (frame(http2.DATA, 0, number) if kind == "data"
                     else frame(http2.HEADERS, http2.END_HEADERS, number))
            for _ in range(200):
                yield empty * 1_000

        assert is_calm(attack(client, pieces()))


def test_hpack_bomb(victim):
    """One long field in the table, then heads of nothing but 1-byte references to it, at a window of
    zero so that the answers stay: what they unfold to is what counts."""
    with victim() as served, served.h2_client(settings={http2.INITIAL_WINDOW_SIZE: 0}) as client:
        long_one = (b"\x40\x06x-bomb" + b"\x7f" + bytes([0x80 | (3_900 - 127) & 0x7f,
                                                          (3_900 - 127) >> 7]) + b"y" * 3_900)

        client.exchange(1)

        def pieces():
            first = client.encoder.encode(client.pseudo("GET", "/", "test.example"))
            yield frame(http2.HEADERS, 5, 1, first + long_one)
            for i in range(1_000):
                client.exchange(3 + 2 * i)
                yield frame(http2.HEADERS, 5, 3 + 2 * i, first_again + b"\xbe" * 16_000)

        # Fields that never enter the table leave the bomb at its first dynamic place.
        first_again = b"".join(http2.literal(k, v) for k, v in client.pseudo("GET", "/", "test.example"))
        assert is_calm(attack(client, pieces()))


def test_hpack_bombs_below_the_limits(victim):
    """As many heads as may wait at once, each of 90 references to a field of 500 bytes."""
    with victim(withholding, growth_kib=8 * 1024) as served, served.h2_client() as client:
        pseudo = b"".join(http2.literal(k, v) for k, v in client.pseudo("POST", "/", "test.example"))
        long_one = (b"\x40\x01x" + b"\x7f" + bytes([0x80 | (500 - 127) & 0x7f, (500 - 127) >> 7])
                    + b"y" * 500)
        client.begin_raw(pseudo + long_one, end=False)
        for _ in range(99):
            client.begin_raw(pseudo + b"\xbe" * 90, end=False)
        client.ping()
        served.check_victim()


def test_answers_that_nobody_takes_cost_little(victim):
    """Slow windows: 100 answers of 1 MiB each, and no window for any."""
    def serve(conn):
        while request := conn.read_request():
            conn.answer(200, b"x" * (1 << 20 if request.target == "/large" else 5))

    with victim(serve, growth_kib=16 * 1024) as served, \
            served.h2_client(settings={http2.INITIAL_WINDOW_SIZE: 0}) as client:
        asked = [client.begin("GET", "/large") for _ in range(100)]
        client.wait(lambda: all(x.headers for x in asked))
        client.ping()
        served.check_victim()


def test_a_window_of_one_byte_is_served_but_not_for_ever(victim):
    """Each answer crawls; the connection is ended when no byte moves any more."""
    with victim(None, "--idle-timeout", "500ms") as served, \
            served.h2_client(settings={http2.INITIAL_WINDOW_SIZE: 1}, acknowledges=False) as client:
        one = client.begin("GET", "/")
        client.wait(lambda: len(one.parts) == 1)
        client.give(one.number, 1)
        client.wait(lambda: len(one.parts) == 2)
        client.finish(one)  # and no more window
        assert one.reset is not None and not one.has_ended


@pytest.mark.parametrize("where", ["stream", "connection", "settings"])
def test_window_overflow(victim, where):
    """RFC 9113, 6.9.1: beyond 2^31-1 is an error."""
    with victim(serving) as served, served.h2_client() as client:
        one = client.begin("POST", "/", end=False)
        if where == "settings":
            client.send(http2.window_update(one.number, 0x7fffffff - 65535))
            client.send(http2.settings_frame({http2.INITIAL_WINDOW_SIZE: 0x7fffffff}))
        else:
            number = one.number if where == "stream" else 0
            for _ in range(2):
                client.send(http2.window_update(number, 0x7fffffff))
        try:
            client.finish(one)
            assert where != "connection" and one.reset == http2.FLOW_CONTROL_ERROR
        except WentAway:
            assert client.goaway[1] == http2.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("where", ["stream", "connection"])
def test_more_data_than_the_window_is_an_error(victim, where):
    with victim(withholding) as served, served.h2_client() as client:
        def pieces():
            data = b"x" * 16_384
            for number, head in requests(client, 1 if where == "stream" else 50, end=False):
                yield head
                for _ in range(4_000 if where == "stream" else 100):
                    yield frame(http2.DATA, 0, number, data)

        goaway = attack(client, pieces())
        assert goaway is None or goaway[1] in (http2.FLOW_CONTROL_ERROR,
                                               http2.ENHANCE_YOUR_CALM), goaway


def test_idle_streams_by_the_thousand(victim):
    """Connections with as many open uploads as may be, none of which says another word."""
    with victim(serving, growth_kib=64 * 1024) as served:
        clients = [served.h2_client() for _ in range(10)]
        try:
            for client in clients:
                for _, head in requests(client, 100, end=False):
                    client.send(head)
                client.ping()
            served.check_victim()
        finally:
            for client in clients:
                client.close()


def test_connections_that_say_nothing_are_bounded_by_time(gateway, upstream):
    served = gateway(one_route(upstream(answering(HELLO))), "--keepalive-timeout", "300ms")
    clients = [served.h2_client() for _ in range(50)]
    for client in clients:
        client.wait_closed()
        client.close()
