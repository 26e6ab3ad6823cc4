# SPDX-License-Identifier: Apache-2.0
"""What a request costs that a sidecar captures, beside the same through a gateway; and the same of
Envoy. In a network namespace: connections to one address are redirected to the program's port."""
import json
import os
import socket
import statistics
import sys
import time

import envoy
import loads
import measure
import network
from backend import NAME, Backend, write
from compare import CORE, LOAD_CORE
from ours import istio, sluicegate

DIALLED, PORT = "198.18.3.1", 15001
# (title, what stands behind, whether it is captured)
ROWS = [("gateway, in clear", "http", False), ("gateway, TLS to the backend", "https", False),
        ("sidecar, outbound connections captured by REDIRECT", "http", True)]


def captured(folder, core, backend):
    """Our sidecar: the host is a ServiceEntry with the address that is dialled."""
    objects = [istio("ServiceEntry", "s", hosts=[NAME], addresses=[DIALLED], resolution="STATIC",
                     location="MESH_EXTERNAL",
                     ports=[{"number": 80, "name": "http", "protocol": "HTTP"}],
                     endpoints=[{"address": "127.0.0.1",
                                 "ports": {"http": backend.ports["http"]}}])]
    os.makedirs(os.path.join(folder, "sidecar"), exist_ok=True)
    path = write(os.path.join(folder, "sidecar", "all.yaml"),
                 "\n---\n".join(json.dumps(o, indent=1) for o in objects) + "\n")
    log_path = os.path.join(folder, "sidecar.err")
    with open(log_path, "w") as log_file:
        return measure.Process("sidecar", [
            os.environ.get("SLUICEGATE", "build-release/src/cli/sluicegate"), "run", "-f", path,
            "--sidecar", "--bind", "127.0.0.1", "--workers", "1", "--outbound-port", str(PORT),
            "--inbound-port", "0", "--outbound-policy", "REGISTRY_ONLY", "--admin", "off",
            "--access-log", "off"], core, stderr=log_file)


def start(bench, backend, which, back, is_captured):
    if not is_captured:
        maker = sluicegate if which == "sluicegate" else envoy.envoy
        return maker(bench.folder, CORE, backend, back=back)
    network.capture(DIALLED, PORT)
    program = captured(bench.folder, CORE, backend) if which == "sluicegate" else \
        envoy.envoy(bench.folder, CORE, backend, captured_at=PORT)
    program.address, program.port = DIALLED, 80
    await_answer(program)
    return program


def await_answer(program):
    deadline, answer = time.monotonic() + 10, b""
    while time.monotonic() < deadline and program.popen.poll() is None:
        try:
            with socket.create_connection((program.address, program.port), 2) as s:
                s.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                answer = s.recv(4096)
        except OSError:
            time.sleep(0.01)
        if answer.startswith(b"HTTP/1.1 200"):
            return
    program.stop()
    raise RuntimeError(f"{program.name} does not answer what is captured: {answer[:100]}")


def one_sample(bench, which, back, is_captured):
    with network.alone():
        backend = Backend(bench.folder, LOAD_CORE)
        try:
            program = start(bench, backend, which, back, is_captured)
            try:
                loads.wrk(64)(program, 1, LOAD_CORE)  # connections are opened, memory is there
                return measure.Sample(program, loads.wrk(64), min(2, bench.seconds), LOAD_CORE)
            finally:
                program.stop()
        finally:
            backend.stop()


def sample_all(bench, programs):
    """{title: {program: samples}}, rounds interleaved; without the rows that could not be measured."""
    samples = {title: {which: [] for which in programs} for title, _, _ in ROWS}
    for _ in range(bench.rounds):
        for title, back, is_captured in ROWS:
            try:
                for which in programs if title in samples else ():
                    samples[title][which].append(one_sample(bench, which, back, is_captured))
            except RuntimeError as error:
                print(f"sidecar: {error}", file=sys.stderr, flush=True)
                bench.failed.append(f"{title}: not measured")
                del samples[title]
    return samples


def overhead(bench):
    programs = ["sluicegate"] + (["envoy"] if envoy.binary() else [])
    bench.say()
    bench.say("| HTTP/1.1 keepalive, 64 connections: CPU a request | sluicegate | Envoy | of Envoy |"
              " errors |")
    bench.say("|---|---|---|---|---|")
    samples = sample_all(bench, programs)
    for title in samples:
        row_line(bench, title, samples[title])
    bench.say()
    if ROWS[0][0] in samples and ROWS[2][0] in samples:
        cost = ratio(samples[ROWS[2][0]]["sluicegate"], samples[ROWS[0][0]]["sluicegate"])
        bench.say(f"Being captured costs {cost:.2f} of what the gateway does.")
    bench.say(f"{envoy.version()}, one thread, no filter but the router." if envoy.binary() else
              "Envoy is not here (ENVOY names it) and was not measured.")


def ratio(these, those):
    return statistics.median(a.cpu_us / b.cpu_us for a, b in zip(these, those))


def row_line(bench, title, samples):
    ours, theirs = samples["sluicegate"], samples.get("envoy")
    cells = [f"{measure.median(ours):.1f}"]
    cells += [f"{measure.median(theirs):.1f}", f"{ratio(ours, theirs):.2f}"] if theirs else ["-", "-"]
    errors = {which: sum(s.errors for s in samples[which]) for which in samples}
    cells.append(str(errors.pop("sluicegate")) + "".join(
        f", {which} {n}" for which, n in errors.items() if n))
    bench.say(f"| {title} | " + " | ".join(cells) + " |")
