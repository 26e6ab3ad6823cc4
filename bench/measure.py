# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks measure with: processes pinned to a core, CPU by /proc, load by wrk."""
import os
import re
import signal
import statistics
import subprocess
import time

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    found += [int(child) for child in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cpu_s(pid):
    """User and system seconds of the process tree."""
    user = system = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return user * TICK_S, system * TICK_S


def rss_bytes(pid):
    """Resident memory of the process tree, shared pages counted once a process (Rss)."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/smaps_rollup") as f:
                total += int(re.search(r"^Rss:\s+(\d+)", f.read(), re.M).group(1)) * 1024
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Process:
    """A program pinned to a core; ended by its pid."""

    def __init__(self, name, command, core, stderr=None, env=None):
        self.name = name
        self.begin = time.monotonic()
        self.popen = subprocess.Popen(["taskset", "-c", str(core)] + command,
                                      stdout=subprocess.DEVNULL, env=env,
                                      stderr=stderr or subprocess.DEVNULL)
        self.pid = self.popen.pid

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Load:
    """One run of wrk."""

    def __init__(self, output):
        requests = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", output)
        if not requests:
            raise RuntimeError("wrk said: " + output)
        self.requests = int(requests.group(1))
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                           output)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        self.errors = sum(int(n) for n in errors.groups()) if errors else 0
        self.errors += int(bad.group(1)) if bad else 0


def wrk(url, connections, seconds, core, script=None, headers=()):
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", script]
    return Load(subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout)


class Sample:
    """CPU per request of a program under one load, in microseconds."""

    def __init__(self, program, url, connections, seconds, core, **options):
        before = cpu_s(program.pid)
        load = wrk(url, connections, seconds, core, **options)
        after = cpu_s(program.pid)
        self.requests = load.requests
        self.errors = load.errors
        self.user_us = (after[0] - before[0]) * 1e6 / load.requests
        self.system_us = (after[1] - before[1]) * 1e6 / load.requests
        self.cpu_us = self.user_us + self.system_us


def median(samples, field="cpu_us"):
    return statistics.median(getattr(sample, field) for sample in samples)


def system_calls(program, url, connections, core, **options):
    """System calls per request, counted by the kernel's tracepoint; None where perf cannot."""
    threads = []
    for one in tree(program.pid):
        threads += os.listdir(f"/proc/{one}/task")
    counter = subprocess.Popen(
        ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-t", ",".join(threads)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        counter.wait(0.5)
        return None  # it ended at once: not permitted here
    except subprocess.TimeoutExpired:
        pass
    load = wrk(url, connections, 2, core, **options)
    counter.send_signal(signal.SIGINT)
    output = counter.communicate()[1]
    found = re.search(r"^(\d+),,raw_syscalls", output, re.M)
    return int(found.group(1)) / load.requests if found else None
