// SPDX-License-Identifier: Apache-2.0
// TLS between clients and the proxy.
#include "proxy/proxy_tls_test.h"
#include "proxy/proxy_traffic.h"

static const char ask[] = "GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n";
static const char tls_log[] = "%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% "
                              "%RESPONSE_CODE_DETAILS% %REQUESTED_SERVER_NAME% "
                              "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n";

static void serve_one(struct peer *client, struct peer *endpoint)
{
    say(client, ask);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
}

// ---- handshakes ----

static void test_requests_follow_on_one_connection_in_either_version(void **state)
{
    struct gate *gate = *state;
    gate->log_format = tls_log;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.client, "a.example.com");
    say(client, ask);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    serve_one(client, endpoint);
    say_goodbye(client);
    hang_up(client);
    client = connect_secretly(gate, contexts.old_client, "a.example.com");
    serve_one(client, endpoint);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKES), 2);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKE_FAILURES), 0);
    expect_log(gate, "GET 200 - via_upstream a.example.com TLSv1.3 -\n"
                     "GET 200 - via_upstream a.example.com TLSv1.3 -\n"
                     "GET 200 - via_upstream a.example.com TLSv1.2 -\n");
}

static void test_a_hello_may_come_in_pieces_behind_a_proxy_header(void **state)
{
    struct gate *gate = *state;
    static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n";
    gate->accepts_proxy = true;
    open_gate(gate);
    struct peer *endpoint = NULL;
    for (size_t piece = 1; piece < 600; piece += piece < 8 ? 1 : 97) {
        struct peer *client = connect_to_gate(gate);
        int one = 1;
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        for (size_t at = 0; at < sizeof line - 1; at += piece)
            say_bytes(client, line + at,
                      sizeof line - 1 - at < piece ? sizeof line - 1 - at : piece);
        begin_secret(client, contexts.client, "a.example.com", NULL);
        ((struct tls_end *)client->arg)->piece = piece;
        assert_int_equal(shake(client), TLS_DONE);
        say(client, ask);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        assert_non_null(strstr(hear_head(endpoint), "x-forwarded-for: 192.0.2.1\r\n"));
        say(endpoint, ok);
        hear_whole_response(client, 200);
        hang_up(client);
    }
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_sessions_are_resumed(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct tls_context *const clients[] = {contexts.client, contexts.old_client};
    struct peer *endpoint = NULL;
    for (int i = 0; i < 2; i++) {
        struct peer *client = connect_secretly(gate, clients[i], "a.example.com");
        say(client, ask);
        if (!endpoint)
            endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, ok);
        hear_whole_response(client, 200);
        struct tls_session *session = tls_take_session(conn_of_peer(client));
        assert_non_null(session);
        hang_up(client);
        client = begin_secret(connect_to_gate(gate), clients[i], "a.example.com", session);
        assert_int_equal(shake(client), TLS_DONE);
        serve_one(client, endpoint);
        assert_true(tls_is_resumed(conn_of_peer(client)));
        tls_session_free(session);
        hang_up(client);
    }
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKES), 4);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKES_RESUMED), 2);
}

// A client that gathers what it sends (Nagle) holds its request until its last message is
// acknowledged: the ticket must not wait for that request.
static void test_the_ticket_does_not_wait_for_a_request(void **state)
{
    struct gate *gate = *state;
    char byte;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.client, "a.example.com");
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, WAIT_S * 1000), 1);
    assert_int_equal(tls_recv(conn_of_peer(client), &byte, 1), -EAGAIN);
    struct tls_session *session = tls_take_session(conn_of_peer(client));
    assert_non_null(session);
    tls_session_free(session);
    hang_up(client);
    wait_until_quiet(gate);
}

static void expect_no_handshake(struct gate *gate, struct tls_context *context, const char *name)
{
    struct peer *client = begin_secret(connect_to_gate(gate), context, name, NULL);
    assert_int_not_equal(shake(client), TLS_DONE);
    hang_up(client);
}

