// SPDX-License-Identifier: Apache-2.0
// libfyaml's events become nodes in the arena. Open maps and lists keep what they have collected on
// two shared stacks (pairs, items) and are copied to the arena, at their exact size, when they end;
// nothing here recurses, so depth costs no C stack.
#include "base/doc.h"
#include "base/check.h"
#include "base/map.h"
#include "base/scalar.h"
#include "base/utf8.h"
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// Bounds on what a document may cost. A List of 10,000 Ingresses has about a million nodes; no
// schema nests deeper than some forty levels.
enum {
    DEPTH_MAX = 128,
    NODES_MAX = 4 * 1000 * 1000,
    ALIAS_NODES_MAX = 1000 * 1000, // nodes that a reader meets again through aliases and merges
    NODE_BYTES = 64,               // a scalar longer than that weighs more than a node
    LINEAR_KEYS_MAX = 24,          // maps up to this size are searched for duplicates key by key
};

struct anchor {
    struct node *node;
    uint64_t weight; // of the nodes in it, aliases expanded
};

// What a plain `<<` is called once read: told from a quoted one by its address.
static const struct str merge_key = {"<<", 2};

struct position {
    size_t at; // byte offset
    uint32_t line, col;
};

struct frame { // a map or list that has not ended
    struct node *node;
    size_t first; // of its pairs or items on the stack
    struct pair key;
    bool has_key;      // `key` waits for its value
    struct str anchor; // its own; defined once it has ended
    uint64_t weight_before;
    struct position place;
};

struct parse {
    struct arena *arena;
    struct str text;
    struct fy_parser *parser;
    struct position position;
    size_t token_end; // of the last scalar
    struct frame frames[DEPTH_MAX];
    size_t depth;
    struct pair *pairs;
    size_t n_pairs, pairs_cap;
    struct node **items;
    size_t n_items, items_cap;
    struct map *anchors; // name to struct anchor; NULL: none yet
    uint64_t nodes, weight, alias_nodes;
    struct node *root;
    unsigned n_documents;
    bool is_complete;
    uint32_t first_line;
    struct doc_error *error;
};

__attribute__((format(printf, 4, 5))) static bool fail(struct parse *p, uint32_t line, uint32_t col,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    p->error->line = line;
    p->error->col = col;
    vsnprintf(p->error->message, sizeof(p->error->message), format, args);
    va_end(args);
    return false;
}

static void *grow(void *array, size_t *cap, size_t item_bytes)
{
    *cap = *cap ? *cap * 2 : 64;
    void *grown = realloc(array, *cap * item_bytes);
    CHECK(grown != NULL);
    return grown;
}

static size_t count_chars(const char *from, const char *end)
{
    size_t n = 0;
    for (; from < end; from++)
        n += ((unsigned char)*from & 0xc0) != 0x80;
    return n;
}

// Moves the position forward to a byte offset. Events come in the order of the text, so the whole
// document is counted through once.
static void move_to(struct position *position, struct str text, size_t at)
{
    if (at > text.len)
        at = text.len;
    while (position->at < at) {
        const char *from = text.ptr + position->at;
        const char *newline = memchr(from, '\n', at - position->at);
        if (!newline) {
            position->col += (uint32_t)count_chars(from, text.ptr + at);
            position->at = at;
            break;
        }
        position->line++;
        position->col = 1;
        position->at = (size_t)(newline - text.ptr) + 1;
    }
}

static struct node *new_node(struct parse *p, enum node_type type)
{
    struct node *node = ARENA_NEW(p->arena, struct node);
    node->type = type;
    node->line = p->position.line;
    node->col = p->position.col;
    p->nodes++;
    p->weight++;
    return node;
}

static bool is_null_text(struct str text)
{
    return text.len == 0 || str_is(text, "~") || str_is(text, "null") || str_is(text, "Null") ||
           str_is(text, "NULL");
}

static struct str token_text(struct fy_token *token)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    return text ? (struct str){text, len} : STR_NONE;
}

