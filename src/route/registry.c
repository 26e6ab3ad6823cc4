// SPDX-License-Identifier: Apache-2.0
#include "route/registry.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/map.h"
#include "route/slots.h"
#include <stdlib.h>

struct shared { // things of one kind
    struct slot_space space;
    void **items; // by slot
    uint32_t n;   // room in it
};

struct registry {
    struct slot_space spaces[SLOT_KIND_COUNT];
    struct shared shared[SHARED_KIND_COUNT];
    struct buf key; // scratch
    struct buf self_signed_certificate, self_signed_key;
};

struct registry *registry_create(void)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    CHECK(registry);
    for (int kind = 0; kind < SLOT_KIND_COUNT; kind++)
        slot_space_init(&registry->spaces[kind]);
    for (int kind = 0; kind < SHARED_KIND_COUNT; kind++)
        slot_space_init(&registry->shared[kind].space);
    return registry;
}

void registry_destroy(struct registry *registry)
{
    if (!registry)
        return;
    for (int kind = 0; kind < SLOT_KIND_COUNT; kind++) {
        CHECK(registry->spaces[kind].n_held == 0); // a snapshot is left
        slot_space_fini(&registry->spaces[kind]);
    }
    for (int kind = 0; kind < SHARED_KIND_COUNT; kind++) {
        CHECK(registry->shared[kind].space.n_held == 0);
        slot_space_fini(&registry->shared[kind].space);
        free(registry->shared[kind].items);
    }
    buf_fini(&registry->key);
    if (registry->self_signed_key.len > 0)
        explicit_bzero(registry->self_signed_key.data, registry->self_signed_key.len);
    buf_fini(&registry->self_signed_certificate);
    buf_fini(&registry->self_signed_key);
    free(registry);
}

uint32_t registry_acquire_slot(struct registry *registry, enum slot_kind kind, struct str key,
                               uint64_t *ret_identity)
{
    bool is_new;
    uint32_t slot = slot_space_acquire(&registry->spaces[kind], key, &is_new);
    *ret_identity = slot_space_identity(&registry->spaces[kind], slot);
    return slot;
}

void registry_release_slot(struct registry *registry, enum slot_kind kind, uint32_t slot)
{
    slot_space_release(&registry->spaces[kind], slot);
}

// ---- things that snapshots share ----

// The place of what registry->key names; *ret_is_new: empty so far.
static void **acquire_shared(struct registry *registry, enum shared_kind kind, uint32_t *ret_hold,
                             bool *ret_is_new)
{
    struct shared *shared = &registry->shared[kind];
    uint32_t hold = slot_space_acquire(&shared->space, buf_str(&registry->key), ret_is_new);
    if (hold >= shared->n) {
        shared->n = shared->n ? shared->n * 2 : 16;
        shared->items = realloc(shared->items, shared->n * sizeof(*shared->items));
        CHECK(shared->items && hold < shared->n);
    }
    *ret_hold = hold;
    return &shared->items[hold];
}

static void give_up(struct registry *registry, enum shared_kind kind, uint32_t hold)
{
    slot_space_release(&registry->shared[kind].space, hold);
}

static void destroy_regex(void *item)
{
    regex_destroy(item);
}

static void destroy_tls(void *item)
{
    tls_context_unref(item); // workers' connections may hold it on
}

void registry_release_shared(struct registry *registry, enum shared_kind kind, uint32_t hold)
{
    static void (*const destroy[SHARED_KIND_COUNT])(void *) = {
        [SHARED_REGEX] = destroy_regex,
        [SHARED_TLS] = destroy_tls,
        [SHARED_CERTIFICATE] = free,
    };
    if (slot_space_release(&registry->shared[kind].space, hold))
        destroy[kind](registry->shared[kind].items[hold]);
}

