// SPDX-License-Identifier: Apache-2.0
// Connections that wait: in the worker's own pool, or parked in the pool of all.
#include "proxy/dynamic.h"
#include "proxy/shared_pool.h"
#include "proxy/upstream.h"

// ---- the worker's own ----

static inline void list_idle(struct upstream *up)
{
    list_push_front(&up->slot->idle, &up->node);
    up->state = UP_IDLE;
    up->slot->n_idle++;
    WORKER_COUNT(up->worker, UPSTREAM_CONNECTIONS_IDLE, 1);
    upstream_note_listed(up->worker, up->slot);
}

// Clients choose the hosts: of the connections in `list`, newest first, that wait, the oldest go.
void upstream_limit_hosts(struct list *list)
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

// Does the snapshot that is served now still name the endpoint? A stream that began under an older
// one may be the last to use it.
bool upstream_is_served(const struct upstream *up)
{
    return endpoint_slot_is_served(proxy_dynamic_slots(up->worker->proxy),
                                   up->worker->hold->snapshot, up->slot->number, up->identity);
}

bool upstream_is_wanted(const struct upstream *up)
{
    return !upstream_is_stale(up) && !up->worker->is_draining && upstream_is_served(up);
}

// For the next handshake with the endpoint, of whichever worker, to be a short one.
void upstream_keep_session(struct upstream *up)
{
    struct tls_conn *conn = sock_tls_conn(&up->sock);
    struct tls_session *session = conn ? tls_take_session(conn) : NULL;
    if (session)
        shared_pool_keep_session(up->worker->pool, up->slot_number, up->identity, &session);
}

// The endpoint of that identity has the slot now.
void upstream_claim_slot(struct worker *worker, struct endpoint_slot *slot, uint64_t identity)
{
    CHECK(list_empty(&slot->idle)); // upstream_close_stale() closed them
    for (unsigned i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
        __atomic_store_n(&slot->counters[i], 0, __ATOMIC_RELAXED);
    slot->active = slot->streams_max = 0;
    slot->last_use_ms = slot->demand_ms = 0;
    slot->common = shared_pool_slot(worker->pool, slot->number);
    __atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
    // Of a dynamic slot no change of the snapshot closes what its former endpoint left parked.
    struct upstream *up;
    while ((up = shared_pool_take_older(worker->pool, slot->number, identity)))
        if (upstream_take_over(worker, up))
            upstream_close(up);
}

// ---- how long ----

// Before the endpoint does: it may close at the very moment in which we send.
static uint32_t undercut(uint32_t limit_ms)
{
    uint32_t margin_ms = limit_ms / 10 < 1000 ? limit_ms / 10 : 1000;
    return limit_ms - margin_ms;
}

// A quarter of what a connection may wait or live, when that is short: a replacement that were due
// at once would be replaced at once.
static int64_t time_ahead(const struct upstream *up, uint32_t wait_ms)
{
    int64_t life_ms = up->age_end_ms - up->connect_begin_ns / 1000000;
    int64_t span_ms = life_ms < wait_ms ? life_ms : wait_ms;
    return span_ms / 4 < WARM_AHEAD_MS ? span_ms / 4 : WARM_AHEAD_MS;
}

static void set_idle_end(struct upstream *up)
{
    uint32_t ms = up->idle_timeout_ms;
    uint32_t learnt_ms =
        atomic_load_explicit(&up->slot->common->idle_limit_ms, memory_order_relaxed);
    if (learnt_ms && undercut(learnt_ms) < ms)
        ms = undercut(learnt_ms);
    if (up->told_idle_ms < ms)
        ms = undercut(up->told_idle_ms);
    up->idle_end_ms = up->idle_since_ms + ms;
    if (up->idle_end_ms > up->age_end_ms)
        up->idle_end_ms = up->age_end_ms;
    up->replace_ms = up->idle_end_ms - time_ahead(up, ms);
}

// With others about it waits here only for a moment, see upstream_on_idle_timer().
static void arm_timer(struct upstream *up)
{
    struct worker *worker = up->worker;
    int64_t end_ms = up->idle_end_ms;
    if (up->is_retired)
        end_ms = worker->loop.now_ms + 1;
    else if (worker->has_others && worker->loop.now_ms + SHARE_AFTER_MS < end_ms)
        end_ms = worker->loop.now_ms + SHARE_AFTER_MS;
    timer_arm(&worker->loop.wheel, &up->timer, end_ms);
}

// ---- parking ----

static bool is_for_all(const struct upstream *up)
{
    const struct endpoint_slot *slot = up->slot;
    return up->worker->has_others &&
           (slot->is_rarely_used || up->worker->loop.now_ms - slot->last_use_ms > SHARE_GAP_MS);
}

static bool is_all_sent(const struct upstream *up)
{
    const struct h2_session *session = up->h2;
    if (!sock_is_flushed(&up->sock))
        return false;
    return !session || (list_empty(&session->dirty) && !session->out && !session->has_failed &&
                        !h2_wants_write(session->h2));
}

// The worker is its owner, and nothing of the worker but the event loop points to it yet, or, for
// HTTP/2, the slot's list of shared ones. false: it is closed.
bool upstream_take_over(struct worker *worker, struct upstream *up)
{
    struct endpoint_slot *slot = worker_endpoint_slot(worker, up->slot_number);
    if (slot->identity < up->identity) { // this worker has not heard of the change yet
        upstream_close_idle_of(slot);
        upstream_claim_slot(worker, slot, up->identity);
    }
    up->worker = worker;
    up->slot = slot;
    if (upstream_is_stale(up)) // parked by a worker that had not heard of the change
        up->is_retired = true;
    if (up->h2) {
        up->h2->worker = worker;
        upstream_list_shared(up);
    } else {
        up->state = UP_BUSY;
        WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_IDLE, -1);
    }
    if (loop_add(&worker->loop, &up->sock.watch, SOCK_EVENTS) == 0)
        return true;
    upstream_close(up);
    return false;
}

