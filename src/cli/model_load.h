// SPDX-License-Identifier: Apache-2.0
// Manifests read and compiled once, for the subcommands that serve nothing. Control thread.
#pragma once
#include "cli/options.h"
#include "source/folder.h"

struct model { // owns everything in it
    struct store *store;
    struct folder_source *source;
    struct registry *registry;
    struct snapshot *snapshot;
    struct diags *diags; // of reading and compiling, sorted
};

// Never fails: what could not be read is among the diagnostics.
void model_load(struct model *model, const struct options *options);
void model_fini(struct model *model);
