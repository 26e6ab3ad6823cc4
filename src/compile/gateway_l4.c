// SPDX-License-Identifier: Apache-2.0
#include "compile/gateway_l4.h"
#include "compile/hosts.h"

bool l4_is_passthrough(const struct gateway_server *server)
{
    bool is_tls = server->protocol == GATEWAY_TLS || server->protocol == GATEWAY_HTTPS;
    return is_tls && server->tls_mode == TLS_PASSTHROUGH;
}

void server_host_split(struct compiler *c, struct str text, struct str own_ns, struct str *ret_ns,
                       struct str *ret_name)
{
    ptrdiff_t slash = str_index(text, '/');
    *ret_ns = slash >= 0 ? str_upto(text, (size_t)slash) : STR("*");
    if (str_is(*ret_ns, "."))
        *ret_ns = own_ns;
    *ret_name = host_lower(c->scratch, str_from(text, slash >= 0 ? (size_t)slash + 1 : 0));
}

// ---- tls[] ----

struct passing { // one match of one rule
    struct compiler *c;
    struct l4_server *server;
    const struct object *object; // the VirtualService
    const struct l4_route *rule;
    const struct l4_match *match;
    struct str path;             // of the match
    struct builder_chain *chain; // made with the first name
};

static uint16_t port_of(const struct l4_server *server)
{
    return (uint16_t)server->server->port.value;
}

static struct builder_chain *open_chain(struct passing *p)
{
    struct compiler *c = p->c;
    const struct l4_server *server = p->server;
    if (p->chain)
        return p->chain;
    char number[NUMBER_TEXT_MAX];
    struct filter_chain chain = {.name = JOIN(c->scratch, STR("tls."),
                                              number_text(port_of(server), number), STR("."),
                                              text_str(server->server->port_name), STR("."),
                                              server->gateway->name, STR("."), server->gateway->ns),
                                 .origin = origin_of(c, p->object, p->match->line, p->match->col)};
    p->chain = builder_chain(server->listener, &chain, NULL);
    struct tcp_route route;
    vs_l4_route(c, p->object, p->rule, p->match, p->path, port_of(server), &route);
    builder_chain_add_tcp_route(p->chain, &route);
    return p->chain;
}

// A name of a broken match may lie outside the VirtualService's hosts: that one it does not get.
static bool is_own_name(const struct passing *p, struct str name)
{
    const struct texts *hosts = &p->object->virtual_service->hosts;
    for (uint32_t i = 0; i < hosts->n; i++) {
        if (host_is_subset(name, host_lower(p->c->scratch, text_str(hosts->items[i]))))
            return true;
    }
    return false;
}

static void add_name(struct passing *p, struct str name, const struct text *text, struct str path)
{
    struct builder_chain *chain = open_chain(p);
    const struct builder_chain *taken = builder_chain_add_name(chain, name, false);
    if (!taken || taken == chain)
        return;
    complain(p->c, DIAG_ROUTE_TAKEN, p->object, text->line, text->col, path,
             "port %u passes \"%.*s\" on by %.*s", (unsigned)port_of(p->server), STR_ARG(name),
             STR_ARG(builder_chain_facts(taken)->origin));
}

// The narrower of the name and each host of the server that admits the VirtualService.
static void add_sni_host(struct passing *p, uint32_t index)
{
    struct compiler *c = p->c;
    const struct text *text = &p->match->sni_hosts.items[index];
    const struct texts *hosts = &p->server->server->hosts;
    struct str wanted = host_lower(c->scratch, text_str(*text));
    struct str path = path_item(c, p->path, "sniHosts", index);
    bool is_found = false;
    if (wanted.len == 0 || !is_own_name(p, wanted))
        return;
    for (uint32_t i = 0; i < hosts->n; i++) {
        struct str ns, host, name;
        server_host_split(c, text_str(hosts->items[i]), p->server->gateway->ns, &ns, &host);
        bool is_admitted = str_is(ns, "*") || str_equal(ns, p->object->ns);
        if (!is_admitted || !host_intersect(wanted, host, &name))
            continue;
        is_found = true;
        add_name(p, name, text, path);
    }
    if (!is_found)
        complain(c, DIAG_HOST_NOT_IN_GATEWAY, p->object, text->line, text->col, path,
                 "server \"%s\" of %.*s has no host for \"%.*s\"", p->server->server->port_name.ptr,
                 STR_ARG(p->server->gateway->title), STR_ARG(wanted));
}

