// SPDX-License-Identifier: Apache-2.0
#include "http/h1_test.h"

static const struct h1_limits limits = {
    .head_bytes_max = 1000, .target_bytes_max = 100, .headers_max = 20};

struct outcome {
    enum h1_status status;
    enum h1_error error;
    size_t len;
    struct header items[HEADERS_MAX];
    struct h1_response res;
};

static void parse_some(struct outcome *out, enum http_method method, const char *data, size_t len,
                       size_t *scanned)
{
    out->res.headers.items = out->items;
    out->res.headers.cap = HEADERS_MAX;
    out->error = H1_ERROR_NONE;
    out->status =
        h1_parse_response(&out->res, method, &limits, data, len, scanned, &out->len, &out->error);
}

// As in h1_request_test.c: whole and cut anywhere the answer is the same.
static char *parse(struct outcome *out, enum http_method method, struct str text)
{
    char *whole = exact_copy(text);
    size_t scanned = 0;
    parse_some(out, method, whole, text.len, &scanned);
    static struct outcome other;
    for (size_t cut = 1; cut < text.len; cut++) {
        char *piece = exact_copy(str_upto(text, cut));
        scanned = 0;
        parse_some(&other, method, piece, cut, &scanned);
        if (other.status == H1_MORE)
            parse_some(&other, method, whole, text.len, &scanned);
        assert_int_equal(out->status, other.status);
        assert_int_equal(out->error, other.error);
        if (out->status == H1_DONE) {
            assert_int_equal(out->len, other.len);
            assert_int_equal(out->res.status, other.res.status);
            assert_true(str_equal(out->res.reason, other.res.reason));
            assert_int_equal(out->res.body, other.res.body);
            assert_int_equal(out->res.headers.n, other.res.headers.n);
        }
        free(piece);
    }
    return whole;
}

static void test_a_response_is_taken_apart(void **state)
{
    struct outcome out;
    char *data =
        parse(&out, METHOD_GET,
              STR("HTTP/1.1 404 Not \xc3\x84 Found\r\nServer: x\r\nContent-Length: 7\r\n\r\nabc"));
    assert_int_equal(out.status, H1_DONE);
    assert_int_equal(out.len, 59); // the body begins behind it
    assert_int_equal(out.res.status, 404);
    assert_int_equal(out.res.minor, 1);
    assert_str(out.res.reason, "Not \xc3\x84 Found");
    assert_true(out.res.keep_alive);
    assert_true(out.res.has_content_length);
    assert_int_equal(out.res.content_length, 7);
    assert_int_equal(out.res.body, BODY_LENGTH);
    assert_false(out.res.is_upgrade);
    assert_str(header_get(&out.res.headers, HEADER_SERVER)->value, "x");
    free(data);
}

static void test_the_reason_may_be_empty_or_missing(void **state)
{
    static const struct {
        struct str text;
        const char *reason;
    } rows[] = {{S("HTTP/1.1 200 OK\r\n\r\n"), "OK"},
                {S("HTTP/1.1 200 \r\n\r\n"), ""},
                {S("HTTP/1.1 200\r\n\r\n"), ""},
                {S("HTTP/1.0 200  two\tblanks \r\n\r\n"), " two\tblanks "}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome out;
        char *data = parse(&out, METHOD_GET, rows[i].text);
        assert_int_equal(out.status, H1_DONE);
        assert_str(out.res.reason, rows[i].reason);
        free(data);
    }
}

#define OK_LINE "HTTP/1.1 200 OK\r\n"

