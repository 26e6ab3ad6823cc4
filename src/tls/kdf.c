// SPDX-License-Identifier: Apache-2.0
// The key schedule of TLS 1.3 (RFC 8446, 7.1; RFC 5869), as a provider that OpenSSL's handshake
// asks in place of its own. Its own looks up algorithms by name and makes contexts anew for each of
// some 25 derivations of a handshake, a tenth of the whole; and nothing else tells us the traffic
// secrets, which record.c needs, without going through text.
#include "tls/internal.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <strings.h>

enum { BLOCK_MAX = 128, VECTOR_MAX = 255, INFO_MAX = 2 + 1 + VECTOR_MAX + 1 + VECTOR_MAX + 1 };
#define PROVIDER_NAME "sluicegate"

struct kdf_hash {
    const char *names[2];
    size_t len, block;
    EVP_MD *md; // fetched once
};
static struct kdf_hash hashes[] = {
    {{"SHA256", "SHA2-256"}, 32, 64, NULL},
    {{"SHA384", "SHA2-384"}, 48, 128, NULL},
};
enum { N_HASHES = sizeof(hashes) / sizeof(*hashes) };

static OSSL_PROVIDER *provider;
static bool is_in_use;
static _Thread_local EVP_MD_CTX *scratch; // of the thread
static pthread_key_t scratch_key;
static _Thread_local struct tls_conn *watched; // whose handshake runs on this thread

// ---- HMAC and HKDF ----

static void free_scratch(void *of_thread)
{
    EVP_MD_CTX_free(of_thread);
    scratch = NULL;
}

static EVP_MD_CTX *get_scratch(void)
{
    if (!scratch) {
        scratch = EVP_MD_CTX_new();
        CHECK(scratch);
        pthread_setspecific(scratch_key, scratch);
    }
    return scratch;
}

static void digest_two(const struct kdf_hash *hash, struct str first, struct str second,
                       uint8_t *ret)
{
    EVP_MD_CTX *ctx = get_scratch();
    CHECK(EVP_DigestInit_ex2(ctx, hash->md, NULL) == 1 &&
          EVP_DigestUpdate(ctx, first.ptr, first.len) == 1 &&
          EVP_DigestUpdate(ctx, second.ptr, second.len) == 1 &&
          EVP_DigestFinal_ex(ctx, ret, NULL) == 1);
}

static struct str bytes_of(const uint8_t *data, size_t len)
{
    return (struct str){(const char *)data, len};
}

// RFC 2104. Keys are secrets or salts of at most a block.
static void authenticate(const struct kdf_hash *hash, struct str key, struct str data,
                         uint8_t ret[KDF_SECRET_MAX])
{
    uint8_t inner[BLOCK_MAX], outer[BLOCK_MAX], digest[KDF_SECRET_MAX];
    CHECK(key.len <= hash->block);
    for (size_t i = 0; i < hash->block; i++) {
        uint8_t byte = i < key.len ? (uint8_t)key.ptr[i] : 0;
        inner[i] = byte ^ 0x36;
        outer[i] = byte ^ 0x5c;
    }
    digest_two(hash, bytes_of(inner, hash->block), data, digest);
    digest_two(hash, bytes_of(outer, hash->block), bytes_of(digest, hash->len), ret);
    OPENSSL_cleanse(inner, sizeof(inner));
    OPENSSL_cleanse(outer, sizeof(outer));
    OPENSSL_cleanse(digest, sizeof(digest));
}

