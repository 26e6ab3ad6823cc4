# SPDX-License-Identifier: Apache-2.0
"""Pools of connections to the outside: one for all workers, warm, and left before the endpoint does.

    clients, each on a new connection -> gateway with 8 workers -> TLS upstream that counts
"""

import socket
import time

import pytest
from harness.egress import HOST, ONE, static, tls_rule, way_out
from harness.http2 import echo2
from harness.patience import wait_until
from harness.upstream import describe, echo

WORKERS = 8
CALLS = 20


@pytest.fixture
def outside(gateway, authority, upstream, tmp_path):
    """A gateway that originates TLS: start(serve, *alpn) -> (gateway, upstream)."""
    (tmp_path / "ca.pem").write_text(authority.pem)

    def start(serve=echo, *alpn, workers=WORKERS, args=(), http=None):
        backend = upstream(serve, host=ONE, tls=authority.server_context(
            authority.issue(HOST), *alpn))
        rule = tls_rule(HOST, mode="SIMPLE", caCertificates=str(tmp_path / "ca.pem"))
        if http:
            rule["spec"]["trafficPolicy"]["connectionPool"] = {"http": http}
        return gateway(way_out(static(backend.port, ONE), rule), *args, workers=workers), backend

    return start


def parked(served, n):
    """The worker has given its connection back."""
    wait_until(lambda: served.metric("sluicegate_upstream_connections_parked") == n, f"{n} parked")


def none_is_open(served):
    wait_until(lambda: served.metric("sluicegate_upstream_connections_active") == 0, "none is open")


def handshakes(served):
    return served.metric("sluicegate_upstream_tls_handshakes_total")


@pytest.mark.parametrize("serve, alpn, http", [
    (echo, (), None), (echo2, ("h2",), {"h2UpgradePolicy": "UPGRADE"})], ids=["h1", "h2"])
def test_a_rare_callers_handshakes_are_not_multiplied_by_the_workers(outside, serve, alpn, http):
    served, backend = outside(serve, *alpn, http=http)
    for _ in range(CALLS):
        with served.client() as client:
            assert client.request("GET", "/", host=HOST).status == 200
        parked(served, 1)
        time.sleep(0.02)  # what "rare" means
    assert backend.accepted == 1
    assert handshakes(served) == 1
    assert served.metric("sluicegate_upstream_connections_shared_takes_total") == CALLS - 1


def test_another_worker_resumes_the_session(outside):
    def two_each(conn):
        for _ in range(2):
            request = conn.read_request()
            if request:
                conn.answer(200, describe(request, conn.upstream.name))

    served, backend = outside(two_each, args=("--warm-connections", "0"))
    for i in range(8):
        with served.client() as client:
            assert client.request("GET", "/", host=HOST).status == 200
        if i % 2 == 0:
            parked(served, 1)
        else:
            none_is_open(served)
        time.sleep(0.02)
    assert backend.accepted == 4
    assert served.metric("sluicegate_upstream_tls_resumed_total") == 3


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_connection_that_is_lost_is_replaced_before_the_next_request(outside, workers):
    served, backend = outside(workers=workers)
    with served.client() as client:
        assert client.request("GET", "/", host=HOST).status == 200
    for lost in range(1, 4):
        backend.close_connections()
        wait_until(lambda: backend.accepted == lost + 1 and handshakes(served) == lost + 1,
                   "a new one")
    assert served.metric("sluicegate_upstream_preconnects_total") == 3
    with served.client() as client:
        assert client.request("GET", "/", host=HOST).status == 200
    assert backend.accepted == 4


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_short_wait_does_not_open_one_after_the_other(outside, workers):
    """A replacement that were due as soon as it is open would be replaced at each tick."""
    served, backend = outside(workers=workers, http={"idleTimeout": "2400ms"})
    begin = time.monotonic()
    with served.client() as client:
        assert client.request("GET", "/", host=HOST).status == 200
    wait_until(lambda: backend.accepted >= 3, "two replacements")
    assert time.monotonic() - begin >= 3  # one every 1.8 s


def test_warmth_ends_with_its_time(outside):
    served, backend = outside(args=("--warm-time", "1ms"))
    with served.client() as client:
        assert client.request("GET", "/", host=HOST).status == 200
    backend.close_connections()
    none_is_open(served)
    time.sleep(0.6)  # ticks of the keeper, which does nothing
    assert backend.accepted == 1


def test_the_endpoints_idle_limit_is_learnt_from_what_it_says(outside):
    def says(conn):
        while request := conn.read_request():
            conn.answer(200, describe(request, conn.upstream.name), [("keep-alive", "timeout=2")])
        ends.append(time.monotonic())

    ends = []
    served, _ = outside(says, args=("--warm-connections", "0"))
    begin = time.monotonic()
    with served.client() as client:
        assert client.request("GET", "/", host=HOST).status == 200
    wait_until(lambda: ends, "the gateway ends it")
    assert ends[0] - begin >= 1.7
    assert "::idle_limit_ms::2000\n" in served.admin("/clusters")


def test_the_endpoints_idle_limit_is_learnt_from_its_closes(outside):
    def gives_up(conn):
        while True:
            request = conn.read_request()
            if not request:
                return
            conn.answer(200, describe(request, conn.upstream.name))
            conn.sock.settimeout(1.5)
            try:
                if not conn.fill():
                    return
            except socket.timeout:
                return

    served, _ = outside(gives_up, args=("--warm-connections", "0"))
    for _ in range(2):
        with served.client() as client:
            assert client.request("GET", "/", host=HOST).status == 200
        none_is_open(served)
    limit = [line for line in served.admin("/clusters").splitlines() if "::idle_limit_ms::" in line]
    assert len(limit) == 1 and 1400 <= int(limit[0].rsplit("::", 1)[1]) <= 3000, limit
