// SPDX-License-Identifier: Apache-2.0
// From a document to an object, driven by the field tables (model/field.h). Control thread.
#pragma once
#include "model/object.h"

struct decode_result {
    struct object **objects; // several for kind: List; the array lives in the caller's arena
    uint32_t n;
    bool had_errors; // some object of this document is broken (see `broken`)
    // Identities of the objects that could be told but not decoded: their last good version stands.
    struct object_key {
        enum kind kind;
        struct str ns, name;
        uint32_t line, col; // of its kind, as lines of the file
    } *broken;
    uint32_t n_broken;
    // Kinds that are none of ours: the source makes one kind-not-served note a kind and file of them.
    struct skipped_kind {
        struct str kind, api_version; // in scratch
        uint32_t line, col;           // of `kind` where it occurs first, as lines of the file
        uint32_t n;                   // how many objects
        const char *meant;            // "did you mean", or NULL
    } *skipped;
    uint32_t n_skipped;
    // The text could not be read as a document, or something in it does not say which object it is:
    // which objects are in it is not known.
    bool is_unreadable;
};

// Decodes one document (text of one part of a stream, `first_line` its line in `file`). Diagnostics
// go to `diags`. The objects are the caller's and borrow `file`; `scratch` holds the result arrays
// and the node tree.
void decode_document(struct arena *scratch, struct str text, struct str file, uint32_t first_line,
                     struct diags *diags, struct decode_result *ret);

// A broken part of an object (one path, one rule) harms that part: it is flagged is_invalid and the
// object still counts. What cannot be contained breaks the object; of a DestinationRule that asks for
// TLS its host stays, and of a Sidecar that shuts something whom it is for (is_broken).

// docs/reference/<kind>.md from the tables, for `sluicegate docs`.
void decode_print_reference(enum kind kind, struct buf *out);
