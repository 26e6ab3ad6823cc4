// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "http/chars.h"
#include "route/builder_parts.h"
#include <stdlib.h>

enum { FIRST_SLAB = 8, SLAB_MAX = 128 };

struct snapshot_builder *builder_create(struct registry *registry)
{
    struct snapshot_builder *builder = calloc(1, sizeof(*builder));
    CHECK(builder);
    builder->registry = registry;
    builder->arena = arena_create(0);
    builder->scratch = arena_create(0);
    builder->clusters = map_create();
    builder->listeners = map_create();
    builder->next_slab = FIRST_SLAB;
    return builder;
}

void builder_destroy(struct snapshot_builder *builder)
{
    if (!builder)
        return;
    for (int kind = 0; kind < SHARED_KIND_COUNT; kind++) {
        struct holds *holds = &builder->holds[kind];
        for (uint32_t i = 0; i < holds->n; i++)
            registry_release_shared(builder->registry, (enum shared_kind)kind, holds->items[i]);
        free(holds->items);
    }
    for (struct builder_hosts *hosts = builder->hosts; hosts; hosts = hosts->next) {
        map_destroy(hosts->vhosts[0]);
        map_destroy(hosts->vhosts[1]);
    }
    for (struct builder_captured *captured = builder->captured; captured; captured = captured->next)
        map_destroy(captured->by_address);
    size_t cursor = 0;
    struct str key;
    void *listener = NULL;
    while (map_next(builder->listeners, &cursor, &key, &listener))
        map_destroy(((struct builder_listener *)listener)->captured);
    map_destroy(builder->listeners);
    map_destroy(builder->clusters);
    arena_destroy(builder->scratch);
    arena_destroy(builder->arena); // NULL once sealed
    free(builder);
}

struct arena *builder_arena(struct snapshot_builder *builder)
{
    return builder->arena;
}

// Room for one element more in an array that lives in an arena (what it outgrows stays there).
static void *grow(struct arena *arena, void *items, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 2;
    void *larger = arena_alloc(arena, *cap * size);
    if (n)
        memcpy(larger, items, n * size);
    return larger;
}

// ---- clusters ----

static struct cluster_cell *new_cell(struct snapshot_builder *builder)
{
    if (builder->n_cells == 0) {
        uint32_t n = builder->next_slab;
        char *slab = arena_zalloc(builder->arena,
                                  n * sizeof(struct cluster_cell) + _Alignof(struct cluster_cell));
        slab += -(uintptr_t)slab % _Alignof(struct cluster_cell);
        builder->cells = (struct cluster_cell *)slab;
        builder->n_cells = n;
        if (builder->next_slab < SLAB_MAX)
            builder->next_slab *= 2;
    }
    builder->n_cells--;
    return builder->cells++;
}

struct cluster *builder_cluster(struct snapshot_builder *builder, struct str name, bool *ret_is_new)
{
    struct cluster_cell *cell = map_find(builder->clusters, name);
    *ret_is_new = !cell;
    if (!cell) {
        cell = new_cell(builder);
        cell->cluster.name = arena_str(builder->arena, name);
        map_put(builder->clusters, cell->cluster.name, cell);
    }
    return &cell->cluster;
}

static void add_endpoint(struct snapshot_builder *builder, struct cluster *cluster,
                         const struct added_endpoint *endpoint)
{
    struct cluster_cell *cell = (struct cluster_cell *)cluster;
    cell->added.items = grow(builder->scratch, cell->added.items, cell->added.n, &cell->added.cap,
                             sizeof(*cell->added.items));
    uint32_t order = cell->added.n++;
    cell->added.items[order] = *endpoint;
    cell->added.items[order].order = order;
}

void builder_add_endpoint(struct snapshot_builder *builder, struct cluster *cluster,
                          const struct address *address, uint32_t weight)
{
    add_endpoint(builder, cluster,
                 &(struct added_endpoint){.address = *address, .weight = weight ? weight : 1});
}

void builder_add_retiring(struct snapshot_builder *builder, struct cluster *cluster,
                          const struct address *address)
{
    add_endpoint(builder, cluster,
                 &(struct added_endpoint){.address = *address, .weight = 1, .is_retiring = true});
}

uint32_t builder_n_endpoints(const struct cluster *cluster)
{
    return ((const struct cluster_cell *)cluster)->added.n;
}

const struct address *builder_endpoint(const struct cluster *cluster, uint32_t i)
{
    return &((const struct cluster_cell *)cluster)->added.items[i].address;
}

// ---- listeners, virtual hosts, routes ----

struct str address_key(const struct address *address, uint16_t port, uint8_t kind,
                       char out[ADDRESS_KEY_MAX])
{
    size_t ip_len = address->family == AF_INET6 ? 16 : 4;
    memcpy(out, &kind, 1);
    memcpy(out + 1, &address->family, 1);
    memcpy(out + 2, &address->port, 2);
    memcpy(out + 4, &port, 2);
    memcpy(out + 6, address->ip, ip_len);
    return (struct str){out, 6 + ip_len};
}

