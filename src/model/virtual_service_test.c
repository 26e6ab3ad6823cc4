// SPDX-License-Identifier: Apache-2.0
#include "model/testing.h"

#define VS(spec)                                                                                   \
    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {" spec \
    "}}"
#define HTTP(rule) VS("hosts: [a.b], gateways: [g], http: [{" rule "}]")
#define MATCH(block) HTTP("match: [{" block "}], " ROUTE)
#define ROUTE "route: [{destination: {host: x}}]"
#define AT "spec.http[0]"

static void test_a_virtual_service_holds_what_was_written(void **state)
{
    struct decoded decoded =
        decode("apiVersion: networking.istio.io/v1alpha3\n"
               "kind: VirtualService\n"
               "metadata: {name: httpbin}\n"
               "spec:\n"
               "  hosts: [httpbin.example.com]\n"
               "  gateways: [httpbin-gateway, ns/other]\n"
               "  http:\n"
               "  - name: first\n"
               "    match:\n"
               "    - uri: {prefix: /status}\n"
               "      ignoreUriCase: true\n"
               "      headers: {end-user: {exact: jason}, x-any: {}, x-old: {regex: '*'}}\n"
               "      withoutHeaders: {x-no: {}}\n"
               "      queryParams: {q: {regex: 'a+'}}\n"
               "      port: 80\n"
               "      sourceLabels: {app: a}\n"
               "    - method: {exact: GET}\n"
               "    route:\n"
               "    - destination: {host: httpbin, subset: v1, port: {number: 8000}}\n"
               "      weight: 80\n"
               "      headers: {response: {remove: [x-a]}}\n"
               "    - destination: {host: other}\n"
               "      weight: 20\n"
               "    rewrite: {uriRegexRewrite: {match: ^/a/(.*), rewrite: /\\1}, authority: c.d}\n"
               "    timeout: 1.5s\n"
               "    headers: {request: {set: {a: b}, add: {c: d}}}\n"
               "  - redirect: {uri: /new, redirectCode: 302, derivePort: FROM_REQUEST_PORT}\n"
               "  - directResponse: {status: 503, body: {bytes: aGVsbG8=}}\n"
               "  - delegate: {name: d, namespace: n-s}\n");
    assert_diags(&decoded, "");
    const struct virtual_service *service = decoded.object->virtual_service;
    const struct http_route *route = &service->http[0];
    const struct http_match *match = &route->match[0];
    assert_int_equal(service->hosts_line, 5);
    assert_int_equal(service->gateways.n, 2);
    assert_int_equal(match->uri.kind, STRING_PREFIX);
    assert_string_equal(match->uri.value.ptr, "/status");
    assert_true(match->ignore_uri_case.value);
    assert_int_equal(match->n_headers, 3);
    assert_string_equal(match->headers[0].name.ptr, "end-user");
    assert_int_equal(match->headers[0].match.kind, STRING_EXACT);
    assert_int_equal(match->headers[1].match.kind, STRING_PRESENT);
    assert_true(match->headers[1].match.is_set);
    assert_int_equal(match->headers[2].match.kind, STRING_PRESENT);
    assert_int_equal(match->n_without_headers, 1);
    assert_int_equal(match->query_params[0].match.kind, STRING_REGEX);
    assert_int_equal(match->port.value, 80);
    assert_false(route->match[1].uri.is_set);
    assert_int_equal(route->n_route, 2);
    assert_int_equal(route->route[0].port.value, 8000);
    assert_string_equal(route->route[0].subset.ptr, "v1");
    assert_int_equal(route->route[1].weight.value, 20);
    assert_string_equal(route->route[0].headers.response.remove.items[0].ptr, "x-a");
    assert_string_equal(route->rewrite.regex_rewrite.ptr, "/\\1");
    assert_int_equal(route->timeout.ms, 1500);
    assert_string_equal(route->headers.request.add.items[0].key.ptr, "c");
    assert_int_equal(service->http[1].redirect.code.value, 302);
    assert_int_equal(service->http[1].redirect.derive_port, REDIRECT_PORT_FROM_REQUEST);
    assert_string_equal(service->http[2].direct_response.body.ptr, "hello");
    assert_int_equal(service->http[2].direct_response.body.len, 5);
    assert_string_equal(service->http[3].delegate.ns.ptr, "n-s");
    decoded_fini(&decoded);
}

