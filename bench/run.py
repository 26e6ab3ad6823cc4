#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Sluicegate beside nginx and HAProxy and writes bench/RESULTS.md.

The program under test has core 0, backend and load core 1. Rounds are interleaved, medians are
quoted; only figures of one run compare. See docs/benchmarks.md for what each row means.
"""
import argparse
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import measure
import programs

CORE, LOAD_CORE = 0, 1
HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    def __init__(self, folder, rounds, seconds):
        self.folder, self.rounds, self.seconds = folder, rounds, seconds
        self.backend, self.backend_port = programs.backend(folder, LOAD_CORE)
        self.lines = []
        self.failed = []

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def start(self, which, core=CORE, **options):
        return programs.PROGRAMS[which](self.folder, core, self.backend_port, **options)

    def verdict(self, what, value, limit):
        good = value <= limit
        if not good:
            self.failed.append(f"{what}: {value:.2f} > {limit:.2f}")
        return "yes" if good else "**no**"


def lua(folder, name, body):
    return programs.write(os.path.join(folder, name + ".lua"), body)


def hosts_script(folder, hosts):
    return lua(folder, f"hosts{hosts}", f"""
local n, x = {hosts}, 12345
local headers = {{}}
request = function()
  x = (1103515245 * x + 12345) % 2147483648
  headers["Host"] = "h" .. (math.floor(x / 8) % n) .. ".example.com"
  return wrk.format("GET", "/", headers)
end
""")


def prefixes_script(folder, prefixes):
    return lua(folder, f"prefixes{prefixes}", f"""
local n, x = {prefixes}, 12345
local headers = {{Host = "h0.example.com"}}
request = function()
  x = (1103515245 * x + 12345) % 2147483648
  return wrk.format("GET", "/p" .. (math.floor(x / 8) % n) .. "/x", headers)
