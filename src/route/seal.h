// SPDX-License-Identifier: Apache-2.0
// What the files share that seal a snapshot (seal.c, seal_listener.c). Control thread.
#pragma once
#include "route/builder_parts.h"

struct identities { // by slot; heap until their number is known
    uint64_t *items;
    uint32_t n, cap;
};

struct seal {
    struct snapshot_builder *builder;
    struct registry *registry;
    struct arena *arena;
    struct snapshot *snapshot;
    struct identities cluster_identities, endpoint_identities;
};

int compare_addresses(const struct address *a, const struct address *b);
const struct http_hosts *seal_hosts(struct seal *seal, struct builder_hosts *from);
const struct filter_chain *seal_chain(struct seal *seal, struct builder_chain *from);
void seal_listeners(struct seal *seal);
