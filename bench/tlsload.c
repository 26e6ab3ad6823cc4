// SPDX-License-Identifier: Apache-2.0
// A load for TLS that does what wrk cannot: names the server (SNI), and either makes a new
// connection for every request, with a full handshake or a resumed one as asked for and counted,
// or keeps connections alive. One thread, level-triggered epoll. Prints one line of JSON.
//
//   tlsload MODE PORT NAME PATH CONNECTIONS SECONDS    MODE: full, resumed, keepalive
//
// Connections go to 127.0.0.1. Answers must be 200 and have a Content-Length.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { FULL, RESUMED, KEEPALIVE };
enum { HEAD_MAX = 8192, READ_SIZE = 256 * 1024, DRAIN_S = 2, ERRORS_MAX = 1000 };

struct client {
    SSL *ssl;
    SSL_SESSION *session; // the last one that may be resumed; outlives connections
    int fd;
    bool is_secure;   // the handshake is done
    bool is_answered; // whole
    bool has_head;
    size_t head_len;
    uint64_t body_left;
    char head[HEAD_MAX];
};

static struct {
    enum mode mode;
    struct sockaddr_in address;
    const char *name;
    char request[2048];
    size_t request_len;
    int epoll;
    SSL_CTX *ctx;
    char *buffer;
    double deadline;
    bool is_draining;
    int n_open;
    uint64_t requests, handshakes, resumed, errors, bytes;
} load;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "tlsload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool shake_hands(struct client *c);

static void open_client(struct client *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    // On loopback this does not wait: the kernel answers before the server accepts.
    if (connect(c->fd, (struct sockaddr *)&load.address, sizeof load.address) < 0)
        die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->ssl = SSL_new(load.ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, load.name);
    SSL_set_connect_state(c->ssl);
    if (load.mode == RESUMED && c->session)
        SSL_set_session(c->ssl, c->session);
    c->is_secure = c->is_answered = c->has_head = false;
    c->head_len = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
    load.n_open++;
    shake_hands(c); // sends the ClientHello; a quick server may have answered already
}

static void close_client(struct client *c)
{
    if (load.mode == RESUMED && c->is_answered) {
        SSL_SESSION *session = SSL_get1_session(c->ssl); // tickets came with the answer
        if (session && SSL_SESSION_is_resumable(session)) {
            SSL_SESSION_free(c->session);
            c->session = session;
        } else {
            SSL_SESSION_free(session);
        }
    }
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    close(c->fd);
    load.n_open--;
}

static void fail(struct client *c, const char *why)
{
    if (load.errors++ == 0)
        fprintf(stderr, "tlsload: %s\n", why);
    if (load.errors == ERRORS_MAX)
        exit(1);
    close_client(c);
    if (!load.is_draining)
        open_client(c);
}

static bool send_request(struct client *c)
{
    return SSL_write(c->ssl, load.request, (int)load.request_len) == (int)load.request_len;
}

// The head is there as a whole: how long is the body?
static bool read_head(struct client *c)
{
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
        return false;
    char *field = strcasestr(c->head, "\r\ncontent-length:");
    if (!field)
        return false;
    c->body_left = strtoull(field + strlen("\r\ncontent-length:"), NULL, 10);
    c->has_head = true;
    return true;
}

// What came in belongs to the answer awaited. False: it is none that we know.
static bool take(struct client *c, const char *data, size_t len)
{
    load.bytes += len;
    if (!c->has_head) {
        size_t n = len < HEAD_MAX - 1 - c->head_len ? len : HEAD_MAX - 1 - c->head_len;
        memcpy(c->head + c->head_len, data, n);
        c->head[c->head_len + n] = '\0';
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) {
            c->head_len += n;
            return c->head_len < HEAD_MAX - 1;
        }
        end[2] = '\0';
        size_t used = (size_t)(end + 4 - c->head) - c->head_len;
        if (!read_head(c))
            return false;
        len -= used;
    }
    if (len > c->body_left)
        return false;
    c->body_left -= len;
    c->is_answered = c->body_left == 0;
    return true;
}

