// SPDX-License-Identifier: Apache-2.0
// Sealing of TCP routes, filter chains, captured ports and listeners. Control thread.
#include "base/check.h"
#include "route/address_index.h"
#include "route/seal.h"
#include <stdlib.h>

// Those of `from`, and `more` behind them.
static struct tcp_routes seal_tcp_routes_and(struct seal *seal, const struct added_tcp_routes *from,
                                             const struct tcp_routes *more)
{
    uint32_t n = from->n + more->n;
    struct tcp_route *items = ARENA_ARRAY(seal->arena, struct tcp_route, n);
    if (more->n)
        memcpy(items + from->n, more->items, more->n * sizeof(*items));
    for (uint32_t i = 0; i < from->n; i++) {
        struct tcp_route *route = &items[i];
        *route = from->items[i];
        route->name = arena_str(seal->arena, route->name);
        route->origin = arena_str(seal->arena, route->origin);
        route->destinations = arena_copy(seal->arena, route->destinations,
                                         route->n_destinations * sizeof(*route->destinations));
        route->targets =
            arena_copy(seal->arena, route->targets, route->n_targets * sizeof(*route->targets));
    }
    return (struct tcp_routes){.items = items, .n = n};
}

static struct tcp_routes seal_tcp_routes(struct seal *seal, const struct added_tcp_routes *from)
{
    return seal_tcp_routes_and(seal, from, &(struct tcp_routes){0});
}

const struct filter_chain *seal_chain(struct seal *seal, struct builder_chain *from)
{
    if (from->sealed)
        return from->sealed;
    struct filter_chain *chain = arena_copy(seal->arena, &from->chain, sizeof(from->chain));
    from->sealed = chain;
    if (from->hosts)
        chain->hosts = seal_hosts(seal, from->hosts);
    else
        chain->tcp = seal_tcp_routes(seal, &from->tcp);
    return chain;
}

// ---- captured connections ----

static bool takes_all(const struct added_tcp_routes *routes)
{
    return routes->n > 0 && routes->items[routes->n - 1].n_destinations == 0;
}

// What takes every connection leaves nothing to the routes of other ports.
static struct captured_destination seal_destination(struct seal *seal,
                                                    const struct added_destination *from,
                                                    const struct tcp_routes *others)
{
    struct captured_destination destination = {.protocol = from->protocol};
    if (from->tcp.n == 0)
        destination.tcp = *others;
    else if (takes_all(&from->tcp))
        destination.tcp = seal_tcp_routes(seal, &from->tcp);
    else
        destination.tcp = seal_tcp_routes_and(seal, &from->tcp, others);
    return destination;
}

// The index points to what was sealed for each entry, all of which lie in one array.
static const struct address_index *seal_by_address(struct seal *seal,
                                                   const struct builder_captured *from,
                                                   const struct tcp_routes *others)
{
    uint32_t n = from->by_address ? (uint32_t)map_count(from->by_address) : 0, i = 0;
    if (n == 0)
        return NULL;
    struct captured_destination *destinations =
        ARENA_ARRAY(seal->arena, struct captured_destination, n);
    struct address_entry *entries = ARENA_ARRAY(seal->builder->scratch, struct address_entry, n);
    size_t cursor = 0;
    struct str key;
    void *value;
    while (map_next(from->by_address, &cursor, &key, &value)) {
        const struct added_destination *added = value;
        destinations[i] = seal_destination(seal, added, others);
        entries[i] = (struct address_entry){added->subnet, &destinations[i]};
        i++;
    }
    return address_index_build(seal->arena, entries, n);
}

static void seal_captured(struct seal *seal, struct captured_port *port,
                          const struct builder_captured *from, const struct captured_port *others)
{
    // Of port 0 itself nothing is sealed yet, so nothing comes behind its routes.
    port->any = seal_destination(seal, &from->any, &others->any.tcp);
    port->port = from->port;
    port->by_address = seal_by_address(seal, from, &others->any.tcp);
    port->hosts = from->hosts ? seal_hosts(seal, from->hosts) : others->hosts;
    if (from->names) {
        const struct http_hosts *names = seal_hosts(seal, from->names);
        port->sni = names->table;
        port->sni_names = names->vhosts;
        port->n_sni_names = names->n_vhosts;
    }
}

static int compare_captured(const void *a, const void *b)
{
    const struct builder_captured *const *x = a, *const *y = b;
    return (int)(*x)->port - (int)(*y)->port;
}

static void seal_captured_ports(struct seal *seal, struct listener *listener,
                                struct builder_listener *from)
{
    struct builder_captured *others = builder_captured(from, 0); // there is always one
    builder_captured_hosts(others);
    uint32_t n = (uint32_t)map_count(from->captured), i = 0;
    struct builder_captured **sorted =
        ARENA_ARRAY(seal->builder->scratch, struct builder_captured *, n);
    size_t cursor = 0;
    struct str key;
    void *value;
    while (map_next(from->captured, &cursor, &key, &value))
        sorted[i++] = value;
    qsort(sorted, n, sizeof(struct builder_captured *), compare_captured);
    struct captured_port *ports = ARENA_ARRAY(seal->arena, struct captured_port, n);
    for (i = 0; i < n; i++)
        seal_captured(seal, &ports[i], sorted[i], &ports[0]);
    listener->captured = ports;
    listener->n_captured = n;
}

// ---- listeners ----

static int compare_listeners(const void *a, const void *b)
{
    const struct listener *x = &(*(struct builder_listener *const *)a)->listener;
    const struct listener *y = &(*(struct builder_listener *const *)b)->listener;
    int order = compare_addresses(&x->bind, &y->bind);
    return order ? order : (x->port > y->port) - (x->port < y->port);
}

static void seal_listener(struct seal *seal, struct listener *listener,
                          struct builder_listener *from)
{
    *listener = from->listener;
    char bytes[ADDRESS_KEY_MAX];
    struct str key = address_key(&listener->bind, listener->bind.port ? 0 : listener->port,
                                 (uint8_t)listener->kind, bytes);
    uint64_t identity;
    listener->slot = registry_acquire_slot(seal->registry, SLOT_LISTENER, key, &identity);
    const struct http_hosts *hosts = from->hosts ? seal_hosts(seal, from->hosts) : NULL;
    switch (listener->kind) {
    case LISTENER_HTTP:
        listener->hosts = *hosts;
        break;
    case LISTENER_TCP:
        listener->tcp = seal_tcp_routes(seal, &from->tcp);
        break;
    case LISTENER_OUTBOUND:
    case LISTENER_INBOUND:
        seal_captured_ports(seal, listener, from);
        break;
    case LISTENER_TLS:
        listener->sni = hosts->table;
        listener->sni_names = hosts->vhosts;
        listener->n_sni_names = hosts->n_vhosts;
        break;
    }
}

void seal_listeners(struct seal *seal)
{
    uint32_t n = (uint32_t)map_count(seal->builder->listeners), i = 0;
    struct builder_listener **sorted =
        ARENA_ARRAY(seal->builder->scratch, struct builder_listener *, n);
    size_t cursor = 0;
    struct str key;
    void *value;
    while (map_next(seal->builder->listeners, &cursor, &key, &value))
        sorted[i++] = value;
    qsort(sorted, n, sizeof(struct builder_listener *), compare_listeners);
    struct listener *listeners = ARENA_ARRAY(seal->arena, struct listener, n);
    for (i = 0; i < n; i++)
        seal_listener(seal, &listeners[i], sorted[i]);
    seal->snapshot->listeners = listeners;
    seal->snapshot->n_listeners = n;
}
