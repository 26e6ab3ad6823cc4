# SPDX-License-Identifier: Apache-2.0
"""Gateways, VirtualServices and DestinationRules over the wire: which host is bound where, which
rule answers, what the upstream sees."""

import json
from collections import Counter

import pytest
from harness.manifests import documents, endpoint_slice, metadata, route, service, virtual_service
from harness.manifests import gateway as istio_gateway

NAMES = "abcdef"
PORTS = range(80, 88)


def uri(kind, value, **more):
    return {"uri": {kind: value}, **more}


def when(*blocks, **rule):
    return {"match": list(blocks), **rule}


def istio(kind, name, namespace="default", **spec):
    return {"apiVersion": "networking.istio.io/v1beta1", "kind": kind,
            "metadata": metadata(name, namespace), "spec": spec}


def created(item, year):
    item["metadata"]["creationTimestamp"] = f"{year}-01-01T00:00:00Z"
    return item


def several_hosts(item, *hosts):
    item["spec"]["hosts"] = list(hosts)
    return item


BINDING = [
    istio_gateway("star", "*"),
    istio_gateway("sub", "*.example.com", port=81),
    istio_gateway("one", "httpbin.example.com", port=82),
    istio_gateway("dev", "dev/*", port=83),
    istio_gateway("own", "./*", port=84),
    istio_gateway("named", "prod/x.example", "default/y.example", port=85),
    istio_gateway("first", "g1.example", port=86),
    istio_gateway("second", "g2.example", port=86),
    istio_gateway("unbound", "*", port=87),
    virtual_service("b1", "httpbin.example.com", route("a"), gateways=["star"]),
    several_hosts(virtual_service("b2", "", route("b"), gateways=["sub"]),
                  "httpbin.example.com", "other.org"),
    created(virtual_service("b3", "*.example.com", route("c"), gateways=["one"]), 2021),
    created(virtual_service("b4", "*", route("d", match=[uri("prefix", "/d")]),
                            gateways=["default/one"]), 2020),
    virtual_service("b5", "dev.example", route("a"), gateways=["default/dev"], namespace="prod"),
    virtual_service("b6", "own.example", route("a"), gateways=["own"]),
    virtual_service("b7", "foreign.example", route("a"), gateways=["default/own"],
                    namespace="prod"),
    several_hosts(virtual_service("b8", "", route("a"), gateways=["default/named"],
                                  namespace="prod"), "x.example", "y.example"),
    several_hosts(virtual_service("b9", "", route("c"), gateways=["named"]),
                  "x.example", "y.example"),
    several_hosts(virtual_service("b10", "", route("a"), gateways=["first", "second"]),
                  "g1.example", "g2.example"),
]

MATCHING = [
    virtual_service(
        "m", "m.example",
        route("a", match=[uri("exact", "/auth", authority={"prefix": "m.example:99"})]),
        route("b", match=[uri("exact", "/h", headers={"x-a": {"exact": "1,2"}})]),
        route("c", match=[uri("exact", "/h", headers={"x-present": {}})]),
        route("d", match=[uri("exact", "/without", withoutHeaders={"x-no": {}})]),
        route("e", match=[uri("exact", "/without", withoutHeaders={"x-no": {"exact": "s"}})]),
        route("a", match=[uri("exact", "/q", queryParams={"q": {"exact": "a%20b"}})]),
        route("b", match=[uri("exact", "/q", queryParams={"q": {"prefix": "z"}, "r": {}})]),
        route("c", match=[uri("exact", "/q", queryParams={"q": {"regex": "[0-9]+"}})]),
        route("d", match=[uri("exact", "/port", port=80), uri("exact", "/other", port=81)]),
        route("e", match=[uri("exact", "/gw", gateways=["mesh"])]),
        route("f", match=[uri("exact", "/gw", gateways=["default/star"])]),
        route("a", match=[uri("exact", "/ns", sourceNamespace="istio-system")]),
        route("b", match=[uri("exact", "/ns")]),
        gateways=["star"]),
    virtual_service("order", "order.example", route("a", match=[uri("prefix", "/x")]), route("b"),
                    route("c", match=[uri("prefix", "/y")]), gateways=["star"]),
    created(virtual_service("old", "merged.example", route("b", match=[uri("prefix", "/x")]),
                            route("c"), gateways=["star"]), 2020),
    created(virtual_service("new", "merged.example", route("a", match=[uri("prefix", "/x")]),
                            route("d", match=[uri("prefix", "/y")]), route("e"),
                            gateways=["star"]), 2021),
]

