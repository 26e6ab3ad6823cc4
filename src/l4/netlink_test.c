// SPDX-License-Identifier: Apache-2.0
#include "l4/netlink.h"
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct netlink netlink;

static int open_route(void **state)
{
    (void)state;
    return netlink_open(&netlink, NETLINK_ROUTE);
}

static int close_route(void **state)
{
    (void)state;
    netlink_close(&netlink);
    return 0;
}

static void test_attributes_are_padded_and_nested(void **state)
{
    (void)state;
    struct netlink_request request = {0};
    const uint32_t header = 0x01020304;
    netlink_begin(&netlink, &request, 77, NLM_F_ACK, &header, sizeof header);
    size_t nest = netlink_nest(&request, 5);
    netlink_put_text(&request, 6, "abcd"); // 4 + 5, padded to 12
    netlink_nest_end(&request, nest);
    netlink_put_u32(&request, 7, 99);
    assert_int_equal(request.len, NLMSG_HDRLEN + 4 + 4 + 12 + 8);
    const struct nlmsghdr *message = (const void *)request.data;
    assert_int_equal(message->nlmsg_len, request.len);
    assert_int_equal(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
    assert_int_equal(request.n_answers, 1);
    const struct nlattr *outer = netlink_find(message, sizeof header, 5, 1);
    assert_non_null(outer);
    assert_int_equal(outer->nla_len, 4 + 12);
    assert_int_equal(outer->nla_type, 5 | NLA_F_NESTED);
    const struct nlattr *number = netlink_find(message, sizeof header, 7, sizeof(uint32_t));
    assert_int_equal(netlink_get_u32(number), 99);
}

static void test_an_attribute_that_is_short_or_missing_is_not_found(void **state)
{
    (void)state;
    struct netlink_request request = {0};
    netlink_begin(&netlink, &request, 77, 0, NULL, 0);
    netlink_put(&request, 1, "ab", 2);
    const struct nlmsghdr *message = (const void *)request.data;
    assert_non_null(netlink_find(message, 0, 1, 2));
    assert_null(netlink_find(message, 0, 1, 4));
    assert_null(netlink_find(message, 0, 2, 0));
    // An attribute that says to be longer than its message.
    struct nlattr *attribute = (void *)(request.data + NLMSG_HDRLEN);
    attribute->nla_len = 200;
    assert_null(netlink_find(message, 0, 1, 2));
    attribute->nla_len = 1; // and one that would never end
    assert_null(netlink_find(message, 0, 1, 0));
}

static void note_loopback(void *arg, const struct nlmsghdr *message)
{
    const struct nlattr *name = netlink_find(message, sizeof(struct ifinfomsg), IFLA_IFNAME, 3);
    if (name && strcmp((const char *)name + NLA_HDRLEN, "lo") == 0)
        ++*(unsigned *)arg;
}

static void test_a_dump_ends_and_has_every_entry(void **state)
{
    (void)state;
    unsigned n = 0;
    for (unsigned i = 0; i < 2; i++) { // the second finds nothing left over of the first
        struct netlink_request request = {0};
        struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
        netlink_begin(&netlink, &request, RTM_GETLINK, NLM_F_DUMP, &header, sizeof header);
        assert_int_equal(netlink_run(&netlink, &request, note_loopback, &n), 0);
        assert_int_equal(n, i + 1);
    }
}

static void test_the_kernels_refusal_is_returned(void **state)
{
    (void)state;
    struct netlink_request request = {0};
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = 0x7ffffff0};
    netlink_begin(&netlink, &request, RTM_GETLINK, NLM_F_ACK, &header, sizeof header);
    assert_int_equal(netlink_run(&netlink, &request, NULL, NULL), -ENODEV);
    // The next request is not confused by it.
    request = (struct netlink_request){0};
    header.ifi_index = (int)if_nametoindex("lo");
    unsigned n = 0;
    netlink_begin(&netlink, &request, RTM_GETLINK, NLM_F_ACK, &header, sizeof header);
    assert_int_equal(netlink_run(&netlink, &request, note_loopback, &n), 0);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_are_padded_and_nested),
        cmocka_unit_test(test_an_attribute_that_is_short_or_missing_is_not_found),
        cmocka_unit_test(test_a_dump_ends_and_has_every_entry),
        cmocka_unit_test(test_the_kernels_refusal_is_returned),
    };
    return cmocka_run_group_tests(tests, open_route, close_route);
}
