// SPDX-License-Identifier: Apache-2.0
// A stream's memory, beginning, end, and the loop that runs its steps.
#include "proxy/h2_session.h"
#include "proxy/names.h"
#include "proxy/undeclared.h"
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
    if (text.len == 0)
        return STR_NONE;
    char *copy = stream_alloc(stream, text.len);
    if (text.len > 0) // an absent string has no address
        memcpy(copy, text.ptr, text.len);
    return (struct str){copy, text.len};
}

static void free_room(struct stream *stream)
{
    while (stream->room.more) {
        char *block = stream->room.more;
        memcpy(&stream->room.more, block, sizeof stream->room.more);
        free(block);
    }
}

static void on_idle(struct timer *timer)
{
    stream_on_idle(LIST_ENTRY(timer, struct stream, h2.idle));
}

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
    stream->pipe[0] = stream->to_up.pipe[0] = stream->to_down.pipe[0] = -1;
    list_init(&stream->ready);
    list_init(&stream->down_node);
    list_init(&stream->up_node);
    timer_init(&stream->timer, stream_on_route_timer);
    return stream;
}

void stream_add_h2_part(struct stream *stream)
{
    if (stream->has_h2_part)
        return;
    stream->has_h2_part = true;
    memset(&stream->h2, 0, sizeof stream->h2);
    timer_init(&stream->h2.idle, on_idle);
}

