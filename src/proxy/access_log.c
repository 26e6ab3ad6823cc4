// SPDX-License-Identifier: Apache-2.0
// A worker owns the chunk that it fills; a full or flushed one goes through `full` to the writer
// and comes back through `empty`. Both rings have one producer and one consumer and room for all
// chunks that a worker may have, so handing over never fails: the worker runs out of chunks
// instead, and drops lines. Chunks are made when they are first needed and used again in turn, so
// a quiet worker holds one or two.
#include "proxy/access_log.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 65536,
    CHUNKS_MAX = 16, // a worker; a power of two
    CLOSE_WAIT_MS = 2000,
    CLOSE_GRACE_MS = 500, // for a writer that is in the kernel when the wait is over
};

struct chunk {
    size_t len;
    char data[CHUNK_BYTES - sizeof(size_t)];
};

struct ring {
    _Alignas(64) atomic_uint head; // the producer's: chunks ever put in
    _Alignas(64) atomic_uint tail; // the consumer's: chunks ever taken out
    struct chunk *slots[CHUNKS_MAX];
};

struct access_log_channel {
    struct access_log *log;
    struct chunk *current; // being filled; NULL: none
    unsigned n_chunks;     // made so far
    struct ring full;      // worker to writer
    struct ring empty;     // writer to worker
};

enum sink_kind {
    SINK_PLAIN,  // a regular file, or a descriptor of our own that does not block
    SINK_SOCKET, // sent without blocking
    SINK_SHARED, // a pipe that others have open too, so that we may not make it nonblocking
};

struct access_log {
    char *path;
    int fd; // the writer's once it runs
    enum sink_kind sink;
    int wake_fd;
    atomic_bool is_sleeping; // the writer waits on wake_fd, or is about to
    atomic_bool is_reopening, is_stopping;
    int64_t stop_deadline_ns; // set before is_stopping
    atomic_uint_fast64_t write_errors;
    // The writer's own:
    bool is_failing;   // the last write failed; told once
    bool is_torn;      // what is in the file ends within a line
    bool is_abandoned; // closing took too long
    pthread_t writer;
    unsigned n_channels;
    struct access_log_channel *channels;
};

// ---- rings ----

static void ring_put(struct ring *ring, struct chunk *chunk)
{
    unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    CHECK(head - atomic_load_explicit(&ring->tail, memory_order_acquire) < CHUNKS_MAX);
    ring->slots[head % CHUNKS_MAX] = chunk;
    // Sequentially consistent, for wake_writer()'s sake.
    atomic_store(&ring->head, head + 1);
}

static bool ring_is_empty(struct ring *ring) // the consumer asks
{
    return atomic_load(&ring->head) == atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static struct chunk *ring_take(struct ring *ring)
{
    if (ring_is_empty(ring))
        return NULL;
    unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    struct chunk *chunk = ring->slots[tail % CHUNKS_MAX];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return chunk;
}

// ---- the workers' side ----

static void poke_writer(struct access_log *log)
{
    uint64_t one = 1;
    ssize_t n = write(log->wake_fd, &one, sizeof(one)); // fails only when the count is full
    (void)n;
}

// No wake-up is lost: the writer announces its sleep and then looks at the rings; we put a chunk
// in and then look whether it sleeps. In the single order of these four steps one sees the other.
static void wake_writer(struct access_log *log)
{
    if (atomic_load(&log->is_sleeping) && atomic_exchange(&log->is_sleeping, false))
        poke_writer(log);
}

static struct chunk *next_chunk(struct access_log_channel *channel)
{
    struct chunk *chunk = ring_take(&channel->empty);
    if (!chunk && channel->n_chunks < CHUNKS_MAX) {
        chunk = malloc(sizeof(*chunk));
        CHECK(chunk);
        channel->n_chunks++;
    }
    if (chunk)
        chunk->len = 0;
    return chunk;
}

char *access_log_reserve(struct access_log_channel *channel)
{
    if (channel->current &&
        sizeof(channel->current->data) - channel->current->len < (size_t)ACCESS_LOG_LINE_MAX)
        access_log_flush(channel);
    if (!channel->current)
        channel->current = next_chunk(channel);
    return channel->current ? channel->current->data + channel->current->len : NULL;
}

bool access_log_commit(struct access_log_channel *channel, size_t len)
{
    struct chunk *chunk = channel->current;
    CHECK(chunk && len <= sizeof(chunk->data) - chunk->len);
    bool was_empty = chunk->len == 0;
    chunk->len += len;
    return was_empty && len > 0;
}

void access_log_flush(struct access_log_channel *channel)
{
    if (!channel->current || channel->current->len == 0)
        return;
    ring_put(&channel->full, channel->current);
    channel->current = NULL;
    wake_writer(channel->log);
}

struct access_log_channel *access_log_channel(struct access_log *log, unsigned index)
{
    CHECK(index < log->n_channels);
    return &log->channels[index];
}

// ---- where it goes ----

// The descriptor that a path stands for, if it is one of the standard ones. Their paths can't be
// opened when they are sockets or another user's pipe, which is common under supervisors.
static int standard_descriptor(const char *path)
{
    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    return strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO : -1;
}

// O_NONBLOCK belongs to the open file, which we share with whoever else writes to this pipe or
// terminal: they must not find it set. So we open it anew where the kernel lets us.
static int open_standard(int standard, enum sink_kind *ret_sink)
{
    struct stat stat;
    if (fstat(standard, &stat) < 0)
        return -errno;
    *ret_sink = SINK_PLAIN;
    if (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)) {
        const char *path = standard == STDOUT_FILENO ? "/proc/self/fd/1" : "/proc/self/fd/2";
        int fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        *ret_sink = SINK_SHARED;
    } else if (S_ISSOCK(stat.st_mode)) {
        *ret_sink = SINK_SOCKET;
    }
    int fd = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    return fd >= 0 ? fd : -errno;
}

