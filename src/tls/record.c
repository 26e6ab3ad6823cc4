// SPDX-License-Identifier: Apache-2.0
// The record layer of a TLS 1.3 server after its handshake (RFC 8446, 5), in place of OpenSSL's.
//
// OpenSSL holds 14 KB for a connection that does nothing, and copies what it reads and writes. Once
// the handshake is over all that is needed are two keys with their counters: the SSL object is
// freed, records are decrypted into the caller's memory and encrypted into that of the thread, and
// the cipher's context is the thread's, loaded with a connection's key when another was in it.
#include "tls/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 5,
    TAG_BYTES = 16,
    NONCE_BYTES = 12,
    PLAINTEXT_MAX = 16 * 1024,
    CIPHERTEXT_MAX = PLAINTEXT_MAX + 256,
    OVERHEAD_BYTES = HEADER_BYTES + 1 /* type */ + TAG_BYTES,
    KEY_MAX = 32,
    // Of what is read from the wire at a time.
    INPUT_BYTES = 68 * 1024,
    // Records without data in a row (empty, KeyUpdate, warnings): more are a flood.
    IDLE_RECORDS_MAX = 32,
};
enum content { CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };
enum { MESSAGE_KEY_UPDATE = 24, KEY_UPDATE_BYTES = 5 /* with its header */ };
uint64_t records_per_key = UINT64_C(1) << 24;

// ---- algorithms ----

struct suite {
    uint16_t id;
    uint8_t key_len, secret_len;
    const char *cipher_name, *digest_name;
    EVP_CIPHER *cipher; // fetched once
};
static struct suite suites[] = {
    {0x1301, 16, 32, "AES-128-GCM", "SHA256", NULL},
    {0x1302, 32, 48, "AES-256-GCM", "SHA384", NULL},
    {0x1303, 32, 32, "ChaCha20-Poly1305", "SHA256", NULL},
};
enum { N_SUITES = sizeof(suites) / sizeof(*suites) };

struct direction {
    uint8_t secret[KDF_SECRET_MAX], key[KEY_MAX], iv[NONCE_BYTES];
    uint64_t n_records; // under this key: the next one's number
    uint64_t key_id;    // unique in the process; 0: key and iv are still to be derived
};
struct record_layer {
    const struct suite *suite;
    struct direction in, out;
    char *plain; // data that did not fit the caller's memory: [plain_at, plain_end)
    uint32_t plain_at, plain_end;
    uint16_t data_max;                 // of a record that is sent
    uint8_t message[KEY_UPDATE_BYTES]; // the beginning of one whose rest is in the next record
    uint8_t message_len;
    bool owes_update; // a KeyUpdate goes out before the next record
};

// Of the thread: contexts with the key that is in each, and room for what is read.
struct workshop {
    struct loaded {
        EVP_CIPHER_CTX *ctx[N_SUITES];
        uint64_t key_id[N_SUITES];
    } seals, opens;
    uint64_t next_key_id;
    uint8_t plain[CIPHERTEXT_MAX];
    char input[INPUT_BYTES];
};
static _Thread_local struct workshop *workshop;
static pthread_key_t workshop_key;
static atomic_uint_fast32_t n_workshops;

static void free_workshop(void *of_thread)
{
    struct workshop *shop = of_thread;
    for (size_t i = 0; i < N_SUITES; i++) {
        EVP_CIPHER_CTX_free(shop->seals.ctx[i]);
        EVP_CIPHER_CTX_free(shop->opens.ctx[i]);
    }
    OPENSSL_cleanse(shop->plain, sizeof(shop->plain));
    free(shop);
    workshop = NULL;
}

static struct workshop *get_workshop(void)
{
    if (workshop)
        return workshop;
    workshop = calloc(1, sizeof(*workshop));
    CHECK(workshop);
    for (size_t i = 0; i < N_SUITES; i++) {
        if (!suites[i].id)
            continue;
        struct loaded *both[] = {&workshop->seals, &workshop->opens};
        for (int k = 0; k < 2; k++) {
            EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
            CHECK(ctx && EVP_CipherInit_ex2(ctx, suites[i].cipher, NULL, NULL, k == 0, NULL) == 1);
            both[k]->ctx[i] = ctx;
        }
    }
    workshop->next_key_id = (uint64_t)(atomic_fetch_add(&n_workshops, 1) + 1) << 40;
    pthread_setspecific(workshop_key, workshop);
    return workshop;
}

