// SPDX-License-Identifier: Apache-2.0
// What the tests of the HTTP/1 engine share.
#pragma once
#include "http/h1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// cmocka needs those above.
#include <cmocka.h>

#define S(literal)                                                                                 \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    } // for static tables; holds NULs

#define assert_str(actual, expected)                                                               \
    do {                                                                                           \
        struct str actual_ = (actual), expected_ = str_of(expected);                               \
        if (!str_equal(actual_, expected_))                                                        \
            fail_msg("\"%.*s\" instead of \"%.*s\"", STR_ARG(actual_), STR_ARG(expected_));        \
    } while (0)

// On the heap and without a byte to spare. free() it.
static inline char *exact_copy(struct str text)
{
    char *copy = malloc(text.len ? text.len : 1);
    assert_non_null(copy);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return copy;
}
