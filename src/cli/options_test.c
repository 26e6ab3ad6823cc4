// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static struct options options;
static struct buf error;

static enum options_result parse(unsigned subcommand, size_t words_max, char *const *argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    options_fini(&options);
    error.len = 0;
    return options_parse(&options, subcommand, words_max, argc, argv, &error);
}

#define PARSE(subcommand, ...) parse(subcommand, 0, (char *[]){__VA_ARGS__, NULL})
#define RUN(...) PARSE(FOR_RUN, "-f", "a", __VA_ARGS__)

static void assert_refused(enum options_result result, const char *message)
{
    assert_int_equal(result, OPTIONS_ERROR);
    buf_add_char(&error, '\0');
    assert_string_equal(error.data, message);
}

static void assert_str(struct str actual, const char *expected)
{
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

static int fini(void **state)
{
    (void)state;
    options_fini(&options);
    buf_fini(&error);
    return 0;
}

static void test_defaults_are_those_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FOR_RUN, "-f", "x"), OPTIONS_OK);
    assert_str(options.compile.ns, "istio-system");
    assert_str(options.compile.ingress_controller, "sluicegate.io/ingress-controller");
    assert_int_equal(options.compile.ingress_class.len, 0);
    assert_int_equal(options.compile.http_port, 80);
    assert_int_equal(options.compile.https_port, 443);
    assert_str(options.compile.cluster_domain, "cluster.local");
    assert_int_equal(options.compile.body_bytes_max, 0);
    assert_false(options.compile.merge_slashes);
    assert_int_equal(options.compile.bind.family, AF_INET);
    assert_int_equal(options.compile.n_labels, 0);
    assert_true(options.has_admin);
    assert_int_equal(options.admin.port, 15000);
    assert_str(options.access_log, "-");
    assert_int_equal(options.drain_timeout_ms, 45000);
    assert_int_equal(options.log_level, LOG_INFO);
    assert_str(options.proxy.server_header, "istio-envoy");
    assert_int_equal(options.proxy.head_bytes_max, 61440);
    assert_int_equal(options.proxy.target_bytes_max, 16384);
    assert_int_equal(options.proxy.headers_max, 100);
    assert_int_equal(options.proxy.tunnel_idle_timeout_ms, 3600000);
    assert_true(options.proxy.n_workers >= 1);
}

static void test_a_value_may_follow_or_be_attached(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FOR_RUN, "-f", "a", "--filename", "b", "--filename=c", "-fd", "-f", "-"),
                     OPTIONS_OK);
    const char *const expected[] = {"a", "b", "c", "d", "-"};
    assert_int_equal(options.n_paths, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(options.paths[i], expected[i]);
    assert_int_equal(RUN("--access-log-format=a=b"), OPTIONS_OK);
    assert_str(options.access_log_format, "a=b");
}

static void test_an_unknown_option_names_the_nearest(void **state)
{
    (void)state;
    assert_refused(RUN("--htp-port", "1"), "unknown option --htp-port; did you mean --http-port?");
    assert_refused(RUN("--xyzzy"), "unknown option --xyzzy");
    assert_refused(RUN("-q"), "unknown option -q");
}

static void test_an_option_of_another_subcommand_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FOR_CHECK, "-f", "a", "--json"), OPTIONS_OK);
    assert_true(options.json);
    assert_refused(PARSE(FOR_RUN, "-f", "a", "--json"), "unknown option --json");
    assert_refused(PARSE(FOR_DUMP, "-f", "a", "--workers", "1"), "unknown option --workers");
}

static void test_a_missing_value_is_named(void **state)
{
    (void)state;
    assert_refused(RUN("--bind"), "--bind needs a value (ADDR)");
    assert_refused(RUN("--namespace="), "--namespace: needs a value (NS)");
    assert_refused(PARSE(FOR_CHECK, "-f", "a", "--json=yes"), "--json takes no value");
}

static void test_without_a_path_there_is_nothing_to_read(void **state)
{
    (void)state;
    assert_refused(parse(FOR_CHECK, 0, (char *[]){NULL}),
                   "nothing to read: name a manifest or a folder with -f PATH");
    assert_refused(PARSE(FOR_CHECK, "a.yaml"),
                   "unexpected argument \"a.yaml\"; did you mean -f a.yaml");
}

