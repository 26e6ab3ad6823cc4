// SPDX-License-Identifier: Apache-2.0
// The data plane in conversations: a real proxy with one worker between a client and an endpoint
// that are both played here, over sockets on 127.0.0.1. Every wait is for a socket and has an end.
#include "proxy/access_log.h"
#pragma once
#include "proxy/proxy.h"
#include "route/builder.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_S = 30, PEER_BYTES = 1 << 20 };

struct peer { // one side of a conversation: a socket and what it sent that was not looked at yet
    int fd;
    size_t len;
    char *data;
    // In the place of send(2) and recv(2), as these; NULL: these.
    ssize_t (*send)(struct peer *peer, const void *data, size_t len);
    ssize_t (*recv)(struct peer *peer, void *data, size_t cap);
    void (*close)(struct peer *peer);
    void *arg;
};

struct gate {
    struct loop loop;
    struct registry *registry;
    struct proxy_options options;
    struct proxy *proxy;
    struct arena *arena;
    struct access_log *log;
    char log_path[64];
    const char *log_format; // NULL: see open_gate()
    int endpoint; // listens
    struct address endpoint_address, address;
    uint64_t generation;
    uint32_t route_timeout_ms;
    uint64_t body_bytes_max;
    enum listener_kind kind;
    bool accepts_proxy;
    uint8_t proxy_protocol;           // towards the endpoint
    const struct subnet *destination; // of TCP; NULL: every one
    struct snapshot *(*build)(struct gate *gate, const struct address *endpoint); // NULL: build()
    uint32_t tcp_idle_timeout_ms; // of the cluster
    bool has_no_cluster;
    bool is_drained;
};

// ---- sockets ----

static inline void set_deadline(int fd)
{
    struct timeval wait = {.tv_sec = WAIT_S};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait), 0);
}

static inline struct peer *peer_of(int fd)
{
    assert_true(fd >= 0);
    set_deadline(fd);
    struct peer *peer = calloc(1, sizeof *peer);
    peer->fd = fd;
    peer->data = malloc(PEER_BYTES);
    assert_non_null(peer->data);
    return peer;
}

static inline int listen_anywhere(struct address *ret_address)
{
    struct sockaddr_in sockaddr = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sockaddr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sockaddr, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &len), 0);
    assert_true(address_from_sockaddr((struct sockaddr *)&sockaddr, ret_address));
    set_deadline(fd);
    return fd;
}

static inline struct peer *connect_to_gate(struct gate *gate)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(&gate->address, &sockaddr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, len), 0);
    return peer_of(fd);
}

static inline struct peer *accept_from_gate(struct gate *gate)
{
    return peer_of(accept(gate->endpoint, NULL, NULL));
}

static inline void hang_up(struct peer *peer)
{
    if (peer->close)
        peer->close(peer);
    close(peer->fd);
    free(peer->data);
    free(peer);
}

static inline void reset(struct peer *peer)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    hang_up(peer);
}

static inline void say_bytes(struct peer *peer, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = peer->send ? peer->send(peer, data, len)
                               : send(peer->fd, data, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        data += n;
        len -= (size_t)n;
    }
}

static inline void say(struct peer *peer, const char *text)
{
    say_bytes(peer, text, strlen(text));
}

static inline void say_many(struct peer *peer, char c, size_t n)
{
    char *bytes = malloc(n);
    memset(bytes, c, n);
    say_bytes(peer, bytes, n);
    free(bytes);
}

// > 0: bytes came; 0: the peer ended; -1: reset.
static inline int hear_more(struct peer *peer)
{
    assert_true(peer->len < PEER_BYTES - 1);
    size_t room = PEER_BYTES - 1 - peer->len;
    ssize_t n = peer->recv ? peer->recv(peer, peer->data + peer->len, room)
                           : recv(peer->fd, peer->data + peer->len, room, 0);
    if (n < 0 && errno != ECONNRESET)
        fail_msg("waited in vain behind: %.*s", (int)peer->len, peer->data);
    if (n > 0)
        peer->len += (size_t)n;
    peer->data[peer->len] = '\0';
    return n < 0 ? -1 : n > 0;
}

static inline void forget(struct peer *peer, size_t n)
{
    peer->len -= n;
    memmove(peer->data, peer->data + n, peer->len + 1);
}

