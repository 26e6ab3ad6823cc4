// SPDX-License-Identifier: Apache-2.0
// One sorted run of addresses for each length of prefix that occurs, the longest first: mostly two
// or three, so a lookup is as many binary searches.
#include "route/address_index.h"
#include <stdlib.h>

struct run { // of one family and length of prefix
    uint8_t family, bits;
    uint32_t first, n; // in `found`
};
struct found {
    uint8_t ip[16];
    const struct captured_destination *destination;
};

struct address_index {
    struct address_entry *entries;
    struct found *found;
    uint32_t n;
    uint32_t n_runs;
    struct run runs[];
};

static int compare_ips(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static int compare_for_dump(const void *a, const void *b)
{
    const struct subnet *x = &((const struct address_entry *)a)->subnet;
    const struct subnet *y = &((const struct address_entry *)b)->subnet;
    int order = compare_ips(&x->base, &y->base);
    return order ? order : x->bits - y->bits;
}

static int compare_for_runs(const void *a, const void *b)
{
    const struct subnet *x = &((const struct address_entry *)a)->subnet;
    const struct subnet *y = &((const struct address_entry *)b)->subnet;
    if (x->bits != y->bits)
        return y->bits - x->bits;
    return compare_ips(&x->base, &y->base);
}

static bool is_same_run(const struct run *run, const struct subnet *subnet)
{
    return run->family == subnet->base.family && run->bits == subnet->bits;
}

static uint32_t count_runs(const struct address_entry *entries, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct subnet *subnet = &entries[i].subnet;
        struct run run = {.family = subnet->base.family, .bits = subnet->bits};
        count += i == 0 || !is_same_run(&run, &entries[i - 1].subnet);
    }
    return count;
}

// The bytes behind an IPv4 address may be anything.
static void clear_rest(struct address_entry *entry)
{
    entry->subnet.base.port = 0;
    address_mask(&entry->subnet.base, entry->subnet.bits);
    if (entry->subnet.base.family == AF_INET)
        memset(entry->subnet.base.ip + 4, 0, sizeof(entry->subnet.base.ip) - 4);
}

static void fill_runs(struct address_index *index)
{
    struct run *run = NULL;
    for (uint32_t i = 0; i < index->n; i++) {
        const struct address_entry *entry = &index->entries[i];
        if (!run || !is_same_run(run, &entry->subnet)) {
            run = &index->runs[index->n_runs++];
            *run = (struct run){entry->subnet.base.family, entry->subnet.bits, i, 0};
        }
        run->n++;
        memcpy(index->found[i].ip, entry->subnet.base.ip, sizeof(index->found[i].ip));
        index->found[i].destination = entry->destination;
    }
}

const struct address_index *address_index_build(struct arena *arena,
                                                const struct address_entry *entries, uint32_t n)
{
    if (n == 0)
        return NULL;
    struct address_entry *copies = arena_copy(arena, entries, n * sizeof(*entries));
    for (uint32_t i = 0; i < n; i++)
        clear_rest(&copies[i]);
    qsort(copies, n, sizeof(*copies), compare_for_runs);
    struct address_index *index = arena_zalloc(
        arena, sizeof(struct address_index) + count_runs(copies, n) * sizeof(struct run));
    index->entries = copies;
    index->n = n;
    index->found = ARENA_ARRAY(arena, struct found, n);
    fill_runs(index);
    qsort(copies, n, sizeof(*copies), compare_for_dump);
    return index;
}

static const struct captured_destination *find_in_run(const struct found *found, uint32_t n,
                                                      const uint8_t ip[16])
{
    while (n > 0) {
        uint32_t half = n / 2;
        int order = memcmp(ip, found[half].ip, 16);
        if (order == 0)
            return found[half].destination;
        if (order > 0) {
            found += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return NULL;
}

const struct captured_destination *address_index_find(const struct address_index *index,
                                                      const struct address *address)
{
    if (!index)
        return NULL;
    struct address masked = *address;
    if (masked.family == AF_INET)
        memset(masked.ip + 4, 0, sizeof(masked.ip) - 4);
    for (uint32_t i = 0; i < index->n_runs; i++) { // ever shorter: what is cut off stays cut off
        const struct run *run = &index->runs[i];
        if (run->family != masked.family)
            continue;
        address_mask(&masked, run->bits);
        const struct captured_destination *destination =
            find_in_run(index->found + run->first, run->n, masked.ip);
        if (destination)
            return destination;
    }
    return NULL;
}

const struct address_entry *address_index_entries(const struct address_index *index,
                                                  uint32_t *ret_n)
{
    *ret_n = index ? index->n : 0;
    return index ? index->entries : NULL;
}
