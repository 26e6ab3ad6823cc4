// SPDX-License-Identifier: Apache-2.0
// Collects the Ingresses that are ours by host, oldest first; ingress_route.c puts each host in
// order.
#include "compile/gateway.h"
#include "compile/hosts.h"
#include "compile/ingress_https.h"

struct ingresses {
    struct compiler *c;
    struct map *hosts; // name -> struct ingress_host
    struct ingress_https https;
    uint32_t order;
    const struct object *first;
};

// ---- collecting ----

// Exact and Prefix paths have no characters that an expression gives a meaning to.
static bool is_strict(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        bool is_plain = (c >= '0' && c <= '9') ||
                        (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '.' || c == '_' ||
                        c == '-' || c == '/';
        if (!is_plain)
            return false;
    }
    return path.len > 0 && path.ptr[0] == '/';
}

static bool check_paths(struct compiler *c, const struct object *object)
{
    const struct ingress *ingress = object->ingress;
    bool is_good = true;
    for (uint32_t r = 0; r < ingress->n_rules; r++) {
        for (uint32_t p = 0; p < ingress->rules[r].n_paths; p++) {
            const struct ingress_path *path = &ingress->rules[r].paths[p];
            if (path->is_invalid || path->path_type == PATH_TYPE_IMPLEMENTATION_SPECIFIC ||
                is_strict(text_str(path->path)))
                continue;
            struct diag *diag =
                complain(c, DIAG_STRICT_PATH, object, path->path.line, path->path.col,
                         path_of(c, "spec.rules[%u].http.paths[%u].path", r, p),
                         "ingress contains invalid paths: path %s cannot be used with pathType %s",
                         path->path.ptr, path->path_type == PATH_TYPE_EXACT ? "Exact" : "Prefix");
            diag_hint(c->diags, diag, "pathType: ImplementationSpecific takes every character");
            is_good = false;
        }
    }
    return is_good;
}

// Calls `look` for every path; true: some call was true.
static bool look_at_paths(struct compiler *c, const struct ingress_entry *entry,
                          bool (*look)(struct compiler *c, const struct ingress_item *item))
{
    const struct ingress *ingress = entry->object->ingress;
    bool is_any = false;
    for (uint32_t r = 0; r < ingress->n_rules; r++) {
        for (uint32_t p = 0; p < ingress->rules[r].n_paths; p++) {
            const struct ingress_path *path = &ingress->rules[r].paths[p];
            struct ingress_item item = {.ingress = entry,
                                        .path = path,
                                        .backend = &path->backend,
                                        .rule_index = r,
                                        .path_index = p,
                                        .text = text_str(path->path)};
            is_any |= look(c, &item);
        }
    }
    return is_any;
}

static bool look_at_backend(struct compiler *c, const struct ingress_item *item)
{
    ingress_backend_check(c, item);
    return ingress_is_rewritten(item);
}

void ingress_check(struct compiler *c, const struct object *object)
{
    const struct ingress_entry entry = {object, ingress_settings_read(c, object)};
    const struct ingress_backend *backend = &object->ingress->default_backend;
    check_paths(c, object);
    bool has_rewrites = look_at_paths(c, &entry, look_at_backend);
    if (has_rewrites || entry.settings.use_regex) // then every path is an expression
        look_at_paths(c, &entry, ingress_regex_check);
    if (backend->is_set)
        ingress_backend_check(c, &(struct ingress_item){.ingress = &entry, .backend = backend});
}

static struct ingress_host *find_host(struct ingresses *all, const struct ingress_entry *entry,
                                      struct str name, uint32_t line, uint32_t col)
{
    struct compiler *c = all->c;
    name = name.len > 0 ? host_lower(c->scratch, name) : STR("*");
    struct ingress_host *host = map_find(all->hosts, name);
    if (!host) {
        host = ARENA_NEW(c->scratch, struct ingress_host);
        host->name = name;
        host->owner = entry->object;
        host->line = line;
        host->col = col;
        host->end = &host->first;
        map_put(all->hosts, name, host);
    }
    return host;
}

// Whether a path with a mistake says all the same what it would have taken.
static bool has_usable_text(const struct ingress_path *path)
{
    struct str text = text_str(path->path);
    return str_has_prefix(text, STR("/")) ||
           (text.len == 0 && path->path_type == PATH_TYPE_IMPLEMENTATION_SPECIFIC);
}

