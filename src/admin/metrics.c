// SPDX-License-Identifier: Apache-2.0
// /metrics in Prometheus' text format. Each metric is a row that carries its name, type and help:
// the proxy's in proxy/counters.h, those of the control side and the process here. The reference
// page is printed from the same rows.
#include "admin/certificates.h"
#include "admin/pages.h"
#include "admin/process.h"
#include "base/clock.h"
#include <stdio.h>

// What the rows' expressions may use.
struct readings {
    struct admin_facts facts;
    struct process_facts process;
    const struct snapshot *snapshot; // may be NULL
    uint64_t endpoints;
    double now_seconds;
};

// name, type, help, value
// clang-format off
#define CONTROL_METRICS(X) \
    X("sluicegate_ready", "gauge", "1 when requests are served, 0 before that and while draining.", r->facts.is_ready) \
    X("sluicegate_config_generation", "gauge", "Number of the snapshot that is served.", r->snapshot ? r->snapshot->generation : 0) \
    X("sluicegate_config_updates_total", "counter", "Snapshots published.", r->facts.updates) \
    X("sluicegate_config_publish_timestamp_seconds", "gauge", "When the snapshot was published, in seconds since 1970.", (double)r->facts.published_wall_ns / 1e9) \
    X("sluicegate_config_age_seconds", "gauge", "Seconds since the snapshot was published.", r->facts.published_wall_ns ? r->now_seconds - (double)r->facts.published_wall_ns / 1e9 : 0) \
    X("sluicegate_config_compile_seconds", "gauge", "Time that compiling the snapshot took.", (double)r->facts.compile_ns / 1e9) \
    X("sluicegate_config_publish_seconds", "gauge", "Time that publishing the snapshot took in the control thread.", (double)r->facts.publish_ns / 1e9) \
    X("sluicegate_config_objects", "gauge", "Objects in force.", r->facts.objects) \
    X("sluicegate_config_objects_rejected", "gauge", "Objects with an error of their own, those served in their last good version included; a document or file that cannot be read counts as one.", r->facts.objects_rejected) \
    X("sluicegate_config_objects_last_good", "gauge", "Objects whose newest version is broken and whose last good one is served.", r->facts.objects_last_good) \
    X("sluicegate_config_listeners", "gauge", "Listeners in the snapshot.", r->snapshot ? r->snapshot->n_listeners : 0) \
    X("sluicegate_config_listeners_failed", "gauge", "Listeners that could not be opened.", r->facts.listeners_failed) \
    X("sluicegate_config_clusters", "gauge", "Clusters in the snapshot.", r->snapshot ? r->snapshot->n_clusters : 0) \
    X("sluicegate_config_endpoints", "gauge", "Endpoints of all clusters in the snapshot.", r->endpoints) \
    X("sluicegate_access_log_write_errors_total", "counter", "Writes to the access log that failed.", r->facts.access_log_write_errors) \
    X("sluicegate_dns_lookups_total", "counter", "Lookups of names outside the cluster, each of IPv4 and IPv6 addresses together.", r->facts.dns.lookups) \
    X("sluicegate_dns_not_found_total", "counter", "Lookups that ended with no such name, or a name without addresses.", r->facts.dns.not_found) \
    X("sluicegate_dns_failures_total", "counter", "Lookups that ended with an answer that tells nothing (SERVFAIL, REFUSED ...) or that no server took.", r->facts.dns.failures) \
    X("sluicegate_dns_timeouts_total", "counter", "Lookups that no server answered in time.", r->facts.dns.timeouts) \
    X("sluicegate_dns_lookups_active", "gauge", "Lookups under way.", r->facts.dns.lookups_active) \
    X("sluicegate_dns_lookups_queued", "gauge", "Lookups that wait for others to end.", r->facts.dns.lookups_queued) \
    X("sluicegate_dns_names", "gauge", "Names that the configuration uses.", r->facts.dns.watched) \
    X("sluicegate_dns_names_requested", "gauge", "Names that requests asked for and that are remembered.", r->facts.dns.requested) \
    X("sluicegate_dns_names_unresolved", "gauge", "Names of the configuration that have no address.", r->facts.dns.unresolved) \
    X("sluicegate_dns_names_stale", "gauge", "Names whose addresses are those of an earlier answer, because the last lookup brought none.", r->facts.dns.stale) \
    X("process_cpu_seconds_total", "counter", "CPU time used, user and system.", r->process.cpu_seconds) \
    X("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", r->process.start_seconds) \
    X("process_resident_memory_bytes", "gauge", "Resident memory.", r->process.resident_bytes) \
    X("process_virtual_memory_bytes", "gauge", "Virtual memory.", r->process.virtual_bytes) \
    X("process_threads", "gauge", "Threads.", r->process.threads) \
    X("process_open_fds", "gauge", "Open file descriptors.", r->process.open_fds) \
    X("process_max_fds", "gauge", "Limit of open file descriptors.", r->process.max_fds)

