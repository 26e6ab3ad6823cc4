# SPDX-License-Identifier: Apache-2.0
"""What a mesh is made of, over a Network: one folder of manifests that every member reads, a real
name server and a real web server outside, egress gateways, and sidecars that capture.

    app: curl, sidecar ---> gateway: egress gateway ---> outside: nginx, dnsmasq
"""

import pathlib

from .gateway import Gateway
from .name_server import NameServer
from .nginx import Nginx
from .patience import DEADLINE_S


class Answer:
    """What `curl -i` printed."""

    def __init__(self, text):
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        self.status = int(first.split(" ")[1])
        self.headers = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines if ": " in x)}

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body!r}>"


class Mesh:
    """Leaving it as a context manager checks how its members ended."""

    def __init__(self, folder, network, authority, **names):
        self.folder, self.network, self.authority = pathlib.Path(folder), network, authority
        self.manifests = self.folder / "manifests"
        self.manifests.mkdir()
        self.parts = {}
        self.members = []
        self.authorities = self.folder / "ca.pem"
        self.authorities.write_text(authority.pem)
        self.names = NameServer(folder, network.outside, **names)
        self.nginx = None

    # -- members --

    def web(self, *names, **options):
        """nginx, with a certificate for the names."""
        self.nginx = Nginx(self.folder / "nginx", self.network.outside,
                           self.authority.issue(*names) if names else None, **options)
        return self.nginx

    def member(self, *args, netns, bind, env=None, **options):
        # The system's authorities are the test's own.
        env = {"SSL_CERT_FILE": str(self.authorities), **(env or {})}
        one = Gateway(self.manifests, "--dns-server", self.names.address, *args, ports=(), bind=bind,
                      netns=netns, env=env, **options)
        # Sidecars keep connections to gateways: they are ended before them.
        self.members.insert(0 if "--sidecar" in args else len(self.members), one)
        return one.start()

    def gateway(self, *args, netns=None, **options):
        return self.member("--labels", "istio=egressgateway", "--namespace", "istio-system", *args,
                           netns=netns or self.network.gateway, bind="::", **options)

    def sidecar(self, *args, namespace="default", labels="app=app", netns=None, capture=True,
                **options):
        return self.member("--sidecar", *(["--capture"] if capture else []), "--labels", labels,
                           "--namespace", namespace, *args, netns=netns or self.network.app,
                           bind=None, **options)

    # -- objects --

    def apply(self, **parts):
        """Texts of manifests by a name of the test's own; in effect with every member afterwards."""
        self.parts.update(parts)
        self._write()

    def remove(self, *names):
        for name in names:
            del self.parts[name]
        self._write()

    def _write(self):
        marks = [one.log.mark() for one in self.members]
        beside = self.manifests / ".all.new"
        beside.write_text("\n---\n".join(self.parts.values()) + "\n")
        beside.rename(self.manifests / "all.yaml")
        for one, mark in zip(self.members, marks):
            one.log.wait_for(r"info config: generation \d+", start=mark)

    # -- asking --

    def curl(self, url, *options, check=True, netns=None):
        """As an application does, with nothing but the name: an Answer; without `check` a
        CompletedProcess."""
        done = (netns or self.network.app).run(
            "curl", "-sS", "-i", "--http1.1", "--cacert", self.authorities, "--max-time",
            int(DEADLINE_S), *options, url, resolver=self.names.host, check=check)
        return Answer(done.stdout) if check else done

    def close(self, is_failed=False):
        try:
            for one in list(self.members):
                one.__exit__(AssertionError if is_failed else None, None, None)
        finally:
            for one in self.members:
                one.kill()
            self.names.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(kind is not None)
