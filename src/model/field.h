// SPDX-License-Identifier: Apache-2.0
// One table for a kind. A row says a field's key, type, place in the struct, what is allowed, and
// one sentence; from the rows come decoding with exact diagnostics, defaults, validation, and the
// reference page. Every field that the API has stands in a table: what has no row is unknown to the
// API and reported as such. Control thread.
//
//   table   the fields of one struct of the API ("HTTPRoute")
//   reader  one decoding: where values go, where diagnostics go, and the path from the root
//   contain a mistake inside a part with an is_invalid flag (or in a droppable list item) harms
//   that
//           part; elsewhere it goes on upwards and breaks the object
#pragma once
#include "base/diag.h"
#include "base/doc.h"
#include "model/object.h"

struct reader;
struct table;

enum field_type {
    FIELD_TEXT,     // struct text
    FIELD_NUMBER,   // struct number, between min and max
    FIELD_FLAG,     // struct flag; `fallback` is its default
    FIELD_DURATION, // struct duration, at least min ms when min is set
    FIELD_WORD,     // an enum (an int): one of `words`; `fallback` is its default
    FIELD_PORT,     // struct port_ref
    FIELD_TEXTS,    // struct texts
    FIELD_TEXT_MAP, // struct text_map
    FIELD_STRUCT,   // what `table` says, embedded at the offset
    FIELD_LIST,     // an array of `table`'s struct: pointer at offset, count at count_offset
    FIELD_NAMED,    // a map from names to `table`'s struct, kept as such an array; the name is the
                    // struct text at the start of each item, the value begins at value_offset
    FIELD_CUSTOM,   // `read` does it
    FIELD_NOT_SERVED, // the API has it, we do not act on it yet: reported unless its value is
                      // `harmless`
    FIELD_IRRELEVANT, // has no bearing on a gateway, so accepting it as it is serves it
};

enum field_flag {
    FIELD_REQUIRED = 1,
    FIELD_NOT_EMPTY = 2,    // a list, map or text needs at least one item or byte
    FIELD_BORROWED = 4,     // the text stays in the document: needed while decoding alone
    FIELD_DROP_INVALID = 8, // a struct or list item with a mistake is reported and left out
    FIELD_NO_CASE = 16,     // words match in any case
};

struct word {
    const char *word;
    int value;
};

struct field {
    const char *key;
    enum field_type type;
    uint16_t flags;
    uint16_t offset, count_offset;
    uint16_t item_bytes, value_offset; // FIELD_NAMED
    const struct table *table;
    const struct word *words; // ends with a NULL word
    int64_t min, max;         // max 0: no bounds
    int64_t fallback;
    const char *harmless; // FIELD_NOT_SERVED: words that mean "not used", separated by blanks
    const char *required; // what to say when the field is missing, or NULL
    // Looks at the value once it is read (of FIELD_TEXTS: each text).
    void (*check)(struct reader *reader, const struct field *field, const void *value);
    void (*read)(struct reader *reader, const struct field *field, const struct node *node,
                 void *value);
    const char *doc; // one sentence; Markdown
};

// Offsets of what not every struct has: 1 more than the offset, so that 0 says "has none".
#define HAS(type, member) ((uint16_t)(offsetof(type, member) + 1))

struct table {
    const char *name; // the API's name of the struct
    const struct field *fields;
    uint16_t n_fields;
    uint16_t bytes;      // of the struct, for lists and FIELD_DROP_INVALID
    uint16_t has_place;  // uint32_t line, col, side by side
    uint16_t has_is_set; // bool: the value was given (also by an empty map)
    uint16_t has_is_invalid;
    // Looks at the whole struct once its fields are read, mistakes in them included.
    void (*check)(struct reader *reader, const struct node *node, void *value);
};
#define TABLE_FIELDS(rows) .fields = (rows), .n_fields = sizeof(rows) / sizeof((rows)[0])

enum step_kind { STEP_FIELD, STEP_ENTRY, STEP_INDEX }; // .key, [key], [index]
struct step {                                          // of the path from the root of the object
    const struct step *parent;
    enum step_kind kind;
    struct str key;
    uint32_t index;
};

struct reader {
    struct arena *arena;   // for what stays
    struct arena *scratch; // for the document's time
    struct diags *diags;   // NULL: said already, in an earlier run
    struct str file, title;
    uint32_t first_line; // nodes' lines count from the document's first
    const struct step *step;
    bool has_failed;        // a mistake that nothing has contained so far
    bool has_invalid_parts; // a mistake that was contained
    // The first run only measures: what the second needs to put the object in one piece.
    bool is_measuring;
    size_t struct_bytes, string_bytes;
    char *strings; // where the second run puts texts
};

