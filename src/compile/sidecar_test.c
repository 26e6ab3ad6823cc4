// SPDX-License-Identifier: Apache-2.0
// What a sidecar does with what its workload dials: where requests, names and addresses lead.
#include "compile/fixture.h"
#include "route/address_index.h"
#include <stdlib.h>

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    world_init(world);
    world->options.is_sidecar = true;
    world->options.ns = STR("shop");
    world->options.outbound_port = 15001;
    world->options.inbound_port = 15006;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

static const struct captured_port *port_of(const struct world *world, uint16_t listener,
                                           uint16_t port)
{
    return listener_captured_port(world_listener(world, listener), port);
}

static const char *cluster_text(struct world *world, const struct target *target)
{
    struct str name = target->cluster->name;
    snprintf(world->answer, WORLD_ANSWER_MAX, "%.*s%s", STR_ARG(name),
             target->cluster->is_missing ? " 503" : "");
    return world->answer;
}

// Where a request for `host` on the port goes: a cluster, "=status", "404".
static const char *ask(struct world *world, uint16_t port, const char *host)
{
    const struct http_hosts *hosts = port_of(world, 15001, port)->hosts;
    const struct vhost *vhost = host_table_find(hosts->table, str_of(host));
    struct request_view request = {.host = str_of(host),
                                   .authority = str_of(host),
                                   .path = STR("/"),
                                   .method = STR("GET"),
                                   .scheme = STR("http"),
                                   .headers = &world->headers};
    const struct route *route = vhost ? vhost_find_route(vhost, &request) : NULL;
    if (!route)
        return "404";
    if (route->action == ROUTE_FORWARD)
        return cluster_text(world, &route->targets[0]);
    snprintf(world->answer, WORLD_ANSWER_MAX, "=%u %.*s", route->status, STR_ARG(route->name));
    return world->answer;
}

static const char *first_route(struct world *world, const struct tcp_routes *routes)
{
    assert_true(routes->n > 0);
    assert_int_equal(routes->items[routes->n - 1].n_destinations, 0); // one takes all
    return cluster_text(world, &routes->items[0].targets[0]);
}

static const char *ask_tls(struct world *world, uint16_t port, const char *sni)
{
    const struct captured_port *captured = port_of(world, 15001, port);
    const struct vhost *name = captured->sni ? host_table_find(captured->sni, str_of(sni)) : NULL;
    return name ? first_route(world, &name->chain->tcp) : "by address";
}

static const struct captured_destination *dial(const struct world *world, uint16_t listener,
                                               const char *text)
{
    struct address address;
    assert_true(address_parse(str_of(text), &address));
    const struct captured_port *port = port_of(world, listener, address.port);
    const struct captured_destination *found = address_index_find(port->by_address, &address);
    return found ? found : &port->any;
}

static void expect_dial(struct world *world, uint16_t listener, const char *text,
                        enum capture_protocol protocol, const char *cluster)
{
    const struct captured_destination *found = dial(world, listener, text);
    if (found->protocol != protocol)
        fail_msg("%s: protocol %u", text, (unsigned)found->protocol);
    assert_string_equal(first_route(world, &found->tcp), cluster);
}

#define SERVICE(name, ns, ip, ports)                                                               \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n"          \
    "spec: {clusterIP: " ip ", ports: [" ports "]}\n"
#define ISTIO(kind, name, ns, spec)                                                                \
    "---\napiVersion: networking.istio.io/v1\nkind: " kind "\nmetadata: {name: " name              \
    ", namespace: " ns "}\nspec: " spec "\n"
#define CLUSTER(port, host) "outbound|" port "||" host ".svc.cluster.local"

