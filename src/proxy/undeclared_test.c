// SPDX-License-Identifier: Apache-2.0
#include "proxy/undeclared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct undeclared_host hosts[UNDECLARED_HOSTS_MAX + 1];

static void expect(uint32_t i, const char *name, uint64_t allowed, uint64_t refused)
{
    if (!str_is(hosts[i].name, name))
        fail_msg("\"%.*s\" in the place of \"%s\"", STR_ARG(hosts[i].name), name);
    assert_int_equal(hosts[i].counts[UNDECLARED_ALLOWED], allowed);
    assert_int_equal(hosts[i].counts[UNDECLARED_REFUSED], refused);
}

static void test_workers_are_added_up_by_host(void **state)
{
    (void)state;
    struct undeclared *const all[] = {undeclared_create(), undeclared_create()};
    undeclared_count(all[0], STR("a.example"), UNDECLARED_ALLOWED);
    undeclared_count(all[0], STR("A.example"), UNDECLARED_REFUSED);
    undeclared_count(all[1], STR("b.example"), UNDECLARED_REFUSED);
    undeclared_count(all[1], STR("a.example"), UNDECLARED_REFUSED);
    assert_int_equal(undeclared_sum((const struct undeclared *const *)all, 2, hosts), 2);
    expect(0, "a.example", 1, 2);
    expect(1, "b.example", 0, 1);
    undeclared_destroy(all[0]);
    undeclared_destroy(all[1]);
}

static void test_hosts_beyond_the_bound_are_other(void **state)
{
    (void)state;
    struct undeclared *const all[] = {undeclared_create(), undeclared_create()};
    for (unsigned i = 0; i < UNDECLARED_HOSTS_MAX + 5; i++) {
        char name[32];
        for (unsigned w = 0; w < 2; w++) { // other names in each
            snprintf(name, sizeof name, "h%u-%u.example", w, i);
            undeclared_count(all[w], str_of(name), UNDECLARED_ALLOWED);
        }
    }
    uint32_t n = undeclared_sum((const struct undeclared *const *)all, 2, hosts);
    assert_int_equal(n, UNDECLARED_HOSTS_MAX + 1);
    expect(0, "h0-0.example", 1, 0);
    expect(n - 1, "other", UNDECLARED_HOSTS_MAX + 10, 0);
    undeclared_destroy(all[0]);
    undeclared_destroy(all[1]);
}

static void test_names_are_cleaned_and_cut(void **state)
{
    (void)state;
    struct undeclared *one = undeclared_create();
    char name[UNDECLARED_NAME_MAX + 10], cut[UNDECLARED_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    memset(cut, 'x', sizeof cut);
    cut[UNDECLARED_NAME_MAX] = '\0';
    undeclared_count(one, STR("a\"b\\c d\n\x80\x7f"), UNDECLARED_ALLOWED);
    undeclared_count(one, (struct str){name, sizeof name}, UNDECLARED_ALLOWED);
    assert_int_equal(undeclared_sum((const struct undeclared *const *)&one, 1, hosts), 2);
    expect(0, "a?b?c?d???", 1, 0);
    expect(1, cut, 1, 0);
    undeclared_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_are_added_up_by_host),
        cmocka_unit_test(test_hosts_beyond_the_bound_are_other),
        cmocka_unit_test(test_names_are_cleaned_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
