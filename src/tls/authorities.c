// SPDX-License-Identifier: Apache-2.0
// Whom a context trusts: authorities and revocation lists.
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>

// The system's authorities, looked up once for all contexts that need nothing beside them.
static pthread_mutex_t system_lock = PTHREAD_MUTEX_INITIALIZER;
static X509_STORE *system_store;

static X509_STORE *get_system_store(void)
{
    pthread_mutex_lock(&system_lock);
    if (!system_store) {
        system_store = X509_STORE_new();
        CHECK(system_store);
        // Where there are none, every verification fails and says so.
        X509_STORE_set_default_paths(system_store);
        ERR_clear_error();
    }
    CHECK(X509_STORE_up_ref(system_store) == 1);
    pthread_mutex_unlock(&system_lock);
    return system_store;
}

void authorities_fini(void)
{
    X509_STORE_free(system_store);
    system_store = NULL;
}

static bool add_authorities(struct tls_context *context, struct str pem, struct tls_error *reterr)
{
    size_t n;
    X509 **list = certificates_read(pem, &n);
    if (n == 0) {
        bool is_empty = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        return fail_part(reterr, TLS_PART_CA,
                         is_empty ? "no certificate in it" : "a certificate in it cannot be read");
    }
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
    for (size_t i = 0; i < n; i++) {
        CHECK(X509_STORE_add_cert(store, list[i]) == 1); // one that is there already is fine
        // Which certificates a server's client may choose from.
        if (context->is_server)
            CHECK(SSL_CTX_add_client_CA(context->ssl, list[i]) == 1);
    }
    certificates_free(list, n);
    return true;
}

static bool add_revocations(struct tls_context *context, struct str pem, struct tls_error *reterr)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
    size_t n = 0;
    BIO *bio = bio_of_str(pem);
    for (X509_CRL *list; (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)); n++) {
        CHECK(X509_STORE_add_crl(store, list) == 1);
        X509_CRL_free(list);
    }
    bool is_whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (!is_whole)
        return fail_part(reterr, TLS_PART_CRL, "a revocation list in it cannot be read");
    if (n == 0)
        return fail_part(reterr, TLS_PART_CRL, "no revocation list in it");
    // Of every certificate in a chain, but see verify_on_error().
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl),
                                X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return true;
}

bool authorities_use(struct tls_context *context, const struct tls_common *common,
                     struct tls_error *reterr)
{
    if (common->verify_depth > 0)
        SSL_CTX_set_verify_depth(context->ssl, (int)common->verify_depth);
    if (common->ca_pem.len > 0) {
        if (!add_authorities(context, common->ca_pem, reterr))
            return false;
        // Whoever lists a certificate trusts it, also one that another has signed.
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    } else if (!context->is_server && context->verifies_chain) {
        if (common->crl_pem.len == 0)
            SSL_CTX_set_cert_store(context->ssl, get_system_store());
        else
            SSL_CTX_set_default_verify_paths(context->ssl);
        ERR_clear_error();
    }
    return common->crl_pem.len == 0 || add_revocations(context, common->crl_pem, reterr);
}