// Port 0 asks the kernel for any: those are apart by the manifest's port.
static struct str listener_key(const struct address *bind, uint16_t port,
                               char bytes[ADDRESS_KEY_MAX])
{
    return address_key(bind, bind->port ? 0 : port, 0, bytes);
}

bool builder_has_listener(const struct snapshot_builder *builder, const struct address *bind,
                          uint16_t port)
{
    char bytes[ADDRESS_KEY_MAX];
    return map_find(builder->listeners, listener_key(bind, port, bytes)) != NULL;
}

struct builder_listener *builder_listener(struct snapshot_builder *builder, enum listener_kind kind,
                                          const struct address *bind, uint16_t port,
                                          struct str origin)
{
    char bytes[ADDRESS_KEY_MAX];
    struct str key = listener_key(bind, port, bytes);
    struct builder_listener *listener = map_find(builder->listeners, key);
    if (listener)
        return listener->listener.kind == kind ? listener : NULL;
    listener = ARENA_NEW(builder->scratch, struct builder_listener);
    listener->builder = builder;
    if (kind == LISTENER_HTTP || kind == LISTENER_TLS)
        listener->hosts = builder_hosts(builder);
    char text[ADDRESS_TEXT_MAX];
    address_format(bind, text);
    listener->listener = (struct listener){
        .name = arena_printf(builder->arena, "%s %s", listener_kind_word(kind), text),
        .kind = kind,
        .bind = *bind,
        .port = port,
        .origin = arena_str(builder->arena, origin),
    };
    key.ptr = arena_copy(builder->scratch, key.ptr, key.len);
    map_put(builder->listeners, key, listener);
    return listener;
}

void builder_tcp_route_into(struct snapshot_builder *builder, struct added_tcp_routes *routes,
                            const struct tcp_route *route)
{
    routes->items =
        grow(builder->scratch, routes->items, routes->n, &routes->cap, sizeof(*routes->items));
    routes->items[routes->n++] = *route;
}

void builder_add_tcp_route(struct builder_listener *listener, const struct tcp_route *route)
{
    CHECK(listener->listener.kind == LISTENER_TCP);
    builder_tcp_route_into(listener->builder, &listener->tcp, route);
}

void builder_listener_accept_proxy(struct builder_listener *listener)
{
    listener->listener.accepts_proxy = true;
}

void builder_accept_proxy(struct snapshot_builder *builder,
                          bool (*wanted)(const void *arg, uint16_t port), const void *arg)
{
    size_t cursor = 0;
    struct str key;
    void *listener = NULL;
    while (map_next(builder->listeners, &cursor, &key, &listener)) {
        if (wanted(arg, ((struct builder_listener *)listener)->listener.port))
            builder_listener_accept_proxy(listener);
    }
}

struct builder_hosts *builder_hosts(struct snapshot_builder *builder)
{
    struct builder_hosts *hosts = ARENA_NEW(builder->scratch, struct builder_hosts);
    hosts->builder = builder;
    hosts->vhosts[0] = map_create();
    hosts->vhosts[1] = map_create();
    hosts->next = builder->hosts;
    builder->hosts = hosts;
    return hosts;
}

struct builder_hosts *builder_listener_hosts(struct builder_listener *listener)
{
    CHECK(listener->listener.kind == LISTENER_HTTP);
    return listener->hosts;
}

struct builder_chain *builder_chain_into(struct snapshot_builder *builder,
                                         struct builder_hosts *names,
                                         const struct filter_chain *chain,
                                         struct builder_hosts *hosts)
{
    CHECK(chain->is_http == (hosts != NULL));
    struct builder_chain *added = ARENA_NEW(builder->scratch, struct builder_chain);
    added->builder = builder;
    added->names = names;
    added->chain = *chain;
    added->chain.name = arena_str(builder->arena, chain->name);
    added->chain.origin = arena_str(builder->arena, chain->origin);
    added->hosts = hosts;
    return added;
}

struct builder_chain *builder_chain(struct builder_listener *listener,
                                    const struct filter_chain *chain, struct builder_hosts *hosts)
{
    CHECK(listener->listener.kind == LISTENER_TLS);
    return builder_chain_into(listener->builder, listener->hosts, chain, hosts);
}

void builder_chain_add_tcp_route(struct builder_chain *chain, const struct tcp_route *route)
{
    CHECK(!chain->chain.is_http);
    builder_tcp_route_into(chain->builder, &chain->tcp, route);
}

struct builder_chain *builder_chain_add_name(struct builder_chain *chain, struct str name,
                                             bool is_one_label)
{
    struct builder_vhost *vhost = builder_vhost(chain->names, name, is_one_label);
    if (vhost->chain)
        return vhost->chain;
    vhost->chain = chain;
    return NULL;
}

const struct filter_chain *builder_chain_facts(const struct builder_chain *chain)
{
    return &chain->chain;
}

