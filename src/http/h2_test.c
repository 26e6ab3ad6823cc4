// SPDX-License-Identifier: Apache-2.0
// Two engines in conversation, over memory.
#include "http/h2_test.h"

struct pair {
    struct end *client, *server;
};

static int set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    pair->client = end_create(&client_options);
    pair->server = end_create(&server_options);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    end_destroy(pair->client);
    end_destroy(pair->server);
    free(pair);
    return 0;
}

static void use_server(struct pair *pair, const struct h2_options *options)
{
    end_destroy(pair->server);
    pair->server = end_create(options);
}

static void exchange(struct pair *pair)
{
    talk_to_end(pair->client, pair->server);
}

// The stream at the server that this one of the client's is.
static struct message *other(struct pair *pair, const struct message *message)
{
    struct message *found = find_message(pair->server, message->id);
    assert_non_null(found);
    return found;
}

static void fill(char *bytes, size_t n)
{
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (char)x;
    }
}

static void expect_body(const struct message *message, struct str body)
{
    assert_int_equal(message->body.len, body.len);
    if (body.len > 0)
        assert_memory_equal(message->body.data, body.ptr, body.len);
}

// ---- messages ----

static void test_a_message_arrives_as_it_was_sent(void **state)
{
    struct pair *pair = *state;
    struct message *request = send_request_with(
        pair->client, "POST", "/x?y", "Content-Type: text/plain\r\nX-Empty: \r\nx-two: 2\r\n",
        STR("question"), true);
    request->out_trailers = "x-sum: 1\r\nX-Other: b c\r\n";
    exchange(pair);
    struct message *served = other(pair, request);
    assert_string_equal(served->head.data, ":method: POST\n:scheme: http\n:path: /x?y\n"
                                           ":authority: a.example\ncontent-type: text/plain\n"
                                           "x-empty: \nx-two: 2\n");
    expect_body(served, STR("question"));
    assert_string_equal(served->trailers.data, "x-sum: 1\nx-other: b c\n");
    assert_true(served->has_ended);
    assert_true(request->is_sent);
    assert_int_equal(request->n_heads, 0);

    served->out = STR("answer");
    served->out_trailers = "grpc-status: 0\r\n";
    send_head(served, 200, "Content-Length: 6\r\n", true);
    exchange(pair);
    assert_string_equal(request->head.data, ":status: 200\ncontent-length: 6\n");
    expect_body(request, STR("answer"));
    assert_string_equal(request->trailers.data, "grpc-status: 0\n");
    assert_true(request->has_ended && request->is_closed && served->is_closed && served->is_sent);
    assert_int_equal(request->code, H2_NO_ERROR);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    assert_int_equal(h2_n_streams(pair->server->h2), 0);
}

static void test_a_head_alone_ends_a_message(void **state)
{
    struct pair *pair = *state;
    struct message *get = send_request(pair->client, "GET", "/");
    struct message *head = send_request(pair->client, "HEAD", "/");
    exchange(pair);
    assert_true(other(pair, get)->has_ended && other(pair, head)->has_ended);
    assert_int_equal(h2_n_streams(pair->server->h2), 2);
    send_head(other(pair, get), 204, "", false);
    send_head(other(pair, head), 200, "content-length: 1000\r\n", false); // of what GET would bring
    exchange(pair);
    assert_true(get->is_closed && head->is_closed && get->has_ended && head->has_ended);
    assert_int_equal(get->code, H2_NO_ERROR);
    assert_int_equal(head->code, H2_NO_ERROR);
    assert_string_equal(head->head.data, ":status: 200\ncontent-length: 1000\n");
}

static void test_an_empty_body_ends_with_or_without_trailers(void **state)
{
    struct pair *pair = *state;
    struct message *plain = send_post(pair->client, "/", STR_NONE);
    struct message *trailed = send_post(pair->client, "/", STR_NONE);
    trailed->out_trailers = "a: b\r\n";
    exchange(pair);
    assert_true(plain->is_sent && trailed->is_sent);
    assert_true(other(pair, plain)->has_ended && other(pair, trailed)->has_ended);
    assert_string_equal(other(pair, trailed)->trailers.data, "a: b\n");
    send_response(other(pair, plain), 200, STR_NONE);
    exchange(pair);
    assert_true(plain->is_closed && other(pair, plain)->is_sent);
}

