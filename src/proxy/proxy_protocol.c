// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy_protocol.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum {
    V2_HEAD_BYTES = 16,
    V2_LOCAL = 0x20, // version and command
    V2_PROXY = 0x21,
    V2_TCP4 = 0x11, // family and transport
    V2_TCP6 = 0x21,
    V2_TCP4_BYTES = 12,
    V2_TCP6_BYTES = 36,
    V2_UNIX_BYTES = 216,
    TLV_HEAD_BYTES = 3,
};

static unsigned read_u16(const char *bytes)
{
    return (unsigned)(uint8_t)bytes[0] << 8 | (uint8_t)bytes[1];
}

// ---- version 1: one line of text ----

// Decimal digits without a leading zero.
static bool read_port(struct str text, uint16_t *ret_port)
{
    uint64_t port;
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0') ||
        !str_to_u64(text, UINT16_MAX, &port))
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

// TCP6 may carry an IPv4 address as a mapped one, which address_parse_ip() makes plain.
static bool read_ip(struct str text, bool is_ip6, struct address *ret)
{
    return (str_index(text, ':') >= 0) == is_ip6 && address_parse_ip(text, ret);
}

static enum proxy_header_status read_v1_line(struct proxy_header *ret, struct str line)
{
    struct str rest = line, word, source, destination, source_port, destination_port;
    str_next(&rest, ' ', &word); // "PROXY": seen before
    if (!str_next(&rest, ' ', &word))
        return PROXY_HEADER_BAD;
    if (str_is(word, "UNKNOWN"))
        return PROXY_HEADER_DONE; // what follows is to be ignored
    bool is_ip6 = str_is(word, "TCP6");
    if (!is_ip6 && !str_is(word, "TCP4"))
        return PROXY_HEADER_BAD;
    if (!str_next(&rest, ' ', &source) || !str_next(&rest, ' ', &destination) ||
        !str_next(&rest, ' ', &source_port) || !str_next(&rest, ' ', &destination_port) || rest.ptr)
        return PROXY_HEADER_BAD;
    struct proxy_header header = {.len = ret->len};
    if (!read_ip(source, is_ip6, &header.source) ||
        !read_ip(destination, is_ip6, &header.destination) ||
        !read_port(source_port, &header.source.port) ||
        !read_port(destination_port, &header.destination.port))
        return PROXY_HEADER_BAD;
    *ret = header;
    return PROXY_HEADER_DONE;
}

static enum proxy_header_status read_v1(struct proxy_header *ret, struct str bytes)
{
    static const struct str begin = {"PROXY ", 6};
    if (!str_has_prefix(str_upto(bytes, begin.len), str_upto(begin, bytes.len)))
        return PROXY_HEADER_BAD;
    ptrdiff_t end = str_index(str_upto(bytes, PROXY_V1_BYTES_MAX), '\n');
    if (end < 0)
        return bytes.len >= PROXY_V1_BYTES_MAX ? PROXY_HEADER_BAD : PROXY_HEADER_MORE;
    if ((size_t)end < begin.len || bytes.ptr[end - 1] != '\r')
        return PROXY_HEADER_BAD;
    ret->len = (uint32_t)end + 1;
    return read_v1_line(ret, str_upto(bytes, (size_t)end - 1));
}

// ---- version 2: binary ----

static struct address read_v2_address(const char *ip, const char *port, bool is_ip6)
{
    struct sockaddr_storage sockaddr = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&sockaddr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sockaddr;
    struct address address;
    sockaddr.ss_family = is_ip6 ? AF_INET6 : AF_INET;
    if (is_ip6) {
        memcpy(&in6->sin6_addr, ip, 16);
        memcpy(&in6->sin6_port, port, 2);
    } else {
        memcpy(&in->sin_addr, ip, 4);
        memcpy(&in->sin_port, port, 2);
    }
    address_from_sockaddr((struct sockaddr *)&sockaddr, &address);
    return address;
}

// Nothing of the extensions is used; but what is not even a list of them is no header.
static bool are_extensions(struct str rest)
{
    while (rest.len > 0) {
        if (rest.len < TLV_HEAD_BYTES)
            return false;
        size_t len = TLV_HEAD_BYTES + (size_t)read_u16(rest.ptr + 1);
        if (len > rest.len)
            return false;
        rest = str_from(rest, len);
    }
    return true;
}

// Bytes of the addresses of a family and transport; -1: there is no such pair.
static int v2_address_bytes(unsigned family)
{
    static const int bytes[] = {0, V2_TCP4_BYTES, V2_TCP6_BYTES, V2_UNIX_BYTES};
    unsigned transport = family & 15; // unspecified, stream, datagram
    return family >> 4 > 3 || transport > 2 ? -1 : bytes[family >> 4];
}

