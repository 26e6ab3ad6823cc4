// SPDX-License-Identifier: Apache-2.0
// ServiceEntry. A mistake in one of its hosts, addresses, ports or endpoints leaves that one out;
// what makes the whole ambiguous (endpoints beside a selector, no port at all) breaks it.
#include "base/address.h"
#include "model/names.h"
#include "model/workload.h"
#include <stdio.h>

enum { HOSTS_MAX = 256 };

// --- hosts, addresses --------------------------------------------------------------------------

// Reads a list of texts of which those with a mistake are left out; true: some are left, or none
// were given.
static bool read_fit_texts(struct reader *reader, const struct field *field,
                           const struct node *node, struct texts *ret)
{
    if (!expect_type(reader, node, NODE_LIST, "a list of strings"))
        return false;
    ret->items = reader_alloc(reader, node->list.n_items * sizeof(*ret->items));
    struct step step = {.parent = reader->step, .kind = STEP_INDEX};
    bool outer_failed = reader->has_failed;
    reader->step = &step;
    for (uint32_t i = 0; i < node->list.n_items; i++) {
        struct text *text = &ret->items[ret->n];
        step.index = i;
        reader->has_failed = false;
        if (read_text(reader, field, node->list.items[i], text) && field->check)
            field->check(reader, field, text);
        reader->has_invalid_parts |= reader->has_failed;
        ret->n += !reader->has_failed;
    }
    reader->step = step.parent;
    reader->has_failed = outer_failed;
    return ret->n > 0 || node->list.n_items == 0;
}

static void check_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str host = text_str(*text);
    if (str_is(host, "*"))
        report(reader, DIAG_FIELD_VALUE, text->line, text->col,
               "a wildcard names a domain, as *.example.com does", "invalid host *");
    else if (istio_host_mistake(host))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "invalid host %.*s: %s",
                    STR_ARG(str_upto(host, 300)), istio_host_mistake(host));
}

static void read_hosts(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    static const struct field host = {.check = check_host};
    if (node->type == NODE_LIST && node->list.n_items > HOSTS_MAX)
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL,
               "a service entry has %d hosts at most", HOSTS_MAX);
    else if (!read_fit_texts(reader, &host, node, value))
        reader->has_failed = true;
}

static void check_address(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct address base;
    unsigned bits = 0;
    if (!address_parse_subnet(text_str(*text), &base, &bits))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text,
                    "\"%.*s\" is no IP address and no subnet such as 10.1.0.0/16",
                    STR_ARG(str_upto(text_str(*text), 300)));
}

static void read_addresses(struct reader *reader, const struct field *field,
                           const struct node *node, void *value)
{
    static const struct field address = {.check = check_address};
    read_fit_texts(reader, &address, node, value);
}

// --- ports -------------------------------------------------------------------------------------

static void check_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (dns_label_mistake(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "invalid port name: %.*s",
                    STR_ARG(str_upto(text_str(*text), 300)));
}

static void read_protocol(struct reader *reader, const struct field *field, const struct node *node,
                          void *value)
{
    struct service_entry_port *port = value;
    struct str nearest;
    if (node->type == NODE_SCALAR && node->scalar.len == 0) // as if it were not there
        return;
    if (!read_text(reader, NULL, node, &port->protocol_text) ||
        find_port_protocol(node->scalar, &port->protocol, &nearest))
        return;
    char hint[64];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    report(reader, DIAG_FIELD_VALUE, node->line, node->col, nearest.len ? hint : NULL,
           "unsupported protocol: %.*s", STR_ARG(str_upto(node->scalar, 80)));
}

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct service_entry_port, port),
     .min = 1,
     .max = 65535,
     .doc = "Port that clients dial."},
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct service_entry_port, name),
     .check = check_name,
     .required = "invalid port name: it is missing",
     .doc = "Name, unique among the ports."},
    {.key = "protocol",
     .type = FIELD_CUSTOM,
     .words = port_protocol_words,
     .read = read_protocol,
     .doc = "Protocol, in any case. HTTPS and TLS: clients bring TLS themselves. Without one a "
            "sidecar looks at what clients send."},
    {.key = "targetPort",
     .type = FIELD_NUMBER,
     AT(struct service_entry_port, target_port),
     .max = 65535,
     .doc = "Port of the endpoints; without one the same, with resolution NONE the one dialled."},
};
static const struct table port_table = {
    .name = "ServicePort",
    TABLE_FIELDS(port_fields),
    .bytes = sizeof(struct service_entry_port),
    .has_place = HAS(struct service_entry_port, line),
};

