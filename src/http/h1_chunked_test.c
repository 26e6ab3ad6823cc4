// SPDX-License-Identifier: Apache-2.0
#include "http/h1_test.h"

// What came out of a body: its bytes, its trailers as "name=value;", and how it ended.
struct outcome {
    enum h1_chunk_event end; // MORE, END or ERROR
    enum h1_error error;
    size_t used;
    char data[20000], trailers[20000];
    size_t data_len, trailers_len;
};

static void note_trailer(struct outcome *out, struct str name, struct str value)
{
    int n = snprintf(out->trailers + out->trailers_len, sizeof(out->trailers) - out->trailers_len,
                     "%.*s=%.*s;", STR_ARG(name), STR_ARG(value));
    out->trailers_len += (size_t)n;
}

// Feeds one piece; false when the body has ended.
static bool feed(struct h1_chunked *chunked, struct outcome *out, struct str piece)
{
    char *data = exact_copy(piece);
    size_t at = 0;
    do {
        struct str bytes = STR_NONE, name = STR_NONE;
        size_t used;
        out->end = h1_chunked_next(chunked, data + at, piece.len - at, &used, &bytes, &name);
        assert_true(used <= piece.len - at);
        at += used;
        if (out->end == H1_CHUNK_DATA) {
            assert_true(bytes.len > 0);
            memcpy(out->data + out->data_len, bytes.ptr, bytes.len);
            out->data_len += bytes.len;
        } else if (out->end == H1_CHUNK_TRAILER) {
            note_trailer(out, name, bytes);
        } else if (out->end == H1_CHUNK_MORE) {
            assert_int_equal(at, piece.len);
        }
    } while (out->end == H1_CHUNK_DATA || out->end == H1_CHUNK_TRAILER);
    out->used += at;
    out->error = chunked->error;
    free(data);
    return out->end == H1_CHUNK_MORE;
}

static void decode_in_pieces(struct outcome *out, struct str text, size_t first, size_t step)
{
    struct h1_chunked chunked;
    h1_chunked_init(&chunked);
    out->data_len = out->trailers_len = out->used = 0;
    out->data[0] = out->trailers[0] = '\0';
    size_t at = first;
    bool goes_on = feed(&chunked, out, str_upto(text, first));
    while (goes_on && at < text.len) {
        goes_on = feed(&chunked, out, str_upto(str_from(text, at), step));
        at += step;
    }
    // Both ends are final.
    if (out->end != H1_CHUNK_MORE) {
        struct str bytes, name;
        size_t used;
        assert_int_equal(h1_chunked_next(&chunked, "0\r\n", 3, &used, &bytes, &name), out->end);
        assert_int_equal(used, 0);
    }
}

// Whole, cut at every place and in small steps: always the same.
static const struct outcome *decode(struct str text)
{
    static struct outcome whole, other;
    decode_in_pieces(&whole, text, text.len, 1);
    for (size_t i = 0; i < text.len + 3; i++) {
        if (i < text.len)
            decode_in_pieces(&other, text, i, text.len);
        else
            decode_in_pieces(&other, text, 0, i - text.len + 1);
        assert_int_equal(whole.end, other.end);
        assert_int_equal(whole.error, other.error);
        assert_int_equal(whole.data_len, other.data_len);
        assert_memory_equal(whole.data, other.data, whole.data_len);
        assert_string_equal(whole.trailers, other.trailers);
        if (whole.end == H1_CHUNK_END)
            assert_int_equal(whole.used, other.used);
    }
    return &whole;
}

