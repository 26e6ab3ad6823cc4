# SPDX-License-Identifier: Apache-2.0
"""nginx and HAProxy, each configured as an expert would: one thread on one core, keepalive pools to
the backend, SO_REUSEPORT, no logging unless the scenario asks for it, TLS 1.3 only."""
import os

from backend import NAME, free_port, wait_for, write
from measure import Process

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


def nginx_http(folder, backend, port, hosts, prefixes, log, front, back, tickets, name):
    passing = {"http": "proxy_pass http://u;", "h2c": "grpc_pass grpc://u;",
               "https": f"proxy_pass https://u; proxy_ssl_server_name on; proxy_ssl_name {NAME};"
               " proxy_ssl_protocols TLSv1.3;"}
    passing = passing[back]
    locations = "".join(f"location /p{i}/ {{ {passing} }}\n" for i in range(prefixes))
    common = f"location / {{ {passing} }}\n{locations}"
    listen = {"http": "", "h2c": " http2", "https": " ssl http2"}[front]
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}{listen}{' default_server reuseport' if i == 0 else ''}; "
        f"server_name h{i}.example.com; {common} }}\n" for i in range(hosts))
    secure = f"""ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
  ssl_protocols TLSv1.3; ssl_session_tickets {'on' if tickets else 'off'}; ssl_session_cache off;
  http2_max_concurrent_streams 256; http2_recv_buffer_size 256k;""" if front == "https" else ""
    access = f"access_log {log} main buffer=64k flush=1s;" if log else "access_log off;"
    return f"""
http {{ keepalive_requests 1000000000; keepalive_timeout 3600s;
  proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k;
  proxy_max_temp_file_size 0;
  log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time $upstream_addr $upstream_response_time $upstream_status $request_id';
  {access}
  client_body_temp_path {folder}/{name}1; proxy_temp_path {folder}/{name}2;
  fastcgi_temp_path {folder}/{name}3; uwsgi_temp_path {folder}/{name}4; scgi_temp_path {folder}/{name}5;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  {secure}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-ID $request_id;
  grpc_set_header Host $host; grpc_set_header X-Forwarded-For $remote_addr;
  grpc_set_header X-Request-ID $request_id;
  upstream u {{ server 127.0.0.1:{backend.ports[back]}; keepalive 512; keepalive_requests 1000000000; }}
  {servers} }}
"""


def nginx_stream(backend, port, front, back):
    to = f"127.0.0.1:{backend.ports[back]}"
    choose = f"""map $ssl_preread_server_name $to {{ {NAME} u; }}
  server {{ listen 127.0.0.1:{port} reuseport; ssl_preread on; proxy_pass $to; }}""" \
        if front == "sni" else f"server {{ listen 127.0.0.1:{port} reuseport; proxy_pass u; }}"
    return f"""
stream {{ proxy_buffer_size 64k; proxy_timeout 3600s; upstream u {{ server {to}; }}
  {choose} }}
"""


def nginx(folder, core, backend, hosts=1, prefixes=0, log=None, front="http", back="http",
          tickets=True, name="nginx"):
    """None where a TCP front is asked for and its module is not installed."""
    port = free_port()
    module = ""
    if front in ("tcp", "sni"):
        if not os.path.exists(STREAM_MODULE):
            return None
        module = f"load_module {STREAM_MODULE};"
        body = nginx_stream(backend, port, front, back)
    else:
        body = nginx_http(folder, backend, port, hosts, prefixes, log, front, back, tickets, name)
    conf = write(os.path.join(folder, f"{name}.conf"), f"""{module}
worker_processes 1; daemon off; master_process off; pid {folder}/{name}.pid;
error_log {folder}/{name}.err; events {{ worker_connections 20000; }} worker_rlimit_nofile 40000;
{body}""")
    process = Process(name, ["nginx", "-e", f"{folder}/{name}.err", "-c", conf], core)
    process.port, process.front = port, front
    process.started_s = wait_for(port, process, front)
    return process


def haproxy_frontend(folder, port, hosts, prefixes, front, tickets, name):
    hosts_map = write(os.path.join(folder, f"{name}.map"),
                      "".join(f"h{i}.example.com b\n" for i in range(hosts)))
    paths_map = write(os.path.join(folder, f"{name}-paths.map"),
                      "".join(f"/p{i}/ b\n" for i in range(prefixes)))
    bind = {"h2c": " proto h2", "https": f" ssl crt {folder}/tls.pem alpn h2,http/1.1"}
    lines = [f"bind 127.0.0.1:{port}{bind.get(front, '')}"
             + ("" if tickets or front != "https" else " no-tls-tickets")]
    if front == "sni":
        lines += ["tcp-request inspect-delay 5s",
                  "tcp-request content accept if { req.ssl_hello_type 1 }",
                  f"use_backend %[req.ssl_sni,lower,map_str({hosts_map})]"]
    elif front == "tcp":
        lines += ["default_backend b"]
    else:
        lines += ["option forwardfor",
                  "unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid",
                  "unique-id-header X-Request-ID",
                  f"use_backend %[path,map_beg({paths_map},b)]" if prefixes else
                  f"use_backend %[req.hdr(host),field(1,:),lower,map_str({hosts_map},b)]"]
    return "frontend f\n  " + "\n  ".join(lines)


def haproxy(folder, core, backend, hosts=1, prefixes=0, log=None, front="http", back="http",
            tickets=True, name="haproxy"):
    port = free_port()
    is_bytes = front in ("tcp", "sni")
    to = {"http": "", "h2c": " proto h2", "https": f" ssl verify none sni str({NAME})"}[back]
    server = f"server s 127.0.0.1:{backend.ports[back]}" + \
        ("" if is_bytes else f"{to} pool-max-conn 512")
    conf = write(os.path.join(folder, f"{name}.cfg"), f"""
global
  nbthread 1
  maxconn 6000
  tune.pipesize 1048576
  tune.h2.max-concurrent-streams 256
  tune.h2.initial-window-size 1048576
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  {'tune.ssl.cachesize 0' if front == 'https' else ''}
  {'log ' + log + ' format raw local0' if log else ''}
defaults
  mode {'tcp' if is_bytes else 'http'}
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  option splice-response
  {'option splice-request' if is_bytes else ''}
  {'log global' if log else ''}
  {'option httplog' if log else ''}
{haproxy_frontend(folder, port, hosts, prefixes, front, tickets, name)}
backend b
  {'' if is_bytes else 'http-reuse always'}
  {server}
""")
    process = Process(name, ["haproxy", "-f", conf], core)
    process.port, process.front = port, front
    process.started_s = wait_for(port, process, front)
    return process
