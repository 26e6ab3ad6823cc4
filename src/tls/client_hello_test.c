// SPDX-License-Identifier: Apache-2.0
#include "tls/client_hello.h"
#include "tls/tls_test.h"

static void add_u16(struct buf *out, size_t number)
{
    buf_add_char(out, (char)(number >> 8));
    buf_add_char(out, (char)number);
}

static void add_extension_bytes(struct buf *out, unsigned type, struct str body)
{
    add_u16(out, type);
    add_u16(out, body.len);
    buf_add_str(out, body);
}

static void add_name(struct buf *out, unsigned type, struct str name)
{
    buf_add_char(out, (char)type);
    add_u16(out, name.len);
    buf_add_str(out, name);
}

// The message (without record) with these extensions; NULL: none at all.
static void add_message(struct buf *out, const struct buf *extensions)
{
    struct buf body = {0};
    add_u16(&body, 0x0303);
    for (int i = 0; i < 32; i++)
        buf_add_char(&body, (char)i);
    buf_add_char(&body, 0);          // session
    buf_add(&body, "\0\2\x13\1", 4); // suites
    buf_add(&body, "\1\0", 2);       // compressions
    if (extensions) {
        add_u16(&body, extensions->len);
        buf_add(&body, extensions->data, extensions->len);
    }
    buf_add_char(out, 1);
    buf_add_char(out, (char)(body.len >> 16));
    add_u16(out, body.len & 0xffff);
    buf_add(out, body.data, body.len);
    buf_fini(&body);
}

static void add_records(struct buf *out, const struct buf *message, size_t piece)
{
    for (size_t at = 0; at < message->len; at += piece) {
        size_t len = message->len - at < piece ? message->len - at : piece;
        buf_add(out, "\x16\3\1", 3);
        add_u16(out, len);
        buf_add(out, message->data + at, len);
    }
}

static enum client_hello_status read_extensions(struct client_hello *hello,
                                                const struct buf *extensions)
{
    struct buf message = {0}, records = {0};
    add_message(&message, extensions);
    add_records(&records, &message, 16384);
    enum client_hello_status status = client_hello_read(hello, buf_str(&records));
    buf_fini(&message);
    buf_fini(&records);
    return status;
}

static enum client_hello_status read_name_list(struct client_hello *hello, const struct buf *list)
{
    struct buf body = {0}, extensions = {0};
    add_u16(&body, list->len);
    buf_add(&body, list->data, list->len);
    add_extension_bytes(&extensions, 0, buf_str(&body));
    enum client_hello_status status = read_extensions(hello, &extensions);
    buf_fini(&body);
    buf_fini(&extensions);
    return status;
}

static const char *name_of(struct str name)
{
    static struct client_hello hello;
    struct buf list = {0};
    add_name(&list, 0, name);
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_DONE);
    assert_int_equal(strlen(hello.name), hello.name_len);
    buf_fini(&list);
    return hello.name;
}

static void test_a_name_is_a_host_name_in_lower_case(void **state)
{
    char longest[256], label[65];
    assert_string_equal(name_of(STR("A.Example.COM")), "a.example.com");
    assert_string_equal(name_of(STR("a.example.com.")), "a.example.com");
    assert_string_equal(name_of(STR("a_b-c.d")), "a_b-c.d");
    assert_string_equal(name_of(STR("xn--bcher-kva.example")), "xn--bcher-kva.example");
    // What follows is no name.
    assert_string_equal(name_of(STR("a.example.com..")), "");
    assert_string_equal(name_of(STR(".a")), "");
    assert_string_equal(name_of(STR(".")), "");
    assert_string_equal(name_of(STR("a..b")), "");
    assert_string_equal(name_of(STR("a b")), "");
    assert_string_equal(name_of(STR("a\0b")), "");
    assert_string_equal(name_of(STR("*.example.com")), "");
    assert_string_equal(name_of(STR("a/b")), "");
    assert_string_equal(name_of(STR("b\xc3\xbc.example")), "");
    assert_string_equal(name_of(STR("127.0.0.1")), "");
    assert_string_equal(name_of(STR("::1")), "");
    assert_string_equal(name_of(STR("[::1]")), "");
    for (size_t i = 0; i < 255; i++)
        longest[i] = i % 2 ? '.' : 'a';
    longest[255] = 'x';
    assert_int_equal(strlen(name_of((struct str){longest, 255})), 255);
    assert_string_equal(name_of((struct str){longest, 256}), "");
    memset(label, 'a', sizeof(label));
    assert_int_equal(strlen(name_of((struct str){label, 63})), 63);
    assert_string_equal(name_of((struct str){label, 64}), "");
}

