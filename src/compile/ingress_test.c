// SPDX-License-Identifier: Apache-2.0
// The truth tables of Ingress and of ingress-nginx, on compiled snapshots.
#include "compile/certificate_fixture.h"
#include "compile/fixture.h"
#include "compile/ingress_annotations.h"

#define SERVICES                                                                                   \
    WORLD_SERVICE("a", "default", 80)                                                              \
    WORLD_SERVICE("b", "default", 80)                                                              \
    WORLD_SERVICE("c", "default", 80) WORLD_SERVICE("d", "default", 80)
#define INGRESS(name, annotations)                                                                 \
    "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n"                                       \
    "metadata:\n  name: " name "\n  annotations: {" annotations "}\nspec:\n"
#define NGINX(key, value) "nginx.ingress.kubernetes.io/" key ": '" value "', "
#define RULE(host) "  - host: '" host "'\n    http:\n      paths:\n"
#define PATH(type, path, service)                                                                  \
    "      - {path: '" path "', pathType: " type ", backend: {service: {name: " service            \
    ", port: {number: 80}}}}\n"
#define DEFAULT(service) "  defaultBackend: {service: {name: " service ", port: {number: 80}}}\n"
#define HOST "h.example.com"
#define ONE_HOST(annotations, paths) INGRESS("i", annotations) "  rules:\n" RULE(HOST) paths

static void load(struct world *world, const char *yaml)
{
    world_init(world);
    world_load(world, SERVICES);
    world_load(world, yaml);
    world_compile(world);
}

