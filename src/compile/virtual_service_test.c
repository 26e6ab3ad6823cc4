// SPDX-License-Identifier: Apache-2.0
// Gateways and VirtualServices: binding, merging, order, matches, and what the actions do, on
// compiled snapshots.
#include "compile/certificate_fixture.h"
#include "compile/fixture.h"

#define SERVICES                                                                                   \
    WORLD_SERVICE("a", "default", 80)                                                              \
    WORLD_SERVICE("b", "default", 80)                                                              \
    WORLD_SERVICE("c", "default", 80) WORLD_SERVICE("d", "default", 80)
#define GATEWAY(name, ns, port, hosts, more)                                                       \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: " name               \
    ", namespace: " ns "}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n"               \
    "  - port: {number: " #port ", name: http, protocol: HTTP}\n    hosts: [" hosts "]\n" more
#define VS(name, ns, fields)                                                                       \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name        \
    ", namespace: " ns "}\nspec:\n" fields
#define BIND(gateways, hosts) "  gateways: [" gateways "]\n  hosts: [" hosts "]\n"
#define HTTP "  http:\n"
#define TO(service) "route: [{destination: {host: " service "}}]"
#define RULE(match, action) "  - {match: [" match "], " action "}\n"
#define ALL(action) "  - {" action "}\n"
#define ANY_GATEWAY GATEWAY("gw", "default", 80, "'*'", "")

static void load(struct world *world, const char *yaml)
{
    world_init(world);
    world_load(world, SERVICES);
    world_load(world, yaml);
    world_compile(world);
}

static void load_rules(struct world *world, const char *rules)
{
    world_init(world);
    world_load(world, SERVICES);
    world_load(world, ANY_GATEWAY);
    char yaml[4096];
    int len = snprintf(yaml, sizeof yaml, "%s%s",
                       VS("vs", "default", BIND("gw", "h.example.com") HTTP), rules);
    assert_in_range(len, 1, sizeof yaml - 1);
    world_load(world, yaml);
    world_compile(world);
}

#define HOST "h.example.com"

// The table of binding: server hosts x VirtualService hosts -> the virtual host that is served.
static void test_the_narrower_of_two_hosts_is_the_virtual_host(void **state)
{
    (void)state;
    static const struct {
        const char *server, *service_ns, *host;
        const char *served; // NULL: none
        const char *not_served;
    } rows[] = {
        {"'*'", "default", "httpbin.example.com", "httpbin.example.com", "x.example.com"},
        {"'*.example.com'", "default", "httpbin.example.com", "httpbin.example.com",
         "x.example.com"},
        {"'*.example.com'", "default", "other.org", NULL, "other.org"},
        {"httpbin.example.com", "default", "'*'", "httpbin.example.com", "x.example.com"},
        {"httpbin.example.com", "default", "'*.example.com'", "httpbin.example.com",
         "x.example.com"},
        {"'*.example.com'", "default", "'*.example.com'", "a.b.example.com", "example.com"},
        {"'*'", "default", "'*.example.com'", "a.b.example.com", "other.org"},
        {"dev/*", "prod", "httpbin.example.com", NULL, "httpbin.example.com"},
        {"prod/*", "prod", "httpbin.example.com", "httpbin.example.com", NULL},
        {"./*", "default", "httpbin.example.com", "httpbin.example.com", NULL},
        {"./*", "prod", "httpbin.example.com", NULL, "httpbin.example.com"},
        {"'*/*.example.com'", "prod", "httpbin.example.com", "httpbin.example.com", NULL},
        {"HTTPBIN.example.com", "default", "httpbin.example.com", "httpbin.example.com", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        world_load(&world, SERVICES);
        char yaml[1024];
        snprintf(yaml, sizeof yaml,
                 GATEWAY("gw", "default", 80, "%s", "")
                     VS("vs", "%s",
                        BIND("default/gw", "%s") HTTP ALL(TO("a.default.svc.cluster.local"))),
                 rows[i].server, rows[i].service_ns, rows[i].host);
        world_load(&world, yaml);
        world_compile(&world);
        if (rows[i].served)
            EXPECT(&world, 80, {rows[i].served, "/", "a"});
        if (rows[i].not_served)
            EXPECT(&world, 80, {rows[i].not_served, "/", "404"});
        assert_int_equal(world_count(&world, DIAG_HOST_NOT_IN_GATEWAY), !rows[i].served);
        world_fini(&world);
    }
}

static void test_a_gateway_is_served_when_the_labels_satisfy_its_selector(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        bool is_served;
    } rows[] = {
        {NULL, NULL, true}, {"istio", "ingressgateway", true}, {"istio", "egressgateway", false}};
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        world_init(&world);
        struct text_pair label = {0};
        if (rows[i].key) {
            label.key = (struct text){.ptr = rows[i].key, .len = (unsigned)strlen(rows[i].key)};
            label.value =
                (struct text){.ptr = rows[i].value, .len = (unsigned)strlen(rows[i].value)};
            world.options.labels = &label;
            world.options.n_labels = 1;
        }
        world_load(&world,
                   SERVICES ANY_GATEWAY VS("vs", "default", BIND("gw", HOST) HTTP ALL(TO("a"))));
        world_compile(&world);
        EXPECT(&world, 80, {HOST, "/", rows[i].is_served ? "a" : "closed"});
        world_fini(&world);
    }
}

