// SPDX-License-Identifier: Apache-2.0
// Stable slots for identities; compiled regular expressions, TLS contexts and what certificates
// say, shared between snapshots. Control thread. One registry a process; snapshots hold references
// and give them back when destroyed.
#pragma once
#include "route/snapshot.h"
#include "tls/tls.h"

struct certificate_look { // see builder_certificate()
    bool is_readable;
    bool covers_host;
    int64_t not_before_s, not_after_s; // wall clock
    struct str subject, key_type;
};

struct registry;
struct registry *registry_create(void);
void registry_destroy(struct registry *registry); // after all its snapshots

// What follows is for the builder and snapshot_destroy.
enum slot_kind { SLOT_LISTENER, SLOT_CLUSTER, SLOT_ENDPOINT, SLOT_KIND_COUNT };
// A hold on the slot of that identity. *ret_identity: not 0, and never given twice for a kind, so
// that who keeps state by slot sees that the slot has changed hands.
uint32_t registry_acquire_slot(struct registry *registry, enum slot_kind kind, struct str key,
                               uint64_t *ret_identity);
void registry_release_slot(struct registry *registry, enum slot_kind kind, uint32_t slot);

// Things that cost something to make and that snapshots share. *ret_hold gives one back.
enum shared_kind { SHARED_REGEX, SHARED_TLS, SHARED_CERTIFICATE, SHARED_KIND_COUNT };
void registry_release_shared(struct registry *registry, enum shared_kind kind, uint32_t hold);
// NULL: see regex_compile.
const struct regex *registry_acquire_regex(struct registry *registry, struct str pattern,
                                           unsigned flags, uint32_t *ret_hold, char *reterr_message,
                                           size_t reterr_size, size_t *reterr_offset);
// NULL: *reterr.
struct tls_context *registry_acquire_tls_server(struct registry *registry,
                                                const struct tls_server_config *config,
                                                uint32_t *ret_hold, struct tls_error *reterr);
struct tls_context *registry_acquire_tls_client(struct registry *registry,
                                                const struct tls_client_config *config,
                                                uint32_t *ret_hold, struct tls_error *reterr);
const struct certificate_look *registry_acquire_certificate(struct registry *registry,
                                                            struct str pem, struct str host,
                                                            uint32_t *ret_hold);
// A certificate of our own making, the same as long as the registry lives.
void registry_self_signed(struct registry *registry, struct str *ret_certificate,
                          struct str *ret_key);