// RFC 5869, 2.3, with the info of HKDF-Expand-Label. false: something is too long.
static bool expand(const struct kdf_hash *hash, struct str secret, struct str prefix,
                   struct str label, struct str context, uint8_t *ret, size_t len)
{
    uint8_t message[KDF_SECRET_MAX + INFO_MAX], block[KDF_SECRET_MAX];
    if (prefix.len + label.len > VECTOR_MAX || context.len > VECTOR_MAX || len > 255 * hash->len ||
        secret.len > hash->block)
        return false;
    // message: the last block of output (none at first), the info, a counter.
    uint8_t *info = message + hash->len, *at = info;
    *at++ = (uint8_t)(len >> 8);
    *at++ = (uint8_t)len;
    const struct str parts[] = {prefix, label, context};
    *at++ = (uint8_t)(prefix.len + label.len);
    for (size_t i = 0; i < 3; i++) {
        if (i == 2)
            *at++ = (uint8_t)context.len;
        if (parts[i].len > 0)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    uint8_t *counter = at++;
    for (size_t done = 0, n = 1; done < len; n++) {
        *counter = (uint8_t)n;
        const uint8_t *from = n == 1 ? info : message;
        authenticate(hash, secret, bytes_of(from, (size_t)(at - from)), block);
        size_t here = len - done < hash->len ? len - done : hash->len;
        memcpy(ret + done, block, here);
        memcpy(message, block, hash->len);
        done += here;
    }
    OPENSSL_cleanse(message, sizeof(message));
    OPENSSL_cleanse(block, sizeof(block));
    return true;
}

// A step down the schedule: the secret before, "derived", salts the extraction of what comes in.
static bool extract(const struct kdf_hash *hash, struct str before, struct str in,
                    struct str prefix, struct str label, uint8_t *ret, size_t len)
{
    static const uint8_t zeros[KDF_SECRET_MAX];
    uint8_t empty[KDF_SECRET_MAX], salt[KDF_SECRET_MAX];
    struct str salted = STR_NONE;
    if (len != hash->len)
        return false;
    if (before.ptr) {
        digest_two(hash, STR(""), STR(""), empty);
        if (!expand(hash, before, prefix, label, bytes_of(empty, hash->len), salt, hash->len))
            return false;
        salted = bytes_of(salt, hash->len);
    }
    authenticate(hash, salted, in.ptr ? in : bytes_of(zeros, hash->len), ret);
    OPENSSL_cleanse(salt, sizeof(salt));
    return true;
}

static const struct kdf_hash *find_hash(const char *name)
{
    for (size_t i = 0; name && i < N_HASHES; i++)
        if (strcasecmp(name, hashes[i].names[0]) == 0 || strcasecmp(name, hashes[i].names[1]) == 0)
            return &hashes[i];
    return NULL;
}

void kdf_expand(const char *hash, const uint8_t *secret, size_t secret_len, const char *label,
                uint8_t *ret, size_t len)
{
    CHECK(expand(find_hash(hash), bytes_of(secret, secret_len), STR("tls13 "), str_of(label),
                 STR_NONE, ret, len));
}

// ---- the provider ----

static struct str param_bytes(const OSSL_PARAM *params, const char *name)
{
    const void *data;
    size_t len;
    const OSSL_PARAM *param = OSSL_PARAM_locate_const(params, name);
    if (!param || OSSL_PARAM_get_octet_string_ptr(param, &data, &len) != 1)
        return STR_NONE;
    return (struct str){data ? data : "", len};
}

static void note_secret(struct str label, const uint8_t *secret, size_t len)
{
    if (!watched)
        return;
    if (str_is(label, "c ap traffic"))
        record_note_secret(watched, true, secret, len);
    else if (str_is(label, "s ap traffic"))
        record_note_secret(watched, false, secret, len);
}

static int on_derive(void *ctx, unsigned char *ret, size_t len, const OSSL_PARAM params[])
{
    int mode = -1;
    const char *digest = NULL;
    const OSSL_PARAM *mode_param = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE),
                     *digest_param = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);
    if (!mode_param || !digest_param || OSSL_PARAM_get_int(mode_param, &mode) != 1 ||
        OSSL_PARAM_get_utf8_string_ptr(digest_param, &digest) != 1)
        return 0;
    const struct kdf_hash *hash = find_hash(digest);
    struct str key = param_bytes(params, OSSL_KDF_PARAM_KEY),
               prefix = param_bytes(params, OSSL_KDF_PARAM_PREFIX),
               label = param_bytes(params, OSSL_KDF_PARAM_LABEL);
    if (!hash)
        return 0;
    if (mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        return extract(hash, param_bytes(params, OSSL_KDF_PARAM_SALT), key, prefix, label, ret,
                       len);
    if (mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY || !key.ptr ||
        !expand(hash, key, prefix, label, param_bytes(params, OSSL_KDF_PARAM_DATA), ret, len))
        return 0;
    note_secret(label, ret, len);
    return 1;
}

// All a derivation needs comes with it; nothing is kept between.
static void *on_new(void *of_provider)
{
    return of_provider;
}

