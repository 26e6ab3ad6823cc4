// SPDX-License-Identifier: Apache-2.0
// Servers of all Gateways that this gateway serves are grouped by address and port; each group is
// one listener. Plain HTTP servers of a group share one table of virtual hosts; an HTTPS server has
// its own, behind the names (SNI) of its hosts (gateway_tls.c). Servers for connections:
// gateway_l4.c. A VirtualService's host meets a server's host where one contains the other; the
// narrower of the two is the virtual host.
#include "compile/gateway.h"
#include "base/check.h"
#include "compile/gateway_l4.h"
#include "compile/gateway_tls.h"
#include "compile/hosts.h"
#include "compile/service.h"
#include "compile/virtual_service.h"
#include <stdlib.h>

struct binding { // a VirtualService in a virtual host
    const struct vs_prepared *prepared;
    const struct vs_routes *routes;
    struct binding *next;
};
struct virtual_host {
    struct str name;
    struct binding *first, *last;
    struct str redirect_origin; // not empty: a server asks for httpsRedirect
};
struct host_set {       // one table of virtual hosts
    struct map *vhosts; // name -> struct virtual_host
    struct builder_hosts *to;
    bool is_shared; // with Ingress
    struct host_set *next;
};
struct open_port {
    struct address bind;
    uint16_t port; // as the manifests name it
    enum listener_kind kind;
    struct str origin;
    struct builder_listener *listener;
    struct host_set *hosts; // HTTP: of all its servers
    struct l4_owner owner;  // TCP
    struct map *names;      // TLS: host of a server -> struct server
    struct open_port *next;
};
struct server {
    const struct gateway_server *server;
    struct open_port *port; // NULL: not served
    struct host_set *hosts; // of HTTP, plain or behind TLS
    struct l4_server *l4;   // for connections
    struct str place;       // for messages of others
    uint32_t index;
    bool is_bound;
};
struct server_host {
    struct str ns; // whose VirtualServices may bind; "*": all
    struct str name;
    struct server *server;
    struct server_host *next_same, *next;
};
struct gateway_entry {
    const struct object *object;
    bool is_selected;
    struct server *servers;
    uint32_t n_servers;
    struct map *exact;              // name -> first struct server_host of that exact name
    struct server_host *all, *wild; // by `next`: exact ones; wildcards
};
struct gateways {
    struct compiler *c;
    struct map *entries; // "<ns>/<name>"
    struct open_port *ports, **ports_end;
    struct host_set *host_sets, **host_sets_end;
    const struct service **fronts; // Services whose selector picks this gateway's Pods
    size_t n_fronts;
};

// ---- Gateways ----

static void find_fronts(struct gateways *g)
{
    struct compiler *c = g->c;
    const struct text_map own = {(struct text_pair *)(uintptr_t)c->options->labels,
                                 c->options->n_labels};
    size_t n = 0;
    const struct object *const *services = own.n > 0 ? store_all(c->store, KIND_SERVICE, &n) : NULL;
    g->fronts = ARENA_ARRAY(c->scratch, const struct service *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct service *service = services[i]->service;
        if (str_equal(services[i]->ns, c->options->ns) && service->selector.n > 0 &&
            text_map_contains(&own, &service->selector))
            g->fronts[g->n_fronts++] = service;
    }
}

// The port that the Service in front of the gateway leads to, if there is one (Istio listens on its
// targetPort); a --port-map wins.
static uint16_t front_target_port(const struct gateways *g, uint16_t port)
{
    for (uint32_t i = 0; i < g->c->options->n_port_maps; i++) {
        if (g->c->options->port_maps[i].from == port)
            return port;
    }
    for (size_t i = 0; i < g->n_fronts; i++) {
        const struct service_port *at = service_port_numbered(g->fronts[i], port);
        if (at && at->target_port.is_set && at->target_port.number != 0)
            return at->target_port.number;
    }
    return port;
}

static bool read_bind(struct compiler *c, const struct object *object,
                      const struct gateway_server *server, uint32_t index, struct address *ret)
{
    *ret = c->options->bind;
    if (server->bind.len == 0 || address_parse_ip(text_str(server->bind), ret))
        return true;
    complain(c, DIAG_FIELD_VALUE, object, server->bind.line, server->bind.col,
             path_of(c, "spec.servers[%u].bind", index), "\"%s\" is not an IP address",
             server->bind.ptr);
    return false;
}

