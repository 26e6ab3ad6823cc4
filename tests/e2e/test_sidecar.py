# SPDX-License-Identifier: Apache-2.0
"""A sidecar and what it captures: how clients of a namespace name what they want, what is declared
nowhere, and what comes in.

    app 10.244.1.5: clients, servers, sidecar  --  cluster 10.244.2.x: Pods  --  outside: nginx, DNS
"""

import json
import re
import signal
import threading

import pytest
from harness.client import Client
from harness.manifests import (documents, endpoint_slice, istio, metadata, service_entry,
                               virtual_service, virtual_service_of)
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import echo

REGISTRY_ONLY = ("--outbound-policy", "REGISTRY_ONLY")
UNKNOWN = "undeclared.cnn.com"
POD, SECOND_POD = "10.244.2.21", "10.244.2.22"
VIP, SECOND_VIP = "10.96.0.10", "10.96.0.11"


def pod_service(name, address, port, vip, namespace="default", port_name="http", number=80, **spec):
    """A Service with a ClusterIP and one Pod."""
    return documents(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, namespace),
         "spec": {"clusterIP": vip, **spec,
                  "ports": [{"name": port_name, "port": number, "targetPort": port}]}},
        endpoint_slice(name, (address, port), namespace=namespace, port_name=port_name)).rstrip()


class Captured:
    """Clients and servers of a mesh's namespaces."""

    def __init__(self, mesh, upstream):
        self.mesh, self.network, self.start_upstream = mesh, mesh.network, upstream
        self.app, self.outside = mesh.network.app, mesh.network.outside
        self.sidecar = None

    def pod(self, address=POD, serve=echo, name=None, **options):
        """A server in the cluster, on a port of its own."""
        if address not in (self.network.gateway.address, self.network.gateway.address6):
            self.network.gateway.add_address(address)
        return self.start_upstream(serve, listener=self.network.gateway.listen(host=address),
                                   name=name or address, **options)

    def server(self, netns, port=0, serve=echo, **options):
        return self.start_upstream(serve, listener=netns.listen(port), **options)

    def run(self, text, *args, **options):
        self.mesh.apply(all=text)
        self.sidecar = self.mesh.sidecar(*args, **options)
        return self.sidecar

    def client(self, host, port=80, netns=None, **options):
        with netns or self.app:
            return Client(port, host, **options)

    def ask(self, host, address=VIP, port=80, target="/", **options):
        with self.client(address, port) as client:
            return client.request("GET", target, host=host, **options)

    def who(self, host, address=VIP, port=80, target="/"):
        answer = self.ask(host, address, port, target)
        return json.loads(answer.body)["name"] if answer.status == 200 else answer.status

    def line(self, pattern, mark=0):
        return self.sidecar.access_log.wait_for(f".*{pattern}.*", start=mark)[0].group(0)


@pytest.fixture
def captured(mesh, upstream):
    return Captured(mesh, upstream)


# -- names --

def two_webs(c):
    """Services "web" in two namespaces."""
    one, two = c.pod(name="default"), c.pod(SECOND_POD, name="shop")
    return documents(pod_service("web", one.host, one.port, VIP),
                     pod_service("web", two.host, two.port, SECOND_VIP, "shop"))


@pytest.mark.parametrize("namespace, names", [
    ("default", {"web": "default", "web.default": "default", "web.default.svc": "default",
                 "web.default.svc.cluster.local": "default", "web.shop": "shop",
                 "WEB.shop.svc": "shop", "web:80": "default", VIP: "default", SECOND_VIP: "shop"}),
    ("shop", {"web": "shop", "web.shop": "shop", "web.default": "default",
              "web.default.svc.cluster.local": "default"}),
    ("other", {"web": 502, "web.shop": "shop", "web.default": "default"})])
