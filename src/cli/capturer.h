// SPDX-License-Identifier: Apache-2.0
// What a running sidecar does about capture: it holds rules of its own (--capture), or keeps those
// of `sluicegate capture up` in force by saying each second that it is alive. Control thread.
#pragma once
#include "base/loop.h"
#include "cli/options.h"
#include "l4/capture_rules.h"

struct capturer {
    const struct options *options; // NULL: not opened
    struct loop *loop;             // since it began
    struct capture_hold *hold;     // --capture
    struct capture_pulse pulse;    // else
    struct timer beat;
    int last_beat; // what came of it: 0 or -errno; 1: none yet
};

// Before anything else is opened (capture_hold_open says why). False: *reterr says why in one line.
bool capturer_open(struct capturer *capturer, const struct options *options, struct buf *reterr);
// When the listeners are open: new connections are captured from here on.
bool capturer_begin(struct capturer *capturer, struct loop *loop, struct buf *reterr);
// Before the listeners are closed: new connections pass directly, captured ones go on.
void capturer_stop(struct capturer *capturer);
// When all connections are closed.
void capturer_close(struct capturer *capturer);
