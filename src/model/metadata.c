// SPDX-License-Identifier: Apache-2.0
#include "model/rows.h"

static void read_time(struct reader *reader, const struct field *field, const struct node *node,
                      void *value)
{
    struct text text;
    static const struct field borrowed = {.flags = FIELD_BORROWED};
    if (read_text(reader, &borrowed, node, &text) && !parse_time(text_str(text), value))
        report(reader, DIAG_FIELD_VALUE, node->line, node->col, NULL,
               "\"%.*s\" is not a time such as 2026-01-05T10:00:00Z", STR_ARG(text_str(text)));
}

static const struct field fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_BORROWED,
     .offset = offsetof(struct metadata, name),
     .doc = "Name, unique within kind and namespace."},
    {.key = "namespace",
     .type = FIELD_TEXT,
     .flags = FIELD_BORROWED,
     .offset = offsetof(struct metadata, ns),
     .check = check_dns_label,
     .doc = "Namespace; without one the object is in `default`."},
    {.key = "generateName",
     .type = FIELD_TEXT,
     .flags = FIELD_BORROWED,
     .offset = offsetof(struct metadata, generate_name),
     .doc = "Prefix of a name that the API server completes; a name is needed next to it."},
    {.key = "labels",
     .type = FIELD_TEXT_MAP,
     .offset = offsetof(struct metadata, labels),
     .check = check_labels,
     .doc = "What selectors select by."},
    {.key = "annotations",
     .type = FIELD_TEXT_MAP,
     .offset = offsetof(struct metadata, annotations),
     .check = check_annotations,
     .doc = "Settings of controllers."},
    {.key = "creationTimestamp",
     .type = FIELD_CUSTOM,
     .offset = offsetof(struct metadata, created_s),
     .read = read_time,
     .doc = "Age, where precedence depends on it; objects without one are in order of reading."},
    {.key = "deletionTimestamp",
     .type = FIELD_TEXT,
     .flags = FIELD_BORROWED,
     .offset = offsetof(struct metadata, deletion_timestamp),
     .doc = "A Pod that has one is terminating."},
    IRRELEVANT("deletionGracePeriodSeconds", "Time that a Pod is given to end."),
    IRRELEVANT("finalizers", "What must happen before the object is removed."),
    IRRELEVANT("generation", "Number of the version of spec."),
    IRRELEVANT("managedFields", "Who wrote which field."),
    IRRELEVANT("ownerReferences", "What this object belongs to."),
    IRRELEVANT("resourceVersion", "Version of the object in its store."),
    IRRELEVANT("selfLink", "Former path of the object."),
    IRRELEVANT("uid", "Identity over all times."),
};

const struct table metadata_table = {.name = "ObjectMeta", TABLE_FIELDS(fields)};
