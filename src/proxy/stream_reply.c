// SPDX-License-Identifier: Apache-2.0
// Answers of our own: a status, response flags for the log, a stable reason code that stands both
// in the log's details and in the body, and one sentence.
#include "proxy/stream.h"

void stream_forget_response(struct stream *stream)
{
    stream->res.headers.n = 0;
    memset(stream->res.headers.first, 0, sizeof stream->res.headers.first);
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
    stream_forget_response(stream); // the answer is ours: a dead one's fields are not to be logged as its
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
    if (!stream->head_sent_down) {
        stream->head_sent_down = true;
        stream_write_reply(stream);
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
