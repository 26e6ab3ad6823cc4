# SPDX-License-Identifier: Apache-2.0
"""The programs that are compared, each configured as an expert would: one thread on one core,
keepalive pools to the backend, SO_REUSEPORT, no logging unless the scenario asks for it."""
import os
import socket
import subprocess
import time

from measure import Process


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, path="/", host="h0.example.com", timeout=30):
    """Until the port answers; returns the seconds since the process began."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.sendall(request)
                if s.recv(16).startswith(b"HTTP/1.1"):
                    return time.monotonic() - process.begin
        except OSError:
            pass
        if process.popen.poll() is not None:
            raise RuntimeError(f"{process.name} ended with {process.popen.returncode}")
    raise RuntimeError(f"{process.name} does not answer")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def backend(folder, core):
    """nginx as the origin: a small answer, 64 KiB and 1 MiB."""
    port = free_port()
    for name, size in (("64k", 1 << 16), ("1m", 1 << 20)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(os.urandom(size))
    conf = write(os.path.join(folder, "backend.conf"), f"""
worker_processes 1; daemon off; master_process off; pid {folder}/backend.pid;
error_log {folder}/backend.err; events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2; fastcgi_temp_path {folder}/b3;
  uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5; sendfile on; tcp_nopush on;
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096;
    location / {{ return 200 "hello, world\\n"; }}
    location /f/ {{ alias {folder}/; }} }} }}
""")
    process = Process("backend", ["nginx", "-e", f"{folder}/backend.err", "-c", conf], core)
    wait_for(port, process)
    return process, port


def nginx(folder, core, backend_port, hosts=1, prefixes=0, log=None, name="nginx"):
    port = free_port()
    locations = "".join(f"location /p{i}/ {{ proxy_pass http://u; }}\n" for i in range(prefixes))
    common = f"location / {{ proxy_pass http://u; }}\n{locations}"
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}{' default_server reuseport' if i == 0 else ''}; "
        f"server_name h{i}.example.com; {common} }}\n" for i in range(hosts))
    access = f"access_log {log} main buffer=64k flush=1s;" if log else "access_log off;"
    conf = write(os.path.join(folder, f"{name}.conf"), f"""
worker_processes 1; daemon off; master_process off; pid {folder}/{name}.pid;
error_log {folder}/{name}.err; events {{ worker_connections 20000; }} worker_rlimit_nofile 40000;
http {{ keepalive_requests 1000000000; keepalive_timeout 3600s;
  proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k;
  proxy_max_temp_file_size 0;
  log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time $upstream_addr $upstream_response_time $upstream_status $request_id';
  {access}
  client_body_temp_path {folder}/{name}1; proxy_temp_path {folder}/{name}2;
  fastcgi_temp_path {folder}/{name}3; uwsgi_temp_path {folder}/{name}4; scgi_temp_path {folder}/{name}5;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-ID $request_id;
  upstream u {{ server 127.0.0.1:{backend_port}; keepalive 512; keepalive_requests 1000000000; }}
  {servers} }}
""")
    process = Process(name, ["nginx", "-e", f"{folder}/{name}.err", "-c", conf], core)
    process.port = port
    process.started_s = wait_for(port, process)
    return process


def haproxy(folder, core, backend_port, hosts=1, prefixes=0, log=None, name="haproxy"):
    port = free_port()
    hosts_map = write(os.path.join(folder, f"{name}.map"),
                      "".join(f"h{i}.example.com b\n" for i in range(hosts)))
    paths_map = write(os.path.join(folder, f"{name}-paths.map"),
                      "".join(f"/p{i}/ b\n" for i in range(prefixes)))
    choose = f"use_backend %[path,map_beg({paths_map},b)]" if prefixes else \
             f"use_backend %[req.hdr(host),field(1,:),lower,map_str({hosts_map},b)]"
    conf = write(os.path.join(folder, f"{name}.cfg"), f"""
global
  nbthread 1
  maxconn 6000
  tune.pipesize 1048576
  {'log ' + log + ' format raw local0' if log else ''}
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  option splice-response
  {'log global' if log else ''}
  {'option httplog' if log else ''}
frontend f
  bind 127.0.0.1:{port}
  option forwardfor
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  {choose}
backend b
  http-reuse always
  server s 127.0.0.1:{backend_port} pool-max-conn 512
""")
    process = Process(name, ["haproxy", "-f", conf], core)
    process.port = port
    process.started_s = wait_for(port, process)
    return process


def manifests(path, backend_port, hosts=1, prefixes=0):
    """Ingresses h<i>.example.com, each with its Service and EndpointSlice, in one file."""
    paths = ["/"] + [f"/p{i}" for i in range(prefixes)]
    with open(path, "w") as f:
        for i in range(hosts):
            rules = "".join(f"""
      - path: {p}
        pathType: Prefix
        backend: {{service: {{name: s{i}, port: {{number: 80}}}}}}""" for p in paths)
            f.write(f"""---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: i{i}}}
spec:
  rules:
  - host: h{i}.example.com
    http:
      paths:{rules}
---
apiVersion: v1
kind: Service
metadata: {{name: s{i}}}
spec:
  ports: [{{port: 80}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{i}, labels: {{kubernetes.io/service-name: s{i}}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{port: {backend_port}}}]
""")
    return path


def sluicegate(folder, core, backend_port, hosts=1, prefixes=0, log=None, name="sluicegate"):
    port, admin = free_port(), free_port()
    path = manifests(os.path.join(folder, f"{name}.yaml"), backend_port, hosts, prefixes)
    binary = os.environ.get("SLUICEGATE", "build-release/src/cli/sluicegate")
    process = Process(name, [binary, "run", "-f", path, "--bind", "127.0.0.1", "--workers", "1",
                             "--http-port", str(port), "--admin", f"127.0.0.1:{admin}",
                             "--access-log", log or "off"], core)
    process.port, process.admin, process.manifest = port, admin, path
    process.started_s = wait_for(port, process)
    return process


PROGRAMS = {"sluicegate": sluicegate, "nginx": nginx, "haproxy": haproxy}


def versions():
    out = {}
    out["nginx"] = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    out["haproxy"] = subprocess.run(["haproxy", "-v"], capture_output=True,
                                    text=True).stdout.splitlines()[0]
    return out
