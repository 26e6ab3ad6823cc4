// SPDX-License-Identifier: Apache-2.0
// Puts capture in force and ends it, in this process's network namespace: the table of capture.h
// and, in mode tproxy, policy routing. Nothing else is touched. Control thread.
//
// Rules live on their own (capture_up, capture_down), or with this process (struct capture_hold).
// Where they fail open, a running sidecar says that it is alive (struct capture_pulse).
#pragma once
#include "l4/capture.h"
#include "l4/netlink.h"

// Replaces what is there in one transaction. False: *reterr says why, in one line; what was in
// force still is.
bool capture_up(const struct capture_options *options, struct buf *reterr);
// Also when only a part is there, or nothing.
bool capture_down(struct buf *reterr);

struct capture_status {
    bool is_set_up;
    uint32_t held_by;    // port id of netlink, most often a process id; 0: nobody
    bool does_fail_open; // ... and then:
    bool is_alive;       // a sidecar has said so lately
    bool has_routing;    // policy routing
};
// `ret_rules`: the table as the kernel has it.
bool capture_read_status(struct capture_status *ret, struct buf *ret_rules, struct buf *reterr);

// Rules that end with this process, however it ends. Open it early: descriptors are closed from
// the highest to the lowest when a process is killed, and the rules should outlive its
// connections, so that their peers hear of the end.
struct capture_hold;
struct capture_hold *capture_hold_open(struct buf *reterr); // NULL: no privilege, no nftables
bool capture_hold_begin(struct capture_hold *hold, const struct capture_options *options,
                        struct buf *reterr);
// New connections pass directly, captured ones go on. What goes wrong ends with capture_hold_close.
bool capture_hold_stop(struct capture_hold *hold, struct buf *reterr);
void capture_hold_close(struct capture_hold *hold); // removes all; NULL is fine

// Keeps rules in force that fail open.
struct capture_pulse {
    struct netlink netlink;
};
enum { CAPTURE_PULSE_MS = 1000 };
int capture_pulse_open(struct capture_pulse *pulse); // 0 or -errno
// 0: they are in force. -ENOENT: no such rules are set up. -EPERM: no privilege.
int capture_pulse_beat(struct capture_pulse *pulse);
int capture_pulse_stop(struct capture_pulse *pulse); // new connections pass directly from now on
void capture_pulse_close(struct capture_pulse *pulse);
