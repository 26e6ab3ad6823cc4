// SPDX-License-Identifier: Apache-2.0
// SHA-256 over a config, each text behind its length, so that no two configs run together.
#include "tls/internal.h"
#include <openssl/evp.h>

static void add_bytes(EVP_MD_CTX *hash, const void *data, size_t len)
{
    CHECK(EVP_DigestUpdate(hash, data, len) == 1);
}

static void add_number(EVP_MD_CTX *hash, uint64_t number)
{
    add_bytes(hash, &number, sizeof(number));
}

static void add_str(EVP_MD_CTX *hash, struct str text)
{
    add_number(hash, text.len);
    if (text.len > 0)
        add_bytes(hash, text.ptr, text.len);
}

static void add_list(EVP_MD_CTX *hash, const struct str *items, size_t n)
{
    add_number(hash, n);
    for (size_t i = 0; i < n; i++)
        add_str(hash, items[i]);
}

static void add_trust(EVP_MD_CTX *hash, const struct tls_common *common)
{
    add_str(hash, common->ca_pem);
    add_str(hash, common->crl_pem);
    add_number(hash, common->verify_depth);
    add_list(hash, common->subject_alt_names, common->n_subject_alt_names);
    add_list(hash, common->spki_hashes, common->n_spki_hashes);
    add_list(hash, common->certificate_hashes, common->n_certificate_hashes);
}

static void add_common(EVP_MD_CTX *hash, const struct tls_common *common)
{
    add_number(hash, (uint64_t)common->version_min << 16 | common->version_max);
    add_str(hash, common->ciphers);
    add_str(hash, common->curves);
    add_trust(hash, common);
}

static void add_pair(EVP_MD_CTX *hash, const struct tls_pair *pair)
{
    add_str(hash, pair->certificate_pem);
    add_str(hash, pair->key_pem);
    add_str(hash, pair->ocsp_der);
}

static EVP_MD_CTX *begin(const char *kind)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    CHECK(hash && EVP_DigestInit_ex2(hash, EVP_sha256(), NULL) == 1);
    add_str(hash, str_of(kind));
    return hash;
}

static void end(EVP_MD_CTX *hash, uint8_t ret[DIGEST_BYTES])
{
    CHECK(EVP_DigestFinal_ex(hash, ret, NULL) == 1);
    EVP_MD_CTX_free(hash);
}

void digest_of_trust(const struct tls_server_config *config, uint8_t ret[DIGEST_BYTES])
{
    EVP_MD_CTX *hash = begin("trust");
    add_str(hash, config->identity);
    add_number(hash, (uint64_t)config->client_auth);
    if (config->client_auth != TLS_CLIENT_NONE)
        add_trust(hash, &config->common);
    end(hash, ret);
}

void digest_of_server(const struct tls_server_config *config, uint8_t ret[DIGEST_BYTES])
{
    EVP_MD_CTX *hash = begin("server");
    add_common(hash, &config->common);
    add_number(hash, config->n_pairs);
    for (size_t i = 0; i < config->n_pairs; i++)
        add_pair(hash, &config->pairs[i]);
    add_number(hash, (uint64_t)config->client_auth);
    add_number(hash, (uint64_t)config->has_alpn << 1 | config->offers_h2);
    add_str(hash, config->identity);
    end(hash, ret);
}

void digest_of_client(const struct tls_client_config *config, uint8_t ret[DIGEST_BYTES])
{
    EVP_MD_CTX *hash = begin("client");
    add_common(hash, &config->common);
    add_pair(hash, &config->pair);
    add_number(hash, (uint64_t)config->verifies << 3 | (uint64_t)config->sends_sni << 2 |
                         (uint64_t)config->offers_h2 << 1 | config->offers_http1);
    add_str(hash, config->sni);
    add_str(hash, config->name);
    end(hash, ret);
}

void digest_of_client_ssl(const struct tls_client_config *config, uint8_t ret[DIGEST_BYTES])
{
    struct tls_client_config nameless = *config;
    nameless.sni = nameless.name = (struct str){0};
    nameless.common.n_subject_alt_names = nameless.common.n_spki_hashes =
        nameless.common.n_certificate_hashes = 0;
    digest_of_client(&nameless, ret);
}

void tls_server_digest(const struct tls_server_config *config, struct buf *out)
{
    uint8_t digest[DIGEST_BYTES];
    digest_of_server(config, digest);
    buf_add(out, digest, sizeof(digest));
}

void tls_client_digest(const struct tls_client_config *config, struct buf *out)
{
    uint8_t digest[DIGEST_BYTES];
    digest_of_client(config, digest);
    buf_add(out, digest, sizeof(digest));
}
