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
