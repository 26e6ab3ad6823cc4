// SPDX-License-Identifier: Apache-2.0
#include "model/istio.h"
#include "model/names.h"
#include "model/rows.h"

// --- trafficPolicy: the blocks -----------------------------------------------------------------

static const struct word balancer_words[] = {
    {"LEAST_REQUEST", BALANCER_LEAST_REQUEST},
    {"ROUND_ROBIN", BALANCER_ROUND_ROBIN},
    {"RANDOM", BALANCER_RANDOM},
    {"PASSTHROUGH", BALANCER_PASSTHROUGH},
    {"LEAST_CONN", BALANCER_LEAST_REQUEST},
    {"UNSPECIFIED", BALANCER_UNSPECIFIED},
    {NULL, 0},
};
static const struct field balancer_fields[] = {
    {.key = "simple",
     .type = FIELD_WORD,
     AT(struct traffic_policy, balancer),
     .words = balancer_words,
     .doc = "How endpoints are chosen, by request. LEAST_REQUEST (the default): the less busy one "
            "of two random ones. PASSTHROUGH is not served: LEAST_REQUEST is used."},
    NOT_SERVED("consistentHash", NULL, "Choice by a header, cookie, address or query parameter."),
    NOT_SERVED("localityLbSetting", NULL, "Preference of localities."),
    NOT_SERVED("zoneAwareLbSetting", NULL, "Balance of zones by their share."),
    NOT_SERVED("warmup", NULL, "Slow start of new endpoints."),
    NOT_SERVED("warmupDurationSecs", NULL, "Slow start of new endpoints, in its old form."),
};
static void check_balancer(struct reader *reader, const struct node *node, void *value)
{
    const struct node *simple = field_node(node, "simple");
    // To the address that the client has dialled: here that is the gateway itself.
    if (simple && ((struct traffic_policy *)value)->balancer == BALANCER_PASSTHROUGH)
        report_at(reader, "simple", DIAG_FIELD_NOT_SERVED, simple->line, simple->col, NULL,
                  "PASSTHROUGH is not served; LEAST_REQUEST is used");
    if (simple && field_node(node, "consistentHash"))
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "only one of simple and consistentHash can be set");
    if (field_node(node, "localityLbSetting") && field_node(node, "zoneAwareLbSetting"))
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "only one of localityLbSetting and zoneAwareLbSetting can be set");
}
static const struct table balancer_table = {
    .name = "LoadBalancerSettings",
    TABLE_FIELDS(balancer_fields),
    .has_is_set = HAS(struct traffic_policy, has_balancer),
    .check = check_balancer,
};

static const struct field tcp_fields[] = {
    {.key = "connectTimeout",
     .type = FIELD_DURATION,
     AT(struct traffic_policy, connect_timeout),
     .min = 1,
     .doc = "How long connecting to an endpoint may take; 10s without it."},
    NOT_SERVED("maxConnections", "0", "Connections to all endpoints together."),
    NOT_SERVED("tcpKeepalive", NULL, "Probes on idle connections."),
    NOT_SERVED("maxConnectionDuration", NULL, "How long a connection may live."),
    NOT_SERVED("idleTimeout", NULL, "How long a TCP connection may be idle."),
};
static const struct table tcp_table = {.name = "TCPSettings", TABLE_FIELDS(tcp_fields)};

static void check_requests_max(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *number = value;
    if (number->value < 0)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, number,
                    "max requests per connection must be non-negative");
}

