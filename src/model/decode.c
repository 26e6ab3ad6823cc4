// SPDX-License-Identifier: Apache-2.0
// From a document to objects: which kind it is, which version, its identity; then its table.
#include "model/decode.h"
#include "base/check.h"
#include "model/istio.h"
#include "model/kubernetes.h"
#include "model/metadata.h"
#include "model/names.h"

enum { LISTS_DEEP_MAX = 4, ARENA_HEADER_BYTES = 64 };

static const struct {
    const char *word, *group;
    bool is_cluster_scoped;
} kinds[] = {
#define X(id, word, group, cluster_scoped) {word, group, cluster_scoped},
    KINDS(X)
#undef X
};

static const struct {
    const struct table *table;
    const char *(*name_mistake)(struct str name);
} decoders[KIND_COUNT] = {
    [KIND_SERVICE] = {&service_table, dns_label_mistake},
    [KIND_ENDPOINTS] = {&endpoints_table, dns_subdomain_mistake},
    [KIND_ENDPOINT_SLICE] = {&endpoint_slice_table, dns_subdomain_mistake},
    [KIND_POD] = {&pod_table, dns_subdomain_mistake},
    [KIND_NAMESPACE] = {&namespace_table, dns_label_mistake},
    [KIND_SECRET] = {&secret_table, dns_subdomain_mistake},
    [KIND_INGRESS] = {&ingress_table, dns_subdomain_mistake},
    [KIND_INGRESS_CLASS] = {&ingress_class_table, dns_subdomain_mistake},
    [KIND_GATEWAY] = {&gateway_table, dns_subdomain_mistake},
    [KIND_VIRTUAL_SERVICE] = {&virtual_service_table, dns_subdomain_mistake},
    [KIND_DESTINATION_RULE] = {&destination_rule_table, dns_subdomain_mistake},
    [KIND_SERVICE_ENTRY] = {&service_entry_table, dns_subdomain_mistake},
    [KIND_WORKLOAD_ENTRY] = {&workload_entry_table, dns_subdomain_mistake},
    [KIND_SIDECAR] = {&sidecar_table, dns_subdomain_mistake},
};

// The first of a kind is the one to recommend.
static const struct {
    enum kind kind;
    const char *api_version;
} served[] = {
    {KIND_SERVICE, "v1"},
    {KIND_ENDPOINTS, "v1"},
    {KIND_POD, "v1"},
    {KIND_NAMESPACE, "v1"},
    {KIND_SECRET, "v1"},
    {KIND_ENDPOINT_SLICE, "discovery.k8s.io/v1"},
    {KIND_INGRESS, "networking.k8s.io/v1"},
    {KIND_INGRESS_CLASS, "networking.k8s.io/v1"},
    {KIND_GATEWAY, "networking.istio.io/v1"},
    {KIND_GATEWAY, "networking.istio.io/v1beta1"},
    {KIND_GATEWAY, "networking.istio.io/v1alpha3"},
    {KIND_VIRTUAL_SERVICE, "networking.istio.io/v1"},
    {KIND_VIRTUAL_SERVICE, "networking.istio.io/v1beta1"},
    {KIND_VIRTUAL_SERVICE, "networking.istio.io/v1alpha3"},
    {KIND_DESTINATION_RULE, "networking.istio.io/v1"},
    {KIND_DESTINATION_RULE, "networking.istio.io/v1beta1"},
    {KIND_DESTINATION_RULE, "networking.istio.io/v1alpha3"},
    {KIND_SERVICE_ENTRY, "networking.istio.io/v1"},
    {KIND_SERVICE_ENTRY, "networking.istio.io/v1beta1"},
    {KIND_SERVICE_ENTRY, "networking.istio.io/v1alpha3"},
    {KIND_WORKLOAD_ENTRY, "networking.istio.io/v1"},
    {KIND_WORKLOAD_ENTRY, "networking.istio.io/v1beta1"},
    {KIND_WORKLOAD_ENTRY, "networking.istio.io/v1alpha3"},
    {KIND_SIDECAR, "networking.istio.io/v1"},
    {KIND_SIDECAR, "networking.istio.io/v1beta1"},
    {KIND_SIDECAR, "networking.istio.io/v1alpha3"},
};

