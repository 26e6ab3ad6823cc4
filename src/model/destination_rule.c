// SPDX-License-Identifier: Apache-2.0
#include "model/names.h"
#include "model/workload.h"

static void check_sni(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str name = text_str(*text);
    if (name.len > 0 && (istio_host_mistake(name) || str_index(name, '*') >= 0))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\" is no name of a host",
                    STR_ARG(str_upto(name, 300)));
}

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
            "of two random ones. PASSTHROUGH: the address that the client has dialled, which a "
            "sidecar knows; at a gateway LEAST_REQUEST is used."},
    NOT_SERVED("consistentHash", NULL, "Choice by a header, cookie, address or query parameter."),
    NOT_SERVED("localityLbSetting", NULL, "Preference of localities."),
    NOT_SERVED("zoneAwareLbSetting", NULL, "Balance of zones by their share."),
    NOT_SERVED("warmup", NULL, "Slow start of new endpoints."),
    NOT_SERVED("warmupDurationSecs", NULL, "Slow start of new endpoints, in its old form."),
};
static void check_balancer(struct reader *reader, const struct node *node, void *value)
{
    const struct node *simple = field_node(node, "simple");
    struct traffic_policy *policy = value;
    if (simple) {
        policy->balancer_line = simple->line;
        policy->balancer_col = simple->col;
    }
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

static void check_probes(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *number = value;
    if (number->value < 0 || number->value > UINT32_MAX)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, number,
                    "probes must be non-negative and fit into 32 bits");
}

static const struct field keepalive_fields[] = {
    {.key = "probes",
     .type = FIELD_NUMBER,
     AT(struct keepalive_policy, probes),
     .check = check_probes,
     .doc = "Probes without an answer after which the connection is given up; 9 without it, 127 at "
            "most."},
    {.key = "time",
     .type = FIELD_DURATION,
     AT(struct keepalive_policy, time),
     .doc = "How long a connection is idle before it is probed, in whole seconds; 2h without it."},
    {.key = "interval",
     .type = FIELD_DURATION,
     AT(struct keepalive_policy, interval),
     .doc = "Time between probes, in whole seconds; 75s without it."},
};
static const struct table keepalive_table = {
    .name = "TcpKeepalive",
    TABLE_FIELDS(keepalive_fields),
    .has_is_set = HAS(struct keepalive_policy, is_set),
};

static const struct field tcp_fields[] = {
    {.key = "connectTimeout",
     .type = FIELD_DURATION,
     AT(struct traffic_policy, connect_timeout),
     .min = 1,
     .doc = "How long connecting to an endpoint may take; 10s without it."},
    NOT_SERVED("maxConnections", "0", "Connections to all endpoints together."),
    {.key = "tcpKeepalive",
     .type = FIELD_STRUCT,
     AT(struct traffic_policy, keepalive),
     .table = &keepalive_table,
     .doc = "Probes of the kernel on connections to the endpoints. Without it none, but to hosts "
            "outside the cluster 3, after 45s, every 10s."},
    {.key = "maxConnectionDuration",
     .type = FIELD_DURATION,
     AT(struct traffic_policy, max_connection_duration),
     .min = 1,
     .doc = "How old a pooled connection gets: it ends with the request that is on it then. "
            "Without it, no limit."},
    {.key = "idleTimeout",
     .type = FIELD_DURATION,
     AT(struct traffic_policy, tcp_idle_timeout),
     .doc = "How long nothing may come from either side of a TCP connection (not of HTTP); 0s: any "
            "time. Without it as option `--tunnel-timeout` says."},
};
static const struct table tcp_table = {.name = "TCPSettings", TABLE_FIELDS(tcp_fields)};

static void check_requests_max(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *number = value;
    if (number->value < 0)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, number,
                    "max requests per connection must be non-negative");
}

static void check_streams_max(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *number = value;
    if (number->value < 0 || number->value > INT32_MAX)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, number,
                    "max concurrent streams must be non-negative and below 2^31");
}

