// SPDX-License-Identifier: Apache-2.0
// Sessions: resumed where they may be, and nowhere else.
#include "tls/internal.h"
#include "tls/tls_test.h"
#include <pthread.h>
#include <stdatomic.h>

static const uint16_t versions[] = {TLS_VERSION_1_2, TLS_VERSION_1_3};

// Shakes hands, talks, and takes the session that came of it into *session (the old one is freed).
static bool resumes(struct tls_context *server, struct tls_context *client, const char *host,
                    struct tls_session **session)
{
    struct ends ends;
    ends_open(&ends, server, client, host, *session);
    assert_true(ends_shake(&ends));
    assert_talk(&ends);
    bool is_resumed = tls_is_resumed(ends.server);
    assert_int_equal(tls_is_resumed(ends.client), is_resumed);
    struct tls_session *newer = tls_take_session(ends.client);
    if (newer) {
        tls_session_free(*session);
        *session = newer;
    }
    assert_null(tls_take_session(ends.client));
    ends_close(&ends);
    return is_resumed;
}

static struct tls_context *client_up_to(uint16_t version)
{
    struct tls_client_config config = client_config();
    config.common.version_max = version;
    return must_call(config);
}

static void test_a_session_resumes_again_and_again(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *server = usual_server(), *client = client_up_to(versions[i]);
        struct tls_session *session = NULL;
        assert_false(resumes(server, client, "a.example.com", &session));
        assert_non_null(session);
        for (int n = 0; n < 5; n++)
            assert_true(resumes(server, client, "a.example.com", &session));
        // Workers and snapshots come and go: another context of the same identity will do.
        struct tls_context *renewed = usual_server();
        assert_true(resumes(renewed, client, "a.example.com", &session));
        tls_session_free(session);
        tls_context_unref(server);
        tls_context_unref(renewed);
        tls_context_unref(client);
    }
}

// A client that sends early data though no ticket of ours allows it: it is never delivered.
static void test_early_data_is_skipped(void **state)
{
    struct tls_context *server = usual_server(), *client = client_up_to(0);
    struct tls_session *session = NULL;
    struct ends ends;
    char early[3000], data[100];
    size_t n;
    memset(early, 'e', sizeof(early));
    assert_false(resumes(server, client, "a.example.com", &session));
    assert_int_equal(SSL_SESSION_get_max_early_data(session->session), 0);
    assert_int_equal(SSL_SESSION_set_max_early_data(session->session, 100000), 1);
    ends_open(&ends, server, client, "a.example.com", session);
    for (int i = 0; i < 3; i++) {
        io_begin(ends.client);
        assert_int_equal(SSL_write_early_data(ends.client->ssl, early, sizeof(early), &n), 1);
        io_end(ends.client, false);
    }
    assert_true(ends.server_wire.inbox.len > 9000);
    assert_true(ends_shake(&ends));
    assert_true(tls_is_resumed(ends.server));
    assert_int_equal(SSL_get_early_data_status(ends.client->ssl), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), -EAGAIN);
    assert_talk(&ends);
    ends_close(&ends);
    tls_session_free(session);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void test_a_renewed_certificate_keeps_sessions(void **state)
{
    struct made renewed = make((struct wish){
        .name = "renewed", .sans = "DNS:a.example.com", .issuer = &fixture.authority});
    struct tls_pair pair = pair_of(&renewed);
    struct tls_context *server = usual_server(), *later = must_serve(server_config(&pair, 1)),
                       *client = client_up_to(0);
    struct tls_session *session = NULL;
    assert_false(resumes(server, client, "a.example.com", &session));
    assert_true(resumes(later, client, "a.example.com", &session));
    tls_session_free(session);
    tls_context_unref(server);
    tls_context_unref(later);
    tls_context_unref(client);
    unmake(&renewed);
}

static void test_resumption_spares_the_server_its_signature(void **state)
{
    struct tls_context *server = usual_server(), *client = client_up_to(0);
    struct tls_session *session = NULL;
    size_t bytes[2];
    for (size_t i = 0; i < 2; i++) {
        struct ends ends;
        ends_open(&ends, server, client, "a.example.com", session);
        assert_true(ends_shake(&ends));
        bytes[i] = ends.client_wire.inbox.len;
        assert_talk(&ends);
        tls_session_free(session);
        session = tls_take_session(ends.client);
        // The peer is known from the session.
        struct tls_peer peer;
        assert_true(tls_peer(ends.client, &peer));
        assert_true(peer.is_verified);
        ends_close(&ends);
    }
    assert_true(bytes[1] + 400 < bytes[0]); // no certificate
    tls_session_free(session);
    tls_context_unref(server);
    tls_context_unref(client);
}

