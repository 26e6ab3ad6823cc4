// SPDX-License-Identifier: Apache-2.0
// Which DestinationRule counts for a host: the gateway's namespace is asked first, then the
// Service's, then the root namespace; in the first that has any, the exact host, then the longest
// wildcard. Several of one host in a namespace are merged.
#include "compile/destination_rule.h"
#include "compile/catalog.h"
#include "compile/hosts.h"
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 10 * 1000, IDLE_TIMEOUT_MS = 3600 * 1000 };

static const char root_namespace[] = "istio-system"; // MeshConfig.rootNamespace

struct merged_subset {
    const struct subset *subset;
    const struct object *object;
    struct merged_subset *next;
};
struct merged_rule {
    struct str ns, host;
    const struct object *first;        // named in messages
    const struct object *policy_owner; // whose trafficPolicy counts; NULL: none has one
    struct merged_subset *subsets, **subsets_end;
    struct merged_rule *next_wildcard; // of the namespace, longest suffix first
};
struct policy_index {
    struct map *exact;     // "<ns>|<host>" -> struct merged_rule, wildcards too
    struct map *wildcards; // ns -> first struct merged_rule
    struct map *asked;     // hosts of clusters -> any value
    uint32_t n_rules;
};

static bool is_exported(const struct object *object, const struct texts *export_to,
                        struct str client_ns)
{
    if (export_to->n == 0 || str_equal(object->ns, client_ns))
        return true;
    for (uint32_t i = 0; i < export_to->n; i++) {
        struct str name = text_str(export_to->items[i]);
        if (str_is(name, "*") || str_equal(name, client_ns))
            return true;
    }
    return false;
}

static void add_wildcard(struct policy_index *index, struct merged_rule *rule)
{
    struct merged_rule *head = map_find(index->wildcards, rule->ns);
    struct merged_rule **at = &head;
    while (*at && host_compare_specificity((*at)->host, rule->host) < 0)
        at = &(*at)->next_wildcard;
    rule->next_wildcard = *at;
    *at = rule;
    map_put(index->wildcards, rule->ns, head);
}

static const struct merged_subset *find_subset(const struct merged_rule *rule, struct str name)
{
    for (const struct merged_subset *at = rule->subsets; at; at = at->next) {
        if (str_equal(text_str(at->subset->name), name))
            return at;
    }
    return NULL;
}

static bool has_policy(const struct destination_rule *rule)
{
    return rule->policy.is_set || rule->n_port_policies > 0 || rule->is_broken;
}

static void merge(struct compiler *c, struct merged_rule *rule, const struct object *object)
{
    const struct destination_rule *dr = object->destination_rule;
    if (has_policy(dr)) {
        if (!rule->policy_owner) {
            rule->policy_owner = object;
        } else {
            complain(c, DIAG_DR_DUPLICATE, object, dr->host.line, dr->host.col,
                     STR("spec.trafficPolicy"), "the trafficPolicy of %.*s is set by %.*s",
                     STR_ARG(rule->host),
                     STR_ARG(place_text(c, rule->policy_owner,
                                        rule->policy_owner->destination_rule->host.line,
                                        rule->policy_owner->destination_rule->host.col)));
        }
    }
    for (uint32_t i = 0; i < dr->n_subsets; i++) {
        const struct subset *subset = &dr->subsets[i];
        const struct merged_subset *same = find_subset(rule, text_str(subset->name));
        if (same) {
            complain(c, DIAG_DR_DUPLICATE, object, subset->line, subset->col,
                     path_of(c, "spec.subsets[%u]", i), "subset \"%s\" of %.*s is set by %.*s",
                     subset->name.ptr, STR_ARG(rule->host),
                     STR_ARG(place_text(c, same->object, same->subset->line, same->subset->col)));
            continue;
        }
        struct merged_subset *added = ARENA_NEW(c->scratch, struct merged_subset);
        added->subset = subset;
        added->object = object;
        *rule->subsets_end = added;
        rule->subsets_end = &added->next;
    }
}

