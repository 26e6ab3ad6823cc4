// SPDX-License-Identifier: Apache-2.0
// HTTPRoute: a rule of a VirtualService and what it does.
#include "model/http_route.h"
#include "model/names.h"

// --- headers -----------------------------------------------------------------------------------

static bool is_authority(struct str name)
{
    return str_equal_nocase(name, STR("host")) || str_is(name, ":authority");
}

static void check_operation(struct reader *reader, const struct text *name)
{
    struct str text = text_str(*name);
    bool is_response = reader->step->parent && str_is(reader->step->parent->key, "response");
    if (is_response && is_authority(text))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, name, "Host is no header of a response");
    else if (text.len && text.ptr[0] == ':' && !is_authority(text))
        REPORT_TEXT(reader, DIAG_FIELD_NO_EFFECT, name,
                    "of the pseudo headers only :authority can be changed");
    else if (!is_authority(text))
        check_header_name(reader, NULL, name);
}

static void check_header_values(struct reader *reader, const struct field *field, const void *value)
{
    const struct text_map *map = value;
    struct step entry = {.parent = reader->step, .kind = STEP_ENTRY};
    for (uint32_t i = 0; i < map->n; i++) {
        const struct text_pair *pair = &map->items[i];
        check_operation(reader, &pair->key);
        entry.key = text_str(pair->key);
        reader->step = &entry;
        // What an operator (%REQ(...)%) will bring is not known here.
        bool is_host = is_authority(entry.key) && str_index(text_str(pair->value), '%') < 0;
        if (is_host)
            check_authority(reader, field, &pair->value);
        else
            check_header_value(reader, field, &pair->value);
        reader->step = entry.parent;
    }
}

static void check_removed(struct reader *reader, const struct field *field, const void *value)
{
    const struct step *item = reader->step; // of the list: the operation is one step further up
    reader->step = item->parent;
    check_operation(reader, value);
    reader->step = item;
}

#define OPERATION_FIELDS(member)                                                                   \
    {.key = "set",                                                                                 \
     .type = FIELD_TEXT_MAP,                                                                       \
     AT(struct headers, member.set),                                                               \
     .check = check_header_values,                                                                 \
     .doc =                                                                                        \
         "Headers to overwrite. Values may hold access-log operators; `%%` is a percent sign."},   \
        {.key = "add",                                                                             \
         .type = FIELD_TEXT_MAP,                                                                   \
         AT(struct headers, member.add),                                                           \
         .check = check_header_values,                                                             \
         .doc = "Headers to append."},                                                             \
    {                                                                                              \
        .key = "remove", .type = FIELD_TEXTS, AT(struct headers, member.remove),                   \
        .check = check_removed, .doc = "Headers to delete."                                        \
    }

static const struct field request_fields[] = {OPERATION_FIELDS(request)};
static const struct field response_fields[] = {OPERATION_FIELDS(response)};
static const struct table request_table = {.name = "HeaderOperations",
                                           TABLE_FIELDS(request_fields)};
static const struct table response_table = {.name = "HeaderOperations",
                                            TABLE_FIELDS(response_fields)};

static const struct field headers_fields[] = {
    {.key = "request", .type = FIELD_STRUCT, .table = &request_table, .doc = "Of the request."},
    {.key = "response", .type = FIELD_STRUCT, .table = &response_table, .doc = "Of the response."},
};
const struct table headers_table = {
    .name = "Headers",
    TABLE_FIELDS(headers_fields),
    .has_is_set = HAS(struct headers, is_set),
};

// --- route[] -----------------------------------------------------------------------------------

static void check_destination_host(struct reader *reader, const struct field *field,
                                   const void *value)
{
    const struct text *text = value;
    const char *mistake = istio_host_mistake(text_str(*text));
    if (!mistake && str_is(text_str(*text), "*"))
        mistake = "a destination is no wildcard for every host";
    if (mistake && !is_ipv4_or_ipv6(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\": %s",
                    STR_ARG(str_upto(text_str(*text), 300)), mistake);
}

static void check_subset(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (text->len && dns_label_mistake(text_str(*text)))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "subset name is invalid: %s", text->ptr);
}

static void check_weight(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *weight = value;
    if (weight->value < 0)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, weight, "weight %lld < 0", (long long)weight->value);
    else if (weight->value > INT32_MAX)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, weight, "weight %lld is above %d",
                    (long long)weight->value, INT32_MAX);
}

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     AT(struct http_destination, port),
     .min = 1,
     .max = 65535,
     .doc = "Port of the Service; may be left out when it has one port."},
};
static const struct table port_table = {.name = "PortSelector", TABLE_FIELDS(port_fields)};

