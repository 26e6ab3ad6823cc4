// SPDX-License-Identifier: Apache-2.0
// OCSP responses that are given along with a certificate (RFC 6066, 8; RFC 6960).
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <time.h>

// Is the response's id that of `leaf`? The issuer's key is compared where we have it.
static bool id_is_of(const OCSP_CERTID *id, X509 *leaf, X509 *issuer)
{
    ASN1_OCTET_STRING *name_hash = NULL, *key_hash = NULL;
    ASN1_OBJECT *algorithm = NULL;
    ASN1_INTEGER *serial = NULL;
    if (OCSP_id_get0_info(&name_hash, &algorithm, &key_hash, &serial,
                          (OCSP_CERTID *)(uintptr_t)id) != 1 ||
        ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(algorithm);
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!md || X509_NAME_digest(X509_get_issuer_name(leaf), md, hash, &len) != 1 ||
        ASN1_STRING_length(name_hash) != (int)len ||
        memcmp(ASN1_STRING_get0_data(name_hash), hash, len) != 0)
        return false;
    if (!issuer)
        return true;
    OCSP_CERTID *expected = OCSP_cert_to_id(md, leaf, issuer);
    bool is_same = expected && OCSP_id_cmp(expected, id) == 0;
    OCSP_CERTID_free(expected);
    return is_same;
}

static bool read_basic(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer, struct staple *ret,
                       struct tls_error *reterr)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        if (!id_is_of(OCSP_SINGLERESP_get0_id(single), leaf, issuer))
            continue;
        ASN1_GENERALIZEDTIME *begin = NULL, *end = NULL;
        int status = OCSP_single_get0_status(single, NULL, NULL, &begin, &end);
        if (status != V_OCSP_CERTSTATUS_GOOD)
            return fail_part(reterr, TLS_PART_OCSP, "it says that the certificate is %s",
                             OCSP_cert_status_str(status));
        ret->end_s = end ? certificate_seconds(end) : INT64_MAX;
        return true;
    }
    return fail_part(reterr, TLS_PART_OCSP, "it is about another certificate");
}

bool staple_read(struct str der, X509 *leaf, X509 *issuer, struct staple *ret,
                 struct tls_error *reterr)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = NULL;
    bool is_fine = false;
    if (!response || at != (const unsigned char *)der.ptr + der.len) {
        fail_part(reterr, TLS_PART_OCSP, "it is no OCSP response (DER)");
    } else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        fail_part(reterr, TLS_PART_OCSP, "it says \"%s\" instead of successful",
                  OCSP_response_status_str(OCSP_response_status(response)));
    } else if (!(basic = OCSP_response_get1_basic(response))) {
        fail_part(reterr, TLS_PART_OCSP, "it has no basic response");
    } else if (read_basic(basic, leaf, issuer, ret, reterr)) {
        is_fine = true;
        ret->certificate = leaf;
        ret->len = der.len;
        ret->der = malloc(der.len);
        CHECK(ret->der);
        memcpy(ret->der, der.ptr, der.len);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return is_fine;
}

int staple_on_status(SSL *ssl, void *of_context)
{
    const struct tls_context *context = of_context;
    const X509 *certificate = SSL_get_certificate(ssl);
    for (size_t i = 0; i < context->n_staples; i++) {
        const struct staple *staple = &context->staples[i];
        if (staple->certificate != certificate)
            continue;
        if (staple->end_s <= (int64_t)time(NULL))
            break; // worse than none: clients would refuse the certificate
        unsigned char *copy = OPENSSL_memdup(staple->der, staple->len);
        if (!copy)
            break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len); // takes the copy
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}
