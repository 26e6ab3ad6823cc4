// SPDX-License-Identifier: Apache-2.0
// Questions of requests.
#include "dns/fixture.h"

static struct {
    unsigned n, n_found, n_unknown, n_failed;
    char name[64], addresses[128];
    uint32_t valid_ms;
} told;

static void on_told(void *arg, struct str name, enum resolved result,
                    const struct address *addresses, uint32_t n, uint32_t valid_ms)
{
    assert_ptr_equal(arg, &told);
    told.n++;
    told.n_found += result == RESOLVED_FOUND;
    told.n_unknown += result == RESOLVED_UNKNOWN;
    told.n_failed += result == RESOLVED_FAILED;
    assert_int_equal(result == RESOLVED_FOUND, n > 0);
    snprintf(told.name, sizeof told.name, "%.*s", STR_ARG(name));
    format_addresses(addresses, n, told.addresses, sizeof told.addresses);
    told.valid_ms = valid_ms;
}

static void ask(const char *name)
{
    resolver_ask(resolver, str_of(name), on_told, &told);
}

static int setup_told(void **state)
{
    memset(&told, 0, sizeof told);
    return setup(state);
}

static void test_a_question_is_answered_once_and_remembered(void **state)
{
    answer_with(60, OCTETS(2, 1));
    ask("api.example.com");
    ask("api.example.com");
    assert_int_equal(told.n, 0);
    turn_until(&told.n, 2);
    assert_int_equal(told.n_found, 2);
    assert_string_equal(told.name, "api.example.com");
    assert_string_equal(told.addresses, "192.0.2.1 192.0.2.2");
    assert_int_equal(told.valid_ms, 60000);
    ask("api.example.com");
    assert_int_equal(told.n, 3);
    assert_in_range(told.valid_ms, 59000, 60000);
    assert_int_equal(server.a.queries, 1);
    assert_int_equal(changes, 0); // no snapshot uses it
    turn_for(100);
    assert_int_equal(server.a.queries, 1); // nor is it refreshed unasked
}

static void test_names_that_cannot_be_and_addresses_are_answered_at_once(void **state)
{
    ask("no such name");
    assert_int_equal(told.n_unknown, 1);
    ask("192.0.2.300");
    assert_int_equal(told.n_unknown, 2);
    ask("192.0.2.30");
    assert_int_equal(told.n_found, 1);
    assert_string_equal(told.addresses, "192.0.2.30");
    assert_int_equal(server.queries, 0);
}

static void test_a_name_that_does_not_exist_is_remembered_for_a_while(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.retry_min_ms = 200;
    replace_resolver(&options);
    answer_rcode(RCODE_NXDOMAIN);
    ask("no.example.com");
    turn_until(&told.n_unknown, 1);
    assert_in_range(told.valid_ms, 200, 300);
    ask("no.example.com");
    assert_int_equal(told.n_unknown, 2);
    assert_int_equal(server.a.queries, 1);
    turn_for(320);
    answer_with(60, OCTETS(1));
    ask("no.example.com");
    turn_until(&told.n_found, 1);
    assert_int_equal(server.a.queries, 2);
}

static void test_a_server_that_is_down_is_a_failure_and_back_is_found_at_once(void **state)
{
    server_stop();
    ask("api.example.com");
    turn_until(&told.n_failed, 1);
    server_start();
    answer_with(60, OCTETS(1));
    turn_for(50); // the pause after one failure
    ask("api.example.com");
    turn_until(&told.n_found, 1);
}

static void test_old_addresses_are_told_while_the_server_fails_but_not_for_ever(void **state)
{
    char servers[32];
    struct resolver_options options = test_options(servers);
    options.kept_ms = 400;
    replace_resolver(&options);
    answer_with(0, OCTETS(1));
    ask("api.example.com");
    turn_until(&told.n_found, 1);
    answer_rcode(RCODE_SERVFAIL);
    turn_for(50);
    ask("api.example.com");
    turn_until(&told.n, 2);
    assert_int_equal(told.n_found, 2);
    assert_string_equal(told.addresses, "192.0.2.1");
    assert_int_equal(counts().stale, 1);
    assert_int_equal(health.n_failing, 0); // of no concern to the configuration
    turn_for(500);
    ask("api.example.com");
    turn_until(&told.n, 3);
    assert_int_equal(told.n_failed, 1);
    assert_int_equal(counts().stale, 0);
}

static void test_a_watched_name_answers_from_what_it_knows(void **state)
{
    answer_with(0, OCTETS(1));
    assert_known("api.example.com", "");
    ask("api.example.com"); // joins the lookup under way
    turn_until(&told.n_found, 1);
    assert_int_equal(counts().lookups, 1);
    answer_rcode(RCODE_NXDOMAIN);
    turn_until(&health.n_failing, 1);
    ask("api.example.com");
    assert_int_equal(told.n_found, 2);
    assert_int_equal(counts().watched, 1);
    resolver_sweep(resolver);
    resolver_sweep(resolver); // no snapshot uses it, but requests did
    assert_int_equal(counts().watched, 0);
    assert_int_equal(counts().requested, 1);
}

