// SPDX-License-Identifier: Apache-2.0
#include "route/regex_prefix.h"

enum unit { UNIT_CHAR, UNIT_SKIPPED, UNIT_UNKNOWN };

static bool is_one_of(char c, const char *set)
{
    return memchr(set, c, strlen(set));
}

// Steps over one character, escape or class at *at, or over the opening of a group. UNKNOWN: syntax
// in which brackets and bars may mean something else.
static enum unit next_unit(struct str pattern, size_t *at)
{
    char c = pattern.ptr[(*at)++];
    if (c == '\\') {
        if (*at == pattern.len || is_one_of(pattern.ptr[*at], "QE"))
            return UNIT_UNKNOWN; // quoted parts; a lone \E is nothing, so `a\E*` repeats the a
        ++*at;
        return UNIT_SKIPPED;
    }
    if (c == '(' && *at < pattern.len && pattern.ptr[*at] == '*')
        return UNIT_UNKNOWN; // a verb
    if (c == '(' && *at < pattern.len && pattern.ptr[*at] == '?') {
        // Not a comment, and no options: extended mode has comments too.
        return *at + 1 < pattern.len && is_one_of(pattern.ptr[*at + 1], ":=!<>P|") ? UNIT_CHAR
                                                                                   : UNIT_UNKNOWN;
    }
    if (c != '[')
        return UNIT_CHAR;
    if (*at < pattern.len && pattern.ptr[*at] == '^')
        ++*at;
    if (*at < pattern.len && pattern.ptr[*at] == ']')
        ++*at; // a literal one
    while (*at < pattern.len && pattern.ptr[*at] != ']') {
        if (is_one_of(pattern.ptr[*at], "\\["))
            return UNIT_UNKNOWN; // quoted parts and [:names:]
        ++*at;
    }
    ++*at;
    return UNIT_SKIPPED;
}

// One sequence from its beginning to its end: no alternative outside of groups, no unbalanced
// parenthesis (the end of a group that began in front of it).
static bool is_one_sequence(struct str pattern)
{
    unsigned depth = 0;
    size_t at = 0;
    while (at < pattern.len) {
        char c = pattern.ptr[at];
        enum unit unit = next_unit(pattern, &at);
        if (unit == UNIT_UNKNOWN)
            return false;
        if (unit == UNIT_SKIPPED)
            continue;
        if ((c == ')' && depth == 0) || (c == '|' && depth == 0))
            return false;
        depth += c == '(';
        depth -= c == ')';
    }
    return depth == 0;
}

// What is inside of "(?:...)\z" or "(?:...)$".
static struct str unwrap(struct str pattern)
{
    struct str inside = str_from(pattern, 3);
    if (!str_has_prefix(pattern, STR("(?:")))
        return pattern;
    if (str_has_suffix(inside, STR(")\\z")))
        inside.len -= 3;
    else if (str_has_suffix(inside, STR(")$")))
        inside.len -= 2;
    return inside;
}

static bool is_literal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           is_one_of(c, "/-_~%!&',:;=@\"<>`");
}

struct str regex_literal_prefix(const struct regex *regex, struct arena *arena)
{
    struct str pattern = regex_pattern(regex);
    if (str_has_prefix(pattern, STR("\\A")))
        pattern = str_from(pattern, 2);
    else if (str_has_prefix(pattern, STR("^")))
        pattern = str_from(pattern, 1);
    else
        return STR_NONE;
    if (pattern.len && is_one_of(pattern.ptr[0], "*+?{"))
        return STR_NONE; // a repeated anchor may be absent
    pattern = unwrap(pattern);
    if (!is_one_sequence(pattern))
        return STR_NONE;
    char *out = arena_alloc(arena, pattern.len + 1);
    size_t len = 0, at = 0;
    while (at < pattern.len) {
        char c = pattern.ptr[at++];
        if (c == '\\' && at < pattern.len && is_one_of(pattern.ptr[at], ".-/+*?()[]{}|^$\\"))
            c = pattern.ptr[at++];
        else if (!is_literal(c))
            break;
        if (at < pattern.len && is_one_of(pattern.ptr[at], "*+?{"))
            break; // it may be there no time at all
        out[len++] = c;
    }
    return (struct str){out, len};
}
