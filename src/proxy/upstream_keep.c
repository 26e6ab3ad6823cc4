// SPDX-License-Identifier: Apache-2.0
// The keeper: worker 0 looks after the connections that no worker has. What comes on one (its end,
// a TLS ticket, a PING) it takes over and handles as any worker handles it on an idle connection of
// its own, and parks it again if it is still good. What has waited too long it closes.
#include "proxy/shared_pool.h"
#include "proxy/upstream.h"

enum { TROUBLED_PER_TURN = 64 };

static void look_at(struct upstream *up, uint32_t events)
{
    sock_note_events(&up->sock, events);
    if (up->state == UP_SHARED) {
        timer_arm(&up->worker->loop.wheel, &up->timer, up->idle_end_ms);
        h2_session_mark(up->h2); // upstream_rest() follows when all is sent
        h2_upstream_on_event(up);
    } else if (upstream_is_troubled(up)) {
        upstream_end_idle(up);
    } else {
        upstream_rest(up);
    }
}

static void on_parked(struct watch *watch, uint32_t events)
{
    struct worker *worker = LIST_ENTRY(watch, struct worker, parked);
    for (unsigned n = 0; n < TROUBLED_PER_TURN; n++) { // more is told again in the next turn
        struct upstream *up = shared_pool_take_troubled(worker->pool, &events);
        if (!up)
            return;
        if (upstream_take_over(worker, up))
            look_at(up, events);
    }
}

static bool is_over(const struct upstream *up, const void *arg)
{
    const int64_t *now_ms = arg;
    return *now_ms >= up->idle_end_ms;
}

static void on_tick(struct timer *timer)
{
    struct worker *worker = LIST_ENTRY(timer, struct worker, keep_timer);
    struct upstream *up;
    uint32_t cursor = 0;
    while ((up = shared_pool_take_if(worker->pool, &cursor, is_over, &worker->loop.now_ms)))
        if (upstream_take_over(worker, up))
            upstream_close(up);
    upstream_warm_all(worker);
    if (!shared_pool_lets_keeper_rest(worker->pool))
        timer_arm(&worker->loop.wheel, &worker->keep_timer, worker->loop.now_ms + KEEP_TICK_MS);
}

void upstream_keep(struct worker *worker)
{
    if (worker->keep_timer.deadline_ms == 0 && !shared_pool_lets_keeper_rest(worker->pool))
        timer_arm(&worker->loop.wheel, &worker->keep_timer, worker->loop.now_ms + KEEP_TICK_MS);
}

void upstream_keep_open(struct worker *worker)
{
    timer_init(&worker->keep_timer, on_tick);
    worker->parked = (struct watch){.on_event = on_parked, .fd = shared_pool_fd(worker->pool)};
    int error = loop_add(&worker->loop, &worker->parked, EPOLLIN);
    CHECK(error == 0);
}
