// SPDX-License-Identifier: Apache-2.0
// The routes of a virtual host by path: a radix tree of bytes for literal paths (one more for those
// that ignore case), a list for the rest. A request walks down its own path only, and gives up as
// soon as nothing below can have a lower rank than what was found. Built by the control thread.
#pragma once
#include "route/match.h"

enum { PATH_INDEX_MIN = 5 }; // with fewer routes looking at each one is faster

const struct path_index *path_index_build(struct arena *arena, const struct route *const *routes,
                                          uint32_t n);
// The route of lowest rank that fits; NULL: none.
const struct route *path_index_find(const struct path_index *index,
                                    const struct request_view *request);

// One route by itself.
bool route_path_fits(const struct route *route, struct str path);
bool route_matches_fit(const struct route *route, const struct request_view *request);
