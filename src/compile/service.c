// SPDX-License-Identifier: Apache-2.0
#include "compile/service.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"
#include "compile/upstream_tls.h"
#include <stdlib.h>

struct service_index {
    struct endpoint_index *endpoints;
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

static enum port_protocol protocol_of_word(struct str word)
{
    static const struct {
        const char *word;
        enum port_protocol protocol;
    } words[] = {
        {"http", PORT_HTTP},
        {"http2", PORT_HTTP2},
        {"grpc", PORT_HTTP2},
        {"grpc-web", PORT_HTTP}, // HTTP/1.1 will do for it
        {"https", PORT_TLS},
        {"tls", PORT_TLS},
        {"tcp", PORT_TCP},
        {"mongo", PORT_TCP},
        {"redis", PORT_TCP},
        {"mysql", PORT_TCP},
        {"kubernetes.io/h2c", PORT_HTTP2},
        {"kubernetes.io/ws", PORT_HTTP},
        {"kubernetes.io/wss", PORT_TLS},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_equal_nocase(word, str_of(words[i].word)))
            return words[i].protocol;
    }
    return PORT_SAYS_NOTHING;
}

enum port_protocol service_port_protocol(const struct service_port *port)
{
    if (port->app_protocol.len > 0)
        return protocol_of_word(text_str(port->app_protocol));
    struct str name = text_str(port->name);
    if (str_has_prefix(name, STR("grpc-web")))
        return PORT_HTTP;
    ptrdiff_t dash = str_index(name, '-');
    return protocol_of_word(dash >= 0 ? str_upto(name, (size_t)dash) : name);
}

static struct cluster *named_cluster(struct compiler *c, struct str port, struct str subset,
                                     struct str host, struct str suffix, bool *ret_is_new)
{
    struct str name =
        JOIN_BRIEF(c, STR("outbound|"), port, STR("|"), subset, STR("|"), host, suffix);
    return builder_cluster(c->builder, name, ret_is_new);
}

// What a cluster is asked to speak. The plain name goes to what the port itself says, so that both
// APIs share pools; what differs has a suffix.
struct speech {
    bool is_http2, is_tls, is_raw, is_unserved;
    struct str suffix;
};

static struct speech speech_of(const struct service_port *port, enum upstream_protocol protocol)
{
    enum port_protocol says = service_port_protocol(port);
    bool has_app_protocol = port->app_protocol.len > 0;
    switch (protocol) {
    case UPSTREAM_BY_PORT:
        break;
    case UPSTREAM_BY_APP:
        if (has_app_protocol && says == PORT_TLS)
            return (struct speech){.is_tls = true, .suffix = STR(";HTTPS")};
        if (has_app_protocol)
            break;
        __attribute__((fallthrough));
    case UPSTREAM_HTTP:
    case UPSTREAM_AUTO:
        return (struct speech){.suffix = says == PORT_HTTP2 ? STR(";HTTP") : STR_NONE};
    case UPSTREAM_HTTPS:
        return (struct speech){.is_tls = true, .suffix = STR(";HTTPS")};
    case UPSTREAM_GRPC:
        return (struct speech){.is_http2 = true,
                               .suffix = says == PORT_HTTP2 ? STR_NONE : STR(";GRPC")};
    case UPSTREAM_GRPCS:
        return (struct speech){.is_http2 = true, .is_tls = true, .suffix = STR(";GRPCS")};
    case UPSTREAM_FCGI:
        return (struct speech){.is_unserved = true, .suffix = STR(";FCGI")};
    case UPSTREAM_RAW:
        return (struct speech){.is_raw = true, .suffix = STR(";RAW")};
    }
    return (struct speech){.is_http2 = says == PORT_HTTP2};
}

static struct cluster *make_cluster(struct compiler *c, const struct object *service,
                                    const struct service_port *port, struct str subset,
                                    const struct speech *speech, const struct upstream_tls *tls)
{
    struct str fqdn = service_fqdn(c, service, c->scratch);
    char number[NUMBER_TEXT_MAX];
    bool is_new = false;
    struct cluster *cluster = named_cluster(c, number_text((uint64_t)port->port.value, number),
                                            subset, fqdn, speech->suffix, &is_new);
    if (!is_new)
        return cluster;
    cluster->protocol = speech->is_http2 ? CLUSTER_HTTP2 : CLUSTER_HTTP1;
    cluster->is_unserved_protocol = speech->is_unserved;
    struct policy_tls policy =
        policy_apply(c, service->ns, fqdn, subset, (uint16_t)port->port.value, cluster);
    if (speech->is_raw)
        cluster->proxy_protocol = 0;
    else if (policy.object)
        upstream_tls_of_policy(c, cluster, &policy, NULL);
    else if (speech->is_tls)
        upstream_tls_of_ingress(c, cluster, tls);
    if (cluster->discovery == CLUSTER_STATIC)
        endpoints_add(c, cluster, service, port, policy_subset_labels(c, service->ns, fqdn, subset));
    return cluster;
}

struct cluster *service_cluster(struct compiler *c, const struct object *service,
                                const struct service_port *port, struct str subset,
                                enum upstream_protocol protocol)
{
    // Where the bytes are the client's own for Istio, too, both share one cluster.
    if (protocol == UPSTREAM_RAW &&
        !policy_changes_bytes(c, service->ns, service_fqdn(c, service, c->scratch),
                              (uint16_t)port->port.value))
        protocol = UPSTREAM_BY_PORT;
    struct speech speech = speech_of(port, protocol);
    return make_cluster(c, service, port, subset, &speech, NULL);
}

struct cluster *service_cluster_of_ingress(struct compiler *c, const struct object *service,
                                           const struct service_port *port,
                                           enum upstream_protocol protocol,
                                           const struct upstream_tls *tls)
{
    struct speech speech = speech_of(port, protocol);
    if (speech.is_tls && tls->name.len > 0)
        speech.suffix = JOIN(c->scratch, speech.suffix, STR(";"), tls->name);
    return make_cluster(c, service, port, STR_NONE, &speech, tls);
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

struct cluster *black_hole_cluster(struct compiler *c)
{
    bool is_new = false;
    struct cluster *cluster = builder_cluster(c->builder, STR("BlackHoleCluster"), &is_new);
    if (is_new) {
        cluster->is_missing = true;
        policy_defaults(cluster);
    }
    return cluster;
}
