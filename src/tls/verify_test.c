// SPDX-License-Identifier: Apache-2.0
// Who is let through: chains, names, digests, revocation; clients and servers.
#include "tls/internal.h"
#include "tls/tls_test.h"

// How a handshake between the two ended, and whom the server saw.
struct outcome {
    bool is_fine;
    char server_failure[200], client_failure[200];
    bool has_peer, is_verified;
    char verify_failure[100];
};

static void note(char *out, size_t cap, struct str text)
{
    snprintf(out, cap, "%.*s", STR_ARG(text));
}

static struct outcome meet(struct tls_server_config served, struct tls_client_config called,
                           const char *host)
{
    struct outcome outcome = {.is_fine = false};
    struct tls_context *server = must_serve(served), *client = must_call(called);
    struct ends ends;
    struct tls_peer peer;
    ends_open(&ends, server, client, host, NULL);
    outcome.is_fine = ends_shake(&ends);
    note(outcome.server_failure, sizeof(outcome.server_failure), tls_failure(ends.server));
    note(outcome.client_failure, sizeof(outcome.client_failure), tls_failure(ends.client));
    outcome.has_peer = outcome.is_fine && tls_peer(ends.server, &peer);
    if (outcome.has_peer) {
        outcome.is_verified = peer.is_verified;
        note(outcome.verify_failure, sizeof(outcome.verify_failure), peer.verify_failure);
    }
    // In TLS 1.3 a client is done before the server has looked at its certificate.
    char data[10];
    if (ends.client_status == TLS_DONE && ends.server_status == TLS_FAILED &&
        tls_recv(ends.client, data, sizeof(data)) < 0)
        note(outcome.client_failure, sizeof(outcome.client_failure), tls_failure(ends.client));
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    return outcome;
}

// ---- the client looks at the server ----

static struct outcome call_server(const struct made *server, struct tls_client_config config,
                                  const char *host)
{
    struct tls_pair pair = pair_of(server);
    return meet(server_config(&pair, 1), config, host);
}

static void expect_host(const char *host, const char *failure)
{
    struct outcome outcome = call_server(&fixture.server, client_config(), host);
    assert_string_equal(outcome.client_failure, failure);
    assert_int_equal(outcome.is_fine, !*failure);
}

static void test_the_certificate_is_for_the_host(void **state)
{
    static const char wrong[] =
        "certificate verify failed: the certificate is for other names than the host's";
    expect_host("a.example.com", "");
    expect_host("A.EXAMPLE.com", "");
    expect_host("x.wild.example.com", "");
    expect_host("127.0.0.1", "");
    expect_host("::1", "");
    expect_host("b.example.com", wrong);
    expect_host("x.y.wild.example.com", wrong);
    expect_host("wild.example.com", wrong);
    expect_host("127.0.0.2", wrong);
    expect_host("::2", wrong);
    expect_host("", wrong);
}

static void test_names_of_the_config_come_before_the_host(void **state)
{
    struct tls_client_config config = client_config();
    config.sni = STR("a.example.com");
    assert_true(call_server(&fixture.server, config, "elsewhere").is_fine);
    config.sni = STR("elsewhere");
    config.name = STR("a.example.com");
    assert_true(call_server(&fixture.server, config, "elsewhere").is_fine);
    config.name = STR("elsewhere");
    assert_false(call_server(&fixture.server, config, "a.example.com").is_fine);
}

static void test_no_address_is_sent_as_sni(void **state)
{
    static const struct {
        const char *host, *sni;
    } cases[] = {{"a.example.com", "a.example.com"}, {"127.0.0.1", ""}, {"::1", ""}};
    for (size_t i = 0; i < 3; i++) {
        struct tls_context *server = usual_server(), *client = must_call(client_config());
        struct ends ends;
        ends_open(&ends, server, client, cases[i].host, NULL);
        assert_true(ends_shake(&ends));
        assert_text(tls_sni(ends.server), cases[i].sni);
        ends_close(&ends);
        tls_context_unref(server);
        tls_context_unref(client);
    }
}

