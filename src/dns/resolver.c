// SPDX-License-Identifier: Apache-2.0
// The names, when each is asked for again, and what an answer changes.
#include "dns/resolver.h"
#include "base/check.h"
#include "base/map.h"
#include "dns/lookup.h"
#include "dns/reachable.h"
#include <stdlib.h>
#include <sys/random.h>

enum {
    GRACE_MS = 50,                 // RFC 8305, 3
    REQUESTED_RETRY_MAX_MS = 5000, // of a bad answer, for requests
    FILE_TTL_MS = 5000,            // of /etc/hosts
    LITERAL_VALID_MS = 3600 * 1000,
    ASKERS_MAX = 8192,
    RETIRING_MAX = 64, // of a name
    RECOVERY_SPREAD_MS = 1000,
};

struct resolver {
    struct loop *loop;
    struct resolver_options options;
    struct lookup_client *client;
    struct map *names;     // text to struct name
    struct list requested; // names that are remembered for requests alone, the one used last first
    uint32_t n_requested, n_askers;
    uint64_t random, next_serial;
    uint64_t lookups, not_found, failures, timeouts;
    struct waker change; // runs on_change in the loop's next turn
    bool is_changed;     // ... for a reason
    bool is_failing;     // a lookup failed since the last good answer
};

struct asker {
    struct list node;
    resolver_answer_fn on_answer;
    void *arg;
};

struct name {
    struct resolver *resolver;
    struct lookup *lookup; // under way; NULL: none
    struct address *addresses;
    uint32_t n_addresses, n_retiring;
    struct address *retiring;
    int64_t *retiring_until_ms;
    struct address first; // of the newest answer, as the server ordered it
    struct timer refresh, retire;
    int64_t retry_ms;       // the wait after the next failure
    int64_t good_ms;        // when the newest good answer came; 0: never
    int64_t answered_ms;    // ... any answer
    int64_t valid_until_ms; // of the newest answer
    const char *failure;    // of the newest answer; NULL: it was good
    uint32_t n_failures;    // in a row
    enum resolved result;   // of the newest answer
    bool is_answered;       // well or badly
    bool is_watched;
    bool is_wanted;   // looked up since the last sweep
    bool is_by_first; // watched for its first address
    bool wants_first; // ... since the last sweep
    bool is_requested;
    bool is_literal;
    struct list use;    // resolver->requested, unless watched or awaited
    struct list askers; // of struct asker
    uint64_t serial;
    struct str text;
};

static uint32_t random_below(struct resolver *resolver, uint32_t n)
{
    resolver->random ^= resolver->random << 13;
    resolver->random ^= resolver->random >> 7;
    resolver->random ^= resolver->random << 17;
    return n > 0 ? (uint32_t)(resolver->random >> 32) % n : 0;
}

// ---- telling ----

// Never from inside a caller's call, nor inside c-ares; many changes of a turn are told once.
static void note_change(struct resolver *resolver)
{
    resolver->is_changed = true;
    waker_poke(&resolver->change);
}

static void on_change_wake(struct waker *waker)
{
    struct resolver *resolver = LIST_ENTRY(waker, struct resolver, change);
    if (!resolver->is_changed)
        return;
    resolver->is_changed = false;
    resolver->options.owner.on_change(resolver->options.owner.arg);
}

static void note_health(struct name *name, const char *failure)
{
    struct resolver *resolver = name->resolver;
    bool was_failing = name->failure != NULL, is_failing = failure != NULL;
    name->failure = failure;
    if (name->is_watched && was_failing != is_failing && resolver->options.owner.on_health)
        resolver->options.owner.on_health(resolver->options.owner.arg, name->text, failure,
                                          name->n_addresses > 0);
}

// A pause after failures may have grown: requests should find out soon that the resolver is back.
static int64_t asked_valid_until_ms(const struct name *name)
{
    int64_t most_ms = name->answered_ms + REQUESTED_RETRY_MAX_MS;
    bool is_bounded = name->result != RESOLVED_FOUND && most_ms < name->valid_until_ms;
    return is_bounded ? most_ms : name->valid_until_ms;
}