static void test_interim_heads_are_no_trailers_and_the_last_is_no_interim(void **state)
{
    struct pair *pair = *state;
    struct message *request = send_request(pair->client, "GET", "/");
    exchange(pair);
    struct message *served = other(pair, request);
    send_head(served, 103, "link: </a>\r\n", false);
    exchange(pair);
    assert_int_equal(request->n_heads, 1);
    assert_false(request->has_ended);
    send_head(served, 103, "link: </b>\r\n", false);
    served->out_trailers = "t: 1\r\n";
    send_response(served, 200, STR("body"));
    exchange(pair);
    assert_int_equal(request->n_heads, 3);
    assert_string_equal(request->interims.data,
                        ":status: 103\nlink: </a>\n:status: 103\nlink: </b>\n");
    assert_string_equal(request->head.data, ":status: 200\n");
    assert_string_equal(request->trailers.data, "t: 1\n");
    expect_body(request, STR("body"));
    assert_true(request->has_ended);
}

static void test_a_body_that_is_not_there_yet_is_waited_for(void **state)
{
    struct pair *pair = *state;
    struct message *request = send_request_with(pair->client, "POST", "/", "", STR_NONE, true);
    request->is_open = true;
    exchange(pair);
    assert_int_equal(other(pair, request)->body.len, 0);
    request->out = STR("first");
    exchange(pair); // nobody has told that there is more
    assert_int_equal(other(pair, request)->body.len, 0);
    h2_resume(pair->client->h2, request->id);
    assert_true(h2_wants_write(pair->client->h2));
    exchange(pair);
    expect_body(other(pair, request), STR("first"));
    request->out = STR("first, last");
    request->is_open = false;
    h2_resume(pair->client->h2, request->id);
    exchange(pair);
    expect_body(other(pair, request), STR("first, last"));
    assert_true(other(pair, request)->has_ended);
}

// However the bytes are cut on their way out and in: the same messages.
static void test_pieces_of_every_size_make_the_same_messages(void **state)
{
    static char body[70000], answer[50000];
    static const struct {
        size_t cap, piece;
    } cuts[] = {{65536, 65536}, {H2_PRODUCE_MIN, 1}, {1025, 1024}, {1500, 7},
                {2048, 9},      {4095, 4096},        {16384, 100}, {16393, 16393},
                {16394, 3},     {20000, 65536},      {40000, 8191}};
    (void)state;
    fill(body, sizeof body);
    fill(answer, sizeof answer);
    for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct pair pair = {end_create(&client_options), end_create(&server_options)};
        struct message *requests[5];
        for (unsigned j = 0; j < 5; j++) {
            requests[j] = send_post(pair.client, "/", (struct str){body, sizeof body - j * 10000});
            requests[j]->out_trailers = "a: b\r\n";
        }
        while (carry(pair.client, pair.server, cuts[i].cap, cuts[i].piece) +
                   carry(pair.server, pair.client, cuts[i].cap, cuts[i].piece) >
               0) {
            for (unsigned j = 0; j < pair.server->n_messages; j++) {
                struct message *served = &pair.server->messages[j];
                if (served->n_heads > 0 && served->out.len == 0)
                    send_response(served, 200, (struct str){answer, sizeof answer - j});
            }
        }
        for (unsigned j = 0; j < 5; j++) {
            struct message *served = other(&pair, requests[j]);
            expect_body(served, requests[j]->out);
            assert_string_equal(served->trailers.data, "a: b\n");
            assert_true(served->has_ended && served->is_closed && requests[j]->is_closed);
            expect_body(requests[j], served->out);
        }
        end_destroy(pair.client);
        end_destroy(pair.server);
    }
}

// ---- windows ----

static char large[400000];

