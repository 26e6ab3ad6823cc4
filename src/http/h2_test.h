// SPDX-License-Identifier: Apache-2.0
// For tests: an end of an HTTP/2 connection that writes down what it is told and sends what it is
// given (struct end, with one struct message a stream), and frames made by hand (put_frame()).
#pragma once
#include "base/buf.h"
#include "http/h2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES_MAX = 1024 };

struct end;
struct message { // a stream as one end sees it
    struct end *end;
    int32_t id;
    // What came. head: the fields of the section read last, "name: value\n"; interims: those of
    // 1xx.
    struct buf head, interims, body, trailers;
    unsigned n_heads;
    bool has_ended, is_closed, is_interim;
    uint32_t code;     // of the close
    size_t unconsumed; // body bytes whose window was not given back
    // What goes.
    struct str out;
    bool is_open; // more will follow `out`
    const char *out_trailers;
    size_t n_sent;
    bool is_sent; // to its end
    bool is_forgotten;
};

struct end {
    struct h2 *h2;
    struct message messages[MESSAGES_MAX];
    unsigned n_messages;
    bool refuses; // streams, as they begin
    unsigned n_refused;
    bool holds; // the window of what came
    unsigned n_goaways;
    uint32_t goaway_code;
    int64_t now_ms;
    void (*on_head)(struct message *message); // the last of heads, not 1xx; NULL: nothing is done
    void (*on_end)(struct message *message);
    void *arg;
};

static inline struct message *add_message(struct end *end, int32_t id)
{
    assert_true(end->n_messages < MESSAGES_MAX);
    struct message *message = &end->messages[end->n_messages++];
    *message = (struct message){.end = end, .id = id};
    return message;
}

static inline struct message *find_message(struct end *end, int32_t id)
{
    for (unsigned i = 0; i < end->n_messages; i++)
        if (end->messages[i].id == id)
            return &end->messages[i];
    return NULL;
}

static inline struct message *told_message(void *told)
{
    struct message *message = told;
    assert_false(message->is_closed);
    assert_false(message->is_forgotten);
    return message;
}

static inline void *end_on_begin(void *arg, int32_t id)
{
    struct end *end = arg;
    end->n_refused += end->refuses;
    return end->refuses ? NULL : add_message(end, id);
}

static inline bool end_on_field(void *arg, void *told, struct str name, struct str value,
                                bool is_trailer)
{
    (void)arg;
    struct message *message = told_message(told);
    struct buf *section = is_trailer ? &message->trailers : &message->head;
    assert_false(message->has_ended);
    if (str_is(name, ":status") && message->is_interim) {
        buf_add_str(&message->interims, buf_str(&message->head));
        buf_fini(&message->head);
    }
    if (str_is(name, ":status"))
        message->is_interim = value.ptr[0] == '1';
    buf_printf(section, "%.*s: %.*s\n", STR_ARG(name), STR_ARG(value));
    return !str_is(name, "x-unwanted");
}

static inline void end_end(struct message *message)
{
    assert_false(message->has_ended);
    message->has_ended = true;
    if (message->end->on_end)
        message->end->on_end(message);
}

static inline void end_on_head(void *arg, void *told, bool is_end)
{
    (void)arg;
    struct message *message = told_message(told);
    message->n_heads++;
    if (message->end->on_head && !message->is_interim)
        message->end->on_head(message);
    if (is_end)
        end_end(message);
}

static inline void end_on_data(void *arg, void *told, struct str data)
{
    struct end *end = arg;
    struct message *message = told_message(told);
    assert_true(message->n_heads > 0 && !message->has_ended && data.len > 0);
    buf_add_str(&message->body, data);
    if (end->holds)
        message->unconsumed += data.len;
    else
        h2_consume(end->h2, message->id, data.len);
}

static inline void end_on_end(void *arg, void *told, bool has_trailers)
{
    (void)arg;
    struct message *message = told_message(told);
    assert_int_equal(has_trailers, message->trailers.len > 0);
    end_end(message);
}

static inline void end_on_closed(void *arg, void *told, uint32_t code)
{
    (void)arg;
    struct message *message = told_message(told);
    message->is_closed = true;
    message->code = code;
}

static inline void end_body(void *arg, void *told, size_t max, struct str *ret, bool *ret_is_end)
{
    (void)arg;
    struct message *message = told_message(told);
    struct str rest = str_from(message->out, message->n_sent);
    *ret = str_upto(rest, max);
    *ret_is_end = !message->is_open && ret->len == rest.len;
}

