// SPDX-License-Identifier: Apache-2.0
#include "dns/reachable.h"
#include <errno.h>
#include <unistd.h>

enum { FAMILIES = 2 };

// Connecting a datagram socket looks for a route and sends nothing.
static bool is_reachable(const struct address *address, int fds[FAMILIES])
{
    struct address with_port = *address;
    struct sockaddr_storage sockaddr;
    with_port.port = 9; // any will do
    socklen_t len = address_to_sockaddr(&with_port, &sockaddr);
    int *fd = &fds[address->family == AF_INET6];
    if (*fd == -1)
        *fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno != EAFNOSUPPORT; // out of descriptors tells nothing
    return connect(*fd, (const struct sockaddr *)&sockaddr, len) == 0 || errno == EACCES;
}

void drop_unreachable(struct address *addresses, uint32_t *n)
{
    int fds[FAMILIES] = {-1, -1};
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < *n; i++)
        n_kept += is_reachable(&addresses[i], fds);
    if (n_kept > 0 && n_kept < *n) {
        n_kept = 0;
        for (uint32_t i = 0; i < *n; i++) {
            if (is_reachable(&addresses[i], fds))
                addresses[n_kept++] = addresses[i];
        }
        *n = n_kept;
    }
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}
