// SPDX-License-Identifier: Apache-2.0
// Each API in turn adds its part to one builder. Gateways go before Ingresses, so that on a shared
// host the VirtualService's routes come first; nodePorts last.
#include "compile/catalog.h"
#include "compile/compile.h"
#include "compile/destination_rule.h"
#include "compile/gateway.h"
#include "compile/ingress.h"
#include "compile/service.h"
#include "compile/sidecar.h"
#include "source/text_files.h"

enum { SCRATCH_BLOCK_BYTES = 64 * 1024, SUGGESTIONS_MAX = 50000 };

static bool expects_proxy(const void *arg, uint16_t port)
{
    const struct compile_options *options = arg;
    for (uint32_t i = 0; i < options->n_proxy_ports; i++) {
        if (options->proxy_ports[i] == port)
            return true;
    }
    return options->has_proxy_everywhere;
}

// They are for what is beside a workload.
static void report_sidecars(struct compiler *c)
{
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_SIDECAR, &n);
    for (size_t i = 0; i < n; i++)
        complain(c, DIAG_MESH_ONLY, all[i], all[i]->name_line, all[i]->name_col,
                 STR("metadata.name"), "is for sidecars (mesh) only");
}

struct snapshot *compile(const struct store *store, const struct compile_options *options,
                         const struct name_lookup *names, struct registry *registry,
                         uint64_t generation, struct diags *diags)
{
    struct compiler c = {.store = store,
                         .options = options,
                         .names = names,
                         .builder = builder_create(registry),
                         .scratch = arena_create(SCRATCH_BLOCK_BYTES),
                         .diags = diags,
                         .gateway_hosts = map_create(),
                         .credentials = map_create(),
                         .suggestions_left = SUGGESTIONS_MAX};
    c.arena = builder_arena(c.builder);
    c.services = service_index_create(&c);
    c.policies = policy_index_create(&c);
    catalog_create(&c);

    text_files_begin(store_files(store));
    if (options->is_sidecar) {
        sidecar_compile(&c);
    } else {
        gateways_compile(&c);
        ingresses_compile(&c);
        node_ports_compile(&c);
        report_sidecars(&c);
    }
    catalog_report(&c);
    policy_report(&c);
    endpoints_report(&c);
    builder_accept_proxy(c.builder, expects_proxy, options);

    text_files_end(store_files(store));
    struct snapshot *snapshot = builder_seal(&c.builder, generation);
    catalog_destroy(&c);
    policy_index_destroy(c.policies);
    service_index_destroy(c.services);
    map_destroy(c.gateway_hosts);
    map_destroy(c.credentials);
    arena_destroy(c.scratch);
    buf_fini(&c.brief);
    return snapshot;
}
