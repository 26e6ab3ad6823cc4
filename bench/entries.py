# SPDX-License-Identifier: Apache-2.0
"""Many ServiceEntries whose names are resolved: memory, start, changes, compiles while the answers
arrive. As an egress gateway and as a sidecar, in a network namespace with a name server of its own."""
import contextlib
import json
import os
import re
import socket
import sys
import threading
import time

import loads
import measure
import network
from backend import Backend, free_port, write
from compare import LOAD_CORE
from egress import BOTH_CORES, Calls
from ours import istio

DIALLED = "198.18.3.1"  # captured; Host decides
SIDECAR_PORT = 15001
CHANGED, LOADED, FIRST = 4999, 7001, 1  # odd ones: in clear
CHANGES = 30


def host(i):
    return f"e{i}.example.test"


class Names(measure.Process):
    """dnsmasq with an address for each host; those that are asked for live here."""

    def __init__(self, folder, count):
        self.port = free_port()
        hosts = write(os.path.join(folder, "names"), "".join(
            f"{'127.0.0.1' if i in (CHANGED, LOADED, FIRST) else address(i)} {host(i)}\n"
            for i in range(count)))
        super().__init__("dnsmasq", [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
            "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", "--local-ttl=300",
            "--local=/test/", f"--port={self.port}", "--listen-address=127.0.0.1",
            "--bind-interfaces"], LOAD_CORE)


def address(i):
    return f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}"


def entry(i, target_port):
    return istio("ServiceEntry", f"e{i}", hosts=[host(i)], location="MESH_EXTERNAL",
                 resolution="DNS", ports=[
                     {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": target_port},
                     {"number": 443, "name": "tls", "protocol": "TLS"}])


def objects_of(i, backend_port, is_sidecar):
    """The even ones originate TLS."""
    if i % 2:
        yield entry(i, backend_port)
    else:
        yield entry(i, 443)
        yield istio("DestinationRule", f"e{i}", host=host(i), trafficPolicy={
            "portLevelSettings": [{"port": {"number": 80},
                                   "tls": {"mode": "SIMPLE", "sni": host(i)}}]})
    if not is_sidecar:
        yield istio("VirtualService", f"e{i}", hosts=[host(i)], gateways=["g"], http=[
            {"route": [{"destination": {"host": host(i), "port": {"number": 80}}}]}])


def text_of(objects):
    return "".join(f"---\n{json.dumps(o)}\n" for o in objects)


class Manifests:
    """All in one file; the entry that is changed stands in the middle of it."""

    def __init__(self, folder, count, backend_port, is_sidecar):
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "all.yaml")
        gateway = [] if is_sidecar else [istio("Gateway", "g", servers=[
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"},
             "hosts": ["*.example.test"]}])]
        parts = [text_of(objects_of(i, backend_port, is_sidecar)) for i in range(count)]
        rest = text_of(gateway) + text_of(list(objects_of(CHANGED, 0, is_sidecar))[1:])
        self.before, self.after = "".join(parts[:CHANGED]), "".join(parts[CHANGED + 1:]) + rest
        self.put(backend_port)

    def put(self, target_port):
        """As an editor writes. Returns when it was renamed."""
        with open(self.path + ".tmp", "w") as f:
            f.write(self.before + text_of([entry(CHANGED, target_port)]) + self.after)
        os.rename(self.path + ".tmp", self.path)
        return time.monotonic()


