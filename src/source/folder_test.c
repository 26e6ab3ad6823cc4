// SPDX-License-Identifier: Apache-2.0
// Real files in a temporary folder, real inotify; the loop is turned until the change has arrived.
#include "base/buf.h"
#include "base/clock.h"
#include "model/kubernetes.h"
#include "source/folder.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS_MAX = 5000 };

struct fixture {
    char folder[64];
    struct store *store;
    struct folder_source *source;
    struct loop loop;
    unsigned changes;
};

static char *at(const struct fixture *f, const char *name) // until the fourth next call
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", f->folder, name);
    return path;
}

static void write_fd(int fd, const char *text)
{
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    int fd = open(at(f, name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    write_fd(fd, text);
    close(fd);
}

static void service_text(char out[160], const char *name, int port)
{
    snprintf(out, 160,
             "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: %d}]}\n",
             name, port);
}

static void write_service(const struct fixture *f, const char *file, const char *name, int port)
{
    char text[160];
    service_text(text, name, port);
    write_file(f, file, text);
}

static int64_t port(const struct fixture *f, const char *name) // 0: there is no such Service
{
    const struct object *object = store_find(f->store, KIND_SERVICE, STR("default"), str_of(name));
    return object ? object->service->ports[0].port.value : 0;
}

static void on_change(void *arg)
{
    ((struct fixture *)arg)->changes++;
}

static void prepare(struct fixture *f)
{
    *f = (struct fixture){.folder = "/tmp/sluicegate-folder-XXXXXX"};
    assert_non_null(mkdtemp(f->folder));
    f->store = store_create();
    loop_init(&f->loop);
}

static void start_at(struct fixture *f, const char *path)
{
    f->source = folder_open(f->store, &path, 1);
    folder_read_all(f->source);
    assert_int_equal(folder_watch(f->source, &f->loop, on_change, f), 0);
}

static void start(struct fixture *f)
{
    start_at(f, f->folder);
}

// Turns the loop until the Service has the port (0: is gone).
static void await_port(struct fixture *f, const char *name, int64_t wanted)
{
    int64_t deadline = clock_monotonic_ms() + WAIT_MS_MAX;
    while (port(f, name) != wanted) {
        if (clock_monotonic_ms() > deadline)
            fail_msg("%s has port %lld, not %lld", name, (long long)port(f, name),
                     (long long)wanted);
        loop_turn(&f->loop, 50);
    }
}

static void await_change(struct fixture *f)
{
    unsigned before = f->changes;
    int64_t deadline = clock_monotonic_ms() + WAIT_MS_MAX;
    while (f->changes == before) {
        assert_true(clock_monotonic_ms() < deadline);
        loop_turn(&f->loop, 50);
    }
}

static void finish(struct fixture *f)
{
    char command[256];
    folder_close(f->source);
    assert_int_equal(store_counts(f->store).objects, 0);
    store_destroy(f->store);
    loop_fini(&f->loop);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
}

static size_t count_code(const struct fixture *f, enum diag_code code)
{
    struct diags *diags = diags_create();
    size_t n = 0;
    store_diags(f->store, diags);
    for (size_t i = 0; i < diags_count(diags); i++)
        n += diags_get(diags, i)->code == code;
    diags_destroy(diags);
    return n;
}

static void await_code(struct fixture *f, enum diag_code code)
{
    int64_t deadline = clock_monotonic_ms() + WAIT_MS_MAX;
    while (count_code(f, code) == 0) {
        assert_true(clock_monotonic_ms() < deadline);
        loop_turn(&f->loop, 50);
    }
}

static void test_folders_are_read_recursively_without_hidden_and_other_files(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "sub"), 0755), 0);
    assert_int_equal(mkdir(at(&f, ".hidden"), 0755), 0);
    write_service(&f, "a.yaml", "a", 1);
    write_service(&f, "b.yml", "b", 2);
    write_service(&f, "sub/c.json", "c", 3);
    write_service(&f, ".hidden/d.yaml", "d", 4);
    write_service(&f, ".e.yaml", "e", 5);
    write_service(&f, "f.yaml~", "f", 6);
    write_service(&f, "g.txt", "g", 7);
    start(&f);
    assert_int_equal(store_counts(f.store).objects, 3);
    assert_int_equal(port(&f, "c"), 3);
    finish(&f);
}

