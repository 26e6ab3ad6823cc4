// SPDX-License-Identifier: Apache-2.0
// For the tests of this room: certificates made on the spot, and two ends that talk over memory.
#pragma once
#include "base/buf.h"
#include "base/check.h"
#include "tls/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
// cmocka wants the ones above
#include <cmocka.h>

// ---- certificates ----

enum key_type { KEY_EC, KEY_RSA, KEY_RSA_SMALL };
struct made { // a certificate with its key, or an authority
    X509 *certificate;
    EVP_PKEY *key;
    struct buf certificate_pem, key_pem;
};
struct wish {
    const char *name; // subject's CN
    const char *sans; // as openssl.cnf has them: "DNS:a,URI:spiffe://b"; NULL: none
    enum key_type type;
    const struct made *issuer; // NULL: self-signed
    bool is_authority;
    long begin_s, end_s; // from now; both 0: an hour ago to a day from now
};

static inline void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline void add_pem(struct buf *out, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    buf_add(out, data, (size_t)len);
    BIO_free(bio);
}

static inline struct made make(struct wish wish)
{
    static long serial = 1000;
    struct made made = {.certificate = X509_new()};
    made.key = wish.type == KEY_EC ? EVP_EC_gen("P-256")
                                   : EVP_RSA_gen(wish.type == KEY_RSA ? 2048U : 512U);
    CHECK(made.certificate && made.key);
    X509 *certificate = made.certificate,
         *issuer = wish.issuer ? wish.issuer->certificate : certificate;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    bool is_default = wish.begin_s == 0 && wish.end_s == 0;
    X509_gmtime_adj(X509_getm_notBefore(certificate), is_default ? -3600 : wish.begin_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), is_default ? 86400 : wish.end_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)wish.name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(certificate, made.key);
    add_extension(certificate, issuer, NID_basic_constraints,
                  wish.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish.is_authority)
        add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (wish.sans)
        add_extension(certificate, issuer, NID_subject_alt_name, wish.sans);
    CHECK(X509_sign(certificate, wish.issuer ? wish.issuer->key : made.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(bio, certificate) == 1);
    add_pem(&made.certificate_pem, bio);
    bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PrivateKey(bio, made.key, NULL, NULL, 0, NULL, NULL) == 1);
    add_pem(&made.key_pem, bio);
    return made;
}

static inline void unmake(struct made *made)
{
    X509_free(made->certificate);
    EVP_PKEY_free(made->key);
    buf_fini(&made->certificate_pem);
    buf_fini(&made->key_pem);
}

static inline struct tls_pair pair_of(const struct made *made)
{
    return (struct tls_pair){.certificate_pem = buf_str(&made->certificate_pem),
                             .key_pem = buf_str(&made->key_pem)};
}

// What nearly every test needs, made once: an authority and a server's certificate for
// "a.example.com" and "*.wild.example.com".
struct fixture {
    struct made authority, other_authority, server, server_rsa, client, stranger;
};
static struct fixture fixture;

// The tests run a second time in the other way, see meson.build.
static inline bool has_own_records(void)
{
    return !getenv("TLS_TEST_OPENSSL_RECORDS");
}

static inline int set_up(void **state)
{
    tls_set_records(has_own_records() ? TLS_RECORDS_OWN : TLS_RECORDS_OPENSSL);
    tls_init();
    fixture.authority = make((struct wish){.name = "authority", .is_authority = true});
    fixture.other_authority = make((struct wish){.name = "other", .is_authority = true});
    struct wish wish = {.name = "server",
                        .sans = "DNS:a.example.com,DNS:*.wild.example.com,IP:127.0.0.1,IP:::1",
                        .issuer = &fixture.authority};
    fixture.server = make(wish);
    wish.type = KEY_RSA;
    fixture.server_rsa = make(wish);
    fixture.client = make(
        (struct wish){.name = "client",
                      .sans = "URI:spiffe://c/ns/n/sa/"
                              "s,DNS:client.example.com,DNS:two.example.com,email:c@example.com",
                      .issuer = &fixture.authority});
    fixture.stranger = make((struct wish){
        .name = "stranger", .sans = "DNS:client.example.com", .issuer = &fixture.other_authority});
    return 0;
}

static inline int tear_down(void **state)
{
    struct made *all = &fixture.authority;
    for (size_t i = 0; i < sizeof(fixture) / sizeof(*all); i++)
        unmake(&all[i]);
    tls_fini();
    return 0;
}

// ---- contexts ----

static inline struct tls_server_config server_config(const struct tls_pair *pairs, size_t n)
{
    return (struct tls_server_config){
        .pairs = pairs, .n_pairs = n, .has_alpn = true, .offers_h2 = true, .identity = STR("test")};
}

