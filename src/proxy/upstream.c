// SPDX-License-Identifier: Apache-2.0
// Connections to endpoints and their pools: one pool an endpoint slot and worker, newest first, so
// that the surplus ages and is closed. HTTP/2 connections are shared: they stand in a list of their
// own while they live, and a request takes the first that has room.
#include "proxy/upstream.h"
#include "http/uri.h"
#include "proxy/dynamic.h"
#include <stdlib.h>

// The slot has connections that a change of configuration may have to close.
static void note_use(struct worker *worker, struct endpoint_slot *slot)
{
    bool is_used = slot->n_idle > 0 || !list_empty(&slot->shared);
    if (is_used && list_empty(&slot->in_use))
        list_push_back(&worker->slots_with_idle, &slot->in_use);
    else if (!is_used)
        list_remove(&slot->in_use);
}

static void slot_note_idle(struct upstream *up, int by)
{
    struct endpoint_slot *slot = up->slot;
    slot->n_idle += (uint32_t)by;
    WORKER_COUNT(up->worker, UPSTREAM_CONNECTIONS_IDLE, by);
    note_use(up->worker, slot);
}

static bool is_stale(const struct upstream *up)
{
    return up->slot->identity != up->identity;
}

// Does the snapshot that is served now still name the endpoint? A stream that began under an older
// one may be the last to use it.
static bool is_served(const struct upstream *up)
{
    return endpoint_slot_is_served(proxy_dynamic_slots(up->worker->proxy),
                                   up->worker->hold->snapshot, up->slot->number, up->identity);
}

// For the next handshake with the endpoint to be a short one.
static void keep_session(struct upstream *up)
{
    struct tls_conn *conn = sock_tls_conn(&up->sock);
    if (!conn || is_stale(up))
        return;
    struct tls_session *session = tls_take_session(conn);
    if (!session)
        return;
    tls_session_free(up->slot->tls_session);
    up->slot->tls_session = session;
    free(up->slot->tls_session_host);
    up->slot->tls_session_host = up->host;
    up->host = NULL;
}

void upstream_close(struct upstream *up)
{
    if (!up)
        return;
    struct worker *worker = up->worker;
    if (up->state == UP_IDLE) {
        list_remove(&up->node);
        slot_note_idle(up, -1);
    }
    if (up->is_shared) {
        list_remove(&up->node);
        note_use(worker, up->slot);
    }
    keep_session(up);
    h2_session_destroy(up->h2);
    if (!is_stale(up))
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

// The last read may have stopped right at the response's end without learning that nothing follows.
static bool is_quiet(struct upstream *up)
{
    char byte;
    if (!up->sock.readable)
        return true;
    return sock_recv(&up->sock, &byte, 1) == -EAGAIN;
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
    if (!is_stale(up))
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
    if (is_stale(up) || up->worker->is_draining || !is_served(up))
        up->is_retired = true;
    if (up->state == UP_SHARED)
        timer_arm(&up->worker->loop.wheel, &up->timer,
                  up->worker->loop.now_ms + (up->is_retired ? 1 : up->idle_timeout_ms));
}

// Where the certificate is looked at for the request's own host, a connection is for that host.
static bool is_for_host(const struct upstream *up, const struct stream *stream)
{
    return !up->host || str_is(stream->tls_host, up->host);
}

// Clients choose the hosts: of the connections in `list`, newest first, that wait, the oldest go.
static void limit_hosts(struct list *list)
{
    unsigned n = 0;
    for (struct list *node = list->next, *next; node != list; node = next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        bool waits = up->state == UP_IDLE || (up->state == UP_SHARED && up->n_streams == 0);
        next = node->next;
        if (waits && up->host && ++n > UPSTREAM_HOSTS_MAX)
            upstream_close(up);
    }
}

static bool has_room(const struct upstream *up, uint8_t protocol)
{
    if (up->is_retired || up->protocol != protocol || up->sock.failed || up->sock.peer_closed)
        return false;
    if (up->requests_max && up->n_requests >= up->requests_max)
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
        if (!has_room(up, protocol) || !is_for_host(up, stream) ||
            (stream->on_fresh && up->state != UP_CONNECTING))
            continue;
        if (up->state == UP_SHARED) {
            timer_arm(&up->worker->loop.wheel, &up->timer, INT64_MAX / 2);
            WORKER_COUNT(up->worker, UPSTREAM_REUSES, 1);
        }
        upstream_attach(up, stream);
        return up;
    }
    return NULL;
}

