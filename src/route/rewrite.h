// SPDX-License-Identifier: Apache-2.0
// What a route does to a path, and the Location of a redirect. Workers; no allocation.
#pragma once
#include "route/match.h"

// Writes the path to forward (with query) to `out` and returns its length; > cap: did not fit
// (the request is answered 414). Only called when route->rewrite has a path rewrite.
size_t rewrite_path(const struct route *route, struct str path, struct str query, bool has_query,
                    char *out, size_t cap);
// Writes the Location to `out` likewise. `scheme` is the request's own; `listener_port` as named in
// the manifest.
size_t redirect_location(const struct route *route, const struct request_view *request,
                         bool has_query, struct str scheme, uint16_t listener_port, char *out,
                         size_t cap);
