// SPDX-License-Identifier: Apache-2.0
// builder_seal: from what was added in any order to the snapshot that workers read. Sorts, hands
// out slots, lays out virtual hosts for the cache and builds the indexes. Control thread.
#include "route/seal.h"
#include "base/check.h"
#include "base/clock.h"
#include "route/host_table.h"
#include "route/path_index.h"
#include "route/sort.h"
#include <stdlib.h>

static void set_identity(struct identities *identities, uint32_t slot, uint64_t identity)
{
    if (slot >= identities->cap) {
        uint32_t cap = identities->cap ? identities->cap : 64;
        while (cap <= slot)
            cap *= 2;
        identities->items = realloc(identities->items, cap * sizeof(*identities->items));
        CHECK(identities->items);
        memset(identities->items + identities->cap, 0,
               (cap - identities->cap) * sizeof(*identities->items));
        identities->cap = cap;
    }
    identities->items[slot] = identity;
    if (slot >= identities->n)
        identities->n = slot + 1;
}

static char *align(char *at, size_t to)
{
    return at + (-(uintptr_t)at & (to - 1));
}

static size_t align_size(size_t size, size_t to)
{
    return (size + to - 1) & ~(to - 1);
}

// ---- clusters ----

int compare_addresses(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int order = memcmp(a->ip, b->ip, a->family == AF_INET6 ? 16 : 4);
    return order ? order : (a->port > b->port) - (a->port < b->port);
}

static int compare_added(const void *a, const void *b)
{
    const struct added_endpoint *x = a, *y = b;
    int order = compare_addresses(&x->address, &y->address);
    if (order == 0)
        order = x->is_retiring - y->is_retiring;
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

// Sorts by address and keeps the first of each that was added, a real one rather than one that
// retires; returns their number.
static uint32_t sort_endpoints(struct added_endpoint *added, uint32_t n)
{
    if (n < 2)
        return n;
    qsort(added, n, sizeof(*added), compare_added);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < n; i++) {
        if (compare_addresses(&added[i].address, &added[kept - 1].address) != 0)
            added[kept++] = added[i];
    }
    return kept;
}

struct endpoint_key {
    char address[ADDRESS_KEY_MAX];
    char transport[sizeof(struct tls_context *) + 2];
};

// The address and how connections to it are opened: what one cluster left open another may take
// only if it would have opened it in the same way. A context is named by where it lies: whoever
// holds the slot holds the context, so nothing else can come to lie there meanwhile.
static struct str endpoint_key(struct endpoint_key *key, size_t address_len,
                               const struct cluster *cluster)
{
    if (!cluster->tls && !cluster->proxy_protocol && cluster->protocol == CLUSTER_HTTP1)
        return (struct str){key->address, address_len};
    char *at = key->address + address_len;
    at = mempcpy(at, &cluster->tls, sizeof(cluster->tls));
    *at++ = (char)cluster->proxy_protocol;
    *at++ = (char)cluster->protocol;
    return (struct str){key->address, (size_t)(at - key->address)};
}

static void seal_endpoint(struct seal *seal, struct cluster *cluster, struct endpoint *endpoint,
                          const struct added_endpoint *added)
{
    struct endpoint_key bytes;
    char text[ADDRESS_TEXT_MAX];
    struct str address = address_key(&added->address, 0, 0, bytes.address);
    struct str key = endpoint_key(&bytes, address.len, cluster);
    uint64_t identity;
    endpoint->address = added->address;
    endpoint->weight = added->weight;
    endpoint->slot = registry_acquire_slot(seal->registry, SLOT_ENDPOINT, key, &identity);
    size_t len = address_format(&added->address, text);
    endpoint->text = arena_str(seal->arena, (struct str){text, len});
    set_identity(&seal->endpoint_identities, endpoint->slot, identity);
    if (added->is_retiring)
        return; // no balancer draws it
    cluster->total_weight += added->weight;
    cluster->endpoints_hash =
        (uint32_t)hash_seeded(address.ptr, address.len, cluster->endpoints_hash + added->weight);
}

// The real ones, then those that retire.
static void seal_endpoints(struct seal *seal, struct cluster *cluster, struct endpoint *endpoints,
                           const struct added_endpoint *added, uint32_t n)
{
    cluster->endpoints = endpoints;
    cluster->n_endpoints = cluster->n_retiring = 0;
    cluster->total_weight = 0;
    cluster->has_weights = false;
    cluster->endpoints_hash = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (added[i].is_retiring)
            continue;
        seal_endpoint(seal, cluster, &endpoints[cluster->n_endpoints++], &added[i]);
        if (added[i].weight != endpoints[0].weight)
            cluster->has_weights = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (added[i].is_retiring)
            seal_endpoint(seal, cluster, &endpoints[cluster->n_endpoints + cluster->n_retiring++],
                          &added[i]);
    }
}

