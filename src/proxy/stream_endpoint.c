// SPDX-License-Identifier: Apache-2.0
// Which endpoint a try goes to: one that the cluster names, the address that the client dialled, or
// one of the addresses of the name that is asked for.
#include "proxy/dynamic.h"
#include "proxy/names.h"
#include "proxy/refused_address.h"
#include "proxy/stream.h"

// ---- endpoints that the cluster names ----

static uint32_t active_of(void *arg, const struct endpoint *endpoint)
{
    struct worker *worker = arg;
    return worker_endpoint_slot(worker, endpoint->slot)->active;
}

static const struct endpoint *pick_static(struct stream *stream)
{
    struct worker *worker = stream->worker;
    struct balance_view view = {.random = worker_random(worker),
                                .active = active_of,
                                .arg = worker,
                                .tried = stream->tried_endpoints,
                                .n_tried = stream->n_tries};
    view.random2 = view.random * UINT64_C(0x9E3779B97F4A7C15);
    stream->n_candidates =
        (uint8_t)(stream->cluster->n_endpoints < TRIES_MAX ? stream->cluster->n_endpoints
                                                           : TRIES_MAX);
    return balance_pick(stream->cluster, &stream->cluster_slot->balance, &view,
                        stream->hold->snapshot->generation);
}

// ---- addresses ----

static const struct endpoint *fail(struct stream *stream, uint64_t flags, struct str details,
                                   struct str text)
{
    stream_fail_connect(stream, flags, details, text);
    return NULL;
}

static const struct endpoint *pick_candidate(struct stream *stream)
{
    const struct address *address =
        &stream->candidates[stream->n_tries % (unsigned)stream->n_candidates];
    bool leads_back;
    const struct endpoint *endpoint = dynamic_endpoint(stream, address, &leads_back);
    if (!endpoint)
        return fail(stream, FLAG_BIT(UO), STR("dynamic_endpoints_overflow"),
                    STR("too many endpoints are in use"));
    if (leads_back)
        return fail(stream, FLAG_BIT(UH), STR("leads_back_to_own_listener"),
                    STR("the destination is this gateway itself"));
    return endpoint;
}

// Of a headless Service, whose clients choose an endpoint by its address. A route may have led here
// from elsewhere: then any of them does.
static const struct endpoint *pick_dialled_endpoint(struct stream *stream)
{
    struct address wanted = stream->down->local;
    const struct cluster *cluster = stream->cluster;
    for (uint32_t i = 0; i < cluster->n_endpoints; i++) {
        wanted.port = cluster->endpoints[i].address.port;
        if (!address_equal(&cluster->endpoints[i].address, &wanted))
            continue;
        stream->n_candidates = 1;
        return &cluster->endpoints[i];
    }
    const struct endpoint *endpoint = pick_static(stream);
    return endpoint
               ? endpoint
               : fail(stream, FLAG_BIT(UH), STR("no_healthy_upstream"), STR("no healthy upstream"));
}

// Host and SNI, by which the cluster was found, are the client's word.
static bool may_be_dialled(const struct cluster *cluster, const struct address *dialled)
{
    for (uint32_t i = 0; i < cluster->n_dialled; i++)
        if (subnet_contains(&cluster->dialled[i], dialled))
            return true;
    return cluster->n_dialled == 0;
}

static const struct endpoint *pick_dialled(struct stream *stream)
{
    // Any other connection was dialled at the listener itself.
    if (!stream->down->captured || !may_be_dialled(stream->cluster, &stream->down->local))
        return fail(stream, FLAG_BIT(UH), STR("no_healthy_upstream"), STR("no healthy upstream"));
    if (stream->cluster->n_endpoints > 0)
        return pick_dialled_endpoint(stream);
    stream->candidates[0] = stream->down->local;
    if (stream->cluster->dns_port)
        stream->candidates[0].port = stream->cluster->dns_port; // targetPort, defaultEndpoint
    stream->n_candidates = 1;
    return pick_candidate(stream);
}

// ---- names ----

// What stands behind the last '|' of "outbound|443||*.example.com".
static struct str host_of_cluster(const struct cluster *cluster)
{
    const char *bar = memrchr(cluster->name.ptr, '|', cluster->name.len);
    return bar ? str_from(cluster->name, (size_t)(bar + 1 - cluster->name.ptr)) : cluster->name;
}

// A route may lead any host to the cluster, and rewrite it: no name of elsewhere is looked up.
static bool is_below(struct str name, struct str wildcard)
{
    if (!str_has_prefix(wildcard, STR("*.")))
        return true;
    struct str suffix = str_from(wildcard, 1);
    return name.len > suffix.len && str_has_suffix(name, suffix);
}

static bool is_literal(struct str name)
{
    struct address ip;
    return name.ptr[0] == '[' || address_parse_ip(name, &ip);
}

