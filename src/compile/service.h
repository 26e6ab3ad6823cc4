// SPDX-License-Identifier: Apache-2.0
// Services -> clusters named `outbound|<port>|<subset>|<fqdn>`, made when a route or a nodePort
// first asks for one. Control thread.
#pragma once
#include "compile/context.h"

// What the upstream speaks. BY_PORT: as appProtocol or the port's name say (Istio). BY_APP: as
// appProtocol says, and TLS where that is https (Ingress). RAW: what the client sends (nodePort).
// The others are said by the Ingress annotation backend-protocol.
enum upstream_protocol {
    UPSTREAM_BY_PORT,
    UPSTREAM_BY_APP,
    UPSTREAM_RAW,
    UPSTREAM_HTTP,
    UPSTREAM_AUTO, // with TLS for clients that came with TLS
    UPSTREAM_HTTPS,
    UPSTREAM_GRPC,
    UPSTREAM_GRPCS,
    UPSTREAM_FCGI
};

struct service_index *service_index_create(struct compiler *c);
void service_index_destroy(struct service_index *index); // NULL is fine

struct str service_fqdn(struct compiler *c, const struct object *service, struct arena *arena);
// The Service of a FQDN that this gateway may see; NULL: none.
const struct object *service_of_host(struct compiler *c, struct str fqdn);
// A TCP port of the Service; NULL: none.
const struct service_port *service_port_numbered(const struct service *service, uint16_t number);
const struct service_port *service_port_find(const struct service *service,
                                             const struct port_ref *ref);
// What a port says that it speaks: appProtocol, else the first part of its name.
enum port_protocol { PORT_SAYS_NOTHING, PORT_HTTP, PORT_HTTP2, PORT_TLS, PORT_TCP };
enum port_protocol service_port_protocol(const struct service_port *port);

// `subset`: empty, or one that policy_has_subset() knows. Never NULL.
struct cluster *service_cluster(struct compiler *c, const struct object *service,
                                const struct service_port *port, struct str subset,
                                enum upstream_protocol protocol);
// The same as an Ingress asks for it.
struct upstream_tls;
struct cluster *service_cluster_of_ingress(struct compiler *c, const struct object *service,
                                           const struct service_port *port,
                                           enum upstream_protocol protocol,
                                           const struct upstream_tls *tls);
// A cluster without endpoints for what is broken: connections are closed, requests answered 503.
struct cluster *black_hole_cluster(struct compiler *c);
// The cluster that stands for what does not exist: 503 NC.
struct cluster *missing_cluster(struct compiler *c, struct str port, struct str subset,
                                struct str host);

// endpoints.c: adds the endpoints of a Service port; `labels` NULL: all of them.
void endpoints_add(struct compiler *c, struct cluster *cluster, const struct object *service,
                   const struct service_port *port, const struct text_map *labels);
// Objects of a kind (Pod, WorkloadEntry) in `ns` that may carry all labels of `selector`, each of
// which is still to be looked at; an empty selector: all of the namespace. NULL: none.
struct listed {
    const struct object *object;
    struct listed *next;
};
struct listing {
    struct listed *first, **end;
    uint32_t n;
};
const struct listing *objects_selected(struct compiler *c, enum kind kind, struct str ns,
                                       const struct text_map *selector);
bool pod_is_ready(const struct object *pod);
struct str pod_address(const struct object *pod); // empty: none yet
// Adds the addresses of a name outside the cluster, and behind them those that it had a moment
// ago; `weight` is each address's. Returns how many are in use. 0: endpoints_settle() decides.
uint32_t endpoints_add_name(struct compiler *c, struct cluster *cluster, struct str name,
                            uint16_t port, uint32_t weight, bool one_at_a_time);
// After all of a cluster's endpoints: when it has none, because of a name that has not been
// answered yet, requests wait for that.
void endpoints_settle(struct cluster *cluster, uint32_t n_endpoints);
struct endpoint_index;
struct endpoint_index *endpoint_index_create(struct compiler *c);
void endpoint_index_destroy(struct endpoint_index *index); // NULL is fine
void endpoints_report(struct compiler *c);                 // after all of them
struct endpoint_index *service_endpoints(struct service_index *index);

// node_port.c: a TCP listener for every nodePort.
void node_ports_compile(struct compiler *c);
// Reports what is wrong with a Service's nodePorts for themselves.
void node_ports_check(struct compiler *c, const struct object *object);
