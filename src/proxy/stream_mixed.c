// SPDX-License-Identifier: Apache-2.0
// Streams with HTTP/2 on at least one side. Heads are the same text as between two HTTP/1 sides,
// without what only HTTP/1 needs. Bodies go through as plain bytes: what comes by HTTP/2 waits in a
// queue, what comes by HTTP/1 in its receive buffer; the engine fetches what goes by HTTP/2
// (stream_h2_..._body), and is told when there is more (h2_resume).
//
// Windows are given back when bytes have been sent on the other side, so a slow reader stops the
// sender across the protocols.
#include "proxy/h2_session.h"
#include "tls/websocket.h"

bool stream_is_mixed(const struct stream *stream)
{
    return stream->down_h2 || stream->up_h2;
}

static struct h2_session *up_session(const struct stream *stream)
{
    return stream->up ? stream->up->h2 : NULL;
}

static void resume_up(struct stream *stream)
{
    h2_resume(up_session(stream)->h2, stream->up_id);
    h2_session_mark(up_session(stream));
}

static void resume_down(struct stream *stream)
{
    if (!stream->down_id)
        return;
    h2_resume(stream->down_session->h2, stream->down_id);
    h2_session_mark(stream->down_session);
}

// ---- what the engine asks ----

static struct str first_bytes(struct str text, size_t max)
{
    return text.len > max ? str_upto(text, max) : text;
}

void stream_h2_request_body(struct stream *stream, size_t max, struct str *ret, bool *ret_is_end)
{
    *ret = STR_NONE;
    *ret_is_end = false;
    if (stream->is_upgrade && !stream->is_tunnel)
        return; // nothing before the endpoint has agreed
    if (stream->down_h2 || stream->grpc_web) {
        *ret = first_bytes(queue_front(&stream->h2.req_queue), max);
        *ret_is_end = stream->h2.req_queue.has_end && ret->len == stream->h2.req_queue.bytes;
        return;
    }
    struct str there = STR_NONE;
    if (stream->body)
        there = (struct str){stream->body + stream->body_off, stream->body_end - stream->body_off};
    *ret = first_bytes(there, max);
    *ret_is_end = stream->request_received && ret->len == there.len;
}

void stream_h2_request_sent(struct stream *stream, size_t n, bool is_end)
{
    if (stream->down_h2 || stream->grpc_web) {
        uint32_t window = queue_drop(&stream->h2.req_queue, stream->worker, n);
        if (window && stream->down_h2 && stream->down_id) {
            h2_consume(stream->down_session->h2, stream->down_id, window);
            h2_session_mark(stream->down_session);
        }
    } else {
        stream->body_off += (uint32_t)n;
    }
    stream->up_wire_sent += n;
    stream->body_dropped |= n > 0;
    stream->request_sent |= is_end;
    stream_progress(stream);
    stream_wake(stream);
}

void stream_h2_response_body(struct stream *stream, size_t max, struct str *ret, bool *ret_is_end)
{
    struct str there = STR_NONE;
    bool has_all = false;
    if (stream->reply_status) {
        there = str_from(stream->reply_body, stream->reply_off);
        has_all = true;
    } else if (stream->has_response_queue) {
        there = queue_front(&stream->h2.res_queue);
        has_all = stream->h2.res_queue.has_end && there.len == stream->h2.res_queue.bytes;
    } else if (stream->up && stream->up->rx) {
        there = (struct str){stream->up->rx + stream->res_off, stream->res_end - stream->res_off};
        has_all = stream->response_received;
    }
    *ret = first_bytes(there, max);
    *ret_is_end = has_all && ret->len == there.len;
}

void stream_h2_response_sent(struct stream *stream, size_t n, bool is_end)
{
    if (stream->reply_status) {
        stream->reply_off += (uint32_t)n;
    } else if (stream->has_response_queue) {
        uint32_t window = queue_drop(&stream->h2.res_queue, stream->worker, n);
        if (window && stream->up_id && stream->up) {
            h2_consume(up_session(stream)->h2, stream->up_id, window);
            h2_session_mark(up_session(stream));
        }
    } else {
        stream->res_off += (uint32_t)n;
    }
    stream->down_wire_sent += n;
    stream->response_sent |= is_end;
    if (stream->response_sent || stream->has_response_queue || stream->res_off == stream->res_end)
        stream_wake(stream);
    stream_progress(stream);
}

