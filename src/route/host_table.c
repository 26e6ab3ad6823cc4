// SPDX-License-Identifier: Apache-2.0
// Three hash tables, one for each kind of name. A bucket is 8 bytes: half of the hash, and where
// the virtual host is. So with 10,000 hosts a lookup reads one line of the table and the first line
// of the virtual host, which also holds the name to compare with.
#include "route/host_table.h"
#include "base/check.h"
#include "base/map.h"
#include "route/match.h"

struct bucket {
    uint32_t tag;  // high half of the hash
    uint32_t unit; // 1 + distance of the virtual host from `base` in units; 0: empty
};

struct names {
    struct bucket *buckets;
    uint32_t mask; // number of buckets - 1
    uint32_t n;
};

struct host_table {
    const char *base;
    struct names exact;
    struct names one_label; // by suffix: "*.foo.com" under ".foo.com"
    struct names any_depth;
    const struct vhost *catch_all;
    // A host is only looked up under suffixes that some wildcard can have: bit i, i dots in it
    // (63: or more). This and the length bound what a host made of dots can cost.
    uint64_t suffix_dots;
    size_t suffix_len_max;
};

static struct str key_of(const struct vhost *vhost, bool is_suffix)
{
    return is_suffix ? str_from(vhost->name, 1) : vhost->name;
}

static void names_init(struct names *names, struct arena *arena, uint32_t n)
{
    uint32_t size = 4;
    while (size < 2 * n)
        size *= 2;
    names->buckets = ARENA_ARRAY(arena, struct bucket, size);
    names->mask = size - 1;
}

static void names_add(struct names *names, const char *base, const struct vhost *vhost,
                      struct str key)
{
    size_t distance = (size_t)((const char *)vhost - base);
    CHECK(distance % VHOST_UNIT == 0 && distance / VHOST_UNIT < UINT32_MAX);
    uint64_t hash = hash_bytes(key.ptr, key.len);
    uint32_t at = (uint32_t)hash & names->mask;
    while (names->buckets[at].unit)
        at = (at + 1) & names->mask;
    names->buckets[at].tag = (uint32_t)(hash >> 32);
    names->buckets[at].unit = (uint32_t)(distance / VHOST_UNIT) + 1;
    names->n++;
}

static const struct vhost *names_find(const struct names *names, const char *base, struct str key,
                                      bool is_suffix)
{
    if (names->n == 0)
        return NULL;
    uint64_t hash = hash_bytes(key.ptr, key.len);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t at = (uint32_t)hash & names->mask;; at = (at + 1) & names->mask) {
        const struct bucket *bucket = &names->buckets[at];
        if (bucket->unit == 0)
            return NULL;
        if (bucket->tag != tag)
            continue;
        const struct vhost *vhost =
            (const struct vhost *)(base + (size_t)(bucket->unit - 1) * VHOST_UNIT);
        if (str_equal(key_of(vhost, is_suffix), key))
            return vhost;
    }
}

static unsigned count_dots(struct str text)
{
    unsigned n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '.';
    return n;
}

static uint64_t dots_bit(unsigned dots)
{
    return UINT64_C(1) << (dots < 63 ? dots : 63);
}

const struct host_table *host_table_build(struct arena *arena, const void *base,
                                          const struct vhost *const *vhosts, uint32_t n)
{
    struct host_table *table = ARENA_NEW(arena, struct host_table);
    table->base = base;
    uint32_t n_exact = 0, n_one_label = 0, n_any_depth = 0;
    for (uint32_t i = 0; i < n; i++) {
        // By the same rule as below: the tables must never be full.
        bool is_wildcard =
            str_is(vhosts[i]->name, "*") || str_has_prefix(vhosts[i]->name, STR("*."));
        n_exact += !is_wildcard;
        n_one_label += is_wildcard && vhosts[i]->is_one_label;
        n_any_depth += is_wildcard && !vhosts[i]->is_one_label;
    }
    names_init(&table->exact, arena, n_exact);
    names_init(&table->one_label, arena, n_one_label);
    names_init(&table->any_depth, arena, n_any_depth);
    for (uint32_t i = 0; i < n; i++) {
        const struct vhost *vhost = vhosts[i];
        if (str_is(vhost->name, "*")) {
            table->catch_all = vhost;
        } else if (str_has_prefix(vhost->name, STR("*."))) {
            struct str suffix = key_of(vhost, true);
            names_add(vhost->is_one_label ? &table->one_label : &table->any_depth, base, vhost,
                      suffix);
            table->suffix_dots |= dots_bit(count_dots(suffix));
            if (suffix.len > table->suffix_len_max)
                table->suffix_len_max = suffix.len;
        } else {
            names_add(&table->exact, base, vhost, vhost->name);
        }
    }
    return table;
}

static const struct vhost *find_wildcard(const struct host_table *table, struct str host)
{
    unsigned dots = count_dots(host);
    bool is_first = true;
    for (size_t at = 0; at < host.len; at++) {
        if (host.ptr[at] != '.')
            continue;
        struct str suffix = str_from(host, at);
        // The label in front of the suffix must not be empty.
        if (at > 0 && suffix.len <= table->suffix_len_max &&
            (table->suffix_dots & dots_bit(dots))) {
            const struct vhost *found =
                is_first ? names_find(&table->one_label, table->base, suffix, true) : NULL;
            if (!found)
                found = names_find(&table->any_depth, table->base, suffix, true);
            if (found)
                return found;
        }
        is_first = false;
        dots--;
    }
    return NULL;
}

const struct vhost *host_table_find(const struct host_table *table, struct str host)
{
    const struct vhost *found = names_find(&table->exact, table->base, host, false);
    if (!found && table->suffix_dots)
        found = find_wildcard(table, host);
    return found ? found : table->catch_all;
}
