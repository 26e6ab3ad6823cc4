// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/doc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct arena *arena;

static int setup(void **state)
{
    arena = arena_create(0);
    return 0;
}

static int teardown(void **state)
{
    arena_destroy(arena);
    return 0;
}

// A compact text form: scalars as they are, quoted ones in quotes, {k:v}, [i], ~ for null.
static void show(struct buf *out, const struct node *node)
{
    switch (node->type) {
    case NODE_NULL:
        buf_add_char(out, '~');
        break;
    case NODE_SCALAR:
        if (node->is_quoted)
            buf_add_json(out, node->scalar);
        else
            buf_add_str(out, node->scalar);
        break;
    case NODE_MAP:
        buf_add_char(out, '{');
        for (uint32_t i = 0; i < node->map.n_pairs; i++) {
            buf_printf(out, "%s%.*s:", i ? "," : "", STR_ARG(node->map.pairs[i].key));
            show(out, node->map.pairs[i].value);
        }
        buf_add_char(out, '}');
        break;
    case NODE_LIST:
        buf_add_char(out, '[');
        for (uint32_t i = 0; i < node->list.n_items; i++) {
            buf_add_text(out, i ? "," : "");
            show(out, node->list.items[i]);
        }
        buf_add_char(out, ']');
        break;
    }
}

// Parses a copy of exactly the given length, so that reading past the end is found.
static bool parse(struct str text, struct node **ret_root, struct doc_error *reterr_error)
{
    char *copy = malloc(text.len + (text.len == 0));
    assert_non_null(copy);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    bool is_ok = doc_parse(arena, (struct str){copy, text.len}, 1, ret_root, reterr_error);
    free(copy); // nodes must not point into it
    return is_ok;
}

static void assert_doc(struct str text, const char *expected)
{
    struct node *root;
    struct doc_error error = {0};
    struct buf out = {0};
    if (!parse(text, &root, &error))
        fail_msg("%u:%u %s", error.line, error.col, error.message);
    if (root)
        show(&out, root);
    assert_string_equal(out.data ? out.data : "", expected);
    buf_fini(&out);
}

static void assert_error(struct str text, uint32_t line, uint32_t col, const char *message)
{
    struct node *root;
    struct doc_error error = {0};
    assert_false(parse(text, &root, &error));
    if (!strstr(error.message, message))
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    assert_int_equal(error.line, line);
    assert_int_equal(error.col, col);
    assert_null(root);
}

static void test_block_style(void **state)
{
    assert_doc(STR("a: 1\nb:\n- x\n- y: z\n  w: v\nc:\n  d: e\n"), "{a:1,b:[x,{y:z,w:v}],c:{d:e}}");
    assert_doc(STR("- a\n- - b\n  - c\n"), "[a,[b,c]]");
    assert_doc(STR("just text"), "just text");
}

static void test_null_is_plain_and_a_string_is_quoted(void **state)
{
    assert_doc(STR("a: null\nb: ~\nc:\nd: 'null'\ne: \"\"\nf: Null\ng: NULL\nh: nULL\n"),
               "{a:~,b:~,c:~,d:\"null\",e:\"\",f:~,g:~,h:nULL}");
    assert_doc(STR("a: 80\nb: '80'\nc: true\nd: \"yes\"\n"), "{a:80,b:\"80\",c:true,d:\"yes\"}");
}

static void test_block_scalars_are_strings(void **state)
{
    assert_doc(STR("a: |\n  x\n   y\n\nb: >-\n  one\n  two\n\n  three\nc: |+\n  z\n\n"),
               "{a:\"x\\n y\\n\",b:\"one two\\nthree\",c:\"z\\n\\n\"}");
    assert_doc(STR("a: |\n  80\nb: |-\n --- no marker\n"), "{a:\"80\\n\",b:\"--- no marker\"}");
}

static void test_block_scalars_keep_empty_and_indented_lines(void **state)
{
    assert_doc(STR(">-\n  f\n\n  -g\n\n   *h ,\n   i\n\n  j\n  k\n"),
               "\"f\\n-g\\n\\n *h ,\\n i\\n\\nj k\"");
    assert_doc(STR("a: |+\n  x\n\n\nb:\n- |+\n\n- >2-\n    y\n  # z\n"),
               "{a:\"x\\n\\n\\n\",b:[\"\\n\",\"  y\\n# z\"]}");
    assert_doc(STR("a: >2 # a comment > with -\n   x\nb: |\nc: d\n"), "{a:\" x\\n\",b:\"\",c:d}");
    assert_doc(STR("- x # >-\n- &a !!str >\n  y\n- |"), "[x,\"y\\n\",\"\"]");
    assert_doc(STR("a: >\r\n  x\r\n\r\n    y\r\n  z"), "{a:\"x\\n\\n  y\\nz\\n\"}");
}

