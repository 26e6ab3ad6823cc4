// SPDX-License-Identifier: Apache-2.0
#include "admin/pages.h"
#include "admin/test_proxy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAMILIES_MAX = 200 };

static void give_facts(void *arg, struct admin_facts *ret_facts)
{
    (void)arg;
    *ret_facts = (struct admin_facts){.is_ready = true,
                                      .objects = 7,
                                      .objects_rejected = 2,
                                      .objects_last_good = 1,
                                      .diagnostics = {3, 4, 5},
                                      .updates = 9,
                                      .published_wall_ns = 1700000000250000000,
                                      .compile_ns = 1500000,
                                      .dns = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20}};
}

static const struct admin_options options = {.facts = give_facts};

// The whole page; `on_piece` runs between two pieces. Returns the number of pieces.
static unsigned render(bool (*add_piece)(struct page_state *, struct buf *),
                       void (*on_piece)(unsigned n), struct buf *out)
{
    struct page_state state = {.options = &options, .status = 200};
    struct buf piece = {0};
    unsigned n = 0;
    for (bool has_more = true; has_more; n++) {
        if (n > 0 && on_piece)
            on_piece(n);
        piece.len = 0;
        has_more = add_piece(&state, &piece);
        assert_in_range(piece.len, has_more ? 1 : 0, PIECE_BYTES + 4096);
        buf_add_str(out, buf_str(&piece));
    }
    buf_fini(&piece);
    page_state_fini(&state);
    buf_add_char(out, '\0');
    return n;
}

static void assert_has_line(const char *text, const char *line)
{
    char wanted[300];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (!strstr(text, wanted))
        fail_msg("no line %s", line);
}

// The rules of the text format: HELP, TYPE, then samples; a family in one block; names of legal
// characters. (promtool's further advice is followed up in tests/e2e.)
static void assert_is_exposition(char *text)
{
    char *families[FAMILIES_MAX], *save;
    unsigned n_families = 0;
    const char *type = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            char *name = line + 7, *help = strchr(name, ' ');
            assert_non_null(help);
            *help = '\0';
            assert_true(help[1] != '\0');
            for (unsigned i = 0; i < n_families; i++)
                assert_string_not_equal(families[i], name);
            assert_in_range(n_families, 0, FAMILIES_MAX - 1);
            families[n_families++] = name;
            type = NULL;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            const char *family = families[n_families - 1];
            assert_memory_equal(line + 7, family, strlen(family));
            type = line + 7 + strlen(family) + 1;
            assert_true(!strcmp(type, "counter") || !strcmp(type, "gauge") ||
                        !strcmp(type, "histogram"));
        } else {
            assert_non_null(type);
            const char *family = families[n_families - 1];
            size_t len = strcspn(line, "{ ");
            for (size_t i = 0; i < len; i++)
                assert_true(islower(line[i]) || isdigit(line[i]) || line[i] == '_');
            assert_memory_equal(line, family, strlen(family));
            if (strcmp(type, "histogram") != 0)
                assert_int_equal(len, strlen(family));
            char *end;
            strtod(strrchr(line, ' '), &end);
            assert_int_equal(*end, '\0');
        }
    }
    assert_true(n_families > 30);
}

static void test_the_page_follows_the_text_format(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 3);
    struct buf text = {0};
    render(metrics_add_piece, NULL, &text);
    assert_is_exposition(text.data);
    buf_fini(&text);
}

static void test_values_are_shown_under_their_names(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 3);
    struct buf text = {0};
    render(metrics_add_piece, NULL, &text);
    static const char *const lines[] = {
        "sluicegate_ready 1",
        "sluicegate_config_generation 5",
        "sluicegate_config_updates_total 9",
        "sluicegate_config_publish_timestamp_seconds 1700000000.25",
        "sluicegate_config_compile_seconds 0.0015",
        "sluicegate_config_objects 7",
        "sluicegate_config_objects_rejected 2",
        "sluicegate_config_objects_last_good 1",
        "sluicegate_config_clusters 3",
        "sluicegate_config_endpoints 3",
        "sluicegate_dns_lookups_total 11",
        "sluicegate_dns_not_found_total 12",
        "sluicegate_dns_failures_total 13",
        "sluicegate_dns_timeouts_total 14",
        "sluicegate_dns_lookups_active 15",
        "sluicegate_dns_lookups_queued 16",
        "sluicegate_dns_names 17",
        "sluicegate_dns_names_requested 18",
        "sluicegate_dns_names_unresolved 19",
        "sluicegate_dns_names_stale 20",
        "sluicegate_config_diagnostics{level=\"note\"} 3",
        "sluicegate_config_diagnostics{level=\"error\"} 5",
        "sluicegate_build_info{version=\"" SLUICEGATE_VERSION "\"} 1",
        "sluicegate_downstream_connections_total 100",
        "sluicegate_requests_total{code_class=\"none\"} 0",
        "sluicegate_requests_total{code_class=\"5xx\"} 50",
        "sluicegate_outbound_undeclared_total{host=\"b\\\"c.example\",policy=\"ALLOW_ANY\"} 3",
        "sluicegate_outbound_undeclared_total{host=\"192.0.2.1:443\",policy=\"ALLOW_ANY\"} 1",
        "sluicegate_outbound_undeclared_total{host=\"192.0.2.1:443\",policy=\"REGISTRY_ONLY\"} 2",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_has_line(text.data, lines[i]);
    assert_non_null(strstr(text.data, "\nprocess_resident_memory_bytes "));
    assert_null(strstr(text.data, "\nprocess_resident_memory_bytes 0\n"));
    assert_null(strstr(text.data, "\nprocess_open_fds 0\n"));
    assert_null(strstr(text.data, "\nprocess_start_time_seconds 0\n"));
    buf_fini(&text);
}

