// SPDX-License-Identifier: Apache-2.0
// Services of type NodePort and LoadBalancer: a TCP listener for every nodePort that balances
// connections over the endpoints.
#include "compile/service.h"
#include <stdlib.h>

enum { NODE_PORT_MIN = 30000, NODE_PORT_MAX = 32767 };

struct taken { // a nodePort and who has it
    const struct object *service;
    const struct service_port *port;
};

static const char *transport_word(enum transport transport)
{
    switch (transport) {
    case TRANSPORT_TCP:
        return "TCP";
    case TRANSPORT_UDP:
        return "UDP";
    case TRANSPORT_SCTP:
        return "SCTP";
    }
    return "";
}

static void open_port(struct compiler *c, const struct object *service, uint32_t i)
{
    const struct service_port *port = &service->service->ports[i];
    uint16_t number = (uint16_t)port->node_port.value;
    struct address bind = listen_address(c, &c->options->bind, number);
    if (builder_has_listener(c->builder, &bind, number)) {
        complain(c, DIAG_LISTENER_CONFLICT, service, port->node_port.line, port->node_port.col,
                 path_of(c, "spec.ports[%u].nodePort", i),
                 "port %u already serves an Ingress or a Gateway", number);
        return;
    }
    struct builder_listener *listener =
        builder_listener(c->builder, LISTENER_TCP, &bind, number,
                         origin_of(c, service, port->node_port.line, port->node_port.col));
    struct target target = {.cluster = service_cluster(c, service, port, STR_NONE, UPSTREAM_RAW),
                            .weight = 1};
    builder_add_tcp_route(
        listener, &(struct tcp_route){.n_targets = 1,
                                      .targets = arena_copy(c->scratch, &target, sizeof target),
                                      .total_weight = 1});
}

static bool is_in_range(struct compiler *c, const struct object *service, uint32_t i)
{
    const struct number *node_port = &service->service->ports[i].node_port;
    if (node_port->value >= NODE_PORT_MIN && node_port->value <= NODE_PORT_MAX)
        return true;
    complain(c, DIAG_NODEPORT_RANGE, service, node_port->line, node_port->col,
             path_of(c, "spec.ports[%u].nodePort", i),
             "provided port is not in the valid range. The range of valid ports is %d-%d",
             NODE_PORT_MIN, NODE_PORT_MAX);
    return false;
}

static void check_port(struct compiler *c, struct taken taken[][TRANSPORT_SCTP + 1],
                       const struct object *service, uint32_t i)
{
    const struct service_port *port = &service->service->ports[i];
    const struct number *node_port = &port->node_port;
    if (!node_port->is_set || node_port->value == 0) {
        if (service->service->type == SERVICE_NODE_PORT)
            complain(c, DIAG_NODEPORT_UNSET, service, port->line, port->col,
                     path_of(c, "spec.ports[%u].nodePort", i),
                     "no nodePort is given, so port %u of every node stays closed",
                     (unsigned)port->port.value);
        return;
    }
    if (!is_in_range(c, service, i))
        return;
    struct str path = path_of(c, "spec.ports[%u].nodePort", i);
    struct taken *slot = &taken[node_port->value - NODE_PORT_MIN][port->transport];
    if (slot->service) {
        complain(c, DIAG_NODEPORT_CONFLICT, service, node_port->line, node_port->col, path,
                 "provided port is already allocated: %u is taken by %.*s",
                 (unsigned)node_port->value,
                 STR_ARG(place_text(c, slot->service, slot->port->node_port.line,
                                    slot->port->node_port.col)));
        return;
    }
    *slot = (struct taken){service, port};
    if (port->transport == TRANSPORT_TCP)
        open_port(c, service, i);
    else
        complain(c, DIAG_NODEPORT_PROTOCOL, service, node_port->line, node_port->col, path,
                 "%s port %u is not opened", transport_word(port->transport),
                 (unsigned)node_port->value);
}

static bool has_node_ports(const struct service *service)
{
    return service->type == SERVICE_NODE_PORT || service->type == SERVICE_LOAD_BALANCER;
}

void node_ports_check(struct compiler *c, const struct object *object)
{
    const struct service *service = object->service;
    for (uint32_t i = 0; i < service->n_ports && has_node_ports(service); i++) {
        const struct number *node_port = &service->ports[i].node_port;
        if (node_port->is_set && node_port->value != 0)
            is_in_range(c, object, i);
    }
}

void node_ports_compile(struct compiler *c)
{
    size_t n = 0;
    const struct object *const *services = store_all(c->store, KIND_SERVICE, &n);
    struct taken(*taken)[TRANSPORT_SCTP + 1] = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct service *service = services[i]->service;
        if (!has_node_ports(service))
            continue;
        if (!taken)
            taken = arena_zalloc(c->scratch, sizeof *taken * (NODE_PORT_MAX - NODE_PORT_MIN + 1));
        for (uint32_t k = 0; k < service->n_ports; k++)
            check_port(c, taken, services[i], k);
    }
}
