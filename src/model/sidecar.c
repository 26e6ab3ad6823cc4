// SPDX-License-Identifier: Apache-2.0
// Sidecar. A mistake breaks the whole of it: what is left out of a list of hosts would open or shut
// more than was meant.
#include "base/address.h"
#include "model/names.h"
#include "model/workload.h"
#include <stdio.h>

// --- what egress and ingress share -------------------------------------------------------------

static void read_protocol(struct reader *reader, const struct field *field, const struct node *node,
                          void *value)
{
    struct sidecar_port *port = value;
    struct text text = {0};
    struct str nearest;
    if (!read_text(reader, NULL, node, &text))
        return;
    port->has_protocol = node->scalar.len > 0;
    if (!port->has_protocol || find_port_protocol(node->scalar, &port->protocol, &nearest))
        return;
    char hint[64];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    report(reader, DIAG_FIELD_VALUE, node->line, node->col, nearest.len ? hint : NULL,
           "unsupported protocol: %.*s", STR_ARG(str_upto(node->scalar, 80)));
}

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     AT(struct sidecar_port, number),
     .min = 0,
     .max = 65535,
     .doc = "Port that is dialled."},
    {.key = "protocol",
     .type = FIELD_CUSTOM,
     .words = port_protocol_words,
     .read = read_protocol,
     .doc = "Protocol, in any case; it goes before what Services and ServiceEntries say of the "
            "port. On the way out, connections to addresses that none of them declares are looked "
            "at all the same."},
    {.key = "name", .type = FIELD_IRRELEVANT, .doc = "A label for people; nothing refers to it."},
    {.key = "targetPort", .type = FIELD_IRRELEVANT, .doc = "Without effect, for Istio too."},
};
static const struct table port_table = {
    .name = "SidecarPort",
    TABLE_FIELDS(port_fields),
    .has_place = HAS(struct sidecar_port, line),
    .has_is_set = HAS(struct sidecar_port, is_set),
};

static const struct word capture_words[] = {
    {"DEFAULT", SIDECAR_CAPTURE_DEFAULT},
    {"IPTABLES", SIDECAR_CAPTURE_IPTABLES},
    {"NONE", SIDECAR_CAPTURE_NONE},
    {NULL, 0},
};

// The numbers of ports are told apart from those in front.
static void check_port(struct reader *reader, const struct sidecar_port *port,
                       const struct sidecar_port *other)
{
    if (port->number.value == other->number.value)
        report_at(reader, "port", DIAG_DUPLICATE_NAME, port->line, port->col, NULL,
                  "sidecar: ports on IP bound listeners must be unique: %d is given already",
                  (int)port->number.value);
}

static bool is_unix(struct text text)
{
    return str_has_prefix(text_str(text), STR("unix://")) ||
           str_has_prefix(text_str(text), STR("/"));
}

static void check_bind(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *bind = value;
    struct address address;
    if (bind->len > 0 && !is_unix(*bind) && !address_parse_ip(text_str(*bind), &address))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, bind,
                    "\"%.*s\" is not an IP address or a unix domain socket",
                    STR_ARG(str_upto(text_str(*bind), 300)));
}

// Whether it leaves the listener to what is captured. What is opened at an address of its own, for
// applications that dial it themselves, is not served.
static bool is_captured(struct reader *reader, const struct text *bind, const struct number *port,
                        enum sidecar_capture capture, uint32_t line, uint32_t col)
{
    struct str text = text_str(*bind);
    bool is_wide = text.len == 0 || str_is(text, "0.0.0.0") || str_is(text, "::");
    if (capture == SIDECAR_CAPTURE_NONE)
        report_at(reader, "captureMode", DIAG_FIELD_NOT_SERVED, line, col, NULL,
                  "NONE asks for a listener that applications dial themselves, which is not "
                  "served; this one is left out");
    else if (!is_wide)
        report_at(reader, "bind", DIAG_FIELD_NOT_SERVED, bind->line, bind->col, NULL,
                  "a listener at an address of its own is not served; this one is left out");
    else if (port && port->is_set && port->value == 0)
        report_at(reader, "port", DIAG_FIELD_NOT_SERVED, port->line, port->col, NULL,
                  "port 0 is for a unix domain socket, which is not served; this listener is left "
                  "out");
    else
        return true;
    return false;
}

