// SPDX-License-Identifier: Apache-2.0
#include "model/testing.h"

static void test_an_object_knows_its_identity_and_place(void **state)
{
    struct decoded decoded = decode("# shop\n"
                                    "apiVersion: v1\n"
                                    "kind: Service\n"
                                    "metadata:\n"
                                    "  name: web\n"
                                    "  namespace: shop\n"
                                    "  creationTimestamp: 1970-01-01T00:01:40Z\n"
                                    "  labels: {app: web, tier: \"1\"}\n"
                                    "  annotations: {a.b/c: x}\n"
                                    "  uid: 1-2\n"
                                    "spec: {ports: [{port: 80}]}\n");
    const struct object *object = decoded.object;
    assert_diags(&decoded, "");
    assert_int_equal(object->kind, KIND_SERVICE);
    assert_true(str_is(object->title, "Service shop/web"));
    assert_true(str_is(object->ns, "shop"));
    assert_true(str_is(object->name, "web"));
    assert_true(str_is(object->api_version, "v1"));
    assert_int_equal(object->name_line, 5);
    assert_int_equal(object->name_col, 9);
    assert_int_equal(object->created_s, 100);
    assert_string_equal(text_map_find(&object->labels, STR("tier"))->ptr, "1");
    assert_string_equal(object->annotations.items[0].key.ptr, "a.b/c");
    struct place place = object_place(object, 8, 3);
    assert_true(str_is(place.file, "f"));
    assert_int_equal(place.line, 8);
    decoded_fini(&decoded);
}

static void test_the_namespace_defaults_and_cluster_scoped_kinds_have_none(void **state)
{
    struct decoded decoded =
        decode("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}");
    assert_true(str_is(decoded.object->ns, "default"));
    assert_true(str_is(decoded.object->title, "Pod default/a"));
    decoded_fini(&decoded);
    decoded = decode("{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}");
    assert_int_equal(decoded.object->ns.len, 0);
    assert_true(str_is(decoded.object->title, "Namespace a"));
    assert_diags(&decoded, "f:1:66: warning[unknown-field] Namespace a metadata.namespace: "
                           "Namespace is cluster-scoped: a namespace has no effect\n");
    decoded_fini(&decoded);
}

static void test_lines_are_those_of_the_file(void **state)
{
    struct arena *scratch = arena_create(0);
    struct diags *diags = diags_create();
    struct decode_result result;
    decode_document(scratch, STR("---\nkind: Service\napiVersion: v1\nmetadata: {name: A}\n"),
                    STR("f"), 10, diags, &result);
    assert_int_equal(result.n, 0);
    assert_int_equal(result.n_broken, 1);
    assert_int_equal(result.broken[0].line, 11);
    assert_int_equal(diags_get(diags, 0)->place.line, 13);
    assert_true(str_is(diags_get(diags, 0)->path, "metadata.name"));
    diags_destroy(diags);
    arena_destroy(scratch);
}

static void test_what_is_no_object_is_reported_as_such(void **state)
{
    expect("- 1\n",
           "f:1:1: error[not-an-object] this is no object: a map with apiVersion, kind and "
           "metadata is due\n");
    expect("a: b\n", "f:1:1: error[not-an-object] apiVersion and kind are missing\n");
    expect("kind: Service\n", "f:1:1: error[not-an-object] apiVersion is missing\n");
    expect("apiVersion: v1\n", "f:1:1: error[not-an-object] kind is missing\n");
    expect("# nothing\n", "");
    expect("{apiVersion: v1, kind: Namespace, metadata: {generateName: a-}}",
           "f:1:46: error[not-an-object] Namespace metadata.name: is required; generateName is "
           "completed by an API server only; give a name\n");
    expect("{apiVersion: v1, kind: Namespace}",
           "f:1:2: error[not-an-object] Namespace metadata.name: is required\n");
}

static void test_a_syntax_error_has_its_line(void **state)
{
    struct decoded decoded = decode("apiVersion: v1\nkind: [\n");
    assert_true(decoded.result.is_unreadable);
    assert_int_equal(diags_count(decoded.diags), 1);
    assert_int_equal(diags_get(decoded.diags, 0)->code, DIAG_YAML_SYNTAX);
    decoded_fini(&decoded);
}

