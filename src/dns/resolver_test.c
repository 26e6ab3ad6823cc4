// SPDX-License-Identifier: Apache-2.0
// Names that are watched: what answers change, and when they are asked for again.
#include "dns/fixture.h"

static void test_a_name_is_unknown_until_its_answer_comes(void **state)
{
    answer_with(60, OCTETS(9, 3));
    assert_true(look_up_known("shop.example.com").is_pending);
    assert_int_equal(changes, 0);
    turn_until(&changes, 1);
    assert_known("shop.example.com", "192.0.2.3 192.0.2.9");
    assert_known("shop.example.com.", "192.0.2.3 192.0.2.9"); // the same name
    assert_false(look_up_known("shop.example.com").is_pending);
    assert_int_equal(server.a.queries, 1);
    assert_int_equal(server.aaaa.queries, 1);
}

static void test_both_families_are_asked_for_and_used(void **state)
{
    answer_with(60, OCTETS(1));
    rule_answers(&server.aaaa, OCTETS(2, 1));
    learn("shop.example.com", "192.0.2.1 2001:db8::1 2001:db8::2");
    assert_int_equal(changes, 1);
    server.a.n = 0;
    learn("six.example.com", "2001:db8::1 2001:db8::2");
    char ip[ADDRESS_TEXT_MAX];
    struct name_addresses known = look_up_known("six.example.com");
    address_format_ip(&known.first, ip);
    assert_string_equal(ip, "2001:db8::2");
}

static void test_repeated_addresses_of_an_answer_count_once(void **state)
{
    answer_with(60, OCTETS(7, 7, 7));
    learn("shop.example.com", "192.0.2.7");
}

