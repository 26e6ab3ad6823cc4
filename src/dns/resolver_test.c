// SPDX-License-Identifier: Apache-2.0
// The resolver asks a name server that lives in the same loop.
#include "base/clock.h"
#include "dns/resolver.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

enum { TYPE_A = 1, RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };

static struct {
    struct watch watch;
    unsigned queries_a, ignored;
    uint8_t rcode;
    uint8_t last_octets[4]; // the addresses 192.0.2.x that it answers
    unsigned n_addresses;
    uint32_t ttl_s;
} server;

static struct loop loop;
static struct resolver *resolver;
static unsigned changes;

static void on_change(void *arg)
{
    changes++;
}

static size_t put_addresses(uint8_t *packet, size_t len)
{
    for (unsigned i = 0; i < server.n_addresses; i++) {
        uint8_t record[] = {0xc0, 12,
                            0,    TYPE_A,
                            0,    1,
                            0,    0,
                            0,    (uint8_t)server.ttl_s,
                            0,    4,
                            192,  0,
                            2,    server.last_octets[i]};
        memcpy(packet + len, record, sizeof(record));
        len += sizeof(record);
    }
    packet[7] = (uint8_t)server.n_addresses;
    return len;
}

static void on_query(struct watch *watch, uint32_t events)
{
    uint8_t packet[1024];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof(peer);
    ssize_t n = recvfrom(watch->fd, packet, 512, 0, (struct sockaddr *)&peer, &peer_len);
    assert_true(n > 12);
    if (server.ignored > 0) {
        server.ignored--;
        return;
    }
    size_t len = 12;
    while (packet[len])
        len += packet[len] + 1u;
    bool is_a = packet[len + 2] == TYPE_A;
    len += 5;
    packet[2] |= 0x80; // an answer
    packet[3] = 0x80 | server.rcode;
    memset(packet + 6, 0, 6);
    server.queries_a += is_a;
    if (is_a && server.rcode == RCODE_OK)
        len = put_addresses(packet, len);
    assert_int_equal(sendto(watch->fd, packet, len, 0, (struct sockaddr *)&peer, peer_len), len);
}

static int setup(void **state)
{
    memset(&server, 0, sizeof(server));
    changes = 0;
    loop_init(&loop);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t own_len = sizeof(own);
    server.watch = (struct watch){.on_event = on_query, .fd = socket(AF_INET, SOCK_DGRAM, 0)};
    if (bind(server.watch.fd, (struct sockaddr *)&own, own_len) != 0 ||
        getsockname(server.watch.fd, (struct sockaddr *)&own, &own_len) != 0)
        return -1;
    if (loop_add(&loop, &server.watch, EPOLLIN) != 0)
        return -1;
    char text[32];
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(own.sin_port));
    resolver = resolver_create(&loop, text, on_change, NULL);
    return resolver ? 0 : -1;
}

static int teardown(void **state)
{
    resolver_destroy(resolver);
    unsigned armed = loop.wheel.armed;
    loop_remove(&loop, &server.watch);
    close(server.watch.fd);
    loop_fini(&loop);
    return armed == 0 ? 0 : -1; // nothing of the resolver is left on the wheel
}

static void answer_with(uint32_t ttl_s, unsigned n, const uint8_t *last_octets)
{
    server.rcode = RCODE_OK;
    server.ttl_s = ttl_s;
    server.n_addresses = n;
    memcpy(server.last_octets, last_octets, n);
}

static void turn_until(const unsigned *counter, unsigned wanted)
{
    int64_t deadline_ms = clock_monotonic_ms() + 10000;
    while (*counter < wanted && clock_monotonic_ms() < deadline_ms)
        loop_turn(&loop, 100);
    assert_true(*counter >= wanted);
}

static void assert_known(const char *name, const char *expected)
{
    char text[256] = "", ip[ADDRESS_TEXT_MAX];
    struct name_addresses known;
    resolver_addresses(resolver, str_of(name), false, &known);
    size_t len = 0;
    for (uint32_t i = 0; i < known.n; i++) {
        address_format_ip(&known.items[i], ip);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", ip);
    }
    assert_string_equal(text, expected);
}

static void test_a_name_is_unknown_until_its_answer_comes(void **state)
{
    answer_with(60, 2, (const uint8_t[]){9, 3});
    assert_known("shop.example.com", "");
    assert_int_equal(changes, 0);
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.3 192.0.2.9");
    assert_int_equal(server.queries_a, 1);
}

