// SPDX-License-Identifier: Apache-2.0
#include "http/uri.h"
#include "route/match/match_types.h"

static bool eval(const struct match *match, const struct request_view *request)
{
    struct str value;
    return uri_query_get(request->query, match->name, &value) &&
           string_matcher_eval(&match->value, value);
}

static void dump(const struct match *match, struct buf *out)
{
    buf_add_json(out, match->name);
    buf_add_char(out, ' ');
    string_matcher_dump(&match->value, out);
}

const struct match_type match_query = {
    .name = "query",
    .doc = "Compares the first value of a query parameter, undecoded.",
    .eval = eval,
    .dump = dump,
};

struct match match_query_init(struct arena *arena, struct str name, struct string_matcher value)
{
    return (struct match){.type = &match_query, .name = arena_str(arena, name), .value = value};
}
