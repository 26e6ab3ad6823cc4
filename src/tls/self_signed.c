// SPDX-License-Identifier: Apache-2.0
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

enum {
    COMMON_NAME_MAX = 64, // ub-common-name (RFC 5280, appendix A)
    BACKDATED_S = 3600,   // for clients whose clock is slow
    VALID_S = 10 * 365 * 24 * 3600,
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *certificate)
{
    uint8_t bytes[16];
    CHECK(RAND_bytes(bytes, sizeof(bytes)) == 1);
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); // positive, and of one length
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    CHECK(number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)));
    BN_free(number);
}

// The name as SAN, without the configuration syntax of X509V3_EXT_conf_nid (',' and ':').
static void add_san(X509 *certificate, const char *name, int len)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *dns = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    CHECK(names && dns && text && ASN1_STRING_set(text, name, len) == 1);
    GENERAL_NAME_set0_value(dns, GEN_DNS, text);
    CHECK(sk_GENERAL_NAME_push(names, dns) > 0 &&
          X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1);
    GENERAL_NAMES_free(names);
}

static X509 *make_certificate(EVP_PKEY *key, struct str name)
{
    X509 *certificate = X509_new();
    CHECK(certificate && X509_set_version(certificate, X509_VERSION_3) == 1);
    set_serial(certificate);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATED_S);
    X509_time_adj_ex(X509_getm_notAfter(certificate), VALID_S / 86400, 0, NULL);
    X509_NAME *subject = X509_NAME_new();
    name = str_upto(name, COMMON_NAME_MAX);
    CHECK(subject &&
          X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name.ptr,
                                     (int)name.len, -1, 0) == 1);
    CHECK(X509_set_subject_name(certificate, subject) == 1 &&
          X509_set_issuer_name(certificate, subject) == 1 &&
          X509_set_pubkey(certificate, key) == 1);
    X509_NAME_free(subject);
    add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate, NID_key_usage, "critical,digitalSignature");
    add_extension(certificate, NID_ext_key_usage, "serverAuth");
    add_extension(certificate, NID_subject_key_identifier, "hash");
    add_san(certificate, name.ptr, (int)name.len);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void add_bio(struct buf *out, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    CHECK(len > 0);
    buf_add(out, data, (size_t)len);
    BIO_free(bio);
}

void tls_make_self_signed(struct str common_name, struct buf *ret_certificate, struct buf *ret_key)
{
    CHECK(common_name.len > 0);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(key);
    X509 *certificate = make_certificate(key, common_name);
    BIO *text = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
    CHECK(text && PEM_write_bio_X509(text, certificate) == 1);
    CHECK(secret && PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1);
    add_bio(ret_certificate, text);
    add_bio(ret_key, secret);
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
}