static void test_words_are_taken_up_to_their_number(void **state)
{
    (void)state;
    assert_int_equal(parse(FOR_OTHER, 1, (char *[]){"run", NULL}), OPTIONS_OK);
    assert_int_equal(options.n_words, 1);
    assert_string_equal(options.words[0], "run");
    assert_refused(parse(FOR_OTHER, 1, (char *[]){"run", "check", NULL}),
                   "unexpected argument \"check\"");
}

static void test_help_wins_over_what_is_missing(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FOR_RUN, "--help"), OPTIONS_HELP);
    assert_int_equal(PARSE(FOR_OTHER, "-h"), OPTIONS_HELP);
}

static void test_port_maps_are_lists_and_repeatable(void **state)
{
    (void)state;
    assert_int_equal(RUN("--port-map", "80=8080,443=8443", "--port-map=81=0"), OPTIONS_OK);
    assert_int_equal(options.compile.n_port_maps, 3);
    const struct port_map expected[] = {{80, 8080}, {443, 8443}, {81, 0}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(options.compile.port_maps[i].from, expected[i].from);
        assert_int_equal(options.compile.port_maps[i].to, expected[i].to);
    }
    assert_refused(RUN("--port-map", "80=1,80=2"), "--port-map: port 80 is mapped twice");
    static const char *const wrong[] = {"80",       "80=",      "=80", "0=80",
                                        "80=65536", "80=8080,", "a=b", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(RUN("--port-map", (char *)wrong[i]), OPTIONS_ERROR);
}

static void test_ports_with_a_proxy_header_are_a_list_or_all(void **state)
{
    (void)state;
    assert_int_equal(RUN("--proxy-protocol", "80,443", "--proxy-protocol=9000"), OPTIONS_OK);
    assert_int_equal(options.compile.n_proxy_ports, 3);
    assert_int_equal(options.compile.proxy_ports[1], 443);
    assert_int_equal(options.compile.proxy_ports[2], 9000);
    assert_false(options.compile.has_proxy_everywhere);
    assert_int_equal(RUN("--proxy-protocol", "all"), OPTIONS_OK);
    assert_true(options.compile.has_proxy_everywhere);
    assert_refused(RUN("--proxy-protocol", "0"),
                   "--proxy-protocol: \"0\" is not a list of ports (80,443) or all");
    static const char *const wrong[] = {"", "80,", "http", "65536", "80,all"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(RUN("--proxy-protocol", (char *)wrong[i]), OPTIONS_ERROR);
}

static void test_labels_are_pairs(void **state)
{
    (void)state;
    assert_int_equal(RUN("--labels", "istio=ingressgateway,app=gw", "--labels", "empty="),
                     OPTIONS_OK);
    assert_int_equal(options.compile.n_labels, 3);
    assert_string_equal(options.compile.labels[0].key.ptr, "istio");
    assert_string_equal(options.compile.labels[0].value.ptr, "ingressgateway");
    assert_string_equal(options.compile.labels[1].key.ptr, "app");
    assert_string_equal(options.compile.labels[2].value.ptr, "");
    assert_int_equal(RUN("--labels", "istio"), OPTIONS_ERROR);
    assert_int_equal(RUN("--labels", "=x"), OPTIONS_ERROR);
    assert_int_equal(RUN("--labels", ""), OPTIONS_ERROR);
    assert_int_equal(RUN("--labels", "a=b,"), OPTIONS_ERROR);
}

static void test_tls_words_are_checked(void **state)
{
    (void)state;
    assert_int_equal(RUN("--tls-min-version", "1.3"), OPTIONS_OK);
    assert_int_equal(options.compile.tls_version_min, TLS_VERSION_1_3);
    assert_int_equal(RUN("--tls-min-version", "TLSv1.2"), OPTIONS_ERROR);
    assert_int_equal(RUN("--tls-ecdh-curves", "P-384:X25519"), OPTIONS_OK);
    assert_true(str_is(options.compile.tls_curves, "P-384:X25519"));
    assert_int_equal(RUN("--tls-ecdh-curves", "P-384:P-0"), OPTIONS_ERROR);
    assert_int_equal(RUN("--tls-ciphers", "ECDHE-RSA-AES256-GCM-SHA384"), OPTIONS_OK);
    assert_int_equal(RUN("--tls-ciphers", "ECDHE-NONE"), OPTIONS_ERROR);
}

static void test_durations_are_written_as_in_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; // -1: refused
    } rows[] = {
        {"0", 0},
        {"500ms", 500},
        {"45s", 45000},
        {"1m30s", 90000},
        {"1h", 3600000},
        {"1.5s", 1500},
        {"0.25m", 15000},
        {"24h", 86400000},
        {"", -1},
        {"45", -1},
        {"s", -1},
        {"-1s", -1},
        {"1x", -1},
        {"1s2", -1},
        {"1.2.3s", -1},
        {"25h", -1},
        {"1e3s", -1},
        {" 1s", -1},
        {"99999999999999999h", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum options_result result = RUN("--drain-timeout", (char *)rows[i].text);
        assert_int_equal(result, rows[i].ms < 0 ? OPTIONS_ERROR : OPTIONS_OK);
        if (rows[i].ms >= 0)
            assert_int_equal(options.drain_timeout_ms, rows[i].ms);
    }
    assert_refused(RUN("--idle-timeout", "0"),
                   "--idle-timeout: \"0\" is not within 1 ms and 86400000 ms");
}

static void test_bytes_take_binary_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; // -1: refused
    } rows[] = {
        {"0", 0},
        {"1", 1},
        {"10Ki", 10240},
        {"10KiB", 10240},
        {"8Mi", 8 << 20},
        {"1GiB", 1 << 30},
        {"1k", -1},
        {"Ki", -1},
        {"", -1},
        {"-1", -1},
        {"18014398509481984Ki", -1}, // 2^64
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum options_result result = RUN("--body-limit", (char *)rows[i].text);
        assert_int_equal(result, rows[i].bytes < 0 ? OPTIONS_ERROR : OPTIONS_OK);
        if (rows[i].bytes >= 0)
            assert_int_equal(options.compile.body_bytes_max, rows[i].bytes);
    }
    assert_refused(RUN("--max-header-bytes", "2Mi"),
                   "--max-header-bytes: \"2Mi\" is not within 1024 and 61440 bytes");
}

