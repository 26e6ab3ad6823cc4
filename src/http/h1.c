// SPDX-License-Identifier: Apache-2.0
// Heads are read in one pass, front to back; the first byte that is wrong decides the error, so
// the same bytes give the same answer however they come in. What concerns the head as a whole
// (Host, framing, Connection) is judged once its end is there.
#include "http/h1.h"

#include "http/chars.h"
#include "http/uri.h"

enum {
    METHOD_BYTES_MAX = 32,
    EMPTY_LINES_MAX = 8,         // before a request line
    CONNECTION_OPTIONS_MAX = 64, // over all Connection fields
    LENGTH_DIGITS_MAX = 18,      // of a Content-Length: stays below 2^63
};

struct head {
    const char *begin, *p, *end; // what is there, cut at the limit; p: where reading is
    enum h1_error error;
    uint32_t seen, repeated; // bit per header id
};
#define SEEN(id) (UINT32_C(1) << HEADER_##id)
_Static_assert(HEADER_ID_COUNT <= 32, "ids are bits of a word");

// Removed by every hop whatever Connection says (RFC 9110, 7.6.1; RFC 9113, 3.1).
static const uint32_t hop_by_hop = SEEN(CONNECTION) | SEEN(KEEP_ALIVE) | SEEN(PROXY_CONNECTION) |
                                   SEEN(TE) | SEEN(TRANSFER_ENCODING) | SEEN(UPGRADE) |
                                   SEEN(HTTP2_SETTINGS);

// What Connection must not name: removing it would change how the message is framed, routed or
// believed.
static const uint32_t kept = SEEN(HOST) | SEEN(CONTENT_LENGTH) | SEEN(TRANSFER_ENCODING) |
                             SEEN(CONTENT_TYPE) | SEEN(COOKIE) | SEEN(X_FORWARDED_FOR) |
                             SEEN(X_FORWARDED_PROTO) | SEEN(X_FORWARDED_HOST) |
                             SEEN(X_FORWARDED_CLIENT_CERT) | SEEN(X_REQUEST_ID) | SEEN(X_ENVOY);

static enum h1_status fail(struct head *head, enum h1_error error)
{
    head->error = error;
    return H1_ERROR;
}

// With bytes that came since the last look: is there a reason to read the head again? Only a line
// end or a limit can turn MORE into something else, so a head that drips in is not read at every
// drop.
static bool has_news(const struct h1_limits *limits, const char *data, size_t len, size_t *scanned)
{
    size_t from = *scanned < len ? *scanned : len;
    if (from == 0 || len >= limits->head_bytes_max || memchr(data + from, '\n', len - from))
        return true;
    *scanned = len;
    return len > limits->target_bytes_max && !memchr(data, '\n', len);
}

static struct str trim_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct str){p, (size_t)(end - p)};
}

// Next element of a comma-separated list, without blanks; empty ones are passed over
// (RFC 9110, 5.6.1).
static bool next_element(struct str *rest, struct str *ret_element)
{
    struct str part;
    while (str_next(rest, ',', &part)) {
        *ret_element = trim_blanks(part.ptr, part.ptr + part.len);
        if (ret_element->len > 0)
            return true;
    }
    return false;
}

// Next field of this id; *i starts at 0 and is kept by the caller. Mostly there is but one, which
// `first` and `repeated` tell without a walk.
static const struct header *next_field(const struct head *head, const struct header_list *list,
                                       enum header_id id, unsigned *i)
{
    if (*i == 0) {
        *i = list->first[id];
        return header_get(list, id);
    }
    if (!(head->repeated & UINT32_C(1) << id))
        return NULL;
    while (*i < list->n) {
        const struct header *header = &list->items[(*i)++];
        if (header->id == id)
            return header;
    }
    return NULL;
}

