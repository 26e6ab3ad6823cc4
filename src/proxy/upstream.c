// SPDX-License-Identifier: Apache-2.0
// Connections to endpoints and their pools. A worker has one for each endpoint slot, newest first,
// so that the surplus ages and is closed. HTTP/2 connections are shared by streams: they stand in a
// list of their own while they live, and a request takes the first that has room. What a worker
// needs rarely it parks in the pool of all (shared_pool.h), and looks there before it opens
// another.
#include "proxy/upstream.h"
#include "http/uri.h"
#include "proxy/dynamic.h"
#include "proxy/shared_pool.h"
#include <stdlib.h>

void upstream_close(struct upstream *up)
{
    if (!up)
        return;
    struct worker *worker = up->worker;
    upstream_leave_race(up);
    if (up->state == UP_IDLE || up->is_shared)
        upstream_unlist(up);
    list_remove(&up->node); // of those that are connecting
    upstream_keep_session(up);
    shared_pool_note_close(worker->pool, up);
    h2_session_destroy(up->h2);
    if (!upstream_is_stale(up))
        COUNT(up->slot->counters[ENDPOINT_COUNTER_CONNECTIONS_ACTIVE], -1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_ACTIVE, -1);
    timer_disarm(&worker->loop.wheel, &up->timer);
    loop_forget(&worker->loop, &up->sock.watch);
    sock_close(&up->sock);
    pool_give(&worker->large, up->rx);
    free(up->tx);
    free(up->host);
    tls_context_unref(up->tls);
    pool_give(&worker->upstreams, up);
}

// ---- shared connections ----

static void wake_all(struct upstream *up)
{
    for (struct list *node = up->streams.next; node != &up->streams; node = node->next)
        stream_wake(LIST_ENTRY(node, struct stream, up_node));
}

// The outcome is the same for all who wait.
static void finish_shared_connect(struct upstream *up)
{
    int error = upstream_finish_connect(up);
    if (error == EAGAIN)
        return;
    if (error == 0) {
        wake_all(up);
        if (up->n_streams == 0 && up->sock.readable)
            h2_upstream_on_event(up); // nobody else reads what came along
        return;
    }
    struct str why = upstream_failure(up, error);
    while (!list_empty(&up->streams)) {
        struct stream *stream = LIST_ENTRY(up->streams.next, struct stream, up_node);
        stream->connect_error = error;
        stream->failure = stream_copy(stream, why);
        stream_detach_upstream(stream, true);
        stream_wake(stream);
    }
    upstream_close(up);
}

void upstream_note_settings(struct upstream *up)
{
    if (!upstream_is_stale(up))
        up->slot->streams_max = h2_streams_max(up->h2->h2);
}

void upstream_lost(struct upstream *up)
{
    up->is_retired = true;
    while (!list_empty(&up->streams)) {
        struct stream *stream = LIST_ENTRY(up->streams.next, struct stream, up_node);
        stream->up_id = 0;
        stream->up_lost = !stream->response_received;
        stream_detach_upstream(stream, stream->up_lost);
        stream_wake(stream);
    }
    upstream_close(up);
}

void upstream_leave(struct upstream *up, struct stream *stream)
{
    list_remove(&stream->up_node);
    up->n_streams--;
    if (stream->up_id) {
        h2_reset(up->h2->h2, stream->up_id, H2_CANCEL);
        h2_forget(up->h2->h2, stream->up_id);
        h2_session_mark(up->h2);
        stream->up_id = 0;
    }
    if (up->n_streams > 0)
        return;
    if (upstream_is_stale(up) || up->worker->is_draining || !upstream_is_served(up) ||
        up->worker->loop.now_ms >= up->age_end_ms)
        up->is_retired = true;
    if (up->state == UP_SHARED)
        upstream_begin_idle(up);
}

bool upstream_has_room(const struct upstream *up, uint8_t protocol)
{
    if (up->is_retired || upstream_is_stale(up) || up->protocol != protocol || up->sock.failed ||
        up->sock.peer_closed)
        return false;
    if ((up->requests_max && up->n_requests >= up->requests_max) ||
        up->worker->loop.now_ms >= up->age_end_ms)
        return false;
    // How many the endpoint takes is known with its SETTINGS; until then it is likely to take as
    // many as it did on the connection before.
    bool is_known = up->state == UP_SHARED && h2_has_settings(up->h2->h2);
    uint32_t first_max = up->slot->streams_max ? up->slot->streams_max : H2_FIRST_STREAMS_MAX;
    uint32_t max = is_known || up->streams_max < first_max ? up->streams_max : first_max;
    if (up->n_streams >= max)
        return false;
    return up->state == UP_CONNECTING || h2_can_request(up->h2->h2);
}

