// SPDX-License-Identifier: Apache-2.0
#include "proxy/dialled.h"
#include <netinet/in.h>
#include <unistd.h>

// Of linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which quarrel with netinet/in.h.
enum { ORIGINAL_DST = 80 };

// IPv4 on an IPv6 socket is tracked as IPv4.
static bool original_destination(int fd, const struct address *own, struct address *ret)
{
    bool is_ip6 = own->family == AF_INET6;
    struct sockaddr_storage sockaddr = {0};
    socklen_t len = is_ip6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getsockopt(fd, is_ip6 ? SOL_IPV6 : SOL_IP, ORIGINAL_DST, &sockaddr, &len) < 0)
        return false; // ENOENT: not tracked; ENOPROTOOPT: nothing is
    return address_from_sockaddr((struct sockaddr *)&sockaddr, ret);
}

bool dialled_address(int fd, bool is_transparent, const struct address *own, struct address *ret)
{
    if (is_transparent) {
        *ret = *own;
        return own->family != 0;
    }
    return original_destination(fd, own, ret) && !address_equal(ret, own);
}

// Nothing else can be bound to.
bool address_is_local(const struct address *address)
{
    struct address any_port = *address;
    struct sockaddr_storage sockaddr;
    any_port.port = 0;
    socklen_t len = address_to_sockaddr(&any_port, &sockaddr);
    int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_local = fd >= 0 && bind(fd, (struct sockaddr *)&sockaddr, len) == 0;
    if (fd >= 0)
        close(fd);
    return is_local;
}