// What an asker may rely on now. Old addresses are as good as an answer until the next one.
static void answer_asker(struct name *name, struct asker *asker)
{
    struct resolver *resolver = name->resolver;
    int64_t valid_ms = asked_valid_until_ms(name) - resolver->loop->now_ms;
    if (valid_ms < resolver->options.retry_min_ms)
        valid_ms = resolver->options.retry_min_ms;
    if (name->is_literal)
        valid_ms = LITERAL_VALID_MS;
    enum resolved result = name->n_addresses > 0 ? RESOLVED_FOUND : name->result;
    asker->on_answer(asker->arg, name->text, result, name->addresses, name->n_addresses,
                     (uint32_t)valid_ms);
}

static void answer_askers(struct name *name)
{
    while (!list_empty(&name->askers)) {
        struct asker *asker = LIST_ENTRY(name->askers.next, struct asker, node);
        list_remove(&asker->node);
        name->resolver->n_askers--;
        answer_asker(name, asker);
        free(asker);
    }
}

// ---- addresses ----

static int compare_addresses(const void *left, const void *right)
{
    const struct address *a = left, *b = right;
    if (a->family != b->family)
        return a->family == AF_INET ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static uint32_t sort_and_drop_repeats(struct address *addresses, uint32_t n)
{
    if (n > 0)
        qsort(addresses, n, sizeof(*addresses), compare_addresses);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || compare_addresses(&addresses[kept - 1], &addresses[i]) != 0)
            addresses[kept++] = addresses[i];
    }
    return kept;
}

static bool contains(const struct address *addresses, uint32_t n, const struct address *wanted)
{
    return n > 0 && bsearch(wanted, addresses, n, sizeof(*addresses), compare_addresses) != NULL;
}

static void arm_retire(struct name *name)
{
    struct wheel *wheel = &name->resolver->loop->wheel;
    int64_t next_ms = INT64_MAX;
    for (uint32_t i = 0; i < name->n_retiring; i++) {
        if (name->retiring_until_ms[i] < next_ms)
            next_ms = name->retiring_until_ms[i];
    }
    if (name->n_retiring > 0)
        timer_arm(wheel, &name->retire, next_ms);
    else
        timer_disarm(wheel, &name->retire);
}

// Keeps those that are neither over nor back among the addresses; true: some went.
static bool trim_retiring(struct name *name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < name->n_retiring; i++) {
        if (name->retiring_until_ms[i] <= name->resolver->loop->now_ms ||
            contains(name->addresses, name->n_addresses, &name->retiring[i]))
            continue;
        name->retiring[kept] = name->retiring[i];
        name->retiring_until_ms[kept++] = name->retiring_until_ms[i];
    }
    bool have_some_gone = kept < name->n_retiring;
    name->n_retiring = kept;
    return have_some_gone;
}

// Sorted in, so that a snapshot does not depend on the order of events.
static void add_retiring(struct name *name, const struct address *address)
{
    if (name->n_retiring == RETIRING_MAX || contains(name->retiring, name->n_retiring, address))
        return;
    if (!name->retiring) {
        name->retiring = calloc(RETIRING_MAX, sizeof *name->retiring);
        name->retiring_until_ms = calloc(RETIRING_MAX, sizeof *name->retiring_until_ms);
        CHECK(name->retiring != NULL && name->retiring_until_ms != NULL);
    }
    uint32_t i = name->n_retiring++;
    for (; i > 0 && compare_addresses(&name->retiring[i - 1], address) > 0; i--) {
        name->retiring[i] = name->retiring[i - 1];
        name->retiring_until_ms[i] = name->retiring_until_ms[i - 1];
    }
    name->retiring[i] = *address;
    name->retiring_until_ms[i] = name->resolver->loop->now_ms + name->resolver->options.retiring_ms;
}

static void on_retire(struct timer *timer)
{
    struct name *name = LIST_ENTRY(timer, struct name, retire);
    if (trim_retiring(name) && name->is_watched)
        note_change(name->resolver);
    arm_retire(name);
}

// Takes *addresses (sorted).
static void set_addresses(struct name *name, struct address **addresses, uint32_t n)
{
    struct address *fresh = *addresses, *old = name->addresses;
    uint32_t n_old = name->n_addresses;
    *addresses = NULL;
    bool is_same = n == n_old;
    for (uint32_t i = 0; i < n && is_same; i++)
        is_same = address_equal(&fresh[i], &old[i]);
    if (is_same) {
        free(fresh);
        return;
    }
    name->addresses = fresh;
    name->n_addresses = n;
    trim_retiring(name);
    for (uint32_t i = 0; name->is_watched && i < n_old; i++) {
        if (!contains(fresh, n, &old[i]))
            add_retiring(name, &old[i]);
    }
    arm_retire(name);
    free(old);
    if (name->is_watched)
        note_change(name->resolver);
}

