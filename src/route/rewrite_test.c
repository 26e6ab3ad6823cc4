// SPDX-License-Identifier: Apache-2.0
#include "route/fixture.h"
#include "route/rewrite.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

enum { ROOM = 256 };

static const struct {
    const char *about;
    enum path_kind kind;
    const char *route_path;
    enum rewrite_kind rewrite;
    const char *regex, *text;
    bool drops_query;
    const char *path, *query, *expected;
} rewrites[] = {
    {"prefix", PATH_PREFIX_STRING, "/a", REWRITE_PREFIX, NULL, "/x", false, "/a/b", NULL, "/x/b"},
    {"prefix, no border", PATH_PREFIX_STRING, "/a", REWRITE_PREFIX, NULL, "/", false, "/ab", NULL,
     "/b"},
    {"prefix, two slashes", PATH_PREFIX_STRING, "/a", REWRITE_PREFIX, NULL, "/", false, "/a/b",
     NULL, "//b"},
    {"prefix to the letter", PATH_PREFIX_STRING, "/a/", REWRITE_PREFIX, NULL, "/", false, "/a/b",
     "q=1", "/b?q=1"},
    {"prefix alone", PATH_PREFIX_STRING, "/a", REWRITE_PREFIX, NULL, "", false, "/a", NULL, "/"},
    {"prefix without slash", PATH_PREFIX_STRING, "/", REWRITE_PREFIX, NULL, "x/", false, "/b", "q",
     "/x/b?q"},
    {"segments", PATH_PREFIX_SEGMENT, "/a", REWRITE_PREFIX, NULL, "/", false, "/a/b", NULL, "/b"},
    {"segments alone", PATH_PREFIX_SEGMENT, "/a", REWRITE_PREFIX, NULL, "/", false, "/a", NULL,
     "/"},
    {"segments at the root", PATH_PREFIX_SEGMENT, "", REWRITE_PREFIX, NULL, "/x", false, "/a", NULL,
     "/x/a"},
    {"exact: all", PATH_EXACT, "/a", REWRITE_PREFIX, NULL, "/x", false, "/a", "q=1", "/x?q=1"},
    {"regex: all", PATH_REGEX, "/a.*", REWRITE_PREFIX, NULL, "/x", false, "/abc", NULL, "/x"},
    {"full", PATH_PREFIX_SEGMENT, "/testpath", REWRITE_FULL, NULL, "/", false, "/testpath/deep",
     "a=b", "/?a=b"},
    {"full, empty query", PATH_ANY, "", REWRITE_FULL, NULL, "/x", false, "/a", "", "/x?"},
    {"full with its query", PATH_ANY, "", REWRITE_FULL, NULL, "/x?y=1", true, "/a", "b", "/x?y=1"},
    {"full, query dropped", PATH_ANY, "", REWRITE_FULL, NULL, "/x?", true, "/a", "b", "/x"},
    {"full, queries joined", PATH_ANY, "", REWRITE_FULL, NULL, "/x?y=1", false, "/a", "b",
     "/x?y=1&b"},
    {"all occurrences", PATH_ANY, "", REWRITE_REGEX, "/v([0-9])", "/version-\\1", false, "/v1/x/v2",
     "v1", "/version-1/x/version-2?v1"},
    {"whole match and backslash", PATH_ANY, "", REWRITE_REGEX, "b", "<\\0\\\\>", false, "/abc",
     NULL, "/a<b\\>c"},
    {"empty matches as RE2", PATH_ANY, "", REWRITE_REGEX, "x*", "-", false, "/axb", NULL,
     "/-/-a-b-"},
    {"no match, no change", PATH_ANY, "", REWRITE_REGEX, "zz", "y", false, "/abc", NULL, "/abc"},
    {"a group that took no part", PATH_ANY, "", REWRITE_REGEX, "a(q)?(b)", "[\\1\\2\\3]", false,
     "/ab", NULL, "/[b]"},
    {"captures", PATH_REGEX, "^/x(/|$)(.*)", REWRITE_CAPTURE, NULL, "/$2", false, "/x/y/z", "q=1",
     "/y/z?q=1"},
    {"captures, none left", PATH_REGEX, "^/x(/|$)(.*)", REWRITE_CAPTURE, NULL, "/$2", false, "/x",
     NULL, "/"},
    {"captures, query dropped", PATH_REGEX, "^/x/(.*)", REWRITE_CAPTURE, NULL, "/$1?", true, "/x/y",
     "q=1", "/y"},
    {"captures into a query", PATH_REGEX, "^/x/(.*)", REWRITE_CAPTURE, NULL, "/?p=$1", true, "/x/y",
     "q=1", "/?p=y"},
    {"captures, two and a literal", PATH_REGEX, "^/(a)/(b)", REWRITE_CAPTURE, NULL, "/$2$1$x$",
     false, "/a/b", NULL, "/ba$x$"},
};