static void test_a_name_is_asked_for_again_after_its_ttl(void **state)
{
    answer_with(1, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    int64_t start_ms = clock_monotonic_ms();
    answer_with(60, OCTETS(2));
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.2");
    assert_true(clock_monotonic_ms() - start_ms >= 950);
}

static void test_a_ttl_of_zero_does_not_flood_the_server(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.ttl_min_ms = 0; // the default
    replace_resolver(&options);
    answer_with(0, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    turn_for(500);
    assert_int_equal(server.a.queries, 1);
}

static void test_a_ttl_of_days_is_bounded(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.ttl_max_ms = 100;
    replace_resolver(&options);
    answer_with(604800, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    answer_with(604800, OCTETS(2));
    turn_until(&changes, 2);
    assert_known("shop.example.com", "192.0.2.2");
}

static void test_the_same_answer_again_is_no_change(void **state)
{
    answer_with(0, OCTETS(1, 2));
    learn("shop.example.com", "192.0.2.1 192.0.2.2");
    answer_with(0, OCTETS(2, 1)); // servers rotate their answers
    turn_until(&server.a.queries, server.a.queries + 3);
    assert_int_equal(changes, 1);
}

static void test_the_order_is_a_change_for_who_uses_the_first_address_alone(void **state)
{
    struct name_addresses known;
    char ip[ADDRESS_TEXT_MAX];
    answer_with(0, OCTETS(1, 2));
    resolver_addresses(resolver, STR("shop.example.com"), true, &known);
    assert_int_equal(known.first.family, 0);
    turn_until(&changes, 1);
    resolver_addresses(resolver, STR("shop.example.com"), true, &known);
    address_format_ip(&known.first, ip);
    assert_string_equal(ip, "192.0.2.1");
    resolver_sweep(resolver);
    answer_with(0, OCTETS(2, 1));
    turn_until(&changes, 2);
    resolver_addresses(resolver, STR("shop.example.com"), false, &known);
    address_format_ip(&known.first, ip);
    assert_string_equal(ip, "192.0.2.2");
    assert_int_equal(known.n_retiring, 0);
    resolver_sweep(resolver); // from now on nobody asks by first
    answer_with(0, OCTETS(1, 2));
    turn_until(&server.a.queries, server.a.queries + 3);
    assert_int_equal(changes, 2);
}

static void test_an_address_that_is_dropped_retires_for_a_while(void **state)
{
    answer_with(0, OCTETS(1, 2, 3));
    learn("shop.example.com", "192.0.2.1 192.0.2.2 192.0.2.3");
    answer_with(0, OCTETS(2, 4));
    turn_until(&changes, 2);
    int64_t dropped_ms = clock_monotonic_ms();
    assert_known("shop.example.com", "192.0.2.2 192.0.2.4");
    assert_retiring("shop.example.com", "192.0.2.1 192.0.2.3");
    turn_until(&changes, 3);
    assert_true(clock_monotonic_ms() - dropped_ms >= TEST_RETIRING_MS - 20);
    assert_known("shop.example.com", "192.0.2.2 192.0.2.4");
    assert_retiring("shop.example.com", "");
}

static void test_an_address_that_is_back_retires_no_more(void **state)
{
    answer_with(0, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    answer_with(0, OCTETS(2));
    turn_until(&changes, 2);
    assert_retiring("shop.example.com", "192.0.2.1");
    answer_with(0, OCTETS(1));
    turn_until(&changes, 3);
    assert_known("shop.example.com", "192.0.2.1");
    assert_retiring("shop.example.com", "192.0.2.2");
}

static void test_a_swept_name_is_forgotten_and_asked_for_anew(void **state)
{
    answer_with(60, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    resolver_sweep(resolver); // it was looked up since the start
    assert_known("shop.example.com", "192.0.2.1");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    assert_int_equal(counts().watched, 0);
    learn("shop.example.com", "192.0.2.1");
    assert_int_equal(server.a.queries, 2);
}

static void test_a_name_swept_before_its_answer_is_no_change(void **state)
{
    answer_with(60, OCTETS(1));
    assert_known("shop.example.com", "");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    turn_until(&server.queries, 2);
    turn_for(50);
    assert_int_equal(changes, 0);
}

static void test_a_resolver_may_end_with_queries_under_way(void **state)
{
    assert_known("one.example.com", "");
    assert_known("two.example.com", "");
    resolver_sweep(resolver);
    resolver_sweep(resolver);
    assert_known("two.example.com", "");
}

static void test_an_address_resolves_to_itself_at_once(void **state)
{
    assert_known("198.51.100.7", "198.51.100.7");
    assert_known("2001:db8::1", "2001:db8::1");
    assert_false(look_up_known("198.51.100.7").is_pending);
    assert_int_equal(look_up_known("198.51.100.7").first.family, AF_INET);
    assert_int_equal(loop.wheel.armed, 0);
    assert_int_equal(changes, 0);
}

static void test_a_name_that_cannot_be_is_never_asked_for(void **state)
{
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    const struct str names[] = {
        STR_NONE, STR("a\0b"), {longest, sizeof(longest)}, STR("*.example.com"), STR("10.0.0.300")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct name_addresses known = {.n = 1, .is_pending = true};
        resolver_addresses(resolver, names[i], false, &known);
        assert_int_equal(known.n, 0);
        assert_false(known.is_pending);
    }
    turn_for(50);
    assert_int_equal(server.queries, 0);
    assert_int_equal(counts().watched, 0);
}

static void test_the_file_of_hosts_answers_at_once_and_wins(void **state)
{
    answer_with(60, OCTETS(1));
    struct name_addresses known = look_up_known("localhost");
    assert_true(known.n > 0);
    assert_true(address_is_internal(&known.items[0]));
    turn_for(50);
    assert_int_equal(server.queries, 0);
    assert_int_equal(changes, 0);
}

static void test_a_malformed_server_list_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "no address",
        ",",
        "127.0.0.1:53,",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:53,localhost:53",
        "[::1:53",
        "[::1]:x",
        "127.0.0.1 :53",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct resolver_options options = {.servers = bad[i]};
        struct resolver *made = resolver_create(&loop, &options);
        if (made)
            fail_msg("\"%s\" is taken", bad[i]);
    }
    static const char *const good[] = {"127.0.0.1", "127.0.0.1:5353,[::1]:53", "::1",
                                       "[fd00::1]:53"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct resolver_options options = {.servers = good[i]};
        struct resolver *made = resolver_create(&loop, &options);
        if (!made)
            fail_msg("\"%s\" is refused", good[i]);
        resolver_destroy(made);
    }
}

static void test_addresses_that_nothing_leads_to_are_left_out(void **state)
{
    char servers[32], ip[ADDRESS_TEXT_MAX];
    struct resolver_options options = test_options(servers);
    options.keeps_unreachable = false;
    replace_resolver(&options);
    server.are_unreachable = true; // IPv6, link-local: of no link in particular
    answer_with(60, OCTETS(2, 1));
    rule_answers(&server.aaaa, OCTETS(1, 2));
    server.a_is_loopback = true;
    learn("shop.example.com", "127.0.0.1 127.0.0.2");
    struct name_addresses known = look_up_known("shop.example.com");
    address_format_ip(&known.first, ip);
    assert_string_equal(ip, "127.0.0.2");
    server.a.n = 0; // there is nothing better
    learn("six.example.com", "fe80::1 fe80::2");
}

static void search(const char *line)
{
    char path[] = "/tmp/resolver_test.XXXXXX", servers[32];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    close(fd);
    struct resolver_options options = test_options(servers);
    options.resolv_conf = path;
    replace_resolver(&options);
    unlink(path);
}

static void test_a_name_without_a_dot_is_looked_for_below_the_search_domains(void **state)
{
    search("search one.example two.example\n");
    answer_with(60, OCTETS(1));
    server.known_name = "shop.two.example";
    learn("shop", "192.0.2.1");
    assert_string_equal(server.asked[0], "shop.one.example");
    assert_string_equal(server.asked[1], "shop.two.example");
    assert_int_equal(server.a.queries, 2);
    server.known_name = "solo";
    learn("solo", "192.0.2.1");
    assert_int_equal(server.a.queries, 5); // and last as it stands
}

static void test_a_name_with_a_dot_is_tried_as_it_stands_first(void **state)
{
    search("search one.example\n");
    answer_with(60, OCTETS(1));
    learn("shop.example.com", "192.0.2.1"); // no AAAA, but the name exists: not looked for below
    assert_int_equal(server.queries, 2);
    server.known_name = "db.shop.one.example";
    learn("db.shop", "192.0.2.1");
    assert_string_equal(server.asked[1], "db.shop");
    assert_string_equal(server.asked[2], "db.shop.one.example");
}

static void test_many_names_take_their_turns(void **state)
{
    enum { NAMES = 2000 };
    server.a.is_held = server.aaaa.is_held = true;
    answer_with(60, OCTETS(1));
    char name[32];
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        assert_known(name, "");
    }
    turn_until(&server.queries, 256);
    turn_for(50);
    assert_int_equal(server.queries, 256);
    assert_int_equal(counts().running, 128);
    assert_int_equal(counts().queued, NAMES - 128);
    release();
    int64_t deadline_ms = clock_monotonic_ms() + 10000;
    while (counts().unresolved > 0 && clock_monotonic_ms() < deadline_ms)
        loop_turn(&loop, 100);
    assert_int_equal(counts().unresolved, 0);
    assert_int_equal(counts().watched, NAMES);
    assert_int_equal(counts().lookups, NAMES);
    assert_known("n1999.example.com", "192.0.2.1");
}

static void test_what_is_known_is_described_in_pieces(void **state)
{
    answer_with(60, OCTETS(1));
    learn("shop.example.com", "192.0.2.1");
    assert_known("203.0.113.9", "203.0.113.9");
    server.ignored = 1000;
    assert_known("new.example.com", "");
    struct buf text = {0};
    uint64_t cursor = 0;
    unsigned pieces = 1;
    while (resolver_describe(resolver, &cursor, 1, &text))
        pieces++;
    assert_int_equal(pieces, 3);
    buf_add_char(&text, 0);
    assert_non_null(strstr(text.data, "shop.example.com::used_by::config\n"
                                      "shop.example.com::address::192.0.2.1\n"
                                      "shop.example.com::age_ms::"));
    assert_non_null(strstr(text.data, "203.0.113.9::used_by::config\n"
                                      "203.0.113.9::address::203.0.113.9\n"
                                      "new.example.com::used_by::config\n"
                                      "new.example.com::pending::true\n"));
    buf_fini(&text);
}

int main(void)
{
    unsetenv("LOCALDOMAIN");
    const struct CMUnitTest tests[] = {
        TEST(test_a_name_is_unknown_until_its_answer_comes),
        TEST(test_both_families_are_asked_for_and_used),
        TEST(test_repeated_addresses_of_an_answer_count_once),
        TEST(test_a_name_is_asked_for_again_after_its_ttl),
        TEST(test_a_ttl_of_zero_does_not_flood_the_server),
        TEST(test_a_ttl_of_days_is_bounded),
        TEST(test_the_same_answer_again_is_no_change),
        TEST(test_the_order_is_a_change_for_who_uses_the_first_address_alone),
        TEST(test_an_address_that_is_dropped_retires_for_a_while),
        TEST(test_an_address_that_is_back_retires_no_more),
        TEST(test_a_swept_name_is_forgotten_and_asked_for_anew),
        TEST(test_a_name_swept_before_its_answer_is_no_change),
        TEST(test_a_resolver_may_end_with_queries_under_way),
        TEST(test_an_address_resolves_to_itself_at_once),
        TEST(test_a_name_that_cannot_be_is_never_asked_for),
        TEST(test_the_file_of_hosts_answers_at_once_and_wins),
        TEST(test_addresses_that_nothing_leads_to_are_left_out),
        TEST(test_a_malformed_server_list_is_refused),
        TEST(test_a_name_without_a_dot_is_looked_for_below_the_search_domains),
        TEST(test_a_name_with_a_dot_is_tried_as_it_stands_first),
        TEST(test_many_names_take_their_turns),
        TEST(test_what_is_known_is_described_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