static __attribute__((cold, noinline)) enum h1_status bad_name(struct head *head, const char *line,
                                                               const char *stop)
{
    if (stop == line && (*stop == ' ' || *stop == '\t'))
        return fail(head, H1_ERROR_OBS_FOLD);
    return fail(head, *stop == '\n' ? H1_ERROR_LINE_END : H1_ERROR_HEADER_NAME);
}

static __attribute__((cold, noinline)) enum h1_status bad_value(struct head *head, const char *stop)
{
    return fail(head, *stop == '\n' || *stop == '\r' ? H1_ERROR_LINE_END : H1_ERROR_HEADER_VALUE);
}

// Reads header lines and the empty line behind them.
static enum h1_status parse_fields(struct head *head, struct header_list *list, unsigned max)
{
    const char *const begin = head->begin, *const end = head->end;
    const char *p = head->p;
    uint32_t seen = 0, repeated = 0;
    unsigned n = 0;

    memset(list->first, 0, sizeof(list->first));
    for (;; n++) {
        if (p == end)
            return H1_MORE;
        if (*p == '\r') {
            if (end - p < 2)
                return H1_MORE;
            if (p[1] != '\n')
                return fail(head, H1_ERROR_LINE_END);
            break;
        }
        if (n == max)
            return fail(head, H1_ERROR_TOO_MANY_HEADERS);

        const char *colon = scan_name(begin, p, end);
        if (colon == end)
            return H1_MORE;
        if (*colon != ':' || colon == p)
            return bad_name(head, p, colon);
        const char *value = colon + 1;
        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        const char *stop = scan_value(begin, value, end);
        if (end - stop < 2) {
            if (stop < end && *stop != '\r')
                return bad_value(head, stop);
            return H1_MORE;
        }
        if (stop[0] != '\r' || stop[1] != '\n')
            return bad_value(head, stop);

        struct header *header = &list->items[n];
        header->name = (struct str){p, (size_t)(colon - p)};
        p = stop + 2;
        while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        header->value = (struct str){value, (size_t)(stop - value)};
        enum header_id id = header_id_of(header->name);
        uint32_t bit = UINT32_C(1) << id;
        header->id = (uint8_t)id;
        header->is_hop_by_hop = hop_by_hop & bit;
        if (!(seen & bit))
            list->first[id] = (uint8_t)(n + 1);
        repeated |= seen & bit;
        seen |= bit;
    }
    list->first[HEADER_OTHER] = 0;
    list->n = (uint16_t)n;
    head->p = p + 2;
    head->seen = seen;
    head->repeated = repeated;
    return H1_DONE;
}

static unsigned fields_max(const struct header_list *list, const struct h1_limits *limits)
{
    unsigned max = limits->headers_max < HEADERS_MAX ? limits->headers_max : HEADERS_MAX;
    return list->cap < max ? list->cap : max;
}

// --- What the fields mean, for both kinds of head

struct connection {
    bool close, keep_alive, upgrade;
};

static void mark_hop_by_hop(struct header_list *list, struct str name)
{
    for (unsigned i = 0; i < list->n; i++)
        if (str_equal_nocase(list->items[i].name, name))
            list->items[i].is_hop_by_hop = true;
}

// The one option that most messages have, if any.
static bool read_single_option(struct str value, struct connection *ret)
{
    if (value.len == 10 && has_text(value.ptr, "keep-alive", 10))
        return ret->keep_alive = true;
    if (value.len == 5 && has_text(value.ptr, "close", 5))
        return ret->close = true;
    return false;
}

