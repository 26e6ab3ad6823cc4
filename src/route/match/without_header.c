// SPDX-License-Identifier: Apache-2.0
#include "route/match/header_values.h"
#include "route/match/match_types.h"

static bool eval(const struct match *match, const struct request_view *request)
{
    if (match->value.kind == STRING_IS_PRESENT)
        return header_values_count(match, request) == 0;
    return !header_values_eval(match, request);
}

static void dump(const struct match *match, struct buf *out)
{
    buf_add_json(out, match->name);
    buf_add_char(out, ' ');
    string_matcher_dump(&match->value, out);
}

const struct match_type match_without_header = {
    .name = "without-header",
    .doc = "Fits when the header does not compare equal; a missing header counts as an empty "
           "value, and `present` asks that it is absent.",
    .eval = eval,
    .dump = dump,
};

struct match match_without_header_init(struct arena *arena, struct str name,
                                       struct string_matcher value)
{
    struct match match = {.type = &match_without_header, .value = value};
    header_values_set_name(&match, arena, name);
    return match;
}
