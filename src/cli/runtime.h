// SPDX-License-Identifier: Apache-2.0
// The running gateway as the control thread holds it: everything from the sources to the proxy.
// run.c starts and ends it, change.c takes changes through it.
#pragma once
#include "admin/admin.h"
#include "cli/capturer.h"
#include "cli/diag_history.h"
#include "cli/options.h"
#include "dns/resolver.h"
#include "proxy/access_log.h"
#include "source/folder.h"

struct runtime {
    const struct options *options;
    struct loop loop;
    struct watch signals;

    struct store *store;
    struct folder_source *source;
    struct resolver *resolver;
    struct registry *registry;
    struct object_checker checker; // the store's
    struct diag_history *history;

    struct arena *arena; // of the access log's format
    struct access_log *access_log;
    const struct format *access_log_format;
    struct proxy *proxy;
    struct admin *admin;
    struct capturer capturer; // of a sidecar

    uint64_t generation; // of the snapshot compiled last
    bool is_changed;     // an object or a resolved name; compiled at the end of the turn
    bool is_ready;       // published, and every listener was open at least once
    bool is_draining, is_done;
    struct timer retry;       // publishes again when listeners could not be opened
    struct timer files;       // looks at files that manifests name
    struct timer tickets;     // new keys for TLS session tickets
    struct timer trim;        // gives memory back some time after the last change
    struct {                  // names.c
        struct timer timer;   // changes that wait to be compiled together
        bool is_changed;      // the next compile is due to them
        int64_t applied_ms;   // when the last such compile was over; 0: never
        int64_t log_begin_ms; // of the period that the lines are counted in
        unsigned n_logged, n_left_out;
    } names;
    struct admin_facts facts; // but for what is read when asked for
};

// Compiles and publishes what the store holds. Returns the number of listeners that could not be
// opened, each with a line in *reterr.
unsigned runtime_apply(struct runtime *runtime, struct buf *reterr);
void runtime_facts(void *runtime, struct admin_facts *ret_facts); // for the admin server
