// SPDX-License-Identifier: Apache-2.0
// PROXY headers: the answer does not depend on the pieces they come in, and what was read is
// written and read again the same.
#include "fuzz.h"
#include "proxy/proxy_protocol.h"

static enum proxy_header_status read_exactly(const uint8_t *data, size_t size,
                                             struct proxy_header *ret)
{
    char *copy = exact_copy(data, size);
    enum proxy_header_status status = proxy_header_read(ret, (struct str){copy, size});
    free(copy);
    return status;
}

static void check_written(const struct proxy_header *header, int version)
{
    char *out = malloc(PROXY_WRITE_BYTES_MAX);
    CHECK(out);
    size_t len = proxy_header_write(version, &header->source, &header->destination, out);
    struct proxy_header again;
    CHECK(len <= PROXY_WRITE_BYTES_MAX);
    CHECK(read_exactly((const uint8_t *)out, len, &again) == PROXY_HEADER_DONE);
    CHECK(again.len == len);
    CHECK(address_equal(&again.source, &header->source));
    CHECK(address_equal(&again.destination, &header->destination));
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    enum proxy_header_status status = read_exactly(data, size, &whole);
    size_t end = status == PROXY_HEADER_DONE ? whole.len : size;
    CHECK(end <= size && end <= (status == PROXY_HEADER_DONE ? PROXY_V2_BYTES_MAX : size));
    if (status == PROXY_HEADER_MORE)
        CHECK(size < PROXY_V2_BYTES_MAX);
    // A beginning may be known to be bad early, but is never taken for all.
    for (size_t n = 0; n < end && n < 512; n++) {
        enum proxy_header_status early = read_exactly(data, n, &part);
        CHECK(early != PROXY_HEADER_DONE);
        CHECK(early == PROXY_HEADER_MORE || status == PROXY_HEADER_BAD);
    }
    if (status == PROXY_HEADER_DONE) {
        CHECK(!whole.source.family == !whole.destination.family);
        check_written(&whole, 1);
        check_written(&whole, 2);
    }
    return 0;
}
