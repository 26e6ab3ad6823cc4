// SPDX-License-Identifier: Apache-2.0
#include "l4/capture.h"
#include "base/check.h"
#include <stdio.h>
#include <stdlib.h>

// Ports of a sidecar that are never captured on the way in: admin and drain, captured connections,
// health and metrics, as Istio has them.
static const uint32_t own_ports[] = {15000, 15001, 15006, 15020, 15021, 15090};
enum { N_OWN_PORTS = sizeof own_ports / sizeof *own_ports };

// Names ask port 53 by UDP, which is not captured; the same question by TCP goes the same way.
enum { DNS_PORT = 53 };

// A connection's first packet. One that is under way when the rules come is new to conntrack, too,
// but stays as it is.
#define IS_FIRST "tcp flags & (fin | syn | rst | ack) == syn"

void capture_options_fini(struct capture_options *options)
{
    free(options->uids.items);
    free(options->gids.items);
    free(options->include_subnets.items);
    free(options->exclude_subnets.items);
    free(options->include_outbound_ports.items);
    free(options->exclude_outbound_ports.items);
    free(options->include_inbound_ports.items);
    free(options->exclude_inbound_ports.items);
    *options = (struct capture_options){0};
}

bool capture_options_check(const struct capture_options *options, struct buf *reterr)
{
    if (options->upstream_mark == CAPTURE_MARK) {
        buf_printf(reterr, "--upstream-mark: 0x%x is the mark of captured packets", CAPTURE_MARK);
        return false;
    }
    if (options->outbound_port == options->inbound_port) {
        buf_printf(reterr, "--outbound-port and --inbound-port are both %u%s",
                   options->outbound_port, options->outbound_port ? "" : ": nothing is captured");
        return false;
    }
    if (options->upstream_mark == 0 && options->uids.n == 0 && options->gids.n == 0) {
        buf_add_text(reterr, "the sidecar's own connections would be captured, too: name them by "
                             "--upstream-mark, --uid or --gid");
        return false;
    }
    return true;
}

// ---- lists ----

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void add_numbers(struct capture_numbers *numbers, const uint32_t *items, size_t n)
{
    if (n == 0)
        return;
    numbers->items = realloc(numbers->items, (numbers->n + n) * sizeof *items);
    CHECK(numbers->items != NULL);
    memcpy(numbers->items + numbers->n, items, n * sizeof *items);
    numbers->n += n;
}

// "{ 22, 53 }", in order, each once.
static void put_numbers(const struct capture_numbers *numbers, struct buf *out)
{
    struct capture_numbers sorted = {0};
    add_numbers(&sorted, numbers->items, numbers->n);
    qsort(sorted.items, sorted.n, sizeof *sorted.items, compare_numbers);
    buf_add_text(out, "{ ");
    for (size_t i = 0; i < sorted.n; i++) {
        if (i == 0 || sorted.items[i] != sorted.items[i - 1])
            buf_printf(out, "%s%u", i ? ", " : "", sorted.items[i]);
    }
    buf_add_text(out, " }");
    free(sorted.items);
}

static int compare_subnets(const void *a, const void *b)
{
    const struct capture_subnet *x = a, *y = b;
    int order = memcmp(x->base.ip, y->base.ip, sizeof x->base.ip);
    return order ? order : (int)x->bits - (int)y->bits;
}

static bool contains(const struct capture_subnet *outer, const struct capture_subnet *inner)
{
    unsigned bytes = outer->bits / 8, rest = outer->bits % 8;
    if (outer->bits > inner->bits || memcmp(outer->base.ip, inner->base.ip, bytes) != 0)
        return false;
    return rest == 0 || (outer->base.ip[bytes] ^ inner->base.ip[bytes]) >> (8 - rest) == 0;
}

// "ip daddr { 10.0.0.0/8, 192.168.1.1/32 } VERDICT" for each family that the list has. A subnet
// within another is left out: intervals of a set may not overlap.
static void put_subnets(const struct capture_subnets *subnets, const char *verdict, struct buf *out)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        uint8_t family = pass == 0 ? AF_INET : AF_INET6;
        struct capture_subnet *sorted = malloc((subnets->n + 1) * sizeof *sorted);
        CHECK(sorted != NULL);
        size_t n = 0;
        for (size_t i = 0; i < subnets->n; i++) {
            if (subnets->items[i].base.family == family)
                sorted[n++] = subnets->items[i];
        }
        qsort(sorted, n, sizeof *sorted, compare_subnets);
        if (n > 0)
            buf_printf(out, "        %s daddr { ", pass == 0 ? "ip" : "ip6");
        const struct capture_subnet *last = NULL;
        for (size_t i = 0; i < n; i++) {
            if (last && contains(last, &sorted[i]))
                continue;
            char text[ADDRESS_TEXT_MAX];
            address_format_ip(&sorted[i].base, text);
            buf_printf(out, "%s%s/%u", last ? ", " : "", text, sorted[i].bits);
            last = &sorted[i];
        }
        if (n > 0)
            buf_printf(out, " } %s\n", verdict);
        free(sorted);
    }
}

