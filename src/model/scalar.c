// SPDX-License-Identifier: Apache-2.0
// Single values. Kubernetes turns YAML into JSON by the rules of YAML 1.1 before it looks at types,
// so `yes` is a boolean, `1_000` a number and "80" a string; where a file would be refused there,
// it is refused here, with the same reason.
#include "model/field.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words; words++) {
        if (str_is(text, *words))
            return true;
    }
    return false;
}

static const char *const true_words[] = {"true", "True", "TRUE", "y",  "Y",  "yes",
                                         "Yes",  "YES",  "on",   "On", "ON", NULL};
static const char *const false_words[] = {"false", "False", "FALSE", "n",   "N",   "no",
                                          "No",    "NO",    "off",   "Off", "OFF", NULL};
static const char *const null_words[] = {"~", "null", "Null", "NULL", NULL};
static const char *const float_words[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",
                                          ".INF",  "+.inf", "+.Inf", "+.INF", "-.inf",
                                          "-.Inf", "-.INF", NULL};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// [-+]? ( digits [. digits] | . digits ) [eE [-+] digits], with underscores as YAML 1.1 has them
static bool is_decimal(struct str text)
{
    size_t i = 0, digits = 0;
    if (i < text.len && (text.ptr[i] == '-' || text.ptr[i] == '+'))
        i++;
    if (i < text.len && text.ptr[i] == '_') // a number does not begin with one
        return false;
    for (; i < text.len && (is_digit(text.ptr[i]) || text.ptr[i] == '_'); i++)
        digits += text.ptr[i] != '_';
    if (i < text.len && text.ptr[i] == '.') {
        for (i++; i < text.len && (is_digit(text.ptr[i]) || text.ptr[i] == '_'); i++)
            digits += text.ptr[i] != '_';
    }
    if (digits == 0)
        return false;
    if (i < text.len && (text.ptr[i] == 'e' || text.ptr[i] == 'E')) {
        i++;
        if (i < text.len && (text.ptr[i] == '-' || text.ptr[i] == '+'))
            i++;
        size_t start = i;
        while (i < text.len && is_digit(text.ptr[i]))
            i++;
        if (i == start)
            return false;
    }
    return i == text.len;
}

// 0x1F, 0o17, 017, 0b11, or decimal; false when it is none or does not fit.
static bool parse_integer(struct str text, int64_t *ret)
{
    char digits[72];
    size_t n = 0;
    bool is_negative = text.len && text.ptr[0] == '-';
    size_t i = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
    for (; i < text.len && n < sizeof(digits) - 1; i++) {
        if (text.ptr[i] != '_')
            digits[n++] = text.ptr[i];
    }
    digits[n] = '\0';
    int base = 10;
    const char *start = digits;
    if (n > 1 && digits[0] == '0') {
        char mark = ascii_lower(digits[1]);
        base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
        start += mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1;
    }
    if (i < text.len || !*start || *start == '-' || *start == '+' || *start == ' ')
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(start, &end, base);
    if (errno || *end)
        return false;
    *ret = is_negative ? -value : value;
    return true;
}

static bool is_prefixed_integer(struct str text) // 0x1F, 0o17, 0b11
{
    int64_t value;
    return text.len > 2 && strchr("+-0", text.ptr[0]) && parse_integer(text, &value);
}

enum scalar_type scalar_type(const struct node *node)
{
    if (node->type == NODE_NULL)
        return SCALAR_NULL;
    if (node->type != NODE_SCALAR || node->is_quoted)
        return SCALAR_TEXT;
    struct str text = node->scalar;
    if (text.len == 0)
        return SCALAR_NULL;
    // No word is longer than five characters; most texts are, and most others begin otherwise.
    if (text.len <= 5 && strchr("~nNtTyYoOfF.+-", text.ptr[0])) {
        if (is_one_of(text, null_words))
            return SCALAR_NULL;
        if (is_one_of(text, true_words) || is_one_of(text, false_words))
            return SCALAR_BOOL;
        if (is_one_of(text, float_words))
            return SCALAR_NUMBER;
    }
    if (!strchr("+-.0123456789", text.ptr[0]))
        return SCALAR_TEXT;
    return is_decimal(text) || is_prefixed_integer(text) ? SCALAR_NUMBER : SCALAR_TEXT;
}

static const char *describe(const struct node *node)
{
    switch (node->type) {
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a map";
    case NODE_NULL:
        return "null";
    case NODE_SCALAR:
        break;
    }
    switch (scalar_type(node)) {
    case SCALAR_BOOL:
        return "a boolean";
    case SCALAR_NUMBER:
        return "a number";
    case SCALAR_NULL:
        return "null";
    case SCALAR_TEXT:
        break;
    }
    return "a string";
}