static int open_sink(const char *path, enum sink_kind *ret_sink)
{
    int standard = standard_descriptor(path);
    if (standard >= 0)
        return open_standard(standard, ret_sink);
    *ret_sink = SINK_PLAIN;
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(path, flags, 0644);
    return fd >= 0 ? fd : -errno;
}

// As write(2), but never blocks unless a disk does.
static ssize_t write_some(const struct access_log *log, const char *data, size_t len)
{
    if (log->sink == SINK_SOCKET)
        return send(log->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (log->sink == SINK_SHARED) {
        // A pipe that polls writable takes PIPE_BUF bytes at once (pipe(7)).
        struct pollfd poll_fd = {.fd = log->fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        len = len < PIPE_BUF ? len : PIPE_BUF;
    }
    return write(log->fd, data, len);
}

// ---- the writer ----

static void drain_wake(struct access_log *log)
{
    uint64_t count;
    ssize_t n = read(log->wake_fd, &count, sizeof(count));
    (void)n;
}

// false: the time for closing is over.
static bool wait_writable(struct access_log *log)
{
    for (;;) {
        int wait_ms = -1;
        bool is_stopping = atomic_load(&log->is_stopping);
        if (is_stopping) {
            int64_t left_ns = log->stop_deadline_ns - clock_monotonic_ns();
            if (left_ns <= 0)
                return false;
            wait_ms = (int)(left_ns / 1000000) + 1;
        }
        struct pollfd fds[] = {
            {.fd = log->fd, .events = POLLOUT},
            {.fd = log->wake_fd, .events = POLLIN},
        };
        // A stop wakes us once; after that only the file and the deadline matter.
        if (poll(fds, is_stopping ? 1 : 2, wait_ms) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents)
            return true;
        if (fds[1].revents)
            drain_wake(log);
    }
}

static void count_failure(struct access_log *log)
{
    atomic_fetch_add_explicit(&log->write_errors, 1, memory_order_relaxed);
}

static void note_failure(struct access_log *log, int error)
{
    count_failure(log);
    if (!log->is_failing)
        log_error("access-log", "can't write %s: %s; lines are lost until it works again",
                  log->path, strerror(error));
    log->is_failing = true;
}

static bool write_all(struct access_log *log, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write_some(log, data, len);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            log->is_torn = data[-1] != '\n';
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_writable(log)) {
                log->is_abandoned = true;
                return false;
            }
        } else if (n == 0 || errno != EINTR) {
            note_failure(log, n == 0 ? EIO : errno);
            return false;
        }
    }
    return true;
}

static void write_chunk(struct access_log *log, const struct chunk *chunk)
{
    // After a full disk the file may end within a line: the next begins on one of its own.
    if (log->is_torn && !write_all(log, "\n", 1))
        return;
    if (!write_all(log, chunk->data, chunk->len))
        return;
    if (log->is_failing)
        log_info("access-log", "%s can be written again", log->path);
    log->is_failing = false;
}

