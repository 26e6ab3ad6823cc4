// SPDX-License-Identifier: Apache-2.0
// A worker's names on a clock of our own, and the exchange between real threads.
#include "proxy/names.h"
#include "proxy/worker_test.h"
#include <pthread.h>
#include <sched.h>

enum { ASKED_MAX = 8192, NAME_MAX_TEXT = 300 };

static struct {
    struct proxy_options options;
    char asked[ASKED_MAX][16];
    unsigned n_asked, n_woken;
    struct name_answer *answers;
} proxy;

const struct proxy_options *proxy_get_options(const struct proxy *unused)
{
    return &proxy.options;
}

bool proxy_ask_name(struct proxy *unused, unsigned worker, struct str name)
{
    assert_true(proxy.n_asked < ASKED_MAX);
    snprintf(proxy.asked[proxy.n_asked++], sizeof *proxy.asked, "%.*s", STR_ARG(name));
    return true;
}

struct name_answer *proxy_take_name_answers(struct proxy *unused, unsigned worker)
{
    struct name_answer *answers = proxy.answers;
    proxy.answers = NULL;
    return answers;
}

void stream_wake(struct stream *stream)
{
    proxy.n_woken++;
}

static void never_called(void *arg, struct str name)
{
    fail();
}

static int setup(void **state)
{
    memset(&proxy, 0, sizeof proxy);
    proxy.options.connect_timeout_ms = 1000;
    proxy.options.ask_name = never_called;
    struct worker *worker = bare_worker();
    worker->loop.now_ms = 1000000;
    wheel_init(&worker->loop.wheel, worker->loop.now_ms);
    worker->names = names_create(worker);
    *state = worker;
    return 0;
}

static int teardown(void **state)
{
    struct worker *worker = *state;
    names_destroy(worker->names);
    assert_int_equal(worker->loop.wheel.armed, 0);
    free(worker);
    return 0;
}

static struct stream *new_stream(struct worker *worker)
{
    struct stream *stream = calloc(1, sizeof *stream);
    assert_non_null(stream);
    stream->worker = worker;
    return stream;
}

static void end_stream(struct stream *stream)
{
    worker_resolve_cancel(stream);
    free(stream);
}

static void pass(struct worker *worker, int64_t ms)
{
    worker->loop.now_ms += ms;
    wheel_run(&worker->loop.wheel, worker->loop.now_ms, -1);
}

static void answer(struct worker *worker, const char *name, enum name_status status, unsigned n,
                   uint32_t valid_ms)
{
    struct name_answer *made = calloc(1, sizeof *made + n * sizeof *made->addresses);
    assert_non_null(made);
    *made =
        (struct name_answer){.status = status, .valid_ms = valid_ms, .n = n, .name = str_of(name)};
    for (unsigned i = 0; i < n; i++) {
        made->addresses[i].family = AF_INET;
        made->addresses[i].ip[3] = (uint8_t)(i + 1);
    }
    proxy.answers = made;
    names_take_answers(worker);
}

static void resolve(struct worker *worker, struct stream *stream, struct str name,
                    enum name_status status, uint32_t n_addresses)
{
    const struct address *found;
    uint32_t n;
    assert_int_equal(worker_resolve(worker, stream, name, &found, &n), status);
    assert_int_equal(n, n_addresses);
    if (n > 0)
        assert_int_equal(found[0].ip[3], 1);
}
#define RESOLVE(worker, stream, name, status, n)                                                   \
    resolve((worker), (stream), STR(name), (status), (n))

static void test_a_stream_waits_for_the_answer_and_finds_it(void **state)
{
    struct worker *worker = *state;
    struct stream *first = new_stream(worker), *second = new_stream(worker);
    RESOLVE(worker, first, "a.example", NAME_PENDING, 0);
    RESOLVE(worker, first, "a.example", NAME_PENDING, 0); // woken by something else
    RESOLVE(worker, second, "a.example.", NAME_PENDING, 0);
    assert_int_equal(proxy.n_asked, 1);
    assert_string_equal(proxy.asked[0], "a.example");
    answer(worker, "a.example", NAME_FOUND, 2, 5000);
    assert_int_equal(proxy.n_woken, 2);
    RESOLVE(worker, first, "a.example", NAME_FOUND, 2);
    RESOLVE(worker, second, "a.example", NAME_FOUND, 2);
    assert_int_equal(worker->counters[PROXY_COUNTER_NAME_WAITS], 2);
    assert_int_equal(worker->counters[PROXY_COUNTER_NAME_FAILURES], 0);
    end_stream(first);
    end_stream(second);
}

