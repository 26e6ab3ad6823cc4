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

static bool names_gateway(const struct texts *gateways, struct str own_ns,
                          const struct object *gateway)
{
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

bool vs_block_applies(const struct compiler *c, const struct vs_rule *rule,
                      const struct http_match *block, const struct object *gateway, uint16_t port)
{
    if (block->port.is_set && block->port.value != port)
        return false;
    // Where gateways are named, the conditions on the source do not count.
    if (block->gateways.n > 0)
        return names_gateway(&block->gateways, rule->object->ns, gateway);
    return has_source_labels(c, &block->source_labels) &&
           (block->source_namespace.len == 0 ||
            str_equal(text_str(block->source_namespace), c->options->ns));
}

// ---- blocks that apply nowhere ----

struct vs_binding {
    const struct object *gateway;
    uint16_t port;
    struct vs_binding *next;
};

void vs_bind(struct compiler *c, struct vs_prepared *prepared, const struct object *gateway,
             uint16_t port)
{
    struct vs_binding *binding = ARENA_NEW(c->scratch, struct vs_binding);
    *binding = (struct vs_binding){gateway, port, prepared->bindings};
    prepared->bindings = binding;
}

static bool has_mesh(const struct texts *gateways)
{
    for (uint32_t i = 0; i < gateways->n; i++) {
        if (str_is(text_str(gateways->items[i]), "mesh"))
            return true;
    }
    return false;
}

struct block_report {
    struct compiler *c;
    const struct vs_prepared *prepared;
    const struct vs_rule *rule;
    const struct http_match *block;
    const struct object *object; // that has written the block
    struct str path;
};

// A delegate without match takes that of its root, places and all.
static void find_writer(struct block_report *r, uint32_t index)
{
    const struct object *root = r->prepared->object;
    r->object = r->rule->object;
    r->path = path_item(r->c, r->rule->path, "match", index);
    for (uint32_t i = 0; r->object != root && i < root->virtual_service->n_http; i++) {
        if (root->virtual_service->http[i].match != r->rule->rule->match)
            continue;
        r->object = root;
        r->path = path_item(r->c, path_item(r->c, STR("spec"), "http", i), "match", index);
    }
}

// Reports those that do not exist; true: some do.
static bool report_gateways(struct block_report *r)
{
    struct compiler *c = r->c;
    const struct texts *gateways = &r->block->gateways;
    bool has_known = false;
    for (uint32_t i = 0; i < gateways->n; i++) {
        struct str ns, name;
        gateway_reference_split(text_str(gateways->items[i]), r->rule->object->ns, &ns, &name);
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

static bool applies_but_for_port(const struct block_report *r)
{
    struct http_match any_port = *r->block;
    any_port.port.is_set = false;
    for (const struct vs_binding *at = r->prepared->bindings; at; at = at->next) {
        if (vs_block_applies(r->c, r->rule, &any_port, at->gateway, at->port))
            return true;
    }
    return false;
}

// Whether a Gateway of the block is one of the VirtualService's.
static bool names_same(const struct block_report *r, const struct texts *bound_to)
{
    for (uint32_t i = 0; i < r->block->gateways.n; i++) {
        struct str ns, name;
        gateway_reference_split(text_str(r->block->gateways.items[i]), r->rule->object->ns, &ns,
                                &name);
        const struct object *gateway = store_find(r->c->store, KIND_GATEWAY, ns, name);
        if (gateway && names_gateway(bound_to, r->prepared->object->ns, gateway))
            return true;
    }
    return false;
}

static void report_block(struct block_report *r)
{
    struct compiler *c = r->c;
    const struct http_match *block = r->block;
    bool names_any = block->gateways.n > 0, has_known = report_gateways(r);
    if (names_any && !has_known && !has_mesh(&block->gateways))
        return;
    for (const struct vs_binding *at = r->prepared->bindings; at; at = at->next) {
        if (vs_block_applies(c, r->rule, block, at->gateway, at->port))
            return;
    }
    const struct texts *bound_to = &r->prepared->object->virtual_service->gateways;
    bool is_for_sidecars = has_mesh(names_any ? &block->gateways : bound_to);
    const char *why = "this gateway is none of the sources that it asks for";
    if (applies_but_for_port(r))
        why = "no server that the VirtualService is bound to has its port";
    else if (names_any && !has_known)
        why = "it names no Gateway";
    else if (names_any && names_same(r, bound_to))
        return; // not served here, or not with these hosts: that has been said
    else if (names_any)
        why = "the VirtualService names none of its Gateways";
    if (is_for_sidecars)
        complain(c, DIAG_MESH_ONLY, r->object, block->line, block->col, r->path,
                 "is for sidecars (mesh) only: %s", why);
    else
        complain(c, DIAG_MATCH_NOT_APPLICABLE, r->object, block->line, block->col, r->path,
                 "never applies here: %s", why);
}

void vs_report_blocks(struct compiler *c, const struct vs_prepared *prepared)
{
    for (uint32_t i = 0; prepared->bindings && i < prepared->n_rules; i++) {
        const struct vs_rule *rule = &prepared->rules[i];
        for (uint32_t k = 0; k < rule->rule->n_match; k++) {
            const struct http_match *block = &rule->rule->match[k];
            bool asks = block->port.is_set || block->gateways.n > 0 || block->source_labels.n > 0 ||
                        block->source_namespace.len > 0;
            if (!asks || block->is_invalid)
                continue;
            struct block_report report = {
                .c = c, .prepared = prepared, .rule = rule, .block = block};
            find_writer(&report, k);
            report_block(&report);
        }
    }
}
