// SPDX-License-Identifier: Apache-2.0
// Making conditions: compile fills an array of `struct match` with these and hangs it on a route.
// Control thread. Names are copied to the arena; what a string_matcher points to is borrowed and
// must live as long as the snapshot (builder_arena, builder_regex).
#pragma once
#include "route/match.h"
#include "route/match/list.h"

#define X(id) extern const struct match_type match_##id;
MATCH_LIST(X)
#undef X

extern const struct match_type *const match_types[]; // NULL behind the last; in the list's order

struct match match_method_init(struct string_matcher value);
struct match match_scheme_init(struct string_matcher value);
struct match match_authority_init(struct string_matcher value); // Host as sent, with its port
// The values of all fields of that name, joined with ','. STRING_IS_PRESENT: any value.
struct match match_header_init(struct arena *arena, struct str name, struct string_matcher value);
// Fits when the header condition would not. STRING_IS_PRESENT: the header must be absent; any other
// kind compares a missing header as an empty value.
struct match match_without_header_init(struct arena *arena, struct str name,
                                       struct string_matcher value);
// The first value of that name in the query, undecoded.
struct match match_query_init(struct arena *arena, struct str name, struct string_matcher value);

// `exact "GET"`, `prefix "x" (any case)`, `present`: for the dump.
void string_matcher_dump(const struct string_matcher *matcher, struct buf *out);
