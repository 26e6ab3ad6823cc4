# SPDX-License-Identifier: Apache-2.0
"""The way out through an egress gateway, with the manifests of examples/egress: an application that
knows of nothing, a sidecar that captures what it dials, the gateway, and nginx outside.

    app 10.244.1.5: curl > sidecar  -->  gateway 10.244.2.15:8080, 8443  -->  outside 203.0.113.10
"""

import re
import signal
import threading

import pytest
from harness.client import Client
from harness.gateway import ROOT, run_command
from harness.manifests import destination_rule, documents, service_entry, virtual_service
from harness.patience import wait_until

EXAMPLES = ROOT / "examples/egress"
HOST = "edition.cnn.com"
URL = f"http://{HOST}/politics"
TO_GATEWAY = "outbound|%d|cnn|istio-egressgateway.istio-system.svc.cluster.local"
OUTSIDE = "outbound|%d||edition.cnn.com"


def example(folder):
    """An example's manifests, and the gateway's Service: parts of a mesh."""
    files = [EXAMPLES / "istio-egressgateway.yaml", *sorted((EXAMPLES / folder).glob("*.yaml"))]
    assert len(files) > 2
    return {path.stem.replace("-", "_"): path.read_text() for path in files}


class Walk:
    def __init__(self, mesh):
        self.mesh, self.network = mesh, mesh.network
        self.app, self.outside = mesh.network.app.address, mesh.network.outside.address
        self.gateway_address = mesh.network.gateway.address

    def start(self, folder, policy="REGISTRY_ONLY"):
        self.mesh.names.change({HOST: [self.outside], "other.cnn.com": [self.outside]})
        self.nginx = self.mesh.web(HOST)
        self.mesh.apply(**example(folder))
        self.gateway = self.mesh.gateway()
        self.sidecar = self.mesh.sidecar("--outbound-policy", policy)
        return self

    def becomes(self, status, url=URL, cluster=None):
        """Until the application gets this status, by this cluster of the sidecar; the Answer."""
        def as_expected():
            mark = self.sidecar.access_log.mark()
            answer = self.mesh.curl(url)
            line = self.sidecar.access_log.wait_for('.*"GET .*', start=mark)[0].group(0)
            return answer if answer.status == status and (not cluster or cluster in line) else None
        return wait_until(as_expected, f"{url} is answered {status} by {cluster}")


@pytest.fixture
def walk(mesh):
    return Walk(mesh).start


@pytest.mark.parametrize("folder, scheme, port, outside", [
    ("http", "http", 8080, 80), ("https", "https", 8443, 443), ("tls-origination", "http", 8080, 443)])
def test_the_gateway_alone(mesh, folder, scheme, port, outside):
    """Clients without a sidecar, who are told where the gateway is."""
    w = Walk(mesh)
    mesh.names.change({HOST: [w.outside]})
    nginx = mesh.web(HOST)
    mesh.apply(**example(folder))
    w.gateway = mesh.gateway()
    there = ["--connect-to", f"{HOST}::{w.gateway_address}:{port}"]
    url = f"{scheme}://{HOST}/politics"
    wait_until(lambda: f"{w.outside}:{outside}" in w.gateway.admin("/clusters"), "the name is known")
    answer = mesh.curl(url, *there)
    seen = nginx.seen("/politics")[0]
    assert answer.status == 200 and (seen["client"], seen["host"]) == (w.gateway_address, HOST), seen
    assert (seen["scheme"], seen["sni"]) == (("http", "") if outside == 80 else ("https", HOST)), seen
    line = line_of(w.gateway, re.escape(OUTSIDE % outside))
    assert f'"{w.outside}:{outside}"' in line and f" {w.gateway_address}:{port} {w.app}:" in line, line


def line_of(one, pattern, mark=0):
    return one.access_log.wait_for(f".*{pattern}.*", start=mark)[0].group(0)


def test_http_goes_through_the_gateway(walk):
    w = walk("http")
    w.becomes(200)
    marks = w.sidecar.access_log.mark(), w.gateway.access_log.mark(), w.nginx.mark()
    answer = w.mesh.curl(URL)
    assert (answer.status, answer.body) == (200, f"http {HOST}  /politics\n"), answer
    seen = w.nginx.seen("/politics", marks[2])[0]
    assert (seen["client"], seen["host"], seen["scheme"]) == (w.gateway_address, HOST, "http"), seen
    first = line_of(w.sidecar, '"GET /politics HTTP/1.1" 200 - via_upstream', marks[0])
    assert (f'"{HOST}" "{w.gateway_address}:8080" {TO_GATEWAY % 80} {w.app}:' in first), first
    # Our address towards the gateway, the address dialled, the client's own.
    assert re.search(rf" {w.app}:\d+ {w.outside}:80 {w.app}:\d+ - ", first), first
    second = line_of(w.gateway, '"GET /politics HTTP/', marks[1])
    assert re.search(r'"GET /politics HTTP/2(\.0)?" 200 - via_upstream', second), second
    assert f'"{HOST}" "{w.outside}:80" {OUTSIDE % 80} {w.gateway_address}:' in second, second
    assert re.search(rf" {w.gateway_address}:8080 {w.app}:\d+ - ", second), second


