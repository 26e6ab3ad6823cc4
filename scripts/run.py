#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make run: two httpbins, the gateway on examples/quickstart, and what to ask it. Ctrl-C ends all."""

import argparse
import base64
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
HTTPBINS = [("127.0.0.2", 8101), ("127.0.0.3", 8101)]  # as examples/quickstart/httpbin.yaml says
NODE_PORT = 30007
SECURE_HOST = "secure.example.com"
SECURE = """# Written by `make run`, with a certificate made for it.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: secure
spec:
  ingressClassName: external-lb
  tls:
    - hosts: [{host}]
      secretName: secure
  rules:
    - host: {host}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: test
                port:
                  number: 80
---
apiVersion: v1
kind: Secret
metadata:
  name: secure
type: kubernetes.io/tls
data:
  tls.crt: {certificate}
  tls.key: {key}
"""
DIES_WITH_US = ["setpriv", "--pdeathsig", "TERM"]  # also when this process is killed outright


def is_free(host, port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host, wanted):
    """The wanted port or the first free one of the hundred behind it."""
    for port in range(wanted, wanted + 100):
        if is_free(host, port):
            return port
    sys.exit(f"run: no free port from {wanted} on; name one with `make run PORT=...`")


def wait_until_open(host, port, process, stopped):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex((host, port)) == 0:
                return
        if process.poll() is not None:
            sys.exit(f"run: httpbin on {host}:{port} ended with status {process.returncode}")
        if stopped.wait(0.1):
            return
    sys.exit(f"run: httpbin on {host}:{port} did not answer within 20 s")


def write_secure(folder):
    """An Ingress with a certificate of its own, which nobody trusts but curl's --cacert."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "ca.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "365", "-subj", f"/CN={SECURE_HOST}", "-addext", f"subjectAltName=DNS:{SECURE_HOST}",
         "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    data = {"certificate": certificate, "key": key}
    data = {name: base64.b64encode(path.read_bytes()).decode() for name, path in data.items()}
    (folder / "secure.yaml").write_text(SECURE.format(host=SECURE_HOST, **data))
    key.unlink()
    return certificate


def manual(port, node_port, secure_port, certificate):
    url = f"http://127.0.0.1:{port}"
    secure = f"--cacert {certificate} --resolve {SECURE_HOST}:{secure_port}:127.0.0.1"
    secure_url = f"https://{SECURE_HOST}:{secure_port}"
    rows = [
        ("NodePort: connections balanced over the Pods of my-service", [
            (f"curl -I http://127.0.0.1:{node_port}/status/200", "200 from httpbin itself")]),
        ("Ingress: minimal-ingress, rewrite-target /", [
            (f"curl -I {url}/testpath", "200; httpbin sees /"),
            (f"curl -I {url}/nothing", "404: no path takes it")]),
        ("IngressClass and a virtual host: hello-world.info", [
            (f"curl -H Host:hello-world.info {url}/get", "200, JSON with the headers as they arrive"),
            (f"curl -H Host:elsewhere.info {url}/get", "404: only /testpath is open to every host")]),
        ("Istio Gateway and VirtualService", [
            (f"curl -I -HHost:httpbin.example.com {url}/status/200",
             "200, server: istio-envoy, x-envoy-upstream-service-time: ..."),
            (f"curl -I -HHost:httpbin.example.com {url}/delay/2", "200 after two seconds"),
            (f"curl -I -HHost:httpbin.example.com {url}/1status/200", "404")]),
        ("TLS and HTTP/2: an Ingress with a certificate", [
            (f"curl -I {secure} {secure_url}/get", "HTTP/2 200"),
            (f"curl -I -HHost:{SECURE_HOST} {url}/get", "308 to https")]),
    ]
    lines = []
    for title, commands in rows:
        lines.append(f"\n  {title}")
        for command, answer in commands:
            lines.append(f"    {command}\n        {answer}")
    lines.append("\n  Each request writes a line below; the last address in quotes is the httpbin")
    lines.append("  that answered: both get their share.")
    lines.append("  Edit a file in examples/quickstart: the change is live when it is saved.")
    lines.append("  http://127.0.0.1:15000/ has /config_dump, /clusters and /metrics. Ctrl-C ends it all.\n")
    return "\n".join(lines)


def start_gateway(binary, port, node_port, secure_port, folder):
    """Starts the gateway and returns it with its ready line, or ends with what it complained about."""
    argv = [*DIES_WITH_US, binary, "run", "-f", str(ROOT / "examples/quickstart"),
            "-f", str(folder), "--bind", "127.0.0.1", "--port-map", f"80={port}",
            "--port-map", f"443={secure_port}", "--port-map", f"{NODE_PORT}={node_port}"]
    admin = free_port("127.0.0.1", 15000)
    argv += ["--admin", f"127.0.0.1:{admin}"]
    gateway = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in gateway.stderr:
        sys.stderr.write(line)
        if line.startswith("sluicegate: ready"):
            return gateway, admin
    sys.exit(f"run: the gateway ended with status {gateway.wait()}")


def in_foreground(action):
    """Runs the action in a process that has the terminal for itself: Ctrl-C then is no signal to
    make, which would report an interrupted recipe. One that is sent to make's process group ends it
    as well, and in the background nothing is taken from anybody."""
    if not sys.stdin.isatty() or os.tcgetpgrp(0) != os.getpgrp():
        return action()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # no shell would know how to continue it
        parent = os.getppid()
        sys.exit(action(lambda: os.getppid() != parent))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.tcsetpgrp(0, os.getpgrp())


def end(processes):
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(is_orphan=lambda: False):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()

    stopped = threading.Event()
    processes = []
    # Children live in sessions of their own, so that Ctrl-C reaches this process alone and the
    # gateway can finish its requests before the httpbins go.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        for host, port in HTTPBINS:
            if not is_free(host, port):
                sys.exit(f"run: {host}:{port} is in use, and examples/quickstart expects httpbin there")
            processes.append(subprocess.Popen(
                [*DIES_WITH_US, "/usr/bin/python3", "-m", "gunicorn", "--worker-class", "gthread",
                 "--threads", "8", "--keep-alive", "60", "--log-level", "error",
                 "--bind", f"{host}:{port}", "httpbin:app"],
                start_new_session=True, cwd=os.path.expanduser("~")))
        for (host, port), process in zip(HTTPBINS, list(processes)):
            wait_until_open(host, port, process, stopped)
        port = free_port("127.0.0.1", options.port)
        node_port = free_port("127.0.0.1", NODE_PORT)
        secure_port = free_port("127.0.0.1", port + 1)
        certificate = write_secure(ROOT / ".run/secure")
        gateway, admin = start_gateway(options.binary, port, node_port, secure_port,
                                       certificate.parent)
        processes.insert(0, gateway)
        print(manual(port, node_port, secure_port, os.path.relpath(certificate)).replace(":15000/", f":{admin}/"), flush=True)
        threading.Thread(target=lambda: [sys.stderr.write(line) for line in gateway.stderr],
                         daemon=True).start()
        while not stopped.wait(0.5) and not is_orphan():
            if gateway.poll() is not None:
                sys.exit(f"run: the gateway ended with status {gateway.returncode}")
    finally:
        end(processes[:1])
        end(processes)
    return 0


if __name__ == "__main__":
    sys.exit(in_foreground(main))
