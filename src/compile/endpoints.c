// SPDX-License-Identifier: Apache-2.0
// Where a Service port's endpoints come from, the first that exists: its EndpointSlices, the
// Endpoints object of its name, the Pods that its selector picks; for type ExternalName the
// addresses of the name. Ready ones count; when there is none, those that are shutting down and
// still answer. The indexes are made once a compile, and only when something asks for them.
#include "compile/destination_rule.h"
#include "compile/hosts.h"
#include "compile/service.h"
#include <stdlib.h>

enum {
    EXTERNAL_DEPTH_MAX = 4, // ExternalName -> Service of the cluster -> ...
    NO_SOURCE_NOTES_MAX = 100
};

struct endpoint_index {
    struct map *slices; // "<ns>/<service>" -> struct listing
    // By kind: "<ns>/<key>=<value>" of a label -> struct listing, "<ns>/" for all; made when asked.
    struct map *by_pair[KIND_COUNT];
    struct map *pods_by_ip; // address text -> const struct object *; made when asked
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
    for (int kind = 0; kind < KIND_COUNT; kind++)
        map_destroy(index->by_pair[kind]);
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

static void list_pairs(struct compiler *c, struct map *map, const struct object *object,
                       const struct text_map *labels)
{
    for (uint32_t i = 0; i < labels->n; i++)
        list_add(c, map, pair_key(c, object->ns, &labels->items[i]), object);
}

static struct map *objects_by_pair(struct compiler *c, enum kind kind)
{
    struct endpoint_index *index = service_endpoints(c->services);
    if (index->by_pair[kind])
        return index->by_pair[kind];
    struct map *map = index->by_pair[kind] = map_create();
    size_t n = 0;
    const struct object *const *objects = store_all(c->store, kind, &n);
    for (size_t i = 0; i < n; i++) {
        list_add(c, map, JOIN(c->scratch, objects[i]->ns, STR("/")), objects[i]);
        list_pairs(c, map, objects[i], &objects[i]->labels);
        if (kind == KIND_WORKLOAD_ENTRY)
            list_pairs(c, map, objects[i], &objects[i]->workload_entry->labels);
    }
    return map;
}

// The shortest of the lists of its labels.
const struct listing *objects_selected(struct compiler *c, enum kind kind, struct str ns,
                                       const struct text_map *selector)
{
    struct map *map = objects_by_pair(c, kind);
    if (selector->n == 0)
        return map_find(map, JOIN_BRIEF(c, ns, STR("/")));
    const struct listing *shortest = NULL;
    for (uint32_t i = 0; i < selector->n; i++) {
        const struct listing *listing = map_find(map, pair_key(c, ns, &selector->items[i]));
        if (!listing)
            return NULL;
        if (!shortest || listing->n < shortest->n)
            shortest = listing;
    }
    return shortest;
}

static bool has_ended(const struct pod *pod)
{
    return str_is(text_str(pod->phase), "Succeeded") || str_is(text_str(pod->phase), "Failed");
}

bool pod_is_ready(const struct object *object)
{
    const struct pod *pod = object->pod;
    return !has_ended(pod) && !pod->is_terminating && (pod->ready.is_set ? pod->ready.value : true);
}

struct str pod_address(const struct object *object)
{
    const struct pod *pod = object->pod;
    struct str ip = text_str(pod->pod_ip);
    return ip.len == 0 && pod->pod_ips.n > 0 ? text_str(pod->pod_ips.items[0]) : ip;
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
        if (!text_map_contains(&object->labels, &g->service->service->selector) || has_ended(pod))
            continue;
        bool answers = pod->ready.is_set ? pod->ready.value : true;
        if (!is_usable(g, answers && !pod->is_terminating, answers, pod->is_terminating) ||
            !has_labels(g, object))
            continue;
        add_address(g, pod_address(object), target_port(g, object));
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
        selector->n > 0 ? objects_selected(c, KIND_POD, g->service->ns, selector) : NULL;
    gather_pods(g, pods);
    return pods != NULL;
}

static void add_known(struct compiler *c, struct cluster *cluster, struct address address,
                      uint16_t port, uint32_t weight, bool is_retiring)
{
    address.port = port;
    if (is_retiring)
        builder_add_retiring(c->builder, cluster, &address);
    else
        builder_add_endpoint(c->builder, cluster, &address, weight);
}

uint32_t endpoints_add_name(struct compiler *c, struct cluster *cluster, struct str name,
                            uint16_t port, uint32_t weight, bool one_at_a_time)
{
    struct address address;
    if (address_parse_ip(name, &address)) {
        add_known(c, cluster, address, port, weight, false);
        return 1;
    }
    uint32_t n = 0;
    struct name_addresses known = {.is_pending = true};
    if (c->names)
        c->names->addresses(c->names->arg, name, one_at_a_time, &known);
    for (uint32_t i = 0; i < known.n; i++) {
        bool is_used = !one_at_a_time || address_equal(&known.items[i], &known.first);
        add_known(c, cluster, known.items[i], port, weight, !is_used);
        n += is_used;
    }
    for (uint32_t i = 0; i < known.n_retiring; i++)
        add_known(c, cluster, known.retiring[i], port, weight, true);
    if (n == 0 && known.is_pending && cluster->dns_name.len == 0) { // one is enough to wait for
        cluster->dns_name = arena_str(c->arena, name);
        cluster->dns_port = port;
    }
    return n;
}

void endpoints_settle(struct cluster *cluster, uint32_t n_endpoints)
{
    if (cluster->dns_name.len > 0 && n_endpoints == 0) {
        cluster->discovery = CLUSTER_DYNAMIC_DNS;
        return;
    }
    cluster->dns_name = STR_NONE;
    cluster->dns_port = 0;
}

static void gather_external(struct gathering *g, struct str name)
{
    const struct port_ref *target = &g->port->target_port;
    uint16_t port =
        target->is_set && !target->name.ptr ? target->number : (uint16_t)g->port->port.value;
    policy_be_external(g->cluster);
    endpoints_settle(g->cluster, endpoints_add_name(g->c, g->cluster, name, port, 1, false));
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
