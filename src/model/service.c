// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/names.h"
#include "model/rows.h"

const struct word transport_words[] = {
    {"TCP", TRANSPORT_TCP}, {"UDP", TRANSPORT_UDP}, {"SCTP", TRANSPORT_SCTP}, {NULL, 0}};
static const struct word type_words[] = {
    {"ClusterIP", SERVICE_CLUSTER_IP},
    {"NodePort", SERVICE_NODE_PORT},
    {"LoadBalancer", SERVICE_LOAD_BALANCER},
    {"ExternalName", SERVICE_EXTERNAL_NAME},
    {NULL, 0},
};

static const struct field port_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct service_port, name),
     .check = check_dns_label,
     .doc = "Name, unique in the Service; required when there are several ports."},
    {.key = "protocol",
     .type = FIELD_WORD,
     AT(struct service_port, transport),
     .words = transport_words,
     .doc = "Transport protocol."},
    {.key = "port",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct service_port, port),
     .min = 1,
     .max = 65535,
     .doc = "Port of the Service, which Ingresses and routes name."},
    {.key = "targetPort",
     .type = FIELD_PORT,
     AT(struct service_port, target_port),
     .check = check_port_ref,
     .doc = "Port of the Pods, or the name of a container's port; without one, as `port`."},
    {.key = "nodePort",
     .type = FIELD_NUMBER,
     AT(struct service_port, node_port),
     .max = 65535,
     .doc = "Port opened for types NodePort and LoadBalancer, from 30000 to 32767."},
    {.key = "appProtocol",
     .type = FIELD_TEXT,
     AT(struct service_port, app_protocol),
     .doc = "Application protocol, such as `http` or `kubernetes.io/h2c`."},
};
static const struct table port_table = {
    .name = "ServicePort",
    TABLE_FIELDS(port_fields),
    .bytes = sizeof(struct service_port),
    .has_place = HAS(struct service_port, line),
};

static void check_cluster_ip(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (text->len && !str_is(text_str(*text), "None"))
        check_ip(reader, field, value);
}

static bool same_name(const struct service_port *a, const struct service_port *b)
{
    return str_equal(text_str(a->name), text_str(b->name));
}

static void check_ports(struct reader *reader, const struct service *service)
{
    struct step step = {.parent = reader->step, .key = STR("ports")};
    struct step item = {.parent = &step, .kind = STEP_INDEX};
    reader->step = &item;
    for (uint32_t i = 0; i < service->n_ports; i++) {
        const struct service_port *port = &service->ports[i];
        item.index = i;
        if (service->n_ports > 1 && port->name.len == 0)
            report_at(reader, "name", DIAG_FIELD_REQUIRED, port->line, port->col, NULL,
                      "is required when a Service has several ports");
        for (uint32_t other = 0; other < i; other++) {
            const struct service_port *first = &service->ports[other];
            if (port->name.len && same_name(port, first))
                report_at(reader, "name", DIAG_DUPLICATE_NAME, port->name.line, port->name.col,
                          NULL, "\"%s\" is also the name of ports[%u]", port->name.ptr, other);
            else if (port->port.is_set && port->port.value == first->port.value &&
                     port->transport == first->transport)
                report_at(reader, "port", DIAG_DUPLICATE_NAME, port->port.line, port->port.col,
                          NULL, "%lld is also the port of ports[%u], with the same protocol",
                          (long long)port->port.value, other);
        }
    }
    reader->step = step.parent;
}

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    const struct service *service = value;
    bool is_external = service->type == SERVICE_EXTERNAL_NAME;
    bool is_headless = str_is(text_str(service->cluster_ip), "None");
    if (service->n_ports == 0 && !is_external && !is_headless && !field_node(node, "ports"))
        report_at(reader, "ports", DIAG_FIELD_REQUIRED, node->line, node->col, NULL, "is required");
    if (is_external && service->external_name.len == 0 && !reader->has_failed)
        report_at(reader, "externalName", DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
                  "is required with type ExternalName");
    if (is_headless &&
        (service->type == SERVICE_NODE_PORT || service->type == SERVICE_LOAD_BALANCER))
        report_at(reader, "clusterIP", DIAG_FIELD_CONFLICT, service->cluster_ip.line,
                  service->cluster_ip.col, NULL,
                  "may not be set to 'None' for LoadBalancer and NodePort services");
    if (is_external && service->cluster_ip.len)
        report_at(reader, "clusterIP", DIAG_FIELD_CONFLICT, service->cluster_ip.line,
                  service->cluster_ip.col, NULL, "may not be set for ExternalName services");
    for (uint32_t i = 0; i < service->n_ports && service->type != SERVICE_NODE_PORT &&
                         service->type != SERVICE_LOAD_BALANCER;
         i++) {
        const struct number *port = &service->ports[i].node_port;
        if (port->is_set && port->value)
            report_at(reader, "type", DIAG_FIELD_CONFLICT, port->line, port->col, NULL,
                      "a nodePort may not be used when `type` is '%s'",
                      type_words[service->type].word);
    }
    check_ports(reader, service);
}

