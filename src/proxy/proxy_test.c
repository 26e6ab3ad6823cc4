// SPDX-License-Identifier: Apache-2.0
// Requests, responses and what can go wrong between them.
#include "proxy/proxy_test.h"

// ---- requests and their bodies ----

static void test_a_pipeline_behind_a_fin_is_answered_in_order(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "GET /1 HTTP/1.1\r\nhost: a.example\r\n\r\n"
                "POST /2 HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\n\r\nabc"
                "GET /3 HTTP/1.1\r\nhost: a.example\r\n\r\n");
    shutdown(client->fd, SHUT_WR);
    struct peer *endpoint = accept_from_gate(gate);
    assert_non_null(strstr(hear_head(endpoint), "GET /1 HTTP/1.1\r\nhost: a.example\r\n"));
    say(endpoint, ok);
    assert_non_null(strstr(hear_head(endpoint), "POST /2 HTTP/1.1\r\n"));
    hear(endpoint, "abc");
    say(endpoint, ok);
    assert_non_null(strstr(hear_head(endpoint), "GET /3 HTTP/1.1\r\n"));
    say(endpoint, ok);
    for (int i = 0; i < 3; i++)
        hear_whole_response(client, 200);
    hear_end(client);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    expect_log(gate, "GET 200 - via_upstream 0 2 1\nPOST 200 - via_upstream 3 2 1\n"
                     "GET 200 - via_upstream 0 2 1\n");
}

static void test_an_endless_pipeline_of_own_answers_leaves_room_for_others(void **state)
{
    struct gate *gate = *state;
    enum { N = 1000 };
    gate->has_no_cluster = true;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *other = connect_to_gate(gate);
    for (int i = 0; i < N; i++)
        say(client, get);
    say(other, get);
    hear_whole_response(other, 200);
    for (int i = 0; i < N; i++)
        hear_whole_response(client, 200);
    say(client, get);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(other);
    wait_until_quiet(gate);
}

static void test_a_chunked_body_in_drips_ends_where_it_ends(void **state)
{
    struct gate *gate = *state;
    static const char body[] = "5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nchecksum: 1\r\n\r\n";
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    for (size_t i = 0; i < sizeof body - 2; i++) {
        say_bytes(client, body + i, 1);
        char one[2] = {body[i]};
        if (i < 20)
            hear(endpoint, one); // passed on as it came
    }
    say(client, "\nGET /behind HTTP/1.1\r\nhost: a.example\r\n\r\n");
    hear(endpoint, body + 20);
    say(endpoint, ok);
    assert_non_null(strstr(hear_head(endpoint), "GET /behind "));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_broken_chunk_is_400_and_what_follows_is_no_request(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client,
        "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello");
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    hear(endpoint, "5\r\nhello");
    say(client, "\r\n-1\r\nGET /smuggled HTTP/1.1\r\nhost: a.example\r\n\r\n");
    hear_whole_response(client, 400);
    hear_end(client);
    hear_end(endpoint); // and there is no other connection
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    expect_log(gate, "POST 400 DPE http1.codec_error 5 41 1\n");
}