static void test_a_wildcard_host_takes_one_label(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("i", "") "  rules:\n" RULE("*.foo.com") PATH("Prefix", "/", "a"));
    EXPECT(&world, 80, {"bar.foo.com", "/", "a"}, {"baz.bar.foo.com", "/", "404"},
           {"foo.com", "/", "404"}, {"BAR.FOO.COM", "/", "a"}, {"bar.foo.com:8080", "/", "a"},
           {"xfoo.com", "/", "404"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_an_exact_host_alone_counts_before_a_wildcard_and_the_empty_host(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("i", "") "  rules:\n" RULE("*.foo.com") PATH("Prefix", "/", "a") RULE(
                     "bar.foo.com") PATH("Prefix", "/bar", "b") RULE("") PATH("Prefix", "/", "c"));
    EXPECT(&world, 80, {"bar.foo.com", "/bar", "b"}, {"bar.foo.com", "/other", "404"},
           {"x.foo.com", "/bar", "a"}, {"x.y.foo.com", "/bar", "c"}, {"other.org", "/", "c"},
           {"10.0.0.1", "/", "c"});
    world_fini(&world);
}

// One Ingress path a row, as the table of spec.rules has it.
static void test_path_types_follow_the_table_of_the_api(void **state)
{
    (void)state;
    static const struct {
        const char *type, *path, *request;
        bool matches;
    } rows[] = {
        {"Prefix", "/", "/", true},
        {"Prefix", "/", "/any/thing", true},
        {"Exact", "/foo", "/foo", true},
        {"Exact", "/foo", "/bar", false},
        {"Exact", "/foo", "/foo/", false},
        {"Exact", "/foo", "/FOO", false},
        {"Exact", "/foo/", "/foo", false},
        {"Exact", "/foo/", "/foo/", true},
        {"Exact", "/", "/", true},
        {"Exact", "/", "/a", false},
        {"Prefix", "/foo", "/foo", true},
        {"Prefix", "/foo", "/foo/", true},
        {"Prefix", "/foo", "/foo/bar", true},
        {"Prefix", "/foo", "/foo?q=1", true},
        {"Prefix", "/foo/", "/foo", true},
        {"Prefix", "/foo/", "/foo/", true},
        {"Prefix", "/foo/", "/foo/bar", true},
        {"Prefix", "/foo", "/foobar", false},
        {"Prefix", "/foo", "/FOO", false},
        {"Prefix", "/foo", "/", false},
        {"Prefix", "/aaa/bb", "/aaa/bbb", false},
        {"Prefix", "/aaa/bbb", "/aaa/bbb", true},
        {"Prefix", "/aaa/bbb", "/aaa/bbb/", true},
        {"Prefix", "/aaa/bbb", "/aaa/bbb/ccc", true},
        {"Prefix", "/aaa/bbb/", "/aaa/bbb", true},
        {"Prefix", "/aaa/bbb", "/aaa/bbbxyz", false},
        {"Prefix", "/aaa", "/ccc", false},
        {"Prefix", "/foo", "/foo%2Fbar", false}, // an encoded slash is no border of elements
        {"ImplementationSpecific", "/foo", "/foo", true},
        {"ImplementationSpecific", "/foo", "/foo/bar", true},
        {"ImplementationSpecific", "/foo", "/foobar", false},
        {"ImplementationSpecific", "", "/any", true},
        {"ImplementationSpecific", "/a.c", "/abc", false}, // no expression without use-regex
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        world_load(&world, SERVICES);
        char yaml[512];
        snprintf(yaml, sizeof yaml,
                 "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec:\n"
                 "  rules:\n  - http:\n      paths:\n      - {path: '%s', pathType: %s, backend: "
                 "{service: {name: a, port: {number: 80}}}}\n",
                 rows[i].path, rows[i].type);
        world_load(&world, yaml);
        world_compile(&world);
        world_find(&world, 80, "any.example.com", rows[i].request);
        if (strcmp(world.answer, rows[i].matches ? "a" : "404") != 0)
            fail_msg("%s %s, request %s: %s", rows[i].type, rows[i].path, rows[i].request,
                     world.answer);
        world_fini(&world);
    }
}

static void test_the_longest_path_wins_and_exact_goes_before_prefix(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST("", PATH("Prefix", "/", "a") PATH("Prefix", "/aaa", "b")
                                  PATH("Prefix", "/aaa/bbb", "c") PATH("Prefix", "/foo", "b")
                                      PATH("Exact", "/foo", "d") PATH("Exact", "/aaa/", "d")));
    EXPECT(&world, 80, {HOST, "/aaa/ccc", "b"}, {HOST, "/aaa/bbb", "c"}, {HOST, "/ccc", "a"},
           {HOST, "/foo", "d"}, {HOST, "/foo/", "b"}, {HOST, "/aaa/", "d"}, {HOST, "/aaa", "b"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_the_default_backend_serves_what_no_path_takes(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("only", "") DEFAULT("a")                                                //
         INGRESS("beside", "") DEFAULT("b") "  rules:\n" RULE(HOST) PATH("Prefix", "/cart", "c") //
         INGRESS("root", "") DEFAULT("b") "  rules:\n" RULE("root.example.com")
             PATH("Prefix", "/", "d") //
         INGRESS("none", "") "  rules:\n" RULE("none.example.com") PATH("Prefix", "/cart", "c")
             INGRESS("whole", "") DEFAULT("d") "  rules:\n  - host: whole.example.com\n");
    EXPECT(&world, 80, {"unknown.example.com", "/", "a"}, {"unknown.example.com", "/sub", "a"},
           {HOST, "/cart", "c"}, {HOST, "/", "b"}, {HOST, "/x", "b"},
           {"root.example.com", "/x", "d"}, {"none.example.com", "/cart", "c"},
           {"none.example.com", "/x", "404"}, {"whole.example.com", "/x", "d"});
    world_fini(&world);
}

static void test_the_oldest_ingress_owns_a_host_and_path(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("first", "") "  rules:\n" RULE(HOST) PATH("Prefix", "/x", "a") //
         INGRESS("second", "") "  rules:\n" RULE(HOST) PATH("Prefix", "/x", "b")
             PATH("Exact", "/x", "c") PATH("Prefix", "/y", "d"));
    EXPECT(&world, 80, {HOST, "/x/1", "a"}, {HOST, "/x", "c"}, {HOST, "/y", "d"});
    assert_int_equal(world_count(&world, DIAG_DUPLICATE_PATH), 1);
    world_fini(&world);
}

static void test_a_missing_service_or_port_is_503_and_reported(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ONE_HOST(
             "",
             PATH("Prefix", "/none", "nobody") PATH(
                 "Prefix", "/ok",
                 "a")) "      - {path: /port, pathType: Prefix, backend: {service: {name: a, port: "
                       "{number: 81}}}}\n"
                       "      - {path: /name, pathType: Prefix, backend: {service: {name: a, port: "
                       "{name: http}}}}\n");
    EXPECT(&world, 80, {HOST, "/none", "503"}, {HOST, "/ok", "a"}, {HOST, "/port", "503"},
           {HOST, "/name", "a"});
    assert_int_equal(world_count(&world, DIAG_DANGLING_SERVICE), 1);
    assert_int_equal(world_count(&world, DIAG_DANGLING_PORT), 1);
    world_fini(&world);
}

