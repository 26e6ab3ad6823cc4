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

// Accepts up to `max` connections. 0, or the errno why it ended before.
static int accept_some(struct accepting *accepting, unsigned max)
{
    struct worker *worker = accepting->worker;
    for (unsigned i = 0; i < max; i++) {
        struct sockaddr_storage sockaddr;
        socklen_t len = sizeof sockaddr;
        int fd = accept4(accepting->watch.fd, (struct sockaddr *)&sockaddr, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return errno;
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
    return 0;
}

static void on_event(struct watch *watch, uint32_t events)
{
    (void)events;
    struct accepting *accepting = LIST_ENTRY(watch, struct accepting, watch);
    int error = accept_some(accepting, ACCEPTS_PER_EVENT);
    if (error && error != EAGAIN)
        pause_accepting(accepting); // out of descriptors or memory
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

static void stop(struct accepting *accepting)
{
    struct loop *loop = &accepting->worker->loop;
    timer_disarm(&loop->wheel, &accepting->pause);
    if (!accepting->is_open)
        return;
    loop_forget(loop, &accepting->watch);
    close(accepting->watch.fd);
    accepting->is_open = false;
}

void accepting_stop(struct accepting *accepting)
{
    // Their handshake is done: to close the queue would reset them.
    if (accepting->is_open)
        accept_some(accepting, LISTEN_BACKLOG);
    stop(accepting);
}

void accepting_close(struct accepting *accepting)
{
    stop(accepting);
    free(accepting);
}
