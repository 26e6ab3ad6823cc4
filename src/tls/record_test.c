// SPDX-License-Identifier: Apache-2.0
// Records made by hand, with a client's keys, against our record layer.
#include "tls/internal.h"
#include "tls/tls_test.h"

static uint8_t secret[32]; // the client's, of the newest connection
static uint8_t key[16], iv[12];
static uint64_t number;
static struct tls_context *server, *client;
static struct ends ends;

static void on_secret(const SSL *ssl, const char *line)
{
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    const char *hex = strrchr(line, ' ') + 1;
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &secret[i]), 1);
}

static void use_secret(void)
{
    kdf_expand("SHA256", secret, sizeof(secret), "key", key, sizeof(key));
    kdf_expand("SHA256", secret, sizeof(secret), "iv", iv, sizeof(iv));
    number = 0;
}

static void open_ends(void)
{
    server = usual_server();
    client = must_call(client_config());
    SSL_CTX_set_keylog_callback(client->ssl, on_secret);
    ends_open(&ends, server, client, "a.example.com", NULL);
    assert_true(ends_shake(&ends));
    assert_null(ends.server->ssl); // ours has taken over
    use_secret();
}

static void close_ends(void)
{
    ends_close(&ends);
    tls_context_unref(server);
    tls_context_unref(client);
}

// Puts a record with this inner content (its type is the last byte) on the wire.
static void put(struct str content)
{
    struct buf *inbox = &ends.server_wire.inbox;
    size_t len = content.len + 16;
    uint8_t header[5] = {23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, nonce[12], tag[16];
    uint8_t *out = malloc(content.len + 1);
    int n;
    memcpy(nonce, iv, sizeof(iv));
    for (size_t i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(number >> 8 * i);
    number++;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_128_gcm(), key, nonce, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, header, sizeof(header)), 1);
    assert_int_equal(
        EVP_EncryptUpdate(ctx, out, &n, (const unsigned char *)content.ptr, (int)content.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, tag, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    EVP_CIPHER_CTX_free(ctx);
    buf_add(inbox, header, sizeof(header));
    buf_add(inbox, out, content.len);
    buf_add(inbox, tag, sizeof(tag));
    free(out);
}

static void expect_refusal(const char *failure, const char *alert)
{
    char data[100], expected[200];
    ssize_t n;
    while ((n = tls_recv(ends.server, data, sizeof(data))) > 0)
        ;
    assert_int_equal(n, -EPROTO);
    assert_text(tls_failure(ends.server), failure);
    assert_int_equal(tls_send(ends.server, "x", 1), -EPROTO);
    assert_int_equal(tls_recv(ends.client, data, sizeof(data)), -EPROTO);
    snprintf(expected, sizeof(expected), "the peer sent the alert: %s", alert);
    assert_text(tls_failure(ends.client), expected);
}

static void test_content_is_checked(void **state)
{
    static const struct {
        struct str content;
        const char *failure, *alert;
    } cases[] = {
        {{"", 0}, "decryption failed or bad record mac", "bad record mac"}, // too short for a type
        {{"\0\0\0", 3}, "a record without content", "unexpected message"},
        {{"x\x14", 2}, "a record of an unknown type", "unexpected message"},
        {{"x\x18", 2}, "a record of an unknown type", "unexpected message"},
        {{"\x16", 1}, "an unexpected message", "unexpected message"},           // empty
        {{"\1\0\0\1\0\x16", 6}, "an unexpected message", "unexpected message"}, // ClientHello
        {{"\x18\0\0\1\2\x16", 6}, "a malformed KeyUpdate", "illegal parameter"},
        {{"\x18\0\0\2\0\x16", 6}, "a malformed KeyUpdate", "decode error"},
        {{"\x18\1\0\1\0\x16", 6}, "a malformed KeyUpdate", "decode error"},
        {{"\x18\0\0\1\0\0\x16", 7}, "an unexpected message", "unexpected message"},
        {{"\1\x15", 2}, "a malformed alert", "decode error"},
        {{"\1\0\1\0\x15", 5}, "a malformed alert", "decode error"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        open_ends();
        put(STR("good\x17"));
        put(cases[i].content);
        expect_refusal(cases[i].failure, cases[i].alert);
        close_ends();
    }
}

static void test_alerts_of_the_peer(void **state)
{
    char data[10];
    open_ends();
    put(STR("\1\x5a\x15")); // user_canceled announces the end only
    put(STR("last\x17"));
    put(STR("\1\0\x15"));
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), 4);
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), 0);
    assert_int_equal(tls_send(ends.server, "on", 2), 2);
    close_ends();
    open_ends();
    put(STR("\2\x28\x15"));
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), -EPROTO);
    assert_text(tls_failure(ends.server), "the peer sent the alert: handshake failure");
    close_ends();
}

