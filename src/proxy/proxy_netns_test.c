// SPDX-License-Identifier: Apache-2.0
// Connections that the kernel captures, by REDIRECT and by TPROXY, in a network namespace of this
// test's own. It needs root and nft(8) and ip(8); without them it is skipped, and says so.
#define CAPTURED_BY_KERNEL
#include "proxy/proxy_captured_test.h"
#include <sched.h>
#include <signal.h>

#define IP4 "192.0.2.10"
#define IP6 "2001:db8::10"
enum { UPSTREAM_MARK = 0x539 };

static struct {
    const char *bind;
    bool is_transparent;
} world;

static bool run(const char *command)
{
    return system(command) == 0;
}

static void must_run(const char *command)
{
    if (!run(command))
        fail_msg("%s", command);
}

// Everything goes to where it was dialled.
static struct snapshot *build_passthrough(struct gate *gate, const struct address *endpoint)
{
    (void)endpoint;
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct address bind;
    assert_true(address_parse(str_of(world.bind), &bind));
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_OUTBOUND, &bind, 15001, STR("sidecar"));
    if (world.is_transparent)
        builder_listener_be_transparent(listener);
    struct builder_captured *captured = builder_captured(listener, 0);
    struct cluster *passthrough = cluster_at(builder, "PassthroughCluster", NULL);
    passthrough->discovery = CLUSTER_ORIGINAL_DST;
    struct tcp_route tcp = tcp_to(builder, "", passthrough);
    enum capture_protocol old;
    builder_captured_protocol(captured, NULL, CAPTURE_DETECT, &old);
    builder_captured_add_tcp(captured, NULL, &tcp);
    add_http(builder, captured, "*", "allow_any", passthrough);
    return builder_seal(&builder, ++gate->generation);
}

static int set_up_netns(void **state)
{
    set_up(state);
    struct gate *gate = *state;
    gate->build = build_passthrough;
    gate->options.detect_timeout_ms = 30000;
    gate->options.upstream_mark = UPSTREAM_MARK;
    gate->log_format = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
                       "%UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_ADDRESS%\n";
    world.is_transparent = false;
    return 0;
}

static int tear_down_netns(void **state)
{
    run("nft flush ruleset");
    run("ip rule del fwmark 0x53a 2>/dev/null; ip -6 rule del fwmark 0x53a 2>/dev/null");
    return tear_down(state);
}

static int listen_at(const char *ip, struct address *ret)
{
    struct sockaddr_storage sockaddr;
    assert_true(address_parse_ip(str_of(ip), ret));
    socklen_t len = address_to_sockaddr(ret, &sockaddr);
    int fd = socket(ret->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sockaddr, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &len), 0);
    assert_true(address_from_sockaddr((struct sockaddr *)&sockaddr, ret));
    set_deadline(fd);
    return fd;
}

static struct peer *connect_to(const struct address *address)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(address, &sockaddr);
    int fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, len), 0);
    return peer_of(fd);
}

static void redirect(const struct gate *gate)
{
    char command[600];
    snprintf(command, sizeof command,
             "nft 'table inet t { chain out { type nat hook output priority -100; "
             "meta mark 0x539 accept; "
             "ip daddr " IP4 " meta l4proto tcp redirect to :%u; "
             "ip6 daddr " IP6 " meta l4proto tcp redirect to :%u; }; }'",
             gate->address.port, gate->address.port);
    must_run(command);
}

// Only what is dialled at `address`, so that answers go their way.
static void tproxy(const struct gate *gate, const struct address *address)
{
    char command[900];
    bool is_ip6 = address->family == AF_INET6;
    snprintf(command, sizeof command,
             "nft 'table inet t { "
             "chain out { type route hook output priority -150; meta mark 0x539 accept; "
             "%s tcp dport %u meta mark set 0x53a; }; "
             "chain pre { type filter hook prerouting priority -150; "
             "meta mark 0x53a meta l4proto tcp tproxy %s to :%u accept; }; }' && "
             "ip %s rule add fwmark 0x53a lookup 133 && "
             "ip %s route replace local default dev lo table 133",
             is_ip6 ? "ip6 daddr " IP6 : "ip daddr " IP4, address->port, is_ip6 ? "ip6" : "ip",
             gate->address.port, is_ip6 ? "-6" : "-4", is_ip6 ? "-6" : "-4");
    must_run(command);
}

