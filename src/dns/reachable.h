// SPDX-License-Identifier: Apache-2.0
// Has this host a way to an address (RFC 6724, rule 1)? A name with IPv4 and IPv6 addresses is
// usual, a host without IPv6 as well: addresses that nothing can come of are left out.
#pragma once
#include "base/address.h"

// Drops those of the addresses that no route leads to, unless that were all; keeps their order.
void drop_unreachable(struct address *addresses, uint32_t *n);
