# SPDX-License-Identifier: Apache-2.0
"""The rows in which programs are compared under a load: what each asks is in docs/benchmarks.md."""
from backend import GRPC_PATH
from compare import Row
from loads import h2load, tlsload, wrk

BOTH = ("nginx", "haproxy")
GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")


def plain():
    return [
        Row("h1", "HTTP/1.1 keepalive, 64 connections", wrk(64), limit=0.85),
        Row("h1-2", "the same, 2 connections", wrk(2), limit=0.88),
        Row("log", "64 connections with an access log to a file", wrk(64), log=True, limit=0.85),
        Row("64k", "64 KiB bodies, 16 connections", wrk(16, "/f/64k"), limit=0.95, against=BOTH),
        Row("1m", "1 MiB bodies, 8 connections", wrk(8, "/f/1m"), limit=1.0,
            against=("haproxy",)),
    ]


def secure():
    return [
        Row("tls-h1", "HTTP/1.1 over TLS 1.3, 64 connections", tlsload("keepalive", 64),
            front="https", limit=0.87),
        Row("handshake", "full TLS 1.3 handshakes (P-256), one request each",
            tlsload("full", 16), front="https", limit=0.95),
        Row("handshake-bare", "the same, peers that give no tickets", tlsload("full", 16),
            front="https", tickets=False),
        Row("resumed", "resumed handshakes, one request each", tlsload("resumed", 16),
            front="https"),
        Row("tls-64k", "64 KiB bodies over TLS, 16 connections",
            tlsload("keepalive", 16, "/f/64k"), front="https"),
        Row("tls-1m", "1 MiB bodies over TLS, 8 connections", tlsload("keepalive", 8, "/f/1m"),
            front="https"),
        Row("egress", "HTTP/1.1 in, TLS to the backend, 64 connections", wrk(64), back="https",
            limit=0.87),
    ]


def http2(grpc_request):
    return [
        Row("h2-h1", "HTTP/2 over TLS, 8 connections x 32 streams, to HTTP/1.1", h2load(8, 32),
            front="https", limit=0.90, against=("haproxy",)),
        Row("h2-h2c", "the same, to HTTP/2 in clear", h2load(8, 32), front="https", back="h2c"),
        Row("h2c", "HTTP/2 in clear, 8 x 32, to HTTP/1.1", h2load(8, 32, secure=False),
            front="h2c"),
        Row("grpc", "gRPC unary over TLS, 8 x 32, to HTTP/2 in clear",
            h2load(8, 32, GRPC_PATH, (*GRPC, "-d", grpc_request)), front="https", back="h2c"),
        Row("h2-1m", "1 MiB bodies over HTTP/2 and TLS, 8 x 1", h2load(8, 1, "/f/1m"),
            front="https"),
    ]


def tcp():
    at_least = {"limit": 1.0, "against": ("haproxy",), "unit": "MiB", "reuses_backend": False}
    return [
        Row("tcp-1m", "TCP, 1 MiB answers, 8 connections", wrk(8, "/f/1m"), front="tcp", **at_least),
        Row("tcp-64m", "TCP, 64 MiB answers, 8 connections", wrk(8, "/f/64m"), front="tcp",
            **at_least),
        Row("sni-1m", "TLS passed on by SNI, 1 MiB answers, 8 connections",
            tlsload("keepalive", 8, "/f/1m"), front="sni", back="https", **at_least),
    ]


def tcp_requests():
    return [
        Row("tcp-small", "TCP, small messages, 64 connections", wrk(64), front="tcp",
            reuses_backend=False),
        Row("sni-small", "TLS passed on by SNI, small messages, 64 connections",
            tlsload("keepalive", 64), front="sni", back="https", reuses_backend=False),
        Row("sni-new", "TLS passed on by SNI, a connection a request", tlsload("full", 16),
            front="sni", back="https", reuses_backend=False),
    ]
