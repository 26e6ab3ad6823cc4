// SPDX-License-Identifier: Apache-2.0
// The engine and the single values, shown on kinds that have the field in question.
#include "model/field.h"
#include "model/testing.h"

#define SERVICE "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: "
#define F "f:1:"

static void test_an_unknown_field_is_a_warning_with_the_nearest_one(void **state)
{
    expect("apiVersion: v1\n"
           "kind: Service\n"
           "metadata:\n"
           "  name: a\n"
           "spec:\n"
           "  ports:\n"
           "  - port: 80\n"
           "    targetport: 8080\n"
           "  nonsense: 1\n",
           "f:8:5: warning[unknown-field] Service default/a spec.ports[0].targetport: "
           "ServicePort has no field \"targetport\"; did you mean \"targetPort\"?\n"
           "f:9:3: warning[unknown-field] Service default/a spec.nonsense: "
           "ServiceSpec has no field \"nonsense\"\n");
}

static void test_a_field_that_is_not_served_says_so_unless_it_is_not_used(void **state)
{
    expect(SERVICE "{ports: [{port: 80}], sessionAffinity: ClientIP}}",
           F "82: warning[field-not-served] Service default/a spec.sessionAffinity: is not served "
             "yet: ClientIP: the same client address goes to the same endpoint.\n");
    expect(SERVICE "{ports: [{port: 80}], sessionAffinity: None, loadBalancerSourceRanges: []}}",
           "");
}

static void test_a_field_of_no_bearing_is_accepted_without_a_word(void **state)
{
    expect(SERVICE "{ports: [{port: 80}], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}, "
                   "status: {loadBalancer: {}}}",
           "");
}

static void test_values_of_the_wrong_type_are_named(void **state)
{
    expect(SERVICE "{ports: {port: 80}}}",
           F "69: error[field-type] Service default/a spec.ports: this is a map, a list is due\n");
    expect(SERVICE "[1]}",
           F "60: error[field-type] Service default/a spec: this is a list, a map is due\n");
    expect(SERVICE "{ports: [{port: \"80\"}]}}",
           F "76: error[field-type] Service default/a spec.ports[0].port: \"80\" is a string, a "
             "number is due; leave out the quotes\n");
    expect(SERVICE "{ports: [{port: http}]}}",
           F "76: error[field-type] Service default/a spec.ports[0].port: http is a string, a "
             "number is due\n");
    expect(SERVICE "{ports: [{port: 80, name: 80}]}}",
           F "86: error[field-type] Service default/a spec.ports[0].name: 80 is a number, a string "
             "is due; put it in quotes\n");
    expect(SERVICE "{ports: [{port: 80}], publishNotReadyAddresses: \"true\"}}", F
           "108: error[field-type] Service default/a spec.publishNotReadyAddresses: \"true\" is a "
           "string, a boolean is due; leave out the quotes\n");
    expect(SERVICE "{ports: [{port: 80.5}]}}",
           F "76: error[field-type] Service default/a spec.ports[0].port: 80.5 is not a whole "
             "number of 64 bits\n");
    expect(SERVICE "{ports: [{port: 80}], externalIPs: [1.2.3.4, 5]}}", F
           "105: error[field-type] Service default/a spec.externalIPs[1]: 5 is a number, a string "
           "is due; put it in quotes\n");
}

static void test_words_of_yaml_1_1_are_booleans(void **state)
{
    struct decoded decoded = decode(SERVICE "{ports: [{port: 80}], publishNotReadyAddresses: on}}");
    assert_diags(&decoded, "");
    assert_true(decoded.object->service->publish_not_ready_addresses.value);
    decoded_fini(&decoded);
    expect("{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {norway: no}}}",
           F "77: error[field-type] Namespace a metadata.annotations[norway]: no is a boolean, a "
             "string is due; put it in quotes\n");
}

static void test_a_word_outside_the_allowed_ones_is_refused_with_the_nearest(void **state)
{
    expect(SERVICE "{ports: [{port: 80, protocol: TPC}], type: Nodeport}}",
           F "90: error[field-value] Service default/a spec.ports[0].protocol: \"TPC\" is not TCP, "
             "UDP or SCTP; did you mean \"TCP\"?\n" F
             "103: error[field-value] Service default/a spec.type: \"Nodeport\" is not ClusterIP, "
             "NodePort, LoadBalancer or ExternalName; did you mean \"NodePort\"?\n");
}

