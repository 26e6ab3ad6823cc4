// SPDX-License-Identifier: Apache-2.0
#include "route/fixture.h"
#include "route/match/match_types.h"
#include "route/path_index.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static struct string_matcher present(void)
{
    return (struct string_matcher){.kind = STRING_IS_PRESENT};
}

static struct string_matcher exact(const char *text)
{
    return (struct string_matcher){.kind = STRING_IS_EXACT, .text = str_of(text)};
}

static struct string_matcher prefix(const char *text)
{
    return (struct string_matcher){.kind = STRING_IS_PREFIX, .text = str_of(text)};
}

static void test_string_matchers(void **state)
{
    struct string_matcher matcher = present();
    assert_true(string_matcher_eval(&matcher, STR("")));
    matcher = exact("GET");
    assert_true(string_matcher_eval(&matcher, STR("GET")));
    assert_false(string_matcher_eval(&matcher, STR("get")));
    assert_false(string_matcher_eval(&matcher, STR("GETS")));
    matcher.ignore_case = true;
    assert_true(string_matcher_eval(&matcher, STR("get")));
    matcher = prefix("ab");
    assert_true(string_matcher_eval(&matcher, STR("ab")));
    assert_true(string_matcher_eval(&matcher, STR("abc")));
    assert_false(string_matcher_eval(&matcher, STR("a")));
    assert_false(string_matcher_eval(&matcher, STR("ABC")));
    matcher.ignore_case = true;
    assert_true(string_matcher_eval(&matcher, STR("ABC")));
    struct regex *regex = regex_compile(STR("a|ab"), 0, NULL, 0, NULL);
    matcher = (struct string_matcher){.kind = STRING_IS_REGEX, .regex = regex};
    assert_true(string_matcher_eval(&matcher, STR("ab")));
    assert_false(string_matcher_eval(&matcher, STR("abc")));
    assert_false(string_matcher_eval(&matcher, STR_NONE));
    regex_destroy(regex);
}

struct fields { // a request's headers
    struct header items[8];
    struct header_list list;
};

static void set_fields(struct fields *fields, const char *const *names_and_values)
{
    *fields = (struct fields){.list = {.items = fields->items, .cap = 8}};
    for (; names_and_values[0]; names_and_values += 2) {
        struct str name = str_of(names_and_values[0]);
        uint8_t id = (uint8_t)header_id_of(name);
        fields->items[fields->list.n++] =
            (struct header){.name = name, .value = str_of(names_and_values[1]), .id = id};
        if (id != HEADER_OTHER && !fields->list.first[id])
            fields->list.first[id] = (uint8_t)fields->list.n;
    }
}

static bool fits(struct match match, const struct request_view *request)
{
    return match.type->eval(&match, request);
}

// The same for a name that the parser knows by number and for one that it does not.
static void check_headers(struct arena *arena, const char *name, const char *as_sent)
{
    struct fields fields;
    struct request_view request = fixture_request("/");
    request.headers = &fields.list;
    struct str lower = str_of(name);

    set_fields(&fields, (const char *const[]){"a", "1", as_sent, "x", "b", "2", NULL});
    assert_true(fits(match_header_init(arena, lower, present()), &request));
    assert_true(fits(match_header_init(arena, lower, exact("x")), &request));
    assert_true(fits(match_header_init(arena, str_of(as_sent), exact("x")), &request));
    assert_false(fits(match_header_init(arena, lower, exact("X")), &request));
    assert_false(fits(match_without_header_init(arena, lower, present()), &request));
    assert_false(fits(match_without_header_init(arena, lower, exact("x")), &request));
    assert_true(fits(match_without_header_init(arena, lower, exact("y")), &request));

    set_fields(&fields, (const char *const[]){as_sent, "x", "a", "1", as_sent, "y", NULL});
    assert_true(fits(match_header_init(arena, lower, exact("x,y")), &request));
    assert_false(fits(match_header_init(arena, lower, exact("x")), &request));
    assert_true(fits(match_header_init(arena, lower, prefix("x,")), &request));
    assert_false(fits(match_without_header_init(arena, lower, prefix("x")), &request));

    set_fields(&fields, (const char *const[]){as_sent, "", NULL});
    assert_true(fits(match_header_init(arena, lower, present()), &request));
    assert_true(fits(match_header_init(arena, lower, exact("")), &request));

    set_fields(&fields, (const char *const[]){"a", "1", NULL});
    assert_false(fits(match_header_init(arena, lower, present()), &request));
    assert_false(fits(match_header_init(arena, lower, exact("")), &request));
    assert_true(fits(match_without_header_init(arena, lower, present()), &request));
    assert_true(fits(match_without_header_init(arena, lower, exact("x")), &request));
    // A missing header counts as an empty value.
    assert_false(fits(match_without_header_init(arena, lower, exact("")), &request));
    assert_false(fits(match_without_header_init(arena, lower, prefix("")), &request));

    request.headers = NULL;
    assert_false(fits(match_header_init(arena, lower, present()), &request));
    assert_true(fits(match_without_header_init(arena, lower, exact("x")), &request));
}

