// SPDX-License-Identifier: Apache-2.0
// Kubernetes' own kinds, as far as they are served: v1 Service, Endpoints, Pod, Namespace,
// Secret;
// discovery.k8s.io/v1 EndpointSlice; networking.k8s.io/v1 Ingress, IngressClass.
// The field tables in service.c, pod.c, ingress.c, ... say what each field means.
#pragma once
#include "model/object.h"

enum service_type { SERVICE_CLUSTER_IP, SERVICE_NODE_PORT, SERVICE_LOAD_BALANCER, SERVICE_EXTERNAL_NAME };
enum transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_SCTP };

struct service_port {
    struct text name; // absent: ""
    enum transport transport;
    struct number port;
    struct port_ref target_port; // not set: as port
    struct number node_port;
    struct text app_protocol;
    uint32_t line, col; // of the list item
};
struct service {
    enum service_type type;
    struct text cluster_ip; // "None": headless
    struct texts cluster_ips, external_ips;
    struct text external_name;
    struct text_map selector;
    struct service_port *ports;
    uint32_t n_ports;
    struct flag publish_not_ready_addresses;
};

struct endpoint_port {
    struct text name;
    enum transport transport;
    struct number port; // not set: all ports
    struct text app_protocol;
};
struct slice_endpoint {
    struct texts addresses; // the first counts
    struct flag ready, serving, terminating; // unset: true, true, false
    struct text hostname, node_name, zone;
    struct text target_kind, target_name, target_ns; // targetRef
    uint32_t line, col;
};
enum address_type { ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_FQDN };
struct endpoint_slice { // label kubernetes.io/service-name ties it to its Service
    enum address_type address_type;
    struct slice_endpoint *endpoints;
    uint32_t n_endpoints;
    struct endpoint_port *ports;
    uint32_t n_ports;
};
struct endpoint_address {
    struct text ip, hostname, node_name;
    struct text target_kind, target_name, target_ns;
};
struct endpoint_subset {
    struct endpoint_address *addresses, *not_ready_addresses;
    uint32_t n_addresses, n_not_ready_addresses;
    struct endpoint_port *ports;
    uint32_t n_ports;
};
struct endpoints { // of the Service of the same name
    struct endpoint_subset *subsets;
    uint32_t n_subsets;
};

struct container_port {
    struct text name;
    struct number container_port;
    enum transport transport;
};
struct container {
    struct text name;
    struct container_port *ports;
    uint32_t n_ports;
};
struct pod {
    struct container *containers;
    uint32_t n_containers;
    struct flag host_network;
    struct text hostname, subdomain;
    struct text pod_ip;    // status.podIP
    struct texts pod_ips;  // status.podIPs[].ip
    struct text phase;     // status.phase: Succeeded and Failed are no endpoints
    // status.conditions: Ready. A Pod without any condition counts as ready.
    struct flag ready;
    bool is_terminating; // metadata.deletionTimestamp is set
};

struct secret {
    struct text type;
    struct text_map data, string_data; // decoded; the latter goes first
};
// The value of a key, with the place of both; NULL: there is none.
const struct text_pair *secret_find(const struct secret *secret, const char *key);

enum path_type { PATH_TYPE_EXACT, PATH_TYPE_PREFIX, PATH_TYPE_IMPLEMENTATION_SPECIFIC };
struct ingress_backend {
    bool is_set;
    uint32_t line, col;
    struct text service; // name; absent: a resource backend
    struct port_ref port;
    struct text resource_group, resource_kind, resource_name;
};
struct ingress_path {
    struct text path; // absent: ""
    enum path_type path_type;
    struct ingress_backend backend;
    uint32_t line, col;
    bool is_invalid; // a diagnostic was given; leave it out
};
struct ingress_rule {
    struct text host; // absent or "": every host
    struct ingress_path *paths;
    uint32_t n_paths;
    bool has_http;
    uint32_t line, col;
    bool is_invalid;
};
struct ingress_tls {
    struct texts hosts;
    struct text secret_name;
    uint32_t line, col;
};
struct ingress {
    struct text class_name;
    struct ingress_backend default_backend;
    struct ingress_rule *rules;
    uint32_t n_rules;
    struct ingress_tls *tls;
    uint32_t n_tls;
};
struct ingress_class {
    struct text controller;
    struct text parameters_group, parameters_kind, parameters_name, parameters_scope, parameters_ns;
    bool has_parameters;
};
