// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

struct alarm {
    struct timer timer;
    int fired;
    int64_t fired_ms, again_ms;
    struct alarm *victim;
};

static struct wheel wheel;
static int64_t now_ms;

static void on_alarm(struct timer *timer)
{
    struct alarm *alarm = LIST_ENTRY(timer, struct alarm, timer);
    alarm->fired++;
    alarm->fired_ms = now_ms;
    if (alarm->again_ms)
        timer_arm(&wheel, timer, now_ms + alarm->again_ms);
    if (alarm->victim)
        timer_disarm(&wheel, &alarm->victim->timer);
}

static int run_at(int64_t ms)
{
    now_ms = ms;
    return wheel_run(&wheel, ms, -1);
}

static void start(int64_t ms)
{
    now_ms = ms;
    wheel_init(&wheel, ms);
}

static void test_a_timer_fires_once_within_a_tick_and_never_early(void **state)
{
    for (int64_t delay = 1; delay < 200; delay++) {
        struct alarm alarm = {0};
        start(1000003);
        timer_init(&alarm.timer, on_alarm);
        timer_arm(&wheel, &alarm.timer, now_ms + delay);
        for (int64_t ms = now_ms; ms < 1000003 + 400; ms++)
            run_at(ms);
        assert_int_equal(alarm.fired, 1);
        assert_in_range(alarm.fired_ms, 1000003 + delay, 1000003 + delay + WHEEL_TICK_MS);
        assert_int_equal(wheel.armed, 0);
    }
}

static void test_a_deadline_moved_later_is_found_out_in_the_old_slot(void **state)
{
    struct alarm alarm = {0};
    start(5000);
    timer_init(&alarm.timer, on_alarm);
    timer_arm(&wheel, &alarm.timer, 5100);
    struct list *where = alarm.timer.node.next;
    timer_arm(&wheel, &alarm.timer, 5300);
    assert_ptr_equal(alarm.timer.node.next, where); // one store, no relinking
    run_at(5250);
    assert_int_equal(alarm.fired, 0);
    run_at(5320);
    assert_int_equal(alarm.fired, 1);
}

static void test_a_deadline_moved_earlier_fires_earlier(void **state)
{
    struct alarm alarm = {0};
    start(5000);
    timer_init(&alarm.timer, on_alarm);
    timer_arm(&wheel, &alarm.timer, 60000);
    timer_arm(&wheel, &alarm.timer, 5050);
    assert_int_equal(wheel.armed, 1);
    run_at(5066);
    assert_int_equal(alarm.fired, 1);
    run_at(70000);
    assert_int_equal(alarm.fired, 1);
}

static void test_a_deadline_beyond_the_horizon_is_kept(void **state)
{
    struct alarm alarm = {0};
    start(0);
    timer_init(&alarm.timer, on_alarm);
    timer_arm(&wheel, &alarm.timer, 3600 * 1000);
    for (int64_t ms = 0; ms < 3600 * 1000; ms += 100)
        run_at(ms);
    assert_int_equal(alarm.fired, 0);
    run_at(3600 * 1000 + 16);
    assert_int_equal(alarm.fired, 1);
}

