// SPDX-License-Identifier: Apache-2.0
// c-ares' sockets are watched by the loop, its timeouts and ours are timers of the loop's wheel.
#include "dns/lookup.h"
#include "base/check.h"
#include "dns/search_list.h"
#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

enum {
    TRY_TIMEOUT_MS = 1000, // the first try's at a server; c-ares doubles it
    TRIES = 3,
    UDP_PAYLOAD_BYTES = 1232, // by EDNS: what passes any path unfragmented
    RECEIVE_BYTES = 208 * 1024,
    QUERIES_PER_PORT = 64, // then another source port: answers are harder to forge
};

struct lookup_client {
    struct loop *loop;
    struct lookup_options options;
    ares_channel files; // /etc/hosts alone
    ares_channel servers;
    struct search_list search;
    struct list sockets;  // of struct socket
    struct timer timeout; // of c-ares' queries
    struct list running, urgent, queued;
    uint32_t n_running, n_queued;
    bool is_starting; // inside start_queued()
};

struct socket {
    struct watch watch;
    struct list node;
    struct lookup_client *client;
};

enum { FAMILIES = 2 };
static const int families[FAMILIES] = {AF_INET, AF_INET6};

struct query { // what c-ares is given
    struct lookup *lookup;
    unsigned family;
};

struct lookup {
    struct lookup_client *client;
    struct list node; // client->running, urgent or queued
    struct lookup **owner;
    void (*on_answer)(void *arg, const struct lookup_answer *answer);
    void *arg;
    struct timer timer;  // the grace, then the deadline
    int64_t deadline_ms; // once it runs
    int64_t urgent_ms;   // since when a request waits for it; 0: none does
    unsigned n_awaited;  // answers of c-ares that will come, whatever happens
    unsigned n_domains;  // of the search list that count
    unsigned candidate;  // the next one of the names to try
    bool is_urgent, is_running, is_over, is_of_file;
    struct query queries[FAMILIES];
    struct family_answer answers[FAMILIES];
    struct str name;
};

// ---- c-ares and the loop ----

static void update_timeout(struct lookup_client *client)
{
    struct timeval wait;
    if (!ares_timeout(client->servers, NULL, &wait)) {
        timer_disarm(&client->loop->wheel, &client->timeout);
        return;
    }
    int64_t wait_ms = (int64_t)wait.tv_sec * 1000 + (wait.tv_usec + 999) / 1000;
    timer_arm(&client->loop->wheel, &client->timeout, client->loop->now_ms + wait_ms);
}

static void process(struct lookup_client *client, int read_fd, int write_fd)
{
    ares_process_fd(client->servers, read_fd, write_fd);
    update_timeout(client);
}

