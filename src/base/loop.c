// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"
#include "base/check.h"
#include "base/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 256 };

static void take_clocks(struct loop *loop)
{
    loop->now_ns = clock_monotonic_ns();
    loop->now_ms = loop->now_ns / 1000000;
    loop->wall_ns = clock_wall_ns();
}

void loop_init(struct loop *loop)
{
    *loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    CHECK(loop->epoll_fd >= 0);
    loop->events = calloc(EVENTS_MAX, sizeof(*loop->events));
    CHECK(loop->events != NULL);
    take_clocks(loop);
    wheel_init(&loop->wheel, loop->now_ms);
}

void loop_fini(struct loop *loop)
{
    close(loop->epoll_fd);
    free(loop->events);
    loop->events = NULL;
    loop->epoll_fd = -1;
}

static int control(struct loop *loop, int operation, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) == 0 ? 0 : -errno;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
    control(loop, EPOLL_CTL_DEL, watch, 0); // fails only when it is not in the set: as wished
    loop_forget(loop, watch);
}

void loop_forget(struct loop *loop, struct watch *watch)
{
    for (int i = loop->next_event; i < loop->n_events; i++) {
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
    }
}

void loop_turn(struct loop *loop, int max_ms)
{
    int wait_ms = max_ms;
    if (loop->wheel.armed && max_ms != 0) // the last turn may have taken long: ask the clock
        wait_ms = wheel_wait_ms(&loop->wheel, clock_monotonic_ms(), max_ms);
    int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, wait_ms);
    CHECK(n >= 0 || errno == EINTR);
    take_clocks(loop);
    loop->turns++;

    loop->n_events = n > 0 ? n : 0;
    loop->next_event = 0;
    if (loop->before_events)
        loop->before_events(loop);
    while (loop->next_event < loop->n_events) {
        const struct epoll_event *event = &loop->events[loop->next_event++];
        struct watch *watch = event->data.ptr;
        if (watch) // NULL: removed by an event before this one
            watch->on_event(watch, event->events);
    }
    loop->n_events = loop->next_event = 0;
    wheel_run(&loop->wheel, loop->now_ms, -1);
}

// Edge-triggered: each poke is an edge of its own, so the counter need never be read back.
static void on_poke(struct watch *watch, uint32_t events)
{
    struct waker *waker = LIST_ENTRY(watch, struct waker, watch);
    waker->on_wake(waker);
}

int waker_open(struct waker *waker, struct loop *loop, void (*on_wake)(struct waker *waker))
{
    *waker = (struct waker){.watch = {.on_event = on_poke}, .on_wake = on_wake};
    waker->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (waker->watch.fd < 0)
        return -errno;
    int error = loop_add(loop, &waker->watch, EPOLLIN | EPOLLET);
    if (error) {
        close(waker->watch.fd);
        waker->watch.fd = -1;
    }
    return error;
}

void waker_close(struct waker *waker, struct loop *loop)
{
    if (waker->watch.fd < 0)
        return;
    loop_remove(loop, &waker->watch);
    close(waker->watch.fd);
    waker->watch.fd = -1;
}

void waker_poke(struct waker *waker)
{
    int saved = errno; // a signal handler must leave it as it was
    uint64_t one = 1;
    // Fails only when the counter is full, after 2^64 - 1 pokes.
    ssize_t n = write(waker->watch.fd, &one, sizeof(one));
    (void)n;
    errno = saved;
}
