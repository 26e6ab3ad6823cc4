# SPDX-License-Identifier: Apache-2.0
"""Rows that are no comparison of requests: what a large configuration costs, memory, changes."""
import os
import shutil
import socket
import statistics
import sys
import threading
import time

import loads
import measure
from backend import NAME, connect, write
from compare import LOAD_CORE


def lua(folder, name, body):
    return write(os.path.join(folder, name + ".lua"), body)


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


def growth(bench, title, limit, one, many, script_one, script_many):
    """What a large configuration costs a request, against the same program with a small one."""
    row = [title]
    for which in ("sluicegate", "nginx", "haproxy"):
        small, large = bench.start(which, **one), bench.start(which, name=which + "-many", **many)
        try:
            pairs = []
            for _ in range(bench.rounds):
                pair = [measure.Sample(p, loads.wrk(64, script=script), bench.seconds, LOAD_CORE)
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


def idle_connections(bench, count, front, limit):
    """Growth of resident memory by connections that made one request each."""
    what = {"http": "idle keepalive connection", "https": "idle TLS connection"}[front]
    row, ours = [f"{what}, bytes ({count} of them)"], None
    for which in ("sluicegate", "nginx", "haproxy"):
        if which not in bench.chosen:
            row.append("-")
            continue
        try:
            program = bench.start(which, front=front)
        except RuntimeError as error:
            print(f"{what}: {error}", file=sys.stderr, flush=True)
            bench.failed.append(f"{row[0]}: {which} not measured")
            row.append("-")
            continue
        held = []
        try:
            before = measure.rss_bytes(program.pid)
            for _ in range(count):
                held.append(connect(program.port, front))
                held[-1].sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                if not held[-1].recv(4096).startswith(b"HTTP/1.1 200"):
                    raise RuntimeError("no answer")
            per_connection = (measure.rss_bytes(program.pid) - before) / count
            row.append(f"{per_connection:.0f}")
            if which == "sluicegate":
                ours = per_connection
        finally:
            for s in held:
                s.close()
            program.stop()
    holds = "-" if ours is None else bench.verdict(row[0], ours, limit)
    bench.say("| " + " | ".join(row + [str(limit), holds]) + " |")


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


def large(bench, hosts):
    program = bench.start("sluicegate", hosts=hosts)
    rss = measure.rss_bytes(program.pid) / 2**20
    start = program.started_s
    program.stop()
    title = f"{hosts} Ingresses with Services and slices"
    bench.say(f"| {title}: resident MiB | {rss:.0f} | - | - | 48 | {bench.verdict(title, rss, 48)} |")
    bench.say(f"| {title}: start to first answer, ms | {start * 1000:.0f} | - | - | 1000 | "
              f"{bench.verdict(title + ' start', start * 1000, 1000)} |")


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
            result["load"] = loads.wrk(32)(program, 20, LOAD_CORE)
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


