// SPDX-License-Identifier: Apache-2.0
// Ingresses -> virtual hosts on the Ingress port. Every Ingress of our class adds its paths to its
// hosts; each host is then put in order as a whole, since Ingresses share hosts. Control thread;
// everything lives for the compile.
#pragma once
#include "compile/ingress_annotations.h"

struct ingress_entry { // an Ingress that is served
    const struct object *object;
    struct ingress_settings settings;
};
struct ingress_item { // a path of a host
    const struct ingress_entry *ingress;
    const struct ingress_path *path; // NULL: the default backend
    const struct ingress_backend *backend;
    const struct object *service;           // of the backend; NULL: does not exist
    uint32_t rule_index, path_index, order; // order: of age
    struct str text; // of the path; without its last '/' unless it is matched exactly or as a regex
    bool is_exact;
};
struct ingress_item_node {
    struct ingress_item item;
    struct ingress_item_node *next;
};
struct ingress_alias {
    const struct ingress_entry *ingress;
    struct str name;
    bool is_served; // else it is reported
    struct ingress_alias *next;
};
struct ingress_host {
    struct str name;            // "*": every host
    const struct object *owner; // the first Ingress, and where it names the host
    uint32_t line, col;
    struct ingress_item_node *first, **end;
    uint32_t n_items;
    const struct ingress_item *default_item;
    const struct ingress_item *regex_item; // that turns the host's paths into regexes; NULL: none
    const struct ingress_entry *app_root;  // the first that sets one
    struct ingress_alias *aliases;
    // The first Ingress that sets it: client certificates, ssl-ciphers, from-to-www-redirect,
    // ssl-passthrough.
    const struct ingress_entry *client_auth, *ciphers, *www, *passthrough;
    struct str www_name; // redirected to this host; empty: none
    bool has_certificate;
    bool is_forbidden; // client certificates cannot be verified: 403
};

void ingresses_compile(struct compiler *c);
// Reports what is wrong with an Ingress for itself.
void ingress_check(struct compiler *c, const struct object *object);

// ingress_class.c
struct class_choice {
    bool has_classes;                   // whether any IngressClass was given
    const struct object *default_class; // the newest that is marked
};
struct class_choice ingress_class_choice(struct compiler *c);
// Whether the Ingress is ours; reports why not.
bool ingress_is_selected(struct compiler *c, const struct class_choice *choice,
                         const struct object *ingress);

// ingress_route.c: the routes of a host, in the order to try them, into its virtual hosts.
// `secure`: the same over HTTPS.
struct ingress_vhosts {
    struct builder_vhost **items;
    size_t n;
};
void ingress_host_emit(struct compiler *c, struct ingress_host *host,
                       const struct ingress_vhosts *plain, const struct ingress_vhosts *secure);
bool ingress_is_rewritten(const struct ingress_item *item);
// In a host whose paths are expressions; false: this one is none (reported).
bool ingress_regex_check(struct compiler *c, const struct ingress_item *item);
// ingress_backend.c
const struct cluster *ingress_cluster(struct compiler *c, const struct ingress_item *item,
                                      enum upstream_protocol protocol);
// What the backend-protocol of the Ingress comes to; `is_secure`: for clients that came with TLS.
enum upstream_protocol ingress_protocol(const struct ingress_item *item, bool is_secure);
void ingress_backend_check(struct compiler *c, const struct ingress_item *item);
struct str ingress_item_field(struct compiler *c, const struct ingress_item *item,
                              const char *field); // "spec.rules[0].http.paths[1].<field>"
