// SPDX-License-Identifier: Apache-2.0
#include "route/regex.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

static struct regex *compile(const char *pattern, unsigned flags)
{
    char message[128];
    size_t offset;
    struct regex *regex = regex_compile(str_of(pattern), flags, message, sizeof(message), &offset);
    assert_non_null(regex);
    return regex;
}

static const struct {
    const char *pattern, *subject;
    unsigned flags;
    bool whole, found;
} cases[] = {
    {"abc", "abc", 0, true, true},
    {"abc", "xabcx", 0, false, true},
    {"a|ab", "ab", 0, true, true}, // the shorter alternative must not end it
    {"a", "A", 0, false, false},
    {"a", "A", REGEX_IGNORE_CASE, true, true},
    {"", "", 0, true, true},
    {"", "x", 0, false, true},
    {"/v[0-9]+/.*", "/v12/x", 0, true, true},
    {"/v[0-9]+/.*", "/v/x", 0, false, false},
    {"^b", "ab", 0, false, false},
    {"a.c", "a\nc", 0, false, false},
    {".*", "\xff\xfe", 0, true, true}, // bytes, not UTF-8
};

static void test_whole_and_search_agree_prepared_or_not(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int prepared = 0; prepared < 2; prepared++) {
            struct regex *regex = compile(cases[i].pattern, cases[i].flags);
            if (prepared)
                regex_prepare(regex, REGEX_FOR_WHOLE | REGEX_FOR_SEARCH);
            assert_int_equal(regex_matches_whole(regex, str_of(cases[i].subject)), cases[i].whole);
            assert_int_equal(regex_finds(regex, str_of(cases[i].subject)), cases[i].found);
            regex_destroy(regex);
        }
    }
}

static void test_search_gives_groups(void **state)
{
    struct regex *regex = compile("/x(/|$)(q)?(.*)", 0);
    struct str groups[REGEX_GROUPS_MAX];
    unsigned n = regex_search(regex, STR("a/x/yz"), 0, groups, REGEX_GROUPS_MAX);
    assert_int_equal(n, 4);
    assert_true(str_is(groups[0], "/x/yz"));
    assert_true(str_is(groups[1], "/"));
    assert_null(groups[2].ptr);
    assert_true(str_is(groups[3], "yz"));
    assert_int_equal(regex_search(regex, STR("a/x/yz"), 2, groups, REGEX_GROUPS_MAX), 0);
    assert_int_equal(regex_search(regex, STR("a/x/yz"), 99, groups, REGEX_GROUPS_MAX), 0);
    assert_int_equal(regex_search(regex, STR("/x/"), 0, groups, 2), 2);
    regex_destroy(regex);
}

static void test_more_groups_than_kept_are_no_failure(void **state)
{
    struct regex *regex = compile("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", 0);
    struct str groups[REGEX_GROUPS_MAX];
    unsigned n = regex_search(regex, STR("abcdefghijk"), 0, groups, REGEX_GROUPS_MAX);
    assert_int_equal(n, REGEX_GROUPS_MAX);
    assert_true(str_is(groups[9], "i"));
    assert_true(regex_matches_whole(regex, STR("abcdefghijk")));
    regex_destroy(regex);
}

static void test_a_pattern_that_explodes_is_no_match(void **state)
{
    char subject[200];
    memset(subject, 'a', sizeof(subject));
    subject[sizeof(subject) - 1] = '!';
    for (int prepared = 0; prepared < 2; prepared++) {
        struct regex *regex = compile("(a|a|aa)+$", 0);
        if (prepared)
            regex_prepare(regex, REGEX_FOR_WHOLE | REGEX_FOR_SEARCH);
        struct str text = {subject, sizeof(subject)};
        regex_gave_up();
        assert_false(regex_finds(regex, text));
        assert_true(regex_gave_up());
        assert_false(regex_gave_up()); // asked once
        assert_false(regex_matches_whole(regex, text));
        regex_destroy(regex);
    }
}

static void test_a_wrong_pattern_says_where(void **state)
{
    char message[128] = "";
    size_t offset = 0;
    assert_null(regex_compile(STR("/a(b"), 0, message, sizeof(message), &offset));
    assert_int_equal(offset, 4);
    assert_non_null(strstr(message, "parenthesis"));
    assert_null(regex_compile(STR("["), 0, NULL, 0, NULL));
}

static void *match_in_thread(void *arg)
{
    bool *ret = arg;
    struct regex *regex = compile("a+", 0);
    *ret = regex_matches_whole(regex, STR("aaa"));
    regex_destroy(regex);
    return NULL;
}

static void test_a_thread_frees_what_matching_took(void **state)
{
    bool matched = false; // a leak would show under AddressSanitizer
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, match_in_thread, &matched), 0);
    pthread_join(thread, NULL);
    assert_true(matched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_search_agree_prepared_or_not),
        cmocka_unit_test(test_search_gives_groups),
        cmocka_unit_test(test_more_groups_than_kept_are_no_failure),
        cmocka_unit_test(test_a_pattern_that_explodes_is_no_match),
        cmocka_unit_test(test_a_wrong_pattern_says_where),
        cmocka_unit_test(test_a_thread_frees_what_matching_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
