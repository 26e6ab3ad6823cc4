// SPDX-License-Identifier: Apache-2.0
#include "model/testing.h"
#include <stdio.h>

#define SIDECAR(spec)                                                                              \
    "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a}, spec: " spec "}"
#define EGRESS(rest) SIDECAR("{egress: [" rest "]}")
#define INGRESS(rest) SIDECAR("{ingress: [" rest "]}")

static void test_a_sidecar_holds_what_was_written(void **state)
{
    struct decoded decoded = decode("apiVersion: networking.istio.io/v1beta1\n"
                                    "kind: Sidecar\n"
                                    "metadata: {name: web, namespace: shop}\n"
                                    "spec:\n"
                                    "  workloadSelector: {labels: {app: web}}\n"
                                    "  egress:\n"
                                    "  - port: {number: 8080, protocol: http, name: web}\n"
                                    "    hosts: ['./*', 'prod/*.example.com']\n"
                                    "  - hosts: ['*/*', '~/*']\n"
                                    "    captureMode: IPTABLES\n"
                                    "    bind: 0.0.0.0\n"
                                    "  ingress:\n"
                                    "  - port: {number: 9080, protocol: HTTP}\n"
                                    "    defaultEndpoint: 127.0.0.1:8080\n"
                                    "    connectionPool: {tcp: {connectTimeout: 2s}}\n"
                                    "  - port: {number: 9443}\n"
                                    "    defaultEndpoint: '[::1]:443'\n"
                                    "  inboundConnectionPool: {http: {idleTimeout: 5s}}\n"
                                    "  outboundTrafficPolicy:\n"
                                    "    mode: ALLOW_ANY\n"
                                    "    egressProxy:\n"
                                    "      host: proxy.shop.svc.cluster.local\n"
                                    "      subset: v1\n"
                                    "      port: {number: 3128}\n");
    assert_diags(&decoded, "");
    const struct sidecar *sidecar = decoded.object->sidecar;
    assert_string_equal(text_map_find(&sidecar->selector, STR("app"))->ptr, "web");
    assert_int_equal(sidecar->n_egress, 2);
    assert_true(sidecar->egress[0].is_served);
    assert_int_equal(sidecar->egress[0].port.number.value, 8080);
    assert_true(sidecar->egress[0].port.has_protocol);
    assert_int_equal(sidecar->egress[0].port.protocol, GATEWAY_HTTP);
    assert_string_equal(sidecar->egress[0].hosts.items[1].ptr, "prod/*.example.com");
    assert_false(sidecar->egress[1].port.is_set);
    assert_true(sidecar->egress[1].is_served);
    assert_int_equal(sidecar->n_ingress, 2);
    assert_string_equal(sidecar->ingress[0].endpoint.ptr, "127.0.0.1:8080");
    assert_int_equal(sidecar->ingress[0].pool.connect_timeout.ms, 2000);
    assert_true(sidecar->ingress[0].pool.has_pool);
    assert_false(sidecar->ingress[1].pool.has_pool);
    assert_false(sidecar->ingress[1].port.has_protocol);
    assert_int_equal(sidecar->inbound_pool.idle_timeout.ms, 5000);
    assert_true(sidecar->has_policy);
    assert_int_equal(sidecar->policy, SIDECAR_ALLOW_ANY);
    assert_true(sidecar->has_egress_proxy);
    assert_string_equal(sidecar->egress_proxy.host.ptr, "proxy.shop.svc.cluster.local");
    assert_string_equal(sidecar->egress_proxy.subset.ptr, "v1");
    assert_int_equal(sidecar->egress_proxy.port.value, 3128);
    decoded_fini(&decoded);
}

static void test_an_empty_policy_is_registry_only(void **state)
{
    struct decoded decoded = decode(SIDECAR("{outboundTrafficPolicy: {}}"));
    assert_diags(&decoded, "");
    assert_true(decoded.object->sidecar->has_policy);
    assert_int_equal(decoded.object->sidecar->policy, SIDECAR_REGISTRY_ONLY);
    decoded_fini(&decoded);
}

