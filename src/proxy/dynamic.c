// SPDX-License-Identifier: Apache-2.0
#include "proxy/dynamic.h"
#include "base/map.h"
#include "proxy/dialled.h"
#include "proxy/stream.h"
#include <pthread.h>
#include <stdlib.h>

enum { SLOTS_FIRST = SLOT_PAGES_MAX * SLOTS_PER_PAGE - DYNAMIC_ENDPOINTS_MAX };

// What makes an endpoint: connections to it are alike only when all of this is the same. A context
// is named by where it lies: the slot holds it, so nothing else comes to lie there.
struct key {
    uint64_t cluster_identity;
    const struct tls_context *tls;
    uint8_t protocol, proxy_protocol;
    struct address address;
};

struct dynamic_slot { // under the lock
    struct list node; // slots->unheld, longest first; of a free one, too
    uint64_t identity;
    struct key key;
    struct tls_context *tls; // a reference
    char *cluster;           // its name; owned; NULL: free
    uint32_t n_holders;      // workers
};

struct dynamic_slots {
    pthread_mutex_t lock;
    struct map *by_key;
    struct list unheld;
    uint32_t n_begun; // the others were never used
    uint64_t last_identity;
    struct dynamic_slot slots[DYNAMIC_ENDPOINTS_MAX];
};

struct entry {        // of a worker's table
    struct list node; // table->by_use, newest first
    struct key key;
    uint32_t number; // of the endpoint slot
    uint64_t identity;
    int64_t failed_until_ms;
    bool leads_back; // asked of the kernel once for each snapshot
};

struct dynamic_table {
    struct worker *worker;
    struct dynamic_slots *slots;
    struct map *by_key;
    struct list by_use;
    uint32_t n_max;
    struct entry **by_number; // of DYNAMIC_ENDPOINTS_MAX
};

static bool is_dynamic(uint32_t number)
{
    return number >= SLOTS_FIRST;
}

static struct str key_bytes(const struct key *key)
{
    return (struct str){(const char *)key, sizeof *key};
}

// Without a stray bit between its fields.
static void make_key(struct key *key, const struct cluster *cluster, uint64_t cluster_identity,
                     const struct address *address)
{
    memset(key, 0, sizeof *key);
    key->cluster_identity = cluster_identity;
    key->tls = cluster->tls;
    key->protocol = cluster->protocol;
    key->proxy_protocol = cluster->proxy_protocol;
    key->address.family = address->family;
    key->address.port = address->port;
    memcpy(key->address.ip, address->ip, address->family == AF_INET6 ? 16 : 4);
}

// ---- the slots of all workers ----

static void lock(struct dynamic_slots *slots)
{
    int error = pthread_mutex_lock(&slots->lock);
    CHECK(error == 0);
}

static void unlock(struct dynamic_slots *slots)
{
    int error = pthread_mutex_unlock(&slots->lock);
    CHECK(error == 0);
}

struct dynamic_slots *dynamic_slots_create(void)
{
    struct dynamic_slots *slots = calloc(1, sizeof *slots);
    CHECK(slots != NULL);
    int error = pthread_mutex_init(&slots->lock, NULL);
    CHECK(error == 0);
    slots->by_key = map_create();
    list_init(&slots->unheld);
    return slots;
}

// It is nobody's; the number waits at the front for who needs one next.
static void free_slot(struct dynamic_slots *slots, struct dynamic_slot *slot)
{
    if (!slot->cluster)
        return;
    map_remove(slots->by_key, key_bytes(&slot->key));
    tls_context_unref(slot->tls);
    free(slot->cluster);
    slot->cluster = NULL;
    slot->tls = NULL;
    list_remove(&slot->node);
    list_push_front(&slots->unheld, &slot->node);
}

void dynamic_slots_destroy(struct dynamic_slots *slots)
{
    if (!slots)
        return;
    for (uint32_t i = 0; i < slots->n_begun; i++) {
        CHECK(slots->slots[i].n_holders == 0);
        free_slot(slots, &slots->slots[i]);
    }
    map_destroy(slots->by_key);
    pthread_mutex_destroy(&slots->lock);
    free(slots);
}

// A free one, or one that was never used, or the one that nobody has had for longest. There is one:
// the tables of all workers together are no larger than this.
static struct dynamic_slot *take_slot(struct dynamic_slots *slots)
{
    struct dynamic_slot *first = list_empty(&slots->unheld)
                                     ? NULL
                                     : LIST_ENTRY(slots->unheld.next, struct dynamic_slot, node);
    if ((!first || first->cluster) && slots->n_begun < DYNAMIC_ENDPOINTS_MAX) {
        first = &slots->slots[slots->n_begun++];
        list_push_front(&slots->unheld, &first->node);
    }
    CHECK(first != NULL);
    free_slot(slots, first);
    return first;
}

