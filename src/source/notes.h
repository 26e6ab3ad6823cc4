// SPDX-License-Identifier: Apache-2.0
// Diagnostics of one document, packed: most documents have none, and ten thousand may have one.
// Control thread.
#pragma once
#include "base/diag.h"
#include "model/decode.h"

struct notes; // one allocation; NULL when there is nothing to say

// What `diags` holds from `from` on, and the kinds that were passed over.
struct notes *notes_pack(const struct diags *diags, size_t from, const struct skipped_kind *skipped,
                         uint32_t n_skipped);
void notes_destroy(struct notes *notes);

struct note {
    enum diag_code code;
    uint32_t line, col;
    uint32_t count; // of objects passed over; 0: an ordinary diagnostic
    struct str object, path, message, hint; // borrowed from the notes
};
// for (size_t i = 0; notes_next(notes, &i, &note);)
bool notes_next(const struct notes *notes, size_t *cursor, struct note *ret);
