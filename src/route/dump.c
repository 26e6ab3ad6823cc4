// SPDX-License-Identifier: Apache-2.0
// The snapshot as an operator reads it. One walk yields the facts; a `struct dump` writes them as
// indented text or as JSON, so both say the same. Slots and times stay out: they differ from run to
// run. Control thread.
#include "base/check.h"
#include "base/map.h"
#include "route/balance.h"
#include "route/match/match_types.h"
#include "tls/tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct dump {
    struct buf *out;
    bool is_json;
    bool needs_comma; // JSON: something stands in front on this level
    unsigned depth;   // text: of indentation
};

// ---- writing ----

static void begin_value(struct dump *dump, const char *key)
{
    if (!dump->is_json) {
        for (unsigned i = 0; i < dump->depth; i++)
            buf_add_text(dump->out, "  ");
        buf_add_text(dump->out, key);
        return;
    }
    if (dump->needs_comma)
        buf_add_char(dump->out, ',');
    dump->needs_comma = true;
    if (key[0]) {
        buf_add_json(dump->out, str_of(key));
        buf_add_char(dump->out, ':');
    }
}

static void end_value(struct dump *dump)
{
    if (!dump->is_json)
        buf_add_char(dump->out, '\n');
}

// A list of items exists in JSON only; in text the items follow each other.
static void begin_list(struct dump *dump, const char *key)
{
    if (!dump->is_json)
        return;
    begin_value(dump, key);
    buf_add_char(dump->out, '[');
    dump->needs_comma = false;
}

static void end_list(struct dump *dump)
{
    if (!dump->is_json)
        return;
    buf_add_char(dump->out, ']');
    dump->needs_comma = true;
}

// An object. Text: a line `word label`, with what is in it indented below.
static void begin_item(struct dump *dump, const char *word, const char *label_key, struct str label)
{
    begin_value(dump, dump->is_json ? "" : word);
    if (dump->is_json) {
        buf_add_char(dump->out, '{');
        dump->needs_comma = false;
        begin_value(dump, label_key);
        buf_add_json(dump->out, label);
    } else {
        buf_add_char(dump->out, ' ');
        buf_add_str(dump->out, label);
        end_value(dump);
    }
    dump->depth++;
}

static void end_item(struct dump *dump)
{
    dump->depth--;
    if (dump->is_json)
        buf_add_char(dump->out, '}');
    dump->needs_comma = true;
}

// A word of ours, or a name that needs no quotes to be read.
static void put_word(struct dump *dump, const char *key, struct str word)
{
    begin_value(dump, key);
    if (dump->is_json) {
        buf_add_json(dump->out, word);
    } else {
        buf_add_char(dump->out, ' ');
        buf_add_str(dump->out, word);
    }
    end_value(dump);
}

// What a user wrote: in quotes, whatever is in it.
static void put_text(struct dump *dump, const char *key, struct str text)
{
    begin_value(dump, key);
    if (!dump->is_json)
        buf_add_char(dump->out, ' ');
    buf_add_json(dump->out, text);
    end_value(dump);
}

static void put_word_if(struct dump *dump, const char *key, struct str word)
{
    if (word.len)
        put_word(dump, key, word);
}

static void put_text_if(struct dump *dump, const char *key, struct str text)
{
    if (text.len)
        put_text(dump, key, text);
}

static void put_number(struct dump *dump, const char *key, uint64_t number)
{
    begin_value(dump, key);
    buf_printf(dump->out, dump->is_json ? "%llu" : " %llu", (unsigned long long)number);
    end_value(dump);
}

static void put_number_if(struct dump *dump, const char *key, uint64_t number)
{
    if (number)
        put_number(dump, key, number);
}

static void put_flag_if(struct dump *dump, const char *key, bool flag)
{
    if (!flag)
        return;
    begin_value(dump, key);
    if (dump->is_json)
        buf_add_text(dump->out, "true");
    end_value(dump);
}

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

