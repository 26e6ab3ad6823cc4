# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks measure with: processes pinned to a core, CPU and memory by /proc."""
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


def cpu_ns(pid):
    """The same in nanoseconds, all threads; user and system are not told apart."""
    total = 0
    for one in tree(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            with open(f"/proc/{one}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


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


class Sample:
    """What a unit of one load (a request, or a MiB) costs a program, in microseconds of CPU."""

    def __init__(self, program, load, seconds, core, unit="request"):
        before, ns_before = cpu_s(program.pid), cpu_ns(program.pid)
        done = load(program, seconds, core)
        after, ns_after = cpu_s(program.pid), cpu_ns(program.pid)
        units = done.units(unit)
        if not units:
            raise RuntimeError("the load got no answer")
        self.load, self.errors = done, done.errors
        self.user_us = (after[0] - before[0]) * 1e6 / units
        self.system_us = (after[1] - before[1]) * 1e6 / units
        self.cpu_us = (ns_after - ns_before) / 1e3 / units


def median(samples, field="cpu_us"):
    return statistics.median(getattr(sample, field) for sample in samples)


def system_calls(program, load, seconds, core, unit="request"):
    """System calls per unit, counted by the kernel's tracepoint; None where perf cannot."""
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
    done = load(program, seconds, core)
    counter.send_signal(signal.SIGINT)
    output = counter.communicate()[1]
    found = re.search(r"^(\d+),,raw_syscalls", output, re.M)
    return int(found.group(1)) / done.units(unit) if found else None
