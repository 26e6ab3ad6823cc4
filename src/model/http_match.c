// SPDX-License-Identifier: Apache-2.0
// HTTPMatchRequest: when a rule applies.
#include "model/http_route.h"
#include "model/names.h"

enum { REGEX_BYTES_MAX = 1024 };

// --- StringMatch -------------------------------------------------------------------------------

static void read_string(struct reader *reader, const struct node *node, struct string_match *match,
                        enum string_match_kind kind)
{
    if (match->kind != STRING_PRESENT)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "exactly one of exact, prefix and regex can be given");
    match->kind = kind;
    read_text(reader, NULL, node, &match->value);
}

static void read_exact(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    read_string(reader, node, value, STRING_EXACT);
}

static void read_prefix(struct reader *reader, const struct field *field, const struct node *node,
                        void *value)
{
    read_string(reader, node, value, STRING_PREFIX);
}

static void read_regex(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    read_string(reader, node, value, STRING_REGEX);
}

static const struct field string_fields[] = {
    {.key = "exact", .type = FIELD_CUSTOM, .read = read_exact, .doc = "Equal to this."},
    {.key = "prefix",
     .type = FIELD_CUSTOM,
     .read = read_prefix,
     .doc = "Begins with this (by characters, not by path elements)."},
    {.key = "regex",
     .type = FIELD_CUSTOM,
     .read = read_regex,
     .doc = "This regular expression matches the whole of it."},
};

// `uri`, or `headers` for an entry of headers: what the texts of Istio name.
static struct str name_of_match(const struct reader *reader)
{
    const struct step *step = reader->step;
    while (step && step->kind != STEP_FIELD)
        step = step->parent;
    return step ? step->key : STR("match");
}

// The server's own path in OPTIONS is the one that does not begin with a slash.
static void check_uri(struct reader *reader, const struct string_match *uri)
{
    struct str path = text_str(uri->value);
    bool is_prefix = uri->kind == STRING_PREFIX;
    const char *why = NULL;
    if ((uri->kind != STRING_EXACT && !is_prefix) || (is_prefix && path.len == 0))
        return;
    if (str_is(path, "*"))
        return;
    if (path.len == 0 || path.ptr[0] != '/')
        why = "a path begins with /";
    else if (str_index(path, '?') >= 0)
        why = "a path has no query; queryParams looks at that";
    else if (target_mistake(path))
        why = "a path holds visible ASCII without # only; others are percent-encoded";
    if (why)
        report_at(reader, is_prefix ? "prefix" : "exact", DIAG_MATCH_NEVER, uri->value.line,
                  uri->value.col, NULL, "no request has the path \"%.*s\": %s",
                  STR_ARG(str_upto(path, 300)), why);
}

static void check_string(struct reader *reader, const struct node *node, void *value)
{
    struct string_match *match = value;
    struct str where = name_of_match(reader);
    if (reader->has_failed || match->kind == STRING_PRESENT)
        return;
    bool is_entry = reader->step && reader->step->kind == STEP_ENTRY;
    if (!is_entry && str_is(where, "uri"))
        check_uri(reader, match);
    if (match->kind == STRING_PREFIX && match->value.len == 0 && !str_is(where, "uri"))
        report_at(reader, "prefix", DIAG_FIELD_VALUE, match->value.line, match->value.col, NULL,
                  "\"%.*s\": prefix string match should not be empty", STR_ARG(where));
    if (match->kind != STRING_REGEX)
        return;
    if (match->value.len == 0)
        report_at(reader, "regex", DIAG_FIELD_VALUE, match->value.line, match->value.col, NULL,
                  "\"%.*s\": regex string match should not be empty", STR_ARG(where));
    else if (match->value.len > REGEX_BYTES_MAX)
        report_at(reader, "regex", DIAG_FIELD_VALUE, match->value.line, match->value.col, NULL,
                  "\"%.*s\": regex is too large, max length allowed is %d", STR_ARG(where),
                  REGEX_BYTES_MAX);
    else if (is_entry && str_is(text_str(match->value), "*"))
        match->kind = STRING_PRESENT; // an old way to ask whether it is there
}

static const struct table string_table = {
    .name = "StringMatch",
    TABLE_FIELDS(string_fields),
    .bytes = sizeof(struct string_match),
    .has_place = HAS(struct string_match, line),
    .has_is_set = HAS(struct string_match, is_set),
    .check = check_string,
};

// A broken rule answers 503, and that is logged under its name: one that has been refused is none.
void drop_unfit_name(struct text *name)
{
    if (plain_text_mistake(text_str(*name)))
        *name = (struct text){0};
}

// --- HTTPMatchRequest --------------------------------------------------------------------------

static void check_match_header(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (text->len == 0 || (text->ptr[0] != '@' && text->ptr[0] != ':')) // @request.auth..., :method
        check_header_name(reader, field, text);
}

void check_source_namespace(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (dns_label_mistake(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "sourceNamespace match %s is invalid",
                    text->ptr);
}

#define STRING(name, member, sentence)                                                             \
    {                                                                                              \
        .key = (name), .type = FIELD_STRUCT, AT(struct http_match, member),                        \
        .table = &string_table, .doc = (sentence)                                                  \
    }
#define NAMED(name, member, check_, sentence)                                                      \
    {                                                                                              \
        .key = (name), .type = FIELD_NAMED, LIST_AT(struct http_match, member, n_##member),        \
        .item_bytes = sizeof(struct named_match),                                                  \
        .value_offset = offsetof(struct named_match, match), .table = &string_table,               \
        .check = (check_), .doc = (sentence)                                                       \
    }

static const struct field match_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct http_match, name),
     .check = check_plain_text,
     .doc = "Second part of the route's name in the access log."},
    STRING("uri", uri, "Path without the query."),
    {.key = "ignoreUriCase",
     .type = FIELD_FLAG,
     AT(struct http_match, ignore_uri_case),
     .doc = "`uri` exact and prefix match in any case."},
    STRING("scheme", scheme, "`http` or `https`."),
    STRING("method", method, "Method."),
    STRING("authority", authority, "Host header as sent."),
    NAMED("headers", headers, check_match_header,
          "Headers by their lower-case names; `{}`: present."),
    NAMED("withoutHeaders", without_headers, check_match_header,
          "Headers that must not match; `{}`: absent."),
    NAMED("queryParams", query_params, NULL,
          "Query parameters (the first of a name, not decoded); `{}`: present."),
    MATCH_PLACE_FIELDS(struct http_match),
    NOT_SERVED("statPrefix", NULL, "Statistics of this match apart."),
};
static void check_match(struct reader *reader, const struct node *node, void *value)
{
    drop_unfit_name(&((struct http_match *)value)->name);
}

const struct table http_match_table = {
    .name = "HTTPMatchRequest",
    TABLE_FIELDS(match_fields),
    .bytes = sizeof(struct http_match),
    .has_place = HAS(struct http_match, line),
    .has_is_invalid = HAS(struct http_match, is_invalid),
    .check = check_match,
};