static void test_rewrite_target_replaces_the_whole_path(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("rewrite-target", "/"), PATH("Prefix", "/testpath", "a")));
    EXPECT(&world, 80, {HOST, "/testpath", "a /"}, {HOST, "/testpath/x", "a /"},
           {HOST, "/testpathology", "a /"}, {HOST, "/TESTPATH", "a /"},
           {HOST, "/testpath?q=1", "a /?q=1"}, {HOST, "/test", "404"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_rewrite_target_inserts_captured_groups(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("rewrite-target", "/$2") NGINX("use-regex", "true"),
                          PATH("ImplementationSpecific", "/something(/|$)(.*)", "a")));
    EXPECT(&world, 80, {HOST, "/something", "a /"}, {HOST, "/something/", "a /"},
           {HOST, "/something/new", "a /new"}, {HOST, "/SomeThing/new?q", "a /new?q"},
           {HOST, "/somethingelse", "404"});
    world_fini(&world);
}

static void test_a_question_mark_in_the_target_drops_the_query(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("rewrite-target", "/new?"), PATH("Prefix", "/old", "a"))
                     INGRESS("j", NGINX("rewrite-target", "/new?fixed=1")) "  rules:\n" RULE(
                         "j.example.com") PATH("Prefix", "/old", "a"));
    EXPECT(&world, 80, {HOST, "/old?q=1", "a /new"},
           {"j.example.com", "/old?q=1", "a /new?fixed=1"});
    world_fini(&world);
}

static void test_a_target_equal_to_the_path_changes_nothing(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("rewrite-target", "/same"), PATH("Prefix", "/same", "a")));
    EXPECT(&world, 80, {HOST, "/same/x", "a"}, {HOST, "/samex", "404"}, {HOST, "/SAME", "404"});
    world_fini(&world);
}

static void test_one_regular_expression_changes_all_paths_of_the_host(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("r", NGINX("use-regex", "true")) "  rules:\n" RULE(HOST)
                     PATH("ImplementationSpecific", "/item/[0-9]+$", "a") //
         INGRESS("neighbour", "") "  rules:\n" RULE(HOST) PATH("Exact", "/exact", "b")
             PATH("Prefix", "/prefix", "c") PATH("Prefix", "/v1.0", "d") RULE("calm.example.com")
                 PATH("Exact", "/exact", "b"));
    EXPECT(&world, 80, {HOST, "/item/12", "a"}, {HOST, "/ITEM/1", "a"}, {HOST, "/item/x", "404"},
           {HOST, "/exact", "b"}, {HOST, "/exactly", "b"}, {HOST, "/EXACT/x", "b"},
           {HOST, "/prefixed", "c"}, {HOST, "/v1x0", "d"}, {"calm.example.com", "/exact", "b"},
           {"calm.example.com", "/exactly", "404"});
    assert_int_equal(world_count(&world, DIAG_REGEX_MODE), 1); // one for the neighbour
    world_fini(&world);
}

static void test_expressions_are_tried_by_length_and_ties_in_reverse_order(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("use-regex", "true"),
                          PATH("ImplementationSpecific", "/foo/.*", "a")
                              PATH("ImplementationSpecific", "/foo/bar/.*", "b")
                                  PATH("ImplementationSpecific", "/aa.", "c")
                                      PATH("ImplementationSpecific", "/a.a", "d")));
    EXPECT(&world, 80, {HOST, "/foo/bar/x", "b"}, {HOST, "/foo/x", "a"}, {HOST, "/aaa", "c"});
    world_fini(&world);
}

static void test_app_root_redirects_the_root_alone(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("app-root", "/start"), PATH("Prefix", "/", "a")));
    EXPECT(&world, 80, {HOST, "/", "302 http://" HOST "/start"}, {HOST, "/x", "a"},
           {HOST, "/?q=1", "302 http://" HOST "/start"});
    world_fini(&world);
}

