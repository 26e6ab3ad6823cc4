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
// What is known of a name, valid until the loop's next turn. A change of `first` alone is a change
// to tell when the name was looked up `by_first` since the last sweep but one.
void resolver_addresses(struct resolver *resolver, struct str name, bool by_first,
                        struct name_addresses *ret);
// Names not looked up since the last call of this are forgotten (call after a compile).
void resolver_sweep(struct resolver *resolver);
