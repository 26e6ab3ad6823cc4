// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "proxy/worker_test.h"

struct call {
    struct worker *worker;
    struct stream *stream;
    char head[512];
};

static void set_type(struct call *call, const char *type)
{
    struct stream *stream = call->stream;
    struct h1_limits limits = {500, 100, 20};
    size_t scanned = 0, len = 0;
    enum h1_error error;
    int n = type ? snprintf(call->head, sizeof call->head,
                            "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: %s\r\n\r\n", type)
                 : snprintf(call->head, sizeof call->head, "POST / HTTP/1.1\r\nhost: a\r\n\r\n");
    stream->req.headers.n = 0;
    memset(stream->req.headers.first, 0, sizeof stream->req.headers.first);
    assert_int_equal(
        h1_parse_request(&stream->req, &limits, call->head, (size_t)n, &scanned, &len, &error),
        H1_DONE);
    stream->grpc_web = (uint8_t)grpc_web_of(stream);
}

static int set_up(void **state)
{
    struct call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    call->worker = bare_worker();
    call->stream = stream_create(call->worker);
    stream_add_h2_part(call->stream);
    *state = call;
    return 0;
}

static void free_bodies(struct call *call)
{
    queue_fini(&call->stream->h2.req_queue, call->worker);
    queue_fini(&call->stream->h2.res_queue, call->worker);
    head_text_fini(&call->stream->h2.res_trailers, call->worker);
    memset(&call->stream->base64, 0, sizeof call->stream->base64);
}

static int tear_down(void **state)
{
    struct call *call = *state;
    free_bodies(call);
    stream_discard(call->stream);
    free(call->worker);
    free(call);
    return 0;
}

static void take_all(struct call *call, struct body_queue *queue, struct buf *out)
{
    while (queue->bytes > 0) {
        struct str front = queue_front(queue);
        buf_add_str(out, front);
        queue_drop(queue, call->worker, front.len);
    }
}

// Bytes as such: they hold zeros.
static void expect_bytes(struct buf *buf, struct str bytes)
{
    assert_int_equal(buf->len, bytes.len);
    if (bytes.len > 0)
        assert_memory_equal(buf->data, bytes.ptr, bytes.len);
    buf_fini(buf);
}