void upstream_share(struct upstream *up)
{
    up->is_shared = true;
    if (up->host)
        limit_hosts(&up->slot->shared);
    list_push_front(&up->slot->shared, &up->node);
    note_use(up->worker, up->slot);
}

// ---- events ----

void upstream_on_event(struct watch *watch, uint32_t events)
{
    struct upstream *up = LIST_ENTRY(watch, struct upstream, sock.watch);
    sock_note_events(&up->sock, events);
    switch (up->state) {
    case UP_IDLE:
        // Closed by the endpoint, or bytes that nobody asked for: either way it is of no more use.
        // But the news may be old: of the response's last bytes, read before this event had its
        // turn.
        if (up->sock.failed || !is_quiet(up))
            upstream_close(up);
        return;
    case UP_SHARED:
        h2_upstream_on_event(up);
        return;
    case UP_CONNECTING:
        if (up->is_shared) {
            finish_shared_connect(up);
            return;
        }
        break;
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
        upstream_close(up);
        return;
    case UP_SHARED: // without a stream
        if (up->n_streams == 0)
            upstream_close(up);
        return;
    case UP_CONNECTING:
        up->has_timed_out = true;
        if (up->is_shared)
            finish_shared_connect(up);
        else
            stream_on_upstream(up->stream);
        return;
    case UP_BUSY:
        return;
    }
}

static struct upstream *take_idle(struct worker *worker, struct endpoint_slot *slot,
                                  const struct stream *stream)
{
    for (struct list *node = slot->idle.next; node != &slot->idle; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (!is_for_host(up, stream))
            continue;
        list_remove(&up->node);
        slot_note_idle(up, -1);
        up->state = UP_BUSY;
        // The deadline is only pushed out; the next release sets it anew without relinking.
        timer_arm(&worker->loop.wheel, &up->timer, INT64_MAX / 2);
        WORKER_COUNT(worker, UPSTREAM_REUSES, 1);
        return up;
    }
    return NULL;
}

