// SPDX-License-Identifier: Apache-2.0
// `sluicegate capture`: sends a network namespace's connections to the sidecar in it.
#include "cli/subcommand.h"
#include "l4/capture_rules.h"
#include <stdio.h>

static int fail(const struct buf *why)
{
    fprintf(stderr, "sluicegate capture: %.*s\n", STR_ARG(buf_str(why)));
    return EXIT_ERRORS;
}

static void say_up(const struct capture_options *options, struct buf *out)
{
    buf_add_text(out, "New TCP connections of this network namespace go to port ");
    if (capture_has_outbound(options))
        buf_printf(out, "%u (outbound)", options->outbound_port);
    if (capture_has_inbound(options))
        buf_printf(out, "%s%u (inbound)", capture_has_outbound(options) ? " and " : "",
                   options->inbound_port);
    buf_printf(out, " by %s", options->mode == CAPTURE_TPROXY ? "tproxy" : "redirect");
    if (options->life == CAPTURE_FAIL_OPEN)
        buf_printf(out,
                   " while a sidecar (`sluicegate run --sidecar`) says that it is alive; %u.%u s "
                   "after its last sign of life, and until its first, they pass directly "
                   "(--fail open).\n",
                   options->fail_open_ms / 1000, options->fail_open_ms % 1000 / 100);
    else
        buf_add_text(out, " from now on; while no sidecar listens there they are refused "
                          "(--fail closed).\n");
}

static bool up(const struct options *options, struct buf *out, struct buf *reterr)
{
    bool is_up = capture_up(&options->capture, reterr);
    if (is_up)
        say_up(&options->capture, out);
    return is_up;
}

static bool down(const struct options *options, struct buf *out, struct buf *reterr)
{
    (void)options;
    bool is_down = capture_down(reterr);
    if (is_down)
        buf_add_text(out, "No connections are captured.\n");
    return is_down;
}

static bool status(const struct options *options, struct buf *out, struct buf *reterr)
{
    (void)options;
    struct capture_status status;
    struct buf rules = {0};
    bool is_read = capture_read_status(&status, &rules, reterr);
    if (is_read && !status.is_set_up)
        buf_printf(out, "No rules are set up; connections pass directly.\n%s",
                   status.has_routing ? "Policy routing is left over and does nothing; "
                                        "`sluicegate capture down` removes it.\n"
                                      : "");
    else if (is_read && status.held_by)
        buf_printf(out, "In force, held by a running sidecar (netlink port %u).\n", status.held_by);
    else if (is_read && status.does_fail_open)
        buf_add_text(out, status.is_alive ? "In force: a sidecar is alive (--fail open).\n"
                                          : "Set up, not in force: no sidecar has said lately that "
                                            "it is alive; connections pass directly (--fail "
                                            "open).\n");
    else if (is_read)
        buf_add_text(out, "In force, whether a sidecar listens or not (--fail closed).\n");
    if (is_read)
        buf_add_str(out, buf_str(&rules));
    buf_fini(&rules);
    return is_read;
}

static bool print(const struct options *options, struct buf *out, struct buf *reterr)
{
    if (!capture_options_check(&options->capture, reterr))
        return false;
    capture_render(&options->capture, false, out);
    return true;
}

int capture_subcommand(const struct options *options)
{
    static const struct {
        const char *word;
        bool (*run)(const struct options *options, struct buf *out, struct buf *reterr);
    } actions[] = {{"up", up}, {"down", down}, {"status", status}, {"print", print}};
    for (size_t i = 0; options->n_words > 0 && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(options->words[0], actions[i].word) != 0)
            continue;
        struct buf out = {0}, why = {0};
        int result = EXIT_CLEAN;
        if (!actions[i].run(options, &out, &why))
            result = fail(&why);
        else if (!output_write(&out))
            result = EXIT_ERRORS;
        buf_fini(&why);
        buf_fini(&out);
        return result;
    }
    fprintf(stderr,
            "sluicegate capture: %s%s%s; it is up, down, status or print\n"
            "Try `sluicegate help capture`.\n",
            options->n_words > 0 ? "unknown action \"" : "what shall be done",
            options->n_words > 0 ? options->words[0] : "", options->n_words > 0 ? "\"" : "");
    return EXIT_USAGE;
}
