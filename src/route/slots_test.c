// SPDX-License-Identifier: Apache-2.0
#include "route/slots.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void test_a_key_keeps_its_slot_while_anyone_holds_it(void **state)
{
    struct slot_space space;
    slot_space_init(&space);
    bool is_new;
    uint32_t a = slot_space_acquire(&space, STR("a"), &is_new);
    assert_true(is_new);
    uint32_t b = slot_space_acquire(&space, STR("b"), &is_new);
    assert_true(is_new);
    assert_int_not_equal(a, b);
    assert_int_equal(slot_space_acquire(&space, STR("a"), &is_new), a);
    assert_false(is_new);
    assert_false(slot_space_release(&space, a));
    assert_int_equal(slot_space_acquire(&space, STR("a"), &is_new), a);
    assert_false(is_new);
    slot_space_fini(&space);
}

static void test_a_reused_slot_has_another_identity(void **state)
{
    struct slot_space space;
    slot_space_init(&space);
    bool is_new;
    uint32_t a = slot_space_acquire(&space, STR("a"), &is_new);
    uint64_t identity = slot_space_identity(&space, a);
    assert_int_not_equal(identity, 0);
    assert_true(slot_space_release(&space, a));
    uint32_t b = slot_space_acquire(&space, STR("b"), &is_new);
    assert_int_equal(b, a);
    assert_int_not_equal(slot_space_identity(&space, b), identity);
    assert_true(slot_space_release(&space, b));
    // The same key again, too: what was kept for the first is gone.
    a = slot_space_acquire(&space, STR("a"), &is_new);
    assert_true(is_new);
    assert_int_not_equal(slot_space_identity(&space, a), identity);
    slot_space_fini(&space);
}

enum { N_KEYS = 300 };

// Random holds against plain counts: no two held keys share a slot, none loses its own.
static void test_random_holds_agree_with_plain_counts(void **state)
{
    struct slot_space space;
    slot_space_init(&space);
    unsigned counts[N_KEYS] = {0};
    uint32_t slots[N_KEYS];
    uint64_t identities[N_KEYS];
    int owner[N_KEYS * 2];
    memset(owner, -1, sizeof(owner));
    srand(1);
    for (int step = 0; step < 20000; step++) {
        int k = rand() % N_KEYS;
        char text[16];
        struct str key = {text, (size_t)snprintf(text, sizeof(text), "key%d", k)};
        bool is_new;
        if (rand() % 2) {
            uint32_t slot = slot_space_acquire(&space, key, &is_new);
            assert_int_equal(is_new, counts[k] == 0);
            assert_true(slot < N_KEYS * 2);
            if (is_new) {
                assert_int_equal(owner[slot], -1);
                slots[k] = slot;
                identities[k] = slot_space_identity(&space, slot);
                owner[slot] = k;
            }
            assert_int_equal(slot, slots[k]);
            assert_int_equal(slot_space_identity(&space, slot), identities[k]);
            counts[k]++;
        } else if (counts[k] > 0) {
            bool is_free = slot_space_release(&space, slots[k]);
            assert_int_equal(is_free, --counts[k] == 0);
            if (is_free)
                owner[slots[k]] = -1;
        }
    }
    assert_true(space.n_slots <= N_KEYS);
    slot_space_fini(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_keeps_its_slot_while_anyone_holds_it),
        cmocka_unit_test(test_a_reused_slot_has_another_identity),
        cmocka_unit_test(test_random_holds_agree_with_plain_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
