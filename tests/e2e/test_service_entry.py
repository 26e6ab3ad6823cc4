# SPDX-License-Identifier: Apache-2.0
"""ServiceEntries behind a gateway: where their endpoints come from, who may see them, and how their
TLS is checked. Names are resolved by a real DNS server.

    client -> gateway -> "one" on 127.0.0.2:PORT, "two" on 127.0.0.3:PORT
                 |
              dnsmasq
"""

import json

import pytest
from harness.certificates import tls_secret
from harness.egress import (HOST, ONE, TWO, becomes, by_dns, shares, static, tls_rule, to_port, way_out,
                            who)
from harness.http2 import echo2
from harness.manifests import (documents, gateway as istio_gateway, istio, service_entry,
                               virtual_service)
from harness.name_server import DOMAIN
from harness.patience import wait_until
from harness.upstream import echo


# -- STATIC --

def test_static_endpoints_share_the_requests(gateway, both):
    served = gateway(way_out(static(both(), ONE, TWO)))
    with served.client() as client:
        seen = shares(client)
    assert set(seen) == {"one", "two"} and min(seen.values()) >= 10, seen
    assert served.access_log.wait_for(rf"outbound\|80\|\|{HOST} ")


def test_weights_of_endpoints(gateway, both):
    served = gateway(way_out(static(both(), {"address": ONE, "weight": 9}, {"address": TWO, "weight": 1})))
    with served.client() as client:
        seen = shares(client, 200)
    assert set(seen) == {"one", "two"} and 150 <= seen["one"] <= 195, seen


def test_an_endpoints_own_port_wins(gateway, upstream, both):
    other = upstream(host=ONE, name="other")
    served = gateway(way_out(static(both(), {"address": ONE, "ports": {"http": other.port}}, TWO)))
    with served.client() as client:
        assert set(shares(client)) == {"other", "two"}


def test_a_port_without_target_is_the_one_that_is_connected_to(gateway, both):
    port = both()
    served = gateway(way_out(service_entry("entry", HOST, ports=((port, "http", "HTTP"),),
                                           resolution="STATIC", endpoints=[{"address": TWO}]),
                             port=port))
    with served.client() as client:
        assert who(client) == "two"


