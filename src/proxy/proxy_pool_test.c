// SPDX-License-Identifier: Apache-2.0
// Several workers and the connections that they share.
#include "proxy/limits.h"
#include "proxy/proxy_h2_test.h"
#include <pthread.h>
#include <stdatomic.h>

enum { WORKERS = 8, CALLS = 24, PACE_MS = 2 * SHARE_GAP_MS };

static void open_with_workers(struct gate *gate)
{
    gate->options.n_workers = WORKERS;
    open_gate(gate);
}

// A client on a new connection: the kernel gives it to any of the workers.
static void call_once(struct gate *gate, struct peer *endpoint)
{
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
}

// The call that opens the connection.
static struct peer *call_first(struct gate *gate)
{
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    return endpoint;
}

static void wait_until_parked(struct gate *gate, unsigned n)
{
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED, n);
    usleep(PACE_MS * 1000); // rarely is what the test is about
}

// ---- one connection for all ----

static void test_a_rare_caller_has_one_connection_whichever_worker_serves_it(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    for (int i = 0; i < CALLS; i++) {
        wait_until_parked(gate, 1);
        call_once(gate, endpoint);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_REUSES), CALLS);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), CALLS);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_one_worker_parks_nothing(void **state)
{
    struct gate *gate = *state;
    open_gate(gate);
    struct peer *endpoint = call_first(gate);
    for (int i = 0; i < 3; i++) {
        wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
        usleep(2 * SHARE_AFTER_MS * 1000);
        assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED), 0);
        call_once(gate, endpoint);
    }
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), 0);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_what_a_burst_leaves_is_for_all_a_moment_later(void **state)
{
    struct gate *gate = *state;
    enum { N = 6 };
    struct peer *clients[N], *endpoints[N];
    open_with_workers(gate);
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to_gate(gate);
        say(clients[i], get);
        endpoints[i] = accept_from_gate(gate);
        hear_head(endpoints[i]);
    }
    for (int i = 0; i < N; i++) {
        say(endpoints[i], ok);
        hear_whole_response(clients[i], 200);
        hang_up(clients[i]);
    }
    wait_until_parked(gate, N);
    for (int i = 0; i < N; i++) { // all at once, on whatever workers
        clients[i] = connect_to_gate(gate);
        say(clients[i], get);
    }
    for (int i = 0; i < N; i++)
        hear_head(endpoints[i]);
    for (int i = 0; i < N; i++)
        say(endpoints[i], ok);
    for (int i = 0; i < N; i++) {
        hear_whole_response(clients[i], 200);
        hang_up(clients[i]);
        hang_up(endpoints[i]);
    }
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), N);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_REUSES), N);
}

// ---- what happens to a parked one ----

static struct peer *park_one(struct gate *gate)
{
    struct peer *endpoint = call_first(gate);
    wait_until_parked(gate, 1);
    return endpoint;
}

static void test_a_parked_one_that_ends_is_closed(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    hang_up(endpoint);
    wait_until_quiet(gate);
    endpoint = park_one(gate);
    say(endpoint, "HTTP/1.1 408 Request Timeout\r\n\r\n"); // that nobody asked for, nor reads
    hear_reset(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 2);
}