// "str" for !!str and its long spellings, "!" for a lone one; STR_NONE: not of the core schema.
static struct str core_tag_name(struct fy_token *token)
{
    size_t handle_len = 0, suffix_len = 0;
    const char *handle_text = fy_tag_token_handle(token, &handle_len);
    const char *suffix_text = fy_tag_token_suffix(token, &suffix_len);
    struct str handle = {handle_text, handle_text ? handle_len : 0};
    struct str suffix = {suffix_text, suffix_text ? suffix_len : 0};
    struct str prefix = STR("tag:yaml.org,2002:");
    if (str_is(handle, "!!"))
        return suffix;
    if (str_has_prefix(suffix, prefix))
        return str_from(suffix, prefix.len);
    return str_is(handle, "!") && suffix.len == 0 ? handle : STR_NONE;
}

// Tags of the core schema steer how a value reads. Others would be ignored, so they are errors.
static bool apply_tag(struct parse *p, struct node *node, struct fy_token *token)
{
    struct str name = core_tag_name(token);
    bool fits = false;
    switch (node->type) {
    case NODE_MAP:
        fits = str_is(name, "map");
        break;
    case NODE_LIST:
        fits = str_is(name, "seq");
        break;
    case NODE_NULL:
    case NODE_SCALAR:
        if (str_is(name, "str") || str_is(name, "!")) {
            node->type = NODE_SCALAR;
            node->is_quoted = true;
            fits = true;
        } else if (str_is(name, "null")) {
            fits = is_null_text(node->scalar);
            node->type = NODE_NULL;
        } else if (str_is(name, "int") || str_is(name, "float") || str_is(name, "bool")) {
            fits = node->type == NODE_SCALAR;
            node->is_quoted = false;
        }
        break;
    }
    struct str text = name.len > 1 ? name : token_text(token); // "!" is a name as well
    return fits || fail(p, node->line, node->col, "the tag \"%s%.*s\" has no meaning here",
                        name.len > 1 ? "!!" : "", STR_ARG(str_upto(text, 80)));
}

static void define_anchor(struct parse *p, struct str name, struct node *node, uint64_t weight)
{
    struct anchor *anchor = ARENA_NEW(p->arena, struct anchor);
    *anchor = (struct anchor){node, weight};
    if (!p->anchors)
        p->anchors = map_create();
    map_put(p->anchors, name, anchor); // set anew, the last one counts
}

// Hands a complete node to the map or list around it.
static bool add_node(struct parse *p, struct node *node, struct position place)
{
    if (p->nodes > NODES_MAX)
        return fail(p, place.line, place.col, "the document has more than %d values", NODES_MAX);
    if (p->depth == 0) {
        p->root = node;
        return true;
    }
    struct frame *frame = &p->frames[p->depth - 1];
    if (frame->node->type == NODE_LIST) {
        if (p->n_items == p->items_cap)
            p->items = grow(p->items, &p->items_cap, sizeof(*p->items));
        p->items[p->n_items++] = node;
        return true;
    }
    if (frame->has_key && !frame->key.key.ptr)
        return fail(p, place.line, place.col, "a key is missing before \":\"");
    if (frame->has_key) {
        frame->key.value = node;
        frame->has_key = false;
        if (p->n_pairs == p->pairs_cap)
            p->pairs = grow(p->pairs, &p->pairs_cap, sizeof(*p->pairs));
        p->pairs[p->n_pairs++] = frame->key;
        return true;
    }
    if (node->type == NODE_MAP || node->type == NODE_LIST)
        return fail(p, place.line, place.col, "a key must be a string, not a %s",
                    node->type == NODE_MAP ? "map" : "list");
    frame->key = (struct pair){.key = node->scalar, .line = place.line, .col = place.col};
    // A quoted "<<" is a key like any other; the merge is told apart by a pointer of its own.
    if (!node->is_quoted && str_is(node->scalar, "<<"))
        frame->key.key = merge_key;
    // An empty key has no place; its value, which comes next, has one to report.
    if (!node->is_quoted && node->scalar.len == 0)
        frame->key.key = STR_NONE;
    frame->has_key = true;
    return true;
}

