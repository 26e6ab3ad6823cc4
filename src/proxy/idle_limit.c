// SPDX-License-Identifier: Apache-2.0
#include "proxy/idle_limit.h"
#include "base/str.h"
#include "proxy/limits.h"

void idle_limit_init(struct idle_limit *limit)
{
    *limit = (struct idle_limit){.told_ms = UINT32_MAX};
}

static void forget_old(struct idle_limit *limit, int64_t now_ms)
{
    if (now_ms >= limit->told_until_ms)
        limit->told_ms = UINT32_MAX;
    if (now_ms >= limit->learnt_until_ms)
        limit->learnt_ms = 0;
    if (now_ms >= limit->survived_until_ms)
        limit->survived_ms = 0;
    if (now_ms >= limit->seen_at_ms + IDLE_LIMIT_KEPT_MS)
        limit->seen_ms = 0;
}

void idle_limit_note_told(struct idle_limit *limit, uint32_t told_ms, int64_t now_ms)
{
    limit->told_ms = told_ms;
    limit->told_until_ms = now_ms + IDLE_LIMIT_KEPT_MS;
}

static bool agree(uint32_t a, uint32_t b)
{
    uint32_t more = a > b ? a : b, less = a > b ? b : a;
    return more - less <= more / 10;
}

void idle_limit_note_close(struct idle_limit *limit, uint32_t waited_ms, int64_t now_ms)
{
    forget_old(limit, now_ms);
    if (waited_ms < IDLE_LIMIT_FLOOR_MS || waited_ms <= limit->survived_ms)
        return;
    if (limit->seen_ms && now_ms - waited_ms < limit->seen_at_ms)
        return; // waited already when the one before was closed
    if (limit->seen_ms && agree(limit->seen_ms, waited_ms)) {
        limit->learnt_ms = limit->seen_ms < waited_ms ? limit->seen_ms : waited_ms;
        limit->learnt_until_ms = now_ms + IDLE_LIMIT_KEPT_MS;
    }
    limit->seen_ms = waited_ms;
    limit->seen_at_ms = now_ms;
}

void idle_limit_note_survival(struct idle_limit *limit, uint32_t waited_ms, int64_t now_ms)
{
    forget_old(limit, now_ms);
    if (waited_ms >= limit->survived_ms) {
        limit->survived_ms = waited_ms;
        limit->survived_until_ms = now_ms + IDLE_LIMIT_KEPT_MS;
    }
    if (waited_ms > limit->learnt_ms)
        limit->learnt_ms = 0;
}

uint32_t idle_limit_get(struct idle_limit *limit, int64_t now_ms)
{
    forget_old(limit, now_ms);
    if (limit->told_ms == UINT32_MAX)
        return limit->learnt_ms;
    return limit->learnt_ms && limit->learnt_ms < limit->told_ms ? limit->learnt_ms
                                                                 : limit->told_ms;
}

static bool read_number(struct str text, uint32_t max, uint32_t *ret)
{
    uint64_t number = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
        if (number > max)
            number = max; // so long that it does not matter
    }
    *ret = (uint32_t)number;
    return true;
}

void idle_limit_parse(struct str keep_alive, uint32_t *ret_ms, uint32_t *ret_requests)
{
    struct str rest = keep_alive, item;
    uint32_t number;
    *ret_ms = *ret_requests = UINT32_MAX;
    while (str_next(&rest, ',', &item)) {
        item = str_trim(item);
        ptrdiff_t equals = str_index(item, '=');
        if (equals < 0)
            continue;
        struct str name = str_trim(str_upto(item, (size_t)equals));
        struct str value = str_trim(str_from(item, (size_t)equals + 1));
        if (str_equal_nocase(name, STR("timeout")) && read_number(value, 86400, &number))
            *ret_ms = number * 1000;
        else if (str_equal_nocase(name, STR("max")) && read_number(value, 1000000000, &number))
            *ret_requests = number;
    }
}
