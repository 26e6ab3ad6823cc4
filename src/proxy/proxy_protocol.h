// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol, versions 1 and 2: whose connection it is that a load balancer in front hands
// on. Bytes in, values out; no allocation. Any thread.
#pragma once
#include "base/address.h"

enum {
    PROXY_V1_BYTES_MAX = 107,
    PROXY_V2_BYTES_MAX = 4096, // with its extensions (TLVs)
    PROXY_WRITE_BYTES_MAX = 107,
};

enum proxy_header_status {
    PROXY_HEADER_DONE,
    PROXY_HEADER_MORE, // not all of it is there
    PROXY_HEADER_BAD,  // none, malformed, or over the limit
};
struct proxy_header {
    // Family 0: the header names none (LOCAL, UNKNOWN, or no TCP): the socket's addresses hold.
    struct address source, destination;
    uint32_t len; // what follows belongs to the client
};
// Looks at all bytes received so far, from the first.
enum proxy_header_status proxy_header_read(struct proxy_header *ret, struct str bytes);

// Writes a header of `version` (1 or 2) into PROXY_WRITE_BYTES_MAX bytes and returns its length.
// An IPv4 and an IPv6 address are written as two of IPv6; without both: UNKNOWN, LOCAL.
size_t proxy_header_write(int version, const struct address *source,
                          const struct address *destination, char *out);
