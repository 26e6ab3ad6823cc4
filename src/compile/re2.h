// SPDX-License-Identifier: Apache-2.0
// Istio's regular expressions are RE2's, ours PCRE2's, which knows more. Control thread.
#pragma once
#include "base/str.h"

// What PCRE2 would take and RE2 does not, or NULL: nothing. Mistakes that both find are PCRE2's to
// tell.
const char *re2_mistake(struct str pattern);
