// SPDX-License-Identifier: Apache-2.0
// Endpoints that no snapshot has: the address that a client dialled, those of a name that was asked
// for. They have slots as others have, of a range of their own, so that pools, counters and TLS
// sessions work with them. Workers.
//
// The slots are the proxy's, so that all workers know an endpoint by the same number and identity;
// each worker keeps a bounded table of those that it uses (least recently used out first), and only
// what is not in there is looked for under the lock. A slot is given to another endpoint when no
// worker has it in its table; the identity grows then.
#pragma once
#include "proxy/worker.h"

struct dynamic_slots *dynamic_slots_create(void);
void dynamic_slots_destroy(struct dynamic_slots *slots); // NULL is fine

struct dynamic_table *dynamic_table_create(struct worker *worker, struct dynamic_slots *slots,
                                           unsigned n_workers);
void dynamic_table_destroy(struct dynamic_table *table); // without connections; NULL is fine

// The endpoint of the stream's cluster at that address, in the stream's memory. NULL: too many are
// in use at once. *ret_leads_back: one of our own listeners is there.
const struct endpoint *dynamic_endpoint(struct stream *stream, const struct address *address,
                                        bool *ret_leads_back);
// Connections there failed a moment ago: others of the same name are tried first.
void dynamic_note_failure(struct stream *stream, const struct endpoint *endpoint);
bool dynamic_has_failed(struct stream *stream, const struct address *address);

// What the snapshot changed or no longer has is forgotten, once its idle connections are closed.
void dynamic_forget_stale(struct worker *worker, const struct snapshot *snapshot);

// Of all endpoints: the identity that holds the slot in that snapshot; 0: none. Dynamic ones: the
// one of the worker's table.
uint64_t endpoint_slot_identity(const struct worker *worker, const struct snapshot *snapshot,
                                uint32_t number);
// Is it still served under that snapshot? Of dynamic ones, whichever worker has it.
bool endpoint_slot_is_served(struct dynamic_slots *slots, const struct snapshot *snapshot,
                             uint32_t number, uint64_t identity);
