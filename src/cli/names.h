// SPDX-License-Identifier: Apache-2.0
// Names outside the cluster as `run` deals with them: the resolver, when its changes are compiled,
// what requests ask for, what log and admin server say.
#pragma once
#include "cli/runtime.h"

bool names_open(struct runtime *runtime); // the resolver; false: see resolver_create()
void names_close(struct runtime *runtime);
void names_applied(struct runtime *runtime); // after a compile
// compile's look up, a struct name_lookup's `addresses`; `arg` is the runtime.
void names_look_up(void *arg, struct str name, bool by_first, struct name_addresses *ret);
void names_ask(void *arg, struct str name); // proxy_options' ask_name; `arg` is the runtime
void names_facts(const struct runtime *runtime, struct admin_facts *ret_facts);
bool names_describe(void *arg, uint64_t *cursor, size_t bytes,
                    struct buf *out); // for the admin server
