// SPDX-License-Identifier: Apache-2.0
// One request on its way: a list of steps, one loop (stream_run), transitions in one place. Worker.
//
//   route ──> connect ──> send ──> head ──> relay ──> finish
//     │          │ ▲        │        │                  ▲
//     │          │ └─ retry ┴────────┘ (before any      │
//     └──────────┴──────> reply (drop) ──response byte)─┘
//
// Bodies flow in `relay`, the request's already from `send` on: each side's reading stops while the
// other side's buffer is full.
#pragma once
#include "proxy/body_queue.h"
#include "proxy/grpc_web.h"
#include "proxy/worker.h"

#define STREAM_STEPS(X)                                                                            \
    X(route)   /* host, path and conditions choose a route */                                      \
    X(connect) /* an endpoint is drawn and a connection to it acquired */                          \
    X(send)    /* the request's head is written */                                                 \
    X(head)    /* the response's head is awaited; the request's body flows */                      \
    X(relay)   /* the response's body flows */                                                     \
    X(reply)   /* an answer of our own is written */                                               \
    X(drop)    /* ... and what is left of a short request body read and dropped */                 \
    X(tunnel)  /* upgraded, or TCP: bytes flow both ways */                                        \
    X(finish)  /* logged, connections given back; the stream is gone */
enum stream_step {
#define X(name) STEP_##name,
    STREAM_STEPS(X)
#undef X
};
enum step_result {
    STEP_NEXT,
    STEP_WAIT, // an event will call stream_run() again
    STEP_DONE, // the stream is gone
};

struct room {   // small allocations of one stream
    char *more; // list of malloc'ed blocks
    uint32_t used;
    _Alignas(16) char bytes[STREAM_ROOM_BYTES]; // anything may stand there
};

struct direction { // of a tunnel
    char *data;
    uint32_t off, end;
    uint32_t in_pipe;
    int pipe[2]; // [0] -1: none
    bool is_spliced;
    bool eof_read, eof_sent;
    uint8_t n_small; // short reads of the pipe in a row
    bool is_hushed;  // arrivals do not wake us: there is more to read already than can be sent
};

struct head_text { // a head that came by HTTP/2, written down as HTTP/1
    char *bytes;   // of worker->heads, or a large buffer; NULL: none
    uint32_t len, cap;
    uint32_t cookie_end; // of the one Cookie field that crumbs are joined in; 0: none yet
    uint32_t n_dropped;  // fields that came after it was too large
    uint32_t n_crumbs;
    bool is_too_large;
};

struct stream {
    struct worker *worker;
    struct downstream *down;    // owner
    struct upstream *up;        // acquired; NULL: none
    struct snapshot_hold *hold; // NULL: a tunnel, which outlives snapshots
    const struct listener *listener;
    const struct route *route; // NULL: none matched
    const struct target *target;
    const struct cluster *cluster;
    const struct endpoint *endpoint;
    struct endpoint_slot *endpoint_slot; // counted as active there; with its identity then
    uint64_t endpoint_identity;
    struct cluster_slot *cluster_slot; // likewise
    uint64_t cluster_identity;
    struct {
        struct str cluster, route, listener;
    } names;                     // of a tunnel
    struct name_wait *name_wait; // names.c: for the addresses of a name; owned; NULL: not waiting
    struct list ready;           // worker->ready
    // HTTP/2 on one side or on both
    bool down_h2, up_h2;
    bool has_h2_part;    // of this struct, see below
    bool is_begun;       // its head is complete
    bool down_lost;      // the client reset it
    bool up_lost;        // the endpoint reset it (up_reset_code), or its connection is gone
    bool up_refused;     // ... for certain before it was looked at
    bool res_head_ready; // in `res`
    bool has_request_queue, has_response_queue; // the bodies go through the queues
    bool decode_request;                        // to HTTP/2: chunks of the client are taken apart
    bool is_bad_body;                           // of the request: no base64
    bool is_bad_request;                        // HTTP/2: reset because of that
    bool is_bad_response;                       // HTTP/2: reset because of that
    bool is_answered_early;                     // HTTP/2: the endpoint wants no more of the request
    uint8_t grpc_web;                           // enum grpc_web, of a request that goes by HTTP/2
    struct base64_decoder base64;
    int connect_error;      // of the shared connection that was waited for
    int32_t down_id, up_id; // 0: none (any more)
    int32_t window_id;      // of the client's stream, also when it is closed
    uint32_t up_reset_code, reply_off;
    struct h2_session *down_session;
    struct list down_node, up_node; // the client's session; up->streams
    struct timer timer;             // the route's timeout
    enum stream_step step;

