// SPDX-License-Identifier: Apache-2.0
// Virtual hosts by name: exact, then the longest wildcard suffix, then "*" (host_table_find in
// match.h). Built by the control thread, read by workers.
#pragma once
#include "route/snapshot.h"

enum { VHOST_UNIT = 64 }; // virtual hosts begin at multiples of it from the first: a cache line

// `base`: where the region begins that holds all the virtual hosts, VHOST_UNIT aligned.
const struct host_table *host_table_build(struct arena *arena, const void *base,
                                          const struct vhost *const *vhosts, uint32_t n);
