// SPDX-License-Identifier: Apache-2.0
// Mistakes that compiling finds in a new version of an object: the last good version stays.
#include "compile/certificate_fixture.h"
#include "compile/fixture.h"
#include "source/manifest.h"

#define INGRESS_OF(class, annotations, path)                                                       \
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n"                      \
    "  annotations: {a: b" annotations                                                             \
    "}\nspec:\n  " class "rules:\n"                                                                \
                         "  - host: i.example.com\n    http: {paths: [{" path                      \
                         ", backend: {service: {name: web, port: {number: 80}}}}]}\n"
#define INGRESS(annotations, path) INGRESS_OF("", annotations, path)
#define NGINX(key, value) ", nginx.ingress.kubernetes.io/" key ": '" value "'"
#define PREFIX(path) "path: " path ", pathType: Prefix"
#define FREE(path) "path: '" path "', pathType: ImplementationSpecific"
#define VS_OF(gateways, rules)                                                                     \
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec:\n"       \
    "  gateways: [" gateways "]\n  hosts: [v.example.com]\n  http:\n" rules
#define VS(rules) VS_OF("gw", rules)
#define TO_WEB "route: [{destination: {host: web}}]"
#define GATEWAY(more)                                                                              \
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n"             \
    "  selector: {istio: ingressgateway}\n  servers:\n"                                            \
    "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']" more "}\n"
#define NODE_PORT(number)                                                                          \
    "apiVersion: v1\nkind: Service\nmetadata: {name: np}\n"                                        \
    "spec: {type: NodePort, ports: [{port: 80, nodePort: " number "}]}\n"
#define OTHER_CLASS                                                                                \
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: other}\n"              \
    "spec: {controller: example.com/other}\n"

static enum soundness check_yaml(struct world *world, const char *yaml)
{
    struct decode_result result = {0};
    struct str text = str_of(yaml);
    if (str_has_prefix(text, STR("---\n")))
        text = str_from(text, 4);
    decode_document(world->arena, text, STR("in.yaml"), 1, world->diags, &result);
    if (result.n != 1 || result.had_errors)
        world_fail(world);
    struct object_checker checker = {world->store, &world->options, world->registry};
    enum soundness is = check_object(&checker, result.objects[0], world->diags);
    object_destroy(result.objects[0]);
    return is;
}

#define SECRET(type, data)                                                                         \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: " type "\nstringData:\n" data

// Whoever uses it or not; other types may hold anything under these names.
static void test_a_tls_secret_is_judged_by_what_it_holds(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum soundness wanted;
        int code; // -1: nothing at all
    } rows[] = {
        {SHOP_SECRET("s", "default", ""), OBJECT_SOUND, -1},
        {SHOP_SECRET("s", "default", "    ca.crt: |\n" SHOP_CRT), OBJECT_SOUND, -1},
        {SHOP_SECRET("s", "default", "    ca.crt: nonsense\n"), OBJECT_BROKEN,
         DIAG_CERTIFICATE_INVALID},
        {SHOP_SECRET("s", "default", "    tls.ocsp-staple: nonsense\n"), OBJECT_BROKEN,
         DIAG_CERTIFICATE_INVALID},
        {SECRET("kubernetes.io/tls", "    tls.crt: nonsense\n    tls.key: |\n" SHOP_KEY),
         OBJECT_BROKEN, DIAG_CERTIFICATE_INVALID},
        {SECRET("kubernetes.io/tls", "    tls.crt: |\n" SHOP_CRT), OBJECT_BROKEN, DIAG_SECRET_KEYS},
        {SECRET("Opaque", "    tls.crt: nonsense\n    tls.key: more\n"), OBJECT_SOUND, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        enum soundness is = check_yaml(&world, rows[i].yaml);
        if (is != rows[i].wanted)
            fail_msg("row %zu: %d", i, is);
        assert_int_equal(diags_count(world.diags), rows[i].code >= 0);
        if (rows[i].code >= 0)
            assert_int_equal(diags_get(world.diags, 0)->code, rows[i].code);
        world_fini(&world);
    }
}

