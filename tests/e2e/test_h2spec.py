# SPDX-License-Identifier: Apache-2.0
"""h2spec, the conformance tests of RFC 9113 and RFC 7541, in clear text and over TLS."""

import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest
from harness.manifests import https_route
from harness.upstream import answering

SOURCE = pathlib.Path(__file__).parent / "h2spec"
COMMAND = "github.com/summerwind/h2spec/cmd/h2spec"


@pytest.fixture(scope="module")
def h2spec():
    """Built once and kept; go.mod says which."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        pytest.skip("h2spec is built with Go, which is not installed")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    version = re.search(r"h2spec (v[\d.]+)", (SOURCE / "go.mod").read_text()).group(1)
    program = cache / "sluicegate" / f"h2spec-{version}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        beside = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run([go, "build", "-mod=readonly", "-o", str(beside), COMMAND], cwd=SOURCE,
                              capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            pytest.skip(f"h2spec cannot be built: {done.stderr.strip().splitlines()[-1:]}")
        beside.rename(program)
    return program


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_h2spec_passes_whole(gateway, upstream, pair, h2spec, tmp_path, tls):
    served = gateway(https_route(upstream(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")), pair=pair).replace(
            '"test.example"', '"*"'), ports=(80, 443))
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [str(h2spec), "-S", "-h", "127.0.0.1", "-p", str(served.tls_port if tls else served.port),
         "-j", str(report), *(["-t", "-k"] if tls else [])],
        capture_output=True, text=True, timeout=240)
    cases = xml.parse(report).getroot().iter("testcase")
    outcomes = {f"{x.get('package')}: {x.get('classname')}":
                "failed" if x.find("failure") is not None or x.find("error") is not None
                else "skipped" if x.find("skipped") is not None else "passed" for x in cases}
    failed = [k for k, outcome in outcomes.items() if outcome == "failed"]
    # In clear text the port speaks HTTP/1.1, too: what is no preface gets its 400, and then the end.
    shared = [] if tls else ["http2/3.5: Sends invalid connection preface"]
    assert failed == shared, f"{failed}\n{done.stdout[-3000:]}"
    assert sum(x == "passed" for x in outcomes.values()) == 146 - len(shared), outcomes