// --- workloadSelector --------------------------------------------------------------------------

static void check_selector(struct reader *reader, const struct field *field, const void *value)
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
     AT(struct service_entry, selector),
     .check = check_selector,
     .doc = "Labels that a WorkloadEntry or Pod must have; without any, all of the namespace."},
};
static const struct table selector_table = {
    .name = "WorkloadSelector",
    TABLE_FIELDS(selector_fields),
    .has_is_set = HAS(struct service_entry, has_selector),
};

// --- the whole ---------------------------------------------------------------------------------

static bool is_dns(const struct service_entry *entry)
{
    return entry->resolution == RESOLUTION_DNS || entry->resolution == RESOLUTION_DNS_ROUND_ROBIN;
}

// Walks over a list of the spec: what is reported meanwhile is said of the item at that place, by
// its index in the document. What is left out of a list harms nothing else.
struct walk {
    const struct node *node;
    struct step list, item;
};
static void begin_walk(struct reader *reader, const struct node *spec, const char *list,
                       struct walk *walk)
{
    walk->node = field_node(spec, list);
    walk->list = (struct step){.parent = reader->step, .key = str_of(list)};
    walk->item = (struct step){.parent = &walk->list, .kind = STEP_INDEX};
    reader->step = &walk->item;
}
static void walk_to(struct walk *walk, uint32_t line, uint32_t col)
{
    const struct node *node = walk->node;
    uint32_t *index = &walk->item.index;
    while (*index + 1 < node->list.n_items &&
           (node->list.items[*index]->line != line || node->list.items[*index]->col != col))
        ++*index;
}
static void end_walk(struct reader *reader, const struct walk *walk, uint32_t n_before, uint32_t n)
{
    reader->step = walk->list.parent;
    reader->has_invalid_parts |= n < n_before;
}

static void check_ports(struct reader *reader, const struct node *spec, struct service_entry *entry)
{
    bool tells_hosts_apart = entry->hosts.n <= 1 || entry->resolution == RESOLUTION_NONE;
    struct walk walk;
    uint32_t n = 0, n_before = entry->n_ports;
    begin_walk(reader, spec, "ports", &walk);
    for (uint32_t i = 0; i < n_before; i++) {
        const struct service_entry_port *port = &entry->ports[i];
        bool has_name = false, has_number = false;
        walk_to(&walk, port->line, port->col);
        for (uint32_t other = 0; other < n; other++) {
            has_name |= str_equal(text_str(port->name), text_str(entry->ports[other].name));
            has_number |= port->port.value == entry->ports[other].port.value;
        }
        bool is_tcp = port->protocol_text.ptr == NULL || port->protocol == GATEWAY_TCP ||
                      port->protocol == GATEWAY_MONGO;
        if (has_name)
            report_at(reader, "name", DIAG_DUPLICATE_NAME, port->name.line, port->name.col, NULL,
                      "service entry port name \"%s\" already defined", port->name.ptr);
        else if (has_number)
            report_at(reader, "number", DIAG_DUPLICATE_NAME, port->port.line, port->port.col, NULL,
                      "service entry port %d already defined", (int)port->port.value);
        else if (is_tcp && !tells_hosts_apart)
            report(reader, DIAG_FIELD_CONFLICT, port->line, port->col,
                   "give each host a ServiceEntry of its own",
                   "multiple hosts provided with non-HTTP, non-TLS ports: port %d does not tell "
                   "them apart",
                   (int)port->port.value);
        else
            entry->ports[n++] = *port;
    }
    end_walk(reader, &walk, n_before, n);
    entry->n_ports = n;
}

