// SPDX-License-Identifier: Apache-2.0
// A hash map from a string to a pointer. Keys are borrowed and must outlive their entry. Iteration
// is in order of insertion (removal keeps the order of the rest), so outputs are reproducible.
// One thread at a time.
#pragma once
#include "base/str.h"

struct map;

struct map *map_create(void);
void map_destroy(struct map *map); // NULL is fine; values are the caller's
void *map_find(const struct map *map, struct str key); // NULL: absent
// Adds or replaces; returns the value that was there, or NULL. A replaced entry takes the new key.
void *map_put(struct map *map, struct str key, void *value);
void *map_remove(struct map *map, struct str key);
size_t map_count(const struct map *map);
// for (size_t i = 0; map_next(map, &i, &key, &value);)
bool map_next(const struct map *map, size_t *cursor, struct str *ret_key, void **ret_value);

uint64_t hash_bytes(const void *data, size_t len); // XXH3, 64 bit, unseeded: control side only
uint64_t hash_seeded(const void *data, size_t len, uint64_t seed);
