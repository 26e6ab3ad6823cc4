// SPDX-License-Identifier: Apache-2.0
// Bodies on their way. Each direction has one bounded buffer: it is read only when it is empty, so
// a slow reader stops the sender (backpressure) and costs no more than that buffer. Chunked bodies
// are validated as they pass and forwarded as they are between two HTTP/1.1 sides.
#include "proxy/stream.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

// ---- taking up what was read ----

// Trailers go on by HTTP/2 as they came; no more than fits is kept.
static void pass_trailer(struct stream *stream, struct head_text *trailers, struct str name,
                         struct str value)
{
    head_text_add(trailers, stream->worker, name, value, TRAILER_BYTES_MAX);
}

// Data without its chunks, moved together so that it ends where the chunks did: what follows stays.
struct gather {
    char *data;
    uint32_t begin, n;
};

static void gather_add(struct gather *gather, struct str data)
{
    memmove(gather->data + gather->begin + gather->n, data.ptr, data.len);
    gather->n += (uint32_t)data.len;
}

static uint32_t gather_end(struct gather *gather, uint32_t end) // where the data begins now
{
    memmove(gather->data + end - gather->n, gather->data + gather->begin, gather->n);
    return end - gather->n;
}

void stream_strip_chunks(struct stream *stream)
{
    struct gather gather = {stream->body, stream->body_off, 0};
    struct h1_chunked chunked;
    if (stream->req.body != BODY_CHUNKED || stream->decode_request)
        return;
    stream->decode_request = true; // what is still to come
    h1_chunked_init(&chunked);
    for (uint32_t at = stream->body_off; at < stream->body_end;) {
        size_t used;
        struct str data, name;
        enum h1_chunk_event event = h1_chunked_next(&chunked, stream->body + at,
                                                    stream->body_end - at, &used, &data, &name);
        CHECK(event != H1_CHUNK_ERROR); // it was found good when it came
        at += (uint32_t)used;
        if (event == H1_CHUNK_DATA)
            gather_add(&gather, data);
        if (event == H1_CHUNK_TRAILER)
            pass_trailer(stream, &stream->h2.req_trailers, name, data);
        if (event == H1_CHUNK_END)
            break;
    }
    stream->body_off = stream->body_begin = gather_end(&gather, stream->body_end);
    stream->body_dropped = true; // the chunks are gone: no replay by HTTP/1
}

static bool take_chunked_request(struct stream *stream, uint32_t end)
{
    struct gather gather = {stream->body, stream->body_end, 0};
    while (stream->body_end < end && !stream->request_received) {
        size_t used;
        struct str data, name;
        enum h1_chunk_event event =
            h1_chunked_next(&stream->req_chunked, stream->body + stream->body_end,
                            end - stream->body_end, &used, &data, &name);
        stream->body_end += (uint32_t)used;
        if (event == H1_CHUNK_ERROR)
            return false;
        if (event == H1_CHUNK_DATA)
            stream->bytes_received += data.len;
        if (event == H1_CHUNK_DATA && stream->decode_request)
            gather_add(&gather, data);
        if (event == H1_CHUNK_TRAILER && stream->decode_request)
            pass_trailer(stream, &stream->h2.req_trailers, name, data);
        stream->request_received = event == H1_CHUNK_END;
    }
    if (stream->decode_request)
        stream->body_off = gather_end(&gather, stream->body_end);
    return true;
}

enum pump_result stream_take_request_bytes(struct stream *stream, uint32_t end)
{
    stream->body_fill = end;
    if (stream->request_received)
        return PUMP_DONE;
    uint32_t begin = stream->body_end, n = end - begin;
    switch (stream->req.body) {
    case BODY_UNTIL_CLOSE: // of a tunnel to HTTP/2
        stream->body_end = end;
        stream->bytes_received += n;
        break;
    case BODY_NONE:
        stream->request_received = true;
        break;
    case BODY_LENGTH:
        if (n > stream->body_unread)
            n = (uint32_t)stream->body_unread;
        stream->body_unread -= n;
        stream->body_end += n;
        stream->bytes_received += n;
        stream->request_received = stream->body_unread == 0;
        break;
    case BODY_CHUNKED:
        if (!take_chunked_request(stream, end))
            return PUMP_BAD_REQUEST;
        if (stream->body_bytes_max && stream->bytes_received > stream->body_bytes_max)
            return PUMP_TOO_LARGE;
        break;
    }
    stream->down_wire_received += stream->body_end - begin;
    if (stream->request_received)
        stream->request_end_ns = stream->worker->loop.now_ns;
    return PUMP_DONE;
}