def test_a_service_is_called_as_the_namespace_calls_it(captured, namespace, names):
    captured.run(two_webs(captured), *REGISTRY_ONLY, namespace=namespace)
    # For HTTP the Host decides, wherever the connection goes.
    found = {name: captured.who(name) for name in names}
    assert found == names
    captured.line(r"outbound\|80\|\|web\.shop\.svc\.cluster\.local")


def test_a_virtual_service_of_the_mesh(captured):
    one, two = captured.pod(name="one"), captured.pod(SECOND_POD, name="two")
    captured.run(documents(
        pod_service("web", one.host, one.port, VIP), pod_service("next", two.host, two.port, SECOND_VIP),
        virtual_service("web", "web", *[
            {"match": [{"uri": {"prefix": "/next"}}], "route": [{"destination": {"host": "next"}}],
             "name": "to-next"},
            {"match": [{"uri": {"prefix": "/one"}}], "route": [{"destination": {"host": "web"}}]}],
            gateways=("mesh",))))
    assert captured.who("web", target="/one") == "one"
    assert captured.who("web.default", target="/next") == "two"
    assert captured.who("web", target="/else") == 404
    captured.line(r'"GET /else HTTP/1.1" 404 NR route_not_found')
    assert captured.line('"GET /next ').endswith(" to-next")
    assert captured.who("next", SECOND_VIP, target="/else") == "two"


# -- addresses --

def upper(conn):
    while conn.fill():
        data, conn.buffer = conn.buffer, b""
        conn.send(data.upper())


def banner(conn):
    conn.send(b"220 ready\r\n")
    upper(conn)


def says(client, data=b"hello\n"):
    client.send(data)
    return client.read_until(b"\n")


def database(address, backend):
    return service_entry("db", "db.example", ports=((5432, "tcp", "TCP", backend.port),),
                         resolution="STATIC", addresses=[address],
                         endpoints=[{"address": backend.host}])


@pytest.mark.parametrize("given, dialled", [("240.0.0.5", "240.0.0.5"), ("240.1.0.0/16", "240.1.2.3"),
                                            ("2001:db8:1::5", "2001:db8:1::5")])
def test_tcp_is_known_by_its_address(captured, given, dialled):
    backend = captured.pod(serve=banner)
    captured.run(documents(database(given, backend)), *REGISTRY_ONLY)
    with captured.client(dialled, 5432) as client:
        assert client.read_until(b"\n") == b"220 ready\r"
        assert says(client) == b"HELLO"
    line = captured.line(r"outbound\|5432\|\|db\.example")
    assert f'"{backend.host}:{backend.port}"' in line, line
    assert (f" [{dialled}]:5432 " if ":" in dialled else f" {dialled}:5432 ") in line, line
    # Another address of that port is none that is declared.
    with pytest.raises((OSError, EOFError)), captured.client("198.51.100.1", 5432) as client:
        says(client)


def test_tcp_of_a_service_by_its_cluster_ip(captured):
    backend = captured.pod(serve=upper)
    captured.run(pod_service("db", backend.host, backend.port, VIP, port_name="tcp-db", number=5432),
                 *REGISTRY_ONLY)
    with captured.client(VIP, 5432) as client:
        assert says(client) == b"HELLO"
    captured.line(r"outbound\|5432\|\|db\.default\.svc\.cluster\.local")


def test_resolution_none_goes_where_the_client_dialled(captured):
    backend = captured.server(captured.outside, 7000, upper)
    captured.run(documents(service_entry(
        "any", "any.example", ports=((7000, "tcp", "TCP"),), resolution="NONE",
        addresses=["203.0.113.0/24"])), *REGISTRY_ONLY)
    with captured.client(captured.outside.address, 7000) as client:
        assert says(client) == b"HELLO"
    line = captured.line(r"outbound\|7000\|\|any\.example")
    assert f'"{captured.outside.address}:7000"' in line, line
    assert backend.accepted == 1