const struct regex *registry_acquire_regex(struct registry *registry, struct str pattern,
                                           unsigned flags, uint32_t *ret_hold, char *reterr_message,
                                           size_t reterr_size, size_t *reterr_offset)
{
    registry->key.len = 0;
    buf_add(&registry->key, &flags, sizeof(flags));
    buf_add_str(&registry->key, pattern);
    bool is_new;
    void **item = acquire_shared(registry, SHARED_REGEX, ret_hold, &is_new);
    if (is_new)
        *item = regex_compile(pattern, flags, reterr_message, reterr_size, reterr_offset);
    if (!*item)
        give_up(registry, SHARED_REGEX, *ret_hold);
    return *item;
}

struct tls_context *registry_acquire_tls_server(struct registry *registry,
                                                const struct tls_server_config *config,
                                                uint32_t *ret_hold, struct tls_error *reterr)
{
    registry->key.len = 0;
    buf_add_char(&registry->key, 's');
    tls_server_digest(config, &registry->key);
    bool is_new;
    void **item = acquire_shared(registry, SHARED_TLS, ret_hold, &is_new);
    if (is_new)
        *item = tls_server_create(config, reterr);
    if (!*item)
        give_up(registry, SHARED_TLS, *ret_hold);
    return *item;
}

struct tls_context *registry_acquire_tls_client(struct registry *registry,
                                                const struct tls_client_config *config,
                                                uint32_t *ret_hold, struct tls_error *reterr)
{
    registry->key.len = 0;
    buf_add_char(&registry->key, 'c');
    tls_client_digest(config, &registry->key);
    bool is_new;
    void **item = acquire_shared(registry, SHARED_TLS, ret_hold, &is_new);
    if (is_new)
        *item = tls_client_create(config, reterr);
    if (!*item)
        give_up(registry, SHARED_TLS, *ret_hold);
    return *item;
}

static struct certificate_look *look_at(struct str pem, struct str host)
{
    struct tls_certificate_facts facts = {0};
    bool is_readable = tls_certificate_facts(pem, &facts);
    struct str subject = str_of(facts.subject), key_type = str_of(facts.key_type);
    struct certificate_look *look = calloc(1, sizeof(*look) + subject.len + key_type.len);
    CHECK(look);
    *look = (struct certificate_look){.is_readable = is_readable};
    if (!is_readable)
        return look;
    look->covers_host = host.len > 0 && tls_certificate_covers(pem, host);
    look->not_before_s = facts.not_before_s;
    look->not_after_s = facts.not_after_s;
    char *texts = (char *)(look + 1);
    look->subject = (struct str){memcpy(texts, subject.ptr, subject.len), subject.len};
    texts += subject.len;
    look->key_type = (struct str){memcpy(texts, key_type.ptr, key_type.len), key_type.len};
    return look;
}

// The key has 128 bits of the certificate's text: what depends on it is what is told, and not what
// is served.
const struct certificate_look *registry_acquire_certificate(struct registry *registry,
                                                            struct str pem, struct str host,
                                                            uint32_t *ret_hold)
{
    uint64_t low = hash_seeded(pem.ptr, pem.len, 1), high = hash_seeded(pem.ptr, pem.len, 2);
    registry->key.len = 0;
    buf_add(&registry->key, &low, sizeof(low));
    buf_add(&registry->key, &high, sizeof(high));
    buf_add_str(&registry->key, host);
    bool is_new;
    void **item = acquire_shared(registry, SHARED_CERTIFICATE, ret_hold, &is_new);
    if (is_new)
        *item = look_at(pem, host);
    return *item;
}

void registry_self_signed(struct registry *registry, struct str *ret_certificate,
                          struct str *ret_key)
{
    if (registry->self_signed_key.len == 0)
        tls_make_self_signed(STR("Sluicegate Default Certificate"),
                             &registry->self_signed_certificate, &registry->self_signed_key);
    *ret_certificate = buf_str(&registry->self_signed_certificate);
    *ret_key = buf_str(&registry->self_signed_key);
}
