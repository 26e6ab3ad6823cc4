// SPDX-License-Identifier: Apache-2.0
#include "proxy/stream.h"
#include "base/clock.h"
#include "http/uri.h"
#include "route/rewrite.h"
#include <stdio.h>
#include <stdlib.h>

// ---- memory ----

void *stream_alloc(struct stream *stream, size_t bytes)
{
    struct room *room = &stream->room;
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes <= sizeof room->bytes - room->used) {
        void *p = room->bytes + room->used;
        room->used += (uint32_t)bytes;
        return p;
    }
    char *block = malloc(bytes + 16);
    CHECK(block != NULL);
    memcpy(block, &room->more, sizeof room->more); // the link to the block before
    room->more = block;
    return block + 16;
}

struct str stream_copy(struct stream *stream, struct str text)
{
    char *copy = stream_alloc(stream, text.len);
    memcpy(copy, text.ptr, text.len);
    return (struct str){copy, text.len};
}

static void free_room(struct stream *stream)
{
    while (stream->room.more) {
        char *block = stream->room.more;
        memcpy(&stream->room.more, block, sizeof block);
        free(block);
    }
}

static void on_route_timer(struct timer *timer);

struct stream *stream_create(struct worker *worker)
{
    struct stream *stream = pool_take(&worker->streams);
    memset(stream, 0, offsetof(struct stream, room.bytes));
    stream->worker = worker;
    stream->req.headers.items = stream->req_headers;
    stream->req.headers.cap = HEADERS_MAX;
    stream->res.headers.items = stream->res_headers;
    stream->res.headers.cap = HEADERS_MAX;
    stream->n_trailers = 0;
    stream->pipe[0] = stream->pipe[1] = -1;
    list_init(&stream->ready);
    timer_init(&stream->timer, on_route_timer);
    return stream;
}

void stream_discard(struct stream *stream)
{
    pool_give(&stream->worker->streams, stream);
}

// ---- beginning ----

static void begin(struct stream *stream, struct downstream *down)
{
    struct worker *worker = stream->worker;
    stream->down = down;
    stream->hold = worker->hold;
    stream->hold->n_streams++;
    stream->begin_wall_ns = worker->loop.wall_ns;
    stream->begin_ns = worker->loop.now_ns;
    WORKER_COUNT(worker, REQUESTS, 1);
    WORKER_COUNT(worker, REQUESTS_ACTIVE, 1);
}

void stream_begin(struct stream *stream, struct downstream *down, uint32_t head_len)
{
    begin(stream, down);
    if (down->head_begin_ns) { // the head came in pieces: the request began with its first
        stream->begin_wall_ns -= stream->begin_ns - down->head_begin_ns;
        stream->begin_ns = down->head_begin_ns;
    }
    stream->head_len = head_len;
    stream->is_http10 = stream->req.minor == 0;
    stream->keep_down = stream->req.keep_alive && !down->close_after;
    stream->is_upgrade = stream->req.is_upgrade && stream->req.body == BODY_NONE;
    stream->down_wire_received = head_len;
    down->rx_off += head_len;
    stream->body = down->rx;
    stream->body_begin = stream->body_off = stream->body_end = down->rx_off;
    stream->body_unread = stream->req.body == BODY_LENGTH ? stream->req.content_length : 0;
    if (stream->req.body == BODY_CHUNKED)
        h1_chunked_init(&stream->req_chunked);
    stream->step = STEP_route;
}

void stream_refuse(struct stream *stream, struct downstream *down, enum h1_error error,
                   uint16_t status, struct str details)
{
    // What could not be parsed must not show in the log as if it had been.
    struct header *items = stream->req.headers.items;
    stream->req = (struct h1_request){.headers = {.items = items, .cap = HEADERS_MAX}};
    begin(stream, down);
    stream->request_received = true;
    down->rx_off = down->rx_end;
    const char *sentence = h1_error_sentence(error);
    stream_reply(stream, status, status == 408 ? FLAG_BIT(SI) : FLAG_BIT(DPE), details,
                 status == 408 ? STR("request head not received in time") : str_of(sentence));
    stream->keep_down = false;
    stream_drive(stream);
}

// ---- steps ----

static bool find_listener(struct stream *stream)
{
    const struct snapshot *snapshot = stream->hold->snapshot;
    stream->listener = worker_listener(stream->worker, stream->down->listener_slot);
    return stream->listener != NULL && snapshot != NULL;
}