static void test_numbers_and_addresses_are_checked(void **state)
{
    (void)state;
    assert_refused(RUN("--http-port", "65536"),
                   "--http-port: \"65536\" is not a port (0 to 65535; 0: the kernel chooses)");
    assert_refused(RUN("--max-headers", "101"),
                   "--max-headers: \"101\" is not a number from 1 to 100");
    assert_refused(RUN("--bind", "localhost"),
                   "--bind: \"localhost\" is not an IP address (0.0.0.0, 127.0.0.1, ::)");
    assert_refused(RUN("--workers", "257"),
                   "--workers: \"257\" is not a number from 0 to 256 (0: one a core)");
    assert_refused(RUN("--log-level", "loud"),
                   "--log-level: \"loud\" is not error, warning, info or debug");
    assert_refused(RUN("--tls-records", "mine"), "--tls-records: \"mine\" is not own or openssl");
    assert_int_equal(RUN("--tls-records", "own"), OPTIONS_OK);
    assert_int_equal(options.tls_records, TLS_RECORDS_OWN);
    assert_int_equal(RUN("--tls-records", "openssl"), OPTIONS_OK);
    assert_int_equal(options.tls_records, TLS_RECORDS_OPENSSL);
    assert_int_equal(RUN("--workers", "3", "--bind", "::1", "--log-level=debug"), OPTIONS_OK);
    assert_int_equal(options.proxy.n_workers, 3);
    assert_int_equal(options.compile.bind.family, AF_INET6);
    assert_int_equal(options.log_level, LOG_DEBUG);
}

static void test_the_admin_server_can_be_moved_or_left_out(void **state)
{
    (void)state;
    assert_int_equal(RUN("--admin", "[::1]:0"), OPTIONS_OK);
    assert_true(options.has_admin);
    assert_int_equal(options.admin.family, AF_INET6);
    assert_int_equal(options.admin.port, 0);
    assert_int_equal(RUN("--admin", "none"), OPTIONS_OK);
    assert_false(options.has_admin);
    assert_int_equal(RUN("--admin=off"), OPTIONS_OK);
    assert_false(options.has_admin);
    assert_refused(RUN("--admin", "15000"),
                   "--admin: \"15000\" is not ADDR:PORT (127.0.0.1:15000) or none");
}

