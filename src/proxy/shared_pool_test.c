// SPDX-License-Identifier: Apache-2.0
// What is parked, under the eyes of workers that do not know the same of a slot yet. The
// connections are sockets alone.
#include "proxy/shared_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOT = 70 };

static struct {
    struct shared_pool *pool;
    int far_end;
} test;

static int set_up(void **state)
{
    (void)state;
    test.pool = shared_pool_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shared_pool_destroy(test.pool);
    return 0;
}

static void park(uint64_t identity)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct upstream *up = calloc(1, sizeof *up);
    assert_non_null(up);
    *up = (struct upstream){.slot_number = SLOT, .identity = identity, .state = UP_IDLE};
    up->sock.watch.fd = fds[0];
    list_init(&up->node);
    list_init(&up->streams);
    test.far_end = fds[1];
    assert_true(shared_pool_park(test.pool, &up));
    assert_null(up);
}

static void drop(struct upstream *up, uint64_t identity)
{
    assert_non_null(up);
    assert_int_equal(up->identity, identity);
    close(up->sock.watch.fd);
    close(test.far_end);
    free(up);
}

static struct upstream *take(uint64_t identity)
{
    return shared_pool_take(test.pool, SLOT, identity, 0, STR_NONE, 0);
}

static void test_none_is_taken_for_another_endpoint_of_the_slot(void **state)
{
    (void)state;
    park(5);
    assert_null(take(4));
    assert_null(take(6));
    drop(take(5), 5);
    assert_null(take(5));
    assert_int_equal(shared_pool_count(test.pool), 0);
}

static void test_a_newer_endpoint_turns_out_what_the_older_one_left(void **state)
{
    (void)state;
    park(5);
    assert_null(shared_pool_take_older(test.pool, SLOT, 5));
    assert_null(shared_pool_take_older(test.pool, SLOT + 1, 6));
    drop(shared_pool_take_older(test.pool, SLOT, 6), 5);
    assert_null(shared_pool_take_older(test.pool, SLOT, 6));
}

static void test_facts_are_of_the_newest_endpoint_alone(void **state)
{
    (void)state;
    struct shared_slot *slot = shared_pool_lock(test.pool, SLOT, 5);
    assert_non_null(slot);
    slot->n_open = 3;
    shared_pool_unlock(slot);
    assert_null(shared_pool_lock(test.pool, SLOT, 4));
    slot = shared_pool_lock(test.pool, SLOT, 6);
    assert_non_null(slot);
    assert_int_equal(slot->n_open, 0);
    shared_pool_unlock(slot);
    const struct upstream of_old = {.slot_number = SLOT, .identity = 5};
    shared_pool_note_open(test.pool, &of_old, 0); // by a worker that has not heard of it
    shared_pool_note_close(test.pool, &of_old);
    slot = shared_pool_find(test.pool, SLOT, 6);
    assert_non_null(slot);
    assert_int_equal(slot->n_open, 0);
    shared_pool_unlock(slot);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(none_is_taken_for_another_endpoint_of_the_slot),
        TEST(a_newer_endpoint_turns_out_what_the_older_one_left),
        TEST(facts_are_of_the_newest_endpoint_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
