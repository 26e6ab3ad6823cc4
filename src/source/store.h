// SPDX-License-Identifier: Apache-2.0
// The objects in force, by kind, namespace and name, and the last good version of what broke.
// Control thread. The store owns its objects; compile borrows them until the next change.
#pragma once
#include "model/object.h"

struct store;

struct store *store_create(void);
void store_destroy(struct store *store);
const struct object *store_find(const struct store *store, enum kind kind, struct str ns,
                                struct str name); // NULL: absent
// All objects of a kind, oldest first (created_s, then sequence). Valid until the next change.
const struct object *const *store_all(const struct store *store, enum kind kind, size_t *ret_n);
// Whether any object of the kind was given, and this one, be it too broken to be in force.
bool store_was_given_kind(const struct store *store, enum kind kind);
bool store_was_given(const struct store *store, enum kind kind, struct str ns, struct str name);
uint64_t store_revision(const struct store *store); // grows with every change
struct store_counts {
    size_t objects, last_good, broken;
} store_counts(const struct store *store); // looks at each object
size_t store_n_objects(const struct store *store);
// Asked for a new version of an object before it takes the place of an older one, about the
// mistakes that decoding does not see. A version worse than that in force stays out
// (kept-last-good), and what the check says is shown with it. Without a check all are sound.
enum soundness { OBJECT_SOUND, OBJECT_DOUBTFUL, OBJECT_BROKEN };
typedef enum soundness (*object_check_fn)(void *arg, const struct object *object,
                                          struct diags *diags);
void store_set_checker(struct store *store, object_check_fn check, void *arg);
// Files that objects name by path; compile reads them.
struct text_files *store_files(const struct store *store);
// Diagnostics about what was read, of all sources together (the newest reading of each file).
void store_diags(const struct store *store, struct diags *out);
