# SPDX-License-Identifier: Apache-2.0
"""Hosts and paths over the wire: the truth tables of Ingress and of Istio."""

import json

import pytest
from harness.manifests import (documents, gateway, ingress, path, route, service,
                               virtual_service)

NAMES = ["root", "foo", "exact", "exact-slash", "aaa", "aaa-bbb", "wild", "one", "any", "status",
         "delay", "regex", "header", "query", "post", "rest", "whole", "nested", "fallback", "regular"]


def prefix(value, name, **rule):
    return route(name, match=[{"uri": {"prefix": value}}], **rule)


@pytest.fixture(scope="module")
def served(shared):
    upstreams = {name: shared.upstream(name=name) for name in NAMES}
    services = [service(name, up) for name, up in upstreams.items()]
    objects = [
        ingress("paths", (
            "paths.example",
            path("/foo", "foo"), path("/foo", "exact", kind="Exact"),
            path("/bar/", "exact-slash", kind="Exact"),
            path("/aaa", "aaa"), path("/aaa/bbb/", "aaa-bbb"))),
        ingress("root", ("root.example", path("/", "root"), path("/aaa", "aaa"))),
        ingress("hosts", ("*.wild.example", path("/", "wild")),
                ("one.wild.example", path("/only", "one"))),
        ingress("any", (None, path("/any", "any"))),
        ingress("default", ("default.example", path("/foo", "foo")), default="fallback"),
        ingress("capture", ("capture.example",
                            path("/x(/|$)(.*)", "regular", kind="ImplementationSpecific")),
                annotations={"rewrite-target": "/$2", "use-regex": "true"}),
        ingress("fixed", ("fixed.example", path("/testpath", "root")),
                annotations={"rewrite-target": "/"}),
        gateway("gateway", "istio.example", "*.deep.example"),
        virtual_service(
            "istio", "istio.example",
            prefix("/status", "status"),
            route("delay", match=[{"uri": {"exact": "/delay"}}]),
            route("regex", match=[{"uri": {"regex": "/r/[0-9]+"}}]),
            route("header", match=[{"uri": {"prefix": "/h"}, "headers": {"x-user": {"exact": "jo"}}}]),
            route("query", match=[{"uri": {"prefix": "/h"},
                                   "queryParams": {"v": {"exact": "2"}}}]),
            route("post", match=[{"uri": {"prefix": "/h"}, "method": {"exact": "POST"}}]),
            prefix("/a/", "nested", rewrite={"uri": "/"}),
            prefix("/whole", "whole", rewrite={"uri": "/replaced"}),
            route("rest", match=[{"uri": {"exact": "/EXACT"}, "ignoreUriCase": True}]),
        ),
        virtual_service("deep", "*.deep.example", route("wild")),
    ]
    yield shared.gateway(documents(*services, *objects))


def ask(served, host, target, **options):
    """The Service that answered, or the status when none did; and the target that it saw."""
    answer = served.get(target, host=host, **options)
    if answer.status != 200:
        return answer.status, None
    seen = json.loads(answer.body)
    return seen["name"], seen["target"]


INGRESS = [
    # host, target, who answers
    ("paths.example", "/foo", "exact"),
    ("paths.example", "/foo/", "foo"),
    ("paths.example", "/foo/bar", "foo"),
    ("paths.example", "/foo?a=/bar", "exact"),
    ("paths.example", "/foobar", 404),
    ("paths.example", "/FOO", 404),
    ("paths.example", "/bar", 404),
    ("paths.example", "/bar/", "exact-slash"),
    ("paths.example", "/bar/x", 404),
    ("paths.example", "/aaa", "aaa"),
    ("paths.example", "/aaa/ccc", "aaa"),
    ("paths.example", "/aaa/bbb", "aaa-bbb"),
    ("paths.example", "/aaa/bbb/", "aaa-bbb"),
    ("paths.example", "/aaa/bbb/ccc", "aaa-bbb"),
    ("paths.example", "/aaa/bbbxyz", "aaa"),
    ("paths.example", "/", 404),
    ("root.example", "/aaa/ccc", "aaa"),
    ("root.example", "/aaaa", "root"),
    ("root.example", "/", "root"),
    # hosts
    ("PATHS.Example", "/foo", "exact"),
    ("paths.example:80", "/foo", "exact"),
    ("paths.example:12345", "/foo", "exact"),
    ("other.example", "/foo", 404),
    ("bar.wild.example", "/x", "wild"),
    ("BAR.WILD.EXAMPLE", "/x", "wild"),
    ("a.bar.wild.example", "/x", 404),
    ("wild.example", "/x", 404),
    ("one.wild.example", "/only", "one"),
    ("one.wild.example", "/x", 404),  # the exact host's paths alone count
    ("nobody.example", "/any/where", "any"),
    ("127.0.0.1", "/any", "any"),
    ("default.example", "/foo", "foo"),
    ("default.example", "/elsewhere", "fallback"),
]


