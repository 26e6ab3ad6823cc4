// SPDX-License-Identifier: Apache-2.0
#include "http/h2.h"
#include "base/check.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

enum {
    FIELDS_MAX = 192, // of one head that we send: what came, patches, and our own
    SENT_HEAD_BYTES_MAX = 256 * 1024,
    // PING and SETTINGS acknowledgements that may wait; more than a client has for free, so that it
    // is told why it ends.
    OUTBOUND_ACKS_MAX = 1000,
    CONTINUATIONS_MAX = 32, // nghttp2 counts one anew for each piece that its 9 bytes come in
    HEADER_TABLE_BYTES = 4096,
};

struct h2 {
    nghttp2_session *session;
    const struct h2_events *events;
    void *arg;
    struct h2_options options;
    int64_t now_ms, refilled_ms;
    uint32_t left[H2_CHEAP_COUNT]; // free acts
    uint32_t n_streams;
    int32_t last_id;       // server: of the newest stream
    int32_t unsent_id;     // client: of the last request that did not go out any more
    int32_t peer_reset_id; // of the last stream that the peer reset
    bool has_failed, has_settings, peer_has_connect, has_goaway;
    bool is_response; // client: the section being read begins with :status
    const char *failure;
    struct str rest; // of what nghttp2 gave last: it lives until it is asked again
    char *out;       // during h2_produce
    size_t out_len, out_cap;
};

// ---- free acts ----

static const struct {
    uint32_t burst, per_second;
} cheap[] = {
#define X(id, burst, per_second) {burst, per_second},
    H2_CHEAP(X)
#undef X
};

static void refill(struct h2 *h2, int64_t now_ms)
{
    h2->now_ms = now_ms;
    int64_t passed_ms = now_ms - h2->refilled_ms;
    if (passed_ms < 100)
        return;
    h2->refilled_ms = now_ms;
    if (passed_ms > 60000)
        passed_ms = 60000;
    for (unsigned i = 0; i < H2_CHEAP_COUNT; i++) {
        uint64_t left = h2->left[i] + (uint64_t)passed_ms * cheap[i].per_second / 1000;
        h2->left[i] = left < cheap[i].burst ? (uint32_t)left : cheap[i].burst;
    }
}

static bool fail(struct h2 *h2, uint32_t code, const char *why)
{
    if (!h2->has_failed) {
        h2->has_failed = true;
        h2->failure = why;
        nghttp2_session_terminate_session(h2->session, code);
    }
    return false;
}

bool h2_spend(struct h2 *h2, enum h2_cheap what)
{
    static const char *const words[] = {
        [H2_CHEAP_RESET] = "http2.too_many_resets",
        [H2_CHEAP_CONTROL] = "http2.too_many_control_frames",
        [H2_CHEAP_WINDOW] = "http2.too_many_window_updates",
        [H2_CHEAP_EMPTY] = "http2.too_many_empty_frames",
        [H2_CHEAP_INVALID] = "http2.too_many_invalid_streams",
    };
    if (h2->has_failed)
        return false;
    if (!h2->options.is_server) // endpoints are ours to choose; a gRPC server pings a lot
        return true;
    if (h2->left[what] == 0)
        return fail(h2, H2_ENHANCE_YOUR_CALM, words[what]);
    h2->left[what]--;
    return true;
}

// Who gets something done may do more: by data moved and by streams answered.
static void earn(struct h2 *h2, enum h2_cheap what, uint32_t n)
{
    h2->left[what] =
        cheap[what].burst - h2->left[what] < n ? cheap[what].burst : h2->left[what] + n;
}

// ---- what comes ----

static struct str slice(nghttp2_rcbuf *buf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buf);
    return (struct str){(const char *)vec.base, vec.len};
}

// nghttp2 calls the response that follows a 1xx a mere section of fields, as it does trailers.
static bool is_trailer(const struct h2 *h2, const nghttp2_frame *frame)
{
    return frame->headers.cat == NGHTTP2_HCAT_HEADERS && !h2->is_response;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    h2->is_response = false;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h2->has_failed)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    void *stream = h2->events->on_begin(h2->arg, frame->hd.stream_id);
    if (!stream) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_REFUSED_STREAM);
        h2_spend(h2, H2_CHEAP_RESET);
        return 0;
    }
    h2->n_streams++;
    h2->last_id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
    (void)flags;
    struct h2 *h2 = arg;
    void *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct str word = slice(name);
    if (!h2->options.is_server && str_is(word, ":status"))
        h2->is_response = true;
    if (h2->events->on_field(h2->arg, stream, word, slice(value), is_trailer(h2, frame)))
        return 0;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR); // it would say INTERNAL_ERROR
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
    (void)session, (void)frame, (void)name, (void)value, (void)flags, (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; // not left out in silence: the stream is reset
}

