// SPDX-License-Identifier: Apache-2.0
// Regular expressions: PCRE2 with JIT behind one file. Match, depth and heap limits are set, so no
// pattern can stall a worker: a match that hits one counts as no match, and regex_gave_up() tells.
// Compiled in the control thread, shared through the registry by pattern; matching in any thread.
#pragma once
#include "base/str.h"

struct regex;

enum { REGEX_IGNORE_CASE = 1, REGEX_GROUPS_MAX = 10 };

// NULL: reterr_message (of reterr_size) and *reterr_offset say why.
struct regex *regex_compile(struct str pattern, unsigned flags, char *reterr_message,
                            size_t reterr_size, size_t *reterr_offset);
void regex_destroy(struct regex *regex);
// Translates to machine code for the uses that are named; without it a match is interpreted.
// Control thread, before workers use it that way: sealing a snapshot does it for all in it.
enum { REGEX_FOR_WHOLE = 1, REGEX_FOR_SEARCH = 2 };
void regex_prepare(const struct regex *regex, unsigned uses);
// The whole subject must match.
bool regex_matches_whole(const struct regex *regex, struct str subject);
// Somewhere in the subject, from `start`. ret_groups[0] is the match; groups that took no part are
// STR_NONE. Returns the number of groups filled (<= n_groups), 0: no match.
unsigned regex_search(const struct regex *regex, struct str subject, size_t start,
                      struct str *ret_groups, unsigned n_groups);
bool regex_finds(const struct regex *regex, struct str subject); // as regex_search, yes or no
// Did a match of this thread hit a limit since the last call? Whether it would have matched is not known.
bool regex_gave_up(void);
struct str regex_pattern(const struct regex *regex);
unsigned regex_flags(const struct regex *regex);
