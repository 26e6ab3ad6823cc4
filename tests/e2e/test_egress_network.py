# SPDX-License-Identifier: Apache-2.0
"""Faults of the network between the gateway and outside: packets that vanish, one family of
addresses that leads nowhere.

    app: client  -->  gateway  -->  outside 203.0.113.10, fd00:3::5
"""

import time

import pytest
from harness.client import Client
from harness.manifests import (destination_rule, documents, istio, server, service_entry,
                               virtual_service)
from harness.patience import PATIENCE, wait_until

HOST = "edition.cnn.com"


def way_out(*objects):
    return documents(
        istio("Gateway", "gateway", selector={"istio": "egressgateway"},
              servers=[server(HOST, port=80, protocol="HTTP")]),
        virtual_service("way-out", HOST, {"route": [{"destination": {"host": HOST}}]}),
        service_entry("entry", HOST), *objects)


def vanish(netns, *addresses):
    """From now on nobody answers at port 80 of these addresses."""
    rules = "".join(f"{'ip6' if ':' in x else 'ip'} daddr {x} tcp dport 80 drop\n" for x in addresses)
    netns.run("nft", "-f", "-", input=f"""
        table inet vanish {{
            chain input {{
                type filter hook input priority 0
                {rules}
            }}
        }}""")


def appear(netns):
    netns.run("nft", "delete", "table", "inet", "vanish")


class Way:
    def __init__(self, mesh):
        self.mesh, self.outside = mesh, mesh.network.outside
        self.nginx = mesh.web(http=("0.0.0.0:80", "[::]:80"))

    def start(self, *addresses, objects=()):
        self.mesh.names.change({HOST: list(addresses)})
        self.mesh.apply(all=way_out(*objects))
        self.gateway = self.mesh.gateway()
        wait_until(lambda: all(x in self.gateway.admin("/clusters") for x in addresses),
                   "the names are known")

    def client(self):
        with self.mesh.network.app:
            return Client(80, self.mesh.network.gateway.address)

    def get(self):
        with self.client() as client:
            return client.request("GET", "/politics", host=HOST)


@pytest.fixture
def way(mesh):
    return Way(mesh)


@pytest.mark.parametrize("lost", [4, 6])
def test_a_family_that_leads_nowhere_costs_no_time(way, lost):
    """v4 and v6 are raced (RFC 8305): no request waits for a connect timeout (10 s)."""
    addresses = {4: way.outside.address, 6: way.outside.address6}
    vanish(way.outside, addresses[lost])
    way.start(*addresses.values())
    for _ in range(6):
        begin = time.monotonic()
        assert way.get().status == 200
        assert time.monotonic() - begin < 2 * PATIENCE
    assert {x["client"] for x in way.nginx.seen("/politics", count=6)} == {
        way.mesh.network.gateway.address6 if lost == 4 else way.mesh.network.gateway.address}


def test_an_address_that_is_silent_is_left_for_another(way):
    second = "203.0.113.11"
    way.outside.add_address(second)
    vanish(way.outside, second)
    way.start(way.outside.address, second, objects=[destination_rule(
        "rule", HOST, connectionPool={"tcp": {"connectTimeout": "0.2s"}})])
    for _ in range(10):
        assert way.get().status == 200


def test_packets_that_vanish_end_in_a_timeout_and_a_reason(way):
    way.start(way.outside.address, objects=[destination_rule(
        "rule", HOST, connectionPool={"tcp": {"connectTimeout": "0.2s"}})])
    assert way.get().status == 200
    vanish(way.outside, way.outside.address)
    # Pooled connections are as silent as new ones: the route's own timeout ends the request.
    with way.client() as client:
        client.send_head("GET", "/lost", host=HOST)
        wait_until(lambda: way.gateway.metric("sluicegate_requests_active") == 1, "it is on its way")
    appear(way.outside)
    wait_until(lambda: way.get().status == 200, "the network is back")
