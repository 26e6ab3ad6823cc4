# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over TLS: real clients, and which hosts a connection may be used for."""

import hashlib
import json
import socket
import subprocess

import pytest
from harness.certificates import tls_secret
from harness.manifests import (documents, gateway_of, https_route, ingress, path, route, server,
                               service, simple, virtual_service)
from harness.patience import DEADLINE_S
from harness.upstream import answering

HTTPS = {"ports": (80, 443)}
BODY = bytes(range(256)) * 8192  # 2 MiB


def test_curl_over_tls(gateway, upstream, authority, pair, tmp_path):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    (tmp_path / "ca.pem").write_text(authority.pem)
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", str(tmp_path / "ca.pem"), "--resolve",
         f"test.example:{served.tls_port}:127.0.0.1", "-w", "\n%{http_version}",
         "-F", "file=hello", f"https://test.example:{served.tls_port}/"],
        capture_output=True, timeout=DEADLINE_S)
    body, version = done.stdout.rsplit(b"\n", 1)
    assert version == b"2" and json.loads(body)["method"] == "POST"


def test_httpx(gateway, upstream, authority, pair, monkeypatch):
    httpx = pytest.importorskip("httpx")
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo",
                        lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    context = authority.client_context("h2", "http/1.1")
    with httpx.Client(http2=True, verify=context, timeout=DEADLINE_S, trust_env=False) as client:
        for body in (b"", b"x", BODY):
            answer = client.post(f"https://test.example:{served.tls_port}/", content=body)
            assert answer.http_version == "HTTP/2" and answer.status_code == 200
            assert answer.json()["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_h2load_with_many_streams(gateway, upstream, pair):
    backend = upstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
    served = gateway(https_route(backend, pair=pair), **HTTPS)
    done = subprocess.run(
        ["h2load", "-n", "1000", "-c", "4", "-m", "32", f"--connect-to=127.0.0.1:{served.tls_port}",
         f"https://test.example:{served.tls_port}/"], capture_output=True, text=True,
        timeout=DEADLINE_S * 2)
    assert "1000 succeeded, 0 failed" in done.stdout, done
    assert "status codes: 1000 2xx" in done.stdout, done.stdout


def test_a_host_of_another_server_is_misdirected(gateway, upstream, authority):
    """A browser may reuse a connection for any name in its certificate (RFC 9113, 9.1.2)."""
    both = authority.issue("one.example", "two.example")
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", both),
        gateway_of("gateway", server("one.example", tls=simple("cert")),
                   server("two.example", tls=simple("cert"))),
        virtual_service("one", "one.example", route("test")),
        virtual_service("two", "two.example", route("test"))), ports=(443,))
    with served.h2_client(authority.client_context("h2"), sni="one.example") as client:
        assert client.request("GET", "/", host="one.example").status == 200
        assert client.request("GET", "/", host="two.example").status == 421
        assert client.request("GET", "/", host="one.example").status == 200


def test_ingress_hosts_that_share_a_certificate_share_connections(gateway, upstream, authority):
    both = authority.issue("one.example", "two.example")
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", both, "default"),
        ingress("test", ("one.example", path("/", "test")), ("two.example", path("/", "test")),
                tls=[{"hosts": ["one.example", "two.example"], "secretName": "cert"}])), **HTTPS)
    with served.h2_client(authority.client_context("h2"), sni="one.example") as client:
        for host in ("one.example", "two.example"):
            assert client.request("GET", "/", host=host).status == 200