// ---- the request's head ----

static char *skip_line(char *at, char *end)
{
    char *line_end = memchr(at, '\n', (size_t)(end - at));
    CHECK(line_end != NULL);
    return line_end + 1;
}

static enum step_result refuse_upgrade(struct stream *stream)
{
    stream_leave_upstream(stream, true, false);
    stream->keep_down = false;
    stream_reply(stream, 502, FLAG_BIT(UPE), STR("upstream_has_no_extended_connect"),
                 STR("the upstream's HTTP/2 does not take upgrades"));
    return STEP_NEXT;
}

// The connection cannot take it after all: another one will.
static enum step_result try_elsewhere(struct stream *stream)
{
    stream->up->is_retired = true;
    stream_leave_upstream(stream, true, false);
    if (stream->n_tries >= TRIES_MAX)
        return stream_upstream_failed(stream);
    WORKER_COUNT(stream->worker, RETRIES, 1);
    stream->retry_reason = STR("nothing_was_sent");
    stream->step = STEP_connect;
    return STEP_NEXT;
}

enum step_result stream_send_mixed(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct upstream *up = stream->up;
    struct h2 *h2 = up->h2->h2;
    stream_add_h2_part(stream);
    stream->up_h2 = stream->has_response_queue = true;
    if (stream->is_upgrade && !h2_has_settings(h2)) {
        h2_session_mark(up->h2);
        up->n_requests--; // counted when it is sent
        return STEP_WAIT; // what the endpoint takes is not known yet
    }
    if (stream->is_upgrade && !h2_peer_has_connect(h2))
        return refuse_upgrade(stream);
    if (stream->h2.req_queue.makes_chunks) // and holds some
        return stream_protocol_changed(stream);
    if (!stream->down_h2)
        stream_strip_chunks(stream);
    if (!stream->grpc_web && grpc_web_of(stream)) {
        stream->grpc_web = (uint8_t)grpc_web_of(stream);
        grpc_web_begin(stream);
    }
    size_t len = stream_build_request_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0) {
        stream_leave_upstream(stream, true, false);
        stream_reply(stream, 431, 0, STR("request_headers_too_large"),
                     STR("request headers too large once the route's were added"));
        return STEP_NEXT;
    }
    char *end = worker->scratch + len - 2;
    char *lines = skip_line(skip_line(worker->scratch, end), end); // start line, host
    struct h2_head head = {.method = stream->req.method,
                           .scheme = up->tls ? STR("https") : STR("http"),
                           .authority = stream->authority,
                           .path = stream->path,
                           .lines = lines,
                           .lines_len = (size_t)(end - lines)};
    if (stream->is_upgrade) {
        head.method = STR("CONNECT");
        head.protocol = header_get(&stream->req.headers, HEADER_UPGRADE)->value;
    }
    bool has_body = stream->req.body != BODY_NONE || stream->is_upgrade;
    int32_t id = h2_submit_request(h2, &head, has_body, stream);
    if (id < 0)
        return try_elsewhere(stream);
    stream->up_id = id;
    stream->anything_sent = true;
    stream->up_head_sent = len;
    stream->up_wire_sent += len;
    // The end of a request without a body may be late by HTTP/2: nothing hangs on it.
    stream->request_sent = !has_body;
    h2_session_mark(up->h2);
    stream->step = STEP_head;
    return STEP_NEXT;
}

// ---- the response's head ----

// Of a WebSocket across protocols the handshake is ours on the HTTP/1 side (RFC 8441, 5).
static bool is_websocket(const struct stream *stream)
{
    const struct header *upgrade = header_get(&stream->req.headers, HEADER_UPGRADE);
    return upgrade && str_equal_nocase(upgrade->value, STR("websocket"));
}

