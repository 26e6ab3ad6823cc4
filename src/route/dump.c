// SPDX-License-Identifier: Apache-2.0
// The snapshot as an operator reads it. One walk yields the facts; a `struct dump` writes them as
// indented text or as JSON, so both say the same. Slots and times stay out: they differ from run to
// run. Control thread.
#include "base/check.h"
#include "route/balance.h"
#include "route/match/match_types.h"

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

static void dump_targets(struct dump *dump, const struct route *route)
{
    begin_list(dump, "targets");
    for (uint32_t i = 0; i < route->n_targets; i++) {
        const struct target *target = &route->targets[i];
        begin_item(dump, "->", "cluster", target->cluster->name);
        if (route->n_targets > 1)
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
        dump_targets(dump, route);
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

static void dump_listener(struct dump *dump, const struct listener *listener)
{
    begin_item(dump, "listener", "name", listener->name);
    put_number(dump, "port", listener->port);
    put_word_if(dump, "from", listener->origin);
    if (listener->kind == LISTENER_TCP) {
        if (listener->cluster)
            put_word(dump, dump->is_json ? "cluster" : "->", listener->cluster->name);
    } else {
        begin_list(dump, "hosts");
        for (uint32_t i = 0; i < listener->n_vhosts; i++)
            dump_vhost(dump, listener->vhosts[i]);
        end_list(dump);
    }
    end_item(dump);
}

static void dump_cluster(struct dump *dump, const struct cluster *cluster)
{
    begin_item(dump, "cluster", "name", cluster->name);
    put_word(dump, "balancer", str_of(balancer_name(cluster->balancer)));
    put_flag_if(dump, "missing", cluster->is_missing);
    put_flag_if(dump, "protocol_not_served", cluster->is_unserved_protocol);
    put_number_if(dump, "connect_timeout_ms", cluster->connect_timeout_ms);
    put_number_if(dump, "idle_timeout_ms", cluster->idle_timeout_ms);
    put_number_if(dump, "requests_per_connection_max", cluster->requests_per_connection_max);
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
