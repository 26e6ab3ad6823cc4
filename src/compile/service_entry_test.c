// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "compile/catalog.h"
#include "compile/fixture.h"

#define ENTRY(name, spec)                                                                          \
    "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " name "}\n"    \
    "spec: {" spec "}\n"
#define PORT "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
#define GATEWAY                                                                                    \
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\n"                    \
    "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n"
#define ROUTES(routes)                                                                             \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n"        \
    "spec: {gateways: [gw], hosts: ['*'], http: [" routes "]}\n"
#define TO(host) ROUTES("{route: [{destination: {host: '" host "', port: {number: 80}}}]}")
#define RULE(host, spec)                                                                           \
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: dr}\n"       \
    "spec: {host: '" host "', " spec "}\n"

// ---- names ----

struct answer {
    const char *name;
    const char *used[3], *retiring[3];
    bool is_pending;
};
struct answers {
    const struct answer *items;
    size_t n;
    bool was_asked_by_first;
};

static uint32_t parse_all(const char *const *texts, struct address *ret)
{
    uint32_t n = 0;
    for (; n < 3 && texts[n]; n++)
        assert_true(address_parse_ip(str_of(texts[n]), &ret[n]));
    return n;
}

static void addresses_of(void *arg, struct str name, bool by_first, struct name_addresses *ret)
{
    static struct address used[3], retiring[3];
    struct answers *answers = arg;
    answers->was_asked_by_first |= by_first;
    for (size_t i = 0; i < answers->n; i++) {
        const struct answer *answer = &answers->items[i];
        if (!str_is(name, answer->name))
            continue;
        ret->n = parse_all(answer->used, used);
        ret->n_retiring = parse_all(answer->retiring, retiring);
        *ret = (struct name_addresses){.items = used,
                                       .n = ret->n,
                                       .retiring = retiring,
                                       .n_retiring = ret->n_retiring,
                                       .first = ret->n ? used[ret->n - 1] : (struct address){0},
                                       .is_pending = answer->is_pending};
        return;
    }
    fail_msg("nobody should ask for \"%.*s\"", STR_ARG(name));
}

// "1.2.3.4:80*3 (5.6.7.8:80)": weights where they differ, retiring ones in brackets.
static void expect_cluster(struct world *world, const char *name, const char *wanted)
{
    const struct cluster *cluster = world_cluster(world, name);
    struct buf text = {0};
    assert_non_null(cluster);
    for (uint32_t i = 0; i < cluster->n_endpoints + cluster->n_retiring; i++) {
        const struct endpoint *endpoint = &cluster->endpoints[i];
        bool is_retiring = i >= cluster->n_endpoints;
        buf_printf(&text, "%s%s%.*s%s", i ? " " : "", is_retiring ? "(" : "",
                   STR_ARG(endpoint->text), is_retiring ? ")" : "");
        if (cluster->has_weights && !is_retiring)
            buf_printf(&text, "*%u", endpoint->weight);
    }
    if (cluster->discovery == CLUSTER_DYNAMIC_DNS)
        buf_printf(&text, "%sdns %.*s:%u", text.len ? " " : "", STR_ARG(cluster->dns_name),
                   cluster->dns_port);
    if (cluster->discovery == CLUSTER_ORIGINAL_DST)
        buf_add_text(&text, "original");
    buf_add_char(&text, '\0');
    assert_string_equal(text.data, wanted);
    buf_fini(&text);
}

static void expect(const char *yaml, const char *cluster, struct answers *answers,
                   const char *wanted)
{
    struct world world;
    world_init(&world);
    world.names = (struct name_lookup){addresses_of, answers};
    world_load(&world, yaml);
    world_compile(&world);
    expect_cluster(&world, cluster, wanted);
    world_fini(&world);
}
#define ANSWERS(...)                                                                               \
    (&(struct answers){(const struct answer[]){__VA_ARGS__},                                       \
                       sizeof((const struct answer[]){__VA_ARGS__}) / sizeof(struct answer),       \
                       false})
#define NO_ANSWERS (&(struct answers){0})
#define API "outbound|80||api.example.com"

static void test_all_addresses_of_a_name_are_used(void **state)
{
    expect(GATEWAY TO("api.example.com")
               ENTRY("a", "hosts: [API.example.com.], resolution: DNS, " PORT),
           API, ANSWERS({"api.example.com", {"192.0.2.1", "2001:db8::1"}, {"192.0.2.9"}, false}),
           "192.0.2.1:8080 [2001:db8::1]:8080 (192.0.2.9:8080)");
}

