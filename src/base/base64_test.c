// SPDX-License-Identifier: Apache-2.0
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *plain, *text;
} cases[] = {{"", ""},
             {"f", "Zg=="},
             {"fo", "Zm8="},
             {"foo", "Zm9v"},
             {"foob", "Zm9vYg=="},
             {"fooba", "Zm9vYmE="},
             {"foobar", "Zm9vYmFy"}};

static void test_both_ways_in_pieces_of_every_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        struct str text = str_of(cases[i].text);
        size_t len = base64_encode(str_of(cases[i].plain), out);
        assert_true(str_equal((struct str){out, len}, text));
        for (size_t piece = 1; piece <= 5; piece++) {
            struct base64_decoder decoder = {0};
            size_t n = 0;
            for (size_t at = 0; at < text.len; at += piece)
                n += base64_decode(&decoder, str_upto(str_from(text, at), piece), out + n);
            assert_true(base64_is_complete(&decoder));
            assert_true(str_equal((struct str){out, n}, str_of(cases[i].plain)));
        }
    }
}

static void test_padded_segments_follow_each_other(void **state)
{
    (void)state;
    char out[32];
    struct base64_decoder decoder = {0};
    size_t n = base64_decode(&decoder, STR("Zg==Zm8=Zm9v"), out);
    assert_true(str_equal((struct str){out, n}, STR("ffofoo")));
}

static void test_what_is_no_base64_fails_for_good(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z!==", "=Zg=", "Z===", "Zg=v", "Zm 9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char out[32];
        struct base64_decoder decoder = {0};
        base64_decode(&decoder, str_of(bad[i]), out);
        assert_true(decoder.has_failed);
        assert_int_equal(base64_decode(&decoder, STR("Zm9v"), out), 0);
    }
    struct base64_decoder decoder = {0};
    char out[8];
    base64_decode(&decoder, STR("Zm9"), out);
    assert_false(base64_is_complete(&decoder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways_in_pieces_of_every_size),
        cmocka_unit_test(test_padded_segments_follow_each_other),
        cmocka_unit_test(test_what_is_no_base64_fails_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
