# SPDX-License-Identifier: Apache-2.0
"""Where the CPU of one row goes. By callgrind: instructions a request, exact where time is noisy, but
blind for the kernel and for caches; the program runs some fifty times slower meanwhile. By perf:
samples of any of the programs, the kernel's included."""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys

from compare import LOAD_CORE

FUNCTIONS = 30
SAMPLES_HZ = 2999


def control(*arguments):
    subprocess.run(["callgrind_control", *arguments], check=True, capture_output=True)


def count(bench, row):
    if not shutil.which("callgrind_control"):
        sys.exit("bench: valgrind is not installed")
    dumps = os.path.join(bench.folder, "callgrind")
    program = bench.start("sluicegate", front=row.front, back=row.back, under=(
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={dumps}", "--separate-threads=yes"))
    try:
        row.load(program, 1, LOAD_CORE)  # pools are filled, pages touched
        control("--zero", str(program.pid))
        done = row.load(program, bench.seconds, LOAD_CORE)
        control("--dump", str(program.pid))
    finally:
        program.stop()
    # One file a thread; the busiest is the worker.
    files = {name: total(name) for name in glob.glob(dumps + ".1*")}
    worker = max(files, key=files.get)
    units = done.units(row.unit)
    print(f"{row.title}: {files[worker] / units:.0f} instructions a {row.unit}"
          f" ({done.requests} requests, {done.errors} errors)")
    text = subprocess.run(["callgrind_annotate", "--threshold=100", worker], capture_output=True,
                          text=True, check=True).stdout
    print_functions(text, units)


def sample(bench, row):
    for which in bench.chosen:
        program = bench.start(which, front=row.front, back=row.back, tickets=row.tickets)
        data = os.path.join(bench.folder, which + ".perf")
        try:
            recorder = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F",
                                         str(SAMPLES_HZ), "-o", data, "-p", str(program.pid)])
            try:
                row.load(program, bench.seconds, LOAD_CORE)
            finally:
                recorder.send_signal(signal.SIGINT)
                recorder.wait()
        finally:
            program.stop()
        print(f"{row.title}: {which}\n{report(data, 'dso', 6)}\n{report(data, 'dso,symbol', FUNCTIONS)}",
              flush=True)


def report(data, key, count):
    text = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-s", key],
                          capture_output=True, text=True).stdout
    lines = [re.sub(r"[-\s]+$", "", line) for line in text.splitlines() if line and line[0] != "#"]
    return "\n".join(lines[:count]) + "\n"


def total(name):
    with open(name) as f:
        found = re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M)
    return int(found.group(1)) if found else 0


def print_functions(text, units):
    shown = 0
    for line in text.splitlines():
        found = re.match(r"\s*([\d,]+) \(\s*([\d.]+)%\)\s+(.*)", line)
        # What has not returned yet (the loop and its callers) is shown with all that it calls.
        if not found or float(found.group(2)) > 99:
            continue
        instructions = int(found.group(1).replace(",", ""))
        where = found.group(3).split(" [")[0]
        print(f"{instructions / units:10.0f}  {found.group(2):>5} %  {where}")
        shown += 1
        if shown == FUNCTIONS:
            return
