// SPDX-License-Identifier: Apache-2.0
// What comes before HTTP or TCP on a client's connection: a PROXY header, the ClientHello, whose
// name chooses a filter chain, and the handshake. One deadline for all of it, set where the
// connection is accepted; each part has its limit.
#include "proxy/greeting.h"
#include "proxy/proxy_protocol.h"
#include <stdlib.h>

// ---- what becomes of a connection that is not greeted ----

void greeting_refuse(struct downstream *down, const struct refusal *refusal)
{
    stream_log_refused(down, refusal);
    downstream_close(down);
}

static void refuse_malformed(struct downstream *down, struct str details)
{
    WORKER_COUNT(down->worker, PROTOCOL_ERRORS, 1);
    greeting_refuse(down, &(struct refusal){.flags = FLAG_BIT(DPE), .details = details});
}

void greeting_refuse_unserved(struct downstream *down)
{
    greeting_refuse(
        down, &(struct refusal){.flags = FLAG_BIT(NR), .details = STR("filter_chain_not_found")});
}

static void refuse_handshake(struct downstream *down, struct str failure, struct str termination)
{
    WORKER_COUNT(down->worker, TLS_HANDSHAKE_FAILURES, 1);
    greeting_refuse(down, &(struct refusal){.failure = failure, .termination = termination});
}

// Load balancers look whether the port is open: who leaves without a word is not worth a line.
static bool has_said_nothing(const struct downstream *down)
{
    return down->greeting->step != GREET_HANDSHAKE && down->rx_off == down->rx_end;
}

void greeting_left(struct downstream *down)
{
    if (has_said_nothing(down))
        downstream_close(down);
    else if (down->greeting->step == GREET_PROXY)
        refuse_malformed(down, STR("proxy_header_incomplete"));
    else
        refuse_handshake(down, STR("closed by the client in the handshake"), STR_NONE);
}

void downstream_on_greeting_timeout(struct downstream *down)
{
    static const struct str reason = {"transport_socket_timeout", 24};
    if (down->greeting->step == GREET_LOOK && downstream_on_look_timeout(down))
        return;
    if (has_said_nothing(down))
        downstream_close(down);
    else if (down->greeting->step == GREET_PROXY)
        refuse_malformed(down, STR("proxy_header_timeout"));
    else
        refuse_handshake(down, STR("handshake timeout"), reason);
}

// ---- chains ----

static const struct filter_chain *find_chain(const struct downstream *down)
{
    const struct listener *listener = worker_listener(down->worker, down->listener_slot);
    if (!listener || !listener->sni)
        return NULL;
    const struct vhost *entry = host_table_find(listener->sni, str_of(down->sni));
    return entry ? entry->chain : NULL;
}

// The certificate that the client gave was asked for under rules that may have changed since: it
// is asked again on its next connection. One that was asked for none is none that may go on.
static const struct filter_chain *check_client_auth(struct downstream *down,
                                                    const struct filter_chain *chain)
{
    const struct tls_context *context = sock_tls_context(&down->sock);
    if (context == chain->tls || !tls_context_asks_client(chain->tls))
        return chain;
    down->close_after = true;
    return tls_context_asks_client(context) ? chain : NULL;
}

const struct filter_chain *downstream_chain(struct downstream *down)
{
    if (!down->sock.tls)
        return NULL;
    uint64_t generation = down->worker->hold->snapshot->generation;
    if (down->chain_generation == generation)
        return down->chain;
    const struct filter_chain *chain = find_chain(down);
    down->chain_generation = generation;
    down->chain = chain && chain->tls ? check_client_auth(down, chain) : NULL;
    return down->chain;
}

// ---- the steps; true: go on ----

ssize_t greeting_read(struct downstream *down)
{
    if (!down->sock.readable)
        return -EAGAIN;
    if (!downstream_make_room(down)) // cannot be: all limits are below the buffer's size
        return -ENOBUFS;
    ssize_t n = sock_recv(&down->sock, down->rx + down->rx_end, down->rx_cap - down->rx_end);
    if (n > 0) {
        WORKER_COUNT(down->worker, DOWNSTREAM_BYTES_RECEIVED, n);
        down->rx_end += (uint32_t)n;
    }
    return n;
}

// True: bytes came; false: wait, or the connection is gone.
static bool read_more(struct downstream *down)
{
    ssize_t n = greeting_read(down);
    if (n <= 0 && n != -EAGAIN)
        greeting_left(down);
    return n > 0;
}

