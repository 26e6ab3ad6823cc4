// SPDX-License-Identifier: Apache-2.0
// The peer's certificate in words.
#include "tls/internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct peer_texts {
    struct tls_peer peer; // its texts lie in `room`
    struct buf room;
};

void peer_free(struct peer_texts *texts)
{
    if (!texts)
        return;
    buf_fini(&texts->room);
    free(texts);
}

// Texts grow in one buffer that moves: their places are noted as offsets first.
struct span {
    size_t at, len;
};

static struct span span_since(const struct buf *room, size_t at)
{
    return (struct span){at, room->len - at};
}

static struct span add_bio(struct buf *room, BIO *bio)
{
    char *data;
    size_t at = room->len;
    long len = BIO_get_mem_data(bio, &data);
    if (len > 0)
        buf_add(room, data, (size_t)len);
    BIO_free(bio);
    return span_since(room, at);
}

static struct span add_name(struct buf *room, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    return add_bio(room, bio);
}

static struct span add_hex(struct buf *room, const uint8_t *data, size_t len)
{
    size_t at = room->len;
    for (size_t i = 0; i < len; i++)
        buf_printf(room, "%02x", data[i]);
    return span_since(room, at);
}

static struct span add_serial(struct buf *room, X509 *certificate)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    size_t at = room->len;
    if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
        buf_add_char(room, '-');
    add_hex(room, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    return span_since(room, at);
}

static struct span add_digest(struct buf *room, X509 *certificate)
{
    uint8_t digest[DIGEST_BYTES];
    CHECK(X509_digest(certificate, EVP_sha256(), digest, NULL) == 1);
    return add_hex(room, digest, sizeof(digest));
}

// All names of a type with ',' between; *ret_first the first of them. A name with a byte that would
// end a field or a list is left out: it could pretend to be another.
static struct span add_names(struct buf *room, GENERAL_NAMES *names, int wanted,
                             struct span *ret_first)
{
    size_t at = room->len;
    *ret_first = (struct span){at, 0};
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != wanted)
            continue;
        struct str text = {(const char *)ASN1_STRING_get0_data(value),
                           (size_t)ASN1_STRING_length(value)};
        bool is_plain = text.len > 0;
        for (size_t k = 0; k < text.len; k++)
            is_plain &= text.ptr[k] > ' ' && text.ptr[k] < 127 && !strchr(",;\"\\", text.ptr[k]);
        if (!is_plain)
            continue;
        if (room->len > at)
            buf_add_char(room, ',');
        if (ret_first->len == 0)
            *ret_first = (struct span){room->len, text.len};
        buf_add_str(room, text);
    }
    return span_since(room, at);
}

// URL-encoded as nginx's $ssl_client_escaped_cert and Envoy's XFCC have it.
static struct span add_escaped_pem(struct buf *room, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio && PEM_write_bio_X509(bio, certificate) == 1);
    char *pem;
    long len = BIO_get_mem_data(bio, &pem);
    size_t at = room->len;
    for (long i = 0; i < len; i++) {
        char c = pem[i], lower = ascii_lower(c);
        bool is_kept =
            (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || strchr("-._~", c);
        if (is_kept)
            buf_add_char(room, c);
        else
            buf_printf(room, "%%%02X", (unsigned char)c);
    }
    BIO_free(bio);
    return span_since(room, at);
}

static struct str text_at(const struct buf *room, struct span span)
{
    return span.len > 0 ? (struct str){room->data + span.at, span.len} : STR_NONE;
}

static void note_verification(const struct tls_conn *conn, struct tls_peer *peer)
{
    long result = conn->ssl ? SSL_get_verify_result(conn->ssl) : conn->verify_result;
    peer->is_verified = conn->context->verifies && result == X509_V_OK;
    if (!conn->context->verifies)
        peer->verify_failure = STR("not verified");
    else if (result != X509_V_OK)
        peer->verify_failure = str_of(X509_verify_cert_error_string(result)); // static
}

static struct peer_texts *make_texts(const struct tls_conn *conn, X509 *certificate)
{
    struct peer_texts *texts = calloc(1, sizeof(*texts));
    CHECK(texts);
    struct buf *room = &texts->room;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    struct span first_dns, first_uri;
    struct span subject = add_name(room, X509_get_subject_name(certificate)),
                issuer = add_name(room, X509_get_issuer_name(certificate)),
                serial = add_serial(room, certificate), sha256 = add_digest(room, certificate),
                dns = add_names(room, names, GEN_DNS, &first_dns),
                uri = add_names(room, names, GEN_URI, &first_uri),
                pem = add_escaped_pem(room, certificate);
    GENERAL_NAMES_free(names);
    texts->peer = (struct tls_peer){
        .subject = text_at(room, subject),
        .issuer = text_at(room, issuer),
        .serial = text_at(room, serial),
        .sha256 = text_at(room, sha256),
        .dns_san = text_at(room, first_dns),
        .uri_san = text_at(room, first_uri),
        .dns_sans = text_at(room, dns),
        .uri_sans = text_at(room, uri),
        .pem_escaped = text_at(room, pem),
        .not_before_s = certificate_seconds(X509_get0_notBefore(certificate)),
        .not_after_s = certificate_seconds(X509_get0_notAfter(certificate)),
    };
    note_verification(conn, &texts->peer);
    ERR_clear_error();
    return texts;
}

bool tls_peer(struct tls_conn *conn, struct tls_peer *ret)
{
    X509 *certificate = conn->ssl ? SSL_get0_peer_certificate(conn->ssl) : conn->peer_certificate;
    if (!certificate)
        return false;
    if (!conn->peer)
        conn->peer = make_texts(conn, certificate);
    *ret = conn->peer->peer;
    return true;
}