static void leave_worker(struct upstream *up)
{
    struct worker *worker = up->worker;
    if (up->state == UP_IDLE || up->is_shared)
        upstream_unlist(up);
    if (up->state != UP_SHARED) {
        up->state = UP_IDLE;
        WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_IDLE, 1);
    }
    timer_disarm(&worker->loop.wheel, &up->timer);
    loop_remove(&worker->loop, &up->sock.watch);
    up->worker = NULL;
    up->slot = NULL;
    if (up->h2)
        up->h2->worker = NULL;
}

static void park(struct upstream *up)
{
    struct worker *worker = up->worker;
    uint32_t number = up->slot_number;
    bool has_host = up->host != NULL;
    upstream_keep_session(up);
    leave_worker(up);
    if (!shared_pool_park(worker->pool, &up)) {
        if (upstream_take_over(worker, up))
            upstream_close(up);
        return;
    }
    if (shared_pool_wants_keeper(worker->pool))
        proxy_wake_keeper(worker->proxy);
    up = has_host ? shared_pool_take_surplus(worker->pool, number) : NULL;
    if (up && upstream_take_over(worker, up))
        upstream_close(up);
}

// ---- waiting ----

// Of every request: so it is no call.
__attribute__((always_inline)) static inline void rest(struct upstream *up)
{
    if (up->is_retired || upstream_is_stale(up) || up->worker->is_draining ||
        up->worker->loop.now_ms >= up->idle_end_ms) {
        upstream_close(up);
        return;
    }
    if (is_for_all(up) && is_all_sent(up)) {
        park(up);
        return;
    }
    if (up->state != UP_SHARED) {
        if (up->n_requests <= 1)
            upstream_keep_session(up); // others may need one before this one ends
        list_idle(up);
        if (up->host)
            upstream_limit_hosts(&up->slot->idle);
    }
    arm_timer(up);
}