// One request is done. False: the client has been closed.
static bool finish_request(struct client *c)
{
    load.requests++;
    if (load.mode != KEEPALIVE)
        return true; // the server closes
    if (load.is_draining) {
        close_client(c);
        return false;
    }
    c->is_answered = c->has_head = false;
    c->head_len = 0;
    if (!send_request(c)) {
        fail(c, "the request does not go out");
        return false;
    }
    return true;
}

static bool shake_hands(struct client *c)
{
    int n = SSL_do_handshake(c->ssl);
    if (n != 1) {
        if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ) {
            ERR_print_errors_fp(stderr);
            fail(c, "the handshake fails");
        }
        return false;
    }
    c->is_secure = true;
    load.handshakes++;
    load.resumed += (uint64_t)SSL_session_reused(c->ssl);
    if (!send_request(c)) {
        fail(c, "the request does not go out");
        return false;
    }
    return true;
}

static void on_readable(struct client *c)
{
    if (!c->is_secure && !shake_hands(c))
        return;
    for (;;) {
        int n = SSL_read(c->ssl, load.buffer, READ_SIZE);
        if (n <= 0) {
            int error = SSL_get_error(c->ssl, n);
            if (error == SSL_ERROR_WANT_READ)
                return;
            if (!c->is_answered || load.mode == KEEPALIVE) {
                fail(c, "the connection ends early");
                return;
            }
            close_client(c);
            if (!load.is_draining)
                open_client(c);
            return;
        }
        if (c->is_answered || !take(c, load.buffer, (size_t)n)) {
            fail(c, "not the answer awaited");
            return;
        }
        if (c->is_answered && !finish_request(c))
            return;
    }
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    // What all programs are given alike, so that the answer is the same of all.
    if (!SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(ctx, "X25519") ||
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x08http/1.1", 9))
        die("context");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (load.mode != RESUMED)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 64 * 1024);
    return ctx;
}

static void run(struct client *clients, int n)
{
    for (int i = 0; i < n; i++)
        open_client(&clients[i]);
    struct epoll_event events[256];
    while (load.n_open) {
        double t = now();
        load.is_draining = t >= load.deadline;
        if (t >= load.deadline + DRAIN_S) {
            load.errors += (uint64_t)load.n_open;
            fprintf(stderr, "tlsload: %d connections get no answer\n", load.n_open);
            return;
        }
        int got = epoll_wait(load.epoll, events, 256, 100);
        for (int i = 0; i < got; i++)
            on_readable(events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"full", "resumed", "keepalive"};
    int mode = 0;
    if (argc != 7) {
        fprintf(stderr,
                "usage: tlsload full|resumed|keepalive PORT NAME PATH CONNECTIONS SECONDS\n");
        return 2;
    }
    while (mode < 3 && strcmp(argv[1], modes[mode]) != 0)
        mode++;
    if (mode == 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    load.mode = (enum mode)mode;
    load.address = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(argv[2])),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load.name = argv[3];
    load.request_len =
        (size_t)snprintf(load.request, sizeof load.request, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                         argv[4], argv[3], mode == KEEPALIVE ? "" : "Connection: close\r\n");
    int n = atoi(argv[5]);
    struct client *clients = calloc((size_t)n, sizeof *clients);
    load.buffer = malloc(READ_SIZE);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.ctx = make_context();
    double begin = now();
    load.deadline = begin + atof(argv[6]);
    run(clients, n);
    printf("{\"requests\": %llu, \"handshakes\": %llu, \"resumed\": %llu, \"errors\": %llu, "
           "\"bytes\": %llu, \"seconds\": %.3f}\n",
           (unsigned long long)load.requests, (unsigned long long)load.handshakes,
           (unsigned long long)load.resumed, (unsigned long long)load.errors,
           (unsigned long long)load.bytes, now() - begin);
    return 0;
}