static struct dynamic_slot *find_slot(struct dynamic_slots *slots, const struct key *key,
                                      const struct cluster *cluster)
{
    struct dynamic_slot *slot = map_find(slots->by_key, key_bytes(key));
    if (slot)
        return slot;
    slot = take_slot(slots);
    memcpy(&slot->key, key, sizeof *key);
    slot->identity = ++slots->last_identity;
    slot->tls = cluster->tls ? tls_context_ref(cluster->tls) : NULL;
    slot->cluster = strndup(cluster->name.ptr, cluster->name.len);
    CHECK(slot->cluster != NULL);
    map_put(slots->by_key, key_bytes(&slot->key), slot);
    return slot;
}

static void hold(struct dynamic_slots *slots, struct entry *entry, const struct cluster *cluster)
{
    lock(slots);
    struct dynamic_slot *slot = find_slot(slots, &entry->key, cluster);
    if (slot->n_holders++ == 0)
        list_remove(&slot->node);
    entry->number = SLOTS_FIRST + (uint32_t)(slot - slots->slots);
    entry->identity = slot->identity;
    unlock(slots);
}

static void let_go(struct dynamic_slots *slots, uint32_t number)
{
    lock(slots);
    struct dynamic_slot *slot = &slots->slots[number - SLOTS_FIRST];
    CHECK(slot->n_holders > 0);
    if (--slot->n_holders == 0)
        list_push_back(&slots->unheld, &slot->node);
    unlock(slots);
}

static bool is_served(const struct dynamic_slot *slot, const struct snapshot *snapshot)
{
    const struct cluster *cluster = snapshot_find_cluster(snapshot, str_of(slot->cluster));
    if (!cluster || cluster->discovery == CLUSTER_STATIC)
        return false;
    struct key key;
    make_key(&key, cluster, snapshot->cluster_identity[cluster->slot], &slot->key.address);
    return memcmp(&key, &slot->key, sizeof key) == 0;
}

bool endpoint_slot_is_served(struct dynamic_slots *slots, const struct snapshot *snapshot,
                             uint32_t number, uint64_t identity)
{
    if (!is_dynamic(number))
        return number < snapshot->n_endpoint_slots &&
               snapshot->endpoint_identity[number] == identity;
    lock(slots);
    const struct dynamic_slot *slot = &slots->slots[number - SLOTS_FIRST];
    bool served = slot->cluster && slot->identity == identity && is_served(slot, snapshot);
    unlock(slots);
    return served;
}

// ---- a worker's table ----

struct dynamic_table *dynamic_table_create(struct worker *worker, struct dynamic_slots *slots,
                                           unsigned n_workers)
{
    struct dynamic_table *table = calloc(1, sizeof *table);
    CHECK(table != NULL);
    table->worker = worker;
    table->slots = slots;
    table->by_key = map_create();
    list_init(&table->by_use);
    table->n_max = DYNAMIC_ENDPOINTS_MAX / n_workers;
    table->by_number = calloc(DYNAMIC_ENDPOINTS_MAX, sizeof(struct entry *));
    CHECK(table->by_number != NULL && table->n_max > 0);
    return table;
}

static void forget(struct dynamic_table *table, struct entry *entry)
{
    map_remove(table->by_key, key_bytes(&entry->key));
    list_remove(&entry->node);
    table->by_number[entry->number - SLOTS_FIRST] = NULL;
    let_go(table->slots, entry->number);
    free(entry);
}

void dynamic_table_destroy(struct dynamic_table *table)
{
    if (!table)
        return;
    while (!list_empty(&table->by_use))
        forget(table, LIST_ENTRY(table->by_use.next, struct entry, node));
    map_destroy(table->by_key);
    free(table->by_number);
    free(table);
}

// Closes what waits there. false: it is in use.
static bool is_idle_once_closed(struct dynamic_table *table, const struct entry *entry)
{
    struct endpoint_slot *slot = worker_endpoint_slot(table->worker, entry->number);
    if (slot->identity != entry->identity)
        return true; // no connection was ever wanted
    if (slot->active > 0)
        return false;
    upstream_close_idle_of(slot);
    return list_empty(&slot->idle) && list_empty(&slot->shared);
}

static bool make_room(struct dynamic_table *table)
{
    for (struct list *node = table->by_use.prev; node != &table->by_use; node = node->prev) {
        struct entry *entry = LIST_ENTRY(node, struct entry, node);
        if (!is_idle_once_closed(table, entry))
            continue;
        forget(table, entry);
        return true;
    }
    return false;
}

