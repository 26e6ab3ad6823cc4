# SPDX-License-Identifier: Apache-2.0
"""TLS towards upstreams: what is verified, shown, agreed upon and resumed."""

import json

import pytest
from harness.http2 import echo2
from harness.manifests import (destination_rule, documents, gateway as istio_gateway, https_route,
                               route, service, virtual_service)
from harness.upstream import Upstream, echo

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


@pytest.fixture
def tls_served(gateway, authority, tmp_path):
    """A gateway before an upstream over TLS, verified against the authority; closed with the test."""
    ups = []
    (tmp_path / "ca.pem").write_text(authority.pem)

    def start(serve, *alpn, names=("test.default.svc.cluster.local",), policy=None, http=None,
              server=None, **options):
        ups.append(Upstream(serve, tls=server or authority.server_context(
            authority.issue(*names), *alpn)))
        rule = destination_rule("test", "test", tls={
            "mode": "SIMPLE", "caCertificates": str(tmp_path / "ca.pem"),
            "sni": "test.default.svc.cluster.local", **(policy or {})},
            **({"connectionPool": {"http": http}} if http else {}))
        return gateway(routed(ups[-1], rule, **options)), ups[-1]

    yield start
    for one in ups:
        one.close()
        assert not one.failures, one.failures


@pytest.mark.parametrize("alpn, options, version", [
    ((), {}, "HTTP/1.1"), (("http/1.1",), {}, "HTTP/1.1"),
    (("h2",), {"app_protocol": "http2"}, "HTTP/2"),
    (("h2", "http/1.1"), {"http": {"h2UpgradePolicy": "UPGRADE"}}, "HTTP/2")])
def test_http_over_tls(tls_served, alpn, options, version):
    served, backend = tls_served(either, *alpn, **options)
    for _ in range(3):
        assert version_seen(served.get("/")) == version
    with served.h2_client() as client:
        answer = client.request("POST", "/", body=BODY)
        assert version_seen(answer) == version
        assert json.loads(answer.body)["body_bytes"] == len(BODY)
    assert backend.refused.empty()


@pytest.mark.parametrize("alpn, over_h2", [
    (("h2", "http/1.1"), "HTTP/2"), (("http/1.1",), "HTTP/1.1"), (("h2",), "HTTP/2")])
def test_the_client_tells_the_protocol(tls_served, alpn, over_h2):
    """useClientProtocol: a client of HTTP/1.1 is offered no h2, also beside one of HTTP/2."""
    served, _ = tls_served(either, *alpn, http={"useClientProtocol": True}, workers=1)
    with served.h2_client() as client:
        for _ in range(3):
            assert version_seen(client.request("GET", "/")) == over_h2
            if "http/1.1" in alpn:
                assert version_seen(served.get("/")) == "HTTP/1.1"


def test_a_server_of_another_name_is_refused(tls_served):
    served, backend = tls_served(echo, names=("other.example",))
    answer = served.get("/")
    assert answer.status == 503 and "upstream connect error" in answer.text
    served.access_log.wait_for(r"(?i)503 UF.*certificate")
    assert backend.requests.empty()


def test_subject_alt_names_take_the_place_of_the_name(tls_served):
    served, _ = tls_served(echo, names=("spiffe://td/x",), policy={"subjectAltNames": ["spiffe://td/x"]})
    assert served.get("/").status == 200
    served, _ = tls_served(echo, policy={"subjectAltNames": ["spiffe://td/y"]})
    assert served.get("/").status == 503


def test_insecure_skip_verify_takes_any(tls_served):
    served, _ = tls_served(echo, names=("other.example",),
                           policy={"insecureSkipVerify": True, "caCertificates": ""})
    assert served.get("/").status == 200


@pytest.mark.parametrize("alpn, app_protocol", [((), None), (("h2",), "http2")])
def test_without_sni_a_connection_is_for_one_host(gateway, authority, tmp_path, alpn, app_protocol):
    """The certificate is looked at for the request's host: a pooled connection serves no other."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    backend = Upstream(either, tls=authority.server_context(authority.issue("a.test.example"), *alpn))
    served = gateway(documents(
        service("test", backend, app_protocol=app_protocol),
        istio_gateway("gateway", "*.test.example"),
        virtual_service("test", "*.test.example",
                        route("test", match=[{"uri": {"prefix": "/as-a"}}],
                              rewrite={"authority": "a.test.example"}),
                        route("test")),
        destination_rule("test", "test", tls={"mode": "SIMPLE",
                                              "caCertificates": str(tmp_path / "ca.pem")})))
    for _ in range(2):
        assert served.get("/", host="a.test.example").status == 200
        assert served.get("/", host="b.test.example").status == 503
        assert served.get("/as-a", host="b.test.example").status == 200
    backend.close()


def test_a_client_certificate_is_shown(tls_served, authority, tmp_path):
    certificate, key = authority.issue_client("gate").save(tmp_path, "client")
    context = authority.server_context(authority.issue("test.default.svc.cluster.local"),
                                       asks_client=True)
    served, _ = tls_served(echo, server=context, policy={
        "mode": "MUTUAL", "clientCertificate": str(certificate), "privateKey": str(key)})
    assert served.get("/").status == 200
    served, backend = tls_served(echo, server=context)
    assert served.get("/").status == 503
    assert backend.requests.empty()


def test_upstream_sessions_resume(tls_served):
    reused = []

    def once(conn):
        reused.append(conn.sock.session_reused)
        conn.read_request()
        conn.answer(200, "ok", [("Connection", "close")])
        conn.end()

    served, _ = tls_served(once)
    for _ in range(10):
        assert served.get("/").status == 200
    assert sum(reused) >= 5, reused


def test_an_upstream_without_tls_is_an_answer(gateway, upstream, authority, pair, tmp_path):
    def plain(conn):
        conn.sock.recv(10)
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    rule = destination_rule("test", "test", tls={"mode": "SIMPLE", "insecureSkipVerify": True})
    served = gateway(routed(upstream(plain), rule))
    assert served.get("/").status == 503


def test_a_cut_body_over_tls_is_no_end(tls_served):
    """Without close_notify an attacker may have cut it (RFC 8446, 6.1)."""
    def serve(conn):
        request = conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\n\r\nhello")
        if request.target == "/whole":
            conn.end()

    served, _ = tls_served(serve)
    with served.h2_client() as client:
        assert client.request("GET", "/whole").text == "hello"
        assert client.request("GET", "/cut").reset is not None


def test_https_both_sides(gateway, authority, pair, tmp_path):
    """Re-encryption: TLS ends here and begins anew."""
    backend = Upstream(either, tls=authority.server_context(authority.issue("x.example"), "h2"))
    try:
        rule = destination_rule("test", "test", tls={"mode": "SIMPLE", "insecureSkipVerify": True})
        served = gateway(https_route(backend, pair=pair, app_protocol="http2") + "---\n"
                         + documents(rule), ports=(80, 443))
        with served.h2_client(authority.client_context("h2"), sni="test.example") as client:
            answer = client.request("POST", "/", body=BODY)
            assert version_seen(answer) == "HTTP/2"
            assert json.loads(answer.body)["scheme"] == "https"
    finally:
        backend.close()
