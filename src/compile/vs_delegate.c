// SPDX-License-Identifier: Apache-2.0
// Delegates: a root rule takes over the http[] of another VirtualService. Every pair of a root's
// and a delegate's match block is merged into one that asks for both; pairs that contradict each
// other are left out. Where there is nothing to take over, the root's match is answered 503.
#include "compile/virtual_service.h"

static bool strings_conflict(const struct string_match *root, const struct string_match *leaf)
{
    if (!root->is_set || !leaf->is_set || root->kind == STRING_PRESENT)
        return false;
    struct str wanted = text_str(root->value), given = text_str(leaf->value);
    if (root->kind == STRING_REGEX || leaf->kind == STRING_REGEX)
        return true;
    if (root->kind == STRING_EXACT)
        return leaf->kind != STRING_EXACT || !str_equal(wanted, given);
    return leaf->kind == STRING_PRESENT || !str_has_prefix(given, wanted);
}

static const struct named_match *find_named(const struct named_match *items, uint32_t n,
                                            struct str name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (str_equal(text_str(items[i].name), name))
            return &items[i];
    }
    return NULL;
}

static bool named_conflict(const struct named_match *root, uint32_t n_root,
                           const struct named_match *leaf, uint32_t n_leaf)
{
    for (uint32_t i = 0; i < n_leaf; i++) {
        const struct named_match *same = find_named(root, n_root, text_str(leaf[i].name));
        // A condition without value (`{}`) is set all the same.
        struct string_match wanted = same ? same->match : (struct string_match){0};
        struct string_match given = leaf[i].match;
        wanted.is_set = same != NULL;
        given.is_set = true;
        if (strings_conflict(&wanted, &given))
            return true;
    }
    return false;
}

static bool has_text(const struct texts *texts, struct str wanted)
{
    for (uint32_t i = 0; i < texts->n; i++) {
        if (str_equal(text_str(texts->items[i]), wanted))
            return true;
    }
    return false;
}

// The field in which the two contradict each other; NULL: none.
static const char *find_conflict(const struct http_match *root, const struct http_match *leaf)
{
    if (strings_conflict(&root->uri, &leaf->uri))
        return "uri";
    if (strings_conflict(&root->scheme, &leaf->scheme))
        return "scheme";
    if (strings_conflict(&root->method, &leaf->method))
        return "method";
    if (strings_conflict(&root->authority, &leaf->authority))
        return "authority";
    if (root->ignore_uri_case.value != leaf->ignore_uri_case.value)
        return "ignoreUriCase";
    if (named_conflict(root->headers, root->n_headers, leaf->headers, leaf->n_headers))
        return "headers";
    if (named_conflict(root->without_headers, root->n_without_headers, leaf->without_headers,
                       leaf->n_without_headers))
        return "withoutHeaders";
    if (named_conflict(root->query_params, root->n_query_params, leaf->query_params,
                       leaf->n_query_params))
        return "queryParams";
    if (root->port.is_set && leaf->port.is_set && root->port.value != leaf->port.value)
        return "port";
    if (root->source_namespace.len > 0 && leaf->source_namespace.len > 0 &&
        !str_equal(text_str(root->source_namespace), text_str(leaf->source_namespace)))
        return "sourceNamespace";
    for (uint32_t i = 0; i < leaf->source_labels.n; i++) {
        const struct text *same =
            text_map_find(&root->source_labels, text_str(leaf->source_labels.items[i].key));
        if (same && !str_equal(text_str(*same), text_str(leaf->source_labels.items[i].value)))
            return "sourceLabels";
    }
    for (uint32_t i = 0; root->gateways.n > 0 && i < leaf->gateways.n; i++) {
        if (!has_text(&root->gateways, text_str(leaf->gateways.items[i])))
            return "gateways";
    }
    return NULL;
}

static struct text join_names(struct compiler *c, struct text root, struct text leaf)
{
    if (root.len == 0 || leaf.len == 0)
        return root.len == 0 ? leaf : root;
    struct str name = JOIN(c->scratch, text_str(root), STR("-"), text_str(leaf));
    struct text joined = leaf;
    joined.ptr = name.ptr;
    joined.len = name.len <= TEXT_BYTES_MAX ? (uint32_t)name.len : TEXT_BYTES_MAX;
    return joined;
}