static void test_a_sender_stops_at_the_stream_s_window(void **state)
{
    struct pair *pair = *state;
    pair->server->holds = true;
    struct message *request = send_post(pair->client, "/", (struct str){large, sizeof large});
    exchange(pair);
    struct message *served = other(pair, request);
    assert_int_equal(served->body.len, server_options.stream_window);
    assert_int_equal(request->n_sent, server_options.stream_window);
    exchange(pair);
    assert_int_equal(request->n_sent, server_options.stream_window);
    consume(served, served->unconsumed);
    exchange(pair);
    assert_int_equal(served->body.len, 2 * server_options.stream_window);
    while (!served->has_ended) {
        assert_true(served->unconsumed > 0);
        consume(served, served->unconsumed);
        exchange(pair);
    }
    assert_int_equal(served->body.len, sizeof large);
}

// All streams together: what one does not give back is missing to the others.
static void test_the_connection_s_window_holds_all_streams_together(void **state)
{
    struct pair *pair = *state;
    pair->server->holds = true;
    struct message *requests[3];
    for (unsigned i = 0; i < 3; i++)
        requests[i] = send_post(pair->client, "/", (struct str){large, 90000});
    exchange(pair);
    size_t sum = 0;
    for (unsigned i = 0; i < 3; i++)
        sum += other(pair, requests[i])->body.len;
    assert_int_equal(sum, server_options.connection_window);
    for (unsigned i = 0; i < 3; i++)
        consume(other(pair, requests[i]), other(pair, requests[i])->unconsumed);
    exchange(pair);
    for (unsigned i = 0; i < 3; i++)
        assert_true(other(pair, requests[i])->has_ended);
}

static void test_a_free_connection_window_holds_streams_back_each_for_itself(void **state)
{
    struct pair *pair = *state;
    struct h2_options options = server_options;
    options.connection_window_is_free = true;
    use_server(pair, &options);
    pair->server->holds = true;
    struct message *requests[8];
    for (unsigned i = 0; i < 8; i++)
        requests[i] = send_post(pair->client, "/", (struct str){large, 150000});
    exchange(pair);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(other(pair, requests[i])->body.len, options.stream_window);
    consume(other(pair, requests[7]), options.stream_window);
    exchange(pair);
    assert_true(other(pair, requests[7])->has_ended);
    assert_int_equal(other(pair, requests[0])->body.len, options.stream_window);
}

// What comes for a stream that was forgotten or reset must not eat up the connection's window.
static void test_bytes_for_streams_that_are_gone_are_given_back(void **state)
{
    struct pair *pair = *state;
    pair->server->holds = true;
    for (unsigned i = 0; i < 10; i++) {
        struct message *request = send_post(pair->client, "/", (struct str){large, 90000});
        while (pair->server->n_messages == i)
            carry(pair->client, pair->server, 2000, 65536);
        struct message *served = other(pair, request);
        size_t there = served->unconsumed;
        if (i % 2 == 0)
            h2_reset(pair->server->h2, served->id, H2_CANCEL);
        forget_message(served);
        h2_consume(pair->server->h2, served->id, there);
        while (carry(pair->client, pair->server, 65536, 65536) > 0) { // not yet told of the reset
        }
        exchange(pair);
        if (i % 2 == 0)
            assert_int_equal(request->code, H2_CANCEL);
        else
            assert_true(request->is_sent);
    }
    pair->server->holds = false;
    struct message *last = send_post(pair->client, "/", (struct str){large, 200000});
    exchange(pair);
    assert_true(other(pair, last)->has_ended);
}

// ---- ends before the end ----

static void test_resets_tell_the_other_side_their_code(void **state)
{
    struct pair *pair = *state;
    struct message *by_client = send_request(pair->client, "GET", "/");
    struct message *by_server = send_request(pair->client, "GET", "/");
    struct message *in_body = send_request(pair->client, "GET", "/");
    exchange(pair);
    h2_reset(pair->client->h2, by_client->id, H2_CANCEL);
    h2_reset(pair->server->h2, other(pair, by_server)->id, H2_REFUSED_STREAM);
    other(pair, in_body)->is_open = true;
    send_response(other(pair, in_body), 200, STR("some"));
    exchange(pair);
    assert_true(by_client->is_closed && other(pair, by_client)->is_closed);
    assert_int_equal(other(pair, by_client)->code, H2_CANCEL);
    assert_int_equal(by_server->code, H2_REFUSED_STREAM);
    expect_body(in_body, STR("some"));
    h2_reset(pair->server->h2, in_body->id, H2_INTERNAL_ERROR);
    exchange(pair);
    assert_true(in_body->is_closed);
    assert_false(in_body->has_ended);
    assert_int_equal(in_body->code, H2_INTERNAL_ERROR);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    assert_int_equal(h2_n_streams(pair->server->h2), 0);
}

