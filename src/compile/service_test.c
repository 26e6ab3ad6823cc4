// SPDX-License-Identifier: Apache-2.0
// Services: where endpoints come from, subsets and policies, nodePorts, on compiled snapshots.
#include "compile/fixture.h"

// An Ingress makes the clusters of the ports it names.
#define INGRESS(port)                                                                              \
    "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec:\n"           \
    "  defaultBackend: {service: {name: web, port: " port "}}\n"
#define SERVICE(spec)                                                                              \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {" spec "}\n"
#define SLICE(name, type, ports, endpoints)                                                        \
    "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: " name          \
    "\n  labels: {kubernetes.io/service-name: web}\naddressType: " type "\nports: [" ports         \
    "]\nendpoints: [" endpoints "]\n"
#define POD(name, ip, labels, port, status)                                                        \
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", labels: {" labels "}}\n"           \
    "spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: " #port           \
    "}]}]}\nstatus: {podIP: " ip status "}\n"
#define WEB "outbound|80||web.default.svc.cluster.local"

static void expect_endpoints(struct world *world, const char *cluster, const char *wanted)
{
    struct str got = world_endpoints(world, cluster);
    if (!str_is(got, wanted))
        fail_msg("%s: wanted \"%s\", got \"%.*s\"", cluster, wanted, STR_ARG(got));
}

// Loads the manifests behind the Ingress and expects these endpoints of port 80.
static void expect(const char *yaml, const char *wanted)
{
    struct world world;
    world_init(&world);
    world_load(&world, INGRESS("{number: 80}"));
    world_load(&world, yaml);
    world_compile(&world);
    expect_endpoints(&world, WEB, wanted);
    world_fini(&world);
}

// The table of conditions: ready, serving, terminating -> used; alone, or beside a ready endpoint.
static void test_conditions_say_which_endpoints_are_used(void **state)
{
    (void)state;
    static const struct {
        const char *conditions;
        bool alone, beside_ready;
    } rows[] = {
        {"ready: true, serving: true, terminating: false", true, true},
        {"", true, true}, // unset: ready
        {"ready: false, serving: false, terminating: false", false, false},
        {"ready: false, serving: true, terminating: true", true, false},
        {"ready: false, serving: false, terminating: true", false, false},
        {"ready: false", false, false},
        {"ready: false, terminating: true", true, false}, // serving unset: true
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[1024];
        snprintf(yaml, sizeof yaml,
                 SERVICE("ports: [{port: 80}]") SLICE("s", "IPv4", "{port: 8080}",
                                                      "{addresses: [10.0.0.1], conditions: {%s}}"),
                 rows[i].conditions);
        expect(yaml, rows[i].alone ? "10.0.0.1:8080" : "");
        snprintf(yaml, sizeof yaml,
                 SERVICE("ports: [{port: 80}]")
                     SLICE("s", "IPv4", "{port: 8080}",
                           "{addresses: [10.0.0.9]}, {addresses: [10.0.0.1], conditions: {%s}}"),
                 rows[i].conditions);
        expect(yaml, rows[i].beside_ready ? "10.0.0.1:8080 10.0.0.9:8080" : "10.0.0.9:8080");
    }
}

static void test_slices_add_up_and_an_address_counts_once(void **state)
{
    (void)state;
    expect(SERVICE("ports: [{name: http, port: 80, targetPort: 8080}]")
               SLICE("one", "IPv4", "{name: http, port: 8080}, {name: other, port: 1}",
                     "{addresses: [10.0.0.1]}, {addresses: [10.0.0.2, 10.0.0.3]}")
                   SLICE("two", "IPv4", "{name: http, port: 8080}", "{addresses: [10.0.0.1]}")
                       SLICE("six", "IPv6", "{name: http}", "{addresses: ['fd00::1']}") SLICE(
                           "wrong-name", "IPv4", "{name: web, port: 1}", "{addresses: [10.0.0.8]}")
                           SLICE("udp", "IPv4", "{name: http, protocol: UDP, port: 1}",
                                 "{addresses: [10.0.0.9]}"),
           "10.0.0.1:8080 10.0.0.2:8080 [fd00::1]:8080");
}