// The names that matching works on: host without port in lower case, normalised path.
static bool normalize(struct stream *stream)
{
    const struct h1_request *req = &stream->req;
    uint16_t port = 0;
    char *room = stream_alloc(stream, req->authority.len + req->path.len + 16);
    stream->authority = req->authority;
    if (req->authority.len > 0 &&
        !uri_split_authority(req->authority, room, &stream->host, &port)) {
        stream_reply(stream, 400, FLAG_BIT(DPE), STR("http1.invalid_url"), STR("malformed Host"));
        return false;
    }
    if (str_is(req->path, "*")) { // OPTIONS * (RFC 9110, 9.3.7)
        stream->path = req->path;
        return true;
    }
    if (!uri_normalize_path(req->path, room + req->authority.len, &stream->path)) {
        stream_reply(stream, 400, FLAG_BIT(DPE), STR("path_normalization_failed"),
                     STR("malformed path"));
        return false;
    }
    return true;
}

static void set_forwarded_path(struct stream *stream)
{
    const struct h1_request *req = &stream->req;
    const struct rewrite *rewrite = stream->route->rewrite;
    if (rewrite && rewrite->authority.len > 0)
        stream->authority = rewrite->authority;
    if (rewrite && rewrite->kind != REWRITE_NONE) {
        // Into the scratch first: a rewrite can grow the path.
        size_t cap = SCRATCH_BYTES / 2;
        size_t len = rewrite_path(stream->route, stream->path, req->query, req->has_query,
                                  stream->worker->scratch, cap);
        if (len > cap || len > proxy_get_options(stream->worker->proxy)->target_bytes_max) {
            stream_reply(stream, 414, 0, STR("rewritten_path_too_long"),
                         STR("rewritten path too long"));
            return;
        }
        stream->original_path = req->target;
        stream->path = stream_copy(stream, (struct str){stream->worker->scratch, len});
        return;
    }
    if (stream->path.ptr == req->path.ptr && stream->path.len == req->path.len) {
        stream->path = req->target; // unchanged, with its query
        return;
    }
    struct str path = stream->path;
    size_t query_len = req->has_query ? 1 + req->query.len : 0;
    char *joined = stream_alloc(stream, path.len + query_len);
    memcpy(joined, path.ptr, path.len);
    if (req->has_query) {
        joined[path.len] = '?';
        memcpy(joined + path.len + 1, req->query.ptr, req->query.len);
    }
    stream->path = (struct str){joined, path.len + query_len};
}

static void reply_redirect(struct stream *stream, const struct request_view *view)
{
    size_t cap = SCRATCH_BYTES / 2;
    size_t len = redirect_location(stream->route, view, stream->req.has_query, STR("http"),
                                   stream->listener->port, stream->worker->scratch, cap);
    if (len > cap) {
        stream_reply(stream, 414, 0, STR("redirect_too_long"), STR("redirect too long"));
        return;
    }
    char *line = stream_alloc(stream, len + 12);
    memcpy(line, "location: ", 10);
    memcpy(line + 10, stream->worker->scratch, len);
    memcpy(line + 10 + len, "\r\n", 2);
    stream_reply(stream, stream->route->redirect->code, 0, STR("direct_response"), STR_NONE);
    stream->reply_headers = (struct str){line, len + 12};
}

static enum step_result choose_action(struct stream *stream, const struct request_view *view)
{
    const struct route *route = stream->route;
    stream->body_bytes_max = route->body_bytes_max;
    switch ((enum route_action)route->action) {
    case ROUTE_REDIRECT:
        reply_redirect(stream, view);
        return STEP_NEXT;
    case ROUTE_RESPOND:
        stream_reply(stream, route->status, 0, STR("direct_response"), STR_NONE);
        stream->reply_body = route->body;
        return STEP_NEXT;
    case ROUTE_FORWARD:
        break;
    }
    stream->target = route_pick_target(route, worker_random(stream->worker));
    if (!stream->target || stream->target->cluster->is_missing) {
        stream->cluster = stream->target ? stream->target->cluster : NULL;
        stream_reply(stream, 503, FLAG_BIT(NC), STR("cluster_not_found"),
                     STR("no such upstream cluster"));
        return STEP_NEXT;
    }
    stream->cluster = stream->target->cluster;
    if (stream->cluster->is_unserved_protocol) {
        stream_reply(stream, 502, FLAG_BIT(UPE), STR("upstream_protocol_not_served"),
                     STR("the upstream's protocol is not served"));
        return STEP_NEXT;
    }
    if (stream->body_bytes_max && stream->req.body == BODY_LENGTH &&
        stream->req.content_length > stream->body_bytes_max) {
        stream_reply(stream, 413, 0, STR("request_payload_too_large"), STR("Payload Too Large"));
        return STEP_NEXT;
    }
    set_forwarded_path(stream);
    if (stream->step == STEP_reply)
        return STEP_NEXT;
    if (route->timeout_ms && stream->request_received)
        timer_arm(&stream->worker->loop.wheel, &stream->timer,
                  stream->worker->loop.now_ms + route->timeout_ms);
    stream->step = STEP_connect;
    return STEP_NEXT;
}

