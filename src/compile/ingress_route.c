// SPDX-License-Identifier: Apache-2.0
// The paths of one host -> routes in the order to try them: longest path first, Exact before Prefix
// at equal length. When one path of the host is a regular expression or is rewritten, all are
// expressions without case, tried longest first (ingress-nginx's way, for the whole host).
#include "compile/broken.h"
#include "compile/hosts.h"
#include "compile/ingress.h"
#include <stdlib.h>

enum { REGEX_MESSAGE_MAX = 160, HTTPS_PORT = 443 };

static const char acme_path[] = "/.well-known/acme-challenge";

struct emission { // of one host
    struct compiler *c;
    struct ingress_host *host;
    const struct ingress_vhosts *plain, *secure;
    struct header_ops secure_ops; // strict-transport-security
    bool has_acme;                // the way past the redirect to https is there
};

static void add_plain(const struct emission *e, const struct route *route)
{
    for (size_t i = 0; i < e->plain->n; i++)
        builder_add_route(e->plain->items[i], route);
}

static void add_secure(const struct emission *e, const struct route *route)
{
    for (size_t i = 0; i < e->secure->n; i++)
        builder_add_route(e->secure->items[i], route)->response_ops = e->secure_ops;
}

static void add_route(const struct emission *e, const struct route *route)
{
    add_plain(e, route);
    add_secure(e, route);
}

// ---- conditions ----

static bool is_literal(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (memchr(".^$*+?()[]{}|\\", path.ptr[i], 14))
            return false;
    }
    return true;
}

static const struct regex *compile_regex(struct compiler *c, const struct ingress_item *item,
                                         struct str pattern)
{
    char message[REGEX_MESSAGE_MAX];
    size_t offset = 0;
    const struct regex *regex =
        builder_regex(c->builder, pattern, REGEX_IGNORE_CASE, message, sizeof message, &offset);
    if (!regex)
        complain(c, DIAG_REGEX_INVALID, item->ingress->object, item->path->path.line,
                 item->path->path.col, ingress_item_field(c, item, "path"), "\"%.*s\": %s",
                 STR_ARG(item->text), message);
    return regex;
}

bool ingress_regex_check(struct compiler *c, const struct ingress_item *item)
{
    return is_literal(item->text) ||
           compile_regex(c, item, JOIN(c->scratch, STR("^"), item->text)) != NULL;
}

// What an expression that does not compile begins with: it takes more than the expression would,
// never less, so that its requests do not fall to a shorter path.
static struct str literal_beginning(struct str text)
{
    static const char special[] = ".^$*+?()[]{}|\\";
    size_t n = 0;
    if (str_index(text, '|') >= 0)
        return STR_NONE;
    while (n < text.len && !memchr(special, text.ptr[n], sizeof special - 1))
        n++;
    if (n > 0 && n < text.len && memchr("*?{", text.ptr[n], 3))
        n--; // may be there no time at all
    return str_upto(text, n);
}

// false: the path cannot be used; the route stands for what it may have taken.
static bool set_path(const struct emission *e, const struct ingress_item *item, struct route *route)
{
    struct compiler *c = e->c;
    route->path_kind = PATH_ANY;
    if (!item->path)
        return true;
    if (!e->host->regex_item) {
        if (item->text.len == 0) // "/" takes everything
            return true;
        route->path_kind = item->is_exact ? PATH_EXACT : PATH_PREFIX_SEGMENT;
        route->path = arena_str(c->arena, item->text);
        return true;
    }
    if (str_is(item->text, "/"))
        return true;
    if (is_literal(item->text)) { // as the expression, and cheaper
        route->path_kind = PATH_PREFIX_STRING;
        route->path_ignore_case = true;
        route->path = arena_str(c->arena, item->text);
        return true;
    }
    route->path_kind = PATH_REGEX;
    route->path = JOIN(c->arena, STR("^"), item->text);
    route->path_regex = compile_regex(c, item, route->path);
    if (route->path_regex)
        return true;
    route->path = arena_str(c->arena, literal_beginning(item->text));
    route->path_kind = route->path.len > 0 ? PATH_PREFIX_STRING : PATH_ANY;
    route->path_ignore_case = true;
    return false;
}

