// SPDX-License-Identifier: Apache-2.0
// A coarse timer wheel: 512 slots of 16 ms. A timer fires up to 16 ms late, never early. Moving a
// deadline later costs one store (the timer finds out when its old slot comes up); moving it
// earlier relinks. No allocation. One thread.
#pragma once
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_SLOTS = 512, WHEEL_TICK_MS = 16 };

struct timer {
    struct list node;                      // in a slot; self-linked when not armed
    int64_t deadline_ms;                   // monotonic; 0: not armed
    int64_t scheduled_ms;                  // when its slot comes up
    void (*on_timer)(struct timer *timer); // may arm, disarm or free any timer, also itself
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t used[WHEEL_SLOTS / 64]; // a bit for each slot that holds anything
    int64_t tick;                    // last tick handled (ms / WHEEL_TICK_MS)
    unsigned armed;
};

void wheel_init(struct wheel *wheel, int64_t now_ms);
void timer_init(struct timer *timer, void (*on_timer)(struct timer *timer));
void timer_arm(struct wheel *wheel, struct timer *timer, int64_t deadline_ms);
void timer_disarm(struct wheel *wheel, struct timer *timer);
// Fires what is due and returns wheel_wait_ms.
int wheel_run(struct wheel *wheel, int64_t now_ms, int max_ms);
// Milliseconds until the next slot that holds anything comes up, at most `max_ms` (-1: no bound);
// `max_ms` when nothing is armed.
int wheel_wait_ms(const struct wheel *wheel, int64_t now_ms, int max_ms);
