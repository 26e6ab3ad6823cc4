// SPDX-License-Identifier: Apache-2.0
// The first bytes of a client: what is known of them stays known, whatever comes behind, and is
// known within the limits.
#include "fuzz.h"
#include "proxy/first_bytes.h"

static enum first_bytes look_at_copy(const uint8_t *data, size_t len, struct client_hello *hello)
{
    char *copy = exact_copy(data, len);
    enum first_bytes answer = first_bytes_look((struct str){copy, len}, hello);
    free(copy);
    if (answer == FIRST_BYTES_MORE)
        CHECK(len < FIRST_BYTES_HTTP_MAX);
    if (answer == FIRST_BYTES_PART_OF_TLS)
        CHECK(len > 0 && data[0] == 22 && len < CLIENT_HELLO_BYTES_MAX);
    if (answer != FIRST_BYTES_TLS)
        CHECK(hello->name_len == 0);
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = 1 + take_byte(&data, &size) % 8;
    struct client_hello whole, part;
    enum first_bytes answer = look_at_copy(data, size, &whole);
    for (size_t len = 0; len <= size; len += step) {
        enum first_bytes so_far = look_at_copy(data, len, &part);
        if (so_far == FIRST_BYTES_MORE || so_far == FIRST_BYTES_PART_OF_TLS)
            continue;
        CHECK(so_far == answer);
        CHECK(strcmp(part.name, whole.name) == 0);
    }
    return 0;
}