static void test_what_was_learnt_is_served_until_its_end_and_a_while_longer(void **state)
{
    struct worker *worker = *state;
    struct stream *stream = new_stream(worker);
    RESOLVE(worker, stream, "a.example", NAME_PENDING, 0);
    answer(worker, "a.example", NAME_FOUND, 1, 5000);
    pass(worker, 4999);
    RESOLVE(worker, stream, "a.example", NAME_FOUND, 1);
    assert_int_equal(proxy.n_asked, 1);
    pass(worker, 1);
    RESOLVE(worker, stream, "a.example", NAME_FOUND, 1); // served, and asked for anew
    assert_int_equal(proxy.n_asked, 2);
    pass(worker, NAME_STALE_MS - 1);
    RESOLVE(worker, stream, "a.example", NAME_FOUND, 1);
    assert_int_equal(proxy.n_asked, 2);
    pass(worker, 1);
    RESOLVE(worker, stream, "a.example", NAME_PENDING, 0);
    answer(worker, "a.example", NAME_FOUND, 3, 5000);
    RESOLVE(worker, stream, "a.example", NAME_FOUND, 3);
    end_stream(stream);
}

static void test_a_name_that_does_not_exist_is_remembered_for_as_long_as_told(void **state)
{
    struct worker *worker = *state;
    struct stream *stream = new_stream(worker);
    RESOLVE(worker, stream, "a.example", NAME_PENDING, 0);
    answer(worker, "a.example", NAME_UNKNOWN, 0, 2000);
    RESOLVE(worker, stream, "a.example", NAME_UNKNOWN, 0);
    pass(worker, 1999);
    RESOLVE(worker, stream, "a.example", NAME_UNKNOWN, 0);
    assert_int_equal(proxy.n_asked, 1);
    pass(worker, 1);
    RESOLVE(worker, stream, "a.example", NAME_PENDING, 0); // no stale no
    assert_int_equal(proxy.n_asked, 2);
    answer(worker, "a.example", NAME_FAILED, 0, 0);
    RESOLVE(worker, stream, "a.example", NAME_FAILED, 0); // also an answer of no validity is seen
    assert_int_equal(worker->counters[PROXY_COUNTER_NAME_FAILURES], 3);
    end_stream(stream);
}

static void test_an_answer_without_addresses_is_none(void **state)
{
    struct worker *worker = *state;
    struct stream *stream = new_stream(worker);
    RESOLVE(worker, stream, "a.example", NAME_PENDING, 0);
    answer(worker, "a.example", NAME_FOUND, 0, 2000);
    RESOLVE(worker, stream, "a.example", NAME_UNKNOWN, 0);
    end_stream(stream);
}

static void test_a_stream_waits_for_a_connect_timeout_at_most(void **state)
{
    struct worker *worker = *state;
    struct cluster quick = {.connect_timeout_ms = 200};
    struct stream *patient = new_stream(worker), *hasty = new_stream(worker);
    hasty->cluster = &quick;
    RESOLVE(worker, patient, "a.example", NAME_PENDING, 0);
    RESOLVE(worker, hasty, "a.example", NAME_PENDING, 0);
    pass(worker, 250);
    assert_int_equal(proxy.n_woken, 1);
    RESOLVE(worker, hasty, "a.example", NAME_FAILED, 0);
    pass(worker, 1000);
    assert_int_equal(proxy.n_woken, 2);
    RESOLVE(worker, patient, "a.example", NAME_FAILED, 0);
    RESOLVE(worker, patient, "a.example", NAME_PENDING, 0); // another try waits again
    answer(worker, "a.example", NAME_FOUND, 1, 2000);       // of the one question there was
    assert_int_equal(proxy.n_asked, 1);
    RESOLVE(worker, patient, "a.example", NAME_FOUND, 1);
    end_stream(hasty);
    end_stream(patient);
}