static void test_endpoints_objects_count_where_there_is_no_slice(void **state)
{
    (void)state;
#define ENDPOINTS                                                                                  \
    "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets:\n"                      \
    "- {addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{port: "         \
    "8080}]}\n"
    expect(SERVICE("ports: [{port: 80}]") ENDPOINTS, "10.0.0.1:8080");
    expect(SERVICE("ports: [{port: 80}], publishNotReadyAddresses: true") ENDPOINTS,
           "10.0.0.1:8080 10.0.0.2:8080");
    expect(SERVICE("ports: [{port: 80}]")
               ENDPOINTS SLICE("s", "IPv4", "{port: 8080}", "{addresses: [10.0.0.7]}"),
           "10.0.0.7:8080");
}

static void test_a_selector_finds_pods_where_there_is_no_slice(void **state)
{
    (void)state;
#define PODS                                                                                       \
    POD("a", "10.0.0.1", "app: web, tier: x", 8080, "")                                            \
    POD("b", "10.0.0.2", "app: web", 8081, "")                                                     \
    POD("starting", "10.0.0.3", "app: web", 8080,                                                  \
        ", conditions: [{type: Ready, status: 'False'}]")                                          \
    POD("done", "10.0.0.4", "app: web", 8080, ", phase: Succeeded")                                \
    POD("other", "10.0.0.5", "app: other", 8080, "")
    expect(SERVICE("selector: {app: web}, ports: [{port: 80, targetPort: http}]") PODS,
           "10.0.0.1:8080 10.0.0.2:8081");
    expect(SERVICE("selector: {app: web}, ports: [{port: 80, targetPort: 9}]") PODS,
           "10.0.0.1:9 10.0.0.2:9");
    expect(SERVICE("selector: {app: web}, ports: [{port: 80}]") PODS, "10.0.0.1:80 10.0.0.2:80");
    expect(SERVICE("selector: {app: web, tier: x}, ports: [{port: 80}]") PODS, "10.0.0.1:80");
    expect(SERVICE("selector: {app: nobody}, ports: [{port: 80}]") PODS, "");
    expect(SERVICE("selector: {app: web}, publishNotReadyAddresses: true, clusterIP: None, "
                   "ports: [{port: 80}]") PODS,
           "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
}

static void addresses_of(void *arg, struct str name, bool by_first, struct name_addresses *ret)
{
    static struct address addresses[2];
    assert_true(str_is(name, "backend.example.com"));
    assert_false(by_first);
    assert_true(address_parse_ip(STR("192.0.2.1"), &addresses[0]));
    assert_true(address_parse_ip(STR("2001:db8::1"), &addresses[1]));
    *ret = (struct name_addresses){.items = addresses, .n = *(const uint32_t *)arg};
}

static void test_an_external_name_is_looked_up(void **state)
{
    (void)state;
    static const char *const wanted[] = {"", "192.0.2.1:8443", "192.0.2.1:8443 [2001:db8::1]:8443"};
    for (uint32_t n = 0; n <= 2; n++) {
        struct world world;
        world_init(&world);
        world.names = (struct name_lookup){addresses_of, &n};
        world_load(&world, INGRESS("{number: 80}")
                               SERVICE("type: ExternalName, externalName: backend.example.com, "
                                       "ports: [{port: 80, targetPort: 8443}]"));
        world_compile(&world);
        expect_endpoints(&world, WEB, wanted[n]);
        world_fini(&world);
    }
}

static void test_an_external_name_may_be_an_address_or_another_service(void **state)
{
    (void)state;
    expect(SERVICE("type: ExternalName, externalName: 192.0.2.9"), "192.0.2.9:80");
    expect(
        SERVICE(
            "type: ExternalName, externalName: real.prod.svc.cluster.local") "---\napiVersion: "
                                                                             "v1\nkind: "
                                                                             "Service\nmetadata: "
                                                                             "{name: real, "
                                                                             "namespace: prod}\n"
                                                                             "spec: {ports: "
                                                                             "[{port: "
                                                                             "80}]}\n---"
                                                                             "\napiVersion: "
                                                                             "v1\nkind: Endpoints\n"
                                                                             "metadata: {name: "
                                                                             "real, namespace: "
                                                                             "prod}\nsubsets:\n"
                                                                             "- {addresses: [{ip: "
                                                                             "10.0.0.1}], ports: "
                                                                             "[{port: 8080}]}\n",
        "10.0.0.1:8080");
}

#define GATEWAY_AND_RULES(rules)                                                                   \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\n"               \
    "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n"          \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n"        \
    "spec: {gateways: [gw], hosts: [h.example.com], http: [" rules "]}\n"
#define RULE(path, port, subset)                                                                   \
    "{match: [{uri: {prefix: " path "}}], route: [{destination: {host: web, port: {number: " port  \
    "}, subset: " subset "}}]},"
#define RULES_DR(name, ns, fields)                                                                 \
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " name       \
    ", namespace: " ns "}\nspec: {" fields "}\n"

