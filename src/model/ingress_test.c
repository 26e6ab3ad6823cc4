// SPDX-License-Identifier: Apache-2.0
#include "model/testing.h"

#define INGRESS(spec)                                                                              \
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: " spec "}"
#define BACKEND "backend: {service: {name: s, port: {number: 80}}}"
#define PATH(path) INGRESS("{rules: [{http: {paths: [{" path ", " BACKEND "}]}}]}")
#define WITH(backend)                                                                              \
    INGRESS("{rules: [{http: {paths: [{path: /, pathType: Prefix, backend: " backend "}]}}]}")
#define HOST(host) INGRESS("{rules: [{host: " host "}]}")

static void test_an_ingress_holds_what_was_written(void **state)
{
    struct decoded decoded =
        decode("apiVersion: networking.k8s.io/v1\n"
               "kind: Ingress\n"
               "metadata: {name: minimal-ingress}\n"
               "spec:\n"
               "  ingressClassName: nginx\n"
               "  defaultBackend: {service: {name: d, port: {name: http}}}\n"
               "  tls: [{hosts: [a.example.com], secretName: s}]\n"
               "  rules:\n"
               "  - host: a.example.com\n"
               "    http:\n"
               "      paths:\n"
               "      - path: /testpath\n"
               "        pathType: Exact\n"
               "        backend:\n"
               "          service:\n"
               "            name: test\n"
               "            port:\n"
               "              number: 80\n"
               "  - http:\n"
               "      paths:\n"
               "      - pathType: ImplementationSpecific\n"
               "        backend: {resource: {apiGroup: g, kind: K, name: x}}\n");
    assert_diags(&decoded, "");
    const struct ingress *ingress = decoded.object->ingress;
    const struct ingress_path *path = &ingress->rules[0].paths[0];
    assert_string_equal(ingress->class_name.ptr, "nginx");
    assert_true(ingress->default_backend.is_set);
    assert_string_equal(ingress->default_backend.port.name.ptr, "http");
    assert_string_equal(path->path.ptr, "/testpath");
    assert_int_equal(path->path_type, PATH_TYPE_EXACT);
    assert_int_equal(path->line, 12);
    assert_string_equal(path->backend.service.ptr, "test");
    assert_int_equal(path->backend.port.number, 80);
    assert_true(path->backend.port.is_set);
    assert_true(ingress->rules[1].has_http);
    assert_null(ingress->rules[1].host.ptr);
    assert_string_equal(ingress->rules[1].paths[0].backend.resource_kind.ptr, "K");
    assert_string_equal(ingress->tls[0].secret_name.ptr, "s");
    decoded_fini(&decoded);
}

static void test_an_ingress_needs_rules_or_a_default_backend(void **state)
{
    const char *message =
        "field-required spec: either `defaultBackend` or `rules` must be specified\n";
    expect_messages(INGRESS("{}"), message);
    expect_messages(INGRESS("{rules: []}"), message);
    expect_messages("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}}",
                    message);
    expect_messages(INGRESS("{rules: [{host: a.b}]}"), "");
    expect_messages(INGRESS("{rules: [{http: {paths: []}}]}"),
                    "field-required spec.rules[0].http.paths: paths: required value\n");
    expect_messages(INGRESS("{rules: [{http: {}}]}"),
                    "field-required spec.rules[0].http.paths: paths: required value\n");
}

static void test_hosts_are_dns_names_without_a_port(void **state)
{
    expect_messages(HOST("'*.foo.com'"), "");
    expect_messages(HOST("\"\""), "");
    expect_messages(HOST("1.2.3.4"), "field-value spec.rules[0].host: \"1.2.3.4\": must be a DNS "
                                     "name, not an IP address\n");
    const char *wildcard = "a wildcard DNS-1123 subdomain must start with '*.', followed by a "
                           "valid DNS subdomain\n";
    static const char *const wrong[] = {"'*'", "'*foo.com'", "'foo.*.com'", "'*.*.com'", "'*.'"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct buf text = {0}, message = {0};
        buf_printf(&text, HOST("%s"), wrong[i]);
        buf_printf(&message, "field-value spec.rules[0].host: \"%.*s\": %s",
                   (int)strlen(wrong[i]) - 2, wrong[i] + 1, wildcard);
        expect_messages(text.data, message.data);
        buf_fini(&text);
        buf_fini(&message);
    }
    struct decoded decoded = decode(HOST("'foo.com:80'"));
    assert_true(str_is(diags_get(decoded.diags, 0)->hint, "a host has no port here"));
    assert_true(decoded.object->ingress->rules[0].is_invalid);
    assert_true(decoded.object->has_invalid_parts);
    decoded_fini(&decoded);
}

