// SPDX-License-Identifier: Apache-2.0
// What a Secret holds must not show up anywhere: diagnostics tell keys and types, never values.
#include "base/base64.h"
#include "model/kubernetes.h"
#include "model/names.h"
#include "model/rows.h"

// As the API server: the standard alphabet with its padding; line ends do not count. On a mistake
// *ret_len is where it is.
static bool decode_base64(struct str text, char *out, size_t *ret_len)
{
    struct base64_decoder decoder = {0};
    bool has_ended = false;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n' || text.ptr[i] == '\r')
            continue;
        len += base64_decode(&decoder, (struct str){text.ptr + i, 1}, out + len);
        *ret_len = i;
        if (decoder.has_failed || has_ended)
            return false;
        has_ended = decoder.n == 0 && text.ptr[i] == '=';
    }
    bool is_whole = base64_is_complete(&decoder);
    *ret_len = is_whole ? len : text.len;
    return is_whole;
}

static void check_key(struct reader *reader, const struct text *key)
{
    struct str text = text_str(*key);
    bool is_right = text.len > 0 && text.len <= 253 && !str_is(text, ".") && !str_is(text, "..");
    for (size_t i = 0; i < text.len && is_right; i++) {
        char c = text.ptr[i];
        is_right = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
                   c == '-' || c == '_' || c == '.';
    }
    if (!is_right)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, key,
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'");
}

static void read_value(struct reader *reader, const struct node *node, bool is_encoded,
                       struct text *ret)
{
    if (scalar_type(node) == SCALAR_NULL) { // as the API server: empty
        set_text(reader, STR(""), node->line, node->col, ret);
        return;
    }
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_TEXT) {
        report(reader, DIAG_FIELD_TYPE, node->line, node->col,
               node->type == NODE_SCALAR ? "put it in quotes" : NULL, "this is no string");
        return;
    }
    if (node->scalar.len > TEXT_BYTES_MAX) {
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL, "is longer than %d bytes",
               TEXT_BYTES_MAX);
        return;
    }
    if (!is_encoded) {
        set_text(reader, node->scalar, node->line, node->col, ret);
        return;
    }
    char *bytes = arena_alloc(reader->scratch, node->scalar.len + 3);
    size_t len;
    if (decode_base64(node->scalar, bytes, &len))
        set_text(reader, (struct str){bytes, len}, node->line, node->col, ret);
    else
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, "stringData takes plain text",
               "illegal base64 data at input byte %zu", len);
}

static void read_map(struct reader *reader, const struct node *node, bool is_encoded,
                     struct text_map *ret)
{
    if (!expect_type(reader, node, NODE_MAP, "a map of strings"))
        return;
    ret->items = reader_alloc(reader, node->map.n_pairs * sizeof(*ret->items));
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < node->map.n_pairs; i++) {
        const struct pair *pair = &node->map.pairs[i];
        struct text_pair *item = &ret->items[ret->n++];
        step.key = pair->key;
        set_text(reader, pair->key, pair->line, pair->col, &item->key);
        check_key(reader, &item->key);
        read_value(reader, pair->value, is_encoded, &item->value);
    }
    reader->step = step.parent;
}

static void read_data(struct reader *reader, const struct field *field, const struct node *node,
                      void *value)
{
    read_map(reader, node, true, value);
}

static void read_string_data(struct reader *reader, const struct field *field,
                             const struct node *node, void *value)
{
    read_map(reader, node, false, value);
}

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "type",
     .type = FIELD_TEXT,
     AT(struct secret, type),
     .doc = "`kubernetes.io/tls` for a certificate with its key (`tls.crt`, `tls.key`); others are "
            "looked at for the keys that they hold."},
    {.key = "data",
     .type = FIELD_CUSTOM,
     AT(struct secret, data),
     .read = read_data,
     .doc = "Values in base64. Those that are read: `tls.crt` and `tls.key` (or `cert` and `key`), "
            "`ca.crt` (or `cacert`), `ca.crl` (or `crl`), `tls.ocsp-staple`."},
    {.key = "stringData",
     .type = FIELD_CUSTOM,
     AT(struct secret, string_data),
     .read = read_string_data,
     .doc = "Values as plain text; they go before those of `data`."},
    IRRELEVANT("immutable", "Whether the API server refuses changes."),
};
const struct table secret_table = {
    .name = "Secret", TABLE_FIELDS(fields), .bytes = sizeof(struct secret)};

const struct text_pair *secret_find(const struct secret *secret, const char *key)
{
    const struct text_map *maps[] = {&secret->string_data, &secret->data};
    for (size_t m = 0; m < 2; m++) {
        for (uint32_t i = 0; i < maps[m]->n; i++) {
            if (str_is(text_str(maps[m]->items[i].key), key))
                return &maps[m]->items[i];
        }
    }
    return NULL;
}
