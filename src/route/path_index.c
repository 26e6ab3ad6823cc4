// SPDX-License-Identifier: Apache-2.0
#include "route/path_index.h"
#include "base/check.h"
#include "route/regex_prefix.h"
#include <stdlib.h>

// A route at the place in the tree where its text ends.
struct rule {
    const struct route *route;
    uint32_t rank;
    uint8_t kind; // enum path_kind
    bool has_matches;
};

enum { NEAR_LABEL_MAX = 6 };

struct node {          // half a cache line
    uint32_t rank_min; // of all the rules here and below
    uint32_t first_rule, n_rules;
    uint32_t first_child; // the children are neighbours
    uint32_t label_len;   // bytes between the one that led here and the rules
    uint32_t label;       // where in `labels`, unless it fits in here:
    char near_label[NEAR_LABEL_MAX];
    uint16_t n_children;
};
_Static_assert(sizeof(struct node) == 32, "two nodes a cache line");

struct tree {
    const struct node *nodes;  // [0] is the root; parents before children, level by level
    const unsigned char *lead; // by node: the byte that leads to it from its parent
    const char *labels;
    const struct rule *rules; // by text, then rank
    uint32_t n_nodes;
};

struct path_index {
    struct tree plain, folded;
    const struct rule *others; // PATH_ANY and expressions that begin with nothing literal, by rank
    uint32_t n_others;
};

// ---- building ----

struct entry { // a rule on its way into a tree
    struct str text;
    const struct route *route;
};

struct range { // the entries that end at or below a node, and how much of their text lies above it
    uint32_t from, to;
    size_t depth;
};

struct tree_builder {
    struct arena *arena;
    struct entry *entries; // sorted
    struct node *nodes;
    struct range *ranges; // by node
    unsigned char *lead;
    uint32_t n_nodes;
    struct buf labels;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = str_compare(x->text, y->text);
    if (order)
        return order;
    return (x->route->rank > y->route->rank) - (x->route->rank < y->route->rank);
}

static size_t common_prefix(struct str a, struct str b, size_t from)
{
    size_t n = a.len < b.len ? a.len : b.len;
    while (from < n && a.ptr[from] == b.ptr[from])
        from++;
    return from;
}

static void set_label(struct tree_builder *builder, struct node *node, struct str label)
{
    node->label_len = (uint32_t)label.len;
    if (label.len == 0)
        return;
    if (label.len <= NEAR_LABEL_MAX) {
        memcpy(node->near_label, label.ptr, label.len);
        return;
    }
    node->label = (uint32_t)builder->labels.len;
    buf_add_str(&builder->labels, label);
    CHECK(builder->labels.len <= UINT32_MAX);
}

static void add_node(struct tree_builder *builder, struct range range, unsigned char lead)
{
    uint32_t at = builder->n_nodes++;
    builder->nodes[at] = (struct node){.rank_min = UINT32_MAX};
    builder->ranges[at] = range;
    builder->lead[at] = lead;
}

// Fills in a node from its range and adds its children behind all nodes there are.
static void split_node(struct tree_builder *builder, uint32_t at)
{
    struct node *node = &builder->nodes[at];
    struct range range = builder->ranges[at];
    const struct entry *entries = builder->entries;
    for (uint32_t i = range.from; i < range.to; i++) {
        if (entries[i].route->rank < node->rank_min)
            node->rank_min = entries[i].route->rank;
    }
    // Sorted: what the first and the last have in common, all have.
    struct str first = entries[range.from].text;
    size_t end = common_prefix(first, entries[range.to - 1].text, range.depth);
    set_label(builder, node, (struct str){first.ptr + range.depth, end - range.depth});
    uint32_t i = range.from;
    while (i < range.to && entries[i].text.len == end)
        i++;
    node->first_rule = range.from;
    node->n_rules = i - range.from;
    node->first_child = builder->n_nodes;
    while (i < range.to) {
        unsigned char lead = (unsigned char)entries[i].text.ptr[end];
        uint32_t from = i;
        while (i < range.to && (unsigned char)entries[i].text.ptr[end] == lead)
            i++;
        add_node(builder, (struct range){from, i, end + 1}, lead);
        node->n_children++;
    }
}

