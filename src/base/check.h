// SPDX-License-Identifier: Apache-2.0
// CHECK: for mistakes only we can make. On in every build; prints the place and aborts.
#pragma once

__attribute__((noreturn, cold)) void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(expression), 0))                                                    \
            check_failed(#expression, __FILE__, __LINE__);                                         \
    } while (0)