static void put_ports(const struct capture_numbers *ports, const char *verdict, struct buf *out)
{
    if (ports->n == 0)
        return;
    buf_add_text(out, "        tcp dport ");
    put_numbers(ports, out);
    buf_printf(out, " %s\n", verdict);
}

// ---- rules ----

bool capture_has_outbound(const struct capture_options *options)
{
    return options->outbound_port != 0;
}

bool capture_has_inbound(const struct capture_options *options)
{
    const struct capture_numbers *ports = &options->include_inbound_ports;
    return options->inbound_port != 0 && (ports->are_all || ports->n > 0);
}

// What happens to a connection that is to be captured.
static void format_verdict(const struct capture_options *options, uint16_t port, char out[32])
{
    if (options->mode == CAPTURE_REDIRECT)
        snprintf(out, 32, "redirect to :%u", port);
    else
        snprintf(out, 32, "ct mark set 0x%x return", CAPTURE_MARK);
}

static void put_alive_condition(const struct capture_options *options, struct buf *out)
{
    if (options->life == CAPTURE_FAIL_OPEN)
        buf_add_text(out, "        meta nfproto != @" CAPTURE_ALIVE " return\n");
}

static bool has_port(const struct capture_numbers *ports, uint32_t port)
{
    for (size_t i = 0; i < ports->n; i++) {
        if (ports->items[i] == port)
            return true;
    }
    return false;
}

static void put_outbound(const struct capture_options *options, struct buf *out)
{
    if (!capture_has_outbound(options))
        return;
    buf_add_text(out, "\n    chain outbound {\n");
    put_alive_condition(options, out);
    if (options->upstream_mark)
        buf_printf(out, "        meta mark 0x%x return\n", options->upstream_mark);
    if (options->uids.n > 0) {
        buf_add_text(out, "        meta skuid ");
        put_numbers(&options->uids, out);
        buf_add_text(out, " return\n");
    }
    if (options->gids.n > 0) {
        buf_add_text(out, "        meta skgid ");
        put_numbers(&options->gids, out);
        buf_add_text(out, " return\n");
    }
    buf_add_text(out, "        oif \"lo\" return\n");

    char verdict[32];
    format_verdict(options, options->outbound_port, verdict);
    struct capture_numbers excluded = {0};
    const uint32_t dns = DNS_PORT;
    add_numbers(&excluded, options->exclude_outbound_ports.items,
                options->exclude_outbound_ports.n);
    if (!has_port(&options->include_outbound_ports, DNS_PORT))
        add_numbers(&excluded, &dns, 1);
    put_ports(&excluded, "return", out);
    free(excluded.items);
    put_ports(&options->include_outbound_ports, verdict, out);
    put_subnets(&options->exclude_subnets, "return", out);
    char verdict_of_tcp[64]; // a port may be rewritten only where TCP was asked for
    snprintf(verdict_of_tcp, sizeof verdict_of_tcp, "meta l4proto tcp %s", verdict);
    if (options->include_subnets.are_all)
        buf_printf(out, "        %s\n", verdict_of_tcp);
    else
        put_subnets(&options->include_subnets, verdict_of_tcp, out);
    buf_add_text(out, "    }\n");
}

static void put_inbound(const struct capture_options *options, struct buf *out)
{
    if (!capture_has_inbound(options))
        return;
    buf_add_text(out, "\n    chain inbound {\n");
    put_alive_condition(options, out);
    char verdict[32];
    format_verdict(options, options->inbound_port, verdict);
    const uint32_t listeners[] = {options->inbound_port, options->outbound_port};
    struct capture_numbers excluded = {0};
    add_numbers(&excluded, own_ports, N_OWN_PORTS);
    add_numbers(&excluded, listeners, capture_has_outbound(options) ? 2 : 1);
    add_numbers(&excluded, options->exclude_inbound_ports.items, options->exclude_inbound_ports.n);
    put_ports(&excluded, "return", out);
    free(excluded.items);
    if (options->include_inbound_ports.are_all)
        buf_printf(out, "        meta l4proto tcp %s\n", verdict);
    else
        put_ports(&options->include_inbound_ports, verdict, out);
    buf_add_text(out, "    }\n");
}

// Addresses are translated only while connections are tracked, which the kernel does as long as a
// rule asks for it: this one does when capture_render_stop() has taken those that redirect, so that
// what is captured lives on.
#define IS_TRACKED "ct direction original "

