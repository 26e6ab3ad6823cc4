// SPDX-License-Identifier: Apache-2.0
// Resolving names outside the cluster through c-ares, in the control thread's loop. Names are asked
// for when first looked up and again when their TTL (bounded below and above) is over; old
// addresses stay while the resolver fails, also when it says that there is no such name (as in
// Envoy). The resolver owns its cache. An address in place of a name resolves to itself.
#pragma once
#include "base/address.h"
#include "base/loop.h"

struct resolver;
// `servers`: "ADDR:PORT" list for tests and options, or NULL for the system's. on_change runs when
// the addresses of any name changed, from the loop (never inside a call below). NULL: `servers` is
// malformed or the system's configuration cannot be read.
struct resolver *resolver_create(struct loop *loop, const char *servers,
                                 void (*on_change)(void *arg), void *arg);
void resolver_destroy(struct resolver *resolver);
// Known addresses (port 0), sorted; n = 0: not known (yet). Valid until the loop's next turn.
const struct address *resolver_addresses(struct resolver *resolver, struct str name,
                                         uint32_t *ret_n);
// Names not looked up since the last call of this are forgotten (call after a compile).
void resolver_sweep(struct resolver *resolver);
