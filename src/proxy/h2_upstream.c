// SPDX-License-Identifier: Apache-2.0
// HTTP/2 to endpoints: what comes for a stream is noted in it.
#include "proxy/h2_session.h"

static bool put_status_line(struct stream *stream)
{
    char line[] = "HTTP/1.1 000 \r\n";
    unsigned status = stream->h2.pseudo_status;
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    return head_text_put(&stream->h2.res_text, stream->worker, STR(line), HEAD_BYTES_LIMIT);
}

static bool read_status(struct stream *stream, struct str value)
{
    unsigned status = 0;
    for (size_t i = 0; i < value.len && i < 3; i++)
        status = status * 10 + (unsigned)(value.ptr[i] - '0'); // nghttp2 saw to it: three digits
    stream->h2.pseudo_status = (uint16_t)status;
    // A further head: of the one before, a 1xx, nothing is left.
    head_text_fini(&stream->h2.res_text, stream->worker);
    stream_forget_response(stream);
    return put_status_line(stream);
}

static bool on_field(void *arg, void *told, struct str name, struct str value, bool is_trailer)
{
    (void)arg;
    struct stream *stream = told;
    if (is_trailer)
        return head_text_add_trailer(&stream->h2.res_trailers, stream->worker, name, value);
    if (str_is(name, ":status"))
        return read_status(stream, value);
    // Over the limit: noted in the text, the stream fails when its head is complete.
    head_text_add(&stream->h2.res_text, stream->worker, name, value,
                  proxy_get_options(stream->worker->proxy)->head_bytes_max);
    return true;
}

static bool parse(struct stream *stream)
{
    struct head_text *text = &stream->h2.res_text;
    struct h1_limits limits = {HEAD_BYTES_LIMIT, 0, HEADERS_MAX};
    size_t scanned = 0, len = 0;
    enum h1_error error;
    return !text->is_too_large &&
           head_text_put(text, stream->worker, STR("\r\n"), HEAD_BYTES_LIMIT) &&
           h1_parse_response(&stream->res, stream->req.method_id, &limits, text->bytes, text->len,
                             &scanned, &len, &error) == H1_DONE &&
           len == text->len;
}

static void lose(struct stream *stream, uint32_t code)
{
    struct h2_session *session = stream->up->h2;
    h2_reset(session->h2, stream->up_id, code);
    h2_session_mark(session);
    stream->up_lost = true;
    stream->up_reset_code = code;
    stream_wake(stream);
}

// No window bounds heads: what the client does not take is left out, and so is a flood.
static bool takes_interim(struct stream *stream)
{
    uint64_t turn = stream->worker->loop.turns;
    if (stream->h2.interim_turn != turn)
        stream->h2.n_interims = 0;
    stream->h2.interim_turn = turn;
    bool is_held_up =
        stream->down_h2 ? stream->down_session->out != NULL : stream->down->tx != NULL;
    return !stream->head_sent_down && !is_held_up && stream->h2.n_interims++ < INTERIMS_PER_EVENT;
}

// 100 Continue, 103 Early Hints: on to the client (RFC 9110, 15.2).
static void on_interim(struct stream *stream)
{
    if (takes_interim(stream))
        stream_forward_interim(stream);
    stream_forget_response(stream);
}

static void on_head(void *arg, void *told, bool is_end)
{
    (void)arg;
    struct stream *stream = told;
    if (!stream->response_begun) {
        stream->response_begun = true;
        stream->up_rx_begin_ns = stream->worker->loop.now_ns;
    }
    if (!parse(stream) || stream->res.status == 101) {
        lose(stream, H2_PROTOCOL_ERROR);
        stream->is_bad_response = true;
        return;
    }
    stream->up_wire_received += stream->h2.res_text.len;
    if (stream->res.status < 200) {
        on_interim(stream);
        return;
    }
    stream->res_head_ready = true;
    stream->res_head_len = stream->h2.res_text.len;
    if (is_end) {
        stream->res.body = BODY_NONE;
        stream->response_received = true;
        stream->up_rx_end_ns = stream->worker->loop.now_ns;
        queue_end(&stream->h2.res_queue, stream->worker, STR_NONE);
    } else if (stream->res.body == BODY_UNTIL_CLOSE) {
        stream->res.body = BODY_CHUNKED; // a length that is not known beforehand
    }
    stream_wake(stream);
}

static void on_data(void *arg, void *told, struct str data)
{
    (void)arg;
    struct stream *stream = told;
    if (!stream->up_rx_body_ns)
        stream->up_rx_body_ns = stream->worker->loop.now_ns;
    stream->up_wire_received += data.len;
    stream->bytes_sent += data.len;
    if (stream->grpc_web)
        grpc_web_add_response(stream, data);
    else
        queue_add(&stream->h2.res_queue, stream->worker, data);
    stream_wake(stream);
}

