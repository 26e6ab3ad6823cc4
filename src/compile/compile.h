// SPDX-License-Identifier: Apache-2.0
// Objects -> snapshot: one file per API (service.c, ingress.c, gateway.c, virtual_service.c,
// destination_rule.c). Control thread. Never fails as a whole: what is wrong in one object becomes
// diagnostics and the smallest enclosing thing is left out.
#pragma once
#include "model/istio.h"
#include "model/kubernetes.h"
#include "route/builder.h"
#include "source/store.h"

struct port_map {
    uint16_t from, to;
};

// What becomes of what is declared nowhere (MeshConfig.outboundTrafficPolicy.mode).
enum outbound_policy { OUTBOUND_ALLOW_ANY, OUTBOUND_REGISTRY_ONLY };

struct compile_options {
    // A sidecar: serves the captured connections of one workload, in namespace `ns` and with
    // `labels`, instead of Ingresses and Gateways.
    bool is_sidecar;
    uint8_t outbound_policy;              // where no Sidecar says otherwise
    uint16_t outbound_port, inbound_port; // where captured connections arrive; 0: not captured
    bool is_transparent;                  // by TPROXY, not REDIRECT
    struct address bind;                  // of listeners that name none
    const struct port_map *port_maps;
    uint32_t n_port_maps;
    // Ports, as manifests name them, where a PROXY header comes in front; or all.
    const uint16_t *proxy_ports;
    uint32_t n_proxy_ports;
    bool has_proxy_everywhere;
    const struct text_pair *labels; // this gateway's; n_labels 0: every Istio Gateway is served
    uint32_t n_labels;
    struct str ns;                 // of this gateway: istio-system
    struct str ingress_controller; // spec.controller we answer to
    struct str ingress_class;      // narrows; empty: see spec
    uint16_t http_port, https_port;
    struct str cluster_domain; // cluster.local
    uint64_t body_bytes_max;   // 0: none
    bool merge_slashes;
    bool has_ssl_passthrough;       // the annotation of ingress-nginx is served
    struct str default_certificate; // Secret "ns/name" for Ingress; empty: one of our own making
    // Of servers that say nothing else: 0, empty: our defaults.
    uint16_t tls_version_min;
    struct str tls_ciphers, tls_curves;
    struct str hsts; // strict-transport-security of Ingress over HTTPS; empty: none
};

// Addresses of a name outside the cluster (Service type ExternalName, ServiceEntry). The resolver
// keeps them up to date and asks for a new compile when they change; unknown so far: ret->n = 0.
// A change of `first` alone (servers rotate their answers) counts for who asks `by_first`.
struct name_lookup {
    void (*addresses)(void *arg, struct str name, bool by_first, struct name_addresses *ret);
    void *arg;
};

// What compile would find wrong with an object whatever else there is, so that the last good
// version may stay (store_set_checker).
struct object_checker { // borrowed
    const struct store *store;
    const struct compile_options *options;
    struct registry *registry;
};
enum soundness check_object(void *checker, const struct object *object, struct diags *diags);

struct snapshot *compile(const struct store *store, const struct compile_options *options,
                         const struct name_lookup *names, struct registry *registry,
                         uint64_t generation, struct diags *diags);