void record_init(void)
{
    for (size_t i = 0; i < N_SUITES; i++) {
        suites[i].cipher = EVP_CIPHER_fetch(NULL, suites[i].cipher_name, NULL);
        ERR_clear_error(); // one may be missing (FIPS): its connections stay with OpenSSL
        if (!suites[i].cipher)
            suites[i].id = 0;
    }
    CHECK(pthread_key_create(&workshop_key, free_workshop) == 0);
}

void record_fini(void)
{
    if (workshop)
        free_workshop(workshop);
    pthread_key_delete(workshop_key);
    for (size_t i = 0; i < N_SUITES; i++)
        EVP_CIPHER_free(suites[i].cipher);
}

// ---- keys ----

static void expand(const struct suite *suite, const uint8_t *secret, const char *label,
                   uint8_t *ret, size_t len)
{
    kdf_expand(suite->digest_name, secret, suite->secret_len, label, ret, len);
}

static void derive_keys(const struct suite *suite, struct direction *direction)
{
    expand(suite, direction->secret, "key", direction->key, suite->key_len);
    expand(suite, direction->secret, "iv", direction->iv, NONCE_BYTES);
    direction->n_records = 0;
    direction->key_id = ++get_workshop()->next_key_id;
}

// RFC 8446, 7.2
static void update_keys(const struct suite *suite, struct direction *direction)
{
    uint8_t next[KDF_SECRET_MAX];
    expand(suite, direction->secret, "traffic upd", next, suite->secret_len);
    memcpy(direction->secret, next, suite->secret_len);
    OPENSSL_cleanse(next, sizeof(next));
    derive_keys(suite, direction);
}

// The thread's context, loaded with this key and the next record's nonce (RFC 8446, 5.3).
static EVP_CIPHER_CTX *load(struct loaded *loaded, const struct suite *suite,
                            struct direction *direction)
{
    size_t index = (size_t)(suite - suites);
    EVP_CIPHER_CTX *ctx = loaded->ctx[index];
    uint8_t nonce[NONCE_BYTES];
    memcpy(nonce, direction->iv, NONCE_BYTES);
    for (size_t i = 0; i < 8; i++)
        nonce[NONCE_BYTES - 1 - i] ^= (uint8_t)(direction->n_records >> 8 * i);
    direction->n_records++;
    const uint8_t *key = loaded->key_id[index] == direction->key_id ? NULL : direction->key;
    CHECK(EVP_CipherInit_ex2(ctx, NULL, key, nonce, -1, NULL) == 1);
    loaded->key_id[index] = direction->key_id;
    return ctx;
}

// ---- sending ----

static void seal_part(EVP_CIPHER_CTX *ctx, uint8_t **to, const void *data, size_t len)
{
    int n = 0;
    if (len == 0)
        return;
    CHECK(EVP_EncryptUpdate(ctx, *to, &n, data, (int)len) == 1 && n == (int)len);
    *to += n;
}

// Adds one record to what is gathered. false: no room.
static bool seal(struct record_layer *layer, enum content type, struct str first, struct str second)
{
    size_t len = first.len + second.len + 1 + TAG_BYTES;
    uint8_t *record = (uint8_t *)io_reserve(HEADER_BYTES + len), *to = record + HEADER_BYTES;
    if (!record)
        return false;
    const uint8_t header[HEADER_BYTES] = {CONTENT_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(record, header, sizeof(header));
    EVP_CIPHER_CTX *ctx = load(&get_workshop()->seals, layer->suite, &layer->out);
    int n = 0;
    uint8_t type_byte = (uint8_t)type;
    CHECK(EVP_EncryptUpdate(ctx, NULL, &n, header, sizeof(header)) == 1);
    seal_part(ctx, &to, first.ptr, first.len);
    seal_part(ctx, &to, second.ptr, second.len);
    seal_part(ctx, &to, &type_byte, 1);
    CHECK(EVP_EncryptFinal_ex(ctx, to, &n) == 1 && n == 0 &&
          EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, to) == 1);
    io_added(HEADER_BYTES + len);
    return true;
}

