// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "base/map.h"
#include "source/claim.h"
#include "source/text_files.h"
#include <stdlib.h>

// Changes that a sorted array takes one by one before it is better sorted anew when next asked for.
enum { PATCHES_MAX = 64 };

struct identity {
    struct claim *claims;        // in order; never NULL
    const struct object *object; // in force; NULL: none of the claims has one
    uint64_t sequence;
    uint32_t key_len, ns_len;
    uint8_t kind;
    char key[]; // "ns/name"
};

struct sorted { // the objects of a kind
    const struct object **items;
    size_t n, cap;
    bool is_valid;
    unsigned patches; // since it was last asked for
};

struct store {
    struct map *identities[KIND_COUNT]; // by "ns/name"
    struct sorted sorted[KIND_COUNT];
    struct list reporters;
    struct text_files *files;
    object_check_fn check; // NULL: none
    void *check_arg;
    uint64_t revision, sequence;
    size_t n_objects; // in force
    size_t n_broken;  // identities without an object
    size_t n_shared;  // claims beyond the first of an identity
};

struct store *store_create(void)
{
    struct store *store = calloc(1, sizeof(*store));
    CHECK(store != NULL);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        store->identities[kind] = map_create();
    list_init(&store->reporters);
    store->files = text_files_create();
    return store;
}

void store_destroy(struct store *store)
{
    if (!store)
        return;
    CHECK(list_empty(&store->reporters)); // sources end before the store
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        CHECK(map_count(store->identities[kind]) == 0);
        map_destroy(store->identities[kind]);
        free(store->sorted[kind].items);
    }
    text_files_destroy(store->files);
    free(store);
}

struct text_files *store_files(const struct store *store)
{
    return store->files;
}

void store_set_checker(struct store *store, object_check_fn check, void *arg)
{
    store->check = check;
    store->check_arg = arg;
}

enum soundness store_check(const struct store *store, const struct object *object,
                           struct diags *diags)
{
    if (object->has_invalid_parts)
        return OBJECT_BROKEN;
    return store->check ? store->check(store->check_arg, object, diags) : OBJECT_SOUND;
}

// --- lookups -----------------------------------------------------------------------------------

enum { KEY_BYTES_MAX = 1024 };

// Names are bounded by validation; what is longer cannot be in the store.
static bool make_key(struct str ns, struct str name, char out[KEY_BYTES_MAX], struct str *ret)
{
    if (ns.len + 1 + name.len > KEY_BYTES_MAX)
        return false;
    if (ns.len)
        memcpy(out, ns.ptr, ns.len);
    out[ns.len] = '/';
    if (name.len)
        memcpy(out + ns.len + 1, name.ptr, name.len);
    *ret = (struct str){out, ns.len + 1 + name.len};
    return true;
}

static struct identity *find(const struct store *store, enum kind kind, struct str ns,
                             struct str name)
{
    char bytes[KEY_BYTES_MAX];
    struct str key;
    return make_key(ns, name, bytes, &key) ? map_find(store->identities[kind], key) : NULL;
}

const struct object *store_find(const struct store *store, enum kind kind, struct str ns,
                                struct str name)
{
    const struct identity *identity = find(store, kind, ns, name);
    return identity ? identity->object : NULL;
}

bool store_was_given_kind(const struct store *store, enum kind kind)
{
    return map_count(store->identities[kind]) > 0;
}

bool store_was_given(const struct store *store, enum kind kind, struct str ns, struct str name)
{
    return find(store, kind, ns, name) != NULL;
}

struct claim *store_claims(const struct store *store, enum kind kind, struct str ns,
                           struct str name)
{
    const struct identity *identity = find(store, kind, ns, name);
    return identity ? identity->claims : NULL;
}

bool store_has_duplicates(const struct store *store)
{
    return store->n_shared > 0;
}