static void test_a_parked_one_waits_no_longer_than_others(void **state)
{
    struct gate *gate = *state;
    gate->options.upstream_idle_timeout_ms = 100;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_change_ends_those_to_endpoints_that_are_gone(void **state)
{
    struct gate *gate = *state;
    struct address other;
    int listening = listen_anywhere(&other);
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    publish(gate, &gate->endpoint_address); // the same: it stays
    call_once(gate, endpoint);
    wait_until_parked(gate, 1);
    publish(gate, &other);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    close(listening);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void note_drained(void *arg)
{
    struct gate *gate = arg;
    gate->is_drained = true;
}

static void test_draining_ends_them(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_the_end_comes_with_one_parked(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = park_one(gate);
    close_gate(gate);
    hear_end(endpoint);
    hang_up(endpoint);
}

// ---- HTTP/2 ----

// Without a loop of the control thread: the ends of HTTP/2 must move meanwhile.
static void wait_until_h2_parked(struct gate *gate)
{
    UNTIL(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED) == 1);
    for (int i = 0; i < PACE_MS; i++) {
        move_all();
        usleep(1000);
    }
}

static void serve_h2(struct peer *client, struct h2_peer *endpoint, unsigned n)
{
    send_response(served(endpoint, n), 200, STR("ok"));
    assert_non_null(strstr(h1_hear_head(client), "200 OK"));
    hang_up(client);
}

static struct peer *ask_h2(struct gate *gate)
{
    struct peer *client = h1_dial(gate);
    h1_say(client, STR(get));
    return client;
}

static void test_http2_of_a_rare_caller_is_one_connection(void **state)
{
    struct gate *gate = *state;
    gate->options.n_workers = WORKERS;
    open_gate_to(gate, CLUSTER_HTTP2);
    struct peer *client = ask_h2(gate);
    struct h2_peer *endpoint = h2_accept(gate);
    serve_h2(client, endpoint, 0);
    for (unsigned i = 1; i <= CALLS; i++) {
        wait_until_h2_parked(gate);
        serve_h2(ask_h2(gate), endpoint, i);
    }
    wait_until_h2_parked(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), CALLS);
    h2_ping(endpoint->end->h2); // the keeper answers, and parks it again
    until_still();
    wait_until_h2_parked(gate);
    serve_h2(ask_h2(gate), endpoint, CALLS + 1);
    wait_until_h2_parked(gate);
    h2_shutdown(endpoint->end->h2, H2_NO_ERROR); // one that says goodbye is closed
    UNTIL(endpoint->is_over);
    h2_hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

// ---- endpoints outside the cluster ----

static struct {
    struct cluster like; // what is set of it
    struct address retiring;
    struct address ip6; // of another endpoint
} outside;

static struct snapshot *build_outside(struct gate *gate, const struct address *endpoint)
{
    struct snapshot_builder *builder = builder_create(gate->registry);
    struct address bind;
    bool is_new;
    assert_true(address_parse(STR("127.0.0.1:0"), &bind));
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_HTTP, &bind, 80, STR("test.yaml:1:1"));
    struct builder_vhost *vhost =
        builder_vhost(builder_listener_hosts(listener), STR("a.example"), false);
    struct cluster *cluster =
        builder_cluster(builder, STR("outbound|80||outside.example"), &is_new);
    cluster->is_external = true;
    cluster->keepalive = outside.like.keepalive;
    cluster->max_age_ms = outside.like.max_age_ms;
    cluster->idle_timeout_ms = outside.like.idle_timeout_ms;
    builder_add_endpoint(builder, cluster, endpoint, 1);
    if (outside.ip6.port)
        builder_add_endpoint(builder, cluster, &outside.ip6, 1);
    if (outside.retiring.port)
        builder_add_retiring(builder, cluster, &outside.retiring);
    struct target *target = ARENA_NEW(builder_arena(builder), struct target);
    *target = (struct target){.cluster = cluster, .weight = 1};
    struct route route = {.path_kind = PATH_PREFIX_STRING,
                          .path = STR("/"),
                          .action = ROUTE_FORWARD,
                          .n_targets = 1,
                          .targets = target,
                          .total_weight = 1};
    builder_add_route(vhost, &route);
    return builder_seal(&builder, ++gate->generation);
}

static int set_up_outside(void **state)
{
    memset(&outside, 0, sizeof outside);
    set_up(state);
    struct gate *gate = *state;
    gate->build = build_outside;
    return 0;
}

static void keep_warm(struct gate *gate, unsigned n_workers)
{
    gate->options.n_workers = n_workers;
    open_gate(gate);
    hang_up(call_first(gate));
    struct peer *endpoint = accept_from_gate(gate); // without a request
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
    call_once(gate, endpoint);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 2);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), 1);
    close_gate(gate);
    hear_end(endpoint);
    hang_up(endpoint);
}

