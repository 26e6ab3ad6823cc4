# SPDX-License-Identifier: Apache-2.0
"""PASSTHROUGH: the ClientHello's name chooses the upstream, which alone holds the key."""

import ssl
import struct
import threading

import pytest
from harness.certificates import blind_context, is_shown, tls_secret
from harness.client import Client
from harness.manifests import (documents, gateway_of, ingress, l4_route, path, route, server,
                               service, simple, virtual_service, virtual_service_of)
from harness.patience import DEADLINE_S
from harness.upstream import Upstream, echo

PORT = {"ports": (443,)}
NAMES = ("a.example", "*.b.example")


def passthrough(*hosts, **options):
    return server(*hosts, protocol="TLS", tls={"mode": "PASSTHROUGH"}, **options)


@pytest.fixture
def tls_upstream(authority):
    """Starts upstreams that hold a certificate: (upstream, its pair)."""
    started = []

    def start(*names, serve=echo, **options):
        one = authority.issue(*names)
        started.append(Upstream(serve, tls=authority.server_context(one), name=names[0], **options))
        return started[-1], one

    yield start
    for one in started:
        one.close()
        assert not one.failures, one.failures


@pytest.fixture
def two(gateway, tls_upstream):
    """a.example and *.b.example, each with an upstream of its own."""
    (one, one_pair), (other, other_pair) = tls_upstream("a.example"), tls_upstream("*.b.example")
    served = gateway(documents(
        service("one", one, port=443), service("two", other, port=443),
        gateway_of("gateway", passthrough(*NAMES)),
        virtual_service_of("test", *NAMES, tls=[to("one", "a.example"), to("two", "*.b.example")])),
        **PORT)
    return served, one_pair, other_pair


def to(name, *sni):
    rule = l4_route(name, sni=sni)
    rule["route"][0]["destination"]["port"] = {"number": 443}
    return rule


