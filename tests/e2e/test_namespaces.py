# SPDX-License-Identifier: Apache-2.0
"""The gateway between network namespaces: clients in one, a real nginx and a real DNS server in
another. Also what the tests of the way out rely on: that namespaces end with what is in them."""

import os
import pathlib
import threading

import pytest
from harness.manifests import (destination_rule, documents, gateway as istio_gateway, metadata,
                               route, virtual_service)
from harness.name_server import NameServer, dnsmasq
from harness.netns import Network, program, why_not
from harness.nginx import Nginx
from harness.patience import wait_until

needs_servers = pytest.mark.skipif(not program("nginx") or dnsmasq() is None,
                                   reason="nginx or dnsmasq (dnsmasq-base) is not installed")
HOST = "edition.cnn.com"


def external(port):
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata("outside"),
            "spec": {"type": "ExternalName", "externalName": HOST,
                     "ports": [{"port": 80, "targetPort": port}]}}


@needs_servers
@pytest.mark.parametrize("scheme, port", [("http", 80), ("https", 443)])
def test_a_gateway_in_its_namespace_reaches_outside(network, gateway, authority, tmp_path, scheme,
                                                    port):
    nginx = Nginx(tmp_path / "nginx", network.outside, authority.issue(HOST))
    names = NameServer(tmp_path, network.outside, **{HOST: [network.outside.address]})
    (tmp_path / "ca.pem").write_text(authority.pem)
    tls = {"mode": "SIMPLE", "caCertificates": str(tmp_path / "ca.pem"), "sni": HOST}
    served = gateway(documents(
        external(port), istio_gateway("gateway", HOST), virtual_service("test", HOST, route("outside")),
        *([destination_rule("test", "outside", tls=tls)] if scheme == "https" else [])),
        "--dns-server", names.address, ports=(), bind="0.0.0.0", netns=network.gateway)

    def answer():
        return network.app.run("curl", "-sS", "--resolve", f"{HOST}:80:{network.gateway.address}",
                               f"http://{HOST}/politics").stdout

    try:
        expected = f"{scheme} {HOST} {HOST if scheme == 'https' else ''} /politics\n"
        wait_until(lambda: answer() == expected, "nginx answers")
        seen = nginx.seen("/politics")[0]
        assert (seen["client"], seen["host"]) == (network.gateway.address, HOST), seen
        line = served.access_log.wait_for('"GET /politics HTTP/1.1" 200 .*')[0].group(0)
        assert f'"{network.outside.address}:{port}"' in line, line
        assert f" {network.gateway.address}:80 {network.app.address}:" in line, line
    finally:
        names.stop()


def test_programs_end_with_their_network(tmp_path):
    reason = why_not()
    if reason:
        pytest.skip(f"network namespaces: {reason}")
    with pytest.raises(ZeroDivisionError), Network(tmp_path, one="10.0.0.1") as network:
        process = network.one.start("sleep", "600")
        folder = pathlib.Path(f"/proc/{process.pid}/ns/net")
        assert os.readlink(folder) == os.readlink(network.one.path) != os.readlink("/proc/self/ns/net")
        raise ZeroDivisionError
    assert process.returncode is not None


def test_sockets_stay_where_they_were_opened(network):
    with network.outside.listen() as listener:
        port = listener.getsockname()[1]
        here = os.readlink("/proc/self/ns/net")
        with network.app.connect(network.outside.address, port) as client:
            assert os.readlink("/proc/thread-self/ns/net") == here
            assert client.getsockname()[0] == network.app.address
        assert not network.gateway.accepts("127.0.0.1", port)
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(
            network.app.accepts(network.outside.address, port)))
        thread.start()
        thread.join()
        assert elsewhere == [True]


def test_addresses_come_and_go(network):
    for address in ("203.0.113.99", "2001:db8::99"):
        network.outside.add_address(address)
        with network.outside.listen(host=address) as listener:
            port = listener.getsockname()[1]
            assert network.app.accepts(address, port)
            network.outside.remove_address(address)
            assert not network.app.accepts(address, port)
