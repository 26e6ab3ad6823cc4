// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "source/claim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct object *make_object(const char *name, int64_t created_s)
{
    struct arena *arena = arena_create(0);
    struct object *object = ARENA_NEW(arena, struct object);
    object->kind = KIND_SERVICE;
    object->ns = STR("shop");
    object->name = arena_str(arena, str_of(name));
    object->title = arena_printf(arena, "Service shop/%s", name);
    object->created_s = created_s;
    object->arena = arena;
    return object;
}

static void add(struct store *store, struct claim *claim, const char *name, const char *file,
                uint32_t line, int64_t created_s)
{
    *claim = (struct claim){
        .object = make_object(name, created_s), .file = str_of(file), .line = line, .col = 1};
    store_add(store, claim, KIND_SERVICE, STR("shop"), str_of(name));
}

static void assert_order(const struct store *store, const char *names)
{
    size_t n;
    const struct object *const *all = store_all(store, KIND_SERVICE, &n);
    struct buf out = {0};
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%.*s", i ? " " : "", STR_ARG(all[i]->name));
    assert_string_equal(out.data ? out.data : "", names);
    buf_fini(&out);
}

static void test_objects_are_found_by_kind_namespace_and_name(void **state)
{
    struct store *store = store_create();
    struct claim claim;
    add(store, &claim, "a", "f", 1, 0);
    assert_ptr_equal(store_find(store, KIND_SERVICE, STR("shop"), STR("a")), claim.object);
    assert_null(store_find(store, KIND_SERVICE, STR("shop"), STR("b")));
    assert_null(store_find(store, KIND_SERVICE, STR("sho"), STR("p/a")));
    assert_null(store_find(store, KIND_POD, STR("shop"), STR("a")));
    store_withdraw(store, &claim);
    assert_null(store_find(store, KIND_SERVICE, STR("shop"), STR("a")));
    store_destroy(store);
}

static void test_all_are_sorted_by_age_then_by_first_appearance(void **state)
{
    struct store *store = store_create();
    struct claim claims[5];
    add(store, &claims[0], "young", "f", 1, 200);
    add(store, &claims[1], "old", "f", 2, 100);
    add(store, &claims[2], "first", "f", 3, 0);
    assert_order(store, "first old young");
    add(store, &claims[3], "second", "f", 4, 0);
    add(store, &claims[4], "middle", "f", 5, 150);
    assert_order(store, "first second old middle young");
    store_withdraw(store, &claims[1]);
    assert_order(store, "first second middle young");
    for (size_t i = 0; i < 5; i++) {
        if (claims[i].identity)
            store_withdraw(store, &claims[i]);
    }
    assert_order(store, "");
    store_destroy(store);
}

static void test_a_new_version_keeps_the_age_of_its_identity(void **state)
{
    struct store *store = store_create();
    struct claim old, other, new;
    add(store, &old, "a", "f", 1, 0);
    add(store, &other, "b", "f", 2, 0);
    uint64_t sequence = old.object->sequence, revision = store_revision(store);
    add(store, &new, "a", "f", 1, 0);
    store_withdraw(store, &old);
    assert_ptr_equal(store_find(store, KIND_SERVICE, STR("shop"), STR("a")), new.object);
    assert_int_equal(new.object->sequence, sequence);
    assert_true(store_revision(store) > revision);
    assert_order(store, "a b");
    store_withdraw(store, &new);
    store_withdraw(store, &other);
    store_destroy(store);
}

static void test_of_two_the_first_file_counts_and_the_other_takes_over(void **state)
{
    struct store *store = store_create();
    struct claim late, early;
    add(store, &late, "a", "z.yaml", 1, 0);
    add(store, &early, "a", "b.yaml", 9, 0);
    assert_ptr_equal(store_find(store, KIND_SERVICE, STR("shop"), STR("a")), early.object);
    assert_order(store, "a");
    struct diags *diags = diags_create();
    store_diags(store, diags);
    assert_int_equal(diags_count(diags), 1);
    const struct diag *diag = diags_get(diags, 0);
    assert_int_equal(diag->code, DIAG_DUPLICATE_OBJECT);
    assert_true(str_is(diag->place.file, "z.yaml"));
    assert_true(str_is(diag->message, "is also at b.yaml:9, which comes first and counts"));
    diags_destroy(diags);
    store_withdraw(store, &early);
    assert_ptr_equal(store_find(store, KIND_SERVICE, STR("shop"), STR("a")), late.object);
    diags = diags_create();
    store_diags(store, diags);
    assert_int_equal(diags_count(diags), 0);
    diags_destroy(diags);
    store_withdraw(store, &late);
    store_destroy(store);
}

static void test_a_broken_claim_is_counted_and_stands_in_nobodys_way(void **state)
{
    struct store *store = store_create();
    struct claim broken = {.file = STR("a.yaml"), .line = 1}, good;
    store_add(store, &broken, KIND_SERVICE, STR("shop"), STR("a"));
    assert_int_equal(store_counts(store).broken, 1);
    assert_int_equal(store_counts(store).objects, 0);
    assert_order(store, "");
    add(store, &good, "a", "b.yaml", 1, 0);
    assert_int_equal(store_counts(store).broken, 0);
    good.object->is_last_good = true;
    assert_int_equal(store_counts(store).last_good, 1);
    assert_order(store, "a");
    store_withdraw(store, &good);
    store_withdraw(store, &broken);
    store_destroy(store);
}

// A sorted copy made anew is the naive twin of the one that takes each change.
static void test_many_changes_leave_the_same_order_as_sorting_anew(void **state)
{
    enum { N = 300, STEPS = 4000 };
    struct store *store = store_create();
    static struct claim claims[N];
    uint32_t random = 12345;
    memset(claims, 0, sizeof(claims));
    for (int step = 0; step < STEPS; step++) {
        random = random * 1103515245 + 12345;
        uint32_t at = (random >> 8) % N;
        char name[16];
        snprintf(name, sizeof(name), "n%u", at);
        if (claims[at].identity)
            store_withdraw(store, &claims[at]);
        else
            add(store, &claims[at], name, "f", at, random >> 28);
        if (step % 7 != 0)
            continue;
        size_t n, live = 0;
        const struct object *const *all = store_all(store, KIND_SERVICE, &n);
        for (size_t i = 0; i < N; i++)
            live += claims[i].identity != NULL;
        assert_int_equal(n, live);
        for (size_t i = 1; i < n; i++)
            assert_true(all[i - 1]->created_s < all[i]->created_s ||
                        (all[i - 1]->created_s == all[i]->created_s &&
                         all[i - 1]->sequence < all[i]->sequence));
    }
    for (size_t i = 0; i < N; i++) {
        if (claims[i].identity)
            store_withdraw(store, &claims[i]);
    }
    store_destroy(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_found_by_kind_namespace_and_name),
        cmocka_unit_test(test_all_are_sorted_by_age_then_by_first_appearance),
        cmocka_unit_test(test_a_new_version_keeps_the_age_of_its_identity),
        cmocka_unit_test(test_of_two_the_first_file_counts_and_the_other_takes_over),
        cmocka_unit_test(test_a_broken_claim_is_counted_and_stands_in_nobodys_way),
        cmocka_unit_test(test_many_changes_leave_the_same_order_as_sorting_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
