# SPDX-License-Identifier: Apache-2.0
"""Services of type ExternalName, resolved by a real DNS server whose answers change and end.

    client -> gateway -> 127.0.0.2:PORT or 127.0.0.3:PORT, whichever the name leads to
                 |
              dnsmasq
"""

import json
import socket
import threading

import pytest
from harness.egress import ONE, TWO
from harness.gateway import run_command
from harness.manifests import (documents, gateway as istio_gateway, ingress, metadata, path, route,
                               virtual_service)
from harness.name_server import DOMAIN
from harness.patience import wait_until

HOST = "test.example"
NAME = f"backend.{DOMAIN}"
GENERATION = "sluicegate_config_generation"


@pytest.fixture
def port(both):
    return both()


def external(name, target, *ports, namespace="default"):
    spec = {"type": "ExternalName", "externalName": target}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, namespace),
            "spec": {**spec, "ports": list(ports)} if ports else spec}


def to(name, port, target=NAME):
    return external(name, target, {"port": 80, "targetPort": port})


def behind_virtual_service(port, target=NAME):
    return documents(to("outside", port, target), istio_gateway("gateway", HOST),
                     virtual_service("test", HOST, route("outside")))


def who(client, target="/", host=HOST):
    answer = client.request("GET", target, host=host)
    return json.loads(answer.body)["name"] if answer.status == 200 else answer.status


def becomes(expected, client, target="/", host=HOST):
    wait_until(lambda: who(client, target, host) == expected, f"the answer is {expected}")


def test_an_ingress_serves_an_external_name(gateway, name_server, port):
    served = gateway(documents(to("outside", port), ingress("test", (HOST, path("/", "outside")))),
                     "--dns-server", name_server(backend=[ONE]).address)
    with served.client() as client:
        becomes("one", client)
        mark = served.access_log.mark()
        seen = json.loads(client.request("GET", "/path", host=HOST).body)
    assert seen["target"] == "/path" and ["host", HOST] in seen["headers"]
    line = served.access_log.wait_for(r'"GET /path .*', start=mark)[0].group(0)
    assert f'"{ONE}:{port}"' in line, line


def test_a_virtual_service_serves_an_external_name(gateway, name_server, port):
    served = gateway(behind_virtual_service(port),
                     "--dns-server", name_server(backend=[ONE]).address)
    with served.client() as client:
        becomes("one", client)


def test_a_service_without_ports_leads_to_the_port_that_was_asked_for(gateway, name_server, port):
    destination = {"destination": {"host": "outside", "port": {"number": port}}}
    served = gateway(documents(
        external("outside", NAME), istio_gateway("gateway", HOST),
        virtual_service("test", HOST, {"route": [destination]}),
        ingress("test", ("ingress.example", path("/", "outside", port)))),
        "--dns-server", name_server(backend=[ONE]).address)
    with served.client() as client:
        becomes("one", client)
        becomes("one", client, host="ingress.example")


@pytest.mark.parametrize("target", [NAME + ".", f"alias.{DOMAIN}"])
def test_a_name_may_end_in_a_dot_and_lead_to_another(gateway, name_server, port, target):
    served = gateway(behind_virtual_service(port, target),
                     "--dns-server", name_server(backend=[ONE]).address)
    with served.client() as client:
        becomes("one", client)


def test_every_address_of_a_name_gets_its_share(gateway, name_server, port):
    served = gateway(behind_virtual_service(port),
                     "--dns-server", name_server(backend=[ONE, TWO]).address)
    with served.client() as client:
        becomes("one", client)
        seen = [who(client) for _ in range(40)]
    assert set(seen) == {"one", "two"} and min(seen.count("one"), seen.count("two")) >= 10, seen


def test_an_answer_too_large_for_a_datagram_is_asked_for_over_tcp(gateway, name_server):
    addresses = [f"127.1.0.{i}" for i in range(1, 81)]
    served = gateway(behind_virtual_service(9),
                     "--dns-server", name_server(backend=addresses).address)
    wait_until(lambda: all(f"{x}:9" in served.admin("/clusters") for x in addresses),
               "all addresses are known")


def test_an_unknown_name_is_answered_503_until_it_exists(gateway, name_server, port):
    names = name_server(backend=[ONE])
    text = documents(
        to("outside", port), to("nowhere", port, f"nowhere.{DOMAIN}"),
        istio_gateway("gateway", HOST),
        virtual_service("test", HOST, route("nowhere", match=[{"uri": {"prefix": "/nowhere"}}]),
                        route("outside")))
    served = gateway(text, "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        answer = client.request("GET", "/nowhere", host=HOST)
        assert (answer.status, answer.text) == (
            503, "DNS resolution failure (dns_resolution_failure{name_not_found})\n"), answer
        assert served.access_log.wait_for(r'"GET /nowhere HTTP/1.1" (.*?) "')[0].group(1) == (
            "503 DF dns_resolution_failure{name_not_found} -")
        assert who(client) == "one"
        names.change(backend=[ONE], nowhere=[TWO])
        becomes("two", client, "/nowhere")
    complaints = [x for x in served.log.lines if " error " in x or " warning " in x]
    assert [x.split(" warning ")[1] for x in complaints] == [
        f"dns: nowhere.{DOMAIN}: Domain name not found; it has no address yet"], complaints
    assert f"dns: nowhere.{DOMAIN}: resolved again" in served.log.text()
    checked = run_command("check", "-f", served.folder)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout


def test_a_changed_address_is_followed_without_a_failed_request(gateway, name_server, port):
    names = name_server(backend=[ONE])
    served = gateway(behind_virtual_service(port), "--dns-server", names.address)
    stop, failures, seen = threading.Event(), [], [[], []]

    def load(answers):
        try:
            with served.client() as client:
                while not stop.is_set():
                    answers.append(who(client))
                    assert answers[-1] in ("one", "two"), answers[-1]
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)

    with served.client() as client:
        becomes("one", client)
        threads = [threading.Thread(target=load, args=[answers]) for answers in seen]
        for thread in threads:
            thread.start()
        try:
            for addresses, expected in (([TWO], "two"), ([ONE], "one"), ([TWO], "two")):
                names.change(backend=addresses)
                becomes(expected, client)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures, failures[0]
        for answers in seen:
            assert answers[0] == "one" and "two" in answers
        assert {who(client) for _ in range(20)} == {"two"}


