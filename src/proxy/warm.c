// SPDX-License-Identifier: Apache-2.0
#include "proxy/warm.h"
#include "proxy/shared_pool.h"
#include <stdlib.h>

// Numbers of slots. One may stand here twice for a moment; the keeper alone takes any out.
struct warm_list {
    pthread_mutex_t lock;
    uint32_t *numbers;
    _Atomic uint32_t n;
    uint32_t cap;
};

struct warm_list *warm_list_create(void)
{
    struct warm_list *list = calloc(1, sizeof *list);
    CHECK(list != NULL);
    int error = pthread_mutex_init(&list->lock, NULL);
    CHECK(error == 0);
    return list;
}

void warm_list_destroy(struct warm_list *list)
{
    pthread_mutex_destroy(&list->lock);
    free(list->numbers);
    free(list);
}

uint32_t warm_list_count(const struct warm_list *list)
{
    return atomic_load(&list->n);
}

static void lock(struct warm_list *list)
{
    int error = pthread_mutex_lock(&list->lock);
    CHECK(error == 0);
}

static void unlock(struct warm_list *list)
{
    int error = pthread_mutex_unlock(&list->lock);
    CHECK(error == 0);
}

static void add(struct warm_list *list, uint32_t number)
{
    lock(list);
    uint32_t n = atomic_load(&list->n);
    if (n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 16;
        list->numbers = realloc(list->numbers, list->cap * sizeof *list->numbers);
        CHECK(list->numbers != NULL);
    }
    list->numbers[n] = number;
    atomic_store(&list->n, n + 1);
    unlock(list);
}

static void take_out(struct warm_list *list, uint32_t number)
{
    lock(list);
    uint32_t n = atomic_load(&list->n);
    for (uint32_t i = 0; i < n; i++)
        if (list->numbers[i] == number) {
            list->numbers[i] = list->numbers[n - 1];
            atomic_store(&list->n, n - 1);
            break;
        }
    unlock(list);
}

bool warm_list_get(struct warm_list *list, uint32_t i, uint32_t *ret_number)
{
    lock(list);
    bool found = i < atomic_load(&list->n);
    if (found)
        *ret_number = list->numbers[i];
    unlock(list);
    return found;
}

// ---- what is needed ----

void warmth_fini(struct warmth *warmth)
{
    free(warmth->cluster);
    free(warmth->host);
    *warmth = (struct warmth){0};
}

void warmth_note_use(struct warmth *warmth, uint32_t n_busy, int64_t now_ms)
{
    if (now_ms >= warmth->window_end_ms) {
        bool is_next = now_ms < warmth->window_end_ms + WARM_WINDOW_MS;
        warmth->peak_before = is_next ? warmth->peak : 0;
        warmth->peak = 0;
        warmth->window_end_ms = now_ms + WARM_WINDOW_MS;
    }
    if (n_busy > warmth->peak)
        warmth->peak = n_busy;
}

static void set_text(char **text, struct str value)
{
    if (*text && str_is(value, *text))
        return;
    free(*text);
    *text = strndup(value.len ? value.ptr : "", value.len);
    CHECK(*text != NULL);
}

static void note_demand(struct shared_pool *pool, const struct demand *demand,
                        int64_t last_request_ms, bool is_new_only)
{
    struct shared_slot *slot = shared_pool_lock(pool, demand->number, demand->identity);
    if (!slot)
        return;
    struct warmth *warmth = &slot->warmth;
    bool is_new = !warmth->is_listed;
    if (is_new || !is_new_only) {
        warmth->is_listed = true;
        warmth->last_request_ms = last_request_ms;
        warmth->protocol = demand->protocol;
        set_text(&warmth->cluster, demand->cluster);
        set_text(&warmth->host, demand->host);
    }
    shared_pool_unlock(slot);
    if (is_new)
        add(shared_pool_warm_list(pool), demand->number);
}

void warm_note_demand(struct shared_pool *pool, const struct demand *demand, int64_t now_ms)
{
    note_demand(pool, demand, now_ms, false);
}

void warm_note_demand_of(struct shared_pool *pool, const struct demand *demand,
                         int64_t last_request_ms)
{
    note_demand(pool, demand, last_request_ms, true);
}

// ---- what is missing ----

