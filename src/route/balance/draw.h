// SPDX-License-Identifier: Apache-2.0
// Drawing endpoints at random, for the policies. Workers.
#pragma once
#include "route/balance.h"

#define X(id, file) extern const struct balance_policy balance_##file;
#include "route/balance/list.h"
BALANCE_LIST(X)
#undef X

// A number below n. The high half of `random` decides.
static inline uint32_t balance_below(uint64_t random, uint32_t n)
{
    return (uint32_t)(((random >> 32) * n) >> 32);
}

bool balance_is_tried(const struct balance_view *view, const struct endpoint *endpoint);
// An endpoint by weight, none of the tried ones unless they are all there are.
uint32_t balance_draw(const struct cluster *cluster, const struct balance_view *view,
                      uint64_t random);
