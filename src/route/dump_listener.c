// SPDX-License-Identifier: Apache-2.0
// Listeners: what is behind an address, a name, a port that was dialled.
#include "base/check.h"
#include "base/map.h"
#include "route/address_index.h"
#include "route/dump.h"
#include "tls/tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct subnet_text {
    char bytes[ADDRESS_TEXT_MAX + 8];
};

static struct str format_subnet(const struct subnet *subnet, struct subnet_text *text)
{
    size_t len = address_format_ip(&subnet->base, text->bytes);
    int n = snprintf(text->bytes + len, sizeof(text->bytes) - len, "/%u", (unsigned)subnet->bits);
    return (struct str){text->bytes, len + (size_t)n};
}

void dump_subnets(struct dump *dump, const char *key, const char *word,
                  const struct subnet *subnets, uint32_t n)
{
    if (n == 0)
        return;
    begin_list(dump, key);
    for (uint32_t i = 0; i < n; i++) {
        struct subnet_text text;
        put_word(dump, dump->is_json ? "" : word, format_subnet(&subnets[i], &text));
    }
    end_list(dump);
}

static void dump_tcp_routes(struct dump *dump, const struct tcp_routes *routes)
{
    begin_list(dump, "tcp_routes");
    for (uint32_t i = 0; i < routes->n; i++) {
        const struct tcp_route *route = &routes->items[i];
        begin_value(dump, dump->is_json ? "" : "tcp");
        if (dump->is_json) {
            buf_add_char(dump->out, '{');
            dump->needs_comma = false;
            put_number(dump, "rank", i);
        } else {
            buf_printf(dump->out, " %u", (unsigned)i);
            end_value(dump);
        }
        dump->depth++;
        put_word_if(dump, "from", route->origin);
        put_word_if(dump, "name", route->name);
        dump_subnets(dump, "destinations", "to", route->destinations, route->n_destinations);
        dump_targets(dump, route->targets, route->n_targets);
        end_item(dump);
    }
    end_list(dump);
}

// Names of TLS (SNI), by the chain that they lead to.
struct chain_names {
    const struct vhost *const *items;
    uint32_t n;
    struct map *first; // chain -> its first name
    uint32_t *next;    // by name: the chain's next, UINT32_MAX: none
    struct map *hosts; // tables written already -> name of the chain
};

static struct str pointer_key(const void *const *pointer)
{
    return (struct str){(const char *)pointer, sizeof(*pointer)};
}

static void dump_chain_names(struct dump *dump, const struct chain_names *names, uint32_t first)
{
    begin_list(dump, "names");
    for (uint32_t i = first; i != UINT32_MAX; i = names->next[i]) {
        const struct vhost *name = names->items[i];
        if (dump->is_json)
            begin_item(dump, "", "name", name->name);
        else
            put_word(dump, name->is_one_label ? "sni (one label)" : "sni", name->name);
        if (dump->is_json) {
            put_flag_if(dump, "one_label", name->is_one_label);
            end_item(dump);
        }
    }
    end_list(dump);
}

static void dump_chain_hosts(struct dump *dump, const struct filter_chain *chain,
                             struct chain_names *names)
{
    const struct filter_chain *same =
        map_find(names->hosts, pointer_key((const void *const *)&chain->hosts));
    if (same) {
        put_word(dump, "hosts_of_chain", same->name);
        return;
    }
    map_put(names->hosts, pointer_key((const void *const *)&chain->hosts),
            (void *)(uintptr_t)chain);
    dump_hosts(dump, chain->hosts);
}

static const char *const client_auth_words[] = {
    [TLS_CLIENT_NONE] = "none",
    [TLS_CLIENT_OPTIONAL] = "optional",
    [TLS_CLIENT_OPTIONAL_NO_CA] = "optional_no_ca",
    [TLS_CLIENT_REQUIRED] = "required",
};

static void put_day(struct dump *dump, const char *key, int64_t seconds)
{
    struct tm tm;
    time_t time = (time_t)seconds;
    char text[32];
    size_t len = gmtime_r(&time, &tm) ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) : 0;
    put_word(dump, key, (struct str){text, len});
}

static void dump_certificates(struct dump *dump, const struct filter_chain *chain)
{
    if (chain->n_certificates == 0)
        return;
    begin_list(dump, "certificates");
    for (uint16_t i = 0; i < chain->n_certificates; i++) {
        const struct certificate *certificate = &chain->certificates[i];
        begin_item(dump, "certificate", "source", certificate->source);
        put_text(dump, "subject", certificate->subject);
        put_word(dump, "key", certificate->key_type);
        if (certificate->not_after_s) {
            put_day(dump, "not_before", certificate->not_before_s);
            put_day(dump, "not_after", certificate->not_after_s);
        }
        end_item(dump);
    }
    end_list(dump);
}