static bool seal_update(struct record_layer *layer)
{
    if (!layer->owes_update && layer->out.n_records < records_per_key)
        return true;
    layer->owes_update = false;
    static const char not_requested[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
    if (!seal(layer, CONTENT_HANDSHAKE, (struct str){not_requested, sizeof(not_requested)},
              STR_NONE))
        return false;
    update_keys(layer->suite, &layer->out);
    return true;
}

bool record_write(struct tls_conn *conn, struct str first, struct str second)
{
    struct record_layer *layer = conn->layer;
    while (first.len + second.len > 0) {
        struct str head = str_upto(first, layer->data_max),
                   body = str_upto(second, layer->data_max - head.len);
        if (first.len > head.len)
            body.len = 0;
        if (!seal_update(layer) || !seal(layer, CONTENT_DATA, head, body))
            return false;
        first = str_from(first, head.len);
        second = str_from(second, body.len);
    }
    return true;
}

static void write_alert(struct tls_conn *conn, int level, int description)
{
    const char alert[2] = {(char)level, (char)description};
    seal(conn->layer, CONTENT_ALERT, (struct str){alert, sizeof(alert)}, STR_NONE);
}

void record_shutdown(struct tls_conn *conn)
{
    write_alert(conn, SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
}

// ---- receiving ----

static bool refuse(struct tls_conn *conn, int description, const char *why)
{
    write_alert(conn, SSL3_AL_FATAL, description);
    conn_fail(conn, why);
    return false;
}

// Length of the record at `at` with its header; 0: not all of the header is there.
static size_t record_len(const char *at, size_t len)
{
    return len < HEADER_BYTES
               ? 0
               : HEADER_BYTES + ((size_t)(uint8_t)at[3] << 8 | (size_t)(uint8_t)at[4]);
}

static bool is_whole(const char *at, size_t len)
{
    size_t wanted = record_len(at, len);
    return wanted > 0 && len >= wanted;
}

// Decrypts a record, whose header was checked, into `to`. false: forged.
static bool open_record(struct record_layer *layer, const char *record, size_t len, uint8_t *to)
{
    size_t body = len - HEADER_BYTES - TAG_BYTES;
    EVP_CIPHER_CTX *ctx = load(&get_workshop()->opens, layer->suite, &layer->in);
    const unsigned char *from = (const unsigned char *)record;
    int n = 0;
    bool is_genuine = EVP_DecryptUpdate(ctx, NULL, &n, from, HEADER_BYTES) == 1 &&
                      EVP_DecryptUpdate(ctx, to, &n, from + HEADER_BYTES, (int)body) == 1 &&
                      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
                                          (void *)(uintptr_t)(from + len - TAG_BYTES)) == 1 &&
                      EVP_DecryptFinal_ex(ctx, to + n, &n) == 1;
    if (!is_genuine)
        ERR_clear_error();
    return is_genuine;
}

static bool take_alert(struct tls_conn *conn, const uint8_t *alert, size_t len)
{
    if (len != 2)
        return refuse(conn, SSL_AD_DECODE_ERROR, "a malformed alert");
    if (alert[1] == SSL_AD_CLOSE_NOTIFY) {
        conn->is_closed = true;
        return false;
    }
    if (alert[1] == SSL_AD_USER_CANCELLED)
        return true; // close_notify follows (RFC 8446, 6.1)
    conn_fail_with_alert(conn, alert[1]);
    return false;
}

static bool take_update(struct tls_conn *conn, const uint8_t *update)
{
    struct record_layer *layer = conn->layer;
    if (memcmp(update + 1, "\0\0\1", 3) != 0)
        return refuse(conn, SSL_AD_DECODE_ERROR, "a malformed KeyUpdate");
    if (update[4] > 1)
        return refuse(conn, SSL_AD_ILLEGAL_PARAMETER, "a malformed KeyUpdate");
    update_keys(layer->suite, &layer->in);
    if (update[4] == 1)
        layer->owes_update = true; // one answer for all that came before it
    return true;
}

// A client has nothing to say but KeyUpdate (no request for its certificate is ever sent). It may
// be cut into several records, but shares its last one with nothing, as the key changes there (RFC
// 8446, 5.1).
static bool take_message(struct tls_conn *conn, const uint8_t *part, size_t len)
{
    struct record_layer *layer = conn->layer;
    if (len == 0 || len > (size_t)(KEY_UPDATE_BYTES - layer->message_len))
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected message");
    memcpy(layer->message + layer->message_len, part, len);
    layer->message_len += (uint8_t)len;
    if (layer->message[0] != MESSAGE_KEY_UPDATE)
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected message");
    if (layer->message_len < KEY_UPDATE_BYTES)
        return true;
    layer->message_len = 0;
    return take_update(conn, layer->message);
}

// A record's content: data, of which *ret_len is the length, or something that is dealt with here.
// false: that is the end.
static bool take_content(struct tls_conn *conn, const uint8_t *content, size_t len, size_t *ret_len)
{
    *ret_len = 0;
    while (len > 0 && content[len - 1] == 0) // padding
        len--;
    if (len == 0)
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "a record without content");
    len--;
    if (len > PLAINTEXT_MAX)
        return refuse(conn, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
    conn->n_messages = content[len] == CONTENT_DATA && len > 0 ? 0 : conn->n_messages + 1;
    if (conn->n_messages > IDLE_RECORDS_MAX)
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "too many messages without data");
    if (conn->layer->message_len > 0 && content[len] != CONTENT_HANDSHAKE)
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "a record in the middle of a message");
    switch (content[len]) {
    case CONTENT_DATA:
        *ret_len = len;
        return true;
    case CONTENT_ALERT:
        return take_alert(conn, content, len);
    case CONTENT_HANDSHAKE:
        return take_message(conn, content, len);
    default:
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "a record of an unknown type");
    }
}

