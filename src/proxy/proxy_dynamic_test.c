// SPDX-License-Identifier: Apache-2.0
// Endpoints that no snapshot has: the address dialled, and those of names.
#include "proxy/limits.h"
#include "proxy/proxy_captured_test.h"
#include <signal.h>

static struct {
    bool has_dns_name, is_registry_only;
    bool has_target_port; // what was dialled is reached at the endpoint's port
    bool has_one_endpoint;
    bool has_endpoints;  // what was dialled is one of these, or any of them is reached
    uint32_t n_clusters; // of the wildcard; 0: gone
    struct {             // what DNS says
        enum name_status status;
        const char *addresses[4];
        bool is_slow; // answered by answer_now()
    } dns;
    char asked[256];
    unsigned n_asked;
} world;

// Everything goes to where it was dialled; *.a.example to what DNS says, at the endpoint's port.
static struct snapshot *build_dynamic(struct gate *gate, const struct address *endpoint)
{
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct address bind;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_OUTBOUND, &bind, 15001, STR("sidecar"));
    struct builder_captured *captured = builder_captured(listener, 0);
    struct cluster *undeclared = cluster_at(
        builder, world.is_registry_only ? "BlackHoleCluster" : "PassthroughCluster", NULL);
    undeclared->is_missing = world.is_registry_only;
    undeclared->discovery = world.is_registry_only ? CLUSTER_STATIC : CLUSTER_ORIGINAL_DST;
    undeclared->connect_timeout_ms = 2000;
    undeclared->dns_port = world.has_target_port ? endpoint->port : 0;
    if (world.has_endpoints) {
        struct address other = *endpoint;
        other.ip[3] = 77; // nobody listens there
        builder_add_endpoint(builder, undeclared, endpoint, 1);
        if (!world.has_one_endpoint)
            builder_add_endpoint(builder, undeclared, &other, 1);
    }
    struct tcp_route tcp = tcp_to(builder, "", undeclared);
    enum capture_protocol old;
    builder_captured_protocol(captured, NULL, CAPTURE_DETECT, &old);
    builder_captured_add_tcp(captured, NULL, &tcp);
    if (world.is_registry_only)
        builder_add_route(builder_vhost(builder_captured_hosts(captured), STR("*"), false),
                          &(struct route){.path_kind = PATH_PREFIX_STRING,
                                          .path = STR("/"),
                                          .name = STR("block_all"),
                                          .action = ROUTE_RESPOND,
                                          .status = 502,
                                          .log_cluster = undeclared});
    else
        add_http(builder, captured, "*", "allow_any", undeclared);
    if (world.n_clusters > 0) {
        struct cluster *wild = cluster_at(builder, "outbound|80||*.a.example", NULL);
        wild->discovery = CLUSTER_DYNAMIC_DNS;
        wild->dns_port = endpoint->port;
        wild->connect_timeout_ms = 2000;
        if (world.has_dns_name)
            wild->dns_name = STR("declared.example");
        add_http(builder, captured, "*.a.example", "wild", wild);
        add_http(builder, captured, "elsewhere.example", "wild", wild);
        struct filter_chain chain = {.name = STR("wild")};
        struct builder_chain *named = builder_captured_chain(captured, &chain);
        struct tcp_route by_name = tcp_to(builder, "wild-tls", wild);
        builder_chain_add_tcp_route(named, &by_name);
        assert_null(builder_chain_add_name(named, STR("*.a.example"), false));
    }
    return builder_seal(&builder, ++gate->generation);
}

static void answer_now(struct gate *gate)
{
    struct address addresses[4];
    uint32_t n = 0;
    for (; n < 4 && world.dns.addresses[n]; n++)
        assert_true(address_parse_ip(str_of(world.dns.addresses[n]), &addresses[n]));
    proxy_answer_name(gate->proxy, str_of(world.asked), world.dns.status, addresses, n, 60000);
}

static void on_ask(void *arg, struct str name)
{
    snprintf(world.asked, sizeof world.asked, "%.*s", STR_ARG(name));
    world.n_asked++;
    if (!world.dns.is_slow)
        answer_now(arg);
}

static int set_up_dynamic(void **state)
{
    set_up(state);
    struct gate *gate = *state;
    memset(&world, 0, sizeof world);
    world.n_clusters = 1;
    world.dns.addresses[0] = "127.0.0.1";
    gate->build = build_dynamic;
    gate->options.ask_name = on_ask;
    gate->options.ask_arg = gate;
    gate->options.detect_timeout_ms = 100;
    gate->log_format = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% "
                       "%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n";
    local_ip.family = 0;
    return 0;
}