// CIDRs stand for many hosts: a name has no place among them.
static void check_addresses(struct reader *reader, const struct node *spec,
                            struct service_entry *entry)
{
    if (entry->resolution == RESOLUTION_NONE || entry->resolution == RESOLUTION_STATIC)
        return;
    struct walk walk;
    uint32_t n = 0, n_before = entry->addresses.n;
    begin_walk(reader, spec, "addresses", &walk);
    for (uint32_t i = 0; i < n_before; i++) {
        const struct text *address = &entry->addresses.items[i];
        walk_to(&walk, address->line, address->col);
        if (str_index(text_str(*address), '/') < 0)
            entry->addresses.items[n++] = *address;
        else
            report(reader, DIAG_FIELD_CONFLICT, address->line, address->col, NULL,
                   "CIDR addresses are allowed only for NONE/STATIC resolution types");
    }
    end_walk(reader, &walk, n_before, n);
    entry->addresses.n = n;
}

static void check_hosts(struct reader *reader, const struct node *spec, struct service_entry *entry)
{
    bool takes_names = is_dns(entry) && !entry->has_endpoints && !entry->has_selector;
    struct walk walk;
    uint32_t n = 0, n_before = entry->hosts.n;
    begin_walk(reader, spec, "hosts", &walk);
    for (uint32_t i = 0; i < n_before; i++) {
        const struct text *host = &entry->hosts.items[i];
        walk_to(&walk, host->line, host->col);
        bool is_wildcard = str_index(text_str(*host), '*') >= 0;
        if (takes_names && is_wildcard) {
            report(reader, DIAG_FIELD_CONFLICT, host->line, host->col,
                   "resolution DYNAMIC_DNS looks up the name that is asked for",
                   "hosts must be FQDN if no endpoints are provided for resolution mode %s",
                   entry->resolution == RESOLUTION_DNS ? "DNS" : "DNS_ROUND_ROBIN");
            continue;
        }
        if (entry->resolution == RESOLUTION_DYNAMIC_DNS && !is_wildcard)
            report(reader, DIAG_FIELD_NO_EFFECT, host->line, host->col, NULL,
                   "DYNAMIC_DNS is for wildcard hosts; \"%s\" is looked up as resolution DNS "
                   "does",
                   host->ptr);
        entry->hosts.items[n++] = *host;
    }
    end_walk(reader, &walk, n_before, n);
    entry->hosts.n = n;
}

static bool is_port_written(const struct node *spec, struct str name)
{
    const struct node *ports = field_node(spec, "ports");
    for (uint32_t i = 0; ports && ports->type == NODE_LIST && i < ports->list.n_items; i++) {
        const struct node *item = ports->list.items[i];
        const struct node *written = item->type == NODE_MAP ? field_node(item, "name") : NULL;
        if (written && written->type == NODE_SCALAR && str_equal(written->scalar, name))
            return true;
    }
    return false;
}

static bool are_ports_defined(struct reader *reader, const struct node *spec,
                              const struct service_entry *entry, const struct workload *endpoint)
{
    bool are_defined = true;
    for (uint32_t i = 0; i < endpoint->n_ports; i++) {
        const struct workload_port *port = &endpoint->ports[i];
        if (is_port_written(spec, text_str(port->name))) // it may be broken, which is reported
            continue;
        struct str *names = arena_alloc(reader->scratch, (entry->n_ports + 1) * sizeof(*names));
        for (uint32_t k = 0; k < entry->n_ports; k++)
            names[k] = text_str(entry->ports[k].name);
        struct str nearest = diag_nearest(text_str(port->name), names, entry->n_ports);
        char hint[96];
        snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
        report_at(reader, "ports", DIAG_FIELD_VALUE, port->name.line, port->name.col,
                  nearest.len ? hint : NULL,
                  "endpoint port %d is not defined by the service entry: it has no port named "
                  "\"%s\"",
                  (int)port->number.value, port->name.ptr);
        are_defined = false;
    }
    return are_defined;
}

