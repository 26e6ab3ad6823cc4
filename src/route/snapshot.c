// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "route/builder_parts.h"

bool subnet_contains(const struct subnet *subnet, const struct address *address)
{
    if (address->family != subnet->base.family)
        return false;
    unsigned bytes = subnet->bits / 8, bits = subnet->bits % 8;
    if (memcmp(address->ip, subnet->base.ip, bytes) != 0)
        return false;
    return bits == 0 || ((address->ip[bytes] ^ subnet->base.ip[bytes]) >> (8 - bits)) == 0;
}

const char *listener_kind_word(enum listener_kind kind)
{
    static const char *const words[] = {
        [LISTENER_HTTP] = "http",         [LISTENER_TCP] = "tcp",         [LISTENER_TLS] = "https",
        [LISTENER_OUTBOUND] = "outbound", [LISTENER_INBOUND] = "inbound",
    };
    return words[kind];
}

const struct captured_port *listener_captured_port(const struct listener *listener, uint16_t port)
{
    const struct captured_port *ports = listener->captured;
    uint32_t low = 0, high = listener->n_captured;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ports[middle].port == port)
            return &ports[middle];
        if (ports[middle].port < port)
            low = middle + 1;
        else
            high = middle;
    }
    return &ports[0];
}

void snapshot_destroy(struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    CHECK(atomic_load(&snapshot->holders) == 0);
    struct registry *registry = snapshot->registry;
    for (uint32_t i = 0; i < snapshot->n_listeners; i++)
        registry_release_slot(registry, SLOT_LISTENER, snapshot->listeners[i].slot);
    for (uint32_t i = 0; i < snapshot->n_clusters; i++) {
        const struct cluster *cluster = snapshot->clusters[i];
        registry_release_slot(registry, SLOT_CLUSTER, cluster->slot);
        for (uint32_t k = 0; k < cluster->n_endpoints + cluster->n_retiring; k++)
            registry_release_slot(registry, SLOT_ENDPOINT, cluster->endpoints[k].slot);
    }
    const struct holds *holds = snapshot->released;
    for (int kind = 0; kind < SHARED_KIND_COUNT; kind++) {
        for (uint32_t i = 0; i < holds[kind].n; i++)
            registry_release_shared(registry, (enum shared_kind)kind, holds[kind].items[i]);
    }
    arena_destroy(snapshot->arena); // the snapshot lies in it
}

const struct cluster *snapshot_find_cluster(const struct snapshot *snapshot, struct str name)
{
    uint32_t low = 0, high = snapshot->n_clusters;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = str_compare(snapshot->clusters[middle]->name, name);
        if (order == 0)
            return snapshot->clusters[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