static void set_first(struct name *name, const struct address *first)
{
    if (address_equal(&name->first, first))
        return;
    name->first = *first;
    if (name->is_watched && name->is_by_first)
        note_change(name->resolver);
}

// ---- answers ----

static int64_t bound_ttl(const struct resolver *resolver, int64_t ttl_ms)
{
    if (ttl_ms < resolver->options.ttl_min_ms)
        return resolver->options.ttl_min_ms;
    return ttl_ms < resolver->options.ttl_max_ms ? ttl_ms : resolver->options.ttl_max_ms;
}

// The addresses of both families, as the server ordered them, with room for those known before.
// Those that nothing leads to count as not answered.
static struct address *join_families(const struct name *name, const struct lookup_answer *answer,
                                     uint32_t *ret_n)
{
    uint32_t n = 0;
    size_t room = name->n_addresses + answer->families[0].n + answer->families[1].n;
    struct address *addresses = calloc(room, sizeof(*addresses));
    CHECK(addresses != NULL);
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < answer->families[i].n; k++)
            addresses[n++] = answer->families[i].addresses[k];
    }
    if (!name->resolver->options.keeps_unreachable)
        drop_unreachable(addresses, &n);
    *ret_n = n;
    return addresses;
}

// Of a family that has not answered, or badly, the old addresses stay.
static void add_old(const struct name *name, const struct lookup_answer *answer,
                    struct address *addresses, uint32_t *n)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    for (unsigned i = 0; i < 2; i++) {
        enum family_status status = answer->families[i].status;
        if (status != FAMILY_PENDING && status != FAMILY_FAILED)
            continue;
        for (uint32_t k = 0; k < name->n_addresses; k++) {
            if (name->addresses[k].family == families[i])
                addresses[(*n)++] = name->addresses[k];
        }
    }
}

static void take_good_answer(struct name *name, const struct lookup_answer *answer)
{
    struct resolver *resolver = name->resolver;
    uint32_t n;
    struct address *addresses = join_families(name, answer, &n);
    struct address first = addresses[0];
    add_old(name, answer, addresses, &n);
    n = sort_and_drop_repeats(addresses, n);
    set_addresses(name, &addresses, n);
    set_first(name, &first);
    int64_t ttl_ms = resolver->options.ttl_max_ms;
    for (unsigned i = 0; i < 2; i++) {
        if (answer->families[i].n > 0 && answer->families[i].ttl_ms < ttl_ms)
            ttl_ms = answer->families[i].ttl_ms;
    }
    if (answer->is_of_file)
        ttl_ms = FILE_TTL_MS;
    ttl_ms = bound_ttl(resolver, ttl_ms);
    name->result = RESOLVED_FOUND;
    name->good_ms = resolver->loop->now_ms;
    name->valid_until_ms = name->good_ms + ttl_ms;
    name->retry_ms = resolver->options.retry_min_ms;
    name->n_failures = 0;
    note_health(name, NULL);
}

static void note_bad_answer(struct resolver *resolver, const struct family_answer *worst)
{
    if (worst->status == FAMILY_NONE)
        resolver->not_found++;
    else if (worst->has_timed_out)
        resolver->timeouts++;
    else
        resolver->failures++;
    resolver->is_failing |= worst->status != FAMILY_NONE;
}

// What is known stays; of a name that requests alone ask for, within a bound.
static void take_bad_answer(struct name *name, const struct lookup_answer *answer)
{
    struct resolver *resolver = name->resolver;
    const struct family_answer *worst = &answer->families[0];
    if (worst->status == FAMILY_NONE)
        worst = &answer->families[1];
    note_bad_answer(resolver, worst);
    name->result = worst->status == FAMILY_NONE ? RESOLVED_UNKNOWN : RESOLVED_FAILED;
    name->n_failures++;
    int64_t wait_ms = name->retry_ms, max_ms = resolver->options.retry_max_ms;
    name->retry_ms = wait_ms * 2 < max_ms ? wait_ms * 2 : max_ms;
    name->valid_until_ms =
        resolver->loop->now_ms + wait_ms + random_below(resolver, (uint32_t)wait_ms / 2);
    if (!name->is_watched && name->n_addresses > 0 &&
        resolver->loop->now_ms - name->good_ms > resolver->options.kept_ms) {
        free(name->addresses);
        name->addresses = NULL;
        name->n_addresses = 0;
    }
    note_health(name, worst->failure);
}