static void expect_captured(struct gate *gate, int endpoint, const struct address *address)
{
    gate->endpoint_address = *address;
    struct peer *client = connect_to(address);
    say(client, get);
    struct peer *server = peer_of(accept(endpoint, NULL, NULL));
    assert_non_null(strstr(hear_head(server), "x-request-id: ")); // it went through us
    say(server, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(server);
    close(endpoint);
    wait_until_quiet(gate);
}

static void expect_log_of(struct gate *gate, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX], line[200];
    address_format(address, text);
    snprintf(line, sizeof line, "200 - via_upstream PassthroughCluster %s\n", text);
    expect_log(gate, line);
}

static void check(struct gate *gate, const char *bind, bool is_transparent, const char *ip)
{
    struct address address;
    world.bind = bind;
    world.is_transparent = is_transparent;
    open_gate(gate);
    int endpoint = listen_at(ip, &address);
    if (is_transparent)
        tproxy(gate, &address);
    else
        redirect(gate);
    expect_captured(gate, endpoint, &address);
    expect_log_of(gate, &address);
}

static void test_what_is_redirected_goes_to_where_it_was_dialled(void **state)
{
    check(*state, "0.0.0.0:0", false, IP4);
}

static void test_ip4_redirected_to_a_listener_of_both_families(void **state)
{
    check(*state, "[::]:0", false, IP4);
}

static void test_ip6_is_redirected_likewise(void **state)
{
    check(*state, "[::]:0", false, IP6);
}

static void test_tproxy_leaves_the_address_dialled_to_the_socket(void **state)
{
    check(*state, "0.0.0.0:0", true, IP4);
}

static void test_tproxy_of_ip6(void **state)
{
    check(*state, "[::]:0", true, IP6);
}

static void test_who_dials_the_listener_itself_is_reset_captured_or_not(void **state)
{
    struct gate *gate = *state;
    world.bind = "0.0.0.0:0";
    open_gate(gate);
    struct address own = gate->address;
    assert_true(address_parse_ip(STR("127.0.0.1"), &own));
    own.port = gate->address.port;
    struct peer *client = connect_to(&own); // nothing is tracked
    hear_reset(client);
    hang_up(client);
    redirect(gate);
    client = connect_to(&own); // tracked, and not captured
    hear_reset(client);
    hang_up(client);
    assert_true(address_parse_ip(STR(IP4), &own)); // captured, and leads back
    own.port = gate->address.port;
    client = connect_to(&own);
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_NOT_CAPTURED), 3);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 0);
}

static void test_a_transparent_listener_without_privilege_is_refused_with_a_word(void **state)
{
    struct gate *gate = *state;
    world.bind = "127.0.0.1:0";
    open_gate(gate);
    world.is_transparent = true;
    world.bind = "127.0.0.2:0";
    struct snapshot *snapshot = build_passthrough(gate, NULL);
    struct buf errors = {0};
    assert_int_equal(seteuid(65534), 0); // takes CAP_NET_ADMIN along
    unsigned failed = proxy_publish(gate->proxy, &snapshot, &errors);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(failed, 1);
    assert_string_equal(errors.data,
                        "cannot listen on 127.0.0.2:0 (sidecar): Operation not permitted; "
                        "a listener for TPROXY needs CAP_NET_ADMIN\n");
    buf_fini(&errors);
}

static bool make_namespace(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 &&
           run("ip link set lo up && ip addr add " IP4 "/32 dev lo && "
               "ip addr add " IP6 "/128 dev lo nodad") &&
           run("nft 'table inet t { chain out { type nat hook output priority -100; }; }'") &&
           run("nft flush ruleset");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the program does
    if (!make_namespace()) {
        puts("1..0 # SKIP no network namespace with nftables: it takes root, ip and nft");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_netns, tear_down_netns)
    const struct CMUnitTest tests[] = {
        TEST(what_is_redirected_goes_to_where_it_was_dialled),
        TEST(ip4_redirected_to_a_listener_of_both_families),
        TEST(ip6_is_redirected_likewise),
        TEST(tproxy_leaves_the_address_dialled_to_the_socket),
        TEST(tproxy_of_ip6),
        TEST(who_dials_the_listener_itself_is_reset_captured_or_not),
        TEST(a_transparent_listener_without_privilege_is_refused_with_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