static void test_string_matches_are_one_of_three_and_not_empty(void **state)
{
    expect_messages(MATCH("uri: {prefix: \"\"}"), "");
    expect_messages(MATCH("method: {prefix: \"\"}"),
                    "field-value " AT ".match[0].method.prefix: \"method\": prefix string match "
                    "should not be empty\n");
    expect_messages(MATCH("headers: {a: {regex: \"\"}}"),
                    "field-value " AT ".match[0].headers[a].regex: \"headers\": regex string match "
                    "should not be empty\n");
    expect_messages(MATCH("uri: {exact: /, prefix: /}"),
                    "field-conflict " AT ".match[0].uri.prefix: exactly one of exact, prefix and "
                    "regex can be given\n");
    expect_messages(MATCH("headers: {a: }"),
                    "field-value " AT ".match[0].headers[a]: header match a cannot be null\n");
    expect_messages(MATCH("headers: {'a b': {}}"),
                    "field-value " AT ".match[0].headers[a b]: header name a b is not a valid "
                    "header name\n");
    expect_messages(MATCH("sourceNamespace: A_B"),
                    "field-value " AT ".match[0].sourceNamespace: sourceNamespace match A_B is "
                    "invalid\n");
    struct buf text = {0};
    buf_add_text(&text,
                 "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: "
                 "{name: a}, spec: {hosts: [a.b], http: [{" ROUTE ", match: [{uri: {regex: ");
    for (int i = 0; i < 1025; i++)
        buf_add_char(&text, 'a');
    buf_add_text(&text, "}}]}]}}");
    expect_messages(text.data,
                    "field-value " AT ".match[0].uri.regex: \"uri\": regex is too large, "
                    "max length allowed is 1024\n");
    buf_fini(&text);
}

static void test_a_rule_does_one_thing(void **state)
{
    expect_messages(HTTP("name: x"),
                    "field-required " AT ": HTTP route, redirect or direct_response is required\n");
    expect_messages(HTTP(ROUTE ", redirect: {uri: /}"),
                    "field-conflict " AT
                    ".redirect: HTTP route cannot contain both route and redirect\n");
    expect_messages(HTTP("redirect: {uri: /}, rewrite: {uri: /}"),
                    "field-conflict " AT
                    ".redirect: HTTP route rule cannot contain both rewrite and redirect\n");
    expect_messages(HTTP(ROUTE ", directResponse: {status: 200}"),
                    "field-conflict " AT
                    ".directResponse: HTTP route cannot contain both route and direct_response\n");
    expect_messages(HTTP("redirect: {uri: /}, directResponse: {status: 200}"),
                    "field-conflict " AT
                    ".directResponse: HTTP route cannot contain both redirect and "
                    "direct_response\n");
    expect_messages(HTTP("directResponse: {status: 200}, rewrite: {uri: /}"),
                    "field-conflict " AT ".directResponse: HTTP route rule cannot contain both "
                    "rewrite and direct_response\n");
    expect_messages(HTTP("name: n1, delegate: {name: d}, " ROUTE),
                    "field-conflict " AT
                    ".delegate: root HTTP route n1 must not specify redirect/route\n");
}