// `wanted`: the scalar type that is due; SCALAR_NULL when no scalar is.
static void report_type(struct reader *reader, const struct node *node, enum scalar_type wanted,
                        const char *due)
{
    if (node->type != NODE_SCALAR) {
        report(reader, DIAG_FIELD_TYPE, node->line, node->col, NULL, "this is %s, %s is due",
               describe(node), due);
        return;
    }
    const char *hint = NULL;
    struct node bare = *node;
    bare.is_quoted = false;
    if (wanted == SCALAR_TEXT && !node->is_quoted)
        hint = "put it in quotes";
    else if (wanted != SCALAR_NULL && node->is_quoted && scalar_type(&bare) == wanted)
        hint = "leave out the quotes";
    const char *quote = node->is_quoted ? "\"" : "";
    report(reader, DIAG_FIELD_TYPE, node->line, node->col, hint, "%s%.*s%s is %s, %s is due", quote,
           STR_ARG(str_upto(node->scalar, 80)), quote, describe(node), due);
}

bool expect_type(struct reader *reader, const struct node *node, enum node_type type,
                 const char *due)
{
    if (node->type == type)
        return true;
    report_type(reader, node, SCALAR_NULL, due);
    return false;
}

bool read_text(struct reader *reader, const struct field *field, const struct node *node,
               struct text *ret)
{
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_TEXT) {
        report_type(reader, node, SCALAR_TEXT, "a string");
        return false;
    }
    if (node->scalar.len > TEXT_BYTES_MAX) {
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL, "is longer than %d bytes",
               TEXT_BYTES_MAX);
        return false;
    }
    if (!field || !(field->flags & FIELD_BORROWED)) {
        set_text(reader, node->scalar, node->line, node->col, ret);
        return true;
    }
    *ret = (struct text){.ptr = node->scalar.len ? node->scalar.ptr : "", .len = node->scalar.len};
    ret->line = node->line < TEXT_PLACE_MAX ? node->line : TEXT_PLACE_MAX;
    ret->col = node->col < TEXT_PLACE_MAX ? node->col : TEXT_PLACE_MAX;
    return true;
}

bool read_number(struct reader *reader, const struct field *field, const struct node *node,
                 struct number *ret)
{
    int64_t value;
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_NUMBER) {
        report_type(reader, node, SCALAR_NUMBER, "a number");
        return false;
    }
    if (!parse_integer(node->scalar, &value)) {
        report(reader, DIAG_FIELD_TYPE, node->line, node->col, NULL,
               "%.*s is not a whole number of 64 bits", STR_ARG(str_upto(node->scalar, 80)));
        return false;
    }
    if (field->max && (value < field->min || value > field->max)) {
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL,
               "%lld: must be between %lld and %lld, inclusive", (long long)value,
               (long long)field->min, (long long)field->max);
        return false;
    }
    *ret = (struct number){
        .value = value, .line = node->line, .col = node->col & INT32_MAX, .is_set = true};
    return true;
}

bool read_flag(struct reader *reader, const struct node *node, struct flag *ret)
{
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_BOOL) {
        report_type(reader, node, SCALAR_BOOL, "a boolean");
        return false;
    }
    *ret = (struct flag){
        .value = is_one_of(node->scalar, true_words),
        .is_set = true,
        .line = node->line,
        .col = node->col,
    };
    return true;
}

// "Exact, Prefix or ImplementationSpecific"
static void add_words(struct buf *buf, const struct word *words)
{
    for (size_t i = 0; words[i].word; i++) {
        bool is_last = !words[i + 1].word;
        buf_printf(buf, "%s%s", i == 0 ? "" : is_last ? " or " : ", ", words[i].word);
    }
}

bool read_word(struct reader *reader, const struct field *field, const struct node *node, int *ret)
{
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_TEXT) {
        report_type(reader, node, SCALAR_TEXT, "a string");
        return false;
    }
    struct str names[32], text = node->scalar;
    size_t n = 0;
    for (const struct word *word = field->words; word->word; word++) {
        struct str name = str_of(word->word);
        bool is_it =
            field->flags & FIELD_NO_CASE ? str_equal_nocase(name, text) : str_equal(name, text);
        if (is_it) {
            *ret = word->value;
            return true;
        }
        if (n < sizeof(names) / sizeof(names[0]))
            names[n++] = name;
    }
    struct str nearest = diag_nearest(text, names, n);
    char hint[80];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    struct buf allowed = {0};
    add_words(&allowed, field->words);
    report(reader, DIAG_FIELD_VALUE, node->line, node->col, nearest.len ? hint : NULL,
           "\"%.*s\" is not %.*s", STR_ARG(str_upto(text, 80)), STR_ARG(buf_str(&allowed)));
    buf_fini(&allowed);
    return false;
}

