// SPDX-License-Identifier: Apache-2.0
// Gateway and DestinationRule.
#include "model/testing.h"

#define GATEWAY(servers)                                                                           \
    "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: a}, spec: {servers: "    \
    "[" servers "]}}"
#define SERVER(protocol, rest)                                                                     \
    GATEWAY("{port: {number: 80, name: x, protocol: " protocol "}, hosts: ['*']" rest "}")
#define RULE(spec)                                                                                 \
    "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, spec: " spec \
    "}"

static void test_a_gateway_holds_what_was_written(void **state)
{
    struct decoded decoded = decode("apiVersion: networking.istio.io/v1\n"
                                    "kind: Gateway\n"
                                    "metadata: {name: httpbin-gateway}\n"
                                    "spec:\n"
                                    "  selector: {istio: ingressgateway}\n"
                                    "  servers:\n"
                                    "  - port: {number: 80, name: http, protocol: http}\n"
                                    "    hosts: [httpbin.example.com, 'dev/*', './*.example.org']\n"
                                    "    bind: 127.0.0.1\n"
                                    "    tls: {httpsRedirect: true}\n"
                                    "  - port: {number: 443, name: https, protocol: HTTPS}\n"
                                    "    hosts: ['*']\n"
                                    "    tls: {mode: SIMPLE, credentialName: c}\n");
    assert_diags(&decoded, "");
    const struct gateway *gateway = decoded.object->gateway;
    assert_string_equal(text_map_find(&gateway->selector, STR("istio"))->ptr, "ingressgateway");
    assert_int_equal(gateway->n_servers, 2);
    assert_int_equal(gateway->servers[0].protocol, GATEWAY_HTTP);
    assert_string_equal(gateway->servers[0].protocol_text.ptr, "http");
    assert_int_equal(gateway->servers[0].hosts.n, 3);
    assert_true(gateway->servers[0].https_redirect.value);
    assert_int_equal(gateway->servers[0].line, 7);
    assert_true(gateway->servers[1].has_tls);
    assert_int_equal(gateway->servers[1].tls_mode, TLS_SIMPLE);
    assert_string_equal(gateway->servers[1].credential_name.ptr, "c");
    decoded_fini(&decoded);
}

static void test_a_gateway_needs_servers_with_port_and_hosts(void **state)
{
    expect_messages(GATEWAY(""),
                    "field-required spec.servers: gateway must have at least one server\n");
    expect_messages(GATEWAY("{hosts: ['*']}"),
                    "field-required spec.servers[0].port: port is required\n");
    expect_messages(GATEWAY("{port: {number: 80, protocol: HTTP}, hosts: ['*']}"),
                    "field-required spec.servers[0].port.name: port name must be set\n");
    expect_messages(GATEWAY("{port: {number: 80, name: a, protocol: HTTP}, hosts: []}"),
                    "field-required spec.servers[0].hosts: server config must contain at least one "
                    "host\n");
    expect_messages(
        SERVER("HTTPP", ""),
        "field-value spec.servers[0].port.protocol: invalid protocol \"HTTPP\", "
        "supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO\n");
    expect_messages(GATEWAY("{port: {number: 80, name: a, protocol: HTTP}, hosts: ['a b']}"),
                    "field-value spec.servers[0].hosts[0]: \"a b\": must be a domain name, a short "
                    "name, or a wildcard such as *.example.com (the * as the whole first label)\n");
    expect_messages(GATEWAY("{port: {number: 80, name: a, protocol: HTTP}, hosts: ['A_/a']}"),
                    "field-value spec.servers[0].hosts[0]: \"A_/a\": the namespace before '/' must "
                    "be *, . or a name\n");
}

