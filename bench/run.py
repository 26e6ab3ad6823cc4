#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Sluicegate beside nginx and HAProxy and writes bench/RESULTS.md.

The program under test has core 0, backend and load core 1. Rounds are interleaved, medians are
quoted; only figures of one run compare. See docs/benchmarks.md for what each row means. With --only
parts or rows are run alone, and nothing is written unless --out says where.
"""
import argparse
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile

import egress
import entries
import hotspots
import loads
import network
import programs
import rows
import sidecar
import whole
from compare import Bench, compare

HERE = os.path.dirname(os.path.abspath(__file__))
MIB_TABLE = "MiB a CPU second (system calls a MiB)"
CPU_TABLE = "CPU a request (system calls)"


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
              f"{versions['nginx']}; {versions['haproxy']}; {versions['openssl']}.")
    bench.say()


def request_tables(folder):
    """(part, title of the table, rows)"""
    grpc_request = os.path.join(folder, "grpc")  # the request is the answer's bytes
    return [("requests", CPU_TABLE, rows.plain()),
            ("tls", CPU_TABLE, rows.secure()),
            ("h2", CPU_TABLE, rows.http2(grpc_request)),
            ("tcp", MIB_TABLE, rows.tcp()),
            ("tcp", CPU_TABLE, rows.tcp_requests())]


def whole_rows(bench, hosts):
    """(part, row, function) of those that are no comparison of requests."""
    folder = bench.folder
    return [
        ("growth", "hosts", lambda: whole.growth(
            bench, f"{hosts} hosts, cost against one host", 1.05, {}, {"hosts": hosts},
            whole.hosts_script(folder, 1), whole.hosts_script(folder, hosts))),
        ("growth", "prefixes", lambda: whole.growth(
            bench, "5000 prefixes of one host, against one", 1.08, {"prefixes": 1},
            {"prefixes": 5000}, whole.prefixes_script(folder, 1),
            whole.prefixes_script(folder, 5000))),
        ("memory", "large", lambda: whole.large(bench, hosts)),
        ("memory", "idle", lambda: whole.idle_connections(bench, 5000, "http", 512)),
        ("memory", "idle-tls", lambda: whole.idle_connections(bench, 2000, "https", 12000)),
        ("memory", "rest", lambda: whole.at_rest(bench)),
        ("changes", "changes", lambda: whole.changes(bench, hosts, 1000)),
        ("way-out", "egress-handshakes", lambda: egress.handshakes(bench)),
    ]


def way_out(bench, options):
    """(part, row, function) of those in network namespaces; each prints a table of its own."""
    seconds = options.rare_seconds
    return [("way-out", "egress-saving", lambda: egress.saving(bench, seconds)),
            ("way-out", "egress-workers", lambda: egress.workers(bench, seconds)),
            ("way-out", "entries", lambda: entries.entries(bench, options.hosts)),
            ("way-out", "sidecar", lambda: sidecar.overhead(bench))]


def measure_apart(bench, name, run):
    try:
        if network.missing():
            raise RuntimeError(network.missing())
        run()
    except RuntimeError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        bench.failed.append(f"{name}: not measured")


def measure_all(bench, options):
    wanted = lambda part, name: not options.only or {part, name} & set(options.only)
    last = None
    for part, title, table in request_tables(bench.folder):
        chosen = [row for row in table if wanted(part, row.name)]
        if chosen and title != last:
            bench.say()
            bench.say(f"| {title} | sluicegate | nginx | HAProxy | of nginx | of HAProxy | asked |"
                      " holds | errors |")
            bench.say("|---|---|---|---|---|---|---|---|---|")
            last = title
        for row in chosen:
            compare(bench, row)
    chosen = [run for part, name, run in whole_rows(bench, options.hosts) if wanted(part, name)]
    if chosen:
        bench.say()
        bench.say("| scenario | sluicegate | nginx | HAProxy | at most | holds |")
        bench.say("|---|---|---|---|---|---|")
    for run in chosen:
        run()
    for part, name, run in way_out(bench, options):
        if wanted(part, name):
            measure_apart(bench, name, run)
    if bench.failed:
        bench.say()
        bench.say("Does not hold: " + "; ".join(bench.failed) + ".")


def find_row(folder, name):
    for _, _, table in request_tables(folder):
        for row in table:
            if row.name == name:
                return row
    return sys.exit(f"bench: no row {name}")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--binary", help="the program to measure")
    parser.add_argument("--out", help="where to write (default: bench/RESULTS.md, when all is run)")
    parser.add_argument("--only", type=lambda text: text.split(","),
                        help="parts or rows, with commas between; see --list")
    parser.add_argument("--programs", default=",".join(programs.PROGRAMS),
                        help="which to run (default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=10000)
    parser.add_argument("--rare-seconds", type=int, default=16,
                        help="how long rare callers call (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print parts and rows")
    parser.add_argument("--instructions", metavar="ROW", help="count the instructions of a request"
                        " of this row by callgrind, and name the functions that take most")
    parser.add_argument("--profile", metavar="ROW",
                        help="name the functions, the kernel's too, in which perf finds the programs")
    return parser.parse_args()


def check_tools(tools):
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is not installed (make bench installs it)")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    options = read_options()
    if options.list:
        for part, _, table in request_tables(""):
            print(f"{part}: {' '.join(row.name for row in table)}")
        print("growth: hosts prefixes\nmemory: large idle idle-tls rest\nchanges: changes\n"
              "way-out: egress-handshakes egress-saving egress-workers entries sidecar")
        return
    if options.binary:
        os.environ["SLUICEGATE"] = os.path.abspath(options.binary)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # what runs is ended, too
    check_tools(("nginx", "haproxy", "wrk", "h2load", "openssl", "taskset", "cc"))
    folder = tempfile.mkdtemp(prefix="bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    bench = None
    try:
        loads.build(folder)
        bench = Bench(folder, options.rounds, options.seconds, options.programs.split(","))
        if options.instructions:
            return hotspots.count(bench, find_row(folder, options.instructions))
        if options.profile:
            return hotspots.sample(bench, find_row(folder, options.profile))
        heading(bench)
        measure_all(bench, options)
    finally:
        if bench:
            bench.backend.stop()
        shutil.rmtree(folder, ignore_errors=True)
    out = options.out or (None if options.only else os.path.join(HERE, "RESULTS.md"))
    if out:
        with open(out, "w") as f:
            f.write("\n".join(bench.lines) + "\n")


if __name__ == "__main__":
    main()
