// SPDX-License-Identifier: Apache-2.0
// Finding the route of a request: host, then path index, then the remaining conditions; the lowest
// rank that fits wins. No allocation, no lock; workers.
#pragma once
#include "route/snapshot.h"

struct request_view { // borrowed for the call
    struct str host;  // lower case, without port (uri_split_authority)
    struct str path;  // normalised, without query
    struct str query;
    struct str method, scheme, authority; // authority as sent
    const struct header_list *headers;
};

// The virtual host for a name: exact, longest wildcard suffix, "*"; NULL: none.
const struct vhost *host_table_find(const struct host_table *table, struct str host);
// NULL: no route fits (404, NR).
const struct route *vhost_find_route(const struct vhost *vhost, const struct request_view *request);

// Draws a target by weight. `random` is any 64-bit number. NULL: all weights are 0.
const struct target *route_pick_target(const struct route *route, uint64_t random);
const struct target *tcp_route_pick_target(const struct tcp_route *route, uint64_t random);

bool string_matcher_eval(const struct string_matcher *matcher, struct str value);