static void test_names_follow_the_rules_of_dns(void **state)
{
    expect(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
        "f:1:52: error[field-value] Namespace a.b metadata.name: \"a.b\": a lowercase RFC 1123 "
        "label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character\n");
    struct decoded decoded = decode("{apiVersion: networking.k8s.io/v1, kind: IngressClass, "
                                    "metadata: {name: a.b-c}, spec: {controller: x.y/z}}");
    assert_diags(&decoded, "");
    decoded_fini(&decoded);
    expect(
        "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: B}, "
        "spec: {ports: [{port: 1}]}}",
        "f:1:64: error[field-value] Service B/a metadata.namespace: \"B\": a lowercase RFC 1123 "
        "label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character\n");
    expect("{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {-a: b, c: d/e}}}",
           "f:1:64: error[field-value] Namespace a metadata.labels[-a]: \"-a\": name part must "
           "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
           "alphanumeric character, no more than 63 of them\n"
           "f:1:74: error[field-value] Namespace a metadata.labels[c]: \"d/e\": a valid label must "
           "be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
           "start and end with an alphanumeric character, no more than 63 of them\n");
}

static void test_an_unquoted_annotation_is_refused_as_by_the_api_server(void **state)
{
    struct decoded decoded = decode(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {b: true, c: 1.10}}}");
    assert_diags(
        &decoded,
        "f:1:72: error[field-type] Namespace a metadata.annotations[b]: true is a boolean, "
        "a string is due; put it in quotes\n"
        "f:1:81: error[field-type] Namespace a metadata.annotations[c]: 1.10 is a number, a "
        "string is due; put it in quotes\n");
    assert_int_equal(decoded.result.n, 0);
    assert_int_equal(decoded.result.n_broken, 1);
    assert_true(decoded.result.had_errors);
    assert_true(str_is(decoded.result.broken[0].name, "a"));
    decoded_fini(&decoded);
}

static void test_lists_hold_objects_and_typed_lists_tell_their_kind(void **state)
{
    struct decoded decoded = decode("apiVersion: v1\n"
                                    "kind: List\n"
                                    "items:\n"
                                    "- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"
                                    "- {apiVersion: v1, kind: Service, metadata: {name: b}, spec: "
                                    "{ports: [{port: x}]}}\n"
                                    "- {apiVersion: apps/v1, kind: Deployment}\n"
                                    "- {apiVersion: apps/v1, kind: Deployment}\n");
    assert_diags(&decoded,
                 "f:5:78: error[field-type] Service default/b items[1].spec.ports[0].port: "
                 "x is a string, a number is due\n");
    assert_int_equal(decoded.result.n, 1);
    assert_int_equal(decoded.result.n_broken, 1);
    assert_int_equal(decoded.result.n_skipped, 1);
    assert_int_equal(decoded.result.skipped[0].n, 2);
    assert_int_equal(decoded.result.skipped[0].line, 6);
    decoded_fini(&decoded);
    decoded = decode("{apiVersion: v1, kind: NamespaceList, items: [{metadata: {name: a}}, "
                     "{metadata: {name: b}}]}");
    assert_diags(&decoded, "");
    assert_int_equal(decoded.result.n, 2);
    assert_true(str_is(decoded.result.objects[1]->title, "Namespace b"));
    decoded_fini(&decoded);
    expect("{apiVersion: v1, kind: List, items: {}}",
           "f:1:37: error[not-an-object] items is not a list\n");
}

static void test_json_is_read_as_well(void **state)
{
    struct decoded decoded = decode("{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n"
                                    " \"metadata\": {\"name\": \"a\"},\n"
                                    " \"spec\": {\"ports\": [{\"port\": 80}]}}\n");
    assert_diags(&decoded, "");
    assert_int_equal(decoded.object->service->ports[0].port.value, 80);
    decoded_fini(&decoded);
}

static void test_other_kinds_are_passed_over_and_a_slip_gets_a_hint(void **state)
{
    struct decoded decoded = decode("{apiVersion: networking.k8s.io/v1, kind: Ingres}");
    assert_diags(&decoded, "");
    assert_int_equal(decoded.result.n_skipped, 1);
    assert_string_equal(decoded.result.skipped[0].meant, "Ingress");
    decoded_fini(&decoded);
    decoded = decode("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway}");
    assert_int_equal(decoded.result.n_skipped, 1);
    assert_null(decoded.result.skipped[0].meant);
    decoded_fini(&decoded);
}

