// SPDX-License-Identifier: Apache-2.0
// Writers for format.c's hot path: bytes, numbers, addresses. No libc formatting, no locale. Any
// thread.
#pragma once
#include "base/address.h"
#include "base/str.h"

// Counts what would have been written when the room is used up, as snprintf does.
struct format_out {
    char *data;
    size_t len, cap;
};

// memcpy for the short pieces that a line is made of: two moves that may overlap instead of a call.
static inline void copy_short(char *to, const char *from, size_t len)
{
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 16) {
        char tail[16];
        memcpy(tail, from + len - 16, 16);
        memcpy(to, from, 16);
        memcpy(to + len - 16, tail, 16);
    } else if (len >= 8) {
        char tail[8];
        memcpy(tail, from + len - 8, 8);
        memcpy(to, from, 8);
        memcpy(to + len - 8, tail, 8);
    } else if (len >= 4) {
        char tail[4];
        memcpy(tail, from + len - 4, 4);
        memcpy(to, from, 4);
        memcpy(to + len - 4, tail, 4);
    } else if (len > 0) {
        to[0] = from[0];
        to[len >> 1] = from[len >> 1];
        to[len - 1] = from[len - 1];
    }
}

static inline void out_add(struct format_out *out, const char *data, size_t len)
{
    if (__builtin_expect(out->len + len <= out->cap, 1))
        copy_short(out->data + out->len, data, len);
    else if (out->len < out->cap)
        memcpy(out->data + out->len, data, out->cap - out->len);
    out->len += len;
}

static inline void out_add_char(struct format_out *out, char c)
{
    if (out->len < out->cap)
        out->data[out->len] = c;
    out->len++;
}

enum { WRITE_NUMBER_MAX = 21 }; // digits of a 64-bit number and its sign

// Straight into place: going through a buffer would read back single bytes that were just written
// as one wide load, which stalls.
static inline size_t write_u64(char *to, uint64_t value)
{
    size_t len = 1;
    for (uint64_t limit = 10; value >= limit; limit *= 10) {
        len++;
        if (len == WRITE_NUMBER_MAX - 1)
            break; // 20 digits: the next limit would overflow
    }
    for (size_t at = len; at > 0; value /= 10)
        to[--at] = (char)('0' + value % 10);
    return len;
}

static inline size_t write_i64(char *to, int64_t value)
{
    if (value >= 0)
        return write_u64(to, (uint64_t)value);
    to[0] = '-';
    return 1 + write_u64(to + 1, -(uint64_t)value);
}

static inline void out_add_number(struct format_out *out, int64_t number)
{
    char digits[WRITE_NUMBER_MAX];
    if (out->cap >= out->len + WRITE_NUMBER_MAX) {
        out->len += write_i64(out->data + out->len, number);
        return;
    }
    size_t len = write_i64(digits, number);
    for (size_t i = 0; i < len; i++)
        out_add_char(out, digits[i]);
}

// Exactly `width` digits, with leading zeros.
static inline void write_digits(char *to, uint64_t value, unsigned width)
{
    while (width > 0) {
        to[--width] = (char)('0' + value % 10);
        value /= 10;
    }
}

struct octet_text {
    char text[3];
    uint8_t len;
};
// clang-format off
#define OCTET(n) \
    {{(char)('0' + ((n) >= 100 ? (n) / 100 : (n) >= 10 ? (n) / 10 : (n))), \
      (char)('0' + ((n) >= 100 ? (n) / 10 % 10 : (n) % 10)), (char)('0' + (n) % 10)}, \
     (n) >= 100 ? 3 : (n) >= 10 ? 2 : 1}
#define OCTETS_4(n) OCTET(n), OCTET((n) + 1), OCTET((n) + 2), OCTET((n) + 3)
#define OCTETS_16(n) OCTETS_4(n), OCTETS_4((n) + 4), OCTETS_4((n) + 8), OCTETS_4((n) + 12)
#define OCTETS_64(n) OCTETS_16(n), OCTETS_16((n) + 16), OCTETS_16((n) + 32), OCTETS_16((n) + 48)
// clang-format on
static const struct octet_text octet_texts[256] = {OCTETS_64(0), OCTETS_64(64), OCTETS_64(128),
                                                   OCTETS_64(192)};

// Room for ADDRESS_TEXT_MAX; returns the length.
static inline size_t write_address(char *to, const struct address *address, bool has_port)
{
    if (address->family != AF_INET)
        return has_port ? address_format(address, to) : address_format_ip(address, to);
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        const struct octet_text *octet = &octet_texts[address->ip[i]];
        memcpy(to + len, octet->text, sizeof(octet->text)); // what is too much is written over
        len += octet->len;
        to[len++] = '.';
    }
    len--;
    if (has_port) {
        to[len++] = ':';
        len += write_u64(to + len, address->port);
    }
    return len;
}

enum { UUID_LEN = 36 };

// A version 4 UUID (RFC 9562, 5.4) of 128 random bits.
static inline void write_uuid(char *to, uint64_t high, uint64_t low)
{
    static const char hex[] = "0123456789abcdef";
    high = (high & ~UINT64_C(0xf000)) | 0x4000;
    low = (low & (UINT64_MAX >> 2)) | UINT64_C(1) << 63;
    for (unsigned i = 0, nibble = 0; i < UUID_LEN; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            to[i] = '-';
            continue;
        }
        uint64_t half = nibble < 16 ? high : low;
        to[i] = hex[half >> (60 - 4 * (nibble % 16)) & 15];
        nibble++;
    }
}