static bool is_endpoint_right(struct reader *reader, const struct node *spec,
                              const struct service_entry *entry, const struct workload *endpoint)
{
    const struct text *address = &endpoint->address;
    if (entry->resolution == RESOLUTION_STATIC && !is_ipv4_or_ipv6(text_str(*address))) {
        report_at(reader, "address", DIAG_FIELD_VALUE, address->line, address->col,
                  "resolution DNS takes names, too",
                  "\"%s\" is not a valid IP address, which resolution STATIC asks for",
                  address->ptr);
        return false;
    }
    return are_ports_defined(reader, spec, entry, endpoint);
}

static void check_endpoints(struct reader *reader, const struct node *spec,
                            struct service_entry *entry)
{
    struct walk walk;
    uint32_t n = 0, n_before = entry->n_endpoints;
    begin_walk(reader, spec, "endpoints", &walk);
    for (uint32_t i = 0; i < n_before; i++) {
        const struct workload *endpoint = &entry->endpoints[i];
        walk_to(&walk, endpoint->line, endpoint->col);
        if (!is_endpoint_right(reader, spec, entry, endpoint))
            continue;
        if (entry->resolution == RESOLUTION_DNS_ROUND_ROBIN && n > 0) {
            report(reader, DIAG_FIELD_CONFLICT, endpoint->line, endpoint->col,
                   "resolution DNS takes several",
                   "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN");
            continue;
        }
        entry->endpoints[n++] = *endpoint;
    }
    end_walk(reader, &walk, n_before, n);
    entry->n_endpoints = n;
}

static void check_source(struct reader *reader, const struct node *node,
                         const struct service_entry *entry)
{
    const struct node *endpoints = field_node(node, "endpoints");
    const struct node *selector = field_node(node, "workloadSelector");
    bool has_list = endpoints && endpoints->type == NODE_LIST && endpoints->list.n_items > 0;
    if (endpoints && selector)
        report_at(reader, "workloadSelector", DIAG_FIELD_CONFLICT, selector->line, selector->col,
                  NULL, "only one of WorkloadSelector or Endpoints is allowed in Service Entry");
    else if (has_list && entry->resolution == RESOLUTION_NONE)
        report_at(reader, "endpoints", DIAG_FIELD_CONFLICT, endpoints->line, endpoints->col,
                  field_node(node, "resolution")
                      ? NULL
                      : "resolution is NONE unless it says STATIC or DNS",
                  "no endpoints should be provided for resolution type none");
    else if (has_list && entry->resolution == RESOLUTION_DYNAMIC_DNS)
        report_at(reader, "endpoints", DIAG_FIELD_CONFLICT, endpoints->line, endpoints->col, NULL,
                  "no endpoints should be provided for resolution type dynamic DNS");
    else if (!has_list && !selector && entry->resolution == RESOLUTION_STATIC)
        report_at(reader, "endpoints", DIAG_FIELD_NO_EFFECT, node->line, node->col,
                  "give endpoints or a workloadSelector",
                  "resolution STATIC has no address to go to: requests are answered 503");
    else if (selector &&
             (entry->resolution == RESOLUTION_NONE || entry->resolution == RESOLUTION_DYNAMIC_DNS))
        report_at(reader, "workloadSelector", DIAG_FIELD_NO_EFFECT, selector->line, selector->col,
                  "resolution STATIC or DNS uses it",
                  "resolution %s takes no endpoints, so the selector has no effect",
                  entry->resolution == RESOLUTION_NONE ? "NONE" : "DYNAMIC_DNS");
}

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    struct service_entry *entry = value;
    const struct node *endpoints = field_node(node, "endpoints");
    entry->has_endpoints =
        endpoints && (endpoints->type != NODE_LIST || endpoints->list.n_items > 0);
    check_export_list(reader, &entry->export_to);
    if (reader->has_failed) // a broken resolution, say, would be taken for NONE
        return;
    check_source(reader, node, entry);
    if (reader->has_failed)
        return;
    check_hosts(reader, node, entry);
    check_addresses(reader, node, entry);
    check_endpoints(reader, node, entry);
    check_ports(reader, node, entry);
    reader->has_failed = entry->hosts.n == 0 || entry->n_ports == 0; // nothing is left of it
}