struct policy_index *policy_index_create(struct compiler *c)
{
    struct policy_index *index = ARENA_NEW(c->scratch, struct policy_index);
    index->exact = map_create();
    index->wildcards = map_create();
    index->asked = map_create();
    size_t n = 0;
    const struct object *const *objects = store_all(c->store, KIND_DESTINATION_RULE, &n);
    for (size_t i = 0; i < n; i++) {
        const struct object *object = objects[i];
        const struct destination_rule *dr = object->destination_rule;
        if (!is_exported(object, &dr->export_to, c->options->ns)) {
            complain(c, DIAG_NOT_EXPORTED, object, object->name_line, object->name_col,
                     STR("spec.exportTo"),
                     "is not exported to namespace %.*s, where the gateway is",
                     STR_ARG(c->options->ns));
            continue;
        }
        struct str host =
            host_expand(c->scratch, text_str(dr->host), object->ns, c->options->cluster_domain);
        struct str key = JOIN(c->scratch, object->ns, STR("|"), host);
        struct merged_rule *rule = map_find(index->exact, key);
        if (!rule) {
            rule = ARENA_NEW(c->scratch, struct merged_rule);
            *rule = (struct merged_rule){.ns = object->ns, .host = host, .first = object};
            rule->subsets_end = &rule->subsets;
            map_put(index->exact, key, rule);
            if (host_is_wildcard(host))
                add_wildcard(index, rule);
            index->n_rules++;
        }
        merge(c, rule, object);
    }
    return index;
}

void policy_index_destroy(struct policy_index *index)
{
    if (!index)
        return;
    map_destroy(index->exact);
    map_destroy(index->wildcards);
    map_destroy(index->asked);
}

static const struct merged_rule *find_in(struct compiler *c, struct str ns, struct str fqdn)
{
    struct str key = JOIN_BRIEF(c, ns, STR("|"), fqdn);
    const struct merged_rule *rule = map_find(c->policies->exact, key);
    if (rule)
        return rule;
    for (rule = map_find(c->policies->wildcards, ns); rule; rule = rule->next_wildcard) {
        if (host_is_subset(fqdn, rule->host))
            return rule;
    }
    return NULL;
}

static const struct merged_rule *find_rule(struct compiler *c, struct str ns, struct str fqdn)
{
    if (c->policies->n_rules == 0)
        return NULL;
    const struct merged_rule *rule = find_in(c, c->options->ns, fqdn);
    if (!rule)
        rule = find_in(c, ns, fqdn);
    if (!rule)
        rule = find_in(c, str_of(root_namespace), fqdn);
    return rule;
}

void policy_defaults(struct cluster *cluster)
{
    cluster->balancer = BALANCE_LEAST_REQUEST;
    cluster->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    cluster->idle_timeout_ms = IDLE_TIMEOUT_MS;
    cluster->requests_per_connection_max = 0;
}

static enum balancer balancer_of(enum simple_balancer balancer)
{
    switch (balancer) {
    case BALANCER_ROUND_ROBIN:
        return BALANCE_ROUND_ROBIN;
    case BALANCER_RANDOM:
        return BALANCE_RANDOM;
    case BALANCER_UNSPECIFIED:
    case BALANCER_LEAST_REQUEST:
    case BALANCER_PASSTHROUGH:
        break;
    }
    return BALANCE_LEAST_REQUEST;
}

