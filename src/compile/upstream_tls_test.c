// SPDX-License-Identifier: Apache-2.0
// What clusters speak: by port, DestinationRule and Ingress annotation.
// clang-format off
#include "compile/fixture.h"
#include "compile/certificate_fixture.h"
// clang-format on

#define WEB "web.default.svc.cluster.local"
#define GATEWAY                                                                                    \
    "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n"        \
    "  servers:\n  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}\n"             \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n"        \
    "spec: {hosts: ['*'], gateways: [gw], http: [{match: [{uri: {prefix: /s}}], route: "           \
    "[{destination: {host: web, subset: s}}]}, {route: [{destination: {host: web}}]}]}\n"
#define SERVICE(port)                                                                              \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{" port             \
    "port: 443}]}\n"
#define RULE(policy, subset)                                                                       \
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: dr}\n"       \
    "spec: {host: web, " policy "subsets: [{name: s" subset "}]}\n"
#define INGRESS(annotations)                                                                       \
    "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, annotations: "    \
    "{" annotations "}}\nspec: {defaultBackend: {service: {name: web, port: {number: 443}}}}\n"
#define SECRET(name, ns, keys)                                                                     \
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: " name ", namespace: " ns                 \
    "}\nstringData:\n" keys
#define CRT "    tls.crt: |\n" SHOP_CRT
#define KEY "    tls.key: |\n" SHOP_KEY
#define CA "    ca.crt: |\n" SHOP_CRT
#define INGRESS_OF(annotations, spec)                                                              \
    "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, annotations: "    \
    "{" annotations "}}\nspec: {" spec "}\n"
#define NGINX(key, value) "nginx.ingress.kubernetes.io/" key ": '" value "'"

static void load(struct world *world, const char *yaml)
{
    world_init(world);
    world_load_broken(world, yaml);
    world_compile(world);
}

