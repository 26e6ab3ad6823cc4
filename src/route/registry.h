// SPDX-License-Identifier: Apache-2.0
// Stable slots for identities, and compiled regular expressions shared between snapshots. Control
// thread. One registry a process; snapshots hold references and give them back when destroyed.
#pragma once
#include "route/snapshot.h"

struct registry;
struct registry *registry_create(void);
void registry_destroy(struct registry *registry); // after all its snapshots

// What follows is for the builder and snapshot_destroy.
enum slot_kind { SLOT_LISTENER, SLOT_CLUSTER, SLOT_ENDPOINT, SLOT_KIND_COUNT };
// A hold on the slot of that identity. *ret_identity: not 0, and never given twice for a kind, so
// that who keeps state by slot sees that the slot has changed hands.
uint32_t registry_acquire_slot(struct registry *registry, enum slot_kind kind, struct str key,
                               uint64_t *ret_identity);
void registry_release_slot(struct registry *registry, enum slot_kind kind, uint32_t slot);
// A hold on a compiled expression; *ret_hold gives it back. NULL: see regex_compile.
const struct regex *registry_acquire_regex(struct registry *registry, struct str pattern,
                                           unsigned flags, uint32_t *ret_hold, char *reterr_message,
                                           size_t reterr_size, size_t *reterr_offset);
void registry_release_regex(struct registry *registry, uint32_t hold);
