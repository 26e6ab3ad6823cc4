// SPDX-License-Identifier: Apache-2.0
// Documents: a YAML or JSON document as a tree of nodes that know their place. libfyaml does the
// parsing; nothing outside doc.c knows it. Control thread.
//
// Anchors and aliases are resolved (an alias shares its anchor's node), merge keys (`<<`) are
// applied, duplicate keys are an error. Depth, nodes and alias expansion are bounded (doc.c).
#pragma once
#include "base/arena.h"

enum node_type { NODE_NULL, NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_type type;
    bool is_quoted;     // a scalar in quotes or a block scalar: a string whatever it looks like
    uint32_t line, col; // 1-based, in characters; a scalar's first one (or its quote), a map's
                        // first key, an alias's anchor
    union {
        struct str scalar; // decoded bytes (UTF-8)
        struct {
            struct pair *pairs;
            uint32_t n_pairs;
        } map;
        struct {
            struct node **items;
            uint32_t n_items;
        } list;
    };
};

struct pair {
    struct str key;
    uint32_t line, col; // of the key
    struct node *value; // never NULL
};

struct doc_error {
    uint32_t line, col;
    char message[200];
};

// Parses the one document in `text` (without or with its leading `---`); an empty one (comments
// only, or null) yields NULL and true. Nodes live in `arena`; lines count from `first_line`. On
// failure false and *reterr_error.
bool doc_parse(struct arena *arena, struct str text, uint32_t first_line, struct node **ret_root,
               struct doc_error *reterr_error);

// Cuts a stream into documents before `---` lines and behind `...` lines (YAML forbids these
// anywhere else); directives stay with the `---` that follows them. A part may be empty of content.
// false at the end. *cursor starts at 0, *line at 1; *ret_line is the first line of the part.
bool doc_split(struct str stream, size_t *cursor, uint32_t *line, struct str *ret_part,
               uint32_t *ret_line);

const struct node *node_get(const struct node *map, struct str key); // NULL: absent or not a map
