// SPDX-License-Identifier: Apache-2.0
// Format strings with command operators (%REQ(X?Y):Z%, %DURATION% ...): parsed once in the control
// thread, rendered by workers for access-log lines and header values. Operators are rows of one
// table (route/format_operators.c), which also prints their reference.
#pragma once
#include "base/address.h"
#include "base/arena.h"
#include "http/header.h"

struct format;
struct tls_conn;

// Response flags, in Envoy's order of printing. id, short, long
// clang-format off
#define RESPONSE_FLAGS(X) \
    X(UH, "NoHealthyUpstream") X(UF, "UpstreamConnectionFailure") X(UO, "UpstreamOverflow") \
    X(NR, "NoRouteFound") X(URX, "UpstreamRetryLimitExceeded") X(NC, "NoClusterFound") \
    X(DT, "DurationTimeout") X(DC, "DownstreamConnectionTermination") \
    X(LH, "FailedLocalHealthCheck") X(UT, "UpstreamRequestTimeout") X(LR, "LocalReset") \
    X(UR, "UpstreamRemoteReset") X(UC, "UpstreamConnectionTermination") X(DI, "DelayInjected") \
    X(FI, "FaultInjected") X(RL, "RateLimited") X(UAEX, "UnauthorizedExternalService") \
    X(RLSE, "RateLimitServiceError") X(IH, "InvalidEnvoyRequestHeaders") \
    X(SI, "StreamIdleTimeout") X(DPE, "DownstreamProtocolError") X(UPE, "UpstreamProtocolError") \
    X(UMSDR, "UpstreamMaxStreamDurationReached") X(RFCF, "ResponseFromCacheFilter") \
    X(NFCF, "NoFilterConfigFound") X(OM, "OverloadManagerTerminated") X(DF, "DnsResolutionFailed") \
    X(DO, "DropOverload") X(UDO, "UnconditionalDropOverload") X(DR, "DownstreamRemoteReset")
// clang-format on
enum response_flag {
#define X(id, name) FLAG_##id,
    RESPONSE_FLAGS(X)
#undef X
    FLAG_COUNT
};
#define FLAG_BIT(id) (UINT64_C(1) << FLAG_##id)

// A header that was set, added or removed on its way through; looked at before the list.
struct header_patch {
    struct str name; // lower case
    struct str value;
    bool is_removed;
};

// All that a format can show of one request or connection. The proxy fills one when a line or a
// header value is due; everything is borrowed for the call. Times are monotonic ns, 0: never.
struct request_info {
    bool is_tcp;
    bool is_websocket;
    int64_t start_wall_ns;
    int64_t downstream_rx_begin_ns, downstream_rx_end_ns;
    int64_t upstream_connect_begin_ns, upstream_connect_end_ns;
    int64_t upstream_tx_begin_ns, upstream_tx_end_ns;
    int64_t upstream_rx_begin_ns, upstream_rx_body_begin_ns, upstream_rx_end_ns;
    int64_t downstream_tx_begin_ns, downstream_tx_end_ns;
    int64_t connection_begin_ns, connection_end_ns; // downstream connection (TCP)
    int64_t upstream_pool_ready_ns;                 // duration, not a point
    int64_t now_wall_ns;

    struct str method, scheme;
    struct str path;          // as forwarded, with query
    struct str original_path; // x-envoy-original-path: set when a rewrite happened; else empty
    struct str authority;     // as forwarded
    const struct header_list *request, *response;
    const struct header_patch *request_patches, *response_patches;
    unsigned n_request_patches, n_response_patches;
    const struct header *trailers; // of the response
    unsigned n_trailers;
    struct str protocol, upstream_protocol; // "HTTP/1.1"; empty: none

    uint16_t status;    // 0: none sent
    uint64_t flags;     // FLAG_BIT()s
    struct str details; // may hold blanks; the operator turns them into '_'
    struct str retry_reason; // empty: sent once
    struct str termination_details, local_reply_body;
    struct str upstream_transport_failure, downstream_transport_failure;
    struct tls_conn *upstream_tls, *downstream_tls; // NULL: plain
    struct str downstream_close_reason, upstream_close_reason;
    struct str downstream_close_type, upstream_close_type; // Normal, LocalReset, RemoteReset
    uint64_t bytes_received, bytes_sent;                   // bodies; TCP: all
    uint64_t request_head_bytes, response_head_bytes, response_trailer_bytes;
    uint64_t downstream_wire_received, downstream_wire_sent, upstream_wire_received,
        upstream_wire_sent, upstream_head_sent, upstream_head_received;

    const struct address *downstream_remote, *downstream_direct_remote, *downstream_local,
        *downstream_direct_local, *upstream_local, *upstream_remote; // NULL: none
    struct str upstream_host; // "ip:port" last tried; empty: none
    const struct str *hosts_attempted;
    unsigned n_hosts_attempted;
    unsigned attempts;
    struct str cluster, route, requested_server_name, request_id;
    struct str virtual_host, listener_name;
    uint64_t connection_id, upstream_connection_id;
    const uint64_t *upstream_connection_ids;
    unsigned n_upstream_connection_ids;
    uint64_t random; // for UNIQUE_ID
    uint64_t random2;
};

struct format_error {
    size_t offset;     // byte in the text where the bad operator begins
    char message[160]; // with the nearest known operator when there is one
};

extern const char format_istio_default[]; // spec: Istio's default text format, with its newline

enum { FORMAT_HEADER_VALUE = 1 }; // flags: an empty value renders as nothing instead of '-'
// Parses; the format lives in `arena`. NULL: *reterr_error.
const struct format *format_parse(struct arena *arena, struct str text, unsigned flags,
                                  struct format_error *reterr_error);
// The JSON variant: `text` is a JSON object of strings (accessLogFormat with JSON encoding), or
// empty for Istio's default 24 keys. One object a line, with its newline.
const struct format *format_parse_json(struct arena *arena, struct str text,
                                       struct format_error *reterr_error);
// Renders at most `cap` bytes into `out` and returns the length that the whole would have had (as
// snprintf; nothing past cap is written). A worker calls it: no allocation, no lock, no locale.
size_t format_render(const struct format *format, const struct request_info *info, char *out,
                     size_t cap);
bool format_is_constant(const struct format *format, struct str *ret_text);
void format_print_reference(struct buf *out); // docs/reference/access-log.md