// After an outage who failed in it need not wait for the end of a pause that has grown.
static void note_recovery(struct resolver *resolver)
{
    struct loop *loop = resolver->loop;
    struct str key;
    void *value;
    if (!resolver->is_failing)
        return;
    resolver->is_failing = false;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        struct name *name = value;
        if (name->result != RESOLVED_FAILED || !name->is_answered)
            continue;
        int64_t soon_ms = loop->now_ms + random_below(resolver, RECOVERY_SPREAD_MS);
        if (soon_ms >= name->valid_until_ms)
            continue;
        name->valid_until_ms = soon_ms;
        if (name->is_watched && !name->lookup)
            timer_arm(&loop->wheel, &name->refresh, soon_ms);
    }
}

static void note_use(struct name *name);

static void arm_refresh(struct name *name)
{
    struct resolver *resolver = name->resolver;
    int64_t wait_ms = name->valid_until_ms - resolver->loop->now_ms;
    // Names that were asked for together do not stay together.
    if (name->result == RESOLVED_FOUND && wait_ms > 0)
        wait_ms += random_below(resolver, (uint32_t)wait_ms / 10);
    timer_arm(&resolver->loop->wheel, &name->refresh, resolver->loop->now_ms + wait_ms);
}

static void on_answer(void *arg, const struct lookup_answer *answer)
{
    struct name *name = arg;
    struct resolver *resolver = name->resolver;
    bool is_good = answer->families[0].n + answer->families[1].n > 0;
    if (is_good)
        take_good_answer(name, answer);
    else
        take_bad_answer(name, answer);
    name->is_answered = true;
    name->answered_ms = resolver->loop->now_ms;
    if (is_good && !answer->is_of_file)
        note_recovery(resolver);
    if (answer->is_final && name->is_watched)
        arm_refresh(name);
    answer_askers(name);
    note_use(name);
}

static void look_up(struct name *name, bool is_urgent)
{
    struct resolver *resolver = name->resolver;
    if (name->lookup) {
        if (is_urgent)
            lookup_hurry(name->lookup);
        return;
    }
    timer_disarm(&resolver->loop->wheel, &name->refresh);
    resolver->lookups++;
    // A name that a client chose is that very name.
    unsigned how = (is_urgent ? LOOKUP_URGENT : 0u) | (name->is_watched ? LOOKUP_SEARCHES : 0u);
    lookup_begin(resolver->client, name->text, how, &name->lookup, on_answer, name);
}

static void on_refresh(struct timer *timer)
{
    look_up(LIST_ENTRY(timer, struct name, refresh), false);
}

// ---- names ----

static struct name *add_name(struct resolver *resolver, struct str text,
                             const struct address *literal)
{
    struct name *name = calloc(1, sizeof(*name) + text.len);
    CHECK(name != NULL);
    name->resolver = resolver;
    name->serial = ++resolver->next_serial;
    name->retry_ms = resolver->options.retry_min_ms;
    name->text = (struct str){memcpy(name + 1, text.ptr, text.len), text.len};
    timer_init(&name->refresh, on_refresh);
    timer_init(&name->retire, on_retire);
    list_init(&name->use);
    list_init(&name->askers);
    map_put(resolver->names, name->text, name);
    if (literal) {
        name->addresses = calloc(1, sizeof(*literal));
        CHECK(name->addresses != NULL);
        name->addresses[0] = name->first = *literal;
        name->n_addresses = 1;
        name->is_answered = name->is_literal = true;
    }
    return name;
}

static void forget(struct name *name)
{
    struct wheel *wheel = &name->resolver->loop->wheel;
    CHECK(list_empty(&name->askers));
    lookup_abandon(&name->lookup);
    timer_disarm(wheel, &name->refresh);
    timer_disarm(wheel, &name->retire);
    if (!list_empty(&name->use)) {
        list_remove(&name->use);
        name->resolver->n_requested--;
    }
    map_remove(name->resolver->names, name->text);
    free(name->addresses);
    free(name->retiring);
    free(name->retiring_until_ms);
    free(name);
}

// In resolver->requested stand the names that may be forgotten for another one.
static void note_use(struct name *name)
{
    struct resolver *resolver = name->resolver;
    if (!list_empty(&name->use)) {
        list_remove(&name->use);
        resolver->n_requested--;
    }
    if (name->is_watched || !list_empty(&name->askers))
        return;
    list_push_front(&resolver->requested, &name->use);
    resolver->n_requested++;
}

