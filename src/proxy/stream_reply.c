// SPDX-License-Identifier: Apache-2.0
// Answers of our own: a status, response flags for the log, a stable reason code that stands both
// in the log's details and in the body, and one sentence.
#include "proxy/stream.h"
#include <stdio.h>

void stream_forget_response(struct stream *stream)
{
    stream->res.headers.n = 0;
    memset(stream->res.headers.first, 0, sizeof stream->res.headers.first);
}

// ---- gRPC: the status goes where such clients look for it ----

bool stream_is_grpc(const struct stream *stream)
{
    static const struct str type = {"application/grpc", 16};
    const struct header *header = header_get(&stream->req.headers, HEADER_CONTENT_TYPE);
    if (!header || !str_equal_nocase(str_upto(header->value, type.len), type))
        return false;
    struct str rest = str_from(header->value, type.len);
    return rest.len == 0 || rest.ptr[0] == '+' || rest.ptr[0] == ';' || rest.ptr[0] == ' ';
}

static unsigned grpc_status_of(unsigned status)
{
    switch (status) {
    case 400:
        return 13; // INTERNAL
    case 401:
        return 16; // UNAUTHENTICATED
    case 403:
        return 7; // PERMISSION_DENIED
    case 404:
        return 12; // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
        return 14; // UNAVAILABLE
    default:
        return 2; // UNKNOWN
    }
}

// grpc-message: percent-encoded but for visible ASCII.
static struct str escape(struct stream *stream, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = stream_alloc(stream, 3 * text.len + 1), *at = out;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= ' ' && c < 0x7f && c != '%') {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    return (struct str){out, (size_t)(at - out)};
}

static void answer_as_grpc(struct stream *stream, unsigned status)
{
    char number[4];
    int n = snprintf(number, sizeof number, "%u", grpc_status_of(status));
    struct str code = stream_copy(stream, (struct str){number, (size_t)n});
    struct str message = escape(stream, str_trim(stream->reply_body));
    size_t cap = message.len + 100;
    char *lines = stream_alloc(stream, cap);
    int len = snprintf(lines, cap,
                       "content-type: application/grpc\r\ngrpc-status: %.*s\r\n"
                       "grpc-message: %.*s\r\n",
                       STR_ARG(code), STR_ARG(message));
    stream->reply_headers = (struct str){lines, (size_t)len};
    stream->reply_body = STR_NONE;
    stream->status = stream->reply_status = 200;
    stream->trailers[0] = (struct header){.name = STR("grpc-status"), .value = code};
    stream->n_trailers = 1; // for the log
}

void stream_reply(struct stream *stream, uint16_t status, uint64_t flags, struct str details,
                  struct str text)
{
    if (stream->timer.deadline_ms)
        timer_disarm(&stream->worker->loop.wheel, &stream->timer);
    stream->status = stream->reply_status = status;
    stream->flags |= flags;
    stream->details = details;
    stream->step = STEP_reply;
    stream_forget_response(
        stream); // the answer is ours: a dead one's fields are not to be logged as its
    bool is_grpc = status >= 400 && stream_is_grpc(stream);
    if (text.len == 0 && is_grpc)
        answer_as_grpc(stream, status);
    if (text.len == 0)
        return;
    char *body = stream_alloc(stream, text.len + details.len + 4);
    size_t len = text.len;
    memcpy(body, text.ptr, len);
    memcpy(body + len, " (", 2);
    memcpy(body + len + 2, details.ptr, details.len);
    len += 2 + details.len;
    memcpy(body + len, ")\n", 2);
    stream->reply_body = (struct str){body, len + 2};
    if (is_grpc)
        answer_as_grpc(stream, status);
}

// A client that waits for 100 Continue will not send its body after another answer.
static bool can_drop_body(const struct stream *stream)
{
    return stream->req.body == BODY_LENGTH && stream->body_unread <= DROP_BODY_MAX &&
           !stream->req.expects_continue;
}

void stream_write_reply(struct stream *stream)
{
    struct downstream *down = stream->down;
    struct worker *worker = stream->worker;
    if (!stream->request_received && !can_drop_body(stream))
        stream->keep_down = false; // what is left of the body would be taken for a request
    stream_prepare_reply(stream);
    bool has_body =
        stream->status != 204 && stream->status != 304 && stream->req.method_id != METHOD_HEAD;
    size_t len =
        stream_build_reply_head(stream, stream->reply_body.len, worker->scratch, SCRATCH_BYTES);
    CHECK(len > 0);
    size_t body_len = has_body ? stream->reply_body.len : 0;
    // Whatever deadline led here, the client gets one of its own to take the answer.
    downstream_progress(down, proxy_get_options(worker->proxy)->stream_idle_timeout_ms);
    stream->down_tx_begin_ns = worker->loop.now_ns;
    stream->bytes_sent = body_len;
    stream->down_head_sent = len;
    stream->down_wire_sent += len + body_len;
    if (len + body_len <= SCRATCH_BYTES) {
        if (body_len > 0)
            memcpy(worker->scratch + len, stream->reply_body.ptr, body_len);
        if (!downstream_send_all(down, (struct str){worker->scratch, len + body_len}))
            down->sock.failed = true;
        return;
    }
    // A large direct response: head and body one behind the other in the connection's own rest.
    if (!downstream_send_all(down, (struct str){worker->scratch, len}) ||
        !downstream_send_all(down, stream->reply_body))
        down->sock.failed = true;
}

enum step_result stream_step_reply(struct stream *stream)
{
    struct downstream *down = stream->down;
    bool is_new = !stream->head_sent_down;
    stream->head_sent_down = true;
    if (is_new && stream->down_h2)
        stream_submit_reply(stream);
    else if (is_new)
        stream_write_reply(stream);
    if (stream->down_h2) {
        if (!stream->response_sent)
            return STEP_WAIT;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    if (!downstream_flush(down) || down->sock.failed)
        return stream_client_gone(stream);
    if (down->tx)
        return STEP_WAIT;
    stream->step = stream->keep_down && !stream->request_received ? STEP_drop : STEP_finish;
    if (stream->step == STEP_drop)
        downstream_progress(down, proxy_get_options(stream->worker->proxy)->linger_timeout_ms);
    return STEP_NEXT;
}

enum step_result stream_step_drop(struct stream *stream)
{
    enum pump_result result = stream_drop_request(stream);
    if (result == PUMP_WAIT)
        return STEP_WAIT;
    stream->keep_down = result == PUMP_DONE;
    stream->step = STEP_finish;
    return STEP_NEXT;
}