ACTIONS = [
    virtual_service(
        "rewrites", "rw.example",
        route("a", match=[uri("prefix", "/a")], rewrite={"uri": "/"}),
        route("b", match=[uri("exact", "/exact")], rewrite={"uri": "/whole"}),
        route("c", match=[uri("regex", "/re/.*")], rewrite={"uri": "/whole"}),
        route("d", match=[uri("prefix", "/svc")],
              rewrite={"uriRegexRewrite": {"match": "/svc/([^/]+)/(.*)$", "rewrite": r"/\2/x/\1"}}),
        route("e", match=[uri("prefix", "/IGN", ignoreUriCase=True)], rewrite={"uri": "/ok"}),
        gateways=["star"]),
    virtual_service(
        "redirects", "rd.example",
        when(uri("exact", "/1"), redirect={"uri": "/new"}),
        when(uri("exact", "/2"), redirect={"uri": "/new?own=1"}),
        when(uri("prefix", "/3"), redirect={"prefixRewrite": "/three", "redirectCode": 302}),
        when(uri("exact", "/4"), redirect={"authority": "x.example"}),
        when(uri("exact", "/5"), redirect={"scheme": "https"}),
        when(uri("exact", "/6"), redirect={"scheme": "https", "port": 8443}),
        when(uri("exact", "/7"), redirect={"port": 80, "redirectCode": 307}),
        when(uri("exact", "/8"), redirect={"scheme": "https", "derivePort": "FROM_REQUEST_PORT",
                                           "redirectCode": 308}),
        when(uri("exact", "/9"), redirect={"scheme": "https", "port": 443}),
        gateways=["star"]),
    virtual_service(
        "root", "delegate.example",
        when(uri("prefix", "/p"), delegate={"name": "child"}),
        when(uri("exact", "/x"), delegate={"name": "child", "namespace": "prod"}),
        when(uri("prefix", "/h", headers={"x-r": {"exact": "1"}}), delegate={"name": "third"}),
        route("f"), gateways=["star"]),
    istio("VirtualService", "child", http=[
        route("a", match=[uri("prefix", "/p/a")]), route("b", match=[uri("exact", "/p/b")]),
        route("c", match=[uri("prefix", "/q")]), route("d", match=[uri("regex", "/p/r.*")]),
        route("e", match=[{"headers": {"x-d": {"exact": "1"}}}])]),
    istio("VirtualService", "child", "prod", http=[route("a")]),
    istio("VirtualService", "third", http=[
        route("a", match=[uri("prefix", "/h/1", headers={"x-c": {"exact": "1"}})],
              rewrite={"uri": "/new"}),
        route("b", match=[{"headers": {"x-r": {"exact": "2"}}}]), route("c")]),
]


@pytest.fixture(scope="module")
def served(shared):
    upstreams = {name: shared.upstream(name=name) for name in NAMES}
    services = [service(name, up) for name, up in upstreams.items()]
    services.append(service("a", upstreams["b"], namespace="prod"))
    one = shared.gateway(documents(*services, *BINDING, *MATCHING, *ACTIONS), ports=PORTS)
    named = [listener["port"] for listener in one.config()["listeners"]]
    one.port_of = dict(zip(named, one.http_ports))
    return one


def ask(served, host, target, port=80, headers=(), method="GET"):
    """(Service, target it saw), or (status, location)."""
    with served.client(port=served.port_of[port]) as client:
        answer = client.request(method, target, host=host, headers=headers)
    if answer.status != 200:
        return answer.status, answer.get("location")
    seen = json.loads(answer.body)
    return seen["name"], seen["target"]


