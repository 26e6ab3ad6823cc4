// SPDX-License-Identifier: Apache-2.0
#include "route/sort.h"
#include <endian.h>
#include <stdlib.h>

static size_t common_prefix(const struct named *items, size_t n)
{
    struct str first = items[0].name;
    size_t len = first.len;
    for (size_t i = 1; i < n && len > 0; i++) {
        struct str name = items[i].name;
        if (name.len < len)
            len = name.len;
        while (len > 0 && memcmp(first.ptr, name.ptr, len) != 0)
            len--;
    }
    return len;
}

// Eight bytes from `from` on as a number that compares as they do; short names end in zeros.
static uint64_t key_at(struct str name, size_t from)
{
    struct str rest = str_upto(str_from(name, from), sizeof(uint64_t));
    uint64_t key = 0;
    if (rest.len)
        memcpy(&key, rest.ptr, rest.len);
    return be64toh(key);
}

static int compare(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    int order = str_compare(x->name, y->name);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

void sort_by_name(struct named *items, size_t n)
{
    if (n < 2)
        return;
    size_t from = common_prefix(items, n);
    for (size_t i = 0; i < n; i++) {
        items[i].key = key_at(items[i].name, from);
        items[i].order = i;
    }
    qsort(items, n, sizeof(*items), compare);
}
