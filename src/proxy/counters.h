// SPDX-License-Identifier: Apache-2.0
// What the proxy counts: one row a counter. Each worker has its own set and writes it without locks
// (relaxed atomic stores to its own cache lines); readers add the workers up. /metrics, its help
// texts and docs/reference/metrics.md come from these rows.
#pragma once
#include <stdint.h>

// id, Prometheus name, type ("counter" or "gauge"), help
// clang-format off
#define PROXY_COUNTERS(X) \
    X(CONNECTIONS, "sluicegate_downstream_connections_total", "counter", "Connections accepted from clients.") \
    X(CONNECTIONS_ACTIVE, "sluicegate_downstream_connections_active", "gauge", "Connections from clients that are open.") \
    X(CONNECTIONS_REFUSED, "sluicegate_downstream_connections_refused_total", "counter", "Connections closed at once because a limit was reached.") \
    X(TLS_HANDSHAKES, "sluicegate_downstream_tls_handshakes_total", "counter", "TLS handshakes completed with clients.") \
    X(TLS_HANDSHAKES_RESUMED, "sluicegate_downstream_tls_handshakes_resumed_total", "counter", "Those of them that resumed a session.") \
    X(TLS_HANDSHAKE_FAILURES, "sluicegate_downstream_tls_handshake_failures_total", "counter", "TLS handshakes with clients that failed or were not completed in time.") \
    X(NOT_CAPTURED, "sluicegate_downstream_not_captured_total", "counter", "Connections that came to a sidecar's listener and were dialled there, not captured: closed.") \
    X(CAPTURE_SILENT, "sluicegate_downstream_capture_silent_total", "counter", "Captured connections that were taken for TCP because their client kept still.") \
    X(REQUESTS, "sluicegate_downstream_requests_total", "counter", "Requests begun.") \
    X(REQUESTS_ACTIVE, "sluicegate_requests_active", "gauge", "Requests in flight.") \
    X(H2_CONNECTIONS, "sluicegate_downstream_http2_connections_total", "counter", "Connections from clients that spoke HTTP/2.") \
    X(H2_CONNECTIONS_ENDED, "sluicegate_downstream_http2_connections_ended_total", "counter", "Connections from clients that we ended because their HTTP/2 was broken, or a flood.") \
    X(PROTOCOL_ERRORS, "sluicegate_downstream_protocol_errors_total", "counter", "Requests refused because their framing or syntax was wrong.") \
    X(TUNNELS_ACTIVE, "sluicegate_tunnels_active", "gauge", "Upgraded (WebSocket) and TCP connections that are relayed.") \
    X(DOWNSTREAM_BYTES_RECEIVED, "sluicegate_downstream_received_bytes_total", "counter", "Bytes read from clients.") \
    X(DOWNSTREAM_BYTES_SENT, "sluicegate_downstream_sent_bytes_total", "counter", "Bytes written to clients.") \
    X(UPSTREAM_CONNECTS, "sluicegate_upstream_connections_total", "counter", "Connections opened to endpoints.") \
    X(UPSTREAM_PRECONNECTS, "sluicegate_upstream_preconnects_total", "counter", "Connections among them that were opened before a request needed them.") \
    X(UPSTREAM_CONNECT_FAILURES, "sluicegate_upstream_connect_failures_total", "counter", "Connections to endpoints that could not be made.") \
    X(UPSTREAM_CONNECTIONS_ACTIVE, "sluicegate_upstream_connections_active", "gauge", "Connections to endpoints that are open, in use or idle.") \
    X(UPSTREAM_CONNECTIONS_IDLE, "sluicegate_upstream_connections_idle", "gauge", "Connections to endpoints that wait in a pool.") \
    X(UPSTREAM_CONNECTIONS_PARKED, "sluicegate_upstream_connections_parked", "gauge", "Connections to endpoints that wait for any worker.") \
    X(UPSTREAM_REUSES, "sluicegate_upstream_connection_reuses_total", "counter", "Requests sent on a connection that had carried one before.") \
    X(UPSTREAM_SHARED_TAKES, "sluicegate_upstream_connections_shared_takes_total", "counter", "Times that a worker took a connection which waited for any of them.") \
    X(UPSTREAM_TLS_HANDSHAKES, "sluicegate_upstream_tls_handshakes_total", "counter", "TLS handshakes with endpoints that succeeded.") \
    X(UPSTREAM_TLS_RESUMED, "sluicegate_upstream_tls_resumed_total", "counter", "TLS handshakes with endpoints that resumed a session.") \
    X(NAME_WAITS, "sluicegate_upstream_name_waits_total", "counter", "Requests that waited for the addresses of the name that they asked for.") \
    X(NAME_FAILURES, "sluicegate_upstream_name_failures_total", "counter", "Requests for a name that does not exist or that DNS gave no answer for in time.") \
    X(RETRIES, "sluicegate_upstream_retries_total", "counter", "Tries made again on another connection.") \
    X(ACCESS_LOG_LINES, "sluicegate_access_log_lines_total", "counter", "Access-log lines written.") \
    X(ACCESS_LOG_DROPPED, "sluicegate_access_log_dropped_total", "counter", "Access-log lines dropped because the log could not keep up.")

