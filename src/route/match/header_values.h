// SPDX-License-Identifier: Apache-2.0
// The values of a header for the conditions that look at it. Workers.
#pragma once
#include "route/match.h"

// How many fields have the condition's name.
unsigned header_values_count(const struct match *match, const struct request_view *request);
// Compares the values, joined with ',' (RFC 9110, 5.3), with the condition's string.
bool header_values_eval(const struct match *match, const struct request_view *request);

// For the init functions: the lower-cased name and its id.
void header_values_set_name(struct match *match, struct arena *arena, struct str name);
