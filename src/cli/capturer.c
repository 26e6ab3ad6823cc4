// SPDX-License-Identifier: Apache-2.0
#include "cli/capturer.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>

enum { NO_BEAT_YET = 1 };

bool capturer_open(struct capturer *capturer, const struct options *options, struct buf *reterr)
{
    *capturer = (struct capturer){.pulse.netlink.fd = -1, .last_beat = NO_BEAT_YET};
    if (!options->compile.is_sidecar)
        return true;
    if (options->has_capture) {
        if (!capture_options_check(&options->capture, reterr))
            return false;
        capturer->hold = capture_hold_open(reterr);
        if (!capturer->hold) {
            buf_add_text(reterr, "; without --capture, rules of `sluicegate capture up` lead "
                                 "connections here");
            return false;
        }
    }
    capturer->options = options;
    return true;
}

// ---- rules of `capture up` ----

static void tell_beat(int result)
{
    if (result == 0)
        log_info("capture", "the rules of `sluicegate capture up` are in force: new connections "
                            "are captured");
    else if (result == -ENOENT || result == -EOPNOTSUPP) // the latter: no nftables at all
        log_info("capture", "no rules are set up that wait for a sign of life");
    else if (result == -EPERM)
        log_warning("capture",
                    "without the capability NET_ADMIN no sign of life can be given: rules of "
                    "`sluicegate capture up --fail open` stay without effect; give it to this "
                    "process, or use --fail closed");
    else
        log_warning("capture",
                    "signs of life: %s: rules of `sluicegate capture up --fail open` "
                    "may be without effect",
                    strerror(-result));
}

// Returns whether another one makes sense.
static bool beat(struct capturer *capturer)
{
    int result = capture_pulse_beat(&capturer->pulse);
    if (result != capturer->last_beat)
        tell_beat(result);
    capturer->last_beat = result;
    return result != -EPERM;
}

static void arm(struct capturer *capturer)
{
    timer_arm(&capturer->loop->wheel, &capturer->beat, capturer->loop->now_ms + CAPTURE_PULSE_MS);
}

static void on_beat(struct timer *timer)
{
    struct capturer *capturer = LIST_ENTRY(timer, struct capturer, beat);
    if (beat(capturer))
        arm(capturer);
}

static void begin_pulse(struct capturer *capturer)
{
    timer_init(&capturer->beat, on_beat);
    int result = capture_pulse_open(&capturer->pulse);
    if (result < 0) { // the kernel has no netfilter, so there are no rules either
        log_debug("capture", "netlink: %s", strerror(-result));
        return;
    }
    if (beat(capturer))
        arm(capturer);
}

bool capturer_begin(struct capturer *capturer, struct loop *loop, struct buf *reterr)
{
    if (!capturer->options)
        return true;
    capturer->loop = loop;
    if (!capturer->hold) {
        begin_pulse(capturer);
        return true;
    }
    const struct capture_options *options = &capturer->options->capture;
    if (!capture_hold_begin(capturer->hold, options, reterr))
        return false;
    log_info("capture", "new connections are captured by %s until this process ends",
             options->mode == CAPTURE_TPROXY ? "tproxy" : "redirect");
    return true;
}

void capturer_stop(struct capturer *capturer)
{
    if (!capturer->loop)
        return;
    int result = 0;
    if (capturer->hold) {
        struct buf why = {0};
        if (!capture_hold_stop(capturer->hold, &why))
            log_warning("capture", "new connections are refused until this process has ended: %.*s",
                        STR_ARG(buf_str(&why)));
        buf_fini(&why);
    } else if (capturer->last_beat == 0) {
        timer_disarm(&capturer->loop->wheel, &capturer->beat);
        result = capture_pulse_stop(&capturer->pulse);
    }
    if (result < 0 && result != -ENOENT && result != -EOPNOTSUPP)
        log_warning("capture",
                    "new connections are refused until the last sign of life is "
                    "forgotten: %s",
                    strerror(-result));
}

void capturer_close(struct capturer *capturer)
{
    capture_hold_close(capturer->hold);
    capture_pulse_close(&capturer->pulse);
    capturer->hold = NULL;
}
