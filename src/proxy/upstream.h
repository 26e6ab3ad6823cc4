// SPDX-License-Identifier: Apache-2.0
// What the files upstream*.c share; what others call is in worker.h.
#pragma once
#include "proxy/h2_session.h"

// upstream.c
void upstream_on_event(struct watch *watch, uint32_t events);
void upstream_on_timer(struct timer *timer);
void upstream_share(struct upstream *up); // into its slot's list of shared ones
void upstream_attach(struct upstream *up, struct stream *stream);
struct endpoint_slot *upstream_find_slot(struct stream *stream, const struct endpoint *endpoint,
                                         uint64_t *ret_identity);
bool upstream_has_room(const struct upstream *up, uint8_t protocol); // HTTP/2

// upstream_rest.c
void upstream_limit_hosts(struct list *list);
bool upstream_is_troubled(struct upstream *up);
bool upstream_is_served(const struct upstream *up);
bool upstream_is_wanted(const struct upstream *up); // although no request uses it
void upstream_end_idle(struct upstream *up);        // as the endpoint has it
void upstream_note_first_use(struct upstream *up);  // it was connected ahead of need, and is needed
void upstream_keep_session(struct upstream *up);
void upstream_claim_slot(struct worker *worker, struct endpoint_slot *slot, uint64_t identity);
struct upstream *upstream_take_parked(struct stream *stream, struct endpoint_slot *slot,
                                      uint64_t identity, uint8_t protocol);
bool upstream_take_over(struct worker *worker, struct upstream *up); // of the pool; false: closed
void upstream_begin_idle(struct upstream *up);    // its request, or last stream, is over
void upstream_note_survival(struct upstream *up); // it waited long, and is still good
void upstream_on_idle_timer(struct upstream *up);
void upstream_on_idle_event(struct upstream *up);

// upstream_connect.c
struct connecting {
    struct endpoint_slot *slot;
    uint64_t identity;
    const struct cluster *cluster;
    const struct address *address;
    uint8_t protocol;
    struct str host; // that the certificate is for, where it goes by the request
    bool is_preconnected;
};
// A new connection that is connecting; nobody waits for it yet. NULL: *reterr_errno.
struct upstream *upstream_open(struct worker *worker, const struct connecting *what,
                               int *reterr_errno);
// In front of all that is sent on it, once it is connected.
void upstream_add_proxy_header(struct upstream *up, const struct stream *stream);

// upstream_race.c
// An endpoint of the stream's cluster that is of another family and not tried yet; NULL: none.
const struct endpoint *upstream_other_family(const struct stream *stream, uint8_t family,
                                             uint64_t random);
void upstream_await_connect(struct upstream *up); // whoever waits for it is attached
void upstream_begin_race(struct upstream *up);    // its connect takes long
void upstream_leave_race(struct upstream *up);    // the other one goes on alone
// Something has happened on one of two. false: there is nothing more to be done with it.
bool upstream_decide_race(struct upstream *up);

// What every request passes through.

// The slot has connections that a change of configuration may have to close.
static inline void upstream_note_listed(struct worker *worker, struct endpoint_slot *slot)
{
    bool is_used = slot->n_idle > 0 || !list_empty(&slot->shared);
    if (is_used && list_empty(&slot->in_use))
        list_push_back(&worker->slots_with_idle, &slot->in_use);
    else if (!is_used)
        list_remove(&slot->in_use);
}

static inline void upstream_list_shared(struct upstream *up)
{
    list_remove(&up->node);
    list_push_front(&up->slot->shared, &up->node);
    upstream_note_listed(up->worker, up->slot);
}

// Nobody waits for it, and it is in no list of its slot yet.
static inline void upstream_list_connecting(struct upstream *up)
{
    if (!up->is_shared)
        list_push_back(&up->worker->preconnecting, &up->node);
}

// Out of its slot's list, idle or shared.
static inline void upstream_unlist(struct upstream *up)
{
    list_remove(&up->node);
    if (up->state == UP_IDLE) {
        up->slot->n_idle--;
        WORKER_COUNT(up->worker, UPSTREAM_CONNECTIONS_IDLE, -1);
    }
    upstream_note_listed(up->worker, up->slot);
}

// The last read may have stopped right at the response's end without learning that nothing follows.
static inline bool upstream_is_quiet(struct upstream *up)
{
    char byte;
    if (!up->sock.readable)
        return true;
    return sock_recv(&up->sock, &byte, 1) == -EAGAIN;
}

static inline bool upstream_is_stale(const struct upstream *up)
{
    return up->slot->identity != up->identity;
}

static inline uint32_t upstream_idle_timeout_ms(const struct worker *worker,
                                                const struct cluster *cluster)
{
    return cluster->idle_timeout_ms ? cluster->idle_timeout_ms
                                    : proxy_get_options(worker->proxy)->upstream_idle_timeout_ms;
}

// One is wanted.
static inline void upstream_note_use(struct worker *worker, struct endpoint_slot *slot)
{
    slot->is_rarely_used = worker->loop.now_ms - slot->last_use_ms > SHARE_GAP_MS;
    slot->last_use_ms = worker->loop.now_ms;
}

static inline void upstream_note_reuse(struct upstream *up)
{
    struct worker *worker = up->worker;
    // The deadline is only pushed out; the next release sets it anew without relinking.
    timer_arm(&worker->loop.wheel, &up->timer, INT64_MAX / 2);
    if (up->n_requests > 0)
        WORKER_COUNT(worker, UPSTREAM_REUSES, 1);
    else if (up->is_preconnected)
        upstream_note_first_use(up);
    if (worker->loop.now_ms - up->idle_since_ms > IDLE_LIMIT_FLOOR_MS)
        upstream_note_survival(up);
}

// Where the certificate is looked at for the request's own host, a connection is for that host.
static inline bool upstream_is_for_host(const struct upstream *up, const struct stream *stream)
{
    return !up->host || str_is(stream->tls_host, up->host);
}
