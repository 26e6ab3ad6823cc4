// SPDX-License-Identifier: Apache-2.0
// Between OpenSSL and the wire. OpenSSL reads straight from it; what OpenSSL writes during a call
// is gathered in memory of the thread and goes out with one send at the call's end, so that a
// flight or a large body costs one system call. A single record goes out from where OpenSSL made
// it.
#include "tls/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    PLAINTEXT_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
    // What a call may write: TLS_SEND_MAX in records with their overhead (of 512 bytes, where a
    // client asks for that), a ticket that was held, of up to 64 KiB, and messages on the way.
    GATHERED_MAX = TLS_SEND_MAX + 128 * 1024,
    // Messages after the handshake without data between them: more are a flood (each KeyUpdate
    // costs us key derivations, and nothing else limits them).
    MESSAGES_MAX = 32,
    EARLY_BYTES = 17 * 1024, // read at a time during a handshake: a record and more
};

// Memory of the thread, for one call at a time.
struct gathered {
    size_t len, cap;
    char *data;
    char joined[PLAINTEXT_MAX]; // two pieces of plain text that go into one record
};
static _Thread_local struct gathered *gathered;
static pthread_key_t gathered_key;
static BIO_METHOD *method;

static void free_gathered(void *of_thread)
{
    struct gathered *memory = of_thread;
    free(memory->data);
    free(memory);
    gathered = NULL;
}

static void make_gathered(void)
{
    gathered = calloc(1, sizeof(*gathered));
    CHECK(gathered);
    gathered->cap = 32 * 1024;
    gathered->data = malloc(gathered->cap);
    CHECK(gathered->data);
    pthread_setspecific(gathered_key, gathered);
}

char *io_reserve(size_t len)
{
    if (gathered->len + len > GATHERED_MAX)
        return NULL;
    if (gathered->len + len > gathered->cap) {
        while (gathered->cap < gathered->len + len)
            gathered->cap *= 2;
        gathered->data = realloc(gathered->data, gathered->cap);
        CHECK(gathered->data);
    }
    return gathered->data + gathered->len;
}

void io_added(size_t len)
{
    gathered->len += len;
}

static bool gather(const char *data, size_t len)
{
    char *room = io_reserve(len);
    if (!room)
        return false;
    memcpy(room, data, len);
    io_added(len);
    return true;
}

unsigned io_count_records(void)
{
    unsigned n = 0;
    for (size_t at = 0; at + 5 <= gathered->len; n++)
        at += 5 + ((size_t)(uint8_t)gathered->data[at + 3] << 8 | (uint8_t)gathered->data[at + 4]);
    return n;
}

// ---- what waits for the wire ----

static size_t out_len(const struct tls_conn *conn)
{
    return conn->out_end - conn->out_at;
}

static void drop_out(struct tls_conn *conn)
{
    free(conn->out);
    conn->out = NULL;
    conn->out_at = conn->out_end = 0;
    conn->is_held = false;
}

// Behind what waits already.
static void keep(struct tls_conn *conn, const char *data, size_t len)
{
    size_t before = out_len(conn);
    if (before + len > 2 * GATHERED_MAX) { // a peer that makes us answer, and does not read
        conn->wire_error = ENOBUFS;
        return;
    }
    char *out = malloc(before + len);
    CHECK(out);
    if (before > 0)
        memcpy(out, conn->out + conn->out_at, before);
    memcpy(out + before, data, len);
    free(conn->out);
    conn->out = out;
    conn->out_at = 0;
    conn->out_end = (uint32_t)(before + len);
}

// The number of bytes that the wire took; 0 also after an error (see wire_error).
static size_t send_some(struct tls_conn *conn, const char *data, size_t len)
{
    if (conn->wire_error)
        return 0;
    ssize_t n = conn->io->send(conn->io, data, len);
    if (n >= 0)
        return (size_t)n;
    if (n != -EAGAIN)
        conn->wire_error = (int)-n;
    return 0;
}

// For when nothing waits.
static void send_or_keep(struct tls_conn *conn, const char *data, size_t len)
{
    size_t sent = send_some(conn, data, len);
    if (sent < len && !conn->wire_error)
        keep(conn, data + sent, len - sent);
}