def test_resolution_none_with_addresses_is_no_way_to_others(captured):
    """Host is the application's word, and so is SNI: neither opens what is declared nowhere."""
    backend = captured.server(captured.outside, 7000, echo)
    objects = [service_entry("some", "some.example", ports=((7000, "http", "HTTP"),),
                             resolution="NONE", addresses=["203.0.113.77"])]
    url = f"http://{captured.outside.address}:7000/"
    captured.run(documents(*objects), *REGISTRY_ONLY)
    assert captured.mesh.curl(url, "-HHost: some.example").status == 503
    captured.line(r'503 UH .*outbound\|7000\|\|some\.example')
    assert backend.accepted == 0


# -- TLS by name --

def test_sni_wildcards(captured, authority):
    captured.mesh.web("*.cnn.com", "cnn.com")
    captured.mesh.names.change({x: [captured.outside.address] for x in
                                ("a.cnn.com", "a.b.cnn.com", "cnn.com")})
    captured.run(documents(service_entry("any", "*.cnn.com", ports=((443, "tls", "TLS"),),
                                         resolution="NONE")), *REGISTRY_ONLY)
    for name in ("a.cnn.com", "a.b.cnn.com"):
        done = captured.mesh.curl(f"https://{name}/", "-k", check=False)
        assert done.returncode == 0 and name in done.stdout, done
        captured.line(rf"outbound\|443\|\|\*\.cnn\.com .* {re.escape(name)}")
    assert captured.mesh.curl("https://cnn.com/", check=False).returncode in (35, 56)
    captured.line("BlackHoleCluster .* cnn.com")


def test_tls_rules_of_a_virtual_service(captured, authority):
    """A wildcard of a narrower domain is led elsewhere."""
    elsewhere = captured.pod(tls=authority.server_context(authority.issue("x.special.cnn.com")))
    captured.mesh.web("a.cnn.com")
    captured.run(documents(
        pod_service("elsewhere", elsewhere.host, elsewhere.port, VIP, port_name="tls", number=443),
        service_entry("any", "*.cnn.com", ports=((443, "tls", "TLS"),), resolution="NONE"),
        virtual_service_of("special", "*.special.cnn.com", gateways=("mesh",), tls=[
            {"match": [{"port": 443, "sniHosts": ["*.special.cnn.com"]}],
             "route": [{"destination": {"host": "elsewhere", "port": {"number": 443}}}]}])),
        *REGISTRY_ONLY)
    address = captured.outside.address
    with captured.client(address, 443, tls=authority.client_context(), sni="x.special.cnn.com") as one:
        assert one.request("GET", "/").status == 200
    with captured.client(address, 443, tls=authority.client_context(), sni="a.cnn.com") as one:
        assert "https" in one.request("GET", "/", host="a.cnn.com").text
    captured.line(r"outbound\|443\|\|elsewhere\.default\.svc\.cluster\.local .* x\.special\.cnn\.com")


# -- what is declared nowhere --

def failures_of(c, cluster):
    return {k: v for k, v in c.sidecar.metrics().items() if f'"{cluster}"' in k and v > 0}


@pytest.mark.parametrize("policy, status, cluster, route", [
    ("REGISTRY_ONLY", 502, "BlackHoleCluster", "block_all"),
    ("ALLOW_ANY", 200, "PassthroughCluster", "allow_any")])
def test_undeclared_http(captured, policy, status, cluster, route):
    captured.mesh.web()
    captured.run("", "--outbound-policy", policy)
    answer = captured.ask(UNKNOWN, captured.outside.address)
    assert answer.status == status
    line = captured.line(f'"GET / HTTP/1.1" {status} ')
    assert f'"{UNKNOWN}"' in line and f" {cluster} " in line and line.endswith(f" {route}"), line
    assert f" {captured.outside.address}:80 " in line
    assert failures_of(captured, cluster), captured.sidecar.admin("/metrics")


@pytest.mark.parametrize("policy, cluster", [("REGISTRY_ONLY", "BlackHoleCluster"),
                                             ("ALLOW_ANY", "PassthroughCluster")])
