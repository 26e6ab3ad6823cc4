// SPDX-License-Identifier: Apache-2.0
// What the rows of format_operators.c point to: readers of arguments (control thread) and
// evaluators (workers) that are more than one field of the request_info.
#pragma once
#include "route/format_operators.h"

bool parse_header(struct arena *arena, struct str argument, struct operation *operation,
                  struct format_error *error);
bool parse_header_without_query(struct arena *arena, struct str argument,
                                struct operation *operation, struct format_error *error);
bool parse_trailer(struct arena *arena, struct str argument, struct operation *operation,
                   struct format_error *error);
bool parse_path(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error);
bool parse_parameter_name(struct arena *arena, struct str argument, struct operation *operation,
                          struct format_error *error);
bool parse_query_form(struct arena *arena, struct str argument, struct operation *operation,
                      struct format_error *error);
bool parse_details(struct arena *arena, struct str argument, struct operation *operation,
                   struct format_error *error);
bool parse_grpc_form(struct arena *arena, struct str argument, struct operation *operation,
                     struct format_error *error);
bool parse_time_format(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error);
bool parse_time_local(struct arena *arena, struct str argument, struct operation *operation,
                      struct format_error *error);
bool parse_duration(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error);
bool parse_mask(struct arena *arena, struct str argument, struct operation *operation,
                struct format_error *error);
bool parse_server_name(struct arena *arena, struct str argument, struct operation *operation,
                       struct format_error *error);
bool parse_environment(struct arena *arena, struct str argument, struct operation *operation,
                       struct format_error *error);
bool parse_hostname(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error);
bool parse_coalesce(struct arena *arena, struct str argument, struct operation *operation,
                    struct format_error *error);

#define EVALUATORS(X)                                                                              \
    X(path)                                                                                        \
    X(query_parameter)                                                                             \
    X(query) X(status) X(details) X(flags) X(flags_long) X(grpc_status) X(local_reply_body)        \
        X(log_type) X(unique_id) X(stream_id) X(upstream_connection_id) X(connections_attempted)   \
            X(duration) X(request_duration) X(request_tx_duration) X(response_duration)            \
                X(response_tx_duration) X(pool_ready) X(common_duration) X(host_without_port)      \
                    X(hosts_attempted) X(hosts_attempted_without_port) X(attempts)                 \
                        X(masked_address) X(server_name) X(coalesce)                   \
                            X(tls_version) X(tls_cipher) X(peer_subject) X(peer_issuer)            \
                                X(peer_serial) X(peer_fingerprint) X(peer_certificate)             \
                                    X(peer_uri_san) X(peer_dns_san) X(peer_from) X(peer_until)
#define X(name)                                                                                    \
    bool evaluate_##name(const struct operation *operation, const struct request_info *info,       \
                         char *scratch, struct value *ret);
EVALUATORS(X)
#undef X

bool find_request_header(const struct header_argument *argument, const struct request_info *info,
                         struct str *ret);
bool find_response_header(const struct header_argument *argument, const struct request_info *info,
                          struct str *ret);
bool find_trailer(struct str name, const struct request_info *info, struct str *ret);