bool tls_wants_write(const struct tls_conn *conn)
{
    return out_len(conn) > 0 && !conn->is_held;
}

int tls_flush(struct tls_conn *conn)
{
    conn->is_held = false;
    size_t len = out_len(conn);
    if (len > 0) {
        size_t sent = send_some(conn, conn->out + conn->out_at, len);
        conn->out_at += (uint32_t)sent;
        if (sent == len)
            drop_out(conn);
    }
    if (conn->wire_error)
        return -conn->wire_error;
    return out_len(conn) > 0 ? -EAGAIN : 0;
}

void io_begin(struct tls_conn *conn)
{
    if (!gathered)
        make_gathered();
    gathered->len = 0;
}

// What was held goes along with what comes now.
static void release_held(struct tls_conn *conn)
{
    if (!conn->is_held)
        return;
    CHECK(gather(conn->out + conn->out_at, out_len(conn)));
    drop_out(conn);
}

void io_end(struct tls_conn *conn, bool hold)
{
    size_t len = gathered->len;
    gathered->len = 0;
    if (len == 0)
        return;
    if (out_len(conn) == 0 && !hold) {
        send_or_keep(conn, gathered->data, len);
        return;
    }
    bool was_empty = out_len(conn) == 0;
    keep(conn, gathered->data, len);
    if (hold && was_empty)
        conn->is_held = true;
    else if (!hold)
        tls_flush(conn);
}

void io_drop(void)
{
    gathered->len = 0;
}

// ---- OpenSSL's side ----

static int on_write(BIO *bio, const char *data, int len)
{
    struct tls_conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (conn->n_messages > MESSAGES_MAX)
        return -1; // so that OpenSSL goes no further through what it has read already
    // The one record of a call need not be copied. OpenSSL never sees a wire that is full: what
    // does not fit is kept here.
    if (conn->direct_len > 0 && (uint32_t)len > conn->direct_len && gathered->len == 0 &&
        out_len(conn) == 0) {
        send_or_keep(conn, data, (size_t)len);
        return len;
    }
    return gather(data, (size_t)len) ? len : -1;
}

static int read_early(struct tls_conn *conn, char *data, size_t cap)
{
    size_t len = conn->early_end - conn->early_at;
    if (len > cap)
        len = cap;
    memcpy(data, conn->early + conn->early_at, len);
    conn->early_at += (uint32_t)len;
    if (conn->early_at == conn->early_end) {
        free(conn->early);
        conn->early = NULL;
        conn->early_at = conn->early_end = 0;
    }
    return (int)len;
}

ssize_t io_recv(struct tls_conn *conn, void *data, size_t cap)
{
    if (conn->wire_error)
        return -conn->wire_error;
    if (conn->saw_end)
        return 0;
    ssize_t n = conn->io->recv(conn->io, data, cap);
    conn->was_short = n < (ssize_t)cap;
    if (n == 0)
        conn->saw_end = true;
    else if (n < 0 && n != -EAGAIN)
        conn->wire_error = (int)-n;
    return n;
}

// Behind what is there, until a record's header is whole.
static ssize_t read_ahead(struct tls_conn *conn)
{
    size_t have = conn->early_end - conn->early_at;
    char *early = malloc(EARLY_BYTES);
    CHECK(early && have < EARLY_BYTES);
    if (have > 0)
        memcpy(early, conn->early + conn->early_at, have);
    free(conn->early);
    ssize_t n = io_recv(conn, early + have, EARLY_BYTES - have);
    conn->early = early;
    conn->early_at = 0;
    conn->early_end = (uint32_t)(have + (n > 0 ? (size_t)n : 0));
    if (conn->early_end == 0) {
        free(conn->early);
        conn->early = NULL;
    }
    return n;
}