static void test_a_saved_file_is_taken_up_and_a_removed_one_leaves(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    write_service(&f, "a.yaml", "a", 2);
    await_port(&f, "a", 2);
    write_service(&f, "b.yaml", "b", 1);
    await_port(&f, "b", 1);
    unlink(at(&f, "a.yaml"));
    await_port(&f, "a", 0);
    assert_int_equal(port(&f, "b"), 1);
    finish(&f);
}

static void test_an_editor_that_renames_is_followed(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    const struct object *before = store_find(f.store, KIND_SERVICE, STR("default"), STR("a"));
    uint64_t sequence = before->sequence;
    write_service(&f, "4913", "a", 9); // vim tries whether it may create files
    unlink(at(&f, "4913"));
    assert_int_equal(rename(at(&f, "a.yaml"), at(&f, "a.yaml~")), 0);
    write_service(&f, "a.yaml", "a", 2);
    await_port(&f, "a", 2);
    write_service(&f, "sedXYZ", "a", 3);
    assert_int_equal(rename(at(&f, "sedXYZ"), at(&f, "a.yaml")), 0);
    await_port(&f, "a", 3);
    assert_int_equal(store_find(f.store, KIND_SERVICE, STR("default"), STR("a"))->sequence,
                     sequence);
    finish(&f);
}

static void test_a_renamed_file_keeps_the_age_of_its_objects(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    write_service(&f, "b.yaml", "b", 1);
    start(&f);
    uint64_t sequence = store_find(f.store, KIND_SERVICE, STR("default"), STR("a"))->sequence;
    assert_int_equal(rename(at(&f, "a.yaml"), at(&f, "z.yaml")), 0);
    await_change(&f);
    const struct object *object = store_find(f.store, KIND_SERVICE, STR("default"), STR("a"));
    assert_non_null(object);
    assert_true(str_has_suffix(object->file, STR("/z.yaml")));
    assert_int_equal(object->sequence, sequence);
    finish(&f);
}

static void test_a_mounted_config_map_is_read_once_and_swaps_at_once(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "..1"), 0755), 0);
    write_service(&f, "..1/a.yaml", "a", 1);
    write_service(&f, "..1/b.yaml", "b", 1);
    assert_int_equal(symlink("..1", at(&f, "..data")), 0);
    assert_int_equal(symlink("..data/a.yaml", at(&f, "a.yaml")), 0);
    assert_int_equal(symlink("..data/b.yaml", at(&f, "b.yaml")), 0);
    start(&f);
    assert_int_equal(store_counts(f.store).objects, 2);
    assert_int_equal(count_code(&f, DIAG_DUPLICATE_OBJECT), 0);
    const struct object *b = store_find(f.store, KIND_SERVICE, STR("default"), STR("b"));
    assert_int_equal(mkdir(at(&f, "..2"), 0755), 0);
    write_service(&f, "..2/a.yaml", "a", 2);
    write_service(&f, "..2/b.yaml", "b", 1);
    assert_int_equal(symlink("..2", at(&f, "..data_tmp")), 0);
    assert_int_equal(rename(at(&f, "..data_tmp"), at(&f, "..data")), 0);
    await_port(&f, "a", 2);
    // The same bytes in a new file: the object stays.
    assert_ptr_equal(store_find(f.store, KIND_SERVICE, STR("default"), STR("b")), b);
    // A key that is gone.
    assert_int_equal(mkdir(at(&f, "..3"), 0755), 0);
    write_service(&f, "..3/a.yaml", "a", 3);
    assert_int_equal(symlink("..3", at(&f, "..data_tmp")), 0);
    assert_int_equal(rename(at(&f, "..data_tmp"), at(&f, "..data")), 0);
    unlink(at(&f, "b.yaml"));
    await_port(&f, "a", 3);
    await_port(&f, "b", 0);
    finish(&f);
}

