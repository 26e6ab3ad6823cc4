// SPDX-License-Identifier: Apache-2.0
// HTTP/2 through the proxy, on one side or on both: messages and bodies.
#include "proxy/proxy_h2_test.h"

// ---- heads, bodies, trailers ----

static void test_requests_go_from_http_2_to_http_1(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_request_with(
        client->end, "GET", "/a?b=c", "cookie: x=1\r\nx-a: 1\r\ncookie: y=2\r\nte: trailers\r\n",
        STR_NONE, false);
    struct peer *endpoint = h1_accept(gate);
    const char *head = h1_hear_head(endpoint);
    assert_true(str_has_prefix(str_of(head), STR("GET /a?b=c HTTP/1.1\r\nhost: a.example\r\n")));
    assert_non_null(strstr(head, "\r\ncookie: x=1; y=2\r\n"));
    assert_non_null(strstr(head, "\r\nx-a: 1\r\n"));
    assert_null(strstr(head, "\r\n:"));
    assert_null(strstr(head, "content-length"));
    assert_null(strstr(head, "transfer-encoding"));
    say(endpoint, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\n"
                  "x-hop: 1\r\ncontent-length: 2\r\n\r\nok");
    UNTIL(request->is_closed);
    expect_status(request, 200);
    expect_body(request, STR("ok"));
    assert_string_equal(request->interims.data, ":status: 103\nlink: </a>\n");
    assert_non_null(strstr(request->head.data, "\ncontent-length: 2\n"));
    assert_null(strstr(request->head.data, "connection"));
    assert_null(strstr(request->head.data, "keep-alive"));
    assert_null(strstr(request->head.data, "x-hop"));
    assert_int_equal(request->code, H2_NO_ERROR);

    request =
        send_request_with(client->end, "POST", "/", "content-length: 4\r\n", STR("body"), true);
    head = h1_hear_head(endpoint); // the same connection
    assert_non_null(strstr(head, "\r\ncontent-length: 4\r\n"));
    h1_hear_body(endpoint, STR("body"));
    say(endpoint, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n");
    UNTIL(request->is_closed);
    expect_body(request, STR("abcdefg"));
    assert_string_equal(request->trailers.data, "x-sum: 7\n");
    assert_null(strstr(request->head.data, "transfer-encoding"));

    request = send_post(client->end, "/", STR("of no length"));
    request->out_trailers = "x-t: 1\r\nhost: b.example\r\ntrailer: x-t\r\n";
    head = h1_hear_head(endpoint);
    assert_non_null(strstr(head, "\r\ntransfer-encoding: chunked\r\n"));
    struct buf body = {0}, trailers = {0};
    h1_hear_chunks(endpoint, &body, &trailers);
    assert_int_equal(body.len, 12);
    assert_memory_equal(body.data, "of no length", 12);
    assert_string_equal(trailers.data, "x-t: 1\n"); // what frames says nothing here
    buf_fini(&body);
    buf_fini(&trailers);
    say(endpoint, "HTTP/1.1 204 No Content\r\n\r\n");
    UNTIL(request->is_closed);
    expect_status(request, 204);

    request = send_request(client->end, "HEAD", "/");
    h1_hear_head(endpoint);
    say(endpoint, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    UNTIL(request->is_closed);
    assert_int_equal(request->body.len, 0);
    assert_non_null(strstr(request->head.data, "\ncontent-length: 1000\n"));

    request = send_request(client->end, "GET", "/");
    h1_hear_head(endpoint);
    say(endpoint, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    hang_up(endpoint);
    UNTIL(request->is_closed);
    expect_body(request, STR("until the end"));
    assert_int_equal(request->code, H2_NO_ERROR);
    h2_hang_up(client);
    wait_until_quiet(gate);
    expect_log(gate, "GET 200 - via_upstream 0 2 1\nPOST 200 - via_upstream 4 7 1\n"
                     "POST 204 - via_upstream 12 0 1\nHEAD 200 - via_upstream 0 0 1\n"
                     "GET 200 - via_upstream 0 13 1\n");
}

static void test_requests_go_from_http_1_to_http_2(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = h1_dial(gate);
    say(client, "GET /a?b=c HTTP/1.1\r\nhost: a.example\r\nconnection: x-hop, te\r\nx-hop: 1\r\n"
                "te: trailers, deflate\r\nX-Upper: 1\r\n\r\n");
    struct h2_peer *endpoint = h2_accept(gate);
    struct message *message = served(endpoint, 0);
    const char *head = message->head.data;
    assert_non_null(strstr(head, ":method: GET\n"));
    assert_non_null(strstr(head, ":path: /a?b=c\n"));
    assert_non_null(strstr(head, ":scheme: http\n"));
    assert_non_null(strstr(head, ":authority: a.example\n"));
    assert_non_null(strstr(head, "\nx-upper: 1\n"));
    assert_null(strstr(head, "\nhost:"));
    assert_null(strstr(head, "x-hop"));
    assert_null(strstr(head, "connection"));
    assert_null(strstr(head, "deflate"));
    assert_true(message->has_ended);
    send_head(message, 103, "link: </b>\r\n", false);
    message->out = STR("ok");
    send_head(message, 200, "content-length: 2\r\n", true);
    assert_non_null(strstr(h1_hear_head(client), "HTTP/1.1 103 "));
    head = h1_hear_head(client);
    assert_non_null(strstr(head, "HTTP/1.1 200 "));
    assert_non_null(strstr(head, "\r\ncontent-length: 2\r\n"));
    h1_hear_body(client, STR("ok"));

    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n"
                "4\r\nbody\r\n3;x\r\n...\r\n0\r\nx-t: 1\r\n\r\n");
    message = served(endpoint, 1); // the same connection
    UNTIL(message->has_ended);
    assert_null(strstr(message->head.data, "transfer-encoding"));
    expect_body(message, STR("body..."));
    assert_string_equal(message->trailers.data, "x-t: 1\n");
    message->out_trailers = "x-sum: 9\r\n";
    send_response(message, 200, STR("of no length"));
    assert_non_null(strstr(h1_hear_head(client), "\r\ntransfer-encoding: chunked\r\n"));
    struct buf body = {0}, trailers = {0};
    h1_hear_chunks(client, &body, &trailers);
    assert_int_equal(body.len, 12);
    assert_memory_equal(body.data, "of no length", 12);
    assert_string_equal(trailers.data, "x-sum: 9\n");
    buf_fini(&body);
    buf_fini(&trailers);

    say(client, "HEAD / HTTP/1.1\r\nhost: a.example\r\n\r\n");
    send_head(served(endpoint, 2), 200, "content-length: 1000\r\n", false);
    assert_non_null(strstr(h1_hear_head(client), "\r\ncontent-length: 1000\r\n"));
    say(client, "GET / HTTP/1.0\r\nhost: a.example\r\n\r\n");
    send_response(served(endpoint, 3), 200, STR("until the end"));
    head = h1_hear_head(client);
    assert_null(strstr(head, "transfer-encoding"));
    h1_hear_body(client, STR("until the end"));
    assert_false(h1_hear_end(client));
    hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_requests_go_from_http_2_to_http_2(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_post(client->end, "/", STR("question"));
    request->out_trailers = "x-t: 1\r\n";
    struct h2_peer *endpoint = h2_accept(gate);
    struct message *message = served(endpoint, 0);
    UNTIL(message->has_ended);
    expect_body(message, STR("question"));
    assert_string_equal(message->trailers.data, "x-t: 1\n");
    send_head(message, 100, "", false);
    message->out_trailers = "grpc-status: 0\r\n";
    send_response(message, 200, STR("answer"));
    UNTIL(request->is_closed);
    expect_status(request, 200);
    expect_body(request, STR("answer"));
    assert_string_equal(request->interims.data, ":status: 100\n");
    assert_string_equal(request->trailers.data, "grpc-status: 0\n");

    request = send_request(client->end, "GET", "/"); // a head that ends, twice
    message = served(endpoint, 1);
    assert_true(message->has_ended);
    send_head(message, 404, "", false);
    UNTIL(request->is_closed);
    expect_status(request, 404);
    request = send_request(client->end, "GET", "/direct"); // and an answer of the proxy's own
    UNTIL(request->is_closed);
    expect_body(request, STR("here"));
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// What only looks like HTTP/2's business may not become another request on the other side.
static void test_what_http_1_would_read_otherwise_is_refused(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    struct message *two_hosts =
        send_request_with(client->end, "GET", "/", "host: b.example\r\n", STR_NONE, false);
    UNTIL(two_hosts->is_closed);
    expect_status(two_hosts, 400);
    struct message *same_host =
        send_request_with(client->end, "GET", "/direct", "host: A.example\r\n", STR_NONE, false);
    UNTIL(same_host->is_closed);
    expect_status(same_host, 200);
    struct message *blank = send_request(client->end, "GET", "/a b");
    UNTIL(blank->is_closed);
    if (blank->code == H2_NO_ERROR)
        expect_status(blank, 400);
    struct message *good = send_request(client->end, "GET", "/direct");
    UNTIL(good->is_closed);
    expect_status(good, 200);
    h2_hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 0);
}

static void test_a_head_over_the_limit_is_answered_and_the_connection_lives(void **state)
{
    struct gate *gate = *state;
    gate->options.head_bytes_max = 2000;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    struct buf lines = {0};
    for (unsigned i = 0; i < 30; i++)
        buf_printf(&lines, "x-%u: %0*u\r\n", i, 100, i);
    struct message *large =
        send_request_with(client->end, "GET", "/direct", lines.data, STR_NONE, false);
    UNTIL(large->is_closed);
    expect_status(large, 431);
    struct message *small = send_request(client->end, "GET", "/direct");
    UNTIL(small->is_closed);
    expect_status(small, 200);
    buf_fini(&lines);
    h2_hang_up(client);
    wait_until_quiet(gate);
}

// ---- bodies of many sizes ----

static const size_t sizes[] = {0,     1,     100,   4095,  16383, 16384,  16385,
                               32768, 65535, 65536, 69631, 99999, 262144, 1300001};

static void test_bodies_of_any_size_go_from_http_2_to_http_1_and_back(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    struct peer *endpoint = NULL;
    for (unsigned i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i / 4];
        bool has_length = i % 2, is_chunked = i / 2 % 2;
        char text[200];
        snprintf(text, sizeof text, "content-length: %zu\r\n", n);
        struct message *request = send_request_with(client->end, "POST", "/",
                                                    has_length ? text : "", large_body(n), true);
        if (!endpoint)
            endpoint = h1_accept(gate);
        h1_hear_head(endpoint);
        if (has_length) {
            h1_hear_body(endpoint, large_body(n));
        } else {
            struct buf body = {0}, trailers = {0};
            h1_hear_chunks(endpoint, &body, &trailers);
            assert_true(str_equal(buf_str(&body), large_body(n)));
            buf_fini(&body);
        }
        if (is_chunked) {
            say(endpoint, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for (size_t at = 0, len; at < n; at += len) {
                len = n - at < 30000 ? n - at : 30000;
                snprintf(text, sizeof text, "%zx\r\n", len);
                h1_say(endpoint, str_of(text));
                h1_say(endpoint, (struct str){large_body(n).ptr + at, len});
                h1_say(endpoint, STR("\r\n"));
            }
            h1_say(endpoint, STR("0\r\n\r\n"));
        } else {
            snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", n);
            h1_say(endpoint, str_of(text));
            h1_say(endpoint, large_body(n));
        }
        UNTIL(request->is_closed);
        expect_status(request, 200);
        expect_body(request, large_body(n));
        assert_int_equal(request->code, H2_NO_ERROR);
        buf_fini(&request->body);
    }
    h2_hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_bodies_of_any_size_go_from_http_1_to_http_2_and_back(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = h1_dial(gate);
    struct h2_peer *endpoint = NULL;
    for (unsigned i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i / 4];
        bool is_chunked = i % 2, has_length = i / 2 % 2;
        char text[200];
        if (is_chunked) {
            say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n");
            for (size_t at = 0, len; at < n; at += len) {
                len = n - at < 30000 ? n - at : 30000;
                snprintf(text, sizeof text, "%zx\r\n", len);
                h1_say(client, str_of(text));
                h1_say(client, (struct str){large_body(n).ptr + at, len});
                h1_say(client, STR("\r\n"));
                if (!endpoint)
                    endpoint = h2_accept(gate);
            }
            h1_say(client, STR("0\r\n\r\n"));
        } else {
            snprintf(text, sizeof text,
                     "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: %zu\r\n\r\n", n);
            say(client, text);
            if (!endpoint)
                endpoint = h2_accept(gate);
            h1_say(client, large_body(n));
        }
        struct message *message = served(endpoint, i);
        UNTIL(message->has_ended);
        expect_body(message, large_body(n));
        buf_fini(&message->body);
        message->out = large_body(n);
        snprintf(text, sizeof text, "content-length: %zu\r\n", n);
        send_head(message, 200, has_length ? text : "", true);
        h1_hear_head(client);
        if (has_length) {
            h1_hear_body(client, large_body(n));
        } else {
            struct buf body = {0}, trailers = {0};
            h1_hear_chunks(client, &body, &trailers);
            assert_true(str_equal(buf_str(&body), large_body(n)));
            buf_fini(&body);
        }
        UNTIL(message->is_closed);
        assert_int_equal(message->code, H2_NO_ERROR);
    }
    hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

// An endpoint that sends back what came.
static void echo(struct message *message)
{
    send_response(message, 200, buf_str(&message->body));
}

static void test_bodies_of_any_size_go_from_http_2_to_http_2_and_back_at_once(void **state)
{
    struct gate *gate = *state;
    enum { N = sizeof sizes / sizeof *sizes };
    struct message *requests[N];
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    for (unsigned i = 0; i < N; i++)
        requests[i] =
            send_post(client->end, "/",
                      large_body(2000000).ptr ? str_upto(large_body(2000000), sizes[i]) : STR_NONE);
    struct h2_peer *endpoint = h2_accept(gate);
    endpoint->end->on_end = echo;
    for (unsigned i = 0; i < N; i++) {
        UNTIL(requests[i]->is_closed);
        expect_status(requests[i], 200);
        expect_body(requests[i], str_upto(large_body(2000000), sizes[i]));
    }
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_a_hundred_streams_share_one_connection(void **state)
{
    struct gate *gate = *state;
    struct message *requests[100];
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    UNTIL(h2_has_settings(client->end->h2));
    for (unsigned i = 0; i < 100; i++) {
        struct str body = str_from(str_upto(large_body(100000), 5000 + 13 * i), i);
        requests[i] = send_post(client->end, "/", body);
    }
    struct h2_peer *endpoint = h2_accept(gate);
    UNTIL(endpoint->end->n_messages == 100);
    for (unsigned i = 100; i-- > 0;) { // the last one first
        UNTIL(endpoint->end->messages[i].has_ended);
        echo(&endpoint->end->messages[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        UNTIL(requests[i]->is_closed);
        expect_status(requests[i], 200);
        expect_body(requests[i], requests[i]->out);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// A connection takes no more than its cluster or its endpoint says; more connections are opened.
static void test_no_more_streams_than_allowed_are_on_a_connection(void **state)
{
    struct gate *gate = *state;
    struct message *requests[12];
    plan.streams_max = 5;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate), *endpoints[3];
    for (unsigned i = 0; i < 12; i++)
        requests[i] = send_request(client->end, "GET", "/");
    for (unsigned i = 0; i < 3; i++)
        endpoints[i] = h2_accept(gate);
    UNTIL(endpoints[0]->end->n_messages + endpoints[1]->end->n_messages +
              endpoints[2]->end->n_messages ==
          12);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(endpoints[i]->end->n_messages <= 5);
        for (unsigned j = 0; j < endpoints[i]->end->n_messages; j++)
            echo(&endpoints[i]->end->messages[j]);
    }
    for (unsigned i = 0; i < 12; i++) {
        UNTIL(requests[i]->is_closed);
        expect_status(requests[i], 200);
    }
    h2_hang_up(client);
    for (unsigned i = 0; i < 3; i++)
        h2_hang_up(endpoints[i]);
    wait_until_quiet(gate);
}

static void test_streams_of_one_connection_go_to_different_clusters(void **state)
{
    struct gate *gate = *state;
    int other = listen_anywhere(&plan.two);
    plan.two_protocol = CLUSTER_HTTP2;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    struct message *one = send_post(client->end, "/one", large_body(200000));
    struct message *two = send_post(client->end, "/two", large_body(200000));
    struct peer *h1 = h1_accept(gate);
    struct h2_peer *h2 = h2_accept_with(other, &server_options);
    struct message *message = served(h2, 0);
    assert_non_null(strstr(message->head.data, ":path: /two\n"));
    UNTIL(message->has_ended);
    echo(message);
    UNTIL(two->is_closed);
    expect_body(two, large_body(200000));
    assert_false(one->is_closed);
    assert_non_null(strstr(h1_hear_head(h1), "POST /one HTTP/1.1\r\n"));
    struct buf body = {0}, trailers = {0};
    h1_hear_chunks(h1, &body, &trailers);
    assert_true(str_equal(buf_str(&body), large_body(200000)));
    buf_fini(&body);
    say(h1, ok);
    UNTIL(one->is_closed);
    expect_status(one, 200);
    h2_hang_up(client);
    h2_hang_up(h2);
    hang_up(h1);
    close(other);
    wait_until_quiet(gate);
}

// ---- slow readers ----

enum { FLOOD_BYTES = 24 * 1024 * 1024 };

static void take_the_rest(struct message *message)
{
    message->end->holds = false;
    consume(message, message->unconsumed);
}

static void test_a_slow_client_stops_an_http_2_endpoint(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    client->end->holds = true;
    struct message *request = send_request(client->end, "GET", "/");
    struct message *other = send_request(client->end, "GET", "/direct"); // is not held up
    struct h2_peer *endpoint = h2_accept(gate);
    struct message *message = served(endpoint, 0);
    send_response(message, 200, large_body(FLOOD_BYTES));
    UNTIL(request->body.len == client_options.stream_window && other->is_closed);
    until_still();
    assert_int_equal(request->body.len, client_options.stream_window);
    assert_true(message->n_sent <= client_options.stream_window + WINDOW_BYTES);
    take_the_rest(request);
    UNTIL(request->is_closed);
    expect_body(request, large_body(FLOOD_BYTES));
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_slow_client_stops_an_http_1_endpoint(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    client->end->holds = true;
    struct message *request = send_request(client->end, "GET", "/");
    struct peer *endpoint = h1_accept(gate);
    char text[100];
    h1_hear_head(endpoint);
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", FLOOD_BYTES);
    say(endpoint, text);
    size_t sent = 0;
    for (int64_t last_ns = clock_monotonic_ns(); clock_monotonic_ns() - last_ns < 150000000;) {
        size_t n = h1_say_some(endpoint, str_from(large_body(FLOOD_BYTES), sent));
        sent += n;
        if (n > 0)
            last_ns = clock_monotonic_ns();
        move_or_wait();
    }
    assert_true(sent < FLOOD_BYTES); // the kernel's buffers, and no more
    UNTIL(request->body.len == client_options.stream_window);
    take_the_rest(request);
    h1_say(endpoint, str_from(large_body(FLOOD_BYTES), sent));
    UNTIL(request->is_closed);
    expect_body(request, large_body(FLOOD_BYTES));
    h2_hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_slow_endpoint_stops_an_http_2_client(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *client = h2_dial(gate);
    struct message *request = send_post(client->end, "/", large_body(FLOOD_BYTES));
    struct h2_peer *endpoint = h2_accept(gate);
    endpoint->end->holds = true;
    struct message *message = served(endpoint, 0);
    UNTIL(message->body.len == server_options.stream_window);
    until_still();
    assert_int_equal(message->body.len, server_options.stream_window);
    assert_true(request->n_sent <= server_options.stream_window + WINDOW_BYTES);
    take_the_rest(message);
    UNTIL(message->has_ended);
    expect_body(message, large_body(FLOOD_BYTES));
    send_head(message, 200, "", false);
    UNTIL(request->is_closed);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_slow_http_1_endpoint_stops_an_http_2_client(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP1);
    struct h2_peer *client = h2_dial(gate);
    char line[60];
    snprintf(line, sizeof line, "content-length: %d\r\n", FLOOD_BYTES);
    struct message *request =
        send_request_with(client->end, "POST", "/", line, large_body(FLOOD_BYTES), true);
    struct peer *endpoint = h1_accept(gate);
    h1_hear_head(endpoint);
    until_still();
    assert_true(request->n_sent < FLOOD_BYTES);
    h1_hear_body(endpoint, large_body(FLOOD_BYTES));
    say(endpoint, ok);
    UNTIL(request->is_closed);
    h2_hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_slow_endpoint_stops_an_http_1_client(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = h1_dial(gate);
    char text[100];
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: %d\r\n\r\n",
             FLOOD_BYTES);
    say(client, text);
    struct h2_peer *endpoint = h2_accept(gate);
    endpoint->end->holds = true;
    struct message *message = served(endpoint, 0);
    size_t sent = 0;
    for (int64_t last_ns = clock_monotonic_ns(); clock_monotonic_ns() - last_ns < 150000000;) {
        size_t n = h1_say_some(client, str_from(large_body(FLOOD_BYTES), sent));
        sent += n;
        if (n > 0)
            last_ns = clock_monotonic_ns();
        move_or_wait();
    }
    assert_true(sent < FLOOD_BYTES);
    UNTIL(message->body.len == server_options.stream_window);
    take_the_rest(message);
    h1_say(client, str_from(large_body(FLOOD_BYTES), sent));
    UNTIL(message->has_ended);
    expect_body(message, large_body(FLOOD_BYTES));
    send_head(message, 204, "", false);
    assert_non_null(strstr(h1_hear_head(client), "HTTP/1.1 204 "));
    hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_slow_http_1_client_stops_an_http_2_endpoint(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = h1_dial(gate);
    say(client, get);
    struct h2_peer *endpoint = h2_accept(gate);
    struct message *message = served(endpoint, 0);
    message->out = large_body(FLOOD_BYTES);
    char line[60];
    snprintf(line, sizeof line, "content-length: %d\r\n", FLOOD_BYTES);
    send_head(message, 200, line, true);
    until_still();
    assert_true(message->n_sent < FLOOD_BYTES);
    h1_hear_head(client);
    h1_hear_body(client, large_body(FLOOD_BYTES));
    UNTIL(message->is_closed);
    hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

// A client that takes nothing at all from its socket, nor a window from anybody.
static void test_a_deaf_client_holds_up_nobody_else(void **state)
{
    struct gate *gate = *state;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct h2_peer *deaf = h2_dial(gate), *client = h2_dial(gate);
    UNTIL(h2_has_settings(deaf->end->h2));
    struct message *stuck = send_request(deaf->end, "GET", "/");
    h2_say(deaf);
    deaf->is_deaf = true;
    struct h2_peer *endpoint = h2_accept(gate);
    send_response(served(endpoint, 0), 200, large_body(FLOOD_BYTES));
    until_still();
    struct message *request = send_request(client->end, "GET", "/");
    send_response(served(endpoint, 1), 200, large_body(1000000)); // over the same connection
    UNTIL(request->is_closed);
    expect_body(request, large_body(1000000));
    assert_false(stuck->is_closed);
    deaf->is_deaf = false;
    UNTIL(stuck->is_closed);
    expect_body(stuck, large_body(FLOOD_BYTES));
    h2_hang_up(deaf);
    h2_hang_up(client);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_h2, tear_down_h2)
    const struct CMUnitTest tests[] = {
        TEST(requests_go_from_http_2_to_http_1),
        TEST(requests_go_from_http_1_to_http_2),
        TEST(requests_go_from_http_2_to_http_2),
        TEST(what_http_1_would_read_otherwise_is_refused),
        TEST(a_head_over_the_limit_is_answered_and_the_connection_lives),
        TEST(bodies_of_any_size_go_from_http_2_to_http_1_and_back),
        TEST(bodies_of_any_size_go_from_http_1_to_http_2_and_back),
        TEST(bodies_of_any_size_go_from_http_2_to_http_2_and_back_at_once),
        TEST(a_hundred_streams_share_one_connection),
        TEST(no_more_streams_than_allowed_are_on_a_connection),
        TEST(streams_of_one_connection_go_to_different_clusters),
        TEST(a_slow_client_stops_an_http_2_endpoint),
        TEST(a_slow_client_stops_an_http_1_endpoint),
        TEST(a_slow_endpoint_stops_an_http_2_client),
        TEST(a_slow_http_1_endpoint_stops_an_http_2_client),
        TEST(a_slow_endpoint_stops_an_http_1_client),
        TEST(a_slow_http_1_client_stops_an_http_2_endpoint),
        TEST(a_deaf_client_holds_up_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
