// SPDX-License-Identifier: Apache-2.0
// The tables of dynamic endpoints: two workers that have room for two each.
#include "proxy/dynamic.h"
#include "proxy/worker_test.h"

enum { N_WORKERS = DYNAMIC_ENDPOINTS_MAX / 2 };

static struct {
    struct dynamic_slots *slots;
    struct worker *workers[2];
    struct cluster cluster;
    const struct cluster *clusters[1];
    uint64_t identities[1];
    struct snapshot snapshot;
    struct snapshot_hold hold;
} world;

static int set_up_world(void **state)
{
    (void)state;
    memset(&world, 0, sizeof world);
    world.slots = dynamic_slots_create();
    for (int i = 0; i < 2; i++) {
        world.workers[i] = bare_worker();
        world.workers[i]->dynamic = dynamic_table_create(world.workers[i], world.slots, N_WORKERS);
    }
    world.cluster =
        (struct cluster){.name = STR("outbound|80||*.a.example"), .discovery = CLUSTER_DYNAMIC_DNS};
    world.clusters[0] = &world.cluster;
    world.identities[0] = 7;
    world.snapshot = (struct snapshot){.clusters = world.clusters,
                                       .n_clusters = 1,
                                       .cluster_identity = world.identities,
                                       .n_cluster_slots = 1};
    world.hold.snapshot = &world.snapshot;
    return 0;
}

static void free_slots_of(struct worker *worker)
{
    for (unsigned i = 0; i < SLOT_PAGES_MAX; i++)
        free(atomic_load_explicit(&worker->endpoint_pages[i], memory_order_relaxed));
}

static int tear_down_world(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        dynamic_table_destroy(world.workers[i]->dynamic);
        free_slots_of(world.workers[i]);
        free(world.workers[i]);
    }
    dynamic_slots_destroy(world.slots);
    return 0;
}

static struct stream *begin(unsigned worker)
{
    struct stream *stream = stream_create(world.workers[worker]);
    stream->cluster = &world.cluster;
    stream->hold = &world.hold;
    return stream;
}

static struct address address_of(unsigned i)
{
    return (struct address){.family = AF_INET, .port = 80, .ip = {192, 0, 2, (uint8_t)i}};
}

struct held_at { // number 0: none
    uint32_t number;
    uint64_t identity;
};

static struct held_at find_place(unsigned worker, unsigned i)
{
    struct stream *stream = begin(worker);
    struct address address = address_of(i);
    bool leads_back = true;
    const struct endpoint *endpoint = dynamic_endpoint(stream, &address, &leads_back);
    struct held_at place = {0};
    if (endpoint) {
        char text[32];
        snprintf(text, sizeof text, "192.0.2.%u:80", i);
        assert_true(str_is(endpoint->text, text));
        assert_true(address_equal(&endpoint->address, &address));
        assert_false(leads_back);
        place.number = endpoint->slot;
        place.identity =
            endpoint_slot_identity(world.workers[worker], &world.snapshot, endpoint->slot);
        assert_true(place.identity > 0);
    }
    stream_discard(stream);
    return place;
}

static void expect_same(struct held_at a, struct held_at b)
{
    assert_int_equal(a.number, b.number);
    assert_int_equal(a.identity, b.identity);
}

// As a request that is there does.
static void use(unsigned worker, struct held_at place, int by)
{
    struct endpoint_slot *slot = worker_endpoint_slot(world.workers[worker], place.number);
    slot->identity = place.identity;
    slot->active += (uint32_t)by;
}

static bool is_served(struct held_at place)
{
    return endpoint_slot_is_served(world.slots, &world.snapshot, place.number, place.identity);
}

static void test_all_workers_know_an_endpoint_by_the_same_number_and_identity(void **state)
{
    (void)state;
    struct held_at one = find_place(0, 1), two = find_place(1, 2);
    expect_same(find_place(1, 1), one);
    expect_same(find_place(0, 2), two);
    assert_int_not_equal(one.number, two.number);
}

static void test_what_was_not_used_for_longest_makes_room(void **state)
{
    (void)state;
    struct held_at one = find_place(0, 1), two = find_place(0, 2);
    expect_same(find_place(0, 1), one);
    find_place(0, 3); // in the place of the second
    assert_int_equal(endpoint_slot_identity(world.workers[0], &world.snapshot, two.number), 0);
    assert_int_equal(endpoint_slot_identity(world.workers[0], &world.snapshot, one.number),
                     one.identity);
    assert_true(is_served(two)); // connections to it may be parked: whoever asks finds them
    expect_same(find_place(1, 2), two);
}

static void test_what_is_in_use_does_not_make_room(void **state)
{
    (void)state;
    struct held_at one = find_place(0, 1), two = find_place(0, 2);
    use(0, one, 1);
    struct held_at three = find_place(0, 3);
    use(0, three, 1);
    assert_int_equal(find_place(0, 2).number, 0);
    use(0, one, -1);
    expect_same(find_place(0, 2), two);
}