static const struct field destination_fields[] = {
    {.key = "host",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct http_destination, host),
     .check = check_destination_host,
     .required = "destination host is required",
     .doc = "Service: a short name is one of the VirtualService's own namespace, one with a dot is "
            "taken as it is."},
    {.key = "subset",
     .type = FIELD_TEXT,
     AT(struct http_destination, subset),
     .check = check_subset,
     .doc = "Subset that a DestinationRule of the host defines."},
    {.key = "port", .type = FIELD_STRUCT, .table = &port_table, .doc = "Port of the Service."},
};
static const struct table destination_table = {.name = "Destination",
                                               TABLE_FIELDS(destination_fields)};

#define DESTINATION_ROWS(sentence)                                                                 \
    {.key = "destination",                                                                         \
     .type = FIELD_STRUCT,                                                                         \
     .flags = FIELD_REQUIRED,                                                                      \
     .table = &destination_table,                                                                  \
     .required = "destination is required",                                                        \
     .doc = (sentence)},                                                                           \
    {                                                                                              \
        .key = "weight", .type = FIELD_NUMBER, AT(struct http_destination, weight),                \
        .check = check_weight, .doc = "Share among several destinations; 0: none."                 \
    }
static const struct field route_fields[] = {
    DESTINATION_ROWS("Where requests go."),
    {.key = "headers",
     .type = FIELD_STRUCT,
     AT(struct http_destination, headers),
     .table = &headers_table,
     .doc = "Changes of headers for this destination."},
};
const struct table http_destination_table = {
    .name = "HTTPRouteDestination",
    TABLE_FIELDS(route_fields),
    .bytes = sizeof(struct http_destination),
    .has_place = HAS(struct http_destination, line),
};

static const struct field l4_route_fields[] = {DESTINATION_ROWS("Where connections go.")};
const struct table l4_destination_table = {
    .name = "RouteDestination",
    TABLE_FIELDS(l4_route_fields),
    .bytes = sizeof(struct http_destination),
    .has_place = HAS(struct http_destination, line),
};

// --- redirect ----------------------------------------------------------------------------------

static void check_redirect_code(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *code = value;
    if (code->value != 0 && (code->value < 300 || code->value > 399))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, code,
                    "%lld is not a valid redirect code, must be 3xx", (long long)code->value);
}

static void check_scheme(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *scheme = value;
    if (scheme->len && !str_is(text_str(*scheme), "http") && !str_is(text_str(*scheme), "https"))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, scheme,
                    "invalid redirect scheme, must be \"http\" or \"https\"");
}

static void read_derive_port(struct reader *reader, const struct field *field,
                             const struct node *node, void *value)
{
    struct http_redirect *redirect = value;
    int port;
    if (read_word(reader, field, node, &port)) {
        redirect->derive_port = (enum redirect_port)port;
        redirect->has_derive_port = true;
    }
}

static const struct word derive_port_words[] = {
    {"FROM_PROTOCOL_DEFAULT", REDIRECT_PORT_FROM_PROTOCOL_DEFAULT},
    {"FROM_REQUEST_PORT", REDIRECT_PORT_FROM_REQUEST},
    {NULL, 0},
};
static const struct field redirect_fields[] = {
    {.key = "uri",
     .type = FIELD_TEXT,
     AT(struct http_redirect, uri),
     .check = check_location_path,
     .doc = "New path, from its `/`; the query stays unless this brings its own."},
    {.key = "prefixRewrite",
     .type = FIELD_TEXT,
     AT(struct http_redirect, prefix_rewrite),
     .check = check_location_path,
     .doc = "What the matched prefix becomes, from its `/`."},
    {.key = "authority",
     .type = FIELD_TEXT,
     AT(struct http_redirect, authority),
     .check = check_authority,
     .doc = "New host, or host and port."},
    {.key = "port",
     .type = FIELD_NUMBER,
     AT(struct http_redirect, port),
     .min = 1,
     .max = 65535,
     .doc = "New port; not written where it is the scheme's."},
    {.key = "derivePort",
     .type = FIELD_CUSTOM,
     .words = derive_port_words,
     .read = read_derive_port,
     .doc = "Port of the new scheme, or of this listener."},
    {.key = "scheme",
     .type = FIELD_TEXT,
     AT(struct http_redirect, scheme),
     .check = check_scheme,
     .doc = "New scheme, `http` or `https`."},
    {.key = "redirectCode",
     .type = FIELD_NUMBER,
     AT(struct http_redirect, code),
     .fallback = 301,
     .check = check_redirect_code,
     .doc = "Status: 301, 302, 303, 307 or 308."},
};
static void check_redirect(struct reader *reader, const struct node *node, void *value)
{
    const struct http_redirect *redirect = value;
    if (redirect->uri.len && redirect->prefix_rewrite.len)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "redirect may only specify one of uri or prefix_rewrite");
    if (redirect->port.is_set && redirect->has_derive_port)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "redirect may only specify one of port or derivePort");
    if (!reader->has_failed && !redirect->uri.len && !redirect->prefix_rewrite.len &&
        !redirect->authority.len && !redirect->scheme.len && !redirect->port.is_set &&
        !redirect->has_derive_port)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "redirect must specify URI, authority, scheme, or port");
}
static const struct table redirect_table = {
    .name = "HTTPRedirect",
    TABLE_FIELDS(redirect_fields),
    .has_place = HAS(struct http_redirect, line),
    .has_is_set = HAS(struct http_redirect, is_set),
    .check = check_redirect,
};