static void test_tls_belongs_to_tls_protocols(void **state)
{
    expect_messages(SERVER("HTTP", ", tls: {mode: SIMPLE}"),
                    "field-conflict spec.servers[0].tls: server cannot have TLS settings for plain "
                    "text HTTP ports\n");
    expect_messages(SERVER("HTTP", ", tls: {}"), "");
    expect_messages(SERVER("HTTPS", ""), "field-required spec.servers[0].tls: server must have TLS "
                                         "settings for HTTPS/TLS protocols\n");
    expect_messages(SERVER("TLS", ", tls: {}"), "");
    expect_messages(SERVER("TCP", ", tls: {mode: SIMPLE}"),
                    "field-conflict spec.servers[0].tls: server cannot have TLS settings for non "
                    "HTTPS/TLS ports\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE}"),
                    "field-required spec.servers[0].tls: SIMPLE TLS requires a private key\n"
                    "field-required spec.servers[0].tls: SIMPLE TLS requires a server "
                    "certificate\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: ISTIO_MUTUAL, credentialName: c}"),
                    "field-conflict spec.servers[0].tls: ISTIO_MUTUAL TLS cannot have associated "
                    "certificates or credentials\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE, credentialName: c, httpsRedirect: true, "
                                    "minProtocolVersion: TLSV1_3}"),
                    "field-no-effect spec.servers[0].tls.httpsRedirect: tls.httpsRedirect should "
                    "only be used with http servers\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE, credentialNames: [a, b, c]}"),
                    "field-value spec.servers[0].tls.credentialNames: takes two at most\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE, tlsCertificates: []}"),
                    "field-value spec.servers[0].tls.tlsCertificates: must not be empty\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE, tlsCertificates: [{privateKey: k}]}"),
                    "field-required spec.servers[0].tls.tlsCertificates[0].serverCertificate: is "
                    "required\n");
    expect_messages(SERVER("HTTPS", ", tls: {mode: SIMPLE, credentialName: c, cipherSuites: "
                                    "[AES128-SHA, AES128-SHA, RC4]}"),
                    "cipher-suite spec.servers[0].tls.cipherSuites: ignoring duplicate cipher "
                    "suites: \"AES128-SHA\"\n"
                    "cipher-suite spec.servers[0].tls.cipherSuites[2]: ignoring invalid cipher "
                    "suites: \"RC4\"\n");
    expect_messages(
        SERVER("HTTPS", ", tls: {mode: SIMPLE, credentialName: c, minProtocolVersion: "
                        "TLSV2}"),
        "field-value spec.servers[0].tls.minProtocolVersion: \"TLSV2\" is not TLS_AUTO, "
        "TLSV1_0, TLSV1_1, TLSV1_2 or TLSV1_3\n");
    struct decoded decoded =
        decode(SERVER("HTTPS", ", tls: {mode: SIMPLE, credentialName: c, tlsCertificates: "
                               "[{serverCertificate: c, privateKey: k}]}"));
    assert_true(str_is(diags_get(decoded.diags, 0)->message,
                       "only one of credential_name, credential_names, "
                       "server_certificate/private_key, tls_certificates should be specified"));
    decoded_fini(&decoded);
}

static void test_a_bad_server_harms_itself_alone(void **state)
{
    struct decoded decoded =
        decode(GATEWAY("{port: {number: 80, name: a, protocol: HTTP}, hosts: [a.b]}, "
                       "{port: {number: 80, name: a, protocol: HTTP}, hosts: [c.d]}, "
                       "{port: {number: 0, name: b, protocol: HTTP}, hosts: [c.d]}, "
                       "{port: {number: 82, name: c, protocol: HTTP}, hosts: [c.d]}"));
    const struct gateway *gateway = decoded.object->gateway;
    assert_true(decoded.object->has_invalid_parts);
    assert_int_equal(diags_count(decoded.diags), 2);
    diags_sort(decoded.diags);
    assert_true(str_is(diags_get(decoded.diags, 0)->message,
                       "port names in servers must be unique: duplicate name a"));
    assert_true(str_is(diags_get(decoded.diags, 0)->path, "spec.servers[1].port.name"));
    assert_false(gateway->servers[0].is_invalid);
    assert_true(gateway->servers[1].is_invalid);
    assert_true(gateway->servers[2].is_invalid);
    assert_false(gateway->servers[3].is_invalid);
    decoded_fini(&decoded);
}

static void test_a_destination_rule_holds_what_was_written(void **state)
{
    struct decoded decoded =
        decode("apiVersion: networking.istio.io/v1beta1\n"
               "kind: DestinationRule\n"
               "metadata: {name: a}\n"
               "spec:\n"
               "  host: reviews\n"
               "  exportTo: ['*']\n"
               "  trafficPolicy:\n"
               "    loadBalancer: {simple: LEAST_CONN}\n"
               "    connectionPool: {tcp: {connectTimeout: 30ms}, http: {idleTimeout: 1m, "
               "maxRequestsPerConnection: 5}}\n"
               "    portLevelSettings:\n"
               "    - port: {number: 80}\n"
               "      loadBalancer: {simple: RANDOM}\n"
               "  subsets:\n"
               "  - {name: v1, labels: {version: v1}}\n"
               "  - name: v2\n"
               "    labels: {version: v2}\n"
               "    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}\n");
    assert_diags(&decoded, "");
    const struct destination_rule *rule = decoded.object->destination_rule;
    assert_true(rule->policy.is_set && rule->policy.has_balancer);
    assert_int_equal(rule->policy.balancer, BALANCER_LEAST_REQUEST);
    assert_int_equal(rule->policy.connect_timeout.ms, 30);
    assert_int_equal(rule->policy.idle_timeout.ms, 60000);
    assert_int_equal(rule->policy.max_requests_per_connection.value, 5);
    assert_int_equal(rule->port_policies[0].port.value, 80);
    assert_int_equal(rule->port_policies[0].policy.balancer, BALANCER_RANDOM);
    assert_true(rule->port_policies[0].policy.is_set);
    assert_false(rule->subsets[0].policy.is_set);
    assert_string_equal(rule->subsets[0].labels.items[0].value.ptr, "v1");
    assert_int_equal(rule->subsets[1].policy.balancer, BALANCER_ROUND_ROBIN);
    assert_int_equal(rule->subsets[1].line, 15);
    decoded_fini(&decoded);
}

