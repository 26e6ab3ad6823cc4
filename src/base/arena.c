// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include "base/check.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_IS_STRICT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_IS_STRICT 1
#endif
#endif
#ifndef ARENA_IS_STRICT
#define ARENA_IS_STRICT 0
#endif

enum {
    ALIGNMENT = 16,
    FIRST_BLOCK_DEFAULT = 4096,
    BLOCK_MAX = 256 * 1024, // blocks double up to this; a larger allocation has its own
    // An arena that has grown to HUGE_FROM goes on in huge pages, as does what is larger by itself:
    // a snapshot of ten thousand hosts takes ten page faults instead of five thousand, and those
    // who read it miss the TLB less.
    HUGE_FROM = 1024 * 1024,
    HUGE_BYTES = 2 * 1024 * 1024,
    PAGE_BYTES = 64 * 1024, // at most, wherever we run
};

struct block {
    struct block *next;
    size_t bytes : 63; // with this header
    size_t is_mapped : 1;
};
_Static_assert(sizeof(struct block) % ALIGNMENT == 0, "what follows the header is aligned");

struct arena {
    struct block *blocks;
    char *at, *end; // free part of the newest shared block
    size_t next_block_bytes;
    size_t bytes;
};

static size_t align_up(size_t bytes)
{
    CHECK(bytes <= SIZE_MAX / 2);
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void *link_block(struct arena *arena, struct block *block, size_t bytes, bool is_mapped)
{
    *block = (struct block){.next = arena->blocks, .bytes = bytes, .is_mapped = is_mapped};
    arena->blocks = block;
    arena->bytes += bytes;
    return block + 1;
}

static void *add_block(struct arena *arena, size_t bytes)
{
    struct block *block = malloc(bytes);
    CHECK(block != NULL);
    return link_block(arena, block, bytes, false);
}

// `bytes` in whole huge pages, if the kernel has them to give.
static void *add_huge_block(struct arena *arena, size_t bytes)
{
    size_t room = bytes + HUGE_BYTES; // somewhere in it is an aligned place
    char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    size_t before = -(uintptr_t)map & (HUGE_BYTES - 1);
    if (before > 0)
        munmap(map, before);
    munmap(map + before + bytes, HUGE_BYTES - before);
    madvise(map + before, bytes, MADV_HUGEPAGE);
    return link_block(arena, (struct block *)(map + before), bytes, true);
}

struct arena *arena_create(size_t first_block_bytes)
{
    if (first_block_bytes == 0)
        first_block_bytes = FIRST_BLOCK_DEFAULT;
    size_t own = sizeof(struct block) + align_up(sizeof(struct arena));
    size_t bytes = ARENA_IS_STRICT || first_block_bytes < own ? own : align_up(first_block_bytes);
    // The arena lives in its own first block: a small object costs one allocation.
    struct block *first = malloc(bytes);
    CHECK(first != NULL);
    *first = (struct block){.next = NULL, .bytes = bytes, .is_mapped = false};
    struct arena *arena = (struct arena *)(first + 1);
    *arena = (struct arena){
        .blocks = first,
        .at = (char *)first + own,
        .end = (char *)first + bytes,
        .next_block_bytes = bytes * 2 < BLOCK_MAX ? bytes * 2 : BLOCK_MAX,
        .bytes = bytes,
    };
    return arena;
}

void arena_destroy(struct arena *arena)
{
    if (!arena)
        return;
    struct block *block = arena->blocks;
    while (block) { // the last one holds the arena itself
        struct block *next = block->next;
        if (block->is_mapped)
            munmap(block, block->bytes);
        else
            free(block);
        block = next;
    }
}

static void share(struct arena *arena, char *at, char *end)
{
    arena->at = at;
    arena->end = end;
}

static void *alloc_huge(struct arena *arena, size_t bytes)
{
    size_t block_bytes =
        (bytes + sizeof(struct block) + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1);
    char *result = add_huge_block(arena, block_bytes);
    char *end = result - sizeof(struct block) + block_bytes;
    if (end - (result + bytes) > arena->end - arena->at)
        share(arena, result + bytes, end);
    return result;
}

static void *alloc_slowly(struct arena *arena, size_t bytes)
{
    size_t wanted = bytes + sizeof(struct block);
    if (!ARENA_IS_STRICT && (arena->bytes >= HUGE_FROM || wanted > HUGE_FROM))
        return alloc_huge(arena, bytes);
    // What would waste much of a shared block gets a block to itself, and the shared one goes on.
    if (ARENA_IS_STRICT || wanted > arena->next_block_bytes / 2)
        return add_block(arena, wanted);
    size_t block_bytes = arena->next_block_bytes;
    char *result = add_block(arena, block_bytes);
    if (arena->next_block_bytes < BLOCK_MAX)
        arena->next_block_bytes *= 2;
    if (arena->next_block_bytes > BLOCK_MAX)
        arena->next_block_bytes = BLOCK_MAX;
    share(arena, result + bytes, result - sizeof(struct block) + block_bytes);
    return result;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    // Strict: the exact size, so that the byte behind the end is poisoned; and something for 0.
    if (ARENA_IS_STRICT)
        return alloc_slowly(arena, bytes ? bytes : 1);
    size_t aligned = align_up(bytes);
    if (aligned > (size_t)(arena->end - arena->at))
        return alloc_slowly(arena, aligned);
    void *result = arena->at;
    arena->at += aligned;
    return result;
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

void *arena_copy(struct arena *arena, const void *data, size_t bytes)
{
    void *copy = arena_alloc(arena, bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

struct str arena_str(struct arena *arena, struct str text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (struct str){copy, text.len};
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char small[256];
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    CHECK(len >= 0);
    if ((size_t)len < sizeof(small))
        return arena_str(arena, (struct str){small, (size_t)len});
    char *text = arena_alloc(arena, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return (struct str){text, (size_t)len};
}

void arena_trim(struct arena *arena)
{
    struct block *block = arena->blocks;
    char *end = (char *)block + block->bytes;
    if (!block->is_mapped || arena->end != end)
        return;
    char *used = arena->at + (-(uintptr_t)arena->at & (PAGE_BYTES - 1));
    if (used == end || munmap(used, (size_t)(end - used)) < 0)
        return;
    block->bytes -= (size_t)(end - used);
    arena->bytes -= (size_t)(end - used);
    arena->end = used;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->bytes;
}
