// SPDX-License-Identifier: Apache-2.0
// The clusters of ServiceEntries' hosts: where their addresses come from, what they speak.
#include "compile/catalog.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"
#include "compile/upstream_tls.h"

// One pass over the entries of a host that have the port.
struct gathering {
    struct compiler *c;
    struct cluster *cluster;
    const struct catalog_host *host;
    const struct object *entry;
    const struct service_entry_port *port; // of `entry`
    const struct text_map *labels;         // of a subset; NULL: all
    bool takes_names, one_at_a_time;
    bool has_host;      // the host itself was looked up
    uint32_t n_sources; // names and addresses that are endpoints
    uint32_t n;         // addresses in use
};

static uint16_t target_of(const struct service_entry_port *port)
{
    return (uint16_t)(port->target_port.value > 0 ? port->target_port.value : port->port.value);
}

// ---- endpoints ----

static uint16_t workload_port(const struct gathering *g, const struct workload *workload)
{
    for (uint32_t i = 0; i < workload->n_ports; i++) {
        if (str_equal(text_str(workload->ports[i].name), text_str(g->port->name)))
            return (uint16_t)workload->ports[i].number.value;
    }
    return target_of(g->port);
}

static void add_address(struct gathering *g, struct str address, uint16_t port, uint32_t weight)
{
    struct str name = host_lower(g->c->scratch, address);
    if (str_has_suffix(name, STR(".")))
        name.len--;
    g->n_sources++;
    g->n += endpoints_add_name(g->c, g->cluster, name, port, weight, g->one_at_a_time);
}

static void add_workload(struct gathering *g, const struct workload *workload)
{
    uint32_t weight = workload->weight.value > 0 ? (uint32_t)workload->weight.value : 1;
    add_address(g, text_str(workload->address), workload_port(g, workload), weight);
}

// A label of metadata goes before one of spec.
static const struct text *workload_label(const struct object *object, struct str key)
{
    const struct text *value = text_map_find(&object->labels, key);
    return value ? value : text_map_find(&object->workload_entry->labels, key);
}

static bool workload_has(const struct object *object, const struct text_map *wanted)
{
    for (uint32_t i = 0; wanted && i < wanted->n; i++) {
        const struct text *value = workload_label(object, text_str(wanted->items[i].key));
        if (!value || !str_equal(text_str(*value), text_str(wanted->items[i].value)))
            return false;
    }
    return true;
}

static void add_selected_workloads(struct gathering *g, const struct text_map *selector)
{
    const struct listing *listing =
        objects_selected(g->c, KIND_WORKLOAD_ENTRY, g->entry->ns, selector);
    for (const struct listed *at = listing ? listing->first : NULL; at; at = at->next) {
        const struct object *object = at->object;
        const struct text *address = &object->workload_entry->address;
        struct address ip;
        if (!workload_has(object, selector) || !workload_has(object, g->labels))
            continue;
        if (g->takes_names || address_parse_ip(text_str(*address), &ip))
            add_workload(g, object->workload_entry);
        else
            complain(g->c, DIAG_ENDPOINT_ADDRESS, object, address->line, address->col,
                     STR("spec.address"),
                     "\"%s\" is a name, which %.*s with resolution STATIC does not look up",
                     address->ptr, STR_ARG(g->entry->title));
    }
}

static void add_selected_pods(struct gathering *g, const struct text_map *selector)
{
    const struct listing *listing = objects_selected(g->c, KIND_POD, g->entry->ns, selector);
    for (const struct listed *at = listing ? listing->first : NULL; at; at = at->next) {
        const struct object *pod = at->object;
        struct str ip = pod_address(pod);
        if (ip.len > 0 && pod_is_ready(pod) && text_map_contains(&pod->labels, selector) &&
            (!g->labels || text_map_contains(&pod->labels, g->labels)))
            add_address(g, ip, target_of(g->port), 1);
    }
}

static void gather_entry(struct gathering *g)
{
    const struct service_entry *entry = g->entry->service_entry;
    for (uint32_t i = 0; i < entry->n_endpoints; i++) {
        const struct workload *endpoint = &entry->endpoints[i];
        if (!g->labels || text_map_contains(&endpoint->labels, g->labels))
            add_workload(g, endpoint);
    }
    if (entry->has_selector) {
        add_selected_workloads(g, &entry->selector);
        add_selected_pods(g, &entry->selector);
    }
    // The host itself has no labels that a subset could ask for.
    bool is_source = !entry->has_endpoints && !entry->has_selector && g->takes_names && !g->labels;
    if (is_source && !g->has_host && !host_is_wildcard(g->host->name)) {
        g->has_host = true;
        add_address(g, g->host->name, target_of(g->port), 1);
    }
}

static void report_no_endpoint(struct gathering *g, const struct catalog_port *port)
{
    const struct object *entry = port->entry;
    const struct service_entry *of = entry->service_entry;
    const char *why = "none of its endpoints can be used";
    if (g->labels)
        why = of->has_endpoints || of->has_selector
                  ? "none of its endpoints has the labels of the subset"
                  : "a host that is itself looked up has no labels, which the subset asks for";
    else if (of->has_selector)
        why = "no WorkloadEntry and no ready Pod of its namespace has the labels of its "
              "workloadSelector";
    complain(g->c, DIAG_NO_ENDPOINTS, entry, entry->name_line, entry->name_col,
             STR("metadata.name"), "%.*s: %s", STR_ARG(g->cluster->name), why);
}