static void bind_tls(struct compiler *c, struct l4_server *server, struct vs_prepared *prepared)
{
    const struct object *object = prepared->object;
    const struct virtual_service *vs = object->virtual_service;
    for (uint32_t i = 0; i < vs->n_tls; i++) {
        const struct l4_route *rule = &vs->tls[i];
        struct str path = path_item(c, STR("spec"), "tls", i);
        for (uint32_t k = 0; k < rule->n_match; k++) {
            if (!vs_l4_match_applies(c, object, &rule->match[k], server->gateway, port_of(server)))
                continue;
            struct passing passing = {.c = c,
                                      .server = server,
                                      .object = object,
                                      .rule = rule,
                                      .match = &rule->match[k],
                                      .path = path_item(c, path, "match", k)};
            for (uint32_t n = 0; n < rule->match[k].sni_hosts.n; n++)
                add_sni_host(&passing, n);
            server->has_routes |= passing.chain != NULL;
        }
    }
}

// ---- tcp[] ----

static void add_tcp_route(const struct l4_server *server, const struct tcp_route *route)
{
    if (server->chain)
        builder_chain_add_tcp_route(server->chain, route);
    else
        builder_add_tcp_route(server->listener, route);
}

// Adds a rule's routes; true: one of them takes every connection.
static bool add_rule(struct compiler *c, struct l4_server *server, const struct object *object,
                     uint32_t index, bool *ret_fits)
{
    const struct l4_route *rule = &object->virtual_service->tcp[index];
    struct str path = path_item(c, STR("spec"), "tcp", index);
    for (uint32_t k = 0; k < rule->n_match || (k == 0 && rule->n_match == 0); k++) {
        const struct l4_match *match = rule->n_match > 0 ? &rule->match[k] : NULL;
        if (match && !vs_l4_match_applies(c, object, match, server->gateway, port_of(server)))
            continue;
        struct tcp_route route;
        vs_l4_route(c, object, rule, match, match ? path_item(c, path, "match", k) : path,
                    port_of(server), &route);
        add_tcp_route(server, &route);
        *ret_fits = true;
        if (route.n_destinations == 0)
            return true;
    }
    return false;
}

static bool fits(struct compiler *c, const struct l4_server *server, const struct object *object,
                 uint32_t index)
{
    const struct l4_route *rule = &object->virtual_service->tcp[index];
    for (uint32_t k = 0; k < rule->n_match; k++) {
        if (vs_l4_match_applies(c, object, &rule->match[k], server->gateway, port_of(server)))
            return true;
    }
    return rule->n_match == 0;
}

static void bind_tcp(struct compiler *c, struct l4_server *server, struct vs_prepared *prepared)
{
    const struct object *object = prepared->object;
    const struct virtual_service *vs = object->virtual_service;
    struct l4_owner *owner = server->owner;
    const struct l4_route *last = NULL; // takes every connection
    uint32_t last_index = 0;
    for (uint32_t i = 0; i < vs->n_tcp; i++) {
        const struct l4_route *rule = &vs->tcp[i];
        struct str path = path_item(c, STR("spec"), "tcp", i);
        if (!fits(c, server, object, i))
            continue;
        server->has_routes = true;
        if (owner->object == object && owner->has_catch_all && !last)
            continue; // by another server of the same address
        if (owner->object && owner->object != object) {
            complain(c, DIAG_ROUTE_TAKEN, object, rule->line, rule->col, path,
                     "connections to server \"%s\" of %.*s go by %.*s",
                     server->server->port_name.ptr, STR_ARG(server->gateway->title),
                     STR_ARG(owner->place));
            continue;
        }
        if (last) {
            complain(c, DIAG_UNREACHABLE_ROUTE, object, rule->line, rule->col, path,
                     "spec.tcp[%u] (%.*s) takes every connection before it", last_index,
                     STR_ARG(place_text(c, object, last->line, last->col)));
            continue;
        }
        bool has_fit = false;
        if (add_rule(c, server, object, i, &has_fit)) {
            last = rule;
            last_index = i;
        }
        if (has_fit && !owner->object)
            *owner = (struct l4_owner){.object = object,
                                       .place = place_text(c, object, rule->line, rule->col)};
        owner->has_catch_all |= last != NULL;
    }
}

void l4_bind(struct compiler *c, struct l4_server *server, struct vs_prepared *prepared)
{
    if (server->last == prepared) // by another pair of hosts
        return;
    server->last = prepared;
    vs_bind(c, &prepared->l4_bindings, server->gateway, port_of(server));
    if (l4_is_passthrough(server->server)) {
        prepared->has_tls_server = true;
        bind_tls(c, server, prepared);
    } else {
        prepared->has_tcp_server = true;
        bind_tcp(c, server, prepared);
    }
}
