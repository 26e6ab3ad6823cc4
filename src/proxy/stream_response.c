// SPDX-License-Identifier: Apache-2.0
// The steps `head` and `relay`: the response on its way to the client, and what of the request's
// body is still to go.
#include "proxy/h2_session.h"

// Reads what is there of a head. 1: bytes came; 0: wait; -1: the connection ended.
static int read_response_bytes(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (!up->rx)
        up->rx = pool_take(&stream->worker->large);
    // Little at first: what follows of a long body need not be copied (splice). CHUNK_ROOM: a body
    // until close is wrapped in chunks.
    uint32_t cap =
        up->rx_end < FIRST_READ_BYTES ? FIRST_READ_BYTES : BUFFER_LARGE_BYTES - CHUNK_ROOM;
    if (up->rx_end == cap)
        return -1;
    ssize_t n = sock_recv(&up->sock, up->rx + up->rx_end, cap - up->rx_end);
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

bool stream_forward_interim(struct stream *stream)
{
    char *text = stream->worker->scratch;
    if (stream->is_http10)
        return true;
    size_t n = stream_build_interim_head(stream, text, SCRATCH_BYTES);
    stream->down_wire_sent += n;
    if (!stream->down_h2)
        return downstream_send_all(stream->down, (struct str){text, n});
    struct h2_head head = {.status = stream->res.status, .lines = text, .lines_len = n - 2};
    if (n > 0 && stream->down_id) {
        h2_submit_interim(stream->down_session->h2, stream->down_id, &head);
        h2_session_mark(stream->down_session);
    }
    return true;
}

// 100 Continue, 103 Early Hints and the like: passed on at once (RFC 9110, 15.2). They make room in
// the buffer, so that the final head stands at its front with space for a body behind it.
static bool forward_interim(struct stream *stream, size_t len)
{
    struct upstream *up = stream->up;
    bool ok = stream_forward_interim(stream);
    up->rx_end -= (uint32_t)len;
    memmove(up->rx, up->rx + len, up->rx_end);
    stream_forget_response(stream); // its slices show other bytes now
    return ok;
}

static void choose_response_framing(struct stream *stream)
{
    const struct h1_response *res = &stream->res;
    stream->keep_up = res->keep_alive && res->body != BODY_UNTIL_CLOSE;
    stream->decode_chunked = res->body == BODY_CHUNKED && (stream->is_http10 || stream->down_h2);
    stream->encode_chunked =
        res->body == BODY_UNTIL_CLOSE && !stream->is_http10 && !stream->down_h2;
    if (stream->is_http10 && (stream->decode_chunked || res->body == BODY_UNTIL_CLOSE))
        stream->keep_down = false; // the end of the body is the end of the connection
    if (!stream->request_received)
        stream->keep_down = false; // the rest of the request may never come
    const struct header *keep_alive = header_get(&res->headers, HEADER_KEEP_ALIVE);
    if (keep_alive)
        upstream_note_keep_alive(stream->up, keep_alive->value);
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
    if (is_tunnel && stream->down_h2)
        stream->res.body = BODY_UNTIL_CLOSE; // what follows is the tunnel's
    if (up->rx_end > head_len)
        stream->up_rx_body_ns = worker->loop.now_ns;
    if ((!is_tunnel || stream->down_h2) &&
        stream_take_response_bytes(stream, up->rx_end) == PUMP_BAD_RESPONSE)
        return stream_bad_response(stream,
                                   STR("upstream_reset_before_response_started{protocol_error}"));
    if (stream->down_h2)
        return stream_answer_mixed(stream);
    stream_prepare_response(stream);
    size_t len = stream_build_response_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0)
        return stream_bad_response(stream, STR("response_headers_too_large"));
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
        return stream_client_gone(stream);
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
        if (stream->route && stream->route->timeout_ms && stream->timer.deadline_ms == 0 &&
            !stream->head_sent_down)
            timer_arm(&stream->worker->loop.wheel, &stream->timer,
                      stream->worker->loop.now_ms + stream->route->timeout_ms);
    }
}