static void test_one_that_is_lost_is_replaced_before_it_is_needed(void **state)
{
    keep_warm(*state, 1);
}

static void test_one_keeper_replaces_for_all_workers(void **state)
{
    keep_warm(*state, WORKERS);
}

// It would be one handshake after the other for nobody.
static void test_what_may_wait_for_a_moment_only_is_not_kept_warm(void **state)
{
    struct gate *gate = *state;
    outside.like.idle_timeout_ms = 600;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    hear_end(endpoint);
    hang_up(endpoint);
    for (unsigned i = 0; i < 4; i++) // as often as the keeper looks
        loop_turn(&gate->loop, KEEP_TICK_MS);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), 0);
    close_gate(gate);
}

static void test_what_nobody_needs_any_more_gets_cold(void **state)
{
    struct gate *gate = *state;
    gate->options.warm_time_ms = 1;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    wait_until_parked(gate, 1); // the request is longer ago than that
    hang_up(endpoint);
    wait_until_quiet(gate);
    usleep(2 * KEEP_TICK_MS * 1000);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void test_connects_that_fail_are_tried_again_more_and_more_rarely(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    close(gate->endpoint);
    hang_up(endpoint);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECT_FAILURES, 1);
    usleep(WARM_PAUSE_MS / 2 * 1000);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), 1);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECT_FAILURES, 2);
    struct address other;
    gate->endpoint = listen_anywhere(&other); // for the end
}

// As one does that is overloaded, or that takes no connection that brings no request at once.
static void test_an_endpoint_that_closes_what_is_warm_is_asked_more_and_more_rarely(void **state)
{
    struct gate *gate = *state;
    open_with_workers(gate);
    hang_up(call_first(gate));
    for (uint64_t n = 1; n <= 2; n++) {
        struct peer *unused = accept_from_gate(gate);
        assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), n);
        hang_up(unused);
    }
    usleep(WARM_PAUSE_MS / 2 * 3 * 1000); // of two pauses
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), 2);
    struct peer *endpoint = accept_from_gate(gate);
    wait_until_parked(gate, 1);
    call_once(gate, endpoint); // it was of use: no more pauses
    hang_up(endpoint);
    endpoint = accept_from_gate(gate);
    hang_up(endpoint);
    endpoint = accept_from_gate(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS), 5);
    close_gate(gate);
    hang_up(endpoint);
}

// Its SYNs are dropped from now on.
static void fill_backlog(struct gate *gate, int *fds, unsigned n)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(&gate->endpoint_address, &sockaddr);
    assert_int_equal(listen(gate->endpoint, 0), 0);
    for (unsigned i = 0; i < n; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fds[i], (struct sockaddr *)&sockaddr, len);
    }
}

static void connect_ahead_in_vain(struct gate *gate, unsigned n_workers, int *fds, unsigned n)
{
    gate->options.n_workers = n_workers;
    open_gate(gate);
    struct peer *endpoint = call_first(gate);
    fill_backlog(gate, fds, n);
    hang_up(endpoint);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_PRECONNECTS, 1);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 1);
}

