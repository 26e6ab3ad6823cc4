// SPDX-License-Identifier: Apache-2.0
#include "route/address_index.h"
#include "route/fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static struct captured_destination destinations[400];

static struct address_entry entry(const char *subnet, size_t destination)
{
    struct address_entry entry = {.destination = &destinations[destination]};
    unsigned bits;
    if (!address_parse_subnet(str_of(subnet), &entry.subnet.base, &bits))
        fail_msg("%s", subnet);
    entry.subnet.bits = (uint8_t)bits;
    return entry;
}

static const struct captured_destination *find(const struct address_index *index, const char *ip)
{
    struct address address;
    assert_true(address_parse_ip(str_of(ip), &address));
    address.port = 443;
    return address_index_find(index, &address);
}

static void test_the_longest_prefix_is_taken(void **state)
{
    struct arena *arena = arena_create(0);
    const struct address_entry entries[] = {entry("10.0.0.0/8", 0),    entry("10.1.2.3", 1),
                                            entry("10.1.0.0/16", 2),   entry("fd00::/64", 3),
                                            entry("fd00::1", 4),       entry("0.0.0.0/0", 5),
                                            entry("240.240.0.1/32", 6)};
    const struct address_index *index = address_index_build(arena, entries, 7);
    assert_ptr_equal(find(index, "10.1.2.3"), &destinations[1]);
    assert_ptr_equal(find(index, "10.1.2.4"), &destinations[2]);
    assert_ptr_equal(find(index, "10.2.2.3"), &destinations[0]);
    assert_ptr_equal(find(index, "11.0.0.0"), &destinations[5]);
    assert_ptr_equal(find(index, "240.240.0.1"), &destinations[6]);
    assert_ptr_equal(find(index, "::ffff:10.1.2.3"), &destinations[1]);
    assert_ptr_equal(find(index, "fd00::1"), &destinations[4]);
    assert_ptr_equal(find(index, "fd00::2"), &destinations[3]);
    assert_null(find(index, "fd00:0:0:1::1"));
    arena_destroy(arena);
}

static void test_entries_are_listed_by_address(void **state)
{
    struct arena *arena = arena_create(0);
    const struct address_entry entries[] = {entry("fd00::1", 0), entry("10.1.0.0/16", 1),
                                            entry("10.1.0.0/24", 2), entry("9.9.9.9", 3)};
    const struct address_index *index = address_index_build(arena, entries, 4);
    uint32_t n;
    const struct address_entry *listed = address_index_entries(index, &n);
    assert_int_equal(n, 4);
    static const size_t order[] = {3, 1, 2, 0};
    for (uint32_t i = 0; i < n; i++)
        assert_ptr_equal(listed[i].destination, &destinations[order[i]]);
    arena_destroy(arena);
}

static void test_no_entries_are_no_index(void **state)
{
    struct arena *arena = arena_create(0);
    assert_null(address_index_build(arena, NULL, 0));
    assert_null(find(NULL, "10.0.0.1"));
    uint32_t n = 1;
    assert_null(address_index_entries(NULL, &n));
    assert_int_equal(n, 0);
    arena_destroy(arena);
}

// A small space of addresses, so that prefixes nest and most lookups hit something.
static struct address random_address(bool is_ip6)
{
    struct address address = {.family = is_ip6 ? AF_INET6 : AF_INET};
    size_t len = is_ip6 ? 16 : 4;
    for (size_t i = 0; i < len; i++)
        address.ip[i] = (uint8_t)(rand() & (i < len - 2 ? 1 : 0x83));
    for (size_t i = len; i < sizeof(address.ip); i++)
        address.ip[i] = (uint8_t)rand(); // must not count
    return address;
}

static const struct captured_destination *naive_find(const struct address_entry *entries, size_t n,
                                                     struct address address)
{
    const struct address_entry *best = NULL;
    for (size_t i = 0; i < n; i++) {
        struct address masked = address;
        masked.port = 0;
        address_mask(&masked, entries[i].subnet.bits);
        if (address_equal(&masked, &entries[i].subnet.base) &&
            (!best || entries[i].subnet.bits > best->subnet.bits))
            best = &entries[i];
    }
    return best ? best->destination : NULL;
}

static bool has_subnet(const struct address_entry *entries, size_t n, const struct subnet *subnet)
{
    for (size_t i = 0; i < n; i++) {
        if (entries[i].subnet.bits == subnet->bits &&
            address_equal(&entries[i].subnet.base, &subnet->base))
            return true;
    }
    return false;
}

static void test_it_finds_what_looking_at_all_finds(void **state)
{
    srand(7);
    for (int round = 0; round < 50; round++) {
        struct arena *arena = arena_create(0);
        struct address_entry entries[400];
        uint32_t n = 0;
        for (int i = 0; i < 400; i++) {
            bool is_ip6 = rand() & 1;
            struct subnet subnet = {random_address(is_ip6), 0};
            subnet.bits = (uint8_t)(rand() % (is_ip6 ? 129 : 33));
            address_mask(&subnet.base, subnet.bits);
            if (!has_subnet(entries, n, &subnet)) {
                entries[n] = (struct address_entry){subnet, &destinations[n]};
                n++;
            }
        }
        const struct address_index *index = address_index_build(arena, entries, n);
        for (int i = 0; i < 2000; i++) {
            struct address address = random_address(rand() & 1);
            address.port = (uint16_t)rand();
            assert_ptr_equal(address_index_find(index, &address), naive_find(entries, n, address));
        }
        arena_destroy(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_prefix_is_taken),
        cmocka_unit_test(test_entries_are_listed_by_address),
        cmocka_unit_test(test_no_entries_are_no_index),
        cmocka_unit_test(test_it_finds_what_looking_at_all_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