struct decoder {
    struct arena *scratch;
    struct diags *diags;
    struct str file;
    uint32_t first_line;
    struct decode_result *ret;
    uint32_t objects_cap, broken_cap, skipped_cap;
};

struct identity { // what a document says it is
    struct str kind_word, api_version;
    uint32_t line, col; // of the kind's value
    enum kind kind;
    struct str ns, name, title;
};

// One more place in an array of the result, which grows in scratch.
#define APPEND(decoder, array, n, cap)                                                             \
    (grow((decoder)->scratch, (void **)&(array), (n), &(cap), sizeof(*(array))), &(array)[(n)++])

static void grow(struct arena *scratch, void **array, uint32_t n, uint32_t *cap, size_t bytes)
{
    if (n < *cap)
        return;
    uint32_t new_cap = *cap ? *cap * 2 : 4;
    void *wider = arena_zalloc(scratch, new_cap * bytes);
    if (n)
        memcpy(wider, *array, n * bytes);
    *array = wider;
    *cap = new_cap;
}

static struct str group_of(struct str api_version)
{
    ptrdiff_t slash = str_index(api_version, '/');
    return slash < 0 ? STR_NONE : str_upto(api_version, (size_t)slash);
}

// The kinds that Kubernetes once had elsewhere count as theirs, for a better message.
static bool is_group_of(enum kind kind, struct str group)
{
    return str_is(group, kinds[kind].group) ||
           (kind == KIND_INGRESS && str_is(group, "extensions"));
}

static bool find_kind(const struct identity *identity, enum kind *ret)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (str_is(identity->kind_word, kinds[kind].word) &&
            is_group_of((enum kind)kind, group_of(identity->api_version))) {
            *ret = (enum kind)kind;
            return true;
        }
    }
    return false;
}

// Groups that are all Kubernetes' or Istio's: a kind of ours in the wrong one of them, or in other
// letters, is a slip. (Elsewhere others have Gateways, Services and Ingresses of their own.)
static bool find_slip(const struct identity *identity, enum kind *ret)
{
    bool is_known_group = false;
    struct str group = group_of(identity->api_version);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        is_known_group |= is_group_of((enum kind)kind, group);
    for (int kind = 0; is_known_group && kind < KIND_COUNT; kind++) {
        if (str_equal_nocase(identity->kind_word, str_of(kinds[kind].word))) {
            *ret = (enum kind)kind;
            return true;
        }
    }
    return false;
}

// The static copy of a version that is served, or STR_NONE.
static struct str served_version(enum kind kind, struct str api_version)
{
    for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
        if (served[i].kind == kind && str_is(api_version, served[i].api_version))
            return str_of(served[i].api_version);
    }
    return STR_NONE;
}

static struct str best_version(enum kind kind)
{
    size_t i = 0;
    while (served[i].kind != kind)
        i++;
    return str_of(served[i].api_version);
}

static void skip(struct decoder *decoder, const struct identity *identity)
{
    struct decode_result *ret = decoder->ret;
    for (uint32_t i = 0; i < ret->n_skipped; i++) {
        if (str_equal(ret->skipped[i].kind, identity->kind_word) &&
            str_equal(ret->skipped[i].api_version, identity->api_version)) {
            ret->skipped[i].n++;
            return;
        }
    }
    struct str words[KIND_COUNT];
    size_t n = 0;
    struct str group = group_of(identity->api_version);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (is_group_of((enum kind)kind, group))
            words[n++] = str_of(kinds[kind].word);
    }
    struct str nearest = diag_nearest(identity->kind_word, words, n);
    *APPEND(decoder, ret->skipped, ret->n_skipped, decoder->skipped_cap) = (struct skipped_kind){
        .kind = identity->kind_word,
        .api_version = identity->api_version,
        .line = decoder->first_line + identity->line - 1,
        .col = identity->col,
        .n = 1,
        .meant = nearest.ptr,
    };
}

static void add_broken(struct decoder *decoder, const struct identity *identity)
{
    decoder->ret->had_errors = true;
    if (identity->name.len == 0) {
        decoder->ret->is_unreadable = true;
        return;
    }
    *APPEND(decoder, decoder->ret->broken, decoder->ret->n_broken, decoder->broken_cap) =
        (struct object_key){
            .kind = identity->kind,
            .ns = identity->ns,
            .name = identity->name,
            .line = decoder->first_line + identity->line - 1,
            .col = identity->col,
        };
}

