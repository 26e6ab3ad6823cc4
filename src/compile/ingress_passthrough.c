// SPDX-License-Identifier: Apache-2.0
// ssl-passthrough: connections to the HTTPS port for a host go to the backend of its path `/` as
// they come; what else the host has is served over plain HTTP alone.
#include "compile/hosts.h"
#include "compile/ingress_https.h"

// The backend that has path `/`, of the Ingress that asks; NULL: none has.
static const struct ingress_item *root_item(const struct ingress_host *host)
{
    for (const struct ingress_item_node *node = host->first; node; node = node->next) {
        const struct ingress_item *item = &node->item;
        bool is_root = item->text.len == 0 || str_is(item->text, "/");
        if (item->ingress == host->passthrough && is_root && !item->path->is_invalid)
            return item;
    }
    const struct ingress_item *item = host->default_item;
    return item && item->ingress == host->passthrough ? item : NULL;
}

bool ingress_passthrough(struct ingress_https *tls, const struct ingress_host *host)
{
    struct compiler *c = tls->c;
    const struct object *object = host->passthrough->object;
    const struct text *text = ingress_annotation(object, "ssl-passthrough");
    const struct ingress_item *item = root_item(host);
    bool is_named = !str_is(host->name, "*");
    struct str path = STR("metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]");
    if (!item || !is_named) {
        complain(c, DIAG_ANNOTATION_NOT_SERVED, object, text->line, text->col, path,
                 "TLS of host \"%.*s\" is not passed through: %s", STR_ARG(host->name),
                 is_named ? "it has no path /, whose backend would get it"
                          : "only a name tells whose it is");
        return false;
    }
    struct target *target = ARENA_NEW(c->scratch, struct target); // sealing copies it
    *target = (struct target){.cluster = ingress_cluster(c, item, UPSTREAM_RAW), .weight = 1};
    struct str origin = origin_of(c, object, text->line, text->col);
    struct filter_chain facts = {.name = JOIN(c->scratch, STR("ingress passthrough "), host->name),
                                 .origin = origin};
    struct builder_chain *chain = builder_chain(tls->listener, &facts, NULL);
    builder_chain_add_tcp_route(
        chain, &(struct tcp_route){
                   .targets = target, .n_targets = 1, .total_weight = 1, .origin = origin});
    const struct builder_chain *taken =
        builder_chain_add_name(chain, host->name, host_is_wildcard(host->name));
    if (taken)
        complain(c, DIAG_TLS_HOST_TAKEN, object, text->line, text->col, path,
                 "\"%.*s\" on port %u is that of %.*s", STR_ARG(host->name),
                 (unsigned)c->options->https_port, STR_ARG(builder_chain_facts(taken)->origin));
    return true;
}
