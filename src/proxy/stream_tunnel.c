// SPDX-License-Identifier: Apache-2.0
// The step `tunnel`: after an upgrade, and for TCP, bytes go both ways until one side ends.
#include "proxy/stream.h"
#include <unistd.h>

static void note_progress(struct stream *stream)
{
    downstream_progress(stream->down,
                        proxy_get_options(stream->worker->proxy)->tunnel_idle_timeout_ms);
}

// ---- what a tunnel keeps ----

// Bytes that were read behind the two heads belong to the tunnel.
static void seed(struct stream *stream)
{
    struct upstream *up = stream->up;
    uint32_t early = stream->body_fill - stream->body_end;
    if (early > 0) {
        stream->to_up.data = pool_take(&stream->worker->large);
        memcpy(stream->to_up.data, stream->body + stream->body_end, early);
        stream->to_up.end = early;
        stream->body_end = stream->body_fill;
    }
    if (up->rx_end > stream->res_head_len) {
        stream->to_down.data = pool_take(&stream->worker->large);
        stream->to_down.end = up->rx_end - stream->res_head_len;
        memcpy(stream->to_down.data, up->rx + stream->res_head_len, stream->to_down.end);
    }
    stream->down->sock.readable = true; // an edge may have come while the head was answered
}

struct move { // of bytes that slices point to
    const char *from;
    char *to;
    size_t len;
};

static void move_slice(const struct move *move, struct str *slice)
{
    if (slice->ptr >= move->from && slice->ptr < move->from + move->len)
        slice->ptr = move->to + (slice->ptr - move->from);
}

static void move_headers(const struct move *move, struct header_list *list)
{
    for (unsigned i = 0; i < list->n; i++) {
        move_slice(move, &list->items[i].name);
        move_slice(move, &list->items[i].value);
    }
}

static struct move copy_head(struct stream *stream, const char *head, size_t len)
{
    char *copy = stream_alloc(stream, len);
    memcpy(copy, head, len);
    return (struct move){head, copy, len};
}

static void keep_heads(struct stream *stream)
{
    struct h1_request *req = &stream->req;
    struct move move =
        copy_head(stream, stream->body + stream->body_begin - stream->head_len, stream->head_len);
    struct str *const slices[] = {&req->method,       &req->target,           &req->path,
                                  &req->query,        &req->scheme,           &req->authority,
                                  &stream->path,      &stream->original_path, &stream->host,
                                  &stream->authority, &stream->request_id};
    for (unsigned i = 0; i < sizeof slices / sizeof *slices; i++)
        move_slice(&move, slices[i]);
    move_headers(&move, &req->headers);
    move = copy_head(stream, stream->up->rx, stream->res_head_len);
    move_slice(&move, &stream->res.reason);
    move_headers(&move, &stream->res.headers);

    stream->body = NULL;
    downstream_drop_rx(stream->down);
    pool_give(&stream->worker->large, stream->up->rx);
    stream->up->rx = NULL;
    stream->up->rx_end = 0;
}

static void keep_patches(struct stream *stream, struct header_patch *patches, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        patches[i].name = stream_copy(stream, patches[i].name);
        patches[i].value = stream_copy(stream, patches[i].value);
    }
}

// Every change makes a snapshot: a tunnel that held the one it began with would keep it for days.
static void leave_snapshot(struct stream *stream)
{
    stream->names.cluster = stream_copy(stream, stream->cluster->name);
    stream->names.listener = stream_copy(stream, stream->listener->name);
    if (stream->route)
        stream->names.route = stream_copy(stream, stream->route->name);
    stream->authority = stream_copy(stream, stream->authority);
    stream->upstream_host = stream_copy(stream, stream->upstream_host);
    for (unsigned i = 0; i < stream->n_tries && i < TRIES_MAX; i++)
        stream->tried[i] = stream_copy(stream, stream->tried[i]);
    keep_patches(stream, stream->request_patches, stream->n_request_patches);
    keep_patches(stream, stream->response_patches, stream->n_response_patches);
    stream->cluster = NULL;
    stream->listener = NULL;
    stream->route = NULL;
    stream->target = NULL;
    stream->endpoint = NULL;
    worker_release_hold(stream->worker, stream->hold);
    stream->hold = NULL;
}

