// SPDX-License-Identifier: Apache-2.0
// Captured connections: what the client speaks, and where it goes by what it dialled.
#include "proxy/proxy_captured_test.h"
#include <signal.h>

// ---- what is served ----

// Port 80 is HTTP, 3306 TCP, 443 looked at with two names; others are looked at.
static bool is_inbound, is_transparent;
static const char *a_cluster;

static struct snapshot *build_captured(struct gate *gate, const struct address *endpoint)
{
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct address bind;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    struct builder_listener *listener = builder_listener(
        builder, is_inbound ? LISTENER_INBOUND : LISTENER_OUTBOUND, &bind, 15001, STR("sidecar"));
    if (is_transparent)
        builder_listener_be_transparent(listener);
    static const struct {
        uint16_t port;
        enum capture_protocol protocol;
        const char *cluster;
    } ports[] = {{0, CAPTURE_DETECT, "other"},
                 {80, CAPTURE_HTTP, "web"},
                 {443, CAPTURE_DETECT, "tls"},
                 {3306, CAPTURE_TCP, "db"}};
    for (unsigned i = 0; i < sizeof ports / sizeof *ports; i++) {
        const char *name = ports[i].cluster;
        struct cluster *cluster = cluster_at(builder, name, endpoint);
        struct builder_captured *captured = builder_captured(listener, ports[i].port);
        struct tcp_route tcp = tcp_to(builder, name, cluster);
        enum capture_protocol old;
        builder_captured_protocol(captured, NULL, ports[i].protocol, &old);
        builder_captured_add_tcp(captured, NULL, &tcp);
        add_http(builder, captured, "*", "any-host", cluster);
        if (ports[i].port == 80)
            add_http(builder, captured, "a.example", "a-host",
                     cluster_at(builder, a_cluster, endpoint));
        if (ports[i].port != 443)
            continue;
        struct filter_chain chain = {.name = STR("named")};
        struct builder_chain *named = builder_captured_chain(captured, &chain);
        struct tcp_route by_name =
            tcp_to(builder, "by-name", cluster_at(builder, "named", endpoint));
        builder_chain_add_tcp_route(named, &by_name);
        assert_null(builder_chain_add_name(named, STR("*.a.example"), false));
    }
    // One address of port 0 that is never looked at.
    struct subnet subnet = {.bits = 32};
    assert_true(address_parse_ip(STR("192.0.2.99"), &subnet.base));
    enum capture_protocol old;
    struct builder_captured *any = builder_captured(listener, 0);
    struct tcp_route tcp = tcp_to(builder, "by-address", cluster_at(builder, "vip", endpoint));
    builder_captured_protocol(any, &subnet, CAPTURE_TCP, &old);
    builder_captured_add_tcp(any, &subnet, &tcp);
    return builder_seal(&builder, ++gate->generation);
}

static int set_up_captured(void **state)
{
    set_up(state);
    struct gate *gate = *state;
    gate->build = build_captured;
    gate->options.detect_timeout_ms = 30000; // what does not wait for it must not
    gate->log_format = "%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
                       "%ROUTE_NAME% %UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% "
                       "%DOWNSTREAM_LOCAL_ADDRESS% %BYTES_RECEIVED% %BYTES_SENT%\n";
    is_inbound = is_transparent = false;
    a_cluster = "a-cluster";
    local_ip.family = 0;
    n_dialled = 0;
    dial(NULL);
    return 0;
}

