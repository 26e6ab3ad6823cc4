// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static void test_allocations_are_aligned_and_do_not_overlap(void **state)
{
    enum { N = 2000 };
    static struct {
        unsigned char *data;
        size_t bytes;
    } seen[N];
    struct arena *arena = arena_create(64);
    srand(1);
    for (int i = 0; i < N; i++) {
        seen[i].bytes = (size_t)(rand() % (i % 100 == 0 ? 20000 : 100));
        seen[i].data = arena_alloc(arena, seen[i].bytes);
        assert_int_equal((uintptr_t)seen[i].data % 16, 0);
        memset(seen[i].data, i & 0xff, seen[i].bytes);
    }
    for (int i = 0; i < N; i++) {
        for (size_t j = 0; j < seen[i].bytes; j++)
            assert_int_equal(seen[i].data[j], i & 0xff);
    }
    arena_destroy(arena);
}

static void test_a_small_object_costs_its_first_block_alone(void **state)
{
    struct arena *arena = arena_create(1024);
    size_t before = arena_bytes(arena);
    assert_true(before <= 1024);
    arena_alloc(arena, 256);
    arena_alloc(arena, 256);
    assert_true(arena_bytes(arena) <= 1024);
    arena_destroy(arena);
}

static void test_a_large_allocation_does_not_waste_the_shared_block(void **state)
{
    struct arena *arena = arena_create(4096);
    size_t before = arena_bytes(arena);
    char *large = arena_alloc(arena, 1 << 19);
    large[0] = large[(1 << 19) - 1] = 'x';
    size_t after = arena_bytes(arena);
    assert_true(after - before >= 1 << 19 && after - before <= (1 << 19) + 64);
    arena_destroy(arena);
}

static void test_memory_held_stays_near_what_was_asked_for(void **state)
{
    struct arena *arena = arena_create(0);
    size_t asked = 0;
    for (int i = 0; i < 20000; i++, asked += 160)
        arena_alloc(arena, 160);
    assert_true(arena_bytes(arena) < asked + asked / 5 + 512 * 1024);
    arena_destroy(arena);
}

// Past a megabyte an arena goes on in blocks of huge pages.
static void test_a_large_arena_keeps_what_it_was_given(void **state)
{
    enum { N = 3000 };
    static const size_t sizes[] = {160, 16, 4000, 300 * 1000, 48, 3 * 1024 * 1024};
    static struct {
        unsigned char *data;
        size_t bytes;
    } seen[N];
    struct arena *arena = arena_create(0);
    size_t asked = 0;
    for (size_t i = 0; i < N; i++) {
        seen[i].bytes = sizes[i % 500 == 499 ? 3 + i / 500 % 3 : i % 3];
        seen[i].data = arena_zalloc(arena, seen[i].bytes);
        asked += seen[i].bytes;
        assert_int_equal((uintptr_t)seen[i].data % 16, 0);
        for (size_t k = 0; k < seen[i].bytes; k += 8)
            assert_int_equal(seen[i].data[k], 0);
        memset(seen[i].data, (int)(i % 251) + 1, seen[i].bytes);
    }
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(seen[i].data[0], i % 251 + 1);
        assert_int_equal(seen[i].data[seen[i].bytes - 1], i % 251 + 1);
    }
    size_t before = arena_bytes(arena);
    assert_true(before < asked + asked / 5 + 2 * 1024 * 1024);
    arena_alloc(arena, 2 * 1024 * 1024 + 16); // leaves nearly a block
    arena_trim(arena);
    assert_true(arena_bytes(arena) < before + 2 * 1024 * 1024 + 128 * 1024);
    memset(arena_alloc(arena, 3 * 1024 * 1024), 1, 3 * 1024 * 1024); // goes on all the same
    arena_destroy(arena);
}

static void test_zalloc_clears_and_copies_are_terminated(void **state)
{
    struct arena *arena = arena_create(0);
    memset(arena_alloc(arena, 100), 0xff, 100);
    const char *zeros = arena_zalloc(arena, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    struct str copy = arena_str(arena, str_upto(STR("shopper"), 4));
    assert_string_equal(copy.ptr, "shop");
    assert_int_equal(copy.len, 4);
    assert_string_equal(arena_str(arena, STR_NONE).ptr, "");
    assert_memory_equal(arena_copy(arena, "abc", 3), "abc", 3);
    int *numbers = ARENA_ARRAY(arena, int, 3);
    assert_true(numbers[0] == 0 && numbers[2] == 0);
    arena_destroy(arena);
    arena_destroy(NULL);
}

static void test_printf_holds_texts_of_any_length(void **state)
{
    struct arena *arena = arena_create(0);
    struct str text = arena_printf(arena, "%s/%d", "shop", 7);
    assert_string_equal(text.ptr, "shop/7");
    for (int width = 250; width < 260; width++) {
        text = arena_printf(arena, "%*d", width, 1);
        assert_int_equal(text.len, width);
        assert_int_equal(strlen(text.ptr), width);
        assert_int_equal(text.ptr[width - 1], '1');
    }
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(test_a_small_object_costs_its_first_block_alone),
        cmocka_unit_test(test_a_large_allocation_does_not_waste_the_shared_block),
        cmocka_unit_test(test_memory_held_stays_near_what_was_asked_for),
        cmocka_unit_test(test_a_large_arena_keeps_what_it_was_given),
        cmocka_unit_test(test_zalloc_clears_and_copies_are_terminated),
        cmocka_unit_test(test_printf_holds_texts_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