static struct str find_name(struct stream *stream)
{
    if (stream->cluster->dns_name.len > 0)
        return stream->cluster->dns_name;
    return stream->is_tcp ? str_of(stream->down->sni) : stream_forwarded_host(stream);
}

// Those that can't be connected to for the moment come last; of both families in turn, since it is
// often one of them that does not work.
static uint32_t next_of(struct stream *stream, const struct address *addresses, uint32_t n,
                        uint32_t from, uint8_t family, bool has_failed)
{
    bool is_chosen_by_client = stream->cluster->dns_name.len == 0;
    while (from < n && (addresses[from].family != family ||
                        (is_chosen_by_client && address_is_refused(&addresses[from])) ||
                        dynamic_has_failed(stream, &addresses[from]) != has_failed))
        from++;
    return from;
}

static void add_candidates(struct stream *stream, const struct address *addresses, uint32_t n,
                           bool has_failed)
{
    uint32_t at[2] = {0, 0}; // IPv4, IPv6
    bool is_ip6 = addresses[0].family == AF_INET6;
    for (unsigned n_missed = 0; n_missed < 2 && stream->n_candidates < TRIES_MAX;) {
        uint32_t i =
            next_of(stream, addresses, n, at[is_ip6], is_ip6 ? AF_INET6 : AF_INET, has_failed);
        at[is_ip6] = i + (i < n);
        is_ip6 = !is_ip6;
        n_missed = i < n ? 0 : n_missed + 1;
        if (i < n)
            stream->candidates[stream->n_candidates++] = addresses[i];
    }
}

static void note_addresses(struct stream *stream, const struct address *addresses, uint32_t n)
{
    uint16_t port = stream->cluster->dns_port;
    struct address *with_port = stream_alloc(stream, n * sizeof *with_port);
    for (uint32_t i = 0; i < n; i++) {
        with_port[i] = addresses[i];
        with_port[i].port = port;
    }
    add_candidates(stream, with_port, n, false);
    add_candidates(stream, with_port, n, true);
}

#define DNS_FAILURE(what) STR("dns_resolution_failure{" what "}")

static const struct endpoint *fail_name(struct stream *stream, struct str details)
{
    return fail(stream, FLAG_BIT(DF), details, STR("DNS resolution failure"));
}

static const struct endpoint *pick_named(struct stream *stream, bool *ret_is_awaited)
{
    struct str name = find_name(stream);
    const struct address *addresses = NULL;
    uint32_t n = 0;
    if (name.len == 0)
        return fail_name(stream, DNS_FAILURE("no_name"));
    if (stream->cluster->dns_name.len == 0 && is_literal(name))
        return fail_name(stream, DNS_FAILURE("literal_address"));
    if (stream->cluster->dns_name.len == 0 && !is_below(name, host_of_cluster(stream->cluster)))
        return fail_name(stream, DNS_FAILURE("name_not_of_cluster"));
    switch (worker_resolve(stream->worker, stream, name, &addresses, &n)) {
    case NAME_PENDING:
        *ret_is_awaited = true;
        return NULL;
    case NAME_UNKNOWN:
        return fail_name(stream, DNS_FAILURE("name_not_found"));
    case NAME_FAILED:
        return fail_name(stream, DNS_FAILURE("no_answer"));
    case NAME_FOUND:
        break;
    }
    if (n > 0)
        note_addresses(stream, addresses, n);
    if (stream->n_candidates == 0)
        return fail_name(stream, DNS_FAILURE("address_refused"));
    return pick_candidate(stream);
}

__attribute__((noinline)) static const struct endpoint *pick(struct stream *stream,
                                                             bool *ret_is_awaited)
{
    const struct endpoint *endpoint = NULL;
    switch ((enum cluster_discovery)stream->cluster->discovery) {
    case CLUSTER_STATIC:
        endpoint = pick_static(stream);
        return endpoint ? endpoint
                        : fail(stream, FLAG_BIT(UH), STR("no_healthy_upstream"),
                               STR("no healthy upstream"));
    case CLUSTER_ORIGINAL_DST:
        return pick_dialled(stream);
    case CLUSTER_DYNAMIC_DNS:
        return stream->n_candidates > 0 ? pick_candidate(stream)
                                        : pick_named(stream, ret_is_awaited);
    }
    CHECK(!"no such discovery");
}

const struct endpoint *stream_pick_endpoint(struct stream *stream, bool *ret_is_awaited)
{
    const struct cluster *cluster = stream->cluster;
    *ret_is_awaited = false;
    if (cluster->discovery != CLUSTER_STATIC || cluster->n_endpoints != 1)
        return pick(stream, ret_is_awaited);
    stream->n_candidates = 1; // nothing to draw
    return cluster->endpoints;
}