static void keep_trailer(struct stream *stream, struct str name, struct str value)
{
    stream->trailer_bytes += name.len + value.len + 4;
    if (stream->n_trailers < TRAILERS_KEPT)
        stream->trailers[stream->n_trailers++] =
            (struct header){.name = stream_copy(stream, name), .value = stream_copy(stream, value)};
}

// Validates chunked bytes in [res_end, end). For an HTTP/1.0 client the data is moved together over
// the framing, which never grows it.
static enum pump_result take_chunked_response(struct stream *stream, uint32_t end)
{
    struct upstream *up = stream->up;
    uint32_t in = stream->res_end, out = stream->res_end;
    while (in < end && !stream->response_received) {
        size_t used;
        struct str data, name;
        enum h1_chunk_event event =
            h1_chunked_next(&stream->res_chunked, up->rx + in, end - in, &used, &data, &name);
        if (event == H1_CHUNK_ERROR)
            return PUMP_BAD_RESPONSE;
        if (event == H1_CHUNK_TRAILER)
            keep_trailer(stream, name, data);
        if (event == H1_CHUNK_TRAILER && stream->down_h2)
            pass_trailer(stream, &stream->h2.res_trailers, name, data);
        if (event == H1_CHUNK_DATA)
            stream->bytes_sent += data.len;
        if (stream->decode_chunked && event == H1_CHUNK_DATA) {
            memmove(up->rx + out, data.ptr, data.len);
            out += (uint32_t)data.len;
        }
        in += (uint32_t)used;
        stream->response_received = event == H1_CHUNK_END;
    }
    if (stream->response_received && in < end)
        stream->keep_up = false; // bytes that nobody asked for
    stream->res_end = stream->decode_chunked ? out : in;
    return PUMP_DONE;
}

// What came until now becomes one chunk, in place: room was left in front of it (see
// read_response).
static void wrap_chunk(struct stream *stream, uint32_t begin, uint32_t end)
{
    char *rx = stream->up->rx;
    char size[12];
    int len = snprintf(size, sizeof size, "%x\r\n", end - begin);
    memcpy(rx + begin - len, size, (size_t)len);
    memcpy(rx + end, "\r\n", 2);
    stream->res_off = begin - (uint32_t)len;
    stream->res_end = end + 2;
}

enum pump_result stream_take_response_bytes(struct stream *stream, uint32_t end)
{
    uint32_t n = end - stream->res_end;
    switch (stream->res.body) {
    case BODY_NONE:
        stream->response_received = true;
        if (n > 0)
            stream->keep_up = false;
        break;
    case BODY_LENGTH:
        if (n > stream->res_unread) {
            n = (uint32_t)stream->res_unread;
            stream->keep_up = false;
        }
        stream->res_unread -= n;
        stream->res_end += n;
        stream->bytes_sent += n;
        stream->response_received = stream->res_unread == 0;
        break;
    case BODY_CHUNKED: {
        enum pump_result result = take_chunked_response(stream, end);
        if (result != PUMP_DONE)
            return result;
        break;
    }
    case BODY_UNTIL_CLOSE:
        stream->bytes_sent += n;
        if (stream->encode_chunked && n > 0) {
            // With the head: no room was left in front of these bytes yet.
            uint32_t begin = stream->res_end;
            if (begin == stream->res_head_len) {
                CHECK(end + CHUNK_ROOM <= BUFFER_LARGE_BYTES); // see read_response_bytes()
                memmove(stream->up->rx + begin + CHUNK_ROOM_FRONT, stream->up->rx + begin, n);
                begin += CHUNK_ROOM_FRONT;
            }
            wrap_chunk(stream, begin, begin + n);
        } else {
            stream->res_end += n;
        }
        break;
    }
    if (stream->response_received)
        stream->up_rx_end_ns = stream->worker->loop.now_ns;
    return PUMP_DONE;
}

// ---- request body ----

bool stream_flush_upstream_head(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (!up->tx || !up->sock.writable)
        return true;
    ssize_t n = sock_send(&up->sock, up->tx + up->tx_off, up->tx_end - up->tx_off);
    if (n == -EAGAIN)
        return true;
    if (n < 0)
        return false;
    stream->anything_sent = true;
    stream->up_wire_sent += (uint64_t)n;
    up->tx_off += (uint32_t)n;
    if (up->tx_off == up->tx_end) {
        free(up->tx);
        up->tx = NULL;
    }
    return true;
}

