// SPDX-License-Identifier: Apache-2.0
// The steps `connect` and `send`: an endpoint, a connection to it, the request's head.
#include "proxy/dynamic.h"
#include "proxy/stream.h"
#include <stdlib.h>

static void note_endpoint(struct stream *stream, const struct endpoint *endpoint)
{
    stream->endpoint = endpoint;
    stream->upstream_host = endpoint->text;
    if (stream->n_tries < TRIES_MAX) {
        stream->tried[stream->n_tries] = endpoint->text;
        stream->tried_endpoints[stream->n_tries] = endpoint;
    }
    stream->n_tries++;
}

static void note_active(struct stream *stream, struct upstream *up)
{
    if (up->slot->identity != up->identity)
        return; // the slot is another endpoint's by now
    stream->endpoint_slot = up->slot;
    stream->endpoint_identity = up->identity;
    up->slot->active++;
    COUNT(up->slot->counters[ENDPOINT_COUNTER_REQUESTS], 1);
    COUNT(up->slot->counters[ENDPOINT_COUNTER_ACTIVE], 1);
}

static void note_inactive(struct stream *stream, bool is_error)
{
    struct endpoint_slot *slot = stream->endpoint_slot;
    if (!slot || slot->identity != stream->endpoint_identity)
        return;
    slot->active--;
    COUNT(slot->counters[ENDPOINT_COUNTER_ACTIVE], -1);
    if (is_error)
        COUNT(slot->counters[ENDPOINT_COUNTER_ERRORS], 1);
    stream->endpoint_slot = NULL;
}

static void note_upstream(struct stream *stream, struct upstream *up)
{
    stream->up = up;
    note_active(stream, up);
    stream->upstream_id = up->id;
    stream->upstream_ids[stream->n_upstream_ids++ % TRIES_MAX] = up->id;
    stream->upstream_remote = up->remote;
    stream->connect_begin_ns = up->connect_begin_ns;
    stream->connect_end_ns = up->connect_end_ns;
}

void stream_change_upstream(struct stream *stream, struct upstream *up,
                            const struct endpoint *endpoint)
{
    note_inactive(stream, false);
    note_endpoint(stream, endpoint);
    note_upstream(stream, up);
}

void stream_detach_upstream(struct stream *stream, bool is_error)
{
    note_inactive(stream, is_error);
    list_remove(&stream->up_node);
    stream->up->n_streams--;
    stream->up = NULL;
}

void stream_leave_upstream(struct stream *stream, bool reusable, bool is_error)
{
    struct upstream *up = stream->up;
    if (!up)
        return;
    note_inactive(stream, is_error);
    stream->up = NULL;
    if (up->is_shared) {
        if (!reusable)
            stream->up_close_type = STR("LocalReset");
        upstream_leave(up, stream);
        return;
    }
    if (!reusable && up->state != UP_CONNECTING) {
        stream->up_close_type = up->sock.failed        ? STR("RemoteReset")
                                : up->sock.peer_closed ? STR("Normal")
                                                       : STR("LocalReset");
        if (!up->sock.failed && !up->sock.peer_closed)
            stream->up_close_reason = stream->up_close_reason.len ? stream->up_close_reason
                                                                  : STR("request_not_completed");
    }
    if (stream->response_begun && up->rx) { // the head's slices are read until the line is logged
        pool_give(&stream->worker->large, stream->res_kept);
        stream->res_kept = up->rx;
        up->rx = NULL;
        up->rx_end = 0;
    }
    if (reusable)
        upstream_release(up);
    else
        upstream_close(up);
}

static enum step_result connect_failed(struct stream *stream, int error);

static void note_connected(struct stream *stream)
{
    stream->connect_end_ns = stream->up->connect_end_ns;
    stream->step = STEP_send;
}

static enum step_result go_on_connecting(struct stream *stream)
{
    struct upstream *up = stream->up;
    if (up->state == UP_CONNECTING) {
        int error = up->is_shared ? EAGAIN : upstream_finish_connect(up);
        if (error == EAGAIN)
            return STEP_WAIT;
        if (error) {
            stream->failure = stream_copy(stream, upstream_failure(up, error));
            return connect_failed(stream, error);
        }
    }
    note_connected(stream);
    return STEP_NEXT;
}

// Before a connection is opened: one that waits, also to an address that DNS gives no more.
static struct upstream *take_idle(struct stream *stream, const struct endpoint **endpoint)
{
    const struct cluster *cluster = stream->cluster;
    struct upstream *up = upstream_acquire_idle(stream, *endpoint);
    for (uint32_t i = 0; !up && i < cluster->n_retiring; i++) {
        const struct endpoint *retiring = &cluster->endpoints[cluster->n_endpoints + i];
        up = upstream_acquire_idle(stream, retiring);
        if (up)
            *endpoint = retiring;
    }
    return up;
}

