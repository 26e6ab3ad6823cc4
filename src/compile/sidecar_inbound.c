// SPDX-License-Identifier: Apache-2.0
// Connections to the workload: by the port that was dialled, to the application. Which ports it has
// and what they speak say the Services and ServiceEntries that select its labels, or a Sidecar's
// ingress[]. What nobody declares goes to where it was dialled.
#include "compile/destination_rule.h"
#include "compile/sidecar.h"

struct inbound {
    struct sidecar_context *s;
    const struct object *sidecar; // NULL: none
    struct map *ports;            // number -> place of its first declaration
};

static struct cluster *inbound_cluster(struct inbound *in, uint16_t number,
                                       enum port_protocol protocol)
{
    struct compiler *c = in->s->c;
    char text[NUMBER_TEXT_MAX];
    struct cluster *cluster = sidecar_passthrough(
        c, JOIN_BRIEF(c, STR("inbound|"), number_text(number, text), STR("||")));
    if (protocol == PORT_HTTP)
        cluster->protocol = CLUSTER_HTTP1;
    else if (protocol == PORT_HTTP2)
        cluster->protocol = CLUSTER_HTTP2;
    if (in->sidecar)
        policy_apply_pool(cluster, &in->sidecar->sidecar->inbound_pool);
    return cluster;
}

static enum capture_protocol capture_of(enum port_protocol protocol)
{
    switch (protocol) {
    case PORT_HTTP:
    case PORT_HTTP2:
        return CAPTURE_HTTP;
    case PORT_TLS: // is ended by the application
    case PORT_TCP:
        return CAPTURE_TCP;
    case PORT_SAYS_NOTHING:
        break;
    }
    return CAPTURE_DETECT;
}

static void add_hosts(struct compiler *c, struct builder_captured *captured,
                      const struct cluster *cluster, struct str origin)
{
    struct target *target = ARENA_NEW(c->arena, struct target);
    *target = (struct target){.cluster = cluster, .weight = 1};
    struct builder_vhost *any = builder_vhost(builder_captured_hosts(captured), STR("*"), false);
    builder_add_route(any, &(struct route){.path_kind = PATH_ANY,
                                           .action = ROUTE_FORWARD,
                                           .name = STR("default"),
                                           .origin = origin,
                                           .body_bytes_max = c->options->body_bytes_max,
                                           .n_targets = 1,
                                           .targets = target,
                                           .total_weight = 1});
}

static void add_port(struct inbound *in, uint16_t number, enum capture_protocol protocol,
                     const struct cluster *cluster, struct str origin)
{
    struct builder_captured *captured = builder_captured(in->s->listener, number);
    enum capture_protocol old;
    struct tcp_route route = sidecar_tcp_route(in->s->c, cluster, origin);
    builder_captured_protocol(captured, NULL, protocol, &old);
    builder_captured_add_tcp(captured, NULL, &route);
    if (protocol != CAPTURE_TCP)
        add_hosts(in->s->c, captured, cluster, origin);
}

// ---- ports of Services and ServiceEntries ----

// One that is declared twice is as the oldest says.
static void declare(struct inbound *in, uint16_t number, enum port_protocol protocol,
                    struct str origin)
{
    struct str key = {(const char *)&number, sizeof number};
    if (number == 0 || map_find(in->ports, key))
        return;
    uint16_t *kept = arena_copy(in->s->c->scratch, &number, sizeof number);
    map_put(in->ports, (struct str){(const char *)kept, sizeof *kept}, kept);
    add_port(in, number, capture_of(protocol), inbound_cluster(in, number, protocol), origin);
}

static struct text_map own_labels(const struct compiler *c)
{
    return (struct text_map){(struct text_pair *)(uintptr_t)c->options->labels,
                             c->options->n_labels};
}

// The number of a container's port, as Pods with our labels have it; 0: none has that name.
static uint16_t port_named(struct compiler *c, struct str name)
{
    const struct text_map own = own_labels(c);
    size_t n = 0;
    const struct object *const *pods = store_all(c->store, KIND_POD, &n);
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = pods[i]->pod;
        if (!str_equal(pods[i]->ns, c->options->ns) || !text_map_contains(&pods[i]->labels, &own))
            continue;
        for (uint32_t k = 0; k < pod->n_containers; k++) {
            const struct container *container = &pod->containers[k];
            for (uint32_t p = 0; p < container->n_ports; p++) {
                if (container->ports[p].transport == TRANSPORT_TCP &&
                    str_equal(text_str(container->ports[p].name), name))
                    return (uint16_t)container->ports[p].container_port.value;
            }
        }
    }
    return 0;
}