static void test_a_tls_section_redirects_to_https(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("t", "") "  tls: [{hosts: [" HOST
                                  ", '*.wild.example.com']}]\n  rules:\n" RULE(HOST)
                                      PATH("Prefix", "/", "a") RULE("x.wild.example.com")
                                          PATH("Prefix", "/", "b") RULE("plain.example.com")
                                              PATH("Prefix", "/", "c") //
         INGRESS("without", NGINX("ssl-redirect", "false")) "  tls: [{hosts: [off.example.com]}]\n"
                                                            "  rules:\n" RULE("off.example.com")
                                                                PATH("Prefix", "/", "d"));
    EXPECT(&world, 80, {HOST, "/a/b?q=1", "308 https://" HOST "/a/b?q=1"},
           {HOST, "/a/", "308 https://" HOST "/a"}, {HOST ":8080", "/a", "308 https://" HOST "/a"},
           {HOST, "/.well-known/acme-challenge/token", "a"},
           {HOST, "/.well-known/other", "308 https://" HOST "/.well-known/other"},
           {"x.wild.example.com", "/x", "308 https://x.wild.example.com/x"},
           {"plain.example.com", "/", "c"}, {"off.example.com", "/", "d"});
    // Over https all are served, also the one without a tls section.
    EXPECT(&world, 443, {HOST, "/a/b?q=1", "a"}, {"x.wild.example.com", "/x", "b"},
           {"plain.example.com", "/", "c"}, {"off.example.com", "/", "d"},
           {"unknown.example.com", "/", "404"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static const struct filter_chain *chain_of(const struct world *world, const char *sni)
{
    const struct listener *listener = world_listener(world, 443);
    const struct vhost *name = listener ? host_table_find(listener->sni, str_of(sni)) : NULL;
    return name ? name->chain : NULL;
}

static bool is_of(const struct filter_chain *chain, const char *source)
{
    return chain->n_certificates == 1 && str_is(chain->certificates[0].source, source);
}

#define TLS_FOR(hosts, secret) "  tls: [{hosts: [" hosts "], secretName: " secret "}]\n"
#define SHOP "shop.example.com"

static void test_sni_chooses_among_certificates_of_tls_sections(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("a", "") TLS_FOR(SHOP ", '*." SHOP "'", "shop") "  rules:\n" RULE(SHOP)
                     PATH("Prefix", "/", "a") RULE("x." SHOP) PATH("Prefix", "/", "b") //
         INGRESS("b", "")
             TLS_FOR("other.example.com", "gone") "  rules:\n" RULE("other.example.com")
                 PATH("Prefix", "/", "c") //
         INGRESS("c", "") TLS_FOR(SHOP ", alone." SHOP, "late") "  rules:\n" RULE(SHOP)
             PATH("Prefix", "/late", "d") //
         SHOP_SECRET("shop", "default", "") SHOP_SECRET("late", "default", ""));
    assert_true(is_of(chain_of(&world, SHOP), "Secret default/shop"));
    assert_ptr_equal(chain_of(&world, "x." SHOP), chain_of(&world, SHOP));      // one certificate
    assert_true(is_of(chain_of(&world, "alone." SHOP), "Secret default/late")); // without a rule
    assert_true(is_of(chain_of(&world, "y.x." SHOP), "self-signed")); // a star is one label
    assert_true(is_of(chain_of(&world, "other.example.com"), "self-signed"));
    assert_true(is_of(chain_of(&world, "unknown.example.com"), "self-signed"));
    EXPECT(&world, 443, {SHOP, "/x", "a"}, {SHOP, "/late", "d"}, {"x." SHOP, "/", "b"},
           {"other.example.com", "/", "c"});
    assert_int_equal(world_count(&world, DIAG_SECRET_MISSING), 1);
    assert_int_equal(world_count(&world, DIAG_TLS_HOST_TAKEN), 1);
    assert_int_equal(world_count(&world, DIAG_CERTIFICATE_HOST), 0);
    world_fini(&world);
}

static void test_hsts_is_for_hosts_with_a_certificate_over_https(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         INGRESS("a", NGINX("ssl-redirect", "false")) TLS_FOR(SHOP, "shop") "  rules:\n" RULE(SHOP)
             PATH("Prefix", "/", "a") RULE("plain.example.com") PATH("Prefix", "/", "b") //
         SHOP_SECRET("shop", "default", ""));
    const struct route *route = world_find(&world, 443, SHOP, "/");
    assert_int_equal(route->response_ops.n, 1);
    assert_true(str_is(route->response_ops.ops[0].name, "strict-transport-security"));
    assert_true(str_is(route->response_ops.ops[0].text, "max-age=1"));
    assert_int_equal(world_find(&world, 443, "plain.example.com", "/")->response_ops.n, 0);
    assert_int_equal(world_find(&world, 80, SHOP, "/")->response_ops.n, 0);
    world_fini(&world);
}