static void test_a_long_sleep_fires_all_that_is_due(void **state)
{
    struct alarm alarms[100] = {0};
    start(1000);
    for (int i = 0; i < 100; i++) {
        timer_init(&alarms[i].timer, on_alarm);
        timer_arm(&wheel, &alarms[i].timer, 1000 + i * 300);
    }
    run_at(1000 + 50 * 300);
    for (int i = 0; i < 100; i++)
        assert_int_equal(alarms[i].fired, i <= 50);
    run_at(1000000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(alarms[i].fired, 1);
    assert_int_equal(wheel.armed, 0);
}

static void test_a_timer_may_stop_another_that_is_due_with_it(void **state)
{
    struct alarm first = {0}, second = {0};
    start(1000);
    timer_init(&first.timer, on_alarm);
    timer_init(&second.timer, on_alarm);
    first.victim = &second;
    timer_arm(&wheel, &first.timer, 1010);
    timer_arm(&wheel, &second.timer, 1010);
    run_at(1100);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
    assert_int_equal(wheel.armed, 0);
}

static void free_itself(struct timer *timer)
{
    free(LIST_ENTRY(timer, struct alarm, timer));
}

static void test_a_timer_may_free_itself(void **state)
{
    struct alarm *alarm = calloc(1, sizeof(*alarm));
    start(1000);
    timer_init(&alarm->timer, free_itself);
    timer_arm(&wheel, &alarm->timer, 1001);
    run_at(1100);
    assert_int_equal(wheel.armed, 0);
}

static void test_a_timer_that_arms_itself_again_does_not_starve_the_loop(void **state)
{
    struct alarm alarm = {.again_ms = 1};
    start(1000);
    timer_init(&alarm.timer, on_alarm);
    timer_arm(&wheel, &alarm.timer, 1001);
    for (int64_t ms = 1000; ms < 2000; ms++)
        run_at(ms);
    assert_in_range(alarm.fired, 1000 / WHEEL_TICK_MS - 2, 1000 / WHEEL_TICK_MS + 2);
    timer_disarm(&wheel, &alarm.timer);
}

static void test_the_wait_ends_when_the_next_timer_is_due(void **state)
{
    struct alarm alarm = {0};
    start(1600); // a multiple of the tick
    timer_init(&alarm.timer, on_alarm);
    assert_int_equal(wheel_wait_ms(&wheel, 1600, -1), -1);
    assert_int_equal(wheel_wait_ms(&wheel, 1600, 70), 70);
    timer_arm(&wheel, &alarm.timer, 1600 + 160);
    assert_int_equal(wheel_wait_ms(&wheel, 1600, -1), 160);
    assert_int_equal(wheel_wait_ms(&wheel, 1605, -1), 155);
    assert_int_equal(wheel_wait_ms(&wheel, 1605, 70), 70);
    assert_int_equal(wheel_wait_ms(&wheel, 9999, -1), 0);
    timer_disarm(&wheel, &alarm.timer);
    assert_int_equal(wheel_wait_ms(&wheel, 1600, -1), -1);
}

// The naive twin: each alarm's deadline in an array, looked at one by one.
static void test_random_use_agrees_with_plain_deadlines(void **state)
{
    enum { N = 50 };
    static struct alarm alarms[N];
    int64_t deadlines[N] = {0};
    start(12345);
    srand(3);
    for (int i = 0; i < N; i++)
        timer_init(&alarms[i].timer, on_alarm);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % N;
        if (rand() % 4 == 0) {
            timer_disarm(&wheel, &alarms[i].timer);
            deadlines[i] = 0;
        } else {
            deadlines[i] = now_ms + rand() % (step % 10 ? 500 : 20000);
            timer_arm(&wheel, &alarms[i].timer, deadlines[i]);
        }
        run_at(now_ms + rand() % (step % 500 ? 40 : 30000));
        for (int k = 0; k < N; k++) {
            if (alarms[k].fired) {
                assert_true(deadlines[k] != 0 && now_ms >= deadlines[k]);
                alarms[k].fired = 0;
                deadlines[k] = 0;
            } else {
                assert_true(deadlines[k] == 0 || now_ms < deadlines[k] + WHEEL_TICK_MS);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timer_fires_once_within_a_tick_and_never_early),
        cmocka_unit_test(test_a_deadline_moved_later_is_found_out_in_the_old_slot),
        cmocka_unit_test(test_a_deadline_moved_earlier_fires_earlier),
        cmocka_unit_test(test_a_deadline_beyond_the_horizon_is_kept),
        cmocka_unit_test(test_a_long_sleep_fires_all_that_is_due),
        cmocka_unit_test(test_a_timer_may_stop_another_that_is_due_with_it),
        cmocka_unit_test(test_a_timer_may_free_itself),
        cmocka_unit_test(test_a_timer_that_arms_itself_again_does_not_starve_the_loop),
        cmocka_unit_test(test_the_wait_ends_when_the_next_timer_is_due),
        cmocka_unit_test(test_random_use_agrees_with_plain_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
