// SPDX-License-Identifier: Apache-2.0
// How sources feed the store. A claim says that an object exists: a document of a file makes one,
// and so does a live object. Claims of the same identity stand in order of (file, line); the first
// one's object is in force. Control thread.
//
// A source replaces an object by adding the new claim before it withdraws the old one: so the
// identity keeps its age.
#pragma once
#include "base/list.h"
#include "source/store.h"

struct identity;

struct claim {
    struct identity *identity; // set while in the store
    struct claim *next;        // of the identity
    struct object *object;     // owned by the claim; NULL: broken, and there was never a good one
    struct str file;           // borrowed; must outlive the claim
    uint32_t line, col;        // the newest version's place in it
    bool is_stand_in;          // the object is an older version than the one at this place
    bool is_leaving;           // the source is about to withdraw it
};

// Adds a claim. Its object, file and place must be set.
void store_add(struct store *store, struct claim *claim, enum kind kind, struct str ns,
               struct str name);
// Takes the claim out and destroys its object.
void store_withdraw(struct store *store, struct claim *claim);
// After a claim's line changed, or its object's is_last_good.
void store_refresh(struct store *store, struct claim *claim);
// What the store's checker says of the object; one with invalid parts is broken.
enum soundness store_check(const struct store *store, const struct object *object,
                           struct diags *diags);
// The first claim of an identity, or NULL.
struct claim *store_claims(const struct store *store, enum kind kind, struct str ns,
                           struct str name);
bool store_has_duplicates(const struct store *store);
// Something that store_diags tells has changed.
void store_touch(struct store *store);

// What a source has to say for store_diags.
struct reporter {
    struct list node;
    void (*report)(struct reporter *reporter, struct diags *out);
};
void store_add_reporter(struct store *store, struct reporter *reporter);
void store_remove_reporter(struct store *store, struct reporter *reporter);

void identity_of(const struct claim *claim, enum kind *ret_kind, struct str *ret_ns,
                 struct str *ret_name);
