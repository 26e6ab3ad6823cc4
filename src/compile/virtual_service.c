// SPDX-License-Identifier: Apache-2.0
#include "compile/virtual_service.h"
#include "compile/broken.h"
#include "compile/hosts.h"

// ---- who sees it ----

enum visibility vs_visibility(const struct compiler *c, const struct object *object)
{
    const struct texts *export_to = &object->virtual_service->export_to;
    if (export_to->n == 0)
        return VISIBLE_PUBLIC;
    enum visibility best = VISIBLE_NOT;
    for (uint32_t i = 0; i < export_to->n; i++) {
        struct str name = text_str(export_to->items[i]);
        if (str_is(name, "*"))
            return VISIBLE_PUBLIC;
        if ((str_is(name, ".") || str_equal(name, object->ns)) &&
            str_equal(object->ns, c->options->ns))
            best = VISIBLE_PRIVATE;
        else if (str_equal(name, c->options->ns) && best == VISIBLE_NOT)
            best = VISIBLE_EXPORTED;
    }
    return best;
}

// ---- rules ----

struct vs_prepared *vs_prepare(struct compiler *c, const struct object *object)
{
    const struct virtual_service *vs = object->virtual_service;
    struct vs_prepared *prepared = ARENA_NEW(c->scratch, struct vs_prepared);
    prepared->object = object;
    uint32_t cap = 0;
    for (uint32_t i = 0; i < vs->n_http; i++)
        cap += delegate_count(c, object, i);
    prepared->rules = ARENA_ARRAY(c->scratch, struct vs_rule, cap + 1);
    for (uint32_t i = 0; i < vs->n_http; i++)
        delegate_expand(c, object, i, prepared->rules, &prepared->n_rules);
    return prepared;
}

static struct str route_name(struct compiler *c, const struct vs_rule *rule,
                             const struct http_match *block)
{
    struct str name = text_str(rule->rule->name);
    struct str suffix = block ? text_str(block->name) : STR_NONE;
    bool has_both = name.len > 0 && suffix.len > 0;
    return JOIN(c->arena, name, has_both ? STR(".") : STR_NONE, suffix);
}

// What earlier routes of the VirtualService take whole: literal paths without other condition.
struct covered {
    struct map *paths;           // "p<path>" or "e<path>" -> struct vs_rule
    uint64_t lengths[1024 / 64]; // of the prefixes among them
};

static const struct vs_rule *find_cover(struct compiler *c, const struct covered *covered,
                                        const struct route *route)
{
    if (route->path_kind != PATH_EXACT && route->path_kind != PATH_PREFIX_STRING)
        return NULL;
    char *key = arena_alloc(c->scratch, route->path.len + 1);
    if (route->path.len > 0)
        memcpy(key + 1, route->path.ptr, route->path.len);
    key[0] = 'e';
    const struct vs_rule *rule =
        route->path_kind == PATH_EXACT
            ? map_find(covered->paths, (struct str){key, route->path.len + 1})
            : NULL;
    key[0] = 'p';
    for (size_t len = 0; !rule && len <= route->path.len && len < 1024; len++) {
        if (covered->lengths[len / 64] >> len % 64 & 1)
            rule = map_find(covered->paths, (struct str){key, len + 1});
    }
    return rule;
}

static void cover(struct compiler *c, struct covered *covered, const struct route *route,
                  struct vs_rule *rule)
{
    bool is_prefix = route->path_kind == PATH_PREFIX_STRING;
    if ((!is_prefix && route->path_kind != PATH_EXACT) || route->n_matches > 0 ||
        route->path_ignore_case || route->path.len >= 1024)
        return;
    struct str key = JOIN(c->scratch, is_prefix ? STR("p") : STR("e"), route->path);
    if (!map_find(covered->paths, key))
        map_put(covered->paths, key, rule);
    if (is_prefix)
        covered->lengths[route->path.len / 64] |= UINT64_C(1) << route->path.len % 64;
}

static void check_cover(struct compiler *c, struct covered *covered, const struct route *route,
                        struct vs_rule *rule, const struct http_match *block, struct str path)
{
    const struct vs_rule *by = find_cover(c, covered, route);
    if (by && !route->path_ignore_case)
        complain(c, DIAG_SHADOWED_PATH, rule->object, block->line, block->col, path,
                 "\"%.*s\" is taken by %.*s (%.*s)", STR_ARG(route->path), STR_ARG(by->path),
                 STR_ARG(place_text(c, by->object, by->rule->line, by->rule->col)));
    cover(c, covered, route, rule);
}

