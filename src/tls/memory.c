// SPDX-License-Identifier: Apache-2.0
// Memory for OpenSSL. It takes and gives back a buffer of a record for nearly every read and write
// (SSL_MODE_RELEASE_BUFFERS: an idle connection must hold none). Those blocks come from a list of
// the thread, last in first out: cheaper than malloc, and warm in the cache.
#include "tls/internal.h"
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1 // keeps its own books about what is free
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#ifdef IS_SANITIZED
void memory_init(void)
{
}
#else

// Records of 16 KiB with their overhead, as OpenSSL 3.0 to 3.5 ask for them.
enum { BLOCK_MIN = 16 * 1024, BLOCK_BYTES = 18 * 1024, BLOCKS_KEPT = 16 };

struct block {
    struct block *next;
};
struct kept {
    struct block *first;
    unsigned n;
    bool is_known; // the thread's end will free them
};
static _Thread_local struct kept kept;
static pthread_key_t kept_key;

static void free_kept(void *of_thread)
{
    struct kept *list = of_thread;
    for (struct block *block = list->first, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *list = (struct kept){NULL, 0, false};
}

static void *take(size_t len, const char *file, int line)
{
    if (len == 0)
        return NULL;
    if (len < BLOCK_MIN || len > BLOCK_BYTES)
        return malloc(len);
    struct block *block = kept.first;
    if (!block)
        return malloc(BLOCK_BYTES);
    kept.first = block->next;
    kept.n--;
    return block;
}

static void give(void *data, const char *file, int line)
{
    if (!data)
        return;
    // The size stands right in front of the block, where free() would look next.
    size_t len = malloc_usable_size(data);
    if (len < BLOCK_BYTES || len > BLOCK_BYTES + 64 || kept.n == BLOCKS_KEPT) {
        free(data);
        return;
    }
    if (!kept.is_known) {
        kept.is_known = true;
        pthread_setspecific(kept_key, &kept);
    }
    struct block *block = data;
    block->next = kept.first;
    kept.first = block;
    kept.n++;
}

static void *resize(void *data, size_t len, const char *file, int line)
{
    if (len > 0)
        return realloc(data, len);
    give(data, file, line);
    return NULL;
}

void memory_init(void)
{
    static bool is_done;
    if (is_done)
        return;
    is_done = true;
    CHECK(pthread_key_create(&kept_key, free_kept) == 0);
    // Refused when OpenSSL has allocated already: then its own functions stay, which is only
    // slower.
    CRYPTO_set_mem_functions(take, resize, give);
}
#endif
