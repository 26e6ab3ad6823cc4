// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: decode a text, compare its diagnostics as rendered.
#pragma once
#include "base/doc.h"
#include "model/decode.h"
#include "model/istio.h"
#include "model/kubernetes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct decoded {
    struct arena *scratch;
    struct diags *diags;
    struct decode_result result;
    const struct object *object; // the first, or NULL
};

static inline struct decoded decode(const char *text)
{
    struct decoded decoded = {.scratch = arena_create(0), .diags = diags_create()};
    decode_document(decoded.scratch, str_of(text), STR("f"), 1, decoded.diags, &decoded.result);
    decoded.object = decoded.result.n ? decoded.result.objects[0] : NULL;
    return decoded;
}

static inline void decoded_fini(struct decoded *decoded)
{
    for (uint32_t i = 0; i < decoded->result.n; i++)
        object_destroy(decoded->result.objects[i]);
    diags_destroy(decoded->diags);
    arena_destroy(decoded->scratch);
}

static inline void assert_diags(const struct decoded *decoded, const char *expected)
{
    struct buf out = {0};
    diags_sort(decoded->diags);
    for (size_t i = 0; i < diags_count(decoded->diags); i++) {
        diag_render(diags_get(decoded->diags, i), &out);
        buf_add_char(&out, '\n');
    }
    assert_string_equal(out.data ? out.data : "", expected);
    buf_fini(&out);
}

// Decodes, compares, forgets.
static inline void expect(const char *text, const char *diags)
{
    struct decoded decoded = decode(text);
    assert_diags(&decoded, diags);
    decoded_fini(&decoded);
}

// As expect, without places, objects and hints: "word path: message" a line.
static inline void expect_messages(const char *text, const char *messages)
{
    struct decoded decoded = decode(text);
    struct buf out = {0};
    diags_sort(decoded.diags);
    for (size_t i = 0; i < diags_count(decoded.diags); i++) {
        const struct diag *diag = diags_get(decoded.diags, i);
        buf_printf(&out, "%s %.*s: %.*s\n", diag_word(diag->code), STR_ARG(diag->path),
                   STR_ARG(diag->message));
    }
    decoded_fini(&decoded);
    assert_string_equal(out.data ? out.data : "", messages);
    buf_fini(&out);
}