void upstream_rest(struct upstream *up)
{
    rest(up);
}

__attribute__((always_inline)) static inline void begin_idle(struct upstream *up)
{
    up->idle_since_ms = up->worker->loop.now_ms;
    set_idle_end(up);
    if (up->state != UP_SHARED) {
        rest(up);
        return;
    }
    arm_timer(up);
    if (up->worker->has_others)
        h2_session_mark(up->h2); // upstream_rest() follows when all is sent
}

void upstream_begin_idle(struct upstream *up)
{
    begin_idle(up);
}

void upstream_release(struct upstream *up)
{
    struct worker *worker = up->worker;
    bool is_gone = !up->stream->hold->is_current && !upstream_is_served(up);
    up->stream = NULL;
    bool used_up = up->requests_max && up->n_requests >= up->requests_max;
    if (up->state != UP_BUSY || upstream_is_stale(up) || is_gone || used_up || up->tx ||
        up->sock.failed || up->sock.peer_closed || worker->is_draining || !upstream_is_quiet(up)) {
        upstream_close(up);
        return;
    }
    pool_give(&worker->large, up->rx);
    up->rx = NULL;
    up->rx_end = 0;
    sock_rest(&up->sock);
    begin_idle(up);
}

void upstream_on_idle_timer(struct upstream *up)
{
    struct worker *worker = up->worker;
    if (up->is_retired || worker->loop.now_ms >= up->idle_end_ms)
        upstream_close(up);
    else if (worker->has_others && is_all_sent(up))
        park(up);
    else
        arm_timer(up);
}

// Closed by the endpoint, or bytes that nobody asked for: either way it is of no more use. But the
// news may be old: of the response's last bytes, read before this event had its turn.
bool upstream_is_troubled(struct upstream *up)
{
    return up->sock.failed || !upstream_is_quiet(up);
}

// One that carried no request yet is under another of its limits.
void upstream_note_idle_close(struct upstream *up)
{
    int64_t waited_ms = up->worker->loop.now_ms - up->idle_since_ms;
    if (up->n_requests == 0 && up->is_preconnected)
        warm_note_unused(up->worker->pool, up->slot_number, up->identity, up->worker->loop.now_ms);
    if (up->n_requests > 0 && waited_ms < UINT32_MAX)
        shared_pool_note_idle(up->worker->pool, up, IDLE_CLOSED, (uint32_t)waited_ms,
                              up->worker->loop.now_ms);
}

void upstream_note_survival(struct upstream *up)
{
    int64_t waited_ms = up->worker->loop.now_ms - up->idle_since_ms;
    if (up->n_requests > 0 && waited_ms < UINT32_MAX)
        shared_pool_note_idle(up->worker->pool, up, IDLE_SURVIVED, (uint32_t)waited_ms,
                              up->worker->loop.now_ms);
}

void upstream_note_first_use(struct upstream *up)
{
    warm_note_used(up->worker->pool, up->slot_number, up->identity);
}

void upstream_note_keep_alive(struct upstream *up, struct str value)
{
    uint32_t ms, requests;
    idle_limit_parse(value, &ms, &requests);
    if (ms != UINT32_MAX && ms != up->told_idle_ms) {
        up->told_idle_ms = ms;
        shared_pool_note_idle(up->worker->pool, up, IDLE_TOLD, ms, up->worker->loop.now_ms);
    }
    uint64_t requests_max = (uint64_t)up->n_requests + requests;
    if (requests != UINT32_MAX && (!up->requests_max || requests_max < up->requests_max))
        up->requests_max = (uint32_t)requests_max;
}

void upstream_on_idle_event(struct upstream *up)
{
    if (upstream_is_troubled(up))
        upstream_end_idle(up);
}

void upstream_end_idle(struct upstream *up)
{
    upstream_note_idle_close(up);
    upstream_close(up);
}

