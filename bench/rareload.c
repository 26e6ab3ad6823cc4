// SPDX-License-Identifier: Apache-2.0
// Clients that call rarely, each call on a connection of its own, as programs do that are started
// for it: they share nothing, take up no TLS session and know no name of the call before. What a
// call takes is counted from the socket until the last byte of the answer. One thread, epoll.
//
//   rareload plain|tls new|open ADDRESS PORT NAME PATH CLIENTS MIN_MS MAX_MS SECONDS
//
// Each client waits for MIN_MS to MAX_MS between the beginnings of two calls (drawn evenly, from a
// fixed seed) and begins somewhere in that time; with MIN_MS = MAX_MS the calls of all are evenly
// spaced. `open`: each client keeps its first connection and the call that opens it is not counted.
// Answers must be 200 and have a Content-Length. Prints one line of JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, CLIENTS_MAX = 1000, CALLS_MAX = 100000, CALL_S_MAX = 5 };

enum state { RESTING, CONNECTING, SHAKING_HANDS, AWAITING };

struct client {
    enum state state;
    SSL *ssl; // NULL: in clear
    int fd;   // -1: none
    uint32_t events;
    bool is_first; // the call opens a connection
    double next, begin;
    size_t len;
    char *answer;
};

static struct {
    bool is_secure, keeps;
    struct sockaddr_in address;
    const char *name;
    char request[2048];
    size_t request_len;
    int epoll;
    SSL_CTX *ctx;
    double min_s, max_s, deadline;
    uint32_t random;
    uint64_t connections, handshakes, resumed, errors, skipped;
    double *call_ms, *connect_ms;
    size_t n_calls, n_connects;
} load;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "rareload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double draw(double from, double to)
{
    load.random = load.random * 1103515245u + 12345u;
    return from + (to - from) * (double)(load.random >> 8) / (double)(1u << 24);
}

static void watch(struct client *c, uint32_t events)
{
    if (events == c->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(load.epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
    c->events = events;
}

static void close_client(struct client *c)
{
    if (c->ssl) {
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->events = 0;
    c->state = RESTING;
}

static void fail(struct client *c, const char *why)
{
    if (load.errors++ == 0)
        fprintf(stderr, "rareload: %s\n", why);
    close_client(c);
}

static void ask(struct client *c)
{
    ssize_t n = c->ssl ? SSL_write(c->ssl, load.request, (int)load.request_len)
                       : send(c->fd, load.request, load.request_len, MSG_NOSIGNAL);
    if (n != (ssize_t)load.request_len) {
        fail(c, "the request does not go out");
        return;
    }
    c->state = AWAITING;
    c->len = 0;
    watch(c, EPOLLIN);
}

static void shake_hands(struct client *c)
{
    int n = SSL_do_handshake(c->ssl);
    if (n == 1) {
        load.handshakes++;
        load.resumed += (uint64_t)SSL_session_reused(c->ssl);
        ask(c);
    } else if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ) {
        ERR_print_errors_fp(stderr);
        fail(c, "the handshake fails");
    } else {
        watch(c, EPOLLIN);
    }
}

static void on_connected(struct client *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        fail(c, strerror(error));
        return;
    }
    load.connections++;
    if (load.n_connects < CALLS_MAX)
        load.connect_ms[load.n_connects++] = (now() - c->begin) * 1e3;
    if (!load.is_secure) {
        ask(c);
        return;
    }
    c->ssl = SSL_new(load.ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, load.name);
    SSL_set_connect_state(c->ssl);
    c->state = SHAKING_HANDS;
    shake_hands(c);
}

static void begin_call(struct client *c)
{
    c->begin = now();
    c->is_first = c->fd < 0;
    if (!c->is_first) {
        ask(c);
        return;
    }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&load.address, sizeof load.address) < 0 &&
        errno != EINPROGRESS) {
        fail(c, strerror(errno));
        return;
    }
    c->state = CONNECTING;
    watch(c, EPOLLOUT);
}

static void end_call(struct client *c)
{
    if (load.n_calls < CALLS_MAX && !(load.keeps && c->is_first))
        load.call_ms[load.n_calls++] = (now() - c->begin) * 1e3;
    if (load.keeps)
        c->state = RESTING;
    else
        close_client(c);
}

// 1: the answer is there as a whole; 0: not yet; -1: it is none that we know.
static int check_answer(const struct client *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (!end)
        return c->len == ANSWER_MAX ? -1 : 0;
    const char *field = strcasestr(c->answer, "\r\ncontent-length:");
    if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 || !field || field > end)
        return -1;
    size_t whole = (size_t)(end + 4 - c->answer) +
                   (size_t)strtoull(field + strlen("\r\ncontent-length:"), NULL, 10);
    return whole > ANSWER_MAX || c->len > whole ? -1 : c->len == whole;
}