static void test_paths_are_checked_by_their_type(void **state)
{
#define AT "spec.rules[0].http.paths[0]."
    expect_messages(PATH("path: /"), "field-required " AT "pathType: pathType must be specified\n");
    expect_messages(PATH("path: /, pathType: Prefixx"),
                    "field-value " AT "pathType: \"Prefixx\" is not Exact, Prefix or "
                    "ImplementationSpecific\n");
    expect_messages(PATH("path: foo, pathType: Exact"),
                    "field-value " AT "path: \"foo\": must be an absolute path\n");
    expect_messages(PATH("pathType: Prefix"),
                    "field-value " AT "path: \"\": must be an absolute path\n");
    expect_messages(PATH("pathType: ImplementationSpecific"), "");
    expect_messages(PATH("path: foo, pathType: ImplementationSpecific"),
                    "field-value " AT "path: \"foo\": must be an absolute path\n");
    expect_messages(PATH("path: //a, pathType: ImplementationSpecific"), "");
    expect_messages(PATH("path: //a, pathType: Prefix"),
                    "field-value " AT "path: \"//a\": must not contain '//'\n");
    expect_messages(PATH("path: /a/./b, pathType: Prefix"),
                    "field-value " AT "path: \"/a/./b\": must not contain '/./'\n");
    expect_messages(PATH("path: /a/../b, pathType: Exact"),
                    "field-value " AT "path: \"/a/../b\": must not contain '/../'\n");
    expect_messages(PATH("path: /a%2fb%2F, pathType: Prefix"),
                    "field-value " AT "path: \"/a%2fb%2F\": must not contain '%2F'\n"
                    "field-value " AT "path: \"/a%2fb%2F\": must not contain '%2f'\n");
    expect_messages(PATH("path: /a/.., pathType: Prefix"),
                    "field-value " AT "path: \"/a/..\": cannot end with '/..'\n");
    expect_messages(PATH("path: /a/., pathType: Exact"),
                    "field-value " AT "path: \"/a/.\": cannot end with '/.'\n");
    expect_messages(PATH("path: /a., pathType: Exact"), "");
#undef AT
}

static void test_a_backend_is_one_service_with_one_port_or_a_resource(void **state)
{
#define AT "spec.rules[0].http.paths[0].backend"
    expect_messages(WITH("{}"), "field-required " AT ": resource or service backend is required\n");
    expect_messages(WITH("{service: {name: s, port: {number: 1, name: p}}}"),
                    "field-conflict " AT
                    ".service.port: cannot set both port name & port number\n");
    expect_messages(WITH("{service: {name: s, port: {}}}"),
                    "field-required " AT ".service.port: port name or number is required\n");
    expect_messages(WITH("{service: {name: s}}"),
                    "field-required " AT ".service.port: port name or number is required\n");
    expect_messages(WITH("{service: {port: {number: 1}}}"),
                    "field-required " AT ".service.name: is required\n");
    expect_messages(WITH("{service: {name: s, port: {number: 1}}, resource: {kind: K, name: x}}"),
                    "field-conflict " AT ": cannot set both resource and service backends\n");
    expect_messages(WITH("{service: {name: s, port: {number: 65536}}}"),
                    "field-value " AT
                    ".service.port.number: 65536: must be between 1 and 65535, inclusive\n");
    struct decoded decoded = decode(WITH("{serviceName: s, servicePort: 80}"));
    assert_int_equal(diags_count(decoded.diags), 3);
    assert_true(str_is(diags_get(decoded.diags, 2)->hint,
                       "write service.name and service.port.number instead of serviceName and "
                       "servicePort"));
    decoded_fini(&decoded);
#undef AT
}

static void test_a_bad_path_harms_itself_alone(void **state)
{
    struct decoded decoded = decode(INGRESS(
        "{rules: [{host: a.b, http: {paths: [{path: x, pathType: Exact, " BACKEND
        "}, {path: /y, pathType: Exact, " BACKEND "}]}}, {host: A, http: {paths: [{path: /, "
        "pathType: Prefix, " BACKEND "}]}}]}"));
    const struct ingress *ingress = decoded.object->ingress;
    assert_int_equal(diags_count_level(decoded.diags, DIAG_ERROR), 2);
    assert_int_equal(decoded.result.n, 1);
    assert_int_equal(decoded.result.n_broken, 0);
    assert_true(decoded.object->has_invalid_parts);
    assert_false(ingress->rules[0].is_invalid);
    assert_true(ingress->rules[0].paths[0].is_invalid);
    assert_false(ingress->rules[0].paths[1].is_invalid);
    assert_true(ingress->rules[1].is_invalid);
    decoded_fini(&decoded);
}

static void test_a_bad_default_backend_is_left_out_next_to_rules(void **state)
{
    struct decoded decoded =
        decode(INGRESS("{defaultBackend: {service: {name: s}}, rules: [{host: a.b}]}"));
    assert_int_equal(decoded.result.n, 1);
    assert_false(decoded.object->ingress->default_backend.is_set);
    assert_true(decoded.object->has_invalid_parts);
    decoded_fini(&decoded);
    decoded = decode(INGRESS("{defaultBackend: {service: {name: s}}}"));
    assert_int_equal(decoded.result.n, 0);
    assert_int_equal(decoded.result.n_broken, 1);
    assert_int_equal(diags_count(decoded.diags), 1);
    decoded_fini(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ingress_holds_what_was_written),
        cmocka_unit_test(test_an_ingress_needs_rules_or_a_default_backend),
        cmocka_unit_test(test_hosts_are_dns_names_without_a_port),
        cmocka_unit_test(test_paths_are_checked_by_their_type),
        cmocka_unit_test(test_a_backend_is_one_service_with_one_port_or_a_resource),
        cmocka_unit_test(test_a_bad_path_harms_itself_alone),
        cmocka_unit_test(test_a_bad_default_backend_is_left_out_next_to_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
