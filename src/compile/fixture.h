// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: manifests as text -> store -> snapshot, and what becomes of a
// request, as a short text:
//   "web"             forwarded to Service web          "web /new?q"   with this path
//   "web @inner"      with another Host                 "503"          nothing behind the route
//   "301 http://..."  redirected                        "=418"         answered by the route itself
//   "404"             no route                          "closed"       nobody listens on the port
#pragma once
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/doc.h"
#include "compile/compile.h"
#include "http/uri.h"
#include "model/decode.h"
#include "route/match.h"
#include "route/rewrite.h"
#include "source/claim.h"
#include <stdio.h>

enum { WORLD_CLAIMS_MAX = 160, WORLD_ANSWER_MAX = 512 };

struct world {
    struct compile_options options;
    struct name_lookup names;
    struct arena *arena;
    struct store *store;
    struct registry *registry;
    struct diags *diags;
    struct snapshot *snapshot;
    struct claim claims[WORLD_CLAIMS_MAX];
    size_t n_claims;
    uint32_t line;
    struct header_list headers; // of the next requests
    const char *method, *sni;
    char answer[WORLD_ANSWER_MAX];
};

static inline void world_init(struct world *world)
{
    tls_init();
    *world = (struct world){.arena = arena_create(0),
                            .store = store_create(),
                            .registry = registry_create(),
                            .diags = diags_create(),
                            .method = "GET",
                            .line = 1};
    world->options =
        (struct compile_options){.ns = STR("istio-system"),
                                 .ingress_controller = STR("sluicegate.io/ingress-controller"),
                                 .http_port = 80,
                                 .https_port = 443,
                                 .hsts = STR("max-age=1"),
                                 .cluster_domain = STR("cluster.local")};
    assert_true(address_parse_ip(STR("0.0.0.0"), &world->options.bind));
}

static inline void world_add(struct world *world, struct object *object)
{
    struct claim *claim = &world->claims[world->n_claims++];
    assert_true(world->n_claims <= WORLD_CLAIMS_MAX);
    *claim = (struct claim){.object = object, .file = STR("in.yaml"), .line = object->first_line};
    store_add(world->store, claim, object->kind, object->ns, object->name);
}

static inline void world_fail(const struct world *world)
{
    struct buf text = {0};
    for (size_t i = 0; i < diags_count(world->diags); i++)
        diag_render(diags_get(world->diags, i), &text);
    fail_msg("diagnostics:\n%.*s", STR_ARG(buf_str(&text)));
}

// An object that was given, but is too broken for anything but its name.
static inline void world_add_broken(struct world *world, const struct object_key *key)
{
    struct claim *claim = &world->claims[world->n_claims++];
    assert_true(world->n_claims <= WORLD_CLAIMS_MAX);
    *claim = (struct claim){.file = STR("in.yaml"), .line = key->line};
    store_add(world->store, claim, key->kind, key->ns, key->name);
}

// Adds the objects of a stream, mistakes and all; those of a later call are younger.
static inline bool world_load_broken(struct world *world, const char *yaml)
{
    bool is_good = true;
    size_t cursor = 0;
    uint32_t line = 1, first = 0;
    struct str stream = str_of(yaml), part;
    while (doc_split(stream, &cursor, &line, &part, &first)) {
        struct decode_result result = {0};
        decode_document(world->arena, part, STR("in.yaml"), world->line + first - 1, world->diags,
                        &result);
        is_good &= !result.had_errors && !result.is_unreadable;
        for (uint32_t i = 0; i < result.n; i++)
            world_add(world, result.objects[i]);
        for (uint32_t i = 0; i < result.n_broken; i++)
            world_add_broken(world, &result.broken[i]);
    }
    world->line += line; // objects of a later text are behind those of this one
    return is_good;
}

static inline void world_load(struct world *world, const char *yaml)
{
    if (!world_load_broken(world, yaml))
        world_fail(world);
}

static inline void world_compile(struct world *world)
{
    snapshot_destroy(world->snapshot);
    world->snapshot =
        compile(world->store, &world->options, &world->names, world->registry, 1, world->diags);
}