static void on_headers(struct h2 *h2, const nghttp2_frame *frame, void *stream)
{
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (is_trailer(h2, frame))
        h2->events->on_end(h2->arg, stream, true);
    else
        h2->events->on_head(h2->arg, stream, is_end);
}

static void on_settings(struct h2 *h2, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK)
        return;
    h2->has_settings = true;
    for (size_t i = 0; i < frame->settings.niv; i++)
        if (frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL)
            h2->peer_has_connect = frame->settings.iv[i].value == 1;
    h2_spend(h2, H2_CHEAP_CONTROL);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    void *stream = frame->hd.stream_id
                       ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)
                       : NULL;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (stream)
            on_headers(h2, frame, stream);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length <= frame->data.padlen && !is_end) // padding is no content
            h2_spend(h2, H2_CHEAP_EMPTY);
        if (stream && is_end)
            h2->events->on_end(h2->arg, stream, false);
        break;
    case NGHTTP2_SETTINGS:
        on_settings(h2, frame);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        h2_spend(h2, H2_CHEAP_WINDOW);
        break;
    case NGHTTP2_GOAWAY:
        h2->has_goaway = true;
        if (h2->events->on_goaway)
            h2->events->on_goaway(h2->arg, frame->goaway.error_code);
        break;
    case NGHTTP2_RST_STREAM:
        h2->peer_reset_id = frame->hd.stream_id;
        if (stream)
            h2_spend(h2, H2_CHEAP_RESET);
        else
            h2_spend(h2, H2_CHEAP_CONTROL);
        break;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            h2_spend(h2, H2_CHEAP_CONTROL);
        break;
    case NGHTTP2_PRIORITY: // counted as it began
        break;
    default:
        h2_spend(h2, H2_CHEAP_CONTROL);
        break;
    }
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    struct h2 *h2 = arg;
    // nghttp2 passes over a stream that was left out, for it may have forgotten it (RFC
    // 9113, 5.1.1).
    if (hd->type == NGHTTP2_HEADERS && h2->options.is_server && hd->stream_id < h2->last_id &&
        !nghttp2_session_find_stream(session, hd->stream_id))
        fail(h2, H2_PROTOCOL_ERROR, "http2.stream_id");
    // Trailers that crossed a reset: read for the compression's state, told to nobody.
    if (hd->type == NGHTTP2_HEADERS && hd->stream_id <= h2->last_id &&
        !nghttp2_session_get_stream_user_data(session, hd->stream_id))
        h2_spend(h2, H2_CHEAP_CONTROL);
    if (hd->type > NGHTTP2_CONTINUATION)
        h2_spend(arg, H2_CHEAP_CONTROL); // of no type that RFC 9113 knows: passed over
    else if (hd->type == NGHTTP2_PRIORITY)
        h2_spend(arg, H2_CHEAP_CONTROL);
    else if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_HEADERS) &&
             (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION))
        h2_spend(arg, H2_CHEAP_EMPTY);
    return 0;
}

// Without this nghttp2 passes over frames of other types before on_begin_frame() could count them.
static int drop_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd,
                          void *arg)
{
    (void)session, (void)payload, (void)hd, (void)arg;
    return NGHTTP2_ERR_CANCEL;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *arg)
{
    (void)flags;
    struct h2 *h2 = arg;
    void *stream = nghttp2_session_get_stream_user_data(session, id);
    earn(h2, H2_CHEAP_CONTROL, 1);
    if (h2->options.connection_window_is_free || !stream)
        nghttp2_session_consume_connection(session, len);
    if (stream)
        h2->events->on_data(h2->arg, stream, (struct str){(const char *)data, len});
    else
        nghttp2_session_consume_stream(session, id, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2 *h2 = arg;
    void *stream = nghttp2_session_get_stream_user_data(session, id);
    if (id == h2->unsent_id)
        code = NGHTTP2_REFUSED_STREAM; // nobody looked at it
    if (stream) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        h2->n_streams--;
        h2->events->on_closed(h2->arg, stream, code);
    }
    if (code == NGHTTP2_NO_ERROR)
        earn(h2, H2_CHEAP_RESET, 1);
    return 0;
}