@pytest.mark.parametrize("host, target, expected", INGRESS)
def test_ingress_host_and_path(served, host, target, expected):
    assert ask(served, host, target)[0] == expected


ISTIO = [
    ("istio.example", "/status/200", "status"),
    ("istio.example", "/statusX", "status"),  # a plain string prefix
    ("istio.example", "/1status/200", 404),
    ("istio.example", "/delay", "delay"),
    ("istio.example", "/delay?x=1", "delay"),
    ("istio.example", "/delay/", 404),
    ("istio.example", "/r/12", "regex"),
    ("istio.example", "/r/12x", 404),  # the whole path
    ("istio.example", "/h", 404),
    ("istio.example", "/h?v=2", "query"),
    ("istio.example", "/h?v=20", 404),
    ("istio.example", "/exact", "rest"),
    ("ISTIO.example:80", "/delay", "delay"),
    ("x.deep.example", "/", "wild"),
    ("x.y.deep.example", "/", "wild"),  # any number of labels
    ("deep.example", "/", 404),
]


@pytest.mark.parametrize("host, target, expected", ISTIO)
def test_virtual_service_host_and_path(served, host, target, expected):
    assert ask(served, host, target)[0] == expected


def test_a_header_condition_decides(served):
    assert ask(served, "istio.example", "/h", headers={"X-User": "jo"})[0] == "header"
    assert ask(served, "istio.example", "/h", headers={"X-User": "joe"})[0] == 404


def test_a_method_condition_decides(served):
    answer = served.request("POST", "/h", host="istio.example", body=b"x")
    assert json.loads(answer.body)["name"] == "post"


REWRITES = [
    ("fixed.example", "/testpath", "/"),
    ("fixed.example", "/testpath/deeper", "/"),
    ("fixed.example", "/testpath?q=1", "/?q=1"),
    ("capture.example", "/x", "/"),
    ("capture.example", "/x/", "/"),
    ("capture.example", "/x/y/z", "/y/z"),
    ("capture.example", "/x/y?q=1&r=%20", "/y?q=1&r=%20"),
    ("istio.example", "/a/b/c?q", "/b/c?q"),
    ("istio.example", "/whole/rest", "/replaced/rest"),
]


@pytest.mark.parametrize("host, target, expected", REWRITES)
def test_the_upstream_sees_the_rewritten_target(served, host, target, expected):
    assert ask(served, host, target)[1] == expected


# What arrives at the upstream when nothing is rewritten: normalised as RFC 3986 says, no more.
TARGETS = [
    ("/", "/"),
    ("/a%2Fb", "/a%2Fb"),  # an encoded slash is no separator
    ("/aaa%2Fbbb", "/aaa%2Fbbb"),
    ("/a/./b", "/a/b"),
    ("/a/../b", "/b"),
    ("/a/%2e%2e/b", "/b"),
    ("/%61bc", "/abc"),
    ("/a//b", "/a//b"),
    ("/a?x=%2e%2e/../", "/a?x=%2e%2e/../"),
    ("/%zz", 400),
    ("/a%2", 400),
    ("/a%00b", 400),
    ("/a%20b?c d", 400),
    ("/\u00e4", 400),
]


@pytest.mark.parametrize("sent, expected", TARGETS)
def test_path_normalisation(served, sent, expected):
    name, seen = ask(served, "root.example", sent)
    assert (name if isinstance(expected, int) else seen) == expected


def test_an_encoded_slash_does_not_open_another_prefix(served):
    assert ask(served, "root.example", "/aaa%2Fccc")[0] == "root"


def test_dot_segments_do_not_escape_a_prefix(served):
    assert ask(served, "paths.example", "/foo/../aaa/x") == ("aaa", "/aaa/x")
    assert ask(served, "paths.example", "/foo/../../..")[0] == 404


def test_absolute_form_names_the_host(served):
    with served.client() as client:
        answer = client.request("GET", "http://paths.example/foo?x", host="other.example")
    seen = json.loads(answer.body)
    assert (seen["name"], seen["target"]) == ("exact", "/foo?x")
    assert ["host", "paths.example"] in seen["headers"]


def test_an_empty_path_of_the_absolute_form_is_the_root(served):
    with served.client() as client:
        answer = client.request("GET", "http://root.example?x=1", host="root.example")
    seen = json.loads(answer.body)
    assert (seen["name"], seen["target"]) == ("root", "/?x=1")


def test_options_asterisk_is_answered_or_routed_but_never_another_path(served):
    answer = served.request("OPTIONS", "*", host="root.example")
    assert answer.status in (200, 204, 404)
    if answer.status == 200 and answer.body:
        assert json.loads(answer.body)["target"] == "*"
