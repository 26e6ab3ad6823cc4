// SPDX-License-Identifier: Apache-2.0
// Service, Endpoints, EndpointSlice, Pod, Namespace, IngressClass.
#include "model/testing.h"
#include <stdio.h>

#define SERVICE(spec) "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: " spec "}"
#define SLICE(rest)                                                                                \
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, " rest "}"
#define CLASS(spec)                                                                                \
    "{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: a}, spec: " spec "}"

static void test_a_service_holds_what_was_written(void **state)
{
    struct decoded decoded = decode("apiVersion: v1\n"
                                    "kind: Service\n"
                                    "metadata: {name: my-service}\n"
                                    "spec:\n"
                                    "  type: NodePort\n"
                                    "  selector:\n"
                                    "    app: MyApp\n"
                                    "  ports:\n"
                                    "  - port: 80\n"
                                    "    nodePort: 30007\n"
                                    "    appProtocol: kubernetes.io/h2c\n"
                                    "  clusterIP: 10.0.0.7\n"
                                    "  clusterIPs: [10.0.0.7, 'fd00::7']\n"
                                    "  externalIPs: [192.0.2.1]\n"
                                    "  publishNotReadyAddresses: true\n");
    assert_diags(&decoded, "");
    const struct service *service = decoded.object->service;
    assert_int_equal(service->type, SERVICE_NODE_PORT);
    assert_string_equal(text_map_find(&service->selector, STR("app"))->ptr, "MyApp");
    assert_int_equal(service->n_ports, 1);
    assert_int_equal(service->ports[0].node_port.value, 30007);
    assert_int_equal(service->ports[0].line, 9);
    assert_int_equal(service->ports[0].col, 5);
    assert_string_equal(service->ports[0].app_protocol.ptr, "kubernetes.io/h2c");
    assert_null(service->ports[0].name.ptr);
    assert_int_equal(service->cluster_ips.n, 2);
    assert_string_equal(service->cluster_ips.items[1].ptr, "fd00::7");
    assert_true(service->publish_not_ready_addresses.value);
    decoded_fini(&decoded);
}

#define SECRET(rest) "{apiVersion: v1, kind: Secret, metadata: {name: a}, " rest "}"

static void test_a_secret_holds_bytes_and_texts(void **state)
{
    struct decoded decoded =
        decode(SECRET("type: kubernetes.io/tls, immutable: true, data: "
                      "{tls.crt: \"QUJD\\nRA==\\n\", tls.key: YWI=, zero: AAE=, "
                      "none: }, stringData: {tls.key: plain}"));
    assert_diags(&decoded, "");
    const struct secret *secret = decoded.object->secret;
    assert_string_equal(secret->type.ptr, "kubernetes.io/tls");
    assert_string_equal(secret_find(secret, "tls.crt")->value.ptr, "ABCD");
    assert_int_equal(secret_find(secret, "tls.crt")->value.len, 4);
    assert_string_equal(secret_find(secret, "tls.key")->value.ptr, "plain");
    assert_int_equal(secret_find(secret, "zero")->value.len, 2);
    assert_memory_equal(secret_find(secret, "zero")->value.ptr, "\0\1", 2);
    assert_int_equal(secret_find(secret, "none")->value.len, 0);
    assert_null(secret_find(secret, "ca.crt"));
    decoded_fini(&decoded);
}