static void test_the_port_says_what_the_endpoints_speak(void **state)
{
    (void)state;
    static const struct {
        const char *port;
        enum cluster_protocol protocol;
        bool is_told; // that it speaks TLS
    } rows[] = {
        {"", CLUSTER_HTTP1, false},
        {"name: http, ", CLUSTER_HTTP1, false},
        {"name: http2, ", CLUSTER_HTTP2, false},
        {"name: http2-x, ", CLUSTER_HTTP2, false},
        {"name: grpc, ", CLUSTER_HTTP2, false},
        {"name: grpc-web, ", CLUSTER_HTTP1, false},
        {"name: grpc-web-x, ", CLUSTER_HTTP1, false},
        {"name: grpcweb, ", CLUSTER_HTTP1, false},
        {"name: https-x, ", CLUSTER_HTTP1, true},
        {"name: tls, ", CLUSTER_HTTP1, true},
        {"name: tcp-x, ", CLUSTER_HTTP1, false},
        {"appProtocol: GRPC, ", CLUSTER_HTTP2, false},
        {"appProtocol: kubernetes.io/h2c, ", CLUSTER_HTTP2, false},
        {"appProtocol: kubernetes.io/ws, ", CLUSTER_HTTP1, false},
        {"appProtocol: kubernetes.io/wss, ", CLUSTER_HTTP1, true},
        {"name: grpc, appProtocol: http, ", CLUSTER_HTTP1, false},
        {"name: grpc, appProtocol: example.com/own, ", CLUSTER_HTTP1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[2048];
        snprintf(yaml, sizeof yaml, GATEWAY SERVICE("%s") RULE("", ""), rows[i].port);
        load(&world, yaml);
        const struct cluster *cluster = world_cluster(&world, "outbound|443||" WEB);
        assert_non_null(cluster);
        if (cluster->protocol != rows[i].protocol ||
            (world_count(&world, DIAG_UPSTREAM_PROTOCOL) > 0) != rows[i].is_told)
            fail_msg("%s: protocol %u", rows[i].port, cluster->protocol);
        assert_null(cluster->tls);
        assert_false(cluster->is_unserved_protocol);
        world_fini(&world);
    }
}

static void test_a_destination_rule_says_it_in_blocks(void **state)
{
    (void)state;
#define POLICY(fields) "trafficPolicy: {" fields "}, "
#define SUBSET(fields) ", trafficPolicy: {" fields "}"
#define H2(fields) "connectionPool: {http: {" fields "}}"
#define PORT_443(fields) "portLevelSettings: [{port: {number: 443}, " fields "}]"
#define SKIP "tls: {mode: SIMPLE, insecureSkipVerify: true}"
    static const struct {
        const char *policy, *subset;
        enum cluster_protocol protocol;
        bool has_tls;
        unsigned proxy, streams;
    } rows[] = {
        {"", "", CLUSTER_HTTP1, false, 0, 0},
        {POLICY(H2("h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 9")), "", CLUSTER_HTTP2, false,
         0, 9},
        {POLICY(H2("h2UpgradePolicy: DO_NOT_UPGRADE")), "", CLUSTER_HTTP1, false, 0, 0},
        {POLICY(H2("useClientProtocol: true")), "", CLUSTER_AS_CLIENT, false, 0, 0},
        {POLICY(H2("h2UpgradePolicy: UPGRADE")), SUBSET(H2("idleTimeout: 1s")), CLUSTER_HTTP1,
         false, 0, 0},
        {POLICY(SKIP), "", CLUSTER_HTTP1, true, 0, 0},
        {POLICY(SKIP), SUBSET("tls: {mode: DISABLE}"), CLUSTER_HTTP1, false, 0, 0},
        {POLICY(SKIP), SUBSET(H2("h2UpgradePolicy: UPGRADE")), CLUSTER_HTTP2, true, 0, 0},
        {POLICY(SKIP ", " PORT_443("loadBalancer: {simple: RANDOM}")), "", CLUSTER_HTTP1, false, 0,
         0},
        {POLICY(PORT_443(SKIP)), "", CLUSTER_HTTP1, true, 0, 0},
        {POLICY(PORT_443(SKIP)), SUBSET(PORT_443("tls: {}")), CLUSTER_HTTP1, false, 0, 0},
        {POLICY("proxyProtocol: {}"), "", CLUSTER_HTTP1, false, 1, 0},
        {POLICY("proxyProtocol: {version: V2}, " PORT_443(SKIP)), "", CLUSTER_HTTP1, true, 2, 0},
        {POLICY("proxyProtocol: {version: V2}"), SUBSET("proxyProtocol: {}"), CLUSTER_HTTP1, false,
         1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[2048];
        snprintf(yaml, sizeof yaml, GATEWAY SERVICE("") RULE("%s", "%s"), rows[i].policy,
                 rows[i].subset);
        load(&world, yaml);
        const struct cluster *cluster = world_cluster(&world, "outbound|443|s|" WEB);
        assert_non_null(cluster);
        if (cluster->protocol != rows[i].protocol || (cluster->tls != NULL) != rows[i].has_tls ||
            cluster->proxy_protocol != rows[i].proxy ||
            cluster->concurrent_streams_max != rows[i].streams)
            fail_msg("%s %s: protocol %u, tls %d, proxy %u", rows[i].policy, rows[i].subset,
                     cluster->protocol, cluster->tls != NULL, cluster->proxy_protocol);
        // Said to be plain text where the rule around it has TLS.
        bool drops = strstr(rows[i].policy, SKIP ", portLevelSettings") != NULL;
        assert_int_equal(world_count(&world, DIAG_PORT_DROPS_TLS), drops);
        if (!drops)
            world_expect_quiet(&world);
        world_fini(&world);
    }
}

static void test_tls_that_cannot_be_had_is_never_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *tls;
        bool has_tls;
        enum diag_code code; // DIAG_CODE_COUNT: none
    } rows[] = {
        {"mode: SIMPLE", true, DIAG_CODE_COUNT},
        {"mode: ISTIO_MUTUAL", false, DIAG_UPSTREAM_TLS},
        {"mode: MUTUAL, credentialName: good", true, DIAG_CODE_COUNT},
        {"mode: SIMPLE, credentialName: good", true, DIAG_CODE_COUNT},
        {"mode: SIMPLE, credentialName: apart", true, DIAG_CODE_COUNT},
        {"mode: MUTUAL, credentialName: apart", false, DIAG_SECRET_MISSING},
        {"mode: MUTUAL, credentialName: pair", false, DIAG_SECRET_KEYS},
        {"mode: MUTUAL, credentialName: pair, insecureSkipVerify: true", true, DIAG_CODE_COUNT},
        {"mode: SIMPLE, credentialName: gone", false, DIAG_SECRET_MISSING},
        {"mode: SIMPLE, credentialName: bad", false, DIAG_CERTIFICATE_INVALID},
        {"mode: SIMPLE, caCertificates: /nowhere/ca.pem", false, DIAG_FILE_UNREADABLE},
        {"mode: MUTUAL, clientCertificate: /nowhere/c, privateKey: /nowhere/k", false,
         DIAG_FILE_UNREADABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char rule[1024];
        snprintf(rule, sizeof rule, SERVICE("") RULE("trafficPolicy: {tls: {%s}}, ", ""),
                 rows[i].tls);
        world_init(&world);
        world_load(&world, rule);
        world_load(&world, GATEWAY SECRET("good", "istio-system", CRT KEY CA));
        world_load(&world, SECRET("pair", "istio-system", CRT KEY));
        world_load(&world, SECRET("apart-cacert", "istio-system", "    cacert: |\n" SHOP_CRT));
        world_load(&world, SECRET("bad", "istio-system", "    ca.crt: none\n"));
        world_load(&world, SECRET("gone", "default", CA));
        world_compile(&world);
        const struct cluster *cluster = world_cluster(&world, "outbound|443||" WEB);
        assert_non_null(cluster);
        bool is_told = rows[i].code == DIAG_CODE_COUNT || world_count(&world, rows[i].code) > 0;
        if ((cluster->tls != NULL) != rows[i].has_tls ||
            cluster->is_unserved_protocol == rows[i].has_tls || !is_told) {
            print_message("%s: tls %d, unserved %d\n", rows[i].tls, cluster->tls != NULL,
                          cluster->is_unserved_protocol);
            world_fail(&world);
        }
        assert_int_equal(world_count(&world, DIAG_UPSTREAM_TLS) > 0, !rows[i].has_tls);
        world_fini(&world);
    }
}

static void test_an_ingress_says_it_by_annotation(void **state)
{
    (void)state;
#define PROTOCOL(word) NGINX("backend-protocol", word)
    static const struct {
        const char *port, *annotations, *suffix;
        enum cluster_protocol protocol;
        bool has_tls;
    } rows[] = {
        {"", "", "", CLUSTER_HTTP1, false},
        {"name: grpc, ", "", ";HTTP", CLUSTER_HTTP1, false}, // names are Istio's
        {"name: https, ", "", "", CLUSTER_HTTP1, false},
        {"appProtocol: grpc, ", "", "", CLUSTER_HTTP2, false},
        {"appProtocol: https, ", "", ";HTTPS", CLUSTER_HTTP1, true},
        {"appProtocol: kubernetes.io/wss, ", "", ";HTTPS", CLUSTER_HTTP1, true},
        {"appProtocol: grpc, ", PROTOCOL("HTTP"), ";HTTP", CLUSTER_HTTP1, false},
        {"appProtocol: https, ", PROTOCOL("http"), "", CLUSTER_HTTP1, false},
        {"", PROTOCOL("HTTPS"), ";HTTPS", CLUSTER_HTTP1, true},
        {"", PROTOCOL("GRPC"), ";GRPC", CLUSTER_HTTP2, false},
        {"name: grpc, ", PROTOCOL("GRPC"), "", CLUSTER_HTTP2, false},
        {"", PROTOCOL("GRPCS"), ";GRPCS", CLUSTER_HTTP2, true},
        {"", PROTOCOL("HTTPS") ", " NGINX("proxy-ssl-verify", "on"), ";HTTPS;default/web",
         CLUSTER_HTTP1, true},
        {"",
         PROTOCOL("HTTPS") ", " NGINX("proxy-ssl-name", "a.org") ", " NGINX("proxy-ssl-server-name", "on") ", " NGINX(
             "proxy-ssl-verify-depth",
             "3") ", " NGINX("proxy-ssl-protocols",
                             "TLSv1.2 TLSv1.3") ", " NGINX("proxy-ssl-ciphers",
                                                           "HIGH:!aNULL") ", " NGINX("proxy-ssl-"
                                                                                     "secret",
                                                                                     "default/"
                                                                                     "good"),
         ";HTTPS;default/web", CLUSTER_HTTP1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[2048], name[128];
        snprintf(yaml, sizeof yaml, SERVICE("%s") INGRESS("%s"), rows[i].port, rows[i].annotations);
        world_init(&world);
        world_load(&world, yaml);
        world_load(&world, SECRET("good", "default", CRT KEY CA));
        world_compile(&world);
        snprintf(name, sizeof name, "outbound|443||" WEB "%s", rows[i].suffix);
        const struct cluster *cluster = world_cluster(&world, name);
        if (!cluster || cluster->protocol != rows[i].protocol ||
            (cluster->tls != NULL) != rows[i].has_tls || cluster->is_missing)
            fail_msg("%s %s: %s", rows[i].port, rows[i].annotations,
                     cluster ? "wrong" : "no such cluster");
        world_expect_quiet(&world);
        world_fini(&world);
    }
}

static void test_what_is_wrong_with_tls_of_an_ingress_is_told(void **state)
{
    (void)state;
#define WITH(key, value) PROTOCOL("HTTPS") ", " NGINX(key, value)
    static const struct {
        const char *annotations;
        enum diag_code code;
        bool is_closed; // 503
    } rows[] = {
        {WITH("proxy-ssl-secret", "other/good"), DIAG_ANNOTATION_DENIES, true},
        {WITH("proxy-ssl-secret", "a/b/c"), DIAG_ANNOTATION_DENIES, true},
        {WITH("proxy-ssl-secret", "gone"), DIAG_SECRET_MISSING, true},
        {WITH("proxy-ssl-secret", "half"), DIAG_SECRET_KEYS, true},
        {WITH("proxy-ssl-ciphers", "NONE-OF-THESE"), DIAG_UPSTREAM_TLS, true},
        {WITH("proxy-ssl-verify", "yes"), DIAG_ANNOTATION_VALUE, false},
        {WITH("proxy-ssl-verify-depth", "0"), DIAG_ANNOTATION_VALUE, false},
        {WITH("proxy-ssl-protocols", "TLSv1 TLSv1.2"), DIAG_ANNOTATION_VALUE, false},
        {WITH("proxy-ssl-protocols", "TLSv1.4"), DIAG_ANNOTATION_VALUE, false},
        {WITH("proxy-ssl-name", "a b"), DIAG_ANNOTATION_REFUSED, false},
        {WITH("proxy-ssl-name", "$host"), DIAG_ANNOTATION_REFUSED, false},
        {NGINX("proxy-ssl-verify", "on"), DIAG_FIELD_NO_EFFECT, false},
        {PROTOCOL("FCGI"), DIAG_UPSTREAM_PROTOCOL, false},
        {NGINX("ssl-passthrough", "true"), DIAG_ANNOTATION_NOT_SERVED, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[2048];
        snprintf(yaml, sizeof yaml, SERVICE("") INGRESS("%s"), rows[i].annotations);
        world_init(&world);
        world_load(&world, yaml);
        world_load(&world, SECRET("half", "default", CRT));
        world_compile(&world);
        const struct route *route =
            world_listener(&world, 80) ? world_find(&world, 80, "a.org", "/") : NULL;
        bool is_closed = strcmp(world.answer, "503") == 0 || strcmp(world.answer, "=503") == 0;
        if (world_count(&world, rows[i].code) == 0 || (route && is_closed != rows[i].is_closed)) {
            print_message("%s: %s\n", rows[i].annotations, world.answer);
            world_fail(&world);
        }
        world_fini(&world);
    }
}

// Each row: rules, and whether requests of the subset get TLS, or 502.
static void test_a_broken_rule_that_asks_for_tls_lets_no_plain_text_out(void **state)
{
    (void)state;
#define BROKEN(name, fields)                                                                       \
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " name       \
    "}\nspec: {host: web, trafficPolicy: {" fields "}}\n"
#define BAD_TLS "tls: {mode: MUTUAL}"
    static const struct {
        const char *rules;
        bool has_tls, is_refused;
    } rows[] = {
        {BROKEN("a", BAD_TLS) RULE("", ""), false, true},
        {BROKEN("a", SKIP ", loadBalancer: {simple: LAST}") RULE("", ""), false, true},
        {BROKEN("a", BAD_TLS) RULE("", SUBSET(SKIP)), true, false},
        {RULE(POLICY(SKIP), "") BROKEN("z", BAD_TLS), true, false}, // the first policy counts
        {RULE("", "") BROKEN("z", BAD_TLS), false, true},
        {BROKEN("a", "loadBalancer: {simple: LAST}") RULE("", ""), false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char yaml[4096];
        snprintf(yaml, sizeof yaml, GATEWAY SERVICE("") "%s", rows[i].rules);
        load(&world, yaml);
        const struct cluster *cluster = world_cluster(&world, "outbound|443|s|" WEB);
        assert_non_null(cluster);
        if ((cluster->tls != NULL) != rows[i].has_tls ||
            cluster->is_unserved_protocol != rows[i].is_refused)
            fail_msg("%s: tls %d, refused %d", rows[i].rules, cluster->tls != NULL,
                     cluster->is_unserved_protocol);
        world_fini(&world);
    }
}

static void test_a_destination_rule_holds_for_an_ingress_but_for_no_node_port(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort, ports: "
         "[{port: 443, nodePort: 30443}]}\n" RULE(
             "trafficPolicy: {proxyProtocol: {}, tls: {mode: SIMPLE, insecureSkipVerify: true}}, ",
             "") INGRESS(""));
    const struct cluster *cluster = world_cluster(&world, "outbound|443||" WEB);
    assert_true(cluster->tls != NULL && cluster->proxy_protocol == 1);
    cluster = world_listener(&world, 30443)->tcp.items[0].targets[0].cluster;
    assert_true(str_is(cluster->name, "outbound|443||" WEB ";RAW"));
    assert_true(cluster->tls == NULL && cluster->proxy_protocol == 0);
    world_fini(&world);
}

static void test_auto_http_follows_the_scheme_of_the_client(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load(&world,
               SERVICE("") INGRESS_OF(PROTOCOL("AUTO_HTTP") ", " NGINX("ssl-redirect", "false"),
                                      "tls: [{hosts: [a.org], secretName: own}], defaultBackend: "
                                      "{service: {name: web, port: {number: 443}}}"));
    world_load(&world, SECRET("own", "default", CRT KEY));
    world_compile(&world);
    const struct route *route = world_find(&world, 80, "b.org", "/");
    assert_true(str_is(route->targets[0].cluster->name, "outbound|443||" WEB));
    const struct vhost *name = host_table_find(world_listener(&world, 443)->sni, STR("a.org"));
    struct request_view view = {.host = STR("b.org"), .path = STR("/"), .headers = &world.headers};
    const struct vhost *vhost = host_table_find(name->chain->hosts->table, STR("b.org"));
    route = vhost_find_route(vhost, &view);
    assert_true(str_is(route->targets[0].cluster->name, "outbound|443||" WEB ";HTTPS"));
    assert_non_null(route->targets[0].cluster->tls);
    world_fini(&world);
}

static void test_passthrough_leads_to_the_backend_of_the_root(void **state)
{
    (void)state;
#define RULES                                                                                      \
    "rules: [{host: a.org, http: {paths: [{path: /x, pathType: Prefix, backend: {service: "        \
    "{name: x, port: {number: 80}}}}, {path: /, pathType: Prefix, backend: {service: {name: "      \
    "web, port: {number: 443}}}}]}}]"
    struct world world;
    world_init(&world);
    world.options.has_ssl_passthrough = true;
    world_load(&world, SERVICE("") WORLD_SERVICE("x", "default", 80)
                           INGRESS_OF(NGINX("ssl-passthrough", "true"), RULES));
    world_compile(&world);
    assert_string_equal(world_connect(&world, 443, "a.org"), "web");
    assert_string_equal(world_connect(&world, 443, "b.org"), "http"); // the default certificate
    EXPECT(&world, 80, {"a.org", "/x/y", "x"}, {"a.org", "/", "web"});
    world_fini(&world);

    world_init(&world); // switched off
    world_load(&world, SERVICE("") WORLD_SERVICE("x", "default", 80)
                           INGRESS_OF(NGINX("ssl-passthrough", "true"), RULES));
    world_compile(&world);
    assert_string_equal(world_connect(&world, 443, "a.org"), "closed");
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_NOT_SERVED), 1);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_port_says_what_the_endpoints_speak),
        cmocka_unit_test(test_a_destination_rule_says_it_in_blocks),
        cmocka_unit_test(test_tls_that_cannot_be_had_is_never_left_out),
        cmocka_unit_test(test_an_ingress_says_it_by_annotation),
        cmocka_unit_test(test_what_is_wrong_with_tls_of_an_ingress_is_told),
        cmocka_unit_test(test_auto_http_follows_the_scheme_of_the_client),
        cmocka_unit_test(test_passthrough_leads_to_the_backend_of_the_root),
        cmocka_unit_test(test_a_broken_rule_that_asks_for_tls_lets_no_plain_text_out),
        cmocka_unit_test(test_a_destination_rule_holds_for_an_ingress_but_for_no_node_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