// The next bytes are these.
static inline void hear(struct peer *peer, const char *text)
{
    size_t len = strlen(text);
    while (peer->len < len)
        if (hear_more(peer) <= 0)
            fail_msg("ended behind \"%.*s\" in the place of \"%s\"", (int)peer->len, peer->data,
                     text);
    if (memcmp(peer->data, text, len) != 0)
        fail_msg("\"%.*s\" in the place of \"%s\"", (int)peer->len, peer->data, text);
    forget(peer, len);
}

static inline void hear_many(struct peer *peer, char c, size_t n)
{
    while (n > 0) {
        while (peer->len == 0)
            assert_int_equal(hear_more(peer), 1);
        size_t part = peer->len < n ? peer->len : n;
        for (size_t i = 0; i < part; i++)
            assert_int_equal(peer->data[i], c);
        forget(peer, part);
        n -= part;
    }
}

// The next head, up to its empty line; good until the next call.
static const char *hear_head(struct peer *peer)
{
    static char head[PEER_BYTES];
    const char *end;
    while (peer->len == 0 || !(end = strstr(peer->data, "\r\n\r\n")))
        if (hear_more(peer) <= 0)
            fail_msg("ended in a head: \"%.*s\"", (int)peer->len, peer->data);
    size_t len = (size_t)(end - peer->data) + 4;
    memcpy(head, peer->data, len);
    head[len] = '\0';
    forget(peer, len);
    return head;
}

static inline void hear_status(struct peer *peer, unsigned status)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    const char *head = hear_head(peer);
    if (strncmp(head, line, strlen(line)) != 0)
        fail_msg("not %u: %.100s", status, head ? head : "");
}

// A response of ours or the endpoint's, with a body of known length, which is dropped.
static inline void hear_whole_response(struct peer *peer, unsigned status)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    const char *head = hear_head(peer);
    if (strncmp(head, line, strlen(line)) != 0)
        fail_msg("not %u: %.100s", status, head ? head : "");
    const char *length = strstr(head, "content-length: ");
    assert_non_null(length);
    size_t len = strtoul(length + 16, NULL, 10);
    while (peer->len < len)
        assert_int_equal(hear_more(peer), 1);
    forget(peer, len);
}

static inline void hear_end(struct peer *peer)
{
    if (peer->len > 0 || hear_more(peer) != 0)
        fail_msg("no end, but \"%.*s\"", (int)peer->len, peer->data);
}

static inline void hear_reset(struct peer *peer)
{
    int more;
    while ((more = hear_more(peer)) > 0) {
    }
    assert_int_equal(more, -1);
}

// ---- the gate ----

static inline struct snapshot *build(struct gate *gate, const struct address *endpoint)
{
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct arena *arena = builder_arena(builder);
    struct address bind;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    struct builder_listener *listener =
        builder_listener(builder, gate->kind, &bind, 80, STR("test.yaml:1:1"));
    struct target *target = ARENA_NEW(arena, struct target);
    if (!gate->has_no_cluster) {
        bool is_new;
        // A name for each endpoint: so each has its own slot.
        struct str name = arena_printf(arena, "outbound|80||at-%u", endpoint->port);
        struct cluster *cluster = builder_cluster(builder, name, &is_new);
        cluster->proxy_protocol = gate->proxy_protocol;
        cluster->tcp_idle_timeout_ms = gate->tcp_idle_timeout_ms;
        builder_add_endpoint(builder, cluster, endpoint, 1);
        *target = (struct target){.cluster = cluster, .weight = 1};
        if (gate->kind == LISTENER_TCP)
            builder_add_tcp_route(listener,
                                  &(struct tcp_route){.name = STR("tcp-route"),
                                                      .destinations = gate->destination,
                                                      .n_destinations = gate->destination != NULL,
                                                      .n_targets = 1,
                                                      .targets = target,
                                                      .total_weight = 1});
    }
    if (gate->accepts_proxy)
        builder_listener_accept_proxy(listener);
    if (gate->kind == LISTENER_HTTP) {
        struct builder_vhost *vhost =
            builder_vhost(builder_listener_hosts(listener), STR("a.example"), false);
        struct route route = {.path_kind = PATH_PREFIX_STRING,
                              .path = STR("/"),
                              .action = gate->has_no_cluster ? ROUTE_RESPOND : ROUTE_FORWARD,
                              .status = 200,
                              .body = STR("here"),
                              .n_targets = !gate->has_no_cluster,
                              .targets = target,
                              .total_weight = 1,
                              .timeout_ms = gate->route_timeout_ms,
                              .body_bytes_max = gate->body_bytes_max};
        builder_add_route(vhost, &route);
    }
    return builder_seal(&builder, ++gate->generation);
}

