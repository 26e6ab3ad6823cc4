// SPDX-License-Identifier: Apache-2.0
#include "route/format_operators.h"

#include "base/diag.h"
#include "route/format_values.h"
#include "route/format_write.h"
#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(struct request_info, field)

// One row an operator: name, argument's form and need, length, kind with its field, reader,
// evaluator, sentence.
#define TEXT(name_, field, doc_)                                                                   \
    {                                                                                              \
        .name = name_, .form = "", .kind = OPERATOR_TEXT, .offset = AT(field), .doc = doc_         \
    }
#define COUNT(name_, field, doc_)                                                                  \
    {                                                                                              \
        .name = name_, .form = "", .type = TYPE_NUMBER, .kind = OPERATOR_COUNT,                    \
        .offset = AT(field), .doc = doc_                                                           \
    }
#define CALL(name_, how, doc_)                                                                     \
    {                                                                                              \
        .name = name_, .form = "", .kind = OPERATOR_CALL, .evaluate = evaluate_##how, .doc = doc_  \
    }
#define NUMBER(name_, how, doc_)                                                                   \
    {                                                                                              \
        .name = name_, .form = "", .type = TYPE_NUMBER, .kind = OPERATOR_CALL,                     \
        .evaluate = evaluate_##how, .doc = doc_                                                    \
    }
#define HEADER(name_, kind_, parse_, doc_)                                                         \
    {                                                                                              \
        .name = name_, .form = "(X?Y):Z", .need = ARGUMENT_REQUIRED, .takes_length = true,         \
        .kind = kind_, .parse = parse_, .doc = doc_                                                \
    }
#define TIME(name_, field, parse_, doc_)                                                           \
    {                                                                                              \
        .name = name_, .form = "(FORMAT)", .need = ARGUMENT_OPTIONAL, .kind = OPERATOR_TIME,       \
        .offset = AT(field), .parse = parse_, .doc = doc_                                          \
    }
#define ADDRESS(name_, field, doc_)                                                                \
    {.name = name_, .form = "", .kind = OPERATOR_ADDRESS, .offset = AT(field), .doc = doc_},       \
    {                                                                                              \
        .name = name_ "_WITHOUT_PORT", .form = "(MASK)", .need = ARGUMENT_OPTIONAL,                \
        .kind = OPERATOR_CALL, .offset = AT(field), .parse = parse_mask,                           \
        .evaluate = evaluate_masked_address,                                                       \
        .doc = "The same without the port; with MASK, a number of bits, the network."              \
    }
#define PORT(name_, field)                                                                         \
    {                                                                                              \
        .name = name_, .form = "", .type = TYPE_NUMBER, .kind = OPERATOR_PORT,                     \
        .offset = AT(field), .doc = "The port of that address."                                    \
    }
#define ABSENT(name_, doc_)                                                                        \
    {                                                                                              \
        .name = name_, .form = "", .kind = OPERATOR_ABSENT, .doc = doc_                            \
    }
#define REFUSED(name_, doc_)                                                                       \
    {                                                                                              \
        .name = name_, .form = "", .need = ARGUMENT_OPTIONAL, .takes_length = true,                \
        .kind = OPERATOR_REFUSED, .doc = doc_                                                      \
    }
// Of either side's connection.
#define BOTH(name_, how, doc_)                                                                     \
    {.name = "DOWNSTREAM_" name_,                                                                  \
     .form = "",                                                                                   \
     .kind = OPERATOR_CALL,                                                                        \
     .offset = AT(downstream_tls),                                                                 \
     .evaluate = evaluate_##how,                                                                   \
     .doc = doc_ " Of the client's connection."},                                                  \
    {                                                                                              \
        .name = "UPSTREAM_" name_, .form = "", .kind = OPERATOR_CALL, .offset = AT(upstream_tls),  \
        .evaluate = evaluate_##how, .doc = "The same of the upstream's."                           \
    }
