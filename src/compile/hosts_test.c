// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "compile/hosts.h"

#define DOMAIN STR("cluster.local")

static void expect_str(struct str got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.ptr, wanted, got.len);
}

static void test_a_short_name_is_expanded_with_the_namespace_of_the_object(void **state)
{
    (void)state;
    static const struct {
        const char *host, *expanded;
    } table[] = {
        {"reviews", "reviews.shop.svc.cluster.local"},
        {"Reviews", "reviews.shop.svc.cluster.local"},
        {"httpbin.default", "httpbin.default"}, // a dot: taken as it is
        {"Example.COM", "example.com"},
        {"*", "*"},
        {"*.example.com", "*.example.com"},
        {"10.0.0.1", "10.0.0.1"},
        {"fd00::1", "fd00::1"},
        {"", ""},
    };
    struct arena *arena = arena_create(0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_str(host_expand(arena, str_of(table[i].host), STR("shop"), DOMAIN),
                   table[i].expanded);
    arena_destroy(arena);
}

static void test_subset_and_intersection_follow_the_names_they_stand_for(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *narrower; // narrower NULL: no name in common
        bool a_in_b;
    } table[] = {
        {"httpbin.example.com", "*", "httpbin.example.com", true},
        {"httpbin.example.com", "*.example.com", "httpbin.example.com", true},
        {"httpbin.example.com", "httpbin.example.com", "httpbin.example.com", true},
        {"*", "httpbin.example.com", "httpbin.example.com", false},
        {"*.example.com", "httpbin.example.com", "httpbin.example.com", false},
        {"*.example.com", "*", "*.example.com", true},
        {"*.a.example.com", "*.example.com", "*.a.example.com", true},
        {"*.example.com", "*.a.example.com", "*.a.example.com", false},
        {"a.b.example.com", "*.example.com", "a.b.example.com", true}, // any depth
        {"example.com", "*.example.com", NULL, false},
        {".example.com", "*.example.com", NULL, false},
        {"badexample.com", "*.example.com", NULL, false},
        {"other.org", "*.example.com", NULL, false},
        {"*.org", "*.com", NULL, false},
        {"a.example.com", "b.example.com", NULL, false},
        {"*", "*", "*", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct str narrower = STR_NONE;
        bool meets = host_intersect(str_of(table[i].a), str_of(table[i].b), &narrower);
        assert_int_equal(meets, table[i].narrower != NULL);
        if (meets)
            expect_str(narrower, table[i].narrower);
        assert_int_equal(host_is_subset(str_of(table[i].a), str_of(table[i].b)), table[i].a_in_b);
    }
}

static void test_specificity_puts_exact_before_long_before_short_wildcards(void **state)
{
    (void)state;
    static const char *const order[] = {"a.example.com", "b.example.com", "*.a.example.com",
                                        "*.example.com", "*.com",         "*"};
    for (size_t i = 0; i + 1 < sizeof order / sizeof order[0]; i++) {
        assert_true(host_compare_specificity(str_of(order[i]), str_of(order[i + 1])) < 0);
        assert_true(host_compare_specificity(str_of(order[i + 1]), str_of(order[i])) > 0);
        assert_int_equal(host_compare_specificity(str_of(order[i]), str_of(order[i])), 0);
    }
}

static void test_only_a_service_name_of_the_domain_is_split(void **state)
{
    (void)state;
    struct str name, ns;
    assert_true(host_split_service(STR("web.shop.svc.cluster.local"), DOMAIN, &name, &ns));
    expect_str(name, "web");
    expect_str(ns, "shop");
    static const char *const others[] = {"web.shop",
                                         "web.shop.svc",
                                         "web.shop.svc.cluster.localx",
                                         "web.svc.cluster.local",
                                         ".shop.svc.cluster.local",
                                         "web..svc.cluster.local",
                                         "a.web.shop.svc.cluster.local",
                                         "svc.cluster.local",
                                         "cluster.local",
                                         "",
                                         "*"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(host_split_service(str_of(others[i]), DOMAIN, &name, &ns));
}

static void test_lower_case_copies_only_names_with_capitals(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct str plain = STR("a.example.com");
    assert_ptr_equal(host_lower(arena, plain).ptr, plain.ptr);
    expect_str(host_lower(arena, STR("A.Example.Com")), "a.example.com");
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_name_is_expanded_with_the_namespace_of_the_object),
        cmocka_unit_test(test_subset_and_intersection_follow_the_names_they_stand_for),
        cmocka_unit_test(test_specificity_puts_exact_before_long_before_short_wildcards),
        cmocka_unit_test(test_only_a_service_name_of_the_domain_is_split),
        cmocka_unit_test(test_lower_case_copies_only_names_with_capitals),
    };
    return cmocka_run_group_tests_name("compile-hosts", tests, NULL, NULL);
}