static const struct word upgrade_words[] = {
    {"DEFAULT", H2_UPGRADE_DEFAULT},
    {"DO_NOT_UPGRADE", H2_UPGRADE_NEVER},
    {"UPGRADE", H2_UPGRADE_ALWAYS},
    {NULL, 0},
};
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
    {.key = "h2UpgradePolicy",
     .type = FIELD_WORD,
     AT(struct traffic_policy, h2_upgrade),
     .words = upgrade_words,
     .doc = "UPGRADE: HTTP/2 to the endpoints, whatever the port is named. DEFAULT and "
            "DO_NOT_UPGRADE leave that to the port's name or appProtocol."},
    {.key = "useClientProtocol",
     .type = FIELD_FLAG,
     AT(struct traffic_policy, use_client_protocol),
     .doc = "HTTP/2 to the endpoints for requests that came over HTTP/2, HTTP/1.1 for the others."},
    {.key = "maxConcurrentStreams",
     .type = FIELD_NUMBER,
     AT(struct traffic_policy, max_concurrent_streams),
     .check = check_streams_max,
     .doc = "Streams at once on one HTTP/2 connection; 0: as many as the endpoint allows."},
    NOT_SERVED("http2KeepAlive", NULL, "Pings on HTTP/2 connections."),
};
static void check_http(struct reader *reader, const struct node *node, void *value)
{
    const struct traffic_policy *policy = value;
    const struct flag *flag = &policy->use_client_protocol;
    if (policy->h2_upgrade == H2_UPGRADE_ALWAYS && flag->value)
        report_at(reader, "useClientProtocol", DIAG_FIELD_CONFLICT, flag->line, flag->col, NULL,
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
const struct table pool_table = {
    .name = "ConnectionPoolSettings",
    TABLE_FIELDS(pool_fields),
    .has_is_set = HAS(struct traffic_policy, has_pool),
    .check = check_pool,
};

// --- trafficPolicy.tls, proxyProtocol ----------------------------------------------------------

static const struct word client_tls_words[] = {
    {"DISABLE", CLIENT_TLS_DISABLE},
    {"SIMPLE", CLIENT_TLS_SIMPLE},
    {"MUTUAL", CLIENT_TLS_MUTUAL},
    {"ISTIO_MUTUAL", CLIENT_TLS_ISTIO_MUTUAL},
    {NULL, 0},
};
static const struct field client_tls_fields[] = {
    {.key = "mode",
     .type = FIELD_WORD,
     AT(struct client_tls, mode),
     .words = client_tls_words,
     .doc =
         "DISABLE: none. SIMPLE: TLS. MUTUAL: with a certificate of ours. ISTIO_MUTUAL needs the "
         "mesh's certificates and is not served: requests are answered 502."},
    {.key = "clientCertificate",
     .type = FIELD_TEXT,
     AT(struct client_tls, client_certificate),
     .doc = "MUTUAL: file with our certificate and its chain (PEM)."},
    {.key = "privateKey",
     .type = FIELD_TEXT,
     AT(struct client_tls, private_key),
     .doc = "MUTUAL: file with its key (PEM)."},
    {.key = "caCertificates",
     .type = FIELD_TEXT,
     AT(struct client_tls, ca_certificates),
     .doc = "File with the authorities that endpoints' certificates are verified against (PEM); "
            "without it the system's."},
    {.key = "caCrl",
     .type = FIELD_TEXT,
     AT(struct client_tls, ca_crl),
     .doc = "File with revoked certificates (PEM)."},
    {.key = "credentialName",
     .type = FIELD_TEXT,
     AT(struct client_tls, credential_name),
     .doc = "Secret of the gateway's namespace instead of files: `ca.crt` or `cacert`, and for "
            "MUTUAL `tls.crt` and `tls.key`, or `cert` and `key`."},
    {.key = "subjectAltNames",
     .type = FIELD_TEXTS,
     AT(struct client_tls, subject_alt_names),
     .doc = "Names, one of which an endpoint's certificate must carry; without any, `sni` or the "
            "request's host."},
    {.key = "sni",
     .type = FIELD_TEXT,
     AT(struct client_tls, sni),
     .check = check_sni,
     .doc = "Server name that is sent; without it the request's host."},
    {.key = "insecureSkipVerify",
     .type = FIELD_FLAG,
     AT(struct client_tls, insecure_skip_verify),
     .doc = "Takes any certificate."},
};

static bool is_given(struct text text)
{
    return text.len > 0;
}

static void check_skip_verify(struct reader *reader, const struct client_tls *tls)
{
    if (!tls->insecure_skip_verify.value)
        return;
    bool names_ca = is_given(tls->ca_certificates) || tls->subject_alt_names.n > 0;
    const struct flag *flag = &tls->insecure_skip_verify;
    if (tls->mode == CLIENT_TLS_SIMPLE && (names_ca || is_given(tls->credential_name)))
        report_at(reader, "insecureSkipVerify", DIAG_FIELD_CONFLICT, flag->line, flag->col, NULL,
                  "cannot specify CaCertificates or CredentialName or SubjectAltNames when "
                  "InsecureSkipVerify is set true");
    else if (tls->mode == CLIENT_TLS_MUTUAL && names_ca)
        report_at(reader, "insecureSkipVerify", DIAG_FIELD_CONFLICT, flag->line, flag->col, NULL,
                  "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set "
                  "true");
}

// A block without mode is no TLS at all, as for Istio; who names authorities in it wants some.
static void check_no_mode(struct reader *reader, const struct node *node)
{
    if (node->map.n_pairs > 0 && !field_node(node, "mode"))
        report(reader, DIAG_FIELD_NO_EFFECT, node->line, node->col, "write mode: SIMPLE or MUTUAL",
               "without mode there is no TLS (DISABLE), so requests are sent in plain text");
}

static void check_client_tls(struct reader *reader, const struct node *node, void *value)
{
    const struct client_tls *tls = value;
    bool is_mutual = tls->mode == CLIENT_TLS_MUTUAL;
    if (reader->has_failed)
        return;
    check_skip_verify(reader, tls);
    check_no_mode(reader, node);
    if ((is_mutual || tls->mode == CLIENT_TLS_SIMPLE) && is_given(tls->credential_name)) {
        if (is_given(tls->client_certificate) || is_given(tls->private_key) ||
            is_given(tls->ca_certificates) || is_given(tls->ca_crl))
            report_at(reader, "credentialName", DIAG_FIELD_CONFLICT, tls->credential_name.line,
                      tls->credential_name.col, NULL,
                      "cannot specify client certificates or CA certificate or CA CRL If "
                      "credentialName is set");
        return;
    }
    if (is_mutual && !is_given(tls->client_certificate))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "client certificate required for mutual tls");
    if (is_mutual && !is_given(tls->private_key))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "private key required for mutual tls");
    if (tls->mode == CLIENT_TLS_SIMPLE && is_given(tls->client_certificate))
        report_at(reader, "clientCertificate", DIAG_FIELD_NO_EFFECT, tls->client_certificate.line,
                  tls->client_certificate.col, NULL, "is shown to endpoints in mode MUTUAL only");
}
static const struct table client_tls_table = {
    .name = "ClientTLSSettings",
    TABLE_FIELDS(client_tls_fields),
    .has_place = HAS(struct client_tls, line),
    .has_is_set = HAS(struct client_tls, is_set),
    .check = check_client_tls,
};

