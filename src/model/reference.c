// SPDX-License-Identifier: Apache-2.0
// The reference page of a kind, printed from its tables.
#include "model/decode.h"
#include "model/metadata.h"
#include <stdio.h>

enum { PATH_BYTES_MAX = 256 };

static const char *type_name(const struct field *field)
{
    switch (field->type) {
    case FIELD_TEXT:
        return "string";
    case FIELD_NUMBER:
        return "integer";
    case FIELD_FLAG:
        return "boolean";
    case FIELD_DURATION:
        return "duration";
    case FIELD_WORD:
        return "one of";
    case FIELD_PORT:
        return "integer or string";
    case FIELD_TEXTS:
        return "list of strings";
    case FIELD_TEXT_MAP:
        return "map of strings";
    case FIELD_STRUCT:
        return "object";
    case FIELD_LIST:
        return "list";
    case FIELD_NAMED:
        return "map";
    case FIELD_CUSTOM:
        return field->words ? "one of" : field->table ? "list" : field->max ? "integer" : "string";
    case FIELD_NOT_SERVED:
        return "not served";
    case FIELD_IRRELEVANT:
        return "no effect here";
    }
    return "";
}

static void add_allowed(struct buf *out, const struct field *field)
{
    const char *separator = " ";
    for (const struct word *word = field->words; word && word->word; word++) {
        buf_printf(out, "%s`%s`", separator, word->word);
        separator = ", ";
    }
    if (field->max)
        buf_printf(out, ", %lld to %lld", (long long)field->min, (long long)field->max);
    if (field->flags & FIELD_REQUIRED)
        buf_add_text(out, ", **required**");
    for (const struct word *word = field->words; word && word->word; word++) {
        bool is_default = word->value == field->fallback && field->type == FIELD_WORD &&
                          !(field->flags & FIELD_REQUIRED);
        if (is_default) {
            buf_printf(out, "; default `%s`", word->word);
            break;
        }
    }
    if (field->type == FIELD_NUMBER && field->fallback)
        buf_printf(out, "; default %lld", (long long)field->fallback);
    if (field->type == FIELD_FLAG)
        buf_printf(out, "; default %s", field->fallback ? "true" : "false");
}

static bool is_root_field(const struct field *field)
{
    static const struct field root[] = {ROOT_FIELDS};
    for (size_t i = 0; i < sizeof(root) / sizeof(root[0]); i++) {
        if (str_is(str_of(field->key), root[i].key))
            return true;
    }
    return false;
}

// Rows of what we act on, fields below fields by their paths.
static void add_served(struct buf *out, const struct table *table, const char *path)
{
    for (uint16_t i = 0; i < table->n_fields; i++) {
        const struct field *field = &table->fields[i];
        bool is_other = field->type == FIELD_NOT_SERVED || field->type == FIELD_IRRELEVANT;
        if (is_other || (!*path && is_root_field(field)))
            continue;
        bool is_list = field->type == FIELD_LIST || field->type == FIELD_TEXTS ||
                       (field->type == FIELD_CUSTOM && field->table);
        char below[PATH_BYTES_MAX];
        snprintf(below, sizeof(below), "%s%s%s%s", path, *path ? "." : "", field->key,
                 is_list                      ? "[]"
                 : field->type == FIELD_NAMED ? "{}"
                                              : "");
        buf_printf(out, "| `%s` | %s", below, type_name(field));
        add_allowed(out, field);
        buf_printf(out, " | %s |\n", field->doc);
        if (field->table)
            add_served(out, field->table, below);
    }
}

static void add_others(struct buf *out, const struct table *table, const char *path,
                       enum field_type type)
{
    for (uint16_t i = 0; i < table->n_fields; i++) {
        const struct field *field = &table->fields[i];
        if (!*path && is_root_field(field))
            continue;
        char below[PATH_BYTES_MAX];
        snprintf(below, sizeof(below), "%s%s%s%s", path, *path ? "." : "", field->key,
                 field->type == FIELD_LIST ? "[]" : "");
        if (field->type == type)
            buf_printf(out, "| `%s` | %s |\n", below, field->doc);
        else if (field->table)
            add_others(out, field->table, below, type);
    }
}

void decode_print_reference(enum kind kind, struct buf *out)
{
    const struct table *table = decode_table(kind);
    buf_printf(out, "# %s\n\nPrinted by `sluicegate docs` from the field tables in `src/model/`.\n",
               kind_word(kind));
    buf_add_text(out, "\nServed as");
    const char *version;
    for (size_t i = 0; (version = decode_api_version(kind, i)); i++)
        buf_printf(out, "%s `%s`", i ? "," : "", version);
    buf_add_text(out, ". `apiVersion`, `kind` and `metadata` are those of every kind.\n\n"
                      "| Field | Value | Meaning |\n|---|---|---|\n");
    add_served(out, table, "");
    struct buf rows = {0};
    add_others(&rows, table, "", FIELD_NOT_SERVED);
    if (rows.len) {
        buf_add_text(out, "\nNot served yet; each is reported as `field-not-served` when used:\n\n"
                          "| Field | Meaning |\n|---|---|\n");
        buf_add_str(out, buf_str(&rows));
    }
    buf_fini(&rows);
    add_others(&rows, table, "", FIELD_IRRELEVANT);
    if (rows.len) {
        buf_add_text(out, "\nOf no bearing on a gateway, accepted as they are:\n\n"
                          "| Field | Meaning |\n|---|---|\n");
        buf_add_str(out, buf_str(&rows));
    }
    buf_fini(&rows);
}