static void test_numbers_have_bounds(void **state)
{
    expect(SERVICE "{ports: [{port: 0}, {port: 65536, name: a}, {port: -1, name: b}]}}", F
           "70: error[field-required] Service default/a spec.ports[0].name: is required when a "
           "Service has several ports\n" F
           "76: error[field-value] Service default/a spec.ports[0].port: 0: must be between 1 and "
           "65535, inclusive\n" F
           "87: error[field-value] Service default/a spec.ports[1].port: 65536: must be between 1 "
           "and 65535, inclusive\n" F
           "111: error[field-value] Service default/a spec.ports[2].port: -1: must be between 1 "
           "and 65535, inclusive\n");
    struct decoded decoded = decode(SERVICE "{ports: [{port: 0x50}]}}");
    assert_diags(&decoded, "");
    assert_int_equal(decoded.object->service->ports[0].port.value, 80);
    decoded_fini(&decoded);
}

static void test_a_target_port_is_a_number_or_a_name(void **state)
{
    struct decoded decoded = decode(
        SERVICE "{ports: [{port: 1, name: a, targetPort: 8080}, {port: 2, name: b, targetPort: "
                "http}, {port: 3, name: c}]}}");
    const struct service_port *ports = decoded.object->service->ports;
    assert_diags(&decoded, "");
    assert_int_equal(ports[0].target_port.number, 8080);
    assert_string_equal(ports[1].target_port.name.ptr, "http");
    assert_int_equal(ports[1].target_port.number, 0);
    assert_false(ports[2].target_port.is_set);
    decoded_fini(&decoded);
    expect(SERVICE "{ports: [{port: 1, targetPort: \"8080\"}]}}",
           F "91: error[field-value] Service default/a spec.ports[0].targetPort: \"8080\": must "
             "contain at least one letter (a-z)\n");
}

static void test_null_is_as_if_the_field_were_not_there(void **state)
{
    expect(SERVICE "{ports: [{port: 80, name: null, protocol: ~}], clusterIP: }}", "");
    expect(SERVICE "{ports: [{port: null}]}}",
           F "70: error[field-required] Service default/a spec.ports[0].port: is required\n");
}

static void test_plain_scalars_mean_what_kubernetes_makes_of_them(void **state)
{
    static const struct {
        const char *text;
        enum scalar_type type;
    } cases[] = {
        {"abc", SCALAR_TEXT},    {"", SCALAR_NULL},           {"~", SCALAR_NULL},
        {"NULL", SCALAR_NULL},   {"nULL", SCALAR_TEXT},       {"yes", SCALAR_BOOL},
        {"y", SCALAR_BOOL},      {"Off", SCALAR_BOOL},        {"yess", SCALAR_TEXT},
        {"1", SCALAR_NUMBER},    {"-1.5", SCALAR_NUMBER},     {"1e3", SCALAR_NUMBER},
        {"1.10", SCALAR_NUMBER}, {".5", SCALAR_NUMBER},       {"0x1F", SCALAR_NUMBER},
        {"0o17", SCALAR_NUMBER}, {"0b11", SCALAR_NUMBER},     {"1_000", SCALAR_NUMBER},
        {".inf", SCALAR_NUMBER}, {"-.Inf", SCALAR_NUMBER},    {"1.2.3", SCALAR_TEXT},
        {"10s", SCALAR_TEXT},    {"-", SCALAR_TEXT},          {"1e", SCALAR_TEXT},
        {"0xZZ", SCALAR_TEXT},   {"2026-01-05", SCALAR_TEXT}, {"1:20", SCALAR_TEXT},
        {"+", SCALAR_TEXT},      {".", SCALAR_TEXT},          {"..data", SCALAR_TEXT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct node node = {.type = NODE_SCALAR, .scalar = str_of(cases[i].text)};
        if (scalar_type(&node) != cases[i].type)
            fail_msg("%s", cases[i].text);
        node.is_quoted = true;
        assert_int_equal(scalar_type(&node), SCALAR_TEXT);
    }
}

static void test_durations_are_those_of_go_down_to_milliseconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *why;
    } cases[] = {
        {"0s", 0, NULL},
        {"0", 0, NULL},
        {"1ms", 1, NULL},
        {"1.5s", 1500, NULL},
        {".5s", 500, NULL},
        {"1h1m1s1ms", 3661001, NULL},
        {"2000us", 2, NULL},
        {"100000h", 360000000000, NULL},
        {"5", 0, "is not a duration such as 1h1m1s1ms"},
        {"5x", 0, "is not a duration such as 1h1m1s1ms"},
        {"s", 0, "is not a duration such as 1h1m1s1ms"},
        {"1..5s", 0, "is not a duration such as 1h1m1s1ms"},
        {"", 0, "is not a duration such as 1h1m1s1ms"},
        {"-1s", 0, "is a negative duration"},
        {"1us", 0, "duration must be greater than 1ms"},
        {"1ms1us", 0, "only durations to ms precision are supported"},
        {"99999999999999999999h", 0, "is longer than a century"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;
        const char *why = NULL;
        bool is_right = parse_duration_ms(str_of(cases[i].text), &ms, &why);
        if (is_right != (cases[i].why == NULL))
            fail_msg("%s", cases[i].text);
        if (is_right)
            assert_int_equal(ms, cases[i].ms);
        else
            assert_string_equal(why, cases[i].why);
    }
}