    // request
    bool request_received, request_sent; // whole body read from the client; written upstream
    bool body_dropped;                   // body bytes left the buffer: no replay
    bool response_begun;                 // any byte of a response arrived
    bool response_received, response_sent;
    bool head_sent_down; // final response head went to the client
    bool keep_down;      // the client's connection can carry another request
    bool keep_up;
    bool is_tcp, is_upgrade, is_tunnel;
    uint32_t tunnel_idle_ms; // once it has left the snapshot; 0: not yet
    bool is_http10;
    bool is_begun_tunnel; // the heads were taken over, the snapshot let go
    bool cut;             // ended before its end: close instead of keepalive
    bool decode_chunked;  // response to an HTTP/1.0 client: chunks are taken apart
    bool encode_chunked;  // response until close to an HTTP/1.1 client: chunks are made
    bool on_fresh;        // this try must not use a pooled connection
    bool try_was_reused;  // the connection of this try had carried a request before
    bool anything_sent;   // some byte of this try went upstream
    bool is_half_closed;  // the client ended its side: grace is running
    uint8_t n_tries;
    uint16_t status;   // sent downstream; 0: none
    uint32_t head_len; // of the request in down->rx
    uint64_t flags;
    struct str details, failure;
    struct str
        retry_reason; // why it was safe to try again, the last time; empty: never tried again
    struct str down_failure;                                // of the client's transport
    struct str termination, up_close_type, up_close_reason; // of the log; constants
    struct str reply_body;
    uint16_t reply_status;
    struct str reply_headers; // further header lines of a local answer, each with CR LF

    char *body;                  // request body bytes: in down->rx or in `large`
    uint32_t body_begin;         // first body byte that is still there: where a replay starts
    uint32_t body_off, body_end; // validated and unsent part of `body`
    uint32_t body_fill;          // end of what was read into `body`; past body_end: pipelined
    char *res_kept; // up->rx of a connection that was left: the log line still reads the head in it
    char *large;    // BUFFER_LARGE_BYTES for a body that did not come with its head
    uint64_t body_unread;      // LENGTH: still to come from the client
    uint64_t body_bytes_max;   // 0: none
    uint32_t res_off, res_end; // unsent part of up->rx
    uint32_t res_head_len;
    uint64_t res_unread; // LENGTH: still to come from upstream
    int pipe[2];         // splice; -1: none
    uint32_t pipe_bytes; // in the pipe

    struct str host, path, original_path; // lower case without port; forwarded with query; as sent
    struct str authority;                 // as forwarded
    struct str tls_host; // that the endpoint's certificate must be for; empty: not by host
    struct str xff, request_id, upstream_host;
    struct header_patch *request_patches, *response_patches;
    uint32_t n_request_patches, n_response_patches;
    char service_time[24];
    uint8_t service_time_len;
    uint8_t n_attempts; // heads sent upstream
    struct str tried[TRIES_MAX];
    const struct endpoint *tried_endpoints[TRIES_MAX];
    struct address candidates[TRIES_MAX]; // of a cluster without endpoints of its own
    uint8_t n_candidates;                 // of any: how many tries there may be to connect
    uint64_t upstream_ids[TRIES_MAX];
    uint64_t upstream_id;
    uint32_t n_upstream_ids;
    struct address upstream_local, upstream_remote;
    bool has_upstream_address;

    int64_t begin_ns, begin_wall_ns, request_end_ns;
    int64_t connect_begin_ns, connect_end_ns;
    int64_t up_tx_begin_ns, up_tx_end_ns, up_rx_begin_ns, up_rx_body_ns, up_rx_end_ns;
    int64_t down_tx_begin_ns, down_tx_end_ns, pool_wait_ns;
    uint64_t bytes_received, bytes_sent;
    uint64_t up_wire_sent, up_wire_received, down_wire_sent, down_wire_received;
    uint64_t up_head_sent, up_head_received, down_head_sent, trailer_bytes;