static enum step_result step_route(struct stream *stream)
{
    const struct h1_request *req = &stream->req;
    if (stream_take_request_bytes(stream, stream->down->rx_end) == PUMP_BAD_REQUEST) {
        stream_reply(stream, 400, FLAG_BIT(DPE), str_of(h1_error_detail(stream->req_chunked.error)),
                     str_of(h1_error_sentence(stream->req_chunked.error)));
        return STEP_NEXT;
    }
    if (!find_listener(stream)) {
        stream_reply(stream, 404, FLAG_BIT(NR), STR("route_configuration_not_found"),
                     STR("this listener is no longer served"));
        stream->keep_down = false;
        return STEP_NEXT;
    }
    if (req->method_id == METHOD_CONNECT || req->method_id == METHOD_TRACE) {
        // No forward proxy, and TRACE would echo credentials (RFC 9110, 9.3.8).
        stream_reply(stream, 405, 0, STR("method_not_allowed"), STR("method not allowed"));
        stream->keep_down = stream->keep_down && req->method_id == METHOD_TRACE;
        return STEP_NEXT;
    }
    if (!normalize(stream))
        return STEP_NEXT;
    struct request_view view = {.host = stream->host,
                                .path = stream->path,
                                .query = req->query,
                                .method = req->method,
                                .scheme = STR("http"),
                                .authority = req->authority,
                                .headers = &req->headers};
    const struct vhost *vhost = host_table_find(stream->listener->hosts, stream->host);
    stream->route = vhost ? vhost_find_route(vhost, &view) : NULL;
    if (!stream->route) {
        stream_reply(stream, 404, FLAG_BIT(NR), STR("route_not_found"), STR("no route matches"));
        return STEP_NEXT;
    }
    return choose_action(stream, &view);
}

static uint32_t active_of(void *arg, const struct endpoint *endpoint)
{
    struct worker *worker = arg;
    return worker_endpoint_slot(worker, endpoint)->active;
}

static void note_endpoint(struct stream *stream, const struct endpoint *endpoint)
{
    stream->endpoint = endpoint;
    stream->upstream_host = endpoint->text;
    if (stream->n_tries < TRIES_MAX) {
        stream->tried[stream->n_tries] = endpoint->text;
        stream->tried_endpoints[stream->n_tries] = endpoint;
    }
    stream->n_tries++;
}

static void note_active(struct stream *stream, struct upstream *up)
{
    stream->endpoint_slot = up->slot;
    stream->endpoint_identity = up->identity;
    up->slot->active++;
    COUNT(up->slot->counters[ENDPOINT_COUNTER_REQUESTS], 1);
    COUNT(up->slot->counters[ENDPOINT_COUNTER_ACTIVE], 1);
}

static void note_inactive(struct stream *stream, bool is_error)
{
    struct endpoint_slot *slot = stream->endpoint_slot;
    if (!slot || slot->identity != stream->endpoint_identity)
        return;
    slot->active--;
    COUNT(slot->counters[ENDPOINT_COUNTER_ACTIVE], -1);
    if (is_error)
        COUNT(slot->counters[ENDPOINT_COUNTER_ERRORS], 1);
    stream->endpoint_slot = NULL;
}

static void leave_upstream(struct stream *stream, bool reusable, bool is_error)
{
    struct upstream *up = stream->up;
    if (!up)
        return;
    note_inactive(stream, is_error);
    stream->up = NULL;
    if (reusable)
        upstream_release(up);
    else
        upstream_close(up);
}

static enum step_result connect_failed(struct stream *stream, int error);

