# SPDX-License-Identifier: Apache-2.0
"""Manifests as a test needs them. JSON is YAML, so what is generated here is plain JSON documents."""

import json

from .certificates import tls_secret


def documents(*objects):
    """One text of several documents; strings are taken as they are."""
    return "\n---\n".join(x if isinstance(x, str) else json.dumps(x) for x in objects) + "\n"


def metadata(name, namespace="default", **more):
    return {"name": name, "namespace": namespace, **more}


def endpoint_slice(service, upstream, number=0, ready=True, namespace="default", port_name=""):
    host, port = (upstream.host, upstream.port) if hasattr(upstream, "host") else upstream
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(f"{service}-{number}", namespace,
                             labels={"kubernetes.io/service-name": service}),
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": {"ready": ready}}],
    }


def service(name, *upstreams, port=80, namespace="default", port_name="", app_protocol=None, **spec):
    """A Service and an EndpointSlice for each upstream (each listens on a port of its own)."""
    entry = {"port": port, "protocol": "TCP", **({"name": port_name} if port_name else {}),
             **({"appProtocol": app_protocol} if app_protocol else {})}
    head = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, namespace),
        "spec": {"ports": [entry], **spec},
    }
    slices = [endpoint_slice(name, up, i, namespace=namespace, port_name=port_name)
              for i, up in enumerate(upstreams)]
    return documents(head, *slices).rstrip("\n")


def backend(name, port=80):
    return {"service": {"name": name, "port": {"number": port}}}


def path(value, name, port=80, kind="Prefix"):
    return {"path": value, "pathType": kind, "backend": backend(name, port)}


def ingress(name, *rules, annotations=None, namespace="default", default=None, **spec):
    """`rules` are (host or None, path, path, ...)."""
    text = []
    for host, *paths in rules:
        rule = {"http": {"paths": paths}}
        if host:
            rule["host"] = host
        text.append(rule)
    spec = dict(spec)
    if text:
        spec["rules"] = text
    if default:
        spec["defaultBackend"] = backend(default)
    short = {f"nginx.ingress.kubernetes.io/{k}": v for k, v in (annotations or {}).items()}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(name, namespace, **({"annotations": short} if short else {})),
        "spec": spec,
    }


def gateway(name, *hosts, port=80, namespace="default"):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": metadata(name, namespace),
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": port, "name": f"http-{port}", "protocol": "HTTP"},
                         "hosts": list(hosts)}],
        },
    }


def server(*hosts, port=443, protocol="HTTPS", name=None, tls=None):
    """An entry of a Gateway's `servers`."""
    name = name or f"{protocol.lower()}-{port}-{hosts[0].replace('*', 'any').replace('.', '-')}"
    return {"port": {"number": port, "name": name, "protocol": protocol}, "hosts": list(hosts),
            **({"tls": tls} if tls else {})}


def gateway_of(name, *servers, namespace="default"):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": metadata(name, namespace),
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": list(servers)},
    }


def istio(kind, name, namespace="default", **spec):
    """Any object of networking.istio.io."""
    return {"apiVersion": "networking.istio.io/v1", "kind": kind,
            "metadata": metadata(name, namespace), "spec": spec}


def service_entry(name, *hosts, ports=((80, "http", "HTTP"),), resolution="DNS", namespace="default",
                  **spec):
    """Ports are (number, name, protocol) or (number, name, protocol, targetPort)."""
    keys = ("number", "name", "protocol", "targetPort")
    return istio("ServiceEntry", name, namespace, hosts=list(hosts),
                 ports=[dict(zip(keys, port)) for port in ports], resolution=resolution, **spec)


def simple(credential, **more):
    return {"mode": "SIMPLE", "credentialName": credential, **more}


def destination_rule(name, host, namespace="default", **policy):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": metadata(name, namespace),
        "spec": {"host": host, "trafficPolicy": policy},
    }


def virtual_service_of(name, *hosts, gateways=("gateway",), namespace="default", **spec):
    """With tcp=[...] or tls=[...] rules as they are."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(name, namespace),
        "spec": {"hosts": list(hosts), "gateways": list(gateways), **spec},
    }


def l4_route(*destinations, port=None, sni=None, **match):
    """A rule of `tcp` or (with sni names) `tls`; destinations are (service, weight) or service."""
    match = {**match, **({"port": port} if port else {}), **({"sniHosts": list(sni)} if sni else {})}
    return route(*destinations, **({"match": [match]} if match else {}))


def virtual_service(name, host, *http, gateways=("gateway",), namespace="default"):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(name, namespace),
        "spec": {"hosts": [host], "gateways": list(gateways), "http": list(http)},
    }


def route(*destinations, **rule):
    """An http rule; destinations are (service, weight) or service."""
    many = len(destinations) > 1
    out = []
    for item in destinations:
        name, weight = item if isinstance(item, tuple) else (item, None)
        out.append({"destination": {"host": name, "port": {"number": 80}},
                    **({"weight": weight} if many else {})})
    return {**rule, "route": out}


def one_route(*upstreams, app_protocol=None, **rule):
    """The usual case of a protocol test: every request of test.example goes to these upstreams."""
    return documents(service("test", *upstreams, app_protocol=app_protocol),
                     gateway("gateway", "test.example"),
                     virtual_service("test", "test.example", route("test", **rule)))


def https_route(*upstreams, pair, tls=None, app_protocol=None, **rule):
    """The same over TLS (port 443) and plain HTTP (port 80); the certificate is `pair`."""
    return documents(service("test", *upstreams, app_protocol=app_protocol),
                     tls_secret("test-cert", pair),
                     gateway_of("gateway", server("test.example", port=80, protocol="HTTP"),
                                server("test.example", tls=simple("test-cert", **(tls or {})))),
                     virtual_service("test", "test.example", route("test", **rule)))
