// SPDX-License-Identifier: Apache-2.0
// Names that requests ask for and no snapshot has (DYNAMIC_DNS). Each worker remembers what it was
// told of them; what it does not know it asks the control thread for, which answers every worker
// that asked. Questions and answers cross between threads under one lock: a question is rare.
//
// Once an answer is no longer valid it is asked for anew, and served until the new one comes or
// NAME_STALE_MS are over.
#pragma once
#include "proxy/proxy.h"

struct names; // of a worker
struct worker;
struct stream;

struct names *names_create(struct worker *worker);
void names_destroy(struct names *names); // when no stream is left; NULL is fine
void names_take_answers(struct worker *worker);

// What is known of `name` (lower case; a dot at its end does not count). FOUND: *ret, until the
// loop's next turn. PENDING: `stream` is woken when the answer has come, or when its cluster's
// connect timeout is over, and asks again: FAILED then.
enum name_status worker_resolve(struct worker *worker, struct stream *stream, struct str name,
                                const struct address **ret, uint32_t *ret_n);
void worker_resolve_cancel(struct stream *stream); // it waits no more; also if it never did

// ---- name_exchange.c: between the threads ----

struct name_exchange;
struct name_answer { // owned by who takes it: free()
    struct name_answer *next;
    enum name_status status;
    uint32_t valid_ms, n;
    struct str name;
    struct address addresses[]; // then the name's bytes
};

struct name_exchange *name_exchange_create(unsigned n_workers);
void name_exchange_destroy(struct name_exchange *exchange); // NULL is fine
// Worker. The caller wakes the control thread. false: too many wait for it already.
bool name_exchange_ask(struct name_exchange *exchange, unsigned worker, struct str name);
struct name_answer *name_exchange_take_answers(struct name_exchange *exchange, unsigned worker);
// Control thread: hands on each name that is not asked for already.
void name_exchange_forward(struct name_exchange *exchange,
                           void (*ask_name)(void *arg, struct str name), void *arg);
// Control thread: the answer for who asked. on_answered(arg, worker) for each, to wake it.
void name_exchange_answer(struct name_exchange *exchange, const struct name_answer *answer,
                          const struct address *addresses,
                          void (*on_answered)(void *arg, unsigned worker), void *arg);
