// SPDX-License-Identifier: Apache-2.0
#include "route/balance.h"
#include "route/balance/draw.h"
#include <stdlib.h>

static const struct balance_policy *const policies[] = {
#define X(id, file) [BALANCE_##id] = &balance_##file,
    BALANCE_LIST(X)
#undef X
};

void balance_state_fini(struct balance_state *state)
{
    free(state->credits);
    state->credits = NULL;
    state->n_credits = 0;
}

const struct endpoint *balance_pick(const struct cluster *cluster, struct balance_state *state,
                                    const struct balance_view *view, uint64_t generation)
{
    if (cluster->n_endpoints <= 1)
        return cluster->n_endpoints ? cluster->endpoints : NULL;
    return policies[cluster->balancer]->pick(cluster, state, view, generation);
}

const char *balancer_name(enum balancer balancer)
{
    return policies[balancer]->name;
}
