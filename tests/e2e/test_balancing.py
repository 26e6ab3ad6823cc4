# SPDX-License-Identifier: Apache-2.0
"""Requests, not connections, are balanced over the endpoints of a Service."""

import collections
import json

import pytest
from harness.manifests import (documents, gateway as istio_gateway, one_route, route, service,
                               virtual_service)
from harness.patience import wait_until

HOST = "test.example"


def answers(served, n):
    names = collections.Counter()
    with served.client() as client:
        for _ in range(n):
            names[json.loads(client.request("GET", "/").body)["name"]] += 1
    return names


def destination_rule(simple):
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "test"},
            "spec": {"host": "test", "trafficPolicy": {"loadBalancer": {"simple": simple}}}}


def test_round_robin_takes_turns(gateway, upstream):
    manifests = documents(one_route(*(upstream(name=x) for x in "abc")),
                          destination_rule("ROUND_ROBIN"))
    served = gateway(manifests, workers=1)
    assert answers(served, 30) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize("simple", ["LEAST_REQUEST", "RANDOM"])
def test_one_connection_reaches_every_endpoint(gateway, upstream, simple):
    served = gateway(documents(one_route(*(upstream(name=x) for x in "abcde")),
                               destination_rule(simple)), workers=1)
    counts = answers(served, 250)
    assert set(counts) == set("abcde")
    # 50 expected each; 15 is more than six standard deviations away.
    assert min(counts.values()) >= 15, counts


def test_least_request_avoids_a_busy_endpoint(gateway, upstream):
    def hold(conn):
        conn.read_request()
        conn.wait_closed()

    busy, free = upstream(hold, name="busy"), upstream(name="free")
    served = gateway(one_route(busy, free), workers=1)
    stuck = []
    try:
        while busy.accepted == 0:  # until one request hangs in the slow endpoint
            stuck.append(served.client())
            stuck[-1].send_head("GET", "/")
            wait_until(lambda: busy.accepted + free.requests.qsize() >= len(stuck), "it arrived")
        assert set(answers(served, 50)) == {"free"}
    finally:
        for client in stuck:
            client.close()


def test_weights_of_destinations_share_the_requests(gateway, upstream):
    served = gateway(documents(
        service("v1", upstream(name="v1")), service("v2", upstream(name="v2")),
        service("v0", upstream(name="v0")), istio_gateway("gateway", HOST),
        virtual_service("test", HOST, route(("v1", 80), ("v2", 20), ("v0", 0)))), workers=1)
    counts = answers(served, 500)
    assert counts["v0"] == 0
    assert 50 <= counts["v2"] <= 150, counts  # 100 expected, standard deviation 9


def test_subsets_choose_endpoints_by_label(gateway, upstream):
    pods, rules = [], []
    backends = {}
    for i, version in enumerate(["v1", "v2"]):
        backends[version] = upstream(name=version, host=f"127.0.0.{i + 2}",
                                     port=backends["v1"].port if backends else 0)
        pods.append({"apiVersion": "v1", "kind": "Pod",
                     "metadata": {"name": version, "labels": {"app": "test", "version": version}},
                     "spec": {"containers": [{"name": "c", "image": "x"}]},
                     "status": {"podIP": backends[version].host}})
        rules.append({"match": [{"uri": {"prefix": f"/{version}"}}],
                      "route": [{"destination": {"host": "test", "subset": version}}]})
    destination = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                   "metadata": {"name": "test"},
                   "spec": {"host": "test", "subsets": [
                       {"name": v, "labels": {"version": v}} for v in backends]}}
    target = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "test"},
              "spec": {"selector": {"app": "test"},
                       "ports": [{"port": 80, "targetPort": backends["v1"].port}]}}
    served = gateway(documents(target, *pods, destination, istio_gateway("gateway", HOST),
                               virtual_service("test", HOST, *rules)))
    for version in backends:
        for _ in range(5):
            assert json.loads(served.get(f"/{version}").body)["name"] == version
