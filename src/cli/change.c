// SPDX-License-Identifier: Apache-2.0
// The life of a change: store -> compile -> what is new about the diagnostics -> publish.
#include "base/clock.h"
#include "base/map.h"
#include "cli/names.h"

enum {
    LINES_MAX = 100,      // diagnostics logged for one change; the rest is counted
    RETRY_MS = 5000,      // between tries to open a listener
    TRIM_AFTER_MS = 2000, // of quiet
};

struct logged {
    size_t lines, left_out;
};

static bool has_room(struct logged *logged)
{
    if (logged->lines++ < LINES_MAX)
        return true;
    logged->left_out++;
    return false;
}

static void on_new_diag(void *arg, const struct diag *diag, struct str rendered)
{
    static const enum log_level levels[] = {
        [DIAG_NOTE] = LOG_INFO, [DIAG_WARNING] = LOG_WARNING, [DIAG_ERROR] = LOG_ERROR};
    if (has_room(arg))
        log_write(levels[diag->level], "config", "%.*s", STR_ARG(rendered));
}

static void on_gone_diag(void *arg, struct str rendered)
{
    if (has_room(arg))
        log_info("config", "resolved: %.*s", STR_ARG(rendered));
}

static void log_diags(struct runtime *runtime, struct diags *diags)
{
    diags_sort(diags);
    struct logged logged = {0};
    struct diag_events events = {on_new_diag, on_gone_diag, &logged};
    diag_history_update(runtime->history, diags, &events);
    if (logged.left_out > 0)
        log_info("config", "%zu more; `sluicegate check` shows all", logged.left_out);
    for (unsigned level = 0; level <= DIAG_ERROR; level++)
        runtime->facts.diagnostics[level] = diags_count_level(diags, level);
}

// Objects with an error, and those whose last good version stands in for them; a document or file
// that no object could be read from is one, too.
static size_t count_rejected(const struct diags *diags)
{
    struct map *seen = map_create();
    size_t n = 0;
    for (size_t i = 0; i < diags_count(diags); i++) {
        const struct diag *diag = diags_get(diags, i);
        if (diag->level != DIAG_ERROR && diag->code != DIAG_KEPT_LAST_GOOD)
            continue;
        if (diag->object.len == 0)
            n++;
        else
            map_put(seen, diag->object, seen);
    }
    n += map_count(seen);
    map_destroy(seen);
    return n;
}

static void log_update(const struct runtime *runtime, const struct snapshot *snapshot)
{
    const struct admin_facts *facts = &runtime->facts;
    log_info(
        "config",
        "generation %llu: %llu objects, %u listeners, %u clusters, %llu errors, %llu warnings, "
        "compiled in %.1f ms, published in %.1f ms",
        (unsigned long long)snapshot->generation, (unsigned long long)facts->objects,
        snapshot->n_listeners, snapshot->n_clusters,
        (unsigned long long)facts->diagnostics[DIAG_ERROR],
        (unsigned long long)facts->diagnostics[DIAG_WARNING], (double)facts->compile_ns / 1e6,
        (double)facts->publish_ns / 1e6);
}

unsigned runtime_apply(struct runtime *runtime, struct buf *reterr)
{
    runtime->is_changed = false;
    struct admin_facts *facts = &runtime->facts;
    struct diags *diags = diags_create();
    store_diags(runtime->store, diags);
    const struct name_lookup names = {names_look_up, runtime};

    int64_t begin_ns = clock_monotonic_ns();
    struct snapshot *snapshot = compile(runtime->store, &runtime->options->compile, &names,
                                        runtime->registry, ++runtime->generation, diags);
    facts->compile_ns = clock_monotonic_ns() - begin_ns;
    names_applied(runtime);
    log_diags(runtime, diags);
    facts->objects_rejected = count_rejected(diags);
    diags_destroy(diags);

    begin_ns = clock_monotonic_ns();
    unsigned n_failed = proxy_publish(runtime->proxy, &snapshot, reterr);
    facts->publish_ns = clock_monotonic_ns() - begin_ns;
    facts->published_wall_ns = clock_wall_ns();
    facts->updates++;
    facts->listeners_failed = n_failed;
    facts->objects = store_n_objects(runtime->store);
    log_update(runtime, proxy_snapshot(runtime->proxy));

    struct loop *loop = &runtime->loop;
    if (n_failed > 0)
        timer_arm(&loop->wheel, &runtime->retry, loop->now_ms + RETRY_MS);
    else
        timer_disarm(&loop->wheel, &runtime->retry);
    timer_arm(&loop->wheel, &runtime->trim, loop->now_ms + TRIM_AFTER_MS);
    return n_failed;
}

void runtime_facts(void *arg, struct admin_facts *ret_facts)
{
    const struct runtime *runtime = arg;
    *ret_facts = runtime->facts;
    struct store_counts counts = store_counts(runtime->store);
    ret_facts->is_ready = runtime->is_ready && !runtime->is_draining;
    ret_facts->is_draining = runtime->is_draining;
    ret_facts->objects = counts.objects;
    ret_facts->objects_last_good = counts.last_good;
    names_facts(runtime, ret_facts);
    ret_facts->access_log_write_errors =
        runtime->access_log ? access_log_write_errors(runtime->access_log) : 0;
}
