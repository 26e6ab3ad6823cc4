#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a test file under pytest and tells each test's outcome in TAP, which Meson counts.
Everything else goes to stderr. Without the modules that the tests are written with, the file is
skipped as a whole."""

import importlib.util
import os
import sys

MODULES = {"pytest": "python3-pytest", "cryptography": "python3-cryptography",
           "hpack": "python3-hpack", "websockets": "python3-websockets"}


class Tap:
    def __init__(self, out):
        self.out = out
        self.count = 0

    def tell(self, verdict, name, note=""):
        self.count += 1
        name = name.split("::", 1)[-1].replace("#", " ").encode("ascii", "backslashreplace").decode()
        print(f"{verdict} {self.count} {name}{note}", file=self.out, flush=True)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.tell("not ok", f"{report.nodeid} ({report.when})")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.tell("ok", report.nodeid, f" # SKIP {reason}")
        elif report.when == "call":
            self.tell("ok", report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tell("not ok", f"{report.nodeid} (collecting)")

    def pytest_sessionfinish(self, session, exitstatus):
        print(f"1..{self.count}", file=self.out, flush=True)


def main():
    missing = [package for module, package in MODULES.items()
               if importlib.util.find_spec(module) is None]
    if missing:
        print(f"1..0 # SKIP not installed: {', '.join(missing)}")
        return 0
    import pytest

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tap = Tap(out)
    status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[tap])
    # Failed tests were told one by one; any other end is a failure of the run itself.
    return 0 if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else 1


if __name__ == "__main__":
    sys.exit(main())
