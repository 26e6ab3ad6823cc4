# SPDX-License-Identifier: Apache-2.0
import socket
import subprocess

import pytest

from harness.certificates import Authority
from harness.client import Client
from harness.egress import ONE, TWO
from harness.gateway import Gateway, free_port
from harness.mesh import Mesh
from harness.name_server import NameServer, dnsmasq
from harness.netns import Network, why_not
from harness.patience import wait_until
from harness.upstream import Upstream, echo


@pytest.fixture(scope="session")
def authority():
    """Signs certificates; clients of its contexts trust it alone."""
    return Authority()


@pytest.fixture(scope="session")
def pair(authority):
    """The certificate of test.example."""
    return authority.issue("test.example", "*.test.example")


@pytest.fixture
def upstream():
    """Starts upstreams: upstream(serve). After the test none of them may have failed."""
    started = []

    def start(serve=echo, **options):
        started.append(Upstream(serve, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
    for one in started:
        assert not one.failures, one.failures


@pytest.fixture
def gateway(tmp_path, request):
    """Starts gateways: gateway(manifests, *options). After the test each is checked and ended."""
    started = []

    def start(manifests, *args, **options):
        folder = tmp_path / f"manifests-{len(started)}"
        folder.mkdir()
        files = manifests if isinstance(manifests, dict) else {"all.yaml": manifests}
        for name, text in files.items():
            (folder / name).write_text(text)
        one = Gateway(folder, *args, **options)
        started.append(one)
        return one.start()

    yield start
    failed = getattr(request.node, "has_failed", False)
    for one in started:
        one.__exit__(AssertionError if failed else None, None, None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same for tables: one gateway for a module's tests; leaving the module checks it."""
    started, upstreams = [], []

    class Shared:
        def upstream(self, serve=echo, **options):
            upstreams.append(Upstream(serve, **options))
            return upstreams[-1]

        def gateway(self, manifests, *args, **options):
            folder = tmp_path_factory.mktemp("manifests")
            (folder / "all.yaml").write_text(manifests)
            started.append(Gateway(folder, *args, **options))
            return started[-1].start()

    yield Shared()
    for one in upstreams:
        one.close()
    for one in started:
        one.__exit__(None, None, None)
    for one in upstreams:
        assert not one.failures, one.failures


@pytest.fixture
def both(upstream):
    """Starts upstreams "one" and "two" on one port of two addresses; returns the port."""
    def start(serve=echo, **options):
        for _ in range(20):
            port = free_port(ONE)
            try:
                listener = socket.create_server((TWO, port), backlog=512)
            except OSError:
                continue
            upstream(serve, host=ONE, port=port, name="one", **options)
            upstream(serve, listener=listener, name="two", **options)
            return port
        raise AssertionError("no port is free on both addresses")
    return start


@pytest.fixture
def name_server(tmp_path):
    """Starts dnsmasq: name_server({"name.example": [address]}, short=[address])."""
    started = []

    def start(names=(), **more):
        if dnsmasq() is None:
            pytest.skip("dnsmasq (dnsmasq-base) is not installed")
        started.append(NameServer(tmp_path, **{**dict(names), **more}))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def network(tmp_path):
    """Namespaces app, gateway and outside; name it before the fixtures that run in them."""
    reason = why_not()
    if reason:
        pytest.skip(f"network namespaces: {reason}")
    with Network(tmp_path, app="10.244.1.5", gateway="10.244.2.15", outside="203.0.113.10") as made:
        yield made


@pytest.fixture
def mesh(network, authority, tmp_path, request):
    """Over namespaces; its programs beyond our own are Debian's."""
    reason = why_not("nginx", "dnsmasq", "nft", "curl")
    if reason:
        pytest.skip(reason)
    made = Mesh(tmp_path, network, authority)
    yield made
    made.close(getattr(request.node, "has_failed", False))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.has_failed = True


class Httpbins:
    """httpbin under gunicorn on two loopback addresses and one port, as two Pods of a Service."""

    hosts = ("127.0.0.2", "127.0.0.3")

    def __init__(self):
        self.port = free_port("127.0.0.2")
        self.processes = [
            subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "/usr/bin/python3", "-m", "gunicorn",
                 "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60",
                 "--log-level", "error", "--bind", f"{host}:{self.port}", "httpbin:app"],
                stdin=subprocess.DEVNULL)
            for host in self.hosts
        ]
        for host in self.hosts:
            wait_until(lambda h=host: self.answers(h), f"httpbin on {host}")

    def answers(self, host):
        try:
            with Client(self.port, host) as client:
                return client.request("GET", "/status/200").status == 200
        except OSError:
            assert all(p.poll() is None for p in self.processes), "httpbin ended"
            return False

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)


@pytest.fixture(scope="session")
def httpbins():
    both = Httpbins()
    yield both
    both.close()
