// SPDX-License-Identifier: Apache-2.0
// Policy routing for transparent capture: packets with CAPTURE_MARK are delivered locally,
// whatever their destination. A rule and a route for IPv4 and for IPv6, set through rtnetlink. They
// do nothing while nothing sets the mark. Control thread.
#pragma once
#include <stdbool.h>

enum {
    POLICY_TABLE = 15001,   // of the route
    POLICY_PRIORITY = 1500, // of the rule
};

// Sets what is missing. A family that the kernel or the loopback device does not have is left out.
// 0, or -errno with what failed in *ret_what.
int policy_route_add(const char **ret_what);
int policy_route_remove(const char **ret_what); // also when only a part is there, or nothing
int policy_route_find(bool *ret_is_there);      // the rule of either family
