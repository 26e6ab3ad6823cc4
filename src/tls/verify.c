// SPDX-License-Identifier: Apache-2.0
// Whether the peer's certificate will do: its chain, its names, its digests.
#include "base/address.h"
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

// ---- what a context demands ----

static int hex_value(char c)
{
    c = ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct str text, uint8_t ret[DIGEST_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':' && n > 0 && n % 2 == 0)
            continue;
        int value = hex_value(text.ptr[i]);
        if (value < 0 || n == 2 * DIGEST_BYTES)
            return false;
        ret[n / 2] = (uint8_t)(n % 2 ? ret[n / 2] | value : value << 4);
        n++;
    }
    return n == 2 * DIGEST_BYTES;
}

static bool read_base64(struct str text, uint8_t ret[DIGEST_BYTES])
{
    uint8_t out[48]; // 32 bytes are 43 digits and one '='
    if (text.len != 44 || text.ptr[43] != '=' || memchr(text.ptr, '=', 43) ||
        EVP_DecodeBlock(out, (const unsigned char *)text.ptr, 44) != 33)
        return false;
    memcpy(ret, out, DIGEST_BYTES);
    return true;
}

static bool read_digests(const struct str *texts, size_t n, enum tls_part part, struct digests *ret,
                         struct tls_error *reterr)
{
    if (n == 0)
        return true;
    ret->items = calloc(n, sizeof(*ret->items));
    CHECK(ret->items);
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        bool is_spki = part == TLS_PART_SPKI;
        if (!(is_spki ? read_base64(texts[i], ret->items[i]) : read_hex(texts[i], ret->items[i])))
            return fail_part(reterr, part, "\"%.*s\" is not the %s of a SHA-256 digest",
                             STR_ARG(str_upto(texts[i], 80)), is_spki ? "base64" : "hex");
    }
    return true;
}

static void copy_names(const struct str *texts, size_t n, struct names *ret)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += texts[i].len;
    if (n == 0)
        return;
    ret->items = malloc(n * sizeof(*ret->items) + bytes);
    CHECK(ret->items);
    ret->n = n;
    char *at = (char *)(ret->items + n);
    for (size_t i = 0; i < n; i++) {
        ret->items[i] = (struct str){at, texts[i].len};
        if (texts[i].len > 0)
            memcpy(at, texts[i].ptr, texts[i].len);
        at += texts[i].len;
    }
}

bool verify_init(struct tls_context *context, const struct tls_common *common,
                 struct tls_error *reterr)
{
    copy_names(common->subject_alt_names, common->n_subject_alt_names, &context->subject_alt_names);
    return read_digests(common->spki_hashes, common->n_spki_hashes, TLS_PART_SPKI, &context->spki,
                        reterr) &&
           read_digests(common->certificate_hashes, common->n_certificate_hashes, TLS_PART_HASH,
                        &context->certificates, reterr);
}

void verify_fini(struct tls_context *context)
{
    free(context->subject_alt_names.items);
    free(context->spki.items);
    free(context->certificates.items);
}

// ---- names ----

static bool asn1_is(const ASN1_STRING *text, struct str wanted)
{
    return str_equal(
        (struct str){(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)},
        wanted);
}

static bool name_is(const GENERAL_NAME *name, struct str wanted, const struct address *ip)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type == GEN_URI || type == GEN_EMAIL)
        return asn1_is(value, wanted);
    if (type == GEN_IPADD && ip->family != 0)
        return asn1_is(value, (struct str){(const char *)ip->ip, ip->family == AF_INET ? 4 : 16});
    return false;
}

// Wildcards of the certificate as RFC 6125, 6.4.3: a whole label, the leftmost.
static bool has_host(X509 *certificate, struct str host, unsigned more_flags)
{
    if (host.len == 0 || memchr(host.ptr, '\0', host.len))
        return false;
    return X509_check_host(certificate, host.ptr, host.len,
                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | more_flags, NULL) == 1;
}