    struct direction to_up, to_down; // tunnel
    struct h1_request req;
    struct h1_response res;
    struct room room;
    struct header trailers[TRAILERS_KEPT];
    uint32_t n_trailers;
    struct h1_chunked req_chunked, res_chunked;
    // HTTP/2 on either side: zeroed by stream_add_h2_part() only.
    struct stream_h2_part {
        struct timer idle; // of a client's stream: its own deadline
        struct {
            struct str method, scheme, authority, path, protocol;
        } pseudo;
        uint16_t pseudo_status;
        uint32_t n_interims; // passed on in that turn of the loop
        uint64_t interim_turn;
        struct head_text req_text, res_text;
        struct body_queue req_queue, res_queue;
        struct head_text req_trailers, res_trailers; // lines, to be sent on
        // HTTP/1 side of a WebSocket that is HTTP/2 on the other
        char websocket_accept[32];
        struct str websocket_key;
    } h2;
    struct header req_headers[HEADERS_MAX], res_headers[HEADERS_MAX];
};

// A stream for the head that h1 has parsed in `parsed` (req of a spare stream), see downstream.c.
struct stream *stream_create(struct worker *worker); // not yet tied to a connection
void stream_discard(struct stream *stream);          // a spare one
void stream_add_h2_part(struct stream *stream);      // before `h2` is used; again is fine
void stream_begin(struct stream *stream, struct downstream *down, uint32_t head_len);
// `early`: bytes of the client's that were read before; copied.
void stream_begin_tcp(struct stream *stream, struct downstream *down,
                      const struct listener *listener, const struct tcp_routes *routes,
                      struct str early);
void stream_begin_h2(struct stream *stream, bool has_ended); // its head is in `req`
void stream_run(struct stream *stream);
void stream_wake(struct stream *stream);              // is driven later in this turn
enum step_result stream_yield(struct stream *stream); // used up its turn: goes on in the next round
// As stream_run, then goes on with the connection's next request: for whoever is called by an
// event.
void stream_drive(struct stream *stream);
void stream_abort(struct stream *stream); // the client is gone: log, free; the caller closes `down`
void stream_on_upstream(struct stream *stream);              // an event on stream->up
void stream_on_idle(struct stream *stream);                  // no progress for the idle deadline
uint32_t stream_tunnel_idle_ms(const struct stream *stream); // the idle deadline of a tunnel
// Bytes moved: the idle deadline anew.
void stream_progress(struct stream *stream);
// A request that could not even be parsed: answered, logged and the connection closed.
void stream_refuse(struct stream *stream, struct downstream *down, enum h1_error error,
                   uint16_t status, struct str details);

// A connection that ends before any stream began has a line of its own in the log.
struct refusal {
    uint64_t flags;
    struct str details, failure, termination; // failure: of the transport (TLS)
};
void stream_log_refused(struct downstream *down, const struct refusal *refusal);

// The steps; each in the file of its job.
#define X(name) enum step_result stream_step_##name(struct stream *stream);
STREAM_STEPS(X)
#undef X

// stream_endpoint.c: where the next try goes. NULL: it is awaited (the stream will be woken), or
// the answer is given.
const struct endpoint *stream_pick_endpoint(struct stream *stream, bool *ret_is_awaited);
// stream_connect.c
void stream_fail_connect(struct stream *stream, uint64_t flags, struct str details,
                         struct str text);
void stream_leave_upstream(struct stream *stream, bool reusable, bool is_error);
// While it is connecting: another one takes its place.
void stream_change_upstream(struct stream *stream, struct upstream *up,
                            const struct endpoint *endpoint);
void stream_detach_upstream(struct stream *stream, bool is_error); // a shared one that is lost
// stream_fail.c: what each failure means for the request; a step returns what these return
enum step_result stream_upstream_failed(struct stream *stream);
enum step_result stream_bad_response(struct stream *stream, struct str details);
enum step_result stream_protocol_changed(struct stream *stream);
enum step_result stream_client_gone(struct stream *stream);
void stream_on_route_timer(struct timer *timer);

void *stream_alloc(struct stream *stream, size_t bytes);
struct str stream_copy(struct stream *stream, struct str text);

// stream_reply.c: what we answer ourselves
void stream_forget_response(struct stream *stream); // the fields of a response that does not count
void stream_reply(struct stream *stream, uint16_t status, uint64_t flags, struct str details,
                  struct str text);
