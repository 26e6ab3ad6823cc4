// SPDX-License-Identifier: Apache-2.0
#include "route/match/match_types.h"

static bool eval(const struct match *match, const struct request_view *request)
{
    return string_matcher_eval(&match->value, request->scheme);
}

static void dump(const struct match *match, struct buf *out)
{
    string_matcher_dump(&match->value, out);
}

const struct match_type match_scheme = {
    .name = "scheme",
    .doc = "Compares the scheme the request came with: http or https.",
    .eval = eval,
    .dump = dump,
};

struct match match_scheme_init(struct string_matcher value)
{
    return (struct match){.type = &match_scheme, .value = value};
}