static void test_one_address_at_a_time_leaves_the_others_for_what_is_open(void **state)
{
    struct answers *answers =
        ANSWERS({"api.example.com", {"192.0.2.1", "192.0.2.2"}, {"192.0.2.9"}, false});
    expect(GATEWAY TO("api.example.com")
               ENTRY("a", "hosts: [api.example.com], resolution: DNS_ROUND_ROBIN, " PORT),
           API, answers, "192.0.2.2:8080 (192.0.2.1:8080) (192.0.2.9:8080)");
    assert_true(answers->was_asked_by_first);
}

static void test_a_name_without_an_answer_is_waited_for(void **state)
{
#define DNS                                                                                        \
    GATEWAY TO("api.example.com") ENTRY("a", "hosts: [api.example.com], resolution: DNS, " PORT)
    expect(DNS, API, ANSWERS({"api.example.com", {0}, {0}, true}), "dns api.example.com:8080");
    // There is no such name: nothing to wait for.
    expect(DNS, API, ANSWERS({"api.example.com", {0}, {0}, false}), "");
}

#define NAMES                                                                                      \
    GATEWAY TO("api.example.com") ENTRY("a", "hosts: [api.example.com], resolution: DNS, " PORT    \
                                             ", endpoints: [{address: a.example.net, weight: 2}, " \
                                             "{address: B.example.net, ports: {http: 9}}]")

static void test_endpoints_may_be_names(void **state)
{
    expect(NAMES, API,
           ANSWERS({"a.example.net", {"192.0.2.1", "192.0.2.2"}, {0}, false},
                   {"b.example.net", {"192.0.2.3"}, {0}, false}),
           "192.0.2.1:8080*2 192.0.2.2:8080*2 192.0.2.3:9*1");
    // One that is known is better than to wait for the other.
    expect(NAMES, API,
           ANSWERS({"a.example.net", {0}, {0}, true}, {"b.example.net", {"192.0.2.3"}, {0}, false}),
           "192.0.2.3:9");
    expect(NAMES, API,
           ANSWERS({"a.example.net", {0}, {0}, true}, {"b.example.net", {0}, {0}, true}),
           "dns a.example.net:8080");
}

static void test_a_wildcard_is_looked_up_when_asked_for_and_within_itself_only(void **state)
{
#define WILD ENTRY("a", "hosts: ['*.example.com'], resolution: DYNAMIC_DNS, " PORT)
    expect(GATEWAY TO("*.example.com") WILD, "outbound|80||*.example.com", NO_ANSWERS, "dns :8080");
    expect(GATEWAY TO("*.eu.example.com") WILD, "outbound|80||*.eu.example.com", NO_ANSWERS,
           "dns :8080");
    // A route that names one of its names goes there, whatever the request asks for.
    expect(GATEWAY TO("api.example.com") WILD, API,
           ANSWERS({"api.example.com", {"192.0.2.1"}, {0}, false}), "192.0.2.1:8080");
}

static void test_the_narrowest_wildcard_counts(void **state)
{
    expect(GATEWAY TO("a.eu.example.com")
               ENTRY("wide", "hosts: ['*.example.com'], resolution: STATIC, " PORT
                             ", endpoints: [{address: 192.0.2.1}]")
                   ENTRY("narrow", "hosts: ['*.eu.example.com'], resolution: STATIC, " PORT
                                   ", endpoints: [{address: 192.0.2.2}]"),
           "outbound|80||a.eu.example.com", NO_ANSWERS, "192.0.2.2:8080");
}

static void test_a_wildcard_does_not_cover_its_own_domain(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world, GATEWAY TO("example.com") WILD);
    world_compile(&world);
    assert_int_equal(world_count(&world, DIAG_DANGLING_SERVICE), 1);
    assert_true(world_cluster(&world, "outbound|80||example.com")->is_missing);
    world_fini(&world);
}

static void test_subsets_choose_endpoints_by_label(void **state)
{
    expect(GATEWAY ROUTES("{route: [{destination: {host: api.example.com, subset: eu}}]}")
               ENTRY("a", "hosts: [api.example.com], resolution: STATIC, " PORT
                          ", endpoints: [{address: 192.0.2.1, labels: {region: eu}}, {address: "
                          "192.0.2.2}]")
                   RULE("api.example.com", "subsets: [{name: eu, labels: {region: eu}}]"),
           "outbound|80|eu|api.example.com", NO_ANSWERS, "192.0.2.1:8080");
}