// The scalar at `key` if it is a text; borrowed from the document.
static struct str text_at(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, str_of(key));
    return node && node->type == NODE_SCALAR && scalar_type(node) == SCALAR_TEXT ? node->scalar
                                                                                 : STR_NONE;
}

// Namespace, name and title, as far as they can be told; whether they are right is checked later.
static void read_identity(struct decoder *decoder, const struct node *root,
                          struct identity *identity)
{
    const struct node *metadata = node_get(root, STR("metadata"));
    identity->name = text_at(metadata, "name");
    if (!kinds[identity->kind].is_cluster_scoped) {
        identity->ns = text_at(metadata, "namespace");
        if (identity->ns.len == 0)
            identity->ns = STR("default");
    }
    const char *word = kinds[identity->kind].word;
    if (identity->name.len == 0)
        identity->title = str_of(word);
    else if (identity->ns.len)
        identity->title = arena_printf(decoder->scratch, "%s %.*s/%.*s", word,
                                       STR_ARG(identity->ns), STR_ARG(identity->name));
    else
        identity->title = arena_printf(decoder->scratch, "%s %.*s", word, STR_ARG(identity->name));
}

static void check_name(struct reader *reader, const struct identity *identity,
                       const struct metadata *metadata, const struct node *node)
{
    if (!metadata->name.ptr || metadata->name.len == 0) {
        if (!reader->has_failed)
            report_at(reader, "name", DIAG_NOT_AN_OBJECT, node->line, node->col,
                      metadata->generate_name.ptr
                          ? "generateName is completed by an API server only; give a name"
                          : NULL,
                      "is required");
        reader->has_failed = true;
        return;
    }
    const char *mistake = decoders[identity->kind].name_mistake(identity->name);
    if (mistake)
        report_at(reader, "name", DIAG_FIELD_VALUE, metadata->name.line, metadata->name.col, NULL,
                  "\"%.*s\": %s", STR_ARG(str_upto(identity->name, 300)), mistake);
    if (kinds[identity->kind].is_cluster_scoped && metadata->ns.len)
        report_at(reader, "namespace", DIAG_UNKNOWN_FIELD, metadata->ns.line, metadata->ns.col,
                  NULL, "%s is cluster-scoped: a namespace has no effect",
                  kinds[identity->kind].word);
}

static void read_metadata(struct reader *reader, const struct identity *identity,
                          const struct node *root, struct object *object, struct metadata *metadata)
{
    const struct node *node = field_node(root, "metadata");
    struct step step = {.parent = reader->step, .key = STR("metadata")};
    reader->step = &step;
    if (node)
        read_struct(reader, &metadata_table, node, metadata);
    check_name(reader, identity, metadata, node && node->type == NODE_MAP ? node : root);
    reader->step = step.parent;
    object->name_line = metadata->name.line;
    object->name_col = metadata->name.col;
    object->labels = metadata->labels;
    object->annotations = metadata->annotations;
    object->created_s = metadata->created_s;
}

// Whether the object can be known by its name and namespace, whatever else is wrong with it.
static bool has_identity(const struct identity *identity)
{
    return identity->name.len > 0 && !decoders[identity->kind].name_mistake(identity->name) &&
           (identity->ns.len == 0 || !dns_label_mistake(identity->ns));
}

// Of some kinds what is left of a broken object still counts.
static void contain(struct reader *reader, const struct identity *identity, const struct node *root,
                    struct object *object)
{
    if (!has_identity(identity))
        return;
    if (identity->kind == KIND_DESTINATION_RULE)
        destination_rule_contain(reader, root, object->destination_rule);
    else if (identity->kind == KIND_SIDECAR)
        sidecar_contain(reader, root, object->sidecar);
}