def test_undeclared_tls(captured, authority, policy, cluster):
    captured.mesh.web(UNKNOWN)
    captured.mesh.names.change({UNKNOWN: [captured.outside.address]})
    captured.run("", "--outbound-policy", policy)
    done = captured.mesh.curl(f"https://{UNKNOWN}/", check=False)
    if policy == "ALLOW_ANY":
        assert done.returncode == 0 and UNKNOWN in done.stdout, done
    else:
        assert done.returncode in (35, 56), done
    line = captured.line(f" {cluster} ")
    assert UNKNOWN in line and f" {captured.outside.address}:443 " in line, line
    assert failures_of(captured, cluster) or policy == "ALLOW_ANY"


@pytest.mark.parametrize("serve", [upper, banner])
@pytest.mark.parametrize("policy, cluster", [("REGISTRY_ONLY", "BlackHoleCluster"),
                                             ("ALLOW_ANY", "PassthroughCluster")])
def test_undeclared_tcp(captured, policy, cluster, serve):
    """Also of a protocol where the server begins."""
    backend = captured.server(captured.outside, 2525, serve)
    captured.run("", "--outbound-policy", policy)
    with captured.client(captured.outside.address, 2525) as client:
        if policy == "ALLOW_ANY":
            if serve is banner:
                assert client.read_until(b"\n") == b"220 ready\r"
            assert says(client) == b"HELLO"
        elif serve is banner:
            assert client.at_eof()
        else:
            client.send(b"hello\n")
            assert client.at_eof()
    line = captured.line(f" {cluster} ")
    assert f" {captured.outside.address}:2525 " in line, line
    assert backend.accepted == (policy == "ALLOW_ANY")


def test_what_passes_leaves_a_refused_connection_refused(captured):
    """Nobody listens where the client dials: it should not be told of success."""
    captured.run("", "--outbound-policy", "ALLOW_ANY")
    answer = captured.ask(UNKNOWN, captured.outside.address, 81)
    assert answer.status == 503
    captured.line('"GET / HTTP/1.1" 503 UF.* PassthroughCluster ')


# -- ServiceEntries --

def test_dynamic_dns(captured):
    captured.mesh.web()
    captured.mesh.names.change({"a.cnn.com": [captured.outside.address]})
    captured.run(documents(service_entry("any", "*.cnn.com", resolution="DYNAMIC_DNS")), *REGISTRY_ONLY)
    # The address dialled may be anything.
    assert captured.ask("a.cnn.com", "240.0.0.1").text.startswith("http a.cnn.com")
    line = captured.line(r'"GET / HTTP/1.1" 200 ')
    assert f'"{captured.outside.address}:80" outbound|80||*.cnn.com ' in line, line
    assert captured.ask("nothing.cnn.com", "240.0.0.1").status == 503
    assert captured.ask("example.org", "240.0.0.1").status == 502


def test_dynamic_dns_by_sni(captured, authority):
    captured.mesh.web("a.cnn.com")
    captured.mesh.names.change({"a.cnn.com": [captured.outside.address]})
    captured.run(documents(service_entry("any", "*.cnn.com", ports=((443, "tls", "TLS"),),
                                         resolution="DYNAMIC_DNS")), *REGISTRY_ONLY)
    with captured.client("240.0.0.1", 443, tls=authority.client_context(), sni="a.cnn.com") as one:
        assert one.request("GET", "/", host="a.cnn.com").status == 200
    line = captured.line(r"outbound\|443\|\|\*\.cnn\.com")
    assert f'"{captured.outside.address}:443"' in line, line


