// SPDX-License-Identifier: Apache-2.0
// c-ares does the protocol. Its sockets are watched by the loop, its timeouts and our refreshes are
// timers of the loop's wheel.
#include "dns/resolver.h"
#include "base/check.h"
#include "base/map.h"
#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/time.h>

enum {
    QUERY_TIMEOUT_MS = 2000, // the first try's; c-ares doubles it
    QUERY_TRIES = 3,
    TTL_MIN_MS = 1000,
    TTL_MAX_MS = 300 * 1000,
    RETRY_MIN_MS = 1000, // after a failure, doubling
    RETRY_MAX_MS = 30 * 1000,
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct map *names;    // text to struct name
    struct list sockets;  // of struct socket
    struct timer timeout; // of the queries under way
    void (*on_change)(void *arg);
    void *arg;
    bool is_changed; // and on_change has not run yet
    bool is_ending;  // being destroyed: answers are dropped
};

struct socket {
    struct watch watch;
    struct list node;
    struct resolver *resolver;
};

struct name {
    struct resolver *resolver;
    struct address *addresses;
    uint32_t n_addresses;
    struct timer refresh;
    int64_t retry_ms;
    struct address first; // of the newest answer, as the server ordered it
    bool is_answered;     // well or badly
    bool is_wanted;       // looked up since the last sweep
    bool is_by_first;     // ... for its first address
    bool is_asked;        // a query is under way, which holds this
    bool is_forgotten;    // swept meanwhile: the answer frees it
    char text[];
};

static void notify(struct resolver *resolver)
{
    if (!resolver->is_changed)
        return;
    resolver->is_changed = false;
    resolver->on_change(resolver->arg);
}

static void update_timeout(struct resolver *resolver)
{
    struct timeval wait;
    if (!ares_timeout(resolver->channel, NULL, &wait)) {
        timer_disarm(&resolver->loop->wheel, &resolver->timeout);
        return;
    }
    int64_t wait_ms = (int64_t)wait.tv_sec * 1000 + (wait.tv_usec + 999) / 1000;
    timer_arm(&resolver->loop->wheel, &resolver->timeout, resolver->loop->now_ms + wait_ms);
}

static void process(struct resolver *resolver, int read_fd, int write_fd)
{
    ares_process_fd(resolver->channel, read_fd, write_fd);
    update_timeout(resolver);
    notify(resolver); // after c-ares has returned: the callee may look up further names
}

static void on_timeout(struct timer *timer)
{
    process(LIST_ENTRY(timer, struct resolver, timeout), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(struct watch *watch, uint32_t events)
{
    struct socket *sock = LIST_ENTRY(watch, struct socket, watch);
    bool is_broken = events & (EPOLLERR | EPOLLHUP);
    int fd = watch->fd; // `sock` may be gone when c-ares returns
    process(sock->resolver, events & EPOLLIN || is_broken ? fd : ARES_SOCKET_BAD,
            events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static struct socket *find_socket(struct resolver *resolver, int fd)
{
    for (struct list *at = resolver->sockets.next; at != &resolver->sockets; at = at->next) {
        struct socket *sock = LIST_ENTRY(at, struct socket, node);
        if (sock->watch.fd == fd)
            return sock;
    }
    return NULL;
}

// c-ares tells what it waits for; neither readable nor writable means that it closes the socket.
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = arg;
    struct socket *sock = find_socket(resolver, fd);
    if (!readable && !writable) {
        if (!sock)
            return;
        loop_remove(resolver->loop, &sock->watch);
        list_remove(&sock->node);
        free(sock);
        return;
    }
    uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (sock) {
        loop_change(resolver->loop, &sock->watch, events);
        return;
    }
    sock = calloc(1, sizeof(*sock));
    CHECK(sock != NULL);
    sock->watch = (struct watch){.on_event = on_socket, .fd = fd};
    sock->resolver = resolver;
    list_push_back(&resolver->sockets, &sock->node);
    // Without a watch the query runs into its timeout and is reported as any other failure.
    loop_add(resolver->loop, &sock->watch, events);
}

static int compare_addresses(const void *left, const void *right)
{
    const struct address *a = left, *b = right;
    if (a->family != b->family)
        return a->family == AF_INET ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static uint32_t drop_repeats(struct address *addresses, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || compare_addresses(&addresses[kept - 1], &addresses[i]) != 0)
            addresses[kept++] = addresses[i];
    }
    return kept;
}

// Takes the answer's addresses over; returns the smallest TTL in milliseconds.
static int64_t take_answer(struct name *name, const struct ares_addrinfo *answer)
{
    uint32_t n = 0, room = 0;
    int64_t ttl_ms = TTL_MAX_MS;
    for (const struct ares_addrinfo_node *at = answer->nodes; at; at = at->ai_next)
        room++;
    struct address *addresses = calloc(room, sizeof(*addresses));
    CHECK(addresses != NULL);
    for (const struct ares_addrinfo_node *at = answer->nodes; at; at = at->ai_next) {
        if (!address_from_sockaddr(at->ai_addr, &addresses[n]))
            continue;
        addresses[n++].port = 0;
        if ((int64_t)at->ai_ttl * 1000 < ttl_ms)
            ttl_ms = (int64_t)at->ai_ttl * 1000;
    }
    if (n > 0 && !address_equal(&name->first, &addresses[0])) {
        name->first = addresses[0];
        name->resolver->is_changed |= name->is_by_first;
    }
    qsort(addresses, n, sizeof(*addresses), compare_addresses);
    n = drop_repeats(addresses, n);

    bool is_same = n == name->n_addresses;
    for (uint32_t i = 0; i < n && is_same; i++)
        is_same = address_equal(&addresses[i], &name->addresses[i]);
    if (is_same) {
        free(addresses);
    } else {
        free(name->addresses);
        name->addresses = addresses;
        name->n_addresses = n;
        name->resolver->is_changed = true;
    }
    return ttl_ms > TTL_MIN_MS ? ttl_ms : TTL_MIN_MS;
}

static void free_name(struct name *name)
{
    free(name->addresses);
    free(name);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct name *name = arg;
    struct resolver *resolver = name->resolver;
    name->is_asked = false;
    if (name->is_forgotten) {
        free_name(name);
    } else if (!resolver->is_ending) {
        int64_t wait_ms;
        name->is_answered = true;
        if (status == ARES_SUCCESS && answer && answer->nodes) {
            wait_ms = take_answer(name, answer);
            name->retry_ms = RETRY_MIN_MS;
        } else { // what is known stays
            wait_ms = name->retry_ms;
            name->retry_ms = wait_ms * 2 < RETRY_MAX_MS ? wait_ms * 2 : RETRY_MAX_MS;
        }
        timer_arm(&resolver->loop->wheel, &name->refresh, resolver->loop->now_ms + wait_ms);
    }
    ares_freeaddrinfo(answer);
}

static void ask(struct name *name)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM, // one entry an address, not one a protocol
        .ai_flags = ARES_AI_NOSORT,
    };
    name->is_asked = true;
    ares_getaddrinfo(name->resolver->channel, name->text, NULL, &hints, on_answer, name);
    update_timeout(name->resolver);
}