static const struct word proxy_header_words[] = {
    {"V1", PROXY_HEADER_V1}, {"V2", PROXY_HEADER_V2}, {NULL, 0}};
static const struct field proxy_protocol_fields[] = {
    {.key = "version",
     .type = FIELD_WORD,
     AT(struct traffic_policy, proxy_protocol),
     .words = proxy_header_words,
     .doc = "V1 (the default): a line of text. V2: binary."},
};
static const struct table proxy_protocol_table = {
    .name = "ProxyProtocol",
    TABLE_FIELDS(proxy_protocol_fields),
    .has_is_set = HAS(struct traffic_policy, has_proxy_protocol),
};

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
    {                                                                                              \
        .key = "tls", .type = FIELD_STRUCT, AT(type_, policy.tls), .table = &client_tls_table,     \
        .doc = "TLS to the endpoints."                                                             \
    }
#define WHOLE_POLICY_FIELDS(type_)                                                                 \
    NOT_SERVED("tunnel", NULL, "Tunnel to the endpoints through a proxy."),                        \
        {.key = "proxyProtocol",                                                                   \
         .type = FIELD_STRUCT,                                                                     \
         AT(type_, policy),                                                                        \
         .table = &proxy_protocol_table,                                                           \
         .doc = "A PROXY header with the client's address opens each connection."},                \
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
    WHOLE_POLICY_FIELDS(struct subset),
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

// The first `tls` of a policy that is not plainly switched off; as it is written, since it may be
// the part that is broken.
static const struct node *find_tls(const struct node *policy)
{
    const struct node *tls = field_node(policy, "tls");
    const struct node *mode = tls ? field_node(tls, "mode") : NULL;
    if (tls && !(mode && mode->type == NODE_SCALAR && str_is(mode->scalar, "DISABLE")))
        return tls;
    const struct node *ports = field_node(policy, "portLevelSettings");
    for (uint32_t i = 0; ports && ports->type == NODE_LIST && i < ports->list.n_items; i++) {
        tls = find_tls(ports->list.items[i]);
        if (tls)
            return tls;
    }
    return NULL;
}

static bool is_export_list_right(const struct reader *reader, const struct texts *list)
{
    struct reader silent = *reader;
    silent.diags = NULL;
    silent.has_failed = false;
    for (uint32_t i = 0; i < list->n; i++)
        check_export_to(&silent, NULL, &list->items[i]);
    check_export_list(&silent, list);
    return !silent.has_failed;
}

// Subsets need no such care: those of a broken rule are unknown, and their requests answered 503.
void destination_rule_contain(struct reader *reader, const struct node *root,
                              struct destination_rule *rule)
{
    const struct node *spec = field_node(root, "spec");
    const struct node *policy = spec ? field_node(spec, "trafficPolicy") : NULL;
    const struct node *tls = policy ? find_tls(policy) : NULL;
    bool has_host = rule->host.len > 0 && (!istio_host_mistake(text_str(rule->host)) ||
                                           is_ipv4_or_ipv6(text_str(rule->host)));
    if (!tls || !has_host)
        return;
    bool is_exported = is_export_list_right(reader, &rule->export_to);
    *rule =
        (struct destination_rule){.host = rule->host,
                                  .export_to = is_exported ? rule->export_to : (struct texts){0},
                                  .is_broken = true,
                                  .tls_line = tls->line,
                                  .tls_col = tls->col};
    reader->has_failed = false;
    reader->has_invalid_parts = true;
}

static const struct field rule_policy_fields[] = {
    POLICY_FIELDS(struct destination_rule),
    WHOLE_POLICY_FIELDS(struct destination_rule),
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
