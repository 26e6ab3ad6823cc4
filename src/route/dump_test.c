// SPDX-License-Identifier: Apache-2.0
#include "base/doc.h"
#include "route/fixture.h"
#include "route/match/match_types.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static struct cluster *add_cluster(struct snapshot_builder *builder, const char *name)
{
    bool is_new;
    return builder_cluster(builder, str_of(name), &is_new);
}

static void add_endpoint(struct snapshot_builder *builder, struct cluster *cluster,
                         const char *text, uint32_t weight)
{
    struct address address = fixture_address(text);
    builder_add_endpoint(builder, cluster, &address, weight);
}

static struct header_ops one_op(struct arena *arena, enum header_op_kind kind, const char *name,
                                const char *value)
{
    struct header_op *op = ARENA_NEW(arena, struct header_op);
    struct format_error error;
    op->kind = kind;
    op->name = str_of(name);
    if (value) {
        op->value = format_parse(arena, str_of(value), FORMAT_HEADER_VALUE, &error);
        assert_non_null(op->value);
        op->text = str_of(value);
    }
    return (struct header_ops){1, op};
}

static void add_tls_listener(struct snapshot_builder *builder, struct target *target)
{
    struct address bind = fixture_address("0.0.0.0:443");
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_TLS, &bind, 443, STR("gateway.yaml:9:1 Gateway a/b"));
    builder_listener_accept_proxy(listener);
    struct builder_hosts *hosts = builder_hosts(builder);
    builder_add_route(builder_vhost(hosts, STR("shop.org"), false),
                      &(struct route){.action = ROUTE_RESPOND, .status = 200});
    struct builder_chain *shop =
        builder_chain(listener,
                      &(struct filter_chain){.name = STR("shop"),
                                             .is_http = true,
                                             .is_strict = true,
                                             .origin = STR("gateway.yaml:9:5 Gateway a/b")},
                      hosts);
    struct builder_chain *more = builder_chain(
        listener, &(struct filter_chain){.name = STR("more"), .is_http = true}, hosts);
    struct builder_chain *database =
        builder_chain(listener, &(struct filter_chain){.name = STR("database")}, NULL);
    assert_null(builder_chain_add_name(shop, STR("shop.org"), false));
    assert_null(builder_chain_add_name(shop, STR("*.shop.org"), true));
    assert_null(builder_chain_add_name(more, STR("more.org"), false));
    assert_null(builder_chain_add_name(database, STR("db.org"), false));
    struct subnet *subnets = ARENA_ARRAY(builder_arena(builder), struct subnet, 2);
    subnets[0] = (struct subnet){fixture_address("10.0.0.0:0"), 8};
    subnets[1] = (struct subnet){fixture_address("[fd00::]:0"), 64};
    builder_chain_add_tcp_route(
        database, &(struct tcp_route){.name = STR("db"),
                                      .destinations = subnets,
                                      .n_destinations = 2,
                                      .n_targets = 1,
                                      .targets = target,
                                      .total_weight = 1,
                                      .origin = STR("vs.yaml:3:1 VirtualService a/db")});
}

static void add_outbound(struct snapshot_builder *builder, struct target *target)
{
    struct address bind = fixture_address("0.0.0.0:15001");
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_OUTBOUND, &bind, 15001, STR("sidecar"));
    builder_listener_be_transparent(listener);
    struct target *pass = ARENA_NEW(builder_arena(builder), struct target);
    *pass = (struct target){.cluster = add_cluster(builder, "PassthroughCluster"), .weight = 1};
    builder_cluster(builder, STR("PassthroughCluster"), &(bool){false})->discovery =
        CLUSTER_ORIGINAL_DST;
    struct builder_captured *others = builder_captured(listener, 0);
    builder_captured_add_tcp(
        others, NULL, &(struct tcp_route){.n_targets = 1, .targets = pass, .total_weight = 1});
    builder_add_route(builder_vhost(builder_captured_hosts(others), STR("*"), false),
                      &(struct route){.action = ROUTE_RESPOND,
                                      .status = 502,
                                      .name = STR("block_all"),
                                      .log_cluster = add_cluster(builder, "BlackHoleCluster")});
    struct builder_captured *port = builder_captured(listener, 5432);
    struct subnet subnet = {fixture_address("10.96.0.7:0"), 32};
    enum capture_protocol old;
    builder_captured_protocol(port, NULL, CAPTURE_HTTP, &old);
    builder_captured_protocol(port, &subnet, CAPTURE_TCP, &old);
    builder_captured_add_tcp(
        port, &subnet, &(struct tcp_route){.n_targets = 1, .targets = target, .total_weight = 1});
    struct builder_chain *chain =
        builder_captured_chain(port, &(struct filter_chain){.name = STR("wiki")});
    builder_chain_add_name(chain, STR("*.wikipedia.org"), false);
    builder_chain_add_tcp_route(
        chain, &(struct tcp_route){.n_targets = 1, .targets = target, .total_weight = 1});
}

