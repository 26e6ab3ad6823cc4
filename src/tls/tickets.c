// SPDX-License-Identifier: Apache-2.0
// Session tickets without any memory of sessions (RFC 5077, 4; RFC 8446, 4.6.1): the newest of a
// set of keys seals, all of them open. Workers read the set through one atomic pointer.
#include "tls/internal.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <time.h>

enum { KEYS_MAX = 3 /* the newest and two older */, KEY_NAME_BYTES = 16 };
// A reader holds a set for some microseconds. What was replaced this long ago nobody reads.
enum { GRACE_S = 60 };

struct ticket_key {
    uint8_t name[KEY_NAME_BYTES], cipher[32], mac[32];
};
struct key_set {
    struct ticket_key keys[KEYS_MAX]; // newest first
    unsigned n;
    int64_t retired_s;
    struct key_set *next; // older, retired
};

static struct key_set *_Atomic current;
static struct key_set *retired; // control thread
// Fetched once: to look them up by name takes longer than to use them.
static EVP_CIPHER *cipher;

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void free_set(struct key_set *set)
{
    OPENSSL_clear_free(set, sizeof(*set));
}

static struct key_set *make_set(const struct key_set *before)
{
    struct key_set *set = OPENSSL_zalloc(sizeof(*set));
    CHECK(set);
    struct ticket_key *key = &set->keys[0];
    CHECK(RAND_bytes(key->name, sizeof(key->name)) == 1);
    CHECK(RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1);
    CHECK(RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1);
    set->n = 1;
    for (unsigned i = 0; before && i < before->n && set->n < KEYS_MAX; i++)
        set->keys[set->n++] = before->keys[i];
    return set;
}

void tickets_init(void)
{
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    CHECK(cipher);
    atomic_store_explicit(&current, make_set(NULL), memory_order_release);
}

static void free_retired(int64_t before_s)
{
    for (struct key_set **at = &retired; *at;) {
        struct key_set *set = *at;
        if (set->retired_s > before_s) {
            at = &set->next;
            continue;
        }
        *at = set->next;
        free_set(set);
    }
}

void tls_rotate_tickets(void)
{
    struct key_set *before = atomic_load_explicit(&current, memory_order_relaxed);
    atomic_store_explicit(&current, make_set(before), memory_order_release);
    int64_t now_s = monotonic_s();
    free_retired(now_s - GRACE_S);
    before->retired_s = now_s;
    before->next = retired;
    retired = before;
}

void tickets_fini(void)
{
    free_retired(INT64_MAX);
    struct key_set *set = atomic_exchange(&current, NULL);
    if (set)
        free_set(set);
    EVP_CIPHER_free(cipher);
    cipher = NULL;
}

static bool use_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

// OpenSSL's contract: < 0 fails, 0 unknown key (a full handshake), 1 fine, 2 fine, but make a new
// one.
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                  EVP_MAC_CTX *mac, int seals)
{
    const struct key_set *set = atomic_load_explicit(&current, memory_order_acquire);
    if (!set)
        return -1;
    if (seals) {
        const struct ticket_key *key = &set->keys[0];
        memcpy(name, key->name, KEY_NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) != 1 ||
            EVP_EncryptInit_ex2(ctx, cipher, key->cipher, iv, NULL) != 1 || !use_mac(mac, key))
            return -1;
        return 1;
    }
    for (unsigned i = 0; i < set->n; i++) {
        const struct ticket_key *key = &set->keys[i];
        if (memcmp(name, key->name, KEY_NAME_BYTES) != 0)
            continue;
        if (EVP_DecryptInit_ex2(ctx, cipher, key->cipher, iv, NULL) != 1 || !use_mac(mac, key))
            return -1;
        // Clients of TLS 1.3 use a ticket once (RFC 8446, C.4) and need another.
        return i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

// A session resumes only where its client certificate would still do.
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_len, SSL_TICKET_STATUS status, void *of_context)
{
    const struct tls_context *context = of_context;
    switch (status) {
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (!verify_session(context, session))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    default:
        return SSL_TICKET_RETURN_IGNORE;
    }
}

void tickets_use(struct tls_context *context, const struct tls_server_config *config)
{
    SSL_CTX *ssl = context->ssl;
    // Nothing is kept here: all of a session is in its ticket.
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ssl, 2 * TLS_TICKET_ROTATION_S);
    SSL_CTX_set_num_tickets(ssl, 1);
    CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_key) == 1);
    // Covers the server's name and all that a client certificate is checked with, so that no
    // session passes a check that its connection was spared. A renewed certificate changes nothing.
    uint8_t trust[DIGEST_BYTES];
    digest_of_trust(config, trust);
    CHECK(SSL_CTX_set_session_id_context(ssl, trust, sizeof(trust)) == 1);
    if (context->verifies)
        CHECK(SSL_CTX_set_session_ticket_cb(ssl, NULL, on_ticket, context) == 1);
}