static void test_what_is_wrong_with_a_secret_does_not_tell_it(void **state)
{
    static const struct {
        const char *data, *said;
    } rows[] = {
        {"hunter2", "field-value data[k]: illegal base64 data at input byte 7\n"},
        {"\"hun*er22\"", "field-value data[k]: illegal base64 data at input byte 3\n"},
        {"hunter", "field-value data[k]: illegal base64 data at input byte 6\n"},
        {"h===", "field-value data[k]: illegal base64 data at input byte 1\n"},
        {"hu==hunt", "field-value data[k]: illegal base64 data at input byte 4\n"},
        {"1234", "field-type data[k]: this is no string\n"},
        {"true", "field-type data[k]: this is no string\n"},
        {"[hunter2]", "field-type data[k]: this is no string\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), SECRET("data: {k: %s}"), rows[i].data);
        expect_messages(text, rows[i].said);
    }
    expect_messages(SECRET("data: {\"a b\": \"\"}"),
                    "field-value data[a b]: a valid config key must consist of alphanumeric "
                    "characters, '-', '_' or '.'\n");
    expect_messages(SECRET("stringData: {k: 1234}"),
                    "field-type stringData[k]: this is no string\n");
    expect_messages(SECRET("data: [a]"),
                    "field-type data: this is a list, a map of strings is due\n");
}

static void test_service_types_have_their_rules(void **state)
{
    expect_messages(SERVICE("{}"), "field-required spec.ports: is required\n");
    expect_messages(SERVICE("{clusterIP: None}"), "");
    expect_messages(SERVICE("{clusterIP: \"\", ports: [{port: 1}]}"), "");
    expect_messages(SERVICE("{type: ExternalName, externalName: my.database.example.com.}"), "");
    expect_messages(SERVICE("{type: ExternalName}"),
                    "field-required spec.externalName: is required with type ExternalName\n");
    expect_messages(SERVICE("{type: ExternalName, externalName: a, clusterIP: 10.0.0.1}"),
                    "field-conflict spec.clusterIP: may not be set for ExternalName services\n");
    expect_messages(SERVICE("{type: NodePort, clusterIP: None, ports: [{port: 1}]}"),
                    "field-conflict spec.clusterIP: may not be set to 'None' for LoadBalancer and "
                    "NodePort services\n");
    expect_messages(SERVICE("{ports: [{port: 1, nodePort: 30000}]}"),
                    "field-conflict spec.type: a nodePort may not be used when `type` is "
                    "'ClusterIP'\n");
    expect_messages(SERVICE("{ports: [{port: 1}], clusterIP: here}"),
                    "field-value spec.clusterIP: \"here\": must be a valid IP address, (e.g. "
                    "10.9.8.7 or 2001:db8::ffff)\n");
}

static void test_ports_of_a_service_are_unique(void **state)
{
    expect_messages(SERVICE("{ports: [{name: a, port: 1}, {name: a, port: 2}]}"),
                    "duplicate-name spec.ports[1].name: \"a\" is also the name of ports[0]\n");
    expect_messages(SERVICE("{ports: [{name: a, port: 1}, {name: b, port: 1}]}"),
                    "duplicate-name spec.ports[1].port: 1 is also the port of ports[0], with the "
                    "same protocol\n");
    expect_messages(SERVICE("{ports: [{name: a, port: 1}, {name: b, port: 1, protocol: UDP}]}"),
                    "");
}

static void test_endpoints_have_ready_and_other_addresses(void **state)
{
    struct decoded decoded =
        decode("apiVersion: v1\n"
               "kind: Endpoints\n"
               "metadata: {name: a}\n"
               "subsets:\n"
               "- addresses:\n"
               "  - {ip: 10.1.0.1, targetRef: {kind: Pod, name: p}}\n"
               "  - {ip: nowhere}\n"
               "  - {ip: 10.1.0.2, hostname: h, nodeName: node}\n"
               "  notReadyAddresses: [{ip: 10.1.0.3}]\n"
               "  ports: [{name: http, port: 8080}, {port: 53, protocol: UDP}]\n");
    assert_diags(&decoded, "f:7:10: error[field-value] Endpoints default/a "
                           "subsets[0].addresses[1].ip: \"nowhere\": must be a valid IP address, "
                           "(e.g. 10.9.8.7 or 2001:db8::ffff)\n");
    const struct endpoint_subset *subset = &decoded.object->endpoints->subsets[0];
    assert_true(decoded.object->has_invalid_parts);
    assert_int_equal(subset->n_addresses, 2);
    assert_string_equal(subset->addresses[0].target_name.ptr, "p");
    assert_string_equal(subset->addresses[1].ip.ptr, "10.1.0.2");
    assert_null(subset->addresses[1].target_name.ptr);
    assert_int_equal(subset->n_not_ready_addresses, 1);
    assert_int_equal(subset->ports[1].transport, TRANSPORT_UDP);
    decoded_fini(&decoded);
}

static void test_conditions_of_a_slice_have_their_defaults(void **state)
{
    struct decoded decoded =
        decode(SLICE("addressType: IPv4, ports: [{name: http, port: 80}, {name: all}], endpoints: "
                     "[{addresses: [10.0.0.1]}, {addresses: [10.0.0.2, x], conditions: {ready: "
                     "false, terminating: true}, nodeName: node, zone: z}]"));
    assert_diags(&decoded, "");
    const struct endpoint_slice *slice = decoded.object->endpoint_slice;
    assert_int_equal(slice->n_endpoints, 2);
    assert_true(slice->endpoints[0].ready.value && !slice->endpoints[0].ready.is_set);
    assert_true(slice->endpoints[0].serving.value);
    assert_false(slice->endpoints[0].terminating.value);
    assert_false(slice->endpoints[1].ready.value);
    assert_true(slice->endpoints[1].serving.value);
    assert_true(slice->endpoints[1].terminating.value);
    assert_string_equal(slice->endpoints[1].zone.ptr, "z");
    assert_false(slice->ports[1].port.is_set);
    decoded_fini(&decoded);
}

static void test_a_bad_endpoint_harms_itself_alone(void **state)
{
    struct decoded decoded = decode(SLICE(
        "addressType: IPv4, endpoints: [{addresses: []}, {addresses: ['::1']}, {addresses: [a]}, "
        "{addresses: [1.1.1.1]}]"));
    assert_int_equal(diags_count(decoded.diags), 3);
    assert_true(str_is(diags_get(decoded.diags, 0)->path, "endpoints[0].addresses"));
    assert_true(str_is(diags_get(decoded.diags, 1)->path, "endpoints[1].addresses[0]"));
    assert_true(
        str_is(diags_get(decoded.diags, 2)->message, "\"a\": must be a valid IPv4 address"));
    assert_int_equal(decoded.object->endpoint_slice->n_endpoints, 1);
    decoded_fini(&decoded);
    expect_messages(SLICE("endpoints: []"), "field-required addressType: is required\n");
    expect_messages(SLICE("addressType: FQDN, endpoints: [{addresses: [a.example.com]}]"), "");
}

static void test_a_pod_is_ready_unless_its_conditions_say_otherwise(void **state)
{
    static const struct {
        const char *status;
        bool is_ready;
    } cases[] = {
        {"{podIP: 10.0.0.1}", true},
        {"{conditions: []}", true},
        {"{conditions: [{type: Ready, status: \"True\"}]}", true},
        {"{conditions: [{type: Ready, status: \"False\"}, {type: Initialized, status: \"True\"}]}",
         false},
        {"{conditions: [{type: Initialized, status: \"True\"}]}", false},
        {"{conditions: [{type: Initialized, status: \"True\"}, {type: Ready, status: \"True\"}]}",
         true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text = {0};
        buf_printf(&text,
                   "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}, "
                   "status: %s}",
                   cases[i].status);
        struct decoded decoded = decode(text.data);
        assert_diags(&decoded, "");
        assert_int_equal(decoded.object->pod->ready.value, cases[i].is_ready);
        decoded_fini(&decoded);
        buf_fini(&text);
    }
}

static void test_a_pod_keeps_what_a_service_needs(void **state)
{
    struct decoded decoded =
        decode("apiVersion: v1\n"
               "kind: Pod\n"
               "metadata: {name: a, deletionTimestamp: 2026-01-05T10:00:00Z}\n"
               "spec:\n"
               "  containers:\n"
               "  - name: web\n"
               "    image: nginx\n"
               "    env: [{name: A, value: B}]\n"
               "    ports: [{name: http, containerPort: 8080, hostPort: 80}]\n"
               "  hostname: h\n"
               "  volumes: [{name: v, emptyDir: {}}]\n"
               "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], "
               "phase: Running, hostIP: 192.0.2.1}\n");
    assert_diags(&decoded, "");
    const struct pod *pod = decoded.object->pod;
    assert_int_equal(pod->containers[0].ports[0].container_port.value, 8080);
    assert_string_equal(pod->containers[0].ports[0].name.ptr, "http");
    assert_int_equal(pod->pod_ips.n, 2);
    assert_string_equal(pod->pod_ips.items[1].ptr, "fd00::1");
    assert_string_equal(pod->phase.ptr, "Running");
    assert_true(pod->is_terminating);
    decoded_fini(&decoded);
}

static void test_an_ingress_class_names_its_controller(void **state)
{
    struct decoded decoded =
        decode(CLASS("{controller: example.com/ingress-controller, parameters: {apiGroup: "
                     "k8s.example.com, kind: IngressParameters, name: external-lb}}"));
    assert_diags(&decoded, "");
    assert_string_equal(decoded.object->ingress_class->controller.ptr,
                        "example.com/ingress-controller");
    assert_true(decoded.object->ingress_class->has_parameters);
    decoded_fini(&decoded);
    expect_messages(CLASS("{}"), "field-required spec.controller: is required\n");
    expect_messages(CLASS("{controller: nginx}"),
                    "field-value spec.controller: \"nginx\": must be a domain-prefixed path (such "
                    "as \"acme.io/foo\")\n");
    expect_messages(CLASS("{controller: a.b/c, parameters: {kind: K, name: x, scope: Namespace}}"),
                    "field-required spec.parameters.namespace: `parameters.scope` is set to "
                    "'Namespace'\n");
    expect_messages(CLASS("{controller: a.b/c, parameters: {kind: K, name: x, namespace: x}}"),
                    "field-conflict spec.parameters.namespace: `parameters.scope` is set to "
                    "'Cluster'\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_service_holds_what_was_written),
        cmocka_unit_test(test_a_secret_holds_bytes_and_texts),
        cmocka_unit_test(test_what_is_wrong_with_a_secret_does_not_tell_it),
        cmocka_unit_test(test_service_types_have_their_rules),
        cmocka_unit_test(test_ports_of_a_service_are_unique),
        cmocka_unit_test(test_endpoints_have_ready_and_other_addresses),
        cmocka_unit_test(test_conditions_of_a_slice_have_their_defaults),
        cmocka_unit_test(test_a_bad_endpoint_harms_itself_alone),
        cmocka_unit_test(test_a_pod_is_ready_unless_its_conditions_say_otherwise),
        cmocka_unit_test(test_a_pod_keeps_what_a_service_needs),
        cmocka_unit_test(test_an_ingress_class_names_its_controller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
