// SPDX-License-Identifier: Apache-2.0
#include "l4/policy_route.h"
#include "l4/capture.h"
#include "l4/netlink.h"
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

enum { COPIES_MAX = 64 }; // of a rule, as some other tool may have added it again

static const uint8_t families[] = {AF_INET, AF_INET6};
enum { N_FAMILIES = sizeof families / sizeof *families };

static int run_rule(struct netlink *netlink, uint16_t type, uint16_t flags, uint8_t family)
{
    struct netlink_request request = {0};
    struct fib_rule_hdr header = {.family = family, .action = FR_ACT_TO_TBL};
    netlink_begin(netlink, &request, type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
    netlink_put_u32(&request, FRA_PRIORITY, POLICY_PRIORITY);
    netlink_put_u32(&request, FRA_FWMARK, CAPTURE_MARK);
    netlink_put_u32(&request, FRA_FWMASK, UINT32_MAX);
    netlink_put_u32(&request, FRA_TABLE, POLICY_TABLE);
    return netlink_run(netlink, &request, NULL, NULL);
}

// `local default dev lo`
static int run_route(struct netlink *netlink, uint16_t type, uint16_t flags, uint8_t family)
{
    struct netlink_request request = {0};
    struct rtmsg header = {
        .rtm_family = family,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_LOCAL,
    };
    netlink_begin(netlink, &request, type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
    netlink_put_u32(&request, RTA_TABLE, POLICY_TABLE);
    netlink_put_u32(&request, RTA_OIF, if_nametoindex("lo"));
    return netlink_run(netlink, &request, NULL, NULL);
}

static int add_family(struct netlink *netlink, uint8_t family, const char **ret_what)
{
    *ret_what = "the route to the loopback device";
    int result = run_route(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family);
    // IPv6 that is not in the kernel, or disabled on the device.
    if (family == AF_INET6 &&
        (result == -EAFNOSUPPORT || result == -EOPNOTSUPP || result == -EACCES))
        return 0;
    if (result < 0)
        return result;
    *ret_what = "the routing rule";
    result = run_rule(netlink, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);
    return result == -EEXIST ? 0 : result;
}

static bool is_absent(int result)
{
    return result == -ENOENT || result == -ESRCH || result == -EAFNOSUPPORT ||
           result == -EOPNOTSUPP || result == -ENODEV;
}

static int remove_family(struct netlink *netlink, uint8_t family, const char **ret_what)
{
    *ret_what = "the routing rule";
    int result = 0;
    for (unsigned i = 0; i < COPIES_MAX && result == 0; i++)
        result = run_rule(netlink, RTM_DELRULE, 0, family);
    if (result < 0 && !is_absent(result))
        return result;
    *ret_what = "the route to the loopback device";
    result = run_route(netlink, RTM_DELROUTE, 0, family);
    return is_absent(result) ? 0 : result;
}

static int for_each_family(int (*change)(struct netlink *netlink, uint8_t family,
                                         const char **ret_what),
                           const char **ret_what)
{
    struct netlink netlink;
    *ret_what = "a netlink socket";
    int result = netlink_open(&netlink, NETLINK_ROUTE);
    if (result < 0)
        return result;
    for (unsigned i = 0; i < N_FAMILIES && result == 0; i++)
        result = change(&netlink, families[i], ret_what);
    netlink_close(&netlink);
    return result;
}

int policy_route_add(const char **ret_what)
{
    return for_each_family(add_family, ret_what);
}

int policy_route_remove(const char **ret_what)
{
    return for_each_family(remove_family, ret_what);
}

static void look_at_rule(void *arg, const struct nlmsghdr *message)
{
    const struct nlattr *mark =
        netlink_find(message, sizeof(struct fib_rule_hdr), FRA_FWMARK, sizeof(uint32_t));
    const struct nlattr *table =
        netlink_find(message, sizeof(struct fib_rule_hdr), FRA_TABLE, sizeof(uint32_t));
    if (message->nlmsg_type == RTM_NEWRULE && mark && table &&
        netlink_get_u32(mark) == CAPTURE_MARK && netlink_get_u32(table) == POLICY_TABLE)
        *(bool *)arg = true;
}

int policy_route_find(bool *ret_is_there)
{
    struct netlink netlink;
    *ret_is_there = false;
    int result = netlink_open(&netlink, NETLINK_ROUTE);
    if (result < 0)
        return result;
    struct netlink_request request = {0};
    struct fib_rule_hdr header = {.family = AF_UNSPEC};
    netlink_begin(&netlink, &request, RTM_GETRULE, NLM_F_DUMP, &header, sizeof header);
    result = netlink_run(&netlink, &request, look_at_rule, ret_is_there);
    netlink_close(&netlink);
    return result;
}
