// SPDX-License-Identifier: Apache-2.0
#include "model/object.h"

static const char *const kind_words[] = {
#define X(id, word, group, cluster_scoped) word,
    KINDS(X)
#undef X
};

const char *kind_word(enum kind kind)
{
    return kind_words[kind];
}

const struct text *text_map_find(const struct text_map *map, struct str key)
{
    for (uint32_t i = 0; i < map->n; i++) {
        if (str_equal(text_str(map->items[i].key), key))
            return &map->items[i].value;
    }
    return NULL;
}

bool text_map_contains(const struct text_map *map, const struct text_map *wanted)
{
    for (uint32_t i = 0; i < wanted->n; i++) {
        const struct text *value = text_map_find(map, text_str(wanted->items[i].key));
        if (!value || !str_equal(text_str(*value), text_str(wanted->items[i].value)))
            return false;
    }
    return true;
}

void object_destroy(struct object *object)
{
    if (object)
        arena_destroy(object->arena); // the object lives in it
}

struct place object_place(const struct object *object, uint32_t line, uint32_t col)
{
    return (struct place){object->file, line ? object->first_line + line - 1 : 0, col};
}