// A cluster outside, with all that clusters inside have not.
static void add_outside(struct snapshot_builder *builder)
{
    struct cluster *outside = add_cluster(builder, "outbound|443||example.com");
    outside->discovery = CLUSTER_DYNAMIC_DNS;
    outside->dns_name = STR("example.com");
    outside->dns_port = 443;
    outside->is_external = true;
    outside->max_age_ms = 60000;
    outside->keepalive = (struct tcp_keepalive){.probes = 3, .time_s = 60, .interval_s = 10};
    struct address address = fixture_address("192.0.2.1:443");
    builder_add_retiring(builder, outside, &address);
}

// One of everything that a snapshot can hold.
static struct snapshot *make(struct registry *registry)
{
    struct snapshot_builder *builder = builder_create(registry);
    struct arena *arena = builder_arena(builder);
    struct builder_listener *listener = fixture_listener(builder);

    struct cluster *b = add_cluster(builder, "outbound|80||b.default.svc.cluster.local");
    b->balancer = BALANCE_ROUND_ROBIN;
    b->connect_timeout_ms = 5000;
    add_endpoint(builder, b, "10.0.0.2:8080", 3);
    add_endpoint(builder, b, "10.0.0.1:8080", 1);
    struct cluster *a = add_cluster(builder, "outbound|80||a.default.svc.cluster.local");
    add_endpoint(builder, a, "[fd00::1]:8080", 1);
    struct cluster *gone = add_cluster(builder, "outbound|80||gone");
    gone->is_missing = true;

    struct address node_port = fixture_address("0.0.0.0:30007");
    struct target *whole = ARENA_NEW(arena, struct target);
    *whole = (struct target){.cluster = a, .weight = 1};
    builder_add_tcp_route(builder_listener(builder, LISTENER_TCP, &node_port, 30007,
                                           STR("svc.yaml:2:1 Service default/a")),
                          &(struct tcp_route){.n_targets = 1, .targets = whole, .total_weight = 1});
    add_tls_listener(builder, whole);
    add_outbound(builder, whole);
    add_outside(builder);