static void test_a_rule_holds_for_an_outside_host_and_its_port(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world,
               GATEWAY TO("api.example.com")
                   ENTRY("a", "hosts: [api.example.com], resolution: STATIC, " PORT
                              ", endpoints: [{address: 192.0.2.1}]")
                       RULE("*.example.com",
                            "trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s}}, "
                            "portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: "
                            "RANDOM}}]}"));
    world_compile(&world);
    world_expect_quiet(&world);
    const struct cluster *cluster = world_cluster(&world, API);
    assert_int_equal(cluster->balancer, BALANCE_RANDOM);
    assert_int_equal(cluster->connect_timeout_ms, 10000); // portLevelSettings replace all
    assert_true(cluster->is_external);
    world_fini(&world);
}

// What a rule makes of a cluster to an outside host, or of one to a Service.
static void expect_policy(const char *policy, void (*check)(const struct cluster *cluster))
{
    struct world world;
    char yaml[1024];
    world_init(&world);
    world_load(&world, GATEWAY TO("api.example.com")
                           ENTRY("a", "hosts: [api.example.com], resolution: STATIC, " PORT
                                      ", endpoints: [{address: 192.0.2.1}]"));
    snprintf(yaml, sizeof yaml, RULE("api.example.com", "trafficPolicy: {%s}"), policy);
    world_load(&world, yaml);
    world_compile(&world);
    check(world_cluster(&world, API));
    world_fini(&world);
}

static void check_defaults(const struct cluster *cluster)
{
    assert_int_equal(cluster->keepalive.probes, 3);
    assert_int_equal(cluster->keepalive.time_s, 45);
    assert_int_equal(cluster->keepalive.interval_s, 10);
    assert_int_equal(cluster->max_age_ms, 0);
    assert_int_equal(cluster->tcp_idle_timeout_ms, 0);
}

static void check_given(const struct cluster *cluster)
{
    assert_int_equal(cluster->keepalive.probes, 5);
    assert_int_equal(cluster->keepalive.time_s, 2); // whole seconds, never less than asked for
    assert_int_equal(cluster->keepalive.interval_s, 75);
    assert_int_equal(cluster->max_age_ms, 600000);
    assert_int_equal(cluster->tcp_idle_timeout_ms, 30000);
}

static void check_large(const struct cluster *cluster)
{
    assert_int_equal(cluster->keepalive.probes, 127);
    assert_int_equal(cluster->keepalive.time_s, 32767);
    assert_int_equal(cluster->tcp_idle_timeout_ms, INT32_MAX);
}

static void check_empty(const struct cluster *cluster)
{
    assert_int_equal(cluster->keepalive.probes, 9);
    assert_int_equal(cluster->keepalive.time_s, 7200);
}

static void test_connections_to_the_outside_are_probed_and_have_an_age(void **state)
{
#define TCP(fields) "connectionPool: {tcp: {" fields "}}"
    expect_policy("loadBalancer: {simple: RANDOM}", check_defaults);
    expect_policy(TCP("tcpKeepalive: {probes: 5, time: 1500ms}, maxConnectionDuration: 10m, "
                      "idleTimeout: 30s"),
                  check_given);
    expect_policy(TCP("tcpKeepalive: {probes: 1000, time: 24h}, idleTimeout: 0s"), check_large);
    expect_policy(TCP("tcpKeepalive: {}"), check_empty);
}

static void test_a_service_of_the_cluster_is_probed_when_its_rule_says_so(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world, GATEWAY ROUTES("{match: [{uri: {prefix: /a}}], route: [{destination: {host: "
                                      "a}}]}, {route: [{destination: {host: b}}]}")
                           WORLD_SERVICE("a", "default", 80) WORLD_SERVICE("b", "default", 80)
                               RULE("b", "trafficPolicy: {" TCP("tcpKeepalive: {probes: 2}") "}"));
    world_compile(&world);
    assert_int_equal(
        world_cluster(&world, "outbound|80||a.default.svc.cluster.local")->keepalive.probes, 0);
    assert_int_equal(
        world_cluster(&world, "outbound|80||b.default.svc.cluster.local")->keepalive.probes, 2);
    world_fini(&world);
}

