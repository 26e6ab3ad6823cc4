// SPDX-License-Identifier: Apache-2.0
// ServiceEntry and WorkloadEntry.
#include "model/testing.h"

#define ENTRY(spec)                                                                                \
    "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: " spec "}"
#define HTTP_PORT "{number: 80, name: http, protocol: HTTP}"
#define DNS_ENTRY(hosts, rest)                                                                     \
    ENTRY("{hosts: " hosts ", ports: [" HTTP_PORT "], resolution: DNS" rest "}")

static void test_an_entry_holds_what_was_written(void **state)
{
    struct decoded decoded =
        decode("apiVersion: networking.istio.io/v1beta1\n"
               "kind: ServiceEntry\n"
               "metadata: {name: mongo}\n"
               "spec:\n"
               "  hosts: [a.example.com, '*.b.example.com']\n"
               "  addresses: [192.0.2.0/24, 2001:db8::1]\n"
               "  ports:\n"
               "  - {number: 443, name: https, protocol: https, targetPort: 8443}\n"
               "  - {number: 80, name: any-http, protocol: GRPC-WEB}\n"
               "  location: MESH_INTERNAL\n"
               "  resolution: STATIC\n"
               "  endpoints:\n"
               "  - {address: 10.0.0.1, ports: {https: 9443}, labels: {version: v1}, weight: 3}\n"
               "  - {address: 'fd00::1'}\n"
               "  exportTo: ['.']\n"
               "  subjectAltNames: [spiffe://a]\n");
    assert_diags(&decoded, "");
    const struct service_entry *entry = decoded.object->service_entry;
    assert_int_equal(entry->hosts.n, 2);
    assert_string_equal(entry->hosts.items[1].ptr, "*.b.example.com");
    assert_int_equal(entry->addresses.n, 2);
    assert_int_equal(entry->n_ports, 2);
    assert_int_equal(entry->ports[0].protocol, GATEWAY_HTTPS);
    assert_int_equal(entry->ports[0].target_port.value, 8443);
    assert_int_equal(entry->ports[1].protocol, GATEWAY_GRPC_WEB);
    assert_int_equal(entry->ports[1].line, 9);
    assert_int_equal(entry->location, ENTRY_INTERNAL);
    assert_int_equal(entry->resolution, RESOLUTION_STATIC);
    assert_true(entry->has_endpoints);
    assert_false(entry->has_selector);
    assert_int_equal(entry->n_endpoints, 2);
    assert_string_equal(entry->endpoints[0].address.ptr, "10.0.0.1");
    assert_int_equal(entry->endpoints[0].n_ports, 1);
    assert_string_equal(entry->endpoints[0].ports[0].name.ptr, "https");
    assert_int_equal(entry->endpoints[0].ports[0].number.value, 9443);
    assert_int_equal(entry->endpoints[0].weight.value, 3);
    assert_string_equal(text_map_find(&entry->endpoints[0].labels, STR("version"))->ptr, "v1");
    assert_string_equal(entry->export_to.items[0].ptr, ".");
    assert_string_equal(entry->subject_alt_names.items[0].ptr, "spiffe://a");
    decoded_fini(&decoded);
}

static void test_the_defaults_are_outside_and_none(void **state)
{
    struct decoded decoded = decode(ENTRY("{hosts: [a.b], ports: [{number: 9, name: x}]}"));
    assert_diags(&decoded, "");
    const struct service_entry *entry = decoded.object->service_entry;
    assert_int_equal(entry->location, ENTRY_EXTERNAL);
    assert_int_equal(entry->resolution, RESOLUTION_NONE);
    assert_null(entry->ports[0].protocol_text.ptr);
    assert_false(entry->has_endpoints);
    decoded_fini(&decoded);
}

static void test_an_entry_needs_hosts_and_ports(void **state)
{
    expect_messages(ENTRY("{hosts: [], ports: [" HTTP_PORT "]}"),
                    "field-required spec.hosts: service entry must have at least one host\n");
    expect_messages(ENTRY("{hosts: [a.b]}"),
                    "field-required spec.ports: service entry must have at least one port\n");
    expect_messages(ENTRY("{hosts: [a.b], ports: []}"),
                    "field-required spec.ports: service entry must have at least one port\n");
    expect_messages(ENTRY("{hosts: ['*'], ports: [" HTTP_PORT "]}"),
                    "field-value spec.hosts[0]: invalid host *\n");
}

static const struct service_entry *entry_of(const struct decoded *decoded)
{
    assert_non_null(decoded->object);
    assert_true(decoded->object->has_invalid_parts);
    return decoded->object->service_entry;
}