static void seal_cluster(struct seal *seal, struct cluster_cell *cell)
{
    struct cluster *cluster = &cell->cluster;
    uint64_t identity;
    cluster->slot = registry_acquire_slot(seal->registry, SLOT_CLUSTER, cluster->name, &identity);
    set_identity(&seal->cluster_identities, cluster->slot, identity);

    struct added_endpoint *added = cell->added.items; // shares its room with near[]
    uint32_t n = sort_endpoints(added, cell->added.n);
    memset(cell->near, 0, sizeof(cell->near));
    seal_endpoints(seal, cluster,
                   n <= NEAR_ENDPOINTS ? cell->near : ARENA_ARRAY(seal->arena, struct endpoint, n),
                   added, n);
}

static void seal_clusters(struct seal *seal)
{
    uint32_t n = (uint32_t)map_count(seal->builder->clusters);
    struct named *sorted = ARENA_ARRAY(seal->builder->scratch, struct named, n);
    struct named *next = sorted;
    size_t cursor = 0;
    while (map_next(seal->builder->clusters, &cursor, &next->name, &next->item))
        next++;
    sort_by_name(sorted, n);
    const struct cluster **clusters = ARENA_ARRAY(seal->arena, const struct cluster *, n);
    for (uint32_t i = 0; i < n; i++) {
        struct cluster_cell *cell = sorted[i].item;
        cell->cluster.name = sorted[i].name;
        seal_cluster(seal, cell);
        clusters[i] = &cell->cluster;
    }
    seal->snapshot->clusters = clusters;
    seal->snapshot->n_clusters = n;
}

// ---- virtual hosts ----

// The order of things in a virtual host's run of memory, first to measure and then to fill it.
// Everything that a request with one route looks at lies in a few neighbouring lines.
struct layout {
    size_t routes; // array of pointers
    size_t name;   // then the paths
    size_t bodies; // the routes, each with its targets behind it
    size_t bytes;
};

static size_t route_bytes(const struct route *route)
{
    return align_size(sizeof(*route) + route->n_targets * sizeof(struct target), VHOST_UNIT);
}

static struct layout lay_out(const struct builder_vhost *vhost)
{
    struct layout layout;
    layout.routes = sizeof(struct vhost);
    layout.name = layout.routes + vhost->n_routes * sizeof(struct route *);
    size_t end = layout.name + vhost->name.len;
    for (uint32_t i = 0; i < vhost->n_routes; i++)
        end += vhost->routes[i]->path.len;
    layout.bodies = align_size(end, VHOST_UNIT);
    layout.bytes = layout.bodies;
    for (uint32_t i = 0; i < vhost->n_routes; i++)
        layout.bytes += route_bytes(vhost->routes[i]);
    return layout;
}

static struct str put_text(char **at, struct str text)
{
    struct str copy = {*at, text.len};
    if (text.len)
        *at = mempcpy(*at, text.ptr, text.len);
    return copy;
}

static void prepare_regexes(const struct route *route)
{
    if (route->path_regex)
        regex_prepare(route->path_regex, REGEX_FOR_SEARCH);
    if (route->rewrite && route->rewrite->regex)
        regex_prepare(route->rewrite->regex, REGEX_FOR_SEARCH);
    for (uint32_t i = 0; i < route->n_matches; i++) {
        if (route->matches[i].value.regex)
            regex_prepare(route->matches[i].value.regex, REGEX_FOR_WHOLE);
    }
}

static void seal_vhost(struct seal *seal, struct builder_vhost *from, char *room,
                       const struct layout *layout)
{
    struct vhost *vhost = (struct vhost *)room;
    const struct route **routes = (const struct route **)(room + layout->routes);
    char *text = room + layout->name;
    char *body = room + layout->bodies;
    *vhost = (struct vhost){
        .name = put_text(&text, from->name),
        .routes = routes,
        .n_routes = from->n_routes,
        .is_one_label = from->is_one_label,
        .chain = from->chain ? seal_chain(seal, from->chain) : NULL,
    };
    for (uint32_t i = 0; i < from->n_routes; i++) {
        struct route *route = (struct route *)body;
        *route = *from->routes[i];
        body += route_bytes(route);
        route->rank = i;
        route->path = put_text(&text, route->path);
        if (route->path_kind == PATH_PREFIX_SEGMENT && str_has_suffix(route->path, STR("/")))
            route->path.len--;
        if (route->n_targets)
            route->targets =
                memcpy(route + 1, route->targets, route->n_targets * sizeof(struct target));
        prepare_regexes(route);
        routes[i] = route;
    }
    if (vhost->n_routes >= PATH_INDEX_MIN)
        vhost->index = path_index_build(seal->arena, routes, vhost->n_routes);
    from->sealed = vhost;
}

