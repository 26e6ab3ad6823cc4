// SPDX-License-Identifier: Apache-2.0
// `sluicegate dump`: what the manifests compile to.
#include "cli/model_load.h"
#include "cli/subcommand.h"
#include <stdio.h>

int dump_subcommand(const struct options *options)
{
    struct model model;
    model_load(&model, options);
    struct buf text = {0};
    if (options->json)
        snapshot_dump_json(model.snapshot, &text);
    else
        snapshot_dump(model.snapshot, &text);
    if (text.len > 0 && text.data[text.len - 1] != '\n')
        buf_add_char(&text, '\n');
    int status = output_write(&text) ? EXIT_CLEAN : EXIT_ERRORS;
    buf_fini(&text);

    // An empty dump because of a mistyped path must not look like an empty configuration.
    for (size_t i = 0; i < diags_count(model.diags); i++) {
        const struct diag *diag = diags_get(model.diags, i);
        if (diag->code != DIAG_FILE_UNREADABLE)
            continue;
        struct buf line = {0};
        diag_render(diag, &line);
        fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&line)));
        buf_fini(&line);
        status = EXIT_ERRORS;
    }
    size_t errors = diags_count_level(model.diags, DIAG_ERROR);
    if (errors > 0)
        fprintf(stderr,
                "sluicegate: %zu error%s: what they concern is left out (`sluicegate check`)\n",
                errors, errors == 1 ? "" : "s");
    model_fini(&model);
    return status;
}
