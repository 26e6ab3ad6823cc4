// SPDX-License-Identifier: Apache-2.0
#include "compile/service.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"
#include <stdlib.h>

struct service_index {
    struct endpoint_index *endpoints;
};

static const struct {
    const char *suffix; // of the cluster's name when it is not what the port says itself
    bool is_served;
} protocols[] = {
    [UPSTREAM_BY_PORT] = {"", true},      [UPSTREAM_HTTP] = {";HTTP", true},
    [UPSTREAM_HTTPS] = {";HTTPS", false}, [UPSTREAM_GRPC] = {";GRPC", false},
    [UPSTREAM_GRPCS] = {";GRPCS", false}, [UPSTREAM_FCGI] = {";FCGI", false},
};

struct service_index *service_index_create(struct compiler *c)
{
    struct service_index *index = ARENA_NEW(c->scratch, struct service_index);
    index->endpoints = endpoint_index_create(c);
    return index;
}

void service_index_destroy(struct service_index *index)
{
    if (index)
        endpoint_index_destroy(index->endpoints);
}

struct endpoint_index *service_endpoints(struct service_index *index)
{
    return index->endpoints;
}

struct str service_fqdn(struct compiler *c, const struct object *service, struct arena *arena)
{
    return JOIN(arena, service->name, STR("."), service->ns, STR(".svc."),
                c->options->cluster_domain);
}

// networking.istio.io/exportTo on a Service: a comma list of namespaces, "*", "." or "~".
static bool is_visible(const struct compiler *c, const struct object *service)
{
    const struct text *export_to =
        text_map_find(&service->annotations, STR("networking.istio.io/exportTo"));
    if (!export_to)
        return true;
    struct str rest = text_str(*export_to), part;
    while (str_next(&rest, ',', &part)) {
        part = str_trim(part);
        if (str_is(part, "*") || str_equal(part, c->options->ns) ||
            (str_is(part, ".") && str_equal(service->ns, c->options->ns)))
            return true;
    }
    return false;
}

const struct object *service_of_host(struct compiler *c, struct str fqdn)
{
    struct str name, ns;
    if (!host_split_service(fqdn, c->options->cluster_domain, &name, &ns))
        return NULL;
    const struct object *service = store_find(c->store, KIND_SERVICE, ns, name);
    return service && is_visible(c, service) ? service : NULL;
}

const struct service_port *service_port_numbered(const struct service *service, uint16_t number)
{
    for (uint32_t i = 0; i < service->n_ports; i++) {
        const struct service_port *port = &service->ports[i];
        if (port->transport == TRANSPORT_TCP && port->port.value == number)
            return port;
    }
    return NULL;
}

const struct service_port *service_port_find(const struct service *service,
                                             const struct port_ref *ref)
{
    if (!ref->name.ptr)
        return service_port_numbered(service, ref->number);
    for (uint32_t i = 0; i < service->n_ports; i++) {
        const struct service_port *port = &service->ports[i];
        if (port->transport == TRANSPORT_TCP &&
            str_equal(text_str(port->name), text_str(ref->name)))
            return port;
    }
    return NULL;
}

bool service_port_is_http2(const struct service_port *port)
{
    struct str protocol = text_str(port->app_protocol);
    if (protocol.len == 0) {
        protocol = text_str(port->name);
        ptrdiff_t dash = str_index(protocol, '-');
        // Istio: grpc-web is HTTP/1.1, though its first part reads grpc.
        if (str_has_prefix(protocol, STR("grpc-web")))
            return false;
        if (dash >= 0)
            protocol = str_upto(protocol, (size_t)dash);
    }
    return str_equal_nocase(protocol, STR("http2")) || str_equal_nocase(protocol, STR("grpc")) ||
           str_equal_nocase(protocol, STR("kubernetes.io/h2c"));
}

static struct cluster *named_cluster(struct compiler *c, struct str port, struct str subset,
                                     struct str host, struct str suffix, bool *ret_is_new)
{
    struct str name =
        JOIN_BRIEF(c, STR("outbound|"), port, STR("|"), subset, STR("|"), host, suffix);
    return builder_cluster(c->builder, name, ret_is_new);
}

struct cluster *service_cluster(struct compiler *c, const struct object *service,
                                const struct service_port *port, struct str subset,
                                enum upstream_protocol protocol)
{
    // The plain name goes to what the port itself says, so that both APIs share pools.
    bool is_http2 = service_port_is_http2(port);
    if (protocol == UPSTREAM_HTTP && !is_http2)
        protocol = UPSTREAM_BY_PORT;
    struct str fqdn = service_fqdn(c, service, c->scratch);
    char number[NUMBER_TEXT_MAX];
    bool is_new = false;
    struct cluster *cluster =
        named_cluster(c, number_text((uint64_t)port->port.value, number), subset, fqdn,
                      str_of(protocols[protocol].suffix), &is_new);
    if (!is_new)
        return cluster;
    cluster->is_unserved_protocol =
        protocol == UPSTREAM_BY_PORT ? is_http2 : !protocols[protocol].is_served;
    policy_apply(c, service, fqdn, subset, (uint16_t)port->port.value, cluster);
    endpoints_add(c, cluster, service, port, policy_subset_labels(c, service, fqdn, subset));
    return cluster;
}

struct cluster *missing_cluster(struct compiler *c, struct str port, struct str subset,
                                struct str host)
{
    bool is_new = false;
    struct cluster *cluster = named_cluster(c, port, subset, host, STR_NONE, &is_new);
    if (is_new) {
        cluster->is_missing = true;
        policy_defaults(cluster);
    }
    return cluster;
}
