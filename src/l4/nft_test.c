// SPDX-License-Identifier: Apache-2.0
// In a network namespace of its own; without the privilege for that, only what needs none.
#include "l4/netlink.h"
#include "l4/nft.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool has_namespace;
static struct buf why, listing;

static struct nft *open_here(void)
{
    if (!has_namespace)
        skip();
    why.len = listing.len = 0;
    struct nft *nft = nft_open(&why);
    if (!nft && strstr(why.data, "the kernel has no nftables"))
        skip();
    assert_non_null(nft);
    return nft;
}

static void assert_refused(struct nft *nft, const char *text, int result, const char *message)
{
    why.len = 0;
    assert_int_equal(nft_apply(nft, text, &why), result);
    assert_string_equal(why.data, message);
}

static void test_a_transaction_is_applied_whole_or_not_at_all(void **state)
{
    (void)state;
    struct nft *nft = open_here();
    assert_int_equal(nft_apply(nft, "table inet a {\n}\n", &why), 0);
    assert_refused(nft, "table inet b {\n}\ndelete table inet c\n", -ENOENT,
                   "nftables: No such file or directory, at: delete table inet c");
    assert_true(nft_list(nft, "list tables", &listing, &why));
    assert_string_equal(listing.data, "table inet a\n");
    nft_close(nft);
}

static void test_what_is_refused_is_named(void **state)
{
    (void)state;
    struct nft *nft = open_here();
    assert_refused(nft, "table inet d {\n  chain e {\n    ip daddr 192.0.2.1 perhaps\n  }\n}\n",
                   -EINVAL,
                   "nftables: syntax error, unexpected newline, at: ip daddr 192.0.2.1 perhaps");
    assert_refused(nft, "table inet a {\n}\ncreate table inet a\n", -EEXIST,
                   "nftables: File exists, at: create table inet a");
    why.len = 0;
    assert_false(nft_list(nft, "list table inet nowhere", &listing, &why));
    assert_non_null(strstr(why.data, "No such file or directory"));
    nft_close(nft);
}

static void test_a_table_with_an_owner_ends_with_it(void **state)
{
    (void)state;
    struct nft *owner = open_here(), *other = open_here();
    struct nft_table table;
    assert_int_equal(nft_apply(owner, "table inet o {\n  flags owner\n}\n", &why), 0);
    assert_int_equal(nft_find_table("o", &table), 0);
    assert_true(table.is_there && table.owner != 0);
    assert_int_equal(nft_apply(other, "delete table inet o\n", &why), -EPERM);
    nft_close(owner);
    assert_int_equal(nft_find_table("o", &table), 0);
    assert_true(!table.is_there && table.owner == 0);
    nft_close(other);
}

static bool is_empty(void)
{
    bool ret;
    assert_int_equal(nft_set_is_empty("s", "alive", &ret), 0);
    return ret;
}

static void test_elements_are_put_in_again_and_taken_out(void **state)
{
    (void)state;
    struct nft *nft = open_here();
    struct netlink netlink;
    const uint8_t keys[] = {2, 10};
    bool is_there;
    assert_int_equal(netlink_open(&netlink, NETLINK_NETFILTER), 0);
    assert_int_equal(nft_refresh_elements(&netlink, "s", "alive", keys, 2), -ENOENT);
    assert_int_equal(nft_find_set("s", "alive", &is_there), 0);
    assert_false(is_there);
    assert_int_equal(nft_apply(nft,
                               "table inet s {\n  set alive {\n    type nf_proto\n    flags "
                               "timeout\n    timeout 1h\n  }\n}\n",
                               &why),
                     0);
    assert_int_equal(nft_find_set("s", "alive", &is_there), 0);
    assert_true(is_there);
    assert_true(is_empty());
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(nft_refresh_elements(&netlink, "s", "alive", keys, 2), 0);
        assert_false(is_empty());
    }
    assert_true(nft_list(nft, "list set inet s alive", &listing, &why));
    assert_non_null(strstr(listing.data, "ipv4 expires "));
    assert_non_null(strstr(listing.data, "ipv6 expires "));
    for (unsigned i = 0; i < 2; i++) { // also what is not there any more
        assert_int_equal(nft_remove_elements(&netlink, "s", "alive", keys, 2), 0);
        assert_true(is_empty());
    }
    netlink_close(&netlink);
    nft_close(nft);
}

static int enter(void **state)
{
    (void)state;
    has_namespace = unshare(CLONE_NEWNET) == 0;
    return 0;
}

static int fini(void **state)
{
    (void)state;
    buf_fini(&why);
    buf_fini(&listing);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transaction_is_applied_whole_or_not_at_all),
        cmocka_unit_test(test_what_is_refused_is_named),
        cmocka_unit_test(test_a_table_with_an_owner_ends_with_it),
        cmocka_unit_test(test_elements_are_put_in_again_and_taken_out),
    };
    return cmocka_run_group_tests(tests, enter, fini);
}
