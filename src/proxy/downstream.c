// SPDX-License-Identifier: Apache-2.0
// A client's connection: idle, reading a head, busy with a stream, lingering. It owns its receive
// buffer only while something is in it.
#include "proxy/h2_session.h"
#include <stdlib.h>

static const uint32_t events_watched = SOCK_EVENTS;

static void read_heads(struct downstream *down);

static void arm(struct downstream *down, uint32_t timeout_ms)
{
    timer_arm(&down->worker->loop.wheel, &down->timer, down->worker->loop.now_ms + timeout_ms);
}

// Others have their turn: setting the watch anew makes the kernel report once more what is ready.
static void come_back(struct downstream *down)
{
    loop_change(&down->worker->loop, &down->sock.watch, events_watched);
}

// ---- buffers ----

void downstream_drop_rx(struct downstream *down)
{
    if (!down->rx)
        return;
    pool_give(down->rx_cap == BUFFER_SMALL_BYTES ? &down->worker->small : &down->worker->large,
              down->rx);
    down->rx = NULL;
    down->rx_cap = down->rx_off = down->rx_end = 0;
    down->scanned = 0;
}

bool downstream_make_room(struct downstream *down)
{
    struct worker *worker = down->worker;
    if (!down->rx) {
        down->rx = pool_take(&worker->small);
        down->rx_cap = BUFFER_SMALL_BYTES;
        down->rx_off = down->rx_end = 0;
    } else if (down->rx_off > 0) {
        memmove(down->rx, down->rx + down->rx_off, down->rx_end - down->rx_off);
        down->rx_end -= down->rx_off;
        down->rx_off = 0;
    }
    if (down->rx_end < down->rx_cap)
        return true;
    if (down->rx_cap == BUFFER_LARGE_BYTES)
        return false;
    char *large = pool_take(&worker->large);
    memcpy(large, down->rx, down->rx_end);
    pool_give(&worker->small, down->rx);
    down->rx = large;
    down->rx_cap = BUFFER_LARGE_BYTES;
    return true;
}

// ---- sending ----

// Appends to tx what the socket did not take.
static void keep_rest(struct downstream *down, struct str rest)
{
    uint32_t held = down->tx_end - down->tx_off;
    char *tx = malloc(held + rest.len);
    CHECK(tx != NULL);
    if (held > 0)
        memcpy(tx, down->tx + down->tx_off, held);
    memcpy(tx + held, rest.ptr, rest.len);
    free(down->tx);
    down->tx = tx;
    down->tx_off = 0;
    down->tx_end = held + (uint32_t)rest.len;
}

bool downstream_send(struct downstream *down, struct str head, struct str body,
                     size_t *ret_body_sent)
{
    *ret_body_sent = 0;
    ssize_t n;
    if (!down->sock.writable || down->tx)
        n = -EAGAIN;
    else if (body.len == 0)
        n = sock_send(&down->sock, head.ptr, head.len);
    else
        n = sock_send2(&down->sock, head, body);
    if (n == -EAGAIN)
        n = 0;
    if (n < 0)
        return false;
    WORKER_COUNT(down->worker, DOWNSTREAM_BYTES_SENT, n);
    if ((size_t)n < head.len)
        keep_rest(down, str_from(head, (size_t)n));
    else
        *ret_body_sent = (size_t)n - head.len;
    return true;
}

bool downstream_send_all(struct downstream *down, struct str data)
{
    size_t ignored;
    return downstream_send(down, data, STR_NONE, &ignored);
}

bool downstream_flush(struct downstream *down)
{
    if (!down->tx || !down->sock.writable)
        return true;
    ssize_t n = sock_send(&down->sock, down->tx + down->tx_off, down->tx_end - down->tx_off);
    if (n == -EAGAIN)
        return true;
    if (n < 0)
        return false;
    WORKER_COUNT(down->worker, DOWNSTREAM_BYTES_SENT, n);
    down->tx_off += (uint32_t)n;
    if (down->tx_off == down->tx_end) {
        free(down->tx);
        down->tx = NULL;
        down->tx_off = down->tx_end = 0;
    }
    return true;
}

// ---- states ----

static void go_idle(struct downstream *down)
{
    downstream_drop_rx(down);
    sock_rest(&down->sock);
    down->state = DOWN_IDLE;
    arm(down, proxy_get_options(down->worker->proxy)->keepalive_timeout_ms);
}