static void exchange(struct gate *gate, struct peer *client)
{
    struct peer *endpoint = accept_from_gate(gate);
    assert_non_null(strstr(hear_head(endpoint), "GET / HTTP/1.1\r\n"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- HTTP ----

static void test_http_goes_by_its_host_and_not_by_the_address_dialled(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.99:80");
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    exchange(gate, client);
    client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n");
    exchange(gate, client);
    expect_log(gate, "GET 200 - via_upstream a-host a-cluster - 192.0.2.99:80 0 2\n"
                     "GET 200 - via_upstream any-host web - 192.0.2.99:80 0 2\n");
}

static void test_http_is_found_where_nothing_is_declared_however_it_comes(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:8000");
    for (size_t piece = 1; piece < sizeof get; piece += 3) {
        struct peer *client = connect_to_gate(gate);
        for (size_t at = 0; at < sizeof get - 1; at += piece) {
            size_t left = sizeof get - 1 - at;
            say_bytes(client, get + at, left < piece ? left : piece);
        }
        exchange(gate, client);
    }
}

static void test_a_huge_request_line_is_refused_as_http(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:8000");
    struct peer *client = connect_to_gate(gate);
    say(client, "GET /");
    say_many(client, 'x', 20000);
    hear_status(client, 414);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "- 414 DPE http1.uri_too_long - - - 192.0.2.1:8000 0 45\n");
}

static void test_garbage_on_a_port_of_http_is_answered_by_the_parser(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    say(client, "garbage\r\n\r\n");
    hear_status(client, 400);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_PROTOCOL_ERRORS), 1);
}

static void test_http_may_keep_still_for_a_while_where_it_is_declared(void **state)
{
    struct gate *gate = *state;
    gate->options.detect_timeout_ms = 1;
    gate->options.greeting_timeout_ms = 1;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    wait_for_counter(gate, PROXY_COUNTER_CONNECTIONS, 1);
    for (int i = 0; i < 5; i++)
        loop_turn(&gate->loop, 10);
    say(client, get);
    exchange(gate, client);
}

static void test_who_never_speaks_on_a_port_of_http_is_closed_without_a_line(void **state)
{
    struct gate *gate = *state;
    gate->options.keepalive_timeout_ms = 50;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "");
}

// ---- what applications and their peers see ----

static const char said[] = "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-for: 192.0.2.7\r\n"
                           "x-forwarded-proto: https\r\nx-request-id: mine\r\n"
                           "x-envoy-attempt-count: 7\r\nx-envoy-decorator-operation: none\r\n"
                           "x-envoy-force-trace: 1\r\nx-forwarded-client-cert: Hash=0\r\n\r\n";

static void expect_lines(const char *head, const char *const *lines, bool are_there)
{
    for (; *lines; lines++)
        if (!strstr(head, *lines) != !are_there)
            fail_msg("%s %s", are_there ? "without" : "with", *lines);
}

static void test_a_sidecar_adds_to_requests_what_is_missing_and_is_no_hop(void **state)
{
    struct gate *gate = *state;
    static const char *const added[] = {"x-forwarded-proto: http\r\n",
                                        "x-request-id: ", "x-envoy-attempt-count: 1\r\n",
                                        "x-envoy-decorator-operation: a.example:80/*\r\n", NULL};
    static const char *const kept[] = {"x-forwarded-for: 192.0.2.7\r\n",
                                       "x-forwarded-proto: https\r\n", "x-request-id: mine\r\n",
                                       "x-envoy-attempt-count: 1\r\n", NULL};
    static const char *const never[] = {"x-envoy-internal",        "x-envoy-external-address",
                                        "operation: none",         "x-envoy-force-trace",
                                        "x-forwarded-client-cert", NULL};
    static const char *const not_added[] = {"x-forwarded-for", NULL};
    a_cluster = "outbound|80||a.example";
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    const char *head = hear_head(endpoint);
    expect_lines(head, added, true);
    expect_lines(head, never, false);
    expect_lines(head, not_added, false);
    say(endpoint, ok);
    head = hear_head(client);
    assert_non_null(strstr(head, "server: envoy\r\n"));
    assert_non_null(strstr(head, "x-envoy-upstream-service-time: "));
    hear(client, "ok");
    say(client, said);
    head = hear_head(endpoint);
    expect_lines(head, kept, true);
    expect_lines(head, never, false);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_inbound_leaves_what_the_caller_s_sidecar_said(void **state)
{
    struct gate *gate = *state;
    static const char *const kept[] = {"x-forwarded-for: 192.0.2.7\r\n",
                                       "x-forwarded-proto: https\r\n", "x-request-id: mine\r\n",
                                       "x-envoy-attempt-count: 7\r\n", NULL};
    static const char *const never[] = {"x-envoy-internal", "x-envoy-decorator-operation",
                                        "x-envoy-force-trace", "x-forwarded-client-cert", NULL};
    is_inbound = true;
    a_cluster = "outbound|80||a.example";
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    say(client, said);
    struct peer *endpoint = accept_from_gate(gate);
    const char *head = hear_head(endpoint);
    expect_lines(head, kept, true);
    expect_lines(head, never, false);
    say(endpoint, ok);
    head = hear_head(client);
    assert_non_null(strstr(head, "server: istio-envoy\r\n"));
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- TCP ----

static void test_a_port_of_tcp_is_not_looked_at(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:3306");
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(endpoint, "welcome");
    hear(client, "welcome");
    say(client, get);
    hear(endpoint, get);
    hang_up(client);
    hear_end(endpoint);
    hang_up(endpoint);
    dial("192.0.2.99:9999"); // nor is a declared address
    client = connect_to_gate(gate), endpoint = accept_from_gate(gate);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    expect_log(gate, "- 0 - - db db - 192.0.2.1:3306 35 7\n"
                     "- 0 - - by-address vip - 192.0.2.99:9999 0 0\n");
}

static void test_who_waits_for_the_server_s_word_gets_it_after_a_while(void **state)
{
    struct gate *gate = *state;
    gate->options.detect_timeout_ms = 50;
    open_gate(gate);
    dial("192.0.2.1:22");
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(endpoint, "SSH-2.0-server\r\n");
    hear(client, "SSH-2.0-server\r\n");
    say(client, get); // it is TCP now, whatever comes
    hear(endpoint, get);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_CAPTURE_SILENT), 1);
    expect_log(gate, "- 0 - - other other - 192.0.2.1:22 35 16\n");
}