    struct target *two = ARENA_ARRAY(arena, struct target, 2);
    two[0] = (struct target){
        .cluster = a, .weight = 80, .request_ops = one_op(arena, HEADER_REMOVE, "x-b", NULL)};
    two[1] = (struct target){.cluster = b, .weight = 20};
    struct rewrite *rewrite = ARENA_NEW(arena, struct rewrite);
    *rewrite =
        (struct rewrite){.kind = REWRITE_PREFIX, .text = STR("/x"), .authority = STR("b.org")};
    struct match *matches = ARENA_ARRAY(arena, struct match, 2);
    struct string_matcher jason = {.kind = STRING_IS_EXACT, .text = STR("jason \"j\"")};
    matches[0] = match_header_init(arena, STR("End-User"), jason);
    matches[1] =
        match_query_init(arena, STR("debug"), (struct string_matcher){.kind = STRING_IS_PRESENT});
    struct builder_vhost *vhost =
        builder_vhost(builder_listener_hosts(listener), STR("x.org"), false);
    builder_add_route(vhost,
                      &(struct route){.path_kind = PATH_PREFIX_STRING,
                                      .path = STR("/a"),
                                      .n_matches = 2,
                                      .matches = matches,
                                      .n_targets = 2,
                                      .targets = two,
                                      .total_weight = 100,
                                      .timeout_ms = 1500,
                                      .rewrite = rewrite,
                                      .name = STR("primary"),
                                      .request_ops = one_op(arena, HEADER_SET, "x-id", "%REQ(A)%"),
                                      .response_ops = one_op(arena, HEADER_ADD, "x-by", "us"),
                                      .origin = STR("vs.yaml:9:5 VirtualService default/v")});
    struct redirect *redirect = ARENA_NEW(arena, struct redirect);
    *redirect = (struct redirect){.code = 308, .scheme = STR("https"), .cut_trailing_slash = true};
    builder_add_route(vhost, &(struct route){.path_kind = PATH_PREFIX_SEGMENT,
                                             .path = STR("/"),
                                             .action = ROUTE_REDIRECT,
                                             .redirect = redirect});
    struct target *lost = ARENA_NEW(arena, struct target);
    *lost = (struct target){.cluster = gone, .weight = 1};
    vhost = builder_vhost(builder_listener_hosts(listener), STR("*.x.org"), true);
    const struct regex *regex =
        builder_regex(builder, STR("^/r(.*)"), REGEX_IGNORE_CASE, NULL, 0, NULL);
    builder_add_route(vhost, &(struct route){.path_kind = PATH_REGEX,
                                             .path_ignore_case = true,
                                             .path_regex = regex,
                                             .body_bytes_max = 1048576,
                                             .n_targets = 1,
                                             .targets = lost,
                                             .total_weight = 1});
    builder_add_route(vhost, &(struct route){.path_kind = PATH_ANY,
                                             .action = ROUTE_RESPOND,
                                             .status = 418,
                                             .body = STR("no\ncoffee")});
    return builder_seal(&builder, 1);
}

