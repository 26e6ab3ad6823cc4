// SPDX-License-Identifier: Apache-2.0
// What is broken keeps its requests and answers them 503, so that nothing behind it lets them in.
#include "compile/fixture.h"

#define SERVICES WORLD_SERVICE("a", "default", 80) WORLD_SERVICE("b", "default", 80)
#define GATEWAY                                                                                    \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n"        \
    "  selector: {istio: ingressgateway}\n  servers:\n"                                            \
    "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}\n"                         \
    "  - {port: {number: 81, name: more, protocol: HTTP}, hosts: ['*']}\n"
#define VS(name, fields)                                                                           \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name        \
    "}\nspec:\n" fields "  http:\n"
#define ROOT VS("v", "  gateways: [gw]\n  hosts: [h.example.com]\n")
#define LEAF VS("leaf", "")
#define RULE(match, action) "  - {match: [" match "], " action "}\n"
#define ALL(action) "  - {" action "}\n"
#define TO(service) "route: [{destination: {host: " service "}}]"
#define BAD_STATUS "directResponse: {status: 1000}" // decoding finds it
#define BAD_CODE "redirect: {uri: /, redirectCode: 304}"
#define BAD_BLOCK "{uri: {exact: /x, prefix: /y}}" // decoding finds it
#define HOST "h.example.com"

static void load(struct world *world, const char *yaml)
{
    world_init(world);
    world_load(world, SERVICES GATEWAY);
    world_load_broken(world, yaml);
    world_compile(world);
}

// `told`: how many times it is said that something is answered 503.
static void expect_told(struct world *world, unsigned told)
{
    diags_sort(world->diags); // what is compiled for two ports is said twice
    if (world_count(world, DIAG_ROUTE_INVALID) != told)
        world_fail(world);
    world_fini(world);
}

static void test_a_rule_with_a_broken_action_keeps_its_match(void **state)
{
    (void)state;
    static const char *const actions[] = {
        BAD_STATUS,
        BAD_CODE,
        "headers: {request: {set: {x: '%FOO%'}}}, " TO("b"),
        "timeout: soon, " TO("b"),
        "rewrite: {uriRegexRewrite: {match: '(', rewrite: x}}, " TO("b"),
        "delegate: {name: absent}",
        "delegate: {name: absent}, " TO("b"),
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        struct world world;
        char yaml[1024];
        snprintf(yaml, sizeof yaml,
                 ROOT "  - {match: [{uri: {prefix: /in}, headers: {x-a: {exact: b}}}, "
                      "{uri: {prefix: /out}}], %s}\n" ALL(TO("a")),
                 actions[i]);
        load(&world, yaml);
        EXPECT(&world, 80, {HOST, "/out", "=503"}, {HOST, "/in", "a"}, {HOST, "/", "a"});
        EXPECT(&world, 81, {HOST, "/out", "=503"}, {HOST, "/", "a"});
        expect_told(&world, 1);
    }
}

static void test_the_answer_has_a_reason_and_nothing_else_of_the_rule(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ROOT ALL("name: guard, timeout: 5s, headers: {response: {set: {x: z}}}, " BAD_CODE));
    const struct route *route = world_find(&world, 80, HOST, "/");
    assert_string_equal(world.answer, "=503");
    assert_true(str_is(route->body, "route configuration is invalid (route_invalid)\n"));
    assert_true(str_is(route->name, "guard"));
    assert_int_equal(route->response_ops.n, 0);
    assert_int_equal(route->timeout_ms, 0);
    assert_null(route->redirect);
    expect_told(&world, 1);
}

