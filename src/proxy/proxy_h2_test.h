// SPDX-License-Identifier: Apache-2.0
// For tests of the data plane with HTTP/2: clients and endpoints are ends of http/h2_test.h on
// sockets. They are all moved together, by UNTIL(): so that each waits for what it is told, and
// none keeps another from going on.
#pragma once
#include "base/clock.h"
#include "http/h1.h"
#include "http/h2_test.h"
#include "proxy/proxy_test.h"
#include "proxy/proxy_traffic.h"
#include <netinet/tcp.h>

enum {
    PARTY_MAX = 32,
    OUT_BYTES = 65536,
    WINDOW_BYTES = 256 * 1024, // that the proxy gives a stream, on either side
};

struct h2_peer {
    int fd;
    struct end *end;
    char *out; // bytes that wait for room
    size_t out_off, out_end;
    bool is_deaf; // reads nothing from its socket
    bool is_mute; // sends nothing
    bool is_over; // the proxy has ended or reset the connection
};

static struct { // all that are moved
    struct h2_peer *items[PARTY_MAX];
    unsigned n;
} party;

static inline void send_at_once(int fd)
{
    int one = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
}

static inline struct h2_peer *h2_peer_of(int fd, const struct h2_options *options)
{
    assert_true(fd >= 0);
    send_at_once(fd);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    struct h2_peer *peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    peer->fd = fd;
    peer->end = end_create(options);
    peer->out = malloc(OUT_BYTES);
    for (unsigned i = 0; i < PARTY_MAX; i++)
        if (!party.items[i]) {
            party.items[i] = peer;
            return peer;
        }
    fail_msg("too many at once");
    return NULL;
}

static inline void h2_hang_up(struct h2_peer *peer)
{
    for (unsigned i = 0; i < PARTY_MAX; i++)
        if (party.items[i] == peer)
            party.items[i] = NULL;
    close(peer->fd);
    end_destroy(peer->end);
    free(peer->out);
    free(peer);
}

static inline struct h2_peer *h2_dial_with(struct gate *gate, const struct h2_options *options)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(&gate->address, &sockaddr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, len), 0);
    return h2_peer_of(fd, options);
}

static inline struct h2_peer *h2_dial(struct gate *gate)
{
    return h2_dial_with(gate, &client_options);
}

static inline bool h2_say(struct h2_peer *peer)
{
    bool moved = false;
    while (!peer->is_mute && !peer->is_over) {
        if (peer->out_off == peer->out_end) {
            peer->out_off = 0;
            peer->out_end = h2_produce(peer->end->h2, peer->out, OUT_BYTES);
            if (peer->out_end == 0)
                break;
        }
        ssize_t n = send(peer->fd, peer->out + peer->out_off, peer->out_end - peer->out_off,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            peer->is_over = true;
            break;
        }
        peer->out_off += (size_t)n;
        moved = true;
    }
    return moved;
}

static inline bool h2_hear(struct h2_peer *peer)
{
    char bytes[16384];
    if (peer->is_deaf || peer->is_over)
        return false;
    ssize_t n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        peer->is_over = true;
        return true;
    }
    if (!h2_receive(peer->end->h2, (struct str){bytes, (size_t)n}, peer->end->now_ms))
        fail_msg("the proxy broke the protocol: %.*s", STR_ARG(h2_failure(peer->end->h2)));
    return true;
}

// Moves all a little. false: nobody could.
static inline bool move_all(void)
{
    bool moved = false;
    for (unsigned i = 0; i < PARTY_MAX; i++) {
        struct h2_peer *peer = party.items[i];
        if (!peer)
            continue;
        moved = h2_say(peer) || moved;
        moved = h2_hear(peer) || moved;
    }
    return moved;
}

static inline void move_or_wait(void)
{
    if (!move_all())
        usleep(500);
}

