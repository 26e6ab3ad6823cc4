// SPDX-License-Identifier: Apache-2.0
// Socket addresses in a compact form. Any thread.
#pragma once
#include "base/buf.h"
#include <sys/socket.h>

struct address {
    uint8_t family; // AF_INET, AF_INET6; 0: none
    uint16_t port;  // host byte order
    uint8_t ip[16]; // network byte order; IPv4 in the first four
};

enum { ADDRESS_TEXT_MAX = 56 }; // "[ip6]:port" and a NUL

bool address_parse_ip(struct str text, struct address *ret); // an IP alone; port 0
bool address_parse(struct str text, struct address *ret);    // "ip:port", "[ip6]:port"
// An IP or CIDR; the bits behind the mask are cleared, the port is 0.
bool address_parse_subnet(struct str text, struct address *ret_base, unsigned *ret_bits);
void address_mask(struct address *address, unsigned bits); // clears what is behind the first bits
size_t address_format(const struct address *address, char out[ADDRESS_TEXT_MAX]); // "ip:port"
size_t address_format_ip(const struct address *address,
                         char out[ADDRESS_TEXT_MAX]); // without brackets
socklen_t address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret);
bool address_from_sockaddr(const struct sockaddr *sockaddr,
                           struct address *ret); // IPv4-mapped: as IPv4
bool address_equal(const struct address *a, const struct address *b);
// Private, loopback, link-local and unique-local addresses: what Envoy calls internal.
bool address_is_internal(const struct address *address);

// What a name resolves to. The arrays are whose they were asked from, until its loop's next turn.
struct name_addresses {
    const struct address *items; // of the newest good answer: sorted, port 0
    uint32_t n;
    // Of answers before it, none of them in `items`: dropped so short a time ago that connections
    // to them are still in use. Sorted.
    const struct address *retiring;
    uint32_t n_retiring;
    // One of `items`: the one that the newest answer had first, for who uses one address at a time.
    // Family 0: none.
    struct address first;
    bool is_pending; // no good answer has come yet
};
