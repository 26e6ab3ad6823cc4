// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct address parsed(const char *text)
{
    struct address address;
    if (!address_parse(str_of(text), &address))
        assert_true(address_parse_ip(str_of(text), &address));
    return address;
}

static void test_what_is_parsed_is_formatted_back(void **state)
{
    static const char *const texts[] = {"127.0.0.1:80",      "0.0.0.0:0",  "255.255.255.255:65535",
                                        "[2001:db8::1]:443", "[::]:15000", "[fe80::1:2:3]:1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char out[ADDRESS_TEXT_MAX];
        struct address address = parsed(texts[i]);
        assert_int_equal(address_format(&address, out), strlen(texts[i]));
        assert_string_equal(out, texts[i]);
    }
}

static void test_an_ip_alone_is_formatted_without_port_and_brackets(void **state)
{
    char out[ADDRESS_TEXT_MAX];
    struct address address = parsed("[2001:db8::7]:443");
    address_format_ip(&address, out);
    assert_string_equal(out, "2001:db8::7");
    address = parsed("192.0.2.100");
    assert_int_equal(address.port, 0);
    assert_int_equal(address_format_ip(&address, out), 11);
    assert_string_equal(out, "192.0.2.100");
    address = (struct address){0};
    assert_int_equal(address_format(&address, out), 1);
    assert_string_equal(out, "-");
}

static void test_the_longest_address_fits(void **state)
{
    char out[ADDRESS_TEXT_MAX];
    struct address address = parsed("[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    assert_true(address_format(&address, out) < ADDRESS_TEXT_MAX);
}

static void test_what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",           "1.2.3.4",        "1.2.3.4:",     "1.2.3.4:65536",
        "1.2.3.4:-1", "1.2.3:80",       "::1:80",       "[::1]",
        "[::1]:",     "[::1]80",        "[::1:80",      "[1.2.3.4]:80",
        "01.2.3.4:1", "1.2.3.4.5:80",   "1.2.3.256:80", "localhost:80",
        " 1.2.3.4:1", "[fe80::1%lo]:1", ":80",          "1.2.3.4:80:80"};
    struct address address = {.port = 7};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(address_parse(str_of(wrong[i]), &address));
    assert_false(address_parse_ip(STR("1.2.3.4\0x"), &address));
    assert_false(address_parse_ip(STR_NONE, &address));
    assert_false(address_parse_ip(STR("1.2.3.4:80"), &address));
    assert_int_equal(address.port, 7); // untouched
}

static void test_socket_addresses_are_converted_both_ways(void **state)
{
    static const char *const texts[] = {"192.0.2.1:8080", "[2001:db8::1]:8080"};
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_storage storage;
        struct address address = parsed(texts[i]), back;
        assert_true(address_to_sockaddr(&address, &storage) <= sizeof(storage));
        assert_true(address_from_sockaddr((struct sockaddr *)&storage, &back));
        assert_true(address_equal(&address, &back));
    }
    struct address none;
    assert_false(address_from_sockaddr(&(struct sockaddr){.sa_family = AF_UNIX}, &none));
    assert_int_equal(none.family, 0);
}

static void test_an_ipv4_mapped_address_is_an_ipv4_address(void **state)
{
    struct address mapped = parsed("[::ffff:10.1.2.3]:80"), plain = parsed("10.1.2.3:80");
    assert_true(address_equal(&mapped, &plain));
    assert_true(address_is_internal(&mapped));
}

static void test_addresses_differ_in_family_ip_or_port(void **state)
{
    struct address a = parsed("1.2.3.4:80"), b = parsed("1.2.3.4:81"), c = parsed("1.2.3.5:80");
    struct address d = parsed("[102:304::]:80"); // the same first bytes
    assert_true(address_equal(&a, &a));
    assert_false(address_equal(&a, &b) || address_equal(&a, &c) || address_equal(&a, &d));
}

static void test_private_ranges_are_internal_to_their_last_address(void **state)
{
    static const char *const internal[] = {"10.0.0.0",       "10.255.255.255", "172.16.0.0",
                                           "172.31.255.255", "192.168.0.1",    "127.0.0.1",
                                           "127.255.0.1",    "169.254.1.1",    "::1",
                                           "fc00::1",        "fdff:ffff::1",   "fe80::1",
                                           "febf::1"};
    static const char *const external[] = {
        "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.1",
        "192.169.0.1",   "8.8.8.8",  "169.253.0.1",    "::2",        "fb00::1",
        "fe00::1",       "fec0::1",  "2001:db8::1"};
    for (size_t i = 0; i < sizeof(internal) / sizeof(*internal); i++) {
        struct address address = parsed(internal[i]);
        assert_true(address_is_internal(&address));
    }
    for (size_t i = 0; i < sizeof(external) / sizeof(*external); i++) {
        struct address address = parsed(external[i]);
        assert_false(address_is_internal(&address));
    }
    assert_false(address_is_internal(&(struct address){0}));
}

static void test_subnets_lose_their_host_bits(void **state)
{
    static const struct {
        const char *text, *base;
        unsigned bits;
    } rows[] = {{"10.1.2.3", "10.1.2.3:0", 32},          {"10.1.255.3/16", "10.1.0.0:0", 16},
                {"10.1.2.255/25", "10.1.2.128:0", 25},   {"10.1.2.3/0", "0.0.0.0:0", 0},
                {"2001:db8::1", "[2001:db8::1]:0", 128}, {"2001:dbf::/29", "[2001:db8::]:0", 29},
                {"::ffff:10.9.8.7/104", "10.0.0.0:0", 8}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct address base;
        unsigned bits = 999;
        char text[ADDRESS_TEXT_MAX];
        assert_true(address_parse_subnet(str_of(rows[i].text), &base, &bits));
        address_format(&base, text);
        assert_string_equal(text, rows[i].base);
        assert_int_equal(bits, rows[i].bits);
    }
    static const char *const wrong[] = {
        "",       "/8",           "10.0.0.0/",   "10.0.0.0/33", "10.0.0/8",         "10.0.0.0/-1",
        "::/129", "10.0.0.0/8/8", "10.0.0.0/ 8", "a.b/8",       "::ffff:10.0.0.0/8"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct address base;
        unsigned bits;
        assert_false(address_parse_subnet(str_of(wrong[i]), &base, &bits));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_parsed_is_formatted_back),
        cmocka_unit_test(test_an_ip_alone_is_formatted_without_port_and_brackets),
        cmocka_unit_test(test_the_longest_address_fits),
        cmocka_unit_test(test_what_is_no_address_is_refused),
        cmocka_unit_test(test_socket_addresses_are_converted_both_ways),
        cmocka_unit_test(test_an_ipv4_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(test_addresses_differ_in_family_ip_or_port),
        cmocka_unit_test(test_private_ranges_are_internal_to_their_last_address),
        cmocka_unit_test(test_subnets_lose_their_host_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
