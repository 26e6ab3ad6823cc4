// SPDX-License-Identifier: Apache-2.0
// The snapshot as an operator reads it. One walk yields the facts; a `struct dump` writes them as
// indented text or as JSON, so both say the same. Slots and times stay out: they differ from run to
// run. Control thread.
#include "route/dump.h"
#include "route/balance.h"
#include "route/match/match_types.h"

// ---- conditions ----

static void dump_path(struct dump *dump, const struct route *route)
{
    static const char *const words[] = {
        [PATH_ANY] = "any",
        [PATH_EXACT] = "exact",
        [PATH_PREFIX_STRING] = "prefix",
        [PATH_PREFIX_SEGMENT] = "segments",
        [PATH_REGEX] = "regex",
    };
    const char *word = words[route->path_kind];
    // The root by segments is kept as an empty text.
    struct str text =
        route->path.len == 0 && route->path_kind == PATH_PREFIX_SEGMENT ? STR("/") : route->path;
    if (route->path_kind == PATH_REGEX && route->path_regex)
        text = regex_pattern(route->path_regex);
    if (dump->is_json) {
        begin_item(dump, "", "kind", str_of(word));
        if (route->path_kind != PATH_ANY)
            put_text(dump, "text", text);
        put_flag_if(dump, "ignore_case", route->path_ignore_case);
        end_item(dump);
        return;
    }
    buf_printf(dump->out, " %s", word);
    if (route->path_kind != PATH_ANY) {
        buf_add_char(dump->out, ' ');
        buf_add_json(dump->out, text);
    }
    if (route->path_ignore_case)
        buf_add_text(dump->out, " (any case)");
}

static void dump_match_json(struct dump *dump, const struct match *match)
{
    static const char *const words[] = {
        [STRING_IS_PRESENT] = "present",
        [STRING_IS_EXACT] = "exact",
        [STRING_IS_PREFIX] = "prefix",
        [STRING_IS_REGEX] = "regex",
    };
    begin_item(dump, "", "on", str_of(match->type->name));
    put_text_if(dump, "name", match->name);
    put_word(dump, "kind", str_of(words[match->value.kind]));
    if (match->value.kind != STRING_IS_PRESENT)
        put_text(dump, "text", match->value.text);
    put_flag_if(dump, "ignore_case", match->value.ignore_case);
    end_item(dump);
}

static void dump_matches(struct dump *dump, const struct route *route)
{
    if (route->n_matches == 0)
        return;
    begin_list(dump, "matches");
    for (uint32_t i = 0; i < route->n_matches; i++) {
        const struct match *match = &route->matches[i];
        if (dump->is_json) {
            dump_match_json(dump, match);
            continue;
        }
        begin_value(dump, "if ");
        buf_add_text(dump->out, match->type->name);
        buf_add_char(dump->out, ' ');
        match->type->dump(match, dump->out);
        end_value(dump);
    }
    end_list(dump);
}

// ---- actions ----

static struct str op_text(const struct header_op *op)
{
    struct str constant;
    if (op->text.len == 0 && op->value && format_is_constant(op->value, &constant))
        return constant;
    return op->text;
}

// `request set "x-a" "1"` each.
static void dump_ops(struct dump *dump, const char *key, const char *word,
                     const struct header_ops *ops)
{
    static const char *const verbs[] = {
        [HEADER_SET] = "set", [HEADER_ADD] = "add", [HEADER_REMOVE] = "remove"};
    if (ops->n == 0)
        return;
    begin_list(dump, key);
    for (uint32_t i = 0; i < ops->n; i++) {
        const struct header_op *op = &ops->ops[i];
        if (dump->is_json) {
            begin_item(dump, "", "op", str_of(verbs[op->kind]));
            put_text(dump, "name", op->name);
            if (op->kind != HEADER_REMOVE)
                put_text(dump, "value", op_text(op));
            end_item(dump);
            continue;
        }
        begin_value(dump, word);
        buf_printf(dump->out, " %s ", verbs[op->kind]);
        buf_add_json(dump->out, op->name);
        if (op->kind != HEADER_REMOVE) {
            buf_add_char(dump->out, ' ');
            buf_add_json(dump->out, op_text(op));
        }
        end_value(dump);
    }
    end_list(dump);
}

