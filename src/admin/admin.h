// SPDX-License-Identifier: Apache-2.0
// The admin server: health, metrics and dumps over plain HTTP/1 GETs, in the control thread's
// loop. Connections are few and bounded in time; each carries one request. Pages are rows of one
// table (pages.c); a page that may grow with the configuration is made piece by piece, each when
// the one before has left, so that neither the loop nor memory pays for a slow reader.
#pragma once
#include "proxy/proxy.h"

struct admin;

// What only the control side knows; asked for when a page is made.
struct admin_facts {
    bool is_ready; // a snapshot is published and the gateway does not drain
    bool is_draining;
    uint64_t objects, objects_last_good, objects_rejected;
    uint64_t diagnostics[3]; // by enum diag_level
    uint64_t updates;        // snapshots published
    int64_t published_wall_ns;
    int64_t compile_ns, publish_ns; // of the last update
    uint64_t listeners_failed;
    uint64_t access_log_write_errors;
    struct {
        uint64_t lookups, not_found, failures, timeouts;
        uint64_t lookups_active, lookups_queued;
        uint64_t watched, requested, unresolved, stale; // names
    } dns;
};

struct admin_options {
    struct address bind;       // port 0: the kernel chooses
    const struct proxy *proxy; // borrowed
    void (*facts)(void *arg, struct admin_facts *ret_facts);
    // Adds about `bytes` of /names; true: there is more. *cursor starts with 0. NULL: an empty
    // page.
    bool (*names)(void *arg, uint64_t *cursor, size_t bytes, struct buf *out);
    void *arg;
};

// NULL: *reterr says why.
struct admin *admin_open(struct loop *loop, const struct admin_options *options,
                         struct buf *reterr);
void admin_address(const struct admin *admin, struct address *ret_address); // what is really open
void admin_close(struct admin *admin); // cuts what is still open; NULL is fine

// docs/reference/metrics.md, for `sluicegate docs`.
void admin_print_metrics_reference(struct buf *out);