static void test_latency_buckets_are_cumulative_and_in_seconds(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 0);
    struct buf text = {0};
    render(metrics_add_piece, NULL, &text);
    assert_has_line(text.data, "sluicegate_request_duration_seconds_bucket{le=\"0.001\"} 1");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_bucket{le=\"0.005\"} 6");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_bucket{le=\"2.5\"} 66");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_bucket{le=\"60\"} 120");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_bucket{le=\"+Inf\"} 136");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_sum 2.5");
    assert_has_line(text.data, "sluicegate_request_duration_seconds_count 136");
    buf_fini(&text);
}

static void test_only_clusters_that_were_used_have_rows(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 3);
    struct buf text = {0};
    render(metrics_add_piece, NULL, &text);
    assert_has_line(text.data, "sluicegate_cluster_requests_total{cluster=\"outbound|80||"
                               "\\\"svc\\\\000002\"} 2");
    assert_null(strstr(text.data, "svc\\\\000001"));
    buf_fini(&text);
}

static void test_the_certificates_that_expire_first_have_rows(void **state)
{
    (void)state;
    struct buf text = {0};
    test_proxy_set_clusters(5, 1);
    test_proxy_add_certificates(150);
    render(metrics_add_piece, NULL, &text);
    assert_has_line(text.data,
                    "sluicegate_tls_certificate_expiry_seconds{source=\"Secret a/s149\"} 1851");
    assert_has_line(text.data,
                    "sluicegate_tls_certificate_expiry_seconds{source=\"Secret a/s50\"} 1950");
    assert_null(strstr(text.data, "Secret a/s49\""));
    unsigned n = 0;
    for (const char *at = text.data; (at = strstr(at, "expiry_seconds{")); at++)
        n++;
    assert_int_equal(n, 100);
    assert_is_exposition(text.data);
    buf_fini(&text);
    test_proxy_fini();
}

static void test_a_snapshot_may_be_absent(void **state)
{
    (void)state;
    test_proxy_fini();
    struct buf text = {0};
    render(metrics_add_piece, NULL, &text);
    assert_has_line(text.data, "sluicegate_config_generation 0");
    assert_is_exposition(text.data);
    buf_fini(&text);
}

static void publish_more(unsigned n)
{
    test_proxy_set_clusters(6 + n, 3000 + n);
}

static void test_clusters_come_in_pieces_that_survive_a_new_snapshot(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 3000);
    struct buf text = {0};
    unsigned pieces = render(clusters_add_piece, publish_more, &text);
    assert_in_range(pieces, 5, 100);
    // Every cluster of the first snapshot exactly once, in order.
    static const char begin[] = "outbound|80||\"svc\\", end[] = "::balancer::least_request";
    unsigned n = 0;
    char *save;
    for (char *row = strtok_r(text.data, "\n", &save); row; row = strtok_r(NULL, "\n", &save)) {
        assert_memory_equal(row, begin, sizeof begin - 1);
        char *rest;
        unsigned long number = strtoul(row + sizeof begin - 1, &rest, 10);
        if (strcmp(rest, end) == 0)
            assert_int_equal(number, n++);
    }
    assert_true(n >= 3000);
    buf_fini(&text);
}

static void test_cluster_rows_look_like_envoys(void **state)
{
    (void)state;
    test_proxy_set_clusters(5, 2);
    struct buf text = {0};
    render(clusters_add_piece, NULL, &text);
    assert_has_line(text.data, "outbound|80||\"svc\\000000::10.0.0.1:80::cx_active::1");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::10.0.0.1:80::weight::3");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::10.0.0.1:80::cx_parked::1");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::10.0.0.1:80::idle_limit_ms::5000");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::10.0.0.1:80::warm::true");
    assert_has_line(text.data, "outbound|80||\"svc\\000001::10.0.0.1:80::rq_total::0");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::rq_total::0");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::rq_active::1");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::rq_5xx::5");
    assert_has_line(text.data, "outbound|80||\"svc\\000000::rq_failed::6");
    buf_fini(&text);
}

static int fini(void **state)
{
    (void)state;
    test_proxy_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_follows_the_text_format),
        cmocka_unit_test(test_values_are_shown_under_their_names),
        cmocka_unit_test(test_latency_buckets_are_cumulative_and_in_seconds),
        cmocka_unit_test(test_only_clusters_that_were_used_have_rows),
        cmocka_unit_test(test_the_certificates_that_expire_first_have_rows),
        cmocka_unit_test(test_a_snapshot_may_be_absent),
        cmocka_unit_test(test_clusters_come_in_pieces_that_survive_a_new_snapshot),
        cmocka_unit_test(test_cluster_rows_look_like_envoys),
    };
    return cmocka_run_group_tests(tests, NULL, fini);
}
