// SPDX-License-Identifier: Apache-2.0
// Heads that come by HTTP/2 are written down as HTTP/1 and read by the parser of HTTP/1: one place
// decides what a valid message is, and what follows (matching, header operations, the log) sees no
// difference. Worker.
#include "proxy/stream.h"

// Of three sizes: many heads that are a little too large for one must not take the largest each.
static struct free_pool *pool_of(struct worker *worker, size_t bytes)
{
    return bytes <= HEAD_TEXT_BYTES      ? &worker->heads
           : bytes <= BUFFER_SMALL_BYTES ? &worker->small
                                         : &worker->large;
}

void head_text_fini(struct head_text *text, struct worker *worker)
{
    if (text->bytes)
        pool_give(pool_of(worker, text->cap), text->bytes);
    *text = (struct head_text){0};
}

static bool make_room(struct head_text *text, struct worker *worker, size_t more, uint32_t max)
{
    if (text->is_too_large || text->len + more > max || text->len + more > BUFFER_LARGE_BYTES) {
        text->is_too_large = true;
        return false;
    }
    if (text->len + more <= text->cap)
        return true;
    struct free_pool *pool = pool_of(worker, text->len + more);
    char *bytes = pool_take(pool);
    struct head_text grown = *text;
    grown.bytes = bytes;
    grown.cap = (uint32_t)pool->bytes;
    if (text->len > 0)
        memcpy(bytes, text->bytes, text->len);
    head_text_fini(text, worker);
    *text = grown;
    return true;
}

bool head_text_put(struct head_text *text, struct worker *worker, struct str bytes, uint32_t max)
{
    if (!make_room(text, worker, bytes.len, max))
        return false;
    if (bytes.len > 0)
        memcpy(text->bytes + text->len, bytes.ptr, bytes.len);
    text->len += (uint32_t)bytes.len;
    return true;
}

// Crumbs become one field (RFC 9113, 8.2.3), wherever they stand.
static bool add_crumb(struct head_text *text, struct worker *worker, struct str value, uint32_t max)
{
    uint32_t n = (uint32_t)value.len + 2;
    // Each moves what stands behind the field: a byte of HPACK must not buy that without end.
    if (++text->n_crumbs > COOKIE_CRUMBS_MAX)
        text->is_too_large = true;
    if (!make_room(text, worker, n, max))
        return false;
    char *at = text->bytes + text->cookie_end;
    memmove(at + n, at, text->len - text->cookie_end);
    memcpy(at, "; ", 2);
    memcpy(at + 2, value.ptr, value.len);
    text->cookie_end += n;
    text->len += n;
    return true;
}

bool head_text_add(struct head_text *text, struct worker *worker, struct str name, struct str value,
                   uint32_t max)
{
    bool is_cookie = str_is(name, "cookie");
    if (is_cookie && text->cookie_end > 0)
        return value.len == 0 || add_crumb(text, worker, value, max);
    if (!make_room(text, worker, name.len + value.len + 4, max))
        return false;
    char *at = mempcpy(text->bytes + text->len, name.ptr, name.len);
    at = mempcpy(at, ": ", 2);
    if (value.len > 0)
        at = mempcpy(at, value.ptr, value.len);
    if (is_cookie)
        text->cookie_end = (uint32_t)(at - text->bytes);
    at = mempcpy(at, "\r\n", 2);
    text->len = (uint32_t)(at - text->bytes);
    return true;
}

static bool is_framing(struct str name)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "host", "trailer", "connection", "te", "upgrade"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

bool head_text_add_trailer(struct head_text *text, struct worker *worker, struct str name,
                           struct str value)
{
    if (is_framing(name)) // says nothing behind a body (RFC 9110, 6.5.1)
        return true;
    return head_text_add(text, worker, name, value, TRAILER_BYTES_MAX);
}

struct str head_text_str(const struct head_text *text)
{
    return (struct str){text->bytes, text->len};
}
