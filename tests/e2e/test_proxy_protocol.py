# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol: who the client is, told by a balancer in front and to an upstream behind."""

import socket
import struct

import pytest
from harness.certificates import blind_context
from harness.client import Client
from harness.manifests import (destination_rule, documents, gateway_of, https_route, l4_route,
                               one_route, server, service, virtual_service_of)
from harness.upstream import echo

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FORMAT = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%\n"


def v2(source, target, family=socket.AF_INET, command=1, extra=b""):
    pack = (socket.inet_pton(family, source[0]) + socket.inet_pton(family, target[0])
            + struct.pack(">HH", source[1], target[1]) + extra)
    kind = 0x11 if family == socket.AF_INET else 0x21
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, kind, len(pack)) + pack


V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 5555 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 5555 443\r\n"
V2 = v2(("203.0.113.7", 5555), ("198.51.100.1", 443))
V2_TLV = v2(("203.0.113.7", 5555), ("198.51.100.1", 443), extra=b"\x04\0\x03abc")
V2_6 = v2(("2001:db8::7", 5555), ("2001:db8::1", 443), socket.AF_INET6)
V4, V6 = "203.0.113.7", "2001:db8::7"


@pytest.mark.parametrize("header, client", [(V1, V4), (V1_6, V6), (V2, V4), (V2_TLV, V4), (V2_6, V6)],
                         ids=["v1", "v1-ipv6", "v2", "v2-tlv", "v2-ipv6"])
def test_the_client_is_who_the_header_says(gateway, upstream, header, client):
    backend = upstream()
    served = gateway(one_route(backend), "--proxy-protocol", "all", "--access-log-format", FORMAT)
    with Client(served.port, preamble=header) as connection:
        for _ in range(2):
            assert connection.request("GET", "/").status == 200
            assert backend.next_request().get("x-forwarded-for") == client
    line = served.access_log.wait_for(r"^(\S+) (\S+) (\S+)$")[0]
    assert client in line.group(1) and line.group(1).endswith(":5555")
    assert line.group(2).startswith("127.0.0.1:")
    assert line.group(3).endswith(":443")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0",
                                    v2((V4, 1), (V4, 2), command=0)],
                         ids=["v1-unknown", "v2-local", "v2-local-with-addresses"])
def test_a_header_may_say_nothing(gateway, upstream, header):
    backend = upstream()
    served = gateway(one_route(backend), "--proxy-protocol", "all")
    with Client(served.port, preamble=header) as connection:
        assert connection.request("GET", "/").status == 200
        assert backend.next_request().get("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_byte_by_byte(gateway, upstream, header):
    backend = upstream()
    served = gateway(one_route(backend), "--proxy-protocol", "all")
    with Client(served.port) as connection:
        for byte in header:
            connection.send(bytes([byte]))
        assert connection.request("GET", "/").status == 200
        assert backend.next_request().get("x-forwarded-for") == V4


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_in_front_of_tls_and_http2(gateway, upstream, authority, pair, header):
    backend = upstream()
    served = gateway(https_route(backend, pair=pair), "--proxy-protocol", "all", ports=(80, 443))
    with served.tls_client(authority.client_context(), preamble=header) as connection:
        assert connection.request("GET", "/").status == 200
        assert backend.next_request().get("x-forwarded-for") == V4
    for context in (authority.client_context("h2"), None):
        with served.h2_client(context, preamble=header, sni="test.example") as connection:
            assert connection.request("GET", "/").status == 200
            assert backend.next_request().get("x-forwarded-for") == V4


@pytest.mark.parametrize("wrong", [
    b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 1\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY " + b"x" * 200,
    b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", SIGNATURE + b"\x31\x11\0\x0c" + b"x" * 12,
    SIGNATURE + b"\x21\x11\0\x04" + b"x" * 4, SIGNATURE[:-1] + b"X" + b"\x21\x11\0\x0c" + b"x" * 12])
def test_without_a_sound_header_nothing_is_served(gateway, upstream, wrong):
    backend = upstream()
    served = gateway(one_route(backend), "--proxy-protocol", "all")
    with Client(served.port, preamble=wrong) as connection:
        try:
            connection.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert connection.at_eof()
    assert backend.requests.empty()


def test_a_header_is_no_http_where_it_is_not_asked_for(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend))
    with Client(served.port, preamble=V1) as connection:
        connection.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        assert connection.read_response().status == 400
    assert backend.requests.empty()


# -- to the upstream --

def taking_header(seen):
    """Reads a header of either version in front of what `echo` does."""
    def serve(conn):
        while len(conn.buffer) < 16:
            if not conn.fill():
                return
        if conn.buffer.startswith(SIGNATURE):
            head = conn.read_exactly(16)
            (length,) = struct.unpack(">H", head[14:])
            seen.append(head + conn.read_exactly(length))
        else:
            seen.append(conn.read_until(b"\r\n") + b"\r\n")
        echo(conn)

    return serve


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_the_upstream_is_told_the_client(gateway, upstream, version, kind):
    seen = []
    backend = upstream(taking_header(seen))
    rule = destination_rule("test", "test", proxyProtocol={"version": version})
    if kind == "http":
        served = gateway(one_route(backend) + "---\n" + documents(rule), "--proxy-protocol", "all")
        port = served.port
    else:
        served = gateway(documents(
            service("test", backend), gateway_of("gateway", server("*", port=9000, protocol="TCP")),
            virtual_service_of("test", "*", tcp=[l4_route("test")]), rule),
            "--proxy-protocol", "all", ports=(9000,))
        port = served.tcp_ports[0]
    with Client(port, preamble=V2) as connection:
        assert connection.request("GET", "/").status == 200
    (header,) = seen
    if version == "V1":
        assert header == V1
    else:
        assert header == V2


def test_clients_do_not_share_connections_that_name_one(gateway, upstream):
    seen = []
    backend = upstream(taking_header(seen))
    rule = destination_rule("test", "test", proxyProtocol={"version": "V1"})
    served = gateway(one_route(backend) + "---\n" + documents(rule), "--proxy-protocol", "all", workers=1)
    for last in (7, 8, 9):
        with Client(served.port, preamble=V1.replace(b"113.7", b"113.%d" % last)) as connection:
            assert connection.request("GET", "/").status == 200
    assert [x.split()[2] for x in seen] == [b"203.0.113.7", b"203.0.113.8", b"203.0.113.9"]


def test_passthrough_keeps_the_clients_header_apart(gateway, upstream):
    """The header comes before the ClientHello, and is not passed on unless asked for."""
    def serve(conn):
        assert conn.read_exactly(1) == b"\x16"

    served = gateway(documents(
        service("test", upstream(serve)),
        gateway_of("gateway", server("a.example", protocol="TLS", tls={"mode": "PASSTHROUGH"})),
        virtual_service_of("test", "a.example", tls=[l4_route("test", sni=["a.example"])])),
        "--proxy-protocol", "all", ports=(443,))
    with pytest.raises(OSError):
        served.tls_client(blind_context(), "a.example", preamble=V2)
