// SPDX-License-Identifier: Apache-2.0
// The control side of the data plane: opening listeners, publishing snapshots, draining, reading
// counters. Control thread, but for the few functions at the end of worker.h that workers call.
//
// A snapshot's life here: proxy_publish() gives every worker a hold on it and puts it in each
// mailbox; a worker drops its hold when it has adopted a newer one and its last stream of the old
// one has ended; whoever drops the last hold wakes the control thread, which frees. A snapshot that
// a worker never took out of its mailbox is taken back by the next publish.
#include "proxy/proxy.h"
#include "base/clock.h"
#include "base/log.h"
#include "proxy/dynamic.h"
#include "proxy/names.h"
#include "proxy/shared_pool.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct socket_set { // of one listener slot
    bool is_open;
    bool is_wanted; // scratch of proxy_publish
    enum listener_kind kind;
    struct address bound; // with the kernel's port
    atomic_int *fds;      // by worker; -1: taken (or none)
};

struct proxy {
    struct proxy_options options;
    struct loop *control;
    struct worker **workers;
    struct dynamic_slots *dynamic_slots;
    struct shared_pool *pool;
    pthread_t *threads;
    struct socket_set *_Atomic sets;  // by listener slot; replaced whole when it grows
    struct socket_set **retired_sets; // older arrays, kept until the end: a worker may read one
    uint32_t n_retired_sets;
    uint32_t n_sets;
    struct snapshot *current;
    struct snapshot **live; // published and not yet freed
    uint32_t n_live, cap_live;
    bool has_published;
    struct name_exchange *names;
    struct waker waker;
    struct timer drain_timer;
    bool is_draining;
    void (*on_drained)(void *arg);
    void *drained_arg;
    atomic_uint n_drained;
};

void proxy_options_default(struct proxy_options *options)
{
    *options = (struct proxy_options){
        .n_workers = 1,
        .server_header = STR("istio-envoy"),
        .head_bytes_max = 61440,
        .target_bytes_max = 16384,
        .headers_max = HEADERS_MAX,
        .connections_max = 100000,
        .greeting_timeout_ms = 15000,
        .request_head_timeout_ms = 60000,
        .keepalive_timeout_ms = 75000,
        .stream_idle_timeout_ms = 300000,
        .tunnel_idle_timeout_ms = 3600000,
        .connect_timeout_ms = 10000,
        .upstream_idle_timeout_ms = 60000,
        .linger_timeout_ms = 2000,
        .detect_timeout_ms = 200,
        .warm_connections = 1,
        .warm_time_ms = 600000,
    };
}

const struct proxy_options *proxy_get_options(const struct proxy *proxy)
{
    return &proxy->options;
}

struct dynamic_slots *proxy_dynamic_slots(const struct proxy *proxy)
{
    return proxy->dynamic_slots;
}

struct shared_pool *proxy_get_pool(const struct proxy *proxy)
{
    return proxy->pool;
}

void proxy_wake_keeper(struct proxy *proxy)
{
    waker_poke(&proxy->workers[0]->waker);
}

// ---- snapshots ----

static void free_unheld(struct proxy *proxy)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < proxy->n_live; i++) {
        struct snapshot *snapshot = proxy->live[i];
        if (snapshot != proxy->current &&
            atomic_load_explicit(&snapshot->holders, memory_order_acquire) == 0)
            snapshot_destroy(snapshot);
        else
            proxy->live[kept++] = snapshot;
    }
    proxy->n_live = kept;
}

void proxy_unhold(struct proxy *proxy, struct snapshot *snapshot)
{
    if (atomic_fetch_sub_explicit(&snapshot->holders, 1, memory_order_acq_rel) == 1)
        waker_poke(&proxy->waker);
}

