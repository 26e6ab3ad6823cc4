# SPDX-License-Identifier: Apache-2.0
"""Requests that two parsers could read differently are answered 400 and closed, never forwarded;
requests over a limit get their own status."""

import pytest
from harness.manifests import one_route


@pytest.fixture(scope="module")
def served(shared):
    backend = shared.upstream()
    gateway = shared.gateway(one_route(backend))
    gateway.backend = backend
    return gateway


def head(*lines):
    return "\r\n".join(lines) + "\r\n\r\n"


HOST = "Host: test.example"
POST = "POST / HTTP/1.1"
GET = "GET / HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n"

AMBIGUOUS = {
    "length and chunked": head(POST, HOST, "Content-Length: 6", CHUNKED) + "0\r\n\r\n" + SMUGGLED,
    "chunked and length": head(POST, HOST, CHUNKED, "Content-Length: 6") + "0\r\n\r\n" + SMUGGLED,
    "two lengths that differ": head(POST, HOST, "Content-Length: 0", "Content-Length: 44") + SMUGGLED,
    "two lengths that agree": head(POST, HOST, "Content-Length: 0", "Content-Length: 0") + SMUGGLED,
    "a list of lengths": head(POST, HOST, "Content-Length: 0, 0") + SMUGGLED,
    "a length with a sign": head(POST, HOST, "Content-Length: +0") + SMUGGLED,
    "a negative length": head(POST, HOST, "Content-Length: -1") + SMUGGLED,
    "a length in hexadecimal": head(POST, HOST, "Content-Length: 0x0") + SMUGGLED,
    "an empty length": head(POST, HOST, "Content-Length:") + SMUGGLED,
    "a length with a space inside": head(POST, HOST, "Content-Length: 1 0") + SMUGGLED,
    "a length beyond 64 bits": head(POST, HOST, "Content-Length: 18446744073709551616") + SMUGGLED,
    "chunked twice": head(POST, HOST, CHUNKED, CHUNKED) + "0\r\n\r\n" + SMUGGLED,
    "chunked listed twice": head(POST, HOST, "Transfer-Encoding: chunked, chunked") + "0\r\n\r\n",
    "chunked not last": head(POST, HOST, "Transfer-Encoding: chunked, gzip") + "0\r\n\r\n" + SMUGGLED,
    "an encoding that is not chunked": head(POST, HOST, "Transfer-Encoding: identity") + SMUGGLED,
    "chunked with a vertical tab": head(POST, HOST, "Transfer-Encoding: \x0bchunked") + "0\r\n\r\n",
    "chunked in quotes": head(POST, HOST, 'Transfer-Encoding: "chunked"') + "0\r\n\r\n",
    "chunked with a semicolon": head(POST, HOST, "Transfer-Encoding: chunked;q=1") + "0\r\n\r\n",
    "an empty transfer encoding": head(POST, HOST, "Transfer-Encoding:") + SMUGGLED,
    "chunked from HTTP/1.0": head("POST / HTTP/1.0", HOST, CHUNKED) + "0\r\n\r\n" + SMUGGLED,
    "a space before the colon": head(POST, HOST, "Content-Length : 44") + SMUGGLED,
    "a space before the colon of chunked": head(POST, HOST, "Transfer-Encoding : chunked") + "0\r\n\r\n",
    "a header without a colon": head(GET, HOST, "Nothing"),
    "a header without a name": head(GET, HOST, ": value"),
    "a name with a space": head(GET, HOST, "Two Words: x"),
    "a name with a control character": head(GET, HOST, "X\x01: x"),
    "a name beyond ASCII": head(GET, HOST, "X\xe4: x"),
    "a NUL in a value": head(GET, HOST, "X: a\x00b"),
    "a control character in a value": head(GET, HOST, "X: a\x01b"),
    "a bare CR in a value": head(GET, HOST, "X: a\rY: b"),
    "a folded header": head(GET, HOST, "X: a", " Content-Length: 44") + SMUGGLED,
    "a folded first header": head(GET, " " + HOST),
    "bare LF as line end": f"{GET}\n{HOST}\n\n",
    "bare LF behind a header": f"{GET}\r\n{HOST}\r\nX: a\nContent-Length: 44\r\n\r\n{SMUGGLED}",
    "bare LF as empty line": f"{GET}\r\n{HOST}\r\n\n{SMUGGLED}",
    "no host": head(GET, "X: a"),
    "two hosts": head(GET, HOST, "Host: other.example"),
    "two hosts that agree": head(GET, HOST, HOST),
    "an empty host": head(GET, "Host:"),
    "a host with a path": head(GET, "Host: test.example/x"),
    "a host with a user": head(GET, "Host: user@test.example"),
    "a host with a space": head(GET, "Host: test .example"),
    "a host with a bad port": head(GET, "Host: test.example:80x"),
    "a host with a port out of range": head(GET, "Host: test.example:65536"),
    "a host with a comma": head(GET, "Host: test.example, other.example"),
    "an unclosed IPv6 host": head(GET, "Host: [::1"),
    "two spaces in the request line": head("GET  / HTTP/1.1", HOST),
    "a tab in the request line": head("GET\t/ HTTP/1.1", HOST),
    "a space behind the version": head("GET / HTTP/1.1 ", HOST),
    "a space in the target": head("GET /a b HTTP/1.1", HOST),
    "a method that is no token": head("G@T / HTTP/1.1", HOST),
    "an empty method": head(" / HTTP/1.1", HOST),
    "a target without a slash": head("GET foo HTTP/1.1", HOST),
    "an asterisk for GET": head("GET * HTTP/1.1", HOST),
    "a fragment": head("GET /a#b HTTP/1.1", HOST),
    "a control character in the target": head("GET /a\x01b HTTP/1.1", HOST),
    "a NUL in the target": head("GET /a\x00b HTTP/1.1", HOST),
    "a scheme that is none": head("GET ftp://test.example/ HTTP/1.1", HOST),
    "a user in the target": head("GET http://user@test.example/ HTTP/1.1", HOST),
    "Connection names Host": head(GET, HOST, "Connection: host"),
    "Connection names Content-Length": head(POST, HOST, "Content-Length: 44",
                                             "Connection: content-length") + SMUGGLED,
    "Connection names Transfer-Encoding": head(POST, HOST, CHUNKED,
                                                "Connection: transfer-encoding") + "0\r\n\r\n",
    "a broken version": head("GET / HTTP/1.x", HOST),
    "a lower-case version": head("GET / http/1.1", HOST),
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 40 + "\r\n\r\n",
}

