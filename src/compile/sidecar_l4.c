// SPDX-License-Identifier: Apache-2.0
// What is no HTTP: TLS is passed on by the name that it asks for (SNI), other connections go by the
// address that was dialled. Both may be routed by VirtualServices, and lead to the host itself
// otherwise.
#include "compile/hosts.h"
#include "compile/sidecar.h"
#include <stdio.h>
#include <stdlib.h>

bool sidecar_is_headless(const struct catalog_host *host)
{
    return host->is_service && str_is(text_str(host->object->service->cluster_ip), "None");
}

struct tcp_route sidecar_tcp_route(struct compiler *c, const struct cluster *cluster,
                                   struct str origin)
{
    struct target *target = ARENA_NEW(c->scratch, struct target);
    // TCP has no 502: where TLS to the endpoints cannot be had, the connection is closed.
    *target = (struct target){
        .cluster = cluster->is_unserved_protocol ? black_hole_cluster(c) : cluster, .weight = 1};
    return (struct tcp_route){
        .origin = origin, .n_targets = 1, .targets = target, .total_weight = 1};
}

static struct tcp_route default_route(struct sidecar_context *s, const struct outbound_host *at)
{
    return sidecar_tcp_route(s->c, catalog_cluster(s->c, at->host, at->port, STR_NONE),
                             sidecar_origin(s, at));
}

// ---- TLS ----

struct sni_chain {
    struct builder_chain *chain;
    bool takes_all; // whatever address was dialled
};

static bool goes_by_name(const struct outbound_host *at)
{
    return at->protocol == PORT_TLS || at->protocol == PORT_SAYS_NOTHING;
}

static struct builder_chain *open_chain(struct sidecar_context *s, struct outbound_port *port,
                                        struct str name, struct str origin)
{
    char number[NUMBER_TEXT_MAX];
    return builder_captured_chain(
        port->captured,
        &(struct filter_chain){.name = JOIN(s->c->scratch, STR("tls."),
                                            number_text(port->number, number), STR("."), name),
                               .origin = origin});
}

static struct sni_chain *add_name(struct sidecar_context *s, struct outbound_port *port,
                                  struct str name, struct builder_chain *chain)
{
    if (!port->chains)
        port->chains = map_create();
    struct sni_chain *added = ARENA_NEW(s->c->scratch, struct sni_chain);
    added->chain = chain;
    map_put(port->chains, name, added);
    builder_chain_add_name(chain, name, false);
    return added;
}

static struct sni_chain *find_name(const struct outbound_port *port, struct str name)
{
    return port->chains ? map_find(port->chains, name) : NULL;
}

struct passing { // one match of one rule of a VirtualService, on a port
    struct sidecar_context *s;
    struct outbound_port *port;
    const struct mesh_service *service;
    const struct l4_route *rule;
    const struct l4_match *match;
    struct str path; // of the match
};

static bool is_own_name(const struct passing *p, struct str name)
{
    for (uint32_t i = 0; i < p->service->n_hosts; i++) {
        if (host_is_subset(name, p->service->hosts[i]))
            return true;
    }
    return false;
}

static void pass_name(const struct passing *p, uint32_t index)
{
    struct compiler *c = p->s->c;
    const struct text *text = &p->match->sni_hosts.items[index];
    struct str name = host_lower(c->scratch, text_str(*text));
    if (name.len == 0 || !is_own_name(p, name))
        return; // of a broken match: that one it does not get
    struct sni_chain *chain = find_name(p->port, name);
    if (chain && chain->takes_all) {
        complain(c, DIAG_ROUTE_TAKEN, p->service->object, text->line, text->col,
                 path_item(c, p->path, "sniHosts", index), "port %u passes \"%.*s\" on by %.*s",
                 (unsigned)p->port->number, STR_ARG(name),
                 STR_ARG(builder_chain_facts(chain->chain)->origin));
        return;
    }
    struct tcp_route route;
    vs_l4_route(c, p->service->object, p->rule, p->match, p->path, p->port->number, &route);
    if (!chain)
        chain = add_name(p->s, p->port, name, open_chain(p->s, p->port, name, route.origin));
    builder_chain_add_tcp_route(chain->chain, &route);
    chain->takes_all = route.n_destinations == 0;
}

