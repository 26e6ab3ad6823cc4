// SPDX-License-Identifier: Apache-2.0
// What is rendered, compared with texts; tests/e2e/test_capture.py has the kernel take them.
#include "l4/capture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct buf text;

static struct capture_options plain(void)
{
    return (struct capture_options){
        .fail_open_ms = 3000,
        .outbound_port = 15001,
        .inbound_port = 15006,
        .upstream_mark = 0x539,
        .include_subnets.are_all = true,
        .include_inbound_ports.are_all = true,
    };
}

static const char *render(const struct capture_options *options, bool is_alive)
{
    text.len = 0;
    capture_render(options, is_alive, &text);
    return text.data;
}

// The body of one chain.
static const char *render_chain(const struct capture_options *options, const char *name)
{
    const char *begin = strstr(render(options, false), name);
    assert_non_null(begin);
    begin = strchr(begin, '\n') + 1;
    char *end = strstr(begin, "    }\n");
    assert_non_null(end);
    *end = '\0';
    return begin;
}

static int fini(void **state)
{
    (void)state;
    buf_fini(&text);
    return 0;
}

static void test_redirect_as_a_whole(void **state)
{
    (void)state;
    uint32_t uid = 1337;
    struct capture_options options = plain();
    options.uids = (struct capture_numbers){&uid, 1, false};
    assert_string_equal(
        render(&options, false),
        "add table inet sluicegate_capture\n"
        "delete table inet sluicegate_capture\n"
        "table inet sluicegate_capture {\n"
        "    comment \"redirect, fail open\"\n"
        "\n"
        "    set alive {\n"
        "        type nf_proto\n"
        "        flags timeout\n"
        "        timeout 3s\n"
        "    }\n"
        "\n"
        "    chain outbound {\n"
        "        meta nfproto != @alive return\n"
        "        meta mark 0x539 return\n"
        "        meta skuid { 1337 } return\n"
        "        oif \"lo\" return\n"
        "        tcp dport { 53 } return\n"
        "        meta l4proto tcp redirect to :15001\n"
        "    }\n"
        "\n"
        "    chain inbound {\n"
        "        meta nfproto != @alive return\n"
        "        tcp dport { 15000, 15001, 15006, 15020, 15021, 15090 } return\n"
        "        meta l4proto tcp redirect to :15006\n"
        "    }\n"
        "\n"
        "    chain output {\n"
        "        type nat hook output priority -100; policy accept;\n"
        "        ct direction original tcp flags & (fin | syn | rst | ack) == syn jump outbound\n"
        "    }\n"
        "\n"
        "    chain prerouting {\n"
        "        type nat hook prerouting priority -100; policy accept;\n"
        "        iif != \"lo\" fib daddr type local ct direction original tcp flags & (fin | syn | "
        "rst | ack) == syn "
        "jump inbound\n"
        "    }\n"
        "}\n");
}

static void test_tproxy_as_a_whole(void **state)
{
    (void)state;
    uint32_t gids[] = {7, 5};
    struct capture_options options = plain();
    options.mode = CAPTURE_TPROXY;
    options.life = CAPTURE_HELD;
    options.gids = (struct capture_numbers){gids, 2, false};
    options.outbound_port = 1001;
    options.inbound_port = 1006;
    assert_string_equal(
        render(&options, true),
        "create table inet sluicegate_capture {\n"
        "    flags owner\n"
        "    comment \"tproxy, held by the sidecar\"\n"
        "}\n"
        "table inet sluicegate_capture {\n"
        "    flags owner\n"
        "\n"
        "    chain outbound {\n"
        "        meta mark 0x539 return\n"
        "        meta skgid { 5, 7 } return\n"
        "        oif \"lo\" return\n"
        "        tcp dport { 53 } return\n"
        "        meta l4proto tcp ct mark set 0x53a return\n"
        "    }\n"
        "\n"
        "    chain inbound {\n"
        "        tcp dport { 1001, 1006, 15000, 15001, 15006, 15020, 15021, 15090 } return\n"
        "        meta l4proto tcp ct mark set 0x53a return\n"
        "    }\n"
        "\n"
        "    chain output {\n"
        "        type route hook output priority -150; policy accept;\n"
        "        ct direction original tcp flags & (fin | syn | rst | ack) == syn jump outbound\n"
        "        ct direction original ct mark 0x53a meta mark set 0x53a\n"
        "    }\n"
        "\n"
        "    chain prerouting {\n"
        "        type filter hook prerouting priority -150; policy accept;\n"
        "        iif \"lo\" meta mark 0x53a meta l4proto tcp tproxy to :1001 accept\n"
        "        iif \"lo\" meta mark 0x53a meta l4proto tcp reject with tcp reset\n"
        "        iif \"lo\" return\n"
        "        fib daddr type local tcp flags & (fin | syn | rst | ack) == syn jump inbound\n"
        "        ct direction original ct mark 0x53a meta l4proto tcp tproxy to :1006 meta mark "
        "set 0x53a accept\n"
        "        ct direction original ct mark 0x53a meta l4proto tcp reject with tcp reset\n"
        "    }\n"
        "}\n");
}