static inline void world_fini(struct world *world)
{
    snapshot_destroy(world->snapshot);
    for (size_t i = 0; i < world->n_claims; i++)
        store_withdraw(world->store, &world->claims[i]);
    store_destroy(world->store);
    registry_destroy(world->registry);
    diags_destroy(world->diags);
    arena_destroy(world->arena);
    tls_fini();
}

static inline const struct listener *world_listener(const struct world *world, uint16_t port)
{
    for (uint32_t i = 0; i < world->snapshot->n_listeners; i++) {
        if (world->snapshot->listeners[i].port == port)
            return &world->snapshot->listeners[i];
    }
    return NULL;
}

static inline const struct cluster *world_cluster(const struct world *world, const char *name)
{
    for (uint32_t i = 0; i < world->snapshot->n_clusters; i++) {
        if (str_is(world->snapshot->clusters[i]->name, name))
            return world->snapshot->clusters[i];
    }
    return NULL;
}

// "10.0.0.1:8080 10.0.0.2:8080", sorted as the snapshot has them; "" for none.
static inline struct str world_endpoints(struct world *world, const char *name)
{
    const struct cluster *cluster = world_cluster(world, name);
    assert_non_null(cluster);
    struct buf text = {0};
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        if (i > 0)
            buf_add_char(&text, ' ');
        buf_add_str(&text, cluster->endpoints[i].text);
    }
    struct str copy = arena_str(world->arena, buf_str(&text));
    buf_fini(&text);
    return copy;
}

static inline void world_describe(struct world *world, const struct route *route,
                                  const struct request_view *request, bool has_query)
{
    char path[256];
    char *out = world->answer;
    if (!route) {
        snprintf(out, WORLD_ANSWER_MAX, "404");
    } else if (route->action == ROUTE_REDIRECT) {
        uint16_t port = str_is(request->scheme, "https") ? 443 : 80;
        size_t len =
            redirect_location(route, request, has_query, request->scheme, port, path, sizeof path);
        snprintf(out, WORLD_ANSWER_MAX, "%u %.*s", route->redirect->code, (int)len, path);
    } else if (route->action == ROUTE_RESPOND) {
        snprintf(out, WORLD_ANSWER_MAX, "=%u", route->status);
    } else {
        const struct target *target = route_pick_target(route, 0);
        assert_non_null(target);
        struct str name = target->cluster->name;
        while (str_index(name, '|') >= 0)
            name = str_from(name, (size_t)str_index(name, '|') + 1);
        if (str_index(name, '.') >= 0)
            name = str_upto(name, (size_t)str_index(name, '.'));
        int at = snprintf(out, WORLD_ANSWER_MAX, "%.*s", STR_ARG(name));
        if (target->cluster->is_missing)
            at = snprintf(out, WORLD_ANSWER_MAX, "503");
        const struct rewrite *rewrite = route->rewrite;
        if (rewrite && rewrite->kind != REWRITE_NONE) {
            size_t len =
                rewrite_path(route, request->path, request->query, has_query, path, sizeof path);
            at += snprintf(out + at, WORLD_ANSWER_MAX - (size_t)at, " %.*s", (int)len, path);
        }
        if (rewrite && rewrite->authority.len > 0)
            snprintf(out + at, WORLD_ANSWER_MAX - (size_t)at, " @%.*s",
                     STR_ARG(rewrite->authority));
    }
}

// Over TLS the host is asked for as `world->sni`, or as in the request when that is NULL.
static inline const struct http_hosts *world_hosts(const struct world *world,
                                                   const struct listener *listener, struct str host)
{
    if (listener->kind != LISTENER_TLS)
        return &listener->hosts;
    const struct vhost *name =
        host_table_find(listener->sni, world->sni ? str_of(world->sni) : host);
    return name ? name->chain->hosts : NULL;
}