// Metrics with labels or buckets: id, name, type, help, labels
#define LABELLED_METRICS(X) \
    X(BUILD_INFO, "sluicegate_build_info", "gauge", "Always 1; the labels tell what runs.", "version") \
    X(DIAGNOSTICS, "sluicegate_config_diagnostics", "gauge", "Diagnostics about the manifests.", "level") \
    X(REQUESTS, "sluicegate_requests_total", "counter", "Requests ended, by class of the status sent (none: none was).", "code_class") \
    X(CERTIFICATE_EXPIRY, "sluicegate_tls_certificate_expiry_seconds", "gauge", "When a certificate that is served expires, in seconds since 1970; the 100 that expire first.", "source") \
    X(UNDECLARED, "sluicegate_outbound_undeclared_total", "counter", "Requests and TCP connections of a sidecar's application whose destination is declared nowhere, by host (Host, SNI, else the address dialled) and what became of them; the first 200 hosts by name.", "host, policy") \
    X(DURATION, "sluicegate_request_duration_seconds", "histogram", "From the start of a request to the last byte of its response.", "le")
// clang-format on

struct metric {
    const char *name, *type, *help, *label;
};

enum labelled_metric {
#define X(id, name, type, help, label) METRIC_##id,
    LABELLED_METRICS(X)
#undef X
};

static const struct metric labelled[] = {
#define X(id, name, type, help, label) {name, type, help, label},
    LABELLED_METRICS(X)
#undef X
};

static const struct metric control[] = {
#define X(name, type, help, value) {name, type, help, ""},
    CONTROL_METRICS(X)
#undef X
};

static const struct metric counters[] = {
#define X(id, name, type, help) {name, type, help, ""},
    PROXY_COUNTERS(X)
#undef X
};

static const struct metric cluster_counters[] = {
#define X(id, name, type, help) {name, type, help, "cluster"},
    CLUSTER_COUNTERS(X)
#undef X
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void add_head(const struct metric *metric, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
               metric->type);
}

static void add_label_value(struct str value, struct buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\n')
            buf_add_text(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_add_char(out, c);
    }
}

static void add_labelled(enum labelled_metric id, const char *suffix, const char *value,
                         uint64_t number, struct buf *out)
{
    buf_printf(out, "%s%s{%s=\"%s\"} %llu\n", labelled[id].name, suffix, labelled[id].label, value,
               (unsigned long long)number);
}

static void add_control_metrics(const struct readings *r, struct buf *out)
{
    const double values[] = {
#define X(name, type, help, value) (double)(value),
        CONTROL_METRICS(X)
#undef X
    };
    for (size_t i = 0; i < COUNT(control); i++) {
        add_head(&control[i], out);
        buf_printf(out, "%s %.15g\n", control[i].name, values[i]);
    }
    add_head(&labelled[METRIC_BUILD_INFO], out);
    add_labelled(METRIC_BUILD_INFO, "", SLUICEGATE_VERSION, 1, out);
    add_head(&labelled[METRIC_DIAGNOSTICS], out);
    static const char *const levels[] = {
        [DIAG_NOTE] = "note", [DIAG_WARNING] = "warning", [DIAG_ERROR] = "error"};
    for (size_t i = 0; i < COUNT(levels); i++)
        add_labelled(METRIC_DIAGNOSTICS, "", levels[i], r->facts.diagnostics[i], out);
}

static void add_latency(const struct latency *latency, struct buf *out)
{
    static const unsigned bounds_ms[] = LATENCY_BOUNDS_MS;
    _Static_assert(COUNT(bounds_ms) + 1 == LATENCY_BUCKETS, "a bucket a bound and +Inf");
    const struct metric *metric = &labelled[METRIC_DURATION];
    add_head(metric, out);
    // The count is that of the buckets, not latency->count: read a moment apart, they could differ,
    // and a histogram whose +Inf bucket is not its count is refused.
    uint64_t sum = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        sum += latency->buckets[i];
        char bound[24] = "+Inf";
        if (i < COUNT(bounds_ms))
            snprintf(bound, sizeof bound, "%g", bounds_ms[i] / 1000.0);
        add_labelled(METRIC_DURATION, "_bucket", bound, sum, out);
    }
    buf_printf(out, "%s_sum %.15g\n%s_count %llu\n", metric->name, (double)latency->sum_us / 1e6,
               metric->name, (unsigned long long)sum);
}