// The path as it is compared: a Prefix without its last '/', "" for the root.
static struct str path_text(const struct ingress_path *path)
{
    struct str text = text_str(path->path);
    if (path->path_type != PATH_TYPE_EXACT && str_has_suffix(text, STR("/")))
        text.len--;
    return text;
}

static const struct object *find_service(struct compiler *c, const struct ingress_entry *entry,
                                         const struct ingress_backend *backend)
{
    struct str name = text_str(backend->service);
    return name.ptr ? store_find(c->store, KIND_SERVICE, entry->object->ns, name) : NULL;
}

static void add_path(struct ingresses *all, struct ingress_host *host,
                     const struct ingress_entry *entry, uint32_t rule_index, uint32_t path_index)
{
    const struct ingress_path *path = &entry->object->ingress->rules[rule_index].paths[path_index];
    if (path->is_invalid && !has_usable_text(path))
        return;
    struct ingress_item_node *node = ARENA_NEW(all->c->scratch, struct ingress_item_node);
    node->item = (struct ingress_item){.ingress = entry,
                                       .path = path,
                                       .backend = &path->backend,
                                       .service = find_service(all->c, entry, &path->backend),
                                       .rule_index = rule_index,
                                       .path_index = path_index,
                                       .order = all->order++,
                                       .text = path_text(path),
                                       .is_exact = path->path_type == PATH_TYPE_EXACT};
    *host->end = node;
    host->end = &node->next;
    host->n_items++;
    const struct ingress_settings *settings = &entry->settings;
    bool rewrites = settings->rewrite_target.len > 0 &&
                    !str_equal(settings->rewrite_target, text_str(path->path));
    if (!host->regex_item && (settings->use_regex || rewrites))
        host->regex_item = &node->item;
}

static void add_default(struct ingresses *all, struct ingress_host *host,
                        const struct ingress_entry *entry)
{
    struct compiler *c = all->c;
    const struct ingress_backend *backend = &entry->object->ingress->default_backend;
    if (!backend->is_set)
        return;
    if (host->default_item && host->default_item->ingress != entry) {
        const struct ingress_item *by = host->default_item;
        complain(c, DIAG_DUPLICATE_PATH, entry->object, backend->line, backend->col,
                 STR("spec.defaultBackend"), "the default backend of host \"%.*s\" is that of %.*s",
                 STR_ARG(host->name),
                 STR_ARG(place_text(c, by->ingress->object, by->backend->line, by->backend->col)));
        return;
    }
    struct ingress_item *item = ARENA_NEW(c->scratch, struct ingress_item);
    *item = (struct ingress_item){.ingress = entry,
                                  .backend = backend,
                                  .service = find_service(c, entry, backend),
                                  .order = all->order++};
    host->default_item = item;
}

static void add_aliases(struct ingresses *all, struct ingress_host *host,
                        const struct ingress_entry *entry)
{
    struct compiler *c = all->c;
    struct str rest = entry->settings.server_alias, part;
    // Settings of the host come from the first Ingress that has them.
    if (rest.len == 0 || (host->aliases && host->aliases->ingress != entry))
        return;
    struct ingress_alias **end = &host->aliases;
    while (*end)
        end = &(*end)->next;
    while (str_next(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len == 0)
            continue;
        struct ingress_alias *alias = ARENA_NEW(c->scratch, struct ingress_alias);
        alias->ingress = entry;
        alias->name = host_lower(c->scratch, part);
        *end = alias;
        end = &alias->next;
    }
}

// Of a host: each from the first Ingress that has it.
static void add_settings(struct ingress_host *host, const struct ingress_entry *entry)
{
    const struct ingress_settings *settings = &entry->settings;
    bool asks_clients = settings->client_secret.len > 0 && settings->client_auth != TLS_CLIENT_NONE;
    if (!host->app_root && settings->app_root.len > 0)
        host->app_root = entry;
    if (!host->client_auth && asks_clients)
        host->client_auth = entry;
    if (!host->ciphers && settings->ciphers.len > 0)
        host->ciphers = entry;
    if (!host->passthrough && settings->ssl_passthrough)
        host->passthrough = entry;
    if (!host->www && settings->www_redirect)
        host->www = entry;
}

