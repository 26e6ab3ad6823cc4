# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 where lives end at awkward moments: streams that were not sent yet, connections that are
lost while something is awaited, answers before the request's end. Under a sanitizer each of these
also tells of memory used after its end, or never freed."""

import base64
import json
import os
import ssl
import threading
import time

import pytest
from harness import http2
from harness.http2 import Server2, WentAway, echo2, frame, literal
from harness.manifests import destination_rule, documents, one_route
from harness.patience import DEADLINE_S

H2C = "kubernetes.io/h2c"
PLAIN = os.environ.get("SLUICEGATE_TEST_PATIENCE", "1") == "1"  # no sanitizer: memory tells
KEY = base64.b64encode(b"k" * 16).decode()
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
           ("Sec-WebSocket-Version", "13")]


def begin_websocket(client, protocol="websocket", headers=()):
    number = client.next_number
    client.next_number += 2
    one = client.exchange(number)
    client.send_headers(number, [(":method", "CONNECT"), (":protocol", protocol),
                                 (":scheme", "http"), (":path", "/chat"),
                                 (":authority", "test.example"), *headers])
    return one


# -- connections to endpoints that end early --

def test_a_connection_lost_under_a_request_is_an_answer_at_once(gateway, upstream):
    def serve(conn):
        Server2(conn).next_request()
        conn.reset()

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    began = time.monotonic()
    answer = served.request("GET", "/")
    assert answer.status == 503 and "connection termination" in answer.text
    with served.h2_client() as client:
        assert client.request("GET", "/").status == 503
    assert time.monotonic() - began < DEADLINE_S / 2


def test_an_endpoint_that_leaves_before_its_settings_is_an_answer(gateway, upstream):
    """An upgrade waits for them: to hear whether extended CONNECT is served."""
    def serve(conn):
        conn.read_exactly(24)

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.client() as client:
        client.send_head("GET", "/chat", headers=UPGRADE)
        assert client.read_response().status == 503
    with served.h2_client() as client:
        one = begin_websocket(client)
        assert client.finish(one).status == 503


def test_an_upgrade_waits_for_the_settings_and_no_longer(gateway, upstream):
    def serve(conn):
        server = Server2(conn, {http2.ENABLE_CONNECT_PROTOCOL: 1})
        one = server.next_stream()
        server.send_headers(one.number, [(":status", "200")])
        server.wait(lambda: b"".join(one.parts) == b"early late")
        server.send_data(one.number, b"seen", end=True)
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.client() as client:
        client.send_head("GET", "/chat", headers=UPGRADE)
        client.send(b"early")
        assert client.read_response().status == 101
        client.send(b" late")
        assert client.read_exactly(4) == b"seen"


def begin_many(client, count, method="GET"):
    """All in one write, so that all of them wait for one connection to the endpoint."""
    heads = []
    client.send = heads.append
    asked = [client.begin(method, f"/{i}") for i in range(count)]
    del client.send
    client.send(b"".join(heads))
    return asked


def test_requests_that_wait_for_their_turn_may_be_given_up(gateway, upstream):
    """Before the endpoint's SETTINGS no more than 100 streams are opened; the others wait."""
    go_on = threading.Event()

    def serve(conn):
        assert go_on.wait(DEADLINE_S)
        server = Server2(conn)
        while one := server.next_request():
            server.answer(one, 200, "served")

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        asked = begin_many(client, 120)
        client.ping()
        for one in asked[95:115]:
            client.reset(one.number)
        served.access_log.wait_for(r'"GET /\d+ HTTP/2" 0 DR http2.remote_reset', count=20)
        go_on.set()
        client.finish(*asked[:95], *asked[115:])
        assert {x.text for x in asked[:95] + asked[115:]} == {"served"}


