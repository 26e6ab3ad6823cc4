// SPDX-License-Identifier: Apache-2.0
// Which match blocks of a VirtualService apply to a Gateway and port, and a word about those that
// apply to none it is bound to.
#include "compile/virtual_service.h"

void gateway_reference_split(struct str reference, struct str own_ns, struct str *ret_ns,
                             struct str *ret_name)
{
    ptrdiff_t slash = str_index(reference, '/');
    if (slash >= 0) {
        *ret_ns = str_upto(reference, (size_t)slash);
        *ret_name = str_from(reference, (size_t)slash + 1);
        if (str_is(*ret_ns, "."))
            *ret_ns = own_ns;
        return;
    }
    struct str rest = reference, name = STR_NONE, ns = STR_NONE;
    str_next(&rest, '.', &name);
    bool has_ns = str_next(&rest, '.', &ns);
    *ret_name = name;
    *ret_ns = has_ns ? ns : own_ns;
}

bool vs_names_mesh(const struct texts *gateways)
{
    for (uint32_t i = 0; i < gateways->n; i++) {
        if (str_is(text_str(gateways->items[i]), "mesh"))
            return true;
    }
    return false;
}

static bool names_gateway(const struct texts *gateways, struct str own_ns,
                          const struct object *gateway)
{
    if (!gateway)
        return vs_names_mesh(gateways);
    for (uint32_t i = 0; i < gateways->n; i++) {
        struct str ns, name;
        gateway_reference_split(text_str(gateways->items[i]), own_ns, &ns, &name);
        if (str_equal(ns, gateway->ns) && str_equal(name, gateway->name))
            return true;
    }
    return false;
}

static bool has_source_labels(const struct compiler *c, const struct text_map *wanted)
{
    const struct text_map own = {(struct text_pair *)(uintptr_t)c->options->labels,
                                 c->options->n_labels};
    return wanted->n == 0 || text_map_contains(&own, wanted);
}

struct vs_place vs_place_of_http(const struct http_match *block)
{
    return (struct vs_place){block->port,          block->gateways,
                             block->source_labels, block->source_namespace,
                             block->line,          block->col};
}

struct vs_place vs_place_of_l4(const struct l4_match *block)
{
    return (struct vs_place){block->port,          block->gateways,
                             block->source_labels, block->source_namespace,
                             block->line,          block->col};
}

bool vs_place_applies(const struct compiler *c, const struct vs_place *place, struct str own_ns,
                      const struct object *gateway, uint16_t port)
{
    if (place->port.is_set && place->port.value != port)
        return false;
    // Where gateways are named, the conditions on the source do not count.
    if (place->gateways.n > 0)
        return names_gateway(&place->gateways, own_ns, gateway);
    return has_source_labels(c, &place->source_labels) &&
           (place->source_namespace.len == 0 ||
            str_equal(text_str(place->source_namespace), c->options->ns));
}

bool vs_block_applies(const struct compiler *c, const struct vs_rule *rule,
                      const struct http_match *block, const struct object *gateway, uint16_t port)
{
    struct vs_place place = vs_place_of_http(block);
    return vs_place_applies(c, &place, rule->object->ns, gateway, port);
}

// ---- blocks that apply nowhere ----

struct vs_binding {
    const struct object *gateway;
    uint16_t port;
    struct vs_binding *next;
};

void vs_bind(struct compiler *c, struct vs_binding **bindings, const struct object *gateway,
             uint16_t port)
{
    if (*bindings && (*bindings)->gateway == gateway && (*bindings)->port == port)
        return;
    struct vs_binding *binding = ARENA_NEW(c->scratch, struct vs_binding);
    *binding = (struct vs_binding){gateway, port, *bindings};
    *bindings = binding;
}

struct block_report {
    struct compiler *c;
    const struct object *root; // the VirtualService
    const struct vs_binding *bindings;
    struct vs_place place;
    struct str own_ns;           // that names of Gateways belong to
    const struct object *object; // that has written the block
    struct str path;
};