static void add_ingress(struct ingresses *all, const struct object *object)
{
    struct compiler *c = all->c;
    struct ingress_entry *entry = ARENA_NEW(c->scratch, struct ingress_entry);
    entry->object = object;
    entry->settings = ingress_settings_read(c, object);
    bool is_strictly_good = check_paths(c, object);
    if (entry->settings.is_refused || !is_strictly_good)
        return;
    const struct ingress *ingress = object->ingress;
    ingress_https_add(&all->https, entry);
    for (uint32_t r = 0; r < ingress->n_rules; r++) {
        const struct ingress_rule *rule = &ingress->rules[r];
        if (rule->is_invalid)
            continue;
        struct ingress_host *host =
            find_host(all, entry, text_str(rule->host), rule->line, rule->col);
        for (uint32_t p = 0; p < rule->n_paths; p++)
            add_path(all, host, entry, r, p);
        add_default(all, host, entry);
        add_aliases(all, host, entry);
        add_settings(host, entry);
    }
    if (ingress->n_rules == 0)
        add_default(all,
                    find_host(all, entry, STR_NONE, ingress->default_backend.line,
                              ingress->default_backend.col),
                    entry);
}

// ---- virtual hosts ----

static struct builder_vhost *open_vhost(struct ingresses *all, struct builder_hosts *hosts,
                                        const struct ingress_host *host)
{
    struct compiler *c = all->c;
    bool is_wildcard = host_is_wildcard(host->name) && !str_is(host->name, "*");
    struct builder_vhost *vhost = builder_vhost(hosts, host->name, is_wildcard);
    const struct virtual_host *shared = map_find(c->gateway_hosts, host->name);
    if (!shared)
        return vhost;
    const struct object *owner = gateway_vhost_owner(shared);
    complain(c, DIAG_HOST_SHARED, host->owner, host->line, host->col, STR("spec.rules"),
             "host \"%.*s\" is also one of %.*s; its routes come first", STR_ARG(host->name),
             STR_ARG(place_text(c, owner, owner->name_line, owner->name_col)));
    // An Ingress wildcard is a virtual host of its own (one label), looked at before the other.
    if (is_wildcard)
        gateway_vhost_emit(c, shared, vhost);
    return vhost;
}

static struct builder_vhost *open_alias(struct ingresses *all, struct builder_hosts *hosts,
                                        struct map *taken, const struct ingress_alias *alias)
{
    struct compiler *c = all->c;
    const struct object *object = alias->ingress->object;
    const struct text *text = ingress_annotation(object, "server-alias");
    struct str path = STR("metadata.annotations[nginx.ingress.kubernetes.io/server-alias]");
    if (alias->name.ptr[0] == '~') {
        complain(c, DIAG_ANNOTATION_NOT_SERVED, object, text->line, text->col, path,
                 "\"%.*s\" is a regular expression; names and *.names are served",
                 STR_ARG(alias->name));
        return NULL;
    }
    size_t from = str_has_prefix(alias->name, STR("*.")) ? 1 : 0;
    if (str_index(str_from(alias->name, from), '*') >= 0) {
        complain(c, DIAG_ANNOTATION_NOT_SERVED, object, text->line, text->col, path,
                 "\"%.*s\" is no host name; names and *.names are served", STR_ARG(alias->name));
        return NULL;
    }
    if (map_find(all->hosts, alias->name) || map_put(taken, alias->name, all)) {
        complain(c, DIAG_ALIAS_CONFLICT, object, text->line, text->col, path, "\"%.*s\" is %s",
                 STR_ARG(alias->name),
                 map_find(all->hosts, alias->name) ? "the host of an Ingress" : "an alias already");
        return NULL;
    }
    return builder_vhost(hosts, alias->name, false);
}

// The other of www.host and host, unless it is served by itself.
static struct str www_name_of(struct ingresses *all, struct map *taken,
                              const struct ingress_host *host)
{
    struct compiler *c = all->c;
    if (!host->www || host_is_wildcard(host->name))
        return STR_NONE;
    struct str www = STR("www.");
    struct str name = str_has_prefix(host->name, www)
                          ? arena_str(c->scratch, str_from(host->name, www.len))
                          : JOIN(c->scratch, www, host->name);
    if (!map_find(all->hosts, name) && !map_put(taken, name, all))
        return name;
    const struct text *text = ingress_annotation(host->www->object, "from-to-www-redirect");
    complain(c, DIAG_ALIAS_CONFLICT, host->www->object, text->line, text->col,
             STR("metadata.annotations[nginx.ingress.kubernetes.io/from-to-www-redirect]"),
             "\"%.*s\" is %s", STR_ARG(name),
             map_find(all->hosts, name) ? "the host of an Ingress" : "an alias already");
    return STR_NONE;
}

