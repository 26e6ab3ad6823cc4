// SPDX-License-Identifier: Apache-2.0
// How long an endpoint keeps an idle connection, learnt: from what it says (Keep-Alive) and from
// when it closes. A value; whoever has it, locks.
//
// Two closes that agree, one after the other, make a limit: the second connection began to wait
// after the first was closed, so that one restart of the endpoint, which closes many, is no limit.
// A close earlier than another connection has lived through is chance and teaches nothing, nor does
// one below IDLE_LIMIT_FLOOR_MS. What was learnt is forgotten after a while, so that it can grow.
#pragma once
#include <stdint.h>

struct idle_limit {
    uint32_t told_ms;     // UINT32_MAX: nothing
    uint32_t learnt_ms;   // 0: not known
    uint32_t seen_ms;     // of the last close; 0: none
    uint32_t survived_ms; // the longest wait that did no harm
    int64_t seen_at_ms;
    int64_t told_until_ms, learnt_until_ms, survived_until_ms;
};

void idle_limit_init(struct idle_limit *limit);
void idle_limit_note_told(struct idle_limit *limit, uint32_t told_ms, int64_t now_ms);
void idle_limit_note_close(struct idle_limit *limit, uint32_t waited_ms, int64_t now_ms);
void idle_limit_note_survival(struct idle_limit *limit, uint32_t waited_ms, int64_t now_ms);
uint32_t idle_limit_get(struct idle_limit *limit, int64_t now_ms); // ms; 0: not known
// "timeout=5, max=100" (RFC 2068, 19.7.1.1). UINT32_MAX: not said.
struct str;
void idle_limit_parse(struct str keep_alive, uint32_t *ret_ms, uint32_t *ret_requests);
