// SPDX-License-Identifier: Apache-2.0
#include "cli/diag_history.h"
#include "base/check.h"
#include "base/map.h"
#include <stdlib.h>

struct entry {
    const struct diag *diag; // valid during the update that made it
    struct str rendered;
};

struct diag_history {
    struct arena *arena; // of the entries and keys
    struct map *entries; // by key
};

static struct diag_history empty_history(void)
{
    return (struct diag_history){.arena = arena_create(0), .entries = map_create()};
}

static void fini(struct diag_history *history)
{
    map_destroy(history->entries);
    arena_destroy(history->arena);
}

struct diag_history *diag_history_create(void)
{
    struct diag_history *history = malloc(sizeof *history);
    CHECK(history != NULL);
    *history = empty_history();
    return history;
}

void diag_history_destroy(struct diag_history *history)
{
    if (!history)
        return;
    fini(history);
    free(history);
}

static void add_entry(struct diag_history *history, const struct diag *diag, struct buf *scratch)
{
    // Parts are kept apart by a byte that none of them holds.
    const struct str parts[] = {diag->place.file, diag->object, diag->path, diag->message};
    scratch->len = 0;
    buf_add_text(scratch, diag_word(diag->code));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_add_char(scratch, '\x1f');
        buf_add_str(scratch, parts[i]);
    }
    if (map_find(history->entries, buf_str(scratch)))
        return; // the same mistake on another line
    struct str key = arena_str(history->arena, buf_str(scratch));
    scratch->len = 0;
    diag_render(diag, scratch);
    struct entry *entry = ARENA_NEW(history->arena, struct entry);
    entry->diag = diag;
    entry->rendered = arena_str(history->arena, buf_str(scratch));
    map_put(history->entries, key, entry);
}

void diag_history_update(struct diag_history *history, const struct diags *diags,
                         const struct diag_events *events)
{
    struct diag_history next = empty_history();
    struct buf scratch = {0};
    for (size_t i = 0; i < diags_count(diags); i++)
        add_entry(&next, diags_get(diags, i), &scratch);
    buf_fini(&scratch);

    struct str key;
    void *value;
    for (size_t i = 0; map_next(history->entries, &i, &key, &value);) {
        if (!map_find(next.entries, key))
            events->on_gone(events->arg, ((struct entry *)value)->rendered);
    }
    for (size_t i = 0; map_next(next.entries, &i, &key, &value);) {
        const struct entry *entry = value;
        if (!map_find(history->entries, key))
            events->on_new(events->arg, entry->diag, entry->rendered);
    }
    fini(history);
    *history = next;
}
