// SPDX-License-Identifier: Apache-2.0
// What a config is refused for, and what certificates say.
#include "tls/tls_test.h"

static void expect_error(struct tls_server_config config, enum tls_part part, const char *message)
{
    struct tls_error error;
    struct tls_context *context = tls_server_create(&config, &error);
    if (context)
        fail_msg("accepted, and not \"%s\"", message);
    assert_string_equal(error.message, message);
    assert_int_equal(error.part, part);
    assert_int_equal(ERR_peek_error(), 0);
}

static void expect_pair_error(struct tls_pair pair, enum tls_part part, const char *message)
{
    struct tls_pair pairs[2] = {pair_of(&fixture.server), pair};
    expect_error(server_config(&pair, 1), part, message);
    struct tls_server_config config = server_config(pairs, 2);
    struct tls_error error;
    assert_null(tls_server_create(&config, &error)); // and the index tells which
    assert_int_equal(error.pair, 1);
}

static struct buf encrypted_key(void)
{
    struct buf pem = {0};
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, fixture.server_rsa.key, EVP_aes_128_cbc(),
                             (const unsigned char *)"secret", 6, NULL, NULL);
    add_pem(&pem, bio);
    return pem;
}

static void test_parts_of_a_pair_are_named(void **state)
{
    struct tls_pair good = pair_of(&fixture.server_rsa), pair = good;
    pair.certificate_pem = STR("");
    expect_pair_error(pair, TLS_PART_CERTIFICATE, "no certificate in it");
    pair.certificate_pem = good.key_pem;
    expect_pair_error(pair, TLS_PART_CERTIFICATE, "no certificate in it");
    pair.certificate_pem = STR("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    struct tls_server_config config = server_config(&pair, 1);
    struct tls_error error;
    assert_null(tls_server_create(&config, &error));
    assert_int_equal(error.part, TLS_PART_CERTIFICATE);
    assert_true(str_has_prefix(str_of(error.message), STR("a certificate in it cannot be read: ")));
    pair = good;
    pair.key_pem = STR("");
    expect_pair_error(pair, TLS_PART_KEY, "no private key in it");
    pair.key_pem = good.certificate_pem;
    expect_pair_error(pair, TLS_PART_KEY, "no private key in it");
    pair.key_pem = STR("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    assert_null(tls_server_create(&config, &error));
    pair.key_pem = buf_str(&fixture.client.key_pem);
    expect_pair_error(pair, TLS_PART_MISMATCH, "is not that of the certificate");
    struct buf key = encrypted_key();
    pair.key_pem = buf_str(&key);
    expect_pair_error(pair, TLS_PART_KEY, "the key is encrypted");
    buf_fini(&key);
    expect_error(server_config(NULL, 0), TLS_PART_CERTIFICATE, "no certificate");
    struct tls_pair twice[2] = {good, good};
    expect_error(server_config(twice, 2), TLS_PART_CERTIFICATE,
                 "a second certificate with the same type of key");
}

static void test_a_broken_block_behind_good_ones_is_an_error(void **state)
{
    struct buf chain = {0};
    buf_add_str(&chain, buf_str(&fixture.server.certificate_pem));
    buf_add_text(&chain, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    struct tls_pair pair = pair_of(&fixture.server);
    pair.certificate_pem = buf_str(&chain);
    struct tls_server_config config = server_config(&pair, 1);
    struct tls_error error;
    assert_null(tls_server_create(&config, &error));
    assert_int_equal(error.part, TLS_PART_CERTIFICATE);
    // Text around the blocks is fine, as tools write it.
    chain.len = 0;
    buf_add_text(&chain, "Certificate:\n  Data: x\n");
    buf_add_str(&chain, buf_str(&fixture.server.certificate_pem));
    buf_add_text(&chain, "\n# the end\n");
    pair.certificate_pem = buf_str(&chain);
    tls_context_unref(must_serve(server_config(&pair, 1)));
    buf_fini(&chain);
}

static void test_small_keys_are_refused_with_the_reason(void **state)
{
    struct made small = make((struct wish){.name = "small", .type = KEY_RSA_SMALL});
    expect_pair_error(pair_of(&small), TLS_PART_CERTIFICATE,
                      "OpenSSL refuses the certificate: ee key too small");
    // Also where old versions are asked for.
    struct tls_pair pair = pair_of(&small);
    struct tls_server_config config = server_config(&pair, 1);
    config.common.version_min = TLS_VERSION_1_0;
    expect_error(config, TLS_PART_CERTIFICATE, "OpenSSL refuses the certificate: ee key too small");
    unmake(&small);
}

static void test_an_expired_certificate_serves_on(void **state)
{
    struct made late = make((struct wish){.name = "late", .begin_s = -7200, .end_s = -3600});
    struct tls_pair pair = pair_of(&late);
    tls_context_unref(must_serve(server_config(&pair, 1)));
    unmake(&late);
}

static void test_parameters_are_named(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config good = server_config(&pair, 1), config = good;
    config.common.ciphers = STR("ECDHE-RSA-AES128-GCM-SHA256:NO-SUCH-CIPHER");
    expect_error(config, TLS_PART_CIPHERS, "no cipher suite \"NO-SUCH-CIPHER\"");
    config.common.ciphers = STR("TLS_NO_SUCH");
    expect_error(config, TLS_PART_CIPHERS, "no cipher suite \"TLS_NO_SUCH\"");
    config = good;
    config.common.curves = STR("X25519:P-257");
    expect_error(config, TLS_PART_CURVES, "no curve \"P-257\"");
    config = good;
    config.common.version_min = TLS_VERSION_1_3;
    config.common.version_max = TLS_VERSION_1_2;
    expect_error(config, TLS_PART_VERSIONS, "the lowest version is above the highest");
    config = good;
    config.client_auth = TLS_CLIENT_REQUIRED;
    expect_error(config, TLS_PART_CA, "no authority to verify clients with");
    config.common.ca_pem = STR("nothing");
    expect_error(config, TLS_PART_CA, "no certificate in it");
    config.common.ca_pem = STR("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    expect_error(config, TLS_PART_CA, "a certificate in it cannot be read");
    config.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    config.common.crl_pem = STR("nothing");
    expect_error(config, TLS_PART_CRL, "no revocation list in it");
    config.common.crl_pem = STR("-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
    expect_error(config, TLS_PART_CRL, "a revocation list in it cannot be read");
}

static void test_digests_are_named(void **state)
{
    static const char *const bad[] = {
        "",
        "zz",
        "ab:cd",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",  // base64 without its '='
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", // 31 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!=",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
    };
    struct tls_pair pair = pair_of(&fixture.server);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct str text = str_of(bad[i]);
        struct tls_server_config config = server_config(&pair, 1);
        struct tls_error error;
        config.client_auth = TLS_CLIENT_REQUIRED;
        config.common.spki_hashes = &text;
        config.common.n_spki_hashes = 1;
        assert_null(tls_server_create(&config, &error));
        assert_int_equal(error.part, TLS_PART_SPKI);
        config.common.n_spki_hashes = 0;
        config.common.certificate_hashes = &text;
        config.common.n_certificate_hashes = 1;
        assert_null(tls_server_create(&config, &error));
        assert_int_equal(error.part, TLS_PART_HASH);
        assert_non_null(strstr(error.message, "is not the hex of a SHA-256 digest"));
    }
}

// ---- ciphers and curves in effect ----

static const char *chosen(const char *server_ciphers, const char *client_ciphers, uint16_t version)
{
    static char word[100];
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.common.ciphers = str_of(server_ciphers);
    struct tls_client_config called = client_config();
    called.common.ciphers = str_of(client_ciphers);
    called.common.version_max = version;
    struct tls_context *server = must_serve(served), *client = must_call(called);
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    struct str text = ends_shake(&ends) ? tls_cipher_word(ends.server) : tls_failure(ends.server);
    snprintf(word, sizeof(word), "%.*s", STR_ARG(text));
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    return word;
}

static void test_suites_of_both_kinds_in_one_list(void **state)
{
    static const char both[] = "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";
    assert_string_equal(chosen(both, "", 0), "TLS_AES_256_GCM_SHA384");
    assert_string_equal(chosen(both, "", TLS_VERSION_1_2), "ECDHE-ECDSA-AES256-GCM-SHA384");
    // One kind leaves the other at its default.
    assert_string_equal(chosen("ECDHE-ECDSA-AES256-GCM-SHA384", "", 0), "TLS_AES_128_GCM_SHA256");
    // Names of the standard, and other separators.
    assert_string_equal(
        chosen("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, AES128-SHA", "", TLS_VERSION_1_2),
        "ECDHE-ECDSA-CHACHA20-POLY1305");
    // OpenSSL's own words, as nginx's users know them.
    assert_string_equal(chosen("HIGH:!aNULL:!MD5:!AES128:!CHACHA20:@STRENGTH", "", TLS_VERSION_1_2),
                        "ECDHE-ECDSA-AES256-GCM-SHA384");
    // Ours decide, but for clients that like ChaCha20 best.
    assert_string_equal(chosen("", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", 0),
                        "TLS_AES_128_GCM_SHA256");
    assert_string_equal(chosen("", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", 0),
                        "TLS_CHACHA20_POLY1305_SHA256");
    assert_string_equal(chosen("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", 0),
                        "no shared cipher");
}

static bool agree_on_curves(const char *server_curves, const char *client_curves)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.common.curves = str_of(server_curves);
    struct tls_client_config called = client_config();
    called.common.curves = str_of(client_curves);
    struct tls_context *server = must_serve(served), *client = must_call(called);
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    bool does = ends_shake(&ends);
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    return does;
}

static void test_curves(void **state)
{
    assert_true(agree_on_curves("", "P-384"));
    assert_true(agree_on_curves("P-384:X25519", "P-521:P-384")); // with a second ClientHello
    assert_true(agree_on_curves("secp384r1,prime256v1", "P-256"));
    assert_false(agree_on_curves("P-384", "P-256"));
    assert_false(agree_on_curves("", "P-521"));
}

// ---- staples ----

static struct buf make_staple(const struct made *about, const struct made *issuer, int status,
                              long end_s)
{
    struct buf der = {0};
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, about->certificate, issuer->certificate);
    ASN1_TIME *begin = X509_gmtime_adj(NULL, -7200), *end = X509_gmtime_adj(NULL, end_s);
    OCSP_basic_add1_status(basic, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? begin : NULL,
                           begin, end);
    OCSP_basic_sign(basic, issuer->certificate, issuer->key, EVP_sha256(), NULL, 0);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *bytes = NULL;
    int len = i2d_OCSP_RESPONSE(response, &bytes);
    buf_add(&der, bytes, (size_t)len);
    OPENSSL_free(bytes);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(begin);
    ASN1_TIME_free(end);
    return der;
}

// What a client that asks for it gets; OpenSSL alone on that side.
static struct buf staple_from(struct tls_context *server, const char *ciphers)
{
    struct buf got = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, ciphers);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    struct wire wire = {.room = SIZE_MAX}, other = {.room = SIZE_MAX};
    wire.io = (struct tls_io){.recv = wire_recv, .send = wire_send};
    wire.peer = &other;
    struct tls_conn *conn = tls_accept(server, &wire.io, STR_NONE);
    for (int turn = 0; turn < 4; turn++) {
        char *data;
        SSL_do_handshake(ssl);
        long len = BIO_get_mem_data(out, &data);
        buf_add(&wire.inbox, data, (size_t)len);
        (void)BIO_reset(out);
        assert_in_range(tls_handshake(conn), TLS_DONE, TLS_AGAIN);
        BIO_write(in, other.inbox.data, (int)other.inbox.len);
        other.inbox.len = 0;
    }
    assert_true(SSL_is_init_finished(ssl));
    const unsigned char *response;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &response);
    if (len > 0)
        buf_add(&got, response, (size_t)len);
    tls_free(conn);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    buf_fini(&wire.inbox);
    buf_fini(&other.inbox);
    ERR_clear_error();
    return got;
}

static void test_a_staple_goes_with_its_certificate(void **state)
{
    struct buf staple =
        make_staple(&fixture.server_rsa, &fixture.authority, V_OCSP_CERTSTATUS_GOOD, 3600);
    struct tls_pair pairs[2] = {pair_of(&fixture.server), pair_of(&fixture.server_rsa)};
    pairs[1].ocsp_der = buf_str(&staple);
    struct tls_context *server = must_serve(server_config(pairs, 2));
    struct buf got = staple_from(server, "ECDHE-RSA-AES128-GCM-SHA256");
    assert_int_equal(got.len, staple.len);
    assert_memory_equal(got.data, staple.data, staple.len);
    buf_fini(&got);
    got = staple_from(server, "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_int_equal(got.len, 0);
    tls_context_unref(server);
    buf_fini(&staple);
    // One whose time is over is kept back.
    staple = make_staple(&fixture.server_rsa, &fixture.authority, V_OCSP_CERTSTATUS_GOOD, -60);
    pairs[1].ocsp_der = buf_str(&staple);
    server = must_serve(server_config(pairs, 2));
    got = staple_from(server, "ECDHE-RSA-AES128-GCM-SHA256");
    assert_int_equal(got.len, 0);
    tls_context_unref(server);
    buf_fini(&staple);
}

static void expect_staple_error(struct str der, const char *message)
{
    struct tls_pair pair = pair_of(&fixture.server);
    pair.ocsp_der = der;
    expect_error(server_config(&pair, 1), TLS_PART_OCSP, message);
}

static void test_staples_are_checked(void **state)
{
    expect_staple_error(STR("nothing"), "it is no OCSP response (DER)");
    expect_staple_error(STR("\x30\3\x0a\1\3"), "it says \"trylater\" instead of successful");
    struct buf other =
                   make_staple(&fixture.client, &fixture.authority, V_OCSP_CERTSTATUS_GOOD, 3600),
               revoked = make_staple(&fixture.server, &fixture.authority, V_OCSP_CERTSTATUS_REVOKED,
                                     3600),
               wrong_issuer = make_staple(&fixture.server, &fixture.other_authority,
                                          V_OCSP_CERTSTATUS_GOOD, 3600);
    expect_staple_error(buf_str(&other), "it is about another certificate");
    expect_staple_error(buf_str(&revoked), "it says that the certificate is revoked");
    // Whose key signed it is known where the chain has the issuer.
    struct buf chain = {0};
    buf_add_str(&chain, buf_str(&fixture.server.certificate_pem));
    buf_add_str(&chain, buf_str(&fixture.authority.certificate_pem));
    struct tls_pair pair = pair_of(&fixture.server);
    pair.certificate_pem = buf_str(&chain);
    pair.ocsp_der = buf_str(&wrong_issuer);
    expect_error(server_config(&pair, 1), TLS_PART_OCSP, "it is about another certificate");
    buf_fini(&chain);
    buf_add_char(&other, 'x');
    expect_staple_error(buf_str(&other), "it is no OCSP response (DER)");
    buf_fini(&other);
    buf_fini(&revoked);
    buf_fini(&wrong_issuer);
}

// ---- certificates ----

static void test_facts(void **state)
{
    struct tls_certificate_facts facts;
    int64_t now_s = time(NULL);
    assert_true(tls_certificate_facts(buf_str(&fixture.server.certificate_pem), &facts));
    assert_string_equal(facts.subject, "CN=server");
    assert_string_equal(facts.key_type, "EC P-256");
    assert_in_range(now_s - facts.not_before_s, 3600, 3800);
    assert_in_range(facts.not_after_s - now_s, 86200, 86400);
    assert_true(tls_certificate_facts(buf_str(&fixture.server_rsa.certificate_pem), &facts));
    assert_string_equal(facts.key_type, "RSA 2048");
    assert_false(tls_certificate_facts(STR("nothing"), &facts));
    assert_false(tls_certificate_facts(buf_str(&fixture.server.key_pem), &facts));
}

static void test_what_a_certificate_covers(void **state)
{
    struct str pem = buf_str(&fixture.server.certificate_pem);
    assert_true(tls_certificate_covers(pem, STR("a.example.com")));
    assert_true(tls_certificate_covers(pem, STR("A.example.com")));
    assert_true(tls_certificate_covers(pem, STR("x.wild.example.com")));
    assert_true(tls_certificate_covers(pem, STR("*.wild.example.com")));
    assert_false(tls_certificate_covers(pem, STR("*.example.com")));
    assert_false(tls_certificate_covers(pem, STR("x.y.wild.example.com")));
    assert_false(tls_certificate_covers(pem, STR("wild.example.com")));
    assert_false(tls_certificate_covers(pem, STR("b.example.com")));
    assert_false(tls_certificate_covers(pem, STR("")));
    assert_false(tls_certificate_covers(STR("nothing"), STR("a.example.com")));
}

static void test_self_signed(void **state)
{
    struct buf certificate = {0}, key = {0}, other = {0}, other_key = {0};
    struct tls_certificate_facts facts;
    tls_make_self_signed(STR("default.example"), &certificate, &key);
    tls_make_self_signed(STR("default.example"), &other, &other_key);
    assert_false(str_equal(buf_str(&key), buf_str(&other_key)));
    assert_true(tls_certificate_facts(buf_str(&certificate), &facts));
    assert_string_equal(facts.subject, "CN=default.example");
    assert_string_equal(facts.key_type, "EC P-256");
    assert_true(facts.not_before_s < time(NULL));
    assert_true(facts.not_after_s > time(NULL) + 5LL * 365 * 86400);
    assert_true(tls_certificate_covers(buf_str(&certificate), STR("default.example")));
    struct tls_pair pair = {.certificate_pem = buf_str(&certificate), .key_pem = buf_str(&key)};
    struct tls_context *server = must_serve(server_config(&pair, 1));
    struct tls_client_config config = client_config();
    config.common.ca_pem = buf_str(&certificate);
    struct tls_context *client = must_call(config);
    struct ends ends;
    ends_open(&ends, server, client, "default.example", NULL);
    assert_true(ends_shake(&ends));
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    buf_fini(&certificate);
    buf_fini(&key);
    buf_fini(&other);
    buf_fini(&other_key);
}

// ---- digests of configs ----

static bool same_digest(const struct tls_server_config *a, const struct tls_server_config *b)
{
    struct buf one = {0}, two = {0};
    tls_server_digest(a, &one);
    tls_server_digest(b, &two);
    bool is_same = str_equal(buf_str(&one), buf_str(&two));
    buf_fini(&one);
    buf_fini(&two);
    return is_same;
}

static void test_digests_tell_configs_apart(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server), other_pair = pair_of(&fixture.server_rsa);
    struct str name = STR("n"), names[2] = {STR("a"), STR("b")}, joined = STR("ab");
    struct tls_server_config base = server_config(&pair, 1);
    struct tls_server_config same = base;
    struct buf copy = {0};
    buf_add_str(&copy, pair.certificate_pem);
    struct tls_pair copied = pair;
    copied.certificate_pem = buf_str(&copy);
    same.pairs = &copied;
    assert_true(same_digest(&base, &same)); // bytes count, not where they are
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        struct tls_server_config c = base;                                                         \
        change;                                                                                    \
        assert_false(same_digest(&base, &c));                                                      \
    } while (0)
    DIFFERS(c.pairs = &other_pair);
    DIFFERS(c.n_pairs = 0);
    DIFFERS(c.identity = name);
    DIFFERS(c.has_alpn = false);
    DIFFERS(c.offers_h2 = false);
    DIFFERS(c.client_auth = TLS_CLIENT_OPTIONAL);
    DIFFERS(c.common.version_min = TLS_VERSION_1_3);
    DIFFERS(c.common.version_max = TLS_VERSION_1_3);
    DIFFERS(c.common.ciphers = name);
    DIFFERS(c.common.curves = name);
    DIFFERS(c.common.ca_pem = name);
    DIFFERS(c.common.crl_pem = name);
    DIFFERS(c.common.verify_depth = 3);
    DIFFERS((c.common.subject_alt_names = &name, c.common.n_subject_alt_names = 1));
    DIFFERS((c.common.spki_hashes = &name, c.common.n_spki_hashes = 1));
    DIFFERS((c.common.certificate_hashes = &name, c.common.n_certificate_hashes = 1));
#undef DIFFERS
    struct tls_server_config a = base, b = base; // "a","b" is not "ab"
    a.common.subject_alt_names = names;
    a.common.n_subject_alt_names = 2;
    b.common.subject_alt_names = &joined;
    b.common.n_subject_alt_names = 1;
    assert_false(same_digest(&a, &b));
    buf_fini(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_a_pair_are_named),
        cmocka_unit_test(test_a_broken_block_behind_good_ones_is_an_error),
        cmocka_unit_test(test_small_keys_are_refused_with_the_reason),
        cmocka_unit_test(test_an_expired_certificate_serves_on),
        cmocka_unit_test(test_parameters_are_named),
        cmocka_unit_test(test_digests_are_named),
        cmocka_unit_test(test_suites_of_both_kinds_in_one_list),
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_a_staple_goes_with_its_certificate),
        cmocka_unit_test(test_staples_are_checked),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_what_a_certificate_covers),
        cmocka_unit_test(test_self_signed),
        cmocka_unit_test(test_digests_tell_configs_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
