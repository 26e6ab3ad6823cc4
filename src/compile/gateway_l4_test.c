// SPDX-License-Identifier: Apache-2.0
#include "compile/fixture.h"

#define GATEWAY(name, servers)                                                                     \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: " name "}\nspec:\n"  \
    "  servers:\n" servers
#define SERVER(port, name, protocol, hosts, tls)                                                   \
    "  - {port: {number: " #port ", name: " name ", protocol: " protocol "}, hosts: [" hosts       \
    "]" tls "}\n"
#define PASSTHROUGH ", tls: {mode: PASSTHROUGH}"
#define SERVICES WORLD_SERVICE("a", "default", 80) WORLD_SERVICE("b", "default", 80)
#define VS(name, spec)                                                                             \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name        \
    "}\nspec: {" spec "}\n"
#define TO(host) "route: [{destination: {host: " host "}}]"
#define SNI(names, host) "{match: [{sniHosts: [" names "]}], " TO(host) "}"

static void load(struct world *world, const char *yaml)
{
    world_init(world);
    world_load(world, yaml);
    world_compile(world);
}

static void expect_way(struct world *world, uint16_t port, const char *sni, const char *wanted)
{
    const char *got = world_connect(world, port, sni);
    if (strcmp(got, wanted) != 0)
        fail_msg("port %u, \"%s\": wanted \"%s\", got \"%s\"", port, sni, wanted, got);
}

static void test_tls_is_passed_on_by_server_name(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         GATEWAY("gw", SERVER(443, "tls", "TLS", "'*.example.com', b.org", PASSTHROUGH))
             SERVICES VS("vs", "hosts: ['*.example.com', '*.org'], gateways: [gw], tls: [" SNI(
                                   "A.example.com, x.org, '*.org'", "a") ", " SNI("'*.example.com'",
                                                                                  "b") "]"));
    expect_way(&world, 443, "a.example.com", "a");
    expect_way(&world, 443, "c.example.com", "b");
    expect_way(&world, 443, "c.d.example.com", "b");
    expect_way(&world, 443, "example.com", "drop");
    expect_way(&world, 443, "b.org", "a"); // the narrower of *.org and b.org
    expect_way(&world, 443, "c.org", "drop");
    expect_way(&world, 443, "", "drop");
    assert_int_equal(world_count(&world, DIAG_HOST_NOT_IN_GATEWAY), 1); // x.org
    assert_int_equal(world_listener(&world, 443)->kind, LISTENER_TLS);
    world_fini(&world);
}

static void test_a_repeated_server_name_is_skipped(void **state)
{
    (void)state;
    struct world world;
    load(&world, GATEWAY("gw", SERVER(443, "tls", "HTTPS", "'*'", PASSTHROUGH))
                     SERVICES VS("vs1", "hosts: ['*.x.org'], gateways: [gw], tls: [" SNI(
                                            "a.x.org", "a") ", " SNI("'a.x.org', b.x.org", "b") "]")
                         VS("vs2", "hosts: [a.x.org, '*.y.org'], gateways: [gw], tls: [" SNI(
                                       "a.x.org, '*.y.org'", "b") "]"));
    expect_way(&world, 443, "a.x.org", "a");
    expect_way(&world, 443, "b.x.org", "b");
    expect_way(&world, 443, "z.y.org", "b");
    assert_int_equal(world_count(&world, DIAG_ROUTE_TAKEN), 2);
    world_fini(&world);
}

static void test_a_catch_all_takes_connections_without_a_name(void **state)
{
    (void)state;
    struct world world;
    load(&world, GATEWAY("gw", SERVER(443, "tls", "TLS", "'*'", ", tls: {}"))
                     SERVICES VS("vs", "hosts: ['*'], gateways: [gw], tls: [" SNI(
                                           "a.org", "a") ", " SNI("'*'", "b") "]"));
    expect_way(&world, 443, "a.org", "a");
    expect_way(&world, 443, "b.org", "b");
    expect_way(&world, 443, "", "b");
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_a_tcp_server_has_the_routes_of_the_first_that_fits(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         GATEWAY("gw", SERVER(9000, "a", "TCP", "'*'", "") SERVER(27017, "b", "MONGO", "'*'", ""))
             SERVICES VS("vs1",
                         "hosts: ['*'], gateways: [gw], tcp: [{match: [{port: 27017}], "
                         "route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, "
                         "weight: 3}]}]")
                 VS("vs2", "hosts: ['*'], gateways: [gw], tcp: [{match: "
                           "[{port: 9000}, {port: 27017}], " TO("b") "}, {" TO("a") "}]"));
    expect_way(&world, 27017, "", "a*1 b*3");
    expect_way(&world, 9000, "", "b");
    assert_int_equal(world_count(&world, DIAG_ROUTE_TAKEN), 2); // both rules of vs2, on 27017
    assert_int_equal(world_count(&world, DIAG_UNREACHABLE_ROUTE), 1);
    assert_int_equal(world_count(&world, DIAG_GATEWAY_UNBOUND), 0);
    assert_int_equal(world_count(&world, DIAG_MATCH_NOT_APPLICABLE), 0);
    world_fini(&world);
}

