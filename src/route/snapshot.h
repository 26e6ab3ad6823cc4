// SPDX-License-Identifier: Apache-2.0
// The one internal model: listeners, virtual hosts, routes, clusters, endpoints. compile builds it
// through route/builder.h in the control thread; once sealed it is immutable and workers read it
// without locks. Everything lives in the snapshot's arena and is freed with it.
//
// Glossary: a *listener* is an address that is listened on; a *virtual host* is a host name (exact,
// wildcard or any) with its list of *routes*; a route's conditions take a request and its action
// says what becomes of it; a *cluster* is a named group of *endpoints*, the addresses that
// requests are balanced over.
//
// Slots: what must outlive a snapshot (pools, balancer state, counters) is kept by the workers in
// arrays indexed by slot. The registry (route/registry.h) gives the same identity the same slot in
// every snapshot, and gives a slot to another identity only when no snapshot holds the old one.
#pragma once
#include "base/address.h"
#include "base/arena.h"
#include "route/format.h"
#include "route/regex.h"
#include <stdatomic.h>

// ---- clusters ----

struct endpoint {
    struct address address;
    uint32_t slot;   // of (address, transport): clusters that share an address share its pool
    uint32_t weight; // >= 1
    struct str text; // "ip:port"
};

enum balancer { BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_RANDOM };

enum cluster_protocol { // what its endpoints speak
    CLUSTER_HTTP1,
    CLUSTER_HTTP2,     // ALPN h2, or with prior knowledge
    CLUSTER_ALPN,      // over TLS: as the endpoint chooses
    CLUSTER_AS_CLIENT, // as the client of each request does (useClientProtocol)
};

// Where a cluster's endpoints come from.
enum cluster_discovery {
    CLUSTER_STATIC,       // `endpoints`: addresses that compile knew, those of resolved names among
                          // them
    CLUSTER_ORIGINAL_DST, // the address that the client of a captured connection dialled; with
                          // `endpoints`, that one of them, else any
    CLUSTER_DYNAMIC_DNS,  // the name that is asked for (Host, SNI), or `dns_name`, is resolved when
                          // a request needs it; the port is `dns_port`
};

struct subnet; // below

struct tcp_keepalive { // probes of the kernel; all 0: none
    uint32_t probes, time_s, interval_s;
};

struct cluster {
    struct str name; // outbound|8000||httpbin.default.svc.cluster.local
    uint32_t slot;
    enum balancer balancer;
    bool is_missing; // the route names a service, port or subset that does not exist: 503 NC
    bool is_unserved_protocol; // the upstream speaks what this version cannot: 502
    bool lacks_tls;            // ... since TLS that is asked for cannot be set up
    bool has_weights;          // endpoints differ in weight
    uint8_t protocol;          // enum cluster_protocol
    uint8_t proxy_protocol;    // a PROXY header of this version opens each connection; 0: none
    uint32_t n_endpoints;
    struct endpoint *endpoints;
    uint64_t total_weight;
    uint32_t connect_timeout_ms;
    uint32_t idle_timeout_ms;             // of a pooled connection
    uint32_t requests_per_connection_max; // 0: no limit
    uint32_t
        endpoints_hash; // of addresses and weights: balancer state survives what leaves it alone
    uint32_t concurrent_streams_max; // HTTP/2, on one connection; 0: what the endpoint allows
    struct tls_context *tls;         // client side; NULL: plain
    // The way out
    uint8_t discovery; // enum cluster_discovery
    bool is_external;  // outside the cluster (ServiceEntry): its connections are kept warm, its
                       // idle limits learnt
    // ORIGINAL_DST: the only addresses that it may lead to; none: every one.
    const struct subnet *dialled;
    uint32_t n_dialled;
    uint16_t dns_port; // DYNAMIC_DNS; ORIGINAL_DST: in place of the port dialled, 0: that
    // DYNAMIC_DNS: the one name; empty: the host that is asked for, which must be below the
    // wildcard that the cluster's own name ends in. Also of a cluster whose only
    // name has not been answered yet: it is DYNAMIC_DNS until a snapshot has its addresses.
    struct str dns_name;
    // Behind the n_endpoints: addresses that DNS gave a moment ago and gives no more, or that
    // DNS_ROUND_ROBIN does not use now. Pooled connections to them are still good; nobody opens
    // new ones.
    uint32_t n_retiring;
    struct tcp_keepalive keepalive;
    uint32_t max_age_ms;          // of a connection, counted from connecting; 0: none
    uint32_t tcp_idle_timeout_ms; // of TCP (no HTTP); 0: the option's
};

