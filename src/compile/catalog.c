// SPDX-License-Identifier: Apache-2.0
#include "compile/catalog.h"
#include "compile/hosts.h"
#include "compile/way.h"
#include <stdlib.h>

struct catalog {
    struct map *hosts; // name, wildcards too -> struct catalog_host; of Services those asked for
    const struct catalog_host **entry_hosts; // of ServiceEntries, oldest first
    uint32_t n_entry_hosts, entry_hosts_cap, n_wildcards;
    const struct catalog_host **all; // NULL: nobody has asked
    size_t n_all;
};

// ---- ports and addresses ----

enum port_protocol port_protocol_of(enum gateway_protocol protocol)
{
    switch (protocol) {
    case GATEWAY_HTTP:
    case GATEWAY_GRPC_WEB: // HTTP/1.1 will do for it
        return PORT_HTTP;
    case GATEWAY_HTTP2:
    case GATEWAY_GRPC:
        return PORT_HTTP2;
    case GATEWAY_HTTPS:
    case GATEWAY_TLS:
        return PORT_TLS;
    case GATEWAY_TCP:
    case GATEWAY_MONGO:
        break;
    }
    return PORT_TCP;
}

static enum port_protocol protocol_of(const struct service_entry_port *port)
{
    return port->protocol_text.ptr ? port_protocol_of(port->protocol) : PORT_SAYS_NOTHING;
}

const struct catalog_port *catalog_port_numbered(const struct catalog_host *host, uint16_t number)
{
    for (uint32_t i = 0; i < host->n_ports; i++) {
        if (host->ports[i].number == number)
            return &host->ports[i];
    }
    return NULL;
}

static uint32_t room_of(uint32_t n)
{
    uint32_t room = 1;
    while (room < n)
        room *= 2;
    return room;
}

// Room for `more` items behind the n of an array that was grown the same way. A copy is made where
// the rounded size changes, so thousands of ServiceEntries may add to one host.
static void *grown(struct compiler *c, const void *items, uint32_t n, uint32_t more, size_t bytes)
{
    uint32_t cap = room_of(n);
    if (n > 0 && n + more <= cap)
        return (void *)(uintptr_t)items;
    void *larger = arena_zalloc(c->scratch, room_of(n + more) * bytes);
    if (n > 0)
        memcpy(larger, items, n * bytes);
    return larger;
}

static void add_addresses(struct compiler *c, struct catalog_host *host, const struct texts *texts)
{
    if (texts->n == 0)
        return;
    struct subnet *all = grown(c, host->addresses, host->n_addresses, texts->n, sizeof *all);
    host->addresses = all;
    for (uint32_t i = 0; i < texts->n; i++) {
        unsigned bits = 0;
        struct subnet *subnet = &all[host->n_addresses];
        if (!address_parse_subnet(text_str(texts->items[i]), &subnet->base, &bits))
            continue; // "None"; what is wrong with it the model has said
        subnet->bits = (uint8_t)bits;
        host->n_addresses++;
    }
}

// ---- ServiceEntries ----

static bool is_exported(const struct object *object, struct str client_ns)
{
    const struct texts *export_to = &object->service_entry->export_to;
    for (uint32_t i = 0; i < export_to->n; i++) {
        struct str ns = text_str(export_to->items[i]);
        if (str_is(ns, "*") || str_equal(ns, client_ns) ||
            (str_is(ns, ".") && str_equal(object->ns, client_ns)))
            return true;
    }
    return export_to->n == 0;
}

static const char *resolution_word(enum entry_resolution resolution)
{
    static const char *const words[] = {"NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"};
    return words[resolution];
}

enum entry_resolution catalog_resolution(const struct catalog_host *host)
{
    enum entry_resolution resolution = host->entries[0]->service_entry->resolution;
    // A single name is looked up once for all requests.
    if (resolution == RESOLUTION_DYNAMIC_DNS && !host_is_wildcard(host->name))
        return RESOLUTION_DNS;
    return resolution;
}

// Of an older entry of the host, whose word counts.
static void report_taken(struct compiler *c, const struct object *object, uint32_t line,
                         uint32_t col, struct str path, struct str what, const struct object *older)
{
    complain(c, DIAG_ENTRY_CONFLICT, object, line, col, path, "%.*s by %.*s", STR_ARG(what),
             STR_ARG(place_text(c, older, older->name_line, older->name_col)));
}

