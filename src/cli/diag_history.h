// SPDX-License-Identifier: Apache-2.0
// What changed among the diagnostics from one compile to the next, so that each is logged once
// when it comes and once when it goes. A diagnostic is the same when its code, file, object, field
// and message are; its line may move. Control thread.
#pragma once
#include "base/diag.h"

struct diag_history;

struct diag_events {
    void (*on_new)(void *arg, const struct diag *diag, struct str rendered);
    void (*on_gone)(void *arg, struct str rendered); // as it was rendered last
    void *arg;
};

struct diag_history *diag_history_create(void);
void diag_history_destroy(struct diag_history *history); // NULL is fine
// Reports the difference to the last call (first the gone, then the new) and remembers `diags`.
void diag_history_update(struct diag_history *history, const struct diags *diags,
                         const struct diag_events *events);