// During a server's handshake OpenSSL gets a record at a time, so that what comes behind the last
// one is there for whom takes over.
static ssize_t read_record(struct tls_conn *conn, char *data, size_t cap)
{
    while (conn->record_left == 0 && conn->early_end - conn->early_at < 5) {
        ssize_t n = read_ahead(conn);
        if (n <= 0)
            return n;
    }
    if (conn->record_left == 0) {
        const uint8_t *header = (const uint8_t *)conn->early + conn->early_at;
        conn->record_left = 5U + ((uint32_t)header[3] << 8 | header[4]);
    }
    if (!conn->early) {
        ssize_t n = read_ahead(conn);
        if (n <= 0)
            return n;
    }
    int n = read_early(conn, data, cap < conn->record_left ? cap : conn->record_left);
    conn->record_left -= (uint32_t)n;
    return n;
}

static int on_read(BIO *bio, char *data, int cap)
{
    struct tls_conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    conn->is_starved = false;
    if (conn->n_messages > MESSAGES_MAX)
        return -1;
    ssize_t n = conn->is_server && !conn->is_done ? read_record(conn, data, (size_t)cap)
                : conn->early                     ? read_early(conn, data, (size_t)cap)
                                                  : io_recv(conn, data, (size_t)cap);
    if (n == -EAGAIN) {
        conn->is_starved = true;
        BIO_set_retry_read(bio);
    }
    return n < 0 ? -1 : (int)n;
}

static long on_control(BIO *bio, int command, long number, void *data)
{
    const struct tls_conn *conn = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return conn->saw_end;
    return command == BIO_CTRL_FLUSH; // at the end of the call; the rest does not concern us
}

void io_init(void)
{
    CHECK(pthread_key_create(&gathered_key, free_gathered) == 0);
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    CHECK(method);
    BIO_meth_set_write(method, on_write);
    BIO_meth_set_read(method, on_read);
    BIO_meth_set_ctrl(method, on_control);
}

void io_fini(void)
{
    if (gathered) // of the thread that ends the process; those of others went with them
        free_gathered(gathered);
    pthread_key_delete(gathered_key);
    BIO_meth_free(method);
    method = NULL;
}

BIO *io_create(struct tls_conn *conn)
{
    BIO *bio = BIO_new(method);
    CHECK(bio);
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    return bio;
}

void io_on_info(const SSL *ssl, int where, int value)
{
    struct tls_conn *conn = conn_of(ssl);
    if (conn->is_done && (where & (SSL_CB_LOOP | SSL_CB_ALERT)) && conn->n_messages < UINT8_MAX)
        conn->n_messages++;
}

// ---- data ----

static ssize_t broken(const struct tls_conn *conn)
{
    return conn->wire_error ? -conn->wire_error : -EPROTO;
}

// After a read that gave nothing: why. Notes what is for good.
static ssize_t read_end(struct tls_conn *conn, int error)
{
    if (error == SSL_ERROR_WANT_READ && conn->n_messages <= MESSAGES_MAX)
        return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN) {
        conn->is_closed = true;
        return 0;
    }
    if (conn->n_messages > MESSAGES_MAX)
        conn_fail(conn, "too many messages without data");
    else if (conn->wire_error)
        conn_fail(conn, NULL);
    else if (conn->saw_end)
        conn_fail(conn, "closed without close_notify");
    else
        conn_note_failure(conn);
    if (conn->saw_end)
        io_drop(); // an alert that nobody reads
    return broken(conn);
}

static ssize_t read_openssl(struct tls_conn *conn, void *data, size_t cap)
{
    size_t total = 0;
    ssize_t end = 0;
    while (total < cap) {
        size_t n = 0;
        int ok = SSL_read_ex(conn->ssl, (char *)data + total, cap - total, &n);
        if (ok != 1) {
            end = read_end(conn, SSL_get_error(conn->ssl, ok));
            break;
        }
        total += n;
        conn->n_messages = 0;
        // All that came is read, and more would need an event.
        if (conn->was_short && !SSL_has_pending(conn->ssl))
            break;
    }
    return total > 0 ? (ssize_t)total : end;
}

