// SPDX-License-Identifier: Apache-2.0
// Opening connections to endpoints: TCP, a PROXY header, TLS, and which HTTP is spoken then.
#include "base/log.h"
#include "proxy/proxy_protocol.h"
#include "proxy/shared_pool.h"
#include "proxy/upstream.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

static void set_number(int fd, int level, int name, uint32_t value)
{
    int number = (int)value;
    if (value)
        setsockopt(fd, level, name, &number, sizeof number);
}

// Probes find a peer that is gone while nothing is sent; the same patience holds for what is sent
// and not acknowledged.
static void set_keepalive(int fd, const struct tcp_keepalive *keepalive)
{
    if (!keepalive->probes && !keepalive->time_s && !keepalive->interval_s)
        return;
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive->time_s);
    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive->interval_s);
    set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive->probes);
    uint64_t patience_ms =
        1000 * (keepalive->time_s + (uint64_t)keepalive->probes * keepalive->interval_s);
    if (keepalive->probes && keepalive->time_s && keepalive->interval_s && patience_ms <= INT32_MAX)
        set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (uint32_t)patience_ms);
}

// By the mark capture knows our own connections; without it they would come back to us.
static void set_mark(int fd, uint32_t mark)
{
    static atomic_bool is_told;
    if (!mark || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0)
        return;
    if (!atomic_exchange(&is_told, true))
        log_error("proxy", "connections to endpoints cannot be marked (SO_MARK): %s%s",
                  strerrordesc_np(errno), errno == EPERM ? "; it takes CAP_NET_ADMIN" : "");
}

// A non-blocking connect(2) on its way. -1: *reterr_errno.
static int open_socket(const struct worker *worker, const struct cluster *cluster,
                       const struct address *address, int *reterr_errno)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(address, &sockaddr);
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *reterr_errno = errno;
        return -1;
    }
    set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_keepalive(fd, &cluster->keepalive);
    set_mark(fd, proxy_get_options(worker->proxy)->upstream_mark);
    if (connect(fd, (struct sockaddr *)&sockaddr, len) < 0 && errno != EINPROGRESS) {
        *reterr_errno = errno;
        close(fd);
        return -1;
    }
    return fd;
}

static void note_connect(struct worker *worker, struct endpoint_slot *slot)
{
    COUNT(slot->counters[ENDPOINT_COUNTER_CONNECTIONS], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTS, 1);
}

void upstream_note_connect_failure(struct worker *worker, struct endpoint_slot *slot)
{
    COUNT(slot->counters[ENDPOINT_COUNTER_CONNECT_FAILURES], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECT_FAILURES, 1);
}

// A little early each, so that connections opened together do not end together.
static int64_t end_of_age(struct worker *worker, const struct cluster *cluster)
{
    uint32_t max_ms = cluster->max_age_ms;
    if (!max_ms && cluster->is_external)
        max_ms = EXTERNAL_AGE_MS;
    if (!max_ms)
        return INT64_MAX;
    return worker->loop.now_ms + max_ms - (int64_t)(worker_random(worker) % (max_ms / 10 + 1));
}

static struct upstream *create(struct worker *worker, const struct connecting *what, int fd)
{
    const struct cluster *cluster = what->cluster;
    struct endpoint_slot *slot = what->slot;
    struct upstream *up = pool_take(&worker->upstreams);
    *up = (struct upstream){.worker = worker,
                            .slot = slot,
                            .slot_number = slot->number,
                            .identity = what->identity,
                            .generation = worker->hold->snapshot->generation,
                            .state = UP_CONNECTING,
                            .protocol = what->protocol,
                            .is_preconnected = what->is_preconnected,
                            .connect_begin_ns = worker->loop.now_ns,
                            .id = worker->next_id++,
                            .told_idle_ms = UINT32_MAX,
                            .remote = *what->address};
    up->idle_timeout_ms = upstream_idle_timeout_ms(worker, cluster);
    up->age_end_ms = end_of_age(worker, cluster);
    up->requests_max = cluster->proxy_protocol ? 1 : cluster->requests_per_connection_max;
    up->streams_max =
        cluster->concurrent_streams_max ? cluster->concurrent_streams_max : H2_ENDPOINT_STREAMS_MAX;
    up->sock.watch = (struct watch){.on_event = upstream_on_event, .fd = fd};
    timer_init(&up->timer, upstream_on_timer);
    list_init(&up->node);
    list_init(&up->streams);
    if (!upstream_is_stale(up))
        COUNT(slot->counters[ENDPOINT_COUNTER_CONNECTIONS_ACTIVE], 1);
    WORKER_COUNT(worker, UPSTREAM_CONNECTIONS_ACTIVE, 1);
    shared_pool_note_open(worker->pool, up, worker->loop.now_ms);
    if (cluster->tls) {
        up->tls = tls_context_ref(cluster->tls);
        if (tls_context_goes_by_host(cluster->tls)) {
            up->host = strndup(what->host.ptr ? what->host.ptr : "", what->host.len);
            CHECK(up->host != NULL);
        }
    }
    return up;
}

void upstream_add_proxy_header(struct upstream *up, const struct stream *stream)
{
    const struct downstream *down = stream->down;
    char header[PROXY_WRITE_BYTES_MAX];
    size_t len =
        proxy_header_write(stream->cluster->proxy_protocol, &down->remote, &down->local, header);
    up->tx = malloc(len);
    CHECK(up->tx != NULL);
    memcpy(up->tx, header, len);
    up->tx_end = (uint32_t)len;
}