// By cluster (label cluster).
#define CLUSTER_COUNTERS(X) \
    X(REQUESTS, "sluicegate_cluster_requests_total", "counter", "Requests sent to the cluster.") \
    X(ACTIVE, "sluicegate_cluster_requests_active", "gauge", "Requests in flight to the cluster.") \
    X(RESPONSES_2XX, "sluicegate_cluster_responses_2xx_total", "counter", "Responses of class 2xx.") \
    X(RESPONSES_3XX, "sluicegate_cluster_responses_3xx_total", "counter", "Responses of class 3xx.") \
    X(RESPONSES_4XX, "sluicegate_cluster_responses_4xx_total", "counter", "Responses of class 4xx.") \
    X(RESPONSES_5XX, "sluicegate_cluster_responses_5xx_total", "counter", "Responses of class 5xx.") \
    X(FAILURES, "sluicegate_cluster_failures_total", "counter", "Requests that got no answer from the cluster (connect failure, reset, timeout).")

// By endpoint, for /clusters.
#define ENDPOINT_COUNTERS(X) \
    X(CONNECTIONS, "cx_total", "counter", "Connections opened.") \
    X(CONNECTIONS_ACTIVE, "cx_active", "gauge", "Connections open.") \
    X(CONNECT_FAILURES, "cx_connect_fail", "counter", "Connections that failed.") \
    X(REQUESTS, "rq_total", "counter", "Requests sent.") \
    X(ACTIVE, "rq_active", "gauge", "Requests in flight.") \
    X(ERRORS, "rq_error", "counter", "Requests that got no answer or a 5xx.")
// clang-format on

#define X(id, name, type, help) PROXY_COUNTER_##id,
enum proxy_counter { PROXY_COUNTERS(X) PROXY_COUNTER_COUNT };
#undef X
#define X(id, name, type, help) CLUSTER_COUNTER_##id,
enum cluster_counter { CLUSTER_COUNTERS(X) CLUSTER_COUNTER_COUNT };
#undef X
#define X(id, name, type, help) ENDPOINT_COUNTER_##id,
enum endpoint_counter { ENDPOINT_COUNTERS(X) ENDPOINT_COUNTER_COUNT };
#undef X

// Requests by class of the status sent downstream (sluicegate_requests_total{code_class}), 0: none
// sent.
enum { CODE_CLASSES = 6 }; // [0] none, [1] 1xx .. [5] 5xx

// Latency (start of the request to the last byte out), upper bounds in ms; the last is +Inf.
#define LATENCY_BOUNDS_MS                                                                          \
    {                                                                                              \
        1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000                  \
    }
enum { LATENCY_BUCKETS = 16 };
