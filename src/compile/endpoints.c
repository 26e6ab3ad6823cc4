// SPDX-License-Identifier: Apache-2.0
// Where a Service port's endpoints come from, the first that exists: its EndpointSlices, the
// Endpoints object of its name, the Pods that its selector picks; for type ExternalName the
// addresses of the name. Ready ones count; when there is none, those that are shutting down and
// still answer. The indexes are made once a compile, and only when something asks for them.
#include "compile/hosts.h"
#include "compile/service.h"
#include <stdlib.h>

enum {
    EXTERNAL_DEPTH_MAX = 4, // ExternalName -> Service of the cluster -> ...
    NO_SOURCE_NOTES_MAX = 100
};

struct listed { // objects under one key of an index
    const struct object *object;
    struct listed *next;
};
struct listing {
    struct listed *first, **end;
    uint32_t n;
};

struct endpoint_index {
    struct map *slices;       // "<ns>/<service>" -> struct listing
    struct map *pods_by_pair; // "<ns>/<key>=<value>" of a label -> struct listing; made when asked
    struct map *pods_by_ip;   // address text -> const struct object *; made when asked
    const struct object *last_without_source;
    uint32_t n_without_source;
};

static void list_add(struct compiler *c, struct map *map, struct str key,
                     const struct object *object)
{
    struct listing *listing = map_find(map, key);
    if (!listing) {
        listing = ARENA_NEW(c->scratch, struct listing);
        listing->end = &listing->first;
        map_put(map, key, listing);
    }
    struct listed *item = ARENA_NEW(c->scratch, struct listed);
    item->object = object;
    *listing->end = item;
    listing->end = &item->next;
    listing->n++;
}

struct endpoint_index *endpoint_index_create(struct compiler *c)
{
    struct endpoint_index *index = ARENA_NEW(c->scratch, struct endpoint_index);
    index->slices = map_create();
    size_t n = 0;
    const struct object *const *slices = store_all(c->store, KIND_ENDPOINT_SLICE, &n);
    for (size_t i = 0; i < n; i++) {
        prefetch_ahead(slices, i, n);
        const struct text *name =
            text_map_find(&slices[i]->labels, STR("kubernetes.io/service-name"));
        if (name)
            list_add(c, index->slices, JOIN(c->scratch, slices[i]->ns, STR("/"), text_str(*name)),
                     slices[i]);
    }
    return index;
}

void endpoint_index_destroy(struct endpoint_index *index)
{
    if (!index)
        return;
    map_destroy(index->slices);
    map_destroy(index->pods_by_pair);
    map_destroy(index->pods_by_ip);
}

static struct map *pods_by_ip(struct compiler *c)
{
    struct endpoint_index *index = service_endpoints(c->services);
    if (index->pods_by_ip)
        return index->pods_by_ip;
    index->pods_by_ip = map_create();
    size_t n = 0;
    const struct object *const *pods = store_all(c->store, KIND_POD, &n);
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = pods[i]->pod;
        // Pods of the host's network share its address: it tells nothing about them.
        if (pod->host_network.value)
            continue;
        if (pod->pod_ip.len > 0)
            map_put(index->pods_by_ip, text_str(pod->pod_ip), (void *)(uintptr_t)pods[i]);
        for (uint32_t k = 0; k < pod->pod_ips.n; k++)
            map_put(index->pods_by_ip, text_str(pod->pod_ips.items[k]), (void *)(uintptr_t)pods[i]);
    }
    return index->pods_by_ip;
}

static struct str pair_key(struct compiler *c, struct str ns, const struct text_pair *pair)
{
    return JOIN(c->scratch, ns, STR("/"), text_str(pair->key), STR("="), text_str(pair->value));
}

