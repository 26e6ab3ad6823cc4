// SPDX-License-Identifier: Apache-2.0
// IPv4 and IPv6 raced (RFC 8305): when a connect has taken RACE_AFTER_MS, or failed for want of a
// way, and the cluster has endpoints of the other family, one of them is tried at the same time.
// The first that is connected takes over who waits; the other one is closed.
#include "proxy/shared_pool.h"
#include "proxy/upstream.h"
#include <sys/socket.h>

static struct stream *first_waiting(const struct upstream *up)
{
    if (up->stream || list_empty(&up->streams))
        return up->stream;
    return LIST_ENTRY(up->streams.next, struct stream, up_node);
}

const struct endpoint *upstream_other_family(const struct stream *stream, uint8_t family,
                                             uint64_t random)
{
    const struct cluster *cluster = stream->cluster;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        const struct endpoint *endpoint = &cluster->endpoints[(random + i) % cluster->n_endpoints];
        bool is_tried = false;
        for (unsigned j = 0; j < stream->n_tries && j < TRIES_MAX; j++)
            is_tried |= stream->tried_endpoints[j] == endpoint;
        if (endpoint->address.family != family && !is_tried)
            return endpoint;
    }
    return NULL;
}

// What won a race lately goes first; what failed is followed by the other family.
const struct endpoint *upstream_prefer_family(struct stream *stream,
                                              const struct endpoint *endpoint)
{
    const struct cluster_slot *slot = stream->cluster_slot;
    uint8_t family = endpoint->address.family, unwanted = 0;
    if (slot->family && stream->worker->loop.now_ms < slot->family_until_ms)
        unwanted = slot->family == AF_INET ? AF_INET6 : AF_INET;
    if (stream->n_tries > 0 && stream->n_tries <= TRIES_MAX && stream->endpoint)
        unwanted = stream->endpoint->address.family;
    if (family != unwanted || stream->on_fresh)
        return endpoint;
    const struct endpoint *other =
        upstream_other_family(stream, family, worker_random(stream->worker));
    return other ? other : endpoint;
}

static bool may_race(const struct upstream *up)
{
    const struct stream *stream = first_waiting(up);
    return stream && stream->cluster->discovery == CLUSTER_STATIC &&
           stream->cluster->n_endpoints > 1 && !stream->cluster->proxy_protocol &&
           upstream_other_family(stream, up->remote.family, 0) != NULL;
}

void upstream_await_connect(struct upstream *up)
{
    struct worker *worker = up->worker;
    int64_t race_ms = worker->loop.now_ms + RACE_AFTER_MS;
    if (race_ms < up->connect_end_ms && may_race(up))
        timer_arm(&worker->loop.wheel, &up->timer, race_ms);
}

void upstream_begin_race(struct upstream *up)
{
    struct worker *worker = up->worker;
    timer_arm(&worker->loop.wheel, &up->timer, up->connect_end_ms);
    if (up->connect_end_ns || up->rival || !may_race(up))
        return;
    struct stream *stream = first_waiting(up);
    const struct endpoint *endpoint =
        upstream_other_family(stream, up->remote.family, worker_random(worker));
    struct connecting what = {.cluster = stream->cluster,
                              .address = &endpoint->address,
                              .protocol = up->protocol,
                              .host = stream->tls_host};
    what.slot = upstream_find_slot(stream, endpoint, &what.identity);
    int error;
    up->rival = upstream_open(worker, &what, &error);
    if (!up->rival)
        return;
    up->rival->rival = up;
    upstream_list_connecting(up->rival);
}

void upstream_leave_race(struct upstream *up)
{
    struct upstream *rival = up->rival;
    if (!rival)
        return;
    up->rival = rival->rival = NULL;
    if (!first_waiting(rival))
        rival->is_preconnected = true; // of use for a request to come
}

// The endpoint as the stream's snapshot has it.
static const struct endpoint *endpoint_of(const struct stream *stream, const struct upstream *up)
{
    const struct cluster *cluster = stream->cluster;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++)
        if (cluster->endpoints[i].slot == up->slot_number)
            return &cluster->endpoints[i];
    return NULL;
}

// false: it is of another cluster, which has not the other's endpoint.
static bool move_one(struct stream *stream, struct upstream *to)
{
    const struct endpoint *endpoint = endpoint_of(stream, to);
    if (!endpoint)
        return false;
    stream_change_upstream(stream, to, endpoint);
    if (stream->cluster_slot->identity == stream->cluster_identity) {
        stream->cluster_slot->family = to->remote.family;
        stream->cluster_slot->family_until_ms = to->worker->loop.now_ms + RACE_REMEMBERED_MS;
    }
    return true;
}

static void move_all(struct upstream *from, struct upstream *to)
{
    if (from->stream && move_one(from->stream, to)) {
        list_remove(&to->node); // somebody waits for it now
        to->stream = from->stream;
        from->stream = NULL;
    }
    for (struct list *node = from->streams.next, *next; node != &from->streams; node = next) {
        struct stream *stream = LIST_ENTRY(node, struct stream, up_node);
        next = node->next;
        if (!move_one(stream, to))
            continue;
        list_remove(&stream->up_node);
        from->n_streams--;
        upstream_attach(to, stream);
    }
}

// EAGAIN: not decided yet.
static int connected(const struct upstream *up)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (up->sock.failed || up->sock.writable) {
        if (getsockopt(up->sock.watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            return errno;
        return error || !up->sock.failed ? error : ECONNRESET;
    }
    return up->has_timed_out ? ETIMEDOUT : EAGAIN;
}

bool upstream_decide_race(struct upstream *up)
{
    struct upstream *rival = up->rival;
    int error = connected(up);
    if (error == EAGAIN)
        return false;
    struct upstream *winner = error ? rival : up, *loser = error ? up : rival;
    upstream_leave_race(up);
    move_all(loser, winner);
    if (first_waiting(loser)) // of other clusters: goes on, or fails, for them alone
        return true;
    if (error)
        upstream_note_connect_failure(up->worker, up->slot);
    upstream_close(loser);
    return !error;
}
