// SPDX-License-Identifier: Apache-2.0
// What all workers share about endpoints: connections that wait for whoever needs one next (they
// are *parked*), TLS sessions, and what is learnt of an endpoint. Any worker.
//
// A busy worker keeps its idle connections to itself and takes no lock. Connections that it uses
// rarely it parks, and a worker that has none of its own takes a parked one before it opens
// another: so a rare caller's connections and handshakes are not multiplied by the workers.
//
// Invariants:
// - A connection has one owner at any time: a worker (up->worker), or the pool (up->worker NULL).
//   Only its owner touches it. It changes hands under the lock of its shared slot alone.
// - One that is parked stands in `parked` of its slot and in pool->epoll_fd, both or neither, and
// in
//   nothing of a worker: no epoll set, wheel, list of pool, slot or dirty sessions points to it,
//   and it points to no worker, slot or stream. It is UP_IDLE, or UP_SHARED without streams and
//   with nothing to send.
// - Events of parked connections are told by (slot number, descriptor), never by a pointer: the
//   keeper (worker 0) looks under the lock whether that one is still parked.
// - No two of these locks are held at once, and under one nothing is called that waits or calls
//   back. The only other lock that is taken under one is that of the dynamic slots (dynamic.h).
// - What a worker has parked under one snapshot it looks through itself when it adopts the next,
//   and when it begins to drain; from then on it parks nothing. So the last worker leaves nothing
//   behind, and none needs to know how far the others are.
#pragma once
#include "proxy/idle_limit.h"
#include "proxy/warm.h"
#include "proxy/worker.h"
#include <pthread.h>

// Of an endpoint slot. What is read without the lock comes first, on a cache line of its own.
struct shared_slot {
    _Alignas(64) _Atomic uint32_t
        idle_limit_ms; // an idle connection is closed before; 0: not known
    _Atomic uint32_t n_parked;
    _Alignas(64) pthread_mutex_t lock;
    uint64_t identity;           // whose facts these are; 0: unused
    struct list parked;          // newest first; also of identities before this one
    struct tls_session *session; // of the last handshake; owned
    uint32_t n_open;             // connections of all workers, parked ones too
    struct idle_limit idle_limit;
    struct warmth warmth;
};

struct shared_pool;
struct shared_pool *shared_pool_create(void);
void shared_pool_destroy(struct shared_pool *pool); // nothing is parked
struct shared_slot *shared_pool_slot(struct shared_pool *pool, uint32_t number); // made if need be
// The slot, locked, with the facts of `identity`; NULL (and not locked): it is another's already.
struct shared_slot *shared_pool_lock(struct shared_pool *pool, uint32_t number, uint64_t identity);
// The same, but makes none: NULL also where nothing was ever kept. Any thread.
struct shared_slot *shared_pool_find(struct shared_pool *pool, uint32_t number, uint64_t identity);
void shared_pool_lock_slot(struct shared_slot *slot); // whosever it is
void shared_pool_unlock(struct shared_slot *slot);
struct warm_list *shared_pool_warm_list(struct shared_pool *pool);

// Takes `*up`, which nothing of its worker points to any more. false: it
// cannot be watched, and is still the caller's.
bool shared_pool_park(struct shared_pool *pool, struct upstream **up);
// The newest one of that endpoint for a request of that protocol and host; NULL: none. The caller
// is its owner then, as of all that these return.
struct upstream *shared_pool_take(struct shared_pool *pool, uint32_t number, uint64_t identity,
                                  uint8_t protocol, struct str host, int64_t now_ms);
// A connection was opened, or is about to be closed.
void shared_pool_note_open(struct shared_pool *pool, const struct upstream *up, int64_t now_ms);
void shared_pool_note_close(struct shared_pool *pool, const struct upstream *up);
// That something has happened to. *ret_events: as epoll tells.
struct upstream *shared_pool_take_troubled(struct shared_pool *pool, uint32_t *ret_events);
// One that is wanted, from slot *cursor on. NULL: no more; *cursor begins with 0.
struct upstream *shared_pool_take_if(struct shared_pool *pool, uint32_t *cursor,
                                     bool (*is_wanted)(const struct upstream *up, const void *arg),
                                     const void *arg);
// One that waits for an endpoint which had the slot before that identity; NULL: none.
struct upstream *shared_pool_take_older(struct shared_pool *pool, uint32_t number,
                                        uint64_t identity);
// Of hosts' own connections that wait for this endpoint the oldest over UPSTREAM_HOSTS_MAX.
struct upstream *shared_pool_take_surplus(struct shared_pool *pool, uint32_t number);
uint32_t shared_pool_count(const struct shared_pool *pool); // that are parked; any thread
// The keeper sleeps while there is nothing to look after. true: somebody must wake it.
bool shared_pool_wants_keeper(struct shared_pool *pool);
bool shared_pool_lets_keeper_rest(struct shared_pool *pool); // asked by the keeper
int shared_pool_fd(const struct shared_pool *pool);          // readable: take_troubled() has some

// TLS sessions. The one that was taken is the caller's; NULL: none.
struct tls_session *shared_pool_session(struct shared_pool *pool, uint32_t number,
                                        uint64_t identity);
void shared_pool_keep_session(struct shared_pool *pool, uint32_t number, uint64_t identity,
                              struct tls_session **session); // takes

// How long the endpoint keeps idle connections: see idle_limit.h.
enum idle_news { IDLE_TOLD, IDLE_CLOSED, IDLE_SURVIVED };
void shared_pool_note_idle(struct shared_pool *pool, const struct upstream *up, enum idle_news news,
                           uint32_t ms, int64_t now_ms);