static void test_destination_subnets_are_tried_in_turn(void **state)
{
    (void)state;
    struct world world;
    load(&world, GATEWAY("gw", SERVER(9000, "a", "TCP", "'*'", "")) SERVICES VS(
                     "vs", "hosts: ['*'], gateways: [gw], tcp: [{match: [{destinationSubnets: "
                           "[10.1.2.3/16, '2001:db8::/32']}], " TO("a") "}, {" TO("b") "}]"));
    const struct tcp_routes *routes = &world_listener(&world, 9000)->tcp;
    assert_int_equal(routes->n, 2);
    assert_int_equal(routes->items[0].n_destinations, 2);
    assert_int_equal(routes->items[0].destinations[0].bits, 16);
    assert_int_equal(routes->items[0].destinations[0].base.ip[2], 0);
    assert_int_equal(routes->items[0].destinations[1].bits, 32);
    assert_int_equal(routes->items[1].n_destinations, 0);
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_places_of_a_match_are_those_of_the_gateway(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         GATEWAY("gw", SERVER(443, "tls", "TLS", "'*'", PASSTHROUGH)) SERVICES VS(
             "vs",
             "hosts: ['*.org'], gateways: [gw, mesh], tls: ["
             "{match: [{sniHosts: [a.org], port: 8443}], " TO(
                 "a") "}, "
                      "{match: [{sniHosts: [a.org], gateways: [mesh]}], " TO(
                          "a") "}, "
                               "{match: [{sniHosts: [b.org], sourceNamespace: elsewhere}], " TO(
                                   "a") "}, "
                                        "{match: [{sniHosts: [a.org], gateways: [gw], "
                                        "sourceNamespace: elsewhere}], " TO("b") "}]"));
    expect_way(&world, 443, "a.org", "b");
    expect_way(&world, 443, "b.org", "drop");
    // The block that names only mesh is what a VirtualService for both is written for.
    assert_int_equal(world_count(&world, DIAG_MESH_ONLY), 2);
    world_fini(&world);
}

static void test_what_is_broken_closes_its_connections(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load_broken(
        &world,
        GATEWAY("gw",
                SERVER(443, "tls", "TLS", "'*'", PASSTHROUGH) SERVER(9000, "a", "TCP", "'*'", ""))
            SERVICES VS(
                "vs1",
                "hosts: ['*.org'], gateways: [gw], tls: [{match: [{sniHosts: [a.org, "
                "a.com]}], " TO("a") "}, {match: [{sniHosts: [b.org]}], route: [{weight: 1}]}], "
                                     "tcp: [{match: [{port: 9000}], route: [{destination: {host: "
                                     "a}, weight: -1}]}]")
                VS("vs2", "hosts: ['*'], gateways: [gw], tls: [" SNI("'*.org', a.com",
                                                                     "b") "], "
                                                                          "tcp: [{" TO("b") "}]"));
    world_compile(&world);
    expect_way(&world, 443, "a.org", "hole");
    expect_way(&world, 443, "b.org", "hole");
    expect_way(&world, 443, "c.org", "b");
    expect_way(&world, 443, "a.com", "b"); // vs1 has no right to it
    expect_way(&world, 9000, "", "hole");
    assert_int_equal(world_count(&world, DIAG_ROUTE_INVALID), 3);
    world_fini(&world);
}

