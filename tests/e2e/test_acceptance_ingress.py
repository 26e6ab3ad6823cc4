# SPDX-License-Identifier: Apache-2.0
"""Ingress over the wire: which class, which owner, which default backend; the annotations."""

import json

import pytest
from harness.manifests import backend, documents, endpoint_slice, ingress, metadata, path, service

OURS = "sluicegate.io/ingress-controller"
LOOSE = "ImplementationSpecific"
NAMES = ["a", "b", "c", "d"]


def created(item, year):
    item["metadata"]["creationTimestamp"] = f"{year}-01-01T00:00:00Z"
    return item


def ingress_class(name, controller, is_default=False):
    note = {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": name, **(note if is_default else {})},
            "spec": {"controller": controller}}


def tls(name, **annotations):
    host = f"{name}.example"
    return ingress(name, (host, path("/", "a")), tls=[{"hosts": [host]}],
                   annotations={k.replace("_", "-"): v for k, v in annotations.items()})


def annotated(name, *paths, **annotations):
    return ingress(name, (f"{name}.example", *(paths or [path("/", "a")])),
                   annotations={k.replace("_", "-"): v for k, v in annotations.items()})


def of_class(name, field=None, annotation=None):
    item = ingress(name, (f"{name}.example", path("/", "a")),
                   **({"ingressClassName": field} if field else {}))
    if annotation:
        item["metadata"]["annotations"] = {"kubernetes.io/ingress.class": annotation}
    return item


OBJECTS = [
    created(ingress("z-old", ("shared.example", path("/x", "a"))), 2020),
    created(ingress("a-new", ("shared.example", path("/x", "b"), path("/y", "c"))), 2021),
    ingress("mixed", ("mixed.example", path("/a/b/c", "a"), path("/a/b", "b", kind="Exact"),
                      path("/", "c"))),
    ingress("part-1", ("split.example", path("/one", "a"))),
    ingress("part-2", ("split.example", path("/two", "b")), default="d"),
    ingress("loose", ("loose.example", path("/foo", "a", kind=LOOSE))),
    ingress("empty", ("empty.example", {"pathType": LOOSE, "backend": backend("a")})),
    {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata("bare"),
     "spec": {"defaultBackend": backend("d"), "rules": [{"host": "bare.example"}]}},
    ingress("anyhost", (None, path("/any", "b"))),
    {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata("rest"),
     "spec": {"defaultBackend": backend("c")}},
    # annotations
    annotated("fixed", path("/testpath", "a"), path("/Other", "b"), rewrite_target="/"),
    annotated("query", path("/x/(.*)", "a", kind=LOOSE), rewrite_target="/y?z=$1"),
    annotated("itself", path("/own", "a"), rewrite_target="/own"),
    ingress("calm", ("regex.example", path("/foo", "a"), path("/foo/bar/baz", "c"))),
    ingress("wild", ("regex.example", path("/re/[0-9]+", "b", kind=LOOSE)),
            annotations={"use-regex": "true"}),
    ingress("strict", ("regex.example", path("/exact", "d", kind="Exact"))),
    annotated("order", path("/ab.*", "a", kind=LOOSE), path("/abc/d", "b", kind=LOOSE),
              path("/zz", "c", kind=LOOSE), path("/[a-z]z", "d", kind=LOOSE), use_regex="true"),
    annotated("approot", app_root="/app1"),
    tls("secure"),
    tls("plain", ssl_redirect="false"),
    annotated("forced", force_ssl_redirect="T"),
    annotated("unforced", ssl_redirect="true"),
    annotated("away", path("/t", "a"), temporal_redirect="https://x.example/q?a=1",
              permanent_redirect="https://no.example"),
    annotated("moved", path("/t", "a"), permanent_redirect="https://x.example/p",
              permanent_redirect_code="308"),
    annotated("vhost", upstream_vhost="inner.example"),
    annotated("alias", server_alias="other-name.example, *.alias.example"),
    annotated("https", backend_protocol="HTTPS"),
    annotated("guarded", whitelist_source_range="10.0.0.0/8"),
]


