// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: a name server, UDP and TCP on one loopback port, in the same loop
// as the resolver that asks it. What it answers is set by the test; times are short.
#pragma once
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "dns/resolver.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_AAAA = 28 };
enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_REFUSED = 5 };
enum { HELD_MAX = 600, PACKET_MAX = 60000, TEST_TTL_MIN_MS = 20, TEST_RETIRING_MS = 100 };

struct family_rule {
    uint8_t rcode;
    bool is_held;            // answers wait for release()
    unsigned n;              // addresses: 192.0.2.x or 2001:db8::x
    uint8_t last_octets[16]; // x; past 16 addresses: counted on, in 198.51.0.0/16
    unsigned queries;
};
struct held {
    size_t len;
    struct sockaddr_in peer;
    uint8_t packet[512];
};

static struct {
    struct watch udp, tcp;
    int placeholder; // holds the port while UDP is down; -1: it is up
    uint16_t port;
    struct family_rule a, aaaa;
    uint32_t ttl_s;
    unsigned ignored;       // so many queries are lost
    bool is_truncated;      // over UDP
    bool are_unreachable;   // IPv6 addresses: fe80::x
    bool a_is_loopback;     // IPv4 addresses: 127.0.0.x
    const char *known_name; // NULL: every name exists
    unsigned queries, tcp_queries;
    char asked[4][256]; // the names of the last queries of type A
    unsigned n_asked;
    struct held held[HELD_MAX];
    unsigned n_held;
} server;

static struct loop loop;
static struct resolver *resolver;
static unsigned changes;
static struct {
    unsigned n_failing, n_healthy;
    char failure[128];
    bool has_addresses;
} health;

static inline void put16(uint8_t *packet, size_t *len, unsigned value)
{
    packet[(*len)++] = (uint8_t)(value >> 8);
    packet[(*len)++] = (uint8_t)value;
}

static inline void put_record_head(uint8_t *packet, size_t *len, unsigned type, unsigned bytes)
{
    put16(packet, len, 0xc00c); // the question's name
    put16(packet, len, type);
    put16(packet, len, 1);
    put16(packet, len, server.ttl_s >> 16);
    put16(packet, len, server.ttl_s & 0xffff);
    put16(packet, len, bytes);
}

static inline void put_address(uint8_t *packet, size_t *len, unsigned type,
                               const struct family_rule *rule, unsigned i)
{
    put_record_head(packet, len, type, type == TYPE_A ? 4 : 16);
    uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = rule->last_octets[i % 16]};
    if (server.are_unreachable)
        memcpy(ip, (const uint8_t[]){0xfe, 0x80, 0, 0}, 4);
    if (type == TYPE_A) {
        uint8_t ip4[4] = {192, 0, 2, rule->last_octets[i % 16]};
        uint8_t many[4] = {198, 51, (uint8_t)(i >> 8), (uint8_t)i};
        if (server.a_is_loopback)
            memcpy(ip4, (const uint8_t[]){127, 0, 0}, 3);
        memcpy(ip, i < 16 ? ip4 : many, 4);
    }
    memcpy(packet + *len, ip, type == TYPE_A ? 4 : 16);
    *len += type == TYPE_A ? 4 : 16;
}

static inline size_t read_question(const uint8_t *packet, char *name, unsigned *ret_type)
{
    size_t at = 12, len = 0;
    while (packet[at]) {
        for (unsigned i = 1; i <= packet[at]; i++)
            name[len++] = (char)(packet[at + i] | 0x20);
        name[len++] = '.';
        at += packet[at] + 1u;
    }
    name[len ? len - 1 : 0] = 0;
    *ret_type = packet[at + 2];
    return at + 5;
}

// Turns the question into its answer in place. false: lost.
static inline bool make_answer(uint8_t *packet, size_t *ret_len, bool is_udp, bool *ret_is_held)
{
    char name[256];
    unsigned type;
    size_t len = read_question(packet, name, &type);
    struct family_rule *rule = type == TYPE_A ? &server.a : &server.aaaa;
    server.queries++;
    rule->queries++;
    if (type == TYPE_A)
        snprintf(server.asked[server.n_asked++ % 4], sizeof *server.asked, "%s", name);
    if (server.ignored > 0) {
        server.ignored--;
        return false;
    }
    bool is_unknown = server.known_name && strcmp(server.known_name, name) != 0;
    packet[2] = 0x84 | (packet[2] & 1);
    packet[3] = 0x80 | (is_unknown ? RCODE_NXDOMAIN : rule->rcode);
    memset(packet + 6, 0, 6);
    if (is_udp && server.is_truncated)
        packet[2] |= 2;
    else if (!is_unknown && rule->rcode == RCODE_OK) {
        for (unsigned i = 0; i < rule->n; i++)
            put_address(packet, &len, type, rule, i);
        packet[6] = (uint8_t)(rule->n >> 8);
        packet[7] = (uint8_t)rule->n;
    }
    *ret_is_held = rule->is_held;
    *ret_len = len;
    return true;
}

