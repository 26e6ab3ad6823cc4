// SPDX-License-Identifier: Apache-2.0
// For tests of a worker's parts: one that has memory and a clock, and no thread.
#pragma once
#include "proxy/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

// Nothing is kept in the pools: a sanitizer sees what is used after its end, and what is left.
static inline struct worker *bare_worker(void)
{
    struct worker *worker = calloc(1, sizeof *worker);
    assert_non_null(worker);
    worker->small.bytes = BUFFER_SMALL_BYTES;
    worker->large.bytes = BUFFER_LARGE_BYTES;
    worker->heads.bytes = HEAD_TEXT_BYTES;
    worker->streams.bytes = sizeof(struct stream);
    return worker;
}

static inline int set_up_worker(void **state)
{
    *state = bare_worker();
    return 0;
}

static inline int tear_down_worker(void **state)
{
    free(*state);
    return 0;
}

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}
