# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 towards upstreams: who is spoken to in it, what passes, what each end of it means."""

import collections
import json
import queue
import subprocess
import threading

import pytest
from harness import http2
from harness.gateway import free_port
from harness.http2 import Server2, WentAway, echo2
from harness.manifests import (documents, destination_rule, gateway as istio_gateway, one_route,
                               route, service, virtual_service)
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import echo

H2C = "kubernetes.io/h2c"
BODY = bytes(range(256)) * 4096  # 1 MiB


def routed(backend, *objects, app_protocol=None, port_name="", **rule):
    """one_route with a say in the Service's port, and more objects."""
    return documents(service("test", backend, app_protocol=app_protocol, port_name=port_name),
                     istio_gateway("gateway", "test.example"),
                     virtual_service("test", "test.example", route("test", **rule)), *objects)


def either(conn):
    """Speaks what it is spoken to, or what ALPN chose."""
    if conn.alpn:
        return echo2(conn) if conn.alpn == "h2" else echo(conn)
    while len(conn.buffer) < 3:
        if not conn.fill():
            return None
    return echo2(conn) if conn.buffer.startswith(b"PRI") else echo(conn)


def version_seen(answer):
    assert answer.status == 200, answer
    return json.loads(answer.body)["version"]


# -- who is spoken to in HTTP/2 --

@pytest.mark.parametrize("port, version", [
    ({}, "HTTP/1.1"), ({"app_protocol": H2C}, "HTTP/2"), ({"app_protocol": "http2"}, "HTTP/2"),
    ({"app_protocol": "grpc"}, "HTTP/2"), ({"port_name": "http2"}, "HTTP/2"),
    ({"port_name": "http2-web"}, "HTTP/2"), ({"port_name": "grpc-api"}, "HTTP/2"),
    ({"port_name": "http-web"}, "HTTP/1.1"), ({"port_name": "web"}, "HTTP/1.1"),
    ({"app_protocol": "http", "port_name": "http2"}, "HTTP/1.1"),
    ({"app_protocol": "kubernetes.io/ws"}, "HTTP/1.1")])
def test_the_port_tells_the_protocol(gateway, upstream, port, version):
    served = gateway(routed(upstream(either), **port))
    assert version_seen(served.get("/")) == version
    with served.h2_client() as client:
        assert version_seen(client.request("GET", "/")) == version


@pytest.mark.parametrize("policy, port, plain, over_h2", [
    ({"h2UpgradePolicy": "UPGRADE"}, {}, "HTTP/2", "HTTP/2"),
    ({"h2UpgradePolicy": "DO_NOT_UPGRADE"}, {}, "HTTP/1.1", "HTTP/1.1"),
    ({"useClientProtocol": True}, {}, "HTTP/1.1", "HTTP/2")])
def test_a_destination_rule_tells_the_protocol(gateway, upstream, policy, port, plain, over_h2):
    rule = destination_rule("test", "test", connectionPool={"http": policy})
    served = gateway(routed(upstream(either), rule, **port))
    assert version_seen(served.get("/")) == plain
    with served.h2_client() as client:
        assert version_seen(client.request("GET", "/")) == over_h2


# -- what passes: both protocols on both sides --

def serve_rich(conn):
    """103, a body, trailers; the request is checked, its trailers echoed."""
    if conn.upstream.name == "h2":
        server = Server2(conn)
        while one := server.next_request():
            assert one.pseudo[":authority"] == "test.example" and one.pseudo[":scheme"] == "http"
            assert not one.all("host")
            server.send_headers(one.number, [(":status", "103"), ("link", "</a>")])
            server.answer(one, 200, one.body, [("x-answer", "yes")],
                          [("x-down", "1"), *one.trailers], length=False)
        return
    while request := conn.read_request():
        assert request.get("host") == "test.example"
        trailers = "".join(f"{k}: {v}\r\n" for k, v in request.trailers)
        chunk = b"%x\r\n%s\r\n" % (len(request.body), request.body) if request.body else b""
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"
                  "Transfer-Encoding: chunked\r\nX-Answer: yes\r\n\r\n")
        conn.send(chunk + f"0\r\nX-Down: 1\r\n{trailers}\r\n".encode())


