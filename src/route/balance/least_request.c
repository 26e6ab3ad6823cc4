// SPDX-License-Identifier: Apache-2.0
#include "route/balance/draw.h"

// Two random choices: nearly as even as looking at all endpoints, and workers that know nothing of
// each other do not all run to the one that happens to be idle.
static const struct endpoint *pick(const struct cluster *cluster, struct balance_state *state,
                                   const struct balance_view *view, uint64_t generation)
{
    uint32_t first = balance_draw(cluster, view, view->random), second;
    if (!cluster->has_weights && view->n_tried == 0) {
        second = balance_below(view->random2, cluster->n_endpoints - 1);
        second += second >= first; // two different ones
    } else {
        // Drawn by weight each, so that idle endpoints are used in proportion to their weights.
        second = balance_draw(cluster, view, view->random2);
    }
    const struct endpoint *a = &cluster->endpoints[first], *b = &cluster->endpoints[second];
    uint64_t load_a = (uint64_t)view->active(view->arg, a) * b->weight;
    uint64_t load_b = (uint64_t)view->active(view->arg, b) * a->weight;
    return load_b < load_a ? b : a;
}

const struct balance_policy balance_least_request = {
    .name = "least-request",
    .doc = "Of two endpoints drawn by weight the one with fewer requests in flight per weight.",
    .pick = pick,
};