static void begin(struct stream *stream)
{
    leave_snapshot(
        stream); // first: its patches may hold slices of the heads that keep_heads() gives back
    stream->is_begun_tunnel = true;
    if (!stream->is_tcp) {
        seed(stream);
        keep_heads(stream);
    }
    note_progress(stream);
}

// ---- both ways ----

// One direction: what came with the head first (seed), then from socket to socket.
static enum pump_result pump_direction(struct stream *stream, struct direction *way,
                                       struct sock *from, struct sock *to, uint64_t *counted,
                                       bool to_upstream)
{
    const enum pump_result from_failed = to_upstream ? PUMP_DOWN_FAILED : PUMP_UP_FAILED;
    const enum pump_result to_failed = to_upstream ? PUMP_UP_FAILED : PUMP_DOWN_FAILED;
    uint32_t moved = 0;
    for (;;) {
        if (way->off < way->end) {
            if (!to->writable)
                return to->failed ? to_failed : PUMP_WAIT;
            ssize_t n = sock_send(to, way->data + way->off, way->end - way->off);
            if (n == -EAGAIN)
                return PUMP_WAIT;
            if (n < 0)
                return to_failed;
            way->off += (uint32_t)n;
            *counted += (uint64_t)n;
            moved += (uint32_t)n;
            if (!to_upstream)
                WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_SENT, n);
            note_progress(stream);
            continue;
        }
        if (way->eof_read) {
            if (!way->eof_sent) {
                shutdown(to->watch.fd, SHUT_WR); // a half-close is handed on
                way->eof_sent = true;
            }
            return PUMP_DONE;
        }
        if (!from->readable) {
            pool_give(&stream->worker->large, way->data); // an idle tunnel holds no buffer
            way->data = NULL;
            return from->failed ? from_failed : PUMP_WAIT;
        }
        if (moved >= RELAY_BYTES_PER_RUN)
            return PUMP_YIELD;
        if (!way->data)
            way->data = pool_take(&stream->worker->large);
        way->off = way->end = 0;
        ssize_t n = sock_recv(from, way->data, BUFFER_LARGE_BYTES);
        if (n == -EAGAIN)
            continue;
        if (n < 0)
            return from_failed;
        if (n == 0)
            way->eof_read = true;
        way->end = (uint32_t)n;
        if (to_upstream)
            WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_RECEIVED, n);
    }
}

static enum pump_result pump(struct stream *stream)
{
    struct sock *down = &stream->down->sock, *up = &stream->up->sock;
    if (!downstream_flush(stream->down))
        return PUMP_DOWN_FAILED;
    if (stream->down->tx)
        return PUMP_WAIT;
    enum pump_result out =
        pump_direction(stream, &stream->to_up, down, up, &stream->bytes_received, true);
    if (out == PUMP_DOWN_FAILED || out == PUMP_UP_FAILED)
        return out;
    enum pump_result back =
        pump_direction(stream, &stream->to_down, up, down, &stream->bytes_sent, false);
    if (back == PUMP_DOWN_FAILED || back == PUMP_UP_FAILED)
        return back;
    // Plain TCP goes on half-closed; an upgraded connection does not, once all is said.
    if (back == PUMP_DONE && (out == PUMP_DONE || !stream->is_tcp))
        return PUMP_DONE;
    if (out == PUMP_DONE && !stream->is_tcp && !stream->is_half_closed) {
        stream->is_half_closed = true; // the endpoint may say good-bye
        note_progress(stream);
    }
    return out == PUMP_YIELD || back == PUMP_YIELD ? PUMP_YIELD : PUMP_WAIT;
}

enum step_result stream_step_tunnel(struct stream *stream)
{
    if (!stream->is_begun_tunnel)
        begin(stream);
    enum pump_result result = pump(stream);
    if (result == PUMP_YIELD)
        return stream_yield(stream);
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