// --- egress ------------------------------------------------------------------------------------

static const char *host_mistake(struct str host)
{
    if (str_is(host, "*"))
        return NULL;
    if (str_index(host, '.') < 0)
        return "short names (non FQDN) are not allowed";
    return istio_host_mistake(host);
}

static void check_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str whole = text_str(*text);
    ptrdiff_t slash = str_index(whole, '/');
    struct str ns = slash < 0 ? STR_NONE : str_upto(whole, (size_t)slash);
    struct str host = slash < 0 ? STR_NONE : str_from(whole, (size_t)slash + 1);
    const char *mistake = NULL;
    if (slash < 0)
        mistake = "host must be of form namespace/dnsName";
    else if (ns.len == 0 || host.len == 0)
        mistake = "config namespace and dnsName in host entry cannot be empty";
    else if (!str_is(ns, "*") && !str_is(ns, ".") && !str_is(ns, "~") && dns_label_mistake(ns))
        mistake = "the namespace is none of a name, `*`, `.` and `~`";
    else
        mistake = host_mistake(host);
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "sidecar: \"%.*s\": %s",
                    STR_ARG(str_upto(whole, 300)), mistake);
}

static void check_egress(struct reader *reader, const struct node *node, void *value)
{
    struct sidecar_egress *egress = value;
    const struct node *mode = field_node(node, "captureMode");
    if (!reader->has_failed)
        egress->is_served =
            is_captured(reader, &egress->bind, egress->port.is_set ? &egress->port.number : NULL,
                        egress->capture, mode ? mode->line : 0, mode ? mode->col : 0);
    if (egress->port.is_set && !egress->port.number.is_set)
        report_at(reader, "port", DIAG_FIELD_REQUIRED, egress->port.line, egress->port.col, NULL,
                  "its number is missing");
}

static const struct field egress_fields[] = {
    {.key = "port",
     .type = FIELD_STRUCT,
     AT(struct sidecar_egress, port),
     .table = &port_table,
     .doc = "The one port that it is for; without it all that no other listener names."},
    {.key = "bind",
     .type = FIELD_TEXT,
     AT(struct sidecar_egress, bind),
     .check = check_bind,
     .doc = "Address of a listener of its own; only `0.0.0.0` and `::` are served."},
    {.key = "captureMode",
     .type = FIELD_WORD,
     AT(struct sidecar_egress, capture),
     .words = capture_words,
     .doc = "DEFAULT, IPTABLES: connections are captured. NONE, where they are dialled, is not "
            "served."},
    {.key = "hosts",
     .type = FIELD_TEXTS,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct sidecar_egress, hosts),
     .check = check_host,
     .required = "sidecar: egress listener must contain at least one host",
     .doc = "What the workload knows, as `namespace/name`. The namespace: `*`, `.` its own, `~` "
            "none. The name: one, `*.` and a domain, or `*`."},
};
static const struct table egress_table = {
    .name = "IstioEgressListener",
    TABLE_FIELDS(egress_fields),
    .bytes = sizeof(struct sidecar_egress),
    .has_place = HAS(struct sidecar_egress, line),
    .check = check_egress,
};

// --- ingress -----------------------------------------------------------------------------------

static void check_endpoint(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str endpoint = text_str(*text);
    struct address address;
    if (endpoint.len == 0)
        return;
    if (is_unix(*text)) {
        REPORT_TEXT(reader, DIAG_FIELD_NOT_SERVED, text,
                    "unix domain sockets are not served; connections to this port are closed");
        return;
    }
    bool is_known = address_parse(endpoint, &address) && address.port > 0;
    if (is_known) {
        char ip[ADDRESS_TEXT_MAX];
        address_format_ip(&address, ip);
        struct str host = str_of(ip);
        is_known = str_is(host, "127.0.0.1") || str_is(host, "0.0.0.0") || str_is(host, "::1") ||
                   str_is(host, "::");
    }
    if (!is_known)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text,
                    "sidecar: defaultEndpoint must be of form "
                    "127.0.0.1:<port>,0.0.0.0:<port>,[::1]:<port>,[::]:<port>,unix://filepath or "
                    "unset");
}