@pytest.mark.parametrize("up", ["h1", "h2"])
@pytest.mark.parametrize("down", ["h1", "h2"])
@pytest.mark.parametrize("size", [0, 1, 100_000, 1 << 20])
def test_bodies_trailers_and_interim_answers(gateway, upstream, up, down, size):
    served = gateway(one_route(upstream(serve_rich, name=up),
                               app_protocol=H2C if up == "h2" else None))
    body = BODY[:size]
    for _ in range(2):
        if down == "h2":
            with served.h2_client() as client:
                answer = client.request("POST", "/x?y=z", body=body, trailers=[("x-up", "2")])
                interim = [(status, headers) for status, headers in answer.interim]
        else:
            with served.client() as client:
                client.send_head("POST", "/x?y=z", headers=[("Transfer-Encoding", "chunked")])
                if body:
                    client.send(b"%x\r\n%s\r\n" % (len(body), body))
                client.send(b"0\r\nX-Up: 2\r\n\r\n")
                answer = client.read_response()
                interim = [(x.status, x.headers) for x in answer.interim]
        assert answer.status == 200 and answer.body == body and answer["x-answer"] == "yes"
        assert answer.trailers == [("x-down", "1"), ("x-up", "2")]
        assert interim == [(103, [("link", "</a>")])]


@pytest.mark.parametrize("down", ["h1", "h2"])
def test_known_lengths_are_told_and_kept(gateway, upstream, down):
    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            assert one.all("content-length") == [str(len(BODY))] and one.body == BODY
            server.answer(one, 200, BODY)

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with (served.h2_client() if down == "h2" else served.client()) as client:
        headers = {"content-length": str(len(BODY))} if down == "h2" else {}
        answer = client.request("POST", "/", body=BODY, headers=headers)
        assert answer.body == BODY and answer["content-length"] == str(len(BODY))


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(gateway, upstream, status):
    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            server.answer(one, 200 if one.pseudo[":method"] == "HEAD" else status, length=False)

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.client() as client:
        assert client.request("GET", "/").status == status
        assert client.request("HEAD", "/").status == 200
        assert client.request("GET", "/").status == status
    with served.h2_client() as client:
        answer = client.request("GET", "/")
        assert (answer.status, answer.body) == (status, b"")


def test_fields_of_one_connection_stay_there(gateway, upstream):
    seen = queue.Queue()

    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            seen.put(one)
            server.answer(one, 200, "ok")

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.client() as client:
        client.request("GET", "/", headers=[
            ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "x"),
            ("TE", "trailers, deflate"), ("Proxy-Connection", "x"), ("X-Kept", "Yes"),
            ("Cookie", "a=1; b=2")])
    one = seen.get(timeout=DEADLINE_S)  # Exchange already refuses what HTTP/2 forbids
    assert one["x-kept"] == "Yes" and not one.all("x-hop")
    assert one.all("te") in ([], ["trailers"])
    assert "; ".join(one.all("cookie")) == "a=1; b=2"


def test_a_large_answer_is_held_up_by_a_slow_reader(gateway, upstream):
    """Windows are coupled end to end: what the client does not take, the upstream may not send."""
    stalled, sent = threading.Event(), []

    def serve(conn):
        server = Server2(conn)
        one = server.next_request()
        server.send_headers(one.number, [(":status", "200")])
        conn.sock.settimeout(1)
        try:
            while True:
                server.send_data(one.number, b"x" * 65536, end=False)
                sent.append(65536)
        except TimeoutError:
            stalled.set()
            conn.sock.settimeout(DEADLINE_S)
            conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    before = served.resident_kib()
    with served.h2_client(acknowledges=False) as client:
        one = client.begin("GET", "/")
        client.wait(lambda: one.receive_window == 0)
        assert stalled.wait(DEADLINE_S)
        assert sum(sent) < 4 << 20 and served.resident_kib() - before < 8192
        client.reset(one.number)


# -- many requests, few connections --

