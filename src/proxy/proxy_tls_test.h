// SPDX-License-Identifier: Apache-2.0
// For tests of TLS: certificates, a gate with a TLS listener, clients that speak TLS.
#pragma once
#define set_up set_up_certificates
#define tear_down tear_down_certificates
#include "tls/tls_test.h"
#undef set_up
#undef tear_down
#include "proxy/proxy_test.h"
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>

// ---- the gate: one TLS listener, its names and what is behind them ----

static struct {
    struct tls_context *server, *newer, *asking;
    struct tls_context *client, *old_client, *known_client; // 1.2 only; with a certificate
} contexts;

// What the next snapshot is to be like, beside the usual names.
static struct {
    bool has_default;            // "*"
    bool is_gone;                // a.example.com
    bool is_tcp;                 // ... is TCP, decrypted
    struct tls_context *context; // ... of it; NULL: the usual
    struct filter_chain certs;   // ... what is told of certificates
    bool is_ingress;
} wishes;

struct building {
    struct snapshot_builder *builder;
    struct builder_listener *listener;
    struct target *target;
};

static inline struct builder_hosts *add_hosts(struct building *building)
{
    struct builder_hosts *hosts = builder_hosts(building->builder);
    struct builder_vhost *vhost = builder_vhost(hosts, STR("*"), false);
    struct route route = {.path_kind = PATH_PREFIX_STRING,
                          .path = STR("/"),
                          .action = ROUTE_FORWARD,
                          .is_ingress = wishes.is_ingress,
                          .n_targets = 1,
                          .targets = building->target,
                          .total_weight = 1};
    builder_add_route(vhost, &route);
    return hosts;
}

static inline void add_chain(struct building *building, const char *name, struct tls_context *tls,
                             bool is_http)
{
    struct filter_chain facts = wishes.certs;
    facts.name = str_of(name);
    facts.tls = tls;
    facts.is_http = is_http;
    struct builder_chain *chain =
        builder_chain(building->listener, &facts, is_http ? add_hosts(building) : NULL);
    if (!is_http)
        builder_chain_add_tcp_route(
            chain,
            &(struct tcp_route){.n_targets = 1, .targets = building->target, .total_weight = 1});
    assert_null(builder_chain_add_name(chain, str_of(name), false));
}

static inline struct snapshot *build_tls(struct gate *gate, const struct address *endpoint)
{
    struct building building = {.builder = builder_create(gate->registry)};
    struct address bind;
    bool is_new;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    building.listener =
        builder_listener(building.builder, LISTENER_TLS, &bind, 443, STR("test.yaml:1:1"));
    if (gate->accepts_proxy)
        builder_listener_accept_proxy(building.listener);
    struct cluster *cluster = builder_cluster(building.builder, STR("cluster"), &is_new);
    builder_add_endpoint(building.builder, cluster, endpoint, 1);
    building.target = ARENA_NEW(builder_arena(building.builder), struct target);
    *building.target = (struct target){.cluster = cluster, .weight = 1};
    if (!wishes.is_gone)
        add_chain(&building, "a.example.com", wishes.context ? wishes.context : contexts.server,
                  !wishes.is_tcp);
    add_chain(&building, "*.wild.example.com", contexts.newer, true);
    add_chain(&building, "tcp.wild.example.com", contexts.server, false);
    add_chain(&building, "through.example.com", NULL, false);
    if (wishes.has_default)
        add_chain(&building, "*", contexts.server, true);
    return builder_seal(&building.builder, ++gate->generation);
}

static inline int set_up_tls(void **state)
{
    memset(&wishes, 0, sizeof wishes);
    set_up(state);
    struct gate *gate = *state;
    gate->build = build_tls;
    return 0;
}