static struct rule *rules_of(struct arena *arena, const struct entry *entries, uint32_t n)
{
    struct rule *rules = ARENA_ARRAY(arena, struct rule, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct route *route = entries[i].route;
        rules[i] = (struct rule){route, route->rank, route->path_kind, route->n_matches > 0};
    }
    return rules;
}

static void build_tree(struct tree *tree, struct arena *arena, struct entry *entries, uint32_t n)
{
    if (n == 0)
        return;
    qsort(entries, n, sizeof(*entries), compare_entries);
    // Each node but the root has a rule or at least two children: never more than 2n + 1.
    size_t nodes_max = 2 * (size_t)n + 1;
    struct tree_builder builder = {.arena = arena, .entries = entries};
    builder.nodes = malloc(nodes_max * sizeof(*builder.nodes));
    builder.ranges = malloc(nodes_max * sizeof(*builder.ranges));
    builder.lead = malloc(nodes_max);
    CHECK(builder.nodes && builder.ranges && builder.lead);
    add_node(&builder, (struct range){0, n, 0}, 0);
    for (uint32_t at = 0; at < builder.n_nodes; at++)
        split_node(&builder, at);
    CHECK(builder.n_nodes <= nodes_max);

    size_t bytes = builder.n_nodes * sizeof(struct node);
    char *aligned = arena_alloc(arena, bytes + sizeof(struct node));
    aligned += -(uintptr_t)aligned % sizeof(struct node);
    tree->nodes = memcpy(aligned, builder.nodes, bytes);
    tree->n_nodes = builder.n_nodes;
    tree->lead = arena_copy(arena, builder.lead, builder.n_nodes);
    tree->labels = arena_copy(arena, builder.labels.data, builder.labels.len);
    tree->rules = rules_of(arena, entries, n);
    free(builder.nodes);
    free(builder.ranges);
    free(builder.lead);
    buf_fini(&builder.labels);
}

static struct str fold(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.len);
    for (size_t i = 0; i < text.len; i++)
        out[i] = ascii_lower(text.ptr[i]);
    return (struct str){out, text.len};
}

// The tree of this route, and the text it stands under; neither: the list.
enum place { IN_PLAIN, IN_FOLDED, IN_OTHERS };

static enum place place_of(const struct route *route, struct arena *scratch, struct str *ret_text)
{
    struct str text = route->path;
    bool ignores_case = route->path_ignore_case;
    if (route->path_kind == PATH_ANY)
        return IN_OTHERS;
    if (route->path_kind == PATH_REGEX) {
        text = regex_literal_prefix(route->path_regex, scratch);
        if (text.len == 0)
            return IN_OTHERS;
        ignores_case = regex_flags(route->path_regex) & REGEX_IGNORE_CASE;
    }
    *ret_text = ignores_case ? fold(scratch, text) : text;
    return ignores_case ? IN_FOLDED : IN_PLAIN;
}

const struct path_index *path_index_build(struct arena *arena, const struct route *const *routes,
                                          uint32_t n)
{
    struct arena *scratch = arena_create(0);
    struct entry *entries[IN_OTHERS + 1];
    uint32_t counts[IN_OTHERS + 1] = {0};
    for (int place = 0; place <= IN_OTHERS; place++)
        entries[place] = ARENA_ARRAY(scratch, struct entry, n);
    for (uint32_t i = 0; i < n; i++) {
        struct str text = STR_NONE;
        enum place place = place_of(routes[i], scratch, &text);
        entries[place][counts[place]++] = (struct entry){text, routes[i]};
    }
    struct path_index *index = ARENA_NEW(arena, struct path_index);
    build_tree(&index->plain, arena, entries[IN_PLAIN], counts[IN_PLAIN]);
    build_tree(&index->folded, arena, entries[IN_FOLDED], counts[IN_FOLDED]);
    index->others = rules_of(arena, entries[IN_OTHERS], counts[IN_OTHERS]);
    index->n_others = counts[IN_OTHERS];
    arena_destroy(scratch);
    return index;
}

