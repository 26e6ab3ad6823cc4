// SPDX-License-Identifier: Apache-2.0
// What the files upstream*.c share; what others call is in worker.h.
#pragma once
#include "proxy/h2_session.h"

// upstream.c
void upstream_on_event(struct watch *watch, uint32_t events);
void upstream_on_timer(struct timer *timer);
void upstream_share(struct upstream *up); // into its slot's list of shared ones
void upstream_attach(struct upstream *up, struct stream *stream);

// upstream_connect.c
// A new connection that is connecting, for `stream`. NULL: *reterr_errno.
struct upstream *upstream_open(struct stream *stream, struct endpoint_slot *slot, uint64_t identity,
                               const struct endpoint *endpoint, uint8_t protocol,
                               int *reterr_errno);
