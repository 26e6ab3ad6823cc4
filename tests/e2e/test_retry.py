# SPDX-License-Identifier: Apache-2.0
"""A connection that dies before it answered: tried again where that is safe, and only there."""

import json
import socket

import pytest
from harness.manifests import one_route
from harness.patience import wait_until
from harness.upstream import describe

HOST = "test.example"


def stale(conn):
    """Answers one request a connection, then closes on the second without a word."""
    request = conn.read_request()
    if request:
        conn.answer(200, describe(request, conn.upstream.name))
        conn.read_request()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idempotent_request_on_a_stale_connection_is_tried_again(gateway, upstream, method):
    backend = upstream(stale)
    served = gateway(one_route(backend), "--access-log-format",
                     "%REQ(:PATH)% %RESPONSE_CODE% %RETRY_REASON%", workers=1)
    with served.client() as client:
        assert client.request("GET", "/first").status == 200
        client.send_head(method, "/again")
        answer = client.read_head()
        assert answer.status == 200
    served.access_log.wait_for(rf"/again 200 {method}_is_idempotent")
    assert backend.accepted == 2
    seen = [backend.next_request().target for _ in range(3)]
    assert seen == ["/first", "/again", "/again"]


def test_a_post_whose_body_was_sent_is_not_tried_again(gateway, upstream):
    backend = upstream(stale)
    served = gateway(one_route(backend), workers=1)
    with served.client() as client:
        assert client.request("GET", "/first").status == 200
        assert client.request("POST", "/pay", body=b"100").status == 503
    served.access_log.wait_for(r"\{connection_termination,not_retried:_POST_was_sent\}")
    targets = []
    while not backend.requests.empty():
        targets.append(backend.requests.get().target)
    assert targets == ["/first", "/pay"]


def test_a_connection_closed_while_pooled_costs_nobody_a_request(gateway, upstream):
    def one_each(conn):
        request = conn.read_request()
        if request:
            conn.answer(200, describe(request, conn.upstream.name))

    backend = upstream(one_each)
    served = gateway(one_route(backend), workers=1)
    with served.client() as client:
        for i in range(50):
            method, body = ("POST", b"x") if i % 2 else ("GET", None)
            assert client.request(method, f"/{i}", body=body).status == 200
            wait_until(lambda: served.metric("sluicegate_upstream_connections_active") == 0,
                       "the gateway saw the end")
    assert backend.accepted == 50


def test_a_refusing_endpoint_is_passed_over(gateway, upstream):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        served = gateway(one_route(upstream(name="alive"), refusing.getsockname()), workers=1)
        for _ in range(20):
            answer = served.request("POST", "/", body=b"x")  # nothing was sent yet: safe
            assert answer.status == 200 and json.loads(answer.body)["name"] == "alive"
    assert served.metric("sluicegate_upstream_retries_total") > 0


def test_tries_are_bounded(gateway, upstream):
    backend = upstream(lambda conn: conn.read_request())
    served = gateway(one_route(backend), workers=1)
    assert served.get("/").status == 503
    assert 1 <= backend.accepted <= 4


def test_an_answer_is_never_asked_for_twice(gateway, upstream):
    def half(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Le")

    backend = upstream(half)
    served = gateway(one_route(backend), workers=1)
    assert served.get("/").status in (502, 503)
    assert backend.accepted == 1
