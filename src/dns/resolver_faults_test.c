// SPDX-License-Identifier: Apache-2.0
// A name server that is down, slow, wrong, or has a lot to say.
#include "dns/fixture.h"

static void test_old_addresses_stay_while_the_server_fails(void **state)
{
    answer_with(0, OCTETS(1));
    rule_answers(&server.aaaa, OCTETS(1));
    learn("shop.example.com", "192.0.2.1 2001:db8::1");
    static const uint8_t rcodes[] = {RCODE_SERVFAIL, RCODE_NXDOMAIN, RCODE_REFUSED, RCODE_NXDOMAIN};
    for (size_t i = 0; i < sizeof rcodes; i++) {
        answer_rcode(rcodes[i]);
        uint64_t before = counts().not_found + counts().failures;
        int64_t deadline_ms = clock_monotonic_ms() + 30000;
        while (counts().not_found + counts().failures < before + 2 &&
               clock_monotonic_ms() < deadline_ms)
            loop_turn(&loop, 100);
        assert_true(counts().not_found + counts().failures >= before + 2);
        assert_known("shop.example.com", "192.0.2.1 2001:db8::1");
        assert_retiring("shop.example.com", "");
    }
    assert_int_equal(counts().stale, 1);
    assert_int_equal(health.n_failing, 1); // once, however it fails
    assert_true(health.has_addresses);
    assert_int_equal(changes, 1);
    answer_with(60, OCTETS(4));
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.4");
    assert_int_equal(counts().stale, 0);
    assert_int_equal(health.n_healthy, 1);
}

static void test_a_name_without_any_address_fails_until_it_has_one(void **state)
{
    answer_with(60, 0, NULL);
    assert_known("shop.example.com", "");
    turn_until(&health.n_failing, 1);
    assert_false(health.has_addresses);
    assert_true(look_up_known("shop.example.com").is_pending);
    assert_int_equal(counts().unresolved, 1);
    assert_true(counts().not_found >= 1);
    assert_int_equal(changes, 0);
    answer_with(60, OCTETS(1));
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.1");
}

static void test_failures_are_asked_again_at_growing_distances(void **state)
{
    answer_rcode(RCODE_NXDOMAIN);
    int64_t begin_ms = clock_monotonic_ms();
    assert_known("shop.example.com", "");
    turn_for(1000); // at 20 ms it would be 50 times, at 100 ms and more 10 times
    turn_until(&server.a.queries, 4);
    assert_true(server.a.queries <= 4 + (clock_monotonic_ms() - begin_ms) / 100);
}

