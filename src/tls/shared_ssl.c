// SPDX-License-Identifier: Apache-2.0
// OpenSSL's part of clients' contexts. One weighs 13 KiB and takes a third of a millisecond to
// make, and a gateway has a context for every host that it speaks TLS to, most of which differ in
// nothing but names: those stay in struct tls_context, and all that are alike otherwise have one
// SSL_CTX.
#include "tls/internal.h"
#include <pthread.h>
#include <stdlib.h>

struct shared_ssl {
    struct shared_ssl *next;
    SSL_CTX *ssl;
    size_t n_users;
    uint8_t digest[DIGEST_BYTES];
};

enum { BUCKETS = 256 }; // by the digest's first byte

// Contexts are made by the control thread and freed by whoever lets go last.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_ssl *buckets[BUCKETS];

struct shared_ssl *shared_ssl_find(const uint8_t digest[DIGEST_BYTES])
{
    pthread_mutex_lock(&lock);
    struct shared_ssl *found = buckets[digest[0]];
    while (found && memcmp(found->digest, digest, DIGEST_BYTES) != 0)
        found = found->next;
    if (found)
        found->n_users++;
    pthread_mutex_unlock(&lock);
    return found;
}

struct shared_ssl *shared_ssl_add(const uint8_t digest[DIGEST_BYTES], SSL_CTX *ssl)
{
    struct shared_ssl *shared = calloc(1, sizeof(*shared));
    CHECK(shared && SSL_CTX_up_ref(ssl) == 1);
    shared->ssl = ssl;
    shared->n_users = 1;
    memcpy(shared->digest, digest, DIGEST_BYTES);
    pthread_mutex_lock(&lock);
    shared->next = buckets[digest[0]];
    buckets[digest[0]] = shared;
    pthread_mutex_unlock(&lock);
    return shared;
}

SSL_CTX *shared_ssl_ref(const struct shared_ssl *shared)
{
    CHECK(SSL_CTX_up_ref(shared->ssl) == 1);
    return shared->ssl;
}

void shared_ssl_release(struct shared_ssl *shared)
{
    if (!shared)
        return;
    pthread_mutex_lock(&lock);
    bool is_last = --shared->n_users == 0;
    struct shared_ssl **link = &buckets[shared->digest[0]];
    while (is_last && *link != shared)
        link = &(*link)->next;
    if (is_last)
        *link = shared->next;
    pthread_mutex_unlock(&lock);
    if (!is_last)
        return;
    SSL_CTX_free(shared->ssl);
    free(shared);
}
