# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 towards clients: real ones first, then frame by frame."""

import hashlib
import json
import signal
import socket
import subprocess
import threading

import pytest
from harness import http2
from harness.http2 import WentAway, frame, literal
from harness.manifests import one_route
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import answering

MIB = 1 << 20
BODY = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(65536))  # 2 MiB


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", str(int(DEADLINE_S)), *map(str, args)],
                          capture_output=True, timeout=DEADLINE_S + 10)
    assert done.returncode == 0, done
    return done.stdout


# -- real clients --

def test_curl_with_prior_knowledge(gateway, upstream):
    served = gateway(one_route(upstream()))
    out = curl("--http2-prior-knowledge", "-H", "Host: test.example", "-w", "\n%{http_version}",
               f"http://127.0.0.1:{served.port}/a?b=c")
    body, version = out.rsplit(b"\n", 1)
    seen = json.loads(body)
    assert version == b"2" and (seen["method"], seen["target"]) == ("GET", "/a?b=c")
    assert seen["version"] == "HTTP/1.1"
    line = served.access_log.wait_for(r'"GET /a\?b=c HTTP/2" 200')
    assert line


def test_a_plain_text_upgrade_to_h2c_is_answered_over_http1(gateway, upstream):
    """RFC 9113, 3.1: that mechanism is gone."""
    backend = upstream()
    served = gateway(one_route(backend))
    out = curl("--http2", "-H", "Host: test.example", "-w", "\n%{http_version} %{http_code}",
               f"http://127.0.0.1:{served.port}/")
    assert out.endswith(b"\n1.1 200")
    request = backend.next_request()
    assert not request.all("upgrade") and not request.all("http2-settings")


def test_nghttp_with_trailers_and_padding(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend))
    done = subprocess.run(
        ["nghttp", "-v", "--no-dep", "--padding=100", "-H", ":authority: test.example",
         "-H", "x: y", "--trailer", "t: u", "--no-content-length", "-d", "-", f"http://127.0.0.1:{served.port}/"],
        input=b"hello" * 1000, capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and b":status: 200" in done.stdout, done
    request = backend.next_request()
    assert request.body == b"hello" * 1000 and request.trailers == [("t", "u")]


def test_h2load_with_many_streams(gateway, upstream):
    served = gateway(one_route(upstream(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))))
    done = subprocess.run(
        ["h2load", "-n", "1000", "-c", "4", "-m", "32", f"--connect-to=127.0.0.1:{served.port}",
         f"http://test.example:{served.port}/"], capture_output=True, text=True, timeout=DEADLINE_S * 2)
    assert "1000 succeeded, 0 failed" in done.stdout, done
    assert "status codes: 1000 2xx" in done.stdout, done.stdout


# -- streams --

def test_streams_run_side_by_side(gateway, upstream):
    """100 requests wait at the upstream at once, on one connection of the client."""
    together = threading.Barrier(100)

    def serve(conn):
        request = conn.read_request()
        together.wait(DEADLINE_S)
        conn.answer(200, request.target)
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        asked = [client.begin("GET", f"/{i}") for i in range(100)]
        client.finish(*asked)
        assert [x.text for x in asked] == [f"/{i}" for i in range(100)]


def test_answers_come_in_the_order_they_are_ready(gateway, upstream):
    proceed = threading.Event()

    def serve(conn):
        while request := conn.read_request():
            if request.target == "/slow":
                assert proceed.wait(DEADLINE_S)
            conn.answer(200, request.target)

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        slow = client.begin("GET", "/slow")
        assert client.request("GET", "/fast").text == "/fast"
        assert slow.headers is None
        proceed.set()
        assert client.finish(slow).text == "/slow"


def test_heads_arrive_whole(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend))
    with served.h2_client() as client:
        answer = client.request("GET", "/p?q=%20", headers=[
            ("x-many", "1"), ("x-many", "2"), ("cookie", "a=1"), ("cookie", "b=2"),
            ("te", "trailers"), ("x-long", "y" * 20_000)])
        assert answer.status == 200 and answer["content-type"] == "application/json"
        request = backend.next_request()
        assert request.line == "GET /p?q=%20 HTTP/1.1"
        assert request.all("host") == ["test.example"]
        assert request.all("x-many") == ["1", "2"]
        assert request.all("cookie") == ["a=1; b=2"]  # RFC 9113, 8.2.3
        assert request.get("x-long") == "y" * 20_000
        assert request.get("x-forwarded-for") == "127.0.0.1"
        assert not [k for k, _ in request.headers if k.startswith(":")]
        assert not request.all("transfer-encoding") and not request.all("content-length")


