// SPDX-License-Identifier: Apache-2.0
// metadata, the same for every kind. Internal to model/.
#pragma once
#include "model/field.h"

struct metadata {
    struct text name, ns, generate_name, deletion_timestamp; // in the document
    struct text_map labels, annotations;
    int64_t created_s;
};
extern const struct table metadata_table;

// Rows of every kind's root that decode.c reads by itself.
#define ROOT_FIELDS                                                                                \
    {.key = "apiVersion", .type = FIELD_IRRELEVANT, .doc = "Group and version of the API."},       \
        {.key = "kind", .type = FIELD_IRRELEVANT, .doc = "The kind."},                             \
    {                                                                                              \
        .key = "metadata", .type = FIELD_IRRELEVANT,                                               \
        .doc = "Name, namespace, labels, annotations."                                             \
    }