static void dial_endpoint(const struct gate *gate)
{
    char text[ADDRESS_TEXT_MAX];
    address_format(&gate->endpoint_address, text);
    dial(text);
}

static void ask(struct peer *client, const char *host)
{
    char head[300];
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nhost: %s\r\n\r\n", host);
    say(client, head);
}

static void wait_until_asked(struct gate *gate, unsigned n)
{
    for (int turns = 0; world.n_asked < n; turns++) {
        assert_true(turns < WAIT_S * 200);
        loop_turn(&gate->loop, 5);
    }
}

// ---- the address dialled ----

static void test_connections_to_the_address_dialled_are_pooled(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial_endpoint(gate);
    struct peer *endpoint = NULL;
    for (int i = 0; i < 3; i++) {
        struct peer *client = connect_to_gate(gate);
        say(client, get);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, ok);
        hear_whole_response(client, 200);
        hang_up(client);
    }
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
    publish(gate, &gate->endpoint_address); // nothing has changed: it stays
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_workers_share_connections_to_the_address_dialled(void **state)
{
    struct gate *gate = *state;
    enum { WORKERS = 8, CALLS = 12 };
    gate->options.n_workers = WORKERS;
    open_gate(gate);
    dial_endpoint(gate);
    struct peer *endpoint = NULL;
    for (int i = 0; i < CALLS; i++) {
        struct peer *client = connect_to_gate(gate);
        say(client, get);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, ok);
        hear_whole_response(client, 200);
        hang_up(client);
        wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED, 1);
        usleep(2 * SHARE_GAP_MS * 1000); // rarely
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    world.is_registry_only = true; // a parked connection is nobody's any more
    publish(gate, &gate->endpoint_address);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_tcp_goes_to_the_address_dialled(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial_endpoint(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(endpoint, "hello");
    hear(client, "hello");
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    expect_log(gate, "0 - - - PassthroughCluster 1\n");
}

static void test_where_nobody_listens_at_the_address_dialled(void **state)
{
    struct gate *gate = *state;
    struct address nobody;
    char text[ADDRESS_TEXT_MAX];
    close(listen_anywhere(&nobody));
    address_format(&nobody, text);
    open_gate(gate);
    dial(text);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    hear_whole_response(client, 503);
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "\n");
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "503 UF upstream_reset_before_response_started{connection_failure} allow_any "
                     "PassthroughCluster 0\n"
                     "0 UF - - PassthroughCluster 1\n");
}

// ---- what is declared nowhere ----

static void expect_undeclared(struct gate *gate, uint32_t i, const char *host, uint64_t allowed,
                              uint64_t refused)
{
    static struct undeclared_host hosts[UNDECLARED_HOSTS_MAX + 1];
    assert_true(proxy_undeclared(gate->proxy, hosts) > i);
    if (!str_is(hosts[i].name, host))
        fail_msg("\"%.*s\" in the place of \"%s\"", STR_ARG(hosts[i].name), host);
    assert_int_equal(hosts[i].counts[UNDECLARED_ALLOWED], allowed);
    assert_int_equal(hosts[i].counts[UNDECLARED_REFUSED], refused);
}

