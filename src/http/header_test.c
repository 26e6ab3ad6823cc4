// SPDX-License-Identifier: Apache-2.0
#include "http/chars.h"
#include "http/h1_test.h"
#include "http/header.h"

static const struct {
    enum header_id id;
    const char *name;
} known[] = {
#define X(id, name) {HEADER_##id, name},
    HEADER_IDS(X)
#undef X
};
enum { N_KNOWN = sizeof(known) / sizeof(known[0]) };

// What header_id_of() does, without its cleverness.
static enum header_id naive_id_of(struct str name)
{
    if (name.len >= 8 && str_equal_nocase(str_upto(name, 8), STR("x-envoy-")))
        return HEADER_X_ENVOY;
    for (unsigned i = 0; i < N_KNOWN; i++)
        if (known[i].id != HEADER_X_ENVOY && str_equal_nocase(name, str_of(known[i].name)))
            return known[i].id;
    return HEADER_OTHER;
}

static enum header_id id_of_copy(struct str name)
{
    char *copy = exact_copy(name);
    enum header_id id = header_id_of((struct str){copy, name.len});
    free(copy);
    return id;
}

static void test_every_known_name_is_told_in_any_case(void **state)
{
    for (unsigned i = 0; i < N_KNOWN; i++) {
        char upper[40] = "";
        for (size_t k = 0; known[i].name[k]; k++)
            upper[k] = known[i].name[k] >= 'a' && known[i].name[k] <= 'z'
                           ? (char)(known[i].name[k] - 0x20)
                           : known[i].name[k];
        assert_int_equal(id_of_copy(str_of(known[i].name)), known[i].id);
        assert_int_equal(id_of_copy(str_of(upper)), known[i].id);
    }
    assert_int_equal(id_of_copy(STR("X-Envoy-Upstream-Service-Time")), HEADER_X_ENVOY);
    assert_int_equal(id_of_copy(STR("x-envoy")), HEADER_OTHER);
}

static void test_a_name_that_differs_in_one_byte_is_another(void **state)
{
    for (unsigned i = 0; i < N_KNOWN; i++) {
        char name[40];
        size_t len = strlen(known[i].name);
        for (size_t k = 0; k < len; k++)
            for (unsigned c = 0; c < 256; c++) {
                memcpy(name, known[i].name, len);
                name[k] = (char)c;
                struct str changed = {name, len};
                assert_int_equal(id_of_copy(changed), naive_id_of(changed));
            }
        for (size_t n = 0; n < len; n++)
            assert_int_equal(id_of_copy(str_upto(str_of(known[i].name), n)),
                             naive_id_of(str_upto(str_of(known[i].name), n)));
    }
}

static void test_lookup_finds_the_first_field_of_a_name(void **state)
{
    struct header items[] = {
        {STR("X-Envoy-B"), STR("1"), HEADER_X_ENVOY, false},
        {STR("x-a"), STR("2"), HEADER_OTHER, false},
        {STR("X-A"), STR("3"), HEADER_OTHER, false},
        {STR("Via"), STR("4"), HEADER_VIA, false},
        {STR("x-envoy-a"), STR("5"), HEADER_X_ENVOY, false},
    };
    struct header_list list = {.items = items, .n = 5, .cap = 5};
    list.first[HEADER_X_ENVOY] = 1;
    list.first[HEADER_VIA] = 4;
    assert_ptr_equal(header_find(&list, STR("X-a")), &items[1]);
    assert_ptr_equal(header_find(&list, STR("via")), &items[3]);
    assert_ptr_equal(header_find(&list, STR("X-ENVOY-A")), &items[4]);
    assert_null(header_find(&list, STR("x-envoy-c")));
    assert_null(header_find(&list, STR("host")));
    assert_null(header_find(&list, STR("x-b")));
    assert_null(header_get(&list, HEADER_HOST));
}

static void test_names_are_tokens(void **state)
{
    assert_true(header_name_is_valid(STR("a!#$%&'*+-.^_`|~9Z")));
    for (unsigned c = 0; c < 256; c++) {
        char name[3] = {'a', (char)c, 'b'};
        bool is_token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", (int)c));
        assert_int_equal(header_name_is_valid((struct str){name, 3}), is_token);
    }
    assert_false(header_name_is_valid(STR("")));
}

static void test_values_hold_no_control_but_tab(void **state)
{
    assert_true(header_value_is_valid(STR_NONE));
    // At every place of a block and with every length around it.
    for (size_t len = 1; len < 50; len++) {
        char *value = malloc(len);
        assert_non_null(value);
        for (size_t at = 0; at < len; at++)
            for (unsigned c = 0; c < 256; c++) {
                memset(value, 'x', len);
                value[at] = (char)c;
                bool is_valid = c == '\t' || (c >= ' ' && c != 0x7f);
                assert_int_equal(header_value_is_valid((struct str){value, len}), is_valid);
            }
        free(value);
    }
}

// Random bytes through the searches by blocks and through the table.
static void test_searches_by_blocks_agree_with_the_table(void **state)
{
    static const char alphabet[] = "abcXYZ-.019 \t:#/?%\x7f\x80\xff\r\n_[]@`{";
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = round % 60, from = len ? round % 7 % len : 0;
        char *data = malloc(len + 1);
        assert_non_null(data);
        for (size_t i = 0; i < len; i++) {
            random = random * 1664525 + 1013904223;
            // Mostly letters, so that stops come late too.
            unsigned pick = random >> 24;
            data[i] =
                pick < 230 ? (char)('a' + pick % 26) : alphabet[pick % (sizeof(alphabet) - 1)];
        }
        const char *p = data + from, *end = data + len, *value = p, *target = p, *name = p,
                   *host = p;
        while (value < end && char_is(*value, CHAR_VALUE))
            value++;
        while (target < end && char_is(*target, CHAR_TARGET))
            target++;
        while (name < end && char_is(*name, CHAR_TOKEN))
            name++;
        while (host < end && char_is(*host, CHAR_HOST))
            host++;
        assert_ptr_equal(scan_value(data, p, end), value);
        assert_ptr_equal(scan_value(p, p, end), value);
        assert_ptr_equal(scan_target(data, p, end), target);
        assert_ptr_equal(scan_name(data, p, end), name);
        assert_true(scan_host(p, p, end) <= host);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_name_is_told_in_any_case),
        cmocka_unit_test(test_a_name_that_differs_in_one_byte_is_another),
        cmocka_unit_test(test_lookup_finds_the_first_field_of_a_name),
        cmocka_unit_test(test_names_are_tokens),
        cmocka_unit_test(test_values_hold_no_control_but_tab),
        cmocka_unit_test(test_searches_by_blocks_agree_with_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