static void test_the_https_port_needs_a_reason_to_open(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_load(&world,
               ONE_HOST("", PATH("Prefix", "/", "a")) SHOP_SECRET("fallback", "kube-system", ""));
    world_compile(&world);
    EXPECT(&world, 443, {HOST, "/", "closed"});
    world.options.default_certificate = STR("kube-system/fallback");
    world_compile(&world);
    assert_true(is_of(chain_of(&world, "any.example.com"), "Secret kube-system/fallback"));
    assert_int_equal(world_count(&world, DIAG_SECRET_MISSING), 0);
    world.options.default_certificate = STR("kube-system/gone");
    world_compile(&world);
    assert_true(is_of(chain_of(&world, "any.example.com"), "self-signed"));
    assert_int_equal(world_count(&world, DIAG_SECRET_MISSING), 1);
    world_fini(&world);
}

static void test_client_certificates_are_asked_for_by_host(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         INGRESS("a", NGINX("auth-tls-secret", "default/shop") NGINX("auth-tls-verify-depth", "2")
                          NGINX("auth-tls-pass-certificate-to-upstream", "true")
                              NGINX("server-alias", "alias." SHOP)) "  rules:\n" RULE(SHOP)
             PATH("Prefix", "/", "a") //
         INGRESS("b", NGINX("auth-tls-secret", "default/shop") NGINX(
                          "auth-tls-verify-client", "optional")) "  rules:\n" RULE("b.example.com")
             PATH("Prefix", "/", "b") //
         INGRESS("c", NGINX("auth-tls-secret", "default/gone")) "  rules:\n" RULE("c.example.com")
             PATH("Prefix", "/", "c") //
         INGRESS("d", NGINX("auth-tls-secret", "other/shop")) "  rules:\n" RULE("d.example.com")
             PATH("Prefix", "/", "d") //
         INGRESS("e", NGINX("auth-tls-secret", "default/shop")
                          NGINX("auth-tls-verify-client", "off")) "  rules:\n" RULE("e.example.com")
             PATH("Prefix", "/", "d") //
         SHOP_SECRET("shop", "default", "    ca.crt: |\n" SHOP_CRT));
    const struct filter_chain *chain = chain_of(&world, SHOP);
    assert_int_equal(chain->client_auth, TLS_CLIENT_REQUIRED);
    assert_true(chain->passes_ingress_cert && chain->client_cert_pem);
    assert_ptr_equal(chain_of(&world, "alias." SHOP), chain);
    assert_int_equal(chain_of(&world, "b.example.com")->client_auth, TLS_CLIENT_OPTIONAL);
    assert_false(chain_of(&world, "b.example.com")->client_cert_pem);
    assert_int_equal(chain_of(&world, "e.example.com")->client_auth, TLS_CLIENT_NONE);
    // Nobody gets past over plain HTTP, not even where a certificate is fetched.
    EXPECT(&world, 80, {SHOP, "/x", "308 https://" SHOP "/x"},
           {SHOP, "/.well-known/acme-challenge/x",
            "308 https://" SHOP "/.well-known/acme-challenge/x"},
           {"b.example.com", "/", "b"}, {"c.example.com", "/", "=403"},
           {"d.example.com", "/", "=403"}, {"e.example.com", "/", "d"});
    EXPECT(&world, 443, {SHOP, "/", "a"}, {"alias." SHOP, "/", "a"}, {"c.example.com", "/", "=403"},
           {"d.example.com", "/", "=403"});
    assert_int_equal(world_count(&world, DIAG_SECRET_MISSING), 1);
    assert_int_equal(world_count(&world, DIAG_SECRET_KEYS), 1);
    world_fini(&world);
}