static bool on_alias(struct parse *p, struct fy_event *event)
{
    struct position place = p->position;
    struct str name = token_text(event->alias.anchor);
    const struct anchor *anchor = p->anchors ? map_find(p->anchors, name) : NULL;
    if (!anchor)
        return fail(p, place.line, place.col, "there is no anchor \"%.*s\" before this alias",
                    STR_ARG(str_upto(name, 80)));
    p->weight += anchor->weight;
    p->alias_nodes += anchor->weight;
    if (p->alias_nodes > ALIAS_NODES_MAX)
        return fail(p, place.line, place.col, "aliases stand for more than %d values",
                    ALIAS_NODES_MAX);
    return add_node(p, anchor->node, place);
}

static bool is_quoted_style(enum fy_scalar_style style)
{
    return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static size_t length_to_blank(struct str text)
{
    size_t len = 0;
    while (len < text.len && !memchr(" \t\r\n", text.ptr[len], 4))
        len++;
    return len;
}

static struct str quoted_text(struct parse *p, struct str raw, bool is_double)
{
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '\n' || c == '\r' || c == (is_double ? '\\' : '\''))
            return scalar_unquote(p->arena, raw, is_double);
    }
    return arena_str(p->arena, raw);
}

// The indentation of the map or list around, as the events show it.
static size_t indent_around(const struct parse *p)
{
    if (p->depth == 0)
        return 0;
    const struct frame *frame = &p->frames[p->depth - 1];
    return (frame->node->type == NODE_MAP ? frame->key.col : frame->place.col) - 1;
}

// `start` is where the line behind the header begins.
static struct block_header read_block_header(const struct parse *p, size_t start, bool is_folded)
{
    struct block_header header = {.is_folded = is_folded};
    size_t at = start;
    while (at > 0 && (at == start || p->text.ptr[at - 1] != '\n'))
        at--;
    // In the header's line nothing but dashes, tags and anchors stand between the key, if it has
    // one, and the indicator.
    if (at < p->token_end)
        at = p->token_end;
    while (at < start && p->text.ptr[at] != (is_folded ? '>' : '|'))
        at += p->text.ptr[at] == '!' || p->text.ptr[at] == '&'
                  ? length_to_blank(str_from(p->text, at))
                  : 1;
    for (at++; at < start; at++) {
        char c = p->text.ptr[at];
        if (c == '-' || c == '+')
            header.chomping = c;
        else if (c >= '1' && c <= '9')
            header.indent = indent_around(p) + (size_t)(c - '0');
        else
            break;
    }
    return header;
}

static struct str block_text(struct parse *p, size_t start, size_t end, bool is_folded)
{
    struct block_header header = read_block_header(p, start, is_folded);
    // Empty lines at the end count (with "+"), wherever the mark is.
    for (size_t at = end; at < p->text.len; at++) {
        char c = p->text.ptr[at];
        if (c == '\n')
            end = at + 1;
        else if (c != ' ' && c != '\r')
            break;
    }
    // The indentation of the next key is no line of its own.
    while (end > start && p->text.ptr[end - 1] == ' ')
        end--;
    return scalar_unfold(p->arena, str_upto(str_from(p->text, start), end - start), header);
}

static struct str scalar_text(struct parse *p, struct fy_token *token, enum fy_scalar_style style)
{
    if (style == FYSS_PLAIN || style == FYSS_ANY)
        return arena_str(p->arena, token_text(token));
    size_t start = fy_token_start_mark(token)->input_pos;
    size_t end = fy_token_end_mark(token)->input_pos;
    if (is_quoted_style(style))
        return quoted_text(p, str_upto(str_from(p->text, start), end - start),
                           style == FYSS_DOUBLE_QUOTED);
    return block_text(p, start, end, style == FYSS_FOLDED);
}

static bool on_scalar(struct parse *p, struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    struct node *node = new_node(p, NODE_SCALAR);
    enum fy_scalar_style style = token ? fy_scalar_token_get_style(token) : FYSS_PLAIN;
    node->scalar = scalar_text(p, token, style);
    node->is_quoted = style != FYSS_PLAIN;
    p->weight += node->scalar.len / NODE_BYTES;
    if (!node->is_quoted && is_null_text(node->scalar))
        node->type = NODE_NULL; // the text stays, for it may turn out to be a key
    if (event->scalar.tag && !apply_tag(p, node, event->scalar.tag))
        return false;
    if (event->scalar.anchor)
        define_anchor(p, arena_str(p->arena, token_text(event->scalar.anchor)), node,
                      1 + node->scalar.len / NODE_BYTES);
    return add_node(p, node, p->position);
}