static void read_tls(struct reader *reader, const struct field *field, const struct node *node,
                     void *value)
{
    struct sidecar_ingress *ingress = value;
    if (!expect_type(reader, node, NODE_MAP, "a map"))
        return;
    ingress->has_tls = true;
    report(reader, DIAG_TLS_NOT_SERVED, node->line, node->col, NULL,
           "TLS is not ended for what comes to a workload; connections to this port are closed");
}

static void check_ingress(struct reader *reader, const struct node *node, void *value)
{
    struct sidecar_ingress *ingress = value;
    const struct node *mode = field_node(node, "captureMode");
    if (reader->has_failed)
        return;
    ingress->is_served = is_captured(reader, &ingress->bind, &ingress->port.number,
                                     ingress->capture, mode ? mode->line : 0, mode ? mode->col : 0);
    if (!ingress->port.number.is_set)
        report_at(reader, "port", DIAG_FIELD_REQUIRED, ingress->port.line, ingress->port.col, NULL,
                  "its number is missing");
}

static const struct field ingress_fields[] = {
    {.key = "port",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     AT(struct sidecar_ingress, port),
     .table = &port_table,
     .required = "sidecar: port is required for ingress listeners",
     .doc = "The port that is dialled."},
    {.key = "bind",
     .type = FIELD_TEXT,
     AT(struct sidecar_ingress, bind),
     .check = check_bind,
     .doc = "Address of a listener of its own; only `0.0.0.0` and `::` are served."},
    {.key = "captureMode",
     .type = FIELD_WORD,
     AT(struct sidecar_ingress, capture),
     .words = capture_words,
     .doc = "DEFAULT, IPTABLES: connections are captured. NONE, where they are dialled, is not "
            "served."},
    {.key = "defaultEndpoint",
     .type = FIELD_TEXT,
     AT(struct sidecar_ingress, endpoint),
     .check = check_endpoint,
     .doc = "Where the application listens: `127.0.0.1:port` or `[::1]:port`; with `0.0.0.0:port` "
            "or `[::]:port` at the address that was dialled, which is what holds without it. Unix "
            "domain sockets are not served."},
    {.key = "tls",
     .type = FIELD_CUSTOM,
     .read = read_tls,
     .doc = "TLS that is ended for the application; not served, connections are closed."},
    {.key = "connectionPool",
     .type = FIELD_STRUCT,
     AT(struct sidecar_ingress, pool),
     .table = &pool_table,
     .doc = "Connections to the application, instead of `inboundConnectionPool`."},
};
static const struct table listener_table = {
    .name = "IstioIngressListener",
    TABLE_FIELDS(ingress_fields),
    .bytes = sizeof(struct sidecar_ingress),
    .has_place = HAS(struct sidecar_ingress, line),
    .check = check_ingress,
};

// --- outboundTrafficPolicy ---------------------------------------------------------------------

static const struct field proxy_port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct http_destination, port),
     .min = 1,
     .max = 65535,
     .doc = "Port of the Service or ServiceEntry."},
};
static const struct table proxy_port_table = {.name = "PortSelector",
                                              TABLE_FIELDS(proxy_port_fields)};

static void check_proxy_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str host = text_str(*text);
    const char *mistake = str_index(host, '*') >= 0 ? "a wildcard is no proxy" : host_mistake(host);
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\": %s", STR_ARG(str_upto(host, 300)),
                    mistake);
}

static const struct field proxy_fields[] = {
    {.key = "host",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct http_destination, host),
     .check = check_proxy_host,
     .doc = "A host that a Service or ServiceEntry declares, in full."},
    {.key = "subset",
     .type = FIELD_TEXT,
     AT(struct http_destination, subset),
     .doc = "A subset of a DestinationRule for it."},
    {.key = "port",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &proxy_port_table,
     .required = "sidecar: egress_proxy port must be non-nil",
     .doc = "The port."},
};
static const struct table proxy_table = {
    .name = "Destination",
    TABLE_FIELDS(proxy_fields),
    .has_place = HAS(struct http_destination, line),
};

