// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/loop.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static struct loop loop;

struct peer { // the reading end of a pipe
    struct watch watch;
    int write_fd;
    int seen;
    struct peer *victim;
    bool is_closing; // the victim is closed, not only removed
};

static void on_readable(struct watch *watch, uint32_t events)
{
    struct peer *peer = (struct peer *)watch;
    char byte;
    assert_true(events & EPOLLIN);
    assert_int_equal(read(watch->fd, &byte, 1), 1);
    peer->seen++;
    if (!peer->victim)
        return;
    if (peer->is_closing) {
        loop_forget(&loop, &peer->victim->watch);
        close(peer->victim->watch.fd);
        peer->victim->watch.fd = -1;
    } else {
        loop_remove(&loop, &peer->victim->watch);
    }
    peer->victim = NULL;
}

static void open_peer(struct peer *peer)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *peer = (struct peer){.watch = {on_readable, fds[0]}, .write_fd = fds[1]};
    assert_int_equal(loop_add(&loop, &peer->watch, EPOLLIN), 0);
}

static void close_peer(struct peer *peer)
{
    if (peer->watch.fd >= 0) {
        loop_remove(&loop, &peer->watch);
        close(peer->watch.fd);
    }
    close(peer->write_fd);
}

static int setup(void **state)
{
    loop_init(&loop);
    return 0;
}

static int teardown(void **state)
{
    loop_fini(&loop);
    return 0;
}

static void test_a_watch_hears_of_its_descriptor(void **state)
{
    struct peer peer;
    open_peer(&peer);
    loop_turn(&loop, 0);
    assert_int_equal(peer.seen, 0);
    assert_int_equal(write(peer.write_fd, "xy", 2), 2);
    loop_turn(&loop, -1);
    loop_turn(&loop, -1); // level-triggered: one byte is still there
    loop_turn(&loop, 0);
    assert_int_equal(peer.seen, 2);
    assert_int_equal(loop.turns, 4);
    close_peer(&peer);
}

static void test_changed_interest_takes_effect(void **state)
{
    struct peer peer;
    open_peer(&peer);
    assert_int_equal(write(peer.write_fd, "x", 1), 1);
    assert_int_equal(loop_change(&loop, &peer.watch, 0), 0);
    loop_turn(&loop, 0);
    assert_int_equal(peer.seen, 0);
    assert_int_equal(loop_change(&loop, &peer.watch, EPOLLIN), 0);
    loop_turn(&loop, -1);
    assert_int_equal(peer.seen, 1);
    close_peer(&peer);
}

// Two watches are ready in one turn; whichever comes first ends the other.
static void end_each_other(bool is_closing)
{
    struct peer a, b;
    open_peer(&a);
    open_peer(&b);
    a.victim = &b;
    b.victim = &a;
    a.is_closing = b.is_closing = is_closing;
    assert_int_equal(write(a.write_fd, "x", 1), 1);
    assert_int_equal(write(b.write_fd, "x", 1), 1);
    loop_turn(&loop, -1);
    loop_turn(&loop, 0);
    assert_int_equal(a.seen + b.seen, 1);
    close_peer(&a);
    close_peer(&b);
}

static void test_a_removed_watch_hears_nothing_more_of_this_turn(void **state)
{
    end_each_other(false);
}

static void test_a_forgotten_watch_hears_nothing_more_of_this_turn(void **state)
{
    end_each_other(true);
}

static void test_a_descriptor_that_epoll_refuses_is_an_error(void **state)
{
    struct watch bad = {.on_event = on_readable, .fd = -1};
    assert_int_equal(loop_add(&loop, &bad, EPOLLIN), -EBADF);
    assert_int_equal(loop_change(&loop, &bad, EPOLLIN), -EBADF);
}

static int64_t fired_ms;

static void on_timer(struct timer *timer)
{
    fired_ms = loop.now_ms;
}

static void test_a_turn_ends_when_a_timer_is_due(void **state)
{
    struct timer timer;
    int64_t start_ms = clock_monotonic_ms();
    timer_init(&timer, on_timer);
    timer_arm(&loop.wheel, &timer, start_ms + 40);
    for (fired_ms = 0; fired_ms == 0;)
        loop_turn(&loop, -1);
    assert_true(fired_ms >= start_ms + 40);
    assert_true(loop.turns <= 3); // it slept, it did not spin
}

static void test_a_turn_waits_no_longer_than_asked(void **state)
{
    int64_t start_ms = clock_monotonic_ms();
    loop_turn(&loop, 20);
    assert_in_range(clock_monotonic_ms() - start_ms, 20, 1000);
    assert_true(loop.now_ms >= start_ms + 20);
    assert_true(loop.wall_ns > INT64_C(1600000000) * 1000000000);
}

static int wakes;

static void on_wake(struct waker *waker)
{
    wakes++;
}

static void *poke_twice(void *arg)
{
    waker_poke(arg);
    waker_poke(arg);
    return NULL;
}

static void test_pokes_of_another_thread_wake_the_loop(void **state)
{
    struct waker waker;
    pthread_t thread;
    assert_int_equal(waker_open(&waker, &loop, on_wake), 0);
    for (int round = 1; round <= 3; round++) {
        wakes = 0;
        assert_int_equal(pthread_create(&thread, NULL, poke_twice, &waker), 0);
        pthread_join(thread, NULL);
        loop_turn(&loop, -1);
        loop_turn(&loop, 0);
        assert_int_equal(wakes, 1); // once for both pokes, and again in the next round
    }
    waker_close(&waker, &loop);
    waker_close(&waker, &loop);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_watch_hears_of_its_descriptor),
        TEST(test_changed_interest_takes_effect),
        TEST(test_a_removed_watch_hears_nothing_more_of_this_turn),
        TEST(test_a_forgotten_watch_hears_nothing_more_of_this_turn),
        TEST(test_a_descriptor_that_epoll_refuses_is_an_error),
        TEST(test_a_turn_ends_when_a_timer_is_due),
        TEST(test_a_turn_waits_no_longer_than_asked),
        TEST(test_pokes_of_another_thread_wake_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
