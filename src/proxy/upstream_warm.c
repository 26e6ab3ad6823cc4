// SPDX-License-Identifier: Apache-2.0
// Connections that are open before a request needs them: to endpoints outside the cluster that were
// in use lately. Worker 0 alone looks, so that there is one that connects, and not each worker.
#include "proxy/shared_pool.h"
#include "proxy/upstream.h"
#include <stdlib.h>

static const struct endpoint *find_endpoint(const struct snapshot *snapshot,
                                            const struct cluster *cluster, uint32_t number,
                                            uint64_t identity)
{
    for (uint32_t i = 0; i < cluster->n_endpoints; i++)
        if (cluster->endpoints[i].slot == number && snapshot->endpoint_identity[number] == identity)
            return &cluster->endpoints[i];
    return NULL;
}

// false: it failed at once.
static bool preconnect(struct worker *worker, const struct cluster *cluster,
                       const struct endpoint *endpoint, const struct warm_plan *plan)
{
    struct endpoint_slot *slot = worker_endpoint_slot(worker, endpoint->slot);
    if (slot->identity > plan->identity)
        return false;
    if (slot->identity < plan->identity) {
        upstream_close_idle_of(slot);
        upstream_claim_slot(worker, slot, plan->identity);
    }
    const struct connecting what = {.slot = slot,
                                    .identity = plan->identity,
                                    .cluster = cluster,
                                    .address = &endpoint->address,
                                    .protocol = plan->protocol,
                                    .host = str_of(plan->host),
                                    .is_preconnected = true};
    int error;
    WORKER_COUNT(worker, UPSTREAM_PRECONNECTS, 1);
    struct upstream *up = upstream_open(worker, &what, &error);
    if (up) {
        upstream_list_connecting(up);
        return true;
    }
    warm_note_outcome(worker->pool, endpoint->slot, plan->identity, false, worker->loop.now_ms);
    return false;
}

// Of this worker's own: with others about what waits is parked, and counted there.
static uint32_t count_ending(const struct worker *worker, uint32_t number)
{
    const struct endpoint_slot *slot =
        worker_endpoint_slot((struct worker *)(uintptr_t)worker, number);
    uint32_t n = 0;
    for (struct list *node = slot->idle.next; node != &slot->idle; node = node->next)
        n += LIST_ENTRY(node, struct upstream, node)->replace_ms <= worker->loop.now_ms;
    return n;
}

static struct warm_rule rule_of(const struct worker *worker, uint32_t number)
{
    const struct proxy_options *options = proxy_get_options(worker->proxy);
    return (struct warm_rule){.connections = options->warm_connections,
                              .time_ms = options->warm_time_ms,
                              .n_ending = count_ending(worker, number),
                              .now_ms = worker->loop.now_ms};
}

// Where connections may wait for a moment only, keeping some warm would be one handshake after the
// other for nobody.
static bool lives_long_enough(struct worker *worker, const struct cluster *cluster, uint32_t number)
{
    const struct shared_slot *slot = shared_pool_slot(worker->pool, number);
    uint32_t limit_ms = atomic_load_explicit(&slot->idle_limit_ms, memory_order_relaxed);
    uint32_t idle_ms = upstream_idle_timeout_ms(worker, cluster);
    return (limit_ms == 0 || limit_ms >= WARM_LIFE_MIN_MS) && idle_ms >= WARM_LIFE_MIN_MS &&
           (cluster->max_age_ms == 0 || cluster->max_age_ms >= WARM_LIFE_MIN_MS);
}

// false: it is no longer listed.
static bool warm_one(struct worker *worker, uint32_t number)
{
    const struct snapshot *snapshot = worker->hold->snapshot;
    struct warm_rule rule = rule_of(worker, number);
    struct warm_plan plan = warm_plan(worker->pool, number, &rule, false);
    if (plan.n_missing == 0)
        return !plan.is_over;
    const struct cluster *cluster = snapshot_find_cluster(snapshot, str_of(plan.cluster));
    const struct endpoint *endpoint =
        cluster ? find_endpoint(snapshot, cluster, number, plan.identity) : NULL;
    if (!endpoint)
        warm_forget(worker->pool, number);
    bool is_of_use = endpoint && lives_long_enough(worker, cluster, number);
    for (uint32_t i = 0; is_of_use && i < plan.n_missing; i++)
        if (!preconnect(worker, cluster, endpoint, &plan))
            break;
    free(plan.cluster);
    free(plan.host);
    return endpoint != NULL;
}

void upstream_warm_all(struct worker *worker)
{
    struct warm_list *list = shared_pool_warm_list(worker->pool);
    uint32_t number;
    if (worker->is_draining || !worker->hold)
        return;
    for (uint32_t i = 0; warm_list_get(list, i, &number);)
        i += warm_one(worker, number); // the last has taken the place of one that is gone
}

// Its other addresses are as likely to be needed: at once, before the old ones go.
static void warm_siblings(struct worker *worker, const struct warm_plan *plan)
{
    const struct snapshot *snapshot = worker->hold->snapshot;
    const struct cluster *cluster = snapshot_find_cluster(snapshot, str_of(plan->cluster));
    if (!cluster || !cluster->is_external)
        return;
    for (uint32_t i = 0; i < cluster->n_endpoints && i < WARM_CONNECTIONS_MAX; i++) {
        uint32_t number = cluster->endpoints[i].slot;
        const struct demand demand = {.number = number,
                                      .identity = snapshot->endpoint_identity[number],
                                      .cluster = cluster->name,
                                      .host = str_of(plan->host),
                                      .protocol = plan->protocol};
        warm_note_demand_of(worker->pool, &demand, plan->last_request_ms);
    }
}

void upstream_warm_changed(struct worker *worker)
{
    struct warm_list *list = shared_pool_warm_list(worker->pool);
    uint32_t number, n = warm_list_count(list); // those that are added behind are new
    for (uint32_t i = 0; i < n && warm_list_get(list, i, &number); i++) {
        struct warm_rule rule = rule_of(worker, number);
        struct warm_plan plan = warm_plan(worker->pool, number, &rule, true);
        if (plan.cluster)
            warm_siblings(worker, &plan);
        free(plan.cluster);
        free(plan.host);
    }
    if (n > 0)
        upstream_warm_all(worker);
}
