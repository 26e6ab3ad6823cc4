// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"
#include "proxy/idle_limit.h"
#include "proxy/limits.h"
#include "proxy/worker_test.h"

static void test_two_closes_that_agree_make_a_limit(void **state)
{
    struct idle_limit limit;
    (void)state;
    idle_limit_init(&limit);
    assert_int_equal(idle_limit_get(&limit, 0), 0);
    idle_limit_note_close(&limit, 5010, 10000);
    assert_int_equal(idle_limit_get(&limit, 10000), 0); // one may be chance
    idle_limit_note_close(&limit, 5000, 16000);
    assert_int_equal(idle_limit_get(&limit, 16000), 5000);
    idle_limit_note_close(&limit, 9000, 30000); // no agreement: what was learnt stays
    assert_int_equal(idle_limit_get(&limit, 30000), 5000);
    assert_int_equal(idle_limit_get(&limit, 16000 + IDLE_LIMIT_KEPT_MS), 0); // it may have grown
}

static void test_what_agrees_by_one_event_or_by_chance_makes_none(void **state)
{
    struct idle_limit limit;
    (void)state;
    idle_limit_init(&limit);
    idle_limit_note_close(&limit, 5000, 10000);
    idle_limit_note_close(&limit, 5000, 10001); // a restart closes all at once
    assert_int_equal(idle_limit_get(&limit, 10001), 0);
    idle_limit_note_survival(&limit, 8000, 40000);
    idle_limit_note_close(&limit, 7000, 50000); // others lived longer
    idle_limit_note_close(&limit, 7000, 60000);
    assert_int_equal(idle_limit_get(&limit, 60000), 0);
    idle_limit_note_close(&limit, 12000, 80000);
    idle_limit_note_close(&limit, 12500, 100000);
    assert_int_equal(idle_limit_get(&limit, 100000), 12000);
    idle_limit_note_survival(&limit, 13000, 120000); // so it is more than that
    assert_int_equal(idle_limit_get(&limit, 120000), 0);
}

static void test_random_closes_do_not_drive_it_to_nothing(void **state)
{
    struct idle_limit limit;
    uint32_t random = 7;
    (void)state;
    idle_limit_init(&limit);
    for (int64_t now_ms = 100000; now_ms < 100000 + IDLE_LIMIT_KEPT_MS; now_ms += 5000) {
        idle_limit_note_close(&limit, next_random(&random) % 4000, now_ms);
        uint32_t ms = idle_limit_get(&limit, now_ms);
        assert_true(ms == 0 || ms >= IDLE_LIMIT_FLOOR_MS);
    }
}

static void test_what_the_endpoint_says_counts_at_once(void **state)
{
    struct idle_limit limit;
    (void)state;
    idle_limit_init(&limit);
    idle_limit_note_told(&limit, 3000, 1000);
    assert_int_equal(idle_limit_get(&limit, 1000), 3000);
    idle_limit_note_told(&limit, 60000, 2000);
    assert_int_equal(idle_limit_get(&limit, 2000), 60000);
    assert_int_equal(idle_limit_get(&limit, 2000 + IDLE_LIMIT_KEPT_MS), 0);
}

static void test_keep_alive_is_read(void **state)
{
    static const struct {
        const char *text;
        uint32_t ms, requests;
    } cases[] = {
        {"timeout=5", 5000, UINT32_MAX},
        {"timeout=5, max=100", 5000, 100},
        {"max=0,Timeout = 0", 0, 0},
        {"", UINT32_MAX, UINT32_MAX},
        {"timeout", UINT32_MAX, UINT32_MAX},
        {"timeout=-1", UINT32_MAX, UINT32_MAX},
        {"timeout=5s", UINT32_MAX, UINT32_MAX},
        {"timeout=99999999999999999999", 86400000, UINT32_MAX},
        {"timeout=, max=", UINT32_MAX, UINT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t ms, requests;
        idle_limit_parse(str_of(cases[i].text), &ms, &requests);
        assert_int_equal(ms, cases[i].ms);
        assert_int_equal(requests, cases[i].requests);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_closes_that_agree_make_a_limit),
        cmocka_unit_test(test_what_agrees_by_one_event_or_by_chance_makes_none),
        cmocka_unit_test(test_random_closes_do_not_drive_it_to_nothing),
        cmocka_unit_test(test_what_the_endpoint_says_counts_at_once),
        cmocka_unit_test(test_keep_alive_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