static void on_wake(struct waker *waker)
{
    struct proxy *proxy = LIST_ENTRY(waker, struct proxy, waker);
    free_unheld(proxy);
    if (proxy->options.ask_name)
        name_exchange_forward(proxy->names, proxy->options.ask_name, proxy->options.ask_arg);
    if (proxy->is_draining && proxy->on_drained &&
        atomic_load(&proxy->n_drained) >= proxy->options.n_workers) {
        void (*on_drained)(void *) = proxy->on_drained;
        proxy->on_drained = NULL;
        timer_disarm(&proxy->control->wheel, &proxy->drain_timer);
        on_drained(proxy->drained_arg);
    }
}

static void add_live(struct proxy *proxy, struct snapshot *snapshot)
{
    if (proxy->n_live == proxy->cap_live) {
        proxy->cap_live = proxy->cap_live ? 2 * proxy->cap_live : 8;
        proxy->live = realloc(proxy->live, proxy->cap_live * sizeof *proxy->live);
        CHECK(proxy->live != NULL);
    }
    proxy->live[proxy->n_live++] = snapshot;
}

// ---- names ----

bool proxy_ask_name(struct proxy *proxy, unsigned worker, struct str name)
{
    bool is_asked = name_exchange_ask(proxy->names, worker, name);
    waker_poke(&proxy->waker);
    return is_asked;
}

struct name_answer *proxy_take_name_answers(struct proxy *proxy, unsigned worker)
{
    return name_exchange_take_answers(proxy->names, worker);
}

static void on_name_answered(void *arg, unsigned worker)
{
    waker_poke(&((struct proxy *)arg)->workers[worker]->waker);
}

void proxy_answer_name(struct proxy *proxy, struct str name, enum name_status status,
                       const struct address *addresses, uint32_t n, uint32_t valid_ms)
{
    struct name_answer answer = {.status = status, .valid_ms = valid_ms, .n = n, .name = name};
    name_exchange_answer(proxy->names, &answer, addresses, on_name_answered, proxy);
}

// ---- listener sockets ----

// TPROXY hands a socket connections to any address.
static bool be_transparent(int fd, uint8_t family)
{
    int one = 1;
    return family == AF_INET6 ? setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof one) == 0
                              : setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof one) == 0;
}

static int open_socket(const struct address *bind_to, bool is_transparent, bool share,
                       int *reterr_errno)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = address_to_sockaddr(bind_to, &sockaddr);
    int fd = socket(bind_to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        goto fail;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); // accepted sockets inherit it
    if (share)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind_to->family == AF_INET6) {
        int zero = 0; // "::" takes IPv4 as well
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    }
    if ((is_transparent && !be_transparent(fd, bind_to->family)) ||
        bind(fd, (struct sockaddr *)&sockaddr, len) < 0 ||
        (share && listen(fd, LISTEN_BACKLOG) < 0))
        goto fail;
    return fd;
fail:
    *reterr_errno = errno;
    if (fd >= 0)
        close(fd);
    return -1;
}

// SO_REUSEPORT would let two gateways share a port in silence: ask without it first.
static int probe(const struct listener *listener)
{
    int error = 0;
    int fd = open_socket(&listener->bind, listener->is_transparent, false, &error);
    if (fd >= 0)
        close(fd);
    return error;
}

static struct socket_set *find_set(struct proxy *proxy, uint32_t slot)
{
    struct socket_set *sets = atomic_load_explicit(&proxy->sets, memory_order_relaxed);
    if (slot < proxy->n_sets)
        return &sets[slot];
    uint32_t n = slot + 16;
    struct socket_set *grown = calloc(n, sizeof *grown);
    CHECK(grown != NULL);
    if (sets)
        memcpy(grown, sets, proxy->n_sets * sizeof *sets);
    for (uint32_t i = proxy->n_sets; i < n; i++) {
        grown[i].fds = calloc(proxy->options.n_workers, sizeof *grown[i].fds);
        CHECK(grown[i].fds != NULL);
        for (unsigned w = 0; w < proxy->options.n_workers; w++)
            atomic_init(&grown[i].fds[w], -1);
    }
    proxy->retired_sets =
        realloc(proxy->retired_sets, (proxy->n_retired_sets + 1) * sizeof *proxy->retired_sets);
    CHECK(proxy->retired_sets != NULL);
    proxy->retired_sets[proxy->n_retired_sets++] = sets;
    atomic_store_explicit(&proxy->sets, grown, memory_order_release);
    proxy->n_sets = n;
    return &grown[slot];
}

