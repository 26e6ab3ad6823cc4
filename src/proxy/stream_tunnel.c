// SPDX-License-Identifier: Apache-2.0
// The step `tunnel`: after an upgrade, and for TCP, bytes go both ways until one side ends.
#include "proxy/stream.h"
#include <fcntl.h>

static void note_progress(struct stream *stream)
{
    downstream_progress(stream->down, stream_tunnel_idle_ms(stream));
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

void stream_keep_response_head(struct stream *stream)
{
    struct move move = copy_head(stream, stream->up->rx, stream->res_head_len);
    move_slice(&move, &stream->res.reason);
    move_headers(&move, &stream->res.headers);
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
    stream_keep_response_head(stream);

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
void stream_leave_snapshot(struct stream *stream)
{
    stream->names.cluster = stream_copy(stream, stream->cluster->name);
    stream->names.listener = stream_copy(stream, stream->listener->name);
    stream->names.route =
        stream_copy(stream, stream->route ? stream->route->name : stream->names.route);
    stream->authority = stream_copy(stream, stream->authority);
    stream->upstream_host = stream_copy(stream, stream->upstream_host);
    for (unsigned i = 0; i < stream->n_tries && i < TRIES_MAX; i++)
        stream->tried[i] = stream_copy(stream, stream->tried[i]);
    keep_patches(stream, stream->request_patches, stream->n_request_patches);
    keep_patches(stream, stream->response_patches, stream->n_response_patches);
    stream->tunnel_idle_ms = stream_tunnel_idle_ms(stream);
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
    stream_leave_snapshot(
        stream); // first: its patches may hold slices of the heads that keep_heads() gives back
    stream->is_begun_tunnel = true;
    if (!stream->is_tcp) {
        seed(stream);
        keep_heads(stream);
    }
    note_progress(stream);
}

// ---- one way ----

// What came with the head first (seed), then from socket to socket: through a buffer at first, for
// what is said in turns is short; what goes on at length is spliced.
struct flow {
    struct stream *stream;
    struct direction *way;
    struct sock *from, *to;
    bool to_upstream;
    uint32_t moved; // in this turn
};

static enum pump_result from_failed(const struct flow *flow)
{
    return flow->to_upstream ? PUMP_DOWN_FAILED : PUMP_UP_FAILED;
}

static enum pump_result to_failed(const struct flow *flow)
{
    return flow->to_upstream ? PUMP_UP_FAILED : PUMP_DOWN_FAILED;
}

static void note_read(struct flow *flow, size_t n)
{
    struct stream *stream = flow->stream;
    if (flow->to_upstream) {
        stream->down_wire_received += n;
        WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_RECEIVED, n);
    } else {
        stream->up_wire_received += n;
    }
}

static void note_sent(struct flow *flow, size_t n)
{
    struct stream *stream = flow->stream;
    flow->moved += (uint32_t)n;
    if (flow->to_upstream) {
        stream->bytes_received += n;
        stream->up_wire_sent += n;
    } else {
        stream->bytes_sent += n;
        stream->down_wire_sent += n;
        WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_SENT, n);
    }
    note_progress(stream);
}

void stream_close_direction(struct stream *stream, struct direction *way)
{
    pool_give(&stream->worker->large, way->data);
    way->data = NULL;
    if (way->pipe[0] >= 0)
        worker_give_pipe(stream->worker, way->pipe, way->in_pipe == 0);
}

static enum pump_result send_buffer(struct flow *flow)
{
    struct direction *way = flow->way;
    if (!flow->to->writable)
        return flow->to->failed ? to_failed(flow) : PUMP_WAIT;
    ssize_t n = sock_send(flow->to, way->data + way->off, way->end - way->off);
    if (n == -EAGAIN)
        return PUMP_WAIT;
    if (n < 0)
        return to_failed(flow);
    way->off += (uint32_t)n;
    note_sent(flow, (size_t)n);
    return PUMP_DONE;
}

static enum pump_result fill_buffer(struct flow *flow)
{
    struct direction *way = flow->way;
    if (!way->data)
        way->data = pool_take(&flow->stream->worker->large);
    way->off = way->end = 0;
    ssize_t n = sock_recv(flow->from, way->data, BUFFER_LARGE_BYTES);
    if (n == -EAGAIN)
        return PUMP_DONE; // no longer readable
    if (n < 0)
        return from_failed(flow);
    way->eof_read = n == 0;
    way->end = (uint32_t)n;
    way->is_spliced = n >= TUNNEL_SPLICE_BYTES && !flow->from->tls && !flow->to->tls;
    way->n_small = 0;
    note_read(flow, (size_t)n);
    return PUMP_DONE;
}