// ---- what goes ----

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t length, nghttp2_data_source *source, void *arg)
{
    struct h2 *h2 = arg;
    (void)source;
    size_t room = h2->out_cap - h2->out_len;
    bool is_padded = frame->data.padlen > 0;
    if (9 + length > room || is_padded)
        return is_padded ? NGHTTP2_ERR_CALLBACK_FAILURE : NGHTTP2_ERR_WOULDBLOCK;
    void *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct str data;
    bool is_end = false;
    h2->events->body(h2->arg, stream, length, &data, &is_end);
    CHECK(data.len >= length);
    memcpy(h2->out + h2->out_len, head, 9);
    if (length > 0)
        memcpy(h2->out + h2->out_len + 9, data.ptr, length);
    h2->out_len += 9 + length;
    earn(h2, H2_CHEAP_WINDOW, 2 + (uint32_t)(length / 1024));
    h2->events->body_sent(h2->arg, stream, length, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    return 0;
}

static bool submit_trailers(struct h2 *h2, int32_t id, void *stream);

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)out, (void)source;
    struct h2 *h2 = arg;
    void *stream = nghttp2_session_get_stream_user_data(session, id);
    if (!stream) // forgotten: a reset is on its way
        return NGHTTP2_ERR_DEFERRED;
    size_t room = h2->out_cap - h2->out_len;
    if (room < 9 + 256)
        return NGHTTP2_ERR_PAUSE;
    if (length > room - 9)
        length = room - 9;
    struct str data = STR_NONE;
    bool is_end = false;
    h2->events->body(h2->arg, stream, length, &data, &is_end);
    if (data.len == 0 && !is_end)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (is_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (submit_trailers(h2, id, stream))
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return (ssize_t)data.len;
}

// A reset of nghttp2's own, for what the peer did: also for a body of another length than was said,
// of which no other callback tells. Callers forget what they reset.
static bool is_for_fault(uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
           code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    if (frame->hd.type == NGHTTP2_RST_STREAM && is_for_fault(frame->rst_stream.error_code) &&
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id))
        h2_spend(h2, H2_CHEAP_INVALID);
    // Trailers, and the head of an answer without a body, are its end; DATA tells of itself in
    // send_data().
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_REQUEST &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        void *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (stream)
            h2->events->body_sent(h2->arg, stream, 0, true);
    }
    return 0;
}

// The peer's GOAWAY, or the end of the session, was faster than a request that had to wait.
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *arg)
{
    (void)session;
    struct h2 *h2 = arg;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
        (error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED || error == NGHTTP2_ERR_SESSION_CLOSING))
        h2->unsent_id = frame->hd.stream_id;
    return 0;
}

size_t h2_produce(struct h2 *h2, char *out, size_t cap)
{
    h2->out = out;
    h2->out_cap = cap;
    h2->out_len = 0;
    for (;;) {
        size_t room = cap - h2->out_len;
        size_t n = h2->rest.len < room ? h2->rest.len : room;
        if (n > 0)
            memcpy(out + h2->out_len, h2->rest.ptr, n);
        h2->out_len += n;
        h2->rest = str_from(h2->rest, n);
        if (h2->rest.len > 0 || cap - h2->out_len < H2_PRODUCE_MIN / 2)
            break;
        size_t before = h2->out_len;
        const uint8_t *bytes = NULL;
        ssize_t got = nghttp2_session_mem_send(h2->session, &bytes);
        if (got < 0) {
            fail(h2, H2_INTERNAL_ERROR, "http2.codec_error");
            break;
        }
        if (got == 0 && h2->out_len == before)
            break;
        h2->rest = (struct str){(const char *)bytes, (size_t)got};
    }
    return h2->out_len;
}

bool h2_wants_write(const struct h2 *h2)
{
    return h2->rest.len > 0 || nghttp2_session_want_write(h2->session);
}

bool h2_is_over(const struct h2 *h2)
{
    return h2->rest.len == 0 && !nghttp2_session_want_read(h2->session) &&
           !nghttp2_session_want_write(h2->session);
}

// ---- heads ----

struct fields {
    nghttp2_nv items[FIELDS_MAX];
    size_t n;
};

