// SPDX-License-Identifier: Apache-2.0
#include "base/scalar.h"
#include <stdlib.h>

struct unquote {
    struct str raw;
    size_t at;
    char *out;
    size_t len, kept; // of what is out; spaces before `kept` were escaped and survive folding
};

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

// Line folding (YAML 1.2.2, 6.5): a break and the spaces around it are one space, or nothing when
// the break is escaped; each further empty line is a newline.
static void fold_lines(struct unquote *u, bool is_escaped)
{
    size_t breaks = 0;
    while (!is_escaped && u->len > u->kept && is_space(u->out[u->len - 1]))
        u->len--;
    for (; u->at < u->raw.len; u->at++) {
        const char *c = u->raw.ptr + u->at;
        if (!is_space(*c) && !is_break(*c))
            break;
        bool is_first_of_two = *c == '\r' && u->at + 1 < u->raw.len && c[1] == '\n';
        breaks += is_break(*c) && !is_first_of_two;
    }
    if (breaks == 1 && !is_escaped)
        u->out[u->len++] = ' ';
    for (; breaks > 1; breaks--)
        u->out[u->len++] = '\n';
    u->kept = u->len;
}

static uint32_t take_hex(struct unquote *u, size_t digits)
{
    char text[9] = "";
    memcpy(text, u->raw.ptr + u->at, digits < u->raw.len - u->at ? digits : u->raw.len - u->at);
    u->at += digits;
    return (uint32_t)strtoul(text, NULL, 16);
}

static uint32_t take_unicode_escape(struct unquote *u)
{
    uint32_t high = take_hex(u, 4);
    bool is_pair =
        high >= 0xd800 && high < 0xdc00 && str_has_prefix(str_from(u->raw, u->at), STR("\\u"));
    if (!is_pair)
        return high;
    u->at += 2; // JSON writes what is beyond 16 bits as two surrogates (RFC 8259, 7)
    return 0x10000 + ((high - 0xd800) << 10) + (take_hex(u, 4) - 0xdc00);
}

// Behind a backslash: the character it stands for (YAML 1.2.2, 5.7).
static uint32_t take_escape(struct unquote *u)
{
    static const char letters[] = "0abtnvfreN_LP";
    static const uint16_t values[] = {0, 7, 8, 9, 10, 11, 12, 13, 27, 0x85, 0xa0, 0x2028, 0x2029};
    char c = u->raw.ptr[u->at++];
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter)
        return values[letter - letters];
    switch (c) {
    case 'x':
        return take_hex(u, 2);
    case 'u':
        return take_unicode_escape(u);
    case 'U':
        return take_hex(u, 8);
    default: // a quote, a slash, a backslash, a space, a tab: itself
        return (unsigned char)c;
    }
}

static void put_utf8(struct unquote *u, uint32_t c)
{
    if (c < 0x80) {
        u->out[u->len++] = (char)c;
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    u->out[u->len++] = (char)(leads[more] | c >> (6 * more));
    while (more-- > 0)
        u->out[u->len++] = (char)(0x80 | (c >> (6 * more) & 0x3f));
}

struct str scalar_unquote(struct arena *arena, struct str raw, bool is_double)
{
    // No escape is shorter than what it stands for: \L, of two bytes for three, is the exception.
    struct unquote u = {.raw = raw, .out = arena_alloc(arena, raw.len + raw.len / 2 + 1)};
    while (u.at < raw.len) {
        char c = raw.ptr[u.at];
        if (is_break(c)) {
            fold_lines(&u, false);
        } else if (is_double && c == '\\' && u.at + 1 < raw.len) {
            u.at++;
            if (is_break(raw.ptr[u.at]))
                fold_lines(&u, true);
            else
                put_utf8(&u, take_escape(&u));
            u.kept = u.len;
        } else {
            u.out[u.len++] = c;
            u.at += !is_double && c == '\'' ? 2 : 1;
        }
    }
    u.out[u.len] = '\0';
    return (struct str){u.out, u.len};
}

// Lines of a block scalar (YAML 1.2.2, 8.1). The indentation is that of the first line that has
// text; `indent_max`: unless the header says a smaller one.
static size_t find_indent(struct str raw, size_t indent_max)
{
    size_t indent = indent_max;
    struct str line;
    for (bool is_first = true; str_next(&raw, '\n', &line);) {
        size_t spaces = 0;
        while (spaces < line.len && line.ptr[spaces] == ' ')
            spaces++;
        if (spaces == line.len || line.ptr[spaces] == '\r')
            continue;
        if (spaces < indent && (is_first || indent_max != SIZE_MAX))
            indent = spaces;
        is_first = false;
    }
    return indent;
}

struct str scalar_unfold(struct arena *arena, struct str raw, struct block_header header)
{
    size_t indent = find_indent(raw, header.indent ? header.indent : SIZE_MAX);
    char *out = arena_alloc(arena, raw.len + 2);
    size_t len = 0, empty_lines = 0;
    bool has_text = false, was_plain = false;
    struct str line;
    while (raw.len > 0 && str_next(&raw, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len <= indent) { // nothing but spaces
            empty_lines++;
            continue;
        }
        struct str text = str_from(line, indent);
        // Only between two lines that both begin with text is a break folded.
        bool is_plain = !is_space(text.ptr[0]);
        bool is_folding = header.is_folded && has_text && was_plain && is_plain;
        if (is_folding && empty_lines == 0)
            out[len++] = ' ';
        else if (has_text && !is_folding)
            out[len++] = '\n';
        for (; empty_lines > 0; empty_lines--)
            out[len++] = '\n';
        memcpy(out + len, text.ptr, text.len);
        len += text.len;
        has_text = true;
        was_plain = is_plain;
    }
    if (has_text && header.chomping != '-')
        out[len++] = '\n';
    for (; header.chomping == '+' && empty_lines > 0; empty_lines--)
        out[len++] = '\n';
    out[len] = '\0';
    return (struct str){out, len};
}