static void test_what_is_neither_tls_nor_http_is_tcp_at_once(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    static const char *const words[] = {"SSH-2.0-client\r\n", "PING\r\n", "\x16garbage",
                                        "GET key\r\n", "\r\n"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        dial("192.0.2.1:8000");
        struct peer *client = connect_to_gate(gate);
        say(client, words[i]);
        struct peer *endpoint = accept_from_gate(gate);
        hear(endpoint, words[i]);
        hang_up(client);
        hang_up(endpoint);
        wait_until_quiet(gate);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_CAPTURE_SILENT), 0);
    assert_int_equal(counter(gate, PROXY_COUNTER_PROTOCOL_ERRORS), 0);
}

static void test_half_a_word_of_http_that_stops_is_tcp(void **state)
{
    struct gate *gate = *state;
    gate->options.detect_timeout_ms = 50;
    open_gate(gate);
    dial("192.0.2.1:8000");
    struct peer *client = connect_to_gate(gate);
    say(client, "GE");
    struct peer *endpoint = accept_from_gate(gate);
    hear(endpoint, "GE");
    say(client, "NERIC");
    hear(endpoint, "NERIC");
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_who_ends_its_side_at_once_still_hears(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:13");
    struct peer *client = connect_to_gate(gate);
    shutdown(client->fd, SHUT_WR);
    struct peer *endpoint = accept_from_gate(gate);
    hear_end(endpoint);
    say(endpoint, "noon");
    hang_up(endpoint);
    hear(client, "noon");
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_where_nobody_listens_the_client_hears_a_reset(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct address nobody;
    close(listen_anywhere(&nobody));
    publish(gate, &nobody);
    dial("192.0.2.1:3306");
    struct peer *client = connect_to_gate(gate);
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "- 0 UF - db db - 192.0.2.1:3306 0 0\n");
}

// ---- TLS ----

static void test_tls_goes_by_its_name_and_else_by_the_address(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    static const char *const names[] = {"x.a.example", "b.example", ""};
    char hello[256];
    for (unsigned i = 0; i < 3; i++) {
        size_t len = make_hello(names[i], hello);
        dial("192.0.2.1:443");
        struct peer *client = connect_to_gate(gate);
        uint64_t before = counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_RECEIVED);
        say_bytes(client, hello, 40);
        wait_for_counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_RECEIVED, before + 40);
        say_bytes(client, hello + 40, len - 40);
        struct peer *endpoint = accept_from_gate(gate);
        while (endpoint->len < len)
            assert_int_equal(hear_more(endpoint), 1);
        assert_memory_equal(endpoint->data, hello, len);
        hang_up(client);
        hang_up(endpoint);
        wait_until_quiet(gate);
    }
    expect_log(gate, "- 0 - - by-name named x.a.example 192.0.2.1:443 72 0\n"
                     "- 0 - - tls tls b.example 192.0.2.1:443 70 0\n"
                     "- 0 - - tls tls - 192.0.2.1:443 50 0\n");
}