static void add_ports(struct compiler *c, struct catalog_host *host, const struct object *object)
{
    const struct service_entry *entry = object->service_entry;
    struct catalog_port *ports =
        grown(c, host->ports, host->n_ports, entry->n_ports, sizeof *ports);
    host->ports = ports;
    for (uint32_t i = 0; i < entry->n_ports; i++) {
        const struct service_entry_port *port = &entry->ports[i];
        enum port_protocol protocol = protocol_of(port);
        const struct catalog_port *same = catalog_port_numbered(host, (uint16_t)port->port.value);
        if (same && same->protocol != protocol)
            report_taken(c, object, port->line, port->col, path_item(c, STR("spec"), "ports", i),
                         path_of(c, "the protocol of port %u of \"%.*s\" is said",
                                 (unsigned)same->number, STR_ARG(host->name)),
                         same->entry);
        if (!same)
            ports[host->n_ports++] = (struct catalog_port){.number = (uint16_t)port->port.value,
                                                           .protocol = protocol,
                                                           .name = text_str(port->name),
                                                           .of_entry = port,
                                                           .entry = object};
    }
}

static void join_entry(struct compiler *c, struct catalog_host *host, const struct object *object)
{
    host->entries = grown(c, host->entries, host->n_entries, 1, sizeof(struct object *));
    ((const struct object **)(uintptr_t)host->entries)[host->n_entries++] = object;
    add_ports(c, host, object);
    add_addresses(c, host, &object->service_entry->addresses);
}

static struct catalog_host *new_host(struct compiler *c, struct str name,
                                     const struct object *object)
{
    struct catalog *catalog = c->catalog;
    struct catalog_host *host = ARENA_NEW(c->scratch, struct catalog_host);
    *host = (struct catalog_host){
        .name = name,
        .object = object,
        .is_external = object->service_entry->location == ENTRY_EXTERNAL,
    };
    map_put(catalog->hosts, name, host);
    catalog->n_wildcards += host_is_wildcard(name);
    if (catalog->n_entry_hosts == catalog->entry_hosts_cap) {
        uint32_t cap = catalog->entry_hosts_cap ? catalog->entry_hosts_cap * 2 : 16;
        const struct catalog_host **larger =
            ARENA_ARRAY(c->scratch, const struct catalog_host *, cap);
        if (catalog->n_entry_hosts > 0)
            memcpy(larger, catalog->entry_hosts, catalog->n_entry_hosts * sizeof *larger);
        catalog->entry_hosts = larger;
        catalog->entry_hosts_cap = cap;
    }
    catalog->entry_hosts[catalog->n_entry_hosts++] = host;
    return host;
}

static void add_host(struct compiler *c, const struct object *object, uint32_t index)
{
    const struct service_entry *entry = object->service_entry;
    const struct text *text = &entry->hosts.items[index];
    struct str name = host_lower(c->scratch, text_str(*text));
    if (str_has_suffix(name, STR(".")))
        name.len--;
    struct str path = STR("spec.hosts");
    const struct object *service = service_of_host(c, name);
    if (service) {
        complain(c, DIAG_ENTRY_CONFLICT, object, text->line, text->col, path,
                 "\"%.*s\" is %.*s, which counts", STR_ARG(name),
                 STR_ARG(place_text(c, service, service->name_line, service->name_col)));
        return;
    }
    struct catalog_host *host = map_find(c->catalog->hosts, name);
    if (!host)
        host = new_host(c, name, object);
    else if (host->entries[host->n_entries - 1] == object) // named twice
        return;
    const struct object *first = host->object;
    if (first->service_entry->resolution != entry->resolution)
        report_taken(c, object, text->line, text->col, path,
                     path_of(c, "\"%.*s\" has resolution %s, not %s,", STR_ARG(name),
                             resolution_word(first->service_entry->resolution),
                             resolution_word(entry->resolution)),
                     first);
    else
        join_entry(c, host, object);
}

void catalog_create(struct compiler *c)
{
    c->catalog = ARENA_NEW(c->scratch, struct catalog);
    c->catalog->hosts = map_create();
    size_t n = 0;
    const struct object *const *entries = store_all(c->store, KIND_SERVICE_ENTRY, &n);
    for (size_t i = 0; i < n; i++) {
        const struct object *object = entries[i];
        prefetch_ahead(entries, i, n);
        if (!is_exported(object, c->options->ns)) {
            complain(c, DIAG_NOT_EXPORTED, object, object->name_line, object->name_col,
                     STR("spec.exportTo"), "is not exported to namespace %.*s, where the %s is",
                     STR_ARG(c->options->ns), c->options->is_sidecar ? "workload" : "gateway");
            continue;
        }
        for (uint32_t k = 0; k < object->service_entry->hosts.n; k++)
            add_host(c, object, k);
    }
}