// Adds the route of a block (NULL: of a rule without match); true: it takes every request.
static bool add_route(struct compiler *c, struct vs_routes *routes, struct vs_rule *rule,
                      const struct http_match *block, struct route *route, bool is_catch_all)
{
    uint32_t line = block ? block->line : rule->rule->line;
    uint32_t col = block ? block->col : rule->rule->col;
    route->name = route_name(c, rule, block);
    route->origin = origin_of(c, rule->object, line, col);
    routes->items[routes->n++] =
        (struct vs_route){.route = *route, .rule = rule, .is_catch_all = is_catch_all};
    rule->is_emitted = true;
    return is_catch_all;
}

static bool takes_all(const struct route *route)
{
    bool is_any = route->path_kind == PATH_ANY;
    bool is_root = route->path_kind == PATH_PREFIX_STRING &&
                   (route->path.len == 0 || str_is(route->path, "/"));
    return route->n_matches == 0 && (is_any || is_root);
}

static uint32_t count_routes(const struct vs_prepared *prepared)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < prepared->n_rules; i++)
        n += prepared->rules[i].rule->n_match > 0 ? prepared->rules[i].rule->n_match : 1;
    return n;
}

static bool rule_applies(const struct compiler *c, const struct vs_rule *rule,
                         const struct object *gateway, uint16_t port)
{
    for (uint32_t i = 0; i < rule->rule->n_match; i++) {
        if (vs_block_applies(c, rule, &rule->rule->match[i], gateway, port))
            return true;
    }
    return rule->rule->n_match == 0;
}

static void report_broken(struct compiler *c, const struct vs_rule *rule,
                          const struct http_match *block, struct str path, bool is_catch_all)
{
    complain(c, DIAG_ROUTE_INVALID, rule->object, block ? block->line : rule->rule->line,
             block ? block->col : rule->rule->col, path, "is broken, so %s answered 503",
             is_catch_all ? "every request that gets here is" : "the requests it matches are");
}

struct broken_block {
    uint32_t index;
    struct route route; // with what is sound of its conditions
    struct broken_block *next;
};

// Adds the routes of a rule's broken blocks; true: one takes every request. They are behind the
// rule's sound ones: blocks are alternatives, so what a sound one takes is meant for the same.
static bool add_broken_blocks(struct compiler *c, struct vs_routes *routes, struct vs_rule *rule,
                              struct broken_block *first)
{
    for (struct broken_block *at = first; at; at = at->next) {
        const struct http_match *block = &rule->rule->match[at->index];
        answer_broken(c, &at->route);
        bool is_catch_all = takes_all(&at->route);
        if (!rule->is_broken)
            report_broken(c, rule, block, path_item(c, rule->path, "match", at->index),
                          is_catch_all);
        rule->is_closed |= is_catch_all;
        if (add_route(c, routes, rule, block, &at->route, is_catch_all))
            return true;
    }
    return false;
}

// Adds the routes of a rule; true: it takes every request.
static bool add_rule(struct compiler *c, struct vs_routes *routes, struct vs_rule *rule,
                     const struct object *gateway, uint16_t port, struct covered *covered)
{
    struct route action = {0};
    rule->is_broken = rule->is_broken || !vs_action_build(c, rule, port, &action);
    if (rule->is_broken) {
        answer_broken(c, &action);
        rule->is_closed = rule->rule->n_match == 0;
        report_broken(c, rule, NULL, rule->path, rule->is_closed);
    }
    if (rule->rule->n_match == 0) {
        vs_action_fit_path(c, &action);
        return add_route(c, routes, rule, NULL, &action, true);
    }
    struct broken_block *broken = NULL, **end = &broken;
    for (uint32_t i = 0; i < rule->rule->n_match; i++) {
        const struct http_match *block = &rule->rule->match[i];
        if (!vs_block_applies(c, rule, block, gateway, port))
            continue;
        struct str path = path_item(c, rule->path, "match", i);
        struct route route = action;
        bool is_sound = vs_match_build(c, rule, block, path, &route) && !block->is_invalid;
        if (!is_sound) {
            *end = ARENA_NEW(c->scratch, struct broken_block);
            **end = (struct broken_block){.index = i, .route = route};
            end = &(*end)->next;
            continue;
        }
        check_cover(c, covered, &route, rule, block, path);
        vs_action_fit_path(c, &route);
        if (add_route(c, routes, rule, block, &route, vs_match_is_catch_all(block)))
            return true;
    }
    return add_broken_blocks(c, routes, rule, broken);
}

