# SPDX-License-Identifier: Apache-2.0
"""What a sidecar makes of the connections that it captures: protocols told by their first bytes,
what is declared nowhere, what comes in. A real kernel captures, in a network namespace."""

import contextlib
import pathlib
import socket
import ssl
import time

import pytest
from harness.client import Client, Stream
from harness.gateway import Gateway
from harness.manifests import documents, istio
from harness.netns import Network, why_not
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import Upstream, echo

pytestmark = pytest.mark.skipif(bool(why_not("nft")), reason=why_not("nft") or "-")

APP, OUTSIDE = "10.244.1.5", "203.0.113.10"
DETECT_S = 0.2
LINE = ("%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% "
        "%UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% %REQ(:AUTHORITY)% %DOWNSTREAM_LOCAL_ADDRESS%\n")


class Asker(Client):
    """On a connection that is there."""

    def __init__(self, sock):
        Stream.__init__(self, sock)
        self.alpn = None


class World:
    """An application's namespace with its sidecar, and servers outside and in it."""

    def __init__(self, folder, network):
        self.folder, self.network = folder, network
        self.app, self.outside = network.app, network.outside
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.servers = []
        self.sidecars = []

    def serve(self, function, port=0, where=None, **options):
        where = where or self.outside
        self.servers.append(Upstream(function, listener=where.listen(port, "0.0.0.0"), **options))
        return self.servers[-1].port

    def start(self, *args, **options):
        one = Gateway(self.manifests, "--sidecar", "--capture", "--access-log-format", LINE, *args,
                      ports=(), netns=self.app, bind="0.0.0.0", **options)
        self.sidecars.append(one)
        return one.start()

    def dial(self, port, host=OUTSIDE):
        sock = self.app.connect(host, port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self):
        for one in self.sidecars:
            one.finish()
        for one in self.servers:
            one.close()
        failures = [x for one in self.servers for x in one.failures]
        assert not failures, failures


@pytest.fixture
def world(tmp_path):
    with Network(tmp_path, app=APP, outside=OUTSIDE) as network:
        made = World(pathlib.Path(tmp_path), network)
        try:
            yield made
            made.close()
        finally:
            for one in made.sidecars:
                one.kill()


def repeat(conn):
    while data := conn.sock.recv(65536):
        conn.sock.sendall(data)


def first_word(word):
    def serve(conn):
        conn.sock.sendall(word)
        repeat(conn)
    return serve


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, f"the end behind {data!r}"
        data += more
    return data


def say_in_pieces(sock, data, size, pause_s=0.01):
    for at in range(0, len(data), size):
        sock.sendall(data[at:at + size])
        time.sleep(pause_s)


def expect_reset(sock):
    with pytest.raises(ConnectionResetError):
        while sock.recv(65536):
            pass
        pytest.fail("an end, and no reset")


# -- protocols --


def test_a_server_that_speaks_first_is_heard(world):
    port = world.serve(first_word(b"SSH-2.0-there\r\n"))
    sidecar = world.start()
    began = time.monotonic()
    with world.dial(port) as sock:
        assert read_exactly(sock, 15) == b"SSH-2.0-there\r\n"
        assert time.monotonic() - began >= DETECT_S * 0.9
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")  # too late to be HTTP
        assert read_exactly(sock, 18) == b"GET / HTTP/1.1\r\n\r\n"
    sidecar.access_log.wait_for(f"^- 0 - - - PassthroughCluster - - {OUTSIDE}:{port}$")
    assert sidecar.metric("sluicegate_downstream_capture_silent_total") == 1


@pytest.mark.parametrize("said", [b"SSH-2.0-here\r\n", b"\x16\x03\x01garbage", b"\x00\xff" * 500,
                                  b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"GET key\r\n"],
                         ids=["ssh", "half_tls", "binary", "connect", "line"])
def test_what_is_neither_tls_nor_http_goes_on_at_once(world, said):
    port = world.serve(repeat)
    sidecar = world.start("--detect-timeout", "60s")
    with world.dial(port) as sock:
        sock.sendall(said)
        assert read_exactly(sock, len(said)) == said
    sidecar.access_log.wait_for(f"^- 0 - - - PassthroughCluster - - {OUTSIDE}:{port}$")