static bool on_start(struct parse *p, enum node_type type, struct fy_token *anchor,
                     struct fy_token *tag)
{
    if (p->depth == DEPTH_MAX)
        return fail(p, p->position.line, p->position.col, "nested more than %d levels deep",
                    DEPTH_MAX);
    uint64_t weight_before = p->weight;
    struct node *node = new_node(p, type);
    if (tag && !apply_tag(p, node, tag))
        return false;
    p->frames[p->depth++] = (struct frame){
        .node = node,
        .first = type == NODE_MAP ? p->n_pairs : p->n_items,
        .anchor = anchor ? arena_str(p->arena, token_text(anchor)) : STR_NONE,
        .weight_before = weight_before,
        .place = p->position,
    };
    return true;
}

static bool report_duplicate(struct parse *p, const struct pair *first, const struct pair *second)
{
    return fail(p, second->line, second->col, "the key \"%.*s\" was already given in line %u",
                STR_ARG(str_upto(second->key, 80)), first->line);
}

static bool check_keys(struct parse *p, struct pair *pairs, size_t n)
{
    if (n <= LINEAR_KEYS_MAX) {
        for (size_t i = 1; i < n; i++) {
            for (size_t j = 0; j < i; j++) {
                if (str_equal(pairs[i].key, pairs[j].key))
                    return report_duplicate(p, &pairs[j], &pairs[i]);
            }
        }
        return true;
    }
    const struct pair *first = NULL, *second = NULL;
    struct map *seen = map_create();
    for (size_t i = 0; i < n && !first; i++) {
        first = map_put(seen, pairs[i].key, &pairs[i]);
        second = &pairs[i];
    }
    map_destroy(seen);
    return !first || report_duplicate(p, first, second);
}

// Adds to the pairs on top of the stack (from `base` on) those of `from` whose key is not there.
static bool merge_map(struct parse *p, size_t base, const struct node *from,
                      const struct pair *merge)
{
    if (from->type != NODE_MAP)
        return fail(p, merge->line, merge->col, "\"<<\" takes a map or a list of maps");
    p->alias_nodes += from->map.n_pairs;
    if (p->alias_nodes > ALIAS_NODES_MAX)
        return fail(p, merge->line, merge->col, "merges stand for more than %d values",
                    ALIAS_NODES_MAX);
    struct map *seen = map_create();
    for (size_t i = base; i < p->n_pairs; i++)
        map_put(seen, p->pairs[i].key, &p->pairs[i]);
    for (uint32_t i = 0; i < from->map.n_pairs; i++) {
        if (map_find(seen, from->map.pairs[i].key))
            continue;
        if (p->n_pairs == p->pairs_cap)
            p->pairs = grow(p->pairs, &p->pairs_cap, sizeof(*p->pairs));
        p->pairs[p->n_pairs++] = from->map.pairs[i];
    }
    map_destroy(seen);
    return true;
}

// Replaces a plain `<<` by what it stands for: explicit keys win, then the earlier map of a list
// (yaml.org/type/merge).
static bool apply_merge(struct parse *p, size_t base)
{
    size_t at = base;
    while (at < p->n_pairs && p->pairs[at].key.ptr != merge_key.ptr)
        at++;
    if (at == p->n_pairs)
        return true;
    struct pair merge = p->pairs[at];
    memmove(&p->pairs[at], &p->pairs[at + 1], (p->n_pairs - at - 1) * sizeof(struct pair));
    p->n_pairs--;
    if (merge.value->type != NODE_LIST)
        return merge_map(p, base, merge.value, &merge);
    for (uint32_t i = 0; i < merge.value->list.n_items; i++) {
        if (!merge_map(p, base, merge.value->list.items[i], &merge))
            return false;
    }
    return true;
}

