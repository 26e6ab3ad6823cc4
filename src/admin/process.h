// SPDX-License-Identifier: Apache-2.0
// What the kernel says of this process, for the process_* metrics. Control thread.
#pragma once
#include <stdint.h>

struct process_facts {                 // what could not be read is 0
    double cpu_seconds, start_seconds; // since 1970
    uint64_t resident_bytes, virtual_bytes, open_fds, max_fds, threads;
};
void process_read(struct process_facts *ret_facts);