void downstream_close(struct downstream *down)
{
    struct worker *worker = down->worker;
    if (down->stream) {
        struct stream *stream = down->stream;
        stream_abort(stream);
        down->stream = NULL;
    }
    if (down->h2)
        h2_downstream_abort(down);
    timer_disarm(&worker->loop.wheel, &down->timer);
    loop_forget(&worker->loop, &down->sock.watch);
    sock_close(&down->sock);
    downstream_drop_greeting(down);
    downstream_drop_rx(down);
    free(down->sni);
    free(down->tx);
    down->sni = down->tx = NULL;
    list_remove(&down->node);
    list_push_back(&worker->closed, &down->node); // freed at the end of the turn
    down->state = DOWN_CLOSED;
    worker->n_downstreams--;
    WORKER_COUNT(worker, CONNECTIONS_ACTIVE, -1);
    worker_note_drained(worker);
}

void downstream_reset(struct downstream *down)
{
    sock_reset_on_close(&down->sock);
    downstream_close(down);
}

// Nothing is on its way: a client of TLS is told that this is the end and no cut.
static void close_idle(struct downstream *down)
{
    if (down->sock.tls)
        sock_end_sending(&down->sock);
    downstream_close(down);
}

static void run_linger(struct downstream *down)
{
    size_t dropped = 0;
    while (down->sock.readable && !down->sock.failed) {
        if (dropped >= RELAY_BYTES_PER_RUN) {
            come_back(down);
            return;
        }
        ssize_t n = sock_recv(&down->sock, down->worker->scratch, SCRATCH_BYTES);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            downstream_close(down);
            return;
        }
        WORKER_COUNT(down->worker, DOWNSTREAM_BYTES_RECEIVED, n);
        dropped += (size_t)n;
    }
    if (down->sock.failed || down->sock.peer_closed)
        downstream_close(down);
}

// Shuts our side and reads on for a while: closing with bytes unread would reset the connection,
// and a reset can overtake the answer (RFC 9112, 9.6).
void downstream_linger(struct downstream *down)
{
    sock_end_sending(&down->sock);
    downstream_drop_rx(down);
    down->state = DOWN_LINGER;
    arm(down, proxy_get_options(down->worker->proxy)->linger_timeout_ms);
    run_linger(down);
}

void downstream_stream_done(struct downstream *down, bool keep_alive)
{
    down->stream = NULL;
    if (down->sock.failed) {
        downstream_close(down);
        return;
    }
    if (!keep_alive || down->close_after || down->worker->is_draining) {
        downstream_linger(down);
        return;
    }
    down->state = DOWN_HEAD;
    // What was pipelined behind this request is read by downstream_continue(), which whoever ran
    // the stream calls: a loop, so that a long pipeline does not nest.
    if (down->rx_off == down->rx_end && !down->sock.readable)
        go_idle(down);
}

void downstream_drain(struct downstream *down)
{
    if (down->state == DOWN_H2) {
        h2_downstream_drain(down);
        return;
    }
    down->close_after = true;
    if (!downstream_awaits_request(down) &&
        (down->state != DOWN_IDLE || sock_has_unread(&down->sock)))
        return; // a request is here: it is answered
    int64_t age_ms = (down->worker->loop.now_ns - down->accepted_ns) / 1000000;
    if (down->n_requests == 0 && age_ms < DRAIN_GRACE_MS)
        arm(down, (uint32_t)(DRAIN_GRACE_MS - age_ms)); // the first one is on its way
    else
        close_idle(down);
}

// Nothing came of what there was to read.
static void go_back_to_idle(struct downstream *down)
{
    go_idle(down);
    if (down->close_after)
        downstream_drain(down);
}

// ---- heads ----

static void refuse(struct downstream *down, struct stream *stream, enum h1_error error)
{
    WORKER_COUNT(down->worker, PROTOCOL_ERRORS, 1);
    down->stream = stream;
    down->state = DOWN_BUSY;
    stream_refuse(stream, down, error, h1_error_status(error), str_of(h1_error_detail(error)));
}

// Most clients that send FIN while they wait for an answer are gone; a few only ended their side
// and still read. So the answer may go on while the client takes it, but is not awaited for long.
static void note_half_close(struct downstream *down)
{
    struct stream *stream = down->stream;
    if (!stream->request_received || stream->is_tunnel || stream->is_half_closed)
        return;
    stream->is_half_closed = true;
    arm(down, HALF_CLOSE_GRACE_MS);
}

// Part of a head is there. Always false.
static bool await_head(struct downstream *down)
{
    if (down->state == DOWN_HEAD && down->head_begin_ns != 0)
        return false;
    down->state = DOWN_HEAD;
    down->head_begin_ns = down->worker->loop.now_ns;
    arm(down, proxy_get_options(down->worker->proxy)->request_head_timeout_ms);
    return false;
}