static void test_gateways_are_named_in_three_ways(void **state)
{
    (void)state;
    static const char *const names[] = {"gw", "default/gw", "gw.default.svc.cluster.local"};
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        world_init(&world);
        char yaml[512];
        snprintf(yaml, sizeof yaml, VS("vs", "default", BIND("mesh, %s", HOST) HTTP ALL(TO("a"))),
                 names[i]);
        world_load(&world, SERVICES ANY_GATEWAY);
        world_load(&world, yaml);
        world_compile(&world);
        EXPECT(&world, 80, {HOST, "/", "a"});
        world_expect_quiet(&world);
        world_fini(&world);
    }
}

static void test_the_first_rule_that_fits_wins_whatever_its_length(void **state)
{
    (void)state;
    struct world world;
    load_rules(&world,
               RULE("{uri: {prefix: /a}}", TO("a")) RULE("{uri: {exact: /b}}", TO("b"))
                   RULE("{uri: {prefix: /b}}, {uri: {regex: '/[0-9]+'}}", TO("c")) ALL(TO("d")));
    EXPECT(&world, 80, {HOST, "/a", "a"}, {HOST, "/abc", "a"}, {HOST, "/b", "b"},
           {HOST, "/b/", "c"}, {HOST, "/12", "c"}, {HOST, "/12/x", "d"}, {HOST, "/", "d"},
           {HOST ":80", "/a", "a"}, {"H.EXAMPLE.COM", "/a", "a"},
           {"other.example.com", "/", "404"});
    world_expect_quiet(&world);
    world_fini(&world);
}