// --- directResponse ----------------------------------------------------------------------------

enum { BODY_BYTES_MAX = 1024 * 1024 };

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-'   ? 62
           : c == '/' || c == '_' ? 63
                                  : -1; // both alphabets, as protobuf
}

static bool decode_base64(struct str text, char *out, size_t *ret_len)
{
    uint32_t bits = 0;
    size_t n = 0, len = 0;
    while (text.len && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.ptr[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (++n % 4 != 1) // each character but the first of four ends a byte
            out[len++] = (char)(bits >> (n % 4 == 2 ? 4 : n % 4 == 3 ? 2 : 0));
    }
    *ret_len = len;
    return n % 4 != 1;
}

static void read_bytes(struct reader *reader, const struct field *field, const struct node *node,
                       void *value)
{
    struct text *body = value, encoded;
    static const struct field borrowed = {.flags = FIELD_BORROWED};
    if (!read_text(reader, &borrowed, node, &encoded))
        return;
    char *bytes = arena_alloc(reader->scratch, encoded.len);
    size_t len;
    if (decode_base64(text_str(encoded), bytes, &len))
        set_text(reader, (struct str){bytes, len}, node->line, node->col, body);
    else
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL, "is not base64");
}

static const struct field body_fields[] = {
    {.key = "string", .type = FIELD_TEXT, AT(struct direct_response, body), .doc = "Body as text."},
    {.key = "bytes",
     .type = FIELD_CUSTOM,
     AT(struct direct_response, body),
     .read = read_bytes,
     .doc = "Body in base64."},
};
static void check_body(struct reader *reader, const struct node *node, void *value)
{
    const struct direct_response *response = value;
    if (field_node(node, "string") && field_node(node, "bytes"))
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "exactly one of string and bytes can be given");
    else if (response->body.len >= BODY_BYTES_MAX)
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL,
               "large direct_responses may impact control plane performance, must be less than "
               "1MB");
}
static const struct table body_table = {
    .name = "HTTPBody", TABLE_FIELDS(body_fields), .check = check_body};

static void check_status(struct reader *reader, const struct field *field, const void *value)
{
    const struct number *status = value;
    if (status->value < 200 || status->value > 599)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, status, "HTTP status %lld is not in range 200-599",
                    (long long)status->value);
}

static const struct field response_body_fields[] = {
    {.key = "status",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct direct_response, status),
     .check = check_status,
     .doc = "Status, 200 to 599."},
    {.key = "body",
     .type = FIELD_STRUCT,
     .table = &body_table,
     .doc = "Body, less than 1 MiB; without one, none."},
};
static const struct table direct_response_table = {
    .name = "HTTPDirectResponse",
    TABLE_FIELDS(response_body_fields),
    .has_place = HAS(struct direct_response, line),
    .has_is_set = HAS(struct direct_response, is_set),
};

// --- rewrite, delegate -------------------------------------------------------------------------

static const struct field regex_rewrite_fields[] = {
    {.key = "match",
     .type = FIELD_TEXT,
     AT(struct http_rewrite, regex_match),
     .doc = "Regular expression; each occurrence in the path is replaced."},
    {.key = "rewrite",
     .type = FIELD_TEXT,
     AT(struct http_rewrite, regex_rewrite),
     .check = check_target,
     .doc = "Replacement; `\\1` is a captured group."},
};
static void check_regex_rewrite(struct reader *reader, const struct node *node, void *value)
{
    const struct http_rewrite *rewrite = value;
    if (!reader->has_failed && (!rewrite->regex_match.len || !rewrite->regex_rewrite.len))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "UriRegexRewrite requires both Rewrite and Match fields to be specified");
}
static const struct table regex_rewrite_table = {
    .name = "RegexRewrite", TABLE_FIELDS(regex_rewrite_fields), .check = check_regex_rewrite};

