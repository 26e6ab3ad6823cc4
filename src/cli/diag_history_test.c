// SPDX-License-Identifier: Apache-2.0
#include "cli/diag_history.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct diag_history *history;
static struct buf seen; // "+rendered\n" and "-rendered\n"

static void on_new(void *arg, const struct diag *diag, struct str rendered)
{
    assert_int_equal(diag->level, diag_code_level(diag->code));
    buf_printf(arg, "+%.*s\n", STR_ARG(rendered));
}

static void on_gone(void *arg, struct str rendered)
{
    buf_printf(arg, "-%.*s\n", STR_ARG(rendered));
}

static void add(struct diags *diags, uint32_t line, const char *message)
{
    struct place place = {STR("a.yaml"), line, 3};
    diags_add(diags, DIAG_FIELD_VALUE, place, STR("Ingress a/b"), STR("spec.x"), "%s", message);
}

// Takes *diags and compares what was reported.
static void expect(struct diags **diags, const char *expected)
{
    struct diag_events events = {on_new, on_gone, &seen};
    seen.len = 0;
    diag_history_update(history, *diags, &events);
    diags_destroy(*diags); // the history must not need them any more
    *diags = NULL;
    buf_add_char(&seen, '\0');
    assert_string_equal(seen.data, expected);
}

static int setup(void **state)
{
    (void)state;
    history = diag_history_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    diag_history_destroy(history);
    buf_fini(&seen);
    return 0;
}

static void test_a_diagnostic_is_reported_when_it_comes_and_when_it_goes(void **state)
{
    (void)state;
    struct diags *diags = diags_create();
    add(diags, 7, "one");
    add(diags, 9, "two");
    expect(&diags, "+a.yaml:7:3: error[field-value] Ingress a/b spec.x: one\n"
                   "+a.yaml:9:3: error[field-value] Ingress a/b spec.x: two\n");
    diags = diags_create();
    add(diags, 9, "two");
    add(diags, 11, "three");
    expect(&diags, "-a.yaml:7:3: error[field-value] Ingress a/b spec.x: one\n"
                   "+a.yaml:11:3: error[field-value] Ingress a/b spec.x: three\n");
    diags = diags_create();
    expect(&diags, "-a.yaml:9:3: error[field-value] Ingress a/b spec.x: two\n"
                   "-a.yaml:11:3: error[field-value] Ingress a/b spec.x: three\n");
}

static void test_a_diagnostic_that_only_moved_is_the_same(void **state)
{
    (void)state;
    struct diags *diags = diags_create();
    add(diags, 7, "one");
    expect(&diags, "+a.yaml:7:3: error[field-value] Ingress a/b spec.x: one\n");
    diags = diags_create();
    add(diags, 8, "one");
    expect(&diags, "");
    diags = diags_create();
    expect(&diags, "-a.yaml:8:3: error[field-value] Ingress a/b spec.x: one\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_diagnostic_is_reported_when_it_comes_and_when_it_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_diagnostic_that_only_moved_is_the_same, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
