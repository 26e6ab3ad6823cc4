// SPDX-License-Identifier: Apache-2.0
// Readers of operators' arguments. Control thread.
#include "base/doc.h"
#include "route/format_values.h"
#include "route/format_write.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

// Splits "A:B" where both parts are optional.
static void split_pair(struct str argument, struct str *ret_first, struct str *ret_second)
{
    ptrdiff_t colon = str_index(argument, ':');
    *ret_first = colon < 0 ? argument : str_upto(argument, (size_t)colon);
    *ret_second = colon < 0 ? STR_NONE : str_from(argument, (size_t)colon + 1);
}

// The position of `text` in `words` (ended by NULL); empty: the first, which is the default.
static bool read_choice(struct str text, const char *const *words, unsigned *ret_choice,
                        struct format_error *error)
{
    *ret_choice = 0;
    if (text.len == 0)
        return true;
    for (unsigned i = 0; words[i]; i++) {
        if (str_is(text, words[i])) {
            *ret_choice = i;
            return true;
        }
    }
    char list[96] = "";
    size_t len = 0;
    for (unsigned i = 0; words[i] && len + strlen(words[i]) + 3 < sizeof(list); i++) {
        const char *glue = i == 0 ? "" : ", ";
        memcpy(list + len, glue, strlen(glue));
        len += strlen(glue);
        memcpy(list + len, words[i], strlen(words[i]) + 1);
        len += strlen(words[i]);
    }
    format_error_set(error, "\"%.*s\" is none of %s", STR_ARG(str_upto(text, 40)), list);
    return false;
}

static bool read_pseudo_header(struct header_argument *argument, bool is_request,
                               struct format_error *error)
{
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
        {":method", offsetof(struct request_info, method)},
        {":path", offsetof(struct request_info, path)},
        {":authority", offsetof(struct request_info, authority)},
        {"host", offsetof(struct request_info, authority)},
        {":scheme", offsetof(struct request_info, scheme)},
        {"x-envoy-original-path", offsetof(struct request_info, original_path)},
    };
    for (size_t i = 0; is_request && i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (str_is(argument->name, fields[i].name)) {
            argument->source = SOURCE_FIELD;
            argument->offset = (uint16_t)fields[i].offset;
            return true;
        }
    }
    if (!is_request && str_is(argument->name, ":status")) {
        argument->source = SOURCE_STATUS;
        return true;
    }
    if (is_request && str_is(argument->name, "x-request-id"))
        argument->source = SOURCE_REQUEST_ID;
    if (argument->name.ptr[0] != ':')
        return true;
    format_error_set(error, "no pseudo header \"%.*s\"; there are %s",
                     STR_ARG(str_upto(argument->name, 40)),
                     is_request ? ":METHOD, :PATH, :AUTHORITY and :SCHEME" : ":STATUS");
    return false;
}

static bool read_header(struct arena *arena, struct str name, bool is_request,
                        struct header_argument *ret, struct format_error *error)
{
    bool is_pseudo = name.len > 0 && name.ptr[0] == ':';
    if (!header_name_is_valid(str_from(name, is_pseudo))) {
        format_error_set(error, "\"%.*s\" is not a header name", STR_ARG(str_upto(name, 60)));
        return false;
    }
    char *lower = arena_copy(arena, name.ptr, name.len);
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(lower[i]);
    *ret = (struct header_argument){.name = {lower, name.len}};
    ret->id = (uint8_t)header_id_of(ret->name);
    return read_pseudo_header(ret, is_request, error);
}

static bool read_headers(struct arena *arena, struct str argument, bool is_request,
                         struct operation *operation, struct format_error *error)
{
    ptrdiff_t mark = str_index(argument, '?');
    struct str first = mark < 0 ? argument : str_upto(argument, (size_t)mark);
    if (!read_header(arena, first, is_request, &operation->header.first, error))
        return false;
    return mark < 0 || read_header(arena, str_from(argument, (size_t)mark + 1), is_request,
                                   &operation->header.second, error);
}

bool parse_header(struct arena *arena, struct str argument, struct operation *operation,
                  struct format_error *error)
{
    bool is_request = operation->kind == OPERATOR_REQUEST_HEADER;
    return read_headers(arena, argument, is_request, operation, error);
}

bool parse_header_without_query(struct arena *arena, struct str argument,
                                struct operation *operation, struct format_error *error)
{
    operation->header.cuts_query = true;
    return read_headers(arena, argument, true, operation, error);
}

bool parse_trailer(struct arena *arena, struct str argument, struct operation *operation,
                   struct format_error *error)
{
    if (str_index(argument, ':') >= 0) {
        format_error_set(error, "trailers have no pseudo headers");
        return false;
    }
    return read_headers(arena, argument, false, operation, error);
}