static enum step_result step_connect(struct stream *stream)
{
    struct worker *worker = stream->worker;
    if (stream->up) { // an event while connecting
        if (!stream->up->sock.failed && !stream->up->sock.writable)
            return STEP_WAIT;
        int error = upstream_finish_connect(stream->up);
        if (error)
            return connect_failed(stream, error);
        stream->connect_end_ns = stream->up->connect_end_ns;
        stream->step = STEP_send;
        return STEP_NEXT;
    }
    if (!stream->cluster_slot) {
        stream->cluster_slot =
            worker_cluster_slot(worker, stream->hold->snapshot, stream->cluster);
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_REQUESTS], 1);
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_ACTIVE], 1);
    }
    struct balance_view view = {.random = worker_random(worker),
                                .active = active_of,
                                .arg = worker,
                                .tried = stream->tried_endpoints,
                                .n_tried = stream->n_tries};
    view.random2 = view.random * UINT64_C(0x9E3779B97F4A7C15);
    const struct endpoint *endpoint =
        balance_pick(stream->cluster, &stream->cluster_slot->balance, &view,
                     stream->hold->snapshot->generation);
    if (!endpoint) {
        stream_reply(stream, 503, FLAG_BIT(UH), STR("no_healthy_upstream"),
                     STR("no healthy upstream"));
        return STEP_NEXT;
    }
    note_endpoint(stream, endpoint);
    int error = 0;
    struct upstream *up = upstream_acquire(worker, stream->hold->snapshot, stream->cluster,
                                           endpoint, stream->on_fresh, &error);
    if (!up)
        return connect_failed(stream, error);
    stream->up = up;
    up->stream = stream;
    note_active(stream, up);
    stream->upstream_id = up->id;
    stream->upstream_ids[stream->n_upstream_ids++ % TRIES_MAX] = up->id;
    stream->upstream_remote = up->remote;
    stream->try_was_reused = up->state == UP_BUSY;
    stream->connect_begin_ns = up->connect_begin_ns;
    stream->connect_end_ns = up->connect_end_ns;
    if (up->state == UP_CONNECTING)
        return STEP_WAIT;
    stream->step = STEP_send;
    return STEP_NEXT;
}

// Another endpoint may do: nothing was sent, so trying again is always safe.
static enum step_result connect_failed(struct stream *stream, int error)
{
    static const char timed_out[] = "connection timeout";
    leave_upstream(stream, false, true);
    stream->failure = error == ETIMEDOUT ? STR(timed_out) : str_of(strerrordesc_np(error));
    if (stream->n_tries < TRIES_MAX && stream->n_tries < stream->cluster->n_endpoints) {
        WORKER_COUNT(stream->worker, RETRIES, 1);
        stream->step = STEP_connect;
        return STEP_NEXT;
    }
    uint64_t flags = FLAG_BIT(UF) | (stream->n_tries > 1 ? FLAG_BIT(URX) : 0);
    if (stream->is_tcp) {
        stream->flags |= flags;
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 503, flags,
                 STR("upstream_reset_before_response_started{connection_failure}"),
                 STR("upstream connect error or disconnect/reset before headers. reset reason: "
                     "connection failure"));
    return STEP_NEXT;
}

static enum step_result upstream_failed(struct stream *stream);

static void note_first_write(struct stream *stream)
{
    struct upstream *up = stream->up;
    up->n_requests++;
    stream->upstream_local = up->local;
    stream->has_upstream_address = true;
    stream->up_tx_begin_ns = stream->worker->loop.now_ns;
    stream->pool_wait_ns = stream->up_tx_begin_ns - stream->begin_ns;
}

static enum step_result step_send(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct upstream *up = stream->up;
    if (stream->is_tcp) {
        stream->upstream_local = up->local;
        stream->has_upstream_address = true;
        stream->is_tunnel = true;
        stream->keep_up = stream->keep_down = false;
        WORKER_COUNT(worker, TUNNELS_ACTIVE, 1);
        stream->step = STEP_tunnel;
        return STEP_NEXT;
    }
    note_first_write(stream);
    stream_prepare_request(stream);
    size_t len = stream_build_request_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0) {
        leave_upstream(stream, true, false);
        stream_reply(stream, 431, 0, STR("request_headers_too_large"),
                     STR("request headers too large once the route's were added"));
        return STEP_NEXT;
    }
    struct str head = {worker->scratch, len};
    struct str body = {stream->body + stream->body_off, stream->body_end - stream->body_off};
    if (body.len > 0 && body.len <= COPY_BODY_MAX && len + body.len <= SCRATCH_BYTES) {
        memcpy(worker->scratch + len, body.ptr, body.len);
        head.len += body.len;
        body.len = 0;
    }
    ssize_t n = body.len ? sock_send2(&up->sock, head, body)
                         : sock_send(&up->sock, head.ptr, head.len);
    if (n < 0 && n != -EAGAIN)
        return upstream_failed(stream);
    size_t sent = n > 0 ? (size_t)n : 0;
    stream->anything_sent = sent > 0;
    stream->up_wire_sent += sent;
    stream->up_head_sent = len;
    if (sent < len) {
        up->tx = malloc(len - sent);
        CHECK(up->tx != NULL);
        memcpy(up->tx, worker->scratch + sent, len - sent);
        up->tx_off = 0;
        up->tx_end = (uint32_t)(len - sent);
    } else {
        stream->body_off += (uint32_t)(sent - len);
    }
    stream->step = STEP_head;
    return STEP_NEXT;
}