static void on_timeout(struct timer *timer)
{
    process(LIST_ENTRY(timer, struct lookup_client, timeout), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(struct watch *watch, uint32_t events)
{
    struct socket *sock = LIST_ENTRY(watch, struct socket, watch);
    bool is_broken = events & (EPOLLERR | EPOLLHUP);
    int fd = watch->fd; // `sock` may be gone when c-ares returns
    process(sock->client, events & EPOLLIN || is_broken ? fd : ARES_SOCKET_BAD,
            events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static struct socket *find_socket(struct lookup_client *client, int fd)
{
    for (struct list *at = client->sockets.next; at != &client->sockets; at = at->next) {
        struct socket *sock = LIST_ENTRY(at, struct socket, node);
        if (sock->watch.fd == fd)
            return sock;
    }
    return NULL;
}

// c-ares tells what it waits for; neither readable nor writable means that it closes the socket.
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct lookup_client *client = arg;
    struct socket *sock = find_socket(client, fd);
    if (!readable && !writable) {
        if (!sock)
            return;
        loop_remove(client->loop, &sock->watch);
        list_remove(&sock->node);
        free(sock);
        return;
    }
    uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (sock) {
        loop_change(client->loop, &sock->watch, events);
        return;
    }
    sock = calloc(1, sizeof(*sock));
    CHECK(sock != NULL);
    sock->watch = (struct watch){.on_event = on_socket, .fd = fd};
    sock->client = client;
    list_push_back(&client->sockets, &sock->node);
    // Without a watch the query runs into its timeout and is reported as any other failure.
    loop_add(client->loop, &sock->watch, events);
}

// ---- the end of a lookup ----

static void start_queued(struct lookup_client *client);

static void free_if_done(struct lookup *lookup)
{
    if (lookup->n_awaited > 0 || !lookup->is_over)
        return;
    for (unsigned i = 0; i < FAMILIES; i++)
        free(lookup->answers[i].addresses);
    free(lookup);
}

static void leave(struct lookup *lookup)
{
    struct lookup_client *client = lookup->client;
    lookup->is_over = true;
    *lookup->owner = NULL;
    timer_disarm(&client->loop->wheel, &lookup->timer);
    list_remove(&lookup->node);
    if (lookup->is_running)
        client->n_running--;
    else
        client->n_queued--;
}

static void deliver(struct lookup *lookup, bool is_final)
{
    struct lookup_answer answer = {lookup->answers, is_final, lookup->is_of_file};
    lookup->on_answer(lookup->arg, &answer);
}

// An answer that c-ares still owes holds the memory: n_awaited counts it.
static void finish(struct lookup *lookup)
{
    struct lookup_client *client = lookup->client;
    leave(lookup);
    deliver(lookup, true);
    free_if_done(lookup);
    start_queued(client);
}

void lookup_abandon(struct lookup **owner)
{
    struct lookup *lookup = *owner;
    if (!lookup)
        return;
    struct lookup_client *client = lookup->client;
    leave(lookup);
    free_if_done(lookup);
    start_queued(client);
}

// ---- answers ----

static void take_addresses(struct family_answer *answer, int family,
                           const struct ares_addrinfo *found)
{
    uint32_t n = 0;
    int64_t ttl_s = INT32_MAX;
    for (const struct ares_addrinfo_node *at = found->nodes; at; at = at->ai_next)
        n += at->ai_family == family;
    if (n > LOOKUP_ADDRESSES_MAX)
        n = LOOKUP_ADDRESSES_MAX;
    answer->status = n > 0 ? FAMILY_FOUND : FAMILY_NONE;
    if (n == 0)
        return;
    answer->addresses = calloc(n, sizeof *answer->addresses);
    CHECK(answer->addresses != NULL);
    for (const struct ares_addrinfo_node *at = found->nodes; at && answer->n < n;
         at = at->ai_next) {
        if (at->ai_family != family ||
            !address_from_sockaddr(at->ai_addr, &answer->addresses[answer->n]))
            continue;
        answer->addresses[answer->n++].port = 0;
        if (at->ai_ttl < ttl_s)
            ttl_s = at->ai_ttl;
    }
    for (const struct ares_addrinfo_cname *at = found->cnames; at; at = at->next) {
        if (at->ttl < ttl_s)
            ttl_s = at->ttl;
    }
    answer->ttl_ms = ttl_s > 0 ? ttl_s * 1000 : 0;
}

static void take_status(struct family_answer *answer, int status)
{
    bool is_none = status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA ||
                   status == ARES_EBADNAME;
    answer->status = is_none ? FAMILY_NONE : FAMILY_FAILED;
    answer->has_timed_out = status == ARES_ETIMEOUT;
    answer->failure = ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status);
}

static bool ask_next_candidate(struct lookup *lookup);

static void settle(struct lookup *lookup)
{
    const struct family_answer *v4 = &lookup->answers[0], *v6 = &lookup->answers[1];
    if (v4->status != FAMILY_PENDING && v6->status != FAMILY_PENDING) {
        bool is_none = v4->status == FAMILY_NONE && v6->status == FAMILY_NONE;
        if (!is_none || !ask_next_candidate(lookup))
            finish(lookup);
        return;
    }
    if (v4->status != FAMILY_FOUND && v6->status != FAMILY_FOUND)
        return;
    struct loop *loop = lookup->client->loop;
    int64_t until_ms = loop->now_ms + lookup->client->options.grace_ms;
    timer_arm(&loop->wheel, &lookup->timer,
              until_ms < lookup->deadline_ms ? until_ms : lookup->deadline_ms);
}

static void on_lookup_timer(struct timer *timer)
{
    struct lookup *lookup = LIST_ENTRY(timer, struct lookup, timer);
    struct loop *loop = lookup->client->loop;
    if (loop->now_ms < lookup->deadline_ms) {
        timer_arm(&loop->wheel, &lookup->timer, lookup->deadline_ms);
        deliver(lookup, false);
        return;
    }
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (lookup->answers[i].status == FAMILY_PENDING)
            take_status(&lookup->answers[i], ARES_ETIMEOUT);
    }
    finish(lookup);
}

static void on_family(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct query *query = arg;
    struct lookup *lookup = query->lookup;
    struct family_answer *answer = &lookup->answers[query->family];
    lookup->n_awaited--;
    if (lookup->is_over) {
        free_if_done(lookup);
    } else {
        if (status == ARES_SUCCESS && found)
            take_addresses(answer, families[query->family], found);
        if (answer->status != FAMILY_FOUND)
            take_status(answer, status);
        settle(lookup);
    }
    ares_freeaddrinfo(found);
}

// ---- asking ----

// The names to try: one with a dot as it stands and then below the search domains, another one
// below them first. False: there are no more.
static bool next_candidate(struct lookup *lookup, char *out, size_t cap)
{
    const struct search_list *search = &lookup->client->search;
    bool has_dot = str_index(lookup->name, '.') >= 0;
    unsigned as_it_stands = has_dot ? 0 : lookup->n_domains;
    while (lookup->candidate <= lookup->n_domains) {
        unsigned i = lookup->candidate++;
        int len;
        if (i == as_it_stands) {
            len = snprintf(out, cap, "%.*s.", STR_ARG(lookup->name));
        } else {
            struct str domain = search->domains[has_dot ? i - 1 : i];
            len = snprintf(out, cap, "%.*s.%.*s.", STR_ARG(lookup->name), STR_ARG(domain));
        }
        if (len <= HOST_NAME_MAX_BYTES + 1)
            return true;
    }
    return false;
}

static bool ask_next_candidate(struct lookup *lookup)
{
    struct lookup_client *client = lookup->client;
    char name[2 * HOST_NAME_MAX_BYTES + 4]; // its final dot keeps c-ares from searching
    if (!next_candidate(lookup, name, sizeof name))
        return false;
    lookup->n_awaited += FAMILIES; // before the first answer, which may come inside a call
    for (unsigned i = 0; i < FAMILIES; i++) {
        free(lookup->answers[i].addresses);
        lookup->answers[i] = (struct family_answer){.status = FAMILY_PENDING};
        lookup->queries[i] = (struct query){lookup, i};
    }
    for (unsigned i = 0; i < FAMILIES; i++) {
        struct ares_addrinfo_hints hints = {
            .ai_family = families[i],
            .ai_socktype = SOCK_STREAM, // one entry an address, not one a protocol
            .ai_flags = ARES_AI_NOSORT,
        };
        ares_getaddrinfo(client->servers, name, NULL, &hints, on_family, &lookup->queries[i]);
    }
    update_timeout(client);
    return true;
}

static void on_file(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct lookup *lookup = arg;
    lookup->n_awaited--;
    if (lookup->is_over) { // only the end of the client
        free_if_done(lookup);
    } else if (status == ARES_SUCCESS && found && found->nodes) {
        lookup->is_of_file = true;
        for (unsigned i = 0; i < FAMILIES; i++) {
            take_addresses(&lookup->answers[i], families[i], found);
            lookup->answers[i].ttl_ms = 0;
        }
        finish(lookup);
    } else if (!ask_next_candidate(lookup)) {
        for (unsigned i = 0; i < FAMILIES; i++)
            take_status(&lookup->answers[i], ARES_EBADNAME);
        finish(lookup);
    }
    ares_freeaddrinfo(found);
}

static void start(struct lookup *lookup)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    struct lookup_client *client = lookup->client;
    list_remove(&lookup->node);
    list_push_back(&client->running, &lookup->node);
    client->n_queued--;
    client->n_running++;
    lookup->is_running = true;
    lookup->deadline_ms = client->loop->now_ms + client->options.deadline_ms;
    timer_arm(&client->loop->wheel, &lookup->timer, lookup->deadline_ms);
    lookup->n_awaited++;
    char name[HOST_NAME_MAX_BYTES + 1];
    snprintf(name, sizeof name, "%.*s", STR_ARG(lookup->name));
    ares_getaddrinfo(client->files, name, NULL, &hints, on_file, lookup);
}

