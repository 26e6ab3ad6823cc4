// SPDX-License-Identifier: Apache-2.0
// VirtualServices bound to `mesh`. Their rules for HTTP are not merged, as at a gateway: the first
// of them has the host, in the order private to our namespace, exported to it, public; each oldest
// first.
#include "compile/hosts.h"
#include "compile/sidecar.h"

struct mesh_routes {
    uint16_t port;
    struct vs_routes *routes;
    struct mesh_routes *next;
};

static bool is_for_mesh(const struct object *object)
{
    const struct virtual_service *vs = object->virtual_service;
    return vs->hosts.n > 0 && (vs->gateways.n == 0 || vs_names_mesh(&vs->gateways));
}

static void report_taken(struct sidecar_context *s, const struct mesh_service *service,
                         uint32_t index, const struct mesh_claim *claim)
{
    const struct object *older = claim->service->object;
    const struct text *text = &service->object->virtual_service->hosts.items[index];
    complain(s->c, DIAG_MESH_HOST_TAKEN, service->object, text->line, text->col,
             path_item(s->c, STR("spec"), "hosts", index), "\"%.*s\" is routed by %.*s",
             STR_ARG(service->hosts[index]),
             STR_ARG(place_text(s->c, older, older->name_line, older->name_col)));
}

// Behind those of earlier VirtualServices. Returns the first, NULL: this is it.
static const struct mesh_claim *claim_host(struct sidecar_context *s, struct map *claims,
                                           struct mesh_service *service, struct str host)
{
    struct mesh_claim *claim = ARENA_NEW(s->c->scratch, struct mesh_claim);
    struct mesh_claim *first = map_find(claims, host);
    claim->service = service;
    if (first)
        first->last->next = claim;
    else
        map_put(claims, host, claim);
    (first ? first : claim)->last = claim;
    return first;
}

static void claim_hosts(struct sidecar_context *s, struct mesh_service *service)
{
    const struct virtual_service *vs = service->object->virtual_service;
    for (uint32_t i = 0; i < service->n_hosts; i++) {
        const struct mesh_claim *taken =
            vs->n_http > 0 ? claim_host(s, s->http_claims, service, service->hosts[i]) : NULL;
        if (taken)
            report_taken(s, service, i, taken);
        if (vs->n_tcp > 0)
            claim_host(s, s->tcp_claims, service, service->hosts[i]);
        if (vs->n_tls > 0)
            claim_host(s, s->tls_claims, service, service->hosts[i]);
    }
}

static struct mesh_service *read_service(struct sidecar_context *s, const struct object *object)
{
    struct compiler *c = s->c;
    const struct texts *hosts = &object->virtual_service->hosts;
    struct mesh_service *service = ARENA_NEW(c->scratch, struct mesh_service);
    service->object = object;
    service->n_hosts = hosts->n;
    service->hosts = ARENA_ARRAY(c->scratch, struct str, hosts->n);
    for (uint32_t i = 0; i < hosts->n; i++)
        service->hosts[i] = host_expand(c->scratch, text_str(hosts->items[i]), object->ns,
                                        c->options->cluster_domain);
    return service;
}

void sidecar_mesh_create(struct sidecar_context *s)
{
    struct compiler *c = s->c;
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_VIRTUAL_SERVICE, &n);
    struct mesh_service **end = &s->services;
    uint32_t order = 0;
    s->http_claims = map_create();
    s->tcp_claims = map_create();
    s->tls_claims = map_create();
    for (unsigned class = VISIBLE_PRIVATE; class <= VISIBLE_NOT; class ++) {
        for (size_t i = 0; i < n; i++) {
            if (!is_for_mesh(all[i]) || vs_visibility(c, all[i]) != class)
                continue;
            if (class == VISIBLE_NOT) {
                complain(c, DIAG_NOT_EXPORTED, all[i], all[i]->name_line, all[i]->name_col,
                         STR("spec.exportTo"),
                         "is not exported to namespace %.*s, where the workload is",
                         STR_ARG(c->options->ns));
                continue;
            }
            struct mesh_service *service = read_service(s, all[i]);
            if (!sidecar_scope_sees_service(s->scope, all[i], service->hosts, service->n_hosts))
                continue;
            service->prepared = vs_prepare(c, all[i]);
            service->order = order++;
            *end = service;
            end = &service->next;
            claim_hosts(s, service);
        }
    }
}

void sidecar_mesh_destroy(struct sidecar_context *s)
{
    map_destroy(s->http_claims);
    map_destroy(s->tcp_claims);
    map_destroy(s->tls_claims);
}

struct vs_routes *sidecar_mesh_routes(struct sidecar_context *s, struct mesh_service *service,
                                      uint16_t port)
{
    for (struct mesh_routes *at = service->routes; at; at = at->next) {
        if (at->port == port)
            return at->routes;
    }
    struct mesh_routes *made = ARENA_NEW(s->c->scratch, struct mesh_routes);
    *made = (struct mesh_routes){.port = port, .next = service->routes};
    made->routes = vs_routes_create(s->c, service->prepared, NULL, port);
    service->routes = made;
    return made->routes;
}

bool sidecar_mesh_sees(const struct sidecar_context *s, const struct mesh_service *service,
                       uint16_t port)
{
    return sidecar_scope_sees_on(s->scope, service->object, service->hosts, service->n_hosts, port);
}

struct mesh_claim *sidecar_mesh_claim(struct sidecar_context *s, const struct map *claims,
                                      struct str name)
{
    if (map_count(claims) == 0)
        return NULL;
    struct mesh_claim *claim = map_find(claims, name);
    // For a.b.c "*.b.c", then "*.c"; for "*.b.c" itself "*.c".
    for (size_t at = host_is_wildcard(name) ? 2 : 1; !claim && at < name.len; at++) {
        if (name.ptr[at] == '.')
            claim = map_find(claims, JOIN_BRIEF(s->c, STR("*"), str_from(name, at)));
    }
    if (claim)
        claim->is_matched = true;
    return claim;
}

// Rules for connections are of use on ports of the hosts alone.
static void report_undeclared(struct sidecar_context *s, const struct mesh_service *service)
{
    const struct virtual_service *vs = service->object->virtual_service;
    const struct l4_route *rule = vs->n_tls > 0 ? vs->tls : vs->n_tcp > 0 ? vs->tcp : NULL;
    if (!rule || service->prepared->l4_bindings)
        return;
    complain(s->c, DIAG_MATCH_NOT_APPLICABLE, service->object, rule->line, rule->col,
             path_item(s->c, STR("spec"), vs->n_tls > 0 ? "tls" : "tcp", 0),
             "never applies here: no Service and no ServiceEntry declares a host of the "
             "VirtualService with a port for %s",
             vs->n_tls > 0 ? "TLS" : "TCP");
}

void sidecar_mesh_report(struct sidecar_context *s)
{
    for (struct mesh_service *service = s->services; service; service = service->next) {
        vs_report_unreachable(s->c, service->prepared);
        vs_report_blocks(s->c, service->prepared);
        report_undeclared(s, service);
    }
    vs_report_unused_delegates(s->c);
}
