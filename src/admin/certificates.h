// SPDX-License-Identifier: Apache-2.0
// The certificates of a snapshot, for the metric of their expiry. Control thread.
#pragma once
#include "route/snapshot.h"

// Those that expire first, each source once; returns how many (at most `max`).
uint32_t certificates_soonest(const struct snapshot *snapshot, const struct certificate **ret,
                              uint32_t max);
