// SPDX-License-Identifier: Apache-2.0
// The data plane's inside: a worker thread and what it owns. Only code that runs in a worker may
// touch these, but for the fields marked "shared".
//
// Glossary: *downstream* is the client's side, *upstream* the endpoint's. A *stream* is one request
// with its response (or one TCP session); it exists from the end of the request's head until its
// log line is written. A *slot* keeps what outlives a snapshot, see route/snapshot.h.
#pragma once
#include "base/check.h"
#include "base/loop.h"
#include "http/h1.h"
#include "proxy/access_log.h"
#include "proxy/limits.h"
#include "proxy/proxy.h"
#include "route/balance.h"
#include "route/match.h"
#include "tls/tls.h"
#include <errno.h>

struct worker;
struct stream;
struct greeting;    // downstream_greet.c: what comes before HTTP or TCP
struct h2_session;  // h2_session.c: one HTTP/2 connection, of either side
struct sock_tls;    // sock_tls.c: TLS between a sock and its wire
struct names;       // names.h: names that requests ask for
struct name_answer; // likewise
struct shared_pool; // shared_pool.h: connections that no worker has
struct shared_slot;

// ---- sockets ----

// A non-blocking socket that is registered once, edge-triggered: the flags remember what the kernel
// said until a short read or write takes it back, so the steady state needs no epoll_ctl.
// With TLS the flags are about decrypted bytes; sock_tls keeps those of the wire.
struct sock {
    struct watch watch;
    struct sock_tls *tls; // owned; NULL: plain
    bool readable, writable;
    bool peer_closed; // FIN (EPOLLRDHUP) or close_notify seen; bytes may still be readable
    bool failed;      // reset or error
};

// What is watched of a connection, from its first moment to its last.
enum { SOCK_EVENTS = (int)(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) };

// > 0: bytes; 0: end of file; -EAGAIN: nothing now; other -errno: failed.
ssize_t sock_recv(struct sock *sock, void *data, size_t cap);
ssize_t sock_send(struct sock *sock, const void *data, size_t len);
ssize_t sock_send2(struct sock *sock, struct str first, struct str second); // one system call
void sock_note_events(struct sock *sock, uint32_t events);
void sock_rest(struct sock *sock); // nothing is on its way: gives back what TLS need not hold
// Has the kernel all that was sent? TLS takes bytes that wait for room on the wire.
bool sock_is_flushed(const struct sock *sock);
bool sock_has_unread(const struct sock *sock); // asks the kernel, takes nothing
// close_notify and FIN, once what was sent is flushed.
void sock_end_sending(struct sock *sock);
// The descriptor, and TLS with it, at once: a peer of TLS that was told no end sees a cut.
void sock_close(struct sock *sock);
void sock_reset_on_close(struct sock *sock); // no FIN, but a reset

// sock_tls.c: TLS on a connected socket. `early`: bytes of the ClientHello that were read before.
void sock_accept_tls(struct sock *sock, struct tls_context *context, struct str early);
void sock_connect_tls(struct sock *sock, struct tls_context *context, struct str host,
                      struct tls_session *session);
// Goes on with the handshake, as far as the wire lets it.
enum tls_status sock_handshake(struct sock *sock);
struct tls_conn *sock_tls_conn(const struct sock *sock);             // NULL: plain
const struct tls_context *sock_tls_context(const struct sock *sock); // NULL: plain
ssize_t sock_tls_recv(struct sock *sock, void *data, size_t cap);
ssize_t sock_tls_send2(struct sock *sock, struct str first, struct str second);
void sock_tls_note_events(struct sock *sock, uint32_t events);
void sock_tls_rest(struct sock *sock);
bool sock_tls_is_flushed(const struct sock *sock);
void sock_tls_end_sending(struct sock *sock);
void sock_tls_free(struct sock *sock);

// ---- buffers ----

struct free_node {
    struct free_node *next;
};
struct free_pool { // LIFO, so that what is handed out is warm
    struct free_node *first;
    unsigned n, n_max;
    size_t bytes;
};
void *pool_take(struct free_pool *pool);
void pool_give(struct free_pool *pool, void *item);

