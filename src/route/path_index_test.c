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

struct bench { // one virtual host on its way
    struct registry *registry;
    struct snapshot_builder *builder;
    struct builder_vhost *vhost;
    struct snapshot *snapshot;
};

static void open_bench(struct bench *bench)
{
    bench->registry = registry_create();
    bench->builder = builder_create(bench->registry);
    bench->vhost =
        builder_vhost(builder_listener_hosts(fixture_listener(bench->builder)), STR("*"), false);
}

static void add(struct bench *bench, enum path_kind kind, const char *path, bool ignore_case)
{
    struct route route = {.path_kind = (uint8_t)kind,
                          .path = arena_str(builder_arena(bench->builder), str_of(path)),
                          .path_ignore_case = ignore_case};
    if (kind == PATH_REGEX)
        route.path_regex = builder_regex(bench->builder, route.path,
                                         ignore_case ? REGEX_IGNORE_CASE : 0, NULL, 0, NULL);
    builder_add_route(bench->vhost, &route);
}

static const struct vhost *seal(struct bench *bench)
{
    bench->snapshot = builder_seal(&bench->builder, 1);
    return bench->snapshot->listeners[0].hosts.vhosts[0];
}

static void close_bench(struct bench *bench)
{
    snapshot_destroy(bench->snapshot);
    registry_destroy(bench->registry);
}

static const struct {
    enum path_kind kind;
    bool ignore_case;
    const char *path, *request;
    bool fits;
} cases[] = {
    {PATH_ANY, false, "", "/x", true},
    {PATH_ANY, false, "", "*", true},
    {PATH_EXACT, false, "/foo", "/foo", true},
    {PATH_EXACT, false, "/foo", "/foo/", false},
    {PATH_EXACT, false, "/foo", "/FOO", false},
    {PATH_EXACT, true, "/foo", "/FOO", true},
    {PATH_EXACT, true, "/Foo", "/fooo", false},
    {PATH_EXACT, false, "/foo/", "/foo", false},
    {PATH_PREFIX_STRING, false, "/status", "/status", true},
    {PATH_PREFIX_STRING, false, "/status", "/status/200", true},
    {PATH_PREFIX_STRING, false, "/status", "/statusX", true},
    {PATH_PREFIX_STRING, false, "/status", "/1status", false},
    {PATH_PREFIX_STRING, false, "/status", "/statu", false},
    {PATH_PREFIX_STRING, true, "/Status", "/sTATUS/1", true},
    {PATH_PREFIX_SEGMENT, false, "/", "/anything", true},
    {PATH_PREFIX_SEGMENT, false, "/", "/", true},
    {PATH_PREFIX_SEGMENT, false, "/", "*", false},
    {PATH_PREFIX_SEGMENT, false, "/foo", "/foo", true},
    {PATH_PREFIX_SEGMENT, false, "/foo", "/foo/", true},
    {PATH_PREFIX_SEGMENT, false, "/foo", "/foo/bar", true},
    {PATH_PREFIX_SEGMENT, false, "/foo/", "/foo", true},
    {PATH_PREFIX_SEGMENT, false, "/foo", "/foobar", false},
    {PATH_PREFIX_SEGMENT, false, "/foo", "/FOO", false},
    {PATH_PREFIX_SEGMENT, true, "/foo", "/FOO/x", true},
    {PATH_PREFIX_SEGMENT, false, "/aaa/bb", "/aaa/bbb", false},
    {PATH_PREFIX_SEGMENT, false, "/a%2Fb", "/a%2Fb/c", true},
    {PATH_PREFIX_SEGMENT, false, "/a%2Fb", "/a/b", false},
    {PATH_REGEX, false, "^/v[0-9]+$", "/v12", true},
    {PATH_REGEX, false, "^/v[0-9]+$", "/V12", false},
    {PATH_REGEX, true, "^/v[0-9]+$", "/V12", true},
    {PATH_REGEX, false, "v1", "/xv1y", true},
};

// Each condition alone, and among others that never fit, so that the index is asked too.
static void test_each_kind_of_path(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int n_others = 0; n_others <= 6; n_others += 6) {
            struct bench bench;
            open_bench(&bench);
            for (int k = 0; k < n_others; k++)
                add(&bench, PATH_EXACT, (char[]){'!', (char)('a' + k), 0}, false);
            add(&bench, cases[i].kind, cases[i].path, cases[i].ignore_case);
            const struct vhost *vhost = seal(&bench);
            assert_int_equal(vhost->index != NULL, n_others > 0);
            struct request_view request = fixture_request(cases[i].request);
            if ((vhost_find_route(vhost, &request) != NULL) != cases[i].fits)
                fail_msg("%s %s with %d others", cases[i].path, cases[i].request, n_others);
            close_bench(&bench);
        }
    }
}

