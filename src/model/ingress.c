// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/names.h"
#include "model/rows.h"

static void check_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str host = text_str(*text);
    if (host.len == 0)
        return;
    const char *mistake = NULL, *hint = NULL;
    if (is_ipv4_or_ipv6(host))
        mistake = "must be a DNS name, not an IP address";
    else if (str_index(host, '*') >= 0)
        mistake = wildcard_subdomain_mistake(host);
    else
        mistake = dns_subdomain_mistake(host);
    if (mistake && str_index(host, ':') > 0)
        hint = "a host has no port here";
    if (mistake)
        report(reader, DIAG_FIELD_VALUE, text->line, text->col, hint, "\"%.*s\": %s",
               STR_ARG(str_upto(host, 300)), mistake);
}

// --- backends ----------------------------------------------------------------------------------

static void check_service_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    const char *mistake = dns_label_mistake(text_str(*text));
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%s\": %s", text->ptr, mistake);
}

static void read_port_number(struct reader *reader, const struct field *field,
                             const struct node *node, void *value)
{
    struct port_ref *port = value;
    struct number number;
    if (read_number(reader, field, node, &number))
        port->number = (uint16_t)number.value;
}

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_CUSTOM,
     AT(struct ingress_backend, port),
     .read = read_port_number,
     .min = 1,
     .max = 65535,
     .doc = "The Service's port (not its targetPort)."},
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct ingress_backend, port.name),
     .check = check_port_name,
     .doc = "Or its name."},
};
static void check_backend_port(struct reader *reader, const struct node *node, void *value)
{
    const struct port_ref *port = &((struct ingress_backend *)value)->port;
    if (field_node(node, "name") && field_node(node, "number"))
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "cannot set both port name & port number");
    else if (!port->name.ptr && port->number == 0 && !reader->has_failed)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "port name or number is required");
}
static const struct table port_table = {
    .name = "ServiceBackendPort",
    TABLE_FIELDS(port_fields),
    .has_place = HAS(struct ingress_backend, port.line),
    .has_is_set = HAS(struct ingress_backend, port.is_set),
    .check = check_backend_port,
};

static const struct field service_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_backend, service),
     .check = check_service_name,
     .doc = "Service of the Ingress's own namespace."},
    {.key = "port",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &port_table,
     .required = "port name or number is required",
     .doc = "Port of the Service."},
};
static const struct table service_backend_table = {.name = "IngressServiceBackend",
                                                   TABLE_FIELDS(service_fields)};

static const struct field resource_fields[] = {
    {.key = "apiGroup",
     .type = FIELD_TEXT,
     AT(struct ingress_backend, resource_group),
     .doc = "Group of the object."},
    {.key = "kind",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_backend, resource_kind),
     .check = check_plain_text,
     .doc = "Its kind."},
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_backend, resource_name),
     .check = check_plain_text,
     .doc = "Its name."},
};
static const struct table resource_table = {.name = "TypedLocalObjectReference",
                                            TABLE_FIELDS(resource_fields)};

static const struct field backend_fields[] = {
    {.key = "service",
     .type = FIELD_STRUCT,
     .table = &service_backend_table,
     .doc = "A Service of the Ingress's own namespace."},
    {.key = "resource",
     .type = FIELD_STRUCT,
     .table = &resource_table,
     .doc = "Another object instead of a Service. No kind of object can be served that way yet, "
            "which is reported."},
};
static void check_backend(struct reader *reader, const struct node *node, void *value)
{
    bool has_service = field_node(node, "service"), has_resource = field_node(node, "resource");
    bool is_old = field_node(node, "serviceName") || field_node(node, "servicePort");
    if (has_service && has_resource)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "cannot set both resource and service backends");
    else if (!has_service && !has_resource)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col,
               is_old ? "write service.name and service.port.number instead of serviceName and "
                        "servicePort"
                      : NULL,
               "resource or service backend is required");
}
static const struct table backend_table = {
    .name = "IngressBackend",
    .bytes = sizeof(struct ingress_backend),
    TABLE_FIELDS(backend_fields),
    .has_place = HAS(struct ingress_backend, line),
    .has_is_set = HAS(struct ingress_backend, is_set),
    .check = check_backend,
};

// --- paths -------------------------------------------------------------------------------------

static bool contains(struct str text, struct str part)
{
    return text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static void check_path(struct reader *reader, const struct node *node, void *value)
{
    const struct ingress_path *rule = value;
    struct str path = text_str(rule->path);
    uint32_t line = rule->path.ptr ? rule->path.line : node->line;
    uint32_t col = rule->path.ptr ? rule->path.col : node->col;
    bool may_be_empty = rule->path_type == PATH_TYPE_IMPLEMENTATION_SPECIFIC;
    if (!field_node(node, "pathType")) // without a type there is nothing to judge by
        return;
    if (!str_has_prefix(path, STR("/")) && !(path.len == 0 && may_be_empty))
        report_at(reader, "path", DIAG_FIELD_VALUE, line, col, NULL,
                  "\"%.*s\": must be an absolute path", STR_ARG(str_upto(path, 300)));
    if (may_be_empty)
        return;
    static const char *const sequences[] = {"//", "/./", "/../", "%2f", "%2F"};
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        if (contains(path, str_of(sequences[i])))
            report_at(reader, "path", DIAG_FIELD_VALUE, line, col, NULL,
                      "\"%.*s\": must not contain '%s'", STR_ARG(str_upto(path, 300)),
                      sequences[i]);
    }
    static const char *const endings[] = {"/..", "/."};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (str_has_suffix(path, str_of(endings[i])))
            report_at(reader, "path", DIAG_FIELD_VALUE, line, col, NULL,
                      "\"%.*s\": cannot end with '%s'", STR_ARG(str_upto(path, 300)), endings[i]);
    }
}

