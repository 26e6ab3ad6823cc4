// SPDX-License-Identifier: Apache-2.0
// What is wrong with an object for itself, before it is in force: the parts of compiling that need
// no other object.
#include "compile/certificate.h"
#include "compile/gateway.h"
#include "compile/ingress.h"
#include "compile/service.h"
#include "compile/virtual_service.h"

enum { SUGGESTIONS_MAX = 1000 };

// Another controller's Ingress may hold what it likes.
static bool is_ours(struct compiler *c, const struct object *object)
{
    struct diags *shown = c->diags;
    c->diags = diags_create(); // which class it has is no mistake of its own
    struct class_choice choice = ingress_class_choice(c);
    bool is_selected = ingress_is_selected(c, &choice, object);
    diags_destroy(c->diags);
    c->diags = shown;
    return is_selected;
}

static void check_ingress(struct compiler *c, const struct object *object)
{
    if (is_ours(c, object))
        ingress_check(c, object);
}

// As for Ingresses: what is for sidecars alone is not ours.
static bool is_for_gateways(const struct virtual_service *vs)
{
    for (uint32_t i = 0; i < vs->gateways.n; i++) {
        if (!str_is(text_str(vs->gateways.items[i]), "mesh"))
            return true;
    }
    return vs->hosts.n == 0; // a delegate
}

static void check_virtual_service(struct compiler *c, const struct object *object)
{
    const struct virtual_service *vs = object->virtual_service;
    for (uint32_t i = 0; i < vs->n_http && is_for_gateways(vs); i++) {
        const struct http_route *rule = &vs->http[i];
        struct vs_rule flat = {.rule = rule,
                               .object = object,
                               .headers_object = object,
                               .rewrite_object = object,
                               .path = path_item(c, STR("spec"), "http", i)};
        for (uint32_t k = 0; k < rule->n_match; k++) {
            struct route route = {0};
            vs_match_build(c, &flat, &rule->match[k], path_item(c, flat.path, "match", k), &route);
        }
        vs_action_check(c, &flat);
    }
}

// A malformed annotation has its default, which is better than to lose routes.
static enum soundness judge(const struct diags *diags)
{
    enum soundness worst = OBJECT_SOUND;
    for (size_t i = 0; i < diags_count(diags); i++) {
        const struct diag *diag = diags_get(diags, i);
        if (diag->level == DIAG_ERROR)
            return OBJECT_BROKEN;
        if (diag->code == DIAG_ANNOTATION_VALUE)
            worst = OBJECT_DOUBTFUL;
    }
    return worst;
}

enum soundness check_object(void *arg, const struct object *object, struct diags *diags)
{
    static void (*const checks[KIND_COUNT])(struct compiler *, const struct object *) = {
        [KIND_SERVICE] = node_ports_check,
        [KIND_SECRET] = secret_check,
        [KIND_INGRESS] = check_ingress,
        [KIND_GATEWAY] = gateway_check,
        [KIND_VIRTUAL_SERVICE] = check_virtual_service,
    };
    const struct object_checker *checker = arg;
    if (!checks[object->kind])
        return OBJECT_SOUND;
    struct diags *own = diags_create();
    struct compiler c = {.store = checker->store,
                         .options = checker->options,
                         .builder = builder_create(checker->registry),
                         .scratch = arena_create(0),
                         .diags = own,
                         .credentials = map_create(),
                         .suggestions_left = SUGGESTIONS_MAX};
    c.arena = builder_arena(c.builder);
    checks[object->kind](&c, object);
    builder_destroy(c.builder);
    map_destroy(c.credentials);
    arena_destroy(c.scratch);
    buf_fini(&c.brief);
    enum soundness soundness = judge(own);
    diags_add_all(diags, own);
    diags_destroy(own);
    return soundness;
}