static bool is_accepted(struct stream *stream)
{
    if (!is_websocket(stream))
        return true;
    const struct header *accept = header_find(&stream->res.headers, STR("sec-websocket-accept"));
    char expected[WEBSOCKET_ACCEPT_BYTES + 1];
    websocket_accept(stream->h2.websocket_key, expected);
    return accept && str_is(accept->value, expected);
}

static void begin_tunnel(struct stream *stream)
{
    stream->is_tunnel = true;
    stream->keep_up = stream->keep_down = false;
    stream->res.body = BODY_UNTIL_CLOSE;
    stream->encode_chunked = stream->decode_chunked = false;
    WORKER_COUNT(stream->worker, TUNNELS_ACTIVE, 1);
    if (!stream->down_h2) { // what follows the head, and may have come already, is the tunnel's
        stream->req.body = BODY_UNTIL_CLOSE;
        stream->request_received = false;
        stream_take_request_bytes(stream, stream->body_fill);
        stream->down->sock.readable = true; // an edge may have come before
    }
    if (stream->timer.deadline_ms)
        timer_disarm(&stream->worker->loop.wheel, &stream->timer);
    stream_progress(stream);
}

static bool send_head(struct stream *stream, size_t len)
{
    struct worker *worker = stream->worker;
    stream->head_sent_down = true;
    stream->down_head_sent = len;
    stream->down_wire_sent += len;
    stream->down_tx_begin_ns = worker->loop.now_ns;
    if (!stream->down_h2)
        return downstream_send_all(stream->down, (struct str){worker->scratch, len});
    struct h2_head head = {
        .status = stream->status, .lines = worker->scratch, .lines_len = len - 2};
    bool has_body = stream->is_tunnel || stream->res.body != BODY_NONE;
    if (!stream->down_id ||
        !h2_submit_response(stream->down_session->h2, stream->down_id, &head, has_body))
        return false;
    // A reset in front of a head that waits to be sent would take its place: before the request's
    // end the stream goes on until the head is on the wire.
    stream->response_sent = !has_body && stream->request_received;
    h2_session_mark(stream->down_session);
    return true;
}

// `res` is there; of an HTTP/1 endpoint also what came behind it.
enum step_result stream_answer_mixed(struct stream *stream)
{
    struct worker *worker = stream->worker;
    bool is_upgraded = stream->is_upgrade && stream->res.status == (stream->up_h2 ? 200 : 101);
    if (is_upgraded && !stream->up_h2 && stream->down_h2 && !is_accepted(stream))
        return stream_bad_response(stream, STR("websocket_not_accepted"));
    // The endpoint passed the upgrade over; to the client any 2xx would say that there is a tunnel
    // (RFC 8441, 5).
    if (stream->is_upgrade && !is_upgraded && stream->down_h2 && stream->res.status / 100 == 2)
        return stream_bad_response(stream, STR("upgrade_passed_over"));
    if (is_upgraded) {
        begin_tunnel(stream);
        stream->res.status = stream->down_h2 ? 200 : 101;
        if (!stream->down_h2 && is_websocket(stream)) {
            const struct header *key = header_find(&stream->req.headers, STR("sec-websocket-key"));
            websocket_accept(key ? key->value : STR_NONE, stream->h2.websocket_accept);
        }
    }
    stream->status = stream->res.status;
    stream->details = STR("via_upstream");
    if (stream->up_h2 && stream->res.body == BODY_CHUNKED && !stream->down_h2 && !stream->is_http10)
        queue_make_chunks(&stream->h2.res_queue, worker, head_text_str(&stream->h2.res_trailers));
    stream_prepare_response(stream);
    size_t len = stream_build_response_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0)
        return stream_bad_response(stream, STR("response_headers_too_large"));
    if (!send_head(stream, len))
        return stream_client_gone(stream);
    if (is_upgraded) {
        stream_leave_snapshot(stream); // first: its patches may hold slices of the head
        if (!stream->up_h2)
            stream_keep_response_head(stream);
    }
    stream->step = STEP_relay;
    return STEP_NEXT;
}

