# SPDX-License-Identifier: Apache-2.0
"""Three network namespaces: a client and a gateway that are near each other, and the outside that is
far away from both.

    client 198.18.1.2 ---- 198.18.1.1 gateway 198.18.2.1 ====== 198.18.2.2 outside
                      veth                         the far link, a round trip of RTT_MS

The client reaches the outside through the gateway's namespace, so its own connections cross the same
far link. That link is delayed by netem where the kernel has it, else it is a relay of ours between two
tun devices (link.c), which does the same and says how punctual it was. Addresses are those set aside for
benchmarks (RFC 2544). Needs root; all of it is gone when the block ends."""
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess

import loads

CLIENT, GATEWAY, OUTSIDE = "198.18.1.2", "198.18.1.1", "198.18.2.2"
FAR_DEVICE = "far"
LIFETIME_S = 300  # of a relay, should nobody end it


def missing():
    """Why there can be no such network here; None where it can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables"), ("dnsmasq", "dnsmasq-base")):
        if not shutil.which(tool):
            return f"needs {tool} ({package})"
    return None


@contextlib.contextmanager
def alone():
    """This thread, and what it starts, in a network namespace of its own with a loopback and nothing
    else; it goes with the last process in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    newnet = 0x40000000  # CLONE_NEWNET
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(newnet):
            raise RuntimeError(f"unshare: {os.strerror(ctypes.get_errno())}")
        try:
            ip("link", "set", "lo", "up")
            yield
        finally:
            if libc.setns(before.fileno(), newnet):
                raise RuntimeError(f"setns: {os.strerror(ctypes.get_errno())}")


def capture(address, port):
    """What is dialled at `address` arrives at our port, as a sidecar has it."""
    ip("route", "add", address, "dev", "lo", "src", "127.0.0.1")
    rules = f"""table ip bench {{
  chain output {{
    type nat hook output priority -100
    ip daddr {address} meta l4proto tcp redirect to :{port}
  }}
}}
"""
    done = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nft: {done.stderr.strip()}")


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Network:
    """`inside(where)` is what stands before a command that is to run there."""

    def __init__(self, rtt_ms):
        self.rtt_ms = rtt_ms
        self.names = {where: f"bench-{os.getpid()}-{where}" for where in
                      ("client", "gateway", "outside")}
        self.relay, self.how, self.punctuality = None, None, None

    def inside(self, where):
        return ["ip", "netns", "exec", self.names[where]]

    def __enter__(self):
        try:
            for name in self.names.values():
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            for where in self.names:  # it would only add packets of its own
                self.run(where, "sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1")
            self.connect_near()
            self.connect_far()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.relay:
            self.relay.send_signal(signal.SIGTERM)
            try:
                said = self.relay.communicate(timeout=5)[0]
                self.punctuality = json.loads(said.splitlines()[-1])
            except (subprocess.TimeoutExpired, ValueError, IndexError):
                self.relay.kill()
                self.relay.wait()
            self.relay = None
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def run(self, where, *command):
        done = subprocess.run(self.inside(where) + list(command), capture_output=True, text=True)
        return done.returncode == 0

    def address(self, where, device, address):
        ip("-n", self.names[where], "addr", "add", address, "dev", device)
        ip("-n", self.names[where], "link", "set", device, "up")

    def connect_near(self):
        ip("link", "add", "near", "netns", self.names["client"], "type", "veth",
           "peer", "name", "near", "netns", self.names["gateway"])
        self.address("client", "near", CLIENT + "/24")
        self.address("gateway", "near", GATEWAY + "/24")
        ip("-n", self.names["client"], "route", "add", "default", "via", GATEWAY)
        if not self.run("gateway", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"):
            raise RuntimeError("the gateway's namespace does not forward")

    def connect_far(self):
        if not self.connect_by_netem():
            self.connect_by_relay()
        self.address("gateway", FAR_DEVICE, "198.18.2.1/24")
        self.address("outside", FAR_DEVICE, OUTSIDE + "/24")
        ip("-n", self.names["outside"], "route", "add", "default", "via", "198.18.2.1")

    def connect_by_netem(self):
        if not shutil.which("tc"):
            return False
        ip("link", "add", FAR_DEVICE, "netns", self.names["gateway"], "type", "veth",
           "peer", "name", FAR_DEVICE, "netns", self.names["outside"])
        delay = f"{self.rtt_ms * 500}us"
        if all([self.run(where, "tc", "qdisc", "add", "dev", FAR_DEVICE, "root", "netem", "delay",
                         delay, "limit", "100000") for where in ("gateway", "outside")]):
            self.how = "netem"
            return True
        ip("-n", self.names["gateway"], "link", "del", FAR_DEVICE)
        return False

    def connect_by_relay(self):
        self.how = "a relay of ours between two tun devices (no netem here)"
        self.relay = subprocess.Popen(
            [loads.built["link"], *(f"/run/netns/{self.names[w]}" for w in ("gateway", "outside")),
             FAR_DEVICE, str(self.rtt_ms * 500), str(LIFETIME_S)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != "ready\n":
            raise RuntimeError(f"the delayed link does not start: {self.relay.stderr.read()}")