bool read_port_ref(struct reader *reader, const struct node *node, struct port_ref *ret)
{
    *ret = (struct port_ref){.line = node->line, .col = node->col, .is_set = true};
    if (node->type != NODE_SCALAR)
        return expect_type(reader, node, NODE_SCALAR, "a number or a string");
    if (scalar_type(node) != SCALAR_NUMBER)
        return read_text(reader, NULL, node, &ret->name);
    static const struct field port = {.min = 1, .max = 65535};
    struct number number;
    if (!read_number(reader, &port, node, &number))
        return false;
    ret->number = (uint16_t)number.value;
    return true;
}

static const struct {
    const char *word;
    int64_t ns;
} units[] = {{"ns", 1},       {"us", 1000},      {"\xC2\xB5s", 1000}, {"\xCE\xBCs", 1000},
             {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};

// One number with its unit; advances *text. `ns` never overflows: a century is the most.
static bool next_part(struct str *text, double *ret_ns)
{
    size_t n = 0;
    double value = 0, scale = 0;
    for (; n < text->len && (is_digit(text->ptr[n]) || text->ptr[n] == '.'); n++) {
        if (text->ptr[n] == '.') {
            if (scale != 0)
                return false;
            scale = 1;
            continue;
        }
        value = value * 10 + (text->ptr[n] - '0');
        scale *= 10;
    }
    if (n == 0 || (n == 1 && scale != 0))
        return false;
    *text = str_from(*text, n);
    for (n = 0; n < text->len && !is_digit(text->ptr[n]) && text->ptr[n] != '.';)
        n++;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (str_is(str_upto(*text, n), units[i].word)) {
            *ret_ns += value / (scale ? scale : 1) * (double)units[i].ns;
            *text = str_from(*text, n);
            return true;
        }
    }
    return false;
}

bool parse_duration_ms(struct str text, int64_t *ret_ms, const char **reterr_why)
{
    double ns = 0;
    struct str rest = text;
    bool is_zero = str_is(text, "0");
    *reterr_why = "is not a duration such as 1h1m1s1ms";
    if (text.len == 0 || text.ptr[0] == '-') {
        if (text.len)
            *reterr_why = "is a negative duration";
        return false;
    }
    while (!is_zero && rest.len) {
        if (!next_part(&rest, &ns))
            return false;
    }
    if (ns > 3.15e18) {
        *reterr_why = "is longer than a century";
        return false;
    }
    int64_t whole_ns = (int64_t)(ns + 0.5);
    if (whole_ns > 0 && whole_ns < 1000000) {
        *reterr_why = "duration must be greater than 1ms";
        return false;
    }
    if (whole_ns % 1000000 != 0) {
        *reterr_why = "only durations to ms precision are supported";
        return false;
    }
    *ret_ms = whole_ns / 1000000;
    return true;
}

bool read_duration(struct reader *reader, const struct field *field, const struct node *node,
                   struct duration *ret)
{
    int64_t ms;
    const char *why;
    if (node->type != NODE_SCALAR || scalar_type(node) != SCALAR_TEXT) {
        bool is_bare_number = node->type == NODE_SCALAR && scalar_type(node) == SCALAR_NUMBER;
        if (is_bare_number)
            report(reader, DIAG_FIELD_TYPE, node->line, node->col, "give the unit: 10s, 500ms",
                   "%.*s is a number, a duration is due", STR_ARG(str_upto(node->scalar, 80)));
        else
            report_type(reader, node, SCALAR_NULL, "a duration (such as 10s)");
        return false;
    }
    if (!parse_duration_ms(node->scalar, &ms, &why)) {
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL, "\"%.*s\": %s",
               STR_ARG(str_upto(node->scalar, 80)), why);
        return false;
    }
    if (ms < field->min) {
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL,
               "duration must be greater than %lldms", (long long)field->min);
        return false;
    }
    *ret = (struct duration){
        .ms = ms, .line = node->line, .col = node->col & INT32_MAX, .is_set = true};
    return true;
}

bool parse_time(struct str text, int64_t *ret_seconds)
{
    char copy[40];
    struct tm tm = {0};
    if (text.len < 20 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return false;
    if (*rest == '.') {
        rest++;
        if (!is_digit(*rest))
            return false;
        while (is_digit(*rest))
            rest++;
    }
    int hours = 0, minutes = 0, end = 0;
    char sign = '+';
    if (*rest == 'Z' || *rest == 'z')
        rest++;
    else if (sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) == 3 && end == 6 &&
             (sign == '+' || sign == '-'))
        rest += end;
    else
        return false;
    int64_t offset = (int64_t)hours * 3600 + minutes * 60;
    *ret_seconds = (int64_t)timegm(&tm) - (sign == '-' ? -offset : offset);
    return *rest == '\0';
}