#define BOTH_TIMES(name_, how, doc_)                                                               \
    {.name = "DOWNSTREAM_" name_,                                                                  \
     .form = "(FORMAT)",                                                                           \
     .need = ARGUMENT_OPTIONAL,                                                                    \
     .kind = OPERATOR_CALL,                                                                        \
     .offset = AT(downstream_tls),                                                                 \
     .parse = parse_time_format,                                                                   \
     .evaluate = evaluate_##how,                                                                   \
     .doc = doc_},                                                                                 \
    {                                                                                              \
        .name = "UPSTREAM_" name_, .form = "(FORMAT)", .need = ARGUMENT_OPTIONAL,                  \
        .kind = OPERATOR_CALL, .offset = AT(upstream_tls), .parse = parse_time_format,             \
        .evaluate = evaluate_##how, .doc = "The same of the upstream's."                           \
    }
#define NOT_KEPT "A fact of TLS that this gateway does not keep, so it is absent."
#define TLS(name_) ABSENT(name_, NOT_KEPT)
#define TLS_BOTH(name_) TLS("DOWNSTREAM_" name_), TLS("UPSTREAM_" name_)
#define NO_METADATA "There is no metadata in this gateway."
#define NO_FILTER_STATE "There is no filter state in this gateway."
#define NO_CEL "There is no CEL in this gateway."
#define NO_TRACING "There is no tracing in this gateway."
#define HTTP3 "A fact of HTTP/3, which is not served, so it is absent."