static void declare_service(struct inbound *in, const struct object *object)
{
    struct compiler *c = in->s->c;
    for (uint32_t i = 0; i < object->service->n_ports; i++) {
        const struct service_port *port = &object->service->ports[i];
        const struct port_ref *target = &port->target_port;
        if (port->transport != TRANSPORT_TCP)
            continue;
        uint16_t number = (uint16_t)port->port.value;
        if (target->is_set)
            number = target->name.ptr ? port_named(c, text_str(target->name)) : target->number;
        if (number == 0)
            complain(c, DIAG_INBOUND_PORT, object, target->line, target->col,
                     path_of(c, "spec.ports[%u].targetPort", i),
                     "no Pod in namespace %.*s with the workload's labels has a port named \"%s\"",
                     STR_ARG(c->options->ns), target->name.ptr);
        declare(in, number, service_port_protocol(port),
                origin_of(c, object, port->line, port->col));
    }
}

static void declare_entry(struct inbound *in, const struct object *object)
{
    const struct service_entry *entry = object->service_entry;
    for (uint32_t i = 0; i < entry->n_ports; i++) {
        const struct service_entry_port *port = &entry->ports[i];
        uint16_t number =
            (uint16_t)(port->target_port.value > 0 ? port->target_port.value : port->port.value);
        declare(in, number,
                port->protocol_text.ptr ? port_protocol_of(port->protocol) : PORT_SAYS_NOTHING,
                origin_of(in->s->c, object, port->line, port->col));
    }
}

static void declare_ports(struct inbound *in)
{
    struct compiler *c = in->s->c;
    const struct text_map own = own_labels(c);
    size_t n = 0;
    const struct object *const *services = store_all(c->store, KIND_SERVICE, &n);
    for (size_t i = 0; i < n; i++) {
        const struct service *service = services[i]->service;
        if (str_equal(services[i]->ns, c->options->ns) && service->selector.n > 0 &&
            text_map_contains(&own, &service->selector))
            declare_service(in, services[i]);
    }
    const struct object *const *entries = store_all(c->store, KIND_SERVICE_ENTRY, &n);
    for (size_t i = 0; i < n; i++) {
        const struct service_entry *entry = entries[i]->service_entry;
        if (str_equal(entries[i]->ns, c->options->ns) && entry->has_selector &&
            entry->selector.n > 0 && text_map_contains(&own, &entry->selector))
            declare_entry(in, entries[i]);
    }
}

// ---- ports of a Sidecar ----

static void lead_to(struct compiler *c, struct cluster *cluster, uint16_t number,
                    struct address endpoint)
{
    static const uint8_t nowhere[16] = {0};
    size_t len = endpoint.family == AF_INET6 ? 16 : 4;
    if (memcmp(endpoint.ip, nowhere, len) == 0) { // at the address dialled
        cluster->dns_port = endpoint.port == number ? 0 : endpoint.port;
        return;
    }
    cluster->discovery = CLUSTER_STATIC;
    builder_add_endpoint(c->builder, cluster, &endpoint, 1);
}

static void add_ingress(struct inbound *in, const struct sidecar_ingress *ingress)
{
    struct compiler *c = in->s->c;
    uint16_t number = (uint16_t)ingress->port.number.value;
    struct str origin = origin_of(c, in->sidecar, ingress->line, ingress->col);
    enum port_protocol protocol =
        ingress->port.has_protocol ? port_protocol_of(ingress->port.protocol) : PORT_SAYS_NOTHING;
    struct address endpoint = {0};
    bool has_endpoint = ingress->endpoint.len > 0;
    if (ingress->has_tls ||
        (has_endpoint && !address_parse(text_str(ingress->endpoint), &endpoint))) {
        add_port(in, number, CAPTURE_TCP, black_hole_cluster(c), origin); // which has been said
        return;
    }
    struct cluster *cluster = inbound_cluster(in, number, protocol);
    if (ingress->pool.has_pool)
        policy_apply_pool(cluster, &ingress->pool);
    if (has_endpoint)
        lead_to(c, cluster, number, endpoint);
    add_port(in, number, capture_of(protocol), cluster, origin);
}

void sidecar_inbound_compile(struct sidecar_context *s)
{
    struct inbound in = {.s = s, .sidecar = sidecar_scope_object(s->scope), .ports = map_create()};
    struct cluster *others = sidecar_passthrough(s->c, STR("InboundPassthroughCluster"));
    if (in.sidecar)
        policy_apply_pool(others, &in.sidecar->sidecar->inbound_pool);
    add_port(&in, 0, CAPTURE_DETECT, others, STR_NONE);
    if (in.sidecar && in.sidecar->sidecar->n_ingress > 0) {
        for (uint32_t i = 0; i < in.sidecar->sidecar->n_ingress; i++) {
            if (in.sidecar->sidecar->ingress[i].is_served)
                add_ingress(&in, &in.sidecar->sidecar->ingress[i]);
        }
    } else {
        declare_ports(&in);
    }
    map_destroy(in.ports);
}