static void test_rewrites(void **state)
{
    for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++) {
        const char *pattern = rewrites[i].regex ? rewrites[i].regex : rewrites[i].route_path;
        struct regex *regex = regex_compile(str_of(pattern), 0, NULL, 0, NULL);
        assert_non_null(regex);
        struct rewrite rewrite = {.kind = rewrites[i].rewrite,
                                  .text = str_of(rewrites[i].text),
                                  .drops_query = rewrites[i].drops_query,
                                  .regex = rewrites[i].regex ? regex : NULL};
        struct route route = {.path_kind = (uint8_t)rewrites[i].kind,
                              .path = str_of(rewrites[i].route_path),
                              .path_regex = rewrites[i].kind == PATH_REGEX ? regex : NULL,
                              .rewrite = &rewrite};
        char out[ROOM];
        struct str path = str_of(rewrites[i].path), query = str_of(rewrites[i].query);
        size_t len = rewrite_path(&route, path, query, rewrites[i].query, out, ROOM);
        if (!str_is((struct str){out, len}, rewrites[i].expected))
            fail_msg("%s: %.*s", rewrites[i].about, (int)len, out);
        // Too little room: nothing past it is touched, and the length says so.
        for (size_t cap = 0; cap < len; cap++) {
            memset(out, '#', ROOM);
            assert_true(rewrite_path(&route, path, query, rewrites[i].query, out, cap) > cap);
            assert_int_equal(out[cap], '#');
        }
        regex_destroy(regex);
    }
}