static inline void end_body_sent(void *arg, void *told, size_t n, bool is_end)
{
    (void)arg;
    struct message *message = told_message(told);
    assert_false(message->is_sent);
    message->n_sent += n;
    assert_true(message->n_sent <= message->out.len);
    assert_true(!is_end || (!message->is_open && message->n_sent == message->out.len));
    message->is_sent = is_end;
}

static inline struct str end_trailers(void *arg, void *told)
{
    (void)arg;
    return str_of(told_message(told)->out_trailers);
}

static inline void end_on_goaway(void *arg, uint32_t code)
{
    struct end *end = arg;
    end->n_goaways++;
    end->goaway_code = code;
}

static const struct h2_events end_events = {
    .on_begin = end_on_begin,
    .on_field = end_on_field,
    .on_head = end_on_head,
    .on_data = end_on_data,
    .on_end = end_on_end,
    .on_closed = end_on_closed,
    .body = end_body,
    .body_sent = end_body_sent,
    .trailers = end_trailers,
    .on_goaway = end_on_goaway,
};

static inline struct end *end_create(const struct h2_options *options)
{
    struct end *end = calloc(1, sizeof *end);
    assert_non_null(end);
    end->now_ms = 1000000;
    end->h2 = h2_create(options, &end_events, end);
    return end;
}

static inline void end_destroy(struct end *end)
{
    h2_destroy(end->h2);
    for (unsigned i = 0; i < end->n_messages; i++) {
        struct message *message = &end->messages[i];
        buf_fini(&message->head);
        buf_fini(&message->interims);
        buf_fini(&message->body);
        buf_fini(&message->trailers);
    }
    free(end);
}

static const struct h2_options server_options = {.is_server = true,
                                                 .concurrent_streams = 100,
                                                 .stream_window = 100000,
                                                 .connection_window = 200000,
                                                 .header_list_bytes = 65536};
static const struct h2_options client_options = {
    .stream_window = 100000, .connection_window = 200000, .header_list_bytes = 65536};

// ---- what an end says ----

// `method`: also "CONNECT websocket" (extended). `lines`: of HTTP/1.
static inline struct message *send_request_with(struct end *end, const char *method,
                                                const char *path, const char *lines,
                                                struct str body, bool has_body)
{
    const char *protocol = strchr(method, ' ');
    char *copy = strdup(lines); // names are lower-cased in place
    struct h2_head head = {.method = protocol ? (struct str){method, (size_t)(protocol - method)}
                                              : str_of(method),
                           .scheme = STR("http"),
                           .authority = STR("a.example"),
                           .path = str_of(path),
                           .protocol = protocol ? str_of(protocol + 1) : STR_NONE,
                           .lines = copy,
                           .lines_len = strlen(copy)};
    struct message *message = add_message(end, 0);
    message->out = body;
    message->id = h2_submit_request(end->h2, &head, has_body, message);
    free(copy);
    return message;
}

static inline struct message *send_request(struct end *end, const char *method, const char *path)
{
    struct message *message = send_request_with(end, method, path, "", STR_NONE, false);
    assert_true(message->id > 0);
    return message;
}

static inline struct message *send_post(struct end *end, const char *path, struct str body)
{
    struct message *message = send_request_with(end, "POST", path, "", body, true);
    assert_true(message->id > 0);
    return message;
}

static inline void send_head(struct message *message, unsigned status, const char *lines,
                             bool has_body)
{
    char *copy = strdup(lines);
    struct h2_head head = {.status = (uint16_t)status, .lines = copy, .lines_len = strlen(copy)};
    if (status < 200)
        assert_true(h2_submit_interim(message->end->h2, message->id, &head));
    else
        assert_true(h2_submit_response(message->end->h2, message->id, &head, has_body));
    free(copy);
}

static inline void send_response(struct message *message, unsigned status, struct str body)
{
    message->out = body;
    send_head(message, status, "", true);
}

static inline void consume(struct message *message, size_t n)
{
    assert_true(n <= message->unconsumed);
    message->unconsumed -= n;
    h2_consume(message->end->h2, message->id, n);
}

static inline void forget_message(struct message *message)
{
    message->is_forgotten = true;
    h2_forget(message->end->h2, message->id);
}

// ---- both ends in memory ----

// What `from` has to say, in pieces of at most `cap`, fed in pieces of at most `piece`.
static inline size_t carry(struct end *from, struct end *to, size_t cap, size_t piece)
{
    char *bytes = malloc(cap); // on the heap, so that a sanitizer sees an overrun
    size_t n = h2_produce(from->h2, bytes, cap);
    assert_true(n <= cap);
    for (size_t at = 0; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        char *exact = malloc(len);
        memcpy(exact, bytes + at, len);
        if (!h2_receive(to->h2, (struct str){exact, len}, to->now_ms))
            at = n;
        free(exact);
    }
    free(bytes);
    return n;
}