// False: nothing more to read for now, or the call is over.
static bool read_some(struct client *c)
{
    size_t room = ANSWER_MAX - c->len;
    ssize_t n = c->ssl ? SSL_read(c->ssl, c->answer + c->len, (int)room)
                       : recv(c->fd, c->answer + c->len, room, 0);
    if (n <= 0) {
        if (c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ
                   : n < 0 && errno == EAGAIN)
            return false;
        if (c->state == RESTING) // kept, and closed by the server: the next call opens another
            close_client(c);
        else
            fail(c, "the connection ends early");
        return false;
    }
    if (c->state != AWAITING) {
        fail(c, "an answer that nobody asked for");
        return false;
    }
    c->len += (size_t)n;
    c->answer[c->len] = '\0';
    int is_there = check_answer(c);
    if (is_there < 0)
        fail(c, "not the answer awaited");
    if (is_there > 0)
        end_call(c);
    return is_there == 0;
}

static void on_event(struct client *c)
{
    if (c->state == CONNECTING)
        on_connected(c);
    else if (c->state == SHAKING_HANDS)
        shake_hands(c);
    else
        while (c->fd >= 0 && read_some(c))
            ;
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (!SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(ctx, "X25519") ||
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x08http/1.1", 9))
        die("context");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

// What is due begins; one whose last call is not over misses its turn. Returns when the next is
// due.
static double begin_due(struct client *clients, int n)
{
    double t = now(), next = load.deadline;
    for (int i = 0; i < n; i++) {
        struct client *c = &clients[i];
        if (c->state != RESTING && t > c->begin + CALL_S_MAX)
            fail(c, "no answer in time");
        if (c->next <= t && t < load.deadline) {
            c->next += draw(load.min_s, load.max_s);
            if (c->state == RESTING)
                begin_call(c);
            else
                load.skipped++;
        }
        if (c->next < next)
            next = c->next;
    }
    return next;
}

static int count_busy(const struct client *clients, int n)
{
    int busy = 0;
    for (int i = 0; i < n; i++)
        busy += clients[i].state != RESTING;
    return busy;
}

static void run(struct client *clients, int n)
{
    struct epoll_event events[64];
    for (double t = now(); t < load.deadline || count_busy(clients, n); t = now()) {
        double left = begin_due(clients, n) - now();
        if (t >= load.deadline || left > 0.1) // deadlines of calls are looked at ten times a second
            left = 0.1;
        if (left < 0)
            left = 0;
        struct timespec wait = {.tv_nsec = (long)(left * 1e9)};
        int got = epoll_pwait2(load.epoll, events, 64, &wait, NULL);
        for (int i = 0; i < got; i++)
            on_event(events[i].data.ptr);
    }
}

static void print_list(const char *name, const double *values, size_t n)
{
    printf("\"%s\": [", name);
    for (size_t i = 0; i < n; i++)
        printf("%s%.3f", i ? ", " : "", values[i]);
    printf("]");
}

static void read_arguments(char **argv)
{
    load.is_secure = strcmp(argv[1], "tls") == 0;
    load.keeps = strcmp(argv[2], "open") == 0;
    load.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[4]))};
    if (inet_pton(AF_INET, argv[3], &load.address.sin_addr) != 1)
        die(argv[3]);
    load.name = argv[5];
    load.request_len = (size_t)snprintf(load.request, sizeof load.request,
                                        "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", argv[6], argv[5]);
    load.min_s = atof(argv[8]) / 1e3;
    load.max_s = atof(argv[9]) / 1e3;
}

static struct client *make_clients(int n, double begin)
{
    struct client *clients = calloc((size_t)n, sizeof *clients);
    for (int i = 0; i < n; i++) {
        clients[i].fd = -1;
        clients[i].answer = malloc(ANSWER_MAX + 1);
        double evenly = load.max_s * i / n;
        clients[i].next = begin + (load.min_s < load.max_s ? draw(0, load.max_s) : evenly);
    }
    return clients;
}

int main(int argc, char **argv)
{
    int n = argc == 11 ? atoi(argv[7]) : 0;
    if (n < 1 || n > CLIENTS_MAX || atof(argv[8]) < 1 || atof(argv[9]) < atof(argv[8])) {
        fprintf(stderr, "usage: rareload plain|tls new|open ADDRESS PORT NAME PATH CLIENTS MIN_MS "
                        "MAX_MS SECONDS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1);
    read_arguments(argv);
    load.random = 12345;
    load.call_ms = calloc(CALLS_MAX, sizeof(double));
    load.connect_ms = calloc(CALLS_MAX, sizeof(double));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.ctx = make_context();
    double begin = now();
    load.deadline = begin + atof(argv[10]);
    run(make_clients(n, begin), n);
    printf("{\"requests\": %zu, \"connections\": %llu, \"handshakes\": %llu, \"resumed\": %llu, "
           "\"errors\": %llu, \"skipped\": %llu, ",
           load.n_calls, (unsigned long long)load.connections, (unsigned long long)load.handshakes,
           (unsigned long long)load.resumed, (unsigned long long)load.errors,
           (unsigned long long)load.skipped);
    print_list("call_ms", load.call_ms, load.n_calls);
    printf(", ");
    print_list("connect_ms", load.connect_ms, load.n_connects);
    printf("}\n");
    return 0;
}