def test_a_hundred_requests_share_a_connection(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        waiting = []
        while one := server.next_request():
            waiting.append(one)
            if len(waiting) == 100:
                for x in waiting:
                    server.answer(x, 200, x.pseudo[":path"])
                waiting.clear()

    backend = upstream(serve)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        asked = [client.begin("GET", f"/{i}") for i in range(100)]
        client.finish(*asked)
        assert [x.text for x in asked] == [f"/{i}" for i in range(100)]
    assert backend.accepted <= 4, backend.accepted


def test_clients_of_http1_share_one_too(gateway, upstream):
    backend = upstream(echo2)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    for _ in range(20):
        assert served.get("/").status == 200
    assert backend.accepted == 1


def test_the_upstreams_limit_of_streams_is_kept(gateway, upstream):
    """More requests than it takes at once wait or get another connection; none fails."""
    peak = collections.Counter()

    def serve(conn):
        server = Server2(conn, {http2.MAX_CONCURRENT_STREAMS: 3})
        server.wait(lambda: server.settings_acknowledged)
        open_ones = []
        while one := server.next_request():
            open_ones.append(one)
            peak[conn.number] = max(peak[conn.number], len(open_ones))
            if len(open_ones) == 3 or not server.conn.buffer:
                for x in open_ones:
                    server.answer(x, 200, "ok")
                open_ones.clear()

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    assert served.get("/").status == 200  # the settings are known now
    with served.h2_client() as client:
        asked = [client.begin("GET", f"/{i}") for i in range(30)]
        client.finish(*asked)
        assert {x.status for x in asked} == {200}
    assert max(peak.values()) <= 3


# -- ends --

def test_goaway_in_the_middle_of_load_fails_no_request(gateway, upstream):
    """Each connection says it after a few streams: what is above is sent elsewhere."""
    def serve(conn):
        server = Server2(conn)
        n = 0
        while one := server.next_request():
            n += 1
            if n == 10:
                server.say_goaway(one.number)
            if server.goaway is None and n <= 10:
                server.answer(one, 200, "ok")
            if n == 10:
                conn.wait_closed()
                return

    backend = upstream(serve)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        for _ in range(10):
            asked = [client.begin("GET", "/") for _ in range(10)]
            client.finish(*asked)
            assert {x.status for x in asked} == {200}, asked
    assert backend.accepted >= 9


def test_requests_behind_a_goaway_are_sent_elsewhere(gateway, upstream):
    """Only what the upstream has not looked at, so even a POST may be sent again."""
    def serve(conn):
        server = Server2(conn)
        first = server.next_stream()
        if conn.number == 0:
            server.wait(lambda: len(server.exchanges) == 3)
            server.say_goaway(first.number)
            server.answer(first, 200, "first")
            conn.wait_closed()
            return
        while True:
            server.answer(first, 200, "again")
            first = server.next_request()
            if first is None:
                return

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        asked = [client.begin("POST", "/") for _ in range(3)]
        client.finish(*asked)
        assert sorted(x.text for x in asked) == ["again", "again", "first"]


def test_a_refused_stream_is_tried_again(gateway, upstream):
    refused = []

    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            if not refused:
                refused.append(one)
                server.reset(one.number, http2.REFUSED_STREAM)
            else:
                server.answer(one, 200, "again")

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    with served.h2_client() as client:
        answer = client.request("POST", "/")
        assert (answer.status, answer.text) == (200, "again")
    assert refused


def test_a_reset_before_the_head_is_503_ur(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            server.reset(one.number, http2.INTERNAL_ERROR)

    backend = upstream(serve)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    answer = served.request("POST", "/", body=b"x")
    assert answer.status == 503 and "remote reset" in answer.text
    line = served.access_log.wait_for(r'"POST / HTTP/1.1" (\d+) (\S+) (\S+)')[0]
    assert line.group(1, 2) == ("503", "UR") and "remote_reset" in line.group(3)
    with served.h2_client() as client:
        assert client.request("POST", "/", body=b"x").status == 503
    assert backend.accepted == 1  # a reset ends a stream, not the connection


def test_a_reset_in_the_body_cuts_the_answer(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        while one := server.next_request():
            server.send_headers(one.number, [(":status", "200")])
            server.send_data(one.number, b"hello", end=False)
            server.reset(one.number, http2.INTERNAL_ERROR)

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        one = client.request("GET", "/")
        assert one.reset is not None and one.reset != http2.NO_ERROR and one.body in (b"", b"hello")
        assert client.request("GET", "/", host="nobody.example").status == 404
    with served.client() as client:
        client.send_head("GET", "/")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_response()


def test_a_client_that_leaves_resets_its_stream_alone(gateway, upstream):
    codes, seen = queue.Queue(), queue.Queue()

    def serve(conn):
        server = Server2(conn)
        while one := server.next_stream():
            if one.pseudo[":path"] == "/leave":
                seen.put(one)
                server.wait(lambda o=one: o.reset is not None)
                codes.put(one.reset)
            else:
                server.answer(one, 200, "here")

    backend = upstream(serve)
    served = gateway(one_route(backend, app_protocol=H2C), workers=1)
    for leave in ("h1", "h2"):
        with served.h2_client() as client, served.client() as old:
            if leave == "h2":
                one = client.begin("GET", "/leave")
            else:
                old.send_head("GET", "/leave")
            seen.get(timeout=DEADLINE_S)
            client.reset(one.number) if leave == "h2" else old.reset()
            assert codes.get(timeout=DEADLINE_S) == http2.CANCEL
            assert client.request("GET", "/stay").text == "here"
    assert backend.accepted == 1


def test_a_connection_that_dies_fails_what_it_carried(gateway, upstream):
    def serve(conn):
        server = Server2(conn)
        server.next_request()
        conn.reset()

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    answer = served.request("POST", "/", body=b"x")
    assert answer.status == 503
    line = served.access_log.wait_for(r'"POST / HTTP/1.1" (\d+) (\S+)')[0]
    assert line.group(1) == "503" and line.group(2) in ("UC", "UC,URX")


def test_an_upstream_that_speaks_no_http2_is_an_answer(gateway, upstream):
    def serve(conn):
        conn.sock.recv(10)
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        conn.wait_closed()

    served = gateway(one_route(upstream(serve), app_protocol=H2C))
    assert served.get("/").status in (502, 503)
    with served.h2_client() as client:
        assert client.request("GET", "/").status in (502, 503)


BAD = {
    "data-before-head": lambda s, n: s.send(http2.frame(http2.DATA, 1, n, b"x")),
    "no-status": lambda s, n: s.send_headers(n, [("x", "y")], True),
    "bad-status": lambda s, n: s.send_headers(n, [(":status", "abc")], True),
    "101": lambda s, n: s.send_headers(n, [(":status", "101")], True),
    "upper-case": lambda s, n: s.send_block(n, b"\x88" + http2.literal("X-Y", "z"), True),
    "crlf": lambda s, n: s.send_block(n, b"\x88" + http2.literal("x", "a\r\nSet-Cookie: b"), True),
    "connection": lambda s, n: s.send_headers(n, [(":status", "200"), ("connection", "close")], True),
    "length": lambda s, n: (s.send_headers(n, [(":status", "200"), ("content-length", "9")]),
                            s.send(http2.frame(http2.DATA, 1, n, b"short"))),
    "bad-hpack": lambda s, n: s.send_block(n, b"\xff\xff\xff\xff\xff\xff", True),
    "push": lambda s, n: s.send(http2.frame(http2.PUSH_PROMISE, 4, n, b"\0\0\0\2\x82\x86\x84")),
    "large-frame": lambda s, n: s.send(http2.frame(http2.DATA, 0, n, b"x" * 100_000)),
    "window": lambda s, n: s.send(http2.window_update(n, 0x7fffffff)),
    "settings": lambda s, n: s.send(http2.settings_frame({http2.INITIAL_WINDOW_SIZE: 1 << 31})),
}


@pytest.mark.parametrize("case", BAD)
def test_an_upstream_that_breaks_http2_is_an_answer(gateway, upstream, case):
    def serve(conn):
        try:
            server = Server2(conn)
            while one := server.next_request():
                BAD[case](server, one.number)
        except (WentAway, OSError):
            pass

    served = gateway(one_route(upstream(serve), app_protocol=H2C), workers=1)
    with served.h2_client() as client:
        one = client.request("POST", "/", body=b"x")
        if case == "length":
            assert one.reset is not None
        else:
            assert one.status in (502, 503), one
        assert not (one.headers and one.all("set-cookie"))
        assert client.request("GET", "/", host="nobody.example").status == 404


# -- real servers --

def test_nghttpd(gateway, tmp_path):
    (tmp_path / "htdocs").mkdir()
    (tmp_path / "htdocs" / "file").write_bytes(BODY)
    port = free_port()
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "/usr/sbin/nghttpd", "--no-tls",
                               "-d", str(tmp_path / "htdocs"), "-a", "127.0.0.1", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        served = gateway(one_route(("127.0.0.1", port), app_protocol=H2C))

        def is_up():
            assert server.poll() is None
            return served.get("/file").status == 200

        wait_until(is_up, "nghttpd serves")
        with served.h2_client() as client:
            asked = [client.begin("GET", "/file") for _ in range(10)]
            client.finish(*asked)
            assert all(x.body == BODY for x in asked)
        assert served.get("/file").body == BODY
        assert served.get("/missing").status == 404
    finally:
        server.terminate()
        server.wait(DEADLINE_S)
