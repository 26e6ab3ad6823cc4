// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static int one = 1, two = 2, three = 3;

static void test_put_replaces_and_returns_what_was_there(void **state)
{
    struct map *map = map_create();
    assert_null(map_find(map, STR("a")));
    assert_null(map_remove(map, STR("a")));
    assert_null(map_put(map, STR("a"), &one));
    assert_null(map_put(map, STR(""), &two));
    assert_ptr_equal(map_put(map, STR("a"), &three), &one);
    assert_ptr_equal(map_find(map, STR("a")), &three);
    assert_ptr_equal(map_find(map, STR_NONE), &two);
    assert_int_equal(map_count(map), 2);
    assert_ptr_equal(map_remove(map, STR("a")), &three);
    assert_null(map_find(map, STR("a")));
    assert_int_equal(map_count(map), 1);
    map_destroy(map);
    map_destroy(NULL);
}

static void test_a_replaced_entry_takes_the_new_key(void **state)
{
    struct map *map = map_create();
    char first[] = "key", second[] = "key";
    map_put(map, str_of(first), &one);
    map_put(map, str_of(second), &two);
    first[0] = 'x'; // its owner may go
    assert_ptr_equal(map_find(map, STR("key")), &two);
    map_destroy(map);
}

static void test_iteration_is_in_order_of_insertion_across_removals(void **state)
{
    struct map *map = map_create();
    map_put(map, STR("c"), &one);
    map_put(map, STR("a"), &two);
    map_put(map, STR("b"), &three);
    map_put(map, STR("c"), &one); // replacing keeps the place
    map_remove(map, STR("a"));
    map_put(map, STR("a"), &two);
    char order[8] = "";
    struct str key;
    void *value;
    for (size_t i = 0; map_next(map, &i, &key, &value);)
        strncat(order, key.ptr, key.len);
    assert_string_equal(order, "cba");
    map_destroy(map);
}

static void test_entries_may_be_removed_while_iterating(void **state)
{
    struct map *map = map_create();
    static char names[100][12];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof(names[i]), "%d", i);
        map_put(map, str_of(names[i]), &one);
    }
    struct str key;
    void *value;
    int seen = 0;
    for (size_t i = 0; map_next(map, &i, &key, &value); seen++)
        map_remove(map, key);
    assert_int_equal(seen, 100);
    assert_int_equal(map_count(map), 0);
    map_destroy(map);
}

// The naive twin: an array with a slot for each key there is.
static void test_random_changes_agree_with_a_plain_array(void **state)
{
    enum { KEYS = 300, STEPS = 100000 };
    static char names[KEYS][13];
    static int values[STEPS];
    void *twin[KEYS] = {0};
    size_t count = 0;
    struct map *map = map_create();
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "k%d", i);
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        int i = rand() % (step / 1000 % 2 ? KEYS : KEYS / 10);
        void *old = twin[i];
        struct str key = str_of(names[i]);
        switch (rand() % 3) {
        case 0:
            assert_ptr_equal(map_put(map, key, &values[step]), old);
            twin[i] = &values[step];
            count += old == NULL;
            break;
        case 1:
            assert_ptr_equal(map_remove(map, key), old);
            twin[i] = NULL;
            count -= old != NULL;
            break;
        default:
            assert_ptr_equal(map_find(map, key), old);
            break;
        }
        assert_int_equal(map_count(map), count);
    }
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(map_find(map, str_of(names[i])), twin[i]);
    map_destroy(map);
}

static void test_a_seed_changes_the_hash(void **state)
{
    assert_true(hash_bytes("abc", 3) == hash_bytes("abc", 3));
    assert_true(hash_seeded("abc", 3, 1) != hash_seeded("abc", 3, 2));
    assert_true(hash_bytes("abc", 3) != hash_bytes("abd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_replaces_and_returns_what_was_there),
        cmocka_unit_test(test_a_replaced_entry_takes_the_new_key),
        cmocka_unit_test(test_iteration_is_in_order_of_insertion_across_removals),
        cmocka_unit_test(test_entries_may_be_removed_while_iterating),
        cmocka_unit_test(test_random_changes_agree_with_a_plain_array),
        cmocka_unit_test(test_a_seed_changes_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
