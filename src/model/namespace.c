// SPDX-License-Identifier: Apache-2.0
#include "model/rows.h"

static const struct field fields[] = {
    ROOT_FIELDS,
    IRRELEVANT("spec", "Finalizers, what must happen before the namespace is removed."),
    IRRELEVANT("status", "Whether the namespace is being removed."),
};
const struct table namespace_table = {.name = "Namespace", TABLE_FIELDS(fields)};
