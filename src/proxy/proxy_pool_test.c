// SPDX-License-Identifier: Apache-2.0
// Several workers and the connections that they share.
#include "proxy/limits.h"
#include "proxy/proxy_h2_test.h"

enum { WORKERS = 8, CALLS = 24, PACE_MS = 2 * SHARE_GAP_MS };

static void open_with_workers(struct gate *gate)
{
    gate->options.n_workers = WORKERS;
    open_gate(gate);
}

// A client on a new connection: the kernel gives it to any of the workers.
static void call_once(struct gate *gate, struct peer *endpoint)
{
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
}

// The call that opens the connection.
static struct peer *call_first(struct gate *gate)
{
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    return endpoint;
}

static void wait_until_parked(struct gate *gate, unsigned n)
{
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED, n);
    usleep(PACE_MS * 1000); // rarely is what the test is about
}

// ---- one connection for all ----

static void test_a_rare_caller_has_one_connection_whichever_worker_serves_it(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    for (int i = 0; i < CALLS; i++) {
        wait_until_parked(gate, 1);
        call_once(gate, endpoint);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_REUSES), CALLS);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), CALLS);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_one_worker_parks_nothing(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *endpoint = call_first(gate);
    for (int i = 0; i < 3; i++) {
        wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
        usleep(2 * SHARE_AFTER_MS * 1000);
        assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED), 0);
        call_once(gate, endpoint);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), 0);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_what_a_burst_leaves_is_for_all_a_moment_later(void **state)
{
    struct gate *gate = *state;
    enum { N = 6 };
    struct peer *clients[N], *endpoints[N];
    open_with_workers(gate);
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to_gate(gate);
        say(clients[i], get);
        endpoints[i] = accept_from_gate(gate);
        hear_head(endpoints[i]);
    }
    for (int i = 0; i < N; i++) {
        say(endpoints[i], ok);
        hear_whole_response(clients[i], 200);
        hang_up(clients[i]);
    }
    wait_until_parked(gate, N);
    for (int i = 0; i < N; i++) { // all at once, on whatever workers
        clients[i] = connect_to_gate(gate);
        say(clients[i], get);
    }
    for (int i = 0; i < N; i++)
        hear_head(endpoints[i]);
    for (int i = 0; i < N; i++)
        say(endpoints[i], ok);
    for (int i = 0; i < N; i++) {
        hear_whole_response(clients[i], 200);
        hang_up(clients[i]);
        hang_up(endpoints[i]);
    }
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), N);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_REUSES), N);
}

// ---- what happens to a parked one ----

static struct peer *park_one(struct gate *gate)
{
    struct peer *endpoint = call_first(gate);
    wait_until_parked(gate, 1);
    return endpoint;
}

static void test_a_parked_one_that_ends_is_closed(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    hang_up(endpoint);
    wait_until_quiet(gate);
    endpoint = park_one(gate);
    say(endpoint, "HTTP/1.1 408 Request Timeout\r\n\r\n"); // that nobody asked for, nor reads
    hear_reset(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 2);
}

static void test_a_parked_one_waits_no_longer_than_others(void **state)
{
    struct gate *gate = *state;
    gate->options.upstream_idle_timeout_ms = 100;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_change_ends_those_to_endpoints_that_are_gone(void **state)
{
    struct gate *gate = *state;
    struct address other;
    int listening = listen_anywhere(&other);
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    publish(gate, &gate->endpoint_address); // the same: it stays
    call_once(gate, endpoint);
    wait_until_parked(gate, 1);
    publish(gate, &other);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    close(listening);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void note_drained(void *arg)
{
    struct gate *gate = arg;
    gate->is_drained = true;
}

static void test_draining_ends_them(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_the_end_comes_with_one_parked(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    close_gate(gate);
    hear_end(endpoint);
    hang_up(endpoint);
}

// ---- HTTP/2 ----

// Without a loop of the control thread: the ends of HTTP/2 must move meanwhile.
static void wait_until_h2_parked(struct gate *gate)
{
    UNTIL(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED) == 1);
    for (int i = 0; i < PACE_MS; i++) {
        move_all();
        usleep(1000);
    }
}

static void serve_h2(struct peer *client, struct h2_peer *endpoint, unsigned n)
{
    send_response(served(endpoint, n), 200, STR("ok"));
    assert_non_null(strstr(h1_hear_head(client), "200 OK"));
    hang_up(client);
}

static struct peer *ask_h2(struct gate *gate)
{
    struct peer *client = h1_dial(gate);
    h1_say(client, STR(get));
    return client;
}

static void test_http2_of_a_rare_caller_is_one_connection(void **state)
{
    struct gate *gate = *state;
    gate->options.n_workers = WORKERS;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = ask_h2(gate);
    struct h2_peer *endpoint = h2_accept(gate);
    serve_h2(client, endpoint, 0);
    for (unsigned i = 1; i <= CALLS; i++) {
        wait_until_h2_parked(gate);
        serve_h2(ask_h2(gate), endpoint, i);
    }
    wait_until_h2_parked(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), CALLS);
    h2_ping(endpoint->end->h2); // the keeper answers, and parks it again
    until_still();
    wait_until_h2_parked(gate);
    serve_h2(ask_h2(gate), endpoint, CALLS + 1);
    wait_until_h2_parked(gate);
    h2_shutdown(endpoint->end->h2, H2_NO_ERROR); // one that says goodbye is closed
    UNTIL(endpoint->is_over);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
#define TEST_H2(name) cmocka_unit_test_setup_teardown(test_##name, set_up_h2, tear_down_h2)
    const struct CMUnitTest tests[] = {
        TEST(a_rare_caller_has_one_connection_whichever_worker_serves_it),
        TEST(one_worker_parks_nothing),
        TEST(what_a_burst_leaves_is_for_all_a_moment_later),
        TEST(a_parked_one_that_ends_is_closed),
        TEST(a_parked_one_waits_no_longer_than_others),
        TEST(a_change_ends_those_to_endpoints_that_are_gone),
        TEST(draining_ends_them),
        TEST(the_end_comes_with_one_parked),
        TEST_H2(http2_of_a_rare_caller_is_one_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
