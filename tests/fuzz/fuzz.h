// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput(); it is linked
// with libFuzzer (-Dfuzz=true, clang) or with replay.c, and lives on CHECK().
#pragma once
#include "base/check.h"
#include "base/str.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// On the heap and without a byte to spare, so that AddressSanitizer sees a read past the end.
static inline char *exact_copy(const void *data, size_t len)
{
    char *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len)
        memcpy(copy, data, len);
    return copy;
}

// The first byte of an input steers the target (where to cut, which method); the rest is fed.
static inline unsigned take_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0)
        return 0;
    --*size;
    return *(*data)++;
}