// ---- actions ----

// The target without groups, since a literal path has none.
static struct str without_groups(struct arena *arena, struct str target)
{
    char *text = arena_alloc(arena, target.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] == '$')
            i++; // the digit; ingress_annotations.c lets nothing else through
        else
            text[len++] = target.ptr[i];
    }
    text[len] = 0;
    return (struct str){text, len};
}

bool ingress_is_rewritten(const struct ingress_item *item)
{
    const struct ingress_settings *settings = &item->ingress->settings;
    return item->path && settings->rewrite_target.len > 0 &&
           !str_equal(settings->rewrite_target, text_str(item->path->path));
}

static void set_rewrite(struct compiler *c, const struct ingress_item *item, struct route *route)
{
    const struct ingress_settings *settings = &item->ingress->settings;
    bool rewrites = ingress_is_rewritten(item);
    if (!rewrites && settings->upstream_vhost.len == 0)
        return;
    struct rewrite *rewrite = ARENA_NEW(c->arena, struct rewrite);
    rewrite->authority = arena_str(c->arena, settings->upstream_vhost);
    route->rewrite = rewrite;
    if (!rewrites)
        return;
    struct str target = settings->rewrite_target;
    // nginx: a `?` in the target drops the request's query; one at its end does only that.
    rewrite->drops_query = str_index(target, '?') >= 0;
    if (str_has_suffix(target, STR("?")))
        target.len--;
    bool has_groups = route->path_kind == PATH_REGEX && str_index(target, '$') >= 0;
    rewrite->kind = has_groups ? REWRITE_CAPTURE : REWRITE_FULL;
    rewrite->text = has_groups ? arena_str(c->arena, target) : without_groups(c->arena, target);
    if (rewrite->text.len == 0)
        rewrite->text = STR("/");
    if (settings->forwarded_prefix.len == 0)
        return;
    struct str value = settings->forwarded_prefix;
    struct buf escaped = {0}; // a literal percent is %% in a format
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '%')
            buf_add_char(&escaped, '%');
        buf_add_char(&escaped, value.ptr[i]);
    }
    struct format_error error;
    struct header_op *op = ARENA_NEW(c->arena, struct header_op);
    *op = (struct header_op){
        .kind = HEADER_SET,
        .name = STR("x-forwarded-prefix"),
        .text = arena_str(c->arena, buf_str(&escaped)),
        .value = format_parse(c->arena, buf_str(&escaped), FORMAT_HEADER_VALUE, &error)};
    buf_fini(&escaped);
    if (op->value)
        route->request_ops = (struct header_ops){1, op};
}

static const struct target *one_target(struct compiler *c, const struct ingress_item *item,
                                       bool is_secure)
{
    struct target *target = ARENA_NEW(c->scratch, struct target); // sealing copies it
    target->cluster = ingress_cluster(c, item, ingress_protocol(item, is_secure));
    target->weight = 1;
    return target;
}

static void set_forward(struct compiler *c, const struct ingress_item *item, bool is_secure,
                        struct route *route)
{
    route->action = ROUTE_FORWARD;
    route->is_ingress = true;
    route->targets = one_target(c, item, is_secure);
    route->n_targets = 1;
    route->total_weight = 1;
    route->body_bytes_max = item->ingress->settings.body_bytes_max;
    set_rewrite(c, item, route);
}