static const struct field http_fields[] = {
    {.key = "maxRequestsPerConnection",
     .type = FIELD_NUMBER,
     AT(struct traffic_policy, max_requests_per_connection),
     .check = check_requests_max,
     .doc = "Requests over one connection; 0: no limit, 1: no keepalive."},
    {.key = "idleTimeout",
     .type = FIELD_DURATION,
     AT(struct traffic_policy, idle_timeout),
     .doc = "How long a connection waits in the pool; 1h without it."},
    NOT_SERVED("http1MaxPendingRequests", "0", "Requests that wait for a connection."),
    NOT_SERVED("http2MaxRequests", "0", "Requests to all endpoints together."),
    NOT_SERVED("maxRetries", "0", "Retries under way at the same time."),
    NOT_SERVED("h2UpgradePolicy", "DEFAULT DO_NOT_UPGRADE", "UPGRADE: HTTP/2 to the endpoints."),
    NOT_SERVED("useClientProtocol", "false", "The client's version of HTTP to the endpoints."),
    NOT_SERVED("maxConcurrentStreams", "0", "Streams on one HTTP/2 connection."),
    NOT_SERVED("http2KeepAlive", NULL, "Pings on HTTP/2 connections."),
};
static void check_http(struct reader *reader, const struct node *node, void *value)
{
    const struct node *policy = field_node(node, "h2UpgradePolicy");
    const struct node *flag = field_node(node, "useClientProtocol");
    if (policy && flag && policy->type == NODE_SCALAR && str_is(policy->scalar, "UPGRADE") &&
        flag->type == NODE_SCALAR && str_is(flag->scalar, "true"))
        report(reader, DIAG_FIELD_CONFLICT, flag->line, flag->col, NULL,
               "use client protocol must not be true when H2UpgradePolicy is UPGRADE");
}
static const struct table http_table = {
    .name = "HTTPSettings", TABLE_FIELDS(http_fields), .check = check_http};

static const struct field pool_fields[] = {
    {.key = "tcp", .type = FIELD_STRUCT, .table = &tcp_table, .doc = "Of every connection."},
    {.key = "http", .type = FIELD_STRUCT, .table = &http_table, .doc = "Of HTTP connections."},
};
static void check_pool(struct reader *reader, const struct node *node, void *value)
{
    if (!field_node(node, "tcp") && !field_node(node, "http"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "connection pool must have at least one field");
}
static const struct table pool_table = {
    .name = "ConnectionPoolSettings", TABLE_FIELDS(pool_fields), .check = check_pool};

// What stands in every policy; `type` is the struct that holds `policy`.
#define POLICY_FIELDS(type_)                                                                       \
    {.key = "loadBalancer",                                                                        \
     .type = FIELD_STRUCT,                                                                         \
     AT(type_, policy),                                                                            \
     .table = &balancer_table,                                                                     \
     .doc = "How endpoints are chosen."},                                                          \
        {.key = "connectionPool",                                                                  \
         .type = FIELD_STRUCT,                                                                     \
         AT(type_, policy),                                                                        \
         .table = &pool_table,                                                                     \
         .doc = "Connections to the endpoints."},                                                  \
        NOT_SERVED("outlierDetection", NULL, "Endpoints that fail are left out for a while."),     \
        NOT_SERVED("tls", NULL, "TLS to the endpoints.")
#define WHOLE_POLICY_FIELDS                                                                        \
    NOT_SERVED("tunnel", NULL, "Tunnel to the endpoints through a proxy."),                        \
        NOT_SERVED("proxyProtocol", NULL, "Client address in front of the connection's bytes."),   \
        NOT_SERVED("retryBudget", NULL, "Share of requests that may be retries.")

static void check_policy(struct reader *reader, const struct node *node, void *value)
{
    if (node->map.n_pairs == 0)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "traffic policy must have at least one field");
    if (field_node(node, "tunnel") && field_node(node, "proxyProtocol"))
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "tunnel and proxyProtocol must not be set together");
}

// --- portLevelSettings -------------------------------------------------------------------------

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct port_policy, port),
     .min = 1,
     .max = 65535,
     .required = "portTrafficPolicy must have valid port",
     .doc = "Port of the Service."},
};
static const struct table port_table = {.name = "PortSelector", TABLE_FIELDS(port_fields)};

