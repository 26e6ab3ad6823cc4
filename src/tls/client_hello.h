// SPDX-License-Identifier: Apache-2.0
// Reads the name asked for (SNI) and the protocols offered (ALPN) out of a ClientHello (RFC 8446,
// 4.1.2; RFC 6066, 3; RFC 7301) that may come in several TLS records and any number of pieces.
// Bytes in, values out; no allocation. Any thread.
#pragma once
#include "base/str.h"

enum { CLIENT_HELLO_BYTES_MAX = 16 * 1024, CLIENT_HELLO_NAME_MAX = 255 };

enum client_hello_status {
    CLIENT_HELLO_DONE,
    CLIENT_HELLO_MORE,  // not all of it is there
    CLIENT_HELLO_NOT,   // no TLS, or malformed
    CLIENT_HELLO_LARGE, // over the limit
};
struct client_hello {
    char name[CLIENT_HELLO_NAME_MAX + 1]; // lower case, without a last dot; "" when none is asked for
    uint8_t name_len;
    bool offers_h2, offers_http1;
};
// Looks at all bytes received so far, from the first.
enum client_hello_status client_hello_read(struct client_hello *hello, struct str bytes);
