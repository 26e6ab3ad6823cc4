# SPDX-License-Identifier: Apache-2.0
"""testssl.sh finds nothing worse than what was configured."""

import json
import os
import shutil
import subprocess

import pytest
from harness.certificates import tls_secret
from harness.manifests import (documents, gateway_of, https_route, route, server, service, simple,
                               virtual_service)

BAD = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"}
# Of certificates that a test authority signed for 30 days, and of an HTTP answer without headers of
# the application: nothing that a gateway decides.
NOT_OURS = ("cert_", "OCSP", "DNS_CAA", "CAA", "HSTS", "scanTime", "engine_problem", "overall_grade",
            "grade_cap", "final_score", "security_headers", "certificate_transparency")
CHECKS = ["--protocols", "--std", "--server-preference", "--fs", "--server-defaults",
          "--heartbleed", "--ccs-injection", "--ticketbleed", "--robot", "--renegotiation", "--crime",
          "--poodle", "--tls-fallback", "--sweet32", "--freak", "--logjam", "--beast", "--lucky13",
          "--rc4"]


@pytest.fixture(autouse=True)
def release_only():
    if os.environ.get("SLUICEGATE_TEST_PATIENCE", "1") != "1":
        pytest.skip("testssl.sh takes minutes with a sanitizer, and finds what it finds without")


def findings(port, folder, checks):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        pytest.skip("testssl.sh is not installed")
    report = folder / "report.json"
    done = subprocess.run(
        [program, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none", "--jsonfile",
         str(report), *checks, f"test.example:{port}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    assert report.exists(), done.stdout + done.stderr
    return {x["id"]: x for x in json.loads(report.read_text())}


def bad_ones(found):
    return {k: (x["severity"], x["finding"]) for k, x in found.items()
            if x["severity"] in BAD and not k.startswith(NOT_OURS)}


def test_nothing_is_worse_than_configured(gateway, upstream, pair, tmp_path):
    served = gateway(https_route(upstream(), pair=pair), ports=(80, 443))
    found = findings(served.tls_port, tmp_path, CHECKS)
    assert not bad_ones(found)
    for name, offered in (("SSLv2", False), ("SSLv3", False), ("TLS1", False), ("TLS1_1", False),
                          ("TLS1_2", True), ("TLS1_3", True)):
        assert found[name]["finding"].startswith("offered") == offered, found[name]


def test_old_versions_are_found_where_they_are_asked_for(gateway, upstream, pair, tmp_path):
    """That the scan would see them."""
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", pair),
        gateway_of("gateway", server("test.example", tls=simple(
            "cert", minProtocolVersion="TLSV1_0"))),
        virtual_service("test", "test.example", route("test"))), ports=(443,))
    found = findings(served.tls_port, tmp_path, ["--protocols"])
    assert found["TLS1"]["finding"].startswith("offered")
    assert {"TLS1", "TLS1_1"} <= set(bad_ones(found))