static inline void talk_in_pieces(struct end *a, struct end *b, size_t cap, size_t piece)
{
    while (carry(a, b, cap, piece) + carry(b, a, cap, piece) > 0) {
    }
}

static inline void talk_to_end(struct end *a, struct end *b)
{
    talk_in_pieces(a, b, 65536, 65536);
}

// ---- frames by hand ----

enum {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_PRIORITY,
    FRAME_RST_STREAM,
    FRAME_SETTINGS,
    FRAME_PUSH_PROMISE,
    FRAME_PING,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_CONTINUATION
};
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };

static inline void put_frame(struct buf *out, unsigned type, unsigned flags, int32_t id,
                             struct str payload)
{
    const unsigned char head[9] = {(unsigned char)(payload.len >> 16),
                                   (unsigned char)(payload.len >> 8),
                                   (unsigned char)payload.len,
                                   (unsigned char)type,
                                   (unsigned char)flags,
                                   (unsigned char)(id >> 24),
                                   (unsigned char)(id >> 16),
                                   (unsigned char)(id >> 8),
                                   (unsigned char)id};
    buf_add(out, head, sizeof head);
    buf_add_str(out, payload);
}

// RFC 7541, 6.2.2: a literal that no table keeps.
static inline void put_field(struct buf *block, const char *name, struct str value)
{
    assert_true(strlen(name) < 127 && value.len < 127);
    buf_add_char(block, 0);
    buf_add_char(block, (char)strlen(name));
    buf_add_text(block, name);
    buf_add_char(block, (char)value.len);
    buf_add_str(block, value);
}

static inline void put_request_fields(struct buf *block, const char *method)
{
    put_field(block, ":method", str_of(method));
    put_field(block, ":scheme", STR("http"));
    put_field(block, ":path", STR("/"));
    put_field(block, ":authority", STR("a.example"));
}

static inline void put_request(struct buf *out, int32_t id, const char *method, unsigned flags)
{
    struct buf block = {0};
    put_request_fields(&block, method);
    put_frame(out, FRAME_HEADERS, flags | FLAG_END_HEADERS, id, buf_str(&block));
    buf_fini(&block);
}

static inline void put_u32(struct buf *out, unsigned type, int32_t id, uint32_t value)
{
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8),
                           (char)value};
    put_frame(out, type, 0, id, (struct str){bytes, 4});
}

static inline void put_preface(struct buf *out)
{
    buf_add_text(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(out, FRAME_SETTINGS, 0, 0, STR_NONE);
}

// Feeds and empties.
static inline bool feed(struct end *end, struct buf *bytes)
{
    char *exact = malloc(bytes->len ? bytes->len : 1);
    if (bytes->len > 0)
        memcpy(exact, bytes->data, bytes->len);
    bool ok = h2_receive(end->h2, (struct str){exact, bytes->len}, end->now_ms);
    free(exact);
    bytes->len = 0;
    return ok;
}

struct frame {
    unsigned type, flags;
    int32_t id;
    struct str payload;
};

// The next frame of `rest`. false: none is whole.
static inline bool take_frame(struct str *rest, struct frame *ret)
{
    const unsigned char *p = (const unsigned char *)rest->ptr;
    if (rest->len < 9)
        return false;
    size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (rest->len < 9 + len)
        return false;
    *ret = (struct frame){.type = p[3],
                          .flags = p[4],
                          .id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
                                          (uint32_t)p[7] << 8 | p[8]),
                          .payload = {rest->ptr + 9, len}};
    *rest = str_from(*rest, 9 + len);
    return true;
}

static inline uint32_t u32_of(struct str bytes, size_t at)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr + at;
    assert_true(at + 4 <= bytes.len);
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// All that an end has to say.
static inline void drain_output(struct end *end, struct buf *out)
{
    char *bytes = malloc(65536);
    size_t n;
    while ((n = h2_produce(end->h2, bytes, 65536)) > 0)
        buf_add(out, bytes, n);
    free(bytes);
}

// The code of the first such frame in what the end says, or -1.
static inline int64_t said_code(struct buf *said, unsigned type, int32_t id)
{
    struct str rest = buf_str(said);
    struct frame frame;
    while (take_frame(&rest, &frame))
        if (frame.type == type && frame.id == id)
            return u32_of(frame.payload, type == FRAME_GOAWAY ? 4 : 0);
    return -1;
}