static void test_malformed_responses_are_refused(void **state)
{
    static const struct {
        enum h1_error error;
        struct str text;
    } rows[] = {
        {H1_ERROR_STATUS_LINE, S("HTTP/2.0 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.2 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/0.9 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("http/1.1 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S(" HTTP/1.1 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("\r\nHTTP/1.1 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("ICY 200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("<html>")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1  200 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 20 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 2000 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 +20 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 099 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 600 OK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 200\tOK\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 200 O\x01K\r\n\r\n")},
        {H1_ERROR_STATUS_LINE, S("HTTP/1.1 200 O\0K\r\n\r\n")},
        {H1_ERROR_LINE_END, S("HTTP/1.1 200 OK\n\n")},
        {H1_ERROR_LINE_END, S("HTTP/1.1 200 O\rK\r\n\r\n")},
        {H1_ERROR_LINE_END, S(OK_LINE "A: b\n\r\n")},
        {H1_ERROR_OBS_FOLD, S(OK_LINE "A: b\r\n c\r\n\r\n")},
        {H1_ERROR_HEADER_NAME, S(OK_LINE "A : b\r\n\r\n")},
        {H1_ERROR_HEADER_VALUE, S(OK_LINE "A: \x1b[m\r\n\r\n")},
        {H1_ERROR_LENGTH_AND_CHUNKED,
         S(OK_LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {H1_ERROR_CONTENT_LENGTH, S(OK_LINE "Content-Length: 1\r\nContent-Length: 1\r\n\r\n")},
        {H1_ERROR_CONTENT_LENGTH, S(OK_LINE "Content-Length: 1, 1\r\n\r\n")},
        {H1_ERROR_TRANSFER_ENCODING, S(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n")},
        {H1_ERROR_TRANSFER_ENCODING_REPEATED, S(OK_LINE "Transfer-Encoding: gzip\r\n\r\n")},
        {H1_ERROR_TRANSFER_ENCODING_1_0,
         S("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {H1_ERROR_CONNECTION_HEADER, S(OK_LINE "Connection: content-length\r\n\r\n")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome out;
        free(parse(&out, METHOD_GET, rows[i].text));
        if (out.status != H1_ERROR || out.error != rows[i].error)
            fail_msg("row %zu: %.60s: status %d, \"%s\"", i, rows[i].text.ptr, (int)out.status,
                     h1_error_sentence(out.error));
    }
}

static void test_the_body_follows_from_status_method_and_fields(void **state)
{
    static const struct {
        enum http_method method;
        struct str text;
        enum body_kind body;
        bool keep_alive;
    } rows[] = {
        {METHOD_GET, S(OK_LINE "Content-Length: 5\r\n\r\n"), BODY_LENGTH, true},
        {METHOD_GET, S(OK_LINE "Content-Length: 0\r\n\r\n"), BODY_NONE, true},
        {METHOD_GET, S(OK_LINE "Transfer-Encoding: CHUNKED\r\n\r\n"), BODY_CHUNKED, true},
        {METHOD_GET, S(OK_LINE "\r\n"), BODY_UNTIL_CLOSE, false},
        {METHOD_GET, S(OK_LINE "Connection: keep-alive\r\n\r\n"), BODY_UNTIL_CLOSE, false},
        {METHOD_GET, S("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), BODY_LENGTH, false},
        {METHOD_GET, S("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"),
         BODY_LENGTH, true},
        {METHOD_GET, S(OK_LINE "Content-Length: 5\r\nConnection: close\r\n\r\n"), BODY_LENGTH,
         false},
        {METHOD_HEAD, S(OK_LINE "Content-Length: 5\r\n\r\n"), BODY_NONE, true},
        {METHOD_HEAD, S(OK_LINE "Transfer-Encoding: chunked\r\n\r\n"), BODY_NONE, true},
        {METHOD_HEAD, S(OK_LINE "\r\n"), BODY_NONE, true},
        {METHOD_GET, S("HTTP/1.1 204 No Content\r\n\r\n"), BODY_NONE, true},
        {METHOD_GET, S("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), BODY_NONE, true},
        {METHOD_GET, S("HTTP/1.1 100 Continue\r\n\r\n"), BODY_NONE, true},
        {METHOD_GET, S("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), BODY_NONE, true},
        {METHOD_CONNECT, S(OK_LINE "Content-Length: 5\r\n\r\n"), BODY_NONE, true},
        {METHOD_CONNECT, S("HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\n"), BODY_LENGTH, true},
        {METHOD_POST, S("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"), BODY_NONE, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome out;
        free(parse(&out, rows[i].method, rows[i].text));
        assert_int_equal(out.status, H1_DONE);
        if (out.res.body != rows[i].body || out.res.keep_alive != rows[i].keep_alive)
            fail_msg("row %zu: %.60s", i, rows[i].text.ptr);
    }
}

static void test_a_length_stays_known_where_there_is_no_body(void **state)
{
    struct outcome out;
    free(parse(&out, METHOD_HEAD, STR(OK_LINE "Content-Length: 500\r\n\r\n")));
    assert_true(out.res.has_content_length);
    assert_int_equal(out.res.content_length, 500);
    assert_false(out.items[0].is_hop_by_hop);
}

static void test_a_length_of_204_is_not_passed_on(void **state)
{
    struct outcome out;
    free(parse(&out, METHOD_GET, STR("HTTP/1.1 204 No\r\nA: b\r\nContent-Length: 5\r\n\r\n")));
    assert_int_equal(out.res.body, BODY_NONE);
    assert_false(out.items[0].is_hop_by_hop);
    assert_true(out.items[1].is_hop_by_hop);
}

static void test_switching_protocols_is_an_upgrade(void **state)
{
    struct outcome out;
    free(parse(&out, METHOD_GET,
               STR("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                   "Upgrade: websocket\r\n\r\n")));
    assert_int_equal(out.status, H1_DONE);
    assert_true(out.res.is_upgrade);
    assert_int_equal(out.res.body, BODY_NONE);
}

static void test_naming_transfer_encoding_in_connection_is_harmless_here(void **state)
{
    struct outcome out;
    free(parse(&out, METHOD_GET,
               STR(OK_LINE "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n")));
    assert_int_equal(out.status, H1_DONE);
    assert_int_equal(out.res.body, BODY_CHUNKED);
}

static void test_a_head_over_the_limit_is_refused(void **state)
{
    char text[1200] = OK_LINE "A: ";
    memset(text + strlen(text), 'x', 1000);
    struct outcome out;
    free(parse(&out, METHOD_GET, str_of(text)));
    assert_int_equal(out.status, H1_ERROR);
    assert_int_equal(out.error, H1_ERROR_HEADERS_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_response_is_taken_apart),
        cmocka_unit_test(test_the_reason_may_be_empty_or_missing),
        cmocka_unit_test(test_malformed_responses_are_refused),
        cmocka_unit_test(test_the_body_follows_from_status_method_and_fields),
        cmocka_unit_test(test_a_length_stays_known_where_there_is_no_body),
        cmocka_unit_test(test_a_length_of_204_is_not_passed_on),
        cmocka_unit_test(test_switching_protocols_is_an_upgrade),
        cmocka_unit_test(test_naming_transfer_encoding_in_connection_is_harmless_here),
        cmocka_unit_test(test_a_head_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