int proxy_take_listener_fd(struct proxy *proxy, uint32_t slot, unsigned worker)
{
    struct socket_set *sets = atomic_load_explicit(&proxy->sets, memory_order_acquire);
    return atomic_exchange(&sets[slot].fds[worker], -1);
}

static int open_set(struct proxy *proxy, struct socket_set *set, const struct listener *listener)
{
    unsigned n = proxy->options.n_workers;
    int error = proxy->has_published ? 0 : probe(listener);
    if (error)
        return error;
    int *fds = calloc(n, sizeof *fds);
    CHECK(fds != NULL);
    set->bound = listener->bind;
    set->kind = listener->kind;
    for (unsigned w = 0; w < n; w++) {
        fds[w] = open_socket(&set->bound, listener->is_transparent, true, &error);
        if (fds[w] < 0) {
            while (w-- > 0)
                close(fds[w]);
            free(fds);
            return error;
        }
        struct sockaddr_storage sockaddr;
        socklen_t len = sizeof sockaddr;
        if (getsockname(fds[w], (struct sockaddr *)&sockaddr, &len) == 0)
            address_from_sockaddr((struct sockaddr *)&sockaddr, &set->bound);
    }
    for (unsigned w = 0; w < n; w++) {
        int old = atomic_exchange(&set->fds[w], fds[w]);
        if (old >= 0)
            close(old); // the worker never came to take it
    }
    free(fds);
    set->is_open = true;
    return 0;
}

// Each worker closes its socket when it adopts the snapshot; what a worker has not taken yet (it
// may skip the snapshot that opened it) would listen for ever, and nobody accept.
static void close_set(struct proxy *proxy, struct socket_set *set)
{
    for (unsigned w = 0; w < proxy->options.n_workers; w++) {
        int fd = atomic_exchange(&set->fds[w], -1);
        if (fd >= 0)
            close(fd);
    }
    set->is_open = false;
}

static void report_bind(const struct listener *listener, int error, struct buf *reterr)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format(&listener->bind, text);
    buf_printf(reterr, "cannot listen on %.*s (%.*s): %s", (int)len, text,
               STR_ARG(listener->origin), strerrordesc_np(error));
    if (error == EACCES && listener->bind.port < 1024)
        buf_printf(reterr,
                   "; ports below 1024 need privilege: open another one with --port-map %u=%u",
                   listener->port, listener->port + 8000);
    if (error == EPERM && listener->is_transparent)
        buf_add_text(reterr, "; a listener for TPROXY needs CAP_NET_ADMIN");
    buf_add_char(reterr, '\n');
}

static unsigned open_listeners(struct proxy *proxy, const struct snapshot *snapshot,
                               struct buf *reterr)
{
    unsigned failed = 0;
    for (uint32_t i = 0; i < proxy->n_sets; i++)
        atomic_load(&proxy->sets)[i].is_wanted = false;
    for (uint32_t i = 0; i < snapshot->n_listeners; i++) {
        const struct listener *listener = &snapshot->listeners[i];
        struct socket_set *set = find_set(proxy, listener->slot);
        set->is_wanted = true;
        int error = set->is_open ? 0 : open_set(proxy, set, listener);
        if (error) {
            report_bind(listener, error, reterr);
            failed++;
        }
    }
    struct socket_set *sets = atomic_load(&proxy->sets);
    for (uint32_t i = 0; i < proxy->n_sets; i++)
        if (sets[i].is_open && !sets[i].is_wanted)
            close_set(proxy, &sets[i]);
    return failed;
}

