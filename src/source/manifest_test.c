// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "model/kubernetes.h"
#include "source/manifest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SVC(name, port)                                                                            \
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: " name "\nspec:\n  ports: [{port: " port    \
    "}]\n"
#define KEPT "the version without mistakes stays in force until this one is mended"

struct fixture {
    struct store *store;
    struct manifest *manifest;
};

static struct fixture setup(const char *text)
{
    struct fixture f = {store_create(), manifest_create(STR("f.yaml"))};
    manifest_take(f.manifest, f.store, str_of(text), false);
    return f;
}

static void teardown(struct fixture *f)
{
    manifest_destroy(f->manifest, f->store);
    store_destroy(f->store);
}

static enum manifest_result take(struct fixture *f, const char *text)
{
    return manifest_take(f->manifest, f->store, str_of(text), false);
}

static const struct object *service(const struct fixture *f, const char *name)
{
    return store_find(f->store, KIND_SERVICE, STR("default"), str_of(name));
}

static int64_t port(const struct fixture *f, const char *name)
{
    const struct object *object = service(f, name);
    return object ? object->service->ports[0].port.value : 0;
}

static void assert_report(const struct fixture *f, const char *expected)
{
    struct diags *diags = diags_create();
    struct buf out = {0};
    manifest_report(f->manifest, diags);
    for (size_t i = 0; i < diags_count(diags); i++) {
        diag_render(diags_get(diags, i), &out);
        buf_add_char(&out, '\n');
    }
    diags_destroy(diags);
    assert_string_equal(out.data ? out.data : "", expected);
    buf_fini(&out);
}

static void test_unchanged_documents_keep_their_very_objects(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2") "---\n" SVC("c", "3"));
    const struct object *a = service(&f, "a"), *b = service(&f, "b"), *c = service(&f, "c");
    assert_int_equal(take(&f, SVC("a", "1") "---\n" SVC("b", "2") "---\n" SVC("c", "3")),
                     MANIFEST_UNCHANGED);
    assert_int_equal(take(&f, SVC("a", "1") "---\n" SVC("b", "4") "---\n" SVC("c", "3")),
                     MANIFEST_CHANGED);
    assert_ptr_equal(service(&f, "a"), a);
    assert_ptr_not_equal(service(&f, "b"), b);
    assert_int_equal(port(&f, "b"), 4);
    assert_ptr_equal(service(&f, "c"), c);
    teardown(&f);
}

static void test_documents_that_move_keep_their_objects_and_learn_their_lines(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "x") "---\n" SVC("c", "3"));
    const struct object *c = service(&f, "c");
    assert_int_equal(c->first_line, 14);
    assert_report(&f,
                  "f.yaml:13:18: error[field-type] Service default/b spec.ports[0].port: x is a "
                  "string, a number is due\n");
    take(&f, "# new\n# lines\n" SVC("a", "1") "---\n" SVC("b", "x") "---\n" SVC("c", "3"));
    assert_ptr_equal(service(&f, "c"), c);
    assert_int_equal(c->first_line, 16);
    assert_report(&f,
                  "f.yaml:15:18: error[field-type] Service default/b spec.ports[0].port: x is a "
                  "string, a number is due\n");
    take(&f, "---\n" SVC("c", "3") "---\n" SVC("b", "x") "---\n" SVC("a", "1"));
    assert_ptr_equal(service(&f, "c"), c);
    assert_int_equal(service(&f, "c")->first_line, 1);
    assert_int_equal(port(&f, "a"), 1);
    teardown(&f);
}

static void test_what_leaves_the_file_leaves_the_store(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2"));
    take(&f, SVC("b", "2"));
    assert_null(service(&f, "a"));
    assert_int_equal(port(&f, "b"), 2);
    take(&f, "");
    assert_int_equal(store_counts(f.store).objects, 0);
    teardown(&f);
}

