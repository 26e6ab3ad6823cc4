// SPDX-License-Identifier: Apache-2.0
// Which Sidecar is in force for the workload, and what it lets it know. One that selects the
// workload goes before that of its namespace, that before the one of the root namespace.
#include "base/check.h"
#include "compile/hosts.h"
#include "compile/sidecar.h"

static const char root_namespace[] = "istio-system";

struct scope_pattern { // an entry of egress[].hosts
    struct str ns, name;
    const struct text *text;
    uint32_t listener, index;
    bool *is_met; // something declared fits
};
struct scope_listener {
    const struct sidecar_egress *egress;
    struct scope_pattern *patterns;
    uint32_t n;
};
struct sidecar_scope {
    struct compiler *c;
    const struct object *object;
    struct scope_listener *listeners;
    uint32_t n_listeners;
};

// ---- the choice ----

enum fit { FIT_WORKLOAD, FIT_NAMESPACE, FIT_ROOT, FIT_NONE };

static enum fit fit_of(const struct compiler *c, const struct object *object)
{
    const struct text_map own = {(struct text_pair *)(uintptr_t)c->options->labels,
                                 c->options->n_labels};
    const struct sidecar *sidecar = object->sidecar;
    bool selects = sidecar->selector.n > 0;
    if (str_equal(object->ns, c->options->ns)) {
        if (!selects)
            return FIT_NAMESPACE;
        return text_map_contains(&own, &sidecar->selector) ? FIT_WORKLOAD : FIT_NONE;
    }
    return !selects && str_is(object->ns, root_namespace) ? FIT_ROOT : FIT_NONE;
}

static const struct object *choose(struct compiler *c)
{
    size_t n = 0;
    const struct object *const *all = store_all(c->store, KIND_SIDECAR, &n);
    const struct object *chosen[FIT_NONE] = {0};
    for (size_t i = 0; i < n; i++) { // oldest first
        enum fit fit = fit_of(c, all[i]);
        if (fit == FIT_NONE)
            continue;
        if (!chosen[fit]) {
            chosen[fit] = all[i];
            continue;
        }
        const struct object *older = chosen[fit];
        complain(c, DIAG_SIDECAR_CONFLICT, all[i], all[i]->name_line, all[i]->name_col,
                 STR("spec.workloadSelector"), "%.*s is for the %s already",
                 STR_ARG(place_text(c, older, older->name_line, older->name_col)),
                 fit == FIT_WORKLOAD ? "workload" : "namespace");
    }
    for (unsigned fit = 0; fit < FIT_NONE; fit++) {
        if (chosen[fit])
            return chosen[fit];
    }
    return NULL;
}

// ---- patterns ----

static struct scope_pattern read_pattern(struct compiler *c, const struct object *object,
                                         const struct text *text)
{
    struct str whole = text_str(*text);
    ptrdiff_t slash = str_index(whole, '/');
    CHECK(slash > 0); // the model has looked at its form
    struct scope_pattern pattern = {
        .ns = str_upto(whole, (size_t)slash),
        .name = host_lower(c->scratch, str_from(whole, (size_t)slash + 1)),
        .text = text,
        .is_met = ARENA_NEW(c->scratch, bool),
    };
    if (str_is(pattern.ns, "."))
        pattern.ns = object->ns;
    return pattern;
}

bool sidecar_is_registry_only(const struct compiler *c, const struct object *object)
{
    if (object && object->sidecar->has_policy)
        return object->sidecar->policy == SIDECAR_REGISTRY_ONLY;
    return c->options->outbound_policy == OUTBOUND_REGISTRY_ONLY;
}

// One that is broken and would let the workload know some hosts alone lets it know none. Where what
// is not known goes out anyway, nothing is gained by that.
static void shut(struct sidecar_scope *scope)
{
    static const struct sidecar_egress nothing;
    const struct object *object = scope->object;
    const struct sidecar *sidecar = object->sidecar;
    if (!sidecar_is_registry_only(scope->c, object))
        return;
    if (sidecar->has_egress) {
        scope->n_listeners = 1;
        scope->listeners = ARENA_NEW(scope->c->scratch, struct scope_listener);
        scope->listeners->egress = &nothing;
    }
    complain(scope->c, DIAG_SIDECAR_BROKEN, object, sidecar->line, sidecar->col,
             sidecar->has_policy ? STR("spec.outboundTrafficPolicy") : STR("spec.egress"),
             "the Sidecar is broken, so %s is refused",
             sidecar->has_egress ? "all that the workload opens" : "what is declared nowhere");
}

const struct sidecar_scope *sidecar_scope_create(struct compiler *c)
{
    struct sidecar_scope *scope = ARENA_NEW(c->scratch, struct sidecar_scope);
    scope->c = c;
    scope->object = choose(c);
    if (!scope->object)
        return scope;
    const struct sidecar *sidecar = scope->object->sidecar;
    if (sidecar->is_broken) {
        shut(scope);
        return scope;
    }
    scope->n_listeners = sidecar->n_egress;
    scope->listeners = ARENA_ARRAY(c->scratch, struct scope_listener, sidecar->n_egress + 1);
    for (uint32_t i = 0; i < sidecar->n_egress; i++) {
        struct scope_listener *listener = &scope->listeners[i];
        const struct texts *hosts = &sidecar->egress[i].hosts;
        listener->egress = &sidecar->egress[i];
        listener->patterns = ARENA_ARRAY(c->scratch, struct scope_pattern, hosts->n + 1);
        for (uint32_t k = 0; listener->egress->is_served && k < hosts->n; k++) {
            struct scope_pattern *pattern = &listener->patterns[listener->n++];
            *pattern = read_pattern(c, scope->object, &hosts->items[k]);
            pattern->listener = i;
            pattern->index = k;
        }
    }
    return scope;
}

