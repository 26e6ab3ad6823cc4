// SPDX-License-Identifier: Apache-2.0
// DestinationRules -> subsets and the connection policy of clusters. Control thread.
#pragma once
#include "compile/context.h"

struct policy_index *policy_index_create(struct compiler *c);
void policy_index_destroy(struct policy_index *index); // NULL is fine

// Of the functions below: `ns` is the namespace of what declares the host, a Service or the oldest
// ServiceEntry of it.
// Istio's defaults: least request, 10 s to connect, 1 h idle, no limit of requests.
void policy_defaults(struct cluster *cluster);
void policy_apply_pool(struct cluster *cluster, const struct traffic_policy *pool);
// TLS to the endpoints, as the DestinationRule in force asks for it.
struct policy_tls {
    const struct client_tls *tls; // NULL: nothing is said, or the rule is broken
    const struct object *object;  // the DestinationRule; NULL: nothing is said
    struct str path;              // "spec.trafficPolicy.tls"
};
// Defaults, then what the DestinationRule in force for the host says for subset and port. The
// protocol stays what it is unless the rule sets another.
struct policy_tls policy_apply(struct compiler *c, struct str ns, struct str fqdn,
                               struct str subset, uint16_t port, struct cluster *cluster);
// What the rule says about TLS, and whether that makes it TLS (also where it cannot be had).
struct policy_tls policy_find_tls(struct compiler *c, struct str ns, struct str fqdn,
                                  struct str subset, uint16_t port);
bool policy_is_tls(const struct policy_tls *policy);
// Of another part of the rule than that of `subset`, for the same port; `object` NULL: of none.
struct policy_tls policy_tls_elsewhere(struct compiler *c, struct str ns, struct str fqdn,
                                       struct str subset, uint16_t port);
// The cluster is outside: unless its rule says otherwise, its connections are probed.
void policy_be_external(struct cluster *cluster);
// Whether the rule makes endpoints get other bytes than the client sends: TLS, a PROXY header.
bool policy_changes_bytes(struct compiler *c, struct str ns, struct str fqdn, uint16_t port);
bool policy_has_subset(struct compiler *c, struct str ns, struct str fqdn, struct str subset);
// Labels that an endpoint of the subset carries; NULL: every endpoint belongs to it.
const struct text_map *policy_subset_labels(struct compiler *c, struct str ns, struct str fqdn,
                                            struct str subset);
// The nearest subset name, for a hint; STR_NONE: none is near.
struct str policy_nearest_subset(struct compiler *c, struct str ns, struct str fqdn,
                                 struct str subset);
// What is wrong with the DestinationRules themselves.
void policy_report(struct compiler *c);
