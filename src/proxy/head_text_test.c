// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "proxy/worker_test.h"

static void expect_text(const struct head_text *text, const char *expected)
{
    struct str got = head_text_str(text);
    if (!str_is(got, expected))
        fail_msg("\"%.*s\" in the place of \"%s\"", STR_ARG(got), expected);
}

static bool add(struct worker *worker, struct head_text *text, const char *name, const char *value)
{
    return head_text_add(text, worker, str_of(name), str_of(value), 4000);
}

static void test_fields_become_lines(void **state)
{
    struct worker *worker = *state;
    struct head_text text = {0};
    assert_int_equal(head_text_str(&text).len, 0);
    assert_true(head_text_put(&text, worker, STR("GET / HTTP/1.1\r\n"), 4000));
    assert_true(add(worker, &text, "host", "a.example"));
    assert_true(add(worker, &text, "x-empty", ""));
    assert_true(head_text_put(&text, worker, STR("\r\n"), 4000));
    expect_text(&text, "GET / HTTP/1.1\r\nhost: a.example\r\nx-empty: \r\n\r\n");
    head_text_fini(&text, worker);
    head_text_fini(&text, worker);
    assert_int_equal(text.len, 0);
}

static void test_crumbs_are_joined_wherever_they_stand(void **state)
{
    struct worker *worker = *state;
    struct head_text text = {0};
    add(worker, &text, "a", "1");
    add(worker, &text, "cookie", "x=1");
    add(worker, &text, "cookie", "y=2");
    add(worker, &text, "b", "2");
    add(worker, &text, "cookie", "z=3");
    add(worker, &text, "c", "3");
    add(worker, &text, "cookie", ""); // nothing to add
    add(worker, &text, "cookie", "w=4; v=5");
    add(worker, &text, "cookie2", "other");
    expect_text(&text, "a: 1\r\ncookie: x=1; y=2; z=3; w=4; v=5\r\nb: 2\r\nc: 3\r\n"
                       "cookie2: other\r\n");
    head_text_fini(&text, worker);
}

// From a small buffer into a large one, with the crumbs' place.
static void test_a_text_grows_and_keeps_what_it_has(void **state)
{
    struct worker *worker = *state;
    struct head_text text = {0};
    struct buf expected = {0};
    char value[200];
    head_text_add(&text, worker, STR("cookie"), STR("a=1"), BUFFER_LARGE_BYTES);
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(head_text_add(&text, worker, STR("name"), (struct str){value, i % 200},
                                  BUFFER_LARGE_BYTES));
        buf_printf(&expected, "name: %.*s\r\n", (int)(i % 200), value);
        if (i == 150)
            assert_true(
                head_text_add(&text, worker, STR("cookie"), STR("b=2"), BUFFER_LARGE_BYTES));
        assert_true(text.len <= text.cap);
    }
    assert_int_equal(text.cap, BUFFER_LARGE_BYTES);
    struct str got = head_text_str(&text);
    assert_true(str_has_prefix(got, STR("cookie: a=1; b=2\r\n")));
    assert_true(str_equal(str_from(got, 18), buf_str(&expected)));
    buf_fini(&expected);
    head_text_fini(&text, worker);
}

// Many heads of a few kilobytes must not take the largest buffer each.
static void test_a_text_takes_the_smallest_buffer_that_fits(void **state)
{
    struct worker *worker = *state;
    static char bytes[BUFFER_LARGE_BYTES];
    static const struct {
        uint32_t len, cap;
    } cases[] = {{1, HEAD_TEXT_BYTES},
                 {HEAD_TEXT_BYTES, HEAD_TEXT_BYTES},
                 {HEAD_TEXT_BYTES + 1, BUFFER_SMALL_BYTES},
                 {BUFFER_SMALL_BYTES, BUFFER_SMALL_BYTES},
                 {BUFFER_SMALL_BYTES + 1, BUFFER_LARGE_BYTES}};
    struct head_text grown = {0};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct head_text text = {0};
        uint32_t more = cases[i].len - grown.len;
        head_text_put(&text, worker, (struct str){bytes, cases[i].len}, BUFFER_LARGE_BYTES);
        head_text_put(&grown, worker, (struct str){bytes, more}, BUFFER_LARGE_BYTES);
        assert_int_equal(text.cap, cases[i].cap);
        assert_int_equal(grown.cap, cases[i].cap);
        head_text_fini(&text, worker);
    }
    head_text_fini(&grown, worker);
}

static void test_crumbs_have_a_number(void **state)
{
    struct worker *worker = *state;
    struct head_text text = {0};
    for (unsigned i = 0; i <= COOKIE_CRUMBS_MAX; i++) // the first one is the field itself
        assert_true(head_text_add(&text, worker, STR("cookie"), STR("a"), BUFFER_LARGE_BYTES));
    assert_false(head_text_add(&text, worker, STR("cookie"), STR("a"), BUFFER_LARGE_BYTES));
    assert_true(text.is_too_large);
    head_text_fini(&text, worker);
}

static void test_a_text_takes_exactly_its_limit(void **state)
{
    struct worker *worker = *state;
    static char bytes[BUFFER_LARGE_BYTES + 1];
    static const uint32_t limits[] = {
        1, 100, HEAD_TEXT_BYTES - 1, HEAD_TEXT_BYTES, HEAD_TEXT_BYTES + 1, BUFFER_LARGE_BYTES};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct head_text text = {0};
        uint32_t max = limits[i];
        assert_true(head_text_put(&text, worker, (struct str){bytes, max - 1}, max));
        assert_true(head_text_put(&text, worker, STR("x"), max));
        assert_false(head_text_put(&text, worker, STR("x"), max));
        assert_true(text.is_too_large);
        assert_int_equal(text.len, max);
        assert_false(head_text_put(&text, worker, STR("x"), max + 100)); // for good
        head_text_fini(&text, worker);
        assert_false(text.is_too_large);
    }
    struct head_text text = {0};
    // No limit reaches past a large buffer.
    assert_false(head_text_put(&text, worker, (struct str){bytes, sizeof bytes}, UINT32_MAX));
    head_text_fini(&text, worker);
}

static void test_a_field_counts_with_its_colon_blank_and_line_end(void **state)
{
    struct worker *worker = *state;
    for (int is_crumb = 0; is_crumb < 2; is_crumb++)
        for (uint32_t max = 18; max <= 20; max++) {
            struct head_text text = {0};
            assert_true(head_text_add(&text, worker, STR("cookie"), STR("a"), max)); // 11
            bool ok = is_crumb ? head_text_add(&text, worker, STR("cookie"), STR("1234567"), max)
                               : head_text_add(&text, worker, STR("n"), STR("1234"), max);
            assert_int_equal(ok, max == 20);
            assert_int_equal(text.len, ok ? 20 : 11);
            head_text_fini(&text, worker);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_worker, tear_down_worker)
    const struct CMUnitTest tests[] = {
        TEST(fields_become_lines),
        TEST(crumbs_are_joined_wherever_they_stand),
        TEST(a_text_grows_and_keeps_what_it_has),
        TEST(a_text_takes_the_smallest_buffer_that_fits),
        TEST(crumbs_have_a_number),
        TEST(a_text_takes_exactly_its_limit),
        TEST(a_field_counts_with_its_colon_blank_and_line_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