static void redirect_www(struct ingresses *all, struct builder_hosts *hosts,
                         const struct ingress_host *host)
{
    struct compiler *c = all->c;
    const struct text *text = ingress_annotation(host->www->object, "from-to-www-redirect");
    struct redirect *redirect = ARENA_NEW(c->arena, struct redirect);
    *redirect = (struct redirect){.code = 308, .host = arena_str(c->arena, host->name)};
    struct route route = {.path_kind = PATH_ANY,
                          .action = ROUTE_REDIRECT,
                          .redirect = redirect,
                          .origin = origin_of(c, host->www->object, text->line, text->col)};
    builder_add_route(builder_vhost(hosts, host->www_name, false), &route);
}

static void emit_host(struct ingresses *all, struct builder_hosts *hosts, struct map *taken,
                      struct ingress_host *host)
{
    struct arena *scratch = all->c->scratch;
    struct builder_hosts *secure_hosts = all->https.hosts;
    size_t n = 1;
    for (const struct ingress_alias *at = host->aliases; at; at = at->next)
        n++;
    struct ingress_vhosts plain = {ARENA_ARRAY(scratch, struct builder_vhost *, n), 0};
    struct ingress_vhosts secure = {ARENA_ARRAY(scratch, struct builder_vhost *, n), 0};
    plain.items[plain.n++] = open_vhost(all, hosts, host);
    if (secure_hosts)
        secure.items[secure.n++] = builder_vhost(secure_hosts, host->name, true);
    for (struct ingress_alias *at = host->aliases; at; at = at->next) {
        struct builder_vhost *vhost = open_alias(all, hosts, taken, at);
        at->is_served = vhost != NULL;
        if (vhost)
            plain.items[plain.n++] = vhost;
        if (vhost && secure_hosts)
            secure.items[secure.n++] = builder_vhost(secure_hosts, at->name, false);
    }
    host->www_name = www_name_of(all, taken, host);
    if (host->www_name.len > 0)
        redirect_www(all, hosts, host);
    if (host->www_name.len > 0 && secure_hosts)
        redirect_www(all, secure_hosts, host);
    ingress_https_host(&all->https, host);
    ingress_host_emit(all->c, host, &plain, &secure);
}

// Some hosts before it is their turn, so that what they need is in the cache by then.
static void prefetch_host(const struct ingress_host *host)
{
    prefetch_object(host->owner);
    for (const struct ingress_item_node *node = host->first; node; node = node->next) {
        if (node->item.service)
            prefetch_object(node->item.service);
    }
}

static void emit_all(struct ingresses *all)
{
    struct compiler *c = all->c;
    uint16_t port = c->options->http_port;
    struct address bind = listen_address(c, &c->options->bind, port);
    struct builder_listener *listener =
        builder_listener(c->builder, LISTENER_HTTP, &bind, port,
                         origin_of(c, all->first, all->first->name_line, all->first->name_col));
    if (!listener) {
        complain(c, DIAG_LISTENER_CONFLICT, all->first, all->first->name_line, all->first->name_col,
                 STR("spec.rules"),
                 "port %u already serves TCP or TLS of a Gateway, so no Ingress is served there",
                 port);
        return;
    }
    struct builder_hosts *hosts = builder_listener_hosts(listener);
    ingress_https_open(&all->https, all->first);
    struct map *taken = map_create(); // aliases
    struct str name;
    void *value = NULL;
    size_t n_ahead = 0, ahead = 0;
    for (size_t i = 0; map_next(all->hosts, &i, &name, &value);) {
        struct ingress_host *host = value;
        for (; n_ahead < i + OBJECTS_AHEAD && map_next(all->hosts, &ahead, &name, &value);
             n_ahead++)
            prefetch_host(value);
        emit_host(all, hosts, taken, host);
    }
    ingress_https_rest(&all->https, all->hosts);
    map_destroy(taken);
}

void ingresses_compile(struct compiler *c)
{
    struct ingresses all = {.c = c, .hosts = map_create()};
    ingress_https_init(&all.https, c);
    struct class_choice choice = ingress_class_choice(c);
    size_t n = 0;
    const struct object *const *objects = store_all(c->store, KIND_INGRESS, &n);
    for (size_t i = 0; i < n; i++) {
        prefetch_ahead(objects, i, n);
        if (!ingress_is_selected(c, &choice, objects[i]))
            continue;
        if (!all.first)
            all.first = objects[i];
        add_ingress(&all, objects[i]);
    }
    if (all.first)
        emit_all(&all);
    map_destroy(all.hosts);
    ingress_https_fini(&all.https);
}
