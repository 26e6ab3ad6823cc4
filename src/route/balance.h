// SPDX-License-Identifier: Apache-2.0
// Choosing an endpoint: one file a policy in route/balance/, listed in route/balance/list.h.
// Workers; the state is the worker's own, kept by cluster slot across snapshots.
#pragma once
#include "route/snapshot.h"

struct balance_state { // one a worker and cluster; zeroed at first
    uint32_t cursor;
    uint32_t n_credits;      // weighted round robin: smooth weights, by endpoint index
    int64_t *credits;        // owned; freed by balance_state_fini
    uint64_t generation;     // of the snapshot that was served last
    uint32_t endpoints_hash; // of the cluster that the credits belong to
};
void balance_state_fini(struct balance_state *state);

struct balance_view {
    uint64_t random, random2;
    uint32_t (*active)(void *arg, const struct endpoint *endpoint); // requests in flight there
    void *arg;
    const struct endpoint *const
        *tried; // endpoints of this request's failed tries: avoided if others are left
    unsigned n_tried;
};

struct balance_policy {
    const char *name, *doc;
    // Of at least two endpoints; passes over view->tried unless that is all of them.
    const struct endpoint *(*pick)(const struct cluster *cluster, struct balance_state *state,
                                   const struct balance_view *view, uint64_t generation);
};
// NULL: the cluster has no endpoints.
const struct endpoint *balance_pick(const struct cluster *cluster, struct balance_state *state,
                                    const struct balance_view *view, uint64_t generation);
const char *balancer_name(enum balancer balancer);