static void test_a_broken_version_keeps_the_last_good_one(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2"));
    const struct object *a = service(&f, "a");
    uint64_t sequence = a->sequence;
    take(&f, SVC("a", "none") "---\n" SVC("b", "3"));
    assert_ptr_equal(service(&f, "a"), a);
    assert_true(a->is_last_good);
    assert_int_equal(port(&f, "b"), 3);
    assert_int_equal(store_counts(f.store).last_good, 1);
    assert_report(&f,
                  "f.yaml:6:18: error[field-type] Service default/a spec.ports[0].port: none is "
                  "a string, a number is due\n"
                  "f.yaml:2:7: warning[kept-last-good] Service default/a: " KEPT "\n");
    take(&f, SVC("a", "worse") "---\n" SVC("b", "3"));
    assert_ptr_equal(service(&f, "a"), a);
    take(&f, SVC("a", "5") "---\n" SVC("b", "3"));
    assert_int_equal(port(&f, "a"), 5);
    assert_false(service(&f, "a")->is_last_good);
    assert_int_equal(service(&f, "a")->sequence, sequence);
    assert_report(&f, "");
    teardown(&f);
}

static void test_a_broken_object_that_is_deleted_is_gone(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2"));
    take(&f, SVC("a", "none") "---\n" SVC("b", "2"));
    assert_non_null(service(&f, "a"));
    take(&f, SVC("b", "2"));
    assert_null(service(&f, "a"));
    teardown(&f);
}

static void test_an_object_that_was_never_good_is_counted_as_broken(void **state)
{
    struct fixture f = setup(SVC("a", "none"));
    assert_null(service(&f, "a"));
    assert_int_equal(store_counts(f.store).broken, 1);
    take(&f, SVC("a", "1"));
    assert_int_equal(store_counts(f.store).broken, 0);
    assert_int_equal(port(&f, "a"), 1);
    teardown(&f);
}

#define INGRESS(first, second)                                                                     \
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n"      \
    "  - host: " first "\n  - host: " second "\n"

static const struct object *ingress(const struct fixture *f)
{
    return store_find(f->store, KIND_INGRESS, STR("default"), STR("a"));
}

static void test_a_part_with_a_mistake_counts_only_while_there_is_nothing_better(void **state)
{
    struct fixture f = setup(INGRESS("a.b", "C"));
    assert_true(ingress(&f)->has_invalid_parts);
    assert_false(ingress(&f)->ingress->rules[0].is_invalid);
    take(&f, INGRESS("a.b", "D"));
    assert_true(ingress(&f)->has_invalid_parts);
    assert_string_equal(ingress(&f)->ingress->rules[1].host.ptr, "D");
    take(&f, INGRESS("a.b", "c"));
    const struct object *good = ingress(&f);
    assert_false(good->has_invalid_parts);
    take(&f, INGRESS("x.y", "C"));
    assert_ptr_equal(ingress(&f), good);
    assert_true(good->is_last_good);
    teardown(&f);
}

static void test_a_syntax_error_keeps_what_cannot_be_told_any_more(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2") "---\n" SVC("c", "3"));
    take(&f, SVC("a", "1") "---\n" SVC("b", "[") "---\n" SVC("c", "4"));
    assert_int_equal(port(&f, "b"), 2);
    assert_true(service(&f, "b")->is_last_good);
    assert_false(service(&f, "a")->is_last_good);
    assert_int_equal(port(&f, "c"), 4);
    take(&f, SVC("a", "1") "---\n" SVC("b", "[") "---\n" SVC("c", "5"));
    assert_int_equal(port(&f, "b"), 2);
    struct diags *diags = diags_create();
    manifest_report(f.manifest, diags);
    assert_int_equal(diags_count(diags), 2);
    assert_int_equal(diags_get(diags, 0)->code, DIAG_YAML_SYNTAX);
    assert_int_equal(diags_get(diags, 1)->code, DIAG_KEPT_LAST_GOOD);
    assert_true(str_is(diags_get(diags, 1)->object, "Service default/b"));
    diags_destroy(diags);
    take(&f, SVC("a", "1") "---\n" SVC("b", "2") "---\n" SVC("c", "5"));
    assert_false(service(&f, "b")->is_last_good);
    take(&f, SVC("a", "1") "---\n" SVC("b", "[") "---\n" SVC("c", "5"));
    take(&f, SVC("a", "1") "---\n" SVC("c", "5"));
    assert_null(service(&f, "b"));
    teardown(&f);
}