static void test_a_requested_name_may_become_a_watched_one(void **state)
{
    answer_with(0, OCTETS(1));
    ask("api.example.com");
    turn_until(&told.n_found, 1);
    assert_known("api.example.com", "192.0.2.1"); // known at once
    answer_with(0, OCTETS(2));
    turn_until(&changes, 1);
    assert_known("api.example.com", "192.0.2.2");
}

static void test_names_that_requests_ask_for_are_bounded(void **state)
{
    char servers[32], name[32];
    struct resolver_options options = test_options(servers);
    options.requested_max = 10;
    replace_resolver(&options);
    answer_with(60, OCTETS(1));
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        ask(name);
        turn_until(&told.n_found, 2 * i + 1);
        ask("n0.example.com"); // in use: stays
        turn_until(&told.n_found, 2 * i + 2);
    }
    assert_int_equal(counts().requested, 10);
    assert_int_equal(server.a.queries, 30);
    ask("n29.example.com");
    assert_int_equal(told.n_found, 61);
    ask("n1.example.com"); // forgotten
    assert_int_equal(told.n_found, 61);
    turn_until(&told.n_found, 62);
    assert_int_equal(counts().requested, 10);
}

static void test_a_request_does_not_wait_behind_names_of_the_configuration(void **state)
{
    char name[32];
    server.a.is_held = server.aaaa.is_held = true;
    answer_with(60, OCTETS(1));
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        assert_known(name, "");
    }
    turn_until(&server.queries, 256);
    server.a.is_held = server.aaaa.is_held = false;
    ask("n299.example.com"); // hurries what is queued
    ask("api.example.com");
    turn_until(&told.n_found, 2);
    assert_int_equal(counts().running, 128);
    release();
}

static void test_a_name_that_a_client_chose_is_not_searched_for(void **state)
{
    char path[] = "/tmp/resolver_ask_test.XXXXXX", servers[32];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "search one.example\n", 19), 19);
    close(fd);
    struct resolver_options options = test_options(servers);
    options.resolv_conf = path;
    replace_resolver(&options);
    unlink(path);
    answer_with(60, OCTETS(1));
    server.known_name = "db.shop.one.example";
    ask("db.shop");
    turn_until(&told.n_unknown, 1);
    assert_int_equal(server.a.queries, 1);
    assert_string_equal(server.asked[0], "db.shop");
    learn("db.shop", "192.0.2.1"); // what the configuration says may be short
}

static void test_questions_that_waited_too_long_are_not_asked_any_more(void **state)
{
    enum { NAMES = 1000 };
    char servers[32], name[32];
    struct resolver_options options = test_options(servers);
    options.deadline_ms = 200;
    replace_resolver(&options);
    server.ignored = 1000000;
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        ask(name);
    }
    turn_until(&told.n_failed, NAMES);
    assert_in_range(server.a.queries, 1, 400); // 160 at once
    assert_int_equal(counts().timeouts, NAMES);
    assert_int_equal(counts().running + counts().queued, 0);
    server.ignored = 0;
    answer_with(60, OCTETS(1));
    ask("new.example.com");
    turn_until(&told.n_found, 1);
}

static void test_questions_under_way_end_with_the_resolver(void **state)
{
    server.ignored = 1000;
    for (unsigned i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%u.example.com", i);
        ask(name);
    }
    loop_turn(&loop, 10);
    assert_int_equal(told.n, 0); // teardown looks for what is left
}

#define TOLD(function) cmocka_unit_test_setup_teardown(function, setup_told, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(test_a_question_is_answered_once_and_remembered),
        TOLD(test_names_that_cannot_be_and_addresses_are_answered_at_once),
        TOLD(test_a_name_that_does_not_exist_is_remembered_for_a_while),
        TOLD(test_a_server_that_is_down_is_a_failure_and_back_is_found_at_once),
        TOLD(test_old_addresses_are_told_while_the_server_fails_but_not_for_ever),
        TOLD(test_a_watched_name_answers_from_what_it_knows),
        TOLD(test_a_requested_name_may_become_a_watched_one),
        TOLD(test_names_that_requests_ask_for_are_bounded),
        TOLD(test_a_request_does_not_wait_behind_names_of_the_configuration),
        TOLD(test_a_name_that_a_client_chose_is_not_searched_for),
        TOLD(test_questions_that_waited_too_long_are_not_asked_any_more),
        TOLD(test_questions_under_way_end_with_the_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
