// SPDX-License-Identifier: Apache-2.0
// Istio Gateways -> listeners; VirtualServices bound to them -> virtual hosts. Control thread.
#pragma once
#include "compile/context.h"

void gateways_compile(struct compiler *c);
// Reports what is wrong with a Gateway for itself.
void gateway_check(struct compiler *c, const struct object *object);

// Virtual hosts of the port that Ingress is served on: c->gateway_hosts, by name.
struct virtual_host;
const struct object *
gateway_vhost_owner(const struct virtual_host *vhost); // its first VirtualService
// Adds its routes to another virtual host (an Ingress wildcard is one of its own).
void gateway_vhost_emit(struct compiler *c, const struct virtual_host *vhost,
                        struct builder_vhost *to);
