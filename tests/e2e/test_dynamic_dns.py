# SPDX-License-Identifier: Apache-2.0
"""Resolution DYNAMIC_DNS: a wildcard host whose names are resolved when a request asks for them.
In namespaces, since such names may not lead to loopback.

    client, gateway  -->  "one" on 203.0.113.21:8000, "two" on 203.0.113.22:8000, dnsmasq
"""

import json

import pytest
from harness.egress import HOST, Load, becomes, by_dns, tls_rule, way_out, who
from harness.name_server import DOMAIN, NameServer, Relay, dnsmasq
from harness.patience import wait_until
from harness.upstream import echo

WILD = f"*.{DOMAIN}"
ONE, TWO = "203.0.113.21", "203.0.113.22"


class World:
    """`names` knows HOST as ONE, and a.DOMAIN and b.DOMAIN; `relay` stands before it."""

    def __init__(self, network, gateway, upstream, folder):
        self.network, self.make_gateway, self.make_upstream = network, gateway, upstream
        self.names = NameServer(folder, network.outside, api=[ONE], a=[ONE], b=[TWO])
        self.relay = Relay(self.names)

    def start(self, *objects, serve=echo, tls=None, **spec):
        for name, address in (("one", ONE), ("two", TWO)):
            self.network.outside.add_address(address)
            self.make_upstream(serve, listener=self.network.outside.listen(8000, address), name=name,
                               tls=tls)
        text = way_out(by_dns(8000, WILD, "DYNAMIC_DNS", **spec), *objects, host=WILD)
        return self.make_gateway(text, "--dns-server", self.relay.address, ports=(),
                                 netns=self.network.gateway)

    def change(self, **names):
        self.names.change(**{"api": [ONE], "a": [ONE], "b": [TWO], **names})


@pytest.fixture
def world(network, gateway, upstream, tmp_path):
    if dnsmasq() is None:
        pytest.skip("dnsmasq (dnsmasq-base) is not installed")
    made = World(network, gateway, upstream, tmp_path)
    yield made
    made.relay.close()
    made.names.stop()


def test_it_resolves_what_is_asked_for(world):
    served = world.start()
    with served.client() as client:
        # The first request of a name waits for it: none fails.
        assert who(client, host=f"a.{DOMAIN}") == "one"
        assert who(client, host=f"b.{DOMAIN}") == "two"
        assert who(client, host=f"A.{DOMAIN.upper()}") == "one"
        for _ in range(20):
            assert who(client, host=f"a.{DOMAIN}") == "one"
    line = served.access_log.wait_for(rf'"a\.{DOMAIN}" "{ONE}:8000" (\S+)')[0]
    assert line.group(1) == f"outbound|80||*.{DOMAIN}"


def test_a_name_that_does_not_exist(world):
    served = world.start()
    with served.client() as client:
        assert who(client, host=f"nothing.{DOMAIN}") == 503
        assert served.access_log.wait_for(
            r'"GET / HTTP/1.1" 503 DF dns_resolution_failure\{name_not_found\} .*"nothing\.')
        assert who(client, host=f"a.{DOMAIN}") == "one"
        world.change(nothing=[TWO])
        becomes("two", client, host=f"nothing.{DOMAIN}")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_a_name_that_leads_to_this_host(world, address):
    served = world.start()
    world.change(evil=[address])
    with served.client() as client:
        assert who(client, host=f"evil.{DOMAIN}") == 503
    assert served.access_log.wait_for(r"503 DF dns_resolution_failure\{address_refused\}")


def test_many_requests_for_one_name_ask_once(world):
    served = world.start()
    clients = [served.client() for _ in range(16)]
    for client in clients:
        client.send_head("GET", "/", host=f"a.{DOMAIN}")
    for client in clients:
        assert json.loads(client.read_response().body)["name"] == "one"
        client.close()
    assert len([x for x in world.names.log.lines if f"query[A] a.{DOMAIN} " in x]) == 1


def test_tls_checks_the_name_that_is_asked_for(world, authority, tmp_path):
    (tmp_path / "ca.pem").write_text(authority.pem)
    served = world.start(tls_rule(WILD, mode="SIMPLE", caCertificates=str(tmp_path / "ca.pem")),
                         tls=authority.server_context(authority.issue(f"a.{DOMAIN}")))
    with served.client() as client:
        assert who(client, host=f"a.{DOMAIN}") == "one"
        assert who(client, host=f"b.{DOMAIN}") == 503
        assert served.access_log.wait_for(r'"GET / HTTP/1.1" 503 UF .*certificate')


# -- faults --

def test_a_request_waits_for_a_slow_name(world):
    served = world.start()
    world.relay.set("hold")
    with served.client() as client, served.client() as other:
        for one in (client, other):
            one.send_head("GET", "/", host=HOST)
        wait_until(lambda: world.relay.held, "the name is asked for")
        world.relay.set("pass")
        for one in (client, other):
            assert json.loads(one.read_response().body)["name"] == "one"
        # Known by now: a name server that is gone is not missed, also when the TTL is over.
        world.relay.set("drop")
        before = world.relay.questions
        def is_asked_again():
            assert who(client) == "one"
            return world.relay.questions > before
        wait_until(is_asked_again, "it is asked for again in vain")
        assert who(client) == "one"


def test_a_request_that_waits_for_a_name_may_leave(world):
    served = world.start()
    world.relay.set("hold")
    with served.client() as client:
        client.send_head("GET", "/", host=HOST)
        wait_until(lambda: world.relay.held, "the name is asked for")
    assert served.access_log.wait_for(r'"GET / HTTP/1.1" 0 DC downstream_remote_disconnect')
    world.relay.set("pass")
    with served.client() as client:
        assert who(client) == "one"


def test_a_name_server_that_is_silent_is_waited_for_as_long_as_a_connection(world):
    served = world.start({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                          "metadata": {"name": "rule"}, "spec": {"host": WILD, "trafficPolicy": {
                              "connectionPool": {"tcp": {"connectTimeout": "0.3s"}}}}})
    world.relay.set("drop")
    with served.client() as client:
        assert who(client) == 503
        assert served.access_log.wait_for("503 DF dns_resolution_failure")
        world.relay.set("pass")
        becomes("one", client)


def test_addresses_change_under_load(world):
    served = world.start()
    with served.client() as client, Load(served) as load:
        becomes("one", client)
        world.change(api=[TWO])
        becomes("two", client)
        load.goes_on()
