// SPDX-License-Identifier: Apache-2.0
// The admin server over real sockets; client and server live in the same loop.
#include "admin/admin.h"
#include "admin/test_proxy.h"
#include "base/clock.h"
#include "base/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

static struct loop loop;
static struct admin *admin;
static struct admin_facts facts;
static struct buf answer;

static void give_facts(void *arg, struct admin_facts *ret_facts)
{
    (void)arg;
    *ret_facts = facts;
}

// As if there were three pieces.
static bool give_names(void *arg, uint64_t *cursor, size_t bytes, struct buf *out)
{
    (void)arg;
    assert_true(bytes > 0);
    buf_printf(out, "n%llu.example.com::address::192.0.2.1\n", (unsigned long long)++*cursor);
    return *cursor < 3;
}

static int setup(void **state)
{
    (void)state;
    loop_init(&loop);
    facts = (struct admin_facts){.is_ready = true};
    test_proxy_set_clusters(5, 2);
    struct admin_options options = {.facts = give_facts, .names = give_names};
    struct buf error = {0};
    assert_true(address_parse(STR("127.0.0.1:0"), &options.bind));
    admin = admin_open(&loop, &options, &error);
    assert_non_null(admin);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    admin_close(admin);
    loop_fini(&loop);
    test_proxy_fini();
    buf_fini(&answer);
    return 0;
}

static int dial(void)
{
    struct address address;
    struct sockaddr_storage sockaddr;
    admin_address(admin, &address);
    socklen_t len = address_to_sockaddr(&address, &sockaddr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, len), 0);
    return fd;
}

// Turns the loop and reads until the server closes; `answer` is then NUL-terminated.
static void read_to_end(int fd)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    answer.len = 0;
    for (;;) {
        char piece[16384];
        assert_true(clock_monotonic_ms() < deadline);
        loop_turn(&loop, 1);
        ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n < 0)
            assert_int_equal(errno, EAGAIN);
        else
            buf_add(&answer, piece, (size_t)n);
    }
    buf_add_char(&answer, '\0');
    close(fd);
    loop_turn(&loop, 0);
}

static void ask(const char *request)
{
    int fd = dial();
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    read_to_end(fd);
}

#define HOST "Host: admin\r\n\r\n"

static void assert_begins(const char *text)
{
    assert_true(answer.len > strlen(text));
    assert_memory_equal(answer.data, text, strlen(text));
}

