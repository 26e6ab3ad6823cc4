// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share during one compile. Control thread; lives for the call.
#pragma once
#include "base/map.h"
#include "compile/compile.h"

struct service_index;
struct policy_index;
struct catalog;

struct compiler {
    const struct store *store;
    const struct compile_options *options;
    const struct name_lookup *names; // NULL: no name outside the cluster has an address
    struct snapshot_builder *builder;
    struct arena *arena;   // the snapshot's: all that routes point to
    struct arena *scratch; // of this compile alone
    struct buf brief;      // join_brief's
    struct diags *diags;
    struct service_index *services;
    struct policy_index *policies; // DestinationRules
    bool is_registry_only;         // of a sidecar: what is declared nowhere is refused
    struct catalog *catalog;       // Services and ServiceEntries by host
    // Virtual hosts that VirtualServices fill on the port of Ingress: name -> struct virtual_host.
    struct map *gateway_hosts;
    struct map *credentials;   // of Secrets: "ns/name" -> struct credential
    uint32_t suggestions_left; // candidates that "did you mean" may still look at
};

// A diagnostic about `object` at a place of it. `path` may be STR_NONE.
struct diag *complain(struct compiler *c, enum diag_code code, const struct object *object,
                      uint32_t line, uint32_t col, struct str path, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
// A field path, in scratch memory.
struct str path_of(struct compiler *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// The same put together without printf, for what is made for every route: "base.word[index]".
struct str path_item(struct compiler *c, struct str base, const char *word, uint32_t index);
// "file:line:col Title", for messages about another object (scratch).
struct str place_text(struct compiler *c, const struct object *object, uint32_t line, uint32_t col);
// The same in the snapshot's arena: a route's origin.
struct str origin_of(struct compiler *c, const struct object *object, uint32_t line, uint32_t col);
// Hints "did you mean <kind> ns/x?" with the nearest object of the kind in `ns`, or with one of
// that name in another namespace; without one, `fallback` (NULL: no hint).
void hint_object(struct compiler *c, struct diag *diag, enum kind kind, struct str ns,
                 struct str name, const char *fallback);

// Objects are many and lie far apart: a loop over all of them asks for those to come.
enum { OBJECTS_AHEAD = 6 };
static inline void prefetch_object(const struct object *object)
{
    enum { LINE = 64, FIRST = -2, LAST = 8 }; // its texts come before, its parts behind
    for (int i = FIRST; i <= LAST; i++)
        __builtin_prefetch((const void *)((uintptr_t)object + (uintptr_t)(i * LINE)));
}
static inline void prefetch_ahead(const struct object *const *objects, size_t i, size_t n)
{
    if (i + OBJECTS_AHEAD < n)
        prefetch_object(objects[i + OBJECTS_AHEAD]);
}

// Joins texts in `arena`; much cheaper than printf where there are ten thousands.
struct str join(struct arena *arena, const struct str *parts, size_t n);
#define JOIN(arena, ...)                                                                           \
    join((arena), (const struct str[]){__VA_ARGS__},                                               \
         sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str))
// The same for a text that is used at once: it lasts until the next one.
struct str join_brief(struct compiler *c, const struct str *parts, size_t n);
#define JOIN_BRIEF(c, ...)                                                                         \
    join_brief((c), (const struct str[]){__VA_ARGS__},                                             \
               sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str))
enum { NUMBER_TEXT_MAX = 21 };
struct str number_text(uint64_t value, char out[NUMBER_TEXT_MAX]);

// The address that is really opened for a port as manifests name it.
struct address listen_address(const struct compiler *c, const struct address *bind, uint16_t port);
