// SPDX-License-Identifier: Apache-2.0
// For the admin tests: a proxy that serves what the test sets and counts what is easy to
// recognise, linked in place of the real one.
#pragma once
#include "proxy/proxy.h"

// A snapshot with n clusters of one endpoint each, named so that text needs escaping; replaces the
// one before. Cluster i has counters when i % 2 == 0.
void test_proxy_set_clusters(uint64_t generation, uint32_t n);
void test_proxy_fini(void);
