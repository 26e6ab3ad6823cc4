// SPDX-License-Identifier: Apache-2.0
// A region that is freed as a whole. One thread at a time. Under AddressSanitizer each allocation
// gets a red zone of its own. Running out of memory aborts.
#pragma once
#include "base/str.h"

struct arena;

struct arena *arena_create(size_t first_block_bytes); // 0: default (4 KiB)
void arena_destroy(struct arena *arena);              // NULL is fine
void *arena_alloc(struct arena *arena, size_t bytes); // aligned to 16, not cleared
void *arena_zalloc(struct arena *arena, size_t bytes);
void *arena_copy(struct arena *arena, const void *data, size_t bytes);
struct str arena_str(struct arena *arena, struct str text); // copy, NUL-terminated behind its end
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_trim(struct arena *arena); // it is complete: gives back what is left of its last block
size_t arena_bytes(const struct arena *arena); // memory held from the system

#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, n) ((type *)arena_zalloc((arena), sizeof(type) * (size_t)(n)))
