// SPDX-License-Identifier: Apache-2.0
// Captured connections in conversations. Unless CAPTURED_BY_KERNEL is defined no kernel captures
// them, and the address dialled is told by the two functions of dialled.h, which stand here in the
// place of those of dialled.c.
#pragma once
#include "proxy/dialled.h"
#include "proxy/proxy_test.h"
#include <pthread.h>

#ifndef CAPTURED_BY_KERNEL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct address dialled, local_ip; // of the next connections; family 0: none
static bool was_asked_for_transparent;
static unsigned n_dialled; // since the setup

bool dialled_address(int fd, bool is_transparent, const struct address *own, struct address *ret)
{
    (void)fd;
    pthread_mutex_lock(&lock);
    was_asked_for_transparent = is_transparent;
    n_dialled++;
    *ret = is_transparent && !dialled.family ? *own : dialled;
    pthread_mutex_unlock(&lock);
    return ret->family != 0;
}

bool address_is_local(const struct address *address)
{
    pthread_mutex_lock(&lock);
    struct address any_port = *address;
    any_port.port = 0;
    bool is_local = local_ip.family && address_equal(&any_port, &local_ip);
    pthread_mutex_unlock(&lock);
    return is_local;
}

static inline void dial(const char *address)
{
    struct address parsed = {0};
    assert_true(!address || address_parse(str_of(address), &parsed));
    pthread_mutex_lock(&lock);
    dialled = parsed;
    pthread_mutex_unlock(&lock);
}

// So many connections know where they go: another address may be dialled.
static inline void wait_until_dialled(struct gate *gate, unsigned n)
{
    for (int turns = 0;; turns++) {
        pthread_mutex_lock(&lock);
        unsigned now = n_dialled;
        pthread_mutex_unlock(&lock);
        if (now >= n)
            return;
        if (turns > WAIT_S * 200)
            fail_msg("%u connections were looked at, not %u", now, n);
        loop_turn(&gate->loop, 5);
    }
}

#endif

// ---- what is served ----

static inline struct cluster *cluster_at(struct snapshot_builder *builder, const char *name,
                                         const struct address *endpoint)
{
    bool is_new;
    struct cluster *cluster = builder_cluster(builder, str_of(name), &is_new);
    if (is_new && endpoint)
        builder_add_endpoint(builder, cluster, endpoint, 1);
    return cluster;
}

static inline struct target *target_to(struct snapshot_builder *builder,
                                       const struct cluster *cluster)
{
    struct target *target = ARENA_NEW(builder_arena(builder), struct target);
    *target = (struct target){.cluster = cluster, .weight = 1};
    return target;
}

static inline struct tcp_route tcp_to(struct snapshot_builder *builder, const char *name,
                                      const struct cluster *cluster)
{
    return (struct tcp_route){.name = str_of(name),
                              .targets = target_to(builder, cluster),
                              .n_targets = 1,
                              .total_weight = 1};
}

static inline void add_http(struct snapshot_builder *builder, struct builder_captured *captured,
                            const char *host, const char *name, const struct cluster *cluster)
{
    struct builder_vhost *vhost =
        builder_vhost(builder_captured_hosts(captured), str_of(host), false);
    builder_add_route(vhost, &(struct route){.path_kind = PATH_PREFIX_STRING,
                                             .path = STR("/"),
                                             .name = str_of(name),
                                             .action = ROUTE_FORWARD,
                                             .targets = target_to(builder, cluster),
                                             .n_targets = 1,
                                             .total_weight = 1});
}

// A ClientHello of TLS 1.2 that asks for `name` ("": for none) and offers one cipher suite.
static inline size_t make_hello(const char *name, char *out)
{
    static const char front[] = "\x16\x03\x01\x00_\x01\x00\x00_\x03\x03"
                                "0123456789abcdef0123456789abcdef"
                                "\x00\x00\x02\x13\x01\x01\x00";
    size_t name_len = strlen(name), at = sizeof front - 1;
    memcpy(out, front, at);
    if (name_len > 0) {
        const char sni[] = {
            0, (char)(name_len + 9), 0, 0, 0, (char)(name_len + 5), 0, (char)(name_len + 3), 0,
            0, (char)name_len};
        memcpy(out + at, sni, sizeof sni);
        memcpy(out + at + sizeof sni, name, name_len);
        at += sizeof sni + name_len;
    }
    out[4] = (char)(at - 5);
    out[8] = (char)(at - 9);
    return at;
}
