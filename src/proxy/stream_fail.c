// SPDX-License-Identifier: Apache-2.0
// What can go wrong on either side, and the deadlines: each ends in a retry, in an answer of our
// own while no response has begun, or in a cut.
#include "proxy/stream.h"

// Whether the request may be sent once more, and the words for the log: why it is safe, or why it
// is not. Empty words: it was never in question.
struct verdict {
    bool is_safe;
    struct str why;
};

static struct verdict judge(struct stream *stream)
{
    struct str method = stream->req.method;
    if (stream->response_begun)
        return (struct verdict){false, STR_NONE};
    if (!stream->up_refused && !stream->try_was_reused)
        return (struct verdict){false,
                                STR_NONE}; // a new connection: the endpoint itself has failed
    if (stream->n_tries >= TRIES_MAX)
        return (struct verdict){false, STR("too_many_tries")};
    if (stream->body_dropped)
        return (struct verdict){false, STR("part_of_the_body_is_gone")};
    if (stream->up_refused) // it was not looked at (RFC 9113, 8.7)
        return (struct verdict){true, STR("refused_unprocessed")};
    if (!stream->anything_sent)
        return (struct verdict){true, STR("nothing_was_sent")};
    struct str what =
        http_method_is_idempotent(stream->req.method_id) ? STR("_is_idempotent") : STR("_was_sent");
    char *words = stream_alloc(stream, method.len + what.len);
    memcpy(mempcpy(words, method.ptr, method.len), what.ptr, what.len);
    return (struct verdict){http_method_is_idempotent(stream->req.method_id),
                            {words, method.len + what.len}};
}

// "...{connection_termination,not_retried:_POST_was_sent}"
static struct str reset_details(struct stream *stream, struct str cause, struct str why_not)
{
    static const char front[] = "upstream_reset_before_response_started{";
    static const char middle[] = ",not_retried:_";
    char *text = stream_alloc(stream, sizeof front + sizeof middle + cause.len + why_not.len);
    char *at = mempcpy(text, front, sizeof front - 1);
    at = mempcpy(at, cause.ptr, cause.len);
    if (why_not.len > 0) {
        at = mempcpy(at, middle, sizeof middle - 1);
        at = mempcpy(at, why_not.ptr, why_not.len);
    }
    *at++ = '}';
    return (struct str){text, (size_t)(at - text)};
}

// The connection died. Before any response byte a pooled one is suspected of having been closed by
// the endpoint while idle (RFC 9112, 9.3.1): the request is sent again where that is safe.
enum step_result stream_upstream_failed(struct stream *stream)
{
    struct verdict verdict = judge(stream);
    if (verdict.is_safe) {
        stream->retry_reason = verdict.why;
        stream_leave_upstream(stream, false, false);
        WORKER_COUNT(stream->worker, RETRIES, 1);
        stream->on_fresh = !stream->up_refused;
        if (!stream->up_refused)
            stream->n_tries--; // the same endpoint again: its pooled connection failed, not itself
        stream->up_lost = stream->up_refused = false;
        stream->request_sent = stream->anything_sent = false;
        stream->up_tx_end_ns = 0;
        stream->body_off = stream->body_begin;
        if (stream->down_h2 && stream->h2.req_queue.bytes == 0)
            stream->h2.req_queue.makes_chunks = false; // the next one may speak HTTP/2
        stream->step = STEP_connect;
        return STEP_NEXT;
    }
    if (stream->is_bad_response)
        return stream_bad_response(stream,
                                   STR("upstream_reset_before_response_started{protocol_error}"));
    stream_leave_upstream(stream, false, true);
    COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    bool is_reset = stream->up_h2 && stream->up_reset_code;
    if (stream->head_sent_down) {
        stream->flags |= is_reset ? FLAG_BIT(UR) : FLAG_BIT(UC);
        stream->details =
            is_reset ? STR("upstream_reset_after_response_started{remote_reset}")
                     : STR("upstream_reset_after_response_started{connection_termination}");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    if (is_reset) {
        stream_reply(stream, 503, FLAG_BIT(UR),
                     reset_details(stream, STR("remote_reset"), verdict.why),
                     STR("upstream connect error or disconnect/reset before headers. reset reason: "
                         "remote reset"));
        return STEP_NEXT;
    }
    stream_reply(stream, 503, FLAG_BIT(UC),
                 reset_details(stream, STR("connection_termination"), verdict.why),
                 STR("upstream connect error or disconnect/reset before headers. reset reason: "
                     "connection termination"));
    return STEP_NEXT;
}

enum step_result stream_bad_response(struct stream *stream, struct str details)
{
    stream->up_close_reason = STR("protocol_error");
    stream_leave_upstream(stream, false, true);
    COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(UPE);
        stream->details = STR("upstream_reset_after_response_started{protocol_error}");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 502, FLAG_BIT(UPE), details,
                 STR("upstream connect error or disconnect/reset before headers. reset reason: "
                     "protocol error"));
    return STEP_NEXT;
}

