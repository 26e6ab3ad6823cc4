// SPDX-License-Identifier: Apache-2.0
#include "proxy/shared_pool.h"
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TROUBLED_AT_ONCE = 32 };

struct shared_page {
    struct shared_slot slots[SLOTS_PER_PAGE];
    _Atomic uint32_t n_parked; // of all of them
};

struct shared_pool {
    int epoll_fd;
    _Atomic uint32_t n_parked;
    struct warm_list *warm;
    atomic_bool is_kept; // the keeper is awake, or was told
    // The keeper's: events that were fetched and are still to be looked at.
    struct epoll_event troubled[TROUBLED_AT_ONCE];
    int n_troubled, next_troubled;
    struct shared_page *_Atomic pages[SLOT_PAGES_MAX];
};

struct shared_pool *shared_pool_create(void)
{
    struct shared_pool *pool = calloc(1, sizeof *pool);
    CHECK(pool != NULL);
    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(pool->epoll_fd >= 0);
    pool->warm = warm_list_create();
    return pool;
}

static void free_page(struct shared_page *page)
{
    for (unsigned i = 0; page && i < SLOTS_PER_PAGE; i++) {
        struct shared_slot *slot = &page->slots[i];
        CHECK(list_empty(&slot->parked));
        tls_session_free(slot->session);
        warmth_fini(&slot->warmth);
        pthread_mutex_destroy(&slot->lock);
    }
    free(page);
}

void shared_pool_destroy(struct shared_pool *pool)
{
    for (unsigned i = 0; i < SLOT_PAGES_MAX; i++)
        free_page(atomic_load_explicit(&pool->pages[i], memory_order_relaxed));
    warm_list_destroy(pool->warm);
    close(pool->epoll_fd);
    free(pool);
}

// ---- slots ----

static struct shared_page *make_page(void)
{
    struct shared_page *page = aligned_alloc(64, sizeof *page);
    CHECK(page != NULL);
    memset(page, 0, sizeof *page);
    for (unsigned i = 0; i < SLOTS_PER_PAGE; i++) {
        list_init(&page->slots[i].parked);
        idle_limit_init(&page->slots[i].idle_limit);
        int error = pthread_mutex_init(&page->slots[i].lock, NULL);
        CHECK(error == 0);
    }
    return page;
}

static struct shared_page *page_of(struct shared_pool *pool, uint32_t number)
{
    uint32_t page_no = number / SLOTS_PER_PAGE;
    CHECK(page_no < SLOT_PAGES_MAX);
    struct shared_page *page = atomic_load_explicit(&pool->pages[page_no], memory_order_acquire);
    if (page)
        return page;
    struct shared_page *fresh = make_page();
    if (atomic_compare_exchange_strong(&pool->pages[page_no], &page, fresh))
        return fresh;
    free_page(fresh); // another worker was faster
    return page;
}

struct shared_slot *shared_pool_slot(struct shared_pool *pool, uint32_t number)
{
    return &page_of(pool, number)->slots[number % SLOTS_PER_PAGE];
}

void shared_pool_lock_slot(struct shared_slot *slot)
{
    int error = pthread_mutex_lock(&slot->lock);
    CHECK(error == 0);
}

void shared_pool_unlock(struct shared_slot *slot)
{
    int error = pthread_mutex_unlock(&slot->lock);
    CHECK(error == 0);
}

static void forget_facts(struct shared_slot *slot)
{
    tls_session_free(slot->session);
    slot->session = NULL;
    slot->n_open = 0;
    warmth_fini(&slot->warmth); // the keeper finds that it is listed no more
    idle_limit_init(&slot->idle_limit);
    atomic_store_explicit(&slot->idle_limit_ms, 0, memory_order_relaxed);
}

// Identities of a slot only grow: who knows a greater one knows the newer.
struct shared_slot *shared_pool_lock(struct shared_pool *pool, uint32_t number, uint64_t identity)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    shared_pool_lock_slot(slot);
    if (slot->identity < identity) {
        forget_facts(slot);
        slot->identity = identity;
    }
    if (slot->identity == identity)
        return slot;
    shared_pool_unlock(slot);
    return NULL;
}

struct shared_slot *shared_pool_find(struct shared_pool *pool, uint32_t number, uint64_t identity)
{
    struct shared_page *page =
        atomic_load_explicit(&pool->pages[number / SLOTS_PER_PAGE], memory_order_acquire);
    if (!page)
        return NULL;
    struct shared_slot *slot = &page->slots[number % SLOTS_PER_PAGE];
    shared_pool_lock_slot(slot);
    if (slot->identity == identity)
        return slot;
    shared_pool_unlock(slot);
    return NULL;
}

// ---- parked connections ----

