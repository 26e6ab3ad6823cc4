// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"
#include "base/utf8.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_order_is_by_byte_and_a_prefix_comes_first(void **state)
{
    assert_true(str_compare(STR("a"), STR("b")) < 0);
    assert_true(str_compare(STR("a"), STR("ab")) < 0);
    assert_true(str_compare(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_compare(STR("ab"), STR("ab")), 0);
    assert_true(str_compare(STR_NONE, STR("a")) < 0);
    assert_int_equal(str_compare(STR_NONE, STR("")), 0);
}

static void test_case_is_ignored_in_ascii_only(void **state)
{
    assert_true(str_equal_nocase(STR("Host"), STR("hOST")));
    assert_false(str_equal_nocase(STR("Host"), STR("Hosts")));
    assert_false(str_equal_nocase(STR("@"), STR("`"))); // differ in the same bit as A and a
    assert_false(str_equal_nocase(STR("\xc4"), STR("\xe4")));
}

static void test_trim_takes_blanks_off_both_ends(void **state)
{
    assert_true(str_is(str_trim(STR(" \t a b\r\n")), "a b"));
    assert_int_equal(str_trim(STR(" \n ")).len, 0);
    assert_int_equal(str_trim(STR_NONE).len, 0);
}

static void test_slices_are_clamped(void **state)
{
    assert_true(str_is(str_from(STR("abc"), 2), "c"));
    assert_int_equal(str_from(STR("abc"), 9).len, 0);
    assert_true(str_is(str_upto(STR("abc"), 2), "ab"));
    assert_true(str_is(str_upto(STR("abc"), 9), "abc"));
    assert_true(str_has_prefix(STR("abc"), STR("")) && str_has_suffix(STR("abc"), STR("bc")));
    assert_false(str_has_prefix(STR("a"), STR("ab")) || str_has_suffix(STR("a"), STR("ba")));
}

static void assert_parts(struct str text, const char *const *expected)
{
    struct str part;
    for (; *expected; expected++) {
        assert_true(str_next(&text, ',', &part));
        assert_true(str_is(part, *expected));
    }
    assert_false(str_next(&text, ',', &part));
}

static void test_parts_are_cut_at_each_separator(void **state)
{
    assert_parts(STR("a,bc"), (const char *[]){"a", "bc", NULL});
    assert_parts(STR(",a,,"), (const char *[]){"", "a", "", "", NULL});
    assert_parts(STR(""), (const char *[]){"", NULL});
    assert_parts(STR_NONE, (const char *[]){NULL});
}

static void test_index_finds_the_first(void **state)
{
    assert_int_equal(str_index(STR("abcb"), 'b'), 1);
    assert_int_equal(str_index(STR("abcb"), 'x'), -1);
    assert_int_equal(str_index(STR_NONE, 'x'), -1);
}

static void test_numbers_are_digits_within_the_bound(void **state)
{
    uint64_t value = 7;
    assert_true(str_to_u64(STR("0"), 10, &value) && value == 0);
    assert_true(str_to_u64(STR("00065535"), 65535, &value) && value == 65535);
    assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    value = 7;
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "256", "1e2"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(str_to_u64(str_of(wrong[i]), 255, &value));
    assert_false(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &value));
    assert_false(str_to_u64(STR("99999999999999999999"), UINT64_MAX, &value));
    assert_int_equal(value, 7); // untouched by failures
}

static void test_distance_counts_the_slips_of_a_typist(void **state)
{
    assert_int_equal(str_distance(STR("pathType"), STR("pathType"), 5), 0);
    assert_int_equal(str_distance(STR("Prefixx"), STR("Prefix"), 5), 1);
    assert_int_equal(str_distance(STR("hots"), STR("host"), 5), 1); // swapped neighbours
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 5), 3);
    assert_int_equal(str_distance(STR(""), STR("abc"), 5), 3);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 2), 2); // gives up
    assert_int_equal(str_distance(STR("a"), STR("abcdefgh"), 3), 3);
    char text[300] = {0};
    assert_int_equal(str_distance((struct str){text, 300}, (struct str){text, 300}, 4), 4);
}

static void test_utf8_length_accepts_what_rfc_3629_does(void **state)
{
    assert_int_equal(utf8_len(STR("a")), 1);
    assert_int_equal(utf8_len(STR("\xc2\x80")), 2);
    assert_int_equal(utf8_len(STR("\xe2\x82\xac!")), 3);
    assert_int_equal(utf8_len(STR("\xf4\x8f\xbf\xbf")), 4);
    static const char *const wrong[] = {"",
                                        "\x80",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xc3",
                                        "\xe2\x82",
                                        "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(utf8_len(str_of(wrong[i])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_by_byte_and_a_prefix_comes_first),
        cmocka_unit_test(test_case_is_ignored_in_ascii_only),
        cmocka_unit_test(test_trim_takes_blanks_off_both_ends),
        cmocka_unit_test(test_slices_are_clamped),
        cmocka_unit_test(test_parts_are_cut_at_each_separator),
        cmocka_unit_test(test_index_finds_the_first),
        cmocka_unit_test(test_numbers_are_digits_within_the_bound),
        cmocka_unit_test(test_distance_counts_the_slips_of_a_typist),
        cmocka_unit_test(test_utf8_length_accepts_what_rfc_3629_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
