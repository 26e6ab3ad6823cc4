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
    if (service->n_tls > 0)
        report_at(reader, "tls", DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
                  "delegate virtual service must have no tls routes specified");
    if (service->n_tcp > 0)
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

// "a.example.com, *.b.org", for the message.
static struct str hosts_text(struct reader *reader, const struct texts *hosts)
{
    enum { SHOWN_MAX = 10 };
    struct buf text = {0};
    for (uint32_t i = 0; i < hosts->n && i < SHOWN_MAX; i++)
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", hosts->items[i].ptr);
    if (hosts->n > SHOWN_MAX)
        buf_add_text(&text, ", ...");
    struct str copy = arena_str(reader->scratch, buf_str(&text));
    buf_fini(&text);
    return copy;
}

static bool is_within(struct str name, struct str host)
{
    bool is_wild = host.ptr[0] == '*';
    return str_equal_nocase(name, host) ||
           (is_wild && overlap(name, host) && (name.ptr[0] != '*' || name.len >= host.len));
}

static bool has_sni_host(const struct virtual_service *service, struct str name)
{
    for (uint32_t i = 0; i < service->hosts.n; i++) {
        if (is_within(name, text_str(service->hosts.items[i])))
            return true;
    }
    return false;
}

// Reports the names of a match that none of the hosts contains; true: there are some.
static bool check_sni(struct reader *reader, const struct virtual_service *service,
                      const struct l4_match *match)
{
    struct step list = {.parent = reader->step, .key = STR("sniHosts")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    bool is_wrong = false;
    reader->step = &item;
    for (; item.index < match->sni_hosts.n; item.index++) {
        const struct text *name = &match->sni_hosts.items[item.index];
        if (name->len == 0 || has_sni_host(service, text_str(*name)))
            continue;
        is_wrong = true;
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, name,
                    "SNI host \"%s\" is not a compatible subset of any of the virtual service "
                    "hosts: [%.*s]",
                    name->ptr, STR_ARG(hosts_text(reader, &service->hosts)));
    }
    reader->step = list.parent;
    return is_wrong;
}

static void check_all_sni(struct reader *reader, const struct virtual_service *service)
{
    struct step list = {.parent = reader->step, .key = STR("tls")};
    struct step route = {.parent = &list, .kind = STEP_INDEX};
    struct step matches = {.parent = &route, .key = STR("match")};
    struct step match = {.parent = &matches, .kind = STEP_INDEX};
    bool outer_failed = reader->has_failed;
    reader->step = &match;
    for (; route.index < service->n_tls; route.index++) {
        struct l4_route *rule = &service->tls[route.index];
        for (match.index = 0; match.index < rule->n_match; match.index++) {
            if (!check_sni(reader, service, &rule->match[match.index]))
                continue;
            rule->match[match.index].is_invalid = reader->has_invalid_parts = true;
        }
    }
    reader->step = list.parent;
    reader->has_failed = outer_failed;
}

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    const struct virtual_service *service = value;
    if (service->n_http == 0 && service->n_tls == 0 && service->n_tcp == 0 && !reader->has_failed)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "http, tcp or tls must be provided in virtual service");
    if (service->hosts.n == 0 && !reader->has_failed)
        check_delegate(reader, node, service);
    check_hosts(reader, service);
    check_all_sni(reader, service);
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
     .type = FIELD_LIST,
     LIST_AT(struct virtual_service, tls, n_tls),
     .table = &tls_route_table,
     .doc = "Rules for TLS that is passed through, by SNI; the first that has a name counts."},
    {.key = "tcp",
     .type = FIELD_LIST,
     LIST_AT(struct virtual_service, tcp, n_tcp),
     .table = &tcp_route_table,
     .doc = "Rules for TCP, and for TLS that a server of protocol TLS ends; the first that applies "
            "counts."},
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
