# SPDX-License-Identifier: Apache-2.0
"""The way out through an egress gateway, with the manifests of examples/egress: an application that
knows of nothing, a sidecar that captures what it dials, the gateway, and nginx outside.

    app 10.244.1.5: curl > sidecar  -->  gateway 10.244.2.15:8080, 8443  -->  outside 203.0.113.10
"""

import re

import pytest
from harness.gateway import ROOT, run_command
from harness.patience import wait_until

EXAMPLES = ROOT / "examples/egress"
HOST = "edition.cnn.com"
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


@pytest.mark.parametrize("folder", ["http", "https", "tls-origination"])
def test_check_finds_nothing_wrong_with_the_examples(folder):
    checked = run_command("check", "-f", EXAMPLES / "istio-egressgateway.yaml", "-f",
                          EXAMPLES / folder, "--labels", "istio=egressgateway")
    lines = [x for x in checked.stdout.splitlines() if "error[" in x or "warning[" in x]
    assert checked.returncode == 0 and not lines, checked.stdout