static void test_a_refused_stream_is_told_so_and_counts_nowhere(void **state)
{
    struct pair *pair = *state;
    pair->server->refuses = true;
    struct message *request = send_request(pair->client, "GET", "/");
    exchange(pair);
    assert_true(request->is_closed);
    assert_int_equal(request->code, H2_REFUSED_STREAM);
    assert_int_equal(h2_n_streams(pair->server->h2), 0);
    assert_int_equal(pair->server->n_messages, 0);
    pair->server->refuses = false;
    struct message *next = send_request(pair->client, "GET", "/");
    exchange(pair);
    assert_true(other(pair, next)->has_ended);
}

static void test_an_early_answer_and_no_error_end_a_request_that_goes_on(void **state)
{
    struct pair *pair = *state;
    pair->server->holds = true;
    struct message *request = send_post(pair->client, "/", (struct str){large, sizeof large});
    exchange(pair);
    struct message *served = other(pair, request);
    send_response(served, 413, STR("no"));
    exchange(pair);
    assert_true(request->has_ended);
    assert_false(request->is_closed);
    h2_reset(pair->server->h2, served->id, H2_NO_ERROR);
    exchange(pair);
    assert_true(request->is_closed);
    assert_int_equal(request->code, H2_NO_ERROR);
}

static void test_no_event_comes_after_forget(void **state)
{
    struct pair *pair = *state; // told_message() fails on any
    struct message *pending = send_request(pair->client, "GET", "/");
    h2_reset(pair->client->h2, pending->id, H2_CANCEL); // before it is on the wire
    forget_message(pending);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    struct message *only_forgotten = send_request(pair->client, "GET", "/");
    forget_message(only_forgotten);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    exchange(pair);
    assert_null(find_message(pair->server, pending->id));
    send_response(other(pair, only_forgotten), 200, STR("for nobody"));
    exchange(pair);

    struct message *request = send_post(pair->client, "/", (struct str){large, sizeof large});
    exchange(pair);
    struct message *served = other(pair, request);
    served->is_open = true;
    send_response(served, 200, STR("x"));
    h2_reset(pair->server->h2, served->id, H2_CANCEL);
    forget_message(served);
    exchange(pair);
    assert_int_equal(request->code, H2_CANCEL);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    assert_int_equal(h2_n_streams(pair->server->h2), 0);
}

// ---- the connection ----

static void test_going_away_takes_what_is_on_its_way_and_then_no_more(void **state)
{
    struct pair *pair = *state;
    struct message *before = send_request(pair->client, "GET", "/");
    exchange(pair);
    assert_true(h2_can_request(pair->client->h2));
    h2_announce_shutdown(pair->server->h2);
    struct message *on_its_way = send_request(pair->client, "GET", "/");
    exchange(pair);
    assert_int_equal(pair->client->n_goaways, 1);
    assert_int_equal(pair->client->goaway_code, H2_NO_ERROR);
    assert_false(h2_can_request(pair->client->h2));
    assert_non_null(other(pair, on_its_way));
    h2_shutdown(pair->server->h2, H2_NO_ERROR);
    exchange(pair);
    assert_int_equal(pair->client->n_goaways, 2);
    assert_false(before->is_closed || on_its_way->is_closed);
    assert_false(h2_is_over(pair->server->h2));
    send_response(other(pair, before), 200, STR("1"));
    send_response(other(pair, on_its_way), 200, STR("2"));
    exchange(pair);
    expect_body(before, STR("1"));
    expect_body(on_its_way, STR("2"));
    assert_true(h2_is_over(pair->client->h2));
    assert_true(h2_is_over(pair->server->h2));
}

