// SPDX-License-Identifier: Apache-2.0
// networking.istio.io {v1,v1beta1,v1alpha3}: Gateway, VirtualService, DestinationRule, ServiceEntry,
// WorkloadEntry, as far as they are served. The field tables in gateway.c, virtual_service.c,
// destination_rule.c, service_entry.c, workload_entry.c, sidecar.c say what each field means.
#pragma once
#include "model/object.h"

enum gateway_protocol {
    GATEWAY_HTTP, GATEWAY_HTTP2, GATEWAY_GRPC, GATEWAY_GRPC_WEB, GATEWAY_HTTPS, GATEWAY_TLS,
    GATEWAY_TCP, GATEWAY_MONGO
};
enum tls_mode {
    TLS_PASSTHROUGH, TLS_SIMPLE, TLS_MUTUAL, TLS_AUTO_PASSTHROUGH, TLS_ISTIO_MUTUAL,
    TLS_OPTIONAL_MUTUAL
};
enum tls_protocol { TLS_PROTOCOL_AUTO, TLSV1_0, TLSV1_1, TLSV1_2, TLSV1_3 };
struct gateway_files { // paths
    struct text certificate, key, ca;
    uint32_t line, col;
};
struct gateway_server {
    struct number port;
    struct text port_name, protocol_text;
    enum gateway_protocol protocol;
    struct text bind, name;
    struct texts hosts; // "[ns/]dnsName"
    bool has_tls;
    enum tls_mode tls_mode;
    struct flag https_redirect;
    struct text credential_name, ca_credential_name;
    struct texts credential_names;
    struct gateway_files files; // serverCertificate, privateKey, caCertificates
    struct text ca_crl;
    struct gateway_files *certificates; // tlsCertificates
    uint32_t n_certificates;
    struct texts subject_alt_names, spki_hashes, certificate_hashes, cipher_suites;
    enum tls_protocol version_min, version_max;
    uint32_t tls_line, tls_col;
    uint32_t line, col;
    bool is_invalid;
};
bool cipher_suite_is_known(struct str name); // to Istio; others are left out
struct gateway {
    struct text_map selector;
    struct gateway_server *servers;
    uint32_t n_servers;
};

enum string_match_kind { STRING_PRESENT, STRING_EXACT, STRING_PREFIX, STRING_REGEX };
struct string_match {
    bool is_set; // STRING_PRESENT: the value was `{}`
    enum string_match_kind kind;
    struct text value;
    uint32_t line, col;
};
struct named_match { // headers, withoutHeaders, queryParams
    struct text name;
    struct string_match match;
};
struct http_match {
    struct text name;
    struct string_match uri, scheme, method, authority;
    struct flag ignore_uri_case;
    struct named_match *headers, *without_headers, *query_params;
    uint32_t n_headers, n_without_headers, n_query_params;
    struct number port;
    struct texts gateways;
    struct text_map source_labels;
    struct text source_namespace;
    uint32_t line, col;
    bool is_invalid;
};
struct header_operations { // {set, add, remove}
    struct text_map set, add;
    struct texts remove;
};
struct headers {
    struct header_operations request, response;
    bool is_set;
};
struct http_destination { // route[]
    struct text host, subset;
    struct number port, weight;
    struct headers headers;
    uint32_t line, col;
};
enum redirect_port { REDIRECT_PORT_FROM_PROTOCOL_DEFAULT, REDIRECT_PORT_FROM_REQUEST };
struct http_redirect {
    bool is_set;
    struct text uri, prefix_rewrite, authority, scheme;
    struct number port, code;
    enum redirect_port derive_port;
    bool has_derive_port;
    uint32_t line, col;
};
struct direct_response {
    bool is_set;
    struct number status;
    struct text body; // string, or bytes decoded from base64
    uint32_t line, col;
};
struct http_rewrite {
    bool is_set;
    struct text uri, authority, regex_match, regex_rewrite;
    uint32_t line, col;
};
struct http_delegate {
    bool is_set;
    struct text name, ns;
    uint32_t line, col;
};
struct http_route {
    struct text name;
    struct http_match *match;
    uint32_t n_match;
    struct http_destination *route;
    uint32_t n_route;
    struct http_redirect redirect;
    struct direct_response direct_response;
    struct http_delegate delegate;
    struct http_rewrite rewrite;
    struct duration timeout;
    struct headers headers;
    uint32_t line, col;
    bool is_invalid; // a diagnostic was given; leave this rule out
};
struct l4_match { // of tls[] and, without sniHosts, of tcp[]
    struct texts sni_hosts, destination_subnets, gateways;
    struct number port;
    struct text_map source_labels;
    struct text source_namespace;
    uint32_t line, col;
    bool is_invalid;
};
struct l4_route { // tls[], tcp[]
    struct l4_match *match;
    uint32_t n_match;
    struct http_destination *route; // without headers
    uint32_t n_route;
    uint32_t line, col;
    bool is_invalid; // a diagnostic was given; what it takes is closed
};
struct virtual_service {
    struct texts hosts, gateways, export_to;
    struct http_route *http;
    struct l4_route *tls, *tcp;
    uint32_t n_http, n_tls, n_tcp;
    uint32_t hosts_line, hosts_col;
};