// ---- failures ----

static bool may_replay(const struct stream *stream)
{
    return !stream->response_begun && !stream->body_dropped && stream->try_was_reused &&
           stream->n_tries < TRIES_MAX &&
           (!stream->anything_sent || http_method_is_idempotent(stream->req.method_id));
}

// The connection died. Before any response byte a pooled one is suspected of having been closed by
// the endpoint while idle (RFC 9112, 9.3.1): the request is sent again where that is safe.
static enum step_result upstream_failed(struct stream *stream)
{
    bool reset = stream->up->sock.failed;
    if (may_replay(stream)) {
        leave_upstream(stream, false, false);
        WORKER_COUNT(stream->worker, RETRIES, 1);
        stream->on_fresh = true;
        stream->n_tries--; // the same endpoint again: its pooled connection failed, not itself
        stream->request_sent = stream->anything_sent = false;
        stream->up_tx_end_ns = 0;
        stream->body_off = stream->body_begin;
        stream->step = STEP_connect;
        return STEP_NEXT;
    }
    leave_upstream(stream, false, true);
    if (stream->cluster_slot)
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    if (stream->head_sent_down) {
        stream->flags |= reset ? FLAG_BIT(UR) : FLAG_BIT(UC);
        stream->details = STR("upstream_reset_after_response_started{connection_termination}");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 503, FLAG_BIT(UC),
                 STR("upstream_reset_before_response_started{connection_termination}"),
                 STR("upstream connect error or disconnect/reset before headers. reset reason: "
                     "connection termination"));
    return STEP_NEXT;
}

static enum step_result bad_response(struct stream *stream, struct str details)
{
    leave_upstream(stream, false, true);
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(UPE);
        stream->details = STR("upstream_reset_after_response_started{protocol_error}");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 502, FLAG_BIT(UPE), details,
                 STR("upstream connect error or disconnect/reset before headers. reset reason: "
                     "protocol error"));
    return STEP_NEXT;
}

static enum step_result client_gone(struct stream *stream)
{
    leave_upstream(stream, false, false);
    stream->flags |= FLAG_BIT(DC);
    stream->details = STR("downstream_remote_disconnect");
    stream->cut = true;
    stream->step = STEP_finish;
    return STEP_NEXT;
}

static enum step_result bad_request(struct stream *stream)
{
    enum h1_error error = stream->req_chunked.error;
    leave_upstream(stream, false, false);
    WORKER_COUNT(stream->worker, PROTOCOL_ERRORS, 1);
    stream->keep_down = false;
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(DPE);
        stream->details = str_of(h1_error_detail(error));
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 400, FLAG_BIT(DPE), str_of(h1_error_detail(error)),
                 str_of(h1_error_sentence(error)));
    return STEP_NEXT;
}

static enum step_result payload_too_large(struct stream *stream)
{
    leave_upstream(stream, false, false);
    stream->keep_down = false;
    if (stream->head_sent_down) {
        stream->details = STR("request_payload_too_large");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 413, 0, STR("request_payload_too_large"), STR("Payload Too Large"));
    return STEP_NEXT;
}

static enum step_result pump_failed(struct stream *stream, enum pump_result result)
{
    switch (result) {
    case PUMP_DOWN_FAILED:
        return client_gone(stream);
    case PUMP_UP_FAILED:
        return upstream_failed(stream);
    case PUMP_BAD_REQUEST:
        return bad_request(stream);
    case PUMP_BAD_RESPONSE:
        return bad_response(stream, STR("upstream_reset_after_response_started{protocol_error}"));
    case PUMP_TOO_LARGE:
        return payload_too_large(stream);
    case PUMP_WAIT:
    case PUMP_DONE:
    case PUMP_YIELD:
        break;
    }
    CHECK(!"not a failure");
}

// ---- the response ----

// Reads what is there of a head. 1: bytes came; 0: wait; -1: the connection ended.
static int read_response_bytes(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (!up->rx)
        up->rx = pool_take(&stream->worker->large);
    if (up->rx_end == BUFFER_LARGE_BYTES)
        return -1;
    ssize_t n = sock_recv(&up->sock, up->rx + up->rx_end, BUFFER_LARGE_BYTES - up->rx_end);
    if (n == -EAGAIN)
        return 0;
    if (n <= 0)
        return -1;
    if (!stream->response_begun) {
        stream->response_begun = true;
        stream->up_rx_begin_ns = stream->worker->loop.now_ns;
    }
    stream->up_wire_received += (uint64_t)n;
    up->rx_end += (uint32_t)n;
    return 1;
}