static inline void publish(struct gate *gate, const struct address *endpoint)
{
    struct snapshot *snapshot = gate->build ? gate->build(gate, endpoint) : build(gate, endpoint);
    struct buf errors = {0};
    if (proxy_publish(gate->proxy, &snapshot, &errors) > 0)
        fail_msg("%s", errors.data);
    buf_fini(&errors);
}

static inline void open_gate(struct gate *gate)
{
    struct buf text = {0};
    struct format_error error;
    gate->options.access_log = gate->log = access_log_open(gate->log_path, gate->options.n_workers, &text);
    assert_non_null(gate->log);
    gate->options.access_log_format =
        format_parse(gate->arena,
                     gate->log_format ? str_of(gate->log_format)
                                      : STR("%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% "
                                            "%RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% "
                                            "%UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"),
                     0, &error);
    assert_non_null(gate->options.access_log_format);
    gate->proxy = proxy_create(&gate->options, &gate->loop);
    publish(gate, &gate->endpoint_address);
    proxy_describe_listeners(gate->proxy, &text);
    const char *address = strchr(text.data, ' ') + 1;
    assert_true(address_parse(str_of(address), &gate->address));
    buf_fini(&text);
}

static inline int set_up(void **state)
{
    struct gate *gate = calloc(1, sizeof *gate);
    assert_non_null(gate);
    loop_init(&gate->loop);
    gate->registry = registry_create();
    gate->arena = arena_create(0);
    gate->endpoint = listen_anywhere(&gate->endpoint_address);
    proxy_options_default(&gate->options);
    gate->options.linger_timeout_ms = 100;
    snprintf(gate->log_path, sizeof gate->log_path, "/tmp/sluicegate-proxy-XXXXXX");
    close(mkstemp(gate->log_path));
    *state = gate;
    return 0;
}

static inline uint64_t counter(struct gate *gate, enum proxy_counter id)
{
    uint64_t counters[PROXY_COUNTER_COUNT];
    proxy_counters(gate->proxy, counters);
    return counters[id];
}

static inline void wait_for_counter(struct gate *gate, enum proxy_counter id, uint64_t value)
{
    for (int turns = 0; counter(gate, id) != value; turns++) {
        if (turns > WAIT_S * 200)
            fail_msg("counter %d is %llu, not %llu", id, (unsigned long long)counter(gate, id),
                     (unsigned long long)value);
        loop_turn(&gate->loop, 5);
    }
}

// When the peers are gone nothing must be left: what is counted up is counted down.
static inline void wait_until_quiet(struct gate *gate)
{
    wait_for_counter(gate, PROXY_COUNTER_CONNECTIONS_ACTIVE, 0);
    wait_for_counter(gate, PROXY_COUNTER_REQUESTS_ACTIVE, 0);
    wait_for_counter(gate, PROXY_COUNTER_TUNNELS_ACTIVE, 0);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 0);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 0);
}

static inline void close_gate(struct gate *gate)
{
    proxy_destroy(gate->proxy);
    access_log_close(gate->log);
    gate->proxy = NULL;
    gate->log = NULL;
}

static inline int tear_down(void **state)
{
    struct gate *gate = *state;
    if (gate->proxy)
        close_gate(gate);
    unlink(gate->log_path);
    close(gate->endpoint);
    registry_destroy(gate->registry);
    arena_destroy(gate->arena);
    loop_fini(&gate->loop);
    free(gate);
    return 0;
}

// The whole log, once all is over.
static inline void expect_log(struct gate *gate, const char *expected)
{
    char text[65536];
    close_gate(gate);
    FILE *file = fopen(gate->log_path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static const char get[] = "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
static const char ok[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