void catalog_destroy(struct compiler *c)
{
    if (c->catalog)
        map_destroy(c->catalog->hosts);
}

// ---- Services ----

static const struct catalog_host *host_of_service(struct compiler *c, const struct object *object)
{
    const struct service *service = object->service;
    struct catalog_host *host = ARENA_NEW(c->scratch, struct catalog_host);
    *host = (struct catalog_host){.name = service_fqdn(c, object, c->scratch),
                                  .object = object,
                                  .is_service = true,
                                  .is_external = service->type == SERVICE_EXTERNAL_NAME};
    host->ports = ARENA_ARRAY(c->scratch, struct catalog_port, service->n_ports + 1);
    for (uint32_t i = 0; i < service->n_ports; i++) {
        const struct service_port *port = &service->ports[i];
        if (port->transport == TRANSPORT_TCP)
            host->ports[host->n_ports++] =
                (struct catalog_port){.number = (uint16_t)port->port.value,
                                      .protocol = service_port_protocol(port),
                                      .name = text_str(port->name),
                                      .of_service = port};
    }
    struct texts one = {(struct text *)(uintptr_t)&service->cluster_ip,
                        service->cluster_ip.len > 0};
    add_addresses(c, host, service->cluster_ips.n > 0 ? &service->cluster_ips : &one);
    map_put(c->catalog->hosts, host->name, host);
    return host;
}

// ---- lookups ----

static const struct catalog_host *find_wildcard(struct compiler *c, struct str fqdn)
{
    if (c->catalog->n_wildcards == 0)
        return NULL;
    struct str rest = fqdn;
    for (ptrdiff_t dot = str_index(rest, '.'); dot >= 0; dot = str_index(rest, '.')) {
        rest = str_from(rest, (size_t)dot);
        if (rest.ptr > fqdn.ptr) { // "*.x" holds no empty label
            const struct catalog_host *host =
                map_find(c->catalog->hosts, JOIN_BRIEF(c, STR("*"), rest));
            if (host)
                return host;
        }
        rest = str_from(rest, 1);
    }
    return NULL;
}

const struct catalog_host *catalog_find(struct compiler *c, struct str fqdn)
{
    const struct catalog_host *host = map_find(c->catalog->hosts, fqdn);
    if (host)
        return host;
    const struct object *service = service_of_host(c, fqdn);
    return service ? host_of_service(c, service) : find_wildcard(c, fqdn);
}

const struct catalog_host *catalog_narrow(struct compiler *c, const struct catalog_host *host,
                                          struct str fqdn)
{
    if (!host_is_wildcard(host->name) || str_equal(host->name, fqdn))
        return host;
    struct catalog_host *narrow = arena_copy(c->scratch, host, sizeof *host);
    narrow->name = arena_str(c->scratch, fqdn);
    return narrow;
}

struct str catalog_nearest(struct compiler *c, struct str fqdn)
{
    const struct catalog *catalog = c->catalog;
    if (catalog->n_entry_hosts > c->suggestions_left)
        return STR_NONE;
    c->suggestions_left -= catalog->n_entry_hosts;
    struct str *names = ARENA_ARRAY(c->scratch, struct str, catalog->n_entry_hosts + 1);
    for (uint32_t i = 0; i < catalog->n_entry_hosts; i++)
        names[i] = catalog->entry_hosts[i]->name;
    return diag_nearest(fqdn, names, catalog->n_entry_hosts);
}

static int compare_age(const void *a, const void *b)
{
    const struct catalog_host *left = *(const struct catalog_host *const *)a;
    const struct catalog_host *right = *(const struct catalog_host *const *)b;
    const struct object *older = left->object, *younger = right->object;
    if (older->created_s != younger->created_s)
        return older->created_s < younger->created_s ? -1 : 1;
    if (older->sequence != younger->sequence)
        return older->sequence < younger->sequence ? -1 : 1;
    return str_compare(left->name, right->name); // hosts of one ServiceEntry
}