static void test_the_name_chooses_the_chain_and_without_one_nothing_is_served(void **state)
{
    struct gate *gate = *state;
    gate->log_format = tls_log;
    open_gate(gate);
    hang_up(connect_secretly(gate, contexts.client, "A.Example.COM"));
    hang_up(connect_secretly(gate, contexts.client, "x.wild.example.com"));
    wait_until_quiet(gate);
    expect_no_handshake(gate, contexts.old_client, "x.wild.example.com"); // 1.3 only there
    wait_until_quiet(gate);
    expect_no_handshake(gate, contexts.client, "b.example.com");
    wait_until_quiet(gate);
    expect_no_handshake(gate, contexts.client, "127.0.0.1"); // no name is sent
    wishes.has_default = true;
    publish(gate, &gate->endpoint_address);
    wait_until_quiet(gate);
    hang_up(connect_secretly(gate, contexts.client, "127.0.0.1"));
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKES), 3);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKE_FAILURES), 1);
    expect_log(gate, "- 0 - - x.wild.example.com - unsupported protocol\n"
                     "- 0 NR filter_chain_not_found b.example.com - -\n"
                     "- 0 NR filter_chain_not_found - - -\n");
}

static void test_what_is_no_tls_or_ends_early_is_refused(void **state)
{
    struct gate *gate = *state;
    gate->log_format = tls_log;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate); // a probe of the port
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, ask);
    assert_true(hear_more(client) <= 0);
    hang_up(client);
    wait_until_quiet(gate);
    client = connect_to_gate(gate);
    say_bytes(client, "\x16\3\1\2\0\1\0\1\xfc\3\3", 11);
    shutdown(client->fd, SHUT_WR);
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
    client = begin_secret(connect_to_gate(gate), contexts.client, "a.example.com", NULL);
    assert_int_equal(tls_handshake(conn_of_peer(client)), TLS_AGAIN); // said its part, leaves
    await(client->fd, POLLIN);
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_PROTOCOL_ERRORS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKE_FAILURES), 2);
    assert_int_equal(counter(gate, PROXY_COUNTER_REQUESTS), 0);
    expect_log(gate, "- 0 DPE client_hello_malformed - - -\n"
                     "- 0 - - - - closed by the client in the handshake\n"
                     "- 0 - - a.example.com - closed by the client in the handshake\n");
}

static void test_greetings_have_one_deadline(void **state)
{
    struct gate *gate = *state;
    gate->log_format = tls_log;
    gate->accepts_proxy = true;
    gate->options.greeting_timeout_ms = 60;
    open_gate(gate);
    struct peer *client = connect_to_gate(gate);
    hear_end(client); // not a word
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "PROXY TCP4 192.0.2.1");
    assert_true(hear_more(client) <= 0);
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "PROXY UNKNOWN\r\n\x16\3\1");
    assert_true(hear_more(client) <= 0);
    hang_up(client);
    client = connect_to_gate(gate);
    say(client, "PROXY UNKNOWN\r\n");
    begin_secret(client, contexts.client, "a.example.com", NULL);
    assert_int_equal(tls_handshake(conn_of_peer(client)), TLS_AGAIN);
    client->recv = NULL; // the server's part is not answered
    while (hear_more(client) > 0) {
    }
    hang_up(client);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKE_FAILURES), 2);
    expect_log(gate, "- 0 DPE proxy_header_timeout - - -\n"
                     "- 0 - - - - handshake timeout\n"
                     "- 0 - - a.example.com - handshake timeout\n");
}

// ---- bytes ----

static ssize_t secret_talker_send(struct talker *talker, const void *data, size_t len)
{
    struct tls_conn *conn = talker->arg;
    if (len > TLS_SEND_MAX)
        len = TLS_SEND_MAX;
    ssize_t n = tls_send(conn, data, len);
    assert_true(n > 0 || n == -EAGAIN);
    return n;
}

static ssize_t secret_talker_recv(struct talker *talker, void *data, size_t cap)
{
    struct tls_conn *conn = talker->arg;
    ssize_t n = tls_recv(conn, data, cap);
    assert_true(n >= 0 || n == -EAGAIN);
    return n < 0 ? -1 : n;
}

static void secret_talker_end(struct talker *talker)
{
    struct tls_conn *conn = talker->arg;
    tls_shutdown(conn);
}

static bool secret_talker_flush(struct talker *talker)
{
    return tls_flush(talker->arg) == 0;
}