static void test_a_bad_host_is_left_out(void **state)
{
    struct decoded decoded = decode(DNS_ENTRY("[a.b, 'x y', '*.c.d', e.f]", ""));
    assert_diags(
        &decoded,
        "f:1:99: error[field-value] ServiceEntry default/a spec.hosts[1]: invalid host x y: must "
        "be a domain name, a short name, or a wildcard such as *.example.com (the * as the whole "
        "first label)\n"
        "f:1:106: error[field-conflict] ServiceEntry default/a spec.hosts[2]: hosts must be FQDN "
        "if no endpoints are provided for resolution mode DNS; resolution DYNAMIC_DNS looks up "
        "the name that is asked for\n");
    const struct service_entry *entry = entry_of(&decoded);
    assert_int_equal(entry->hosts.n, 2);
    assert_string_equal(entry->hosts.items[1].ptr, "e.f");
    decoded_fini(&decoded);
}

static void test_more_than_256_hosts_are_refused(void **state)
{
    struct buf text = {0};
    buf_add_str(&text, STR("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: "
                           "{name: a}, spec: {ports: [" HTTP_PORT "], hosts: ["));
    for (int i = 0; i < 257; i++)
        buf_printf(&text, "%sh%d.example.com", i ? ", " : "", i);
    buf_add_str(&text, STR("]}}"));
    buf_add_char(&text, '\0');
    expect_messages(text.data, "field-value spec.hosts: a service entry has 256 hosts at most\n");
    buf_fini(&text);
}

static void test_a_wildcard_may_have_endpoints_that_are_resolved(void **state)
{
    struct decoded decoded = decode(DNS_ENTRY("['*.a.b']", ", endpoints: [{address: egress.c.d}]"));
    assert_diags(&decoded, "");
    assert_int_equal(decoded.object->service_entry->n_endpoints, 1);
    decoded_fini(&decoded);
}

static void test_a_subnet_does_not_go_with_dns(void **state)
{
    struct decoded decoded = decode(DNS_ENTRY("[a.b]", ", addresses: [10.0.0.0/8, 1.2.3.4, x]"));
    assert_diags(&decoded,
                 "f:1:180: error[field-conflict] ServiceEntry default/a spec.addresses[0]: CIDR "
                 "addresses are allowed only for NONE/STATIC resolution types\n"
                 "f:1:201: error[field-value] ServiceEntry default/a spec.addresses[2]: \"x\" is "
                 "no IP address and no subnet such as 10.1.0.0/16\n");
    assert_int_equal(entry_of(&decoded)->addresses.n, 1);
    decoded_fini(&decoded);
}

static void test_a_port_that_is_bad_or_repeated_is_left_out(void **state)
{
    struct decoded decoded =
        decode("apiVersion: networking.istio.io/v1\n"
               "kind: ServiceEntry\n"
               "metadata: {name: a}\n"
               "spec:\n"
               "  hosts: [a.b]\n"
               "  ports:\n"
               "  - {number: 80, name: http, protocol: HTTP}\n"
               "  - {number: 81, name: http, protocol: HTTP}\n"
               "  - {number: 80, name: other, protocol: TCP}\n"
               "  - {number: 0, name: zero}\n"
               "  - {number: 82, name: A, protocol: TCP}\n"
               "  - {number: 83, name: udp, protocol: UDPP}\n"
               "  - {number: 84, name: https, protocol: HTPS}\n"
               "  - {number: 85, name: last, protocol: TLS, targetPort: 70000}\n");
    assert_diags(
        &decoded,
        "f:8:24: error[duplicate-name] ServiceEntry default/a spec.ports[1].name: service entry "
        "port name \"http\" already defined\n"
        "f:9:14: error[duplicate-name] ServiceEntry default/a spec.ports[2].number: service entry "
        "port 80 already defined\n"
        "f:10:14: error[field-value] ServiceEntry default/a spec.ports[3].number: 0: must be "
        "between 1 and 65535, inclusive\n"
        "f:11:24: error[field-value] ServiceEntry default/a spec.ports[4].name: invalid port name: "
        "A\n"
        "f:12:39: error[field-value] ServiceEntry default/a spec.ports[5].protocol: unsupported "
        "protocol: UDPP\n"
        "f:13:41: error[field-value] ServiceEntry default/a spec.ports[6].protocol: unsupported "
        "protocol: HTPS; did you mean \"HTTPS\"?\n"
        "f:14:57: error[field-value] ServiceEntry default/a spec.ports[7].targetPort: 70000: must "
        "be between 0 and 65535, inclusive\n");
    assert_int_equal(entry_of(&decoded)->n_ports, 1);
    decoded_fini(&decoded);
}

