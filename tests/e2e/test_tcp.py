# SPDX-License-Identifier: Apache-2.0
"""TCP servers of a Gateway: who is connected to whom, and that bytes and ends pass as they are."""

import collections
import hashlib
import os
import signal
import socket
import threading

from harness.certificates import tls_secret
from harness.manifests import (documents, gateway_of, l4_route, server, service, simple,
                               virtual_service_of)
from harness.patience import DEADLINE_S, wait_until

PORT = {"ports": (9000,)}
MIB = 1 << 20


def tcp_echo(conn):
    while data := conn.sock.recv(65536):
        conn.send(data)
    conn.sock.shutdown(socket.SHUT_WR)


def naming(conn):
    conn.send(conn.upstream.name)


def tcp(*rules, services, port=9000, more=()):
    return documents(*services, gateway_of("gateway", server("*", port=port, protocol="TCP")),
                     virtual_service_of("test", "*", tcp=list(rules)), *more)


def to_one(backend):
    return tcp(l4_route("test"), services=[service("test", backend)])


def answer_of(served, port):
    with served.client(port) as client:
        return client.read_all().decode()


def test_bytes_pass_both_ways(gateway, upstream):
    served = gateway(to_one(upstream(tcp_echo)), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        for data in (b"x", b"\0" * 1000, os.urandom(100_000)):
            client.send(data)
            assert client.read_exactly(len(data)) == data


def test_large_transfers_both_ways_at_once(gateway, upstream):
    served = gateway(to_one(upstream(tcp_echo)), **PORT)
    block = hashlib.sha256(b"x").digest() * 2048  # 64 KiB
    count = 512
    with served.client(served.tcp_ports[0]) as client:
        def pour():
            for _ in range(count):
                client.sock.sendall(block)
            client.sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=pour)
        sender.start()
        want, got = hashlib.sha256(block * count).digest(), hashlib.sha256()
        total = 0
        while data := client.sock.recv(1 << 18):
            got.update(data)
            total += len(data)
        sender.join()
        assert total == count * len(block) and got.digest() == want


