# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 from end to end: reuse, bodies both ways, backpressure, interim answers, HTTP/1.0."""

import hashlib
import json
import socket
import threading

import pytest
from harness.manifests import one_route
from harness.patience import wait_until
from harness.upstream import answering

MIB = 1 << 20


def pattern(n):
    """n bytes that no shift or repetition of a part can imitate."""
    block = hashlib.sha256
    return b"".join(block(i.to_bytes(4, "big")).digest() for i in range((n + 31) // 32))[:n]


BIG = pattern(10 * MIB)
BIG_SHA = hashlib.sha256(BIG).hexdigest()


def chunked(data, size):
    parts = [data[i:i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


# -- connections --

def test_both_sides_are_kept_alive(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend), workers=1)
    with served.client() as client:
        for _ in range(20):
            answer = client.request("GET", "/")
            assert answer.status == 200 and answer.get("connection") is None
    assert backend.accepted == 1


def test_clients_share_upstream_connections(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend), workers=1)
    for _ in range(10):
        assert served.get("/").status == 200
    assert backend.accepted == 1


def test_connection_close_of_the_client_is_obeyed(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend), workers=1)
    for _ in range(2):
        with served.client() as client:
            answer = client.request("GET", "/", headers={"Connection": "close"})
            assert answer.status == 200 and answer["connection"] == "close"
            assert client.at_eof()
    assert backend.accepted == 1  # the client's wish says nothing about the upstream's connection


def test_connection_close_of_the_upstream_stays_there(gateway, upstream):
    raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"

    def once(conn):
        conn.read_request()
        conn.send(raw)

    backend = upstream(once)
    served = gateway(one_route(backend))
    with served.client() as client:
        for _ in range(3):
            answer = client.request("GET", "/")
            assert answer.text == "ok" and answer.get("connection") is None
    assert backend.accepted == 3


def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        one = "".join(f"GET /{i} HTTP/1.1\r\nHost: test.example\r\n\r\n" for i in range(50))
        client.send(one)
        for i in range(50):
            assert json.loads(client.read_response().body)["target"] == f"/{i}"


def test_pipelined_bodies_are_kept_apart(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        client.send("POST /a HTTP/1.1\r\nHost: test.example\r\nContent-Length: 5\r\n\r\nhello"
                    "POST /b HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nyou\r\n0\r\n\r\n"
                    "GET /c HTTP/1.1\r\nHost: test.example\r\n\r\n")
        seen = [json.loads(client.read_response().body) for _ in range(3)]
    assert [(s["target"], s["body_bytes"]) for s in seen] == [("/a", 5), ("/b", 3), ("/c", 0)]


def test_empty_lines_before_a_request_are_skipped(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        client.send("\r\n")
        assert client.request("GET", "/").status == 200


def test_http_10_is_answered_and_closed(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        answer = client.request("GET", "/", version="HTTP/1.0")
        assert answer.status == 200
        assert json.loads(answer.body)["version"] == "HTTP/1.1"
        assert client.at_eof()


def test_http_10_gets_no_chunks(gateway, upstream):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    served = gateway(one_route(upstream(answering(raw))))
    with served.client() as client:
        answer = client.request("GET", "/", version="HTTP/1.0")
        assert answer.text == "hello!" and answer.get("transfer-encoding") is None


# -- bodies --

@pytest.mark.parametrize("n", [0, 1, 4095, 4096, 16384, 65535, 65536, 65537, 200000, 10 * MIB])
def test_a_body_with_a_length_arrives_whole(gateway, upstream, n):
    served = gateway(one_route(upstream()))
    seen = json.loads(served.request("POST", "/", body=BIG[:n]).body)
    assert (seen["body_bytes"], seen["body_sha256"]) == (n, hashlib.sha256(BIG[:n]).hexdigest())


@pytest.mark.parametrize("size", [1000, 16384, 65536, 700001])
def test_a_chunked_body_arrives_whole(gateway, upstream, size):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Transfer-Encoding", "chunked")])
        client.send(chunked(BIG, size))
        seen = json.loads(client.read_response().body)
    assert (seen["body_bytes"], seen["body_sha256"]) == (len(BIG), BIG_SHA)


@pytest.mark.parametrize("n", [0, 1, 65536, 131072, 1000000, 10 * MIB])
def test_a_response_with_a_length_arrives_whole(gateway, upstream, n):
    served = gateway(one_route(upstream(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (n, BIG[:n])))))
    with served.client() as client:
        for _ in range(2):
            answer = client.request("GET", "/")
            assert answer.body == BIG[:n] and answer["content-length"] == str(n)


@pytest.mark.parametrize("size", [1000, 65536, 700001])
def test_a_chunked_response_arrives_whole(gateway, upstream, size):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    served = gateway(one_route(upstream(answering(head + chunked(BIG, size)))))
    with served.client() as client:
        for _ in range(2):
            assert client.request("GET", "/").body == BIG


def test_a_response_until_close_becomes_chunked(gateway, upstream):
    def until_close(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n" + BIG)

    served = gateway(one_route(upstream(until_close)))
    with served.client() as client:
        for _ in range(2):
            answer = client.request("GET", "/")
            assert answer.body == BIG and answer["transfer-encoding"] == "chunked"


def test_trailers_pass_both_ways(gateway, upstream):
    def serve(conn):
        while request := conn.read_request():
            assert request.trailers == [("x-sum", "5")]
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-digest\r\n\r\n"
                      "5\r\nhello\r\n0\r\nX-Digest: abc\r\n\r\n")

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Transfer-Encoding", "chunked"), ("TE", "trailers")])
        client.send("5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
        answer = client.read_response()
    assert answer.text == "hello" and answer.trailers == [("x-digest", "abc")]


def test_a_body_streams_before_it_is_complete(gateway, upstream):
    arrived, proceed = threading.Event(), threading.Event()

    def serve(conn):
        conn.read_head()
        assert conn.read_exactly(5) == b"first"
        arrived.set()
        conn.read_exactly(6)
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        assert proceed.wait(30)
        conn.send("two")

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", "11")])
        client.send("first")
        assert arrived.wait(30)
        client.send("second")
        answer = client.read_head()
        assert answer.status == 200 and client.read_exactly(3) == b"one"
        proceed.set()
        assert client.read_exactly(3) == b"two"


def test_an_answer_before_the_body_is_sent_reaches_the_client(gateway, upstream):
    def refuse(conn):
        conn.read_head()
        conn.answer(413, "too much", [("Connection", "close")], "Content Too Large")
        conn.wait_closed()

    served = gateway(one_route(upstream(refuse)))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", str(100 * MIB))])
        client.send(b"x" * 1000)
        answer = client.read_response()
        assert (answer.status, answer.text) == (413, "too much")


# -- statuses without a body, interim answers --

@pytest.mark.parametrize("raw, status", [
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    (b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 100\r\n\r\n", 304),
])
def test_a_status_without_a_body_ends_with_its_head(gateway, upstream, raw, status):
    backend = upstream(answering(raw))
    served = gateway(one_route(backend), workers=1)
    with served.client() as client:
        for _ in range(3):
            assert client.request("GET", "/").status == status
    assert backend.accepted == 1


def test_head_has_the_length_and_no_body(gateway, upstream):
    backend = upstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
    served = gateway(one_route(backend), workers=1)
    with served.client() as client:
        for _ in range(3):
            answer = client.request("HEAD", "/")
            assert answer.status == 200 and answer["content-length"] == "1000"
    assert backend.accepted == 1


def test_expect_continue_is_passed_on_and_answered(gateway, upstream):
    def serve(conn):
        request = conn.read_head()
        assert request.get("expect") == "100-continue"
        conn.send("HTTP/1.1 100 Continue\r\n\r\n")
        conn.read_body(request)
        conn.answer(200, request.body)

    served = gateway(one_route(upstream(serve)))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", "5"), ("Expect", "100-continue")])
        assert client.read_head().status == 100
        client.send("hello")
        assert client.read_response().text == "hello"


def test_expect_continue_may_be_refused_at_once(gateway, upstream):
    def refuse(conn):
        conn.read_head()
        conn.answer(417, "no", [("Connection", "close")], "Expectation Failed")
        conn.wait_closed()

    served = gateway(one_route(upstream(refuse)))
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", "5"), ("Expect", "100-continue")])
        assert client.read_response().status == 417


def test_early_hints_are_passed_on(gateway, upstream):
    raw = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
           b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n"
           b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    served = gateway(one_route(upstream(answering(raw))))
    answer = served.get("/")
    assert [i["link"] for i in answer.interim] == ["</a.css>; rel=preload", "</b.css>; rel=preload"]
    assert answer.text == "ok"


def test_http_10_gets_no_interim_answer(gateway, upstream):
    raw = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
           b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    served = gateway(one_route(upstream(answering(raw))))
    with served.client() as client:
        answer = client.request("GET", "/", version="HTTP/1.0")
        assert answer.interim == [] and answer.text == "ok"


# -- what belongs to one hop --

def test_hop_by_hop_headers_stay_on_their_hop(gateway, upstream):
    raw = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-up, keep-alive\r\nX-Up: 1\r\n"
           b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n\r\nok")
    backend = upstream(answering(raw))
    served = gateway(one_route(backend))
    answer = served.get("/", headers=[
        ("Connection", "X-Gone, keep-alive"), ("X-Gone", "1"), ("Keep-Alive", "5"),
        ("Proxy-Connection", "x"), ("TE", "trailers, gzip"), ("X-Stays", "1")])
    seen = backend.next_request()
    for name in ("x-gone", "keep-alive", "proxy-connection", "upgrade"):
        assert seen.all(name) == [], name
    assert seen.all("x-stays") == ["1"]
    # A new hop: te says what we take, and Connection must then name it (RFC 9110, 10.1.4).
    assert seen.all("te") in ([], ["trailers"])
    assert seen.all("connection") in ([], ["te"])
    for name in ("connection", "x-up", "keep-alive", "proxy-connection"):
        assert answer.all(name) == [], name
    assert answer["x-kept"] == "1"


def test_headers_keep_their_order_and_repetition(gateway, upstream):
    raw = (b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\n"
           b"Content-Length: 0\r\n\r\n")
    backend = upstream(answering(raw))
    served = gateway(one_route(backend))
    answer = served.get("/", headers=[("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ("X-Empty", "")])
    assert backend.next_request().all("x-a") == ["1", "3"]
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer["x-empty"] == "" and answer.reason == "Fine"


# -- slow and vanishing peers --

def test_a_slow_reader_stops_the_upstream_and_costs_a_bounded_buffer(gateway, upstream):
    total, sent = 200 * MIB, [0]

    def serve(conn):
        conn.read_request()
        conn.send(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")
        conn.sock.settimeout(1)
        try:
            while sent[0] < total:
                sent[0] += conn.sock.send(BIG[:MIB])
        except TimeoutError:
            stalled.set()
            conn.wait_closed()

    stalled = threading.Event()
    served = gateway(one_route(upstream(serve)), workers=1)
    served.get("/", host="nobody.example")
    before = served.resident_kib()
    with served.client(receive_buffer=65536) as client:
        client.send_head("GET", "/")
        assert client.read_head().status == 200
        assert stalled.wait(60), "the upstream was never held back"
        assert served.resident_kib() - before < 4096
    assert sent[0] < total


def test_a_slow_upstream_stops_the_client_and_costs_a_bounded_buffer(gateway, upstream):
    release = threading.Event()

    def serve(conn):
        conn.read_head()
        assert release.wait(60)

    served = gateway(one_route(upstream(serve)), workers=1)
    served.get("/", host="nobody.example")
    before, sent = served.resident_kib(), 0
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", str(200 * MIB))])
        client.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            while sent < 200 * MIB:
                sent += client.sock.send(BIG[:MIB])
        assert served.resident_kib() - before < 4096
        release.set()


def test_a_client_that_reads_byte_by_byte_gets_everything(gateway, upstream):
    body = BIG[:5000]
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 100)
    served = gateway(one_route(upstream(answering(raw))))
    with served.client(receive_buffer=2048) as client:
        client.bytes_per_read = 1
        assert client.request("GET", "/").body == body


def test_a_client_that_vanishes_frees_the_upstream(gateway, upstream):
    closed = threading.Event()

    def serve(conn):
        conn.read_request()
        conn.wait_closed()
        closed.set()

    served = gateway(one_route(upstream(serve)))
    client = served.client()
    client.send_head("GET", "/")
    wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "the request is in flight")
    client.reset()
    assert closed.wait(30), "the upstream request was not given up"
    assert served.access_log.wait_for(r'" (\d+) (\S+) ')[0].group(1, 2) == ("0", "DC")


def test_a_client_that_ends_its_side_still_gets_the_answer(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        client.send_head("GET", "/half")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_response().status == 200
        assert client.at_eof()


def test_a_request_cut_within_its_body_is_no_request_upstream(gateway, upstream):
    outcome = []

    def serve(conn):
        request = conn.read_head()
        try:
            conn.read_body(request)
            outcome.append("whole")
        except (EOFError, OSError):
            outcome.append("cut")

    served = gateway(one_route(upstream(serve)))
    client = served.client()
    client.send_head("POST", "/", headers=[("Content-Length", "100")])
    client.send("half")
    wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "the request is in flight")
    client.close()
    wait_until(lambda: outcome, "the upstream noticed")
    assert outcome == ["cut"]


def test_an_idle_request_has_a_deadline(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)), "--idle-timeout", "300ms")
    with served.client() as client:
        client.send_head("GET", "/")
        assert client.read_response().status in (408, 504)
    assert "SI" in served.access_log.wait_for(r'" \d+ (\S+) ')[0].group(1)


def test_many_connections_at_once(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend))
    clients = [served.client() for _ in range(200)]
    try:
        for _ in range(3):
            for client in clients:
                client.send_head("GET", "/")
            assert all(client.read_response().status == 200 for client in clients)
    finally:
        for client in clients:
            client.close()