static void test_outdated_versions_are_refused_with_the_right_one(void **state)
{
    struct decoded decoded =
        decode("{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}");
    assert_diags(&decoded, "f:1:14: error[api-version] Ingress default/a apiVersion: "
                           "extensions/v1beta1 is not served; Ingress is served as "
                           "networking.k8s.io/v1; in networking.k8s.io/v1 every path has a "
                           "pathType, and a backend is service.name and service.port instead of "
                           "serviceName and servicePort\n");
    assert_int_equal(decoded.result.n_broken, 1);
    decoded_fini(&decoded);
    expect(
        "{apiVersion: discovery.k8s.io/v1beta1, kind: EndpointSlice, metadata: {name: a}}",
        "f:1:14: error[api-version] EndpointSlice default/a apiVersion: discovery.k8s.io/v1beta1 "
        "is not served; EndpointSlice is served as discovery.k8s.io/v1; write apiVersion: "
        "discovery.k8s.io/v1\n");
    static const char *const versions[] = {"v1", "v1beta1", "v1alpha3"};
    for (size_t i = 0; i < 3; i++) {
        struct buf text = {0};
        buf_printf(
            &text,
            "{apiVersion: networking.istio.io/%s, kind: DestinationRule, metadata: {name: a}, "
            "spec: {host: a}}",
            versions[i]);
        decoded = decode(text.data);
        assert_diags(&decoded, "");
        assert_true(str_has_suffix(decoded.object->api_version, str_of(versions[i])));
        decoded_fini(&decoded);
        buf_fini(&text);
    }
}

static void test_every_kind_has_a_reference_page(void **state)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        struct buf page = {0}, title = {0};
        buf_printf(&title, "# %s\n", kind_word((enum kind)kind));
        decode_print_reference((enum kind)kind, &page);
        assert_true(str_has_prefix(buf_str(&page), buf_str(&title)));
        assert_non_null(strstr(page.data, "\nServed as `"));
        buf_fini(&page);
        buf_fini(&title);
    }
    struct buf page = {0};
    decode_print_reference(KIND_INGRESS, &page);
    assert_non_null(strstr(page.data,
                           "| `spec.rules[].http.paths[].pathType` | one of `Exact`, `Prefix`, "
                           "`ImplementationSpecific`, **required** |"));
    buf_fini(&page);
}

static void test_a_kind_of_ours_in_a_wrong_group_or_other_letters_is_broken(void **state)
{
    static const char *const slips[] = {
        "{apiVersion: v1, kind: Ingress, metadata: {name: a}}",
        "{apiVersion: networking.k8s.io/v1, kind: ingress, metadata: {name: a}}",
        "{apiVersion: networking.istio.io/v1, kind: INGRESS, metadata: {name: a}}",
    };
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        struct decoded decoded = decode(slips[i]);
        assert_int_equal(diags_count(decoded.diags), 1);
        assert_int_equal(diags_get(decoded.diags, 0)->code, DIAG_API_VERSION);
        assert_int_equal(decoded.result.n_broken, 1); // its last good version stays
        assert_int_equal(decoded.result.broken[0].kind, KIND_INGRESS);
        assert_true(str_is(decoded.result.broken[0].name, "a"));
        decoded_fini(&decoded);
    }
    struct decoded decoded = decode("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway}");
    assert_int_equal(decoded.result.n_broken, 0);
    assert_int_equal(decoded.result.n_skipped, 1);
    decoded_fini(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_knows_its_identity_and_place),
        cmocka_unit_test(test_the_namespace_defaults_and_cluster_scoped_kinds_have_none),
        cmocka_unit_test(test_lines_are_those_of_the_file),
        cmocka_unit_test(test_what_is_no_object_is_reported_as_such),
        cmocka_unit_test(test_a_syntax_error_has_its_line),
        cmocka_unit_test(test_names_follow_the_rules_of_dns),
        cmocka_unit_test(test_an_unquoted_annotation_is_refused_as_by_the_api_server),
        cmocka_unit_test(test_lists_hold_objects_and_typed_lists_tell_their_kind),
        cmocka_unit_test(test_json_is_read_as_well),
        cmocka_unit_test(test_other_kinds_are_passed_over_and_a_slip_gets_a_hint),
        cmocka_unit_test(test_outdated_versions_are_refused_with_the_right_one),
        cmocka_unit_test(test_every_kind_has_a_reference_page),
        cmocka_unit_test(test_a_kind_of_ours_in_a_wrong_group_or_other_letters_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