static void put_redirect_hooks(const struct capture_options *options, struct buf *out)
{
    if (capture_has_outbound(options))
        buf_add_text(out, "\n    chain output {\n"
                          "        type nat hook output priority -100; policy accept;\n"
                          "        " IS_TRACKED IS_FIRST " jump outbound\n"
                          "    }\n");
    if (capture_has_inbound(options))
        buf_add_text(out, "\n    chain prerouting {\n"
                          "        type nat hook prerouting priority -100; policy accept;\n"
                          "        iif != \"lo\" fib daddr type local " IS_TRACKED IS_FIRST
                          " jump inbound\n"
                          "    }\n");
}

// A connection is captured by its mark in conntrack, which its first packet gets. The way out: the
// mark of the packet leads it to the loopback device (policy_route.h), where it comes in again.
// Where no socket takes it, it must not go on to the application, nor vanish: nobody would answer
// in the name of a foreign address.
static void put_tproxy_hooks(const struct capture_options *options, struct buf *out)
{
    if (capture_has_outbound(options))
        buf_printf(out,
                   "\n    chain output {\n"
                   "        type route hook output priority -150; policy accept;\n"
                   "        ct direction original " IS_FIRST " jump outbound\n"
                   "        ct direction original ct mark 0x%x meta mark set 0x%x\n"
                   "    }\n",
                   CAPTURE_MARK, CAPTURE_MARK);
    buf_add_text(out, "\n    chain prerouting {\n"
                      "        type filter hook prerouting priority -150; policy accept;\n");
    if (capture_has_outbound(options))
        buf_printf(out,
                   "        iif \"lo\" meta mark 0x%x meta l4proto tcp tproxy to :%u accept\n"
                   "        iif \"lo\" meta mark 0x%x meta l4proto tcp reject with tcp reset\n",
                   CAPTURE_MARK, options->outbound_port, CAPTURE_MARK);
    buf_add_text(out, "        iif \"lo\" return\n");
    if (capture_has_inbound(options))
        buf_printf(out,
                   "        fib daddr type local " IS_FIRST " jump inbound\n"
                   "        ct direction original ct mark 0x%x meta l4proto tcp tproxy to :%u "
                   "meta mark set 0x%x accept\n"
                   "        ct direction original ct mark 0x%x meta l4proto tcp reject with tcp "
                   "reset\n",
                   CAPTURE_MARK, options->inbound_port, CAPTURE_MARK, CAPTURE_MARK);
    buf_add_text(out, "    }\n");
}

static void put_alive_set(const struct capture_options *options, bool is_alive, struct buf *out)
{
    uint32_t ms = options->fail_open_ms % 1000;
    buf_printf(out,
               "\n    set " CAPTURE_ALIVE " {\n"
               "        type nf_proto\n"
               "        flags timeout\n"
               "        timeout %us",
               options->fail_open_ms / 1000);
    if (ms > 0)
        buf_printf(out, "%ums", ms);
    buf_printf(out, "\n%s    }\n", is_alive ? "        elements = { ipv4, ipv6 }\n" : "");
}

void capture_render(const struct capture_options *options, bool is_alive, struct buf *out)
{
    static const char *const lives[] = {[CAPTURE_FAIL_OPEN] = "fail open",
                                        [CAPTURE_FAIL_CLOSED] = "fail closed",
                                        [CAPTURE_HELD] = "held by the sidecar"};
    char comment[64];
    snprintf(comment, sizeof comment, "    comment \"%s, %s\"\n",
             options->mode == CAPTURE_TPROXY ? "tproxy" : "redirect", lives[options->life]);
    // `create` refuses a table that is there; it takes a table's flags, but none of its chains.
    if (options->life == CAPTURE_HELD)
        buf_printf(out,
                   "create table inet " CAPTURE_TABLE " {\n    flags owner\n%s}\n"
                   "table inet " CAPTURE_TABLE " {\n    flags owner\n",
                   comment);
    else
        buf_printf(out,
                   "add table inet " CAPTURE_TABLE "\ndelete table inet " CAPTURE_TABLE "\n"
                   "table inet " CAPTURE_TABLE " {\n%s",
                   comment);
    if (options->life == CAPTURE_FAIL_OPEN)
        put_alive_set(options, is_alive, out);
    put_outbound(options, out);
    put_inbound(options, out);
    if (options->mode == CAPTURE_TPROXY)
        put_tproxy_hooks(options, out);
    else
        put_redirect_hooks(options, out);
    buf_add_text(out, "}\n");
}

void capture_render_down(struct buf *out)
{
    buf_add_text(out, "add table inet " CAPTURE_TABLE "\ndelete table inet " CAPTURE_TABLE "\n");
}

void capture_render_stop(const struct capture_options *options, struct buf *out)
{
    if (capture_has_outbound(options))
        buf_add_text(out, "flush chain inet " CAPTURE_TABLE " outbound\n");
    if (capture_has_inbound(options))
        buf_add_text(out, "flush chain inet " CAPTURE_TABLE " inbound\n");
}
