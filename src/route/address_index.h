// SPDX-License-Identifier: Apache-2.0
// What is behind an address that clients dial: the entry of the longest prefix that covers it.
// Built by the control thread, immutable, in the snapshot's arena; read by workers.
#pragma once
#include "route/snapshot.h"

struct address_entry {
    struct subnet subnet; // the bits behind the prefix are 0
    const struct captured_destination *destination;
};

// The index of copies of the `n` entries, each subnet once. NULL for none.
const struct address_index *address_index_build(struct arena *arena,
                                                const struct address_entry *entries, uint32_t n);
// The port of `address` does not count. NULL: no entry covers it. `index` may be NULL.
const struct captured_destination *address_index_find(const struct address_index *index,
                                                      const struct address *address);
// All of them, for dump: by family and address; of one address the shorter prefix first.
const struct address_entry *address_index_entries(const struct address_index *index,
                                                  uint32_t *ret_n);
