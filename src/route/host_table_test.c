// SPDX-License-Identifier: Apache-2.0
#include "route/fixture.h"
#include "route/host_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

struct name {
    const char *name;
    bool is_one_label;
};

static struct snapshot *make(struct registry *registry, const struct name *names, size_t n)
{
    struct snapshot_builder *builder = builder_create(registry);
    struct builder_listener *listener = fixture_listener(builder);
    for (size_t i = 0; i < n; i++)
        builder_vhost(builder_listener_hosts(listener), str_of(names[i].name),
                      names[i].is_one_label);
    return builder_seal(&builder, 1);
}

static const struct {
    const char *host, *expected; // "1" in front: the one for one label
} cases[] = {
    {"foo.com", "foo.com"},
    {"bar.foo.com", "bar.foo.com"}, // exact before wildcard
    {"x.foo.com", "1*.foo.com"},
    {"y.x.foo.com", "*.foo.com"}, // one label is not enough
    {"z.y.x.foo.com", "*.foo.com"},
    {".foo.com", "*"}, // no label at all
    {"a.deep.foo.com", "*.deep.foo.com"},
    {"b.a.deep.foo.com", "*.deep.foo.com"}, // the longest suffix
    {"deep.foo.com", "1*.foo.com"},
    {"a.only.org", "1*.only.org"},
    {"b.a.only.org", "*"},
    {"only.org", "*"},
    {"foo.com.", "*"},
    {"xfoo.com", "*"},
    {"com", "*"},
    {"", "*"},
    {"[::1]", "*"},
    {"10.0.0.1", "*"},
};

static void test_the_most_specific_name_wins(void **state)
{
    static const struct name names[] = {
        {"foo.com", false},     {"*.foo.com", false},      {"*.foo.com", true},
        {"bar.foo.com", false}, {"*.deep.foo.com", false}, {"*.only.org", true},
        {"*", false},
    };
    struct registry *registry = registry_create();
    struct snapshot *snapshot = make(registry, names, sizeof(names) / sizeof(names[0]));
    const struct listener *listener = &snapshot->listeners[0];
    assert_int_equal(listener->hosts.n_vhosts, 7);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vhost *found = host_table_find(listener->hosts.table, str_of(cases[i].host));
        bool is_one_label = cases[i].expected[0] == '1';
        assert_non_null(found);
        if (!str_is(found->name, cases[i].expected + is_one_label) ||
            found->is_one_label != is_one_label)
            fail_msg("%s: %.*s", cases[i].host, STR_ARG(found->name));
    }
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_no_catch_all_finds_nothing(void **state)
{
    static const struct name names[] = {{"foo.com", false}};
    struct registry *registry = registry_create();
    struct snapshot *snapshot = make(registry, names, 1);
    assert_null(host_table_find(snapshot->listeners[0].hosts.table, STR("bar.com")));
    snapshot_destroy(snapshot);
    snapshot = make(registry, names, 0);
    assert_null(host_table_find(snapshot->listeners[0].hosts.table, STR("foo.com")));
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

static void test_virtual_hosts_begin_at_cache_lines(void **state)
{
    static const struct name names[] = {{"a", false}, {"b", false}, {"c.d.e", false}};
    struct registry *registry = registry_create();
    struct snapshot *snapshot = make(registry, names, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal((uintptr_t)snapshot->listeners[0].hosts.vhosts[i] % VHOST_UNIT, 0);
    snapshot_destroy(snapshot);
    registry_destroy(registry);
}

// The naive twin: looks at every name and takes the one that the rules put first.
static unsigned specificity(const struct vhost *vhost, struct str host)
{
    struct str name = vhost->name;
    if (str_is(name, "*"))
        return 1;
    if (!str_has_prefix(name, STR("*.")))
        return str_equal(name, host) ? UINT32_MAX : 0;
    struct str suffix = str_from(name, 1);
    if (host.len <= suffix.len || !str_has_suffix(host, suffix))
        return 0;
    struct str front = str_upto(host, host.len - suffix.len);
    if (vhost->is_one_label && str_index(front, '.') >= 0)
        return 0;
    return 2 * (unsigned)suffix.len + vhost->is_one_label;
}

static const struct vhost *find_naively(const struct listener *listener, struct str host)
{
    const struct vhost *best = NULL;
    unsigned best_rank = 0;
    for (uint32_t i = 0; i < listener->hosts.n_vhosts; i++) {
        unsigned rank = specificity(listener->hosts.vhosts[i], host);
        if (rank > best_rank) {
            best = listener->hosts.vhosts[i];
            best_rank = rank;
        }
    }
    return best;
}

static size_t random_host(char *out, bool is_name)
{
    static const char *const labels[] = {"a", "b", "cc", "x-1", "example", "com", ""};
    size_t len = 0;
    int n = 1 + rand() % 4;
    for (int i = 0; i < n; i++)
        len += (size_t)sprintf(out + len, "%s%s", i ? "." : "", labels[rand() % (is_name ? 6 : 7)]);
    return len;
}

static void test_random_hosts_agree_with_the_naive_twin(void **state)
{
    struct registry *registry = registry_create();
    unsigned n_found = 0;
    srand(3);
    for (int round = 0; round < 200; round++) {
        char texts[60][64];
        struct name names[60];
        size_t n = (size_t)rand() % 60;
        for (size_t i = 0; i < n; i++) {
            int kind = rand() % 4;
            size_t len = (size_t)sprintf(texts[i], kind < 2 ? "" : "*.");
            random_host(texts[i] + len, true);
            if (rand() % 50 == 0)
                strcpy(texts[i], "*");
            names[i] = (struct name){texts[i], kind == 2};
        }
        struct snapshot *snapshot = make(registry, names, n);
        const struct listener *listener = &snapshot->listeners[0];
        for (int i = 0; i < 200; i++) {
            char host[64];
            struct str text = {host, random_host(host, false)};
            const struct vhost *found = host_table_find(listener->hosts.table, text);
            if (found != find_naively(listener, text))
                fail_msg("%.*s", STR_ARG(text));
            n_found += found != NULL;
        }
        snapshot_destroy(snapshot);
    }
    assert_true(n_found > 5000);
    registry_destroy(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_most_specific_name_wins),
        cmocka_unit_test(test_no_catch_all_finds_nothing),
        cmocka_unit_test(test_virtual_hosts_begin_at_cache_lines),
        cmocka_unit_test(test_random_hosts_agree_with_the_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
