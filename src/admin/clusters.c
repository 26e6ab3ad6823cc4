// SPDX-License-Identifier: Apache-2.0
// /clusters: rows as Envoy prints them, `cluster::what::value` and
// `cluster::endpoint::what::value`.
#include "admin/pages.h"

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

static void add_counters(const char *const *words, const uint64_t *values, size_t n,
                         struct str cluster, struct str endpoint, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%.*s::%.*s::%s::%llu\n", STR_ARG(cluster), STR_ARG(endpoint), words[i],
                   (unsigned long long)values[i]);
}

static void add_cluster(const struct proxy *proxy, const struct cluster *cluster, struct buf *out)
{
    static const char *const words[] = {
#define X(id, name, type, help) name,
        ENDPOINT_COUNTERS(X)
#undef X
    };
    buf_printf(out, "%.*s::balancer::%s\n", STR_ARG(cluster->name),
               balancer_word(cluster->balancer));
    buf_printf(out, "%.*s::endpoints::%u\n", STR_ARG(cluster->name), cluster->n_endpoints);
    if (cluster->is_missing)
        buf_printf(out, "%.*s::missing::true\n", STR_ARG(cluster->name));
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        const struct endpoint *endpoint = &cluster->endpoints[i];
        uint64_t values[ENDPOINT_COUNTER_COUNT] = {0};
        proxy_endpoint_counters(proxy, endpoint, values); // all 0 when nothing was ever sent there
        add_counters(words, values, ENDPOINT_COUNTER_COUNT, cluster->name, endpoint->text, out);
        buf_printf(out, "%.*s::%.*s::weight::%u\n", STR_ARG(cluster->name), STR_ARG(endpoint->text),
                   endpoint->weight);
    }
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