static void test_the_lowest_rank_wins_not_the_longest_path(void **state)
{
    struct bench bench;
    open_bench(&bench);
    add(&bench, PATH_PREFIX_STRING, "/a/b", false);
    add(&bench, PATH_REGEX, "^/a/.*x", false);
    add(&bench, PATH_PREFIX_STRING, "/", false);
    add(&bench, PATH_EXACT, "/a/c", false);
    add(&bench, PATH_EXACT, "/a/b", false);
    add(&bench, PATH_ANY, "", false);
    const struct vhost *vhost = seal(&bench);
    static const struct {
        const char *path;
        uint32_t rank;
    } expected[] = {{"/a/b", 0}, {"/a/bx", 0}, {"/a/cx", 1}, {"/a/c", 2}, {"/", 2}, {"*", 5}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct request_view request = fixture_request(expected[i].path);
        assert_int_equal(vhost_find_route(vhost, &request)->rank, expected[i].rank);
    }
    close_bench(&bench);
}

static void test_nested_paths_need_no_stack(void **state)
{
    enum { DEPTH = 3000 };
    struct bench bench;
    open_bench(&bench);
    static char path[DEPTH + 2];
    memset(path, 'a', DEPTH + 1);
    path[0] = '/';
    for (int n = 1; n <= DEPTH; n++) {
        char at = path[n];
        path[n] = '\0';
        add(&bench, PATH_EXACT, path, false);
        path[n] = at;
    }
    const struct vhost *vhost = seal(&bench);
    struct request_view request = fixture_request(path);
    request.path.len = DEPTH;
    assert_int_equal(vhost_find_route(vhost, &request)->rank, DEPTH - 1);
    request.path.len = DEPTH + 1;
    assert_null(vhost_find_route(vhost, &request));
    close_bench(&bench);
}

static const struct route *find_naively(const struct vhost *vhost,
                                        const struct request_view *request)
{
    for (uint32_t i = 0; i < vhost->n_routes; i++) {
        if (route_path_fits(vhost->routes[i], request->path) &&
            route_matches_fit(vhost->routes[i], request))
            return vhost->routes[i];
    }
    return NULL;
}

static size_t random_path(char *out)
{
    static const char *const parts[] = {"/",  "/a", "/ab",      "/abc", "b",  "/B",
                                        "/é", "//", "/segment", "x",    "/A", "/abcdefghij"};
    size_t len = (size_t)sprintf(out, "/");
    if (rand() % 30 == 0)
        return len - 1;
    for (int i = rand() % 4; i > 0; i--)
        len += (size_t)sprintf(out + len, "%s", parts[rand() % 12]);
    return len;
}

static void add_random_route(struct bench *bench)
{
    static const char *const regexes[] = {"^/a(/|$)(.*)",    "^/ab.*",  "x$",
                                          "\\A(?:/A/.*)\\z", "^/(a|b)", "^/segment/?$"};
    char text[128];
    struct route route = {.path_kind = (uint8_t)(rand() % 5), .path_ignore_case = rand() % 4 == 0};
    text[random_path(text)] = '\0';
    if (route.path_kind == PATH_REGEX) {
        strcpy(text, regexes[rand() % 6]);
        route.path_regex =
            builder_regex(bench->builder, str_of(text),
                          route.path_ignore_case ? REGEX_IGNORE_CASE : 0, NULL, 0, NULL);
        assert_non_null(route.path_regex);
    }
    route.path = arena_str(builder_arena(bench->builder), str_of(text));
    struct match *match = ARENA_NEW(builder_arena(bench->builder), struct match);
    if (rand() % 2) {
        *match = match_method_init((struct string_matcher){
            .kind = STRING_IS_EXACT, .text = rand() % 2 ? STR("GET") : STR("POST")});
        route.matches = match;
        route.n_matches = 1;
    }
    // Few conditions fit all, or the first route would hide the rest.
    if (route.path_kind != PATH_ANY || rand() % 8 == 0)
        builder_add_route(bench->vhost, &route);
}

static void test_random_routes_agree_with_the_naive_twin(void **state)
{
    unsigned n_found = 0, n_missed = 0;
    srand(5);
    for (int round = 0; round < 300; round++) {
        struct bench bench;
        open_bench(&bench);
        for (int n = rand() % 60; n >= 0; n--)
            add_random_route(&bench);
        const struct vhost *vhost = seal(&bench);
        for (int i = 0; i < 200; i++) {
            char path[128];
            struct request_view request = fixture_request("");
            request.path = (struct str){path, random_path(path)};
            request.method = rand() % 2 ? STR("GET") : STR("PUT");
            const struct route *found = vhost_find_route(vhost, &request);
            if (found != find_naively(vhost, &request))
                fail_msg("round %d: %.*s", round, STR_ARG(request.path));
            n_found += found != NULL;
            n_missed += found == NULL;
        }
        close_bench(&bench);
    }
    assert_true(n_found > 3000 && n_missed > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_of_path),
        cmocka_unit_test(test_the_lowest_rank_wins_not_the_longest_path),
        cmocka_unit_test(test_nested_paths_need_no_stack),
        cmocka_unit_test(test_random_routes_agree_with_the_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