bool parse_path(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error)
{
    static const char *const query_words[] = {"WQ", "NQ", NULL};
    static const char *const path_words[] = {"ORIG_OR_PATH", "ORIG", "PATH", NULL};
    struct str query, path;
    split_pair(argument, &query, &path);
    unsigned choice, choice2;
    if (!read_choice(path, path_words, &choice, error) ||
        !read_choice(query, query_words, &choice2, error))
        return false;
    operation->choice = choice;
    operation->choice2 = choice2;
    return true;
}

bool parse_parameter_name(struct arena *arena, struct str argument, struct operation *operation,
                          struct format_error *error)
{
    operation->text = arena_str(arena, argument);
    return true;
}

bool parse_query_form(struct arena *arena, struct str argument, struct operation *operation,
                      struct format_error *error)
{
    static const char *const words[] = {"ORIG", "DECODED", NULL};
    return read_choice(argument, words, &operation->choice, error);
}

bool parse_details(struct arena *arena, struct str argument, struct operation *operation,
                   struct format_error *error)
{
    static const char *const words[] = {"ALLOW_WHITESPACES", NULL};
    operation->choice2 = 0;
    if (!read_choice(argument, words, &operation->choice2, error))
        return false;
    operation->choice = argument.len > 0;
    return true;
}

bool parse_grpc_form(struct arena *arena, struct str argument, struct operation *operation,
                     struct format_error *error)
{
    static const char *const words[] = {"CAMEL_STRING", "SNAKE_STRING", "NUMBER", NULL};
    return read_choice(argument, words, &operation->choice, error);
}

static bool read_time(struct arena *arena, struct str pattern, bool is_local,
                      struct operation *operation, struct format_error *error)
{
    size_t at = 0;
    operation->time = time_format_compile(arena, pattern, is_local, &at);
    if (!operation->time)
        format_error_set(error, "unknown conversion \"%.*s\" in the time format",
                         STR_ARG(str_upto(str_from(pattern, at), 3)));
    return operation->time != NULL;
}

bool parse_time_format(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error)
{
    return read_time(arena, argument, false, operation, error);
}

bool parse_time_local(struct arena *arena, struct str argument, struct operation *operation,
                      struct format_error *error)
{
    return read_time(arena, argument, true, operation, error);
}

// offset 0 (a field that is no point in time): never reached in this gateway.
static bool read_time_point(struct str name, uint16_t *ret_offset, struct format_error *error)
{
    static const struct {
        const char *name;
        size_t offset;
    } points[] = {
        {"DS_RX_BEG", offsetof(struct request_info, downstream_rx_begin_ns)},
        {"DS_RX_END", offsetof(struct request_info, downstream_rx_end_ns)},
        {"US_CX_BEG", offsetof(struct request_info, upstream_connect_begin_ns)},
        {"US_CX_END", offsetof(struct request_info, upstream_connect_end_ns)},
        {"US_HS_END", 0}, // the end of a TLS handshake
        {"US_TX_BEG", offsetof(struct request_info, upstream_tx_begin_ns)},
        {"US_TX_END", offsetof(struct request_info, upstream_tx_end_ns)},
        {"US_RX_BEG", offsetof(struct request_info, upstream_rx_begin_ns)},
        {"US_RX_BODY_BEG", offsetof(struct request_info, upstream_rx_body_begin_ns)},
        {"US_RX_END", offsetof(struct request_info, upstream_rx_end_ns)},
        {"DS_TX_BEG", offsetof(struct request_info, downstream_tx_begin_ns)},
        {"DS_TX_END", offsetof(struct request_info, downstream_tx_end_ns)},
        {"DS_CX_BEG", offsetof(struct request_info, connection_begin_ns)},
        {"DS_CX_END", offsetof(struct request_info, connection_end_ns)},
    };
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        if (str_is(name, points[i].name)) {
            *ret_offset = (uint16_t)points[i].offset;
            return true;
        }
    }
    format_error_set(error, "\"%.*s\" is not a point in time; see the reference",
                     STR_ARG(str_upto(name, 40)));
    return false;
}

bool parse_duration(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error)
{
    struct str rest = argument, begin, end, unit;
    if (!str_next(&rest, ':', &begin) || !str_next(&rest, ':', &end) ||
        !str_next(&rest, ':', &unit) || rest.ptr) {
        format_error_set(error, "the argument is not START:END:PRECISION");
        return false;
    }
    if (!read_time_point(begin, &operation->duration.begin, error) ||
        !read_time_point(end, &operation->duration.end, error))
        return false;
    if (str_is(unit, "ms"))
        operation->duration.unit_ns = 1000000;
    else if (str_is(unit, "us"))
        operation->duration.unit_ns = 1000;
    else if (str_is(unit, "ns"))
        operation->duration.unit_ns = 1;
    else
        format_error_set(error, "precision \"%.*s\" is none of ms, us, ns",
                         STR_ARG(str_upto(unit, 20)));
    return operation->duration.unit_ns != 0;
}