static void test_chains_end_at_an_authority(void **state)
{
    struct tls_client_config config = client_config();
    config.common.ca_pem = buf_str(&fixture.other_authority.certificate_pem);
    struct outcome outcome = call_server(&fixture.server, config, "a.example.com");
    assert_string_equal(outcome.client_failure,
                        "certificate verify failed: unable to get local issuer certificate");
    assert_string_equal(outcome.server_failure, "the peer sent the alert: unknown CA");
    config.common.ca_pem = STR_NONE; // the system's know neither
    assert_false(call_server(&fixture.server, config, "a.example.com").is_fine);
    config.verifies = false;
    assert_true(call_server(&fixture.server, config, "elsewhere").is_fine);
}

static void test_times_are_looked_at(void **state)
{
    struct made late = make((struct wish){.name = "late",
                                          .sans = "DNS:a.example.com",
                                          .issuer = &fixture.authority,
                                          .begin_s = -7200,
                                          .end_s = -3600});
    struct made early = make((struct wish){.name = "early",
                                           .sans = "DNS:a.example.com",
                                           .issuer = &fixture.authority,
                                           .begin_s = 3600,
                                           .end_s = 7200});
    assert_string_equal(call_server(&late, client_config(), "a.example.com").client_failure,
                        "certificate verify failed: certificate has expired");
    assert_string_equal(call_server(&early, client_config(), "a.example.com").client_failure,
                        "certificate verify failed: certificate is not yet valid");
    unmake(&late);
    unmake(&early);
}

static void test_chains_through_an_intermediate(void **state)
{
    struct made middle =
        make((struct wish){.name = "middle", .issuer = &fixture.authority, .is_authority = true});
    struct made leaf =
        make((struct wish){.name = "leaf", .sans = "DNS:a.example.com", .issuer = &middle});
    struct buf chain = {0};
    buf_add_str(&chain, buf_str(&leaf.certificate_pem));
    buf_add_str(&chain, buf_str(&middle.certificate_pem));
    struct tls_pair pair = {.certificate_pem = buf_str(&chain), .key_pem = buf_str(&leaf.key_pem)};
    assert_true(meet(server_config(&pair, 1), client_config(), "a.example.com").is_fine);
    // Too deep.
    struct tls_client_config config = client_config();
    struct made lower =
        make((struct wish){.name = "lower", .issuer = &middle, .is_authority = true});
    struct made deep =
        make((struct wish){.name = "deep", .sans = "DNS:a.example.com", .issuer = &lower});
    struct buf long_chain = {0};
    buf_add_str(&long_chain, buf_str(&deep.certificate_pem));
    buf_add_str(&long_chain, buf_str(&lower.certificate_pem));
    buf_add_str(&long_chain, buf_str(&middle.certificate_pem));
    pair = (struct tls_pair){.certificate_pem = buf_str(&long_chain),
                             .key_pem = buf_str(&deep.key_pem)};
    assert_true(meet(server_config(&pair, 1), config, "a.example.com").is_fine);
    config.common.verify_depth = 1;
    assert_string_equal(meet(server_config(&pair, 1), config, "a.example.com").client_failure,
                        "certificate verify failed: certificate chain too long");
    // Without the intermediate; then with it as the authority.
    pair.certificate_pem = buf_str(&leaf.certificate_pem);
    pair.key_pem = buf_str(&leaf.key_pem);
    assert_false(meet(server_config(&pair, 1), client_config(), "a.example.com").is_fine);
    config = client_config();
    config.common.ca_pem = buf_str(&middle.certificate_pem);
    assert_true(meet(server_config(&pair, 1), config, "a.example.com").is_fine);
    buf_fini(&chain);
    buf_fini(&long_chain);
    unmake(&middle);
    unmake(&leaf);
    unmake(&lower);
    unmake(&deep);
}

