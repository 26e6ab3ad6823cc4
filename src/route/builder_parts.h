// SPDX-License-Identifier: Apache-2.0
// What the builder leaves behind in a snapshot for snapshot_destroy, and the pieces that seal.c and
// builder.c share. Control thread; for these files only.
#pragma once
#include "base/map.h"
#include "route/builder.h"

struct holds { // on what the registry shares; snapshot.released is one for each kind
    uint32_t n, cap;
    uint32_t *items;
};

struct added_endpoint {
    struct address address;
    uint32_t weight;
    uint32_t order; // of adding
    bool is_retiring;
};

// A cluster's place in the snapshot: one line for itself, and room behind it for two endpoints, for
// most have no more.
enum { NEAR_ENDPOINTS = 2 };
struct cluster_cell {
    struct cluster cluster;
    union {
        struct endpoint near[NEAR_ENDPOINTS]; // once sealed
        struct {                              // until then; in the scratch arena
            struct added_endpoint *items;
            uint32_t n, cap;
        } added;
    };
} __attribute__((aligned(64)));

struct builder_vhost {
    struct snapshot_builder *builder;
    struct str name;
    bool is_one_label;
    struct builder_chain *chain;    // in a table of SNI names
    struct builder_vhost *alias_of; // NULL: it is none
    struct vhost *sealed;           // where it lies; NULL: not yet
    struct route **routes;
    uint32_t n_routes, cap;
};

struct builder_hosts {
    struct snapshot_builder *builder;
    struct builder_hosts *next;      // of the builder
    struct map *vhosts[2];           // by is_one_label: name -> struct builder_vhost
    const struct http_hosts *sealed; // NULL: not yet
};

struct added_tcp_routes { // in the scratch arena
    struct tcp_route *items;
    uint32_t n, cap;
};

struct builder_chain {
    struct snapshot_builder *builder;
    struct builder_hosts *names; // where its names go
    struct filter_chain chain;
    struct builder_hosts *hosts;       // HTTP
    struct added_tcp_routes tcp;       // else
    const struct filter_chain *sealed; // NULL: not yet
};

struct added_destination {
    struct subnet subnet;
    bool has_protocol;
    uint8_t protocol; // enum capture_protocol
    struct added_tcp_routes tcp;
};

struct builder_captured { // a port of an OUTBOUND or INBOUND listener
    struct builder_listener *listener;
    uint16_t port;
    struct builder_hosts *hosts, *names; // virtual hosts, SNI names; NULL: none
    struct added_destination any;
    struct map *by_address; // canonical subnet -> struct added_destination; NULL: none
    struct builder_captured *next;
};

struct builder_listener {
    struct snapshot_builder *builder;
    struct listener listener;
    struct builder_hosts *hosts; // HTTP: virtual hosts; TLS: SNI names
    struct added_tcp_routes tcp; // TCP
    struct map *captured;        // OUTBOUND, INBOUND: port -> struct builder_captured; NULL: none
};

struct snapshot_builder {
    struct registry *registry;
    struct arena *arena;               // becomes the snapshot's
    struct arena *scratch;             // dies with the builder
    struct map *clusters;              // name -> struct cluster_cell
    struct map *listeners;             // canonical bind -> struct builder_listener
    struct builder_hosts *hosts;       // all that were made
    struct builder_captured *captured; // all that were made
    struct cluster_cell *cells;        // free ones of the newest slab
    uint32_t n_cells, next_slab;
    struct holds holds[SHARED_KIND_COUNT]; // heap until sealed
};

// Bytes that are equal for equal addresses; in `out`.
enum { ADDRESS_KEY_MAX = 24 };
struct str address_key(const struct address *address, uint16_t port, uint8_t kind,
                       char out[ADDRESS_KEY_MAX]);

void builder_tcp_route_into(struct snapshot_builder *builder, struct added_tcp_routes *routes,
                            const struct tcp_route *route);
struct builder_chain *builder_chain_into(struct snapshot_builder *builder,
                                         struct builder_hosts *names,
                                         const struct filter_chain *chain,
                                         struct builder_hosts *hosts);
