// SPDX-License-Identifier: Apache-2.0
// For the admin tests: a proxy that serves what the test sets and counts what is easy to
// recognise, linked in place of the real one.
#pragma once
#include "proxy/proxy.h"

// A snapshot with n clusters of one endpoint each, named so that text needs escaping; replaces the
// one before. Cluster i has counters when i % 2 == 0.
void test_proxy_set_clusters(uint64_t generation, uint32_t n);
// Adds a TLS listener with n certificates, "Secret a/s0" and so on; the i-th expires in second
// 2000 - i, and each is served under two names.
void test_proxy_add_certificates(uint32_t n);
void test_proxy_fini(void);