static void reopen(struct access_log *log)
{
    enum sink_kind sink;
    if (standard_descriptor(log->path) >= 0)
        return;
    int fd = open_sink(log->path, &sink);
    if (fd < 0) {
        count_failure(log);
        log_error("access-log", "can't reopen %s: %s; what was open is written on", log->path,
                  strerror(-fd));
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->sink = sink;
    log->is_torn = false;
}

// A chunk of each channel in turn. false: there was none.
static bool write_round(struct access_log *log)
{
    bool did_write = false;
    for (unsigned i = 0; i < log->n_channels && !log->is_abandoned; i++) {
        struct chunk *chunk = ring_take(&log->channels[i].full);
        if (!chunk)
            continue;
        if (atomic_exchange(&log->is_reopening, false))
            reopen(log);
        write_chunk(log, chunk);
        ring_put(&log->channels[i].empty, chunk);
        did_write = true;
    }
    return did_write;
}

static bool has_work(struct access_log *log)
{
    if (atomic_load(&log->is_stopping) || atomic_load(&log->is_reopening))
        return true;
    for (unsigned i = 0; i < log->n_channels; i++) {
        if (!ring_is_empty(&log->channels[i].full))
            return true;
    }
    return false;
}

static void *writer_main(void *arg)
{
    struct access_log *log = arg;
    pthread_setname_np(pthread_self(), "access-log");
    while (!log->is_abandoned) {
        // Asked before the rings are looked at: what was handed over before a stop is written.
        bool is_stopping = atomic_load(&log->is_stopping);
        if (atomic_exchange(&log->is_reopening, false))
            reopen(log);
        if (write_round(log))
            continue;
        if (is_stopping)
            break;
        atomic_store(&log->is_sleeping, true);
        if (!has_work(log))
            drain_wake(log);
        atomic_store(&log->is_sleeping, false);
    }
    return NULL;
}

// ---- opening and closing ----

static void access_log_free(struct access_log *log)
{
    for (unsigned i = 0; i < log->n_channels; i++) {
        struct access_log_channel *channel = &log->channels[i];
        free(channel->current);
        for (struct chunk *chunk; (chunk = ring_take(&channel->full));)
            free(chunk);
        for (struct chunk *chunk; (chunk = ring_take(&channel->empty));)
            free(chunk);
    }
    if (log->fd >= 0)
        close(log->fd);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    free(log->channels);
    free(log->path);
    free(log);
}

// All signals belong to the control thread; a SIGPIPE of the writer's is an EPIPE to it.
static int start_writer(struct access_log *log)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&log->writer, NULL, writer_main, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

struct access_log *access_log_open(const char *path, unsigned n_channels, struct buf *reterr)
{
    struct access_log *log = calloc(1, sizeof(*log));
    CHECK(log);
    log->path = strdup(path);
    log->fd = open_sink(path, &log->sink);
    int error = log->fd < 0 ? log->fd : 0;
    log->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (error == 0 && log->wake_fd < 0)
        error = -errno;
    log->n_channels = n_channels;
    log->channels = aligned_alloc(64, sizeof(*log->channels) * (n_channels ? n_channels : 1));
    CHECK(log->path && log->channels);
    memset(log->channels, 0, sizeof(*log->channels) * n_channels);
    for (unsigned i = 0; i < n_channels; i++)
        log->channels[i].log = log;
    if (error == 0)
        error = start_writer(log);
    if (error == 0)
        return log;
    buf_printf(reterr, "access log %s: %s", path, strerror(-error));
    access_log_free(log);
    return NULL;
}

void access_log_close(struct access_log *log)
{
    if (!log)
        return;
    for (unsigned i = 0; i < log->n_channels; i++)
        access_log_flush(&log->channels[i]);
    log->stop_deadline_ns = clock_monotonic_ns() + CLOSE_WAIT_MS * INT64_C(1000000);
    atomic_store(&log->is_stopping, true);
    poke_writer(log);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t until_ns = until.tv_nsec + (CLOSE_WAIT_MS + CLOSE_GRACE_MS) * INT64_C(1000000);
    until.tv_sec += until_ns / 1000000000;
    until.tv_nsec = until_ns % 1000000000;
    if (pthread_timedjoin_np(log->writer, NULL, &until) != 0) {
        // It hangs in the kernel (a dead network disk): it keeps the log, the process ends anyway.
        log_warning("access-log", "%s blocks; what was not written is lost", log->path);
        pthread_detach(log->writer);
        return;
    }
    access_log_free(log);
}

void access_log_reopen(struct access_log *log)
{
    atomic_store(&log->is_reopening, true);
    wake_writer(log);
}

uint64_t access_log_write_errors(const struct access_log *log)
{
    return atomic_load_explicit(&log->write_errors, memory_order_relaxed);
}
