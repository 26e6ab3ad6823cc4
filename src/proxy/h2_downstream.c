// SPDX-License-Identifier: Apache-2.0
// HTTP/2 of clients: streams begin here, and what comes for them is noted in them.
#include "proxy/h2_session.h"
#include <stdlib.h>

// ---- the connection's deadline ----

static void arm(struct downstream *down, uint32_t timeout_ms)
{
    timer_arm(&down->worker->loop.wheel, &down->timer, down->worker->loop.now_ms + timeout_ms);
}

// A head has begun: it ends in time, whatever else runs on the connection.
static void begin_head(struct h2_session *session, int32_t id)
{
    session->head_id = id;
    arm(session->down, proxy_get_options(session->worker->proxy)->request_head_timeout_ms);
}

// Streams have deadlines of their own; what stays is the end of the last call. A stream that was
// reset is told so when the reset is sent: another head may have begun by then.
static void end_head(struct h2_session *session, int32_t id)
{
    struct wheel *wheel = &session->worker->loop.wheel;
    if (session->head_id != id)
        return;
    session->head_id = 0;
    if (session->is_last_call)
        timer_arm(wheel, &session->down->timer, session->last_call_end_ms);
    else
        timer_disarm(wheel, &session->down->timer);
}

static void rest(struct downstream *down)
{
    struct h2_session *session = down->h2;
    if (!list_empty(&session->streams))
        return;
    if (session->is_closing || h2_is_over(session->h2))
        h2_session_mark(session); // ends when it is flushed
    else if (!session->is_last_call)
        arm(down, proxy_get_options(down->worker->proxy)->keepalive_timeout_ms);
}

// ---- heads ----

static uint32_t head_bytes_max(const struct worker *worker)
{
    return proxy_get_options(worker->proxy)->head_bytes_max;
}

static void *on_begin(void *arg, int32_t id)
{
    struct h2_session *session = arg;
    struct worker *worker = session->worker;
    if (session->is_closing)
        return NULL;
    struct stream *stream = stream_create(worker);
    stream_add_h2_part(stream);
    stream->down = session->down;
    stream->down_session = session;
    stream->down_h2 = stream->has_request_queue = true;
    stream->down_id = stream->window_id = id;
    list_push_back(&session->streams, &stream->down_node);
    session->down->n_requests++;
    begin_head(session, id);
    return stream;
}

static bool is_pseudo(struct stream *stream, struct str name, struct str value)
{
    struct str *at = str_is(name, ":method")      ? &stream->h2.pseudo.method
                     : str_is(name, ":path")      ? &stream->h2.pseudo.path
                     : str_is(name, ":authority") ? &stream->h2.pseudo.authority
                     : str_is(name, ":scheme")    ? &stream->h2.pseudo.scheme
                     : str_is(name, ":protocol")  ? &stream->h2.pseudo.protocol
                                                  : NULL;
    if (at)
        *at = stream_copy(stream, value);
    return at != NULL;
}

