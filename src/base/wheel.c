// SPDX-License-Identifier: Apache-2.0
// A timer stands in the slot of its deadline, or in the farthest one when that is beyond the
// horizon. When a slot comes up, what is not due yet (moved later, or beyond the horizon) is placed
// anew.
#include "base/wheel.h"
#include "base/check.h"

static unsigned slot_of(int64_t tick)
{
    return (unsigned)tick % WHEEL_SLOTS;
}

void wheel_init(struct wheel *wheel, int64_t now_ms)
{
    *wheel = (struct wheel){.tick = now_ms / WHEEL_TICK_MS};
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
}

void timer_init(struct timer *timer, void (*on_timer)(struct timer *timer))
{
    *timer = (struct timer){.on_timer = on_timer};
    list_init(&timer->node);
}

static void place(struct wheel *wheel, struct timer *timer)
{
    int64_t tick = (timer->deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS; // never early
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick > wheel->tick + WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS;
    timer->scheduled_ms = tick * WHEEL_TICK_MS;
    unsigned slot = slot_of(tick);
    list_push_back(&wheel->slots[slot], &timer->node);
    wheel->used[slot / 64] |= UINT64_C(1) << slot % 64;
}

static void displace(struct wheel *wheel, struct timer *timer)
{
    unsigned slot = slot_of(timer->scheduled_ms / WHEEL_TICK_MS);
    list_remove(&timer->node);
    if (list_empty(&wheel->slots[slot]))
        wheel->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void timer_arm(struct wheel *wheel, struct timer *timer, int64_t deadline_ms)
{
    bool was_armed = timer->deadline_ms != 0;
    timer->deadline_ms = deadline_ms > 0 ? deadline_ms : 1; // 0 means "not armed"
    if (was_armed) {
        if (timer->scheduled_ms <= timer->deadline_ms)
            return; // found out and moved when its slot comes up
        displace(wheel, timer);
    } else {
        wheel->armed++;
    }
    place(wheel, timer);
}

void timer_disarm(struct wheel *wheel, struct timer *timer)
{
    if (timer->deadline_ms == 0)
        return;
    timer->deadline_ms = 0;
    wheel->armed--;
    displace(wheel, timer);
}

// Takes the timers of the current tick out of their slot and fires or moves each. They wait in a
// list of their own, because what a callback arms may land in this very slot, one round later.
static void run_slot(struct wheel *wheel, int64_t now_ms)
{
    unsigned slot = slot_of(wheel->tick);
    struct list *head = &wheel->slots[slot];
    if (list_empty(head))
        return;
    struct list due;
    list_insert_after(head, &due);
    list_remove(head);
    wheel->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);

    while (!list_empty(&due)) {
        struct timer *timer = LIST_ENTRY(due.next, struct timer, node);
        list_remove(&timer->node);
        if (timer->deadline_ms > now_ms) {
            place(wheel, timer);
            continue;
        }
        timer->deadline_ms = 0;
        wheel->armed--;
        timer->on_timer(timer); // may free it
    }
}

int wheel_run(struct wheel *wheel, int64_t now_ms, int max_ms)
{
    int64_t last = now_ms / WHEEL_TICK_MS;
    // After a long sleep one round over all slots is enough.
    if (last - wheel->tick > WHEEL_SLOTS)
        wheel->tick = last - WHEEL_SLOTS;
    while (wheel->tick < last) {
        wheel->tick++;
        run_slot(wheel, now_ms);
    }
    return wheel_wait_ms(wheel, now_ms, max_ms);
}

// Slots from the next tick on, until one that is in use: 1 to WHEEL_SLOTS; 0: none.
static unsigned ticks_to_next(const struct wheel *wheel)
{
    unsigned first = slot_of(wheel->tick + 1);
    for (unsigned word = 0; word <= WHEEL_SLOTS / 64; word++) {
        unsigned i = (first / 64 + word) % (WHEEL_SLOTS / 64);
        uint64_t bits = wheel->used[i];
        if (word == 0)
            bits &= ~UINT64_C(0) << first % 64;
        if (bits != 0) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(bits);
            return (slot - first + WHEEL_SLOTS) % WHEEL_SLOTS + 1;
        }
    }
    return 0;
}

int wheel_wait_ms(const struct wheel *wheel, int64_t now_ms, int max_ms)
{
    unsigned ticks = wheel->armed ? ticks_to_next(wheel) : 0;
    if (ticks == 0)
        return max_ms;
    int64_t wait_ms = (wheel->tick + ticks) * WHEEL_TICK_MS - now_ms;
    if (wait_ms < 0)
        wait_ms = 0;
    return max_ms >= 0 && wait_ms > max_ms ? max_ms : (int)wait_ms;
}
