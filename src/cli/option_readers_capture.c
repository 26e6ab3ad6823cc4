// SPDX-License-Identifier: Apache-2.0
// Readers of the options of capture. A list replaces the one before, so that a default can be
// taken back.
#include "base/check.h"
#include "cli/option_readers.h"
#include <stdlib.h>

static bool refuse(struct buf *reterr, struct str value, const char *allowed)
{
    buf_printf(reterr, "\"%.*s\" is not %s", STR_ARG(value), allowed);
    return false;
}

static bool read_numbers(struct capture_numbers *numbers, struct str value, uint64_t min,
                         uint64_t max)
{
    struct str rest = value, part;
    free(numbers->items);
    *numbers = (struct capture_numbers){0};
    if (str_is(value, "none"))
        return true;
    while (str_next(&rest, ',', &part)) {
        uint64_t number;
        if (!str_to_u64(str_trim(part), max, &number) || number < min)
            return false;
        numbers->items = realloc(numbers->items, (numbers->n + 1) * sizeof *numbers->items);
        CHECK(numbers->items != NULL);
        numbers->items[numbers->n++] = (uint32_t)number;
    }
    return true;
}

bool option_read_ports(struct options *options, const struct option_row *row, struct str value,
                       struct buf *reterr)
{
    struct capture_numbers *ports = (void *)((char *)options + row->offset);
    return read_numbers(ports, value, 1, UINT16_MAX) ||
           refuse(reterr, value, "a list of ports (80,443) or none");
}

bool option_read_ports_or_all(struct options *options, const struct option_row *row,
                              struct str value, struct buf *reterr)
{
    struct capture_numbers *ports = (void *)((char *)options + row->offset);
    if (str_is(value, "*")) {
        read_numbers(ports, STR("none"), 0, 0);
        ports->are_all = true;
        return true;
    }
    return read_numbers(ports, value, 1, UINT16_MAX) ||
           refuse(reterr, value, "a list of ports (80,443), * or none");
}

bool option_read_ids(struct options *options, const struct option_row *row, struct str value,
                     struct buf *reterr)
{
    struct capture_numbers *ids = (void *)((char *)options + row->offset);
    return read_numbers(ids, value, 0, UINT32_MAX - 1) ||
           refuse(reterr, value, "a list of numbers (1337,1338) or none");
}

static bool read_subnets(struct capture_subnets *subnets, struct str value)
{
    struct str rest = value, part;
    free(subnets->items);
    *subnets = (struct capture_subnets){0};
    if (str_is(value, "none"))
        return true;
    while (str_next(&rest, ',', &part)) {
        struct capture_subnet subnet;
        if (!address_parse_subnet(str_trim(part), &subnet.base, &subnet.bits))
            return false;
        subnets->items = realloc(subnets->items, (subnets->n + 1) * sizeof subnet);
        CHECK(subnets->items != NULL);
        subnets->items[subnets->n++] = subnet;
    }
    return true;
}

bool option_read_subnets(struct options *options, const struct option_row *row, struct str value,
                         struct buf *reterr)
{
    struct capture_subnets *subnets = (void *)((char *)options + row->offset);
    return read_subnets(subnets, value) ||
           refuse(reterr, value, "a list of subnets (10.0.0.0/8,fd00::/8) or none");
}

bool option_read_subnets_or_all(struct options *options, const struct option_row *row,
                                struct str value, struct buf *reterr)
{
    struct capture_subnets *subnets = (void *)((char *)options + row->offset);
    if (str_is(value, "*")) {
        read_subnets(subnets, STR("none"));
        subnets->are_all = true;
        return true;
    }
    return read_subnets(subnets, value) ||
           refuse(reterr, value, "a list of subnets (10.0.0.0/8,fd00::/8), * or none");
}

bool option_read_fail(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    (void)row;
    if (!str_is(value, "open") && !str_is(value, "closed"))
        return refuse(reterr, value, "open or closed");
    options->capture.life = str_is(value, "open") ? CAPTURE_FAIL_OPEN : CAPTURE_FAIL_CLOSED;
    return true;
}