static void test_policies_are_checked(void **state)
{
    expect_messages(RULE("{}"), "field-required spec.host: is required\n");
    expect_messages(RULE("{host: a, trafficPolicy: {}}"),
                    "field-required spec.trafficPolicy: traffic policy must have at least one "
                    "field\n");
    expect_messages(RULE("{host: a, trafficPolicy: {connectionPool: {}}}"),
                    "field-required spec.trafficPolicy.connectionPool: connection pool must have "
                    "at least one field\n");
    expect_messages(RULE("{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}}"),
                    "field-required spec.trafficPolicy.portLevelSettings[0]: port traffic policy "
                    "must have at least one field\n");
    expect_messages(
        RULE("{host: a, trafficPolicy: {portLevelSettings: [{loadBalancer: {simple: RANDOM}}]}}"),
        "field-required spec.trafficPolicy.portLevelSettings[0].port: portTrafficPolicy must have "
        "valid port\n");
    expect_messages(RULE("{host: a, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 0s}}}}"),
                    "field-value spec.trafficPolicy.connectionPool.tcp.connectTimeout: duration "
                    "must be greater "
                    "than 1ms\n");
    expect_messages(
        RULE("{host: a, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: -1}}}}"),
        "field-value spec.trafficPolicy.connectionPool.http.maxRequestsPerConnection: max requests "
        "per connection must be non-negative\n");
    expect_messages(RULE("{host: a, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: "
                         "UPGRADE, useClientProtocol: true}}}}"),
                    "field-conflict "
                    "spec.trafficPolicy.connectionPool.http.useClientProtocol: use client protocol "
                    "must not be true when H2UpgradePolicy is UPGRADE\n");
    expect_messages(RULE("{host: a, trafficPolicy: {connectionPool: {http: {maxConcurrentStreams: "
                         "-1}}}}"),
                    "field-value spec.trafficPolicy.connectionPool.http.maxConcurrentStreams: max "
                    "concurrent streams must be non-negative and below 2^31\n");
    expect_messages(RULE("{host: a, trafficPolicy: {outlierDetection: {}, tls: {mode: SIMPLE}}}"),
                    "field-not-served spec.trafficPolicy.outlierDetection: is not served yet: "
                    "Endpoints that fail are left out for a while.\n");
    expect_messages(RULE("{host: a, trafficPolicy: {tunnel: {targetHost: b}, proxyProtocol: {}}}"),
                    "field-not-served spec.trafficPolicy.tunnel: is not served yet: Tunnel to the "
                    "endpoints through a proxy.\n"
                    "field-conflict spec.trafficPolicy: tunnel and proxyProtocol must not be set "
                    "together\n");
    expect_messages(RULE("{host: a, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {probes: "
                         "-1, time: 1s, interval: soon}, maxConnectionDuration: 0s}}}}"),
                    "field-value spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.probes: probes "
                    "must be non-negative and fit into 32 bits\n"
                    "field-value spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.interval: "
                    "\"soon\": is not a duration such as 1h1m1s1ms\n"
                    "field-value spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration: "
                    "duration must be greater than 1ms\n");
    expect_messages(RULE("{host: a, exportTo: ['*', b]}"),
                    "field-conflict spec.exportTo: cannot have both public (*) and non-public "
                    "exportTo values for a resource\n");
}

