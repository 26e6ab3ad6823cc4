// SPDX-License-Identifier: Apache-2.0
// What a certificate says.
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

static X509 *read_leaf(struct str pem)
{
    BIO *bio = bio_of_str(pem);
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return leaf;
}

int64_t certificate_seconds(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void write_subject(const X509 *leaf, char *out, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio);
    X509_NAME_print_ex(bio, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253);
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    snprintf(out, cap, "%.*s", (int)len, data);
    BIO_free(bio);
}

static void write_key_type(EVP_PKEY *key, char *out, size_t cap)
{
    char group[32] = "";
    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1) {
        const char *nist = EC_curve_nid2nist(OBJ_sn2nid(group));
        snprintf(out, cap, "EC %.12s", nist ? nist : group);
    } else if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        snprintf(out, cap, "RSA %d", EVP_PKEY_get_bits(key));
    } else {
        const char *name = key ? EVP_PKEY_get0_type_name(key) : NULL;
        snprintf(out, cap, "%s", name ? name : "unknown");
    }
}

bool tls_certificate_facts(struct str pem, struct tls_certificate_facts *ret)
{
    X509 *leaf = read_leaf(pem);
    if (!leaf)
        return false;
    *ret = (struct tls_certificate_facts){
        .not_before_s = certificate_seconds(X509_get0_notBefore(leaf)),
        .not_after_s = certificate_seconds(X509_get0_notAfter(leaf)),
    };
    write_subject(leaf, ret->subject, sizeof(ret->subject));
    write_key_type(X509_get0_pubkey(leaf), ret->key_type, sizeof(ret->key_type));
    X509_free(leaf);
    ERR_clear_error();
    return true;
}

// "*.x" is only in a certificate that says so.
static bool has_wildcard(X509 *leaf, struct str host)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        found = type == GEN_DNS &&
                str_equal_nocase(host, (struct str){(const char *)ASN1_STRING_get0_data(value),
                                                    (size_t)ASN1_STRING_length(value)});
    }
    GENERAL_NAMES_free(names);
    return found;
}

bool tls_certificate_covers(struct str pem, struct str host)
{
    X509 *leaf = host.len > 0 ? read_leaf(pem) : NULL;
    if (!leaf)
        return false;
    bool covers = host.ptr[0] == '*'
                      ? has_wildcard(leaf, host)
                      : X509_check_host(leaf, host.ptr, host.len,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
    X509_free(leaf);
    ERR_clear_error();
    return covers;
}