static const struct word path_type_words[] = {
    {"Exact", PATH_TYPE_EXACT},
    {"Prefix", PATH_TYPE_PREFIX},
    {"ImplementationSpecific", PATH_TYPE_IMPLEMENTATION_SPECIFIC},
    {NULL, 0},
};
static const struct field path_fields[] = {
    {.key = "path",
     .type = FIELD_TEXT,
     AT(struct ingress_path, path),
     .doc = "Path of the request, without its query."},
    {.key = "pathType",
     .type = FIELD_WORD,
     .flags = FIELD_REQUIRED,
     AT(struct ingress_path, path_type),
     .words = path_type_words,
     .fallback = PATH_TYPE_PREFIX, // what a path of unknown type takes at most
     .required = "pathType must be specified",
     .doc = "Exact: equal. Prefix: by elements between slashes. ImplementationSpecific: as "
            "Prefix, or a regular expression with the annotation `use-regex`."},
    {.key = "backend",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     AT(struct ingress_path, backend),
     .table = &backend_table,
     .doc = "Where requests go."},
};
static const struct table path_table = {
    .name = "HTTPIngressPath",
    TABLE_FIELDS(path_fields),
    .bytes = sizeof(struct ingress_path),
    .has_place = HAS(struct ingress_path, line),
    .has_is_invalid = HAS(struct ingress_path, is_invalid),
    .check = check_path,
};

static const struct field http_fields[] = {
    {.key = "paths",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     LIST_AT(struct ingress_rule, paths, n_paths),
     .table = &path_table,
     .required = "paths: required value",
     .doc = "Paths; the longest that matches counts, Exact before Prefix, whatever their order."},
};
static const struct table http_table = {
    .name = "HTTPIngressRuleValue",
    TABLE_FIELDS(http_fields),
    .has_is_set = HAS(struct ingress_rule, has_http),
};

static const struct field rule_fields[] = {
    {.key = "host",
     .type = FIELD_TEXT,
     AT(struct ingress_rule, host),
     .check = check_host,
     .doc = "Host without port, exact or `*.` and a domain (one label only); without one, every "
            "host."},
    {.key = "http",
     .type = FIELD_STRUCT,
     .table = &http_table,
     .doc = "Paths; without it the whole host goes to the default backend."},
};
static const struct table rule_table = {
    .name = "IngressRule",
    TABLE_FIELDS(rule_fields),
    .bytes = sizeof(struct ingress_rule),
    .has_place = HAS(struct ingress_rule, line),
    .has_is_invalid = HAS(struct ingress_rule, is_invalid),
};

static const struct field tls_fields[] = {
    {.key = "hosts",
     .type = FIELD_TEXTS,
     AT(struct ingress_tls, hosts),
     .check = check_host,
     .doc = "Hosts of the certificate; without any, all of the Ingress."},
    {.key = "secretName",
     .type = FIELD_TEXT,
     AT(struct ingress_tls, secret_name),
     .check = check_dns_subdomain,
     .doc = "Secret with the certificate."},
};
static const struct table tls_table = {
    .name = "IngressTLS",
    TABLE_FIELDS(tls_fields),
    .bytes = sizeof(struct ingress_tls),
    .has_place = HAS(struct ingress_tls, line),
};

// --- the Ingress -------------------------------------------------------------------------------

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    const struct ingress *ingress = value;
    if (ingress->n_rules > 0 || ingress->default_backend.is_set)
        return;
    if (field_node(node, "defaultBackend")) // left out for a mistake: nothing remains
        reader->has_failed = true;
    else
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "either `defaultBackend` or `rules` must be specified");
}

static const struct field spec_fields[] = {
    {.key = "ingressClassName",
     .type = FIELD_TEXT,
     AT(struct ingress, class_name),
     .check = check_dns_subdomain,
     .doc = "IngressClass that says whose the Ingress is."},
    {.key = "defaultBackend",
     .type = FIELD_STRUCT,
     .flags = FIELD_DROP_INVALID,
     AT(struct ingress, default_backend),
     .table = &backend_table,
     .doc = "Where requests go that no rule takes."},
    {.key = "rules",
     .type = FIELD_LIST,
     LIST_AT(struct ingress, rules, n_rules),
     .table = &rule_table,
     .doc = "Rules, one a host."},
    {.key = "tls",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct ingress, tls, n_tls),
     .table = &tls_table,
     .doc = "Certificates of hosts. TLS is not served yet, which is reported; the redirect to "
            "https is."},
};
static const struct table spec_table = {
    .name = "IngressSpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .required = "either `defaultBackend` or `rules` must be specified",
     .doc = "Hosts, paths and where they lead."},
    IRRELEVANT("status", "Addresses, written by the controller."),
};
const struct table ingress_table = {
    .name = "Ingress", TABLE_FIELDS(fields), .bytes = sizeof(struct ingress)};
