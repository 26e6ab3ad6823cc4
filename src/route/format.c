// SPDX-License-Identifier: Apache-2.0
// A format is a flat list of operations, each with the literal text in front of it. What is known
// when it is parsed (constants, operators without a value here) becomes literal text, and in JSON
// the literals are escaped beforehand, so that rendering is one loop.
#include "route/format.h"

#include "base/doc.h"
#include "base/utf8.h"
#include "route/format_operators.h"
#include "route/format_write.h"

const char format_istio_default[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

static const char istio_default_json[] =
    "{\"start_time\":\"%START_TIME%\",\"route_name\":\"%ROUTE_NAME%\",\"method\":\"%REQ(:METHOD)%"
    "\","
    "\"path\":\"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%\",\"protocol\":\"%PROTOCOL%\","
    "\"response_code\":\"%RESPONSE_CODE%\",\"response_flags\":\"%RESPONSE_FLAGS%\","
    "\"response_code_details\":\"%RESPONSE_CODE_DETAILS%\","
    "\"connection_termination_details\":\"%CONNECTION_TERMINATION_DETAILS%\","
    "\"bytes_received\":\"%BYTES_RECEIVED%\",\"bytes_sent\":\"%BYTES_SENT%\","
    "\"duration\":\"%DURATION%\",\"upstream_service_time\":\"%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"
    "\","
    "\"x_forwarded_for\":\"%REQ(X-FORWARDED-FOR)%\",\"user_agent\":\"%REQ(USER-AGENT)%\","
    "\"request_id\":\"%REQ(X-REQUEST-ID)%\",\"authority\":\"%REQ(:AUTHORITY)%\","
    "\"upstream_host\":\"%UPSTREAM_HOST%\",\"upstream_cluster\":\"%UPSTREAM_CLUSTER_RAW%\","
    "\"upstream_local_address\":\"%UPSTREAM_LOCAL_ADDRESS%\","
    "\"downstream_local_address\":\"%DOWNSTREAM_LOCAL_ADDRESS%\","
    "\"downstream_remote_address\":\"%DOWNSTREAM_REMOTE_ADDRESS%\","
    "\"requested_server_name\":\"%REQUESTED_SERVER_NAME%\","
    "\"upstream_transport_failure_reason\":\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\"}";

enum mode {
    MODE_TEXT,        // absent: "-"
    MODE_HEADER,      // absent: nothing
    MODE_JSON,        // a value of its own: number, quoted string, null
    MODE_JSON_INSIDE, // part of a string: escaped, absent: "-"
};

struct format {
    const struct operation *operations;
    size_t n_operations;
    struct str tail; // literal text behind the last one
};

// ---- parsing ----

struct builder {
    struct arena *arena;
    struct buf operations; // of struct operation
    struct buf literal;    // not yet given to an operation
    struct format_error *error;
    uint32_t index;
};

static void add_escaped(struct buf *out, struct str text)
{
    struct buf quoted = {0};
    buf_add_json(&quoted, text);
    buf_add(out, quoted.data + 1, quoted.len - 2);
    buf_fini(&quoted);
}

static void add_literal(struct builder *builder, struct str text, enum mode mode)
{
    if (mode == MODE_JSON_INSIDE)
        add_escaped(&builder->literal, text);
    else
        buf_add_str(&builder->literal, text);
}

static struct str absent_text(const struct operation *operation)
{
    switch ((enum mode)operation->mode) {
    case MODE_JSON:
        return operation->row->dash_in_json ? STR("\"-\"") : STR("null");
    case MODE_HEADER:
        return STR_NONE;
    case MODE_TEXT:
    case MODE_JSON_INSIDE:
        break;
    }
    return STR("-");
}

static void add_operation(struct builder *builder, struct operation *operation, enum mode mode)
{
    operation->mode = (uint8_t)mode;
    if (operation->kind == OPERATOR_ABSENT) {
        buf_add_str(&builder->literal, absent_text(operation));
    } else if (operation->kind == OPERATOR_CONSTANT && mode == MODE_JSON) {
        buf_add_json(&builder->literal, operation->text);
    } else if (operation->kind == OPERATOR_CONSTANT) {
        add_literal(builder, operation->text, mode);
    } else {
        operation->literal = arena_str(builder->arena, buf_str(&builder->literal));
        builder->literal.len = 0;
        buf_add(&builder->operations, operation, sizeof(*operation));
    }
}

// The operator behind the '%' at `at`. Returns the place behind it; 0: an error.
static size_t read_operator(struct builder *builder, struct str text, size_t at,
                            struct operation *ret)
{
    *ret = (struct operation){.index = builder->index};
    builder->index += 16; // COALESCE numbers its own in between
    size_t used = operator_parse(builder->arena, str_from(text, at + 1), ret, builder->error);
    if (used == 0)
        builder->error->offset = at;
    return used == 0 ? 0 : at + 1 + used;
}

static bool add_text(struct builder *builder, struct str text, enum mode mode)
{
    for (size_t at = 0; at < text.len;) {
        struct str rest = str_from(text, at);
        ptrdiff_t percent = str_index(rest, '%');
        if (percent != 0) {
            struct str plain = percent < 0 ? rest : str_upto(rest, (size_t)percent);
            add_literal(builder, plain, mode);
            at += plain.len;
        } else if (rest.len > 1 && rest.ptr[1] == '%') {
            add_literal(builder, STR("%"), mode);
            at += 2;
        } else {
            struct operation operation;
            at = read_operator(builder, text, at, &operation);
            if (at == 0)
                return false;
            add_operation(builder, &operation, mode);
        }
    }
    return true;
}

static const struct format *finish(struct builder *builder, bool is_good)
{
    struct format *format = NULL;
    if (is_good) {
        format = ARENA_NEW(builder->arena, struct format);
        format->n_operations = builder->operations.len / sizeof(struct operation);
        if (format->n_operations > 0)
            format->operations =
                arena_copy(builder->arena, builder->operations.data, builder->operations.len);
        format->tail = arena_str(builder->arena, buf_str(&builder->literal));
    }
    buf_fini(&builder->operations);
    buf_fini(&builder->literal);
    return format;
}

const struct format *format_parse(struct arena *arena, struct str text, unsigned flags,
                                  struct format_error *reterr_error)
{
    struct builder builder = {.arena = arena, .error = reterr_error};
    bool is_good = add_text(&builder, text, flags & FORMAT_HEADER_VALUE ? MODE_HEADER : MODE_TEXT);
    return finish(&builder, is_good);
}

// ---- parsing JSON ----

static size_t offset_of(struct str text, const struct node *node)
{
    size_t at = 0;
    for (uint32_t line = 1; line < node->line && at < text.len; at++)
        line += text.ptr[at] == '\n';
    at += node->col > 0 ? node->col - 1 : 0;
    if (at < text.len && text.ptr[at] == '"')
        at++;
    return at < text.len ? at : text.len;
}

static bool add_string(struct builder *builder, struct str text)
{
    if (text.len > 1 && text.ptr[0] == '%' && text.ptr[1] != '%') {
        struct operation operation;
        size_t end = read_operator(builder, text, 0, &operation);
        if (end == text.len)
            add_operation(builder, &operation, MODE_JSON);
        if (end == text.len || end == 0)
            return end != 0;
    }
    buf_add_char(&builder->literal, '"');
    bool is_good = add_text(builder, text, MODE_JSON_INSIDE);
    buf_add_char(&builder->literal, '"');
    return is_good;
}

static size_t skip_digits(struct str text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at;
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? (RFC 8259, 6)
static bool is_json_number(struct str text)
{
    size_t first = text.len > 0 && text.ptr[0] == '-';
    size_t at = skip_digits(text, first);
    if (at == first || (at > first + 1 && text.ptr[first] == '0'))
        return false;
    if (at < text.len && text.ptr[at] == '.') {
        size_t fraction = at + 1;
        at = skip_digits(text, fraction);
        if (at == fraction)
            return false;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        size_t exponent = at + 1;
        if (exponent < text.len && (text.ptr[exponent] == '+' || text.ptr[exponent] == '-'))
            exponent++;
        at = skip_digits(text, exponent);
        if (at == exponent)
            return false;
    }
    return at == text.len;
}

static bool add_node(struct builder *builder, struct str text, const struct node *node);

static bool add_scalar(struct builder *builder, struct str text, const struct node *node)
{
    struct str scalar = node->scalar;
    if (!node->is_quoted &&
        (is_json_number(scalar) || str_is(scalar, "true") || str_is(scalar, "false"))) {
        buf_add_str(&builder->literal, scalar);
        return true;
    }
    if (add_string(builder, scalar))
        return true;
    builder->error->offset += offset_of(text, node);
    return false;
}

static bool add_map(struct builder *builder, struct str text, const struct node *node)
{
    buf_add_char(&builder->literal, '{');
    for (uint32_t i = 0; i < node->map.n_pairs; i++) {
        if (i > 0)
            buf_add_char(&builder->literal, ',');
        buf_add_json(&builder->literal, node->map.pairs[i].key);
        buf_add_char(&builder->literal, ':');
        if (!add_node(builder, text, node->map.pairs[i].value))
            return false;
    }
    buf_add_char(&builder->literal, '}');
    return true;
}

static bool add_list(struct builder *builder, struct str text, const struct node *node)
{
    buf_add_char(&builder->literal, '[');
    for (uint32_t i = 0; i < node->list.n_items; i++) {
        if (i > 0)
            buf_add_char(&builder->literal, ',');
        if (!add_node(builder, text, node->list.items[i]))
            return false;
    }
    buf_add_char(&builder->literal, ']');
    return true;
}

static bool add_node(struct builder *builder, struct str text, const struct node *node)
{
    switch (node->type) {
    case NODE_SCALAR:
        return add_scalar(builder, text, node);
    case NODE_MAP:
        return add_map(builder, text, node);
    case NODE_LIST:
        return add_list(builder, text, node);
    case NODE_NULL:
        break;
    }
    buf_add_text(&builder->literal, "null");
    return true;
}

const struct format *format_parse_json(struct arena *arena, struct str text,
                                       struct format_error *reterr_error)
{
    struct builder builder = {.arena = arena, .error = reterr_error};
    struct node *root = NULL;
    struct doc_error doc_error;
    if (text.len == 0)
        text = str_of(istio_default_json);
    reterr_error->offset = 0;
    if (!str_has_prefix(str_trim(text), STR("{"))) {
        format_error_set(reterr_error, "the format is not a JSON object");
        return NULL;
    }
    if (!doc_parse(arena, text, 1, &root, &doc_error)) {
        struct node place = {.line = doc_error.line, .col = doc_error.col};
        reterr_error->offset = offset_of(text, &place);
        format_error_set(reterr_error, "not JSON: %.120s", doc_error.message);
        return NULL;
    }
    bool is_good = root && root->type == NODE_MAP;
    if (is_good)
        is_good = add_map(&builder, text, root);
    else
        format_error_set(reterr_error, "the format is not a JSON object");
    buf_add_char(&builder.literal, '\n');
    return finish(&builder, is_good);
}

// ---- rendering ----

static void escape_byte(struct format_out *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\nn\rr\tt";
    for (const char *p = shorts; c != 0 && *p; p += 2) {
        if ((unsigned char)*p == c) {
            char text[2] = {'\\', p[1]};
            out_add(out, text, sizeof(text));
            return;
        }
    }
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    out_add(out, text, sizeof(text));
}

// How many of the bytes at the front of `text` need no escape and are ASCII, eight at a time.
static size_t plain_run(struct str text)
{
    static const uint64_t ones = UINT64_MAX / 255, highs = ones * 0x80;
    size_t at = 0;
    for (; at + 8 <= text.len; at += 8) {
        uint64_t word;
        memcpy(&word, text.ptr + at, 8);
        // A byte of x that is 0 borrows into its top bit; false alarms only cost the slow way.
        uint64_t quote = (word ^ ones * '"') - ones, backslash = (word ^ ones * '\\') - ones;
        uint64_t control = word - ones * 0x20, delete = (word ^ ones * 0x7f) - ones;
        if ((word | quote | backslash | control | delete) & highs)
            break;
    }
    return at;
}

// As buf_add_json, without its quotes.
static void render_escaped(struct format_out *out, struct str text)
{
    size_t plain = 0;
    for (size_t i = plain_run(text); i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t len = c < 0x80 ? 1 : utf8_len(str_from(text, i));
        if (len > 1 || (len == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)) {
            i += len;
            continue;
        }
        out_add(out, text.ptr + plain, i - plain);
        escape_byte(out, c);
        plain = ++i;
    }
    out_add(out, text.ptr + plain, text.len - plain);
}

static void render_value(struct format_out *out, const struct operation *operation,
                         const struct value *value)
{
    if (value->is_number) {
        out_add_number(out, value->number);
        return;
    }
    switch ((enum mode)operation->mode) {
    case MODE_TEXT:
        if (value->text.len == 0)
            out_add_char(out, '-');
        else
            out_add(out, value->text.ptr, value->text.len);
        break;
    case MODE_HEADER:
        out_add(out, value->text.ptr, value->text.len);
        break;
    case MODE_JSON:
        out_add_char(out, '"');
        render_escaped(out, value->text);
        out_add_char(out, '"');
        break;
    case MODE_JSON_INSIDE:
        render_escaped(out, value->text.len > 0 ? value->text : STR("-"));
        break;
    }
}

enum { DIRECT_MAX = TIME_TEXT_MAX }; // more than an address takes

// Times and addresses in text are made where they are to stand.
static bool is_direct(const struct operation *operation)
{
    return operation->mode <= MODE_HEADER &&
           (operation->kind == OPERATOR_TIME || operation->kind == OPERATOR_ADDRESS);
}

size_t format_render(const struct format *format, const struct request_info *info, char *out,
                     size_t cap)
{
    char scratch[SCRATCH_BYTES];
    struct format_out line = {.data = cap > 0 ? out : scratch, .cap = cap}; // `out` may be NULL
    for (size_t i = 0; i < format->n_operations; i++) {
        const struct operation *operation = &format->operations[i];
        struct value value;
        out_add(&line, operation->literal.ptr, operation->literal.len);
        bool is_in_place = is_direct(operation) && line.cap >= line.len + DIRECT_MAX;
        char *place = is_in_place ? line.data + line.len : scratch;
        if (!operation_evaluate(operation, info, place, &value)) {
            struct str absent = absent_text(operation);
            out_add(&line, absent.ptr, absent.len);
        } else if (is_in_place) {
            line.len += value.text.len;
        } else {
            render_value(&line, operation, &value);
        }
    }
    out_add(&line, format->tail.ptr, format->tail.len);
    return line.len;
}

bool format_is_constant(const struct format *format, struct str *ret_text)
{
    if (format->n_operations > 0)
        return false;
    *ret_text = format->tail;
    return true;
}

// ---- the manual ----

static void print_rows(struct buf *out, bool is_refused)
{
    for (size_t i = 0; i < n_operator_rows; i++) {
        const struct operator* row = & operator_rows[i];
        if ((row->kind == OPERATOR_REFUSED) != is_refused)
            continue;
        buf_printf(out, "| `%s%s` | ", row->name, is_refused ? "" : row->form);
        if (!is_refused)
            buf_printf(out, "%s | ", row->type == TYPE_NUMBER ? "number" : "string");
        buf_printf(out, "%s |\n", row->doc);
    }
}

void format_print_reference(struct buf *out)
{
    buf_add_text(
        out,
        "# Access log formats: command operators\n"
        "\n"
        "A format is text with operators in percent signs: `%NAME%`, `%NAME(argument)%`,\n"
        "`%NAME(argument):LENGTH%` (cut to LENGTH bytes). `%%` is a percent sign. An unknown name "
        "or a\n"
        "wrong argument is an error that says where it stands. The same operators serve in header\n"
        "values.\n"
        "\n"
        "A value that is absent or empty is `-` in text and nothing in a header value. In JSON an\n"
        "absent value is `null` where the operator stands alone, `-` within a longer string; an\n"
        "operator that stands alone keeps its type.\n"
        "\n"
        "Where several names are joined by `?`, the first that is present counts. Times take ");
    buf_add_text(out, time_format_conversions);
    buf_add_text(out, ".\n\n## Operators\n\n| operator | in JSON | value |\n|---|---|---|\n");
    print_rows(out, false);
    buf_add_text(out, "\n## Known but not served\n\nThese are refused by name.\n\n"
                      "| operator | why |\n|---|---|\n");
    print_rows(out, true);
    buf_add_text(out, "\n## The default line\n\n```\n");
    buf_add_text(out, format_istio_default);
    buf_add_text(out, "```\n\nThe default JSON object:\n\n```\n");
    buf_add_text(out, istio_default_json);
    buf_add_text(out, "\n```\n");
}
