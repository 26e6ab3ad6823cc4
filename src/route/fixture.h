// SPDX-License-Identifier: Apache-2.0
// For the unit tests of this folder: short ways to a small snapshot.
#pragma once
#include "route/builder.h"
#include "route/match.h"

static inline struct address fixture_address(const char *text)
{
    struct address address = {0};
    if (!address_parse(str_of(text), &address))
        __builtin_trap();
    return address;
}

static inline struct builder_listener *fixture_listener(struct snapshot_builder *builder)
{
    struct address bind = fixture_address("0.0.0.0:80");
    return builder_listener(builder, LISTENER_HTTP, &bind, 80, STR("gateway.yaml:1:1 Gateway a/b"));
}

static inline struct request_view fixture_request(const char *path)
{
    return (struct request_view){
        .host = STR("a"), .path = str_of(path), .method = STR("GET"), .scheme = STR("http")};
}