static void test_a_stream_that_leaves_is_woken_no_more(void **state)
{
    struct worker *worker = *state;
    struct stream *leaves = new_stream(worker), *late = new_stream(worker);
    RESOLVE(worker, leaves, "a.example", NAME_PENDING, 0);
    end_stream(leaves);
    assert_int_equal(worker->loop.wheel.armed, 0);
    RESOLVE(worker, late, "b.example", NAME_PENDING, 0);
    pass(worker, 2000);
    end_stream(late); // its deadline was over, and it did not ask again
    answer(worker, "a.example", NAME_FOUND, 1, 2000);
    assert_int_equal(proxy.n_woken, 1);
}

static void test_names_that_cannot_be_are_not_asked_for(void **state)
{
    struct worker *worker = *state;
    struct stream *stream = new_stream(worker);
    char longest[NAME_MAX_TEXT];
    memset(longest, 'a', sizeof longest);
    RESOLVE(worker, stream, "", NAME_UNKNOWN, 0);
    RESOLVE(worker, stream, ".", NAME_UNKNOWN, 0);
    resolve(worker, stream, (struct str){longest, NAME_BYTES_MAX + 1}, NAME_UNKNOWN, 0);
    proxy.options.ask_name = NULL;
    RESOLVE(worker, stream, "a.example", NAME_FAILED, 0);
    assert_int_equal(proxy.n_asked, 0);
    end_stream(stream);
}

static enum name_status resolve_numbered(struct worker *worker, struct stream *stream, unsigned i)
{
    char text[16];
    const struct address *found;
    uint32_t n;
    snprintf(text, sizeof text, "%u.example", i);
    return worker_resolve(worker, stream, str_of(text), &found, &n);
}

static void test_names_are_bounded_and_the_ones_used_last_stay(void **state)
{
    struct worker *worker = *state;
    struct stream *stream = new_stream(worker), *waits = new_stream(worker);
    RESOLVE(worker, waits, "kept.example", NAME_PENDING, 0);
    for (unsigned i = 0; i < NAMES_KNOWN_MAX + 10; i++) {
        assert_int_equal(resolve_numbered(worker, stream, i), NAME_PENDING);
        char text[16];
        snprintf(text, sizeof text, "%u.example", i);
        answer(worker, text, NAME_FOUND, 1, 3600000);
        assert_int_equal(resolve_numbered(worker, stream, 0), NAME_FOUND);
    }
    unsigned before = proxy.n_asked;
    assert_int_equal(resolve_numbered(worker, stream, NAMES_KNOWN_MAX), NAME_FOUND);
    assert_int_equal(resolve_numbered(worker, stream, 1), NAME_PENDING); // forgotten
    assert_int_equal(proxy.n_asked, before + 1);
    answer(worker, "kept.example", NAME_FOUND, 1, 1000); // never forgotten while awaited
    RESOLVE(worker, waits, "kept.example", NAME_FOUND, 1);
    end_stream(waits);
    end_stream(stream);
}

static void test_names_that_are_awaited_are_bounded(void **state)
{
    struct worker *worker = *state;
    static struct stream *streams[NAMES_AWAITED_MAX];
    struct stream *more = new_stream(worker);
    for (unsigned i = 0; i < NAMES_AWAITED_MAX; i++) {
        streams[i] = new_stream(worker);
        assert_int_equal(resolve_numbered(worker, streams[i], i), NAME_PENDING);
    }
    assert_int_equal(resolve_numbered(worker, more, NAMES_AWAITED_MAX), NAME_FAILED);
    assert_int_equal(proxy.n_asked, NAMES_AWAITED_MAX); // nobody would take the answer
    end_stream(streams[7]);
    assert_int_equal(resolve_numbered(worker, more, NAMES_AWAITED_MAX), NAME_PENDING);
    end_stream(more);
    for (unsigned i = 0; i < NAMES_AWAITED_MAX; i++)
        if (i != 7)
            end_stream(streams[i]);
}

// ---- the exchange ----

enum { WORKERS = 3, ROUNDS = 2000 };

static struct name_exchange *exchange;
static atomic_uint n_answered[WORKERS];

static void *ask_and_take(void *arg)
{
    unsigned worker = (unsigned)(uintptr_t)arg;
    unsigned n = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "%u.example", i); // the same names in each worker
        name_exchange_ask(exchange, worker, (struct str){text, (size_t)len});
        bool has_come = false;
        while (!has_come) {
            struct name_answer *answers = name_exchange_take_answers(exchange, worker);
            while (answers) {
                struct name_answer *next = answers->next;
                has_come |= str_is(answers->name, text) && answers->n == 1 &&
                            answers->addresses[0].port == 7;
                n += has_come;
                free(answers);
                answers = next;
            }
            sched_yield();
        }
    }
    atomic_store(&n_answered[worker], n);
    return NULL;
}