static void test_passthrough_of_a_gateway_is_said_to_have_no_effect(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world, GATEWAY TO("api.example.com")
                           ENTRY("a", "hosts: [api.example.com], resolution: STATIC, " PORT
                                      ", endpoints: [{address: 192.0.2.1}]")
                               RULE("api.example.com",
                                    "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}"));
    world_compile(&world);
    assert_int_equal(world_count(&world, DIAG_FIELD_NO_EFFECT), 1);
    expect_cluster(&world, API, "192.0.2.1:8080");
    world_fini(&world);
}

static const struct cluster *outside_tls(struct world *world, const char *protocol,
                                         const char *rule)
{
    char yaml[1024];
    world_init(world);
    world_load(world, GATEWAY TO("api.example.com"));
    snprintf(yaml, sizeof yaml,
             ENTRY("a", "hosts: [api.example.com], resolution: STATIC, ports: [{number: 80, name: "
                        "p, protocol: %s}], endpoints: [{address: 192.0.2.1}]")
                 RULE("api.example.com", "trafficPolicy: {%s}"),
             protocol, rule);
    world_load(world, yaml);
    world_compile(world);
    const struct cluster *cluster = world_cluster(world, API);
    assert_non_null(cluster->tls);
    return cluster;
}

static void test_http2_to_the_outside_is_asked_for_by_alpn(void **state)
{
    static const struct {
        const char *protocol, *rule;
        enum cluster_protocol wanted;
    } cases[] = {
        {"HTTP", "tls: {mode: SIMPLE}", CLUSTER_HTTP1},
        {"HTTPS", "tls: {mode: SIMPLE}", CLUSTER_HTTP1},
        {"HTTP2", "tls: {mode: SIMPLE}", CLUSTER_ALPN},
        {"GRPC", "tls: {mode: SIMPLE}", CLUSTER_HTTP2},
        {"HTTPS", "tls: {mode: SIMPLE}, connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
         CLUSTER_ALPN},
        {"HTTPS", "tls: {mode: SIMPLE}, connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}",
         CLUSTER_HTTP1},
        {"HTTPS", "tls: {mode: SIMPLE}, connectionPool: {http: {useClientProtocol: true}}",
         CLUSTER_AS_CLIENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        assert_int_equal(outside_tls(&world, cases[i].protocol, cases[i].rule)->protocol,
                         cases[i].wanted);
        world_fini(&world);
    }
}

static void test_connections_that_bring_no_host_ask_for_that_of_the_entry(void **state)
{
    struct world world;
    assert_true(tls_context_goes_by_host(outside_tls(&world, "HTTPS", "tls: {mode: SIMPLE}")->tls));
    world_fini(&world);
    assert_false(tls_context_goes_by_host(outside_tls(&world, "TCP", "tls: {mode: SIMPLE}")->tls));
    world_fini(&world);
    assert_false(tls_context_goes_by_host(
        outside_tls(&world, "HTTPS", "tls: {mode: SIMPLE, sni: x.example.com}")->tls));
    world_fini(&world);
}

static void test_an_entry_is_seen_where_it_is_exported_to(void **state)
{
    static const struct {
        const char *list;
        bool is_seen;
    } cases[] = {{"['*']", true},
                 {"['.']", false},
                 {"['~']", false},
                 {"[istio-system]", true},
                 {"[prod]", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        char yaml[512];
        world_init(&world);
        world_load(&world, GATEWAY TO("api.example.com"));
        snprintf(yaml, sizeof yaml,
                 ENTRY("a", "hosts: [api.example.com], resolution: STATIC, " PORT
                            ", endpoints: [{address: 192.0.2.1}], exportTo: %s"),
                 cases[i].list);
        world_load(&world, yaml);
        world_compile(&world);
        assert_int_equal(!world_cluster(&world, API)->is_missing, cases[i].is_seen);
        assert_int_equal(world_count(&world, DIAG_NOT_EXPORTED), !cases[i].is_seen);
        world_fini(&world);
    }
}

static void test_the_address_dialled_is_known_to_a_sidecar_alone(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world, GATEWAY TO("api.example.com") ENTRY("a", "hosts: [api.example.com], " PORT));
    world_compile(&world);
    assert_int_equal(world_count(&world, DIAG_ENTRY_NO_ADDRESS), 1);
    expect_cluster(&world, API, "");
    world_fini(&world);
}

static void test_an_entry_without_endpoints_says_why(void **state)
{
    static const struct {
        const char *spec, *why;
    } cases[] = {
        {"resolution: STATIC, endpoints: [{address: 192.0.2.1}]", "has the labels of the subset"},
        {"resolution: DNS", "has no labels"},
        {"resolution: STATIC, workloadSelector: {labels: {app: x}}",
         "has the labels of the subset"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        char yaml[1024];
        world_init(&world);
        world_load(&world,
                   GATEWAY ROUTES("{route: [{destination: {host: api.example.com, subset: eu}}]}")
                       RULE("api.example.com", "subsets: [{name: eu, labels: {region: eu}}]"));
        snprintf(yaml, sizeof yaml, ENTRY("a", "hosts: [api.example.com], " PORT ", %s"),
                 cases[i].spec);
        world_load(&world, yaml);
        world_compile(&world);
        assert_int_equal(world_count(&world, DIAG_NO_ENDPOINTS), 1);
        const struct diag *diag = diags_get(world.diags, 0);
        if (!strstr(diag->message.ptr, cases[i].why))
            fail_msg("%.*s", STR_ARG(diag->message));
        world_fini(&world);
    }
}

static void test_the_catalog_knows_services_and_entries(void **state)
{
    struct world world;
    world_init(&world);
    world_load(&world,
               WORLD_SERVICE("web", "default", 80) ENTRY(
                   "a", "hosts: [api.example.com, '*.example.org'], addresses: [192.0.2.0/24, "
                        "2001:db8::1], resolution: STATIC, " PORT)
                   WORLD_SERVICE("db", "default", 5432));
    struct compiler c = {.store = world.store,
                         .options = &world.options,
                         .scratch = arena_create(0),
                         .diags = world.diags};
    catalog_create(&c);
    size_t n = 0;
    const struct catalog_host *const *all = catalog_all(&c, &n);
    assert_int_equal(n, 4);
    static const char *const names[] = {"web.default.svc.cluster.local", "*.example.org",
                                        "api.example.com", "db.default.svc.cluster.local"};
    for (size_t i = 0; i < n; i++)
        assert_true(str_is(all[i]->name, names[i]));
    assert_true(all[0]->is_service);
    assert_false(all[2]->is_service);
    assert_int_equal(all[2]->n_addresses, 2);
    assert_int_equal(all[2]->addresses[0].bits, 24);
    assert_int_equal(all[2]->addresses[1].bits, 128);
    assert_ptr_equal(catalog_find(&c, STR("api.example.com")), all[2]);
    assert_ptr_equal(catalog_find(&c, STR("x.y.example.org")), all[1]);
    assert_ptr_equal(catalog_find(&c, STR("web.default.svc.cluster.local")), all[0]);
    assert_null(catalog_find(&c, STR("example.org")));
    assert_null(catalog_find(&c, STR("web")));
    assert_null(catalog_find(&c, STR("")));
    assert_non_null(catalog_port_numbered(all[3], 5432));
    assert_null(catalog_port_numbered(all[3], 80));
    catalog_destroy(&c);
    arena_destroy(c.scratch);
    buf_fini(&c.brief);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_addresses_of_a_name_are_used),
        cmocka_unit_test(test_one_address_at_a_time_leaves_the_others_for_what_is_open),
        cmocka_unit_test(test_a_name_without_an_answer_is_waited_for),
        cmocka_unit_test(test_endpoints_may_be_names),
        cmocka_unit_test(test_a_wildcard_is_looked_up_when_asked_for_and_within_itself_only),
        cmocka_unit_test(test_the_narrowest_wildcard_counts),
        cmocka_unit_test(test_a_wildcard_does_not_cover_its_own_domain),
        cmocka_unit_test(test_subsets_choose_endpoints_by_label),
        cmocka_unit_test(test_a_rule_holds_for_an_outside_host_and_its_port),
        cmocka_unit_test(test_connections_to_the_outside_are_probed_and_have_an_age),
        cmocka_unit_test(test_a_service_of_the_cluster_is_probed_when_its_rule_says_so),
        cmocka_unit_test(test_passthrough_of_a_gateway_is_said_to_have_no_effect),
        cmocka_unit_test(test_http2_to_the_outside_is_asked_for_by_alpn),
        cmocka_unit_test(test_connections_that_bring_no_host_ask_for_that_of_the_entry),
        cmocka_unit_test(test_an_entry_is_seen_where_it_is_exported_to),
        cmocka_unit_test(test_the_address_dialled_is_known_to_a_sidecar_alone),
        cmocka_unit_test(test_an_entry_without_endpoints_says_why),
        cmocka_unit_test(test_the_catalog_knows_services_and_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
