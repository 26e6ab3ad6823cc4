// SPDX-License-Identifier: Apache-2.0
#include "route/balance/draw.h"

// By address: another cluster of the same request may have tried it too.
bool balance_is_tried(const struct balance_view *view, const struct endpoint *endpoint)
{
    for (unsigned i = 0; i < view->n_tried; i++) {
        if (view->tried[i] == endpoint ||
            address_equal(&view->tried[i]->address, &endpoint->address))
            return true;
    }
    return false;
}

static uint64_t untried_weight(const struct cluster *cluster, const struct balance_view *view)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        if (!balance_is_tried(view, &cluster->endpoints[i]))
            weight += cluster->endpoints[i].weight;
    }
    return weight;
}

uint32_t balance_draw(const struct cluster *cluster, const struct balance_view *view,
                      uint64_t random)
{
    if (!cluster->has_weights && view->n_tried == 0)
        return balance_below(random, cluster->n_endpoints);
    uint64_t weight = view->n_tried ? untried_weight(cluster, view) : 0;
    bool skips_tried = weight > 0;
    if (!skips_tried)
        weight = cluster->total_weight;
    uint64_t drawn = random % weight;
    uint32_t last = 0;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        const struct endpoint *endpoint = &cluster->endpoints[i];
        if (skips_tried && balance_is_tried(view, endpoint))
            continue;
        if (drawn < endpoint->weight)
            return i;
        drawn -= endpoint->weight;
        last = i;
    }
    return last; // not reached while total_weight is the sum of the weights
}