static bool has_listed_name(X509 *certificate, const struct names *names)
{
    GENERAL_NAMES *in = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (size_t i = 0; i < names->n && !found; i++) {
        struct str wanted = names->items[i];
        struct address ip = {.family = 0};
        bool is_ip = address_parse_ip(wanted, &ip);
        for (int k = 0; k < sk_GENERAL_NAME_num(in) && !found; k++)
            found = name_is(sk_GENERAL_NAME_value(in, k), wanted, &ip);
        if (!found && !is_ip)
            found = has_host(certificate, wanted, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    }
    GENERAL_NAMES_free(in);
    return found;
}

static bool has_name(X509 *certificate, const char *name)
{
    struct address ip;
    if (!address_parse_ip(str_of(name), &ip))
        return has_host(certificate, str_of(name), 0);
    return X509_check_ip(certificate, ip.ip, ip.family == AF_INET ? 4 : 16, 0) == 1;
}

// ---- digests ----

static bool has_digest(const struct digests *digests, const uint8_t digest[DIGEST_BYTES])
{
    for (size_t i = 0; i < digests->n; i++)
        if (memcmp(digests->items[i], digest, DIGEST_BYTES) == 0)
            return true;
    return false;
}

static bool has_listed_key(X509 *certificate, const struct digests *digests)
{
    unsigned char *der = NULL;
    uint8_t digest[DIGEST_BYTES];
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool found = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1 &&
                 has_digest(digests, digest);
    OPENSSL_free(der);
    return found;
}

static bool is_listed(X509 *certificate, const struct digests *digests)
{
    uint8_t digest[DIGEST_BYTES];
    return X509_digest(certificate, EVP_sha256(), digest, NULL) == 1 && has_digest(digests, digest);
}

// ---- the decision ----

// Beside the chain. NULL: all is well. `name`: client, the host's, where no names are listed.
static const char *check_certificate(const struct tls_context *context, X509 *certificate,
                                     const char *name, int *ret_error)
{
    *ret_error = X509_V_ERR_HOSTNAME_MISMATCH;
    if (context->subject_alt_names.n > 0) {
        if (!has_listed_name(certificate, &context->subject_alt_names))
            return "none of the names that are accepted is in the certificate";
    } else if (name && !has_name(certificate, name)) {
        return "the certificate is for other names than the host's";
    }
    *ret_error = X509_V_ERR_APPLICATION_VERIFICATION;
    // Either kind of digest will do, as either list alone.
    if (context->spki.n + context->certificates.n > 0 &&
        !has_listed_key(certificate, &context->spki) &&
        !is_listed(certificate, &context->certificates))
        return "neither the certificate nor its key is one of those that are accepted";
    *ret_error = X509_V_OK;
    return NULL;
}

int verify_on_chain(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *conn = conn_of(ssl);
    // Not by way of the SSL_CTX, which several contexts may have.
    const struct tls_context *context = conn->context;
    if (!context->verifies)
        return 1;
    bool is_fine = !context->verifies_chain || X509_verify_cert(store) == 1;
    if (is_fine) {
        int error;
        const char *name = context->is_server ? NULL : conn_verified_name(conn);
        const char *why = check_certificate(context, X509_STORE_CTX_get0_cert(store), name, &error);
        X509_STORE_CTX_set_error(store, error);
        is_fine = !why;
        if (why && !context->lets_unverified_pass)
            conn->failure = why;
    }
    if (!is_fine && !context->lets_unverified_pass)
        return 0;
    ERR_clear_error(); // what was found on the way is not to be taken for the handshake's failure
    return 1;
}

int verify_on_error(int ok, X509_STORE_CTX *store)
{
    // Lists are asked for where there are any: an authority without one revokes nothing.
    if (!ok && X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return ok;
}

bool verify_session(const struct tls_context *context, const SSL_SESSION *session)
{
    X509 *certificate = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    if (!certificate)
        return !context->needs_certificate;
    int error;
    bool is_in_time = X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
    return is_in_time && (context->lets_unverified_pass ||
                          !check_certificate(context, certificate, NULL, &error));
}
