// SPDX-License-Identifier: Apache-2.0
// Host names as Istio's API uses them: short names, wildcards, which of two is narrower. Pure
// functions on lower-case names; a wildcard is "*" (every name) or "*.suffix" (any depth of
// sub-domains, not the suffix itself). Control thread.
#pragma once
#include "base/arena.h"

// The name in lower case (in `arena` only when it had capitals).
struct str host_lower(struct arena *arena, struct str host);
// A host without a dot becomes <host>.<ns>.svc.<domain>; "*" and what has a dot stay. Lower case.
struct str host_expand(struct arena *arena, struct str host, struct str ns, struct str domain);
bool host_is_wildcard(struct str host);
// Every name of `a` is one of `b`.
bool host_is_subset(struct str a, struct str b);
// The narrower of two names when one contains the other; false: they share no name.
bool host_intersect(struct str a, struct str b, struct str *ret_narrower);
// As a sort: exact names first, then longer suffixes, "*" last; then by name.
int host_compare_specificity(struct str a, struct str b);
// Cuts <name>.<ns>.svc.<domain> apart; false when `fqdn` has not that form.
bool host_split_service(struct str fqdn, struct str domain, struct str *ret_name,
                        struct str *ret_ns);
