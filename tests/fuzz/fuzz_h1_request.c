// SPDX-License-Identifier: Apache-2.0
// A request head: the same answer whole and cut in two; what was accepted, written out again from
// its parts, is accepted with the same parts.
#include "fuzz.h"
#include "http/h1.h"
#include "http/uri.h"
#include <stdio.h>

static const struct h1_limits limits = {
    .head_bytes_max = 4096, .target_bytes_max = 512, .headers_max = 32};

struct outcome {
    enum h1_status status;
    enum h1_error error;
    size_t len, scanned;
    struct header items[32];
    struct h1_request req;
};

static void parse(struct outcome *out, const char *data, size_t len)
{
    out->req.headers.items = out->items;
    out->req.headers.cap = 32;
    out->error = H1_ERROR_NONE;
    out->status =
        h1_parse_request(&out->req, &limits, data, len, &out->scanned, &out->len, &out->error);
}

static void check_same_fields(const struct header_list *a, const struct header_list *b)
{
    CHECK(a->n == b->n);
    CHECK(memcmp(a->first, b->first, sizeof(a->first)) == 0);
    for (unsigned i = 0; i < a->n; i++) {
        CHECK(str_equal(a->items[i].name, b->items[i].name));
        CHECK(str_equal(a->items[i].value, b->items[i].value));
        CHECK(a->items[i].is_hop_by_hop == b->items[i].is_hop_by_hop);
    }
}

// Of "http://host?query" the target is "?query", which is written "/?query".
static struct str origin_form(const struct h1_request *req)
{
    bool is_rooted = req->path.len > 0 && req->target.len > 1 && req->target.ptr[0] == '/';
    return is_rooted && req->target.ptr[1] == '?' ? str_from(req->target, 1) : req->target;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->status == b->status && a->error == b->error);
    if (a->status != H1_DONE)
        return;
    CHECK(str_equal(a->req.method, b->req.method));
    CHECK(str_equal(origin_form(&a->req), origin_form(&b->req)));
    CHECK(str_equal(a->req.path, b->req.path) && str_equal(a->req.query, b->req.query));
    CHECK(a->req.minor == b->req.minor && a->req.keep_alive == b->req.keep_alive);
    CHECK(a->req.body == b->req.body && a->req.content_length == b->req.content_length);
    check_same_fields(&a->req.headers, &b->req.headers);
}

static void check_accepted(const struct outcome *out, size_t size)
{
    CHECK(out->len <= size && out->len <= limits.head_bytes_max);
    CHECK(out->req.target.len <= limits.target_bytes_max);
    CHECK(out->req.minor == 0 || out->req.authority.len > 0);
    CHECK(out->req.authority.len == 0 || uri_authority_is_valid(out->req.authority));
    CHECK(out->req.body != BODY_UNTIL_CLOSE);
    for (unsigned i = 0; i < out->req.headers.n; i++) {
        const struct header *header = &out->items[i];
        CHECK(header_name_is_valid(header->name) && header_value_is_valid(header->value));
        CHECK(header->id == header_id_of(header->name));
    }
}

static void check_written_again(const struct outcome *out)
{
    static char text[8192];
    static struct outcome again;
    int n = snprintf(text, sizeof(text), "%.*s %s%.*s HTTP/1.%u\r\n", STR_ARG(out->req.method),
                     out->req.target.len > 0 && out->req.target.ptr[0] == '?' ? "/" : "",
                     STR_ARG(out->req.target), out->req.minor);
    for (unsigned i = 0; i < out->req.headers.n; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%.*s:%.*s\r\n",
                      STR_ARG(out->items[i].name), STR_ARG(out->items[i].value));
    n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    again.scanned = 0;
    parse(&again, text, (size_t)n);
    check_same(out, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, other;
    size_t cut = take_byte(&data, &size) * 8;
    char *copy = exact_copy(data, size), *piece = exact_copy(data, cut < size ? cut : size);
    whole.scanned = other.scanned = 0;
    parse(&whole, copy, size);
    parse(&other, piece, cut < size ? cut : size);
    if (other.status == H1_MORE)
        parse(&other, copy, size);
    if (other.status != H1_MORE) // what is wrong with an unfinished line may show only with its end
        check_same(&whole, &other);
    else
        CHECK(whole.status != H1_DONE);
    if (whole.status == H1_DONE) {
        check_accepted(&whole, size);
        check_written_again(&whole);
    }
    free(copy);
    free(piece);
    return 0;
}
