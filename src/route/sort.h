// SPDX-License-Identifier: Apache-2.0
// Sorting many things by name. Names of one kind begin alike (outbound|80||...), so comparing them
// in full reads the same bytes again and again. Control thread.
#pragma once
#include "base/str.h"

struct named {
    struct str name;
    void *item;
    uint64_t key; // filled in by the sort, as is
    size_t order; // the place it had
};

void sort_by_name(struct named *items, size_t n); // by bytes; equal names keep their order