@pytest.fixture(scope="module")
def served(shared):
    services = [service(name, shared.upstream(name=name)) for name in NAMES]
    one = shared.gateway(documents(*services, *OBJECTS))
    one.expected_errors.append("annotation-denies")
    return one


def ask(served, host, target, headers=()):
    """(Service, target it saw), or (status, location)."""
    answer = served.get(target, host=host, headers=headers)
    if answer.status != 200:
        return answer.status, answer.get("location")
    seen = json.loads(answer.body)
    return seen["name"], seen["target"]


@pytest.mark.parametrize("host, target, expected", [
    ("shared.example", "/x", "a"),  # the older Ingress owns it
    ("shared.example", "/y", "c"),
    ("mixed.example", "/a/b", "b"),
    ("mixed.example", "/a/b/", "c"),  # Exact takes no slash more
    ("mixed.example", "/a/b/c/d", "a"),
    ("split.example", "/one", "a"),  # two Ingresses of one host
    ("split.example", "/two", "b"),
    ("split.example", "/three", "d"),
    ("loose.example", "/foo/x", "a"),
    ("loose.example", "/foobar", 404),
    ("empty.example", "/anything", "a"),
    ("bare.example", "/a/b", "d"),  # a rule without http
    ("unknown.example", "/any/x", "b"),
    ("unknown.example", "/else", "c"),  # an Ingress of a default backend alone
    ("mixed.example.", "/a/b", "b"),
])
def test_who_owns_a_path(served, host, target, expected):
    assert ask(served, host, target)[0] == expected


@pytest.mark.parametrize("host, target, expected", [
    ("fixed.example", "/testpathology?q=1", ("a", "/?q=1")),  # an expression without end
    ("fixed.example", "/TESTPATH/x", ("a", "/")),
    ("fixed.example", "/other", ("b", "/")),
    ("query.example", "/x/q?old=1", ("a", "/y?z=q")),  # a query in the target replaces the client's
    ("query.example", "/X/a%20b", ("a", "/y?z=a%20b")),
    ("itself.example", "/own/x", ("a", "/own/x")),  # rewritten to itself: no expressions
    ("itself.example", "/ownx", (404, None)),
    ("regex.example", "/foobar", ("a", "/foobar")),  # a neighbour's use-regex
    ("regex.example", "/FOO", ("a", "/FOO")),
    ("regex.example", "/foo/bar/bazz", ("c", "/foo/bar/bazz")),
    ("regex.example", "/re/12x", ("b", "/re/12x")),
    ("regex.example", "/exactly", ("d", "/exactly")),
    ("regex.example", "/re/x", (404, None)),
    ("order.example", "/abc/d", ("b", "/abc/d")),  # the longest first
    ("order.example", "/abx", ("a", "/abx")),
    ("approot.example", "/?q=1", (302, "http://approot.example/app1")),
    ("approot.example", "/x", ("a", "/x")),
    ("secure.example:8080", "/a/b?c", (308, "https://secure.example/a/b?c")),
    ("secure.example", "/a/", (308, "https://secure.example/a")),
    ("secure.example", "/.well-known/acme-challenge/x",
     ("a", "/.well-known/acme-challenge/x")),
    ("plain.example", "/a", ("a", "/a")),
    ("forced.example", "/a", (308, "https://forced.example/a")),
    ("unforced.example", "/a", ("a", "/a")),
    ("away.example", "/t/x?y", (302, "https://x.example/q?a=1")),
    ("moved.example", "/t/x", (308, "https://x.example/p")),
    ("other-name.example", "/z", ("a", "/z")),
    ("sub.alias.example", "/z", ("a", "/z")),
    ("https.example", "/", (503, None)),
    ("guarded.example", "/", (503, None)),  # rather closed than open
])
def test_annotations(served, host, target, expected):
    assert ask(served, host, target) == expected


def test_a_client_cannot_talk_itself_out_of_the_redirect(served):
    answer = ask(served, "forced.example", "/x", headers=[("X-Forwarded-Proto", "https")])
    assert answer == (308, "https://forced.example/x")