end
""")


def compare(bench, title, connections, path="/", log=False, limit=None, against=("nginx",)):
    """CPU per request of all programs, rounds interleaved."""
    running = {}
    for which in programs.PROGRAMS:
        target = None
        if log:
            target = os.path.join(bench.folder, which + ".log")
            if which == "haproxy":
                target = log_sink(bench)
        running[which] = bench.start(which, log=target)
    samples = {which: [] for which in running}
    try:
        for _ in range(bench.rounds):
            for which, program in running.items():
                samples[which].append(measure.Sample(
                    program, f"http://127.0.0.1:{program.port}{path}", connections,
                    bench.seconds, LOAD_CORE, headers=("Host: h0.example.com",)))
        calls = {which: measure.system_calls(
            program, f"http://127.0.0.1:{program.port}{path}", connections, LOAD_CORE,
            headers=("Host: h0.example.com",)) for which, program in running.items()}
    finally:
        for program in running.values():
            program.stop()
    ours = measure.median(samples["sluicegate"])
    # Ratios are taken round by round: the machine's speed drifts.
    ratios = {peer: statistics.median(a.cpu_us / b.cpu_us for a, b in
                                      zip(samples["sluicegate"], samples[peer]))
              for peer in ("nginx", "haproxy")}
    errors = sum(s.errors for s in samples["sluicegate"])
    worst = max(ratios[peer] for peer in against) if len(against) == 1 else \
        max(ratios[peer] for peer in against)
    cells = [title]
    for which in ("sluicegate", "nginx", "haproxy"):
        number = f" ({calls[which]:.2f})" if calls[which] else ""
        cells.append(f"{measure.median(samples[which]):.1f}{number}")
    cells += [f"{ratios['nginx']:.2f}", f"{ratios['haproxy']:.2f}", f"{limit:.2f} of "
              + " and ".join(against), bench.verdict(title, worst, limit), str(errors)]
    bench.say("| " + " | ".join(cells) + " |")
    return ours


def log_sink(bench):
    """HAProxy logs by syslog: a UNIX datagram socket that something reads, as in real life."""
    path = os.path.join(bench.folder, "log.sock")
    if os.path.exists(path):
        return path
    sink = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sink.bind(path)

    def drain():
        with open(os.path.join(bench.folder, "haproxy.log"), "wb", buffering=1 << 16) as f:
            while True:
                f.write(sink.recv(65536))
    threading.Thread(target=drain, daemon=True).start()
    return path


def growth(bench, title, limit, one, many, script_one, script_many):
    """What a large configuration costs a request, against the same program with a small one."""
    row = [title]
    for which in ("sluicegate", "nginx", "haproxy"):
        small, large = bench.start(which, **one), bench.start(which, name=which + "-many", **many)
        try:
            pairs = []
            for _ in range(bench.rounds):
                pair = [measure.Sample(p, f"http://127.0.0.1:{p.port}/", 64, bench.seconds,
                                       LOAD_CORE, script=script)
                        for p, script in ((small, script_one), (large, script_many))]
                pairs.append(pair)
            ratio = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
            errors = sum(s.errors for pair in pairs for s in pair)
            row.append(f"{ratio:.2f}x, {measure.rss_bytes(large.pid) / 2**20:.0f} MiB, start "
                       f"{large.started_s * 1000:.0f} ms" + (f", {errors} errors" if errors else ""))
            if which == "sluicegate":
                ours = ratio
        finally:
            small.stop()
            large.stop()
    bench.say("| " + " | ".join(row + [f"{limit:.2f}x", bench.verdict(title, ours, limit)]) + " |")


def idle_connections(bench, count):
    row = [f"idle keepalive connection, bytes ({count} of them)"]
    for which in ("sluicegate", "nginx", "haproxy"):
        program = bench.start(which)
        held = []
        try:
            before = measure.rss_bytes(program.pid)
            for _ in range(count):
                s = socket.create_connection(("127.0.0.1", program.port))
                s.sendall(b"GET / HTTP/1.1\r\nHost: h0.example.com\r\n\r\n")
                held.append(s)
                if not s.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise RuntimeError("no answer")
            per_connection = (measure.rss_bytes(program.pid) - before) / count
            row.append(f"{per_connection:.0f}")
            if which == "sluicegate":
                ours = per_connection
        finally:
            for s in held:
                s.close()
            program.stop()
    bench.say("| " + " | ".join(row + ["512", bench.verdict(row[0], ours, 512)]) + " |")


def at_rest(bench):
    rss, starts = {}, {}
    for which in ("sluicegate", "nginx", "haproxy"):
        runs = []
        for _ in range(max(3, bench.rounds)):
            program = bench.start(which)
            runs.append((program.started_s, measure.rss_bytes(program.pid) / 2**20))
            program.stop()
        starts[which] = statistics.median(r[0] for r in runs) * 1000
        rss[which] = statistics.median(r[1] for r in runs)
    for title, figures, limit in (("at rest: resident MiB", rss, 12),
                                  ("start to first answer, ms", starts, 20)):
        bench.say("| " + " | ".join([title] + [f"{figures[w]:.1f}" for w in figures] + [
            str(limit), bench.verdict(title, figures["sluicegate"], limit)]) + " |")


def changed_text(path, i, port):
    """The manifest file with one more Ingress, written as an editor does."""
    with open(path + ".base") as f:
        base = f.read()
    extra = f"""---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: extra}}
spec:
  rules:
  - host: extra{i}.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend: {{service: {{name: s0, port: {{number: 80}}}}}}