class Program:
    """Sluicegate over these manifests, both cores."""

    def __init__(self, folder, manifests, names, is_sidecar):
        self.address, self.port = (DIALLED, 80) if is_sidecar else ("127.0.0.1", free_port())
        self.admin = free_port()
        binary = os.environ.get("SLUICEGATE", "build-release/src/cli/sluicegate")
        how = ["--sidecar", "--outbound-port", str(SIDECAR_PORT), "--inbound-port", "0",
               "--outbound-policy", "REGISTRY_ONLY"] if is_sidecar else \
            ["--port-map", f"80={self.port}"]
        self.log = os.path.join(folder, "entries.err")
        with open(self.log, "w") as log_file:
            self.process = measure.Process("entries", [
                binary, "run", "-f", manifests.path, "--bind", "127.0.0.1", "--workers", "1",
                "--namespace", "default", "--admin", f"127.0.0.1:{self.admin}", "--access-log",
                "off", "--dns-server", f"127.0.0.1:{names.port}", *how], BOTH_CORES,
                stderr=log_file)

    def stop(self):
        self.process.stop()

    def said(self):
        with open(self.log) as f:
            return f.read()[-2000:]

    def status(self, i, s):
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host(i)}\r\n\r\n".encode())
        return s.recv(65536)[9:12].decode()

    def wait(self, i, status, begin, seconds):
        """Milliseconds until requests for this host are answered so."""
        answer = None
        while time.monotonic() < begin + seconds and self.process.popen.poll() is None:
            with contextlib.suppress(OSError):
                with socket.create_connection((self.address, self.port), 5) as s:
                    while time.monotonic() < begin + seconds:
                        answer = self.status(i, s)
                        if answer == status:
                            return (time.monotonic() - begin) * 1000
                        if not answer:
                            break
        raise RuntimeError(f"{host(i)} is not answered {status} but {answer}: {self.said()}")

    def gauge(self, name):
        with socket.create_connection(("127.0.0.1", self.admin), 5) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return float(re.search(rf"^{name} (\S+)", text, re.M).group(1))

    def settle(self, seconds):
        """Until nothing has been compiled for three seconds: (compiles, seconds they took)."""
        last, since = 0, time.monotonic()
        while time.monotonic() < self.process.begin + seconds:
            generation = int(self.gauge("sluicegate_config_generation"))
            if generation != last:
                last, since = generation, time.monotonic()
            elif time.monotonic() > since + 3:
                return last, since - self.process.begin
            time.sleep(0.1)
        raise RuntimeError(f"is still compiling after {seconds} s, {last} times so far")


def changes(program, manifests, backend_port):
    """From the rename until the changed entry leads elsewhere, there and back, in ms; and what callers
    of another entry see of it."""
    seen = {}

    def load():
        seen["calls"] = Calls(loads.run([loads.built["rareload"], "plain", "new", program.address,
                                         str(program.port), host(LOADED), "/", "20", "150", "250",
                                         "10"], LOAD_CORE))
    thread = threading.Thread(target=load)  # threads begin in the namespace of their parent
    thread.start()
    nowhere = free_port()
    times = []
    while thread.is_alive() and len(times) < CHANGES:
        to, status = (backend_port, "200") if len(times) % 2 else (nowhere, "503")
        times.append(program.wait(CHANGED, status, manifests.put(to), 10))
    thread.join()
    if "calls" not in seen:
        raise RuntimeError("the light load did not run")
    return sorted(times), seen["calls"]


def measure_entries(bench, count, is_sidecar, backend):
    folder = os.path.join(bench.folder, "entries-sidecar" if is_sidecar else "entries")
    if is_sidecar:
        network.capture(DIALLED, SIDECAR_PORT)
    names = Names(bench.folder, count)
    manifests = Manifests(folder, count, backend.ports["http"], is_sidecar)
    program = Program(bench.folder, manifests, names, is_sidecar)
    try:
        start_ms = program.wait(FIRST, "200", program.process.begin, 30)
        compiles, settled_s = program.settle(60)
        for i in (CHANGED, LOADED):
            program.wait(i, "200", time.monotonic(), 5)
        rss = measure.rss_bytes(program.process.pid) / 2**20
        clusters = int(program.gauge("sluicegate_config_clusters"))
        endpoints = int(program.gauge("sluicegate_config_endpoints"))
        times, calls = changes(program, manifests, backend.ports["http"])
        return (f"{rss:.0f}", f"{start_ms:.0f}", f"{settled_s:.1f} s, {compiles}",
                f"{times[len(times) // 2]:.0f}, {times[-1]:.0f} of {len(times)}",
                f"{calls.errors} of {calls.requests}", f"{clusters}, {endpoints}")
    finally:
        program.stop()
        names.stop()


def entries(bench, count):
    bench.say()
    bench.say(f"| {count} ServiceEntries, resolution DNS, two ports; TLS originated for half |"
              " resident MiB | start to first answer, ms | until all names are answered, compiles |"
              " change to effect, ms: median, worst | failed meanwhile | clusters, endpoints |")
    bench.say("|---|---|---|---|---|---|---|")
    for is_sidecar in (False, True):
        title = "sidecar" if is_sidecar else "egress gateway, a VirtualService each"
        try:
            with network.alone():
                backend = Backend(bench.folder, LOAD_CORE)
                try:
                    cells = measure_entries(bench, count, is_sidecar, backend)
                finally:
                    backend.stop()
        except RuntimeError as error:
            print(f"entries: {error}", file=sys.stderr, flush=True)
            bench.failed.append(f"ServiceEntries, {title}: not measured")
            cells = ["-"] * 6
        bench.say(f"| {title} | " + " | ".join(cells) + " |")