static void test_a_broken_rule_without_match_ends_the_list(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE("{uri: {prefix: /a}}", TO("a")) ALL(BAD_STATUS)
                     RULE("{uri: {prefix: /b}}", BAD_CODE) ALL(TO("absent")));
    EXPECT(&world, 80, {HOST, "/a", "a"}, {HOST, "/b", "=503"}, {HOST, "/", "=503"});
    // The mistakes behind it are said all the same, and not that they are never reached.
    assert_int_equal(world_count(&world, DIAG_UNREACHABLE_ROUTE), 0);
    assert_true(world_count(&world, DIAG_REDIRECT_CODE) > 0);
    assert_true(world_count(&world, DIAG_DANGLING_SERVICE) > 0);
    expect_told(&world, 1);
}

static void test_a_broken_block_takes_what_its_sound_conditions_do(void **state)
{
    (void)state;
    static const struct {
        const char *block;
        const char *in, *out; // a path that is answered 503, one that is not
    } rows[] = {
        {"{uri: {prefix: /in}, headers: {x-a: {regex: '('}}}", "/in", "/out"},
        {"{uri: {prefix: /in}, withoutHeaders: {x-a: {regex: '('}}}", "/in", "/out"},
        {"{uri: {prefix: /in}, queryParams: {a: {regex: '(?=b)'}}}", "/in", "/out"},
        {"{uri: {prefix: /in}, method: {regex: '('}}", "/in", "/out"},
        {"{uri: {prefix: /in}, headers: {'@request.auth.claims.a': {exact: b}}}", "/in", "/out"},
        {"{queryParams: {in: {}, a: {regex: '('}}}", "/?in", "/"},
        {"{uri: {regex: '/in('}, queryParams: {in: {}}}", "/?in", "/"},
        {"{uri: {regex: '/in('}}", "/", NULL},
        {"{uri: {prefix: /in}, scheme: {prefix: ''}}", "/", NULL}, // decoding finds it
        {BAD_BLOCK, "/", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[1024];
        snprintf(yaml, sizeof yaml, ROOT "  - {match: [%s], " TO("b") "}\n" ALL(TO("a")),
                 rows[i].block);
        load(&world, yaml);
        EXPECT(&world, 80, {HOST, rows[i].in, "=503"});
        if (rows[i].out)
            EXPECT(&world, 80, {HOST, rows[i].out, "a"});
        expect_told(&world, 1);
    }
}

static void test_a_broken_block_goes_behind_the_sound_ones_of_its_rule(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE(BAD_BLOCK ", {uri: {prefix: /in}}, {uri: {regex: '('}}", TO("b"))
                     RULE("{uri: {prefix: /later}}", TO("a")));
    EXPECT(&world, 80, {HOST, "/in", "b"}, {HOST, "/later", "=503"}, {HOST, "/", "=503"});
    expect_told(&world, 1);
    load(&world, ROOT RULE(BAD_BLOCK ", {uri: {prefix: /}}", TO("b")));
    EXPECT(&world, 80, {HOST, "/", "b"});
    expect_told(&world, 0);
}

static void test_a_broken_block_keeps_to_its_port(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE("{port: 81, uri: {exact: /x, prefix: /y}}", TO("b")) ALL(TO("a")));
    EXPECT(&world, 80, {HOST, "/", "a"});
    EXPECT(&world, 81, {HOST, "/", "=503"});
    expect_told(&world, 1);
}

static void test_a_delegate_with_mistakes_answers_503_within_the_match_of_the_root(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE("{uri: {prefix: /in}}", "delegate: {name: leaf}") ALL(TO("a")) //
         LEAF RULE("{uri: {prefix: /in/b}}", TO("b")) RULE("{uri: {prefix: /in/c}}", BAD_STATUS)
             RULE("{headers: {x: {exact: a, prefix: b}}}", TO("b")));
    EXPECT(&world, 80, {HOST, "/in/b", "b"}, {HOST, "/in/c", "=503"}, {HOST, "/in", "=503"},
           {HOST, "/", "a"});
    expect_told(&world, 2);
    load(&world, ROOT RULE("{method: {exact: a, prefix: b}}, {uri: {prefix: /in}}",
                           "delegate: {name: leaf}") ALL(TO("a")) //
         LEAF RULE("{uri: {prefix: /in/b}}", TO("b")) RULE("{uri: {prefix: /c}}", TO("b")));
    EXPECT(&world, 80, {HOST, "/in/b", "b"}, {HOST, "/c", "=503"}, {HOST, "/in", "a"},
           {HOST, "/", "a"});
    expect_told(&world, 2);
    load(&world, ROOT RULE("{uri: {prefix: /in}}", "delegate: {name: other}") ALL(TO("a")) //
         VS("other", "  gateways: [gw]\n  hosts: [o.example.com]\n") ALL(TO("b")));
    EXPECT(&world, 80, {HOST, "/in", "=503"}, {HOST, "/", "a"}, {"o.example.com", "/in", "b"});
    assert_true(world_count(&world, DIAG_DELEGATE_INVALID) > 0);
    expect_told(&world, 1);
}