unsigned proxy_publish(struct proxy *proxy, struct snapshot **snapshot, struct buf *reterr)
{
    struct snapshot *fresh = *snapshot;
    *snapshot = NULL;
    unsigned failed = open_listeners(proxy, fresh, reterr);
    proxy->has_published = true;
    unsigned n = proxy->options.n_workers;
    atomic_store_explicit(&fresh->holders, n, memory_order_relaxed);
    proxy->current = fresh;
    add_live(proxy, fresh);
    for (unsigned w = 0; w < n; w++) {
        struct snapshot *unread =
            atomic_exchange_explicit(&proxy->workers[w]->next, fresh, memory_order_acq_rel);
        if (unread)
            atomic_fetch_sub_explicit(&unread->holders, 1, memory_order_acq_rel);
        waker_poke(&proxy->workers[w]->waker);
    }
    free_unheld(proxy);
    return failed;
}

const struct snapshot *proxy_snapshot(const struct proxy *proxy)
{
    return proxy->current;
}

void proxy_describe_listeners(const struct proxy *proxy, struct buf *out)
{
    struct socket_set *sets = atomic_load(&((struct proxy *)(uintptr_t)proxy)->sets);
    const char *separator = "";
    for (uint32_t i = 0; i < proxy->n_sets; i++) {
        if (!sets[i].is_open)
            continue;
        char text[ADDRESS_TEXT_MAX];
        size_t len = address_format(&sets[i].bound, text);
        buf_printf(out, "%s%s %.*s", separator, listener_kind_word(sets[i].kind), (int)len, text);
        separator = ", ";
    }
}

// ---- threads ----

static void pin(const struct proxy *proxy, unsigned index)
{
    cpu_set_t allowed, one;
    if (!proxy->options.pin_workers || sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return;
    unsigned n = (unsigned)CPU_COUNT(&allowed), skip = n ? index % n : 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            return;
        }
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    char name[16];
    snprintf(name, sizeof name, "worker %u", worker->index % 10000);
    pthread_setname_np(pthread_self(), name);
    pin(worker->proxy, worker->index);
    worker_run(worker);
    return NULL;
}

static void on_drain_timer(struct timer *timer)
{
    struct proxy *proxy = LIST_ENTRY(timer, struct proxy, drain_timer);
    void (*on_drained)(void *) = proxy->on_drained;
    proxy->on_drained = NULL;
    if (on_drained)
        on_drained(proxy->drained_arg);
}

struct proxy *proxy_create(const struct proxy_options *options, struct loop *control)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    CHECK(proxy != NULL);
    proxy->options = *options;
    if (options->head_bytes_max > HEAD_BYTES_LIMIT)
        proxy->options.head_bytes_max = HEAD_BYTES_LIMIT;
    proxy->control = control;
    CHECK(options->n_workers > 0);
    int error = waker_open(&proxy->waker, control, on_wake);
    CHECK(error == 0);
    timer_init(&proxy->drain_timer, on_drain_timer);
    proxy->names = name_exchange_create(options->n_workers);
    proxy->dynamic_slots = dynamic_slots_create();
    proxy->pool = shared_pool_create();
    proxy->workers = calloc(options->n_workers, sizeof(struct worker *));
    proxy->threads = calloc(options->n_workers, sizeof *proxy->threads);
    CHECK(proxy->workers != NULL && proxy->threads != NULL);
    for (unsigned i = 0; i < options->n_workers; i++) {
        struct worker *worker = calloc(1, sizeof *worker);
        CHECK(worker != NULL);
        proxy->workers[i] = worker;
        worker_init(worker, proxy, i);
        if (options->access_log)
            worker->log = access_log_channel(options->access_log, i);
    }
    for (unsigned i = 0; i < options->n_workers; i++) {
        error = pthread_create(&proxy->threads[i], NULL, run_worker, proxy->workers[i]);
        CHECK(error == 0);
    }
    return proxy;
}