// A session of the first server is brought to the second. Is it resumed there?
static bool crosses(struct tls_server_config first, struct tls_server_config second,
                    const struct made *client_certificate, uint16_t version)
{
    struct tls_client_config config = client_config();
    config.common.version_max = version;
    if (client_certificate)
        config.pair = pair_of(client_certificate);
    struct tls_context *one = must_serve(first), *two = must_serve(second),
                       *client = must_call(config);
    struct tls_session *session = NULL;
    assert_false(resumes(one, client, "a.example.com", &session));
    assert_true(resumes(one, client, "a.example.com", &session));
    bool does = resumes(two, client, "a.example.com", &session);
    tls_session_free(session);
    tls_context_unref(one);
    tls_context_unref(two);
    tls_context_unref(client);
    return does;
}

static void test_no_session_crosses_identities_or_trust(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct buf both = {0};
    buf_add_str(&both, buf_str(&fixture.authority.certificate_pem));
    buf_add_str(&both, buf_str(&fixture.other_authority.certificate_pem));
    struct str names[2] = {STR("client.example.com"), STR("two.example.com")};
    for (size_t i = 0; i < 2; i++) {
        struct tls_server_config plain = server_config(&pair, 1), named = plain, asks = plain,
                                 demands = plain, wider = plain, lists = plain, lists_less = plain;
        named.identity = STR("test2");
        asks.client_auth = TLS_CLIENT_OPTIONAL;
        asks.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
        demands = asks;
        demands.client_auth = TLS_CLIENT_REQUIRED;
        wider = demands;
        wider.common.ca_pem = buf_str(&both);
        lists = demands;
        lists.common.subject_alt_names = names;
        lists.common.n_subject_alt_names = 2;
        lists_less = lists;
        lists_less.common.n_subject_alt_names = 1;
        assert_true(crosses(plain, plain, NULL, versions[i]));
        assert_false(crosses(plain, named, NULL, versions[i]));
        assert_false(crosses(plain, asks, NULL, versions[i]));
        assert_true(crosses(asks, asks, NULL, versions[i]));
        assert_true(crosses(demands, demands, &fixture.client, versions[i]));
        assert_false(crosses(asks, demands, &fixture.client, versions[i]));
        assert_false(crosses(plain, demands, &fixture.client, versions[i]));
        assert_false(crosses(wider, demands, &fixture.client, versions[i]));
        assert_true(crosses(lists, lists, &fixture.client, versions[i]));
        assert_false(crosses(lists, lists_less, &fixture.client, versions[i]));
    }
    buf_fini(&both);
}

// The certificate's facts come along with the ticket.
static void test_a_resumed_client_is_as_known_as_before(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    for (int auth = TLS_CLIENT_OPTIONAL_NO_CA; auth <= TLS_CLIENT_REQUIRED; auth++) {
        struct tls_server_config served = server_config(&pair, 1);
        served.client_auth = (enum tls_client_auth)auth;
        served.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
        struct tls_client_config config = client_config();
        bool is_stranger = auth == TLS_CLIENT_OPTIONAL_NO_CA;
        config.pair = pair_of(is_stranger ? &fixture.stranger : &fixture.client);
        struct tls_context *server = must_serve(served), *client = must_call(config);
        struct tls_session *session = NULL;
        assert_false(resumes(server, client, "a.example.com", &session));
        struct ends ends;
        struct tls_peer peer;
        ends_open(&ends, server, client, "a.example.com", session);
        assert_true(ends_shake(&ends));
        assert_true(tls_is_resumed(ends.server));
        assert_true(tls_peer(ends.server, &peer));
        assert_text(peer.subject, is_stranger ? "CN=stranger" : "CN=client");
        assert_int_equal(peer.is_verified, !is_stranger);
        ends_close(&ends);
        tls_session_free(session);
        tls_context_unref(server);
        tls_context_unref(client);
    }
}