// What is another one with each message, or one client's own on a connection that others share
// (RFC 7541, 7.1.3): in the compression's table it would push out what comes again, and nghttp2
// compares every entry of a name.
static bool is_unindexed(struct str name)
{
    switch (name.len) {
    case 6:
        return str_is(name, "cookie");
    case 9:
        return str_is(name, "x-real-ip");
    case 11:
        return str_is(name, "traceparent");
    case 12:
        return str_is(name, "x-request-id") || str_is(name, "grpc-timeout");
    case 13:
        return str_is(name, "authorization");
    case 15:
        return str_is(name, "x-forwarded-for");
    case 23:
        return str_is(name, "x-forwarded-client-cert");
    case 24:
        return str_is(name, "x-envoy-external-address");
    default:
        return false;
    }
}

static void add_field(struct fields *fields, struct str name, struct str value)
{
    if (fields->n < FIELDS_MAX)
        fields->items[fields->n++] = (nghttp2_nv){
            (uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len, value.len,
            is_unindexed(name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// false: more fields than fit.
static bool add_lines(struct fields *fields, char *at, char *end)
{
    while (at < end) {
        char *line_end = memchr(at, '\r', (size_t)(end - at));
        char *colon = line_end ? memchr(at, ':', (size_t)(line_end - at)) : NULL;
        CHECK(colon != NULL);
        for (char *p = at; p < colon; p++)
            *p = ascii_lower(*p);
        char *value = colon + 1, *value_end = line_end;
        while (value < value_end && is_blank(*value)) // none at the edges (RFC 9113, 8.2.1)
            value++;
        while (value_end > value && is_blank(value_end[-1]))
            value_end--;
        if (fields->n == FIELDS_MAX)
            return false;
        add_field(fields, (struct str){at, (size_t)(colon - at)},
                  (struct str){value, (size_t)(value_end - value)});
        at = line_end + 2;
    }
    return true;
}

static bool submit_trailers(struct h2 *h2, int32_t id, void *stream)
{
    struct str lines = h2->events->trailers(h2->arg, stream);
    struct fields fields;
    fields.n = 0;
    if (lines.len == 0)
        return false;
    char *copy = malloc(lines.len);
    CHECK(copy != NULL);
    memcpy(copy, lines.ptr, lines.len);
    add_lines(&fields, copy, copy + lines.len);
    bool ok = nghttp2_submit_trailer(h2->session, id, fields.items, fields.n) == 0;
    free(copy);
    return ok;
}

int32_t h2_submit_request(struct h2 *h2, const struct h2_head *head, bool has_body, void *stream)
{
    struct fields fields;
    fields.n = 0;
    add_field(&fields, STR(":method"), head->method);
    if (head->path.len > 0) {
        add_field(&fields, STR(":scheme"), head->scheme);
        add_field(&fields, STR(":path"), head->path);
    }
    if (head->authority.len > 0)
        add_field(&fields, STR(":authority"), head->authority);
    if (head->protocol.len > 0)
        add_field(&fields, STR(":protocol"), head->protocol);
    if (!add_lines(&fields, head->lines, head->lines + head->lines_len))
        return -1;
    nghttp2_data_provider body = {.read_callback = read_body};
    int32_t id = nghttp2_submit_request(h2->session, NULL, fields.items, fields.n,
                                        has_body ? &body : NULL, stream);
    if (id > 0)
        h2->n_streams++;
    return id > 0 ? id : -1;
}

static bool collect_response(struct fields *fields, const struct h2_head *head, char status[4])
{
    status[0] = (char)('0' + head->status / 100);
    status[1] = (char)('0' + head->status / 10 % 10);
    status[2] = (char)('0' + head->status % 10);
    fields->n = 0;
    add_field(fields, STR(":status"), (struct str){status, 3});
    return add_lines(fields, head->lines, head->lines + head->lines_len);
}

bool h2_submit_response(struct h2 *h2, int32_t id, const struct h2_head *head, bool has_body)
{
    struct fields fields;
    char status[4];
    if (!collect_response(&fields, head, status))
        return false;
    nghttp2_data_provider body = {.read_callback = read_body};
    return nghttp2_submit_response(h2->session, id, fields.items, fields.n,
                                   has_body ? &body : NULL) == 0;
}

bool h2_submit_interim(struct h2 *h2, int32_t id, const struct h2_head *head)
{
    struct fields fields;
    char status[4];
    return collect_response(&fields, head, status) &&
           nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, id, NULL, fields.items, fields.n,
                                  NULL) == 0;
}

// ---- streams ----

void h2_resume(struct h2 *h2, int32_t id)
{
    nghttp2_session_resume_data(h2->session, id);
}

void h2_reset(struct h2 *h2, int32_t id, uint32_t code)
{
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, code);
}

bool h2_is_reset_by_peer(const struct h2 *h2, int32_t id)
{
    return id == h2->peer_reset_id;
}

void h2_forget(struct h2 *h2, int32_t id)
{
    // A request that is not on the wire yet is no stream, but will be one.
    bool is_pending = !nghttp2_session_find_stream(h2->session, id);
    if (!is_pending && !nghttp2_session_get_stream_user_data(h2->session, id))
        return;
    if (nghttp2_session_set_stream_user_data(h2->session, id, NULL) == 0)
        h2->n_streams--;
}

void h2_consume(struct h2 *h2, int32_t id, size_t n)
{
    if (h2->options.connection_window_is_free)
        nghttp2_session_consume_stream(h2->session, id, n);
    else
        nghttp2_session_consume(h2->session, id, n);
}

// ---- the session ----

bool h2_receive(struct h2 *h2, struct str bytes, int64_t now_ms)
{
    if (h2->has_failed)
        return false;
    refill(h2, now_ms);
    ssize_t n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
    if (n < 0) {
        h2->has_failed = true;
        h2->failure = n == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "http2.bad_client_magic"
                      : n == NGHTTP2_ERR_FLOODED        ? "http2.flood"
                                                        : "http2.protocol_error";
        return false;
    }
    return !h2->has_failed;
}

struct str h2_failure(const struct h2 *h2)
{
    return h2->failure ? str_of(h2->failure) : STR_NONE;
}

uint32_t h2_n_streams(const struct h2 *h2)
{
    return h2->n_streams;
}

bool h2_can_request(const struct h2 *h2)
{
    return !h2->has_failed && !h2->has_goaway &&
           nghttp2_session_check_request_allowed(h2->session) && h2->n_streams < h2_streams_max(h2);
}

uint32_t h2_streams_max(const struct h2 *h2)
{
    return nghttp2_session_get_remote_settings(h2->session,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool h2_peer_has_connect(const struct h2 *h2)
{
    return h2->peer_has_connect;
}

bool h2_has_settings(const struct h2 *h2)
{
    return h2->has_settings;
}

void h2_announce_shutdown(struct h2 *h2)
{
    nghttp2_submit_shutdown_notice(h2->session);
}

void h2_shutdown(struct h2 *h2, uint32_t code)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
}

void h2_ping(struct h2 *h2)
{
    nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, drop_extension);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
}

static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
    nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);
    nghttp2_option_set_max_send_header_block_length(option, SENT_HEAD_BYTES_MAX);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, HEADER_TABLE_BYTES);