static const struct {
    const char *about;
    struct redirect redirect;
    enum path_kind kind;
    const char *route_path;
    const char *authority, *scheme, *path, *query;
    uint16_t listener_port;
    const char *expected;
} redirects[] = {
    {"https drops :80",
     {.scheme = {"https", 5}},
     PATH_ANY,
     "",
     "a.com:80",
     "http",
     "/x",
     "q=1",
     80,
     "https://a.com/x?q=1"},
    {"https keeps another port",
     {.scheme = {"https", 5}},
     PATH_ANY,
     "",
     "a.com:8080",
     "http",
     "/x",
     NULL,
     80,
     "https://a.com:8080/x"},
    {"http drops :443",
     {.scheme = {"http", 4}},
     PATH_ANY,
     "",
     "a.com:443",
     "https",
     "/",
     NULL,
     443,
     "http://a.com/"},
    {"the same scheme keeps its port",
     {.scheme = {"http", 4}, .has_path = true, .path = {"/y", 2}},
     PATH_ANY,
     "",
     "a.com:80",
     "http",
     "/x",
     NULL,
     80,
     "http://a.com:80/y"},
    {"host",
     {.host = {"b.org", 5}},
     PATH_ANY,
     "",
     "a.com:8080",
     "http",
     "/x",
     "q",
     80,
     "http://b.org/x?q"},
    {"host with a port of its own",
     {.host = {"b.org:81", 8}, .scheme = {"https", 5}},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     NULL,
     80,
     "https://b.org:81/x"},
    {"port",
     {.port = 8443},
     PATH_ANY,
     "",
     "a.com:80",
     "http",
     "/x",
     NULL,
     80,
     "http://a.com:8443/x"},
    {"default port is not written",
     {.port = 443, .scheme = {"https", 5}},
     PATH_ANY,
     "",
     "a.com:8080",
     "http",
     "/x",
     NULL,
     80,
     "https://a.com/x"},
    {"443 with http is",
     {.port = 443},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     NULL,
     80,
     "http://a.com:443/x"},
    {"port of the listener",
     {.port_from_listener = true, .host = {"b.org", 5}},
     PATH_ANY,
     "",
     "a.com:1",
     "http",
     "/x",
     NULL,
     8080,
     "http://b.org:8080/x"},
    {"port 80 of the listener",
     {.port_from_listener = true},
     PATH_ANY,
     "",
     "a.com:1",
     "http",
     "/x",
     NULL,
     80,
     "http://a.com/x"},
    {"address in brackets",
     {.scheme = {"https", 5}},
     PATH_ANY,
     "",
     "[::1]:80",
     "http",
     "/",
     NULL,
     80,
     "https://[::1]/"},
    {"address in brackets, no port",
     {.scheme = {"https", 5}},
     PATH_ANY,
     "",
     "[::1]",
     "http",
     "/",
     NULL,
     80,
     "https://[::1]/"},
    {"path keeps the query",
     {.has_path = true, .path = {"/y", 2}},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     "q=1",
     80,
     "http://a.com/y?q=1"},
    {"path with its own query",
     {.has_path = true, .path = {"/y?z", 4}},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     "q=1",
     80,
     "http://a.com/y?z"},
    {"query dropped",
     {.has_path = true, .path = {"/y", 2}, .drops_query = true},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     "q=1",
     80,
     "http://a.com/y"},
    {"path without a slash",
     {.has_path = true, .path = {"y", 1}},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x",
     NULL,
     80,
     "http://a.com/y"},
    {"prefix",
     {.has_prefix_rewrite = true, .prefix_rewrite = {"/new", 4}},
     PATH_PREFIX_STRING,
     "/old",
     "a.com",
     "http",
     "/old/x",
     "q",
     80,
     "http://a.com/new/x?q"},
    {"prefix by segments",
     {.has_prefix_rewrite = true, .prefix_rewrite = {"/", 1}},
     PATH_PREFIX_SEGMENT,
     "/old",
     "a.com",
     "http",
     "/old/x",
     NULL,
     80,
     "http://a.com/x"},
    {"trailing slash cut",
     {.scheme = {"https", 5}, .cut_trailing_slash = true},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x/",
     NULL,
     80,
     "https://a.com/x"},
    {"only one",
     {.scheme = {"https", 5}, .cut_trailing_slash = true},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x//",
     NULL,
     80,
     "https://a.com/x/"},
    {"the root's too",
     {.scheme = {"https", 5}, .cut_trailing_slash = true},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/",
     NULL,
     80,
     "https://a.com"},
    {"not in front of a query",
     {.scheme = {"https", 5}, .cut_trailing_slash = true},
     PATH_ANY,
     "",
     "a.com",
     "http",
     "/x/",
     "q=/",
     80,
     "https://a.com/x/?q=/"},
    {"no host known", {.scheme = {"https", 5}}, PATH_ANY, "", "", "http", "/x", NULL, 80, "/x"},
    {"all at once",
     {.scheme = {"https", 5},
      .host = {"b.org", 5},
      .port = 9443,
      .has_path = true,
      .path = {"/", 1}},
     PATH_ANY,
     "",
     "a.com:80",
     "http",
     "/x",
     "q",
     80,
     "https://b.org:9443/?q"},
};

static void test_redirects(void **state)
{
    for (size_t i = 0; i < sizeof(redirects) / sizeof(redirects[0]); i++) {
        struct route route = {.path_kind = (uint8_t)redirects[i].kind,
                              .path = str_of(redirects[i].route_path),
                              .redirect = &redirects[i].redirect};
        struct request_view request = fixture_request(redirects[i].path);
        request.authority = str_of(redirects[i].authority);
        request.query = str_of(redirects[i].query);
        char out[ROOM];
        struct str scheme = str_of(redirects[i].scheme);
        size_t len = redirect_location(&route, &request, redirects[i].query, scheme,
                                       redirects[i].listener_port, out, ROOM);
        if (!str_is((struct str){out, len}, redirects[i].expected))
            fail_msg("%s: %.*s", redirects[i].about, (int)len, out);
        for (size_t cap = 0; cap < len; cap++) {
            memset(out, '#', ROOM);
            assert_int_equal(redirect_location(&route, &request, redirects[i].query, scheme,
                                               redirects[i].listener_port, out, cap),
                             len);
            assert_int_equal(out[cap], '#');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_redirects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