def test_upstream_vhost_keeps_the_name_that_was_asked_for_in_another_header(served):
    seen = json.loads(served.get("/", host="vhost.example").body)["headers"]
    assert ["host", "inner.example"] in seen
    assert ["x-forwarded-host", "vhost.example"] in seen


CLASSES = [
    of_class("field-ours", "ours"), of_class("field-other", "other"),
    of_class("field-unknown", "nope"), of_class("note-ours", annotation="ours"),
    of_class("note-other", annotation="other"), of_class("note-unknown", annotation="nope"),
    of_class("both-differ", "ours", "other"), of_class("both-other", "other", "ours"),
    of_class("neither"),
]
OF_OURS = {"field-ours", "note-ours", "both-differ"}


@pytest.mark.parametrize("classes, options, expected", [
    ([ingress_class("ours", OURS), ingress_class("other", "x.io/y")], [], OF_OURS),
    ([ingress_class("ours", OURS, True), ingress_class("other", "x.io/y")], [],
     OF_OURS | {"neither"}),
    ([ingress_class("ours", OURS), ingress_class("other", "x.io/y", True)], [], OF_OURS),
    ([], [], {item["metadata"]["name"] for item in CLASSES}),
    ([], ["--ingress-class", "ours"], OF_OURS),
    # the annotation needs no IngressClass object, the field does
    ([ingress_class("other", "x.io/y")], ["--ingress-class", "ours"], {"note-ours"}),
    ([ingress_class("ours", OURS), ingress_class("other", "x.io/y")],
     ["--ingress-controller", "x.io/y"], {"field-other", "note-other", "both-other"}),
])
def test_the_class_decides_who_serves_an_ingress(gateway, upstream, classes, options, expected):
    one = gateway(documents(service("a", upstream(name="a")), *classes, *CLASSES), *options)
    found = {name for name in (item["metadata"]["name"] for item in CLASSES)
             if one.get("/", host=f"{name}.example").status == 200}
    assert found == expected


def test_an_ingress_that_changes_its_class_is_withdrawn_at_once(gateway, upstream):
    def files(name):
        return documents(ingress("i", ("i.example", path("/", "a")), ingressClassName=name))

    one = gateway({
        "base.yaml": documents(service("a", upstream(name="a")), ingress_class("ours", OURS),
                               ingress_class("other", "x.io/y"), of_class("stays", "ours")),
        "i.yaml": files("ours")})
    assert one.get("/", host="i.example").status == 200
    one.change(lambda: one.write("i.yaml", files("other")))
    assert one.get("/", host="i.example").status == 404
    assert one.get("/", host="stays.example").status == 200
    one.change(lambda: one.write("i.yaml", files("ours")))
    assert one.get("/", host="i.example").status == 200


def test_the_second_of_two_objects_of_one_name_takes_over_when_the_first_goes(gateway, upstream):
    one = gateway({
        "base.yaml": documents(service("a", upstream(name="a")), service("b", upstream(name="b")),
                               ingress("other", ("other.example", path("/", "a")))),
        "1.yaml": documents(ingress("i", ("i.example", path("/", "a")))),
        "2.yaml": documents(ingress("i", ("i.example", path("/", "b"))))})
    one.expected_errors.append("duplicate-object")
    assert ask(one, "i.example", "/")[0] == "a"
    one.change((one.folder / "1.yaml").unlink)
    assert ask(one, "i.example", "/")[0] == "b"


def test_a_list_of_manifests_may_be_json(gateway, upstream):
    up = upstream(name="a")
    head = {"apiVersion": "v1", "kind": "Service", "metadata": metadata("a"),
            "spec": {"ports": [{"port": 80}]}}
    items = [head, endpoint_slice("a", up), ingress("i", ("i.example", path("/", "a")))]
    one = gateway({"all.json": json.dumps({"apiVersion": "v1", "kind": "List", "items": items})})
    assert ask(one, "i.example", "/")[0] == "a"