// A delegate without match takes that of its root, places and all.
static void find_writer(struct block_report *r, const struct vs_rule *rule, uint32_t index)
{
    r->object = rule->object;
    r->path = path_item(r->c, rule->path, "match", index);
    for (uint32_t i = 0; r->object != r->root && i < r->root->virtual_service->n_http; i++) {
        if (r->root->virtual_service->http[i].match != rule->rule->match)
            continue;
        r->object = r->root;
        r->path = path_item(r->c, path_item(r->c, STR("spec"), "http", i), "match", index);
    }
}

// Reports those that do not exist; true: some do.
static bool report_gateways(struct block_report *r)
{
    struct compiler *c = r->c;
    const struct texts *gateways = &r->place.gateways;
    bool has_known = false;
    for (uint32_t i = 0; i < gateways->n; i++) {
        struct str ns, name;
        gateway_reference_split(text_str(gateways->items[i]), r->own_ns, &ns, &name);
        if (str_is(text_str(gateways->items[i]), "mesh"))
            continue;
        if (store_find(c->store, KIND_GATEWAY, ns, name)) {
            has_known = true;
            continue;
        }
        struct diag *diag = complain(c, DIAG_UNKNOWN_GATEWAY, r->object, gateways->items[i].line,
                                     gateways->items[i].col, path_item(c, r->path, "gateways", i),
                                     "no Gateway %.*s/%.*s exists", STR_ARG(ns), STR_ARG(name));
        hint_object(c, diag, KIND_GATEWAY, ns, name, NULL);
    }
    return has_known;
}

static bool applies(const struct block_report *r, bool at_any_port)
{
    struct vs_place place = r->place;
    place.port.is_set = place.port.is_set && !at_any_port;
    for (const struct vs_binding *at = r->bindings; at; at = at->next) {
        if (vs_place_applies(r->c, &place, r->own_ns, at->gateway, at->port))
            return true;
    }
    return false;
}

// Whether a Gateway of the block is one of the VirtualService's.
static bool names_same(const struct block_report *r, const struct texts *bound_to)
{
    for (uint32_t i = 0; i < r->place.gateways.n; i++) {
        struct str ns, name;
        gateway_reference_split(text_str(r->place.gateways.items[i]), r->own_ns, &ns, &name);
        const struct object *gateway = store_find(r->c->store, KIND_GATEWAY, ns, name);
        if (gateway && names_gateway(bound_to, r->root->ns, gateway))
            return true;
    }
    return false;
}

// In a sidecar: blocks for gateways and for other workloads are no mistake.
static void report_block_of_mesh(struct block_report *r)
{
    const struct texts *gateways = &r->place.gateways;
    if ((gateways->n > 0 && !vs_names_mesh(gateways)) || applies(r, false) || !applies(r, true))
        return;
    complain(r->c, DIAG_MATCH_NOT_APPLICABLE, r->object, r->place.line, r->place.col, r->path,
             "never applies here: none of the VirtualService's hosts has its port");
}

static void report_block(struct block_report *r)
{
    struct compiler *c = r->c;
    if (c->options->is_sidecar) {
        report_block_of_mesh(r);
        return;
    }
    const struct vs_place *place = &r->place;
    bool names_any = place->gateways.n > 0, has_known = report_gateways(r);
    if ((names_any && !has_known && !vs_names_mesh(&place->gateways)) || applies(r, false))
        return;
    const struct texts *bound_to = &r->root->virtual_service->gateways;
    // A VirtualService for both, sidecars and an egress gateway, has such blocks by design.
    if (names_any && !has_known && vs_names_mesh(bound_to))
        return;
    bool is_for_sidecars = vs_names_mesh(names_any ? &place->gateways : bound_to);
    const char *why = "this gateway is none of the sources that it asks for";
    if (applies(r, true))
        why = "no server that the VirtualService is bound to has its port";
    else if (names_any && !has_known)
        why = "it names no Gateway";
    else if (names_any && names_same(r, bound_to))
        return; // not served here, or not with these hosts: that has been said
    else if (names_any)
        why = "the VirtualService names none of its Gateways";
    if (is_for_sidecars)
        complain(c, DIAG_MESH_ONLY, r->object, place->line, place->col, r->path,
                 "is for sidecars (mesh) only: %s", why);
    else
        complain(c, DIAG_MATCH_NOT_APPLICABLE, r->object, place->line, place->col, r->path,
                 "never applies here: %s", why);
}