const struct catalog_host *const *catalog_all(struct compiler *c, size_t *ret_n)
{
    struct catalog *catalog = c->catalog;
    *ret_n = catalog->n_all;
    if (catalog->all)
        return catalog->all;
    size_t n = 0;
    const struct object *const *services = store_all(c->store, KIND_SERVICE, &n);
    catalog->all =
        ARENA_ARRAY(c->scratch, const struct catalog_host *, n + catalog->n_entry_hosts + 1);
    for (size_t i = 0; i < n; i++) {
        prefetch_ahead(services, i, n);
        struct str fqdn = service_fqdn(c, services[i], c->scratch);
        const struct catalog_host *host = map_find(catalog->hosts, fqdn);
        if (!host && service_of_host(c, fqdn))
            host = host_of_service(c, services[i]);
        if (host && host->is_service)
            catalog->all[catalog->n_all++] = host;
    }
    for (uint32_t i = 0; i < catalog->n_entry_hosts; i++)
        catalog->all[catalog->n_all++] = catalog->entry_hosts[i];
    qsort(catalog->all, catalog->n_all, sizeof(catalog->all[0]), compare_age);
    *ret_n = catalog->n_all;
    return catalog->all;
}

struct cluster *catalog_cluster(struct compiler *c, const struct catalog_host *host,
                                const struct catalog_port *port, struct str subset)
{
    if (host->is_service)
        return service_cluster(c, host->object, port->of_service, subset, UPSTREAM_BY_PORT);
    return entry_cluster(c, host, port, subset);
}

// ---- addresses that two hosts have ----

static bool goes_by_address(const struct catalog_port *port)
{
    return port->protocol == PORT_TCP || port->protocol == PORT_SAYS_NOTHING;
}

// Of the entries of the host, the one that has written the address.
static const struct text *find_address(const struct catalog_host *host, const struct subnet *subnet,
                                       const struct object **ret_entry, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < host->n_entries; i++) {
        const struct texts *texts = &host->entries[i]->service_entry->addresses;
        for (uint32_t k = 0; k < texts->n; k++) {
            struct subnet at;
            unsigned bits = 0;
            if (address_parse_subnet(text_str(texts->items[k]), &at.base, &bits) &&
                bits == subnet->bits && address_equal(&at.base, &subnet->base)) {
                *ret_entry = host->entries[i];
                *ret_index = k;
                return &texts->items[k];
            }
        }
    }
    return NULL;
}

// Requests tell which host they are for by Host, TLS by its server name; other bytes only by the
// address that was dialled, so one of the two hosts gets none.
static void report_address(struct compiler *c, struct map *owners, const struct catalog_host *host,
                           const struct catalog_port *port, const struct subnet *subnet)
{
    char ip[ADDRESS_TEXT_MAX], number[NUMBER_TEXT_MAX], bits[NUMBER_TEXT_MAX];
    struct str address = {ip, address_format_ip(&subnet->base, ip)};
    struct str key = JOIN(c->scratch, address, STR("/"), number_text(subnet->bits, bits), STR("|"),
                          number_text(port->number, number));
    const struct catalog_host *owner = map_find(owners, key);
    if (!owner) {
        map_put(owners, key, (void *)(uintptr_t)host);
        return;
    }
    const struct object *entry = NULL, *older = owner->object;
    uint32_t index = 0;
    const struct text *text = find_address(host, subnet, &entry, &index);
    if (older == host->object || !text)
        return;
    struct diag *diag = complain(c, DIAG_ENTRY_ADDRESS, entry, text->line, text->col,
                                 path_item(c, STR("spec"), "addresses", index),
                                 "connections to %.*s, port %u, go to \"%.*s\" of %.*s already",
                                 STR_ARG(address), (unsigned)port->number, STR_ARG(owner->name),
                                 STR_ARG(place_text(c, older, older->name_line, older->name_col)));
    diag_hint(c->diags, diag, "give each host addresses of its own");
}

void catalog_report(struct compiler *c)
{
    const struct catalog *catalog = c->catalog;
    struct map *owners = map_create();
    for (uint32_t i = 0; i < catalog->n_entry_hosts; i++) {
        const struct catalog_host *host = catalog->entry_hosts[i];
        for (uint32_t k = 0; k < host->n_addresses; k++) {
            for (uint32_t p = 0; p < host->n_ports; p++) {
                if (goes_by_address(&host->ports[p]))
                    report_address(c, owners, host, &host->ports[p], &host->addresses[k]);
            }
        }
        way_report_entry(c, host);
    }
    map_destroy(owners);
}