static void test_an_object_is_judged_by_its_own_mistakes_alone(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum soundness wanted;
        int code; // that is reported; -1: nothing at all
    } rows[] = {
        {INGRESS("", PREFIX("/a")), OBJECT_SOUND,
         -1}, // that Service web does not exist is not its own
        {INGRESS("", PREFIX("/a(.*)")), OBJECT_BROKEN, DIAG_STRICT_PATH},
        {INGRESS(NGINX("configuration-snippet", "x"), PREFIX("/a")), OBJECT_BROKEN,
         DIAG_ANNOTATION_REFUSED},
        {INGRESS(NGINX("rewrite-target", "/$host"), PREFIX("/a")), OBJECT_BROKEN,
         DIAG_ANNOTATION_REFUSED},
        {INGRESS(NGINX("auth-url", "http://a"), PREFIX("/a")), OBJECT_BROKEN,
         DIAG_ANNOTATION_DENIES},
        {INGRESS(NGINX("proxy-body-size", "8x"), PREFIX("/a")), OBJECT_DOUBTFUL,
         DIAG_ANNOTATION_VALUE},
        {INGRESS(NGINX("affinity", "cookie"), PREFIX("/a")), OBJECT_SOUND,
         DIAG_ANNOTATION_NOT_SERVED},
        {INGRESS(NGINX("use-regex", "true"), FREE("/a(")), OBJECT_BROKEN, DIAG_REGEX_INVALID},
        {INGRESS(NGINX("use-regex", "true"), FREE("/a(?=b)")), OBJECT_SOUND, -1},
        {INGRESS(NGINX("rewrite-target", "/b"), FREE("/a(")), OBJECT_BROKEN, DIAG_REGEX_INVALID},
        {INGRESS("", FREE("/a(")), OBJECT_SOUND, -1},
        {INGRESS_OF("defaultBackend: {resource: {kind: Bucket, name: b}}\n  ", "", PREFIX("/a")),
         OBJECT_BROKEN, DIAG_RESOURCE_BACKEND},
        {INGRESS_OF("ingressClassName: other\n  ", NGINX("configuration-snippet", "x"),
                    PREFIX("/a(")),
         OBJECT_SOUND, -1},
        {VS("  - " TO_WEB "\n"), OBJECT_SOUND, -1},
        {VS("  - {match: [{uri: {regex: '/a('}}], " TO_WEB "}\n"), OBJECT_BROKEN,
         DIAG_REGEX_INVALID},
        {VS("  - {match: [{uri: {regex: '/(a)\\1'}}], " TO_WEB "}\n"), OBJECT_BROKEN,
         DIAG_REGEX_INVALID},
        {VS("  - {match: [{headers: {x: {regex: '['}}}], " TO_WEB "}\n"), OBJECT_BROKEN,
         DIAG_REGEX_INVALID},
        {VS("  - {match: [{headers: {'@request.auth.claims.a': {exact: b}}}], " TO_WEB "}\n"),
         OBJECT_BROKEN, DIAG_MATCH_NOT_SERVED},
        {VS("  - {headers: {request: {set: {x: '%FOO%'}}}, " TO_WEB "}\n"), OBJECT_BROKEN,
         DIAG_HEADER_VALUE},
        {VS("  - {route: [{destination: {host: web}, headers: {response: {add: {x: '%'}}}}]}\n"),
         OBJECT_BROKEN, DIAG_HEADER_VALUE},
        {VS("  - {redirect: {uri: /, redirectCode: 304}}\n"), OBJECT_BROKEN, DIAG_REDIRECT_CODE},
        {VS("  - {rewrite: {uriRegexRewrite: {match: '(', rewrite: a}}, " TO_WEB "}\n"),
         OBJECT_BROKEN, DIAG_REGEX_INVALID},
        {VS("  - {delegate: {name: absent}}\n"), OBJECT_SOUND, -1},
        {VS_OF("mesh", "  - {match: [{uri: {regex: '/a('}}], " TO_WEB "}\n"), OBJECT_SOUND, -1},
        {GATEWAY(""), OBJECT_SOUND, -1},
        {GATEWAY(", bind: nowhere"), OBJECT_BROKEN, DIAG_FIELD_VALUE},
        {NODE_PORT("30007"), OBJECT_SOUND, -1},
        {NODE_PORT("0"), OBJECT_SOUND, -1},
        {NODE_PORT("29999"), OBJECT_BROKEN, DIAG_NODEPORT_RANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world);
        world_load(&world, OTHER_CLASS);
        world_load(&world, "apiVersion: networking.k8s.io/v1\nkind: IngressClass\n"
                           "metadata: {name: ours, annotations: "
                           "{ingressclass.kubernetes.io/is-default-class: 'true'}}\n"
                           "spec: {controller: sluicegate.io/ingress-controller}\n");
        enum soundness is = check_yaml(&world, rows[i].yaml);
        bool is_right = is == rows[i].wanted &&
                        (rows[i].code < 0 ? diags_count(world.diags) == 0
                                          : world_count(&world, (enum diag_code)rows[i].code) > 0);
        if (!is_right) {
            print_error("row %zu: %u\n%s", i, is, rows[i].yaml);
            world_fail(&world);
        }
        world_fini(&world);
    }
}