void stream_write_reply(struct stream *stream);
bool stream_is_grpc(const struct stream *stream); // by its content-type
// stream_head.c: heads into worker->scratch; 0: too large
size_t stream_build_request_head(struct stream *stream, char *out, size_t cap);
size_t stream_build_response_head(struct stream *stream, char *out, size_t cap);
struct str stream_server_header(const struct stream *stream);
size_t stream_build_interim_head(struct stream *stream, char *out, size_t cap);
size_t stream_build_reply_head(struct stream *stream, size_t body_len, char *out, size_t cap);
bool stream_keeps_downstream(struct stream *stream); // decides, when a head is due
void stream_identify(
    struct stream *stream); // x-request-id and x-forwarded-for, also of answers of our own
void stream_prepare_request(struct stream *stream); // ids, x-forwarded-for, header operations
void stream_prepare_response(struct stream *stream);
void stream_prepare_reply(struct stream *stream);
// downstream_cert.c: what the endpoint is told of the client's certificate; their number.
struct header_field {
    struct str name, value;
};
enum { CLIENT_CERT_FIELDS_MAX = 5 };
unsigned stream_client_cert_fields(struct stream *stream,
                                   struct header_field items[CLIENT_CERT_FIELDS_MAX]);
// stream_body.c: bodies; false: a side failed and the stream has been told
enum pump_result {
    PUMP_WAIT,  // nothing more to do until an event
    PUMP_DONE,  // this direction is complete
    PUMP_YIELD, // used up its turn
    PUMP_DOWN_FAILED,
    PUMP_UP_FAILED,
    PUMP_BAD_REQUEST, // chunked framing of the request is broken
    PUMP_BAD_RESPONSE,
    PUMP_TOO_LARGE, // the request body is over its limit
};
enum step_result stream_pump_failed(struct stream *stream,
                                    enum pump_result result); // stream_fail.c
enum pump_result stream_pump_request(struct stream *stream);
// Reads the request's body and drops it.
enum pump_result stream_drop_request(struct stream *stream);
enum pump_result stream_pump_response(struct stream *stream);
// Takes up bytes that were read: up to `end` of the buffer. PUMP_DONE or PUMP_BAD_...
enum pump_result stream_take_request_bytes(struct stream *stream, uint32_t end);
enum pump_result stream_take_response_bytes(struct stream *stream, uint32_t end);
void stream_close_pipe(struct stream *stream);
// stream_tunnel.c: gives back what a direction holds; bytes in it are lost.
void stream_close_direction(struct stream *stream, struct direction *way);
bool stream_forward_interim(struct stream *stream); // stream_response.c: 1xx in `res`
// stream_mixed.c: with HTTP/2 on at least one side
bool stream_is_mixed(const struct stream *stream);
enum step_result stream_send_mixed(struct stream *stream);
enum step_result stream_begin_response_mixed(struct stream *stream);
enum step_result stream_answer_mixed(struct stream *stream); // `res` is there
void stream_strip_chunks(struct stream *stream); // stream_body.c: the body that came with the head
enum pump_result stream_pump_request_mixed(struct stream *stream);
enum pump_result stream_pump_response_mixed(struct stream *stream);
enum pump_result stream_read_request(struct stream *stream);  // stream_body.c: into an empty buffer
enum pump_result stream_read_response(struct stream *stream); // likewise
bool stream_flush_upstream_head(struct stream *stream);
void stream_submit_reply(struct stream *stream);
void stream_leave_snapshot(struct stream *stream);     // stream_tunnel.c
void stream_keep_response_head(struct stream *stream); // likewise: out of up->rx
// head_text.c
bool head_text_add(struct head_text *text, struct worker *worker, struct str name, struct str value,
                   uint32_t max); // false: over `max`
bool head_text_add_trailer(struct head_text *text, struct worker *worker, struct str name,
                           struct str value);
bool head_text_put(struct head_text *text, struct worker *worker, struct str bytes, uint32_t max);
void head_text_fini(struct head_text *text, struct worker *worker);
struct str head_text_str(const struct head_text *text);
bool stream_may_upgrade(const struct h1_request *req);   // it has an Upgrade field
struct str stream_forwarded_host(struct stream *stream); // upstream.c: Host as it is forwarded
struct str stream_scheme(const struct stream *stream);   // of the client's side
// stream_log.c
void stream_log(struct stream *stream);
void stream_fill_info(struct stream *stream, struct request_info *info);
