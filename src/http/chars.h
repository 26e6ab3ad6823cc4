// SPDX-License-Identifier: Apache-2.0
// Character classes, and searches for the first byte outside a class: the inner loops of the
// HTTP/1 engine. Private to http/.
#pragma once
#include "base/str.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    CHAR_TOKEN = 1,  // tchar (RFC 9110, 5.6.2)
    CHAR_VALUE = 2,  // field-content and blanks: HT, SP to ~, and all above DEL (RFC 9110, 5.5)
    CHAR_TARGET = 4, // visible ASCII without '#'
    CHAR_HOST = 8,   // unreserved and sub-delims (RFC 3986, 3.2.2), without '%'
    CHAR_UNRESERVED = 16, // RFC 3986, 2.3
    CHAR_HEX = 32,
    CHAR_DIGIT = 64,
    CHAR_UPPER = 128,
};
extern const uint8_t http_char_class[256];

static inline bool char_is(char c, uint8_t classes)
{
    return http_char_class[(uint8_t)c] & classes;
}

static inline unsigned hex_value(char c) // of a CHAR_HEX
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

#define SCAN_INLINE static inline __attribute__((always_inline))

#ifdef __SSE2__
// Each of these sets bit i when byte i of the block is a stop.
SCAN_INLINE unsigned stops_of_value(__m128i block)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    __m128i tab = _mm_cmpeq_epi8(block, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

SCAN_INLINE unsigned stops_of_target(__m128i block)
{
    // Signed: 0x80 and above are less than ' ' + 1 too.
    __m128i outside = _mm_cmplt_epi8(block, _mm_set1_epi8(' ' + 1));
    __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
    __m128i hash = _mm_cmpeq_epi8(block, _mm_set1_epi8('#'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(outside, del), hash));
}

// Letters and '-' go on; a digit or a rarer token character is a stop that the caller looks at.
SCAN_INLINE unsigned stops_of_name(__m128i block)
{
    __m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(folded, _mm_set1_epi8('a' - 1)),
                                   _mm_cmplt_epi8(folded, _mm_set1_epi8('z' + 1)));
    __m128i dash = _mm_cmpeq_epi8(block, _mm_set1_epi8('-'));
    return ~(unsigned)_mm_movemask_epi8(_mm_or_si128(letter, dash)) & 0xffff;
}

// The characters of nearly all hosts; ':' and whatever else may occur is a stop.
SCAN_INLINE unsigned stops_of_host(__m128i block)
{
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8('a' - 1)),
                                   _mm_cmplt_epi8(block, _mm_set1_epi8('z' + 1)));
    // '-', '.', '/' and the digits are neighbours.
    __m128i digit = _mm_andnot_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('/')),
                                     _mm_and_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8('-' - 1)),
                                                   _mm_cmplt_epi8(block, _mm_set1_epi8('9' + 1))));
    return ~(unsigned)_mm_movemask_epi8(_mm_or_si128(letter, digit)) & 0xffff;
}

// What normalising a path may have to do with.
SCAN_INLINE unsigned stops_of_path(__m128i block)
{
    __m128i dot = _mm_cmpeq_epi8(block, _mm_set1_epi8('.'));
    __m128i percent = _mm_cmpeq_epi8(block, _mm_set1_epi8('%'));
    __m128i backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(dot, percent), backslash));
}

// The first stop in [p, end), or end. `begin` <= p: bytes before p may be looked at, so that the
// last, short block is read together with what precedes it, never past the end.
SCAN_INLINE const char *scan(const char *begin, const char *p, const char *end,
                             unsigned (*stops_of)(__m128i), uint8_t go_on)
{
    while (end - p >= 16) {
        unsigned stops = stops_of(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (stops)
            return p + __builtin_ctz(stops);
        p += 16;
    }
    if (end - begin >= 16) {
        const char *last = end - 16;
        unsigned stops = stops_of(_mm_loadu_si128((const __m128i *)(const void *)last));
        stops >>= p - last;
        return stops ? p + __builtin_ctz(stops) : end;
    }
    if (end - p >= 8) { // two halves that overlap
        __m128i block =
            _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p),
                               _mm_loadl_epi64((const __m128i *)(const void *)(end - 8)));
        unsigned stops = stops_of(block);
        stops = (stops & 0xff) | stops >> 8 << (end - p - 8);
        return stops ? p + __builtin_ctz(stops) : end;
    }
    while (p < end && char_is(*p, go_on))
        p++;
    return p;
}
#define SCAN(begin, p, end, which, class) scan(begin, p, end, stops_of_##which, class)
#else
SCAN_INLINE const char *scan(const char *p, const char *end, uint8_t go_on)
{
    while (p < end && char_is(*p, go_on))
        p++;
    return p;
}
#define SCAN(begin, p, end, which, class) ((void)(begin), scan(p, end, class))
#endif

SCAN_INLINE const char *scan_value(const char *begin, const char *p, const char *end)
{
    return SCAN(begin, p, end, value, CHAR_VALUE);
}

SCAN_INLINE const char *scan_target(const char *begin, const char *p, const char *end)
{
    return SCAN(begin, p, end, target, CHAR_TARGET);
}

SCAN_INLINE const char *scan_name(const char *begin, const char *p, const char *end)
{
    p = SCAN(begin, p, end, name, CHAR_TOKEN);
    if (p < end && *p == ':')
        return p;
    while (p < end && char_is(*p, CHAR_TOKEN))
        p++;
    return p;
}

// Stops at '.', '%' and '\\', and maybe at others.
SCAN_INLINE const char *scan_path(const char *begin, const char *p, const char *end)
{
    return SCAN(begin, p, end, path, 0);
}

// Passes over [a-z0-9.-]; may stop before the first other byte, but not behind it.
SCAN_INLINE const char *scan_host(const char *begin, const char *p, const char *end)
{
    return SCAN(begin, p, end, host, 0);
}

// Only where the text has a letter (bit 0x40 set) may the case bit differ.
SCAN_INLINE bool same8(const char *p, const char *text)
{
    uint64_t a, b;
    memcpy(&a, p, 8);
    memcpy(&b, text, 8);
    return (a | (b & UINT64_C(0x4040404040404040)) >> 1) == b;
}

SCAN_INLINE bool same4(const char *p, const char *text)
{
    uint32_t a, b;
    memcpy(&a, p, 4);
    memcpy(&b, text, 4);
    return (a | (b & UINT32_C(0x40404040)) >> 1) == b;
}

SCAN_INLINE bool same2(const char *p, const char *text)
{
    uint16_t a, b;
    memcpy(&a, p, 2);
    memcpy(&b, text, 2);
    return (a | (b & 0x4040) >> 1) == b;
}

// Compares n bytes with lower-case text, in any case; n >= 2 is a constant. By words that may
// overlap.
SCAN_INLINE bool has_text(const char *p, const char *text, size_t n)
{
    if (n >= 16)
        return same8(p, text) && same8(p + 8, text + 8) && same8(p + n - 8, text + n - 8);
    if (n >= 8)
        return same8(p, text) && same8(p + n - 8, text + n - 8);
    if (n >= 4)
        return same4(p, text) && same4(p + n - 4, text + n - 4);
    return same2(p, text) && same2(p + n - 2, text + n - 2);
}