static const char *served_word(enum listener_kind kind)
{
    switch (kind) {
    case LISTENER_HTTP:
        return "HTTP";
    case LISTENER_TCP:
        return "TCP";
    case LISTENER_TLS:
        return "TLS";
    case LISTENER_OUTBOUND:
    case LISTENER_INBOUND:
        return "captured connections";
    }
    return "";
}

static void report_conflict(struct compiler *c, const struct object *object,
                            const struct gateway_server *server, uint32_t index,
                            const struct open_port *port)
{
    complain(c, DIAG_LISTENER_CONFLICT, object, server->line, server->col,
             path_of(c, "spec.servers[%u]", index), "port %u already serves %s, for %.*s",
             (unsigned)server->port.value, served_word(port->kind), STR_ARG(port->origin));
}

static struct host_set *add_host_set(struct gateways *g, struct builder_hosts *to)
{
    struct host_set *hosts = ARENA_NEW(g->c->scratch, struct host_set);
    hosts->vhosts = map_create();
    hosts->to = to;
    *g->host_sets_end = hosts;
    g->host_sets_end = &hosts->next;
    return hosts;
}

static void add_port_hosts(struct gateways *g, struct open_port *port)
{
    const struct compile_options *options = g->c->options;
    struct address ingress = listen_address(g->c, &options->bind, options->http_port);
    port->hosts = add_host_set(g, builder_listener_hosts(port->listener));
    port->hosts->is_shared =
        port->port == options->http_port && address_equal(&port->bind, &ingress);
}

static struct open_port *find_port(struct gateways *g, const struct object *object,
                                   const struct gateway_server *server, uint32_t index,
                                   enum listener_kind kind)
{
    struct compiler *c = g->c;
    uint16_t number = (uint16_t)server->port.value;
    struct address bind;
    if (!read_bind(c, object, server, index, &bind))
        return NULL;
    bind = listen_address(c, &bind, number);
    if (bind.port == number)
        bind.port = front_target_port(g, number);
    for (struct open_port *port = g->ports; port; port = port->next) {
        // Port 0, of which the kernel makes any: apart by the manifest's number.
        if (!address_equal(&port->bind, &bind) || (bind.port == 0 && port->port != number))
            continue;
        if (port->kind == kind && port->port == number)
            return port;
        if (port->kind != kind) {
            report_conflict(c, object, server, index, port);
            return NULL;
        }
    }
    struct str origin = origin_of(c, object, server->line, server->col);
    struct open_port *port = ARENA_NEW(c->scratch, struct open_port);
    *port = (struct open_port){
        .bind = bind,
        .port = number,
        .kind = kind,
        .origin = origin,
        .listener = builder_listener(c->builder, kind, &bind, number, origin),
        .names = kind == LISTENER_TLS ? map_create() : NULL,
    };
    CHECK(port->listener != NULL); // Gateways come first, and none is of another kind
    if (kind == LISTENER_HTTP)
        add_port_hosts(g, port);
    *g->ports_end = port;
    g->ports_end = &port->next;
    return port;
}

// false: reported.
static bool listener_kind_of(struct compiler *c, const struct object *object,
                             const struct gateway_server *server, uint32_t index,
                             enum listener_kind *ret)
{
    *ret = LISTENER_HTTP;
    switch (server->protocol) {
    case GATEWAY_HTTP:
    case GATEWAY_HTTP2:
    case GATEWAY_GRPC:
    case GATEWAY_GRPC_WEB:
        return true;
    case GATEWAY_HTTPS:
    case GATEWAY_TLS:
        *ret = LISTENER_TLS;
        return gateway_tls_is_served(c, object, index);
    case GATEWAY_TCP:
    case GATEWAY_MONGO:
        *ret = LISTENER_TCP;
        return true;
    }
    return false;
}

static void add_host(struct compiler *c, struct gateway_entry *entry, struct server *server,
                     struct str text)
{
    struct server_host *host = ARENA_NEW(c->scratch, struct server_host);
    server_host_split(c, text, entry->object->ns, &host->ns, &host->name);
    host->server = server;
    struct server_host **list = host_is_wildcard(host->name) ? &entry->wild : &entry->all;
    host->next = *list;
    *list = host;
    if (!host_is_wildcard(host->name)) {
        host->next_same = map_find(entry->exact, host->name);
        map_put(entry->exact, host->name, host);
    }
}

static struct virtual_host *find_vhost(struct compiler *c, struct host_set *hosts, struct str name)
{
    struct virtual_host *vhost = map_find(hosts->vhosts, name);
    if (!vhost) {
        vhost = ARENA_NEW(c->scratch, struct virtual_host);
        vhost->name = name;
        map_put(hosts->vhosts, name, vhost);
    }
    return vhost;
}