static int compare_age(const struct object *a, const struct object *b)
{
    if (a->created_s != b->created_s)
        return a->created_s < b->created_s ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static int compare_items(const void *a, const void *b)
{
    return compare_age(*(const struct object *const *)a, *(const struct object *const *)b);
}

static void sort_all(const struct store *store, enum kind kind, struct sorted *sorted)
{
    size_t cursor = 0;
    struct str key;
    void *value;
    sorted->n = 0;
    while (map_next(store->identities[kind], &cursor, &key, &value)) {
        const struct identity *identity = value;
        if (!identity->object)
            continue;
        if (sorted->n == sorted->cap) {
            sorted->cap = sorted->cap ? sorted->cap * 2 : 16;
            sorted->items = realloc(sorted->items, sorted->cap * sizeof(*sorted->items));
            CHECK(sorted->items != NULL);
        }
        sorted->items[sorted->n++] = identity->object;
    }
    if (sorted->n)
        qsort(sorted->items, sorted->n, sizeof(*sorted->items), compare_items);
    sorted->is_valid = true;
}

const struct object *const *store_all(const struct store *store, enum kind kind, size_t *ret_n)
{
    // A cache: what the caller sees does not change by filling it.
    struct sorted *sorted = (struct sorted *)&store->sorted[kind];
    if (!sorted->is_valid)
        sort_all(store, kind, sorted);
    sorted->patches = 0;
    *ret_n = sorted->n;
    return sorted->items;
}

uint64_t store_revision(const struct store *store)
{
    return store->revision;
}

size_t store_n_objects(const struct store *store)
{
    return store->n_objects;
}

struct store_counts store_counts(const struct store *store)
{
    struct store_counts counts = {.objects = store->n_objects, .broken = store->n_broken};
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        size_t n = 0;
        const struct object *const *objects = store_all(store, (enum kind)kind, &n);
        for (size_t i = 0; i < n; i++)
            counts.last_good += objects[i]->is_last_good;
    }
    return counts;
}

// --- changes -----------------------------------------------------------------------------------