static void test_a_link_to_elsewhere_is_followed(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "in"), 0755), 0);
    assert_int_equal(mkdir(at(&f, "out"), 0755), 0);
    write_service(&f, "out/real.yaml", "a", 1);
    assert_int_equal(symlink("../out/real.yaml", at(&f, "in/a.yaml")), 0);
    start_at(&f, at(&f, "in"));
    assert_int_equal(port(&f, "a"), 1);
    write_service(&f, "out/real.yaml", "a", 2);
    await_port(&f, "a", 2);
    finish(&f);
}

static void test_a_folder_may_go_and_come_back(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "sub"), 0755), 0);
    write_service(&f, "sub/a.yaml", "a", 1);
    write_service(&f, "b.yaml", "b", 1);
    start(&f);
    assert_int_equal(rename(at(&f, "sub"), at(&f, ".away")), 0);
    await_port(&f, "a", 0);
    assert_int_equal(port(&f, "b"), 1);
    assert_int_equal(rename(at(&f, ".away"), at(&f, "sub")), 0);
    await_port(&f, "a", 1);
    write_service(&f, "sub/a.yaml", "a", 2);
    await_port(&f, "a", 2);
    // Within reach: what is below is watched at its new place.
    assert_int_equal(rename(at(&f, "sub"), at(&f, "moved")), 0);
    write_service(&f, "moved/a.yaml", "a", 3);
    await_port(&f, "a", 3);
    finish(&f);
}

static void test_the_folder_given_may_go_and_come_back(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "root"), 0755), 0);
    write_service(&f, "root/a.yaml", "a", 1);
    start_at(&f, at(&f, "root"));
    unlink(at(&f, "root/a.yaml"));
    assert_int_equal(rmdir(at(&f, "root")), 0);
    await_port(&f, "a", 0);
    await_code(&f, DIAG_FILE_UNREADABLE);
    assert_int_equal(mkdir(at(&f, "root"), 0755), 0);
    write_service(&f, "root/a.yaml", "a", 2);
    await_port(&f, "a", 2);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 0);
    finish(&f);
}

static void test_a_path_that_does_not_exist_is_reported_and_awaited(void **state)
{
    struct fixture f;
    prepare(&f);
    start_at(&f, at(&f, "x/y/z.conf"));
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 1);
    assert_int_equal(mkdir(at(&f, "x"), 0755), 0);
    loop_turn(&f.loop, 50);
    assert_int_equal(mkdir(at(&f, "x/y"), 0755), 0);
    loop_turn(&f.loop, 50);
    write_service(&f, "x/y/z.conf", "a", 1); // given by name: whatever it is called
    await_port(&f, "a", 1);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 0);
    finish(&f);
}

static void test_a_file_given_by_name_is_followed_through_renames_and_links(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "one.yaml", "a", 1);
    write_service(&f, "two.yaml", "a", 2);
    assert_int_equal(symlink("one.yaml", at(&f, "current")), 0);
    start_at(&f, at(&f, "current"));
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(symlink("two.yaml", at(&f, "next")), 0);
    assert_int_equal(rename(at(&f, "next"), at(&f, "current")), 0);
    await_port(&f, "a", 2);
    write_service(&f, "two.yaml", "a", 3);
    await_port(&f, "a", 3);
    write_service(&f, "new", "a", 4);
    assert_int_equal(rename(at(&f, "new"), at(&f, "current")), 0);
    await_port(&f, "a", 4);
    finish(&f);
}

static void turn_for(struct fixture *f, int64_t ms)
{
    int64_t end = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < end)
        loop_turn(&f->loop, 10);
}