static void test_one_port_has_one_kind_of_server(void **state)
{
    (void)state;
    struct world world;
    load(&world, GATEWAY("gw", SERVER(80, "a", "HTTP", "'*'", "") SERVER(80, "b", "TCP", "'*'", "")
                                   SERVER(443, "c", "TLS", "a.org, b.org", PASSTHROUGH)
                                       SERVER(443, "d", "TLS", "b.org", PASSTHROUGH)
                                           SERVER(443, "e", "TLS", "c.org", PASSTHROUGH))
                     SERVICES VS("vs", "hosts: ['*'], gateways: [gw], tls: [" SNI(
                                           "'*'", "a") "], "
                                                       "http: [{" TO("b") "}]"));
    assert_int_equal(world_listener(&world, 80)->kind, LISTENER_HTTP);
    expect_way(&world, 443, "b.org", "a");
    expect_way(&world, 443, "c.org", "a");
    assert_int_equal(world_count(&world, DIAG_LISTENER_CONFLICT), 1);
    assert_int_equal(world_count(&world, DIAG_SERVER_CONFLICT), 1);
    world_fini(&world);
}

static void test_the_namespace_of_a_host_filters_and_unbound_servers_listen(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         GATEWAY("gw", SERVER(443, "tls", "TLS", "other/a.org, ./b.org", PASSTHROUGH)
                           SERVER(9000, "a", "TCP", "'*'", ""))
             SERVICES VS("vs", "hosts: ['*.org'], gateways: [gw], tls: [" SNI("'*.org'", "a") "]"));
    expect_way(&world, 443, "a.org", "drop");
    expect_way(&world, 443, "b.org", "a");
    expect_way(&world, 9000, "", "drop");
    assert_int_equal(world_count(&world, DIAG_GATEWAY_UNBOUND), 1);
    world_fini(&world);
}

static void test_an_ingress_or_node_port_finds_the_port_taken(void **state)
{
    (void)state;
    struct world world;
    load(
        &world,
        GATEWAY("gw",
                SERVER(80, "a", "TCP", "'*'", "") SERVER(30007, "b", "TCP", "'*'", "")) SERVICES
            VS("vs",
               "hosts: ['*'], gateways: [gw], tcp: [{" TO(
                   "a") "}]") "---\napiVersion: v1\nkind: Service\nmetadata: {name: node}\n"
                              "spec: {type: NodePort, ports: [{port: 80, nodePort: 30007}]}\n"
                              "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: "
                              "{name: i}\n"
                              "spec: {defaultBackend: {service: {name: b, port: {number: 80}}}}\n");
    expect_way(&world, 80, "", "a");
    expect_way(&world, 30007, "", "a");
    assert_int_equal(world_listener(&world, 30007)->tcp.n, 1);
    assert_int_equal(world_count(&world, DIAG_LISTENER_CONFLICT), 2);
    world_fini(&world);
}

static void test_rules_for_another_kind_of_server_are_told(void **state)
{
    (void)state;
    struct world world;
    load(&world, GATEWAY("http", SERVER(80, "a", "HTTP", "'*'", ""))
                     GATEWAY("tcp", SERVER(9000, "a", "TCP", "'*'", "")) SERVICES VS(
                         "vs1", "hosts: [a.org], gateways: [http], http: [{" TO(
                                    "a") "}], tls: [" SNI("a.org", "a") "], tcp: [{" TO("a") "}]")
                         VS("vs2", "hosts: [a.org], gateways: [tcp], http: [{" TO(
                                       "a") "}], tcp: [{" TO("a") "}]"));
    assert_int_equal(world_count(&world, DIAG_MATCH_NOT_APPLICABLE), 3);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_is_passed_on_by_server_name),
        cmocka_unit_test(test_a_repeated_server_name_is_skipped),
        cmocka_unit_test(test_a_catch_all_takes_connections_without_a_name),
        cmocka_unit_test(test_a_tcp_server_has_the_routes_of_the_first_that_fits),
        cmocka_unit_test(test_destination_subnets_are_tried_in_turn),
        cmocka_unit_test(test_places_of_a_match_are_those_of_the_gateway),
        cmocka_unit_test(test_what_is_broken_closes_its_connections),
        cmocka_unit_test(test_one_port_has_one_kind_of_server),
        cmocka_unit_test(test_the_namespace_of_a_host_filters_and_unbound_servers_listen),
        cmocka_unit_test(test_an_ingress_or_node_port_finds_the_port_taken),
        cmocka_unit_test(test_rules_for_another_kind_of_server_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
