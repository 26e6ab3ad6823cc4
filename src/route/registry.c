// SPDX-License-Identifier: Apache-2.0
#include "route/registry.h"
#include "base/buf.h"
#include "base/check.h"
#include "route/slots.h"
#include <stdlib.h>

struct registry {
    struct slot_space spaces[SLOT_KIND_COUNT];
    struct slot_space regex_space; // key: flags, then the pattern
    struct regex **regexes;        // by slot of regex_space
    uint32_t n_regexes;            // room in it
    struct buf key;                // scratch
};

struct registry *registry_create(void)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    CHECK(registry);
    for (int kind = 0; kind < SLOT_KIND_COUNT; kind++)
        slot_space_init(&registry->spaces[kind]);
    slot_space_init(&registry->regex_space);
    return registry;
}

void registry_destroy(struct registry *registry)
{
    if (!registry)
        return;
    for (int kind = 0; kind < SLOT_KIND_COUNT; kind++) {
        CHECK(registry->spaces[kind].n_held == 0); // a snapshot is left
        slot_space_fini(&registry->spaces[kind]);
    }
    CHECK(registry->regex_space.n_held == 0);
    slot_space_fini(&registry->regex_space);
    free(registry->regexes);
    buf_fini(&registry->key);
    free(registry);
}

uint32_t registry_acquire_slot(struct registry *registry, enum slot_kind kind, struct str key,
                               uint64_t *ret_identity)
{
    bool is_new;
    uint32_t slot = slot_space_acquire(&registry->spaces[kind], key, &is_new);
    *ret_identity = slot_space_identity(&registry->spaces[kind], slot);
    return slot;
}

void registry_release_slot(struct registry *registry, enum slot_kind kind, uint32_t slot)
{
    slot_space_release(&registry->spaces[kind], slot);
}

const struct regex *registry_acquire_regex(struct registry *registry, struct str pattern,
                                           unsigned flags, uint32_t *ret_hold, char *reterr_message,
                                           size_t reterr_size, size_t *reterr_offset)
{
    registry->key.len = 0;
    buf_add(&registry->key, &flags, sizeof(flags));
    buf_add_str(&registry->key, pattern);
    bool is_new;
    uint32_t hold = slot_space_acquire(&registry->regex_space, buf_str(&registry->key), &is_new);
    if (is_new) {
        if (hold >= registry->n_regexes) {
            registry->n_regexes = registry->n_regexes ? registry->n_regexes * 2 : 16;
            registry->regexes =
                realloc(registry->regexes, registry->n_regexes * sizeof(*registry->regexes));
            CHECK(registry->regexes && hold < registry->n_regexes);
        }
        registry->regexes[hold] =
            regex_compile(pattern, flags, reterr_message, reterr_size, reterr_offset);
        if (!registry->regexes[hold]) {
            slot_space_release(&registry->regex_space, hold);
            return NULL;
        }
    }
    *ret_hold = hold;
    return registry->regexes[hold];
}

void registry_release_regex(struct registry *registry, uint32_t hold)
{
    if (slot_space_release(&registry->regex_space, hold))
        regex_destroy(registry->regexes[hold]);
}