static void make_room(struct resolver *resolver)
{
    while (resolver->n_requested > 0 && resolver->n_requested >= resolver->options.requested_max)
        forget(LIST_ENTRY(resolver->requested.prev, struct name, use));
}

// NULL: it cannot be a name.
static struct name *find_or_add(struct resolver *resolver, struct str text)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '.')
        text.len--;
    struct name *name = map_find(resolver->names, text);
    if (name)
        return name;
    struct address literal;
    bool is_literal = address_parse_ip(text, &literal);
    if (!is_literal && !host_name_is_valid(text))
        return NULL;
    make_room(resolver);
    return add_name(resolver, text, is_literal ? &literal : NULL);
}

static void watch(struct name *name)
{
    name->is_watched = true;
    note_use(name);
    if (name->is_literal || name->lookup)
        return;
    if (name->is_answered && name->valid_until_ms > name->resolver->loop->now_ms) {
        arm_refresh(name);
        return;
    }
    // An answer that comes at once (/etc/hosts) is for this very caller: no change to tell.
    bool was_changed = name->resolver->is_changed;
    look_up(name, false);
    name->resolver->is_changed = was_changed;
}

void resolver_addresses(struct resolver *resolver, struct str text, bool by_first,
                        struct name_addresses *ret)
{
    *ret = (struct name_addresses){0};
    struct name *name = find_or_add(resolver, text);
    if (!name)
        return;
    if (!name->is_watched)
        watch(name);
    name->is_wanted = true;
    name->wants_first |= by_first;
    name->is_by_first |= by_first;
    *ret = (struct name_addresses){.items = name->addresses,
                                   .n = name->n_addresses,
                                   .retiring = name->retiring,
                                   .n_retiring = name->n_retiring,
                                   .first = name->first,
                                   .is_pending = !name->is_literal && name->good_ms == 0};
}

static void unwatch(struct name *name)
{
    struct wheel *wheel = &name->resolver->loop->wheel;
    name->is_watched = name->is_by_first = false;
    timer_disarm(wheel, &name->refresh);
    timer_disarm(wheel, &name->retire);
    name->n_retiring = 0;
    if (!name->is_requested)
        forget(name);
    else
        note_use(name);
}

void resolver_sweep(struct resolver *resolver)
{
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        struct name *name = value;
        if (!name->is_watched)
            continue;
        if (!name->is_wanted) {
            unwatch(name);
            continue;
        }
        name->is_by_first = name->wants_first;
        name->is_wanted = name->wants_first = false;
    }
    make_room(resolver);
}

// ---- questions of requests ----

static bool is_good_enough(const struct name *name)
{
    if (name->is_literal || (name->is_watched && name->n_addresses > 0))
        return true; // what is watched is refreshed anyway
    return name->is_answered && name->resolver->loop->now_ms < asked_valid_until_ms(name);
}

void resolver_ask(struct resolver *resolver, struct str text, resolver_answer_fn on_asked,
                  void *arg)
{
    struct name *name = find_or_add(resolver, text);
    if (!name) {
        on_asked(arg, text, RESOLVED_UNKNOWN, NULL, 0, LITERAL_VALID_MS);
        return;
    }
    name->is_requested = true;
    if (is_good_enough(name)) {
        struct asker now = {.on_answer = on_asked, .arg = arg};
        note_use(name);
        answer_asker(name, &now);
        return;
    }
    if (resolver->n_askers >= ASKERS_MAX) {
        note_use(name);
        on_asked(arg, text, RESOLVED_FAILED, NULL, 0, resolver->options.retry_min_ms);
        return;
    }
    struct asker *asker = calloc(1, sizeof *asker);
    CHECK(asker != NULL);
    *asker = (struct asker){.on_answer = on_asked, .arg = arg};
    list_push_back(&name->askers, &asker->node);
    resolver->n_askers++;
    note_use(name);
    look_up(name, true);
}

// ---- what there is to see ----

void resolver_counts(const struct resolver *resolver, struct resolver_counts *ret)
{
    *ret = (struct resolver_counts){
        .lookups = resolver->lookups,
        .not_found = resolver->not_found,
        .failures = resolver->failures,
        .timeouts = resolver->timeouts,
        .running = lookup_client_n_running(resolver->client),
        .queued = lookup_client_n_queued(resolver->client),
    };
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        const struct name *name = value;
        ret->watched += name->is_watched;
        ret->requested += name->is_requested;
        ret->unresolved += name->is_watched && name->n_addresses == 0;
        ret->stale += name->n_addresses > 0 && name->failure != NULL;
    }
}