"""
    with open(path + ".tmp", "w") as f:
        f.write(base + extra)
    os.rename(path + ".tmp", path)


def effect_ms(program, i):
    """From the rename to the first request that the new host answers."""
    begin = time.monotonic()
    changed_text(program.manifest, i, program.port)
    written = time.monotonic()
    request = f"GET / HTTP/1.1\r\nHost: extra{i}.example.com\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", program.port)) as s:
        while time.monotonic() < begin + 10:
            s.sendall(request)
            answer = s.recv(65536)
            if answer.startswith(b"HTTP/1.1 200"):
                return (time.monotonic() - written) * 1000
    raise RuntimeError("the change had no effect")


def changes(bench, hosts, count):
    """Changes with many Ingresses in the same file: time to effect, and requests failed meanwhile."""
    # On both cores, as it is deployed: the control thread and the worker are not to share one here.
    program = bench.start("sluicegate", core="0,1", hosts=hosts)
    try:
        shutil.copy(program.manifest, program.manifest + ".base")
        times = sorted(effect_ms(program, i) for i in range(60))
        before = measure.rss_bytes(program.pid)
        stop = threading.Event()
        result = {}

        def load():
            result["load"] = measure.wrk(f"http://127.0.0.1:{program.port}/", 32, 20, LOAD_CORE,
                                         headers=("Host: h0.example.com",))
            stop.set()
        thread = threading.Thread(target=load)
        thread.start()
        n = 0
        while n < count and not stop.is_set():
            effect_ms(program, 100 + n)
            n += 1
        thread.join()
        after = measure.rss_bytes(program.pid)
        bench.say(f"| change to effect with {hosts} Ingresses in one file, ms: median, worst of 60 | "
                  f"{times[30]:.0f}, {times[-1]:.0f} | - | - | 50 | "
                  f"{bench.verdict('change to effect, worst', times[-1], 50)} |")
        bench.say(f"| requests failed by {n} changes under load ({result['load'].requests} requests)"
                  f" | {result['load'].errors} | - | - | 0 | "
                  f"{bench.verdict('failed by a change', result['load'].errors, 0)} |")
        bench.say(f"| resident MiB before and after these changes | {before / 2**20:.0f}, "
                  f"{after / 2**20:.0f} | - | - | flat | - |")
    finally:
        program.stop()


def large(bench, hosts):
    program = bench.start("sluicegate", hosts=hosts)
    rss = measure.rss_bytes(program.pid) / 2**20
    start = program.started_s
    program.stop()
    title = f"{hosts} Ingresses with Services and slices"
    bench.say(f"| {title}: resident MiB | {rss:.0f} | - | - | 48 | {bench.verdict(title, rss, 48)} |")
    bench.say(f"| {title}: start to first answer, ms | {start * 1000:.0f} | - | - | 1000 | "
              f"{bench.verdict(title + ' start', start * 1000, 1000)} |")


def cpu_name():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def heading(bench):
    versions = programs.versions()
    bench.say("# Results")
    bench.say()
    bench.say("Written by `make bench`. CPU is user and system time of the process tree divided by"
              " requests, in microseconds; in brackets the system calls per request. One run,"
              f" {bench.rounds} interleaved rounds of {bench.seconds} s, medians; ratios are medians of"
              " the rounds' ratios. Program under test on one core with one worker, load and backend"
              " on another.")
    bench.say()
    bench.say(f"Machine: {cpu_name()}, {os.cpu_count()} cores, Linux {platform.release()}, TCP "
              f"{open('/proc/sys/net/ipv4/tcp_congestion_control').read().strip()}. "
              f"{versions['nginx']}; {versions['haproxy']}.")
    bench.say()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--binary", help="the program to measure")
    parser.add_argument("--out", default=os.path.join(HERE, "RESULTS.md"))
    parser.add_argument("--only", help="a part: requests, growth, memory, changes")
    parser.add_argument("--hosts", type=int, default=10000)
    options = parser.parse_args()
    if options.binary:
        os.environ["SLUICEGATE"] = os.path.abspath(options.binary)
    for tool in ("nginx", "haproxy", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is not installed (make bench installs it)")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    bench = Bench(folder, options.rounds, options.seconds)
    wanted = lambda part: options.only in (None, part)
    try:
        heading(bench)
        if wanted("requests"):
            bench.say("| scenario, CPU a request (system calls) | sluicegate | nginx | HAProxy |"
                      " of nginx | of HAProxy | at most | holds | errors |")
            bench.say("|---|---|---|---|---|---|---|---|---|")
            compare(bench, "HTTP/1.1 keepalive, 64 connections", 64, limit=0.85)
            compare(bench, "the same, 2 connections", 2, limit=0.88)
            compare(bench, "64 connections with an access log to a file", 64, log=True, limit=0.85)
            compare(bench, "64 KiB bodies, 16 connections", 16, path="/f/64k", limit=0.95,
                    against=("nginx", "haproxy"))
            compare(bench, "1 MiB bodies, 8 connections", 8, path="/f/1m", limit=1.0,
                    against=("haproxy",))
            bench.say()
        bench.say("| scenario | sluicegate | nginx | HAProxy | at most | holds |")
        bench.say("|---|---|---|---|---|---|")
        if wanted("growth"):
            growth(bench, f"{options.hosts} hosts, cost against one host", 1.05, {},
                   {"hosts": options.hosts}, hosts_script(folder, 1),
                   hosts_script(folder, options.hosts))
            growth(bench, "5000 prefixes of one host, against one", 1.08, {"prefixes": 1},
                   {"prefixes": 5000}, prefixes_script(folder, 1), prefixes_script(folder, 5000))
        if wanted("memory"):
            large(bench, options.hosts)
            idle_connections(bench, 5000)
            at_rest(bench)
        if wanted("changes"):
            changes(bench, options.hosts, 1000)
        if bench.failed:
            bench.say()
            bench.say("Does not hold: " + "; ".join(bench.failed) + ".")
    finally:
        bench.backend.stop()
        shutil.rmtree(folder, ignore_errors=True)
    with open(options.out, "w") as f:
        f.write("\n".join(bench.lines) + "\n")


if __name__ == "__main__":
    main()