// The shortest list of Pods that may carry all labels of `selector`.
static const struct listing *pods_selected(struct compiler *c, struct str ns,
                                           const struct text_map *selector)
{
    struct endpoint_index *index = service_endpoints(c->services);
    if (!index->pods_by_pair) {
        index->pods_by_pair = map_create();
        size_t n = 0;
        const struct object *const *pods = store_all(c->store, KIND_POD, &n);
        for (size_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < pods[i]->labels.n; k++)
                list_add(c, index->pods_by_pair,
                         pair_key(c, pods[i]->ns, &pods[i]->labels.items[k]), pods[i]);
        }
    }
    const struct listing *shortest = NULL;
    for (uint32_t i = 0; i < selector->n; i++) {
        const struct listing *listing =
            map_find(index->pods_by_pair, pair_key(c, ns, &selector->items[i]));
        if (!listing)
            return NULL;
        if (!shortest || listing->n < shortest->n)
            shortest = listing;
    }
    return shortest;
}

// One pass over the endpoints of a Service port.
struct gathering {
    struct compiler *c;
    struct cluster *cluster;
    const struct object *service;
    const struct service_port *port;
    const struct text_map *labels; // of a subset; NULL: all
    bool is_last_resort;           // looks for those shutting down, not for ready ones
    uint32_t n_added;
};

static void add_address(struct gathering *g, struct str ip, uint16_t port)
{
    struct address address;
    if (port == 0 || !address_parse_ip(ip, &address))
        return;
    address.port = port;
    builder_add_endpoint(g->c->builder, g->cluster, &address, 1);
    g->n_added++;
}

static bool is_usable(const struct gathering *g, bool ready, bool serving, bool terminating)
{
    if (g->service->service->publish_not_ready_addresses.value)
        return !g->is_last_resort;
    return g->is_last_resort ? serving && terminating && !ready : ready;
}

static const struct object *target_pod(struct gathering *g, const struct text *kind,
                                       const struct text *ns, const struct text *name,
                                       struct str ip)
{
    if (name->len > 0 && (kind->len == 0 || str_is(text_str(*kind), "Pod"))) {
        const struct object *pod = store_find(
            g->c->store, KIND_POD, ns->len > 0 ? text_str(*ns) : g->service->ns, text_str(*name));
        if (pod)
            return pod;
    }
    const struct object *pod = map_find(pods_by_ip(g->c), ip);
    return pod && str_equal(pod->ns, g->service->ns) ? pod : NULL;
}

static bool has_labels(const struct gathering *g, const struct object *pod)
{
    return !g->labels || (pod && text_map_contains(&pod->labels, g->labels));
}

// The number behind targetPort: as given, or of the container port of that name. 0: none.
static uint16_t target_port(const struct gathering *g, const struct object *pod)
{
    const struct port_ref *target = &g->port->target_port;
    if (!target->is_set)
        return (uint16_t)g->port->port.value;
    if (!target->name.ptr)
        return target->number;
    for (uint32_t i = 0; pod && i < pod->pod->n_containers; i++) {
        const struct container *container = &pod->pod->containers[i];
        for (uint32_t k = 0; k < container->n_ports; k++) {
            const struct container_port *port = &container->ports[k];
            if (port->transport == g->port->transport &&
                str_equal(text_str(port->name), text_str(target->name)))
                return (uint16_t)port->container_port.value;
        }
    }
    return 0;
}

static const struct endpoint_port *find_endpoint_port(const struct gathering *g,
                                                      const struct endpoint_port *ports, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ports[i].transport == g->port->transport &&
            str_equal(text_str(ports[i].name), text_str(g->port->name)))
            return &ports[i];
    }
    return NULL;
}