static bool redirects(const struct gateway_server *server)
{
    return server->has_tls && server->https_redirect.value && server->protocol < GATEWAY_HTTPS;
}

// On one TLS port a host is one server's: the later one is dropped whole.
static bool claim_names(struct compiler *c, const struct object *object, struct open_port *port,
                        struct server *server)
{
    const struct texts *hosts = &server->server->hosts;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < hosts->n; i++) {
            struct str ns, name;
            server_host_split(c, text_str(hosts->items[i]), object->ns, &ns, &name);
            const struct server *taken = map_find(port->names, name);
            if (pass == 1) {
                map_put(port->names, name, server);
            } else if (taken) {
                complain(c, DIAG_SERVER_CONFLICT, object, hosts->items[i].line, hosts->items[i].col,
                         path_of(c, "spec.servers[%u].hosts[%u]", server->index, i),
                         "host \"%.*s\" on port %u is taken by %.*s; this server is not served",
                         STR_ARG(name), port->port, STR_ARG(taken->place));
                return false;
            }
        }
    }
    return true;
}

static void open_l4(struct gateways *g, const struct object *object, struct server *server,
                    struct builder_chain *chain)
{
    struct l4_server *l4 = ARENA_NEW(g->c->scratch, struct l4_server);
    *l4 = (struct l4_server){.gateway = object,
                             .server = server->server,
                             .index = server->index,
                             .listener = server->port->listener,
                             .chain = chain,
                             .owner = &server->port->owner};
    if (chain)
        l4->owner = ARENA_NEW(g->c->scratch, struct l4_owner);
    server->l4 = l4;
}

static void open_tls(struct gateways *g, const struct object *object, struct server *server)
{
    struct compiler *c = g->c;
    struct builder_listener *listener = server->port->listener;
    if (l4_is_passthrough(server->server)) {
        open_l4(g, object, server, NULL);
    } else if (server->server->protocol == GATEWAY_TLS) {
        open_l4(g, object, server, gateway_tls_chain(c, object, server->index, listener, NULL));
    } else {
        server->hosts = add_host_set(g, builder_hosts(c->builder));
        gateway_tls_chain(c, object, server->index, listener, server->hosts->to);
    }
}

static void open_server(struct gateways *g, const struct object *object, struct server *server)
{
    enum listener_kind kind;
    if (!listener_kind_of(g->c, object, server->server, server->index, &kind))
        return;
    struct open_port *port = find_port(g, object, server->server, server->index, kind);
    if (!port || (kind == LISTENER_TLS && !claim_names(g->c, object, port, server)))
        return;
    server->port = port;
    switch (kind) {
    case LISTENER_HTTP:
        server->hosts = port->hosts;
        break;
    case LISTENER_TCP:
        open_l4(g, object, server, NULL);
        break;
    case LISTENER_OUTBOUND:
    case LISTENER_INBOUND:
        break; // of a sidecar, which has no Gateways
    case LISTENER_TLS:
        open_tls(g, object, server);
        break;
    }
}

static void add_server(struct gateways *g, struct gateway_entry *entry, uint32_t index)
{
    struct compiler *c = g->c;
    const struct gateway_server *from = &entry->object->gateway->servers[index];
    struct server *server = &entry->servers[index];
    *server = (struct server){.server = from,
                              .index = index,
                              .place = place_text(c, entry->object, from->line, from->col)};
    if (from->is_invalid)
        return;
    open_server(g, entry->object, server);
    for (uint32_t i = 0; i < from->hosts.n; i++)
        add_host(c, entry, server, text_str(from->hosts.items[i]));
    if (!server->hosts || !redirects(from))
        return;
    for (struct server_host *host = entry->all; host; host = host->next) {
        if (host->server == server)
            find_vhost(c, server->hosts, host->name)->redirect_origin =
                origin_of(c, entry->object, from->line, from->col);
    }
    for (struct server_host *host = entry->wild; host; host = host->next) {
        if (host->server == server)
            find_vhost(c, server->hosts, host->name)->redirect_origin =
                origin_of(c, entry->object, from->line, from->col);
    }
}

static bool is_selected(const struct compiler *c, const struct gateway *gateway)
{
    const struct text_map own = {(struct text_pair *)(uintptr_t)c->options->labels,
                                 c->options->n_labels};
    return own.n == 0 || text_map_contains(&own, &gateway->selector);
}