// Reads all Connection fields; marks what they name.
static enum h1_error read_connection(const struct head *head, struct header_list *list,
                                     uint32_t may_not_name, struct connection *ret)
{
    unsigned n_options = 0, i = 0;
    const struct header *header;
    while ((header = next_field(head, list, HEADER_CONNECTION, &i))) {
        struct str rest = header->value, option;
        if (read_single_option(rest, ret))
            continue;
        while (next_element(&rest, &option)) {
            if (str_equal_nocase(option, STR("keep-alive"))) {
                ret->keep_alive = true;
            } else if (str_equal_nocase(option, STR("close"))) {
                ret->close = true;
            } else if (str_equal_nocase(option, STR("upgrade"))) {
                ret->upgrade = true;
            } else {
                if (!header_name_is_valid(option) || ++n_options > CONNECTION_OPTIONS_MAX)
                    return H1_ERROR_CONNECTION_HEADER;
                enum header_id id = header_id_of(option);
                if (id != HEADER_OTHER && may_not_name & UINT32_C(1) << id)
                    return H1_ERROR_CONNECTION_HEADER;
                mark_hop_by_hop(list, option);
            }
        }
    }
    return H1_ERROR_NONE;
}

// Digits and nothing else: no sign, no blank, no list (RFC 9112, 6.3).
static bool parse_length(struct str text, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT))
            return false;
        length = length * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret_length = length;
    return true;
}

// Tells what is wrong with a Transfer-Encoding that is not just "chunked". Where chunked is not
// last the end of the body is unknown, which RFC 9112, 6.3 wants answered 400; another coding
// below it is merely not served.
static enum h1_error judge_codings(struct str value)
{
    struct str coding, last = STR_NONE;
    unsigned n_chunked = 0;
    bool ends_in_comma = value.len > 0 && value.ptr[value.len - 1] == ',';
    while (next_element(&value, &coding)) {
        last = coding;
        n_chunked += str_equal_nocase(coding, STR("chunked"));
    }
    return n_chunked == 1 && str_equal_nocase(last, STR("chunked")) && !ends_in_comma
               ? H1_ERROR_TRANSFER_ENCODING
               : H1_ERROR_TRANSFER_ENCODING_REPEATED;
}

struct framing {
    bool is_chunked, has_length;
    uint64_t length;
};

static enum h1_error read_framing(const struct head *head, const struct header_list *list,
                                  unsigned minor, struct framing *ret)
{
    if (head->seen & SEEN(CONTENT_LENGTH)) {
        if (head->repeated & SEEN(CONTENT_LENGTH) ||
            !parse_length(header_get(list, HEADER_CONTENT_LENGTH)->value, &ret->length))
            return H1_ERROR_CONTENT_LENGTH;
        ret->has_length = true;
    }
    if (head->seen & SEEN(TRANSFER_ENCODING)) {
        if (minor == 0)
            return H1_ERROR_TRANSFER_ENCODING_1_0;
        if (ret->has_length)
            return H1_ERROR_LENGTH_AND_CHUNKED;
        if (head->repeated & SEEN(TRANSFER_ENCODING))
            return H1_ERROR_TRANSFER_ENCODING_REPEATED;
        struct str value = header_get(list, HEADER_TRANSFER_ENCODING)->value;
        if (!str_equal_nocase(value, STR("chunked")))
            return judge_codings(value);
        ret->is_chunked = true;
    }
    return H1_ERROR_NONE;
}

static bool has_element(const struct head *head, const struct header_list *list, enum header_id id,
                        struct str word)
{
    unsigned i = 0;
    const struct header *header;
    while ((header = next_field(head, list, id, &i))) {
        struct str rest = header->value, element;
        while (next_element(&rest, &element))
            if (str_equal_nocase(element, word))
                return true;
    }
    return false;
}

// --- Requests

static enum http_method method_id_of(struct str method)
{
#define IS(literal)                                                                                \
    (method.len == sizeof(literal) - 1 && memcmp(method.ptr, literal, sizeof(literal) - 1) == 0)
    switch (method.len) {
    case 3:
        return IS("GET") ? METHOD_GET : IS("PUT") ? METHOD_PUT : METHOD_OTHER;
    case 4:
        return IS("POST") ? METHOD_POST : IS("HEAD") ? METHOD_HEAD : METHOD_OTHER;
    case 5:
        return IS("PATCH") ? METHOD_PATCH : IS("TRACE") ? METHOD_TRACE : METHOD_OTHER;
    case 6:
        return IS("DELETE") ? METHOD_DELETE : METHOD_OTHER;
    case 7:
        return IS("OPTIONS") ? METHOD_OPTIONS : IS("CONNECT") ? METHOD_CONNECT : METHOD_OTHER;
    default:
        return METHOD_OTHER;
    }
#undef IS
}