// A URL as given (ingress_annotations.c has looked at its form): nothing of the request is added
// but what $scheme, $host and $request_uri ask for.
static void set_url_redirect(struct compiler *c, struct str url, uint16_t code, struct route *route)
{
    struct redirect *redirect = ARENA_NEW(c->arena, struct redirect);
    redirect->code = code;
    size_t colon = (size_t)str_index(url, ':');
    if (url.ptr[0] != '$')
        redirect->scheme = host_lower(c->arena, arena_str(c->arena, str_upto(url, colon)));
    struct str rest = str_from(url, colon + 3), host = rest;
    bool keeps_uri = str_has_suffix(rest, STR("$request_uri"));
    if (keeps_uri)
        rest.len -= strlen("$request_uri");
    for (size_t i = 0; i <= rest.len; i++) {
        if (i == rest.len || rest.ptr[i] == '/' || rest.ptr[i] == '?' || rest.ptr[i] == '#') {
            host = str_upto(rest, i);
            break;
        }
    }
    struct str path = str_from(rest, host.len);
    if (!str_is(host, "$host"))
        redirect->host = arena_str(c->arena, host);
    redirect->has_path = !keeps_uri;
    redirect->drops_query = !keeps_uri;
    redirect->path = path.len > 0 && path.ptr[0] == '/' ? arena_str(c->arena, path)
                                                        : JOIN(c->arena, STR("/"), path);
    route->action = ROUTE_REDIRECT;
    route->redirect = redirect;
}

static void set_https_redirect(struct compiler *c, const struct ingress_settings *settings,
                               struct route *route)
{
    struct redirect *redirect = ARENA_NEW(c->arena, struct redirect);
    redirect->code = 308;
    redirect->scheme = STR("https");
    redirect->port = HTTPS_PORT; // drops the port of the Host header
    redirect->cut_trailing_slash = !settings->preserve_trailing_slash;
    route->action = ROUTE_REDIRECT;
    route->redirect = redirect;
}

// What is below the ACME path is answered without TLS, so that a certificate can be had: where a
// redirecting route would take such a request, a forwarding one goes before it.
static void add_acme_route(struct emission *e, const struct ingress_item *item,
                           const struct route *redirecting)
{
    struct compiler *c = e->c;
    struct route route = *redirecting;
    struct str acme = str_of(acme_path);
    route.redirect = NULL;
    if (route.path_kind == PATH_REGEX) {
        if (!regex_finds(route.path_regex, STR("/.well-known/acme-challenge/x")))
            return;
        route.path =
            JOIN(c->arena, STR("^(?=/\\.well-known/acme-challenge)(?:"), item->text, STR(")"));
        route.path_regex = compile_regex(c, item, route.path);
        if (!route.path_regex)
            return;
    } else {
        struct str path = route.path_kind == PATH_ANY ? STR_NONE : route.path;
        struct str head = str_upto(acme, path.len);
        bool is_above =
            route.path_kind != PATH_EXACT &&
            (route.path_ignore_case ? str_equal_nocase(head, path) : str_equal(head, path));
        if (route.path_kind == PATH_PREFIX_SEGMENT && is_above && path.len < acme.len)
            is_above = acme.ptr[path.len] == '/';
        if (!is_above || e->has_acme)
            return;
        e->has_acme = true;
        route.path_kind = PATH_PREFIX_STRING;
        route.path_ignore_case = false;
        route.path = acme;
    }
    set_forward(c, item, false, &route);
    add_plain(e, &route);
}

static bool is_broken(const struct ingress_item *item)
{
    return item->path && item->path->is_invalid;
}

static void set_broken(struct compiler *c, const struct ingress_item *item, struct route *route)
{
    complain(c, DIAG_ROUTE_INVALID, item->ingress->object, item->path->line, item->path->col,
             path_of(c, "spec.rules[%u].http.paths[%u]", item->rule_index, item->path_index),
             "is broken, so the requests it matches are answered 503");
    answer_broken(c, route);
}

// Whether plain HTTP is sent to https. So it is where clients must show a certificate, which they
// cannot over plain HTTP.
static bool needs_https(const struct emission *e, const struct ingress_settings *settings,
                        bool is_acme)
{
    const struct ingress_entry *client_auth = e->host->client_auth;
    if (client_auth && client_auth->settings.client_auth == TLS_CLIENT_REQUIRED)
        return true;
    return !is_acme &&
           (settings->force_ssl_redirect || (settings->ssl_redirect && e->host->has_certificate));
}

