// SPDX-License-Identifier: Apache-2.0
// The address that the client of a captured connection dialled. Any thread.
#pragma once
#include "base/address.h"

// `own`: the address of the accepted socket. is_transparent: captured by TPROXY, which leaves the
// dialled address to the socket; else by REDIRECT, which the kernel's connection tracking
// remembers. false: the connection was not captured.
bool dialled_address(int fd, bool is_transparent, const struct address *own, struct address *ret);
// Is the address (whatever its port) one of this host's, in this network namespace?
bool address_is_local(const struct address *address);
