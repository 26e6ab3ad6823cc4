// SPDX-License-Identifier: Apache-2.0
#include "proxy/first_bytes.h"

enum { METHOD_BYTES_MAX = 24 };

static enum first_bytes look_for_tls(struct str bytes, struct client_hello *hello)
{
    switch (client_hello_read(hello, bytes)) {
    case CLIENT_HELLO_DONE:
        return FIRST_BYTES_TLS;
    case CLIENT_HELLO_MORE:
        return FIRST_BYTES_PART_OF_TLS;
    case CLIENT_HELLO_NOT:
    case CLIENT_HELLO_LARGE: // its name stays unknown
        break;
    }
    return FIRST_BYTES_OTHER;
}

// Does `bytes` begin with `text`, in the case given? MORE: as far as it goes.
static enum first_bytes look_for(struct str bytes, const char *text, bool ignore_case)
{
    for (size_t i = 0; text[i]; i++) {
        if (i == bytes.len)
            return FIRST_BYTES_MORE;
        char c = ignore_case ? ascii_lower(bytes.ptr[i]) : bytes.ptr[i];
        if (c != text[i])
            return FIRST_BYTES_OTHER;
    }
    return FIRST_BYTES_HTTP;
}

// What follows the method: a path, "* HTTP/" (of HTTP/2's preface, too), or an absolute URI (RFC
// 9112, 3.2). So lines of other text protocols (NICK x, PING, OPTIONS rtsp://...) are not taken for
// HTTP. Nor is CONNECT: what it begins is a tunnel through a proxy of the client's choice.
static enum first_bytes look_for_target(struct str target)
{
    if (target.len == 0)
        return FIRST_BYTES_MORE;
    if (target.ptr[0] == '/')
        return FIRST_BYTES_HTTP;
    if (target.ptr[0] == '*')
        return look_for(target, "* HTTP/", false);
    enum first_bytes plain = look_for(target, "http://", true);
    return plain == FIRST_BYTES_OTHER ? look_for(target, "https://", true) : plain;
}

// A method is a token (RFC 9110, 5.6.2), and all that are registered are of capital letters and
// '-'. Methods distinguish case (9.1): "get x" is memcached.
static enum first_bytes look_for_http(struct str bytes)
{
    size_t len = 0;
    while (len < bytes.len && ((bytes.ptr[len] >= 'A' && bytes.ptr[len] <= 'Z') ||
                               (bytes.ptr[len] == '-' && len > 0))) {
        if (++len > METHOD_BYTES_MAX)
            return FIRST_BYTES_OTHER;
    }
    if (len == bytes.len)
        return FIRST_BYTES_MORE;
    if (len == 0 || bytes.ptr[len] != ' ')
        return FIRST_BYTES_OTHER;
    return look_for_target(str_from(bytes, len + 1));
}

enum first_bytes first_bytes_look(struct str bytes, struct client_hello *hello)
{
    *hello = (struct client_hello){.name_len = 0};
    if (bytes.len == 0)
        return FIRST_BYTES_MORE;
    if (first_bytes_are_of_tls(bytes))
        return look_for_tls(bytes, hello);
    return look_for_http(bytes);
}
