// SPDX-License-Identifier: Apache-2.0
#include "http/h1_test.h"

static const struct h1_limits limits = {
    .head_bytes_max = 2000, .target_bytes_max = 200, .headers_max = 20};

struct outcome {
    enum h1_status status;
    enum h1_error error;
    size_t len;
    struct header items[HEADERS_MAX];
    struct h1_request req;
};

static void parse_some(struct outcome *out, const char *data, size_t len, size_t *scanned)
{
    out->req.headers.items = out->items;
    out->req.headers.cap = HEADERS_MAX;
    out->error = H1_ERROR_NONE;
    out->status = h1_parse_request(&out->req, &limits, data, len, scanned, &out->len, &out->error);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->status, b->status);
    if (a->status == H1_ERROR)
        assert_int_equal(a->error, b->error);
    if (a->status != H1_DONE)
        return;
    assert_int_equal(a->len, b->len);
    assert_true(str_equal(a->req.method, b->req.method));
    assert_true(str_equal(a->req.target, b->req.target));
    assert_true(str_equal(a->req.path, b->req.path));
    assert_true(str_equal(a->req.query, b->req.query));
    assert_true(str_equal(a->req.authority, b->req.authority));
    assert_int_equal(a->req.body, b->req.body);
    assert_int_equal(a->req.keep_alive, b->req.keep_alive);
    assert_int_equal(a->req.content_length, b->req.content_length);
    assert_int_equal(a->req.headers.n, b->req.headers.n);
    for (unsigned i = 0; i < a->req.headers.n; i++) {
        assert_true(str_equal(a->items[i].name, b->items[i].name));
        assert_true(str_equal(a->items[i].value, b->items[i].value));
        assert_int_equal(a->items[i].id, b->items[i].id);
        assert_int_equal(a->items[i].is_hop_by_hop, b->items[i].is_hop_by_hop);
    }
}

// Whole, cut at every place, and byte by byte: always the same answer. Every piece lies in memory
// of its exact size, so that AddressSanitizer sees a read past it. The slices in *out point into
// what free() gets.
static char *parse(struct outcome *out, struct str text)
{
    char *whole = exact_copy(text);
    size_t scanned = 0;
    parse_some(out, whole, text.len, &scanned);
    static struct outcome other;
    for (size_t cut = 1; cut < text.len; cut++) {
        char *piece = exact_copy(str_upto(text, cut));
        scanned = 0;
        parse_some(&other, piece, cut, &scanned);
        if (other.status == H1_MORE)
            parse_some(&other, whole, text.len, &scanned);
        assert_same(out, &other);
        free(piece);
    }
    scanned = 0;
    other.status = H1_MORE;
    for (size_t len = 1; len <= text.len && other.status == H1_MORE; len++) {
        char *piece = exact_copy(str_upto(text, len));
        parse_some(&other, piece, len, &scanned);
        // What is wrong with an unfinished line may show only with its end.
        if (other.status != H1_MORE || (len == text.len && text.ptr[len - 1] == '\n'))
            assert_same(out, &other);
        free(piece);
    }
    return whole;
}

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a.example\r\n"

static void test_a_request_is_taken_apart(void **state)
{
    struct outcome out;
    char *data =
        parse(&out, STR("POST /a/b?x=1&y HTTP/1.1\r\nHost: shop.example:8080\r\n"
                        "Content-Length:  12 \r\nX-Empty:\r\nX-Text: \ta b\tc\t \r\n\r\nbody"));
    assert_int_equal(out.status, H1_DONE);
    assert_int_equal(out.len, 103); // the body begins behind it
    assert_str(out.req.method, "POST");
    assert_int_equal(out.req.method_id, METHOD_POST);
    assert_str(out.req.target, "/a/b?x=1&y");
    assert_str(out.req.path, "/a/b");
    assert_true(out.req.has_query);
    assert_str(out.req.query, "x=1&y");
    assert_str(out.req.authority, "shop.example:8080");
    assert_str(out.req.scheme, "");
    assert_int_equal(out.req.minor, 1);
    assert_true(out.req.keep_alive);
    assert_int_equal(out.req.body, BODY_LENGTH);
    assert_int_equal(out.req.content_length, 12);
    assert_int_equal(out.req.headers.n, 4);
    assert_str(out.items[2].name, "X-Empty");
    assert_str(out.items[2].value, "");
    assert_str(out.items[3].value, "a b\tc");
    assert_ptr_equal(header_get(&out.req.headers, HEADER_CONTENT_LENGTH), &out.items[1]);
    assert_null(header_get(&out.req.headers, HEADER_TE));
    free(data);
}

