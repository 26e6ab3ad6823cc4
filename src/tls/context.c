// SPDX-License-Identifier: Apache-2.0
#include "tls/internal.h"
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool fail_part(struct tls_error *reterr, enum tls_part part, const char *format, ...)
{
    reterr->part = part;
    va_list args;
    va_start(args, format);
    vsnprintf(reterr->message, sizeof(reterr->message), format, args);
    va_end(args);
    return false;
}

bool fail_openssl(struct tls_error *reterr, enum tls_part part, const char *what)
{
    // The last one is the nearest to us: "ee key too small".
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return fail_part(reterr, part, "%s: %s", what, reason ? reason : "no reason given");
}

static char *text_of(struct str text) // NULL where empty
{
    if (text.len == 0)
        return NULL;
    char *copy = strndup(text.ptr, text.len);
    CHECK(copy);
    return copy;
}

static struct tls_context *make_context(bool is_server)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    CHECK(context);
    atomic_init(&context->n_refs, 1);
    context->is_server = is_server;
    return context;
}

static void make_ssl(struct tls_context *context)
{
    bool is_server = context->is_server;
    context->ssl = SSL_CTX_new_ex(NULL, kdf_properties(),
                                  is_server ? TLS_server_method() : TLS_client_method());
    CHECK(context->ssl);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE |
                                          SSL_OP_PRIORITIZE_CHACHA);
    // Without them an idle connection holds two buffers of a record. What is written may lie
    // elsewhere when it is written on: see io.c, which takes all at once anyway.
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Head and body of a record, and what comes behind, with one recv.
    SSL_CTX_set_read_ahead(context->ssl, 1);
    SSL_CTX_set_cert_verify_callback(context->ssl, verify_on_chain, NULL);
    SSL_CTX_set_info_callback(context->ssl, io_on_info);
    ERR_clear_error();
}

static void free_context(struct tls_context *context)
{
    SSL_CTX_free(context->ssl);
    shared_ssl_release(context->shared);
    verify_fini(context);
    for (size_t i = 0; i < context->n_staples; i++)
        free(context->staples[i].der);
    free(context->staples);
    free(context->sni);
    free(context->name);
    free(context);
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->n_refs, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (context && atomic_fetch_sub_explicit(&context->n_refs, 1, memory_order_acq_rel) == 1)
        free_context(context);
}

bool tls_context_goes_by_host(const struct tls_context *context)
{
    bool verifies_host =
        context->verifies && !context->subject_alt_names.n && !context->name && !context->sni;
    return verifies_host || (context->sends_sni && !context->sni);
}

bool tls_context_asks_client(const struct tls_context *context)
{
    return context->is_server && context->verifies;
}

// ---- server ----

static bool use_pairs(struct tls_context *context, const struct tls_server_config *config,
                      struct tls_error *reterr)
{
    context->staples = calloc(config->n_pairs ? config->n_pairs : 1, sizeof(*context->staples));
    CHECK(context->staples);
    for (size_t i = 0; i < config->n_pairs; i++) {
        X509 *leaf, *issuer;
        reterr->pair = i;
        if (!pair_use(context->ssl, &config->pairs[i], &leaf, &issuer, reterr))
            return false;
        if (config->pairs[i].ocsp_der.len == 0)
            continue;
        if (!staple_read(config->pairs[i].ocsp_der, leaf, issuer,
                         &context->staples[context->n_staples], reterr))
            return false;
        context->n_staples++;
    }
    reterr->pair = 0;
    if (config->n_pairs == 0)
        return fail_part(reterr, TLS_PART_CERTIFICATE, "no certificate");
    if (context->n_staples > 0) {
        SSL_CTX_set_tlsext_status_cb(context->ssl, staple_on_status);
        SSL_CTX_set_tlsext_status_arg(context->ssl, context);
    }
    return true;
}

static bool use_client_auth(struct tls_context *context, const struct tls_server_config *config,
                            struct tls_error *reterr)
{
    const struct tls_common *common = &config->common;
    enum tls_client_auth auth = config->client_auth;
    context->verifies = auth != TLS_CLIENT_NONE;
    context->needs_certificate = auth == TLS_CLIENT_REQUIRED;
    context->lets_unverified_pass = auth == TLS_CLIENT_OPTIONAL_NO_CA;
    bool has_digests = common->n_spki_hashes + common->n_certificate_hashes > 0;
    context->verifies_chain = common->ca_pem.len > 0 || !has_digests;
    if (auth == TLS_CLIENT_NONE)
        return true;
    if (common->ca_pem.len == 0 && !has_digests && auth != TLS_CLIENT_OPTIONAL_NO_CA)
        return fail_part(reterr, TLS_PART_CA, "no authority to verify clients with");
    int mode = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;
    if (context->needs_certificate)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context->ssl, mode, verify_on_error);
    return verify_init(context, common, reterr) && authorities_use(context, common, reterr);
}

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned len, void *of_context)
{
    const struct tls_context *context = of_context;
    const unsigned char *http1 = NULL;
    for (unsigned at = 0; at < len; at += 1U + offered[at]) {
        struct str word = {(const char *)offered + at + 1, offered[at]};
        if (context->offers_h2 && str_is(word, "h2")) {
            *ret = offered + at + 1;
            *ret_len = 2;
            return SSL_TLSEXT_ERR_OK;
        }
        if (str_is(word, "http/1.1"))
            http1 = offered + at + 1;
    }
    // A client that offers nothing we speak goes on without, as with other servers: it may well
    // speak HTTP/1.1 (RFC 7301, 3.2 would have it refused).
    if (!http1)
        return SSL_TLSEXT_ERR_NOACK;
    *ret = http1;
    *ret_len = sizeof("http/1.1") - 1;
    return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *unused)
{
    return SSL_TLSEXT_ERR_OK; // acknowledged, and kept with the session; the proxy has chosen
                              // already
}