static void count_parked(struct shared_pool *pool, struct shared_slot *slot, uint32_t number,
                         uint32_t by)
{
    atomic_fetch_add_explicit(&slot->n_parked, by, memory_order_relaxed);
    atomic_fetch_add_explicit(&page_of(pool, number)->n_parked, by, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->n_parked, by, memory_order_seq_cst);
}

bool shared_pool_park(struct shared_pool *pool, struct upstream **up)
{
    struct upstream *parked = *up;
    struct shared_slot *slot = shared_pool_slot(pool, parked->slot_number);
    int fd = parked->sock.watch.fd;
    // Level-triggered: what came a moment ago is told, too.
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP,
                                .data.u64 = (uint64_t)parked->slot_number << 32 | (uint32_t)fd};
    CHECK(!parked->worker && !parked->slot && parked->n_streams == 0 && list_empty(&parked->node));
    shared_pool_lock_slot(slot);
    bool ok = epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
    if (ok) {
        list_push_front(&slot->parked, &parked->node);
        count_parked(pool, slot, parked->slot_number, 1);
        *up = NULL;
    }
    shared_pool_unlock(slot);
    return ok;
}

// Under the lock.
static struct upstream *unpark(struct shared_pool *pool, struct shared_slot *slot,
                               struct upstream *up)
{
    struct epoll_event event = {0};
    list_remove(&up->node);
    count_parked(pool, slot, up->slot_number, (uint32_t)-1);
    int error = epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, up->sock.watch.fd, &event);
    CHECK(error == 0);
    return up;
}

static bool has_parked(const struct shared_slot *slot)
{
    return atomic_load_explicit(&slot->n_parked, memory_order_relaxed) > 0;
}

uint32_t shared_pool_count(const struct shared_pool *pool)
{
    return atomic_load(&pool->n_parked);
}

static bool fits(const struct upstream *up, uint64_t identity, uint8_t protocol, struct str host)
{
    return up->identity == identity && up->protocol == protocol &&
           (!up->host || str_is(host, up->host));
}

// What is not parked is in use, or was a moment ago.
static void note_busy(struct shared_slot *slot, int64_t now_ms)
{
    uint32_t n_parked = atomic_load_explicit(&slot->n_parked, memory_order_relaxed);
    warmth_note_use(&slot->warmth, slot->n_open > n_parked ? slot->n_open - n_parked : 0, now_ms);
}

void shared_pool_note_open(struct shared_pool *pool, const struct upstream *up, int64_t now_ms)
{
    struct shared_slot *slot = shared_pool_lock(pool, up->slot_number, up->identity);
    if (!slot)
        return;
    slot->n_open++;
    atomic_store_explicit(&slot->idle_limit_ms, idle_limit_get(&slot->idle_limit, now_ms),
                          memory_order_relaxed); // it may be forgotten by now
    if (!up->is_preconnected)
        note_busy(slot, now_ms);
    shared_pool_unlock(slot);
}

void shared_pool_note_close(struct shared_pool *pool, const struct upstream *up)
{
    struct shared_slot *slot = shared_pool_lock(pool, up->slot_number, up->identity);
    if (!slot)
        return;
    if (slot->n_open > 0)
        slot->n_open--;
    shared_pool_unlock(slot);
}

struct upstream *shared_pool_take(struct shared_pool *pool, uint32_t number, uint64_t identity,
                                  uint8_t protocol, struct str host, int64_t now_ms)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    struct upstream *found = NULL;
    if (!has_parked(slot))
        return NULL;
    shared_pool_lock_slot(slot);
    for (struct list *node = slot->parked.next; node != &slot->parked; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (fits(up, identity, protocol, host)) {
            found = unpark(pool, slot, up);
            note_busy(slot, now_ms);
            break;
        }
    }
    shared_pool_unlock(slot);
    return found;
}

static struct upstream *take_fd(struct shared_pool *pool, uint32_t number, int fd)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    struct upstream *found = NULL;
    shared_pool_lock_slot(slot);
    for (struct list *node = slot->parked.next; node != &slot->parked; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (up->sock.watch.fd == fd) {
            found = unpark(pool, slot, up);
            break;
        }
    }
    shared_pool_unlock(slot);
    return found;
}

struct upstream *shared_pool_take_troubled(struct shared_pool *pool, uint32_t *ret_events)
{
    if (pool->next_troubled == pool->n_troubled) {
        int n = epoll_wait(pool->epoll_fd, pool->troubled, TROUBLED_AT_ONCE, 0);
        pool->n_troubled = n > 0 ? n : 0;
        pool->next_troubled = 0;
    }
    while (pool->next_troubled < pool->n_troubled) {
        const struct epoll_event *event = &pool->troubled[pool->next_troubled++];
        struct upstream *up =
            take_fd(pool, (uint32_t)(event->data.u64 >> 32), (int)(uint32_t)event->data.u64);
        *ret_events = event->events;
        if (up) // else another worker has it
            return up;
    }
    return NULL;
}