static void test_repeated_addresses_of_an_answer_count_once(void **state)
{
    answer_with(60, 3, (const uint8_t[]){7, 7, 7});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.7");
}

static void test_a_name_is_asked_for_again_after_its_ttl(void **state)
{
    answer_with(1, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    int64_t start_ms = clock_monotonic_ms();
    answer_with(60, 1, (const uint8_t[]){2});
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.2");
    assert_true(clock_monotonic_ms() - start_ms >= 900);
}

static void test_a_ttl_of_zero_does_not_flood_the_server(void **state)
{
    answer_with(0, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    int64_t end_ms = clock_monotonic_ms() + 500;
    while (clock_monotonic_ms() < end_ms)
        loop_turn(&loop, 50);
    assert_int_equal(server.queries_a, 1);
}

static void test_the_same_answer_again_is_no_change(void **state)
{
    answer_with(1, 2, (const uint8_t[]){1, 2});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    answer_with(60, 2, (const uint8_t[]){2, 1}); // servers rotate their answers
    turn_until(&server.queries_a, 2);
    for (int i = 0; i < 5; i++)
        loop_turn(&loop, 20);
    assert_int_equal(changes, 1);
}

static void test_old_addresses_stay_while_the_server_fails(void **state)
{
    answer_with(1, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    server.rcode = RCODE_SERVFAIL;
    turn_until(&server.queries_a, 2);
    server.rcode = RCODE_NXDOMAIN;
    turn_until(&server.queries_a, server.queries_a + 1);
    assert_known("shop.example.com", "192.0.2.1");
    answer_with(60, 1, (const uint8_t[]){4});
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.4");
}

static void test_a_query_that_is_lost_is_asked_again(void **state)
{
    server.ignored = 2; // for A and AAAA
    answer_with(60, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.1");
}

static void test_a_swept_name_is_forgotten_and_asked_for_anew(void **state)
{
    answer_with(60, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    turn_until(&changes, 1);
    resolver_sweep(resolver); // it was looked up since the start
    assert_known("shop.example.com", "192.0.2.1");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    assert_known("shop.example.com", "");
    turn_until(&changes, 2);
    assert_int_equal(server.queries_a, 2);
}

static void test_a_name_swept_before_its_answer_is_no_change(void **state)
{
    answer_with(60, 1, (const uint8_t[]){1});
    assert_known("shop.example.com", "");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    turn_until(&server.queries_a, 1);
    for (int i = 0; i < 5; i++)
        loop_turn(&loop, 20);
    assert_int_equal(changes, 0);
}

static void test_a_resolver_may_end_with_queries_under_way(void **state)
{
    assert_known("one.example.com", "");
    assert_known("two.example.com", "");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    assert_known("two.example.com", "");
}

static void test_an_address_resolves_to_itself_at_once(void **state)
{
    assert_known("198.51.100.7", "198.51.100.7");
    assert_known("2001:db8::1", "2001:db8::1");
    assert_int_equal(loop.wheel.armed, 0);
    assert_int_equal(changes, 0);
}

static void test_a_name_that_cannot_be_is_never_known(void **state)
{
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    const struct str names[] = {STR_NONE, STR("a\0b"), {longest, sizeof(longest)}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct name_addresses known = {.n = 1};
        resolver_addresses(resolver, names[i], false, &known);
        assert_int_equal(known.n, 0);
    }
}

static void test_a_malformed_server_list_is_refused(void **state)
{
    assert_null(resolver_create(&loop, "no address", on_change, NULL));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_name_is_unknown_until_its_answer_comes),
        TEST(test_repeated_addresses_of_an_answer_count_once),
        TEST(test_a_name_is_asked_for_again_after_its_ttl),
        TEST(test_a_ttl_of_zero_does_not_flood_the_server),
        TEST(test_the_same_answer_again_is_no_change),
        TEST(test_old_addresses_stay_while_the_server_fails),
        TEST(test_a_query_that_is_lost_is_asked_again),
        TEST(test_a_swept_name_is_forgotten_and_asked_for_anew),
        TEST(test_a_name_swept_before_its_answer_is_no_change),
        TEST(test_a_resolver_may_end_with_queries_under_way),
        TEST(test_an_address_resolves_to_itself_at_once),
        TEST(test_a_name_that_cannot_be_is_never_known),
        TEST(test_a_malformed_server_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