def test_http_goes_by_its_host_though_nobody_declares_it(world):
    port = world.serve(echo)
    sidecar = world.start("--detect-timeout", "60s")
    request = b"GET /x HTTP/1.1\r\nhost: b.example:81\r\n\r\n"
    for size in (1, 3, len(request)):
        with world.dial(port) as sock:
            say_in_pieces(sock, request, size)
            answer = Asker(sock).read_response("GET")
            assert (answer.status, answer["server"]) == (200, "envoy")
    sidecar.access_log.wait_for(
        f"^GET 200 - via_upstream allow_any PassthroughCluster - b.example:81 {OUTSIDE}:{port}$",
        count=3)
    counted = 'sluicegate_outbound_undeclared_total{host="b.example",policy="ALLOW_ANY"}'
    assert sidecar.metric(counted) == 3


def test_a_request_that_comes_late_still_gets_its_answer(world):
    port = world.serve(echo)
    sidecar = world.start()
    with world.dial(port) as sock:
        sidecar_silent = "sluicegate_downstream_capture_silent_total"
        while sidecar.metric(sidecar_silent) == 0:
            time.sleep(0.02)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: b.example\r\n\r\n")
        assert Asker(sock).read_response("GET").status == 200
    sidecar.access_log.wait_for(f"^- 0 - - - PassthroughCluster - - {OUTSIDE}:{port}$")


def test_a_huge_request_line_is_refused(world):
    port = world.serve(repeat)
    sidecar = world.start("--detect-timeout", "60s")
    with world.dial(port) as sock:
        sock.sendall(b"GET /" + b"x" * 40000)
        assert Asker(sock).read_response("GET").status == 414
    sidecar.access_log.wait_for("^- 414 DPE ")


def test_the_preface_of_http2_in_pieces(world):
    port = world.serve(repeat)
    world.start("--detect-timeout", "60s")
    with world.dial(port) as sock:
        say_in_pieces(sock, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 5)
        assert read_exactly(sock, 9)[3] == 4  # SETTINGS: somebody speaks HTTP/2, and not the server


