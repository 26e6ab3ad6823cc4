# SPDX-License-Identifier: Apache-2.0
"""The walk from NodePort to Istio's gateway, as `make run` shows it: the quickstart's manifests,
real httpbin, curl."""

import json
import re
import subprocess

import pytest
from harness.gateway import ROOT, Gateway
from harness.patience import DEADLINE_S, wait_until

HTTPBIN = "httpbin.example.com"


@pytest.fixture(scope="module")
def served(httpbins, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    for path in (ROOT / "examples/quickstart").glob("*.yaml"):
        # The instances of this run listen on a port of their own.
        (folder / path.name).write_text(path.read_text().replace("8101", str(httpbins.port)))
    with Gateway(folder, ports=(80, 30007)) as one:
        yield one


class Answer:
    def __init__(self, text):
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        self.status = int(first.split(" ")[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines if ": " in line)}


def curl(url, *options):
    result = subprocess.run(["curl", "-sS", "-i", "--max-time", str(int(DEADLINE_S)), *options, url],
                            capture_output=True, text=True, timeout=DEADLINE_S + 10)
    assert result.returncode == 0, result.stderr
    return Answer(result.stdout)


def test_2_nodeport_reaches_the_pods(served):
    answer = curl(f"http://127.0.0.1:{served.tcp_ports[0]}/status/200", "-I")
    assert answer.status == 200 and answer.headers["server"].startswith("gunicorn")


def test_3_minimal_ingress_rewrites(served):
    seen = curl(f"http://127.0.0.1:{served.port}/testpath")
    direct = curl(f"http://127.0.0.1:{served.tcp_ports[0]}/")
    assert seen.status == 200 and seen.body == direct.body and "httpbin" in seen.body


def test_3_what_matches_no_path_is_404(served):
    assert curl(f"http://127.0.0.1:{served.port}/nothing").status == 404


def test_4_another_class_is_not_served(httpbins, tmp_path):
    text = (ROOT / "examples/quickstart/ingress-class.yaml").read_text()
    for path in (ROOT / "examples/quickstart").glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace("8101", str(httpbins.port)))
    (tmp_path / "ingress-class.yaml").write_text(
        text.replace("sluicegate.io/ingress-controller", "example.com/ingress-controller"))
    with Gateway(tmp_path, ports=(80, 30007)) as served:
        url = f"http://127.0.0.1:{served.port}"
        assert curl(f"{url}/testpath").status == 404
        assert curl(f"{url}/get", "-HHost: hello-world.info").status == 404
        assert curl(f"{url}/status/200", f"-HHost: {HTTPBIN}").status == 200
        served.change(lambda: served.write("ingress-class.yaml", text))
        wait_until(lambda: curl(f"{url}/testpath").status == 200, "the class is ours")


def test_5_hello_world_by_name(served):
    url = f"http://127.0.0.1:{served.port}/get?a=1"
    answer = curl(url, "-HHost: hello-world.info")
    assert answer.status == 200
    assert json.loads(answer.body)["args"] == {"a": "1"}
    assert curl(url, "-HHost: elsewhere.info").status == 404


@pytest.mark.parametrize("path, status", [
    ("/status/200", 200), ("/status/418", 418), ("/status/500", 500), ("/1status/200", 404),
    ("/", 404), ("/get", 404), ("/delay/0", 200)])
def test_6_7_gateway_and_virtual_service(served, path, status):
    answer = curl(f"http://127.0.0.1:{served.port}{path}", "-I", f"-HHost:{HTTPBIN}")
    assert answer.status == status


def test_6_the_host_must_be_the_gateways(served):
    url = f"http://127.0.0.1:{served.port}/status/200"
    assert curl(url, "-I").status == 404


