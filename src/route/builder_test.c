// SPDX-License-Identifier: Apache-2.0
#include "route/fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cluster *add_cluster(struct snapshot_builder *builder, const char *name,
                                   const char *endpoint)
{
    bool is_new;
    struct cluster *cluster = builder_cluster(builder, str_of(name), &is_new);
    if (endpoint) {
        struct address address = fixture_address(endpoint);
        builder_add_endpoint(builder, cluster, &address, 1);
    }
    return cluster;
}

static void test_a_cluster_is_made_once(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    bool is_new;
    struct cluster *a = builder_cluster(builder, STR("a"), &is_new);
    assert_true(is_new);
    a->connect_timeout_ms = 7;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        struct str text = {name, (size_t)snprintf(name, sizeof(name), "c%d", i)};
        builder_cluster(builder, text, &is_new);
        assert_true(is_new);
    }
    assert_ptr_equal(builder_cluster(builder, STR("a"), &is_new), a);
    assert_false(is_new);
    struct snapshot *snapshot = builder_seal(&builder, 1);
    assert_null(builder);
    assert_int_equal(snapshot->n_clusters, 1001);
    assert_ptr_equal(snapshot->clusters[0], a); // a sorts before c...
    assert_int_equal(a->connect_timeout_ms, 7);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_endpoints_are_sorted_and_counted_once(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    static const struct {
        const char *address;
        uint32_t weight;
    } added[] = {{"10.0.0.9:80", 1}, {"[fd00::1]:80", 2}, {"10.0.0.10:80", 3},
                 {"10.0.0.9:80", 9}, {"10.0.0.9:81", 0},  {"10.0.0.2:80", 1}};
    bool is_new;
    struct cluster *cluster = builder_cluster(builder, STR("c"), &is_new);
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        struct address address = fixture_address(added[i].address);
        builder_add_endpoint(builder, cluster, &address, added[i].weight);
    }
    struct snapshot *snapshot = builder_seal(&builder, 1);
    static const char *const expected[] = {"10.0.0.2:80", "10.0.0.9:80", "10.0.0.9:81",
                                           "10.0.0.10:80", "[fd00::1]:80"};
    static const uint32_t weights[] = {1, 1, 1, 3, 2};
    assert_int_equal(cluster->n_endpoints, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(str_is(cluster->endpoints[i].text, expected[i]));
        assert_int_equal(cluster->endpoints[i].weight, weights[i]);
        assert_true(cluster->endpoints[i].slot < snapshot->n_endpoint_slots);
        assert_int_not_equal(snapshot->endpoint_identity[cluster->endpoints[i].slot], 0);
    }
    assert_int_equal(cluster->total_weight, 8);
    assert_true(cluster->has_weights);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_clusters_that_share_an_address_share_its_slot(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct cluster *a = add_cluster(builder, "a", "10.0.0.1:80");
    struct cluster *b = add_cluster(builder, "b", "10.0.0.1:80");
    struct cluster *c = add_cluster(builder, "c", "10.0.0.1:81");
    struct snapshot *snapshot = builder_seal(&builder, 1);
    assert_int_equal(a->endpoints[0].slot, b->endpoints[0].slot);
    assert_int_not_equal(a->endpoints[0].slot, c->endpoints[0].slot);
    assert_int_not_equal(a->slot, b->slot);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_another_transport_is_another_slot(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct cluster *plain = add_cluster(builder, "a", "10.0.0.1:80");
    struct cluster *headed = add_cluster(builder, "b", "10.0.0.1:80");
    headed->proxy_protocol = 1;
    struct cluster *headed_v2 = add_cluster(builder, "c", "10.0.0.1:80");
    headed_v2->proxy_protocol = 2;
    struct cluster *http2 = add_cluster(builder, "d", "10.0.0.1:80");
    http2->protocol = CLUSTER_HTTP2;
    struct cluster *same = add_cluster(builder, "e", "10.0.0.1:80");
    same->proxy_protocol = 2;
    struct snapshot *snapshot = builder_seal(&builder, 1);
    assert_int_equal(snapshot->n_endpoint_slots, 4);
    assert_int_equal(same->endpoints[0].slot, headed_v2->endpoints[0].slot);
    assert_int_not_equal(plain->endpoints[0].slot, headed->endpoints[0].slot);
    assert_int_not_equal(headed->endpoints[0].slot, headed_v2->endpoints[0].slot);
    assert_int_not_equal(plain->endpoints[0].slot, http2->endpoints[0].slot);
    assert_int_equal(plain->endpoints_hash, http2->endpoints_hash); // of addresses alone
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_slots_outlive_a_snapshot_but_not_their_last_holder(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct cluster *a = add_cluster(builder, "a", "10.0.0.1:80");
    struct cluster *b = add_cluster(builder, "b", "10.0.0.2:80");
    struct snapshot *first = builder_seal(&builder, 1);
    uint32_t b_slot = b->slot;
    uint64_t b_identity = first->cluster_identity[b_slot];

    builder = builder_create(registry);
    struct cluster *a2 = add_cluster(builder, "a", "10.0.0.1:80");
    struct cluster *c = add_cluster(builder, "c", "10.0.0.3:80");
    struct snapshot *second = builder_seal(&builder, 2);
    assert_int_equal(a2->slot, a->slot);
    assert_int_equal(a2->endpoints[0].slot, a->endpoints[0].slot);
    assert_int_equal(second->cluster_identity[a2->slot], first->cluster_identity[a->slot]);
    assert_int_not_equal(c->slot, b_slot); // the first still holds it
    assert_int_not_equal(c->endpoints[0].slot, b->endpoints[0].slot);
    if (b_slot < second->n_cluster_slots)
        assert_int_equal(second->cluster_identity[b_slot], 0);
    snapshot_destroy(first);

    builder = builder_create(registry);
    struct cluster *d = add_cluster(builder, "d", NULL);
    struct snapshot *third = builder_seal(&builder, 3);
    assert_int_equal(d->slot, b_slot);
    assert_int_not_equal(third->cluster_identity[b_slot], b_identity);
    snapshot_destroy(second);
    snapshot_destroy(third);
    registry_destroy(registry);
}

static void test_listeners_conflict_by_bind_alone(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct address http = fixture_address("0.0.0.0:80"), any = fixture_address("0.0.0.0:0");
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_HTTP, &http, 80, STR("first"));
    assert_ptr_equal(builder_listener(builder, LISTENER_HTTP, &http, 8080, STR("x")), listener);
    assert_null(builder_listener(builder, LISTENER_TCP, &http, 80, STR("x")));
    // Ports that the kernel chooses are different ones.
    struct builder_listener *any_80 = builder_listener(builder, LISTENER_HTTP, &any, 80, STR("x"));
    struct builder_listener *any_81 = builder_listener(builder, LISTENER_TCP, &any, 81, STR("x"));
    assert_non_null(any_81);
    assert_ptr_not_equal(any_80, any_81);
    struct target target = {.cluster = add_cluster(builder, "c", NULL), .weight = 1};
    builder_add_tcp_route(
        any_81, &(struct tcp_route){
                    .name = STR("t"), .n_targets = 1, .targets = &target, .total_weight = 1});
    struct snapshot *snapshot = builder_seal(&builder, 1);
    assert_int_equal(snapshot->n_listeners, 3);
    assert_true(str_is(snapshot->listeners[0].name, "http 0.0.0.0:0"));
    assert_true(str_is(snapshot->listeners[1].name, "tcp 0.0.0.0:0"));
    assert_int_equal(snapshot->listeners[1].tcp.n, 1);
    target.cluster = NULL; // the route has a copy
    const struct tcp_route *tcp = snapshot->listeners[1].tcp.items;
    assert_ptr_equal(tcp_route_pick_target(tcp, 1)->cluster, snapshot->clusters[0]);
    assert_null(snapshot->listeners[1].hosts.table);
    assert_true(str_is(snapshot->listeners[2].origin, "first"));
    assert_int_equal(snapshot->listeners[2].port, 80);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_a_name_leads_to_one_chain(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct address bind = fixture_address("0.0.0.0:443");
    struct builder_listener *listener =
        builder_listener(builder, LISTENER_TLS, &bind, 443, STR("x"));
    struct builder_chain *a =
        builder_chain(listener, &(struct filter_chain){.name = STR("a")}, NULL);
    struct builder_chain *b =
        builder_chain(listener, &(struct filter_chain){.name = STR("b")}, NULL);
    assert_null(builder_chain_add_name(a, STR("*.x.org"), false));
    assert_null(builder_chain_add_name(a, STR("x.org"), false));
    assert_null(builder_chain_add_name(b, STR("*.x.org"), true)); // narrower
    assert_ptr_equal(builder_chain_add_name(b, STR("x.org"), true), a);
    assert_true(str_is(builder_chain_facts(a)->name, "a"));
    struct snapshot *snapshot = builder_seal(&builder, 1);
    const struct listener *sealed = snapshot->listeners;
    assert_true(str_is(sealed->name, "https 0.0.0.0:443"));
    assert_int_equal(sealed->n_sni_names, 3);
    static const struct {
        const char *name, *chain;
    } rows[] = {{"x.org", "a"}, {"w.x.org", "b"}, {"v.w.x.org", "a"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vhost *found = host_table_find(sealed->sni, str_of(rows[i].name));
        assert_non_null(found);
        assert_true(str_is(found->chain->name, rows[i].chain));
        assert_int_equal(found->n_routes, 0);
    }
    assert_null(host_table_find(sealed->sni, STR("y.org")));
    assert_ptr_equal(host_table_find(sealed->sni, STR("x.org"))->chain,
                     host_table_find(sealed->sni, STR("v.w.x.org"))->chain);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_routes_keep_their_order_and_their_targets(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    struct builder_listener *listener = fixture_listener(builder);
    struct target *targets = ARENA_ARRAY(builder_arena(builder), struct target, 2);
    targets[0] = (struct target){.cluster = add_cluster(builder, "a", NULL), .weight = 1};
    targets[1] = (struct target){.cluster = add_cluster(builder, "b", NULL), .weight = 2};
    struct builder_vhost *vhost =
        builder_vhost(builder_listener_hosts(listener), STR("x.org"), false);
    for (unsigned n = 0; n < 7; n++) {
        char path[] = "/a";
        path[1] = (char)('a' + n);
        struct route route = {.path_kind = PATH_EXACT,
                              .path = arena_str(builder_arena(builder), str_of(path)),
                              .targets = targets,
                              .n_targets = (uint16_t)(n % 3),
                              .total_weight = 3};
        builder_add_route(vhost, &route)->timeout_ms = n;
    }
    assert_ptr_equal(builder_vhost(builder_listener_hosts(listener), STR("x.org"), false), vhost);
    struct snapshot *snapshot = builder_seal(&builder, 1);
    const struct vhost *sealed = snapshot->listeners[0].hosts.vhosts[0];
    assert_int_equal(sealed->n_routes, 7);
    for (unsigned n = 0; n < 7; n++) {
        const struct route *route = sealed->routes[n];
        assert_int_equal(route->rank, n);
        assert_int_equal(route->timeout_ms, n);
        assert_int_equal(route->path.ptr[1], 'a' + n);
        for (unsigned i = 0; i < route->n_targets; i++)
            assert_memory_equal(&route->targets[i], &targets[i], sizeof(targets[0]));
    }
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_a_regex_is_compiled_once_for_all_snapshots(void **state)
{
    struct registry *registry = registry_create();
    struct snapshot_builder *builder = builder_create(registry);
    const struct regex *regex = builder_regex(builder, STR("a+"), 0, NULL, 0, NULL);
    assert_ptr_equal(builder_regex(builder, STR("a+"), 0, NULL, 0, NULL), regex);
    assert_ptr_not_equal(builder_regex(builder, STR("a+"), REGEX_IGNORE_CASE, NULL, 0, NULL),
                         regex);
    char message[100];
    size_t offset;
    assert_null(builder_regex(builder, STR("("), 0, message, sizeof(message), &offset));
    struct snapshot *first = builder_seal(&builder, 1);
    builder = builder_create(registry);
    assert_ptr_equal(builder_regex(builder, STR("a+"), 0, NULL, 0, NULL), regex);
    snapshot_destroy(first);
    assert_true(regex_matches_whole(regex, STR("aa"))); // the builder holds it
    builder_destroy(builder);
    builder_destroy(NULL);
    registry_destroy(registry); // checks that nothing is held any more
}

static bool is_taken(const struct route *route)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        struct snapshot_builder *builder = builder_create(registry_create());
        builder_add_route(
            builder_vhost(builder_listener_hosts(fixture_listener(builder)), STR("a"), false),
            route);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_no_text_that_ends_a_line_gets_into_a_snapshot(void **state)
{
    const struct str good = STR("a\tb\xff"), bad = STR("a\r\nb: c");
    for (int which = 0; which < 9; which++) {
        for (int is_bad = 0; is_bad < 2; is_bad++) {
            struct str texts[9] = {good, good, good, good, good, good, good, good, good};
            texts[which] = is_bad ? bad : good;
            struct header_op op = {.kind = HEADER_SET, .name = texts[0], .text = texts[1]};
            struct header_op of_target = {.kind = HEADER_ADD, .name = texts[2], .text = good};
            struct target target = {.response_ops = {1, &of_target}};
            struct rewrite rewrite = {.text = texts[3], .authority = texts[4]};
            struct redirect redirect = {
                .scheme = texts[5], .host = texts[6], .path = texts[7], .prefix_rewrite = texts[8]};
            struct route route = {.request_ops = {1, &op},
                                  .n_targets = 1,
                                  .targets = &target,
                                  .rewrite = &rewrite,
                                  .redirect = &redirect};
            assert_int_equal(is_taken(&route), !is_bad);
        }
    }
}

static void test_the_balancer_hash_changes_with_endpoints_only(void **state)
{
    struct registry *registry = registry_create();
    uint32_t hashes[4];
    for (int round = 0; round < 4; round++) {
        struct snapshot_builder *builder = builder_create(registry);
        struct cluster *cluster = add_cluster(builder, "a", "10.0.0.1:80");
        cluster->connect_timeout_ms = (uint32_t)round;
        struct address address = fixture_address(round < 2 ? "10.0.0.2:80" : "10.0.0.3:80");
        builder_add_endpoint(builder, cluster, &address, round < 3 ? 1 : 2);
        struct snapshot *snapshot = builder_seal(&builder, 1);
        hashes[round] = cluster->endpoints_hash;
        snapshot_destroy(snapshot);
    }
    assert_int_equal(hashes[0], hashes[1]);
    assert_int_not_equal(hashes[1], hashes[2]);
    assert_int_not_equal(hashes[2], hashes[3]);
    registry_destroy(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cluster_is_made_once),
        cmocka_unit_test(test_endpoints_are_sorted_and_counted_once),
        cmocka_unit_test(test_clusters_that_share_an_address_share_its_slot),
        cmocka_unit_test(test_another_transport_is_another_slot),
        cmocka_unit_test(test_a_name_leads_to_one_chain),
        cmocka_unit_test(test_slots_outlive_a_snapshot_but_not_their_last_holder),
        cmocka_unit_test(test_listeners_conflict_by_bind_alone),
        cmocka_unit_test(test_routes_keep_their_order_and_their_targets),
        cmocka_unit_test(test_a_regex_is_compiled_once_for_all_snapshots),
        cmocka_unit_test(test_no_text_that_ends_a_line_gets_into_a_snapshot),
        cmocka_unit_test(test_the_balancer_hash_changes_with_endpoints_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