static const struct word policy_words[] = {
    {"REGISTRY_ONLY", SIDECAR_REGISTRY_ONLY}, {"ALLOW_ANY", SIDECAR_ALLOW_ANY}, {NULL, 0}};
static const struct field policy_fields[] = {
    {.key = "mode",
     .type = FIELD_WORD,
     AT(struct sidecar, policy),
     .words = policy_words,
     .doc = "REGISTRY_ONLY (the default of a block that is there): HTTP to what is declared "
            "nowhere is answered 502, other connections are closed. ALLOW_ANY: they go to where "
            "the client dialled."},
    {.key = "egressProxy",
     .type = FIELD_STRUCT,
     AT(struct sidecar, egress_proxy),
     .table = &proxy_table,
     .doc = "With ALLOW_ANY: they go there instead."},
};

static void check_policy(struct reader *reader, const struct node *node, void *value)
{
    struct sidecar *sidecar = value;
    const struct node *proxy = field_node(node, "egressProxy");
    sidecar->has_egress_proxy = proxy != NULL;
    if (proxy && sidecar->policy != SIDECAR_ALLOW_ANY)
        report_at(reader, "egressProxy", DIAG_FIELD_CONFLICT, proxy->line, proxy->col, NULL,
                  "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy "
                  "mode");
}
static const struct table policy_table = {
    .name = "OutboundTrafficPolicy",
    TABLE_FIELDS(policy_fields),
    .has_is_set = HAS(struct sidecar, has_policy),
    .check = check_policy,
};

// --- the whole ---------------------------------------------------------------------------------

static void check_selector_labels(struct reader *reader, const struct field *field,
                                  const void *value)
{
    const struct text_map *labels = value;
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < labels->n; i++) {
        const struct text *key = &labels->items[i].key, *word = &labels->items[i].value;
        step.key = text_str(*key);
        if (key->len == 0)
            REPORT_TEXT(reader, DIAG_FIELD_VALUE, key, "empty key is not supported in selector");
        else if (str_index(text_str(*key), '*') >= 0 || str_index(text_str(*word), '*') >= 0)
            REPORT_TEXT(reader, DIAG_FIELD_VALUE, key, "wildcard is not supported in selector");
    }
    reader->step = step.parent;
    if (!reader->has_failed)
        check_labels(reader, field, value);
}

static const struct field selector_fields[] = {
    {.key = "labels",
     .type = FIELD_TEXT_MAP,
     AT(struct sidecar, selector),
     .check = check_selector_labels,
     .doc = "Labels that the workload must have."},
};

static void check_selector(struct reader *reader, const struct node *node, void *value)
{
    const struct sidecar *sidecar = value;
    if (sidecar->selector.n == 0 && !reader->has_failed)
        report(reader, DIAG_FIELD_NO_EFFECT, node->line, node->col, NULL,
               "workload selector specified without labels; will be applied to all services in "
               "namespace");
}
static const struct table selector_table = {
    .name = "WorkloadSelector", TABLE_FIELDS(selector_fields), .check = check_selector};

