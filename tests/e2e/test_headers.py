# SPDX-License-Identifier: Apache-2.0
"""Headers that a gateway at the edge sets, replaces and removes."""

import json
import re
import uuid

import pytest
from harness.manifests import documents, gateway as istio_gateway, route, service, virtual_service

HOST = "test.example"


@pytest.fixture(scope="module")
def served(shared):
    rules = [
        route("test", match=[{"uri": {"prefix": "/ops"}}],
              headers={"request": {"set": {"x-set": "new", "x-client": "%PROTOCOL% 100%%"},
                                   "add": {"x-add": "more"}, "remove": ["x-gone"]},
                       "response": {"set": {"x-out": "1"}, "remove": ["content-type"]}}),
        route("test", match=[{"uri": {"prefix": "/rewritten"}}],
              rewrite={"uri": "/new", "authority": "inner.example"}),
        route("test"),
    ]
    return shared.gateway(documents(service("test", shared.upstream()),
                                    istio_gateway("gateway", HOST),
                                    virtual_service("test", HOST, *rules)))


def ask(served, target="/", **headers):
    answer = served.get(target, headers=[(k.replace("_", "-"), v) for k, v in headers.items()])
    seen = {}
    for name, value in json.loads(answer.body)["headers"]:
        seen.setdefault(name, []).append(value)
    return answer, seen


def test_the_response_names_the_server_and_the_time_upstream(served):
    answer, _ = ask(served)
    assert answer.all("server") == ["istio-envoy"]
    assert re.fullmatch(r"\d+", answer["x-envoy-upstream-service-time"])


def test_a_request_id_is_made_and_is_another_each_time(served):
    ids = {ask(served)[1]["x-request-id"][0] for _ in range(20)}
    assert len(ids) == 20
    for value in ids:
        assert str(uuid.UUID(value)) == value


def test_a_request_id_from_outside_is_replaced(served):
    answer, seen = ask(served, X_Request_Id="mine")
    assert len(seen["x-request-id"]) == 1 and seen["x-request-id"] != ["mine"]
    assert answer.get("x-request-id") is None


def test_forwarded_for_gets_the_client_appended(served):
    assert ask(served)[1]["x-forwarded-for"] == ["127.0.0.1"]
    seen = ask(served, X_Forwarded_For="203.0.113.9")[1]
    assert ",".join(seen["x-forwarded-for"]).replace(" ", "") == "203.0.113.9,127.0.0.1"


def test_forwarded_proto_is_the_connections(served):
    assert ask(served)[1]["x-forwarded-proto"] == ["http"]
    assert ask(served, X_Forwarded_Proto="https")[1]["x-forwarded-proto"] == ["http"]


def test_a_private_client_is_internal_and_not_external(served):
    seen = ask(served, X_Envoy_External_Address="8.8.8.8")[1]
    assert seen.get("x-envoy-internal") == ["true"]
    assert "x-envoy-external-address" not in seen


@pytest.mark.parametrize("name", [
    "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on",
    "x-envoy-retriable-status-codes", "x-envoy-retriable-header-names",
    "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-alt-stat-name", "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace",
    "x-envoy-ip-tags", "x-envoy-hedge-on-per-try-timeout", "x-envoy-upstream-stream-duration-ms",
    "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node",
    "x-envoy-decorator-operation"])
def test_an_envoy_header_from_outside_is_removed(served, name):
    seen = ask(served, **{name: "1"})[1]
    assert name not in seen


def test_the_host_is_kept(served):
    assert ask(served)[1]["host"] == [HOST]


def test_header_operations_of_a_route(served):
    answer, seen = ask(served, "/ops", X_Set="old", X_Add="one", X_Gone="1")
    assert seen["x-set"] == ["new"] and seen["x-client"] == ["HTTP/1.1 100%"]
    assert sorted(",".join(seen["x-add"]).replace(" ", "").split(",")) == ["more", "one"]
    assert "x-gone" not in seen
    assert answer["x-out"] == "1" and answer.get("content-type") is None


def test_a_rewrite_tells_the_original_path_and_changes_the_host(served):
    _, seen = ask(served, "/rewritten/a?q=1")
    assert seen["host"] == ["inner.example"]
    assert seen["x-envoy-original-path"] == ["/rewritten/a?q=1"]


def test_without_a_rewrite_there_is_no_original_path(served):
    assert "x-envoy-original-path" not in ask(served, X_Envoy_Original_Path="/forged")[1]
