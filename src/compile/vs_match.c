// SPDX-License-Identifier: Apache-2.0
// A match block of a VirtualService -> the path and the conditions of a route.
#include "compile/re2.h"
#include "compile/virtual_service.h"
#include "route/match/match_types.h"

enum { REGEX_MESSAGE_MAX = 160 };

const struct regex *vs_regex(struct compiler *c, const struct object *object,
                             const struct text *value, struct str pattern, struct str path)
{
    char message[REGEX_MESSAGE_MAX];
    size_t offset = 0;
    const char *mistake = re2_mistake(text_str(*value));
    const struct regex *regex =
        mistake ? NULL : builder_regex(c->builder, pattern, 0, message, sizeof message, &offset);
    if (!regex)
        complain(c, DIAG_REGEX_INVALID, object, value->line, value->col, path,
                 "\"%s\": %s; Istio uses RE2 style regex-based match", value->ptr,
                 mistake ? mistake : message);
    return regex;
}

static bool read_matcher(struct compiler *c, const struct vs_rule *rule,
                         const struct string_match *from, struct str path,
                         struct string_matcher *ret)
{
    *ret = (struct string_matcher){.text = arena_str(c->arena, text_str(from->value))};
    switch (from->kind) {
    case STRING_PRESENT:
        ret->kind = STRING_IS_PRESENT;
        return true;
    case STRING_EXACT:
        ret->kind = STRING_IS_EXACT;
        return true;
    case STRING_PREFIX:
        ret->kind = STRING_IS_PREFIX;
        return true;
    case STRING_REGEX:
        break;
    }
    // `*` is no regular expression, but Istio's documents use it for "is there".
    if (str_is(text_str(from->value), "*")) {
        ret->kind = STRING_IS_PRESENT;
        return true;
    }
    ret->kind = STRING_IS_REGEX;
    ret->regex = vs_regex(c, rule->object, &from->value, text_str(from->value), path);
    return ret->regex;
}

static bool read_path(struct compiler *c, const struct vs_rule *rule,
                      const struct http_match *block, struct str path, struct route *route)
{
    const struct string_match *uri = &block->uri;
    route->path_kind = PATH_ANY;
    if (!uri->is_set || uri->kind == STRING_PRESENT)
        return true;
    route->path = arena_str(c->arena, text_str(uri->value));
    route->path_ignore_case = block->ignore_uri_case.value;
    switch (uri->kind) {
    case STRING_EXACT:
        route->path_kind = PATH_EXACT;
        return true;
    case STRING_PREFIX:
        route->path_kind = PATH_PREFIX_STRING;
        return true;
    case STRING_REGEX:
        break;
    case STRING_PRESENT:
        return true;
    }
    route->path_ignore_case = false; // ignoreUriCase is for exact and prefix only
    struct str whole = JOIN(c->scratch, STR("^(?:"), route->path, STR(")\\z"));
    route->path_regex =
        vs_regex(c, rule->object, &uri->value, whole, path_of(c, "%.*s.uri", STR_ARG(path)));
    if (route->path_regex)
        route->path_kind = PATH_REGEX;
    else
        route->path = STR_NONE;
    return route->path_regex;
}

// JWT claims are conditions on something that no filter of this version makes.
static bool is_served(struct compiler *c, const struct vs_rule *rule,
                      const struct named_match *named, struct str path)
{
    struct str name = text_str(named->name);
    if (!str_has_prefix(name, STR("@")) && !str_is(name, ":path"))
        return true;
    complain(c, DIAG_MATCH_NOT_SERVED, rule->object, named->name.line, named->name.col, path,
             "\"%s\" is no header of a request that can be compared here", named->name.ptr);
    return false;
}

// Pseudo headers may stand in headers{} under their HTTP/2 names.
static struct match header_match(struct compiler *c, struct str name, struct string_matcher value)
{
    if (str_is(name, ":method"))
        return match_method_init(value);
    if (str_is(name, ":scheme"))
        return match_scheme_init(value);
    if (str_is(name, ":authority") || str_equal_nocase(name, STR("host")))
        return match_authority_init(value);
    return match_header_init(c->arena, name, value);
}