// clang-format off
const struct operator operator_rows[] = {
    /* request and response */
    HEADER("REQ", OPERATOR_REQUEST_HEADER, parse_header, "The request header X, or Y when there is no X, as it stands at the end, after all changes. Pseudo headers: :METHOD, :PATH, :AUTHORITY, :SCHEME; X-ENVOY-ORIGINAL-PATH is there when the path was rewritten. Of a repeated header the first value."),
    HEADER("RESP", OPERATOR_RESPONSE_HEADER, parse_header, "The response header X, or Y, after all changes; :STATUS is the status."),
    HEADER("TRAILER", OPERATOR_TRAILER, parse_trailer, "The response trailer X, or Y."),
    HEADER("REQUEST_HEADER", OPERATOR_REQUEST_HEADER, parse_header, "Another spelling of REQ."),
    HEADER("RESPONSE_HEADER", OPERATOR_RESPONSE_HEADER, parse_header, "Another spelling of RESP."),
    HEADER("RESPONSE_TRAILER", OPERATOR_TRAILER, parse_trailer, "Another spelling of TRAILER."),
    HEADER("REQ_WITHOUT_QUERY", OPERATOR_REQUEST_HEADER, parse_header_without_query, "As REQ, cut at the first question mark."),
    {.name = "PATH", .form = "(X:Y):Z", .need = ARGUMENT_OPTIONAL, .takes_length = true, .kind = OPERATOR_CALL, .parse = parse_path, .evaluate = evaluate_path, .doc = "The path. X: WQ (default) with the query, NQ without it; Y: ORIG_OR_PATH (default) as the client sent it, ORIG the same but only if it was rewritten, PATH as forwarded."},
    {.name = "QUERY_PARAM", .form = "(X):Z", .need = ARGUMENT_REQUIRED, .takes_length = true, .kind = OPERATOR_CALL, .parse = parse_parameter_name, .evaluate = evaluate_query_parameter, .doc = "The first value of the query parameter X, as sent."},
    {.name = "QUERY_PARAMS", .form = "(X):Z", .need = ARGUMENT_OPTIONAL, .takes_length = true, .kind = OPERATOR_CALL, .parse = parse_query_form, .evaluate = evaluate_query, .doc = "The whole query. X: ORIG (default) as sent, DECODED with percent escapes decoded (but those of control characters)."},
    {.name = "COALESCE", .form = "(JSON):Z", .need = ARGUMENT_REQUIRED, .takes_length = true, .kind = OPERATOR_CALL, .parse = parse_coalesce, .evaluate = evaluate_coalesce, .doc = "The first that is not empty of several operators: {\"operators\": [\"REQUESTED_SERVER_NAME\", {\"command\": \"REQ\", \"param\": \":authority\", \"max_length\": 50}]}."},
    {.name = "PROTOCOL", .form = "", .kind = OPERATOR_TEXT, .offset = AT(protocol), .dash_in_json = true, .doc = "HTTP/1.0 or HTTP/1.1; \"-\" also in JSON when there is none."},
    TEXT("UPSTREAM_PROTOCOL", upstream_protocol, "The protocol towards the upstream."),
    NUMBER("RESPONSE_CODE", status, "The status sent to the client, 0 when none was."),
    {.name = "RESPONSE_CODE_DETAILS", .form = "(ALLOW_WHITESPACES)", .need = ARGUMENT_OPTIONAL, .kind = OPERATOR_CALL, .parse = parse_details, .evaluate = evaluate_details, .doc = "Who made the status, and why; blanks become '_' unless the argument is given."},
    {.name = "RESPONSE_FLAGS", .form = "", .kind = OPERATOR_CALL, .evaluate = evaluate_flags, .dash_in_json = true, .doc = "What happened to the request, as short flags joined by commas; \"-\" also in JSON when there are none."},
    {.name = "RESPONSE_FLAGS_LONG", .form = "", .kind = OPERATOR_CALL, .evaluate = evaluate_flags_long, .dash_in_json = true, .doc = "The same as words."},
    TEXT("RETRY_REASON", retry_reason, "Of this gateway alone: why it was safe to try the request again, the last time that it was tried again (`nothing_was_sent`, `GET_is_idempotent`, `refused_unprocessed`, `connect_failed`)."),
    TEXT("CONNECTION_TERMINATION_DETAILS", termination_details, "Why the gateway ended the connection for reasons below HTTP."),
    {.name = "GRPC_STATUS", .form = "(FORM)", .need = ARGUMENT_OPTIONAL, .kind = OPERATOR_CALL, .parse = parse_grpc_form, .evaluate = evaluate_grpc_status, .doc = "grpc-status of the trailers or headers. FORM: CAMEL_STRING (default), SNAKE_STRING, NUMBER."},
    NUMBER("GRPC_STATUS_NUMBER", grpc_status, "The same as a number."),
    CALL("LOCAL_REPLY_BODY", local_reply_body, "The body that the gateway made up, in one line."),
    TEXT("ROUTE_NAME", route, "The name of the route."),
    ABSENT("VIRTUAL_CLUSTER_NAME", "No object that is served here can declare virtual clusters, so it is absent."),
    TEXT("UPSTREAM_CLUSTER", cluster, "The cluster that the request went to."),
    TEXT("UPSTREAM_CLUSTER_RAW", cluster, "The same; clusters have no alternative names."),
    TEXT("FILTER_CHAIN_NAME", listener_name, "The listener that took the connection."),
    CALL("ACCESS_LOG_TYPE", log_type, "DownstreamEnd for a request, TcpConnectionEnd for a connection."),
    CALL("UNIQUE_ID", unique_id, "A new UUID each time."),
    CALL("STREAM_ID", stream_id, "The request id; of a TCP connection a UUID."),
    COUNT("CONNECTION_ID", connection_id, "The number of the client's connection, unique within a run."),
    NUMBER("UPSTREAM_CONNECTION_ID", upstream_connection_id, "The number of the connection to the upstream, unique within a run."),
    CALL("UPSTREAM_CONNECTION_IDS_ATTEMPTED", connections_attempted, "The same for all tries, in order, joined by commas."),

    /* bytes */
    COUNT("BYTES_RECEIVED", bytes_received, "Bytes of the request's body; of a TCP connection all from the client."),
    COUNT("BYTES_SENT", bytes_sent, "Bytes of the response's body; of a TCP connection all to the client."),
    COUNT("REQUEST_HEADERS_BYTES", request_head_bytes, "Bytes of the request's head."),
    COUNT("RESPONSE_HEADERS_BYTES", response_head_bytes, "Bytes of the response's head."),
    COUNT("RESPONSE_TRAILERS_BYTES", response_trailer_bytes, "Bytes of the response's trailers."),
    COUNT("UPSTREAM_WIRE_BYTES_SENT", upstream_wire_sent, "All bytes sent to the upstream for this request."),
    COUNT("UPSTREAM_WIRE_BYTES_RECEIVED", upstream_wire_received, "All bytes received from the upstream for it."),
    COUNT("UPSTREAM_HEADER_BYTES_SENT", upstream_head_sent, "Bytes of the head sent to the upstream."),
    COUNT("UPSTREAM_HEADER_BYTES_RECEIVED", upstream_head_received, "Bytes of the head received from the upstream."),
    COUNT("UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", upstream_head_sent, "The same as without DECOMPRESSED: HTTP/1 does not compress heads."),
    COUNT("UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", upstream_head_received, "The same as without DECOMPRESSED."),
    COUNT("DOWNSTREAM_WIRE_BYTES_SENT", downstream_wire_sent, "All bytes sent to the client for this request."),
    COUNT("DOWNSTREAM_WIRE_BYTES_RECEIVED", downstream_wire_received, "All bytes received from the client for it."),
    COUNT("DOWNSTREAM_HEADER_BYTES_SENT", response_head_bytes, "Bytes of the head sent to the client."),
    COUNT("DOWNSTREAM_HEADER_BYTES_RECEIVED", request_head_bytes, "Bytes of the head received from the client."),
    COUNT("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", response_head_bytes, "The same as without DECOMPRESSED."),
    COUNT("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", request_head_bytes, "The same as without DECOMPRESSED."),
    ABSENT("BYTES_RETRANSMITTED", HTTP3),
    ABSENT("PACKETS_RETRANSMITTED", HTTP3),

    /* time */
    TIME("START_TIME", start_wall_ns, parse_time_format, "When the request or connection began, UTC. FORMAT: see below; default ISO 8601 with milliseconds."),
    TIME("START_TIME_LOCAL", start_wall_ns, parse_time_local, "The same in the local time zone."),
    TIME("EMIT_TIME", now_wall_ns, parse_time_format, "When the line is written, UTC."),
    TIME("EMIT_TIME_LOCAL", now_wall_ns, parse_time_local, "The same in the local time zone."),
    NUMBER("DURATION", duration, "Milliseconds from the start to the last byte sent to the client."),
    NUMBER("REQUEST_DURATION", request_duration, "Milliseconds from the start to the last byte of the request received."),
    NUMBER("REQUEST_TX_DURATION", request_tx_duration, "Milliseconds from the start to the last byte of the request sent to the upstream."),
    NUMBER("RESPONSE_DURATION", response_duration, "Milliseconds from the start to the first byte received from the upstream."),
    NUMBER("RESPONSE_TX_DURATION", response_tx_duration, "Milliseconds from the first byte of the upstream to the last byte sent to the client."),
    TLS("DOWNSTREAM_HANDSHAKE_DURATION"),
    ABSENT("ROUNDTRIP_DURATION", HTTP3),
    NUMBER("UPSTREAM_CONNECTION_POOL_READY_DURATION", pool_ready, "Milliseconds that the request waited for a connection."),
    {.name = "COMMON_DURATION", .form = "(START:END:PRECISION)", .need = ARGUMENT_REQUIRED, .type = TYPE_NUMBER, .kind = OPERATOR_CALL, .parse = parse_duration, .evaluate = evaluate_common_duration, .doc = "The time between two points. Of the client's side: DS_RX_BEG, DS_RX_END, DS_TX_BEG, DS_TX_END, for TCP DS_CX_BEG, DS_CX_END; of the upstream's: US_CX_BEG, US_CX_END, US_HS_END (TLS), US_TX_BEG, US_TX_END, US_RX_BEG, US_RX_BODY_BEG, US_RX_END. PRECISION: ms, us, ns. May be negative."},

    /* addresses and peers */
    TEXT("UPSTREAM_HOST", upstream_host, "The endpoint tried last, ip:port."),
    TEXT("UPSTREAM_HOST_NAME", upstream_host, "The same; endpoints are addresses."),
    CALL("UPSTREAM_HOST_NAME_WITHOUT_PORT", host_without_port, "The same without the port."),
    CALL("UPSTREAM_HOSTS_ATTEMPTED", hosts_attempted, "All endpoints tried, in order, joined by commas."),
    CALL("UPSTREAM_HOST_NAMES_ATTEMPTED", hosts_attempted, "The same; endpoints are addresses."),
    CALL("UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", hosts_attempted_without_port, "The same without the ports."),
    NUMBER("UPSTREAM_REQUEST_ATTEMPT_COUNT", attempts, "How many tries were made."),
    ADDRESS("UPSTREAM_LOCAL_ADDRESS", upstream_local, "The gateway's own ip:port towards the upstream."),
    PORT("UPSTREAM_LOCAL_PORT", upstream_local),
    ADDRESS("UPSTREAM_REMOTE_ADDRESS", upstream_remote, "The upstream's ip:port."),
    PORT("UPSTREAM_REMOTE_PORT", upstream_remote),
    ADDRESS("DOWNSTREAM_REMOTE_ADDRESS", downstream_remote, "The client's ip:port; with port 0 when taken from a trusted X-Forwarded-For."),
    PORT("DOWNSTREAM_REMOTE_PORT", downstream_remote),
    ADDRESS("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", downstream_direct_remote, "The ip:port of the socket's peer."),
    PORT("DOWNSTREAM_DIRECT_REMOTE_PORT", downstream_direct_remote),
    ADDRESS("DOWNSTREAM_LOCAL_ADDRESS", downstream_local, "The ip:port that the client connected to."),
    PORT("DOWNSTREAM_LOCAL_PORT", downstream_local),
    ADDRESS("DOWNSTREAM_DIRECT_LOCAL_ADDRESS", downstream_direct_local, "The ip:port of the socket itself."),
    PORT("DOWNSTREAM_DIRECT_LOCAL_PORT", downstream_direct_local),
    TEXT("UPSTREAM_TRANSPORT_FAILURE_REASON", upstream_transport_failure, "Why the transport to the upstream failed."),
    TEXT("DOWNSTREAM_TRANSPORT_FAILURE_REASON", downstream_transport_failure, "Why the client's TLS handshake failed."),
    TEXT("DOWNSTREAM_LOCAL_CLOSE_REASON", downstream_close_reason, "Why the gateway closed the client's connection."),
    TEXT("UPSTREAM_LOCAL_CLOSE_REASON", upstream_close_reason, "Why the gateway closed the upstream connection."),
    TEXT("DOWNSTREAM_DETECTED_CLOSE_TYPE", downstream_close_type, "How the client's connection ended: Normal, LocalReset, RemoteReset."),
    TEXT("UPSTREAM_DETECTED_CLOSE_TYPE", upstream_close_type, "How the upstream connection ended: Normal, LocalReset, RemoteReset."),

    /* TLS */
    {.name = "REQUESTED_SERVER_NAME", .form = "(X:Y)", .need = ARGUMENT_OPTIONAL, .kind = OPERATOR_CALL, .parse = parse_server_name, .evaluate = evaluate_server_name, .doc = "The server name that the client asked for. X: SNI_ONLY (default), SNI_FIRST, HOST_FIRST; Y, where the host comes from: ORIG_OR_HOST (default), ORIG (x-envoy-original-host), HOST."},
    BOTH("TLS_VERSION", tls_version, "TLSv1.2 or TLSv1.3."),
    BOTH("TLS_CIPHER", tls_cipher, "The cipher suite, as OpenSSL names it."),
    BOTH("PEER_SUBJECT", peer_subject, "The subject of the peer's certificate (RFC 2253)."),
    BOTH("PEER_ISSUER", peer_issuer, "The issuer of the peer's certificate."),
    BOTH("PEER_SERIAL", peer_serial, "The serial number of the peer's certificate, hexadecimal."),
    BOTH("PEER_FINGERPRINT_256", peer_fingerprint, "The SHA-256 of the peer's certificate, hexadecimal."),
    BOTH("PEER_CERT", peer_certificate, "The peer's certificate, URL-encoded PEM."),
    BOTH("PEER_URI_SAN", peer_uri_san, "The URIs in the peer's certificate, joined by commas."),
    BOTH("PEER_DNS_SAN", peer_dns_san, "The DNS names in the peer's certificate, joined by commas."),
    BOTH_TIMES("PEER_CERT_V_START", peer_from, "From when the client's certificate is valid; FORMAT as of START_TIME."),
    BOTH_TIMES("PEER_CERT_V_END", peer_until, "Until when the client's certificate is valid; FORMAT as of START_TIME."),
    TLS_BOTH("TLS_GROUP"), TLS_BOTH("TLS_SESSION_ID"), TLS_BOTH("PEER_FINGERPRINT_1"),
    TLS_BOTH("PEER_CHAIN_FINGERPRINTS_1"), TLS_BOTH("PEER_CHAIN_FINGERPRINTS_256"), TLS_BOTH("PEER_CHAIN_SERIALS"),
    TLS_BOTH("PEER_IP_SAN"), TLS_BOTH("PEER_EMAIL_SAN"), TLS_BOTH("PEER_OTHERNAME_SAN"),
    TLS_BOTH("LOCAL_SUBJECT"), TLS_BOTH("LOCAL_URI_SAN"), TLS_BOTH("LOCAL_DNS_SAN"), TLS_BOTH("LOCAL_IP_SAN"), TLS_BOTH("LOCAL_EMAIL_SAN"), TLS_BOTH("LOCAL_OTHERNAME_SAN"),
    TLS_BOTH("PEER_ISSUER_SERIAL"), TLS_BOTH("PEER_ISSUER_FINGERPRINT_256"),
    TLS("TLS_JA3_FINGERPRINT"), TLS("TLS_JA4_FINGERPRINT"),

    /* others */
    {.name = "HOSTNAME", .form = "", .kind = OPERATOR_CONSTANT, .parse = parse_hostname, .doc = "The name of this machine."},
    {.name = "ENVIRONMENT", .form = "(X):Z", .need = ARGUMENT_REQUIRED, .takes_length = true, .kind = OPERATOR_CONSTANT, .parse = parse_environment, .doc = "The environment variable X of the gateway."},

    REFUSED("TRACE_ID", NO_TRACING), REFUSED("SPAN_ID", NO_TRACING),
    REFUSED("DYNAMIC_METADATA", NO_METADATA), REFUSED("CLUSTER_METADATA", NO_METADATA),
    REFUSED("UPSTREAM_METADATA", NO_METADATA), REFUSED("METADATA", NO_METADATA),
    REFUSED("FILTER_STATE", NO_FILTER_STATE), REFUSED("UPSTREAM_FILTER_STATE", NO_FILTER_STATE),
    REFUSED("CUSTOM_FLAGS", "No filter of this gateway sets flags of its own."),
    REFUSED("CEL", NO_CEL), REFUSED("TYPED_CEL", NO_CEL),
    REFUSED("FILE_CONTENT", "A log does not read files here."),
    REFUSED("SECRET", "A secret has no place in a log."),
    REFUSED("METHOD", "The method is a pseudo header: %REQ(:METHOD)%."),
};
// clang-format on
const size_t n_operator_rows = sizeof(operator_rows) / sizeof(operator_rows[0]);