#ifdef HAVE_NGHTTP2_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
#endif
}

static void submit_settings(struct h2 *h2)
{
    const struct h2_options *options = &h2->options;
    nghttp2_settings_entry entries[6];
    size_t n = 0;
#define SET(key, number)                                                                           \
    entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_##key, (uint32_t)(number)}
    SET(INITIAL_WINDOW_SIZE, options->stream_window);
    SET(MAX_HEADER_LIST_SIZE, options->header_list_bytes);
    if (options->is_server) {
        SET(MAX_CONCURRENT_STREAMS, options->concurrent_streams);
        SET(ENABLE_CONNECT_PROTOCOL, 1);
    } else {
        SET(ENABLE_PUSH, 0);
        SET(MAX_CONCURRENT_STREAMS, 0);
    }
#undef SET
    nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, n);
    nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)options->connection_window);
}

struct h2 *h2_create(const struct h2_options *options, const struct h2_events *events, void *arg)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks *callbacks = NULL;
    CHECK(h2 != NULL);
    h2->options = *options;
    h2->events = events;
    h2->arg = arg;
    for (unsigned i = 0; i < H2_CHEAP_COUNT; i++)
        h2->left[i] = cheap[i].burst;
    CHECK(nghttp2_option_new(&option) == 0 && nghttp2_session_callbacks_new(&callbacks) == 0);
    set_options(option);
    set_callbacks(callbacks);
    int error = options->is_server
                    ? nghttp2_session_server_new2(&h2->session, callbacks, h2, option)
                    : nghttp2_session_client_new2(&h2->session, callbacks, h2, option);
    CHECK(error == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    submit_settings(h2);
    return h2;
}

void h2_destroy(struct h2 *h2)
{
    if (!h2)
        return;
    nghttp2_session_del(h2->session);
    free(h2);
}

const char *h2_error_word(uint32_t code)
{
    return nghttp2_http2_strerror(code);
}