// Endpoints of one cluster may differ, and one may change its mind: the body was made ready for
// the protocol of the try before.
enum step_result stream_protocol_changed(struct stream *stream)
{
    stream_leave_upstream(stream, true, false);
    stream->keep_down = false;
    stream_reply(stream, 503, FLAG_BIT(UF), STR("upstream_protocol_changed"),
                 STR("the upstream's protocol changed between two tries"));
    return STEP_NEXT;
}

enum step_result stream_client_gone(struct stream *stream)
{
    stream->up_close_reason = STR("downstream_disconnect");
    stream_leave_upstream(stream, false, false);
    stream->flags |= FLAG_BIT(DC);
    stream->details = STR("downstream_remote_disconnect");
    stream->cut = true;
    stream->step = STEP_finish;
    return STEP_NEXT;
}

static enum step_result bad_request(struct stream *stream)
{
    struct str details = STR("grpc_web.bad_base64"), text = STR("the body is no base64");
    if (!stream->is_bad_body) {
        details = str_of(h1_error_detail(stream->req_chunked.error));
        text = str_of(h1_error_sentence(stream->req_chunked.error));
    }
    stream_leave_upstream(stream, false, false);
    WORKER_COUNT(stream->worker, PROTOCOL_ERRORS, 1);
    stream->keep_down = false;
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(DPE);
        stream->details = details;
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 400, FLAG_BIT(DPE), details, text);
    return STEP_NEXT;
}

static enum step_result payload_too_large(struct stream *stream)
{
    stream_leave_upstream(stream, false, false);
    stream->keep_down = false;
    if (stream->head_sent_down) {
        stream->details = STR("request_payload_too_large");
        stream->cut = true;
        stream->step = STEP_finish;
        return STEP_NEXT;
    }
    stream_reply(stream, 413, 0, STR("request_payload_too_large"), STR("Payload Too Large"));
    return STEP_NEXT;
}

enum step_result stream_pump_failed(struct stream *stream, enum pump_result result)
{
    switch (result) {
    case PUMP_DOWN_FAILED:
        return stream_client_gone(stream);
    case PUMP_UP_FAILED:
        return stream_upstream_failed(stream);
    case PUMP_BAD_REQUEST:
        return bad_request(stream);
    case PUMP_BAD_RESPONSE:
        return stream_bad_response(stream,
                                   STR("upstream_reset_after_response_started{protocol_error}"));
    case PUMP_TOO_LARGE:
        return payload_too_large(stream);
    case PUMP_WAIT:
    case PUMP_DONE:
    case PUMP_YIELD:
        break;
    }
    CHECK(!"not a failure");
}

void stream_on_route_timer(struct timer *timer)
{
    struct stream *stream = LIST_ENTRY(timer, struct stream, timer);
    if (stream->response_received)
        return; // the endpoint was in time: the rest is the client's
    stream->up_close_reason = STR("response_timeout");
    stream_leave_upstream(stream, false, true);
    if (stream->cluster_slot)
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    if (stream->head_sent_down) {
        stream->flags |= FLAG_BIT(UT);
        stream->details = STR("upstream_response_timeout");
        stream->cut = true;
        stream->step = STEP_finish;
    } else {
        stream_reply(stream, 504, FLAG_BIT(UT), STR("upstream_response_timeout"),
                     STR("upstream request timeout"));
    }
    stream_drive(stream);
}

void stream_on_idle(struct stream *stream)
{
    bool awaits_upstream = stream->up && stream->request_received && !stream->response_received;
    if (awaits_upstream && !stream->is_tcp && !stream->is_tunnel)
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    stream->up_close_reason = STR("idle_timeout");
    stream_leave_upstream(stream, false, awaits_upstream);
    if (stream->is_tunnel || stream->is_tcp)
        stream->termination = STR("idle_timeout");
    if (stream->step == STEP_drop) { // answered; the rest of the body does not come
        stream->keep_down = false;
        stream->step = STEP_finish;
    } else if (stream->is_tunnel || stream->is_tcp || stream->head_sent_down) {
        if (!stream->is_tunnel)
            stream->flags |= FLAG_BIT(SI);
        stream->details = stream->is_tunnel ? stream->details : STR("stream_idle_timeout");
        stream->cut = true;
        stream->step = STEP_finish;
    } else {
        stream->keep_down = false;
        stream_reply(stream, stream->request_received ? 504 : 408, FLAG_BIT(SI),
                     STR("stream_idle_timeout"), STR("stream timeout"));
    }
    stream_drive(stream);
}