// Line ends that a client sent behind its last body (RFC 9112, 2.2).
static enum h1_status skip_empty_lines(struct head *head)
{
    for (unsigned n = 0; head->p < head->end && (*head->p == '\r' || *head->p == '\n'); n++) {
        if (*head->p == '\n')
            return fail(head, H1_ERROR_LINE_END);
        if (n == EMPTY_LINES_MAX)
            return fail(head, H1_ERROR_REQUEST_LINE);
        if (head->end - head->p < 2)
            return H1_MORE;
        if (head->p[1] != '\n')
            return fail(head, H1_ERROR_LINE_END);
        head->p += 2;
    }
    return head->p < head->end ? H1_DONE : H1_MORE;
}

static enum h1_status parse_method(struct head *head, struct h1_request *req)
{
    const char *start = head->p, *p = start, *end = head->end;
    if (end - p > 4 && memcmp(p, "GET ", 4) == 0) {
        req->method = (struct str){p, 3};
        req->method_id = METHOD_GET;
        head->p = p + 4;
        return H1_DONE;
    }
    while (p < end && char_is(*p, CHAR_TOKEN))
        p++;
    if (p - start > METHOD_BYTES_MAX)
        return fail(head, H1_ERROR_METHOD);
    if (p == end)
        return H1_MORE;
    if (p == start || *p != ' ')
        return fail(head, *p == '\n' ? H1_ERROR_LINE_END : H1_ERROR_METHOD);
    req->method = (struct str){start, (size_t)(p - start)};
    req->method_id = method_id_of(req->method);
    head->p = p + 1;
    return H1_DONE;
}

// The bytes of the target; what they mean is decided when the version is known.
static enum h1_status parse_target(struct head *head, const struct h1_limits *limits,
                                   struct h1_request *req)
{
    const char *start = head->p, *stop = scan_target(head->begin, start, head->end);
    req->target = (struct str){start, (size_t)(stop - start)};
    if (req->target.len > limits->target_bytes_max)
        return fail(head, H1_ERROR_TARGET_TOO_LONG);
    if (stop == head->end)
        return H1_MORE;
    if (*stop == ' ' && stop > start) {
        head->p = stop + 1;
        return H1_DONE;
    }
    if (*stop == '\n')
        return fail(head, H1_ERROR_LINE_END);
    if (stop == start) // a second space, or no target at all
        return fail(head, *stop == ' ' || *stop == '\r' ? H1_ERROR_REQUEST_LINE : H1_ERROR_TARGET);
    if (*stop == '\r') {
        if (head->end - stop < 2)
            return H1_MORE;
        return fail(head, stop[1] == '\n' ? H1_ERROR_VERSION : H1_ERROR_LINE_END); // HTTP/0.9
    }
    return fail(head, H1_ERROR_TARGET);
}

// Byte by byte what parse_version() tells at a glance: the first byte that does not fit.
static enum h1_status judge_version(struct head *head)
{
    static const char pattern[] = "HTTP/d.d\r\n";
    for (unsigned i = 0; i < sizeof(pattern) - 1; i++) {
        if (head->p + i == head->end)
            return H1_MORE;
        char c = head->p[i];
        if (pattern[i] == 'd' ? char_is(c, CHAR_DIGIT) : c == pattern[i])
            continue;
        if (c == '\n' || pattern[i] == '\n')
            return fail(head, H1_ERROR_LINE_END);
        return fail(head, i == 6 && c == '\r' ? H1_ERROR_VERSION : H1_ERROR_REQUEST_LINE);
    }
    return fail(head, H1_ERROR_VERSION);
}