void gateway_check(struct compiler *c, const struct object *object)
{
    const struct gateway *gateway = object->gateway;
    for (uint32_t i = 0; i < gateway->n_servers && is_selected(c, gateway); i++) {
        struct address bind;
        if (!gateway->servers[i].is_invalid)
            read_bind(c, object, &gateway->servers[i], i, &bind);
    }
}

static void add_gateway(struct gateways *g, const struct object *object)
{
    struct compiler *c = g->c;
    struct gateway_entry *entry = ARENA_NEW(c->scratch, struct gateway_entry);
    entry->object = object;
    entry->is_selected = is_selected(c, object->gateway);
    map_put(g->entries, JOIN(c->scratch, object->ns, STR("/"), object->name), entry);
    if (!entry->is_selected) {
        complain(c, DIAG_GATEWAY_NOT_SELECTED, object, object->name_line, object->name_col,
                 STR("spec.selector"), "asks for labels that this gateway does not have");
        return;
    }
    entry->exact = map_create();
    entry->n_servers = object->gateway->n_servers;
    entry->servers = ARENA_ARRAY(c->scratch, struct server, entry->n_servers + 1);
    for (uint32_t i = 0; i < entry->n_servers; i++)
        add_server(g, entry, i);
}

// ---- binding ----

// Routes of one VirtualService by port of one Gateway; few ports, so a list.
struct port_routes {
    uint16_t port;
    struct vs_routes *routes;
    struct port_routes *next;
};

struct bind_context {
    struct gateways *g;
    struct vs_prepared *prepared;
    struct gateway_entry *entry;
    struct port_routes *routes;
    bool is_filtered; // some server would fit but for its namespace
    bool is_found;
};

static struct vs_routes *routes_for(struct bind_context *b, uint16_t port)
{
    for (struct port_routes *at = b->routes; at; at = at->next) {
        if (at->port == port)
            return at->routes;
    }
    struct port_routes *made = ARENA_NEW(b->g->c->scratch, struct port_routes);
    made->port = port;
    made->routes = vs_routes_create(b->g->c, b->prepared, b->entry->object, port);
    made->next = b->routes;
    b->routes = made;
    return made->routes;
}

static bool names_gateways(const struct vs_prepared *prepared)
{
    for (uint32_t i = 0; i < prepared->n_rules; i++) {
        for (uint32_t k = 0; k < prepared->rules[i].rule->n_match; k++) {
            if (prepared->rules[i].rule->match[k].gateways.n > 0)
                return true;
        }
    }
    return false;
}

static void add_binding(struct bind_context *b, const struct server *server, struct str name)
{
    struct compiler *c = b->g->c;
    struct virtual_host *vhost = find_vhost(c, server->hosts, name);
    struct vs_routes *routes = routes_for(b, server->port->port);
    // VirtualServices come one after the other, so the same one can only be the last. Through a
    // second Gateway its routes are the same unless blocks name their Gateway.
    if (vhost->last && vhost->last->prepared == b->prepared &&
        (vhost->last->routes == routes || !names_gateways(b->prepared)))
        return;
    struct binding *binding = ARENA_NEW(c->scratch, struct binding);
    binding->prepared = b->prepared;
    binding->routes = routes;
    if (vhost->last)
        vhost->last->next = binding;
    else
        vhost->first = binding;
    vhost->last = binding;
}

static void try_host(struct bind_context *b, struct str wanted, struct server_host *host)
{
    struct str name;
    if (!host_intersect(wanted, host->name, &name))
        return;
    if (!str_is(host->ns, "*") && !str_equal(host->ns, b->prepared->object->ns)) {
        b->is_filtered = true;
        return;
    }
    b->is_found = true;
    if (host->server->l4) {
        l4_bind(b->g->c, host->server->l4, b->prepared);
        host->server->is_bound |= host->server->l4->has_routes;
        return;
    }
    host->server->is_bound = true;
    if (!host->server->port) {
        b->prepared->is_elsewhere = true;
        return;
    }
    b->prepared->has_http_server = true;
    if (b->prepared->object->virtual_service->n_http == 0)
        return; // it would hide wider hosts and answer nothing
    add_binding(b, host->server, name);
    if (redirects(host->server->server)) {
        struct virtual_host *vhost = find_vhost(b->g->c, host->server->hosts, name);
        vhost->redirect_origin = origin_of(b->g->c, b->entry->object, host->server->server->line,
                                           host->server->server->col);
    }
}