static bool accepts_names(const struct made *server, const struct str *names, size_t n)
{
    struct tls_client_config config = client_config();
    config.common.subject_alt_names = names;
    config.common.n_subject_alt_names = n;
    // The host's name does not matter then.
    struct outcome outcome = call_server(server, config, "elsewhere");
    if (!outcome.is_fine)
        assert_string_equal(outcome.client_failure,
                            "certificate verify failed: none of the names that are accepted is "
                            "in the certificate");
    return outcome.is_fine;
}

static void test_listed_names(void **state)
{
    static const struct {
        const char *name;
        bool is_in_client, is_in_server;
    } cases[] = {
        {"spiffe://c/ns/n/sa/s", true, false},
        {"spiffe://c/ns/n/sa/S", false, false}, // exact
        {"spiffe://c/ns/n/sa", false, false},
        {"client.example.com", true, false},
        {"two.example.com", true, false},
        {"CLIENT.example.com", true, false},
        {"c@example.com", true, false},
        {"d@example.com", false, false},
        {"client", false, false}, // the subject is no SAN
        {"x.wild.example.com", false, true},
        {"127.0.0.1", false, true},
        {"0:0:0::1", false, true},
        {"127.0.0.3", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct str names[2] = {STR("no.example.com"), str_of(cases[i].name)};
        if (accepts_names(&fixture.client, names, 2) != cases[i].is_in_client ||
            accepts_names(&fixture.server, names, 2) != cases[i].is_in_server)
            fail_msg("\"%s\"", cases[i].name);
    }
}

// ---- digests ----

static void write_certificate_hash(const struct made *made, char out[100], bool has_colons)
{
    uint8_t digest[32];
    X509_digest(made->certificate, EVP_sha256(), digest, NULL);
    for (size_t i = 0; i < 32; i++)
        out += sprintf(out, has_colons && i ? ":%02X" : "%02x", digest[i]);
}

static void write_spki_hash(const struct made *made, char out[100])
{
    uint8_t digest[32];
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(made->key, &der);
    EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    EVP_EncodeBlock((unsigned char *)out, digest, 32);
    OPENSSL_free(der);
}

static bool accepts_digests(const struct made *spki, const struct made *certificate, bool has_ca)
{
    char spki_hash[100], certificate_hash[100];
    struct str spki_list[1], certificate_list[1];
    struct tls_pair pair = pair_of(&fixture.server), client_pair = pair_of(&fixture.client);
    struct tls_server_config served = server_config(&pair, 1);
    struct tls_client_config called = client_config();
    called.pair = client_pair;
    served.client_auth = TLS_CLIENT_REQUIRED;
    if (has_ca)
        served.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    if (spki) {
        write_spki_hash(spki, spki_hash);
        spki_list[0] = str_of(spki_hash);
        served.common.spki_hashes = spki_list;
        served.common.n_spki_hashes = 1;
    }
    if (certificate) {
        write_certificate_hash(certificate, certificate_hash, has_ca);
        certificate_list[0] = str_of(certificate_hash);
        served.common.certificate_hashes = certificate_list;
        served.common.n_certificate_hashes = 1;
    }
    struct outcome outcome = meet(served, called, "a.example.com");
    if (!outcome.is_fine)
        assert_string_equal(outcome.server_failure,
                            "certificate verify failed: neither the certificate nor its key is "
                            "one of those that are accepted");
    else
        assert_true(outcome.is_verified);
    return outcome.is_fine;
}

static void test_digests_of_certificates_and_keys(void **state)
{
    for (int has_ca = 0; has_ca < 2; has_ca++) {
        assert_true(accepts_digests(&fixture.client, NULL, has_ca));
        assert_true(accepts_digests(NULL, &fixture.client, has_ca));
        assert_true(accepts_digests(&fixture.client, &fixture.server, has_ca)); // either
        assert_true(accepts_digests(&fixture.server, &fixture.client, has_ca));
        assert_false(accepts_digests(&fixture.server, NULL, has_ca));
        assert_false(accepts_digests(NULL, &fixture.server, has_ca));
        assert_false(accepts_digests(&fixture.server, &fixture.server, has_ca));
    }
}

// ---- the server looks at the client ----

static struct outcome call_with(enum tls_client_auth auth, const struct made *client,
                                uint16_t version)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.client_auth = auth;
    served.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    struct tls_client_config called = client_config();
    called.common.version_max = version;
    if (client)
        called.pair = pair_of(client);
    return meet(served, called, "a.example.com");
}