// Moves the request's body on. STEP_NEXT: the stream took another way.
static enum step_result pump_request(struct stream *stream)
{
    if (stream->up_lost) // also one that has all of the request
        return stream_upstream_failed(stream);
    note_request_end(stream); // by HTTP/2 it went out when the session was flushed
    if (stream->request_sent)
        return STEP_WAIT;
    enum pump_result result = stream_pump_request(stream);
    note_request_end(stream);
    if (result == PUMP_YIELD)
        return stream_yield(stream);
    if (result == PUMP_WAIT || result == PUMP_DONE)
        return STEP_WAIT;
    if (result == PUMP_UP_FAILED && !stream->up_h2) {
        stream->up->sock.readable =
            true; // an early answer may stand before the reset: read it first
        return STEP_WAIT;
    }
    return stream_pump_failed(stream, result);
}

// Looks for a head at the front of what was read.
static enum h1_status parse_head(struct stream *stream, size_t *ret_len)
{
    struct h1_limits limits = {proxy_get_options(stream->worker->proxy)->head_bytes_max, 0,
                               HEADERS_MAX};
    size_t scanned = stream->res_head_len;
    enum h1_error error;
    enum h1_status status =
        h1_parse_response(&stream->res, stream->req.method_id, &limits, stream->up->rx,
                          stream->up->rx_end, &scanned, ret_len, &error);
    stream->res_head_len = status == H1_MORE ? (uint32_t)scanned : 0;
    if (status == H1_DONE && stream->res.status == 101 && !stream->is_upgrade)
        return H1_ERROR; // to another protocol, which nobody asked for
    return status;
}

enum step_result stream_step_head(struct stream *stream)
{
    struct downstream *down = stream->down;
    struct upstream *up = stream->up;
    if (stream->up_h2 && stream->res_head_ready) {
        note_request_end(stream);
        return stream_begin_response_mixed(stream);
    }
    if (pump_request(stream) == STEP_NEXT)
        return STEP_NEXT;
    if (stream->up_h2)
        return STEP_WAIT;
    if (down->tx && !downstream_flush(down)) // the rest of an interim head
        return stream_client_gone(stream);
    for (unsigned n_interims = 0;;) {
        size_t len = 0;
        enum h1_status status = parse_head(stream, &len);
        if (status == H1_ERROR)
            return stream_bad_response(
                stream, STR("upstream_reset_before_response_started{protocol_error}"));
        if (status == H1_DONE) {
            if (stream->res.status >= 200 || stream->res.status == 101)
                return begin_response(stream, len);
            if (down->tx)
                return STEP_WAIT; // a slow client: no more until it has taken the one before
            if (n_interims++ == INTERIMS_PER_EVENT)
                return stream_yield(stream);
            if (!forward_interim(stream, len))
                return stream_client_gone(stream);
            continue;
        }
        if (!up->sock.readable)
            return up->sock.failed ? stream_upstream_failed(stream) : STEP_WAIT;
        int got = read_response_bytes(stream);
        if (got == 0)
            return STEP_WAIT;
        if (got < 0)
            return stream_upstream_failed(stream);
    }
}

enum step_result stream_step_relay(struct stream *stream)
{
    if ((stream->up || stream->up_h2) && !stream->request_sent && !stream->response_received &&
        pump_request(stream) == STEP_NEXT)
        return STEP_NEXT;
    enum pump_result result = stream_pump_response(stream);
    switch (result) {
    case PUMP_DONE:
        stream->step = STEP_finish;
        return STEP_NEXT;
    case PUMP_YIELD:
        return stream_yield(stream);
    case PUMP_WAIT:
        return STEP_WAIT;
    case PUMP_DOWN_FAILED:
    case PUMP_UP_FAILED:
    case PUMP_BAD_REQUEST:
    case PUMP_BAD_RESPONSE:
    case PUMP_TOO_LARGE:
        break;
    }
    return stream_pump_failed(stream, result);
}