// The first place at which `object` may stand.
static size_t position(const struct sorted *sorted, const struct object *object)
{
    size_t low = 0, high = sorted->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_age(sorted->items[middle], object) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_sorted(struct sorted *sorted, const struct object *object)
{
    size_t at = position(sorted, object);
    CHECK(at < sorted->n && sorted->items[at] == object);
    sorted->n--;
    memmove(&sorted->items[at], &sorted->items[at + 1], (sorted->n - at) * sizeof(*sorted->items));
}

static void insert_sorted(struct sorted *sorted, const struct object *object)
{
    if (sorted->n == sorted->cap) { // leave it to sort_all, which grows it
        sorted->is_valid = false;
        return;
    }
    size_t at = position(sorted, object);
    memmove(&sorted->items[at + 1], &sorted->items[at], (sorted->n - at) * sizeof(*sorted->items));
    sorted->items[at] = object;
    sorted->n++;
}

static void count(struct store *store, const struct object *object, bool is_there)
{
    size_t one = is_there ? 1 : SIZE_MAX;
    if (!object) {
        store->n_broken += one;
        return;
    }
    store->n_objects += one;
}

static void put_in_force(struct store *store, struct identity *identity, struct object *object)
{
    struct sorted *sorted = &store->sorted[identity->kind];
    const struct object *old = identity->object;
    if (old == object)
        return;
    count(store, old, false);
    count(store, object, true);
    if (sorted->is_valid && ++sorted->patches > PATCHES_MAX)
        sorted->is_valid = false;
    if (old && sorted->is_valid)
        remove_sorted(sorted, old);
    if (object)
        object->sequence = identity->sequence;
    identity->object = object;
    if (object && sorted->is_valid)
        insert_sorted(sorted, object);
    store->revision++;
}

// The first claim decides; one that has nothing to offer does not stand in a later one's way.
static void choose(struct store *store, struct identity *identity)
{
    struct object *object = NULL;
    for (struct claim *claim = identity->claims; claim && !object; claim = claim->next)
        object = claim->object;
    put_in_force(store, identity, object);
}

static int compare_claims(const struct claim *a, const struct claim *b)
{
    int order = str_compare(a->file, b->file);
    return order ? order : a->line < b->line ? -1 : a->line > b->line;
}

static void link_claim(struct identity *identity, struct claim *claim)
{
    struct claim **at = &identity->claims;
    while (*at && compare_claims(*at, claim) <= 0)
        at = &(*at)->next;
    claim->next = *at;
    *at = claim;
}

static void unlink_claim(struct identity *identity, struct claim *claim)
{
    struct claim **at = &identity->claims;
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
}

static struct identity *add_identity(struct store *store, enum kind kind, struct str ns,
                                     struct str name)
{
    char bytes[KEY_BYTES_MAX];
    struct str key;
    CHECK(make_key(ns, name, bytes, &key));
    struct identity *identity = calloc(1, sizeof(*identity) + key.len);
    CHECK(identity != NULL);
    identity->kind = (uint8_t)kind;
    identity->key_len = (uint32_t)key.len;
    identity->ns_len = (uint32_t)ns.len;
    identity->sequence = ++store->sequence;
    memcpy(identity->key, key.ptr, key.len);
    count(store, NULL, true); // until its first claim gives it an object
    map_put(store->identities[kind], (struct str){identity->key, key.len}, identity);
    return identity;
}

void store_add(struct store *store, struct claim *claim, enum kind kind, struct str ns,
               struct str name)
{
    CHECK(!claim->identity);
    struct identity *identity = find(store, kind, ns, name);
    if (!identity)
        identity = add_identity(store, kind, ns, name);
    else
        store->n_shared++;
    claim->identity = identity;
    link_claim(identity, claim);
    choose(store, identity);
    store->revision++;
}

void store_withdraw(struct store *store, struct claim *claim)
{
    struct identity *identity = claim->identity;
    CHECK(identity != NULL);
    unlink_claim(identity, claim);
    claim->identity = NULL;
    choose(store, identity);
    if (identity->claims) {
        store->n_shared--;
    } else {
        map_remove(store->identities[identity->kind],
                   (struct str){identity->key, identity->key_len});
        count(store, NULL, false);
        free(identity);
    }
    object_destroy(claim->object);
    claim->object = NULL;
    store->revision++;
}

void store_refresh(struct store *store, struct claim *claim)
{
    struct identity *identity = claim->identity;
    if (identity->claims->next) {
        unlink_claim(identity, claim);
        link_claim(identity, claim);
        choose(store, identity);
    }
    store->revision++;
}

void store_touch(struct store *store)
{
    store->revision++;
}

void identity_of(const struct claim *claim, enum kind *ret_kind, struct str *ret_ns,
                 struct str *ret_name)
{
    const struct identity *identity = claim->identity;
    struct str key = {identity->key, identity->key_len};
    *ret_kind = (enum kind)identity->kind;
    *ret_ns = str_upto(key, identity->ns_len);
    *ret_name = str_from(key, identity->ns_len + 1);
}

// --- diagnostics -------------------------------------------------------------------------------

void store_add_reporter(struct store *store, struct reporter *reporter)
{
    list_push_back(&store->reporters, &reporter->node);
}

void store_remove_reporter(struct store *store, struct reporter *reporter)
{
    list_remove(&reporter->node);
}

static void report_duplicates(const struct identity *identity, struct diags *out)
{
    const struct claim *first = identity->claims;
    while (first && !first->object)
        first = first->next;
    if (!first)
        return;
    for (const struct claim *claim = identity->claims; claim; claim = claim->next) {
        if (claim == first)
            continue;
        diags_add(out, DIAG_DUPLICATE_OBJECT, (struct place){claim->file, claim->line, claim->col},
                  first->object->title, STR_NONE,
                  "is also at %.*s:%u, which comes first and counts", STR_ARG(first->file),
                  first->line);
    }
}

void store_diags(const struct store *store, struct diags *out)
{
    for (struct list *node = store->reporters.next; node != &store->reporters; node = node->next) {
        struct reporter *reporter = LIST_ENTRY(node, struct reporter, node);
        reporter->report(reporter, out);
    }
    for (int kind = 0; kind < KIND_COUNT && store->n_shared > 0; kind++) {
        size_t cursor = 0;
        struct str key;
        void *value;
        while (map_next(store->identities[kind], &cursor, &key, &value)) {
            const struct identity *identity = value;
            if (identity->claims->next)
                report_duplicates(identity, out);
        }
    }
}