@pytest.mark.parametrize("window", [1, 1000, 65535, 16 * MIB])
def test_bodies_pass_both_ways_through_any_window(gateway, upstream, window):
    body = BODY[:3000] if window == 1 else BODY[:100_000] if window == 1000 else BODY

    def serve(conn):
        while request := conn.read_request():
            conn.answer(200, request.body)

    served = gateway(one_route(upstream(serve)))
    with served.h2_client(settings={http2.INITIAL_WINDOW_SIZE: window}) as client:
        if window > 65535:
            client.give(0, window)
        answer = client.request("POST", "/", body=body, headers={"content-length": str(len(body))})
        assert answer.status == 200 and answer.body == body
        answer = client.request("POST", "/", body=body)  # of unknown length: chunked upstream
        assert answer.status == 200 and answer.body == body


def test_many_bodies_share_a_connection(gateway, upstream):
    def serve(conn):
        while request := conn.read_request():
            conn.answer(200, request.body)

    served = gateway(one_route(upstream(serve)))
    part = BODY[:200_000]
    with served.h2_client() as client:
        asked = [client.begin("POST", "/", end=False) for _ in range(10)]
        for one in asked:
            client.send_data(one.number, part)
        client.finish(*asked)
        assert all(x.body == part for x in asked)


def test_a_client_that_reads_one_stream_is_not_held_up_by_another(gateway, upstream):
    def serve(conn):
        while request := conn.read_request():
            conn.answer(200, BODY if request.target == "/large" else b"small")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client(acknowledges=False) as client:
        client.give(0, 16 * MIB)
        large = client.begin("GET", "/large")
        client.wait(lambda: large.receive_window == 0)
        assert client.request("GET", "/small").body == b"small"
        client.give(large.number, 16 * MIB)
        assert client.finish(large).body == BODY


def test_trailers_pass_both_ways(gateway, upstream):
    def serve(conn):
        while request := conn.read_request():
            assert request.trailers == [("x-sum", "1"), ("x-more", "2")]
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Down\r\n\r\n"
                      "5\r\nhello\r\n0\r\nX-Down: yes\r\n\r\n")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        answer = client.request("POST", "/", body=b"abc", trailers=[("x-sum", "1"), ("x-more", "2")])
        assert answer.text == "hello" and answer.trailers == [("x-down", "yes")]