// The case of the path is the root's affair when the delegate's block cannot be told.
static void test_a_broken_block_of_a_delegate_keeps_the_conditions_of_the_root(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE("{uri: {prefix: /in}, ignoreUriCase: true, queryParams: {q: {}}}",
                           "delegate: {name: leaf}") ALL(TO("a")) //
         LEAF RULE("{headers: {x: {exact: a, prefix: b}}}", TO("b")));
    EXPECT(&world, 80, {HOST, "/IN?q", "=503"}, {HOST, "/in", "a"}, {HOST, "/?q", "a"});
    expect_told(&world, 1);
}

#define INGRESS(name, annotations)                                                                 \
    "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " name                 \
    ", annotations: {" annotations "}}\nspec:\n  rules:\n  - host: " HOST                          \
    "\n    http:\n      paths:\n"
#define PATH(path, type, service)                                                                  \
    "      - {path: '" path "', pathType: " type ", backend: {service: {name: " service            \
    ", port: {number: 80}}}}\n"
#define NO_PORT(path, type)                                                                        \
    "      - {path: '" path "', pathType: " type ", backend: {service: {name: b}}}\n"

static void test_a_broken_path_of_an_ingress_does_not_fall_to_a_shorter_one(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("i", "") PATH("/", "Prefix", "a") NO_PORT("/p", "Prefix")
                     NO_PORT("/e", "Exact") PATH("/t", "Exakt", "b") PATH("relative", "Prefix", "b")
                         NO_PORT("/f", "ImplementationSpecific"));
    EXPECT(&world, 80, {HOST, "/p/x", "=503"}, {HOST, "/px", "a"}, {HOST, "/e", "=503"},
           {HOST, "/e/x", "a"}, {HOST, "/t/x", "=503"}, {HOST, "/relative", "a"},
           {HOST, "/f/x", "=503"}, {HOST, "/", "a"});
    expect_told(&world, 4);
    load(&world,
         INGRESS("i", "nginx.ingress.kubernetes.io/use-regex: 'true'") PATH("/", "Prefix", "a")
             NO_PORT("/x[0-9]+", "ImplementationSpecific") NO_PORT("", "ImplementationSpecific"));
    EXPECT(&world, 80, {HOST, "/X1", "=503"}, {HOST, "/x", "a"});
    expect_told(&world, 1);
}

static void test_an_expression_that_does_not_compile_keeps_what_it_begins_with(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("i", "nginx.ingress.kubernetes.io/use-regex: 'true'")
                     PATH("/", "Prefix", "a") PATH("/admin(.*", "ImplementationSpecific", "b"));
    EXPECT(&world, 80, {HOST, "/admin/x", "=503"}, {HOST, "/x", "a"});
    expect_told(&world, 1);
}