static void test_rules_that_fail_closed_ask_for_no_sign_of_life(void **state)
{
    (void)state;
    struct capture_options options = plain();
    options.life = CAPTURE_FAIL_CLOSED;
    assert_null(strstr(render(&options, true), "alive"));
    assert_non_null(strstr(text.data, "comment \"redirect, fail closed\"\n"));
}

static void test_what_was_in_force_stays_in_force(void **state)
{
    (void)state;
    struct capture_options options = plain();
    options.fail_open_ms = 2500;
    assert_non_null(strstr(render(&options, true), "        timeout 2s500ms\n"
                                                   "        elements = { ipv4, ipv6 }\n    }\n"));
    assert_null(strstr(render(&options, false), "elements"));
}

static struct capture_subnet subnet(const char *cidr)
{
    struct capture_subnet ret;
    assert_true(address_parse_subnet(str_of(cidr), &ret.base, &ret.bits));
    return ret;
}

static void test_ports_come_before_subnets_and_exclusion_before_inclusion(void **state)
{
    (void)state;
    uint32_t excluded_ports[] = {8080, 22}, included_ports[] = {9090};
    struct capture_subnet excluded[] = {subnet("fd00::/8"), subnet("10.0.0.0/8")};
    struct capture_subnet included[] = {subnet("192.0.2.1/32")};
    struct capture_options options = plain();
    options.life = CAPTURE_FAIL_CLOSED;
    options.exclude_outbound_ports = (struct capture_numbers){excluded_ports, 2, false};
    options.include_outbound_ports = (struct capture_numbers){included_ports, 1, false};
    options.exclude_subnets = (struct capture_subnets){excluded, 2, false};
    options.include_subnets = (struct capture_subnets){included, 1, false};
    assert_string_equal(render_chain(&options, "chain outbound"),
                        "        meta mark 0x539 return\n"
                        "        oif \"lo\" return\n"
                        "        tcp dport { 22, 53, 8080 } return\n"
                        "        tcp dport { 9090 } redirect to :15001\n"
                        "        ip daddr { 10.0.0.0/8 } return\n"
                        "        ip6 daddr { fd00::/8 } return\n"
                        "        ip daddr { 192.0.2.1/32 } meta l4proto tcp redirect to :15001\n");
}

static void test_dns_is_captured_when_its_port_is_named(void **state)
{
    (void)state;
    uint32_t ports[] = {53};
    struct capture_options options = plain();
    options.life = CAPTURE_FAIL_CLOSED;
    options.include_outbound_ports = (struct capture_numbers){ports, 1, false};
    options.include_subnets.are_all = false;
    assert_string_equal(render_chain(&options, "chain outbound"),
                        "        meta mark 0x539 return\n"
                        "        oif \"lo\" return\n"
                        "        tcp dport { 53 } redirect to :15001\n");
}

// Intervals of a set may neither overlap nor occur twice.
static void test_a_subnet_within_another_is_left_out(void **state)
{
    (void)state;
    struct capture_subnet subnets[] = {
        subnet("10.1.0.0/16"),        subnet("10.0.0.0/9"),      subnet("10.128.0.0/9"),
        subnet("10.0.0.0/9"),         subnet("10.0.0.1"),        subnet("10.127.255.0/24"),
        subnet("11.0.0.0/8"),         subnet("2001:db8:1::/48"), subnet("2001:db8::/33"),
        subnet("2001:db8:8000::/48"),
    };
    struct capture_options options = plain();
    options.life = CAPTURE_FAIL_CLOSED;
    options.include_subnets =
        (struct capture_subnets){subnets, sizeof subnets / sizeof *subnets, false};
    const char *chain = render_chain(&options, "chain outbound");
    assert_non_null(strstr(chain, "        ip daddr { 10.0.0.0/9, 10.128.0.0/9, 11.0.0.0/8 } "));
    assert_non_null(strstr(chain, "        ip6 daddr { 2001:db8::/33, 2001:db8:8000::/48 } "));
    struct capture_subnet everything[] = {subnet("10.0.0.0/8"), subnet("0.0.0.0/0")};
    options.include_subnets = (struct capture_subnets){everything, 2, false};
    assert_non_null(strstr(render_chain(&options, "chain outbound"), "ip daddr { 0.0.0.0/0 } "));
}