static const struct field port_policy_fields[] = {
    {.key = "port",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &port_table,
     .required = "portTrafficPolicy must have valid port",
     .doc = "Port that the settings are for."},
    POLICY_FIELDS(struct port_policy),
};
static void check_port_policy(struct reader *reader, const struct node *node, void *value)
{
    ((struct port_policy *)value)->policy.is_set = true;
    if (node->map.n_pairs <= 1 && field_node(node, "port"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "port traffic policy must have at least one field");
}
static const struct table port_policy_table = {
    .name = "PortTrafficPolicy",
    TABLE_FIELDS(port_policy_fields),
    .bytes = sizeof(struct port_policy),
    .has_place = HAS(struct port_policy, line),
    .check = check_port_policy,
};

// --- subsets -----------------------------------------------------------------------------------

static const struct field subset_policy_fields[] = {
    POLICY_FIELDS(struct subset),
    WHOLE_POLICY_FIELDS,
    {.key = "portLevelSettings",
     .type = FIELD_LIST,
     LIST_AT(struct subset, port_policies, n_port_policies),
     .table = &port_policy_table,
     .doc = "Policies of single ports; each replaces all four blocks."},
};
static const struct table subset_policy_table = {
    .name = "TrafficPolicy",
    TABLE_FIELDS(subset_policy_fields),
    .has_is_set = HAS(struct subset, policy.is_set),
    .check = check_policy,
};

static void check_subset_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (dns_label_mistake(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "subset name is invalid: %s", text->ptr);
}

static const struct field subset_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct subset, name),
     .check = check_subset_name,
     .required = "subset name is invalid: it is missing",
     .doc = "Name that a VirtualService's destination gives."},
    {.key = "labels",
     .type = FIELD_TEXT_MAP,
     AT(struct subset, labels),
     .check = check_labels,
     .doc = "Labels of its endpoints' Pods; without any, all endpoints."},
    {.key = "trafficPolicy",
     .type = FIELD_STRUCT,
     .table = &subset_policy_table,
     .doc = "Blocks given here replace those of the rule."},
};
static const struct table subset_table = {
    .name = "Subset",
    TABLE_FIELDS(subset_fields),
    .bytes = sizeof(struct subset),
    .has_place = HAS(struct subset, line),
};

// --- the DestinationRule -----------------------------------------------------------------------

static void check_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    const char *mistake = istio_host_mistake(text_str(*text));
    if (mistake && !is_ipv4_or_ipv6(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\": %s",
                    STR_ARG(str_upto(text_str(*text), 300)), mistake);
}

// A repeated name keeps the first subset; the later one is left out.
static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    struct destination_rule *rule = value;
    check_export_list(reader, &rule->export_to);
    bool outer_failed = reader->has_failed;
    uint32_t n = 0;
    for (uint32_t i = 0; i < rule->n_subsets; i++) {
        const struct text *name = &rule->subsets[i].name;
        bool is_repeated = false;
        for (uint32_t other = 0; other < n; other++)
            is_repeated |= str_equal(text_str(*name), text_str(rule->subsets[other].name));
        if (is_repeated)
            report_at(reader, "subsets", DIAG_DUPLICATE_NAME, name->line, name->col, NULL,
                      "duplicate subset names: %s", name->ptr);
        else
            rule->subsets[n++] = rule->subsets[i];
    }
    reader->has_invalid_parts |= n < rule->n_subsets;
    rule->n_subsets = n;
    reader->has_failed = outer_failed;
}

static const struct field rule_policy_fields[] = {
    POLICY_FIELDS(struct destination_rule),
    WHOLE_POLICY_FIELDS,
    {.key = "portLevelSettings",
     .type = FIELD_LIST,
     LIST_AT(struct destination_rule, port_policies, n_port_policies),
     .table = &port_policy_table,
     .doc = "Policies of single ports; each replaces all four blocks."},
};
static const struct table rule_policy_table = {
    .name = "TrafficPolicy",
    TABLE_FIELDS(rule_policy_fields),
    .has_is_set = HAS(struct destination_rule, policy.is_set),
    .check = check_policy,
};

static const struct field spec_fields[] = {
    {.key = "host",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct destination_rule, host),
     .check = check_host,
     .doc = "Service that the rule is for, as in a VirtualService's destination; `*.` and a domain "
            "for several."},
    {.key = "trafficPolicy",
     .type = FIELD_STRUCT,
     .table = &rule_policy_table,
     .doc = "Policy of all its subsets."},
    {.key = "subsets",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct destination_rule, subsets, n_subsets),
     .table = &subset_table,
     .doc = "Named parts of the Service's endpoints."},
    {.key = "exportTo",
     .type = FIELD_TEXTS,
     AT(struct destination_rule, export_to),
     .check = check_export_to,
     .doc = "Namespaces that the rule holds in: `*` (the default), `.` its own, or names."},
    NOT_SERVED("workloadSelector", NULL, "Clients that the rule is for."),
};
static const struct table spec_table = {
    .name = "DestinationRuleSpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .doc = "What holds for a Service's endpoints."},
    IRRELEVANT("status", "Conditions, written by Istio."),
};
const struct table destination_rule_table = {
    .name = "DestinationRule", TABLE_FIELDS(fields), .bytes = sizeof(struct destination_rule)};
