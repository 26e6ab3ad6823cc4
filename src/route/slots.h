// SPDX-License-Identifier: Apache-2.0
// A space of slots: small numbers handed out to keys. The same key has the same slot as long as
// anyone holds it; a slot whose last holder let go may go to another key, under a new identity.
// Control thread.
#pragma once
#include "base/str.h"

struct slot_space {
    struct slot *slots; // by number; owned
    uint32_t n_slots, cap;
    uint32_t free_head; // first of the free ones, linked through slot.next_free; SLOT_NONE: none
    uint32_t n_held;
    uint32_t *buckets;    // open addressing: slot + 1, 0: empty; owned
    uint32_t bucket_mask; // a power of two - 1; at most half of the buckets are used
    uint64_t last_identity;
};

enum { SLOT_NONE = INT32_MAX };

void slot_space_init(struct slot_space *space);
void slot_space_fini(struct slot_space *space);
// One hold more on the slot of `key`, which is copied when it is new.
uint32_t slot_space_acquire(struct slot_space *space, struct str key, bool *ret_is_new);
// One hold less. True: it was the last, the slot is free.
bool slot_space_release(struct slot_space *space, uint32_t slot);
uint64_t slot_space_identity(const struct slot_space *space, uint32_t slot); // never 0
