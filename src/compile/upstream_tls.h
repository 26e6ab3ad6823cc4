// SPDX-License-Identifier: Apache-2.0
// TLS to the endpoints of a cluster: a DestinationRule's trafficPolicy.tls, or what an Ingress asks
// for with backend-protocol and proxy-ssl-*. A cluster whose TLS cannot be set up is never reached
// without it: its requests are answered 502. Control thread.
#pragma once
#include "compile/destination_rule.h"

// proxy-ssl-* of an Ingress; texts are borrowed from the object.
struct upstream_tls {
    const struct object *object;
    struct str name; // in the name of the cluster: "shop/web"; empty: all are the defaults
    struct str path; // the first of the annotations that is there
    uint32_t line, col;
    struct str secret; // in the same namespace; empty: none
    uint32_t secret_line, secret_col;
    struct str server_name; // to verify, and to send; empty: the request's host
    struct str ciphers;     // OpenSSL's form
    uint32_t verify_depth;
    uint16_t version_min, version_max;
    bool verifies, sends_sni;
};

// What holds where the DestinationRule says nothing; texts are borrowed.
struct upstream_tls_defaults {
    const struct str *subject_alt_names;
    size_t n_subject_alt_names;
    struct str server_name; // sent and verified; empty: the request's host
};
// `defaults` NULL: none.
void upstream_tls_of_policy(struct compiler *c, struct cluster *cluster,
                            const struct policy_tls *policy,
                            const struct upstream_tls_defaults *defaults);
void upstream_tls_of_ingress(struct compiler *c, struct cluster *cluster,
                             const struct upstream_tls *tls);
