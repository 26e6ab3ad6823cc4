// SPDX-License-Identifier: Apache-2.0
// Rules of a VirtualService for connections: tls[] and tcp[].
#include "compile/service.h"
#include "compile/virtual_service.h"

bool vs_l4_match_applies(const struct compiler *c, const struct object *object,
                         const struct l4_match *match, const struct object *gateway, uint16_t port)
{
    struct vs_place place = vs_place_of_l4(match);
    return vs_place_applies(c, &place, object->ns, gateway, port);
}

static void set_destinations(struct compiler *c, const struct l4_match *match,
                             struct tcp_route *route)
{
    uint32_t n = match->destination_subnets.n;
    struct subnet *subnets = ARENA_ARRAY(c->arena, struct subnet, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        unsigned bits = 0;
        // The model has looked at its form.
        if (!address_parse_subnet(text_str(match->destination_subnets.items[i]), &subnets[i].base,
                                  &bits))
            return;
        subnets[i].bits = (uint8_t)bits;
    }
    route->destinations = subnets;
    route->n_destinations = (uint16_t)n;
}

static void lead_nowhere(struct compiler *c, struct tcp_route *route)
{
    struct target *target = ARENA_NEW(c->scratch, struct target);
    *target = (struct target){.cluster = black_hole_cluster(c), .weight = 1};
    route->targets = target;
    route->n_targets = 1;
    route->total_weight = 1;
}

void vs_l4_route(struct compiler *c, const struct object *object, const struct l4_route *rule,
                 const struct l4_match *match, struct str path, uint16_t port,
                 struct tcp_route *route)
{
    uint32_t line = match ? match->line : rule->line, col = match ? match->col : rule->col;
    *route = (struct tcp_route){.origin = origin_of(c, object, line, col)};
    if (rule->is_invalid || (match && match->is_invalid)) {
        complain(c, DIAG_ROUTE_INVALID, object, line, col, path,
                 "is broken, so the connections it matches are closed");
        lead_nowhere(c, route);
        return;
    }
    if (match)
        set_destinations(c, match, route);
    enum way_kind kind = match && match->sni_hosts.n > 0 ? WAY_TLS : WAY_TCP;
    struct target *targets = ARENA_ARRAY(c->scratch, struct target, rule->n_route);
    for (uint32_t i = 0; i < rule->n_route; i++) {
        const struct http_destination *destination = &rule->route[i];
        targets[i] =
            (struct target){.cluster = vs_destination_cluster(c, object, destination, port,
                                                              path_item(c, path, "route", i), kind),
                            // A weight means something among several only.
                            .weight = rule->n_route == 1 ? 1 : (uint32_t)destination->weight.value};
        // TCP has no 502: where TLS to the endpoints cannot be had, the connection is closed.
        if (targets[i].cluster->is_unserved_protocol)
            targets[i].cluster = black_hole_cluster(c);
        route->total_weight += targets[i].weight;
    }
    route->targets = targets;
    route->n_targets = (uint16_t)rule->n_route;
}