static void test_www_is_redirected_to_the_host_that_is_named(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("from-to-www-redirect", "true"), PATH("Prefix", "/", "a")) //
         INGRESS("w", NGINX("from-to-www-redirect", "true"))
             TLS_FOR("www." SHOP, "shop") "  rules:\n" RULE("www." SHOP) PATH("Prefix", "/", "b") //
         SHOP_SECRET("shop", "default", ""));
    EXPECT(&world, 80, {HOST, "/", "a"}, {"www." HOST, "/x?q", "308 http://" HOST "/x?q"},
           {SHOP, "/x", "308 http://www." SHOP "/x"});
    EXPECT(&world, 443, {"www." HOST, "/x", "308 https://" HOST "/x"},
           {SHOP, "/x", "308 https://www." SHOP "/x"}, {"www." SHOP, "/", "b"});
    assert_true(is_of(chain_of(&world, SHOP), "Secret default/shop"));
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_ciphers_of_a_host(void **state)
{
    (void)state;
    struct world world;
    load(&world, INGRESS("a", NGINX("ssl-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:!aNULL"))
                     TLS_FOR(SHOP, "shop") "  rules:\n" RULE(SHOP) PATH("Prefix", "/", "a") //
         INGRESS("b", NGINX("ssl-ciphers", "NOTHING"))
             TLS_FOR("x." SHOP, "shop") "  rules:\n" RULE("x." SHOP) PATH("Prefix", "/", "b") //
         INGRESS("c", "") TLS_FOR("y." SHOP, "shop") "  rules:\n" RULE("y." SHOP)
             PATH("Prefix", "/", "c") //
         SHOP_SECRET("shop", "default", ""));
    assert_ptr_not_equal(chain_of(&world, SHOP), chain_of(&world, "y." SHOP));
    assert_ptr_equal(chain_of(&world, "x." SHOP), chain_of(&world, "y." SHOP)); // the default
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_VALUE), 1);
    world_fini(&world);
}

static void test_force_ssl_redirect_needs_no_tls_section(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("force-ssl-redirect", "true"),
                          PATH("Prefix", "/", "a") PATH("Prefix", "/.well-known", "b")) //
         INGRESS("r", NGINX("force-ssl-redirect", "true") NGINX("use-regex", "true") NGINX(
                          "preserve-trailing-slash", "true")) "  rules:\n" RULE("r.example.com")
             PATH("ImplementationSpecific", "/(.*)", "c"));
    EXPECT(&world, 80, {HOST, "/a", "308 https://" HOST "/a"},
           {HOST, "/.well-known/acme-challenge/token", "b"},
           {"r.example.com", "/x/", "308 https://r.example.com/x/"},
           {"r.example.com", "/.well-known/acme-challenge/token", "c"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_redirect_annotations_send_every_request_of_the_path_away(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ONE_HOST(NGINX("permanent-redirect", "https://new.example.com/shop"),
                  PATH("Prefix", "/", "a"))
             INGRESS("t", NGINX("temporal-redirect", "http://t.example.com:8080?x=1")
                              NGINX("permanent-redirect",
                                    "https://never.example.com")) "  rules:\n" RULE("t.example.org")
                 PATH("Prefix", "/", "a") INGRESS(
                     "u", NGINX("permanent-redirect", "https://www.example.com$request_uri") NGINX(
                              "permanent-redirect-code", "308")) "  rules:\n" RULE("u.example.org")
                     PATH("Prefix", "/", "a") INGRESS(
                         "v", NGINX("permanent-redirect",
                                    "$scheme://$host/moved")) "  rules:\n" RULE("v.example.org")
                         PATH("Prefix", "/", "a"));
    EXPECT(&world, 80, {HOST, "/a?q=1", "301 https://new.example.com/shop"},
           {"t.example.org", "/a", "302 http://t.example.com:8080/?x=1"},
           {"u.example.org", "/a?q=1", "308 https://www.example.com/a?q=1"},
           {"v.example.org", "/a?q=1", "301 http://v.example.org/moved"});
    world_expect_quiet(&world);
    world_fini(&world);
}

static void test_upstream_vhost_and_body_size_go_to_the_route(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ONE_HOST(NGINX("upstream-vhost", "inner.example.com") NGINX("proxy-body-size", "8m"),
                  PATH("Prefix", "/", "a")));
    EXPECT(&world, 80, {HOST, "/x", "a @inner.example.com"});
    assert_int_equal(world_find(&world, 80, HOST, "/")->body_bytes_max, 8 << 20);
    world_fini(&world);
}