static struct str hosts_text(struct compiler *c, const struct gateway_entry *entry)
{
    enum { SHOWN_MAX = 5 };
    struct str text = STR_NONE;
    uint32_t n = 0;
    for (uint32_t i = 0; i < entry->n_servers; i++) {
        const struct gateway_server *server = entry->servers[i].server;
        const struct texts *hosts = &server->hosts;
        for (uint32_t k = 0; !server->is_invalid && k < hosts->n && n <= SHOWN_MAX; k++, n++)
            text = n == SHOWN_MAX ? JOIN(c->scratch, text, STR(", ..."))
                                  : JOIN(c->scratch, text, n > 0 ? STR(", ") : STR_NONE,
                                         text_str(hosts->items[k]));
    }
    return text;
}

static bool has_broken_server(const struct gateway_entry *entry)
{
    for (uint32_t i = 0; i < entry->n_servers; i++) {
        if (entry->servers[i].server->is_invalid)
            return true;
    }
    return false;
}

static void bind_host(struct bind_context *b, uint32_t index)
{
    struct compiler *c = b->g->c;
    const struct object *object = b->prepared->object;
    const struct text *text = &object->virtual_service->hosts.items[index];
    struct str wanted =
        host_expand(c->scratch, text_str(*text), object->ns, c->options->cluster_domain);
    b->is_found = b->is_filtered = false;
    if (host_is_wildcard(wanted)) {
        for (struct server_host *host = b->entry->all; host; host = host->next)
            try_host(b, wanted, host);
    } else {
        for (struct server_host *host = map_find(b->entry->exact, wanted); host;
             host = host->next_same)
            try_host(b, wanted, host);
    }
    for (struct server_host *host = b->entry->wild; host; host = host->next)
        try_host(b, wanted, host);
    if (b->is_found)
        return;
    struct diag *diag = complain(c, DIAG_HOST_NOT_IN_GATEWAY, object, text->line, text->col,
                                 path_of(c, "spec.hosts[%u]", index),
                                 b->is_filtered ? "%.*s takes \"%.*s\" from other namespaces only"
                                                : "%.*s has no server for \"%.*s\"",
                                 STR_ARG(b->entry->object->title), STR_ARG(wanted));
    struct str listed = hosts_text(c, b->entry);
    const char *left_out =
        has_broken_server(b->entry) ? "; servers with a mistake are left out" : "";
    if (listed.len > 0)
        diag_hint(c->diags, diag, "it lists %.*s%s", STR_ARG(listed), left_out);
    else if (left_out[0])
        diag_hint(c->diags, diag, "its servers have mistakes and are left out");
}

static void bind_service(struct gateways *g, const struct object *object)
{
    struct compiler *c = g->c;
    const struct virtual_service *vs = object->virtual_service;
    struct vs_prepared *prepared = NULL;
    bool names_any = false;
    for (uint32_t i = 0; i < vs->gateways.n; i++) {
        const struct text *reference = &vs->gateways.items[i];
        if (str_is(text_str(*reference), "mesh"))
            continue;
        names_any = true;
        struct str ns, name;
        gateway_reference_split(text_str(*reference), object->ns, &ns, &name);
        struct gateway_entry *entry = map_find(g->entries, JOIN(c->scratch, ns, STR("/"), name));
        if (!entry) {
            struct diag *diag = complain(c, DIAG_UNKNOWN_GATEWAY, object, reference->line,
                                         reference->col, path_of(c, "spec.gateways[%u]", i),
                                         "no Gateway %.*s/%.*s exists", STR_ARG(ns), STR_ARG(name));
            hint_object(c, diag, KIND_GATEWAY, ns, name, NULL);
            continue;
        }
        if (!entry->is_selected)
            continue;
        if (!prepared)
            prepared = vs_prepare(c, object);
        struct bind_context b = {.g = g, .prepared = prepared, .entry = entry};
        for (uint32_t k = 0; k < vs->hosts.n; k++)
            bind_host(&b, k);
    }
    if (prepared) {
        vs_report_unreachable(c, prepared);
        vs_report_blocks(c, prepared);
    }
    if (!names_any)
        complain(c, DIAG_MESH_ONLY, object, object->name_line, object->name_col,
                 STR("spec.gateways"), "names no Gateway, so it is for sidecars (mesh) only");
}