static void test_an_object_that_does_not_say_who_it_is_keeps_the_last_good_one(void **state)
{
    static const char *const slips[] = {
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetdata: {name: a}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {nam: a}\n",
        "apiVersion: networking.k8s.io/v1\nkin: Ingress\nmetadata: {name: a}\n",
        "apiVersio: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n",
    };
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        struct fixture f = setup(INGRESS("a.b", "c"));
        const struct object *good = ingress(&f);
        take(&f, slips[i]);
        assert_ptr_equal(ingress(&f), good);
        assert_true(good->is_last_good);
        take(&f, INGRESS("a.b", "d"));
        assert_string_equal(ingress(&f)->ingress->rules[1].host.ptr, "d");
        assert_false(ingress(&f)->is_last_good);
        take(&f, "");
        assert_null(ingress(&f));
        teardown(&f);
    }
}

static void test_while_a_file_is_being_written_nothing_goes(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("b", "2"));
    manifest_take(f.manifest, f.store, STR(SVC("a", "9") "---\n" SVC("b", "3")), true);
    assert_int_equal(port(&f, "a"), 9);
    assert_int_equal(port(&f, "b"), 2); // the rest of it may still come
    assert_false(service(&f, "b")->is_last_good);
    assert_report(&f, "");
    manifest_take(f.manifest, f.store, STR(SVC("a", "9") "---\n" SVC("b", "3") "...\n"), true);
    assert_int_equal(port(&f, "b"), 3);
    manifest_take(f.manifest, f.store, STR(""), true);
    assert_int_equal(port(&f, "a"), 9);
    assert_int_equal(port(&f, "b"), 3);
    take(&f, SVC("a", "9"));
    assert_int_equal(port(&f, "a"), 9);
    assert_null(service(&f, "b"));
    teardown(&f);
}

static void test_other_kinds_are_one_note_a_kind(void **state)
{
    struct fixture f = setup("{apiVersion: apps/v1, kind: Deployment}\n---\n"
                             "{apiVersion: v1, kind: ConfigMap}\n---\n"
                             "{apiVersion: apps/v1, kind: Deployment}\n---\n"
                             "{apiVersion: networking.k8s.io/v1, kind: Ingres}\n");
    assert_report(
        &f, "f.yaml:1:29: note[kind-not-served] Deployment: 2 objects of apps/v1 are passed over\n"
            "f.yaml:3:24: note[kind-not-served] ConfigMap: 1 object of v1 is passed over\n"
            "f.yaml:7:42: note[kind-not-served] Ingres: 1 object of networking.k8s.io/v1 is passed "
            "over; did you mean \"Ingress\"?\n");
    teardown(&f);
}

static void test_twice_in_one_file_the_first_counts(void **state)
{
    struct fixture f = setup(SVC("a", "1") "---\n" SVC("a", "2"));
    assert_int_equal(port(&f, "a"), 1);
    take(&f, SVC("a", "2") "---\n" SVC("a", "1"));
    assert_int_equal(port(&f, "a"), 2);
    take(&f, SVC("a", "1"));
    assert_int_equal(port(&f, "a"), 1);
    teardown(&f);
}

// --- the naive twin: a file taken anew ---------------------------------------------------------

static uint32_t random_state;

static uint32_t pick(uint32_t n)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 8) % n;
}

enum { DOCUMENTS_MAX = 12 };