static void test_padding_is_cut(void **state)
{
    char *content = calloc(1, 16385), *data = malloc(20000);
    open_ends();
    memcpy(content, "data\x17", 5);
    put((struct str){content, 16385});
    assert_int_equal(tls_recv(ends.server, data, 20000), 4);
    put((struct str){content, 16385}); // and where there is less room than padding
    assert_int_equal(tls_recv(ends.server, data, 3), 3);
    assert_true(tls_has_pending(ends.server));
    assert_int_equal(tls_recv(ends.server, data + 3, 100), 1);
    assert_memory_equal(data, "data", 4);
    assert_false(tls_has_pending(ends.server));
    close_ends();
    free(content);
    free(data);
}

static void test_records_that_are_too_long(void **state)
{
    char *content = malloc(17000);
    memset(content, 23, 17000);
    open_ends();
    put((struct str){content, 16385}); // exactly the most
    put((struct str){content, 16386});
    expect_refusal("a record that is too long", "record overflow");
    close_ends();
    open_ends();
    put((struct str){content, 16384 + 257 - 16});
    expect_refusal("a record that is too long", "record overflow");
    close_ends();
    free(content);
}

static void test_headers_are_checked(void **state)
{
    static const struct str bad[] = {
        {"\x14\3\3\0\1\1", 6}, // ChangeCipherSpec, only good in a handshake
        {"\x16\3\3\0\5abcde", 10},
        {"\x17\2\3\0\x20", 5},
        {"GET / HTTP/1.1\r\n", 16},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        open_ends();
        put(STR("good\x17"));
        buf_add_str(&ends.server_wire.inbox, bad[i]);
        expect_refusal("an unexpected record", "unexpected message");
        close_ends();
    }
}

static void test_empty_records_are_counted(void **state)
{
    char data[100];
    open_ends();
    for (int i = 0; i < 100; i++) {
        put(STR("\x17"));
        if (i % 20 == 19)
            put(STR("x\x17"));
    }
    for (int i = 0; i < 5; i++)
        put(STR("y\x17"));
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), 10);
    for (int i = 0; i < 33; i++)
        put(STR("\x17"));
    expect_refusal("too many messages without data", "unexpected message");
    close_ends();
}

static void test_a_key_update_changes_the_key(void **state)
{
    uint8_t next[32];
    char data[100];
    open_ends();
    put(STR("old\x17"));
    put(STR("\x18\0\0\1\0\x16"));
    kdf_expand("SHA256", secret, sizeof(secret), "traffic upd", next, sizeof(next));
    memcpy(secret, next, sizeof(next));
    use_secret();
    put(STR("new\x17"));
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), 6);
    assert_memory_equal(data, "oldnew", 6);
    close_ends();
    open_ends(); // the old key afterwards is a forgery
    put(STR("\x18\0\0\1\0\x16"));
    put(STR("old\x17"));
    expect_refusal("decryption failed or bad record mac", "bad record mac");
    close_ends();
}

static void expect_half_a_message_before(struct str next, const char *failure)
{
    open_ends();
    put(STR("\x18\0\x16"));
    put(next);
    expect_refusal(failure, "unexpected message");
    close_ends();
}

