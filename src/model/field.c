// SPDX-License-Identifier: Apache-2.0
// The decoder that the tables drive. An object is decoded twice: the first run reports and
// measures, the second puts everything into one arena of exactly that size.
#include "model/field.h"
#include "base/check.h"
#include <stdio.h>

enum { FIELDS_MAX = 64 }; // of one table: the fields seen are bits

// --- where things go ---------------------------------------------------------------------------

void *reader_alloc(struct reader *reader, size_t bytes)
{
    reader->struct_bytes += (bytes + 15) & ~(size_t)15;
    return arena_zalloc(reader->arena, bytes);
}

const char *reader_copy(struct reader *reader, struct str text)
{
    reader->string_bytes += text.len + 1;
    if (reader->is_measuring)
        return text.len ? text.ptr : "";
    char *copy = reader->strings;
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    reader->strings += text.len + 1;
    return copy;
}

void set_text(struct reader *reader, struct str from, uint32_t line, uint32_t col, struct text *ret)
{
    *ret = (struct text){
        .ptr = reader_copy(reader, from),
        .len = from.len,
        .line = line < TEXT_PLACE_MAX ? line : TEXT_PLACE_MAX,
        .col = col < TEXT_PLACE_MAX ? col : TEXT_PLACE_MAX,
    };
}

// --- diagnostics -------------------------------------------------------------------------------

static void add_path(struct buf *buf, const struct step *step)
{
    if (!step)
        return;
    add_path(buf, step->parent);
    if (step->kind == STEP_INDEX) {
        buf_printf(buf, "[%u]", step->index);
    } else if (step->kind == STEP_ENTRY) {
        buf_printf(buf, "[%.*s]", STR_ARG(step->key));
    } else {
        if (buf->len)
            buf_add_char(buf, '.');
        buf_add_str(buf, step->key);
    }
}

__attribute__((format(printf, 6, 0))) static void report_message(struct reader *reader,
                                                                 enum diag_code code, uint32_t line,
                                                                 uint32_t col, const char *hint,
                                                                 const char *format, va_list args)
{
    if (diag_code_level(code) == DIAG_ERROR)
        reader->has_failed = true;
    if (!reader->diags)
        return;
    struct buf path = {0}, message = {0};
    add_path(&path, reader->step);
    buf_vprintf(&message, format, args);
    struct place place = {reader->file, line + reader->first_line - 1, col};
    struct diag *diag = diags_add(reader->diags, code, place, reader->title, buf_str(&path), "%.*s",
                                  STR_ARG(buf_str(&message)));
    if (hint)
        diag_hint(reader->diags, diag, "%s", hint);
    buf_fini(&path);
    buf_fini(&message);
}

void report(struct reader *reader, enum diag_code code, uint32_t line, uint32_t col,
            const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report_message(reader, code, line, col, hint, format, args);
    va_end(args);
}

void report_at(struct reader *reader, const char *key, enum diag_code code, uint32_t line,
               uint32_t col, const char *hint, const char *format, ...)
{
    struct step step = {.parent = reader->step, .key = str_of(key)};
    reader->step = &step;
    va_list args;
    va_start(args, format);
    report_message(reader, code, line, col, hint, format, args);
    va_end(args);
    reader->step = step.parent;
}

const struct node *field_node(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, str_of(key));
    return node && scalar_type(node) != SCALAR_NULL ? node : NULL;
}

static void report_unknown(struct reader *reader, const struct table *table,
                           const struct pair *pair)
{
    struct str keys[FIELDS_MAX];
    for (uint16_t i = 0; i < table->n_fields; i++)
        keys[i] = str_of(table->fields[i].key);
    struct str nearest = diag_nearest(pair->key, keys, table->n_fields);
    char hint[128];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    report(reader, DIAG_UNKNOWN_FIELD, pair->line, pair->col, nearest.len ? hint : NULL,
           "%s has no field \"%.*s\"", table->name, STR_ARG(pair->key));
}

// --- structs, lists, maps ----------------------------------------------------------------------

static void apply_defaults(const struct table *table, void *value)
{
    for (uint16_t i = 0; i < table->n_fields; i++) {
        const struct field *field = &table->fields[i];
        void *at = (char *)value + field->offset;
        if (field->type == FIELD_STRUCT)
            apply_defaults(field->table, at);
        else if (field->type == FIELD_FLAG)
            ((struct flag *)at)->value = field->fallback != 0;
        else if (field->type == FIELD_NUMBER)
            ((struct number *)at)->value = field->fallback;
        else if (field->type == FIELD_WORD)
            *(int *)at = (int)field->fallback;
    }
}

