# SPDX-License-Identifier: Apache-2.0
"""What tests of a gateway's way out share: a host outside, the objects that lead there, clients."""

import json
import threading

from .manifests import documents, gateway, istio, service_entry, virtual_service
from .patience import wait_until

HOST = "api.outside.example"
ONE, TWO = "127.0.0.2", "127.0.0.3"  # where the fixture `both` has its upstreams


def way_out(*objects, host=HOST, to=None, port=80, subset=None, rules=()):
    """Every request for `host` that none of the rules takes goes to `to` (the host itself)."""
    destination = {"host": to or host, "port": {"number": port}, **({"subset": subset} if subset else {})}
    return documents(gateway("gateway", host),
                     virtual_service("way-out", host, *rules, {"route": [{"destination": destination}]}),
                     *objects)


def to_port(port, name="http", protocol="HTTP", number=80):
    """The one port of a ServiceEntry."""
    return ((number, name, protocol, port),)


def static(port, *endpoints, name="entry", hosts=(HOST,), **spec):
    return service_entry(name, *hosts, ports=to_port(port), resolution="STATIC",
                         endpoints=[x if isinstance(x, dict) else {"address": x} for x in endpoints],
                         **spec)


def by_dns(port, host=HOST, resolution="DNS", **spec):
    return service_entry("entry", host, ports=to_port(port), resolution=resolution, **spec)


def tls_rule(host=HOST, name="rule", **tls):
    return istio("DestinationRule", name, host=host, trafficPolicy={"tls": tls})


def who(client, target="/", host=HOST):
    """The name of the upstream that answers, or the status."""
    answer = client.request("GET", target, host=host)
    return json.loads(answer.body)["name"] if answer.status == 200 else answer.status


def becomes(expected, client, target="/", host=HOST):
    wait_until(lambda: who(client, target, host) == expected, f"the answer is {expected}")


def shares(client, n=40, host=HOST):
    seen = [who(client, host=host) for _ in range(n)]
    return {name: seen.count(name) for name in set(seen)}


class Load:
    """Clients that ask without a pause, on a connection that is kept or on new ones; leaving the
    block asserts that every answer was 200."""

    def __init__(self, served, host=HOST, is_kept=(True, False)):
        self.served, self.host = served, host
        self.stop, self.failures, self.seen = threading.Event(), [], []
        self.threads = [threading.Thread(target=self._run, args=[kept]) for kept in is_kept]

    def _run(self, is_kept):
        try:
            while not self.stop.is_set():
                with self.served.client() as client:
                    self._ask(client)
                    while is_kept and not self.stop.is_set():
                        self._ask(client)
        except BaseException as failure:  # noqa: BLE001 - raised by the block
            self.failures.append(failure)

    def _ask(self, client):
        answer = who(client, host=self.host)
        assert isinstance(answer, str), answer
        self.seen.append(answer)

    def goes_on(self, count=20):
        """Until so many more answers came."""
        until = len(self.seen) + count
        wait_until(lambda: self.failures or len(self.seen) >= until, "the load goes on")
        assert not self.failures, self.failures[0]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if not kind:
            assert not self.failures, self.failures[0]
