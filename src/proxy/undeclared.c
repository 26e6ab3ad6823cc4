// SPDX-License-Identifier: Apache-2.0
#include "proxy/undeclared.h"
#include "base/map.h"
#include "proxy/stream.h"
#include <stdlib.h>

struct counted {                          // never changed, but for its counts
    uint64_t counts[UNDECLARED_POLICIES]; // relaxed
    uint64_t hash;
    size_t len;
    char name[];
};

struct undeclared {
    _Atomic uint32_t n;
    uint64_t other[UNDECLARED_POLICIES];         // relaxed
    struct counted *hosts[UNDECLARED_HOSTS_MAX]; // the first n
};

struct undeclared *undeclared_create(void)
{
    struct undeclared *undeclared = calloc(1, sizeof *undeclared);
    CHECK(undeclared != NULL);
    return undeclared;
}

void undeclared_destroy(struct undeclared *undeclared)
{
    if (!undeclared)
        return;
    for (uint32_t i = 0; i < undeclared->n; i++)
        free(undeclared->hosts[i]);
    free(undeclared);
}

static struct counted *find(const struct undeclared *undeclared, struct str host, uint64_t hash)
{
    uint32_t n = atomic_load_explicit(&undeclared->n, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++) {
        struct counted *counted = undeclared->hosts[i];
        if (counted->hash == hash && str_equal((struct str){counted->name, counted->len}, host))
            return counted;
    }
    return NULL;
}

static struct counted *add(struct undeclared *undeclared, struct str host, uint64_t hash)
{
    uint32_t n = atomic_load_explicit(&undeclared->n, memory_order_relaxed);
    if (n == UNDECLARED_HOSTS_MAX)
        return NULL;
    struct counted *counted = calloc(1, sizeof *counted + host.len);
    CHECK(counted != NULL);
    counted->hash = hash;
    counted->len = host.len;
    memcpy(counted->name, host.ptr, host.len);
    undeclared->hosts[n] = counted;
    atomic_store_explicit(&undeclared->n, n + 1, memory_order_release);
    return counted;
}

// Clients choose it, and it comes into the metrics: visible ASCII of a bounded length.
static struct str clean(struct str host, char out[UNDECLARED_NAME_MAX])
{
    size_t len = host.len < UNDECLARED_NAME_MAX ? host.len : UNDECLARED_NAME_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = ascii_lower(host.ptr[i]);
        out[i] = c > ' ' && c < 0x7f && c != '"' && c != '\\' ? c : '?';
    }
    return (struct str){out, len};
}

void undeclared_count(struct undeclared *undeclared, struct str host, enum undeclared_policy policy)
{
    char text[UNDECLARED_NAME_MAX];
    host = clean(host, text);
    uint64_t hash = hash_bytes(host.ptr, host.len);
    struct counted *counted = find(undeclared, host, hash);
    if (!counted)
        counted = add(undeclared, host, hash);
    uint64_t *counts = counted ? counted->counts : undeclared->other;
    COUNT(counts[policy], 1);
}

// ---- read by the control thread ----

static void add_up(uint64_t *to, const uint64_t *from)
{
    for (unsigned policy = 0; policy < UNDECLARED_POLICIES; policy++)
        to[policy] += __atomic_load_n(&from[policy], __ATOMIC_RELAXED);
}

uint32_t undeclared_sum(const struct undeclared *const *all, unsigned n,
                        struct undeclared_host ret[])
{
    struct undeclared_host other = {.name = STR("other")};
    struct map *by_name = map_create();
    uint32_t n_hosts = 0;
    for (unsigned w = 0; w < n; w++) {
        uint32_t n_here = atomic_load_explicit(&all[w]->n, memory_order_acquire);
        for (uint32_t i = 0; i < n_here; i++) {
            const struct counted *counted = all[w]->hosts[i];
            struct str name = {counted->name, counted->len};
            struct undeclared_host *host = map_find(by_name, name);
            if (!host && n_hosts < UNDECLARED_HOSTS_MAX) {
                host = &ret[n_hosts++];
                *host = (struct undeclared_host){.name = name};
                map_put(by_name, name, host);
            }
            add_up(host ? host->counts : other.counts, counted->counts);
        }
        add_up(other.counts, all[w]->other);
    }
    map_destroy(by_name);
    if (other.counts[UNDECLARED_ALLOWED] + other.counts[UNDECLARED_REFUSED] > 0)
        ret[n_hosts++] = other;
    return n_hosts;
}

// ---- streams ----

// By the names that users know these clusters by; declared ones are called outbound|...
static bool is_undeclared(const struct cluster *cluster, enum undeclared_policy *ret)
{
    *ret = str_is(cluster->name, "BlackHoleCluster") ? UNDECLARED_REFUSED : UNDECLARED_ALLOWED;
    return *ret == UNDECLARED_REFUSED || str_is(cluster->name, "PassthroughCluster");
}

static struct str host_of(const struct stream *stream, char text[ADDRESS_TEXT_MAX])
{
    struct str named = stream->is_tcp ? str_of(stream->down->sni) : stream->host;
    if (named.len > 0)
        return named;
    return (struct str){text, address_format(&stream->down->local, text)};
}

// What is refused is asked of the cluster all the same, as who looks for its name expects.
static void count_refused(struct stream *stream)
{
    struct cluster_slot *slot =
        worker_cluster_slot(stream->worker, stream->hold->snapshot, stream->cluster);
    COUNT(slot->counters[CLUSTER_COUNTER_REQUESTS], 1);
    COUNT(slot->counters[CLUSTER_COUNTER_FAILURES], 1);
}

bool stream_note_undeclared(struct stream *stream)
{
    enum undeclared_policy policy;
    char text[ADDRESS_TEXT_MAX];
    if (stream->down->captured != CAPTURED_OUT || !is_undeclared(stream->cluster, &policy))
        return false;
    undeclared_count(stream->worker->undeclared, host_of(stream, text), policy);
    if (policy == UNDECLARED_REFUSED)
        count_refused(stream);
    return policy == UNDECLARED_REFUSED;
}
