// SPDX-License-Identifier: Apache-2.0
// The forms of names in Kubernetes and Istio, and of what they put into a message's head. Each
// returns NULL when the name is right, else what a right one looks like, in the API server's words.
// Any thread.
#pragma once
#include "base/str.h"

const char *dns_label_mistake(struct str name);          // RFC 1123 label
const char *dns_subdomain_mistake(struct str name);      // RFC 1123 subdomain
const char *wildcard_subdomain_mistake(struct str name); // `*.` and a subdomain
const char *istio_host_mistake(struct str name);         // FQDN, short, wildcard or `*`
const char *port_name_mistake(struct str name);          // IANA service name
const char *qualified_name_mistake(struct str name);     // [prefix/]name: labels, annotations
const char *label_value_mistake(struct str value);
const char *header_name_mistake(struct str name);    // RFC 9110 token
const char *header_value_mistake(struct str value);  // field-content; operators are not looked at
const char *plain_text_mistake(struct str text);     // what ends up in a line of a log
const char *target_mistake(struct str path);         // (part of) a request's path and query
const char *location_mistake(struct str uri);        // (part of) a Location's URI
const char *authority_mistake(struct str authority); // host[:port]
const char *path_mistake(struct str path); // domain-prefixed path: IngressClass's controller
bool is_ipv4_or_ipv6(struct str text);