static void test_quotes_within_single_quotes_are_doubled(void **state)
{
    assert_doc(STR("a: 'it''s'\nb: ''''''''''''\nc: 'x''''y'''\nd: ''\n"),
               "{a:\"it's\",b:\"'''''\",c:\"x''y'\",d:\"\"}");
}

static void test_lines_of_quoted_scalars_are_folded(void **state)
{
    assert_doc(STR("'one \n  two\n\n\n  ''three'''"), "\"one two\\n\\n'three'\"");
    assert_doc(STR("\"one\t\r\n  two\r\n\r\n  three\""), "\"one two\\nthree\"");
    assert_doc(STR("\"one\\\n  two\\  \\\n\n  \\ three\""), "\"onetwo  \\n three\"");
    assert_doc(STR("\"one\\\\\\\n  two\\\\\n  three\\t\n  four\""),
               "\"one\\\\two\\\\ three\\t four\"");
}

static void test_escapes_of_double_quotes(void **state)
{
    assert_doc(STR("\"\\x41\\u00e9\\U0001f600\\ud83d\\ude00\""),
               "\"A\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"");
    assert_doc(STR("\"\\a\\b\\e\\f\\v\\0\\n\\r\\t\\\t\""),
               "\"\\u0007\\u0008\\u001b\\u000c\\u000b\\u0000\\n\\r\\t\\t\"");
    assert_doc(STR("\"\\N\\_\\L\\P\\L\\L\""), "\"\xc2\x85\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9"
                                              "\xe2\x80\xa8\xe2\x80\xa8\"");
    assert_doc(STR("\"\\\"\\/\\\\\\ \""), "\"\\\"/\\\\ \"");
    assert_error(STR("- \"\\q\"\n"), 1, 4, "escape");
}

static void test_flow_style_as_kyaml_writes_it(void **state)
{
    assert_doc(STR("---\n{\n  apiVersion: \"v1\", # a comment\n  \"kind\": \"Service\",\n"
                   "  ports: [{\n    port: 80,\n  }],\n  empty: {}, none: [],\n}\n"),
               "{apiVersion:\"v1\",kind:\"Service\",ports:[{port:80}],empty:{},none:[]}");
}

static void test_json_with_tabs_and_escapes(void **state)
{
    assert_doc(STR("{\n\t\"a\":\t[\n\t\t1,\n\t\t-1.5e3\n\t],\n\t\"b\": {\"c\": null}\n}\n"),
               "{a:[1,-1.5e3],b:{c:~}}");
    assert_doc(STR("{\"a\":\"\\u00e9\\ud83d\\ude00\\/\\\\\\\"\\t\\u000a\"}"),
               "{a:\"\xc3\xa9\xf0\x9f\x98\x80/\\\\\\\"\\t\\n\"}");
    assert_doc(STR("{\"a\":true,\"b\":\"true\"}"), "{a:true,b:\"true\"}");
}

static void test_windows_line_ends_and_byte_order_mark(void **state)
{
    assert_doc(STR("\xef\xbb\xbf"
                   "a: |\r\n  x\r\n  y\r\nb: c\r\nd:\r\n  - e\r\n"),
               "{a:\"x\\ny\\n\",b:c,d:[e]}");
    assert_error(STR("\xef\xbb\xbf"
                     "a: 1\r\na: 2\r\n"),
                 2, 1, "already given in line 1");
}

static void test_directives_and_end_markers(void **state)
{
    assert_doc(STR("%YAML 1.2\n---\na: b\n...\n"), "{a:b}");
    assert_doc(STR("%YAML 1.1\n%TAG ! tag:example.com,2000:\n--- # begins\na: b\n"), "{a:b}");
}

static void test_empty_documents_have_no_root(void **state)
{
    assert_doc(STR_NONE, "");
    assert_doc(STR("\n# nothing but a comment\n\n"), "");
    assert_doc(STR("---\n"), "");
    assert_doc(STR("--- # comment\n...\n"), "");
    assert_doc(STR("--- null\n"), "");
    assert_doc(STR("--- \"\"\n"), "\"\"");
}

static void test_keys_are_strings_whatever_they_look_like(void **state)
{
    assert_doc(STR("80: a\ntrue: b\nnull: c\n\"\": d\n? e\n: f\n"), "{80:a,true:b,null:c,:d,e:f}");
    assert_error(STR("? [a]\n: b\n"), 1, 3, "not a list");
    assert_error(STR("{a: b}: c\n"), 1, 1, "not a map");
    assert_error(STR("a: b\n: c\n"), 2, 3, "a key is missing");
}

static void test_a_key_given_twice_is_an_error_at_the_second(void **state)
{
    assert_error(STR("a: 1\nb: 2\n'a': 3\n"), 3, 1, "\"a\" was already given in line 1");
    assert_error(STR("x:\n  - {k: 1, m: 2, k: 3}\n"), 2, 18, "\"k\"");
    struct buf text = {0};
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "k%d: 1\n", i);
    assert_true(doc_parse(arena, buf_str(&text), 1, &(struct node *){0}, &(struct doc_error){0}));
    buf_add_text(&text, "k500: 1\n");
    assert_error(buf_str(&text), 1001, 1, "already given in line 501");
    buf_fini(&text);
}

