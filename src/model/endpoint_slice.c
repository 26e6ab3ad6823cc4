// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/names.h"
#include "model/rows.h"

static const struct word address_type_words[] = {
    {"IPv4", ADDRESS_IPV4}, {"IPv6", ADDRESS_IPV6}, {"FQDN", ADDRESS_FQDN}, {NULL, 0}};

static const struct field condition_fields[] = {
    {.key = "ready",
     .type = FIELD_FLAG,
     AT(struct slice_endpoint, ready),
     .fallback = true,
     .doc = "Takes traffic."},
    {.key = "serving",
     .type = FIELD_FLAG,
     AT(struct slice_endpoint, serving),
     .fallback = true,
     .doc = "Answers, be it terminating or not."},
    {.key = "terminating",
     .type = FIELD_FLAG,
     AT(struct slice_endpoint, terminating),
     .doc = "Is shutting down: used only while no endpoint is ready, and if it is serving."},
};
static const struct table condition_table = {.name = "EndpointConditions",
                                             TABLE_FIELDS(condition_fields)};

static const struct field target_fields[] = {
    {.key = "kind",
     .type = FIELD_TEXT,
     AT(struct slice_endpoint, target_kind),
     .doc = "Kind of the object behind the endpoint, `Pod`."},
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct slice_endpoint, target_name),
     .doc = "Its name; a subset selects endpoints by this Pod's labels."},
    {.key = "namespace",
     .type = FIELD_TEXT,
     AT(struct slice_endpoint, target_ns),
     .doc = "Its namespace."},
    IRRELEVANT("apiVersion", "Its API version."),
    IRRELEVANT("fieldPath", "Part of it that is meant."),
    IRRELEVANT("resourceVersion", "Its version in the store."),
    IRRELEVANT("uid", "Its identity over all times."),
};
static const struct table target_table = {.name = "ObjectReference", TABLE_FIELDS(target_fields)};

static const struct field endpoint_fields[] = {
    {.key = "addresses",
     .type = FIELD_TEXTS,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct slice_endpoint, addresses),
     .doc = "Addresses, of which the first is used."},
    {.key = "conditions",
     .type = FIELD_STRUCT,
     .table = &condition_table,
     .doc = "State of the endpoint."},
    {.key = "hostname",
     .type = FIELD_TEXT,
     AT(struct slice_endpoint, hostname),
     .check = check_dns_label,
     .doc = "Name of the endpoint within the Service."},
    {.key = "nodeName",
     .type = FIELD_TEXT,
     AT(struct slice_endpoint, node_name),
     .doc = "Node that it runs on."},
    {.key = "zone", .type = FIELD_TEXT, AT(struct slice_endpoint, zone), .doc = "Its zone."},
    {.key = "targetRef",
     .type = FIELD_STRUCT,
     .table = &target_table,
     .doc = "The object behind the endpoint."},
    NOT_SERVED("hints", NULL, "Zones and nodes whose clients should use this endpoint."),
    IRRELEVANT("deprecatedTopology", "Topology labels of v1beta1, kept by conversion."),
};
static const struct table endpoint_table = {
    .name = "Endpoint",
    TABLE_FIELDS(endpoint_fields),
    .bytes = sizeof(struct slice_endpoint),
    .has_place = HAS(struct slice_endpoint, line),
};

static const struct field port_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct endpoint_port, name),
     .doc = "Name of the Service's port that this one serves; empty for a nameless one."},
    {.key = "protocol",
     .type = FIELD_WORD,
     AT(struct endpoint_port, transport),
     .words = transport_words,
     .doc = "Transport protocol."},
    {.key = "port",
     .type = FIELD_NUMBER,
     AT(struct endpoint_port, port),
     .min = 1,
     .max = 65535,
     .doc = "Port of the endpoints; without one, every port."},
    {.key = "appProtocol",
     .type = FIELD_TEXT,
     AT(struct endpoint_port, app_protocol),
     .doc = "Application protocol."},
};
static const struct table port_table = {
    .name = "EndpointPort", TABLE_FIELDS(port_fields), .bytes = sizeof(struct endpoint_port)};

// Where the document has the endpoint: those with mistakes are left out of the slice already.
static uint32_t index_in(const struct node *list, const struct slice_endpoint *endpoint)
{
    uint32_t i = 0;
    while (list->list.items[i]->line != endpoint->line || list->list.items[i]->col != endpoint->col)
        i++;
    return i;
}

// The addresses must be of the slice's family. One bad address harms its endpoint alone: the rest
// of the slice is what keeps the Service up.
static void check_slice(struct reader *reader, const struct node *node, void *value)
{
    struct endpoint_slice *slice = value;
    uint32_t n = 0;
    struct step list = {.parent = reader->step, .key = STR("endpoints")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    bool outer_failed = reader->has_failed;
    reader->step = &item;
    for (uint32_t i = 0; i < slice->n_endpoints && !outer_failed; i++) {
        const struct text *address = &slice->endpoints[i].addresses.items[0];
        struct str text = text_str(*address);
        bool is_v6 = str_index(text, ':') >= 0;
        bool is_right =
            slice->address_type == ADDRESS_FQDN
                ? !dns_subdomain_mistake(text)
                : is_ipv4_or_ipv6(text) && is_v6 == (slice->address_type == ADDRESS_IPV6);
        if (is_right) {
            slice->endpoints[n++] = slice->endpoints[i];
            continue;
        }
        item.index = index_in(field_node(node, "endpoints"), &slice->endpoints[i]);
        report_at(reader, "addresses[0]", DIAG_FIELD_VALUE, address->line, address->col, NULL,
                  "\"%s\": must be a valid %s address", address->ptr,
                  address_type_words[slice->address_type].word);
    }
    reader->step = list.parent;
    if (outer_failed)
        return;
    reader->has_invalid_parts |= reader->has_failed;
    reader->has_failed = false;
    slice->n_endpoints = n;
}

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "addressType",
     .type = FIELD_WORD,
     .flags = FIELD_REQUIRED,
     AT(struct endpoint_slice, address_type),
     .words = address_type_words,
     .doc = "Family of the addresses."},
    {.key = "endpoints",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct endpoint_slice, endpoints, n_endpoints),
     .table = &endpoint_table,
     .doc = "Endpoints of the Service that the label `kubernetes.io/service-name` names."},
    {.key = "ports",
     .type = FIELD_LIST,
     LIST_AT(struct endpoint_slice, ports, n_ports),
     .table = &port_table,
     .doc = "Ports of all these endpoints."},
};
const struct table endpoint_slice_table = {
    .name = "EndpointSlice",
    TABLE_FIELDS(fields),
    .bytes = sizeof(struct endpoint_slice),
    .check = check_slice,
};
