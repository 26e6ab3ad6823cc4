// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_text_grows_and_stays_terminated(void **state)
{
    struct buf buf = {0};
    for (int i = 0; i < 1000; i++) {
        buf_add_char(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.len, i + 1);
        assert_int_equal(strlen(buf.data), i + 1);
    }
    assert_true(str_has_prefix(buf_str(&buf), STR("abcdefg")));
    buf_fini(&buf);
    assert_int_equal(buf_str(&buf).len, 0);
    buf_add_text(&buf, "again");
    buf_add_str(&buf, STR_NONE);
    assert_string_equal(buf.data, "again");
    buf_fini(&buf);
}

static void test_printf_fits_at_every_fill(void **state)
{
    for (int filled = 0; filled < 200; filled++) {
        struct buf buf = {0};
        for (int i = 0; i < filled; i++)
            buf_add_char(&buf, '.');
        buf_printf(&buf, "%070d|", 5);
        assert_int_equal(buf.len, filled + 71);
        assert_int_equal(buf.data[buf.len - 1], '|');
        assert_int_equal(buf.data[buf.len], '\0');
        buf_fini(&buf);
    }
}

static void assert_json(struct str text, const char *expected)
{
    struct buf buf = {0};
    buf_add_json(&buf, text);
    assert_string_equal(buf.data, expected);
    buf_fini(&buf);
}

static void test_json_strings_escape_what_rfc_8259_demands(void **state)
{
    assert_json(STR_NONE, "\"\"");
    assert_json(STR("plain /"), "\"plain /\"");
    assert_json(STR("a\"b\\c\n\r\t\x01\x7f"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\"");
    assert_json(STR("a\0b"), "\"a\\u0000b\"");
    assert_json(STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
                "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
}

static void test_json_strings_show_bytes_that_are_no_utf8(void **state)
{
    assert_json(STR("a\xff\xc3"), "\"a\\u00ff\\u00c3\"");
    assert_json(STR("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\""); // a surrogate
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows_and_stays_terminated),
        cmocka_unit_test(test_printf_fits_at_every_fill),
        cmocka_unit_test(test_json_strings_escape_what_rfc_8259_demands),
        cmocka_unit_test(test_json_strings_show_bytes_that_are_no_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