static const char *body(void)
{
    const char *end = strstr(answer.data, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void test_ready_follows_the_gateway(void **state)
{
    (void)state;
    ask("GET /ready HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_string_equal(body(), "ready\n");
    facts = (struct admin_facts){.is_draining = true};
    ask("GET /ready HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 503 Service Unavailable\r\n");
    assert_string_equal(body(), "draining\n");
    ask("GET /live HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void test_a_head_in_drops_is_one_request(void **state)
{
    (void)state;
    const char request[] = "GET /live HTTP/1.1\r\n" HOST;
    int fd = dial();
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
        loop_turn(&loop, 1);
    }
    read_to_end(fd);
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_non_null(strstr(answer.data, "\r\ncontent-length: 5\r\n"));
    assert_string_equal(body(), "live\n");
}

static void test_what_is_not_served_is_answered(void **state)
{
    (void)state;
    ask("GET /nowhere HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 404 Not Found\r\n");
    ask("POST /ready HTTP/1.1\r\nContent-Length: 0\r\n" HOST);
    assert_begins("HTTP/1.1 405 Method Not Allowed\r\n");
    assert_non_null(strstr(answer.data, "\r\nallow: GET, HEAD\r\n"));
    ask("GET /ready HTTP/1.1\r\nName : x\r\n" HOST);
    assert_begins("HTTP/1.1 400 Bad Request\r\n");
}

static void test_a_head_that_is_too_large_is_refused(void **state)
{
    (void)state;
    struct buf request = {0};
    buf_add_text(&request, "GET /ready HTTP/1.1\r\nHost: a\r\nx: ");
    while (request.len < 9000)
        buf_add_char(&request, 'y');
    buf_add_text(&request, "\r\n\r\n");
    buf_add_char(&request, '\0');
    ask(request.data);
    assert_begins("HTTP/1.1 431 ");
    buf_fini(&request);
}

static void test_the_configuration_comes_with_what_is_open(void **state)
{
    (void)state;
    ask("GET /config_dump HTTP/1.0\r\n\r\n");
    static const char begin[] = "{\"open_listeners\":[\"http 127.0.0.1:8080\",\"tcp "
                                "[::1]:30007\"],\"listeners\":[";
    assert_true(strncmp(body(), begin, sizeof begin - 1) == 0);
}

static void test_a_page_that_grows_is_chunked_and_complete(void **state)
{
    (void)state;
    test_proxy_set_clusters(6, 5000);
    ask("GET /clusters HTTP/1.0\r\n\r\n");
    char *plain = strdup(body());
    assert_null(strstr(answer.data, "transfer-encoding"));
    assert_non_null(strstr(plain, "svc\\004999::10.0.0.1:80::weight::3\n"));

    ask("GET /clusters HTTP/1.1\r\n" HOST);
    assert_non_null(strstr(answer.data, "\r\ntransfer-encoding: chunked\r\n"));
    struct buf joined = {0};
    unsigned chunks = 0;
    char *at = (char *)body();
    for (size_t size; (size = strtoul(at, &at, 16)) > 0; chunks++) {
        assert_memory_equal(at, "\r\n", 2);
        buf_add(&joined, at + 2, size);
        at += 2 + size;
        assert_memory_equal(at, "\r\n", 2);
    }
    assert_string_equal(at, "\r\n\r\n");
    assert_true(chunks > 3);
    buf_add_char(&joined, '\0');
    assert_string_equal(joined.data, plain);
    buf_fini(&joined);
    free(plain);
}

static void test_names_are_shown_piece_by_piece(void **state)
{
    (void)state;
    ask("GET /names HTTP/1.0\r\n\r\n");
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_string_equal(body(), "n1.example.com::address::192.0.2.1\n"
                                "n2.example.com::address::192.0.2.1\n"
                                "n3.example.com::address::192.0.2.1\n");
}

static void test_head_has_no_body(void **state)
{
    (void)state;
    ask("HEAD / HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_non_null(strstr(answer.data, "\r\ncontent-length: "));
    assert_string_equal(body(), "");
    ask("HEAD /metrics HTTP/1.1\r\n" HOST);
    assert_string_equal(body(), "");
}

static void test_the_log_level_is_shown_and_set(void **state)
{
    (void)state;
    enum log_level before = log_get_level();
    ask("GET /logging?level=error HTTP/1.1\r\n" HOST);
    assert_string_equal(body(), "level: error\n");
    assert_int_equal(log_get_level(), LOG_ERROR);
    ask("GET /logging?level=loud HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 400 ");
    ask("GET /logging?leve=error HTTP/1.1\r\n" HOST);
    assert_begins("HTTP/1.1 400 ");
    ask("GET /logging HTTP/1.1\r\n" HOST);
    assert_string_equal(body(), "level: error\n");
    log_set_level(before);
}

static void test_connections_over_the_limit_wait_for_their_turn(void **state)
{
    (void)state;
    int waiting[40];
    for (size_t i = 0; i < 40; i++)
        waiting[i] = dial();
    for (unsigned i = 0; i < 60; i++)
        loop_turn(&loop, 0);
    const char request[] = "GET /live HTTP/1.1\r\n" HOST;
    send(waiting[39], request, sizeof request - 1, MSG_NOSIGNAL);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(&loop, 1);
    char byte;
    assert_int_equal(recv(waiting[39], &byte, 1, MSG_DONTWAIT), -1);
    for (size_t i = 0; i < 39; i++)
        close(waiting[i]);
    read_to_end(waiting[39]);
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void test_an_address_in_use_is_an_error(void **state)
{
    (void)state;
    struct admin_options options = {.facts = give_facts};
    admin_address(admin, &options.bind);
    struct buf error = {0};
    assert_null(admin_open(&loop, &options, &error));
    buf_add_char(&error, '\0');
    assert_non_null(strstr(error.data, "Address already in use"));
    buf_fini(&error);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ready_follows_the_gateway),
        TEST(test_a_head_in_drops_is_one_request),
        TEST(test_what_is_not_served_is_answered),
        TEST(test_a_head_that_is_too_large_is_refused),
        TEST(test_the_configuration_comes_with_what_is_open),
        TEST(test_a_page_that_grows_is_chunked_and_complete),
        TEST(test_names_are_shown_piece_by_piece),
        TEST(test_head_has_no_body),
        TEST(test_the_log_level_is_shown_and_set),
        TEST(test_connections_over_the_limit_wait_for_their_turn),
        TEST(test_an_address_in_use_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
