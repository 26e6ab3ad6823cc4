// SPDX-License-Identifier: Apache-2.0
#include "route/balance/draw.h"

static const struct endpoint *pick(const struct cluster *cluster, struct balance_state *state,
                                   const struct balance_view *view, uint64_t generation)
{
    return &cluster->endpoints[balance_draw(cluster, view, view->random)];
}

const struct balance_policy balance_random = {
    .name = "random",
    .doc = "Any endpoint, in proportion to its weight.",
    .pick = pick,
};