static inline struct tls_client_config client_config(void)
{
    return (struct tls_client_config){.common.ca_pem = buf_str(&fixture.authority.certificate_pem),
                                      .verifies = true,
                                      .sends_sni = true};
}

static inline struct tls_context *must_serve(struct tls_server_config config)
{
    struct tls_error error;
    struct tls_context *context = tls_server_create(&config, &error);
    if (!context)
        fail_msg("part %d: %s", error.part, error.message);
    return context;
}

static inline struct tls_context *must_call(struct tls_client_config config)
{
    struct tls_error error;
    struct tls_context *context = tls_client_create(&config, &error);
    if (!context)
        fail_msg("part %d: %s", error.part, error.message);
    return context;
}

// The usual server, and one with more than that.
static inline struct tls_context *usual_server(void)
{
    struct tls_pair pair = pair_of(&fixture.server);
    return must_serve(server_config(&pair, 1));
}

// ---- wires ----

struct wire { // one end; what it sends lies in the peer's inbox
    struct tls_io io;
    struct wire *peer;
    struct buf inbox;
    size_t at;    // of what is read from the inbox
    size_t room;  // that send may still fill
    size_t piece; // most that a recv gives; 0: all
    int send_error;
    bool has_ended; // the peer is gone
    unsigned n_sends, n_recvs;
};

static inline ssize_t wire_recv(struct tls_io *io, void *data, size_t cap)
{
    struct wire *wire = (struct wire *)io;
    size_t len = wire->inbox.len - wire->at;
    wire->n_recvs++;
    if (len == 0)
        return wire->has_ended ? 0 : -EAGAIN;
    if (len > cap)
        len = cap;
    if (wire->piece && len > wire->piece)
        len = wire->piece;
    memcpy(data, wire->inbox.data + wire->at, len);
    wire->at += len;
    return (ssize_t)len;
}

static inline ssize_t wire_send(struct tls_io *io, const void *data, size_t len)
{
    struct wire *wire = (struct wire *)io;
    wire->n_sends++;
    if (wire->send_error)
        return -wire->send_error;
    if (wire->room == 0)
        return -EAGAIN;
    if (len > wire->room)
        len = wire->room;
    if (wire->room != SIZE_MAX)
        wire->room -= len;
    buf_add(&wire->peer->inbox, data, len);
    return (ssize_t)len;
}

struct ends {
    struct wire server_wire, client_wire;
    struct tls_conn *server, *client;
    enum tls_status server_status, client_status;
};

static inline void ends_open(struct ends *ends, struct tls_context *server,
                             struct tls_context *client, const char *host,
                             struct tls_session *session)
{
    *ends = (struct ends){.server_wire.room = SIZE_MAX, .client_wire.room = SIZE_MAX};
    ends->server_wire.io = ends->client_wire.io =
        (struct tls_io){.recv = wire_recv, .send = wire_send};
    ends->server_wire.peer = &ends->client_wire;
    ends->client_wire.peer = &ends->server_wire;
    ends->server = tls_accept(server, &ends->server_wire.io, STR_NONE);
    ends->client = tls_connect(client, &ends->client_wire.io, str_of(host), session);
    ends->server_status = ends->client_status = TLS_AGAIN;
}

static inline void ends_close(struct ends *ends)
{
    tls_free(ends->server);
    tls_free(ends->client);
    buf_fini(&ends->server_wire.inbox);
    buf_fini(&ends->client_wire.inbox);
    assert_int_equal(ERR_peek_error(), 0); // nothing is left for the next connection
}

// Until both are through, or neither gets on.
static inline bool ends_shake(struct ends *ends)
{
    for (int turn = 0; turn < 20; turn++) {
        if (ends->client_status == TLS_AGAIN)
            ends->client_status = tls_handshake(ends->client);
        if (ends->client_status > TLS_AGAIN)
            ends->server_wire.has_ended = true;
        if (ends->server_status == TLS_AGAIN)
            ends->server_status = tls_handshake(ends->server);
        if (ends->server_status > TLS_AGAIN)
            ends->client_wire.has_ended = true;
    }
    return ends->client_status == TLS_DONE && ends->server_status == TLS_DONE;
}

static inline void assert_moves(struct tls_conn *from, struct tls_conn *to, const char *text)
{
    char data[100];
    assert_int_equal(tls_send(from, text, strlen(text)), strlen(text));
    assert_int_equal(tls_recv(to, data, sizeof(data)), strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

// The first answer brings the ticket along (TLS 1.3).
static inline void assert_talk(struct ends *ends)
{
    assert_moves(ends->client, ends->server, "question");
    assert_moves(ends->server, ends->client, "answer");
}

static inline void assert_text(struct str text, const char *expected)
{
    char copy[1000];
    snprintf(copy, sizeof(copy), "%.*s", STR_ARG(text));
    assert_string_equal(copy, expected);
}
