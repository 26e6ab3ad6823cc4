// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "http/h1.h"
#include "proxy/body_queue.h"
#include "proxy/worker_test.h"
#include <fcntl.h>

// Takes up to `max` bytes off the front into `out`. Returns the window given back.
static uint32_t take(struct body_queue *queue, struct worker *worker, struct buf *out, size_t max)
{
    struct str front = str_upto(queue_front(queue), max);
    buf_add_str(out, front);
    return front.len ? queue_drop(queue, worker, front.len) : 0;
}

static uint32_t take_all(struct body_queue *queue, struct worker *worker, struct buf *out)
{
    uint32_t window = 0;
    while (queue->bytes > 0)
        window += take(queue, worker, out, SIZE_MAX);
    assert_null(queue->first);
    assert_int_equal(queue_front(queue).len, 0);
    return window;
}

static void expect_text(const struct buf *buf, const char *text)
{
    assert_int_equal(buf->len, strlen(text));
    assert_memory_equal(buf->data, text, buf->len);
}

static void test_bytes_leave_in_the_order_they_came_and_the_window_with_them(void **state)
{
    struct worker *worker = *state;
    struct body_queue queue = {0};
    struct buf in = {0}, out = {0};
    static char piece[60000];
    uint32_t random = 88675123;
    uint64_t window = 0;
    for (unsigned turn = 0; turn < 2000; turn++) {
        size_t n = next_random(&random) % (turn % 10 ? 2000 : sizeof piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)next_random(&random);
        buf_add(&in, piece, n);
        queue_add(&queue, worker, (struct str){piece, n});
        for (unsigned i = next_random(&random) % 6; i > 0; i--) {
            size_t before = out.len;
            uint32_t given = take(&queue, worker, &out, 1 + next_random(&random) % 20000);
            assert_int_equal(given, out.len - before); // of plain bytes: as many
            window += given;
        }
        assert_int_equal(queue.bytes, in.len - out.len);
        assert_int_equal(queue.owed, queue.bytes);
    }
    window += take_all(&queue, worker, &out);
    assert_int_equal(window, in.len);
    assert_int_equal(queue.owed, 0);
    assert_int_equal(out.len, in.len);
    assert_memory_equal(out.data, in.data, in.len);
    queue_fini(&queue, worker);
    buf_fini(&in);
    buf_fini(&out);
}

static void test_an_empty_piece_adds_nothing(void **state)
{
    struct worker *worker = *state;
    struct body_queue queue = {.makes_chunks = true};
    queue_add(&queue, worker, STR_NONE); // a chunk of no bytes would be the last one
    assert_int_equal(queue.bytes, 0);
    assert_null(queue.first);
    queue_fini(&queue, worker);
}

static void test_what_is_left_is_freed(void **state)
{
    struct worker *worker = *state;
    static char piece[100000];
    struct body_queue queue = {0};
    queue_add(&queue, worker, (struct str){piece, sizeof piece});
    queue_end(&queue, worker, STR_NONE);
    assert_true(queue.has_end);
    queue_fini(&queue, worker);
    assert_int_equal(queue.bytes, 0);
    assert_false(queue.has_end);
    queue_fini(&queue, worker);
}

static void test_each_piece_is_a_chunk_and_trailers_end_them(void **state)
{
    struct worker *worker = *state;
    struct body_queue queue = {0};
    struct buf out = {0};
    queue_make_chunks(&queue, worker, STR_NONE);
    queue_add(&queue, worker, STR("hello"));
    queue_add(&queue, worker, STR("sixteen bytes..."));
    queue_end(&queue, worker, STR("a: b\r\nc: d\r\n"));
    uint32_t window = take_all(&queue, worker, &out);
    expect_text(&out, "5\r\nhello\r\n10\r\nsixteen bytes...\r\n0\r\na: b\r\nc: d\r\n\r\n");
    assert_int_equal(window, 21); // what came in, not what went out
    assert_int_equal(queue.owed, 0);
    buf_fini(&out);
    queue_fini(&queue, worker);
}

static void test_what_waited_becomes_one_chunk(void **state)
{
    struct worker *worker = *state;
    for (int has_end = 0; has_end < 2; has_end++) {
        struct body_queue queue = {0};
        struct buf out = {0};
        queue_add(&queue, worker, STR("one, "));
        queue_add(&queue, worker, STR("two"));
        if (has_end)
            queue_end(&queue, worker, STR_NONE);
        queue_make_chunks(&queue, worker, has_end ? STR("t: 1\r\n") : STR_NONE);
        if (!has_end) {
            queue_add(&queue, worker, STR("three"));
            queue_end(&queue, worker, STR_NONE);
        }
        uint32_t window = take_all(&queue, worker, &out);
        expect_text(&out, has_end ? "8\r\none, two\r\n0\r\nt: 1\r\n\r\n"
                                  : "8\r\none, two\r\n5\r\nthree\r\n0\r\n\r\n");
        assert_int_equal(window, has_end ? 8 : 13);
        buf_fini(&out);
        queue_fini(&queue, worker);
    }
    struct body_queue nothing = {0};
    struct buf out = {0};
    queue_end(&nothing, worker, STR_NONE);
    queue_make_chunks(&nothing, worker, STR_NONE);
    take_all(&nothing, worker, &out);
    expect_text(&out, "0\r\n\r\n");
    buf_fini(&out);
    queue_fini(&nothing, worker);
}

