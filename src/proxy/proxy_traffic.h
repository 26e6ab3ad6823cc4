// SPDX-License-Identifier: Apache-2.0
// For tests: two ends that say much to each other at once, each checking what it hears.
#pragma once
#include <fcntl.h>
#include <poll.h>

enum { PATTERN_BYTES = 1000003 }; // prime: no period that a buffer's size could hide

static inline const char *pattern(void)
{
    static char bytes[PATTERN_BYTES];
    uint64_t x = 88172645463325252ull;
    if (!bytes[0])
        for (size_t i = 0; i < sizeof bytes; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] = (char)(x | (i == 0));
        }
    return bytes;
}

struct talker { // how one end sends and receives; > 0 bytes, 0 end, -1: not now
    ssize_t (*send)(struct talker *talker, const void *data, size_t len);
    ssize_t (*recv)(struct talker *talker, void *data, size_t cap);
    void (*end)(struct talker *talker);
    bool (*flush)(struct talker *talker); // has the socket all? NULL: it has
    void *arg;                            // NULL: plain
    int fd;
    size_t piece; // most that is sent or received at once
    uint64_t to_send, sent, received;
    bool has_ended, has_heard_end;
};

static inline ssize_t plain_send(struct talker *talker, const void *data, size_t len)
{
    ssize_t n = send(talker->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_true(n > 0 || errno == EAGAIN);
    return n;
}

static inline ssize_t plain_recv(struct talker *talker, void *data, size_t cap)
{
    ssize_t n = recv(talker->fd, data, cap, MSG_DONTWAIT);
    assert_true(n >= 0 || errno == EAGAIN);
    return n;
}

static inline void plain_end(struct talker *talker)
{
    shutdown(talker->fd, SHUT_WR);
}

static inline struct talker plain_talker(int fd, size_t piece, uint64_t to_send)
{
    return (struct talker){.send = plain_send,
                           .recv = plain_recv,
                           .end = plain_end,
                           .fd = fd,
                           .piece = piece,
                           .to_send = to_send};
}

// Sends a piece, hears a piece. false: neither could be.
static inline bool talk_on(struct talker *talker)
{
    static char heard[1 << 20];
    bool moved = false;
    size_t at = talker->sent % PATTERN_BYTES, n = PATTERN_BYTES - at;
    n = n < talker->piece ? n : talker->piece;
    n = n < talker->to_send - talker->sent ? n : (size_t)(talker->to_send - talker->sent);
    ssize_t done = n ? talker->send(talker, pattern() + at, n) : 0;
    if (done > 0) {
        talker->sent += (uint64_t)done;
        moved = true;
    }
    bool is_flushed = !talker->flush || talker->flush(talker);
    if (talker->sent == talker->to_send && !talker->has_ended && is_flushed) {
        talker->end(talker);
        talker->has_ended = true;
    }
    if (talker->has_heard_end)
        return moved;
    ssize_t got = talker->recv(talker, heard, talker->piece);
    if (got == 0)
        talker->has_heard_end = true;
    for (ssize_t i = 0; i < got;) {
        size_t from = talker->received % PATTERN_BYTES, part = PATTERN_BYTES - from;
        part = part < (size_t)(got - i) ? part : (size_t)(got - i);
        if (memcmp(heard + i, pattern() + from, part) != 0)
            fail_msg("other bytes near %llu", (unsigned long long)talker->received);
        talker->received += part;
        i += (ssize_t)part;
    }
    return moved || got >= 0;
}

// Until both have said and heard all. Both begin at the pattern's first byte.
static inline void talk(struct talker *a, struct talker *b)
{
    while (!a->has_heard_end || !b->has_heard_end) {
        bool moved = talk_on(a);
        moved = talk_on(b) || moved;
        if (moved)
            continue;
        struct pollfd fds[2] = {{a->fd, (short)(POLLIN | (!a->has_ended ? POLLOUT : 0)), 0},
                                {b->fd, (short)(POLLIN | (!b->has_ended ? POLLOUT : 0)), 0}};
        if (a->has_heard_end)
            fds[0].events &= ~POLLIN;
        if (b->has_heard_end)
            fds[1].events &= ~POLLIN;
        if (poll(fds, 2, WAIT_S * 1000) <= 0)
            fail_msg("stuck: %llu and %llu heard", (unsigned long long)a->received,
                     (unsigned long long)b->received);
    }
    assert_int_equal(a->received, b->to_send);
    assert_int_equal(b->received, a->to_send);
}
