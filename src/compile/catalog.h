// SPDX-License-Identifier: Apache-2.0
// The hosts that a destination may name, whoever declares them: Services (<name>.<ns>.svc.<domain>)
// and ServiceEntries. One lookup for routes, DestinationRules, egress gateways and sidecars. A
// Service goes before ServiceEntries of its name; ServiceEntries of one host are merged, oldest
// first. Control thread; everything lives for the compile.
#pragma once
#include "compile/service.h"

struct catalog_port {
    uint16_t number; // as clients dial it
    enum port_protocol protocol;
    struct str name;
    const struct service_port *of_service; // NULL: of a ServiceEntry
    const struct service_entry_port *of_entry;
    const struct object *entry; // the ServiceEntry that has it
};
struct catalog_host {
    struct str name;             // lower case; "*.x": every name below x
    const struct object *object; // the Service, or the oldest ServiceEntry: for messages
    bool is_service;
    bool is_external;           // MESH_EXTERNAL
    struct catalog_port *ports; // TCP ones
    uint32_t n_ports;
    // By which clients dial it: ClusterIPs, a ServiceEntry's addresses. None: by name alone.
    struct subnet *addresses;
    uint32_t n_addresses;
    const struct object *const *entries; // ServiceEntries, oldest first
    uint32_t n_entries;
};
// What a port speaks whose protocol is written in one of these words.
enum port_protocol port_protocol_of(enum gateway_protocol protocol);
// How addresses of a ServiceEntry's host are found: the oldest entry says it.
enum entry_resolution catalog_resolution(const struct catalog_host *host);

void catalog_create(struct compiler *c); // c->catalog
void catalog_destroy(struct compiler *c);
// The host of that very name, or the narrowest wildcard that covers it, as far as exportTo lets
// namespace c->options->ns see it. NULL: none.
const struct catalog_host *catalog_find(struct compiler *c, struct str fqdn);
// The host of a ServiceEntry that may be meant, for a hint; empty: none is near.
struct str catalog_nearest(struct compiler *c, struct str fqdn);
// All that can be seen, oldest first.
const struct catalog_host *const *catalog_all(struct compiler *c, size_t *ret_n);
// The same host for one name under its wildcard: what a route names. A host that is no wildcard
// stays as it is.
const struct catalog_host *catalog_narrow(struct compiler *c, const struct catalog_host *host,
                                          struct str fqdn);
const struct catalog_port *catalog_port_numbered(const struct catalog_host *host, uint16_t number);
// "outbound|<port>|<subset>|<host>". `subset`: empty, or one that policy_has_subset() knows. Never
// NULL. Of a wildcard host the cluster is named after the wildcard.
struct cluster *catalog_cluster(struct compiler *c, const struct catalog_host *host,
                                const struct catalog_port *port, struct str subset);
// Once a compile: what the ServiceEntries have wrong with each other.
void catalog_report(struct compiler *c);

// service_entry.c: the cluster of a ServiceEntry's host.
struct cluster *entry_cluster(struct compiler *c, const struct catalog_host *host,
                              const struct catalog_port *port, struct str subset);
