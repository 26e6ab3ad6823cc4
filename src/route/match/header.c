// SPDX-License-Identifier: Apache-2.0
#include "route/match/header_values.h"
#include "route/match/match_types.h"

static bool eval(const struct match *match, const struct request_view *request)
{
    return header_values_count(match, request) > 0 &&
           (match->value.kind == STRING_IS_PRESENT || header_values_eval(match, request));
}

static void dump(const struct match *match, struct buf *out)
{
    buf_add_json(out, match->name);
    buf_add_char(out, ' ');
    string_matcher_dump(&match->value, out);
}

const struct match_type match_header = {
    .name = "header",
    .doc = "Compares a request header with a string, prefix or regular expression; repeated fields "
           "are joined with a comma.",
    .eval = eval,
    .dump = dump,
};

struct match match_header_init(struct arena *arena, struct str name, struct string_matcher value)
{
    struct match match = {.type = &match_header, .value = value};
    header_values_set_name(&match, arena, name);
    return match;
}