// HTTP/2 with prior knowledge begins so (RFC 9113, 3.4): how much of it is there; 0: another thing.
enum { PREFACE_BYTES = 24 };
static size_t match_preface(const struct downstream *down)
{
    const struct tls_conn *conn = sock_tls_conn(&down->sock);
    if (conn && tls_alpn(conn) != TLS_ALPN_NONE)
        return 0; // agreed upon otherwise
    static const char preface[PREFACE_BYTES + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t n = down->rx_end - down->rx_off;
    if (n > PREFACE_BYTES)
        n = PREFACE_BYTES;
    return memcmp(down->rx + down->rx_off, preface, n) == 0 ? n : 0;
}

// Parses one head out of the buffer and runs its request. false: nothing more to do now.
static bool take_head(struct downstream *down)
{
    struct worker *worker = down->worker;
    const struct proxy_options *options = proxy_get_options(worker->proxy);
    struct h1_limits limits = {options->head_bytes_max, options->target_bytes_max,
                               (uint16_t)options->headers_max};
    struct stream *stream = stream_create(worker); // parsed in place: no copy of the head's slices
    size_t scanned = down->scanned, head_len = 0;
    enum h1_error error = H1_ERROR_NONE;
    enum h1_status status =
        h1_parse_request(&stream->req, &limits, down->rx + down->rx_off,
                         down->rx_end - down->rx_off, &scanned, &head_len, &error);
    if (status == H1_MORE) {
        stream_discard(stream);
        down->scanned = (uint32_t)scanned;
        return await_head(down);
    }
    down->scanned = 0;
    down->n_requests++;
    if (status == H1_ERROR) {
        refuse(down, stream, error);
        return false;
    }
    down->state = DOWN_BUSY;
    down->stream = stream;
    arm(down, options->stream_idle_timeout_ms);
    stream_begin(stream, down, (uint32_t)head_len);
    down->head_begin_ns = 0;
    stream_run(stream); // may close `down`: see the caller
    if (down->state == DOWN_BUSY && down->sock.peer_closed)
        note_half_close(down);
    return true;
}

// Reads and serves until the socket is empty or a stream waits. The connection may be gone after.
static void read_heads(struct downstream *down)
{
    struct worker *worker = down->worker;
    unsigned n_requests = 0;
    for (;;) {
        if (down->rx_off < down->rx_end) {
            size_t n_preface = down->n_requests == 0 ? match_preface(down) : 0;
            if (n_preface == PREFACE_BYTES) {
                h2_begin_downstream(down);
                return;
            }
            if (n_requests++ == REQUESTS_PER_EVENT) {
                come_back(down);
                return;
            }
            bool was_whole = n_preface > 0 ? await_head(down) : take_head(down);
            if (down->state != DOWN_HEAD)
                return; // closed, lingering, idle, or busy with a stream that waits
            if (was_whole)
                continue;
        }
        if (!down->sock.readable) {
            if (down->rx_off == down->rx_end)
                go_back_to_idle(down);
            return;
        }
        if (!downstream_make_room(down)) { // cannot be: the head limit is below the buffer's size
            downstream_close(down);
            return;
        }
        ssize_t n = sock_recv(&down->sock, down->rx + down->rx_end, down->rx_cap - down->rx_end);
        if (n == -EAGAIN) {
            if (down->rx_off == down->rx_end)
                go_back_to_idle(down);
            return;
        }
        if (n <= 0) {
            downstream_close(down);
            return;
        }
        WORKER_COUNT(worker, DOWNSTREAM_BYTES_RECEIVED, n);
        down->rx_end += (uint32_t)n;
    }
}

void downstream_continue(struct downstream *down)
{
    if (down->state == DOWN_HEAD)
        read_heads(down);
}

// ---- events ----

static void on_busy_event(struct downstream *down)
{
    struct stream *stream = down->stream;
    if (down->sock.failed) {
        downstream_close(down);
        return;
    }
    if (down->sock.peer_closed)
        note_half_close(down);
    stream_drive(stream);
}

static void on_event(struct watch *watch, uint32_t events)
{
    struct downstream *down = LIST_ENTRY(watch, struct downstream, sock.watch);
    sock_note_events(&down->sock, events);
    switch (down->state) {
    case DOWN_GREETING:
        downstream_on_greeting(down);
        return;
    case DOWN_IDLE:
        if (!down->sock.readable && !down->sock.failed)
            return; // writable: the news of the registration
        down->state = DOWN_HEAD;
        down->head_begin_ns = 0;
        // fall through
    case DOWN_HEAD:
        if (down->sock.failed)
            downstream_close(down);
        else
            read_heads(down);
        return;
    case DOWN_BUSY:
        on_busy_event(down);
        return;
    case DOWN_H2:
        h2_downstream_on_event(down);
        return;
    case DOWN_LINGER:
        run_linger(down);
        return;
    case DOWN_CLOSED:
        return;
    }
}

static void on_timer(struct timer *timer)
{
    struct downstream *down = LIST_ENTRY(timer, struct downstream, timer);
    struct stream *stream;
    switch (down->state) {
    case DOWN_HEAD:
        if (down->rx_off == down->rx_end) {
            downstream_close(down);
            return;
        }
        stream = stream_create(down->worker);
        down->n_requests++;
        down->stream = stream;
        down->state = DOWN_BUSY;
        stream_refuse(stream, down, H1_ERROR_NONE, 408, STR("request_header_timeout"));
        return;
    case DOWN_BUSY:
        stream = down->stream;
        if (stream->is_half_closed)
            downstream_close(down);
        else
            stream_on_idle(stream);
        return;
    case DOWN_GREETING:
        downstream_on_greeting_timeout(down);
        return;
    case DOWN_H2:
        h2_downstream_on_timer(down);
        return;
    case DOWN_IDLE:
        close_idle(down);
        return;
    case DOWN_LINGER:
        downstream_close(down);
        return;
    case DOWN_CLOSED:
        return;
    }
}

void downstream_progress(struct downstream *down, uint32_t timeout_ms)
{
    bool is_grace = down->stream && down->stream->is_half_closed;
    arm(down, is_grace ? HALF_CLOSE_GRACE_MS : timeout_ms);
}

// ---- beginning ----

void downstream_begin_http(struct downstream *down)
{
    const struct tls_conn *conn = sock_tls_conn(&down->sock);
    if (conn && tls_alpn(conn) == TLS_ALPN_H2) {
        h2_begin_downstream(down);
        return;
    }
    if (down->rx_off == down->rx_end && !down->sock.readable) {
        go_back_to_idle(down);
        return;
    }
    down->state = DOWN_HEAD;
    down->head_begin_ns = 0;
    read_heads(down);
}

void downstream_begin_tcp(struct downstream *down, const struct listener *listener,
                          const struct tcp_routes *routes, struct str early)
{
    struct stream *stream = stream_create(down->worker);
    down->is_tcp = true;
    down->state = DOWN_BUSY;
    down->stream = stream;
    stream_begin_tcp(stream, down, listener, routes, early);
    downstream_drop_rx(down);
    stream_drive(stream);
}

void downstream_accept(struct worker *worker, const struct listener *listener, int fd,
                       const struct address *remote)
{
    struct downstream *down = pool_take(&worker->connections);
    *down = (struct downstream){.worker = worker,
                                .listener_slot = listener->slot,
                                .accepted_ns = worker->loop.now_ns,
                                .accepted_wall_ns = worker->loop.wall_ns,
                                .id = worker->next_id++,
                                .remote = *remote,
                                .peer = *remote};
    down->sock.watch = (struct watch){.on_event = on_event, .fd = fd};
    down->sock.writable = true;
    struct sockaddr_storage local;
    socklen_t len = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &len) == 0)
        address_from_sockaddr((struct sockaddr *)&local, &down->local);
    down->own = down->local;
    timer_init(&down->timer, on_timer);
    list_push_back(&worker->downstreams, &down->node);
    worker->n_downstreams++;
    WORKER_COUNT(worker, CONNECTIONS, 1);
    WORKER_COUNT(worker, CONNECTIONS_ACTIVE, 1);
    int error = loop_add(&worker->loop, &down->sock.watch, events_watched);
    if (error < 0) {
        downstream_close(down);
    } else if (listener_is_captured(listener)) {
        downstream_begin_captured(down, listener);
    } else if (listener->accepts_proxy || listener->kind == LISTENER_TLS) {
        down->state = DOWN_GREETING;
        arm(down, proxy_get_options(worker->proxy)->greeting_timeout_ms);
        downstream_greet(down, listener);
    } else if (listener->kind == LISTENER_TCP) {
        downstream_begin_tcp(down, listener, &listener->tcp, STR_NONE);
    } else {
        down->state = DOWN_IDLE;
        arm(down, proxy_get_options(worker->proxy)->keepalive_timeout_ms);
    }
}

void downstream_free_closed(struct worker *worker)
{
    while (!list_empty(&worker->closed)) {
        struct downstream *down = LIST_ENTRY(worker->closed.next, struct downstream, node);
        list_remove(&down->node);
        pool_give(&worker->connections, down);
    }
}