// 100 Continue, 103 Early Hints and the like: passed on at once (RFC 9110, 15.2).
static bool forward_interim(struct stream *stream)
{
    if (stream->is_http10)
        return true;
    size_t len = stream_build_interim_head(stream, stream->worker->scratch, SCRATCH_BYTES);
    return downstream_send_all(stream->down, (struct str){stream->worker->scratch, len});
}

static void choose_response_framing(struct stream *stream)
{
    const struct h1_response *res = &stream->res;
    stream->keep_up = res->keep_alive && res->body != BODY_UNTIL_CLOSE;
    stream->decode_chunked = res->body == BODY_CHUNKED && stream->is_http10;
    stream->encode_chunked = res->body == BODY_UNTIL_CLOSE && !stream->is_http10;
    if (stream->is_http10 && (stream->decode_chunked || res->body == BODY_UNTIL_CLOSE))
        stream->keep_down = false; // the end of the body is the end of the connection
    if (!stream->request_received)
        stream->keep_down = false; // the rest of the request may never come
    stream->res_unread = res->body == BODY_LENGTH ? res->content_length : 0;
    if (res->body == BODY_CHUNKED)
        h1_chunked_init(&stream->res_chunked);
}

// The final head: to the client, together with what has come of the body.
static enum step_result begin_response(struct stream *stream, size_t head_len)
{
    struct worker *worker = stream->worker;
    struct upstream *up = stream->up;
    stream->status = stream->res.status;
    stream->details = STR("via_upstream");
    stream->up_head_received = head_len;
    stream->res_head_len = (uint32_t)head_len;
    stream->res_off = stream->res_end = (uint32_t)head_len;
    bool is_tunnel = stream->res.status == 101;
    choose_response_framing(stream);
    if (up->rx_end > head_len)
        stream->up_rx_body_ns = worker->loop.now_ns;
    if (!is_tunnel && stream_take_response_bytes(stream, up->rx_end) == PUMP_BAD_RESPONSE)
        return bad_response(stream, STR("upstream_reset_before_response_started{protocol_error}"));
    stream_prepare_response(stream);
    size_t len = stream_build_response_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0)
        return bad_response(stream, STR("response_headers_too_large"));
    struct str head = {worker->scratch, len};
    struct str body = {up->rx + stream->res_off, stream->res_end - stream->res_off};
    size_t copied = 0, body_sent = 0;
    if (body.len > 0 && body.len <= COPY_BODY_MAX && len + body.len <= SCRATCH_BYTES) {
        memcpy(worker->scratch + len, body.ptr, body.len);
        head.len += copied = body.len;
        body.len = 0;
    }
    stream->head_sent_down = true;
    stream->down_head_sent = len;
    stream->down_tx_begin_ns = worker->loop.now_ns;
    if (!downstream_send(stream->down, head, body, &body_sent))
        return client_gone(stream);
    stream->res_off += (uint32_t)(copied + body_sent);
    stream->down_wire_sent += len + copied + body_sent;
    if (is_tunnel) {
        stream->is_tunnel = true;
        stream->keep_up = stream->keep_down = false;
        stream->to_down.data = NULL;
        WORKER_COUNT(worker, TUNNELS_ACTIVE, 1);
        timer_disarm(&worker->loop.wheel, &stream->timer);
        stream->step = STEP_tunnel;
    } else {
        stream->step = STEP_relay;
    }
    return STEP_NEXT;
}

static void note_request_end(struct stream *stream)
{
    if (stream->request_sent && !stream->up_tx_end_ns) {
        stream->up_tx_end_ns = stream->worker->loop.now_ns;
        if (stream->route->timeout_ms && stream->timer.deadline_ms == 0 && !stream->head_sent_down)
            timer_arm(&stream->worker->loop.wheel, &stream->timer,
                      stream->worker->loop.now_ms + stream->route->timeout_ms);
    }
}

static enum step_result yield(struct stream *stream)
{
    if (list_empty(&stream->ready))
        list_push_back(&stream->worker->ready, &stream->ready);
    return STEP_WAIT;
}

// Moves the request's body on. STEP_NEXT: the stream took another way.
static enum step_result pump_request(struct stream *stream)
{
    if (stream->request_sent)
        return STEP_WAIT;
    enum pump_result result = stream_pump_request(stream);
    note_request_end(stream);
    if (result == PUMP_YIELD)
        return yield(stream);
    if (result == PUMP_WAIT || result == PUMP_DONE)
        return STEP_WAIT;
    if (result == PUMP_UP_FAILED && stream->up->sock.readable)
        return STEP_WAIT; // an early answer may stand before the reset: read it first
    return pump_failed(stream, result);
}

