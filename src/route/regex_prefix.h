// SPDX-License-Identifier: Apache-2.0
// What a regular expression says about the beginning of its matches. Control thread.
#pragma once
#include "base/arena.h"
#include "route/regex.h"

// The literal text that every subject in which the expression is found begins with. Empty: it is
// not anchored, or begins with something else. Rather too short than wrong. Lives in `arena`.
struct str regex_literal_prefix(const struct regex *regex, struct arena *arena);
