// SPDX-License-Identifier: Apache-2.0
// `sluicegate run`: starts everything, turns the control thread's loop, ends everything.
#include "cli/names.h"
#include "cli/subcommand.h"
#include "source/text_files.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    MALLOC_ARENAS = 2,           // workers hardly allocate; one arena a core would only hold memory
    MMAP_THRESHOLD = 128 * 1024, // fixed: blocks above go back to the system when freed
    FILES_POLL_MS = 5000,        // certificates that manifests name by path
    FDS_RESERVED = 128,          // for files, listeners, admin connections
};

static int say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Prints a message for whoever started us; returns EXIT_ERRORS.
static int say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("sluicegate: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_ERRORS;
}

// ---- access log ----

// The format with a caret under the place that is wrong.
static int refuse_format(struct str text, const struct format_error *error)
{
    size_t from = 0; // a multi-line format: the line that holds the place
    for (size_t i = 0; i < error->offset && i < text.len; i++) {
        if (text.ptr[i] == '\n')
            from = i + 1;
    }
    struct str line = str_from(text, from);
    ptrdiff_t end = str_index(line, '\n');
    if (end >= 0)
        line = str_upto(line, (size_t)end);
    size_t at = error->offset - from;
    if (at > line.len)
        at = line.len;
    fprintf(stderr, "sluicegate run: --access-log-format: %s\n  %.*s\n  %*s^\n", error->message,
            STR_ARG(line), (int)at, "");
    return EXIT_USAGE;
}

static int parse_access_log_format(struct runtime *runtime)
{
    struct str text = runtime->options->access_log_format;
    struct format_error error = {0};
    if (str_is(text, "json")) {
        runtime->access_log_format = format_parse_json(runtime->arena, STR_NONE, &error);
    } else if (str_has_prefix(str_trim(text), STR("{"))) {
        runtime->access_log_format = format_parse_json(runtime->arena, text, &error);
    } else {
        if (text.len == 0)
            text = str_of(format_istio_default);
        else if (text.ptr[text.len - 1] != '\n')
            text = arena_printf(runtime->arena, "%.*s\n", STR_ARG(text));
        runtime->access_log_format = format_parse(runtime->arena, text, 0, &error);
    }
    return runtime->access_log_format ? EXIT_CLEAN : refuse_format(text, &error);
}

static int open_access_log(struct runtime *runtime)
{
    const struct options *options = runtime->options;
    int status = parse_access_log_format(runtime);
    if (status != EXIT_CLEAN || str_is(options->access_log, "off"))
        return status;
    struct buf why = {0};
    // The text is argv's or the table's: NUL-terminated.
    runtime->access_log = access_log_open(options->access_log.ptr, options->proxy.n_workers, &why);
    if (!runtime->access_log)
        status = say("%.*s", STR_ARG(buf_str(&why)));
    buf_fini(&why);
    return status;
}

// ---- signals and timers ----

static void on_drained(void *arg)
{
    ((struct runtime *)arg)->is_done = true;
}

static void begin_end(struct runtime *runtime, const char *signal_name)
{
    if (runtime->is_draining) {
        log_warning("run", "%s again: ending at once", signal_name);
        runtime->is_done = true;
        return;
    }
    log_info("run", "%s: draining for at most %u ms", signal_name,
             runtime->options->drain_timeout_ms);
    runtime->is_draining = true;
    capturer_stop(&runtime->capturer);
    proxy_drain(runtime->proxy, runtime->options->drain_timeout_ms, on_drained, runtime);
}

static void on_change(void *arg)
{
    ((struct runtime *)arg)->is_changed = true;
}

static void reread(struct runtime *runtime)
{
    uint64_t before = store_revision(runtime->store);
    folder_read_all(runtime->source);
    bool is_changed = store_revision(runtime->store) != before ||
                      text_files_have_changed(store_files(runtime->store));
    log_info("run", "SIGHUP: manifests read again%s", is_changed ? "" : ", nothing changed");
    runtime->is_changed = runtime->is_changed || is_changed;
}

static void on_signal(struct watch *watch, uint32_t events)
{
    (void)events;
    struct runtime *runtime = LIST_ENTRY(watch, struct runtime, signals);
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
            begin_end(runtime, "SIGTERM");
            break;
        case SIGINT:
            begin_end(runtime, "SIGINT");
            break;
        case SIGHUP:
            reread(runtime);
            break;
        case SIGUSR1:
            if (runtime->access_log)
                access_log_reopen(runtime->access_log);
            log_info("run", "SIGUSR1: access log reopened");
            break;
        default:
            break;
        }
    }
}

