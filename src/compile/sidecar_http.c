// SPDX-License-Identifier: Apache-2.0
// Virtual hosts of a sidecar: of each port that is dialled, the hosts that have it, by the names
// that a client in our namespace knows them by.
#include "compile/hosts.h"
#include "compile/sidecar.h"

// ---- names ----

struct names {
    struct compiler *c;
    struct str *items;
    uint32_t n;
};

static void add_name(struct names *names, struct str name)
{
    names->items[names->n++] = name;
}

// "a.ns.svc.cluster.local", then "a.ns.svc", "a.ns" and, in its own namespace, "a".
static void add_service_names(struct names *names, const struct object *service, struct str prefix)
{
    struct arena *scratch = names->c->scratch;
    struct str fqdn = JOIN(scratch, prefix, service->name, STR("."), service->ns, STR(".svc."),
                           names->c->options->cluster_domain);
    size_t in_namespace = prefix.len + service->name.len + 1 + service->ns.len;
    add_name(names, fqdn);
    add_name(names, str_upto(fqdn, in_namespace + sizeof ".svc" - 1));
    add_name(names, str_upto(fqdn, in_namespace));
    if (str_equal(service->ns, names->c->options->ns))
        add_name(names, str_upto(fqdn, prefix.len + service->name.len));
}

static void add_addresses(struct names *names, const struct catalog_host *host)
{
    // An address is no name below a wildcard.
    for (uint32_t i = 0; !host_is_wildcard(host->name) && i < host->n_addresses; i++) {
        const struct subnet *subnet = &host->addresses[i];
        bool is_ip6 = subnet->base.family == AF_INET6;
        char text[ADDRESS_TEXT_MAX];
        if (subnet->bits != (is_ip6 ? 128 : 32))
            continue;
        struct str ip = {text, address_format_ip(&subnet->base, text)};
        // As it stands in Host.
        add_name(names, JOIN(names->c->scratch, is_ip6 ? STR("[") : STR_NONE, ip,
                             is_ip6 ? STR("]") : STR_NONE));
    }
}

struct str *sidecar_names(struct compiler *c, const struct catalog_host *host, bool with_addresses,
                          uint32_t *ret_n)
{
    enum { OF_SERVICE = 8 };
    struct names names = {.c = c};
    names.items = ARENA_ARRAY(c->scratch, struct str, OF_SERVICE + host->n_addresses);
    if (host->is_service)
        add_service_names(&names, host->object, STR_NONE);
    else
        add_name(&names, host->name);
    if (sidecar_is_headless(host)) // its Pods have names of their own
        add_service_names(&names, host->object, STR("*."));
    if (with_addresses)
        add_addresses(&names, host);
    *ret_n = names.n;
    return names.items;
}

// ---- routes ----

static void add_default_route(struct sidecar_context *s, const struct outbound_host *at,
                              struct builder_vhost *to)
{
    struct target *target = ARENA_NEW(s->c->arena, struct target);
    *target = (struct target){.cluster = catalog_cluster(s->c, at->host, at->port, STR_NONE),
                              .weight = 1};
    builder_add_route(to, &(struct route){.path_kind = PATH_ANY,
                                          .action = ROUTE_FORWARD,
                                          .name = STR("default"),
                                          .origin = sidecar_origin(s, at),
                                          .body_bytes_max = s->c->options->body_bytes_max,
                                          .n_targets = 1,
                                          .targets = target,
                                          .total_weight = 1});
}

static void add_rules(const struct vs_routes *routes, struct builder_vhost *to)
{
    for (uint32_t i = 0; i < routes->n; i++)
        builder_add_route(to, &routes->items[i].route);
}

// What a VirtualService has no rule for on this port, or at all, goes to the host itself.
static void add_routes(struct sidecar_context *s, const struct outbound_port *port,
                       const struct outbound_host *at, struct builder_vhost *to)
{
    struct mesh_claim *claim = sidecar_mesh_claim(s, s->http_claims, at->host->name);
    while (claim && !sidecar_mesh_sees(s, claim->service, port->number))
        claim = claim->next;
    const struct vs_routes *routes =
        claim ? sidecar_mesh_routes(s, claim->service, port->number) : NULL;
    if (routes && routes->n > 0)
        add_rules(routes, to);
    else
        add_default_route(s, at, to);
}