@pytest.mark.parametrize("port, host, target, expected", [
    (80, "httpbin.example.com", "/", "a"),
    (81, "httpbin.example.com", "/", "b"),  # the more specific of both names
    (81, "other.org", "/", 404),
    (82, "httpbin.example.com", "/", "c"),
    (82, "httpbin.example.com", "/d", "d"),  # merged, the older VirtualService's routes first
    (82, "x.example.com", "/", 404),
    (83, "dev.example", "/", 404),  # from namespace prod, dev is asked for
    (84, "own.example", "/", "a"),
    (84, "foreign.example", "/", 404),
    (85, "x.example", "/", "b"),  # prod's own Service `a`
    (85, "y.example", "/", "c"),
    (86, "g1.example", "/", "a"),
    (86, "g2.example", "/", "a"),
    (87, "any.example", "/", 404),  # open, but nobody binds it
])
def test_a_virtual_service_is_served_where_gateway_namespace_and_hosts_meet(
        served, port, host, target, expected):
    assert ask(served, host, target, port)[0] == expected


@pytest.mark.parametrize("target, headers, expected", [
    ("/auth", (), 404),
    ("/h", [("X-A", "1"), ("x-a", "2")], "b"),  # repeated headers are joined
    ("/h", [("X-A", "1")], 404),
    ("/h", [("X-Present", "")], "c"),
    ("/without", (), "d"),
    ("/without", [("x-no", "v")], "e"),
    ("/without", [("x-no", "s")], 404),
    ("/q?q=a%20b", (), "a"),  # not decoded
    ("/q?x=1&q=z1&r", (), "b"),
    ("/q?q=12&q=z", (), "c"),  # the first of a name
    ("/q?q=z&q=12", (), 404),
    ("/q?qq=12", (), 404),
    ("/port", (), "d"),
    ("/other", (), 404),
    ("/gw", (), "f"),
    ("/ns", (), "a"),
])
def test_the_conditions_of_a_block_must_all_hold(served, target, headers, expected):
    assert ask(served, "m.example", target, headers=headers)[0] == expected


def test_authority_is_compared_as_it_was_sent(served):
    assert ask(served, "m.example:99", "/auth")[0] == "a"
    assert ask(served, "M.example:99", "/auth")[0] == 404


@pytest.mark.parametrize("host, target, expected", [
    ("order.example", "/x", "a"),
    ("order.example", "/y", "b"),  # the catch-all came first
    ("merged.example", "/x", "b"),
    ("merged.example", "/y", "d"),  # catch-alls of merged hosts are moved behind the rest
    ("merged.example", "/z", "c"),
])
def test_the_first_rule_that_matches_counts(served, host, target, expected):
    assert ask(served, host, target)[0] == expected


@pytest.mark.parametrize("target, expected", [
    ("/a/b", ("a", "//b")),
    ("/ab", ("a", "/b")),
    ("/exact?q=1", ("b", "/whole?q=1")),
    ("/re/x?z", ("c", "/whole?z")),
    ("/svc/foo/v1/api?q=1", ("d", "/v1/api/x/foo?q=1")),
    ("/iGnX", ("e", "/okX")),
])
def test_rewrites(served, target, expected):
    assert ask(served, "rw.example", target) == expected


@pytest.mark.parametrize("host, target, expected", [
    ("rd.example", "/1?a=b", (301, "http://rd.example/new?a=b")),
    ("rd.example:8080", "/1", (301, "http://rd.example:8080/new")),
    ("rd.example", "/2?a=b", (301, "http://rd.example/new?own=1")),
    ("rd.example", "/3/x?y", (302, "http://rd.example/three/x?y")),
    ("rd.example", "/4?z", (301, "http://x.example/4?z")),
    ("rd.example:80", "/5", (301, "https://rd.example/5")),
    ("rd.example:8080", "/5", (301, "https://rd.example:8080/5")),
    ("rd.example:1", "/6", (301, "https://rd.example:8443/6")),
    ("rd.example:8080", "/7", (307, "http://rd.example/7")),
    ("rd.example", "/8", (308, "https://rd.example:80/8")),
    ("rd.example:80", "/9", (301, "https://rd.example/9")),
])
def test_redirects(served, host, target, expected):
    assert ask(served, host, target) == expected