static void test_an_expression_that_takes_too_long_lets_nothing_past(void **state)
{
    (void)state;
    struct world world;
    load(&world, ROOT RULE("{uri: {regex: '(/.*)*/secret.*'}}", "directResponse: {status: 403}")
                     ALL(TO("a")));
    EXPECT(
        &world, 80, {HOST, "/secret", "=403"}, {HOST, "/x", "a"},
        {HOST, "/secret/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "=503"});
    world_fini(&world);
}

static void test_aliases_that_are_no_names_are_refused(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("i", "nginx.ingress.kubernetes.io/server-alias: '*b.com,*c.com,*d.com,*'")
                     PATH("/", "Prefix", "a"));
    EXPECT(&world, 80, {HOST, "/", "a"}, {"zzz", "/", "404"});
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_NOT_SERVED), 4);
    world_fini(&world);
}

static void test_a_broken_path_takes_nothing_from_a_sound_one_of_another_ingress(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("older", "") NO_PORT("/p", "Prefix") PATH("/q", "Prefix", "a")
                     INGRESS("younger", "") PATH("/p", "Prefix", "b") PATH("/q", "Prefix", "b"));
    EXPECT(&world, 80, {HOST, "/p", "b"}, {HOST, "/q", "a"});
    assert_int_equal(world_count(&world, DIAG_DUPLICATE_PATH), 2);
    expect_told(&world, 0);
}

#define CLASS(name, controller, parameters)                                                        \
    "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: " name            \
    "}\nspec: {controller: " controller parameters "}\n"
#define OURS "sluicegate.io/ingress-controller"

static void test_a_class_with_a_mistake_is_a_class_all_the_same(void **state)
{
    (void)state;
    struct world world;
    load(&world, CLASS("c", OURS, ", parameters: {kind: Kind, name: name, scope: Namespace}")
                     INGRESS("i", "kubernetes.io/ingress.class: other") PATH("/", "Prefix", "a"));
    EXPECT(&world, 80, {HOST, "/", "404"});
    assert_int_equal(world_count(&world, DIAG_CLASS_UNKNOWN), 1);
    expect_told(&world, 0);
    load(&world, INGRESS("i", "kubernetes.io/ingress.class: other") PATH("/", "Prefix", "a"));
    EXPECT(&world, 80, {HOST, "/", "a"});
    expect_told(&world, 0);
}

static void test_parameters_are_reported_of_a_class_that_is_ours(void **state)
{
    (void)state;
    struct world world;
    load(&world, CLASS("c", OURS, ", parameters: {kind: Kind, name: name}")
                     CLASS("d", "example.com/x", ", parameters: {kind: Kind, name: name}")
                         CLASS("e", OURS, ""));
    assert_int_equal(world_count(&world, DIAG_FIELD_NOT_SERVED), 1);
    expect_told(&world, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_with_a_broken_action_keeps_its_match),
        cmocka_unit_test(test_the_answer_has_a_reason_and_nothing_else_of_the_rule),
        cmocka_unit_test(test_a_broken_rule_without_match_ends_the_list),
        cmocka_unit_test(test_a_broken_block_takes_what_its_sound_conditions_do),
        cmocka_unit_test(test_a_broken_block_goes_behind_the_sound_ones_of_its_rule),
        cmocka_unit_test(test_a_broken_block_keeps_to_its_port),
        cmocka_unit_test(test_a_delegate_with_mistakes_answers_503_within_the_match_of_the_root),
        cmocka_unit_test(test_a_broken_block_of_a_delegate_keeps_the_conditions_of_the_root),
        cmocka_unit_test(test_a_broken_path_of_an_ingress_does_not_fall_to_a_shorter_one),
        cmocka_unit_test(test_an_expression_that_does_not_compile_keeps_what_it_begins_with),
        cmocka_unit_test(test_an_expression_that_takes_too_long_lets_nothing_past),
        cmocka_unit_test(test_aliases_that_are_no_names_are_refused),
        cmocka_unit_test(test_a_broken_path_takes_nothing_from_a_sound_one_of_another_ingress),
        cmocka_unit_test(test_a_class_with_a_mistake_is_a_class_all_the_same),
        cmocka_unit_test(test_parameters_are_reported_of_a_class_that_is_ours),
    };
    return cmocka_run_group_tests_name("compile-broken", tests, NULL, NULL);
}