// A file that is saved again and again.
struct saved {
    struct world world;
    struct object_checker checker;
    struct manifest *manifest;
};

static void saved_init(struct saved *saved)
{
    world_init(&saved->world);
    world_load(&saved->world, WORLD_SERVICE("web", "default", 80));
    world_load(&saved->world, GATEWAY(""));
    saved->checker =
        (struct object_checker){saved->world.store, &saved->world.options, saved->world.registry};
    store_set_checker(saved->world.store, check_object, &saved->checker);
    saved->manifest = manifest_create(STR("saved.yaml"));
}

static void saved_fini(struct saved *saved)
{
    manifest_destroy(saved->manifest, saved->world.store);
    world_fini(&saved->world);
}

static void save(struct saved *saved, const char *yaml)
{
    struct world *world = &saved->world;
    manifest_take(saved->manifest, world->store, str_of(yaml), false);
    diags_destroy(world->diags);
    world->diags = diags_create();
    manifest_report(saved->manifest, world->diags);
    world_compile(world);
}

static void expect_kept(const struct saved *saved, unsigned n_kept, enum diag_code code)
{
    if (world_count(&saved->world, DIAG_KEPT_LAST_GOOD) != n_kept ||
        world_count(&saved->world, code) == 0)
        world_fail(&saved->world);
}

#define GUARDED(regex)                                                                             \
    VS("  - {match: [{uri: {regex: '" regex "'}}], directResponse: {status: 403}}\n"               \
       "  - " TO_WEB "\n")

static void test_a_new_version_with_a_mistake_stays_out_until_it_is_mended(void **state)
{
    (void)state;
    struct saved saved;
    saved_init(&saved);
    save(&saved, GUARDED("/admin.*"));
    EXPECT(&saved.world, 80, {"v.example.com", "/admin", "=403"}, {"v.example.com", "/", "web"});
    save(&saved, "\n\n" GUARDED("/admin(.*"));
    EXPECT(&saved.world, 80, {"v.example.com", "/admin", "=403"}, {"v.example.com", "/", "web"});
    expect_kept(&saved, 1, DIAG_REGEX_INVALID);
    for (size_t i = 0; i < diags_count(saved.world.diags); i++) {
        const struct diag *diag = diags_get(saved.world.diags, i);
        if (diag->code == DIAG_REGEX_INVALID) // at its place in the new version
            assert_int_equal(diag->place.line, 10);
    }
    save(&saved, GUARDED("/admin(?!x)"));
    EXPECT(&saved.world, 80, {"v.example.com", "/admin", "=403"}, {"v.example.com", "/", "web"});
    expect_kept(&saved, 1, DIAG_REGEX_INVALID);
    save(&saved, GUARDED("/other.*"));
    EXPECT(&saved.world, 80, {"v.example.com", "/admin", "web"},
           {"v.example.com", "/other", "=403"});
    assert_int_equal(world_count(&saved.world, DIAG_KEPT_LAST_GOOD), 0);
    assert_int_equal(world_count(&saved.world, DIAG_REGEX_INVALID), 0);
    saved_fini(&saved);
}

