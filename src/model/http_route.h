// SPDX-License-Identifier: Apache-2.0
// The parts of a VirtualService's http rules that have files of their own. Internal to model/.
#pragma once
#include "model/istio.h"
#include "model/rows.h"

extern const struct table http_match_table, http_route_table, headers_table, http_destination_table;
extern const struct table l4_destination_table; // the same without headers
extern const struct table tls_route_table, tcp_route_table;
void drop_unfit_name(struct text *name);
// Of several destinations some must get something.
void check_weights(struct reader *reader, const struct http_destination *destinations, uint32_t n);
void check_source_namespace(struct reader *reader, const struct field *field, const void *value);
// Rows that the match blocks of all protocols have; `type` is the struct that holds them.
#define MATCH_PLACE_FIELDS(type_)                                                                  \
    {.key = "port",                                                                                \
     .type = FIELD_NUMBER,                                                                         \
     AT(type_, port),                                                                              \
     .min = 1,                                                                                     \
     .max = 65535,                                                                                 \
     .doc = "Port of the Gateway's server."},                                                      \
        {.key = "gateways",                                                                        \
         .type = FIELD_TEXTS,                                                                      \
         AT(type_, gateways),                                                                      \
         .doc = "Gateways that this is for; then sourceLabels and sourceNamespace do not count."}, \
        {.key = "sourceLabels",                                                                    \
         .type = FIELD_TEXT_MAP,                                                                   \
         AT(type_, source_labels),                                                                 \
         .check = check_labels,                                                                    \
         .doc = "Labels of the client; here: of this gateway."},                                   \
    {                                                                                              \
        .key = "sourceNamespace", .type = FIELD_TEXT, AT(type_, source_namespace),                 \
        .check = check_source_namespace, .doc = "Namespace of the client; here: of this gateway."  \
    }
