// SPDX-License-Identifier: Apache-2.0
// Times in format strings: a strftime pattern with fractions of a second, compiled once (control
// thread) and written by workers without libc, lock or locale. English names always.
#pragma once
#include "base/arena.h"

struct time_format;

enum { TIME_TEXT_MAX = 512 }; // longer results are cut

// `pattern` empty: ISO 8601 with milliseconds. NULL: *reterr_offset is where an unknown conversion
// stands in the pattern.
const struct time_format *time_format_compile(struct arena *arena, struct str pattern,
                                              bool is_local, size_t *reterr_offset);
// Returns the length written.
size_t time_format_write(const struct time_format *format, int64_t wall_ns,
                         char out[TIME_TEXT_MAX]);
// The conversions that are served, for the manual.
extern const char time_format_conversions[];