static void pass_by_rules(struct sidecar_context *s, struct outbound_port *port,
                          struct mesh_service *service)
{
    struct compiler *c = s->c;
    const struct virtual_service *vs = service->object->virtual_service;
    vs_bind(c, &service->prepared->l4_bindings, NULL, port->number);
    for (uint32_t i = 0; i < vs->n_tls; i++) {
        for (uint32_t k = 0; k < vs->tls[i].n_match; k++) {
            struct passing passing = {.s = s,
                                      .port = port,
                                      .service = service,
                                      .rule = &vs->tls[i],
                                      .match = &vs->tls[i].match[k]};
            if (!vs_l4_match_applies(c, service->object, passing.match, NULL, port->number))
                continue;
            passing.path = path_item(c, path_item(c, STR("spec"), "tls", i), "match", k);
            for (uint32_t n = 0; n < passing.match->sni_hosts.n; n++)
                pass_name(&passing, n);
        }
    }
}

// Names of VirtualServices under a wildcard that is declared.
static void sort_names(struct sidecar_context *s)
{
    size_t cursor = 0;
    struct str name;
    void *value;
    while (map_next(s->tls_claims, &cursor, &name, &value)) {
        struct wildcard_host *wildcard =
            (struct wildcard_host *)(uintptr_t)sidecar_find_wildcard(s, name);
        if (!wildcard)
            continue;
        struct claims_below *below = ARENA_NEW(s->c->scratch, struct claims_below);
        *below = (struct claims_below){value, wildcard->tls};
        wildcard->tls = below;
    }
}

static void want(struct map *wanted, struct mesh_claim *claim) // by the address of the struct
{
    for (; claim; claim = claim->next)
        map_put(wanted, (struct str){(const char *)&claim->service, sizeof claim->service},
                claim->service);
}

static int compare_services(const void *a, const void *b)
{
    const struct mesh_service *const *x = a, *const *y = b;
    return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

// A VirtualService counts on the ports of the hosts that it names. Which of them come first is the
// order of all.
static void pass_by_services(struct sidecar_context *s, struct outbound_port *port)
{
    struct map *wanted = map_create();
    for (const struct outbound_host *at = port->first; at; at = at->next) {
        if (goes_by_name(at))
            want(wanted, sidecar_mesh_claim(s, s->tls_claims, at->host->name));
        const struct wildcard_host *wildcard =
            host_is_wildcard(at->host->name) ? map_find(s->wildcards, at->host->name) : NULL;
        for (const struct claims_below *at_name = wildcard ? wildcard->tls : NULL; at_name;
             at_name = at_name->next)
            want(wanted, at_name->first);
    }
    uint32_t n = 0;
    struct mesh_service **services =
        ARENA_ARRAY(s->c->scratch, struct mesh_service *, map_count(wanted) + 1);
    size_t cursor = 0;
    struct str key;
    void *value;
    while (map_next(wanted, &cursor, &key, &value))
        services[n++] = value;
    map_destroy(wanted);
    qsort(services, n, sizeof(struct mesh_service *), compare_services);
    for (uint32_t i = 0; i < n; i++) {
        if (sidecar_mesh_sees(s, services[i], port->number))
            pass_by_rules(s, port, services[i]);
    }
}

static struct builder_chain *own_chain(struct sidecar_context *s, struct outbound_port *port,
                                       struct outbound_host *at)
{
    if (at->chain)
        return at->chain;
    struct tcp_route route = default_route(s, at);
    at->chain = open_chain(s, port, at->host->name, route.origin);
    builder_chain_add_tcp_route(at->chain, &route);
    return at->chain;
}

// By the names that no VirtualService has, and behind rules that not every address meets.
static void pass_to_host(struct sidecar_context *s, struct outbound_port *port,
                         struct outbound_host *at, const struct str *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct sni_chain *chain = find_name(port, names[i]);
        if (!chain) {
            chain = add_name(s, port, names[i], own_chain(s, port, at));
        } else if (!chain->takes_all) {
            struct tcp_route route = default_route(s, at);
            builder_chain_add_tcp_route(chain->chain, &route);
        }
        chain->takes_all = true;
    }
}

static void add_names(struct sidecar_context *s, struct outbound_port *port)
{
    if (!port->has_tls && !port->has_unsaid)
        return;
    if (map_count(s->tls_claims) > 0)
        pass_by_services(s, port);
    // First all by their own names.
    for (unsigned pass = 0; pass < 2; pass++) {
        for (struct outbound_host *at = port->first; at; at = at->next) {
            uint32_t n;
            if (!goes_by_name(at))
                continue;
            struct str *names = sidecar_names(s->c, at->host, false, &n);
            if (pass == 0)
                pass_to_host(s, port, at, names, 1);
            else if (n > 1)
                pass_to_host(s, port, at, names + 1, n - 1);
        }
    }
}

// ---- by address ----

struct l4_routes {
    struct tcp_route *items;
    uint32_t n;
};

static bool takes_all(const struct l4_routes *routes)
{
    return routes->n > 0 && routes->items[routes->n - 1].n_destinations == 0;
}