static void test_a_first_version_with_a_mistake_gives_way_to_the_next(void **state)
{
    (void)state;
    struct saved saved;
    saved_init(&saved);
    save(&saved, GUARDED("/admin("));
    EXPECT(&saved.world, 80, {"v.example.com", "/admin", "=503"}, {"v.example.com", "/", "=503"});
    expect_kept(&saved, 0, DIAG_ROUTE_INVALID);
    assert_int_equal(world_count(&saved.world, DIAG_REGEX_INVALID), 1);
    save(&saved, VS("  - {match: [{uri: {prefix: /x}}], redirect: {uri: /, redirectCode: 304}}\n"
                    "  - " TO_WEB "\n"));
    EXPECT(&saved.world, 80, {"v.example.com", "/x", "=503"}, {"v.example.com", "/", "web"});
    expect_kept(&saved, 0, DIAG_REDIRECT_CODE);
    saved_fini(&saved);
}

static void test_an_ingress_that_is_refused_keeps_its_last_good_version(void **state)
{
    (void)state;
    struct saved saved;
    saved_init(&saved);
    save(&saved, INGRESS("", PREFIX("/a")));
    EXPECT(&saved.world, 80, {"i.example.com", "/a", "web"});
    save(&saved, INGRESS(NGINX("server-snippet", "deny all;"), PREFIX("/b")));
    EXPECT(&saved.world, 80, {"i.example.com", "/a", "web"}, {"i.example.com", "/b", "404"});
    expect_kept(&saved, 1, DIAG_ANNOTATION_REFUSED);
    save(&saved, INGRESS("", PREFIX("/b*")));
    EXPECT(&saved.world, 80, {"i.example.com", "/a", "web"});
    expect_kept(&saved, 1, DIAG_STRICT_PATH);
    save(&saved, INGRESS(NGINX("proxy-body-size", "big"), PREFIX("/b")));
    EXPECT(&saved.world, 80, {"i.example.com", "/a", "web"});
    expect_kept(&saved, 1, DIAG_ANNOTATION_VALUE);
    save(&saved, INGRESS("", PREFIX("/b")));
    EXPECT(&saved.world, 80, {"i.example.com", "/a", "404"}, {"i.example.com", "/b", "web"});
    assert_int_equal(world_count(&saved.world, DIAG_KEPT_LAST_GOOD), 0);
    saved_fini(&saved);
}

// What depends on others goes live: the other object may come at any time.
static void test_a_version_that_misses_another_object_goes_live(void **state)
{
    (void)state;
    struct saved saved;
    saved_init(&saved);
    save(&saved, VS("  - " TO_WEB "\n"));
    EXPECT(&saved.world, 80, {"v.example.com", "/", "web"});
    save(&saved, VS("  - {delegate: {name: absent}}\n"));
    EXPECT(&saved.world, 80, {"v.example.com", "/", "=503"});
    expect_kept(&saved, 0, DIAG_UNKNOWN_DELEGATE);
    save(&saved, VS("  - route: [{destination: {host: absent}}]\n"));
    EXPECT(&saved.world, 80, {"v.example.com", "/", "503"});
    expect_kept(&saved, 0, DIAG_DANGLING_SERVICE);
    saved_fini(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_is_judged_by_its_own_mistakes_alone),
        cmocka_unit_test(test_a_new_version_with_a_mistake_stays_out_until_it_is_mended),
        cmocka_unit_test(test_a_first_version_with_a_mistake_gives_way_to_the_next),
        cmocka_unit_test(test_an_ingress_that_is_refused_keeps_its_last_good_version),
        cmocka_unit_test(test_a_tls_secret_is_judged_by_what_it_holds),
        cmocka_unit_test(test_a_version_that_misses_another_object_goes_live),
    };
    return cmocka_run_group_tests_name("compile-check-object", tests, NULL, NULL);
}