static void test_client_certificates_as_demanded(void **state)
{
    static const uint16_t versions[] = {TLS_VERSION_1_2, TLS_VERSION_1_3};
    for (size_t i = 0; i < 2; i++) {
        struct outcome outcome = call_with(TLS_CLIENT_NONE, &fixture.client, versions[i]);
        assert_true(outcome.is_fine && !outcome.has_peer);
        for (int auth = TLS_CLIENT_OPTIONAL; auth <= TLS_CLIENT_OPTIONAL_NO_CA; auth++) {
            outcome = call_with((enum tls_client_auth)auth, NULL, versions[i]);
            assert_true(outcome.is_fine && !outcome.has_peer);
            outcome = call_with((enum tls_client_auth)auth, &fixture.client, versions[i]);
            assert_true(outcome.is_fine && outcome.is_verified);
            assert_string_equal(outcome.verify_failure, "");
        }
        outcome = call_with(TLS_CLIENT_OPTIONAL, &fixture.stranger, versions[i]);
        assert_false(outcome.is_fine);
        assert_string_equal(outcome.server_failure,
                            "certificate verify failed: unable to get local issuer certificate");
        assert_string_equal(outcome.client_failure, "the peer sent the alert: unknown CA");
        outcome = call_with(TLS_CLIENT_OPTIONAL_NO_CA, &fixture.stranger, versions[i]);
        assert_true(outcome.is_fine && outcome.has_peer && !outcome.is_verified);
        assert_string_equal(outcome.verify_failure, "unable to get local issuer certificate");
        outcome = call_with(TLS_CLIENT_REQUIRED, &fixture.client, versions[i]);
        assert_true(outcome.is_fine && outcome.is_verified);
        outcome = call_with(TLS_CLIENT_REQUIRED, &fixture.stranger, versions[i]);
        assert_false(outcome.is_fine);
        outcome = call_with(TLS_CLIENT_REQUIRED, NULL, versions[i]);
        assert_false(outcome.is_fine);
        assert_string_equal(outcome.server_failure, "peer did not return a certificate");
    }
}

static void test_names_of_clients(void **state)
{
    struct str good = STR("spiffe://c/ns/n/sa/s"), bad = STR("spiffe://c/ns/n/sa/other");
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.client_auth = TLS_CLIENT_REQUIRED;
    served.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    served.common.n_subject_alt_names = 1;
    struct tls_client_config called = client_config();
    called.pair = pair_of(&fixture.client);
    served.common.subject_alt_names = &good;
    assert_true(meet(served, called, "a.example.com").is_fine);
    served.common.subject_alt_names = &bad;
    assert_string_equal(meet(served, called, "a.example.com").server_failure,
                        "certificate verify failed: none of the names that are accepted is in "
                        "the certificate");
    served.client_auth = TLS_CLIENT_OPTIONAL_NO_CA;
    struct outcome outcome = meet(served, called, "a.example.com");
    assert_true(outcome.is_fine && outcome.has_peer && !outcome.is_verified);
}

// ---- revocation ----

