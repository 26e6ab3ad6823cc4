// SPDX-License-Identifier: Apache-2.0
// What a sidecar serves: the ports that its workload dials, and those where it is dialled. No
// Gateway, no Ingress and no nodePort.
#include "compile/sidecar.h"
#include "base/check.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"

// ---- ports ----

struct outbound_port *sidecar_port(struct sidecar_context *s, uint16_t number)
{
    struct str key = {(const char *)&number, sizeof number};
    struct outbound_port *port = map_find(s->ports, key);
    if (port)
        return port;
    port = ARENA_NEW(s->c->scratch, struct outbound_port);
    port->number = number;
    port->end = &port->first;
    port->captured = builder_captured(s->listener, number);
    key.ptr = (const char *)&port->number;
    map_put(s->ports, key, port);
    *s->ports_end = port;
    s->ports_end = &port->next;
    return port;
}

struct str sidecar_origin(struct sidecar_context *s, const struct outbound_host *at)
{
    const struct catalog_port *port = at->port;
    return port->of_entry
               ? origin_of(s->c, port->entry, port->of_entry->line, port->of_entry->col)
               : origin_of(s->c, at->host->object, port->of_service->line, port->of_service->col);
}

const struct wildcard_host *sidecar_find_wildcard(struct sidecar_context *s, struct str name)
{
    if (map_count(s->wildcards) == 0)
        return NULL;
    for (size_t at = host_is_wildcard(name) ? 2 : 1; at < name.len; at++) {
        const struct wildcard_host *wildcard =
            name.ptr[at] == '.'
                ? map_find(s->wildcards, JOIN_BRIEF(s->c, STR("*"), str_from(name, at)))
                : NULL;
        if (wildcard)
            return wildcard;
    }
    return NULL;
}

struct collecting {
    struct sidecar_context *s;
    const struct catalog_port *port;
};

static void add_wildcard(struct sidecar_context *s, struct str name, struct outbound_port *port)
{
    struct wildcard_host *wildcard = ARENA_NEW(s->c->scratch, struct wildcard_host);
    *wildcard = (struct wildcard_host){.port = port, .next = map_find(s->wildcards, name)};
    map_put(s->wildcards, name, wildcard);
}

// Who dials one of its endpoints means that one.
static void keep_dialled(struct sidecar_context *s, const struct catalog_host *host,
                         const struct catalog_port *port)
{
    struct cluster *cluster = catalog_cluster(s->c, host, port, STR_NONE);
    if (cluster->discovery == CLUSTER_STATIC && builder_n_endpoints(cluster) > 0)
        cluster->discovery = CLUSTER_ORIGINAL_DST;
}

static void add_host(void *arg, const struct catalog_host *host, struct scope_protocol protocol)
{
    const struct collecting *collecting = arg;
    struct sidecar_context *s = collecting->s;
    struct outbound_port *port = sidecar_port(s, collecting->port->number);
    struct outbound_host *at = ARENA_NEW(s->c->scratch, struct outbound_host);
    *at = (struct outbound_host){.host = host,
                                 .port = collecting->port,
                                 .protocol = protocol.is_set ? protocol.protocol
                                                             : collecting->port->protocol};
    *port->end = at;
    port->end = &at->next;
    port->has_http |= at->protocol == PORT_HTTP || at->protocol == PORT_HTTP2;
    port->has_tls |= at->protocol == PORT_TLS;
    port->has_tcp |= at->protocol == PORT_TCP;
    port->has_unsaid |= at->protocol == PORT_SAYS_NOTHING;
    if (sidecar_is_headless(host))
        keep_dialled(s, host, collecting->port);
    if (host_is_wildcard(host->name))
        add_wildcard(s, host->name, port);
    sidecar_mesh_claim(s, s->http_claims, host->name); // is declared, whatever its ports speak
}

static void collect(struct sidecar_context *s)
{
    size_t n;
    const struct catalog_host *const *all = catalog_all(s->c, &n);
    for (size_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < all[i]->n_ports; k++) {
            struct collecting collecting = {s, &all[i]->ports[k]};
            sidecar_scope_visit(s->scope, all[i], all[i]->ports[k].number, add_host, &collecting);
        }
    }
}

// ---- what is declared nowhere ----