// A rule behind a closed one has no route until that is mended; what is wrong with it is said now.
static void check_rule(struct compiler *c, const struct vs_rule *rule, uint16_t port)
{
    struct route route = {0};
    if (!rule->is_broken)
        vs_action_build(c, rule, port, &route);
    for (uint32_t i = 0; i < rule->rule->n_match; i++)
        vs_match_build(c, rule, &rule->rule->match[i], path_item(c, rule->path, "match", i),
                       &route);
}

struct vs_routes *vs_routes_create(struct compiler *c, struct vs_prepared *prepared,
                                   const struct object *gateway, uint16_t port)
{
    struct vs_routes *routes = ARENA_NEW(c->scratch, struct vs_routes);
    routes->items = ARENA_ARRAY(c->scratch, struct vs_route, count_routes(prepared) + 1);
    struct covered covered = {.paths = map_create()};
    const struct vs_rule *catch_all = NULL;
    vs_bind(c, &prepared->bindings, gateway, port);
    for (uint32_t i = 0; i < prepared->n_rules; i++) {
        struct vs_rule *rule = &prepared->rules[i];
        if (!rule_applies(c, rule, gateway, port))
            continue;
        if (!catch_all) {
            if (add_rule(c, routes, rule, gateway, port, &covered))
                catch_all = rule;
            continue;
        }
        rule->cut_by = catch_all;
        if (catch_all->is_closed)
            check_rule(c, rule, port);
    }
    map_destroy(covered.paths);
    return routes;
}

// What comes behind such a rule is for other workloads.
static bool asks_for_source(const struct vs_rule *rule)
{
    for (uint32_t i = 0; i < rule->rule->n_match; i++) {
        if (rule->rule->match[i].source_labels.n > 0 ||
            rule->rule->match[i].source_namespace.len > 0)
            return true;
    }
    return false;
}

void vs_report_unreachable(struct compiler *c, const struct vs_prepared *prepared)
{
    for (uint32_t i = 0; i < prepared->n_rules; i++) {
        const struct vs_rule *rule = &prepared->rules[i], *by = rule->cut_by;
        if (!by || rule->is_emitted || by->is_closed ||
            (c->options->is_sidecar && asks_for_source(by)))
            continue;
        complain(c, DIAG_UNREACHABLE_ROUTE, rule->object, rule->rule->line, rule->rule->col,
                 rule->path, "%.*s (%.*s) takes every request before it", STR_ARG(by->path),
                 STR_ARG(place_text(c, by->object, by->rule->line, by->rule->col)));
    }
}

void vs_report_unused_delegates(struct compiler *c)
{
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_VIRTUAL_SERVICE, &n);
    bool has_hostless = false;
    for (size_t i = 0; i < n; i++)
        has_hostless |= all[i]->virtual_service->hosts.n == 0;
    if (!has_hostless)
        return;
    struct map *used = map_create();
    for (size_t i = 0; i < n; i++) {
        const struct virtual_service *vs = all[i]->virtual_service;
        for (uint32_t k = 0; k < vs->n_http; k++) {
            const struct http_delegate *delegate = &vs->http[k].delegate;
            if (!delegate->is_set)
                continue;
            struct str ns = delegate->ns.len > 0 ? text_str(delegate->ns) : all[i]->ns;
            map_put(used, JOIN(c->scratch, ns, STR("/"), text_str(delegate->name)),
                    (void *)(uintptr_t)all[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (all[i]->virtual_service->hosts.n > 0 ||
            map_find(used, JOIN(c->scratch, all[i]->ns, STR("/"), all[i]->name)))
            continue;
        complain(c, DIAG_DELEGATE_UNUSED, all[i], all[i]->name_line, all[i]->name_col,
                 STR("spec.hosts"), "has no hosts, and no rule delegates to it");
    }
    map_destroy(used);
}
