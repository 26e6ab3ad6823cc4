// SPDX-License-Identifier: Apache-2.0
// Istio Gateways -> listeners; VirtualServices bound to them -> virtual hosts. Control thread.
#pragma once
#include "compile/context.h"

void gateways_compile(struct compiler *c);