static void test_name_lists_as_rfc_6066(void **state)
{
    struct client_hello hello;
    struct buf list = {0};
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_NOT); // an empty list
    add_name(&list, 7, STR("of another type"));
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_DONE);
    assert_int_equal(hello.name_len, 0);
    add_name(&list, 0, STR("a.b"));
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_DONE);
    assert_string_equal(hello.name, "a.b");
    add_name(&list, 0, STR("c.d"));
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_NOT); // two of a type
    assert_int_equal(hello.name_len, 0);
    list.len = 0;
    add_name(&list, 0, STR(""));
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_NOT);
    list.len = 0;
    add_name(&list, 0, STR("a.b"));
    list.len--; // cut
    assert_int_equal(read_name_list(&hello, &list), CLIENT_HELLO_NOT);
    buf_fini(&list);
}

static enum client_hello_status read_alpn(struct client_hello *hello, struct str list)
{
    struct buf body = {0}, extensions = {0};
    add_extension_bytes(&extensions, 0x0a0a, STR("grease"));
    add_u16(&body, list.len);
    buf_add_str(&body, list);
    add_extension_bytes(&extensions, 16, buf_str(&body));
    enum client_hello_status status = read_extensions(hello, &extensions);
    buf_fini(&body);
    buf_fini(&extensions);
    return status;
}

static void test_alpn_lists(void **state)
{
    struct client_hello hello;
    assert_int_equal(read_alpn(&hello, STR("\2\x5a\x5a\2h2\x8http/1.1")), CLIENT_HELLO_DONE);
    assert_true(hello.offers_h2 && hello.offers_http1);
    assert_int_equal(read_alpn(&hello, STR("\3h2c\x8http/1.0")), CLIENT_HELLO_DONE);
    assert_false(hello.offers_h2 || hello.offers_http1);
    assert_int_equal(read_alpn(&hello, STR("\2h2")), CLIENT_HELLO_DONE);
    assert_true(hello.offers_h2 && !hello.offers_http1);
    assert_int_equal(read_alpn(&hello, STR("")), CLIENT_HELLO_NOT);
    assert_int_equal(read_alpn(&hello, STR("\0")), CLIENT_HELLO_NOT);
    assert_int_equal(read_alpn(&hello, STR("\2h2\x9http/1.1")), CLIENT_HELLO_NOT);
    assert_false(hello.offers_h2);
}

static void test_an_extension_stands_once(void **state)
{
    struct client_hello hello;
    struct buf extensions = {0};
    add_extension_bytes(&extensions, 0, STR("\0\6\0\0\3a.b"));
    assert_int_equal(read_extensions(&hello, &extensions), CLIENT_HELLO_DONE);
    assert_string_equal(hello.name, "a.b");
    add_extension_bytes(&extensions, 0, STR("\0\6\0\0\3c.d"));
    assert_int_equal(read_extensions(&hello, &extensions), CLIENT_HELLO_NOT);
    extensions.len = 0;
    add_extension_bytes(&extensions, 16, STR("\0\3\2h2"));
    add_extension_bytes(&extensions, 16, STR("\0\3\2h2"));
    assert_int_equal(read_extensions(&hello, &extensions), CLIENT_HELLO_NOT);
    extensions.len = 0;
    add_extension_bytes(&extensions, 5, STR("x"));
    extensions.len--; // cut within
    assert_int_equal(read_extensions(&hello, &extensions), CLIENT_HELLO_NOT);
    assert_int_equal(read_extensions(&hello, NULL), CLIENT_HELLO_DONE); // as old clients
    buf_fini(&extensions);
}

