// SPDX-License-Identifier: Apache-2.0
#include "proxy/h2_session.h"
#include <stdlib.h>

enum { READ_BYTES = 64 * 1024 };

struct h2_session *h2_session_create(struct worker *worker, struct sock *sock,
                                     const struct h2_options *options,
                                     const struct h2_events *events)
{
    struct h2_session *session = calloc(1, sizeof *session);
    CHECK(session != NULL);
    session->worker = worker;
    session->sock = sock;
    list_init(&session->streams);
    list_init(&session->dirty);
    session->h2 = h2_create(options, events, session);
    return session;
}

void h2_session_destroy(struct h2_session *session)
{
    if (!session)
        return;
    list_remove(&session->dirty);
    pool_give(&session->worker->large, session->out);
    h2_destroy(session->h2);
    free(session);
}

void h2_session_mark(struct h2_session *session)
{
    if (list_empty(&session->dirty))
        list_push_back(&session->worker->h2_dirty, &session->dirty);
}

bool h2_session_take(struct h2_session *session, struct str bytes)
{
    if (h2_receive(session->h2, bytes, session->worker->loop.now_ms))
        return true;
    session->has_failed = true;
    if (session->down)
        WORKER_COUNT(session->worker, H2_CONNECTIONS_ENDED, 1);
    return false;
}

static bool read_into(struct h2_session *session, char *room)
{
    struct worker *worker = session->worker;
    size_t done = 0;
    while (session->sock->readable && !session->has_failed) {
        if (done >= RELAY_BYTES_PER_RUN) {
            loop_change(&worker->loop, &session->sock->watch,
                        EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
            break; // the kernel reports once more what is there
        }
        ssize_t n = sock_recv(session->sock, room, READ_BYTES);
        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return false;
        done += (size_t)n;
        if (session->down)
            WORKER_COUNT(worker, DOWNSTREAM_BYTES_RECEIVED, n);
        h2_session_take(session, (struct str){room, (size_t)n});
    }
    if (session->has_failed || h2_wants_write(session->h2))
        h2_session_mark(session);
    return !session->sock->failed;
}

// Not into scratch memory: what an event does may build a head there (a 1xx) while the bytes behind
// it are still to be read.
bool h2_session_read(struct h2_session *session)
{
    struct worker *worker = session->worker;
    char *room = pool_take(&worker->large);
    bool ok = read_into(session, room);
    pool_give(&worker->large, room);
    return ok;
}

static bool send_out(struct h2_session *session)
{
    ssize_t n = sock_send(session->sock, session->out + session->out_off,
                          session->out_end - session->out_off);
    if (n == -EAGAIN)
        return true;
    if (n < 0)
        return false;
    session->out_off += (uint32_t)n;
    session->n_sent += (uint64_t)n;
    if (session->down)
        WORKER_COUNT(session->worker, DOWNSTREAM_BYTES_SENT, n);
    return true;
}

bool h2_session_flush(struct h2_session *session)
{
    struct worker *worker = session->worker;
    uint64_t begin = session->n_sent;
    for (;;) {
        if (session->out_off == session->out_end) {
            if (session->n_sent - begin >= RELAY_BYTES_PER_RUN) {
                h2_session_mark(session);
                return true;
            }
            if (!session->out)
                session->out = pool_take(&worker->large);
            session->out_off = 0;
            session->out_end = (uint32_t)h2_produce(session->h2, session->out, H2_OUT_BYTES);
            if (session->out_end == 0) {
                pool_give(&worker->large, session->out);
                session->out = NULL;
                return true;
            }
        }
        if (!session->sock->writable)
            return !session->sock->failed;
        if (!send_out(session))
            return false;
    }
}

// Bodies that were sent make room: their streams are woken, run in the next round, and may mark the
// session again.
void h2_flush_all(struct worker *worker)
{
    struct list batch;
    if (list_empty(&worker->h2_dirty))
        return;
    batch = worker->h2_dirty;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    list_init(&worker->h2_dirty);
    while (!list_empty(&batch)) {
        struct h2_session *session = LIST_ENTRY(batch.next, struct h2_session, dirty);
        list_remove(&session->dirty);
        bool ok = h2_session_flush(session);
        if (session->down)
            h2_downstream_flushed(session->down, ok);
        else
            h2_upstream_flushed(session->up, ok);
    }
}
