// SPDX-License-Identifier: Apache-2.0
// Building a snapshot. Control thread. compile adds listeners, virtual hosts, routes and clusters
// in any order and seals; sealing sorts what must be reproducible, builds the indexes and hands out
// slots. Strings given are copied; what a route points to must lie in builder_arena().
#pragma once
#include "route/registry.h"
#include "tls/tls.h"

struct snapshot_builder;

struct snapshot_builder *builder_create(struct registry *registry);
void builder_destroy(struct snapshot_builder *builder); // without sealing; NULL is fine
struct arena *
builder_arena(struct snapshot_builder *builder); // the snapshot's: routes' parts go here

// A cluster of that name, found or made; fill in while `*ret_is_new`. Endpoints added twice with
// the same address count once.
struct cluster *builder_cluster(struct snapshot_builder *builder, struct str name,
                                bool *ret_is_new);
void builder_add_endpoint(struct snapshot_builder *builder, struct cluster *cluster,
                          const struct address *address, uint32_t weight);
// What was added so far, before sealing.
uint32_t builder_n_endpoints(const struct cluster *cluster);
const struct address *builder_endpoint(const struct cluster *cluster, uint32_t i);
// An address whose pooled connections are still good; one that is also a real endpoint is that.
void builder_add_retiring(struct snapshot_builder *builder, struct cluster *cluster,
                          const struct address *address);

struct builder_listener;
// Found or made by (kind, bind). A second kind on the same bind: NULL (a conflict; the caller
// reports).
struct builder_listener *builder_listener(struct snapshot_builder *builder, enum listener_kind kind,
                                          const struct address *bind, uint16_t port,
                                          struct str origin);
// Whether there is one already, of whatever kind.
bool builder_has_listener(const struct snapshot_builder *builder, const struct address *bind,
                          uint16_t port);
// TCP: `route` is copied, its targets when sealed; the first that fits is taken.
void builder_add_tcp_route(struct builder_listener *listener, const struct tcp_route *route);
void builder_listener_accept_proxy(struct builder_listener *listener);
// The same for those that are there now whose port, as named in the manifest, is `wanted`.
void builder_accept_proxy(struct snapshot_builder *builder,
                          bool (*wanted)(const void *arg, uint16_t port), const void *arg);

// Virtual hosts. An HTTP listener has a table of its own; a TLS listener has those that are made
// for its chains.
struct builder_hosts;
struct builder_hosts *builder_listener_hosts(struct builder_listener *listener); // HTTP
struct builder_hosts *builder_hosts(struct snapshot_builder *builder);           // a new one

// TLS listeners. `chain` is copied; its `hosts` and `tcp` are set here: HTTP with `hosts`, else TCP
// routes are added with builder_chain_add_tcp_route.
struct builder_chain;
struct builder_chain *builder_chain(struct builder_listener *listener,
                                    const struct filter_chain *chain, struct builder_hosts *hosts);
void builder_chain_add_tcp_route(struct builder_chain *chain, const struct tcp_route *route);
// Names as of virtual hosts. NULL: done; else the chain that has the name already.
struct builder_chain *builder_chain_add_name(struct builder_chain *chain, struct str name,
                                             bool is_one_label);
const struct filter_chain *builder_chain_facts(const struct builder_chain *chain);

// Captured connections: listeners of kind OUTBOUND and INBOUND. A port that has no virtual hosts of
// its own has those of port 0; behind TCP routes that don't take every connection come the routes
// of port 0 for any address.
struct builder_captured;
void builder_listener_be_transparent(struct builder_listener *listener);
struct builder_captured *builder_captured(struct builder_listener *listener,
                                          uint16_t port); // found or made; 0: every other port
struct builder_hosts *builder_captured_hosts(struct builder_captured *captured);
// `destination` NULL: addresses that have no entry of their own. The protocol given first counts:
// false, if there is one already, which is *ret_old.
bool builder_captured_protocol(struct builder_captured *captured, const struct subnet *destination,
                               enum capture_protocol protocol, enum capture_protocol *ret_old);
void builder_captured_add_tcp(struct builder_captured *captured, const struct subnet *destination,
                              const struct tcp_route *route);
// A chain for names (builder_chain_add_name); TCP behind TLS that is passed on.
struct builder_chain *builder_captured_chain(struct builder_captured *captured,
                                             const struct filter_chain *chain);

// A context of that config: one that an older snapshot holds, or made new. NULL: *reterr.
struct tls_context *builder_tls_server(struct snapshot_builder *builder,
                                       const struct tls_server_config *config,
                                       struct tls_error *reterr);
struct tls_context *builder_tls_client(struct snapshot_builder *builder,
                                       const struct tls_client_config *config,
                                       struct tls_error *reterr);

// What a certificate says, and whether it is for `host` (empty: not asked). Cheap when an older
// snapshot has asked the same. Lives as long as the snapshot.
const struct certificate_look *builder_certificate(struct snapshot_builder *builder, struct str pem,
                                                   struct str host);

// A certificate of our own making for hosts that have none; as long as the registry.
void builder_self_signed(struct snapshot_builder *builder, struct str *ret_certificate,
                         struct str *ret_key);

struct builder_vhost;
// `name`: lower case; exact, "*.x", or "*". is_one_label: an Ingress wildcard, kept apart from one
// that takes any depth (the narrower is tried first).
struct builder_vhost *builder_vhost(struct builder_hosts *hosts, struct str name,
                                    bool is_one_label);
// One more name of any depth for `of`, which has routes of its own. False: the name is taken.
bool builder_vhost_alias(struct builder_hosts *hosts, struct str name, struct builder_vhost *of);
bool builder_has_vhost(const struct builder_hosts *hosts, struct str name);
// Routes keep the order of adding as rank. `route` is copied, its targets when sealed; what else it
// points to is not and must lie in builder_arena().
// The copy may be changed until it is sealed; sealing copies once more.
struct route *builder_add_route(struct builder_vhost *vhost, const struct route *route);
// NULL: the pattern is wrong (message, offset). Shared by (pattern, flags) through the registry.
const struct regex *builder_regex(struct snapshot_builder *builder, struct str pattern,
                                  unsigned flags, char *reterr_message, size_t reterr_size,
                                  size_t *reterr_offset);

// Takes *builder.
struct snapshot *builder_seal(struct snapshot_builder **builder, uint64_t generation);