static void test_a_stream_behind_the_last_call_is_refused(void **state)
{
    struct pair *pair = *state;
    struct message *first = send_request(pair->client, "GET", "/");
    exchange(pair);
    struct buf said = {0};
    h2_shutdown(pair->server->h2, H2_NO_ERROR);
    drain_output(pair->server, &said);
    struct message *late = send_request(pair->client, "GET", "/");
    carry(pair->client, pair->server, 65536, 65536); // it crosses the GOAWAY
    assert_true(feed(pair->client, &said));
    buf_fini(&said);
    exchange(pair);
    assert_true(late->is_closed);
    assert_int_equal(late->code, H2_REFUSED_STREAM);
    assert_null(find_message(pair->server, late->id));
    send_response(other(pair, first), 200, STR("1"));
    exchange(pair);
    expect_body(first, STR("1"));
}

static void test_extended_connect_is_known_by_the_settings(void **state)
{
    struct pair *pair = *state;
    assert_false(h2_has_settings(pair->client->h2));
    assert_false(h2_peer_has_connect(pair->client->h2));
    exchange(pair);
    assert_true(h2_has_settings(pair->client->h2));
    assert_true(h2_peer_has_connect(pair->client->h2));
    struct message *request = send_request_with(pair->client, "CONNECT websocket", "/chat",
                                                "sec-websocket-version: 13\r\n", STR("up"), true);
    request->is_open = true;
    exchange(pair);
    struct message *served = other(pair, request);
    assert_non_null(strstr(served->head.data, ":method: CONNECT\n"));
    assert_non_null(strstr(served->head.data, ":protocol: websocket\n"));
    assert_non_null(strstr(served->head.data, ":path: /chat\n"));
    expect_body(served, STR("up"));
    served->is_open = true;
    send_response(served, 200, STR("down"));
    exchange(pair);
    expect_body(request, STR("down"));
    served->is_open = request->is_open = false;
    h2_resume(pair->server->h2, served->id);
    h2_resume(pair->client->h2, request->id);
    exchange(pair);
    assert_true(request->is_closed && served->is_closed);
    assert_int_equal(request->code, H2_NO_ERROR);
}

static void test_a_client_keeps_to_the_number_of_streams_that_it_was_told(void **state)
{
    struct pair *pair = *state;
    struct h2_options options = server_options;
    options.concurrent_streams = 3;
    use_server(pair, &options);
    exchange(pair);
    struct message *requests[3];
    for (unsigned i = 0; i < 3; i++) {
        assert_true(h2_can_request(pair->client->h2));
        requests[i] = send_request(pair->client, "GET", "/");
    }
    assert_false(h2_can_request(pair->client->h2));
    exchange(pair);
    assert_int_equal(pair->server->n_messages, 3);
    send_response(other(pair, requests[1]), 200, STR("x"));
    exchange(pair);
    assert_true(h2_can_request(pair->client->h2));
}

static void test_a_client_that_opens_too_many_streams_is_sent_away(void **state)
{
    (void)state;
    struct h2_options options = server_options;
    options.concurrent_streams = 3;
    struct end *server = end_create(&options);
    struct buf in = {0}, said = {0};
    put_preface(&in);
    assert_true(feed(server, &in));
    drain_output(server, &said);
    said.len = 0;
    put_frame(&in, FRAME_SETTINGS, FLAG_ACK, 0, STR_NONE);
    for (int i = 0; i < 4; i++)
        put_request(&in, 2 * i + 1, "GET", FLAG_END_STREAM);
    feed(server, &in);
    drain_output(server, &said);
    assert_int_equal(server->n_messages, 3);
    assert_true(said_code(&said, FRAME_GOAWAY, 0) == H2_PROTOCOL_ERROR ||
                said_code(&said, FRAME_RST_STREAM, 7) == H2_REFUSED_STREAM);
    end_destroy(server);
    buf_fini(&in);
    buf_fini(&said);
}

static void test_a_ping_is_answered(void **state)
{
    struct pair *pair = *state;
    struct buf said = {0};
    exchange(pair);
    h2_ping(pair->client->h2);
    carry(pair->client, pair->server, 65536, 65536);
    drain_output(pair->server, &said);
    struct str rest = buf_str(&said);
    struct frame frame;
    assert_true(take_frame(&rest, &frame));
    assert_int_equal(frame.type, FRAME_PING);
    assert_int_equal(frame.flags, FLAG_ACK);
    assert_int_equal(rest.len, 0);
    buf_fini(&said);
}

