// SPDX-License-Identifier: Apache-2.0
#include "proxy/refused_address.h"

// Where clouds answer machines about themselves, credentials among it, beside 169.254.169.254.
static bool is_metadata_ip4(const uint8_t ip[4])
{
    static const uint8_t known[][4] = {{100, 100, 100, 200}, {168, 63, 129, 16}, {192, 0, 0, 192}};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (memcmp(ip, known[i], 4) == 0)
            return true;
    return false;
}

static bool is_metadata_ip6(const uint8_t ip[16])
{
    static const uint8_t known[][16] = {{0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54},  // fd00:ec2::254
                                        {0xfd, 0x20, 0, 0xce, [14] = 2, 0x54}}; // fd20:ce::254
    return memcmp(ip, known[0], 16) == 0 || memcmp(ip, known[1], 16) == 0;
}

static bool is_refused_ip4(const uint8_t ip[4])
{
    return ip[0] == 0 || ip[0] == 127 || (ip[0] == 169 && ip[1] == 254) || ip[0] >= 224 ||
           is_metadata_ip4(ip);
}

static bool is_zero(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

// Where an IPv4 address stands in one of IPv6 that a translator or a tunnel on the way turns into
// IPv4 again; 0: nowhere.
static unsigned offset_of_ip4(const uint8_t ip[16])
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t nat64_local[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    if (ip[0] == 0x20 && ip[1] == 0x02)
        return 2; // 2002:a.b.c.d:: of 6to4 (RFC 3056)
    // ::a.b.c.d (RFC 4291, 2.5.5.1; :: and ::1 are of that form), ::ffff:a.b.c.d, ::ffff:0:a.b.c.d
    // (RFC 2765), 64:ff9b::a.b.c.d (RFC 6052), and the /96s of 64:ff9b:1::/48 (RFC 8215).
    bool is_last = is_zero(ip, 12) || (is_zero(ip, 10) && ip[10] == 0xff && ip[11] == 0xff) ||
                   (is_zero(ip, 8) && ip[8] == 0xff && ip[9] == 0xff && is_zero(ip + 10, 2)) ||
                   memcmp(ip, nat64, sizeof nat64) == 0 ||
                   memcmp(ip, nat64_local, sizeof nat64_local) == 0;
    return is_last ? 12 : 0;
}

bool address_is_refused(const struct address *address)
{
    const uint8_t *ip = address->ip;
    if (address->family == AF_INET)
        return is_refused_ip4(ip);
    unsigned offset = offset_of_ip4(ip);
    if (offset > 0)
        return is_refused_ip4(ip + offset);
    return is_metadata_ip6(ip) || ip[0] == 0xff || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}
