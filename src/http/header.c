// SPDX-License-Identifier: Apache-2.0
#include "http/header.h"

#include "http/chars.h"

enum {
    T = CHAR_TOKEN,
    V = CHAR_VALUE,
    R = CHAR_VALUE | CHAR_TARGET,    // visible, in no other class
    TV = CHAR_TOKEN | R,             // tchar that no host may hold
    HV = CHAR_HOST | R,              // sub-delim that is no tchar
    SV = CHAR_TOKEN | CHAR_HOST | R, // sub-delim that is a tchar
    UV = SV | CHAR_UNRESERVED,       // - . _ ~
    DV = UV | CHAR_DIGIT | CHAR_HEX, // digit
    AV = UV | CHAR_HEX,              // a-f
    BV = UV | CHAR_UPPER,            // G-Z
    CV = AV | CHAR_UPPER,            // A-F
};

// clang-format off
const uint8_t http_char_class[256] = {
    /* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
    /* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*       SP  !   "   #      $   %   &   '   (   )   *   +   ,   -   .   /  */
    /* 20 */ V,  SV, R,  V | T, SV, TV, SV, SV, HV, HV, SV, SV, HV, UV, UV, R,
    /*       0   1   2   3   4   5   6   7   8   9   :  ;   <  =   >  ?  */
    /* 30 */ DV, DV, DV, DV, DV, DV, DV, DV, DV, DV, R, HV, R, HV, R, R,
    /* 40 */ R,  CV, CV, CV, CV, CV, CV, BV, BV, BV, BV, BV, BV, BV, BV, BV,
    /*                                                       [  \  ]  ^   _ */
    /* 50 */ BV, BV, BV, BV, BV, BV, BV, BV, BV, BV, BV, R, R, R, TV, UV,
    /* 60 */ TV, AV, AV, AV, AV, AV, AV, UV, UV, UV, UV, UV, UV, UV, UV, UV,
    /*                                                       {  |   }  ~   DEL */
    /* 70 */ UV, UV, UV, UV, UV, UV, UV, UV, UV, UV, UV, R, TV, R, UV, 0,
    /* 80 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* 90 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* a0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* b0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* c0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* d0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* e0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    /* f0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
// clang-format on

#define IS(p, literal) has_text(p, literal, sizeof(literal) - 1)

static enum header_id id_of_long(const char *p, size_t len)
{
    switch (len) {
    case 14:
        if (IS(p, "content-length"))
            return HEADER_CONTENT_LENGTH;
        return IS(p, "http2-settings") ? HEADER_HTTP2_SETTINGS : HEADER_OTHER;
    case 15:
        return IS(p, "x-forwarded-for") ? HEADER_X_FORWARDED_FOR : HEADER_OTHER;
    case 16:
        if (IS(p, "proxy-connection"))
            return HEADER_PROXY_CONNECTION;
        return IS(p, "x-forwarded-host") ? HEADER_X_FORWARDED_HOST : HEADER_OTHER;
    case 17:
        if (IS(p, "transfer-encoding"))
            return HEADER_TRANSFER_ENCODING;
        return IS(p, "x-forwarded-proto") ? HEADER_X_FORWARDED_PROTO : HEADER_OTHER;
    case 23:
        return IS(p, "x-forwarded-client-cert") ? HEADER_X_FORWARDED_CLIENT_CERT : HEADER_OTHER;
    default:
        return HEADER_OTHER;
    }
}

enum header_id header_id_of(struct str name)
{
    const char *p = name.ptr;
    switch (name.len) {
    case 0:
    case 1:
    case 5:
        return HEADER_OTHER;
    case 2:
        return IS(p, "te") ? HEADER_TE : HEADER_OTHER;
    case 3:
        return IS(p, "via") ? HEADER_VIA : HEADER_OTHER;
    case 4:
        return IS(p, "host") ? HEADER_HOST : IS(p, "date") ? HEADER_DATE : HEADER_OTHER;
    case 6:
        return IS(p, "server")   ? HEADER_SERVER
               : IS(p, "cookie") ? HEADER_COOKIE
               : IS(p, "expect") ? HEADER_EXPECT
                                 : HEADER_OTHER;
    case 7:
        return IS(p, "upgrade") ? HEADER_UPGRADE : IS(p, "trailer") ? HEADER_TRAILER : HEADER_OTHER;
    default:
        break;
    }
    if (IS(p, "x-envoy-")) // eight bytes, all there
        return HEADER_X_ENVOY;
    switch (name.len) {
    case 8:
        return IS(p, "location") ? HEADER_LOCATION : HEADER_OTHER;
    case 10:
        return IS(p, "connection")   ? HEADER_CONNECTION
               : IS(p, "user-agent") ? HEADER_USER_AGENT
               : IS(p, "keep-alive") ? HEADER_KEEP_ALIVE
                                     : HEADER_OTHER;
    case 12:
        return IS(p, "content-type")   ? HEADER_CONTENT_TYPE
               : IS(p, "x-request-id") ? HEADER_X_REQUEST_ID
                                       : HEADER_OTHER;
    default:
        return id_of_long(p, name.len);
    }
}

const struct header *header_find(const struct header_list *list, struct str name)
{
    enum header_id id = header_id_of(name);
    // X_ENVOY stands for many names, so its first field may be another one.
    if (id != HEADER_OTHER && id != HEADER_X_ENVOY)
        return header_get(list, id);
    for (unsigned i = 0; i < list->n; i++)
        if (list->items[i].id == id && str_equal_nocase(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

bool header_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!char_is(name.ptr[i], CHAR_TOKEN))
            return false;
    return name.len > 0;
}

bool header_value_is_valid(struct str value)
{
    if (value.len == 0)
        return true;
    const char *end = value.ptr + value.len;
    return scan_value(value.ptr, value.ptr, end) == end;
}