static void test_what_is_not_served_is_said_and_the_rule_stays(void **state)
{
    struct decoded decoded =
        decode(HTTP(ROUTE ", fault: {}, retries: {attempts: 3}, corsPolicy: {}, "
                          "mirror: {host: m}"));
    assert_int_equal(diags_count(decoded.diags), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(diags_get(decoded.diags, i)->code, DIAG_FIELD_NOT_SERVED);
    assert_false(decoded.object->virtual_service->http[0].is_invalid);
    decoded_fini(&decoded);
}

static void test_destinations_are_checked(void **state)
{
    expect_messages(HTTP("route: [{weight: 1}]"),
                    "field-required " AT ".route[0].destination: destination is required\n");
    expect_messages(HTTP("route: [{destination: {}}]"),
                    "field-required " AT
                    ".route[0].destination.host: destination host is required\n");
    expect_messages(HTTP("route: [{destination: {host: '*.a'}}]"), "");
    expect_messages(HTTP("route: [{destination: {host: '*'}}]"),
                    "field-value " AT ".route[0].destination.host: \"*\": a destination is no "
                    "wildcard for every host\n");
    expect_messages(HTTP("route: [{destination: {host: a}, weight: -1}]"),
                    "field-value " AT ".route[0].weight: weight -1 < 0\n");
    expect_messages(HTTP("route: [{destination: {host: a}}, {destination: {host: b}}]"),
                    "field-value " AT ".route: total destination weight = 0\n");
    expect_messages(HTTP("route: [{destination: {host: a}, weight: 0}]"), "");
}

static void test_header_operations_are_checked(void **state)
{
    expect_messages(HTTP(ROUTE ", headers: {request: {set: {'a b': c}}}"),
                    "field-value " AT
                    ".headers.request.set: header name a b is not a valid header name\n");
    expect_messages(HTTP(ROUTE ", headers: {response: {set: {Host: c}}}"),
                    "field-value " AT ".headers.response.set: Host is no header of a response\n");
    expect_messages(HTTP(ROUTE ", headers: {response: {remove: [host]}}"),
                    "field-value " AT
                    ".headers.response.remove: Host is no header of a response\n");
    expect_messages(HTTP(ROUTE ", headers: {request: {set: {':path': /}}}"),
                    "field-no-effect " AT ".headers.request.set: of the pseudo headers only "
                    ":authority can be changed\n");
    expect_messages(HTTP(ROUTE ", headers: {request: {set: {host: c, ':authority': d}}}"),
                    "field-conflict " AT ": authority header cannot be set multiple times: have "
                    "\"c\", attempting to set \"d\"\n");
    expect_messages(HTTP(ROUTE ", rewrite: {authority: e}, headers: {request: {add: {Host: c}}}"),
                    "field-conflict " AT ": authority header cannot be set multiple times: have "
                    "\"e\", attempting to set \"c\"\n");
}

static void test_no_text_can_end_a_line_of_a_head(void **state)
{
    static const struct {
        const char *rule, *path, *message;
    } cases[] = {
        {"rewrite: {authority: \"x\\r\\nEvil: 1\"}, " ROUTE, "rewrite.authority",
         "\"x\r\nEvil: 1\": is no host or host:port"},
        {"rewrite: {authority: a b}, " ROUTE, "rewrite.authority",
         "\"a b\": is no host or host:port"},
        {"rewrite: {uri: \"/a b\\r\\nX: 1 HTTP/1.1\"}, " ROUTE, "rewrite.uri",
         "\"/a b\r\nX: 1 HTTP/1.1\": has characters that a request's path cannot have"},
        {"rewrite: {uri: /a#b}, " ROUTE, "rewrite.uri",
         "\"/a#b\": has characters that a request's path cannot have"},
        {"rewrite: {uri: /Ã¼}, " ROUTE, "rewrite.uri",
         "\"/Ã¼\": has characters that a request's path cannot have"},
        {"rewrite: {uri: noslash}, " ROUTE, "rewrite.uri", "\"noslash\": a path begins with /"},
        {"rewrite: {uriRegexRewrite: {match: a, rewrite: \"b\\tc\"}}, " ROUTE,
         "rewrite.uriRegexRewrite.rewrite",
         "\"b\tc\": has characters that a request's path cannot have"},
        {"redirect: {uri: \"/a\\nX: 1\"}", "redirect.uri",
         "\"/a\nX: 1\": has characters that a URI cannot have"},
        {"redirect: {uri: a}", "redirect.uri", "\"a\": a path begins with /"},
        {"match: [{uri: {prefix: /}}], redirect: {prefixRewrite: \"/\\x7f\"}",
         "redirect.prefixRewrite", "\"/\x7f\": has characters that a URI cannot have"},
        {"redirect: {authority: \"a\\rb\"}", "redirect.authority",
         "\"a\rb\": is no host or host:port"},
        {"headers: {request: {set: {Host: a b}}}, " ROUTE, "headers.request.set[Host]",
         "\"a b\": is no host or host:port"},
        {"headers: {request: {add: {x: \"a\\r\\nInj: %REQ(a)%\"}}}, " ROUTE,
         "headers.request.add[x]",
         "\"a\r\nInj: %REQ(a)%\": a header value has no control characters"},
        {"headers: {response: {set: {x: \"a\\0\"}}}, " ROUTE, "headers.response.set[x]", "\"a"},
        {"headers: {request: {remove: [\"x\\r\"]}}, " ROUTE, "headers.request.remove",
         "header name x\r is not a valid header name"},
        {"route: [{destination: {host: x}, headers: {request: {set: {x: \"\\n\"}}}}]",
         "route[0].headers.request.set[x]", "\"\n\": a header value has no control characters"},
        {"name: \"a\\nb\", " ROUTE, "name", "\"a\nb\": must not have control characters"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text = {0}, messages = {0};
        buf_printf(&text, HTTP("%s"), cases[i].rule);
        struct decoded decoded = decode(text.data);
        assert_int_equal(diags_count(decoded.diags), 1);
        const struct diag *diag = diags_get(decoded.diags, 0);
        assert_int_equal(diag->code, DIAG_FIELD_VALUE);
        buf_printf(&messages, AT ".%s", cases[i].path);
        assert_true(str_equal(diag->path, buf_str(&messages)));
        assert_true(str_has_prefix(diag->message, str_of(cases[i].message)));
        assert_true(decoded.object->virtual_service->http[0].is_invalid);
        decoded_fini(&decoded);
        buf_fini(&text);
        buf_fini(&messages);
    }
}

static void test_what_a_head_can_hold_is_accepted(void **state)
{
    static const char *const rules[] = {
        "rewrite: {authority: 'a-b_c.example:8080', uri: '/a/%C3%BC?x=1'}, " ROUTE,
        "rewrite: {authority: '[fd00::1]:80'}, " ROUTE,
        "rewrite: {uriRegexRewrite: {match: '/a(/.*)', rewrite: '\\1'}}, " ROUTE,
        "redirect: {authority: 'A.b:1', uri: '/a#b'}",
        "headers: {request: {set: {Host: '%REQ(x-host)%', x: \"a\\tb Ã¼\"}}}, " ROUTE,
        "name: 'a b', " ROUTE,
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct buf text = {0};
        buf_printf(&text, HTTP("%s"), rules[i]);
        expect(text.data, "");
        buf_fini(&text);
    }
}

static void test_a_block_that_ends_in_a_line_feed_is_explained(void **state)
{
    expect("apiVersion: networking.istio.io/v1\n"
           "kind: VirtualService\n"
           "metadata: {name: a}\n"
           "spec:\n"
           "  hosts: [a.b]\n"
           "  gateways: [g]\n"
           "  http:\n"
           "  - route: [{destination: {host: x}}]\n"
           "    headers:\n"
           "      request:\n"
           "        set:\n"
           "          x-long: |\n"
           "            value\n",
           "f:13:1: error[field-value] VirtualService default/a "
           "spec.http[0].headers.request.set[x-long]: \"value\\n\": a header value has no control "
           "characters; it ends in a line feed; a block that is written with |- or >- does not\n");
}

static void test_redirects_rewrites_and_direct_responses_are_checked(void **state)
{
    expect_messages(HTTP("redirect: {}"),
                    "field-required " AT
                    ".redirect: redirect must specify URI, authority, scheme, or port\n");
    expect_messages(HTTP("redirect: {uri: /, redirectCode: 200}"),
                    "field-value " AT ".redirect.redirectCode: 200 is not a valid redirect code, "
                    "must be 3xx\n");
    expect_messages(HTTP("redirect: {scheme: ftp}"),
                    "field-value " AT ".redirect.scheme: invalid redirect scheme, must be \"http\" "
                    "or \"https\"\n");
    expect_messages(HTTP("redirect: {uri: /, prefixRewrite: /}, match: [{uri: {prefix: /}}]"),
                    "field-conflict " AT ".redirect: redirect may only specify one of uri or "
                    "prefix_rewrite\n");
    expect_messages(HTTP("redirect: {prefixRewrite: /}, match: [{uri: {exact: /}}]"),
                    "field-conflict " AT
                    ".redirect.prefixRewrite: redirect prefix_rewrite requires "
                    "all URI matches to use prefix match type\n");
    expect_messages(HTTP(ROUTE ", rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"),
                    "field-conflict " AT ".rewrite: rewrite may only contain one of URI or "
                    "UriRegexRewrite\n");
    expect_messages(HTTP(ROUTE ", rewrite: {uriRegexRewrite: {match: a}}"),
                    "field-required " AT ".rewrite.uriRegexRewrite: UriRegexRewrite requires both "
                    "Rewrite and Match fields to be specified\n");
    expect_messages(HTTP(ROUTE ", rewrite: {}"),
                    "field-required " AT
                    ".rewrite: rewrite must specify URI, UriRegexRewrite or authority\n");
    expect_messages(HTTP("directResponse: {status: 199}"),
                    "field-value " AT
                    ".directResponse.status: HTTP status 199 is not in range 200-599\n");
    expect_messages(HTTP("directResponse: {status: 200, body: {string: a, bytes: YQ==}}"),
                    "field-conflict " AT
                    ".directResponse.body: exactly one of string and bytes can "
                    "be given\n");
    expect_messages(HTTP("directResponse: {status: 200, body: {bytes: '!'}}"),
                    "field-value " AT ".directResponse.body.bytes: is not base64\n");
    expect_messages(HTTP(ROUTE ", timeout: 10"),
                    "field-type " AT ".timeout: 10 is a number, a duration is due\n");
}

static void test_base64_of_any_length_is_decoded(void **state)
{
    static const char *const cases[][2] = {{"YQ==", "a"},        {"YWI=", "ab"},
                                           {"YWJj", "abc"},      {"YWJjZA", "abcd"},
                                           {"_-8=", "\xff\xef"}, {"\"\"", ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text = {0};
        buf_printf(&text, HTTP("directResponse: {status: 200, body: {bytes: %s}}"), cases[i][0]);
        struct decoded decoded = decode(text.data);
        assert_diags(&decoded, "");
        assert_string_equal(decoded.object->virtual_service->http[0].direct_response.body.ptr,
                            cases[i][1]);
        decoded_fini(&decoded);
        buf_fini(&text);
    }
}

static void test_a_bad_rule_harms_itself_alone(void **state)
{
    struct decoded decoded =
        decode(VS("hosts: [a.b], gateways: [g], http: [{name: bad}, {" ROUTE "}]"));
    const struct http_route *http = decoded.object->virtual_service->http;
    assert_true(http[0].is_invalid);
    assert_false(http[1].is_invalid);
    assert_true(decoded.object->has_invalid_parts);
    decoded_fini(&decoded);
}

static void test_a_bad_match_block_never_widens_its_rule(void **state)
{
    struct decoded decoded =
        decode(HTTP("match: [{uri: {regex: \"\"}}, {uri: {exact: /a}}], " ROUTE));
    const struct http_route *route = &decoded.object->virtual_service->http[0];
    assert_true(route->match[0].is_invalid);
    assert_false(route->match[1].is_invalid);
    assert_false(route->is_invalid);
    decoded_fini(&decoded);
    decoded = decode(HTTP("match: [{uri: {regex: \"\"}}, {port: 0}], " ROUTE));
    assert_true(decoded.object->virtual_service->http[0].is_invalid);
    decoded_fini(&decoded);
}

static void test_a_path_that_no_request_has_is_said(void **state)
{
#define NEVER(kind, path, why)                                                                     \
    expect_messages(MATCH("uri: {" kind ": '" path "'}"),                                          \
                    "match-never " AT ".match[0].uri." kind ": no request has the path \"" path    \
                    "\": " why "\n")
    NEVER("exact", "a", "a path begins with /");
    NEVER("exact", "", "a path begins with /");
    NEVER("prefix", "a/", "a path begins with /");
    NEVER("prefix", "/a?b=", "a path has no query; queryParams looks at that");
    NEVER("exact", "/a b", "a path holds visible ASCII without # only; others are percent-encoded");
#undef NEVER
    expect_messages(MATCH("uri: {exact: '*'}"), "");
    expect_messages(MATCH("uri: {prefix: ''}"), "");
    expect_messages(MATCH("uri: {regex: 'a?'}"), "");
    expect_messages(MATCH("queryParams: {uri: {exact: 'a b'}}"), "");
}

static void test_hosts_may_not_overlap_and_the_mesh_takes_no_catch_all(void **state)
{
    expect_messages(
        VS("hosts: ['*'], http: [{" ROUTE "}]"),
        "field-conflict spec.hosts: wildcard host * is not allowed for virtual services "
        "bound to the mesh gateway\n");
    expect_messages(VS("hosts: ['*'], gateways: [g], http: [{" ROUTE "}]"), "");
    expect_messages(VS("hosts: ['*.foo.com', a.foo.com], http: [{" ROUTE "}]"),
                    "duplicate-name spec.hosts: duplicate hosts in virtual service: *.foo.com & "
                    "a.foo.com\n");
    expect_messages(VS("hosts: [a.foo.com, '*.a.foo.com', foo.com], http: [{" ROUTE "}]"), "");
    expect_messages(VS("hosts: ['*.b.foo.com', '*.foo.com'], http: [{" ROUTE "}]"),
                    "duplicate-name spec.hosts: duplicate hosts in virtual service: *.b.foo.com & "
                    "*.foo.com\n");
    expect_messages(
        VS("hosts: ['a:80'], http: [{" ROUTE "}]"),
        "field-value spec.hosts[0]: \"a:80\": must be a domain name, a short name, or a "
        "wildcard such as *.example.com (the * as the whole first label)\n");
    expect_messages(VS("hosts: [10.0.0.1], http: [{" ROUTE "}]"), "");
    expect_messages(
        VS("hosts: [a], gateways: ['a/b/c'], http: [{" ROUTE "}]"),
        "field-value spec.gateways[0]: \"a/b/c\" is no gateway: name, namespace/name or "
        "mesh is due\n");
    expect_messages(VS("hosts: [a]"),
                    "field-required spec: http, tcp or tls must be provided in virtual service\n");
}

static void test_without_hosts_it_is_a_delegate(void **state)
{
    expect_messages(VS("http: [{" ROUTE "}]"), "");
    expect_messages(VS("gateways: [g], http: [{" ROUTE "}]"),
                    "field-conflict spec.gateways: delegate virtual service must have no gateways "
                    "specified\n");
    expect_messages(VS("http: [{delegate: {name: b}}]"),
                    "field-conflict spec.http[0].delegate: delegate HTTP route cannot contain "
                    "delegate\n");
}

#define SNI(names) "match: [{sniHosts: " names "}]"

static void test_tls_and_tcp_rules_hold_what_was_written(void **state)
{
    struct decoded decoded = decode(
        VS("hosts: ['*.b.org'], gateways: [g], tls: [{match: [{sniHosts: [a.b.org, '*.x.b.org'], "
           "port: 443, gateways: [g], destinationSubnets: [10.0.0.0/8], sourceNamespace: ns}, "
           "{sniHosts: "
           "['*.b.org']}], route: [{destination: {host: x, port: {number: 8443}, subset: v1}, "
           "weight: 1}, {destination: {host: w}, weight: 3}]}], "
           "tcp: [{match: [{port: 27017, sourceLabels: {app: a}}], route: [{destination: {host: "
           "z}}]}, {route: [{destination: {host: z}}]}]"));
    assert_diags(&decoded, "");
    const struct virtual_service *vs = decoded.object->virtual_service;
    assert_int_equal(vs->n_tls, 1);
    assert_int_equal(vs->n_tcp, 2);
    const struct l4_route *tls = &vs->tls[0];
    assert_int_equal(tls->n_match, 2);
    assert_string_equal(tls->match[0].sni_hosts.items[1].ptr, "*.x.b.org");
    assert_int_equal(tls->match[0].port.value, 443);
    assert_string_equal(tls->match[0].gateways.items[0].ptr, "g");
    assert_string_equal(tls->match[0].destination_subnets.items[0].ptr, "10.0.0.0/8");
    assert_string_equal(tls->match[0].source_namespace.ptr, "ns");
    assert_string_equal(tls->route[0].host.ptr, "x");
    assert_string_equal(tls->route[0].subset.ptr, "v1");
    assert_int_equal(tls->route[0].port.value, 8443);
    assert_int_equal(tls->route[1].weight.value, 3);
    assert_string_equal(vs->tcp[0].match[0].source_labels.items[0].value.ptr, "a");
    assert_int_equal(vs->tcp[0].match[0].port.value, 27017);
    assert_int_equal(vs->tcp[1].n_match, 0);
    assert_string_equal(vs->tcp[1].route[0].host.ptr, "z");
    decoded_fini(&decoded);
}

static void test_tls_and_tcp_rules_are_checked(void **state)
{
    expect_messages(VS("hosts: [a.b], tls: [{" ROUTE "}]"),
                    "field-required spec.tls[0].match: TLS route must have at least one match "
                    "condition\n");
    expect_messages(VS("hosts: [a.b], tls: [{match: [], " ROUTE "}]"),
                    "field-required spec.tls[0].match: TLS route must have at least one match "
                    "condition\n");
    expect_messages(VS("hosts: [a.b], tls: [{match: [{port: 443}], " ROUTE "}]"),
                    "field-required spec.tls[0].match[0].sniHosts: TLS match must have at least "
                    "one SNI host\n");
    expect_messages(VS("hosts: [a.b], tls: [{" SNI("[a.b]") "}]"),
                    "field-required spec.tls[0].route: TLS route is required\n");
    expect_messages(VS("hosts: [a.b], tcp: [{match: [{port: 80}]}]"),
                    "field-required spec.tcp[0].route: TCP route is required\n");
    expect_messages(VS("hosts: [a.b], tcp: [{route: []}]"),
                    "field-required spec.tcp[0].route: TCP route is required\n");
    expect_messages(VS("hosts: [a.b], tcp: [{match: [{destinationSubnets: [10.0.0.0/40], "
                       "sourceSubnet: 10.0.0.0/8}], " ROUTE "}]"),
                    "field-value spec.tcp[0].match[0].destinationSubnets[0]: \"10.0.0.0/40\" is no "
                    "IP address and no subnet such as 10.1.0.0/16\n"
                    "field-not-served spec.tcp[0].match[0].sourceSubnet: is not served yet: "
                    "Address of the client; Istio keeps it hidden and does not look at it "
                    "either.\n");
    expect_messages(VS("hosts: [a.b], tcp: [{route: [{destination: {host: x}, weight: 0}, "
                       "{destination: {host: w}, weight: 0}]}]"),
                    "field-value spec.tcp[0].route: total destination weight = 0\n");
    expect_messages(VS("hosts: [a.b], tls: [{" SNI("[a.b]") ", route: [{destination: {host: x}, "
                                                            "weight: -1}]}]"),
                    "field-value spec.tls[0].route[0].weight: weight -1 < 0\n");
    expect_messages(VS("hosts: [a.b], tcp: [{route: [{destination: {host: x}, headers: {}}]}]"),
                    "unknown-field spec.tcp[0].route[0].headers: RouteDestination has no field "
                    "\"headers\"\n");
}

static void test_a_server_name_lies_within_a_host(void **state)
{
#define TLS(hosts, names) VS("hosts: " hosts ", gateways: [g], tls: [{" SNI(names) ", " ROUTE "}]")
    expect_messages(TLS("['*']", "['*', a.b, '*.c']"), "");
    expect_messages(TLS("['*.b.org', c.org]", "[A.b.org, '*.x.b.org', '*.b.org', c.ORG]"), "");
    expect_messages(TLS("['*.b.org', c.org]", "[b.org]"),
                    "field-value spec.tls[0].match[0].sniHosts[0]: SNI host \"b.org\" is not a "
                    "compatible subset of any of the virtual service hosts: [*.b.org, c.org]\n");
    expect_messages(TLS("['*.b.org']", "['*.org', '*']"),
                    "field-value spec.tls[0].match[0].sniHosts[0]: SNI host \"*.org\" is not a "
                    "compatible subset of any of the virtual service hosts: [*.b.org]\n"
                    "field-value spec.tls[0].match[0].sniHosts[1]: SNI host \"*\" is not a "
                    "compatible subset of any of the virtual service hosts: [*.b.org]\n");
    expect_messages(TLS("[a.org]", "['*.org']"),
                    "field-value spec.tls[0].match[0].sniHosts[0]: SNI host \"*.org\" is not a "
                    "compatible subset of any of the virtual service hosts: [a.org]\n");
    expect_messages(TLS("['*']", "['a*.org']"),
                    "field-value spec.tls[0].match[0].sniHosts[0]: \"a*.org\": must be a domain "
                    "name, a short name, or a wildcard such as *.example.com (the * as the whole "
                    "first label)\n");
    struct decoded decoded =
        decode(VS("hosts: [a.org], gateways: [g], tls: [{match: [{sniHosts: [b.org]}, "
                  "{sniHosts: [a.org]}], " ROUTE "}]"));
    const struct l4_route *rule = &decoded.object->virtual_service->tls[0];
    assert_true(rule->match[0].is_invalid);
    assert_false(rule->match[1].is_invalid || rule->is_invalid);
    assert_true(decoded.object->has_invalid_parts);
    assert_false(decoded.result.had_errors && decoded.result.n == 0);
    decoded_fini(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_virtual_service_holds_what_was_written),
        cmocka_unit_test(test_string_matches_are_one_of_three_and_not_empty),
        cmocka_unit_test(test_a_rule_does_one_thing),
        cmocka_unit_test(test_what_is_not_served_is_said_and_the_rule_stays),
        cmocka_unit_test(test_destinations_are_checked),
        cmocka_unit_test(test_header_operations_are_checked),
        cmocka_unit_test(test_no_text_can_end_a_line_of_a_head),
        cmocka_unit_test(test_what_a_head_can_hold_is_accepted),
        cmocka_unit_test(test_a_block_that_ends_in_a_line_feed_is_explained),
        cmocka_unit_test(test_redirects_rewrites_and_direct_responses_are_checked),
        cmocka_unit_test(test_base64_of_any_length_is_decoded),
        cmocka_unit_test(test_a_bad_rule_harms_itself_alone),
        cmocka_unit_test(test_a_bad_match_block_never_widens_its_rule),
        cmocka_unit_test(test_a_path_that_no_request_has_is_said),
        cmocka_unit_test(test_hosts_may_not_overlap_and_the_mesh_takes_no_catch_all),
        cmocka_unit_test(test_without_hosts_it_is_a_delegate),
        cmocka_unit_test(test_tls_and_tcp_rules_hold_what_was_written),
        cmocka_unit_test(test_tls_and_tcp_rules_are_checked),
        cmocka_unit_test(test_a_server_name_lies_within_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