# The head is fine, the body is not: what came before may have been forwarded, what follows not.
BAD_BODIES = {
    "a size that is no number": "zz\r\nhello\r\n0\r\n\r\n",
    "a negative size": "-1\r\nx\r\n0\r\n\r\n",
    "a size with a prefix": "0x5\r\nhello\r\n0\r\n\r\n",
    "an empty size": "\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": "10000000000000000\r\nhello\r\n0\r\n\r\n",
    "a size with a space before": " 5\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": "5\nhello\r\n0\r\n\r\n",
    "bare LF behind the data": "5\r\nhello\n0\r\n\r\n",
    "data longer than its size": "4\r\nhello\r\n0\r\n\r\n",
    "data shorter than its size": "6\r\nhello\r\n0\r\n\r\n",
    "a bare CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a bare LF in an extension": "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a trailer that sets the length": "5\r\nhello\r\n0\r\nContent-Length: 44\r\n\r\n",
    "a trailer that sets the framing": "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer that names the host": "5\r\nhello\r\n0\r\nHost: other.example\r\n\r\n",
    "a trailer without a colon": "5\r\nhello\r\n0\r\nnothing\r\n\r\n",
    "a folded trailer": "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
}


def seen_by(backend):
    found = []
    while not backend.requests.empty():
        found.append(backend.requests.get().target)
    return found


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_not_forwarded(served, name):
    seen_by(served.backend)
    with served.client() as client:
        client.send(AMBIGUOUS[name])
        answer = client.read_response()
        assert answer.status == 400, answer
        assert answer["connection"] == "close"
        assert client.at_eof()
    assert seen_by(served.backend) == []


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_broken_chunk_ends_the_connection_and_nothing_behind_it_is_forwarded(served, name):
    seen_by(served.backend)
    with served.client() as client:
        client.send(head(POST, HOST, CHUNKED) + BAD_BODIES[name] + SMUGGLED)
        answer = client.read_response()
        assert answer.status == 400, answer
        assert client.at_eof()
    assert "/smuggled" not in seen_by(served.backend)