static void test_a_key_update_in_pieces(void **state)
{
    static const struct str pieces[] = {{"\x18\x16", 2}, {"\0\0\1\x16", 4}, {"\0\x16", 2}};
    uint8_t next[32];
    char data[100];
    open_ends();
    for (size_t i = 0; i < 3; i++) { // each with a read of its own
        put(pieces[i]);
        assert_int_equal(tls_recv(ends.server, data, sizeof(data)), -EAGAIN);
    }
    kdf_expand("SHA256", secret, sizeof(secret), "traffic upd", next, sizeof(next));
    memcpy(secret, next, sizeof(next));
    use_secret();
    put(STR("new\x17"));
    assert_int_equal(tls_recv(ends.server, data, sizeof(data)), 3);
    close_ends();
    expect_half_a_message_before(STR("x\x17"), "a record in the middle of a message");
    expect_half_a_message_before(STR("\1\0\x15"), "a record in the middle of a message");
    expect_half_a_message_before(STR("\x16"), "an unexpected message");
    expect_half_a_message_before(STR("\0\1\0\0\x16"), "an unexpected message"); // and another
}

static void test_a_record_repeated_is_refused(void **state)
{
    open_ends();
    put(STR("once\x17"));
    number--;
    put(STR("once\x17"));
    expect_refusal("decryption failed or bad record mac", "bad record mac");
    close_ends();
}

// RFC 8448, 3: the key schedule of a handshake written out.
static void test_expansion_as_in_rfc_8448(void **state)
{
    static const uint8_t traffic[32] = {0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56,
                                        0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
                                        0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a,
                                        0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
    static const uint8_t wanted_key[16] = {0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                           0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56};
    static const uint8_t wanted_iv[12] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83,
                                          0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};
    uint8_t out[32];
    kdf_expand("SHA256", traffic, 32, "key", out, 16);
    assert_memory_equal(out, wanted_key, 16);
    kdf_expand("SHA256", traffic, 32, "iv", out, 12);
    assert_memory_equal(out, wanted_iv, 12);
}

// Lengths of several blocks, and labels as exporters have them, against OpenSSL's own.
static void test_exported_keys_are_those_of_openssl(void **state)
{
    assert_non_null(kdf_properties());
    SSL_CTX *own = SSL_CTX_new_ex(NULL, "provider=default", TLS_client_method());
    assert_non_null(own);
    static const size_t lens[] = {1, 32, 33, 48, 100, 1000};
    static const char label[] = "EXPORTER-a label of some length, as applications have them";
    server = usual_server();
    SSL_CTX_set_info_callback(server->ssl, NULL);     // no connection of ours is behind it
    SSL *a = SSL_new(own), *b = SSL_new(server->ssl); // OpenSSL's schedule and ours
    BIO *one, *two;
    assert_int_equal(BIO_new_bio_pair(&one, 0, &two, 0), 1);
    SSL_set_bio(a, one, one);
    SSL_set_bio(b, two, two);
    SSL_set_connect_state(a);
    SSL_set_accept_state(b);
    for (int i = 0; i < 5; i++) {
        SSL_do_handshake(a);
        SSL_do_handshake(b);
    }
    assert_true(SSL_is_init_finished(a) && SSL_is_init_finished(b));
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        uint8_t from_a[1000], from_b[1000];
        assert_int_equal(SSL_export_keying_material(a, from_a, lens[i], label, strlen(label),
                                                    (const unsigned char *)"context", 7, 1),
                         1);
        assert_int_equal(SSL_export_keying_material(b, from_b, lens[i], label, strlen(label),
                                                    (const unsigned char *)"context", 7, 1),
                         1);
        assert_memory_equal(from_a, from_b, lens[i]);
    }
    SSL_free(a);
    SSL_free(b);
    SSL_CTX_free(own);
    ERR_clear_error();
    tls_context_unref(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_is_checked),
        cmocka_unit_test(test_alerts_of_the_peer),
        cmocka_unit_test(test_padding_is_cut),
        cmocka_unit_test(test_records_that_are_too_long),
        cmocka_unit_test(test_headers_are_checked),
        cmocka_unit_test(test_empty_records_are_counted),
        cmocka_unit_test(test_a_key_update_changes_the_key),
        cmocka_unit_test(test_a_key_update_in_pieces),
        cmocka_unit_test(test_a_record_repeated_is_refused),
        cmocka_unit_test(test_expansion_as_in_rfc_8448),
        cmocka_unit_test(test_exported_keys_are_those_of_openssl),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