def client_hello(sni, context=None):
    """The bytes of a first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = (context or blind_context()).wrap_bio(incoming, outgoing, server_hostname=sni or None)
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read(), half, incoming, outgoing


def test_the_name_chooses_the_upstream(two, authority):
    served, one_pair, other_pair = two
    for sni, pair in (("a.example", one_pair), ("x.b.example", other_pair),
                      ("x.y.b.example", other_pair)):
        context = authority.client_context() if sni.count(".") < 3 else blind_context()
        with served.tls_client(context, sni) as client:
            assert is_shown(client, pair)
            body = bytes(range(256)) * 2000
            for _ in range(3):
                assert client.request("POST", "/", host="anything", body=body).status == 200
    assert served.access_log.wait_for(r"\ba\.example\b")


@pytest.mark.parametrize("sni", ["else.example", "b.example", ""])
def test_other_names_are_closed(two, sni):
    served, _, _ = two
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        served.tls_client(blind_context(), sni)
    served.access_log.wait_for(r"\bNR\b")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_client_hello_in_many_segments(two, size):
    served, one_pair, _ = two
    hello, half, incoming, outgoing = client_hello("a.example")
    with Client(served.tls_port) as client:
        for i in range(0, len(hello), size):
            client.send(hello[i:i + size])
        finish(client, half, incoming, outgoing)
        assert half.getpeercert(binary_form=True) == one_pair.der


def finish(client, half, incoming, outgoing):
    while True:
        try:
            half.do_handshake()
            break
        except ssl.SSLWantReadError:
            if outgoing.pending:
                client.send(outgoing.read())
            data = client.sock.recv(65536)
            assert data, "closed"
            incoming.write(data)
    if outgoing.pending:
        client.send(outgoing.read())


def test_a_client_hello_in_several_records(two):
    served, one_pair, _ = two
    hello, half, incoming, outgoing = client_hello("a.example")
    message = hello[5:]
    records = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in
                       (message[:1], message[1:4], message[4:60], message[60:]))
    with Client(served.tls_port) as client:
        client.send(records)
        finish(client, half, incoming, outgoing)
        assert half.getpeercert(binary_form=True) == one_pair.der


def test_an_oversized_client_hello_is_closed(two):
    served, _, _ = two
    body = b"\x03\x03" + b"r" * 32 + b"\0" + b"\0\2\x13\x01" + b"\1\0"
    padding = struct.pack(">HH", 21, 60_000) + b"\0" * 60_000
    body += struct.pack(">H", len(padding)) + padding
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    with Client(served.tls_port) as client:
        try:
            for i in range(0, len(message), 16_000):
                part = message[i:i + 16_000]
                client.send(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part)
        except OSError:
            pass
        assert client.at_eof()


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\0", b"\x16\x03\x01\0\x04\x02\0\0\0",
    b"\x15\x03\x01\0\x02\x02\x28", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x03\x01",
    b"\x16\x03\x01\0\x05\x01\0\0\x01\x03"])
def test_what_is_no_client_hello_is_closed(two, garbage):
    served, _, _ = two
    with Client(served.tls_port) as client:
        client.send(garbage)
        client.end_sending()
        assert client.at_eof()


def test_passthrough_and_termination_share_a_port(gateway, upstream, tls_upstream, authority, pair):
    secret, secret_pair = tls_upstream("secret.example")
    served = gateway(documents(
        service("plain", upstream()), service("secret", secret, port=443), tls_secret("cert", pair),
        gateway_of("gateway", server("test.example", tls=simple("cert")),
                   passthrough("secret.example")),
        virtual_service("plain", "test.example", route("plain")),
        virtual_service_of("secret", "secret.example", tls=[to("secret", "secret.example")])),
        **PORT)
    for sni, shown in (("test.example", pair), ("secret.example", secret_pair)):
        with served.tls_client(authority.client_context(), sni) as client:
            assert is_shown(client, shown)
            assert client.request("GET", "/", host=sni).status == 200


def test_client_certificates_reach_the_upstream(gateway, authority):
    me = authority.issue_client("me")
    context = authority.server_context(authority.issue("a.example"), asks_client=True)
    seen = []

    def serve(conn):
        seen.append(conn.sock.getpeercert(binary_form=True))
        echo(conn)

    backend = Upstream(serve, tls=context)
    try:
        served = gateway(documents(
            service("one", backend, port=443), gateway_of("gateway", passthrough("a.example")),
            virtual_service_of("test", "a.example", tls=[to("one", "a.example")])), **PORT)
        with served.tls_client(authority.client_context(client=me), "a.example") as client:
            assert client.request("GET", "/").status == 200
        assert seen == [me.der]
    finally:
        backend.close()


def test_many_at_once(two):
    served, one_pair, other_pair = two
    failures = []

    def one(i):
        sni, pair = (("a.example", one_pair), ("x.b.example", other_pair))[i % 2]
        try:
            with served.tls_client(blind_context(), sni) as client:
                assert is_shown(client, pair)
                assert client.request("POST", "/", body=b"x" * 100_000).status == 200
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not failures, failures[0]


def test_ssl_passthrough_of_an_ingress(gateway, upstream, tls_upstream, authority, pair):
    backend, backend_pair = tls_upstream("secret.example")
    served = gateway(documents(
        service("plain", upstream()), service("secret", backend, port=443),
        tls_secret("cert", pair, "default"),
        ingress("plain", ("test.example", path("/", "plain")),
                tls=[{"hosts": ["test.example"], "secretName": "cert"}]),
        ingress("secret", ("secret.example", path("/", "secret", port=443)),
                annotations={"ssl-passthrough": "true"})),
        "--enable-ssl-passthrough", ports=(80, 443))
    for sni, shown in (("test.example", pair), ("secret.example", backend_pair)):
        with served.tls_client(authority.client_context(), sni) as client:
            assert is_shown(client, shown)
            assert client.request("GET", "/", host=sni).status == 200