struct tls_context *tls_server_create(const struct tls_server_config *config,
                                      struct tls_error *reterr)
{
    *reterr = (struct tls_error){.part = TLS_PART_NONE};
    struct tls_context *context = make_context(true);
    make_ssl(context);
    digest_of_server(config, context->digest);
    context->has_alpn = config->has_alpn;
    context->offers_h2 = config->offers_h2;
    if (!use_pairs(context, config, reterr) ||
        !parameters_use(context->ssl, &config->common, reterr) ||
        !use_client_auth(context, config, reterr)) {
        tls_context_unref(context);
        return NULL;
    }
    tickets_use(context, config);
    SSL_CTX_set_tlsext_servername_callback(context->ssl, on_server_name);
    SSL_CTX_set_dh_auto(context->ssl, 1); // for lists that name DHE
    if (config->has_alpn)
        SSL_CTX_set_alpn_select_cb(context->ssl, on_alpn, context);
    return context;
}

// ---- client ----

static bool use_client_pair(struct tls_context *context, const struct tls_pair *pair,
                            struct tls_error *reterr)
{
    X509 *leaf, *issuer;
    return pair->certificate_pem.len == 0 || pair_use(context->ssl, pair, &leaf, &issuer, reterr);
}

static void offer_protocols(struct tls_context *context)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    if (!context->offers_h2 && !context->offers_http1)
        return;
    unsigned from = context->offers_h2 ? 0 : 3, to = context->offers_http1 ? 12 : 3;
    CHECK(SSL_CTX_set_alpn_protos(context->ssl, both + from, to - from) == 0);
}

static bool fill_client_ssl(struct tls_context *context, const struct tls_client_config *config,
                            struct tls_error *reterr)
{
    if (!use_client_pair(context, &config->pair, reterr) ||
        !parameters_use(context->ssl, &config->common, reterr))
        return false;
    if (context->verifies) {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, verify_on_error);
        if (!authorities_use(context, &config->common, reterr))
            return false;
    }
    offer_protocols(context);
    // Sessions are handed to the caller and kept nowhere else.
    SSL_CTX_set_session_cache_mode(context->ssl,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, session_on_new);
    return true;
}

// Nobody changes an SSL_CTX that is shared: it is filled before it is given to others.
static bool use_client_ssl(struct tls_context *context, const struct tls_client_config *config,
                           struct tls_error *reterr)
{
    uint8_t digest[DIGEST_BYTES];
    digest_of_client_ssl(config, digest);
    context->shared = shared_ssl_find(digest);
    if (context->shared) {
        context->ssl = shared_ssl_ref(context->shared);
        return true;
    }
    make_ssl(context);
    if (!fill_client_ssl(context, config, reterr))
        return false;
    context->shared = shared_ssl_add(digest, context->ssl);
    return true;
}

struct tls_context *tls_client_create(const struct tls_client_config *config,
                                      struct tls_error *reterr)
{
    *reterr = (struct tls_error){.part = TLS_PART_NONE};
    struct tls_context *context = make_context(false);
    digest_of_client(config, context->digest);
    context->offers_h2 = config->offers_h2;
    context->offers_http1 = config->offers_http1;
    context->sends_sni = config->sends_sni;
    context->sni = text_of(config->sni);
    context->name = text_of(config->name);
    context->verifies = context->verifies_chain = config->verifies;
    if (!use_client_ssl(context, config, reterr) ||
        (config->verifies && !verify_init(context, &config->common, reterr))) {
        tls_context_unref(context);
        return NULL;
    }
    return context;
}

// ---- the process ----

static enum tls_records wanted_records;

void tls_set_records(enum tls_records records)
{
    wanted_records = records;
}

void tls_init(void)
{
    memory_init();
    CHECK(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) == 1);
    io_init();
    // Nobody tells of traffic secrets then, and without them no connection leaves OpenSSL.
    kdf_init(wanted_records == TLS_RECORDS_OWN);
    record_init();
    tickets_init();
    ERR_clear_error();
}

void tls_fini(void)
{
    tickets_fini();
    authorities_fini();
    record_fini();
    kdf_fini();
    io_fini();
}