@pytest.mark.parametrize("subset, expected", [("v1", "one"), ("v2", "two"), ("v3", 503)])
def test_subsets_are_of_the_endpoints_labels(gateway, both, subset, expected):
    rule = istio("DestinationRule", "rule", host=HOST, subsets=[
        {"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}},
        {"name": "v3", "labels": {"version": "v3"}}])
    served = gateway(way_out(
        static(both(), {"address": ONE, "labels": {"version": "v1"}},
               {"address": TWO, "labels": {"version": "v2"}}), rule, subset=subset))
    with served.client() as client:
        assert set(shares(client, 10)) == {expected}


def test_two_entries_of_one_host_are_joined(gateway, both):
    port = both()
    served = gateway(way_out(static(port, ONE, name="a"), static(port, TWO, name="b")))
    with served.client() as client:
        assert set(shares(client)) == {"one", "two"}


def test_every_host_of_an_entry_is_served(gateway, both):
    served = gateway(documents(
        way_out(static(both(), ONE, hosts=(HOST, "second.outside.example")),
                host="second.outside.example")))
    with served.client() as client:
        assert who(client, host="second.outside.example") == "one"


# -- WorkloadEntry --

def workload(name, address, namespace="default", labels=None, **spec):
    labels = labels or {"app": "outside"}
    one = istio("WorkloadEntry", name, namespace, address=address, labels=labels, **spec)
    one["metadata"]["labels"] = labels
    return one


def selecting(port, **spec):
    return service_entry("entry", HOST, ports=to_port(port), resolution="STATIC",
                         workloadSelector={"labels": {"app": "outside"}}, **spec)


def test_workload_entries_come_and_go(gateway, both):
    port = both()
    text = way_out(selecting(port), workload("other", "127.0.0.9", labels={"app": "other"}),
                   workload("elsewhere", "127.0.0.9", namespace="elsewhere"))
    served = gateway({"all.yaml": text, "one.yaml": documents(workload("one", ONE)),
                      "two.yaml": documents(workload("two", TWO))})
    with served.client() as client:
        assert set(shares(client)) == {"one", "two"}
        served.change((served.folder / "two.yaml").unlink)
        assert set(shares(client, 20)) == {"one"}
        served.change((served.folder / "one.yaml").unlink)
        assert who(client) == 503
        served.change(lambda: served.write("two.yaml", documents(workload("two", TWO))))
        assert set(shares(client, 20)) == {"two"}


def test_a_workload_entry_has_ports_and_a_weight_of_its_own(gateway, upstream, both):
    other = upstream(host=ONE, name="other")
    served = gateway(way_out(selecting(both()),
                             workload("one", ONE, ports={"http": other.port}, weight=9),
                             workload("two", TWO, weight=1)))
    with served.client() as client:
        seen = shares(client, 200)
    assert set(seen) == {"other", "two"} and 150 <= seen["other"] <= 195, seen


# -- DNS --

def test_dns_resolves_the_host_itself_to_all_its_addresses(gateway, name_server, both):
    names = name_server({HOST: [ONE, TWO]})
    served = gateway(way_out(by_dns(both())),
                     "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        seen = shares(client)
        assert set(seen) == {"one", "two"} and min(seen.values()) >= 10, seen
        names.change({HOST: [TWO]})
        wait_until(lambda: set(shares(client, 10)) == {"two"}, "the other address is gone")


def test_dns_resolves_the_endpoints_where_there_are_some(gateway, name_server, both):
    names = name_server(first=[ONE], second=[TWO], api=["127.0.0.9"])
    served = gateway(way_out(service_entry(
        "entry", HOST, ports=to_port(both()),
        endpoints=[{"address": f"first.{DOMAIN}"}, {"address": f"second.{DOMAIN}"}])),
        "--dns-server", names.address)
    with served.client() as client:
        becomes("two", client)
        becomes("one", client)
        assert set(shares(client)) == {"one", "two"}
        assert not [x for x in names.log.lines if f"query[A] {HOST} " in x]


def test_dns_round_robin_uses_one_address(gateway, name_server, both):
    names = name_server({HOST: [ONE, TWO]})
    served = gateway(way_out(service_entry("entry", HOST, ports=to_port(both()),
                                           resolution="DNS_ROUND_ROBIN")),
                     "--dns-server", names.address)
    with served.client() as client:
        wait_until(lambda: who(client) != 503, "the name is known")
        assert len(shares(client, 20)) == 1
        names.change({HOST: [TWO]})
        wait_until(lambda: set(shares(client, 10)) == {"two"}, "the address that is left")


def test_a_name_that_is_not_there_yet(gateway, name_server, both):
    names = name_server()
    served = gateway(way_out(by_dns(both())),
                     "--dns-server", names.address)
    with served.client() as client:
        assert who(client) == 503
        names.change({HOST: [ONE]})
        becomes("one", client)


# -- who may see it --

@pytest.mark.parametrize("namespace, export, expected", [
    ("default", ["*"], "one"), ("default", ["."], 503), ("default", ["~"], 503),
    ("default", ["istio-system"], "one"), ("default", ["other", "istio-system"], "one"),
    ("istio-system", ["."], "one"), ("default", None, "one")])
def test_export_to(gateway, both, namespace, export, expected):
    entry = static(both(), ONE, namespace=namespace, **({"exportTo": export} if export else {}))
    served = gateway(way_out(entry), "--namespace", "istio-system")
    served.expected_errors = ["dangling-service"] if expected == 503 else []
    with served.client() as client:
        assert who(client) == expected
    if expected == 503:
        assert served.access_log.wait_for('"GET / HTTP/1.1" 503 NC cluster_not_found')


# -- TLS --

@pytest.fixture
def behind_tls(gateway, authority, upstream, tmp_path):
    """A gateway that originates TLS to an upstream: start(rule's tls, ...) -> (gateway, upstream)."""
    (tmp_path / "ca.pem").write_text(authority.pem)

    def start(*objects, names=(HOST,), serve=echo, alpn=(), asks_client=False, spec=None, host=HOST,
              **tls):
        backend = upstream(serve, host=ONE, name="one", tls=authority.server_context(
            authority.issue(*names), *alpn, asks_client=asks_client))
        tls = {"mode": "SIMPLE", "caCertificates": str(tmp_path / "ca.pem"), **tls}
        entry = service_entry("entry", host, ports=to_port(backend.port), resolution="STATIC",
                              endpoints=[{"address": ONE}], **(spec or {}))
        rule = tls_rule(host, **{k: v for k, v in tls.items() if v is not None})
        return gateway(way_out(entry, rule, *objects, host=host)), backend

    return start


def refusal(served, client, host=HOST):
    """The log's word about a request that was not let through for its upstream's certificate."""
    mark = served.access_log.mark()
    assert who(client, host=host) == 503
    return served.access_log.wait_for(r'"GET / HTTP/1.1" 503 UF .*', start=mark)[0].group(0)


def test_the_certificate_is_checked_against_the_name(behind_tls):
    served, backend = behind_tls()
    with served.client() as client:
        assert who(client) == "one"
    served, backend = behind_tls(names=("wrong.example",))
    with served.client() as client:
        assert "certificate" in refusal(served, client).lower()
    assert backend.requests.empty()


def test_the_systems_authorities_are_the_default(behind_tls):
    """The test's own authority is none of the system's."""
    served, _ = behind_tls(caCertificates=None)
    with served.client() as client:
        assert "certificate" in refusal(served, client).lower()


def test_no_check_where_it_is_not_wanted(behind_tls):
    served, _ = behind_tls(names=("wrong.example",), insecureSkipVerify=True, caCertificates=None)
    with served.client() as client:
        assert who(client) == "one"


@pytest.mark.parametrize("given, expected", [(["spiffe://mesh/outside", "alt.example"], "one"),
                                             (["none.example"], 503)])
@pytest.mark.parametrize("place", ["rule", "entry"])
def test_subject_alt_names(behind_tls, place, given, expected):
    where = {"subjectAltNames": given} if place == "rule" else {"spec": {"subjectAltNames": given}}
    served, _ = behind_tls(names=("spiffe://mesh/outside", "b.example"), **where)
    with served.client() as client:
        assert who(client) == expected


def test_sni_is_the_rules_or_the_host(behind_tls, authority):
    for tls, expected in (({}, HOST), ({"sni": "named.example"}, "named.example")):
        asked = []

        def note(conn):
            asked.append(conn.sock.context.asked[-1])
            echo(conn)

        served, backend = behind_tls(names=(HOST, "named.example"), serve=note, **tls)
        backend.tls.asked = []
        backend.tls.sni_callback = lambda sock, name, context: context.asked.append(name)
        with served.client() as client:
            assert who(client) == "one"
        assert asked == [expected]


def test_a_client_certificate_from_a_secret(behind_tls, authority):
    pair = authority.issue_client("client.example")
    served, backend = behind_tls(
        tls_secret("outside-client", pair, ca_crt=authority.pem), mode="MUTUAL", asks_client=True,
        credentialName="outside-client", caCertificates=None)
    with served.client() as client:
        assert who(client) == "one"


def test_without_a_client_certificate_that_is_asked_for(behind_tls):
    served, backend = behind_tls(asks_client=True)
    with served.client() as client:
        assert who(client) == 503
    assert backend.requests.empty()


def either(conn):
    return echo2(conn) if conn.alpn == "h2" else echo(conn)


@pytest.mark.parametrize("alpn, version", [(("h2", "http/1.1"), "HTTP/2"), (("http/1.1",), "HTTP/1.1")])
def test_the_protocol_is_agreed_upon(gateway, authority, upstream, tmp_path, alpn, version):
    """A port HTTPS to which we bring the TLS: h2 where the upstream can."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    backend = upstream(either, host=ONE, tls=authority.server_context(authority.issue(HOST), *alpn))
    entry = service_entry("entry", HOST, ports=to_port(backend.port, "https", "HTTPS", 443),
                          resolution="STATIC", endpoints=[{"address": ONE}])
    rule = istio("DestinationRule", "rule", host=HOST, trafficPolicy={
        "connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}} if "h2" in alpn else {},
        "tls": {"mode": "SIMPLE", "caCertificates": str(tmp_path / "ca.pem")}})
    if "h2" not in alpn:
        del rule["spec"]["trafficPolicy"]["connectionPool"]
    served = gateway(way_out(entry, rule, port=443))
    with served.client() as client:
        for _ in range(3):
            assert json.loads(client.request("GET", "/", host=HOST).body)["version"] == version
    assert backend.accepted == 1


def test_port_level_settings(gateway, authority, upstream, tmp_path):
    """TLS on one port alone."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    plain = upstream(host=ONE, name="plain")
    secured = upstream(host=ONE, name="secured",
                       tls=authority.server_context(authority.issue(HOST)))
    entry = service_entry("entry", HOST, resolution="STATIC", endpoints=[{"address": ONE}], ports=(
        (80, "http", "HTTP", plain.port), (443, "https", "HTTPS", secured.port)))
    rule = istio("DestinationRule", "rule", host=HOST, trafficPolicy={"portLevelSettings": [
        {"port": {"number": 443},
         "tls": {"mode": "SIMPLE", "caCertificates": str(tmp_path / "ca.pem")}}]})
    routes = [{"match": [{"uri": {"prefix": path}}],
               "route": [{"destination": {"host": HOST, "port": {"number": port}}}]}
              for path, port in (("/tls", 443), ("/", 80))]
    served = gateway(documents(istio_gateway("gateway", HOST),
                               virtual_service("way-out", HOST, *routes), entry, rule))
    with served.client() as client:
        assert (who(client), who(client, "/tls")) == ("plain", "secured")


# -- what is wrong harms only itself --

def test_broken_entries_leave_the_others_alone(gateway, both):
    port = both()
    served = gateway(documents(
        way_out(static(port, ONE)),
        service_entry("no-ports", "a.example", ports=()),
        service_entry("none-with-endpoints", "b.example", resolution="NONE",
                      endpoints=[{"address": ONE}]),
        service_entry("wildcard", "*.c.example", resolution="DNS"),
        static(port, {"address": "not an address"}, name="address", hosts=("d.example",))))
    served.expected_errors = [r" (no-ports|none-with-endpoints|wildcard|address)\b",
                              r"default/(no-ports|none-with-endpoints|wildcard|address)"]
    text = served.log.text()
    for name in ("no-ports", "none-with-endpoints", "wildcard", "address"):
        assert f"ServiceEntry default/{name}" in text, text
    with served.client() as client:
        assert who(client) == "one"


def test_two_thousand_entries(gateway, both):
    port = both()
    entries = [static(port, ONE if number % 2 else TWO, name=f"entry-{number}",
                      hosts=(f"host-{number}.outside.example",)) for number in range(2000)]
    routes = [{"match": [{"uri": {"exact": f"/{number}"}}],
               "route": [{"destination": {"host": f"host-{number}.outside.example"}}]}
              for number in (0, 1, 1998, 1999)]
    text = documents(istio_gateway("gateway", HOST), virtual_service("way-out", HOST, *routes))
    served = gateway({"routes.yaml": text, "entries.yaml": documents(*entries)})
    with served.client() as client:
        for number in (0, 1, 1998, 1999):
            assert who(client, f"/{number}") == ("one" if number % 2 else "two")
        entries[1999] = static(port, TWO, name="entry-1999", hosts=("host-1999.outside.example",))
        served.change(lambda: served.write("entries.yaml", documents(*entries)))
        assert who(client, "/1999") == "two"
