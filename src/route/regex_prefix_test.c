// SPDX-License-Identifier: Apache-2.0
#include "route/regex_prefix.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *pattern, *prefix;
} cases[] = {
    {"/foo", ""}, // found anywhere
    {"^/foo", "/foo"},
    {"\\A/foo", "/foo"},
    {"^/foo$", "/foo"},
    {"^/foo/.*", "/foo/"},
    {"^/foo(/|$)(.*)", "/foo"},
    {"\\A(?:/foo/.*)\\z", "/foo/"},
    {"\\A(?:/foo|/bar)\\z", ""},
    {"^(?:/foo)$", "/foo"},
    {"^(?:/a)|(?:/b)$", ""},
    {"^/foo|/bar", ""},
    {"^/(foo|bar)", "/"},
    {"^/fo?", "/f"},
    {"^/fo*/x", "/f"},
    {"^/fo{0}x", "/f"},
    {"^/a\\.b/c", "/a.b/c"},
    {"^/a\\d", "/a"},
    {"^/a.b", "/a"},
    {"^/a[b|c]d", "/a"},
    {"^/a[]|]|/b", ""},
    {"^/a\\|b", "/a|b"},
    {"^(?i)/a", ""},
    {"^/a(?#()|/b", ""},
    {"^/a\\E*", ""},
    {"^/a(?x) #(\n|/b", ""},
    {"^/a\\Q(\\E|b", ""},
    {"(*ANYCRLF)^/a", ""},
    {"^", ""},
    {"^/a[[:alpha:]]", ""},
};

static void test_only_what_every_match_begins_with(void **state)
{
    struct arena *arena = arena_create(0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct regex *regex = regex_compile(str_of(cases[i].pattern), 0, NULL, 0, NULL);
        if (!regex)
            fail_msg("%s does not compile", cases[i].pattern);
        struct str prefix = regex_literal_prefix(regex, arena);
        if (!str_is(prefix, cases[i].prefix))
            fail_msg("%s: %.*s", cases[i].pattern, STR_ARG(prefix));
        regex_destroy(regex);
    }
    arena_destroy(arena);
}

// Patterns and subjects from a small alphabet: where one is found, the subject has the prefix.
static void test_random_patterns_keep_the_promise(void **state)
{
    static const char *const pieces[] = {
        "a", "b",  "/",   "|",    "(", ")",   "[",   "]",   "*",   "?",  "+",   "{0}",  "^", "$",
        ".", "\\", "(?:", "(?i)", "#", "\\z", "\\Q", "\\E", "(?#", "[^", "(?=", "(?x)", "-"};
    struct arena *arena = arena_create(0);
    unsigned n_found = 0, n_prefixes = 0;
    srand(7);
    for (int round = 0; round < 60000; round++) {
        char pattern[64];
        size_t len = (size_t)sprintf(pattern, rand() % 3 ? "^" : "\\A(?:");
        for (int i = rand() % 8; i >= 0; i--)
            len += (size_t)sprintf(pattern + len, "%s",
                                   pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
        if (rand() % 4 == 0)
            len += (size_t)sprintf(pattern + len, ")\\z");
        struct regex *regex = regex_compile((struct str){pattern, len}, 0, NULL, 0, NULL);
        if (!regex)
            continue;
        struct str prefix = regex_literal_prefix(regex, arena);
        n_prefixes += prefix.len > 0;
        for (int k = 0; k < 12; k++) {
            char subject[8];
            struct str text = {subject, (size_t)rand() % sizeof(subject)};
            for (size_t i = 0; i < text.len; i++)
                subject[i] = "ab/A#-|("[rand() % 8];
            if (!regex_finds(regex, text))
                continue;
            n_found++;
            if (!str_has_prefix(text, prefix))
                fail_msg("%s is found in %.*s", pattern, STR_ARG(text));
        }
        regex_destroy(regex);
    }
    assert_true(n_found > 1000 && n_prefixes > 1000);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_every_match_begins_with),
        cmocka_unit_test(test_random_patterns_keep_the_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
