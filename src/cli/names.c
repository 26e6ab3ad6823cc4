// SPDX-License-Identifier: Apache-2.0
#include "cli/names.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    // Ten thousand names whose answers trickle in are not ten thousand compiles: after one that a
    // name brought about the next waits for so long, or for so many times what the last one took. A
    // change that comes alone waits for nothing.
    CHANGE_GAP_MS = 50,
    CHANGE_GAP_COMPILES = 4,
    LOG_PERIOD_MS = 10000,
    LOG_LINES_MAX = 20, // about names, in a period
};

static int64_t change_gap_ms(const struct runtime *runtime)
{
    int64_t took_ms = (runtime->facts.compile_ns + runtime->facts.publish_ns) / 1000000;
    return CHANGE_GAP_COMPILES * took_ms > CHANGE_GAP_MS ? CHANGE_GAP_COMPILES * took_ms
                                                         : CHANGE_GAP_MS;
}

static void apply_names(struct runtime *runtime)
{
    runtime->is_changed = runtime->names.is_changed = true;
}

static void on_names_timer(struct timer *timer)
{
    apply_names(LIST_ENTRY(timer, struct runtime, names.timer));
}

static void on_names_change(void *arg)
{
    struct runtime *runtime = arg;
    int64_t due_ms = runtime->names.applied_ms + change_gap_ms(runtime);
    if (runtime->names.applied_ms == 0 || due_ms <= runtime->loop.now_ms)
        apply_names(runtime);
    else
        timer_arm(&runtime->loop.wheel, &runtime->names.timer, due_ms);
}

void names_applied(struct runtime *runtime)
{
    resolver_sweep(runtime->resolver);
    timer_disarm(&runtime->loop.wheel, &runtime->names.timer); // it is in what was compiled
    if (runtime->names.is_changed)
        runtime->names.applied_ms = clock_monotonic_ms();
    runtime->names.is_changed = false;
}

// ---- the log ----

static bool may_log(struct runtime *runtime)
{
    int64_t now_ms = runtime->loop.now_ms;
    if (now_ms - runtime->names.log_begin_ms >= LOG_PERIOD_MS) {
        if (runtime->names.n_left_out > 0)
            log_warning("dns", "%u more names; the admin page /names shows all",
                        runtime->names.n_left_out);
        runtime->names.log_begin_ms = now_ms;
        runtime->names.n_logged = runtime->names.n_left_out = 0;
    }
    if (runtime->names.n_logged++ < LOG_LINES_MAX)
        return true;
    runtime->names.n_left_out++;
    return false;
}

static void on_health(void *arg, struct str name, const char *failure, bool has_addresses)
{
    if (!may_log(arg))
        return;
    if (failure)
        log_warning("dns", "%.*s: %s; %s", STR_ARG(name), failure,
                    has_addresses ? "the addresses known before stay in use"
                                  : "it has no address yet");
    else
        log_info("dns", "%.*s: resolved again", STR_ARG(name));
}

// ---- questions ----

void names_look_up(void *arg, struct str name, bool by_first, struct name_addresses *ret)
{
    resolver_addresses(((struct runtime *)arg)->resolver, name, by_first, ret);
}

static void on_asked(void *arg, struct str name, enum resolved result,
                     const struct address *addresses, uint32_t n, uint32_t valid_ms)
{
    static const enum name_status statuses[] = {[RESOLVED_FOUND] = NAME_FOUND,
                                                [RESOLVED_UNKNOWN] = NAME_UNKNOWN,
                                                [RESOLVED_FAILED] = NAME_FAILED};
    struct runtime *runtime = arg;
    proxy_answer_name(runtime->proxy, name, statuses[result], addresses, n, valid_ms);
}

void names_ask(void *arg, struct str name)
{
    resolver_ask(((struct runtime *)arg)->resolver, name, on_asked, arg);
}

// ---- what there is to see ----

void names_facts(const struct runtime *runtime, struct admin_facts *ret_facts)
{
    struct resolver_counts counts;
    resolver_counts(runtime->resolver, &counts);
    ret_facts->dns.lookups = counts.lookups;
    ret_facts->dns.not_found = counts.not_found;
    ret_facts->dns.failures = counts.failures;
    ret_facts->dns.timeouts = counts.timeouts;
    ret_facts->dns.lookups_active = counts.running;
    ret_facts->dns.lookups_queued = counts.queued;
    ret_facts->dns.watched = counts.watched;
    ret_facts->dns.requested = counts.requested;
    ret_facts->dns.unresolved = counts.unresolved;
    ret_facts->dns.stale = counts.stale;
}

bool names_describe(void *arg, uint64_t *cursor, size_t bytes, struct buf *out)
{
    return resolver_describe(((struct runtime *)arg)->resolver, cursor, bytes, out);
}

bool names_open(struct runtime *runtime)
{
    const struct options *options = runtime->options;
    const struct resolver_options resolver = {
        .owner = {on_names_change, on_health, runtime},
        .servers = options->dns_server.len > 0 ? options->dns_server.ptr : NULL, // of argv
        .mark = options->proxy.upstream_mark,
    };
    timer_init(&runtime->names.timer, on_names_timer);
    runtime->resolver = resolver_create(&runtime->loop, &resolver);
    return runtime->resolver != NULL;
}

void names_close(struct runtime *runtime)
{
    timer_disarm(&runtime->loop.wheel, &runtime->names.timer);
    resolver_destroy(runtime->resolver);
}
