// SPDX-License-Identifier: Apache-2.0
// The balancing policies, one a file in this folder: id of enum balancer, file. A new one is its
// file, a line here, one in enum balancer and one in meson.build.
#pragma once
// clang-format off
#define BALANCE_LIST(X) \
    X(LEAST_REQUEST, least_request) X(ROUND_ROBIN, round_robin) X(RANDOM, random)
// clang-format on