// ---- what outlives a snapshot ----

struct endpoint_slot {
    uint64_t identity;          // shared (relaxed); 0: unused
    struct list idle;           // upstreams that wait, newest first
    struct list in_use;         // in worker->slots_with_idle while `idle` or `shared` is not empty
    struct list shared;         // HTTP/2 connections, also such that are still connecting
    struct shared_slot *common; // what all workers have of it; NULL before its first use
    int64_t last_use_ms;        // when a connection was wanted
    int64_t demand_ms;          // when the pool of all was last told
    bool is_rarely_used;        // it had been a while then
    uint32_t number;            // its own slot number
    uint32_t n_idle, active;
    uint32_t streams_max;                      // HTTP/2: what its last SETTINGS said; 0: not known
    uint64_t counters[ENDPOINT_COUNTER_COUNT]; // shared (relaxed)
};
struct cluster_slot {
    uint64_t identity; // shared (relaxed)
    struct balance_state balance;
    uint8_t family; // that won a race of IPv4 and IPv6; 0: none
    int64_t family_until_ms;
    uint64_t counters[CLUSTER_COUNTER_COUNT]; // shared (relaxed)
};
struct endpoint_page {
    struct endpoint_slot slots[SLOTS_PER_PAGE];
};
struct cluster_page {
    struct cluster_slot slots[SLOTS_PER_PAGE];
};

// A worker's hold on a snapshot: the current one, or an older one that streams still use.
struct snapshot_hold {
    struct snapshot *snapshot;
    uint32_t n_streams;
    bool is_current;
};

// ---- connections ----

enum downstream_state {
    DOWN_GREETING, // PROXY header, ClientHello or handshake on their way
    DOWN_IDLE,     // between requests: no buffer
    DOWN_HEAD,     // part of a head has come
    DOWN_BUSY,     // a stream is running
    DOWN_H2,       // many streams: see `h2`
    DOWN_LINGER,   // answered and shut: reads and drops so that the answer is not lost to a reset
    DOWN_CLOSED,   // freed at the end of the loop's turn, so that callers may still look at it
};

enum capture_side { CAPTURED_NOT, CAPTURED_OUT, CAPTURED_IN }; // by OUTBOUND, INBOUND

struct downstream { // a client's connection; freed by downstream_close
    struct sock sock;
    struct worker *worker;
    struct timer timer;        // of the state it is in
    struct list node;          // worker->downstreams
    struct stream *stream;     // HTTP/1 and TCP
    struct h2_session *h2;     // HTTP/2; owned
    struct greeting *greeting; // while DOWN_GREETING; owned
    // TLS: the name asked for (owned, lower case; NULL: none) and the chain it leads to in the
    // snapshot of that generation; see downstream_chain().
    char *sni;
    const struct filter_chain *chain;
    uint64_t chain_generation;                 // of `captured_port`, too
    const struct captured_port *captured_port; // see downstream_captured_port()
    char *rx;                                  // NULL while idle
    uint32_t rx_cap;                           // BUFFER_SMALL_BYTES or BUFFER_LARGE_BYTES
    uint32_t rx_off, rx_end;                   // unread bytes
    uint32_t scanned;                          // of an incomplete head
    uint32_t listener_slot;
    uint32_t n_requests;
    enum downstream_state state;
    bool is_tcp;
    uint8_t captured; // enum capture_side
    bool close_after; // no further request on this connection
    char *tx;         // rest of a head that did not fit the socket: owned (malloc), or NULL
    uint32_t tx_off, tx_end;
    int64_t head_begin_ns; // first byte of the head being read
    int64_t accepted_ns, accepted_wall_ns;
    uint64_t id;
    struct address remote, local; // as a PROXY header says; captured: `local` was dialled
    struct address peer, own;     // the socket's two ends
};