void proxy_note_drained(struct proxy *proxy)
{
    atomic_fetch_add(&proxy->n_drained, 1);
    waker_poke(&proxy->waker);
}

void proxy_drain(struct proxy *proxy, uint32_t deadline_ms, void (*on_drained)(void *arg),
                 void *arg)
{
    proxy->is_draining = true;
    proxy->on_drained = on_drained;
    proxy->drained_arg = arg;
    timer_arm(&proxy->control->wheel, &proxy->drain_timer, clock_monotonic_ms() + deadline_ms);
    for (unsigned i = 0; i < proxy->options.n_workers; i++) {
        atomic_store(&proxy->workers[i]->drain, true);
        waker_poke(&proxy->workers[i]->waker);
    }
}

static void free_sets(struct proxy *proxy)
{
    struct socket_set *sets = atomic_load(&proxy->sets);
    for (uint32_t i = 0; i < proxy->n_sets; i++) {
        for (unsigned w = 0; w < proxy->options.n_workers; w++) {
            int fd = atomic_load(&sets[i].fds[w]);
            if (fd >= 0)
                close(fd);
        }
        free(sets[i].fds);
    }
    free(sets);
    for (uint32_t i = 0; i < proxy->n_retired_sets; i++)
        free(proxy->retired_sets[i]);
    free(proxy->retired_sets);
}

void proxy_destroy(struct proxy *proxy)
{
    if (!proxy)
        return;
    for (unsigned i = 0; i < proxy->options.n_workers; i++) {
        atomic_store(&proxy->workers[i]->stop, true);
        waker_poke(&proxy->workers[i]->waker);
    }
    for (unsigned i = 0; i < proxy->options.n_workers; i++)
        pthread_join(proxy->threads[i], NULL);
    upstream_close_idle(proxy->workers[0]); // what is parked, in the place of the thread
    for (unsigned i = 0; i < proxy->options.n_workers; i++) {
        struct snapshot *unread = atomic_load(&proxy->workers[i]->next);
        if (unread)
            atomic_fetch_sub(&unread->holders, 1);
        worker_fini(proxy->workers[i]);
        free(proxy->workers[i]);
    }
    shared_pool_destroy(proxy->pool);
    proxy->current = NULL;
    free_unheld(proxy);
    CHECK(proxy->n_live == 0);
    timer_disarm(&proxy->control->wheel, &proxy->drain_timer);
    waker_close(&proxy->waker, proxy->control);
    free_sets(proxy);
    name_exchange_destroy(proxy->names);
    dynamic_slots_destroy(proxy->dynamic_slots);
    free(proxy->live);
    free(proxy->workers);
    free(proxy->threads);
    free(proxy);
}

// ---- counters ----

