// SPDX-License-Identifier: Apache-2.0
// ClientHellos: the answer at a length stays, whatever comes behind; a name is a host name.
#include "fuzz.h"
#include "tls/client_hello.h"

static void check_hello(const struct client_hello *hello, enum client_hello_status status)
{
    CHECK(strlen(hello->name) == hello->name_len && hello->name_len <= CLIENT_HELLO_NAME_MAX);
    if (status != CLIENT_HELLO_DONE)
        CHECK(hello->name_len == 0 && !hello->offers_h2 && !hello->offers_http1);
    for (size_t i = 0; i < hello->name_len; i++) {
        char c = hello->name[i];
        CHECK((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_.", c));
        CHECK(c != '.' || (i > 0 && i + 1U < hello->name_len && hello->name[i - 1] != '.'));
    }
}

static enum client_hello_status read_copy(struct client_hello *hello, const uint8_t *data,
                                          size_t len)
{
    char *copy = exact_copy(data, len);
    memset(hello, 0xaa, sizeof(*hello));
    enum client_hello_status status = client_hello_read(hello, (struct str){copy, len});
    check_hello(hello, status);
    free(copy);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = 1 + take_byte(&data, &size) % 64;
    struct client_hello whole, part;
    enum client_hello_status status = read_copy(&whole, data, size);
    for (size_t len = 0; len <= size; len += step) {
        enum client_hello_status so_far = read_copy(&part, data, len);
        if (so_far == CLIENT_HELLO_MORE)
            continue;
        CHECK(so_far == status);
        CHECK(strcmp(part.name, whole.name) == 0 && part.offers_h2 == whole.offers_h2 &&
              part.offers_http1 == whole.offers_http1);
    }
    return 0;
}