static enum proxy_header_status read_v2(struct proxy_header *ret, struct str bytes)
{
    if (memcmp(bytes.ptr, signature, bytes.len < sizeof signature ? bytes.len : sizeof signature) !=
        0)
        return PROXY_HEADER_BAD;
    if (bytes.len < V2_HEAD_BYTES)
        return PROXY_HEADER_MORE;
    unsigned command = (uint8_t)bytes.ptr[12], family = (uint8_t)bytes.ptr[13];
    size_t len = V2_HEAD_BYTES + (size_t)read_u16(bytes.ptr + 14);
    int address_bytes = v2_address_bytes(family);
    if ((command != V2_LOCAL && command != V2_PROXY) || len > PROXY_V2_BYTES_MAX ||
        address_bytes < 0)
        return PROXY_HEADER_BAD;
    if (bytes.len < len)
        return PROXY_HEADER_MORE;
    struct str rest = str_from(str_upto(bytes, len), V2_HEAD_BYTES);
    ret->len = (uint32_t)len;
    if (command == V2_LOCAL)
        return PROXY_HEADER_DONE; // a health check of the balancer's own; the rest is to be ignored
    if (rest.len < (size_t)address_bytes || !are_extensions(str_from(rest, (size_t)address_bytes)))
        return PROXY_HEADER_BAD;
    if (family == V2_TCP4) {
        ret->source = read_v2_address(rest.ptr, rest.ptr + 8, false);
        ret->destination = read_v2_address(rest.ptr + 4, rest.ptr + 10, false);
    } else if (family == V2_TCP6) {
        ret->source = read_v2_address(rest.ptr, rest.ptr + 32, true);
        ret->destination = read_v2_address(rest.ptr + 16, rest.ptr + 34, true);
    }
    return PROXY_HEADER_DONE;
}

enum proxy_header_status proxy_header_read(struct proxy_header *ret, struct str bytes)
{
    *ret = (struct proxy_header){0};
    if (bytes.len == 0)
        return PROXY_HEADER_MORE;
    return bytes.ptr[0] == signature[0] ? read_v2(ret, bytes) : read_v1(ret, bytes);
}

// ---- writing ----

static void as_ip6(const struct address *address, uint8_t out[16])
{
    if (address->family == AF_INET6) {
        memcpy(out, address->ip, 16);
        return;
    }
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, address->ip, 4);
}

static size_t write_v1(const struct address *source, const struct address *destination, bool is_ip6,
                       char *out)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (is_ip6) {
        as_ip6(source, ip);
        inet_ntop(AF_INET6, ip, from, sizeof from);
        as_ip6(destination, ip);
        inet_ntop(AF_INET6, ip, to, sizeof to);
    } else {
        inet_ntop(AF_INET, source->ip, from, sizeof from);
        inet_ntop(AF_INET, destination->ip, to, sizeof to);
    }
    int n = snprintf(out, PROXY_WRITE_BYTES_MAX, "PROXY TCP%c %s %s %u %u\r\n", is_ip6 ? '6' : '4',
                     from, to, source->port, destination->port);
    return (size_t)n;
}

static void put_u16(char *out, unsigned value)
{
    out[0] = (char)(value >> 8);
    out[1] = (char)value;
}

static size_t write_v2(const struct address *source, const struct address *destination, bool is_ip6,
                       char *out)
{
    char *at = out + V2_HEAD_BYTES;
    size_t ip_bytes = is_ip6 ? 16 : 4;
    if (is_ip6) {
        as_ip6(source, (uint8_t *)at);
        as_ip6(destination, (uint8_t *)at + ip_bytes);
    } else {
        memcpy(at, source->ip, ip_bytes);
        memcpy(at + ip_bytes, destination->ip, ip_bytes);
    }
    put_u16(at + 2 * ip_bytes, source->port);
    put_u16(at + 2 * ip_bytes + 2, destination->port);
    out[12] = V2_PROXY;
    out[13] = is_ip6 ? V2_TCP6 : V2_TCP4;
    put_u16(out + 14, (unsigned)(2 * ip_bytes + 4));
    return V2_HEAD_BYTES + 2 * ip_bytes + 4;
}

size_t proxy_header_write(int version, const struct address *source,
                          const struct address *destination, char *out)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    bool is_known = source->family && destination->family;
    bool is_ip6 = source->family == AF_INET6 || destination->family == AF_INET6;
    if (version == 1) {
        if (is_known)
            return write_v1(source, destination, is_ip6, out);
        memcpy(out, unknown, sizeof unknown - 1);
        return sizeof unknown - 1;
    }
    memcpy(out, signature, sizeof signature);
    if (is_known)
        return write_v2(source, destination, is_ip6, out);
    memset(out + sizeof signature, 0, V2_HEAD_BYTES - sizeof signature);
    out[12] = V2_LOCAL;
    return V2_HEAD_BYTES;
}