static void dump_chain(struct dump *dump, struct chain_names *names, uint32_t first)
{
    const struct filter_chain *chain = names->items[first]->chain;
    begin_item(dump, "chain", "name", chain->name);
    put_word_if(dump, "from", chain->origin);
    dump_chain_names(dump, names, first);
    bool is_tcp = !chain->is_http && chain->tcp.n > 0;
    put_flag_if(dump, "tls_passes_through", !chain->tls && is_tcp);
    put_flag_if(dump, "closes", !chain->is_http && !is_tcp);
    dump_certificates(dump, chain);
    if (chain->client_auth != TLS_CLIENT_NONE)
        put_word(dump, "client_certificate", str_of(client_auth_words[chain->client_auth]));
    put_flag_if(dump, "strict_host", chain->is_strict);
    put_flag_if(dump, "client_cert_to_upstream", chain->client_cert_forward == CLIENT_CERT_SET);
    put_flag_if(dump, "ssl_client_headers", chain->passes_ingress_cert);
    put_flag_if(dump, "ssl_client_cert_header", chain->client_cert_pem);
    if (chain->is_http)
        dump_chain_hosts(dump, chain, names);
    else
        dump_tcp_routes(dump, &chain->tcp);
    end_item(dump);
}

// Chains stand in the order of their first names.
static void dump_chains(struct dump *dump, const struct vhost *const *items, uint32_t n)
{
    struct chain_names names = {.items = items,
                                .n = n,
                                .first = map_create(),
                                .next = malloc((n + 1) * sizeof(uint32_t)),
                                .hosts = map_create()};
    CHECK(names.next);
    for (uint32_t i = n; i-- > 0;) {
        struct str key = pointer_key((const void *const *)&items[i]->chain);
        const struct vhost *const *after = map_find(names.first, key);
        names.next[i] = after ? (uint32_t)(after - items) : UINT32_MAX;
        map_put(names.first, key, (void *)(uintptr_t)&items[i]);
    }
    begin_list(dump, "chains");
    for (uint32_t i = 0; i < n; i++) {
        struct str key = pointer_key((const void *const *)&items[i]->chain);
        if (map_find(names.first, key) == &items[i])
            dump_chain(dump, &names, i);
    }
    end_list(dump);
    map_destroy(names.first);
    map_destroy(names.hosts);
    free(names.next);
}

// ---- captured connections ----

static const char *const capture_words[] = {
    [CAPTURE_DETECT] = "detect",
    [CAPTURE_HTTP] = "http",
    [CAPTURE_TCP] = "tcp",
};

static void dump_captured_destination(struct dump *dump,
                                      const struct captured_destination *destination)
{
    put_word(dump, "protocol", str_of(capture_words[destination->protocol]));
    dump_tcp_routes(dump, &destination->tcp);
}

static void dump_by_address(struct dump *dump, const struct address_index *index)
{
    uint32_t n;
    const struct address_entry *entries = address_index_entries(index, &n);
    begin_list(dump, "addresses");
    for (uint32_t i = 0; i < n; i++) {
        struct subnet_text text;
        begin_item(dump, "address", "address", format_subnet(&entries[i].subnet, &text));
        dump_captured_destination(dump, entries[i].destination);
        end_item(dump);
    }
    end_list(dump);
}

static void dump_captured_port(struct dump *dump, const struct captured_port *port,
                               const struct captured_port *others)
{
    char number[16] = "other";
    if (port->port)
        snprintf(number, sizeof(number), "%u", (unsigned)port->port);
    begin_item(dump, "dialled", "dialled", str_of(number));
    dump_captured_destination(dump, &port->any);
    dump_by_address(dump, port->by_address);
    dump_chains(dump, port->sni_names, port->n_sni_names);
    if (port != others && port->hosts == others->hosts)
        put_word(dump, "hosts_of_port", STR("other"));
    else
        dump_hosts(dump, port->hosts);
    end_item(dump);
}

static void dump_captured_ports(struct dump *dump, const struct listener *listener)
{
    begin_list(dump, "captured");
    for (uint32_t i = 0; i < listener->n_captured; i++)
        dump_captured_port(dump, &listener->captured[i], &listener->captured[0]);
    end_list(dump);
}

// ---- listeners ----

void dump_listener(struct dump *dump, const struct listener *listener)
{
    begin_item(dump, "listener", "name", listener->name);
    put_number(dump, "port", listener->port);
    put_word_if(dump, "from", listener->origin);
    put_flag_if(dump, "accepts_proxy_protocol", listener->accepts_proxy);
    switch (listener->kind) {
    case LISTENER_HTTP:
        dump_hosts(dump, &listener->hosts);
        break;
    case LISTENER_TCP:
        dump_tcp_routes(dump, &listener->tcp);
        break;
    case LISTENER_OUTBOUND:
    case LISTENER_INBOUND:
        put_flag_if(dump, "transparent", listener->is_transparent);
        dump_captured_ports(dump, listener);
        break;
    case LISTENER_TLS:
        dump_chains(dump, listener->sni_names, listener->n_sni_names);
        break;
    }
    end_item(dump);
}
