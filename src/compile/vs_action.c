// SPDX-License-Identifier: Apache-2.0
// What a VirtualService's rule does with a request: destinations, redirect, direct response,
// rewrite, headers, timeout.
#include "compile/catalog.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"
#include "compile/virtual_service.h"
#include "compile/way.h"
#include <stdlib.h>

// ---- headers ----

static bool is_authority(struct str name)
{
    return str_equal_nocase(name, STR("host")) || str_is(name, ":authority");
}

// Names are told apart without case, so they are put in order without it.
static int compare_nocase(struct str a, struct str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        unsigned char left = (unsigned char)ascii_lower(a.ptr[i]);
        unsigned char right = (unsigned char)ascii_lower(b.ptr[i]);
        if (left != right)
            return left < right ? -1 : 1;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct text_pair *left = a, *right = b;
    return compare_nocase(text_str(left->key), text_str(right->key));
}

static bool add_value(struct compiler *c, const struct object *object, enum header_op_kind kind,
                      struct str name, const struct text_pair *pair, struct str path,
                      struct header_op *ops, uint32_t *n)
{
    struct format_error error;
    const struct format *value =
        format_parse(c->arena, text_str(pair->value), FORMAT_HEADER_VALUE, &error);
    if (!value) {
        complain(c, DIAG_HEADER_VALUE, object, pair->value.line, pair->value.col,
                 path_of(c, "%.*s[%s]", STR_ARG(path), pair->key.ptr),
                 "header value configuration \"%s\" is invalid at byte %zu: %s", pair->value.ptr,
                 error.offset + 1, error.message);
        return false;
    }
    ops[(*n)++] = (struct header_op){.kind = kind,
                                     .name = arena_str(c->arena, name),
                                     .text = arena_str(c->arena, text_str(pair->value)),
                                     .value = value};
    return true;
}

// What frames a message or holds for one connection alone (RFC 9110, 7.6.1; RFC 9112, 6): written
// by the gateway for each side, never by a route, or the next request would begin at the wrong
// byte.
static bool is_framing(struct str name)
{
    static const char *const names[] = {
        "content-length",   "transfer-encoding", "connection", "keep-alive",
        "proxy-connection", "upgrade",           "te",         "trailer",
        "http2-settings"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_nocase(name, str_of(names[i])))
            return true;
    return false;
}

// Names that an operation cannot change. What the API itself forbids (pseudo headers, a response's
// Host) the model has reported.
static bool has_effect(struct compiler *c, const struct object *object, const struct text *name,
                       bool is_response, struct str path)
{
    struct str text = text_str(*name);
    const char *why = NULL;
    if (text.len == 0 || text.ptr[0] == ':')
        return false;
    if (!is_response && is_authority(text))
        why = "a request cannot go without it";
    else if (is_response && str_equal_nocase(text, STR("server")))
        why = "the gateway always writes its own";
    else if (is_framing(text))
        why = "it frames the message, which the gateway does for each side itself";
    if (why)
        complain(c, DIAG_FIELD_NO_EFFECT, object, name->line, name->col, path,
                 "no effect on header \"%s\": %s", name->ptr, why);
    return !why;
}