static void test_help_lists_what_a_subcommand_takes(void **state)
{
    (void)state;
    struct buf text = {0};
    options_print_help(FOR_CHECK, &text);
    buf_add_char(&text, '\0');
    assert_non_null(strstr(text.data, "  -f, --filename PATH\n"));
    assert_non_null(strstr(text.data, "  --http-port PORT  (default 80)\n"));
    assert_non_null(strstr(text.data, "  --json\n"));
    assert_null(strstr(text.data, "--workers"));
    for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    buf_fini(&text);
}

static void test_the_reference_escapes_bars(void **state)
{
    (void)state;
    struct buf text = {0};
    options_print_reference(FOR_RUN, &text);
    buf_add_char(&text, '\0');
    assert_non_null(strstr(text.data, "| `--access-log PATH\\|-\\|off` | `-` |"));
    buf_fini(&text);
}

static void test_a_sidecar_has_its_own_defaults(void **state)
{
    (void)state;
    assert_int_equal(RUN("--workers", "1"), OPTIONS_OK);
    assert_false(options.compile.is_sidecar);
    assert_int_equal(options.proxy.upstream_mark, 0);
    assert_int_equal(RUN("--sidecar"), OPTIONS_OK);
    assert_true(options.compile.is_sidecar);
    assert_str(options.compile.ns, "default");
    int fd = socket(AF_INET6, SOCK_STREAM, 0); // a host may lack it
    assert_int_equal(options.compile.bind.family, fd >= 0 ? AF_INET6 : AF_INET);
    if (fd >= 0)
        close(fd);
    assert_int_equal(options.compile.bind.port, 0);
    assert_int_equal(RUN("--sidecar", "--bind", "0.0.0.0"), OPTIONS_OK);
    assert_int_equal(options.compile.bind.family, AF_INET);
    assert_int_equal(RUN("--sidecar"), OPTIONS_OK);
    assert_int_equal(options.compile.outbound_policy, OUTBOUND_ALLOW_ANY);
    assert_int_equal(options.compile.outbound_port, 15001);
    assert_int_equal(options.compile.inbound_port, 15006);
    assert_false(options.compile.is_transparent);
    assert_int_equal(options.proxy.detect_timeout_ms, 200);
    assert_int_equal(options.proxy.upstream_mark, 0x539);
    assert_int_equal(PARSE(FOR_CHECK, "-f", "a", "--sidecar", "--namespace", "shop"), OPTIONS_OK);
    assert_str(options.compile.ns, "shop");
}

static void test_options_of_a_sidecar(void **state)
{
    (void)state;
    assert_int_equal(RUN("--outbound-policy", "REGISTRY_ONLY", "--outbound-port=16001",
                         "--inbound-port=0", "--capture-mode=tproxy", "--detect-timeout=1s",
                         "--upstream-mark=0", "--sidecar"),
                     OPTIONS_OK);
    assert_int_equal(options.compile.outbound_policy, OUTBOUND_REGISTRY_ONLY);
    assert_int_equal(options.compile.outbound_port, 16001);
    assert_int_equal(options.compile.inbound_port, 0);
    assert_true(options.compile.is_transparent);
    assert_int_equal(options.proxy.detect_timeout_ms, 1000);
    assert_int_equal(options.proxy.upstream_mark, 0);
    assert_int_equal(RUN("--upstream-mark=0xFFffFFff"), OPTIONS_OK);
    assert_int_equal(options.proxy.upstream_mark, UINT32_MAX);
    assert_int_equal(RUN("--upstream-mark=1337"), OPTIONS_OK);
    assert_int_equal(options.proxy.upstream_mark, 0x539);
}

static void test_options_that_a_sidecar_alone_has(void **state)
{
    (void)state;
    assert_refused(RUN("--inbound-port", "1", "--outbound-policy=ALLOW_ANY"),
                   "--inbound-port is for a sidecar: --sidecar is missing");
    assert_refused(RUN("--sidecar", "--inbound-port=15001"),
                   "--outbound-port and --inbound-port are both 15001");
    assert_refused(RUN("--sidecar", "--inbound-port=0", "--outbound-port=0"),
                   "--outbound-port and --inbound-port are both 0: nothing is served");
    assert_refused(RUN("--sidecar", "--proxy-protocol=all"),
                   "--proxy-protocol is not for a sidecar: in front of captured connections "
                   "stands no PROXY header");
    assert_refused(RUN("--sidecar", "--outbound-policy=allow_any"),
                   "--outbound-policy: \"allow_any\" is not ALLOW_ANY or REGISTRY_ONLY");
    assert_refused(RUN("--sidecar", "--capture-mode=none"),
                   "--capture-mode: \"none\" is not redirect or tproxy");
    assert_refused(RUN("--upstream-mark=0x100000000"),
                   "--upstream-mark: \"0x100000000\" is not a mark of 32 bits (0x539 or 1337)");
    assert_refused(RUN("--upstream-mark=0x"),
                   "--upstream-mark: \"0x\" is not a mark of 32 bits (0x539 or 1337)");
    assert_refused(RUN("--sidecar", "--outbound-port=70000"),
                   "--outbound-port: \"70000\" is not a port (1 to 65535), or 0 for none");
}

