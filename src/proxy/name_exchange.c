// SPDX-License-Identifier: Apache-2.0
// Questions from workers to the control thread, answers from there to the workers that asked.
#include "base/map.h"
#include "proxy/names.h"
#include "proxy/worker.h"
#include <pthread.h>
#include <stdlib.h>

struct question {
    struct question *next;
    unsigned worker;
    size_t len;
    char name[];
};

struct mailbox { // of a worker
    struct name_answer *first, **end;
    atomic_bool has_some; // may be looked at without the lock
};

struct asked { // a name that ask_name() was called for
    struct str name;
    bool *by_worker;
};

struct name_exchange {
    unsigned n_workers;
    pthread_mutex_t lock;
    struct question *first, **end; // under the lock
    uint32_t n_questions;          // likewise
    struct mailbox *mailboxes;     // likewise
    struct map *asked;             // control thread
};

struct name_exchange *name_exchange_create(unsigned n_workers)
{
    struct name_exchange *exchange = calloc(1, sizeof *exchange);
    CHECK(exchange != NULL);
    exchange->n_workers = n_workers;
    CHECK(pthread_mutex_init(&exchange->lock, NULL) == 0);
    exchange->end = &exchange->first;
    exchange->mailboxes = calloc(n_workers, sizeof *exchange->mailboxes);
    CHECK(exchange->mailboxes != NULL);
    for (unsigned i = 0; i < n_workers; i++)
        exchange->mailboxes[i].end = &exchange->mailboxes[i].first;
    exchange->asked = map_create();
    return exchange;
}

static void free_asked(struct asked *asked)
{
    free(asked->by_worker);
    free(asked);
}

static void free_questions(struct question *question)
{
    while (question) {
        struct question *next = question->next;
        free(question);
        question = next;
    }
}

void name_exchange_destroy(struct name_exchange *exchange)
{
    if (!exchange)
        return;
    free_questions(exchange->first);
    for (unsigned i = 0; i < exchange->n_workers; i++) {
        struct name_answer *answer = exchange->mailboxes[i].first;
        while (answer) {
            struct name_answer *next = answer->next;
            free(answer);
            answer = next;
        }
    }
    struct str key;
    void *value;
    for (size_t i = 0; map_next(exchange->asked, &i, &key, &value);)
        free_asked(value);
    map_destroy(exchange->asked);
    pthread_mutex_destroy(&exchange->lock);
    free(exchange->mailboxes);
    free(exchange);
}

bool name_exchange_ask(struct name_exchange *exchange, unsigned worker, struct str name)
{
    struct question *question = malloc(sizeof *question + name.len);
    CHECK(question != NULL);
    *question = (struct question){.worker = worker, .len = name.len};
    memcpy(question->name, name.ptr, name.len);
    pthread_mutex_lock(&exchange->lock);
    bool has_room = exchange->n_questions < NAME_QUESTIONS_MAX;
    if (has_room) {
        *exchange->end = question;
        exchange->end = &question->next;
        exchange->n_questions++;
    }
    pthread_mutex_unlock(&exchange->lock);
    if (!has_room)
        free(question);
    return has_room;
}

struct name_answer *name_exchange_take_answers(struct name_exchange *exchange, unsigned worker)
{
    struct mailbox *mailbox = &exchange->mailboxes[worker];
    if (!atomic_load_explicit(&mailbox->has_some, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&exchange->lock);
    struct name_answer *first = mailbox->first;
    mailbox->first = NULL;
    mailbox->end = &mailbox->first;
    atomic_store_explicit(&mailbox->has_some, false, memory_order_relaxed);
    pthread_mutex_unlock(&exchange->lock);
    return first;
}

static struct asked *add_asked(struct name_exchange *exchange, struct str name)
{
    struct asked *asked = malloc(sizeof *asked + name.len);
    CHECK(asked != NULL);
    asked->by_worker = calloc(exchange->n_workers, sizeof *asked->by_worker);
    CHECK(asked->by_worker != NULL);
    asked->name = (struct str){memcpy(asked + 1, name.ptr, name.len), name.len};
    map_put(exchange->asked, asked->name, asked);
    return asked;
}

void name_exchange_forward(struct name_exchange *exchange,
                           void (*ask_name)(void *arg, struct str name), void *arg)
{
    pthread_mutex_lock(&exchange->lock);
    struct question *first = exchange->first;
    exchange->first = NULL;
    exchange->n_questions = 0;
    exchange->end = &exchange->first;
    pthread_mutex_unlock(&exchange->lock);
    for (const struct question *at = first; at; at = at->next) {
        struct str name = {at->name, at->len};
        struct asked *asked = map_find(exchange->asked, name);
        bool is_new = !asked;
        if (is_new)
            asked = add_asked(exchange, name);
        asked->by_worker[at->worker] = true;
        if (is_new)
            ask_name(arg, name); // may answer, which ends `asked`
    }
    free_questions(first);
}

static void post(struct name_exchange *exchange, unsigned worker, const struct name_answer *answer,
                 const struct address *addresses)
{
    size_t bytes = answer->n * sizeof *addresses;
    struct name_answer *copy = malloc(sizeof *copy + bytes + answer->name.len);
    CHECK(copy != NULL);
    *copy = *answer;
    copy->next = NULL;
    if (bytes > 0)
        memcpy(copy->addresses, addresses, bytes);
    copy->name.ptr = memcpy((char *)copy->addresses + bytes, answer->name.ptr, answer->name.len);
    struct mailbox *mailbox = &exchange->mailboxes[worker];
    pthread_mutex_lock(&exchange->lock);
    *mailbox->end = copy;
    mailbox->end = &copy->next;
    atomic_store_explicit(&mailbox->has_some, true, memory_order_relaxed);
    pthread_mutex_unlock(&exchange->lock);
}

void name_exchange_answer(struct name_exchange *exchange, const struct name_answer *answer,
                          const struct address *addresses,
                          void (*on_answered)(void *arg, unsigned worker), void *arg)
{
    struct asked *asked = map_remove(exchange->asked, answer->name);
    for (unsigned i = 0; asked && i < exchange->n_workers; i++) {
        if (!asked->by_worker[i])
            continue;
        post(exchange, i, answer, addresses);
        on_answered(arg, i);
    }
    if (asked)
        free_asked(asked);
}