static void dump_targets(struct dump *dump, const struct target *targets, uint16_t n)
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
    begin_list(dump, "routes");
    for (uint32_t i = 0; i < vhost->n_routes; i++) {
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

static void dump_hosts(struct dump *dump, const struct http_hosts *hosts)
{
    begin_list(dump, "hosts");
    for (uint32_t i = 0; i < hosts->n_vhosts; i++)
        dump_vhost(dump, hosts->vhosts[i]);
    end_list(dump);
}

static void dump_destinations(struct dump *dump, const struct tcp_route *route)
{
    if (route->n_destinations == 0)
        return;
    begin_list(dump, "destinations");
    for (uint16_t i = 0; i < route->n_destinations; i++) {
        char ip[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX + 8];
        size_t len = address_format_ip(&route->destinations[i].base, ip);
        int n = snprintf(text, sizeof(text), "%.*s/%u", (int)len, ip,
                         (unsigned)route->destinations[i].bits);
        put_word(dump, dump->is_json ? "" : "to", (struct str){text, (size_t)n});
    }
    end_list(dump);
}

static void dump_tcp_routes(struct dump *dump, const struct tcp_routes *routes)
{
    begin_list(dump, "tcp_routes");
    for (uint32_t i = 0; i < routes->n; i++) {
        const struct tcp_route *route = &routes->items[i];
        begin_value(dump, dump->is_json ? "" : "tcp");
        if (dump->is_json) {
            buf_add_char(dump->out, '{');
            dump->needs_comma = false;
            put_number(dump, "rank", i);
        } else {
            buf_printf(dump->out, " %u", (unsigned)i);
            end_value(dump);
        }
        dump->depth++;
        put_word_if(dump, "from", route->origin);
        put_word_if(dump, "name", route->name);
        dump_destinations(dump, route);
        dump_targets(dump, route->targets, route->n_targets);
        end_item(dump);
    }
    end_list(dump);
}

// A TLS listener's names, by the chain that they lead to.
struct chain_names {
    struct map *first; // chain -> its first name
    uint32_t *next;    // by name: the chain's next, UINT32_MAX: none
    struct map *hosts; // tables written already -> name of the chain
};

static struct str pointer_key(const void *const *pointer)
{
    return (struct str){(const char *)pointer, sizeof(*pointer)};
}

static void dump_chain_names(struct dump *dump, const struct listener *listener,
                             const struct chain_names *names, uint32_t first)
{
    begin_list(dump, "names");
    for (uint32_t i = first; i != UINT32_MAX; i = names->next[i]) {
        const struct vhost *name = listener->sni_names[i];
        if (dump->is_json)
            begin_item(dump, "", "name", name->name);
        else
            put_word(dump, name->is_one_label ? "sni (one label)" : "sni", name->name);
        if (dump->is_json) {
            put_flag_if(dump, "one_label", name->is_one_label);
            end_item(dump);
        }
    }
    end_list(dump);
}

static void dump_chain_hosts(struct dump *dump, const struct filter_chain *chain,
                             struct chain_names *names)
{
    const struct filter_chain *same =
        map_find(names->hosts, pointer_key((const void *const *)&chain->hosts));
    if (same) {
        put_word(dump, "hosts_of_chain", same->name);
        return;
    }
    map_put(names->hosts, pointer_key((const void *const *)&chain->hosts),
            (void *)(uintptr_t)chain);
    dump_hosts(dump, chain->hosts);
}

static const char *const client_auth_words[] = {
    [TLS_CLIENT_NONE] = "none",
    [TLS_CLIENT_OPTIONAL] = "optional",
    [TLS_CLIENT_OPTIONAL_NO_CA] = "optional_no_ca",
    [TLS_CLIENT_REQUIRED] = "required",
};

static void put_day(struct dump *dump, const char *key, int64_t seconds)
{
    struct tm tm;
    time_t time = (time_t)seconds;
    char text[32];
    size_t len = gmtime_r(&time, &tm) ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) : 0;
    put_word(dump, key, (struct str){text, len});
}