static void on_free(void *ctx)
{
}

static int on_set_params(void *ctx, const OSSL_PARAM params[])
{
    return !params || !params->key;
}

#define FUNCTION(id, function)                                                                     \
    {                                                                                              \
        (id), (void (*)(void))(function)                                                           \
    }
static const OSSL_DISPATCH kdf_functions[] = {
    FUNCTION(OSSL_FUNC_KDF_NEWCTX, on_new),
    FUNCTION(OSSL_FUNC_KDF_FREECTX, on_free),
    FUNCTION(OSSL_FUNC_KDF_RESET, on_free),
    FUNCTION(OSSL_FUNC_KDF_DERIVE, on_derive),
    FUNCTION(OSSL_FUNC_KDF_SET_CTX_PARAMS, on_set_params),
    {0, NULL},
};
static const OSSL_ALGORITHM kdfs[] = {
    {OSSL_KDF_NAME_TLS1_3_KDF, "provider=" PROVIDER_NAME, kdf_functions, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *on_query(void *of_provider, int operation, int *no_cache)
{
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
    FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, on_query),
    {0, NULL},
};

static int on_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **ret_context)
{
    *out = provider_functions;
    *ret_context = (void *)(uintptr_t)handle;
    return 1;
}

// ---- whether it is used ----

static bool derive_with(const char *properties, int mode, const char *digest, uint8_t *ret,
                        size_t len)
{
    uint8_t key[48], data[48];
    memset(key, 0x5a, sizeof(key));
    memset(data, 0xa5, sizeof(data));
    OSSL_PARAM params[8], *at = params;
    char prefix[] = "tls13 ", label[] = "derived";
    *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, len);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label, 7);
    *at++ = OSSL_PARAM_construct_octet_string(
        mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? OSSL_KDF_PARAM_SALT : OSSL_KDF_PARAM_DATA, data,
        len);
    *at = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, properties);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool is_fine = ctx && EVP_KDF_derive(ctx, ret, len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return is_fine;
}

// Does it give what OpenSSL's own does? Should a later OpenSSL ask in another way: no.
static bool agrees_with_default(void)
{
    static const int modes[] = {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, EVP_KDF_HKDF_MODE_EXPAND_ONLY};
    for (size_t i = 0; i < N_HASHES; i++) {
        for (size_t k = 0; k < 2; k++) {
            uint8_t ours[KDF_SECRET_MAX], theirs[KDF_SECRET_MAX];
            if (!derive_with("provider=" PROVIDER_NAME, modes[k], hashes[i].names[0], ours,
                             hashes[i].len) ||
                !derive_with("provider=default", modes[k], hashes[i].names[0], theirs,
                             hashes[i].len) ||
                memcmp(ours, theirs, hashes[i].len) != 0)
                return false;
        }
    }
    return true;
}

static void unload(void)
{
    if (provider)
        OSSL_PROVIDER_unload(provider);
    provider = NULL;
}

void kdf_init(bool is_wanted)
{
    CHECK(pthread_key_create(&scratch_key, free_scratch) == 0);
    bool has_hashes = true;
    for (size_t i = 0; i < N_HASHES; i++) {
        hashes[i].md = EVP_MD_fetch(NULL, hashes[i].names[0], NULL);
        has_hashes &= hashes[i].md != NULL;
    }
    // Where only certified modules may be used, we are none.
    if (is_wanted && has_hashes && !EVP_default_properties_is_fips_enabled(NULL) &&
        OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, on_provider) == 1)
        provider = OSSL_PROVIDER_try_load(NULL, PROVIDER_NAME, 1);
    is_in_use = provider && agrees_with_default();
    if (provider && !is_in_use) // else some lookup might find it yet
        unload();
    ERR_clear_error();
}

void kdf_fini(void)
{
    if (scratch)
        free_scratch(scratch);
    pthread_key_delete(scratch_key);
    unload();
    is_in_use = false;
    for (size_t i = 0; i < N_HASHES; i++)
        EVP_MD_free(hashes[i].md);
}

const char *kdf_properties(void)
{
    return is_in_use ? "?provider=" PROVIDER_NAME : NULL;
}

void kdf_watch(struct tls_conn *conn)
{
    watched = conn;
}