static void test_what_is_no_hello_is_known_from_its_first_bytes(void **state)
{
    static const struct {
        struct str bytes;
        enum client_hello_status status;
    } cases[] = {
        {{"", 0}, CLIENT_HELLO_MORE},
        {{"G", 1}, CLIENT_HELLO_NOT},
        {{"\x80\x2e\1", 3}, CLIENT_HELLO_NOT}, // SSL 2
        {{"\x15", 1}, CLIENT_HELLO_NOT},       // an alert
        {{"\x16", 1}, CLIENT_HELLO_MORE},
        {{"\x16\3", 2}, CLIENT_HELLO_MORE},
        {{"\x16\2", 2}, CLIENT_HELLO_NOT},
        {{"\x16\3\4", 3}, CLIENT_HELLO_MORE},
        {{"\x16\3\5", 3}, CLIENT_HELLO_NOT},
        {{"\x16\3\1\0\0", 5}, CLIENT_HELLO_NOT},   // an empty record
        {{"\x16\3\1\x40\1", 5}, CLIENT_HELLO_NOT}, // too long a record
        {{"\x16\3\1\1\0\2", 6}, CLIENT_HELLO_NOT}, // a ServerHello
        {{"\x16\3\1\1\0\1\0\x40", 8}, CLIENT_HELLO_MORE},
        {{"\x16\3\1\1\0\1\0\x40\0", 9}, CLIENT_HELLO_LARGE},
        {{"\x16\3\1\0\1\1\x17", 7}, CLIENT_HELLO_NOT}, // another record in between
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct client_hello hello;
        if (client_hello_read(&hello, cases[i].bytes) != cases[i].status)
            fail_msg("case %zu", i);
    }
}

static void test_records_without_end_are_bounded(void **state)
{
    struct buf message = {0}, extensions = {0}, records = {0}, body = {0};
    struct client_hello hello;
    for (int i = 0; i < 4000; i++)
        buf_add_char(&body, 'x');
    add_extension_bytes(&extensions, 21, buf_str(&body)); // padding
    add_message(&message, &extensions);
    add_records(&records, &message, 1); // six bytes for one
    assert_true(records.len > CLIENT_HELLO_BYTES_MAX);
    for (size_t len = 0; len <= records.len; len += 101)
        assert_int_equal(client_hello_read(&hello, (struct str){records.data, len}),
                         len < CLIENT_HELLO_BYTES_MAX ? CLIENT_HELLO_MORE : CLIENT_HELLO_LARGE);
    buf_fini(&message);
    buf_fini(&extensions);
    buf_fini(&records);
    buf_fini(&body);
}

// A hello as OpenSSL sends it, cut into records of every size and read at every length.
static void check_in_pieces(struct str hello_bytes)
{
    struct buf message = {.data = (char *)(uintptr_t)hello_bytes.ptr + 5,
                          .len = hello_bytes.len - 5};
    struct client_hello hello;
    for (size_t piece = 1; piece <= message.len; piece += piece < 20 ? 1 : 61) {
        struct buf records = {0};
        add_records(&records, &message, piece);
        for (size_t len = 0; len < records.len; len++) {
            char *exact = malloc(len ? len : 1);
            memcpy(exact, records.data, len);
            assert_int_equal(client_hello_read(&hello, (struct str){exact, len}),
                             CLIENT_HELLO_MORE);
            assert_int_equal(hello.name_len, 0);
            free(exact);
        }
        buf_add_text(&records, "and what comes behind");
        for (size_t more = 0; more < 20; more += 19) {
            assert_int_equal(
                client_hello_read(&hello, (struct str){records.data, records.len - more}),
                CLIENT_HELLO_DONE);
            assert_string_equal(hello.name, "a.example.com");
            assert_true(hello.offers_h2 && hello.offers_http1);
        }
        buf_fini(&records);
    }
}

static void test_hellos_of_openssl_in_pieces_of_every_size(void **state)
{
    static const uint16_t versions[] = {TLS_VERSION_1_2, TLS_VERSION_1_3};
    for (size_t i = 0; i < 2; i++) {
        struct tls_client_config config = client_config();
        config.common.version_max = versions[i];
        config.offers_h2 = config.offers_http1 = true;
        struct tls_context *server = usual_server(), *client = must_call(config);
        struct ends ends;
        ends_open(&ends, server, client, "A.example.com", NULL);
        assert_int_equal(tls_handshake(ends.client), TLS_AGAIN);
        check_in_pieces(buf_str(&ends.server_wire.inbox));
        ends_close(&ends);
        tls_context_unref(server);
        tls_context_unref(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_a_host_name_in_lower_case),
        cmocka_unit_test(test_name_lists_as_rfc_6066),
        cmocka_unit_test(test_alpn_lists),
        cmocka_unit_test(test_an_extension_stands_once),
        cmocka_unit_test(test_what_is_no_hello_is_known_from_its_first_bytes),
        cmocka_unit_test(test_records_without_end_are_bounded),
        cmocka_unit_test(test_hellos_of_openssl_in_pieces_of_every_size),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
