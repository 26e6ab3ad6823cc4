// SPDX-License-Identifier: Apache-2.0
// The event loop: epoll, one loop a thread. A watch is embedded in what it watches; the loop owns
// neither the watch nor the descriptor. Events are edge-triggered where asked for.
#pragma once
#include "base/wheel.h"
#include <stdatomic.h>
#include <sys/epoll.h>

struct watch {
    void (*on_event)(struct watch *watch, uint32_t events); // EPOLLIN, EPOLLOUT, ...
    int fd;
};

struct loop {
    int epoll_fd;
    // Runs after the wait and before the turn's events; NULL: nothing. What another thread published before
    // an event was caused is so seen before that event is handled.
    void (*before_events)(struct loop *loop);
    int64_t now_ms;      // monotonic, taken once a turn
    int64_t now_ns;      // monotonic
    int64_t wall_ns;     // wall clock of the same instant
    struct wheel wheel;
    struct epoll_event *events;
    int n_events, next_event; // of the turn being handled
    uint64_t turns;
};

void loop_init(struct loop *loop);
void loop_fini(struct loop *loop);
int loop_add(struct loop *loop, struct watch *watch, uint32_t events); // 0 or -errno
int loop_change(struct loop *loop, struct watch *watch, uint32_t events);
// Forgets the watch: no event that is already fetched reaches it any more. Call before close(2).
void loop_remove(struct loop *loop, struct watch *watch);
// As loop_remove for a descriptor that is about to be closed (the kernel drops it from the set
// itself: saves a system call).
void loop_forget(struct loop *loop, struct watch *watch);
// One turn: waits at most `max_ms` (-1: for ever), updates the clock, runs timers and watches.
void loop_turn(struct loop *loop, int max_ms);

// Wakes a loop from another thread (eventfd). `on_wake` runs in the loop's thread, once for any
// number of pokes since the last.
struct waker {
    struct watch watch;
    void (*on_wake)(struct waker *waker);
};
int waker_open(struct waker *waker, struct loop *loop, void (*on_wake)(struct waker *waker));
void waker_close(struct waker *waker, struct loop *loop);
void waker_poke(struct waker *waker); // any thread; async-signal-safe