static void on_refresh(struct timer *timer)
{
    struct name *name = LIST_ENTRY(timer, struct name, refresh);
    struct resolver *resolver = name->resolver;
    ask(name);
    notify(resolver); // /etc/hosts answers at once
}

struct resolver *resolver_create(struct loop *loop, const char *servers,
                                 void (*on_change)(void *arg), void *arg)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    CHECK(resolver != NULL);
    resolver->loop = loop;
    resolver->on_change = on_change;
    resolver->arg = arg;
    list_init(&resolver->sockets);
    timer_init(&resolver->timeout, on_timeout);
    // A name with a dot is tried as it stands before any search domain (in a Pod ndots is 5).
    struct ares_options options = {
        .timeout = QUERY_TIMEOUT_MS,
        .tries = QUERY_TRIES,
        .ndots = 1,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE // from c-ares 1.31 on; the cache is ours, with its own bounds of TTLs
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        goto fail;
    if (ares_init_options(&resolver->channel, &options, mask) != ARES_SUCCESS)
        goto fail_library;
    if (servers && ares_set_servers_ports_csv(resolver->channel, servers) != ARES_SUCCESS)
        goto fail_channel;
    resolver->names = map_create();
    return resolver;

fail_channel:
    ares_destroy(resolver->channel);
fail_library:
    ares_library_cleanup();
fail:
    free(resolver);
    return NULL;
}

void resolver_destroy(struct resolver *resolver)
{
    if (!resolver)
        return;
    resolver->is_ending = true;
    ares_destroy(resolver->channel); // answers every query with ARES_EDESTRUCTION
    ares_library_cleanup();
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        struct name *name = value;
        timer_disarm(&resolver->loop->wheel, &name->refresh);
        free_name(name);
    }
    map_destroy(resolver->names);
    timer_disarm(&resolver->loop->wheel, &resolver->timeout);
    free(resolver);
}

static struct name *add_name(struct resolver *resolver, struct str text)
{
    struct name *name = calloc(1, sizeof(*name) + text.len + 1);
    CHECK(name != NULL);
    name->resolver = resolver;
    name->retry_ms = RETRY_MIN_MS;
    timer_init(&name->refresh, on_refresh);
    memcpy(name->text, text.ptr, text.len);
    map_put(resolver->names, (struct str){name->text, text.len}, name);
    struct address literal;
    if (address_parse_ip(text, &literal)) {
        name->addresses = calloc(1, sizeof(literal));
        CHECK(name->addresses != NULL);
        name->addresses[0] = literal;
        name->n_addresses = 1;
        name->first = literal;
        name->is_answered = true;
        return name; // and is never asked for
    }
    // An answer that comes at once (/etc/hosts) is for this very caller: no change to tell.
    bool was_changed = resolver->is_changed;
    ask(name);
    resolver->is_changed = was_changed;
    return name;
}

void resolver_addresses(struct resolver *resolver, struct str name, bool by_first,
                        struct name_addresses *ret)
{
    *ret = (struct name_addresses){0};
    if (name.len == 0 || memchr(name.ptr, '\0', name.len))
        return;
    struct name *entry = map_find(resolver->names, name);
    if (!entry)
        entry = add_name(resolver, name);
    entry->is_wanted = true;
    entry->is_by_first |= by_first;
    *ret = (struct name_addresses){.items = entry->addresses,
                                   .n = entry->n_addresses,
                                   .first = entry->first,
                                   .is_pending = !entry->is_answered};
}

void resolver_sweep(struct resolver *resolver)
{
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        struct name *name = value;
        if (name->is_wanted) {
            name->is_wanted = false;
            continue;
        }
        map_remove(resolver->names, key);
        timer_disarm(&resolver->loop->wheel, &name->refresh);
        if (name->is_asked)
            name->is_forgotten = true;
        else
            free_name(name);
    }
}
