// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// Most socks are plain.
#define HAS_TLS(sock) __builtin_expect((sock)->tls != NULL, 0)

ssize_t sock_recv(struct sock *sock, void *data, size_t cap)
{
    ssize_t n;
    if (HAS_TLS(sock))
        return sock_tls_recv(sock, data, cap);
    do
        n = recv(sock->watch.fd, data, cap, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        // A short read emptied the socket, and an edge will tell of more; but a FIN that was
        // announced together with these bytes gives no further edge.
        if ((size_t)n < cap && !sock->peer_closed)
            sock->readable = false;
        return n;
    }
    sock->readable = false;
    if (n == 0) {
        sock->peer_closed = true;
        return 0;
    }
    if (errno == EAGAIN)
        return -EAGAIN;
    sock->failed = true;
    return -errno;
}

static ssize_t note_sent(struct sock *sock, ssize_t n, size_t wanted)
{
    if (n >= 0) {
        if ((size_t)n < wanted)
            sock->writable = false;
        return n;
    }
    if (errno == EAGAIN) {
        sock->writable = false;
        return -EAGAIN;
    }
    sock->failed = true;
    sock->writable = false;
    return -errno;
}

ssize_t sock_send(struct sock *sock, const void *data, size_t len)
{
    ssize_t n;
    if (HAS_TLS(sock))
        return sock_tls_send2(sock, (struct str){data, len}, STR_NONE);
    do
        n = send(sock->watch.fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return note_sent(sock, n, len);
}

ssize_t sock_send2(struct sock *sock, struct str first, struct str second)
{
    if (HAS_TLS(sock))
        return sock_tls_send2(sock, first, second);
    struct iovec parts[2] = {{(void *)(uintptr_t)first.ptr, first.len},
                             {(void *)(uintptr_t)second.ptr, second.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n;
    do
        n = sendmsg(sock->watch.fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return note_sent(sock, n, first.len + second.len);
}

void sock_note_events(struct sock *sock, uint32_t events)
{
    if (HAS_TLS(sock)) {
        sock_tls_note_events(sock, events);
        return;
    }
    if (events & EPOLLIN)
        sock->readable = true;
    if (events & EPOLLOUT)
        sock->writable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP)) {
        sock->peer_closed = true;
        sock->readable = true;
    }
    if (events & EPOLLERR)
        sock->failed = true;
}

void sock_rest(struct sock *sock)
{
    if (HAS_TLS(sock))
        sock_tls_rest(sock);
}

bool sock_is_flushed(const struct sock *sock)
{
    return !HAS_TLS(sock) || sock_tls_is_flushed(sock);
}

bool sock_has_unread(const struct sock *sock)
{
    char byte;
    return (sock->tls && tls_has_pending(sock_tls_conn(sock))) ||
           recv(sock->watch.fd, &byte, 1, MSG_PEEK) > 0;
}

void sock_end_sending(struct sock *sock)
{
    if (HAS_TLS(sock))
        sock_tls_end_sending(sock);
    else
        shutdown(sock->watch.fd, SHUT_WR);
}

void sock_reset_on_close(struct sock *sock)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(sock->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void sock_close(struct sock *sock)
{
    if (HAS_TLS(sock))
        sock_tls_free(sock);
    close(sock->watch.fd);
}