// The root's conditions that the leaf does not repeat, then the leaf's.
static void merge_named(struct compiler *c, const struct named_match *root, uint32_t n_root,
                        struct named_match **items, uint32_t *n)
{
    if (n_root == 0)
        return;
    struct named_match *merged = ARENA_ARRAY(c->scratch, struct named_match, n_root + *n);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n_root; i++) {
        if (!find_named(*items, *n, text_str(root[i].name)))
            merged[count++] = root[i];
    }
    for (uint32_t i = 0; i < *n; i++)
        merged[count++] = (*items)[i];
    *items = merged;
    *n = count;
}

static struct http_match merge_blocks(struct compiler *c, const struct http_match *root,
                                      const struct http_match *leaf)
{
    struct http_match merged = *leaf;
    merged.name = join_names(c, root->name, leaf->name);
    merged.is_invalid |= root->is_invalid;
    if (leaf->is_invalid) // otherwise both say the same
        merged.ignore_uri_case = root->ignore_uri_case;
    if (!merged.uri.is_set)
        merged.uri = root->uri;
    if (!merged.scheme.is_set)
        merged.scheme = root->scheme;
    if (!merged.method.is_set)
        merged.method = root->method;
    if (!merged.authority.is_set)
        merged.authority = root->authority;
    if (!merged.port.is_set)
        merged.port = root->port;
    if (merged.gateways.n == 0)
        merged.gateways = root->gateways;
    if (merged.source_namespace.len == 0)
        merged.source_namespace = root->source_namespace;
    merge_named(c, root->headers, root->n_headers, &merged.headers, &merged.n_headers);
    merge_named(c, root->without_headers, root->n_without_headers, &merged.without_headers,
                &merged.n_without_headers);
    merge_named(c, root->query_params, root->n_query_params, &merged.query_params,
                &merged.n_query_params);
    uint32_t n = root->source_labels.n + leaf->source_labels.n;
    struct text_pair *labels = ARENA_ARRAY(c->scratch, struct text_pair, n + 1);
    for (uint32_t i = 0; i < n; i++)
        labels[i] = i < root->source_labels.n
                        ? root->source_labels.items[i]
                        : leaf->source_labels.items[i - root->source_labels.n];
    merged.source_labels = (struct text_map){labels, n};
    return merged;
}

// false: every pair contradicts itself, so that the rule takes nothing.
static bool merge_matches(struct compiler *c, const struct object *leaf_object, struct str path,
                          const struct http_route *root, struct http_route *leaf)
{
    if (root->n_match == 0)
        return true;
    if (leaf->n_match == 0) {
        leaf->match = root->match;
        leaf->n_match = root->n_match;
        return true;
    }
    struct http_match *merged =
        ARENA_ARRAY(c->scratch, struct http_match, root->n_match * leaf->n_match);
    uint32_t n = 0;
    for (uint32_t r = 0; r < root->n_match; r++) {
        for (uint32_t l = 0; l < leaf->n_match; l++) {
            const struct http_match *block = &leaf->match[l];
            bool is_sound = !root->match[r].is_invalid && !block->is_invalid;
            const char *conflict = is_sound ? find_conflict(&root->match[r], block) : NULL;
            if (!conflict) {
                merged[n++] = merge_blocks(c, &root->match[r], block);
                continue;
            }
            complain(c, DIAG_DELEGATE_CONFLICT, leaf_object, block->line, block->col,
                     path_of(c, "%.*s.match[%u]", STR_ARG(path), l),
                     "%s contradicts match[%u] of the root's rule", conflict, r);
        }
    }
    leaf->match = merged;
    leaf->n_match = n;
    return n > 0;
}

static void inherit(struct vs_rule *rule, struct http_route *leaf, const struct object *root_object,
                    const struct http_route *root)
{
    if (!leaf->timeout.is_set)
        leaf->timeout = root->timeout;
    if (!leaf->headers.is_set) {
        leaf->headers = root->headers;
        rule->headers_object = root_object;
    }
    if (!leaf->rewrite.is_set && !leaf->redirect.is_set && !leaf->direct_response.is_set) {
        leaf->rewrite = root->rewrite;
        rule->rewrite_object = root_object;
    }
}

static struct str delegate_ns(const struct object *root, const struct http_delegate *delegate)
{
    return delegate->ns.len > 0 ? text_str(delegate->ns) : root->ns;
}

static const struct object *find_delegate(struct compiler *c, const struct object *root,
                                          const struct http_delegate *delegate)
{
    return store_find(c->store, KIND_VIRTUAL_SERVICE, delegate_ns(root, delegate),
                      text_str(delegate->name));
}

uint32_t delegate_count(struct compiler *c, const struct object *root, uint32_t i)
{
    const struct http_route *rule = &root->virtual_service->http[i];
    if (!rule->delegate.is_set)
        return 1;
    const struct object *leaf = find_delegate(c, root, &rule->delegate);
    uint32_t n = leaf ? leaf->virtual_service->n_http : 0;
    return n > 0 ? n : 1;
}