struct upstream *upstream_open(struct worker *worker, const struct connecting *what,
                               int *reterr_errno)
{
    const struct cluster *cluster = what->cluster;
    note_connect(worker, what->slot);
    int fd = open_socket(worker, cluster, what->address, reterr_errno);
    if (fd < 0) {
        upstream_note_connect_failure(worker, what->slot);
        return NULL;
    }
    struct upstream *up = create(worker, what, fd);
    int error = loop_add(&worker->loop, &up->sock.watch, SOCK_EVENTS);
    if (error < 0) {
        *reterr_errno = -error;
        upstream_close(up);
        return NULL;
    }
    uint32_t timeout_ms = cluster->connect_timeout_ms
                              ? cluster->connect_timeout_ms
                              : proxy_get_options(worker->proxy)->connect_timeout_ms;
    up->connect_end_ms = worker->loop.now_ms + timeout_ms;
    timer_arm(&worker->loop.wheel, &up->timer, up->connect_end_ms);
    if (what->protocol == CLUSTER_HTTP2)
        upstream_share(up);
    return up;
}

// In front of everything else, TLS too. A socket that has sent nothing yet has room for it.
static bool send_proxy_header(struct upstream *up)
{
    int more = up->tls || up->stream ? MSG_MORE : 0; // what follows goes along
    if (up->stream && up->stream->is_tcp)
        more = 0;
    ssize_t n = send(up->sock.watch.fd, up->tx, up->tx_end, MSG_NOSIGNAL | more);
    bool ok = n == (ssize_t)up->tx_end;
    free(up->tx);
    up->tx = NULL;
    up->tx_end = 0;
    return ok;
}

static void begin_tls(struct upstream *up)
{
    struct tls_session *session =
        shared_pool_session(up->worker->pool, up->slot_number, up->identity);
    sock_connect_tls(&up->sock, up->tls, str_of(up->host), session);
    if (up->protocol == CLUSTER_HTTP1) // for a client of HTTP/1.1 (useClientProtocol)
        tls_offer_http1(sock_tls_conn(&up->sock));
    tls_session_free(session);
}

static int finish_tcp(struct upstream *up)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (up->connect_end_ns)
        return 0; // before TLS
    if (!up->sock.failed && !up->sock.writable)
        return EAGAIN;
    if (getsockopt(up->sock.watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        return error;
    struct sockaddr_storage local;
    len = sizeof local;
    if (getsockname(up->sock.watch.fd, (struct sockaddr *)&local, &len) == 0)
        address_from_sockaddr((struct sockaddr *)&local, &up->local);
    up->connect_end_ns = up->worker->loop.now_ns;
    if (up->tx && !send_proxy_header(up))
        return EPIPE;
    if (up->tls)
        begin_tls(up);
    return 0;
}

static int finish_tls(struct upstream *up)
{
    if (!up->tls)
        return 0;
    switch (sock_handshake(&up->sock)) {
    case TLS_DONE:
        break;
    case TLS_AGAIN:
        return EAGAIN;
    case TLS_CLOSED:
        return ECONNRESET;
    case TLS_FAILED:
        return EPROTO;
    }
    WORKER_COUNT(up->worker, UPSTREAM_TLS_HANDSHAKES, 1);
    if (tls_is_resumed(sock_tls_conn(&up->sock)))
        WORKER_COUNT(up->worker, UPSTREAM_TLS_RESUMED, 1);
    up->connect_end_ns = up->worker->loop.now_ns;
    return 0;
}

struct str upstream_failure(const struct upstream *up, int error)
{
    const struct tls_conn *conn = sock_tls_conn(&up->sock);
    if (error == ETIMEDOUT)
        return STR("connection timeout");
    if (error == EPROTO && conn)
        return tls_failure(conn);
    return str_of(strerrordesc_np(error));
}

// An endpoint of an HTTP/2 cluster that has no ALPN is taken at the cluster's word.
static bool speaks_h2(const struct upstream *up)
{
    if (up->stream && up->stream->is_tcp)
        return false; // what goes over it is the client's
    enum tls_alpn alpn = up->tls ? tls_alpn(sock_tls_conn(&up->sock)) : TLS_ALPN_NONE;
    return alpn == TLS_ALPN_H2 || (up->protocol == CLUSTER_HTTP2 && alpn == TLS_ALPN_NONE);
}

int upstream_finish_connect(struct upstream *up)
{
    int error = finish_tcp(up);
    if (!error)
        error = finish_tls(up);
    if (error == EAGAIN && (up->has_timed_out || up->sock.failed))
        error = up->has_timed_out ? ETIMEDOUT : ECONNRESET;
    if (error == EAGAIN)
        return error;
    if (!error && up->protocol == CLUSTER_HTTP2 && !speaks_h2(up))
        error = EPROTONOSUPPORT;
    if (up->is_preconnected)
        warm_note_outcome(up->worker->pool, up->slot_number, up->identity, error == 0,
                          up->worker->loop.now_ms);
    if (error) {
        upstream_note_connect_failure(up->worker, up->slot);
        return error;
    }
    timer_arm(&up->worker->loop.wheel, &up->timer, INT64_MAX / 2);
    if (!speaks_h2(up)) {
        up->state = UP_BUSY;
        return 0;
    }
    up->state = UP_SHARED;
    if (!up->is_shared) { // as ALPN would have it
        struct stream *stream = up->stream;
        up->stream = NULL;
        upstream_share(up);
        if (stream)
            upstream_attach(up, stream);
    }
    h2_begin_upstream(up);
    if (up->n_streams == 0) // all who waited have left
        upstream_begin_idle(up);
    return 0;
}