// Who waited for it has given up by now: the queue must not grow longer than they wait.
static bool is_too_late(const struct lookup *lookup)
{
    const struct lookup_client *client = lookup->client;
    return client->loop->now_ms - lookup->urgent_ms >= client->options.deadline_ms;
}

static void give_up(struct lookup *lookup)
{
    for (unsigned i = 0; i < FAMILIES; i++)
        take_status(&lookup->answers[i], ARES_ETIMEOUT);
    finish(lookup);
}

// Answers may come inside start(), whose ends would start the next one: not ever deeper.
static void start_queued(struct lookup_client *client)
{
    if (client->is_starting)
        return;
    client->is_starting = true;
    for (;;) {
        struct list *from = NULL;
        if (!list_empty(&client->urgent) && client->n_running < LOOKUPS_MAX + LOOKUPS_URGENT_MAX)
            from = &client->urgent;
        else if (!list_empty(&client->queued) && client->n_running < LOOKUPS_MAX)
            from = &client->queued;
        if (!from)
            break;
        struct lookup *lookup = LIST_ENTRY(from->next, struct lookup, node);
        if (lookup->is_urgent && is_too_late(lookup))
            give_up(lookup);
        else
            start(lookup);
    }
    client->is_starting = false;
}

void lookup_begin(struct lookup_client *client, struct str name, unsigned how,
                  struct lookup **owner,
                  void (*on_answer)(void *arg, const struct lookup_answer *answer), void *arg)
{
    CHECK(name.len <= HOST_NAME_MAX_BYTES);
    struct lookup *lookup = calloc(1, sizeof *lookup + name.len);
    CHECK(lookup != NULL);
    lookup->client = client;
    lookup->owner = owner;
    lookup->on_answer = on_answer;
    lookup->arg = arg;
    lookup->is_urgent = how & LOOKUP_URGENT;
    lookup->urgent_ms = lookup->is_urgent ? client->loop->now_ms : 0;
    lookup->n_domains = how & LOOKUP_SEARCHES ? client->search.n : 0;
    lookup->name = (struct str){memcpy(lookup + 1, name.ptr, name.len), name.len};
    timer_init(&lookup->timer, on_lookup_timer);
    *owner = lookup;
    client->n_queued++;
    list_push_back(lookup->is_urgent ? &client->urgent : &client->queued, &lookup->node);
    start_queued(client);
}

