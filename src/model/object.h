// SPDX-License-Identifier: Apache-2.0
// Objects as users write them, decoded and validated: what the sources yield and compile reads.
// Control thread. An object owns one arena that holds all of it; it is immutable once decoded.
//
// Every value that a later stage may complain about carries its place. Lines inside an object count
// from the first line of its document; object_place() turns them into lines of the file.
#pragma once
#include "base/diag.h"

// kind, word, apiVersion group, is cluster-scoped
// clang-format off
#define KINDS(X) \
    X(SERVICE, "Service", "", false) \
    X(ENDPOINTS, "Endpoints", "", false) \
    X(ENDPOINT_SLICE, "EndpointSlice", "discovery.k8s.io", false) \
    X(POD, "Pod", "", false) \
    X(NAMESPACE, "Namespace", "", true) \
    X(SECRET, "Secret", "", false) \
    X(INGRESS, "Ingress", "networking.k8s.io", false) \
    X(INGRESS_CLASS, "IngressClass", "networking.k8s.io", true) \
    X(GATEWAY, "Gateway", "networking.istio.io", false) \
    X(VIRTUAL_SERVICE, "VirtualService", "networking.istio.io", false) \
    X(DESTINATION_RULE, "DestinationRule", "networking.istio.io", false) \
    X(SERVICE_ENTRY, "ServiceEntry", "networking.istio.io", false) \
    X(WORKLOAD_ENTRY, "WorkloadEntry", "networking.istio.io", false) \
    X(SIDECAR, "Sidecar", "networking.istio.io", false)
// clang-format on

enum kind {
#define X(id, word, group, cluster_scoped) KIND_##id,
    KINDS(X)
#undef X
    KIND_COUNT
};
const char *kind_word(enum kind kind);

// Packed, since ten thousand objects hold a quarter of a million of these. A place beyond the bit
// fields' range stays at their end.
enum { TEXT_BYTES_MAX = (1 << 24) - 1, TEXT_PLACE_MAX = (1 << 20) - 1 };
struct text { // a string value; ptr NULL: absent
    const char *ptr; // NUL-terminated
    uint64_t len : 24, line : 20, col : 20;
};
struct number { // an integer value
    int64_t value;
    uint32_t line;
    uint32_t col : 31;
    bool is_set : 1;
};
struct flag { // a boolean; `value` holds the field's default when it is not set
    bool value, is_set;
    uint32_t line, col;
};
struct duration { // Go's form, "1h1m1s1ms"
    int64_t ms;
    uint32_t line;
    uint32_t col : 31;
    bool is_set : 1;
};
struct texts { // a list of strings
    struct text *items;
    uint32_t n;
};
struct text_pair {
    struct text key, value;
};
struct text_map { // in order of the document
    struct text_pair *items;
    uint32_t n;
};
struct port_ref { // a number or a name (IntOrString)
    struct text name; // ptr NULL: by number
    uint16_t number;  // 0: by name
    bool is_set;
    uint32_t line, col;
};
static inline struct str text_str(struct text text)
{
    return (struct str){text.ptr, text.len};
}
const struct text *text_map_find(const struct text_map *map, struct str key); // NULL: absent
bool text_map_contains(const struct text_map *map, const struct text_map *wanted); // as a selector

struct object {
    enum kind kind;
    struct str ns, name; // ns: "default" when the document gives none; empty if cluster-scoped
    struct str title;    // "Ingress shop/web", for diagnostics
    struct str api_version;
    struct str file; // borrowed from the source, which keeps it as long as the object
    uint32_t first_line; // of its document in `file`, 1-based
    uint32_t name_line, name_col; // of metadata.name, relative to the document
    struct text_map labels, annotations;
    int64_t created_s; // metadata.creationTimestamp as epoch seconds; 0: absent
    uint64_t sequence; // order in which the store first saw this object: the age when created_s ties or is 0
    bool is_last_good; // the newest version is broken and this older one stands in
    bool has_invalid_parts; // something in it is flagged is_invalid (or was left out) and reported
    union {            // by kind
        struct service *service;
        struct endpoints *endpoints;
        struct endpoint_slice *endpoint_slice;
        struct pod *pod;
        struct secret *secret;
        struct ingress *ingress;
        struct ingress_class *ingress_class;
        struct gateway *gateway;
        struct virtual_service *virtual_service;
        struct destination_rule *destination_rule;
        struct service_entry *service_entry;
        struct workload *workload_entry;
        struct sidecar *sidecar;
    };
    struct arena *arena;
};
void object_destroy(struct object *object); // NULL is fine

struct place object_place(const struct object *object, uint32_t line, uint32_t col);
#define OBJECT_PLACE_OF(object, value) object_place((object), (value).line, (value).col)