static void gather_slice(struct gathering *g, const struct object *object)
{
    const struct endpoint_slice *slice = object->endpoint_slice;
    const struct endpoint_port *port = find_endpoint_port(g, slice->ports, slice->n_ports);
    if (!port)
        return;
    if (slice->address_type == ADDRESS_FQDN) {
        struct diag *diag =
            complain(g->c, DIAG_ENDPOINT_ADDRESS, object, object->name_line, object->name_col,
                     STR("addressType"), "endpoints of type FQDN are not proxied");
        diag_hint(g->c->diags, diag,
                  "a Service of type ExternalName leads to a name outside the cluster");
        return;
    }
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct slice_endpoint *endpoint = &slice->endpoints[i];
        bool ready = endpoint->ready.is_set ? endpoint->ready.value : true;
        bool serving = endpoint->serving.is_set ? endpoint->serving.value : true;
        if (endpoint->addresses.n == 0 ||
            !is_usable(g, ready, serving, endpoint->terminating.value))
            continue;
        struct str ip = text_str(endpoint->addresses.items[0]); // the first counts
        const struct object *pod = NULL;
        if (g->labels || !port->port.is_set)
            pod = target_pod(g, &endpoint->target_kind, &endpoint->target_ns,
                             &endpoint->target_name, ip);
        if (!has_labels(g, pod))
            continue;
        // A slice port without a number stands for every port: the target's own.
        uint16_t number = port->port.is_set ? (uint16_t)port->port.value : target_port(g, pod);
        add_address(g, ip, number ? number : (uint16_t)g->port->port.value);
    }
}

static void gather_subset(struct gathering *g, const struct endpoint_subset *subset,
                          const struct endpoint_address *addresses, uint32_t n)
{
    const struct endpoint_port *port = find_endpoint_port(g, subset->ports, subset->n_ports);
    for (uint32_t i = 0; port && i < n; i++) {
        struct str ip = text_str(addresses[i].ip);
        const struct object *pod =
            g->labels ? target_pod(g, &addresses[i].target_kind, &addresses[i].target_ns,
                                   &addresses[i].target_name, ip)
                      : NULL;
        if (has_labels(g, pod))
            add_address(g, ip, (uint16_t)port->port.value);
    }
}

static void gather_endpoints(struct gathering *g, const struct endpoints *endpoints)
{
    if (g->is_last_resort)
        return; // Endpoints do not tell which address is shutting down
    for (uint32_t i = 0; i < endpoints->n_subsets; i++) {
        const struct endpoint_subset *subset = &endpoints->subsets[i];
        gather_subset(g, subset, subset->addresses, subset->n_addresses);
        if (g->service->service->publish_not_ready_addresses.value)
            gather_subset(g, subset, subset->not_ready_addresses, subset->n_not_ready_addresses);
    }
}

static void gather_pods(struct gathering *g, const struct listing *listing)
{
    for (const struct listed *at = listing ? listing->first : NULL; at; at = at->next) {
        const struct object *object = at->object;
        const struct pod *pod = object->pod;
        if (!text_map_contains(&object->labels, &g->service->service->selector) ||
            str_is(text_str(pod->phase), "Succeeded") || str_is(text_str(pod->phase), "Failed"))
            continue;
        bool answers = pod->ready.is_set ? pod->ready.value : true;
        if (!is_usable(g, answers && !pod->is_terminating, answers, pod->is_terminating) ||
            !has_labels(g, object))
            continue;
        struct str ip = text_str(pod->pod_ip);
        if (ip.len == 0 && pod->pod_ips.n > 0)
            ip = text_str(pod->pod_ips.items[0]);
        add_address(g, ip, target_port(g, object));
    }
}

// Where addresses come from; false: the Service has no source at all.
static bool gather(struct gathering *g)
{
    struct compiler *c = g->c;
    struct str key = JOIN_BRIEF(c, g->service->ns, STR("/"), g->service->name);
    const struct listing *slices = map_find(service_endpoints(c->services)->slices, key);
    if (slices) {
        for (const struct listed *at = slices->first; at; at = at->next)
            gather_slice(g, at->object);
        return true;
    }
    const struct object *endpoints =
        store_find(c->store, KIND_ENDPOINTS, g->service->ns, g->service->name);
    if (endpoints) {
        gather_endpoints(g, endpoints->endpoints);
        return true;
    }
    const struct text_map *selector = &g->service->service->selector;
    const struct listing *pods =
        selector->n > 0 ? pods_selected(c, g->service->ns, selector) : NULL;
    gather_pods(g, pods);
    return pods != NULL;
}

