// SPDX-License-Identifier: Apache-2.0
// Servers of Gateways for connections: TCP, TLS that is passed through by SNI, and TLS that is
// ended here with TCP behind it. VirtualServices bring their routes: tcp[], or tls[] where TLS is
// passed through. Control thread; everything lives for the compile.
#pragma once
#include "compile/virtual_service.h"

// Who has the routes of a listener or chain: the first VirtualService that has one that fits.
struct l4_owner {
    const struct object *object; // NULL: nobody yet
    struct str place;            // of its rule
    bool has_catch_all;          // one of its routes takes every connection
};
struct l4_server {
    const struct object *gateway;
    const struct gateway_server *server;
    uint32_t index; // of the server in its Gateway
    struct builder_listener *listener;
    struct builder_chain *chain;    // TLS is ended here; NULL: TCP, or passed through
    struct l4_owner *owner;         // of the listener or the chain; NULL: passed through
    const struct vs_prepared *last; // that was bound
    bool has_routes;
};

bool l4_is_passthrough(const struct gateway_server *server);
// Adds the routes of a VirtualService whose hosts meet the server's.
void l4_bind(struct compiler *c, struct l4_server *server, struct vs_prepared *prepared);
// A server's host "[ns/]name" apart.
void server_host_split(struct compiler *c, struct str text, struct str own_ns, struct str *ret_ns,
                       struct str *ret_name);