static void dump_rewrite(struct dump *dump, const struct rewrite *rewrite)
{
    static const char *const words[] = {
        [REWRITE_NONE] = "none",   [REWRITE_PREFIX] = "prefix",   [REWRITE_FULL] = "path",
        [REWRITE_REGEX] = "regex", [REWRITE_CAPTURE] = "capture",
    };
    if (!rewrite)
        return;
    if (rewrite->kind != REWRITE_NONE) {
        put_word(dump, "rewrite", str_of(words[rewrite->kind]));
        if (rewrite->regex)
            put_text(dump, "rewrite_regex", regex_pattern(rewrite->regex));
        put_text(dump, "rewrite_to", rewrite->text);
        put_flag_if(dump, "rewrite_drops_query", rewrite->drops_query);
    }
    put_text_if(dump, "rewrite_authority", rewrite->authority);
}

static void dump_redirect(struct dump *dump, const struct redirect *redirect)
{
    put_number(dump, "redirect", redirect->code);
    put_text_if(dump, "redirect_scheme", redirect->scheme);
    put_text_if(dump, "redirect_host", redirect->host);
    put_number_if(dump, "redirect_port", redirect->port);
    put_flag_if(dump, "redirect_port_of_listener", redirect->port_from_listener);
    if (redirect->has_path)
        put_text(dump, "redirect_path", redirect->path);
    if (redirect->has_prefix_rewrite)
        put_text(dump, "redirect_prefix", redirect->prefix_rewrite);
    put_flag_if(dump, "redirect_cuts_trailing_slash", redirect->cut_trailing_slash);
    put_flag_if(dump, "redirect_drops_query", redirect->drops_query);
}

void dump_targets(struct dump *dump, const struct target *targets, uint16_t n)
{
    begin_list(dump, "targets");
    for (uint16_t i = 0; i < n; i++) {
        const struct target *target = &targets[i];
        begin_item(dump, "->", "cluster", target->cluster->name);
        if (n > 1)
            put_number(dump, "weight", target->weight);
        dump_ops(dump, "request_headers", "request", &target->request_ops);
        dump_ops(dump, "response_headers", "response", &target->response_ops);
        end_item(dump);
    }
    end_list(dump);
}

static void dump_action(struct dump *dump, const struct route *route)
{
    switch ((enum route_action)route->action) {
    case ROUTE_FORWARD:
        dump_rewrite(dump, route->rewrite);
        break;
    case ROUTE_REDIRECT:
        dump_redirect(dump, route->redirect);
        break;
    case ROUTE_RESPOND:
        put_number(dump, "respond", route->status);
        put_text_if(dump, "body", route->body);
        if (route->log_cluster)
            put_word(dump, "log_cluster", route->log_cluster->name);
        break;
    }
    dump_ops(dump, "request_headers", "request", &route->request_ops);
    dump_ops(dump, "response_headers", "response", &route->response_ops);
    put_number_if(dump, "timeout_ms", route->timeout_ms);
    put_number_if(dump, "body_bytes_max", route->body_bytes_max);
    if (route->action == ROUTE_FORWARD)
        dump_targets(dump, route->targets, route->n_targets);
}

// ---- from listeners down ----

static void begin_route(struct dump *dump, const struct route *route)
{
    if (dump->is_json) {
        begin_value(dump, "");
        buf_add_char(dump->out, '{');
        dump->needs_comma = false;
        put_number(dump, "rank", route->rank);
        buf_add_text(dump->out, ",\"path\":");
        dump->needs_comma = false;
        dump_path(dump, route);
    } else {
        begin_value(dump, "route");
        buf_printf(dump->out, " %u path", route->rank);
        dump_path(dump, route);
        end_value(dump);
    }
    dump->depth++;
}

static void dump_vhost(struct dump *dump, const struct vhost *vhost)
{
    begin_item(dump, "host", "host", vhost->name);
    put_flag_if(dump, "one_label", vhost->is_one_label);
    if (vhost->alias_of)
        put_word(dump, "routes_of", vhost->alias_of->name);
    begin_list(dump, "routes");
    for (uint32_t i = 0; !vhost->alias_of && i < vhost->n_routes; i++) {
        const struct route *route = vhost->routes[i];
        begin_route(dump, route);
        put_word_if(dump, "from", route->origin);
        put_word_if(dump, "name", route->name);
        dump_matches(dump, route);
        dump_action(dump, route);
        end_item(dump);
    }
    end_list(dump);
    end_item(dump);
}

