# SPDX-License-Identifier: Apache-2.0
"""NodePort: bytes of a TCP connection, balanced by connection over the ready endpoints."""

import hashlib
import socket

from harness.manifests import service
from harness.upstream import describe

MIB = 1 << 20


def node_port(*upstreams):
    return service("my-service", *upstreams, type="NodePort",
                   ports=[{"port": 80, "nodePort": 30007}])


def named(conn):
    """Speaks before it is spoken to, as no HTTP server does."""
    conn.send(f"I am {conn.upstream.name}\n")
    while data := conn.sock.recv(65536):
        conn.send(data)


def start(gateway, *upstreams, **options):
    return gateway(node_port(*upstreams), ports=(30007,), **options)


def test_bytes_pass_both_ways_and_unread(gateway, upstream):
    served = start(gateway, upstream(named, name="a"))
    with served.client(served.tcp_ports[0]) as client:
        assert client.read_until(b"\n") == b"I am a"
        client.send(b"\x00\r\n\r\n\xff anything")
        assert client.read_exactly(15) == b"\x00\r\n\r\n\xff anything"


def test_connections_are_balanced(gateway, upstream):
    served = start(gateway, *(upstream(named, name=x) for x in "abc"), workers=1)
    seen = set()
    for _ in range(60):
        with served.client(served.tcp_ports[0]) as client:
            seen.add(client.read_until(b"\n"))
    assert seen == {b"I am a", b"I am b", b"I am c"}


def test_a_half_closed_connection_carries_the_rest_back(gateway, upstream):
    def digest(conn):
        conn.send(hashlib.sha256(conn.read_all()).hexdigest())

    data = bytes(range(256)) * 4096 * 5
    served = start(gateway, upstream(digest))
    with served.client(served.tcp_ports[0]) as client:
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all().decode() == hashlib.sha256(data).hexdigest()


def test_no_endpoint_closes_the_connection(gateway):
    served = start(gateway)
    with served.client(served.tcp_ports[0]) as client:
        assert client.at_eof()
    assert served.access_log.wait_for(r'"- - -" 0 (\S+) ')[0].group(1) == "UH"


def test_a_refusing_endpoint_is_passed_over(gateway, upstream):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        served = start(gateway, upstream(named, name="alive"), refusing.getsockname(), workers=1)
        for _ in range(10):
            with served.client(served.tcp_ports[0]) as client:
                assert client.read_until(b"\n") == b"I am alive"


def test_the_access_log_has_a_line_a_connection(gateway, upstream):
    backend = upstream(named, name="a")
    served = start(gateway, backend)
    with served.client(served.tcp_ports[0]) as client:
        client.read_until(b"\n")
        client.send("12345")
        client.read_exactly(5)
    line = served.access_log.wait_for(r'"- - -" .*')[0].group(0)
    assert line.startswith('"- - -" 0 - - - "-" 5 12 '), line
    assert f'"{backend.address}" outbound|80||my-service.default.svc.cluster.local ' in line


def test_http_through_a_nodeport_is_left_alone(gateway, upstream):
    def serve(conn):
        request = conn.read_request()
        assert request.all("x-forwarded-for") == [] and request.all("x-request-id") == []
        conn.answer(200, describe(request, "plain"))

    served = start(gateway, upstream(serve))
    with served.client(served.tcp_ports[0]) as client:
        answer = client.request("GET", "/")
        assert answer.status == 200 and answer.get("server") is None


def test_large_transfers_arrive_whole(gateway, upstream):
    data = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(10 * MIB // 32))

    def pour(conn):
        conn.send(data)

    served = start(gateway, upstream(pour))
    with served.client(served.tcp_ports[0]) as client:
        assert client.read_all() == data
