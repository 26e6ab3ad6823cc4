# SPDX-License-Identifier: Apache-2.0
"""Envoy, where there is one ($ENVOY, or `envoy` on the path): as gateway and as a sidecar's outbound side,
one thread, with no more filters than the router. Istio's sidecars have several more."""
import json
import os
import shutil
import subprocess

from backend import NAME, free_port, wait_for, write
from measure import Process

TYPE = "type.googleapis.com/envoy."


def binary():
    return os.environ.get("ENVOY") or shutil.which("envoy")


def version():
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True).stdout
    return "Envoy " + said.split("version:")[1].split("/")[1]


def socket_address(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


def typed(name, kind, **values):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **values}}


def manager():
    """What serves HTTP on a connection."""
    return typed(
        "http", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="b", normalize_path=True, use_remote_address=True,
        route_config={"virtual_hosts": [{"name": "b", "domains": [NAME, NAME + ":*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "b", "timeout": "0s"}}]}]},
        http_filters=[typed("router", "extensions.filters.http.router.v3.Router")])


def listeners(port, is_captured):
    if not is_captured:
        return [{"name": "l", "address": socket_address("127.0.0.1", port),
                 "filter_chains": [{"filters": [manager()]}]}]
    # As Istio has it: one listener takes what is captured and hands it to that of the port dialled.
    return [
        {"name": "out", "address": socket_address("127.0.0.1", port), "use_original_dst": True,
         "listener_filters": [typed("original_dst", "extensions.filters.listener.original_dst.v3"
                                    ".OriginalDst")],
         "filter_chains": [{"filters": [typed(
             "none", "extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="n",
             cluster="none")]}]},
        {"name": "80", "address": socket_address("0.0.0.0", 80), "bind_to_port": False,
         "filter_chains": [{"filters": [manager()]}]}]


def cluster(backend, back):
    one = {"name": "b", "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
        "cluster_name": "b", "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": socket_address("127.0.0.1", backend.ports[back])}}]}]}}
    if back == "https":
        one["transport_socket"] = typed(
            "tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni=NAME,
            common_tls_context={"tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3"}})
    return one


def envoy(folder, core, backend, back="http", captured_at=None, name="envoy"):
    """`captured_at`: the port where captured connections arrive."""
    port = captured_at or free_port()
    conf = write(os.path.join(folder, f"{name}.json"), json.dumps({"static_resources": {
        "listeners": listeners(port, captured_at), "clusters": [
            cluster(backend, back),
            {"name": "none", "type": "STATIC", "connect_timeout": "1s"}]}}))
    log_path = os.path.join(folder, f"{name}.err")
    with open(log_path, "w") as log_file:
        process = Process(name, [binary(), "-c", conf, "--concurrency", "1",
                                 "--disable-hot-restart", "-l", "error"], core, stderr=log_file)
    process.port, process.front = port, "http"
    if not captured_at:
        process.started_s = wait_for(port, process)
    return process
