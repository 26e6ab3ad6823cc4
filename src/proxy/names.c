// SPDX-License-Identifier: Apache-2.0
// What a worker remembers of names, and the streams that wait for one.
#include "proxy/names.h"
#include "base/map.h"
#include "proxy/stream.h"
#include <stdlib.h>

struct known_name {
    struct list node;        // names->by_use, newest first; names->awaited while streams wait
    struct list waiting;     // of struct name_wait
    bool is_asked;           // and the answer is on its way
    bool is_answered;        // at least once
    enum name_status status; // of the newest answer
    int64_t valid_until_ms;
    struct address *addresses; // owned
    uint32_t n;
    struct str name;
};

struct name_wait { // of a stream: stream->name_wait
    struct list node;
    struct timer timer;
    struct stream *stream;
    struct known_name *known; // NULL: the deadline is over
};

struct names {
    struct worker *worker;
    struct map *by_name;
    struct list by_use, awaited;
    uint32_t n_awaited;
};

struct names *names_create(struct worker *worker)
{
    struct names *names = calloc(1, sizeof *names);
    CHECK(names != NULL);
    names->worker = worker;
    names->by_name = map_create();
    list_init(&names->by_use);
    list_init(&names->awaited);
    return names;
}

static void forget(struct names *names, struct known_name *known)
{
    map_remove(names->by_name, known->name);
    list_remove(&known->node);
    free(known->addresses);
    free(known);
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    CHECK(names->n_awaited == 0);
    while (!list_empty(&names->by_use))
        forget(names, LIST_ENTRY(names->by_use.next, struct known_name, node));
    map_destroy(names->by_name);
    free(names);
}

// A name that nobody waits for may be forgotten while its answer is on its way: that is dropped.
static struct known_name *add_name(struct names *names, struct str name)
{
    if (map_count(names->by_name) >= NAMES_KNOWN_MAX)
        forget(names, LIST_ENTRY(names->by_use.prev, struct known_name, node));
    struct known_name *known = malloc(sizeof *known + name.len);
    CHECK(known != NULL);
    *known = (struct known_name){.name = {memcpy(known + 1, name.ptr, name.len), name.len}};
    list_init(&known->waiting);
    list_push_front(&names->by_use, &known->node);
    map_put(names->by_name, known->name, known);
    return known;
}

// ---- waiting ----

static void note_waiters(struct names *names, struct known_name *known)
{
    if (list_empty(&known->waiting)) {
        names->n_awaited--;
        list_remove(&known->node);
        list_push_front(&names->by_use, &known->node);
    }
}

static void end_wait(struct name_wait *wait)
{
    struct worker *worker = wait->stream->worker;
    struct known_name *known = wait->known;
    if (wait->timer.deadline_ms)
        timer_disarm(&worker->loop.wheel, &wait->timer);
    list_remove(&wait->node);
    wait->known = NULL;
    if (known)
        note_waiters(worker->names, known);
}

static void on_wait_over(struct timer *timer)
{
    struct name_wait *wait = LIST_ENTRY(timer, struct name_wait, timer);
    end_wait(wait);
    stream_wake(wait->stream);
}

void worker_resolve_cancel(struct stream *stream)
{
    struct name_wait *wait = stream->name_wait;
    if (!wait)
        return;
    end_wait(wait);
    stream->name_wait = NULL;
    free(wait);
}

static bool may_wait(const struct names *names, const struct known_name *known)
{
    return (known && !list_empty(&known->waiting)) || names->n_awaited < NAMES_AWAITED_MAX;
}

static void begin_wait(struct names *names, struct stream *stream, struct known_name *known)
{
    struct worker *worker = names->worker;
    if (list_empty(&known->waiting)) {
        names->n_awaited++;
        list_remove(&known->node);
        list_push_front(&names->awaited, &known->node);
    }
    struct name_wait *wait = malloc(sizeof *wait);
    CHECK(wait != NULL);
    *wait = (struct name_wait){.stream = stream, .known = known};
    list_push_back(&known->waiting, &wait->node);
    timer_init(&wait->timer, on_wait_over);
    uint32_t timeout_ms = stream->cluster && stream->cluster->connect_timeout_ms
                              ? stream->cluster->connect_timeout_ms
                              : proxy_get_options(worker->proxy)->connect_timeout_ms;
    timer_arm(&worker->loop.wheel, &wait->timer, worker->loop.now_ms + timeout_ms);
    stream->name_wait = wait;
    WORKER_COUNT(worker, NAME_WAITS, 1);
}