static ssize_t end_send_now(struct tls_io *io, const void *data, size_t len)
{
    struct tls_end *end = (struct tls_end *)io;
    ssize_t n = send(end->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static struct talker secret_talker(struct peer *peer, size_t piece, uint64_t to_send)
{
    ((struct tls_end *)peer->arg)->io.send = end_send_now;
    return (struct talker){.send = secret_talker_send,
                           .recv = secret_talker_recv,
                           .end = secret_talker_end,
                           .flush = secret_talker_flush,
                           .arg = conn_of_peer(peer),
                           .fd = peer->fd,
                           .piece = piece,
                           .to_send = to_send};
}

static void talk_until(struct talker *a, struct talker *b)
{
    a->has_ended = b->has_ended = true; // of a message only
    while (a->received < b->to_send || b->received < a->to_send) {
        bool moved = talk_on(a);
        if (!(talk_on(b) || moved))
            usleep(1000);
    }
}

// The reader does not read until the writer is stuck: what TLS holds back is bounded and not lost.
static void fill(struct talker *writer)
{
    writer->has_ended = writer->has_heard_end = true;
    for (int idle = 0; idle < 50; idle = talk_on(writer) ? 0 : idle + 1)
        usleep(1000);
    assert_true(writer->sent < writer->to_send);
    writer->has_heard_end = false;
}

// Else the kernel alone would take all of it.
static void keep_little(struct peer *peer)
{
    int bytes = 1 << 16;
    setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static void test_large_bodies_pass_both_ways_though_the_reader_is_slow(void **state)
{
    struct gate *gate = *state;
    enum { N = 48 << 20 }; // more than all sockets on the way take
    static char head[200];
    open_gate(gate);
    struct tls_context *const clients[] = {contexts.client, contexts.old_client};
    struct peer *endpoint = NULL;
    for (int i = 0; i < 2; i++) {
        struct peer *client = connect_secretly(gate, clients[i], "a.example.com");
        keep_little(client);
        snprintf(head, sizeof head,
                 "POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: %d\r\n\r\n", N);
        say(client, head);
        if (!endpoint)
            keep_little(endpoint = accept_from_gate(gate));
        hear_head(endpoint);
        assert_int_equal(endpoint->len, 0);
        struct talker up = secret_talker(client, 1 << 18, N);
        struct talker up_end = plain_talker(endpoint->fd, 7000, 0);
        fill(&up);
        talk_until(&up, &up_end);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", N);
        say(endpoint, head);
        hear_status(client, 200);
        assert_int_equal(client->len, 0);
        struct talker down_end = secret_talker(client, 9000, 0);
        struct talker down = plain_talker(endpoint->fd, 1 << 18, N);
        fill(&down);
        talk_until(&down_end, &down);
        serve_one(client, endpoint); // and the connection is in step
        say(client, "GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\n\r\n");
        hear_head(endpoint);
        say(endpoint, head);
        struct talker last = plain_talker(endpoint->fd, 1 << 18, N);
        fill(&last);
        hear_status(client, 200); // the end waits behind all of it
        struct talker last_end = secret_talker(client, 1 << 18, 0);
        last_end.received = client->len;
        for (size_t k = 0; k < client->len; k++)
            assert_int_equal(client->data[k], pattern()[k % PATTERN_BYTES]);
        forget(client, client->len);
        talk_until(&last_end, &last);
        hear_end(client);
        hang_up(client);
    }
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_cut_is_not_taken_for_an_end(void **state)
{
    struct gate *gate = *state;
    wishes.is_tcp = true;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.client, "a.example.com");
    struct peer *endpoint = accept_from_gate(gate);
    say(client, "half of");
    hear(endpoint, "half of");
    shutdown(client->fd, SHUT_WR); // without close_notify: anybody on the way may have sent it
    hear_reset(endpoint);
    hang_up(endpoint);
    hang_up(client);
    wait_until_quiet(gate);
    client = connect_secretly(gate, contexts.client, "a.example.com");
    endpoint = accept_from_gate(gate);
    say(endpoint, "half of");
    hear(client, "half of");
    reset(endpoint);
    assert_int_equal(hear_more(client), -1); // no close_notify
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_an_idle_connection_ends_with_close_notify(void **state)
{
    struct gate *gate = *state;
    gate->options.keepalive_timeout_ms = 50;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.client, "a.example.com");
    hear_end(client);
    hang_up(client);
    wait_until_quiet(gate);
}

static void test_a_tunnel_behind_tls_is_half_closed_and_changes_no_byte(void **state)
{
    struct gate *gate = *state;
    enum { MIB = 1 << 20 };
    open_gate(gate);
    for (int round = 0; round < 3; round++) {
        struct peer *client = connect_secretly(gate, contexts.client, "tcp.wild.example.com");
        struct peer *endpoint = accept_from_gate(gate);
        struct talker a =
            secret_talker(client, round == 1 ? 1000 : 1 << 18, round ? 12 * MIB + 1 : 3);
        struct talker b = plain_talker(endpoint->fd, round == 2 ? 1000 : MIB, 8 * MIB + 5);
        talk(&a, &b);
        hang_up(client);
        hang_up(endpoint);
        wait_until_quiet(gate);
    }
}

static void test_tls_passes_through_untouched(void **state)
{
    struct gate *gate = *state;
    gate->log_format = tls_log;
    open_gate(gate);
    struct peer *client =
        begin_secret(connect_to_gate(gate), contexts.client, "through.example.com", NULL);
    ((struct tls_end *)client->arg)->piece = 100;
    assert_int_equal(tls_handshake(conn_of_peer(client)), TLS_AGAIN);
    struct peer *endpoint = accept_from_gate(gate);
    size_t sent = ((struct tls_end *)client->arg)->n_sent;
    while (endpoint->len < sent)
        assert_int_equal(hear_more(endpoint), 1);
    assert_int_equal(endpoint->len, sent);
    assert_memory_equal(endpoint->data, "\x16\3\1", 3);
    assert_non_null(memmem(endpoint->data, endpoint->len, "through.example.com", 19));
    client->send = NULL;
    client->recv = NULL;
    say(endpoint, "raw");
    hear(client, "raw");
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_TLS_HANDSHAKES), 0);
    assert_int_equal(counter(gate, PROXY_COUNTER_DOWNSTREAM_BYTES_RECEIVED), sent);
    expect_log(gate, "- 0 - - through.example.com - -\n");
}

// ---- certificates of clients ----

static void test_the_endpoint_is_told_of_the_client_s_certificate(void **state)
{
    struct gate *gate = *state;
    gate->log_format = "%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% "
                       "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% "
                       "%DOWNSTREAM_TLS_CIPHER%\n";
    wishes.context = contexts.asking;
    wishes.certs.client_cert_forward = CLIENT_CERT_SET;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.known_client, "a.example.com");
    say(client, "GET / HTTP/1.1\r\nhost: a.example.com\r\n"
                "x-forwarded-client-cert: Hash=0;Subject=\"CN=admin\"\r\n\r\n");
    struct peer *endpoint = accept_from_gate(gate);
    const char *head = hear_head(endpoint);
    assert_null(strstr(head, "admin"));
    const char *field = strstr(head, "\r\nx-forwarded-client-cert: Hash=");
    assert_non_null(field);
    assert_non_null(strstr(field, ";Cert=\"-----BEGIN%20CERTIFICATE-----%0A"));
    assert_non_null(strstr(field, "-----END%20CERTIFICATE-----%0A\";Subject=\"CN=client\";"
                                  "URI=spiffe://c/ns/n/sa/s;DNS=client.example.com;"
                                  "DNS=two.example.com\r\n"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    client = connect_secretly(gate, contexts.client, "a.example.com"); // has none
    say(client, "GET / HTTP/1.1\r\nhost: a.example.com\r\n"
                "x-forwarded-client-cert: Hash=0;Subject=\"CN=admin\"\r\n\r\n");
    assert_null(strstr(hear_head(endpoint), "x-forwarded-client-cert"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
    expect_log(gate, "CN=client CN=authority spiffe://c/ns/n/sa/s "
                     "client.example.com,two.example.com TLS_AES_128_GCM_SHA256\n"
                     "- - - - TLS_AES_128_GCM_SHA256\n");
}

static void test_an_ingress_backend_gets_nginx_s_fields(void **state)
{
    struct gate *gate = *state;
    static const char spoof[] =
        "GET / HTTP/1.1\r\nhost: a.example.com\r\n"
        "SSL-Client-Verify: SUCCESS\r\nssl-client-cert: mine\r\n"
        "ssl-client-subject-dn: CN=admin\r\nssl-client-issuer-dn: x\r\n\r\n";
    wishes.context = contexts.asking;
    wishes.certs = (struct filter_chain){.passes_ingress_cert = true, .client_cert_pem = true};
    wishes.is_ingress = true;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.known_client, "a.example.com");
    say(client, spoof);
    struct peer *endpoint = accept_from_gate(gate);
    const char *head = hear_head(endpoint);
    assert_non_null(strstr(head, "\r\nssl-client-verify: SUCCESS\r\n"));
    assert_non_null(strstr(head, "\r\nssl-client-subject-dn: CN=client\r\n"));
    assert_non_null(strstr(head, "\r\nssl-client-issuer-dn: CN=authority\r\n"));
    assert_non_null(strstr(head, "\r\nssl-client-cert: -----BEGIN%20CERTIFICATE-----%0A"));
    assert_null(strstr(head, "admin"));
    assert_null(strstr(head, "mine"));
    assert_null(strstr(head, "SSL-Client-Verify"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    client = connect_secretly(gate, contexts.client, "a.example.com");
    say(client, spoof);
    head = hear_head(endpoint);
    assert_non_null(strstr(head, "\r\nssl-client-verify: NONE\r\n"));
    assert_null(strstr(head, "ssl-client-subject-dn"));
    assert_null(strstr(head, "ssl-client-cert"));
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

// ---- changes ----

static void
test_a_change_of_certificates_keeps_connections_but_none_without_its_certificate(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *client = connect_secretly(gate, contexts.client, "a.example.com");
    say(client, ask);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    wishes.context = contexts.newer;
    publish(gate, &gate->endpoint_address);
    serve_one(client, endpoint);
    wishes.context = contexts.asking;
    publish(gate, &gate->endpoint_address);
    // Until the worker has taken it up, requests are served as before.
    unsigned status = 200;
    for (int i = 0; i < 1000 && status == 200; i++) {
        say(client, ask);
        struct pollfd either[2] = {{client->fd, POLLIN, 0}, {endpoint->fd, POLLIN, 0}};
        assert_true(poll(either, 2, WAIT_S * 1000) > 0);
        if (either[1].revents) {
            hear_head(endpoint);
            say(endpoint, ok);
            hear_whole_response(client, 200);
        } else {
            hear_whole_response(client, status = 404);
        }
    }
    assert_int_equal(status, 404);
    hear_end(client);
    hang_up(client);
    client = connect_secretly(gate, contexts.known_client, "a.example.com");
    serve_one(client, endpoint);
    hang_up(client);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void note_drained(void *arg)
{
    struct gate *gate = arg;
    gate->is_drained = true;
}

static void test_draining_ends_idle_and_greeted_connections(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *idle = connect_secretly(gate, contexts.client, "a.example.com");
    say(idle, ask);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(idle, 200);
    struct peer *late = begin_secret(connect_to_gate(gate), contexts.client, "a.example.com", NULL);
    wait_for_counter(gate, PROXY_COUNTER_CONNECTIONS, 2);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    hear_end(idle);
    assert_int_equal(shake(late), TLS_DONE); // accepted before: it is still served
    say(late, ask);
    hang_up(endpoint);
    endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(late, 200);
    hear_end(late);
    hang_up(idle);
    hang_up(late);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the program does
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_tls, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_follow_on_one_connection_in_either_version),
        TEST(a_hello_may_come_in_pieces_behind_a_proxy_header),
        TEST(sessions_are_resumed),
        TEST(the_ticket_does_not_wait_for_a_request),
        TEST(the_name_chooses_the_chain_and_without_one_nothing_is_served),
        TEST(what_is_no_tls_or_ends_early_is_refused),
        TEST(greetings_have_one_deadline),
        TEST(large_bodies_pass_both_ways_though_the_reader_is_slow),
        TEST(a_cut_is_not_taken_for_an_end),
        TEST(an_idle_connection_ends_with_close_notify),
        TEST(a_tunnel_behind_tls_is_half_closed_and_changes_no_byte),
        TEST(tls_passes_through_untouched),
        TEST(the_endpoint_is_told_of_the_client_s_certificate),
        TEST(an_ingress_backend_gets_nginx_s_fields),
        TEST(a_change_of_certificates_keeps_connections_but_none_without_its_certificate),
        TEST(draining_ends_idle_and_greeted_connections),
    };
    return cmocka_run_group_tests(tests, set_up_contexts, tear_down_contexts);
}
