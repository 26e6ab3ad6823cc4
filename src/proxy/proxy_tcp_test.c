// SPDX-License-Identifier: Apache-2.0
// TCP through the proxy, and PROXY headers on either side of it.
#include "proxy/proxy_protocol.h"
#include "proxy/proxy_test.h"
#include "proxy/proxy_traffic.h"
#include <signal.h>

// ---- PROXY headers that come ----

static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n";

static void test_a_proxy_header_in_pieces_names_the_client(void **state)
{
    struct gate *gate = *state;
    gate->accepts_proxy = true;
    open_gate(gate);
    char said[sizeof line + sizeof get];
    size_t len = (size_t)snprintf(said, sizeof said, "%s%s", line, get);
    struct peer *endpoint = NULL;
    for (size_t piece = 1; piece <= len; piece += piece < 50 ? 1 : 20) {
        struct peer *client = connect_to_gate(gate);
        for (size_t at = 0; at < len; at += piece)
            say_bytes(client, said + at, len - at < piece ? len - at : piece);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        const char *head = hear_head(endpoint);
        assert_non_null(strstr(head, "x-forwarded-for: 192.0.2.1\r\n"));
        assert_non_null(strstr(head, "x-envoy-external-address: 192.0.2.1\r\n"));
        say(endpoint, ok);
        hear_whole_response(client, 200);
        say(client, get); // a header stands at the connection's beginning only
        hear_head(endpoint);
        say(endpoint, ok);
        hear_whole_response(client, 200);
        hang_up(client);
    }
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_header_that_names_nobody_leaves_the_socket_s_addresses(void **state)
{
    struct gate *gate = *state;
    static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    gate->accepts_proxy = true;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say_bytes(client, local, sizeof local - 1);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    assert_non_null(strstr(hear_head(endpoint), "x-forwarded-for: 127.0.0.1\r\n"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_without_a_good_proxy_header_nothing_is_served(void **state)
{
    struct gate *gate = *state;
    gate->accepts_proxy = true;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    assert_true(hear_more(client) <= 0); // bytes unread: it may be a reset
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "PROXY TCP4 192.0.2.1");
    shutdown(client->fd, SHUT_WR);
    hear_end(client);
    hang_up(client);
    client = connect_to_gate(gate); // a probe of the port: no error
    shutdown(client->fd, SHUT_WR);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_PROTOCOL_ERRORS), 2);
    assert_int_equal(counter(gate, PROXY_COUNTER_REQUESTS), 0);
    expect_log(gate, "- 0 DPE proxy_header_malformed 0 0 0\n"
                     "- 0 DPE proxy_header_incomplete 0 0 0\n");
}

static void test_what_follows_a_proxy_header_is_the_session_s(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    gate->accepts_proxy = true;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    char said[200];
    snprintf(said, sizeof said, "%searly", line);
    say(client, said);
    struct peer *endpoint = accept_from_gate(gate);
    hear(endpoint, "early");
    say(client, "late");
    hear(endpoint, "late");
    say(endpoint, "answer");
    hear(client, "answer");
    hang_up(endpoint);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_RECEIVED),
                     sizeof line - 1 + 5 + 4);
    assert_int_equal(counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_SENT), 6);
    expect_log(gate, "- 0 - - 9 6 1\n");
}

// ---- PROXY headers that go ----

static void hear_address_line(struct gate *gate, struct peer *client, struct peer *endpoint)
{
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    assert_int_equal(getsockname(client->fd, (struct sockaddr *)&own, &len), 0);
    char expected[PROXY_WRITE_BYTES_MAX];
    snprintf(expected, sizeof expected, "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n",
             ntohs(own.sin_port), gate->address.port);
    hear(endpoint, expected);
}

static void test_each_request_to_a_proxied_cluster_opens_its_own_connection(void **state)
{
    struct gate *gate = *state;
    gate->proxy_protocol = 1;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    for (int i = 0; i < 2; i++) {
        say(client, get);
        struct peer *endpoint = accept_from_gate(gate);
        hear_address_line(gate, client, endpoint);
        assert_non_null(strstr(hear_head(endpoint), "GET / HTTP/1.1\r\n"));
        say(endpoint, ok);
        hear_whole_response(client, 200);
        hear_end(endpoint);
        hang_up(endpoint);
    }
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_client_s_proxy_header_is_handed_on_in_version_2(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    gate->accepts_proxy = true;
    gate->proxy_protocol = 2;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, line);
    struct peer *endpoint = accept_from_gate(gate);
    struct proxy_header header;
    while (proxy_header_read(&header, (struct str){endpoint->data, endpoint->len}) ==
           PROXY_HEADER_MORE)
        assert_int_equal(hear_more(endpoint), 1);
    struct address source, destination;
    assert_true(address_parse(STR("192.0.2.1:4000"), &source));
    assert_true(address_parse(STR("198.51.100.7:443"), &destination));
    assert_true(address_equal(&header.source, &source));
    assert_true(address_equal(&header.destination, &destination));
    assert_int_equal(header.len, endpoint->len);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- routes of TCP ----

static void test_a_route_of_tcp_takes_the_addresses_of_its_subnet(void **state)
{
    struct gate *gate = *state;
    struct subnet subnet = {.bits = 31};
    assert_true(address_parse_ip(STR("127.0.0.0"), &subnet.base));
    gate->kind = LISTENER_TCP;
    gate->destination = &subnet;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    say(endpoint, "hello");
    hear(client, "hello");
    hang_up(endpoint);
    hear_end(client);
    hang_up(client);
    subnet.base.ip[3] = 2; // .2 and .3
    publish(gate, &gate->endpoint_address);
    client = connect_to_gate(gate);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "- 0 - - 0 5 1\n- 0 NR filter_chain_not_found 0 0 0\n");
}

