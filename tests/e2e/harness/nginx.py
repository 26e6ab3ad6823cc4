# SPDX-License-Identifier: Apache-2.0
"""A real web server, Debian's nginx, in a namespace: HTTP and HTTPS for any host. It answers with
what it was asked; its log says a line a request, with the connection's number."""

import json
import pathlib
import subprocess

from .gateway import Lines
from .netns import program

CONFIGURATION = """
daemon off; master_process off; pid %(folder)s/nginx.pid; error_log stderr warn;
events { worker_connections 512; }
http {
    log_format facts escape=json '{"connection": $connection, "request": $connection_requests, '
        '"scheme": "$scheme", "host": "$host", "sni": "$ssl_server_name", "uri": "$request_uri", '
        '"method": "$request_method", "protocol": "$server_protocol", "client": "$remote_addr", '
        '"reused": "$ssl_session_reused", "subject": "$ssl_client_s_dn", "status": $status}';
    access_log /dev/stdout facts;
    client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
    uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
    keepalive_timeout %(keepalive)s; keepalive_requests 100000;
    server {
        %(listen)s
        %(tls)s
        default_type text/plain;
        location / { return 200 "$scheme $host $ssl_server_name $request_uri\\n"; }
    }
}
"""


class Nginx:
    """`pair`: its certificate; `http`, `https`: lists of addresses with ports; `extra`: directives of
    the server; `keepalive`: as nginx writes it ("75s")."""

    def __init__(self, folder, netns, pair=None, http=("0.0.0.0:80",), https=("0.0.0.0:443",),
                 keepalive="75s", extra=""):
        self.folder = pathlib.Path(folder)
        self.netns = netns
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = [f"listen {x};" for x in http]
        tls = ""
        if pair:
            listen += [f"listen {x} ssl http2;" for x in https]
            certificate, key = pair.save(self.folder)
            tls = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
        self.path = self.folder / "nginx.conf"
        self.path.write_text(CONFIGURATION % {
            "folder": self.folder, "listen": " ".join(listen), "tls": tls + extra,
            "keepalive": keepalive})
        self.ports = [int(x.rsplit(":", 1)[1]) for x in (*http, *(https if pair else ()))]
        self.start()

    def start(self):
        self.process = self.netns.start(program("nginx"), "-p", self.folder, "-c", self.path,
                                        "-e", "stderr",
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.log = Lines(self.process.stdout)
        self.errors = Lines(self.process.stderr)
        for port in self.ports:
            self.netns.wait_for_port(port)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def mark(self):
        return self.log.mark()

    def seen(self, uri, start=0, count=1):
        """What it logged of the first `count` requests for that path since `start`."""
        found = self.log.wait_for(rf'^.*"uri": "{uri}".*$', start=start, count=count)
        return [json.loads(m.group(0)) for m in found]