static void assert_numbers(const struct capture_numbers *numbers, const uint32_t *items, size_t n)
{
    assert_false(numbers->are_all);
    assert_int_equal(numbers->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(numbers->items[i], items[i]);
}

static void test_capture_has_the_defaults_of_the_sidecar(void **state)
{
    (void)state;
    const struct capture_options *capture = &options.capture;
    assert_int_equal(parse(FOR_CAPTURE, 1, (char *[]){"up", NULL}), OPTIONS_OK);
    assert_string_equal(options.words[0], "up");
    assert_int_equal(capture->mode, CAPTURE_REDIRECT);
    assert_int_equal(capture->life, CAPTURE_FAIL_OPEN);
    assert_int_equal(capture->fail_open_ms, 3000);
    assert_int_equal(capture->outbound_port, 15001);
    assert_int_equal(capture->inbound_port, 15006);
    assert_int_equal(capture->upstream_mark, 0x539);
    assert_numbers(&capture->uids, (uint32_t[]){1337}, 1);
    assert_numbers(&capture->gids, NULL, 0);
    assert_true(capture->include_subnets.are_all);
    assert_int_equal(capture->exclude_subnets.n, 0);
    assert_true(capture->include_inbound_ports.are_all);
    assert_numbers(&capture->include_outbound_ports, NULL, 0);
    assert_numbers(&capture->exclude_outbound_ports, NULL, 0);
    assert_numbers(&capture->exclude_inbound_ports, NULL, 0);
}

static void test_a_list_of_capture_replaces_the_one_before(void **state)
{
    (void)state;
    const struct capture_options *capture = &options.capture;
    assert_int_equal(PARSE(FOR_CAPTURE, "--uid=1,2", "--uid", "7, 9", "--include-cidrs",
                           "10.1.2.3/8,fd00::1", "--include-inbound-ports=80",
                           "--exclude-inbound-ports=22", "--exclude-inbound-ports=none",
                           "--outbound-port=0", "--upstream-mark=5", "--mode=tproxy",
                           "--fail=closed", "--fail-open-after=2s500ms"),
                     OPTIONS_OK);
    assert_numbers(&capture->uids, (uint32_t[]){7, 9}, 2);
    assert_false(capture->include_subnets.are_all);
    assert_int_equal(capture->include_subnets.n, 2);
    assert_int_equal(capture->include_subnets.items[0].bits, 8);
    assert_int_equal(capture->include_subnets.items[0].base.ip[1], 0);
    assert_int_equal(capture->include_subnets.items[1].bits, 128);
    assert_numbers(&capture->include_inbound_ports, (uint32_t[]){80}, 1);
    assert_numbers(&capture->exclude_inbound_ports, NULL, 0);
    assert_int_equal(capture->outbound_port, 0);
    assert_int_equal(capture->upstream_mark, 5);
    assert_int_equal(capture->mode, CAPTURE_TPROXY);
    assert_int_equal(capture->life, CAPTURE_FAIL_CLOSED);
    assert_int_equal(capture->fail_open_ms, 2500);
    assert_int_equal(PARSE(FOR_CAPTURE, "--include-cidrs=10.0.0.0/8", "--include-cidrs=*"),
                     OPTIONS_OK);
    assert_true(capture->include_subnets.are_all);
    assert_int_equal(capture->include_subnets.n, 0);
}

static void test_lists_of_capture_are_checked(void **state)
{
    (void)state;
    assert_refused(PARSE(FOR_CAPTURE, "--exclude-inbound-ports=80,"),
                   "--exclude-inbound-ports: \"80,\" is not a list of ports (80,443) or none");
    assert_refused(PARSE(FOR_CAPTURE, "--exclude-outbound-ports=*"),
                   "--exclude-outbound-ports: \"*\" is not a list of ports (80,443) or none");
    assert_refused(PARSE(FOR_CAPTURE, "--include-inbound-ports=0"),
                   "--include-inbound-ports: \"0\" is not a list of ports (80,443), * or none");
    assert_refused(PARSE(FOR_CAPTURE, "--uid=root"),
                   "--uid: \"root\" is not a list of numbers (1337,1338) or none");
    assert_refused(PARSE(FOR_CAPTURE, "--exclude-cidrs=10.0.0.0/33"),
                   "--exclude-cidrs: \"10.0.0.0/33\" is not a list of subnets "
                   "(10.0.0.0/8,fd00::/8) or none");
    assert_refused(PARSE(FOR_CAPTURE, "--include-cidrs=10.0.0.0/8,*"),
                   "--include-cidrs: \"10.0.0.0/8,*\" is not a list of subnets "
                   "(10.0.0.0/8,fd00::/8), * or none");
    assert_refused(PARSE(FOR_CAPTURE, "--fail=ajar"), "--fail: \"ajar\" is not open or closed");
    assert_refused(PARSE(FOR_CAPTURE, "--fail-open-after=1s"),
                   "--fail-open-after: \"1s\" is not within 2000 ms and 3600000 ms");
}

static void test_a_sidecar_captures_by_the_same_options(void **state)
{
    (void)state;
    assert_int_equal(RUN("--sidecar", "--capture", "--capture-mode=tproxy", "--capture-uid=9",
                         "--exclude-cidrs=10.0.0.0/8", "--outbound-port=1", "--upstream-mark=2"),
                     OPTIONS_OK);
    assert_int_equal(options.capture.life, CAPTURE_HELD);
    assert_int_equal(options.capture.mode, CAPTURE_TPROXY);
    assert_int_equal(options.capture.outbound_port, 1);
    assert_int_equal(options.capture.upstream_mark, 2);
    assert_int_equal(options.capture.exclude_subnets.n, 1);
    assert_numbers(&options.capture.uids, (uint32_t[]){9}, 1);
    assert_refused(RUN("--capture"), "--capture is for a sidecar: --sidecar is missing");
    assert_refused(RUN("--sidecar", "--exclude-cidrs=10.0.0.0/8"),
                   "--exclude-cidrs is about capture: --capture is missing");
    assert_refused(RUN("--sidecar", "--capture", "--fail=open"), "unknown option --fail");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_table),
        cmocka_unit_test(test_a_value_may_follow_or_be_attached),
        cmocka_unit_test(test_an_unknown_option_names_the_nearest),
        cmocka_unit_test(test_an_option_of_another_subcommand_is_unknown),
        cmocka_unit_test(test_a_missing_value_is_named),
        cmocka_unit_test(test_without_a_path_there_is_nothing_to_read),
        cmocka_unit_test(test_words_are_taken_up_to_their_number),
        cmocka_unit_test(test_help_wins_over_what_is_missing),
        cmocka_unit_test(test_port_maps_are_lists_and_repeatable),
        cmocka_unit_test(test_ports_with_a_proxy_header_are_a_list_or_all),
        cmocka_unit_test(test_labels_are_pairs),
        cmocka_unit_test(test_durations_are_written_as_in_go),
        cmocka_unit_test(test_bytes_take_binary_units),
        cmocka_unit_test(test_tls_words_are_checked),
        cmocka_unit_test(test_numbers_and_addresses_are_checked),
        cmocka_unit_test(test_the_admin_server_can_be_moved_or_left_out),
        cmocka_unit_test(test_help_lists_what_a_subcommand_takes),
        cmocka_unit_test(test_the_reference_escapes_bars),
        cmocka_unit_test(test_a_sidecar_has_its_own_defaults),
        cmocka_unit_test(test_options_of_a_sidecar),
        cmocka_unit_test(test_options_that_a_sidecar_alone_has),
        cmocka_unit_test(test_capture_has_the_defaults_of_the_sidecar),
        cmocka_unit_test(test_a_list_of_capture_replaces_the_one_before),
        cmocka_unit_test(test_lists_of_capture_are_checked),
        cmocka_unit_test(test_a_sidecar_captures_by_the_same_options),
    };
    return cmocka_run_group_tests(tests, NULL, fini);
}