// ---- tunnels ----

static void run_talk(struct gate *gate, size_t client_piece, size_t endpoint_piece,
                     uint64_t client_bytes, uint64_t endpoint_bytes)
{
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    struct talker a = plain_talker(client->fd, client_piece, client_bytes);
    struct talker b = plain_talker(endpoint->fd, endpoint_piece, endpoint_bytes);
    talk(&a, &b);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_tunnel_changes_no_byte_of_long_transfers(void **state)
{
    struct gate *gate = *state;
    enum { MIB = 1 << 20 };
    gate->kind = LISTENER_TCP;
    open_gate(gate);
    run_talk(gate, MIB, MIB, 40 * MIB + 1, 30 * MIB + 3);
    run_talk(gate, MIB, 5000, 20 * MIB, 1); // a slow reader, half closed early
    run_talk(gate, 3000, MIB, 2 * MIB, 20 * MIB);
    run_talk(gate, 700, 900, 200000, 100000);
    uint64_t received = 40 * MIB + 1 + 20 * MIB + 2 * MIB + 200000;
    uint64_t sent = 30 * MIB + 3 + 1 + 20 * MIB + 100000;
    assert_int_equal(counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_RECEIVED), received);
    assert_int_equal(counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_SENT), sent);
}

static void test_a_long_transfer_goes_back_to_short_words(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    for (int round = 0; round < 2; round++) {
        enum { N = 8 << 20 };
        struct talker a = plain_talker(client->fd, 1 << 20, N),
                      b = plain_talker(endpoint->fd, 1 << 20, 0);
        a.has_ended = b.has_ended = true; // none of this ends a side
        while (b.received < N) {
            talk_on(&a);
            talk_on(&b);
        }
        for (int i = 0; i < 40; i++) {
            char word[16];
            snprintf(word, sizeof word, "word %d", i);
            say(client, word);
            hear(endpoint, word);
            say(endpoint, word);
            hear(client, word);
        }
    }
    hang_up(client);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_tunnel_that_breaks_while_bytes_are_in_it_leaves_nothing(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    open_gate(gate);
    for (int side = 0; side < 2; side++) {
        struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
        struct peer *sender = side ? endpoint : client, *reader = side ? client : endpoint;
        struct talker a = plain_talker(sender->fd, 1 << 20, 64 << 20);
        struct pollfd full = {sender->fd, POLLOUT, 0};
        while (poll(&full, 1, 100) > 0) { // the reader does not read: both sockets fill up
            a.has_ended = a.has_heard_end = true;
            talk_on(&a);
        }
        reset(reader);
        while (send(sender->fd, "x", 1, MSG_NOSIGNAL) > 0) {
        }
        hang_up(sender);
        wait_until_quiet(gate);
    }
}

static void test_a_session_ends_after_the_cluster_s_idle_time_not_the_option_s(void **state)
{
    struct gate *gate = *state;
    gate->kind = LISTENER_TCP;
    gate->tcp_idle_timeout_ms = 200; // the option's is an hour
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = accept_from_gate(gate);
    for (int i = 0; i < 6; i++) { // longer than that together
        usleep(50 * 1000);
        say(client, "word");
        hear(endpoint, "word");
    }
    hear_end(endpoint);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the program does
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_proxy_header_in_pieces_names_the_client),
        TEST(a_header_that_names_nobody_leaves_the_socket_s_addresses),
        TEST(without_a_good_proxy_header_nothing_is_served),
        TEST(what_follows_a_proxy_header_is_the_session_s),
        TEST(each_request_to_a_proxied_cluster_opens_its_own_connection),
        TEST(a_client_s_proxy_header_is_handed_on_in_version_2),
        TEST(a_route_of_tcp_takes_the_addresses_of_its_subnet),
        TEST(a_tunnel_changes_no_byte_of_long_transfers),
        TEST(a_long_transfer_goes_back_to_short_words),
        TEST(a_tunnel_that_breaks_while_bytes_are_in_it_leaves_nothing),
        TEST(a_session_ends_after_the_cluster_s_idle_time_not_the_option_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