static void emit_item(struct emission *e, const struct ingress_item *item)
{
    struct compiler *c = e->c;
    const struct ingress_settings *settings = &item->ingress->settings;
    struct route route = {0};
    bool is_usable = set_path(e, item, &route);
    uint32_t line = item->path ? item->path->line : item->backend->line;
    uint32_t col = item->path ? item->path->col : item->backend->col;
    route.origin = origin_of(c, item->ingress->object, line, col);
    bool is_acme = item->path && str_has_prefix(item->text, str_of(acme_path));
    if (!is_usable || is_broken(item)) {
        set_broken(c, item, &route);
    } else if (settings->is_denied || e->host->is_forbidden) {
        route.action = ROUTE_RESPOND;
        route.status = settings->is_denied ? 503 : 403;
    } else if (settings->temporal_redirect.len > 0) {
        set_url_redirect(c, settings->temporal_redirect, settings->temporal_code, &route);
    } else if (settings->permanent_redirect.len > 0) {
        set_url_redirect(c, settings->permanent_redirect, settings->permanent_code, &route);
    } else if (!needs_https(e, settings, is_acme)) {
        set_forward(c, item, false, &route);
        add_plain(e, &route);
        if (settings->protocol == UPSTREAM_AUTO && e->secure->n > 0)
            set_forward(c, item, true, &route);
        add_secure(e, &route);
        return;
    } else {
        struct route forwarding = route;
        set_forward(c, item, true, &forwarding); // says what is wrong with it, used or not
        add_secure(e, &forwarding);
        set_https_redirect(c, settings, &route);
        if (!e->host->client_auth)
            add_acme_route(e, item, &route);
        add_plain(e, &route);
        return;
    }
    add_route(e, &route);
}

// ---- order ----