// The slot as the snapshot of the stream has it.
static struct endpoint_slot *find_slot(struct stream *stream, const struct endpoint *endpoint,
                                       uint64_t *ret_identity)
{
    struct worker *worker = stream->worker;
    struct endpoint_slot *slot = worker_endpoint_slot(worker, endpoint->slot);
    uint64_t identity = endpoint_slot_identity(worker, stream->hold->snapshot, endpoint->slot);
    *ret_identity = identity;
    if (slot->identity == identity)
        return slot;
    CHECK(list_empty(&slot->idle)); // upstream_close_stale() closed them
    for (unsigned i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
        __atomic_store_n(&slot->counters[i], 0, __ATOMIC_RELAXED);
    slot->active = slot->streams_max = 0;
    tls_session_free(slot->tls_session);
    free(slot->tls_session_host);
    slot->tls_session = NULL;
    slot->tls_session_host = NULL;
    __atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
    return slot;
}

// Which protocol a request of this stream asks for. ALPN may answer otherwise.
static uint8_t wanted_protocol(const struct stream *stream)
{
    const struct cluster *cluster = stream->cluster;
    if (stream->is_tcp || cluster->protocol == CLUSTER_HTTP1)
        return CLUSTER_HTTP1;
    if (cluster->protocol == CLUSTER_AS_CLIENT && !cluster->tls)
        return stream->down_h2 ? CLUSTER_HTTP2 : CLUSTER_HTTP1;
    if (cluster->protocol == CLUSTER_ALPN && !cluster->tls)
        return CLUSTER_HTTP1;
    return cluster->protocol == CLUSTER_HTTP2 ? CLUSTER_HTTP2 : CLUSTER_ALPN;
}

static struct upstream *take_pooled(struct stream *stream, struct endpoint_slot *slot,
                                    uint8_t protocol)
{
    struct upstream *up = NULL;
    // A PROXY header names one client: its connection is not for another's request.
    if (stream->cluster->proxy_protocol)
        return NULL;
    // All that a lost connection carried may come again at once: one new connection is for all.
    if (protocol != CLUSTER_HTTP1)
        up = take_shared(slot, protocol, stream);
    if (up || protocol == CLUSTER_HTTP2 || stream->on_fresh)
        return up;
    up = take_idle(stream->worker, slot, stream);
    if (up)
        up->stream = stream;
    return up;
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

struct upstream *upstream_acquire(struct stream *stream, const struct endpoint *endpoint,
                                  int *reterr_errno)
{
    const struct cluster *cluster = stream->cluster;
    uint64_t identity;
    struct endpoint_slot *slot = find_slot(stream, endpoint, &identity);
    uint8_t protocol = wanted_protocol(stream);
    if (cluster->tls && tls_context_goes_by_host(cluster->tls) && stream->tls_host.len == 0)
        stream->tls_host = tls_host_of(stream);
    struct upstream *up = take_pooled(stream, slot, protocol);
    if (up)
        return up;
    return upstream_open(stream, slot, identity, endpoint, protocol, reterr_errno);
}

void upstream_release(struct upstream *up)
{
    struct worker *worker = up->worker;
    bool is_gone = !up->stream->hold->is_current && !is_served(up);
    up->stream = NULL;
    bool used_up = up->requests_max && up->n_requests >= up->requests_max;
    if (up->state != UP_BUSY || is_stale(up) || is_gone || used_up || up->tx || up->sock.failed ||
        up->sock.peer_closed || worker->is_draining || !is_quiet(up)) {
        upstream_close(up);
        return;
    }
    pool_give(&worker->large, up->rx);
    up->rx = NULL;
    up->rx_end = 0;
    up->state = UP_IDLE;
    sock_rest(&up->sock);
    list_push_front(&up->slot->idle, &up->node);
    slot_note_idle(up, 1);
    if (up->host)
        limit_hosts(&up->slot->idle);
    timer_arm(&worker->loop.wheel, &up->timer, worker->loop.now_ms + up->idle_timeout_ms);
}

// Shared connections end with the streams that they carry.
void upstream_close_idle_of(struct endpoint_slot *slot)
{
    while (!list_empty(&slot->idle))
        upstream_close(LIST_ENTRY(slot->idle.next, struct upstream, node));
    for (struct list *node = slot->shared.next, *next; node != &slot->shared; node = next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        next = node->next;
        up->is_retired = true;
        if (up->n_streams == 0)
            upstream_close(up);
    }
}

void upstream_close_stale(struct worker *worker, const struct snapshot *snapshot)
{
    for (struct list *node = worker->slots_with_idle.next, *next; node != &worker->slots_with_idle;
         node = next) {
        next = node->next;
        struct endpoint_slot *slot = LIST_ENTRY(node, struct endpoint_slot, in_use);
        if (!endpoint_slot_is_served(proxy_dynamic_slots(worker->proxy), snapshot, slot->number,
                                     slot->identity))
            upstream_close_idle_of(slot);
    }
}

void upstream_close_idle(struct worker *worker)
{
    for (struct list *node = worker->slots_with_idle.next, *next; node != &worker->slots_with_idle;
         node = next) {
        next = node->next;
        upstream_close_idle_of(LIST_ENTRY(node, struct endpoint_slot, in_use));
    }
}