static void test_tls_to_endpoints_is_read_and_checked(void **state)
{
#define TLS_AT "spec.trafficPolicy.tls"
#define CLIENT_TLS(fields) RULE("{host: a, trafficPolicy: {tls: {" fields "}}}")
    struct decoded decoded = decode(RULE(
        "{host: a, trafficPolicy: {proxyProtocol: {version: V2}, tls: {mode: MUTUAL, "
        "clientCertificate: /c, privateKey: /k, caCertificates: /a, caCrl: /r, sni: b.org, "
        "subjectAltNames: [c.org]}, connectionPool: {http: {h2UpgradePolicy: UPGRADE, "
        "maxConcurrentStreams: 10}}}, subsets: [{name: s, trafficPolicy: {tls: {}, connectionPool: "
        "{http: {useClientProtocol: true}}}}]}"));
    assert_diags(&decoded, "");
    const struct destination_rule *rule = decoded.object->destination_rule;
    const struct client_tls *tls = &rule->policy.tls;
    assert_true(tls->is_set);
    assert_int_equal(tls->mode, CLIENT_TLS_MUTUAL);
    assert_string_equal(tls->client_certificate.ptr, "/c");
    assert_string_equal(tls->private_key.ptr, "/k");
    assert_string_equal(tls->ca_certificates.ptr, "/a");
    assert_string_equal(tls->ca_crl.ptr, "/r");
    assert_string_equal(tls->sni.ptr, "b.org");
    assert_string_equal(tls->subject_alt_names.items[0].ptr, "c.org");
    assert_true(rule->policy.has_proxy_protocol && rule->policy.has_pool);
    assert_int_equal(rule->policy.proxy_protocol, PROXY_HEADER_V2);
    assert_int_equal(rule->policy.h2_upgrade, H2_UPGRADE_ALWAYS);
    assert_int_equal(rule->policy.max_concurrent_streams.value, 10);
    assert_true(rule->subsets[0].policy.tls.is_set);
    assert_int_equal(rule->subsets[0].policy.tls.mode, CLIENT_TLS_DISABLE);
    assert_true(rule->subsets[0].policy.use_client_protocol.value);
    assert_false(rule->subsets[0].policy.has_proxy_protocol);
    decoded_fini(&decoded);

    expect_messages(CLIENT_TLS("mode: MUTUAL"),
                    "field-required " TLS_AT ": client certificate required for mutual tls\n"
                    "field-required " TLS_AT ": private key required for mutual tls\n");
    expect_messages(CLIENT_TLS("mode: MUTUAL, credentialName: c"), "");
    expect_messages(CLIENT_TLS("mode: SIMPLE, credentialName: c, caCertificates: /a"),
                    "field-conflict " TLS_AT
                    ".credentialName: cannot specify client certificates or CA certificate or CA "
                    "CRL If credentialName is set\n");
    expect_messages(CLIENT_TLS("mode: SIMPLE, insecureSkipVerify: true"), "");
    expect_messages(CLIENT_TLS("mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]"),
                    "field-conflict " TLS_AT
                    ".insecureSkipVerify: cannot specify CaCertificates or CredentialName or "
                    "SubjectAltNames when InsecureSkipVerify is set true\n");
    expect_messages(CLIENT_TLS("mode: MUTUAL, credentialName: c, insecureSkipVerify: true, "
                               "subjectAltNames: [a]"),
                    "field-conflict " TLS_AT
                    ".insecureSkipVerify: cannot specify CaCertificates or SubjectAltNames when "
                    "InsecureSkipVerify is set true\n");
    expect_messages(CLIENT_TLS("mode: SIMPLE, clientCertificate: /c, privateKey: /k"),
                    "field-no-effect " TLS_AT
                    ".clientCertificate: is shown to endpoints in mode MUTUAL only\n");
    expect_messages(CLIENT_TLS("mode: SIMPLE, sni: '*.b'"),
                    "field-value " TLS_AT ".sni: \"*.b\" is no name of a host\n");
    expect_messages(CLIENT_TLS("caCertificates: /a"),
                    "field-no-effect " TLS_AT ": without mode there is no TLS (DISABLE), so "
                    "requests are sent in plain text\n");
    expect_messages(CLIENT_TLS(""), "");
    expect_messages(CLIENT_TLS("mode: STRICT"),
                    "field-value " TLS_AT ".mode: \"STRICT\" is not DISABLE, SIMPLE, MUTUAL or "
                    "ISTIO_MUTUAL\n");
}

