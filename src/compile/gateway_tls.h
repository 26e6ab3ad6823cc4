// SPDX-License-Identifier: Apache-2.0
// `tls` of a Gateway's server -> a filter chain. Control thread.
#pragma once
#include "compile/context.h"

// Whether the server's TLS mode is one that is served; reports it if not.
bool gateway_tls_is_served(struct compiler *c, const struct object *object, uint32_t index);
// The chain of a server that ends TLS, on its listener: HTTP with `hosts`; without, TCP routes are
// to be added. When its certificate cannot be used (reported) its hosts keep their names and
// connections are closed, so that nobody else answers for them.
struct builder_chain *gateway_tls_chain(struct compiler *c, const struct object *object,
                                        uint32_t index, struct builder_listener *listener,
                                        struct builder_hosts *hosts);