void read_struct(struct reader *reader, const struct table *table, const struct node *node,
                 void *value);
void *reader_alloc(struct reader *reader, size_t bytes); // cleared
// A NUL-terminated copy among the object's strings, and the same as a text with its place.
const char *reader_copy(struct reader *reader, struct str text);
void set_text(struct reader *reader, struct str from, uint32_t line, uint32_t col,
              struct text *ret);
// Readers of single values, for FIELD_CUSTOM; they report by themselves and return false on a
// mistake.
bool read_text(struct reader *reader, const struct field *field, const struct node *node,
               struct text *ret);
bool read_number(struct reader *reader, const struct field *field, const struct node *node,
                 struct number *ret);
bool read_flag(struct reader *reader, const struct node *node, struct flag *ret);
bool read_duration(struct reader *reader, const struct field *field, const struct node *node,
                   struct duration *ret);
bool read_word(struct reader *reader, const struct field *field, const struct node *node, int *ret);
bool read_port_ref(struct reader *reader, const struct node *node, struct port_ref *ret);
void read_texts(struct reader *reader, const struct field *field, const struct node *node,
                struct texts *ret);
bool read_text_map(struct reader *reader, const struct field *field, const struct node *node,
                   struct text_map *ret);
bool expect_type(struct reader *reader, const struct node *node, enum node_type type,
                 const char *due);

// Diagnostics at the current path, or at a field below it. An error marks the reader as failed.
void report(struct reader *reader, enum diag_code code, uint32_t line, uint32_t col,
            const char *hint, const char *format, ...) __attribute__((format(printf, 6, 7)));
void report_at(struct reader *reader, const char *key, enum diag_code code, uint32_t line,
               uint32_t col, const char *hint, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
#define REPORT_TEXT(reader, code, text, ...)                                                       \
    report((reader), (code), (text)->line, (text)->col, NULL, __VA_ARGS__)
// The value of a field (for its place) or NULL.
const struct node *field_node(const struct node *map, const char *key);

// What a plain scalar means, as the YAML 1.1 reader of Kubernetes takes it.
enum scalar_type { SCALAR_TEXT, SCALAR_NULL, SCALAR_BOOL, SCALAR_NUMBER };
enum scalar_type scalar_type(const struct node *node);
bool parse_duration_ms(struct str text, int64_t *ret_ms, const char **reterr_why);
bool parse_time(struct str text, int64_t *ret_seconds); // RFC 3339

// Checks shared by kinds.
void check_dns_label(struct reader *reader, const struct field *field, const void *text);
void check_dns_subdomain(struct reader *reader, const struct field *field, const void *text);
void check_port_name(struct reader *reader, const struct field *field, const void *text);
void check_ip(struct reader *reader, const struct field *field, const void *text);
void check_port_ref(struct reader *reader, const struct field *field, const void *port_ref);
void check_labels(struct reader *reader, const struct field *field, const void *text_map);
void check_annotations(struct reader *reader, const struct field *field, const void *text_map);
void check_export_to(struct reader *reader, const struct field *field, const void *text);
void check_export_list(struct reader *reader, const struct texts *list);
void check_header_name(struct reader *reader, const struct field *field, const void *text);
// What reaches the head of a message or a line of the log: no text may end it early.
void check_header_value(struct reader *reader, const struct field *field, const void *text);
void check_authority(struct reader *reader, const struct field *field, const void *text);
void check_target(struct reader *reader, const struct field *field, const void *text); // in a path
void check_new_path(struct reader *reader, const struct field *field, const void *text);
void check_location_path(struct reader *reader, const struct field *field, const void *text);
void check_plain_text(struct reader *reader, const struct field *field, const void *text);

extern const struct word transport_words[]; // TCP, UDP, SCTP

// The kinds; each table's struct is that of the kind's header.
extern const struct table service_table, endpoints_table, endpoint_slice_table, pod_table,
    namespace_table, secret_table, ingress_table, ingress_class_table, gateway_table, virtual_service_table,
    destination_rule_table, service_entry_table, workload_entry_table, sidecar_table;
// A broken rule that asks for TLS stays as far as it must for its host to fail closed.
void destination_rule_contain(struct reader *reader, const struct node *root,
                              struct destination_rule *rule);
// A broken Sidecar that shuts the way out stays as far as it must for that.
void sidecar_contain(struct reader *reader, const struct node *root, struct sidecar *sidecar);
const struct table *decode_table(enum kind kind);
// The i-th version that a kind is served in, the recommended one first; NULL: no more.
const char *decode_api_version(enum kind kind, size_t i);
