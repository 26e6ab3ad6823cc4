// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

// On the heap and without a byte to spare, so that a read past the end is seen.
static enum proxy_header_status read_exactly(struct proxy_header *ret, const char *bytes,
                                             size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    enum proxy_header_status status = proxy_header_read(ret, (struct str){copy, len});
    free(copy);
    return status;
}

static void expect_address(const struct address *address, const char *expected)
{
    char text[ADDRESS_TEXT_MAX];
    address_format(address, text);
    assert_string_equal(text, expected);
}

// Every shorter piece is only a beginning; what follows is not looked at.
static void expect_header(const char *bytes, size_t len, const char *source,
                          const char *destination)
{
    struct proxy_header header;
    for (size_t n = 0; n < len; n++)
        assert_int_equal(read_exactly(&header, bytes, n), PROXY_HEADER_MORE);
    assert_int_equal(read_exactly(&header, bytes, len), PROXY_HEADER_DONE);
    assert_int_equal(header.len, len);
    expect_address(&header.source, source);
    expect_address(&header.destination, destination);
    char *more = malloc(len + 3);
    memcpy(more, bytes, len);
    memcpy(more + len, "GET", 3);
    assert_int_equal(read_exactly(&header, more, len + 3), PROXY_HEADER_DONE);
    assert_int_equal(header.len, len);
    free(more);
}

static void expect_bad(const char *bytes, size_t len)
{
    struct proxy_header header;
    if (read_exactly(&header, bytes, len) != PROXY_HEADER_BAD)
        fail_msg("taken: %.*s", (int)len, bytes);
}

static void test_lines_of_version_1_are_read(void **state)
{
#define LINE(text, source, destination)                                                            \
    expect_header(text "\r\n", sizeof text "\r\n" - 1, source, destination)
    LINE("PROXY TCP4 192.0.2.1 198.51.100.7 1 65535", "192.0.2.1:1", "198.51.100.7:65535");
    LINE("PROXY TCP6 2001:db8::1 ::1 0 443", "[2001:db8::1]:0", "[::1]:443");
    LINE("PROXY TCP6 ::ffff:192.0.2.1 ::1 5 6", "192.0.2.1:5", "[::1]:6");
    LINE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    LINE("PROXY UNKNOWN", "-", "-");
    LINE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
         "-", "-");
#undef LINE
}

static void test_what_is_no_line_of_version_1_is_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY \n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY UNKNOWN \n",
        "x",
        "PX",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], strlen(bad[i]));
    char endless[PROXY_V1_BYTES_MAX + 1];
    memset(endless, ' ', sizeof endless);
    memcpy(endless, "PROXY UNKNOWN", 13);
    struct proxy_header header;
    assert_int_equal(read_exactly(&header, endless, PROXY_V1_BYTES_MAX - 1), PROXY_HEADER_MORE);
    expect_bad(endless, PROXY_V1_BYTES_MAX);
    memcpy(endless + PROXY_V1_BYTES_MAX - 1, "\r\n", 2);
    expect_bad(endless, PROXY_V1_BYTES_MAX + 1); // a byte too long
    memcpy(endless + PROXY_V1_BYTES_MAX - 2, "\r\n", 2);
    expect_header(endless, PROXY_V1_BYTES_MAX, "-", "-");
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BINARY(bytes, source, destination)                                                         \
    expect_header(SIGNATURE bytes, sizeof(SIGNATURE bytes) - 1, source, destination)
#define BAD_BINARY(bytes) expect_bad(SIGNATURE bytes, sizeof(SIGNATURE bytes) - 1)
#define IP4 "\xc0\0\2\1\xc6\x33\x64\7"
#define PORTS "\0\1\xff\xff"

static void test_headers_of_version_2_are_read(void **state)
{
    BINARY("\x21\x11\0\x0c" IP4 PORTS, "192.0.2.1:1", "198.51.100.7:65535");
    BINARY("\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
           "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2" PORTS,
           "[2001:db8::1]:1", "192.0.2.2:65535");
    BINARY("\x21\x11\0\x12" IP4 PORTS "\1\0\3abc", "192.0.2.1:1", "198.51.100.7:65535");
    BINARY("\x21\x11\0\x12" IP4 PORTS "\4\0\0\4\0\0", "192.0.2.1:1", "198.51.100.7:65535");
    BINARY("\x20\0\0\0", "-", "-");
    BINARY("\x20\x11\0\3abc", "-", "-"); // LOCAL: whatever it says
    BINARY("\x21\0\0\3\1\0\0", "-", "-");
    BINARY("\x21\x12\0\x0c" IP4 PORTS, "-", "-"); // UDP
    char unix_sockets[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
    expect_header(unix_sockets, sizeof unix_sockets, "-", "-");
}

static void test_what_is_no_header_of_version_2_is_refused(void **state)
{
    expect_bad("\r\r", 2);
    expect_bad("\r\n\r\n\r", 5);
    BAD_BINARY("\x11\x11\0\x0c"); // version 1 in binary
    BAD_BINARY("\x22\x11\0\x0c");
    BAD_BINARY("\x21\x41\0\x0c");
    BAD_BINARY("\x21\x13\0\x0c");
    BAD_BINARY("\x21\x11\x0f\xf1"); // over the limit
    BAD_BINARY("\x21\x11\0\x0b" IP4 "\0\1\xff");
    BAD_BINARY("\x21\x21\0\x0c" IP4 PORTS);
    BAD_BINARY("\x21\x11\0\x0e" IP4 PORTS "\1\0");
    BAD_BINARY("\x21\x11\0\x11" IP4 PORTS "\1\0\3ab");
    static char largest[PROXY_V2_BYTES_MAX] = SIGNATURE "\x21\0\x0f\xf0\xee\x0f\xed";
    expect_header(largest, sizeof largest, "-", "-");
}

static void expect_written(const char *source, const char *destination, const char *expected)
{
    struct address from = {0}, to = {0};
    if (*source)
        assert_true(address_parse(str_of(source), &from));
    if (*destination)
        assert_true(address_parse(str_of(destination), &to));
    for (int version = 1; version <= 2; version++) {
        char *out = malloc(PROXY_WRITE_BYTES_MAX);
        struct proxy_header header;
        size_t len = proxy_header_write(version, &from, &to, out);
        assert_int_equal(read_exactly(&header, out, len), PROXY_HEADER_DONE);
        assert_int_equal(header.len, len);
        if (from.family && to.family) {
            assert_true(address_equal(&header.source, &from));
            assert_true(address_equal(&header.destination, &to));
        } else {
            assert_int_equal(header.source.family, 0);
        }
        if (version == 1) {
            assert_int_equal(len, strlen(expected));
            assert_memory_equal(out, expected, len);
        }
        free(out);
    }
}

static void test_what_is_written_is_read_the_same(void **state)
{
    expect_written("192.0.2.1:1", "198.51.100.7:65535",
                   "PROXY TCP4 192.0.2.1 198.51.100.7 1 65535\r\n");
    expect_written("[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
    expect_written("192.0.2.1:1", "[::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
    expect_written("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                   "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
                   "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n");
    expect_written("", "[::1]:2", "PROXY UNKNOWN\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_version_1_are_read),
        cmocka_unit_test(test_what_is_no_line_of_version_1_is_refused),
        cmocka_unit_test(test_headers_of_version_2_are_read),
        cmocka_unit_test(test_what_is_no_header_of_version_2_is_refused),
        cmocka_unit_test(test_what_is_written_is_read_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