// Every request that gets here has come without TLS.
static void check_scheme(struct compiler *c, const struct vs_rule *rule,
                         const struct string_match *scheme, struct str path)
{
    bool is_literal = scheme->kind == STRING_EXACT || scheme->kind == STRING_PREFIX;
    if (scheme->is_set && is_literal && str_is(text_str(scheme->value), "https"))
        complain(c, DIAG_TLS_NOT_SERVED, rule->object, scheme->value.line, scheme->value.col,
                 path_of(c, "%.*s.scheme", STR_ARG(path)),
                 "https is not served, so the block takes no request");
}

enum named_kind { NAMED_HEADER, NAMED_WITHOUT_HEADER, NAMED_QUERY };

static bool read_named(struct compiler *c, const struct vs_rule *rule, enum named_kind kind,
                       const struct named_match *items, uint32_t n, struct str path,
                       struct match *matches, uint32_t *n_matches)
{
    static const char *const words[] = {"headers", "withoutHeaders", "queryParams"};
    bool is_sound = true;
    for (uint32_t i = 0; i < n; i++) {
        struct str item_path =
            path_of(c, "%.*s.%s[%s]", STR_ARG(path), words[kind], items[i].name.ptr);
        struct string_matcher value;
        if ((kind != NAMED_QUERY && !is_served(c, rule, &items[i], item_path)) ||
            !read_matcher(c, rule, &items[i].match, item_path, &value)) {
            is_sound = false;
            continue;
        }
        struct str name = text_str(items[i].name);
        struct match *match = &matches[(*n_matches)++];
        if (kind == NAMED_HEADER)
            *match = header_match(c, name, value);
        else if (kind == NAMED_WITHOUT_HEADER)
            *match = match_without_header_init(c->arena, name, value);
        else
            *match = match_query_init(c->arena, name, value);
    }
    return is_sound;
}

static bool read_pseudo(struct compiler *c, const struct vs_rule *rule,
                        const struct string_match *from,
                        struct match (*init)(struct string_matcher), struct str path,
                        const char *word, struct match *matches, uint32_t *n_matches)
{
    struct string_matcher value;
    if (!from->is_set)
        return true;
    if (!read_matcher(c, rule, from, path_of(c, "%.*s.%s", STR_ARG(path), word), &value))
        return false;
    matches[(*n_matches)++] = init(value);
    return true;
}

bool vs_match_build(struct compiler *c, const struct vs_rule *rule, const struct http_match *block,
                    struct str path, struct route *route)
{
    route->path_kind = PATH_ANY;
    if (!block)
        return true;
    uint32_t n = 0, cap = 3 + block->n_headers + block->n_without_headers + block->n_query_params;
    struct match *matches = ARENA_ARRAY(c->arena, struct match, cap);
    bool is_sound = read_path(c, rule, block, path, route);
    is_sound &=
        read_pseudo(c, rule, &block->method, match_method_init, path, "method", matches, &n);
    check_scheme(c, rule, &block->scheme, path);
    is_sound &=
        read_pseudo(c, rule, &block->scheme, match_scheme_init, path, "scheme", matches, &n);
    is_sound &= read_pseudo(c, rule, &block->authority, match_authority_init, path, "authority",
                            matches, &n);
    is_sound &=
        read_named(c, rule, NAMED_HEADER, block->headers, block->n_headers, path, matches, &n);
    is_sound &= read_named(c, rule, NAMED_WITHOUT_HEADER, block->without_headers,
                           block->n_without_headers, path, matches, &n);
    is_sound &= read_named(c, rule, NAMED_QUERY, block->query_params, block->n_query_params, path,
                           matches, &n);
    route->matches = matches;
    route->n_matches = (uint16_t)n;
    return is_sound;
}

bool vs_match_is_catch_all(const struct http_match *block)
{
    if (!block)
        return true;
    if (block->scheme.is_set || block->method.is_set || block->authority.is_set ||
        block->n_headers + block->n_without_headers + block->n_query_params > 0)
        return false;
    const struct string_match *uri = &block->uri;
    struct str value = text_str(uri->value);
    return !uri->is_set || uri->kind == STRING_PRESENT ||
           (uri->kind == STRING_PREFIX && (value.len == 0 || str_is(value, "/"))) ||
           (uri->kind == STRING_REGEX && str_is(value, ".*"));
}
