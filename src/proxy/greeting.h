// SPDX-License-Identifier: Apache-2.0
// What comes before HTTP or TCP on a client's connection, and what the files share that deal with
// it: downstream_greet.c and, of captured connections, downstream_captured.c. Worker.
#pragma once
#include "proxy/stream.h"
#include "tls/client_hello.h"

enum greeting_step {
    GREET_PROXY,
    GREET_HELLO,
    GREET_HANDSHAKE,
    GREET_LOOK, // captured: what does the client speak?
};
struct greeting {
    enum greeting_step step;
    bool is_tls;       // goes on with a ClientHello
    bool has_part_tls; // LOOK: part of a ClientHello has come
};

void greeting_begin(struct downstream *down, const struct greeting *from); // copied
static inline struct str greeting_unread(const struct downstream *down)
{
    return (struct str){down->rx + down->rx_off, down->rx_end - down->rx_off};
}
// As sock_recv(), into the connection's buffer.
ssize_t greeting_read(struct downstream *down);
void greeting_keep_name(struct downstream *down, const struct client_hello *hello);
// The client has left: closed, with a line in the log if it had said something.
void greeting_left(struct downstream *down);
// Logged and closed.
void greeting_refuse(struct downstream *down, const struct refusal *refusal);
void greeting_refuse_unserved(struct downstream *down);

// downstream_captured.c
bool downstream_step_look(struct downstream *down);       // true: go on
bool downstream_on_look_timeout(struct downstream *down); // true: it goes on, or is gone