static void test_policies_overlay_in_blocks(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load(&world,
               SERVICE("selector: {app: web}, ports: [{name: a, port: 80}, {name: b, port: 81}]")
                   GATEWAY_AND_RULES(RULE("/1", "80", "plain") RULE("/2", "80", "pool")
                                         RULE("/3", "81", "plain") RULE("/4", "81", "ported"))
                       RULES_DR("dr", "default",
                                "host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}, "
                                "connectionPool: {tcp: {connectTimeout: 2s}, http: {idleTimeout: "
                                "30s}}, portLevelSettings: [{port: {number: 81}, connectionPool: "
                                "{http: {maxRequestsPerConnection: 7}}}]}, subsets: [{name: "
                                "plain}, {name: pool, trafficPolicy: {connectionPool: {tcp: "
                                "{connectTimeout: 3s}}}}, {name: ported, trafficPolicy: "
                                "{loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: "
                                "{number: 81}, loadBalancer: {simple: RANDOM}}]}}]"));
    world_compile(&world);
    static const struct {
        const char *cluster;
        enum balancer balancer;
        uint32_t connect_ms, idle_ms, requests;
    } rows[] = {
        {"outbound|80|plain|web.default.svc.cluster.local", BALANCE_RANDOM, 2000, 30000, 0},
        // a connectionPool replaces the whole of the other
        {"outbound|80|pool|web.default.svc.cluster.local", BALANCE_RANDOM, 3000, 3600000, 0},
        // portLevelSettings leave nothing of the rest
        {"outbound|81|plain|web.default.svc.cluster.local", BALANCE_LEAST_REQUEST, 10000, 3600000,
         7},
        {"outbound|81|ported|web.default.svc.cluster.local", BALANCE_RANDOM, 10000, 3600000, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct cluster *cluster = world_cluster(&world, rows[i].cluster);
        assert_non_null(cluster);
        assert_int_equal(cluster->balancer, rows[i].balancer);
        assert_int_equal(cluster->connect_timeout_ms, rows[i].connect_ms);
        assert_int_equal(cluster->idle_timeout_ms, rows[i].idle_ms);
        assert_int_equal(cluster->requests_per_connection_max, rows[i].requests);
    }
    world_fini(&world);
}

// Each row: DestinationRules by namespace and host, each with its own balancer; who wins.
static void test_the_namespace_decides_which_rule_counts(void **state)
{
    (void)state;
#define DR(ns, host, name, balancer)                                                               \
    RULES_DR(name, ns, "host: '" host "', trafficPolicy: {loadBalancer: {simple: " balancer "}}")
    static const struct {
        const char *rules;
        enum balancer wins;
    } rows[] = {
        {"", BALANCE_LEAST_REQUEST},
        {DR("default", "web", "dr-1", "RANDOM"), BALANCE_RANDOM},
        {DR("prod", "web.default.svc.cluster.local", "dr-2", "RANDOM"), BALANCE_LEAST_REQUEST},
        // the gateway's own namespace (the root, too) before the Service's
        {DR("default", "web", "dr-3", "RANDOM")
             DR("istio-system", "web.default.svc.cluster.local", "dr-4", "ROUND_ROBIN"),
         BALANCE_ROUND_ROBIN},
        {DR("istio-system", "*.default.svc.cluster.local", "dr-5", "ROUND_ROBIN")
             DR("default", "web", "dr-6", "RANDOM"),
         BALANCE_ROUND_ROBIN},
        // exact before wildcards, the longest of them first
        {DR("default", "*.cluster.local", "dr-7", "ROUND_ROBIN")
             DR("default", "web", "dr-8", "RANDOM"),
         BALANCE_RANDOM},
        {DR("default", "*", "dr-9", "ROUND_ROBIN")
             DR("default", "*.default.svc.cluster.local", "dr-10", "RANDOM"),
         BALANCE_RANDOM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        world_load(&world, INGRESS("{number: 80}") SERVICE("ports: [{port: 80}]"));
        world_load(&world, rows[i].rules);
        world_compile(&world);
        if (world_cluster(&world, WEB)->balancer != rows[i].wins)
            fail_msg("row %zu: balancer %d", i, world_cluster(&world, WEB)->balancer);
        world_fini(&world);
    }
}

static void test_a_subset_takes_the_endpoints_whose_pods_carry_its_labels(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load(&world,
               SERVICE("selector: {app: web}, ports: [{port: 80}]")
                   POD("a", "10.0.0.1", "app: web, version: v1", 80, "")
                       POD("b", "10.0.0.2", "app: web, version: v2", 80, "")
                           SLICE("s", "IPv4", "{port: 8080}",
                                 "{addresses: [10.0.0.1]}, {addresses: [10.9.9.9], targetRef: "
                                 "{kind: Pod, name: b}}, {addresses: [10.8.8.8]}")
                               GATEWAY_AND_RULES(RULE("/1", "80", "v1") RULE("/2", "80", "v2")
                                                     RULE("/3", "80", "v3") RULE("/4", "80", "all"))
                                   RULES_DR("dr", "default",
                                            "host: web, subsets: [{name: v1, labels: {version: "
                                            "v1}}, {name: v2, labels: {version: v2}}, {name: v3, "
                                            "labels: {version: v3}}, {name: all}]"));
    world_compile(&world);
    expect_endpoints(&world, "outbound|80|v1|web.default.svc.cluster.local", "10.0.0.1:8080");
    expect_endpoints(&world, "outbound|80|v2|web.default.svc.cluster.local", "10.9.9.9:8080");
    expect_endpoints(&world, "outbound|80|v3|web.default.svc.cluster.local", "");
    expect_endpoints(&world, "outbound|80|all|web.default.svc.cluster.local",
                     "10.0.0.1:8080 10.8.8.8:8080 10.9.9.9:8080");
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_node_ports_are_tcp_listeners_within_the_range(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint16_t port;
        bool is_open;
        enum diag_code code; // DIAG_CODE_COUNT: none
    } rows[] = {
        {"type: NodePort, ports: [{port: 80, nodePort: 30000}]", 30000, true, DIAG_CODE_COUNT},
        {"type: LoadBalancer, ports: [{port: 80, nodePort: 32767}]", 32767, true, DIAG_CODE_COUNT},
        {"type: NodePort, ports: [{port: 80, nodePort: 29999}]", 29999, false, DIAG_NODEPORT_RANGE},
        {"type: NodePort, ports: [{port: 80, nodePort: 32768}]", 32768, false, DIAG_NODEPORT_RANGE},
        {"type: NodePort, ports: [{port: 80, protocol: UDP, nodePort: 30001}]", 30001, false,
         DIAG_NODEPORT_PROTOCOL},
        {"type: NodePort, ports: [{port: 80}]", 80, false, DIAG_NODEPORT_UNSET},
        {"type: LoadBalancer, ports: [{port: 80}]", 80, false, DIAG_CODE_COUNT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[512];
        world_init(&world);
        snprintf(yaml, sizeof yaml, SERVICE("%s"), rows[i].spec);
        world_load(&world, yaml);
        world_compile(&world);
        const struct listener *listener = world_listener(&world, rows[i].port);
        assert_int_equal(listener != NULL, rows[i].is_open);
        if (listener) {
            assert_int_equal(listener->kind, LISTENER_TCP);
            assert_true(str_is(listener->tcp.items[0].targets[0].cluster->name, WEB));
        }
        if (rows[i].code != DIAG_CODE_COUNT)
            assert_int_equal(world_count(&world, rows[i].code), 1);
        else
            world_expect_quiet(&world);
        world_fini(&world);
    }
}

static void test_the_oldest_service_keeps_a_node_port(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load(
        &world,
        SERVICE(
            "type: NodePort, ports: [{port: 80, nodePort: 30007}]") "---\napiVersion: v1\nkind: "
                                                                    "Service\nmetadata: {name: "
                                                                    "later}\n"
                                                                    "spec: {type: NodePort, ports: "
                                                                    "[{name: a, port: 80, "
                                                                    "nodePort: 30007}, "
                                                                    "{name: b, port: 81, nodePort: "
                                                                    "30008}]}\n");
    world_compile(&world);
    assert_true(str_is(world_listener(&world, 30007)->tcp.items[0].targets[0].cluster->name, WEB));
    assert_non_null(world_listener(&world, 30008));
    assert_int_equal(world_count(&world, DIAG_NODEPORT_CONFLICT), 1);
    world_fini(&world);
}

static void test_port_maps_say_where_a_port_is_really_opened(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    static const struct port_map maps[] = {{80, 8080}, {30007, 13007}};
    world.options.port_maps = maps;
    world.options.n_port_maps = 2;
    world_load(&world, INGRESS("{number: 80}")
                           SERVICE("type: NodePort, ports: [{port: 80, nodePort: 30007}]"));
    world_compile(&world);
    assert_int_equal(world_listener(&world, 80)->bind.port, 8080);
    assert_int_equal(world_listener(&world, 30007)->bind.port, 13007);
    world_fini(&world);
}

static void test_thousands_without_endpoints_are_told_by_their_number(void **state)
{
    (void)state;
    enum { SERVICES = 130 };
    struct world world;
    world_init(&world);
    struct buf yaml = {0};
    buf_add_text(&yaml, "apiVersion: v1\nkind: List\nitems:\n");
    for (int i = 0; i < SERVICES; i++)
        buf_printf(
            &yaml,
            "- {apiVersion: v1, kind: Service, metadata: {name: s%d}, spec: {type: NodePort, "
            "ports: [{port: 80, nodePort: %d}]}}\n",
            i, 30000 + i);
    world_load(&world, yaml.data);
    world_compile(&world);
    assert_int_equal(world_count(&world, DIAG_NO_ENDPOINTS), 101);
    buf_fini(&yaml);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_say_which_endpoints_are_used),
        cmocka_unit_test(test_slices_add_up_and_an_address_counts_once),
        cmocka_unit_test(test_endpoints_objects_count_where_there_is_no_slice),
        cmocka_unit_test(test_a_selector_finds_pods_where_there_is_no_slice),
        cmocka_unit_test(test_an_external_name_is_looked_up),
        cmocka_unit_test(test_an_external_name_may_be_an_address_or_another_service),
        cmocka_unit_test(test_policies_overlay_in_blocks),
        cmocka_unit_test(test_the_namespace_decides_which_rule_counts),
        cmocka_unit_test(test_a_subset_takes_the_endpoints_whose_pods_carry_its_labels),
        cmocka_unit_test(test_node_ports_are_tcp_listeners_within_the_range),
        cmocka_unit_test(test_the_oldest_service_keeps_a_node_port),
        cmocka_unit_test(test_port_maps_say_where_a_port_is_really_opened),
        cmocka_unit_test(test_thousands_without_endpoints_are_told_by_their_number),
    };
    return cmocka_run_group_tests_name("compile-service", tests, NULL, NULL);
}
