// SPDX-License-Identifier: Apache-2.0
// What is broken keeps its requests and answers them 503: left out, it would hand them to whatever
// comes behind it, and that may let in what this would not. Control thread.
#pragma once
#include "compile/context.h"

// `route` with its condition alone, answered 503.
static inline void answer_broken(const struct compiler *c, struct route *route)
{
    *route = (struct route){.path_kind = route->path_kind,
                            .path = route->path,
                            .path_ignore_case = route->path_ignore_case,
                            .path_regex = route->path_regex,
                            .matches = route->matches,
                            .n_matches = route->n_matches,
                            .name = route->name,
                            .origin = route->origin,
                            .body_bytes_max = c->options->body_bytes_max,
                            .action = ROUTE_RESPOND,
                            .status = 503,
                            .body = STR("route configuration is invalid (route_invalid)\n")};
}