static void test_inbound_ports(void **state)
{
    (void)state;
    uint32_t included[] = {8443, 8080, 8080}, excluded[] = {9};
    struct capture_options options = plain();
    options.life = CAPTURE_FAIL_CLOSED;
    options.include_inbound_ports = (struct capture_numbers){included, 3, false};
    options.exclude_inbound_ports = (struct capture_numbers){excluded, 1, false};
    assert_string_equal(render_chain(&options, "chain inbound"),
                        "        tcp dport { 9, 15000, 15001, 15006, 15020, 15021, 15090 } return\n"
                        "        tcp dport { 8080, 8443 } redirect to :15006\n");
}

static void test_without_inbound_nothing_looks_at_what_comes_in(void **state)
{
    (void)state;
    struct capture_options options = plain();
    options.include_inbound_ports.are_all = false;
    render(&options, false);
    assert_null(strstr(text.data, "inbound"));
    assert_null(strstr(text.data, "prerouting"));
    options.mode = CAPTURE_TPROXY; // what goes out comes in again by the loopback device
    assert_string_equal(render_chain(&options, "chain prerouting"),
                        "        type filter hook prerouting priority -150; policy accept;\n"
                        "        iif \"lo\" meta mark 0x53a meta l4proto tcp tproxy to :15001 "
                        "accept\n"
                        "        iif \"lo\" meta mark 0x53a meta l4proto tcp reject with tcp "
                        "reset\n"
                        "        iif \"lo\" return\n");
    text.len = 0;
    capture_render_stop(&options, &text);
    assert_string_equal(text.data, "flush chain inet sluicegate_capture outbound\n");
}

static void test_without_outbound_nothing_looks_at_what_goes_out(void **state)
{
    (void)state;
    struct capture_options options = plain();
    options.outbound_port = 0;
    render(&options, false);
    assert_null(strstr(text.data, "outbound"));
    assert_null(strstr(text.data, "output"));
    options.mode = CAPTURE_TPROXY;
    render(&options, false);
    assert_null(strstr(text.data, "outbound"));
    assert_null(strstr(text.data, "output"));
    assert_null(strstr(text.data, ":0"));
    assert_non_null(strstr(text.data, "tproxy to :15006"));
    text.len = 0;
    capture_render_stop(&options, &text);
    assert_string_equal(text.data, "flush chain inet sluicegate_capture inbound\n");
}

static void assert_refused(const struct capture_options *options, const char *message)
{
    text.len = 0;
    assert_false(capture_options_check(options, &text));
    assert_string_equal(text.data, message);
}

static void test_options_by_which_the_sidecar_would_capture_itself_are_refused(void **state)
{
    (void)state;
    struct capture_options options = plain();
    assert_true(capture_options_check(&options, &text));
    options.upstream_mark = 0;
    assert_refused(&options, "the sidecar's own connections would be captured, too: name them by "
                             "--upstream-mark, --uid or --gid");
    uint32_t uid = 0;
    options.uids = (struct capture_numbers){&uid, 1, false};
    assert_true(capture_options_check(&options, &text));
    options.upstream_mark = CAPTURE_MARK;
    assert_refused(&options, "--upstream-mark: 0x53a is the mark of captured packets");
    options = plain();
    options.inbound_port = options.outbound_port;
    assert_refused(&options, "--outbound-port and --inbound-port are both 15001");
    options.inbound_port = options.outbound_port = 0;
    assert_refused(&options, "--outbound-port and --inbound-port are both 0: nothing is captured");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redirect_as_a_whole),
        cmocka_unit_test(test_tproxy_as_a_whole),
        cmocka_unit_test(test_rules_that_fail_closed_ask_for_no_sign_of_life),
        cmocka_unit_test(test_what_was_in_force_stays_in_force),
        cmocka_unit_test(test_ports_come_before_subnets_and_exclusion_before_inclusion),
        cmocka_unit_test(test_dns_is_captured_when_its_port_is_named),
        cmocka_unit_test(test_a_subnet_within_another_is_left_out),
        cmocka_unit_test(test_inbound_ports),
        cmocka_unit_test(test_without_inbound_nothing_looks_at_what_comes_in),
        cmocka_unit_test(test_without_outbound_nothing_looks_at_what_goes_out),
        cmocka_unit_test(test_options_by_which_the_sidecar_would_capture_itself_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, fini);
}