#define UNTIL(what)                                                                                \
    do {                                                                                           \
        const int64_t until_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;              \
        while (!(what)) {                                                                          \
            if (clock_monotonic_ns() > until_ns)                                                   \
                fail_msg("waited in vain for: " #what);                                            \
            move_or_wait();                                                                        \
        }                                                                                          \
    } while (0)

// Until nothing has moved for a while: whoever could be stopped is.
static inline void until_still(void)
{
    for (int64_t last_ns = clock_monotonic_ns(); clock_monotonic_ns() - last_ns < 150000000;)
        if (move_all())
            last_ns = clock_monotonic_ns();
        else
            usleep(500);
}

static inline bool has_come(int listening)
{
    struct pollfd fd = {listening, POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
}

static inline struct h2_peer *h2_accept_with(int listening, const struct h2_options *options)
{
    UNTIL(has_come(listening));
    return h2_peer_of(accept(listening, NULL, NULL), options);
}

static inline struct h2_peer *h2_accept(struct gate *gate)
{
    return h2_accept_with(gate->endpoint, &server_options);
}

static inline struct peer *h1_accept(struct gate *gate)
{
    UNTIL(has_come(gate->endpoint));
    struct peer *peer = accept_from_gate(gate);
    send_at_once(peer->fd);
    return peer;
}

static inline struct peer *h1_dial(struct gate *gate)
{
    struct peer *peer = connect_to_gate(gate);
    send_at_once(peer->fd);
    return peer;
}

// The n-th stream that has begun on a connection, with its head.
static inline struct message *served(struct h2_peer *endpoint, unsigned n)
{
    UNTIL(endpoint->end->n_messages > n && endpoint->end->messages[n].n_heads > 0);
    return &endpoint->end->messages[n];
}

// The one for that path: requests that were sent at once may come in any order.
static inline struct message *served_path(struct h2_peer *endpoint, const char *path)
{
    char line[100];
    snprintf(line, sizeof line, ":path: %s\n", path);
    for (unsigned n = 0;; n++) {
        struct message *message = served(endpoint, n);
        if (strstr(message->head.data, line))
            return message;
    }
}

static inline void expect_status(const struct message *message, unsigned status)
{
    char line[32];
    int len = snprintf(line, sizeof line, ":status: %u\n", status);
    if (!message->head.data || strncmp(message->head.data, line, (size_t)len) != 0)
        fail_msg("not %u: %.200s (closed %d, code %u)", status,
                 message->head.data ? message->head.data : "", message->is_closed, message->code);
}

static inline void expect_body(const struct message *message, struct str body)
{
    if (message->body.len != body.len)
        fail_msg("%zu bytes in the place of %zu", message->body.len, body.len);
    if (body.len > 0 && memcmp(message->body.data, body.ptr, body.len) != 0)
        fail_msg("other bytes");
}

// ---- HTTP/1 sides, moved together with the others ----

static inline bool h1_hear_some(struct peer *peer)
{
    ssize_t n = recv(peer->fd, peer->data + peer->len, PEER_BYTES - 1 - peer->len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        move_or_wait();
        return true;
    }
    if (n > 0)
        peer->len += (size_t)n;
    peer->data[peer->len] = '\0';
    return n > 0;
}

// The next head; good until the next call.
static inline const char *h1_hear_head(struct peer *peer)
{
    const int64_t until_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    while (peer->len == 0 || !strstr(peer->data, "\r\n\r\n"))
        if (!h1_hear_some(peer) || clock_monotonic_ns() > until_ns)
            fail_msg("no head: \"%.*s\"", (int)peer->len, peer->data);
    return hear_head(peer);
}

static inline void h1_hear_body(struct peer *peer, struct str body)
{
    const int64_t until_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    for (size_t at = 0; at < body.len;) {
        size_t n = peer->len < body.len - at ? peer->len : body.len - at;
        if (n > 0 && memcmp(peer->data, body.ptr + at, n) != 0)
            fail_msg("other bytes near %zu", at);
        forget(peer, n);
        at += n;
        if (n == 0 && (!h1_hear_some(peer) || clock_monotonic_ns() > until_ns))
            fail_msg("ended at %zu of %zu", at, body.len);
    }
}

// A chunked body to its end; `ret_trailers`: lines "name: value\n".
static inline void h1_hear_chunks(struct peer *peer, struct buf *ret_body, struct buf *ret_trailers)
{
    const int64_t until_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    struct h1_chunked chunked;
    h1_chunked_init(&chunked);
    for (;;) {
        size_t used;
        struct str data, name;
        enum h1_chunk_event event =
            h1_chunked_next(&chunked, peer->data, peer->len, &used, &data, &name);
        if (event == H1_CHUNK_DATA)
            buf_add_str(ret_body, data);
        if (event == H1_CHUNK_TRAILER)
            buf_printf(ret_trailers, "%.*s: %.*s\n", STR_ARG(name), STR_ARG(data));
        forget(peer, used);
        if (event == H1_CHUNK_END)
            return;
        if (event == H1_CHUNK_ERROR)
            fail_msg("no chunks");
        if (event == H1_CHUNK_MORE && (!h1_hear_some(peer) || clock_monotonic_ns() > until_ns))
            fail_msg("ended in a chunk");
    }
}

// Sends what the socket takes now; how much.
static inline size_t h1_say_some(struct peer *peer, struct str bytes)
{
    ssize_t n = send(peer->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_true(n >= 0 || errno == EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

static inline void h1_say(struct peer *peer, struct str bytes)
{
    const int64_t until_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    while (bytes.len > 0) {
        size_t n = h1_say_some(peer, bytes);
        bytes = str_from(bytes, n);
        if (n == 0 && clock_monotonic_ns() > until_ns)
            fail_msg("%zu bytes were not taken", bytes.len);
        if (n == 0)
            move_or_wait();
    }
}

// The proxy ends the connection. Whether by a reset.
static inline bool h1_hear_end(struct peer *peer)
{
    char byte;
    ssize_t n;
    UNTIL((n = recv(peer->fd, &byte, 1, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
    if (n > 0)
        fail_msg("no end, but '%c'", byte);
    return n < 0;
}

// ---- the gate ----

// "/" leads to `protocol` at the gate's endpoint, "/two" to the other address where one is set.
static struct {
    uint8_t protocol;
    uint32_t streams_max, requests_max;
    struct address two;
    uint8_t two_protocol;
} plan;

static inline void add_cluster(struct snapshot_builder *builder, struct builder_vhost *vhost,
                               const char *path, const struct address *endpoint, uint8_t protocol,
                               const struct gate *gate)
{
    struct arena *arena = builder_arena(builder);
    bool is_new;
    struct str name = arena_printf(arena, "outbound|80||at-%u-%u", endpoint->port, protocol);
    struct cluster *cluster = builder_cluster(builder, name, &is_new);
    cluster->protocol = protocol;
    cluster->concurrent_streams_max = plan.streams_max;
    cluster->requests_per_connection_max = plan.requests_max;
    builder_add_endpoint(builder, cluster, endpoint, 1);
    struct target *target = ARENA_NEW(arena, struct target);
    *target = (struct target){.cluster = cluster, .weight = 1};
    struct route route = {.path_kind = PATH_PREFIX_STRING,
                          .path = str_of(path),
                          .action = ROUTE_FORWARD,
                          .n_targets = 1,
                          .targets = target,
                          .total_weight = 1,
                          .timeout_ms = gate->route_timeout_ms,
                          .body_bytes_max = gate->body_bytes_max};
    builder_add_route(vhost, &route);
}

static inline struct snapshot *build_plan(struct gate *gate, const struct address *endpoint)
{
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct address bind;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_HTTP, &bind, 80, STR("test.yaml:1:1"));
    struct builder_vhost *vhost =
        builder_vhost(builder_listener_hosts(listener), STR("a.example"), false);
    struct route direct = {.path_kind = PATH_PREFIX_STRING,
                           .path = STR("/direct"),
                           .action = ROUTE_RESPOND,
                           .status = 200,
                           .body = STR("here")};
    builder_add_route(vhost, &direct);
    if (plan.two.port)
        add_cluster(builder, vhost, "/two", &plan.two, plan.two_protocol, gate);
    add_cluster(builder, vhost, "/", endpoint, plan.protocol, gate);
    return builder_seal(&builder, ++gate->generation);
}

static inline void open_gate_to(struct gate *gate, uint8_t protocol)
{
    plan.protocol = protocol;
    gate->build = build_plan;
    open_gate(gate);
}

static inline int set_up_h2(void **state)
{
    memset(&party, 0, sizeof party);
    memset(&plan, 0, sizeof plan);
    return set_up(state);
}

static inline int tear_down_h2(void **state)
{
    for (unsigned i = 0; i < PARTY_MAX; i++)
        if (party.items[i])
            h2_hang_up(party.items[i]);
    return tear_down(state);
}

// Large bodies: `pattern()` again and again.
static inline struct str large_body(size_t n)
{
    static char bytes[24 * 1024 * 1024];
    assert_true(n <= sizeof bytes);
    if (memcmp(bytes, pattern(), 100) != 0)
        for (size_t at = 0, part; at < sizeof bytes; at += part) {
            part = sizeof bytes - at < PATTERN_BYTES ? sizeof bytes - at : PATTERN_BYTES;
            memcpy(bytes + at, pattern(), part);
        }
    return (struct str){bytes, n};
}
