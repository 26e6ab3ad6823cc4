// SPDX-License-Identifier: Apache-2.0
#include "route/address_index.h"
#include "route/fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

struct made {
    struct registry *registry;
    struct snapshot_builder *builder;
    struct builder_listener *listener;
    struct snapshot *snapshot;
};

static int set_up(void **state)
{
    struct made *made = calloc(1, sizeof(*made));
    struct address bind = fixture_address("0.0.0.0:15001");
    made->registry = registry_create();
    made->builder = builder_create(made->registry);
    made->listener = builder_listener(made->builder, LISTENER_OUTBOUND, &bind, 15001, STR("here"));
    *state = made;
    return 0;
}

static int tear_down(void **state)
{
    struct made *made = *state;
    builder_destroy(made->builder);
    snapshot_destroy(made->snapshot);
    registry_destroy(made->registry);
    free(made);
    return 0;
}

static const struct listener *seal_made(struct made *made)
{
    made->snapshot = builder_seal(&made->builder, 1);
    return &made->snapshot->listeners[0];
}

static struct tcp_route route_to(struct made *made, const char *cluster)
{
    bool is_new;
    struct target *target = ARENA_NEW(builder_arena(made->builder), struct target);
    *target = (struct target){.cluster = builder_cluster(made->builder, str_of(cluster), &is_new),
                              .weight = 1};
    return (struct tcp_route){
        .name = str_of(cluster), .n_targets = 1, .targets = target, .total_weight = 1};
}

static struct subnet subnet(const char *text)
{
    struct subnet subnet = {0};
    unsigned bits;
    assert_true(address_parse_subnet(str_of(text), &subnet.base, &bits));
    subnet.bits = (uint8_t)bits;
    return subnet;
}

// A route for those that dial an address of `text`.
static struct tcp_route route_for(struct made *made, const char *cluster, const char *text)
{
    struct tcp_route route = route_to(made, cluster);
    struct subnet *only = ARENA_NEW(builder_arena(made->builder), struct subnet);
    *only = subnet(text);
    route.destinations = only;
    route.n_destinations = 1;
    return route;
}