static void add_rule(struct sidecar_context *s, const struct object *object, uint32_t index,
                     uint16_t port, struct l4_routes *routes)
{
    struct compiler *c = s->c;
    const struct l4_route *rule = &object->virtual_service->tcp[index];
    struct str path = path_item(c, STR("spec"), "tcp", index);
    for (uint32_t k = 0; k < rule->n_match || (k == 0 && rule->n_match == 0); k++) {
        const struct l4_match *match = rule->n_match > 0 ? &rule->match[k] : NULL;
        if (takes_all(routes) || (match && !vs_l4_match_applies(c, object, match, NULL, port)))
            continue;
        vs_l4_route(c, object, rule, match, match ? path_item(c, path, "match", k) : path, port,
                    &routes->items[routes->n++]);
    }
}

// The first VirtualService of the host that has a rule for the port routes it; what no rule takes
// goes to the host itself.
static struct l4_routes routes_of(struct sidecar_context *s, const struct outbound_host *at)
{
    struct l4_routes routes = {0};
    struct mesh_claim *claim =
        at->protocol == PORT_TLS ? NULL : sidecar_mesh_claim(s, s->tcp_claims, at->host->name);
    for (; claim && routes.n == 0; claim = claim->next) {
        const struct object *object = claim->service->object;
        const struct virtual_service *vs = object->virtual_service;
        uint32_t room = 1;
        if (!sidecar_mesh_sees(s, claim->service, at->port->number))
            continue;
        for (uint32_t i = 0; i < vs->n_tcp; i++)
            room += vs->tcp[i].n_match + 1;
        routes.items = ARENA_ARRAY(s->c->scratch, struct tcp_route, room);
        vs_bind(s->c, &claim->service->prepared->l4_bindings, NULL, at->port->number);
        for (uint32_t i = 0; i < vs->n_tcp; i++)
            add_rule(s, object, i, at->port->number, &routes);
    }
    if (!routes.items)
        routes.items = ARENA_NEW(s->c->scratch, struct tcp_route);
    if (!takes_all(&routes))
        routes.items[routes.n++] = default_route(s, at);
    return routes;
}

static void add_to(struct outbound_port *port, const struct subnet *subnet,
                   const struct l4_routes *routes)
{
    for (uint32_t i = 0; i < routes->n; i++)
        builder_captured_add_tcp(port->captured, subnet, &routes->items[i]);
}

static void report_owner(struct sidecar_context *s, const struct outbound_port *port,
                         const struct outbound_host *at, const struct outbound_host *owner,
                         struct str address)
{
    const struct object *object = at->port->entry ? at->port->entry : at->host->object;
    complain(s->c, DIAG_CAPTURE_CONFLICT, object, object->name_line, object->name_col,
             STR("metadata.name"), "connections to %.*s, port %u, go to \"%.*s\" (%.*s)",
             STR_ARG(address), (unsigned)port->number, STR_ARG(owner->host->name),
             STR_ARG(sidecar_origin(s, owner)));
}

// True: the subnet is the host's from here on.
static bool own_subnet(struct sidecar_context *s, struct outbound_port *port,
                       const struct outbound_host *at, const struct subnet *subnet)
{
    char ip[ADDRESS_TEXT_MAX], bits[NUMBER_TEXT_MAX];
    struct str address = {ip, address_format_ip(&subnet->base, ip)};
    struct str key = JOIN(s->c->scratch, address, STR("/"), number_text(subnet->bits, bits));
    if (!port->owners)
        port->owners = map_create();
    const struct outbound_host *owner = map_find(port->owners, key);
    if (!owner) {
        map_put(port->owners, key, (void *)(uintptr_t)at);
        return true;
    }
    // Requests and TLS are told apart by name; of two ServiceEntries the catalog has said it.
    bool is_by_address = at->protocol == PORT_TCP || at->protocol == PORT_SAYS_NOTHING;
    bool is_said = !at->host->is_service && !owner->host->is_service;
    if (is_by_address && !is_said && owner->host != at->host)
        report_owner(s, port, at, owner, address);
    return false;
}

static enum capture_protocol protocol_of(const struct outbound_host *at)
{
    switch (at->protocol) {
    case PORT_TCP:
        return CAPTURE_TCP;
    case PORT_SAYS_NOTHING:
        return CAPTURE_DETECT;
    case PORT_HTTP:
    case PORT_HTTP2:
    case PORT_TLS:
        break;
    }
    return CAPTURE_HTTP; // the client begins
}

static bool is_http(const struct outbound_host *at)
{
    return at->protocol == PORT_HTTP || at->protocol == PORT_HTTP2;
}

