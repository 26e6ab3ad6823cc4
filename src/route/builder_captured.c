// SPDX-License-Identifier: Apache-2.0
// What is behind the ports and addresses that the clients of captured connections dial.
#include "base/check.h"
#include "route/builder_parts.h"

void builder_listener_be_transparent(struct builder_listener *listener)
{
    listener->listener.is_transparent = true;
}

struct builder_captured *builder_captured(struct builder_listener *listener, uint16_t port)
{
    enum listener_kind kind = listener->listener.kind;
    CHECK(kind == LISTENER_OUTBOUND || kind == LISTENER_INBOUND);
    struct snapshot_builder *builder = listener->builder;
    if (!listener->captured)
        listener->captured = map_create();
    struct str key = {(const char *)&port, sizeof(port)};
    struct builder_captured *captured = map_find(listener->captured, key);
    if (captured)
        return captured;
    captured = ARENA_NEW(builder->scratch, struct builder_captured);
    captured->listener = listener;
    captured->port = port;
    captured->next = builder->captured;
    builder->captured = captured;
    key.ptr = (const char *)&captured->port;
    map_put(listener->captured, key, captured);
    return captured;
}

struct builder_hosts *builder_captured_hosts(struct builder_captured *captured)
{
    if (!captured->hosts)
        captured->hosts = builder_hosts(captured->listener->builder);
    return captured->hosts;
}

struct builder_chain *builder_captured_chain(struct builder_captured *captured,
                                             const struct filter_chain *chain)
{
    CHECK(!chain->is_http && !chain->tls);
    struct snapshot_builder *builder = captured->listener->builder;
    if (!captured->names)
        captured->names = builder_hosts(builder);
    return builder_chain_into(builder, captured->names, chain, NULL);
}

// ---- by address ----

// A subnet is one entry however its address was written.
static struct str subnet_key(struct subnet *subnet)
{
    subnet->base.port = 0;
    address_mask(&subnet->base, subnet->bits);
    size_t ip_len = subnet->base.family == AF_INET6 ? 16 : 4;
    memset(subnet->base.ip + ip_len, 0, sizeof(subnet->base.ip) - ip_len);
    return (struct str){(const char *)subnet, sizeof(*subnet)};
}

static struct added_destination *destination_of(struct builder_captured *captured,
                                                const struct subnet *subnet)
{
    if (!subnet)
        return &captured->any;
    struct subnet canonical;
    memset(&canonical, 0, sizeof(canonical)); // what lies between its fields is part of the key
    canonical.base.family = subnet->base.family;
    memcpy(canonical.base.ip, subnet->base.ip, sizeof(canonical.base.ip));
    canonical.bits = subnet->bits;
    struct str key = subnet_key(&canonical);
    if (!captured->by_address)
        captured->by_address = map_create();
    struct added_destination *destination = map_find(captured->by_address, key);
    if (destination)
        return destination;
    struct arena *scratch = captured->listener->builder->scratch;
    destination = ARENA_NEW(scratch, struct added_destination);
    memcpy(&destination->subnet, &canonical, sizeof(canonical));
    key.ptr = (const char *)&destination->subnet;
    map_put(captured->by_address, key, destination);
    return destination;
}

bool builder_captured_protocol(struct builder_captured *captured, const struct subnet *subnet,
                               enum capture_protocol protocol, enum capture_protocol *ret_old)
{
    struct added_destination *destination = destination_of(captured, subnet);
    if (destination->has_protocol) {
        *ret_old = (enum capture_protocol)destination->protocol;
        return false;
    }
    destination->has_protocol = true;
    destination->protocol = (uint8_t)protocol;
    return true;
}

void builder_captured_add_tcp(struct builder_captured *captured, const struct subnet *subnet,
                              const struct tcp_route *route)
{
    struct added_destination *destination = destination_of(captured, subnet);
    builder_tcp_route_into(captured->listener->builder, &destination->tcp, route);
}