static void test_a_service_has_short_names_in_its_own_namespace_alone(void **state)
{
    struct world *world = *state;
    world_load(world, SERVICE("web", "shop", "10.96.0.1", "{name: http, port: 80}")
                          SERVICE("web", "prod", "10.96.0.2", "{name: http, port: 80}")
                              SERVICE("api", "prod", "10.96.0.3", "{name: http, port: 80}"));
    world_compile(world);
    static const char *const own[] = {"web", "web.shop", "web.shop.svc",
                                      "web.shop.svc.cluster.local", "10.96.0.1"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(ask(world, 80, own[i]), CLUSTER("80", "web.shop"));
    assert_string_equal(ask(world, 80, "web.prod"), CLUSTER("80", "web.prod"));
    assert_string_equal(ask(world, 80, "api.prod.svc"), CLUSTER("80", "api.prod"));
    assert_string_equal(ask(world, 80, "10.96.0.3"), CLUSTER("80", "api.prod"));
    assert_string_equal(ask(world, 80, "api"), "PassthroughCluster");
    assert_string_equal(ask(world, 80, "api.shop"), "PassthroughCluster");
    // A name counts on the ports that it has.
    assert_string_equal(ask(world, 8080, "web"), "PassthroughCluster");
    world_expect_quiet(world);
}

static void test_what_is_declared_nowhere_goes_by_the_policy(void **state)
{
    struct world *world = *state;
    world->options.outbound_policy = OUTBOUND_REGISTRY_ONLY;
    world_load(world, SERVICE("web", "shop", "10.96.0.1", "{name: http, port: 80}"));
    world_compile(world);
    assert_string_equal(ask(world, 80, "elsewhere.example"), "=502 block_all");
    assert_string_equal(ask(world, 81, "elsewhere.example"), "=502 block_all");
    expect_dial(world, 15001, "192.0.2.1:22", CAPTURE_DETECT, "BlackHoleCluster 503");
    assert_string_equal(ask(world, 80, "web"), CLUSTER("80", "web.shop"));
    world_load(world, ISTIO("Sidecar", "root", "istio-system",
                            "{outboundTrafficPolicy: {mode: ALLOW_ANY}}"));
    world_compile(world);
    assert_string_equal(ask(world, 80, "elsewhere.example"), "PassthroughCluster");
    expect_dial(world, 15001, "192.0.2.1:22", CAPTURE_DETECT, "PassthroughCluster");
    // An empty block asks for REGISTRY_ONLY; that of the namespace goes before the root's.
    world_load(world, ISTIO("Sidecar", "own", "shop", "{outboundTrafficPolicy: {}}"));
    world->options.outbound_policy = OUTBOUND_ALLOW_ANY;
    world_compile(world);
    assert_string_equal(ask(world, 80, "elsewhere.example"), "=502 block_all");
    world_expect_quiet(world);
}

static void test_an_egress_proxy_that_is_missing_lets_nothing_pass(void **state)
{
    struct world *world = *state;
    world_load(world, ISTIO("Sidecar", "own", "shop",
                            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: "
                            "proxy.shop.svc.cluster.local, port: {number: 3128}}}}"));
    world_compile(world);
    assert_string_equal(ask(world, 80, "elsewhere.example"), CLUSTER("3128", "proxy.shop") " 503");
    expect_dial(world, 15001, "192.0.2.1:22", CAPTURE_DETECT, CLUSTER("3128", "proxy.shop") " 503");
    assert_int_equal(world_count(world, DIAG_DANGLING_SERVICE), 1);
}

static void test_blocks_for_other_workloads_do_not_count(void **state)
{
    struct world *world = *state;
    static const char rules[] = SERVICE("web", "shop", "10.96.0.1", "{name: http, port: 80}")
        ISTIO("VirtualService", "web", "shop",
              "{hosts: [web], http: ["
              "{match: [{sourceLabels: {app: a}}], directResponse: {status: 201}},"
              "{match: [{sourceNamespace: prod}], directResponse: {status: 202}},"
              "{match: [{gateways: [x]}], directResponse: {status: 203}},"
              "{match: [{gateways: [mesh], sourceLabels: {app: b}}],"
              " directResponse: {status: 204}}]}");
    struct text_pair labels[] = {{{.ptr = "app", .len = 3}, {.ptr = "a", .len = 1}}};
    world_load(world, rules);
    world_compile(world);
    assert_string_equal(ask(world, 80, "web"), "=204 ");
    world->options.labels = labels;
    world->options.n_labels = 1;
    world_compile(world);
    assert_string_equal(ask(world, 80, "web"), "=201 ");
    world->options.n_labels = 0;
    world->options.ns = STR("prod");
    world_compile(world);
    assert_string_equal(ask(world, 80, "web.shop"), "=202 ");
    world_expect_quiet(world);
}

static void test_a_virtual_service_without_rules_for_a_port_leaves_the_host(void **state)
{
    struct world *world = *state;
    world_load(world, SERVICE("web", "shop", "10.96.0.1",
                              "{name: http, port: 80}, {name: http-b, port: 81}")
                          ISTIO("VirtualService", "web", "shop",
                                "{hosts: [web], http: [{match: [{port: 80, uri: {exact: /x}}],"
                                " directResponse: {status: 201}}]}"));
    world_compile(world);
    assert_string_equal(ask(world, 80, "web"), "404"); // it has the host, and no rule takes this
    assert_string_equal(ask(world, 81, "web"), CLUSTER("81", "web.shop"));
    world_expect_quiet(world);
}

static void test_tls_goes_by_name_then_by_address(void **state)
{
    struct world *world = *state;
    world_load(world,
               SERVICE("web", "shop", "10.96.0.1", "{name: https, port: 443}") ISTIO(
                   "ServiceEntry", "wiki", "shop",
                   "{hosts: ['*.wiki.example', www.wiki.example], resolution: NONE,"
                   " ports: [{number: 443, name: tls, protocol: TLS}]}")
                   ISTIO("VirtualService", "wiki", "shop",
                         "{hosts: [de.wiki.example], tls: [{match: [{port: 443, sniHosts: "
                         "[de.wiki.example]}], route: [{destination: {host: web, port: {number: "
                         "443}}}]}]}"));
    world_compile(world);
    assert_string_equal(ask_tls(world, 443, "www.wiki.example"), "outbound|443||www.wiki.example");
    assert_string_equal(ask_tls(world, 443, "fr.wiki.example"), "outbound|443||*.wiki.example");
    assert_string_equal(ask_tls(world, 443, "de.wiki.example"), CLUSTER("443", "web.shop"));
    assert_string_equal(ask_tls(world, 443, "web.shop"), CLUSTER("443", "web.shop"));
    assert_string_equal(ask_tls(world, 443, "wiki.example"), "by address");
    assert_string_equal(ask_tls(world, 444, "www.wiki.example"), "by address");
    expect_dial(world, 15001, "10.96.0.1:443", CAPTURE_HTTP, CLUSTER("443", "web.shop"));
    expect_dial(world, 15001, "192.0.2.1:443", CAPTURE_DETECT, "PassthroughCluster");
    world_expect_quiet(world);
}

static void test_the_narrowest_address_has_the_connection(void **state)
{
    struct world *world = *state;
    world_load(world,
               SERVICE("db", "shop", "10.96.0.1", "{name: tcp, port: 5432}")
                   ISTIO("ServiceEntry", "net", "shop",
                         "{hosts: [net.example], addresses: [10.96.0.0/16], resolution: NONE,"
                         " ports: [{number: 5432, name: tcp, protocol: TCP},"
                         " {number: 80, name: http, protocol: HTTP}]}")
                       ISTIO("ServiceEntry", "all", "shop",
                             "{hosts: [all.example], resolution: STATIC, endpoints: [{address: "
                             "192.0.2.9}], ports: [{number: 5432, name: tcp, protocol: TCP},"
                             " {number: 80, name: any}]}"));
    world_compile(world);
    expect_dial(world, 15001, "10.96.0.1:5432", CAPTURE_TCP, CLUSTER("5432", "db.shop"));
    expect_dial(world, 15001, "10.96.0.2:5432", CAPTURE_TCP, "outbound|5432||net.example");
    expect_dial(world, 15001, "10.97.0.2:5432", CAPTURE_TCP, "outbound|5432||all.example");
    expect_dial(world, 15001, "10.96.0.1:5433", CAPTURE_DETECT, "PassthroughCluster");
    // Port 80 has a host of which it is not known what it speaks.
    expect_dial(world, 15001, "10.96.0.2:80", CAPTURE_HTTP, "PassthroughCluster");
    expect_dial(world, 15001, "10.97.0.2:80", CAPTURE_DETECT, "outbound|80||all.example");
    world_expect_quiet(world);
}

static void test_a_port_of_http_alone_waits_for_the_client(void **state)
{
    struct world *world = *state;
    world_load(world, SERVICE("web", "shop", "10.96.0.1", "{name: http, port: 80}"));
    world_compile(world);
    assert_int_equal(dial(world, 15001, "10.96.0.1:80")->protocol, CAPTURE_HTTP);
    assert_int_equal(dial(world, 15001, "192.0.2.1:80")->protocol, CAPTURE_HTTP);
    assert_null(port_of(world, 15001, 80)->by_address);
    world_load(world, SERVICE("db", "shop", "10.96.0.2", "{name: tcp, port: 80}"));
    world_compile(world);
    assert_int_equal(dial(world, 15001, "10.96.0.1:80")->protocol, CAPTURE_HTTP);
    assert_int_equal(dial(world, 15001, "10.96.0.2:80")->protocol, CAPTURE_TCP);
    assert_int_equal(dial(world, 15001, "192.0.2.1:80")->protocol, CAPTURE_DETECT);
}

static void test_who_dials_an_endpoint_of_a_headless_service_means_it(void **state)
{
    struct world *world = *state;
    world_load(
        world,
        SERVICE("db", "shop", "None", "{name: tcp, port: 5432}, {name: http, port: 80}") SERVICE(
            "empty", "shop", "None",
            "{name: http, port: 80}") "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                                      "metadata: {name: db-1, namespace: shop, labels: "
                                      "{kubernetes.io/service-name: db}}\n"
                                      "addressType: IPv4\nports: [{name: tcp, port: 5432}, {name: "
                                      "http, port: 8080}]\n"
                                      "endpoints: [{addresses: [10.0.0.1]}, {addresses: "
                                      "[10.0.0.2]}]\n");
    world_compile(world);
    expect_dial(world, 15001, "10.0.0.2:5432", CAPTURE_TCP, CLUSTER("5432", "db.shop"));
    expect_dial(world, 15001, "10.0.0.3:5432", CAPTURE_DETECT, "PassthroughCluster");
    const struct cluster *cluster = world_cluster(world, CLUSTER("5432", "db.shop"));
    assert_int_equal(cluster->discovery, CLUSTER_ORIGINAL_DST);
    assert_int_equal(cluster->n_endpoints, 2);
    assert_string_equal(ask(world, 80, "db-0.db.shop.svc.cluster.local"), CLUSTER("80", "db.shop"));
    // Without an endpoint its name must not lead to wherever the client dialled.
    cluster = world_cluster(world, CLUSTER("80", "empty.shop"));
    assert_int_equal(cluster->discovery, CLUSTER_STATIC);
}

static void test_a_sidecar_hides_what_it_does_not_list(void **state)
{
    struct world *world = *state;
    world->options.outbound_policy = OUTBOUND_REGISTRY_ONLY;
    world_load(
        world,
        SERVICE("web", "shop", "10.96.0.1", "{name: http, port: 80}, {name: http-b, port: 81}")
            SERVICE("api", "prod", "10.96.0.2", "{name: http, port: 80}, {name: http-b, port: 81}")
                ISTIO("Sidecar", "own", "shop",
                      "{egress: [{port: {number: 81}, hosts: ['prod/*']},"
                      " {hosts: ['./*']}]}")
                    ISTIO("VirtualService", "api", "prod",
                          "{hosts: [hidden.example], http: [{directResponse: {status: "
                          "201}}]}"));
    world_compile(world);
    assert_string_equal(ask(world, 80, "web"), CLUSTER("80", "web.shop"));
    assert_string_equal(ask(world, 80, "api.prod"), "=502 block_all");
    assert_string_equal(ask(world, 81, "web"), "=502 block_all");
    assert_string_equal(ask(world, 81, "api.prod"), CLUSTER("81", "api.prod"));
    assert_string_equal(ask(world, 80, "hidden.example"), "=502 block_all");
    world_expect_quiet(world);
}

static void test_inbound_ports_are_those_of_the_pod(void **state)
{
    struct world *world = *state;
    struct text_pair labels[] = {{{.ptr = "app", .len = 3}, {.ptr = "web", .len = 3}}};
    world->options.labels = labels;
    world->options.n_labels = 1;
    world_load(world,
               "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
               "spec: {selector: {app: web}, ports: [{name: tcp, port: 80, targetPort: 8080},"
               " {name: x, port: 81}]}\n"
               "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"
               "spec: {selector: {app: web}, ports: [{name: http, port: 9999}]}\n");
    world_compile(world);
    expect_dial(world, 15006, "10.0.0.1:8080", CAPTURE_TCP, "inbound|8080||");
    expect_dial(world, 15006, "10.0.0.1:81", CAPTURE_DETECT, "inbound|81||");
    expect_dial(world, 15006, "10.0.0.1:80", CAPTURE_DETECT, "InboundPassthroughCluster");
    expect_dial(world, 15006, "10.0.0.1:9999", CAPTURE_DETECT, "InboundPassthroughCluster");
    world->options.inbound_port = 0;
    world_compile(world);
    assert_null(world_listener(world, 15006));
    assert_non_null(world_listener(world, 15001));
}

static void test_gateways_ingresses_and_node_ports_are_not_served(void **state)
{
    struct world *world = *state;
    world_load(
        world,
        ISTIO("Gateway", "g", "shop",
              "{selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP},"
              " hosts: ['*']}]}") "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: "
                                  "{name: i}\n"
                                  "spec: {defaultBackend: {service: {name: web, port: {number: "
                                  "80}}}}\n"
                                  "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
                                  "spec: {type: NodePort, ports: [{name: http, port: 80, nodePort: "
                                  "30080}]}\n");
    world_compile(world);
    assert_int_equal(world->snapshot->n_listeners, 2);
    assert_int_equal(world_count(world, DIAG_GATEWAY_ONLY), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_service_has_short_names_in_its_own_namespace_alone),
        TEST(test_what_is_declared_nowhere_goes_by_the_policy),
        TEST(test_an_egress_proxy_that_is_missing_lets_nothing_pass),
        TEST(test_blocks_for_other_workloads_do_not_count),
        TEST(test_a_virtual_service_without_rules_for_a_port_leaves_the_host),
        TEST(test_tls_goes_by_name_then_by_address),
        TEST(test_the_narrowest_address_has_the_connection),
        TEST(test_a_port_of_http_alone_waits_for_the_client),
        TEST(test_who_dials_an_endpoint_of_a_headless_service_means_it),
        TEST(test_a_sidecar_hides_what_it_does_not_list),
        TEST(test_inbound_ports_are_those_of_the_pod),
        TEST(test_gateways_ingresses_and_node_ports_are_not_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
