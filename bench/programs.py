# SPDX-License-Identifier: Apache-2.0
"""The programs that are compared; backend.py is what stands behind them."""
import subprocess

import ours
import peers

PROGRAMS = {"sluicegate": ours.sluicegate, "nginx": peers.nginx, "haproxy": peers.haproxy}


def versions():
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    haproxy = subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    return {"nginx": nginx, "haproxy": haproxy.splitlines()[0],
            "openssl": " ".join(openssl.split()[:2])}
