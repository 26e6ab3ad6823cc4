// SPDX-License-Identifier: Apache-2.0
// HTTP/2 through the proxy: what ends before its end, on either side; changes, draining, upgrades.
#include "proxy/proxy_h2_test.h"
#include "tls/websocket.h"

// ---- the endpoint's side ends ----

static void test_a_cut_response_of_http_1_is_a_reset(void **state)
{
    struct gate *gate = *state;
    static const char *const beginnings[] = {
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\nnonsense\r\n"};
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    for (unsigned i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct message *request = send_request(client->end, "GET", "/");
        struct peer *endpoint = h1_accept(gate);
        h1_hear_head(endpoint);
        say(endpoint, beginnings[i]);
        if (i < 3)
            UNTIL(request->body.len == 10);
        hang_up(endpoint);
        UNTIL(request->is_closed);
        if (i == 3) { // found out before anything was said
            expect_status(request, 502);
            continue;
        }
        assert_false(request->has_ended);
        assert_int_equal(request->code, H2_INTERNAL_ERROR);
    }
    struct message *next = send_request(client->end, "GET", "/direct");
    UNTIL(next->is_closed);
    expect_status(next, 200);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_cut_response_of_http_2_is_a_reset(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *reset = send_request(client->end, "GET", "/reset");
    struct message *lost = send_request(client->end, "GET", "/lost");
    struct message *unanswered = send_request(client->end, "GET", "/unanswered");
    struct h2_peer *endpoint = h2_accept(gate);
    served_path(endpoint, "/lost");
    struct message *lost_unanswered = send_request(client->end, "POST", "/silent"); // not repeated
    served_path(endpoint, "/silent");
    static const char *const answered[] = {"/reset", "/lost"};
    for (unsigned i = 0; i < 2; i++) {
        struct message *message = served_path(endpoint, answered[i]);
        message->is_open = true;
        send_response(message, 200, STR("some"));
    }
    UNTIL(reset->body.len == 4 && lost->body.len == 4);
    h2_reset(endpoint->end->h2, served_path(endpoint, "/reset")->id, H2_CONNECT_ERROR);
    UNTIL(reset->is_closed); // one after the other, for the log
    h2_reset(endpoint->end->h2, served_path(endpoint, "/unanswered")->id, H2_CONNECT_ERROR);
    UNTIL(unanswered->is_closed);
    assert_int_equal(reset->code, H2_INTERNAL_ERROR); // what was said to the gateway is not all
    assert_false(reset->has_ended);
    expect_status(unanswered, 503);
    assert_false(lost->is_closed || lost_unanswered->is_closed);
    h2_hang_up(endpoint);
    UNTIL(lost->is_closed && lost_unanswered->is_closed);
    assert_int_equal(lost->code, H2_INTERNAL_ERROR);
    expect_status(lost_unanswered, 503);
    h2_hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate,
               "GET 200 UR upstream_reset_after_response_started{remote_reset} 0 4 1\n"
               "GET 503 UR upstream_reset_before_response_started{remote_reset} 0 141 1\n"
               "GET 200 UC upstream_reset_after_response_started{connection_termination} 0 4 1\n"
               "POST 503 UC upstream_reset_before_response_started{connection_termination,"
               "not_retried:_POST_was_sent} 0 188 1\n");
}

static void test_a_cut_response_of_http_2_cuts_an_http_1_client(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *endpoint = NULL;
    for (unsigned i = 0; i < 3; i++) {
        struct peer *client = h1_dial(gate);
        say(client, i == 2 ? "GET / HTTP/1.0\r\nhost: a.example\r\n\r\n" : get);
        if (!endpoint)
            endpoint = h2_accept(gate);
        struct message *message = served(endpoint, i);
        message->is_open = true;
        message->out = STR("some");
        send_head(message, 200, i == 0 ? "content-length: 100\r\n" : "", true);
        h1_hear_head(client);
        h1_hear_body(client, i == 1 ? STR("4\r\nsome\r\n") : STR("some"));
        h2_reset(endpoint->end->h2, message->id, H2_INTERNAL_ERROR);
        bool is_reset = h1_hear_end(client);
        if (i == 2) // it would take the end for the body's
            assert_true(is_reset);
        hang_up(client);
    }
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_response_that_breaks_the_rules_is_a_502(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    struct buf lines = {0};
    for (unsigned i = 0; i < 110; i++) // more than a head of HTTP/1 may have
        buf_printf(&lines, "x-%u: y\r\n", i);
    send_head(served(endpoint, 0), 200, lines.data, false);
    buf_fini(&lines);
    UNTIL(request->is_closed);
    if (str_has_prefix(buf_str(&request->head), STR(":status: 200")))
        assert_int_equal(request->code, H2_NO_ERROR);
    else
        expect_status(request, 502);
    struct message *next = send_request(client->end, "GET", "/");
    send_response(served(endpoint, 1), 200, STR("x")); // the same connection
    UNTIL(next->is_closed);
    expect_status(next, 200);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_an_early_answer_arrives_whole_though_the_request_goes_on(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_post(client->end, "/", large_body(2000000));
    struct h2_peer *endpoint = h2_accept(gate);
    endpoint->end->holds = true;
    struct message *message = served(endpoint, 0);
    until_still();
    send_response(message, 413, STR("too large"));
    h2_say(endpoint);
    UNTIL(message->is_sent);
    h2_reset(endpoint->end->h2, message->id, H2_NO_ERROR);
    UNTIL(request->is_closed);
    expect_status(request, 413);
    expect_body(request, STR("too large"));
    assert_true(request->has_ended);
    assert_int_equal(request->code, H2_NO_ERROR);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// The bytes that nobody read any more are given back to the connection's window, and the client is
// told so at once.
static void test_early_answers_do_not_use_up_the_connection_s_window(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate), *endpoint = NULL;
    for (unsigned i = 0; i < 12; i++) {
        struct message *request = send_post(client->end, "/", large_body(2000000));
        if (!endpoint)
            endpoint = h2_accept(gate);
        endpoint->end->holds = true;
        struct message *message = served(endpoint, i);
        UNTIL(request->n_sent >= WINDOW_BYTES - 16384u);
        send_head(message, 413, "", false);
        UNTIL(message->is_sent);
        h2_reset(endpoint->end->h2, message->id, H2_NO_ERROR);
        UNTIL(request->is_closed);
        expect_status(request, 413);
    }
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- the client's side ends ----

static void test_a_reset_cancels_the_endpoint_s_stream(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate), *other = h2_dial(gate);
    struct message *before = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    served(endpoint, 0);
    struct message *in_body = send_request(client->end, "GET", "/");
    served(endpoint, 1)->is_open = true;
    send_response(served(endpoint, 1), 200, STR("some"));
    struct message *uploading = send_post(client->end, "/", large_body(1000000));
    uploading->is_open = true;
    served(endpoint, 2);
    struct message *unhurt = send_request(other->end, "GET", "/");
    served(endpoint, 3);
    UNTIL(in_body->body.len == 4);
    h2_reset(client->end->h2, before->id, H2_CANCEL);
    h2_reset(client->end->h2, in_body->id, H2_CANCEL);
    h2_reset(client->end->h2, uploading->id, H2_CANCEL);
    for (unsigned i = 0; i < 3; i++) {
        UNTIL(served(endpoint, i)->is_closed);
        assert_int_equal(served(endpoint, i)->code, H2_CANCEL);
    }
    struct message *gone = send_request(client->end, "GET", "/");
    served(endpoint, 4);
    assert_false(gone->is_closed);
    h2_hang_up(client); // the whole connection
    UNTIL(served(endpoint, 4)->is_closed);
    assert_int_equal(served(endpoint, 4)->code, H2_CANCEL);
    send_response(served(endpoint, 3), 200, STR("x"));
    UNTIL(unhurt->is_closed);
    expect_status(unhurt, 200);
    h2_hang_up(other);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_reset_closes_the_connection_to_an_http_1_endpoint(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    for (unsigned i = 0; i < 3; i++) {
        struct message *request = i == 2 ? send_post(client->end, "/", large_body(1000000))
                                         : send_request(client->end, "GET", "/");
        request->is_open = i == 2;
        struct peer *endpoint = h1_accept(gate);
        h1_hear_head(endpoint);
        if (i == 1) {
            say(endpoint, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
            UNTIL(request->body.len == 4);
        }
        h2_reset(client->end->h2, request->id, H2_CANCEL);
        do
            endpoint->len = 0;
        while (h1_hear_some(endpoint));
        hang_up(endpoint);
    }
    h2_hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "GET 0 DR http2.remote_reset 0 0 1\n"
                     "GET 200 DR http2.remote_reset 0 4 1\n"
                     "POST 0 DR http2.remote_reset 262144 0 1\n");
}

// Requests for an endpoint that takes no bytes wait in the engine, unsent; their clients give up.
static void test_requests_that_were_never_sent_can_be_given_up(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct buf lines = {0};
    for (unsigned i = 0; i < 7; i++)
        buf_printf(&lines, "x-%u: %07000u\r\n", i, i);
    struct message *first = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    served(endpoint, 0);
    endpoint->is_deaf = true;
    enum { N = 90 };
    struct message *requests[N];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < N; i++) {
            requests[i] = send_request_with(client->end, "GET", "/", lines.data, STR_NONE, false);
            if (i % 8 == 7) // no more heads at once than the proxy holds
                until_still();
        }
        for (unsigned i = 0; i < N; i++)
            if (!requests[i]->is_closed)
                h2_reset(client->end->h2, requests[i]->id, H2_CANCEL);
        until_still();
    }
    buf_fini(&lines);
    endpoint->is_deaf = false;
    until_still();
    send_response(served(endpoint, 0), 200, STR("x"));
    UNTIL(first->is_closed);
    expect_status(first, 200);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- floods and deadlines of the connection ----

static void test_a_flood_ends_the_connection_with_a_word(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    served(endpoint, 0);
    for (unsigned i = 0; i < 2000; i++)
        h2_ping(client->end->h2);
    UNTIL(client->is_over);
    assert_int_equal(client->end->goaway_code, H2_ENHANCE_YOUR_CALM);
    UNTIL(served(endpoint, 0)->is_closed); // what it had asked for is cancelled
    assert_false(request->has_ended);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_head_that_does_not_end_ends_the_connection(void **state)
{
    struct gate *gate = *state;
    gate->options.request_head_timeout_ms = 150;
    open_gate_to(gate, CLUSTER_HTTP2);
    for (unsigned i = 0; i < 3; i++) {
        struct peer *client = h1_dial(gate);
        struct buf said = {0};
        put_preface(&said);
        if (i == 1) { // a stream that is refused as malformed, in the same read
            struct buf block = {0};
            put_request_fields(&block, "GET");
            put_field(&block, "X-Upper", STR("1"));
            put_frame(&said, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 1, buf_str(&block));
            buf_fini(&block);
        }
        if (i == 2)
            put_request(&said, 1, "POST", 0); // one that runs
        put_frame(&said, FRAME_HEADERS, 0, 3, STR_NONE);
        say_bytes(client, said.data, said.len);
        buf_fini(&said);
        const int64_t begin_ns = clock_monotonic_ns();
        while (hear_more(client) > 0) {
        }
        assert_true(clock_monotonic_ns() - begin_ns < 10 * (int64_t)1000000000);
        hang_up(client);
        if (i == 2)
            hang_up(h1_accept(gate));
    }
    wait_until_quiet(gate);
}

static void test_an_idle_connection_is_closed(void **state)
{
    struct gate *gate = *state;
    gate->options.keepalive_timeout_ms = 100;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/direct");
    UNTIL(client->is_over);
    assert_true(request->is_closed);
    assert_int_equal(client->end->n_goaways, 1);
    assert_int_equal(client->end->goaway_code, H2_NO_ERROR);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

static void test_each_wait_of_a_stream_has_an_end(void **state)
{
    struct gate *gate = *state;
    gate->options.stream_idle_timeout_ms = 150;
    gate->route_timeout_ms = 60;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    UNTIL(request->is_closed);
    expect_status(request, 504);
    UNTIL(served(endpoint, 0)->is_closed);
    assert_int_equal(served(endpoint, 0)->code, H2_CANCEL);
    struct message *upload = send_post(client->end, "/", STR("some"));
    upload->is_open = true;
    UNTIL(upload->is_closed);
    expect_status(upload, 408);
    UNTIL(served(endpoint, 1)->is_closed);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_body_over_its_limit_is_refused(void **state)
{
    struct gate *gate = *state;
    gate->body_bytes_max = 1000;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *fits = send_post(client->end, "/", large_body(1000));
    struct h2_peer *endpoint = h2_accept(gate);
    UNTIL(served(endpoint, 0)->has_ended);
    send_head(served(endpoint, 0), 204, "", false);
    UNTIL(fits->is_closed);
    expect_status(fits, 204);
    struct message *over = send_post(client->end, "/", large_body(1001));
    UNTIL(over->is_closed);
    expect_status(over, 413);
    struct message *told = send_request_with(client->end, "POST", "/", "content-length: 1001\r\n",
                                             large_body(1001), true);
    UNTIL(told->is_closed);
    expect_status(told, 413);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- tries ----

static void test_a_refused_stream_is_tried_again(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *first = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    send_response(served(endpoint, 0), 200, STR("x"));
    UNTIL(first->is_closed);
    endpoint->end->refuses = true;
    struct message *post = send_request(client->end, "POST", "/"); // safe: it was not looked at
    UNTIL(endpoint->end->n_refused == 1);
    endpoint->end->refuses = false;
    // Either the second try is refused too, or it is served; never both.
    UNTIL(post->is_closed || endpoint->end->n_messages == 2);
    if (endpoint->end->n_messages == 2)
        send_response(served(endpoint, 1), 200, STR("y"));
    UNTIL(post->is_closed);
    expect_status(post, 200);
    expect_body(post, STR("y"));
    assert_int_equal(endpoint->end->n_messages, 2);

    endpoint->end->refuses = true;
    unsigned before = endpoint->end->n_refused;
    struct message *never = send_request(client->end, "GET", "/");
    UNTIL(never->is_closed);
    expect_status(never, 503);
    assert_int_equal(endpoint->end->n_refused - before, 3); // and no more
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// What has left the buffer cannot be sent once more: the client decides.
static void test_a_request_whose_body_has_gone_is_not_tried_again(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *first = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    send_response(served(endpoint, 0), 200, STR("x"));
    UNTIL(first->is_closed);
    struct message *post = send_post(client->end, "/", large_body(500));
    UNTIL(served(endpoint, 1)->has_ended);
    h2_reset(endpoint->end->h2, served(endpoint, 1)->id, H2_REFUSED_STREAM);
    UNTIL(post->is_closed);
    expect_status(post, 503);
    assert_int_equal(endpoint->end->n_messages, 2);
    assert_int_equal(counter(gate, PROXY_COUNTER_RETRIES), 0);
    // Nor is one that may have been looked at, and is not safe to repeat.
    post = send_request(client->end, "POST", "/");
    served(endpoint, 2);
    h2_hang_up(endpoint);
    UNTIL(post->is_closed);
    expect_status(post, 503);
    assert_false(has_come(gate->endpoint));
    h2_hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_shared_connection_that_died_is_replaced(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *first = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    send_response(served(endpoint, 0), 200, STR("x"));
    UNTIL(first->is_closed);
    struct message *get_again = send_request(client->end, "GET", "/");
    served(endpoint, 1);
    h2_hang_up(endpoint); // reused, and GET may be repeated
    endpoint = h2_accept(gate);
    send_response(served(endpoint, 0), 200, STR("y"));
    UNTIL(get_again->is_closed);
    expect_status(get_again, 200);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void answer(struct message *message)
{
    send_response(message, 200, STR("x"));
}

static void test_going_away_under_load_fails_no_request(void **state)
{
    struct gate *gate = *state;
    enum { ALL = 400, AT_ONCE = 30 };
    static struct message *requests[ALL];
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct h2_peer *endpoints[16] = {NULL};
    unsigned n_endpoints = 0, n_sent = 0, n_done = 0;
    const int64_t end_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    while (n_done < ALL) {
        if (clock_monotonic_ns() > end_ns)
            fail_msg("%u of %u done", n_done, ALL);
        while (n_sent < ALL && n_sent - n_done < AT_ONCE)
            requests[n_sent++] = send_request(client->end, "GET", "/");
        if (has_come(gate->endpoint)) {
            assert_true(n_endpoints < 16);
            endpoints[n_endpoints] = h2_accept(gate);
            endpoints[n_endpoints++]->end->on_end = answer;
        }
        move_or_wait();
        for (unsigned i = 0; i < n_endpoints; i++) {
            struct end *end = endpoints[i]->end;
            if (end->n_messages >= 50 && !end->arg) { // the graceful way, or all at once
                end->arg = end;
                if (i % 2)
                    h2_announce_shutdown(end->h2);
                h2_shutdown(end->h2, H2_NO_ERROR);
            }
        }
        for (n_done = 0; n_done < n_sent && requests[n_done]->is_closed; n_done++)
            expect_status(requests[n_done], 200);
    }
    assert_true(n_endpoints >= 4);
    for (unsigned i = 0; i + 1 < n_endpoints; i++)
        UNTIL(endpoints[i]->is_over); // nothing is left on it
    for (unsigned i = 0; i < n_endpoints; i++)
        h2_hang_up(endpoints[i]);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

// The endpoint's SETTINGS come after the first requests have gone: it refuses those over its limit.
static void test_a_burst_at_an_endpoint_that_takes_few_streams_is_served(void **state)
{
    struct gate *gate = *state;
    enum { ALL = 60, CONNECTIONS_MAX = 24 };
    static struct message *requests[ALL];
    struct h2_options few = server_options;
    few.concurrent_streams = 4;
    struct h2_peer *endpoints[CONNECTIONS_MAX];
    unsigned n_endpoints = 0, n_done = 0;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    for (unsigned i = 0; i < ALL; i++)
        requests[i] = send_request(client->end, "GET", "/");
    const int64_t end_ns = clock_monotonic_ns() + (int64_t)WAIT_S * 1000000000;
    while (n_done < ALL) {
        if (clock_monotonic_ns() > end_ns)
            fail_msg("%u of %u done", n_done, ALL);
        if (has_come(gate->endpoint)) {
            assert_true(n_endpoints < CONNECTIONS_MAX);
            endpoints[n_endpoints] = h2_accept_with(gate->endpoint, &few);
            endpoints[n_endpoints++]->end->on_end = answer;
        }
        move_or_wait();
        for (n_done = 0; n_done < ALL && requests[n_done]->is_closed; n_done++)
            expect_status(requests[n_done], 200);
    }
    h2_hang_up(client);
    for (unsigned i = 0; i < n_endpoints; i++)
        h2_hang_up(endpoints[i]);
    wait_until_quiet(gate);
}

// ---- changes and draining ----

static void test_streams_outlive_a_change_and_their_connection_does_not(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    served(endpoint, 0);
    struct message *upload = send_post(client->end, "/", large_body(100000));
    upload->is_open = true;
    served(endpoint, 1);
    struct address new_address;
    int new_endpoint = listen_anywhere(&new_address);
    publish(gate, &new_address);
    struct message *after = NULL;
    struct h2_peer *new_peer = NULL;
    while (!new_peer) { // the worker takes the change up in its next turn
        after = send_request(client->end, "GET", "/");
        unsigned n = endpoint->end->n_messages;
        UNTIL(endpoint->end->n_messages > n || has_come(new_endpoint));
        if (endpoint->end->n_messages > n)
            answer(&endpoint->end->messages[n]);
        else
            new_peer = h2_accept_with(new_endpoint, &server_options);
    }
    answer(served(new_peer, 0));
    UNTIL(after->is_closed);
    expect_status(after, 200);
    send_response(served(endpoint, 0), 200, large_body(500000));
    UNTIL(request->is_closed);
    expect_body(request, large_body(500000));
    assert_false(endpoint->is_over);
    upload->is_open = false;
    h2_resume(client->end->h2, upload->id);
    UNTIL(served(endpoint, 1)->has_ended);
    expect_body(served(endpoint, 1), large_body(100000));
    answer(served(endpoint, 1));
    UNTIL(upload->is_closed);
    expect_status(upload, 200);
    UNTIL(endpoint->is_over); // the last one has left
    h2_hang_up(client);
    h2_hang_up(endpoint);
    h2_hang_up(new_peer);
    close(new_endpoint);
    wait_until_quiet(gate);
}

static void test_a_change_closes_a_shared_connection_without_streams(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    answer(served(endpoint, 0));
    UNTIL(request->is_closed);
    publish(gate, &gate->endpoint_address); // nothing is new
    request = send_request(client->end, "GET", "/");
    answer(served(endpoint, 1));
    UNTIL(request->is_closed);
    struct address new_address;
    close(listen_anywhere(&new_address));
    publish(gate, &new_address);
    UNTIL(endpoint->is_over);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void note_drained(void *arg)
{
    struct gate *gate = arg;
    gate->is_drained = true;
}

static bool has_drained(struct gate *gate)
{
    loop_turn(&gate->loop, 0);
    return gate->is_drained;
}

static void test_draining_serves_what_is_on_its_way_and_ends(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate), *idle = h2_dial(gate);
    struct message *request = send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    served(endpoint, 0);
    UNTIL(h2_has_settings(idle->end->h2));
    client->is_deaf = true; // the first GOAWAY is still on its way
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    UNTIL(idle->end->n_goaways == 1);
    struct message *on_its_way = send_request(client->end, "GET", "/");
    struct h2_peer *second = h2_accept(gate); // the first connection takes no more streams
    served(second, 0);
    client->is_deaf = false;
    UNTIL(client->end->n_goaways == 2);
    UNTIL(idle->is_over);
    assert_false(client->is_over || has_drained(gate));
    send_response(served(endpoint, 0), 200, large_body(300000));
    answer(served(second, 0));
    UNTIL(request->is_closed && on_its_way->is_closed);
    expect_body(request, large_body(300000));
    expect_status(on_its_way, 200);
    UNTIL(client->is_over && endpoint->is_over && second->is_over);
    h2_hang_up(client);
    h2_hang_up(idle);
    UNTIL(has_drained(gate));
    h2_hang_up(endpoint);
    h2_hang_up(second);
    wait_until_quiet(gate);
}

static void test_the_end_comes_whatever_is_open(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    client->end->holds = true;
    send_request(client->end, "GET", "/");
    struct h2_peer *endpoint = h2_accept(gate);
    endpoint->end->holds = true;
    served(endpoint, 0);
    struct message *upload = send_post(client->end, "/", large_body(1000000));
    upload->is_open = true;
    send_response(served(endpoint, 0), 200, large_body(1000000));
    served(endpoint, 1);
    until_still();
    close_gate(gate);
    UNTIL(client->is_over && endpoint->is_over);
}

// ---- upgrades ----

static const char websocket_lines[] = "sec-websocket-version: 13\r\norigin: http://a.example\r\n";

// The value of a field in a head of HTTP/1.
static void find_field(const char *head, const char *name, char *out, size_t cap)
{
    const char *at = strstr(head, name);
    assert_non_null(at);
    at += strlen(name);
    size_t len = strcspn(at, "\r\n");
    assert_true(len < cap);
    memcpy(out, at, len);
    out[len] = '\0';
}

static void say_accept(struct peer *endpoint, const char *key)
{
    char accept[WEBSOCKET_ACCEPT_BYTES + 1], text[300];
    websocket_accept(str_of(key), accept);
    snprintf(text, sizeof text,
             "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
             "sec-websocket-accept: %s\r\nsec-websocket-protocol: chat\r\n\r\nearly",
             accept);
    say(endpoint, text);
}

static void test_a_websocket_goes_from_http_2_to_http_1(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    UNTIL(h2_peer_has_connect(client->end->h2));
    struct message *request = send_request_with(client->end, "CONNECT websocket", "/chat",
                                                websocket_lines, STR("up"), true);
    request->is_open = true;
    struct peer *endpoint = h1_accept(gate);
    const char *head = h1_hear_head(endpoint);
    char key[100];
    assert_true(str_has_prefix(str_of(head), STR("GET /chat HTTP/1.1\r\nhost: a.example\r\n")));
    assert_non_null(strstr(head, "\r\nupgrade: websocket\r\n"));
    assert_non_null(strstr(head, "\r\norigin: http://a.example\r\n"));
    assert_null(strstr(head, "transfer-encoding"));
    find_field(head, "sec-websocket-key: ", key, sizeof key);
    assert_int_equal(strlen(key), 24);
    until_still();
    char byte; // nothing before the endpoint has agreed
    assert_int_equal(endpoint->len, 0);
    assert_int_equal(recv(endpoint->fd, &byte, 1, MSG_DONTWAIT), -1);
    say_accept(endpoint, key);
    h1_hear_body(endpoint, STR("up"));
    UNTIL(request->body.len == 5);
    expect_status(request, 200);
    assert_null(strstr(request->head.data, "sec-websocket-accept"));
    assert_non_null(strstr(request->head.data, "\nsec-websocket-protocol: chat\n"));
    expect_body(request, STR("early"));
    request->out = large_body(500000);
    request->n_sent = 0;
    h2_resume(client->end->h2, request->id);
    h1_hear_body(endpoint, large_body(500000));
    buf_fini(&request->body);
    h1_say(endpoint, large_body(500000));
    UNTIL(request->body.len == 500000);
    expect_body(request, large_body(500000));
    request->is_open = false;
    h2_resume(client->end->h2, request->id);
    assert_false(h1_hear_end(endpoint));
    say(endpoint, "bye"); // one side's end is not the other's
    hang_up(endpoint);
    UNTIL(request->is_closed);
    assert_int_equal(request->body.len, 500003);
    assert_int_equal(request->code, H2_NO_ERROR);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

static void test_an_endpoint_that_does_not_know_websockets_is_found_out(void **state)
{
    struct gate *gate = *state;
    static const struct {
        const char *said;
        unsigned status;
    } rows[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         502},
        {"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
         502},
        {"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403},
        {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", 502},
        {"nonsense\r\n\r\n", 502},
    };
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    UNTIL(h2_peer_has_connect(client->end->h2));
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message *request = send_request_with(client->end, "CONNECT websocket", "/chat",
                                                    websocket_lines, STR_NONE, true);
        request->is_open = true;
        struct peer *endpoint = h1_accept(gate);
        h1_hear_head(endpoint);
        say(endpoint, rows[i].said);
        UNTIL(request->has_ended || request->is_closed);
        expect_status(request, rows[i].status);
        hang_up(endpoint);
    }
    struct message *next = send_request(client->end, "GET", "/direct");
    UNTIL(next->is_closed);
    expect_status(next, 200);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_websocket_goes_from_http_1_to_http_2(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = h1_dial(gate);
    say(client, "GET /chat HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\n"
                "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    struct h2_peer *endpoint = h2_accept(gate);
    struct message *message = served(endpoint, 0);
    assert_non_null(strstr(message->head.data, ":method: CONNECT\n"));
    assert_non_null(strstr(message->head.data, ":protocol: websocket\n"));
    assert_non_null(strstr(message->head.data, ":path: /chat\n"));
    assert_null(strstr(message->head.data, "sec-websocket-key"));
    assert_false(message->has_ended);
    message->is_open = true;
    send_response(message, 200, STR("early"));
    const char *head = h1_hear_head(client);
    assert_true(str_has_prefix(str_of(head), STR("HTTP/1.1 101 ")));
    assert_non_null(strstr(head, "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    h1_hear_body(client, STR("early"));
    h1_say(client, large_body(500000));
    UNTIL(message->body.len == 500000);
    expect_body(message, large_body(500000));
    message->n_sent = 0;
    message->out = large_body(500000);
    h2_resume(endpoint->end->h2, message->id);
    h1_hear_body(client, large_body(500000));
    shutdown(client->fd, SHUT_WR);
    UNTIL(message->has_ended);
    message->is_open = false;
    h2_resume(endpoint->end->h2, message->id);
    assert_false(h1_hear_end(client));
    hang_up(client);
    UNTIL(message->is_closed);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_websocket_goes_from_http_2_to_http_2_and_ends_by_reset(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate), *endpoint = NULL;
    UNTIL(h2_peer_has_connect(client->end->h2));
    for (unsigned i = 0; i < 2; i++) {
        struct message *request = send_request_with(client->end, "CONNECT websocket", "/chat",
                                                    websocket_lines, STR("up"), true);
        request->is_open = true;
        if (!endpoint)
            endpoint = h2_accept(gate);
        struct message *message = served(endpoint, i);
        message->is_open = true;
        send_response(message, 200, STR("down"));
        UNTIL(message->body.len == 2 && request->body.len == 4);
        if (i == 0)
            h2_reset(client->end->h2, request->id, H2_CANCEL);
        else
            h2_reset(endpoint->end->h2, message->id, H2_CANCEL);
        UNTIL(request->is_closed && message->is_closed);
        assert_int_equal(request->code, H2_CANCEL);
        assert_int_equal(message->code, H2_CANCEL);
    }
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_h2, tear_down_h2)
    const struct CMUnitTest tests[] = {
        TEST(a_cut_response_of_http_1_is_a_reset),
        TEST(a_cut_response_of_http_2_is_a_reset),
        TEST(a_cut_response_of_http_2_cuts_an_http_1_client),
        TEST(a_response_that_breaks_the_rules_is_a_502),
        TEST(an_early_answer_arrives_whole_though_the_request_goes_on),
        TEST(early_answers_do_not_use_up_the_connection_s_window),
        TEST(a_reset_cancels_the_endpoint_s_stream),
        TEST(a_reset_closes_the_connection_to_an_http_1_endpoint),
        TEST(requests_that_were_never_sent_can_be_given_up),
        TEST(a_flood_ends_the_connection_with_a_word),
        TEST(a_head_that_does_not_end_ends_the_connection),
        TEST(an_idle_connection_is_closed),
        TEST(each_wait_of_a_stream_has_an_end),
        TEST(a_body_over_its_limit_is_refused),
        TEST(a_refused_stream_is_tried_again),
        TEST(a_request_whose_body_has_gone_is_not_tried_again),
        TEST(a_shared_connection_that_died_is_replaced),
        TEST(going_away_under_load_fails_no_request),
        TEST(a_burst_at_an_endpoint_that_takes_few_streams_is_served),
        TEST(streams_outlive_a_change_and_their_connection_does_not),
        TEST(a_change_closes_a_shared_connection_without_streams),
        TEST(draining_serves_what_is_on_its_way_and_ends),
        TEST(the_end_comes_whatever_is_open),
        TEST(a_websocket_goes_from_http_2_to_http_1),
        TEST(an_endpoint_that_does_not_know_websockets_is_found_out),
        TEST(a_websocket_goes_from_http_1_to_http_2),
        TEST(a_websocket_goes_from_http_2_to_http_2_and_ends_by_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
