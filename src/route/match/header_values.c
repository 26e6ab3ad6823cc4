// SPDX-License-Identifier: Apache-2.0
#include "route/match/header_values.h"
#include "base/check.h"
#include <stdlib.h>

enum { JOINED_NEAR = 1024 }; // longer joined values are put together on the heap

void header_values_set_name(struct match *match, struct arena *arena, struct str name)
{
    char *lower = arena_alloc(arena, name.len + 1);
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    match->name = (struct str){lower, name.len};
    match->header_id = (uint8_t)header_id_of(match->name);
    if (match->header_id == HEADER_X_ENVOY) // a family of names, not one
        match->header_id = HEADER_OTHER;
}

static bool has_name(const struct header *header, const struct match *match)
{
    if (match->header_id != HEADER_OTHER)
        return header->id == match->header_id;
    return header->name.len == match->name.len && str_equal_nocase(header->name, match->name);
}

// Index of the next field of that name from `i` on; headers->n: none.
static unsigned next_field(const struct match *match, const struct header_list *headers, unsigned i)
{
    while (i < headers->n && !has_name(&headers->items[i], match))
        i++;
    return i;
}

static unsigned first_field(const struct match *match, const struct header_list *headers)
{
    if (match->header_id != HEADER_OTHER) {
        uint8_t first = headers->first[match->header_id];
        return first ? first - 1u : headers->n;
    }
    return next_field(match, headers, 0);
}

unsigned header_values_count(const struct match *match, const struct request_view *request)
{
    const struct header_list *headers = request->headers;
    unsigned count = 0;
    if (!headers)
        return 0;
    for (unsigned i = first_field(match, headers); i < headers->n;
         i = next_field(match, headers, i + 1))
        count++;
    return count;
}

static void join(const struct match *match, const struct header_list *headers, char *out)
{
    bool is_first = true;
    for (unsigned i = first_field(match, headers); i < headers->n;
         i = next_field(match, headers, i + 1)) {
        struct str value = headers->items[i].value;
        if (!is_first)
            *out++ = ',';
        is_first = false;
        if (value.len)
            out = mempcpy(out, value.ptr, value.len);
    }
}

bool header_values_eval(const struct match *match, const struct request_view *request)
{
    const struct header_list *headers = request->headers;
    if (!headers)
        return string_matcher_eval(&match->value, STR_NONE);
    size_t len = 0;
    unsigned count = 0, first = headers->n;
    for (unsigned i = first_field(match, headers); i < headers->n;
         i = next_field(match, headers, i + 1)) {
        if (count++ == 0)
            first = i;
        len += headers->items[i].value.len;
    }
    if (count <= 1)
        return string_matcher_eval(&match->value, count ? headers->items[first].value : STR_NONE);
    len += count - 1; // the commas
    char near[JOINED_NEAR];
    char *joined = len <= sizeof(near) ? near : malloc(len);
    CHECK(joined); // a head has bounded size
    join(match, headers, joined);
    bool fits = string_matcher_eval(&match->value, (struct str){joined, len});
    if (joined != near)
        free(joined);
    return fits;
}
