// SPDX-License-Identifier: Apache-2.0
#include "proxy/first_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

// On the heap and without a byte to spare, so that a read past the end is seen.
static enum first_bytes look(const char *bytes, size_t len, struct client_hello *hello)
{
    char *copy = malloc(len ? len : 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    enum first_bytes answer = first_bytes_look((struct str){copy, len}, hello);
    free(copy);
    return answer;
}

// `n_known`: with so many bytes it is known, with fewer it is not, and what follows changes
// nothing.
static void expect(const char *text, size_t n_known, enum first_bytes expected)
{
    struct client_hello hello;
    size_t len = strlen(text);
    for (size_t n = 0; n <= len; n++) {
        enum first_bytes answer = look(text, n, &hello);
        enum first_bytes wanted = n < n_known ? FIRST_BYTES_MORE : expected;
        if (answer != wanted)
            fail_msg("%d in the place of %d for \"%.*s\"", answer, wanted, (int)n, text);
    }
    assert_true(n_known <= FIRST_BYTES_HTTP_MAX);
}

static void test_a_request_line_is_known_by_method_and_target(void **state)
{
    (void)state;
    expect("GET / HTTP/1.1\r\n", 5, FIRST_BYTES_HTTP);
    expect("M-SEARCH /x HTTP/1.1\r\n", 10, FIRST_BYTES_HTTP);
    expect("OPTIONS * HTTP/1.1\r\n", 15, FIRST_BYTES_HTTP);
    expect("GET http://a.example/ HTTP/1.1\r\n", 11, FIRST_BYTES_HTTP);
    expect("GET HTTPS://a.example/ HTTP/1.1\r\n", 12, FIRST_BYTES_HTTP);
    expect("ABCDEFGHIJKLMNOPQRSTUVWX /", 26, FIRST_BYTES_HTTP);
}

static void test_the_preface_of_http2_is_http(void **state)
{
    (void)state;
    expect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 11, FIRST_BYTES_HTTP);
}

static void test_lines_of_other_protocols_are_not_http(void **state)
{
    (void)state;
    expect("SSH-2.0-OpenSSH_9.2\r\n", 5, FIRST_BYTES_OTHER);
    expect("EHLO a.example\r\n", 6, FIRST_BYTES_OTHER);
    expect("NICK me\r\n", 6, FIRST_BYTES_OTHER);
    expect("PING\r\n", 5, FIRST_BYTES_OTHER);
    expect("GET key\r\n", 5, FIRST_BYTES_OTHER);
    expect("GET htaccess\r\n", 7, FIRST_BYTES_OTHER);
    expect("get key\r\n", 1, FIRST_BYTES_OTHER);
    expect("CONNECT a.example:443 HTTP/1.1\r\n", 9, FIRST_BYTES_OTHER);
    expect("CONNECT {\"verbose\":false}\r\n", 9, FIRST_BYTES_OTHER);
    expect("CONNECT\naccept-version:1.2\n", 8, FIRST_BYTES_OTHER);
    expect("OPTIONS rtsp://a.example RTSP/1.0\r\n", 9, FIRST_BYTES_OTHER);
    expect("OPTIONS * RTSP/1.0\r\n", 11, FIRST_BYTES_OTHER);
    expect("*1\r\n$4\r\nPING\r\n", 1, FIRST_BYTES_OTHER); // Redis
    expect("-GET / HTTP/1.1\r\n", 1, FIRST_BYTES_OTHER);
    expect(" GET / HTTP/1.1\r\n", 1, FIRST_BYTES_OTHER);
    expect("\r\nGET / HTTP/1.1\r\n", 1, FIRST_BYTES_OTHER);
    expect("ABCDEFGHIJKLMNOPQRSTUVWXY /", 25, FIRST_BYTES_OTHER);
    expect("\x80\x2e\x01", 1, FIRST_BYTES_OTHER);
}

// TLS 1.2 record, ClientHello with the name "a.example" and nothing else.
static const char hello_bytes[] = "\x16\x03\x01\x00\x41\x01\x00\x00\x3d\x03\x03"
                                  "0123456789abcdef0123456789abcdef"
                                  "\x00\x00\x02\x13\x01\x01\x00\x00\x12"
                                  "\x00\x00\x00\x0e\x00\x0c\x00\x00\x09"
                                  "a.example\xff\x01";

static void test_a_client_hello_is_known_once_it_is_whole(void **state)
{
    (void)state;
    struct client_hello hello;
    size_t len = 5 + 0x41;
    assert_int_equal(look(hello_bytes, 0, &hello), FIRST_BYTES_MORE);
    for (size_t n = 1; n < len; n++)
        assert_int_equal(look(hello_bytes, n, &hello), FIRST_BYTES_PART_OF_TLS);
    for (size_t n = len; n < sizeof hello_bytes; n++) {
        assert_int_equal(look(hello_bytes, n, &hello), FIRST_BYTES_TLS);
        assert_string_equal(hello.name, "a.example");
    }
}

static void test_what_only_begins_like_tls_is_something_else(void **state)
{
    (void)state;
    struct client_hello hello;
    assert_int_equal(look("\x16GET", 4, &hello), FIRST_BYTES_OTHER);
    assert_int_equal(look("\x16\x03\x01\x00\x05\x02", 6, &hello), FIRST_BYTES_OTHER);
    char *large = calloc(1, CLIENT_HELLO_BYTES_MAX + 10);
    memcpy(large, "\x16\x03\x01\x40\x00\x01\x00\x7f\xff", 9);
    assert_int_equal(look(large, CLIENT_HELLO_BYTES_MAX + 10, &hello), FIRST_BYTES_OTHER);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_line_is_known_by_method_and_target),
        cmocka_unit_test(test_the_preface_of_http2_is_http),
        cmocka_unit_test(test_lines_of_other_protocols_are_not_http),
        cmocka_unit_test(test_a_client_hello_is_known_once_it_is_whole),
        cmocka_unit_test(test_what_only_begins_like_tls_is_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
