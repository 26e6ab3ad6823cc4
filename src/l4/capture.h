// SPDX-License-Identifier: Apache-2.0
// Transparent capture: the table `inet sluicegate_capture` that sends a network namespace's TCP
// connections to the sidecar in it, and the policy routing that mode tproxy needs. This file says
// what the rules are and renders them; capture_rules.h puts them in force. Control thread.
#pragma once
#include "base/address.h"

#define CAPTURE_TABLE "sluicegate_capture"
#define CAPTURE_ALIVE "alive" // the set that makes rules effective, where they fail open

enum {
    // Of captured packets (mode tproxy), and of the conntrack entry of captured connections.
    CAPTURE_MARK = 0x53a,
};

enum capture_mode {
    CAPTURE_REDIRECT, // nat: SO_ORIGINAL_DST tells the destination
    CAPTURE_TPROXY,   // the packets stay as they are: the accepted socket has the destination
};

// What the rules do while no sidecar runs.
enum capture_life {
    CAPTURE_FAIL_OPEN,   // connections pass directly, once the set `alive` has run empty
    CAPTURE_FAIL_CLOSED, // connections are refused
    CAPTURE_HELD,        // the kernel removes the table with the process that made it
};

struct capture_numbers { // ports or ids; owned
    uint32_t *items;
    size_t n;
    bool are_all; // "*"
};

struct capture_subnet {
    struct address base;
    unsigned bits;
};

struct capture_subnets { // owned
    struct capture_subnet *items;
    size_t n;
    bool are_all; // "*"
};

struct capture_options {
    enum capture_mode mode;
    enum capture_life life;
    uint32_t fail_open_ms;                // after the last sign of life
    uint16_t outbound_port, inbound_port; // of the sidecar; 0: not captured
    uint32_t upstream_mark;               // of the sidecar's own connections; 0: they have none
    struct capture_numbers uids, gids;    // whose connections are the sidecar's own
    struct capture_subnets include_subnets, exclude_subnets; // of the way out
    struct capture_numbers include_outbound_ports;           // to any address
    struct capture_numbers exclude_outbound_ports;           // before all that includes
    struct capture_numbers include_inbound_ports, exclude_inbound_ports;
};

bool capture_has_outbound(const struct capture_options *options);
bool capture_has_inbound(const struct capture_options *options);
void capture_options_fini(struct capture_options *options);
// False: the sidecar's own connections could not be told from others; they would be captured again
// and again. *reterr says what to do.
bool capture_options_check(const struct capture_options *options, struct buf *reterr);

// The transaction, as text that `nft -f` takes: replaces the table, or creates it where it is held.
// `is_alive`: rules that fail open are in force from the beginning, for a first fail_open_ms.
void capture_render(const struct capture_options *options, bool is_alive, struct buf *out);
void capture_render_down(struct buf *out);
// Lets no new connection in; those that are captured go on as they are.
void capture_render_stop(const struct capture_options *options, struct buf *out);
