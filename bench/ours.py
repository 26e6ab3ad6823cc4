# SPDX-License-Identifier: Apache-2.0
"""Sluicegate: manifests for each front and back (see backend.py), and how it is started."""
import base64
import json
import os

from backend import NAME, free_port, wait_for, write
from measure import Process


def ingresses(path, backend_port, hosts=1, prefixes=0):
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


def istio(kind, name, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name},
            "spec": spec}


def secret(folder):
    data = {}
    for key in ("tls.crt", "tls.key"):
        with open(os.path.join(folder, key), "rb") as f:
            data[key] = base64.b64encode(f.read()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench"},
            "type": "kubernetes.io/tls", "data": data}


def gateway(folder, front):
    """The Gateway of a front with what belongs to it, and its port."""
    number, protocol, tls = {
        "http": (80, "HTTP", None), "h2c": (80, "HTTP2", None),
        "https": (443, "HTTPS", {"mode": "SIMPLE", "credentialName": "bench",
                                 "minProtocolVersion": "TLSV1_3"}),
        "tcp": (9000, "TCP", None), "sni": (443, "TLS", {"mode": "PASSTHROUGH"}),
    }[front]
    server = {"port": {"number": number, "name": front, "protocol": protocol},
              "hosts": ["*" if front == "tcp" else NAME]}
    if tls:
        server["tls"] = tls
    objects = [istio("Gateway", "g", servers=[server])]
    return objects + ([secret(folder)] if front == "https" else []), number


def routes(front, number):
    to = [{"destination": {"host": "s", "port": {"number": 80}}}]
    return {
        "tcp": {"tcp": [{"match": [{"port": number}], "route": to}]},
        "sni": {"tls": [{"match": [{"port": number, "sniHosts": [NAME]}], "route": to}]},
    }.get(front, {"http": [{"route": to}]})


def service(port_name, backend_port):
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
             "spec": {"ports": [{"name": port_name, "port": 80}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "s"}},
             "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
             "ports": [{"name": port_name, "port": backend_port}]}]


def outside_host(backend_port):
    """The same by the way out: a ServiceEntry with TLS originated."""
    host = "s.default.svc.cluster.local"
    return [istio("ServiceEntry", "s", hosts=[host], location="MESH_EXTERNAL", resolution="STATIC",
                  ports=[{"number": 80, "name": "http", "protocol": "HTTP",
                          "targetPort": backend_port}],
                  endpoints=[{"address": "127.0.0.1"}]),
            istio("DestinationRule", "d", host=host, trafficPolicy={
                "tls": {"mode": "SIMPLE", "sni": NAME, "insecureSkipVerify": True}})]


def behind_gateway(folder, path, backend, front, back):
    """An Istio Gateway with one VirtualService and one destination; returns the Gateway's port."""
    objects, number = gateway(folder, front)
    objects.append(istio("VirtualService", "v", hosts=[NAME], gateways=["g"],
                         **routes(front, number)))
    if back == "https" and front != "sni":
        objects += outside_host(backend.ports[back])
    else:
        objects += service("tcp" if front in ("tcp", "sni") else
                           {"http": "http", "h2c": "http2"}[back], backend.ports[back])
    write(path, "\n---\n".join(json.dumps(o, indent=1) for o in objects) + "\n")
    return number


def sluicegate(folder, core, backend, hosts=1, prefixes=0, log=None, front="http", back="http",
               tickets=True, name="sluicegate", under=()):
    """`under`: a command that runs it (valgrind). Tickets are always given: it has no switch."""
    port, admin = free_port(), free_port()
    # A folder of their own: it is watched, and others write into the bench's.
    os.makedirs(os.path.join(folder, f"{name}-manifests"), exist_ok=True)
    path = os.path.join(folder, f"{name}-manifests", "all.yaml")
    number = 80
    if (front, back) == ("http", "http"):
        ingresses(path, backend.ports["http"], hosts, prefixes)
    else:
        number = behind_gateway(folder, path, backend, front, back)
    binary = os.environ.get("SLUICEGATE", "build-release/src/cli/sluicegate")
    log_path = os.path.join(folder, f"{name}.err")
    with open(log_path, "w") as log_file:
        process = Process(name, [*under, binary, "run", "-f", path, "--bind", "127.0.0.1",
                                 "--workers", "1", "--port-map", f"{number}={port}",
                                 "--namespace", "default", "--admin", f"127.0.0.1:{admin}",
                                 "--access-log", log or "off"], core, stderr=log_file)
    process.port, process.admin, process.manifest, process.front = port, admin, path, front
    try:
        process.started_s = wait_for(port, process, front)
    except RuntimeError as error:
        with open(log_path) as f:
            raise RuntimeError(f"{error}; it said:\n{f.read()[-2000:]}") from None
    return process
