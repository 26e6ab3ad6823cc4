// SPDX-License-Identifier: Apache-2.0
// Addresses that a name which a client chose must not lead to, whatever DNS says of it: who may
// name the host would else reach what only this host, or its link, is meant to reach (the metadata
// of a cloud at 169.254.169.254 ...). Any thread.
#pragma once
#include "base/address.h"

// Unspecified, loopback, link-local, multicast, reserved; also when an IPv6 address contains one.
bool address_is_refused(const struct address *address);
