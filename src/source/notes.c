// SPDX-License-Identifier: Apache-2.0
#include "source/notes.h"
#include "base/check.h"
#include <stdlib.h>

struct notes {
    size_t bytes;
    char data[];
};

struct head {
    uint32_t code, line, col, count;
    uint32_t lens[4]; // object, path, message, hint
};

static void add(struct buf *buf, enum diag_code code, uint32_t line, uint32_t col, uint32_t count,
                const struct str texts[4])
{
    struct head head = {(uint32_t)code, line, col, count, {0}};
    for (size_t i = 0; i < 4; i++)
        head.lens[i] = (uint32_t)texts[i].len;
    buf_add(buf, &head, sizeof(head));
    for (size_t i = 0; i < 4; i++)
        buf_add_str(buf, texts[i]);
}

struct notes *notes_pack(const struct diags *diags, size_t from, const struct skipped_kind *skipped,
                         uint32_t n_skipped)
{
    struct buf buf = {0};
    for (size_t i = from; i < diags_count(diags); i++) {
        const struct diag *diag = diags_get(diags, i);
        struct str texts[4] = {diag->object, diag->path, diag->message, diag->hint};
        add(&buf, diag->code, diag->place.line, diag->place.col, 0, texts);
    }
    for (uint32_t i = 0; i < n_skipped; i++) {
        struct str texts[4] = {skipped[i].kind, skipped[i].api_version, STR_NONE,
                               str_of(skipped[i].meant)};
        add(&buf, DIAG_KIND_NOT_SERVED, skipped[i].line, skipped[i].col, skipped[i].n, texts);
    }
    struct notes *notes = NULL;
    if (buf.len) {
        notes = malloc(sizeof(*notes) + buf.len);
        CHECK(notes != NULL);
        notes->bytes = buf.len;
        memcpy(notes->data, buf.data, buf.len);
    }
    buf_fini(&buf);
    return notes;
}

void notes_destroy(struct notes *notes)
{
    free(notes);
}

bool notes_next(const struct notes *notes, size_t *cursor, struct note *ret)
{
    if (!notes || *cursor == notes->bytes)
        return false;
    struct head head;
    memcpy(&head, notes->data + *cursor, sizeof(head));
    *cursor += sizeof(head);
    *ret = (struct note){
        .code = (enum diag_code)head.code, .line = head.line, .col = head.col, .count = head.count};
    struct str *texts[4] = {&ret->object, &ret->path, &ret->message, &ret->hint};
    for (size_t i = 0; i < 4; i++) {
        *texts[i] = (struct str){notes->data + *cursor, head.lens[i]};
        *cursor += head.lens[i];
    }
    return true;
}