static void test_a_number_goes_to_another_endpoint_under_a_greater_identity(void **state)
{
    (void)state;
    struct held_at first = find_place(0, 1), last = first;
    find_place(0, 2);
    uint64_t seen[DYNAMIC_ENDPOINTS_MAX + 2];
    // Others come until the number of the first is needed again.
    for (unsigned port = 1; port <= DYNAMIC_ENDPOINTS_MAX + 1; port++) {
        struct stream *stream = begin(0);
        struct address address = address_of(9);
        bool leads_back;
        address.port = (uint16_t)port;
        const struct endpoint *endpoint = dynamic_endpoint(stream, &address, &leads_back);
        last.number = endpoint->slot;
        last.identity = endpoint_slot_identity(world.workers[0], &world.snapshot, last.number);
        seen[port] = last.identity;
        if (port > 1)
            assert_true(seen[port] > seen[port - 1]);
        stream_discard(stream);
    }
    assert_false(is_served(first));
    assert_true(is_served(last));
}

static void test_what_the_snapshot_changed_is_forgotten_once_it_is_not_in_use(void **state)
{
    (void)state;
    struct held_at one = find_place(0, 1), two = find_place(0, 2);
    use(0, two, 1);
    dynamic_forget_stale(world.workers[0], &world.snapshot);
    expect_same(find_place(0, 1), one); // nothing has changed
    world.cluster.protocol = CLUSTER_HTTP2;
    assert_false(is_served(one));
    dynamic_forget_stale(world.workers[0], &world.snapshot);
    assert_int_equal(endpoint_slot_identity(world.workers[0], &world.snapshot, one.number), 0);
    assert_int_equal(endpoint_slot_identity(world.workers[0], &world.snapshot, two.number),
                     two.identity);
    use(0, two, -1);
    dynamic_forget_stale(world.workers[0], &world.snapshot);
    assert_int_equal(endpoint_slot_identity(world.workers[0], &world.snapshot, two.number), 0);
    struct held_at anew = find_place(0, 1);
    assert_true(anew.identity > two.identity);
    world.snapshot.n_clusters = 0;
    assert_false(is_served(anew));
}

static void test_a_cluster_of_another_identity_or_kind_has_other_endpoints(void **state)
{
    (void)state;
    struct held_at one = find_place(0, 1);
    world.identities[0] = 8;
    assert_false(is_served(one));
    assert_true(find_place(0, 1).identity > one.identity);
    world.identities[0] = 7;
    assert_true(is_served(one));
    world.cluster.discovery = CLUSTER_STATIC; // its only name was answered
    assert_false(is_served(one));
}

static void test_a_failure_is_remembered_for_a_while(void **state)
{
    (void)state;
    find_place(0, 1);
    struct stream *stream = begin(0);
    struct address bad = address_of(1), good = address_of(2);
    assert_false(dynamic_has_failed(stream, &bad));
    dynamic_note_failure(stream, &(struct endpoint){.address = bad});
    assert_true(dynamic_has_failed(stream, &bad));
    assert_false(dynamic_has_failed(stream, &good));
    world.workers[0]->loop.now_ms += DYNAMIC_FAILURE_MS;
    assert_false(dynamic_has_failed(stream, &bad));
    stream_discard(stream);
}

static void test_what_leads_to_a_listener_of_ours_is_told(void **state)
{
    (void)state;
    struct listener listeners[] = {{.bind = {.family = AF_INET, .port = 80}},
                                   {.bind = {.family = AF_INET, .port = 81, .ip = {192, 0, 2, 5}}}};
    static const struct {
        uint8_t ip[4];
        uint16_t port;
        bool leads_back;
    } cases[] = {{{127, 0, 0, 1}, 80, true},
                 {{127, 0, 0, 1}, 82, false},
                 {{198, 51, 100, 1}, 80, false}, // of another host
                 {{192, 0, 2, 5}, 81, true},
                 {{192, 0, 2, 6}, 81, false}};
    world.snapshot.listeners = listeners;
    world.snapshot.n_listeners = 2;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stream *stream = begin(0);
        struct address address = {.family = AF_INET, .port = cases[i].port};
        memcpy(address.ip, cases[i].ip, 4);
        bool leads_back;
        assert_non_null(dynamic_endpoint(stream, &address, &leads_back));
        if (leads_back != cases[i].leads_back)
            fail_msg("case %u", i);
        stream_discard(stream);
    }
}

static bool leads_back_now(void)
{
    struct stream *stream = begin(0);
    struct address address = address_of(1);
    bool leads_back;
    assert_non_null(dynamic_endpoint(stream, &address, &leads_back));
    stream_discard(stream);
    return leads_back;
}

static void test_listeners_that_come_and_go_change_what_leads_back(void **state)
{
    (void)state;
    struct listener listener = {.bind = address_of(1)};
    assert_false(leads_back_now());
    world.snapshot.listeners = &listener;
    world.snapshot.n_listeners = 1;
    dynamic_forget_stale(world.workers[0], &world.snapshot);
    assert_true(leads_back_now());
    world.snapshot.n_listeners = 0;
    dynamic_forget_stale(world.workers[0], &world.snapshot);
    assert_false(leads_back_now());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up_world, tear_down_world)
    const struct CMUnitTest tests[] = {
        TEST(all_workers_know_an_endpoint_by_the_same_number_and_identity),
        TEST(what_was_not_used_for_longest_makes_room),
        TEST(what_is_in_use_does_not_make_room),
        TEST(a_number_goes_to_another_endpoint_under_a_greater_identity),
        TEST(what_the_snapshot_changed_is_forgotten_once_it_is_not_in_use),
        TEST(a_cluster_of_another_identity_or_kind_has_other_endpoints),
        TEST(a_failure_is_remembered_for_a_while),
        TEST(what_leads_to_a_listener_of_ours_is_told),
        TEST(listeners_that_come_and_go_change_what_leads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