static void test_a_tcp_port_does_not_tell_several_hosts_apart(void **state)
{
    expect_messages(ENTRY("{hosts: [a.b, c.d], resolution: DNS, ports: [" HTTP_PORT
                          ", {number: 5, name: db, protocol: TCP}]}"),
                    "field-conflict spec.ports[1]: multiple hosts provided with non-HTTP, non-TLS "
                    "ports: port 5 does not tell them apart\n");
    expect_messages(ENTRY("{hosts: [a.b, c.d], ports: [{number: 5, name: db, protocol: TCP}]}"),
                    "");
}

static void test_addresses_have_one_source(void **state)
{
    expect_messages(DNS_ENTRY("[a.b]", ", endpoints: [{address: c.d}], workloadSelector: {}"),
                    "field-conflict spec.workloadSelector: only one of WorkloadSelector or "
                    "Endpoints is allowed in Service Entry\n");
    expect_messages(
        ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], endpoints: [{address: 1.2.3.4}]}"),
        "field-conflict spec.endpoints: no endpoints should be provided for resolution type "
        "none\n");
    expect_messages(ENTRY("{hosts: ['*.b'], ports: [" HTTP_PORT
                          "], endpoints: [{address: 1.2.3.4}], resolution: DYNAMIC_DNS}"),
                    "field-conflict spec.endpoints: no endpoints should be provided for resolution "
                    "type dynamic DNS\n");
    expect_messages(ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], resolution: STATIC}"),
                    "field-no-effect spec.endpoints: resolution STATIC has no address to go to: "
                    "requests are answered 503\n");
    expect_messages(ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], resolution: DYNAMIC_DNS, "
                          "workloadSelector: {labels: {a: b}}}"),
                    "field-no-effect spec.hosts[0]: DYNAMIC_DNS is for wildcard hosts; \"a.b\" is "
                    "looked up as resolution DNS does\n"
                    "field-no-effect spec.workloadSelector: resolution DYNAMIC_DNS takes no "
                    "endpoints, so the selector has no effect\n");
}

static void test_a_misspelt_resolution_is_all_that_is_said(void **state)
{
    expect_messages(ENTRY("{hosts: ['*.a'], ports: [" HTTP_PORT
                          "], endpoints: [{address: 1.2.3.4}], resolution: STATIK}"),
                    "field-value spec.resolution: \"STATIK\" is not NONE, STATIC, DNS, "
                    "DNS_ROUND_ROBIN or DYNAMIC_DNS\n");
}

static void test_a_bad_endpoint_is_left_out(void **state)
{
    struct decoded decoded = decode("apiVersion: networking.istio.io/v1\n"
                                    "kind: ServiceEntry\n"
                                    "metadata: {name: a}\n"
                                    "spec:\n"
                                    "  hosts: [a.b]\n"
                                    "  ports: [{number: 80, name: http, protocol: HTTP}]\n"
                                    "  resolution: STATIC\n"
                                    "  endpoints:\n"
                                    "  - address: 10.0.0.1\n"
                                    "  - address: unix:///run/x.sock\n"
                                    "  - address: 10.0.0.256\n"
                                    "  - address: c.d\n"
                                    "  - {address: 10.0.0.2, ports: {htp: 8080}}\n"
                                    "  - {address: 10.0.0.3, ports: {http: 0}}\n"
                                    "  - {address: 10.0.0.4, weight: -1}\n"
                                    "  - {ports: {http: 1}}\n");
    assert_diags(
        &decoded,
        "f:10:14: error[endpoint-unix] ServiceEntry default/a spec.endpoints[1].address: "
        "\"unix:///run/x.sock\" is a Unix domain socket; connections go to IP addresses only\n"
        "f:11:14: error[field-value] ServiceEntry default/a spec.endpoints[2].address: endpoint "
        "address \"10.0.0.256\" is not a valid FQDN or an IP address\n"
        "f:12:14: error[field-value] ServiceEntry default/a spec.endpoints[3].address: \"c.d\" is "
        "not a valid IP address, which resolution STATIC asks for; resolution DNS takes names, "
        "too\n"
        "f:13:33: error[field-value] ServiceEntry default/a spec.endpoints[4].ports: endpoint port "
        "8080 is not defined by the service entry: it has no port named \"htp\"; did you mean "
        "\"http\"?\n"
        "f:14:39: error[field-value] ServiceEntry default/a spec.endpoints[5].ports[http]: 0: must "
        "be between 1 and 65535, inclusive\n"
        "f:15:33: error[field-value] ServiceEntry default/a spec.endpoints[6].weight: weight must "
        "be non-negative and fit into 32 bits\n"
        "f:16:6: error[field-required] ServiceEntry default/a spec.endpoints[7].address: address "
        "must be set\n");
    assert_int_equal(entry_of(&decoded)->n_endpoints, 1);
    decoded_fini(&decoded);
}

