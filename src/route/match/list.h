// SPDX-License-Identifier: Apache-2.0
// The conditions beside the path, one a file in this folder. A new one is its file, a line here, its
// init function in match_types.h and its line in meson.build.
#pragma once
// clang-format off
#define MATCH_LIST(X) \
    X(method) X(scheme) X(authority) X(header) X(without_header) X(query)
// clang-format on