static void read_list(struct reader *reader, const struct field *field, const struct node *node,
                      void *value)
{
    if (!expect_type(reader, node, NODE_LIST, "a list"))
        return;
    const struct table *table = field->table;
    uint32_t n_items = node->list.n_items;
    void **items = (void **)((char *)value + field->offset);
    uint32_t *n = (uint32_t *)((char *)value + field->count_offset);
    if (n_items == 0) // an empty list keeps an address: it was given
        return;
    *items = reader_alloc(reader, (size_t)n_items * table->bytes);
    struct step step = {.parent = reader->step, .kind = STEP_INDEX};
    reader->step = &step;
    for (uint32_t i = 0; i < n_items; i++) {
        bool outer_failed = reader->has_failed;
        reader->has_failed = false;
        step.index = i;
        void *item = (char *)*items + (size_t)*n * table->bytes;
        read_struct(reader, table, node->list.items[i], item);
        bool is_dropped = reader->has_failed && (field->flags & FIELD_DROP_INVALID);
        if (is_dropped) {
            memset(item, 0, table->bytes);
            reader->has_invalid_parts = true;
            reader->has_failed = false;
        } else {
            ++*n;
        }
        reader->has_failed |= outer_failed;
    }
    reader->step = step.parent;
}

static void read_named(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    if (!expect_type(reader, node, NODE_MAP, "a map"))
        return;
    uint32_t n = node->map.n_pairs;
    size_t bytes = field->item_bytes;
    char *items = reader_alloc(reader, n * bytes);
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < n; i++) {
        const struct pair *pair = &node->map.pairs[i];
        struct text *name = (struct text *)(items + i * bytes);
        step.key = pair->key;
        set_text(reader, pair->key, pair->line, pair->col, name);
        if (field->check)
            field->check(reader, field, name);
        if (scalar_type(pair->value) == SCALAR_NULL)
            report(reader, DIAG_FIELD_VALUE, pair->line, pair->col,
                   "write {} to ask that it is present", "header match %.*s cannot be null",
                   STR_ARG(pair->key));
        else
            read_struct(reader, field->table, pair->value, items + i * bytes + field->value_offset);
    }
    reader->step = step.parent;
    *(void **)((char *)value + field->offset) = items;
    *(uint32_t *)((char *)value + field->count_offset) = n;
}

void read_texts(struct reader *reader, const struct field *field, const struct node *node,
                struct texts *ret)
{
    if (!expect_type(reader, node, NODE_LIST, "a list of strings"))
        return;
    ret->items = reader_alloc(reader, node->list.n_items * sizeof(*ret->items));
    struct step step = {.parent = reader->step, .kind = STEP_INDEX};
    reader->step = &step;
    for (uint32_t i = 0; i < node->list.n_items; i++) {
        step.index = i;
        struct text *text = &ret->items[ret->n];
        if (read_text(reader, field, node->list.items[i], text)) {
            ret->n++;
            if (field->check)
                field->check(reader, field, text);
        }
    }
    reader->step = step.parent;
}

bool read_text_map(struct reader *reader, const struct field *field, const struct node *node,
                   struct text_map *ret)
{
    if (!expect_type(reader, node, NODE_MAP, "a map of strings"))
        return false;
    bool is_right = true;
    ret->items = reader_alloc(reader, node->map.n_pairs * sizeof(*ret->items));
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < node->map.n_pairs; i++) {
        const struct pair *pair = &node->map.pairs[i];
        step.key = pair->key;
        struct text_pair *item = &ret->items[ret->n];
        set_text(reader, pair->key, pair->line, pair->col, &item->key);
        if (scalar_type(pair->value) == SCALAR_NULL) { // as the API server: an empty string
            set_text(reader, STR(""), pair->value->line, pair->value->col, &item->value);
            ret->n++;
        } else if (read_text(reader, field, pair->value, &item->value)) {
            ret->n++;
        } else {
            is_right = false;
        }
    }
    reader->step = step.parent;
    return is_right;
}

// --- one field ---------------------------------------------------------------------------------

static bool is_harmless(const struct field *field, const struct node *node)
{
    if (node->type == NODE_LIST && node->list.n_items == 0)
        return true;
    if (node->type != NODE_SCALAR || !field->harmless)
        return false;
    struct str rest = str_of(field->harmless), word;
    while (str_next(&rest, ' ', &word)) {
        if (str_equal(word, node->scalar))
            return true;
    }
    return false;
}

static void read_embedded(struct reader *reader, const struct field *field, const struct node *node,
                          void *at)
{
    bool outer_failed = reader->has_failed;
    reader->has_failed = false;
    read_struct(reader, field->table, node, at);
    if (reader->has_failed && (field->flags & FIELD_DROP_INVALID)) {
        memset(at, 0, field->table->bytes);
        reader->has_invalid_parts = true;
        reader->has_failed = false;
    }
    reader->has_failed |= outer_failed;
}