struct builder_vhost *builder_vhost(struct builder_hosts *hosts, struct str name, bool is_one_label)
{
    is_one_label = is_one_label && str_has_prefix(name, STR("*."));
    struct map *vhosts = hosts->vhosts[is_one_label];
    struct builder_vhost *vhost = map_find(vhosts, name);
    if (vhost)
        return vhost;
    struct arena *scratch = hosts->builder->scratch;
    vhost = ARENA_NEW(scratch, struct builder_vhost);
    vhost->builder = hosts->builder;
    vhost->name = arena_str(scratch, name);
    vhost->is_one_label = is_one_label;
    map_put(vhosts, vhost->name, vhost);
    return vhost;
}

bool builder_has_vhost(const struct builder_hosts *hosts, struct str name)
{
    return map_find(hosts->vhosts[0], name) || map_find(hosts->vhosts[1], name);
}

bool builder_vhost_alias(struct builder_hosts *hosts, struct str name, struct builder_vhost *of)
{
    CHECK(!of->alias_of && !of->chain);
    if (builder_has_vhost(hosts, name))
        return false;
    builder_vhost(hosts, name, false)->alias_of = of;
    return true;
}

// Whoever reads what users write refuses texts that would end a line of a message's head. One that
// comes this far would let a route write headers, or requests, of its own.
static bool fits_a_head(struct str text)
{
    return text.len == 0 ||
           scan_value(text.ptr, text.ptr, text.ptr + text.len) == text.ptr + text.len;
}

static void check_ops(const struct header_ops *ops)
{
    for (uint32_t i = 0; i < ops->n; i++)
        CHECK(fits_a_head(ops->ops[i].name) && fits_a_head(ops->ops[i].text));
}

static void check_texts(const struct route *route)
{
    const struct rewrite *rewrite = route->rewrite;
    const struct redirect *redirect = route->redirect;
    if (rewrite)
        CHECK(fits_a_head(rewrite->text) && fits_a_head(rewrite->authority));
    if (redirect)
        CHECK(fits_a_head(redirect->scheme) && fits_a_head(redirect->host) &&
              fits_a_head(redirect->path) && fits_a_head(redirect->prefix_rewrite));
    check_ops(&route->request_ops);
    check_ops(&route->response_ops);
    for (uint16_t i = 0; i < route->n_targets; i++) {
        check_ops(&route->targets[i].request_ops);
        check_ops(&route->targets[i].response_ops);
    }
}

struct route *builder_add_route(struct builder_vhost *vhost, const struct route *route)
{
    struct arena *scratch = vhost->builder->scratch;
    check_texts(route);
    CHECK(!vhost->alias_of);
    struct route *copy = arena_copy(scratch, route, sizeof(*route));
    copy->rank = vhost->n_routes;
    vhost->routes = grow(scratch, vhost->routes, vhost->n_routes, &vhost->cap, sizeof(copy));
    vhost->routes[vhost->n_routes++] = copy;
    return copy;
}

// ---- what snapshots share ----

static void keep_hold(struct snapshot_builder *builder, enum shared_kind kind, uint32_t hold)
{
    struct holds *holds = &builder->holds[kind];
    if (holds->n == holds->cap) {
        holds->cap = holds->cap ? holds->cap * 2 : 16;
        holds->items = realloc(holds->items, holds->cap * sizeof(*holds->items));
        CHECK(holds->items);
    }
    holds->items[holds->n++] = hold;
}

const struct regex *builder_regex(struct snapshot_builder *builder, struct str pattern,
                                  unsigned flags, char *reterr_message, size_t reterr_size,
                                  size_t *reterr_offset)
{
    uint32_t hold;
    const struct regex *regex = registry_acquire_regex(builder->registry, pattern, flags, &hold,
                                                       reterr_message, reterr_size, reterr_offset);
    if (regex)
        keep_hold(builder, SHARED_REGEX, hold);
    return regex;
}

struct tls_context *builder_tls_server(struct snapshot_builder *builder,
                                       const struct tls_server_config *config,
                                       struct tls_error *reterr)
{
    uint32_t hold;
    struct tls_context *context =
        registry_acquire_tls_server(builder->registry, config, &hold, reterr);
    if (context)
        keep_hold(builder, SHARED_TLS, hold);
    return context;
}

struct tls_context *builder_tls_client(struct snapshot_builder *builder,
                                       const struct tls_client_config *config,
                                       struct tls_error *reterr)
{
    uint32_t hold;
    struct tls_context *context =
        registry_acquire_tls_client(builder->registry, config, &hold, reterr);
    if (context)
        keep_hold(builder, SHARED_TLS, hold);
    return context;
}

const struct certificate_look *builder_certificate(struct snapshot_builder *builder, struct str pem,
                                                   struct str host)
{
    uint32_t hold;
    const struct certificate_look *look =
        registry_acquire_certificate(builder->registry, pem, host, &hold);
    keep_hold(builder, SHARED_CERTIFICATE, hold);
    return look;
}

void builder_self_signed(struct snapshot_builder *builder, struct str *ret_certificate,
                         struct str *ret_key)
{
    registry_self_signed(builder->registry, ret_certificate, ret_key);
}
