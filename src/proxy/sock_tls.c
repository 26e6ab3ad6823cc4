// SPDX-License-Identifier: Apache-2.0
// TLS under a sock: whoever reads and writes it sees decrypted bytes only. A sock's `readable` and
// `writable` are about those; the flags here are about the wire.
#include "proxy/worker.h"
#include <stdlib.h>
#include <sys/socket.h>

struct sock_tls {
    struct tls_io io;
    struct sock *sock;                    // owner
    struct tls_conn *conn;                // owned
    const struct tls_context *context;    // held by `conn`
    bool readable, writable, peer_closed; // as in struct sock, of the wire
    bool ends_sending;                    // close_notify and FIN wait behind ciphertext
};

// ---- the wire ----

static ssize_t wire_recv(struct tls_io *io, void *data, size_t cap)
{
    struct sock_tls *tls = LIST_ENTRY(io, struct sock_tls, io);
    ssize_t n;
    if (!tls->readable)
        return -EAGAIN;
    do
        n = recv(tls->sock->watch.fd, data, cap, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) { // see sock_recv()
        if ((size_t)n < cap && !tls->peer_closed)
            tls->readable = false;
        return n;
    }
    if (n == 0) {
        tls->peer_closed = true; // and readable: asked once more it says so once more
        return 0;
    }
    tls->readable = false;
    return -errno;
}

static ssize_t wire_send(struct tls_io *io, const void *data, size_t len)
{
    struct sock_tls *tls = LIST_ENTRY(io, struct sock_tls, io);
    ssize_t n;
    if (!tls->writable)
        return -EAGAIN;
    do
        n = send(tls->sock->watch.fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 || (size_t)n < len)
        tls->writable = false;
    return n < 0 ? -errno : n;
}

// ---- beginning ----

static struct sock_tls *begin(struct sock *sock, struct tls_context *context)
{
    struct sock_tls *tls = malloc(sizeof *tls);
    CHECK(tls != NULL);
    *tls = (struct sock_tls){.io = {.recv = wire_recv, .send = wire_send},
                             .sock = sock,
                             .context = context,
                             .readable = sock->readable,
                             .writable = sock->writable,
                             .peer_closed = sock->peer_closed};
    sock->tls = tls;
    return tls;
}

void sock_accept_tls(struct sock *sock, struct tls_context *context, struct str early)
{
    struct sock_tls *tls = begin(sock, context);
    tls->conn = tls_accept(context, &tls->io, early);
}

void sock_connect_tls(struct sock *sock, struct tls_context *context, struct str host,
                      struct tls_session *session)
{
    struct sock_tls *tls = begin(sock, context);
    tls->conn = tls_connect(context, &tls->io, host, session);
}

static void note_wire(struct sock *sock)
{
    const struct sock_tls *tls = sock->tls;
    sock->writable = tls->writable && !tls->ends_sending && !tls_wants_write(tls->conn);
}

enum tls_status sock_handshake(struct sock *sock)
{
    struct sock_tls *tls = sock->tls;
    enum tls_status status = tls_handshake(tls->conn);
    sock->readable = tls->readable || tls_has_pending(tls->conn);
    // The ticket may wait for our first bytes, but not for the client's: one that gathers what it
    // sends (Nagle) holds its request until its last message is acknowledged, and without the
    // ticket that takes the kernel 40 ms. HTTP/2 has its SETTINGS to send right away.
    if (status == TLS_DONE && !sock->readable && tls_alpn(tls->conn) != TLS_ALPN_H2)
        tls_flush(tls->conn);
    note_wire(sock);
    return status;
}

struct tls_conn *sock_tls_conn(const struct sock *sock)
{
    return sock->tls ? sock->tls->conn : NULL;
}

const struct tls_context *sock_tls_context(const struct sock *sock)
{
    return sock->tls ? sock->tls->context : NULL;
}

// ---- bytes ----

ssize_t sock_tls_recv(struct sock *sock, void *data, size_t cap)
{
    struct sock_tls *tls = sock->tls;
    ssize_t n = tls_recv(tls->conn, data, cap);
    if (n == -EAGAIN && !tls_wants_write(tls->conn))
        tls_flush(tls->conn); // a ticket that was held, as above
    note_wire(sock);          // a read may have had to answer (key update)
    if (n > 0) {
        sock->readable = tls->readable || tls_has_pending(tls->conn);
        return n;
    }
    sock->readable = false;
    if (n == 0)
        sock->peer_closed = true;
    else if (n != -EAGAIN)
        sock->failed = true; // also a FIN without close_notify: whoever cut it need not be the peer
    return n;
}

ssize_t sock_tls_send2(struct sock *sock, struct str first, struct str second)
{
    struct sock_tls *tls = sock->tls;
    if (!sock->writable)
        return sock->failed ? -EPIPE : -EAGAIN;
    first = str_upto(first, TLS_SEND_MAX);
    second = str_upto(second, TLS_SEND_MAX - first.len);
    if (first.len + second.len == 0)
        return 0;
    ssize_t n = second.len == 0 ? tls_send(tls->conn, first.ptr, first.len)
                                : tls_send2(tls->conn, first, second);
    note_wire(sock);
    if (n < 0 && n != -EAGAIN) {
        sock->failed = true;
        sock->writable = false;
    }
    return n;
}

void sock_tls_rest(struct sock *sock)
{
    tls_rest(sock->tls->conn);
}

bool sock_tls_is_flushed(const struct sock *sock)
{
    return sock->failed || (!tls_wants_write(sock->tls->conn) && !sock->tls->ends_sending);
}

// ---- the end ----

static void end_now(struct sock *sock)
{
    sock->tls->ends_sending = false;
    tls_shutdown(sock->tls->conn);
    shutdown(sock->watch.fd, SHUT_WR);
    sock->tls->writable = sock->writable = false;
}

void sock_tls_end_sending(struct sock *sock)
{
    if (tls_wants_write(sock->tls->conn)) {
        sock->tls->ends_sending = true; // goes on in sock_tls_note_events()
        sock->writable = false;
    } else {
        end_now(sock);
    }
}

static void flush(struct sock *sock)
{
    struct sock_tls *tls = sock->tls;
    int error = tls_flush(tls->conn);
    if (error < 0 && error != -EAGAIN)
        sock->failed = true;
    else if (error == 0 && tls->ends_sending)
        end_now(sock);
}

void sock_tls_note_events(struct sock *sock, uint32_t events)
{
    struct sock_tls *tls = sock->tls;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        tls->readable = sock->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        tls->peer_closed = sock->peer_closed = true;
    if (events & EPOLLERR)
        sock->failed = true;
    if (events & EPOLLOUT) {
        tls->writable = true;
        if (tls_wants_write(tls->conn))
            flush(sock);
        note_wire(sock);
    }
}

void sock_tls_free(struct sock *sock)
{
    tls_free(sock->tls->conn);
    free(sock->tls);
    sock->tls = NULL;
}