static void test_server_aliases_are_further_hosts(void **state)
{
    (void)state;
    struct world world;
    load(&world,
         ONE_HOST(NGINX("server-alias", "www.example.com, *.shop.example.org,other.example.com"),
                  PATH("Prefix", "/", "a")) INGRESS("o", "") "  rules:\n" RULE("other.example.com")
             PATH("Prefix", "/", "b"));
    EXPECT(&world, 80, {HOST, "/", "a"}, {"www.example.com", "/", "a"},
           {"x.y.shop.example.org", "/", "a"}, {"other.example.com", "/", "b"});
    assert_int_equal(world_count(&world, DIAG_ALIAS_CONFLICT), 1);
    world_fini(&world);
}

static void test_what_guards_a_backend_and_is_not_served_closes_it(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST(NGINX("whitelist-source-range", "10.0.0.0/8"), PATH("Prefix", "/", "a"))
                     INGRESS("s", NGINX("configuration-snippet", "deny all;")) "  rules:\n" RULE(
                         "s.example.com") PATH("Prefix", "/", "a")
                         INGRESS("without", NGINX("enable-modsecurity", "false")) "  rules:\n" RULE(
                             "off.example.com") PATH("Prefix", "/", "a"));
    EXPECT(&world, 80, {HOST, "/", "=503"}, {"s.example.com", "/", "404"},
           {"off.example.com", "/", "a"});
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_DENIES), 1);
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_REFUSED), 1);
    world_fini(&world);
}

static void test_a_path_with_odd_characters_takes_its_ingress_away(void **state)
{
    (void)state;
    struct world world;
    load(&world, ONE_HOST("", PATH("Prefix", "/ok", "a") PATH("Prefix", "/a(b)", "b")) INGRESS(
                     "o", "") "  rules:\n" RULE("other.example.com") PATH("Prefix", "/", "b"));
    EXPECT(&world, 80, {HOST, "/ok", "404"}, {"other.example.com", "/", "b"});
    assert_int_equal(world_count(&world, DIAG_STRICT_PATH), 1);
    world_fini(&world);
}