static uint32_t count_ending(const struct shared_slot *slot, int64_t now_ms)
{
    uint32_t n = 0;
    for (struct list *node = slot->parked.next; node != &slot->parked; node = node->next) {
        const struct upstream *up = LIST_ENTRY(node, struct upstream, node);
        n += up->identity == slot->identity && up->replace_ms <= now_ms;
    }
    return n;
}

static uint32_t count_missing(struct shared_slot *slot, const struct warm_rule *rule)
{
    struct warmth *warmth = &slot->warmth;
    if (rule->now_ms < warmth->next_try_ms)
        return 0;
    warmth_note_use(warmth, 0, rule->now_ms); // moves the window on
    uint32_t wanted = warmth->peak > warmth->peak_before ? warmth->peak : warmth->peak_before;
    if (wanted > WARM_CONNECTIONS_MAX)
        wanted = WARM_CONNECTIONS_MAX;
    if (wanted < rule->connections)
        wanted = rule->connections;
    uint32_t n_ending = count_ending(slot, rule->now_ms) + rule->n_ending;
    uint32_t n_staying = slot->n_open > n_ending ? slot->n_open - n_ending : 0;
    return wanted > n_staying ? wanted - n_staying : 0;
}

struct warm_plan warm_plan(struct shared_pool *pool, uint32_t number, const struct warm_rule *rule,
                           bool wants_names)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    struct warm_plan plan = {0};
    shared_pool_lock_slot(slot);
    struct warmth *warmth = &slot->warmth;
    if (warmth->is_listed && rule->connections > 0 &&
        rule->now_ms - warmth->last_request_ms < rule->time_ms) {
        plan.n_missing = count_missing(slot, rule);
        plan.identity = slot->identity;
        plan.protocol = warmth->protocol;
        plan.last_request_ms = warmth->last_request_ms;
        if (plan.n_missing > 0 || wants_names) {
            plan.cluster = strdup(warmth->cluster);
            plan.host = strdup(warmth->host);
            CHECK(plan.cluster != NULL && plan.host != NULL);
        }
    } else {
        plan.is_over = true;
        warmth_fini(warmth);
    }
    shared_pool_unlock(slot);
    if (plan.is_over)
        take_out(shared_pool_warm_list(pool), number);
    return plan;
}

void warm_forget(struct shared_pool *pool, uint32_t number)
{
    struct shared_slot *slot = shared_pool_slot(pool, number);
    shared_pool_lock_slot(slot);
    warmth_fini(&slot->warmth);
    shared_pool_unlock(slot);
    take_out(shared_pool_warm_list(pool), number);
}

// The more often in vain, the longer.
static void pause_warming(struct warmth *warmth, uint8_t *times, int64_t now_ms)
{
    int64_t pause_ms = (int64_t)WARM_PAUSE_MS << (*times < 10 ? *times : 10);
    *times += *times < 10;
    int64_t until_ms = now_ms + (pause_ms < WARM_PAUSE_MAX_MS ? pause_ms : WARM_PAUSE_MAX_MS);
    if (warmth->next_try_ms < until_ms)
        warmth->next_try_ms = until_ms;
}

// Several may end at once: that is one time.
void warm_note_unused(struct shared_pool *pool, uint32_t number, uint64_t identity, int64_t now_ms)
{
    struct shared_slot *slot = shared_pool_lock(pool, number, identity);
    if (!slot)
        return;
    if (now_ms >= slot->warmth.next_try_ms)
        pause_warming(&slot->warmth, &slot->warmth.n_unused, now_ms);
    shared_pool_unlock(slot);
}

void warm_note_used(struct shared_pool *pool, uint32_t number, uint64_t identity)
{
    struct shared_slot *slot = shared_pool_lock(pool, number, identity);
    if (!slot)
        return;
    slot->warmth.n_unused = 0;
    shared_pool_unlock(slot);
}

void warm_note_outcome(struct shared_pool *pool, uint32_t number, uint64_t identity, bool is_ok,
                       int64_t now_ms)
{
    struct shared_slot *slot = shared_pool_lock(pool, number, identity);
    if (!slot)
        return;
    if (is_ok)
        slot->warmth.n_failed = 0;
    else
        pause_warming(&slot->warmth, &slot->warmth.n_failed, now_ms);
    shared_pool_unlock(slot);
}