static struct entry *find_entry(const struct stream *stream, const struct address *address,
                                struct key *key)
{
    const struct cluster *cluster = stream->cluster;
    const struct snapshot *snapshot = stream->hold->snapshot;
    make_key(key, cluster, snapshot->cluster_identity[cluster->slot], address);
    return map_find(stream->worker->dynamic->by_key, key_bytes(key));
}

static bool is_any_ip(const struct address *address)
{
    static const uint8_t zero[16];
    return memcmp(address->ip, zero, sizeof zero) == 0;
}

// A request to ourselves would come back for ever.
static bool leads_back(const struct snapshot *snapshot, const struct address *address)
{
    for (uint32_t i = 0; i < snapshot->n_listeners; i++) {
        const struct address *bind = &snapshot->listeners[i].bind;
        if (bind->port != address->port)
            continue;
        if (is_any_ip(bind) ? address_is_local(address) : address_equal(bind, address))
            return true;
    }
    return false;
}

static struct entry *add_entry(struct dynamic_table *table, const struct key *key,
                               const struct stream *stream)
{
    if (map_count(table->by_key) >= table->n_max && !make_room(table))
        return NULL;
    struct entry *entry = calloc(1, sizeof *entry);
    CHECK(entry != NULL);
    memcpy(&entry->key, key, sizeof *key);
    entry->leads_back = leads_back(stream->hold->snapshot, &key->address);
    hold(table->slots, entry, stream->cluster);
    table->by_number[entry->number - SLOTS_FIRST] = entry;
    map_put(table->by_key, key_bytes(&entry->key), entry);
    list_push_front(&table->by_use, &entry->node);
    return entry;
}

const struct endpoint *dynamic_endpoint(struct stream *stream, const struct address *address,
                                        bool *ret_leads_back)
{
    struct dynamic_table *table = stream->worker->dynamic;
    struct key key;
    struct entry *entry = find_entry(stream, address, &key);
    if (!entry)
        entry = add_entry(table, &key, stream);
    if (!entry)
        return NULL;
    *ret_leads_back = entry->leads_back;
    list_remove(&entry->node);
    list_push_front(&table->by_use, &entry->node);
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format(address, text);
    struct endpoint *endpoint = stream_alloc(stream, sizeof *endpoint);
    *endpoint = (struct endpoint){.address = *address,
                                  .slot = entry->number,
                                  .weight = 1,
                                  .text = stream_copy(stream, (struct str){text, len})};
    return endpoint;
}

void dynamic_note_failure(struct stream *stream, const struct endpoint *endpoint)
{
    struct key key;
    struct entry *entry = find_entry(stream, &endpoint->address, &key);
    if (entry)
        entry->failed_until_ms = stream->worker->loop.now_ms + DYNAMIC_FAILURE_MS;
}

bool dynamic_has_failed(struct stream *stream, const struct address *address)
{
    struct key key;
    const struct entry *entry = find_entry(stream, address, &key);
    return entry && stream->worker->loop.now_ms < entry->failed_until_ms;
}

uint64_t endpoint_slot_identity(const struct worker *worker, const struct snapshot *snapshot,
                                uint32_t number)
{
    if (!is_dynamic(number))
        return number < snapshot->n_endpoint_slots ? snapshot->endpoint_identity[number] : 0;
    const struct entry *entry = worker->dynamic->by_number[number - SLOTS_FIRST];
    return entry ? entry->identity : 0;
}

// ---- changes ----

static void free_stale(struct dynamic_slots *slots, const struct snapshot *snapshot)
{
    lock(slots);
    // A freed one moves to the front: from the back, each is looked at once.
    struct list *node = slots->unheld.prev;
    while (node != &slots->unheld) {
        struct dynamic_slot *slot = LIST_ENTRY(node, struct dynamic_slot, node);
        node = node->prev;
        if (!slot->cluster)
            break; // free ones stand in front
        if (!is_served(slot, snapshot))
            free_slot(slots, slot);
    }
    unlock(slots);
}

void dynamic_forget_stale(struct worker *worker, const struct snapshot *snapshot)
{
    struct dynamic_table *table = worker->dynamic;
    for (struct list *node = table->by_use.next, *next; node != &table->by_use; node = next) {
        struct entry *entry = LIST_ENTRY(node, struct entry, node);
        next = node->next;
        if (!endpoint_slot_is_served(table->slots, snapshot, entry->number, entry->identity) &&
            is_idle_once_closed(table, entry))
            forget(table, entry);
        else
            entry->leads_back = leads_back(snapshot, &entry->key.address);
    }
    free_stale(table->slots, snapshot);
}