static void gather(struct gathering *g, const struct catalog_port *port)
{
    for (uint32_t i = 0; i < g->host->n_entries; i++) {
        const struct service_entry *entry = g->host->entries[i]->service_entry;
        for (uint32_t k = 0; k < entry->n_ports; k++) {
            if (entry->ports[k].port.value != port->number)
                continue;
            g->entry = g->host->entries[i];
            g->port = &entry->ports[k];
            gather_entry(g);
        }
    }
    endpoints_settle(g->cluster, g->n);
    if (g->n_sources == 0)
        report_no_endpoint(g, port);
}

static void discover(struct compiler *c, struct cluster *cluster, const struct catalog_host *host,
                     const struct catalog_port *port, const struct text_map *labels)
{
    enum entry_resolution resolution = catalog_resolution(host);
    struct gathering g = {.c = c, .cluster = cluster, .host = host, .labels = labels};
    switch (resolution) {
    case RESOLUTION_NONE:
        // A gateway's client has dialled the gateway: there is nowhere to go, which is reported
        // where a route leads here.
        if (!c->options->is_sidecar)
            return;
        cluster->discovery = CLUSTER_ORIGINAL_DST;
        cluster->dns_port = (uint16_t)port->of_entry->target_port.value;
        return;
    case RESOLUTION_DYNAMIC_DNS:
        cluster->discovery = CLUSTER_DYNAMIC_DNS;
        cluster->dns_port = target_of(port->of_entry);
        return;
    case RESOLUTION_DNS:
    case RESOLUTION_DNS_ROUND_ROBIN:
        g.takes_names = true;
        g.one_at_a_time = resolution == RESOLUTION_DNS_ROUND_ROBIN;
        break;
    case RESOLUTION_STATIC:
        break;
    }
    gather(&g, port);
}

// ---- the cluster ----

static void originate_tls(struct compiler *c, struct cluster *cluster,
                          const struct catalog_host *host, const struct catalog_port *port,
                          const struct policy_tls *policy)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < host->n_entries; i++)
        n += host->entries[i]->service_entry->subject_alt_names.n;
    struct str *names = ARENA_ARRAY(c->scratch, struct str, n + 1);
    n = 0;
    for (uint32_t i = 0; i < host->n_entries; i++) {
        const struct texts *from = &host->entries[i]->service_entry->subject_alt_names;
        for (uint32_t k = 0; k < from->n; k++)
            names[n++] = text_str(from->items[k]);
    }
    struct upstream_tls_defaults defaults = {.subject_alt_names = names, .n_subject_alt_names = n};
    // Connections that are no HTTP bring no Host along.
    bool is_http = port->protocol == PORT_HTTP || port->protocol == PORT_HTTP2 ||
                   (port->protocol == PORT_TLS && port->of_entry->protocol == GATEWAY_HTTPS);
    if (!is_http && !host_is_wildcard(host->name))
        defaults.server_name = host->name;
    // Outside servers may or may not speak HTTP/2: they are asked. gRPC needs it.
    if (cluster->protocol == CLUSTER_HTTP2 && port->of_entry->protocol != GATEWAY_GRPC &&
        policy->tls && policy->tls->mode != CLIENT_TLS_DISABLE)
        cluster->protocol = CLUSTER_ALPN;
    upstream_tls_of_policy(c, cluster, policy, &defaults);
}

// Where only what is declared may be reached, a host with addresses is those alone, whatever
// address a client dials and calls by its name.
static void keep_to_addresses(struct compiler *c, struct cluster *cluster,
                              const struct catalog_host *host)
{
    for (uint32_t i = 0; i < host->n_entries; i++) {
        if (host->entries[i]->service_entry->addresses.n == 0)
            return; // by this one it is at every address
    }
    cluster->dialled =
        arena_copy(c->arena, host->addresses, sizeof *host->addresses * (size_t)host->n_addresses);
    cluster->n_dialled = host->n_addresses;
}

struct cluster *entry_cluster(struct compiler *c, const struct catalog_host *host,
                              const struct catalog_port *port, struct str subset)
{
    char number[NUMBER_TEXT_MAX];
    bool is_new = false;
    struct str ns = host->object->ns;
    struct str name = JOIN_BRIEF(c, STR("outbound|"), number_text(port->number, number), STR("|"),
                                 subset, STR("|"), host->name);
    struct cluster *cluster = builder_cluster(c->builder, name, &is_new);
    if (!is_new)
        return cluster;
    cluster->protocol = port->protocol == PORT_HTTP2 ? CLUSTER_HTTP2 : CLUSTER_HTTP1;
    struct policy_tls policy = policy_apply(c, ns, host->name, subset, port->number, cluster);
    if (host->is_external)
        policy_be_external(cluster);
    if (policy.object)
        originate_tls(c, cluster, host, port, &policy);
    if (cluster->discovery == CLUSTER_STATIC) // unless the DestinationRule says PASSTHROUGH
        discover(c, cluster, host, port, policy_subset_labels(c, ns, host->name, subset));
    if (cluster->discovery == CLUSTER_ORIGINAL_DST && c->is_registry_only)
        keep_to_addresses(c, cluster, host);
    return cluster;
}
