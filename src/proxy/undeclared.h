// SPDX-License-Identifier: Apache-2.0
// What a sidecar's applications ask for and nothing declares, by host: each worker counts for
// itself, the control thread adds up. A host is what the client named (Host, SNI), else the address
// dialled. The number of hosts is bounded: those that come later count as "other".
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    UNDECLARED_HOSTS_MAX = 200, // that are counted by name
    UNDECLARED_NAME_MAX = 253,  // bytes of a name
};
enum undeclared_policy { UNDECLARED_ALLOWED, UNDECLARED_REFUSED, UNDECLARED_POLICIES };

struct undeclared; // of a worker
struct undeclared *undeclared_create(void);
void undeclared_destroy(struct undeclared *undeclared); // NULL is fine
void undeclared_count(struct undeclared *undeclared, struct str host,
                      enum undeclared_policy policy); // the worker

struct undeclared_host {
    struct str name; // as long as the proxy
    uint64_t counts[UNDECLARED_POLICIES];
};
// The sum over the `n` of them into *ret, by first appearance; the last is "other", if anything
// counts as that. Returns their number. Control thread.
uint32_t undeclared_sum(const struct undeclared *const *all, unsigned n,
                        struct undeclared_host ret[]); // of UNDECLARED_HOSTS_MAX + 1

struct stream;
// Notes a request or TCP session whose cluster says that its destination is declared nowhere. true:
// and that it is refused for that.
bool stream_note_undeclared(struct stream *stream);
