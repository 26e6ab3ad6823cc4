// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct place shop = {{"shop.yaml", 9}, 14, 19};

static void assert_rendered(const struct diag *diag, const char *text, const char *json)
{
    struct buf out = {0};
    diag_render(diag, &out);
    assert_string_equal(out.data, text);
    buf_fini(&out);
    diag_render_json(diag, &out);
    assert_string_equal(out.data, json);
    buf_fini(&out);
}

static void test_a_diagnostic_renders_all_its_parts(void **state)
{
    struct diags *diags = diags_create();
    struct diag *diag = diags_add(diags, DIAG_FIELD_VALUE, shop, STR("Ingress shop/web"),
                                  STR("spec.rules[0]"), "\"%s\" is not allowed", "Prefixx");
    diag_hint(diags, diag, "did you mean %s?", "Prefix");
    assert_rendered(diag,
                    "shop.yaml:14:19: error[field-value] Ingress shop/web spec.rules[0]: "
                    "\"Prefixx\" is not allowed; did you mean Prefix?",
                    "{\"level\":\"error\",\"code\":\"field-value\",\"file\":\"shop.yaml\","
                    "\"line\":14,\"column\":19,\"object\":\"Ingress shop/web\","
                    "\"path\":\"spec.rules[0]\",\"message\":\"\\\"Prefixx\\\" is not allowed\","
                    "\"hint\":\"did you mean Prefix?\"}");
    diags_destroy(diags);
    diags_destroy(NULL);
}

static void test_parts_that_are_not_known_leave_no_trace(void **state)
{
    struct diags *diags = diags_create();
    const struct place file = {STR("a.yaml"), 0, 0};
    assert_rendered(diags_add(diags, DIAG_FILE_UNREADABLE, file, STR_NONE, STR_NONE, "gone"),
                    "a.yaml: error[file-unreadable] gone",
                    "{\"level\":\"error\",\"code\":\"file-unreadable\",\"file\":\"a.yaml\","
                    "\"message\":\"gone\"}");
    const struct place nowhere = {STR_NONE, 0, 0};
    assert_rendered(diags_add(diags, DIAG_KIND_NOT_SERVED, nowhere, STR("Job x/y"), STR_NONE, "-"),
                    "note[kind-not-served] Job x/y: -",
                    "{\"level\":\"note\",\"code\":\"kind-not-served\",\"object\":\"Job x/y\","
                    "\"message\":\"-\"}");
    diags_destroy(diags);
}

static void test_a_value_with_newlines_stays_on_one_line(void **state)
{
    struct diags *diags = diags_create();
    const struct place nowhere = {STR_NONE, 0, 0};
    assert_rendered(diags_add(diags, DIAG_FIELD_TYPE, nowhere, STR_NONE, STR("a"), "\"x\ny\x1b\""),
                    "error[field-type] a: \"x\\ny\\x1b\"",
                    "{\"level\":\"error\",\"code\":\"field-type\",\"path\":\"a\","
                    "\"message\":\"\\\"x\\ny\\u001b\\\"\"}");
    diags_destroy(diags);
}

static void test_strings_are_copied(void **state)
{
    struct diags *diags = diags_create(), *all = diags_create();
    char file[] = "f.yaml", object[] = "Pod a/b";
    const struct place place = {str_of(file), 1, 2};
    diags_add(diags, DIAG_FIELD_TYPE, place, str_of(object), STR_NONE, "m");
    file[0] = object[0] = '!';
    diags_add_all(all, diags);
    diags_destroy(diags);
    assert_int_equal(diags_count(all), 1);
    assert_true(str_is(diags_get(all, 0)->place.file, "f.yaml"));
    assert_true(str_is(diags_get(all, 0)->object, "Pod a/b"));
    diags_destroy(all);
}

