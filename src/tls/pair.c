// SPDX-License-Identifier: Apache-2.0
// Certificates, chains and keys out of PEM texts.
#include "tls/internal.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

BIO *bio_of_str(struct str text)
{
    CHECK(text.len <= INT_MAX);
    BIO *bio = BIO_new_mem_buf(text.len ? text.ptr : "", (int)text.len);
    CHECK(bio);
    return bio;
}

// No passphrase is known; *asked tells that one was wanted.
static int on_passphrase(char *out, int cap, int is_new, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

void certificates_free(X509 **certificates, size_t n)
{
    for (size_t i = 0; i < n; i++)
        X509_free(certificates[i]);
    free(certificates);
}

X509 **certificates_read(struct str pem, size_t *ret_n)
{
    X509 **list = NULL;
    size_t n = 0;
    bool asked = false;
    BIO *bio = bio_of_str(pem);
    for (X509 *one; (one = PEM_read_bio_X509(bio, NULL, on_passphrase, &asked));) {
        list = realloc(list, (n + 1) * sizeof(*list));
        CHECK(list);
        list[n++] = one;
    }
    // The end of the text is "no start line"; all else is a block that is broken.
    if (n > 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        certificates_free(list, n);
        list = NULL;
        n = 0;
    } else if (n > 0) {
        ERR_clear_error();
    }
    BIO_free(bio);
    *ret_n = n;
    return list;
}

static bool is_without_pem(unsigned long error)
{
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static X509 **read_chain(struct str pem, size_t *ret_n, struct tls_error *reterr)
{
    X509 **chain = certificates_read(pem, ret_n);
    if (chain)
        return chain;
    if (is_without_pem(ERR_peek_last_error())) {
        ERR_clear_error();
        fail_part(reterr, TLS_PART_CERTIFICATE, "no certificate in it");
    } else {
        fail_openssl(reterr, TLS_PART_CERTIFICATE, "a certificate in it cannot be read");
    }
    return NULL;
}

static EVP_PKEY *read_key(struct str pem, struct tls_error *reterr)
{
    bool asked = false;
    BIO *bio = bio_of_str(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &asked);
    BIO_free(bio);
    if (key) {
        ERR_clear_error();
        return key;
    }
    bool has_block = pem.len > 0 && memmem(pem.ptr, pem.len, "PRIVATE KEY-----", 16);
    if (asked)
        fail_part(reterr, TLS_PART_KEY, "the key is encrypted");
    else if (!has_block)
        fail_part(reterr, TLS_PART_KEY, "no private key in it");
    else
        fail_openssl(reterr, TLS_PART_KEY, "the key cannot be read");
    ERR_clear_error();
    return NULL;
}

static bool use_all(SSL_CTX *ssl, X509 **chain, size_t n, EVP_PKEY *key, struct tls_error *reterr)
{
    if (X509_check_private_key(chain[0], key) != 1) {
        ERR_clear_error();
        return fail_part(reterr, TLS_PART_MISMATCH, "is not that of the certificate");
    }
    if (SSL_CTX_use_certificate(ssl, chain[0]) != 1)
        return fail_openssl(reterr, TLS_PART_CERTIFICATE, "OpenSSL refuses the certificate");
    // Selects the slot that the chain goes to as well.
    if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
        return fail_openssl(reterr, TLS_PART_KEY, "OpenSSL refuses the key");
    for (size_t i = 1; i < n; i++)
        if (SSL_CTX_add1_chain_cert(ssl, chain[i]) != 1)
            return fail_openssl(reterr, TLS_PART_CERTIFICATE,
                                "OpenSSL refuses a certificate of the chain");
    return true;
}

// OpenSSL has one place a key type, and would put a second pair over the first without a word.
static bool has_type_already(SSL_CTX *ssl, EVP_PKEY *key)
{
    for (long at = SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_FIRST); at == 1;
         at = SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_NEXT))
        if (EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(ssl)) == EVP_PKEY_get_base_id(key))
            return true;
    return false;
}

bool pair_use(SSL_CTX *ssl, const struct tls_pair *pair, X509 **ret_leaf, X509 **ret_issuer,
              struct tls_error *reterr)
{
    size_t n;
    X509 **chain = read_chain(pair->certificate_pem, &n, reterr);
    if (!chain)
        return false;
    bool is_fine = false;
    EVP_PKEY *key = read_key(pair->key_pem, reterr);
    if (key && has_type_already(ssl, key))
        fail_part(reterr, TLS_PART_CERTIFICATE, "a second certificate with the same type of key");
    else if (key)
        is_fine = use_all(ssl, chain, n, key, reterr);
    if (is_fine) { // the SSL_CTX holds them as well
        *ret_leaf = chain[0];
        *ret_issuer = n > 1 ? chain[1] : NULL;
    }
    EVP_PKEY_free(key);
    certificates_free(chain, n);
    return is_fine;
}