enum upstream_state {
    UP_CONNECTING, // TCP, then TLS
    UP_BUSY,       // HTTP/1: carries a stream
    UP_IDLE,
    UP_SHARED, // HTTP/2: carries any number of streams
};

struct upstream { // a connection to an endpoint
    struct sock sock;
    struct worker *worker; // owner; NULL: the shared pool
    struct timer timer;    // connect deadline, or idle deadline
    struct list
        node; // slot->idle while idle; slot->shared of one that is or will be shared; parked
    struct endpoint_slot *slot; // of the worker
    uint32_t slot_number;
    uint64_t
        identity; // of the slot when it was opened; another one there: this connection is stale
    uint64_t generation; // of the worker's snapshot when it was opened
    struct stream *stream; // HTTP/1
    struct h2_session *h2; // HTTP/2, once connected; owned
    struct list streams;   // that use or await a shared connection
    uint32_t n_streams, streams_max;
    struct tls_context *tls; // a reference; NULL: plain
    char *host;              // for SNI while connecting: owned
    enum upstream_state state;
    bool is_shared;       // HTTP/2 for certain; ALPN may still make it so
    bool is_retired;      // takes no new streams
    bool has_timed_out;   // while connecting
    bool is_preconnected; // by the keeper, before a request needed it
    uint8_t protocol;     // enum cluster_protocol
    uint32_t n_requests;
    char *rx; // BUFFER_LARGE_BYTES while busy
    uint32_t rx_end;
    char *tx; // rest of a head that did not fit: owned (malloc), or NULL
    uint32_t tx_off, tx_end;
    uint32_t idle_timeout_ms;
    uint32_t told_idle_ms; // by the endpoint (Keep-Alive); UINT32_MAX: nothing
    uint32_t requests_max;
    int64_t connect_end_ms; // deadline
    struct upstream *rival; // to an address of the other family, connecting at the same time
    int64_t idle_since_ms;
    int64_t idle_end_ms; // while it waits: closed then
    int64_t replace_ms;  // and from then on one is opened in its place, where they are kept warm
    int64_t age_end_ms;  // takes no request after that
    int64_t connect_begin_ns, connect_end_ns;
    uint64_t id;
    struct address local, remote;
};

// ---- the worker ----

struct accepting { // a listener as this worker serves it
    struct watch watch;
    struct worker *worker;
    struct timer pause; // out of descriptors: accepts again when it fires
    uint32_t slot;
    bool is_open;
    const struct listener *listener; // in the current snapshot; NULL: gone
};

struct dynamic_table; // dynamic.h
struct undeclared;    // undeclared.h

struct worker {
    struct loop loop;
    struct proxy *proxy;
    unsigned index;
    struct snapshot_hold *hold;   // of the current snapshot; NULL before the first
    struct accepting **accepting; // by listener slot
    uint32_t n_accepting;
    struct list downstreams;
    struct list closed;   // downstreams to be freed at the end of the turn
    struct list ready;    // streams that used up their turn, or were told something
    struct list h2_dirty; // sessions with frames to send
    struct list slots_with_idle;
    struct list preconnecting;     // upstreams of HTTP/1 that nobody waits for
    struct dynamic_table *dynamic; // owned
    struct undeclared *undeclared; // owned; counts are shared
    struct free_pool small, large, heads, streams, connections, upstreams;
    struct names *names; // owned
    char *scratch;       // SCRATCH_BYTES; never across a call that may build another head
    int pipes[PIPES_KEPT][2];
    unsigned n_pipes;
    uint32_t n_downstreams;
    bool is_draining, is_drained;
    uint64_t next_id;
    uint64_t random[2];
    struct access_log_channel *log; // NULL: off
    struct timer log_timer;
    int64_t date_s; // second that `date` shows
    char date[32];  // "Sun, 06 Nov 1994 08:49:37 GMT"
    struct waker waker;
    struct shared_pool *pool;
    bool has_others;         // other workers, for whom idle connections may be of use
    struct watch parked;     // worker 0: something came on a connection of the pool
    struct timer keep_timer; // worker 0: looks after them
    // shared
    struct snapshot *_Atomic next; // mailbox: control puts, the worker takes
    atomic_bool drain, stop;
    atomic_uint open_downstreams;
    uint64_t counters[PROXY_COUNTER_COUNT]; // relaxed
    uint64_t classes[CODE_CLASSES];
    uint64_t latency_buckets[LATENCY_BUCKETS], latency_sum_us, latency_count;
    struct endpoint_page *_Atomic endpoint_pages[SLOT_PAGES_MAX];
    struct cluster_page *_Atomic cluster_pages[SLOT_PAGES_MAX];
};