static void test_aliases_share_their_anchor(void **state)
{
    assert_doc(STR("a: &x {b: c}\nd: *x\ne: &y f\ng: [*y, *x]\n*y : h\n"),
               "{a:{b:c},d:{b:c},e:f,g:[f,{b:c}],f:h}");
    assert_doc(STR("- &a 1\n- &a 2\n- *a\n"), "[1,2,2]");
    assert_error(STR("a: *none\n"), 1, 4 + 1, "no anchor \"none\"");
    assert_error(STR("a: &x [*x]\n"), 1, 9, "no anchor \"x\"");
}

static void test_merge_keys_add_what_is_not_given(void **state)
{
    assert_doc(STR("b: &b {k: 1, l: 2}\nm:\n  <<: *b\n  l: 3\n"), "{b:{k:1,l:2},m:{l:3,k:1}}");
    assert_doc(STR("b: &b {k: 1}\nc: &c {k: 2, n: 3}\nm: {<<: [*b, *c], o: 4}\n"),
               "{b:{k:1},c:{k:2,n:3},m:{o:4,k:1,n:3}}");
    assert_doc(STR("{\"<<\": {\"a\": 1}}"), "{<<:{a:1}}"); // in quotes a key like any other
    assert_error(STR("m:\n  <<: text\n"), 2, 3, "takes a map");
    assert_error(STR("m: {<<: [{a: 1}, 2]}\n"), 1, 5, "takes a map");
}

static void test_tags_of_the_core_schema_count_and_others_are_errors(void **state)
{
    assert_doc(STR("!!map {a: !!str 80, b: !!int \"80\", c: !!seq [], d: ! 1, e: !!null ''}"),
               "{a:\"80\",b:80,c:[],d:\"1\",e:~}");
    assert_doc(STR("a: !<tag:yaml.org,2002:str> 1\nb: !!str\n"), "{a:\"1\",b:\"\"}");
    assert_error(STR("a: 1\nb: !secret x\n"), 2, 12, "\"!secret\"");
    assert_error(STR("a: !!binary aGk=\n"), 1, 13, "!!binary");
    assert_error(STR("a: !!seq {}\n"), 1, 10, "!!seq");
}

static void test_nodes_know_their_place(void **state)
{
    struct node *root;
    struct doc_error error;
    struct str text = STR("\n\xc3\xa4\xc3\xb6: {b: \"\xc3\xa9\", c: d}\nlist:\n  - x\n  -\n");
    assert_true(doc_parse(arena, text, 10, &root, &error));
    assert_true(root->line == 11 && root->col == 1);
    const struct pair *first = &root->map.pairs[0];
    assert_true(first->line == 11 && first->col == 1);
    assert_true(first->value->line == 11 && first->value->col == 6); // its first key
    assert_true(first->value->map.pairs[0].value->col == 9);         // the quote
    assert_true(first->value->map.pairs[1].col == 14);
    assert_true(first->value->map.pairs[1].value->col == 17);
    const struct node *list = node_get(root, STR("list"));
    assert_true(list->list.items[0]->line == 13 && list->list.items[0]->col == 5);
    assert_true(list->list.items[1]->type == NODE_NULL);

    // What follows a nested list or map is not taken for its end.
    assert_true(doc_parse(arena, STR("a:\n  b:\n  - x\n  cc: {}\nd: y\n"), 1, &root, &error));
    const struct pair *after = &root->map.pairs[0].value->map.pairs[1];
    assert_true(after->line == 4 && after->col == 3);
    assert_true(root->map.pairs[1].line == 5 && root->map.pairs[1].col == 1);
}