static void test_endpoints_that_are_all_broken_do_not_make_the_host_be_resolved(void **state)
{
    struct decoded decoded = decode(DNS_ENTRY("[a.b]", ", endpoints: [{address: 'c d'}]"));
    const struct service_entry *entry = entry_of(&decoded);
    assert_int_equal(entry->n_endpoints, 0);
    assert_true(entry->has_endpoints);
    decoded_fini(&decoded);
}

static void test_one_address_at_a_time_is_of_one_name(void **state)
{
    struct decoded decoded =
        decode(ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], resolution: DNS_ROUND_ROBIN, "
                     "endpoints: [{address: c.d}, {address: e.f}]}"));
    assert_diags(&decoded,
                 "f:1:209: error[field-conflict] ServiceEntry default/a spec.endpoints[1]: there "
                 "must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN; resolution DNS "
                 "takes several\n");
    assert_int_equal(entry_of(&decoded)->n_endpoints, 1);
    decoded_fini(&decoded);
}

static void test_a_selector_names_labels(void **state)
{
    struct decoded decoded =
        decode(ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], resolution: STATIC, "
                     "workloadSelector: {labels: {app: x}}}"));
    assert_diags(&decoded, "");
    assert_true(decoded.object->service_entry->has_selector);
    assert_int_equal(decoded.object->service_entry->selector.n, 1);
    decoded_fini(&decoded);
    expect_messages(ENTRY("{hosts: [a.b], ports: [" HTTP_PORT "], resolution: STATIC, "
                          "workloadSelector: {labels: {'': x, b: 'c*'}}}"),
                    "field-value spec.workloadSelector.labels[]: empty key is not supported in "
                    "selector\n"
                    "field-value spec.workloadSelector.labels[b]: wildcard is not supported in "
                    "selector\n");
}

static void test_what_has_no_effect_is_said(void **state)
{
    expect_messages(
        DNS_ENTRY("[a.b]", ", endpoints: [{address: c.d, locality: eu/a, network: n, "
                           "serviceAccount: s}]"),
        "field-not-served spec.endpoints[0].locality: is not served yet: Region, zone and "
        "sub-zone, for a preference of near ones.\n"
        "field-not-served spec.endpoints[0].network: is not served yet: Network that the endpoint "
        "is in, behind a gateway of its own.\n"
        "field-not-served spec.endpoints[0].serviceAccount: is not served yet: Identity of the "
        "endpoint in a mesh.\n");
    expect_messages(DNS_ENTRY("[a.b]", ", exportTo: ['*', x]"),
                    "field-conflict spec.exportTo: cannot have both public (*) and non-public "
                    "exportTo values for a resource\n");
}

static void test_a_workload_entry_has_an_address(void **state)
{
    struct decoded decoded =
        decode("{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: a}, "
               "spec: {address: 10.0.0.1, ports: {http: 8080}, labels: {app: x}, weight: 2}}");
    assert_diags(&decoded, "");
    const struct workload *workload = decoded.object->workload_entry;
    assert_string_equal(workload->address.ptr, "10.0.0.1");
    assert_int_equal(workload->n_ports, 1);
    assert_int_equal(workload->weight.value, 2);
    decoded_fini(&decoded);
    expect_messages("{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: "
                    "a}, spec: {labels: {a: b}}}",
                    "field-required spec.address: address must be set\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_holds_what_was_written),
        cmocka_unit_test(test_the_defaults_are_outside_and_none),
        cmocka_unit_test(test_an_entry_needs_hosts_and_ports),
        cmocka_unit_test(test_a_bad_host_is_left_out),
        cmocka_unit_test(test_more_than_256_hosts_are_refused),
        cmocka_unit_test(test_a_wildcard_may_have_endpoints_that_are_resolved),
        cmocka_unit_test(test_a_subnet_does_not_go_with_dns),
        cmocka_unit_test(test_a_port_that_is_bad_or_repeated_is_left_out),
        cmocka_unit_test(test_a_tcp_port_does_not_tell_several_hosts_apart),
        cmocka_unit_test(test_addresses_have_one_source),
        cmocka_unit_test(test_a_misspelt_resolution_is_all_that_is_said),
        cmocka_unit_test(test_a_bad_endpoint_is_left_out),
        cmocka_unit_test(test_endpoints_that_are_all_broken_do_not_make_the_host_be_resolved),
        cmocka_unit_test(test_one_address_at_a_time_is_of_one_name),
        cmocka_unit_test(test_a_selector_names_labels),
        cmocka_unit_test(test_what_has_no_effect_is_said),
        cmocka_unit_test(test_a_workload_entry_has_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