static uint32_t clamp_ms(int64_t ms)
{
    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

// The block in force of each kind; NULL: Istio's defaults.
struct effective {
    const struct traffic_policy *balancer, *pool, *proxy_protocol;
    const struct object *balancer_object;
    struct str balancer_path;
    struct policy_tls tls;
};
struct policy_source { // of the policies that are laid over each other
    struct compiler *c;
    const struct object *object;
    struct str path; // "spec.trafficPolicy"
};

// Blocks that are set replace whole blocks: a connectionPool that gives one field resets the
// others.
static void overlay(struct effective *effective, const struct policy_source *source,
                    const struct traffic_policy *policy, struct str path)
{
    if (policy->has_balancer) {
        effective->balancer = policy;
        effective->balancer_object = source->object;
        effective->balancer_path = path;
    }
    if (policy->has_pool)
        effective->pool = policy;
    if (policy->has_proxy_protocol)
        effective->proxy_protocol = policy;
    if (policy->tls.is_set)
        effective->tls = (struct policy_tls){&policy->tls, source->object,
                                             JOIN(source->c->scratch, path, STR(".tls"))};
}

// portLevelSettings of the port replace the four blocks they may have: what they leave out of them
// is Istio's default again.
static void overlay_port(struct effective *effective, const struct policy_source *source,
                         const struct port_policy *policies, uint32_t n, uint16_t port)
{
    for (uint32_t i = 0; i < n; i++) {
        if (policies[i].port.value != port)
            continue;
        *effective = (struct effective){.proxy_protocol = effective->proxy_protocol};
        overlay(effective, source, &policies[i].policy,
                path_item(source->c, source->path, "portLevelSettings", i));
        return;
    }
}

static struct effective effective_policy(struct compiler *c, struct str ns, struct str fqdn,
                                         struct str subset, uint16_t port)
{
    struct effective effective = {0};
    const struct merged_rule *rule = find_rule(c, ns, fqdn);
    if (rule && rule->policy_owner) {
        const struct destination_rule *dr = rule->policy_owner->destination_rule;
        struct policy_source source = {c, rule->policy_owner, STR("spec.trafficPolicy")};
        if (dr->is_broken)
            effective.tls = (struct policy_tls){NULL, rule->policy_owner, source.path};
        overlay(&effective, &source, &dr->policy, source.path);
        overlay_port(&effective, &source, dr->port_policies, dr->n_port_policies, port);
    }
    const struct merged_subset *found = rule && subset.len > 0 ? find_subset(rule, subset) : NULL;
    if (found) {
        const struct subset *own = found->subset;
        uint32_t index = (uint32_t)(own - found->object->destination_rule->subsets);
        struct policy_source source = {
            c, found->object,
            JOIN(c->scratch, path_item(c, STR("spec"), "subsets", index), STR(".trafficPolicy"))};
        overlay(&effective, &source, &own->policy, source.path);
        overlay_port(&effective, &source, own->port_policies, own->n_port_policies, port);
    }
    return effective;
}

enum { // TCP_KEEPCNT, TCP_KEEPIDLE and TCP_KEEPINTVL: what the kernel takes, and has of itself
    PROBES_MAX = 127,
    PROBE_SECONDS_MAX = 32767,
    KERNEL_PROBES = 9,
    KERNEL_TIME_S = 7200,
    KERNEL_INTERVAL_S = 75
};

static uint32_t probe_seconds(const struct duration *duration, uint32_t fallback)
{
    if (!duration->is_set || duration->ms <= 0)
        return fallback;
    int64_t seconds = (duration->ms - 1) / 1000 + 1;
    return seconds > PROBE_SECONDS_MAX ? PROBE_SECONDS_MAX : (uint32_t)seconds;
}

static struct tcp_keepalive keepalive_of(const struct keepalive_policy *from)
{
    int64_t probes = from->probes.value > 0 ? from->probes.value : KERNEL_PROBES;
    return (struct tcp_keepalive){
        .probes = probes > PROBES_MAX ? PROBES_MAX : (uint32_t)probes,
        .time_s = probe_seconds(&from->time, KERNEL_TIME_S),
        .interval_s = probe_seconds(&from->interval, KERNEL_INTERVAL_S),
    };
}

// A way out may lead through a NAT that forgets idle connections after some minutes, or a peer may
// vanish: found out within a minute and a half, rather than by the next request.
void policy_be_external(struct cluster *cluster)
{
    cluster->is_external = true;
    if (cluster->keepalive.probes == 0)
        cluster->keepalive = (struct tcp_keepalive){.probes = 3, .time_s = 45, .interval_s = 10};
}

static void apply_tcp(struct cluster *cluster, const struct traffic_policy *pool)
{
    enum { ANY_TIME_MS = INT32_MAX }; // 24 days
    if (pool->keepalive.is_set)
        cluster->keepalive = keepalive_of(&pool->keepalive);
    if (pool->max_connection_duration.is_set)
        cluster->max_age_ms = clamp_ms(pool->max_connection_duration.ms);
    const struct duration *idle = &pool->tcp_idle_timeout;
    if (idle->is_set)
        cluster->tcp_idle_timeout_ms =
            idle->ms > 0 && idle->ms < ANY_TIME_MS ? (uint32_t)idle->ms : ANY_TIME_MS;
}

// Zero means unset.
void policy_apply_pool(struct cluster *cluster, const struct traffic_policy *pool)
{
    apply_tcp(cluster, pool);
    if (pool->connect_timeout.is_set && pool->connect_timeout.ms > 0)
        cluster->connect_timeout_ms = clamp_ms(pool->connect_timeout.ms);
    if (pool->idle_timeout.is_set && pool->idle_timeout.ms > 0)
        cluster->idle_timeout_ms = clamp_ms(pool->idle_timeout.ms);
    if (pool->max_requests_per_connection.is_set)
        cluster->requests_per_connection_max = clamp_ms(pool->max_requests_per_connection.value);
    if (pool->max_concurrent_streams.is_set)
        cluster->concurrent_streams_max = (uint32_t)pool->max_concurrent_streams.value;
    if (pool->use_client_protocol.value)
        cluster->protocol = CLUSTER_AS_CLIENT;
    else if (pool->h2_upgrade == H2_UPGRADE_ALWAYS)
        cluster->protocol = CLUSTER_HTTP2;
}

static void apply_balancer(struct compiler *c, const struct effective *effective,
                           struct cluster *cluster)
{
    const struct traffic_policy *policy = effective->balancer;
    cluster->balancer = balancer_of(policy->balancer);
    if (policy->balancer != BALANCER_PASSTHROUGH)
        return;
    if (c->options->is_sidecar)
        cluster->discovery = CLUSTER_ORIGINAL_DST;
    else
        complain(
            c, DIAG_FIELD_NO_EFFECT, effective->balancer_object, policy->balancer_line,
            policy->balancer_col,
            JOIN(c->scratch, effective->balancer_path, STR(".loadBalancer.simple")),
            "PASSTHROUGH goes to the address that the client has dialled, which a gateway does "
            "not know; LEAST_REQUEST is used");
}

struct policy_tls policy_apply(struct compiler *c, struct str ns, struct str fqdn,
                               struct str subset, uint16_t port, struct cluster *cluster)
{
    struct effective effective = effective_policy(c, ns, fqdn, subset, port);
    policy_defaults(cluster);
    if (c->policies->n_rules > 0)
        map_put(c->policies->asked, fqdn, c->policies);
    if (effective.balancer)
        apply_balancer(c, &effective, cluster);
    if (effective.pool)
        policy_apply_pool(cluster, effective.pool);
    if (effective.proxy_protocol)
        cluster->proxy_protocol =
            effective.proxy_protocol->proxy_protocol == PROXY_HEADER_V2 ? 2 : 1;
    return effective.tls;
}

struct policy_tls policy_find_tls(struct compiler *c, struct str ns, struct str fqdn,
                                  struct str subset, uint16_t port)
{
    return effective_policy(c, ns, fqdn, subset, port).tls;
}

bool policy_is_tls(const struct policy_tls *policy)
{
    return policy->object && (!policy->tls || policy->tls->mode != CLIENT_TLS_DISABLE);
}

struct policy_tls policy_tls_elsewhere(struct compiler *c, struct str ns, struct str fqdn,
                                       struct str subset, uint16_t port)
{
    const struct merged_rule *rule = find_rule(c, ns, fqdn);
    struct policy_tls found = {0};
    if (rule && subset.len > 0)
        found = policy_find_tls(c, ns, fqdn, STR_NONE, port);
    for (const struct merged_subset *at = rule ? rule->subsets : NULL; at && !policy_is_tls(&found);
         at = at->next) {
        struct str name = text_str(at->subset->name);
        if (!str_equal(name, subset))
            found = policy_find_tls(c, ns, fqdn, name, port);
    }
    return policy_is_tls(&found) ? found : (struct policy_tls){0};
}

bool policy_changes_bytes(struct compiler *c, struct str ns, struct str fqdn, uint16_t port)
{
    struct effective effective = effective_policy(c, ns, fqdn, STR_NONE, port);
    return effective.proxy_protocol || policy_is_tls(&effective.tls);
}

bool policy_has_subset(struct compiler *c, struct str ns, struct str fqdn, struct str subset)
{
    const struct merged_rule *rule = find_rule(c, ns, fqdn);
    return rule && find_subset(rule, subset);
}

const struct text_map *policy_subset_labels(struct compiler *c, struct str ns, struct str fqdn,
                                            struct str subset)
{
    if (subset.len == 0)
        return NULL;
    const struct merged_rule *rule = find_rule(c, ns, fqdn);
    const struct merged_subset *found = rule ? find_subset(rule, subset) : NULL;
    return found && found->subset->labels.n > 0 ? &found->subset->labels : NULL;
}

struct str policy_nearest_subset(struct compiler *c, struct str ns, struct str fqdn,
                                 struct str subset)
{
    const struct merged_rule *rule = find_rule(c, ns, fqdn);
    size_t n = 0;
    for (const struct merged_subset *at = rule ? rule->subsets : NULL; at; at = at->next)
        n++;
    struct str *names = ARENA_ARRAY(c->scratch, struct str, n + 1);
    n = 0;
    for (const struct merged_subset *at = rule ? rule->subsets : NULL; at; at = at->next)
        names[n++] = text_str(at->subset->name);
    return diag_nearest(subset, names, n);
}

// `outer`: the policy that the ports' stand in.
static void report_drops(struct compiler *c, const struct object *object, struct str path,
                         const struct traffic_policy *outer, const struct port_policy *policies,
                         uint32_t n)
{
    bool is_tls = outer->tls.is_set && outer->tls.mode != CLIENT_TLS_DISABLE;
    for (uint32_t i = 0; is_tls && i < n; i++) {
        if (policies[i].policy.tls.is_set)
            continue;
        struct diag *diag = complain(
            c, DIAG_PORT_DROPS_TLS, object, policies[i].line, policies[i].col,
            path_of(c, "%.*s.trafficPolicy.portLevelSettings[%u]", STR_ARG(path), i),
            "port %d gets plain text: these settings replace the tls of the policy around them",
            (int)policies[i].port.value);
        diag_hint(c->diags, diag,
                  "repeat the tls here, or write tls: {mode: DISABLE} if plain text is meant");
    }
}

static void report_ports(struct compiler *c, const struct object *object, struct str path,
                         const struct port_policy *policies, uint32_t n,
                         const struct catalog_host *host)
{
    if (host->is_service && host->object->service->n_ports == 0) // an ExternalName has any
        return;
    for (uint32_t i = 0; i < n; i++) {
        const struct number *port = &policies[i].port;
        if (!catalog_port_numbered(host, (uint16_t)port->value))
            complain(c, DIAG_DR_UNKNOWN_PORT, object, port->line, port->col,
                     path_of(c, "%.*s.trafficPolicy.portLevelSettings[%u].port.number",
                             STR_ARG(path), i),
                     "%.*s has no TCP port %d", STR_ARG(host->object->title), (int)port->value);
    }
}

static void report_policies(struct compiler *c, const struct merged_rule *rule,
                            const struct catalog_host *host)
{
    if (rule->policy_owner) {
        const struct destination_rule *dr = rule->policy_owner->destination_rule;
        report_ports(c, rule->policy_owner, STR("spec"), dr->port_policies, dr->n_port_policies,
                     host);
        report_drops(c, rule->policy_owner, STR("spec"), &dr->policy, dr->port_policies,
                     dr->n_port_policies);
    }
    for (const struct merged_subset *at = rule->subsets; at; at = at->next) {
        uint32_t index = (uint32_t)(at->subset - at->object->destination_rule->subsets);
        struct str path = path_item(c, STR("spec"), "subsets", index);
        report_ports(c, at->object, path, at->subset->port_policies, at->subset->n_port_policies,
                     host);
        report_drops(c, at->object, path, &at->subset->policy, at->subset->port_policies,
                     at->subset->n_port_policies);
    }
}

static void report_host(struct compiler *c, const struct merged_rule *rule)
{
    const struct text *text = &rule->first->destination_rule->host;
    const struct catalog_host *host = catalog_find(c, rule->host);
    if (!host && host_is_wildcard(rule->host))
        return;
    if (!host) {
        bool may_be_outside = str_index(text_str(*text), '.') >= 0;
        struct diag *diag =
            complain(c, DIAG_DR_UNKNOWN_HOST, rule->first, text->line, text->col, STR("spec.host"),
                     "no Service has the name \"%.*s\"%s", STR_ARG(rule->host),
                     may_be_outside ? ", and no ServiceEntry" : "");
        struct str name, ns, nearest;
        if (host_split_service(rule->host, c->options->cluster_domain, &name, &ns))
            hint_object(c, diag, KIND_SERVICE, ns, name, NULL);
        else if ((nearest = catalog_nearest(c, rule->host)).len > 0)
            diag_hint(c->diags, diag, "did you mean %.*s?", STR_ARG(nearest));
        return;
    }
    struct str host_ns = host->object->ns;
    report_policies(c, rule, host);
    // A rule for clients elsewhere is none of ours, unless somebody here goes to its host.
    if (str_equal(rule->ns, c->options->ns) || str_equal(rule->ns, host_ns) ||
        str_is(rule->ns, root_namespace) || !map_find(c->policies->asked, rule->host))
        return;
    struct str places = c->options->ns;
    if (!str_equal(host_ns, places))
        places = JOIN(c->scratch, places, STR(", "), host_ns);
    if (!str_is(c->options->ns, root_namespace) && !str_is(host_ns, root_namespace))
        places = JOIN(c->scratch, places, STR(", "), str_of(root_namespace));
    complain(c, DIAG_DR_NAMESPACE, rule->first, text->line, text->col, STR("spec.host"),
             "rules for \"%.*s\" are looked for in these namespaces only: %.*s",
             STR_ARG(rule->host), STR_ARG(places));
}

void policy_report(struct compiler *c)
{
    struct str key;
    void *rule = NULL;
    for (size_t i = 0; map_next(c->policies->exact, &i, &key, &rule);)
        report_host(c, rule);
}