static inline void on_udp(struct watch *watch, uint32_t events)
{
    static uint8_t packet[PACKET_MAX];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof peer;
    ssize_t n = recvfrom(watch->fd, packet, 512, 0, (struct sockaddr *)&peer, &peer_len);
    size_t len;
    bool is_held;
    assert_true(n > 12);
    if (!make_answer(packet, &len, true, &is_held))
        return;
    if (is_held) {
        assert_true(server.n_held < HELD_MAX && len <= sizeof server.held[0].packet);
        struct held *held = &server.held[server.n_held++];
        *held = (struct held){.len = len, .peer = peer};
        memcpy(held->packet, packet, len);
        return;
    }
    sendto(watch->fd, packet, len, 0, (struct sockaddr *)&peer, peer_len);
}

static inline void release(void)
{
    server.a.is_held = server.aaaa.is_held = false;
    for (unsigned i = 0; i < server.n_held; i++)
        sendto(server.udp.fd, server.held[i].packet, server.held[i].len, 0,
               (struct sockaddr *)&server.held[i].peer, sizeof server.held[i].peer);
    server.n_held = 0;
}

struct tcp_client {
    struct watch watch;
};

static inline void on_tcp_query(struct watch *watch, uint32_t events)
{
    static uint8_t packet[2 + PACKET_MAX];
    struct tcp_client *client = LIST_ENTRY(watch, struct tcp_client, watch);
    ssize_t n = recv(watch->fd, packet, 2 + 512, 0);
    if (n <= 14) {
        loop_remove(&loop, watch);
        close(watch->fd);
        free(client);
        return;
    }
    for (ssize_t at = 0; at < n;) { // both questions may come in one piece
        static uint8_t one[2 + PACKET_MAX];
        size_t question = (size_t)(packet[at] << 8 | packet[at + 1]), len;
        bool is_held;
        memcpy(one + 2, packet + at + 2, question);
        at += 2 + (ssize_t)question;
        server.tcp_queries++;
        if (!make_answer(one + 2, &len, false, &is_held))
            continue;
        size_t head = 0;
        put16(one, &head, (unsigned)len);
        assert_int_equal(send(watch->fd, one, 2 + len, MSG_NOSIGNAL), 2 + len);
    }
}

static inline void on_tcp_accept(struct watch *watch, uint32_t events)
{
    struct tcp_client *client = calloc(1, sizeof *client);
    assert_non_null(client);
    client->watch = (struct watch){.on_event = on_tcp_query, .fd = accept(watch->fd, NULL, NULL)};
    assert_int_equal(loop_add(&loop, &client->watch, EPOLLIN), 0);
}

static inline int bind_to_port(int type)
{
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_port = htons(server.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t own_len = sizeof own;
    int fd = socket(AF_INET, type, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, own_len) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_len) != 0 ||
        (type == SOCK_STREAM && listen(fd, 16) != 0)) {
        close(fd);
        return -1;
    }
    server.port = ntohs(own.sin_port);
    return fd;
}

static inline void server_open(void)
{
    for (int tries = 0; tries < 20; tries++) { // the port that UDP gets may be taken for TCP
        server.port = 0;
        server.udp = (struct watch){.on_event = on_udp, .fd = bind_to_port(SOCK_DGRAM)};
        assert_true(server.udp.fd >= 0);
        server.tcp = (struct watch){.on_event = on_tcp_accept, .fd = bind_to_port(SOCK_STREAM)};
        if (server.tcp.fd >= 0)
            break;
        close(server.udp.fd);
    }
    assert_true(server.tcp.fd >= 0);
    server.placeholder = -1;
    assert_int_equal(loop_add(&loop, &server.udp, EPOLLIN), 0);
    assert_int_equal(loop_add(&loop, &server.tcp, EPOLLIN), 0);
}

// Queries are refused by the kernel. A socket that is connected to somebody else keeps the port.
static inline void server_stop(void)
{
    struct sockaddr_in nobody = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server.placeholder = bind_to_port(SOCK_DGRAM);
    assert_true(server.placeholder >= 0);
    assert_int_equal(connect(server.placeholder, (struct sockaddr *)&nobody, sizeof nobody), 0);
    loop_remove(&loop, &server.udp);
    close(server.udp.fd);
    server.n_held = 0;
}

static inline void server_start(void)
{
    server.udp.fd = bind_to_port(SOCK_DGRAM);
    assert_true(server.udp.fd >= 0);
    assert_int_equal(loop_add(&loop, &server.udp, EPOLLIN), 0);
    close(server.placeholder);
    server.placeholder = -1;
}