void upstream_attach(struct upstream *up, struct stream *stream)
{
    list_push_back(&up->streams, &stream->up_node);
    up->n_streams++;
}

static struct upstream *take_shared(struct endpoint_slot *slot, uint8_t protocol,
                                    struct stream *stream)
{
    for (struct list *node = slot->shared.next; node != &slot->shared; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (!upstream_has_room(up, protocol) || !upstream_is_for_host(up, stream) ||
            (stream->on_fresh && up->state != UP_CONNECTING))
            continue;
        if (up->state == UP_SHARED)
            upstream_note_reuse(up);
        upstream_attach(up, stream);
        return up;
    }
    return NULL;
}

void upstream_share(struct upstream *up)
{
    up->is_shared = true;
    if (up->host)
        upstream_limit_hosts(&up->slot->shared);
    upstream_list_shared(up);
}

// ---- events ----

// Nobody waits for it. What came with the handshake is told by no further event: a ticket, the end.
static void finish_preconnect(struct upstream *up)
{
    int error = upstream_is_wanted(up) ? upstream_finish_connect(up) : ECANCELED;
    if (error == EAGAIN)
        return;
    if (!error && up->state == UP_SHARED) { // as ALPN would have it
        h2_upstream_on_event(up);
        return;
    }
    list_remove(&up->node);
    if (error)
        upstream_close(up);
    else if (upstream_is_troubled(up))
        upstream_end_idle(up);
    else
        upstream_begin_idle(up);
}

static void go_on_connecting(struct upstream *up)
{
    if (up->rival && !upstream_decide_race(up))
        return;
    if (up->is_shared)
        finish_shared_connect(up);
    else if (up->stream)
        stream_on_upstream(up->stream);
    else
        finish_preconnect(up);
}

void upstream_on_event(struct watch *watch, uint32_t events)
{
    struct upstream *up = LIST_ENTRY(watch, struct upstream, sock.watch);
    sock_note_events(&up->sock, events);
    switch (up->state) {
    case UP_IDLE:
        upstream_on_idle_event(up);
        return;
    case UP_SHARED:
        h2_upstream_on_event(up);
        return;
    case UP_CONNECTING:
        go_on_connecting(up);
        return;
    case UP_BUSY:
        break;
    }
    stream_on_upstream(up->stream);
}

void upstream_on_timer(struct timer *timer)
{
    struct upstream *up = LIST_ENTRY(timer, struct upstream, timer);
    switch (up->state) {
    case UP_IDLE:
    case UP_SHARED:
        if (up->n_streams == 0)
            upstream_on_idle_timer(up);
        return;
    case UP_CONNECTING:
        if (up->worker->loop.now_ms < up->connect_end_ms) {
            upstream_begin_race(up);
            return;
        }
        up->has_timed_out = true;
        go_on_connecting(up);
        return;
    case UP_BUSY:
        return;
    }
}

// The slot, as the snapshot of the stream has it or a newer one: identities of a slot only grow.
// What a stream of the past opens there is stale from its beginning, and nobody else's.
static inline struct endpoint_slot *
find_slot(struct stream *stream, const struct endpoint *endpoint, uint64_t *ret_identity)
{
    struct worker *worker = stream->worker;
    struct endpoint_slot *slot = worker_endpoint_slot(worker, endpoint->slot);
    uint64_t identity = endpoint_slot_identity(worker, stream->hold->snapshot, endpoint->slot);
    *ret_identity = identity;
    if (slot->identity >= identity)
        return slot;
    upstream_close_idle_of(slot); // of a dynamic slot that was another's: the keeper may have some
    upstream_claim_slot(worker, slot, identity);
    return slot;
}

struct endpoint_slot *upstream_find_slot(struct stream *stream, const struct endpoint *endpoint,
                                         uint64_t *ret_identity)
{
    return find_slot(stream, endpoint, ret_identity);
}

// Which protocol a request of this stream asks for. ALPN may answer otherwise.
static uint8_t wanted_protocol(const struct stream *stream)
{
    const struct cluster *cluster = stream->cluster;
    if (stream->is_tcp || cluster->protocol == CLUSTER_HTTP1)
        return CLUSTER_HTTP1;
    if (cluster->protocol == CLUSTER_AS_CLIENT && !stream->down_h2)
        return CLUSTER_HTTP1;
    if (cluster->protocol == CLUSTER_AS_CLIENT && !cluster->tls)
        return CLUSTER_HTTP2;
    if (cluster->protocol == CLUSTER_ALPN && !cluster->tls)
        return CLUSTER_HTTP1;
    return cluster->protocol == CLUSTER_HTTP2 ? CLUSTER_HTTP2 : CLUSTER_ALPN;
}