// ---- taking ----

static bool has_good_news(struct upstream *up)
{
    if (!h2_session_read(up->h2))
        return false;
    if (h2_has_settings(up->h2->h2))
        upstream_note_settings(up);
    return upstream_has_room(up, up->protocol);
}

// Is it as good as when it was parked? May close it.
static bool is_still_good(struct upstream *up)
{
    sock_note_events(&up->sock, EPOLLIN); // perhaps; the loop tells only in its next turn
    if (up->worker->loop.now_ms < up->idle_end_ms &&
        (up->state == UP_SHARED ? has_good_news(up) : !upstream_is_troubled(up)))
        return true;
    if (up->state != UP_SHARED && up->sock.peer_closed)
        upstream_note_idle_close(up);
    upstream_close(up);
    return false;
}

struct upstream *upstream_take_parked(struct stream *stream, struct endpoint_slot *slot,
                                      uint64_t identity, uint8_t protocol)
{
    struct worker *worker = stream->worker;
    struct upstream *up;
    while ((up = shared_pool_take(worker->pool, slot->number, identity, protocol, stream->tls_host,
                                  worker->loop.now_ms))) {
        if (!upstream_take_over(worker, up) || !is_still_good(up))
            continue;
        WORKER_COUNT(worker, UPSTREAM_SHARED_TAKES, 1);
        upstream_note_reuse(up);
        if (up->state == UP_SHARED)
            upstream_attach(up, stream);
        else
            up->stream = stream;
        return up;
    }
    return NULL;
}

// ---- changes ----

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

static void close_parked(struct worker *worker,
                         bool (*is_wanted)(const struct upstream *, const void *), const void *arg)
{
    struct upstream *up;
    uint32_t cursor = 0;
    while ((up = shared_pool_take_if(worker->pool, &cursor, is_wanted, arg)))
        if (upstream_take_over(worker, up))
            upstream_close(up);
}

struct change {
    struct dynamic_slots *slots;
    const struct snapshot *snapshot;
};

// A worker that is late with its change knows nothing of what others opened behind the next one.
static bool is_gone(const struct upstream *up, const void *arg)
{
    const struct change *change = arg;
    return up->generation <= change->snapshot->generation &&
           !endpoint_slot_is_served(change->slots, change->snapshot, up->slot_number, up->identity);
}

static bool is_any(const struct upstream *up, const void *arg)
{
    (void)up, (void)arg;
    return true;
}

static void close_connecting(struct worker *worker)
{
    for (struct list *node = worker->preconnecting.next, *next; node != &worker->preconnecting;
         node = next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        next = node->next;
        if (!upstream_is_wanted(up))
            upstream_close(up);
    }
}

void upstream_close_stale(struct worker *worker, const struct snapshot *snapshot)
{
    close_connecting(worker);
    for (struct list *node = worker->slots_with_idle.next, *next; node != &worker->slots_with_idle;
         node = next) {
        next = node->next;
        struct endpoint_slot *slot = LIST_ENTRY(node, struct endpoint_slot, in_use);
        if (!endpoint_slot_is_served(proxy_dynamic_slots(worker->proxy), snapshot, slot->number,
                                     slot->identity))
            upstream_close_idle_of(slot);
    }
    const struct change change = {proxy_dynamic_slots(worker->proxy), snapshot};
    close_parked(worker, is_gone, &change);
}

void upstream_close_idle(struct worker *worker)
{
    for (struct list *node = worker->slots_with_idle.next, *next; node != &worker->slots_with_idle;
         node = next) {
        next = node->next;
        upstream_close_idle_of(LIST_ENTRY(node, struct endpoint_slot, in_use));
    }
    while (!list_empty(&worker->preconnecting))
        upstream_close(LIST_ENTRY(worker->preconnecting.next, struct upstream, node));
    close_parked(worker, is_any, NULL);
}