def test_the_sidecar_originates_tls(captured):
    """Istio's task "Egress TLS Origination": port 80 of the application is 443 outside."""
    nginx = captured.mesh.web("edition.cnn.com")
    captured.mesh.names.change({"edition.cnn.com": [captured.outside.address]})
    captured.run(documents(
        service_entry("cnn", "edition.cnn.com", ports=(
            (80, "http-port", "HTTP", 443), (443, "https-port", "HTTPS"))),
        istio("DestinationRule", "cnn", host="edition.cnn.com", trafficPolicy={"portLevelSettings": [
            {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}]})), *REGISTRY_ONLY)
    wait_until(lambda: captured.mesh.curl("http://edition.cnn.com/").status == 200, "names are known")
    answer = captured.mesh.curl("http://edition.cnn.com/")
    assert answer.body == "https edition.cnn.com edition.cnn.com /\n"
    # What is TLS already stays what it is.
    assert "https" in captured.mesh.curl("https://edition.cnn.com/").body
    assert nginx.seen("/", count=2)


@pytest.mark.parametrize("export, status", [(["*"], 200), (["default"], 200), (["."], 502), (["~"], 502)])
def test_export_to(captured, export, status):
    backend = captured.pod()
    captured.run(documents(service_entry(
        "entry", "api.example", ports=((80, "http", "HTTP", backend.port),), resolution="STATIC",
        endpoints=[{"address": backend.host}], namespace="shop", exportTo=export)), *REGISTRY_ONLY)
    assert captured.ask("api.example", "240.0.0.1").status == status


# -- Sidecar --

def test_a_sidecar_limits_what_is_seen(captured):
    text = two_webs(captured)
    limit = istio("Sidecar", "default", egress=[{"hosts": ["./*"]}])
    captured.run(documents(text, limit), *REGISTRY_ONLY)
    assert captured.who("web") == "default"
    assert captured.who("web.shop", SECOND_VIP) == 502
    captured.line("BlackHoleCluster")
    limit["spec"]["egress"][0]["hosts"] = ["./*", "shop/*"]
    captured.mesh.apply(all=documents(text, limit))
    assert captured.who("web.shop", SECOND_VIP) == "shop"
    captured.mesh.apply(all=text)
    assert captured.who("web.shop", SECOND_VIP) == "shop"


def test_a_sidecars_policy_wins(captured):
    captured.mesh.web()
    captured.run(documents(istio("Sidecar", "default", egress=[{"hosts": ["./*"]}],
                                 outboundTrafficPolicy={"mode": "REGISTRY_ONLY"})),
                 "--outbound-policy", "ALLOW_ANY")
    assert captured.ask(UNKNOWN, captured.outside.address).status == 502
    captured.mesh.apply(all=documents(istio("Sidecar", "default", egress=[{"hosts": ["./*"]}])))
    assert captured.ask(UNKNOWN, captured.outside.address).status == 200


def test_a_sidecar_of_other_labels_is_not_ours(captured):
    captured.mesh.web()
    captured.run(documents(istio("Sidecar", "other", workloadSelector={"labels": {"app": "other"}},
                                 egress=[{"hosts": ["./*"]}],
                                 outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}),
                           istio("Sidecar", "mine", workloadSelector={"labels": {"app": "app"}},
                                 egress=[{"hosts": ["./*"]}],
                                 outboundTrafficPolicy={"mode": "ALLOW_ANY"})), *REGISTRY_ONLY)
    assert captured.ask(UNKNOWN, captured.outside.address).status == 200


# -- inbound --

@pytest.mark.parametrize("selector, cluster", [
    ({"app": "app"}, "inbound|8080||"), ({"app": "other"}, "InboundPassthroughCluster")])
def test_what_comes_in_is_captured(captured, selector, cluster):
    backend = captured.server(captured.app, 8080, name="application")
    captured.run(pod_service("app", captured.app.address, 8080, VIP, selector=selector))
    with captured.client(captured.app.address, 8080, netns=captured.network.gateway) as client:
        answer = client.request("GET", "/in", host="app.default")
    assert answer.status == 200 and json.loads(answer.body)["name"] == "application"
    line = captured.line('"GET /in HTTP/1.1" 200 ')
    assert f'"{captured.app.address}:8080" {cluster} ' in line, line
    assert f" {captured.app.address}:8080 {captured.network.gateway.address}:" in line, line
    assert backend.accepted == 1


