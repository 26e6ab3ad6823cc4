// SPDX-License-Identifier: Apache-2.0
// A response head, answering each kind of request: the same answer whole and cut in two.
#include "fuzz.h"
#include "http/h1.h"

static const struct h1_limits limits = {
    .head_bytes_max = 4096, .target_bytes_max = 512, .headers_max = 32};

struct outcome {
    enum h1_status status;
    enum h1_error error;
    size_t len, scanned;
    struct header items[32];
    struct h1_response res;
};

static void parse(struct outcome *out, enum http_method method, const char *data, size_t len)
{
    out->res.headers.items = out->items;
    out->res.headers.cap = 32;
    out->error = H1_ERROR_NONE;
    out->status = h1_parse_response(&out->res, method, &limits, data, len, &out->scanned, &out->len,
                                    &out->error);
}

static void check_accepted(const struct outcome *out, enum http_method method, size_t size)
{
    CHECK(out->len <= size);
    CHECK(out->res.status >= 100 && out->res.status <= 599);
    CHECK(header_value_is_valid(out->res.reason));
    CHECK(out->res.body == BODY_NONE || (method != METHOD_HEAD && out->res.status >= 200));
    CHECK(out->res.body != BODY_UNTIL_CLOSE || !out->res.keep_alive);
    CHECK(out->res.body != BODY_LENGTH || out->res.content_length > 0);
    CHECK(!header_get(&out->res.headers, HEADER_CONTENT_LENGTH) ||
          !header_get(&out->res.headers, HEADER_TRANSFER_ENCODING));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, other;
    enum http_method method = (enum http_method)(take_byte(&data, &size) % (METHOD_PATCH + 1));
    size_t cut = take_byte(&data, &size) * 4;
    if (cut > size)
        cut = size;
    char *copy = exact_copy(data, size), *piece = exact_copy(data, cut);
    whole.scanned = other.scanned = 0;
    parse(&whole, method, copy, size);
    parse(&other, method, piece, cut);
    if (other.status == H1_MORE)
        parse(&other, method, copy, size);
    if (other.status == H1_MORE) {
        CHECK(whole.status != H1_DONE);
    } else {
        CHECK(whole.status == other.status && whole.error == other.error);
    }
    if (whole.status == H1_DONE) {
        CHECK(whole.len == other.len && whole.res.body == other.res.body);
        CHECK(whole.res.headers.n == other.res.headers.n);
        CHECK(str_equal(whole.res.reason, other.res.reason));
        check_accepted(&whole, method, size);
    }
    free(copy);
    free(piece);
    return 0;
}
