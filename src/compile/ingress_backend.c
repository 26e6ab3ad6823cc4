// SPDX-License-Identifier: Apache-2.0
// The backend of an Ingress path -> a cluster. What is missing is answered 503 and reported.
#include "compile/hosts.h"
#include "compile/ingress.h"

struct str ingress_item_field(struct compiler *c, const struct ingress_item *item,
                              const char *field)
{
    if (!item->path) // `field` begins with "backend"
        return JOIN(c->scratch, STR("spec.defaultBackend"),
                    str_from(str_of(field), strlen("backend")));
    return path_of(c, "spec.rules[%u].http.paths[%u].%s", item->rule_index, item->path_index,
                   field);
}

static const struct cluster *missing(struct compiler *c, const struct ingress_item *item)
{
    const struct ingress_backend *backend = item->backend;
    struct str fqdn = JOIN(c->scratch, text_str(backend->service), STR("."),
                           item->ingress->object->ns, STR(".svc."), c->options->cluster_domain);
    char number[NUMBER_TEXT_MAX];
    struct str port = backend->port.name.ptr ? text_str(backend->port.name)
                                             : number_text(backend->port.number, number);
    return missing_cluster(c, port, STR_NONE, fqdn);
}

void ingress_backend_check(struct compiler *c, const struct ingress_item *item)
{
    const struct ingress_backend *backend = item->backend;
    if (backend->service.ptr)
        return;
    complain(c, DIAG_RESOURCE_BACKEND, item->ingress->object, backend->line, backend->col,
             ingress_item_field(c, item, "backend.resource"),
             "%s %s is no Service; resource backends are not supported",
             backend->resource_kind.ptr ? backend->resource_kind.ptr : "a resource",
             backend->resource_name.ptr ? backend->resource_name.ptr : "");
}

static const struct cluster *resource_cluster(struct compiler *c, const struct ingress_item *item)
{
    const struct ingress_backend *backend = item->backend;
    const struct object *object = item->ingress->object;
    ingress_backend_check(c, item);
    return missing_cluster(
        c, text_str(backend->resource_kind), STR_NONE,
        JOIN(c->scratch, text_str(backend->resource_name), STR("."), object->ns));
}

static void report_port(struct compiler *c, const struct ingress_item *item,
                        const struct object *service)
{
    const struct port_ref *port = &item->backend->port;
    const struct service *from = service->service;
    struct str listed = STR_NONE, *names = ARENA_ARRAY(c->scratch, struct str, from->n_ports + 1);
    size_t n_names = 0;
    for (uint32_t i = 0; i < from->n_ports; i++) {
        char number[NUMBER_TEXT_MAX];
        struct str name = text_str(from->ports[i].name);
        if (name.len > 0)
            names[n_names++] = name;
        listed =
            JOIN(c->scratch, listed, i > 0 ? STR(", ") : STR_NONE,
                 number_text((uint64_t)from->ports[i].port.value, number),
                 name.len > 0 ? STR(" (") : STR_NONE, name, name.len > 0 ? STR(")") : STR_NONE);
    }
    struct str path = ingress_item_field(c, item, "backend.service.port");
    struct diag *diag =
        port->name.ptr
            ? complain(c, DIAG_DANGLING_PORT, item->ingress->object, port->line, port->col, path,
                       "%.*s has no TCP port named \"%s\"", STR_ARG(service->title), port->name.ptr)
            : complain(c, DIAG_DANGLING_PORT, item->ingress->object, port->line, port->col, path,
                       "%.*s has no TCP port %u", STR_ARG(service->title), port->number);
    struct str nearest =
        port->name.ptr ? diag_nearest(text_str(port->name), names, n_names) : STR_NONE;
    if (nearest.ptr)
        diag_hint(c->diags, diag, "did you mean %.*s?", STR_ARG(nearest));
    else if (listed.len > 0)
        diag_hint(c->diags, diag, "it has %.*s", STR_ARG(listed));
}

enum upstream_protocol ingress_protocol(const struct ingress_item *item, bool is_secure)
{
    enum upstream_protocol protocol = item->ingress->settings.protocol;
    if (protocol != UPSTREAM_AUTO)
        return protocol;
    return is_secure ? UPSTREAM_HTTPS : UPSTREAM_HTTP;
}

const struct cluster *ingress_cluster(struct compiler *c, const struct ingress_item *item,
                                      enum upstream_protocol protocol)
{
    const struct ingress_backend *backend = item->backend;
    const struct object *object = item->ingress->object;
    if (!backend->service.ptr)
        return resource_cluster(c, item);
    const struct object *service = item->service;
    if (!service) {
        struct diag *diag =
            complain(c, DIAG_DANGLING_SERVICE, object, backend->service.line, backend->service.col,
                     ingress_item_field(c, item, "backend.service.name"),
                     "no Service %.*s/%s exists", STR_ARG(object->ns), backend->service.ptr);
        hint_object(c, diag, KIND_SERVICE, object->ns, text_str(backend->service), NULL);
        return missing(c, item);
    }
    const struct service_port *port = service_port_find(service->service, &backend->port);
    struct service_port own; // ExternalName needs no ports of its own
    if (!port && service->service->type == SERVICE_EXTERNAL_NAME &&
        service->service->n_ports == 0 && !backend->port.name.ptr) {
        own = (struct service_port){.port = {.value = backend->port.number, .is_set = true}};
        port = &own;
    }
    if (!port) {
        report_port(c, item, service);
        return missing(c, item);
    }
    const struct ingress_settings *settings = &item->ingress->settings;
    const struct upstream_tls *tls = &settings->backend_tls;
    const struct cluster *cluster =
        protocol == UPSTREAM_RAW ? service_cluster(c, service, port, STR_NONE, protocol)
                                 : service_cluster_of_ingress(c, service, port, protocol, tls);
    bool is_plain = !cluster->tls && !cluster->is_missing && !cluster->is_unserved_protocol;
    bool is_for_all = protocol != UPSTREAM_RAW && settings->protocol != UPSTREAM_AUTO;
    if (tls->name.len > 0 && is_plain && is_for_all) {
        struct diag *diag = complain(c, DIAG_FIELD_NO_EFFECT, object, tls->line, tls->col,
                                     tls->path, "has no effect on a backend without TLS");
        diag_hint(c->diags, diag, "the annotation backend-protocol: HTTPS makes it TLS");
    }
    return cluster;
}