static void test_headers(void **state)
{
    struct arena *arena = arena_create(0);
    check_headers(arena, "x-team", "X-Team");
    check_headers(arena, "user-agent", "User-Agent");
    check_headers(arena, "x-envoy-foo", "X-Envoy-Foo");
    arena_destroy(arena);
}

static void test_names_of_one_family_are_apart(void **state)
{
    struct arena *arena = arena_create(0);
    struct fields fields;
    struct request_view request = fixture_request("/");
    request.headers = &fields.list;
    set_fields(&fields, (const char *const[]){"x-envoy-a", "1", "x-envoy-b", "2", NULL});
    assert_true(fits(match_header_init(arena, STR("x-envoy-b"), exact("2")), &request));
    assert_false(fits(match_header_init(arena, STR("x-envoy-c"), present()), &request));
    arena_destroy(arena);
}

static void test_long_joined_values_are_compared_whole(void **state)
{
    struct arena *arena = arena_create(0);
    struct fields fields;
    struct request_view request = fixture_request("/");
    request.headers = &fields.list;
    static char half[3001], whole[6002];
    memset(half, 'h', 3000);
    sprintf(whole, "%s,%s", half, half);
    set_fields(&fields, (const char *const[]){"x", half, "x", half, NULL});
    assert_true(fits(match_header_init(arena, STR("x"), exact(whole)), &request));
    whole[6000] = 'i';
    assert_false(fits(match_header_init(arena, STR("x"), exact(whole)), &request));
    arena_destroy(arena);
}

static void test_query_parameters(void **state)
{
    struct arena *arena = arena_create(0);
    struct request_view request = fixture_request("/");
    request.query = STR("a=1&b&a=2&c=%41");
    assert_true(fits(match_query_init(arena, STR("a"), exact("1")), &request));
    assert_false(fits(match_query_init(arena, STR("a"), exact("2")), &request));
    assert_true(fits(match_query_init(arena, STR("b"), exact("")), &request));
    assert_true(fits(match_query_init(arena, STR("b"), present()), &request));
    assert_true(fits(match_query_init(arena, STR("c"), exact("%41")), &request));
    assert_false(fits(match_query_init(arena, STR("A"), present()), &request));
    assert_false(fits(match_query_init(arena, STR("d"), present()), &request));
    arena_destroy(arena);
}

static void test_method_scheme_and_authority(void **state)
{
    struct request_view request = fixture_request("/");
    request.authority = STR("Foo.com:8080");
    assert_true(fits(match_method_init(exact("GET")), &request));
    assert_false(fits(match_method_init(exact("POST")), &request));
    assert_true(fits(match_scheme_init(exact("http")), &request));
    assert_false(fits(match_scheme_init(exact("https")), &request));
    assert_true(fits(match_authority_init(exact("Foo.com:8080")), &request));
    assert_false(fits(match_authority_init(exact("foo.com:8080")), &request));
    assert_true(fits(match_authority_init(prefix("Foo.")), &request));
}

static void test_all_conditions_of_a_route_must_fit(void **state)
{
    struct match matches[] = {match_method_init(exact("GET")), match_scheme_init(exact("http"))};
    struct route route = {.matches = matches, .n_matches = 2};
    struct request_view request = fixture_request("/");
    assert_true(route_matches_fit(&route, &request));
    request.scheme = STR("https");
    assert_false(route_matches_fit(&route, &request));
}

static void test_targets_are_drawn_by_weight(void **state)
{
    struct target targets[] = {{.weight = 80}, {.weight = 0}, {.weight = 20}};
    struct route route = {.targets = targets, .n_targets = 3, .total_weight = 100};
    unsigned counts[3] = {0};
    for (uint64_t i = 0; i < 100000; i++) // counting up is the worst that a caller could do
        counts[route_pick_target(&route, i) - targets]++;
    assert_in_range(counts[0], 79000, 81000);
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[2], 19000, 21000);
    route.n_targets = 1;
    assert_ptr_equal(route_pick_target(&route, UINT64_MAX), targets);
    route.total_weight = 0;
    assert_null(route_pick_target(&route, 1));
}

static void test_every_condition_has_a_name_and_a_sentence(void **state)
{
    unsigned n = 0;
    for (const struct match_type *const *type = match_types; *type; type++, n++) {
        assert_true(strlen((*type)->name) > 0);
        assert_int_equal((*type)->doc[strlen((*type)->doc) - 1], '.');
        assert_non_null((*type)->eval);
        assert_non_null((*type)->dump);
    }
    assert_int_equal(n, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_string_matchers),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_names_of_one_family_are_apart),
        cmocka_unit_test(test_long_joined_values_are_compared_whole),
        cmocka_unit_test(test_query_parameters),
        cmocka_unit_test(test_method_scheme_and_authority),
        cmocka_unit_test(test_all_conditions_of_a_route_must_fit),
        cmocka_unit_test(test_targets_are_drawn_by_weight),
        cmocka_unit_test(test_every_condition_has_a_name_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