// One run; see field.c. The identity's strings live in the object's title.
static struct object *build(struct reader *reader, const struct identity *identity,
                            const struct node *root)
{
    struct object *object = reader_alloc(reader, sizeof(*object));
    struct metadata metadata = {0};
    const struct table *table = decoders[identity->kind].table;
    object->kind = identity->kind;
    object->title = (struct str){reader_copy(reader, identity->title), identity->title.len};
    object->name = str_from(object->title, identity->title.len - identity->name.len);
    if (identity->ns.len && identity->name.len)
        object->ns = (struct str){object->name.ptr - 1 - identity->ns.len, identity->ns.len};
    object->api_version = served_version(identity->kind, identity->api_version);
    object->file = reader->file;
    object->first_line = reader->first_line;
    read_metadata(reader, identity, root, object, &metadata);
    object->service = table->bytes ? reader_alloc(reader, table->bytes) : NULL;
    read_struct(reader, table, root, object->service);
    if (reader->has_failed)
        contain(reader, identity, root, object);
    if (identity->kind == KIND_POD)
        object->pod->is_terminating = metadata.deletion_timestamp.ptr != NULL;
    object->has_invalid_parts = reader->has_invalid_parts;
    return object;
}

static void decode_object(struct decoder *decoder, const struct identity *identity,
                          const struct node *root, const struct step *parent)
{
    struct reader measuring = {
        .arena = decoder->scratch,
        .scratch = decoder->scratch,
        .diags = decoder->diags,
        .file = decoder->file,
        .title = identity->title,
        .first_line = decoder->first_line,
        .step = parent,
        .is_measuring = true,
    };
    build(&measuring, identity, root);
    if (measuring.has_failed) {
        add_broken(decoder, identity);
        return;
    }
    struct arena *arena =
        arena_create(ARENA_HEADER_BYTES + measuring.struct_bytes + measuring.string_bytes + 16);
    struct reader building = {
        .arena = arena,
        .scratch = decoder->scratch,
        .file = decoder->file,
        .first_line = decoder->first_line,
        .strings = arena_alloc(arena, measuring.string_bytes),
        .step = parent,
    };
    struct object *object = build(&building, identity, root);
    CHECK(building.struct_bytes == measuring.struct_bytes &&
          building.string_bytes == measuring.string_bytes && !building.has_failed);
    object->arena = arena;
    decoder->ret->had_errors |= object->has_invalid_parts;
    *APPEND(decoder, decoder->ret->objects, decoder->ret->n, decoder->objects_cap) = object;
}

static void refuse_version(struct decoder *decoder, const struct identity *identity,
                           const struct node *root)
{
    const struct node *node = node_get(root, STR("apiVersion"));
    struct place place = {decoder->file, identity->line, identity->col};
    if (node)
        place = (struct place){decoder->file, node->line, node->col};
    place.line += decoder->first_line - 1;
    struct str best = best_version(identity->kind);
    struct diag *diag =
        diags_add(decoder->diags, DIAG_API_VERSION, place, identity->title, STR("apiVersion"),
                  "%.*s is not served; %s is served as %.*s", STR_ARG(identity->api_version),
                  kinds[identity->kind].word, STR_ARG(best));
    if (identity->kind == KIND_INGRESS)
        diag_hint(decoder->diags, diag,
                  "in %.*s every path has a pathType, and a backend is service.name and "
                  "service.port instead of serviceName and servicePort",
                  STR_ARG(best));
    else
        diag_hint(decoder->diags, diag, "write apiVersion: %.*s", STR_ARG(best));
    add_broken(decoder, identity);
}

static void refuse_slip(struct decoder *decoder, const struct identity *identity)
{
    struct str best = best_version(identity->kind);
    const char *word = kinds[identity->kind].word;
    struct place place = {decoder->file, decoder->first_line + identity->line - 1, identity->col};
    struct diag *diag = diags_add(decoder->diags, DIAG_API_VERSION, place, identity->title,
                                  STR("kind"), "%.*s has no kind \"%.*s\"",
                                  STR_ARG(identity->api_version), STR_ARG(identity->kind_word));
    diag_hint(decoder->diags, diag, "write apiVersion: %.*s, kind: %s", STR_ARG(best), word);
    add_broken(decoder, identity);
}

static void report_no_object(struct decoder *decoder, const struct node *node, const char *what)
{
    struct place place = {decoder->file, decoder->first_line + node->line - 1, node->col};
    diags_add(decoder->diags, DIAG_NOT_AN_OBJECT, place, STR_NONE, STR_NONE, "%s", what);
    decoder->ret->had_errors = true;
    decoder->ret->is_unreadable = true;
}