static uint64_t read_counter(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void proxy_counters(const struct proxy *proxy, uint64_t ret[PROXY_COUNTER_COUNT])
{
    memset(ret, 0, PROXY_COUNTER_COUNT * sizeof *ret);
    for (unsigned w = 0; w < proxy->options.n_workers; w++)
        for (unsigned i = 0; i < PROXY_COUNTER_COUNT; i++)
            ret[i] += read_counter(&proxy->workers[w]->counters[i]);
    ret[PROXY_COUNTER_UPSTREAM_CONNECTIONS_PARKED] = shared_pool_count(proxy->pool);
}

void proxy_code_classes(const struct proxy *proxy, uint64_t ret[CODE_CLASSES])
{
    memset(ret, 0, CODE_CLASSES * sizeof *ret);
    for (unsigned w = 0; w < proxy->options.n_workers; w++)
        for (unsigned i = 0; i < CODE_CLASSES; i++)
            ret[i] += read_counter(&proxy->workers[w]->classes[i]);
}

uint32_t proxy_undeclared(const struct proxy *proxy,
                          struct undeclared_host ret[UNDECLARED_HOSTS_MAX + 1])
{
    unsigned n = proxy->options.n_workers;
    const struct undeclared **all = calloc(n, sizeof *all);
    CHECK(all != NULL);
    for (unsigned w = 0; w < n; w++)
        all[w] = proxy->workers[w]->undeclared;
    uint32_t n_hosts = undeclared_sum(all, n, ret);
    free(all);
    return n_hosts;
}

void proxy_latency(const struct proxy *proxy, struct latency *ret)
{
    *ret = (struct latency){0};
    for (unsigned w = 0; w < proxy->options.n_workers; w++) {
        const struct worker *worker = proxy->workers[w];
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            ret->buckets[i] += read_counter(&worker->latency_buckets[i]);
        ret->sum_us += read_counter(&worker->latency_sum_us);
        ret->count += read_counter(&worker->latency_count);
    }
}

bool proxy_cluster_counters(const struct proxy *proxy, const struct cluster *cluster,
                            uint64_t ret[CLUSTER_COUNTER_COUNT])
{
    bool found = false;
    uint64_t identity = proxy->current->cluster_identity[cluster->slot];
    memset(ret, 0, CLUSTER_COUNTER_COUNT * sizeof *ret);
    for (unsigned w = 0; w < proxy->options.n_workers; w++) {
        struct cluster_page *page =
            atomic_load_explicit(&proxy->workers[w]->cluster_pages[cluster->slot / SLOTS_PER_PAGE],
                                 memory_order_acquire);
        const struct cluster_slot *slot =
            page ? &page->slots[cluster->slot % SLOTS_PER_PAGE] : NULL;
        if (!slot || __atomic_load_n(&slot->identity, __ATOMIC_RELAXED) != identity)
            continue;
        found = true;
        for (unsigned i = 0; i < CLUSTER_COUNTER_COUNT; i++)
            ret[i] += read_counter(&slot->counters[i]);
    }
    return found;
}

bool proxy_endpoint_counters(const struct proxy *proxy, const struct endpoint *endpoint,
                             uint64_t ret[ENDPOINT_COUNTER_COUNT])
{
    bool found = false;
    uint64_t identity = proxy->current->endpoint_identity[endpoint->slot];
    memset(ret, 0, ENDPOINT_COUNTER_COUNT * sizeof *ret);
    for (unsigned w = 0; w < proxy->options.n_workers; w++) {
        struct endpoint_page *page = atomic_load_explicit(
            &proxy->workers[w]->endpoint_pages[endpoint->slot / SLOTS_PER_PAGE],
            memory_order_acquire);
        const struct endpoint_slot *slot =
            page ? &page->slots[endpoint->slot % SLOTS_PER_PAGE] : NULL;
        if (!slot || __atomic_load_n(&slot->identity, __ATOMIC_RELAXED) != identity)
            continue;
        found = true;
        for (unsigned i = 0; i < ENDPOINT_COUNTER_COUNT; i++)
            ret[i] += read_counter(&slot->counters[i]);
    }
    return found;
}

void proxy_endpoint_pool(const struct proxy *proxy, const struct endpoint *endpoint,
                         struct endpoint_pool *ret)
{
    *ret = (struct endpoint_pool){0};
    struct shared_slot *slot = shared_pool_find(proxy->pool, endpoint->slot,
                                                proxy->current->endpoint_identity[endpoint->slot]);
    if (!slot)
        return;
    ret->n_parked = atomic_load_explicit(&slot->n_parked, memory_order_relaxed);
    ret->idle_limit_ms = idle_limit_get(&slot->idle_limit, clock_monotonic_ms());
    ret->is_warm = slot->warmth.is_listed;
    shared_pool_unlock(slot);
}