static void test_a_change_ends_connects_that_nobody_waits_for(void **state)
{
    struct gate *gate = *state;
    int fds[4];
    struct address other;
    int listening = listen_anywhere(&other);
    connect_ahead_in_vain(gate, 1, fds, 4);
    publish(gate, &other);
    // The new address is connected at once, the old one is no more.
    struct peer *fresh = peer_of(accept(listening, NULL, NULL));
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_IDLE, 1);
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 1);
    close_gate(gate);
    hang_up(fresh);
    close(listening);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void test_draining_ends_connects_that_nobody_waits_for(void **state)
{
    struct gate *gate = *state;
    int fds[4];
    connect_ahead_in_vain(gate, WORKERS, fds, 4);
    proxy_drain(gate->proxy, WAIT_S * 1000, note_drained, gate);
    wait_until_quiet(gate);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void test_an_endpoint_that_says_how_long_it_waits_is_left_before(void **state)
{
    struct gate *gate = *state;
    gate->options.warm_time_ms = 1;
    open_with_workers(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    say(endpoint, "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 2\r\n\r\nok");
    hear_whole_response(client, 200);
    hang_up(client);
    hear_end(endpoint); // in the place of a minute
    hang_up(endpoint);
    wait_until_quiet(gate);
}

static void test_a_new_address_is_connected_at_once(void **state)
{
    struct gate *gate = *state;
    struct address other;
    int listening = listen_anywhere(&other);
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    publish(gate, &other);
    struct peer *fresh = peer_of(accept(listening, NULL, NULL)); // nobody has asked
    hear_end(endpoint);
    hang_up(endpoint);
    // The keeper may have replaced the old one before it heard of the change: that one is closed.
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 1);
    wait_until_parked(gate, 1);
    call_once(gate, fresh);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_SHARED_TAKES), 1);
    close_gate(gate);
    hang_up(fresh);
    close(listening);
}

static void test_a_retiring_address_is_used_while_its_connections_last(void **state)
{
    struct gate *gate = *state;
    struct address other;
    int listening = listen_anywhere(&other);
    gate->options.warm_connections = 0;
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    wait_until_parked(gate, 1);
    outside.retiring = gate->endpoint_address;
    publish(gate, &other);
    call_once(gate, endpoint);
    wait_until_parked(gate, 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 1);
    hang_up(endpoint); // nobody opens another there
    wait_for_counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTIONS_ACTIVE, 0);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *fresh = peer_of(accept(listening, NULL, NULL));
    hear_head(fresh);
    say(fresh, ok);
    hear_whole_response(client, 200);
    hang_up(client);
    hang_up(fresh);
    wait_until_quiet(gate);
    close(listening);
}

static void test_an_old_connection_ends_behind_its_request(void **state)
{
    struct gate *gate = *state;
    outside.like.max_age_ms = 100;
    gate->options.warm_connections = 0;
    open_with_workers(gate);
    struct peer *client = connect_to_gate(gate);
    say(client, get);
    struct peer *endpoint = accept_from_gate(gate);
    hear_head(endpoint);
    usleep(150000); // it is old by now
    say(endpoint, ok);
    hear_whole_response(client, 200);
    hear_end(endpoint);
    hang_up(endpoint);
    hang_up(client);
    endpoint = call_first(gate); // another one; it waits, and then is old
    hear_end(endpoint);
    hang_up(endpoint);
    wait_until_quiet(gate);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), 2);
}

// ---- IPv4 and IPv6 ----

// Listens on ::1 and answers no SYN: its queue is full. -1: there is no IPv6 here.
static int listen_in_vain(int *ret_client, struct address *ret_address)
{
    struct sockaddr_in6 sockaddr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof sockaddr;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sockaddr, len) < 0 || listen(fd, 0) < 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &len), 0);
    assert_true(address_from_sockaddr((struct sockaddr *)&sockaddr, ret_address));
    *ret_client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_client, (struct sockaddr *)&sockaddr, len), 0);
    return fd;
}

static void test_a_family_that_does_not_answer_costs_a_moment_once(void **state)
{
    struct gate *gate = *state;
    enum { N = 20 };
    int filler, deaf = listen_in_vain(&filler, &outside.ip6);
    if (deaf < 0)
        skip();
    gate->options.warm_connections = 0;
    gate->log_format = "%UPSTREAM_HOST%\n";
    open_gate(gate);
    for (int i = 0; i < N; i++) { // one in two would be drawn to IPv6
        struct peer *client = connect_to_gate(gate);
        say(client, get);
        struct peer *endpoint = accept_from_gate(gate);
        hear_head(endpoint);
        say(endpoint, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        hear_whole_response(client, 200);
        hang_up(client);
        hang_up(endpoint);
    }
    wait_until_quiet(gate); // the one that lost is closed
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECTS), N + 1);
    assert_int_equal(counter(gate, PROXY_COUNTER_UPSTREAM_CONNECT_FAILURES), 0);
    char expected[1024] = "";
    for (int i = 0; i < N; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "127.0.0.1:%u\n",
                 gate->endpoint_address.port);
    expect_log(gate, expected);
    close(filler);
    close(deaf);
}

