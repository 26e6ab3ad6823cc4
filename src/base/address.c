// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"
#include "base/check.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// An IPv4 client on an IPv6 socket is an IPv4 client.
static void set_ip6(struct address *address, const uint8_t ip[16])
{
    if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        address->family = AF_INET;
        memcpy(address->ip, ip + 12, 4);
    } else {
        address->family = AF_INET6;
        memcpy(address->ip, ip, 16);
    }
}

bool address_parse_ip(struct str text, struct address *ret)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct address address = {0};
    if (inet_pton(AF_INET, copy, ip) == 1) {
        address.family = AF_INET;
        memcpy(address.ip, ip, 4);
    } else if (inet_pton(AF_INET6, copy, ip) == 1) {
        set_ip6(&address, ip);
    } else {
        return false;
    }
    *ret = address;
    return true;
}

bool address_parse(struct str text, struct address *ret)
{
    struct str ip, port;
    if (text.len && text.ptr[0] == '[') {
        ptrdiff_t end = str_index(text, ']');
        if (end < 0 || (size_t)end + 1 >= text.len || text.ptr[end + 1] != ':')
            return false;
        ip = str_from(str_upto(text, (size_t)end), 1);
        port = str_from(text, (size_t)end + 2);
        if (str_index(ip, ':') < 0)
            return false;
    } else {
        ptrdiff_t colon = str_index(text, ':');
        if (colon < 0)
            return false;
        ip = str_upto(text, (size_t)colon);
        port = str_from(text, (size_t)colon + 1);
    }
    uint64_t number;
    struct address address;
    if (!str_to_u64(port, UINT16_MAX, &number) || !address_parse_ip(ip, &address))
        return false;
    address.port = (uint16_t)number;
    *ret = address;
    return true;
}

void address_mask(struct address *address, unsigned bits)
{
    size_t bytes = address->family == AF_INET ? 4 : 16;
    for (size_t i = 0; i < bytes; i++) {
        unsigned kept = bits >= 8 ? 8 : bits;
        address->ip[i] &= (uint8_t)(0xff00 >> kept);
        bits -= kept;
    }
}

bool address_parse_subnet(struct str text, struct address *ret_base, unsigned *ret_bits)
{
    ptrdiff_t slash = str_index(text, '/');
    struct str ip = slash < 0 ? text : str_upto(text, (size_t)slash);
    struct address base;
    if (!address_parse_ip(ip, &base))
        return false;
    uint64_t bits = base.family == AF_INET ? 32 : 128;
    // ::ffff:10.0.0.0/104 is 10.0.0.0/8: the mask counts the prefix that is cut off.
    uint64_t cut = base.family == AF_INET && str_index(ip, ':') >= 0 ? 96 : 0;
    if (slash >= 0 &&
        (!str_to_u64(str_from(text, (size_t)slash + 1), bits + cut, &bits) || bits < cut))
        return false;
    bits -= slash >= 0 ? cut : 0;
    address_mask(&base, (unsigned)bits);
    *ret_base = base;
    *ret_bits = (unsigned)bits;
    return true;
}

static char *put_decimal(char *out, unsigned value)
{
    char digits[10];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        *out++ = digits[--n];
    return out;
}

size_t address_format_ip(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    char *at = out;
    if (address->family == AF_INET6) {
        CHECK(inet_ntop(AF_INET6, address->ip, out, ADDRESS_TEXT_MAX) != NULL);
        return strlen(out);
    }
    if (address->family == AF_INET) { // by hand: each access log line has several
        for (int i = 0; i < 4; i++) {
            if (i)
                *at++ = '.';
            at = put_decimal(at, address->ip[i]);
        }
    } else {
        *at++ = '-';
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t address_format(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    char *at = out;
    bool is_ip6 = address->family == AF_INET6;
    if (is_ip6) {
        char ip[ADDRESS_TEXT_MAX];
        size_t len = address_format_ip(address, ip);
        *at++ = '[';
        memcpy(at, ip, len);
        at += len;
        *at++ = ']';
    } else {
        at += address_format_ip(address, at);
    }
    if (address->family != 0) {
        *at++ = ':';
        at = put_decimal(at, address->port);
    }
    *at = '\0';
    return (size_t)(at - out);
}

socklen_t address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret)
{
    if (address->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&in->sin_addr, address->ip, 4);
        return sizeof(*in);
    }
    CHECK(address->family == AF_INET6);
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memcpy(&in6->sin6_addr, address->ip, 16);
    return sizeof(*in6);
}

bool address_from_sockaddr(const struct sockaddr *sockaddr, struct address *ret)
{
    *ret = (struct address){0};
    if (sockaddr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sockaddr;
        ret->family = AF_INET;
        ret->port = ntohs(in->sin_port);
        memcpy(ret->ip, &in->sin_addr, 4);
        return true;
    }
    if (sockaddr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sockaddr;
        ret->port = ntohs(in6->sin6_port);
        set_ip6(ret, in6->sin6_addr.s6_addr);
        return true;
    }
    return false;
}

bool address_equal(const struct address *a, const struct address *b)
{
    size_t ip_len = a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0;
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, ip_len) == 0;
}

bool address_is_internal(const struct address *address)
{
    const uint8_t *ip = address->ip;
    if (address->family == AF_INET)
        return ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
               (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254);
    if (address->family != AF_INET6)
        return false;
    static const uint8_t loopback[16] = {[15] = 1};
    return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) ||
           memcmp(ip, loopback, sizeof(loopback)) == 0;
}