def test_interim_answers_pass(gateway, upstream):
    hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    served = gateway(one_route(upstream(answering(
        (hint + hint + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").encode()))))
    with served.h2_client() as client:
        answer = client.request("GET", "/")
        assert answer.interim == [(103, [("link", "</a.css>; rel=preload")])] * 2
        assert (answer.status, answer.text) == (200, "ok")


def test_expect_continue_is_answered(gateway, upstream):
    def serve(conn):
        request = conn.read_head()
        if request.all("expect"):
            conn.send("HTTP/1.1 100 Continue\r\n\r\n")
        conn.answer(200, conn.read_body(request))
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = client.begin("POST", "/", headers=[("expect", "100-continue")], end=False)
        client.wait(lambda: one.interim)
        assert one.interim[0][0] == 100
        client.send_data(one.number, b"body")
        assert client.finish(one).text == "body"


@pytest.mark.parametrize("status, head", [(204, ""), (304, "ETag: x\r\n"), (200, "Content-Length: 5\r\n")])
def test_answers_without_a_body_end_with_their_head(gateway, upstream, status, head):
    def serve(conn):
        while conn.read_request():
            conn.send(f"HTTP/1.1 {status} X\r\n{head}\r\n")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        for _ in range(2):
            answer = client.request("HEAD" if status == 200 else "GET", "/")
            assert (answer.status, answer.body, answer.parts) == (status, b"", [])
            assert answer.get("content-length") == ("5" if status == 200 else None)


def test_a_body_that_ends_with_the_upstream_connection_ends_the_stream(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\n\r\nall of it")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        assert client.request("GET", "/").text == "all of it"
        assert client.request("GET", "/").text == "all of it"


def test_answers_of_the_gateway_itself(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.h2_client() as client:
        for _ in range(3):
            answer = client.request("GET", "/", host="nobody.example")
            assert answer.status == 404 and answer.all("date") and not answer.all("connection")
        answer = client.request("POST", "/", host="nobody.example", body=b"x" * 100)
        assert answer.status == 404
        assert client.request("GET", "/").status == 200


def test_an_early_answer_leaves_the_connection_usable(gateway, upstream):
    """The rest of the body is not wanted: RST_STREAM NO_ERROR (RFC 9113, 8.1), or is dropped."""
    def serve(conn):
        conn.read_head()
        conn.answer(413, "too large", [("Connection", "close")])

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = client.begin("POST", "/", end=False)
        client.send_data(one.number, b"x" * 1000, end=False)
        client.wait(lambda: one.has_ended)
        assert one.status == 413
        client.send_data(one.number, BODY)
        assert client.request("GET", "/", host="nobody.example").status == 404


# -- resets --

def test_a_reset_of_the_client_ends_the_request(gateway, upstream):
    gone = threading.Event()

    def serve(conn):
        request = conn.read_head()
        if request.target == "/stay":
            conn.answer(200, "here")
        conn.wait_closed()
        gone.set()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = client.begin("GET", "/leave")
        wait_until(lambda: served.metric("sluicegate_requests_active") == 1, "it is in flight")
        client.reset(one.number)
        assert gone.wait(DEADLINE_S)
        assert client.request("GET", "/stay").text == "here"
    line = served.access_log.wait_for(r'"GET /leave HTTP/2" (\d+) (\S+) (\S+)')[0]
    assert line.group(1) == "0" and line.group(2) in ("DR", "DC")


@pytest.mark.parametrize("ends", ["close", "reset", "chunk"])
def test_a_cut_answer_is_a_reset_stream_and_no_more(gateway, upstream, ends):
    arrived = threading.Event()

    def serve(conn):
        conn.read_request()
        framing = "Transfer-Encoding: chunked" if ends == "chunk" else "Content-Length: 10"
        conn.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"
                  + ("5\r\nhello\r\n" if ends == "chunk" else "hello"))
        assert arrived.wait(DEADLINE_S)
        if ends == "chunk":
            conn.send("XX\r\n")
            conn.wait_closed()
        elif ends == "reset":
            conn.reset()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = client.begin("GET", "/")
        client.wait(lambda: one.parts == [b"hello"])
        arrived.set()
        client.finish(one)
        assert one.reset is not None and one.reset != http2.NO_ERROR and not one.has_ended
        assert client.request("GET", "/", host="nobody.example").status == 404


def test_a_failed_upstream_is_an_answer(gateway, upstream):
    def serve(conn):
        conn.read_request()

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        answer = client.request("POST", "/", body=b"x")
        assert answer.status == 503 and "upstream connect error" in answer.text


# -- the end of a connection --

def test_drain_says_goaway_and_lets_streams_end(gateway, upstream):
    arrived, proceed = threading.Event(), threading.Event()

    def serve(conn):
        conn.read_request()
        arrived.set()
        assert proceed.wait(DEADLINE_S)
        conn.answer(200, "done")

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client, served.h2_client() as idle:
        one = client.begin("GET", "/")
        assert arrived.wait(DEADLINE_S)
        served.signal(signal.SIGTERM)
        client.wait(lambda: client.goaway)
        proceed.set()
        client.finish(one)
        assert one.text == "done"
        last, code, _ = client.wait_closed()
        assert last >= one.number and code == http2.NO_ERROR
        assert idle.wait_closed()[1] == http2.NO_ERROR
    assert served.wait_exit() == 0


def test_requests_on_their_way_during_the_goaway_are_served(gateway, upstream):
    """The first GOAWAY takes all; the second, a moment later, says which were the last."""
    served = gateway(one_route(upstream()))
    with served.h2_client() as client:
        client.ping()
        served.signal(signal.SIGTERM)
        client.wait(lambda: client.goaway)
        assert client.goaway[0] == 0x7fffffff
        one = client.request("GET", "/late")
        assert one.status == 200
        assert client.wait_closed()[0] == one.number
    assert served.wait_exit() == 0


def test_sigterm_under_load_fails_no_request(gateway, upstream):
    """A client that obeys GOAWAY: whatever was below its last stream is answered."""
    served = gateway(one_route(upstream(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))))
    failures, counts = [], []

    def load():
        done, running = 0, []
        try:
            with served.h2_client() as client:
                while not client.goaway:
                    while len(running) < 8:
                        running.append(client.begin("GET", "/"))
                    client.read()
                    done += sum(x.has_ended for x in running)
                    running = [x for x in running if not x.has_ended]
                for one in running:
                    if one.number <= client.goaway[0]:
                        assert client.finish(one).status == 200
                        done += 1
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)
        counts.append(done)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    served.access_log.wait_for('"GET / HTTP/2" 200', count=200)
    served.signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert min(counts) > 0
    assert served.wait_exit() == 0


# -- what is no HTTP --

GOOD = [(":method", "GET"), (":scheme", "http"), (":authority", "test.example"), (":path", "/")]


def with_field(name, value):
    return GOOD + [(name, value)]


def without(name):
    return [x for x in GOOD if x[0] != name]


MALFORMED = {
    "connection": with_field("connection", "close"),
    "keep-alive": with_field("keep-alive", "1"),
    "proxy-connection": with_field("proxy-connection", "keep-alive"),
    "transfer-encoding": with_field("transfer-encoding", "chunked"),
    "upgrade": with_field("upgrade", "websocket"),
    "te-gzip": with_field("te", "gzip"),
    "upper-case": with_field("X-Upper", "1"),
    "name-with-space": with_field("x y", "1"),
    "name-with-colon": with_field("x:y", "1"),
    "name-with-lf": with_field("x\ny", "1"),
    "value-with-lf": with_field("x", "1\ny: 2"),
    "value-with-crlf": with_field("x", "1\r\ny: 2"),
    "value-with-nul": with_field("x", "1\0"),
    "path-with-lf": without(":path") + [(":path", "/\nx")],
    "path-with-space": without(":path") + [(":path", "/ HTTP/1.1")],
    "path-crlf": without(":path") + [(":path", "/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /")],
    "method-crlf": without(":method") + [(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\n")],
    "method-space": without(":method") + [(":method", "GET /admin")],
    "authority-crlf": without(":authority") + [(":authority", "test.example\r\nX: y")],
    "authority-userinfo": without(":authority") + [(":authority", "user@test.example")],
    "no-method": without(":method"),
    "no-path": without(":path"),
    "no-scheme": without(":scheme"),
    "empty-path": without(":path") + [(":path", "")],
    "relative-path": without(":path") + [(":path", "x")],
    "two-paths": GOOD + [(":path", "/x")],
    "late-pseudo": without(":path") + [("x", "y"), (":path", "/")],
    "unknown-pseudo": [(":x", "y")] + GOOD,
    "status-in-request": [(":status", "200")] + GOOD,
    "host-differs": with_field("host", "evil.example"),
    "two-lengths": GOOD + [("content-length", "1"), ("content-length", "2")],
    "length-no-number": with_field("content-length", "+1"),
    "length-without-body": with_field("content-length", "5"),
    "no-authority-and-no-host": without(":authority"),
}


@pytest.fixture(scope="module")
def strict(shared):
    backend = shared.upstream()
    return shared.gateway(one_route(backend)), backend


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_reaches_no_upstream(strict, case):
    served, backend = strict
    before = backend.requests.qsize()
    with served.h2_client() as client:
        fields = MALFORMED[case]
        one = client.begin_raw(b"".join(literal(k, v) for k, v in fields))
        try:
            client.finish(one)
            assert one.reset == http2.PROTOCOL_ERROR if one.reset is not None else (
                400 <= one.status < 500), one
            good = client.begin("GET", "/good")  # the connection lives on, or was given up whole
            assert client.finish(good).status == 200
            assert backend.requests.qsize() == before + 1
            backend.requests.get()
        except WentAway:
            assert client.goaway and client.goaway[1] == http2.PROTOCOL_ERROR
            assert backend.requests.qsize() == before


@pytest.mark.parametrize("announced, sent, ends", [(5, 6, True), (5, 4, True), (0, 1, True),
                                                   (5, 100, False)])
def test_a_body_of_another_length_than_announced_is_an_error(gateway, upstream, announced, sent, ends):
    smuggled = []

    def serve(conn):
        try:
            while request := conn.read_request():
                smuggled.append(request.target)
                conn.answer(200, "ok")
        except EOFError:
            pass

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client:
        one = client.begin("POST", "/", headers=[("content-length", str(announced))], end=False)
        client.send(frame(http2.DATA, http2.END_STREAM if ends else 0, one.number,
                          b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n".ljust(sent)[:sent]))
        try:
            client.finish(one)
            assert one.reset is not None or one.status == 400
        except WentAway:
            pass
    assert "/evil" not in smuggled


def test_an_upstream_header_that_http2_forbids_is_left_out(gateway, upstream):
    served = gateway(one_route(upstream(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Kept: Yes\r\n\r\nok"))))
    with served.h2_client() as client:
        answer = client.request("GET", "/")
        names = {k for k, _ in answer.headers}
        assert answer["x-kept"] == "Yes"
        assert not names & {"connection", "keep-alive", "proxy-connection", "x-hop"}


# -- limits --

def test_heads_over_the_limit_get_431_or_a_reset(gateway, upstream):
    served = gateway(one_route(upstream()), "--max-header-bytes", "8Ki", "--max-headers", "50")
    for headers in ([("x", "y" * 9000)], [(f"x-{i}", "y") for i in range(60)]):
        with served.h2_client() as client:
            one = client.begin("GET", "/", headers=headers)
            client.finish(one)
            assert one.reset is not None or one.status == 431, one
            assert client.request("GET", "/").status == 200


def test_a_long_target_gets_414(gateway, upstream):
    served = gateway(one_route(upstream()), "--max-target-bytes", "1Ki")
    with served.h2_client() as client:
        assert client.request("GET", "/" + "x" * 2000).status == 414
        assert client.request("GET", "/" + "x" * 1000).status == 200


def test_the_announced_number_of_streams_is_served_and_no_more(gateway, upstream):
    """RFC 9113, 5.1.2: one more is an error of the stream, or (5.4.1) of the connection."""
    proceed = threading.Event()

    def serve(conn):
        while request := conn.read_request():
            assert proceed.wait(DEADLINE_S)
            conn.answer(200, request.target)

    served = gateway(one_route(upstream(serve)))
    with served.h2_client() as client, served.h2_client() as greedy:
        client.ping()
        limit = client.peer[http2.MAX_CONCURRENT_STREAMS]
        assert 100 <= limit <= 1000
        asked = [client.begin("GET", "/") for _ in range(limit)]
        client.ping()
        greedy.ping()
        for _ in range(limit):
            greedy.begin("GET", "/")
        over = greedy.begin("GET", "/over")
        try:
            greedy.finish(over)
            assert over.reset == http2.REFUSED_STREAM
        except WentAway:
            assert greedy.goaway[1] == http2.PROTOCOL_ERROR
        proceed.set()
        client.finish(*asked)
        assert {x.status for x in asked} == {200}


def test_a_head_that_takes_too_long_ends_the_connection(gateway, upstream):
    served = gateway(one_route(upstream()), "--request-head-timeout", "300ms")
    with served.h2_client() as client:
        client.ping()
        block = client.encoder.encode(client.pseudo("GET", "/", "test.example"))
        client.send(frame(http2.HEADERS, http2.END_STREAM, 1, block))  # and no CONTINUATION
        client.wait_closed()
    with served.client() as client:
        client.send(http2.PREFACE[:10])
        client.read_all()


def test_an_idle_connection_is_told_to_go(gateway, upstream):
    served = gateway(one_route(upstream()), "--keepalive-timeout", "300ms")
    with served.h2_client() as client:
        assert client.request("GET", "/").status == 200
        assert client.wait_closed()[1] == http2.NO_ERROR


def test_a_silent_request_times_out(gateway, upstream):
    def serve(conn):
        conn.read_request()
        conn.wait_closed()

    served = gateway(one_route(upstream(serve)), "--idle-timeout", "300ms")
    with served.h2_client() as client:
        assert client.request("GET", "/").status == 504
        upload = client.begin("POST", "/", end=False)
        client.finish(upload)
        assert upload.reset is not None or upload.status in (408, 504)
        assert client.request("GET", "/", host="nobody.example").status == 404


def test_the_log_tells_the_bytes_of_each_stream(gateway, upstream):
    def serve(conn):
        while request := conn.read_request():
            conn.answer(200, request.body * 2)

    served = gateway(one_route(upstream(serve)), "--access-log-format",
                     "%PROTOCOL% %REQ(:PATH)% %RESPONSE_CODE% %BYTES_RECEIVED% %BYTES_SENT%\n")
    with served.h2_client() as client:
        client.request("POST", "/a", body=b"x" * 1000)
        client.request("GET", "/b")
    assert served.access_log.wait_for(r"^HTTP/2 /a 200 1000 2000$")
    assert served.access_log.wait_for(r"^HTTP/2 /b 200 0 0$")


def test_the_preface_may_come_in_pieces(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.h2_client(starts=False) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in http2.PREFACE:
            client.send(bytes([byte]))
        client.send(http2.settings_frame({}))
        assert client.request("GET", "/").status == 200
    for wrong in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n"):
        with served.client() as client:
            client.send(wrong)
            answer = client.read_all()
            assert b"200" not in answer.split(b"\r\n")[0]