static enum step_result step_head(struct stream *stream)
{
    const struct proxy_options *options = proxy_get_options(stream->worker->proxy);
    struct h1_limits limits = {options->head_bytes_max, 0, HEADERS_MAX};
    struct upstream *up = stream->up;
    if (pump_request(stream) == STEP_NEXT)
        return STEP_NEXT;
    for (;;) {
        if (up->rx_end > stream->res_off) {
            size_t scanned = stream->res_head_len, len = 0;
            enum h1_error error;
            enum h1_status status =
                h1_parse_response(&stream->res, stream->req.method_id, &limits,
                                  up->rx + stream->res_off, up->rx_end - stream->res_off, &scanned,
                                  &len, &error);
            stream->res_head_len = (uint32_t)scanned;
            if (status == H1_ERROR)
                return bad_response(
                    stream, STR("upstream_reset_before_response_started{protocol_error}"));
            if (status == H1_DONE) {
                stream->res_head_len = 0;
                if (stream->res.status == 101 ? stream->is_upgrade : stream->res.status >= 200)
                    return begin_response(stream, stream->res_off + len);
                if (stream->res.status == 101)
                    return bad_response(
                        stream, STR("upstream_reset_before_response_started{protocol_error}"));
                if (!forward_interim(stream))
                    return client_gone(stream);
                stream->res_off += (uint32_t)len;
                continue;
            }
        }
        if (!up->sock.readable)
            return up->sock.failed ? upstream_failed(stream) : STEP_WAIT;
        int got = read_response_bytes(stream);
        if (got == 0)
            return STEP_WAIT;
        if (got < 0)
            return upstream_failed(stream);
    }
}

static enum step_result step_relay(struct stream *stream)
{
    if (stream->up && !stream->request_sent && !stream->response_received &&
        pump_request(stream) == STEP_NEXT)
        return STEP_NEXT;
    enum pump_result result = stream_pump_response(stream);
    switch (result) {
    case PUMP_DONE:
        stream->step = STEP_finish;
        return STEP_NEXT;
    case PUMP_YIELD:
        return yield(stream);
    case PUMP_WAIT:
        return STEP_WAIT;
    case PUMP_DOWN_FAILED:
    case PUMP_UP_FAILED:
    case PUMP_BAD_REQUEST:
    case PUMP_BAD_RESPONSE:
    case PUMP_TOO_LARGE:
        break;
    }
    return pump_failed(stream, result);
}

static enum step_result step_tunnel(struct stream *stream)
{
    enum pump_result result = stream_pump_tunnel(stream);
    if (result == PUMP_YIELD)
        return yield(stream);
    if (result == PUMP_WAIT)
        return STEP_WAIT;
    if (result == PUMP_DOWN_FAILED && !stream->is_tcp)
        stream->flags |= FLAG_BIT(DC);
    if (result == PUMP_UP_FAILED)
        stream->flags |= FLAG_BIT(UC);
    stream->cut = result != PUMP_DONE;
    stream->step = STEP_finish;
    return STEP_NEXT;
}

static enum step_result step_reply(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (!stream->head_sent_down) {
        stream->head_sent_down = true;
        stream_write_reply(stream);
    }
    if (!downstream_flush(down) || down->sock.failed)
        return client_gone(stream);
    if (down->tx)
        return STEP_WAIT;
    stream->step = STEP_finish;
    return STEP_NEXT;
}

// ---- the end ----

static void note_outcome(struct stream *stream)
{
    struct worker *worker = stream->worker;
    int64_t took_us = (stream->down_tx_end_ns - stream->begin_ns) / 1000;
    static const uint32_t bounds_ms[] = LATENCY_BOUNDS_MS;
    unsigned bucket = 0;
    if (stream->is_tunnel) {
        WORKER_COUNT(worker, TUNNELS_ACTIVE, -1);
    } else if (!stream->is_tcp) {
        while (bucket < LATENCY_BUCKETS - 1 && took_us > (int64_t)bounds_ms[bucket] * 1000)
            bucket++;
        COUNT(worker->latency_buckets[bucket], 1);
        COUNT(worker->latency_sum_us, took_us);
        COUNT(worker->latency_count, 1);
    }
    if (!stream->is_tcp)
        COUNT(worker->classes[stream->status / 100 % CODE_CLASSES], 1);
    WORKER_COUNT(worker, REQUESTS_ACTIVE, -1);
    if (!stream->cluster_slot)
        return;
    COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_ACTIVE], -1);
    if (stream->response_begun && stream->status >= 200 && stream->status < 600)
        COUNT(stream->cluster_slot
                  ->counters[CLUSTER_COUNTER_RESPONSES_2XX + stream->status / 100 - 2],
              1);
}

