// SPDX-License-Identifier: Apache-2.0
#include "l4/capture_rules.h"
#include "base/check.h"
#include "l4/nft.h"
#include "l4/policy_route.h"
#include <errno.h>
#include <netinet/in.h> // before the kernel's headers, which then leave its types to it

#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <stdlib.h>

static const uint8_t families[] = {NFPROTO_IPV4, NFPROTO_IPV6}; // the elements of `alive`

static bool report_routing(int result, const char *what, struct buf *reterr)
{
    if (result == 0)
        return true;
    buf_printf(reterr, "policy routing, %s: %s%s", what, strerror(-result),
               result == -ENETDOWN ? " (the loopback device is down)" : "");
    return false;
}

static bool add_routing(struct buf *reterr)
{
    const char *what = NULL;
    int result = policy_route_add(&what);
    return report_routing(result, what, reterr);
}

static bool remove_routing(struct buf *reterr)
{
    const char *what = NULL;
    int result = policy_route_remove(&what);
    return report_routing(result, what, reterr);
}

static int apply(struct nft *nft, const struct buf *text, struct buf *reterr)
{
    int result = nft_apply(nft, text->data, reterr);
    if (result == -ENOENT) // what the rules name they bring along themselves
        buf_add_text(reterr, " (the kernel has nothing of that kind)");
    return result;
}

static bool find_table(struct nft_table *ret_table, struct buf *reterr)
{
    int result = nft_find_table(CAPTURE_TABLE, ret_table);
    if (result < 0)
        buf_printf(reterr, "nftables: %s", strerror(-result));
    return result == 0;
}

static void refuse_held(const struct nft_table *table, struct buf *reterr)
{
    buf_printf(reterr,
               "the rules are held by a running `sluicegate run --capture` (netlink port %u, most "
               "often its process id) and end with it",
               table->owner);
}

static bool has_alive_set(struct buf *reterr, bool *ret_has)
{
    int result = nft_find_set(CAPTURE_TABLE, CAPTURE_ALIVE, ret_has);
    if (result < 0)
        buf_printf(reterr, "nftables: %s", strerror(-result));
    return result == 0;
}

static bool are_alive(void)
{
    bool is_empty;
    return nft_set_is_empty(CAPTURE_TABLE, CAPTURE_ALIVE, &is_empty) == 0 && !is_empty;
}

// ---- rules that live on their own ----

// What is in force stays in force while rules that fail open take its place.
static bool was_in_force(const struct nft_table *before)
{
    bool has_set;
    struct buf ignored = {0};
    bool in_force =
        before->is_there && (!has_alive_set(&ignored, &has_set) || !has_set || are_alive());
    buf_fini(&ignored);
    return in_force;
}

static bool replace_table(struct nft *nft, const struct capture_options *options,
                          struct buf *reterr)
{
    struct nft_table before;
    if (!find_table(&before, reterr))
        return false;
    if (before.owner) {
        refuse_held(&before, reterr);
        return false;
    }
    // The route must be there before packets are marked, and as long as they are.
    struct buf text = {0}, ignored = {0};
    capture_render(options, was_in_force(&before), &text);
    bool is_replaced =
        (options->mode != CAPTURE_TPROXY || add_routing(reterr)) && apply(nft, &text, reterr) == 0;
    if (!is_replaced && !before.is_there)
        remove_routing(&ignored);
    buf_fini(&ignored);
    buf_fini(&text);
    if (!is_replaced)
        return false;
    return options->mode == CAPTURE_TPROXY || remove_routing(reterr);
}

bool capture_up(const struct capture_options *options, struct buf *reterr)
{
    if (!capture_options_check(options, reterr))
        return false;
    struct nft *nft = nft_open(reterr);
    bool is_up = nft && replace_table(nft, options, reterr);
    nft_close(nft);
    return is_up;
}

bool capture_down(struct buf *reterr)
{
    struct nft *nft = nft_open(reterr);
    if (!nft)
        return false;
    struct nft_table table;
    bool is_down = find_table(&table, reterr);
    if (is_down && table.owner) {
        refuse_held(&table, reterr);
        is_down = false;
    }
    if (is_down && table.is_there) {
        struct buf text = {0};
        capture_render_down(&text);
        is_down = apply(nft, &text, reterr) == 0;
        buf_fini(&text);
    }
    nft_close(nft);
    return is_down && remove_routing(reterr);
}