static void test_node_get_finds_keys_of_maps_alone(void **state)
{
    struct node *root;
    struct doc_error error;
    assert_true(doc_parse(arena, STR("a: [1]\nb:\n"), 1, &root, &error));
    assert_int_equal(node_get(root, STR("b"))->type, NODE_NULL);
    assert_null(node_get(root, STR("c")));
    assert_null(node_get(node_get(root, STR("a")), STR("0")));
    assert_null(node_get(NULL, STR("a")));
}

static void test_a_broken_document_prints_nothing(void **state)
{
    int fds[2], own[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    char output[16];
    struct node *root;
    struct doc_error error;
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    fflush(stdout);
    dup2(fds[1], STDOUT_FILENO);
    dup2(fds[1], STDERR_FILENO);
    bool is_ok = doc_parse(arena, STR("a: {b: c\nd: e\n"), 1, &root, &error);
    fflush(stdout);
    dup2(own[0], STDOUT_FILENO);
    dup2(own[1], STDERR_FILENO);
    assert_false(is_ok);
    assert_int_equal(read(fds[0], output, sizeof(output)), -1); // nothing there
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(own[i]);
    }
}

static void test_syntax_errors_tell_their_place(void **state)
{
    assert_error(STR("a: b\nc\n"), 2, 1, "invalid value");
    assert_error(STR("a:\n\tb: c\n"), 2, 1, "tab");
    assert_error(STR("\xc3\xa9: x\na: b: c\n"), 2, 5, "nested block mapping");
    assert_error(STR("{\"a\" 1}"), 1, 6, "comma");
    assert_error(STR("{\"a\": \"\\ud83d\"}"), 1, 8, "escape");
    assert_error(STR("\"a\nb"), 1, 2, "closing quote");
    assert_error(STR("{\"a\":1}\n{\"b\":2}\n"), 2, 1, "document start");
    assert_error(STR("a: @b\n"), 1, 4, "cannot start");
}

static void test_what_is_not_text_is_an_error_and_cuts_nothing_off(void **state)
{
    assert_error(STR("a: 1\n\xc3\xa4: \0x\nb: 2\n"), 2, 4, "0x00 is a control character");
    assert_error(STR("a: \xff\n"), 1, 4, "0xff is not UTF-8");
    assert_error(STR("a: \"\x1b\"\n"), 1, 5, "0x1b");
    assert_error(STR("a: 1\rb: 2\n"), 1, 5, "carriage return");
    assert_error(STR("\xff\xfe"
                     "a\0"),
                 1, 1, "0xff");
}

static void test_bounds_on_depth_and_alias_expansion(void **state)
{
    struct buf text = {0};
    for (int i = 0; i < 100; i++)
        buf_add_char(&text, '[');
    for (int i = 0; i < 100; i++)
        buf_add_char(&text, ']');
    struct node *root;
    struct doc_error error;
    assert_true(doc_parse(arena, buf_str(&text), 1, &root, &error));
    buf_fini(&text);
    for (int i = 0; i < 100000; i++)
        buf_add_char(&text, '[');
    assert_error(buf_str(&text), 1, 129, "128 levels");
    buf_fini(&text);
    buf_add_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&text, "*a%d,", i - 1);
        buf_add_text(&text, "]\n");
    }
    assert_false(doc_parse(arena, buf_str(&text), 1, &root, &error));
    assert_non_null(strstr(error.message, "aliases stand for more than"));
    buf_fini(&text);
    // Few nodes, many bytes.
    buf_add_text(&text, "a: &a [&s ");
    for (int i = 0; i < 1000 * 1000; i++)
        buf_add_char(&text, 'x');
    buf_add_text(&text, "]\nb: [");
    for (int i = 0; i < 70; i++)
        buf_add_text(&text, i % 2 ? "*a," : "*s,");
    buf_add_text(&text, "]\n");
    assert_false(doc_parse(arena, buf_str(&text), 1, &root, &error));
    assert_non_null(strstr(error.message, "aliases stand for more than"));
    buf_fini(&text);
}