// Bytes behind this request (pipelined) stay with the connection.
static void return_buffers(struct stream *stream)
{
    struct downstream *down = stream->down;
    struct worker *worker = stream->worker;
    stream_close_pipe(stream);
    if (stream->large && stream->body_end < stream->body_fill) {
        pool_give(down->rx_cap == BUFFER_SMALL_BYTES ? &worker->small : &worker->large, down->rx);
        down->rx = stream->large;
        down->rx_cap = BUFFER_LARGE_BYTES;
        down->rx_off = stream->body_end;
        down->rx_end = stream->body_fill;
    } else {
        if (stream->large)
            down->rx_off = down->rx_end;
        else if (stream->body)
            down->rx_off = stream->body_end;
        pool_give(&worker->large, stream->large);
    }
    pool_give(&worker->large, stream->to_up.data);
    pool_give(&worker->large, stream->to_down.data);
}

static void finish(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct downstream *down = stream->down;
    stream->down_tx_end_ns = worker->loop.now_ns;
    stream_log(stream);
    note_outcome(stream);
    leave_upstream(stream, stream->keep_up && !stream->cut && stream->request_sent &&
                               stream->response_received,
                   stream->status >= 500);
    if (stream->timer.deadline_ms)
        timer_disarm(&worker->loop.wheel, &stream->timer);
    list_remove(&stream->ready);
    return_buffers(stream);
    free_room(stream);
    down->stream = NULL;
    worker_release_hold(worker, stream->hold);
    pool_give(&worker->streams, stream);
}

static enum step_result step_finish(struct stream *stream)
{
    struct downstream *down = stream->down;
    bool keep_alive = stream->keep_down && !stream->cut && stream->request_received;
    bool cut = stream->cut;
    finish(stream);
    if (cut)
        downstream_close(down);
    else
        downstream_stream_done(down, keep_alive);
    return STEP_DONE;
}

void stream_abort(struct stream *stream)
{
    if (!stream->is_tcp && !stream->is_tunnel) {
        stream->flags |= FLAG_BIT(DC);
        stream->details = STR("downstream_remote_disconnect");
    }
    stream->cut = true;
    finish(stream);
}

// ---- the loop ----

void stream_run(struct stream *stream)
{
    static enum step_result (*const steps[])(struct stream *) = {
#define X(name) step_##name,
        STREAM_STEPS(X)
#undef X
    };
    while (steps[stream->step](stream) == STEP_NEXT) {
    }
}

void stream_drive(struct stream *stream)
{
    struct downstream *down = stream->down;
    stream_run(stream);
    downstream_continue(down);
}

void stream_on_upstream(struct stream *stream)
{
    stream_drive(stream);
}

static void on_route_timer(struct timer *timer)
{
    struct stream *stream = LIST_ENTRY(timer, struct stream, timer);
    stream->timer.deadline_ms = 0;
    leave_upstream(stream, false, true);
    if (stream->cluster_slot)
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(UT);
        stream->details = STR("upstream_response_timeout");
        stream->cut = true;
        stream->step = STEP_finish;
    } else {
        stream_reply(stream, 504, FLAG_BIT(UT), STR("upstream_response_timeout"),
                     STR("upstream request timeout"));
    }
    stream_drive(stream);
}

void stream_on_idle(struct stream *stream)
{
    leave_upstream(stream, false, false);
    if (stream->is_tunnel || stream->is_tcp || stream->head_sent_down) {
        if (!stream->is_tunnel)
            stream->flags |= FLAG_BIT(SI);
        stream->details = stream->is_tunnel ? stream->details : STR("stream_idle_timeout");
        stream->cut = true;
        stream->step = STEP_finish;
    } else {
        stream->keep_down = false;
        stream_reply(stream, stream->request_received ? 504 : 408, FLAG_BIT(SI),
                     STR("stream_idle_timeout"), STR("stream timeout"));
    }
    stream_drive(stream);
}

void stream_begin_tcp(struct stream *stream, struct downstream *down,
                      const struct listener *listener)
{
    begin(stream, down);
    stream->is_tcp = true;
    stream->listener = listener;
    stream->cluster = listener->cluster;
    stream->body = NULL;
    stream->step = STEP_connect;
    stream->on_fresh = true; // a session's connection is its own
    if (!stream->cluster || stream->cluster->n_endpoints == 0) {
        stream->flags |= FLAG_BIT(UH);
        stream->cut = true;
        stream->step = STEP_finish;
    }
    timer_arm(&down->worker->loop.wheel, &down->timer,
              down->worker->loop.now_ms +
                  proxy_get_options(stream->worker->proxy)->tunnel_idle_timeout_ms);
}
