// SPDX-License-Identifier: Apache-2.0
// What is known of names outside the cluster. Control thread; the resolver owns its cache.
//
// *Watched* names are those that a snapshot uses: they are asked for when first looked up and again
// when their TTL (bounded below and above) is over, and whoever uses them is told of changes. Old
// addresses stay while the resolver fails, also when it says that there is no such name (as in
// Envoy), however long it takes. Addresses that a new answer lacks are *retiring* for a few
// seconds. *Requested* names are those that a request asked for (resolver_ask): their number is
// bounded, the ones used last stay, nothing is refreshed unasked, and old addresses stay for an
// hour at most.
//
// Addresses that this host has no route to are left out where others are left. A requested name is
// not looked for below the search domains.
//
// An address in place of a name resolves to itself. A name that cannot be one is never asked for.
#pragma once
#include "base/address.h"
#include "base/loop.h"

struct resolver;

struct resolver_options {
    // Runs in the loop.
    struct {
        // The addresses of a watched name changed. Many changes may be told in one.
        void (*on_change)(void *arg);
        // A watched name's lookups begin to fail (`failure` in words; the addresses known before,
        // if any, stay), or are good again (NULL). NULL: nobody cares.
        void (*on_health)(void *arg, struct str name, const char *failure, bool has_addresses);
        void *arg;
    } owner;
    const char *servers;     // "ADDR:PORT" list, or NULL for the system's
    const char *resolv_conf; // search domains; NULL: /etc/resolv.conf
    uint32_t mark;           // SO_MARK of the sockets; 0: none
    // 0: the default
    uint32_t ttl_min_ms, ttl_max_ms;     // 1000, 300000
    uint32_t retry_min_ms, retry_max_ms; // after a failure, doubling; 1000, 30000
    uint32_t retiring_ms;                // 3000
    uint32_t deadline_ms;                // of one lookup; 8000
    uint32_t kept_ms;                    // addresses of a requested name past their end; 3600000
    bool keeps_unreachable;              // addresses that no route leads to; for tests
    uint32_t requested_max;              // requested names that are remembered; 4096
};

// NULL: `servers` is malformed, or the system's configuration cannot be read.
struct resolver *resolver_create(struct loop *loop, const struct resolver_options *options);
void resolver_destroy(struct resolver *resolver); // what was asked is not answered; NULL is fine

// What is known of a name, which is watched from now on. Valid until the loop's next turn. A change
// of `first` alone is told when the name was looked up `by_first`.
void resolver_addresses(struct resolver *resolver, struct str name, bool by_first,
                        struct name_addresses *ret);
// Names not looked up since the last call of this are watched no more (call after a compile).
void resolver_sweep(struct resolver *resolver);

enum resolved {
    RESOLVED_FOUND,
    RESOLVED_UNKNOWN, // there is no such name, or it has no address
    RESOLVED_FAILED,  // no answer, or a broken one
};
// One question for a request. on_answer runs once, maybe inside this call: `valid_ms` says for how
// long the answer may be kept.
typedef void (*resolver_answer_fn)(void *arg, struct str name, enum resolved result,
                                   const struct address *addresses, uint32_t n, uint32_t valid_ms);
void resolver_ask(struct resolver *resolver, struct str name, resolver_answer_fn on_answer,
                  void *arg);

struct resolver_counts {
    uint64_t lookups;                       // begun
    uint64_t not_found, failures, timeouts; // by which lookups ended
    uint32_t running, queued;               // lookups, now
    uint32_t watched, requested;            // names, now
    uint32_t unresolved;                    // watched names that have no address
    uint32_t stale; // names that have addresses, but whose last lookup brought none
};
void resolver_counts(const struct resolver *resolver, struct resolver_counts *ret);
// "name::what::value" lines of all names, in the order in which they came. Adds some, about
// `bytes`; true: there are more. *cursor starts with 0.
bool resolver_describe(const struct resolver *resolver, uint64_t *cursor, size_t bytes,
                       struct buf *out);
