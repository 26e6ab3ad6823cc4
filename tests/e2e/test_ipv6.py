# SPDX-License-Identifier: Apache-2.0
"""IPv6 on both sides: where it listens, whom it asks, how addresses are written."""

import json
import re
import socket

import pytest
from harness.client import Client
from harness.gateway import Gateway
from harness.manifests import documents, gateway as istio_gateway, route, service, virtual_service
from harness.upstream import Upstream

HOST = "test.example"


@pytest.fixture
def upstream6():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on the loopback")
    one = Upstream(listener=listener, name="six")
    yield one
    one.close()
    assert not one.failures, one.failures


def test_an_ipv6_client_reaches_an_ipv6_endpoint(upstream6, tmp_path):
    slices = service("test", upstream6).replace('"IPv4"', '"IPv6"')
    (tmp_path / "all.yaml").write_text(documents(
        slices, istio_gateway("gateway", HOST), virtual_service("test", HOST, route("test"))))
    with Gateway(tmp_path, "--bind", "::1") as served:
        with Client(served.port, host="::1") as client:
            seen = json.loads(client.request("GET", "/", host=HOST).body)
        assert seen["name"] == "six"
        assert ["x-forwarded-for", "::1"] in seen["headers"]
        line = served.access_log.wait_for(r'"GET / .*')[0].group(0)
        assert f'"[::1]:{upstream6.port}"' in line
        assert re.search(rf"\[::1\]:\d+ \[::1\]:{served.port} \[::1\]:\d+ - -$", line), line