static bool is_exported_to(const struct object *leaf, struct str ns)
{
    const struct texts *export_to = &leaf->virtual_service->export_to;
    return export_to->n == 0 || str_equal(leaf->ns, ns) || has_text(export_to, STR("*")) ||
           has_text(export_to, ns);
}

static bool check_delegate(struct compiler *c, const struct object *root, uint32_t i,
                           const struct object *leaf)
{
    const struct http_delegate *delegate = &root->virtual_service->http[i].delegate;
    struct str path = path_of(c, "spec.http[%u].delegate", i);
    if (!leaf) {
        struct str ns = delegate_ns(root, delegate);
        struct diag *diag =
            complain(c, DIAG_UNKNOWN_DELEGATE, root, delegate->line, delegate->col, path,
                     "no VirtualService %.*s/%s exists", STR_ARG(ns), delegate->name.ptr);
        hint_object(c, diag, KIND_VIRTUAL_SERVICE, ns, text_str(delegate->name), NULL);
        return false;
    }
    const struct virtual_service *vs = leaf->virtual_service;
    const char *why = NULL;
    if (vs->hosts.n > 0)
        why = "delegate virtual service must have no hosts specified";
    else if (vs->gateways.n > 0)
        why = "delegate virtual service must have no gateways specified";
    else if (vs->n_tls > 0 || vs->n_tcp > 0)
        why = "delegate virtual service must have no tls or tcp routes specified";
    else if (!is_exported_to(leaf, root->ns))
        why = "its exportTo does not include the namespace of the root";
    if (!why)
        return true;
    complain(c, DIAG_DELEGATE_INVALID, root, delegate->line, delegate->col, path, "%.*s: %s",
             STR_ARG(leaf->title), why);
    return false;
}

// What a block with a mistake asks for cannot be told, but for its port: without the rest it takes
// more. The rule itself where there is none.
static const struct http_route *with_sound_blocks(struct compiler *c, const struct http_route *rule)
{
    uint32_t n_sound = 0;
    for (uint32_t i = 0; i < rule->n_match; i++)
        n_sound += !rule->match[i].is_invalid;
    if (n_sound == rule->n_match)
        return rule;
    struct http_match *blocks = ARENA_ARRAY(c->scratch, struct http_match, rule->n_match);
    for (uint32_t i = 0; i < rule->n_match; i++) {
        const struct http_match *from = &rule->match[i];
        blocks[i] = from->is_invalid ? (struct http_match){.name = from->name,
                                                           .port = from->port,
                                                           .line = from->line,
                                                           .col = from->col,
                                                           .is_invalid = true}
                                     : *from;
    }
    struct http_route *copy = arena_copy(c->scratch, rule, sizeof *copy);
    copy->match = blocks;
    return copy;
}

void delegate_expand(struct compiler *c, const struct object *root, uint32_t i,
                     struct vs_rule *rules, uint32_t *n_rules)
{
    const struct http_route *from = with_sound_blocks(c, &root->virtual_service->http[i]);
    bool delegates = from->delegate.is_set && !from->is_invalid;
    const struct object *leaf = delegates ? find_delegate(c, root, &from->delegate) : NULL;
    bool is_delegated = delegates && check_delegate(c, root, i, leaf);
    if (!is_delegated) {
        rules[(*n_rules)++] = (struct vs_rule){.rule = from,
                                               .object = root,
                                               .headers_object = root,
                                               .rewrite_object = root,
                                               .path = path_item(c, STR("spec"), "http", i),
                                               .is_broken = from->is_invalid || delegates};
        return;
    }
    for (uint32_t k = 0; k < leaf->virtual_service->n_http; k++) {
        const struct http_route *given = with_sound_blocks(c, &leaf->virtual_service->http[k]);
        struct str path = path_item(c, STR("spec"), "http", k);
        struct http_route *merged = ARENA_NEW(c->scratch, struct http_route);
        *merged = *given;
        if (!merge_matches(c, leaf, path, from, merged))
            continue;
        merged->name = join_names(c, from->name, merged->name);
        struct vs_rule rule = {.rule = merged,
                               .object = leaf,
                               .headers_object = leaf,
                               .rewrite_object = leaf,
                               .path = path,
                               .is_broken = given->is_invalid}; // a delegate's delegate is
        inherit(&rule, merged, root, from);
        rules[(*n_rules)++] = rule;
    }
}