static void test_sorting_is_by_place_and_drops_repeats(void **state)
{
    struct diags *diags = diags_create();
    static const struct {
        const char *file;
        uint32_t line, col;
        const char *message;
    } rows[] = {{"b", 1, 1, "x"}, {"a", 10, 1, "x"}, {"a", 2, 7, "x"}, {"a", 2, 3, "y"},
                {"a", 2, 3, "x"}, {"b", 1, 1, "x"},  {"a", 2, 3, "x"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct place place = {str_of(rows[i].file), rows[i].line, rows[i].col};
        diags_add(diags, DIAG_FIELD_TYPE, place, STR_NONE, STR_NONE, "%s", rows[i].message);
    }
    diags_sort(diags);
    static const size_t expected[] = {4, 3, 2, 1, 0};
    assert_int_equal(diags_count(diags), 5);
    for (size_t i = 0; i < 5; i++) {
        const struct diag *diag = diags_get(diags, i);
        assert_true(str_is(diag->place.file, rows[expected[i]].file));
        assert_int_equal(diag->place.line, rows[expected[i]].line);
        assert_int_equal(diag->place.col, rows[expected[i]].col);
        assert_true(str_is(diag->message, rows[expected[i]].message));
    }
    diags_destroy(diags);
}

static void test_diagnostics_that_differ_in_their_object_are_both_kept(void **state)
{
    struct diags *diags = diags_create();
    diags_add(diags, DIAG_FIELD_TYPE, shop, STR("A x/y"), STR_NONE, "m");
    diags_add(diags, DIAG_FIELD_TYPE, shop, STR("B x/y"), STR_NONE, "m");
    diags_sort(diags);
    assert_int_equal(diags_count(diags), 2);
    diags_destroy(diags);
}

static void test_levels_are_counted(void **state)
{
    struct diags *diags = diags_create();
    diags_sort(diags); // of none
    diags_add(diags, DIAG_FIELD_TYPE, shop, STR_NONE, STR_NONE, "m");
    diags_add(diags, DIAG_UNKNOWN_FIELD, shop, STR_NONE, STR_NONE, "m");
    diags_add(diags, DIAG_UNKNOWN_FIELD, shop, STR_NONE, STR_NONE, "n");
    assert_int_equal(diags_count_level(diags, DIAG_ERROR), 1);
    assert_int_equal(diags_count_level(diags, DIAG_WARNING), 2);
    assert_int_equal(diags_count_level(diags, DIAG_NOTE), 0);
    diags_destroy(diags);
}

static void test_each_code_has_a_word_of_its_own_and_a_sentence(void **state)
{
    for (int i = 0; i < DIAG_CODE_COUNT; i++) {
        struct str sentence = str_of(diag_sentence((enum diag_code)i));
        assert_true(sentence.len > 20 && str_has_suffix(sentence, STR(".")));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(diag_word((enum diag_code)i), diag_word((enum diag_code)j));
    }
}

static void test_the_nearest_candidate_is_suggested(void **state)
{
    static const struct str fields[] = {{"host", 4}, {"hosts", 5},   {"pathType", 8},
                                        {"path", 4}, {"backend", 7}, {"to", 2}};
    assert_true(str_is(diag_nearest(STR("hots"), fields, 6), "host"));
    assert_true(str_is(diag_nearest(STR("PATHTYPE"), fields, 6), "pathType"));
    assert_true(str_is(diag_nearest(STR("pathtypes"), fields, 6), "pathType"));
    assert_true(str_is(diag_nearest(STR("backends"), fields, 6), "backend"));
    assert_int_equal(diag_nearest(STR("timeout"), fields, 6).len, 0);
    assert_int_equal(diag_nearest(STR("x"), fields, 6).len, 0);
    assert_int_equal(diag_nearest(STR("hots"), fields, 0).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_diagnostic_renders_all_its_parts),
        cmocka_unit_test(test_parts_that_are_not_known_leave_no_trace),
        cmocka_unit_test(test_a_value_with_newlines_stays_on_one_line),
        cmocka_unit_test(test_strings_are_copied),
        cmocka_unit_test(test_sorting_is_by_place_and_drops_repeats),
        cmocka_unit_test(test_diagnostics_that_differ_in_their_object_are_both_kept),
        cmocka_unit_test(test_levels_are_counted),
        cmocka_unit_test(test_each_code_has_a_word_of_its_own_and_a_sentence),
        cmocka_unit_test(test_the_nearest_candidate_is_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
