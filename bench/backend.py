# SPDX-License-Identifier: Apache-2.0
"""What stands behind the programs that are compared: nginx as the origin, over HTTP/1.1, HTTP/1.1 in
TLS and HTTP/2 in clear; and the certificate that all show.

Words of the rows: a *front* is what clients speak to the program under test: `http` (HTTP/1.1),
`h2c` (HTTP/2 in clear), `https` (TLS; HTTP/2 or HTTP/1.1 by ALPN), `tcp` (bytes), `sni` (TLS that is
passed on by its name). A *back* is what that program speaks to the backend: `http`, `https` (both
HTTP/1.1) or `h2c`."""
import functools
import os
import re
import socket
import ssl
import subprocess
import time

from measure import Process

NAME = "h0.example.com"
# A client preface and an empty SETTINGS: whoever speaks HTTP/2 answers with its own.
H2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
GRPC_PATH = "/bench.Echo/Unary"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_ports(names):
    """A port for each name, no two alike."""
    sockets = {name: socket.socket() for name in names}
    for s in sockets.values():
        s.bind(("127.0.0.1", 0))
    ports = {name: s.getsockname()[1] for name, s in sockets.items()}
    for s in sockets.values():
        s.close()
    return ports


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


@functools.cache
def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def connect(port, front="http", timeout=5):
    """A socket over which HTTP/1.1 can be spoken to the program or, behind it, to the backend."""
    s = socket.create_connection(("127.0.0.1", port), timeout)
    if front not in ("https", "sni"):
        return s
    return client_context().wrap_socket(s, server_hostname=NAME)


def answers(port, front, host):
    with connect(port, front, 1) as s:
        if front == "h2c":
            s.sendall(H2_HELLO)
            return s.recv(9)[3:4] == b"\x04"
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return s.recv(16).startswith(b"HTTP/1.1 200")


def wait_for(port, process, front="http", host=NAME, timeout=10):
    """Until the port answers; returns the seconds since the process began. One that does not is
    ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.popen.poll() is None:
        try:
            if answers(port, front, host):
                return time.monotonic() - process.begin
        except OSError:
            pass
    ended = process.popen.poll()
    process.stop()
    raise RuntimeError(f"{process.name} " + ("does not answer" if ended is None else
                                             f"ended with {ended}"))


def make_certificate(folder):
    """One P-256 certificate for all: tls.crt, tls.key, and both in tls.pem as HAProxy wants them."""
    key, crt = os.path.join(folder, "tls.key"), os.path.join(folder, "tls.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={NAME}",
                    "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", crt],
                   check=True, capture_output=True)
    with open(crt) as c, open(key) as k:
        write(os.path.join(folder, "tls.pem"), c.read() + k.read())


class Backend(Process):
    """A small answer at /, files under /f/ (64k, 1m, 64m), a gRPC answer, and counters."""

    def __init__(self, folder, core):
        self.ports = free_ports(("http", "https", "h2c"))
        for name, size in (("64k", 1 << 16), ("1m", 1 << 20), ("64m", 1 << 26)):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(os.urandom(size))
        with open(os.path.join(folder, "grpc"), "wb") as f:
            f.write(b"\0\0\0\0\x07\x0a\x05hello")
        write(os.path.join(folder, "backend.conf"), self.configuration(folder))
        super().__init__("backend", ["nginx", "-e", f"{folder}/backend.err", "-c",
                                     f"{folder}/backend.conf"], core)
        wait_for(self.ports["http"], self)

    def configuration(self, folder):
        # gRPC asks by POST, which files do not take: the answer stands behind that error.
        locations = f"""
    location / {{ return 200 "hello, world\\n"; }}
    location = /stub {{ stub_status; }}
    location /f/ {{ alias {folder}/; }}
    location {GRPC_PATH} {{ root {folder}; error_page 404 405 =200 /grpc; }}
    location = /grpc {{ root {folder}; types {{}} default_type application/grpc;
      add_trailer grpc-status 0; }}"""
        return f"""
worker_processes 1; daemon off; master_process off; pid {folder}/backend.pid;
error_log {folder}/backend.err; events {{ worker_connections 16384; }} worker_rlimit_nofile 40000;
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2; fastcgi_temp_path {folder}/b3;
  uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5; sendfile on; tcp_nopush on;
  ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519;
  http2_max_concurrent_streams 1024;
  server {{ listen 127.0.0.1:{self.ports['http']} reuseport backlog=4096;
    listen 127.0.0.1:{self.ports['https']} ssl reuseport backlog=4096;
    listen 127.0.0.1:{self.ports['h2c']} http2 reuseport backlog=4096;{locations} }} }}
"""

    def counters(self):
        """Connections accepted and requests answered so far, this question included in both."""
        with connect(self.ports["http"]) as s:
            s.sendall(b"GET /stub HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(4096), b"")).decode()
        accepted, _, requests = re.search(r"requests\s+(\d+) (\d+) (\d+)", text).groups()
        return int(accepted), int(requests)