static void test_a_client_certificate_that_runs_out_is_not_resumed(void **state)
{
    struct made brief = make(
        (struct wish){.name = "brief", .issuer = &fixture.authority, .begin_s = -100, .end_s = 2});
    struct tls_pair pair = pair_of(&fixture.server);
    for (size_t i = 0; i < 2; i++) {
        struct tls_server_config served = server_config(&pair, 1);
        served.client_auth = TLS_CLIENT_OPTIONAL_NO_CA;
        struct tls_client_config config = client_config();
        config.common.version_max = versions[i];
        config.pair = pair_of(&brief);
        struct tls_context *server = must_serve(served), *client = must_call(config);
        struct tls_session *session = NULL;
        assert_false(resumes(server, client, "a.example.com", &session));
        while (X509_cmp_current_time(X509_get0_notAfter(brief.certificate)) > 0)
            nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        assert_false(resumes(server, client, "a.example.com", &session));
        tls_session_free(session);
        tls_context_unref(server);
        tls_context_unref(client);
    }
    unmake(&brief);
}

static void test_a_client_offers_sessions_only_where_they_were_made(void **state)
{
    struct tls_client_config config = client_config();
    struct tls_context *server = usual_server(), *client = must_call(config);
    config.common.verify_depth = 5; // checks otherwise
    struct tls_context *other = must_call(config);
    struct tls_session *session = NULL;
    assert_false(resumes(server, client, "a.example.com", &session));
    assert_false(resumes(server, client, "x.wild.example.com", &session));
    assert_true(resumes(server, client, "x.wild.example.com", &session));
    assert_false(resumes(server, other, "x.wild.example.com", &session));
    assert_true(resumes(server, other, "x.wild.example.com", &session));
    tls_session_free(session);
    tls_context_unref(server);
    tls_context_unref(client);
    tls_context_unref(other);
}

static void test_tickets_live_for_two_rotations(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *server = usual_server(), *client = client_up_to(versions[i]);
        struct tls_session *session = NULL, *old = NULL;
        assert_false(resumes(server, client, "a.example.com", &session));
        assert_false(resumes(server, client, "a.example.com", &old));
        tls_rotate_tickets();
        tls_rotate_tickets();
        assert_true(resumes(server, client, "a.example.com", &session)); // and is renewed
        tls_rotate_tickets();
        assert_true(resumes(server, client, "a.example.com", &session));
        assert_false(resumes(server, client, "a.example.com", &old));
        tls_session_free(session);
        tls_session_free(old);
        tls_context_unref(server);
        tls_context_unref(client);
    }
}

// ---- threads ----

struct load {
    struct tls_context *server, *client;
    atomic_uint n_resumed;
};

static void *run_load(void *of_load)
{
    struct load *load = of_load;
    struct tls_session *session = NULL;
    for (int i = 0; i < 30; i++) {
        struct tls_context *server = tls_context_ref(load->server);
        if (resumes(server, load->client, "a.example.com", &session))
            atomic_fetch_add(&load->n_resumed, 1);
        tls_context_unref(server);
    }
    tls_session_free(session);
    return NULL;
}

static void test_threads_share_contexts_and_keys(void **state)
{
    struct load load = {.server = usual_server(), .client = client_up_to(0)};
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_load, &load), 0);
    for (int i = 0; i < 10; i++) {
        tls_rotate_tickets();
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&load.n_resumed) > 3);
    tls_context_unref(load.server);
    tls_context_unref(load.client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_resumes_again_and_again),
        cmocka_unit_test(test_early_data_is_skipped),
        cmocka_unit_test(test_a_renewed_certificate_keeps_sessions),
        cmocka_unit_test(test_resumption_spares_the_server_its_signature),
        cmocka_unit_test(test_no_session_crosses_identities_or_trust),
        cmocka_unit_test(test_a_resumed_client_is_as_known_as_before),
        cmocka_unit_test(test_a_client_certificate_that_runs_out_is_not_resumed),
        cmocka_unit_test(test_a_client_offers_sessions_only_where_they_were_made),
        cmocka_unit_test(test_tickets_live_for_two_rotations),
        cmocka_unit_test(test_threads_share_contexts_and_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