static void test_what_is_declared_nowhere_follows_the_policy_that_is_in_force(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial_endpoint(gate);
    struct peer *client = connect_to_gate(gate);
    ask(client, "B.example:8000");
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    struct peer *tunnel = connect_to_gate(gate), *behind = accept_from_gate(gate);
    say(behind, "hello");
    hear(tunnel, "hello");
    world.is_registry_only = true;
    publish(gate, &gate->endpoint_address);
    hear_end(endpoint); // nobody may use it any more
    ask(client, "b.example");
    const char *head = hear_head(client);
    assert_non_null(strstr(head, "HTTP/1.1 502 "));
    assert_non_null(strstr(head, "content-length: 0\r\n"));
    say(tunnel, "still here"); // it is no new connection
    hear(behind, "still here");
    struct peer *refused = connect_to_gate(gate);
    say(refused, "\n");
    hear_reset(refused);
    struct peer *all[] = {client, endpoint, tunnel, behind, refused};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        hang_up(all[i]);
    wait_until_quiet(gate);
    char address[ADDRESS_TEXT_MAX];
    address_format(&gate->endpoint_address, address);
    expect_undeclared(gate, 0, "b.example", 1, 1);
    expect_undeclared(gate, 1, address, 1, 1);
    uint64_t counters[CLUSTER_COUNTER_COUNT];
    assert_true(proxy_cluster_counters(gate->proxy, proxy_snapshot(gate->proxy)->clusters[0],
                                       counters)); // BlackHoleCluster
    assert_int_equal(counters[CLUSTER_COUNTER_REQUESTS], 2);
    assert_int_equal(counters[CLUSTER_COUNTER_FAILURES], 2);
    expect_log(gate, "200 - via_upstream allow_any PassthroughCluster 1\n"
                     "502 - direct_response block_all BlackHoleCluster 0\n"
                     "0 UH no_healthy_upstream - BlackHoleCluster 0\n"
                     "0 - - - PassthroughCluster 1\n");
}

// ---- names ----

static void serve_once(struct gate *gate, struct peer *client)
{
    struct peer *endpoint = accept_from_gate(gate);
    assert_non_null(strstr(hear_head(endpoint), "GET / HTTP/1.1\r\n"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
}

static void test_a_declared_name_may_be_anywhere(void **state)
{
    struct gate *gate = *state;
    world.has_dns_name = true;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    ask(client, "x.a.example");
    wait_until_asked(gate, 1);
    assert_string_equal(world.asked, "declared.example");
    serve_once(gate, client);
    wait_until_quiet(gate);
    expect_log(gate, "200 - via_upstream wild outbound|80||*.a.example 1\n");
}

static void expect_refused(struct gate *gate, const char *host, const char *details)
{
    struct peer *client = connect_to_gate(gate);
    ask(client, host);
    for (int turns = 0; counter(gate, PROXY_COUNTER_ACCESS_LOG_LINES) == 0; turns++) {
        assert_true(turns < WAIT_S * 200);
        loop_turn(&gate->loop, 5);
    }
    hear_whole_response(client, 503);
    hang_up(client);
    wait_until_quiet(gate);
    char line[300];
    snprintf(line, sizeof line,
             "503 DF dns_resolution_failure{%s} wild outbound|80||*.a.example 0\n", details);
    expect_log(gate, line);
}

static void test_a_name_of_a_client_does_not_lead_to_this_host(void **state)
{
    open_gate(*state);
    dial("192.0.2.1:80");
    expect_refused(*state, "x.a.example", "address_refused");
    assert_int_equal(world.n_asked, 1);
}

static void test_a_name_that_does_not_exist(void **state)
{
    world.dns.status = NAME_UNKNOWN;
    world.dns.addresses[0] = NULL;
    open_gate(*state);
    dial("192.0.2.1:80");
    expect_refused(*state, "x.a.example", "name_not_found");
}

static void test_a_name_server_that_fails(void **state)
{
    world.dns.status = NAME_FAILED;
    world.dns.addresses[0] = NULL;
    open_gate(*state);
    dial("192.0.2.1:80");
    expect_refused(*state, "x.a.example", "no_answer");
}

static void test_a_name_of_elsewhere_is_not_looked_up(void **state)
{
    open_gate(*state);
    dial("192.0.2.1:80");
    expect_refused(*state, "elsewhere.example", "name_not_of_cluster");
    assert_int_equal(world.n_asked, 0);
}

static void test_the_next_address_is_tried_when_one_does_not_answer(void **state)
{
    struct gate *gate = *state;
    world.has_dns_name = true;
    world.dns.addresses[0] = "127.0.0.7"; // nobody listens there
    world.dns.addresses[1] = "127.0.0.1";
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    ask(client, "x.a.example");
    wait_until_asked(gate, 1);
    serve_once(gate, client);
    assert_int_equal(counter(gate, PROXY_COUNTER_RETRIES), 1);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 0);
    client = connect_to_gate(gate); // the one that answered comes first now
    ask(client, "x.a.example");
    serve_once(gate, client);
    assert_int_equal(counter(gate, PROXY_COUNTER_RETRIES), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECT_FAILURES), 1);
    wait_until_quiet(gate);
}