static bool on_end(struct parse *p)
{
    struct frame *frame = &p->frames[--p->depth];
    struct node *node = frame->node;
    size_t first = frame->first;
    if (node->type == NODE_MAP) {
        if (p->n_pairs > first) {
            node->line = p->pairs[first].line;
            node->col = p->pairs[first].col;
        }
        if (!check_keys(p, p->pairs + first, p->n_pairs - first) || !apply_merge(p, first))
            return false;
        size_t n = p->n_pairs - first;
        node->map.n_pairs = (uint32_t)n;
        node->map.pairs =
            n ? arena_copy(p->arena, p->pairs + first, n * sizeof(struct pair)) : NULL;
        p->n_pairs = first;
    } else {
        size_t n = p->n_items - first;
        node->list.n_items = (uint32_t)n;
        node->list.items =
            n ? arena_copy(p->arena, p->items + first, n * sizeof(struct node *)) : NULL;
        p->n_items = first;
    }
    if (frame->anchor.len)
        define_anchor(p, frame->anchor, node, p->weight - frame->weight_before);
    return add_node(p, node, frame->place);
}

static bool on_event(struct parse *p, struct fy_event *event)
{
    // The end of a block collection is marked behind the key that follows it, and an event without
    // a token of its own stands where the last one did.
    bool is_end = event->type == FYET_MAPPING_END || event->type == FYET_SEQUENCE_END;
    const struct fy_mark *mark = is_end ? NULL : fy_event_start_mark(event);
    if (mark) {
        size_t at = mark->input_pos;
        if (event->type == FYET_SCALAR && at > 0 &&
            is_quoted_style(fy_scalar_token_get_style(event->scalar.value)))
            at--; // the mark is behind the quote
        move_to(&p->position, p->text, at);
    }
    switch (event->type) {
    case FYET_DOCUMENT_START:
        return ++p->n_documents == 1 || fail(p, p->position.line, p->position.col,
                                             "a second document begins without \"---\"");
    case FYET_MAPPING_START:
        return on_start(p, NODE_MAP, event->mapping_start.anchor, event->mapping_start.tag);
    case FYET_SEQUENCE_START:
        return on_start(p, NODE_LIST, event->sequence_start.anchor, event->sequence_start.tag);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return on_end(p);
    case FYET_SCALAR:
        return on_scalar(p, event);
    case FYET_ALIAS:
        return on_alias(p, event);
    case FYET_STREAM_END:
        p->is_complete = true;
        return true;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_DOCUMENT_END:
        return true;
    }
    return true;
}

static void discard_output(struct fy_diag *diag, void *user, const char *text, size_t len)
{
}

// Collects messages, prints none.
static struct fy_diag *create_collector(void)
{
    struct fy_diag_cfg config;
    fy_diag_cfg_default(&config);
    config.fp = NULL;
    config.output_fn = discard_output;
    config.colorize = config.show_source = false;
    struct fy_diag *diag = fy_diag_create(&config);
    CHECK(diag != NULL);
    fy_diag_set_collect_errors(diag, true);
    return diag;
}

// Turns the parser's first message into ours.
static bool explain(struct parse *p, struct fy_diag *diag)
{
    void *cursor = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    if (!error)
        return fail(p, p->position.line, p->position.col, "not valid YAML or JSON");
    const struct fy_mark *mark = error->fyt ? fy_token_start_mark(error->fyt) : NULL;
    if (!mark)
        return fail(p, p->position.line, p->position.col, "%s", error->msg);
    struct position place = {.line = p->first_line, .col = 1};
    move_to(&place, p->text, mark->input_pos);
    return fail(p, place.line, place.col, "%s", error->msg);
}

static bool run(struct parse *p)
{
    struct fy_diag *diag = create_collector();
    const struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_DISABLE_DEPTH_LIMIT,
                                        .diag = diag};
    p->parser = fy_parser_create(&config);
    CHECK(p->parser != NULL);
    CHECK(fy_parser_set_string(p->parser, p->text.ptr, p->text.len) == 0);
    bool is_ok = true;
    struct fy_event *event;
    while (is_ok && (event = fy_parser_parse(p->parser))) {
        is_ok = on_event(p, event);
        if (event->type == FYET_SCALAR && event->scalar.value)
            p->token_end = fy_token_end_mark(event->scalar.value)->input_pos;
        fy_parser_event_free(p->parser, event);
    }
    if (is_ok && !p->is_complete)
        is_ok = explain(p, diag);
    fy_parser_destroy(p->parser);
    fy_diag_destroy(diag);
    return is_ok;
}