// ---- routes ----

enum string_kind { STRING_IS_PRESENT, STRING_IS_EXACT, STRING_IS_PREFIX, STRING_IS_REGEX };
struct string_matcher {
    enum string_kind kind;
    bool ignore_case;
    struct str text;           // pattern text, for the dump
    const struct regex *regex; // STRING_IS_REGEX: whole string
};

struct match;
struct request_view; // route/match.h
struct match_type {  // one a file in route/match/, listed in route/match/list.h
    const char *name, *doc;
    bool (*eval)(const struct match *match, const struct request_view *request);
    void (*dump)(const struct match *match, struct buf *out);
};
struct match { // a condition beside the path
    const struct match_type *type;
    struct str name;   // of a header (lower case) or query parameter
    uint8_t header_id; // enum header_id of `name`
    struct string_matcher value;
};

enum path_kind {
    PATH_ANY,
    PATH_EXACT,
    PATH_PREFIX_STRING,  // "/foo" takes "/foobar"
    PATH_PREFIX_SEGMENT, // "/foo" takes "/foo" and "/foo/bar", not "/foobar"; a trailing '/' was
                         // cut
    PATH_REGEX,          // anchored as its API says (the pattern carries its own anchors)
};

struct header_op {
    enum header_op_kind { HEADER_SET, HEADER_ADD, HEADER_REMOVE } kind;
    struct str name;            // lower case
    const struct format *value; // SET, ADD
    struct str text;            // of the value, as written: for the dump
};
struct header_ops {
    uint32_t n;
    const struct header_op *ops; // in the order to apply
};

enum rewrite_kind {
    REWRITE_NONE,
    REWRITE_PREFIX,  // the matched prefix is replaced by `text`
    REWRITE_FULL,    // the whole path is replaced by `text`
    REWRITE_REGEX,   // every occurrence of `regex` is replaced by `text` with \1 groups (Istio)
    REWRITE_CAPTURE, // the whole path is replaced by `text` with $1..$9 of the route's own regex
                     // (ingress-nginx)
};
struct rewrite {
    enum rewrite_kind kind;
    struct str text;
    const struct regex *regex;
    bool drops_query;     // REWRITE_CAPTURE, REWRITE_FULL: `text` carries a query of its own
    struct str authority; // new Host; empty: unchanged
};

struct redirect {
    uint16_t code;
    struct str scheme, host; // empty: the request's
    uint16_t port;           // 0: see below
    bool port_from_listener;
    bool has_path;
    struct str path; // replaces the path (its own query replaces the request's)
    bool has_prefix_rewrite;
    struct str prefix_rewrite; // replaces the matched prefix
    bool cut_trailing_slash;   // ingress-nginx's ssl-redirect
    bool drops_query;          // the request's query is not carried over
};

struct target {
    const struct cluster *cluster;
    uint32_t weight;
    struct header_ops request_ops, response_ops;
};

enum route_action { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_RESPOND };