// Once all that have routes are sealed.
static void seal_alias(struct builder_vhost *from)
{
    const struct vhost *of = from->alias_of->sealed;
    from->sealed->routes = of->routes;
    from->sealed->n_routes = of->n_routes;
    from->sealed->index = of->index;
    from->sealed->alias_of = of;
}

// By name; of one name the narrower, for one label, first.
static struct named *sort_vhosts(struct seal *seal, struct builder_hosts *from, uint32_t *ret_n)
{
    uint32_t n = (uint32_t)(map_count(from->vhosts[0]) + map_count(from->vhosts[1]));
    struct named *sorted = ARENA_ARRAY(seal->builder->scratch, struct named, n);
    struct named *next = sorted;
    for (int is_one_label = 1; is_one_label >= 0; is_one_label--) {
        size_t cursor = 0;
        while (map_next(from->vhosts[is_one_label], &cursor, &next->name, &next->item))
            next++;
    }
    sort_by_name(sorted, n);
    *ret_n = n;
    return sorted;
}

const struct http_hosts *seal_hosts(struct seal *seal, struct builder_hosts *from)
{
    if (from->sealed)
        return from->sealed;
    uint32_t n;
    struct named *sorted = sort_vhosts(seal, from, &n);
    struct layout *layouts = ARENA_ARRAY(seal->builder->scratch, struct layout, n);
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        layouts[i] = lay_out(sorted[i].item);
        bytes += layouts[i].bytes;
    }
    char *room = align(arena_zalloc(seal->arena, bytes + VHOST_UNIT), VHOST_UNIT);
    const struct vhost **vhosts = ARENA_ARRAY(seal->arena, const struct vhost *, n);
    const char *base = room;
    for (uint32_t i = 0; i < n; i++) {
        struct builder_vhost *vhost = sorted[i].item;
        seal_vhost(seal, vhost, room, &layouts[i]);
        vhosts[i] = vhost->sealed;
        room += layouts[i].bytes;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct builder_vhost *vhost = sorted[i].item;
        if (vhost->alias_of)
            seal_alias(vhost);
    }
    struct http_hosts *hosts = ARENA_NEW(seal->arena, struct http_hosts);
    hosts->vhosts = vhosts;
    hosts->n_vhosts = n;
    hosts->table = host_table_build(seal->arena, base, vhosts, n);
    from->sealed = hosts;
    return hosts;
}

// ---- the whole ----

static const uint64_t *keep_identities(struct arena *arena, struct identities *identities)
{
    const uint64_t *kept =
        arena_copy(arena, identities->items, identities->n * sizeof(*identities->items));
    free(identities->items);
    return kept;
}

// What the builder held is the snapshot's from here on.
static struct holds *keep_holds(struct seal *seal)
{
    struct holds *kept = ARENA_ARRAY(seal->arena, struct holds, SHARED_KIND_COUNT);
    for (int kind = 0; kind < SHARED_KIND_COUNT; kind++) {
        struct holds *from = &seal->builder->holds[kind];
        kept[kind].n = from->n;
        kept[kind].items = arena_copy(seal->arena, from->items, from->n * sizeof(*from->items));
        from->n = 0;
    }
    return kept;
}

struct snapshot *builder_seal(struct snapshot_builder **taken, uint64_t generation)
{
    struct snapshot_builder *builder = *taken;
    *taken = NULL;
    struct seal seal = {
        .builder = builder,
        .registry = builder->registry,
        .arena = builder->arena,
        .snapshot = ARENA_NEW(builder->arena, struct snapshot),
    };
    seal_clusters(&seal);
    seal_listeners(&seal);

    struct snapshot *snapshot = seal.snapshot;
    snapshot->generation = generation;
    snapshot->built_wall_ns = clock_wall_ns();
    snapshot->n_cluster_slots = seal.cluster_identities.n;
    snapshot->n_endpoint_slots = seal.endpoint_identities.n;
    snapshot->cluster_identity = keep_identities(seal.arena, &seal.cluster_identities);
    snapshot->endpoint_identity = keep_identities(seal.arena, &seal.endpoint_identities);
    snapshot->arena = seal.arena;
    snapshot->registry = seal.registry;
    snapshot->released = keep_holds(&seal);
    arena_trim(seal.arena);

    builder->arena = NULL; // the snapshot's now
    builder_destroy(builder);
    return snapshot;
}
