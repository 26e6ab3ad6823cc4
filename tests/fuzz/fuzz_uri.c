// SPDX-License-Identifier: Apache-2.0
// Paths and authorities: a normal path is stable and has no dot segment; a host is lower case and
// valid by itself.
#include "fuzz.h"
#include "http/uri.h"

static void check_path(struct str path)
{
    char *out = exact_copy(path.ptr, path.len), *again_out = exact_copy(path.ptr, path.len);
    struct str normal, again;
    if (uri_normalize_path(path, out, &normal)) {
        CHECK(normal.len > 0 && normal.len <= path.len && normal.ptr[0] == '/');
        CHECK(!memchr(normal.ptr, '\\', normal.len));
        CHECK(!memmem(normal.ptr, normal.len, "/../", 4) &&
              !memmem(normal.ptr, normal.len, "/./", 3));
        CHECK(!str_has_suffix(normal, STR("/..")) && !str_has_suffix(normal, STR("/.")));
        CHECK(uri_normalize_path(normal, again_out, &again));
        CHECK(str_equal(normal, again));
    }
    free(out);
    free(again_out);
}

static void check_authority(struct str authority)
{
    char *out = exact_copy(authority.ptr, authority.len);
    struct str host, again;
    uint16_t port, again_port;
    bool is_valid = uri_split_authority(authority, out, &host, &port);
    CHECK(is_valid == uri_authority_is_valid(authority));
    if (is_valid) {
        for (size_t i = 0; i < host.len; i++)
            CHECK(host.ptr[i] == ascii_lower(host.ptr[i]) && host.ptr[i] > ' ');
        char *again_out = exact_copy(host.ptr, host.len);
        CHECK(host.len > 0 && host.len <= authority.len);
        // "a.." keeps a dot, and once more would lose it.
        if (host.ptr[host.len - 1] != '.') {
            CHECK(uri_split_authority(host, again_out, &again, &again_port));
            CHECK(str_equal(host, again) && again_port == 0);
        }
        free(again_out);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_copy(data, size);
    check_path((struct str){copy, size});
    check_authority((struct str){copy, size});
    free(copy);
    return 0;
}