void dump_hosts(struct dump *dump, const struct http_hosts *hosts)
{
    begin_list(dump, "hosts");
    for (uint32_t i = 0; i < hosts->n_vhosts; i++)
        dump_vhost(dump, hosts->vhosts[i]);
    end_list(dump);
}

static const char *const protocol_words[] = {
    [CLUSTER_HTTP1] = "http1",
    [CLUSTER_HTTP2] = "http2",
    [CLUSTER_ALPN] = "alpn",
    [CLUSTER_AS_CLIENT] = "as_client",
};

static const char *const discovery_words[] = {
    [CLUSTER_STATIC] = "static",
    [CLUSTER_ORIGINAL_DST] = "original_destination",
    [CLUSTER_DYNAMIC_DNS] = "dns",
};

static void dump_way_out(struct dump *dump, const struct cluster *cluster)
{
    if (cluster->discovery != CLUSTER_STATIC)
        put_word(dump, "discovery", str_of(discovery_words[cluster->discovery]));
    put_text_if(dump, "dns_name", cluster->dns_name);
    put_number_if(dump, "dns_port", cluster->dns_port);
    dump_subnets(dump, "dialled", "dialled", cluster->dialled, cluster->n_dialled);
    put_flag_if(dump, "external", cluster->is_external);
    put_number_if(dump, "max_age_ms", cluster->max_age_ms);
    put_number_if(dump, "tcp_idle_timeout_ms", cluster->tcp_idle_timeout_ms);
    put_number_if(dump, "keepalive_probes", cluster->keepalive.probes);
    put_number_if(dump, "keepalive_time_s", cluster->keepalive.time_s);
    put_number_if(dump, "keepalive_interval_s", cluster->keepalive.interval_s);
}

static void dump_endpoints(struct dump *dump, const struct cluster *cluster)
{
    begin_list(dump, "endpoints");
    for (uint32_t i = 0; i < cluster->n_endpoints + cluster->n_retiring; i++) {
        begin_item(dump, "endpoint", "address", cluster->endpoints[i].text);
        if (i >= cluster->n_endpoints)
            put_flag_if(dump, "retiring", true);
        else if (cluster->has_weights)
            put_number(dump, "weight", cluster->endpoints[i].weight);
        end_item(dump);
    }
    end_list(dump);
}

static void dump_cluster(struct dump *dump, const struct cluster *cluster)
{
    begin_item(dump, "cluster", "name", cluster->name);
    put_word(dump, "balancer", str_of(balancer_name(cluster->balancer)));
    if (cluster->protocol != CLUSTER_HTTP1)
        put_word(dump, "protocol", str_of(protocol_words[cluster->protocol]));
    put_flag_if(dump, "tls", cluster->tls != NULL);
    put_number_if(dump, "proxy_protocol", cluster->proxy_protocol);
    put_flag_if(dump, "missing", cluster->is_missing);
    put_flag_if(dump, "protocol_not_served", cluster->is_unserved_protocol);
    put_number_if(dump, "connect_timeout_ms", cluster->connect_timeout_ms);
    put_number_if(dump, "idle_timeout_ms", cluster->idle_timeout_ms);
    put_number_if(dump, "requests_per_connection_max", cluster->requests_per_connection_max);
    put_number_if(dump, "concurrent_streams_max", cluster->concurrent_streams_max);
    dump_way_out(dump, cluster);
    dump_endpoints(dump, cluster);
    end_item(dump);
}

static void dump_snapshot(struct dump *dump, const struct snapshot *snapshot)
{
    begin_list(dump, "listeners");
    for (uint32_t i = 0; i < snapshot->n_listeners; i++)
        dump_listener(dump, &snapshot->listeners[i]);
    end_list(dump);
    begin_list(dump, "clusters");
    for (uint32_t i = 0; i < snapshot->n_clusters; i++)
        dump_cluster(dump, snapshot->clusters[i]);
    end_list(dump);
}

void snapshot_dump(const struct snapshot *snapshot, struct buf *out)
{
    struct dump dump = {.out = out};
    dump_snapshot(&dump, snapshot);
}

void snapshot_dump_json(const struct snapshot *snapshot, struct buf *out)
{
    struct dump dump = {.out = out, .is_json = true};
    buf_add_char(out, '{');
    dump_snapshot(&dump, snapshot);
    buf_add_text(out, "}\n");
}