static void test_a_race_that_no_client_awaits_any_more_leaves_nothing(void **state)
{
    struct gate *gate = *state;
    int filler, deaf = listen_in_vain(&filler, &outside.ip6);
    if (deaf < 0)
        skip();
    gate->options.warm_connections = 0;
    open_gate(gate);
    for (int i = 0; i < 10; i++) {
        struct peer *client = connect_to_gate(gate);
        say(client, get);
        usleep(i % 2 ? 5000 : (RACE_AFTER_MS + 20) * 1000);
        hang_up(client);
    }
    close_gate(gate); // whatever is connecting
    close(filler);
    close(deaf);
}

// ---- all at once ----

enum { STORM_CALLERS = 4, STORM_CALLS = 60, STORM_CONNECTIONS = 128 };

static uint32_t next_draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

struct storm {
    struct gate *gate;
    atomic_bool is_over;
    atomic_int n_answered;
    uint32_t seed; // of the next caller
};

// An endpoint that answers, and closes at random what waits: at once, or a moment later.
static void *serve_storm(void *arg)
{
    struct storm *storm = arg;
    struct pollfd fds[STORM_CONNECTIONS] = {{.fd = storm->gate->endpoint, .events = POLLIN}};
    bool has_answered[STORM_CONNECTIONS] = {0}; // a new one that ends is no matter of pools
    unsigned n = 1;
    uint32_t random = 77;
    while (!atomic_load(&storm->is_over)) {
        if (poll(fds, n, 5) < 0)
            break;
        for (unsigned i = 1; i < n; i++) {
            char text[2048];
            bool ends = has_answered[i] && next_draw(&random) % 40 == 0;
            if (fds[i].revents) {
                ssize_t len = recv(fds[i].fd, text, sizeof text, 0);
                ends = len <= 0 || send(fds[i].fd, ok, sizeof ok - 1, MSG_NOSIGNAL) < 0;
                ends = ends || next_draw(&random) % 4 == 0;
                has_answered[i] = true;
            }
            if (ends) {
                close(fds[i].fd);
                fds[i] = fds[--n];
                has_answered[i--] = has_answered[n];
            }
        }
        has_answered[n < STORM_CONNECTIONS ? n : 0] = false;
        if (fds[0].revents && n < STORM_CONNECTIONS)
            fds[n++] = (struct pollfd){.fd = accept(fds[0].fd, NULL, NULL), .events = POLLIN};
    }
    while (n > 1)
        close(fds[--n].fd);
    return NULL;
}

// Sockets alone: assertions are for the main thread.
static void *call_in_storm(void *arg)
{
    struct storm *storm = arg;
    uint32_t random = __atomic_fetch_add(&storm->seed, 1000, __ATOMIC_RELAXED);
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(&storm->gate->address, &sockaddr);
    for (int i = 0; i < STORM_CALLS; i++) {
        char text[2048];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval wait = {.tv_sec = WAIT_S};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        if (connect(fd, (struct sockaddr *)&sockaddr, len) == 0 &&
            send(fd, get, sizeof get - 1, MSG_NOSIGNAL) > 0) {
            ssize_t n = recv(fd, text, sizeof text - 1, 0);
            if (n > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0)
                atomic_fetch_add(&storm->n_answered, 1);
        }
        close(fd);
        usleep(next_draw(&random) % 20000);
    }
    return NULL;
}

