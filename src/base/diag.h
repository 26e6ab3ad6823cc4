// SPDX-License-Identifier: Apache-2.0
// Diagnostics are values: what is wrong in what a user wrote, where, and what is allowed. Collected
// in `struct diags`, rendered by whoever shows them (log, check, tests, later events). Control
// thread.
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/diag_codes.h"

enum diag_level { DIAG_NOTE, DIAG_WARNING, DIAG_ERROR };

enum diag_code {
#define X(id, word, level, sentence) DIAG_##id,
    DIAG_CODES(X)
#undef X
    DIAG_CODE_COUNT
};

struct place {
    struct str file;    // as given on the command line or found below it; empty: no file
    uint32_t line, col; // 1-based; 0: the whole file
};

struct diag {
    enum diag_code code;
    enum diag_level level; // the code's
    struct place place;
    struct str object; // "Ingress shop/web"; may be empty
    struct str path;   // "spec.rules[0].host"; may be empty
    struct str message;
    struct str hint; // "did you mean ...", what to do; may be empty
};

struct diags; // owns everything in it

struct diags *diags_create(void);
void diags_destroy(struct diags *diags);
// All strings are copied. Returns the diagnostic for setting `hint` by diag_hint.
struct diag *diags_add(struct diags *diags, enum diag_code code, struct place place,
                       struct str object, struct str path, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void diag_hint(struct diags *diags, struct diag *diag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diags_add_all(struct diags *diags, const struct diags *from); // copies
size_t diags_count(const struct diags *diags);
size_t diags_count_level(const struct diags *diags, enum diag_level level);
const struct diag *diags_get(const struct diags *diags, size_t i);
void diags_sort(struct diags *diags); // by file, line, column, code, message; drops exact repeats

const char *diag_word(enum diag_code code);
const char *diag_sentence(enum diag_code code);
enum diag_level diag_code_level(enum diag_code code);
// file:line:col: level[word] Object path: message; hint
void diag_render(const struct diag *diag, struct buf *out);
void diag_render_json(const struct diag *diag, struct buf *out);
// The candidate nearest to `text`, or STR_NONE when none is near enough to suggest.
struct str diag_nearest(struct str text, const struct str *candidates, size_t n);