void format_error_set(struct format_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
}

static const struct operator* find_operator(struct str name, struct format_error *error)
{
    struct str names[sizeof(operator_rows) / sizeof(operator_rows[0])];
    size_t n = 0;
    for (size_t i = 0; i < n_operator_rows; i++) {
        if (str_is(name, operator_rows[i].name))
            return &operator_rows[i];
        if (operator_rows[i].kind != OPERATOR_REFUSED)
            names[n++] = str_of(operator_rows[i].name);
    }
    char upper[64];
    name = str_upto(name, sizeof(upper));
    for (size_t i = 0; i < name.len; i++)
        upper[i] =
            (char)(name.ptr[i] >= 'a' && name.ptr[i] <= 'z' ? name.ptr[i] - 32 : name.ptr[i]);
    struct str nearest = diag_nearest((struct str){upper, name.len}, names, n);
    if (nearest.len > 0)
        format_error_set(error, "unknown operator %.*s; did you mean %.*s?", STR_ARG(name),
                         STR_ARG(nearest));
    else
        format_error_set(error, "unknown operator %.*s", STR_ARG(name));
    return NULL;
}

bool operator_bind(struct arena *arena, struct str name, bool has_argument, struct str argument,
                   uint32_t length_max, struct operation *ret, struct format_error *reterr_error)
{
    const struct operator* row = find_operator(name, reterr_error);
    if (!row)
        return false;
    if (row->kind == OPERATOR_REFUSED) {
        format_error_set(reterr_error, "%s is not served: %s", row->name, row->doc);
        return false;
    }
    if (has_argument && row->need == ARGUMENT_NONE) {
        format_error_set(reterr_error, "%s takes no argument", row->name);
        return false;
    }
    if (argument.len == 0 && row->need == ARGUMENT_REQUIRED) {
        format_error_set(reterr_error, "%s needs an argument: %s%s", row->name, row->name,
                         row->form);
        return false;
    }
    if (length_max != UINT32_MAX && !row->takes_length) {
        format_error_set(reterr_error, "%s takes no length", row->name);
        return false;
    }
    ret->row = row;
    ret->kind = (uint8_t)row->kind;
    ret->offset = row->offset;
    ret->length_max = length_max;
    if (!row->parse)
        return true;
    // The readers know nothing of the operator's name.
    struct format_error inner = {.message = ""};
    if (row->parse(arena, argument, ret, &inner))
        return true;
    format_error_set(reterr_error, "%s: %s", row->name, inner.message);
    return false;
}

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// The length behind the colon, and the closing '%'.
static size_t parse_end(struct str text, size_t at, struct str name, uint32_t *ret_length_max,
                        struct format_error *error)
{
    *ret_length_max = UINT32_MAX;
    if (at < text.len && text.ptr[at] == ':') {
        size_t first = ++at;
        while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
            at++;
        uint64_t length;
        struct str digits = {text.ptr + first, at - first};
        if (!str_to_u64(digits, UINT32_MAX - 1, &length) || length == 0) {
            format_error_set(error, "the length of %.*s is not a number above 0",
                             STR_ARG(str_upto(name, 60)));
            return 0;
        }
        *ret_length_max = (uint32_t)length;
    }
    if (at >= text.len || text.ptr[at] != '%') {
        format_error_set(error, "%.*s is not closed with %%", STR_ARG(str_upto(name, 60)));
        return 0;
    }
    return at + 1;
}