static void check_external_name(struct reader *reader, const struct field *field, const void *value)
{
    struct text text = *(const struct text *)value;
    if (text.len && text.ptr[text.len - 1] == '.') // as the API server: a final dot may stand
        text.len--;
    check_dns_subdomain(reader, field, &text);
}

static const struct field spec_fields[] = {
    {.key = "type",
     .type = FIELD_WORD,
     AT(struct service, type),
     .words = type_words,
     .doc = "How the Service is reached. NodePort and LoadBalancer open their nodePorts."},
    {.key = "selector",
     .type = FIELD_TEXT_MAP,
     AT(struct service, selector),
     .check = check_labels,
     .doc = "Labels of the Pods that serve it, all of them; without EndpointSlices these Pods are "
            "the endpoints."},
    {.key = "ports",
     .type = FIELD_LIST,
     LIST_AT(struct service, ports, n_ports),
     .table = &port_table,
     .doc = "Ports of the Service."},
    {.key = "clusterIP",
     .type = FIELD_TEXT,
     AT(struct service, cluster_ip),
     .check = check_cluster_ip,
     .doc = "Virtual address; `None` makes the Service headless."},
    {.key = "clusterIPs",
     .type = FIELD_TEXTS,
     AT(struct service, cluster_ips),
     .check = check_cluster_ip,
     .doc = "Virtual addresses of both families."},
    {.key = "externalIPs",
     .type = FIELD_TEXTS,
     AT(struct service, external_ips),
     .check = check_ip,
     .doc = "Further addresses by which the Service is known."},
    {.key = "externalName",
     .type = FIELD_TEXT,
     AT(struct service, external_name),
     .check = check_external_name,
     .doc = "Name outside the cluster that an ExternalName Service stands for."},
    {.key = "publishNotReadyAddresses",
     .type = FIELD_FLAG,
     AT(struct service, publish_not_ready_addresses),
     .doc = "Endpoints that are not ready count as ready."},
    NOT_SERVED("sessionAffinity", "None",
               "ClientIP: the same client address goes to the same endpoint."),
    NOT_SERVED("sessionAffinityConfig", NULL, "How long a client keeps its endpoint."),
    NOT_SERVED("externalTrafficPolicy", "Cluster",
               "Local: connections from outside go to endpoints of this node only."),
    NOT_SERVED("internalTrafficPolicy", "Cluster",
               "Local: connections from inside go to endpoints of this node only."),
    NOT_SERVED("trafficDistribution", NULL, "Endpoints of the same zone or node are preferred."),
    NOT_SERVED("loadBalancerSourceRanges", NULL, "Client addresses that are let in."),
    NOT_SERVED("healthCheckNodePort", "0",
               "Port that tells an outer balancer whether this node has endpoints."),
    IRRELEVANT("allocateLoadBalancerNodePorts", "Whether the API server chooses nodePorts."),
    IRRELEVANT("loadBalancerClass", "Which controller provides the outer balancer."),
    IRRELEVANT("loadBalancerIP", "Address that the outer balancer is asked for."),
    IRRELEVANT("ipFamilies", "Families of the addresses that the API server chooses."),
    IRRELEVANT("ipFamilyPolicy", "How many families the API server chooses addresses of."),
};
static const struct table spec_table = {
    .name = "ServiceSpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .doc = "What the Service is."},
    IRRELEVANT("status", "Addresses that an outer balancer gave it."),
};
const struct table service_table = {
    .name = "Service", TABLE_FIELDS(fields), .bytes = sizeof(struct service)};
