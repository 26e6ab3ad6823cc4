// SPDX-License-Identifier: Apache-2.0
#include "cli/model_load.h"

// Nothing is resolved here, so that the result depends on the manifests alone.
static void no_addresses(void *arg, struct str name, bool by_first, struct name_addresses *ret)
{
    (void)arg;
    (void)name;
    (void)by_first;
    *ret = (struct name_addresses){.is_pending = true};
}

void model_load(struct model *model, const struct options *options)
{
    static const struct name_lookup names = {no_addresses, NULL};
    tls_init();
    model->store = store_create();
    model->registry = registry_create();
    model->diags = diags_create();
    model->source = folder_open(model->store, options->paths, options->n_paths);
    folder_read_all(model->source);
    store_diags(model->store, model->diags);
    model->snapshot =
        compile(model->store, &options->compile, &names, model->registry, 1, model->diags);
    diags_sort(model->diags);
}

void model_fini(struct model *model)
{
    snapshot_destroy(model->snapshot);
    registry_destroy(model->registry);
    folder_close(model->source);
    store_destroy(model->store);
    diags_destroy(model->diags);
    *model = (struct model){0};
    tls_fini();
}
