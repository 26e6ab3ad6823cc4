# SPDX-License-Identifier: Apache-2.0
"""The admin server: health, metrics that Prometheus takes, dumps."""

import json
import re
import shutil
import subprocess
import urllib.error

import pytest
from harness.client import Client
from harness.manifests import (documents, gateway as istio_gateway, one_route, route, service,
                               virtual_service)
from harness.patience import wait_until

HOST = "test.example"


@pytest.fixture
def served(gateway, upstream):
    return gateway(one_route(upstream(name="a"), upstream(name="b")), workers=2)


def status(served, path):
    try:
        served.admin(path)
        return 200
    except urllib.error.HTTPError as failure:
        return failure.code


@pytest.mark.parametrize("path", ["/", "/ready", "/live", "/metrics", "/config_dump", "/clusters",
                                  "/logging"])
def test_a_page_is_there(served, path):
    assert status(served, path) == 200


def test_other_pages_and_methods_are_refused(served):
    assert status(served, "/nothing") == 404
    with Client(served.admin_port) as client:
        assert client.request("POST", "/ready", body=b"x").status == 405
    with Client(served.admin_port) as client:
        answer = client.request("HEAD", "/metrics")
        assert answer.status == 200


def test_prometheus_takes_the_metrics(served):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed")
    served.get("/")
    served.get("/", host="nobody.example")
    result = subprocess.run([promtool, "check", "metrics"], input=served.admin("/metrics"),
                            capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_requests_are_counted_by_class(served):
    for _ in range(3):
        served.get("/")
    served.get("/", host="nobody.example")

    def by_class():
        return {re.search(r'code_class="([^"]+)"', name).group(1): value
                for name, value in served.metrics().items()
                if name.startswith("sluicegate_requests_total{")}

    # A request is counted when its last byte has been sent: a moment after the client has it.
    wait_until(lambda: by_class()["2xx"] == 3 and by_class()["4xx"] == 1,
               "every request counted")


def test_the_latency_histogram_adds_up(served):
    for _ in range(5):
        served.get("/")
    wait_until(lambda: served.metric("sluicegate_request_duration_seconds_count") == 5,
               "every request counted")
    metrics = served.metrics()
    buckets = [(k, v) for k, v in metrics.items()
               if k.startswith("sluicegate_request_duration_seconds_bucket")]
    values = [v for _, v in buckets]
    assert values == sorted(values) and 'le="+Inf"' in buckets[-1][0]
    assert values[-1] == metrics["sluicegate_request_duration_seconds_count"] == 5


def test_a_change_raises_the_generation(served):
    before = served.metric("sluicegate_config_generation")
    served.change(lambda: served.write("more.yaml", service("more")))
    assert served.metric("sluicegate_config_generation") == before + 1


def test_config_dump_is_the_snapshot(served):
    dump = served.config()
    text = json.dumps(dump)
    assert HOST in text and "outbound|80||test.default.svc.cluster.local" in text


def test_config_dump_tells_the_port_that_the_kernel_has_given(served):
    assert f"http 127.0.0.1:{served.port}" in served.config()["open_listeners"]


def test_clusters_shows_each_endpoint_and_its_counts(served):
    for _ in range(20):
        served.get("/")
    rows = re.findall(r"^(\S+?)::([\d.]+:\d+)::rq_total::(\d+)$", served.admin("/clusters"), re.M)
    assert len({address for _, address, _ in rows}) == 2
    assert sum(int(n) for _, _, n in rows) == 20


def test_a_cluster_counts_its_own_requests_where_another_shares_the_endpoint(gateway, upstream):
    both = upstream()
    served = gateway(documents(
        service("one", both), service("two", both), istio_gateway("gateway", HOST),
        virtual_service("test", HOST, route("two", match=[{"uri": {"prefix": "/two"}}]),
                        route("one"))))
    for target in ("/", "/two", "/", "/two", "/"):
        assert served.get(target).status == 200
    rows = served.admin("/clusters")
    total = dict(re.findall(r"^outbound\|80\|\|(\w+)\S*?local::rq_total::(\d+)$", rows, re.M))
    assert total == {"one": "3", "two": "2"}
    shared = re.findall(r"local::[\d.]+:\d+::rq_total::(\d+)$", rows, re.M)
    assert shared == ["5", "5"]


def test_active_connections_are_a_gauge(served):
    with served.client() as client:
        client.request("GET", "/")
        assert served.metric("sluicegate_downstream_connections_active") == 1
    wait_until(lambda: served.metric("sluicegate_downstream_connections_active") == 0, "closed")


def test_the_log_level_changes_while_running(served):
    assert "info" in served.admin("/logging")
    served.admin("/logging?level=debug")
    assert "debug" in served.admin("/logging")
    assert status(served, "/logging?level=loud") == 400


def test_a_broken_request_does_not_harm_the_admin_server(served):
    with Client(served.admin_port) as client:
        client.send("\x00\x01garbage\r\n\r\n")
        assert client.read_response().status == 400
    assert status(served, "/live") == 200


def test_metrics_tell_of_broken_objects(served):
    served.expected_errors = [r"broken\.yaml"]
    mark = served.log.mark()
    served.write("broken.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: 5\n")
    served.log.wait_for(r"broken\.yaml:\d+", start=mark)
    wait_until(lambda: served.metric("sluicegate_config_objects_rejected") == 1, "it is counted")


def test_an_object_with_an_error_counts_as_rejected_whatever_became_of_it(served):
    served.expected_errors = [r"(part|none|syntax)\.yaml"]

    def rejected():
        return served.metric("sluicegate_config_objects_rejected")

    assert rejected() == 0
    backend = {"service": {"name": "test", "port": {"number": 80}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "part"},
        "spec": {"rules": [{"host": "part.example", "http": {"paths": [
            {"path": "/bad", "pathType": "Prefixx", "backend": backend},
            {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}
    objects = served.metric("sluicegate_config_objects")
    served.change(lambda: served.write("part.yaml", documents(ingress)))
    assert served.metric("sluicegate_config_objects") == objects + 1
    assert served.get("/", host="part.example").status == 200
    assert rejected() == 1
    # What only compiling finds: two errors of one object count once.
    bad = {"match": [{"uri": {"regex": "/a("}}, {"uri": {"regex": "/b("}}],
           "route": [{"destination": {"host": "nowhere"}}]}
    served.change(lambda: served.write(
        "none.yaml", documents(virtual_service("none", HOST, bad))))
    assert rejected() == 2
    served.change(lambda: served.write("syntax.yaml", "a: [\n"))
    assert rejected() == 3
    # A last good version stands in: the object counts, and its error does not count twice.
    ingress["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Prefix"
    served.change(lambda: served.write("part.yaml", documents(ingress)))
    assert rejected() == 2
    ingress["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Prefixx"
    served.change(lambda: served.write("part.yaml", documents(ingress)))
    assert served.metric("sluicegate_config_objects_last_good") == 1
    assert rejected() == 3
    for name in ("part.yaml", "none.yaml", "syntax.yaml"):
        served.change((served.folder / name).unlink)
    assert rejected() == 0
