// SPDX-License-Identifier: Apache-2.0
// /clusters: rows as Envoy prints them, `cluster::what::value` and
// `cluster::endpoint::what::value`.
#include "admin/pages.h"

const char *const cluster_words[CLUSTER_COUNTER_COUNT] = {
    [CLUSTER_COUNTER_REQUESTS] = "rq_total",    [CLUSTER_COUNTER_ACTIVE] = "rq_active",
    [CLUSTER_COUNTER_RESPONSES_2XX] = "rq_2xx", [CLUSTER_COUNTER_RESPONSES_3XX] = "rq_3xx",
    [CLUSTER_COUNTER_RESPONSES_4XX] = "rq_4xx", [CLUSTER_COUNTER_RESPONSES_5XX] = "rq_5xx",
    [CLUSTER_COUNTER_FAILURES] = "rq_failed",
};

static const char *balancer_word(enum balancer balancer)
{
    switch (balancer) {
    case BALANCE_LEAST_REQUEST:
        return "least_request";
    case BALANCE_ROUND_ROBIN:
        return "round_robin";
    case BALANCE_RANDOM:
        return "random";
    }
    return "unknown";
}

static void add_endpoint(const struct proxy *proxy, const struct cluster *cluster,
                         const struct endpoint *endpoint, struct buf *out)
{
    static const char *const words[] = {
#define X(id, name, type, help) name,
        ENDPOINT_COUNTERS(X)
#undef X
    };
    uint64_t values[ENDPOINT_COUNTER_COUNT] = {0};
    proxy_endpoint_counters(proxy, endpoint, values); // all 0 when nothing was ever sent there
    for (size_t i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
        buf_printf(out, "%.*s::%.*s::%s::%llu\n", STR_ARG(cluster->name), STR_ARG(endpoint->text),
                   words[i], (unsigned long long)values[i]);
    struct endpoint_pool pool;
    proxy_endpoint_pool(proxy, endpoint, &pool);
    buf_printf(out, "%.*s::%.*s::cx_parked::%u\n", STR_ARG(cluster->name), STR_ARG(endpoint->text),
               pool.n_parked);
    if (pool.idle_limit_ms)
        buf_printf(out, "%.*s::%.*s::idle_limit_ms::%u\n", STR_ARG(cluster->name),
                   STR_ARG(endpoint->text), pool.idle_limit_ms);
    if (pool.is_warm)
        buf_printf(out, "%.*s::%.*s::warm::true\n", STR_ARG(cluster->name),
                   STR_ARG(endpoint->text));
    buf_printf(out, "%.*s::%.*s::weight::%u\n", STR_ARG(cluster->name), STR_ARG(endpoint->text),
               endpoint->weight);
}

static void add_cluster(const struct proxy *proxy, const struct cluster *cluster, struct buf *out)
{
    buf_printf(out, "%.*s::balancer::%s\n", STR_ARG(cluster->name),
               balancer_word(cluster->balancer));
    buf_printf(out, "%.*s::endpoints::%u\n", STR_ARG(cluster->name), cluster->n_endpoints);
    if (cluster->is_missing)
        buf_printf(out, "%.*s::missing::true\n", STR_ARG(cluster->name));
    uint64_t values[CLUSTER_COUNTER_COUNT] = {0};
    proxy_cluster_counters(proxy, cluster, values);
    for (size_t i = 0; i < CLUSTER_COUNTER_COUNT; i++)
        buf_printf(out, "%.*s::%s::%llu\n", STR_ARG(cluster->name), cluster_words[i],
                   (unsigned long long)values[i]);
    for (uint32_t i = 0; i < cluster->n_endpoints; i++)
        add_endpoint(proxy, cluster, &cluster->endpoints[i], out);
}

bool clusters_add_piece(struct page_state *state, struct buf *out)
{
    const struct snapshot *snapshot = proxy_snapshot(state->options->proxy);
    const struct cluster *cluster;
    while ((cluster = cluster_cursor_next(&state->cursor, snapshot))) {
        add_cluster(state->options->proxy, cluster, out);
        if (out->len >= PIECE_BYTES)
            return true;
    }
    return false;
}