static inline void server_close(void)
{
    if (server.placeholder >= 0)
        server_start();
    loop_remove(&loop, &server.udp);
    loop_remove(&loop, &server.tcp);
    close(server.udp.fd);
    close(server.tcp.fd);
}

static inline void on_change(void *arg)
{
    changes++;
}

static inline void on_health(void *arg, struct str name, const char *failure, bool has_addresses)
{
    health.n_failing += failure != NULL;
    health.n_healthy += failure == NULL;
    health.has_addresses = has_addresses;
    snprintf(health.failure, sizeof health.failure, "%s", failure ? failure : "");
}

static inline struct resolver_options test_options(char servers[32])
{
    snprintf(servers, 32, "127.0.0.1:%u", server.port);
    return (struct resolver_options){.owner = {on_change, on_health, NULL},
                                     .servers = servers,
                                     .resolv_conf = "/dev/null",
                                     .ttl_min_ms = TEST_TTL_MIN_MS,
                                     .retry_min_ms = 20,
                                     .retry_max_ms = 100,
                                     .keeps_unreachable = true,
                                     .retiring_ms = TEST_RETIRING_MS,
                                     .deadline_ms = 4000};
}

static inline int setup(void **state)
{
    char servers[32];
    memset(&server, 0, sizeof server);
    memset(&health, 0, sizeof health);
    changes = 0;
    loop_init(&loop);
    server_open();
    struct resolver_options options = test_options(servers);
    resolver = resolver_create(&loop, &options);
    return resolver ? 0 : -1;
}

// For tests that need other options.
static inline void replace_resolver(const struct resolver_options *options)
{
    resolver_destroy(resolver);
    resolver = resolver_create(&loop, options);
    assert_non_null(resolver);
}

static inline int teardown(void **state)
{
    resolver_destroy(resolver);
    unsigned armed = loop.wheel.armed;
    for (int i = 0; i < 5; i++) // TCP clients of the server see the end
        loop_turn(&loop, 1);
    server_close();
    loop_fini(&loop);
    return armed == 0 ? 0 : -1; // nothing of the resolver is left on the wheel
}

#define OCTETS(...)                                                                                \
    sizeof((const uint8_t[]){__VA_ARGS__}), (const uint8_t[])                                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static inline void rule_answers(struct family_rule *rule, unsigned n, const uint8_t *last_octets)
{
    rule->rcode = RCODE_OK;
    rule->n = n;
    if (n > 0)
        memcpy(rule->last_octets, last_octets, n);
}

static inline void answer_with(uint32_t ttl_s, unsigned n, const uint8_t *last_octets)
{
    server.ttl_s = ttl_s;
    rule_answers(&server.a, n, last_octets);
    server.aaaa.rcode = RCODE_OK;
    server.aaaa.n = 0;
}

static inline void answer_rcode(uint8_t rcode)
{
    server.a.rcode = server.aaaa.rcode = rcode;
}

static inline void turn_until(const unsigned *counter, unsigned wanted)
{
    int64_t deadline_ms = clock_monotonic_ms() + 30000;
    while (*counter < wanted && clock_monotonic_ms() < deadline_ms)
        loop_turn(&loop, 100);
    assert_true(*counter >= wanted);
}

static inline void turn_for(int64_t ms)
{
    int64_t end_ms = clock_monotonic_ms() + ms, now_ms;
    while ((now_ms = clock_monotonic_ms()) < end_ms)
        loop_turn(&loop, (int)(end_ms - now_ms));
}

static inline void format_addresses(const struct address *addresses, uint32_t n, char *out,
                                    size_t cap)
{
    char ip[ADDRESS_TEXT_MAX];
    size_t len = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < n && len < cap; i++) {
        address_format_ip(&addresses[i], ip);
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? " " : "", ip);
    }
}

static inline struct name_addresses look_up_known(const char *name)
{
    struct name_addresses known;
    resolver_addresses(resolver, str_of(name), false, &known);
    return known;
}

static inline void assert_known(const char *name, const char *expected)
{
    char text[512];
    struct name_addresses known = look_up_known(name);
    format_addresses(known.items, known.n, text, sizeof text);
    assert_string_equal(text, expected);
}

static inline void assert_retiring(const char *name, const char *expected)
{
    char text[512];
    struct name_addresses known = look_up_known(name);
    format_addresses(known.retiring, known.n_retiring, text, sizeof text);
    assert_string_equal(text, expected);
}

static inline struct resolver_counts counts(void)
{
    struct resolver_counts now;
    resolver_counts(resolver, &now);
    return now;
}

// Looks a name up for the first time and waits for its addresses.
static inline void learn(const char *name, const char *expected)
{
    unsigned before = changes;
    assert_known(name, "");
    turn_until(&changes, before + 1);
    assert_known(name, expected);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