// clang-format off
static const struct refusal {
    enum h1_error error;
    struct str text;
} refusals[] = {
    // request line
    {H1_ERROR_METHOD, S(" GET / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("G(T / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("GET\t/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("GET\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")},
    {H1_ERROR_METHOD, S("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("G\x00T / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_METHOD, S("G\xc3\x89T / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET  / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET /  HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / HTTP/1.1 \r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / x HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / http/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / HTTP/1.1x\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / HTTP/11.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / HTTP/1,1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / HTTP/1.\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / XTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / \r\n\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET / X\r\n\r\n")},
    {H1_ERROR_REQUEST_LINE, S("GET \r\n" HOST "\r\n")},
    {H1_ERROR_REQUEST_LINE, S("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GET HOST "\r\n")},
    {H1_ERROR_VERSION, S("GET / HTTP/1.2\r\n" HOST "\r\n")},
    {H1_ERROR_VERSION, S("GET / HTTP/2.0\r\n" HOST "\r\n")},
    {H1_ERROR_VERSION, S("GET / HTTP/0.9\r\n" HOST "\r\n")},
    {H1_ERROR_VERSION, S("GET / HTTP/3\r\n" HOST "\r\n")},
    {H1_ERROR_VERSION, S("GET /\r\n" HOST "\r\n")},
    {H1_ERROR_VERSION, S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
    // target
    {H1_ERROR_TARGET, S("GET /a#b HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET /\x00 HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET /\x7f HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET /a\tb HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET \t/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET a HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET ?a HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET * HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET a.example:80 HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("OPTIONS *x HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http:/a.example/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http:///x HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http:// HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http://u:p@a.example/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http://a.example:99999/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("GET http://a\\b/ HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT / HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT * HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT a.example HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT a.example: HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT http://a.example:1 HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT u@a.example:1 HTTP/1.1\r\n" HOST "\r\n")},
    {H1_ERROR_TARGET, S("CONNECT [::1] HTTP/1.1\r\n" HOST "\r\n")},
    // line ends
    {H1_ERROR_LINE_END, S("\n" GET HOST "\r\n")},
    {H1_ERROR_LINE_END, S("\r" GET HOST "\r\n")},
    {H1_ERROR_LINE_END, S("GET\n\r\n")},
    {H1_ERROR_LINE_END, S("GET /\n" HOST "\r\n")},
    {H1_ERROR_LINE_END, S("GET /\r" HOST "\r\n")},
    {H1_ERROR_LINE_END, S("GET / HTTP/1.1\n" HOST "\r\n")},
    {H1_ERROR_LINE_END, S("GET / HTTP/1.1\n\n")},
    {H1_ERROR_LINE_END, S("GET / HTTP/1.1\r" HOST "\r\n")},
    {H1_ERROR_LINE_END, S("GET / HTTP/1.1\r\r\n" HOST "\r\n")},
    {H1_ERROR_LINE_END, S(GET "Host: a\nX: b\r\n\r\n")},
    {H1_ERROR_LINE_END, S(GET "Host: a\rX: b\r\n\r\n")},
    {H1_ERROR_LINE_END, S(GET "Host: a\r\r\n\r\n")},
    {H1_ERROR_LINE_END, S(GET HOST "\n")},
    {H1_ERROR_LINE_END, S(GET HOST "\rX: y\r\n\r\n")},
    {H1_ERROR_LINE_END, S(GET HOST "X: a\n\r\n")},
    {H1_ERROR_LINE_END, S(GET HOST "X\n\r\n")},
    // names and values
    {H1_ERROR_OBS_FOLD, S(GET HOST "X: a\r\n b\r\n\r\n")},
    {H1_ERROR_OBS_FOLD, S(GET HOST "X: a\r\n\tb\r\n\r\n")},
    {H1_ERROR_OBS_FOLD, S(GET " " HOST "\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X : a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X\t: a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET "Host : a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "Content-Length : 5\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST ": a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "no colon\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "nocolon\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X\x00Y: a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X\x80: a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X(Y): a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "\"X\": a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "[X]: a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "X-Rather-Long-Name-With@Sign: a\r\n\r\n")},
    {H1_ERROR_HEADER_NAME, S(GET HOST "\x0bTransfer-Encoding: chunked\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "X: a\x00" "b\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "X: a\x01" "b\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "X: a\x0b" "b\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "X: a\x7f" "b\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "X: 0123456789012345678901234567890\x1f" "b\r\n\r\n")},
    {H1_ERROR_HEADER_VALUE, S(GET HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n")},
    // Host
    {H1_ERROR_HOST_MISSING, S(GET "\r\n")},
    {H1_ERROR_HOST_MISSING, S(GET "X: a\r\n\r\n")},
    {H1_ERROR_HOST_MISSING, S("GET http://a.example/ HTTP/1.1\r\n\r\n")},
    {H1_ERROR_HOST_REPEATED, S(GET HOST HOST "\r\n")},
    {H1_ERROR_HOST_REPEATED, S(GET HOST "hOST: b.example\r\n\r\n")},
    {H1_ERROR_HOST_REPEATED, S("GET / HTTP/1.0\r\n" HOST HOST "\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host:\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host:  \r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a b\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example, b.example\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: u@a.example\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example/x\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example?x\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example:80:80\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example:8x\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: a.example:70000\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: :80\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: [::1\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: [a.example]\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S(GET "Host: \xc3\xa4.example\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S("GET http://a.example/ HTTP/1.1\r\nHost: @\r\n\r\n")},
    {H1_ERROR_HOST_INVALID, S("GET / HTTP/1.0\r\nHost: @\r\n\r\n")},
    // framing
    {H1_ERROR_LENGTH_AND_CHUNKED, S(GET HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {H1_ERROR_LENGTH_AND_CHUNKED, S(GET HOST "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n\r\n")},
    {H1_ERROR_LENGTH_AND_CHUNKED, S(GET HOST "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5, 5\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5,6\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: +5\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: -5\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 0x5\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5 6\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 1e3\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 5.0\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length:\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: \"5\"\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 18446744073709551616\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: 9999999999999999999\r\n\r\n")},
    {H1_ERROR_CONTENT_LENGTH, S(GET HOST "Content-Length: \xd9\xa5\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING, S(GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING, S(GET HOST "Transfer-Encoding: identity, chunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked, gzip\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked, chunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked, identity\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked,\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked;q=1\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: xchunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunkedx\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: \"chunked\"\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: identity\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: gzip\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding:\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: x\r\nTransfer-encoding: chunked\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n")},
    {H1_ERROR_TRANSFER_ENCODING_1_0, S("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")},
    // Connection
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: host\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: close, Content-Length\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: transfer-encoding\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: X-Forwarded-For\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: x-envoy-internal\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: close\r\nConnection: cookie\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: a b\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: \"close\"\r\n\r\n")},
    {H1_ERROR_CONNECTION_HEADER, S(GET HOST "Connection: :path\r\n\r\n")},
};
// clang-format on

static void test_what_could_be_read_in_two_ways_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct outcome out;
        char *data = parse(&out, refusals[i].text);
        if (out.status != H1_ERROR || out.error != refusals[i].error)
            fail_msg("row %zu: %.60s: status %d, \"%s\" instead of \"%s\"", i, refusals[i].text.ptr,
                     (int)out.status, h1_error_sentence(out.error),
                     h1_error_sentence(refusals[i].error));
        free(data);
    }
}

// clang-format off
static const struct acceptance {
    struct str text;
    const char *target, *path, *query, *authority, *scheme;
    enum body_kind body;
    bool keep_alive;
} acceptances[] = {
    {S(GET HOST "\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S("\r\n" GET HOST "\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S("\r\n\r\n" GET HOST "\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S("get / HTTP/1.1\r\n" HOST "\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\n" HOST "\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S("GET //x HTTP/1.1\r\n" HOST "\r\n"), "//x", "//x", "", "a.example", "", BODY_NONE, true},
    {S("GET /? HTTP/1.1\r\n" HOST "\r\n"), "/?", "/", "", "a.example", "", BODY_NONE, true},
    {S("GET /a?b?c HTTP/1.1\r\n" HOST "\r\n"), "/a?b?c", "/a", "b?c", "a.example", "", BODY_NONE, true},
    {S("GET /%zz|\"<>{}\\^` HTTP/1.1\r\n" HOST "\r\n"), "/%zz|\"<>{}\\^`", "/%zz|\"<>{}\\^`", "", "a.example", "", BODY_NONE, true},
    {S("GET /http://b/ HTTP/1.1\r\n" HOST "\r\n"), "/http://b/", "/http://b/", "", "a.example", "", BODY_NONE, true},
    {S("GET http://B.example:81/p?q HTTP/1.1\r\n" HOST "\r\n"), "/p?q", "/p", "q", "B.example:81", "http", BODY_NONE, true},
    {S("GET HTTPS://b.example HTTP/1.1\r\n" HOST "\r\n"), "/", "/", "", "b.example", "HTTPS", BODY_NONE, true},
    {S("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "*", "*", "", "a.example", "", BODY_NONE, true},
    {S("OPTIONS http://b.example HTTP/1.1\r\n" HOST "\r\n"), "*", "*", "", "b.example", "http", BODY_NONE, true},
    {S("OPTIONS http://b.example/ HTTP/1.1\r\n" HOST "\r\n"), "/", "/", "", "b.example", "http", BODY_NONE, true},
    {S("CONNECT b.example:443 HTTP/1.1\r\n" HOST "\r\n"), "b.example:443", "", "", "b.example:443", "", BODY_NONE, true},
    {S("CONNECT [::1]:443 HTTP/1.1\r\n" HOST "\r\n"), "[::1]:443", "", "", "[::1]:443", "", BODY_NONE, true},
    {S(GET "Host: [2001:db8::1]:80\r\n\r\n"), "/", "/", "", "[2001:db8::1]:80", "", BODY_NONE, true},
    {S(GET "Host: 10.0.0.1\r\n\r\n"), "/", "/", "", "10.0.0.1", "", BODY_NONE, true},
    {S(GET "Host: UPPER_case-1.example.:\r\n\r\n"), "/", "/", "", "UPPER_case-1.example.:", "", BODY_NONE, true},
    {S("GET / HTTP/1.0\r\n\r\n"), "/", "/", "", "", "", BODY_NONE, false},
    {S("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "/", "/", "", "", "", BODY_NONE, true},
    {S("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), "/", "/", "", "", "", BODY_NONE, false},
    {S(GET HOST "Connection: CLOSE\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, false},
    {S(GET HOST "Connection: keep-alive\r\nConnection: x , close\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, false},
    {S(GET HOST "Connection: ,, close ,\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, false},
    {S(GET HOST "Connection:\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S(GET HOST "Transfer-Encoding: Chunked\r\n\r\n"), "/", "/", "", "a.example", "", BODY_CHUNKED, true},
    {S(GET HOST "Content-Length: 0\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
    {S(GET HOST "Content-Length: 007\r\n\r\n"), "/", "/", "", "a.example", "", BODY_LENGTH, true},
    {S(GET HOST "Content-Length: 999999999999999999\r\n\r\n"), "/", "/", "", "a.example", "", BODY_LENGTH, true},
    {S("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n"), "/", "/", "", "", "", BODY_LENGTH, false},
    {S(GET HOST "a!#$%&'*+-.^_`|~9: \x80\xff\r\n\r\n"), "/", "/", "", "a.example", "", BODY_NONE, true},
};
// clang-format on

static void test_what_the_standard_allows_is_accepted(void **state)
{
    for (size_t i = 0; i < sizeof(acceptances) / sizeof(acceptances[0]); i++) {
        const struct acceptance *row = &acceptances[i];
        struct outcome out;
        char *data = parse(&out, row->text);
        if (out.status != H1_DONE)
            fail_msg("row %zu: %.60s: \"%s\"", i, row->text.ptr, h1_error_sentence(out.error));
        assert_int_equal(out.len, row->text.len);
        assert_str(out.req.target, row->target);
        assert_str(out.req.path, row->path);
        assert_str(out.req.query, row->query);
        assert_str(out.req.authority, row->authority);
        assert_str(out.req.scheme, row->scheme);
        assert_int_equal(out.req.body, row->body);
        assert_int_equal(out.req.keep_alive, row->keep_alive);
        free(data);
    }
}

static void test_every_prefix_of_a_good_head_asks_for_more(void **state)
{
    for (size_t i = 0; i < sizeof(acceptances) / sizeof(acceptances[0]); i++)
        for (size_t len = 0; len < acceptances[i].text.len; len++) {
            struct outcome out;
            size_t scanned = 0;
            char *data = exact_copy(str_upto(acceptances[i].text, len));
            parse_some(&out, data, len, &scanned);
            assert_int_equal(out.status, H1_MORE);
            free(data);
        }
}

static void test_methods_are_told_apart_by_case(void **state)
{
    static const struct {
        const char *name;
        enum http_method id;
    } rows[] = {{"GET", METHOD_GET},         {"HEAD", METHOD_HEAD},      {"POST", METHOD_POST},
                {"PUT", METHOD_PUT},         {"DELETE", METHOD_DELETE},  {"TRACE", METHOD_TRACE},
                {"OPTIONS", METHOD_OPTIONS}, {"PATCH", METHOD_PATCH},    {"Get", METHOD_OTHER},
                {"GETS", METHOD_OTHER},      {"PROPFIND", METHOD_OTHER}, {"P", METHOD_OTHER}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[100];
        int len = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", rows[i].name);
        struct outcome out;
        char *data = parse(&out, (struct str){text, (size_t)len});
        assert_int_equal(out.status, H1_DONE);
        assert_str(out.req.method, rows[i].name);
        assert_int_equal(out.req.method_id, rows[i].id);
        free(data);
    }
}

static void test_hop_by_hop_fields_and_those_named_by_connection_are_marked(void **state)
{
    struct outcome out;
    char *data =
        parse(&out, STR(GET HOST "Keep-Alive: 5\r\nX-One: 1\r\nTE: trailers\r\nx-two: 2\r\n"
                                 "Connection: X-Two, x-one, te\r\nX-TWO: 3\r\nX-Three: 3\r\n"
                                 "Proxy-Connection: x\r\nUpgrade: h2c\r\nTrailer: a\r\n"
                                 "HTTP2-Settings: AA\r\n\r\n"));
    static const bool expected[] = {false, true,  true, true, true,  true,
                                    true,  false, true, true, false, true};
    assert_int_equal(out.status, H1_DONE);
    assert_int_equal(out.req.headers.n, 12);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(out.items[i].is_hop_by_hop, expected[i]);
    assert_true(out.req.te_trailers);
    assert_false(out.req.is_upgrade);
    free(data);
}

static void test_too_many_connection_options_are_refused(void **state)
{
    char text[1000] = GET HOST "Connection: a";
    for (unsigned i = 0; i < 63; i++)
        strcat(text, ",a");
    size_t len = strlen(text);
    strcat(text, "\r\n\r\n");
    struct outcome out;
    free(parse(&out, str_of(text)));
    assert_int_equal(out.status, H1_DONE);
    strcpy(text + len, ",a\r\n\r\n");
    free(parse(&out, str_of(text)));
    assert_int_equal(out.error, H1_ERROR_CONNECTION_HEADER);
}

static void test_upgrade_expect_and_te_are_seen(void **state)
{
    struct outcome out;
    free(parse(&out, STR(GET HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                                  "Expect: 100-Continue\r\nTE: gzip;q=0.5 , TRAILERS\r\n\r\n")));
    assert_true(out.req.is_upgrade);
    assert_true(out.req.expects_continue);
    assert_true(out.req.te_trailers);
    free(parse(&out, STR(GET HOST "Upgrade: websocket\r\nExpect: x\r\nTE: gzip\r\n\r\n")));
    assert_false(out.req.is_upgrade);
    assert_false(out.req.expects_continue);
    assert_false(out.req.te_trailers);
    free(parse(&out, STR("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                         "Expect: 100-continue\r\n\r\n")));
    assert_int_equal(out.status, H1_DONE);
    assert_false(out.req.is_upgrade);
    assert_false(out.req.expects_continue);
}

// One head with a part of `n` bytes 'x'.
static enum h1_error try_size(const char *before, size_t n, const char *after)
{
    char *text = malloc(strlen(before) + n + strlen(after) + 1), *p = stpcpy(text, before);
    memset(p, 'x', n);
    strcpy(p + n, after);
    struct outcome out;
    free(parse(&out, str_of(text)));
    free(text);
    return out.status == H1_MORE ? H1_ERROR_COUNT : out.error;
}

static void test_limits_hold_to_the_byte(void **state)
{
    const char *end = " HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(try_size("GET /", 199, end), H1_ERROR_NONE);
    assert_int_equal(try_size("GET /", 200, end), H1_ERROR_TARGET_TOO_LONG);
    assert_int_equal(try_size("GET /", 200, "\x01"), H1_ERROR_TARGET_TOO_LONG);
    assert_int_equal(try_size("GET /", 400, ""), H1_ERROR_TARGET_TOO_LONG);

    const char *before = GET HOST "X: ";
    size_t room = 2000 - strlen(before) - 4;
    assert_int_equal(try_size(before, room, "\r\n\r\n"), H1_ERROR_NONE);
    assert_int_equal(try_size(before, room + 1, "\r\n\r\n"), H1_ERROR_HEADERS_TOO_LARGE);
    assert_int_equal(try_size(before, room + 4, ""), H1_ERROR_HEADERS_TOO_LARGE);
    assert_int_equal(try_size(before, room + 3, ""), H1_ERROR_COUNT);
    assert_int_equal(try_size(before, room + 9, "\x01\r\n\r\n"), H1_ERROR_HEADERS_TOO_LARGE);
}

static void test_more_fields_than_allowed_are_refused(void **state)
{
    char text[1000] = GET HOST;
    for (unsigned i = 0; i < 19; i++)
        strcat(text, "X: y\r\n");
    size_t len = strlen(text);
    strcat(text, "\r\n");
    struct outcome out;
    free(parse(&out, str_of(text)));
    assert_int_equal(out.status, H1_DONE);
    assert_int_equal(out.req.headers.n, 20);
    strcpy(text + len, "X: y\r\n\r\n");
    free(parse(&out, str_of(text)));
    assert_int_equal(out.status, H1_ERROR);
    assert_int_equal(out.error, H1_ERROR_TOO_MANY_HEADERS);
}

static void test_the_caller_s_room_for_fields_is_never_exceeded(void **state)
{
    struct header items[2];
    struct h1_request req = {.headers = {.items = items, .cap = 2}};
    size_t scanned = 0, len;
    enum h1_error error = H1_ERROR_NONE;
    struct str text = STR(GET HOST "A: 1\r\nB: 2\r\n\r\n");
    assert_int_equal(h1_parse_request(&req, &limits, text.ptr, text.len, &scanned, &len, &error),
                     H1_ERROR);
    assert_int_equal(error, H1_ERROR_TOO_MANY_HEADERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_taken_apart),
        cmocka_unit_test(test_what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(test_what_the_standard_allows_is_accepted),
        cmocka_unit_test(test_every_prefix_of_a_good_head_asks_for_more),
        cmocka_unit_test(test_methods_are_told_apart_by_case),
        cmocka_unit_test(test_hop_by_hop_fields_and_those_named_by_connection_are_marked),
        cmocka_unit_test(test_too_many_connection_options_are_refused),
        cmocka_unit_test(test_upgrade_expect_and_te_are_seen),
        cmocka_unit_test(test_limits_hold_to_the_byte),
        cmocka_unit_test(test_more_fields_than_allowed_are_refused),
        cmocka_unit_test(test_the_caller_s_room_for_fields_is_never_exceeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
