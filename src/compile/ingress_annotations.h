// SPDX-License-Identifier: Apache-2.0
// The annotations of ingress-nginx: a table with a row for each (ingress_annotations.c). Control
// thread.
#pragma once
#include "compile/context.h"
#include "compile/service.h"
#include "compile/upstream_tls.h"

// What the annotations of one Ingress ask for; texts are borrowed from the object.
struct ingress_settings {
    struct str rewrite_target, app_root, upstream_vhost, server_alias, forwarded_prefix;
    struct str temporal_redirect, permanent_redirect; // URLs
    uint16_t temporal_code, permanent_code;
    bool use_regex, ssl_redirect, force_ssl_redirect, preserve_trailing_slash;
    struct str client_secret, ciphers; // auth-tls-secret, ssl-ciphers
    enum tls_client_auth client_auth;
    unsigned client_depth;
    bool passes_client_cert, www_redirect;
    enum upstream_protocol protocol;
    struct upstream_tls backend_tls; // its name is empty unless some of it is given
    bool ssl_passthrough;
    uint64_t body_bytes_max;
    bool is_denied;  // something that guards the backend is not served: 503
    bool is_refused; // the Ingress is not served
};

struct ingress_settings ingress_settings_read(struct compiler *c, const struct object *ingress);
const struct text *ingress_annotation(const struct object *ingress,
                                      const char *key); // without prefix
// The table as a Markdown page.
void ingress_annotations_print_reference(struct buf *out);