static void test_codes_have_words(void **state)
{
    (void)state;
    assert_string_equal(h2_error_word(H2_REFUSED_STREAM), "REFUSED_STREAM");
    assert_string_equal(h2_error_word(H2_HTTP_1_1_REQUIRED), "HTTP_1_1_REQUIRED");
    assert_non_null(h2_error_word(4711));
}

// A head that does not fit the table of fields is told, and nothing was sent of it.
static void test_a_head_with_too_many_fields_is_not_submitted(void **state)
{
    struct pair *pair = *state;
    struct buf lines = {0};
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&lines, "x-%u: y\r\n", i);
    struct message *request =
        send_request_with(pair->client, "GET", "/", lines.data, STR_NONE, false);
    assert_int_equal(request->id, -1);
    assert_int_equal(h2_n_streams(pair->client->h2), 0);
    struct message *next = send_request(pair->client, "GET", "/");
    exchange(pair);
    assert_int_equal(pair->server->n_messages, 1);
    assert_true(other(pair, next)->has_ended);
    buf_fini(&lines);
}

// ---- destroyed in any state ----

static void submit_some(struct end *client)
{
    send_request(client, "GET", "/");
    struct message *post = send_post(client, "/", (struct str){large, 30000});
    post->out_trailers = "a: b\r\n";
    struct message *open = send_post(client, "/", STR("begun"));
    open->is_open = true;
    h2_reset(client->h2, send_request(client, "GET", "/")->id, H2_CANCEL);
}

static void test_destroying_is_clean_behind_any_byte(void **state)
{
    (void)state;
    struct buf said = {0};
    struct end *client = end_create(&client_options);
    submit_some(client);
    drain_output(client, &said);
    end_destroy(client);
    for (size_t n = 0; n < said.len; n += n < 600 ? 1 : 997) {
        struct pair pair = {end_create(&client_options), end_create(&server_options)};
        struct buf in = {0}, dropped = {0};
        buf_add(&in, said.data, n);
        submit_some(pair.client);
        if (n % 2)
            drain_output(pair.client, &dropped);
        assert_true(feed(pair.server, &in));
        for (unsigned i = 0; i < pair.server->n_messages; i++)
            if (pair.server->messages[i].n_heads > 0)
                send_response(&pair.server->messages[i], 200, (struct str){large, 50000});
        if (n % 3)
            carry(pair.server, pair.client, H2_PRODUCE_MIN + n % 3000, 65536);
        end_destroy(pair.client);
        end_destroy(pair.server);
        buf_fini(&in);
        buf_fini(&dropped);
    }
    buf_fini(&said);
    h2_destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_message_arrives_as_it_was_sent),
        TEST(a_head_alone_ends_a_message),
        TEST(an_empty_body_ends_with_or_without_trailers),
        TEST(interim_heads_are_no_trailers_and_the_last_is_no_interim),
        TEST(a_body_that_is_not_there_yet_is_waited_for),
        TEST(pieces_of_every_size_make_the_same_messages),
        TEST(a_sender_stops_at_the_stream_s_window),
        TEST(the_connection_s_window_holds_all_streams_together),
        TEST(a_free_connection_window_holds_streams_back_each_for_itself),
        TEST(bytes_for_streams_that_are_gone_are_given_back),
        TEST(resets_tell_the_other_side_their_code),
        TEST(a_refused_stream_is_told_so_and_counts_nowhere),
        TEST(an_early_answer_and_no_error_end_a_request_that_goes_on),
        TEST(no_event_comes_after_forget),
        TEST(going_away_takes_what_is_on_its_way_and_then_no_more),
        TEST(a_stream_behind_the_last_call_is_refused),
        TEST(extended_connect_is_known_by_the_settings),
        TEST(a_client_keeps_to_the_number_of_streams_that_it_was_told),
        TEST(a_client_that_opens_too_many_streams_is_sent_away),
        TEST(a_ping_is_answered),
        TEST(codes_have_words),
        TEST(a_head_with_too_many_fields_is_not_submitted),
        TEST(destroying_is_clean_behind_any_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
