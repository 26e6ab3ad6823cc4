# SPDX-License-Identifier: Apache-2.0
"""A real DNS server, Debian's dnsmasq, on a loopback port or in a namespace. What it answers is a
hosts file that a test may change at any time. `Relay` stands before it and is slow or wrong."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

from .gateway import Lines, free_port
from .patience import DEADLINE_S

DOMAIN = "outside.example"  # what it does not know in here does not exist


def dnsmasq():
    return shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def full_name(name):
    return name if "." in name else f"{name}.{DOMAIN}"


class NameServer:
    """`names`: of each its addresses; a name without a dot is one of DOMAIN. In a namespace it has
    the port of DNS on the namespace's address."""

    def __init__(self, folder, netns=None, **names):
        self.hosts = pathlib.Path(folder) / "hosts"
        self.write(names)
        self.netns = netns
        self.host = netns.address if netns else "127.0.0.1"
        self.port = 53 if netns else None
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def write(self, names):
        """Each name's addresses; none: the name does not exist."""
        lines = [f"{address} {full_name(name)}\n" for name, addresses in names.items()
                 for address in addresses]
        self.hosts.write_text("".join(lines))

    def start(self):
        """On the port that it had before, or on a new one."""
        for _ in range(1 if self.port else 5):
            port = self.port or free_port()
            # In the foreground it keeps its user, who may read the hosts file.
            with self.netns or contextlib.nullcontext():
                self.process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", dnsmasq(), "--no-daemon", "--pid-file=",
                     "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--port={port}",
                     f"--listen-address={self.host}", "--bind-interfaces",
                     f"--addn-hosts={self.hosts}", f"--local=/{DOMAIN}/", "--local=/com/",
                     f"--cname=alias.{DOMAIN},backend.{DOMAIN}", "--local-ttl=1", "--log-queries",
                     "--log-facility=-"],
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

    def change(self, names=(), **more):
        mark = self.log.mark()
        self.write({**dict(names), **more})
        self.process.send_signal(signal.SIGHUP)
        self.log.wait_for(r"\bread .*hosts - \d+ ", start=mark)

    def wait_for_queries(self, name, count=2):
        """Until it was asked again: of two questions from now on the first was answered."""
        self.log.wait_for(rf"query\[A\] {re.escape(full_name(name))} ", start=self.log.mark(),
                          count=count)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.log.thread.join(5)


class Relay:
    """Between us and a name server, over UDP. `manner` is what becomes of a question and may be
    changed at any time: "pass", "drop", "servfail", "hold" (kept back until it passes again).
    `questions` counts what came, and held what is kept back."""

    def __init__(self, server):
        self.server = server
        self.manner = "pass"
        self.questions = 0
        self.held = []
        self.lock, self.passing = threading.Lock(), threading.Lock()
        host = (server.netns.address if server.netns else "127.0.0.1")
        with server.netns or contextlib.nullcontext():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((host, 0))
            self.behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.behind.connect((server.host, server.port))
        self.behind.settimeout(DEADLINE_S)
        self.address = "%s:%d" % self.socket.getsockname()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                question, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if not question:
                return
            with self.lock:
                self.questions += 1
                manner = self.manner
                if manner == "hold":
                    self.held.append((question, client))
            if manner == "servfail":
                flags = bytes([question[2] | 0x80, 0x82])
                self.socket.sendto(question[:2] + flags + question[4:], client)
            elif manner == "pass":
                self._pass(question, client)

    def _pass(self, question, client):
        with self.passing, contextlib.suppress(OSError):  # a server that is gone: no answer
            self.behind.send(question)
            answer = self.behind.recv(4096)
            while answer[:2] != question[:2]:
                answer = self.behind.recv(4096)
            self.socket.sendto(answer, client)

    def set(self, manner):
        with self.lock:
            self.manner, held = manner, self.held
            self.held = []
        for question, client in held:
            if manner == "pass":
                self._pass(question, client)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE_S)
        self.socket.close()
        self.behind.close()
