// SPDX-License-Identifier: Apache-2.0
// Borrowed byte strings. A `struct str` never owns; whoever made the bytes says how long they live.
// Any thread.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr; // not NUL-terminated unless said so; may be NULL when len is 0
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
// For printf: printf("%.*s", STR_ARG(s))
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_is(struct str a, const char *text)
{
    return str_equal(a, str_of(text));
}

static inline bool str_has_prefix(struct str a, struct str prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool str_has_suffix(struct str a, struct str suffix)
{
    return a.len >= suffix.len &&
           (suffix.len == 0 || memcmp(a.ptr + a.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

static inline struct str str_from(struct str a, size_t start) // the rest from `start`, clamped
{
    if (start > a.len)
        start = a.len;
    return (struct str){a.ptr + start, a.len - start};
}

static inline struct str str_upto(struct str a, size_t len) // the first `len` bytes, clamped
{
    return (struct str){a.ptr, len < a.len ? len : a.len};
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool str_equal_nocase(struct str a, struct str b); // ASCII only
int str_compare(struct str a, struct str b);       // byte order, shorter first among equals
struct str str_trim(struct str a);                 // without leading and trailing space, tab, CR, LF
ptrdiff_t str_index(struct str a, char c);         // -1: not there
// Cuts the part before `sep` off the front of *rest; false when *rest is used up (its pointer is
// then NULL). "a," has the parts "a" and "", "" has one empty part, STR_NONE has none.
bool str_next(struct str *rest, char sep, struct str *ret_part);
// Decimal digits only, no sign, no blank; false on anything else or above `max`.
bool str_to_u64(struct str a, uint64_t max, uint64_t *ret_value);
// Damerau-Levenshtein distance, for "did you mean"; gives up at `limit` and returns limit.
unsigned str_distance(struct str a, struct str b, unsigned limit);