// Before any thread starts, so that all inherit the mask and signals come through the descriptor.
static int open_signals(struct runtime *runtime)
{
    sigset_t set;
    sigemptyset(&set);
    const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        sigaddset(&set, wanted[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    runtime->signals = (struct watch){.on_event = on_signal, .fd = fd};
    if (fd < 0)
        return say("signals: %s", strerror(errno));
    int result = loop_add(&runtime->loop, &runtime->signals, EPOLLIN);
    return result < 0 ? say("signals: %s", strerror(-result)) : EXIT_CLEAN;
}

static void on_retry(struct timer *timer)
{
    LIST_ENTRY(timer, struct runtime, retry)->is_changed = true;
}

static void arm_files(struct runtime *runtime)
{
    timer_arm(&runtime->loop.wheel, &runtime->files, runtime->loop.now_ms + FILES_POLL_MS);
}

static void on_files(struct timer *timer)
{
    struct runtime *runtime = LIST_ENTRY(timer, struct runtime, files);
    if (text_files_have_settled(store_files(runtime->store)))
        runtime->is_changed = true;
    arm_files(runtime);
}

static void arm_tickets(struct runtime *runtime)
{
    timer_arm(&runtime->loop.wheel, &runtime->tickets,
              runtime->loop.now_ms + TLS_TICKET_ROTATION_S * INT64_C(1000));
}

static void on_tickets(struct timer *timer)
{
    tls_rotate_tickets();
    arm_tickets(LIST_ENTRY(timer, struct runtime, tickets));
}

static void on_trim(struct timer *timer)
{
    (void)timer;
    malloc_trim(0);
}

// ---- start and end ----

// Connections need a descriptor each, and one more for their upstream.
static uint32_t fitting_connections(const struct proxy_options *proxy)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return proxy->connections_max;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            log_warning("run", "limit of open files: %s", strerror(errno));
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    uint64_t usable = limit.rlim_cur > FDS_RESERVED ? limit.rlim_cur - FDS_RESERVED : 0;
    uint64_t fitting = usable / (2 * (uint64_t)proxy->n_workers);
    if (fitting >= proxy->connections_max)
        return proxy->connections_max;
    if (fitting == 0)
        fitting = 1;
    log_info("run", "%llu connections a worker: %llu files may be open",
             (unsigned long long)fitting, (unsigned long long)limit.rlim_cur);
    return (uint32_t)fitting;
}

static int open_proxy(struct runtime *runtime)
{
    struct proxy_options options = runtime->options->proxy;
    options.access_log = runtime->access_log;
    options.access_log_format = runtime->access_log_format;
    options.ask_name = names_ask;
    options.ask_arg = runtime;
    options.connections_max = fitting_connections(&options);
    runtime->proxy = proxy_create(&options, &runtime->loop);
    return runtime->proxy ? EXIT_CLEAN : say("the workers could not be started");
}

static int open_admin(struct runtime *runtime)
{
    if (!runtime->options->has_admin)
        return EXIT_CLEAN;
    struct admin_options options = {
        .bind = runtime->options->admin,
        .proxy = runtime->proxy,
        .facts = runtime_facts,
        .names = names_describe,
        .arg = runtime,
    };
    struct buf why = {0};
    runtime->admin = admin_open(&runtime->loop, &options, &why);
    int status = EXIT_CLEAN;
    if (runtime->admin) {
        struct address address;
        char text[ADDRESS_TEXT_MAX];
        admin_address(runtime->admin, &address);
        address_format(&address, text);
        log_info("admin", "listening on http://%s/", text);
    } else {
        status = say("%.*s; --admin ADDR:PORT chooses another, --admin none does without",
                     STR_ARG(buf_str(&why)));
    }
    buf_fini(&why);
    return status;
}

// Each line says what to do about it.
static int report_listeners(struct str lines)
{
    struct str rest = lines, line;
    while (str_next(&rest, '\n', &line)) {
        if (line.len > 0)
            say("%.*s", STR_ARG(line));
    }
    return EXIT_ERRORS;
}

// The first reading, the first snapshot, the line that others wait for.
static int begin_serving(struct runtime *runtime)
{
    runtime->source =
        folder_open(runtime->store, runtime->options->paths, runtime->options->n_paths);
    folder_read_all(runtime->source);
    int result = folder_watch(runtime->source, &runtime->loop, on_change, runtime);
    if (result < 0)
        return say("watching the manifests: %s", strerror(-result));
    struct buf text = {0};
    if (runtime_apply(runtime, &text) > 0) {
        int status = report_listeners(buf_str(&text));
        buf_fini(&text);
        return status;
    }
    malloc_trim(0); // reading left a lot behind
    text.len = 0;
    if (!capturer_begin(&runtime->capturer, &runtime->loop, &text)) {
        int status = say("--capture: %.*s", STR_ARG(buf_str(&text)));
        buf_fini(&text);
        return status;
    }
    proxy_describe_listeners(runtime->proxy, &text);
    fprintf(stderr, "sluicegate: ready: %.*s\n",
            text.len ? (int)text.len : (int)STR("no listeners yet").len,
            text.len ? text.data : "no listeners yet");
    buf_fini(&text);
    runtime->is_ready = true;
    arm_files(runtime);
    arm_tickets(runtime);
    return EXIT_CLEAN;
}

static void apply_change(struct runtime *runtime)
{
    struct buf why = {0};
    uint64_t before = runtime->facts.listeners_failed;
    runtime_apply(runtime, &why);
    struct str rest = buf_str(&why), line;
    while (str_next(&rest, '\n', &line)) {
        if (line.len > 0)
            log_error("run", "%.*s", STR_ARG(line));
    }
    if (before > 0 && runtime->facts.listeners_failed == 0)
        log_info("run", "every listener is open");
    buf_fini(&why);
}

static int start(struct runtime *runtime)
{
    int status = open_signals(runtime);
    if (status == EXIT_CLEAN)
        status = open_access_log(runtime);
    if (status == EXIT_CLEAN)
        status = open_proxy(runtime);
    if (status == EXIT_CLEAN)
        status = open_admin(runtime);
    if (status == EXIT_CLEAN)
        status = begin_serving(runtime);
    return status;
}

// Also for a start that got half way. The workers end before what they use, snapshots before the
// registry that gave them their slots.
static void finish(struct runtime *runtime)
{
    admin_close(runtime->admin);
    if (runtime->source)
        folder_close(runtime->source);
    if (runtime->proxy)
        proxy_destroy(runtime->proxy);
    capturer_close(&runtime->capturer);
    access_log_close(runtime->access_log);
    names_close(runtime);
    registry_destroy(runtime->registry);
    store_destroy(runtime->store);
    diag_history_destroy(runtime->history);
    arena_destroy(runtime->arena);
    if (runtime->signals.fd >= 0) {
        loop_remove(&runtime->loop, &runtime->signals);
        close(runtime->signals.fd);
    }
    loop_fini(&runtime->loop);
}

static int refuse_resolver(const struct options *options)
{
    if (options->dns_server.len == 0)
        return say("the name resolver could not be started");
    say("--dns-server: \"%.*s\" is not of the form ADDR:PORT[,ADDR:PORT...]",
        STR_ARG(options->dns_server));
    return EXIT_USAGE;
}

int run_subcommand(const struct options *options)
{
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    log_set_level(options->log_level);
    struct runtime runtime = {.options = options, .signals.fd = -1};
    struct buf why = {0};
    if (!capturer_open(&runtime.capturer, options, &why)) {
        int refused = say("--capture: %.*s", STR_ARG(buf_str(&why)));
        buf_fini(&why);
        return refused;
    }
    loop_init(&runtime.loop);
    timer_init(&runtime.retry, on_retry);
    timer_init(&runtime.trim, on_trim);
    timer_init(&runtime.files, on_files);
    timer_init(&runtime.tickets, on_tickets);
    tls_set_records(options->tls_records);
    tls_init();
    runtime.arena = arena_create(0);
    runtime.store = store_create();
    runtime.registry = registry_create();
    runtime.checker = (struct object_checker){runtime.store, &options->compile, runtime.registry};
    store_set_checker(runtime.store, check_object, &runtime.checker);
    runtime.history = diag_history_create();
    int status = names_open(&runtime) ? start(&runtime) : refuse_resolver(options);
    while (status == EXIT_CLEAN && !runtime.is_done) {
        loop_turn(&runtime.loop, -1);
        if (runtime.is_changed && !runtime.is_draining)
            apply_change(&runtime);
    }
    finish(&runtime);
    tls_fini();
    return status;
}
