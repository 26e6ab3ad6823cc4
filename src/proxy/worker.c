// SPDX-License-Identifier: Apache-2.0
// A worker's life: adopt the newest snapshot, wait, handle events, run what has to go on, repeat.
#include "proxy/worker.h"
#include "base/clock.h"
#include "proxy/dynamic.h"
#include "proxy/h2_session.h"
#include "proxy/names.h"
#include "proxy/undeclared.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void *pool_take(struct free_pool *pool)
{
    struct free_node *node = pool->first;
    if (node) {
        pool->first = node->next;
        pool->n--;
        return node;
    }
    void *fresh = malloc(pool->bytes);
    CHECK(fresh != NULL);
    return fresh;
}

void pool_give(struct free_pool *pool, void *item)
{
    if (!item)
        return;
    if (pool->n >= pool->n_max) {
        free(item);
        return;
    }
    struct free_node *node = item;
    node->next = pool->first;
    pool->first = node;
    pool->n++;
}

static void pool_fini(struct free_pool *pool)
{
    while (pool->first) {
        struct free_node *node = pool->first;
        pool->first = node->next;
        free(node);
    }
    pool->n = 0;
}

uint64_t worker_random(struct worker *worker)
{
    // xoroshiro128+: request ids and draws need to be fast and well spread, not secret.
    uint64_t a = worker->random[0], b = worker->random[1];
    uint64_t result = a + b;
    b ^= a;
    worker->random[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    worker->random[1] = (b << 37) | (b >> 27);
    return result;
}

struct str worker_date(struct worker *worker)
{
    int64_t now_s = worker->loop.wall_ns / 1000000000;
    if (now_s != worker->date_s) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm tm;
        time_t t = (time_t)now_s;
        gmtime_r(&t, &tm);
        // strftime would use the locale's names.
        snprintf(worker->date, sizeof worker->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                 days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        worker->date_s = now_s;
    }
    return (struct str){worker->date, 29};
}

// ---- slots ----

struct endpoint_slot *worker_endpoint_slot(struct worker *worker, uint32_t number)
{
    uint32_t page_no = number / SLOTS_PER_PAGE;
    CHECK(page_no < SLOT_PAGES_MAX);
    struct endpoint_page *page =
        atomic_load_explicit(&worker->endpoint_pages[page_no], memory_order_relaxed);
    if (!page) {
        page = calloc(1, sizeof *page);
        CHECK(page != NULL);
        for (unsigned i = 0; i < SLOTS_PER_PAGE; i++) {
            page->slots[i].number = page_no * SLOTS_PER_PAGE + i;
            list_init(&page->slots[i].idle);
            list_init(&page->slots[i].in_use);
            list_init(&page->slots[i].shared);
        }
        atomic_store_explicit(&worker->endpoint_pages[page_no], page, memory_order_release);
    }
    return &page->slots[number % SLOTS_PER_PAGE];
}

struct cluster_slot *worker_cluster_slot(struct worker *worker, const struct snapshot *snapshot,
                                         const struct cluster *cluster)
{
    uint32_t page_no = cluster->slot / SLOTS_PER_PAGE;
    CHECK(page_no < SLOT_PAGES_MAX);
    struct cluster_page *page =
        atomic_load_explicit(&worker->cluster_pages[page_no], memory_order_relaxed);
    if (!page) {
        page = calloc(1, sizeof *page);
        CHECK(page != NULL);
        atomic_store_explicit(&worker->cluster_pages[page_no], page, memory_order_release);
    }
    struct cluster_slot *slot = &page->slots[cluster->slot % SLOTS_PER_PAGE];
    uint64_t identity = snapshot->cluster_identity[cluster->slot];
    if (slot->identity != identity) { // the slot was another cluster's
        balance_state_fini(&slot->balance);
        slot->balance = (struct balance_state){0};
        slot->family = 0;
        for (unsigned i = 0; i < CLUSTER_COUNTER_COUNT; i++)
            __atomic_store_n(&slot->counters[i], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
    }
    return slot;
}

static void free_pages(struct worker *worker)
{
    for (unsigned i = 0; i < SLOT_PAGES_MAX; i++) {
        free(atomic_load_explicit(&worker->endpoint_pages[i], memory_order_relaxed));
        struct cluster_page *page =
            atomic_load_explicit(&worker->cluster_pages[i], memory_order_relaxed);
        if (page) {
            for (unsigned j = 0; j < SLOTS_PER_PAGE; j++)
                balance_state_fini(&page->slots[j].balance);
            free(page);
        }
    }
}

// ---- snapshots ----

static void drop_hold(struct snapshot_hold *hold, struct worker *worker);

const struct listener *worker_listener(struct worker *worker, uint32_t slot)
{
    return slot < worker->n_accepting && worker->accepting[slot] ? worker->accepting[slot]->listener
                                                                 : NULL;
}

static void adopt_listeners(struct worker *worker, const struct snapshot *snapshot)
{
    uint32_t n_slots = worker->n_accepting;
    for (uint32_t i = 0; i < snapshot->n_listeners; i++)
        if (snapshot->listeners[i].slot >= n_slots)
            n_slots = snapshot->listeners[i].slot + 1;
    if (n_slots > worker->n_accepting) {
        worker->accepting = realloc(worker->accepting, n_slots * sizeof *worker->accepting);
        CHECK(worker->accepting != NULL);
        memset(worker->accepting + worker->n_accepting, 0,
               (n_slots - worker->n_accepting) * sizeof *worker->accepting);
        worker->n_accepting = n_slots;
    }
    for (uint32_t i = 0; i < worker->n_accepting; i++)
        if (worker->accepting[i])
            worker->accepting[i]->listener = NULL;
    for (uint32_t i = 0; i < snapshot->n_listeners; i++) {
        const struct listener *listener = &snapshot->listeners[i];
        int fd = proxy_take_listener_fd(worker->proxy, listener->slot, worker->index);
        if (fd >= 0 && worker->is_draining)
            close(fd);
        else if (fd >= 0)
            accepting_open(worker, listener, fd);
        else if (worker->accepting[listener->slot])
            worker->accepting[listener->slot]->listener = listener;
    }
    for (uint32_t i = 0; i < worker->n_accepting; i++) {
        struct accepting *accepting = worker->accepting[i];
        if (accepting && !accepting->listener) {
            accepting_close(accepting);
            worker->accepting[i] = NULL;
        }
    }
}

// Connections of a listener that is gone end with the request they are at.
static void drain_orphans(struct worker *worker)
{
    for (struct list *node = worker->downstreams.next, *next; node != &worker->downstreams;
         node = next) {
        next = node->next;
        struct downstream *down = LIST_ENTRY(node, struct downstream, node);
        if (down->is_tcp || worker_listener(worker, down->listener_slot))
            continue;
        down->listener_slot = UINT32_MAX; // the slot may soon be another listener's
        downstream_drain(down);
    }
}

static void adopt(struct worker *worker, struct snapshot *snapshot)
{
    struct snapshot_hold *old = worker->hold;
    struct snapshot_hold *hold = calloc(1, sizeof *hold);
    CHECK(hold != NULL);
    *hold = (struct snapshot_hold){.snapshot = snapshot, .is_current = true};
    worker->hold = hold;
    adopt_listeners(worker, snapshot);
    upstream_close_stale(worker, snapshot);
    if (worker->index == 0 && !worker->is_draining)
        upstream_warm_changed(worker);
    dynamic_forget_stale(worker, snapshot);
    if (old) {
        old->is_current = false;
        drain_orphans(worker);
        if (old->n_streams == 0)
            drop_hold(old, worker);
    }
}

static void drop_hold(struct snapshot_hold *hold, struct worker *worker)
{
    proxy_unhold(worker->proxy, hold->snapshot);
    free(hold);
}

void worker_release_hold(struct worker *worker, struct snapshot_hold *hold)
{
    CHECK(hold->n_streams > 0);
    if (--hold->n_streams == 0 && !hold->is_current)
        drop_hold(hold, worker);
}

// ---- the loop ----

static void begin_drain(struct worker *worker)
{
    worker->is_draining = true;
    for (uint32_t i = 0; i < worker->n_accepting; i++)
        if (worker->accepting[i]) // keeps its listener for the connections that are open
            accepting_stop(worker->accepting[i]);
    for (struct list *node = worker->downstreams.next, *next; node != &worker->downstreams;
         node = next) {
        next = node->next;
        downstream_drain(LIST_ENTRY(node, struct downstream, node));
    }
    upstream_close_idle(worker);
    worker_note_drained(worker);
}

void worker_note_drained(struct worker *worker)
{
    if (!worker->is_draining || worker->is_drained || worker->n_downstreams > 0)
        return;
    worker->is_drained = true;
    proxy_note_drained(worker->proxy);
}

static void on_wake(struct waker *waker)
{
    // The loop's turn looks at the mailbox and the flags.
    struct worker *worker = LIST_ENTRY(waker, struct worker, waker);
    if (worker->index == 0)
        upstream_keep(worker);
}

static void on_log_timer(struct timer *timer)
{
    struct worker *worker = LIST_ENTRY(timer, struct worker, log_timer);
    access_log_flush(worker->log);
}

static void look_at_mailbox(struct loop *loop)
{
    struct worker *worker = LIST_ENTRY(loop, struct worker, loop);
    if (atomic_load_explicit(&worker->next, memory_order_relaxed)) {
        struct snapshot *snapshot =
            atomic_exchange_explicit(&worker->next, NULL, memory_order_acq_rel);
        if (snapshot)
            adopt(worker, snapshot);
    }
    names_take_answers(worker);
    if (!worker->is_draining && atomic_load_explicit(&worker->drain, memory_order_relaxed))
        begin_drain(worker);
}

// Each stream that used up its turn gets one more; those that yield again wait for the next round.
static void run_ready(struct worker *worker)
{
    struct list batch;
    if (list_empty(&worker->ready))
        return;
    batch = worker->ready;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    list_init(&worker->ready);
    while (!list_empty(&batch)) {
        struct stream *stream = LIST_ENTRY(batch.next, struct stream, ready);
        list_remove(&stream->ready);
        stream_drive(stream);
    }
}

void worker_run(struct worker *worker)
{
    while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
        bool is_idle = list_empty(&worker->ready) && list_empty(&worker->h2_dirty);
        loop_turn(&worker->loop, is_idle ? -1 : 0);
        run_ready(worker);
        h2_flush_all(worker);
        run_ready(worker); // what was sent made room, or was the end
        downstream_free_closed(worker);
    }
    while (!list_empty(&worker->downstreams))
        downstream_close(LIST_ENTRY(worker->downstreams.next, struct downstream, node));
    downstream_free_closed(worker);
    upstream_close_idle(worker);
    for (uint32_t i = 0; i < worker->n_accepting; i++)
        if (worker->accepting[i])
            accepting_close(worker->accepting[i]);
    worker->n_accepting = 0;
    if (worker->log)
        access_log_flush(worker->log);
    if (worker->hold) {
        CHECK(worker->hold->n_streams == 0);
        drop_hold(worker->hold, worker);
        worker->hold = NULL;
    }
}

void worker_init(struct worker *worker, struct proxy *proxy, unsigned index)
{
    worker->proxy = proxy;
    worker->index = index;
    loop_init(&worker->loop);
    worker->loop.before_events = look_at_mailbox;
    list_init(&worker->downstreams);
    list_init(&worker->closed);
    list_init(&worker->ready);
    list_init(&worker->h2_dirty);
    list_init(&worker->slots_with_idle);
    list_init(&worker->preconnecting);
    worker->undeclared = undeclared_create();
    worker->dynamic = dynamic_table_create(worker, proxy_dynamic_slots(proxy),
                                           proxy_get_options(proxy)->n_workers);
    worker->small = (struct free_pool){.bytes = BUFFER_SMALL_BYTES, .n_max = BUFFERS_KEPT};
    worker->large = (struct free_pool){.bytes = BUFFER_LARGE_BYTES, .n_max = BUFFERS_KEPT};
    worker->heads = (struct free_pool){.bytes = HEAD_TEXT_BYTES, .n_max = HEADS_KEPT};
    worker->streams = (struct free_pool){.bytes = sizeof(struct stream), .n_max = STREAMS_KEPT};
    worker->connections = (struct free_pool){.bytes = sizeof(struct downstream), .n_max = 1024};
    worker->upstreams = (struct free_pool){.bytes = sizeof(struct upstream), .n_max = 256};
    worker->names = names_create(worker);
    worker->scratch = malloc(SCRATCH_BYTES);
    CHECK(worker->scratch != NULL);
    CHECK(getrandom(worker->random, sizeof worker->random, 0) == (ssize_t)sizeof worker->random);
    worker->random[0] |= 1; // the all-zero state is a fixed point
    worker->next_id = (uint64_t)index << 48;
    timer_init(&worker->log_timer, on_log_timer);
    int error = waker_open(&worker->waker, &worker->loop, on_wake);
    CHECK(error == 0);
    worker->pool = proxy_get_pool(proxy);
    worker->has_others = proxy_get_options(proxy)->n_workers > 1;
    if (index == 0)
        upstream_keep_open(worker);
}

void worker_fini(struct worker *worker)
{
    waker_close(&worker->waker, &worker->loop);
    names_destroy(worker->names);
    for (unsigned i = 0; i < worker->n_pipes; i++) {
        close(worker->pipes[i][0]);
        close(worker->pipes[i][1]);
    }
    pool_fini(&worker->small);
    pool_fini(&worker->large);
    pool_fini(&worker->heads);
    pool_fini(&worker->streams);
    pool_fini(&worker->connections);
    pool_fini(&worker->upstreams);
    dynamic_table_destroy(worker->dynamic);
    undeclared_destroy(worker->undeclared);
    free_pages(worker);
    free(worker->accepting);
    free(worker->scratch);
    loop_fini(&worker->loop);
}