ssize_t tls_recv(struct tls_conn *conn, void *data, size_t cap)
{
    CHECK(conn->is_done);
    if (conn->is_failed)
        return broken(conn);
    if (conn->is_closed || cap == 0)
        return 0;
    io_begin(conn);
    ssize_t n = conn->ssl ? read_openssl(conn, data, cap) : record_read(conn, data, cap);
    io_end(conn, false);
    return n;
}

bool tls_has_pending(const struct tls_conn *conn)
{
    if (conn->is_failed || conn->is_closed)
        return true; // the end is still to be told
    if (!conn->ssl)
        return record_has_pending(conn);
    return conn->early || (!conn->is_starved && SSL_has_pending(conn->ssl) == 1);
}

static bool write_all(struct tls_conn *conn, const char *data, size_t len)
{
    size_t n = 0;
    return len == 0 || (SSL_write_ex(conn->ssl, data, len, &n) == 1 && n == len);
}

static bool write_pieces(struct tls_conn *conn, struct str first, struct str second)
{
    if (first.len == 0 || second.len == 0 || first.len >= PLAINTEXT_MAX)
        return write_all(conn, first.ptr, first.len) && write_all(conn, second.ptr, second.len);
    size_t more = PLAINTEXT_MAX - first.len;
    if (more > second.len)
        more = second.len;
    memcpy(gathered->joined, first.ptr, first.len);
    memcpy(gathered->joined + first.len, second.ptr, more);
    return write_all(conn, gathered->joined, first.len + more) &&
           write_all(conn, second.ptr + more, second.len - more);
}

// OpenSSL does not change its key by itself.
static void count_records(struct tls_conn *conn, size_t len)
{
    conn->n_records += len / PLAINTEXT_MAX + 1;
    if (conn->n_records < records_per_key || SSL_version(conn->ssl) != TLS1_3_VERSION)
        return;
    conn->n_records = 0;
    if (SSL_key_update(conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) // goes out before the data
        ERR_clear_error();
}

static bool write_both(struct tls_conn *conn, struct str first, struct str second)
{
    size_t len = first.len + second.len;
    count_records(conn, len);
    bool is_one = len <= PLAINTEXT_MAX && SSL_get_key_update_type(conn->ssl) == SSL_KEY_UPDATE_NONE;
    conn->direct_len = is_one ? (uint32_t)len : 0;
    bool is_fine = write_pieces(conn, first, second);
    conn->direct_len = 0;
    return is_fine;
}

ssize_t tls_send2(struct tls_conn *conn, struct str first, struct str second)
{
    size_t len = first.len + second.len;
    CHECK(conn->is_done && len <= TLS_SEND_MAX);
    if (conn->is_failed || conn->wire_error)
        return broken(conn);
    if (conn->is_shut)
        return -EPIPE;
    if (tls_wants_write(conn)) {
        int waits = tls_flush(conn);
        if (waits < 0)
            return waits;
    }
    io_begin(conn);
    release_held(conn);
    if (!conn->ssl) {
        CHECK(record_write(conn, first, second)); // there is room for TLS_SEND_MAX
    } else if (!write_both(conn, first, second)) {
        conn_note_failure(conn);
        io_drop();
        return broken(conn);
    }
    io_end(conn, false);
    return conn->wire_error ? -conn->wire_error : (ssize_t)len;
}

ssize_t tls_send(struct tls_conn *conn, const void *data, size_t len)
{
    return tls_send2(conn, (struct str){data, len}, STR_NONE);
}

void tls_shutdown(struct tls_conn *conn)
{
    if (!conn->is_done || conn->is_failed || conn->wire_error || conn->is_shut)
        return;
    conn->is_shut = true;
    // Behind half a record nothing may follow but its other half.
    if (tls_wants_write(conn) && tls_flush(conn) != 0)
        return;
    io_begin(conn);
    release_held(conn);
    if (conn->ssl)
        SSL_shutdown(conn->ssl);
    else
        record_shutdown(conn);
    ERR_clear_error();
    io_end(conn, false);
    drop_out(conn);
}

void tls_rest(struct tls_conn *conn)
{
    // OpenSSL gives its buffers back by itself, unless a part of a record lies in them.
    if (conn->ssl)
        SSL_free_buffers(conn->ssl);
}
