// SPDX-License-Identifier: Apache-2.0
#include "compile/re2.h"
#include <string.h>

struct scan {
    struct str text;
    size_t at;
    unsigned depth;   // of groups
    bool is_repeated; // the last thing was a repetition, which one more ? makes lazy
};

static char next_char(const struct scan *scan)
{
    return scan->at < scan->text.len ? scan->text.ptr[scan->at] : 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

// Behind the backslash.
static const char *scan_escape(struct scan *scan)
{
    char c = next_char(scan);
    scan->at++;
    if (c == 'Q') {
        struct str rest = str_from(scan->text, scan->at);
        const char *end = rest.len > 0 ? memmem(rest.ptr, rest.len, "\\E", 2) : NULL;
        scan->at = end ? (size_t)(end - scan->text.ptr) + 2 : scan->text.len;
        return NULL;
    }
    char after = next_char(scan);
    bool is_octal = c >= '1' && c <= '7' && after >= '0' && after <= '7';
    if (c == 'g' || c == 'k' || (is_digit(c) && c != '0' && !is_octal))
        return "back-references are not supported";
    if (is_letter(c) && !strchr("aAbBCdDEfnpPrsStvwWxz", c))
        return "an escape sequence is none of RE2's";
    return NULL;
}

// Behind '['. Inside nothing is special but the escapes, named classes and the end.
static void scan_class(struct scan *scan)
{
    if (next_char(scan) == '^')
        scan->at++;
    if (next_char(scan) == ']')
        scan->at++;
    while (scan->at < scan->text.len && next_char(scan) != ']') {
        struct str rest = str_from(scan->text, scan->at);
        const char *end =
            str_has_prefix(rest, STR("[:")) ? memmem(rest.ptr, rest.len, ":]", 2) : NULL;
        if (end)
            scan->at = (size_t)(end - scan->text.ptr) + 2;
        else
            scan->at += rest.ptr[0] == '\\' ? 2 : 1;
    }
    scan->at++;
}

// Behind "(?". Flags and names are RE2's, too; what else can stand here is not.
static const char *scan_extension(struct scan *scan)
{
    struct str rest = str_from(scan->text, scan->at);
    if (str_has_prefix(rest, STR("=")) || str_has_prefix(rest, STR("!")) ||
        str_has_prefix(rest, STR("<=")) || str_has_prefix(rest, STR("<!")))
        return "look-around is not supported";
    if (str_has_prefix(rest, STR(">")))
        return "atomic groups are not supported";
    if (str_has_prefix(rest, STR("P=")))
        return "back-references are not supported";
    if (str_has_prefix(rest, STR("P<")) || str_has_prefix(rest, STR("<")))
        return NULL;
    if (str_has_prefix(rest, STR("P>")) || str_has_prefix(rest, STR("&")) ||
        str_has_prefix(rest, STR("R")) || str_has_prefix(rest, STR("+")))
        return "recursion is not supported";
    while (next_char(scan) && strchr("imsU-", next_char(scan))) {
        scan->at++;
        if (is_digit(next_char(scan)))
            break;
    }
    if (is_digit(next_char(scan)))
        return "recursion is not supported";
    if (next_char(scan) == ':')
        return NULL;
    if (next_char(scan) == ')') // flags alone: no group is open
        return NULL;
    return "a group begins with what RE2 does not know";
}

static const char *scan_group(struct scan *scan)
{
    scan->depth++;
    char c = next_char(scan);
    if (c == '*')
        return "verbs are not supported";
    if (c != '?')
        return NULL;
    scan->at++;
    return scan_extension(scan);
}

// The length of a repetition at `at`: of *, +, ?, {n}, {n,} or {n,m}; 0: none.
static size_t repetition(const struct scan *scan)
{
    struct str rest = str_from(scan->text, scan->at);
    char c = next_char(scan);
    if (c && strchr("*+?", c))
        return 1;
    if (c != '{' || rest.len < 3 || !is_digit(rest.ptr[1]))
        return 0;
    size_t i = 1;
    unsigned n_commas = 0;
    for (; i < rest.len && (is_digit(rest.ptr[i]) || rest.ptr[i] == ','); i++)
        n_commas += rest.ptr[i] == ',';
    return i < rest.len && rest.ptr[i] == '}' && n_commas <= 1 ? i + 1 : 0;
}

static const char *scan_one(struct scan *scan)
{
    size_t len = repetition(scan);
    if (len > 0) {
        if (scan->is_repeated && next_char(scan) == '+')
            return "possessive repetitions are not supported";
        scan->at += len;
        scan->is_repeated = true;
        return NULL;
    }
    scan->is_repeated = false;
    switch (scan->text.ptr[scan->at++]) {
    case '\\':
        return scan_escape(scan);
    case '[':
        scan_class(scan);
        return NULL;
    case '(':
        return scan_group(scan);
    case ')':
        // The pattern is put between parentheses later on, where this would close them.
        return scan->depth-- == 0 ? "a closing parenthesis has no opening one" : NULL;
    default:
        return NULL;
    }
}

const char *re2_mistake(struct str pattern)
{
    struct scan scan = {.text = pattern};
    const char *mistake = NULL;
    while (!mistake && scan.at < pattern.len)
        mistake = scan_one(&scan);
    return mistake;
}