static inline int set_up_contexts(void **state)
{
    set_up_certificates(state);
    struct tls_pair server = pair_of(&fixture.server);
    struct tls_server_config serve = server_config(&server, 1);
    serve.offers_h2 = false;
    contexts.server = must_serve(serve);
    serve.identity = STR("newer");
    serve.common.version_min = TLS_VERSION_1_3;
    contexts.newer = must_serve(serve);
    serve.identity = STR("asking");
    serve.common.version_min = 0;
    serve.common.ca_pem = buf_str(&fixture.authority.certificate_pem);
    serve.client_auth = TLS_CLIENT_OPTIONAL_NO_CA;
    contexts.asking = must_serve(serve);
    struct tls_client_config call = client_config();
    contexts.client = must_call(call);
    call.pair = pair_of(&fixture.client);
    contexts.known_client = must_call(call);
    call.pair = (struct tls_pair){0};
    call.common.version_max = TLS_VERSION_1_2;
    contexts.old_client = must_call(call);
    return 0;
}

static inline int tear_down_contexts(void **state)
{
    struct tls_context **all = &contexts.server;
    for (size_t i = 0; i < sizeof contexts / sizeof *all; i++)
        tls_context_unref(all[i]);
    return tear_down_certificates(state);
}

// ---- clients ----

struct tls_end {
    struct tls_io io;
    struct tls_conn *conn;
    int fd;
    size_t piece; // most that one send may take; 0: all
    size_t n_sent;
};

static inline ssize_t end_recv(struct tls_io *io, void *data, size_t cap)
{
    struct tls_end *end = (struct tls_end *)io;
    ssize_t n = recv(end->fd, data, cap, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static inline ssize_t end_send(struct tls_io *io, const void *data, size_t len)
{
    struct tls_end *end = (struct tls_end *)io;
    size_t piece = end->piece ? end->piece : len;
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        if (send(end->fd, (const char *)data + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            return at ? (ssize_t)at : -errno;
    }
    end->n_sent += len;
    return (ssize_t)len;
}

static inline void await(int fd, short what)
{
    struct pollfd wait = {fd, what, 0};
    if (poll(&wait, 1, WAIT_S * 1000) <= 0)
        fail_msg("waited in vain");
}

static inline ssize_t secret_send(struct peer *peer, const void *data, size_t len)
{
    struct tls_end *end = peer->arg;
    return tls_send(end->conn, data, len < TLS_SEND_MAX ? len : TLS_SEND_MAX);
}

// -1 with ECONNRESET: the end was no close_notify.
static inline ssize_t secret_recv(struct peer *peer, void *data, size_t cap)
{
    struct tls_end *end = peer->arg;
    ssize_t n;
    while ((n = tls_recv(end->conn, data, cap)) == -EAGAIN)
        await(end->fd, POLLIN);
    if (n >= 0)
        return n;
    errno = ECONNRESET;
    return -1;
}

static inline void secret_close(struct peer *peer)
{
    struct tls_end *end = peer->arg;
    tls_free(end->conn);
    free(end);
}

static inline struct tls_conn *conn_of_peer(struct peer *peer)
{
    return ((struct tls_end *)peer->arg)->conn;
}

static inline struct peer *begin_secret(struct peer *peer, struct tls_context *context,
                                        const char *name, struct tls_session *session)
{
    struct tls_end *end = calloc(1, sizeof *end);
    end->io = (struct tls_io){.recv = end_recv, .send = end_send};
    end->fd = peer->fd;
    end->conn = tls_connect(context, &end->io, str_of(name), session);
    peer->arg = end;
    peer->send = secret_send;
    peer->recv = secret_recv;
    peer->close = secret_close;
    return peer;
}

static inline enum tls_status shake(struct peer *peer)
{
    struct tls_end *end = peer->arg;
    enum tls_status status;
    while ((status = tls_handshake(end->conn)) == TLS_AGAIN)
        await(end->fd, POLLIN);
    return status;
}

static inline struct peer *connect_secretly(struct gate *gate, struct tls_context *context,
                                            const char *name)
{
    struct peer *peer = begin_secret(connect_to_gate(gate), context, name, NULL);
    if (shake(peer) != TLS_DONE)
        fail_msg("no handshake: %.*s", STR_ARG(tls_failure(conn_of_peer(peer))));
    return peer;
}

static inline void say_goodbye(struct peer *peer) // close_notify
{
    tls_shutdown(conn_of_peer(peer));
}
