# SPDX-License-Identifier: Apache-2.0
"""How it ends and what the other signals do."""

import signal
import threading

import pytest
from harness.manifests import one_route, service
from harness.patience import DEADLINE_S, wait_until

HOST = "test.example"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_clean(gateway, upstream, number):
    served = gateway(one_route(upstream()))
    assert served.get("/").status == 200
    served.signal(number)
    assert served.wait_exit() == 0


def test_a_request_in_flight_finishes(gateway, upstream):
    arrived, proceed = threading.Event(), threading.Event()

    def slow(conn):
        conn.read_request()
        arrived.set()
        assert proceed.wait(DEADLINE_S)
        conn.answer(200, "done")

    served = gateway(one_route(upstream(slow)))
    with served.client() as client:
        client.send_head("GET", "/")
        assert arrived.wait(DEADLINE_S)
        served.signal(signal.SIGTERM)

        def is_refused():
            try:
                served.client().close()
                return False
            except ConnectionRefusedError:
                return True

        wait_until(is_refused, "nobody new is let in")
        proceed.set()
        answer = client.read_response()
        assert (answer.status, answer.text) == (200, "done")
        assert answer["connection"] == "close"
        assert client.at_eof()
    assert served.wait_exit() == 0


def test_idle_connections_are_closed_at_once(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as idle, served.client() as used:
        assert used.request("GET", "/").status == 200
        served.signal(signal.SIGTERM)
        assert used.at_eof() and idle.at_eof()
        assert served.wait_exit() == 0


def test_the_drain_has_a_deadline(gateway, upstream):
    def never(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(never)), "--drain-timeout", "300ms")
    with served.client() as client:
        client.send_head("GET", "/")
        wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "it is in flight")
        served.signal(signal.SIGTERM)
        assert served.wait_exit() == 0


def test_a_second_signal_ends_at_once(gateway, upstream):
    def never(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(never)))
    with served.client() as client:
        client.send_head("GET", "/")
        wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "it is in flight")
        served.signal(signal.SIGTERM)
        served.log.wait_for("drain")
        served.signal(signal.SIGTERM)
        served.wait_exit(DEADLINE_S)
    served.exit_status = 0  # ending at once is no clean drain; that it ended is what counts


def test_not_ready_while_draining(gateway, upstream):
    def never(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(never)), "--drain-timeout", "2s")
    with served.client() as client:
        client.send_head("GET", "/")
        wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "it is in flight")
        served.signal(signal.SIGTERM)
        from harness.client import Client

        def is_unready():
            with Client(served.admin_port) as admin:
                return admin.request("GET", "/ready").status == 503

        wait_until(is_unready, "/ready is 503", 2)
    assert served.wait_exit() == 0


def test_sighup_rereads(gateway, upstream):
    served = gateway(one_route(upstream()))
    served.signal(signal.SIGHUP)
    assert served.get("/").status == 200
    served.change(lambda: (served.write("more.yaml", service("more")),
                           served.signal(signal.SIGHUP)))
    assert served.get("/").status == 200


def test_a_closed_peer_kills_nothing(gateway, upstream):
    """SIGPIPE: writing to a client that is gone."""
    def pour(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            conn.send(b"x" * 1_000_000)

    served = gateway(one_route(upstream(pour)))
    for _ in range(5):
        client = served.client()
        client.send_head("GET", "/")
        client.read_head()
        client.reset()
    assert served.get("/", host="nobody.example").status == 404
