#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Golden tests: what `check` and `dump` say about a manifest, as files.

A case is a folder: in.yaml (or in/, a folder of manifests), args (optional: more options, one
line), diags.txt (stdout of `check`) and snapshot.txt (stdout of `dump`). With --update both are
rewritten; read the difference before committing it. A new case is two lines of shell and no code.

The last test looks at all cases together: every code of `sluicegate docs diagnostics` occurs.
"""

import argparse
import difflib
import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_S = 20
# Codes that no single reading of files can bring about, and where they are tested.
ELSEWHERE = {
    "kept-last-good": "needs an older version: src/source/store_test.c, tests/e2e/test_live_change.py",
}


def run(binary, case, subcommand, arguments):
    done = subprocess.run(
        [binary, subcommand, *arguments],
        cwd=case,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode not in (0, 1) or "Sanitizer" in done.stderr:
        raise RuntimeError(f"{subcommand}: exit {done.returncode}\n{done.stderr}")
    return done


def outputs(binary, case):
    source = "in.yaml" if (case / "in.yaml").exists() else "in"
    arguments = ["-f", source]
    if (case / "args").exists():
        arguments += shlex.split((case / "args").read_text())
    check = run(binary, case, "check", arguments)
    has_error = re.search(r": error\[", check.stdout) is not None
    if check.returncode != int(has_error):
        raise RuntimeError(f"check: exit {check.returncode}, but error lines: {has_error}")
    dump = run(binary, case, "dump", arguments)
    return {"diags.txt": check.stdout, "snapshot.txt": dump.stdout}


def compare(case, name, got, update):
    path = case / name
    wanted = path.read_text() if path.exists() else ""
    if got == wanted and path.exists():
        return ""
    if update:
        path.write_text(got)
        return ""
    lines = difflib.unified_diff(
        wanted.splitlines(True), got.splitlines(True), f"{case.name}/{name}", "got"
    )
    return "".join(lines) or f"{case.name}/{name} does not exist"


def missing_codes(binary, cases):
    page = run(binary, HERE, "docs", ["diagnostics"]).stdout
    codes = set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.M))
    if not codes:
        return ["(no code on the page)"]
    seen = set()
    for case in cases:
        seen |= set(re.findall(r": (?:note|warning|error)\[([a-z0-9-]+)\]",
                               (case / "diags.txt").read_text()))
    return sorted(codes - seen - set(ELSEWHERE))


def report(number, name, problem):
    print(f"{'not ok' if problem else 'ok'} {number} - {name}", flush=True)
    for line in problem.splitlines():
        print(f"# {line}", flush=True)
    return not problem


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--update", action="store_true", help="rewrite the expected files")
    parser.add_argument("--binary", default=os.environ.get("SLUICEGATE", "sluicegate"))
    parser.add_argument("cases", nargs="*", help="names of cases; all when none is given")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary) if os.sep in options.binary else options.binary
    cases = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name[0] not in "._")
    if options.cases:
        cases = [case for case in cases if case.name in options.cases]
    print(f"1..{len(cases) + (not options.cases)}", flush=True)
    good = True
    for number, case in enumerate(cases, 1):
        try:
            got = outputs(binary, case)
            problem = "".join(compare(case, name, text, options.update) for name, text in got.items())
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            problem = str(error) or repr(error)
        good &= report(number, case.name, problem)
    if not options.cases:
        absent = missing_codes(binary, cases)
        good &= report(len(cases) + 1, "every diagnostic code occurs in a case",
                       "missing: " + ", ".join(absent) if absent else "")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
