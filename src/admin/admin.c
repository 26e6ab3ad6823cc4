// SPDX-License-Identifier: Apache-2.0
#include "admin/admin.h"
#include "admin/pages.h"
#include "base/check.h"
#include "base/log.h"
#include "http/h1.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 32, // more wait in the kernel's queue
    HEAD_BYTES = 8192,
    HEADERS_IN_HEAD = 64,
    BACKLOG = 64,
    READ_TIMEOUT_MS = 5000,   // for a whole head
    WRITE_TIMEOUT_MS = 10000, // between two steps forward
    LINGER_MS = 1000,         // for the client to close after the last byte
    ACCEPT_PAUSE_MS = 200,    // when there is no descriptor left
};

struct admin {
    struct watch watch; // of the listening socket
    struct timer pause; // accepting goes on when it fires
    struct loop *loop;
    struct admin_options options;
    struct address address;
    struct list connections;
    unsigned n_connections;
};

// A connection reads one head, writes one response and lingers until the client closes.
enum phase { PHASE_READ, PHASE_WRITE, PHASE_LINGER };

struct connection {
    struct watch watch;
    struct timer timer;
    struct list node;
    struct admin *admin;
    enum phase phase;
    size_t head_len, scanned;
    const struct page *page;
    struct page_state state;
    bool has_more, is_chunked, is_head_request;
    struct buf out;
    size_t sent;
    char head[HEAD_BYTES];
};

static void close_connection(struct connection *connection)
{
    struct admin *admin = connection->admin;
    timer_disarm(&admin->loop->wheel, &connection->timer);
    loop_forget(admin->loop, &connection->watch);
    close(connection->watch.fd);
    list_remove(&connection->node);
    if (admin->n_connections-- == CONNECTIONS_MAX)
        loop_change(admin->loop, &admin->watch, EPOLLIN);
    page_state_fini(&connection->state);
    buf_fini(&connection->out);
    free(connection);
}

static void on_deadline(struct timer *timer)
{
    close_connection(LIST_ENTRY(timer, struct connection, timer));
}

static void set_phase(struct connection *connection, enum phase phase)
{
    struct loop *loop = connection->admin->loop;
    connection->phase = phase;
    switch (phase) {
    case PHASE_READ:
        timer_arm(&loop->wheel, &connection->timer, loop->now_ms + READ_TIMEOUT_MS);
        break;
    case PHASE_WRITE:
        timer_arm(&loop->wheel, &connection->timer, loop->now_ms + WRITE_TIMEOUT_MS);
        loop_change(loop, &connection->watch, EPOLLOUT);
        break;
    case PHASE_LINGER:
        // Closing with bytes unread would make the kernel send a reset, which may overtake the
        // response.
        shutdown(connection->watch.fd, SHUT_WR);
        timer_arm(&loop->wheel, &connection->timer, loop->now_ms + LINGER_MS);
        loop_change(loop, &connection->watch, EPOLLIN);
        break;
    }
}

static void add_response_head(struct connection *connection, unsigned status,
                              const char *content_type, size_t content_length)
{
    char date[40];
    time_t now = (time_t)(connection->admin->loop->wall_ns / 1000000000);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    struct buf *out = &connection->out;
    buf_printf(out, "HTTP/1.1 %u %s\r\ndate: %s\r\ncontent-type: %s\r\n", status,
               http_reason(status), date, content_type);
    if (status == 405)
        buf_add_text(out, "allow: GET, HEAD\r\n");
    if (connection->is_chunked)
        buf_add_text(out, "transfer-encoding: chunked\r\n");
    else if (!connection->has_more)
        buf_printf(out, "content-length: %zu\r\n", content_length);
    buf_add_text(out, "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
                      "connection: close\r\n\r\n");
}

static void answer_text(struct connection *connection, unsigned status, const char *text)
{
    add_response_head(connection, status, "text/plain; charset=utf-8", strlen(text));
    if (!connection->is_head_request)
        buf_add_text(&connection->out, text);
    set_phase(connection, PHASE_WRITE);
}

static void add_piece(struct connection *connection, const struct buf *piece)
{
    struct buf *out = &connection->out;
    if (!connection->is_chunked) {
        buf_add_str(out, buf_str(piece));
        return;
    }
    if (piece->len > 0) {
        buf_printf(out, "%zx\r\n", piece->len);
        buf_add_str(out, buf_str(piece));
        buf_add_text(out, "\r\n");
    }
    if (!connection->has_more)
        buf_add_text(out, "0\r\n\r\n");
}

// What fits into the first piece goes with its length; the rest is chunked, or for HTTP/1.0 ends
// with the connection.
static void answer_page(struct connection *connection, bool may_chunk)
{
    struct buf piece = {0};
    connection->has_more = connection->page->add_piece(&connection->state, &piece);
    connection->is_chunked = connection->has_more && may_chunk;
    add_response_head(connection, connection->state.status, connection->page->content_type,
                      piece.len);
    if (connection->is_head_request)
        connection->has_more = false;
    else
        add_piece(connection, &piece);
    buf_fini(&piece);
    set_phase(connection, PHASE_WRITE);
}

static void answer(struct connection *connection, const struct h1_request *request)
{
    connection->is_head_request = request->method_id == METHOD_HEAD;
    if (request->method_id != METHOD_GET && request->method_id != METHOD_HEAD) {
        answer_text(connection, 405, "GET and HEAD only\n");
        return;
    }
    connection->page = page_find(request->path);
    if (!connection->page) {
        answer_text(connection, 404, "no such page; / lists them\n");
        return;
    }
    connection->state = (struct page_state){
        .options = &connection->admin->options,
        .query = request->query,
        .status = 200,
    };
    answer_page(connection, request->minor >= 1);
}

