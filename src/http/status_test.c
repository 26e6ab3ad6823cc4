// SPDX-License-Identifier: Apache-2.0
#include "http/h1_test.h"

static void test_reasons_follow_the_registry(void **state)
{
    static const struct {
        unsigned status;
        const char *reason;
    } rows[] = {{100, "Continue"},
                {101, "Switching Protocols"},
                {103, "Early Hints"},
                {200, "OK"},
                {204, "No Content"},
                {207, "Multi-Status"},
                {226, "IM Used"},
                {301, "Moved Permanently"},
                {308, "Permanent Redirect"},
                {404, "Not Found"},
                {413, "Content Too Large"},
                {414, "URI Too Long"},
                {418, "I'm a teapot"},
                {421, "Misdirected Request"},
                {422, "Unprocessable Content"},
                {426, "Upgrade Required"},
                {428, "Precondition Required"},
                {429, "Too Many Requests"},
                {431, "Request Header Fields Too Large"},
                {451, "Unavailable For Legal Reasons"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {504, "Gateway Timeout"},
                {505, "HTTP Version Not Supported"},
                {508, "Loop Detected"},
                {511, "Network Authentication Required"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(http_reason(rows[i].status), rows[i].reason);
}

static void test_unknown_status_codes_have_an_empty_reason(void **state)
{
    static const unsigned codes[] = {0,   1,   99,  104, 209, 225, 227, 299, 309, 419,  420,
                                     427, 430, 432, 450, 452, 499, 512, 599, 600, 1000, 4294967295};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_string_equal(http_reason(codes[i]), "");
}

static void test_every_error_has_a_status_and_words(void **state)
{
    for (unsigned i = H1_ERROR_NONE + 1; i < H1_ERROR_COUNT; i++) {
        unsigned status = h1_error_status((enum h1_error)i);
        assert_true(*http_reason(status));
        assert_true(status >= 400);
        assert_true(*h1_error_detail((enum h1_error)i));
        assert_null(strchr(h1_error_detail((enum h1_error)i), ' '));
        assert_true(*h1_error_sentence((enum h1_error)i));
    }
    assert_int_equal(h1_error_status(H1_ERROR_TARGET_TOO_LONG), 414);
    assert_int_equal(h1_error_status(H1_ERROR_HEADERS_TOO_LARGE), 431);
    assert_string_equal(h1_error_detail(H1_ERROR_HOST_MISSING), "missing_host_header");
}

static void test_only_harmless_methods_are_idempotent(void **state)
{
    assert_true(http_method_is_idempotent(METHOD_GET));
    assert_true(http_method_is_idempotent(METHOD_HEAD));
    assert_true(http_method_is_idempotent(METHOD_PUT));
    assert_true(http_method_is_idempotent(METHOD_DELETE));
    assert_true(http_method_is_idempotent(METHOD_OPTIONS));
    assert_true(http_method_is_idempotent(METHOD_TRACE));
    assert_false(http_method_is_idempotent(METHOD_POST));
    assert_false(http_method_is_idempotent(METHOD_PATCH));
    assert_false(http_method_is_idempotent(METHOD_CONNECT));
    assert_false(http_method_is_idempotent(METHOD_OTHER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons_follow_the_registry),
        cmocka_unit_test(test_unknown_status_codes_have_an_empty_reason),
        cmocka_unit_test(test_every_error_has_a_status_and_words),
        cmocka_unit_test(test_only_harmless_methods_are_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