// A request line of each row against one condition.
static void test_conditions_of_a_match_block(void **state)
{
    (void)state;
    static const struct {
        const char *match, *method, *target, *headers[4]; // name, value, ...
        bool fits;
    } rows[] = {
        {"{uri: {exact: /a}}", "GET", "/a", {0}, true},
        {"{uri: {exact: /a}}", "GET", "/a?q=1", {0}, true},
        {"{uri: {exact: /a}}", "GET", "/a/", {0}, false},
        {"{uri: {prefix: /status}}", "GET", "/statusX", {0}, true}, // a plain string prefix
        {"{uri: {prefix: /status}}", "GET", "/1status/200", {0}, false},
        {"{uri: {regex: '/a.*'}}", "GET", "/ab", {0}, true},
        {"{uri: {regex: '/a'}}", "GET", "/ab", {0}, false}, // the whole path
        {"{uri: {regex: '/a|/b'}}", "GET", "/bc", {0}, false},
        {"{uri: {exact: /A}, ignoreUriCase: true}", "GET", "/a", {0}, true},
        {"{uri: {prefix: /A}, ignoreUriCase: true}", "GET", "/aB", {0}, true},
        {"{uri: {regex: '/A'}, ignoreUriCase: true}", "GET", "/a", {0}, false},
        {"{method: {exact: GET}}", "POST", "/", {0}, false},
        {"{method: {prefix: P}}", "POST", "/", {0}, true},
        {"{scheme: {exact: http}}", "GET", "/", {0}, true},
        {"{scheme: {exact: https}}", "GET", "/", {0}, false},
        {"{authority: {exact: " HOST "}}", "GET", "/", {0}, true},
        {"{authority: {exact: other}}", "GET", "/", {0}, false},
        {"{headers: {X-A: {exact: v}}}", "GET", "/", {"x-a", "v"}, true},
        {"{headers: {x-a: {exact: v}}}", "GET", "/", {"x-a", "V"}, false},
        {"{headers: {x-a: {exact: v}}}", "GET", "/", {0}, false},
        {"{headers: {x-a: {exact: 'v,w'}}}", "GET", "/", {"x-a", "v", "x-a", "w"}, true},
        {"{headers: {x-a: {}}}", "GET", "/", {"x-a", ""}, true},
        {"{headers: {x-a: {}}}", "GET", "/", {0}, false},
        {"{headers: {x-a: {regex: '*'}}}", "GET", "/", {"x-a", "v"}, true},
        {"{headers: {x-a: {exact: v}, x-b: {prefix: w}}}", "GET", "/", {"x-a", "v"}, false},
        {"{withoutHeaders: {x-a: {}}}", "GET", "/", {0}, true},
        {"{withoutHeaders: {x-a: {}}}", "GET", "/", {"x-a", "v"}, false},
        {"{withoutHeaders: {x-a: {exact: v}}}", "GET", "/", {"x-a", "w"}, true},
        {"{withoutHeaders: {x-a: {exact: v}}}", "GET", "/", {"x-a", "v"}, false},
        {"{queryParams: {q: {exact: '1'}}}", "GET", "/?q=1&q=2", {0}, true},
        {"{queryParams: {q: {exact: '2'}}}", "GET", "/?q=1&q=2", {0}, false},
        {"{queryParams: {q: {}}}", "GET", "/?a&q", {0}, true},
        {"{queryParams: {q: {}}}", "GET", "/?a", {0}, false},
        {"{port: 80}", "GET", "/", {0}, true},
        {"{port: 81}", "GET", "/", {0}, false},
        {"{gateways: [gw]}", "GET", "/", {0}, true},
        {"{gateways: [mesh]}", "GET", "/", {0}, false},
        {"{sourceNamespace: istio-system}", "GET", "/", {0}, true},
        {"{sourceNamespace: prod}", "GET", "/", {0}, false},
        {"{sourceLabels: {app: x}}", "GET", "/", {0}, false},
        {"{gateways: [gw], sourceLabels: {app: x}, sourceNamespace: prod}", "GET", "/", {0}, true},
        {"{}", "GET", "/", {0}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char rule[512];
        struct header items[2] = {0};
        snprintf(rule, sizeof rule, RULE("%s", TO("a")), rows[i].match);
        load_rules(&world, rule);
        world.method = rows[i].method;
        world.headers.items = items;
        for (unsigned k = 0; k < 4 && rows[i].headers[k]; k += 2) {
            items[k / 2].name = str_of(rows[i].headers[k]);
            items[k / 2].value = str_of(rows[i].headers[k + 1]);
            world.headers.n++;
        }
        world_find(&world, 80, HOST, rows[i].target);
        if ((strcmp(world.answer, "a") == 0) != rows[i].fits)
            fail_msg("%s, %s %s: %s", rows[i].match, rows[i].method, rows[i].target, world.answer);
        world_fini(&world);
    }
}

static void test_a_rule_that_takes_everything_ends_the_list(void **state)
{
    (void)state;
    static const char *const catch_alls[] = {ALL(TO("a")), RULE("{uri: {prefix: /}}", TO("a")),
                                             RULE("{uri: {regex: '.*'}}", TO("a")),
                                             RULE("{uri: {prefix: /x}}, {}", TO("a"))};
    for (size_t i = 0; i < 4; i++) {
        struct world world;
        char rules[512];
        snprintf(rules, sizeof rules, "%s%s", catch_alls[i], RULE("{uri: {prefix: /b}}", TO("b")));
        load_rules(&world, rules);
        EXPECT(&world, 80, {HOST, "/b", "a"}, {HOST, "/", "a"});
        assert_int_equal(world_count(&world, DIAG_UNREACHABLE_ROUTE), 1);
        world_fini(&world);
    }
}

static void test_merged_hosts_keep_catch_alls_behind_the_routes_of_all(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ANY_GATEWAY VS("first", "default",
                        BIND("gw", HOST) HTTP RULE("{uri: {prefix: /a}}", TO("a")) ALL(TO("b")))
             VS("second", "default",
                BIND("gw", HOST) HTTP RULE("{uri: {prefix: /a/b}}", TO("d"))
                    RULE("{uri: {prefix: /c}}", TO("c"))));
    EXPECT(&world, 80, {HOST, "/a/b", "a"}, {HOST, "/c", "c"}, {HOST, "/x", "b"});
    world_fini(&world);
}