// Reads more of the request's body into an empty buffer.
enum pump_result stream_read_request(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (!down->sock.readable)
        return down->sock.failed ? PUMP_DOWN_FAILED : PUMP_WAIT;
    if (stream->body_off > stream->body_begin)
        stream->body_dropped = true;
    if (!stream->large) {
        stream->large = pool_take(&stream->worker->large);
        stream->body = stream->large;
        down->rx_off = down->rx_end; // the head stays for its slices; nothing follows it
    }
    stream->body_begin = stream->body_off = stream->body_end = stream->body_fill = 0;
    // Not cut at the body's end, so that a short read tells that the socket is empty; what is
    // pipelined behind goes back to the connection, see return_buffers().
    ssize_t n = sock_recv(&down->sock, stream->body, BUFFER_LARGE_BYTES);
    if (n == -EAGAIN)
        return PUMP_WAIT;
    if (n == 0 && stream->is_tunnel) {
        stream->request_received = true;
        return PUMP_DONE;
    }
    if (n <= 0)
        return PUMP_DOWN_FAILED;
    WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_RECEIVED, n);
    if (stream->step != STEP_drop) // the time to drop a body in is not prolonged by its bytes
        stream_progress(stream);
    return stream_take_request_bytes(stream, (uint32_t)n);
}

enum pump_result stream_pump_request(struct stream *stream)
{
    struct upstream *up = stream->up;
    uint32_t moved = 0;
    if (stream_is_mixed(stream))
        return stream_pump_request_mixed(stream);
    if (!stream_flush_upstream_head(stream))
        return PUMP_UP_FAILED;
    while (!up->tx) {
        if (stream->body_off < stream->body_end) {
            if (!up->sock.writable)
                return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
            ssize_t n = sock_send(&up->sock, stream->body + stream->body_off,
                                  stream->body_end - stream->body_off);
            if (n == -EAGAIN)
                return PUMP_WAIT;
            if (n < 0)
                return PUMP_UP_FAILED;
            stream->anything_sent = true;
            stream->body_off += (uint32_t)n;
            stream->up_wire_sent += (uint64_t)n;
            moved += (uint32_t)n;
            stream_progress(stream);
            continue;
        }
        if (stream->request_received) {
            stream->request_sent = true;
            return PUMP_DONE;
        }
        if (moved >= RELAY_BYTES_PER_RUN)
            return PUMP_YIELD;
        enum pump_result result = stream_read_request(stream);
        if (result != PUMP_DONE)
            return result;
    }
    return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
}

enum pump_result stream_drop_request(struct stream *stream)
{
    for (;;) {
        stream->body_off = stream->body_end;
        if (stream->request_received)
            return PUMP_DONE;
        enum pump_result result = stream_read_request(stream);
        if (result != PUMP_DONE)
            return result;
    }
}

// ---- splice ----

void stream_close_pipe(struct stream *stream)
{
    if (stream->pipe[0] < 0)
        return;
    worker_give_pipe(stream->worker, stream->pipe, stream->pipe_bytes == 0);
    stream->pipe_bytes = 0;
}

// Only the kernel's own bytes can be spliced: not what TLS has to look at.
static bool may_splice(const struct stream *stream)
{
    return stream->res.body == BODY_LENGTH && stream->res_unread >= SPLICE_MIN_BYTES &&
           !stream->up->sock.tls && !stream->down->sock.tls;
}

static enum pump_result fill_pipe(struct stream *stream)
{
    struct upstream *up = stream->up;
    size_t want = PIPE_BYTES;
    if (stream->res_unread < want)
        want = (size_t)stream->res_unread;
    ssize_t n = splice(up->sock.watch.fd, NULL, stream->pipe[1], NULL, want,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EAGAIN) {
        up->sock.readable = up->sock.peer_closed;
        return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
    }
    if (n <= 0) {
        up->sock.readable = false;
        return PUMP_UP_FAILED;
    }
    stream->pipe_bytes += (uint32_t)n;
    stream->res_unread -= (uint64_t)n;
    stream->bytes_sent += (uint64_t)n;
    stream->up_wire_received += (uint64_t)n;
    if (stream->res_unread == 0) {
        stream->response_received = true;
        stream->up_rx_end_ns = stream->worker->loop.now_ns;
    }
    return PUMP_DONE;
}

static void note_sent_down(struct stream *stream, size_t n)
{
    stream->down_wire_sent += n;
    WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_SENT, n);
    stream_progress(stream);
}