static const struct field rewrite_fields[] = {
    {.key = "uri",
     .type = FIELD_TEXT,
     AT(struct http_rewrite, uri),
     .check = check_new_path,
     .doc = "What the matched prefix becomes, from its `/`; with exact or regex, the whole path."},
    {.key = "authority",
     .type = FIELD_TEXT,
     AT(struct http_rewrite, authority),
     .check = check_authority,
     .doc = "New Host: a host, or host and port."},
    {.key = "uriRegexRewrite",
     .type = FIELD_STRUCT,
     .table = &regex_rewrite_table,
     .doc = "Change of the path by a regular expression."},
};
static void check_rewrite(struct reader *reader, const struct node *node, void *value)
{
    const struct http_rewrite *rewrite = value;
    const struct node *regex = field_node(node, "uriRegexRewrite");
    if (rewrite->uri.len && regex)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "rewrite may only contain one of URI or UriRegexRewrite");
    if (!reader->has_failed && !rewrite->uri.len && !regex && !rewrite->authority.len)
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "rewrite must specify URI, UriRegexRewrite or authority");
}
static const struct table rewrite_table = {
    .name = "HTTPRewrite",
    TABLE_FIELDS(rewrite_fields),
    .has_place = HAS(struct http_rewrite, line),
    .has_is_set = HAS(struct http_rewrite, is_set),
    .check = check_rewrite,
};

static const struct field delegate_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct http_delegate, name),
     .doc = "VirtualService without hosts whose rules are taken."},
    {.key = "namespace",
     .type = FIELD_TEXT,
     AT(struct http_delegate, ns),
     .check = check_dns_label,
     .doc = "Its namespace; by default this one's."},
};
static const struct table delegate_table = {
    .name = "Delegate",
    TABLE_FIELDS(delegate_fields),
    .has_place = HAS(struct http_delegate, line),
    .has_is_set = HAS(struct http_delegate, is_set),
};

// --- the rule ----------------------------------------------------------------------------------

static void check_conflicts(struct reader *reader, const struct node *node)
{
    static const struct {
        const char *one, *other, *message;
    } conflicts[] = {
        {"route", "redirect", "HTTP route cannot contain both route and redirect"},
        {"fault", "redirect", "HTTP route cannot contain both fault and redirect"},
        {"rewrite", "redirect", "HTTP route rule cannot contain both rewrite and redirect"},
        {"route", "directResponse", "HTTP route cannot contain both route and direct_response"},
        {"fault", "directResponse", "HTTP route cannot contain both fault and direct_response"},
        {"rewrite", "directResponse",
         "HTTP route rule cannot contain both rewrite and direct_response"},
        {"redirect", "directResponse",
         "HTTP route cannot contain both redirect and direct_response"},
        {"mirror", "mirrors", "HTTP route cannot contain both mirror and mirrors"},
    };
    for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++) {
        const struct node *other = field_node(node, conflicts[i].other);
        if (other && field_node(node, conflicts[i].one))
            report_at(reader, conflicts[i].other, DIAG_FIELD_CONFLICT, other->line, other->col,
                      NULL, "%s", conflicts[i].message);
    }
}

void check_weights(struct reader *reader, const struct http_destination *destinations, uint32_t n)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += destinations[i].weight.value;
    if (n > 1 && total == 0)
        report_at(reader, "route", DIAG_FIELD_VALUE, destinations[0].line, destinations[0].col,
                  NULL, "total destination weight = 0");
    else if (total > UINT32_MAX)
        report_at(reader, "route", DIAG_FIELD_VALUE, destinations[0].line, destinations[0].col,
                  NULL, "total destination weight is above %u", UINT32_MAX);
}

// Whoever sets the authority twice cannot mean both.
static void check_one_authority(struct reader *reader, const struct http_route *route)
{
    const struct text_map *maps[] = {&route->headers.request.set, &route->headers.request.add};
    const struct text *have = route->rewrite.authority.len ? &route->rewrite.authority : NULL;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        for (uint32_t j = 0; j < maps[i]->n; j++) {
            const struct text_pair *pair = &maps[i]->items[j];
            if (!is_authority(text_str(pair->key)))
                continue;
            if (have)
                REPORT_TEXT(reader, DIAG_FIELD_CONFLICT, &pair->value,
                            "authority header cannot be set multiple times: have \"%s\", "
                            "attempting to set \"%s\"",
                            have->ptr, pair->value.ptr);
            have = &pair->value;
        }
    }
}