void stream_discard(struct stream *stream)
{
    free_room(stream); // pseudo-headers of a head that did not end
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

// Not to another version of HTTP: its requests would pass by every route. Left out, the wish is
// ignored, as any server may (RFC 9110, 7.8).
bool stream_may_upgrade(const struct h1_request *req)
{
    struct str to = header_get(&req->headers, HEADER_UPGRADE)->value;
    static const struct str refused[] = {{"h2", 2}, {"http", 4}, {"tls", 3}};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (to.len >= refused[i].len && str_equal_nocase(str_upto(to, refused[i].len), refused[i]))
            return false;
    return str_index(to, ',') < 0;
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
    stream->is_upgrade =
        stream->req.is_upgrade && stream->req.body == BODY_NONE && stream_may_upgrade(&stream->req);
    stream->down_wire_received = head_len;
    down->rx_off += head_len;
    stream->body = down->rx;
    stream->body_begin = stream->body_off = stream->body_end = down->rx_off;
    stream->body_unread = stream->req.body == BODY_LENGTH ? stream->req.content_length : 0;
    if (stream->req.body == BODY_CHUNKED)
        h1_chunked_init(&stream->req_chunked);
    stream->step = STEP_route;
}

void stream_begin_h2(struct stream *stream, bool has_ended)
{
    begin(stream, stream->down);
    stream->is_upgrade = stream->h2.pseudo.protocol.len > 0;
    stream->keep_down = true;
    stream->down_wire_received += stream->head_len;
    // Without a length the body's end is told by the stream's (RFC 9113, 8.1).
    if (!has_ended && stream->req.body == BODY_NONE && !stream->is_upgrade &&
        !stream->req.headers.first[HEADER_CONTENT_LENGTH])
        stream->req.body = BODY_CHUNKED;
    if (has_ended) {
        stream->req.body = BODY_NONE;
        stream->request_received = true;
        stream->request_end_ns = stream->worker->loop.now_ns;
        stream->h2.req_queue.has_end = true;
    }
    stream->step = STEP_route;
    stream_progress(stream);
    stream_wake(stream);
}

uint32_t stream_tunnel_idle_ms(const struct stream *stream)
{
    uint32_t own_ms = stream->tunnel_idle_ms;
    if (stream->is_tcp && stream->cluster)
        own_ms = stream->cluster->tcp_idle_timeout_ms;
    return own_ms ? own_ms : proxy_get_options(stream->worker->proxy)->tunnel_idle_timeout_ms;
}

void stream_progress(struct stream *stream)
{
    const struct proxy_options *options = proxy_get_options(stream->worker->proxy);
    uint32_t timeout_ms =
        stream->is_tunnel ? stream_tunnel_idle_ms(stream) : options->stream_idle_timeout_ms;
    if (stream->down_h2)
        timer_arm(&stream->worker->loop.wheel, &stream->h2.idle,
                  stream->worker->loop.now_ms + timeout_ms);
    else
        downstream_progress(stream->down, timeout_ms);
}

void stream_refuse(struct stream *stream, struct downstream *down, enum h1_error error,
                   uint16_t status, struct str details)
{
    // What could not be parsed must not show in the log as if it had been.
    struct header *items = stream->req.headers.items;
    stream->req = (struct h1_request){.headers = {.items = items, .cap = HEADERS_MAX}};
    begin(stream, down);
    stream->request_received |= !stream->down_h2;
    down->rx_off = down->rx_end;
    const char *sentence = h1_error_sentence(error);
    stream_reply(stream, status, status == 408 ? FLAG_BIT(SI) : FLAG_BIT(DPE), details,
                 status == 408 ? STR("request head not received in time") : str_of(sentence));
    stream->keep_down = false;
    if (stream->down_h2)
        stream_wake(stream);
    else
        stream_drive(stream);
}

// ---- TCP ----

static const struct tcp_route *find_tcp_route(const struct tcp_routes *routes,
                                              const struct address *dialled)
{
    for (uint32_t i = 0; i < routes->n; i++) {
        const struct tcp_route *route = &routes->items[i];
        if (route->n_destinations == 0)
            return route;
        for (unsigned j = 0; j < route->n_destinations; j++)
            if (subnet_contains(&route->destinations[j], dialled))
                return route;
    }
    return NULL;
}

// As a route of HTTP, for the draw.
static const struct target *pick_tcp_target(const struct tcp_route *route, uint64_t random)
{
    struct route as_http = {.targets = route->targets,
                            .n_targets = route->n_targets,
                            .total_weight = route->total_weight};
    return route_pick_target(&as_http, random);
}

static void end_tcp(struct stream *stream, uint64_t flags, struct str details)
{
    stream->flags |= flags;
    stream->details = details;
    stream->cut = true;
    stream->step = STEP_finish;
}

static void choose_tcp_cluster(struct stream *stream, const struct tcp_routes *routes)
{
    const struct tcp_route *route = find_tcp_route(routes, &stream->down->local);
    if (!route) {
        end_tcp(stream, FLAG_BIT(NR), STR("filter_chain_not_found"));
        return;
    }
    stream->names.route = route->name;
    stream->target = pick_tcp_target(route, worker_random(stream->worker));
    if (!stream->target) {
        end_tcp(stream, FLAG_BIT(NC), STR("cluster_not_found"));
        return;
    }
    stream->cluster = stream->target->cluster;
    if (stream_note_undeclared(stream))
        end_tcp(stream, FLAG_BIT(UH), STR("no_healthy_upstream")); // as Envoy says
    else if (stream->cluster->is_missing)
        end_tcp(stream, FLAG_BIT(NC), STR("cluster_not_found"));
    else if (stream->cluster->discovery == CLUSTER_STATIC && stream->cluster->n_endpoints == 0)
        end_tcp(stream, FLAG_BIT(UH), STR("no_healthy_upstream"));
}

void stream_begin_tcp(struct stream *stream, struct downstream *down,
                      const struct listener *listener, const struct tcp_routes *routes,
                      struct str early)
{
    struct worker *worker = down->worker;
    begin(stream, down);
    stream->is_tcp = true;
    stream->listener = listener;
    stream->step = STEP_connect;
    stream->on_fresh = true; // a session's connection is its own
    if (early.len > 0) {
        CHECK(early.len <= BUFFER_LARGE_BYTES);
        stream->to_up.data = pool_take(&worker->large);
        memcpy(stream->to_up.data, early.ptr, early.len);
        stream->to_up.end = (uint32_t)early.len;
    }
    choose_tcp_cluster(stream, routes);
    timer_arm(&worker->loop.wheel, &down->timer,
              worker->loop.now_ms + stream_tunnel_idle_ms(stream));
}

void stream_log_refused(struct downstream *down, const struct refusal *refusal)
{
    struct worker *worker = down->worker;
    struct stream *stream = stream_create(worker);
    stream->down = down;
    stream->is_tcp = true;
    stream->listener = worker_listener(worker, down->listener_slot);
    stream->begin_ns = down->accepted_ns;
    stream->begin_wall_ns = down->accepted_wall_ns;
    stream->down_tx_end_ns = worker->loop.now_ns;
    stream->flags = refusal->flags;
    stream->details = refusal->details;
    stream->down_failure = refusal->failure;
    stream->termination = refusal->termination;
    stream->cut = true;
    stream_log(stream);
    stream_discard(stream);
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
    struct cluster_slot *slot = stream->cluster_slot;
    if (!slot || slot->identity != stream->cluster_identity)
        return;
    COUNT(slot->counters[CLUSTER_COUNTER_ACTIVE], -1);
    if (stream->response_begun && !stream->reply_status && stream->status >= 200)
        COUNT(slot->counters[CLUSTER_COUNTER_RESPONSES_2XX + stream->status / 100 - 2], 1);
}

static void return_h2_buffers(struct stream *stream)
{
    struct worker *worker = stream->worker;
    queue_fini(&stream->h2.req_queue, worker);
    queue_fini(&stream->h2.res_queue, worker);
    head_text_fini(&stream->h2.req_text, worker);
    head_text_fini(&stream->h2.res_text, worker);
    head_text_fini(&stream->h2.req_trailers, worker);
    head_text_fini(&stream->h2.res_trailers, worker);
    if (stream->h2.idle.deadline_ms)
        timer_disarm(&worker->loop.wheel, &stream->h2.idle);
}

// Bytes behind this request (pipelined) stay with the connection.
static void return_buffers(struct stream *stream)
{
    struct downstream *down = stream->down;
    struct worker *worker = stream->worker;
    if (stream->has_h2_part)
        return_h2_buffers(stream);
    pool_give(&worker->large, stream->res_kept);
    if (stream->is_tcp || stream->is_tunnel) {
        stream_close_direction(stream, &stream->to_up);
        stream_close_direction(stream, &stream->to_down);
    }
    stream_close_pipe(stream);
    if (stream->down_h2)
        return;
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
}

static void finish(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct downstream *down = stream->down;
    stream->down_tx_end_ns = worker->loop.now_ns;
    stream_log(stream);
    note_outcome(stream);
    stream_leave_upstream(stream,
                          stream->keep_up && !stream->cut && stream->request_sent &&
                              stream->response_received,
                          stream->status >= 500);
    if (stream->timer.deadline_ms)
        timer_disarm(&worker->loop.wheel, &stream->timer);
    if (stream->name_wait)
        worker_resolve_cancel(stream);
    list_remove(&stream->ready);
    if (stream->down_h2)
        h2_downstream_stream_done(stream, stream->cut);
    else
        down->stream = NULL;
    return_buffers(stream);
    free_room(stream);
    if (stream->hold)
        worker_release_hold(worker, stream->hold);
    pool_give(&worker->streams, stream);
}

// Would the client take a cut for the end?
static bool ends_by_close(const struct stream *stream)
{
    if (stream->is_tunnel)
        return stream->flags & FLAG_BIT(UC);
    // Who was captured believes to be connected: an end would be the endpoint's.
    if (stream->is_tcp)
        return stream->down->captured != CAPTURED_NOT;
    return stream->head_sent_down && !stream->reply_status &&
           (stream->decode_chunked || (stream->up_h2 && stream->is_http10) ||
            (stream->res.body == BODY_UNTIL_CLOSE && !stream->encode_chunked));
}

enum step_result stream_step_finish(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (!stream->cut && !stream->down_h2 && !sock_is_flushed(&down->sock))
        return STEP_WAIT; // the client's own time: what TLS holds is not sent yet
    bool keep_alive = stream->keep_down && !stream->cut && stream->request_received;
    bool cut = stream->cut, reset = cut && ends_by_close(stream);
    bool is_h2 = stream->down_h2;
    finish(stream);
    if (is_h2)
        return STEP_DONE;
    if (reset)
        downstream_reset(down);
    else if (cut)
        downstream_close(down);
    else
        downstream_stream_done(down, keep_alive);
    return STEP_DONE;
}

void stream_abort(struct stream *stream)
{
    bool by_us = atomic_load_explicit(&stream->worker->stop, memory_order_relaxed);
    if (stream->down_lost && !stream->down->sock.failed && !stream->down->sock.peer_closed) {
        // The stream alone: its connection goes on.
        stream->flags |= stream->is_bad_request ? FLAG_BIT(DPE) : FLAG_BIT(DR);
        stream->details = stream->is_bad_request ? STR("http2.violation.of.messaging.rule")
                                                 : STR("http2.remote_reset");
        if (stream->is_bad_request)
            WORKER_COUNT(stream->worker, PROTOCOL_ERRORS, 1);
    } else if (!stream->is_tcp && !stream->is_tunnel && stream->step != STEP_drop) {
        stream->flags |= by_us ? 0 : FLAG_BIT(DC);
        stream->details =
            by_us ? STR("downstream_local_disconnect") : STR("downstream_remote_disconnect");
    }
    stream->cut = true;
    finish(stream);
}

// ---- the loop ----

enum step_result stream_yield(struct stream *stream)
{
    stream_wake(stream);
    return STEP_WAIT;
}

void stream_run(struct stream *stream)
{
    static enum step_result (*const steps[])(struct stream *) = {
#define X(name) stream_step_##name,
        STREAM_STEPS(X)
#undef X
    };
    while (steps[stream->step](stream) == STEP_NEXT) {
    }
}

void stream_wake(struct stream *stream)
{
    if (list_empty(&stream->ready))
        list_push_back(&stream->worker->ready, &stream->ready);
}

void stream_drive(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (stream->down_h2) {
        if (stream->down_lost)
            stream_abort(stream);
        else
            stream_run(stream);
        return;
    }
    stream_run(stream);
    downstream_continue(down);
}

void stream_on_upstream(struct stream *stream)
{
    stream_drive(stream);
}