static void assert_split(struct str stream, const char *const *parts, const uint32_t *lines)
{
    struct str part;
    size_t cursor = 0;
    uint32_t line = 1, first;
    for (; *parts; parts++, lines++) {
        assert_true(doc_split(stream, &cursor, &line, &part, &first));
        if (!str_is(part, *parts))
            fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(part), *parts);
        assert_int_equal(first, *lines);
    }
    assert_false(doc_split(stream, &cursor, &line, &part, &first));
}

static void test_streams_are_cut_at_markers(void **state)
{
    assert_split(STR(""), (const char *[]){NULL}, NULL);
    assert_split(STR("a: b"), (const char *[]){"a: b", NULL}, (uint32_t[]){1});
    assert_split(STR("a\n---\nb\n--- # c\nd\n---"),
                 (const char *[]){"a\n", "---\nb\n", "--- # c\nd\n", "---", NULL},
                 (uint32_t[]){1, 2, 4, 6});
    assert_split(STR("---\r\na\r\n---\r\nb\r\n"),
                 (const char *[]){"---\r\na\r\n", "---\r\nb\r\n", NULL}, (uint32_t[]){1, 3});
    assert_split(STR("---\n---\n"), (const char *[]){"---\n", "---\n", NULL}, (uint32_t[]){1, 2});
}

static void test_text_that_looks_like_a_marker_is_left_alone(void **state)
{
    assert_split(STR("a: |\n ---\n----\n---x: y\n"),
                 (const char *[]){"a: |\n ---\n----\n---x: y\n", NULL}, (uint32_t[]){1});
    assert_split(STR("{\n  \"a\": [\n1,\n\n2]\n}\n"),
                 (const char *[]){"{\n  \"a\": [\n1,\n\n2]\n}\n", NULL}, (uint32_t[]){1});
}

static void test_directives_stay_with_their_document(void **state)
{
    assert_split(
        STR("# c\n%YAML 1.2\n---\na\n...\n%YAML 1.2\n---\nb\n---\nc\n"),
        (const char *[]){"# c\n%YAML 1.2\n---\na\n...\n", "%YAML 1.2\n---\nb\n", "---\nc\n", NULL},
        (uint32_t[]){1, 6, 9});
    assert_split(STR("a: 1\n---\nb\n...\nc\n"),
                 (const char *[]){"a: 1\n", "---\nb\n...\n", "c\n", NULL}, (uint32_t[]){1, 2, 5});
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_block_style),
        TEST(test_null_is_plain_and_a_string_is_quoted),
        TEST(test_block_scalars_are_strings),
        TEST(test_block_scalars_keep_empty_and_indented_lines),
        TEST(test_quotes_within_single_quotes_are_doubled),
        TEST(test_lines_of_quoted_scalars_are_folded),
        TEST(test_escapes_of_double_quotes),
        TEST(test_flow_style_as_kyaml_writes_it),
        TEST(test_json_with_tabs_and_escapes),
        TEST(test_windows_line_ends_and_byte_order_mark),
        TEST(test_directives_and_end_markers),
        TEST(test_empty_documents_have_no_root),
        TEST(test_keys_are_strings_whatever_they_look_like),
        TEST(test_a_key_given_twice_is_an_error_at_the_second),
        TEST(test_aliases_share_their_anchor),
        TEST(test_merge_keys_add_what_is_not_given),
        TEST(test_tags_of_the_core_schema_count_and_others_are_errors),
        TEST(test_nodes_know_their_place),
        TEST(test_node_get_finds_keys_of_maps_alone),
        TEST(test_syntax_errors_tell_their_place),
        TEST(test_a_broken_document_prints_nothing),
        TEST(test_what_is_not_text_is_an_error_and_cuts_nothing_off),
        TEST(test_bounds_on_depth_and_alias_expansion),
        TEST(test_streams_are_cut_at_markers),
        TEST(test_text_that_looks_like_a_marker_is_left_alone),
        TEST(test_directives_stay_with_their_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