size_t operator_parse(struct arena *arena, struct str text, struct operation *ret,
                      struct format_error *reterr_error)
{
    size_t at = 0;
    while (at < text.len && is_name_char(text.ptr[at]))
        at++;
    struct str name = str_upto(text, at), argument = STR_NONE;
    if (at == 0) {
        format_error_set(reterr_error, "no operator behind %%; a percent sign is written %%%%");
        return 0;
    }
    bool has_argument = at < text.len && text.ptr[at] == '(';
    if (has_argument) {
        ptrdiff_t end = str_index(str_from(text, at), ')');
        if (end < 0) {
            format_error_set(reterr_error, "the argument of %.*s is not closed with )",
                             STR_ARG(str_upto(name, 60)));
            return 0;
        }
        argument = str_upto(str_from(text, at + 1), (size_t)end - 1);
        at += (size_t)end + 1;
    }
    uint32_t length_max;
    size_t used = parse_end(text, at, name, &length_max, reterr_error);
    // An unknown name is the likelier mistake: "100% of" has no operator to close.
    if (used == 0) {
        struct format_error unknown = {.message = ""};
        if (!find_operator(name, &unknown))
            memcpy(reterr_error->message, unknown.message, sizeof(unknown.message));
        return 0;
    }
    if (!operator_bind(arena, name, has_argument, argument, length_max, ret, reterr_error))
        return 0;
    return used;
}