bool parse_mask(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error)
{
    uint64_t mask;
    if (argument.len == 0)
        return true;
    if (!str_to_u64(argument, 128, &mask)) {
        format_error_set(error, "mask \"%.*s\" is not a number from 0 to 128",
                         STR_ARG(str_upto(argument, 20)));
        return false;
    }
    operation->has_mask = true;
    operation->mask = (uint8_t)mask;
    return true;
}

bool parse_server_name(struct arena *arena, struct str argument, struct operation *operation,
                       struct format_error *error)
{
    static const char *const order_words[] = {"SNI_ONLY", "SNI_FIRST", "HOST_FIRST", NULL};
    static const char *const host_words[] = {"ORIG_OR_HOST", "ORIG", "HOST", NULL};
    struct str order, host;
    split_pair(argument, &order, &host);
    unsigned choice, choice2;
    if (!read_choice(order, order_words, &choice, error) ||
        !read_choice(host, host_words, &choice2, error))
        return false;
    operation->choice = choice;
    operation->choice2 = choice2;
    return true;
}

// Environment and host name do not change under a running process: constants of the format.
static bool give_constant(struct arena *arena, struct str text, struct operation *operation)
{
    operation->kind = text.len > 0 ? OPERATOR_CONSTANT : OPERATOR_ABSENT;
    operation->text = arena_str(arena, str_upto(text, operation->length_max));
    return true;
}

bool parse_environment(struct arena *arena, struct str argument, struct operation *operation,
                       struct format_error *error)
{
    return give_constant(arena, str_of(getenv(arena_str(arena, argument).ptr)), operation);
}

bool parse_hostname(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error)
{
    char name[HOST_NAME_MAX + 1] = "";
    if (gethostname(name, sizeof(name)) != 0)
        name[0] = '\0';
    name[sizeof(name) - 1] = '\0';
    return give_constant(arena, str_of(name), operation);
}

// ---- COALESCE ----

static bool bind_entry(struct arena *arena, const struct node *entry, struct operation *ret,
                       struct format_error *error)
{
    if (entry->type == NODE_SCALAR)
        return operator_bind(arena, entry->scalar, false, STR_NONE, UINT32_MAX, ret, error);
    const struct node *command = node_get(entry, STR("command"));
    const struct node *param = node_get(entry, STR("param"));
    const struct node *length = node_get(entry, STR("max_length"));
    uint64_t length_max = UINT32_MAX;
    if (!command || command->type != NODE_SCALAR || (param && param->type != NODE_SCALAR)) {
        format_error_set(error,
                         "an operator is a name or {\"command\", \"param\", \"max_length\"}");
        return false;
    }
    for (uint32_t i = 0; i < entry->map.n_pairs; i++) {
        struct str key = entry->map.pairs[i].key;
        if (!str_is(key, "command") && !str_is(key, "param") && !str_is(key, "max_length")) {
            format_error_set(error, "\"%.*s\" is none of command, param, max_length",
                             STR_ARG(str_upto(key, 40)));
            return false;
        }
    }
    if (length && (length->type != NODE_SCALAR ||
                   !str_to_u64(length->scalar, UINT32_MAX - 1, &length_max) || length_max == 0)) {
        format_error_set(error, "max_length is not a number above 0");
        return false;
    }
    return operator_bind(arena, command->scalar, param != NULL, param ? param->scalar : STR_NONE,
                         (uint32_t)length_max, ret, error);
}

bool parse_coalesce(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error)
{
    struct node *root = NULL;
    struct doc_error doc_error;
    if (!doc_parse(arena, argument, 1, &root, &doc_error)) {
        format_error_set(error, "not JSON: %.100s", doc_error.message);
        return false;
    }
    const struct node *list = root ? node_get(root, STR("operators")) : NULL;
    if (!list || list->type != NODE_LIST || list->list.n_items == 0 || root->map.n_pairs != 1) {
        format_error_set(error, "the argument is not {\"operators\": [...]}");
        return false;
    }
    size_t n = list->list.n_items;
    struct operation *operations = ARENA_ARRAY(arena, struct operation, n);
    for (size_t i = 0; i < n; i++) {
        if (!bind_entry(arena, list->list.items[i], &operations[i], error))
            return false;
        operations[i].index = operation->index + (uint32_t)i;
    }
    operation->coalesce.operations = operations;
    operation->coalesce.n_operations = n;
    return true;
}
