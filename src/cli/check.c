// SPDX-License-Identifier: Apache-2.0
// `sluicegate check`: every diagnostic about the manifests.
#include "cli/model_load.h"
#include "cli/subcommand.h"
#include <stdio.h>

static void render_all(const struct diags *diags, bool as_json, struct buf *out)
{
    size_t n = diags_count(diags);
    if (as_json)
        buf_add_text(out, "[");
    for (size_t i = 0; i < n; i++) {
        if (as_json) {
            buf_add_text(out, i ? ",\n" : "\n");
            diag_render_json(diags_get(diags, i), out);
        } else {
            diag_render(diags_get(diags, i), out);
            buf_add_char(out, '\n');
        }
    }
    if (as_json)
        buf_add_text(out, n ? "\n]\n" : "]\n");
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

int check_subcommand(const struct options *options)
{
    struct model model;
    model_load(&model, options);
    struct buf text = {0};
    render_all(model.diags, options->json, &text);
    bool is_written = output_write(&text);
    buf_fini(&text);

    size_t objects = store_counts(model.store).objects;
    size_t errors = diags_count_level(model.diags, DIAG_ERROR);
    size_t warnings = diags_count_level(model.diags, DIAG_WARNING);
    size_t notes = diags_count_level(model.diags, DIAG_NOTE);
    fprintf(stderr, "sluicegate: %zu object%s: %zu error%s, %zu warning%s, %zu note%s\n", objects,
            plural(objects), errors, plural(errors), warnings, plural(warnings), notes,
            plural(notes));
    model_fini(&model);
    return errors > 0 || !is_written ? EXIT_ERRORS : EXIT_CLEAN;
}