// The head came by HTTP/2.
enum step_result stream_begin_response_mixed(struct stream *stream)
{
    stream->up_head_received = stream->res_head_len;
    stream->keep_up = true;
    if (stream->is_http10 && stream->res.body == BODY_CHUNKED)
        stream->keep_down = false; // the end of the body is the end of the connection
    if (!stream->request_received)
        stream->keep_down = false; // the rest of the request may never come
    return stream_answer_mixed(stream);
}

// ---- request body ----

// From the queue to an HTTP/1 endpoint.
static enum pump_result pump_queue_up(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (!stream_flush_upstream_head(stream))
        return PUMP_UP_FAILED;
    if (stream->is_upgrade && !stream->is_tunnel)
        return PUMP_WAIT;
    while (!up->tx) {
        if (stream->h2.req_queue.bytes == 0) {
            if (!stream->request_received)
                return PUMP_WAIT;
            if (stream->is_tunnel)
                sock_end_sending(&up->sock);
            stream->request_sent = true;
            return PUMP_DONE;
        }
        if (!up->sock.writable)
            return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
        uint32_t window;
        ssize_t n = queue_send(&stream->h2.req_queue, stream->worker, &up->sock, &window);
        if (n == -EAGAIN)
            return PUMP_WAIT;
        if (n < 0)
            return PUMP_UP_FAILED;
        stream->anything_sent = stream->body_dropped = true;
        stream->up_wire_sent += (uint64_t)n;
        if (window && stream->down_id) {
            h2_consume(stream->down_session->h2, stream->down_id, window);
            h2_session_mark(stream->down_session);
        }
        stream_progress(stream);
    }
    return up->sock.failed ? PUMP_UP_FAILED : PUMP_WAIT;
}

// gRPC-Web of an HTTP/1 client: the queue holds what it was turned into. false: no base64.
static bool move_to_queue(struct stream *stream)
{
    struct str came = {stream->body + stream->body_off, stream->body_end - stream->body_off};
    bool ok = came.len == 0 || grpc_web_add_request(stream, came);
    stream->body_dropped |= came.len > 0; // it stands in the queue now: not once more
    stream->body_off = stream->body_end;
    stream->h2.req_queue.has_end = stream->request_received;
    stream->is_bad_body = !ok || (stream->request_received && !grpc_web_is_whole(stream));
    return !stream->is_bad_body;
}

// An idle tunnel holds no buffer for what the client may say.
static void drop_empty_body(struct stream *stream)
{
    pool_give(&stream->worker->large, stream->large);
    stream->large = stream->body = NULL;
    stream->body_begin = stream->body_off = stream->body_end = stream->body_fill = 0;
}

enum pump_result stream_pump_request_mixed(struct stream *stream)
{
    if (stream->body_bytes_max && stream->bytes_received > stream->body_bytes_max)
        return PUMP_TOO_LARGE;
    if (stream->up_lost)
        return PUMP_UP_FAILED;
    if (stream->request_sent)
        return PUMP_DONE;
    if (!stream->up_h2)
        return stream->up ? pump_queue_up(stream) : PUMP_WAIT;
    if (!stream->up || !stream->up_id)
        return PUMP_WAIT; // answered, and over
    if (stream->is_upgrade && !stream->is_tunnel)
        return PUMP_WAIT;
    if (stream->is_bad_body)
        return PUMP_BAD_REQUEST;
    while (!stream->down_h2 && stream->body_off == stream->body_end && !stream->request_received &&
           stream->h2.req_queue.bytes < H2_STREAM_WINDOW_BYTES) {
        enum pump_result result = stream_read_request(stream);
        if (result == PUMP_WAIT && stream->is_tunnel)
            drop_empty_body(stream);
        if (result != PUMP_DONE)
            return result;
    }
    if (stream->grpc_web && !stream->down_h2 && !move_to_queue(stream))
        return PUMP_BAD_REQUEST;
    resume_up(stream);
    return PUMP_WAIT;
}