static enum pump_result drain_pipe(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (!down->sock.writable)
        return down->sock.failed ? PUMP_DOWN_FAILED : PUMP_WAIT;
    // "More" holds back the last partial segment, which must not wait for a slow endpoint: only
    // where so much is on its way that an acknowledgement will soon send it.
    bool more = stream->res_unread > 0 && stream->pipe_bytes >= SPLICE_MORE_MIN_BYTES;
    ssize_t n = splice(stream->pipe[0], NULL, down->sock.watch.fd, NULL, stream->pipe_bytes,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
    if (n < 0 && errno == EAGAIN) {
        down->sock.writable = false;
        return PUMP_WAIT;
    }
    if (n < 0) {
        down->sock.failed = true;
        return PUMP_DOWN_FAILED;
    }
    stream->pipe_bytes -= (uint32_t)n;
    note_sent_down(stream, (size_t)n);
    return PUMP_DONE;
}

// ---- response body ----

static enum pump_result response_ended(struct stream *stream)
{
    if (stream->res.body != BODY_UNTIL_CLOSE || stream->up->sock.failed)
        return PUMP_UP_FAILED;
    stream->response_received = true;
    stream->up_rx_end_ns = stream->worker->loop.now_ns;
    if (stream->encode_chunked) {
        memcpy(stream->up->rx + stream->res_head_len, "0\r\n\r\n", 5);
        stream->res_off = stream->res_head_len;
        stream->res_end = stream->res_head_len + 5;
    }
    return PUMP_DONE;
}

enum pump_result stream_read_response(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (!up->sock.readable)
        return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
    if (!up->rx) // of a tunnel that was idle
        up->rx = pool_take(&stream->worker->large);
    uint32_t begin = stream->res_head_len; // the head stays: the access log reads it
    size_t want = BUFFER_LARGE_BYTES - begin;
    if (stream->encode_chunked) {
        begin += CHUNK_ROOM_FRONT;
        want -= CHUNK_ROOM;
    }
    // Not cut at the body's end: a short read tells that the socket is empty, and more than the
    // body is a protocol error.
    ssize_t n = sock_recv(&up->sock, up->rx + begin, want);
    if (n == -EAGAIN)
        return PUMP_WAIT;
    if (n == 0)
        return response_ended(stream);
    if (n < 0)
        return PUMP_UP_FAILED;
    if (!stream->up_rx_body_ns)
        stream->up_rx_body_ns = stream->worker->loop.now_ns;
    stream->up_wire_received += (uint64_t)n;
    stream->res_off = stream->res_end = begin;
    return stream_take_response_bytes(stream, begin + (uint32_t)n);
}

static enum pump_result send_response(struct stream *stream)
{
    struct downstream *down = stream->down;
    if (!down->sock.writable)
        return down->sock.failed ? PUMP_DOWN_FAILED : PUMP_WAIT;
    ssize_t n =
        sock_send(&down->sock, stream->up->rx + stream->res_off, stream->res_end - stream->res_off);
    if (n == -EAGAIN)
        return PUMP_WAIT;
    if (n < 0)
        return PUMP_DOWN_FAILED;
    stream->res_off += (uint32_t)n;
    note_sent_down(stream, (size_t)n);
    return PUMP_DONE;
}

static uint64_t bytes_per_run(const struct stream *stream)
{
    return stream->pipe[0] >= 0 ? SPLICE_BYTES_PER_RUN : RELAY_BYTES_PER_RUN;
}

enum pump_result stream_pump_response(struct stream *stream)
{
    uint64_t begin_bytes = stream->down_wire_sent;
    if (stream_is_mixed(stream))
        return stream_pump_response_mixed(stream);
    if (!downstream_flush(stream->down))
        return PUMP_DOWN_FAILED;
    if (stream->down->tx)
        return PUMP_WAIT;
    for (;;) {
        enum pump_result result;
        if (stream->res_off < stream->res_end) {
            result = send_response(stream);
        } else if (stream->pipe_bytes > 0) {
            result = drain_pipe(stream);
        } else if (stream->response_received) {
            stream->response_sent = true;
            return PUMP_DONE;
        } else if (stream->down_wire_sent - begin_bytes >= bytes_per_run(stream)) {
            return PUMP_YIELD;
        } else if (stream->pipe[0] >= 0 ||
                   (may_splice(stream) && worker_take_pipe(stream->worker, stream->pipe))) {
            result = stream->up->sock.readable ? fill_pipe(stream)
                     : stream->up->sock.failed ? PUMP_UP_FAILED
                                               : PUMP_WAIT;
        } else {
            result = stream_read_response(stream);
        }
        if (result != PUMP_DONE)
            return result;
    }
}
