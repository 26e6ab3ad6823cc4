// SPDX-License-Identifier: Apache-2.0
// The record layer of a server after its handshake, with keys that are known. Input, behind a byte
// that steers how much is read at a time: pieces of one length byte (two where its highest bit is
// set) and a kind, each followed by as many bytes. They go to the wire as they are, or sealed as a
// client would. What must hold: data comes out as it was sealed, in order, however it is cut;
// nothing that was not sealed comes out; what ends stays ended.
#include "base/buf.h"
#include "fuzz.h"
#include "tls/internal.h"
#include <errno.h>
#include <openssl/err.h>

enum kind { KIND_SEALED, KIND_DATA, KIND_PADDED, KIND_KEY_UPDATE, KIND_RAW, N_KINDS };
enum { SECRET_BYTES = 32, WIRE_BYTES_MAX = 1 << 20 };

struct wire {
    struct tls_io io;
    struct str rest;
    size_t piece;
    size_t n_sent;
};

struct sealer { // a client's half
    uint8_t secret[SECRET_BYTES], key[16], iv[12];
    uint64_t number;
    EVP_CIPHER_CTX *ctx;
};

static ssize_t on_recv(struct tls_io *io, void *data, size_t cap)
{
    struct wire *wire = (struct wire *)io;
    struct str part = str_upto(wire->rest, cap < wire->piece ? cap : wire->piece);
    if (part.len == 0)
        return -EAGAIN;
    memcpy(data, part.ptr, part.len);
    wire->rest = str_from(wire->rest, part.len);
    return (ssize_t)part.len;
}

static ssize_t on_send(struct tls_io *io, const void *data, size_t len)
{
    ((struct wire *)io)->n_sent += len;
    return (ssize_t)len;
}

static void derive(struct sealer *sealer)
{
    kdf_expand("SHA256", sealer->secret, SECRET_BYTES, "key", sealer->key, sizeof(sealer->key));
    kdf_expand("SHA256", sealer->secret, SECRET_BYTES, "iv", sealer->iv, sizeof(sealer->iv));
    sealer->number = 0;
}