enum step_result stream_step_connect(struct stream *stream)
{
    struct worker *worker = stream->worker;
    if (stream->connect_error) { // of a shared connection
        int error = stream->connect_error;
        stream->connect_error = 0;
        return connect_failed(stream, error);
    }
    if (stream->up) // an event while connecting
        return go_on_connecting(stream);
    if (!stream->cluster_slot) {
        stream->cluster_slot = worker_cluster_slot(worker, stream->hold->snapshot, stream->cluster);
        stream->cluster_identity = stream->cluster_slot->identity;
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_REQUESTS], 1);
        COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_ACTIVE], 1);
    }
    bool is_awaited;
    const struct endpoint *endpoint = stream_pick_endpoint(stream, &is_awaited);
    if (!endpoint)
        return is_awaited ? STEP_WAIT : STEP_NEXT;
    if (stream->cluster->discovery == CLUSTER_STATIC && stream->cluster->n_endpoints > 1)
        endpoint = upstream_prefer_family(stream, endpoint);
    struct upstream *up =
        stream->cluster->n_retiring && !stream->on_fresh ? take_idle(stream, &endpoint) : NULL;
    note_endpoint(stream, endpoint);
    int error = 0;
    if (!up)
        up = upstream_acquire(stream, endpoint, &error);
    if (!up) {
        stream->failure = str_of(strerrordesc_np(error));
        return connect_failed(stream, error);
    }
    note_upstream(stream, up);
    stream->try_was_reused =
        up->state != UP_CONNECTING && (up->n_requests > 0 || up->is_preconnected);
    if (up->state == UP_CONNECTING)
        return STEP_WAIT;
    stream->step = STEP_send;
    return STEP_NEXT;
}

// No connection, and no more tries.
void stream_fail_connect(struct stream *stream, uint64_t flags, struct str details, struct str text)
{
    COUNT(stream->cluster_slot->counters[CLUSTER_COUNTER_FAILURES], 1);
    if (!stream->is_tcp) {
        stream_reply(stream, 503, flags, details, text);
        return;
    }
    stream->flags |= flags;
    stream->details = details;
    stream->cut = true;
    stream->step = STEP_finish;
}

// Another endpoint may do: nothing was sent, so trying again is always safe.
static enum step_result connect_failed(struct stream *stream, int error)
{
    stream_leave_upstream(stream, false, true);
    if (stream->cluster->discovery != CLUSTER_STATIC)
        dynamic_note_failure(stream, stream->endpoint);
    if (stream->n_tries < stream->n_candidates) {
        WORKER_COUNT(stream->worker, RETRIES, 1);
        stream->retry_reason = STR("connect_failed");
        stream->step = STEP_connect;
        return STEP_NEXT;
    }
    uint64_t flags = FLAG_BIT(UF) | (stream->n_tries > 1 ? FLAG_BIT(URX) : 0);
    stream_fail_connect(
        stream, flags,
        stream->is_tcp ? STR_NONE
                       : STR("upstream_reset_before_response_started{connection_failure}"),
        STR("upstream connect error or disconnect/reset before headers. reset reason: "
            "connection failure"));
    return STEP_NEXT;
}

static void note_first_write(struct stream *stream)
{
    struct upstream *up = stream->up;
    up->n_requests++;
    stream->upstream_local = up->local;
    stream->has_upstream_address = true;
    stream->up_tx_begin_ns = stream->worker->loop.now_ns;
    stream->pool_wait_ns = stream->up_tx_begin_ns - stream->begin_ns;
}

enum step_result stream_step_send(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct upstream *up = stream->up;
    if (!up) // shared, and lost while its SETTINGS were awaited
        return stream_upstream_failed(stream);
    stream->up_lost = stream->up_refused = false;
    stream->up_reset_code = 0;
    stream->failure = STR_NONE; // of a try before this one
    if (stream->is_tcp) {
        stream->upstream_local = up->local;
        stream->has_upstream_address = true;
        stream->is_tunnel = true;
        stream->keep_up = stream->keep_down = false;
        WORKER_COUNT(worker, TUNNELS_ACTIVE, 1);
        stream->step = STEP_tunnel;
        return STEP_NEXT;
    }
    note_first_write(stream);
    stream_prepare_request(stream);
    if (up->state == UP_SHARED)
        return stream_send_mixed(stream);
    if (stream->decode_request || stream->grpc_web)
        return stream_protocol_changed(stream);
    stream->up_h2 = stream->has_response_queue = false;
    if (stream->down_h2 && stream->req.body == BODY_CHUNKED && !stream->h2.req_queue.makes_chunks)
        queue_make_chunks(&stream->h2.req_queue, worker, head_text_str(&stream->h2.req_trailers));
    size_t len = stream_build_request_head(stream, worker->scratch, SCRATCH_BYTES);
    if (len == 0) {
        stream_leave_upstream(stream, true, false);
        stream_reply(stream, 431, 0, STR("request_headers_too_large"),
                     STR("request headers too large once the route's were added"));
        return STEP_NEXT;
    }
    struct str head = {worker->scratch, len};
    struct str body = STR_NONE;
    if (stream->body)
        body = (struct str){stream->body + stream->body_off, stream->body_end - stream->body_off};
    if (body.len > 0 && body.len <= COPY_BODY_MAX && len + body.len <= SCRATCH_BYTES) {
        memcpy(worker->scratch + len, body.ptr, body.len);
        head.len += body.len;
        body.len = 0;
    }
    ssize_t n =
        body.len ? sock_send2(&up->sock, head, body) : sock_send(&up->sock, head.ptr, head.len);
    if (n < 0 && n != -EAGAIN)
        return stream_upstream_failed(stream);
    size_t sent = n > 0 ? (size_t)n : 0;
    stream->anything_sent = sent > 0;
    stream->up_wire_sent += sent;
    stream->up_head_sent = len;
    if (sent < len) {
        up->tx = malloc(len - sent);
        CHECK(up->tx != NULL);
        memcpy(up->tx, worker->scratch + sent, len - sent);
        up->tx_off = 0;
        up->tx_end = (uint32_t)(len - sent);
    } else if (stream->body) {
        stream->body_off += (uint32_t)(sent - len);
    }
    stream->step = STEP_head;
    return STEP_NEXT;
}