// ---- finding ----

struct search {
    const struct request_view *request;
    const struct route *best;
    uint32_t rank; // of the best; UINT32_MAX: none yet
};

static inline bool same_bytes(const char *label, const char *text, size_t len, bool folds)
{
    if (!folds && len > NEAR_LABEL_MAX)
        return memcmp(label, text, len) == 0;
    for (size_t i = 0; i < len; i++) {
        if (label[i] != (folds ? ascii_lower(text[i]) : text[i]))
            return false;
    }
    return true;
}

// The literal text of the rule is the first `at` bytes of the path: is that enough?
static inline bool rule_ends_at(const struct rule *rule, struct str path, size_t at)
{
    switch ((enum path_kind)rule->kind) {
    case PATH_EXACT:
        return at == path.len;
    case PATH_PREFIX_STRING:
    case PATH_ANY:
        return true;
    case PATH_PREFIX_SEGMENT:
        return at == path.len || path.ptr[at] == '/';
    case PATH_REGEX:
        return regex_finds(rule->route->path_regex, path);
    }
    return false;
}

static inline void try_rules(struct search *search, const struct rule *rules, uint32_t n, size_t at)
{
    for (uint32_t i = 0; i < n && rules[i].rank < search->rank; i++) {
        const struct rule *rule = &rules[i];
        // An expression costs more than the conditions: it comes last.
        if (rule->kind == PATH_REGEX
                ? route_matches_fit(rule->route, search->request) &&
                      rule_ends_at(rule, search->request->path, at)
                : rule_ends_at(rule, search->request->path, at) &&
                      (!rule->has_matches || route_matches_fit(rule->route, search->request))) {
            search->best = rule->route;
            search->rank = rule->rank;
            return; // the rest has higher ranks
        }
    }
}

static inline __attribute__((always_inline)) void walk(struct search *search,
                                                       const struct tree *tree, bool folds)
{
    if (tree->n_nodes == 0)
        return;
    struct str path = search->request->path;
    size_t at = 0;
    const struct node *node = tree->nodes;
    while (node->rank_min < search->rank) {
        const char *label =
            node->label_len <= NEAR_LABEL_MAX ? node->near_label : tree->labels + node->label;
        if (path.len - at < node->label_len ||
            !same_bytes(label, path.ptr + at, node->label_len, folds))
            return;
        at += node->label_len;
        try_rules(search, tree->rules + node->first_rule, node->n_rules, at);
        if (at == path.len)
            return;
        unsigned char next = (unsigned char)(folds ? ascii_lower(path.ptr[at]) : path.ptr[at]);
        const unsigned char *lead = tree->lead + node->first_child;
        unsigned i = 0, n = node->n_children;
        while (i < n && lead[i] != next)
            i++;
        if (i == n)
            return;
        node = tree->nodes + node->first_child + i;
        at++;
    }
}

const struct route *path_index_find(const struct path_index *index,
                                    const struct request_view *request)
{
    struct search search = {.request = request, .rank = UINT32_MAX};
    walk(&search, &index->plain, false);
    walk(&search, &index->folded, true);
    try_rules(&search, index->others, index->n_others, 0);
    return search.best;
}

bool route_path_fits(const struct route *route, struct str path)
{
    struct str text = route->path;
    bool is_prefix = route->path_ignore_case ? str_equal_nocase(str_upto(path, text.len), text)
                                             : str_has_prefix(path, text);
    switch ((enum path_kind)route->path_kind) {
    case PATH_ANY:
        return true;
    case PATH_EXACT:
        return is_prefix && path.len == text.len;
    case PATH_PREFIX_STRING:
        return is_prefix;
    case PATH_PREFIX_SEGMENT:
        return is_prefix && (path.len == text.len || path.ptr[text.len] == '/');
    case PATH_REGEX:
        return regex_finds(route->path_regex, path);
    }
    return false;
}

bool route_matches_fit(const struct route *route, const struct request_view *request)
{
    for (uint32_t i = 0; i < route->n_matches; i++) {
        if (!route->matches[i].type->eval(&route->matches[i], request))
            return false;
    }
    return true;
}