static bool evaluate_header(const struct operation *operation, const struct request_info *info,
                            char *scratch, struct value *ret)
{
    bool is_request = operation->kind == OPERATOR_REQUEST_HEADER;
    const struct header_argument *names[] = {&operation->header.first, &operation->header.second};
    ret->is_number = false;
    for (int i = 0; i < 2 && names[i]->name.len > 0; i++) {
        if (names[i]->source == SOURCE_STATUS) {
            ret->text = (struct str){scratch, write_u64(scratch, info->status)};
            return true;
        }
        bool is_found = is_request ? find_request_header(names[i], info, &ret->text)
                                   : find_response_header(names[i], info, &ret->text);
        if (!is_found)
            continue;
        if (operation->header.cuts_query) {
            ptrdiff_t mark = str_index(ret->text, '?');
            if (mark >= 0)
                ret->text.len = (size_t)mark;
        }
        return true;
    }
    return false;
}

static bool evaluate_trailer(const struct operation *operation, const struct request_info *info,
                             struct value *ret)
{
    ret->is_number = false;
    return find_trailer(operation->header.first.name, info, &ret->text) ||
           (operation->header.second.name.len > 0 &&
            find_trailer(operation->header.second.name, info, &ret->text));
}

static bool evaluate_address(const struct operation *operation, const struct request_info *info,
                             char *scratch, struct value *ret)
{
    const struct address *address;
    memcpy(&address, (const char *)info + operation->offset, sizeof(address));
    if (!address || address->family == 0)
        return false;
    ret->is_number = operation->kind == OPERATOR_PORT;
    if (ret->is_number)
        ret->number = address->port;
    else
        ret->text = (struct str){scratch, write_address(scratch, address, true)};
    return true;
}