static int open_and_cut(const struct fixture *f, const char *name)
{
    int fd = open(at(f, name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    assert_true(fd >= 0);
    return fd;
}

static void test_a_file_that_is_being_written_counts_when_it_is_closed(void **state)
{
    struct fixture f;
    char text[160];
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    int fd = open_and_cut(&f, "a.yaml"), other = open_and_cut(&f, "b.yaml");
    turn_for(&f, 60);
    service_text(text, "c", 3);
    write_fd(fd, text);
    write_fd(other, text);
    turn_for(&f, 60);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(port(&f, "c"), 0);
    assert_int_equal(f.changes, 0);
    close(fd);
    await_port(&f, "c", 3);
    assert_int_equal(port(&f, "a"), 0);
    assert_int_equal(count_code(&f, DIAG_DUPLICATE_OBJECT), 0); // of b.yaml
    close(other);
    await_code(&f, DIAG_DUPLICATE_OBJECT);
    finish(&f);
}

static void test_a_scan_does_not_read_a_file_that_is_being_written_to_its_end(void **state)
{
    struct fixture f;
    char text[160];
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    int fd = open_and_cut(&f, "a.yaml");
    folder_read_all(f.source); // the events have not been looked at
    assert_int_equal(port(&f, "a"), 1);
    // A mode or a time that changes is no end of writing.
    assert_int_equal(fchmod(fd, 0600), 0);
    turn_for(&f, 60);
    assert_int_equal(port(&f, "a"), 1);
    service_text(text, "a", 2);
    write_fd(fd, text);
    close(fd);
    await_port(&f, "a", 2);
    finish(&f);
}

static void test_a_file_closed_and_cut_again_at_once_waits_for_the_second_close(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    write_service(&f, "a.yaml", "a", 2);
    int fd = open_and_cut(&f, "a.yaml");
    turn_for(&f, 60);
    assert_int_equal(port(&f, "a"), 1);
    close(fd);
    await_port(&f, "a", 0);
    write_service(&f, "a.yaml", "a", 3);
    await_port(&f, "a", 3);
    assert_int_equal(unlink(at(&f, "a.yaml")), 0);
    fd = open_and_cut(&f, "a.yaml");
    turn_for(&f, 60);
    assert_int_equal(port(&f, "a"), 3);
    close(fd);
    await_port(&f, "a", 0);
    finish(&f);
}

static void test_what_is_whole_in_a_file_never_closed_is_taken_up_and_nothing_goes(void **state)
{
    enum { NEVER_MS = 1000 * 1000 };
    struct fixture f;
    char text[160];
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    folder_set_patience(f.source, 20, NEVER_MS);
    int fd = open_and_cut(&f, "a.yaml");
    service_text(text, "b", 2);
    write_fd(fd, text);
    write_fd(fd, "---\n");
    service_text(text, "c", 3);
    write_fd(fd, text); // perhaps half of it
    await_port(&f, "b", 2);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(port(&f, "c"), 0);
    write_fd(fd, "...\n");
    await_port(&f, "c", 3);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(store_counts(f.store).last_good, 0);
    close(fd);
    await_port(&f, "a", 0);
    assert_int_equal(port(&f, "b"), 2);
    assert_int_equal(port(&f, "c"), 3);
    finish(&f);
}

static void test_a_file_never_closed_counts_as_closed_after_a_long_quiet(void **state)
{
    struct fixture f;
    char text[160];
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    folder_set_patience(f.source, 20, 40);
    int fd = open_and_cut(&f, "a.yaml");
    service_text(text, "b", 2);
    write_fd(fd, text);
    await_port(&f, "b", 2);
    assert_int_equal(port(&f, "a"), 0);
    // One that is appended to without a pause is taken up, too.
    folder_set_patience(f.source, 50, 1000 * 1000);
    service_text(text, "c", 3);
    write_fd(fd, "---\n");
    write_fd(fd, text);
    for (int64_t end = clock_monotonic_ms() + WAIT_MS_MAX; port(&f, "c") != 3;) {
        assert_true(clock_monotonic_ms() < end);
        write_fd(fd, "---\n");
        loop_turn(&f.loop, 10);
    }
    close(fd);
    finish(&f);
}

static void test_another_name_of_a_file_is_taken_up_at_once(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.txt", "a", 1);
    start(&f);
    assert_int_equal(link(at(&f, "a.txt"), at(&f, "a.yaml")), 0);
    await_port(&f, "a", 1);
    finish(&f);
}

static void test_a_broken_file_keeps_its_last_good_objects(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    write_file(&f, "a.yaml", "kind: [\n");
    await_change(&f);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(store_counts(f.store).last_good, 1);
    assert_int_equal(count_code(&f, DIAG_YAML_SYNTAX), 1);
    assert_int_equal(count_code(&f, DIAG_KEPT_LAST_GOOD), 1);
    write_service(&f, "a.yaml", "a", 2);
    await_port(&f, "a", 2);
    assert_int_equal(store_counts(f.store).last_good, 0);
    finish(&f);
}

static void test_an_unreadable_file_keeps_its_objects(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    unlink(at(&f, "a.yaml"));
    assert_int_equal(symlink("a.yaml", at(&f, "a.yaml")),
                     0); // a link to itself: ELOOP, even for root
    await_change(&f);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(store_counts(f.store).last_good, 1);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 1);
    folder_read_all(f.source);
    assert_int_equal(port(&f, "a"), 1);
    unlink(at(&f, "a.yaml"));
    write_service(&f, "a.yaml", "a", 1);
    await_change(&f);
    assert_int_equal(store_counts(f.store).last_good, 0);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 0);
    finish(&f);
}