def test_a_change_of_one_name_leaves_files_and_other_names_alone(gateway, name_server, port):
    names = name_server(backend=[ONE], other=[ONE])
    served = gateway(documents(
        to("outside", port), to("other", port, f"other.{DOMAIN}"),
        ingress("test", (HOST, path("/other", "other"), path("/", "outside")))),
        "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        becomes("one", client, "/other")
        names.change(backend=[TWO], other=[ONE])
        becomes("two", client)
        assert who(client, "/other") == "one"
        assert f"backend.{DOMAIN}::retiring::{ONE}\n" in served.admin("/names")
        wait_until(lambda: "retiring" not in served.admin("/names"), "the old address is gone")
        generation = served.metric(GENERATION)
        names.wait_for_queries("backend", count=3)
        assert served.metric(GENERATION) == generation  # the same answer is no change


def test_many_names_are_compiled_together_as_they_are_answered(gateway, name_server, port):
    many = 500
    names = name_server(**{f"n{i}": [ONE] for i in range(many)})
    served = gateway(documents(
        *[to(f"s{i}", port, f"n{i}.{DOMAIN}") for i in range(many)],
        ingress("test", (HOST, *[path(f"/{i}", f"s{i}") for i in range(many)]))),
        "--dns-server", names.address)
    wait_until(lambda: served.metric("sluicegate_dns_names_unresolved") == 0, "all are answered")
    assert served.metric("sluicegate_dns_names") == many
    with served.client() as client:
        becomes("one", client, f"/{many - 1}")
        becomes("one", client, "/0")
    assert served.metric(GENERATION) < many / 10
    shown = served.admin("/names").splitlines()
    assert len([x for x in shown if x.endswith(f"::address::{ONE}")]) == many


def test_old_addresses_serve_while_the_name_server_is_gone(gateway, name_server, port):
    names = name_server(backend=[ONE])
    served = gateway(behind_virtual_service(port), "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        names.stop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.settimeout(30)
            silent.bind(("127.0.0.1", names.port))
            silent.recv(512)  # the TTL is over, and it asks in vain
            assert {who(client) for _ in range(20)} == {"one"}
        assert {who(client) for _ in range(20)} == {"one"}
        names.write({"backend": [TWO]})
        names.start()
        becomes("two", client)


def test_old_addresses_serve_when_the_name_is_taken_away(gateway, name_server, port):
    names = name_server(backend=[ONE])
    served = gateway(behind_virtual_service(port), "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        names.change()
        names.wait_for_queries("backend")
        assert {who(client) for _ in range(20)} == {"one"}


def test_a_name_nobody_uses_any_more_is_not_asked_for(gateway, name_server, port):
    names = name_server(backend=[ONE], other=[TWO])
    served = gateway(behind_virtual_service(port), "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        served.change(lambda: served.write(
            "all.yaml", behind_virtual_service(port, f"other.{DOMAIN}")))
        becomes("two", client)
        mark = names.log.mark()
        names.wait_for_queries("other", count=3)
        asked = [x for x in names.log.lines[mark:] if "query[" in x]
        assert asked and not [x for x in asked if NAME in x], asked


LOOPS = {
    "itself": [("self", "self.default.svc.cluster.local")],
    "itself_with_a_dot": [("self", "self.default.svc.cluster.local.")],
    "itself_in_short": [("self", "self.default.svc")],
    "another_that_leads_back": [("self", "other.default.svc.cluster.local"),
                                ("other", "self.default.svc.cluster.local")],
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_is_refused_and_harms_no_other_route(gateway, name_server, port, loop):
    names = name_server(backend=[ONE])
    text = documents(
        to("outside", port), *[to(name, port, target) for name, target in LOOPS[loop]],
        ingress("test", (HOST, path("/loop", "self"), path("/", "outside"))))
    served = gateway(text, "--dns-server", names.address)
    served.expected_errors = [r"error\[external-loop\] Service default/self spec\.externalName"]
    with served.client() as client:
        becomes("one", client)
        assert client.request("GET", "/loop", host=HOST).status == 503
    assert not [x for x in names.log.lines if "query" in x and "cluster.local" in x]
    checked = run_command("check", "-f", served.folder)
    assert checked.returncode == 1, checked.stdout
    assert [x for x in checked.stdout.splitlines()
            if "error[external-loop] Service default/self spec.externalName: " in x], checked.stdout


def test_a_malformed_server_is_refused_with_a_word(tmp_path):
    (tmp_path / "all.yaml").write_text(documents(ingress("test", default="nothing")))
    refused = run_command("run", "-f", tmp_path, "--dns-server", "no:address", "--admin", "none")
    assert refused.returncode == 2
    assert "--dns-server" in refused.stderr and "ADDR:PORT" in refused.stderr, refused.stderr
