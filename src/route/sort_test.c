// SPDX-License-Identifier: Apache-2.0
#include "route/sort.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 200 };

static void test_random_names_are_in_the_order_of_their_bytes(void **state)
{
    srand(9);
    for (int round = 0; round < 200; round++) {
        char texts[N][40];
        struct named items[N];
        for (size_t i = 0; i < N; i++) {
            size_t len = (size_t)sprintf(texts[i], round % 2 ? "outbound|80||" : "");
            for (int k = rand() % 20; k > 0; k--)
                texts[i][len++] = "ab\xff\0"[rand() % 4];
            items[i] = (struct named){.name = {texts[i], len}, .item = &texts[i]};
        }
        sort_by_name(items, N);
        for (size_t i = 1; i < N; i++) {
            int order = str_compare(items[i - 1].name, items[i].name);
            assert_true(order <= 0);
            if (order == 0) // equal names keep their order
                assert_true(items[i - 1].item < items[i].item);
        }
    }
}

static void test_none_and_one_are_sorted(void **state)
{
    struct named one = {.name = STR("a")};
    sort_by_name(&one, 0);
    sort_by_name(&one, 1);
    assert_true(str_is(one.name, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_names_are_in_the_order_of_their_bytes),
        cmocka_unit_test(test_none_and_one_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
