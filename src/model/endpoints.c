// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/rows.h"

static const struct field target_fields[] = {
    {.key = "kind",
     .type = FIELD_TEXT,
     AT(struct endpoint_address, target_kind),
     .doc = "Kind of the object behind the address, `Pod`."},
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct endpoint_address, target_name),
     .doc = "Its name; a subset selects endpoints by this Pod's labels."},
    {.key = "namespace",
     .type = FIELD_TEXT,
     AT(struct endpoint_address, target_ns),
     .doc = "Its namespace."},
    IRRELEVANT("apiVersion", "Its API version."),
    IRRELEVANT("fieldPath", "Part of it that is meant."),
    IRRELEVANT("resourceVersion", "Its version in the store."),
    IRRELEVANT("uid", "Its identity over all times."),
};
static const struct table target_table = {.name = "ObjectReference", TABLE_FIELDS(target_fields)};

static const struct field address_fields[] = {
    {.key = "ip",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     AT(struct endpoint_address, ip),
     .check = check_ip,
     .doc = "IPv4 or IPv6 address."},
    {.key = "hostname",
     .type = FIELD_TEXT,
     AT(struct endpoint_address, hostname),
     .check = check_dns_label,
     .doc = "Name of the endpoint within the Service."},
    {.key = "nodeName",
     .type = FIELD_TEXT,
     AT(struct endpoint_address, node_name),
     .doc = "Node that it runs on."},
    {.key = "targetRef",
     .type = FIELD_STRUCT,
     .table = &target_table,
     .doc = "The object behind the address."},
};
static const struct table address_table = {
    .name = "EndpointAddress",
    TABLE_FIELDS(address_fields),
    .bytes = sizeof(struct endpoint_address),
};

static const struct field port_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct endpoint_port, name),
     .doc = "Name of the Service's port that this one serves."},
    {.key = "port",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct endpoint_port, port),
     .min = 1,
     .max = 65535,
     .doc = "Port of the endpoints."},
    {.key = "protocol",
     .type = FIELD_WORD,
     AT(struct endpoint_port, transport),
     .words = transport_words,
     .doc = "Transport protocol."},
    {.key = "appProtocol",
     .type = FIELD_TEXT,
     AT(struct endpoint_port, app_protocol),
     .doc = "Application protocol."},
};
static const struct table port_table = {
    .name = "EndpointPort", TABLE_FIELDS(port_fields), .bytes = sizeof(struct endpoint_port)};

static const struct field subset_fields[] = {
    {.key = "addresses",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct endpoint_subset, addresses, n_addresses),
     .table = &address_table,
     .doc = "Addresses that are ready."},
    {.key = "notReadyAddresses",
     .type = FIELD_LIST,
     .flags = FIELD_DROP_INVALID,
     LIST_AT(struct endpoint_subset, not_ready_addresses, n_not_ready_addresses),
     .table = &address_table,
     .doc = "Addresses that are not ready."},
    {.key = "ports",
     .type = FIELD_LIST,
     LIST_AT(struct endpoint_subset, ports, n_ports),
     .table = &port_table,
     .doc = "Ports of all these addresses."},
};
static const struct table subset_table = {
    .name = "EndpointSubset",
    TABLE_FIELDS(subset_fields),
    .bytes = sizeof(struct endpoint_subset),
};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "subsets",
     .type = FIELD_LIST,
     LIST_AT(struct endpoints, subsets, n_subsets),
     .table = &subset_table,
     .doc = "Endpoints of the Service of the same name. EndpointSlices of that Service count "
            "instead when there are any."},
};
const struct table endpoints_table = {
    .name = "Endpoints", TABLE_FIELDS(fields), .bytes = sizeof(struct endpoints)};
