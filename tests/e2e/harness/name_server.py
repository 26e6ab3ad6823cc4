# SPDX-License-Identifier: Apache-2.0
"""A real DNS server, Debian's dnsmasq, on a loopback port. What it answers is a hosts file that a
test may change at any time."""

import os
import pathlib
import shutil
import signal
import subprocess

from .gateway import Lines, free_port
from .patience import DEADLINE_S

DOMAIN = "outside.example"  # what it does not know in here does not exist


def dnsmasq():
    return shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class NameServer:
    def __init__(self, folder, **names):
        self.hosts = pathlib.Path(folder) / "hosts"
        self.write(names)
        self.port = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def write(self, names):
        """Each name's addresses; none: the name does not exist."""
        lines = [f"{address} {name}.{DOMAIN}\n" for name, addresses in names.items()
                 for address in addresses]
        self.hosts.write_text("".join(lines))

    def start(self):
        """On the port that it had before, or on a new one."""
        for _ in range(1 if self.port else 5):
            port = self.port or free_port()
            # In the foreground it keeps its user, who may read the hosts file.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", dnsmasq(), "--no-daemon", "--pid-file=",
                 "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--port={port}",
                 "--listen-address=127.0.0.1", "--bind-interfaces", f"--addn-hosts={self.hosts}",
                 f"--local=/{DOMAIN}/", f"--cname=alias.{DOMAIN},backend.{DOMAIN}",
                 "--local-ttl=1", "--log-queries", "--log-facility=-"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.log = Lines(self.process.stderr)
            try:
                self.log.wait_for(r"\bread .*hosts - \d+ ")
                self.port = port
                return
            except AssertionError:
                if self.process.poll() is None:
                    raise
        raise AssertionError(f"dnsmasq does not start:\n{self.log.text()}")

    def change(self, **names):
        mark = self.log.mark()
        self.write(names)
        self.process.send_signal(signal.SIGHUP)
        self.log.wait_for(r"\bread .*hosts - \d+ ", start=mark)

    def wait_for_queries(self, name, count=2):
        """Until it was asked again: of two questions from now on the first was answered."""
        self.log.wait_for(rf"query\[A\] {name}\.{DOMAIN} ", start=self.log.mark(), count=count)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.log.thread.join(5)