static enum pump_result drain_pipe(struct flow *flow)
{
    struct direction *way = flow->way;
    if (!flow->to->writable)
        return flow->to->failed ? to_failed(flow) : PUMP_WAIT;
    ssize_t n = splice(way->pipe[0], NULL, flow->to->watch.fd, NULL, way->in_pipe,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EAGAIN) {
        flow->to->writable = false;
        return PUMP_WAIT;
    }
    if (n < 0) {
        flow->to->failed = true;
        return to_failed(flow);
    }
    way->in_pipe -= (uint32_t)n;
    note_sent(flow, (size_t)n);
    return PUMP_DONE;
}

static enum pump_result fill_pipe(struct flow *flow)
{
    struct direction *way = flow->way;
    if (way->pipe[0] < 0 && !worker_take_pipe(flow->stream->worker, way->pipe)) {
        way->is_spliced = false;
        return PUMP_DONE;
    }
    ssize_t n = splice(flow->from->watch.fd, NULL, way->pipe[1], NULL, PIPE_BYTES,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && errno != EAGAIN) {
        flow->from->failed = true;
        return from_failed(flow);
    }
    if (n < 0) {
        flow->from->readable = false;
        return PUMP_DONE;
    }
    way->eof_read = n == 0;
    way->in_pipe = (uint32_t)n;
    way->n_small = n < TUNNEL_SMALL_BYTES ? way->n_small + 1 : 0;
    if (way->n_small >= TUNNEL_SMALL_READS)
        way->is_spliced = false;
    note_read(flow, (size_t)n);
    return PUMP_DONE;
}

// A half-close is handed on, behind all that came before it.
static enum pump_result end_direction(struct flow *flow)
{
    if (!flow->way->eof_sent)
        sock_end_sending(flow->to);
    flow->way->eof_sent = true;
    return sock_is_flushed(flow->to) ? PUMP_DONE : PUMP_WAIT;
}

// While the receiver has no room, each segment that the sender adds to what waits already would
// wake us in vain, some ten times a MiB: so long they are not asked for. Nor are they when the
// receiver has room again, until all is read: changing it back tells of what came meanwhile.
static void hush(struct flow *flow, bool wanted)
{
    if (flow->way->is_hushed == wanted)
        return;
    flow->way->is_hushed = wanted;
    uint32_t events = SOCK_EVENTS;
    if (wanted)
        events &= ~(uint32_t)EPOLLIN;
    loop_change(&flow->stream->worker->loop, &flow->from->watch, events);
}

static enum pump_result move_bytes(struct flow *flow)
{
    struct direction *way = flow->way;
    enum pump_result result;
    do {
        if (way->off < way->end) {
            result = send_buffer(flow);
        } else if (way->in_pipe > 0) {
            result = drain_pipe(flow);
        } else if (way->eof_read) {
            return end_direction(flow);
        } else if (!flow->from->readable) {
            stream_close_direction(flow->stream, way); // an idle tunnel holds no buffer and no pipe
            return flow->from->failed ? from_failed(flow) : PUMP_WAIT;
        } else if (flow->moved >= (way->is_spliced ? SPLICE_BYTES_PER_RUN : RELAY_BYTES_PER_RUN)) {
            return PUMP_YIELD;
        } else {
            result = way->is_spliced ? fill_pipe(flow) : fill_buffer(flow);
        }
    } while (result == PUMP_DONE);
    return result;
}

static enum pump_result pump_direction(struct flow *flow)
{
    enum pump_result result = move_bytes(flow);
    if (result == PUMP_WAIT)
        hush(flow, flow->from->readable && flow->way->in_pipe > 0);
    return result;
}

// ---- both ways ----

static enum pump_result pump(struct stream *stream)
{
    struct sock *down = &stream->down->sock, *up = &stream->up->sock;
    if (!downstream_flush(stream->down))
        return PUMP_DOWN_FAILED;
    if (stream->down->tx)
        return PUMP_WAIT;
    struct flow to_up = {stream, &stream->to_up, down, up, .to_upstream = true};
    struct flow to_down = {stream, &stream->to_down, up, down, .to_upstream = false};
    enum pump_result out = pump_direction(&to_up);
    if (out == PUMP_DOWN_FAILED || out == PUMP_UP_FAILED)
        return out;
    enum pump_result back = pump_direction(&to_down);
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
    if (result == PUMP_DOWN_FAILED)
        sock_reset_on_close(&stream->up->sock); // what is cut must not look as if it had ended
    if (result == PUMP_UP_FAILED)
        stream->flags |= FLAG_BIT(UC);
    stream->cut = result != PUMP_DONE;
    stream->step = STEP_finish;
    return STEP_NEXT;
}