static void read_value(struct reader *reader, const struct field *field, const struct pair *pair,
                       void *value)
{
    const struct node *node = pair->value;
    void *at = (char *)value + field->offset;
    bool is_read = true;
    switch (field->type) {
    case FIELD_TEXT:
        is_read = read_text(reader, field, node, at);
        break;
    case FIELD_NUMBER:
        is_read = read_number(reader, field, node, at);
        break;
    case FIELD_FLAG:
        is_read = read_flag(reader, node, at);
        break;
    case FIELD_DURATION:
        is_read = read_duration(reader, field, node, at);
        break;
    case FIELD_WORD:
        is_read = read_word(reader, field, node, at);
        break;
    case FIELD_PORT:
        is_read = read_port_ref(reader, node, at);
        break;
    case FIELD_TEXTS: // checks each text by itself
        read_texts(reader, field, node, at);
        return;
    case FIELD_TEXT_MAP:
        is_read = read_text_map(reader, field, node, at);
        break;
    case FIELD_STRUCT:
        read_embedded(reader, field, node, at);
        break;
    case FIELD_LIST:
        read_list(reader, field, node, value);
        break;
    case FIELD_NAMED: // checks each name by itself
        read_named(reader, field, node, value);
        return;
    case FIELD_CUSTOM:
        field->read(reader, field, node, at);
        break;
    case FIELD_NOT_SERVED:
        if (!is_harmless(field, node))
            report(reader, DIAG_FIELD_NOT_SERVED, pair->line, pair->col, NULL,
                   "is not served yet: %s", field->doc);
        return;
    case FIELD_IRRELEVANT:
        return;
    }
    if (is_read && field->check)
        field->check(reader, field, at);
}

static bool is_empty(const struct node *node)
{
    switch (node->type) {
    case NODE_SCALAR:
        return node->scalar.len == 0;
    case NODE_LIST:
        return node->list.n_items == 0;
    case NODE_MAP:
        return node->map.n_pairs == 0;
    case NODE_NULL:
        return true;
    }
    return true;
}

// Its row, or n_fields. The first character decides most of the time.
static uint16_t find_field(const struct table *table, struct str key)
{
    uint16_t at = 0;
    while (at < table->n_fields && (key.len == 0 || table->fields[at].key[0] != key.ptr[0] ||
                                    !str_is(key, table->fields[at].key)))
        at++;
    return at;
}

static void read_fields(struct reader *reader, const struct table *table, const struct node *node,
                        void *value, uint64_t *ret_seen)
{
    struct step step = {.parent = reader->step};
    reader->step = &step;
    for (uint32_t i = 0; i < node->map.n_pairs; i++) {
        const struct pair *pair = &node->map.pairs[i];
        step.key = pair->key;
        uint16_t at = find_field(table, pair->key);
        if (at == table->n_fields) {
            report_unknown(reader, table, pair);
            continue;
        }
        if (scalar_type(pair->value) == SCALAR_NULL) // as if it were not there
            continue;
        if ((table->fields[at].flags & FIELD_NOT_EMPTY) && is_empty(pair->value)) {
            *ret_seen |= UINT64_C(1) << at;
            const char *why = table->fields[at].required;
            report(reader, DIAG_FIELD_REQUIRED, pair->value->line, pair->value->col, NULL, "%s",
                   why ? why : "must not be empty");
            continue;
        }
        *ret_seen |= UINT64_C(1) << at;
        read_value(reader, &table->fields[at], pair, value);
    }
    reader->step = step.parent;
}

static void check_required(struct reader *reader, const struct table *table,
                           const struct node *node, uint64_t seen)
{
    for (uint16_t i = 0; i < table->n_fields; i++) {
        const struct field *field = &table->fields[i];
        if ((field->flags & FIELD_REQUIRED) && !(seen & (UINT64_C(1) << i)))
            report_at(reader, field->key, DIAG_FIELD_REQUIRED, node->line, node->col, NULL, "%s",
                      field->required ? field->required : "is required");
    }
}

static bool *flag_at(void *value, uint16_t has)
{
    return (bool *)value + has - 1;
}

void read_struct(struct reader *reader, const struct table *table, const struct node *node,
                 void *value)
{
    CHECK(table->n_fields <= FIELDS_MAX);
    bool outer_failed = reader->has_failed;
    reader->has_failed = false;
    apply_defaults(table, value);
    if (table->has_is_set)
        *flag_at(value, table->has_is_set) = true;
    if (table->has_place)
        memcpy((char *)value + table->has_place - 1, (uint32_t[]){node->line, node->col},
               2 * sizeof(uint32_t));
    if (expect_type(reader, node, NODE_MAP, "a map")) {
        uint64_t seen = 0;
        read_fields(reader, table, node, value, &seen);
        check_required(reader, table, node, seen);
        if (table->check)
            table->check(reader, node, value);
    }
    if (reader->has_failed && table->has_is_invalid) {
        *flag_at(value, table->has_is_invalid) = true;
        reader->has_invalid_parts = true;
        reader->has_failed = false;
    }
    reader->has_failed |= outer_failed;
}