static bool step_proxy(struct downstream *down)
{
    struct proxy_header header;
    switch (proxy_header_read(&header, greeting_unread(down))) {
    case PROXY_HEADER_MORE:
        return read_more(down);
    case PROXY_HEADER_BAD:
        refuse_malformed(down, STR("proxy_header_malformed"));
        return false;
    case PROXY_HEADER_DONE:
        break;
    }
    if (header.source.family) {
        down->remote = header.source;
        down->local = header.destination;
    }
    down->rx_off += header.len;
    if (down->greeting->is_tls) {
        down->greeting->step = GREET_HELLO;
        return true;
    }
    const struct listener *listener = worker_listener(down->worker, down->listener_slot);
    downstream_drop_greeting(down);
    if (!listener)
        greeting_refuse_unserved(down);
    else if (listener->kind == LISTENER_TCP)
        downstream_begin_tcp(down, listener, &listener->tcp, greeting_unread(down));
    else
        downstream_begin_http(down);
    return false;
}

void greeting_keep_name(struct downstream *down, const struct client_hello *hello)
{
    if (hello->name_len == 0)
        return;
    down->sni = malloc((size_t)hello->name_len + 1);
    CHECK(down->sni != NULL);
    memcpy(down->sni, hello->name, hello->name_len);
    down->sni[hello->name_len] = '\0';
}

static bool step_hello(struct downstream *down)
{
    struct client_hello hello;
    enum client_hello_status status = client_hello_read(&hello, greeting_unread(down));
    if (status == CLIENT_HELLO_MORE)
        return read_more(down);
    if (status != CLIENT_HELLO_DONE) {
        refuse_malformed(down, status == CLIENT_HELLO_LARGE ? STR("client_hello_too_large")
                                                            : STR("client_hello_malformed"));
        return false;
    }
    greeting_keep_name(down, &hello);
    const struct filter_chain *chain = find_chain(down);
    if (!chain) {
        greeting_refuse_unserved(down);
        return false;
    }
    if (chain->tls) {
        sock_accept_tls(&down->sock, chain->tls, greeting_unread(down));
        downstream_drop_rx(down);
        down->greeting->step = GREET_HANDSHAKE;
        return true;
    }
    const struct listener *listener = worker_listener(down->worker, down->listener_slot);
    downstream_drop_greeting(down);
    downstream_begin_tcp(down, listener, &chain->tcp, greeting_unread(down));
    return false;
}

static void begin_decrypted(struct downstream *down)
{
    const struct filter_chain *chain = downstream_chain(down); // found anew: as it is served now
    downstream_drop_greeting(down);
    if (!chain)
        greeting_refuse_unserved(down);
    else if (chain->is_http)
        downstream_begin_http(down);
    else
        downstream_begin_tcp(down, worker_listener(down->worker, down->listener_slot), &chain->tcp,
                             STR_NONE);
}

static bool step_handshake(struct downstream *down)
{
    struct tls_conn *conn = sock_tls_conn(&down->sock);
    switch (sock_handshake(&down->sock)) {
    case TLS_AGAIN:
        if (down->sock.failed)
            greeting_left(down);
        return false;
    case TLS_CLOSED:
        greeting_left(down);
        return false;
    case TLS_FAILED:
        refuse_handshake(down, tls_failure(conn), STR_NONE);
        return false;
    case TLS_DONE:
        break;
    }
    WORKER_COUNT(down->worker, TLS_HANDSHAKES, 1);
    if (tls_is_resumed(conn))
        WORKER_COUNT(down->worker, TLS_HANDSHAKES_RESUMED, 1);
    begin_decrypted(down);
    return false;
}

// ---- the doors ----

void greeting_begin(struct downstream *down, const struct greeting *from)
{
    struct greeting *greeting = malloc(sizeof *greeting);
    CHECK(greeting != NULL);
    *greeting = *from;
    down->greeting = greeting;
}

void downstream_greet(struct downstream *down, const struct listener *listener)
{
    greeting_begin(down,
                   &(struct greeting){.step = listener->accepts_proxy ? GREET_PROXY : GREET_HELLO,
                                      .is_tls = listener->kind == LISTENER_TLS});
}

void downstream_on_greeting(struct downstream *down)
{
    static bool (*const steps[])(struct downstream *) = {
        [GREET_PROXY] = step_proxy,
        [GREET_HELLO] = step_hello,
        [GREET_HANDSHAKE] = step_handshake,
        [GREET_LOOK] = downstream_step_look,
    };
    if (down->sock.failed) {
        greeting_left(down);
        return;
    }
    while (steps[down->greeting->step](down)) {
    }
}

void downstream_drop_greeting(struct downstream *down)
{
    free(down->greeting);
    down->greeting = NULL;
}
