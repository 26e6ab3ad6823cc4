// SPDX-License-Identifier: Apache-2.0
#include "route/balance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

enum { N_MAX = 8 };

struct bench {
    struct cluster cluster;
    struct endpoint endpoints[N_MAX];
    uint32_t active[N_MAX];
    struct balance_state state;
    struct balance_view view;
    uint64_t seed;
};

static uint32_t active_of(void *arg, const struct endpoint *endpoint)
{
    struct bench *bench = arg;
    return bench->active[endpoint - bench->endpoints];
}

static void set_up(struct bench *bench, enum balancer balancer, const uint32_t *weights, uint32_t n)
{
    *bench = (struct bench){.cluster = {.balancer = balancer, .n_endpoints = n}, .seed = 11};
    bench->cluster.endpoints = bench->endpoints;
    for (uint32_t i = 0; i < n; i++) {
        bench->endpoints[i].weight = weights[i];
        bench->endpoints[i].address =
            (struct address){.family = AF_INET, .port = (uint16_t)(1000 + i)};
        bench->cluster.total_weight += weights[i];
        bench->cluster.has_weights |= weights[i] != weights[0];
    }
    bench->view = (struct balance_view){.active = active_of, .arg = bench};
}

static uint64_t next_random(struct bench *bench)
{
    uint64_t x = bench->seed += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

// Index of the picked endpoint; -1: none.
static int pick(struct bench *bench)
{
    bench->view.random = next_random(bench);
    bench->view.random2 = next_random(bench);
    const struct endpoint *endpoint = balance_pick(&bench->cluster, &bench->state, &bench->view, 1);
    return endpoint ? (int)(endpoint - bench->endpoints) : -1;
}

static void count(struct bench *bench, unsigned n, unsigned ret_counts[N_MAX])
{
    memset(ret_counts, 0, N_MAX * sizeof(*ret_counts));
    for (unsigned i = 0; i < n; i++)
        ret_counts[pick(bench)]++;
}

static const uint32_t equal[N_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};
static const enum balancer all[] = {BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_RANDOM};

static void test_none_and_one_need_no_choice(void **state)
{
    for (int b = 0; b < 3; b++) {
        struct bench bench;
        set_up(&bench, all[b], equal, 0);
        assert_int_equal(pick(&bench), -1);
        set_up(&bench, all[b], equal, 1);
        assert_int_equal(pick(&bench), 0);
        const struct endpoint *tried[] = {&bench.endpoints[0]};
        bench.view.tried = tried;
        bench.view.n_tried = 1;
        assert_int_equal(pick(&bench), 0); // better than none
        balance_state_fini(&bench.state);
    }
}

static void test_equal_idle_endpoints_get_equal_shares(void **state)
{
    for (int b = 0; b < 3; b++) {
        for (uint32_t n = 2; n <= N_MAX; n++) {
            struct bench bench;
            unsigned counts[N_MAX];
            set_up(&bench, all[b], equal, n);
            count(&bench, n * 10000, counts);
            for (uint32_t i = 0; i < n; i++)
                assert_in_range(counts[i], 9500, 10500);
            balance_state_fini(&bench.state);
        }
    }
}

static void test_idle_endpoints_get_shares_by_weight(void **state)
{
    static const uint32_t weights[] = {5, 1, 4};
    for (int b = 0; b < 3; b++) {
        struct bench bench;
        unsigned counts[N_MAX];
        set_up(&bench, all[b], weights, 3);
        count(&bench, 100000, counts);
        assert_in_range(counts[0], 49000, 51000);
        assert_in_range(counts[1], 9000, 11000);
        assert_in_range(counts[2], 39000, 41000);
        balance_state_fini(&bench.state);
    }
}

static void test_round_robin_takes_turns(void **state)
{
    struct bench bench;
    set_up(&bench, BALANCE_ROUND_ROBIN, equal, 3);
    int first = pick(&bench);
    for (int i = 1; i < 100; i++)
        assert_int_equal(pick(&bench), (first + i) % 3);
}

static void test_weighted_round_robin_is_smooth(void **state)
{
    static const uint32_t weights[] = {5, 1, 1};
    static const int expected[] = {0, 0, 1, 0, 2, 0, 0};
    struct bench bench;
    set_up(&bench, BALANCE_ROUND_ROBIN, weights, 3);
    for (int i = 0; i < 70; i++)
        assert_int_equal(pick(&bench), expected[i % 7]);
    balance_state_fini(&bench.state);
}

static void test_credits_survive_a_change_that_is_none_of_theirs(void **state)
{
    static const uint32_t weights[] = {5, 1, 1};
    static const int expected[] = {0, 0, 1, 0, 2, 0, 0};
    struct bench bench;
    set_up(&bench, BALANCE_ROUND_ROBIN, weights, 3);
    bench.cluster.endpoints_hash = 77;
    for (uint64_t i = 0; i < 70; i++) { // a new generation each time
        const struct endpoint *endpoint =
            balance_pick(&bench.cluster, &bench.state, &bench.view, i + 1);
        assert_int_equal(endpoint - bench.endpoints, expected[i % 7]);
    }
    balance_pick(&bench.cluster, &bench.state, &bench.view, 71);
    bench.cluster.endpoints_hash = 78; // others now: a fresh start
    for (uint64_t i = 0; i < 7; i++) {
        const struct endpoint *endpoint =
            balance_pick(&bench.cluster, &bench.state, &bench.view, 72);
        assert_int_equal(endpoint - bench.endpoints, expected[i]);
    }
    balance_state_fini(&bench.state);
}

static void test_fewer_endpoints_than_credits_are_in_bounds(void **state)
{
    static const uint32_t weights[] = {5, 1, 1, 2, 2, 2, 2, 9};
    struct bench bench;
    set_up(&bench, BALANCE_ROUND_ROBIN, weights, 8);
    pick(&bench);
    bench.cluster.n_endpoints = 2;
    for (uint64_t i = 0; i < 20; i++)
        assert_in_range(
            balance_pick(&bench.cluster, &bench.state, &bench.view, 2 + i) - bench.endpoints, 0, 1);
    bench.cluster.has_weights = false;
    bench.state.cursor = 7;
    assert_in_range(pick(&bench), 0, 1);
    balance_state_fini(&bench.state);
}

static void test_least_request_avoids_the_busy_one(void **state)
{
    struct bench bench;
    unsigned counts[N_MAX];
    set_up(&bench, BALANCE_LEAST_REQUEST, equal, 4);
    bench.active[2] = 10;
    count(&bench, 10000, counts);
    assert_int_equal(counts[2], 0); // the two drawn are never the same one
    set_up(&bench, BALANCE_LEAST_REQUEST, equal, 2);
    bench.active[0] = 1;
    count(&bench, 1000, counts);
    assert_int_equal(counts[1], 1000);
}

static void test_least_request_counts_by_weight(void **state)
{
    static const uint32_t weights[] = {1, 4};
    struct bench bench;
    unsigned counts[N_MAX];
    set_up(&bench, BALANCE_LEAST_REQUEST, weights, 2);
    bench.active[0] = 2;
    bench.active[1] = 4; // one per weight: less
    count(&bench, 10000, counts);
    assert_in_range(counts[1], 9400, 9800); // but for both draws being the first: 1/25
}

static void test_tried_endpoints_are_avoided_while_others_are_left(void **state)
{
    static const uint32_t weights[] = {5, 1, 4, 1};
    for (int b = 0; b < 3; b++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            struct bench bench;
            unsigned counts[N_MAX];
            set_up(&bench, all[b], weighted ? weights : equal, 4);
            struct endpoint twin = bench.endpoints[2]; // tried through another cluster
            const struct endpoint *tried[] = {&bench.endpoints[0], &twin, &bench.endpoints[1],
                                              &bench.endpoints[3]};
            bench.view.tried = tried;
            bench.view.n_tried = 2;
            count(&bench, 2000, counts);
            assert_int_equal(counts[0] + counts[2], 0);
            assert_in_range(counts[1], 900, 1100);
            bench.view.n_tried = 3;
            count(&bench, 100, counts);
            assert_int_equal(counts[3], 100);
            bench.view.n_tried = 4; // all: any will do
            count(&bench, 100, counts);
            assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 100);
            balance_state_fini(&bench.state);
        }
    }
}

static void test_names(void **state)
{
    assert_string_equal(balancer_name(BALANCE_LEAST_REQUEST), "least-request");
    assert_string_equal(balancer_name(BALANCE_ROUND_ROBIN), "round-robin");
    assert_string_equal(balancer_name(BALANCE_RANDOM), "random");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_and_one_need_no_choice),
        cmocka_unit_test(test_equal_idle_endpoints_get_equal_shares),
        cmocka_unit_test(test_idle_endpoints_get_shares_by_weight),
        cmocka_unit_test(test_round_robin_takes_turns),
        cmocka_unit_test(test_weighted_round_robin_is_smooth),
        cmocka_unit_test(test_credits_survive_a_change_that_is_none_of_theirs),
        cmocka_unit_test(test_fewer_endpoints_than_credits_are_in_bounds),
        cmocka_unit_test(test_least_request_avoids_the_busy_one),
        cmocka_unit_test(test_least_request_counts_by_weight),
        cmocka_unit_test(test_tried_endpoints_are_avoided_while_others_are_left),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