// In a start line nothing may stand that ends it, or a part of it.
static bool fits_start_line(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool put_start_line(struct stream *stream)
{
    struct worker *worker = stream->worker;
    uint32_t max = head_bytes_max(worker);
    struct head_text *text = &stream->h2.req_text;
    const bool is_extended = stream->h2.pseudo.protocol.len > 0;
    bool is_connect = str_is(stream->h2.pseudo.method, "CONNECT") && !is_extended;
    struct str target = is_connect ? stream->h2.pseudo.authority : stream->h2.pseudo.path;
    const struct str parts[] = {is_extended ? STR("GET") : stream->h2.pseudo.method, target,
                                stream->h2.pseudo.authority, stream->h2.pseudo.protocol};
    for (unsigned i = 0; i < 4; i++)
        if (!fits_start_line(parts[i]))
            return false;
    // nghttp2 looks at the paths of "http" and "https" only (RFC 9113, 8.3.1).
    if (!is_connect && (target.len == 0 || target.ptr[0] != '/') && !str_is(target, "*"))
        return false;
    // What is too large is noted in the text.
    head_text_put(text, worker, parts[0], max);
    head_text_put(text, worker, STR(" "), max);
    head_text_put(text, worker, target, max);
    head_text_put(text, worker, STR(" HTTP/1.1\r\n"), max);
    if (stream->h2.pseudo.authority.len > 0)
        head_text_add(text, worker, STR("host"), stream->h2.pseudo.authority, max);
    if (is_extended) {
        head_text_put(text, worker, STR("connection: upgrade\r\n"), max);
        head_text_add(text, worker, STR("upgrade"), stream->h2.pseudo.protocol, max);
    }
    return true;
}

static bool on_request_field(struct stream *stream, struct str name, struct str value)
{
    struct h2_session *session = stream->down_session;
    struct head_text *text = &stream->h2.req_text;
    if (name.len > 0 && name.ptr[0] == ':') {
        if (name.len + value.len > head_bytes_max(stream->worker)) {
            text->is_too_large = true;
            return true;
        }
        return is_pseudo(stream, name, value);
    }
    // Read on for the compression's state, but kept no more; and not for long: a byte of HPACK may
    // stand for a field of kilobytes.
    if (text->is_too_large)
        return ++text->n_dropped <= H2_DROPPED_FIELDS_MAX;
    if (text->len == 0 && !put_start_line(stream))
        return false;
    // Two names for one thing: allowed where they are the same (RFC 9113, 8.3.1).
    if (str_is(name, "host") && str_equal_nocase(value, stream->h2.pseudo.authority))
        return true;
    if (session->head_bytes + text->len > H2_HEADS_BYTES_MAX)
        text->is_too_large = true;
    else
        head_text_add(text, stream->worker, name, value, head_bytes_max(stream->worker));
    return true;
}

static bool on_field(void *arg, void *told, struct str name, struct str value, bool is_trailer)
{
    (void)arg;
    struct stream *stream = told;
    if (!is_trailer)
        return on_request_field(stream, name, value);
    return head_text_add_trailer(&stream->h2.req_trailers, stream->worker, name, value);
}

static void refuse(struct stream *stream, enum h1_error error)
{
    WORKER_COUNT(stream->worker, PROTOCOL_ERRORS, 1);
    stream_refuse(stream, stream->down, error, h1_error_status(error),
                  str_of(h1_error_detail(error)));
}

static void on_head(void *arg, void *told, bool is_end)
{
    struct h2_session *session = arg;
    struct stream *stream = told;
    struct worker *worker = stream->worker;
    const struct proxy_options *options = proxy_get_options(worker->proxy);
    struct head_text *text = &stream->h2.req_text;
    stream->is_begun = true;
    end_head(session, stream->down_id);
    if (text->len == 0 && !text->is_too_large && !put_start_line(stream)) {
        refuse(stream, H1_ERROR_TARGET);
        return;
    }
    if (!text->is_too_large)
        head_text_put(text, worker, STR("\r\n"), options->head_bytes_max + 2);
    if (text->is_too_large) {
        head_text_fini(text, worker); // the answer may have to wait
        refuse(stream, H1_ERROR_HEADERS_TOO_LARGE);
        return;
    }
    struct h1_limits limits = {options->head_bytes_max + 2, options->target_bytes_max,
                               (uint16_t)options->headers_max};
    size_t scanned = 0, len = 0;
    enum h1_error error = H1_ERROR_REQUEST_LINE;
    enum h1_status status =
        h1_parse_request(&stream->req, &limits, text->bytes, text->len, &scanned, &len, &error);
    if (status != H1_DONE || len != text->len || stream->req.body == BODY_CHUNKED) {
        refuse(stream, status == H1_ERROR ? error : H1_ERROR_REQUEST_LINE);
        return;
    }
    // An extended CONNECT that is ignored would look like one that has been accepted.
    if (stream->h2.pseudo.protocol.len > 0 && !stream_may_upgrade(&stream->req)) {
        refuse(stream, H1_ERROR_UPGRADE);
        return;
    }
    if (stream->h2.pseudo.protocol.len > 0 && stream->req.headers.first[HEADER_CONTENT_LENGTH]) {
        refuse(stream, H1_ERROR_CONTENT_LENGTH); // a tunnel has none, and a server may believe it
        return;
    }
    stream->head_len = (uint32_t)len;
    session->head_bytes += stream->head_len;
    stream_begin_h2(stream, is_end);
}

// ---- what follows ----

static void on_data(void *arg, void *told, struct str data)
{
    struct h2_session *session = arg;
    struct stream *stream = told;
    stream->bytes_received += data.len;
    stream->down_wire_received += data.len;
    if (stream->reply_status) { // nobody reads it any more
        h2_consume(session->h2, stream->down_id, data.len);
        return;
    }
    if (stream->grpc_web)
        stream->is_bad_body |= !grpc_web_add_request(stream, data);
    else
        queue_add(&stream->h2.req_queue, stream->worker, data);
    stream_progress(stream);
    stream_wake(stream);
}

static void on_end(void *arg, void *told, bool has_trailers)
{
    (void)arg, (void)has_trailers;
    struct stream *stream = told;
    stream->request_received = true;
    stream->request_end_ns = stream->worker->loop.now_ns;
    stream->is_bad_body |= stream->grpc_web && !grpc_web_is_whole(stream);
    queue_end(&stream->h2.req_queue, stream->worker, head_text_str(&stream->h2.req_trailers));
    stream_wake(stream);
}

static void on_closed(void *arg, void *told, uint32_t code)
{
    struct h2_session *session = arg;
    struct stream *stream = told;
    int32_t id = stream->down_id;
    stream->down_id = 0;
    if (!stream->is_begun) { // its head was refused by the engine
        WORKER_COUNT(session->worker, PROTOCOL_ERRORS, 1);
        list_remove(&stream->down_node);
        head_text_fini(&stream->h2.req_text, session->worker);
        stream_discard(stream);
        end_head(session, id);
        rest(session->down);
        return;
    }
    if (stream->response_sent && code == H2_NO_ERROR)
        return; // both sides are through; the stream is about to see it
    stream->down_lost = true;
    stream->is_bad_request = !h2_is_reset_by_peer(session->h2, id);
    stream_wake(stream);
}

// ---- the answer ----

static void body(void *arg, void *told, size_t max, struct str *ret_data, bool *ret_is_end)
{
    (void)arg;
    stream_h2_response_body(told, max, ret_data, ret_is_end);
}

static void body_sent(void *arg, void *told, size_t n, bool is_end)
{
    (void)arg;
    stream_h2_response_sent(told, n, is_end);
}

static struct str trailers(void *arg, void *told)
{
    (void)arg;
    struct stream *stream = told;
    return head_text_str(&stream->h2.res_trailers);
}

static const struct h2_events events = {
    .on_begin = on_begin,
    .on_field = on_field,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
    .body = body,
    .body_sent = body_sent,
    .trailers = trailers,
};

// ---- the connection ----

void h2_begin_downstream(struct downstream *down)
{
    struct worker *worker = down->worker;
    const struct h2_options options = {
        .is_server = true,
        .concurrent_streams = H2_CLIENT_STREAMS_MAX,
        .stream_window = H2_STREAM_WINDOW_BYTES,
        .connection_window = H2_CLIENT_WINDOW_BYTES,
        .header_list_bytes = head_bytes_max(worker),
    };
    down->state = DOWN_H2;
    WORKER_COUNT(worker, H2_CONNECTIONS, 1);
    down->h2 = h2_session_create(worker, &down->sock, &options, &events);
    down->h2->down = down;
    h2_session_mark(down->h2);
    arm(down, proxy_get_options(worker->proxy)->keepalive_timeout_ms);
    if (down->rx) {
        struct str bytes = {down->rx + down->rx_off, down->rx_end - down->rx_off};
        h2_session_take(down->h2, bytes);
        downstream_drop_rx(down);
    }
    if (worker->is_draining || down->close_after)
        h2_downstream_drain(down);
    h2_downstream_on_event(down);
}

void h2_downstream_on_event(struct downstream *down)
{
    struct h2_session *session = down->h2;
    if (down->sock.failed || !h2_session_read(session)) {
        downstream_close(down);
        return;
    }
    if (down->sock.writable && (session->out || h2_wants_write(session->h2)))
        h2_session_mark(session);
    else if (list_empty(&session->streams) && h2_is_over(session->h2)) // the client's GOAWAY
        downstream_linger(down);
}

static void say_last(struct downstream *down)
{
    struct h2_session *session = down->h2;
    session->is_closing = true;
    h2_shutdown(session->h2, H2_NO_ERROR);
    h2_session_mark(session);
}

// A head that does not end. false: the last words were not taken either.
static bool give_up(struct downstream *down)
{
    struct h2_session *session = down->h2;
    if (session->has_failed)
        return false;
    session->has_failed = true;
    h2_shutdown(session->h2, H2_NO_ERROR);
    h2_session_mark(session);
    arm(down, proxy_get_options(down->worker->proxy)->linger_timeout_ms);
    return true;
}

// Idle, or the time for a head, or for requests that were on their way, is over.
void h2_downstream_on_timer(struct downstream *down)
{
    if (down->h2->head_id) {
        if (!give_up(down))
            downstream_close(down);
        return;
    }
    if (down->h2->is_closing && list_empty(&down->h2->streams))
        downstream_close(down); // does not take the last frames
    else if (!down->h2->is_closing)
        say_last(down);
    if (down->state == DOWN_H2)
        arm(down, proxy_get_options(down->worker->proxy)->linger_timeout_ms);
}

// Two steps (RFC 9113, 6.8): requests that the client has sent before it saw the first are served.
void h2_downstream_drain(struct downstream *down)
{
    struct h2_session *session = down->h2;
    down->close_after = true;
    if (session->is_last_call)
        return;
    session->is_last_call = true;
    session->last_call_end_ms = down->worker->loop.now_ms + H2_LAST_CALL_MS;
    h2_announce_shutdown(session->h2);
    h2_session_mark(session);
    if (!session->head_id)
        arm(down, H2_LAST_CALL_MS);
}

void h2_downstream_flushed(struct downstream *down, bool ok)
{
    struct h2_session *session = down->h2;
    bool is_sent = !session->out && !h2_wants_write(session->h2);
    if (!ok) {
        downstream_close(down);
        return;
    }
    if (!is_sent)
        return;
    // The engine, too, may have given up, with streams left.
    if (session->has_failed || (h2_is_over(session->h2) && h2_n_streams(session->h2) > 0)) {
        h2_downstream_abort(down); // nothing can be said on its streams any more
        downstream_linger(down);
    } else if (list_empty(&session->streams) && (session->is_closing || h2_is_over(session->h2))) {
        downstream_linger(down);
    }
}

// What the endpoint said to the gateway is not all for the client: after an answer has begun a
// request is no longer safe to send again (RFC 9113, 8.7), and of its connection nothing is wrong.
static uint32_t cut_code(const struct stream *stream)
{
    uint32_t code = stream->up_reset_code;
    return code == H2_CANCEL || code == H2_ENHANCE_YOUR_CALM ? code : H2_INTERNAL_ERROR;
}

void h2_downstream_stream_done(struct stream *stream, bool is_cut)
{
    struct h2_session *session = stream->down_session;
    struct downstream *down = stream->down;
    if (stream->down_id) {
        if (is_cut)
            h2_reset(session->h2, stream->down_id, cut_code(stream));
        else if (!stream->request_received) // answered early (RFC 9113, 8.1)
            h2_reset(session->h2, stream->down_id, H2_NO_ERROR);
        h2_forget(session->h2, stream->down_id);
        if (is_cut || !stream->request_received)
            h2_session_mark(session);
    }
    session->head_bytes -= stream->head_len;
    if (stream->h2.req_queue.owed) { // the connection's window is for the others
        h2_consume(session->h2, stream->window_id, stream->h2.req_queue.owed);
        h2_session_mark(session);
    }
    list_remove(&stream->down_node);
    if (down->close_after) // the connection's certificate is of no more use
        h2_downstream_drain(down);
    rest(down);
}

void h2_downstream_abort(struct downstream *down)
{
    struct h2_session *session = down->h2;
    while (!list_empty(&session->streams)) {
        struct stream *stream = LIST_ENTRY(session->streams.next, struct stream, down_node);
        if (stream->is_begun) {
            stream_abort(stream); // takes it from the list
            continue;
        }
        list_remove(&stream->down_node);
        head_text_fini(&stream->h2.req_text, down->worker);
        stream_discard(stream);
    }
    h2_session_destroy(session);
    down->h2 = NULL;
}
