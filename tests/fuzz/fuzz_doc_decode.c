// SPDX-License-Identifier: Apache-2.0
// A file of YAML or JSON documents to objects: never a crash, each broken object is said why, and
// every diagnostic lies within the file.
#include "base/buf.h"
#include "base/doc.h"
#include "fuzz.h"
#include "model/decode.h"

static void decode_part(struct str part, uint32_t line, struct diags *diags)
{
    struct arena *scratch = arena_create(0);
    struct decode_result result = {0};
    size_t errors_before = diags_count_level(diags, DIAG_ERROR);
    decode_document(scratch, part, STR("fuzz.yaml"), line, diags, &result);
    CHECK(!result.had_errors || diags_count_level(diags, DIAG_ERROR) > errors_before);
    for (uint32_t i = 0; i < result.n; i++)
        object_destroy(result.objects[i]);
    arena_destroy(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_copy(data, size);
    struct str stream = {copy, size}, part;
    uint32_t line = 1, part_line, n_lines = 1;
    for (size_t i = 0; i < size; i++)
        n_lines += copy[i] == '\n' || copy[i] == '\r';
    struct diags *diags = diags_create();
    struct buf text = {0};
    for (size_t cursor = 0; doc_split(stream, &cursor, &line, &part, &part_line);)
        decode_part(part, part_line, diags);
    diags_sort(diags);
    for (size_t i = 0; i < diags_count(diags); i++) {
        const struct diag *diag = diags_get(diags, i);
        CHECK(diag->place.line <= n_lines + 1); // an unfinished document ends behind the last line
        diag_render(diag, &text);
        diag_render_json(diag, &text);
    }
    buf_fini(&text);
    diags_destroy(diags);
    free(copy);
    return 0;
}