static const char expected[] = "listener http 0.0.0.0:80\n"
                               "  port 80\n"
                               "  from gateway.yaml:1:1 Gateway a/b\n"
                               "  host *.x.org\n"
                               "    one_label\n"
                               "    route 0 path regex \"^/r(.*)\" (any case)\n"
                               "      body_bytes_max 1048576\n"
                               "      -> outbound|80||gone\n"
                               "    route 1 path any\n"
                               "      respond 418\n"
                               "      body \"no\\ncoffee\"\n"
                               "  host x.org\n"
                               "    route 0 path prefix \"/a\"\n"
                               "      from vs.yaml:9:5 VirtualService default/v\n"
                               "      name primary\n"
                               "      if header \"end-user\" exact \"jason \\\"j\\\"\"\n"
                               "      if query \"debug\" present\n"
                               "      rewrite prefix\n"
                               "      rewrite_to \"/x\"\n"
                               "      rewrite_authority \"b.org\"\n"
                               "      request set \"x-id\" \"%REQ(A)%\"\n"
                               "      response add \"x-by\" \"us\"\n"
                               "      timeout_ms 1500\n"
                               "      -> outbound|80||a.default.svc.cluster.local\n"
                               "        weight 80\n"
                               "        request remove \"x-b\"\n"
                               "      -> outbound|80||b.default.svc.cluster.local\n"
                               "        weight 20\n"
                               "    route 1 path segments \"/\"\n"
                               "      redirect 308\n"
                               "      redirect_scheme \"https\"\n"
                               "      redirect_cuts_trailing_slash\n"
                               "listener https 0.0.0.0:443\n"
                               "  port 443\n"
                               "  from gateway.yaml:9:1 Gateway a/b\n"
                               "  accepts_proxy_protocol\n"
                               "  chain shop\n"
                               "    from gateway.yaml:9:5 Gateway a/b\n"
                               "    sni (one label) *.shop.org\n"
                               "    sni shop.org\n"
                               "    strict_host\n"
                               "    host shop.org\n"
                               "      route 0 path any\n"
                               "        respond 200\n"
                               "  chain database\n"
                               "    sni db.org\n"
                               "    tls_passes_through\n"
                               "    tcp 0\n"
                               "      from vs.yaml:3:1 VirtualService a/db\n"
                               "      name db\n"
                               "      to 10.0.0.0/8\n"
                               "      to fd00::/64\n"
                               "      -> outbound|80||a.default.svc.cluster.local\n"
                               "  chain more\n"
                               "    sni more.org\n"
                               "    hosts_of_chain shop\n"
                               "listener outbound 0.0.0.0:15001\n"
                               "  port 15001\n"
                               "  from sidecar\n"
                               "  transparent\n"
                               "  dialled other\n"
                               "    protocol detect\n"
                               "    tcp 0\n"
                               "      -> PassthroughCluster\n"
                               "    host *\n"
                               "      route 0 path any\n"
                               "        name block_all\n"
                               "        respond 502\n"
                               "        log_cluster BlackHoleCluster\n"
                               "  dialled 5432\n"
                               "    protocol http\n"
                               "    tcp 0\n"
                               "      -> PassthroughCluster\n"
                               "    address 10.96.0.7/32\n"
                               "      protocol tcp\n"
                               "      tcp 0\n"
                               "        -> outbound|80||a.default.svc.cluster.local\n"
                               "    chain wiki\n"
                               "      sni *.wikipedia.org\n"
                               "      tls_passes_through\n"
                               "      tcp 0\n"
                               "        -> outbound|80||a.default.svc.cluster.local\n"
                               "    hosts_of_port other\n"
                               "listener tcp 0.0.0.0:30007\n"
                               "  port 30007\n"
                               "  from svc.yaml:2:1 Service default/a\n"
                               "  tcp 0\n"
                               "    -> outbound|80||a.default.svc.cluster.local\n"
                               "cluster BlackHoleCluster\n"
                               "  balancer least-request\n"
                               "cluster PassthroughCluster\n"
                               "  balancer least-request\n"
                               "  discovery original_destination\n"
                               "cluster outbound|443||example.com\n"
                               "  balancer least-request\n"
                               "  discovery dns\n"
                               "  dns_name \"example.com\"\n"
                               "  dns_port 443\n"
                               "  external\n"
                               "  max_age_ms 60000\n"
                               "  keepalive_probes 3\n"
                               "  keepalive_time_s 60\n"
                               "  keepalive_interval_s 10\n"
                               "  endpoint 192.0.2.1:443\n"
                               "    retiring\n"
                               "cluster outbound|80||a.default.svc.cluster.local\n"
                               "  balancer least-request\n"
                               "  endpoint [fd00::1]:8080\n"
                               "cluster outbound|80||b.default.svc.cluster.local\n"
                               "  balancer round-robin\n"
                               "  connect_timeout_ms 5000\n"
                               "  endpoint 10.0.0.1:8080\n"
                               "    weight 1\n"
                               "  endpoint 10.0.0.2:8080\n"
                               "    weight 3\n"
                               "cluster outbound|80||gone\n"
                               "  balancer least-request\n"
                               "  missing\n";