static void test_who_leaves_while_a_name_is_awaited_leaves_nothing(void **state)
{
    struct gate *gate = *state;
    world.dns.is_slow = true;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    ask(client, "x.a.example");
    wait_until_asked(gate, 1);
    reset(client);
    wait_until_quiet(gate);
    answer_now(gate);
    loop_turn(&gate->loop, 5);
    wait_until_quiet(gate);
}

static void test_the_name_of_tls_is_looked_up_likewise(void **state)
{
    struct gate *gate = *state;
    char hello[256];
    size_t len = make_hello("x.a.example", hello);
    world.has_dns_name = true;
    open_gate(gate);
    dial("192.0.2.1:443");
    struct peer *client = connect_to_gate(gate);
    say_bytes(client, hello, len);
    wait_until_asked(gate, 1);
    struct peer *endpoint = accept_from_gate(gate);
    while (endpoint->len < len)
        assert_int_equal(hear_more(endpoint), 1);
    assert_memory_equal(endpoint->data, hello, len);
    hang_up(client);
    hang_up(endpoint);
    world.has_dns_name = false; // the client's own choice now
    publish(gate, &gate->endpoint_address);
    client = connect_to_gate(gate);
    say_bytes(client, hello, len);
    wait_until_asked(gate, 2);
    assert_string_equal(world.asked, "x.a.example");
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "0 - - wild-tls outbound|80||*.a.example 1\n"
                     "0 DF dns_resolution_failure{address_refused} wild-tls "
                     "outbound|80||*.a.example 0\n");
}

static void test_a_name_is_not_awaited_for_ever(void **state)
{
    struct gate *gate = *state;
    world.dns.is_slow = true;
    open_gate(gate);
    dial("192.0.2.1:80");
    expect_refused(gate, "x.a.example", "no_answer"); // after its connect timeout
}

static void test_a_cluster_that_is_gone_takes_its_connections_along(void **state)
{
    struct gate *gate = *state;
    world.has_dns_name = true;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    ask(client, "x.a.example");
    wait_until_asked(gate, 1);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
    world.n_clusters = 0;
    publish(gate, &gate->endpoint_address);
    hear_end(endpoint);
    hang_up(endpoint);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_the_address_dialled_may_be_reached_at_another_port(void **state)
{
    struct gate *gate = *state;
    world.has_target_port = true;
    open_gate(gate);
    dial("127.0.0.1:9");
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void ask_endpoint(struct gate *gate)
{
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
}

static void test_the_endpoint_dialled_is_reached_of_several(void **state)
{
    struct gate *gate = *state;
    world.has_endpoints = true;
    open_gate(gate);
    dial("127.0.0.1:9"); // at the port that the cluster says
    for (int i = 0; i < 4; i++)
        ask_endpoint(gate);
    wait_until_quiet(gate);
#define AT_ONCE "200 - via_upstream allow_any PassthroughCluster 1\n"
    expect_log(gate, AT_ONCE AT_ONCE AT_ONCE AT_ONCE); // the other was not tried
}

static void test_any_endpoint_is_reached_when_none_was_dialled(void **state)
{
    struct gate *gate = *state;
    world.has_endpoints = world.has_one_endpoint = true;
    open_gate(gate);
    dial("127.0.0.55:9");
    ask_endpoint(gate);
    wait_until_quiet(gate);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the program does
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_dynamic, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(connections_to_the_address_dialled_are_pooled),
        TEST(workers_share_connections_to_the_address_dialled),
        TEST(tcp_goes_to_the_address_dialled),
        TEST(where_nobody_listens_at_the_address_dialled),
        TEST(the_address_dialled_may_be_reached_at_another_port),
        TEST(the_endpoint_dialled_is_reached_of_several),
        TEST(any_endpoint_is_reached_when_none_was_dialled),
        TEST(what_is_declared_nowhere_follows_the_policy_that_is_in_force),
        TEST(a_declared_name_may_be_anywhere),
        TEST(a_name_of_a_client_does_not_lead_to_this_host),
        TEST(a_name_that_does_not_exist),
        TEST(a_name_server_that_fails),
        TEST(a_name_of_elsewhere_is_not_looked_up),
        TEST(the_next_address_is_tried_when_one_does_not_answer),
        TEST(who_leaves_while_a_name_is_awaited_leaves_nothing),
        TEST(the_name_of_tls_is_looked_up_likewise),
        TEST(a_name_is_not_awaited_for_ever),
        TEST(a_cluster_that_is_gone_takes_its_connections_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
