// SPDX-License-Identifier: Apache-2.0
// Connections to endpoints and their pools: one pool an endpoint slot and worker, newest first, so
// that the surplus ages and is closed.
#include "proxy/stream.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

static void slot_note_idle(struct upstream *up, int by)
{
    struct endpoint_slot *slot = up->slot;
    slot->n_idle += (uint32_t)by;
    WORKER_COUNT(up->worker, UPSTREAM_CONNECTIONS_IDLE, by);
    if (by > 0 && slot->n_idle == 1)
        list_push_back(&up->worker->slots_with_idle, &slot->in_use);
    else if (by < 0 && slot->n_idle == 0)
        list_remove(&slot->in_use);
}

static bool is_stale(const struct upstream *up)
{
    return up->slot->identity != up->identity;
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
    if (!is_stale(up))
        COUNT(up->slot->counters[ENDPOINT_COUNTER_CONNECTIONS_ACTIVE], -1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_ACTIVE, -1);
    timer_disarm(&worker->loop.wheel, &up->timer);
    loop_forget(&worker->loop, &up->sock.watch);
    sock_close(&up->sock);
    pool_give(&worker->large, up->rx);
    free(up->tx);
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

static void on_event(struct watch *watch, uint32_t events)
{
    struct upstream *up = LIST_ENTRY(watch, struct upstream, sock.watch);
    sock_note_events(&up->sock, events);
    if (up->state == UP_IDLE) {
        // Closed by the endpoint, or bytes that nobody asked for: either way it is of no more use.
        // But the news may be old: of the response's last bytes, read before this event had its
        // turn.
        if (up->sock.failed || !is_quiet(up))
            upstream_close(up);
        return;
    }
    stream_on_upstream(up->stream);
}

static void on_timer(struct timer *timer)
{
    struct upstream *up = LIST_ENTRY(timer, struct upstream, timer);
    if (up->state == UP_IDLE) {
        upstream_close(up);
        return;
    }
    if (up->state == UP_CONNECTING) {
        up->sock.failed = true;
        stream_on_upstream(up->stream);
    }
}

static struct upstream *take_idle(struct worker *worker, struct endpoint_slot *slot)
{
    while (!list_empty(&slot->idle)) {
        struct upstream *up = LIST_ENTRY(slot->idle.next, struct upstream, node);
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

// A non-blocking connect(2) on its way, registered with the loop. -1: *reterr_errno.
static int open_socket(const struct address *address, int *reterr_errno)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(address, &sockaddr);
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *reterr_errno = errno;
        return -1;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&sockaddr, len) < 0 && errno != EINPROGRESS) {
        *reterr_errno = errno;
        close(fd);
        return -1;
    }
    return fd;
}

static void note_connect(struct worker *worker, struct endpoint_slot *slot)
{
    COUNT(slot->counters[ENDPOINT_COUNTER_CONNECTIONS], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTS, 1);
}

void upstream_note_connect_failure(struct worker *worker, struct endpoint_slot *slot)
{
    COUNT(slot->counters[ENDPOINT_COUNTER_CONNECT_FAILURES], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECT_FAILURES, 1);
}

struct upstream *upstream_acquire(struct worker *worker, const struct snapshot *snapshot,
                                  const struct cluster *cluster, const struct endpoint *endpoint,
                                  bool fresh, int *reterr_errno)
{
    struct endpoint_slot *slot = worker_endpoint_slot(worker, endpoint);
    uint64_t identity = snapshot->endpoint_identity[endpoint->slot];
    if (slot->identity != identity) {
        CHECK(list_empty(&slot->idle)); // upstream_close_stale() closed them
        for (unsigned i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
            __atomic_store_n(&slot->counters[i], 0, __ATOMIC_RELAXED);
        slot->active = 0;
        __atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
    }
    // A PROXY header names one client: its connection is not for another's request.
    bool is_one_clients = cluster->proxy_protocol != 0;
    struct upstream *up = fresh || is_one_clients ? NULL : take_idle(worker, slot);
    if (up)
        return up;
    const struct proxy_options *options = proxy_get_options(worker->proxy);
    note_connect(worker, slot);
    int fd = open_socket(&endpoint->address, reterr_errno);
    if (fd < 0) {
        upstream_note_connect_failure(worker, slot);
        return NULL;
    }
    up = pool_take(&worker->upstreams);
    *up = (struct upstream){.worker = worker,
                            .slot = slot,
                            .identity = identity,
                            .state = UP_CONNECTING,
                            .connect_begin_ns = worker->loop.now_ns,
                            .id = worker->next_id++,
                            .remote = endpoint->address};
    up->idle_timeout_ms =
        cluster->idle_timeout_ms ? cluster->idle_timeout_ms : options->upstream_idle_timeout_ms;
    up->requests_max = is_one_clients ? 1 : cluster->requests_per_connection_max;
    up->sock.watch = (struct watch){.on_event = on_event, .fd = fd};
    timer_init(&up->timer, on_timer);
    COUNT(slot->counters[ENDPOINT_COUNTER_CONNECTIONS_ACTIVE], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_ACTIVE, 1);
    list_init(&up->node);
    int error = loop_add(&worker->loop, &up->sock.watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (error < 0) {
        *reterr_errno = -error;
        upstream_close(up);
        return NULL;
    }
    uint32_t timeout_ms =
        cluster->connect_timeout_ms ? cluster->connect_timeout_ms : options->connect_timeout_ms;
    timer_arm(&worker->loop.wheel, &up->timer, worker->loop.now_ms + timeout_ms);
    return up;
}

int upstream_finish_connect(struct upstream *up)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(up->sock.watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error == 0 && up->sock.failed)
        error = ETIMEDOUT; // our own deadline
    if (error) {
        upstream_note_connect_failure(up->worker, up->slot);
        return error;
    }
    struct sockaddr_storage local;
    len = sizeof local;
    if (getsockname(up->sock.watch.fd, (struct sockaddr *)&local, &len) == 0)
        address_from_sockaddr((struct sockaddr *)&local, &up->local);
    up->connect_end_ns = up->worker->loop.now_ns;
    up->state = UP_BUSY;
    timer_arm(&up->worker->loop.wheel, &up->timer, INT64_MAX / 2);
    return 0;
}

// Does the snapshot that is served now still name the endpoint? A stream that began under an older
// one may be the last to use it.
static bool is_served(const struct upstream *up)
{
    const struct snapshot *snapshot = up->worker->hold->snapshot;
    return up->slot->number < snapshot->n_endpoint_slots &&
           snapshot->endpoint_identity[up->slot->number] == up->identity;
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
    timer_arm(&worker->loop.wheel, &up->timer, worker->loop.now_ms + up->idle_timeout_ms);
}

static void close_idle_of(struct endpoint_slot *slot)
{
    while (!list_empty(&slot->idle))
        upstream_close(LIST_ENTRY(slot->idle.next, struct upstream, node));
}

void upstream_close_stale(struct worker *worker, const struct snapshot *snapshot)
{
    for (struct list *node = worker->slots_with_idle.next, *next; node != &worker->slots_with_idle;
         node = next) {
        next = node->next;
        struct endpoint_slot *slot = LIST_ENTRY(node, struct endpoint_slot, in_use);
        if (slot->number >= snapshot->n_endpoint_slots ||
            snapshot->endpoint_identity[slot->number] != slot->identity)
            close_idle_of(slot);
    }
}

void upstream_close_idle(struct worker *worker)
{
    while (!list_empty(&worker->slots_with_idle))
        close_idle_of(LIST_ENTRY(worker->slots_with_idle.next, struct endpoint_slot, in_use));
}
