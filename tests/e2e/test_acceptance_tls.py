# SPDX-License-Identifier: Apache-2.0
"""What a user of other gateways would try first, and what must not go wrong then."""

import pytest
from harness.http2 import echo2
from harness.manifests import (destination_rule, documents, gateway as istio_gateway, route, service,
                               virtual_service)
from harness.upstream import Upstream, echo

NAMES = [f"{name}.test.example" for name in ("a", "b")]


def before(backend, rule, host="*.test.example"):
    return documents(service("test", backend), istio_gateway("gateway", host),
                     virtual_service("test", host, route("test")), rule)


@pytest.fixture
def named(authority):
    """An upstream over TLS that proves to be a.test.example, and the server names it was asked for."""
    started = []

    def start(serve, *alpn):
        asked = []
        context = authority.server_context(authority.issue(NAMES[0]), *alpn)
        context.sni_callback = lambda socket, name, context: asked.append(name)
        started.append(Upstream(serve, tls=context))
        return started[-1], asked

    yield start
    for one in started:
        one.close()
        assert not one.failures, one.failures


@pytest.mark.parametrize("serve, alpn, policy", [(echo, "http/1.1", "DEFAULT"),
                                                 (echo2, "h2", "UPGRADE")])
def test_a_connection_is_for_the_name_that_it_was_made_for(gateway, named, authority, tmp_path,
                                                           serve, alpn, policy):
    """Where the request's host is what the endpoint has to prove, a pooled connection of another
    host is no proof."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    backend, asked = named(serve, alpn)
    rule = destination_rule("test", "test", tls={"mode": "SIMPLE",
                                                 "caCertificates": str(tmp_path / "ca.pem")},
                            connectionPool={"http": {"h2UpgradePolicy": policy}})
    served = gateway(before(backend, rule), workers=1)
    for _ in range(2):
        assert served.get("/", host=NAMES[0]).status == 200
        assert served.get("/", host=NAMES[1]).status == 503
    assert asked.count(NAMES[0]) == 1  # the second request found the connection of the first
    assert NAMES[1] in asked


@pytest.mark.parametrize("serve, alpn, policy", [(echo, "http/1.1", "DEFAULT"),
                                                 (echo2, "h2", "UPGRADE")])
def test_names_that_clients_choose_keep_few_connections(gateway, named, serve, alpn, policy):
    backend, asked = named(serve, alpn)
    rule = destination_rule("test", "test", tls={"mode": "SIMPLE", "insecureSkipVerify": True},
                            connectionPool={"http": {"h2UpgradePolicy": policy}})
    served = gateway(before(backend, rule), workers=1)
    with served.client() as client:
        for i in range(100):
            assert client.request("GET", "/", host=f"h{i}.test.example").status == 200
    assert len(set(asked)) == 100
    assert served.metric("sluicegate_upstream_connections_active") <= 65


def test_a_rule_broken_from_the_start_lets_no_plain_text_out(gateway, upstream):
    """mode is misspelt: the requests were to be encrypted."""
    backend = upstream(echo)
    rule = destination_rule("test", "test", tls={"mode": "SIMPEL"})
    one = gateway(before(backend, rule, host="test.example"))
    one.expected_errors.append("is not DISABLE, SIMPLE|the rule is broken and asks for TLS")
    assert one.get("/").status == 502
    one.access_log.wait_for("502 UPE upstream_tls_not_set_up")
    assert backend.requests.empty()
    good = destination_rule("test", "test", tls={"mode": "DISABLE"})
    one.change(lambda: one.write("all.yaml", before(backend, good, host="test.example")))
    assert one.get("/").status == 200