static enum h1_status parse_version(struct head *head, struct h1_request *req)
{
    const char *p = head->p;
    if (head->end - p < 10 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '1' && p[7] != '0') ||
        p[8] != '\r' || p[9] != '\n')
        return judge_version(head);
    req->minor = (uint8_t)(p[7] - '0');
    head->p = p + 10;
    return H1_DONE;
}

static enum h1_status parse_request_line(struct head *head, const struct h1_limits *limits,
                                         struct h1_request *req)
{
    enum h1_status status = skip_empty_lines(head);
    if (status == H1_DONE)
        status = parse_method(head, req);
    if (status == H1_DONE)
        status = parse_target(head, limits, req);
    if (status == H1_DONE)
        status = parse_version(head, req);
    return status;
}

static void split_query(struct h1_request *req)
{
    const char *mark = memchr(req->target.ptr, '?', req->target.len);
    req->path = req->target;
    req->query = STR_NONE;
    req->has_query = mark;
    if (mark) {
        req->path.len = (size_t)(mark - req->target.ptr);
        req->query = str_from(req->target, req->path.len + 1);
    }
}

// absolute-form (RFC 9112, 3.2.2): the authority in it counts, whatever Host says.
static enum h1_error read_absolute_form(struct h1_request *req)
{
    static const struct str schemes[] = {{"http", 4}, {"https", 5}};
    struct str rest = STR_NONE;
    for (unsigned i = 0; i < 2; i++) {
        struct str scheme = schemes[i];
        if (req->target.len > scheme.len + 3 &&
            str_equal_nocase(str_upto(req->target, scheme.len), scheme) &&
            memcmp(req->target.ptr + scheme.len, "://", 3) == 0) {
            req->scheme = str_upto(req->target, scheme.len);
            rest = str_from(req->target, scheme.len + 3);
        }
    }
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
        n++;
    req->authority = str_upto(rest, n);
    if (!uri_authority_is_valid(req->authority))
        return H1_ERROR_TARGET;
    req->target = str_from(rest, n);
    if (req->target.len == 0) // RFC 9112, 3.2.4: OPTIONS of a whole server
        req->target = req->method_id == METHOD_OPTIONS ? STR("*") : STR("/");
    return H1_ERROR_NONE;
}

// Which of the four forms the target has (RFC 9112, 3.2), and the parts of it.
static enum h1_error read_target(struct h1_request *req)
{
    req->scheme = STR_NONE;
    if (req->method_id == METHOD_CONNECT) {
        if (!uri_authority_is_valid(req->target) ||
            !char_is(req->target.ptr[req->target.len - 1], CHAR_DIGIT) ||
            !memchr(req->target.ptr, ':', req->target.len))
            return H1_ERROR_TARGET;
        req->authority = req->target;
        req->path = req->query = STR_NONE;
        req->has_query = false;
        return H1_ERROR_NONE;
    }
    if (req->target.ptr[0] != '/') {
        if (str_equal(req->target, STR("*"))) {
            if (req->method_id != METHOD_OPTIONS)
                return H1_ERROR_TARGET;
        } else {
            enum h1_error error = read_absolute_form(req);
            if (error)
                return error;
        }
    }
    split_query(req);
    if (req->path.len == 0) // "http://host?query": its origin-form "/?query" stands nowhere in the bytes
        req->path = STR("/");
    return H1_ERROR_NONE;
}

static enum h1_error read_host(const struct head *head, struct h1_request *req)
{
    req->authority = STR_NONE;
    if (!(head->seen & SEEN(HOST)))
        return req->minor == 0 ? H1_ERROR_NONE : H1_ERROR_HOST_MISSING;
    if (head->repeated & SEEN(HOST))
        return H1_ERROR_HOST_REPEATED;
    req->authority = header_get(&req->headers, HEADER_HOST)->value;
    return uri_authority_is_valid(req->authority) ? H1_ERROR_NONE : H1_ERROR_HOST_INVALID;
}