void lookup_hurry(struct lookup *lookup)
{
    if (lookup->is_urgent || lookup->is_running)
        return;
    lookup->is_urgent = true;
    lookup->urgent_ms = lookup->client->loop->now_ms;
    list_remove(&lookup->node);
    list_push_back(&lookup->client->urgent, &lookup->node);
    start_queued(lookup->client);
}

uint32_t lookup_client_n_running(const struct lookup_client *client)
{
    return client->n_running;
}

uint32_t lookup_client_n_queued(const struct lookup_client *client)
{
    return client->n_queued;
}

// ---- beginning and end ----

// c-ares takes more than it should: ports that are none, names that it skips.
static bool are_addresses(struct str list)
{
    struct str one;
    struct address address;
    bool has_some = false;
    while (str_next(&list, ',', &one)) {
        if (!address_parse(one, &address) || address.port == 0) {
            if (!address_parse_ip(one, &address))
                return false;
        }
        has_some = true;
    }
    return has_some;
}

static bool open_channel(ares_channel *channel, struct lookup_client *client, char *lookups)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOALIASES,
        .ednspsz = UDP_PAYLOAD_BYTES,
        .timeout = TRY_TIMEOUT_MS,
        .tries = TRIES,
        .ndots = 1,
        .lookups = lookups,
        .socket_receive_buffer_size = RECEIVE_BYTES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = client,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_NDOTS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_UDP_MAX_QUERIES // from c-ares 1.20 on
    options.udp_max_queries = QUERIES_PER_PORT;
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE // from c-ares 1.31 on; the cache is ours, with its own bounds of TTLs
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    return ares_init_options(channel, &options, mask) == ARES_SUCCESS;
}

// A sidecar's own queries over TCP must not be captured. Without the privilege to mark them it is
// known by its user, as its connections are.
static int mark_socket(ares_socket_t fd, int type, void *arg)
{
    const struct lookup_client *client = arg;
    uint32_t mark = client->options.mark;
    if (mark != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
    return 0;
}

struct lookup_client *lookup_client_create(struct loop *loop, const struct lookup_options *options)
{
    struct lookup_client *client = calloc(1, sizeof *client);
    CHECK(client != NULL);
    client->loop = loop;
    client->options = *options;
    list_init(&client->sockets);
    list_init(&client->running);
    list_init(&client->urgent);
    list_init(&client->queued);
    timer_init(&client->timeout, on_timeout);
    static char in_files[] = "f", at_servers[] = "b"; // c-ares copies them
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        goto fail;
    if (!open_channel(&client->files, client, in_files))
        goto fail_library;
    if (!open_channel(&client->servers, client, at_servers))
        goto fail_files;
    if (options->servers && !are_addresses(str_of(options->servers)))
        goto fail_servers;
    if (options->servers &&
        ares_set_servers_ports_csv(client->servers, options->servers) != ARES_SUCCESS)
        goto fail_servers;
    ares_set_socket_configure_callback(client->servers, mark_socket, client);
    search_list_read(&client->search,
                     options->resolv_conf ? options->resolv_conf : "/etc/resolv.conf");
    return client;

fail_servers:
    ares_destroy(client->servers);
fail_files:
    ares_destroy(client->files);
fail_library:
    ares_library_cleanup();
fail:
    free(client);
    return NULL;
}

static void abandon_all(struct list *lookups)
{
    while (!list_empty(lookups)) {
        struct lookup *lookup = LIST_ENTRY(lookups->next, struct lookup, node);
        leave(lookup);
        free_if_done(lookup);
    }
}

void lookup_client_destroy(struct lookup_client *client)
{
    if (!client)
        return;
    abandon_all(&client->queued);
    abandon_all(&client->urgent);
    abandon_all(&client->running);
    ares_destroy(client->servers); // answers every query with ARES_EDESTRUCTION
    ares_destroy(client->files);
    ares_library_cleanup();
    timer_disarm(&client->loop->wheel, &client->timeout);
    search_list_fini(&client->search);
    free(client);
}