def test_requests_not_sent_before_a_goaway_go_elsewhere(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        if conn.number == 0:
            server.wait(lambda: len(server.exchanges) == 100)
            server.say_goaway(199)
            for one in list(server.exchanges.values()):
                server.answer(one, 200, "first")
            conn.wait_closed()
        while conn.number and (one := server.next_request()):
            server.answer(one, 200, "second")

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        asked = begin_many(client, 120, method="POST")
        client.finish(*asked)
        assert [x.text for x in asked] == ["first"] * 100 + ["second"] * 20


def test_a_connection_that_nobody_waits_for_any_more_is_closed_when_idle(gateway, upstream, pair):
    is_accepted, go_on, closed = (threading.Event() for _ in range(3))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair.load_into(context)
    context.set_alpn_protocols(["h2"])

    def serve(conn):
        is_accepted.set()
        assert go_on.wait(DEADLINE_S)
        with context.wrap_socket(conn.sock, server_side=True) as sock:
            while sock.recv(65536):
                pass
        closed.set()

    rule = destination_rule("test", "test", tls={"mode": "SIMPLE", "insecureSkipVerify": True},
                            connectionPool={"http": {"idleTimeout": "1s"}})
    served = gateway(documents(one_route(upstream(serve), app_protocol="http2"), rule))
    with served.h2_client() as client:
        one = client.begin("GET", "/")
        assert is_accepted.wait(DEADLINE_S)
        client.reset(one.number)
        client.ping()
        go_on.set()
        assert closed.wait(DEADLINE_S)


# -- answers before the end of the request --

@pytest.mark.parametrize("path, status", [("/", "404"), ("/", "grpc")])
def test_an_early_answer_without_a_body_arrives(gateway, upstream, path, status):
    """The reset that tells the client to stop must not take the answer's place."""
    served = gateway(one_route(upstream()))
    with served.h2_client() as client:
        headers = [("content-type", "application/grpc")] if status == "grpc" else []
        method = "POST" if status == "grpc" else "HEAD"
        one = client.begin(method, path, host="nobody.example", headers=headers, end=False)
        client.finish(one)
        assert one.headers is not None and one.has_ended, one
        if status == "grpc":
            assert one.status == 200 and one["grpc-status"] == "12"
        else:
            assert one.status == 404
        client.ping()
        assert one.reset in (None, http2.NO_ERROR)


@pytest.mark.parametrize("over_h2", [False, True])
def test_an_upstreams_early_answer_without_a_body_arrives(gateway, upstream, over_h2):
    def serve(conn):
        if over_h2:
            server = Server2(conn)
            one = server.next_stream()
            server.send_headers(one.number, [(":status", "204"), ("x-from", "upstream")], end=True)
            conn.wait_closed()
        else:
            conn.read_head()
            conn.send("HTTP/1.1 204 No Content\r\nX-From: upstream\r\n\r\n")
            conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C if over_h2 else None))
    with served.h2_client() as client:
        one = client.begin("POST", "/", end=False)
        client.finish(one)
        assert one.has_ended and one.status == 204 and one["x-from"] == "upstream"


@pytest.mark.parametrize("version", ["http1", "http2"])
def test_the_routes_timeout_begins_with_the_end_of_a_late_body(gateway, upstream, version):
    def serve(conn):
        Server2(conn).next_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C, timeout="500ms"))
    if version == "http2":
        with served.h2_client() as client:
            one = client.begin("POST", "/", end=False)
            time.sleep(0.2)
            client.send_data(one.number, b"late")
            assert client.finish(one).status == 504
    else:
        with served.client() as client:
            client.send_head("POST", "/", headers=[("Content-Length", "4")])
            time.sleep(0.2)
            client.send(b"late")
            assert client.read_response().status == 504


# -- heads --