// Of two with the same text a sound one goes first, then the older.
static int compare_claims(const struct ingress_item *left, const struct ingress_item *right)
{
    if (is_broken(left) != is_broken(right))
        return is_broken(left) ? 1 : -1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static int compare_items(const void *a, const void *b)
{
    const struct ingress_item *left = a, *right = b;
    if (left->text.len != right->text.len)
        return left->text.len > right->text.len ? -1 : 1;
    int order = str_compare(left->text, right->text);
    if (order != 0)
        return order;
    if (left->is_exact != right->is_exact)
        return left->is_exact ? -1 : 1;
    return compare_claims(left, right);
}

static int compare_regex_items(const void *a, const void *b)
{
    const struct ingress_item *left = a, *right = b;
    if (left->text.len != right->text.len)
        return left->text.len > right->text.len ? -1 : 1;
    int order = str_compare(right->text, left->text);
    return order != 0 ? order : compare_claims(left, right);
}

static const char *path_type_word(enum path_type type)
{
    switch (type) {
    case PATH_TYPE_EXACT:
        return "Exact";
    case PATH_TYPE_PREFIX:
        return "Prefix";
    case PATH_TYPE_IMPLEMENTATION_SPECIFIC:
        return "ImplementationSpecific";
    }
    return "";
}

static void report_taken(const struct emission *e, const struct ingress_item *item,
                         const struct ingress_item *by)
{
    struct compiler *c = e->c;
    bool is_same = item->path->path_type == by->path->path_type &&
                   str_equal(text_str(item->path->path), text_str(by->path->path));
    struct str place = place_text(c, by->ingress->object, by->path->line, by->path->col);
    struct str path = ingress_item_field(c, item, "path");
    uint32_t line = item->path->line, col = item->path->col;
    if (is_same)
        complain(c, DIAG_DUPLICATE_PATH, item->ingress->object, line, col, path,
                 "host \"%.*s\" and path \"%s\" is already defined in %.*s", STR_ARG(e->host->name),
                 item->path->path.ptr ? item->path->path.ptr : "", STR_ARG(place));
    else
        complain(c, DIAG_SHADOWED_PATH, item->ingress->object, line, col, path,
                 "%s \"%s\" on host \"%.*s\" is taken by %s \"%s\" of %.*s",
                 path_type_word(item->path->path_type),
                 item->path->path.ptr ? item->path->path.ptr : "", STR_ARG(e->host->name),
                 path_type_word(by->path->path_type), by->path->path.ptr ? by->path->path.ptr : "",
                 STR_ARG(place));
}

// The warning to neighbours: one for each other Ingress of the host.
static void report_regex_mode(const struct emission *e, const struct ingress_item *items)
{
    struct compiler *c = e->c;
    const struct ingress_item *by = e->host->regex_item;
    struct map *told = NULL;
    for (uint32_t i = 0; i < e->host->n_items; i++) {
        const struct ingress_item *item = &items[i];
        if (item->ingress == by->ingress || ingress_is_rewritten(item) ||
            item->ingress->settings.use_regex)
            continue;
        if (!told)
            told = map_create();
        if (map_put(told, item->ingress->object->title, (void *)(uintptr_t)item))
            continue;
        complain(
            c, DIAG_REGEX_MODE, item->ingress->object, item->path->line, item->path->col,
            ingress_item_field(c, item, "path"),
            "on host \"%.*s\" every path is a regular expression without case, because of %.*s",
            STR_ARG(e->host->name),
            STR_ARG(place_text(c, by->ingress->object, by->path->line, by->path->col)));
    }
    map_destroy(told);
}

static void emit_app_root(const struct emission *e)
{
    const struct ingress_entry *ingress = e->host->app_root;
    const struct text *text = ingress_annotation(ingress->object, "app-root");
    struct redirect *redirect = ARENA_NEW(e->c->arena, struct redirect);
    *redirect = (struct redirect){.code = 302,
                                  .has_path = true,
                                  .drops_query = true,
                                  .path = arena_str(e->c->arena, ingress->settings.app_root)};
    struct route route = {.path_kind = PATH_EXACT,
                          .path = STR("/"),
                          .action = ROUTE_REDIRECT,
                          .redirect = redirect,
                          .origin = origin_of(e->c, ingress->object, text->line, text->col)};
    add_route(e, &route);
}

// Like ingress-nginx only where the host has a certificate.
static struct header_ops transport_security(struct compiler *c, const struct ingress_host *host,
                                            const struct ingress_vhosts *secure)
{
    struct str value = c->options->hsts;
    if (value.len == 0 || secure->n == 0 || !host->has_certificate)
        return (struct header_ops){0};
    struct format_error error;
    struct header_op *op = ARENA_NEW(c->arena, struct header_op);
    *op = (struct header_op){.kind = HEADER_SET,
                             .name = STR("strict-transport-security"),
                             .text = value,
                             .value = format_parse(c->arena, value, FORMAT_HEADER_VALUE, &error)};
    return op->value ? (struct header_ops){1, op} : (struct header_ops){0};
}

void ingress_host_emit(struct compiler *c, struct ingress_host *host,
                       const struct ingress_vhosts *plain, const struct ingress_vhosts *secure)
{
    struct emission e = {.c = c,
                         .host = host,
                         .plain = plain,
                         .secure = secure,
                         .secure_ops = transport_security(c, host, secure)};
    struct ingress_item few[4], *items = few; // most hosts have no more
    if (host->n_items > sizeof few / sizeof *few)
        items = ARENA_ARRAY(c->scratch, struct ingress_item, host->n_items);
    uint32_t count = 0;
    for (const struct ingress_item_node *node = host->first; node; node = node->next)
        items[count++] = node->item;
    for (uint32_t i = 0; i < count && host->regex_item; i++) {
        struct str path = text_str(items[i].path->path);
        items[i].text = path.len > 0 ? path : STR("/"); // as written: the last '/' counts
        items[i].is_exact = false;
    }
    if (count > 1)
        qsort(items, count, sizeof *items, host->regex_item ? compare_regex_items : compare_items);
    if (host->regex_item)
        report_regex_mode(&e, items);
    if (host->app_root)
        emit_app_root(&e);
    const struct ingress_item *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (last && items[i].is_exact == last->is_exact && str_equal(items[i].text, last->text)) {
            report_taken(&e, &items[i], last);
            continue;
        }
        emit_item(&e, &items[i]);
        last = &items[i];
    }
    // Behind "/", which takes everything, the default backend would never be reached.
    bool has_root = last && !last->is_exact &&
                    (last->text.len == 0 || (host->regex_item && str_is(last->text, "/")));
    if (host->default_item && !has_root)
        emit_item(&e, host->default_item);
}
