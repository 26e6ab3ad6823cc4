// SPDX-License-Identifier: Apache-2.0
#include "proxy/refused_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(bool is_refused, const char *const *texts)
{
    for (; *texts; texts++) {
        struct address address;
        assert_true(address_parse_ip(str_of(*texts), &address));
        if (address_is_refused(&address) != is_refused)
            fail_msg("%s", *texts);
    }
}

static void test_what_is_near_is_refused(void **state)
{
    (void)state;
    static const char *const near[] = {"0.0.0.0",
                                       "0.1.2.3",
                                       "127.0.0.1",
                                       "127.255.0.9",
                                       "169.254.169.254",
                                       "224.0.0.1",
                                       "239.1.1.1",
                                       "240.0.0.1",
                                       "255.255.255.255",
                                       "::",
                                       "::1",
                                       "::ffff:127.0.0.1",
                                       "::127.0.0.1",
                                       "64:ff9b::169.254.169.254",
                                       "100.100.100.200",
                                       "168.63.129.16",
                                       "192.0.0.192",
                                       "::ffff:0:127.0.0.1",
                                       "::ffff:100.100.100.200",
                                       "64:ff9b:1::7f00:1",
                                       "64:ff9b:1:2::a9fe:a9fe",
                                       "2002:7f00:1::",
                                       "2002:a9fe:a9fe::1",
                                       "fd00:ec2::254",
                                       "fd20:ce::254",
                                       "fe80::1",
                                       "febf::1",
                                       "ff02::1",
                                       NULL};
    expect(true, near);
}

static void test_what_is_far_is_not(void **state)
{
    (void)state;
    static const char *const far[] = {"1.1.1.1",
                                      "10.0.0.1",
                                      "192.168.1.1",
                                      "169.253.0.1",
                                      "169.255.0.1",
                                      "223.255.255.255",
                                      "2001:db8::1",
                                      "fd00::1",
                                      "fec0::1",
                                      "::ffff:192.0.2.1",
                                      "64:ff9b::192.0.2.1",
                                      "64:ff9b:1::c000:201",
                                      "2002:c000:201::1",
                                      "100.100.100.201",
                                      "168.63.129.17",
                                      "fd00:ec2::253",
                                      "fd20:ce::1",
                                      NULL};
    expect(false, far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_near_is_refused),
        cmocka_unit_test(test_what_is_far_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
