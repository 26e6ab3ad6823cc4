// SPDX-License-Identifier: Apache-2.0
#include "admin/test_proxy.h"
#include "base/arena.h"

static struct snapshot *published;

void test_proxy_fini(void)
{
    if (published)
        arena_destroy(published->arena);
    published = NULL;
}

void test_proxy_set_clusters(uint64_t generation, uint32_t n)
{
    test_proxy_fini();
    struct arena *arena = arena_create(0);
    struct cluster **clusters = ARENA_ARRAY(arena, struct cluster *, n);
    for (uint32_t i = 0; i < n; i++) {
        struct cluster *cluster = clusters[i] = ARENA_NEW(arena, struct cluster);
        cluster->name = arena_printf(arena, "outbound|80||\"svc\\%06u", i);
        cluster->slot = i;
        cluster->n_endpoints = 1;
        cluster->endpoints = ARENA_NEW(arena, struct endpoint);
        cluster->endpoints[0] =
            (struct endpoint){.slot = i, .weight = 3, .text = STR("10.0.0.1:80")};
    }
    published = ARENA_NEW(arena, struct snapshot);
    published->arena = arena;
    published->generation = generation;
    published->n_clusters = n;
    published->clusters = (const struct cluster *const *)clusters;
}

void test_proxy_add_certificates(uint32_t n)
{
    struct arena *arena = published->arena;
    struct listener *listener = ARENA_NEW(arena, struct listener);
    struct vhost **names = ARENA_ARRAY(arena, struct vhost *, 2 * n);
    for (uint32_t i = 0; i < n; i++) {
        struct certificate *certificate = ARENA_NEW(arena, struct certificate);
        certificate->source = arena_printf(arena, "Secret a/s%u", i);
        certificate->not_after_s = 2000 - i;
        for (uint32_t k = 0; k < 2; k++) {
            struct filter_chain *chain = ARENA_NEW(arena, struct filter_chain);
            chain->certificates = certificate;
            chain->n_certificates = 1;
            names[i + k * n] = ARENA_NEW(arena, struct vhost);
            names[i + k * n]->chain = chain;
        }
    }
    listener->kind = LISTENER_TLS;
    listener->sni_names = (const struct vhost *const *)names;
    listener->n_sni_names = 2 * n;
    published->listeners = listener;
    published->n_listeners = 1;
}

const struct snapshot *proxy_snapshot(const struct proxy *proxy)
{
    (void)proxy;
    return published;
}

void proxy_describe_listeners(const struct proxy *proxy, struct buf *out)
{
    (void)proxy;
    buf_add_text(out, "http 127.0.0.1:8080, tcp [::1]:30007");
}

void proxy_counters(const struct proxy *proxy, uint64_t ret[PROXY_COUNTER_COUNT])
{
    (void)proxy;
    for (unsigned i = 0; i < PROXY_COUNTER_COUNT; i++)
        ret[i] = 100 + i;
}

void proxy_code_classes(const struct proxy *proxy, uint64_t ret[CODE_CLASSES])
{
    (void)proxy;
    for (unsigned i = 0; i < CODE_CLASSES; i++)
        ret[i] = 10 * i;
}

uint32_t proxy_undeclared(const struct proxy *proxy,
                          struct undeclared_host ret[UNDECLARED_HOSTS_MAX + 1])
{
    (void)proxy;
    ret[0] = (struct undeclared_host){.name = STR("b\"c.example"), .counts = {3, 0}};
    ret[1] = (struct undeclared_host){.name = STR("192.0.2.1:443"), .counts = {1, 2}};
    return 2;
}

void proxy_latency(const struct proxy *proxy, struct latency *ret)
{
    (void)proxy;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        ret->buckets[i] = i + 1;
    ret->sum_us = 2500000;
    ret->count = 1; // read at another moment than the buckets
}

bool proxy_cluster_counters(const struct proxy *proxy, const struct cluster *cluster,
                            uint64_t ret[CLUSTER_COUNTER_COUNT])
{
    (void)proxy;
    for (unsigned i = 0; i < CLUSTER_COUNTER_COUNT; i++)
        ret[i] = cluster->slot + i;
    return cluster->slot % 2 == 0;
}

bool proxy_endpoint_counters(const struct proxy *proxy, const struct endpoint *endpoint,
                             uint64_t ret[ENDPOINT_COUNTER_COUNT])
{
    (void)proxy;
    if (endpoint->slot % 2 != 0)
        return false;
    for (unsigned i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
        ret[i] = endpoint->slot + i;
    return true;
}

void proxy_endpoint_pool(const struct proxy *proxy, const struct endpoint *endpoint,
                         struct endpoint_pool *ret)
{
    (void)proxy;
    bool is_used = endpoint->slot % 2 == 0;
    *ret = (struct endpoint_pool){.n_parked = is_used ? 1 : 0,
                                  .idle_limit_ms = is_used ? 5000 : 0,
                                  .is_warm = is_used};
}