static void test_content_types_tell_and_are_translated(void **state)
{
    struct call *call = *state;
    static const struct {
        const char *type;
        enum grpc_web kind;
        const char *grpc;
    } rows[] = {
        {NULL, GRPC_WEB_NONE, NULL},
        {"application/grpc", GRPC_WEB_NONE, NULL},
        {"application/grpc+proto", GRPC_WEB_NONE, NULL},
        {"application/json", GRPC_WEB_NONE, NULL},
        {"application/grpc-webx", GRPC_WEB_NONE, NULL},
        {"application/grpc-web-textual", GRPC_WEB_NONE, NULL},
        {"application/grpc-web-", GRPC_WEB_NONE, NULL},
        {"application/grpc-we", GRPC_WEB_NONE, NULL},
        {"application/grpc-web", GRPC_WEB_BINARY, "application/grpc"},
        {"application/grpc-web+proto", GRPC_WEB_BINARY, "application/grpc+proto"},
        {"Application/GRPC-Web+json; charset=utf-8", GRPC_WEB_BINARY,
         "Application/GRPC+json; charset=utf-8"},
        {"application/grpc-web-text", GRPC_WEB_TEXT, "application/grpc"},
        {"application/grpc-web-text+thrift", GRPC_WEB_TEXT, "application/grpc+thrift"},
        {"application/grpc-WEB-TEXT;x=y", GRPC_WEB_TEXT, "application/grpc;x=y"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        set_type(call, rows[i].type);
        if (call->stream->grpc_web != rows[i].kind)
            fail_msg("%s: %u", rows[i].type, call->stream->grpc_web);
        if (rows[i].grpc && !str_is(grpc_web_request_type(call->stream), rows[i].grpc))
            fail_msg("%s: %.*s", rows[i].type, STR_ARG(grpc_web_request_type(call->stream)));
    }
}

static void set_response_type(struct call *call, char *head)
{
    struct h1_limits limits = {500, 0, 20};
    size_t scanned = 0, len = 0;
    enum h1_error error;
    call->stream->res.headers.n = 0;
    memset(call->stream->res.headers.first, 0, sizeof call->stream->res.headers.first);
    assert_int_equal(h1_parse_response(&call->stream->res, METHOD_POST, &limits, head, strlen(head),
                                       &scanned, &len, &error),
                     H1_DONE);
}

static void test_a_response_s_type_is_the_client_s(void **state)
{
    struct call *call = *state;
    char proto[] = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc+proto\r\n\r\n";
    char html[] = "HTTP/1.1 503 No\r\ncontent-type: text/html\r\n\r\n";
    char none[] = "HTTP/1.1 200 OK\r\n\r\n";
    set_type(call, "application/grpc-web");
    set_response_type(call, proto);
    assert_true(str_is(grpc_web_response_type(call->stream), "application/grpc-web+proto"));
    set_type(call, "application/grpc-web-text");
    assert_true(str_is(grpc_web_response_type(call->stream), "application/grpc-web-text+proto"));
    set_response_type(call, html); // of an error, not ours to change
    assert_true(str_is(grpc_web_response_type(call->stream), "text/html"));
    set_response_type(call, none);
    assert_int_equal(grpc_web_response_type(call->stream).len, 0);
}

static void test_the_text_form_is_taken_apart_however_it_is_cut(void **state)
{
    struct call *call = *state;
    static const char text[] = "AAAAAANmb28=AAAAAANiYXI=AAAAAAFhAAAAAAFi"; // segments, each padded
    static const struct str plain = {"\0\0\0\0\3foo\0\0\0\0\3bar\0\0\0\0\1a\0\0\0\0\1b", 28};
    set_type(call, "application/grpc-web-text");
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        struct buf out = {0};
        uint64_t owed = 0;
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            struct str part = str_upto((struct str){text + at, sizeof text - 1 - at}, piece);
            assert_true(grpc_web_add_request(call->stream, part));
            owed += part.len;
            assert_int_equal(call->stream->h2.req_queue.owed, owed); // what came holds the sender
        }
        take_all(call, &call->stream->h2.req_queue, &out);
        expect_bytes(&out, plain);
        assert_int_equal(call->stream->h2.req_queue.owed, 0);
        free_bodies(call);
    }
}

static void test_what_is_no_base64_is_told(void **state)
{
    struct call *call = *state;
    static const char *const bad[] = {"AA!A", "A===", "AA=A", "AAA\n", "=AAA"};
    set_type(call, "application/grpc-web-text");
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool ok = grpc_web_add_request(call->stream, STR("AAAA")) &&
                  grpc_web_add_request(call->stream, str_of(bad[i]));
        if (ok)
            fail_msg("%s was taken", bad[i]);
        assert_false(grpc_web_add_request(call->stream, STR("AAAA"))); // for good
        free_bodies(call);
    }
}

// The body may be there, and even bad, before it is known that it goes to HTTP/2.
static void test_what_came_before_is_turned_too(void **state)
{
    struct call *call = *state;
    struct stream *stream = call->stream;
    struct buf out = {0};
    set_type(call, "application/grpc-web-text");
    queue_add(&stream->h2.req_queue, call->worker, STR("AAAAAAN"));
    grpc_web_begin(stream);
    assert_false(stream->is_bad_body);
    assert_true(grpc_web_add_request(stream, STR("mb28=")));
    assert_int_equal(stream->h2.req_queue.owed, 12);
    take_all(call, &stream->h2.req_queue, &out);
    expect_bytes(&out, STR("\0\0\0\0\3foo"));
    free_bodies(call);

    static const struct {
        struct str body;
        bool has_end, is_bad;
    } rows[] = {{{"AAA!", 4}, false, true},
                {{"AAA", 3}, false, false},
                {{"AAA", 3}, true, true},
                {{"AAA=", 4}, true, false},
                {{"", 0}, true, false}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        stream->is_bad_body = false;
        queue_add(&stream->h2.req_queue, call->worker, rows[i].body);
        if (rows[i].has_end)
            queue_end(&stream->h2.req_queue, call->worker, STR_NONE);
        grpc_web_begin(stream);
        if (stream->is_bad_body != rows[i].is_bad)
            fail_msg("row %u: %d", i, stream->is_bad_body);
        assert_int_equal(stream->h2.req_queue.has_end, rows[i].has_end);
        free_bodies(call);
    }
}

