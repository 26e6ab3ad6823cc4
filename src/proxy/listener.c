// SPDX-License-Identifier: Apache-2.0
// A worker's end of a listener: accepting. The sockets are opened in proxy.c (control thread) and
// belong to the worker from the moment it takes them up.
#include "proxy/worker.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

static void on_pause_over(struct timer *timer)
{
    struct accepting *accepting = LIST_ENTRY(timer, struct accepting, pause);
    if (accepting->is_open)
        loop_change(&accepting->worker->loop, &accepting->watch, EPOLLIN);
}

// The listener is level-triggered: without a pause the loop would spin until something is closed.
static void pause_accepting(struct accepting *accepting)
{
    struct loop *loop = &accepting->worker->loop;
    loop_change(loop, &accepting->watch, 0);
    timer_arm(&loop->wheel, &accepting->pause, loop->now_ms + ACCEPT_PAUSE_MS);
}

static void on_event(struct watch *watch, uint32_t events)
{
    (void)events;
    struct accepting *accepting = LIST_ENTRY(watch, struct accepting, watch);
    struct worker *worker = accepting->worker;
    for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage sockaddr;
        socklen_t len = sizeof sockaddr;
        int fd = accept4(watch->fd, (struct sockaddr *)&sockaddr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN)
                pause_accepting(accepting); // out of descriptors or memory
            return;
        }
        struct address remote = {0};
        address_from_sockaddr((struct sockaddr *)&sockaddr, &remote);
        if (worker->n_downstreams >= proxy_get_options(worker->proxy)->connections_max) {
            WORKER_COUNT(worker, CONNECTIONS_REFUSED, 1);
            close(fd);
            continue;
        }
        downstream_accept(worker, accepting->listener, fd, &remote);
    }
}

void accepting_open(struct worker *worker, const struct listener *listener, int fd)
{
    struct accepting *accepting = worker->accepting[listener->slot];
    if (accepting) { // closed and opened again before we looked
        timer_disarm(&worker->loop.wheel, &accepting->pause);
        if (accepting->is_open) {
            loop_forget(&worker->loop, &accepting->watch);
            close(accepting->watch.fd);
        }
    } else {
        accepting = calloc(1, sizeof *accepting);
        CHECK(accepting != NULL);
        worker->accepting[listener->slot] = accepting;
    }
    *accepting = (struct accepting){.watch = {.on_event = on_event, .fd = fd},
                                    .worker = worker,
                                    .slot = listener->slot,
                                    .is_open = true,
                                    .listener = listener};
    timer_init(&accepting->pause, on_pause_over);
    int error = loop_add(&worker->loop, &accepting->watch, EPOLLIN);
    CHECK(error == 0);
}

void accepting_close(struct worker *worker, struct accepting *accepting)
{
    timer_disarm(&worker->loop.wheel, &accepting->pause);
    if (accepting->is_open) {
        loop_forget(&worker->loop, &accepting->watch);
        close(accepting->watch.fd);
    }
    free(accepting);
}