static void test_tls_is_passed_on_from_a_port_of_http_too(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    char hello[256];
    size_t len = make_hello("b.example", hello);
    dial("192.0.2.1:80");
    struct peer *client = connect_to_gate(gate);
    for (size_t i = 0; i < len; i++)
        say_bytes(client, hello + i, 1);
    struct peer *endpoint = accept_from_gate(gate);
    while (endpoint->len < len)
        assert_int_equal(hear_more(endpoint), 1);
    assert_memory_equal(endpoint->data, hello, len);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_half_a_client_hello_does_not_wait_for_ever(void **state)
{
    struct gate *gate = *state;
    gate->options.greeting_timeout_ms = 50;
    open_gate(gate);
    char hello[256];
    make_hello("b.example", hello);
    dial("192.0.2.1:443");
    struct peer *client = connect_to_gate(gate);
    say_bytes(client, hello, 30);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKE_FAILURES), 1);
    expect_log(gate, "- 0 - - - - - 192.0.2.1:443 0 0\n");
}

// ---- HTTP/2 ----

static void test_the_preface_of_http2_in_pieces_begins_http2(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    static const char first[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const char *const ports[] = {"192.0.2.1:8000", "192.0.2.1:80"};
    for (unsigned i = 0; i < 2; i++) {
        dial(ports[i]);
        for (size_t piece = 1; piece < sizeof first; piece += 4) {
            struct peer *client = connect_to_gate(gate);
            for (size_t at = 0; at < sizeof first - 1; at += piece) {
                size_t left = sizeof first - 1 - at;
                say_bytes(client, first + at, left < piece ? left : piece);
            }
            while (client->len < 4)
                assert_int_equal(hear_more(client), 1);
            assert_int_equal(client->data[3], 4); // SETTINGS
            hang_up(client);
            wait_until_quiet(gate);
        }
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_PROTOCOL_ERRORS), 0);
}

// ---- what was not captured ----

static void test_a_connection_that_was_not_captured_is_reset(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_NOT_CAPTURED), 1);
    char expected[200], own[ADDRESS_TEXT_MAX];
    address_format(&gate->address, own);
    snprintf(expected, sizeof expected, "- 0 NR not_captured - - - %s 0 0\n", own);
    expect_log(gate, expected);
}

static void test_what_leads_back_to_the_listener_is_not_forwarded(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    char address[32];
    pthread_mutex_lock(&lock);
    assert_true(address_parse_ip(STR("192.0.2.77"), &local_ip));
    pthread_mutex_unlock(&lock);
    snprintf(address, sizeof address, "192.0.2.77:%u", gate->address.port);
    dial(address);
    struct peer *client = connect_to_gate(gate);
    hear_reset(client);
    hang_up(client);
    snprintf(address, sizeof address, "192.0.2.78:%u", gate->address.port); // another host's
    dial(address);
    client = connect_to_gate(gate);
    say(client, get);
    exchange(gate, client);
    dial("192.0.2.77:8000"); // another port
    client = connect_to_gate(gate);
    say(client, get);
    exchange(gate, client);
    assert_int_equal(counter(gate, PROXY_COUNTER_NOT_CAPTURED), 1);
}

static void test_behind_tproxy_the_socket_s_own_address_was_dialled(void **state)
{
    struct gate *gate = *state;
    is_inbound = true;
    is_transparent = geteuid() == 0; // the socket needs the privilege
    open_gate(gate);
    dial(is_transparent ? NULL : "127.0.0.1:7");
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    exchange(gate, client);
    assert_int_equal(was_asked_for_transparent, is_transparent);
}