// Closes, changes and eight workers: no request is lost, and nothing is left (and no sanitizer has
// a word to say).
static void test_a_storm_loses_no_request(void **state)
{
    struct gate *gate = *state;
    struct storm storm = {.gate = gate, .seed = 1};
    pthread_t server, callers[STORM_CALLERS];
    open_with_workers(gate);
    assert_int_equal(pthread_create(&server, NULL, serve_storm, &storm), 0);
    for (int i = 0; i < STORM_CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_in_storm, &storm), 0);
    for (int i = 0; i < 50; i++) {
        publish(gate, &gate->endpoint_address);
        loop_turn(&gate->loop, 5);
        usleep(5000);
    }
    for (int i = 0; i < STORM_CALLERS; i++)
        pthread_join(callers[i], NULL);
    assert_int_equal(atomic_load(&storm.n_answered), STORM_CALLERS * STORM_CALLS);
    close_gate(gate);
    atomic_store(&storm.is_over, true);
    pthread_join(server, NULL);
}

// The proxy's socket to that endpoint: this process has it.
static int find_socket(const struct peer *endpoint)
{
    struct sockaddr_in of_endpoint, found;
    socklen_t len = sizeof of_endpoint;
    assert_int_equal(getpeername(endpoint->fd, (struct sockaddr *)&of_endpoint, &len), 0);
    for (int fd = 3; fd < 1024; fd++) {
        len = sizeof found;
        if (fd != endpoint->fd && getsockname(fd, (struct sockaddr *)&found, &len) == 0 &&
            found.sin_family == AF_INET && found.sin_port == of_endpoint.sin_port)
            return fd;
    }
    fail_msg("no such socket");
    return -1;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void test_probes_are_set_as_the_manifest_says(void **state)
{
    struct gate *gate = *state;
    outside.like.keepalive = (struct tcp_keepalive){.probes = 3, .time_s = 40, .interval_s = 7};
    open_with_workers(gate);
    struct peer *endpoint = call_first(gate);
    int fd = find_socket(endpoint);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 40);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 61000);
    close_gate(gate);
    hang_up(endpoint);
}

int main(void)
{
#define TEST_OUTSIDE(name) cmocka_unit_test_setup_teardown(test_##name, set_up_outside, tear_down)
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
#define TEST_H2(name) cmocka_unit_test_setup_teardown(test_##name, set_up_h2, tear_down_h2)
    const struct CMUnitTest tests[] = {
        TEST(a_rare_caller_has_one_connection_whichever_worker_serves_it),
        TEST(one_worker_parks_nothing),
        TEST(what_a_burst_leaves_is_for_all_a_moment_later),
        TEST(a_parked_one_that_ends_is_closed),
        TEST(a_parked_one_waits_no_longer_than_others),
        TEST(a_change_ends_those_to_endpoints_that_are_gone),
        TEST(draining_ends_them),
        TEST(the_end_comes_with_one_parked),
        TEST_OUTSIDE(one_that_is_lost_is_replaced_before_it_is_needed),
        TEST_OUTSIDE(one_keeper_replaces_for_all_workers),
        TEST_OUTSIDE(what_may_wait_for_a_moment_only_is_not_kept_warm),
        TEST_OUTSIDE(what_nobody_needs_any_more_gets_cold),
        TEST_OUTSIDE(connects_that_fail_are_tried_again_more_and_more_rarely),
        TEST_OUTSIDE(an_endpoint_that_closes_what_is_warm_is_asked_more_and_more_rarely),
        TEST_OUTSIDE(a_change_ends_connects_that_nobody_waits_for),
        TEST_OUTSIDE(draining_ends_connects_that_nobody_waits_for),
        TEST_OUTSIDE(an_endpoint_that_says_how_long_it_waits_is_left_before),
        TEST_OUTSIDE(a_new_address_is_connected_at_once),
        TEST_OUTSIDE(a_retiring_address_is_used_while_its_connections_last),
        TEST_OUTSIDE(an_old_connection_ends_behind_its_request),
        TEST_OUTSIDE(a_family_that_does_not_answer_costs_a_moment_once),
        TEST_OUTSIDE(a_race_that_no_client_awaits_any_more_leaves_nothing),
        TEST(a_storm_loses_no_request),
        TEST_OUTSIDE(a_storm_loses_no_request),
        TEST_OUTSIDE(probes_are_set_as_the_manifest_says),
        TEST_H2(http2_of_a_rare_caller_is_one_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
