// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"
#include "base/check.h"
#include <stdlib.h>

struct diags {
    struct arena *arena;
    struct diag **items; // each in the arena, so that a pointer to one stays valid
    size_t n, cap;
};

static const struct {
    const char *word, *sentence;
    enum diag_level level;
} codes[] = {
#define X(id, word, level, sentence) {word, sentence, level},
    DIAG_CODES(X)
#undef X
};

static const char *const level_words[] = {"note", "warning", "error"};

const char *diag_word(enum diag_code code)
{
    return codes[code].word;
}

const char *diag_sentence(enum diag_code code)
{
    return codes[code].sentence;
}

enum diag_level diag_code_level(enum diag_code code)
{
    return codes[code].level;
}

struct diags *diags_create(void)
{
    struct diags *diags = calloc(1, sizeof(*diags));
    CHECK(diags != NULL);
    diags->arena = arena_create(1024);
    return diags;
}

void diags_destroy(struct diags *diags)
{
    if (!diags)
        return;
    arena_destroy(diags->arena);
    free(diags->items);
    free(diags);
}

__attribute__((format(printf, 2, 0))) static struct str vformat(struct diags *diags,
                                                                const char *format, va_list args)
{
    struct buf text = {0};
    buf_vprintf(&text, format, args);
    struct str copy = arena_str(diags->arena, buf_str(&text));
    buf_fini(&text);
    return copy;
}

static struct diag *append(struct diags *diags)
{
    if (diags->n == diags->cap) {
        diags->cap = diags->cap ? diags->cap * 2 : 16;
        diags->items = realloc(diags->items, diags->cap * sizeof(struct diag *));
        CHECK(diags->items != NULL);
    }
    struct diag *diag = ARENA_NEW(diags->arena, struct diag);
    diags->items[diags->n++] = diag;
    return diag;
}

struct diag *diags_add(struct diags *diags, enum diag_code code, struct place place,
                       struct str object, struct str path, const char *format, ...)
{
    struct diag *diag = append(diags);
    va_list args;
    va_start(args, format);
    *diag = (struct diag){
        .code = code,
        .level = codes[code].level,
        .place = {arena_str(diags->arena, place.file), place.line, place.col},
        .object = arena_str(diags->arena, object),
        .path = arena_str(diags->arena, path),
        .message = vformat(diags, format, args),
    };
    va_end(args);
    return diag;
}

void diag_hint(struct diags *diags, struct diag *diag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diag->hint = vformat(diags, format, args);
    va_end(args);
}

void diags_add_all(struct diags *diags, const struct diags *from)
{
    size_t n = from->n; // taken once: `from` may be `diags` itself
    for (size_t i = 0; i < n; i++) {
        struct diag *copy = append(diags);
        *copy = *from->items[i];
        copy->place.file = arena_str(diags->arena, copy->place.file);
        copy->object = arena_str(diags->arena, copy->object);
        copy->path = arena_str(diags->arena, copy->path);
        copy->message = arena_str(diags->arena, copy->message);
        copy->hint = arena_str(diags->arena, copy->hint);
    }
}

size_t diags_count(const struct diags *diags)
{
    return diags->n;
}

size_t diags_count_level(const struct diags *diags, enum diag_level level)
{
    size_t count = 0;
    for (size_t i = 0; i < diags->n; i++)
        count += diags->items[i]->level == level;
    return count;
}

const struct diag *diags_get(const struct diags *diags, size_t i)
{
    CHECK(i < diags->n);
    return diags->items[i];
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

// A total order: what compares equal would be rendered alike.
static int compare(const void *left, const void *right)
{
    const struct diag *a = *(const struct diag *const *)left;
    const struct diag *b = *(const struct diag *const *)right;
    int order = str_compare(a->place.file, b->place.file);
    if (order == 0)
        order = compare_numbers(a->place.line, b->place.line);
    if (order == 0)
        order = compare_numbers(a->place.col, b->place.col);
    if (order == 0)
        order = compare_numbers(a->code, b->code);
    if (order == 0)
        order = str_compare(a->message, b->message);
    if (order == 0)
        order = str_compare(a->object, b->object);
    if (order == 0)
        order = str_compare(a->path, b->path);
    if (order == 0)
        order = str_compare(a->hint, b->hint);
    return order;
}

void diags_sort(struct diags *diags)
{
    if (diags->n == 0)
        return;
    qsort(diags->items, diags->n, sizeof(struct diag *), compare);
    size_t kept = 1;
    for (size_t i = 1; i < diags->n; i++) {
        if (compare(&diags->items[i], &diags->items[kept - 1]) != 0)
            diags->items[kept++] = diags->items[i];
    }
    diags->n = kept;
}

// A diagnostic is one line, whatever the quoted value holds.
static void add_one_line(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n')
            buf_add(out, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
}

void diag_render(const struct diag *diag, struct buf *out)
{
    if (diag->place.file.len) {
        add_one_line(out, diag->place.file);
        if (diag->place.line)
            buf_printf(out, ":%u", diag->place.line);
        if (diag->place.line && diag->place.col)
            buf_printf(out, ":%u", diag->place.col);
        buf_add_text(out, ": ");
    }
    buf_printf(out, "%s[%s]", level_words[diag->level], diag_word(diag->code));
    if (diag->object.len) {
        buf_add_char(out, ' ');
        add_one_line(out, diag->object);
    }
    if (diag->path.len) {
        buf_add_char(out, ' ');
        add_one_line(out, diag->path);
    }
    buf_add_text(out, diag->object.len || diag->path.len ? ": " : " ");
    add_one_line(out, diag->message);
    if (diag->hint.len) {
        buf_add_text(out, "; ");
        add_one_line(out, diag->hint);
    }
}

static void add_member(struct buf *out, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_add_json(out, value);
}

void diag_render_json(const struct diag *diag, struct buf *out)
{
    buf_printf(out, "{\"level\":\"%s\",\"code\":\"%s\"", level_words[diag->level],
               diag_word(diag->code));
    add_member(out, "file", diag->place.file);
    if (diag->place.line)
        buf_printf(out, ",\"line\":%u", diag->place.line);
    if (diag->place.line && diag->place.col)
        buf_printf(out, ",\"column\":%u", diag->place.col);
    add_member(out, "object", diag->object);
    add_member(out, "path", diag->path);
    add_member(out, "message", diag->message);
    add_member(out, "hint", diag->hint);
    buf_add_char(out, '}');
}

struct str diag_nearest(struct str text, const struct str *candidates, size_t n)
{
    struct str nearest = STR_NONE;
    // A third of the letters may be wrong; more is a different word.
    unsigned limit = text.len < 6 ? 2 : (unsigned)(text.len < 30 ? text.len / 3 + 1 : 10);
    for (size_t i = 0; i < n; i++) {
        if (str_equal_nocase(text, candidates[i]))
            return candidates[i];
        unsigned distance = str_distance(text, candidates[i], limit);
        // With every letter replaced it is no suggestion: "a" is not near "b".
        if (distance < limit && distance < text.len && distance < candidates[i].len) {
            limit = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
