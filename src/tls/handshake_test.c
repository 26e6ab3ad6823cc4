// SPDX-License-Identifier: Apache-2.0
#include "tls/tls_test.h"

static void test_both_ends_agree_and_talk(void **state)
{
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_true(ends_shake(&ends));
    assert_text(tls_version_word(ends.server), "TLSv1.3");
    assert_text(tls_cipher_word(ends.client), "TLS_AES_128_GCM_SHA256");
    assert_text(tls_sni(ends.server), "a.example.com");
    assert_false(tls_is_resumed(ends.server));
    assert_talk(&ends);
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

// A flight costs one send; the ticket goes along with the first answer.
static void test_a_handshake_sends_once_a_flight(void **state)
{
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_true(ends_shake(&ends));
    assert_int_equal(ends.server_wire.n_sends, 1);
    assert_int_equal(ends.client_wire.n_sends, 2);
    assert_false(tls_wants_write(ends.server));
    assert_talk(&ends);
    assert_int_equal(ends.server_wire.n_sends, 2);
    struct tls_session *session = tls_take_session(ends.client);
    assert_non_null(session);
    tls_session_free(session);
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void test_the_hello_may_have_been_read_before(void **state)
{
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_int_equal(tls_handshake(ends.client), TLS_AGAIN);
    size_t len = ends.server_wire.inbox.len;
    for (size_t cut = 1; cut <= len; cut += 50) { // some of it before, the rest from the wire
        struct tls_conn *conn = tls_accept(server, &ends.server_wire.io,
                                           (struct str){ends.server_wire.inbox.data, cut});
        ends.server_wire.at = cut;
        ends.server_wire.n_sends = 0;
        assert_int_equal(tls_handshake(conn), TLS_AGAIN);
        assert_int_equal(ends.server_wire.n_sends, 1);
        tls_free(conn);
    }
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

static struct str cipher_with(struct tls_context *server, const char *ciphers)
{
    struct tls_client_config config = client_config();
    config.common.version_max = TLS_VERSION_1_2;
    config.common.ciphers = str_of(ciphers);
    struct tls_context *client = must_call(config);
    struct ends ends;
    static char word[100];
    ends_open(&ends, server, client, "a.example.com", NULL);
    if (ends_shake(&ends))
        snprintf(word, sizeof(word), "%.*s", STR_ARG(tls_cipher_word(ends.client)));
    else
        snprintf(word, sizeof(word), "%.*s", STR_ARG(tls_failure(ends.server)));
    ends_close(&ends);
    tls_context_unref(client);
    return str_of(word);
}

static void test_rsa_and_ecdsa_stand_side_by_side(void **state)
{
    struct tls_pair pairs[2] = {pair_of(&fixture.server_rsa), pair_of(&fixture.server)};
    struct tls_context *server = must_serve(server_config(pairs, 2));
    assert_text(cipher_with(server, "ECDHE-RSA-AES128-GCM-SHA256"), "ECDHE-RSA-AES128-GCM-SHA256");
    assert_text(cipher_with(server, "ECDHE-ECDSA-AES128-GCM-SHA256"),
                "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_text(cipher_with(server, ""), "ECDHE-ECDSA-AES128-GCM-SHA256");
    tls_context_unref(server);
    server = must_serve(server_config(pairs, 1));
    assert_text(cipher_with(server, ""), "ECDHE-RSA-AES128-GCM-SHA256");
    assert_text(cipher_with(server, "ECDHE-ECDSA-AES128-GCM-SHA256"), "no shared cipher");
    tls_context_unref(server);
}

static enum tls_alpn alpn_with(bool server_h2, bool client_h2, bool client_http1, bool has_alpn)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.offers_h2 = server_h2;
    served.has_alpn = has_alpn;
    struct tls_client_config config = client_config();
    config.offers_h2 = client_h2;
    config.offers_http1 = client_http1;
    struct tls_context *server = must_serve(served), *client = must_call(config);
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_true(ends_shake(&ends));
    enum tls_alpn alpn = tls_alpn(ends.server);
    assert_int_equal(tls_alpn(ends.client), alpn);
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    return alpn;
}

static void test_http1_alone_can_be_offered_after_all(void **state)
{
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.offers_h2 = served.has_alpn = true;
    struct tls_client_config config = client_config();
    config.offers_h2 = config.offers_http1 = true;
    struct tls_context *server = must_serve(served), *client = must_call(config);
    for (int takes_h2 = 0; takes_h2 <= 1; takes_h2++) {
        struct ends ends;
        ends_open(&ends, server, client, "a.example.com", NULL);
        if (!takes_h2)
            tls_offer_http1(ends.client);
        assert_true(ends_shake(&ends));
        assert_int_equal(tls_alpn(ends.server), takes_h2 ? TLS_ALPN_H2 : TLS_ALPN_HTTP1);
        assert_int_equal(tls_alpn(ends.client), tls_alpn(ends.server));
        ends_close(&ends);
    }
    tls_context_unref(server);
    tls_context_unref(client);
}

static void test_alpn_prefers_h2_and_goes_on_without_agreement(void **state)
{
    assert_int_equal(alpn_with(true, true, true, true), TLS_ALPN_H2);
    assert_int_equal(alpn_with(true, true, false, true), TLS_ALPN_H2);
    assert_int_equal(alpn_with(true, false, true, true), TLS_ALPN_HTTP1);
    assert_int_equal(alpn_with(false, true, true, true), TLS_ALPN_HTTP1);
    assert_int_equal(alpn_with(false, true, false, true), TLS_ALPN_NONE);
    assert_int_equal(alpn_with(true, false, false, true), TLS_ALPN_NONE);
    assert_int_equal(alpn_with(true, true, true, false), TLS_ALPN_NONE);
}

static const char *version_with(uint16_t server_min, uint16_t server_max, uint16_t client_min,
                                uint16_t client_max)
{
    static char word[100];
    struct tls_pair pair = pair_of(&fixture.server);
    struct tls_server_config served = server_config(&pair, 1);
    served.common.version_min = server_min;
    served.common.version_max = server_max;
    struct tls_client_config config = client_config();
    config.common.version_min = client_min;
    config.common.version_max = client_max;
    struct tls_context *server = must_serve(served), *client = must_call(config);
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    bool is_fine = ends_shake(&ends);
    snprintf(word, sizeof(word), "%.*s",
             STR_ARG(is_fine ? tls_version_word(ends.server) : tls_failure(ends.server)));
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
    return word;
}

static void test_versions_are_those_configured(void **state)
{
    assert_string_equal(version_with(0, 0, 0, TLS_VERSION_1_2), "TLSv1.2");
    assert_string_equal(version_with(0, TLS_VERSION_1_2, 0, 0), "TLSv1.2");
    assert_string_equal(version_with(TLS_VERSION_1_3, 0, 0, 0), "TLSv1.3");
    assert_string_equal(version_with(TLS_VERSION_1_3, 0, 0, TLS_VERSION_1_2),
                        "unsupported protocol");
    assert_string_equal(version_with(0, 0, TLS_VERSION_1_0, TLS_VERSION_1_1),
                        "unsupported protocol");
    assert_string_equal(version_with(TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_0, 0),
                        "TLSv1.1");
    assert_string_equal(version_with(TLS_VERSION_1_0, 0, TLS_VERSION_1_0, TLS_VERSION_1_0),
                        "TLSv1");
    assert_string_equal(version_with(TLS_VERSION_1_1, TLS_VERSION_1_1, TLS_VERSION_1_0, 0),
                        "TLSv1.1");
}

static void test_what_is_not_tls_is_named(void **state)
{
    static const struct {
        const char *bytes, *failure;
        enum tls_status status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "a plain HTTP request instead of TLS", TLS_FAILED},
        {"SSH-2.0-x\r\n..........", "what came is not TLS (wrong version number)", TLS_FAILED},
        {"\x16\x03\x01", "closed in the middle of the handshake", TLS_CLOSED},
        {"", "closed in the middle of the handshake", TLS_CLOSED},
    };
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct ends ends;
        ends_open(&ends, server, client, "a.example.com", NULL);
        buf_add_text(&ends.server_wire.inbox, cases[i].bytes);
        ends.server_wire.has_ended = true;
        assert_int_equal(tls_handshake(ends.server), cases[i].status);
        assert_text(tls_failure(ends.server), cases[i].failure);
        // Nobody is there for an alert.
        assert_true(cases[i].status == TLS_FAILED || ends.server_wire.n_sends == 0);
        ends_close(&ends);
    }
    struct ends ends; // and a client that calls a plain server
    ends_open(&ends, server, client, "a.example.com", NULL);
    buf_add_text(&ends.client_wire.inbox, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_int_equal(tls_handshake(ends.client), TLS_FAILED);
    assert_text(tls_failure(ends.client), "what came is not TLS (wrong version number)");
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void test_a_broken_wire_is_named(void **state)
{
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    struct ends ends;
    ends_open(&ends, server, client, "a.example.com", NULL);
    ends.client_wire.send_error = EPIPE;
    assert_int_equal(tls_handshake(ends.client), TLS_CLOSED);
    assert_text(tls_failure(ends.client), "the connection broke: Broken pipe");
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

// The flight stops in the middle at every byte once, and goes on.
static void test_a_flight_goes_on_when_there_is_room(void **state)
{
    struct tls_context *server = usual_server(), *client = must_call(client_config());
    for (size_t room = 0; room < 1200; room += 97) {
        struct ends ends;
        ends_open(&ends, server, client, "a.example.com", NULL);
        assert_int_equal(tls_handshake(ends.client), TLS_AGAIN);
        ends.server_wire.room = room;
        bool is_blocked = tls_handshake(ends.server) == TLS_AGAIN && tls_wants_write(ends.server);
        unsigned n_sends = ends.server_wire.n_sends;
        if (is_blocked) {
            assert_int_equal(tls_handshake(ends.server), TLS_AGAIN);
            assert_int_equal(ends.server_wire.n_sends, n_sends + 1);
            assert_int_equal(tls_flush(ends.server), -EAGAIN);
        } else {
            assert_true(room > 500);
        }
        ends.server_wire.room = SIZE_MAX;
        assert_true(ends_shake(&ends));
        assert_talk(&ends);
        ends_close(&ends);
    }
    tls_context_unref(server);
    tls_context_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends_agree_and_talk),
        cmocka_unit_test(test_a_handshake_sends_once_a_flight),
        cmocka_unit_test(test_the_hello_may_have_been_read_before),
        cmocka_unit_test(test_rsa_and_ecdsa_stand_side_by_side),
        cmocka_unit_test(test_http1_alone_can_be_offered_after_all),
        cmocka_unit_test(test_alpn_prefers_h2_and_goes_on_without_agreement),
        cmocka_unit_test(test_versions_are_those_configured),
        cmocka_unit_test(test_what_is_not_tls_is_named),
        cmocka_unit_test(test_a_broken_wire_is_named),
        cmocka_unit_test(test_a_flight_goes_on_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