def test_a_head_that_does_not_end_keeps_nothing(gateway, upstream):
    """The sanitizer's leak check at the end is the judge."""
    served = gateway(one_route(upstream()))
    long = [(":method", "GET"), (":scheme", "http"), (":authority", "test.example"),
            (":path", "/" + "x" * 8000)]
    with served.h2_client() as client:  # refused by the engine
        one = client.exchange(1)
        client.next_number = 3
        client.send_headers(1, [*long, ("connection", "close")], True)
        client.finish(one)
        assert one.reset == http2.PROTOCOL_ERROR
        client.send(frame(http2.HEADERS, 0, 3, client.encoder.encode(long)))
    assert served.request("GET", "/").status == 200


@pytest.mark.parametrize("case, headers", [
    ("a-path-of-another-scheme", [(":method", "GET"), (":scheme", "other"),
                                  (":authority", "test.example"), (":path", "http://other.example/")]),
    ("h2c-by-connect", [(":method", "CONNECT"), (":protocol", "h2c"), (":scheme", "http"),
                        (":authority", "test.example"), (":path", "/")]),
    ("two-by-connect", [(":method", "CONNECT"), (":protocol", "websocket,h2c"), (":scheme", "http"),
                        (":authority", "test.example"), (":path", "/")]),
    ("a-tunnel-with-a-length", [(":method", "CONNECT"), (":protocol", "websocket"),
                                (":scheme", "http"), (":authority", "test.example"),
                                (":path", "/"), ("content-length", "5")])])
def test_what_could_pass_by_the_routes_reaches_no_endpoint(gateway, upstream, case, headers):
    backend = upstream()
    served = gateway(one_route(backend))
    with served.h2_client() as client:
        one = client.exchange(1)
        client.send_headers(1, headers)
        client.finish(one)
        assert one.reset is not None or one.status in (400, 501), one
    assert backend.requests.empty()


