// SPDX-License-Identifier: Apache-2.0
// One file of manifests: its documents, the claims they make, and what there is to say about them.
// Control thread.
//
//   ghost   a document that stands in the file no more, or cannot be told for a mistake in the file,
//           but of which the objects stay in force
#pragma once
#include "source/claim.h"

struct manifest;

struct manifest *manifest_create(struct str path);
void manifest_destroy(struct manifest *manifest, struct store *store); // withdraws its claims
struct str manifest_path(const struct manifest *manifest);

enum manifest_result {
    MANIFEST_UNCHANGED,
    MANIFEST_CHANGED, // also if only its diagnostics did
    MANIFEST_GONE,    // there is no such file; nothing was changed
};
enum manifest_read_mode {
    MANIFEST_IF_CHANGED, // a look at the inode tells
    MANIFEST_FINISHED,   // the writer has closed it
    MANIFEST_UNFINISHED, // somebody is writing: what is missing may still come
};
// Asked when the text is read and before it is taken, so that a writer who came meanwhile is seen.
struct manifest_guard {
    bool (*is_being_written)(void *arg, struct str path);
    void *arg;
};
enum manifest_result manifest_read(struct manifest *manifest, struct store *store,
                                   enum manifest_read_mode mode,
                                   const struct manifest_guard *guard);
// Takes `text` as the file's content. While it is unfinished its last document may be half a one and
// does not count, unless `...` ends it; no object goes.
enum manifest_result manifest_take(struct manifest *manifest, struct store *store, struct str text,
                                   bool is_unfinished);
void manifest_report(const struct manifest *manifest, struct diags *out);

// A mark for whoever walks over many.
unsigned manifest_generation(const struct manifest *manifest);
void manifest_set_generation(struct manifest *manifest, unsigned generation);
