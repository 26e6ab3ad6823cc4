# SPDX-License-Identifier: Apache-2.0
"""What the gateway answers itself: status, reason code, flags and how the connection goes on."""

import socket
import threading

import pytest
from harness.manifests import (documents, endpoint_slice, gateway as istio_gateway, ingress,
                               one_route, path, route, service, virtual_service)
from harness.patience import DEADLINE_S

HOST = "test.example"


def logged(gateway):
    """Status, flags and details of the next access-log line."""
    line = gateway.access_log.wait_for(r'" (\d+) (\S+) (\S+) \S+ "')[0]
    return int(line.group(1)), line.group(2), line.group(3)


def test_no_route_is_404(gateway, upstream):
    served = gateway(one_route(upstream()))
    answer = served.get("/", host="nobody.example")
    assert answer.status == 404
    assert answer["server"] == "istio-envoy"
    assert answer.get("x-envoy-upstream-service-time") is None
    assert "route_not_found" in answer.text and answer["content-type"] == "text/plain"
    assert logged(served) == (404, "NR", "route_not_found")


def test_no_endpoint_is_503(gateway):
    served = gateway(one_route())
    answer = served.get("/")
    assert answer.status == 503
    assert "no_healthy_upstream" in answer.text
    assert logged(served) == (503, "UH", "no_healthy_upstream")


def test_no_ready_endpoint_is_503(gateway, upstream):
    served = gateway(documents(
        service("test"), endpoint_slice("test", upstream(), ready=False),
        istio_gateway("gateway", HOST), virtual_service("test", HOST, route("test"))))
    assert served.get("/").status == 503
    assert logged(served)[1] == "UH"


def test_an_unknown_destination_is_503_nc(gateway):
    served = gateway(documents(istio_gateway("gateway", HOST),
                               virtual_service("test", HOST, route("missing"))))
    served.expected_errors = ["dangling-service"]
    answer = served.get("/")
    assert answer.status == 503 and "cluster_not_found" in answer.text
    assert logged(served) == (503, "NC", "cluster_not_found")


def test_a_missing_service_of_an_ingress_is_503(gateway):
    served = gateway(documents(ingress("test", (HOST, path("/", "missing")))))
    served.expected_errors = ["dangling-service"]
    assert served.get("/").status == 503
    assert logged(served)[0] == 503


def test_a_refused_connection_is_503_uf(gateway):
    with socket.socket() as s:  # bound, not listening: connecting is refused
        s.bind(("127.0.0.1", 0))
        served = gateway(one_route(s.getsockname()))
        answer = served.get("/")
    assert answer.status == 503
    status, flags, details = logged(served)
    assert status == 503 and "UF" in flags.split(",")
    assert details.startswith("upstream_reset_before_response_started{connection_failure")


def test_an_upstream_that_closes_without_an_answer_is_503_uc(gateway, upstream):
    served = gateway(one_route(upstream(lambda conn: conn.read_request())))
    answer = served.request("POST", "/", body=b"once")
    assert answer.status == 503
    status, flags, details = logged(served)
    assert status == 503 and "UC" in flags.split(",")
    assert details.startswith("upstream_reset_before_response_started{connection_termination")


def test_an_upstream_that_resets_is_503(gateway, upstream):
    def reset(conn):
        conn.read_request()
        conn.reset()

    served = gateway(one_route(upstream(reset)))
    assert served.request("POST", "/", body=b"once").status == 503
    assert set(logged(served)[1].split(",")) & {"UC", "UR"}


def test_a_route_timeout_is_504_ut(gateway, upstream):
    def never(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(never), timeout="0.2s"))
    answer = served.get("/")
    assert answer.status == 504
    assert "upstream_response_timeout" in answer.text
    assert logged(served) == (504, "UT", "upstream_response_timeout")


def test_a_timeout_while_the_body_flows_cuts_the_response(gateway, upstream):
    def half(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        conn.wait_closed()

    served = gateway(one_route(upstream(half), timeout="0.3s"))
    with served.client() as client, pytest.raises((EOFError, ConnectionResetError)):
        client.request("GET", "/")
    assert "UT" in logged(served)[1]


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    b"HTTP/1.1 2x0 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
])
def test_an_upstream_that_breaks_http_is_never_passed_on(gateway, upstream, raw):
    def once(conn):
        conn.read_request()
        conn.send(raw)
        conn.wait_closed()

    served = gateway(one_route(upstream(once)))
    answer = served.request("POST", "/", body=b"once")
    assert answer.status in (502, 503)
    assert b"hello" not in answer.body
    assert "UPE" in logged(served)[1].split(",")


def test_an_upstream_that_dies_within_the_body_cuts_the_response(gateway, upstream):
    def dying(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    served = gateway(one_route(upstream(dying)))
    with served.client() as client, pytest.raises((EOFError, ConnectionResetError)):
        client.request("GET", "/")
    status, flags, details = logged(served)
    assert status == 200 and set(flags.split(",")) & {"UC", "UR"}
    assert details.startswith("upstream_reset_after_response_started")


def test_a_bad_chunk_in_the_response_cuts_it(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        begun.wait(DEADLINE_S)
        conn.send("zz\r\n")
        conn.wait_closed()

    begun = threading.Event()
    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.send_head("GET", "/")
        answer = client.read_head()
        assert answer.status == 200
        begun.set()
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_body(answer)
    assert set(logged(served)[1].split(",")) & {"UPE", "UC", "UR"}


def test_the_connection_lives_on_after_an_answer_of_our_own(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        assert client.request("GET", "/", host="nobody.example").status == 404
        assert client.request("POST", "/", host="nobody.example", body=b"x" * 100).status == 404
        assert client.request("GET", "/").status == 200


def test_head_of_an_answer_of_our_own_has_no_body(gateway):
    served = gateway(one_route())
    with served.client() as client:
        assert client.request("HEAD", "/", host="nobody.example").status == 404
        assert client.request("HEAD", "/").status == 503


def test_redirect_and_direct_response(gateway, upstream):
    served = gateway(documents(
        service("test", upstream()), istio_gateway("gateway", HOST),
        virtual_service("test", HOST,
                        {"match": [{"uri": {"exact": "/old"}}],
                         "redirect": {"uri": "/new", "redirectCode": 308}},
                        {"match": [{"uri": {"exact": "/other"}}],
                         "redirect": {"authority": "new.example"}},
                        {"match": [{"uri": {"prefix": "/teapot"}}],
                         "directResponse": {"status": 418, "body": {"string": "short and stout"}}},
                        route("test"))), workers=1)
    moved = served.get("/old?q=1")
    assert (moved.status, moved["location"]) == (308, "http://test.example/new?q=1")
    moved = served.get("/other")
    assert (moved.status, moved["location"]) == (301, "http://new.example/other")
    teapot = served.get("/teapot")
    assert (teapot.status, teapot.text) == (418, "short and stout")
    assert served.get("/").status == 200
    lines = served.access_log.wait_for(r'" (\d+) - (\S+) ', count=4)
    assert [m.group(2) for m in lines] == ["direct_response"] * 3 + ["via_upstream"]


def test_app_root_is_a_redirect_of_the_root_alone(gateway, upstream):
    served = gateway(documents(service("test", upstream()), ingress(
        "test", (HOST, path("/", "test")), annotations={"app-root": "/start"})))
    answer = served.get("/")
    assert (answer.status, answer["location"]) == (302, "http://test.example/start")
    assert served.get("/start").status == 200