struct route {
    uint32_t rank;             // position in its virtual host: the lowest that fits wins
    uint8_t path_kind, action; // enum path_kind, enum route_action
    bool path_ignore_case;
    bool is_ingress; // backends get the headers that ingress-nginx sends (X-Real-IP ...)
    uint16_t n_matches, n_targets;
    struct str path; // text of the condition
    const struct regex *path_regex;
    const struct match *matches;
    const struct target *targets; // FORWARD; weights add up to total_weight
    uint32_t total_weight;
    uint32_t timeout_ms;           // whole exchange from the end of the request; 0: none
    const struct rewrite *rewrite; // NULL: none
    struct str name;               // %ROUTE_NAME%; empty: unnamed
    struct header_ops request_ops, response_ops;
    const struct redirect *redirect;   // REDIRECT
    uint16_t status;                   // RESPOND
    struct str body;                   // RESPOND
    const struct cluster *log_cluster; // RESPOND: the cluster that the log names; NULL: none
    uint64_t body_bytes_max;           // of the request; 0: no limit
    struct str origin;                 // "ingress.yaml:14:9 Ingress shop/web": for dump and explain
};

struct path_index; // route/path_index.h

struct filter_chain;

// Sealing lays a virtual host out as one run of cache lines: this struct, the pointers to its
// routes, its name, the paths, the routes, each followed by its targets.
struct vhost {
    struct str name;                   // "httpbin.example.com", "*.example.com", "*"
    const struct route *const *routes; // by rank
    const struct path_index *index;    // NULL: few routes, looked at one after the other
    uint32_t n_routes;
    bool is_one_label; // a wildcard that takes one label only (Ingress)
    // Another name of that virtual host, whose routes and index are shared; NULL: it has its own.
    const struct vhost *alias_of;
    // In a table of SNI names: what is behind that name; such an entry has no routes.
    const struct filter_chain *chain;
};

struct host_table; // route/host_table.h

// ---- TCP ----

struct subnet {
    struct address base; // port 0
    uint8_t bits;
};

struct tcp_route {
    struct str name;
    const struct subnet *destinations; // of the address dialled; none: every one
    uint16_t n_destinations, n_targets;
    const struct target *targets; // weights add up to total_weight; without header operations
    uint32_t total_weight;
    struct str origin;
};
struct tcp_routes { // the first that fits; none: the connection is closed (NR)
    const struct tcp_route *items;
    uint32_t n;
};

// ---- captured connections (sidecar) ----

// What a client of a captured connection is taken to speak.
enum capture_protocol {
    CAPTURE_DETECT, // looked at: TLS, HTTP, else TCP; the first byte is awaited for a while only,
                    // since in some protocols the server begins
    CAPTURE_HTTP,   // the client begins for certain: TLS or HTTP
    CAPTURE_TCP,    // never looked at
};
struct captured_destination {
    uint8_t protocol; // enum capture_protocol
    // For TCP, and for what was looked at and is neither HTTP nor TLS with a known name. `tcp` has
    // always a last route that takes every connection: at least to PassthroughCluster or
    // BlackHoleCluster.
    struct tcp_routes tcp;
};
struct http_hosts;
struct address_index; // route/address_index.h: address or subnet -> struct captured_destination
// What is behind a port that clients dial.
struct captured_port {
    uint16_t port;                          // as dialled; 0: every other one
    const struct address_index *by_address; // of the address dialled; NULL: none
    struct captured_destination any;        // of the other addresses
    const struct http_hosts *hosts;         // HTTP; "*" is always there
    const struct host_table *sni;           // as in a listener; chains have no `tls`; NULL: no name
    const struct vhost *const *sni_names;
    uint32_t n_sni_names;
};

// ---- listeners ----

struct http_hosts {
    const struct host_table *table;
    const struct vhost *const *vhosts; // for dump, sorted by name
    uint32_t n_vhosts;
};

// A certificate in use, for dump and metrics.
struct certificate {
    struct str source;                 // "Secret default/shop-tls", "file /etc/certs/tls.crt"
    struct str subject, key_type;      // "CN=shop.example.com", "RSA 2048"
    int64_t not_before_s, not_after_s; // wall clock; 0: of our own making
};