void sidecar_add_any_host(struct sidecar_context *s, struct builder_hosts *hosts)
{
    struct compiler *c = s->c;
    struct builder_vhost *any = builder_vhost(hosts, STR("*"), false);
    if (s->is_registry_only) {
        builder_add_route(any, &(struct route){.path_kind = PATH_ANY,
                                               .action = ROUTE_RESPOND,
                                               .status = 502,
                                               .name = STR("block_all"),
                                               .log_cluster = s->fallback});
        return;
    }
    struct target *target = ARENA_NEW(c->arena, struct target);
    *target = (struct target){.cluster = s->fallback, .weight = 1};
    builder_add_route(any, &(struct route){.path_kind = PATH_ANY,
                                           .action = ROUTE_FORWARD,
                                           .name = STR("allow_any"),
                                           .body_bytes_max = c->options->body_bytes_max,
                                           .n_targets = 1,
                                           .targets = target,
                                           .total_weight = 1});
}

// ---- virtual hosts ----

static bool is_http(const struct outbound_host *at)
{
    return at->protocol == PORT_HTTP || at->protocol == PORT_HTTP2 ||
           at->protocol == PORT_SAYS_NOTHING;
}

static struct builder_hosts *hosts_of(struct sidecar_context *s, struct outbound_port *port)
{
    struct builder_hosts *hosts = builder_captured_hosts(port->captured);
    if (!builder_has_vhost(hosts, STR("*")))
        sidecar_add_any_host(s, hosts);
    return hosts;
}

// First all hosts by their own names, since a short name of one may be the whole name of another.
static void add_port(struct sidecar_context *s, struct outbound_port *port)
{
    if (!port->has_http && !port->has_unsaid)
        return;
    struct builder_hosts *hosts = hosts_of(s, port);
    for (const struct outbound_host *at = port->first; at; at = at->next) {
        if (is_http(at) && !builder_has_vhost(hosts, at->host->name))
            add_routes(s, port, at, builder_vhost(hosts, at->host->name, false));
    }
    for (const struct outbound_host *at = port->first; at; at = at->next) {
        uint32_t n;
        if (!is_http(at))
            continue;
        struct str *names = sidecar_names(s->c, at->host, true, &n);
        struct builder_vhost *vhost = builder_vhost(hosts, at->host->name, false);
        for (uint32_t i = 1; i < n; i++)
            builder_vhost_alias(hosts, names[i], vhost);
    }
}

// ---- hosts of VirtualServices that nobody declares by that name ----

static void add_virtual(struct sidecar_context *s, uint16_t number, struct str name,
                        const struct mesh_claim *claim)
{
    while (claim && !sidecar_mesh_sees(s, claim->service, number))
        claim = claim->next;
    const struct vs_routes *routes = claim ? sidecar_mesh_routes(s, claim->service, number) : NULL;
    if (!routes || routes->n == 0)
        return;
    struct outbound_port *port = sidecar_port(s, number);
    struct builder_hosts *hosts = hosts_of(s, port);
    if (builder_has_vhost(hosts, name))
        return;
    port->has_http |= !port->first;
    add_rules(routes, builder_vhost(hosts, name, false));
}

// Under a wildcard that is declared: on the ports of that. Else on port 80, as Istio does.
static void add_claim(struct sidecar_context *s, struct str name, const struct mesh_claim *claim)
{
    const struct wildcard_host *wildcard = sidecar_find_wildcard(s, name);
    if (!wildcard && !claim->is_matched)
        add_virtual(s, 80, name, claim);
    for (; wildcard; wildcard = wildcard->next) {
        if (wildcard->port->has_http || wildcard->port->has_unsaid)
            add_virtual(s, wildcard->port->number, name, claim);
    }
}

void sidecar_http_compile(struct sidecar_context *s)
{
    for (struct outbound_port *port = s->first_port; port; port = port->next)
        add_port(s, port);
    size_t cursor = 0;
    struct str name;
    void *value;
    while (map_next(s->http_claims, &cursor, &name, &value))
        add_claim(s, name, value);
}