static struct buf make_list(const struct made *issuer, const struct made *revoked, long end_s)
{
    struct buf pem = {0};
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *time = ASN1_TIME_new();
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate));
    X509_gmtime_adj(time, -7200);
    X509_CRL_set1_lastUpdate(list, time);
    X509_gmtime_adj(time, end_s);
    X509_CRL_set1_nextUpdate(list, time);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_gmtime_adj(time, -3600);
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
        X509_REVOKED_set_revocationDate(entry, time);
        X509_CRL_add0_revoked(list, entry);
    }
    ASN1_TIME_free(time);
    assert_true(X509_CRL_sign(list, issuer->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_CRL(bio, list);
    add_pem(&pem, bio);
    X509_CRL_free(list);
    return pem;
}

static struct outcome call_with_list(struct buf *list, const struct made *client)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    struct buf authorities = {0};
    buf_add_str(&authorities, buf_str(&fixture.authority.certificate_pem));
    buf_add_str(&authorities, buf_str(&fixture.other_authority.certificate_pem));
    served.client_auth = TLS_CLIENT_REQUIRED;
    served.common.ca_pem = buf_str(&authorities);
    served.common.crl_pem = buf_str(list);
    struct tls_client_config called = client_config();
    called.pair = pair_of(client);
    struct outcome outcome = meet(served, called, "a.example.com");
    buf_fini(&authorities);
    return outcome;
}

static void test_revocation_lists(void **state)
{
    struct buf revokes = make_list(&fixture.authority, &fixture.client, 86400),
               revokes_none = make_list(&fixture.authority, NULL, 86400),
               is_old = make_list(&fixture.authority, NULL, -3600);
    struct outcome outcome = call_with_list(&revokes, &fixture.client);
    assert_false(outcome.is_fine);
    assert_string_equal(outcome.server_failure, "certificate verify failed: certificate revoked");
    outcome = call_with_list(&revokes_none, &fixture.client);
    assert_true(outcome.is_fine && outcome.is_verified);
    // An authority without a list revokes nothing.
    outcome = call_with_list(&revokes, &fixture.stranger);
    assert_true(outcome.is_fine && outcome.is_verified);
    outcome = call_with_list(&is_old, &fixture.client);
    assert_string_equal(outcome.server_failure, "certificate verify failed: CRL has expired");
    buf_fini(&revokes);
    buf_fini(&revokes_none);
    buf_fini(&is_old);
}

// ---- contexts that share what weighs ----

static bool is_let_through(struct tls_context *server, struct tls_context *client, const char *host)
{
    struct ends ends;
    ends_open(&ends, server, client, host, NULL);
    bool is_fine = ends_shake(&ends);
    ends_close(&ends);
    return is_fine;
}

static void test_contexts_that_differ_in_names_share_and_judge_apart(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_context *server = must_serve(server_config(&pair, 1));
    struct str wrong_name = STR("elsewhere.example"),
               hash = STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    struct tls_client_config config = client_config();
    struct tls_context *by_host = must_call(config);
    config.sni = STR("b.example.com");
    struct tls_context *by_sni = must_call(config);
    config.sni = STR_NONE;
    config.common.subject_alt_names = &wrong_name;
    config.common.n_subject_alt_names = 1;
    struct tls_context *by_list = must_call(config);
    config.common.n_subject_alt_names = 0;
    config.common.spki_hashes = &hash;
    config.common.n_spki_hashes = 1;
    struct tls_context *by_key = must_call(config);
    assert_ptr_equal(by_sni->ssl, by_host->ssl);
    assert_ptr_equal(by_list->ssl, by_host->ssl);
    assert_ptr_equal(by_key->ssl, by_host->ssl);
    assert_false(is_let_through(server, by_sni, "a.example.com"));
    assert_false(is_let_through(server, by_list, "a.example.com"));
    assert_false(is_let_through(server, by_key, "a.example.com"));
    tls_context_unref(by_sni);
    tls_context_unref(by_list);
    tls_context_unref(by_key);
    assert_true(is_let_through(server, by_host, "a.example.com"));
    tls_context_unref(by_host);
    tls_context_unref(server);
}