static bool evaluate(const struct operation *operation, const struct request_info *info,
                     char *scratch, struct value *ret)
{
    const char *field = (const char *)info + operation->offset;
    int64_t wall_ns;
    uint64_t count;
    switch ((enum operator_kind)operation->kind) {
    case OPERATOR_TEXT:
        memcpy(&ret->text, field, sizeof(ret->text));
        ret->is_number = false;
        return ret->text.len > 0;
    case OPERATOR_COUNT:
        memcpy(&count, field, sizeof(count));
        ret->number = (int64_t)count;
        ret->is_number = true;
        return true;
    case OPERATOR_ADDRESS:
    case OPERATOR_PORT:
        return evaluate_address(operation, info, scratch, ret);
    case OPERATOR_REQUEST_HEADER:
    case OPERATOR_RESPONSE_HEADER:
        return evaluate_header(operation, info, scratch, ret);
    case OPERATOR_TRAILER:
        return evaluate_trailer(operation, info, ret);
    case OPERATOR_TIME:
        memcpy(&wall_ns, field, sizeof(wall_ns));
        ret->text = (struct str){scratch, time_format_write(operation->time, wall_ns, scratch)};
        ret->is_number = false;
        return true;
    case OPERATOR_CALL:
        return operation->row->evaluate(operation, info, scratch, ret);
    case OPERATOR_CONSTANT:
        ret->text = operation->text;
        ret->is_number = false;
        return true;
    case OPERATOR_ABSENT:
    case OPERATOR_REFUSED:
        break;
    }
    return false;
}

bool operation_evaluate(const struct operation *operation, const struct request_info *info,
                        char *scratch, struct value *ret)
{
    if (!evaluate(operation, info, scratch, ret))
        return false;
    if (!ret->is_number && ret->text.len > operation->length_max)
        ret->text.len = operation->length_max;
    return true;
}