def test_tcp_comes_in(captured):
    captured.server(captured.app, 9000, banner)
    captured.run("")
    with captured.client(captured.app.address, 9000, netns=captured.network.gateway) as client:
        assert client.read_until(b"\n") == b"220 ready\r"
        assert says(client) == b"HELLO"


def test_an_application_that_does_not_listen(captured):
    captured.run("")
    with captured.client(captured.app.address, 8080, netns=captured.network.gateway) as client:
        assert client.request("GET", "/", host="app").status == 503


# -- capturing --

def test_tproxy(captured):
    captured.mesh.web("edition.cnn.com")
    captured.mesh.names.change({"edition.cnn.com": [captured.outside.address]})
    captured.server(captured.app, 8080, name="application")
    captured.run(documents(service_entry("cnn", "edition.cnn.com",
                                         ports=((80, "http", "HTTP"), (443, "tls", "TLS")))),
                 *REGISTRY_ONLY, "--capture-mode", "tproxy")
    wait_until(lambda: captured.mesh.curl("http://edition.cnn.com/").status == 200, "names are known")
    line = captured.line(r'outbound\|80\|\|edition\.cnn\.com')
    assert f" {captured.outside.address}:80 {captured.app.address}:" in line, line
    assert "https" in captured.mesh.curl("https://edition.cnn.com/").body
    assert captured.ask(UNKNOWN, captured.outside.address).status == 502
    with captured.client(captured.app.address, 8080, netns=captured.network.gateway) as client:
        assert client.request("GET", "/in", host="app").status == 200
    captured.line('"GET /in HTTP/1.1" 200 ')


def test_ipv6_is_captured(captured):
    captured.mesh.web(http=("0.0.0.0:80", "[::]:80"))
    captured.run("", *REGISTRY_ONLY)
    assert captured.ask(UNKNOWN, captured.outside.address6).status == 502
    captured.line(rf"BlackHoleCluster .* \[{captured.outside.address6}\]:80 ")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_sidecar_that_ends_leaves_the_application_connected(captured, end):
    """Its rules end with it: nothing is cut off for longer than it takes to notice."""
    captured.mesh.web()
    captured.run("", *REGISTRY_ONLY)
    address = captured.outside.address
    assert captured.ask(UNKNOWN, address).status == 502
    captured.mesh.members.remove(captured.sidecar)
    captured.sidecar.signal(end)
    captured.sidecar.process.wait()

    def answers():
        try:
            return captured.ask(UNKNOWN, address).status == 200
        except OSError:
            return False
    wait_until(answers, "the application reaches outside directly")
    assert "table" not in captured.app.run("nft", "list", "ruleset").stdout
    # The next one captures again.
    captured.sidecar = captured.mesh.sidecar(*REGISTRY_ONLY)
    assert captured.ask(UNKNOWN, address).status == 502


def test_requests_in_flight_end_when_the_sidecar_does(captured):
    """SIGTERM: what is captured is served to its end, what is new goes directly."""
    release = threading.Event()

    def late(conn):
        conn.read_request()
        release.wait(DEADLINE_S)
        conn.answer(200, "late")

    backend = captured.server(captured.outside, 8000, late)
    captured.run("", "--outbound-policy", "ALLOW_ANY")
    with captured.client(captured.outside.address, 8000) as client:
        client.send_head("GET", "/", host=UNKNOWN)
        backend.next_request()
        mark = captured.sidecar.log.mark()
        captured.sidecar.signal(signal.SIGTERM)
        captured.sidecar.log.wait_for("drain", start=mark)
        with captured.client(captured.outside.address, 8000) as other:
            other.send_head("GET", "/other", host=UNKNOWN)
            wait_until(lambda: backend.requests.qsize() == 1, "the new connection gets through")
        release.set()
        assert client.read_response().text == "late"
    captured.sidecar.wait_exit()