static void dump_certificates(struct dump *dump, const struct filter_chain *chain)
{
    if (chain->n_certificates == 0)
        return;
    begin_list(dump, "certificates");
    for (uint16_t i = 0; i < chain->n_certificates; i++) {
        const struct certificate *certificate = &chain->certificates[i];
        begin_item(dump, "certificate", "source", certificate->source);
        put_text(dump, "subject", certificate->subject);
        put_word(dump, "key", certificate->key_type);
        if (certificate->not_after_s) {
            put_day(dump, "not_before", certificate->not_before_s);
            put_day(dump, "not_after", certificate->not_after_s);
        }
        end_item(dump);
    }
    end_list(dump);
}

static void dump_chain(struct dump *dump, const struct listener *listener,
                       struct chain_names *names, uint32_t first)
{
    const struct filter_chain *chain = listener->sni_names[first]->chain;
    begin_item(dump, "chain", "name", chain->name);
    put_word_if(dump, "from", chain->origin);
    dump_chain_names(dump, listener, names, first);
    bool is_tcp = !chain->is_http && chain->tcp.n > 0;
    put_flag_if(dump, "tls_passes_through", !chain->tls && is_tcp);
    put_flag_if(dump, "closes", !chain->is_http && !is_tcp);
    dump_certificates(dump, chain);
    if (chain->client_auth != TLS_CLIENT_NONE)
        put_word(dump, "client_certificate", str_of(client_auth_words[chain->client_auth]));
    put_flag_if(dump, "strict_host", chain->is_strict);
    put_flag_if(dump, "client_cert_to_upstream", chain->client_cert_forward == CLIENT_CERT_SET);
    put_flag_if(dump, "ssl_client_headers", chain->passes_ingress_cert);
    put_flag_if(dump, "ssl_client_cert_header", chain->client_cert_pem);
    if (chain->is_http)
        dump_chain_hosts(dump, chain, names);
    else
        dump_tcp_routes(dump, &chain->tcp);
    end_item(dump);
}

// Chains stand in the order of their first names.
static void dump_chains(struct dump *dump, const struct listener *listener)
{
    uint32_t n = listener->n_sni_names;
    struct chain_names names = {
        .first = map_create(), .next = malloc((n + 1) * sizeof(uint32_t)), .hosts = map_create()};
    CHECK(names.next);
    for (uint32_t i = n; i-- > 0;) {
        struct str key = pointer_key((const void *const *)&listener->sni_names[i]->chain);
        const struct vhost *const *after = map_find(names.first, key);
        names.next[i] = after ? (uint32_t)(after - listener->sni_names) : UINT32_MAX;
        map_put(names.first, key, (void *)(uintptr_t)&listener->sni_names[i]);
    }
    begin_list(dump, "chains");
    for (uint32_t i = 0; i < n; i++) {
        struct str key = pointer_key((const void *const *)&listener->sni_names[i]->chain);
        if (map_find(names.first, key) == &listener->sni_names[i])
            dump_chain(dump, listener, &names, i);
    }
    end_list(dump);
    map_destroy(names.first);
    map_destroy(names.hosts);
    free(names.next);
}

static void dump_listener(struct dump *dump, const struct listener *listener)
{
    begin_item(dump, "listener", "name", listener->name);
    put_number(dump, "port", listener->port);
    put_word_if(dump, "from", listener->origin);
    put_flag_if(dump, "accepts_proxy_protocol", listener->accepts_proxy);
    switch (listener->kind) {
    case LISTENER_HTTP:
        dump_hosts(dump, &listener->hosts);
        break;
    case LISTENER_TCP:
        dump_tcp_routes(dump, &listener->tcp);
        break;
    case LISTENER_OUTBOUND:
    case LISTENER_INBOUND:
        break;
    case LISTENER_TLS:
        dump_chains(dump, listener);
        break;
    }
    end_item(dump);
}

static const char *const protocol_words[] = {
    [CLUSTER_HTTP1] = "http1",
    [CLUSTER_HTTP2] = "http2",
    [CLUSTER_ALPN] = "alpn",
    [CLUSTER_AS_CLIENT] = "as_client",
};

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
    begin_list(dump, "endpoints");
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        begin_item(dump, "endpoint", "address", cluster->endpoints[i].text);
        if (cluster->has_weights)
            put_number(dump, "weight", cluster->endpoints[i].weight);
        end_item(dump);
    }
    end_list(dump);
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