static void check_prefix_redirect(struct reader *reader, const struct http_route *route)
{
    if (!route->redirect.prefix_rewrite.len)
        return;
    bool is_right = route->n_match > 0;
    for (uint32_t i = 0; i < route->n_match; i++) {
        const struct string_match *uri = &route->match[i].uri;
        is_right &= route->match[i].is_invalid || (uri->is_set && uri->kind == STRING_PREFIX);
    }
    if (!is_right)
        report_at(reader, "redirect.prefixRewrite", DIAG_FIELD_CONFLICT,
                  route->redirect.prefix_rewrite.line, route->redirect.prefix_rewrite.col, NULL,
                  "redirect prefix_rewrite requires all URI matches to use prefix match type");
}

static void check_route(struct reader *reader, const struct node *node, void *value)
{
    struct http_route *route = value;
    uint32_t n_valid = 0;
    drop_unfit_name(&route->name);
    for (uint32_t i = 0; i < route->n_match; i++)
        n_valid += !route->match[i].is_invalid;
    // Without its bad blocks, a rule that has no other one would match everything.
    if (route->n_match > 0 && n_valid == 0)
        reader->has_failed = true;
    check_conflicts(reader, node);
    if (route->delegate.is_set) {
        if (field_node(node, "route") || field_node(node, "redirect"))
            report_at(reader, "delegate", DIAG_FIELD_CONFLICT, route->delegate.line,
                      route->delegate.col, NULL,
                      "root HTTP route %s must not specify redirect/route",
                      route->name.ptr ? route->name.ptr : "");
    } else if (!field_node(node, "redirect") && !field_node(node, "directResponse") &&
               route->n_route == 0) {
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "HTTP route, redirect or direct_response is required");
    }
    if (reader->has_failed)
        return;
    check_weights(reader, route->route, route->n_route);
    check_one_authority(reader, route);
    check_prefix_redirect(reader, route);
}

static const struct field http_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct http_route, name),
     .check = check_plain_text,
     .doc = "Name of the route in the access log."},
    {.key = "match",
     .type = FIELD_LIST,
     LIST_AT(struct http_route, match, n_match),
     .table = &http_match_table,
     .doc = "When the rule applies: any of these, each with all its conditions; without any, "
            "always."},
    {.key = "route",
     .type = FIELD_LIST,
     LIST_AT(struct http_route, route, n_route),
     .table = &http_destination_table,
     .doc = "Where requests go."},
    {.key = "redirect",
     .type = FIELD_STRUCT,
     AT(struct http_route, redirect),
     .table = &redirect_table,
     .doc = "Instead of route: the client is sent elsewhere."},
    {.key = "directResponse",
     .type = FIELD_STRUCT,
     AT(struct http_route, direct_response),
     .table = &direct_response_table,
     .doc = "Instead of route: the gateway answers by itself."},
    {.key = "delegate",
     .type = FIELD_STRUCT,
     AT(struct http_route, delegate),
     .table = &delegate_table,
     .doc = "Instead of route: another VirtualService's rules."},
    {.key = "rewrite",
     .type = FIELD_STRUCT,
     AT(struct http_route, rewrite),
     .table = &rewrite_table,
     .doc = "Change of path and Host before the request is sent on."},
    {.key = "timeout",
     .type = FIELD_DURATION,
     AT(struct http_route, timeout),
     .doc = "How long the whole exchange may take, from the end of the request; 0s or none: for "
            "ever."},
    {.key = "headers",
     .type = FIELD_STRUCT,
     AT(struct http_route, headers),
     .table = &headers_table,
     .doc = "Changes of headers."},
    NOT_SERVED("retries", NULL, "Failed requests are tried again."),
    NOT_SERVED("fault", NULL, "Requests are delayed or aborted for a test."),
    NOT_SERVED("mirror", NULL, "A copy of each request goes elsewhere."),
    NOT_SERVED("mirrors", NULL, "Copies of each request go elsewhere."),
    NOT_SERVED("mirrorPercentage", NULL, "Share of requests that are mirrored."),
    NOT_SERVED("mirrorPercent", NULL, "The same in its old form."),
    NOT_SERVED("corsPolicy", NULL, "Answers to browsers about other origins."),
};
const struct table http_route_table = {
    .name = "HTTPRoute",
    TABLE_FIELDS(http_fields),
    .bytes = sizeof(struct http_route),
    .has_place = HAS(struct http_route, line),
    .has_is_invalid = HAS(struct http_route, is_invalid),
    .check = check_route,
};
