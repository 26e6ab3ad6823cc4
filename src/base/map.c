// SPDX-License-Identifier: Apache-2.0
// Entries stand in an array in order of insertion; an open-addressed table of positions finds them.
// A removed entry leaves a hole in the array that the next growth closes.
#include "base/map.h"
#include "base/check.h"
#include <stdlib.h>
#include <xxhash.h>

struct entry {
    struct str key;
    void *value;
    uint32_t hash;
    bool is_live;
};

struct map {
    struct entry *entries;
    uint32_t n_entries, entries_cap; // holes included
    uint32_t count;
    uint32_t *table; // entry's position + 1; 0: free
    uint32_t mask;   // table size - 1
};

enum { TABLE_MIN = 8 };

uint64_t hash_bytes(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

uint64_t hash_seeded(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

struct map *map_create(void)
{
    struct map *map = calloc(1, sizeof(*map));
    CHECK(map != NULL);
    return map;
}

void map_destroy(struct map *map)
{
    if (!map)
        return;
    free(map->entries);
    free(map->table);
    free(map);
}

// The slot that holds the key, or the free one where its search ends.
static uint32_t find_slot(const struct map *map, struct str key, uint32_t hash)
{
    uint32_t slot = hash & map->mask;
    while (map->table[slot] != 0) {
        const struct entry *entry = &map->entries[map->table[slot] - 1];
        if (entry->hash == hash && str_equal(entry->key, key))
            break;
        slot = (slot + 1) & map->mask;
    }
    return slot;
}

static void close_holes(struct map *map)
{
    uint32_t to = 0;
    for (uint32_t from = 0; from < map->n_entries; from++) {
        if (map->entries[from].is_live)
            map->entries[to++] = map->entries[from];
    }
    map->n_entries = to;
}

static void grow(struct map *map)
{
    close_holes(map);
    uint32_t table_size = TABLE_MIN;
    while (table_size / 2 < map->count + 1) { // at most half full, so that searches stay short
        CHECK(table_size < UINT32_MAX / 2);
        table_size *= 2;
    }
    if (map->count * 4 >= table_size) // room to grow, or each insertion after this one came here
        table_size *= 2;
    map->entries_cap = table_size / 2;
    map->entries = realloc(map->entries, map->entries_cap * sizeof(*map->entries));
    free(map->table);
    map->table = calloc(table_size, sizeof(*map->table));
    CHECK(map->entries != NULL && map->table != NULL);
    map->mask = table_size - 1;
    for (uint32_t i = 0; i < map->n_entries; i++) {
        uint32_t slot = map->entries[i].hash & map->mask;
        while (map->table[slot] != 0)
            slot = (slot + 1) & map->mask;
        map->table[slot] = i + 1;
    }
}

void *map_find(const struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    uint32_t slot = find_slot(map, key, (uint32_t)hash_bytes(key.ptr, key.len));
    return map->table[slot] ? map->entries[map->table[slot] - 1].value : NULL;
}

void *map_put(struct map *map, struct str key, void *value)
{
    uint32_t hash = (uint32_t)hash_bytes(key.ptr, key.len);
    if (map->table) {
        uint32_t slot = find_slot(map, key, hash);
        if (map->table[slot] != 0) {
            struct entry *entry = &map->entries[map->table[slot] - 1];
            void *old = entry->value;
            entry->key = key;
            entry->value = value;
            return old;
        }
    }
    if (map->n_entries == map->entries_cap)
        grow(map);
    map->table[find_slot(map, key, hash)] = map->n_entries + 1;
    map->entries[map->n_entries++] = (struct entry){key, value, hash, true};
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    uint32_t hole = find_slot(map, key, (uint32_t)hash_bytes(key.ptr, key.len));
    if (map->table[hole] == 0)
        return NULL;
    struct entry *entry = &map->entries[map->table[hole] - 1];
    void *old = entry->value;
    entry->is_live = false;
    entry->value = NULL;
    map->count--;
    // Move up what a search would no longer reach across the hole (Knuth 6.4, algorithm R).
    map->table[hole] = 0;
    for (uint32_t slot = (hole + 1) & map->mask; map->table[slot] != 0;
         slot = (slot + 1) & map->mask) {
        uint32_t home = map->entries[map->table[slot] - 1].hash & map->mask;
        if (((slot - home) & map->mask) >= ((slot - hole) & map->mask)) {
            map->table[hole] = map->table[slot];
            map->table[slot] = 0;
            hole = slot;
        }
    }
    return old;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, size_t *cursor, struct str *ret_key, void **ret_value)
{
    while (*cursor < map->n_entries) {
        const struct entry *entry = &map->entries[(*cursor)++];
        if (!entry->is_live)
            continue;
        *ret_key = entry->key;
        *ret_value = entry->value;
        return true;
    }
    return false;
}