def test_blanks_around_values_do_not_pass_to_http2(gateway, upstream):
    """RFC 9113, 8.2.1: a strict peer refuses them; in HTTP/1.1 they mean nothing."""
    def serve(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: \tb \t\r\nX-E:  \r\n\r\n")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        answer = client.request("GET", "/")  # the harness judges every value
        assert answer["x-a"] == "b" and answer["x-e"] == ""
    served = gateway(one_route(upstream(echo2), app_protocol=H2C))
    with served.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\nX-A:\tb \t\r\nX-Z: \r\n\r\n")
        answer = client.read_response()
        assert answer.status == 200
        assert ["x-a", "b"] in json.loads(answer.body)["headers"]


def test_a_plain_answer_to_an_upgrade_opens_no_tunnel(gateway, upstream):
    served = gateway(one_route(upstream()))  # answers 200, as if nothing had been asked for
    with served.h2_client() as client:
        one = client.finish(begin_websocket(client))
        assert one.status == 502


# -- resets --

@pytest.mark.parametrize("code, told", [(http2.REFUSED_STREAM, http2.INTERNAL_ERROR),
                                        (http2.COMPRESSION_ERROR, http2.INTERNAL_ERROR),
                                        (http2.CANCEL, http2.CANCEL),
                                        (http2.ENHANCE_YOUR_CALM, http2.ENHANCE_YOUR_CALM)])
def test_what_a_reset_in_an_answer_tells_the_client(gateway, upstream, code, told):
    """Never that the request may be sent again."""
    def serve(conn):
        server = Server2(conn)
        one = server.next_request()
        server.send_headers(one.number, [(":status", "200")])
        server.reset(one.number, code)
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.h2_client() as client:
        one = client.begin("GET", "/")
        client.finish(one)
        assert one.reset == told


def test_streams_that_the_client_makes_us_reset_are_counted(gateway, upstream):
    """More data than announced: the request is dropped, at no cost to the client."""
    def serve(conn):
        while conn.read_head():
            pass

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        with pytest.raises((WentAway, OSError)):
            for _ in range(400):
                one = client.begin("POST", "/", headers=[("content-length", "1")], end=False)
                client.send(frame(http2.DATA, 0, one.number, b"xx"))
                client.finish(one)
        assert client.wait_closed()[1] == http2.ENHANCE_YOUR_CALM


# -- what endpoints may do --

@pytest.mark.parametrize("version", ["http1", "http2"])
def test_interim_answers_without_end_are_not_kept(gateway, upstream, version):
    """No window bounds heads: where the client does not read they must not pile up."""
    said = threading.Event()

    def serve(conn):
        server = Server2(conn)
        one = server.next_request()
        hints = [(":status", "103"), ("link", "</a>" * 50)]
        server.send_headers(one.number, hints)
        block = server.encoder.encode(hints)  # a byte for a field by now
        many = frame(http2.HEADERS, http2.END_HEADERS, one.number, block) * 1000
        for _ in range(300):
            server.send(many)
            server.ping()
        said.set()
        server.answer(one, 200, "at last")
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    assert served.request("GET", "/", host="nobody.example").status == 404
    before = served.resident_kib()
    if version == "http2":
        with served.h2_client() as client:
            one = client.begin("GET", "/")
            assert said.wait(DEADLINE_S)
            grown = served.resident_kib() - before
            assert client.finish(one).text == "at last" and one.interim
    else:
        with served.client() as client:
            client.send_head("GET", "/")
            assert said.wait(DEADLINE_S)
            grown = served.resident_kib() - before
            answer = client.read_response()
            assert answer.text == "at last" and answer.interim
    assert not PLAIN or grown < 8 * 1024, f"grown by {grown} KiB"


def test_requests_of_a_lost_connection_share_the_next(gateway, upstream):
    """Each may be tried again, but a hundred connections at once are an attack."""
    def serve(conn):
        server = Server2(conn)
        if conn.number == 0:
            server.answer(server.next_request(), 200, "first")
            server.wait(lambda: len(server.exchanges) == 101)
            conn.reset()
            return
        while one := server.next_request():
            server.answer(one, 200, "second")

    backend = upstream(serve)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        assert client.request("GET", "/").text == "first"
        asked = begin_many(client, 100)
        client.finish(*asked)
        assert {x.text for x in asked} == {"second"}
    assert backend.accepted == 2


def test_trailers_of_an_endpoint_that_would_frame_are_left_out(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        one = server.next_request()
        server.send_headers(one.number, [(":status", "200")])
        server.send_data(one.number, b"body", end=False)
        server.send_headers(one.number, [("trailer", "x"), ("host", "other"), ("x-good", "1")],
                            end=True)
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.client() as client:
        client.send_head("GET", "/")
        assert client.read_response().trailers == [("x-good", "1")]


def test_an_endpoint_that_changes_its_protocol_between_two_tries(gateway, upstream, pair):
    """What was begun in chunks goes on as plain DATA, not as DATA with chunks in it."""
    seen = []
    lost = threading.Event()

    def wrapped(conn, *protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair.load_into(context)
        context.set_alpn_protocols(list(protocols))
        conn.sock = context.wrap_socket(conn.sock, server_side=True)

    def serve(conn):
        if conn.number == 0:
            wrapped(conn, "http/1.1")
            conn.read_request()
            conn.answer(200, "first")
            conn.read_head()
            conn.sock.close()
            lost.set()
            return
        wrapped(conn, "h2")
        server = Server2(conn)
        one = server.next_request()
        seen.append(one.body)
        server.answer(one, 200, "second")
        conn.wait_closed()

    rule = destination_rule("test", "test", tls={"mode": "SIMPLE", "insecureSkipVerify": True},
                            connectionPool={"http": {"useClientProtocol": True}})
    served = gateway(documents(one_route(upstream(serve)), rule), workers=1)
    with served.h2_client() as client:
        assert client.request("GET", "/").text == "first"
        one = client.begin("PUT", "/", end=False)
        assert lost.wait(DEADLINE_S)
        client.ping()
        client.send_data(one.number, b"hello")
        client.finish(one)
        assert (one.status, one.text, seen) == (200, "second", [b"hello"])