#define COUNT(counter, by)                                                                         \
    __atomic_store_n(&(counter), (counter) + (uint64_t)(by), __ATOMIC_RELAXED)
#define WORKER_COUNT(worker, id, by) COUNT((worker)->counters[PROXY_COUNTER_##id], by)

void worker_init(struct worker *worker, struct proxy *proxy, unsigned index);
void worker_fini(struct worker *worker);
void worker_run(struct worker *worker); // the thread's whole life
uint64_t worker_random(struct worker *worker);
void worker_note_drained(struct worker *worker); // when draining and no connection is left
struct endpoint_slot *worker_endpoint_slot(struct worker *worker, uint32_t number);
struct cluster_slot *worker_cluster_slot(struct worker *worker, const struct snapshot *snapshot,
                                         const struct cluster *cluster);
const struct listener *worker_listener(struct worker *worker, uint32_t slot); // NULL: gone
void worker_release_hold(struct worker *worker, struct snapshot_hold *hold);  // a stream ended
struct str worker_date(struct worker *worker);             // RFC 9110, 5.6.7, of now
bool worker_take_pipe(struct worker *worker, int pipe[2]); // pipe.c; false: out of descriptors
void worker_give_pipe(struct worker *worker, int pipe[2], bool is_empty);

// ---- downstream.c, listener.c ----

void accepting_open(struct worker *worker, const struct listener *listener, int fd);
void accepting_stop(struct accepting *accepting); // takes up who waits in the queue, then no more
void accepting_close(struct accepting *accepting);
void downstream_accept(struct worker *worker, const struct listener *listener, int fd,
                       const struct address *remote);
void downstream_close(struct downstream *down); // also ends its stream, logged as cut
// Closes with a reset: what ends a body that has no other end must not look like its end.
void downstream_reset(struct downstream *down);
// The stream is over: next request, linger or close.
void downstream_stream_done(struct downstream *down, bool keep_alive);
// Sends; what does not fit is kept in tx. false: the connection failed.
bool downstream_send(struct downstream *down, struct str head, struct str body,
                     size_t *ret_body_sent);
// Sends all, or keeps the rest in tx (behind what is there). false: the connection failed.
bool downstream_send_all(struct downstream *down, struct str data);
bool downstream_flush(struct downstream *down);    // false: failed; see down->tx
void downstream_drain(struct downstream *down);    // no more requests than the one that is here
void downstream_continue(struct downstream *down); // after a stream: the next head, if one has come
void downstream_progress(struct downstream *down,
                         uint32_t timeout_ms);    // bytes moved: deadline anew
void downstream_linger(struct downstream *down);  // shuts our side, reads on for a while
void downstream_drop_rx(struct downstream *down); // the receive buffer, with what is in it
// Makes room behind what is unread: moved to the front, or into a large buffer. false: full.
bool downstream_make_room(struct downstream *down);
void downstream_free_closed(struct worker *worker);
// What comes first is over: idle HTTP/1, or HTTP/2 where ALPN says so. May close `down`.
void downstream_begin_http(struct downstream *down);
void downstream_begin_tcp(struct downstream *down, const struct listener *listener,
                          const struct tcp_routes *routes, struct str early);