const struct object *sidecar_scope_object(const struct sidecar_scope *scope)
{
    return scope->object;
}

static bool takes_namespace(const struct scope_pattern *pattern, struct str ns)
{
    return str_is(pattern->ns, "*") || str_equal(pattern->ns, ns); // "~": no namespace's name
}

// ---- what is known ----

// The listener of that port, else the one of every other.
static const struct scope_listener *listener_of(const struct sidecar_scope *scope, uint16_t port)
{
    const struct scope_listener *others = NULL;
    for (uint32_t i = 0; i < scope->n_listeners; i++) {
        const struct sidecar_port *own = &scope->listeners[i].egress->port;
        if (own->is_set && own->number.value == port)
            return &scope->listeners[i];
        if (!own->is_set)
            others = &scope->listeners[i];
    }
    return others;
}

static struct scope_protocol protocol_of(const struct sidecar_port *port)
{
    if (!port->is_set || !port->has_protocol)
        return (struct scope_protocol){0};
    return (struct scope_protocol){true, port_protocol_of(port->protocol)};
}

void sidecar_scope_visit(const struct sidecar_scope *scope, const struct catalog_host *host,
                         uint16_t port,
                         void (*add)(void *arg, const struct catalog_host *host,
                                     struct scope_protocol protocol),
                         void *arg)
{
    if (scope->n_listeners == 0) {
        add(arg, host, (struct scope_protocol){0});
        return;
    }
    const struct scope_listener *listener = listener_of(scope, port);
    for (uint32_t i = 0; listener && i < listener->n; i++) {
        const struct scope_pattern *pattern = &listener->patterns[i];
        if (!takes_namespace(pattern, host->object->ns))
            continue;
        bool is_whole = host_is_subset(host->name, pattern->name);
        if (!is_whole && !host_is_subset(pattern->name, host->name))
            continue;
        *pattern->is_met = true;
        add(arg, is_whole ? host : catalog_narrow(scope->c, host, pattern->name),
            protocol_of(&listener->egress->port));
        if (is_whole)
            return;
    }
}

static bool meets(const struct scope_pattern *pattern, const struct object *object,
                  const struct str *hosts, uint32_t n)
{
    struct str narrower;
    for (uint32_t i = 0; takes_namespace(pattern, object->ns) && i < n; i++) {
        if (host_intersect(hosts[i], pattern->name, &narrower))
            return true;
    }
    return false;
}

static bool listener_sees(const struct scope_listener *listener, const struct object *object,
                          const struct str *hosts, uint32_t n)
{
    bool is_seen = false;
    for (uint32_t i = 0; i < listener->n; i++) {
        if (!meets(&listener->patterns[i], object, hosts, n))
            continue;
        *listener->patterns[i].is_met = true;
        is_seen = true;
    }
    return is_seen;
}

bool sidecar_scope_sees_service(const struct sidecar_scope *scope, const struct object *object,
                                const struct str *hosts, uint32_t n)
{
    bool is_seen = scope->n_listeners == 0;
    for (uint32_t i = 0; i < scope->n_listeners; i++)
        is_seen |= listener_sees(&scope->listeners[i], object, hosts, n);
    return is_seen;
}

bool sidecar_scope_sees_on(const struct sidecar_scope *scope, const struct object *object,
                           const struct str *hosts, uint32_t n, uint16_t port)
{
    const struct scope_listener *listener = listener_of(scope, port);
    return scope->n_listeners == 0 || (listener && listener_sees(listener, object, hosts, n));
}

void sidecar_scope_report(const struct sidecar_scope *scope)
{
    struct compiler *c = scope->c;
    for (uint32_t i = 0; i < scope->n_listeners; i++) {
        for (uint32_t k = 0; k < scope->listeners[i].n; k++) {
            const struct scope_pattern *pattern = &scope->listeners[i].patterns[k];
            if (*pattern->is_met || host_is_wildcard(pattern->name) || str_is(pattern->ns, "~"))
                continue;
            complain(c, DIAG_SIDECAR_UNKNOWN_HOST, scope->object, pattern->text->line,
                     pattern->text->col,
                     path_of(c, "spec.egress[%u].hosts[%u]", pattern->listener, pattern->index),
                     "nothing in %s%.*s that is exported here declares \"%.*s\"%s",
                     str_is(pattern->ns, "*") ? "any namespace" : "namespace ",
                     str_is(pattern->ns, "*") ? 0 : (int)pattern->ns.len, pattern->ns.ptr,
                     STR_ARG(pattern->name),
                     scope->listeners[i].egress->port.is_set ? " with that port" : "");
        }
    }
}