static void test_a_broken_one_shuts_what_it_may_have_shut(void **state)
{
    static const struct {
        const char *spec;
        bool stays, has_policy, has_egress;
        uint32_t n_labels;
    } cases[] = {
        {"{outboundTrafficPolicy: {mode: REGISTRY}}", true, true, false, 0},
        {"{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a}}}", true, true, false,
         0},
        {"{workloadSelector: {labels: {a: b}}, egress: [{hosts: [x]}], outboundTrafficPolicy: {}}",
         true, true, true, 1},
        {"{workloadSelector: {labels: {a: '*'}}, egress: [{hosts: ['*/*']}]}", true, false, true,
         0},
        {"{outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: [x]}]}", false, false, false,
         0},
        {"{ingress: [{port: {protocol: x}}]}", false, false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, SIDECAR("%s"), cases[i].spec);
        struct decoded decoded = decode(text);
        assert_true(diags_count(decoded.diags) > 0);
        assert_int_equal(decoded.object != NULL, cases[i].stays);
        if (decoded.object) {
            const struct sidecar *sidecar = decoded.object->sidecar;
            assert_true(sidecar->is_broken && decoded.object->has_invalid_parts);
            assert_int_equal(sidecar->policy, SIDECAR_REGISTRY_ONLY);
            assert_int_equal(sidecar->has_policy, cases[i].has_policy);
            assert_int_equal(sidecar->has_egress, cases[i].has_egress);
            assert_int_equal(sidecar->selector.n, cases[i].n_labels);
            assert_int_equal(sidecar->n_egress, 0);
        }
        decoded_fini(&decoded);
    }
}

static void test_nothing_in_it_is_refused(void **state)
{
    expect_messages(SIDECAR("{}"), "field-required spec: sidecar: empty configuration provided\n");
    expect_messages(SIDECAR("{workloadSelector: {labels: {a: b}}}"),
                    "field-required spec: sidecar: empty configuration provided\n");
    expect_messages("{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a}}",
                    "field-required spec: sidecar: empty configuration provided\n");
}

static void test_egress_hosts_have_a_namespace(void **state)
{
    expect_messages(EGRESS("{port: {number: 80}}"),
                    "field-required spec.egress[0].hosts: sidecar: egress listener must contain at "
                    "least one host\n");
    expect_messages(EGRESS("{hosts: []}"),
                    "field-required spec.egress[0].hosts: sidecar: egress listener must contain at "
                    "least one host\n");
    expect_messages(
        EGRESS("{hosts: [a.b, /a.b, a/, 'A_/*', ./web, '*/a..b']}"),
        "field-value spec.egress[0].hosts[0]: sidecar: \"a.b\": host must be of form "
        "namespace/dnsName\n"
        "field-value spec.egress[0].hosts[1]: sidecar: \"/a.b\": config namespace and "
        "dnsName in host entry cannot be empty\n"
        "field-value spec.egress[0].hosts[2]: sidecar: \"a/\": config namespace and "
        "dnsName in host entry cannot be empty\n"
        "field-value spec.egress[0].hosts[3]: sidecar: \"A_/*\": the namespace is none "
        "of a name, `*`, `.` and `~`\n"
        "field-value spec.egress[0].hosts[4]: sidecar: \"./web\": short names (non "
        "FQDN) are not allowed\n"
        "field-value spec.egress[0].hosts[5]: sidecar: \"*/a..b\": must be a domain name, a "
        "short name, or a wildcard such as *.example.com (the * as the whole first "
        "label)\n");
}

static void test_one_egress_listener_has_no_port_and_is_the_last(void **state)
{
    expect_messages(EGRESS("{hosts: ['*/*']}, {port: {number: 80}, hosts: ['*/*']}"),
                    "field-conflict spec.egress[0]: sidecar: the egress listener with empty port "
                    "should be the last listener in the list\n");
    expect_messages(EGRESS("{hosts: ['*/*']}, {hosts: ['./*']}"),
                    "field-conflict spec.egress[1]: sidecar: egress can have only one listener "
                    "with empty port\n");
    expect_messages(
        EGRESS("{port: {number: 80}, hosts: ['*/*']}, {port: {number: 80}, hosts: ['./*']}"),
        "duplicate-name spec.egress[1].port: sidecar: ports on IP bound listeners must be unique: "
        "80 is given already\n");
    expect_messages(EGRESS("{port: {name: x}, hosts: ['*/*']}"),
                    "field-required spec.egress[0].port: its number is missing\n");
    expect_messages(EGRESS("{port: {number: 80, protocol: HTTPX}, hosts: ['*/*']}"),
                    "field-value spec.egress[0].port.protocol: unsupported protocol: HTTPX\n");
}