static void wake_nobody(void *arg, unsigned worker)
{
}

static void answer_at_once(void *arg, struct str name)
{
    struct address address = {.family = AF_INET, .port = 7};
    struct name_answer made = {.status = NAME_FOUND, .valid_ms = 1, .n = 1, .name = name};
    (*(unsigned *)arg)++;
    name_exchange_answer(exchange, &made, &address, wake_nobody, NULL);
    name_exchange_answer(exchange, &made, &address, wake_nobody, NULL); // for nobody: dropped
}

static void test_every_worker_that_asks_gets_its_answer(void **state)
{
    exchange = name_exchange_create(WORKERS);
    pthread_t threads[WORKERS];
    unsigned n_asked = 0, n_done = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_and_take, (void *)(uintptr_t)i), 0);
    while (n_done < WORKERS) {
        name_exchange_forward(exchange, answer_at_once, &n_asked);
        n_done = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            n_done += atomic_load(&n_answered[i]) > 0;
        sched_yield();
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&n_answered[i]), ROUNDS);
    }
    assert_in_range(n_asked, ROUNDS, ROUNDS * WORKERS);
    name_exchange_destroy(exchange);
}

static struct str asked_late[4];
static unsigned n_asked_late;

static void keep_question(void *arg, struct str name)
{
    asked_late[n_asked_late++] = name;
}

static void test_workers_that_ask_for_one_name_share_one_question(void **state)
{
    exchange = name_exchange_create(2);
    n_asked_late = 0;
    struct name_answer made = {.status = NAME_UNKNOWN, .name = STR("a.example")};
    name_exchange_ask(exchange, 0, STR("a.example"));
    name_exchange_forward(exchange, keep_question, NULL);
    name_exchange_ask(exchange, 1, STR("a.example"));
    name_exchange_ask(exchange, 1, STR("b.example"));
    name_exchange_forward(exchange, keep_question, NULL);
    assert_int_equal(n_asked_late, 2);
    assert_null(name_exchange_take_answers(exchange, 0));
    name_exchange_answer(exchange, &made, NULL, wake_nobody, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct name_answer *taken = name_exchange_take_answers(exchange, i);
        assert_non_null(taken);
        assert_null(taken->next);
        assert_int_equal(taken->status, NAME_UNKNOWN);
        free(taken);
    }
    name_exchange_ask(exchange, 0, STR("c.example")); // neither forwarded nor taken: no leak
    name_exchange_answer(exchange, &(struct name_answer){.name = STR("b.example")}, NULL,
                         wake_nobody, NULL);
    name_exchange_destroy(exchange);
}

static void forget_question(void *arg, struct str name)
{
    (void)arg;
    (void)name;
}

static void test_questions_that_wait_are_bounded(void **state)
{
    exchange = name_exchange_create(1);
    for (unsigned i = 0; i < NAME_QUESTIONS_MAX; i++)
        assert_true(name_exchange_ask(exchange, 0, STR("a.example")));
    assert_false(name_exchange_ask(exchange, 0, STR("a.example")));
    name_exchange_forward(exchange, forget_question, NULL);
    assert_true(name_exchange_ask(exchange, 0, STR("a.example")));
    name_exchange_destroy(exchange);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stream_waits_for_the_answer_and_finds_it),
        TEST(test_what_was_learnt_is_served_until_its_end_and_a_while_longer),
        TEST(test_a_name_that_does_not_exist_is_remembered_for_as_long_as_told),
        TEST(test_an_answer_without_addresses_is_none),
        TEST(test_a_stream_waits_for_a_connect_timeout_at_most),
        TEST(test_a_stream_that_leaves_is_woken_no_more),
        TEST(test_names_that_cannot_be_are_not_asked_for),
        TEST(test_names_are_bounded_and_the_ones_used_last_stay),
        TEST(test_names_that_are_awaited_are_bounded),
        cmocka_unit_test(test_every_worker_that_asks_gets_its_answer),
        cmocka_unit_test(test_workers_that_ask_for_one_name_share_one_question),
        cmocka_unit_test(test_questions_that_wait_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
