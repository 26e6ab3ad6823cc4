// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "route/balance/draw.h"
#include <stdlib.h>

static const struct endpoint *pick_in_turn(const struct cluster *cluster,
                                           struct balance_state *state,
                                           const struct balance_view *view)
{
    uint32_t n = cluster->n_endpoints;
    if (state->cursor >= n)
        state->cursor = 0;
    uint32_t at = state->cursor;
    for (uint32_t i = 0; i < n && view->n_tried; i++) {
        if (!balance_is_tried(view, &cluster->endpoints[at]))
            break; // a whole round leads back to where it began: all are tried
        at = at + 1 < n ? at + 1 : 0;
    }
    state->cursor = at + 1;
    return &cluster->endpoints[at];
}

// Credits go by index, so they are void when the endpoints or their weights have changed.
static void keep_credits(const struct cluster *cluster, struct balance_state *state)
{
    if (state->n_credits == cluster->n_endpoints &&
        state->endpoints_hash == cluster->endpoints_hash)
        return;
    free(state->credits);
    state->credits = calloc(cluster->n_endpoints, sizeof(*state->credits));
    CHECK(state->credits);
    state->n_credits = cluster->n_endpoints;
    state->endpoints_hash = cluster->endpoints_hash;
}

// Smooth weighted round robin: each round everyone earns its weight, the richest is picked and pays
// what all earned. Picks are spread evenly: weights 5, 1, 1 give a a b a c a a.
static const struct endpoint *pick_by_credit(const struct cluster *cluster,
                                             struct balance_state *state,
                                             const struct balance_view *view, bool skips_tried)
{
    int64_t earned = 0;
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        const struct endpoint *endpoint = &cluster->endpoints[i];
        if (skips_tried && balance_is_tried(view, endpoint))
            continue;
        earned += endpoint->weight;
        state->credits[i] += endpoint->weight;
        if (best == UINT32_MAX || state->credits[i] > state->credits[best])
            best = i;
    }
    if (best == UINT32_MAX)
        return NULL;
    state->credits[best] -= earned;
    return &cluster->endpoints[best];
}

static const struct endpoint *pick(const struct cluster *cluster, struct balance_state *state,
                                   const struct balance_view *view, uint64_t generation)
{
    // Workers begin anywhere, lest all begin with the same.
    if (state->generation == 0)
        state->cursor = balance_below(view->random, cluster->n_endpoints);
    bool is_changed = state->generation != generation;
    state->generation = generation ? generation : 1;
    if (!cluster->has_weights)
        return pick_in_turn(cluster, state, view);
    if (is_changed || !state->credits)
        keep_credits(cluster, state);
    const struct endpoint *endpoint =
        view->n_tried ? pick_by_credit(cluster, state, view, true) : NULL;
    return endpoint ? endpoint : pick_by_credit(cluster, state, view, false);
}

const struct balance_policy balance_round_robin = {
    .name = "round-robin",
    .doc = "One endpoint after the other; with weights, spread evenly in proportion to them.",
    .pick = pick,
};
