// SPDX-License-Identifier: Apache-2.0
#include "tls/client_hello.h"
#include "base/address.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEADER_BYTES = 5,
    RECORD_BODY_MAX = 16 * 1024, // RFC 8446, 5.1
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_HEADER_BYTES = 4,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    NAME_TYPE_HOST = 0,
};

// The rest of something that is read from the front. A read past the end makes it bad, for good.
struct cursor {
    const uint8_t *at, *end;
    bool is_bad;
};

static size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static uint32_t take_number(struct cursor *cursor, unsigned n_bytes)
{
    if (cursor_left(cursor) < n_bytes) {
        cursor->is_bad = true;
        cursor->at = cursor->end;
        return 0;
    }
    uint32_t number = 0;
    while (n_bytes-- > 0)
        number = number << 8 | *cursor->at++;
    return number;
}

static struct cursor take_bytes(struct cursor *cursor, size_t len)
{
    if (cursor_left(cursor) < len) {
        cursor->is_bad = true;
        len = cursor_left(cursor);
    }
    struct cursor part = {cursor->at, cursor->at + len, cursor->is_bad};
    cursor->at += len;
    return part;
}

// A vector: its length in `n_bytes`, then the bytes.
static struct cursor take_vector(struct cursor *cursor, unsigned n_bytes)
{
    return take_bytes(cursor, take_number(cursor, n_bytes));
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// The name as a host in lower case and without a last dot. What is no host name is no name: it
// finds no certificate of its own, and nothing more (RFC 6066, 3 leaves it to the server).
static void keep_name(struct client_hello *hello, struct cursor bytes)
{
    char name[CLIENT_HELLO_NAME_MAX];
    size_t len = cursor_left(&bytes), label = 0;
    if (len > 0 && bytes.at[len - 1] == '.')
        len--;
    if (len == 0 || len > sizeof(name))
        return;
    for (size_t i = 0; i < len; i++) {
        char c = ascii_lower((char)bytes.at[i]);
        bool is_dot = c == '.';
        if (is_dot ? label == 0 : !is_name_byte(c) || label == 63)
            return;
        label = is_dot ? 0 : label + 1;
        name[i] = c;
    }
    struct address ip;
    if (label == 0 || address_parse_ip((struct str){name, len}, &ip))
        return;
    memcpy(hello->name, name, len);
    hello->name[len] = '\0';
    hello->name_len = (uint8_t)len;
}

// RFC 6066, 3: a list with at most one name of each type; only one type exists.
static bool read_server_name(struct client_hello *hello, struct cursor extension)
{
    struct cursor list = take_vector(&extension, 2);
    bool has_host = false;
    if (extension.is_bad || cursor_left(&extension) > 0 || cursor_left(&list) == 0)
        return false;
    while (cursor_left(&list) > 0) {
        uint32_t type = take_number(&list, 1);
        struct cursor name = take_vector(&list, 2);
        if (list.is_bad)
            return false;
        if (type != NAME_TYPE_HOST)
            continue;
        if (has_host || cursor_left(&name) == 0)
            return false;
        has_host = true;
        keep_name(hello, name);
    }
    return true;
}

static bool cursor_is(const struct cursor *cursor, const char *text)
{
    return str_is((struct str){(const char *)cursor->at, cursor_left(cursor)}, text);
}

static bool read_alpn(struct client_hello *hello, struct cursor extension)
{
    struct cursor list = take_vector(&extension, 2);
    if (extension.is_bad || cursor_left(&extension) > 0 || cursor_left(&list) == 0)
        return false;
    while (cursor_left(&list) > 0) {
        struct cursor protocol = take_vector(&list, 1);
        if (list.is_bad || cursor_left(&protocol) == 0)
            return false;
        hello->offers_h2 |= cursor_is(&protocol, "h2");
        hello->offers_http1 |= cursor_is(&protocol, "http/1.1");
    }
    return true;
}

static bool read_extensions(struct client_hello *hello, struct cursor extensions)
{
    bool has_name = false, has_alpn = false;
    while (cursor_left(&extensions) > 0) {
        uint32_t type = take_number(&extensions, 2);
        struct cursor body = take_vector(&extensions, 2);
        if (extensions.is_bad)
            return false;
        // Not twice (RFC 8446, 4.2): else we might see another name than the server behind us.
        if (type == EXTENSION_SERVER_NAME) {
            if (has_name || !read_server_name(hello, body))
                return false;
            has_name = true;
        } else if (type == EXTENSION_ALPN) {
            if (has_alpn || !read_alpn(hello, body))
                return false;
            has_alpn = true;
        }
    }
    return true;
}

// The message's body, whole (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2).
static bool read_body(struct client_hello *hello, struct cursor body)
{
    uint32_t version = take_number(&body, 2);
    take_bytes(&body, 32); // random
    struct cursor session = take_vector(&body, 1), suites = take_vector(&body, 2),
                  compressions = take_vector(&body, 1);
    if (body.is_bad || version >> 8 != 3 || cursor_left(&session) > 32 ||
        cursor_left(&suites) < 2 || cursor_left(&suites) % 2 != 0 ||
        cursor_left(&compressions) == 0)
        return false;
    if (cursor_left(&body) == 0)
        return true; // none before TLS 1.3 is fine
    struct cursor extensions = take_vector(&body, 2);
    return !body.is_bad && cursor_left(&body) == 0 && read_extensions(hello, extensions);
}

// Checks what is there of a record's header; *ret_len is its body's length once that is known.
static enum client_hello_status read_record_header(const uint8_t *at, size_t len, size_t *ret_len)
{
    if ((len > 0 && at[0] != RECORD_HANDSHAKE) || (len > 1 && at[1] != 3) || (len > 2 && at[2] > 4))
        return CLIENT_HELLO_NOT;
    if (len < RECORD_HEADER_BYTES)
        return CLIENT_HELLO_MORE;
    *ret_len = (size_t)at[3] << 8 | at[4];
    return *ret_len == 0 || *ret_len > RECORD_BODY_MAX ? CLIENT_HELLO_NOT : CLIENT_HELLO_DONE;
}

// Length of the whole message. MORE while its own header has not come.
static enum client_hello_status read_message_header(const uint8_t *at, size_t len, size_t *ret_len)
{
    if (len > 0 && at[0] != MESSAGE_CLIENT_HELLO)
        return CLIENT_HELLO_NOT;
    if (len < MESSAGE_HEADER_BYTES)
        return CLIENT_HELLO_MORE;
    *ret_len = MESSAGE_HEADER_BYTES + ((size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3]);
    return *ret_len > CLIENT_HELLO_BYTES_MAX - RECORD_HEADER_BYTES ? CLIENT_HELLO_LARGE
                                                                   : CLIENT_HELLO_DONE;
}

static enum client_hello_status read_message(struct client_hello *hello, const uint8_t *message,
                                             size_t len)
{
    struct cursor body = {message + MESSAGE_HEADER_BYTES, message + len, false};
    if (read_body(hello, body))
        return CLIENT_HELLO_DONE;
    *hello = (struct client_hello){.name_len = 0};
    return CLIENT_HELLO_NOT;
}

// Puts the pieces of several records together.
static enum client_hello_status read_records(struct client_hello *hello, struct str bytes)
{
    uint8_t message[CLIENT_HELLO_BYTES_MAX];
    size_t have = 0, wanted = 0, at = 0;
    while (at < bytes.len) {
        const uint8_t *record = (const uint8_t *)bytes.ptr + at;
        size_t left = bytes.len - at, body_len = 0;
        enum client_hello_status status = read_record_header(record, left, &body_len);
        if (status != CLIENT_HELLO_DONE)
            return status;
        left -= RECORD_HEADER_BYTES;
        size_t here = body_len < left ? body_len : left;
        if (here > sizeof(message) - have)
            here = sizeof(message) - have; // the message ends before, or is too large
        memcpy(message + have, record + RECORD_HEADER_BYTES, here);
        have += here;
        status = read_message_header(message, have, &wanted);
        if (status == CLIENT_HELLO_NOT || status == CLIENT_HELLO_LARGE)
            return status;
        if (wanted > 0 && have >= wanted)
            return read_message(hello, message, wanted);
        if (left < body_len)
            return CLIENT_HELLO_MORE;
        at += RECORD_HEADER_BYTES + body_len;
    }
    return CLIENT_HELLO_MORE;
}

enum client_hello_status client_hello_read(struct client_hello *hello, struct str bytes)
{
    *hello = (struct client_hello){.name_len = 0};
    // Usual: one record holds it all, and nothing need be copied.
    const uint8_t *record = (const uint8_t *)bytes.ptr;
    size_t body_len = 0, wanted = 0;
    if (bytes.len > RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES &&
        read_record_header(record, bytes.len, &body_len) == CLIENT_HELLO_DONE &&
        read_message_header(record + RECORD_HEADER_BYTES, body_len, &wanted) == CLIENT_HELLO_DONE &&
        wanted <= body_len && bytes.len >= RECORD_HEADER_BYTES + wanted)
        return read_message(hello, record + RECORD_HEADER_BYTES, wanted);
    // Within a limit of all bytes, so that records of one byte do not make it endless.
    bool is_full = bytes.len >= CLIENT_HELLO_BYTES_MAX;
    enum client_hello_status status = read_records(hello, str_upto(bytes, CLIENT_HELLO_BYTES_MAX));
    return status == CLIENT_HELLO_MORE && is_full ? CLIENT_HELLO_LARGE : status;
}
