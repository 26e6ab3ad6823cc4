// SPDX-License-Identifier: Apache-2.0
// The data plane as the control side sees it: workers that serve a snapshot. All functions are for
// the control thread.
#pragma once
#include "base/diag.h"
#include "base/loop.h"
#include "proxy/counters.h"
#include "proxy/undeclared.h"
#include "route/snapshot.h"

struct proxy;
struct access_log;

struct proxy_options {
    unsigned n_workers;
    bool pin_workers;              // worker i runs on cpu i of the allowed set
    struct str server_header;      // response `server`; "istio-envoy"
    struct access_log *access_log; // borrowed; NULL: off
    const struct format *access_log_format; // borrowed for the proxy's life
    uint32_t head_bytes_max;       // 431; default 61440
    uint32_t target_bytes_max;     // 414; default 16384
    uint32_t headers_max;          // 431; default 100
    uint32_t connections_max;      // per worker; over it: closed at once
    // Deadlines, ms; every wait has one.
    uint32_t greeting_timeout_ms;      // PROXY header, ClientHello and handshake together; 15000
    uint32_t request_head_timeout_ms;  // first byte of a head to its end; 60000
    uint32_t keepalive_timeout_ms;     // between requests; 75000
    uint32_t stream_idle_timeout_ms;   // no byte in either direction; 300000
    uint32_t tunnel_idle_timeout_ms;   // upgraded and TCP; 3600000
    uint32_t connect_timeout_ms;       // where the cluster names none; 10000
    uint32_t upstream_idle_timeout_ms; // pooled; where the cluster names none; 60000
    uint32_t linger_timeout_ms;        // after an early answer: read and drop; 2000
    // The way out
    uint32_t detect_timeout_ms; // captured connections: until the first byte; 200
    uint32_t upstream_mark;     // SO_MARK of connections to endpoints, by which capture knows them
                                // as our own; 0: none
    uint32_t warm_connections;  // of an external endpoint that is in use: kept open at least; 1
    uint32_t warm_time_ms;      // ... for so long after its last request; 600000
    // Called in the control thread when a request needs the addresses of a name (lower case) that
    // no snapshot has; answered with proxy_answer_name(), at once or later. NULL: 503 (DF).
    void (*ask_name)(void *arg, struct str name);
    void *ask_arg;
};
enum name_status {
    NAME_FOUND,
    NAME_UNKNOWN, // there is no such name, or it has no address
    NAME_FAILED,  // the resolver gave no answer
    NAME_PENDING, // not an answer: it is awaited (names.h)
};
void proxy_options_default(struct proxy_options *options);

struct proxy *proxy_create(const struct proxy_options *options, struct loop *control);
// Opens the listeners that are new, publishes, closes the ones that are gone (they stop accepting;
// their connections live on while the host they ask for is still served). A listener that can't be
// opened is reported in `reterr` (a line each) and tried again with the next publish; the rest is
// served. Takes *snapshot. Returns the number of listeners that failed.
unsigned proxy_publish(struct proxy *proxy, struct snapshot **snapshot, struct buf *reterr);
// The answer to ask_name(), good for `valid_ms`: what was asked for meanwhile goes on. Each
// ask_name() is to be answered; an answer that nobody asked for is dropped.
void proxy_answer_name(struct proxy *proxy, struct str name, enum name_status status,
                       const struct address *addresses, uint32_t n, uint32_t valid_ms);
const struct snapshot *proxy_snapshot(const struct proxy *proxy); // the one published last
// "http 127.0.0.1:8080, tcp ..." of what is really open, with the kernel's ports where 0 was asked.
void proxy_describe_listeners(const struct proxy *proxy, struct buf *out);
// Graceful end: listeners close, keepalive connections end after their request, tunnels get until
// the deadline. on_drained runs in the control loop when all is closed or the deadline is over.
void proxy_drain(struct proxy *proxy, uint32_t deadline_ms, void (*on_drained)(void *arg), void *arg);
void proxy_destroy(struct proxy *proxy); // stops and joins the workers, closes everything

void proxy_counters(const struct proxy *proxy, uint64_t ret[PROXY_COUNTER_COUNT]);
void proxy_code_classes(const struct proxy *proxy, uint64_t ret[CODE_CLASSES]);
struct latency {
    uint64_t buckets[LATENCY_BUCKETS]; // not cumulative
    uint64_t sum_us, count;
};
// What was asked for and is declared nowhere, by host (undeclared.h); returns their number.
uint32_t proxy_undeclared(const struct proxy *proxy,
                          struct undeclared_host ret[UNDECLARED_HOSTS_MAX + 1]);
void proxy_latency(const struct proxy *proxy, struct latency *ret);
// false: nothing was ever sent there.
bool proxy_cluster_counters(const struct proxy *proxy, const struct cluster *cluster,
                            uint64_t ret[CLUSTER_COUNTER_COUNT]);
bool proxy_endpoint_counters(const struct proxy *proxy, const struct endpoint *endpoint,
                             uint64_t ret[ENDPOINT_COUNTER_COUNT]);
// What all workers share of an endpoint (shared_pool.h); all 0 when nothing was ever sent there.
struct endpoint_pool {
    uint32_t n_parked;      // connections that wait for any worker
    uint32_t idle_limit_ms; // how long the endpoint keeps idle ones, as learnt; 0: not known
    bool is_warm;           // connections are opened before they are needed
};
void proxy_endpoint_pool(const struct proxy *proxy, const struct endpoint *endpoint,
                         struct endpoint_pool *ret);
