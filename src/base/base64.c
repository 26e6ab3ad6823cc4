// SPDX-License-Identifier: Apache-2.0
#include "base/base64.h"

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_decode(struct base64_decoder *decoder, struct str text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && !decoder->has_failed; i++) {
        int value = text.ptr[i] == '=' ? 0 : value_of(text.ptr[i]);
        bool is_padding = text.ptr[i] == '=';
        if (value < 0 || (is_padding && decoder->n < 2) || (!is_padding && decoder->n_padding)) {
            decoder->has_failed = true;
            break;
        }
        decoder->bits = decoder->bits << 6 | (uint32_t)value;
        decoder->n_padding += is_padding;
        if (++decoder->n < 4)
            continue;
        for (unsigned k = 0; k < 3u - decoder->n_padding; k++)
            out[n++] = (char)(decoder->bits >> (16 - 8 * k));
        *decoder = (struct base64_decoder){0};
    }
    return n;
}

bool base64_is_complete(const struct base64_decoder *decoder)
{
    return !decoder->has_failed && decoder->n == 0;
}

size_t base64_encode(struct str data, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)data.ptr;
    char *at = out;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= left > 2 ? in[i + 2] : 0;
        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[bits & 63] : '=';
    }
    return (size_t)(at - out);
}
