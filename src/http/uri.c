// SPDX-License-Identifier: Apache-2.0
#include "http/uri.h"

#include "base/address.h"
#include "http/chars.h"

// A segment begins with a dot, or there is a byte that normalising always changes or judges.
// path.ptr[0] is '/'.
static bool needs_work(struct str path)
{
    const char *end = path.ptr + path.len;
    for (const char *p = path.ptr; (p = scan_path(path.ptr, p, end)) < end; p++)
        if (*p == '%' || *p == '\\' || (*p == '.' && p[-1] == '/'))
            return true;
    return false;
}

// Decodes the escape at in[i] to *out (one byte, or the escape itself in upper case). Returns the
// bytes written, 0: malformed.
static size_t unescape(struct str in, size_t i, char *out)
{
    if (in.len - i < 3 || !char_is(in.ptr[i + 1], CHAR_HEX) || !char_is(in.ptr[i + 2], CHAR_HEX))
        return 0;
    unsigned byte = hex_value(in.ptr[i + 1]) << 4 | hex_value(in.ptr[i + 2]);
    if (byte == 0) // no path holds one, and C programs behind would end the string here
        return 0;
    if (char_is((char)byte, CHAR_UNRESERVED)) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '%';
    out[1] = "0123456789ABCDEF"[byte >> 4];
    out[2] = "0123456789ABCDEF"[byte & 15];
    return 3;
}

// `out` ends with a whole segment "/x" that begins at `start`. Returns the length that is left
// when it is a dot segment, otherwise `len`. At the very end of the path the slash stays
// (RFC 3986, 5.2.4: "/a/.." is "/").
static size_t drop_dot_segment(const char *out, size_t start, size_t len, bool is_last)
{
    size_t n = len - start - 1;
    if (n == 0 || n > 2 || out[start + 1] != '.' || (n == 2 && out[start + 2] != '.'))
        return len;
    if (n == 2)
        while (start > 0 && out[--start] != '/')
            ;
    return is_last ? start + 1 : start;
}

bool uri_normalize_path(struct str path, char *out, struct str *ret_path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    if (!needs_work(path)) {
        *ret_path = path;
        return true;
    }
    size_t len = 0, segment = 0; // where the slash of the segment being written is
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '%') {
            size_t n = unescape(path, i, out + len);
            if (n == 0)
                return false;
            len += n;
            i += 2;
        } else if (c == '/' || c == '\\') {
            if (i > 0)
                len = drop_dot_segment(out, segment, len, false);
            segment = len;
            out[len++] = '/';
        } else {
            out[len++] = c;
        }
    }
    len = drop_dot_segment(out, segment, len, true);
    *ret_path = (struct str){out, len};
    if (str_equal(*ret_path, path))
        *ret_path = path;
    return true;
}

// Decimal digits, or none ("host:" is "host", RFC 3986, 3.2.3).
static bool parse_port(struct str digits, uint16_t *ret_port)
{
    unsigned port = 0;
    if (digits.len > 5)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (!char_is(digits.ptr[i], CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    if (port > UINT16_MAX || (port == 0 && digits.len > 0))
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

// Length of "[...]" at the start; 0: no IPv6 address in brackets. Zones and future versions of IP
// have no place in HTTP.
static size_t ip_literal_len(struct str authority)
{
    ptrdiff_t end = str_index(authority, ']');
    struct address address;
    if (end < 0)
        return 0;
    struct str ip = {authority.ptr + 1, (size_t)end - 1};
    return str_index(ip, ':') >= 0 && address_parse_ip(ip, &address) ? (size_t)end + 1 : 0;
}

// Length of the reg-name or IPv4 address at the start, up to ':' or the end; 0: malformed.
// *has_upper: it is not lower case yet.
static size_t reg_name_len(struct str authority, bool *has_upper)
{
    const char *start = authority.ptr;
    size_t i = (size_t)(scan_host(start, start, start + authority.len) - start);
    uint8_t any = 0;
    while (i < authority.len && authority.ptr[i] != ':') {
        uint8_t class = http_char_class[(uint8_t)authority.ptr[i]];
        any |= class;
        if (class & CHAR_HOST) {
            i++;
        } else if (authority.ptr[i] == '%' && authority.len - i >= 3 &&
                   char_is(authority.ptr[i + 1], CHAR_HEX) &&
                   char_is(authority.ptr[i + 2], CHAR_HEX)) {
            any |= http_char_class[(uint8_t)authority.ptr[i + 1]] |
                   http_char_class[(uint8_t)authority.ptr[i + 2]];
            i += 3;
        } else {
            return 0;
        }
    }
    *has_upper = any & CHAR_UPPER;
    return i;
}

static bool split(struct str authority, struct str *ret_host, uint16_t *ret_port, bool *ret_upper)
{
    size_t n;
    if (authority.len == 0)
        return false;
    if (authority.ptr[0] == '[') {
        n = ip_literal_len(authority);
        *ret_upper = true; // hex digits: rare enough not to look
    } else {
        n = reg_name_len(authority, ret_upper);
    }
    if (n == 0)
        return false;
    *ret_host = str_upto(authority, n);
    *ret_port = 0;
    if (n < authority.len &&
        (authority.ptr[n] != ':' || !parse_port(str_from(authority, n + 1), ret_port)))
        return false;
    if (ret_host->ptr[n - 1] == '.')
        ret_host->len--;
    return ret_host->len > 0;
}

bool uri_split_authority(struct str authority, char *out, struct str *ret_host, uint16_t *ret_port)
{
    struct str host;
    uint16_t port;
    bool has_upper;
    if (!split(authority, &host, &port, &has_upper))
        return false;
    if (has_upper) {
        for (size_t i = 0; i < host.len; i++)
            out[i] = ascii_lower(host.ptr[i]);
        host.ptr = out;
    }
    *ret_host = host;
    *ret_port = port;
    return true;
}

bool uri_authority_is_valid(struct str authority)
{
    struct str host;
    uint16_t port;
    bool has_upper;
    return split(authority, &host, &port, &has_upper);
}

bool uri_query_get(struct str query, struct str name, struct str *ret_value)
{
    struct str pair;
    while (str_next(&query, '&', &pair)) {
        ptrdiff_t equals = str_index(pair, '=');
        struct str key = equals < 0 ? pair : str_upto(pair, (size_t)equals);
        if (str_equal(key, name)) {
            *ret_value = equals < 0 ? STR("") : str_from(pair, (size_t)equals + 1);
            return true;
        }
    }
    return false;
}
