// SPDX-License-Identifier: Apache-2.0
// Stable slots for identities, and compiled regular expressions shared between snapshots. Control
// thread. One registry a process; snapshots hold references and give them back when destroyed.
#pragma once
#include "route/snapshot.h"

struct registry;
struct registry *registry_create(void);
void registry_destroy(struct registry *registry); // after all its snapshots