static void keep_for_log(struct stream *stream)
{
    struct str rest = head_text_str(&stream->h2.res_trailers), line;
    while (stream->n_trailers < TRAILERS_KEPT && str_next(&rest, '\n', &line)) {
        ptrdiff_t colon = str_index(line, ':');
        if (colon <= 0)
            continue;
        struct str value = str_trim(str_from(line, (size_t)colon + 1));
        stream->trailers[stream->n_trailers++] =
            (struct header){.name = stream_copy(stream, str_upto(line, (size_t)colon)),
                            .value = stream_copy(stream, value)};
    }
    stream->trailer_bytes = stream->h2.res_trailers.len;
}

static void on_end(void *arg, void *told, bool has_trailers)
{
    (void)arg;
    struct stream *stream = told;
    if (has_trailers)
        keep_for_log(stream);
    stream->response_received = true;
    stream->up_rx_end_ns = stream->worker->loop.now_ns;
    if (stream->grpc_web)
        grpc_web_end_response(stream);
    queue_end(&stream->h2.res_queue, stream->worker, head_text_str(&stream->h2.res_trailers));
    stream_wake(stream);
}

static void on_closed(void *arg, void *told, uint32_t code)
{
    (void)arg;
    struct stream *stream = told;
    stream->up_id = 0;
    if (!stream->response_received) {
        stream->up_lost = true;
        stream->up_refused = code == H2_REFUSED_STREAM;
        stream->up_reset_code = code ? code : H2_INTERNAL_ERROR;
    } else if (!stream->request_sent) {
        stream->request_sent = true; // answered; it wants no more of the request
        stream->is_answered_early = true;
    }
    stream_wake(stream);
}

static void body(void *arg, void *told, size_t max, struct str *ret_data, bool *ret_is_end)
{
    (void)arg;
    stream_h2_request_body(told, max, ret_data, ret_is_end);
}

static void body_sent(void *arg, void *told, size_t n, bool is_end)
{
    (void)arg;
    stream_h2_request_sent(told, n, is_end);
}

static struct str trailers(void *arg, void *told)
{
    (void)arg;
    struct stream *stream = told;
    return head_text_str(&stream->h2.req_trailers);
}

static void on_goaway(void *arg, uint32_t code)
{
    (void)code;
    struct upstream *up = ((struct h2_session *)arg)->up;
    if (up->n_streams == 0 && !up->is_retired)
        upstream_note_idle_close(up);
    up->is_retired = true;
}

static const struct h2_events events = {
    .on_field = on_field,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
    .body = body,
    .body_sent = body_sent,
    .trailers = trailers,
    .on_goaway = on_goaway,
};

void h2_begin_upstream(struct upstream *up)
{
    const struct h2_options options = {
        .stream_window = H2_STREAM_WINDOW_BYTES,
        .connection_window = H2_ENDPOINT_WINDOW_BYTES,
        .header_list_bytes = HEAD_BYTES_LIMIT,
        .connection_window_is_free = true,
    };
    up->h2 = h2_session_create(up->worker, &up->sock, &options, &events);
    up->h2->up = up;
    h2_session_mark(up->h2);
}

// A connection without streams and without use is closed when its events are over.
static void close_if_over(struct upstream *up)
{
    if (up->is_retired && up->n_streams == 0)
        upstream_close(up);
}

// Upgrades wait for the endpoint's settings: only they tell whether it takes them (RFC 8441, 3).
static void wake_who_waits(struct upstream *up)
{
    for (struct list *node = up->streams.next; node != &up->streams; node = node->next) {
        struct stream *stream = LIST_ENTRY(node, struct stream, up_node);
        if (!stream->up_id)
            stream_wake(stream);
    }
}

void h2_upstream_on_event(struct upstream *up)
{
    struct h2_session *session = up->h2;
    bool had_settings = h2_has_settings(session->h2);
    if (up->sock.failed || !h2_session_read(session)) {
        if (up->n_streams == 0 && !up->is_retired)
            upstream_note_idle_close(up);
        upstream_lost(up);
        return;
    }
    if (!had_settings && h2_has_settings(session->h2)) {
        upstream_note_settings(up);
        wake_who_waits(up);
    }
    if (up->sock.writable && (session->out || h2_wants_write(session->h2)))
        h2_session_mark(session);
    else
        close_if_over(up);
}

void h2_upstream_flushed(struct upstream *up, bool ok)
{
    struct h2_session *session = up->h2;
    bool is_sent = !session->out && !h2_wants_write(session->h2);
    if (!ok || (is_sent && (session->has_failed || h2_is_over(session->h2))))
        upstream_lost(up);
    else if (is_sent && up->n_streams == 0 && (up->is_retired || up->worker->has_others))
        upstream_rest(up);
}
