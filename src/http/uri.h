// SPDX-License-Identifier: Apache-2.0
// Paths, hosts and queries (RFC 3986). No allocation: callers give the room. Any thread.
#pragma once
#include "base/str.h"

// Normalises a path as Istio's BASE does: percent-encoded unreserved characters decoded, the hex
// digits of the rest upper case, `\` to `/`, `.` and `..` segments removed (RFC 3986, 5.2.4).
// `%2F` stays, `//` stays. When nothing is to be changed *ret_path is `path` itself; else it is
// written to `out` (room for path.len bytes). false: a malformed percent escape, %00, or a path
// that does not begin with `/`.
bool uri_normalize_path(struct str path, char *out, struct str *ret_path);

// Splits an authority into host (without brackets' change: "[::1]" stays) and port (0: none) and
// lower-cases the host into `out` (room for authority.len) unless it is lower already. A trailing
// dot of a name is dropped. false: malformed (RFC 3986, 3.2.2 characters only, port 1-65535).
bool uri_split_authority(struct str authority, char *out, struct str *ret_host, uint16_t *ret_port);

// As uri_split_authority, without the answer.
bool uri_authority_is_valid(struct str authority);

// First value of `name` in a query ("a=1&b"), undecoded; false: absent. "b" has the value "".
bool uri_query_get(struct str query, struct str name, struct str *ret_value);
