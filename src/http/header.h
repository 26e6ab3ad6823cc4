// SPDX-License-Identifier: Apache-2.0
// Header fields as slices of the buffer they arrived in (RFC 9110, 5). The list borrows the bytes.
#pragma once
#include "base/str.h"

// Names that the proxy itself looks at. HEADER_OTHER is every other name.
// clang-format off
#define HEADER_IDS(X) \
    X(HOST, "host") X(CONNECTION, "connection") X(CONTENT_LENGTH, "content-length") \
    X(TRANSFER_ENCODING, "transfer-encoding") X(UPGRADE, "upgrade") X(TE, "te") X(EXPECT, "expect") \
    X(KEEP_ALIVE, "keep-alive") X(PROXY_CONNECTION, "proxy-connection") X(TRAILER, "trailer") \
    X(SERVER, "server") X(DATE, "date") X(X_FORWARDED_FOR, "x-forwarded-for") \
    X(X_FORWARDED_PROTO, "x-forwarded-proto") X(X_REQUEST_ID, "x-request-id") \
    X(USER_AGENT, "user-agent") X(CONTENT_TYPE, "content-type") X(HTTP2_SETTINGS, "http2-settings") \
    X(X_ENVOY, "x-envoy-*") /* any name that begins with x-envoy- */ \
    X(X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert") X(X_FORWARDED_HOST, "x-forwarded-host") \
    X(VIA, "via") X(LOCATION, "location") X(COOKIE, "cookie")
// clang-format on

enum header_id {
    HEADER_OTHER,
#define X(id, name) HEADER_##id,
    HEADER_IDS(X)
#undef X
    HEADER_ID_COUNT
};

struct header {
    struct str name, value; // value without surrounding blanks
    uint8_t id;             // enum header_id
    bool is_hop_by_hop;     // named by Connection, or hop by hop by itself (RFC 9110, 7.6.1)
};

struct header_list {
    struct header *items; // in order of arrival; the caller's array
    uint16_t n, cap;
    // 1 + index of the first of each known name; 0: absent
    uint8_t first[HEADER_ID_COUNT];
};

enum { HEADERS_MAX = 100 }; // fields in one head; more is answered 431

enum header_id header_id_of(struct str name);
// First field of that name (ASCII case-insensitive), or NULL.
const struct header *header_find(const struct header_list *list, struct str name);
static inline const struct header *header_get(const struct header_list *list, enum header_id id)
{
    return list->first[id] ? &list->items[list->first[id] - 1] : NULL;
}
bool header_name_is_valid(struct str name);   // token (RFC 9110, 5.6.2)
bool header_value_is_valid(struct str value); // field-content (RFC 9110, 5.5): no CR, LF, NUL, controls