enum simple_balancer {
    BALANCER_UNSPECIFIED, BALANCER_LEAST_REQUEST, BALANCER_ROUND_ROBIN, BALANCER_RANDOM,
    BALANCER_PASSTHROUGH
};
enum client_tls_mode {
    CLIENT_TLS_DISABLE, CLIENT_TLS_SIMPLE, CLIENT_TLS_MUTUAL, CLIENT_TLS_ISTIO_MUTUAL
};
struct client_tls { // trafficPolicy.tls
    bool is_set;
    enum client_tls_mode mode;
    struct text client_certificate, private_key, ca_certificates, ca_crl; // files
    struct text credential_name, sni;
    struct texts subject_alt_names;
    struct flag insecure_skip_verify;
    uint32_t line, col;
};
enum h2_upgrade { H2_UPGRADE_DEFAULT, H2_UPGRADE_NEVER, H2_UPGRADE_ALWAYS };
struct keepalive_policy { // connectionPool.tcp.tcpKeepalive
    bool is_set;
    struct number probes;
    struct duration time, interval;
};
struct traffic_policy { // what of it is served so far
    bool is_set;
    bool has_balancer, has_pool;
    enum simple_balancer balancer;
    uint32_t balancer_line, balancer_col; // of `simple`
    struct duration connect_timeout, max_connection_duration;
    struct duration tcp_idle_timeout; // connectionPool.tcp.idleTimeout
    struct keepalive_policy keepalive;
    struct duration idle_timeout;        // connectionPool.http.idleTimeout
    struct number max_requests_per_connection, max_concurrent_streams;
    enum h2_upgrade h2_upgrade;
    struct flag use_client_protocol;
    struct client_tls tls;
    bool has_proxy_protocol;
    enum proxy_header_version { PROXY_HEADER_V1, PROXY_HEADER_V2 } proxy_protocol;
};
struct port_policy {
    struct number port;
    struct traffic_policy policy;
    uint32_t line, col;
};
struct subset {
    struct text name;
    struct text_map labels;
    struct traffic_policy policy;
    struct port_policy *port_policies;
    uint32_t n_port_policies;
    uint32_t line, col;
};
struct destination_rule {
    struct text host;
    struct traffic_policy policy;
    struct port_policy *port_policies;
    uint32_t n_port_policies;
    struct subset *subsets;
    uint32_t n_subsets;
    struct texts export_to;
    // It asks for TLS and is broken: host and export_to are all that is left of it, and the host
    // gets no requests rather than plain text.
    bool is_broken;
    uint32_t tls_line, tls_col; // of the first `tls` in it
};

enum entry_location { ENTRY_EXTERNAL, ENTRY_INTERNAL };
enum entry_resolution {
    RESOLUTION_NONE, RESOLUTION_STATIC, RESOLUTION_DNS, RESOLUTION_DNS_ROUND_ROBIN,
    RESOLUTION_DYNAMIC_DNS
};
struct workload_port { // one of a workload's `ports`: the name of a port, and its number there
    struct text name;
    struct number number;
};
struct workload { // a WorkloadEntry, or one of a ServiceEntry's endpoints
    struct text address; // an IP address or a name
    struct workload_port *ports;
    uint32_t n_ports;
    struct text_map labels;
    struct number weight;
    uint32_t line, col;
};
struct service_entry_port {
    struct number port, target_port;
    struct text name, protocol_text; // the protocol's ptr NULL: none, it is looked at
    enum gateway_protocol protocol;
    uint32_t line, col;
};
struct service_entry {
    struct texts hosts, addresses;
    struct service_entry_port *ports;
    uint32_t n_ports;
    enum entry_location location;
    enum entry_resolution resolution;
    struct workload *endpoints;
    uint32_t n_endpoints;
    bool has_endpoints; // some were given, be they all broken: the host itself is not resolved
    bool has_selector;
    struct text_map selector; // empty: all of the namespace
    struct texts export_to, subject_alt_names;
};

struct sidecar_port {
    bool is_set, has_protocol;
    struct number number;
    enum gateway_protocol protocol;
    uint32_t line, col;
};
enum sidecar_capture { SIDECAR_CAPTURE_DEFAULT, SIDECAR_CAPTURE_IPTABLES, SIDECAR_CAPTURE_NONE };
struct sidecar_egress {
    struct sidecar_port port; // not set: every other one
    struct text bind;
    enum sidecar_capture capture;
    struct texts hosts; // "ns/dnsName"
    bool is_served;
    uint32_t line, col;
};
struct sidecar_ingress {
    struct sidecar_port port;
    struct text bind;
    enum sidecar_capture capture;
    struct text endpoint; // absent: as dialled
    bool has_tls, is_served;
    struct traffic_policy pool;
    uint32_t line, col;
};
enum sidecar_policy { SIDECAR_REGISTRY_ONLY, SIDECAR_ALLOW_ANY };
struct sidecar {
    struct text_map selector; // empty: every workload
    struct sidecar_egress *egress;
    struct sidecar_ingress *ingress;
    uint32_t n_egress, n_ingress;
    struct traffic_policy inbound_pool;
    bool has_policy, has_egress_proxy;
    enum sidecar_policy policy;
    struct http_destination egress_proxy; // host, subset, port
    // It shuts something and is broken: selector and policy are all that is left of it. Which hosts
    // it would let the workload know, if it has_egress, cannot be told.
    bool is_broken, has_egress;
    uint32_t line, col; // of what shuts, when broken
};
