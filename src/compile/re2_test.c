// SPDX-License-Identifier: Apache-2.0
#include "compile/re2.h"
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

static void test_what_both_know_is_no_mistake(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "",
        "/a/.*",
        "(a|b)+?c{2,3}?d{4}e{5,}",
        "(?i)abc",
        "(?i:abc)(?-s)(?ms-iU:x)",
        "(?P<name>a)(?<other>b)(?:c)",
        "\\d+\\.\\w*\\bx\\B\\x41\\pL\\p{Greek}\\z",
        "\\012\\17\\(\\)\\?\\+\\/\\-",
        "[(?=a)]",
        "[]()*+]+",
        "[^])]",
        "[[:alpha:]\\]()]",
        "[\\1]",
        "\\Q(?=x)\\1a++\\E",
        "\\Q(?=x) without an end",
        "\\+\\++",
        "a{,3}+",
        "a{x}+",
        "((a)(b))",
        "a+?b??",
        "\\\\1",
        "(?i)",
    };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const char *mistake = re2_mistake(str_of(patterns[i]));
        if (mistake)
            fail_msg("%s: %s", patterns[i], mistake);
    }
}

static void test_what_pcre_alone_knows_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *wanted;
    } rows[] = {
        {"(?=x)", "look-around"},
        {"a(?!b)", "look-around"},
        {"(?<=x)y", "look-around"},
        {"((?<!x))y", "look-around"},
        {"(a)\\1", "back-reference"},
        {"(a)\\9", "back-reference"},
        {"(a)\\18", "back-reference"},
        {"(a)\\g{1}", "back-reference"},
        {"(?P<n>a)\\k<n>", "back-reference"},
        {"(?P<n>a)(?P=n)", "back-reference"},
        {"a++", "possessive"},
        {"a*+b", "possessive"},
        {"a?+", "possessive"},
        {"[a]{2,3}+", "possessive"},
        {"(?>a)", "atomic"},
        {"(?R)", "recursion"},
        {"(a(?1)?b)", "recursion"},
        {"(a(?-1)?b)", "recursion"},
        {"(a(?+1)(b))", "recursion"},
        {"(?P<n>a)(?P>n)", "recursion"},
        {"(?<n>a)(?&n)", "recursion"},
        {"(*SKIP)a", "verbs"},
        {"(?|a|b)", "a group"},
        {"(?#note)a", "a group"},
        {"(?x) a", "a group"},
        {"(?(1)a|b)", "a group"},
        {"(?'n'a)", "a group"},
        {"a\\Kb", "escape"},
        {"\\Z", "escape"},
        {"\\R", "escape"},
        {"[)])(", "closing"},
        {"a)(b", "closing"},
        {"\\Qx\\E(?=y)", "look-around"},
        {"[[:alpha:]](?=y)", "look-around"},
        {"[]](?=y)", "look-around"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *mistake = re2_mistake(str_of(rows[i].pattern));
        if (!mistake || !strstr(mistake, rows[i].wanted))
            fail_msg("%s: wanted \"%s\", got \"%s\"", rows[i].pattern, rows[i].wanted,
                     mistake ? mistake : "(nothing)");
    }
}

// Patterns that end too early are PCRE2's to name; here they must only not be read over their end.
static void test_no_pattern_is_read_over_its_end(void **state)
{
    (void)state;
    static const char *const patterns[] = {"\\",  "(",     "(?",   "[",   "[^",  "[\\",
                                           "[[:", "(?P",   "a{",   "a{1", "\\Q", "\\Q\\",
                                           "(?i", "(?P<n", "(?<n", "(*",  "[]",  "(?-"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        size_t len = strlen(patterns[i]);
        char *copy = test_malloc(len); // so that the sanitizer sees its end
        memcpy(copy, patterns[i], len);
        const char *mistake = re2_mistake((struct str){copy, len});
        assert_true(!mistake || *mistake);
        test_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_both_know_is_no_mistake),
        cmocka_unit_test(test_what_pcre_alone_knows_is_named),
        cmocka_unit_test(test_no_pattern_is_read_over_its_end),
    };
    return cmocka_run_group_tests_name("compile-re2", tests, NULL, NULL);
}