// Whether x-forwarded-client-cert goes upstream. What comes from outside never does.
enum client_cert_forward { CLIENT_CERT_SANITIZE, CLIENT_CERT_SET };

// What is behind a name (SNI) on a TLS listener: a server, with its certificates and its own
// virtual hosts, or TCP, decrypted or (`tls` NULL) as it comes.
struct filter_chain {
    struct str name; // "https.443.https.shop-gateway.default", "ingress shop.example.com"
    bool is_http;
    bool is_strict;              // Host must be a name of this chain, also over HTTP/1 (421 else)
    uint8_t client_cert_forward; // enum client_cert_forward
    bool passes_ingress_cert;    // ssl-client-* headers of ingress-nginx; see client_cert_pem
    bool client_cert_pem;        // ... with the certificate itself
    struct tls_context *tls;
    uint8_t client_auth; // enum tls_client_auth
    uint16_t n_certificates;
    const struct certificate *certificates; // in the arena of the snapshot
    const struct http_hosts *hosts;         // HTTP; chains of one listener may share it
    struct tcp_routes tcp;                  // else
    struct str origin;
};

// TLS: the ClientHello's name chooses a filter chain. OUTBOUND, INBOUND: captured connections of a
// sidecar; what is served depends on the address that the client dialled.
enum listener_kind {
    LISTENER_HTTP,
    LISTENER_TCP,
    LISTENER_TLS,
    LISTENER_OUTBOUND,
    LISTENER_INBOUND
};
struct listener {
    struct str name; // "http 0.0.0.0:80"
    uint32_t slot;   // of (kind, bind address)
    enum listener_kind kind;
    bool accepts_proxy;      // a PROXY header is expected in front of everything else
    struct address bind;     // what is really opened (after --bind and --port-map)
    uint16_t port;           // as named in the manifest
    struct http_hosts hosts; // HTTP
    struct tcp_routes tcp;   // TCP
    // TLS: by name; "*" is taken by a connection without SNI, too. Entries are struct vhost with
    // `chain` set.
    const struct host_table *sni;
    const struct vhost *const *sni_names; // for dump, sorted
    uint32_t n_sni_names;
    // OUTBOUND, INBOUND: by port, ascending; the first is port 0. Never empty.
    const struct captured_port *captured;
    uint32_t n_captured;
    bool is_transparent; // reached by TPROXY: the socket's own address is the one dialled
    struct str origin;
};
// What is behind `port`; the entry of port 0 when it has none of its own.
const struct captured_port *listener_captured_port(const struct listener *listener, uint16_t port);

struct snapshot {
    uint64_t generation;
    int64_t built_wall_ns;
    uint32_t n_listeners, n_clusters;
    const struct listener *listeners;
    const struct cluster *const *clusters;      // sorted by name
    uint32_t n_cluster_slots, n_endpoint_slots; // array sizes that hold every slot in here
    // By endpoint slot: which identity holds it in this snapshot (0: none). A worker's pool whose
    // identity is no longer in its slot is closed.
    const uint64_t *endpoint_identity;
    const uint64_t *cluster_identity;
    struct arena *arena;
    struct registry *registry; // holds the slots and regexes until destroyed
    atomic_uint holders;       // workers that still use it (proxy's; 0 until published)
    void *released;            // builder_parts.h's bookkeeping
};

bool subnet_contains(const struct subnet *subnet, const struct address *address);
const char *listener_kind_word(enum listener_kind kind); // "http", "tcp", "https", "outbound" ...

const struct cluster *snapshot_find_cluster(const struct snapshot *snapshot,
                                            struct str name); // NULL: none
void snapshot_destroy(struct snapshot *snapshot);             // control thread; NULL is fine
void snapshot_dump(const struct snapshot *snapshot, struct buf *out);      // text, reproducible
void snapshot_dump_json(const struct snapshot *snapshot, struct buf *out); // the same facts as JSON
