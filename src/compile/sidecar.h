// SPDX-License-Identifier: Apache-2.0
// Services, ServiceEntries and VirtualServices bound to `mesh` -> what a sidecar serves to the
// connections of one workload that were captured. Control thread; everything lives for the compile.
//
//   sidecar.c          the ports that are dialled, and what is behind each
//   sidecar_scope.c    the Sidecar in force: what the workload may know
//   sidecar_mesh.c     the VirtualServices for sidecars
//   sidecar_http.c     virtual hosts
//   sidecar_l4.c       TLS by name, TCP by address
//   sidecar_inbound.c  connections to the workload
#pragma once
#include "compile/catalog.h"
#include "compile/virtual_service.h"

// A host behind a port.
struct outbound_host {
    const struct catalog_host *host;
    const struct catalog_port *port;
    enum port_protocol protocol; // as the Sidecar says, else the port
    struct builder_chain *chain; // TLS that leads to it; NULL: not yet
    struct outbound_host *next;  // of the port, oldest first
};
struct outbound_port {
    uint16_t number;
    struct builder_captured *captured;
    struct outbound_host *first, **end;
    bool has_http, has_tls, has_tcp, has_unsaid; // hosts of that protocol
    const struct outbound_host *any_owner;       // that every address leads to; NULL: none
    struct map *owners; // subnet as text -> struct outbound_host that it leads to
    struct map *chains; // name (SNI) -> struct sni_chain
    struct outbound_port *next;
};
struct claims_below { // of a name under a wildcard host
    struct mesh_claim *first;
    struct claims_below *next;
};
struct wildcard_host { // a port of a host "*.x"
    struct outbound_port *port;
    struct claims_below *tls; // of the first of the host
    struct wildcard_host *next;
};

// A VirtualService that is for sidecars.
struct mesh_routes;
struct mesh_service {
    const struct object *object;
    struct vs_prepared *prepared;
    struct str *hosts; // lower case, short ones expanded
    uint32_t n_hosts;
    struct mesh_routes *routes; // by port
    uint32_t order;             // in which they count
    struct mesh_service *next;  // in this order
};
struct mesh_claim { // a host, and a VirtualService that has it
    struct mesh_service *service;
    bool is_matched;         // some declared host goes by it
    struct mesh_claim *last; // of the first: that of the last VirtualService
    struct mesh_claim *next; // of later VirtualServices; for HTTP the first alone counts
};

struct sidecar_scope;
struct sidecar_context {
    struct compiler *c;
    const struct sidecar_scope *scope;
    struct builder_listener *listener;
    struct map *ports; // number -> struct outbound_port
    struct outbound_port *first_port, **ports_end;
    struct mesh_service *services;
    // Of hosts, wildcards too: name -> struct mesh_claim. For http[], for tcp[], for tls[].
    struct map *http_claims, *tcp_claims, *tls_claims;
    struct map *wildcards; // declared "*.x" -> struct wildcard_host
    uint32_t n_unknown_addresses;
    const struct object *last_unknown_address;
    bool is_registry_only;
    const struct cluster *fallback; // for what is declared nowhere
};

void sidecar_compile(struct compiler *c);
struct outbound_port *sidecar_port(struct sidecar_context *s, uint16_t number); // found or made
// The narrowest declared wildcard above the name, with its ports; NULL: none.
const struct wildcard_host *sidecar_find_wildcard(struct sidecar_context *s, struct str name);
// "file:line:col Service a/b", of the declaration of the port: a route's origin.
struct str sidecar_origin(struct sidecar_context *s, const struct outbound_host *at);

// sidecar_scope.c
const struct sidecar_scope *sidecar_scope_create(struct compiler *c);
// Whether what is declared nowhere is refused; `object` is the Sidecar in force, NULL: none.
bool sidecar_is_registry_only(const struct compiler *c, const struct object *object);
const struct object *sidecar_scope_object(const struct sidecar_scope *scope); // NULL: none
// Calls `add` with the host, or with those names under a wildcard host, that may be known on the
// port. `protocol`: as the Sidecar says of the port, else PORT_SAYS_NOTHING with has_protocol
// false.
struct scope_protocol {
    bool is_set;
    enum port_protocol protocol;
};
void sidecar_scope_visit(const struct sidecar_scope *scope, const struct catalog_host *host,
                         uint16_t port,
                         void (*add)(void *arg, const struct catalog_host *host,
                                     struct scope_protocol protocol),
                         void *arg);
// A VirtualService counts where one of its hosts may be known: on any port, on this one.
bool sidecar_scope_sees_service(const struct sidecar_scope *scope, const struct object *object,
                                const struct str *hosts, uint32_t n);
bool sidecar_scope_sees_on(const struct sidecar_scope *scope, const struct object *object,
                           const struct str *hosts, uint32_t n, uint16_t port);
void sidecar_scope_report(const struct sidecar_scope *scope); // hosts that nobody declares

// sidecar_mesh.c
void sidecar_mesh_create(struct sidecar_context *s);
void sidecar_mesh_destroy(struct sidecar_context *s);
struct vs_routes *sidecar_mesh_routes(struct sidecar_context *s, struct mesh_service *service,
                                      uint16_t port);
// Whether the VirtualService may be known on the port.
bool sidecar_mesh_sees(const struct sidecar_context *s, const struct mesh_service *service,
                       uint16_t port);
// Whose rules a declared host has: those for its name, else for the narrowest wildcard. NULL: none.
struct mesh_claim *sidecar_mesh_claim(struct sidecar_context *s, const struct map *claims,
                                      struct str name);
void sidecar_mesh_report(struct sidecar_context *s);

// sidecar_http.c
// The action for what no virtual host is for, on the virtual host "*".
void sidecar_add_any_host(struct sidecar_context *s, struct builder_hosts *hosts);
void sidecar_http_compile(struct sidecar_context *s);
// Names by which a client in our namespace knows the host: the first is its own.
struct str *sidecar_names(struct compiler *c, const struct catalog_host *host, bool with_addresses,
                          uint32_t *ret_n);

// sidecar_l4.c
void sidecar_l4_compile(struct sidecar_context *s);
void sidecar_l4_report(struct sidecar_context *s);
bool sidecar_is_headless(const struct catalog_host *host);
struct tcp_route sidecar_tcp_route(struct compiler *c, const struct cluster *cluster,
                                   struct str origin);

// sidecar_inbound.c
void sidecar_inbound_compile(struct sidecar_context *s);
// The way to where the client dialled, for what is declared nowhere.
struct cluster *sidecar_passthrough(struct compiler *c, struct str name);