def test_https_goes_by_its_name_and_nobody_opens_it(walk):
    w = walk("https")
    url = f"https://{HOST}/politics"
    wait_until(lambda: w.mesh.curl(url, check=False).returncode == 0, "TLS gets through")
    marks = w.sidecar.access_log.mark(), w.gateway.access_log.mark(), w.nginx.mark()
    answer = w.mesh.curl(url)  # checks the certificate, which nginx alone has
    assert (answer.status, answer.body) == (200, f"https {HOST} {HOST} /politics\n"), answer
    assert w.nginx.seen("/politics", marks[2])[0]["client"] == w.gateway_address
    first = line_of(w.sidecar, re.escape(TO_GATEWAY % 443), marks[0])
    assert f'"{w.gateway_address}:8443"' in first and first.rstrip(" -").endswith(HOST), first
    assert re.search(rf" {w.app}:\d+ {w.outside}:443 {w.app}:\d+ ", first), first
    second = line_of(w.gateway, re.escape(OUTSIDE % 443), marks[1])
    assert f'"{w.outside}:443"' in second and f" {HOST}" in second, second
    # Another name is let through by nobody.
    refused = w.mesh.curl(f"https://other.cnn.com/", check=False)
    assert refused.returncode in (35, 56), refused
    line_of(w.sidecar, "BlackHoleCluster", marks[0])
    assert len(w.nginx.log.lines) == marks[2] + 1


def test_the_gateway_originates_tls(walk):
    w = walk("tls-origination")
    w.becomes(200)
    marks = w.sidecar.access_log.mark(), w.gateway.access_log.mark(), w.nginx.mark()
    for _ in range(5):
        answer = w.mesh.curl(URL)
        assert (answer.status, answer.body) == (200, f"https {HOST} {HOST} /politics\n"), answer
    seen = w.nginx.seen("/politics", marks[2], count=5)
    assert {x["client"] for x in seen} == {w.gateway_address}
    line_of(w.sidecar, f'200 .*"{w.gateway_address}:8080" {re.escape(TO_GATEWAY % 80)}', marks[0])
    line_of(w.gateway, f'200 .*"{w.outside}:443" {re.escape(OUTSIDE % 443)}', marks[1])
    # Five connections of five clients: one, kept open, to the outside.
    assert len({x["connection"] for x in seen}) == 1, seen


def test_a_certificate_of_another_name_is_refused_by_the_gateway(mesh, authority):
    w = Walk(mesh)
    mesh.names.change({HOST: [w.outside]})
    w.nginx = mesh.web("another.example")
    mesh.apply(**example("tls-origination"))
    w.gateway, w.sidecar = mesh.gateway(), mesh.sidecar()
    wait_until(lambda: f"{w.outside}:443" in w.gateway.admin("/clusters"), "the name is known")
    assert mesh.curl(URL).status == 503
    line = line_of(w.gateway, r"503 UF.*edition\.cnn\.com")
    assert re.search("(?i)certificate|hostname", line), line
    assert not w.nginx.log.lines


def test_what_is_removed_is_gone_at_once_and_comes_back(walk):
    w = walk("http")
    w.becomes(200, cluster=TO_GATEWAY % 80)
    whole = example("http")
    # Without the route: straight outside, as the ServiceEntry says.
    w.mesh.remove("virtualservice")
    w.becomes(200, cluster=OUTSIDE % 80)
    assert w.nginx.seen("/politics", w.nginx.mark() - 1)[0]["client"] == w.app
    # Without the ServiceEntry: nowhere.
    marks = w.sidecar.access_log.mark(), w.nginx.mark()
    w.mesh.remove("serviceentry")
    answer = w.becomes(502, cluster="BlackHoleCluster")
    assert answer.body == "" or HOST in answer.body, answer
    line = line_of(w.sidecar, '"GET /politics HTTP/1.1" 502 ', marks[0])
    assert "BlackHoleCluster" in line and f'"{HOST}"' in line and "block_all" in line, line
    w.mesh.apply(serviceentry=whole["serviceentry"])
    w.becomes(200, cluster=OUTSIDE % 80)
    w.mesh.apply(virtualservice=whole["virtualservice"])
    w.becomes(200, cluster=TO_GATEWAY % 80)
    assert w.nginx.seen("/politics", w.nginx.mark() - 1)[0]["client"] == w.gateway_address


