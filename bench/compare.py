# SPDX-License-Identifier: Apache-2.0
"""One row of a table: the programs side by side under one load, rounds interleaved."""
import os
import socket
import statistics
import sys
import threading
from dataclasses import dataclass
from typing import Callable

import measure
import programs
from backend import Backend, make_certificate

CORE, LOAD_CORE = 0, 1


class Bench:
    """What all rows share: the folder, the backend, the chosen programs, and what has been said."""

    def __init__(self, folder, rounds, seconds, chosen=tuple(programs.PROGRAMS)):
        self.folder, self.rounds, self.seconds, self.chosen = folder, rounds, seconds, chosen
        make_certificate(folder)
        self.backend = Backend(folder, LOAD_CORE)
        self.lines = []
        self.failed = []

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def start(self, which, core=CORE, **options):
        """None: this program cannot do what is asked for."""
        return programs.PROGRAMS[which](self.folder, core, self.backend, **options)

    def verdict(self, what, value, limit, at_least=False):
        good = value >= limit if at_least else value <= limit
        if not good:
            self.failed.append(f"{what}: {value:.2f} {'<' if at_least else '>'} {limit:.2f}")
        return "yes" if good else "**no**"


@dataclass
class Row:
    """A load and what may be asked of it. Figures are CPU a request; with the unit MiB they are
    turned over: MiB a CPU second."""

    name: str  # for --only
    title: str
    load: Callable
    front: str = "http"
    back: str = "http"
    limit: float = None  # None: shown, nothing is asked
    against: tuple = ("nginx",)
    log: bool = False
    tickets: bool = True
    unit: str = "request"
    reuses_backend: bool = True  # connections to the backend are kept

    def show(self, cpu_us):
        return f"{1e6 / cpu_us:.0f}" if self.unit == "MiB" else f"{cpu_us:.1f}"


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


def start_all(bench, row):
    running = {}
    try:
        for which in bench.chosen:
            target = None
            if row.log:
                target = log_sink(bench) if which == "haproxy" else \
                    os.path.join(bench.folder, which + ".log")
            program = bench.start(which, log=target, front=row.front, back=row.back,
                                  tickets=row.tickets)
            if program:
                running[which] = program
    except RuntimeError:
        for program in running.values():
            program.stop()
        raise
    return running


def check_reuse(bench, row, which, accepted, requests):
    """A program that opens backend connections all the time is not configured as it should be."""
    if row.reuses_backend and requests > 1000 and accepted > 0.01 * requests + 600:
        bench.failed.append(f"{row.title}: {which} opened {accepted} connections to the backend"
                            f" for {requests} requests")


def sample(bench, row, which, program):
    before = bench.backend.counters()
    one = measure.Sample(program, row.load, bench.seconds, LOAD_CORE, row.unit)
    after = bench.backend.counters()
    check_reuse(bench, row, which, after[0] - before[0] - 1, after[1] - before[1] - 1)
    return one


def ratio(ours, theirs, unit):
    """The median of the rounds' ratios, as the machine's speed drifts."""
    each = statistics.median(a.cpu_us / b.cpu_us for a, b in zip(ours, theirs))
    return 1 / each if unit == "MiB" else each


def compare(bench, row):
    try:
        run_row(bench, row)
    except RuntimeError as error:
        print(f"{row.name}: {error}", file=sys.stderr, flush=True)
        bench.failed.append(f"{row.title}: not measured")


def run_row(bench, row):
    running = start_all(bench, row)
    samples = {which: [] for which in running}
    calls = {}
    try:
        for _ in range(bench.rounds):
            for which, program in running.items():
                samples[which].append(sample(bench, row, which, program))
        for which, program in running.items():
            calls[which] = measure.system_calls(program, row.load, min(2, bench.seconds),
                                                LOAD_CORE, row.unit)
    finally:
        for program in running.values():
            program.stop()
    bench.say("| " + " | ".join([row.title] + cells(bench, row, samples, calls)) + " |")


def cells(bench, row, samples, calls):
    out = []
    for which in programs.PROGRAMS:
        if which not in samples:
            out.append("-")
            continue
        number = f" ({calls[which]:.2f})" if calls[which] else ""
        out.append(row.show(measure.median(samples[which])) + number)
    ours = samples.get("sluicegate")
    ratios = {peer: ratio(ours, samples[peer], row.unit) for peer in ("nginx", "haproxy")
              if ours and peer in samples}
    out += [f"{ratios[peer]:.2f}" if peer in ratios else "-" for peer in ("nginx", "haproxy")]
    judged = [ratios[peer] for peer in row.against if peer in ratios]
    if row.limit is None or not judged:
        out += ["shown", "-"]
    elif row.unit == "MiB":
        out += [f"at least {row.limit:.2f} of " + " and ".join(row.against),
                bench.verdict(row.title, min(judged), row.limit, at_least=True)]
    else:
        out += [f"at most {row.limit:.2f} of " + " and ".join(row.against),
                bench.verdict(row.title, max(judged), row.limit)]
    errors = {which: sum(s.errors for s in samples[which]) for which in samples}
    out.append(str(errors.pop("sluicegate", "-")) + "".join(
        f", {which} {n}" for which, n in errors.items() if n))
    return out