static void test_listeners_of_their_own_are_not_served(void **state)
{
    struct decoded decoded =
        decode(EGRESS("{port: {number: 80}, bind: 127.0.0.1, hosts: ['*/*']},"
                      "{port: {number: 81}, captureMode: NONE, hosts: ['*/*']},"
                      "{port: {number: 0}, bind: 'unix:///x', hosts: ['*/*']},"
                      "{port: {number: 82}, hosts: ['*/*']}"));
    const struct sidecar *sidecar = decoded.object->sidecar;
    assert_false(sidecar->egress[0].is_served);
    assert_false(sidecar->egress[1].is_served);
    assert_false(sidecar->egress[2].is_served);
    assert_true(sidecar->egress[3].is_served);
    decoded_fini(&decoded);
    expect_messages(EGRESS("{port: {number: 80}, bind: 127.0.0.1, hosts: ['*/*']}"),
                    "field-not-served spec.egress[0].bind: a listener at an address of its own is "
                    "not served; this one is left out\n");
    expect_messages(INGRESS("{port: {number: 80}, captureMode: NONE}"),
                    "field-not-served spec.ingress[0].captureMode: NONE asks for a listener that "
                    "applications dial themselves, which is not served; this one is left out\n");
    expect_messages(EGRESS("{port: {number: 80}, bind: here, hosts: ['*/*']}"),
                    "field-value spec.egress[0].bind: \"here\" is not an IP address or a unix "
                    "domain socket\n");
}

static void test_ingress_listeners(void **state)
{
    expect_messages(INGRESS("{defaultEndpoint: '127.0.0.1:80'}"),
                    "field-required spec.ingress[0].port: sidecar: port is required for ingress "
                    "listeners\n");
    expect_messages(INGRESS("{port: {number: 80}}, {port: {number: 80}}"),
                    "duplicate-name spec.ingress[1].port: sidecar: ports on IP bound listeners "
                    "must be unique: 80 is given already\n");
#define FORM                                                                                       \
    "sidecar: defaultEndpoint must be of form "                                                    \
    "127.0.0.1:<port>,0.0.0.0:<port>,[::1]:<port>,[::]:<port>,unix://filepath or unset\n"
    static const char *const refused[] = {"10.0.0.1:80", "80", "localhost:80", "127.0.0.1",
                                          "127.0.0.1:0"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[256];
        snprintf(text, sizeof text, INGRESS("{port: {number: 80}, defaultEndpoint: '%s'}"),
                 refused[i]);
        expect_messages(text, "field-value spec.ingress[0].defaultEndpoint: " FORM);
    }
    expect_messages(INGRESS("{port: {number: 80}, defaultEndpoint: 'unix:///a'}"),
                    "field-not-served spec.ingress[0].defaultEndpoint: unix domain sockets are not "
                    "served; connections to this port are closed\n");
    expect_messages(INGRESS("{port: {number: 80}, tls: {mode: SIMPLE}}"),
                    "tls-not-served spec.ingress[0].tls: TLS is not ended for what comes to a "
                    "workload; connections to this port are closed\n");
}

static void test_an_egress_proxy_needs_allow_any_and_a_port(void **state)
{
    expect_messages(
        SIDECAR("{outboundTrafficPolicy: {egressProxy: {host: a.b, port: {number: 1}}}}"),
        "field-conflict spec.outboundTrafficPolicy.egressProxy: sidecar: egress_proxy "
        "must be set only with ALLOW_ANY outbound_traffic_policy mode\n");
    expect_messages(SIDECAR("{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b}}}"),
                    "field-required spec.outboundTrafficPolicy.egressProxy.port: sidecar: "
                    "egress_proxy port must be non-nil\n");
    expect_messages(SIDECAR("{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: '*.b', "
                            "port: {number: 1}}}}"),
                    "field-value spec.outboundTrafficPolicy.egressProxy.host: \"*.b\": a wildcard "
                    "is no proxy\n");
    expect_messages(SIDECAR("{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}"),
                    "field-value spec.outboundTrafficPolicy.mode: \"ALLOW_ANY_DYNAMIC_DNS\" is not "
                    "REGISTRY_ONLY or ALLOW_ANY\n");
}

static void test_selectors(void **state)
{
    expect_messages(SIDECAR("{workloadSelector: {}, outboundTrafficPolicy: {}}"),
                    "field-no-effect spec.workloadSelector: workload selector specified without "
                    "labels; will be applied to all services in namespace\n");
    expect_messages(
        SIDECAR("{workloadSelector: {labels: {a: 'b*'}}, outboundTrafficPolicy: {}}"),
        "field-value spec.workloadSelector.labels[a]: wildcard is not supported in selector\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sidecar_holds_what_was_written),
        cmocka_unit_test(test_an_empty_policy_is_registry_only),
        cmocka_unit_test(test_a_broken_one_shuts_what_it_may_have_shut),
        cmocka_unit_test(test_nothing_in_it_is_refused),
        cmocka_unit_test(test_egress_hosts_have_a_namespace),
        cmocka_unit_test(test_one_egress_listener_has_no_port_and_is_the_last),
        cmocka_unit_test(test_listeners_of_their_own_are_not_served),
        cmocka_unit_test(test_ingress_listeners),
        cmocka_unit_test(test_an_egress_proxy_needs_allow_any_and_a_port),
        cmocka_unit_test(test_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