static void add_subnets(struct sidecar_context *s, struct outbound_port *port,
                        const struct outbound_host *at, const struct subnet *subnets, uint32_t n)
{
    // Of a port that is HTTP whatever the address, those of its hosts need no entries.
    if (n == 0 || (is_http(at) && !port->has_tls && !port->has_tcp && !port->has_unsaid))
        return;
    struct l4_routes routes = is_http(at) ? (struct l4_routes){0} : routes_of(s, at);
    for (uint32_t i = 0; i < n; i++) {
        enum capture_protocol old;
        if (!own_subnet(s, port, at, &subnets[i]))
            continue;
        builder_captured_protocol(port->captured, &subnets[i], protocol_of(at), &old);
        add_to(port, &subnets[i], &routes);
    }
}

// The clients of a headless Service dial its endpoints.
static void add_endpoints(struct sidecar_context *s, struct outbound_port *port,
                          const struct outbound_host *at)
{
    const struct cluster *cluster = catalog_cluster(s->c, at->host, at->port, STR_NONE);
    uint32_t n = builder_n_endpoints(cluster);
    struct subnet *subnets = ARENA_ARRAY(s->c->scratch, struct subnet, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        subnets[i].base = *builder_endpoint(cluster, i);
        subnets[i].base.port = 0;
        subnets[i].bits = subnets[i].base.family == AF_INET6 ? 128 : 32;
    }
    add_subnets(s, port, at, subnets, n);
}

// A ServiceEntry without addresses may be behind any.
static void take_every_address(struct sidecar_context *s, struct outbound_port *port,
                               const struct outbound_host *at)
{
    if (port->any_owner) {
        if (at->protocol == PORT_TCP && port->any_owner->host != at->host)
            report_owner(s, port, at, port->any_owner, STR("addresses that are not declared"));
        return;
    }
    port->any_owner = at;
    struct l4_routes routes = routes_of(s, at);
    add_to(port, NULL, &routes);
}

static void note_unknown_address(struct sidecar_context *s, const struct object *service)
{
    enum { NOTES_MAX = 5 };
    if (s->last_unknown_address == service)
        return;
    s->last_unknown_address = service;
    if (s->n_unknown_addresses++ < NOTES_MAX)
        complain(s->c, DIAG_NO_CLUSTER_IP, service, service->name_line, service->name_col,
                 STR("spec.clusterIP"),
                 "is not given, so connections to its TCP ports cannot be told from others");
}

void sidecar_l4_report(struct sidecar_context *s)
{
    enum { NOTES_MAX = 5 };
    const struct object *last = s->last_unknown_address;
    if (s->n_unknown_addresses > NOTES_MAX)
        complain(s->c, DIAG_NO_CLUSTER_IP, last, last->name_line, last->name_col,
                 STR("spec.clusterIP"), "is not given; nor is it of %u more Services",
                 s->n_unknown_addresses - NOTES_MAX - 1);
}

static void add_by_address(struct sidecar_context *s, struct outbound_port *port,
                           const struct outbound_host *at)
{
    const struct catalog_host *host = at->host;
    if (host->n_addresses > 0)
        add_subnets(s, port, at, host->addresses, host->n_addresses);
    else if (sidecar_is_headless(host))
        add_endpoints(s, port, at);
    else if (!host->is_service && (at->protocol == PORT_TCP || at->protocol == PORT_SAYS_NOTHING))
        take_every_address(s, port, at);
    else if (host->is_service && at->protocol == PORT_TCP)
        note_unknown_address(s, host->object);
}

// Of addresses that have no entry of their own. That the client begins is certain where all hosts
// of the port say so. On a port of TLS an address that is not declared may be anything, which is of
// interest unless it is closed anyway.
static enum capture_protocol any_protocol(const struct sidecar_context *s,
                                          const struct outbound_port *port)
{
    if (port->any_owner && port->any_owner->protocol == PORT_TCP && !port->has_http &&
        !port->has_tls && !port->has_unsaid)
        return CAPTURE_TCP;
    if (port->any_owner || port->has_unsaid || port->has_tcp)
        return CAPTURE_DETECT;
    return port->has_tls && !s->is_registry_only ? CAPTURE_DETECT : CAPTURE_HTTP;
}

void sidecar_l4_compile(struct sidecar_context *s)
{
    sort_names(s);
    for (struct outbound_port *port = s->first_port; port; port = port->next) {
        enum capture_protocol old;
        add_names(s, port);
        for (const struct outbound_host *at = port->first; at; at = at->next)
            add_by_address(s, port, at);
        builder_captured_protocol(port->captured, NULL, any_protocol(s, port), &old);
    }
}