static void check_all_egress(struct reader *reader, const struct sidecar *sidecar)
{
    struct step list = {.parent = reader->step, .key = STR("egress")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    bool has_catch_all = false;
    reader->step = &item;
    for (uint32_t i = 0; i < sidecar->n_egress; i++) {
        const struct sidecar_egress *egress = &sidecar->egress[i];
        item.index = i;
        if (egress->port.is_set) {
            for (uint32_t k = 0; k < i; k++) {
                if (sidecar->egress[k].port.is_set)
                    check_port(reader, &egress->port, &sidecar->egress[k].port);
            }
            continue;
        }
        if (has_catch_all)
            report(reader, DIAG_FIELD_CONFLICT, egress->line, egress->col, NULL,
                   "sidecar: egress can have only one listener with empty port");
        else if (i + 1 < sidecar->n_egress && sidecar->egress[sidecar->n_egress - 1].port.is_set)
            report(reader, DIAG_FIELD_CONFLICT, egress->line, egress->col, NULL,
                   "sidecar: the egress listener with empty port should be the last listener in "
                   "the list");
        has_catch_all = true;
    }
    reader->step = list.parent;
}

static void check_all_ingress(struct reader *reader, const struct sidecar *sidecar)
{
    struct step list = {.parent = reader->step, .key = STR("ingress")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    reader->step = &item;
    for (uint32_t i = 0; i < sidecar->n_ingress; i++) {
        item.index = i;
        for (uint32_t k = 0; k < i; k++)
            check_port(reader, &sidecar->ingress[i].port, &sidecar->ingress[k].port);
    }
    reader->step = list.parent;
}

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    const struct sidecar *sidecar = value;
    if (reader->has_failed)
        return;
    if (sidecar->n_egress == 0 && sidecar->n_ingress == 0 && !sidecar->has_policy &&
        !field_node(node, "inboundConnectionPool"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "sidecar: empty configuration provided");
    check_all_egress(reader, sidecar);
    check_all_ingress(reader, sidecar);
}

static bool is_selector_right(const struct reader *reader, const struct text_map *selector)
{
    struct reader silent = *reader;
    silent.diags = NULL;
    silent.has_failed = false;
    check_selector_labels(&silent, NULL, selector);
    return !silent.has_failed;
}

// Whatever else is wrong, it lets everything out; to a proxy would not be everything.
static bool allows_any(const struct node *policy)
{
    const struct node *mode = field_node(policy, "mode");
    return mode && mode->type == NODE_SCALAR && str_is(mode->scalar, "ALLOW_ANY") &&
           !field_node(policy, "egressProxy");
}

// Without it another Sidecar or the mesh's default would be in force, which may let out what it
// would not. A selector that is broken, too, may be for any workload of the namespace.
void sidecar_contain(struct reader *reader, const struct node *root, struct sidecar *sidecar)
{
    const struct node *spec = field_node(root, "spec");
    const struct node *policy = spec ? field_node(spec, "outboundTrafficPolicy") : NULL;
    const struct node *egress = spec ? field_node(spec, "egress") : NULL;
    const struct node *shuts = policy ? policy : egress;
    if (!shuts || (policy && allows_any(policy)))
        return;
    bool is_selected = is_selector_right(reader, &sidecar->selector);
    *sidecar = (struct sidecar){.selector = is_selected ? sidecar->selector : (struct text_map){0},
                                .has_policy = policy != NULL,
                                .policy = SIDECAR_REGISTRY_ONLY,
                                .is_broken = true,
                                .has_egress = egress != NULL,
                                .line = shuts->line,
                                .col = shuts->col};
    reader->has_failed = false;
    reader->has_invalid_parts = true;
}

static const struct field spec_fields[] = {
    {.key = "workloadSelector",
     .type = FIELD_STRUCT,
     .table = &selector_table,
     .doc = "The workloads of its namespace that it is for; without it all, and in the root "
            "namespace (istio-system) those of every namespace that has none of its own."},
    {.key = "egress",
     .type = FIELD_LIST,
     LIST_AT(struct sidecar, egress, n_egress),
     .table = &egress_table,
     .doc = "What the workload may know; without any, all that is exported to its namespace."},
    {.key = "ingress",
     .type = FIELD_LIST,
     LIST_AT(struct sidecar, ingress, n_ingress),
     .table = &listener_table,
     .doc = "Ports of the workload; those that are named are served as is said here, the others "
            "as if there were none."},
    {.key = "inboundConnectionPool",
     .type = FIELD_STRUCT,
     AT(struct sidecar, inbound_pool),
     .table = &pool_table,
     .doc = "Connections to the application."},
    {.key = "outboundTrafficPolicy",
     .type = FIELD_STRUCT,
     .table = &policy_table,
     .doc = "What becomes of connections to what is declared nowhere; without it as "
            "`--outbound-policy` says."},
};
static const struct table spec_table = {
    .name = "SidecarSpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .required = "sidecar: empty configuration provided",
     .doc = "What the sidecar of a workload knows and serves."},
    IRRELEVANT("status", "Conditions, written by Istio."),
};
const struct table sidecar_table = {
    .name = "Sidecar", TABLE_FIELDS(fields), .bytes = sizeof(struct sidecar)};