static void describe_addresses(const struct name *name, const char *what,
                               const struct address *addresses, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        char ip[ADDRESS_TEXT_MAX];
        size_t len = address_format_ip(&addresses[i], ip);
        buf_printf(out, "%.*s::%s::%.*s\n", STR_ARG(name->text), what, (int)len, ip);
    }
}

static void describe(const struct name *name, struct buf *out)
{
    int64_t now_ms = name->resolver->loop->now_ms;
    buf_printf(out, "%.*s::used_by::%s\n", STR_ARG(name->text),
               !name->is_requested ? "config"
               : name->is_watched  ? "config,requests"
                                   : "requests");
    describe_addresses(name, "address", name->addresses, name->n_addresses, out);
    describe_addresses(name, "retiring", name->retiring, name->n_retiring, out);
    if (name->is_literal)
        return;
    if (name->good_ms > 0)
        buf_printf(out, "%.*s::age_ms::%lld\n", STR_ARG(name->text),
                   (long long)(now_ms - name->good_ms));
    if (name->is_answered)
        buf_printf(out, "%.*s::valid_ms::%lld\n", STR_ARG(name->text),
                   (long long)(name->valid_until_ms - now_ms));
    else
        buf_printf(out, "%.*s::pending::true\n", STR_ARG(name->text));
    if (name->failure)
        buf_printf(out, "%.*s::failures::%u\n%.*s::failure::%s\n", STR_ARG(name->text),
                   name->n_failures, STR_ARG(name->text), name->failure);
}

bool resolver_describe(const struct resolver *resolver, uint64_t *cursor, size_t bytes,
                       struct buf *out)
{
    size_t end = out->len + bytes;
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        const struct name *name = value; // in order of their serial numbers
        if (name->serial <= *cursor)
            continue;
        if (out->len >= end)
            return true;
        describe(name, out);
        *cursor = name->serial;
    }
    return false;
}

// ---- beginning and end ----

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void complete_options(struct resolver_options *options)
{
    options->ttl_min_ms = or_default(options->ttl_min_ms, 1000);
    options->ttl_max_ms = or_default(options->ttl_max_ms, 300000);
    options->retry_min_ms = or_default(options->retry_min_ms, 1000);
    options->retry_max_ms = or_default(options->retry_max_ms, 30000);
    options->retiring_ms = or_default(options->retiring_ms, 3000);
    options->deadline_ms = or_default(options->deadline_ms, 8000);
    options->kept_ms = or_default(options->kept_ms, 3600000);
    options->requested_max = or_default(options->requested_max, 4096);
}

struct resolver *resolver_create(struct loop *loop, const struct resolver_options *options)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    CHECK(resolver != NULL);
    resolver->loop = loop;
    resolver->options = *options;
    complete_options(&resolver->options);
    const struct lookup_options lookup = {.servers = options->servers,
                                          .resolv_conf = options->resolv_conf,
                                          .mark = options->mark,
                                          .deadline_ms = resolver->options.deadline_ms,
                                          .grace_ms = GRACE_MS};
    resolver->client = lookup_client_create(loop, &lookup);
    if (!resolver->client) {
        free(resolver);
        return NULL;
    }
    CHECK(waker_open(&resolver->change, loop, on_change_wake) == 0);
    CHECK(getrandom(&resolver->random, sizeof resolver->random, 0) ==
          (ssize_t)sizeof resolver->random);
    resolver->random |= 1; // 0 is a fixed point
    list_init(&resolver->requested);
    resolver->names = map_create();
    return resolver;
}

static void drop_askers(struct name *name)
{
    while (!list_empty(&name->askers)) {
        struct asker *asker = LIST_ENTRY(name->askers.next, struct asker, node);
        list_remove(&asker->node);
        free(asker);
    }
}

void resolver_destroy(struct resolver *resolver)
{
    if (!resolver)
        return;
    lookup_client_destroy(resolver->client); // first: the end of a lookup may begin another one
    struct str key;
    void *value;
    for (size_t i = 0; map_next(resolver->names, &i, &key, &value);) {
        drop_askers(value);
        forget(value);
    }
    map_destroy(resolver->names);
    waker_close(&resolver->change, resolver->loop);
    free(resolver);
}