static void test_the_text_says_all(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot *snapshot = make(registry);
    struct buf text = {0};
    snapshot_dump(snapshot, &text);
    assert_string_equal(text.data, expected);
    buf_fini(&text);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static const struct node *at(const struct node *node, const char *key, uint32_t index)
{
    const struct node *list = node_get(node, str_of(key));
    assert_non_null(list);
    assert_int_equal(list->type, NODE_LIST);
    assert_true(index < list->list.n_items);
    return list->list.items[index];
}

static void check_scalar(const struct node *node, const char *key, const char *value)
{
    const struct node *scalar = node_get(node, str_of(key));
    assert_non_null(scalar);
    assert_int_equal(scalar->type, NODE_SCALAR);
    if (!str_is(scalar->scalar, value))
        fail_msg("%s: %.*s", key, STR_ARG(scalar->scalar));
}

static void test_the_json_says_the_same(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot *snapshot = make(registry);
    struct buf text = {0};
    snapshot_dump_json(snapshot, &text);
    struct arena *arena = arena_create(0);
    struct node *root;
    struct doc_error error;
    if (!doc_parse(arena, buf_str(&text), 1, &root, &error))
        fail_msg("%u:%u %s", error.line, error.col, error.message);
    const struct node *listener = at(root, "listeners", 0);
    check_scalar(listener, "name", "http 0.0.0.0:80");
    check_scalar(listener, "port", "80");
    check_scalar(at(listener, "hosts", 0), "one_label", "true");
    const struct node *route = at(at(listener, "hosts", 1), "routes", 0);
    check_scalar(route, "rank", "0");
    check_scalar(route, "name", "primary");
    check_scalar(route, "timeout_ms", "1500");
    check_scalar(node_get(route, STR("path")), "kind", "prefix");
    check_scalar(node_get(route, STR("path")), "text", "/a");
    check_scalar(at(route, "matches", 0), "on", "header");
    check_scalar(at(route, "matches", 0), "text", "jason \"j\"");
    check_scalar(at(route, "matches", 1), "kind", "present");
    check_scalar(at(route, "request_headers", 0), "value", "%REQ(A)%");
    check_scalar(at(route, "targets", 1), "weight", "20");
    check_scalar(at(at(route, "targets", 0), "request_headers", 0), "op", "remove");
    route = at(at(listener, "hosts", 1), "routes", 1);
    check_scalar(route, "redirect", "308");
    check_scalar(route, "redirect_cuts_trailing_slash", "true");
    check_scalar(at(at(listener, "hosts", 0), "routes", 1), "body", "no\ncoffee");
    const struct node *captured = at(at(root, "listeners", 2), "captured", 1);
    check_scalar(captured, "dialled", "5432");
    check_scalar(captured, "protocol", "http");
    check_scalar(captured, "hosts_of_port", "other");
    check_scalar(at(captured, "addresses", 0), "address", "10.96.0.7/32");
    check_scalar(at(captured, "addresses", 0), "protocol", "tcp");
    check_scalar(at(captured, "chains", 0), "name", "wiki");
    check_scalar(at(at(captured, "tcp_routes", 0), "targets", 0), "cluster", "PassthroughCluster");
    check_scalar(at(root, "listeners", 2), "transparent", "true");
    check_scalar(at(at(at(at(root, "listeners", 2), "captured", 0), "hosts", 0), "routes", 0),
                 "log_cluster", "BlackHoleCluster");
    check_scalar(at(root, "clusters", 2), "discovery", "dns");
    check_scalar(at(at(root, "clusters", 2), "endpoints", 0), "retiring", "true");
    const struct node *tcp = at(at(root, "listeners", 3), "tcp_routes", 0);
    check_scalar(tcp, "rank", "0");
    check_scalar(at(tcp, "targets", 0), "cluster", "outbound|80||a.default.svc.cluster.local");
    const struct node *chain = at(at(root, "listeners", 1), "chains", 0);
    check_scalar(chain, "name", "shop");
    check_scalar(at(chain, "names", 0), "name", "*.shop.org");
    check_scalar(at(chain, "names", 0), "one_label", "true");
    check_scalar(at(at(chain, "hosts", 0), "routes", 0), "respond", "200");
    tcp = at(at(at(root, "listeners", 1), "chains", 1), "tcp_routes", 0);
    assert_true(str_is(at(tcp, "destinations", 1)->scalar, "fd00::/64"));
    check_scalar(at(at(root, "listeners", 1), "chains", 2), "hosts_of_chain", "shop");
    check_scalar(at(at(root, "clusters", 4), "endpoints", 1), "weight", "3");
    check_scalar(at(root, "clusters", 5), "missing", "true");
    arena_destroy(arena);
    buf_fini(&text);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_an_empty_snapshot(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct snapshot *snapshot = builder_seal(&builder, 1);
    struct buf text = {0};
    snapshot_dump(snapshot, &text);
    assert_int_equal(text.len, 0);
    snapshot_dump_json(snapshot, &text);
    assert_string_equal(text.data, "{\"listeners\":[],\"clusters\":[]}\n");
    buf_fini(&text);
    snapshot_destroy(snapshot);
    snapshot_destroy(NULL);
    registry_destroy(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_text_says_all),
        cmocka_unit_test(test_the_json_says_the_same),
        cmocka_unit_test(test_an_empty_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
