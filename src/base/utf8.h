// SPDX-License-Identifier: Apache-2.0
// UTF-8 (RFC 3629). Any thread.
#pragma once
#include "base/str.h"

// The length of the well-formed character at the front of `text`, 1 to 4; 0: malformed or empty.
static inline size_t utf8_len(struct str text)
{
    if (text.len == 0)
        return 0;
    const unsigned char *p = (const unsigned char *)text.ptr;
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || text.len < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    // Overlong forms, surrogates, beyond U+10FFFF: told by the second byte (RFC 3629, 4).
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}