static void test_contexts_that_trust_otherwise_share_nothing(void **state)
{
    struct tls_client_config base = client_config();
    struct tls_context *one = must_call(base), *others[6];
    size_t n = 0;
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        struct tls_client_config config = base;                                                    \
        change;                                                                                    \
        others[n++] = must_call(config);                                                           \
    } while (0)
    DIFFERS(config.verifies = false);
    DIFFERS(config.common.ca_pem = buf_str(&fixture.other_authority.certificate_pem));
    DIFFERS(config.common.verify_depth = 3);
    DIFFERS(config.common.version_min = TLS_VERSION_1_3);
    DIFFERS(config.offers_h2 = !base.offers_h2);
    DIFFERS(config.pair = pair_of(&fixture.client));
#undef DIFFERS
    for (size_t i = 0; i < n; i++) {
        assert_ptr_not_equal(others[i]->ssl, one->ssl);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(others[i]->ssl, others[k]->ssl);
    }
    for (size_t i = 0; i < n; i++)
        tls_context_unref(others[i]);
    tls_context_unref(one);
}

// ---- the peer in words ----

static void test_the_peer_in_words(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.client_auth = TLS_CLIENT_REQUIRED;
    served.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    struct tls_client_config called = client_config();
    called.pair = pair_of(&fixture.client);
    struct tls_context *server = must_serve(served), *client = must_call(called);
    struct ends ends;
    struct tls_peer peer, again;
    char hash[100];
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_true(ends_shake(&ends));
    assert_true(tls_peer(ends.server, &peer));
    assert_text(peer.subject, "CN=client");
    assert_text(peer.issuer, "CN=authority");
    assert_true(peer.serial.len >= 4);
    write_certificate_hash(&fixture.client, hash, false);
    assert_text(peer.sha256, hash);
    assert_text(peer.uri_san, "spiffe://c/ns/n/sa/s");
    assert_text(peer.uri_sans, "spiffe://c/ns/n/sa/s");
    assert_text(peer.dns_san, "client.example.com");
    assert_text(peer.dns_sans, "client.example.com,two.example.com");
    assert_true(str_has_prefix(peer.pem_escaped, STR("-----BEGIN%20CERTIFICATE-----%0AMII")));
    assert_true(str_has_suffix(peer.pem_escaped, STR("%0A-----END%20CERTIFICATE-----%0A")));
    assert_true(peer.is_verified && peer.verify_failure.len == 0);
    int64_t now_s = time(NULL);
    assert_in_range(now_s - peer.not_before_s, 3600, 3700);
    assert_in_range(peer.not_after_s - now_s, 86300, 86400);
    assert_true(tls_peer(ends.server, &again));
    assert_ptr_equal(again.subject.ptr, peer.subject.ptr);
    assert_true(tls_peer(ends.client, &peer)); // the server's
    assert_text(peer.subject, "CN=server");
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_certificate_is_for_the_host),
        cmocka_unit_test(test_names_of_the_config_come_before_the_host),
        cmocka_unit_test(test_no_address_is_sent_as_sni),
        cmocka_unit_test(test_chains_end_at_an_authority),
        cmocka_unit_test(test_times_are_looked_at),
        cmocka_unit_test(test_chains_through_an_intermediate),
        cmocka_unit_test(test_listed_names),
        cmocka_unit_test(test_digests_of_certificates_and_keys),
        cmocka_unit_test(test_client_certificates_as_demanded),
        cmocka_unit_test(test_names_of_clients),
        cmocka_unit_test(test_revocation_lists),
        cmocka_unit_test(test_contexts_that_differ_in_names_share_and_judge_apart),
        cmocka_unit_test(test_contexts_that_trust_otherwise_share_nothing),
        cmocka_unit_test(test_the_peer_in_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