@pytest.mark.parametrize("first, statuses", [
    ("GET / HTTP/2.0", {505}),
    ("GET / HTTP/3.0", {505}),
    ("GET / HTTP/0.9", {400, 505}),
    ("PRI * HTTP/2.0", {400, 505}),
    ("GET /", {400, 505}),
])
def test_another_version_is_refused(served, first, statuses):
    with served.client() as client:
        client.send(head(first, HOST))
        assert client.read_response().status in statuses
        assert client.at_eof()


LIMITS = {
    "a head over 60 KiB": (head(GET, HOST, *[f"X-{i}: {'x' * 6000}" for i in range(11)]), 431),
    "one endless header": (f"{GET}\r\n{HOST}\r\nX: {'x' * 70000}", 431),
    "more than 100 headers": (head(GET, HOST, *[f"X-{i}: x" for i in range(100)]), 431),
    "a target over 16 KiB": (head(f"GET /{'x' * 16384} HTTP/1.1", HOST), 414),
    "an endless target": ("GET /" + "x" * 70000, 414),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_request_over_a_limit_is_refused(served, name):
    raw, status = LIMITS[name]
    with served.client() as client:
        client.send(raw)
        assert client.read_response().status == status
        assert client.at_eof()
    assert seen_by(served.backend) == []


def test_what_is_just_within_the_limits_is_served(served):
    with served.client() as client:
        assert client.request("GET", "/" + "x" * 16000).status == 200
        assert client.request("GET", "/", headers=[(f"X-{i}", "x") for i in range(99)]).status == 200
        many = [(f"X-{i}", "x" * 5500) for i in range(10)]
        assert client.request("GET", "/", headers=many).status == 200


def test_a_request_cut_anywhere_is_the_same_request(served):
    raw = head(POST, HOST, CHUNKED) + "5;ext=1\r\nhello\r\n3\r\nyou\r\n0\r\nX-Sum: 8\r\n\r\n"
    bodies = set()
    for i in range(1, len(raw)):
        with served.client() as client:
            client.send(raw[:i])
            client.send(raw[i:])
            answer = client.read_response()
            assert answer.status == 200, (i, answer)
            bodies.add(answer.text.split('"body_bytes": ')[1])
    assert len(bodies) == 1 and bodies.pop().startswith("8,")


def test_a_body_over_its_limit_is_413(gateway, upstream):
    served = gateway(one_route(upstream()), "--body-limit", "1000")
    with served.client() as client:
        assert client.request("POST", "/", body=b"x" * 1000).status == 200
    with served.client() as client:
        client.send_head("POST", "/", headers=[("Content-Length", "1001")])
        assert client.read_response().status == 413
    with served.client() as client:
        client.send(head(POST, HOST, CHUNKED) + "3e9\r\n" + "x" * 1001 + "\r\n0\r\n\r\n")
        assert client.read_response().status == 413


def test_a_head_that_never_ends_has_a_deadline(gateway, upstream):
    served = gateway(one_route(upstream()), "--request-head-timeout", "300ms")
    with served.client() as client:
        client.send("GET / HTTP/1.1\r\nHost: test.ex")
        assert client.read_response().status == 408
        assert client.at_eof()


def test_a_silent_connection_has_a_deadline(gateway, upstream):
    served = gateway(one_route(upstream()), "--keepalive-timeout", "300ms")
    with served.client() as client:
        assert client.at_eof()
    with served.client() as client:
        assert client.request("GET", "/").status == 200
        assert client.at_eof()