static void test_times_are_those_of_rfc_3339(void **state)
{
    int64_t seconds;
    assert_true(parse_time(STR("1970-01-01T00:01:00Z"), &seconds));
    assert_int_equal(seconds, 60);
    assert_true(parse_time(STR("1970-01-01T02:00:00.25+01:00"), &seconds));
    assert_int_equal(seconds, 3600);
    assert_true(parse_time(STR("1970-01-01T00:00:00-00:30"), &seconds));
    assert_int_equal(seconds, 1800);
    assert_false(parse_time(STR("1970-01-01 00:00:00Z"), &seconds));
    assert_false(parse_time(STR("1970-01-01T00:00:00"), &seconds));
    assert_false(parse_time(STR("1970-01-01T00:00:00Zjunk"), &seconds));
    assert_false(parse_time(STR("yesterday"), &seconds));
}

static void test_columns_far_out_stay_at_the_end_of_their_range(void **state)
{
    struct buf text = {0};
    buf_add_text(&text, "{apiVersion: v1, kind: Namespace, ");
    for (size_t i = 0; i < TEXT_PLACE_MAX; i++)
        buf_add_char(&text, ' ');
    buf_add_text(&text, "metadata: {name: a, labels: {b: c}}}");
    struct decoded decoded = decode(text.data);
    assert_non_null(decoded.object);
    assert_int_equal(decoded.object->labels.items[0].value.col, TEXT_PLACE_MAX);
    assert_int_equal(decoded.object->labels.items[0].value.line, 1);
    decoded_fini(&decoded);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unknown_field_is_a_warning_with_the_nearest_one),
        cmocka_unit_test(test_a_field_that_is_not_served_says_so_unless_it_is_not_used),
        cmocka_unit_test(test_a_field_of_no_bearing_is_accepted_without_a_word),
        cmocka_unit_test(test_values_of_the_wrong_type_are_named),
        cmocka_unit_test(test_words_of_yaml_1_1_are_booleans),
        cmocka_unit_test(test_a_word_outside_the_allowed_ones_is_refused_with_the_nearest),
        cmocka_unit_test(test_numbers_have_bounds),
        cmocka_unit_test(test_a_target_port_is_a_number_or_a_name),
        cmocka_unit_test(test_null_is_as_if_the_field_were_not_there),
        cmocka_unit_test(test_plain_scalars_mean_what_kubernetes_makes_of_them),
        cmocka_unit_test(test_durations_are_those_of_go_down_to_milliseconds),
        cmocka_unit_test(test_times_are_those_of_rfc_3339),
        cmocka_unit_test(test_columns_far_out_stay_at_the_end_of_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