// ---- changes and the end ----

static void test_a_change_that_does_not_concern_it_leaves_a_connection_be(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    dial("192.0.2.1:8000");
    struct peer *silent = connect_to_gate(gate), *client = connect_to_gate(gate);
    wait_until_dialled(gate, 2);
    dial("192.0.2.1:3306");
    struct peer *tunnel = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(client, get);
    struct peer *web = accept_from_gate(gate);
    hear_head(web);
    publish(gate, &gate->endpoint_address);
    say(web, ok);
    hear_whole_response(client, 200);
    struct address other;
    int elsewhere = listen_anywhere(&other);
    publish(gate, &other); // the routes of the port lead elsewhere now
    say(client, get);
    struct peer *moved = peer_of(accept(elsewhere, NULL, NULL));
    hear_head(moved);
    say(moved, ok);
    hear_whole_response(client, 200);
    say(tunnel, "still");
    hear(endpoint, "still");
    say(silent, "\r\n"); // what it speaks is told now, and where it goes
    struct peer *late = peer_of(accept(elsewhere, NULL, NULL));
    hear(late, "\r\n");
    struct peer *all[] = {silent, client, tunnel, endpoint, web, moved, late};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        hang_up(all[i]);
    close(elsewhere);
    wait_until_quiet(gate);
}

static void note_drained(void *arg)
{
    *(bool *)arg = true;
}

static void test_draining_waits_for_no_request_and_serves_who_has_just_come(void **state)
{
    struct gate *gate = *state;
    gate->options.detect_timeout_ms = 300;
    open_gate(gate);
    dial("192.0.2.1:80");
    struct peer *web = connect_to_gate(gate);
    wait_until_dialled(gate, 1);
    dial("192.0.2.1:22");
    struct peer *silent = connect_to_gate(gate);
    wait_until_dialled(gate, 2);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, &gate->is_drained);
    hear_end(web);
    hang_up(web);
    struct peer *endpoint = accept_from_gate(gate);
    say(endpoint, "SSH-2.0-server\r\n");
    hear(silent, "SSH-2.0-server\r\n");
    hang_up(silent);
    hang_up(endpoint);
    while (!gate->is_drained)
        loop_turn(&gate->loop, 10);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the program does
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_captured, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(http_goes_by_its_host_and_not_by_the_address_dialled),
        TEST(http_is_found_where_nothing_is_declared_however_it_comes),
        TEST(a_huge_request_line_is_refused_as_http),
        TEST(garbage_on_a_port_of_http_is_answered_by_the_parser),
        TEST(http_may_keep_still_for_a_while_where_it_is_declared),
        TEST(who_never_speaks_on_a_port_of_http_is_closed_without_a_line),
        TEST(a_sidecar_adds_to_requests_what_is_missing_and_is_no_hop),
        TEST(inbound_leaves_what_the_caller_s_sidecar_said),
        TEST(a_port_of_tcp_is_not_looked_at),
        TEST(who_waits_for_the_server_s_word_gets_it_after_a_while),
        TEST(what_is_neither_tls_nor_http_is_tcp_at_once),
        TEST(half_a_word_of_http_that_stops_is_tcp),
        TEST(who_ends_its_side_at_once_still_hears),
        TEST(where_nobody_listens_the_client_hears_a_reset),
        TEST(tls_goes_by_its_name_and_else_by_the_address),
        TEST(tls_is_passed_on_from_a_port_of_http_too),
        TEST(half_a_client_hello_does_not_wait_for_ever),
        TEST(the_preface_of_http2_in_pieces_begins_http2),
        TEST(a_connection_that_was_not_captured_is_reset),
        TEST(what_leads_back_to_the_listener_is_not_forwarded),
        TEST(behind_tproxy_the_socket_s_own_address_was_dialled),
        TEST(a_change_that_does_not_concern_it_leaves_a_connection_be),
        TEST(draining_waits_for_no_request_and_serves_who_has_just_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