// What the connection is to do. Most requests have none of these fields.
static enum h1_error read_request_options(const struct head *head, struct h1_request *req)
{
    struct connection connection = {0};
    if (head->seen & SEEN(CONNECTION)) {
        enum h1_error error = read_connection(head, &req->headers, kept, &connection);
        if (error)
            return error;
    }
    req->keep_alive = !connection.close && (req->minor == 1 || connection.keep_alive);
    req->is_upgrade = connection.upgrade && req->minor == 1 && head->seen & SEEN(UPGRADE) &&
                      header_get(&req->headers, HEADER_UPGRADE)->value.len > 0;
    req->expects_continue = req->minor == 1 && head->seen & SEEN(EXPECT) &&
                            has_element(head, &req->headers, HEADER_EXPECT, STR("100-continue"));
    req->te_trailers =
        head->seen & SEEN(TE) && has_element(head, &req->headers, HEADER_TE, STR("trailers"));
    return H1_ERROR_NONE;
}

static enum h1_error read_request_body(const struct head *head, struct h1_request *req)
{
    struct framing framing = {0};
    if (head->seen & (SEEN(CONTENT_LENGTH) | SEEN(TRANSFER_ENCODING))) {
        enum h1_error error = read_framing(head, &req->headers, req->minor, &framing);
        if (error)
            return error;
    }
    req->body = framing.is_chunked ? BODY_CHUNKED : framing.length > 0 ? BODY_LENGTH : BODY_NONE;
    req->content_length = framing.length;
    return H1_ERROR_NONE;
}

// The common end of both parsers: what is not decided by the limit is MORE.
static enum h1_status finish(struct head *head, enum h1_status status,
                             const struct h1_limits *limits, size_t len, size_t *scanned,
                             size_t *ret_len, enum h1_error *reterr_error)
{
    switch (status) {
    case H1_DONE:
        *ret_len = (size_t)(head->p - head->begin);
        return H1_DONE;
    case H1_MORE:
        if (len < limits->head_bytes_max) {
            *scanned = len;
            return H1_MORE;
        }
        *reterr_error = H1_ERROR_HEADERS_TOO_LARGE;
        return H1_ERROR;
    case H1_ERROR:
        break;
    }
    *reterr_error = head->error;
    return H1_ERROR;
}

enum h1_status h1_parse_request(struct h1_request *req, const struct h1_limits *limits,
                                const char *data, size_t len, size_t *scanned, size_t *ret_len,
                                enum h1_error *reterr_error)
{
    if (len == 0 || !has_news(limits, data, len, scanned))
        return H1_MORE;
    size_t n = len < limits->head_bytes_max ? len : limits->head_bytes_max;
    struct head head = {.begin = data, .p = data, .end = data + n};

    enum h1_status status = parse_request_line(&head, limits, req);
    if (status == H1_DONE)
        status = parse_fields(&head, &req->headers, fields_max(&req->headers, limits));
    if (status == H1_DONE) {
        enum h1_error error = read_host(&head, req);
        if (!error)
            error = read_target(req);
        if (!error)
            error = read_request_body(&head, req);
        if (!error)
            error = read_request_options(&head, req);
        if (error)
            status = fail(&head, error);
    }
    return finish(&head, status, limits, len, scanned, ret_len, reterr_error);
}

// --- Responses

// Byte by byte: "HTTP/1.1 200", and nothing that is not known yet.
static enum h1_status judge_status_line(struct head *head)
{
    static const char pattern[] = "HTTP/1.b ddd";
    for (unsigned i = 0; i < sizeof(pattern) - 1; i++) {
        if (head->p + i == head->end)
            return H1_MORE;
        char c = head->p[i];
        bool fits = pattern[i] == 'd'   ? char_is(c, CHAR_DIGIT)
                    : pattern[i] == 'b' ? c == '0' || c == '1'
                                        : c == pattern[i];
        if (!fits)
            return fail(head, H1_ERROR_STATUS_LINE);
    }
    return H1_DONE;
}