static inline const struct route *world_find(struct world *world, uint16_t port,
                                             const char *authority, const char *target)
{
    static char host_room[256], path_room[256];
    const struct listener *listener = world_listener(world, port);
    world->answer[0] = 0;
    if (!listener) {
        snprintf(world->answer, WORLD_ANSWER_MAX, "closed");
        return NULL;
    }
    struct str text = str_of(target);
    ptrdiff_t mark = str_index(text, '?');
    struct request_view request = {.method = str_of(world->method),
                                   .scheme =
                                       listener->kind == LISTENER_TLS ? STR("https") : STR("http"),
                                   .authority = str_of(authority),
                                   .headers = &world->headers};
    uint16_t host_port = 0;
    assert_true(uri_split_authority(request.authority, host_room, &request.host, &host_port));
    assert_true(uri_normalize_path(mark >= 0 ? str_upto(text, (size_t)mark) : text, path_room,
                                   &request.path));
    request.query = mark >= 0 ? str_from(text, (size_t)mark + 1) : STR_NONE;
    const struct http_hosts *hosts = world_hosts(world, listener, request.host);
    if (!hosts) {
        snprintf(world->answer, WORLD_ANSWER_MAX, "closed");
        return NULL;
    }
    const struct vhost *vhost = host_table_find(hosts->table, request.host);
    const struct route *route = vhost ? vhost_find_route(vhost, &request) : NULL;
    world_describe(world, route, &request, mark >= 0);
    return route;
}

struct world_row {
    const char *host, *target, *wanted;
};
static inline void world_expect(struct world *world, uint16_t port, const struct world_row *rows,
                                size_t n)
{
    for (size_t i = 0; i < n; i++) {
        world_find(world, port, rows[i].host, rows[i].target);
        if (strcmp(world->answer, rows[i].wanted) != 0)
            fail_msg("%s%s: wanted \"%s\", got \"%s\"", rows[i].host, rows[i].target,
                     rows[i].wanted, world->answer);
    }
}
#define EXPECT(world, port, ...)                                                                   \
    world_expect((world), (port), (const struct world_row[]){__VA_ARGS__},                         \
                 sizeof((const struct world_row[]){__VA_ARGS__}) / sizeof(struct world_row))

static inline unsigned world_count(const struct world *world, enum diag_code code)
{
    unsigned n = 0;
    for (size_t i = 0; i < diags_count(world->diags); i++)
        n += diags_get(world->diags, i)->code == code;
    return n;
}

// Where a connection goes that asks for a server name ("": for none): "web", "web*1 api*3" by
// weight, "tls web" for TLS that is ended here, "drop" (no route), "hole" (broken), "closed".
static inline const char *world_connect(struct world *world, uint16_t port, const char *sni)
{
    const struct listener *listener = world_listener(world, port);
    char *out = world->answer;
    if (!listener || listener->kind == LISTENER_HTTP)
        return listener ? "http" : "closed";
    const struct tcp_routes *routes = &listener->tcp;
    size_t at = 0;
    if (listener->kind == LISTENER_TLS) {
        const struct vhost *name = host_table_find(listener->sni, str_of(*sni ? sni : "*"));
        if (!name)
            return "drop";
        if (name->chain->is_http)
            return "http";
        routes = &name->chain->tcp;
        if (name->chain->tls)
            at += (size_t)snprintf(out, WORLD_ANSWER_MAX, "tls ");
    }
    if (routes->n == 0)
        return "drop";
    for (uint32_t i = 0; i < routes->items[0].n_targets; i++) {
        const struct target *target = &routes->items[0].targets[i];
        struct str name = target->cluster->name;
        if (target->cluster->is_missing)
            return "hole";
        while (str_index(name, '|') >= 0)
            name = str_from(name, (size_t)str_index(name, '|') + 1);
        name = str_upto(name, (size_t)str_index(name, '.'));
        at += (size_t)snprintf(out + at, WORLD_ANSWER_MAX - at, "%s%.*s", i > 0 ? " " : "",
                               STR_ARG(name));
        if (routes->items[0].n_targets > 1)
            at += (size_t)snprintf(out + at, WORLD_ANSWER_MAX - at, "*%u", target->weight);
    }
    return out;
}

// Fails with what was said, if anything was (but that Services have no endpoints).
static inline void world_expect_quiet(const struct world *world)
{
    if (diags_count(world->diags) != world_count(world, DIAG_NO_ENDPOINTS))
        world_fail(world);
}

// A Service with one port, without endpoints.
#define WORLD_SERVICE(name, ns, port)                                                              \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n"          \
    "spec: {ports: [{name: http, port: " #port "}]}\n"
