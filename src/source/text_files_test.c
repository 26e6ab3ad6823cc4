// SPDX-License-Identifier: Apache-2.0
#include "source/text_files.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct room {
    char folder[32], path[64];
    struct text_files *files;
};

static struct room setup(void)
{
    struct room room = {.folder = "/tmp/text-files-XXXXXX"};
    assert_non_null(mkdtemp(room.folder));
    snprintf(room.path, sizeof(room.path), "%s/tls.crt", room.folder);
    room.files = text_files_create();
    return room;
}

static void teardown(struct room *room)
{
    text_files_destroy(room->files);
    unlink(room->path);
    rmdir(room->folder);
}

static void put(const char *path, const char *text)
{
    // Another file each time, so that no clock's grain hides a change.
    char fresh[80];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = fopen(fresh, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(fresh, path), 0);
}

static void expect(struct room *room, const char *text)
{
    struct str got;
    text_files_begin(room->files);
    assert_null(text_files_read(room->files, str_of(room->path), &got));
    assert_true(str_is(got, text));
    text_files_end(room->files);
}

static void test_a_change_counts_once_it_has_settled(void **state)
{
    struct room room = setup();
    put(room.path, "one");
    expect(&room, "one");
    assert_false(text_files_have_settled(room.files));
    put(room.path, "two");
    assert_true(text_files_have_changed(room.files));
    put(room.path, "2");
    assert_false(text_files_have_settled(room.files)); // it may still go on
    put(room.path, "three");
    assert_false(text_files_have_settled(room.files));
    assert_true(text_files_have_settled(room.files));
    expect(&room, "three");
    assert_false(text_files_have_settled(room.files));
    teardown(&room);
}

static void test_a_file_may_come_and_go(void **state)
{
    struct room room = setup();
    struct str got;
    text_files_begin(room.files);
    assert_string_equal(text_files_read(room.files, str_of(room.path), &got),
                        "No such file or directory");
    assert_int_equal(got.len, 0);
    text_files_end(room.files);
    assert_false(text_files_have_settled(room.files));
    put(room.path, "here");
    assert_false(text_files_have_settled(room.files));
    assert_true(text_files_have_settled(room.files));
    expect(&room, "here");
    unlink(room.path);
    assert_false(text_files_have_settled(room.files));
    assert_true(text_files_have_settled(room.files));
    teardown(&room);
}

static void test_during_a_compile_a_file_is_one_text(void **state)
{
    struct room room = setup();
    struct str first, second;
    put(room.path, "old");
    text_files_begin(room.files);
    assert_null(text_files_read(room.files, str_of(room.path), &first));
    put(room.path, "new");
    assert_null(text_files_read(room.files, str_of(room.path), &second));
    assert_ptr_equal(first.ptr, second.ptr);
    assert_true(str_is(second, "old"));
    text_files_end(room.files);
    text_files_begin(room.files); // nobody reads it any more
    text_files_end(room.files);
    put(room.path, "newer");
    assert_false(text_files_have_settled(room.files));
    assert_false(text_files_have_settled(room.files));
    teardown(&room);
}

static void test_only_plain_files_of_some_size_are_read(void **state)
{
    struct room room = setup();
    struct str got;
    text_files_begin(room.files);
    assert_string_equal(text_files_read(room.files, str_of(room.folder), &got), "is no plain file");
    assert_string_equal(text_files_read(room.files, STR("/dev/zero"), &got), "is no plain file");
    char fifo[64];
    snprintf(fifo, sizeof(fifo), "%s/fifo", room.folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_string_equal(text_files_read(room.files, str_of(fifo), &got), "is no plain file");
    unlink(fifo);
    int fd = open(room.path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, TEXT_FILE_BYTES_MAX + 1), 0);
    assert_string_equal(text_files_read(room.files, str_of(room.path), &got),
                        "is longer than 1 MiB");
    text_files_end(room.files);
    assert_int_equal(ftruncate(fd, TEXT_FILE_BYTES_MAX), 0);
    close(fd);
    text_files_begin(room.files);
    assert_null(text_files_read(room.files, str_of(room.path), &got));
    assert_int_equal(got.len, TEXT_FILE_BYTES_MAX);
    text_files_end(room.files);
    teardown(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_counts_once_it_has_settled),
        cmocka_unit_test(test_a_file_may_come_and_go),
        cmocka_unit_test(test_during_a_compile_a_file_is_one_text),
        cmocka_unit_test(test_only_plain_files_of_some_size_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