// libfyaml takes a NUL or a byte that is not UTF-8 for the end of the text, and what follows would
// be lost without a word.
static bool check_characters(struct parse *p)
{
    for (size_t i = 0; i < p->text.len;) {
        unsigned char c = (unsigned char)p->text.ptr[i];
        if (c >= 0x20 && c < 0x7f) {
            i++;
            continue;
        }
        size_t len = utf8_len(str_from(p->text, i));
        bool is_lone_cr = c == '\r' && !(i + 1 < p->text.len && p->text.ptr[i + 1] == '\n');
        if (is_lone_cr) { // a line break to YAML and to no editor: lines would be miscounted
            move_to(&p->position, p->text, i);
            return fail(p, p->position.line, p->position.col,
                        "a carriage return without a line feed");
        }
        if (len > 1 || c == '\n' || c == '\t' || c == '\r') {
            i += len;
            continue;
        }
        move_to(&p->position, p->text, i);
        const char *what = len == 0 ? "is not UTF-8" : "is a control character";
        return fail(p, p->position.line, p->position.col, "the byte 0x%02x %s", c, what);
    }
    return true;
}

static const unsigned char byte_order_mark[] = {0xef, 0xbb, 0xbf};

bool doc_parse(struct arena *arena, struct str text, uint32_t first_line, struct node **ret_root,
               struct doc_error *reterr_error)
{
    if (str_has_prefix(text, (struct str){(const char *)byte_order_mark, sizeof(byte_order_mark)}))
        text = str_from(text, sizeof(byte_order_mark));
    *ret_root = NULL;
    if (text.len == 0)
        return true;
    struct parse p = {
        .arena = arena,
        .text = text,
        .position = {.line = first_line, .col = 1},
        .first_line = first_line,
        .error = reterr_error,
    };
    bool is_ok = check_characters(&p) && run(&p);
    map_destroy(p.anchors);
    free(p.pairs);
    free(p.items);
    if (is_ok && p.root && p.root->type != NODE_NULL)
        *ret_root = p.root;
    return is_ok;
}

// The rest of a line whose first three characters make it a marker (YAML 1.2.2, 9.1.2).
static bool is_marker(struct str line, const char *marker)
{
    return str_has_prefix(line, str_of(marker)) &&
           (line.len == 3 || memchr(" \t\r\n", line.ptr[3], 4) != NULL);
}

bool doc_split(struct str stream, size_t *cursor, uint32_t *line, struct str *ret_part,
               uint32_t *ret_line)
{
    size_t start = *cursor, at = start;
    bool has_directive = false, has_content = false;
    if (start >= stream.len)
        return false;
    *ret_line = *line;
    while (at < stream.len) {
        const char *newline = memchr(stream.ptr + at, '\n', stream.len - at);
        size_t end = newline ? (size_t)(newline - stream.ptr) + 1 : stream.len;
        struct str text = {stream.ptr + at, end - at};
        bool is_start = is_marker(text, "---");
        // Directives belong to the document whose `---` follows them.
        if (is_start && at > start && !(has_directive && !has_content))
            break;
        char first = text.ptr[0];
        has_directive |= first == '%' && !has_content;
        has_content |= is_start || !(first == '%' || first == '#' || str_trim(text).len == 0);
        at = end;
        *line += newline != NULL;
        if (is_marker(text, "..."))
            break;
    }
    *cursor = at;
    *ret_part = (struct str){stream.ptr + start, at - start};
    return true;
}

const struct node *node_get(const struct node *map, struct str key)
{
    if (!map || map->type != NODE_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->map.n_pairs; i++) {
        if (str_equal(map->map.pairs[i].key, key))
            return map->map.pairs[i].value;
    }
    return NULL;
}
