// SPDX-License-Identifier: Apache-2.0
#include "route/match.h"
#include "route/match/match_types.h"
#include "route/path_index.h"

// A condition that could not be decided may have been there to keep the request out: neither its
// route nor one behind it takes the request.
static const struct route undecided = {
    .path_kind = PATH_ANY,
    .action = ROUTE_RESPOND,
    .status = 503,
    .body = {"a regular expression took too long (regex_limit)\n", 49},
};

static const struct route *find_route(const struct vhost *vhost, const struct request_view *request)
{
    if (vhost->index)
        return path_index_find(vhost->index, request);
    for (uint32_t i = 0; i < vhost->n_routes; i++) {
        const struct route *route = vhost->routes[i];
        if (route_path_fits(route, request->path) &&
            (route->n_matches == 0 || route_matches_fit(route, request)))
            return route;
    }
    return NULL;
}

const struct route *vhost_find_route(const struct vhost *vhost, const struct request_view *request)
{
    regex_gave_up(); // what a rewrite left
    const struct route *route = find_route(vhost, request);
    return regex_gave_up() ? &undecided : route;
}

// Callers may draw the endpoint with the same number: without mixing, the half of the numbers that
// chose this target would choose the same half of its endpoints (splitmix64's finish).
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static const struct target *draw(const struct target *targets, uint16_t n, uint32_t total_weight,
                                 uint64_t random)
{
    if (total_weight == 0)
        return NULL;
    if (n == 1)
        return targets;
    uint32_t drawn = (uint32_t)(((mix(random) >> 32) * total_weight) >> 32);
    const struct target *target = targets;
    while (drawn >= target->weight)
        drawn -= target++->weight;
    return target;
}

const struct target *route_pick_target(const struct route *route, uint64_t random)
{
    return draw(route->targets, route->n_targets, route->total_weight, random);
}

const struct target *tcp_route_pick_target(const struct tcp_route *route, uint64_t random)
{
    return draw(route->targets, route->n_targets, route->total_weight, random);
}

bool string_matcher_eval(const struct string_matcher *matcher, struct str value)
{
    switch (matcher->kind) {
    case STRING_IS_PRESENT:
        return true;
    case STRING_IS_EXACT:
        return matcher->ignore_case ? str_equal_nocase(value, matcher->text)
                                    : str_equal(value, matcher->text);
    case STRING_IS_PREFIX:
        return matcher->ignore_case
                   ? str_equal_nocase(str_upto(value, matcher->text.len), matcher->text)
                   : str_has_prefix(value, matcher->text);
    case STRING_IS_REGEX:
        return regex_matches_whole(matcher->regex, value);
    }
    return false;
}

void string_matcher_dump(const struct string_matcher *matcher, struct buf *out)
{
    static const char *const words[] = {"present", "exact ", "prefix ", "regex "};
    buf_add_text(out, words[matcher->kind]);
    if (matcher->kind != STRING_IS_PRESENT)
        buf_add_json(out, matcher->text);
    if (matcher->ignore_case && matcher->kind != STRING_IS_PRESENT)
        buf_add_text(out, " (any case)");
}

#define X(id) &match_##id,
const struct match_type *const match_types[] = {MATCH_LIST(X) NULL};
#undef X