static void add_proxy_metrics(const struct proxy *proxy, struct buf *out)
{
    uint64_t values[PROXY_COUNTER_COUNT] = {0};
    proxy_counters(proxy, values);
    for (size_t i = 0; i < COUNT(counters); i++) {
        add_head(&counters[i], out);
        buf_printf(out, "%s %llu\n", counters[i].name, (unsigned long long)values[i]);
    }
    static const char *const classes[CODE_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    uint64_t by_class[CODE_CLASSES] = {0};
    proxy_code_classes(proxy, by_class);
    add_head(&labelled[METRIC_REQUESTS], out);
    for (size_t i = 0; i < CODE_CLASSES; i++)
        add_labelled(METRIC_REQUESTS, "", classes[i], by_class[i], out);
    struct latency latency = {0};
    proxy_latency(proxy, &latency);
    add_latency(&latency, out);
}

static void add_undeclared(const struct proxy *proxy, struct buf *out)
{
    static const char *const policies[] = {[UNDECLARED_ALLOWED] = "ALLOW_ANY",
                                           [UNDECLARED_REFUSED] = "REGISTRY_ONLY"};
    struct undeclared_host hosts[UNDECLARED_HOSTS_MAX + 1];
    uint32_t n = proxy_undeclared(proxy, hosts);
    add_head(&labelled[METRIC_UNDECLARED], out);
    for (uint32_t i = 0; i < n; i++)
        for (unsigned policy = 0; policy < UNDECLARED_POLICIES; policy++) {
            if (hosts[i].counts[policy] == 0)
                continue;
            buf_printf(out, "%s{host=\"", labelled[METRIC_UNDECLARED].name);
            add_label_value(hosts[i].name, out);
            buf_printf(out, "\",policy=\"%s\"} %llu\n", policies[policy],
                       (unsigned long long)hosts[i].counts[policy]);
        }
}

static void add_certificates(const struct snapshot *snapshot, struct buf *out)
{
    enum { SHOWN_MAX = 100 };
    const struct certificate *soonest[SHOWN_MAX];
    uint32_t n = snapshot ? certificates_soonest(snapshot, soonest, SHOWN_MAX) : 0;
    const struct metric *metric = &labelled[METRIC_CERTIFICATE_EXPIRY];
    add_head(metric, out);
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(out, "%s{%s=\"", metric->name, metric->label);
        add_label_value(soonest[i]->source, out);
        buf_printf(out, "\"} %lld\n", (long long)soonest[i]->not_after_s);
    }
}

static void add_first_piece(const struct page_state *state, struct buf *out)
{
    struct readings readings = {
        .snapshot = proxy_snapshot(state->options->proxy),
        .now_seconds = (double)clock_wall_ns() / 1e9,
    };
    state->options->facts(state->options->arg, &readings.facts);
    process_read(&readings.process);
    for (uint32_t i = 0; readings.snapshot && i < readings.snapshot->n_clusters; i++)
        readings.endpoints += readings.snapshot->clusters[i]->n_endpoints;
    add_control_metrics(&readings, out);
    add_proxy_metrics(state->options->proxy, out);
    add_certificates(readings.snapshot, out);
    add_undeclared(state->options->proxy, out);
}

// The first piece holds all that does not grow; then comes one family after the other, each with
// the clusters that were ever sent a request, as the format wants a family in one block.
bool metrics_add_piece(struct page_state *state, struct buf *out)
{
    if (state->step == 0) {
        add_first_piece(state, out);
        state->step = 1;
        return true;
    }
    const struct metric *family = &cluster_counters[state->step - 1];
    if (!state->cursor.is_begun)
        add_head(family, out);
    const struct proxy *proxy = state->options->proxy;
    const struct snapshot *snapshot = proxy_snapshot(proxy);
    const struct cluster *cluster;
    while ((cluster = cluster_cursor_next(&state->cursor, snapshot))) {
        uint64_t values[CLUSTER_COUNTER_COUNT];
        if (!proxy_cluster_counters(proxy, cluster, values))
            continue;
        buf_printf(out, "%s{%s=\"", family->name, family->label);
        add_label_value(cluster->name, out);
        buf_printf(out, "\"} %llu\n", (unsigned long long)values[state->step - 1]);
        if (out->len >= PIECE_BYTES)
            return true;
    }
    cluster_cursor_reset(&state->cursor);
    return ++state->step <= COUNT(cluster_counters);
}

static void add_rows(const char *title, const struct metric *rows, size_t n, struct buf *out)
{
    buf_printf(out, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", title);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "| `%s` | %s | %s | %s |\n", rows[i].name, rows[i].type, rows[i].label,
                   rows[i].help);
}

void admin_print_metrics_reference(struct buf *out)
{
    buf_add_text(out, "# Metrics\n\nThe admin server shows these under `/metrics`.\n");
    add_rows("Requests and the gateway", labelled, COUNT(labelled), out);
    add_rows("Connections and requests", counters, COUNT(counters), out);
    add_rows("By cluster", cluster_counters, COUNT(cluster_counters), out);
    buf_add_text(out, "\n`/clusters` shows these as `cluster::name::value`, with the names");
    for (size_t i = 0; i < CLUSTER_COUNTER_COUNT; i++)
        buf_printf(out, "%s `%s`", i ? "," : "", cluster_words[i]);
    buf_add_text(out, ".\n");
    add_rows("Configuration and process", control, COUNT(control), out);

    static const struct metric endpoint_counters[] = {
#define X(id, name, type, help) {name, type, help, ""},
        ENDPOINT_COUNTERS(X)
#undef X
    };
    buf_add_text(out, "\n## By endpoint\n\n`/clusters` shows these as "
                      "`cluster::endpoint::name::value`. They count what all clusters with this "
                      "address send\nthere, because its connections are shared.\n\n| name | type | "
                      "meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < COUNT(endpoint_counters); i++)
        buf_printf(out, "| `%s` | %s | %s |\n", endpoint_counters[i].name,
                   endpoint_counters[i].type, endpoint_counters[i].help);
}