static void check_routes(const struct tcp_routes *routes, const char *const *names, uint32_t n)
{
    assert_int_equal(routes->n, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!str_is(routes->items[i].name, names[i]))
            fail_msg("%u: %.*s", i, STR_ARG(routes->items[i].name));
    }
}
#define CHECK_ROUTES(routes, ...)                                                                  \
    check_routes(routes, (const char *const[]){__VA_ARGS__},                                       \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_there_is_always_an_entry_for_every_port(void **state)
{
    const struct listener *listener = seal_made(*state);
    assert_int_equal(listener->kind, LISTENER_OUTBOUND);
    assert_false(listener->is_transparent);
    assert_int_equal(listener->n_captured, 1);
    const struct captured_port *port = listener_captured_port(listener, 4711);
    assert_ptr_equal(port, listener->captured);
    assert_int_equal(port->port, 0);
    assert_int_equal(port->hosts->n_vhosts, 0);
    assert_null(port->by_address);
    assert_null(port->sni);
}

static void test_ports_are_sorted_and_found(void **state)
{
    struct made *made = *state;
    static const uint16_t ports[] = {443, 80, 65535, 1, 8080, 0, 22};
    for (size_t i = 0; i < 7; i++) {
        struct builder_captured *captured = builder_captured(made->listener, ports[i]);
        assert_ptr_equal(builder_captured(made->listener, ports[i]), captured);
    }
    builder_listener_be_transparent(made->listener);
    const struct listener *listener = seal_made(made);
    assert_true(listener->is_transparent);
    assert_int_equal(listener->n_captured, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(listener_captured_port(listener, ports[i])->port, ports[i]);
    for (uint32_t i = 1; i < 7; i++)
        assert_true(listener->captured[i - 1].port < listener->captured[i].port);
    assert_int_equal(listener_captured_port(listener, 23)->port, 0);
    assert_int_equal(listener_captured_port(listener, 2)->port, 0);
}

static void test_a_port_has_the_hosts_and_routes_of_port_0_behind_its_own(void **state)
{
    struct made *made = *state;
    struct builder_captured *others = builder_captured(made->listener, 0);
    struct builder_captured *own = builder_captured(made->listener, 80);
    builder_captured(made->listener, 81);
    struct tcp_route pass = route_to(made, "pass"), all = route_to(made, "all");
    struct tcp_route some = route_for(made, "some", "10.0.0.0/8");
    builder_captured_add_tcp(others, NULL, &pass);
    builder_captured_add_tcp(own, NULL, &some);
    builder_captured_add_tcp(builder_captured(made->listener, 82), NULL, &all);
    builder_vhost(builder_captured_hosts(others), STR("*"), false);
    builder_vhost(builder_captured_hosts(own), STR("a"), false);
    const struct listener *listener = seal_made(made);
    const struct captured_port *port = listener_captured_port(listener, 80);
    CHECK_ROUTES(&port->any.tcp, "some", "pass");
    assert_int_equal(port->any.tcp.items[0].destinations[0].bits, 8);
    assert_int_equal(port->hosts->n_vhosts, 1);
    assert_true(str_is(port->hosts->vhosts[0]->name, "a"));
    port = listener_captured_port(listener, 81);
    CHECK_ROUTES(&port->any.tcp, "pass");
    assert_ptr_equal(port->hosts, listener->captured[0].hosts);
    CHECK_ROUTES(&listener_captured_port(listener, 82)->any.tcp, "all");
    CHECK_ROUTES(&listener->captured[0].any.tcp, "pass");
}

static void test_an_address_has_its_own_routes_and_protocol(void **state)
{
    struct made *made = *state;
    struct builder_captured *port = builder_captured(made->listener, 5432);
    struct subnet one = subnet("10.0.0.1"), wide = subnet("10.0.0.0/8"), other = subnet("10.0.0.2");
    one.base.port = 99; // does not count
    one.base.ip[9] = 1; // nor this
    struct subnet same = subnet("10.0.0.1");
    enum capture_protocol old = CAPTURE_HTTP;
    assert_true(builder_captured_protocol(port, &one, CAPTURE_TCP, &old));
    assert_false(builder_captured_protocol(port, &same, CAPTURE_HTTP, &old));
    assert_int_equal(old, CAPTURE_TCP);
    assert_true(builder_captured_protocol(port, NULL, CAPTURE_HTTP, &old));
    assert_false(builder_captured_protocol(port, NULL, CAPTURE_DETECT, &old));
    assert_int_equal(old, CAPTURE_HTTP);
    struct tcp_route pass = route_to(made, "pass"), db = route_to(made, "db");
    struct tcp_route narrow = route_for(made, "narrow", "10.0.0.0/16");
    builder_captured_add_tcp(builder_captured(made->listener, 0), NULL, &pass);
    builder_captured_add_tcp(port, &same, &db);
    builder_captured_add_tcp(port, &wide, &narrow);
    assert_true(builder_captured_protocol(port, &other, CAPTURE_TCP, &old)); // no route of its own
    const struct listener *listener = seal_made(made);
    const struct captured_port *sealed = listener_captured_port(listener, 5432);
    assert_int_equal(sealed->any.protocol, CAPTURE_HTTP);
    struct address dialled = fixture_address("10.0.0.1:5432");
    const struct captured_destination *found = address_index_find(sealed->by_address, &dialled);
    CHECK_ROUTES(&found->tcp, "db");
    assert_int_equal(found->protocol, CAPTURE_TCP);
    dialled = fixture_address("10.9.0.1:5432");
    found = address_index_find(sealed->by_address, &dialled);
    CHECK_ROUTES(&found->tcp, "narrow", "pass");
    assert_int_equal(found->protocol, CAPTURE_DETECT);
    dialled = fixture_address("10.0.0.2:5432");
    CHECK_ROUTES(&address_index_find(sealed->by_address, &dialled)->tcp, "pass");
}

static void test_names_of_tls_lead_to_chains(void **state)
{
    struct made *made = *state;
    struct builder_captured *port = builder_captured(made->listener, 443);
    struct builder_chain *chain =
        builder_captured_chain(port, &(struct filter_chain){.name = STR("wiki")});
    struct tcp_route route = route_to(made, "outbound|443||*.wikipedia.org");
    builder_chain_add_tcp_route(chain, &route);
    assert_null(builder_chain_add_name(chain, STR("*.wikipedia.org"), false));
    struct builder_chain *late =
        builder_captured_chain(port, &(struct filter_chain){.name = STR("late")});
    assert_ptr_equal(builder_chain_add_name(late, STR("*.wikipedia.org"), false), chain);
    const struct listener *listener = seal_made(made);
    const struct captured_port *sealed = listener_captured_port(listener, 443);
    assert_int_equal(sealed->n_sni_names, 1);
    const struct vhost *name = host_table_find(sealed->sni, STR("de.wikipedia.org"));
    assert_non_null(name);
    assert_true(str_is(name->chain->name, "wiki"));
    CHECK_ROUTES(&name->chain->tcp, "outbound|443||*.wikipedia.org");
    assert_null(host_table_find(sealed->sni, STR("example.com")));
    assert_null(listener->captured[0].sni);
}

static void test_an_alias_shares_the_routes_of_its_virtual_host(void **state)
{
    struct made *made = *state;
    struct builder_hosts *hosts = builder_captured_hosts(builder_captured(made->listener, 80));
    struct builder_vhost *whole = builder_vhost(hosts, STR("b.default.svc"), false);
    assert_true(builder_vhost_alias(hosts, STR("a"), whole)); // sorted in front of it
    assert_true(builder_vhost_alias(hosts, STR("*.b.default"), whole));
    assert_true(builder_vhost_alias(hosts, STR("c"), whole));
    assert_false(builder_vhost_alias(hosts, STR("c"), builder_vhost(hosts, STR("d"), false)));
    assert_true(builder_has_vhost(hosts, STR("c")));
    assert_false(builder_has_vhost(hosts, STR("e")));
    for (int i = 0; i < 40; i++) // enough for an index
        builder_add_route(whole, &(struct route){.action = ROUTE_RESPOND,
                                                 .status = 200,
                                                 .path_kind = PATH_EXACT,
                                                 .path = i ? STR("/x") : STR("/y")});
    const struct listener *listener = seal_made(made);
    const struct host_table *table = listener_captured_port(listener, 80)->hosts->table;
    const struct vhost *real = host_table_find(table, STR("b.default.svc"));
    assert_null(real->alias_of);
    assert_int_equal(real->n_routes, 40);
    assert_non_null(real->index);
    static const char *const names[] = {"a", "x.b.default", "c"};
    for (size_t i = 0; i < 3; i++) {
        const struct vhost *alias = host_table_find(table, str_of(names[i]));
        assert_non_null(alias);
        assert_ptr_equal(alias->alias_of, real);
        assert_ptr_equal(alias->routes, real->routes);
        assert_ptr_equal(alias->index, real->index);
        assert_int_equal(alias->n_routes, 40);
    }
    assert_int_equal(host_table_find(table, STR("d"))->n_routes, 0);
    const struct request_view view = fixture_request("/x");
    assert_ptr_equal(vhost_find_route(host_table_find(table, STR("a")), &view), real->routes[1]);
}

static void test_retiring_addresses_stand_behind_the_endpoints(void **state)
{
    struct made *made = *state;
    bool is_new;
    struct cluster *cluster = builder_cluster(made->builder, STR("c"), &is_new);
    struct cluster *same = builder_cluster(made->builder, STR("d"), &is_new);
    static const char *const retiring[] = {"10.0.0.1:80", "10.0.0.4:80", "10.0.0.2:80",
                                           "10.0.0.1:80"};
    for (size_t i = 0; i < 4; i++) {
        struct address address = fixture_address(retiring[i]);
        builder_add_retiring(made->builder, cluster, &address);
    }
    static const char *const used[] = {"10.0.0.3:80", "10.0.0.2:80"};
    for (size_t i = 0; i < 2; i++) {
        struct address address = fixture_address(used[i]);
        builder_add_endpoint(made->builder, cluster, &address, 2);
        builder_add_endpoint(made->builder, same, &address, 2);
    }
    const struct snapshot *snapshot = (seal_made(made), made->snapshot);
    static const char *const expected[] = {"10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80",
                                           "10.0.0.4:80"};
    assert_int_equal(cluster->n_endpoints, 2);
    assert_int_equal(cluster->n_retiring, 2);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(str_is(cluster->endpoints[i].text, expected[i]));
        assert_int_not_equal(snapshot->endpoint_identity[cluster->endpoints[i].slot], 0);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(cluster->endpoints[i].slot, cluster->endpoints[k].slot);
    }
    // The balancer sees no difference to a cluster without them.
    assert_int_equal(cluster->total_weight, 4);
    assert_int_equal(cluster->total_weight, same->total_weight);
    assert_int_equal(cluster->endpoints_hash, same->endpoints_hash);
    assert_false(cluster->has_weights);
    assert_int_equal(same->n_retiring, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_there_is_always_an_entry_for_every_port),
        TEST(test_ports_are_sorted_and_found),
        TEST(test_a_port_has_the_hosts_and_routes_of_port_0_behind_its_own),
        TEST(test_an_address_has_its_own_routes_and_protocol),
        TEST(test_names_of_tls_lead_to_chains),
        TEST(test_an_alias_shares_the_routes_of_its_virtual_host),
        TEST(test_retiring_addresses_stand_behind_the_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