// downstream_greet.c: PROXY header, ClientHello, handshake; each with a deadline and a limit.
void downstream_greet(struct downstream *down, const struct listener *listener);
void downstream_on_greeting(struct downstream *down); // an event while DOWN_GREETING
void downstream_on_greeting_timeout(struct downstream *down);
void downstream_drop_greeting(struct downstream *down); // NULL greeting is fine
// The chain of a TLS connection in the current snapshot; NULL: plain, or no longer served.
const struct filter_chain *downstream_chain(struct downstream *down);

// downstream_captured.c: the address dialled, and what the client speaks.
static inline bool listener_is_captured(const struct listener *listener)
{
    return listener->kind == LISTENER_OUTBOUND || listener->kind == LISTENER_INBOUND;
}
void downstream_begin_captured(struct downstream *down, const struct listener *listener);
// What is behind the port that was dialled, in the current snapshot. NULL: no longer served.
const struct captured_port *downstream_captured_port(struct downstream *down);
// It is of HTTP for certain, and no byte of its first request has come.
bool downstream_awaits_request(const struct downstream *down);

// ---- upstream.c ----

// A pooled connection, or one that is connecting (state tells), for `stream`: up->stream, or one of
// up->streams. NULL: *reterr_errno.
struct upstream *upstream_acquire(struct stream *stream, const struct endpoint *endpoint,
                                  int *reterr_errno);
// The drawn one, or one of the IP family that works.
const struct endpoint *upstream_prefer_family(struct stream *stream,
                                              const struct endpoint *endpoint);
// As upstream_acquire(), but opens none.
struct upstream *upstream_acquire_idle(struct stream *stream, const struct endpoint *endpoint);
// Goes on connecting: 0 (its state is UP_BUSY or UP_SHARED then), EAGAIN, or errno: EPROTO: TLS,
// see upstream_failure().
int upstream_finish_connect(struct upstream *up);
struct str upstream_failure(const struct upstream *up, int error);
void upstream_leave(struct upstream *up, struct stream *stream); // a stream of a shared one is over
void upstream_note_settings(struct upstream *up);                // HTTP/2: the endpoint's have come
void upstream_lost(struct upstream *up); // HTTP/2: the connection is gone; its streams are told
void upstream_note_connect_failure(struct worker *worker, struct endpoint_slot *slot);
void upstream_release(struct upstream *up); // back to its pool, or closed when it can't be reused
void upstream_close(struct upstream *up);   // NULL is fine
void upstream_close_idle_of(struct endpoint_slot *slot); // what waits there
void upstream_close_stale(struct worker *worker, const struct snapshot *snapshot); // parked, too
void upstream_close_idle(struct worker *worker);                                   // likewise
void upstream_note_keep_alive(struct upstream *up, struct str value);              // of a response
void upstream_note_idle_close(struct upstream *up); // the endpoint has ended it while it waited
void upstream_rest(struct upstream *up);            // HTTP/2: without a stream, and all is sent
// upstream_keep.c: worker 0 looks after the connections that no worker has.
void upstream_keep_open(struct worker *worker);
void upstream_keep(struct worker *worker); // some have come
// upstream_warm.c: worker 0 connects before requests need it.
void upstream_warm_all(struct worker *worker);
void upstream_warm_changed(struct worker *worker); // another snapshot

// ---- proxy.c, called by workers ----

int proxy_take_listener_fd(struct proxy *proxy, uint32_t slot, unsigned worker); // -1: none waits
void proxy_unhold(struct proxy *proxy, struct snapshot *snapshot);
const struct proxy_options *proxy_get_options(const struct proxy *proxy);
struct dynamic_slots *proxy_dynamic_slots(const struct proxy *proxy);
// false: too many questions wait.
bool proxy_ask_name(struct proxy *proxy, unsigned worker, struct str name);
struct name_answer *proxy_take_name_answers(struct proxy *proxy, unsigned worker); // NULL: none
struct shared_pool *proxy_get_pool(const struct proxy *proxy);
void proxy_wake_keeper(struct proxy *proxy);  // worker 0
void proxy_note_drained(struct proxy *proxy); // a draining worker's last connection ended