struct cluster *sidecar_passthrough(struct compiler *c, struct str name)
{
    bool is_new;
    struct cluster *cluster = builder_cluster(c->builder, name, &is_new);
    if (is_new) {
        policy_defaults(cluster);
        cluster->discovery = CLUSTER_ORIGINAL_DST;
        cluster->protocol = CLUSTER_AS_CLIENT;
    }
    return cluster;
}

static void choose_fallback(struct sidecar_context *s)
{
    struct compiler *c = s->c;
    const struct object *object = sidecar_scope_object(s->scope);
    const struct sidecar *sidecar = object ? object->sidecar : NULL;
    s->is_registry_only = c->is_registry_only = sidecar_is_registry_only(c, object);
    if (s->is_registry_only)
        s->fallback = black_hole_cluster(c);
    else if (sidecar && sidecar->has_egress_proxy)
        s->fallback = vs_host_cluster(c, object, &sidecar->egress_proxy, 0,
                                      STR("spec.outboundTrafficPolicy.egressProxy"), WAY_TCP);
    else
        s->fallback = sidecar_passthrough(c, STR("PassthroughCluster"));
}

static void add_others(struct sidecar_context *s)
{
    struct builder_captured *others = builder_captured(s->listener, 0);
    struct tcp_route route = sidecar_tcp_route(s->c, s->fallback, STR_NONE);
    builder_captured_add_tcp(others, NULL, &route);
    sidecar_add_any_host(s, builder_captured_hosts(others));
}

// ---- objects for others ----

// One note for all of them: where a sidecar reads what the whole mesh does, they are no mistake.
static void report_gateway_objects(struct compiler *c)
{
    static const enum kind kinds[] = {KIND_GATEWAY, KIND_INGRESS, KIND_VIRTUAL_SERVICE};
    const struct object *first = NULL;
    size_t count = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        size_t n = 0;
        const struct object *const *all = store_all(c->store, kinds[k], &n);
        for (size_t i = 0; i < n; i++) {
            const struct virtual_service *vs =
                kinds[k] == KIND_VIRTUAL_SERVICE ? all[i]->virtual_service : NULL;
            if (vs && (vs->gateways.n == 0 || vs_names_mesh(&vs->gateways)))
                continue; // delegates, too, name none
            first = first ? first : all[i];
            count++;
        }
    }
    if (count == 1)
        complain(c, DIAG_GATEWAY_ONLY, first, first->name_line, first->name_col,
                 STR("metadata.name"), "is for gateways; a sidecar does not serve it");
    else if (count > 1)
        complain(
            c, DIAG_GATEWAY_ONLY, first, first->name_line, first->name_col, STR("metadata.name"),
            "this and %zu more objects are for gateways; a sidecar does not serve them", count - 1);
}

// ---- the whole ----

static struct builder_listener *open_listener(struct compiler *c, enum listener_kind kind,
                                              uint16_t port)
{
    struct address bind = c->options->bind;
    bind.port = port;
    struct builder_listener *listener =
        builder_listener(c->builder, kind, &bind, port, STR("--sidecar"));
    CHECK(listener != NULL); // the options have seen to it that the ports differ
    if (c->options->is_transparent)
        builder_listener_be_transparent(listener);
    return listener;
}

static void compile_outbound(struct sidecar_context *s)
{
    struct compiler *c = s->c;
    s->listener = open_listener(c, LISTENER_OUTBOUND, c->options->outbound_port);
    s->ports = map_create();
    s->ports_end = &s->first_port;
    s->wildcards = map_create();
    choose_fallback(s);
    add_others(s);
    sidecar_mesh_create(s);
    collect(s);
    sidecar_http_compile(s);
    sidecar_l4_compile(s);
    sidecar_mesh_report(s);
    sidecar_l4_report(s);
    sidecar_scope_report(s->scope);
    for (struct outbound_port *port = s->first_port; port; port = port->next) {
        map_destroy(port->owners);
        map_destroy(port->chains);
    }
    sidecar_mesh_destroy(s);
    map_destroy(s->wildcards);
    map_destroy(s->ports);
}

void sidecar_compile(struct compiler *c)
{
    struct sidecar_context s = {.c = c, .scope = sidecar_scope_create(c)};
    if (c->options->outbound_port)
        compile_outbound(&s);
    if (c->options->inbound_port) {
        s.listener = open_listener(c, LISTENER_INBOUND, c->options->inbound_port);
        sidecar_inbound_compile(&s);
    }
    report_gateway_objects(c);
}
