// SPDX-License-Identifier: Apache-2.0
// TLSRoute and TCPRoute: rules of a VirtualService for connections.
#include "base/address.h"
#include "model/http_route.h"
#include "model/names.h"

// --- conditions --------------------------------------------------------------------------------

static void check_sni_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    const char *mistake = istio_host_mistake(text_str(*text));
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\": %s",
                    STR_ARG(str_upto(text_str(*text), 300)), mistake);
}

static void check_subnet(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct address base;
    unsigned bits = 0;
    if (!address_parse_subnet(text_str(*text), &base, &bits))
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text,
                    "\"%.*s\" is no IP address and no subnet such as 10.1.0.0/16",
                    STR_ARG(str_upto(text_str(*text), 300)));
}

#define SUBNETS_ROW                                                                                \
    {                                                                                              \
        .key = "destinationSubnets", .type = FIELD_TEXTS,                                          \
        AT(struct l4_match, destination_subnets), .check = check_subnet,                           \
        .doc = "Addresses of this gateway that the client may have dialled: IP or CIDR."           \
    }

static const struct field tls_match_fields[] = {
    {.key = "sniHosts",
     .type = FIELD_TEXTS,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct l4_match, sni_hosts),
     .check = check_sni_host,
     .required = "TLS match must have at least one SNI host",
     .doc = "Server names that clients ask for, each within one of `hosts`; `*.` and a domain: any "
            "depth below it."},
    SUBNETS_ROW,
    MATCH_PLACE_FIELDS(struct l4_match),
};
static const struct table tls_match_table = {
    .name = "TLSMatchAttributes",
    TABLE_FIELDS(tls_match_fields),
    .bytes = sizeof(struct l4_match),
    .has_place = HAS(struct l4_match, line),
    .has_is_invalid = HAS(struct l4_match, is_invalid),
};

static const struct field tcp_match_fields[] = {
    SUBNETS_ROW,
    MATCH_PLACE_FIELDS(struct l4_match),
    NOT_SERVED("sourceSubnet", NULL,
               "Address of the client; Istio keeps it hidden and does not look at it either."),
};
static const struct table tcp_match_table = {
    .name = "L4MatchAttributes",
    TABLE_FIELDS(tcp_match_fields),
    .bytes = sizeof(struct l4_match),
    .has_place = HAS(struct l4_match, line),
    .has_is_invalid = HAS(struct l4_match, is_invalid),
};

// --- rules -------------------------------------------------------------------------------------

static void check_route(struct reader *reader, const struct node *node, void *value)
{
    const struct l4_route *route = value;
    if (!reader->has_failed)
        check_weights(reader, route->route, route->n_route);
}

static const struct field tls_fields[] = {
    {.key = "match",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     LIST_AT(struct l4_route, match, n_match),
     .table = &tls_match_table,
     .required = "TLS route must have at least one match condition",
     .doc = "When the rule applies: any of these, each with all its conditions."},
    {.key = "route",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     LIST_AT(struct l4_route, route, n_route),
     .table = &l4_destination_table,
     .required = "TLS route is required",
     .doc = "Where connections go, as they come."},
};
const struct table tls_route_table = {
    .name = "TLSRoute",
    TABLE_FIELDS(tls_fields),
    .bytes = sizeof(struct l4_route),
    .has_place = HAS(struct l4_route, line),
    .has_is_invalid = HAS(struct l4_route, is_invalid),
    .check = check_route,
};

static const struct field tcp_fields[] = {
    {.key = "match",
     .type = FIELD_LIST,
     LIST_AT(struct l4_route, match, n_match),
     .table = &tcp_match_table,
     .doc = "When the rule applies: any of these, each with all its conditions; without any, "
            "always."},
    {.key = "route",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     LIST_AT(struct l4_route, route, n_route),
     .table = &l4_destination_table,
     .required = "TCP route is required",
     .doc = "Where connections go."},
};
const struct table tcp_route_table = {
    .name = "TCPRoute",
    TABLE_FIELDS(tcp_fields),
    .bytes = sizeof(struct l4_route),
    .has_place = HAS(struct l4_route, line),
    .has_is_invalid = HAS(struct l4_route, is_invalid),
    .check = check_route,
};