// ---- response body ----

// An idle tunnel holds no buffer.
static void rest_tunnel(struct stream *stream)
{
    if (!stream->is_tunnel || stream->res_off < stream->res_end || !stream->up)
        return;
    pool_give(&stream->worker->large, stream->up->rx);
    stream->up->rx = NULL;
    stream->up->rx_end = 0;
    stream->res_head_len = stream->res_off = stream->res_end = 0;
}

// From an HTTP/1 endpoint to an HTTP/2 client.
static enum pump_result pump_rx_down(struct stream *stream)
{
    for (;;) {
        if (stream->response_sent)
            return PUMP_DONE;
        if (stream->res_off < stream->res_end || stream->response_received) {
            resume_down(stream);
            return PUMP_WAIT;
        }
        enum pump_result result = stream_read_response(stream);
        if (result == PUMP_WAIT)
            rest_tunnel(stream);
        if (result != PUMP_DONE)
            return result;
    }
}

// From the queue to an HTTP/1 client.
static enum pump_result pump_queue_down(struct stream *stream)
{
    struct downstream *down = stream->down;
    uint64_t begin = stream->down_wire_sent;
    if (!downstream_flush(down))
        return PUMP_DOWN_FAILED;
    while (!down->tx) {
        if (stream->h2.res_queue.bytes == 0) {
            if (!stream->h2.res_queue.has_end)
                break;
            stream->response_sent = true;
            return PUMP_DONE;
        }
        if (!down->sock.writable)
            return down->sock.failed ? PUMP_DOWN_FAILED : PUMP_WAIT;
        if (stream->down_wire_sent - begin >= RELAY_BYTES_PER_RUN)
            return PUMP_YIELD;
        uint32_t window;
        ssize_t n = queue_send(&stream->h2.res_queue, stream->worker, &down->sock, &window);
        if (n == -EAGAIN)
            return PUMP_WAIT;
        if (n < 0)
            return PUMP_DOWN_FAILED;
        stream->down_wire_sent += (uint64_t)n;
        WORKER_COUNT(stream->worker, DOWNSTREAM_BYTES_SENT, n);
        if (window && stream->up && stream->up_id) {
            h2_consume(up_session(stream)->h2, stream->up_id, window);
            h2_session_mark(up_session(stream));
        }
        stream_progress(stream);
    }
    return stream->up_lost ? PUMP_UP_FAILED : PUMP_WAIT;
}

enum pump_result stream_pump_response_mixed(struct stream *stream)
{
    if (!stream->up_h2)
        return pump_rx_down(stream);
    if (!stream->down_h2)
        return pump_queue_down(stream);
    if (stream->response_sent)
        return PUMP_DONE;
    if (stream->up_lost)
        return PUMP_UP_FAILED;
    if (stream->h2.res_queue.bytes > 0 || stream->h2.res_queue.has_end)
        resume_down(stream);
    return PUMP_WAIT;
}

// ---- answers of our own ----

void stream_submit_reply(struct stream *stream)
{
    struct worker *worker = stream->worker;
    stream_prepare_reply(stream);
    size_t len =
        stream_build_reply_head(stream, stream->reply_body.len, worker->scratch, SCRATCH_BYTES);
    CHECK(len > 0);
    bool has_body = stream->reply_body.len > 0 && stream->status != 204 && stream->status != 304 &&
                    stream->req.method_id != METHOD_HEAD;
    struct h2_head head = {
        .status = stream->status, .lines = worker->scratch, .lines_len = len - 2};
    stream->down_tx_begin_ns = worker->loop.now_ns;
    stream->bytes_sent = has_body ? stream->reply_body.len : 0;
    stream->down_head_sent = len;
    stream->down_wire_sent += len;
    stream_progress(stream);
    if (!stream->down_id)
        return;
    h2_submit_response(stream->down_session->h2, stream->down_id, &head, has_body);
    stream->response_sent = !has_body && stream->request_received; // see send_head()
    h2_session_mark(stream->down_session);
}
