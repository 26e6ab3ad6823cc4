// SPDX-License-Identifier: Apache-2.0
// Diagnostics, places and small strings for this folder.
#include "compile/context.h"
#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_MAX = 1024 };

struct diag *complain(struct compiler *c, enum diag_code code, const struct object *object,
                      uint32_t line, uint32_t col, struct str path, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return diags_add(c->diags, code, object_place(object, line, col), object->title, path, "%s",
                     message);
}

struct str path_of(struct compiler *c, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return STR_NONE;
    struct str path = {text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1};
    return arena_str(c->scratch, path);
}

struct str join(struct arena *arena, const struct str *parts, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    char *text = arena_alloc(arena, len + 1), *to = text;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len > 0)
            memcpy(to, parts[i].ptr, parts[i].len);
        to += parts[i].len;
    }
    *to = 0;
    return (struct str){text, len};
}

struct str join_brief(struct compiler *c, const struct str *parts, size_t n)
{
    c->brief.len = 0;
    for (size_t i = 0; i < n; i++)
        buf_add_str(&c->brief, parts[i]);
    return buf_str(&c->brief);
}

struct str number_text(uint64_t value, char out[NUMBER_TEXT_MAX])
{
    char *at = out + NUMBER_TEXT_MAX;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return (struct str){at, (size_t)(out + NUMBER_TEXT_MAX - at)};
}

struct str path_item(struct compiler *c, struct str base, const char *word, uint32_t index)
{
    char number[NUMBER_TEXT_MAX];
    return JOIN(c->scratch, base, base.len > 0 ? STR(".") : STR_NONE, str_of(word), STR("["),
                number_text(index, number), STR("]"));
}

static struct str place_in(struct arena *arena, const struct object *object, uint32_t line,
                           uint32_t col)
{
    struct place place = object_place(object, line, col);
    char line_text[NUMBER_TEXT_MAX], col_text[NUMBER_TEXT_MAX];
    return JOIN(arena, place.file, STR(":"), number_text(place.line, line_text), STR(":"),
                number_text(place.col, col_text), STR(" "), object->title);
}

struct str place_text(struct compiler *c, const struct object *object, uint32_t line, uint32_t col)
{
    return place_in(c->scratch, object, line, col);
}

struct str origin_of(struct compiler *c, const struct object *object, uint32_t line, uint32_t col)
{
    return place_in(c->arena, object, line, col);
}

void hint_object(struct compiler *c, struct diag *diag, enum kind kind, struct str ns,
                 struct str name, const char *fallback)
{
    size_t n = 0, n_names = 0;
    const struct object *const *objects = store_all(c->store, kind, &n);
    // A folder of thousands with one mistake repeated must not cost thousands of comparisons each.
    if (n > c->suggestions_left) {
        if (fallback)
            diag_hint(c->diags, diag, "%s", fallback);
        return;
    }
    c->suggestions_left -= (uint32_t)n;
    struct str *names = ARENA_ARRAY(c->scratch, struct str, n + 1);
    const struct object *elsewhere = NULL;
    for (size_t i = 0; i < n; i++) {
        if (str_equal(objects[i]->ns, ns))
            names[n_names++] = objects[i]->name;
        else if (!elsewhere && str_equal(objects[i]->name, name))
            elsewhere = objects[i];
    }
    struct str nearest = diag_nearest(name, names, n_names);
    if (elsewhere)
        diag_hint(c->diags, diag, "%.*s exists, in another namespace", STR_ARG(elsewhere->title));
    else if (nearest.ptr)
        diag_hint(c->diags, diag, "did you mean %.*s?", STR_ARG(nearest));
    else if (fallback)
        diag_hint(c->diags, diag, "%s", fallback);
}

struct address listen_address(const struct compiler *c, const struct address *bind, uint16_t port)
{
    struct address address = *bind;
    address.port = port;
    for (uint32_t i = 0; i < c->options->n_port_maps; i++) {
        if (c->options->port_maps[i].from == port) {
            address.port = c->options->port_maps[i].to;
            break;
        }
    }
    return address;
}
