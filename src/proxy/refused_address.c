// SPDX-License-Identifier: Apache-2.0
#include "proxy/refused_address.h"

static bool is_refused_ip4(const uint8_t ip[4])
{
    return ip[0] == 0 || ip[0] == 127 || (ip[0] == 169 && ip[1] == 254) || ip[0] >= 224;
}

static bool is_zero(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

// ::a.b.c.d (RFC 4291, 2.5.5.1; :: and ::1 are of that form), ::ffff:a.b.c.d, and 64:ff9b::a.b.c.d
// of NAT64 (RFC 6052), which a translator on the way turns into IPv4 again.
static bool contains_ip4(const uint8_t ip[16])
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    return is_zero(ip, 12) || (is_zero(ip, 10) && ip[10] == 0xff && ip[11] == 0xff) ||
           memcmp(ip, nat64, sizeof nat64) == 0;
}

bool address_is_refused(const struct address *address)
{
    const uint8_t *ip = address->ip;
    if (address->family == AF_INET)
        return is_refused_ip4(ip);
    if (contains_ip4(ip))
        return is_refused_ip4(ip + 12);
    return ip[0] == 0xff || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}