static void test_a_file_that_claims_to_be_endless_is_refused_before_it_is_read(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    start(&f);
    assert_int_equal(truncate(at(&f, "a.yaml"), INT64_C(1) << 40), 0);
    folder_set_patience(f.source, 10, 10);
    await_code(&f, DIAG_FILE_UNREADABLE);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(store_counts(f.store).last_good, 1);
    finish(&f);
}

static void test_a_folder_that_nobody_can_look_at_keeps_what_it_holds(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "sub"), 0755), 0);
    write_service(&f, "sub/a.yaml", "a", 1);
    start(&f);
    assert_int_equal(rename(at(&f, "sub"), at(&f, ".away")), 0);
    assert_int_equal(symlink("sub", at(&f, "sub")), 0); // to itself: ELOOP, even for root
    await_code(&f, DIAG_FILE_UNREADABLE);
    assert_int_equal(port(&f, "a"), 1);
    folder_read_all(f.source);
    assert_int_equal(port(&f, "a"), 1);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 1);
    unlink(at(&f, "sub"));
    write_service(&f, ".away/a.yaml", "a", 2);
    assert_int_equal(rename(at(&f, ".away"), at(&f, "sub")), 0);
    await_port(&f, "a", 2);
    assert_int_equal(count_code(&f, DIAG_FILE_UNREADABLE), 0);
    finish(&f);
}

static void test_a_folder_on_the_way_may_be_swapped(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "conf"), 0755), 0);
    write_service(&f, "conf/gw.yaml", "a", 1);
    start_at(&f, at(&f, "conf/gw.yaml"));
    for (int i = 2; i < 4; i++) {
        assert_int_equal(mkdir(at(&f, "conf.new"), 0755), 0);
        write_service(&f, "conf.new/gw.yaml", "a", i);
        assert_int_equal(rename(at(&f, "conf"), at(&f, i == 2 ? "conf.old" : "conf.older")), 0);
        assert_int_equal(rename(at(&f, "conf.new"), at(&f, "conf")), 0);
        await_port(&f, "a", i);
    }
    write_service(&f, "conf/gw.yaml", "a", 5);
    await_port(&f, "a", 5);
    finish(&f);
}

static size_t count_watches(void) // of the kernel's, in this process
{
    char line[256], path[64];
    size_t n = 0;
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        FILE *info = fopen(path, "re");
        while (info && fgets(line, sizeof(line), info))
            n += strncmp(line, "inotify wd:", 11) == 0;
        if (info)
            fclose(info);
    }
    return n;
}

static void test_folders_that_were_replaced_are_watched_no_more(void **state)
{
    struct fixture f;
    char old[16];
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "root"), 0755), 0);
    write_service(&f, "root/a.yaml", "a", 1);
    start_at(&f, at(&f, "root"));
    size_t before = count_watches();
    assert_true(before > 0);
    for (int i = 2; i < 6; i++) {
        snprintf(old, sizeof(old), "old%d", i);
        assert_int_equal(mkdir(at(&f, "new"), 0755), 0);
        write_service(&f, "new/a.yaml", "a", i);
        assert_int_equal(rename(at(&f, "root"), at(&f, old)), 0);
        assert_int_equal(rename(at(&f, "new"), at(&f, "root")), 0);
        await_port(&f, "a", i);
    }
    assert_int_equal(count_watches(), before);
    write_service(&f, "root/a.yaml", "a", 7);
    await_port(&f, "a", 7);
    finish(&f);
}

