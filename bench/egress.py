# SPDX-License-Identifier: Apache-2.0
"""The way out: what clients that call rarely save by a gateway that keeps connections to a far
upstream, and how many TLS connections that upstream sees."""
import contextlib
import json
import os
import re
import socket
import statistics
import threading
import time

import loads
import measure
from backend import NAME, write
from compare import CORE, LOAD_CORE
from network import GATEWAY, OUTSIDE, Network
from ours import istio
from programs import PROGRAMS

BOTH_CORES = "0,1"
CLIENTS, PAUSE_MS = 50, (2000, 5000)
RTTS_MS = (0, 20, 80)
HANDSHAKES_MAX = 100  # in a million requests
LINK_OFF_MS = 0.3


class Outside(measure.Process):
    """nginx as a far upstream: TLS 1.3, tickets, keepalive as it comes (75 s)."""

    def __init__(self, folder, network):
        self.folder = folder
        self.log = os.path.join(folder, "outside.log")
        write(self.log, "")
        conf = write(os.path.join(folder, "outside.conf"), f"""
worker_processes 1; daemon off; master_process off; pid {folder}/outside.pid;
error_log {folder}/outside.err; events {{ worker_connections 4096; }}
http {{ log_format c '$connection $ssl_session_reused $status'; access_log off;
  client_body_temp_path {folder}/o1; proxy_temp_path {folder}/o2; fastcgi_temp_path {folder}/o3;
  uwsgi_temp_path {folder}/o4; scgi_temp_path {folder}/o5;
  ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519;
  server {{ listen unix:{folder}/outside.sock; location / {{ stub_status; }} }}
  server {{ listen {OUTSIDE}:443 ssl; access_log {self.log} c;
    location / {{ return 200 "hello, world\\n"; }} }} }}
""")
        super().__init__("outside", network.inside("outside") + [
            "nginx", "-e", f"{folder}/outside.err", "-c", conf], LOAD_CORE)
        self.questions = 0
        deadline = time.monotonic() + 5
        while True:
            try:
                self.accepted()
                return
            except OSError:
                if time.monotonic() > deadline or self.popen.poll() is not None:
                    self.stop()
                    raise RuntimeError("the upstream does not start") from None

    def stop(self):
        super().stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, "outside.sock"))

    def accepted(self):
        """TLS connections so far, those that no request has used among them."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(os.path.join(self.folder, "outside.sock"))
            self.questions += 1
            s.sendall(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(4096), b"")).decode()
        return int(re.search(r"requests\s+(\d+)", text).group(1)) - self.questions

    def connections(self):
        """(that carried a request, and of them by a resumed handshake)"""
        resumed = {}
        with open(self.log) as f:
            for line in f:
                connection, how, _ = line.split()
                resumed[connection] = how == "r"
        return len(resumed), sum(resumed.values())


class Calls:
    """What the clients of rareload saw."""

    def __init__(self, output):
        said = json.loads(output)
        self.calls, self.connects = sorted(said["call_ms"]), sorted(said["connect_ms"])
        self.requests, self.handshakes = said["requests"], said["handshakes"]
        self.errors = said["errors"] + said["skipped"] + said["resumed"]

    def at(self, part):
        return self.calls[min(len(self.calls) - 1, int(part * len(self.calls)))]

    @property
    def p50(self):
        return statistics.median(self.calls)


def call(network, how, mode, address, port, clients, pause_ms, seconds):
    command = [loads.built["rareload"], how, mode, address, str(port), NAME, "/", str(clients),
               *(str(ms) for ms in pause_ms), str(seconds)]
    return Calls(loads.run(network.inside("client") + command, LOAD_CORE))


def manifests(folder):
    """HTTP in, TLS out to a host of the outside."""
    objects = [
        istio("Gateway", "g", servers=[{"port": {"number": 80, "name": "http", "protocol": "HTTP"},
                                        "hosts": [NAME]}]),
        istio("VirtualService", "v", hosts=[NAME], gateways=["g"], http=[
            {"route": [{"destination": {"host": NAME, "port": {"number": 80}}}]}]),
        istio("ServiceEntry", "outside", hosts=[NAME], location="MESH_EXTERNAL",
              resolution="STATIC", endpoints=[{"address": OUTSIDE}], ports=[
                  {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443}]),
        istio("DestinationRule", "d", host=NAME, trafficPolicy={"portLevelSettings": [
            {"port": {"number": 80}, "tls": {
                "mode": "SIMPLE", "sni": NAME,
                "caCertificates": os.path.join(folder, "tls.crt")}}]}),
    ]
    os.makedirs(os.path.join(folder, "egress"), exist_ok=True)
    return write(os.path.join(folder, "egress", "all.yaml"),
                 "\n---\n".join(json.dumps(o, indent=1) for o in objects) + "\n")


@contextlib.contextmanager
def gateway(folder, network, workers, core=CORE):
    """Ours in the middle namespace, listening; no request has been made yet."""
    binary = os.environ.get("SLUICEGATE", "build-release/src/cli/sluicegate")
    log_path = os.path.join(folder, "egress.err")
    with open(log_path, "w") as log_file:
        process = measure.Process("gateway", network.inside("gateway") + [
            binary, "run", "-f", manifests(folder), "--bind", GATEWAY, "--workers", str(workers),
            "--namespace", "default", "--admin", "off", "--access-log", "off"], core,
            stderr=log_file)
    try:
        deadline = time.monotonic() + 5
        while b"sluicegate: ready" not in open(log_path, "rb").read():
            if time.monotonic() > deadline or process.popen.poll() is not None:
                raise RuntimeError("the gateway does not start; it said:\n"
                                   + open(log_path).read()[-2000:])
            time.sleep(0.01)
        yield process
    finally:
        process.stop()


def check_link(network):
    """By the quickest of some connects: the others may have waited for a core."""
    for _ in range(3):
        found = call(network, "tls", "new", OUTSIDE, 443, 8, (300, 300), 1)
        off_ms = found.connects[0] - network.rtt_ms
        if -0.05 < off_ms < LINK_OFF_MS:
            return
    raise RuntimeError(f"the link takes {network.rtt_ms + off_ms:.2f} ms, not {network.rtt_ms} ms")


@contextlib.contextmanager
def world(bench, rtt_ms):
    """The three namespaces with the upstream in its place; the link is what it claims to be."""
    with Network(rtt_ms) as network:
        outside = Outside(bench.folder, network)
        try:
            check_link(network)
            yield network, outside
        finally:
            outside.stop()


class Seen:
    """What the upstream saw of a block: TLS connections, and how many of them were resumed."""

    def __init__(self, outside):
        self.outside = outside

    def __enter__(self):
        self.accepted, self.before = self.outside.accepted(), self.outside.connections()
        return self

    def __exit__(self, *_):
        self.accepted = self.outside.accepted() - self.accepted
        after = self.outside.connections()
        self.used, self.resumed = after[0] - self.before[0], after[1] - self.before[1]

    def __str__(self):
        notes = [f"{n} {what}" for n, what in ((self.resumed, "resumed"),
                                               (self.accepted - self.used, "opened ahead")) if n]
        return str(self.accepted) + (f" ({', '.join(notes)})" if notes else "")


def own_time_ms(bench):
    """Of the upstream: a request on an open connection without any distance."""
    with world(bench, 0) as (network, _):
        return call(network, "tls", "open", OUTSIDE, 443, 1, (20, 20), 2).p50


def saving_row(bench, rtt_ms, path, calls, seen, own_ms):
    limit = 1.05 * rtt_ms + own_ms
    trips = f"{(calls.p50 - own_ms) / rtt_ms:.2f}" if rtt_ms else "-"
    asked, holds = "shown", "-"
    if path != "direct" and rtt_ms:
        asked = f"p50 at most {limit:.2f} ms"
        holds = bench.verdict(f"p50 through the gateway at {rtt_ms} ms", calls.p50, limit)
    bench.say(f"| {rtt_ms} ms, {path} | {calls.requests} | {calls.p50:.2f} | {calls.at(0.99):.2f} |"
              f" {trips} | {seen} | {asked} | {holds} | {calls.errors} |")


def saving(bench, seconds):
    """Rare callers of a far upstream, direct and through a gateway that is near."""
    own_ms = own_time_ms(bench)
    links = []
    bench.say()
    bench.say(f"| {CLIENTS} clients, a request every {PAUSE_MS[0] // 1000}-{PAUSE_MS[1] // 1000} s of"
              " each on a new connection, to TLS 1.3 | requests | p50 ms | p99 ms | round trips |"
              " handshakes at the upstream | asked | holds | errors |")
    bench.say("|---|---|---|---|---|---|---|---|---|")
    for rtt_ms in RTTS_MS:
        with world(bench, rtt_ms) as (network, outside):
            with Seen(outside) as seen:
                calls = call(network, "tls", "new", OUTSIDE, 443, CLIENTS, PAUSE_MS, seconds)
            saving_row(bench, rtt_ms, "direct", calls, seen, own_ms)
            with Seen(outside) as seen, gateway(bench.folder, network, 1):
                calls = call(network, "plain", "new", GATEWAY, 80, CLIENTS, PAUSE_MS, seconds)
            saving_row(bench, rtt_ms, "through the gateway", calls, seen, own_ms)
        links.append(network)
    bench.say()
    bench.say(f"The upstream's own time, a request on an open connection at 0 ms: {own_ms:.2f} ms. "
              f"The distance is made by {links[0].how}" + punctual(links) + ".")


def punctual(links):
    kept = [link.punctuality for link in links if link.punctuality]
    if not kept:
        return ""
    passed = sum(p["passed"] for p in kept)
    return (f": of {passed} packets {sum(p['late'] for p in kept)} were more than 0.3 ms late, "
            f"{sum(p['dropped'] for p in kept)} dropped; on average "
            f"{sum(p['late_mean_us'] * p['passed'] for p in kept) / max(1, passed):.0f} us late")


def workers(bench, seconds):
    """A rare caller's connections are not to be multiplied by the number of workers."""
    rtt_ms, counts, seen_by = 20, (1, 8), {}
    bench.say()
    bench.say(f"| 5 requests a second, each on a new connection, {rtt_ms} ms of round trip |"
              " requests | p50 ms | p99 ms | TLS connections at the upstream | asked | holds |"
              " errors |")
    bench.say("|---|---|---|---|---|---|---|---|")
    for count in counts:
        with world(bench, rtt_ms) as (network, outside):
            with Seen(outside) as seen, gateway(bench.folder, network, count, BOTH_CORES):
                calls = call(network, "plain", "new", GATEWAY, 80, 1, (200, 200), seconds)
        seen_by[count] = seen.accepted
        asked, holds = "shown", "-"
        if count > 1:
            asked = "no more than with 1 worker"
            holds = bench.verdict(f"TLS connections of {count} workers", seen.accepted, seen_by[1])
        bench.say(f"| {count} worker{'s' if count > 1 else ''} | {calls.requests} | {calls.p50:.2f} |"
                  f" {calls.at(0.99):.2f} | {seen} | {asked} | {holds} | {calls.errors} |")