static void gather_external(struct gathering *g, struct str name)
{
    const struct port_ref *target = &g->port->target_port;
    uint16_t port =
        target->is_set && !target->name.ptr ? target->number : (uint16_t)g->port->port.value;
    struct address address;
    if (address_parse_ip(name, &address)) {
        add_address(g, name, port);
        return;
    }
    struct name_addresses known = {0};
    if (g->c->names)
        g->c->names->addresses(g->c->names->arg, name, false, &known);
    for (uint32_t i = 0; i < known.n; i++) {
        address = known.items[i];
        address.port = port;
        builder_add_endpoint(g->c->builder, g->cluster, &address, 1);
    }
}

// Follows ExternalName to Services of the cluster itself. NULL: a loop, which is reported.
static const struct object *follow_external(struct compiler *c, const struct object *service,
                                            struct str *ret_name)
{
    const struct object *at = service;
    for (unsigned depth = 0; at->service->type == SERVICE_EXTERNAL_NAME; depth++) {
        if (depth == EXTERNAL_DEPTH_MAX) {
            const struct text *name = &service->service->external_name;
            complain(c, DIAG_EXTERNAL_LOOP, service, name->line, name->col,
                     STR("spec.externalName"), "\"%s\" leads on through more than %d Services",
                     name->ptr, EXTERNAL_DEPTH_MAX);
            return NULL;
        }
        struct str name = host_lower(c->scratch, text_str(at->service->external_name));
        if (str_has_suffix(name, STR(".")))
            name.len--;
        *ret_name = name;
        struct str fqdn = str_has_suffix(name, STR(".svc"))
                              ? JOIN(c->scratch, name, STR("."), c->options->cluster_domain)
                              : name;
        const struct object *next = service_of_host(c, fqdn);
        if (!next)
            return at;
        at = next;
    }
    return at;
}

// One note a Service, but not ten thousand of them: where no source of addresses is connected at
// all, the first ones and their number say it.
static void report_no_source(struct compiler *c, const struct object *service)
{
    struct endpoint_index *index = service_endpoints(c->services);
    index->last_without_source = service;
    if (index->n_without_source++ >= NO_SOURCE_NOTES_MAX)
        return;
    struct diag *diag =
        complain(c, DIAG_NO_ENDPOINTS, service, service->name_line, service->name_col,
                 STR("metadata.name"), "no EndpointSlice, Endpoints or Pod gives an address");
    diag_hint(c->diags, diag,
              "an EndpointSlice with the label kubernetes.io/service-name: %.*s gives addresses",
              STR_ARG(service->name));
}

void endpoints_report(struct compiler *c)
{
    const struct endpoint_index *index = service_endpoints(c->services);
    const struct object *last = index->last_without_source;
    if (index->n_without_source > NO_SOURCE_NOTES_MAX)
        complain(c, DIAG_NO_ENDPOINTS, last, last->name_line, last->name_col, STR("metadata.name"),
                 "this and %u more clusters have no EndpointSlice, Endpoints or Pod",
                 index->n_without_source - NO_SOURCE_NOTES_MAX - 1);
}

void endpoints_add(struct compiler *c, struct cluster *cluster, const struct object *service,
                   const struct service_port *port, const struct text_map *labels)
{
    struct gathering g = {.c = c, .cluster = cluster, .port = port, .labels = labels};
    struct str name = STR_NONE;
    g.service = follow_external(c, service, &name);
    if (!g.service)
        return;
    if (g.service->service->type == SERVICE_EXTERNAL_NAME) {
        gather_external(&g, name);
        return;
    }
    if (g.service != service) { // an alias: its port is looked up at the Service it leads to
        struct port_ref same = {.number = (uint16_t)port->port.value, .is_set = true};
        g.port = service_port_find(g.service->service, &same);
        if (!g.port)
            return;
    }
    bool has_source = gather(&g);
    if (has_source && g.n_added == 0) {
        g.is_last_resort = true;
        gather(&g);
    }
    if (!has_source)
        report_no_source(c, g.service);
}