static void test_a_query_that_is_lost_is_asked_again(void **state)
{
    server.ignored = 2; // for A and AAAA
    answer_with(60, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
}

static void test_a_family_that_is_slow_does_not_hold_up_the_other(void **state)
{
    answer_with(60, OCTETS(1));
    rule_answers(&server.aaaa, OCTETS(1));
    server.aaaa.is_held = true;
    int64_t begin_ms = clock_monotonic_ms();
    learn("shop.example.com", "192.0.2.1");
    assert_true(clock_monotonic_ms() - begin_ms >= 45); // the grace
    assert_true(clock_monotonic_ms() - begin_ms < 6500);
    release();
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.1 2001:db8::1");
    assert_retiring("shop.example.com", "");
}

static void test_a_family_that_is_late_or_fails_keeps_its_addresses(void **state)
{
    answer_with(0, OCTETS(1));
    rule_answers(&server.aaaa, OCTETS(1));
    learn("shop.example.com", "192.0.2.1 2001:db8::1");
    server.aaaa.is_held = true;
    rule_answers(&server.a, OCTETS(2));
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.2 2001:db8::1");
    server.aaaa.rcode = RCODE_SERVFAIL;
    release();
    turn_until(&server.aaaa.queries, server.aaaa.queries + 6);
    assert_known("shop.example.com", "192.0.2.2 2001:db8::1");
    server.aaaa.rcode = RCODE_OK; // and none: so the server says
    server.aaaa.n = 0;
    int64_t deadline_ms = clock_monotonic_ms() + 30000;
    while (look_up_known("shop.example.com").n > 1 && clock_monotonic_ms() < deadline_ms)
        loop_turn(&loop, 100);
    assert_known("shop.example.com", "192.0.2.2");
}

static void test_a_slow_answer_is_taken(void **state)
{
    server.a.is_held = server.aaaa.is_held = true;
    answer_with(60, OCTETS(1));
    assert_known("shop.example.com", "");
    turn_until(&server.queries, 4); // asked again meanwhile
    assert_true(look_up_known("shop.example.com").is_pending);
    release();
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.1");
    assert_int_equal(counts().timeouts, 0);
}

static void test_a_lookup_has_a_deadline(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.deadline_ms = 150;
    replace_resolver(&options);
    server.ignored = 1000000;
    int64_t begin_ms = clock_monotonic_ms();
    assert_known("shop.example.com", "");
    turn_until(&health.n_failing, 1);
    assert_in_range(clock_monotonic_ms() - begin_ms, 150, 6500); // c-ares alone: 7000
    assert_true(counts().timeouts >= 1);
    assert_true(look_up_known("shop.example.com").is_pending);
    server.ignored = 0;
    answer_with(60, OCTETS(1));
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.1");
}

static void test_a_server_that_comes_back_is_found_soon(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.retry_min_ms = options.retry_max_ms = 3600000; // pauses that have grown
    replace_resolver(&options);
    answer_with(60, OCTETS(1));
    server_stop();
    assert_known("one.example.com", "");
    turn_until(&health.n_failing, 1);
    assert_known("two.example.com", "");
    turn_until(&health.n_failing, 2);
    server_start();
    turn_for(50);
    assert_known("one.example.com", "");
    assert_known("three.example.com", ""); // whose answer shows that the server is back
    turn_until(&health.n_healthy, 2);
    assert_known("one.example.com", "192.0.2.1");
    assert_known("two.example.com", "192.0.2.1");
    assert_known("three.example.com", "192.0.2.1");
}

static void test_an_answer_that_does_not_fit_a_datagram_comes_by_tcp(void **state)
{
    server.is_truncated = true;
    answer_with(60, OCTETS(1, 2));
    learn("shop.example.com", "192.0.2.1 192.0.2.2");
    assert_int_equal(server.tcp_queries, 2);
}

static void test_a_huge_answer_is_bounded(void **state)
{
    server.is_truncated = true;
    server.ttl_s = 60;
    server.a.n = 3000;
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    struct name_addresses known = look_up_known("shop.example.com");
    assert_in_range(known.n, 900, 1024);
}

static void test_many_addresses_that_are_dropped_at_once_retire_in_bounds(void **state)
{
    server.is_truncated = true;
    server.a.n = 500;
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    answer_with(0, OCTETS(1));
    turn_until(&changes, 2);
    struct name_addresses known = look_up_known("shop.example.com");
    assert_int_equal(known.n, 1);
    assert_int_equal(known.n_retiring, 64);
    turn_until(&changes, 3);
    assert_retiring("shop.example.com", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_old_addresses_stay_while_the_server_fails),
        TEST(test_a_name_without_any_address_fails_until_it_has_one),
        TEST(test_failures_are_asked_again_at_growing_distances),
        TEST(test_a_query_that_is_lost_is_asked_again),
        TEST(test_a_family_that_is_slow_does_not_hold_up_the_other),
        TEST(test_a_family_that_is_late_or_fails_keeps_its_addresses),
        TEST(test_a_slow_answer_is_taken),
        TEST(test_a_lookup_has_a_deadline),
        TEST(test_a_server_that_comes_back_is_found_soon),
        TEST(test_an_answer_that_does_not_fit_a_datagram_comes_by_tcp),
        TEST(test_a_huge_answer_is_bounded),
        TEST(test_many_addresses_that_are_dropped_at_once_retire_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