bool capture_read_status(struct capture_status *ret, struct buf *ret_rules, struct buf *reterr)
{
    *ret = (struct capture_status){0};
    struct nft *nft = nft_open(reterr);
    struct nft_table table;
    bool is_read = nft && find_table(&table, reterr);
    if (is_read) {
        ret->is_set_up = table.is_there;
        ret->held_by = table.owner;
        int result = policy_route_find(&ret->has_routing);
        is_read = report_routing(result, "the routing rule", reterr);
    }
    if (is_read && table.is_there) {
        is_read = has_alive_set(reterr, &ret->does_fail_open) &&
                  nft_list(nft, "list table inet " CAPTURE_TABLE, ret_rules, reterr);
        ret->is_alive = ret->does_fail_open && are_alive();
    }
    nft_close(nft);
    return is_read;
}

// ---- rules that live with the process ----

struct capture_hold {
    struct nft *nft;
    const struct capture_options *options; // since it began; borrowed
};

struct capture_hold *capture_hold_open(struct buf *reterr)
{
    struct nft *nft = nft_open(reterr);
    if (!nft)
        return NULL;
    struct capture_hold *hold = calloc(1, sizeof *hold);
    CHECK(hold != NULL);
    hold->nft = nft;
    return hold;
}

static bool refuse_table(struct buf *reterr)
{
    struct nft_table table;
    reterr->len = 0;
    if (find_table(&table, reterr) && table.owner)
        refuse_held(&table, reterr);
    else if (reterr->len == 0)
        buf_add_text(reterr,
                     "rules of `sluicegate capture up` are there already: they are "
                     "followed without --capture, and `sluicegate capture down` removes them");
    return false;
}

bool capture_hold_begin(struct capture_hold *hold, const struct capture_options *options,
                        struct buf *reterr)
{
    CHECK(options->life == CAPTURE_HELD);
    if (!capture_options_check(options, reterr))
        return false;
    if (options->mode == CAPTURE_TPROXY && !add_routing(reterr))
        return false;
    struct buf text = {0};
    capture_render(options, true, &text);
    int result = apply(hold->nft, &text, reterr);
    buf_fini(&text);
    if (result == -EEXIST || result == -EPERM)
        return refuse_table(reterr);
    if (result == -EOPNOTSUPP)
        buf_add_text(reterr, " (tables that end with a process need Linux 5.12)");
    if (result == 0)
        hold->options = options;
    return result == 0;
}

// Flushing a chain needs no listing of what is there: a listing that a change disturbs would make
// libnftables open another socket, and the table would end with the first.
bool capture_hold_stop(struct capture_hold *hold, struct buf *reterr)
{
    if (!hold->options)
        return true;
    struct buf text = {0};
    capture_render_stop(hold->options, &text);
    bool is_stopped = nft_apply(hold->nft, text.data, reterr) == 0;
    buf_fini(&text);
    return is_stopped;
}

void capture_hold_close(struct capture_hold *hold)
{
    if (!hold)
        return;
    nft_close(hold->nft);
    if (hold->options && hold->options->mode == CAPTURE_TPROXY) {
        struct buf ignored = {0}; // what is left of it does nothing
        remove_routing(&ignored);
        buf_fini(&ignored);
    }
    free(hold);
}

// ---- a sidecar's signs of life ----

int capture_pulse_open(struct capture_pulse *pulse)
{
    return netlink_open(&pulse->netlink, NETLINK_NETFILTER);
}

int capture_pulse_beat(struct capture_pulse *pulse)
{
    return nft_refresh_elements(&pulse->netlink, CAPTURE_TABLE, CAPTURE_ALIVE, families,
                                sizeof families);
}

int capture_pulse_stop(struct capture_pulse *pulse)
{
    return nft_remove_elements(&pulse->netlink, CAPTURE_TABLE, CAPTURE_ALIVE, families,
                               sizeof families);
}

void capture_pulse_close(struct capture_pulse *pulse)
{
    netlink_close(&pulse->netlink);
}
