// SPDX-License-Identifier: Apache-2.0
// What Gateway, ServiceEntry, WorkloadEntry, DestinationRule and Sidecar share. Internal to model/.
#pragma once
#include "model/istio.h"
#include "model/rows.h"

// The words that a port's protocol may be, in any case; the first eight are the API's.
extern const struct word port_protocol_words[];
// False: none of them; *ret_nearest is the word that may be meant, or STR_NONE.
bool find_port_protocol(struct str text, enum gateway_protocol *ret, struct str *ret_nearest);

// Rows of a workload, at offset 0 of its struct: of a WorkloadEntry, and of a ServiceEntry's
// endpoints.
extern const struct table workload_table;
// An IP address or a name. NULL: it is; else what is wrong with it.
const char *workload_address_mistake(struct str address);

// connectionPool, at offset 0 of a struct traffic_policy.
extern const struct table pool_table;
