// SPDX-License-Identifier: Apache-2.0
// A growing text buffer for the control side and for rendering. Owns its memory. One thread.
#pragma once
#include "base/str.h"
#include <stdarg.h>

struct buf {
    char *data; // NUL-terminated once anything was added
    size_t len, cap;
};

void buf_fini(struct buf *buf); // frees; the buf is empty and usable again
void buf_reserve(struct buf *buf, size_t more);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_str(struct buf *buf, struct str text);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void buf_add_json(struct buf *buf, struct str text); // quoted and escaped (RFC 8259, 7); invalid UTF-8 as \u00XX
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->data, buf->len};
}