static const struct word location_words[] = {
    {"MESH_EXTERNAL", ENTRY_EXTERNAL}, {"MESH_INTERNAL", ENTRY_INTERNAL}, {NULL, 0}};
static const struct word resolution_words[] = {
    {"NONE", RESOLUTION_NONE},
    {"STATIC", RESOLUTION_STATIC},
    {"DNS", RESOLUTION_DNS},
    {"DNS_ROUND_ROBIN", RESOLUTION_DNS_ROUND_ROBIN},
    {"DYNAMIC_DNS", RESOLUTION_DYNAMIC_DNS},
    {NULL, 0},
};

static const struct field spec_fields[] = {
    {.key = "hosts",
     .type = FIELD_CUSTOM,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct service_entry, hosts),
     .read = read_hosts,
     .required = "service entry must have at least one host",
     .doc = "List of 1 to 256 names, or `*.` and a domain: what clients ask for (Host, SNI) and "
            "VirtualServices and DestinationRules name."},
    {.key = "addresses",
     .type = FIELD_CUSTOM,
     AT(struct service_entry, addresses),
     .read = read_addresses,
     .doc = "List of IP addresses or CIDRs that clients dial to reach the hosts."},
    {.key = "ports",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_DROP_INVALID,
     LIST_AT(struct service_entry, ports, n_ports),
     .table = &port_table,
     .required = "service entry must have at least one port",
     .doc = "Ports of the hosts."},
    {.key = "location",
     .type = FIELD_WORD,
     AT(struct service_entry, location),
     .words = location_words,
     .doc = "MESH_EXTERNAL (the default): outside; its connections are kept warm."},
    {.key = "resolution",
     .type = FIELD_WORD,
     AT(struct service_entry, resolution),
     .words = resolution_words,
     .doc = "How addresses are found. NONE (the default): the one that the client has dialled, "
            "which only a sidecar knows. STATIC: those of the endpoints. DNS: all that the host's "
            "or the endpoints' names have. DNS_ROUND_ROBIN: one of them at a time. DYNAMIC_DNS: "
            "for wildcard hosts, those of the name that is asked for."},
    {.key = "endpoints",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct service_entry, endpoints, n_endpoints),
     .table = &workload_table,
     .doc = "Addresses, or with resolution DNS names, that are behind the hosts."},
    {.key = "workloadSelector",
     .type = FIELD_STRUCT,
     .table = &selector_table,
     .doc = "WorkloadEntries and Pods of the same namespace that are behind the hosts."},
    {.key = "exportTo",
     .type = FIELD_TEXTS,
     AT(struct service_entry, export_to),
     .check = check_export_to,
     .doc = "Namespaces that know the hosts: `*` (the default), `.` its own, `~` none, or names."},
    {.key = "subjectAltNames",
     .type = FIELD_TEXTS,
     AT(struct service_entry, subject_alt_names),
     .doc = "Names, one of which an endpoint's certificate must carry when a DestinationRule "
            "originates TLS and gives none itself."},
};
static const struct table spec_table = {
    .name = "ServiceEntrySpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .required = "service entry must have at least one host",
     .doc = "Hosts outside the cluster, or in it by another name."},
    IRRELEVANT("status", "Conditions and addresses, written by Istio."),
};
const struct table service_entry_table = {
    .name = "ServiceEntry", TABLE_FIELDS(fields), .bytes = sizeof(struct service_entry)};