static bool asks_for_place(const struct vs_place *place)
{
    return place->port.is_set || place->gateways.n > 0 || place->source_labels.n > 0 ||
           place->source_namespace.len > 0;
}

static void report_l4_blocks(struct compiler *c, const struct vs_prepared *prepared,
                             const struct l4_route *rules, uint32_t n_rules, const char *list)
{
    for (uint32_t i = 0; i < n_rules; i++) {
        struct str path = path_item(c, STR("spec"), list, i);
        for (uint32_t k = 0; k < rules[i].n_match; k++) {
            struct block_report report = {.c = c,
                                          .root = prepared->object,
                                          .bindings = prepared->l4_bindings,
                                          .place = vs_place_of_l4(&rules[i].match[k]),
                                          .own_ns = prepared->object->ns,
                                          .object = prepared->object,
                                          .path = path_item(c, path, "match", k)};
            if (asks_for_place(&report.place) && !rules[i].match[k].is_invalid)
                report_block(&report);
        }
    }
}

// Rules of a kind that none of its servers has use for.
static void report_kinds(struct compiler *c, const struct vs_prepared *prepared)
{
    const struct virtual_service *vs = prepared->object->virtual_service;
    bool has_any =
        prepared->has_http_server || prepared->has_tls_server || prepared->has_tcp_server;
    const struct {
        const char *path, *why;
        bool is_useless;
        uint32_t line, col;
    } kinds[] = {
        {"spec.http", "is for HTTP", vs->n_http > 0 && !prepared->has_http_server,
         vs->n_http > 0 ? vs->http[0].line : 0, vs->n_http > 0 ? vs->http[0].col : 0},
        {"spec.tls", "passes TLS through", vs->n_tls > 0 && !prepared->has_tls_server,
         vs->n_tls > 0 ? vs->tls[0].line : 0, vs->n_tls > 0 ? vs->tls[0].col : 0},
        {"spec.tcp", "is for TCP", vs->n_tcp > 0 && !prepared->has_tcp_server,
         vs->n_tcp > 0 ? vs->tcp[0].line : 0, vs->n_tcp > 0 ? vs->tcp[0].col : 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && has_any; i++) {
        if (!kinds[i].is_useless)
            continue;
        bool is_for_sidecars = vs_names_mesh(&vs->gateways);
        complain(c, is_for_sidecars ? DIAG_MESH_ONLY : DIAG_MATCH_NOT_APPLICABLE, prepared->object,
                 kinds[i].line, kinds[i].col, str_of(kinds[i].path),
                 "%s: none of the servers that the VirtualService is bound to %s",
                 is_for_sidecars ? "is for sidecars (mesh) only" : "never applies here",
                 kinds[i].why);
    }
}

void vs_report_blocks(struct compiler *c, const struct vs_prepared *prepared)
{
    for (uint32_t i = 0; prepared->bindings && i < prepared->n_rules; i++) {
        const struct vs_rule *rule = &prepared->rules[i];
        for (uint32_t k = 0; k < rule->rule->n_match; k++) {
            const struct http_match *block = &rule->rule->match[k];
            struct block_report report = {.c = c,
                                          .root = prepared->object,
                                          .bindings = prepared->bindings,
                                          .place = vs_place_of_http(block),
                                          .own_ns = rule->object->ns};
            if (!asks_for_place(&report.place) || block->is_invalid)
                continue;
            find_writer(&report, rule, k);
            report_block(&report);
        }
    }
    if (!prepared->is_elsewhere && !c->options->is_sidecar)
        report_kinds(c, prepared);
    const struct virtual_service *vs = prepared->object->virtual_service;
    if (prepared->l4_bindings) {
        report_l4_blocks(c, prepared, vs->tls, vs->n_tls, "tls");
        report_l4_blocks(c, prepared, vs->tcp, vs->n_tcp, "tcp");
    }
}