// Order of merging: private to the gateway's namespace, exported to it, public; each oldest first.
static void bind_all(struct gateways *g)
{
    struct compiler *c = g->c;
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_VIRTUAL_SERVICE, &n);
    for (unsigned class = VISIBLE_PRIVATE; class <= VISIBLE_NOT; class ++) {
        for (size_t i = 0; i < n; i++) {
            if (all[i]->virtual_service->hosts.n == 0 || vs_visibility(c, all[i]) != class)
                continue;
            if (class == VISIBLE_NOT)
                complain(c, DIAG_NOT_EXPORTED, all[i], all[i]->name_line, all[i]->name_col,
                         STR("spec.exportTo"),
                         "is not exported to namespace %.*s, where the gateway is",
                         STR_ARG(c->options->ns));
            else
                bind_service(g, all[i]);
        }
    }
}

// ---- virtual hosts ----

static void add_redirect(struct compiler *c, struct builder_vhost *to, struct str origin)
{
    struct redirect *redirect = ARENA_NEW(c->arena, struct redirect);
    redirect->code = 301;
    redirect->scheme = STR("https");
    struct route route = {
        .path_kind = PATH_ANY, .action = ROUTE_REDIRECT, .redirect = redirect, .origin = origin};
    builder_add_route(to, &route);
}

const struct object *gateway_vhost_owner(const struct virtual_host *vhost)
{
    return vhost->first->prepared->object;
}

static void report_second_catch_all(struct compiler *c, const struct virtual_host *vhost,
                                    const struct vs_rule *rule, const struct vs_route *first)
{
    complain(c, DIAG_UNREACHABLE_ROUTE, rule->object, rule->rule->line, rule->rule->col, rule->path,
             "on host \"%.*s\" the rule at %.*s takes every request before it",
             STR_ARG(vhost->name), STR_ARG(first->route.origin));
}

void gateway_vhost_emit(struct compiler *c, const struct virtual_host *vhost,
                        struct builder_vhost *to)
{
    if (vhost->redirect_origin.len > 0) {
        add_redirect(c, to, vhost->redirect_origin);
        return;
    }
    // Catch-alls of any VirtualService go behind the routes of all, in the same order.
    const struct vs_route *catch_all = NULL;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (const struct binding *at = vhost->first; at; at = at->next) {
            for (uint32_t i = 0; i < at->routes->n; i++) {
                const struct vs_route *route = &at->routes->items[i];
                if (route->is_catch_all != (pass == 1))
                    continue;
                builder_add_route(to, &route->route);
                if (catch_all)
                    report_second_catch_all(c, vhost, route->rule, catch_all);
                else if (pass == 1)
                    catch_all = route;
            }
        }
    }
}

static void emit_hosts(struct gateways *g, const struct host_set *hosts)
{
    struct compiler *c = g->c;
    struct str name;
    void *value = NULL;
    for (size_t i = 0; map_next(hosts->vhosts, &i, &name, &value);) {
        const struct virtual_host *vhost = value;
        gateway_vhost_emit(c, vhost, builder_vhost(hosts->to, vhost->name, false));
        if (hosts->is_shared && vhost->first)
            map_put(c->gateway_hosts, vhost->name, value);
    }
}

static void report_unbound(struct compiler *c, const struct gateway_entry *entry)
{
    for (uint32_t i = 0; i < entry->n_servers; i++) {
        const struct server *server = &entry->servers[i];
        if (!server->port || server->is_bound || redirects(server->server))
            continue;
        complain(c, DIAG_GATEWAY_UNBOUND, entry->object, server->server->line, server->server->col,
                 path_of(c, "spec.servers[%u]", i),
                 server->l4
                     ? "no VirtualService that names this Gateway has a route for this server"
                     : "no VirtualService names this Gateway with a host of this server");
    }
}

void gateways_compile(struct compiler *c)
{
    struct gateways g = {.c = c, .entries = map_create()};
    g.ports_end = &g.ports;
    g.host_sets_end = &g.host_sets;
    find_fronts(&g);
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_GATEWAY, &n);
    for (size_t i = 0; i < n; i++)
        add_gateway(&g, all[i]);
    bind_all(&g);
    vs_report_unused_delegates(c);
    for (struct host_set *hosts = g.host_sets; hosts; hosts = hosts->next) {
        emit_hosts(&g, hosts);
        map_destroy(hosts->vhosts);
    }
    for (struct open_port *port = g.ports; port; port = port->next)
        map_destroy(port->names);
    struct str name;
    void *value = NULL;
    for (size_t i = 0; map_next(g.entries, &i, &name, &value);) {
        struct gateway_entry *entry = value;
        report_unbound(c, entry);
        map_destroy(entry->exact);
    }
    map_destroy(g.entries);
}
