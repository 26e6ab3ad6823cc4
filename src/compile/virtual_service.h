// SPDX-License-Identifier: Apache-2.0
// VirtualServices -> routes. A VirtualService is prepared once (delegates merged into flat rules),
// then compiled for each Gateway and port it binds to, since match blocks may name either. Control
// thread; everything lives for the compile.
//
//   broken  a rule with a mistake, or one whose delegate is not there: it is answered 503 in its
//           place, so that no later rule takes the requests that were meant for it. A match block
//           with a mistake does the same with the conditions that are sound.
#pragma once
#include "compile/context.h"

// http[] of a VirtualService after its delegate, if any, is merged in.
struct vs_rule {
    const struct http_route *rule;
    const struct object *object; // resolves host names, gives the places: the delegate or the root
    const struct object *headers_object, *rewrite_object; // whose the headers and the rewrite are
    struct str path;                                      // "spec.http[2]", in `object`
    bool is_broken;
    bool is_closed;               // broken, and it takes every request
    bool is_emitted;              // some listener has a route of it
    const struct vs_rule *cut_by; // a rule that takes all requests came before it
};
struct vs_binding;
struct vs_prepared {
    const struct object *object;
    struct vs_binding *bindings;    // Gateways and ports that routes have been made for
    struct vs_binding *l4_bindings; // the same of tls[] and tcp[]
    // Which lists some server has use for; `is_elsewhere`: one of them is not served, which has
    // been said.
    bool has_http_server, has_tls_server, has_tcp_server, is_elsewhere;
    struct vs_rule *rules;
    uint32_t n_rules;
};
struct vs_route {
    struct route route;
    const struct vs_rule *rule;
    bool is_catch_all; // a merged virtual host moves it behind the routes of the others
};
struct vs_routes {
    struct vs_route *items;
    uint32_t n;
};

// By exportTo, from the namespace that we are in; also the order in which they come.
enum visibility { VISIBLE_PRIVATE, VISIBLE_EXPORTED, VISIBLE_PUBLIC, VISIBLE_NOT };
enum visibility vs_visibility(const struct compiler *c, const struct object *object);
// Whether `mesh` is among them, which stands for all sidecars.
bool vs_names_mesh(const struct texts *gateways);

// In what follows `gateway` NULL means `mesh`: a sidecar, where `port` is the one dialled.
struct vs_prepared *vs_prepare(struct compiler *c, const struct object *object);
struct vs_routes *vs_routes_create(struct compiler *c, struct vs_prepared *prepared,
                                   const struct object *gateway, uint16_t port);
// Rules that no listener reaches; after all vs_routes_create() of it.
void vs_report_unreachable(struct compiler *c, const struct vs_prepared *prepared);
// VirtualServices without hosts that nobody delegates to.
void vs_report_unused_delegates(struct compiler *c);

// vs_block.c: what a match block asks for beside the request or connection itself.
struct vs_place {
    struct number port;
    struct texts gateways;
    struct text_map source_labels;
    struct text source_namespace;
    uint32_t line, col; // of the block
};
struct vs_place vs_place_of_http(const struct http_match *block);
struct vs_place vs_place_of_l4(const struct l4_match *block);
// Whether a block applies to what comes in by that Gateway and port. `own_ns`: of the object that
// has it.
bool vs_place_applies(const struct compiler *c, const struct vs_place *place, struct str own_ns,
                      const struct object *gateway, uint16_t port);
bool vs_block_applies(const struct compiler *c, const struct vs_rule *rule,
                      const struct http_match *block, const struct object *gateway, uint16_t port);
void vs_bind(struct compiler *c, struct vs_binding **bindings, const struct object *gateway,
             uint16_t port);
// Blocks that apply to none of the bindings; after all vs_routes_create() of it.
void vs_report_blocks(struct compiler *c, const struct vs_prepared *prepared);
// Takes "name", "ns/name" or the old "name.ns.svc..." apart.
void gateway_reference_split(struct str reference, struct str own_ns, struct str *ret_ns,
                             struct str *ret_name);

// vs_delegate.c: appends the rules of http[i], merged with its delegate if it has one. Their blocks
// with mistakes hold sound conditions only.
void delegate_expand(struct compiler *c, const struct object *root, uint32_t i,
                     struct vs_rule *rules, uint32_t *n_rules);
// Room that http[i] needs in `rules`.
uint32_t delegate_count(struct compiler *c, const struct object *root, uint32_t i);

// vs_match.c: path and conditions of a block into `route`; false: some condition is broken
// (reported), and `route` takes more for want of it. `block` NULL: a rule without match.
bool vs_match_build(struct compiler *c, const struct vs_rule *rule, const struct http_match *block,
                    struct str path, struct route *route);
bool vs_match_is_catch_all(const struct http_match *block);
// An expression in RE2's syntax. `value` is what the user wrote, `pattern` what is made of it;
// NULL: reported.
const struct regex *vs_regex(struct compiler *c, const struct object *object,
                             const struct text *value, struct str pattern, struct str path);

// vs_l4.c: rules of tls[] and tcp[].
bool vs_l4_match_applies(const struct compiler *c, const struct object *object,
                         const struct l4_match *match, const struct object *gateway, uint16_t port);
// A rule's targets into `route`; those of a broken rule, or of a broken match of it, lead nowhere.
// `match` NULL: a rule without match.
void vs_l4_route(struct compiler *c, const struct object *object, const struct l4_route *rule,
                 const struct l4_match *match, struct str path, uint16_t port,
                 struct tcp_route *route);

// What clients' bytes are where a route takes them.
enum way_kind {
    WAY_TCP,  // anything
    WAY_HTTP, // requests
    WAY_TLS   // TLS that is passed on
};
// vs_action.c: the cluster of a destination; what is missing is reported. Never NULL. `path`: of
// the destination itself in vs_host_cluster, else of what has it.
const struct cluster *vs_host_cluster(struct compiler *c, const struct object *object,
                                      const struct http_destination *destination,
                                      uint16_t listener_port, struct str path, enum way_kind kind);
const struct cluster *vs_destination_cluster(struct compiler *c, const struct object *object,
                                             const struct http_destination *destination,
                                             uint16_t listener_port, struct str path,
                                             enum way_kind kind);
// All of a rule that is no condition; false: the rule is broken (reported).
bool vs_action_build(struct compiler *c, const struct vs_rule *rule, uint16_t port,
                     struct route *route);
// Reports what vs_action_build would, as far as no other object matters.
void vs_action_check(struct compiler *c, const struct vs_rule *rule);
// The part that depends on how the path was matched; after both.
void vs_action_fit_path(struct compiler *c, struct route *route);