static inline struct upstream *take_idle(struct endpoint_slot *slot, struct stream *stream,
                                         uint8_t protocol)
{
    for (struct list *node = slot->idle.next; node != &slot->idle; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        // With useClientProtocol some were opened for clients of HTTP/1.1 and never asked for h2.
        if (up->protocol != protocol || !upstream_is_for_host(up, stream))
            continue;
        upstream_unlist(up);
        up->state = UP_BUSY;
        up->stream = stream;
        upstream_note_reuse(up);
        return up;
    }
    return NULL;
}

// Of every request: so it is no call.
__attribute__((always_inline)) static inline struct upstream *
take_pooled(struct stream *stream, struct endpoint_slot *slot, uint64_t identity, uint8_t protocol)
{
    struct upstream *up = NULL;
    // A PROXY header names one client: its connection is not for another's request.
    if (stream->cluster->proxy_protocol || slot->identity != identity)
        return NULL;
    // All that a lost connection carried may come again at once: one new connection is for all.
    if (protocol != CLUSTER_HTTP1)
        up = take_shared(slot, protocol, stream);
    if (up || stream->on_fresh)
        return up;
    if (protocol != CLUSTER_HTTP2)
        up = take_idle(slot, stream, protocol);
    return up ? up : upstream_take_parked(stream, slot, identity, protocol);
}

struct str stream_forwarded_host(struct stream *stream)
{
    struct str host;
    uint16_t port;
    if (stream->authority.ptr == stream->req.authority.ptr || stream->authority.len == 0)
        return stream->host;
    char *room = stream_alloc(stream, stream->authority.len);
    return uri_split_authority(stream->authority, room, &host, &port) ? host : stream->host;
}

// What the endpoint's certificate is for, unless the cluster says more.
static struct str tls_host_of(struct stream *stream)
{
    return stream->is_tcp ? str_of(stream->down->sni) : stream_forwarded_host(stream);
}

static struct upstream *open_for(struct stream *stream, struct endpoint_slot *slot,
                                 uint64_t identity, const struct endpoint *endpoint,
                                 uint8_t protocol, int *reterr_errno)
{
    const struct connecting what = {.slot = slot,
                                    .identity = identity,
                                    .cluster = stream->cluster,
                                    .address = &endpoint->address,
                                    .protocol = protocol,
                                    .host = stream->tls_host};
    struct upstream *up = upstream_open(stream->worker, &what, reterr_errno);
    if (!up)
        return NULL;
    if (stream->cluster->proxy_protocol)
        upstream_add_proxy_header(up, stream);
    if (up->is_shared)
        upstream_attach(up, stream);
    else
        up->stream = stream;
    upstream_await_connect(up);
    return up;
}

// Once in a while is enough: what counts is when the last request was, and how many at once.
static void note_demand(struct stream *stream, struct endpoint_slot *slot, uint64_t identity,
                        uint8_t protocol)
{
    struct worker *worker = stream->worker;
    if (worker->loop.now_ms - slot->demand_ms < DEMAND_MS || stream->is_tcp ||
        stream->cluster->proxy_protocol)
        return;
    slot->demand_ms = worker->loop.now_ms;
    const struct demand demand = {.number = slot->number,
                                  .identity = identity,
                                  .cluster = stream->cluster->name,
                                  .host = stream->tls_host,
                                  .protocol = protocol};
    warm_note_demand(worker->pool, &demand, worker->loop.now_ms);
    if (shared_pool_wants_keeper(worker->pool))
        proxy_wake_keeper(worker->proxy);
}

static void set_tls_host(struct stream *stream)
{
    const struct cluster *cluster = stream->cluster;
    if (cluster->tls && tls_context_goes_by_host(cluster->tls) && stream->tls_host.len == 0)
        stream->tls_host = tls_host_of(stream);
}

struct upstream *upstream_acquire_idle(struct stream *stream, const struct endpoint *endpoint)
{
    uint64_t identity;
    struct endpoint_slot *slot = find_slot(stream, endpoint, &identity);
    set_tls_host(stream);
    return take_pooled(stream, slot, identity, wanted_protocol(stream));
}

struct upstream *upstream_acquire(struct stream *stream, const struct endpoint *endpoint,
                                  int *reterr_errno)
{
    uint64_t identity;
    struct endpoint_slot *slot = find_slot(stream, endpoint, &identity);
    uint8_t protocol = wanted_protocol(stream);
    set_tls_host(stream);
    upstream_note_use(stream->worker, slot);
    if (stream->cluster->is_external)
        note_demand(stream, slot, identity, protocol);
    struct upstream *up = take_pooled(stream, slot, identity, protocol);
    if (up)
        return up;
    return open_for(stream, slot, identity, endpoint, protocol, reterr_errno);
}