static void render(struct buf *out, const uint32_t *documents, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        // The name is the upper part, so that one may stand in the file twice.
        unsigned name = documents[i] / 8 % 10, number = documents[i] % 8 + 1;
        if (i > 0)
            buf_add_text(out, "---\n");
        if (documents[i] % 4 == 1)
            buf_add_text(out, "# a comment\n");
        if (documents[i] % 4 == 2)
            buf_printf(out, "{apiVersion: v1, kind: Service, metadata: {name: s%u}, ", name);
        else
            buf_printf(out, "apiVersion: v1\nkind: Service\nmetadata: {name: s%u}\n", name);
        buf_printf(out, "spec: {ports: [{port: %u}]}%s\n", number,
                   documents[i] % 4 == 2 ? "}" : "");
        if (documents[i] % 4 == 3)
            buf_add_text(out, "...\n");
    }
}

static void assert_equal_stores(const struct store *a, const struct store *b)
{
    assert_int_equal(store_counts(a).objects, store_counts(b).objects);
    for (unsigned i = 0; i < 10; i++) {
        char name[8] = {'s', (char)('0' + i)};
        const struct object *one = store_find(a, KIND_SERVICE, STR("default"), str_of(name));
        const struct object *other = store_find(b, KIND_SERVICE, STR("default"), str_of(name));
        assert_int_equal(one != NULL, other != NULL);
        if (!one)
            continue;
        assert_int_equal(one->first_line, other->first_line);
        assert_int_equal(one->name_line, other->name_line);
        assert_int_equal(one->is_last_good, other->is_last_good);
        assert_int_equal(one->service->ports[0].port.value, other->service->ports[0].port.value);
    }
}

static void test_any_series_of_edits_ends_as_if_the_file_were_read_anew(void **state)
{
    struct fixture f = setup("");
    uint32_t documents[DOCUMENTS_MAX];
    size_t n = 0;
    random_state = 1;
    for (int step = 0; step < 1500; step++) {
        for (uint32_t edits = pick(3) + 1; edits > 0; edits--) {
            uint32_t what = pick(4);
            if (what == 0 && n < DOCUMENTS_MAX) { // insert
                size_t at = pick((uint32_t)n + 1);
                memmove(&documents[at + 1], &documents[at], (n - at) * sizeof(documents[0]));
                documents[at] = pick(80);
                n++;
            } else if (what == 1 && n > 0) { // remove
                size_t at = pick((uint32_t)n);
                n--;
                memmove(&documents[at], &documents[at + 1], (n - at) * sizeof(documents[0]));
            } else if (what == 2 && n > 1) { // swap
                size_t a = pick((uint32_t)n), b = pick((uint32_t)n);
                uint32_t other = documents[a];
                documents[a] = documents[b];
                documents[b] = other;
            } else if (n > 0) { // change
                documents[pick((uint32_t)n)] = pick(80);
            }
        }
        struct buf text = {0};
        buf_add_text(&text, pick(4) ? "" : "\n");
        render(&text, documents, n);
        manifest_take(f.manifest, f.store, buf_str(&text), false);
        struct fixture fresh = setup(text.data ? text.data : "");
        assert_equal_stores(f.store, fresh.store);
        teardown(&fresh);
        buf_fini(&text);
    }
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unchanged_documents_keep_their_very_objects),
        cmocka_unit_test(test_documents_that_move_keep_their_objects_and_learn_their_lines),
        cmocka_unit_test(test_what_leaves_the_file_leaves_the_store),
        cmocka_unit_test(test_a_broken_version_keeps_the_last_good_one),
        cmocka_unit_test(test_a_broken_object_that_is_deleted_is_gone),
        cmocka_unit_test(test_an_object_that_was_never_good_is_counted_as_broken),
        cmocka_unit_test(test_a_part_with_a_mistake_counts_only_while_there_is_nothing_better),
        cmocka_unit_test(test_a_syntax_error_keeps_what_cannot_be_told_any_more),
        cmocka_unit_test(test_an_object_that_does_not_say_who_it_is_keeps_the_last_good_one),
        cmocka_unit_test(test_while_a_file_is_being_written_nothing_goes),
        cmocka_unit_test(test_other_kinds_are_one_note_a_kind),
        cmocka_unit_test(test_twice_in_one_file_the_first_counts),
        cmocka_unit_test(test_any_series_of_edits_ends_as_if_the_file_were_read_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
