// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "dns/lookup.h"
#include "dns/search_list.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LABEL_63 "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz"

static void test_names_of_hosts(void **state)
{
    static const char *const good[] = {
        "a",
        "localhost",
        "example.com",
        "xn--bcher-kva.example",
        "_srv._tcp.example.com",
        "a-b.c--d.e",
        "1and1.com",
        "10.in-addr.arpa",
        LABEL_63 ".example",
        "0x10.com",
    };
    static const char *const bad[] = {
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.example",
        "a-.example",
        "a b.c",
        "a/b.c",
        "b\xc3\xbc.de",
        "*.example.com",
        "10.0.0.256",
        "1.2.3",
        "42",
        "a.123",
        "a:80",
        "[::1]",
        "a@b.c",
        "a\nb.c",
        LABEL_63 "x.example",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!host_name_is_valid(str_of(good[i])))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (host_name_is_valid(str_of(bad[i])))
            fail_msg("\"%s\" is taken for a name", bad[i]);
    assert_false(host_name_is_valid(STR("a\0b")));
}

static void test_the_length_of_a_name_is_bounded(void **state)
{
    char name[HOST_NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_true(host_name_is_valid((struct str){name, HOST_NAME_MAX_BYTES}));
    name[HOST_NAME_MAX_BYTES] = 'a';
    name[HOST_NAME_MAX_BYTES - 1] = 'a';
    assert_false(host_name_is_valid((struct str){name, HOST_NAME_MAX_BYTES + 1}));
}

static void expect_domains(const char *text, const char *expected)
{
    char path[] = "/tmp/search_list_test.XXXXXX", found[512] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct search_list list;
    search_list_read(&list, path);
    unlink(path);
    size_t len = 0;
    for (unsigned i = 0; i < list.n; i++)
        len += (size_t)snprintf(found + len, sizeof found - len, "%s%.*s", i ? " " : "",
                                STR_ARG(list.domains[i]));
    search_list_fini(&list);
    assert_string_equal(found, expected);
}

static void test_search_domains(void **state)
{
    unsetenv("LOCALDOMAIN");
    expect_domains("", "");
    expect_domains("nameserver 10.0.0.10\nsearch shop.svc.cluster.local svc.cluster.local "
                   "cluster.local\noptions ndots:5\n",
                   "shop.svc.cluster.local svc.cluster.local cluster.local");
    expect_domains("domain example.com\n", "example.com");
    expect_domains("search a.example b.example\n  search\tc.example. \r\n", "c.example");
    expect_domains("# search a.example\nsearchx b.example\n;search c.example\n", "");
    expect_domains("search . bad..name a.b 1.2.3.4 " LABEL_63 "x\n", "a.b");
    expect_domains("search a1.x a2.x a3.x a4.x a5.x a6.x a7.x", "a1.x a2.x a3.x a4.x a5.x a6.x");
    setenv("LOCALDOMAIN", "env.example other.example", 1);
    expect_domains("search a.example\n", "env.example other.example");
    unsetenv("LOCALDOMAIN");
    struct search_list list;
    search_list_read(&list, "/nonexistent/resolv.conf");
    assert_int_equal(list.n, 0);
    search_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_hosts),
        cmocka_unit_test(test_the_length_of_a_name_is_bounded),
        cmocka_unit_test(test_search_domains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