// Which Ingresses are served: columns of the table "IngressClass and selection".
static void test_classes_decide_who_serves_an_ingress(void **state)
{
    (void)state;
#define CLASS(name, controller, annotations)                                                       \
    "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: " name            \
    ", annotations: {" annotations "}}\nspec: {controller: " controller "}\n"
#define OURS CLASS("ours", "sluicegate.io/ingress-controller", "")
#define DEFAULT_CLASS "ingressclass.kubernetes.io/is-default-class: 'true'"
    static const struct {
        const char *classes, *field, *annotation, *option;
        bool is_served;
    } rows[] = {
        {"", NULL, NULL, "", true}, // no IngressClass at all: every Ingress
        {"", "any", NULL, "", true},
        {"", "nginx", NULL, "nginx", true},
        {"", "other", NULL, "nginx", false},
        {"", NULL, "nginx", "nginx", true},
        {"", NULL, "other", "nginx", false},
        {"", NULL, NULL, "nginx", false},
        {OURS, "ours", NULL, "", true},
        {OURS, "nowhere", NULL, "", false},
        {OURS, NULL, "ours", "", true},
        {OURS, NULL, "nowhere", "", false},
        {OURS, NULL, NULL, "", false},
        {OURS, "ours", "other", "", true}, // the field counts
        {OURS, "other", "ours", "", false},
        {OURS, NULL, "legacy", "legacy", true}, // a plain string
        {CLASS("theirs", "k8s.io/ingress-nginx", ""), "theirs", NULL, "", false},
        {CLASS("theirs", "k8s.io/ingress-nginx", ""), NULL, NULL, "", false},
        {CLASS("ours", "sluicegate.io/ingress-controller", DEFAULT_CLASS), NULL, NULL, "", true},
        {CLASS("theirs", "k8s.io/ingress-nginx", DEFAULT_CLASS) OURS, NULL, NULL, "", false},
        {OURS CLASS("second", "sluicegate.io/ingress-controller", ""), "second", NULL, "ours",
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        world.options.ingress_class = str_of(rows[i].option);
        world_load(&world, SERVICES);
        world_load(&world, rows[i].classes);
        char yaml[768];
        snprintf(yaml, sizeof yaml,
                 "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n"
                 "  annotations: {%s%s}\nspec:\n  %s%s\n  rules:\n" RULE("")
                     PATH("Prefix", "/", "a"),
                 rows[i].annotation ? "kubernetes.io/ingress.class: " : "",
                 rows[i].annotation ? rows[i].annotation : "",
                 rows[i].field ? "ingressClassName: " : "", rows[i].field ? rows[i].field : "");
        world_load(&world, yaml);
        world_compile(&world);
        world_find(&world, 80, HOST, "/");
        if ((strcmp(world.answer, "a") == 0) != rows[i].is_served)
            fail_msg("row %zu: %s", i, world.answer);
        world_fini(&world);
    }
}

// Looked up by halving, so their order matters: each is known when an Ingress carries it.
static void test_every_annotation_of_the_table_is_known(void **state)
{
    (void)state;
    struct buf page = {0};
    ingress_annotations_print_reference(&page);
    struct world world;
    world_init(&world);
    struct buf yaml = {0};
    buf_add_text(&yaml, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n"
                        "  annotations:\n");
    struct str rest = buf_str(&page), line;
    unsigned n = 0;
    while (str_next(&rest, '\n', &line)) {
        if (!str_has_prefix(line, STR("| ")) || str_has_prefix(line, STR("| annotation |")))
            continue;
        struct str key = str_from(line, 2);
        key = str_upto(key, (size_t)str_index(key, ' '));
        buf_printf(&yaml, "    nginx.ingress.kubernetes.io/%.*s: \"false\"\n", STR_ARG(key));
        n++;
    }
    buf_add_text(&yaml, "spec: {defaultBackend: {service: {name: a, port: {number: 80}}}}\n");
    assert_int_equal(n, 138);
    world_load(&world, yaml.data);
    world_compile(&world);
    assert_int_equal(world_count(&world, DIAG_ANNOTATION_UNKNOWN), 0);
    buf_fini(&yaml);
    buf_fini(&page);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wildcard_host_takes_one_label),
        cmocka_unit_test(test_an_exact_host_alone_counts_before_a_wildcard_and_the_empty_host),
        cmocka_unit_test(test_path_types_follow_the_table_of_the_api),
        cmocka_unit_test(test_the_longest_path_wins_and_exact_goes_before_prefix),
        cmocka_unit_test(test_the_default_backend_serves_what_no_path_takes),
        cmocka_unit_test(test_the_oldest_ingress_owns_a_host_and_path),
        cmocka_unit_test(test_a_missing_service_or_port_is_503_and_reported),
        cmocka_unit_test(test_rewrite_target_replaces_the_whole_path),
        cmocka_unit_test(test_rewrite_target_inserts_captured_groups),
        cmocka_unit_test(test_a_question_mark_in_the_target_drops_the_query),
        cmocka_unit_test(test_a_target_equal_to_the_path_changes_nothing),
        cmocka_unit_test(test_one_regular_expression_changes_all_paths_of_the_host),
        cmocka_unit_test(test_expressions_are_tried_by_length_and_ties_in_reverse_order),
        cmocka_unit_test(test_app_root_redirects_the_root_alone),
        cmocka_unit_test(test_a_tls_section_redirects_to_https),
        cmocka_unit_test(test_sni_chooses_among_certificates_of_tls_sections),
        cmocka_unit_test(test_hsts_is_for_hosts_with_a_certificate_over_https),
        cmocka_unit_test(test_the_https_port_needs_a_reason_to_open),
        cmocka_unit_test(test_client_certificates_are_asked_for_by_host),
        cmocka_unit_test(test_www_is_redirected_to_the_host_that_is_named),
        cmocka_unit_test(test_ciphers_of_a_host),
        cmocka_unit_test(test_force_ssl_redirect_needs_no_tls_section),
        cmocka_unit_test(test_redirect_annotations_send_every_request_of_the_path_away),
        cmocka_unit_test(test_upstream_vhost_and_body_size_go_to_the_route),
        cmocka_unit_test(test_server_aliases_are_further_hosts),
        cmocka_unit_test(test_what_guards_a_backend_and_is_not_served_closes_it),
        cmocka_unit_test(test_a_path_with_odd_characters_takes_its_ingress_away),
        cmocka_unit_test(test_every_annotation_of_the_table_is_known),
        cmocka_unit_test(test_classes_decide_who_serves_an_ingress),
    };
    return cmocka_run_group_tests_name("compile-ingress", tests, NULL, NULL);
}
