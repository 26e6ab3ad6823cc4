// SPDX-License-Identifier: Apache-2.0
// Time. Deadlines and durations use the monotonic clock; only what people read uses wall time.
#pragma once
#include <stdint.h>

int64_t clock_monotonic_ns(void);
int64_t clock_wall_ns(void); // since 1970-01-01 UTC
static inline int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}
