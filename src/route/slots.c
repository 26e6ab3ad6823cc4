// SPDX-License-Identifier: Apache-2.0
#include "route/slots.h"
#include "base/check.h"
#include "base/map.h"
#include <stdlib.h>

struct slot {
    char *key; // owned; NULL: free
    uint32_t key_len;
    uint32_t hash;
    uint32_t holders;
    uint32_t next_free;
    uint64_t identity;
};

void slot_space_init(struct slot_space *space)
{
    *space = (struct slot_space){.free_head = SLOT_NONE};
}

void slot_space_fini(struct slot_space *space)
{
    for (uint32_t i = 0; i < space->n_slots; i++)
        free(space->slots[i].key);
    free(space->slots);
    free(space->buckets);
    slot_space_init(space);
}

static void place(struct slot_space *space, uint32_t slot)
{
    uint32_t at = space->slots[slot].hash & space->bucket_mask;
    while (space->buckets[at])
        at = (at + 1) & space->bucket_mask;
    space->buckets[at] = slot + 1;
}

static void grow_buckets(struct slot_space *space)
{
    uint32_t n = space->buckets ? (space->bucket_mask + 1) * 2 : 16;
    free(space->buckets);
    space->buckets = calloc(n, sizeof(*space->buckets));
    CHECK(space->buckets);
    space->bucket_mask = n - 1;
    for (uint32_t i = 0; i < space->n_slots; i++) {
        if (space->slots[i].key)
            place(space, i);
    }
}

static uint32_t take_free_slot(struct slot_space *space)
{
    if (space->free_head != SLOT_NONE) {
        uint32_t slot = space->free_head;
        space->free_head = space->slots[slot].next_free;
        return slot;
    }
    if (space->n_slots == space->cap) {
        space->cap = space->cap ? space->cap * 2 : 16;
        space->slots = realloc(space->slots, space->cap * sizeof(*space->slots));
        CHECK(space->slots);
    }
    return space->n_slots++;
}

uint32_t slot_space_acquire(struct slot_space *space, struct str key, bool *ret_is_new)
{
    if (!space->buckets || space->n_held >= (space->bucket_mask + 1) / 2)
        grow_buckets(space);
    uint32_t hash = (uint32_t)hash_bytes(key.ptr, key.len);
    for (uint32_t at = hash & space->bucket_mask; space->buckets[at];
         at = (at + 1) & space->bucket_mask) {
        struct slot *slot = &space->slots[space->buckets[at] - 1];
        if (slot->hash == hash && str_equal((struct str){slot->key, slot->key_len}, key)) {
            slot->holders++;
            *ret_is_new = false;
            return space->buckets[at] - 1;
        }
    }
    uint32_t number = take_free_slot(space);
    struct slot *slot = &space->slots[number];
    slot->key = malloc(key.len + 1); // never NULL: that means free
    CHECK(slot->key);
    if (key.len)
        memcpy(slot->key, key.ptr, key.len);
    slot->key_len = (uint32_t)key.len;
    slot->hash = hash;
    slot->holders = 1;
    slot->identity = ++space->last_identity;
    space->n_held++;
    place(space, number);
    *ret_is_new = true;
    return number;
}

// Closes the gap at `gap` by moving back what was pushed past it, so that no tombstones are needed.
static void close_gap(struct slot_space *space, uint32_t gap)
{
    uint32_t mask = space->bucket_mask;
    for (uint32_t at = (gap + 1) & mask; space->buckets[at]; at = (at + 1) & mask) {
        uint32_t home = space->slots[space->buckets[at] - 1].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            space->buckets[gap] = space->buckets[at];
            gap = at;
        }
    }
    space->buckets[gap] = 0;
}

bool slot_space_release(struct slot_space *space, uint32_t number)
{
    CHECK(number < space->n_slots && space->slots[number].key);
    struct slot *slot = &space->slots[number];
    if (--slot->holders > 0)
        return false;
    uint32_t at = slot->hash & space->bucket_mask;
    while (space->buckets[at] != number + 1)
        at = (at + 1) & space->bucket_mask;
    close_gap(space, at);
    free(slot->key);
    slot->key = NULL;
    slot->next_free = space->free_head;
    space->free_head = number;
    space->n_held--;
    return true;
}

uint64_t slot_space_identity(const struct slot_space *space, uint32_t slot)
{
    CHECK(slot < space->n_slots && space->slots[slot].key);
    return space->slots[slot].identity;
}