static bool check_header(struct tls_conn *conn, const char *at, size_t len)
{
    if (at[0] != CONTENT_DATA || at[1] != 3)
        return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected record");
    size_t body = record_len(at, len) - HEADER_BYTES;
    if (body > CIPHERTEXT_MAX)
        return refuse(conn, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
    if (body < 1 + TAG_BYTES)
        return refuse(conn, SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
    return true;
}

static void keep_plain(struct record_layer *layer, const uint8_t *data, size_t len)
{
    layer->plain = malloc(len);
    CHECK(layer->plain);
    memcpy(layer->plain, data, len);
    layer->plain_at = 0;
    layer->plain_end = (uint32_t)len;
}

static size_t take_plain(struct record_layer *layer, char *data, size_t cap)
{
    size_t len = layer->plain_end - layer->plain_at;
    if (len > cap)
        len = cap;
    memcpy(data, layer->plain + layer->plain_at, len);
    layer->plain_at += (uint32_t)len;
    if (layer->plain_at == layer->plain_end) {
        OPENSSL_cleanse(layer->plain, layer->plain_end);
        free(layer->plain);
        layer->plain = NULL;
    }
    return len;
}

// Opens one whole record. Straight into the caller's memory where all of it fits.
static bool take_record(struct tls_conn *conn, const char *record, size_t len, char *data,
                        size_t cap, size_t *ret_len)
{
    struct record_layer *layer = conn->layer;
    bool fits = len - HEADER_BYTES - TAG_BYTES <= cap;
    uint8_t *to = fits ? (uint8_t *)data : get_workshop()->plain;
    *ret_len = 0;
    if (!open_record(layer, record, len, to))
        return refuse(conn, SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
    if (!take_content(conn, to, len - HEADER_BYTES - TAG_BYTES, ret_len) || fits)
        return !conn->is_failed && !conn->is_closed;
    size_t now = *ret_len < cap ? *ret_len : cap;
    memcpy(data, to, now);
    if (now < *ret_len)
        keep_plain(layer, to + now, *ret_len - now);
    *ret_len = now;
    return true;
}

// What was read and is not used up: the thread's while a call runs, else the connection's.
struct input {
    char *data;
    size_t at, end;
};

static void begin_input(struct tls_conn *conn, struct input *input)
{
    *input = (struct input){get_workshop()->input, 0, conn->early_end - conn->early_at};
    if (!conn->early)
        return;
    CHECK(input->end <= INPUT_BYTES);
    memcpy(input->data, conn->early + conn->early_at, input->end);
    free(conn->early);
    conn->early = NULL;
    conn->early_at = conn->early_end = 0;
}

static void end_input(struct tls_conn *conn, const struct input *input)
{
    size_t len = input->end - input->at;
    conn->is_starved = !is_whole(input->data + input->at, len);
    if (len == 0)
        return;
    conn->early = malloc(len);
    CHECK(conn->early);
    memcpy(conn->early, input->data + input->at, len);
    conn->early_at = 0;
    conn->early_end = (uint32_t)len;
}

// Reads what the caller has room for, and at least the record that has begun. Results as
// tls_recv(), > 0: something came.
static ssize_t fill_input(struct tls_conn *conn, struct input *input, size_t room)
{
    memmove(input->data, input->data + input->at, input->end - input->at);
    input->end -= input->at;
    input->at = 0;
    size_t wanted = record_len(input->data, input->end);
    if (wanted < room + 8 * OVERHEAD_BYTES)
        wanted = room + 8 * OVERHEAD_BYTES;
    if (wanted < input->end + HEADER_BYTES)
        wanted = input->end + HEADER_BYTES;
    if (wanted > INPUT_BYTES)
        wanted = INPUT_BYTES;
    ssize_t n = io_recv(conn, input->data + input->end, wanted - input->end);
    if (n > 0)
        input->end += (size_t)n;
    else if (n == 0)
        conn_fail(conn, "closed without close_notify");
    else if (n != -EAGAIN)
        conn_fail(conn, NULL);
    return n == 0 ? -EPROTO : n;
}

static ssize_t read_records(struct tls_conn *conn, struct input *input, char *data, size_t cap)
{
    struct record_layer *layer = conn->layer;
    size_t total = layer->plain ? take_plain(layer, data, cap) : 0;
    conn->was_short = false;
    while (total < cap && !conn->is_failed && !conn->is_closed) {
        const char *record = input->data + input->at;
        size_t have = input->end - input->at, len = record_len(record, have), n;
        if (len > 0 && !check_header(conn, record, have))
            break;
        if (len > 0 && have >= len) {
            if (total > 0 && len - HEADER_BYTES - TAG_BYTES > cap - total)
                break; // the next call has room for it
            take_record(conn, record, len, data + total, cap - total, &n);
            input->at += len;
            total += n;
            continue;
        }
        if (total > 0 && conn->was_short)
            break; // more would need an event
        ssize_t got = fill_input(conn, input, cap - total);
        if (got < 0)
            return total > 0 ? (ssize_t)total : got;
    }
    if (total > 0 || conn->is_closed)
        return (ssize_t)total;
    return conn->wire_error ? -conn->wire_error : -EPROTO;
}

ssize_t record_read(struct tls_conn *conn, void *data, size_t cap)
{
    struct input input;
    begin_input(conn, &input);
    ssize_t n = read_records(conn, &input, data, cap);
    end_input(conn, &input);
    return n;
}

bool record_has_pending(const struct tls_conn *conn)
{
    return conn->layer->plain || (conn->early && !conn->is_starved);
}

// ---- the change from OpenSSL ----

void record_note_secret(struct tls_conn *conn, bool is_in, const uint8_t *secret, size_t len)
{
    if (conn->is_done || len > KDF_SECRET_MAX)
        return;
    if (!conn->layer) {
        conn->layer = calloc(1, sizeof(*conn->layer));
        CHECK(conn->layer);
    }
    struct direction *direction = is_in ? &conn->layer->in : &conn->layer->out;
    memcpy(direction->secret, secret, len);
    direction->key_id = 1;
}

static const struct suite *find_suite(unsigned id)
{
    for (size_t i = 0; i < N_SUITES; i++)
        if (suites[i].id && suites[i].id == id)
            return &suites[i];
    return NULL;
}

// RFC 6066, 4: a client may have asked for records of less.
static size_t find_data_max(const SSL *ssl)
{
    unsigned code = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl));
    return code >= TLSEXT_max_fragment_length_512 && code <= TLSEXT_max_fragment_length_4096
               ? 256U << code
               : PLAINTEXT_MAX;
}

bool record_adopt(struct tls_conn *conn, unsigned n_sent)
{
    const SSL *ssl = conn->ssl;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    if (conn->layer && cipher && SSL_version(ssl) == TLS1_3_VERSION && !SSL_has_pending(ssl) &&
        record_begin(conn, SSL_CIPHER_get_protocol_id(cipher), find_data_max(ssl), n_sent))
        return true;
    record_free(conn->layer);
    conn->layer = NULL;
    return false;
}

bool record_begin(struct tls_conn *conn, unsigned suite_id, size_t data_max, unsigned n_sent)
{
    struct record_layer *layer = conn->layer;
    layer->suite = find_suite(suite_id);
    if (!layer->suite || !layer->in.key_id || !layer->out.key_id)
        return false;
    derive_keys(layer->suite, &layer->in);
    derive_keys(layer->suite, &layer->out);
    layer->out.n_records = n_sent;
    layer->data_max = (uint16_t)data_max;
    return true;
}

void record_free(struct record_layer *layer)
{
    if (!layer)
        return;
    if (layer->plain) {
        OPENSSL_cleanse(layer->plain, layer->plain_end);
        free(layer->plain);
    }
    OPENSSL_cleanse(layer, sizeof(*layer));
    free(layer);
}