def test_the_gateway_serves_a_host_no_longer_that_is_removed(walk):
    """The sidecar still leads there: the gateway's own objects decide what it passes on."""
    w = walk("http")
    w.becomes(200)
    text = w.mesh.parts["virtualservice"]
    only_mesh = text.replace("  - istio-egressgateway\n  - mesh\n", "  - mesh\n")
    assert only_mesh != text
    w.mesh.apply(virtualservice=only_mesh)
    w.becomes(404, cluster=TO_GATEWAY % 80)
    line_of(w.gateway, r'"GET /politics HTTP/2(\.0)?" 404 NR')
    w.mesh.apply(virtualservice=text)
    w.becomes(200, cluster=TO_GATEWAY % 80)


def test_what_is_not_declared_passes_where_the_policy_says_so(walk):
    w = walk("http", policy="ALLOW_ANY")
    w.becomes(200, cluster=TO_GATEWAY % 80)
    w.mesh.remove("serviceentry", "virtualservice", "gateway_destinationrule")
    mark = w.nginx.mark()
    w.becomes(200, cluster="PassthroughCluster")
    assert w.nginx.seen("/politics", w.nginx.mark() - 1)[0]["client"] == w.app
    line = line_of(w.sidecar, '"GET /politics HTTP/1.1" 200 .*PassthroughCluster')
    assert f'"{w.outside}:80"' in line and "allow_any" in line, line
    assert w.nginx.mark() > mark
    w.mesh.apply(**example("http"))
    w.becomes(200, cluster=TO_GATEWAY % 80)


def test_no_request_fails_while_other_objects_change(walk):
    w = walk("http")
    w.becomes(200)
    stop, failures, counts = threading.Event(), [], []

    def load(is_kept):
        try:
            count = 0
            while not stop.is_set():
                with w.network.app:
                    client = Client(80, w.outside)
                with client:
                    for _ in range(20 if is_kept else 1):
                        answer = client.request("GET", "/politics", host=HOST)
                        assert answer.status == 200, answer
                        count += 1
            counts.append(count)
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)

    threads = [threading.Thread(target=load, args=[kept]) for kept in (True, True, False)]
    for thread in threads:
        thread.start()
    try:
        for number in range(15):
            host = f"host-{number}.example.com"
            w.mesh.apply(other=documents(
                service_entry("other", host, "other.cnn.com"),
                destination_rule("other", host, connectionPool={"tcp": {"connectTimeout": "1s"}}),
                virtual_service("other", host, {"route": [{"destination": {"host": host}}]},
                                gateways=("mesh",))))
        w.mesh.remove("other")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert len(counts) == 3 and min(counts) > 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_gateway_is_restarted(walk, end):
    """The sidecar holds connections to it. While it is gone 503; once it is back nothing fails."""
    w = walk("http")
    w.becomes(200)

    def client():
        with w.network.app:
            return Client(80, w.outside)

    clients = [client() for _ in range(8)]
    for one in clients:
        assert one.request("GET", "/politics", host=HOST).status == 200
    old = w.gateway
    old.signal(end)
    old.process.wait()
    for one in clients:
        answer = one.request("GET", "/politics", host=HOST)
        assert answer.status == 503 and "upstream connect error" in answer.text, answer
    line_of(w.sidecar, f'503 UF.*{re.escape(TO_GATEWAY % 80)}')
    w.mesh.members.remove(old)
    w.gateway = w.mesh.gateway()
    wait_until(lambda: w.outside in w.gateway.admin("/clusters"), "the gateway knows the name")
    for one in clients:
        answer = one.request("GET", "/politics", host=HOST)
        assert answer.status == 200, answer
        one.close()


@pytest.mark.parametrize("folder", ["http", "https", "tls-origination"])
def test_check_finds_nothing_wrong_with_the_examples(folder):
    checked = run_command("check", "-f", EXAMPLES / "istio-egressgateway.yaml", "-f",
                          EXAMPLES / folder, "--labels", "istio=egressgateway")
    lines = [x for x in checked.stdout.splitlines() if "error[" in x or "warning[" in x]
    assert checked.returncode == 0 and not lines, checked.stdout
