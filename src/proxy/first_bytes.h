// SPDX-License-Identifier: Apache-2.0
// What a client speaks, told by its first bytes: TLS by a ClientHello, HTTP by the beginning of a
// request line or of the HTTP/2 preface. Bytes in, values out; no allocation. Any thread.
#pragma once
#include "tls/client_hello.h"

enum first_bytes {
    FIRST_BYTES_MORE,        // may be HTTP yet: at most FIRST_BYTES_HTTP_MAX bytes are looked at
    FIRST_BYTES_PART_OF_TLS, // the beginning of a ClientHello: at most CLIENT_HELLO_BYTES_MAX
    FIRST_BYTES_TLS,         // `hello` is all of it
    FIRST_BYTES_HTTP,
    FIRST_BYTES_OTHER,
};
enum { FIRST_BYTES_HTTP_MAX = 40 };

// Looks at all bytes received so far, from the first. What it says, but for MORE and PART_OF_TLS,
// is the same whatever comes behind.
enum first_bytes first_bytes_look(struct str bytes, struct client_hello *hello);
// Is that what TLS begins with, whole or broken?
static inline bool first_bytes_are_of_tls(struct str bytes)
{
    return bytes.len > 0 && bytes.ptr[0] == 22;
}
