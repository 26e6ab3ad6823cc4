// SPDX-License-Identifier: Apache-2.0
#include "route/match/match_types.h"

static bool eval(const struct match *match, const struct request_view *request)
{
    return string_matcher_eval(&match->value, request->authority);
}

static void dump(const struct match *match, struct buf *out)
{
    string_matcher_dump(&match->value, out);
}

const struct match_type match_authority = {
    .name = "authority",
    .doc = "Compares Host as it was sent, port included.",
    .eval = eval,
    .dump = dump,
};

struct match match_authority_init(struct string_matcher value)
{
    return (struct match){.type = &match_authority, .value = value};
}