def test_a_half_close_of_the_client_is_kept(gateway, upstream):
    def serve(conn):
        everything = conn.read_all()
        conn.send(b"got %d, " % len(everything))
        conn.send(b"and more" * 100_000)

    served = gateway(to_one(upstream(serve)), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        client.send(b"x" * 100_000)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b"got 100000, " + b"and more" * 100_000


def test_a_half_close_of_the_upstream_is_kept(gateway, upstream):
    whole = []

    def serve(conn):
        conn.send("all I have to say")
        conn.sock.shutdown(socket.SHUT_WR)
        whole.append(conn.read_all())

    backend = upstream(serve)
    served = gateway(to_one(backend), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        assert client.read_all() == b"all I have to say"
        client.send(b"y" * 300_000)
        client.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: whole, "the upstream read it all")
    assert whole == [b"y" * 300_000]


def test_resets_pass_on(gateway, upstream):
    ended = threading.Event()

    def serve(conn):
        if conn.number == 0:
            conn.read_exactly(1)
            conn.reset()
        else:
            conn.send("x")
            conn.wait_closed()
            ended.set()

    served = gateway(to_one(upstream(serve)), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        client.send("x")
        assert client.at_eof()
    client = served.client(served.tcp_ports[0])
    assert client.read_exactly(1) == b"x"
    client.reset()
    assert ended.wait(DEADLINE_S)


def test_weights(gateway, upstream):
    one, two = upstream(naming, name="one"), upstream(naming, name="two")
    served = gateway(tcp(l4_route(("one", 75), ("two", 25)),
                         services=[service("one", one), service("two", two)]), **PORT)
    counts = collections.Counter(answer_of(served, served.tcp_ports[0]) for _ in range(200))
    assert 25 <= counts["two"] <= 80, counts
    assert sum(counts.values()) == 200 and set(counts) == {"one", "two"}


def test_endpoints_are_balanced(gateway, upstream):
    ups = [upstream(naming, name=f"up-{i}") for i in range(3)]
    served = gateway(tcp(l4_route("test"), services=[service("test", *ups)]), **PORT)
    assert {answer_of(served, served.tcp_ports[0]) for _ in range(60)} == {"up-0", "up-1", "up-2"}


def test_the_port_chooses(gateway, upstream):
    one, two = upstream(naming, name="one"), upstream(naming, name="two")
    served = gateway(documents(
        service("one", one), service("two", two),
        gateway_of("gateway", server("*", port=9000, protocol="TCP"),
                   server("*", port=9001, protocol="TCP"), server("*", port=9002, protocol="TCP")),
        virtual_service_of("test", "*", tcp=[l4_route("one", port=9000),
                                             l4_route("two", port=9001)])),
        ports=(9000, 9001, 9002))
    assert [answer_of(served, port) for port in served.tcp_ports] == ["one", "two", ""]
    served.access_log.wait_for(r"\bNR\b")


def test_the_gateway_chooses(gateway, upstream):
    one, two = upstream(naming, name="one"), upstream(naming, name="two")
    served = gateway(documents(
        service("one", one), service("two", two),
        gateway_of("first", server("*", port=9000, protocol="TCP")),
        gateway_of("second", server("*", port=9001, protocol="TCP")),
        virtual_service_of("test", "*", gateways=["first", "second"], tcp=[
            l4_route("one", gateways=["first"]), l4_route("two", gateways=["second"])])),
        ports=(9000, 9001))
    assert [answer_of(served, port) for port in served.tcp_ports] == ["one", "two"]


def test_an_upstream_that_is_not_there(gateway, upstream):
    up = upstream()
    up.close()
    served = gateway(to_one(up), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        assert client.at_eof()
    served.access_log.wait_for(r"\bUF\b")


def test_another_endpoint_is_tried_when_one_refuses(gateway, upstream):
    gone, there = upstream(), upstream(naming, name="there")
    gone.close()
    served = gateway(tcp(l4_route("test"), services=[service("test", gone, there)]), **PORT)
    assert [answer_of(served, served.tcp_ports[0]) for _ in range(8)] == ["there"] * 8


def test_a_service_without_endpoints(gateway):
    served = gateway(tcp(l4_route("test"), services=[service("test")]), **PORT)
    assert answer_of(served, served.tcp_ports[0]) == ""
    served.access_log.wait_for(r"\bUH\b")


def test_a_silent_connection_ends(gateway, upstream):
    served = gateway(to_one(upstream(tcp_echo)), "--tunnel-timeout", "400ms", **PORT)
    with served.client(served.tcp_ports[0]) as client:
        for _ in range(5):
            client.send("x")
            assert client.read_exactly(1) == b"x"
        assert client.at_eof()


def test_a_slow_reader_costs_a_bounded_buffer(gateway, upstream):
    stalled = threading.Event()

    def serve(conn):
        conn.sock.settimeout(1)
        try:
            while True:
                conn.sock.send(b"x" * 65536)
        except TimeoutError:
            stalled.set()
            conn.wait_closed()

    served = gateway(to_one(upstream(serve)), workers=1, **PORT)
    before = served.resident_kib()
    with served.client(served.tcp_ports[0], receive_buffer=65536):
        assert stalled.wait(DEADLINE_S)
        assert served.resident_kib() - before < 8192


def test_the_log_has_a_line_for_each_connection(gateway, upstream):
    served = gateway(to_one(upstream(tcp_echo)), "--access-log-format",
                     "%RESPONSE_CODE% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER%"
                     " %RESPONSE_FLAGS%\n", **PORT)
    with served.client(served.tcp_ports[0]) as client:
        client.send(b"x" * 1000)
        client.read_exactly(1000)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""
    served.access_log.wait_for(r"^(0|-) 1000 1000 outbound\|80\|\|test\S+ -$")


def test_a_change_leaves_connections_and_moves_new_ones(gateway, upstream):
    one, two = upstream(tcp_echo), upstream(naming, name="two")
    services = [service("one", one), service("two", two)]
    served = gateway(tcp(l4_route("one"), services=services), **PORT)
    with served.client(served.tcp_ports[0]) as client:
        client.send("x")
        assert client.read_exactly(1) == b"x"
        served.change(lambda: served.write("all.yaml", tcp(l4_route("two"), services=services)))

        def is_moved():
            with served.client(served.tcp_ports[0]) as other:
                other.end_sending()
                return other.read_all() == b"two"

        wait_until(is_moved, "new connections go elsewhere")
        client.send("still")
        assert client.read_exactly(5) == b"still"


def test_a_drain_waits_for_connections_to_its_deadline(gateway, upstream):
    served = gateway(to_one(upstream(tcp_echo)), "--drain-timeout", "1s", **PORT)
    with served.client(served.tcp_ports[0]) as client:
        client.send("x")
        assert client.read_exactly(1) == b"x"
        served.signal(signal.SIGTERM)
        served.log.wait_for("drain")
        client.send("y")
        assert client.read_exactly(1) == b"y"
        assert client.at_eof()
    assert served.wait_exit() == 0


def test_tcp_behind_tls(gateway, upstream, authority, pair):
    """A TLS server that terminates: `tcp` routes take what comes out."""
    served = gateway(documents(
        service("test", upstream(tcp_echo)), tls_secret("cert", pair),
        gateway_of("gateway", server("test.example", port=9000, protocol="TLS",
                                     tls=simple("cert"))),
        virtual_service_of("test", "test.example", tcp=[l4_route("test")])), **PORT)
    with served.tls_client(authority.client_context()) as client:
        for _ in range(10):
            data = os.urandom(30_000)
            client.send(data)
            assert client.read_exactly(len(data)) == data
        client.sock = client.sock.unwrap()  # close_notify passes as an end, and comes back
        client.sock.close()
