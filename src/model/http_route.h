// SPDX-License-Identifier: Apache-2.0
// The parts of a VirtualService's http rules that have files of their own. Internal to model/.
#pragma once
#include "model/istio.h"
#include "model/rows.h"

extern const struct table http_match_table, http_route_table, headers_table, http_destination_table;
void drop_unfit_name(struct text *name);