// The reason, and the space before it, may be missing.
static enum h1_status parse_status_line(struct head *head, struct h1_response *res)
{
    const char *p = head->p;
    if (head->end - p < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0 || !char_is(p[9], CHAR_DIGIT) ||
        !char_is(p[10], CHAR_DIGIT) || !char_is(p[11], CHAR_DIGIT)) {
        enum h1_status status = judge_status_line(head);
        if (status != H1_DONE)
            return status;
    }
    res->minor = (uint8_t)(p[7] - '0');
    res->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    if (res->status < 100 || res->status > 599)
        return fail(head, H1_ERROR_STATUS_LINE);
    p += 12;
    const char *stop = scan_value(head->begin, p, head->end);
    if (p < head->end && p < stop && *p != ' ')
        return fail(head, H1_ERROR_STATUS_LINE);
    if (stop < head->end && *stop != '\r')
        return fail(head, *stop == '\n' ? H1_ERROR_LINE_END : H1_ERROR_STATUS_LINE);
    if (head->end - stop < 2)
        return H1_MORE;
    if (stop[1] != '\n')
        return fail(head, H1_ERROR_LINE_END);
    res->reason = p < stop ? (struct str){p + 1, (size_t)(stop - p - 1)} : STR_NONE;
    head->p = stop + 2;
    return H1_DONE;
}

// RFC 9112, 6.3, with the request that is answered.
static enum body_kind body_of_response(const struct h1_response *res, enum http_method method,
                                       const struct framing *framing)
{
    if (method == METHOD_HEAD || res->status < 200 || res->status == 204 || res->status == 304 ||
        (method == METHOD_CONNECT && res->status < 300))
        return BODY_NONE;
    if (framing->is_chunked)
        return BODY_CHUNKED;
    if (framing->has_length)
        return framing->length > 0 ? BODY_LENGTH : BODY_NONE;
    return BODY_UNTIL_CLOSE;
}

static enum h1_error read_response_fields(const struct head *head, enum http_method method,
                                          struct h1_response *res)
{
    struct framing framing = {0};
    struct connection connection = {0};
    enum h1_error error = read_framing(head, &res->headers, res->minor, &framing);
    if (error)
        return error;
    // Some servers name Transfer-Encoding; it is removed by every hop anyway.
    error = read_connection(head, &res->headers, kept & ~SEEN(TRANSFER_ENCODING), &connection);
    if (error)
        return error;
    res->has_content_length = framing.has_length;
    res->content_length = framing.length;
    res->body = body_of_response(res, method, &framing);
    // These must not carry a length (RFC 9110, 8.6); the next hop is not to see one either.
    if (framing.has_length && (res->status < 200 || res->status == 204))
        res->headers.items[res->headers.first[HEADER_CONTENT_LENGTH] - 1].is_hop_by_hop = true;
    res->keep_alive = !connection.close && (res->minor == 1 || connection.keep_alive) &&
                      res->body != BODY_UNTIL_CLOSE;
    res->is_upgrade = res->status == 101;
    return H1_ERROR_NONE;
}

enum h1_status h1_parse_response(struct h1_response *res, enum http_method request_method,
                                 const struct h1_limits *limits, const char *data, size_t len,
                                 size_t *scanned, size_t *ret_len, enum h1_error *reterr_error)
{
    if (len == 0 || !has_news(limits, data, len, scanned))
        return H1_MORE;
    size_t n = len < limits->head_bytes_max ? len : limits->head_bytes_max;
    struct head head = {.begin = data, .p = data, .end = data + n};

    enum h1_status status = parse_status_line(&head, res);
    if (status == H1_DONE)
        status = parse_fields(&head, &res->headers, fields_max(&res->headers, limits));
    if (status == H1_DONE) {
        enum h1_error error = read_response_fields(&head, request_method, res);
        if (error)
            status = fail(&head, error);
    }
    return finish(&head, status, limits, len, scanned, ret_len, reterr_error);
}