static struct upstream *take_first_wanted(struct shared_pool *pool, struct shared_slot *slot,
                                          bool (*is_wanted)(const struct upstream *, const void *),
                                          const void *arg)
{
    struct upstream *found = NULL;
    shared_pool_lock_slot(slot);
    for (struct list *node = slot->parked.next; node != &slot->parked; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (is_wanted(up, arg)) {
            found = unpark(pool, slot, up);
            break;
        }
    }
    shared_pool_unlock(slot);
    return found;
}

struct upstream *shared_pool_take_if(struct shared_pool *pool, uint32_t *cursor,
                                     bool (*is_wanted)(const struct upstream *, const void *),
                                     const void *arg)
{
    while (shared_pool_count(pool) > 0 && *cursor < SLOT_PAGES_MAX * SLOTS_PER_PAGE) {
        struct shared_page *page =
            atomic_load_explicit(&pool->pages[*cursor / SLOTS_PER_PAGE], memory_order_acquire);
        if (!page || atomic_load_explicit(&page->n_parked, memory_order_relaxed) == 0) {
            *cursor = (*cursor / SLOTS_PER_PAGE + 1) * SLOTS_PER_PAGE;
            continue;
        }
        struct shared_slot *slot = &page->slots[*cursor % SLOTS_PER_PAGE];
        struct upstream *up =
            has_parked(slot) ? take_first_wanted(pool, slot, is_wanted, arg) : NULL;
        if (up)
            return up;
        (*cursor)++;
    }
    return NULL;
}

static bool is_older(const struct upstream *up, const void *arg)
{
    const uint64_t *identity = arg;
    return up->identity < *identity;
}

struct upstream *shared_pool_take_older(struct shared_pool *pool, uint32_t number,
                                        uint64_t identity)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    return has_parked(slot) ? take_first_wanted(pool, slot, is_older, &identity) : NULL;
}

struct upstream *shared_pool_take_surplus(struct shared_pool *pool, uint32_t number)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    struct upstream *found = NULL;
    unsigned n = 0;
    shared_pool_lock_slot(slot);
    for (struct list *node = slot->parked.next; node != &slot->parked; node = node->next) {
        struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        if (up->host && ++n > UPSTREAM_HOSTS_MAX) {
            found = unpark(pool, slot, up);
            break;
        }
    }
    shared_pool_unlock(slot);
    return found;
}

bool shared_pool_wants_keeper(struct shared_pool *pool)
{
    return !atomic_load(&pool->is_kept) && !atomic_exchange(&pool->is_kept, true);
}

static bool has_work(const struct shared_pool *pool)
{
    return shared_pool_count(pool) > 0 || warm_list_count(pool->warm) > 0;
}

bool shared_pool_lets_keeper_rest(struct shared_pool *pool)
{
    if (has_work(pool))
        return false;
    atomic_store(&pool->is_kept, false);
    // Who parked one just before saw it awake.
    return !has_work(pool) || atomic_exchange(&pool->is_kept, true);
}

struct warm_list *shared_pool_warm_list(struct shared_pool *pool)
{
    return pool->warm;
}

int shared_pool_fd(const struct shared_pool *pool)
{
    return pool->epoll_fd;
}

// ---- TLS sessions ----

struct tls_session *shared_pool_session(struct shared_pool *pool, uint32_t number,
                                        uint64_t identity)
{
    struct shared_slot *slot = shared_pool_lock(pool, number, identity);
    if (!slot)
        return NULL;
    struct tls_session *session = slot->session ? tls_session_copy(slot->session) : NULL;
    shared_pool_unlock(slot);
    return session;
}

void shared_pool_keep_session(struct shared_pool *pool, uint32_t number, uint64_t identity,
                              struct tls_session **session)
{
    struct shared_slot *slot = shared_pool_lock(pool, number, identity);
    struct tls_session *old = *session;
    if (slot) {
        old = slot->session;
        slot->session = *session;
        shared_pool_unlock(slot);
    }
    *session = NULL;
    tls_session_free(old);
}

// ---- idle limits ----

void shared_pool_note_idle(struct shared_pool *pool, const struct upstream *up, enum idle_news news,
                           uint32_t ms, int64_t now_ms)
{
    struct shared_slot *slot = shared_pool_lock(pool, up->slot_number, up->identity);
    if (!slot)
        return;
    struct idle_limit *limit = &slot->idle_limit;
    switch (news) {
    case IDLE_TOLD:
        idle_limit_note_told(limit, ms, now_ms);
        break;
    case IDLE_CLOSED:
        idle_limit_note_close(limit, ms, now_ms);
        break;
    case IDLE_SURVIVED:
        idle_limit_note_survival(limit, ms, now_ms);
        break;
    }
    atomic_store_explicit(&slot->idle_limit_ms, idle_limit_get(limit, now_ms),
                          memory_order_relaxed);
    shared_pool_unlock(slot);
}