static void decode_node(struct decoder *decoder, const struct node *root, const struct step *parent,
                        const struct identity *inherited, unsigned depth);

// kind: List, ServiceList, ...: items[] are objects; those of a typed list may leave out their
// kind.
static void decode_list(struct decoder *decoder, const struct node *root, const struct step *parent,
                        const struct identity *identity, unsigned depth)
{
    struct identity of_items = *identity;
    of_items.kind_word.len -= strlen("List");
    const struct node *items = node_get(root, STR("items"));
    if (!items || scalar_type(items) == SCALAR_NULL)
        return;
    if (items->type != NODE_LIST || depth == LISTS_DEEP_MAX) {
        report_no_object(decoder, items,
                         depth == LISTS_DEEP_MAX ? "lists within lists are too deep"
                                                 : "items is not a list");
        return;
    }
    struct step items_step = {.parent = parent, .key = STR("items")};
    struct step step = {.parent = &items_step, .kind = STEP_INDEX};
    for (uint32_t i = 0; i < items->list.n_items; i++) {
        step.index = i;
        decode_node(decoder, items->list.items[i], &step, of_items.kind_word.len ? &of_items : NULL,
                    depth + 1);
    }
}

static void decode_node(struct decoder *decoder, const struct node *root, const struct step *parent,
                        const struct identity *inherited, unsigned depth)
{
    if (root->type != NODE_MAP) {
        report_no_object(decoder, root,
                         "this is no object: a map with apiVersion, kind and "
                         "metadata is due");
        return;
    }
    struct identity identity = {
        .kind_word = text_at(root, "kind"),
        .api_version = text_at(root, "apiVersion"),
        .line = root->line,
        .col = root->col,
    };
    const struct node *kind_node = node_get(root, STR("kind"));
    if (kind_node) {
        identity.line = kind_node->line;
        identity.col = kind_node->col;
    }
    if (inherited && identity.kind_word.len == 0)
        identity.kind_word = inherited->kind_word;
    if (inherited && identity.api_version.len == 0)
        identity.api_version = inherited->api_version;
    if (identity.kind_word.len == 0 || identity.api_version.len == 0) {
        report_no_object(decoder, root,
                         identity.kind_word.len     ? "apiVersion is missing"
                         : identity.api_version.len ? "kind is missing"
                                                    : "apiVersion and kind are "
                                                      "missing");
        return;
    }
    // A list has items and no spec; a kind of somebody's own that ends so is just not ours.
    if (str_has_suffix(identity.kind_word, STR("List")) && node_get(root, STR("items"))) {
        decode_list(decoder, root, parent, &identity, depth);
        return;
    }
    if (!find_kind(&identity, &identity.kind)) {
        if (find_slip(&identity, &identity.kind)) {
            read_identity(decoder, root, &identity);
            refuse_slip(decoder, &identity);
        } else {
            skip(decoder, &identity);
        }
        return;
    }
    read_identity(decoder, root, &identity);
    if (served_version(identity.kind, identity.api_version).len == 0)
        refuse_version(decoder, &identity, root);
    else
        decode_object(decoder, &identity, root, parent);
}

void decode_document(struct arena *scratch, struct str text, struct str file, uint32_t first_line,
                     struct diags *diags, struct decode_result *ret)
{
    *ret = (struct decode_result){0};
    struct decoder decoder = {
        .scratch = scratch, .diags = diags, .file = file, .first_line = first_line, .ret = ret};
    struct node *root;
    struct doc_error error;
    if (!doc_parse(scratch, text, 1, &root, &error)) {
        struct place place = {file, first_line + error.line - 1, error.col};
        diags_add(diags, DIAG_YAML_SYNTAX, place, STR_NONE, STR_NONE, "%s", error.message);
        ret->had_errors = true;
        ret->is_unreadable = true;
    } else if (root && root->type != NODE_NULL) {
        decode_node(&decoder, root, NULL, NULL, 0);
    }
}

const struct table *decode_table(enum kind kind)
{
    return decoders[kind].table;
}

const char *decode_api_version(enum kind kind, size_t i)
{
    for (size_t at = 0; at < sizeof(served) / sizeof(served[0]); at++) {
        if (served[at].kind == kind && i-- == 0)
            return served[at].api_version;
    }
    return NULL;
}
