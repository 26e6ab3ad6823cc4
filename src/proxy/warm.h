// SPDX-License-Identifier: Apache-2.0
// Endpoints outside the cluster that are in use, and how many connections to each are to be open
// before the next request needs one. Any worker notes what it needs; the keeper (worker 0)
// connects.
#pragma once
#include "base/str.h"
#include <stdatomic.h>
#include <stdbool.h>

struct shared_pool;
struct shared_slot;

// Of a shared slot, under its lock.
struct warmth {
    bool is_listed;   // the keeper looks after it
    char *cluster;    // its name; owned
    char *host;       // of the last request, where certificates go by it; owned, or NULL
    uint8_t protocol; // that was asked for
    uint8_t n_failed; // connects in a row
    uint8_t n_unused; // connections in a row that the endpoint closed before they were needed
    int64_t last_request_ms;
    int64_t next_try_ms;
    // The most connections that were in use at once, in the current window and the one before.
    int64_t window_end_ms;
    uint32_t peak, peak_before;
};
void warmth_fini(struct warmth *warmth);
void warmth_note_use(struct warmth *warmth, uint32_t n_busy, int64_t now_ms);

struct warm_list; // of all that are listed
struct warm_list *warm_list_create(void);
void warm_list_destroy(struct warm_list *list);
uint32_t warm_list_count(const struct warm_list *list);

struct demand {
    uint32_t number; // of the endpoint slot
    uint64_t identity;
    struct str cluster, host;
    uint8_t protocol;
};
void warm_note_demand(struct shared_pool *pool, const struct demand *demand, int64_t now_ms);
// The same of an endpoint that was not asked yet; one that is listed stays as it is.
void warm_note_demand_of(struct shared_pool *pool, const struct demand *demand,
                         int64_t last_request_ms);

// What the keeper asks, of the i-th that is listed. false: there are no more.
bool warm_list_get(struct warm_list *list, uint32_t i, uint32_t *ret_number);
struct warm_rule {
    uint32_t connections, time_ms; // see proxy_options
    uint32_t n_ending;             // in the keeper's own pool: end in a moment
    int64_t now_ms;
};
struct warm_plan {
    uint32_t n_missing; // to be connected now
    bool is_over;       // it was not needed for so long that it is listed no more
    uint64_t identity;
    uint8_t protocol;
    int64_t last_request_ms;
    char *cluster, *host; // owned by the caller, free them
};
// Strings only where something is missing, or `wants_names`.
struct warm_plan warm_plan(struct shared_pool *pool, uint32_t number, const struct warm_rule *rule,
                           bool wants_names);
void warm_forget(struct shared_pool *pool, uint32_t number); // no snapshot has it any more
// The endpoint closed one that nobody had needed yet; one was needed.
void warm_note_unused(struct shared_pool *pool, uint32_t number, uint64_t identity, int64_t now_ms);
void warm_note_used(struct shared_pool *pool, uint32_t number, uint64_t identity);
void warm_note_outcome(struct shared_pool *pool, uint32_t number, uint64_t identity, bool is_ok,
                       int64_t now_ms);