@pytest.mark.parametrize("target, headers, expected", [
    ("/p/a1", (), ("a", "/p/a1")),
    ("/p/b", (), ("b", "/p/b")),
    ("/q", (), ("f", "/q")),  # contradicts the root's prefix: left out
    ("/p/r1", (), ("f", "/p/r1")),  # a regex beside the root's prefix: left out
    ("/p/z", [("x-d", "1")], ("e", "/p/z")),
    ("/x", (), ("b", "/x")),  # a delegate's Services are those of its namespace
    ("/h/1x", (), ("f", "/h/1x")),
    ("/h/1x", [("x-r", "1"), ("x-c", "1")], ("a", "/newx")),
    ("/h/2", [("x-r", "1")], ("c", "/h/2")),
    ("/h/2", [("x-r", "2")], ("f", "/h/2")),
])
def test_delegates(served, target, headers, expected):
    assert ask(served, "delegate.example", target, headers=headers) == expected


def pod(name, address, labels, ready=True, **metadata_more):
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": metadata(name, labels=labels, **metadata_more),
        "spec": {"containers": [{"name": "c", "image": "web",
                                 "ports": [{"name": "web", "containerPort": 1}]}]},
        "status": {"podIP": address, "phase": "Running",
                   "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def subset(name, *destinations):
    """A rule for the path /name; destinations are (subset, weight)."""
    return when(uri("prefix", f"/{name}"), route=[
        {"destination": {"host": "reviews", **({"subset": of} if of else {})},
         **({"weight": weight} if len(destinations) > 1 else {})}
        for of, weight in destinations])


def test_subsets_choose_pods_by_their_labels(gateway, upstream):
    first = upstream(host="127.0.0.11", name="v1")
    second = upstream(host="127.0.0.12", port=first.port, name="v2")
    hidden = upstream(host="127.0.0.13", port=first.port, name="hidden")
    reviews = {"apiVersion": "v1", "kind": "Service", "metadata": metadata("reviews"),
               "spec": {"selector": {"app": "reviews"},
                        "ports": [{"port": 80, "targetPort": first.port}]}}
    rules = [subset("v1", ("v1", None)), subset("v2", ("v2", None)), subset("all", ("all", None)),
             subset("none", ("none", None)), subset("unknown", ("nowhere", None)),
             subset("zero", ("v1", 0), ("v2", 5))]
    one = gateway(documents(
        reviews,
        pod("p1", first.host, {"app": "reviews", "version": "v1"}),
        pod("p2", second.host, {"app": "reviews", "version": "v2"}),
        pod("p3", hidden.host, {"app": "reviews", "version": "v1"}, ready=False),
        pod("p4", hidden.host, {"app": "reviews", "version": "v1"},
            deletionTimestamp="2025-01-01T00:00:00Z"),
        pod("p5", hidden.host, {"app": "other", "version": "v1"}),
        istio("DestinationRule", "reviews", host="reviews", subsets=[
            {"name": "v1", "labels": {"version": "v1"}},
            {"name": "v2", "labels": {"version": "v2"}},
            {"name": "none", "labels": {"version": "v9"}}, {"name": "all"}]),
        istio_gateway("gateway", "*"), virtual_service("v", "test.example", *rules)))
    one.expected_errors.append("unknown-subset")

    def answers(target):
        found = Counter()
        for _ in range(12):
            answer = one.get(target)
            found[json.loads(answer.body)["name"] if answer.status == 200 else answer.status] += 1
        return set(found)

    assert answers("/v1") == {"v1"}
    assert answers("/v2") == {"v2"}
    assert answers("/all") == {"v1", "v2"}
    assert answers("/zero") == {"v2"}
    assert answers("/none") == {503}
    assert answers("/unknown") == {503}
    lines = one.access_log.wait_for('"GET /(none|unknown) .*" 503 ', count=24)
    flags = {line.string.split('" 503 ')[1].split()[0:2][0] for line in lines}
    assert flags == {"UH", "NC"}


def test_a_slice_of_another_port_is_no_endpoint_of_this_one(gateway, upstream):
    up = upstream(name="x")
    head = {"apiVersion": "v1", "kind": "Service", "metadata": metadata("two"),
            "spec": {"ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}]}}

    def to(port):
        return when(uri("prefix", f"/{port}"), route=[
            {"destination": {"host": "two", "port": {"number": port}}}])

    one = gateway(documents(head, endpoint_slice("two", up, port_name="x"),
                            istio_gateway("gateway", "*"),
                            virtual_service("v", "*", to(80), to(81), {
                                "route": [{"destination": {"host": "two"}}]})))
    assert one.get("/80").status == 200
    assert one.get("/81").status == 503
    assert one.get("/").status == 200  # without a port, the listener's is tried