static void test_reading_all_again_finds_what_watching_missed(void **state)
{
    struct fixture f;
    prepare(&f);
    write_service(&f, "a.yaml", "a", 1);
    write_service(&f, "b.yaml", "b", 1);
    const char *path = f.folder;
    f.source = folder_open(f.store, &path, 1);
    folder_read_all(f.source); // and nobody watches
    unlink(at(&f, "b.yaml"));
    write_service(&f, "a.yaml", "a", 2);
    write_service(&f, "c.yaml", "c", 3);
    folder_read_all(f.source);
    assert_int_equal(port(&f, "a"), 2);
    assert_int_equal(port(&f, "b"), 0);
    assert_int_equal(port(&f, "c"), 3);
    uint64_t revision = store_revision(f.store);
    folder_read_all(f.source);
    assert_int_equal(store_revision(f.store), revision);
    finish(&f);
}

static void test_a_burst_is_one_change(void **state)
{
    struct fixture f;
    prepare(&f);
    start(&f);
    for (int i = 0; i < 50; i++) {
        char file[32], name[16];
        snprintf(file, sizeof(file), "f%d.yaml", i);
        snprintf(name, sizeof(name), "s%d", i);
        write_service(&f, file, name, i + 1);
    }
    await_port(&f, "s49", 50);
    assert_int_equal(store_counts(f.store).objects, 50);
    assert_int_equal(f.changes, 1);
    finish(&f);
}

static void test_a_folder_reached_twice_is_read_once(void **state)
{
    struct fixture f;
    prepare(&f);
    assert_int_equal(mkdir(at(&f, "a"), 0755), 0);
    write_service(&f, "a/a.yaml", "a", 1);
    assert_int_equal(symlink("a", at(&f, "b")), 0);
    assert_int_equal(symlink("..", at(&f, "a/up")), 0);
    start(&f);
    assert_int_equal(store_counts(f.store).objects, 1);
    assert_int_equal(count_code(&f, DIAG_DUPLICATE_OBJECT), 0);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders_are_read_recursively_without_hidden_and_other_files),
        cmocka_unit_test(test_a_saved_file_is_taken_up_and_a_removed_one_leaves),
        cmocka_unit_test(test_an_editor_that_renames_is_followed),
        cmocka_unit_test(test_a_renamed_file_keeps_the_age_of_its_objects),
        cmocka_unit_test(test_a_mounted_config_map_is_read_once_and_swaps_at_once),
        cmocka_unit_test(test_a_link_to_elsewhere_is_followed),
        cmocka_unit_test(test_a_folder_may_go_and_come_back),
        cmocka_unit_test(test_the_folder_given_may_go_and_come_back),
        cmocka_unit_test(test_a_path_that_does_not_exist_is_reported_and_awaited),
        cmocka_unit_test(test_a_file_given_by_name_is_followed_through_renames_and_links),
        cmocka_unit_test(test_a_file_that_is_being_written_counts_when_it_is_closed),
        cmocka_unit_test(test_a_scan_does_not_read_a_file_that_is_being_written_to_its_end),
        cmocka_unit_test(test_a_file_closed_and_cut_again_at_once_waits_for_the_second_close),
        cmocka_unit_test(test_what_is_whole_in_a_file_never_closed_is_taken_up_and_nothing_goes),
        cmocka_unit_test(test_a_file_never_closed_counts_as_closed_after_a_long_quiet),
        cmocka_unit_test(test_another_name_of_a_file_is_taken_up_at_once),
        cmocka_unit_test(test_a_broken_file_keeps_its_last_good_objects),
        cmocka_unit_test(test_an_unreadable_file_keeps_its_objects),
        cmocka_unit_test(test_a_file_that_claims_to_be_endless_is_refused_before_it_is_read),
        cmocka_unit_test(test_a_folder_that_nobody_can_look_at_keeps_what_it_holds),
        cmocka_unit_test(test_a_folder_on_the_way_may_be_swapped),
        cmocka_unit_test(test_folders_that_were_replaced_are_watched_no_more),
        cmocka_unit_test(test_reading_all_again_finds_what_watching_missed),
        cmocka_unit_test(test_a_burst_is_one_change),
        cmocka_unit_test(test_a_folder_reached_twice_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