static void seal(struct sealer *sealer, struct buf *wire, const uint8_t *content, size_t len)
{
    uint8_t header[5] = {23, 3, 3, (uint8_t)((len + 16) >> 8), (uint8_t)(len + 16)}, nonce[12],
            tag[16];
    uint8_t *out = malloc(len + 1);
    int n;
    memcpy(nonce, sealer->iv, sizeof(nonce));
    for (size_t i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(sealer->number >> 8 * i);
    sealer->number++;
    CHECK(out &&
          EVP_EncryptInit_ex2(sealer->ctx, EVP_aes_128_gcm(), sealer->key, nonce, NULL) == 1 &&
          EVP_EncryptUpdate(sealer->ctx, NULL, &n, header, sizeof(header)) == 1 &&
          EVP_EncryptUpdate(sealer->ctx, out, &n, content, (int)len) == 1 &&
          EVP_EncryptFinal_ex(sealer->ctx, tag, &n) == 1 &&
          EVP_CIPHER_CTX_ctrl(sealer->ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) == 1);
    buf_add(wire, header, sizeof(header));
    buf_add(wire, out, len);
    buf_add(wire, tag, sizeof(tag));
    free(out);
}

// Data with its type and, behind that, zeros.
static void seal_data(struct sealer *sealer, struct buf *wire, struct str data, size_t padding)
{
    uint8_t *content = calloc(1, data.len + 1 + padding);
    CHECK(content);
    if (data.len > 0)
        memcpy(content, data.ptr, data.len);
    content[data.len] = 23;
    seal(sealer, wire, content, data.len + 1 + padding);
    free(content);
}

static void update(struct sealer *sealer, struct buf *wire, bool asks)
{
    const uint8_t message[] = {24, 0, 0, 1, asks, 22};
    uint8_t next[SECRET_BYTES];
    seal(sealer, wire, message, sizeof(message));
    kdf_expand("SHA256", sealer->secret, SECRET_BYTES, "traffic upd", next, sizeof(next));
    memcpy(sealer->secret, next, sizeof(next));
    derive(sealer);
}

// Makes the wire's bytes; what is to come out of them, as long as all is in order, in `expected`.
// false: something is in it of which it is open what comes of it, behind `expected`.
static bool compose(struct str input, struct buf *wire, struct buf *expected)
{
    struct sealer sealer = {.ctx = EVP_CIPHER_CTX_new()};
    unsigned n_idle = 0;
    bool is_orderly = true;
    CHECK(sealer.ctx);
    memset(sealer.secret, 'c', SECRET_BYTES);
    derive(&sealer);
    while (input.len >= 2 && wire->len < WIRE_BYTES_MAX) {
        size_t len = (uint8_t)input.ptr[0] & 127, large = (uint8_t)input.ptr[0] & 128;
        enum kind kind = (uint8_t)input.ptr[1] % N_KINDS;
        input = str_from(input, 2);
        struct str part = str_upto(input, len);
        input = str_from(input, part.len);
        size_t padding = kind == KIND_PADDED ? large ? part.len * 128 : part.len : 0;
        n_idle = (kind == KIND_DATA || kind == KIND_PADDED) && part.len > 0 ? 0 : n_idle + 1;
        if (kind == KIND_SEALED) {
            seal(&sealer, wire, (const uint8_t *)part.ptr, part.len);
        } else if (kind == KIND_KEY_UPDATE) {
            update(&sealer, wire, large != 0);
        } else if (kind == KIND_RAW) {
            buf_add_str(wire, part);
        } else {
            seal_data(&sealer, wire, part, padding);
        }
        is_orderly &= kind != KIND_SEALED && kind != KIND_RAW && n_idle <= 32;
        if (is_orderly && kind != KIND_KEY_UPDATE)
            buf_add_str(expected, part);
    }
    EVP_CIPHER_CTX_free(sealer.ctx);
    return is_orderly;
}

static void read_all(struct tls_conn *conn, struct wire *wire, size_t cap, struct buf *got)
{
    char *data = malloc(cap);
    ssize_t n;
    CHECK(data);
    do {
        n = tls_recv(conn, data, cap);
        CHECK(n <= (ssize_t)cap);
        if (n > 0)
            buf_add(got, data, (size_t)n);
        if (n > 0 && n % 3 == 0)
            tls_send(conn, data, (size_t)n); // answers a KeyUpdate
    } while (n > 0 || (n == -EAGAIN && wire->rest.len > 0));
    CHECK(n == 0 || n == -EAGAIN || n == -EPROTO);
    if (n != -EAGAIN)
        CHECK(tls_recv(conn, data, cap) == n && tls_has_pending(conn));
    else
        CHECK(!tls_has_pending(conn));
    CHECK(n != -EPROTO || (tls_failure(conn).len > 0 && tls_send(conn, "x", 1) == -EPROTO));
    free(data);
}

static struct tls_context *make_server(void)
{
    static struct buf certificate, key;
    tls_init();
    tls_make_self_signed(STR("fuzz"), &certificate, &key);
    struct tls_pair pair = {.certificate_pem = buf_str(&certificate), .key_pem = buf_str(&key)};
    struct tls_error error;
    struct tls_context *server =
        tls_server_create(&(struct tls_server_config){.pairs = &pair, .n_pairs = 1}, &error);
    CHECK(server);
    buf_fini(&certificate);
    buf_fini(&key);
    return server;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_context *server;
    static const size_t caps[] = {1, 3, 16, 100, 1000, 16384, 16640, 70000};
    if (!server)
        server = make_server();
    unsigned how = take_byte(&data, &size);
    struct buf bytes = {0}, expected = {0}, got = {0};
    bool is_orderly = compose((struct str){(const char *)data, size}, &bytes, &expected);
    char *copy = exact_copy(bytes.data, bytes.len);
    struct wire wire = {.io = {.recv = on_recv, .send = on_send},
                        .rest = {copy, bytes.len},
                        .piece = how & 8 ? 7 + how / 16 : SIZE_MAX};
    struct tls_conn *conn = tls_accept(server, &wire.io, STR_NONE);
    uint8_t secret[SECRET_BYTES];
    memset(secret, 'c', sizeof(secret));
    record_note_secret(conn, true, secret, sizeof(secret));
    memset(secret, 's', sizeof(secret));
    record_note_secret(conn, false, secret, sizeof(secret));
    CHECK(record_begin(conn, 0x1301, 512, 0));
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    conn->is_done = true;
    read_all(conn, &wire, caps[how & 7], &got);
    CHECK(got.len >= expected.len && (!is_orderly || got.len == expected.len));
    CHECK(expected.len == 0 || memcmp(got.data, expected.data, expected.len) == 0);
    tls_shutdown(conn);
    tls_free(conn);
    CHECK(ERR_peek_error() == 0);
    free(copy);
    buf_fini(&bytes);
    buf_fini(&expected);
    buf_fini(&got);
    return 0;
}