// ---- asking ----

static enum name_status answer_of(const struct known_name *known, const struct address **ret,
                                  uint32_t *ret_n)
{
    *ret = known->addresses;
    *ret_n = known->n;
    return known->status;
}

static enum name_status look_up(struct names *names, struct stream *stream, struct str name,
                                const struct address **ret, uint32_t *ret_n)
{
    struct worker *worker = names->worker;
    int64_t now_ms = worker->loop.now_ms;
    struct known_name *known = map_find(names->by_name, name);
    bool is_kept = known && known->is_answered && known->status == NAME_FOUND &&
                   now_ms < known->valid_until_ms + NAME_STALE_MS;
    bool is_valid = known && known->is_answered && now_ms < known->valid_until_ms;
    // A question that nobody could wait for is not asked, nor does its name push out another.
    if (!is_kept && !is_valid && !may_wait(names, known))
        return NAME_FAILED;
    if (!known)
        known = add_name(names, name);
    if (list_empty(&known->waiting)) {
        list_remove(&known->node);
        list_push_front(&names->by_use, &known->node);
    }
    if (is_valid)
        return answer_of(known, ret, ret_n);
    if (!known->is_asked)
        known->is_asked = proxy_ask_name(worker->proxy, worker->index, known->name);
    if (is_kept)
        return answer_of(known, ret, ret_n);
    if (!known->is_asked)
        return NAME_FAILED;
    begin_wait(names, stream, known);
    return NAME_PENDING;
}

enum name_status worker_resolve(struct worker *worker, struct stream *stream, struct str name,
                                const struct address **ret, uint32_t *ret_n)
{
    *ret = NULL;
    *ret_n = 0;
    enum name_status status = NAME_FAILED;
    if (stream->name_wait && stream->name_wait->known)
        return NAME_PENDING; // woken by something else
    bool is_over = stream->name_wait != NULL;
    worker_resolve_cancel(stream);
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        status = NAME_UNKNOWN;
    else if (!is_over && proxy_get_options(worker->proxy)->ask_name)
        status = look_up(worker->names, stream, name, ret, ret_n);
    if (status == NAME_UNKNOWN || status == NAME_FAILED)
        WORKER_COUNT(worker, NAME_FAILURES, 1);
    return status;
}

// ---- answers ----

static void take_answer(struct names *names, const struct name_answer *answer)
{
    struct known_name *known = map_find(names->by_name, answer->name);
    if (!known)
        return; // forgotten meanwhile
    uint32_t valid_ms = answer->valid_ms > NAME_VALID_MIN_MS ? answer->valid_ms : NAME_VALID_MIN_MS;
    known->is_asked = false;
    known->is_answered = true;
    known->status = answer->n > 0 || answer->status != NAME_FOUND ? answer->status : NAME_UNKNOWN;
    known->valid_until_ms = names->worker->loop.now_ms + valid_ms;
    free(known->addresses);
    known->n = known->status == NAME_FOUND ? answer->n : 0;
    known->addresses = NULL;
    if (known->n > 0) {
        known->addresses = malloc(known->n * sizeof *known->addresses);
        CHECK(known->addresses != NULL);
        memcpy(known->addresses, answer->addresses, known->n * sizeof *known->addresses);
    }
    while (!list_empty(&known->waiting)) {
        struct stream *stream = LIST_ENTRY(known->waiting.next, struct name_wait, node)->stream;
        worker_resolve_cancel(stream);
        stream_wake(stream);
    }
}

void names_take_answers(struct worker *worker)
{
    struct name_answer *answer = proxy_take_name_answers(worker->proxy, worker->index);
    while (answer) {
        struct name_answer *next = answer->next;
        take_answer(worker->names, answer);
        free(answer);
        answer = next;
    }
}