// What a decoder of chunks makes of the queue's bytes.
static void decode(const struct buf *chunks, struct buf *ret_data)
{
    struct h1_chunked chunked;
    h1_chunked_init(&chunked);
    enum h1_chunk_event event = H1_CHUNK_MORE;
    for (size_t at = 0; at < chunks->len;) {
        size_t used;
        struct str data, name;
        event = h1_chunked_next(&chunked, chunks->data + at, chunks->len - at, &used, &data, &name);
        assert_int_not_equal(event, H1_CHUNK_ERROR);
        at += used;
        if (event == H1_CHUNK_DATA)
            buf_add_str(ret_data, data);
        if (event == H1_CHUNK_END)
            assert_int_equal(at, chunks->len);
    }
    assert_int_equal(event, H1_CHUNK_END);
}

// No more window than came in, all of it in the end, and a slow reader is never owed by nothing.
static void test_chunks_of_any_size_give_back_what_came_in(void **state)
{
    struct worker *worker = *state;
    static char piece[40000];
    uint32_t random = 521288629;
    for (unsigned round = 0; round < 50; round++) {
        struct body_queue queue = {0};
        struct buf in = {0}, out = {0}, decoded = {0};
        unsigned turns = next_random(&random) % 60, begin = next_random(&random) % 40;
        uint64_t window = 0;
        for (unsigned turn = 0; turn < turns; turn++) {
            size_t n = next_random(&random) % (turn % 7 ? 5 : sizeof piece);
            for (size_t i = 0; i < n; i++)
                piece[i] = (char)next_random(&random);
            if (turn == begin)
                queue_make_chunks(&queue, worker, STR_NONE);
            buf_add(&in, piece, n);
            queue_add(&queue, worker, (struct str){piece, n});
            for (unsigned i = next_random(&random) % 4; queue.makes_chunks && i > 0; i--)
                window += take(&queue, worker, &out, 1 + next_random(&random) % 30000);
            assert_true(window <= in.len);
            assert_int_equal(window + queue.owed, in.len);
            assert_true(queue.bytes > 0 || queue.owed == 0);
        }
        queue_end(&queue, worker, STR_NONE);
        if (!queue.makes_chunks)
            queue_make_chunks(&queue, worker, STR_NONE);
        window += take_all(&queue, worker, &out);
        assert_int_equal(window, in.len);
        decode(&out, &decoded);
        assert_int_equal(decoded.len, in.len);
        if (in.len > 0)
            assert_memory_equal(decoded.data, in.data, in.len);
        buf_fini(&in);
        buf_fini(&out);
        buf_fini(&decoded);
        queue_fini(&queue, worker);
    }
}

static void test_bytes_that_were_made_of_others_give_back_the_others(void **state)
{
    struct worker *worker = *state;
    struct body_queue queue = {0};
    struct buf out = {0};
    queue_add_changed(&queue, worker, STR("abc"), 4); // base64 taken apart: less goes out
    assert_int_equal(take(&queue, worker, &out, 2), 2);
    assert_int_equal(take(&queue, worker, &out, 2), 2);    // it is empty: all
    queue_add_changed(&queue, worker, STR("abcdefgh"), 6); // put together: more
    assert_int_equal(take(&queue, worker, &out, 5), 5);
    assert_int_equal(take(&queue, worker, &out, 5), 1);
    queue_add_changed(&queue, worker, STR_NONE, 3); // half of four characters: later
    assert_int_equal(queue.owed, 3);
    queue_add_changed(&queue, worker, STR("x"), 1);
    assert_int_equal(take(&queue, worker, &out, 5), 4);
    buf_fini(&out);
    queue_fini(&queue, worker);
}

static void test_a_socket_takes_what_it_has_room_for(void **state)
{
    struct worker *worker = *state;
    static char piece[300000], heard[sizeof piece];
    uint32_t random = 362436069;
    int fds[2];
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (char)next_random(&random);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    struct sock sock = {.watch.fd = fds[0], .writable = true};
    struct body_queue queue = {0};
    queue_add(&queue, worker, (struct str){piece, sizeof piece});
    size_t n_heard = 0;
    uint64_t window = 0;
    unsigned n_full = 0;
    while (queue.bytes > 0) {
        uint32_t given = 7;
        ssize_t n = queue_send(&queue, worker, &sock, &given);
        window += given;
        if (n == -EAGAIN) {
            assert_int_equal(given, 0);
            assert_false(sock.writable);
            ssize_t got = recv(fds[1], heard + n_heard, 50000, 0);
            assert_true(got > 0);
            n_heard += (size_t)got;
            sock.writable = true;
            n_full++;
            continue;
        }
        assert_true(n > 0);
        assert_int_equal(given, n);
    }
    assert_true(n_full > 0);
    close(fds[0]);
    for (ssize_t got; (got = recv(fds[1], heard + n_heard, sizeof heard - n_heard, 0)) > 0;)
        n_heard += (size_t)got;
    close(fds[1]);
    assert_int_equal(window, sizeof piece);
    assert_int_equal(n_heard, sizeof piece);
    assert_memory_equal(heard, piece, sizeof piece);
    queue_fini(&queue, worker);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_worker, tear_down_worker)
    const struct CMUnitTest tests[] = {
        TEST(bytes_leave_in_the_order_they_came_and_the_window_with_them),
        TEST(an_empty_piece_adds_nothing),
        TEST(what_is_left_is_freed),
        TEST(each_piece_is_a_chunk_and_trailers_end_them),
        TEST(what_waited_becomes_one_chunk),
        TEST(chunks_of_any_size_give_back_what_came_in),
        TEST(bytes_that_were_made_of_others_give_back_the_others),
        TEST(a_socket_takes_what_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