static void test_good_bodies_are_decoded(void **state)
{
    static const struct {
        struct str text;
        const char *data, *trailers;
        size_t rest; // bytes behind the end
    } rows[] = {
        {S("0\r\n\r\n"), "", "", 0},
        {S("5\r\nhello\r\n0\r\n\r\n"), "hello", "", 0},
        {S("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HTTP/1.1"), "hello world", "", 14},
        {S("a\r\n0123456789\r\n0\r\n\r\n"), "0123456789", "", 0},
        {S("A\r\n0123456789\r\n000\r\n\r\n"), "0123456789", "", 0},
        {S("0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"), "abc", "", 0},
        {S("2\r\n\r\n\r\n0\r\n\r\n"), "\r\n", "", 0},
        {S("3;a\r\nabc\r\n0;b=c;d=\"e f\"\r\n\r\n"), "abc", "", 0},
        {S("3 \t ; a = b\r\nabc\r\n0\r\n\r\n"), "abc", "", 0},
        {S("3;\r\nabc\r\n0\r\n\r\n"), "abc", "", 0},
        {S("1\r\nx\r\n0\r\nExpires: never\r\nX-Sum:\t 1 2 \r\nEmpty:\r\n\r\n"), "x",
         "Expires=never;X-Sum=1 2;Empty=;", 0},
        {S("0\r\ngrpc-status: 0\r\n\r\nx"), "", "grpc-status=0;", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct outcome *out = decode(rows[i].text);
        if (out->end != H1_CHUNK_END)
            fail_msg("row %zu: \"%s\"", i, h1_error_sentence(out->error));
        assert_str(((struct str){out->data, out->data_len}), rows[i].data);
        assert_string_equal(out->trailers, rows[i].trailers);
        assert_int_equal(out->used, rows[i].text.len - rows[i].rest);
        // No shorter input is complete.
        for (size_t len = 0; len < out->used; len++) {
            static struct outcome prefix;
            decode_in_pieces(&prefix, str_upto(rows[i].text, len), len, 1);
            assert_int_equal(prefix.end, H1_CHUNK_MORE);
        }
    }
}

static void test_bad_bodies_are_refused(void **state)
{
    static const struct {
        enum h1_error error;
        struct str text;
    } rows[] = {
        {H1_ERROR_CHUNK_SIZE, S("\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("g\r\n")},
        {H1_ERROR_CHUNK_SIZE, S(" 5\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("-5\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("+5\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("0x5\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5_0\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S(";a\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5\rhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5 \r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5 5\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5\0\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("00000000000000005\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("ffffffffffffffff\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("8000000000000000\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("10000000000000000\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5;a\r\r\nhello\r\n")},
        {H1_ERROR_CHUNK_SIZE, S("5\r\nhello\r\n\r\n")},
        {H1_ERROR_CHUNK_EXTENSION, S("5;a\nhello\r\n")},
        {H1_ERROR_CHUNK_EXTENSION, S("5;a=\"\n\"\r\nhello\r\n")},
        {H1_ERROR_CHUNK_EXTENSION, S("5;a\x01\r\nhello\r\n")},
        {H1_ERROR_CHUNK_EXTENSION, S("5;a\x7f\r\nhello\r\n")},
        {H1_ERROR_CHUNK_END, S("5\r\nhello0\r\n\r\n")},
        {H1_ERROR_CHUNK_END, S("5\r\nhello\n0\r\n\r\n")},
        {H1_ERROR_CHUNK_END, S("5\r\nhello\r0\r\n\r\n")},
        {H1_ERROR_CHUNK_END, S("5\r\nhello world\r\n")},
        {H1_ERROR_TRAILER, S("0\r\n\n")},
        {H1_ERROR_TRAILER, S("0\r\n\rx")},
        {H1_ERROR_TRAILER, S("0\r\nA: b\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nA: b\r\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nA: b\rc: d\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\n folded\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nA: b\r\n c\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nA : b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\n: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nno colon\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nGET / HTTP/1.1\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nA: \0\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nContent-Length: 5\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\ntransfer-encoding: chunked\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nHOST: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nTrailer: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nConnection: close\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nAuthorization: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nSet-Cookie: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nX-Forwarded-For: b\r\n\r\n")},
        {H1_ERROR_TRAILER, S("0\r\nx-envoy-anything: b\r\n\r\n")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct outcome *out = decode(rows[i].text);
        if (out->end != H1_CHUNK_ERROR || out->error != rows[i].error)
            fail_msg("row %zu: %s: event %d, \"%s\"", i, rows[i].text.ptr, (int)out->end,
                     h1_error_sentence(out->error));
    }
}

// before, n times 'x', after
static const struct outcome *decode_long(const char *before, size_t n, const char *after)
{
    char *text = malloc(strlen(before) + n + strlen(after) + 1), *p = stpcpy(text, before);
    assert_non_null(text);
    memset(p, 'x', n);
    strcpy(p + n, after);
    const struct outcome *out = decode(str_of(text));
    free(text);
    return out;
}

static void test_lines_are_bounded_to_the_byte(void **state)
{
    assert_int_equal(decode_long("0;", 1023, "\r\n\r\n")->end, H1_CHUNK_END);
    assert_int_equal(decode_long("0;", 1024, "\r\n\r\n")->error, H1_ERROR_CHUNK_EXTENSION);
    assert_int_equal(decode_long("0\r\nA: ", 1021, "\r\n\r\n")->end, H1_CHUNK_END);
    assert_int_equal(decode_long("0\r\nA: ", 1022, "\r\n\r\n")->error, H1_ERROR_TRAILER);
    assert_int_equal(decode_long("0\r\nA: ", 3000, "")->error, H1_ERROR_TRAILER);
}

static void test_trailers_are_bounded_in_number(void **state)
{
    char text[1000] = "0\r\n";
    for (unsigned i = 0; i < 32; i++)
        strcat(text, "A: b\r\n");
    size_t len = strlen(text);
    strcat(text, "\r\n");
    assert_int_equal(decode(str_of(text))->end, H1_CHUNK_END);
    strcpy(text + len, "A: b\r\n\r\n");
    assert_int_equal(decode(str_of(text))->error, H1_ERROR_TRAILER);
}

static void test_trailers_are_bounded_in_bytes(void **state)
{
    char line[1027] = "A: ", text[10000] = "0\r\n"; // lines of 1024 bytes
    memset(line + 3, 'x', 1019);
    strcpy(line + 1022, "\r\n");
    for (unsigned i = 0; i < 8; i++)
        strcat(text, line);
    size_t len = strlen(text);
    static struct outcome out;
    strcat(text, "\r\n");
    decode_in_pieces(&out, str_of(text), 0, 7);
    assert_int_equal(out.end, H1_CHUNK_END);
    strcpy(text + len, "A:\r\n\r\n");
    decode_in_pieces(&out, str_of(text), 0, 7);
    assert_int_equal(out.error, H1_ERROR_TRAILER);
}

static void test_a_huge_chunk_may_stay_unfinished(void **state)
{
    const struct outcome *out = decode(STR("7fffffffffffffff\r\nabc"));
    assert_int_equal(out->end, H1_CHUNK_MORE);
    assert_int_equal(out->data_len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_bodies_are_decoded),
        cmocka_unit_test(test_bad_bodies_are_refused),
        cmocka_unit_test(test_lines_are_bounded_to_the_byte),
        cmocka_unit_test(test_trailers_are_bounded_in_number),
        cmocka_unit_test(test_trailers_are_bounded_in_bytes),
        cmocka_unit_test(test_a_huge_chunk_may_stay_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
