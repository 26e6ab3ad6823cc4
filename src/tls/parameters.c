// SPDX-License-Identifier: Apache-2.0
// Versions, cipher suites and curves of a context.
#include "tls/internal.h"
#include <openssl/err.h>
#include <stdlib.h>

// ECDHE and AEAD only (RFC 9325, 4.2). AES-128 first: as strong as anyone needs, and the cheapest;
// clients without AES in hardware, which name ChaCha20 first, get that.
static const char default_suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char default_ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
// And where versions before 1.2 are asked for, which know no AEAD.
static const char old_ciphers[] = ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
                                  "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA";
static const char default_curves[] = "X25519:P-256:P-384";

enum { WORD_MAX = 100 };

static bool use_versions(SSL_CTX *ssl, const struct tls_common *common, struct tls_error *reterr)
{
    int min = common->version_min ? common->version_min : TLS_VERSION_1_2;
    int max = common->version_max ? common->version_max : TLS_VERSION_1_3;
    if (!common->version_min && min > max)
        min = max; // only a highest one was given, below our lowest
    if (min > max)
        return fail_part(reterr, TLS_PART_VERSIONS, "the lowest version is above the highest");
    if (SSL_CTX_set_min_proto_version(ssl, min) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, max) != 1)
        return fail_openssl(reterr, TLS_PART_VERSIONS, "OpenSSL refuses the versions");
    if (min < TLS_VERSION_1_2) {
        // OpenSSL has them (their SHA-1 signatures) at its lowest level only. Certificates are held
        // to the usual level as before: ours are loaded already, those of peers by this.
        X509_VERIFY_PARAM_set_auth_level(SSL_CTX_get0_param(ssl), SSL_CTX_get_security_level(ssl));
        SSL_CTX_set_security_level(ssl, 0);
    }
    return true;
}

// Cuts the next word at ':', ',' or blank into `word`. false: no more, or too long (*ret_len).
static bool next_word(struct str *rest, char word[WORD_MAX + 1], size_t *ret_len)
{
    static const char separators[] = ":, \t\r\n";
    while (rest->len > 0 && memchr(separators, rest->ptr[0], sizeof(separators) - 1))
        *rest = str_from(*rest, 1);
    size_t len = 0;
    while (len < rest->len && !memchr(separators, rest->ptr[len], sizeof(separators) - 1))
        len++;
    *ret_len = len;
    size_t kept = len > WORD_MAX ? WORD_MAX : len;
    if (kept > 0)
        memcpy(word, rest->ptr, kept);
    word[kept] = '\0';
    *rest = str_from(*rest, len);
    return len > 0;
}

static bool is_tls13_suite(SSL_CTX *ssl, const char *word)
{
    if (strncmp(word, "TLS_", 4) != 0)
        return false;
    // Some versions of OpenSSL pass over a suite that they do not know: look whether it came in.
    bool is_known = false;
    if (SSL_CTX_set_ciphersuites(ssl, word) == 1) {
        STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(ssl);
        for (int i = 0; i < sk_SSL_CIPHER_num(list); i++)
            is_known |= strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(list, i)), word) == 0;
    }
    ERR_clear_error();
    return is_known;
}

static void add_word(struct buf *list, const char *word)
{
    if (list->len > 0)
        buf_add_char(list, ':');
    buf_add_text(list, word);
}

// Sorts a word into one of the two lists of OpenSSL. false: nobody knows it.
static bool sort_cipher(SSL_CTX *ssl, const char *word, struct buf *suites, struct buf *ciphers)
{
    if (is_tls13_suite(ssl, word)) {
        add_word(suites, word);
        return true;
    }
    if (strchr("!-+@", word[0])) { // an operator changes the list and means nothing alone
        add_word(ciphers, word);
        return true;
    }
    // Also by the name of the standard ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").
    const char *name = strncmp(word, "TLS_", 4) == 0 ? OPENSSL_cipher_name(word) : word;
    bool is_known = SSL_CTX_set_cipher_list(ssl, name) == 1;
    ERR_clear_error();
    if (is_known)
        add_word(ciphers, name);
    return is_known;
}

static bool use_ciphers(SSL_CTX *ssl, struct str wanted, struct tls_error *reterr)
{
    struct buf suites = {0}, ciphers = {0}, defaults = {0};
    char word[WORD_MAX + 1];
    size_t len;
    bool is_fine = true;
    while (is_fine && next_word(&wanted, word, &len))
        if (len > WORD_MAX || !sort_cipher(ssl, word, &suites, &ciphers))
            is_fine = fail_part(reterr, TLS_PART_CIPHERS, "no cipher suite \"%s\"", word);
    buf_add_text(&defaults, default_ciphers);
    if (SSL_CTX_get_min_proto_version(ssl) < TLS_VERSION_1_2)
        buf_add_text(&defaults, old_ciphers);
    if (is_fine && (SSL_CTX_set_ciphersuites(ssl, suites.len ? suites.data : default_suites) != 1 ||
                    SSL_CTX_set_cipher_list(ssl, ciphers.len ? ciphers.data : defaults.data) != 1))
        is_fine = fail_openssl(reterr, TLS_PART_CIPHERS, "OpenSSL refuses the list");
    buf_fini(&suites);
    buf_fini(&ciphers);
    buf_fini(&defaults);
    return is_fine;
}

static bool use_curves(SSL_CTX *ssl, struct str wanted, struct tls_error *reterr)
{
    struct buf list = {0};
    char word[WORD_MAX + 1];
    size_t len;
    bool is_fine = true;
    while (is_fine && next_word(&wanted, word, &len)) {
        is_fine = len <= WORD_MAX && SSL_CTX_set1_groups_list(ssl, word) == 1;
        if (is_fine)
            add_word(&list, word);
        else
            fail_part(reterr, TLS_PART_CURVES, "no curve \"%s\"", word);
    }
    if (is_fine && SSL_CTX_set1_groups_list(ssl, list.len ? list.data : default_curves) != 1)
        is_fine = fail_openssl(reterr, TLS_PART_CURVES, "OpenSSL refuses the list");
    ERR_clear_error();
    buf_fini(&list);
    return is_fine;
}

bool tls_check_common(const struct tls_common *common, struct tls_error *reterr)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    CHECK(ssl);
    bool is_fine = parameters_use(ssl, common, reterr);
    SSL_CTX_free(ssl);
    return is_fine;
}

bool parameters_use(SSL_CTX *ssl, const struct tls_common *common, struct tls_error *reterr)
{
    return use_versions(ssl, common, reterr) && use_ciphers(ssl, common->ciphers, reterr) &&
           use_curves(ssl, common->curves, reterr);
}