static void on_readable(struct connection *connection)
{
    ssize_t n = recv(connection->watch.fd, connection->head + connection->head_len,
                     sizeof connection->head - connection->head_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_connection(connection);
        return;
    }
    connection->head_len += (size_t)n;
    static const struct h1_limits limits = {
        .head_bytes_max = HEAD_BYTES - 1,
        .target_bytes_max = HEAD_BYTES - 1,
        .headers_max = HEADERS_IN_HEAD,
    };
    struct header headers[HEADERS_IN_HEAD];
    struct h1_request request = {.headers = {.items = headers, .cap = HEADERS_IN_HEAD}};
    size_t len;
    enum h1_error error = H1_ERROR_NONE;
    switch (h1_parse_request(&request, &limits, connection->head, connection->head_len,
                             &connection->scanned, &len, &error)) {
    case H1_DONE:
        answer(connection, &request);
        break;
    case H1_MORE:
        if (connection->head_len == sizeof connection->head)
            answer_text(connection, 431, "header fields too large\n");
        break;
    case H1_ERROR:
        answer_text(connection, h1_error_status(error), h1_error_sentence(error));
        break;
    }
}

static void on_writable(struct connection *connection)
{
    struct buf *out = &connection->out;
    ssize_t n = send(connection->watch.fd, out->data + connection->sent,
                     out->len - connection->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        close_connection(connection);
        return;
    }
    connection->sent += (size_t)n;
    struct loop *loop = connection->admin->loop;
    timer_arm(&loop->wheel, &connection->timer, loop->now_ms + WRITE_TIMEOUT_MS);
    if (connection->sent < out->len)
        return;
    connection->sent = out->len = 0;
    if (!connection->has_more) {
        set_phase(connection, PHASE_LINGER);
        return;
    }
    // One piece a turn: the loop's other watches come in between.
    struct buf piece = {0};
    connection->has_more = connection->page->add_piece(&connection->state, &piece);
    add_piece(connection, &piece);
    buf_fini(&piece);
    if (out->len == 0 && !connection->has_more)
        set_phase(connection, PHASE_LINGER);
}

static void on_lingering(struct connection *connection)
{
    char dropped[4096];
    ssize_t n = recv(connection->watch.fd, dropped, sizeof dropped, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_connection(connection);
}

static void on_connection_event(struct watch *watch, uint32_t events)
{
    (void)events; // errors and hang-ups show in recv and send
    struct connection *connection = LIST_ENTRY(watch, struct connection, watch);
    switch (connection->phase) {
    case PHASE_READ:
        on_readable(connection);
        break;
    case PHASE_WRITE:
        on_writable(connection);
        break;
    case PHASE_LINGER:
        on_lingering(connection);
        break;
    }
}

static void on_pause_over(struct timer *timer)
{
    struct admin *admin = LIST_ENTRY(timer, struct admin, pause);
    if (admin->n_connections < CONNECTIONS_MAX)
        loop_change(admin->loop, &admin->watch, EPOLLIN);
}

static void on_accept(struct watch *watch, uint32_t events)
{
    (void)events;
    struct admin *admin = LIST_ENTRY(watch, struct admin, watch);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            // The connection stays in the queue and would wake the loop without end.
            loop_change(admin->loop, &admin->watch, 0);
            timer_arm(&admin->loop->wheel, &admin->pause, admin->loop->now_ms + ACCEPT_PAUSE_MS);
        }
        return;
    }
    struct connection *connection = calloc(1, sizeof *connection);
    CHECK(connection != NULL);
    connection->admin = admin;
    connection->watch = (struct watch){.on_event = on_connection_event, .fd = fd};
    timer_init(&connection->timer, on_deadline);
    list_push_back(&admin->connections, &connection->node);
    if (++admin->n_connections == CONNECTIONS_MAX)
        loop_change(admin->loop, &admin->watch, 0);
    if (loop_add(admin->loop, &connection->watch, EPOLLIN) < 0) {
        close_connection(connection);
        return;
    }
    set_phase(connection, PHASE_READ);
}

struct admin *admin_open(struct loop *loop, const struct admin_options *options, struct buf *reterr)
{
    struct admin *admin = calloc(1, sizeof *admin);
    CHECK(admin != NULL);
    admin->loop = loop;
    admin->options = *options;
    list_init(&admin->connections);
    timer_init(&admin->pause, on_pause_over);
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(&options->bind, &sockaddr);
    int fd = socket(options->bind.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    admin->watch = (struct watch){.on_event = on_accept, .fd = fd};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&sockaddr, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&sockaddr, &len) < 0)
        goto fail;
    address_from_sockaddr((struct sockaddr *)&sockaddr, &admin->address);
    int result = loop_add(loop, &admin->watch, EPOLLIN);
    if (result < 0) {
        errno = -result;
        goto fail;
    }
    return admin;

fail:;
    char text[ADDRESS_TEXT_MAX];
    int error = errno;
    address_format(&options->bind, text);
    buf_printf(reterr, "admin server on %s: %s", text, strerror(error));
    if (fd >= 0)
        close(fd);
    free(admin);
    return NULL;
}

void admin_address(const struct admin *admin, struct address *ret_address)
{
    *ret_address = admin->address;
}

void admin_close(struct admin *admin)
{
    if (!admin)
        return;
    while (!list_empty(&admin->connections))
        close_connection(LIST_ENTRY(admin->connections.next, struct connection, node));
    timer_disarm(&admin->loop->wheel, &admin->pause);
    loop_remove(admin->loop, &admin->watch);
    close(admin->watch.fd);
    free(admin);
}