def handshakes(bench):
    """TLS connections to the backend for a million requests of 64 busy clients."""
    title = "TLS connections to the backend, the first million requests of 64 connections"
    row, ours = [title], None
    for which in PROGRAMS:
        if which not in bench.chosen:
            row.append("-")
            continue
        before = bench.backend.counters()
        program = bench.start(which, back="https")
        try:
            opening, later = opened(bench, before, program)
        finally:
            program.stop()
        million = opening[0] + later[0] / later[1] * max(0, 1e6 - opening[1])
        row.append(f"{million:.0f} ({opening[0]} in {opening[1]} requests, {later[0]} in the next"
                   f" {later[1]})")
        if which == "sluicegate":
            ours = million
    bench.say("| " + " | ".join(row + [
        str(HANDSHAKES_MAX), "-" if ours is None else bench.verdict(title, ours, HANDSHAKES_MAX)])
        + " |")


def opened(bench, before, program):
    """((connections, requests) of the first second, the same of the rest). One load without a pause:
    when it ends, programs close the connections of requests that are then left unanswered."""
    opening = []
    first = threading.Timer(1, lambda: opening.append(bench.backend.counters()))
    first.start()
    loads.wrk(64)(program, 2 + bench.rounds * bench.seconds // 2, LOAD_CORE)
    first.join()
    after = bench.backend.counters()
    return tuple(tuple(now - then - 1 for now, then in zip(*pair))
                 for pair in ((opening[0], before), (after, opening[0])))
