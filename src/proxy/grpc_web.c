// SPDX-License-Identifier: Apache-2.0
#include "proxy/grpc_web.h"
#include "proxy/stream.h"

static const struct str grpc = {"application/grpc", 16};

enum grpc_web grpc_web_of(const struct stream *stream)
{
    const struct header *type = header_get(&stream->req.headers, HEADER_CONTENT_TYPE);
    if (!type || !str_equal_nocase(str_upto(type->value, grpc.len), grpc))
        return GRPC_WEB_NONE;
    struct str rest = str_from(type->value, grpc.len);
    static const struct str web = {"-web", 4}, text = {"-text", 5};
    if (!str_equal_nocase(str_upto(rest, web.len), web))
        return GRPC_WEB_NONE;
    rest = str_from(rest, web.len);
    bool is_text = str_equal_nocase(str_upto(rest, text.len), text);
    if (is_text)
        rest = str_from(rest, text.len);
    if (rest.len > 0 && rest.ptr[0] != '+' && rest.ptr[0] != ';' && rest.ptr[0] != ' ')
        return GRPC_WEB_NONE;
    return is_text ? GRPC_WEB_TEXT : GRPC_WEB_BINARY;
}

struct str grpc_web_request_type(struct stream *stream)
{
    struct str type = header_get(&stream->req.headers, HEADER_CONTENT_TYPE)->value;
    size_t cut = stream->grpc_web == GRPC_WEB_TEXT ? 9 : 4; // "-web-text"
    char *out = stream_alloc(stream, type.len);
    memcpy(out, type.ptr, grpc.len);
    memcpy(out + grpc.len, type.ptr + grpc.len + cut, type.len - grpc.len - cut);
    return (struct str){out, type.len - cut};
}

struct str grpc_web_response_type(struct stream *stream)
{
    const struct header *header = header_get(&stream->res.headers, HEADER_CONTENT_TYPE);
    struct str type = header ? header->value : STR_NONE;
    if (!str_equal_nocase(str_upto(type, grpc.len), grpc))
        return type; // of an error, perhaps
    struct str added = stream->grpc_web == GRPC_WEB_TEXT ? STR("-web-text") : STR("-web");
    char *out = stream_alloc(stream, type.len + added.len);
    memcpy(out, type.ptr, grpc.len);
    memcpy(out + grpc.len, added.ptr, added.len);
    memcpy(out + grpc.len + added.len, type.ptr + grpc.len, type.len - grpc.len);
    return (struct str){out, type.len + added.len};
}

// ---- bodies ----

bool grpc_web_add_request(struct stream *stream, struct str data)
{
    char plain[4096];
    if (stream->grpc_web != GRPC_WEB_TEXT) {
        queue_add(&stream->h2.req_queue, stream->worker, data);
        return true;
    }
    uint32_t owed = (uint32_t)data.len; // window by what came
    while (data.len > 0) {
        struct str part = str_upto(data, sizeof plain);
        size_t n = base64_decode(&stream->base64, part, plain);
        queue_add_changed(&stream->h2.req_queue, stream->worker, (struct str){plain, n}, owed);
        owed = 0;
        data = str_from(data, part.len);
    }
    return !stream->base64.has_failed;
}

// What waits in the queue came before it was known where it goes.
void grpc_web_begin(struct stream *stream)
{
    struct body_queue came = stream->h2.req_queue;
    stream->req.te_trailers = true;
    if (stream->grpc_web != GRPC_WEB_TEXT)
        return;
    stream->h2.req_queue = (struct body_queue){.has_end = came.has_end};
    while (came.bytes > 0) {
        struct str front = queue_front(&came);
        stream->is_bad_body |= !grpc_web_add_request(stream, front);
        queue_drop(&came, stream->worker, front.len);
    }
    queue_fini(&came, stream->worker);
    stream->is_bad_body =
        stream->base64.has_failed || (stream->h2.req_queue.has_end && !grpc_web_is_whole(stream));
}

bool grpc_web_is_whole(const struct stream *stream)
{
    return stream->grpc_web != GRPC_WEB_TEXT || base64_is_complete(&stream->base64);
}

static void add_encoded(struct stream *stream, struct str data)
{
    char text[4096];
    uint32_t owed = (uint32_t)data.len;
    while (data.len > 0) {
        struct str part = str_upto(data, sizeof text / 4 * 3);
        size_t n = base64_encode(part, text);
        queue_add_changed(&stream->h2.res_queue, stream->worker, (struct str){text, n}, owed);
        owed = 0;
        data = str_from(data, part.len);
    }
}

void grpc_web_add_response(struct stream *stream, struct str data)
{
    if (stream->grpc_web == GRPC_WEB_TEXT)
        add_encoded(stream, data);
    else
        queue_add(&stream->h2.res_queue, stream->worker, data);
}

void grpc_web_end_response(struct stream *stream)
{
    struct str lines = head_text_str(&stream->h2.res_trailers);
    char message[5 + TRAILER_BYTES_MAX];
    if (lines.len == 0 || lines.len > TRAILER_BYTES_MAX)
        return;
    message[0] = (char)0x80; // trailers, not compressed
    for (unsigned i = 0; i < 4; i++)
        message[1 + i] = (char)(lines.len >> (24 - 8 * i));
    memcpy(message + 5, lines.ptr, lines.len);
    struct str whole = {message, 5 + lines.len};
    if (stream->grpc_web == GRPC_WEB_TEXT)
        add_encoded(stream, whole);
    else
        queue_add(&stream->h2.res_queue, stream->worker, whole);
    stream->h2.res_queue.owed -= (uint32_t)whole.len; // no window was taken for it
    head_text_fini(&stream->h2.res_trailers, stream->worker);
}