static bool add_values(struct compiler *c, const struct object *object, enum header_op_kind kind,
                       const struct text_map *from, bool is_response, struct str path,
                       struct header_op *ops, uint32_t *n)
{
    if (from->n == 0)
        return true;
    struct text_pair *sorted =
        arena_copy(c->scratch, from->items, sizeof *sorted * (size_t)from->n);
    if (from->n > 1)
        qsort(sorted, from->n, sizeof *sorted, compare_pairs);
    for (uint32_t i = 0; i < from->n; i++) {
        struct str name = host_lower(c->arena, text_str(sorted[i].key));
        if (!is_response && is_authority(name)) // apart: see read_ops()
            continue;
        if (!has_effect(c, object, &sorted[i].key, is_response, path))
            continue;
        if (!add_value(c, object, kind, name, &sorted[i], path, ops, n))
            return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct text *left = a, *right = b;
    return compare_nocase(text_str(*left), text_str(*right));
}

// Removals first, so that a name both removed and set is there; then set, then add. `authority`:
// the pair that gives a new one, NULL: none.
static bool read_ops(struct compiler *c, const struct object *object,
                     const struct header_operations *from, const struct text_pair *authority,
                     bool is_response, struct str path, struct header_ops *ret)
{
    uint32_t n = 0, cap = from->remove.n + from->set.n + from->add.n;
    if (cap == 0)
        return true;
    struct header_op *ops = ARENA_ARRAY(c->arena, struct header_op, cap);
    struct text *removed = ARENA_ARRAY(c->scratch, struct text, from->remove.n + 1);
    for (uint32_t i = 0; i < from->remove.n; i++)
        removed[i] = from->remove.items[i];
    qsort(removed, from->remove.n, sizeof *removed, compare_names);
    for (uint32_t i = 0; i < from->remove.n; i++) {
        struct str name = host_lower(c->arena, text_str(removed[i]));
        if (has_effect(c, object, &removed[i], is_response,
                       path_of(c, "%.*s.remove", STR_ARG(path))))
            ops[n++] = (struct header_op){.kind = HEADER_REMOVE, .name = arena_str(c->arena, name)};
    }
    if (authority && !add_value(c, object, HEADER_SET, STR("host"), authority, path, ops, &n))
        return false;
    if (!add_values(c, object, HEADER_SET, &from->set, is_response,
                    path_of(c, "%.*s.set", STR_ARG(path)), ops, &n) ||
        !add_values(c, object, HEADER_ADD, &from->add, is_response,
                    path_of(c, "%.*s.add", STR_ARG(path)), ops, &n))
        return false;
    *ret = (struct header_ops){n, ops};
    return true;
}

// The pair that changes the authority; set beats add. NULL: none.
static const struct text_pair *find_authority(const struct headers *headers)
{
    const struct text_map *maps[] = {&headers->request.set, &headers->request.add};
    for (size_t m = 0; headers->is_set && m < 2; m++) {
        for (uint32_t i = 0; i < maps[m]->n; i++) {
            if (is_authority(text_str(maps[m]->items[i].key)))
                return &maps[m]->items[i];
        }
    }
    return NULL;
}

static bool read_headers(struct compiler *c, const struct object *object,
                         const struct headers *from, bool has_authority, struct str path,
                         struct header_ops *ret_request, struct header_ops *ret_response)
{
    if (!from->is_set)
        return true;
    struct str at = path_of(c, "%.*s.headers", STR_ARG(path));
    return read_ops(c, object, &from->request, has_authority ? NULL : find_authority(from), false,
                    path_of(c, "%.*s.request", STR_ARG(at)), ret_request) &&
           read_ops(c, object, &from->response, NULL, true,
                    path_of(c, "%.*s.response", STR_ARG(at)), ret_response);
}

// The rewrite's authority goes before a header of the rule, that before one of a destination.
static bool rewrites_authority(const struct http_route *rule)
{
    return rule->rewrite.is_set && rule->rewrite.authority.len > 0;
}

// ---- destinations ----

static void report_host(struct compiler *c, const struct object *object,
                        const struct http_destination *destination, struct str fqdn,
                        struct str path)
{
    struct str host = text_str(destination->host), domain = c->options->cluster_domain;
    struct diag *diag =
        complain(c, DIAG_DANGLING_SERVICE, object, destination->host.line, destination->host.col,
                 path_of(c, "%.*s.host", STR_ARG(path)), "no Service has the name \"%.*s\"%s",
                 STR_ARG(fqdn), str_index(host, '.') >= 0 ? ", and no ServiceEntry" : "");
    struct str name, ns;
    if (host_split_service(fqdn, domain, &name, &ns)) {
        hint_object(c, diag, KIND_SERVICE, ns, name, NULL);
        return;
    }
    // "httpbin.default" is not expanded: the commonest mistake with these names.
    struct str whole =
        JOIN(c->scratch, host, str_has_suffix(host, STR(".svc")) ? STR(".") : STR(".svc."), domain);
    struct str nearest = STR_NONE;
    if (service_of_host(c, whole))
        diag_hint(c->diags, diag, "a name with a dot is taken as it is: write %.*s",
                  STR_ARG(whole));
    else if ((nearest = catalog_nearest(c, fqdn)).len > 0)
        diag_hint(c->diags, diag, "did you mean %.*s?", STR_ARG(nearest));
}

static const struct catalog_port *pick_port(const struct catalog_host *host,
                                            const struct http_destination *destination,
                                            uint16_t listener_port)
{
    if (destination->port.is_set)
        return catalog_port_numbered(host, (uint16_t)destination->port.value);
    bool has_one = host->is_service ? host->object->service->n_ports == 1 : host->n_ports == 1;
    return has_one && host->n_ports == 1 ? &host->ports[0]
                                         : catalog_port_numbered(host, listener_port);
}

// "80 (http), 8080", for messages about a port that is not there.
static struct str ports_text(struct compiler *c, const struct catalog_host *host)
{
    struct str text = STR_NONE;
    for (uint32_t i = 0; i < host->n_ports; i++) {
        char number[NUMBER_TEXT_MAX];
        struct str name = host->ports[i].name;
        bool is_named = name.len > 0;
        text = JOIN(c->scratch, text, i > 0 ? STR(", ") : STR_NONE,
                    number_text(host->ports[i].number, number), is_named ? STR(" (") : STR_NONE,
                    name, is_named ? STR(")") : STR_NONE);
    }
    return text;
}

static void report_port(struct compiler *c, const struct object *object,
                        const struct http_destination *destination, unsigned wanted,
                        const struct catalog_host *host, struct str path)
{
    uint32_t line = destination->port.is_set ? destination->port.line : destination->line;
    uint32_t col = destination->port.is_set ? destination->port.col : destination->col;
    struct diag *diag = complain(c, DIAG_DANGLING_PORT, object, line, col,
                                 path_of(c, "%.*s.port.number", STR_ARG(path)),
                                 "%.*s has no TCP port %u", STR_ARG(host->object->title), wanted);
    struct str ports = ports_text(c, host);
    if (ports.len > 0)
        diag_hint(c->diags, diag, "it has %.*s", STR_ARG(ports));
}

static void report_subset(struct compiler *c, const struct object *object,
                          const struct http_destination *destination,
                          const struct catalog_host *host, struct str path)
{
    struct str subset = text_str(destination->subset);
    struct diag *diag = complain(c, DIAG_UNKNOWN_SUBSET, object, destination->subset.line,
                                 destination->subset.col, path_of(c, "%.*s.subset", STR_ARG(path)),
                                 "no DestinationRule for %.*s defines subset \"%.*s\"",
                                 STR_ARG(host->name), STR_ARG(subset));
    struct str nearest = policy_nearest_subset(c, host->object->ns, host->name, subset);
    if (nearest.ptr)
        diag_hint(c->diags, diag, "did you mean \"%.*s\"?", STR_ARG(nearest));
}

const struct cluster *vs_host_cluster(struct compiler *c, const struct object *object,
                                      const struct http_destination *destination,
                                      uint16_t listener_port, struct str path, enum way_kind kind)
{
    struct str fqdn = host_expand(c->scratch, text_str(destination->host), object->ns,
                                  c->options->cluster_domain);
    struct str subset = text_str(destination->subset);
    uint16_t wanted = destination->port.is_set ? (uint16_t)destination->port.value : listener_port;
    char number[NUMBER_TEXT_MAX];
    struct str port_text = number_text(wanted, number);
    const struct catalog_host *host = catalog_find(c, fqdn);
    if (!host) {
        report_host(c, object, destination, fqdn, path);
        // Ingresses and nodePorts see also what is not exported: its cluster must stay theirs.
        struct str name, ns;
        if (host_split_service(fqdn, c->options->cluster_domain, &name, &ns) &&
            store_find(c->store, KIND_SERVICE, ns, name))
            fqdn = JOIN(c->scratch, fqdn, STR(";hidden"));
        return missing_cluster(c, port_text, subset, fqdn);
    }
    host = catalog_narrow(c, host, fqdn);
    const struct catalog_port *port = pick_port(host, destination, listener_port);
    // ExternalName needs no ports of its own.
    struct service_port any = {.port = {.value = wanted, .is_set = true}};
    struct catalog_port own = {.number = wanted, .of_service = &any};
    if (!port && host->is_service && host->object->service->type == SERVICE_EXTERNAL_NAME &&
        host->object->service->n_ports == 0)
        port = &own;
    if (!port) {
        report_port(c, object, destination, wanted, host, path);
        return missing_cluster(c, port_text, subset, fqdn);
    }
    if (subset.len > 0 && !policy_has_subset(c, host->object->ns, host->name, subset)) {
        report_subset(c, object, destination, host, path);
        return missing_cluster(c, port_text, subset, fqdn);
    }
    const struct cluster *cluster = catalog_cluster(c, host, port, subset);
    const struct way way = {object, destination, host, port, cluster, path, kind};
    way_report(c, &way);
    return cluster;
}

const struct cluster *vs_destination_cluster(struct compiler *c, const struct object *object,
                                             const struct http_destination *destination,
                                             uint16_t listener_port, struct str path,
                                             enum way_kind kind)
{
    return vs_host_cluster(c, object, destination, listener_port,
                           JOIN(c->scratch, path, STR(".destination")), kind);
}

static bool read_targets(struct compiler *c, const struct vs_rule *rule, uint16_t port,
                         struct route *route)
{
    const struct http_route *from = rule->rule;
    struct target *targets = ARENA_ARRAY(c->arena, struct target, from->n_route);
    for (uint32_t i = 0; i < from->n_route; i++) {
        const struct http_destination *destination = &from->route[i];
        struct str path = path_item(c, rule->path, "route", i);
        targets[i].cluster =
            vs_destination_cluster(c, rule->object, destination, port, path, WAY_HTTP);
        // A weight means something among several only.
        targets[i].weight = from->n_route == 1 ? 1 : (uint32_t)destination->weight.value;
        route->total_weight += targets[i].weight;
        if (!read_headers(c, rule->object, &destination->headers,
                          rewrites_authority(from) || find_authority(&from->headers), path,
                          &targets[i].request_ops, &targets[i].response_ops))
            return false;
    }
    route->action = ROUTE_FORWARD;
    route->targets = targets;
    route->n_targets = (uint16_t)from->n_route;
    return true;
}

// ---- rewrite, redirect, direct response ----

static bool read_rewrite(struct compiler *c, const struct vs_rule *rule, struct route *route)
{
    const struct http_rewrite *from = &rule->rule->rewrite;
    struct str authority = from->is_set ? text_str(from->authority) : STR_NONE;
    bool has_path = from->is_set && (from->uri.ptr || from->regex_match.ptr);
    if (authority.len == 0 && !has_path)
        return true;
    struct rewrite *rewrite = ARENA_NEW(c->arena, struct rewrite);
    rewrite->authority = arena_str(c->arena, authority);
    route->rewrite = rewrite;
    if (from->is_set && from->uri.ptr) {
        rewrite->kind = REWRITE_PREFIX; // vs_action_fit_path() looks at the condition
        rewrite->text = arena_str(c->arena, text_str(from->uri));
    } else if (from->is_set && from->regex_match.ptr) {
        rewrite->kind = REWRITE_REGEX;
        rewrite->text = arena_str(c->arena, text_str(from->regex_rewrite));
        rewrite->regex =
            vs_regex(c, rule->rewrite_object, &from->regex_match, text_str(from->regex_match),
                     path_of(c, "%.*s.rewrite.uriRegexRewrite.match", STR_ARG(rule->path)));
        return rewrite->regex;
    }
    return true;
}

static bool read_redirect(struct compiler *c, const struct vs_rule *rule, struct route *route)
{
    const struct http_redirect *from = &rule->rule->redirect;
    struct redirect *redirect = ARENA_NEW(c->arena, struct redirect);
    int64_t code = from->code.is_set && from->code.value != 0 ? from->code.value : 301;
    if (code != 301 && code != 302 && code != 303 && code != 307 && code != 308) {
        complain(c, DIAG_REDIRECT_CODE, rule->object, from->code.line, from->code.col,
                 path_of(c, "%.*s.redirect.redirectCode", STR_ARG(rule->path)),
                 "%d is no redirect that a client follows; 301, 302, 303, 307 and 308 are",
                 (int)code);
        return false;
    }
    redirect->code = (uint16_t)code;
    redirect->scheme = arena_str(c->arena, text_str(from->scheme));
    redirect->host = arena_str(c->arena, text_str(from->authority)); // may bring its port along
    if (from->port.is_set && from->port.value != 0)
        redirect->port = (uint16_t)from->port.value;
    else if (from->has_derive_port)
        redirect->port_from_listener = from->derive_port == REDIRECT_PORT_FROM_REQUEST;
    redirect->has_path = from->uri.len > 0;
    redirect->path = arena_str(c->arena, text_str(from->uri));
    redirect->has_prefix_rewrite = from->prefix_rewrite.ptr != NULL;
    redirect->prefix_rewrite = arena_str(c->arena, text_str(from->prefix_rewrite));
    route->action = ROUTE_REDIRECT;
    route->redirect = redirect;
    return true;
}

bool vs_action_build(struct compiler *c, const struct vs_rule *rule, uint16_t port,
                     struct route *route)
{
    const struct http_route *from = rule->rule;
    route->body_bytes_max = c->options->body_bytes_max;
    if (from->timeout.is_set && from->timeout.ms > 0)
        route->timeout_ms = from->timeout.ms > UINT32_MAX ? UINT32_MAX : (uint32_t)from->timeout.ms;
    if (!read_headers(c, rule->headers_object, &from->headers, rewrites_authority(from), rule->path,
                      &route->request_ops, &route->response_ops))
        return false;
    if (from->redirect.is_set)
        return read_redirect(c, rule, route);
    if (from->direct_response.is_set) {
        route->action = ROUTE_RESPOND;
        route->status = (uint16_t)from->direct_response.status.value;
        route->body = arena_str(c->arena, text_str(from->direct_response.body));
        return true;
    }
    return from->n_route > 0 && read_targets(c, rule, port, route) && read_rewrite(c, rule, route);
}

void vs_action_check(struct compiler *c, const struct vs_rule *rule)
{
    const struct http_route *from = rule->rule;
    struct route route = {0};
    read_headers(c, rule->object, &from->headers, rewrites_authority(from), rule->path,
                 &route.request_ops, &route.response_ops);
    if (from->redirect.is_set)
        read_redirect(c, rule, &route);
    for (uint32_t i = 0; i < from->n_route; i++)
        read_headers(c, rule->object, &from->route[i].headers, false,
                     path_item(c, rule->path, "route", i), &route.request_ops, &route.response_ops);
    read_rewrite(c, rule, &route);
}

void vs_action_fit_path(struct compiler *c, struct route *route)
{
    bool replaces_prefix = (route->rewrite && route->rewrite->kind == REWRITE_PREFIX) ||
                           (route->redirect && route->redirect->has_prefix_rewrite);
    if (!replaces_prefix)
        return;
    // Without a condition on the path Istio matches the prefix "/", and that is what is replaced.
    if (route->path_kind == PATH_ANY) {
        route->path_kind = PATH_PREFIX_STRING;
        route->path = STR("/");
    }
    if (route->path_kind != PATH_PREFIX_STRING && route->rewrite) {
        struct rewrite *whole = arena_copy(c->arena, route->rewrite, sizeof *whole);
        whole->kind = REWRITE_FULL;
        route->rewrite = whole;
    }
}