static void test_rewrites_replace_the_prefix_the_path_or_what_a_pattern_finds(void **state)
{
    (void)state;
    struct world world;
    load_rules(
        &world,
        RULE("{uri: {prefix: /a}}", "rewrite: {uri: /}, " TO("a"))
            RULE("{uri: {exact: /b}}", "rewrite: {uri: /new}, " TO("b"))
                RULE("{uri: {regex: '/c/.*'}}", "rewrite: {uri: /new, authority: x.org}, " TO("c"))
                    RULE("{uri: {prefix: /d}}",
                         "rewrite: {uriRegexRewrite: {match: '/d/([a-z]+)/', "
                         "rewrite: '/\\1-'}}, " TO("d")) ALL("rewrite: {uri: /all}, " TO("a")));
    EXPECT(&world, 80, {HOST, "/a/b", "a //b"}, {HOST, "/ab", "a /b"}, {HOST, "/a?q", "a /?q"},
           {HOST, "/b?q=1", "b /new?q=1"}, {HOST, "/c/x", "c /new @x.org"},
           {HOST, "/d/xy/z", "d /xy-z"}, {HOST, "/x", "a /allx"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_redirects_and_direct_responses_need_no_destination(void **state)
{
    (void)state;
    struct world world;
    load_rules(&world,
               RULE("{uri: {prefix: /uri}}", "redirect: {uri: /new, authority: b.org}") RULE(
                   "{uri: {prefix: /own}}", "redirect: {uri: '/new?x=1', redirectCode: 302}")
                   RULE("{uri: {prefix: /pre}}", "redirect: {prefixRewrite: /n, redirectCode: 308}")
                       RULE("{uri: {prefix: /tls}}", "redirect: {scheme: https}") RULE(
                           "{uri: {prefix: /port}}",
                           "redirect: {authority: b.org, port: 8443, scheme: https}")
                           RULE("{uri: {prefix: /req}}", "redirect: {authority: b.org, derivePort: "
                                                         "FROM_REQUEST_PORT, scheme: https}")
                               ALL("directResponse: {status: 418}"));
    EXPECT(&world, 80, {HOST, "/uri/x?q", "301 http://b.org/new?q"},
           {HOST, "/own?q", "302 http://" HOST "/new?x=1"},
           {HOST, "/pre/x?q", "308 http://" HOST "/n/x?q"},
           {HOST ":80", "/tls", "301 https://" HOST "/tls"},
           {HOST ":8080", "/tls", "301 https://" HOST ":8080/tls"},
           {HOST, "/port", "301 https://b.org:8443/port"},
           {HOST, "/req", "301 https://b.org:80/req"}, {HOST, "/x", "=418"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_https_redirect_of_a_server_answers_for_its_hosts(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         GATEWAY("gw", "default", 80, "'*.example.com'", "    tls: {httpsRedirect: true}\n")
             GATEWAY("plain", "default", 80, "plain.example.com", "")
                 VS("vs", "default", BIND("gw", HOST) HTTP ALL(TO("a")))
                     VS("other", "default", BIND("plain", "plain.example.com") HTTP ALL(TO("b"))));
    EXPECT(&world, 80, {HOST, "/x?q", "301 https://" HOST "/x?q"},
           {"unbound.example.com", "/", "301 https://unbound.example.com/"},
           {"plain.example.com", "/", "b"}, {"other.org", "/", "404"});
    world_fini(&world);
}

static void test_a_destination_that_does_not_exist_is_503(void **state)
{
    (void)state;
    struct world world;
    load_rules(
        &world,
        RULE("{uri: {prefix: /none}}", TO("nobody")) RULE("{uri: {prefix: /dot}}", TO("a.default"))
            RULE("{uri: {prefix: /full}}", TO("a.default.svc.cluster.local")) RULE(
                "{uri: {prefix: /port}}", "route: [{destination: {host: a, port: {number: 81}}}]")
                RULE("{uri: {prefix: /subset}}", "route: [{destination: {host: a, subset: v1}}]"));
    EXPECT(&world, 80, {HOST, "/none", "503"}, {HOST, "/dot", "503"}, {HOST, "/full", "a"},
           {HOST, "/port", "503"}, {HOST, "/subset", "503"});
    assert_int_equal(world_count(&world, DIAG_DANGLING_SERVICE), 2);
    assert_int_equal(world_count(&world, DIAG_DANGLING_PORT), 1);
    assert_int_equal(world_count(&world, DIAG_UNKNOWN_SUBSET), 1);
    world_fini(&world);
}

static void test_weights_are_shares_and_a_single_one_does_not_count(void **state)
{
    (void)state;
    struct world world;
    load_rules(&world,
               RULE("{uri: {prefix: /one}}", "route: [{destination: {host: a}, weight: 0}]")
                   ALL("route: [{destination: {host: a}, weight: 90}, {destination: {host: b}, "
                       "weight: 10}, {destination: {host: c}, weight: 0}]"));
    const struct route *one = world_find(&world, 80, HOST, "/one");
    assert_int_equal(one->total_weight, 1);
    const struct route *route = world_find(&world, 80, HOST, "/");
    assert_int_equal(route->total_weight, 100);
    assert_int_equal(route->n_targets, 3);
    assert_int_equal(route->targets[0].weight, 90);
    assert_int_equal(route->targets[2].weight, 0);
    world_fini(&world);
}

static void test_header_operations_are_sorted_removals_first(void **state)
{
    (void)state;
    struct world world;
    load_rules(&world, ALL("headers: {request: {set: {X-B: '2', x-a: '1', host: inner.org}, add: "
                           "{x-c: '3', ':path': /}, remove: [x-e, X-D]}}, timeout: 2s, "
                           "route: [{destination: {host: a}, headers: {request: {set: {host: "
                           "later.org, x-f: '1'}}}}]"));
    const struct route *route = world_find(&world, 80, HOST, "/");
    static const struct {
        enum header_op_kind kind;
        const char *name;
    } wanted[] = {{HEADER_REMOVE, "x-d"}, {HEADER_REMOVE, "x-e"}, {HEADER_SET, "host"},
                  {HEADER_SET, "x-a"},    {HEADER_SET, "x-b"},    {HEADER_ADD, "x-c"}};
    assert_int_equal(route->request_ops.n, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(route->request_ops.ops[i].kind, wanted[i].kind);
        assert_true(str_is(route->request_ops.ops[i].name, wanted[i].name));
    }
    // The rule's authority goes before the destination's.
    assert_int_equal(route->targets[0].request_ops.n, 1);
    assert_true(str_is(route->targets[0].request_ops.ops[0].name, "x-f"));
    assert_int_equal(route->timeout_ms, 2000);
    world_fini(&world);
}

static void test_route_names_join_rule_and_match(void **state)
{
    (void)state;
    struct world world;
    load_rules(&world, "  - {name: r, match: [{name: m, uri: {prefix: /both}}, {uri: {prefix: "
                       "/rule}}], " TO("a") "}\n" RULE("{name: m, uri: {prefix: /match}}", TO("a"))
                           ALL(TO("a")));
    static const struct {
        const char *target, *name;
    } rows[] = {{"/both", "r.m"}, {"/rule", "r"}, {"/match", "m"}, {"/none", ""}};
    for (size_t i = 0; i < 4; i++)
        assert_true(str_is(world_find(&world, 80, HOST, rows[i].target)->name, rows[i].name));
    world_fini(&world);
}

static void test_a_delegate_is_merged_with_the_rule_that_names_it(void **state)
{
    (void)state;
    struct world world;
    load(
        &world,
        ANY_GATEWAY VS("root", "default",
                       BIND("gw", HOST) HTTP
                       "  - {name: r, match: [{uri: {prefix: /shop}, headers: {x-t: {exact: a}}}], "
                       "timeout: 5s, delegate: {name: leaf, namespace: team}}\n" ALL(TO("d")))
            VS("leaf", "team",
               HTTP "  - {name: l, match: [{uri: {prefix: /shop/cart}}, {uri: {prefix: /other}}], "
                    "timeout: 1s, " TO("a.default.svc.cluster.local") "}\n" ALL(
                        TO("b.default.svc.cluster.local"))));
    struct header item = {.name = STR("x-t"), .value = STR("a")};
    EXPECT(&world, 80, {HOST, "/shop/cart", "d"}); // without the header of the root's match
    world.headers.items = &item;
    world.headers.n = 1;
    EXPECT(&world, 80, {HOST, "/shop/cart/x", "a"}, {HOST, "/shop/x", "b"}, {HOST, "/other", "d"});
    const struct route *route = world_find(&world, 80, HOST, "/shop/cart");
    assert_true(str_is(route->name, "r-l"));
    assert_int_equal(route->timeout_ms, 1000);
    assert_int_equal(world_find(&world, 80, HOST, "/shop/x")->timeout_ms, 5000);
    assert_int_equal(world_count(&world, DIAG_DELEGATE_CONFLICT), 1);
    world_fini(&world);
}

static void test_virtual_services_go_before_an_ingress_on_a_shared_host(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ANY_GATEWAY VS("vs", "default",
                        BIND("gw", HOST ", '*.wild.org'") HTTP RULE(
                            "{uri: {prefix: /vs}}",
                            TO("a"))) "---\napiVersion: networking.k8s.io/v1\nkind: "
                                      "Ingress\nmetadata: {name: i}\nspec:\n"
                                      "  rules:\n  - host: " HOST
                                      "\n    http: &paths {paths: [{path: /, pathType: Prefix, "
                                      "backend: {service: {name: b, port: {number: 80}}}}]}\n  - "
                                      "{host: '*.wild.org', "
                                      "http: *paths}\n");
    EXPECT(&world, 80, {HOST, "/vs", "a"}, {HOST, "/x", "b"}, {"w.wild.org", "/vs", "a"},
           {"w.wild.org", "/x", "b"}, {"v.w.wild.org", "/vs", "a"}, {"v.w.wild.org", "/x", "404"});
    assert_int_equal(world_count(&world, DIAG_HOST_SHARED), 2);
    world_fini(&world);
}

#define HTTPS_GATEWAY(servers)                                                                     \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n"        \
    "  servers:\n" servers
#define HTTPS_SERVER(name, hosts, tls)                                                             \
    "  - {port: {number: 443, name: " name ", protocol: HTTPS}, hosts: [" hosts "], tls: {" tls    \
    "}}\n"
#define ANSWERS(name, host, status)                                                                \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name "}\n"  \
    "spec: {hosts: ['" host "'], gateways: [gw], http: [{directResponse: {status: " status         \
    "}}]}\n"

static void test_an_https_server_has_hosts_of_its_own(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         HTTPS_GATEWAY(
             HTTPS_SERVER("a", "shop.example.com, '*.shop.example.com'",
                          "mode: SIMPLE, credentialName: shop")
                 HTTPS_SERVER("b", "other.example.com", "mode: MUTUAL, credentialName: shop"))
             ANSWERS("shop", "shop.example.com", "201") ANSWERS("other", "other.example.com", "202")
                 ANSWERS("all", "*", "203") SHOP_SECRET("shop", "istio-system", "")
                     SHOP_SECRET("shop-cacert", "istio-system", "    cacert: |\n" SHOP_CRT));
    EXPECT(&world, 443, {"shop.example.com", "/", "=201"}, {"a.shop.example.com", "/", "=203"},
           {"other.example.com", "/", "=202"}, {"unknown.example.com", "/", "closed"});
    world.sni = "other.example.com"; // the name chooses the server, and Host must be one of its own
    EXPECT(&world, 443, {"shop.example.com", "/", "404"}, {"other.example.com", "/", "=202"});
    const struct listener *listener = world_listener(&world, 443);
    const struct filter_chain *shop =
        host_table_find(listener->sni, STR("a.b.shop.example.com"))->chain;
    assert_true(str_is(shop->name, "https.443.a.gw.default"));
    assert_non_null(shop->tls);
    assert_false(tls_context_asks_client(shop->tls));
    assert_int_equal(shop->client_cert_forward, CLIENT_CERT_SANITIZE);
    assert_int_equal(shop->n_certificates, 1);
    assert_true(str_is(shop->certificates[0].source, "Secret istio-system/shop"));
    const struct filter_chain *other =
        host_table_find(listener->sni, STR("other.example.com"))->chain;
    assert_true(tls_context_asks_client(other->tls));
    assert_int_equal(other->client_cert_forward, CLIENT_CERT_SET);
    assert_int_equal(world_count(&world, DIAG_CERTIFICATE_HOST), 1);
    world_fini(&world);
}

static void test_contexts_outlive_a_change_that_leaves_them_alone(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         HTTPS_GATEWAY(HTTPS_SERVER("a", "shop.example.com", "mode: SIMPLE, credentialName: shop"))
             ANSWERS("shop", "shop.example.com", "201") SHOP_SECRET("shop", "istio-system", ""));
    struct snapshot *first = world.snapshot;
    world.snapshot = NULL;
    world_compile(&world);
    assert_ptr_equal(first->listeners[0].sni_names[0]->chain->tls,
                     world.snapshot->listeners[0].sni_names[0]->chain->tls);
    snapshot_destroy(first);
    world_fini(&world);
}

static void test_a_broken_certificate_harms_its_hosts_alone(void **state)
{
    (void)state;
    struct world world;
    load(&world, HTTPS_GATEWAY(
                     HTTPS_SERVER("a", "shop.example.com", "mode: SIMPLE, credentialName: shop")
                         HTTPS_SERVER("b", "lost.example.com", "mode: SIMPLE, credentialName: lost")
                             HTTPS_SERVER("c", "'*'", "mode: SIMPLE, credentialName: shop"))
                     ANSWERS("all", "*", "201") SHOP_SECRET("shop", "istio-system", ""));
    // Not the server of all names either, which would show another's certificate.
    EXPECT(&world, 443, {"shop.example.com", "/", "=201"}, {"lost.example.com", "/", "closed"},
           {"any.example.com", "/", "=201"});
    assert_int_equal(world_count(&world, DIAG_SECRET_MISSING), 1);
    assert_int_equal(diags_count(world.diags), 1);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_narrower_of_two_hosts_is_the_virtual_host),
        cmocka_unit_test(test_a_gateway_is_served_when_the_labels_satisfy_its_selector),
        cmocka_unit_test(test_gateways_are_named_in_three_ways),
        cmocka_unit_test(test_the_first_rule_that_fits_wins_whatever_its_length),
        cmocka_unit_test(test_conditions_of_a_match_block),
        cmocka_unit_test(test_a_rule_that_takes_everything_ends_the_list),
        cmocka_unit_test(test_merged_hosts_keep_catch_alls_behind_the_routes_of_all),
        cmocka_unit_test(test_rewrites_replace_the_prefix_the_path_or_what_a_pattern_finds),
        cmocka_unit_test(test_redirects_and_direct_responses_need_no_destination),
        cmocka_unit_test(test_https_redirect_of_a_server_answers_for_its_hosts),
        cmocka_unit_test(test_a_destination_that_does_not_exist_is_503),
        cmocka_unit_test(test_weights_are_shares_and_a_single_one_does_not_count),
        cmocka_unit_test(test_header_operations_are_sorted_removals_first),
        cmocka_unit_test(test_route_names_join_rule_and_match),
        cmocka_unit_test(test_a_delegate_is_merged_with_the_rule_that_names_it),
        cmocka_unit_test(test_virtual_services_go_before_an_ingress_on_a_shared_host),
        cmocka_unit_test(test_an_https_server_has_hosts_of_its_own),
        cmocka_unit_test(test_contexts_outlive_a_change_that_leaves_them_alone),
        cmocka_unit_test(test_a_broken_certificate_harms_its_hosts_alone),
    };
    return cmocka_run_group_tests_name("compile-virtual-service", tests, NULL, NULL);
}
