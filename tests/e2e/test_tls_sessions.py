# SPDX-License-Identifier: Apache-2.0
"""Sessions resume: on every worker, after a change, and only at the server they are of."""

import ssl

import pytest
from harness.certificates import tls_secret
from harness.manifests import (documents, gateway_of, https_route, route, server, service, simple,
                               virtual_service)

HTTPS = {"ports": (80, 443)}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def visit(served, context, session=None, sni="test.example"):
    """One request; (was it resumed?, the session for the next)."""
    with served.tls_client(context, sni, session=session) as client:
        assert client.request("GET", "/", host=sni).status == 200
        return client.sock.session_reused, client.sock.session


def context_of(authority, version):
    return authority.client_context(minimum=version, maximum=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_resumes_on_every_worker(gateway, upstream, authority, pair, version):
    served = gateway(https_route(upstream(), pair=pair), workers=2, **HTTPS)
    context = context_of(authority, version)
    resumed, session = visit(served, context)
    assert not resumed
    for _ in range(30):  # the kernel spreads connections over both workers
        resumed, session = visit(served, context, session)
        assert resumed
    metrics = served.metrics()
    assert metrics["sluicegate_downstream_tls_handshakes_total"] == 31
    assert metrics["sluicegate_downstream_tls_handshakes_resumed_total"] == 30


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_outlives_a_change(gateway, upstream, authority, pair, version):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    context = context_of(authority, version)
    _, session = visit(served, context)
    served.change(lambda: served.write("more.yaml", documents(service("more"))))
    resumed, _ = visit(served, context, session)
    assert resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_one_server_is_worth_nothing_at_another(gateway, upstream, authority, version):
    one = authority.issue("one.example", "two.example")
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", one),
        gateway_of("gateway", server("one.example", tls=simple("cert")),
                   server("two.example", tls=simple("cert"))),
        virtual_service("one", "one.example", route("test")),
        virtual_service("two", "two.example", route("test"))), ports=(443,))
    context = context_of(authority, version)
    _, session = visit(served, context, sni="one.example")
    resumed, _ = visit(served, context, session, sni="two.example")
    assert not resumed
    resumed, _ = visit(served, context, session, sni="one.example")
    assert resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_damaged_ticket_is_a_full_handshake(gateway, upstream, authority, pair, version):
    """A ticket of another process: its keys are unknown."""
    first = gateway(https_route(upstream(), pair=pair), **HTTPS)
    second = gateway(https_route(upstream(), pair=pair), **HTTPS)
    context = context_of(authority, version)
    _, session = visit(first, context)
    resumed, _ = visit(second, context, session)
    assert not resumed
