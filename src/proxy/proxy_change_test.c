// SPDX-License-Identifier: Apache-2.0
// Tunnels, changes of the snapshot, draining and the end.
#include "proxy/proxy_test.h"

// ---- tunnels ----

static const char upgrade[] =
    "GET /chat HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
static const char switched[] =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

static void test_an_upgrade_is_a_tunnel_from_the_first_byte_to_the_last(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, upgrade);
    say(client, "early");
    struct peer *endpoint = accept_from_gate(gate);
    assert_non_null(strstr(hear_head(endpoint), "upgrade: websocket\r\n"));
    say(endpoint, switched);
    say(endpoint, "hello");
    hear_status(client, 101);
    hear(client, "hello");
    hear(endpoint, "early");
    say_many(client, 'u', 300000);
    hear_many(endpoint, 'u', 300000);
    say_many(endpoint, 'd', 300000);
    hear_many(client, 'd', 300000);
    shutdown(client->fd, SHUT_WR);
    hear_end(endpoint);
    say(endpoint, "good-bye"); // the one side's end is not the other's
    hang_up(endpoint);
    hear(client, "good-bye");
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "GET 101 - via_upstream 300005 300013 1\n");
}

static void test_an_upgrade_to_another_http_is_not_passed_on(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade, http2-settings\r\n"
                "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    const char *head = hear_head(endpoint);
    assert_null(strstr(head, "upgrade"));
    assert_null(strstr(head, "http2-settings"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_tcp_goes_on_half_closed_and_a_reset_is_no_end(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(client, "question");
    shutdown(client->fd, SHUT_WR);
    hear(endpoint, "question");
    hear_end(endpoint);
    say(endpoint, "answer");
    hear(client, "answer");
    hang_up(endpoint);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    client = connect_to_gate(gate);
    endpoint = accept_from_gate(gate);
    say(endpoint, "ans");
    hear(client, "ans");
    reset(endpoint);
    hear_reset(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "- 0 - - 8 6 1\n- 0 UC - 0 3 1\n");
}

// ---- changes and the end ----

// The slot that a cluster nobody has named before would get: a freed one first.
static uint32_t next_cluster_slot(struct gate *gate)
{
    struct address address = gate->endpoint_address;
    address.port = 1;
    struct snapshot *snapshot = build(gate, &address);
    uint32_t slot = snapshot->clusters[0]->slot;
    snapshot_destroy(snapshot);
    return slot;
}

static void test_a_tunnel_outlives_the_snapshot_it_began_with(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    uint32_t slot = proxy_snapshot(gate->proxy)->clusters[0]->slot;
    struct peer *client = connect_to_gate(gate);
    say(client, upgrade);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, switched);
    hear_status(client, 101);
    struct address other = gate->endpoint_address;
    other.port = 9;
    publish(gate, &other);
    for (int turns = 0; next_cluster_slot(gate) != slot; turns++) {
        assert_true(turns < WAIT_S * 100); // the first snapshot is still held
        loop_turn(&gate->loop, 10);
    }
    say(client, "still");
    hear(endpoint, "still");
    say(endpoint, "here");
    hear(client, "here");
    hang_up(client);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    expect_log(gate, "GET 101 - via_upstream 5 4 1\n");
}

static void test_a_change_ends_only_the_connections_that_it_concerns(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *busy = connect_to_gate(gate);
    say(client, get);
    struct peer *idle_endpoint = accept_from_gate(gate);
    hear_head(idle_endpoint);
    say(busy, get);
    struct peer *busy_endpoint = accept_from_gate(gate);
    hear_head(busy_endpoint);
    say(idle_endpoint, ok);
    hear_whole_response(client, 200);

    struct address new_address;
    int new_endpoint = listen_anywhere(&new_address);
    publish(gate, &new_address);
    hear_end(idle_endpoint); // its pool is of no more use
    say(busy_endpoint, ok);  // a request in flight ends where it began
    hear_whole_response(busy, 200);
    hear_end(busy_endpoint); // and its connection is not kept
    say(client, get);
    struct peer *endpoint = peer_of(accept(new_endpoint, NULL, NULL));
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(idle_endpoint);
    hang_up(busy_endpoint);
    hang_up(endpoint);
    hang_up(client);
    hang_up(busy);
    close(new_endpoint);
    wait_until_quiet(gate);
}

static void test_a_thousand_changes_fail_no_request(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    for (int i = 0; i < 1000; i++) {
        hear_head(endpoint);
        publish(gate, &gate->endpoint_address);
        say(endpoint, ok);
        hear_whole_response(client, 200);
        say(client, get);
        loop_turn(&gate->loop, 0);
    }
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_CONNECTIONS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void note_drained(void *arg)
{
    struct gate *gate = arg;
    gate->is_drained = true;
}

static void test_draining_ends_what_is_idle_and_finishes_what_is_not(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *idle = connect_to_gate(gate), *busy = connect_to_gate(gate);
    say(idle, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(idle, 200);
    say(busy, get);
    hear_head(endpoint);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    hear_end(idle);
    assert_false(gate->is_drained);
    say(endpoint, ok);
    assert_non_null(strstr(hear_head(busy), "connection: close\r\n"));
    hear(busy, "ok");
    hear_end(busy);
    hang_up(busy);
    for (int turns = 0; !gate->is_drained; turns++) {
        assert_true(turns < WAIT_S * 100);
        loop_turn(&gate->loop, 10);
    }
    hear_end(endpoint);
    hang_up(idle);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_draining_answers_a_client_that_has_just_come(void **state)
{
    struct gate *gate = *state;
    gate->has_no_cluster = true;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate); // accepted or still in the queue
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    say(client, get);
    assert_non_null(strstr(hear_head(client), "connection: close\r\n"));
    hear(client, "here");
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_the_end_comes_whatever_is_open(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *idle = connect_to_gate(gate), *partial = connect_to_gate(gate),
                *busy = connect_to_gate(gate), *tunnel = connect_to_gate(gate);
    say(partial, "GET / HT");
    say(busy, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, "HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n");
    say_many(endpoint, 'z', 300000);
    hear_status(busy, 200);
    say(tunnel, upgrade);
    struct peer *other = accept_from_gate(gate);
    hear_head(other);
    say(other, switched);
    hear_status(tunnel, 101);
    close_gate(gate);
    hear_end(other);
    struct peer *const all[] = {idle, partial, busy, tunnel, endpoint, other};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        hang_up(all[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_upgrade_is_a_tunnel_from_the_first_byte_to_the_last),
        TEST(an_upgrade_to_another_http_is_not_passed_on),
        TEST(tcp_goes_on_half_closed_and_a_reset_is_no_end),
        TEST(a_tunnel_outlives_the_snapshot_it_began_with),
        TEST(a_change_ends_only_the_connections_that_it_concerns),
        TEST(a_thousand_changes_fail_no_request),
        TEST(draining_ends_what_is_idle_and_finishes_what_is_not),
        TEST(draining_answers_a_client_that_has_just_come),
        TEST(the_end_comes_whatever_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
