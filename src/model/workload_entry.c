// SPDX-License-Identifier: Apache-2.0
// WorkloadEntry, and the endpoints of a ServiceEntry, which have the same fields.
#include "model/names.h"
#include "model/workload.h"

// --- fields ------------------------------------------------------------------------------------

// A name has letters: what looks like an IP address and is none is a slip.
const char *workload_address_mistake(struct str address)
{
    if (is_ipv4_or_ipv6(address))
        return NULL;
    if (str_index(address, '*') >= 0 || istio_host_mistake(address))
        return "is not a valid FQDN or an IP address";
    for (size_t i = 0; i < address.len; i++) {
        char c = ascii_lower(address.ptr[i]);
        if (c >= 'a' && c <= 'z')
            return NULL;
    }
    return "is not a valid FQDN or an IP address";
}

static void check_address(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str address = text_str(*text);
    if (str_has_prefix(address, STR("unix://")))
        report(reader, DIAG_ENDPOINT_UNIX, text->line, text->col, NULL,
               "\"%.*s\" is a Unix domain socket; connections go to IP addresses only",
               STR_ARG(str_upto(address, 300)));
    else if (workload_address_mistake(address))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "endpoint address \"%.*s\" %s",
                    STR_ARG(str_upto(address, 300)), workload_address_mistake(address));
}

static void read_ports(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    static const struct field number = {.min = 1, .max = 65535};
    struct workload *workload = value;
    if (!expect_type(reader, node, NODE_MAP, "a map of port numbers"))
        return;
    workload->ports = reader_alloc(reader, node->map.n_pairs * sizeof(*workload->ports));
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < node->map.n_pairs; i++) {
        const struct pair *pair = &node->map.pairs[i];
        struct workload_port *port = &workload->ports[workload->n_ports];
        step.key = pair->key;
        set_text(reader, pair->key, pair->line, pair->col, &port->name);
        if (dns_label_mistake(pair->key))
            report(reader, DIAG_FIELD_VALUE, pair->line, pair->col, NULL, "invalid port name: %.*s",
                   STR_ARG(str_upto(pair->key, 300)));
        else
            workload->n_ports += read_number(reader, &number, pair->value, &port->number);
    }
    reader->step = step.parent;
}

static void check_weight(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *weight = value;
    if (weight->value < 0 || weight->value > UINT32_MAX)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, weight,
                    "weight must be non-negative and fit into 32 bits");
}

static const struct field workload_fields[] = {
    {.key = "address",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct workload, address),
     .check = check_address,
     .required = "address must be set",
     .doc = "IP address; with resolution DNS also a name. Unix domain sockets (`unix://`) are "
            "refused."},
    {.key = "ports",
     .type = FIELD_CUSTOM,
     .read = read_ports,
     .doc = "Map from the name of a port to its number here; without it the port's targetPort."},
    {.key = "labels",
     .type = FIELD_TEXT_MAP,
     AT(struct workload, labels),
     .check = check_labels,
     .doc = "Labels, by which subsets and a workloadSelector choose."},
    {.key = "weight",
     .type = FIELD_NUMBER,
     AT(struct workload, weight),
     .check = check_weight,
     .doc = "Share of the requests in proportion to the other endpoints'; 0 and absent mean 1."},
    NOT_SERVED("network", NULL, "Network that the endpoint is in, behind a gateway of its own."),
    NOT_SERVED("locality", NULL, "Region, zone and sub-zone, for a preference of near ones."),
    NOT_SERVED("serviceAccount", NULL, "Identity of the endpoint in a mesh."),
};
const struct table workload_table = {
    .name = "WorkloadEntry",
    TABLE_FIELDS(workload_fields),
    .bytes = sizeof(struct workload),
    .has_place = HAS(struct workload, line),
};

// --- the WorkloadEntry -------------------------------------------------------------------------

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &workload_table,
     .required = "address must be set",
     .doc = "A machine or process outside the cluster that a ServiceEntry's workloadSelector may "
            "choose. Labels of its metadata go before those of its spec."},
    IRRELEVANT("status", "Conditions, written by Istio."),
};
const struct table workload_entry_table = {
    .name = "WorkloadEntry", TABLE_FIELDS(fields), .bytes = sizeof(struct workload)};
