#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make test: builds and runs every suite in each build folder and adds the results up. The last
line says how many tests passed and failed; the exit status is 0 when none failed."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TAP_LINE = re.compile(r"^(not ok|ok)\b(.*)$", re.MULTILINE)

# build folder, suites (none: all), multiplier of Meson's timeouts
BUILDS = [("release", [], 1), ("asan", [], 4), ("tsan", [], 6), ("fuzz", ["fuzz"], 4)]


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def fail(self, name):
        self.failed += 1
        self.failures.append(name)

    def add(self, build, test):
        """One record of Meson's testlog.json; a TAP test counts as what it told."""
        name, result = f"{build}: {test['name']}", test["result"]
        told = TAP_LINE.findall(test.get("stdout", "")) if "1.." in test.get("stdout", "") else []
        failed_before = self.failed
        for verdict, rest in told:
            if verdict == "not ok":
                self.fail(f"{name}:{rest}")
            elif "# SKIP" in rest.upper():
                self.skipped += 1
            else:
                self.passed += 1
        if result in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"):
            if self.failed == failed_before:
                self.fail(f"{name} ({result.lower()})")
        elif not told and result == "SKIP":
            self.skipped += 1
        elif not told:
            self.passed += 1


def wrapper():
    """gcc 12's thread sanitizer cannot map its shadow when addresses are randomised widely."""
    try:
        bits = int(pathlib.Path("/proc/sys/vm/mmap_rnd_bits").read_text())
    except OSError:
        bits = 0
    return ["--wrapper", "setarch -R"] if bits > 28 else []


def run(build, suites, multiplier, jobs, tally):
    print(f"==== {build}", flush=True)
    if subprocess.run([ROOT / "scripts/build.sh", build, str(jobs)], cwd=ROOT).returncode != 0:
        tally.fail(f"{build}: does not build")
        return
    log = ROOT / f"build-{build}/meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", f"build-{build}", "--no-rebuild", "--print-errorlogs",
               "--num-processes", str(jobs), "--timeout-multiplier", str(multiplier)]
    command += [x for suite in suites for x in ("--suite", suite)]
    command += wrapper() if build == "tsan" else []
    subprocess.run(command, cwd=ROOT)
    records = [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []
    if not records:
        tally.fail(f"{build}: no test was run")
    for record in records:
        tally.add(build, record)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("builds", nargs="*", help="only these: " + ", ".join(x[0] for x in BUILDS))
    options = parser.parse_args()

    tally = Tally()
    for build, suites, multiplier in BUILDS:
        if not options.builds or build in options.builds:
            run(build, suites, multiplier, options.jobs, tally)
    for name in tally.failures:
        print(f"failed: {name}")
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {tally.failed} failed{skipped}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