static void test_a_chunked_body_over_its_limit_is_413(void **state)
{
    struct gate *gate = *state;
    gate->body_bytes_max = 10;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n"
                "b\r\nhello world\r\n0\r\n\r\n");
    hear_whole_response(client, 413);
    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 11\r\n\r\n");
    hear_whole_response(client, 413);
    hear_end(client);
    hang_up(client);
    client = connect_to_gate(gate);
    say(client,
        "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    hear(endpoint, "5\r\nhello\r\n");
    say(client, "6\r\n world\r\n0\r\n\r\n");
    hear_whole_response(client, 413);
    hear_end(client);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_an_upload_waits_for_the_endpoint(void **state)
{
    struct gate *gate = *state;
    enum { N = 900000 };
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    char head[100];
    snprintf(head, sizeof head, "PUT / HTTP/1.1\r\nhost: a.example\r\ncontent-length: %d\r\n\r\n",
             N);
    say(client, head);
    struct peer *endpoint = accept_from_gate(gate);
    say_many(client, 'x', N);
    hear_head(endpoint);
    hear_many(endpoint, 'x', N);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    say(client, get);
    assert_non_null(strstr(hear_head(endpoint), "GET / "));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- responses ----

static void test_responses_without_bodies_leave_the_connection_in_step(void **state)
{
    struct gate *gate = *state;
    static const struct {
        const char *method, *response;
        unsigned status;
    } cases[] = {
        {"HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", 200},
        {"HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 200},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204},
        {"GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", 304},
        {"GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200},
    };
    open_gate(gate);
    struct peer *client = connect_to_gate(gate), *endpoint = NULL;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[100];
        snprintf(request, sizeof request, "%s / HTTP/1.1\r\nhost: a.example\r\n\r\n",
                 cases[i].method);
        say(client, request);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, cases[i].response);
        hear_status(client, cases[i].status);
        assert_int_equal(client->len, 0);
    }
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_interim_heads_leave_room_for_the_final_one(void **state)
{
    struct gate *gate = *state;
    static char interim[60100];
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    int len = snprintf(interim, sizeof interim, "HTTP/1.1 103 Early Hints\r\nlink: ");
    memset(interim + len, 'l', 60000);
    memcpy(interim + len + 60000, "\r\n\r\n", 5);
    for (int i = 0; i < 3; i++) {
        say(endpoint, interim);
        hear_status(client, 103);
    }
    memcpy(interim, "HTTP/1.1 200 Early", 18); // as long, and its body ends with the connection
    say(endpoint, interim);
    say_many(endpoint, 'b', 200000);
    hang_up(endpoint);
    hear_status(client, 200);
    size_t bytes = 0;
    for (char *end;;) {
        while (!(end = strstr(client->data, "\r\n")))
            assert_int_equal(hear_more(client), 1);
        size_t size = strtoul(client->data, NULL, 16);
        forget(client, (size_t)(end - client->data) + 2);
        hear_many(client, 'b', size);
        hear(client, "\r\n");
        if (size == 0)
            break;
        bytes += size;
    }
    assert_int_equal(bytes, 200000);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_body_until_close_that_is_cut_is_reset_for_http_1_0(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    for (int cut = 0; cut < 2; cut++) {
        struct peer *client = connect_to_gate(gate);
        say(client, "GET / HTTP/1.0\r\nhost: a.example\r\nconnection: keep-alive\r\n\r\n");
        struct peer *endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, "HTTP/1.0 200 OK\r\n\r\nhalf");
        hear_status(client, 200);
        hear(client, "half");
        if (cut) {
            reset(endpoint);
            hear_reset(client);
        } else {
            hang_up(endpoint);
            hear_end(client);
        }
        hang_up(client);
        wait_until_quiet(gate);
    }
    expect_log(gate,
               "GET 200 - via_upstream 0 4 1\n"
               "GET 200 UC upstream_reset_after_response_started{connection_termination} 0 4 1\n");
}

static void test_chunks_are_taken_apart_for_http_1_0(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.0\r\nhost: a.example\r\nconnection: keep-alive\r\n\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, "HTTP/1.1 100 Continue\r\n\r\n" // nothing for HTTP/1.0
                  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    hear_status(client, 200);
    hear(client, "abc");
    say(endpoint, "2\r\nde\r\n0\r\n\r\n");
    hear(client, "de");
    hear_end(client);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_large_body_goes_through_whole_and_keeps_both_connections(void **state)
{
    struct gate *gate = *state;
    enum { N = 900000 };
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    char head[100];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", N);
    say(endpoint, head);
    say_many(endpoint, 'y', N);
    hear_status(client, 200);
    hear_many(client, 'y', N);
    say(client, get);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_bytes_that_nobody_asked_for_reach_nobody(void **state)
{
    struct gate *gate = *state;
    static const char evil[] = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL";
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    for (int late = 0; late < 2; late++) {
        say(client, get);
        struct peer *endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, ok);
        if (late) { // when it waits in its pool
            hear_whole_response(client, 200);
            wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
            say(endpoint, evil);
        } else {
            say(endpoint, evil);
            hear_whole_response(client, 200);
        }
        wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 0);
        hang_up(endpoint);
    }
    assert_int_equal(client->len, 0);
    hang_up(client);
    wait_until_quiet(gate);
}

// ---- failures ----

static void test_an_early_answer_arrives_though_the_body_cannot_be_sent(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "PUT / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 100000\r\n\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    say_many(client, 'x', 50000); // unread by the endpoint: so its close is a reset
    hear(endpoint, "PUT / HTTP/1.1\r\n");
    say(endpoint, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno");
    hang_up(endpoint);
    const char *head = hear_head(client);
    assert_non_null(strstr(head, "HTTP/1.1 401 "));
    assert_non_null(strstr(head, "connection: close\r\n"));
    hear(client, "no");
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_dead_pooled_connection_is_replaced_when_the_request_may_be_repeated(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    say(client, "PUT / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\nbody");
    hear_head(endpoint);
    hear(endpoint, "body");
    reset(endpoint);
    endpoint = accept_from_gate(gate); // once more, whole
    assert_non_null(strstr(hear_head(endpoint), "x-envoy-attempt-count: 2\r\n"));
    hear(endpoint, "body");
    say(endpoint, ok);
    hear_whole_response(client, 200);
    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\nbody");
    hear_head(endpoint);
    hear(endpoint, "body");
    reset(endpoint); // not to be repeated: it may have been done
    hear_whole_response(client, 503);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_RETRIES), 1);
    expect_log(gate, "GET 200 - via_upstream 0 2 1\nPUT 200 - via_upstream 4 2 2\n"
                     "POST 503 UC upstream_reset_before_response_started{connection_termination,"
                     "not_retried:_POST_was_sent} 4 188 1\n");
}

static void test_each_failure_has_its_status_and_flag(void **state)
{
    struct gate *gate = *state;
    gate->route_timeout_ms = 60;
    gate->options.head_bytes_max = 4096;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n");
    hear_whole_response(client, 404);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    hear_whole_response(client, 504);
    hear_end(endpoint);
    hang_up(endpoint);
    say(client, get);
    endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, "HTTP/1.1 OK\r\n\r\n");
    hear_whole_response(client, 502);
    hang_up(endpoint);
    say(client, get);
    endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"); // not asked for
    hear_whole_response(client, 502);
    hang_up(endpoint);
    close(gate->endpoint);
    say(client, get);
    hear_whole_response(client, 503);
    say(client, "GET /\r\n\r\n");
    hear_whole_response(client, 505);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    uint64_t counters[CLUSTER_COUNTER_COUNT];
    assert_true(
        proxy_cluster_counters(gate->proxy, proxy_snapshot(gate->proxy)->clusters[0], counters));
    assert_int_equal(counters[CLUSTER_COUNTER_REQUESTS], 4);
    assert_int_equal(counters[CLUSTER_COUNTER_FAILURES], 4);
    assert_int_equal(counters[CLUSTER_COUNTER_ACTIVE], 0);
    assert_int_equal(counters[CLUSTER_COUNTER_RESPONSES_5XX], 0); // they are ours
    gate->endpoint = listen_anywhere(&gate->endpoint_address);
    expect_log(gate,
               "GET 404 NR route_not_found 0 35 0\n"
               "GET 504 UT upstream_response_timeout 0 53 1\n"
               "GET 502 UPE upstream_reset_before_response_started{protocol_error} 0 145 1\n"
               "GET 502 UPE upstream_reset_before_response_started{protocol_error} 0 145 1\n"
               "GET 503 UF upstream_reset_before_response_started{connection_failure} 0 153 0\n"
               "- 505 DPE low_version 0 39 0\n");
}

static void test_each_wait_for_the_client_has_an_end(void **state)
{
    struct gate *gate = *state;
    gate->options.request_head_timeout_ms = 50;
    gate->options.keepalive_timeout_ms = 50;
    gate->options.stream_idle_timeout_ms = 50;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    hear_end(client); // nothing asked
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.1\r\nho");
    hear_whole_response(client, 408);
    hear_end(client);
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 10\r\n\r\nabc");
    hear_whole_response(client, 408);
    hear_end(client);
    hang_up(client);
    hang_up(accept_from_gate(gate));
    client = connect_to_gate(gate);
    say(client, get);
    hear_whole_response(client, 504);
    hear_end(client);
    hang_up(client);
    hang_up(accept_from_gate(gate));
    wait_until_quiet(gate);
}

static void test_a_client_that_leaves_frees_the_endpoint(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    for (int begun = 0; begun < 2; begun++) {
        struct peer *client = connect_to_gate(gate);
        say(client, get);
        struct peer *endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        if (begun) {
            say(endpoint, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
            hear_status(client, 200);
            hear(client, "abc");
        }
        reset(client);
        hear_end(endpoint);
        hang_up(endpoint);
        wait_until_quiet(gate);
    }
    expect_log(gate, "GET 0 DC downstream_remote_disconnect 0 0 1\n"
                     "GET 200 DC downstream_remote_disconnect 0 3 1\n");
}

static void test_a_flood_behind_a_refusal_ends_with_the_linger_deadline(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, "GET / HTTP/1.1\r\n\r\n");
    hear_whole_response(client, 400);
    char bytes[4096] = {0};
    while (send(client->fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {
    }
    assert_true(errno == ECONNRESET || errno == EPIPE);
    hang_up(client);
    wait_until_quiet(gate);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_pipeline_behind_a_fin_is_answered_in_order),
        TEST(an_endless_pipeline_of_own_answers_leaves_room_for_others),
        TEST(a_chunked_body_in_drips_ends_where_it_ends),
        TEST(a_broken_chunk_is_400_and_what_follows_is_no_request),
        TEST(a_chunked_body_over_its_limit_is_413),
        TEST(an_upload_waits_for_the_endpoint),
        TEST(responses_without_bodies_leave_the_connection_in_step),
        TEST(interim_heads_leave_room_for_the_final_one),
        TEST(a_body_until_close_that_is_cut_is_reset_for_http_1_0),
        TEST(chunks_are_taken_apart_for_http_1_0),
        TEST(a_large_body_goes_through_whole_and_keeps_both_connections),
        TEST(bytes_that_nobody_asked_for_reach_nobody),
        TEST(an_early_answer_arrives_though_the_body_cannot_be_sent),
        TEST(a_dead_pooled_connection_is_replaced_when_the_request_may_be_repeated),
        TEST(each_failure_has_its_status_and_flag),
        TEST(each_wait_for_the_client_has_an_end),
        TEST(a_client_that_leaves_frees_the_endpoint),
        TEST(a_flood_behind_a_refusal_ends_with_the_linger_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