// Each row: what is broken, and whether the rule stays to keep its host from plain text.
static void test_a_broken_rule_that_asks_for_tls_stays(void **state)
{
#define UNNAMED(metadata)                                                                          \
    "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: " metadata              \
    ", spec: {host: a, trafficPolicy: {tls: {mode: SIMPLE}}}}"
#define LONG "a123456789012345678901234567890"
#define OF(metadata, spec)                                                                         \
    "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a" metadata      \
    "}, spec: " spec "}\n"
    static const struct {
        const char *text;
        bool stays;
        uint32_t n_export_to;
    } rows[] = {
        {CLIENT_TLS("mode: STRICT"), true, 0},
        {CLIENT_TLS("mode: DISABLE, sni: '*.b'"), false, 0},
        {RULE("{host: a, trafficPolicy: {tls: [SIMPLE]}}"), true, 0},
        {RULE("{host: 10.0.0.1, trafficPolicy: {tls: {mode: MUTUAL}}}"), true, 0},
        {RULE("{host: a, trafficPolicy: {loadBalancer: {simple: LAST}}}"), false, 0},
        {RULE("{host: a, trafficPolicy: {loadBalancer: {simple: LAST}, tls: {mode: SIMPLE}}}"),
         true, 0},
        {RULE("{host: a, trafficPolicy: {portLevelSettings: [{}, {tls: {mode: SIMPLE}}]}}"), true,
         0},
        {RULE("{host: a, trafficPolicy: {portLevelSettings: [{tls: {mode: DISABLE}}]}}"), false, 0},
        {RULE("{host: a, trafficPolicy: 1}"), false, 0},
        {RULE("{host: a, exportTo: [x], trafficPolicy: {tls: {mode: S}}}"), true, 1},
        {RULE("{host: a, exportTo: ['*', x], trafficPolicy: {tls: {mode: SIMPLE}}}"), true, 0},
        {RULE("{host: a, exportTo: [X_X], trafficPolicy: {tls: {mode: SIMPLE}}}"), true, 0},
        {RULE("{host: a, exportTo: x, trafficPolicy: {tls: {mode: SIMPLE}}}"), true, 0},
        {RULE("{host: 'a b', trafficPolicy: {tls: {mode: SIMPLE}}}"), false, 0},
        {RULE("{trafficPolicy: {tls: {mode: SIMPLE}}}"), false, 0},
        {RULE("[]"), false, 0},
        {OF(", labels: {version: 1.0}", "{host: a, trafficPolicy: {tls: {mode: SIMPLE}}}"), true,
         0},
        {OF(", labels: {version: 1.0}", "{host: a}"), false, 0},
        // What has no name that can be one is not kept under it.
        {UNNAMED("{}"), false, 0},
        {UNNAMED("{name: A_b}"), false, 0},
        {UNNAMED("{name: a, namespace: " LONG LONG LONG LONG "}"), false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct decoded decoded = decode(rows[i].text);
        const struct object *object = decoded.object;
        const struct destination_rule *rule = object ? object->destination_rule : NULL;
        bool stays = rule && rule->is_broken && object->has_invalid_parts && rule->tls_line == 1 &&
                     !rule->policy.is_set && rule->export_to.n == rows[i].n_export_to;
        if (rows[i].stays ? !stays : object != NULL)
            fail_msg("%s", rows[i].text);
        decoded_fini(&decoded);
    }
}

static void test_a_bad_or_repeated_subset_is_left_out(void **state)
{
    struct decoded decoded = decode(RULE(
        "{host: a, subsets: [{name: v1}, {name: V_2}, {name: v1, labels: {a: b}}, {name: v3}]}"));
    const struct destination_rule *rule = decoded.object->destination_rule;
    diags_sort(decoded.diags);
    assert_int_equal(diags_count(decoded.diags), 2);
    assert_true(str_is(diags_get(decoded.diags, 0)->message, "subset name is invalid: V_2"));
    assert_true(str_is(diags_get(decoded.diags, 1)->message, "duplicate subset names: v1"));
    assert_int_equal(rule->n_subsets, 2);
    assert_int_equal(rule->subsets[0].labels.n, 0);
    assert_string_equal(rule->subsets[1].name.ptr, "v3");
    assert_true(decoded.object->has_invalid_parts);
    decoded_fini(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gateway_holds_what_was_written),
        cmocka_unit_test(test_a_gateway_needs_servers_with_port_and_hosts),
        cmocka_unit_test(test_tls_belongs_to_tls_protocols),
        cmocka_unit_test(test_a_bad_server_harms_itself_alone),
        cmocka_unit_test(test_a_destination_rule_holds_what_was_written),
        cmocka_unit_test(test_policies_are_checked),
        cmocka_unit_test(test_tls_to_endpoints_is_read_and_checked),
        cmocka_unit_test(test_a_broken_rule_that_asks_for_tls_stays),
        cmocka_unit_test(test_a_bad_or_repeated_subset_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