def test_8_the_proxys_answers(served):
    url = f"http://127.0.0.1:{served.port}"
    found = curl(f"{url}/status/200", "-I", f"-HHost:{HTTPBIN}")
    assert found.status == 200 and found.headers["server"] == "istio-envoy"
    assert re.fullmatch(r"\d+", found.headers["x-envoy-upstream-service-time"])
    missing = curl(f"{url}/1status/200", "-I", f"-HHost:{HTTPBIN}")
    assert missing.status == 404 and missing.headers["server"] == "istio-envoy"
    assert "x-envoy-upstream-service-time" not in missing.headers


def test_7_a_delay_is_waited_for(served):
    answer = curl(f"http://127.0.0.1:{served.port}/delay/1", f"-HHost:{HTTPBIN}")
    assert answer.status == 200
    assert int(answer.headers["x-envoy-upstream-service-time"]) >= 1000


def test_9_the_access_log(served, httpbins):
    mark = served.access_log.mark()
    for path in ("/status/200", "/1status/200"):
        curl(f"http://127.0.0.1:{served.port}{path}", "-I", f"-HHost:{HTTPBIN}")
    served.access_log.wait_for(
        r'^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "HEAD /status/200 HTTP/1\.1" 200 - via_upstream '
        r'- "-" 0 0 \d+ \d+ "127\.0\.0\.1" "curl/[\d.]+" "[0-9a-f-]{36}" "httpbin\.example\.com" '
        rf'"127\.0\.0\.[23]:{httpbins.port}" outbound\|8000\|\|httpbin\.default\.svc\.cluster\.local '
        rf'127\.0\.0\.1:\d+ 127\.0\.0\.1:{served.port} 127\.0\.0\.1:\d+ - -$', start=mark)
    served.access_log.wait_for(
        r'"HEAD /1status/200 HTTP/1\.1" 404 NR route_not_found - "-" 0 \d+ \d+ - "127\.0\.0\.1" '
        r'"curl/[\d.]+" "[0-9a-f-]{36}" "httpbin\.example\.com" "-" - - '
        rf'127\.0\.0\.1:{served.port} 127\.0\.0\.1:\d+ - -$', start=mark)


def test_requests_are_balanced_over_both_httpbins(served, httpbins):
    mark = served.access_log.mark()
    with served.client() as client:
        for _ in range(40):
            assert client.request("GET", "/status/204", host=HTTPBIN).status == 204
    lines = served.access_log.wait_for(rf'"(127\.0\.0\.[23]):{httpbins.port}"', start=mark, count=40)
    assert {m.group(1) for m in lines} == set(httpbins.hosts)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_httpbin_sees_each_method_and_its_body(served, method):
    body = [] if method == "get" else ["--data-binary", "x=1&y=2"]
    answer = curl(f"http://127.0.0.1:{served.port}/{method}?show_env=1", "-X", method.upper(),
                  "-HHost: hello-world.info", *body)
    assert answer.status == 200
    seen = json.loads(answer.body)
    assert seen["headers"]["X-Forwarded-Proto"] == "http"
    if body:
        assert seen["form"] == {"x": "1", "y": "2"}


def test_httpbin_streams_chunks_and_large_bytes(served):
    url = f"http://127.0.0.1:{served.port}"
    assert len(curl(f"{url}/stream/20", "-HHost: hello-world.info").body.splitlines()) == 20
    with served.client() as client:
        answer = client.request("GET", "/bytes/100000?seed=1", host="hello-world.info")
        assert len(answer.body) == 100000
        assert client.request("GET", "/bytes/100000?seed=1", host="hello-world.info").body == answer.body


def test_deleting_an_object_takes_its_effect_away(served):
    url = f"http://127.0.0.1:{served.port}/status/200"
    path = served.folder / "httpbin-gateway.yaml"
    text = path.read_text()
    served.change(path.unlink)
    wait_until(lambda: curl(url, f"-HHost:{HTTPBIN}").status == 404, "the Gateway's effect is gone")
    assert curl(f"http://127.0.0.1:{served.port}/get", "-HHost: hello-world.info").status == 200
    served.change(lambda: served.write("httpbin-gateway.yaml", text))
    wait_until(lambda: curl(url, f"-HHost:{HTTPBIN}").status == 200, "it is back")
