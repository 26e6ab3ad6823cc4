// SPDX-License-Identifier: Apache-2.0
#include "model/http_route.h"
#include "model/names.h"

static void check_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    const char *mistake = istio_host_mistake(text_str(*text));
    if (mistake && !is_ipv4_or_ipv6(text_str(*text)))
        report(reader, DIAG_FIELD_VALUE, text->line, text->col,
               str_index(text_str(*text), ':') > 0 ? "a host has no port here" : NULL,
               "\"%.*s\": %s", STR_ARG(str_upto(text_str(*text), 300)), mistake);
}

static void check_gateway_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str name = text_str(*text);
    ptrdiff_t slash = str_index(name, '/');
    struct str ns = slash < 0 ? STR("default") : str_upto(name, (size_t)slash);
    if (slash >= 0)
        name = str_from(name, (size_t)slash + 1);
    if (dns_subdomain_mistake(name) || dns_label_mistake(ns))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text,
                    "\"%.*s\" is no gateway: name, namespace/name or mesh is due",
                    STR_ARG(str_upto(text_str(*text), 300)));
}

static void read_hosts(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    struct virtual_service *service = value;
    static const struct field hosts = {.key = "hosts", .check = check_host};
    service->hosts_line = node->line;
    service->hosts_col = node->col;
    read_texts(reader, &hosts, node, &service->hosts);
}

static void read_tls(struct reader *reader, const struct field *field, const struct node *node,
                     void *value)
{
    struct virtual_service *service = value;
    if (!expect_type(reader, node, NODE_LIST, "a list") || node->list.n_items == 0)
        return;
    service->has_tls_routes = true;
    report(reader, DIAG_FIELD_NOT_SERVED, node->line, node->col, NULL, "is not served yet: %s",
           field->doc);
}

static void read_tcp(struct reader *reader, const struct field *field, const struct node *node,
                     void *value)
{
    struct virtual_service *service = value;
    if (!expect_type(reader, node, NODE_LIST, "a list") || node->list.n_items == 0)
        return;
    service->has_tcp_routes = true;
    report(reader, DIAG_FIELD_NOT_SERVED, node->line, node->col, NULL, "is not served yet: %s",
           field->doc);
}

// Whether some name is meant by both.
static bool overlap(struct str a, struct str b)
{
    if (str_is(a, "*") || str_is(b, "*") || str_equal_nocase(a, b))
        return true;
    if (a.ptr[0] != '*' && b.ptr[0] != '*')
        return false;
    struct str wide = a.ptr[0] == '*' && (b.ptr[0] != '*' || a.len <= b.len) ? a : b;
    struct str narrow = wide.ptr == a.ptr ? b : a;
    wide = str_from(wide, 1); // ".example.com"
    return narrow.len > wide.len && str_equal_nocase(str_from(narrow, narrow.len - wide.len), wide);
}

static void check_hosts(struct reader *reader, const struct virtual_service *service)
{
    bool is_mesh = service->gateways.n == 0;
    for (uint32_t i = 0; i < service->gateways.n; i++)
        is_mesh |= str_is(text_str(service->gateways.items[i]), "mesh");
    for (uint32_t i = 0; i < service->hosts.n; i++) {
        const struct text *host = &service->hosts.items[i];
        if (is_mesh && str_is(text_str(*host), "*"))
            report_at(reader, "hosts", DIAG_FIELD_CONFLICT, host->line, host->col,
                      "name the gateways that it is for",
                      "wildcard host * is not allowed for virtual services bound to the mesh "
                      "gateway");
        for (uint32_t other = 0; other < i; other++) {
            const struct text *first = &service->hosts.items[other];
            if (overlap(text_str(*first), text_str(*host)))
                report_at(reader, "hosts", DIAG_DUPLICATE_NAME, host->line, host->col, NULL,
                          "duplicate hosts in virtual service: %s & %s", first->ptr, host->ptr);
        }
    }
}

// Without hosts it is a delegate: rules for others, nothing of its own.
static void check_delegate(struct reader *reader, const struct node *node,
                           const struct virtual_service *service)
{
    if (service->gateways.n)
        report_at(reader, "gateways", DIAG_FIELD_CONFLICT, node->line, node->col,
                  "a virtual service that is no delegate needs hosts",
                  "delegate virtual service must have no gateways specified");
    if (service->has_tls_routes)
        report_at(reader, "tls", DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
                  "delegate virtual service must have no tls routes specified");
    if (service->has_tcp_routes)
        report_at(reader, "tcp", DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
                  "delegate virtual service must have no tcp routes specified");
    struct step list = {.parent = reader->step, .key = STR("http")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    bool outer_failed = reader->has_failed;
    reader->step = &item;
    for (uint32_t i = 0; i < service->n_http; i++) {
        struct http_route *route = &service->http[i];
        item.index = i;
        if (!route->delegate.is_set)
            continue;
        report_at(reader, "delegate", DIAG_FIELD_CONFLICT, route->delegate.line,
                  route->delegate.col, NULL, "delegate HTTP route cannot contain delegate");
        route->is_invalid = reader->has_invalid_parts = true;
    }
    reader->step = list.parent;
    reader->has_failed = outer_failed;
}

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    const struct virtual_service *service = value;
    if (service->n_http == 0 && !service->has_tls_routes && !service->has_tcp_routes &&
        !reader->has_failed)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "http, tcp or tls must be provided in virtual service");
    if (service->hosts.n == 0 && !reader->has_failed)
        check_delegate(reader, node, service);
    check_hosts(reader, service);
    check_export_list(reader, &service->export_to);
}

static const struct field spec_fields[] = {
    {.key = "hosts",
     .type = FIELD_CUSTOM,
     .read = read_hosts,
     .doc = "Hosts: names, `*.` and a domain, or `*`; none makes it a delegate."},
    {.key = "gateways",
     .type = FIELD_TEXTS,
     AT(struct virtual_service, gateways),
     .check = check_gateway_name,
     .doc = "Gateways that serve it, `name` or `namespace/name`; without any, `mesh`, which is no "
            "gateway."},
    {.key = "http",
     .type = FIELD_LIST,
     LIST_AT(struct virtual_service, http, n_http),
     .table = &http_route_table,
     .doc = "Rules for HTTP; the first that applies counts."},
    {.key = "tls",
     .type = FIELD_CUSTOM,
     .read = read_tls,
     .doc = "Rules for TLS that is passed through, by SNI."},
    {.key = "tcp", .type = FIELD_CUSTOM, .read = read_tcp, .doc = "Rules for TCP."},
    {.key = "exportTo",
     .type = FIELD_TEXTS,
     AT(struct virtual_service, export_to),
     .check = check_export_to,
     .doc = "Namespaces that it is visible in: `*` (the default), `.` its own, or names."},
};
static const struct table spec_table = {
    .name = "VirtualServiceSpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .required = "http, tcp or tls must be provided in virtual service",
     .doc = "Hosts and rules."},
    IRRELEVANT("status", "Conditions, written by Istio."),
};
const struct table virtual_service_table = {
    .name = "VirtualService", TABLE_FIELDS(fields), .bytes = sizeof(struct virtual_service)};