def shake_hands(sock, context, name, size):
    """TLS, every flight in pieces; returns what sends and receives."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)

    def pump(step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                done = None
            if data := outgoing.read():
                say_in_pieces(sock, data, size, 0.001)
            if done is not None:
                return done
            more = sock.recv(65536)
            assert more
            incoming.write(more)

    pump(lambda: tls.do_handshake() or True)
    return lambda data: pump(lambda: tls.write(data)), lambda n: pump(lambda: tls.read(n))


def test_a_client_hello_in_pieces_is_passed_on_by_its_name(world, authority):
    pair = authority.issue("b.example")
    port = world.serve(repeat, tls=authority.server_context(pair))
    sidecar = world.start("--detect-timeout", "60s")
    for size in (7, 100000):
        with world.dial(port) as sock:
            send, receive = shake_hands(sock, authority.client_context(), "b.example", size)
            send(b"hello")
            assert receive(5) == b"hello"
    sidecar.access_log.wait_for(
        f"^- 0 - - - PassthroughCluster b.example - {OUTSIDE}:{port}$", count=2)
    counted = 'sluicegate_outbound_undeclared_total{host="b.example",policy="ALLOW_ANY"}'
    assert sidecar.metric(counted) == 2


# -- what is declared nowhere --


def test_registry_only_refuses_and_says_what(world, authority):
    port = world.serve(repeat)
    sidecar = world.start("--outbound-policy", "REGISTRY_ONLY")
    with world.dial(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: b.example\r\n\r\n")
        answer = Asker(sock).read_response("GET")
        assert (answer.status, answer.body, answer["server"]) == (502, b"", "envoy")
    with world.dial(port) as sock:
        with pytest.raises(ConnectionResetError):
            shake_hands(sock, authority.client_context(), "c.example", 100000)
    with world.dial(port) as sock:
        sock.sendall(b"\n")
        expect_reset(sock)
    sidecar.access_log.wait_for(
        f"^GET 502 - direct_response block_all BlackHoleCluster - b.example {OUTSIDE}:{port}$")
    sidecar.access_log.wait_for(f"^- 0 UH .* BlackHoleCluster c.example - {OUTSIDE}:{port}$")
    sidecar.access_log.wait_for(f"^- 0 UH .* BlackHoleCluster - - {OUTSIDE}:{port}$")
    for host in ("b.example", "c.example", f"{OUTSIDE}:{port}"):
        counted = f'sluicegate_outbound_undeclared_total{{host="{host}",policy="REGISTRY_ONLY"}}'
        assert sidecar.metric(counted) == 1
    assert world.servers[0].accepted == 0


def test_a_change_of_policy_is_for_new_requests_and_not_for_open_tunnels(world):
    web, port = world.serve(echo), world.serve(repeat)
    sidecar = world.start()
    with world.dial(web) as sock, world.dial(port) as tunnel:
        client = Asker(sock)
        assert client.request("GET", "/", host="b.example").status == 200
        tunnel.sendall(b"\n")
        assert read_exactly(tunnel, 1) == b"\n"
        sidecar.change(lambda: sidecar.write("sidecar.yaml", documents(istio(
            "Sidecar", "default", outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}))))
        assert client.request("GET", "/", host="b.example").status == 502
        tunnel.sendall(b"still")
        assert read_exactly(tunnel, 5) == b"still"
        with world.dial(port) as refused:
            refused.sendall(b"\n")
            expect_reset(refused)
        sidecar.change(lambda: (sidecar.folder / "sidecar.yaml").unlink())
        assert client.request("GET", "/", host="b.example").status == 200


# -- what comes in --


def test_what_comes_in_goes_to_where_it_was_dialled(world):
    web = world.serve(echo, where=world.app)
    greeter = world.serve(first_word(b"hello"), where=world.app)
    sidecar = world.start()
    with contextlib.closing(world.outside.connect(APP, web)) as sock:
        answer = Asker(sock).request("GET", "/", host="app.example",
                                           headers=[("x-request-id", "mine")])
        assert (answer.status, answer["server"]) == (200, "istio-envoy")
    request = world.servers[0].requests.get(timeout=DEADLINE_S)
    assert (request.get("x-request-id"), request.get("x-forwarded-for")) == ("mine", None)
    with contextlib.closing(world.outside.connect(APP, greeter)) as sock:
        assert read_exactly(sock, 5) == b"hello"
    sidecar.access_log.wait_for(f"^GET 200 - via_upstream .* app.example {APP}:{web}$")
    sidecar.access_log.wait_for(f"^- 0 - .* {APP}:{greeter}$")


@pytest.mark.parametrize("host", ["127.0.0.1", APP])
def test_who_dials_the_sidecar_itself_is_reset(world, host):
    sidecar = world.start()
    for port in (15001, 15006):
        with pytest.raises(ConnectionResetError):  # perhaps while it connects
            with world.dial(port, host) as sock:
                sock.recv(1)
    sidecar.access_log.wait_for("^- 0 NR not_captured ", count=2)
    assert sidecar.metric("sluicegate_downstream_not_captured_total") == 2


# -- the end --


def test_draining_waits_for_tunnels_and_serves_who_has_just_come(world):
    port = world.serve(first_word(b"hello"))
    sidecar = world.start("--detect-timeout", "1s")
    with world.dial(port) as tunnel:
        assert read_exactly(tunnel, 5) == b"hello"
        with world.dial(port) as silent:
            wait_until(lambda: sidecar.metric("sluicegate_downstream_connections_total") == 2,
                       "both are accepted")
            sidecar.signal(15)
            assert read_exactly(silent, 5) == b"hello"
        tunnel.sendall(b"good-bye")
        assert read_exactly(tunnel, 8) == b"good-bye"
    assert sidecar.wait_exit() == 0