static void test_the_binary_form_goes_as_it_is(void **state)
{
    struct call *call = *state;
    struct buf out = {0};
    set_type(call, "application/grpc-web+proto");
    assert_true(grpc_web_add_request(call->stream, STR("\0\0\0\0\3fo")));
    grpc_web_begin(call->stream);
    assert_true(grpc_web_add_request(call->stream, STR("o")));
    take_all(call, &call->stream->h2.req_queue, &out);
    expect_bytes(&out, STR("\0\0\0\0\3foo"));
    grpc_web_add_response(call->stream, STR("\0\0\0\0\3bar"));
    take_all(call, &call->stream->h2.res_queue, &out);
    expect_bytes(&out, STR("\0\0\0\0\3bar"));
}

static void test_trailers_are_a_last_message(void **state)
{
    struct call *call = *state;
    struct stream *stream = call->stream;
    struct buf out = {0};
    set_type(call, "application/grpc-web");
    head_text_add(&stream->h2.res_trailers, call->worker, STR("grpc-status"), STR("0"), 8192);
    head_text_add(&stream->h2.res_trailers, call->worker, STR("x"), STR(""), 8192);
    grpc_web_add_response(stream, STR("body"));
    grpc_web_end_response(stream);
    assert_int_equal(stream->h2.res_trailers.len, 0); // not once more
    assert_int_equal(stream->h2.res_queue.owed, 4);   // the endpoint's window: what it sent
    take_all(call, &stream->h2.res_queue, &out);
    expect_bytes(&out, STR("body\x80\0\0\0\x15grpc-status: 0\r\nx: \r\n"));
    free_bodies(call);

    set_type(call, "application/grpc-web-text");
    head_text_add(&stream->h2.res_trailers, call->worker, STR("grpc-status"), STR("0"), 8192);
    grpc_web_add_response(stream, STR("body"));
    grpc_web_end_response(stream);
    take_all(call, &stream->h2.res_queue, &out);
    expect_bytes(&out, STR("Ym9keQ=="
                           "gAAAABBncnBjLXN0YXR1czogMA0K"));
    free_bodies(call);

    grpc_web_end_response(stream); // none came
    assert_int_equal(stream->h2.res_queue.bytes, 0);
}

static void test_a_large_response_is_whole_in_the_text_form(void **state)
{
    struct call *call = *state;
    static char body[100000];
    uint32_t random = 5;
    struct buf out = {0};
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)next_random(&random);
    set_type(call, "application/grpc-web-text");
    for (size_t at = 0, n; at < sizeof body; at += n) {
        n = 1 + next_random(&random) % 20000;
        grpc_web_add_response(call->stream, str_upto((struct str){body + at, sizeof body - at}, n));
    }
    assert_int_equal(call->stream->h2.res_queue.owed, sizeof body);
    take_all(call, &call->stream->h2.res_queue, &out);
    struct base64_decoder decoder = {0};
    assert_int_equal(base64_decode(&decoder, buf_str(&out), out.data), sizeof body);
    assert_true(base64_is_complete(&decoder));
    assert_memory_equal(out.data, body, sizeof body);
    buf_fini(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(content_types_tell_and_are_translated),
        TEST(a_response_s_type_is_the_client_s),
        TEST(the_text_form_is_taken_apart_however_it_is_cut),
        TEST(what_is_no_base64_is_told),
        TEST(what_came_before_is_turned_too),
        TEST(the_binary_form_goes_as_it_is),
        TEST(trailers_are_a_last_message),
        TEST(a_large_response_is_whole_in_the_text_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
