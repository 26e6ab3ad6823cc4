// SPDX-License-Identifier: Apache-2.0
#include "http/h1_test.h"
#include "http/uri.h"

// NULL: refused.
static void assert_normal(struct str path, const char *expected)
{
    char *in = exact_copy(path), *out = malloc(path.len + 1);
    struct str result = STR_NONE;
    assert_non_null(out);
    bool is_good = uri_normalize_path((struct str){in, path.len}, out, &result);
    if (is_good != (expected != NULL))
        fail_msg("%.*s: %s", STR_ARG(path), is_good ? "accepted" : "refused");
    if (expected) {
        assert_str(result, expected);
        // What is normal already is not copied, and normalising twice changes nothing.
        assert_int_equal(result.ptr == in, str_is(path, expected));
        struct str again;
        char twice[100];
        assert_true(uri_normalize_path(result, twice, &again));
        assert_ptr_equal(again.ptr, result.ptr);
    }
    free(in);
    free(out);
}

static void test_paths_are_normalised_as_istio_s_base_does(void **state)
{
    static const struct {
        struct str path;
        const char *expected;
    } rows[] = {
        {S("/"), "/"},
        {S("/a/b.c/d"), "/a/b.c/d"},
        {S("/a.b/..c/.d/..."), "/a.b/..c/.d/..."},
        {S("/a//b"), "/a//b"},
        {S("/a/"), "/a/"},
        // unreserved characters are decoded, the rest in upper case
        {S("/%61%7a%41%5A%30%39%2d%2e%5f%7e"), "/azAZ09-._~"},
        {S("/a%2fb"), "/a%2Fb"},
        {S("/a%2Fb"), "/a%2Fb"},
        {S("/%e2%82%ac"), "/%E2%82%AC"},
        {S("/%20%3f%23%25"), "/%20%3F%23%25"},
        {S("/%2561"), "/%2561"},
        {S("/%5c%5C"), "/%5C%5C"},
        // backslashes
        {S("/a\\b"), "/a/b"},
        {S("\\a"), NULL},
        {S("/a\\..\\b"), "/b"},
        // dot segments
        {S("/."), "/"},
        {S("/.."), "/"},
        {S("/./"), "/"},
        {S("/../"), "/"},
        {S("/a/."), "/a/"},
        {S("/a/.."), "/"},
        {S("/a/../"), "/"},
        {S("/a/./b"), "/a/b"},
        {S("/a/../b"), "/b"},
        {S("/a/b/../../c"), "/c"},
        {S("/a/b/c/./../../g"), "/a/g"}, // RFC 3986, 5.2.4
        {S("/../../a"), "/a"},
        {S("/a/../../../b"), "/b"},
        {S("/a//../b"), "/a/b"},
        {S("//../a"), "/a"},
        {S("//.."), "/"},
        {S("/a/.b/..c"), "/a/.b/..c"},
        {S("/a/%2e%2e/b"), "/b"},
        {S("/a/%2E./b"), "/b"},
        {S("/a/.%2e"), "/"},
        {S("/a/%2e"), "/a/"},
        {S("/a/..%2fb"), "/a/..%2Fb"},
        {S("/a/%2e%2e%2fb"), "/a/..%2Fb"},
        {S("/a/..;/b"), "/a/..;/b"},
        // refused
        {S(""), NULL},
        {S("a"), NULL},
        {S("*"), NULL},
        {S("./a"), NULL},
        {S("/%"), NULL},
        {S("/%4"), NULL},
        {S("/%4g"), NULL},
        {S("/%g4"), NULL},
        {S("/%%41"), NULL},
        {S("/a%00b"), NULL},
        {S("/a/../%zz"), NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_normal(rows[i].path, rows[i].expected);
}

static void test_an_authority_is_split_and_lower_cased(void **state)
{
    static const struct {
        struct str text;
        const char *host; // NULL: refused
        uint16_t port;
    } rows[] = {
        {S("a"), "a", 0},
        {S("shop.example.com"), "shop.example.com", 0},
        {S("Shop.Example.COM:8080"), "shop.example.com", 8080},
        {S("a-rather-long.name.with.digits-0123456789.example:1"),
         "a-rather-long.name.with.digits-0123456789.example", 1},
        {S("a.example."), "a.example", 0},
        {S("a.example.:80"), "a.example", 80},
        {S("a.example:"), "a.example", 0},
        {S("a.example:00080"), "a.example", 80},
        {S("a.example:65535"), "a.example", 65535},
        {S("10.0.0.1:1"), "10.0.0.1", 1},
        {S("a_b~c"), "a_b~c", 0},
        {S("!$&'()*+,;="), "!$&'()*+,;=", 0},
        {S("%C3%A4.example"), "%c3%a4.example", 0},
        {S("[::1]"), "[::1]", 0},
        {S("[2001:DB8::A]:443"), "[2001:db8::a]", 443},
        {S("[::ffff:10.0.0.1]"), "[::ffff:10.0.0.1]", 0},
        {S(""), NULL, 0},
        {S("."), NULL, 0},
        {S(":80"), NULL, 0},
        {S(".:80"), NULL, 0},
        {S("a:0"), NULL, 0},
        {S("a:65536"), NULL, 0},
        {S("a:000080"), NULL, 0},
        {S("a:8a"), NULL, 0},
        {S("a:-1"), NULL, 0},
        {S("a:80 "), NULL, 0},
        {S("a:1:2"), NULL, 0},
        {S("a b"), NULL, 0},
        {S("a/b"), NULL, 0},
        {S("a?b"), NULL, 0},
        {S("a#b"), NULL, 0},
        {S("u@a"), NULL, 0},
        {S("u:p@a"), NULL, 0},
        {S("a\\b"), NULL, 0},
        {S("a\0b"), NULL, 0},
        {S("\xc3\xa4.example"), NULL, 0},
        {S("<a>"), NULL, 0},
        {S("a%4"), NULL, 0},
        {S("a%zz"), NULL, 0},
        {S("::1"), NULL, 0},
        {S("[::1"), NULL, 0},
        {S("[]"), NULL, 0},
        {S("[::1]x"), NULL, 0},
        {S("[::1]80"), NULL, 0},
        {S("[10.0.0.1]"), NULL, 0},
        {S("[fe80::1%25eth0]"), NULL, 0},
        {S("[v1.a]"), NULL, 0},
        {S("a[::1]"), NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *in = exact_copy(rows[i].text), *out = exact_copy(rows[i].text);
        struct str text = {in, rows[i].text.len}, host;
        uint16_t port = 77;
        bool is_good = uri_split_authority(text, out, &host, &port);
        assert_int_equal(uri_authority_is_valid(text), is_good);
        if (is_good != (rows[i].host != NULL))
            fail_msg("%.*s: %s", STR_ARG(rows[i].text), is_good ? "accepted" : "refused");
        if (is_good) {
            assert_str(host, rows[i].host);
            assert_int_equal(port, rows[i].port);
        }
        free(in);
        free(out);
    }
}

static void test_a_query_yields_the_first_value_of_a_name(void **state)
{
    static const struct {
        const char *query, *name, *value; // NULL: absent
    } rows[] = {
        {"a=1&b=2", "a", "1"}, {"a=1&b=2", "b", "2"}, {"a=1&a=2", "a", "1"},
        {"a", "a", ""},        {"a=", "a", ""},       {"b&a=x=y", "a", "x=y"},
        {"a=1", "A", NULL},    {"aa=1", "a", NULL},   {"", "a", NULL},
        {"&&a=1", "a", "1"},   {"a%20=1", "a", NULL}, {"a=%20+", "a", "%20+"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str value;
        bool found = uri_query_get(str_of(rows[i].query), str_of(rows[i].name), &value);
        assert_int_equal(found, rows[i].value != NULL);
        if (found)
            assert_str(value, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_normalised_as_istio_s_base_does),
        cmocka_unit_test(test_an_authority_is_split_and_lower_cased),
        cmocka_unit_test(test_a_query_yields_the_first_value_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
